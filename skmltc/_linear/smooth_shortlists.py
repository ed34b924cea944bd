"""Smooth losses of many labels, each solved on the documents that matter for it.

As `shortlists` does for the squared hinge, but that no document is without any loss. Those with the
steepest loss are taken for violators; all others count as one document. It is their mean, each by
its slope, and has their slope in all: where the scores of the last pass stay as they are, its
gradient is the sum of theirs in every weight. So two passes come as near to the solution on all
documents as those of the hinge do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from .._products import csr_dot, csr_tensors
from .newton import LabelLoss, minimise
from .shortlists import OnShortlists, Shortlists, most_violators


@dataclass(frozen=True, eq=False)
class SmoothShortlists(OnShortlists):
    """Documents, labels and their loss, as they are needed to find the documents that matter.

    Parameters
    ----------
    documents : Shortlists
    turned : list of tensors
        The transpose of X for products.
    loss : BalancedLoss
        Of all labels.
    mass : tensor of shape (n_samples,) or None
        What the loss sums over all labels of each document.
    starts : array of shape (n_labels,)
        Intercepts of least loss where all weights are 0.
    """

    documents: Shortlists
    turned: list
    loss: torch.nn.Module
    mass: torch.Tensor | None
    starts: np.ndarray

    @classmethod
    def of(cls, documents, loss, starts):
        """Take in the documents and the loss, built for all labels."""
        turned = csr_tensors(sparse.csr_array(documents.X.T), "cpu")
        return cls(documents, turned, loss, loss.label_mass(documents.Y), starts)

    @property
    def Y(self):
        """Labels of the documents."""
        return self.documents.Y

    @property
    def weights(self):
        """How often each document counts, or None."""
        return self.documents.weights

    @property
    def shape(self):
        """Of the weights of all labels, the intercepts last."""
        return self.documents.shape

    def block(self, labels):
        """Labels with their documents and those near to these."""
        return self.documents.block(labels)

    def start(self, labels):
        """Weights (n_features + 1, n_block) to begin with."""
        W = np.zeros((self.shape[0], len(labels)), dtype=np.float32)
        W[-1] = self.starts[labels]
        return W

    def first(self, block, W, decay, solver):
        """Solve labels on their documents and those near; all score alike before."""
        slopes = self._slopes(block, np.repeat(W[-1][:, None], len(self.documents.lengths), axis=1))
        return self._solve(block, block.near, slopes, W, decay, solver)

    def again(self, block, W, decay, solver):
        """Solve labels on the documents without them whose loss is steepest, too."""
        slopes = self._slopes(block, self.documents.products(W[:-1]) + W[-1][:, None])
        others = [
            _with_steepest(near, of_label, most_violators(len(own)))
            for own, near, of_label in zip(block.owned, block.near, slopes, strict=True)
        ]
        return self._solve(block, others, slopes, W, decay, solver)

    def _slopes(self, block, scores):
        """Slopes (n_block, n_samples) of the loss of documents without the labels, else 0."""
        loss = self.loss.select(torch.from_numpy(block.labels))
        logits = torch.from_numpy(scores).T
        targets = torch.zeros_like(logits)
        _, slopes = loss.cells(logits, targets, loss.weight(targets, self.mass))
        slopes = slopes.T.contiguous().numpy()
        if self.weights is not None:
            slopes *= self.weights
        for own, of_label in zip(block.owned, slopes, strict=True):
            of_label[own] = 0
        return slopes

    def _solve(self, block, others, slopes, W, decay, solver):
        """Columns and solution of each label on its documents, others, and one far document."""
        for of_label, rows in zip(slopes, others, strict=True):
            of_label[rows] = 0
        gradients = csr_dot(*self.turned, torch.from_numpy(slopes).T).numpy()
        totals = slopes.sum(axis=1, dtype=np.float64)
        solved, scratch = [], self.documents.scratch()
        for k, (own, rest) in enumerate(zip(block.owned, others, strict=True)):
            loss = self.loss.select(torch.from_numpy(block.labels[[k]]))
            objective, columns = self._objective(loss, own, rest, decay, scratch)
            start = W[columns, k], W[-1, k]
            if totals[k] > 0:
                mean = gradients[columns, k] / np.float32(totals[k])
                objective = _with_far(objective, mean, totals[k], *start)
            found = minimise(objective, *start, solver.tol, solver.max_iter)
            solved.append((columns, found))
        return solved

    def _objective(self, loss, own, others, decay, scratch):
        """The objective of a label on some rows alone, and the columns that these have."""
        rows = np.concatenate([own, others])
        X, columns = self.documents.rows(rows, scratch)
        signs = np.repeat(np.float32([1, -1]), [len(own), len(others)])
        weights = torch.ones(len(rows), 1)
        if self.weights is not None:
            weights = torch.from_numpy(self.weights[rows])[:, None]
        mass = None if self.mass is None else self.mass[rows]
        of_loss = loss.weight(torch.from_numpy(signs).clamp_min(0)[:, None], mass)
        weights = weights if of_loss is None else weights * of_loss
        decays = self.documents.decays(decay, columns)
        return LabelLoss(X, X.T, signs, loss, weights, decays), columns


def _with_steepest(near, slopes, n):
    """The documents near, and n of the others with the steepest loss."""
    slopes = slopes.copy()
    slopes[near] = 0
    found = np.argpartition(-slopes, n)[:n] if n < len(slopes) else np.arange(len(slopes))
    return np.concatenate([near, found[slopes[found] > 0]])


def _with_far(objective, mean, slope, weights, intercept):
    """The objective with one more row without the label, of so much slope at the start."""
    score = torch.full((1, 1), float(mean @ weights + intercept))
    _, of_one = objective.loss.cells(score, torch.zeros(1, 1))
    if not of_one > 0:
        return objective
    X = _with_row(objective.X, mean)
    signs = np.append(objective.signs, np.float32(-1))
    of_rows = torch.cat([objective.weights, slope / of_one])
    return objective._replace(X=X, X_T=X.T, signs=signs, weights=of_rows)


def _with_row(X, row):
    """X and a dense row below it; scipy's vstack takes as long as a product."""
    columns = np.arange(len(row), dtype=X.indices.dtype)
    ends = np.append(X.indptr, X.indptr[-1] + len(row)).astype(X.indptr.dtype)
    arrays = np.append(X.data, row), np.append(X.indices, columns), ends
    return sparse.csr_array(arrays, shape=(X.shape[0] + 1, X.shape[1]))
