"""Linear classifiers on documents' vectors: some trained, some transferred, several per label."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.functional import logsigmoid

from .._linear import BlockLBFGS, BlockObjective, DesignMatrix, label_blocks
from .._networks import network_scores

_L2_TO_START = 0.3  # towards where the weights were, against the loss summed over documents
_WHITENING_RIDGE = 1e-4  # of the vectors' mean square, added to their variance in each direction
_MAX_ITER = 200  # of L-BFGS


class LabelHeads(nn.Module):
    """Linear classifiers of some labels, several of each, whose probabilities are averaged.

    Parameters
    ----------
    labels : array of int of shape (n_labels,)
        Which labels they are.
    weights : tensor of shape (n_members, dim + 1, n_labels)
        The biases last.
    """

    def __init__(self, labels, weights):
        super().__init__()
        self.labels = np.asarray(labels)
        self.weight = nn.Parameter(weights[:, :-1].clone())
        self.bias = nn.Parameter(weights[:, -1:].clone())

    def forward(self, vectors, chosen=slice(None)):
        """Logits (batch, n_labels) of documents, or of some labels only."""
        batches = vectors.expand(len(self.weight), *vectors.shape)
        logits = torch.baddbmm(self.bias[..., chosen], batches, self.weight[..., chosen])
        return logits[0] if len(logits) == 1 else logit_of_mean_probability(logits)


def logit_of_mean_probability(logits):
    """Logits of the mean probability over the first axis."""
    present, absent = logsigmoid(logits), logsigmoid(-logits)
    return present.logsumexp(0) - absent.logsumexp(0)


class JoinedHeads(nn.Module):
    """The columns of head and tail in the order of the labels.

    Parameters
    ----------
    parts : list of Columns
        Each label in one of them.
    """

    def __init__(self, parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    @property
    def labels(self):
        """Label of each column, part after part."""
        return np.concatenate([part.labels for part in self.parts])

    def forward(self, vectors):
        """Logits (batch, n_labels) from vectors (batch, dim)."""
        logits = torch.cat([part(vectors) for part in self.parts], dim=1)
        return logits[:, np.argsort(self.labels)]

    def of(self, vectors, labels):
        """Logits (batch, n_block) of an array of different labels."""
        logits = vectors.new_empty(len(vectors), len(labels))
        for part in self.parts:
            _, at, chosen = np.intersect1d(labels, part.labels, return_indices=True)
            logits[:, at] = part(vectors, chosen)
        return logits


class JoinedHeadsScorer:
    """An assembled network, for scores of blocks of labels."""

    def __init__(self, network, device):
        self.device = device
        self.encoder, self.columns = network.to(device)

    def encode(self, X):
        return torch.from_numpy(network_scores(self.encoder, X, self.device)).to(self.device)

    @torch.no_grad()
    def scores(self, encoded, labels):
        return self.columns.of(encoded, labels).cpu().numpy()


class _PulledObjective(BlockObjective):
    """The loss of a block plus weight_decay / 2 |W - W0|^2, as a function of W - W0."""

    def __init__(self, features, Y, loss, columns, weight_decay, start):
        super().__init__(features, Y, loss, columns, weight_decay)
        self.offset = features.dot(start)

    def cells(self, logits):
        return super().cells(logits + self.offset)

    def keep(self, columns):
        super().keep(columns)
        self.offset = self.offset[:, columns]


@torch.no_grad()
def fine_tune_tail(vectors, Y, loss, labels, columns, device):
    """Adjust linear classifiers of some labels on all documents, not far from where they are.

    Minimises the loss over documents plus a penalty on the change of the weights, measured by what
    it does to documents: in directions in which their vectors hardly differ weights may change
    more. The members' mean is adjusted, and the change is meant for each of them.

    Parameters
    ----------
    vectors : array of shape (n_samples, dim)
    Y : csr_array of shape (n_samples, n_labels)
    loss : loss spec
    labels : array of int of shape (n_block,)
        Ascending. Those without documents do not change.
    columns : array of shape (n_members, dim + 1, n_block)
        The biases last.
    device : str

    Returns
    -------
    array of float32 of shape (dim + 1, n_block)
    """
    whiten, unwhiten = whitening(vectors)
    features, built = DesignMatrix(vectors @ whiten, device), loss.build(Y).to(device)
    start, changes = columns.mean(axis=0), np.zeros(columns.shape[1:], dtype=np.float32)
    start[:-1] = unwhiten @ start[:-1]
    chosen = np.isin(np.arange(Y.shape[1]), labels)
    for block in label_blocks(Y, max(vectors.shape), chosen):
        at = np.searchsorted(labels, block)
        W = torch.from_numpy(start[:, at]).to(device)
        objective = _PulledObjective(features, Y, built, block, _L2_TO_START, W)
        change, _ = BlockLBFGS(objective, torch.zeros_like(W)).minimise(_MAX_ITER)
        changes[:, at] = change.cpu().numpy()
    changes[:-1] = whiten @ changes[:-1]
    return changes


def whitening(vectors):
    """Matrices that make vectors vary alike in all directions, and that undo it.

    Parameters
    ----------
    vectors : array of shape (n_samples, dim)

    Returns
    -------
    whiten, unwhiten : arrays of float32 of shape (dim, dim)
        Vectors times the first; weights for these times the first, from the left, are weights
        for the vectors.
    """
    moment = vectors.T.astype(np.float64) @ vectors / len(vectors)
    values, basis = np.linalg.eigh(moment)
    deviations = np.sqrt(values.clip(0) + _WHITENING_RIDGE * max(np.trace(moment), 1e-12))
    whiten, unwhiten = basis / deviations, (basis * deviations).T
    return whiten.astype(np.float32), unwhiten.astype(np.float32)
