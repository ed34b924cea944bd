"""From scores to decisions: the rules that learn a cut-off, and its application."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from scipy.special import logit

from ._ranking import top_of_dense
from ._validation import check_choice, must_be
from .labels import label_groups, rarity

SLACK = 0.003  # micro-F1 that a more generous decision may cost
_SHRINKAGE = 10.0  # positives at which a label's own cut-off counts half
SHIFTS = np.array(
    [-0.2, -0.18, -0.16, -0.14, -0.12, -0.1, -0.08, -0.06, -0.04, -0.02]
    + [0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0]
)


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """The (document, label) pairs that a sensible cut-off may reach, with their scores.

    Parameters
    ----------
    labels : array of int of shape (n_pairs,)
        Column of each pair.
    scores : array of float of shape (n_pairs,)
        Scores by a model that has not seen the document.
    hits : array of bool of shape (n_pairs,)
        Whether the document has the label.
    relevant : array of int of shape (n_labels,)
        How many documents each label has, reached or not.
    """

    labels: np.ndarray
    scores: np.ndarray
    hits: np.ndarray
    relevant: np.ndarray

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
        relevant = np.zeros(n_labels, dtype=np.int64)
        relevant[columns] = np.bincount(truth.indices, minlength=len(columns))
        wanted = np.minimum(50 + 5 * relevant[columns], len(scores))
        deepest = wanted.max()
        rows = np.argpartition(-scores, deepest - 1, axis=0)[:deepest]
        order = np.argsort(-np.take_along_axis(scores, rows, axis=0), axis=0)
        rows = np.take_along_axis(rows, order, axis=0)
        depth, block = np.nonzero(np.arange(deepest)[:, None] < wanted)
        rows = rows[depth, block]
        hits = truth.toarray()[rows, block] > 0
        return cls(columns[block], scores[rows, block], hits, relevant)

    @classmethod
    def empty(cls, n_labels):
        """No pairs at all."""
        nothing = np.empty(0, dtype=np.int64)
        relevant = np.zeros(n_labels, dtype=np.int64)
        return cls(nothing, nothing.astype(np.float32), nothing.astype(bool), relevant)

    @classmethod
    def from_rows(cls, scores, truth, relevant):
        """Take the stored entries of a sparse score matrix.

        Parameters
        ----------
        scores : csr_array of shape (n_samples, n_labels)
            The best scores of each document.
        truth : csr_array of shape (n_samples, n_labels)
            Label indicators.
        relevant : array of int of shape (n_labels,)
            How many documents of each label a model could have found.

        Returns
        -------
        ScoredPairs
        """
        hits = np.isin(_pair_keys(scores), _pair_keys(truth), assume_unique=True)
        return cls(scores.indices, scores.data, hits, relevant)

    @classmethod
    def concatenate(cls, parts):
        """Put the pairs of several folds and blocks together."""
        joined = [np.concatenate([getattr(p, f) for p in parts]) for f in _PAIR_FIELDS]
        return cls(*joined, np.sum([part.relevant for part in parts], axis=0))

    def shifted(self, by_label):
        """Add a number to the scores of each label."""
        return replace(self, scores=self.scores + by_label[self.labels])

    def select(self, mask):
        """Keep the pairs of some labels only."""
        kept = mask[self.labels]
        fields = [getattr(self, field)[kept] for field in _PAIR_FIELDS]
        return ScoredPairs(*fields, np.where(mask, self.relevant, 0))

    def micro_f1_curve(self):
        """Cut-offs, highest first, and the micro-F1 of predicting what scores above each."""
        order = np.argsort(-self.scores)
        ranked, found = self.scores[order].astype(np.float64), np.cumsum(self.hits[order])
        f1 = 2 * found / (np.arange(1, len(order) + 1) + self.relevant.sum())
        below = np.append(ranked[1:], -np.inf)
        just_below = np.nextafter(ranked, -np.inf)  # pairs further down were never seen
        middle = np.minimum(ranked / 2 + below / 2, just_below)
        cut_offs = np.where(below > -np.inf, middle, just_below)
        distinct = ranked > below
        return cut_offs[distinct], f1[distinct]

    def macro_f1(self, cut_off):
        """Mean F1 of the labels that have a document, at one cut-off; 0 if none has."""
        above = self.scores > np.float64(cut_off)  # a float would be rounded to float32 scores
        n_labels = len(self.relevant)
        predicted = np.bincount(self.labels[above], minlength=n_labels)
        found = np.bincount(self.labels[above & self.hits], minlength=n_labels)
        known = self.relevant > 0
        f1 = 2 * found[known] / (predicted + self.relevant)[known]
        return f1.sum() / max(len(f1), 1)


_PAIR_FIELDS = ("labels", "scores", "hits")


def _pair_keys(matrix):
    """Row and column of each stored entry of a CSR matrix in one number."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return rows * matrix.shape[1] + matrix.indices


def best_cut_off(pairs, slack=0.0, best=None):
    """Find the lowest cut-off whose micro-F1 is within `slack` of the best.

    Parameters
    ----------
    pairs : ScoredPairs
    slack : float, default=0.0
        With 0 the best cut-off itself, the highest of equals.
    best : float, optional
        The micro-F1 to compare with; the best of the curve by default.

    Returns
    -------
    cut_off, micro_f1 : float
        Cut-off 0 where no pair is a hit: there is nothing to learn from.
    """
    if not pairs.hits.any():
        return 0.0, 0.0
    cut_offs, f1 = pairs.micro_f1_curve()
    best = f1.max() if best is None else best
    chosen = np.flatnonzero(f1 >= best - slack)[-1] if slack else f1.argmax()
    return float(cut_offs[chosen]), float(f1[chosen])


def tail_first(options, slack=SLACK):
    """Choose the kindest to rare labels of the options within `slack` of the best micro-F1.

    Micro-F1 hardly feels the tail, and its maximum is flat: inside the margin macro-F1 decides,
    each option taken at its lowest cut-off there.

    Parameters
    ----------
    options : dict of key to ScoredPairs
    slack : float, default=SLACK
        Margin of micro-F1.

    Returns
    -------
    key
        Of equals the first.
    cut_off : float
        The option's lowest within the margin.
    best : float
        The micro-F1 that the margin was measured from.
    """
    micro = {key: best_cut_off(pairs)[1] for key, pairs in options.items()}
    best = max(micro.values())
    good = [key for key in options if micro[key] >= best - slack]
    cut_offs = {key: best_cut_off(options[key], slack, best)[0] for key in good}
    chosen = max(good, key=lambda key: options[key].macro_f1(cut_offs[key]))
    return chosen, cut_offs[chosen], best


def learn_threshold(rule, pairs, label_counts, n_samples, *, default=0.0, best=None):
    """Learn one cut-off a label from out-of-fold scores.

    Parameters
    ----------
    rule : {"tuned", "tuned_low", "frequency", "per_group", "per_label"}
        "tuned": one cut-off, of the best micro-F1. "tuned_low": the lowest one within 0.3
        points of it. "frequency": one cut-off for score + tau log(N/n - 1), tau the best for
        macro-F1 within 0.3 points of micro-F1. "per_group": one for each of head, medium and
        tail. "per_label": one a label. The last two are drawn towards the common cut-off where
        positives are few: with ten of them half-way.
    pairs : ScoredPairs
        Out-of-fold scores.
    label_counts : array of shape (n_labels,)
        Training documents of each label. A label without any is left out of the learning.
    n_samples : int
        Training documents in all.
    default : float, default=0.0
        The cut-off if no pair is a hit: there is nothing to learn from.
    best : float, optional
        The micro-F1 that "tuned_low" measures its margin from, where the scores were chosen among
        others; the best of these scores by default.

    Returns
    -------
    array of float of shape (n_labels,)
        In the units of the scores; +inf for a label without documents.
    """
    check_choice("threshold", rule, THRESHOLD_RULES)
    label_counts = np.asarray(label_counts)
    pairs = pairs.select(label_counts > 0)
    if not pairs.hits.any():
        threshold = default
    elif rule == "tuned_low":
        threshold = best_cut_off(pairs, SLACK, best)[0]
    else:
        threshold = _RULES[rule](pairs, label_counts, n_samples)
    return np.where(label_counts > 0, threshold, np.inf)


def _tuned(pairs, label_counts, n_samples):
    return best_cut_off(pairs)[0]


def _frequency(pairs, label_counts, n_samples):
    rare = rarity(label_counts, n_samples)
    options = {shift: pairs.shifted(shift * rare) for shift in sorted(SHIFTS, key=abs)}
    shift, cut_off, _ = tail_first(options, SLACK)
    return cut_off - shift * rare


def _per_group(pairs, label_counts, n_samples):
    common = best_cut_off(pairs)[0]
    threshold = np.empty(len(label_counts))
    for mask in label_groups(label_counts).values():
        threshold[mask] = _shrunk(pairs.select(mask), common)
    return threshold


def _per_label(pairs, label_counts, n_samples):
    common = best_cut_off(pairs)[0]
    by_label = np.argsort(pairs.labels, kind="stable")
    ends = np.cumsum(np.bincount(pairs.labels, minlength=len(label_counts)))
    rows_of = np.split(by_label, ends[:-1])
    own = [
        ScoredPairs(*(getattr(pairs, field)[rows] for field in _PAIR_FIELDS), relevant)
        for rows, relevant in zip(rows_of, pairs.relevant[:, None], strict=True)
    ]
    return np.array([_shrunk(one, common) for one in own])


def _shrunk(pairs, common):
    """Draw the best cut-off of some labels towards the common one, by imagined positives."""
    n_positives = np.count_nonzero(pairs.hits)
    total = n_positives * best_cut_off(pairs)[0] + _SHRINKAGE * common
    return total / (n_positives + _SHRINKAGE)


_RULES = {
    "tuned": _tuned,
    "frequency": _frequency,
    "per_group": _per_group,
    "per_label": _per_label,
}
THRESHOLD_RULES = ("tuned_low", *_RULES)


def check_threshold(threshold):
    """Refuse what is neither a probability nor the name of a rule."""
    if isinstance(threshold, str):
        check_choice("threshold", threshold, THRESHOLD_RULES)
    elif not isinstance(threshold, Real) or not 0 < threshold < 1:
        rules = ", ".join(map(repr, THRESHOLD_RULES))
        raise must_be("threshold", f"a probability in (0, 1) or one of {rules}", repr(threshold))


def check_min_labels(min_labels):
    """Refuse what is not a count."""
    if not isinstance(min_labels, Integral) or isinstance(min_labels, bool) or min_labels < 0:
        raise must_be("min_labels", "0 or a positive integer", repr(min_labels))


def fixed_threshold(probability, label_counts):
    """Make the logit of a probability every label's cut-off, +inf where it has no document."""
    return np.where(np.asarray(label_counts) > 0, logit(float(probability)), np.inf)


def decide(scores, threshold, min_labels=0):
    """Predict the labels that score above their threshold.

    Parameters
    ----------
    scores : array of shape (n_samples, n_labels)
        A block of documents.
    threshold : array of shape (n_labels,)
        In the units of the scores; a label at +inf is never predicted.
    min_labels : int, default=0
        Fill every document up to this number with the labels that fall least short of their
        threshold.

    Returns
    -------
    csr_array of int64 of shape (n_samples, n_labels)
    """
    chosen = scores > threshold
    if min_labels:
        chosen[_best(scores - threshold, min_labels)] = True
    return sparse.csr_array(chosen, dtype=np.int64)


def top_scores(scores, threshold, k):
    """Keep the best scores of each document.

    Parameters
    ----------
    scores : array of shape (n_samples, n_labels)
        A block of documents.
    threshold : array of shape (n_labels,)
        Only where it is +inf counts: such a label is left out.
    k : int
        How many labels a document at most.

    Returns
    -------
    csr_array of shape (n_samples, n_labels)
        Of equal scores the lower columns are kept.
    """
    rows, columns = _best(np.where(np.isposinf(threshold), -np.inf, scores), k)
    best = sparse.csr_array((scores[rows, columns], (rows, columns)), shape=scores.shape)
    best.sort_indices()
    return best


def _best(scores, k):
    """Rows and columns of the k best scores of each row; one of -inf is none."""
    ranking = top_of_dense(scores, min(k, scores.shape[1]))
    rows, ranks = np.nonzero(ranking >= 0)
    return rows, ranking[rows, ranks]


def form_of(y):
    """Name the form of y: "dense", "array" (scipy sparse array) or "matrix" (sparse matrix)."""
    if not sparse.issparse(y):
        return "dense"
    return "array" if isinstance(y, sparse.sparray) else "matrix"


def in_form(prediction, form):
    """Give a csr_array the form in which y came."""
    if form == "dense":
        return prediction.toarray()
    return sparse.csr_matrix(prediction) if form == "matrix" else prediction
