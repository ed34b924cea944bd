"""Rows of matrices: which are rows of another one, too, and where, and a part of them."""

import mmap
import tempfile

import numpy as np
from scipy import sparse
from sklearn.metrics import pairwise_distances_argmin_min

_SAME = 1e-4  # of the spread: by which two vectors of one document differ at most, in the mean

_ENTRIES_AT_A_TIME = 2**20


def is_among(rows, others):
    """Whether each row equals a row of another matrix, as `places_among` has it.

    Parameters
    ----------
    rows, others : arrays or CSR matrices of shape (n_rows, n_columns) and (n_others, n_columns)
        Of one dtype.

    Returns
    -------
    array of bool of shape (n_rows,)
    """
    return places_among(rows, others) >= 0


def places_among(rows, others):
    """Where each row is in another matrix: a row that equals it; -1 where none does.

    Dense floats may differ by rounding, as vectors of one document do that were computed in batches
    of different sizes; all others are equal to the last bit.

    Parameters
    ----------
    rows, others : arrays or CSR matrices of shape (n_rows, n_columns) and (n_others, n_columns)
        Of one dtype.

    Returns
    -------
    array of int64 of shape (n_rows,)
    """
    others, places = _like(rows, others), {}
    if not sparse.issparse(rows) and rows.dtype.kind == "f" and min(len(rows), len(others)):
        return _places_but_for_rounding(rows, others)
    for place, key in enumerate(_row_keys(others)):
        places.setdefault(key, place)
    return np.array([places.get(key, -1) for key in _row_keys(rows)], dtype=np.int64)


def _places_but_for_rounding(rows, others):
    """The place of the nearest row, in units of the columns' spread; -1 where it is another one."""
    both = np.concatenate([rows, others]).astype(np.float64)
    centre, spread = both.mean(axis=0), both.std(axis=0)
    least = 1e-3 * np.sqrt(np.mean(spread**2))  # some columns vary by rounding alone
    scale = np.maximum(np.maximum(spread, least), 1e-2 * np.abs(centre))
    both = (both - centre) / np.where(scale > 0, scale, 1.0)
    places, distances = pairwise_distances_argmin_min(both[: len(rows)], both[len(rows) :])
    return np.where(distances <= _SAME * np.sqrt(rows.shape[1]), places, -1)


def _row_keys(rows):
    """Yield a key for each row, the same for equal rows."""
    if not sparse.issparse(rows):
        yield from (row.tobytes() for row in rows + 0)  # + 0: there is a zero below zero
        return
    rows = sparse.csr_array(rows, copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    indices = rows.indices.astype(np.int64)
    for k in range(rows.shape[0]):
        entries = slice(rows.indptr[k], rows.indptr[k + 1])
        yield indices[entries].tobytes(), rows.data[entries].tobytes()


def stack_rows(parts):
    """One matrix of the rows of several, dense or CSR as the first is."""
    parts = [_like(parts[0], part) for part in parts]
    if sparse.issparse(parts[0]):
        return sparse.csr_array(sparse.vstack(parts, format="csr"))
    return np.concatenate(parts)


def _like(first, rows):
    """The rows, dense or sparse as others are."""
    if sparse.issparse(first):
        return sparse.csr_array(rows)
    return rows.toarray() if sparse.issparse(rows) else rows


def row_blocks(X):
    """Slices of rows of about a million entries, where all at once would need as much again."""
    size = max(1, _ENTRIES_AT_A_TIME // max(1, X.shape[1]))
    return [slice(start, start + size) for start in range(0, X.shape[0], size)]


def rows_of(X, rows):
    """Some rows of a matrix; of a dense one that is mapped from a file, as a map again.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_samples, n_columns), or array of (n_samples,)
    rows : array of int or bool, or slice

    Returns
    -------
    array or CSR matrix of shape (n_rows, n_columns), or array of (n_rows,)
        A map is that of a temporary file without a name, which is gone when nobody needs it.
    """
    if isinstance(rows, slice) or X.ndim == 1 or not is_mapped(X):
        return X[rows]
    rows = np.arange(X.shape[0])[rows]
    if not len(rows):  # there are no empty maps
        return X[rows]
    with tempfile.TemporaryFile() as file:
        part = np.memmap(file, X.dtype, mode="w+", shape=(len(rows), X.shape[1]))
    for block in row_blocks(part):
        part[block] = X[rows[block]]
    return part


def is_mapped(X):
    """Whether an array's numbers are in a file that is mapped to memory, not in memory."""
    while isinstance(X, np.ndarray):
        X = X.base
    return isinstance(X, mmap.mmap)
