"""Products of documents with weights against scipy's."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc._linear.products import DesignMatrix

FORMS = [sparse.csr_array, sparse.csr_matrix, sparse.csr_array.toarray]


@pytest.fixture(scope="module")
def X():
    """Twenty documents, some without words, and a word without documents."""
    X = sparse.random_array(
        (20, 8), density=0.3, rng=np.random.default_rng(0), dtype=np.float32, format="csr"
    )
    return sparse.csr_array(X * (np.arange(20) % 6 > 0)[:, None] * (np.arange(8) != 3))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width", [1, 5, 16])
def test_products_equal_those_of_scipy(X, form, width):
    rng = np.random.RandomState(0)
    features = DesignMatrix(form(X))
    factor = rng.randn(features.n_weights, width).astype(np.float32)
    slopes = rng.randn(20, width).astype(np.float32)
    with_ones = sparse.hstack([X, np.ones((20, 1), dtype=np.float32)])
    assert (features.n_samples, features.n_weights) == (20, 9)
    assert_allclose(features.dot(torch.from_numpy(factor)), with_ones @ factor, atol=1e-5)
    assert_allclose(features.t_dot(torch.from_numpy(slopes)), with_ones.T @ slopes, atol=1e-5)
    squares = features.t_dot_of_squares(torch.from_numpy(slopes))
    assert_allclose(squares, with_ones.power(2).T @ slopes, atol=1e-5)


def test_squares_of_many_dense_documents_are_summed_block_by_block():
    X = np.random.RandomState(0).random_sample((10_000, 2)).astype(np.float32)
    cells = torch.ones(10_000, 1)
    found = DesignMatrix(X).t_dot_of_squares(cells)
    assert_allclose(found[:2, 0], (X.astype(np.float64) ** 2).sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_products_are_the_same_in_another_process(X, form):
    """What is sent there is X."""
    features = DesignMatrix(form(X))
    sent = pickle.loads(pickle.dumps(features))
    factor, slopes = torch.randn(9, 4), torch.randn(20, 4)
    assert (sent.n_samples, sent.n_weights, sent.device) == (20, 9, features.device)
    assert_array_equal(sent.dot(factor), features.dot(factor))
    assert_array_equal(sent.t_dot(slopes), features.t_dot(slopes))
