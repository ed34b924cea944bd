"""Products of documents with weights and of gradients with documents."""

from functools import partial

import numpy as np
import torch
from scipy import sparse

from .._products import csr_dot, csr_tensors

_ROWS_AT_A_TIME = 4096
_NEARLY_CONSTANT = 0.9  # share of the mean square that is the square of the mean


class DesignMatrix:
    """X and its transpose as products on a device, with a column of ones for the intercept.

    So that no column outweighs the others in a gradient, one with a root mean square of one or more
    is divided by the next power of two; others stay as they are. A column that hardly varies, such
    as a year, would be confused with the intercept, so its mean is subtracted first. `inner` and
    `outer` take weights to those of the columns as they are inside, and back.

    Parameters
    ----------
    X : CSR matrix or float array of shape (n_samples, n_features)
        The features.
    device : str or torch.device, default="cpu"
        Where the products run.
    weights : array of shape (n_samples,), default=None
        How often each document counts where columns are looked at; once by default.
    dtype : torch.dtype, default=torch.float32
        Of all numbers inside.

    Attributes
    ----------
    scale : tensor of shape (n_weights, 1)
        What each column is multiplied by, 1 or less; 1 for the intercept.
    means : tensor of shape (n_weights, 1) or None
        What is subtracted from each column; None where there is nothing.
    dense : tensor of shape (n_samples, n_weights) or None
        The columns as they are inside; None where X is sparse.
    """

    def __init__(self, X, device="cpu", weights=None, dtype=torch.float32):
        self._made_of = X, device, weights, dtype
        self.n_samples, self.n_weights = X.shape[0], X.shape[1] + 1
        self.device = torch.device(device)
        self.dtype = dtype
        X, means = _centred(X, weights)
        scale = np.append(_column_scale(X, weights), 1.0)
        self.scale, self.means, self.dense = self._column(scale), None, None
        if means.any():
            self.means = self._column(np.append(means, 0.0))
        ones = np.ones((X.shape[0], 1), dtype=np.float32)
        if sparse.issparse(X):
            with_ones = sparse.hstack([X, ones], format="csr")
            with_ones.data = self._numbers(with_ones.data * scale[with_ones.indices])
            how = self.device, with_ones.data.dtype
            self.dot = partial(csr_dot, *csr_tensors(with_ones, *how))
            turned = with_ones.T.tocsr()
            self.t_dot = partial(csr_dot, *csr_tensors(turned, *how))
            self.t_dot_of_squares = partial(csr_dot, *csr_tensors(turned.power(2), *how))
        else:
            dense = self._numbers(np.hstack([X, ones]) * scale)
            self.dense = dense = torch.from_numpy(dense).to(self.device)
            self.dot, self.t_dot = dense.matmul, dense.T.matmul
            self.t_dot_of_squares = partial(_dense_t_dot_of_squares, dense)

    def _numbers(self, values):
        return values.astype(np.float64 if self.dtype == torch.float64 else np.float32)

    def _column(self, values):
        return torch.from_numpy(self._numbers(values)[:, None]).to(self.device)

    def inner(self, W):
        """Weights of the columns inside, for weights W (n_weights, n_block) of those of X."""
        V = W / self.scale
        if self.means is not None:
            V[-1] += (self.means * W).sum(0)
        return V

    def outer(self, V):
        """Weights of the columns of X, for weights V (n_weights, n_block) of those inside."""
        W = self.scale * V
        if self.means is not None:
            W[-1] -= (self.means[:-1] * W[:-1]).sum(0)
        return W

    def __reduce__(self):
        """Go to other processes as X: they make their own tensors."""
        return DesignMatrix, self._made_of


def _dense_t_dot_of_squares(X, cells):
    """The product of the squares of X, turned, with cells; they are not all in memory at once."""
    blocks = zip(X.split(_ROWS_AT_A_TIME), cells.split(_ROWS_AT_A_TIME), strict=True)
    return sum(rows.square().T @ some for rows, some in blocks)


def conditioned(X, weights=None):
    """A sparse X as a `DesignMatrix` has it inside, of float32.

    Returns
    -------
    X : csr_array of shape (n_samples, n_features)
    scale : array of float32 of shape (n_features,) or None
        What each column is multiplied by; None where each is as it was.
    means : array of float32 of shape (n_features,) or None
        What is subtracted from each column before that; None where there is nothing.
    """
    X, means = _centred(X, weights)
    scale = _column_scale(X, weights)
    X = sparse.csr_array(X, dtype=np.float32)
    means = means.astype(np.float32) if means.any() else None
    if (scale == 1).all():
        return X, None, means
    values = (X.data * scale[X.indices]).astype(np.float32)
    X = sparse.csr_array((values, X.indices, X.indptr), shape=X.shape)
    return X, scale.astype(np.float32), means


def _centred(X, weights=None):
    """X with columns that hardly vary less their means, and the means, 0 for other columns."""
    sums, squares = _column_sums(X, weights)
    n_samples = _total(X, weights)
    means = sums / n_samples
    means[means**2 * n_samples < _NEARLY_CONSTANT * squares] = 0.0
    if not means.any():
        return X, means
    if not sparse.issparse(X):
        return X - means, means
    columns = np.flatnonzero(means)
    rows = np.arange(X.shape[0])
    indices, values = np.tile(columns, len(rows)), np.tile(means[columns], len(rows))
    ends = len(columns) * np.arange(len(rows) + 1)
    return sparse.csr_array(X) - sparse.csr_array((values, indices, ends), shape=X.shape), means


def _total(X, weights):
    """Documents in all, by their weights; not 0."""
    return max(X.shape[0], 1) if weights is None else weights.sum()


def _column_sums(X, weights):
    """Sums of the columns and of their squares over documents by their weights, in float64."""
    if sparse.issparse(X):
        X = sparse.csr_array(X)
        values = X.data.astype(np.float64)
        times = 1.0 if weights is None else np.repeat(weights, np.diff(X.indptr))
        powers = values * times, values**2 * times
        return [np.bincount(X.indices, weights=v, minlength=X.shape[1]) for v in powers]
    if weights is not None:
        return np.einsum("ij,i->j", X, weights), np.einsum("ij,ij,i->j", X, X, weights)
    return np.sum(X, axis=0, dtype=np.float64), np.einsum("ij,ij->j", X, X, dtype=np.float64)


def _column_scale(X, weights=None):
    """For each column 1, or the power of two that takes its root mean square below 1."""
    _, squares = _column_sums(X, weights)
    _, exponents = np.frexp(np.sqrt(squares / _total(X, weights)))
    return np.exp2(-np.maximum(exponents, 0.0))
