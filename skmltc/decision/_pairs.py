"""The (document, label) pairs that cut-offs are learned from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
from joblib import Parallel, delayed
from scipy import sparse

from .._engines import Shared
from .._rows import rows_of
from .._targets import count_documents, count_labels
from ..labels import LabelStatistics, log_odds_against

_KEPT, _KEPT_PER_POSITIVE = 50, 5
_SAMPLED = 50  # documents that stand for the rest
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
    weights : array of shape (n_samples,), default=None
        How often each document counts; once by default.
    """

    X: sparse.csr_array | np.ndarray
    Y: sparse.csr_array
    weights: np.ndarray | None = None

    def __len__(self):
        return self.Y.shape[0]

    def __getitem__(self, rows):
        weights = None if self.weights is None else self.weights[rows]
        return Documents(rows_of(self.X, rows), self.Y[rows], weights)

    @property
    def counts(self):
        """Documents of each label, by their weights."""
        return count_labels(self.Y, self.weights)

    @property
    def n_samples(self):
        """Documents in all, by their weights."""
        return count_documents(self.Y, self.weights)

    @property
    def fitted_Y(self):
        """What `HeldOut` says of these documents where a scorer was trained on them."""
        if self.weights is None:
            return self.Y
        return LabelStatistics(self.counts, self.n_samples)


class HeldOut(NamedTuple):
    """Documents that a scorer has not been trained on.

    Parameters
    ----------
    scorer : Scorer
    fitted_Y : csr_array of shape (n_fitted, n_labels), or LabelStatistics
        Labels of the documents that it has been trained on; where these have weights, their counts.
    documents : Documents
    """

    scorer: Scorer
    fitted_Y: sparse.csr_array | LabelStatistics
    documents: Documents


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """The (document, label) pairs that calibration and cut-offs are learned from.

    Of each label they are the best-scored 50 + 5 n held-out documents, n of them having it (equal
    scores rank by row, the lower first), all others that have the label, and of the rest the 50
    documents that stand for it, the same for every label. A label without a document in the
    training part gets no pair: its documents are missed at any cut-off.

    Parameters
    ----------
    labels : array of int of shape (n_pairs,)
        Column of each pair.
    scores : array of float of shape (n_pairs,)
        Scores by a model that has not seen the document.
    log_odds_against : array of float of shape (n_pairs,)
        log(N/n - 1) of the label among the documents that the model was trained on.
    is_true : array of bool of shape (n_pairs,)
        Whether the document has the label.
    weights : array of float of shape (n_pairs,)
        For how many documents of its label a pair stands.
    n_positives : array of int of shape (n_labels,)
        How many documents each label has, reached or not.
    are_log_odds : bool, default=False
        Whether the scores are log-odds as they are: those of a stack of members, which is
        calibrated by more than one line.
    """

    labels: np.ndarray
    scores: np.ndarray
    log_odds_against: np.ndarray
    is_true: np.ndarray
    weights: np.ndarray
    n_positives: np.ndarray
    are_log_odds: bool = False

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
    def collect_blocks(cls, blocks, fitted_Y, truth, labels=None, document_weights=None):
        """Take the same pairs from scores of blocks of labels.

        Parameters
        ----------
        blocks : iterable of (array of int of shape (n_block,), array of (n_samples, n_block))
            Labels, and their scores of the documents.
        fitted_Y, truth, labels, document_weights
            As in `collect_rows`.

        Returns
        -------
        ScoredPairs
        """
        choice = _Choice.of(fitted_Y, truth, labels, document_weights)
        return choice.pairs([choice.of_columns(scores, block) for block, scores in blocks])

    @classmethod
    def collect_rows(cls, blocks, fitted_Y, truth, labels=None, document_weights=None):
        """Take the same pairs from scores of all labels, by blocks of documents.

        Parameters
        ----------
        blocks : iterable of array of shape (n_block, n_labels)
            Scores of the documents, one block after the other.
        fitted_Y : csr_array of shape (n_fitted, n_labels), or LabelStatistics
            Labels of the documents that the classifier was trained on, or how many they are.
        truth : csr_array of shape (n_samples, n_labels)
            Labels of the documents.
        labels : array of bool of shape (n_labels,), default=None
            Leave the others out.
        document_weights : array of shape (n_samples,), default=None
            How often each document counts; once by default.

        Returns
        -------
        ScoredPairs
        """
        choice = _Choice.of(fitted_Y, truth, labels, document_weights)
        columns = np.flatnonzero(choice.wanted)
        best, others, first = _Scored.none(), [], 0
        for scores in blocks:
            found = choice.of_columns(scores[:, columns], columns, first)
            best = best.merged(found.best, choice.wanted)
            others.append(found.others)
            first += len(scores)
        return choice.pairs([_Found(best, _Scored.joined(others))])

    @classmethod
    def concatenate(cls, parts):
        """Put the pairs of several folds together."""
        fields = {f: np.concatenate([getattr(p, f) for p in parts]) for f in _PAIR_FIELDS}
        n_positives = np.sum([part.n_positives for part in parts], axis=0)
        return cls(
            **fields, n_positives=n_positives, are_log_odds=all(p.are_log_odds for p in parts)
        )

    def shifted(self, by_label):
        """Add a number to the scores of each label."""
        return replace(self, scores=self.scores + by_label[self.labels])

    def select(self, mask):
        """Keep the pairs of some labels only."""
        kept = mask[self.labels]
        fields = {field: getattr(self, field)[kept] for field in _PAIR_FIELDS}
        return replace(self, **fields, n_positives=np.where(mask, self.n_positives, 0))

    @property
    def true_weights(self):
        """The weights of the pairs that are true, 0 for all others."""
        return self.weights * self.is_true

    def by_label(self):
        """The pairs of each label, as a list in the order of the labels."""
        order = np.argsort(self.labels, kind="stable")
        ends = np.cumsum(np.bincount(self.labels, minlength=len(self.n_positives)))[:-1]
        columns = {f: np.split(getattr(self, f)[order], ends) for f in _PAIR_FIELDS}
        return [
            replace(self, **{f: parts[k] for f, parts in columns.items()}, n_positives=n)
            for k, n in enumerate(self.n_positives[:, None])
        ]

    def micro_f1_curve(self, least=0.0):
        """Cut-offs, highest first, and the micro-F1 of predicting what scores above each.

        Those with a micro-F1 below `least` may be left out.
        """
        best = self._best_scored(least)
        best = best[np.argsort(-self.scores[best], kind="stable")]  # sums do not depend on `least`
        ranked, weights = self.scores[best].astype(np.float64), self.weights[best]
        found = np.cumsum(weights * self.is_true[best], dtype=np.float64)
        predicted = np.cumsum(weights, dtype=np.float64)
        f1 = 2 * found / (predicted + self.n_positives.sum())
        below = np.append(ranked[1:], -np.inf)
        just_below = np.nextafter(ranked, -np.inf)  # few of the pairs further down were seen
        middle = np.minimum(ranked / 2 + below / 2, just_below)
        cut_offs = np.where(below > -np.inf, middle, just_below)
        distinct = ranked > below
        return cut_offs[distinct], f1[distinct]

    def reached_micro_f1(self):
        """The micro-F1 of predicting about as many pairs as are true: the best one is no less."""
        predicted = self._above(self.n_positives.sum())
        found = self.weights[predicted] @ self.is_true[predicted]
        return 2 * found / max(self.weights[predicted].sum() + self.n_positives.sum(), 1)

    def _best_scored(self, least):
        """Where pairs are that may be predicted, if micro-F1 is to be `least` or more.

        With f pairs found, p predicted and n true it is 2 f / (p + n), and f is n at most, so p is
        2 n / least - n at most. To sort some of many pairs takes a fraction of the time.
        """
        lightest, n_true = self.weights.min(initial=1), self.n_positives.sum()
        if least * (lightest * len(self.scores) + n_true) <= 2 * n_true:  # all may be
            return np.arange(len(self.scores))
        return self._above((2 * n_true / least - n_true) / lightest + 2)

    def _above(self, n):
        """Where the n best-scored pairs are, and those that score as the last of them."""
        first = len(self.scores) - int(n)
        if first <= 0 or n < 1:
            return np.arange(len(self.scores))
        return np.flatnonzero(self.scores >= np.partition(self.scores, first)[first])

    def macro_f1(self, cut_off):
        """Mean F1 of the labels that have a document, at one cut-off; 0 if none has."""
        above = self.scores > np.float64(cut_off)  # a float would be rounded to float32 scores
        n_labels = len(self.n_positives)
        predicted = np.bincount(self.labels[above], self.weights[above], minlength=n_labels)
        found = np.bincount(self.labels[above], self.true_weights[above], minlength=n_labels)
        known = self.n_positives > 0
        f1 = 2 * found[known] / (predicted + self.n_positives)[known]
        return f1.sum() / max(len(f1), 1)


_PAIR_FIELDS = ("labels", "scores", "log_odds_against", "is_true", "weights")


class _Scored(NamedTuple):
    """Scores of some (document, label) pairs."""

    rows: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    @classmethod
    def none(cls):
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))

    @classmethod
    def joined(cls, parts):
        return cls(*map(np.concatenate, zip(cls.none(), *parts, strict=True)))

    def merged(self, others, wanted):
        """Keep the best `wanted` of each label, of both, whose rows differ."""
        rows, labels, scores = self.joined([self, others])
        order = np.lexsort((rows, -scores, labels))
        starts = np.searchsorted(labels[order], labels[order])
        kept = order[np.arange(len(order)) - starts < wanted[labels[order]]]
        return _Scored(rows[kept], labels[kept], scores[kept])


class _Found(NamedTuple):
    """The best-scored documents of some labels; and those that have a label or are sampled."""

    best: _Scored
    others: _Scored


@dataclass(frozen=True, eq=False)
class _Choice:
    """Which pairs of held-out documents are kept.

    Parameters
    ----------
    truth : csr_array of shape (n_samples, n_labels)
    wanted : array of int of shape (n_labels,)
        How many of the best-scored documents of each label; 0 leaves the label out.
    log_odds_against : array of shape (n_labels,)
        Among the documents trained on.
    n_positives : array of int of shape (n_labels,)
    sampled : array of bool of shape (n_samples,)
        The documents that stand for the rest.
    weights : array of shape (n_samples,)
        How often each document counts.
    """

    truth: sparse.csr_array
    wanted: np.ndarray
    log_odds_against: np.ndarray
    n_positives: np.ndarray
    sampled: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, fitted_Y, truth, labels, weights=None):
        fitted, n_fitted = _fitted_counts(fitted_Y)
        n_positives = count_labels(truth)
        among = np.ones(len(fitted), dtype=bool) if labels is None else labels
        wanted = np.where(among & (fitted > 0), _KEPT + _KEPT_PER_POSITIVE * n_positives, 0)
        sampled = np.zeros(truth.shape[0], dtype=bool)
        sampled[np.random.RandomState(0).permutation(len(sampled))[:_SAMPLED]] = True
        against = log_odds_against(fitted, n_fitted).astype(np.float32)
        n_positives = np.where(among, count_labels(truth, weights), 0)
        weights = np.ones(len(sampled)) if weights is None else weights
        return cls(truth, wanted, against, n_positives, sampled, weights)

    def of_columns(self, scores, labels, first=0):
        """Find the pairs in the scores of some labels.

        Parameters
        ----------
        scores : array of shape (n_rows, n_block)
            Of documents from the row `first` on.
        labels : array of int of shape (n_block,)
            Label of each column.
        """
        known = self.wanted[labels] > 0
        scores, labels = scores[:, known], labels[known]
        rows = np.arange(first, first + len(scores))
        others = self.truth[rows][:, labels].toarray() > 0
        others[self.sampled[rows]] = True
        masks = _best_of_columns(scores, self.wanted[labels]), others
        found = [(*np.nonzero(mask), scores[mask]) for mask in masks]
        return _Found(*[_Scored(rows[r], labels[c], chosen) for r, c, chosen in found])

    def pairs(self, found):
        """Put together what was found in blocks, each pair once, by label and row."""
        best = _Scored.joined([part.best for part in found])
        rows, labels, scores = _Scored.joined([best, *[part.others for part in found]])
        n_rows, n_labels = self.truth.shape
        keys, at = np.unique(labels * n_rows + rows, return_index=True)  # the first of equals
        labels, scores = labels[at], scores[at]
        is_true = np.isin(keys, self._true_keys(), assume_unique=True)
        is_sample = (at >= len(best.rows)) & ~is_true
        weights = self.weights[rows[at]]
        by_label = partial(np.bincount, minlength=n_labels)
        n_rest = self.weights.sum() - by_label(labels[~is_sample], weights[~is_sample])
        n_sampled = by_label(labels[is_sample], weights[is_sample])
        stands_for = np.divide(n_rest, n_sampled, out=np.ones(n_labels), where=n_sampled > 0)
        weights = np.where(is_sample, stands_for[labels], 1) * weights
        against = self.log_odds_against[labels]
        return ScoredPairs(
            labels.astype(np.int32),
            scores,
            against,
            is_true,
            weights.astype(np.float32),
            self.n_positives,
        )

    def _true_keys(self):
        n_rows = self.truth.shape[0]
        rows = np.repeat(np.arange(n_rows), np.diff(self.truth.indptr))
        return self.truth.indices.astype(np.int64) * n_rows + rows


def _fitted_counts(fitted_Y):
    """Documents of each label, and in all, of label indicators or their statistics."""
    if isinstance(fitted_Y, LabelStatistics):
        return np.asarray(fitted_Y.counts), fitted_Y.n_samples
    return count_labels(fitted_Y), fitted_Y.shape[0]


def _best_of_columns(scores, wanted):
    """Mark so many of the best documents of each column; of equal scores those of lower rows."""
    if not scores.size:
        return np.zeros(scores.shape, dtype=bool)
    n_kept = np.minimum(wanted, len(scores))
    deepest = n_kept.max()
    falling = -np.sort(np.partition(-scores, deepest - 1, axis=0)[:deepest], axis=0)
    last = falling[n_kept - 1, np.arange(len(wanted))]
    above, level = scores > last, scores == last
    n_level = n_kept - np.count_nonzero(above, axis=0)
    return above | (level & (np.cumsum(level, axis=0, dtype=np.int32) <= n_level))


def _pairs_of(scorer, fitted_Y, documents, labels, device, n_jobs):
    """Pairs of one part of held-out documents."""
    choice = _Choice.of(fitted_Y, documents.Y, labels, documents.weights)
    encoded = scorer.encode(documents.X, device)
    counts = np.where(choice.wanted > 0, _fitted_counts(fitted_Y)[0], 0)
    blocks = label_blocks(counts, _LABELS_AT_A_TIME)
    task = Shared(partial(_find_in_block, scorer, encoded, choice))
    found = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(Shared.call)(task, block) for block in blocks
    )
    return choice.pairs(found)


def _find_in_block(scorer, encoded, choice, block):
    return choice.of_columns(scorer.scores(encoded, block), block)


def label_blocks(label_counts, size):
    """Labels with documents, the frequent first, in blocks of a size.

    Labels of like frequency take alike many iterations of a solver.
    """
    order = np.argsort(-label_counts, kind="stable")[: np.count_nonzero(label_counts)]
    return [order[start : start + size] for start in range(0, len(order), size)]
