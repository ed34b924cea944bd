"""Products of documents with weights and of gradients with documents."""

from functools import partial

import numpy as np
import torch
from scipy import sparse

from .._products import csr_dot, csr_tensors


class DesignMatrix:
    """X and its transpose as products on a device, with a column of ones for the intercept.

    A column of X with a root mean square of one or more is divided by the next power of two, so
    that no column outweighs the others in a gradient; others stay as they are. Weights of the
    divided columns are the given ones over `scale`; no digit is lost on the way.

    Parameters
    ----------
    X : CSR matrix or float array of shape (n_samples, n_features)
        The features.
    device : str or torch.device, default="cpu"
        Where the products run.

    Attributes
    ----------
    scale : tensor of float32 of shape (n_weights, 1)
        What each column is multiplied by, 1 or less; 1 for the intercept.
    """

    def __init__(self, X, device="cpu"):
        self._made_of = X, device
        self.n_samples, self.n_weights = X.shape[0], X.shape[1] + 1
        self.device = torch.device(device)
        scale = np.append(_column_scale(X), 1.0)
        self.scale = torch.from_numpy(scale.astype(np.float32)[:, None]).to(self.device)
        ones = np.ones((X.shape[0], 1), dtype=np.float32)
        if sparse.issparse(X):
            with_ones = sparse.hstack([X, ones], format="csr", dtype=np.float32)
            with_ones.data = (with_ones.data * scale[with_ones.indices]).astype(np.float32)
            self.dot = partial(csr_dot, *csr_tensors(with_ones, self.device))
            self.t_dot = partial(csr_dot, *csr_tensors(with_ones.T.tocsr(), self.device))
        else:
            dense = (np.hstack([X, ones]) * scale).astype(np.float32)
            dense = torch.from_numpy(dense).to(self.device)
            self.dot, self.t_dot = dense.matmul, dense.T.matmul

    def __reduce__(self):
        """Go to other processes as X: they make their own tensors."""
        return DesignMatrix, self._made_of


def _column_scale(X):
    """For each column 1, or the power of two that takes its root mean square below 1."""
    if sparse.issparse(X):
        X = sparse.csr_array(X)
        squares = X.data.astype(np.float64) ** 2
        sums = np.bincount(X.indices, weights=squares, minlength=X.shape[1])
    else:
        sums = np.einsum("ij,ij->j", X, X, dtype=np.float64)
    _, exponents = np.frexp(np.sqrt(sums / max(X.shape[0], 1)))
    return np.exp2(-np.maximum(exponents, 0.0))
