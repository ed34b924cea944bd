"""Which rows of one matrix are rows of another, too, and where."""

import numpy as np
from scipy import sparse


def is_among(rows, others):
    """Whether each row equals a row of another matrix, entry by entry.

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
    """Where each row is in another matrix: the first row that equals it; -1 where none does.

    Parameters
    ----------
    rows, others : arrays or CSR matrices of shape (n_rows, n_columns) and (n_others, n_columns)
        Of one dtype.

    Returns
    -------
    array of int64 of shape (n_rows,)
    """
    places = {}
    for place, key in enumerate(_row_keys(_like(rows, others))):
        places.setdefault(key, place)
    return np.array([places.get(key, -1) for key in _row_keys(rows)], dtype=np.int64)


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
