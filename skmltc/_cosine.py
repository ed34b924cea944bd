"""The nearest documents by cosine: exact, and in blocks, never a matrix of all pairs.

A product of matrices in float32 proposes a few more neighbours than are asked for; these are
compared in float64, each pair by itself. So the answer for a row is the same in whatever block it
stands, with any number of threads and on any device.
"""

import hashlib
from numbers import Integral

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_is_fitted, validate_data

from ._devices import check_device, device_of
from ._products import csr_dot
from ._validation import must_be, warn

_QUERIES = 256  # rows of X at a time
_ROWS = 2**15  # fitted rows at a time: their products with the queries take 32 MB
_DENSE_QUERIES = 2**23  # numbers in a block of sparse queries that is made dense
_CHUNK = 16  # columns of which only the best is looked at first
_EXTRA_CANDIDATES = 8  # beyond those asked for, so that rounding rarely leaves one in doubt
_EXCLUDED = -2.0  # below every cosine
_QUERIES_COMPARED = 32  # sparse ones, whose neighbours are looked up together
_PAIRS = 2**17  # numbers compared at a time


class CosineNeighbors(BaseEstimator):
    """Exact nearest neighbours by cosine, in blocks, on a CPU or a GPU.

    The same as ``sklearn.neighbors.NearestNeighbors(metric="cosine", algorithm="brute")``, but
    exact duplicates can be left out, memory does not grow with the number of pairs, and the
    search takes little more time than the matrix products that it needs.

    Parameters
    ----------
    n_neighbors : int, default=5
        Neighbours of each row.
    exclude_duplicates : bool, default=False
        Whether rows that are equal to the query, number by number, are no neighbours of it.
    device : str, default="auto"
        Where products are computed; "auto" is CUDA where there is one.

    Attributes
    ----------
    n_samples_fit_ : int
        Rows among which neighbours are sought.
    n_features_in_ : int
        Columns of the fitted X.

    Notes
    -----
    A row of zeros has a cosine of 0, that is a distance of 1, to every row.

    Examples
    --------
    >>> from skmltc.neighbors import CosineNeighbors
    >>> neighbors = CosineNeighbors(n_neighbors=2).fit([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    >>> distances, indices = neighbors.kneighbors([[3.0, 1.0]])
    >>> indices, distances.round(2)
    (array([[0, 1]]), array([[0.05, 0.11]]))

    Of the fitted rows themselves none is its own neighbour:

    >>> neighbors.kneighbors(return_distance=False)
    array([[1, 2],
           [0, 2],
           [1, 0]])
    """

    def __init__(self, n_neighbors=5, *, exclude_duplicates=False, device="auto"):
        self.n_neighbors = n_neighbors
        self.exclude_duplicates = exclude_duplicates
        self.device = device

    def fit(self, X, y=None):
        """Keep the rows of X, scaled to length 1.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            The rows among which neighbours are sought.
        y : None
            Ignored.

        Returns
        -------
        CosineNeighbors
            The fitted object.
        """
        _check_n_neighbors(self.n_neighbors)
        check_device(self.device)
        X, exponents = self._check(X, reset=True)
        self.n_samples_fit_ = X.shape[0]
        self._group_of = {}  # by the digest of a row; empty if duplicates are neighbours
        groups = np.arange(X.shape[0])
        if self.exclude_duplicates:
            digests = _digests(X, exponents)
            groups = np.array([self._group_of.setdefault(d, i) for i, d in enumerate(digests)])
        self._groups = groups
        self._units = normalize(X)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
        """Find the nearest of the fitted rows.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_queries, n_features), optional
            The queries; by default the fitted rows, of which none is its own neighbour.
        n_neighbors : int, optional
            Neighbours of each row, by default those of the constructor. Where there are fewer
            rows, a warning says so and all of them are returned.
        return_distance : bool, default=True
            Whether distances are returned too.

        Returns
        -------
        distances : array of shape (n_queries, n_neighbors)
            1 - cosine, the nearest first; only if `return_distance` is true.
        indices : array of int of shape (n_queries, n_neighbors)
            Numbers of the fitted rows; of equally near ones the lower first. Where leaving out
            duplicates leaves fewer neighbours, the places at the end have the index -1 and an
            infinite distance.

        Raises
        ------
        ValueError
            If X is empty or has other columns than the fitted one.
        """
        check_is_fitted(self)
        n_pool = self.n_samples_fit_ - (X is None)
        k = _usable(self.n_neighbors if n_neighbors is None else n_neighbors, n_pool)
        queries, groups = self._queries(X)
        indices = np.empty((queries.shape[0], k), dtype=np.int64)
        cosines = np.empty(indices.shape)
        if k:
            self._search(queries, groups, indices, cosines)
        distances = np.where(indices < 0, np.inf, np.maximum(1.0 - cosines, 0.0))
        return (distances, indices) if return_distance else indices

    def _check(self, X, reset):
        """Rows of X as float32, dense or in canonical CSR, with largest numbers in [1/2, 1).

        Returns
        -------
        X : array or csr_array of float32 of shape (n_samples, n_features)
        exponents : array of int of shape (n_samples,)
            Powers of two that the rows were divided by, so that no square overflows or vanishes.
        """
        n_columns = np.shape(X)[-1] if np.ndim(X) == 2 else None
        if not reset and n_columns not in (None, self.n_features_in_):
            expected = f"a matrix of {self.n_features_in_} columns, as in fit"
            raise must_be("X", expected, n_columns)
        dtypes = [np.float64, np.float32]
        X = validate_data(self, X, reset=reset, accept_sparse="csr", dtype=dtypes, order="C")
        if not sparse.issparse(X):
            return _scaled_rows(X)
        X = sparse.csr_array(X, copy=True)
        X.sum_duplicates()
        X.eliminate_zeros()
        exponents = np.frexp(abs(X).max(axis=1).toarray().ravel())[1]
        scaled = np.ldexp(X.data, -np.repeat(exponents, np.diff(X.indptr))).astype(np.float32)
        X = sparse.csr_array((scaled, X.indices, X.indptr), shape=X.shape)
        X.eliminate_zeros()  # what is 0 beside the largest number of its row, in float32
        return X, exponents

    def _queries(self, X):
        """Rows of length 1 in the form of the fitted ones, and the group that each leaves out."""
        if X is None:
            return self._units, self._groups
        X, exponents = self._check(X, reset=False)
        if sparse.issparse(X) != sparse.issparse(self._units):
            X = X.toarray() if sparse.issparse(X) else sparse.csr_array(X)
        groups = np.full(X.shape[0], -1)
        if self._group_of:
            digests = _digests(X, exponents)
            groups[:] = [self._group_of.get(digest, -1) for digest in digests]
        return normalize(X), groups

    def _search(self, queries, groups, indices, cosines):
        """Fill `indices` and `cosines`, block by block."""
        members = _members(self._groups)
        kind = _SparseRows if sparse.issparse(self._units) else _DenseRows
        rows = kind(self._units, self._device())
        for block in _blocks(len(groups), rows.n_queries):
            left_out = members[groups[block]]
            indices[block], cosines[block] = _nearest(
                rows, queries[block], left_out, indices.shape[1]
            )

    def _device(self):
        return device_of(self.device)


def _check_n_neighbors(n_neighbors):
    if not isinstance(n_neighbors, Integral) or isinstance(n_neighbors, bool) or n_neighbors < 1:
        raise must_be("n_neighbors", "a positive integer", repr(n_neighbors))


def _usable(n_neighbors, n_pool):
    """How many neighbours there can be, with a warning where these are fewer."""
    _check_n_neighbors(n_neighbors)
    if n_neighbors > n_pool:
        warn(
            f"n_neighbors must be at most {n_pool}, the number of rows that can be neighbours. "
            f"Got {n_neighbors} instead: all {n_pool} are used.",
        )
    return min(n_neighbors, n_pool)


def _members(groups):
    """The rows of each group, as ones in CSR; the last row, that of the group -1, is empty."""
    n_rows = len(groups)
    ones = np.ones(n_rows, dtype=bool)
    return sparse.csr_array((ones, (groups, np.arange(n_rows))), shape=(n_rows + 1, n_rows))


def _scaled_rows(X):
    """Dense rows divided by powers of two, which is exact, as float32; and the exponents."""
    exponents = np.frexp(np.abs(X).max(axis=1))[1]
    scaled = np.empty(X.shape, dtype=np.float32)
    for block in _blocks(len(X), _QUERIES):
        scaled[block] = np.ldexp(X[block], -exponents[block, None])
    return scaled, exponents


def _digests(X, exponents):
    """A fingerprint of each row; equal rows have the same."""
    if sparse.issparse(X):
        ends = zip(X.indptr[:-1], X.indptr[1:], strict=True)
        columns = X.indices.astype(np.int64)
        rows = (columns[i:j].tobytes() + X.data[i:j].tobytes() for i, j in ends)
    else:
        rows = ((row + 0.0).tobytes() for row in X)  # -0.0 becomes 0.0
    scales = exponents.astype(np.int32)
    return [
        hashlib.blake2b(row + scale.tobytes(), digest_size=16).digest()
        for row, scale in zip(rows, scales, strict=True)
    ]


def _blocks(n_rows, size):
    """Slices of `size` rows, the last one shorter."""
    return [slice(i, min(i + size, n_rows)) for i in range(0, n_rows, size)]


def _nearest(rows, queries, left_out, k):
    """Numbers and cosines of the k nearest rows of each query, -1 and -inf where there are none.

    Parameters
    ----------
    rows : _DenseRows or _SparseRows
        The fitted rows.
    queries : array or CSR array of shape (n_queries, n_features)
    left_out : csr_array of shape (n_queries, n_rows)
        What is no neighbour of each query.
    k : int
    """
    columns, coarse = _candidates(rows, queries, left_out, k + _EXTRA_CANDIDATES)
    cosines = rows.cosines(queries, columns)
    is_candidate = coarse > _EXCLUDED
    # Beyond what float32 costs: a user may have allowed products of still fewer bits.
    error = max(
        rows.rounding, 4 * np.abs(cosines - coarse, where=is_candidate, out=0 * cosines).max()
    )
    cosines[~is_candidate] = -np.inf
    columns, cosines = _rank(columns, cosines, k)
    uncertain = is_candidate[:, -1] & (cosines[:, -1] <= coarse[:, -1] + error)
    for i in np.flatnonzero(uncertain):
        found = _search_all(rows, queries[[i]], left_out[[i]].indices, cosines[i, -1], k)
        columns[i], cosines[i] = (values[0] for values in _rank(*found, k))
    columns[cosines == -np.inf] = -1
    return columns, cosines


def _candidates(rows, queries, left_out, n_candidates):
    """Columns and float32 cosines that are best by a product of matrices, of each query."""
    factor = rows.factor(queries)
    excluded = left_out.tocoo()
    best = []
    for block in _blocks(rows.n_rows, _ROWS):
        scores = rows.products(factor, block)  # (n_queries, n_columns)
        is_candidate = (excluded.col >= block.start) & (excluded.col < block.stop)
        scores[excluded.row[is_candidate], excluded.col[is_candidate] - block.start] = _EXCLUDED
        values, columns = _top_columns(scores, rows.maxima(scores), n_candidates)
        best.append((values, columns + block.start))
    values, columns = (torch.cat(parts, dim=1) for parts in zip(*best, strict=True))
    values, order = values.topk(min(n_candidates, values.shape[1]))
    columns = columns.gather(1, order).clamp(max=rows.n_rows - 1)  # of padding there may be some
    return columns.cpu().numpy(), values.cpu().numpy()


def _top_columns(scores, maxima, k):
    """The k best columns of each row; exact, as they are in the k chunks of the best maxima.

    Parameters
    ----------
    scores : Tensor of shape (n_queries, _CHUNK * n_chunks)
        A chunk is every n_chunks-th column: maxima of such take vector instructions.
    maxima : Tensor of shape (n_queries, n_chunks)
        The best score of each chunk.
    k : int

    Returns
    -------
    values, columns : Tensors of shape (n_queries, at most k)
    """
    n_chunks = maxima.shape[1]
    best = maxima.topk(min(k, n_chunks), sorted=False).indices
    steps = torch.arange(0, scores.shape[1], n_chunks, device=scores.device)
    columns = (best[:, :, None] + steps).flatten(1)  # (n_queries, k * _CHUNK)
    values, places = scores.gather(1, columns).topk(min(k, columns.shape[1]))
    return values, columns.gather(1, places)


def _rank(columns, cosines, k):
    """Sort by falling cosine, then by column, and keep the first k."""
    order = np.lexsort((columns, -cosines), axis=1)[:, :k]
    return (np.take_along_axis(values, order, axis=1) for values in (columns, cosines))


def _search_all(rows, query, left_out, lowest, k):
    """Columns that may be among the k nearest of a single query, and the cosines.

    The k-th best cosine is `lowest` or more. Of rows that have nothing in common with the query,
    often most of them, the first k are enough.
    """
    vector = (query.toarray() if sparse.issparse(query) else query)[0]
    coarse = rows.unit_rows @ vector
    coarse[left_out] = _EXCLUDED
    near, apart = np.flatnonzero(coarse >= lowest - rows.rounding), []
    if lowest <= rows.rounding:
        meets = rows.meet(vector)[near]
        near, apart = near[meets], near[~meets][:k]
    columns = np.append(near, apart).astype(int)[None]
    cosines = np.zeros(columns.shape)
    if len(near):
        cosines[:, : len(near)] = rows.cosines(query, near[None])
    return columns, cosines


class _DenseRows:
    """Dense rows and their products, in memory that is taken once.

    Parameters
    ----------
    unit_rows : array of float32 of shape (n_rows, n_features)
        Rows of length 1.
    device : str or torch.device
    """

    def __init__(self, unit_rows, device):
        self.unit_rows, self.n_rows, self.n_queries = unit_rows, len(unit_rows), _QUERIES
        self.rounding = unit_rows.shape[1] * np.finfo(np.float32).eps
        self.tensor = torch.from_numpy(np.require(unit_rows, requirements="W")).to(device)
        self.buffer = self.tensor.new_empty(_QUERIES, _padded(min(self.n_rows, _ROWS)))

    def factor(self, queries):
        """What queries are in a product, which several blocks of rows share."""
        return torch.from_numpy(queries).to(self.tensor.device)

    def products(self, factor, block):
        """Products of the queries with a block of rows, filled up to whole chunks."""
        n_columns = block.stop - block.start
        scores = self.buffer[: len(factor), : _padded(n_columns)]
        torch.mm(factor, self.tensor[block].T, out=scores[:, :n_columns])
        scores[:, n_columns:] = _EXCLUDED
        return scores

    def meet(self, vector):
        """Whether each row has something in common with a query; others have a cosine of 0."""
        return np.full(self.n_rows, vector.any())

    def maxima(self, scores):
        """The best product of each chunk of columns, for every query."""
        return scores.unflatten(1, (_CHUNK, -1)).amax(dim=1)

    def cosines(self, queries, columns):
        """Products in float64 of queries with some rows each, every pair summed by itself."""
        n_queries = max(1, _PAIRS // (columns.shape[1] * queries.shape[1]))
        cosines = np.empty(columns.shape)
        for block in _blocks(len(columns), n_queries):
            rows = self.unit_rows[columns[block]].astype(np.float64)
            np.einsum("qcf,qf->qc", rows, queries[block].astype(np.float64), out=cosines[block])
        return cosines


class _SparseRows:
    """Rows in CSR and their products with queries, a block of which is made dense.

    Embedding bags take less than half the time of a product in scipy, and every device has them.

    Parameters
    ----------
    unit_rows : csr_array of float32 of shape (n_rows, n_features)
        Rows of length 1.
    device : str or torch.device
    """

    def __init__(self, unit_rows, device):
        self.unit_rows, self.n_rows = unit_rows, unit_rows.shape[0]
        self.n_queries = int(np.clip(_DENSE_QUERIES // unit_rows.shape[1], 16, _QUERIES))
        self.rounding = np.diff(unit_rows.indptr).max() * np.finfo(np.float32).eps
        self.place = _places_by_frequency(unit_rows)
        values = np.require(unit_rows.data, requirements="W")  # not a map of a file
        self.columns = torch.from_numpy(self.place[unit_rows.indices]).to(device)
        self.values = torch.from_numpy(values).to(device)

    def factor(self, queries):
        """What queries are in a product, which several blocks of rows share."""
        factor = np.zeros(queries.shape[::-1], dtype=np.float32)
        of_entries = np.repeat(np.arange(queries.shape[0]), np.diff(queries.indptr))
        factor[self.place[queries.indices], of_entries] = queries.data
        return torch.from_numpy(factor).to(self.values.device)

    def products(self, factor, block):
        """Products of the queries with a block of rows, filled up to whole chunks."""
        n_columns = block.stop - block.start
        ends = self.unit_rows.indptr[block.start : block.stop + 1]
        filled = np.pad(ends - ends[0], (0, _padded(n_columns) - n_columns), mode="edge")
        entries = slice(ends[0], ends[-1])
        indptr = torch.from_numpy(filled).to(factor.device)
        scores = csr_dot(indptr, self.columns[entries], self.values[entries], factor)
        scores[n_columns:] = _EXCLUDED
        return scores.T

    def meet(self, vector):
        """Whether each row has something in common with a query; others have a cosine of 0."""
        ones = np.ones(len(self.unit_rows.data), dtype=np.float32)
        places = self.unit_rows.indices, self.unit_rows.indptr
        pattern = sparse.csr_array((ones, *places), shape=self.unit_rows.shape)
        return pattern @ (vector != 0).astype(np.float32) > 0

    def maxima(self, scores):
        """The best product of each chunk of columns, for every query, read as it is stored."""
        return scores.T.unflatten(0, (_CHUNK, -1)).amax(dim=0).T

    def cosines(self, queries, columns):
        """Products in float64 of queries with some rows each, every pair summed by itself."""
        cosines, query = np.empty(columns.shape), np.zeros(queries.shape[1])
        for block in _blocks(len(columns), _QUERIES_COMPARED):
            rows = self.unit_rows[columns[block].ravel()]
            products, first = np.zeros(rows.nnz + 1), block.start
            ends = rows.indptr[:: columns.shape[1]]
            for i in range(first, block.stop):
                entries = slice(*queries.indptr[i : i + 2])
                own = slice(*ends[i - first : i - first + 2])
                query[queries.indices[entries]] = queries.data[entries]
                query.take(rows.indices[own], out=products[own], mode="clip")  # "raise" copies
                query[queries.indices[entries]] = 0
            products[:-1] *= rows.data
            sums = np.add.reduceat(products, rows.indptr[:-1])
            sums[np.diff(rows.indptr) == 0] = 0  # where it takes the first number of the next row
            cosines[block] = sums.reshape(-1, columns.shape[1])
        return cosines


def _places_by_frequency(rows):
    """Places of the columns of rows in CSR, the frequent ones first: they then share the cache."""
    order = np.argsort(-np.bincount(rows.indices, minlength=rows.shape[1]), kind="stable")
    places = np.empty(len(order), dtype=np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return places


def _padded(n_columns):
    """The next whole number of chunks."""
    return -(-n_columns // _CHUNK) * _CHUNK
