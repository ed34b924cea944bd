"""Products of documents with weights and of gradients with documents."""

from functools import partial

import numpy as np
import torch
from scipy import sparse

from .._products import csr_dot, csr_tensors


class DesignMatrix:
    """X and its transpose as products on a device, with a column of ones for the intercept.

    Parameters
    ----------
    X : CSR matrix or float array of shape (n_samples, n_features)
        The features.
    device : str or torch.device, default="cpu"
        Where the products run.
    """

    def __init__(self, X, device="cpu"):
        self._made_of = X, device
        self.n_samples, self.n_weights = X.shape[0], X.shape[1] + 1
        self.device = torch.device(device)
        ones = np.ones((X.shape[0], 1), dtype=np.float32)
        if sparse.issparse(X):
            with_ones = sparse.hstack([X, ones], format="csr", dtype=np.float32)
            self.dot = partial(csr_dot, *csr_tensors(with_ones, self.device))
            self.t_dot = partial(csr_dot, *csr_tensors(with_ones.T.tocsr(), self.device))
        else:
            dense = torch.from_numpy(np.hstack([X, ones]).astype(np.float32)).to(self.device)
            self.dot, self.t_dot = dense.matmul, dense.T.matmul

    def __reduce__(self):
        """Go to other processes as X: they make their own tensors."""
        return DesignMatrix, self._made_of
