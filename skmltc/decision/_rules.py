"""The rules that learn cut-offs from the scores of held-out documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from .._validation import check_choice, did_you_mean, known_labels, must_be
from ..labels import label_groups, log_odds_against
from ._calibration import Calibration

_SLACK = 0.003  # micro-F1 that a choice may give up for macro-F1
_NOISE = 0.003  # macro-F1 by which held-out documents do not tell one tau from another
_PRIOR_POSITIVES = 10.0  # at which a cut-off of a label's own counts half
_LEAST_PROBABILITY = 1e-6  # of a calibrated score
_LEAST_SIZE = 0.3  # documents with a label, and predictions of it, that its F1 is taken over
LOGIT_ADJUSTMENTS = sorted(
    [-0.2, -0.18, -0.16, -0.14, -0.12, -0.1, -0.08, -0.06, -0.04, -0.02]
    + [0.0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0],
    reverse=True,  # that which cuts rare labels lowest is taken of equals
)


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
        Cut-off 0 where no pair is true: there is nothing to learn from.
    """
    if not pairs.is_true.any():
        return 0.0, 0.0
    least = pairs.reached_micro_f1() if best is None else best
    cut_offs, f1 = pairs.micro_f1_curve(least - slack)
    best = f1.max() if best is None else best
    chosen = np.flatnonzero(f1 >= best - slack)[-1] if slack else f1.argmax()
    return float(cut_offs[chosen]), float(f1[chosen])


class Candidates(Mapping):
    """Pairs by key, made when they are looked at: so one candidate is in memory at a time.

    Parameters
    ----------
    make : callable
        From a key to ScoredPairs.
    keys : list
    """

    def __init__(self, make, keys):
        self.make, self.keys_ = make, keys

    def __getitem__(self, key):
        return self.make(key)

    def __iter__(self):
        return iter(self.keys_)

    def __len__(self):
        return len(self.keys_)


class Selected(NamedTuple):
    """The candidate that was chosen, and where it is cut."""

    key: object
    cut_off: float


def select_for_tail(candidates, margin=_SLACK, noise=0.0):
    """Of the candidates whose micro-F1 is within `margin` of the best, take the best macro-F1.

    Micro-F1 hardly feels the tail, and its maximum is flat. Each candidate is taken at its lowest
    cut-off within the margin.

    Parameters
    ----------
    candidates : mapping of key to ScoredPairs
    margin : float, default=0.003
    noise : float, default=0.0
        Candidates whose macro-F1 is within this of the best are equals.

    Returns
    -------
    Selected
        Of equals the first.
    """
    micro = {key: best_cut_off(pairs)[1] for key, pairs in candidates.items()}
    best = max(micro.values())
    cut_offs = {
        key: best_cut_off(pairs, margin, best)[0]
        for key, pairs in candidates.items()
        if micro[key] >= best - margin
    }
    macro = {key: candidates[key].macro_f1(cut_off) for key, cut_off in cut_offs.items()}
    least = max(macro.values()) - noise
    key = next(key for key, f1 in macro.items() if f1 >= least)
    return Selected(key, cut_offs[key])


def adjusted(pairs, against):
    """The candidates of the rule "frequency": by falling tau, scores plus tau log(N/n - 1)."""
    return Candidates(lambda tau: pairs.shifted(tau * against), LOGIT_ADJUSTMENTS)


def _tuned(pairs, label_counts, n_samples, slack):
    return best_cut_off(pairs)[0]


def _tuned_low(pairs, label_counts, n_samples, slack):
    return best_cut_off(pairs, slack)[0]


def _frequency(pairs, label_counts, n_samples, slack):
    against = log_odds_against(label_counts, n_samples)
    tau, cut_off = select_for_tail(adjusted(pairs, against), slack, _NOISE)
    return cut_off - tau * against


def _per_group(pairs, label_counts, n_samples, slack):
    common = best_cut_off(pairs)[0]
    cut_offs = np.empty(len(label_counts))
    for mask in label_groups(label_counts).values():
        cut_offs[mask] = _shrunken_cut_off(pairs.select(mask), common)
    return cut_offs


def _per_label(pairs, label_counts, n_samples, slack):
    common = best_cut_off(pairs)[0]
    return np.array([_shrunken_cut_off(one, common) for one in pairs.by_label()])


def _shrunken_cut_off(pairs, common):
    """Mean of the best cut-off and the common one, weighted by positives and prior ones."""
    n_positives = pairs.true_weights.sum(dtype=np.float64)
    total = n_positives * best_cut_off(pairs)[0] + _PRIOR_POSITIVES * common
    return total / (n_positives + _PRIOR_POSITIVES)


def _micro_macro(pairs, label_counts, n_samples, slack):
    """Where one more prediction no longer raises the sum of micro- and macro-F1, in expectation.

    Scores that are no log-odds are calibrated for it, once more if they are already: one line for
    all labels promises too much of low scores and too little of middle ones.
    """
    if pairs.are_log_odds:
        return logit(_best_probabilities(pairs))
    with known_labels():
        calibration = Calibration.of_pairs(pairs)
    pairs = calibration.calibrated(pairs)
    curves = _Curves.fit(pairs, label_counts)
    probabilities = _best_probabilities(curves.calibrated(pairs))
    slopes, offsets = calibration.lines(log_odds_against(label_counts, n_samples))
    return (curves.inverse(probabilities) - offsets) / slopes


class _Curves(NamedTuple):
    """Rising probabilities of the scores of head, medium and tail labels.

    Parameters
    ----------
    masks : list of array of bool of shape (n_labels,)
    knots : list of (array of scores, array of probabilities)
        One for each mask; linear in between.
    """

    masks: list
    knots: list

    @classmethod
    def fit(cls, pairs, label_counts):
        """Isotonic regression of each group, drawn to that of all where positives are few."""
        common = _isotonic(pairs)
        masks = list(label_groups(label_counts).values())
        return cls(masks, [_isotonic(pairs.select(mask), common) for mask in masks])

    def calibrated(self, pairs):
        """The pairs with log-odds for scores."""
        probabilities = np.empty(len(pairs.scores))
        for mask, knots in zip(self.masks, self.knots, strict=True):
            own = mask[pairs.labels]
            probabilities[own] = np.interp(pairs.scores[own], *knots)
        return replace(pairs, scores=logit(probabilities))

    def inverse(self, probabilities):
        """Scores (n_labels,) at which labels have these probabilities."""
        scores = np.empty(len(probabilities))
        for mask, (at, rising) in zip(self.masks, self.knots, strict=True):
            scores[mask] = np.interp(probabilities[mask], rising, at)
        return scores


def _isotonic(pairs, common=None):
    """Scores and their rising probabilities; a common curve counts as ten positives."""
    if not len(pairs.scores):
        return common
    fitted = IsotonicRegression(y_min=_LEAST_PROBABILITY, y_max=1 - _LEAST_PROBABILITY)
    fitted.fit(pairs.scores.astype(np.float64), pairs.is_true, pairs.weights)
    own = fitted.X_thresholds_, fitted.y_thresholds_
    if common is None:
        return own
    at, n_positives = np.union1d(own[0], common[0]), pairs.true_weights.sum(dtype=np.float64)
    total = n_positives * np.interp(at, *own) + _PRIOR_POSITIVES * np.interp(at, *common)
    return at, total / (n_positives + _PRIOR_POSITIVES)


def _best_probabilities(pairs):
    """Cut-offs of labels, as probabilities, from pairs with log-odds.

    A pair of probability p changes micro-F1 by (2 p - F) / T and the F1 of its label by
    (2 p - F_l) / S_l; F and F_l are the best that can be expected, T and S_l predictions and true
    labels there.
    """
    micro, total = _best_expected_f1(pairs)
    expected = [_best_expected_f1(one) or (micro, 0.0) for one in pairs.by_label()]
    f1, sizes = np.array(expected).T
    n_labels = np.count_nonzero(np.bincount(pairs.labels))
    weights = total / (n_labels * np.maximum(sizes, _LEAST_SIZE))  # of a label's F1
    cut_offs = (micro + weights * f1) / (2 * (1 + weights))
    return np.maximum(cut_offs, np.finfo(np.float64).tiny)


def _best_expected_f1(pairs):
    """The best F1 that probabilities promise, and predictions plus true labels there.

    None where there are no pairs.
    """
    if not len(pairs.scores):
        return None
    order = np.argsort(-pairs.scores, kind="stable")
    weights = pairs.weights[order].astype(np.float64)
    found = np.cumsum(weights * expit(pairs.scores[order].astype(np.float64)))
    sizes = np.cumsum(weights) + found[-1]
    f1 = 2 * found / sizes
    best = f1.argmax()
    return f1[best], sizes[best]


# From pairs, label counts, the number of documents and slack to a cut-off, or one for each label.
RULES = {
    "frequency": _frequency,
    "tuned": _tuned,
    "tuned_low": _tuned_low,
    "per_group": _per_group,
    "per_label": _per_label,
    "micro_macro": _micro_macro,
}
CUT_EACH_LABEL = ("per_label", "micro_macro")  # by its own documents, so none is to spare


def learn_cut_offs(rule, pairs, label_counts, n_samples, default=0.0, slack=_SLACK):
    """Learn one cut-off per label from the scores of held-out documents.

    Parameters
    ----------
    rule : str
        "frequency": one cut-off for score + tau log(N/n - 1), of the taus within 0.3 points of the
        best micro-F1 the largest whose macro-F1 is within 0.3 points of the best. "tuned": one
        cut-off, of the best micro-F1. "tuned_low": the lowest one within 0.3 points of it.
        "per_group": one for each of head, medium and tail. "per_label": one per label. The last two
        are drawn towards the common cut-off where positives are few: with ten of them half-way.
        "micro_macro": one per label, that of the best sum of micro- and macro-F1 in expectation;
        for it the scores are calibrated once more, by a rising curve for each of head, medium and
        tail.
    pairs : ScoredPairs
    label_counts : array of shape (n_labels,)
        Training documents of each label. A label without any is left out of the learning.
    n_samples : int
        Training documents in all.
    default : float, default=0.0
        The cut-off if no pair is true.
    slack : float, default=0.003
        Micro-F1 that "tuned_low" and "frequency" may give up: the 0.3 points above.

    Returns
    -------
    array of float of shape (n_labels,)
        In the units of the scores; +inf for a label without documents.
    """
    check_choice("threshold", rule, RULES)
    label_counts = np.asarray(label_counts)
    pairs = pairs.select(label_counts > 0)
    found = pairs.is_true.any()
    cut_offs = RULES[rule](pairs, label_counts, n_samples, slack) if found else default
    return np.where(label_counts > 0, cut_offs, np.inf)


def check_threshold(threshold):
    """Refuse what is neither a probability nor the name of a rule."""
    if isinstance(threshold, str) and threshold in RULES:
        return
    if not isinstance(threshold, Real) or not 0 < threshold < 1:
        rules = ", ".join(map(repr, RULES))
        expected = f"a probability in (0, 1) or one of {rules}"
        remedy = did_you_mean(threshold, RULES)
        raise must_be("threshold", expected, repr(threshold), remedy)
