"""Metrics of rankings: how many of the best labels of a document are true."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from .._ranking import top_labels, top_of_sparse
from .._validation import check_label_counts, check_label_matrix, must_be


def precision_at_k(y_true, y_score, *, k: int = 5) -> float:
    """Share of true labels among the k best: hits / (k n_samples).

    The divisor is k for every document, also where fewer labels are true or there at all.

    Parameters
    ----------
    y_true : array or scipy sparse matrix of shape (n_samples, n_labels)
        Label indicators. A document without labels counts as 0.
    y_score : array or scipy sparse matrix
        Scores or a ranking, see :mod:`skmltc.metrics`.
    k : int, default=5
        How many labels are looked at.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If the scores do not fit the truth or hold NaN, or a ranking repeats a label.

    Examples
    --------
    >>> from skmltc.metrics import precision_at_k
    >>> precision_at_k([[1, 0, 1], [0, 1, 0]], [[0.9, 0.5, 0.7], [0.8, 0.4, 0.1]], k=2)
    0.75
    """
    _, _, hits = _rank(y_true, y_score, k)
    return float(hits.sum() / (k * len(hits)))


def recall_at_k(y_true, y_score, *, k: int = 5) -> float:
    """Share of the true labels that are among the k best: mean of hits / n_true.

    Parameters
    ----------
    y_true : array or scipy sparse matrix of shape (n_samples, n_labels)
        Label indicators. A document without labels counts as 0 in the mean.
    y_score : array or scipy sparse matrix
        Scores or a ranking, see :mod:`skmltc.metrics`.
    k : int, default=5
        How many labels are looked at.

    Returns
    -------
    float
        Between 0 and 1; below 1 where a document has more than k labels.

    Raises
    ------
    ValueError
        As :func:`precision_at_k`.

    Examples
    --------
    >>> from skmltc.metrics import recall_at_k
    >>> recall_at_k([[1, 0, 1], [0, 1, 0]], [[0.9, 0.5, 0.7], [0.8, 0.4, 0.1]], k=1)
    0.25
    """
    truth, _, hits = _rank(y_true, y_score, k)
    return _mean_share(hits.sum(axis=1), np.diff(truth.indptr))


def r_precision(y_true, y_score, *, k: int | None = None) -> float:
    """Precision of as many labels as are true: mean of hits among the n_true best / n_true.

    Parameters
    ----------
    y_true : array or scipy sparse matrix of shape (n_samples, n_labels)
        Label indicators. A document without labels counts as 0 in the mean.
    y_score : array or scipy sparse matrix
        Scores or a ranking, see :mod:`skmltc.metrics`; one that stores less than n_true labels
        of a document has no hits behind them.
    k : int, default=None
        Look at min(k, n_true) labels: R-precision at k. None looks at n_true.

    Returns
    -------
    float
        Between 0 and 1. At k = 1 it is :func:`precision_at_k`.

    Raises
    ------
    ValueError
        As :func:`precision_at_k`.

    Examples
    --------
    >>> from skmltc.metrics import r_precision
    >>> r_precision([[1, 0, 1], [0, 1, 0]], [[0.9, 0.8, 0.7], [0.2, 0.4, 0.1]])
    0.75
    """
    truth = check_label_matrix(y_true, name="y_true")
    most = int(np.diff(truth.indptr).max(initial=1))
    truth, _, hits = _rank(truth, y_score, max(most, 1) if k is None else k)
    n_true = np.diff(truth.indptr)
    looked_at = n_true if k is None else np.minimum(n_true, k)
    within = np.arange(hits.shape[1]) < looked_at[:, None]
    return _mean_share((hits * within).sum(axis=1), looked_at)


def ndcg_at_k(y_true, y_score, *, k: int = 5) -> float:
    """Precision discounted by rank: mean of sum(hits / log2(rank + 1)) over its best value.

    The best value of a document has its min(k, n_true) true labels in front (Jarvelin and
    Kekalainen 2002, with gains 0 and 1). At k = 1 it is :func:`precision_at_k`.

    Parameters
    ----------
    y_true : array or scipy sparse matrix of shape (n_samples, n_labels)
        Label indicators. A document without labels counts as 0 in the mean.
    y_score : array or scipy sparse matrix
        Scores or a ranking, see :mod:`skmltc.metrics`.
    k : int, default=5
        How many labels are looked at.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As :func:`precision_at_k`.

    Examples
    --------
    >>> from skmltc.metrics import ndcg_at_k
    >>> round(ndcg_at_k([[1, 0, 1], [0, 1, 0]], [[0.9, 0.5, 0.7], [0.8, 0.4, 0.1]], k=2), 4)
    0.8155
    """
    truth, _, hits = _rank(y_true, y_score, k)
    discounts = _discounts(min(k, truth.shape[1]))
    best_by_size = np.concatenate([[0.0], np.cumsum(discounts)])
    best = best_by_size[np.minimum(np.diff(truth.indptr), len(discounts))]
    gained = hits @ discounts[: hits.shape[1]]
    return _mean_share(gained, best)


def psp_at_k(y_true, y_score, inverse_propensities: ArrayLike, *, k: int = 5) -> float:
    """Propensity-scored precision: a hit on a rare label is worth more.

    Sum over all documents of the inverse propensities of the hits, over the greatest sum that
    any ranking could reach: a ratio of sums, no mean of ratios (Jain, Prabhu, Varma 2016).

    Parameters
    ----------
    y_true : array or scipy sparse matrix of shape (n_samples, n_labels)
        Label indicators. A document without labels counts in neither sum.
    y_score : array or scipy sparse matrix
        Scores or a ranking, see :mod:`skmltc.metrics`.
    inverse_propensities : array of shape (n_labels,)
        What a hit on each label is worth, from the *training* documents:
        :func:`skmltc.labels.inverse_propensities`.
    k : int, default=5
        How many labels are looked at.

    Returns
    -------
    float
        Between 0 and 1; 0 where no document has a label.

    Raises
    ------
    ValueError
        As :func:`precision_at_k`, and if a weight is negative or not finite.

    Examples
    --------
    >>> from skmltc.labels import inverse_propensities
    >>> from skmltc.metrics import psp_at_k
    >>> weights = inverse_propensities([500, 3, 20], n_samples=1000)
    >>> round(psp_at_k([[1, 1, 0], [0, 0, 1]], [[0.9, 0.5, 0.7], [0.8, 0.1, 0.4]], weights, k=2), 4)
    0.439
    """
    return _propensity_scored(y_true, y_score, inverse_propensities, k, np.ones)


def psndcg_at_k(y_true, y_score, inverse_propensities: ArrayLike, *, k: int = 5) -> float:
    """Propensity-scored nDCG: as :func:`psp_at_k`, both sums discounted by log2(rank + 1).

    Parameters
    ----------
    y_true : array or scipy sparse matrix of shape (n_samples, n_labels)
        Label indicators. A document without labels counts in neither sum.
    y_score : array or scipy sparse matrix
        Scores or a ranking, see :mod:`skmltc.metrics`.
    inverse_propensities : array of shape (n_labels,)
        What a hit on each label is worth, see :func:`psp_at_k`.
    k : int, default=5
        How many labels are looked at.

    Returns
    -------
    float
        Between 0 and 1; 0 where no document has a label.

    Examples
    --------
    >>> from skmltc.metrics import psndcg_at_k
    >>> round(psndcg_at_k([[1, 1, 0], [0, 0, 1]], [[3, 1, 2], [3, 1, 2]], [1, 4, 2], k=2), 4)
    0.3411
    """
    return _propensity_scored(y_true, y_score, inverse_propensities, k, _discounts)


def _propensity_scored(y_true, y_score, inverse_propensities, k, discount):
    truth, ranking, hits = _rank(y_true, y_score, k)
    weights = check_label_counts(inverse_propensities, truth.shape[1], name="inverse_propensities")
    worth = sparse.csr_array((weights[truth.indices], truth.indices, truth.indptr), truth.shape)
    best_ranking = top_of_sparse(worth, min(k, truth.shape[1]))
    best = np.where(best_ranking < 0, 0.0, weights[best_ranking]).sum(axis=0)
    gained = (hits * weights[ranking]).sum(axis=0)
    greatest = best @ discount(len(best))
    return float(gained @ discount(len(gained)) / greatest) if greatest > 0 else 0.0


def _mean_share(parts, wholes):
    """Mean of parts of wholes, 0 for a document where there is nothing."""
    return float((parts / np.maximum(wholes, np.finfo(float).tiny)).mean())


def _discounts(width):
    return 1.0 / np.log2(np.arange(2, width + 2))


def _rank(y_true, y_score, k):
    """Return the truth in CSR, the best labels (n_samples, up to k), and which are true."""
    truth = check_label_matrix(y_true, name="y_true")
    if not truth.shape[0]:
        raise must_be("y_true", "a matrix with at least one document", "none")
    ranking = top_labels(y_score, truth.shape, k)
    hits = truth[np.arange(len(ranking))[:, None], ranking].toarray().astype(np.float64)
    hits[ranking < 0] = 0.0  # padding: an index of -1 read the last label
    return truth, ranking, hits
