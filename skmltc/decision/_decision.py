"""From scores and cut-offs to predictions."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from scipy import sparse
from scipy.special import logit

from .._ranking import top_of_dense
from .._validation import must_be


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
        How many labels per document at most.

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
