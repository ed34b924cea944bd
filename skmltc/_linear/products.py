"""Products of a design matrix with weights, and scores of linear models."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch.nn.functional import embedding_bag


class DesignMatrix:
    """X and its transpose as products on a device, with a column of ones for the intercept.

    Sparse products go through embedding bags, which read each row of the dense factor once and
    with vector instructions (about three times scipy's speed on one core).

    Parameters
    ----------
    X : CSR matrix or float array of shape (n_samples, n_features)
        The features.
    device : str or torch.device, default="cpu"
        Where the products run.
    transpose : bool, default=True
        Whether gradients will be asked for; prediction needs none.
    """

    def __init__(self, X, device="cpu", transpose=True):
        self.n_samples, self.n_weights = X.shape[0], X.shape[1] + 1
        self.device = torch.device(device)
        ones = np.ones((X.shape[0], 1), dtype=np.float32)
        if sparse.issparse(X):
            with_ones = sparse.hstack([X, ones], format="csr", dtype=np.float32)
            self.dot = _csr_dot(with_ones, self.device)
            if transpose:
                self.t_dot = _csr_dot(with_ones.T.tocsr(), self.device)
        else:
            dense = torch.from_numpy(np.hstack([X, ones]).astype(np.float32)).to(self.device)
            self.dot = dense.matmul
            self.t_dot = dense.T.matmul


def _csr_dot(matrix, device):
    """The product of a CSR matrix with a dense one, as a function of the latter."""
    index_type = np.int32 if matrix.nnz < 2**31 else np.int64
    arrays = (
        matrix.indices.astype(index_type),
        matrix.indptr.astype(index_type),
        matrix.data.astype(np.float32, copy=False),
    )
    indices, offsets, values = (torch.from_numpy(a).to(device) for a in arrays)
    return lambda factor: embedding_bag(
        indices,
        factor,
        offsets,
        mode="sum",
        per_sample_weights=values,
        include_last_offset=True,
    )


def linear_scores(X, coef, intercept):
    """X @ coef.T + intercept, where a document's scores do not depend on its batch.

    Parameters
    ----------
    X : CSR matrix or float array of shape (n_samples, n_features)
    coef : array of float32 of shape (n_labels, n_features)
        Stored by features (Fortran order), else it is copied.
    intercept : array of shape (n_labels,)

    Returns
    -------
    array of float32 of shape (n_samples, n_labels)
    """
    if not sparse.issparse(X):  # in float64, rounding to float32 hides the order of summation
        return (X.astype(np.float64) @ coef.T.astype(np.float64) + intercept).astype(np.float32)
    # On the CPU, where the weights are: it costs less than to move them for every block.
    weights = torch.from_numpy(np.ascontiguousarray(coef.T))
    return _csr_dot(sparse.csr_array(X), "cpu")(weights).numpy() + intercept
