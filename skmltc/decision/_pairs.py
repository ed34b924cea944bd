"""The (document, label) pairs that cut-offs are learned from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """The (document, label) pairs that a sensible cut-off may reach, with their scores.

    Parameters
    ----------
    labels : array of int of shape (n_pairs,)
        Column of each pair.
    scores : array of float of shape (n_pairs,)
        Scores by a model that has not seen the document.
    is_true : array of bool of shape (n_pairs,)
        Whether the document has the label.
    n_positives : array of int of shape (n_labels,)
        How many documents each label has, reached or not.
    """

    labels: np.ndarray
    scores: np.ndarray
    is_true: np.ndarray
    n_positives: np.ndarray

    @classmethod
    def from_columns(cls, scores, truth, columns, n_labels):
        """Keep, of each label, its best-scored documents: 50 and five for each that has it.

        Parameters
        ----------
        scores : array of shape (n_samples, n_block)
            Scores of a block of labels.
        truth : csr_array of shape (n_samples, n_block)
            Their indicators.
        columns : array of int of shape (n_block,)
            Which labels they are.
        n_labels : int
            Of all labels.

        Returns
        -------
        ScoredPairs
        """
        n_positives = np.zeros(n_labels, dtype=np.int64)
        n_positives[columns] = np.bincount(truth.indices, minlength=len(columns))
        wanted = np.minimum(50 + 5 * n_positives[columns], len(scores))
        deepest = wanted.max()
        rows = np.argpartition(-scores, deepest - 1, axis=0)[:deepest]
        order = np.argsort(-np.take_along_axis(scores, rows, axis=0), axis=0)
        rows = np.take_along_axis(rows, order, axis=0)
        depth, block = np.nonzero(np.arange(deepest)[:, None] < wanted)
        rows = rows[depth, block]
        is_true = truth.toarray()[rows, block] > 0
        return cls(columns[block], scores[rows, block], is_true, n_positives)

    @classmethod
    def empty(cls, n_labels):
        """No pairs at all."""
        nothing = np.empty(0, dtype=np.int64)
        n_positives = np.zeros(n_labels, dtype=np.int64)
        return cls(nothing, nothing.astype(np.float32), nothing.astype(bool), n_positives)

    @classmethod
    def from_rows(cls, scores, truth, n_positives):
        """Take the stored entries of a sparse score matrix.

        Parameters
        ----------
        scores : csr_array of shape (n_samples, n_labels)
            The best scores of each document.
        truth : csr_array of shape (n_samples, n_labels)
            Label indicators.
        n_positives : array of int of shape (n_labels,)
            How many documents of each label a model could have found.

        Returns
        -------
        ScoredPairs
        """
        is_true = np.isin(_pair_keys(scores), _pair_keys(truth), assume_unique=True)
        return cls(scores.indices, scores.data, is_true, n_positives)

    @classmethod
    def concatenate(cls, parts):
        """Put the pairs of several folds and blocks together."""
        joined = [np.concatenate([getattr(p, f) for p in parts]) for f in _PAIR_FIELDS]
        return cls(*joined, np.sum([part.n_positives for part in parts], axis=0))

    def shifted(self, by_label):
        """Add a number to the scores of each label."""
        return replace(self, scores=self.scores + by_label[self.labels])

    def select(self, mask):
        """Keep the pairs of some labels only."""
        kept = mask[self.labels]
        fields = [getattr(self, field)[kept] for field in _PAIR_FIELDS]
        return ScoredPairs(*fields, np.where(mask, self.n_positives, 0))

    def micro_f1_curve(self):
        """Cut-offs, highest first, and the micro-F1 of predicting what scores above each."""
        order = np.argsort(-self.scores)
        ranked, found = self.scores[order].astype(np.float64), np.cumsum(self.is_true[order])
        f1 = 2 * found / (np.arange(1, len(order) + 1) + self.n_positives.sum())
        below = np.append(ranked[1:], -np.inf)
        just_below = np.nextafter(ranked, -np.inf)  # pairs further down were never seen
        middle = np.minimum(ranked / 2 + below / 2, just_below)
        cut_offs = np.where(below > -np.inf, middle, just_below)
        distinct = ranked > below
        return cut_offs[distinct], f1[distinct]

    def macro_f1(self, cut_off):
        """Mean F1 of the labels that have a document, at one cut-off; 0 if none has."""
        above = self.scores > np.float64(cut_off)  # a float would be rounded to float32 scores
        n_labels = len(self.n_positives)
        predicted = np.bincount(self.labels[above], minlength=n_labels)
        found = np.bincount(self.labels[above & self.is_true], minlength=n_labels)
        known = self.n_positives > 0
        f1 = 2 * found[known] / (predicted + self.n_positives)[known]
        return f1.sum() / max(len(f1), 1)


_PAIR_FIELDS = ("labels", "scores", "is_true")


def _pair_keys(matrix):
    """Row and column of each stored entry of a CSR matrix in one number."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return rows * matrix.shape[1] + matrix.indices
