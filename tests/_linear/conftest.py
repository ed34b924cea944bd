"""A small problem for linear models."""

import numpy as np
import pytest
from scipy import sparse


@pytest.fixture(scope="package")
def problem():
    """A hundred documents, 30 features of unit rows, 7 labels on 1 to 55 documents."""
    rng = np.random.RandomState(0)
    X = rng.rand(100, 30) * (rng.rand(100, 30) < 0.3)
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    scores = X @ rng.randn(30, 7) + 0.1 * rng.randn(100, 7)
    counts = [55, 20, 10, 5, 3, 2, 1]
    cut_offs = [np.sort(column)[-n] for column, n in zip(scores.T, counts, strict=True)]
    Y = (scores >= cut_offs).astype(np.float32)
    assert (Y.sum(axis=0) == counts).all() and (Y.sum(axis=1) > 2).any()
    return sparse.csr_array(X.astype(np.float32)), sparse.csr_array(Y)
