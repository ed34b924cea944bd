"""The rules that learn a cut-off."""

from __future__ import annotations

from numbers import Real

import numpy as np

from .._validation import check_choice, must_be
from ..labels import label_groups, log_odds_against
from ._pairs import _PAIR_FIELDS, ScoredPairs

SLACK = 0.003  # micro-F1 that a more generous decision may cost
_SHRINKAGE = 10.0  # positives at which a label's own cut-off counts half
LOGIT_ADJUSTMENTS = np.array(
    [-0.2, -0.18, -0.16, -0.14, -0.12, -0.1, -0.08, -0.06, -0.04, -0.02]
    + [0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0]
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
        Cut-off 0 where no pair is a hit: there is nothing to learn from.
    """
    if not pairs.is_true.any():
        return 0.0, 0.0
    cut_offs, f1 = pairs.micro_f1_curve()
    best = f1.max() if best is None else best
    chosen = np.flatnonzero(f1 >= best - slack)[-1] if slack else f1.argmax()
    return float(cut_offs[chosen]), float(f1[chosen])


def select_for_tail(options, slack=SLACK):
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
    """Learn one cut-off per label from out-of-fold scores.

    Parameters
    ----------
    rule : {"tuned", "tuned_low", "frequency", "per_group", "per_label"}
        "tuned": one cut-off, of the best micro-F1. "tuned_low": the lowest one within 0.3
        points of it. "frequency": one cut-off for score + tau log(N/n - 1), tau the best for
        macro-F1 within 0.3 points of micro-F1. "per_group": one for each of head, medium and
        tail. "per_label": one per label. The last two are drawn towards the common cut-off where
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
    if not pairs.is_true.any():
        threshold = default
    elif rule == "tuned_low":
        threshold = best_cut_off(pairs, SLACK, best)[0]
    else:
        threshold = _RULES[rule](pairs, label_counts, n_samples)
    return np.where(label_counts > 0, threshold, np.inf)


def _tuned(pairs, label_counts, n_samples):
    return best_cut_off(pairs)[0]


def _frequency(pairs, label_counts, n_samples):
    rare = log_odds_against(label_counts, n_samples)
    options = {shift: pairs.shifted(shift * rare) for shift in sorted(LOGIT_ADJUSTMENTS, key=abs)}
    shift, cut_off, _ = select_for_tail(options, SLACK)
    return cut_off - shift * rare


def _per_group(pairs, label_counts, n_samples):
    common = best_cut_off(pairs)[0]
    threshold = np.empty(len(label_counts))
    for mask in label_groups(label_counts).values():
        threshold[mask] = _shrunken_cut_off(pairs.select(mask), common)
    return threshold


def _per_label(pairs, label_counts, n_samples):
    common = best_cut_off(pairs)[0]
    by_label = np.argsort(pairs.labels, kind="stable")
    ends = np.cumsum(np.bincount(pairs.labels, minlength=len(label_counts)))
    rows_of = np.split(by_label, ends[:-1])
    own = [
        ScoredPairs(*(getattr(pairs, field)[rows] for field in _PAIR_FIELDS), n_positives)
        for rows, n_positives in zip(rows_of, pairs.n_positives[:, None], strict=True)
    ]
    return np.array([_shrunken_cut_off(one, common) for one in own])


def _shrunken_cut_off(pairs, common):
    """Draw the best cut-off of some labels towards the common one, by imagined positives."""
    n_positives = np.count_nonzero(pairs.is_true)
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
