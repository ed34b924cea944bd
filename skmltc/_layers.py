"""Linear layers as features and normalised vectors want them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import embedding_bag, linear


class FeatureLinear(nn.Module):
    """A linear layer that also takes CSR tensors, started small.

    The rows of a TF-IDF matrix have norm 1, so weights of size 1 / sqrt(n_outputs) make outputs
    of norm about 1; torch's start for embeddings, N(0, 1), would drown what the words say.
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
        return self.bias + embedding_bag(
            batch.col_indices(),
            self.weight,
            batch.crow_indices(),
            mode="sum",
            per_sample_weights=batch.values(),
            include_last_offset=True,
        )


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
