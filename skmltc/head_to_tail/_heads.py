"""Linear classifiers on documents' vectors: some trained, some transferred, several per label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import pairwise_distances_argmin_min
from torch import nn
from torch.nn.functional import logsigmoid

from .._linear import BlockNewton, BlockObjective, DesignMatrix, block_size
from .._networks import NetworkScorer, copy_of, network_vectors, on_device
from .._products import dense_dot
from .._targets import count_labels
from ..decision import label_blocks
from ..encoders import split_head
from ._transfer import LabelSplit, LabelTransfer

_L2_TO_START = 0.3  # towards where the weights were, against the loss summed over documents
_WHITENING_RIDGE = 1e-4  # of the vectors' mean square, added to their variance in each direction
_MAX_ITER, _TOL = 200, 1e-4  # of Newton's method; the tolerance is relative, of a label's objective
_SAME = 1e-4  # by which two vectors of one document differ at most, in the quadratic mean


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

    def forward(self, vectors):
        """Logits (batch, n_labels) of documents."""
        return logit_of_mean_probability(self.of_members(vectors))

    def of_members(self, vectors):
        """Logits (n_members, batch, n_labels) of documents, member by member."""
        batches = vectors.expand(len(self.weight), *vectors.shape)
        return torch.baddbmm(self.bias, batches, self.weight)

    def logits_of(self, vectors, chosen):
        """Logits (batch, n_chosen) of some labels, whichever others are asked for."""
        products = [dense_dot(vectors, weight[:, chosen]) for weight in self.weight]
        return logit_of_mean_probability(torch.stack(products) + self.bias[..., chosen])


def logit_of_mean_probability(logits):
    """Logits of the mean probability over the first axis, that of the members."""
    if len(logits) == 1:
        return logits[0]
    present, absent = logsigmoid(logits), logsigmoid(-logits)
    return present.logsumexp(0) - absent.logsumexp(0)


class JoinedHeads(nn.Module):
    """The heads of head and tail labels in the order of the labels.

    Parameters
    ----------
    parts : list of LabelHeads
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

    def logits_of(self, vectors, labels):
        """Logits (batch, n_block) of an array of different labels."""
        logits = vectors.new_empty(len(vectors), len(labels))
        for part in self.parts:
            _, at, chosen = np.intersect1d(labels, part.labels, return_indices=True)
            logits[:, at] = part.logits_of(vectors, chosen)
        return logits


class Start(NamedTuple):
    """What the trained head and the transfer leave.

    Parameters
    ----------
    network : nn.Sequential
        The encoder, and the head of the head labels.
    labels : LabelSplit
    transfer : LabelTransfer
    tail : array of float32 of shape (n_members, dim + 1, n_tail)
        The heads of the tail labels; their biases last.
    """

    network: nn.Sequential
    labels: LabelSplit
    transfer: LabelTransfer
    tail: np.ndarray

    def joined(self, change=0.0):
        """A network of all labels in evaluation mode; the heads of the tail change by so much."""
        encoder, weights = split_head(copy_of(self.network))
        parts = [LabelHeads(self.labels.head, weights.detach()[None].cpu())]
        if len(self.labels.tail):
            parts.append(LabelHeads(self.labels.tail, torch.from_numpy(self.tail + change)))
        return nn.Sequential(encoder, JoinedHeads(parts)).eval()


@dataclass(frozen=True, eq=False)
class TransferScorer(NetworkScorer):
    """A network of all labels: some were trained, others transferred.

    Parameters
    ----------
    network : nn.Sequential
        An encoder and `JoinedHeads`, in evaluation mode.
    """

    network: nn.Sequential

    def encode(self, X, device):
        """Vectors of documents, as a tensor."""
        return network_vectors(self.network[0], X, device)

    @torch.no_grad()
    def scores(self, encoded, labels=None):
        """Logits (n_samples, n_block) of an array of labels, of all by default."""
        heads = on_device(self.network[1], encoded.device)
        labels = np.arange(len(heads.labels)) if labels is None else labels
        return heads.logits_of(encoded, labels).cpu().numpy()


class _PulledObjective(BlockObjective):
    """The loss of a block plus weight_decay / 2 |W - W0|^2, as a function of W - W0."""

    def __init__(self, features, Y, loss, columns, weight_decay, start):
        super().__init__(features, Y, loss, columns, weight_decay)
        self.offset = features.dot(features.inner(start))

    def cells(self, logits):
        return super().cells(logits + self.offset)

    def curvatures(self, logits):
        return super().curvatures(logits + self.offset)

    def keep(self, columns):
        super().keep(columns)
        self.offset = self.offset[:, columns]


@torch.no_grad()
def fine_tune_tail(vectors, Y, loss, labels, heads, device, l2=_L2_TO_START):
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
    heads : array of shape (n_members, dim + 1, n_block)
        The biases last.
    device : str
    l2 : float, default=0.3
        Factor of half the squared change, against the loss summed over documents.

    Returns
    -------
    array of float32 of shape (dim + 1, n_block)
    """
    whiten, unwhiten = whitening(vectors)
    features, built = DesignMatrix(vectors @ whiten, device), loss.build(Y).to(device)
    start, changes = heads.mean(axis=0), np.zeros(heads.shape[1:], dtype=np.float32)
    start[:-1] = unwhiten @ start[:-1]
    counts = np.where(np.isin(np.arange(Y.shape[1]), labels), count_labels(Y), 0)
    for block in label_blocks(counts, block_size(vectors.shape)):
        at = np.searchsorted(labels, block)
        W = torch.from_numpy(start[:, at]).to(device)
        objective = _PulledObjective(features, Y, built, block, l2, W)
        change, *_ = BlockNewton(objective, torch.zeros_like(W), _TOL).minimise(_MAX_ITER)
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


def vectors_of_others(known, vectors):
    """Those of the known vectors whose documents are not among others.

    Parameters
    ----------
    known : array of shape (n_known, dim)
    vectors : array of shape (n_samples, dim)
        Of the others; two vectors of one document differ by up to 0.0001 in the quadratic mean.

    Returns
    -------
    array of shape (n_others, dim)
    """
    _, distances = pairwise_distances_argmin_min(known, vectors)
    return known[distances > _SAME * np.sqrt(known.shape[1])]
