"""From scores to decisions: a cut-off for each label, and what is done with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
from scipy import sparse
from scipy.special import expit, log_expit, logit

from .._ranking import keep_top
from .._validation import check_choice, check_number, must_be
from ..labels import inverse_propensities
from ._rules import learn_cut_offs


@dataclass(frozen=True, eq=False)
class Decision:
    """What is predicted from the scores of a document.

    Parameters
    ----------
    thresholds : array of shape (n_labels,)
        In the units of the scores; a label at +inf is never predicted.
    min_labels : int, default=0
        Fill every document up to this number with the labels that fall least short of their
        thresholds.
    max_labels : int, default=None
        Leave every document so many labels at most: those furthest above their thresholds.
    rule : str, default=None
        The rule that the thresholds were learned by; None where they were given.
    one_per_row : bool, default=False
        Predict the best label alone, whatever the thresholds: a 1-D y of several classes.

    Examples
    --------
    >>> import numpy as np
    >>> from skmltc.decision import Decision
    >>> decision = Decision.at(0.5, label_counts=np.array([9, 2, 0]))
    >>> decision.thresholds
    array([0.5, 0.5, inf])
    >>> decision.predict(np.array([[0.7, 0.2, 0.9]])).toarray()
    array([[1, 0, 0]])
    """

    thresholds: np.ndarray
    min_labels: int = 0
    rule: str | None = None
    one_per_row: bool = False
    max_labels: int | None = None

    @classmethod
    def at(cls, cut_off, label_counts):
        """Cut every label at one number, those without documents at +inf."""
        return cls(np.where(np.asarray(label_counts) > 0, float(cut_off), np.inf))

    @classmethod
    def at_probability(cls, probability, label_counts):
        """Cut logits where their logistic function is a probability."""
        return cls.at(logit(float(probability)), label_counts)

    @classmethod
    def learn(cls, rule, pairs, label_counts, n_samples, default=0.0, slack=0.003):
        """Learn the thresholds from the scores of held-out documents.

        Parameters
        ----------
        rule : str
            A rule of :class:`~skmltc.decision.MultilabelThresholdClassifierCV`.
        pairs : ScoredPairs
        label_counts : array of shape (n_labels,)
            Training documents of each label. A label without any is left out of the learning.
        n_samples : int
            Training documents in all.
        default : float, default=0.0
            The cut-off if no pair is true: there is nothing to learn from.
        slack : float, default=0.003
            Micro-F1 that the rules "tuned_low" and "frequency" may give up.

        Returns
        -------
        Decision
        """
        cut_offs = learn_cut_offs(rule, pairs, label_counts, n_samples, default, slack)
        return cls(cut_offs, rule=rule)

    @classmethod
    def where(cls, mask, chosen, other):
        """Take the thresholds of one decision where the mask is, those of another elsewhere."""
        return replace(chosen, thresholds=np.where(mask, chosen.thresholds, other.thresholds))

    @classmethod
    def best(cls, n_labels):
        """Predict the best class of a 1-D y; of a single column whether it is above 0."""
        return cls(np.zeros(n_labels), one_per_row=n_labels > 1)

    def predict(self, scores):
        """Predict labels from a block of scores (n_samples, n_labels), as a csr_array of int64."""
        if self.one_per_row:
            best, ends = scores.argmax(axis=1), np.arange(len(scores) + 1)
            return sparse.csr_array((np.ones_like(best), best, ends), shape=scores.shape)
        chosen = scores > self.thresholds
        if self.min_labels:
            filled = keep_top(scores - self.thresholds, self.min_labels)
            chosen[_stored(filled)] = True
        if self.max_labels is not None:
            margins = np.where(chosen, scores - self.thresholds, -np.inf)
            chosen = np.zeros_like(chosen)
            chosen[_stored(keep_top(margins, self.max_labels))] = True
        return sparse.csr_array(chosen, dtype=np.int64)

    def topk(self, scores, k, ranked_by=None):
        """Keep the best k scores of each row; a label that is never predicted is none of them.

        Others of the same shape say which are the best, where they are given.
        """
        ranked_by = scores if ranked_by is None else ranked_by
        return keep_top(scores, k, np.where(np.isposinf(self.thresholds), -np.inf, ranked_by))

    def margins(self, scores):
        """Scores less their thresholds; of a label that is never predicted the scores."""
        return scores - np.where(np.isfinite(self.thresholds), self.thresholds, 0.0)

    def extend(self, label_counts, new_counts, share=1.0):
        """Cut new labels where known labels of the most similar frequency are.

        Parameters
        ----------
        label_counts : array of shape (n_labels,)
            Documents of the known labels.
        new_counts : array of shape (n_new,)
            Documents of the new ones, at least one each.
        share : float, default=1.0
            Of these cuts as probabilities, at which new labels are cut.
        """
        known = np.flatnonzero(np.isfinite(self.thresholds))
        distances = np.abs(np.subtract.outer(np.log(new_counts), np.log(label_counts[known])))
        nearest = distances == distances.min(axis=1, keepdims=True)
        thresholds = nearest @ self.thresholds[known] / nearest.sum(axis=1)
        if share != 1:
            thresholds = logit(share * expit(thresholds))
        return replace(self, thresholds=np.append(self.thresholds, thresholds))


def label_worth(weight, label_counts, n_samples):
    """Factors (n_labels,) of probabilities by which labels are ranked; None: they count alike."""
    check_choice("weight", weight, [None, "propensity"])
    return None if weight is None else inverse_propensities(label_counts, n_samples)


def top_of_logits(decision, logits, k, worth):
    """Keep the k logits of each row whose probabilities, times what labels are worth, are best."""
    if worth is None:
        return decision.topk(logits, k)
    return decision.topk(logits, k, log_expit(logits.astype(np.float64)) + np.log(worth))


def _stored(matrix):
    """Rows and columns of the stored entries of a CSR matrix, zeros too."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices


def check_decision(model):
    """Refuse what is wrong in the parameters of an estimator that say how it decides."""
    check_slack(model.slack), check_min_labels(model.min_labels)
    check_max_labels(model.max_labels, model.min_labels)


def check_slack(slack):
    """Refuse what is no difference of two F1."""
    check_number("slack", slack, 0, 1)


def check_min_labels(min_labels):
    """Refuse what is not a count."""
    if not isinstance(min_labels, Integral) or isinstance(min_labels, bool) or min_labels < 0:
        raise must_be("min_labels", "0 or a positive integer", repr(min_labels))


def check_max_labels(max_labels, min_labels=0):
    """Refuse what is neither None nor a count, or is below the least number of labels."""
    if max_labels is None:
        return
    least, is_count = max(1, min_labels), isinstance(max_labels, Integral)
    if not is_count or isinstance(max_labels, bool) or max_labels < least:
        expected = f"None or an integer from {least} up"
        expected += ", which is min_labels" if least > 1 else ""
        raise must_be("max_labels", expected, repr(max_labels))


def idle_in_decision(threshold):
    """What has no effect with a threshold, as `warn_of_idle` takes it."""
    of_slack = "tuned_low", "frequency"
    return threshold not in of_slack, f"with threshold={threshold!r}", ("slack",)
