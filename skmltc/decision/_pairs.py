"""The (document, label) pairs that cut-offs are learned from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from joblib import Parallel, delayed
from scipy import sparse

from .._targets import count_labels

_KEPT, _KEPT_PER_POSITIVE = 50, 5
_LABELS_AT_A_TIME = 64


class Scorer(Protocol):
    """What training leaves: scores of documents that it need not have seen."""

    def encode(self, X, device):
        """Vectors of a block of checked documents, computed once."""

    def scores(self, encoded, labels=None):
        """Logits (n_samples, n_block) of an array of labels, of all by default; float32."""


@dataclass(frozen=True, eq=False)
class Documents:
    """Documents and their labels.

    Parameters
    ----------
    X : csr_array or array of shape (n_samples, n_inputs)
    Y : csr_array of shape (n_samples, n_labels)
    """

    X: sparse.csr_array | np.ndarray
    Y: sparse.csr_array

    def __len__(self):
        return self.Y.shape[0]

    def __getitem__(self, rows):
        return Documents(self.X[rows], self.Y[rows])


class HeldOut(NamedTuple):
    """Documents that a scorer has not been trained on.

    Parameters
    ----------
    scorer : Scorer
    fitted_Y : csr_array of shape (n_fitted, n_labels)
        Labels of the documents that it has been trained on.
    documents : Documents
    """

    scorer: Scorer
    fitted_Y: sparse.csr_array
    documents: Documents


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """The (document, label) pairs that a sensible cut-off may reach, with their scores.

    Of each label they are the best-scored 50 + 5 n held-out documents, n of them having it; equal
    scores rank by row, the lower first. A label without a document in the training part gets no
    pair: its documents are missed at any cut-off.

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
    def collect(cls, held_out, labels=None, device="cpu", n_jobs=None):
        """Score held-out documents by blocks of labels.

        Parameters
        ----------
        held_out : iterable of HeldOut
        labels : array of bool of shape (n_labels,), default=None
            Leave the others out.
        device : str, default="cpu"
            Where documents are encoded.
        n_jobs : int, default=None
            Blocks of labels at a time; None is joblib's context.

        Returns
        -------
        ScoredPairs
        """
        return cls.concatenate([_pairs_of(*part, labels, device, n_jobs) for part in held_out])

    @classmethod
    def collect_blocks(cls, blocks, fitted_Y, truth, labels=None):
        """Take the same pairs from scores of blocks of labels.

        Parameters
        ----------
        blocks : iterable of (array of int of shape (n_block,), array of (n_samples, n_block))
            Labels, and their scores of the documents.
        fitted_Y, truth, labels
            As in `collect_rows`.

        Returns
        -------
        ScoredPairs
        """
        wanted = _n_wanted(fitted_Y, truth, labels)
        known = ((block, scores, wanted[block] > 0) for block, scores in blocks)
        best = [_Candidates.of_columns(s[:, some], b[some], wanted) for b, s, some in known]
        return _Candidates.joined(best).pairs(truth, labels)

    @classmethod
    def collect_rows(cls, blocks, fitted_Y, truth, labels=None):
        """Take the same pairs from scores of all labels, by blocks of documents.

        Parameters
        ----------
        blocks : iterable of array of shape (n_block, n_labels)
            Scores of the documents, one block after the other.
        fitted_Y : csr_array of shape (n_fitted, n_labels)
            Labels of the documents that the classifier was trained on.
        truth : csr_array of shape (n_samples, n_labels)
            Labels of the documents.
        labels : array of bool of shape (n_labels,), default=None
            Leave the others out.

        Returns
        -------
        ScoredPairs
        """
        wanted = _n_wanted(fitted_Y, truth, labels)
        columns = np.flatnonzero(wanted)
        best, first = _Candidates.none(), 0
        for scores in blocks:
            block = _Candidates.of_columns(scores[:, columns], columns, wanted)
            best = best.merged(block._replace(rows=block.rows + first), wanted)
            first += len(scores)
        return best.pairs(truth, labels)

    @classmethod
    def concatenate(cls, parts):
        """Put the pairs of several folds together."""
        fields = [np.concatenate([getattr(p, f) for p in parts]) for f in _PAIR_FIELDS]
        return cls(*fields, np.sum([part.n_positives for part in parts], axis=0))

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


class _Candidates(NamedTuple):
    """The best-scored documents of some labels: row, label and score of each."""

    rows: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    @classmethod
    def none(cls):
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))

    @classmethod
    def of_columns(cls, scores, labels, wanted):
        """Keep the best documents of each column; of equal scores those of the lower rows.

        Parameters
        ----------
        scores : array of shape (n_samples, n_block)
        labels : array of int of shape (n_block,)
            Label of each column.
        wanted : array of int of shape (n_labels,)
            How many documents of each label are kept, if there are so many.
        """
        if not scores.size:
            return cls.none()
        n_kept = np.minimum(wanted[labels], len(scores))
        deepest = n_kept.max()
        falling = -np.sort(np.partition(-scores, deepest - 1, axis=0)[:deepest], axis=0)
        last = falling[n_kept - 1, np.arange(len(labels))]
        above, level = scores > last, scores == last
        n_level = n_kept - np.count_nonzero(above, axis=0)
        chosen = above | (level & (np.cumsum(level, axis=0, dtype=np.int32) <= n_level))
        rows, columns = np.nonzero(chosen)
        return cls(rows, labels[columns], scores[rows, columns])

    @classmethod
    def joined(cls, parts):
        return cls(*map(np.concatenate, zip(cls.none(), *parts, strict=True)))

    def merged(self, others, wanted):
        """Keep the best of both, whose rows differ."""
        rows, labels, scores = self.joined([self, others])
        order = np.lexsort((rows, -scores, labels))
        starts = np.searchsorted(labels[order], labels[order])
        kept = order[np.arange(len(order)) - starts < wanted[labels[order]]]
        return _Candidates(rows[kept], labels[kept], scores[kept])

    def pairs(self, truth, labels):
        """Look up which of them are true, in the csr_array `truth` of all documents."""
        n_positives = count_labels(truth)
        if labels is not None:
            n_positives = np.where(labels, n_positives, 0)
        rows = np.repeat(np.arange(truth.shape[0]), np.diff(truth.indptr))
        keys, true_keys = (
            r.astype(np.int64) * truth.shape[1] + c
            for r, c in ((self.rows, self.labels), (rows, truth.indices))
        )
        is_true = np.isin(keys, true_keys, assume_unique=True)
        return ScoredPairs(self.labels, self.scores, is_true, n_positives)


def _n_wanted(fitted_Y, truth, labels):
    """How many documents of each label are kept; 0 where none was trained on."""
    wanted = _KEPT + _KEPT_PER_POSITIVE * count_labels(truth)
    known = count_labels(fitted_Y) > 0
    return np.where(known if labels is None else known & labels, wanted, 0)


def _pairs_of(scorer, fitted_Y, documents, labels, device, n_jobs):
    """Pairs of one part of held-out documents."""
    wanted = _n_wanted(fitted_Y, documents.Y, labels)
    encoded = scorer.encode(documents.X, device)
    blocks = label_blocks(np.where(wanted > 0, count_labels(fitted_Y), 0), _LABELS_AT_A_TIME)
    best = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(_best_of_block)(scorer, encoded, block, wanted) for block in blocks
    )
    return _Candidates.joined(best).pairs(documents.Y, labels)


def _best_of_block(scorer, encoded, block, wanted):
    return _Candidates.of_columns(scorer.scores(encoded, block), block, wanted)


def label_blocks(label_counts, size):
    """Labels with documents, the frequent first, in blocks of a size.

    Labels of like frequency take alike many iterations of a solver.
    """
    order = np.argsort(-label_counts, kind="stable")[: np.count_nonzero(label_counts)]
    return [order[start : start + size] for start in range(0, len(order), size)]
