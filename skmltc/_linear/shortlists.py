"""Squared hinge of many labels, each solved on the documents that matter for it.

A document that scores below -1 without a label has no part in the label's solution, and of
thousands of documents hundreds have one. Two passes find them: a label is solved on its documents
and those nearest to them; all documents are scored; and it is solved again with those that score
above -1. All others count as one document at their mean score, which keeps the scores of labels
comparable. Time grows with the labels' documents, and small weights are dropped, so that a model of
16,000 labels takes a minute and some megabytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from .._products import csr_dot, csr_tensors
from .newton import LabelHinge, minimise
from .products import conditioned
from .solver import SolvedBlock
from .threads import one_torch_thread

_NEAR, _NEAR_PER_DOCUMENT = 100, 10  # documents nearest to those of a label
_VIOLATORS, _VIOLATORS_PER_DOCUMENT = 300, 20
_ROUGH = 100  # times the tolerance is enough before the violators are known
_TINY = 1e-300
LEAST_SHARE = 0.015  # of the margin of a label; smaller weights are dropped


class OnShortlists:
    """Documents and labels, of which each is solved on the documents that matter for it, twice.

    A subclass knows a loss: the `block` of labels, where they `start`, and how they are solved
    `first` and `again`. It has `documents`, which are Shortlists, and shape.
    """

    labels_at_a_time = 64  # as many as are scored together

    def solve(self, decays, solver, labels):
        """Solve a block of labels as `LinearProblem.solve` does, to sparse weights.

        Small ones are dropped.
        """
        rough, shape = solver._replace(tol=_ROUGH * solver.tol), (self.shape[0], len(labels))
        with one_torch_thread():
            block, blocks = self.block(labels), []
            W = _dense(self.first(block, self.start(labels), decays[0], rough), shape)
            for decay in decays:
                solved = self.again(block, W, decay, solver)
                pruned = self.documents.without_small_weights(block, solved)
                blocks.append(_as_block(self.documents.outer(pruned), shape))
                W = _dense(solved, shape) if len(blocks) < len(decays) else None
        return blocks

    def joined(self, found):
        """Sparse weights of all labels, from pairs of labels and what they are solved to."""
        none = SolvedBlock(sparse.csc_array((self.shape[0], 1), dtype=np.float32), 0, 0)
        blocks, solved = zip(([0], none), *found, strict=True)
        place = np.zeros(self.shape[1], dtype=np.int64)  # without documents the first, zeros
        place[np.concatenate(blocks[1:])] = 1 + np.arange(sum(map(len, blocks[1:])))
        weights = sparse.hstack([one.weights for one in solved], format="csc")[:, place]
        n_iter, n_unconverged = max(s.n_iter for s in solved), sum(s.n_unconverged for s in solved)
        return SolvedBlock(sparse.csr_array(weights), n_iter, n_unconverged)


@dataclass(frozen=True, eq=False)
class Shortlists(OnShortlists):
    """Documents and labels, as they are needed to find the documents that matter.

    Parameters
    ----------
    X : csr_array of float32 of shape (n_samples, n_features)
        With columns that are scaled and centred as those of a `DesignMatrix`.
    Y : csr_array of shape (n_samples, n_labels)
    by_label : csc_array of shape (n_samples, n_labels)
        The same.
    lengths : array of float32 of shape (n_samples,)
        Of the rows of X; 1 of rows of zeros.
    bags : list of tensors
        X for products.
    means : array of float32 of shape (n_features,)
        Of the columns of X.
    weights : array of float32 of shape (n_samples,), default=None
        How often each document counts; once by default.
    scale, subtracted : array of float32 of shape (n_features,), default=None
        What the columns given were multiplied by, and what was subtracted before.
    """

    X: sparse.csr_array
    Y: sparse.csr_array
    by_label: sparse.csc_array
    lengths: np.ndarray
    bags: list
    means: np.ndarray
    weights: np.ndarray | None = None
    scale: np.ndarray | None = None
    subtracted: np.ndarray | None = None

    @classmethod
    def of(cls, X, Y, weights=None):
        """Take in the features and the labels of the training documents."""
        X, scale, subtracted = conditioned(X, weights)
        lengths = np.sqrt(X.multiply(X).sum(axis=1)).astype(np.float32)
        lengths[lengths == 0] = 1
        weights = None if weights is None else weights.astype(np.float32)
        means, bags = mean_of(X, weights), csr_tensors(X, "cpu")
        by_label = sparse.csc_array(Y)
        return cls(X, Y, by_label, lengths, bags, means, weights, scale, subtracted)

    @property
    def documents(self):
        """These."""
        return self

    @property
    def shape(self):
        """Of the weights of all labels, the intercepts last."""
        return self.X.shape[1] + 1, self.Y.shape[1]

    def documents_of(self, label):
        """Rows of the documents of a label."""
        start, end = self.by_label.indptr[label : label + 2]
        return self.by_label.indices[start:end]

    def products(self, W):
        """Scores (n_block, n_samples) of all documents without the intercepts."""
        return csr_dot(*self.bags, torch.from_numpy(W)).T.contiguous().numpy()

    def nearest(self, owned):
        """For each label the documents of the largest sum of cosines to its own."""
        n_each = [len(own) for own in owned]
        rows = np.concatenate(owned)
        at = rows, np.repeat(np.arange(len(owned)), n_each)
        shape = self.X.shape[0], len(owned)
        centres = self.X.T @ sparse.csr_array((1 / self.lengths[rows], at), shape=shape)
        cosines = self.products(centres.toarray()) / self.lengths
        for own, of_label in zip(owned, cosines, strict=True):
            of_label[own] = -np.inf
            n = min(_NEAR + _NEAR_PER_DOCUMENT * len(own), self.X.shape[0] - len(own))
            yield _largest(of_label, n)

    def block(self, labels):
        """Labels with their documents and those near to these."""
        owned = [self.documents_of(label) for label in labels]
        return Block(labels, owned, list(self.nearest(owned)))

    def start(self, labels):
        """Weights (n_features + 1, n_block) to begin with: no document is a violator."""
        W = np.zeros((self.shape[0], len(labels)), dtype=np.float32)
        W[-1] = -1.0
        return W

    def first(self, block, W, decay, solver):
        """Solve labels on their documents and those near."""
        both = zip(block.owned, block.near, strict=True)
        lists = [Shortlist(own, near, 0.0) for own, near in both]
        return _solve(self, lists, W, decay, solver)

    def again(self, block, W, decay, solver):
        """Solve labels on the documents that score above -1, too."""
        scored = zip(block.owned, block.near, self.products(W[:-1]), W[-1], strict=True)
        lists = [_with_violators(*one, self.weights) for one in scored]
        return _solve(self, lists, W, decay, solver)

    def without_small_weights(self, block, solved):
        """The columns of each label and its solution without weights below 1.5 % of its margin.

        That is how far its documents score above the mean one, so the rule does not depend on the
        units of a loss. The other weights are lengthened to the length of all and rounded, and the
        intercept makes up for the rest in the mean over documents.
        """
        for own, (columns, found) in zip(block.owned, solved, strict=True):
            every, means = found.weights, self.means[columns]
            margin = self._mean_score(own, columns, every) - means @ every
            is_kept = np.abs(every) > LEAST_SHARE * max(margin, 0.0)
            kept = every[is_kept]
            kept = _rounded(kept * np.float32(_length(every) / max(_length(kept), _TINY)))
            lost = float(means @ every) - float(means[is_kept] @ kept)
            found = found._replace(weights=kept, intercept=found.intercept + lost)
            yield columns[is_kept], found

    def outer(self, solved):
        """The columns of each label and its solution, for the columns that were given."""
        for columns, found in solved:
            w, b = found.weights, found.intercept
            if self.scale is not None:
                w = w * self.scale[columns]
            if self.subtracted is not None:
                b -= float(self.subtracted[columns] @ w)
            yield columns, found._replace(weights=w, intercept=b)

    def decays(self, decay, columns):
        """What the squares of some weights are multiplied by: the penalty is that of `outer`."""
        return decay if self.scale is None else decay * self.scale[columns] ** 2

    def _mean_score(self, rows, columns, weights):
        """Of some documents, without the intercept."""
        dense = np.zeros(self.X.shape[1], dtype=np.float32)
        dense[columns] = weights
        return mean_of(self.X[rows], None if self.weights is None else self.weights[rows]) @ dense

    def scratch(self):
        """What `rows` works with: no column is marked, and none has a place."""
        n_features = self.X.shape[1]
        return np.zeros(n_features, dtype=bool), np.zeros(n_features, dtype=np.int32)

    def rows(self, chosen, scratch):
        """Some rows of X without the columns that they lack, and the columns that they have."""
        is_there, place = scratch  # as long as the vocabulary: new ones would take the most time
        found = self.X[chosen]
        is_there[found.indices] = True
        columns = np.flatnonzero(is_there)
        is_there[columns] = False
        place[columns] = np.arange(len(columns), dtype=np.int32)
        arrays = found.data, place[found.indices], found.indptr
        return sparse.csr_array(arrays, shape=(len(chosen), len(columns))), columns


def mean_of(X, weights=None):
    """The mean document (n_features,) of float32, each counted as often as its weight says."""
    weights = np.ones(X.shape[0], dtype=np.float32) if weights is None else weights
    total = weights.sum(dtype=np.float64)
    return (X.T @ weights / (total if total > 0 else 1.0)).astype(np.float32)


def _rounded(weights):
    """To float16, which halves a file; weights out of its range stay as they are."""
    low, high = np.abs(weights).min(initial=1), np.abs(weights).max(initial=1)
    is_in_range = low >= np.finfo(np.float16).tiny and high <= np.finfo(np.float16).max
    return weights.astype(np.float16).astype(np.float32) if is_in_range else weights


def _length(weights):
    return float(np.linalg.norm(weights.astype(np.float64)))


class Block(NamedTuple):
    """Labels that are solved together, their documents, and those near to these."""

    labels: np.ndarray
    owned: list
    near: list


class Shortlist(NamedTuple):
    """Rows that have a label, those without it that matter, and the mean score of the rest."""

    own: np.ndarray
    others: np.ndarray
    level: float


def most_violators(n_own):
    """Documents without a label of n documents that are solved with it, besides those near."""
    return _VIOLATORS + _VIOLATORS_PER_DOCUMENT * n_own


def _with_violators(own, near, scores, intercept, weights=None):
    """The documents near, and the best-scored of those that the label's solution depends on."""
    left = np.ones(len(scores), dtype=bool)
    left[own] = left[near] = False
    found = np.flatnonzero(left & (scores > -1 - intercept))
    n = min(most_violators(len(own)), len(found))
    others = np.concatenate([near, found[_largest(scores[found], n)]])
    return Shortlist(own, others, _mean_of_rest(scores, own, others, weights))


def _mean_of_rest(scores, own, others, weights):
    """The mean score of the documents that are in neither; 0 where there are none."""
    n_far = len(scores) - len(own) - len(others)
    if weights is not None:
        scores, n_far = scores * weights, _weight_of_rest(weights, own, others)
    total = float(scores.sum(dtype=np.float64))
    rest = total - float(scores[own].sum() + scores[others].sum())
    return rest / n_far if n_far > 0 else 0.0


def _weight_of_rest(weights, own, others):
    """The weight of the documents that are in neither."""
    left = np.ones(len(weights), dtype=bool)
    left[own] = left[others] = False
    return float(weights[left].sum(dtype=np.float64))


def _largest(values, n):
    """Places of the n largest, in no order."""
    if n >= len(values):
        return np.flatnonzero(values > -np.inf)
    return np.argpartition(-values, n)[:n] if n else np.empty(0, dtype=np.int64)


def _solve(problem, lists, W, decay, solver):
    """Columns and solution of each label on its shortlist, from the weights W."""
    solved, scratch = [], problem.scratch()
    for k, (own, others, level) in enumerate(lists):
        rows = np.concatenate([own, others])
        X, columns = problem.rows(rows, scratch)
        signs = np.repeat(np.float32([1, -1]), [len(own), len(others)])
        n_far, weights = problem.X.shape[0] - len(signs), None
        if problem.weights is not None:
            n_far, weights = _weight_of_rest(problem.weights, own, others), problem.weights[rows]
        decays = problem.decays(decay, columns)
        hinge = LabelHinge(X, X.T, signs, n_far, level, decays, weights)
        found = minimise(hinge, W[columns, k], W[-1, k], solver.tol, solver.max_iter)
        solved.append((columns, found))
    return solved


def _dense(solved, shape):
    """Weights of the labels, the intercepts last."""
    W = np.zeros(shape, dtype=np.float32)
    for k, (columns, found) in enumerate(solved):
        W[columns, k], W[-1, k] = found.weights, found.intercept
    return W


def _as_block(solved, shape):
    """The same as a SolvedBlock of sparse weights; intercepts are all kept."""
    solved = list(solved)
    indices = [np.append(columns, shape[0] - 1) for columns, _ in solved]
    values = [np.append(found.weights, np.float32(found.intercept)) for _, found in solved]
    ends = np.cumsum([0, *map(len, indices)], dtype=np.int32)
    arrays = np.concatenate(values), np.concatenate(indices).astype(np.int32), ends
    n_iter = max(found.n_iter for _, found in solved)
    n_unconverged = sum(not found.converged for _, found in solved)
    return SolvedBlock(sparse.csc_array(arrays, shape=shape), n_iter, n_unconverged)
