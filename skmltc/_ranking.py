"""The best labels of each document, from scores of any form, with one rule for ties."""

from numbers import Integral

import numpy as np
from scipy import sparse

from ._validation import must_be

BLOCK_SIZE = 2**22  # dense scores ranked at a time: a few tens of megabytes of working memory


def top_labels(scores, shape, k):
    """Rank the best labels of each document.

    Parameters
    ----------
    scores : array or scipy sparse matrix
        Scores of the given shape, or an integer array of fewer columns: a ranking already.
    shape : tuple
        `(n_samples, n_labels)`.
    k : int
        How many labels at most.

    Returns
    -------
    array of int of shape (n_samples, min(k, n_labels)), or narrower if a ranking was
        Label columns, best first, -1 where there are none left. Equal scores rank by column,
        the lower first; a score of -inf or one that is not stored does not rank.
    """
    check_k(k)
    if sparse.issparse(scores):
        _check_shape(scores, shape)
        return top_of_sparse(scores, min(k, shape[1]))
    scores = _as_array(scores)
    if scores.dtype.kind in "iu" and scores.ndim == 2 and scores.shape[1] < shape[1]:
        return _check_ranking(scores[:, :k].astype(np.int64), shape)
    _check_shape(scores, shape)
    n_rows = max(1, BLOCK_SIZE // shape[1])
    blocks = [scores[start : start + n_rows] for start in range(0, len(scores), n_rows)]
    return np.concatenate([top_of_dense(block, min(k, shape[1])) for block in blocks])


def check_k(k):
    """Refuse a k that is not a positive integer."""
    if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
        raise must_be("k", "a positive integer", repr(k))


def top_of_dense(scores, k):
    """Rank the k best columns of each row of a dense array, k being at most its width."""
    scores = _as_float(scores)
    cut = np.partition(scores, -k, axis=1)[:, -k, None]
    chosen = scores >= cut
    crowded = np.count_nonzero(chosen, axis=1) > k  # of equal scores the lower columns
    if crowded.any():
        above, level = scores[crowded] > cut[crowded], scores[crowded] == cut[crowded]
        room = k - above.sum(axis=1, keepdims=True)
        chosen[crowded] = above | (level & (np.cumsum(level, axis=1, dtype=np.int32) <= room))
    columns = np.nonzero(chosen)[1].reshape(-1, k)  # exactly k per row, ascending
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(np.where(values == -np.inf, -1, columns), order, axis=1)


def top_of_sparse(scores, k):
    """Rank the k best stored entries of each row of a sparse matrix."""
    scores = sparse.csr_array(scores, copy=True)
    scores.sum_duplicates()
    values = _as_float(scores.data)
    rows = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    order = np.lexsort((-values, rows))  # stable, so equal scores stay in column order
    position = np.arange(len(rows)) - scores.indptr[rows]
    kept = (position < k) & (values[order] > -np.inf)
    ranking = np.full((scores.shape[0], k), -1)
    ranking[rows[kept], position[kept]] = scores.indices[order[kept]]
    return ranking


def keep_top(scores, k, ranked_by=None):
    """Keep the k best scores of each row of a dense array, those of -inf left out.

    The best are those of the highest numbers in `ranked_by`, of the same shape, where it is given.

    Returns
    -------
    csr_array of shape (n_rows, n_columns)
        Of equal scores the lower columns are kept.
    """
    ranking = top_of_dense(scores if ranked_by is None else ranked_by, min(k, scores.shape[1]))
    rows, ranks = np.nonzero(ranking >= 0)
    columns = ranking[rows, ranks]
    best = sparse.csr_array((scores[rows, columns], (rows, columns)), shape=scores.shape)
    best.sort_indices()
    return best


def _as_float(scores):
    """Make scores floating point, so that they can be negated; no copy where they are."""
    scores = scores.astype(np.result_type(scores.dtype, np.float32), copy=False)
    if np.isnan(scores).any():
        raise must_be("y_score", "without NaN", "NaN")
    return scores


def _as_array(scores):
    try:
        scores = np.asarray(scores)
    except ValueError:
        raise must_be(
            "y_score",
            "a matrix, or rankings of one length",
            "rows of different lengths",
            "Pad short rankings with -1.",
        ) from None
    if scores.dtype.kind not in "biuf":
        raise must_be("y_score", "a numeric array", f"dtype {scores.dtype}")
    return scores


def _check_shape(scores, shape):
    if scores.shape != shape:
        raise must_be(
            "y_score",
            f"of shape {shape}, one score per document and label, or an integer array of fewer "
            "columns, the best labels of each document",
            f"{scores.dtype} of shape {scores.shape}",
        )


def _check_ranking(ranking, shape):
    n_samples, n_labels = shape
    if len(ranking) != n_samples:
        raise must_be("y_score", f"a ranking of {n_samples} rows, one per document", len(ranking))
    unknown = ranking[(ranking < -1) | (ranking >= n_labels)]
    if len(unknown):
        raise must_be(
            "A ranking in y_score",
            f"made of columns 0 to {n_labels - 1}, padded with -1",
            unknown[0],
        )
    ordered = np.sort(ranking, axis=1)
    repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    if repeated.any():
        row = np.flatnonzero(repeated)[0]
        raise must_be("A ranking in y_score", "free of repeats", f"a label twice in row {row}")
    return ranking
