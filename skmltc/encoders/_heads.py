"""From vectors to logits: linear heads, and networks of an encoder and a head."""

import torch
from torch import nn

from ._features import FeatureLinear


def build_network(encoder, n_inputs, n_outputs, X=None):
    """An encoder with a linear head: logits of shape (n_samples, n_outputs).

    Parameters
    ----------
    encoder : Encoder
        If it has a `head_scale`, the head is a `ScaledLinear`.
    n_inputs : int
        What the encoder is built for.
    n_outputs : int
        Number of labels.
    X : array or CSR matrix, default=None
        Training documents; encoders of tokens learn the start of their word vectors from them.

    Returns
    -------
    nn.Module
    """
    if encoder.is_linear:
        return FeatureLinear(n_inputs, n_outputs)
    body = encoder.build(n_inputs, X)
    scale, sizes = encoder.head_scale, (body.output_dim, n_outputs)
    return nn.Sequential(body, nn.Linear(*sizes) if scale is None else ScaledLinear(*sizes, scale))


def split_head(network):
    """Take a network of `build_network` apart.

    Returns
    -------
    encoder : nn.Module or None
        None where the head is all there is.
    weights : tensor of shape (output_dim + 1, n_outputs)
        Of the head, its biases last.
    """
    head = head_of(network)
    if isinstance(head, FeatureLinear):
        return None, torch.vstack([head.weight, head.bias])
    scale = head.scale if isinstance(head, ScaledLinear) else 1.0
    return network[:-1], torch.vstack([scale * head.weight.T, head.bias])


def head_of(network):
    """The last layer of a network of `build_network`."""
    return network if isinstance(network, FeatureLinear) else network[-1]


class ScaledLinear(nn.Linear):
    """A linear head for vectors of norm 1, which one learned factor makes long enough.

    Parameters
    ----------
    n_inputs, n_outputs : int
    scale : float
        Start of the factor.
    """

    def __init__(self, n_inputs, n_outputs, scale):
        super().__init__(n_inputs, n_outputs)
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def forward(self, batch):
        """Map (n_samples, n_inputs) to (n_samples, n_outputs)."""
        return super().forward(self.scale * batch)


@torch.no_grad()
def initialise_biases(head, loss, Y):
    """Set the biases of a head to the best logits for documents that cannot be told apart.

    Else the first epochs go into learning that labels are rare, along the vectors of all documents
    at once; a network may never recover from that. A loss with negative tolerance is left out: it
    shifts rare labels so far that all start alike.
    """
    if loss.shift is None:
        head.bias.copy_(loss.prior_logits(Y))
