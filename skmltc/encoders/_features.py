"""Encoders of features."""

import math

import torch
from sklearn.base import clone
from torch import nn
from torch.nn.functional import linear

from .._products import csr_dot
from .._validation import check_choice, must_be
from ._encoder import Encoder, _check_dropouts, _check_widths
from ._training import Training

_FROM_RANDOM = Training(max_epochs=6)
_SLOWER = dict.fromkeys(("encoder", "projection", "head"), 0.3)
_FROM_LINEAR_MODELS = Training(lr_factors=_SLOWER, max_epochs=6)


class BagEncoder(Encoder):
    """Linear or hidden layers on features, sparse or dense.

    Parameters
    ----------
    hidden_dims : tuple of int, default=()
        Width of each hidden layer; none is a linear model.
    activation : {"identity", "relu"}, default="identity"
        After each hidden layer. A linear bottleneck serves rare labels better than ReLU does.
    dropout : float, default=0.5
        After each hidden layer.
    start : {"auto", "random"}, default="auto"
        "auto" lets one hidden layer without activation begin, together with the head behind it, as
        the linear models of the labels, which are solved first, if it is as wide as there are
        labels. From a random start it would take more epochs than are good for it until it knows
        the words of rare labels. Other layers begin at random; so do all where `head_start` of a
        :class:`Training` is not "constants", and in :class:`~skmltc.HeadToTailClassifier`.

    Notes
    -----
    The recommended training has six epochs, in which the rate falls from 0.01 to 0; what begins as
    linear models learns at 0.3 of it.

    Examples
    --------
    >>> import torch
    >>> from skmltc.encoders import BagEncoder
    >>> encoder = BagEncoder(hidden_dims=(16,)).build(100)
    >>> encoder(torch.rand(3, 100)).shape, encoder.output_dim
    (torch.Size([3, 16]), 16)
    """

    def __init__(self, hidden_dims=(), activation="identity", dropout=0.5, start="auto"):
        self.hidden_dims = hidden_dims
        self.activation = activation
        self.dropout = dropout
        self.start = start

    @property
    def training(self):
        """Settings that it recommends."""
        return _FROM_LINEAR_MODELS if self.starts_linear else _FROM_RANDOM

    @property
    def is_linear(self):
        """Whether there is no hidden layer."""
        self._check()
        return not self.hidden_dims

    @property
    def starts_linear(self):
        """Whether layer and head begin as linear models."""
        self._check()
        return self.start == "auto" and len(self.hidden_dims) == 1 and self.activation == "identity"

    def for_labels(self, n_labels):
        """The encoder as it is for so many labels: with a random start if its layer is narrower."""
        if not self.starts_linear or n_labels <= self.hidden_dims[0]:
            return self
        return clone(self).set_params(start="random")

    def build(self, n_inputs, X=None):
        """Make the torch module.

        Parameters
        ----------
        n_inputs : int
            Number of features.
        X : ignored
            Encoders of tokens learn word vectors from it.

        Returns
        -------
        nn.Module
            ``forward(batch) -> (n_samples, output_dim)``, where the batch is a dense or a CSR
            tensor of shape (n_samples, n_inputs). Without hidden layers it returns the batch.
        """
        self._check()
        return _Bag(n_inputs, tuple(self.hidden_dims), self.activation, self.dropout)

    def _check(self):
        _check_widths("hidden_dims", self.hidden_dims)
        check_choice("start", self.start, ("auto", "random"))
        if self.activation not in _ACTIVATIONS:
            raise must_be("activation", "one of 'identity', 'relu'", repr(self.activation))
        _check_dropouts(self, "dropout")


_ACTIVATIONS = {"identity": nn.Identity, "relu": nn.ReLU}


class _Bag(nn.Sequential):
    def __init__(self, n_inputs, hidden_dims, activation, dropout):
        widths = (n_inputs, *hidden_dims)
        layers = []
        for wide, narrow in zip(widths[:-1], widths[1:], strict=True):
            layer = nn.Linear(wide, narrow) if layers else FeatureLinear(wide, narrow)
            layers += [layer, _ACTIVATIONS[activation](), nn.Dropout(dropout)]
        super().__init__(*layers)
        self.output_dim = widths[-1]


class FeatureLinear(nn.Module):
    """A linear layer that also takes CSR tensors, started small.

    The rows of a TF-IDF matrix have norm 1, so weights of size 1 / sqrt(n_outputs) make outputs
    of norm about 1. Torch's start for embeddings, N(0, 1), would be many times larger than that.
    """

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        bound = 1 / math.sqrt(n_outputs)
        self.weight = nn.Parameter(torch.empty(n_inputs, n_outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, batch):
        """Map (n_samples, n_inputs) to (n_samples, n_outputs)."""
        if batch.layout == torch.strided:
            return linear(batch, self.weight.T, self.bias)  # (n_samples, n_outputs)
        csr = batch.crow_indices(), batch.col_indices(), batch.values()
        return self.bias + csr_dot(*csr, self.weight)
