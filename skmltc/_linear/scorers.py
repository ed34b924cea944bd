"""Scores of linear models: of models that are kept, and of those solved when asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from .._products import csr_dot, csr_tensors, dense_dot, sparse_dot
from .._targets import count_documents, count_labels
from .._validation import known_labels
from ..labels import NEVER_LOGIT, log_odds_against
from .problems import problem_of
from .shortlists import mean_of

_FEW_WEIGHTS = 2**18  # a megabyte: less is not worth dropping any
_LEAST_MOVE = 0.005  # of a score, by a weight that is kept


class PackedWeights(NamedTuple):
    """A csr_array in the smallest numbers that hold it."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    shape: tuple

    @classmethod
    def of(cls, weights):
        data, indices = weights.data, weights.indices
        with np.errstate(over="ignore"):
            half = data.astype(np.float16)
        data = half if np.array_equal(half, data) else data
        indices = indices.astype(np.uint16) if weights.shape[1] <= 2**16 else indices
        return cls(data, indices, weights.indptr, weights.shape)

    def unpacked(self):
        """The same of float32, in memory."""
        arrays = np.array(self.data, np.float32), np.array(self.indices, np.int32), self.indptr
        return sparse.csr_array(arrays, shape=self.shape)


@dataclass(frozen=True, eq=False)
class LinearScorer:
    """Linear models of all labels.

    Parameters
    ----------
    weights : array or csr_array of float32 of shape (n_features, n_labels)
    intercepts : array of float32 of shape (n_labels,)
    """

    weights: np.ndarray | sparse.csr_array
    intercepts: np.ndarray

    def __getstate__(self):
        """What goes to a file: sparse weights in the fewest bytes."""
        state = dict(vars(self))
        if sparse.issparse(self.weights):
            state["weights"] = PackedWeights.of(self.weights)
        return state

    def __setstate__(self, state):
        weights = state["weights"]
        unpacked = weights.unpacked() if isinstance(weights, PackedWeights) else weights
        vars(self).update(state, weights=unpacked)

    def raised(self, by_label):
        """Add a number to the logits of each label."""
        return replace(self, intercepts=(self.intercepts + by_label).astype(np.float32))

    def without_small_weights(self, X, document_weights=None):
        """Keep the weights that can move a score of the documents X by 0.005, if that saves memory.

        The others are most of them where X is sparse and labels are rare, and worth nothing; the
        intercepts make up for them in the mean over X, each document counted by its weight.
        Labels that were solved on shortlists have lost theirs already, by a share of their margin.
        """
        few = self.weights.shape[0] * self.weights.shape[1] <= _FEW_WEIGHTS
        if few or not sparse.issparse(X) or sparse.issparse(self.weights):
            return self
        largest = abs(X).max(axis=0).toarray().astype(np.float32).reshape(-1, 1)
        kept = np.where(np.abs(self.weights) * largest >= _LEAST_MOVE, self.weights, 0)
        weights = sparse.csr_array(kept)
        if 2 * weights.nnz >= self.weights.size:  # an index takes as much as a weight
            return self
        means = mean_of(X, document_weights)
        lost = means @ self.weights - weights.T @ means
        return replace(self.raised(lost), weights=weights)

    def joined(self, other):
        """The models of these labels, and those of another scorer after them, stored as these."""
        if sparse.issparse(self.weights):
            both = [self.weights, sparse.csr_array(other.weights)]
            weights = sparse.csr_array(sparse.hstack(both))
        else:
            weights = other.weights.toarray() if sparse.issparse(other.weights) else other.weights
            weights = np.hstack([self.weights, weights])
        return LinearScorer(weights, np.append(self.intercepts, other.intercepts))

    def encode(self, X, device):
        """Documents as they are: to move the weights would cost more than the products."""
        return sparse.csr_array(X) if sparse.issparse(X) else X

    @torch.no_grad()
    def scores(self, encoded, labels=None):
        """Logits (n_samples, n_block) of an array of labels, of all by default."""
        weights = self.weights if labels is None else self.weights[:, labels]
        intercepts = self.intercepts if labels is None else self.intercepts[labels]
        if sparse.issparse(weights):
            return sparse_dot(sparse.csr_array(encoded), weights) + intercepts
        weights = torch.from_numpy(np.require(weights, requirements="W"))  # not a map of a file
        if sparse.issparse(encoded):
            return csr_dot(*csr_tensors(encoded, "cpu"), weights).numpy() + intercepts
        dense = torch.from_numpy(np.require(encoded, requirements="CW"))  # torch takes no views
        return dense_dot(dense, weights).numpy() + intercepts


def scorer_of(W, problem, solver, labels=slice(None)):
    """Take the weights (n_features + 1, n_block) of some labels for a scorer of these."""
    Y, document_weights = problem.Y, problem.weights
    counts = count_labels(Y, document_weights)[labels]
    n_samples = count_documents(Y, document_weights)
    raised = solver.logit_adjustment * log_odds_against(counts, n_samples)
    if sparse.issparse(W):
        weights, last = sparse.csr_array(W[:-1]), W[[-1]].toarray().ravel()
    else:
        weights, last = W[:-1], W[-1]
    intercepts = np.where(counts > 0, last + raised, NEVER_LOGIT)
    return LinearScorer(weights, intercepts.astype(np.float32))


class LazyLinearScorer:
    """Linear models that are solved when they are asked for, and not kept.

    So the folds of many labels take the memory of a block.

    Parameters
    ----------
    X : CSR matrix or float array of shape (n_samples, n_features)
    Y : csr_array of shape (n_samples, n_labels)
    solver : Solver
    weights : array of shape (n_samples,), default=None
        How often each document counts; once by default.
    """

    def __init__(self, X, Y, solver, weights=None):
        with known_labels():
            self.problem = problem_of(X, Y, solver, weights)
        self.solver = solver

    def encode(self, X, device):
        """Documents as they are."""
        return sparse.csr_array(X) if sparse.issparse(X) else X

    def scores(self, encoded, labels):
        """Logits (n_samples, n_block) of an array of labels."""
        size = self.problem.labels_at_a_time
        parts = [labels[i : i + size] for i in range(0, len(labels), size)]
        return np.concatenate([self._scores(encoded, part) for part in parts], axis=1)

    def _scores(self, encoded, labels):
        decays = [self.solver.weight_decay]
        (solved,) = self.problem.solve(decays, self.solver, labels)
        return scorer_of(solved.weights, self.problem, self.solver, labels).scores(encoded)
