"""From vectors to logits: linear heads, and networks of an encoder and a head."""

import torch
from torch import nn

from ._features import FeatureLinear

_STD_OF_WEIGHTS = 0.02  # of heads that start as BERT's


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
def start_head(head, loss, Y, start="constants", has_bias=True):
    """Start a head as a `Training` says; see its `head_start` and `head_bias`.

    "constants" sets its biases to the best logits for documents that cannot be told apart. Else
    the first epochs go into learning that labels are rare, along the vectors of all documents at
    once; a network may never recover from that. A loss with negative tolerance is left out: it
    shifts rare labels so far that all start alike.
    """
    if start == "constants" and loss.shift is None:
        head.bias.copy_(loss.prior_logits(Y))
    if start == "normal":
        nn.init.normal_(head.weight, std=_STD_OF_WEIGHTS)
        head.bias.zero_()
    if not has_bias:
        head.bias.zero_().requires_grad_(False)


def parts_of(network):
    """Encoder and head of a network of `build_network`, by their names."""
    if isinstance(network, FeatureLinear):
        return {"head": network}
    return {"encoder": network[:-1], "head": network[-1]}


def parameter_parts(parts):
    """Tell the part of each parameter of a network, as `Training` names them in `lr_factors`.

    Parameters
    ----------
    parts : mapping of str to nn.Module
        The "encoder", whose word vectors are "embedding" and whose last layer "projection", the
        "head", whose `scale` is "head_scale", and others by names of their own. A parameter in
        several of them belongs to the last.

    Returns
    -------
    list of (str, nn.Parameter)
    """
    found = {}
    for name, module in parts.items():
        layers = _layers_with_parameters(module)
        for layer in layers:
            part = _part_of_encoder(layer, layers[-1]) if name == "encoder" else name
            for own, parameter in layer.named_parameters(recurse=False):
                scales = name == "head" and own == "scale"
                found[parameter] = "head_scale" if scales else part
    return [(part, parameter) for parameter, part in found.items()]


def _layers_with_parameters(module):
    """Modules that have parameters of their own, in the order in which they were made."""
    return [m for m in module.modules() if any(True for _ in m.parameters(recurse=False))]


def _part_of_encoder(layer, last):
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        return "embedding"
    return "projection" if layer is last else "encoder"
