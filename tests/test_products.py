"""Products with dense factors: numpy's, and the same whatever the other rows and columns are."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc._products import csr_dot, csr_tensors, dense_dot, sparse_dot

ROWS = [slice(0, 1), slice(699, 700), slice(3, 60), slice(250, 600), slice(0, 0)]
COLUMNS = [[0], [149, 3, 77], list(range(60, 140)), list(range(150))]


@pytest.fixture(scope="module")
def weights():
    return torch.from_numpy(np.random.RandomState(1).randn(80, 150).astype(np.float32))


@pytest.fixture(scope="module")
def matrix():
    """Seven hundred sparse rows of 80 columns; some rows are empty."""
    rng = np.random.RandomState(0)
    dense = rng.randn(700, 80) * (rng.rand(700, 80) < 0.2) * (np.arange(700) % 9 > 0)[:, None]
    return sparse.csr_array(dense.astype(np.float32))


def test_sparse_products_are_those_of_numpy(matrix, weights):
    product = csr_dot(*csr_tensors(matrix, "cpu"), weights)
    assert product.dtype == torch.float32 and product.shape == (700, 150)
    exact = matrix.toarray().astype(np.float64) @ weights.numpy().astype(np.float64)
    assert_allclose(product, exact, rtol=1e-5, atol=1e-5)
    assert not product[::9].any()


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_sparse_products_do_not_depend_on_other_rows_and_columns(
    matrix, weights, rows, columns, order
):
    """Nor on the order in which numpy keeps the columns that were taken."""
    whole = csr_dot(*csr_tensors(matrix, "cpu"), weights)
    some = torch.from_numpy(np.array(weights.numpy()[:, columns], order=order))
    assert_array_equal(csr_dot(*csr_tensors(matrix[rows], "cpu"), some), whole[rows][:, columns])


def test_sparse_products_have_gradients(matrix, weights):
    factor, slopes = weights.clone().requires_grad_(), torch.randn(700, 150)
    (csr_dot(*csr_tensors(matrix, "cpu"), factor) * slopes).sum().backward()
    assert_allclose(factor.grad, matrix.T @ slopes.numpy(), atol=1e-4)


def test_csr_tensors_are_the_arrays_in_single_precision():
    matrix = sparse.csr_matrix(np.array([[0, 1.5, 0], [0, 0, 0], [2, 0, -1]]))
    indptr, indices, values = csr_tensors(matrix, "cpu")
    assert indptr.tolist() == [0, 1, 1, 3] and indices.tolist() == [1, 0, 2]
    assert values.tolist() == [1.5, 2, -1]
    assert (indptr.dtype, indices.dtype, values.dtype) == (torch.int32, torch.int32, torch.float32)


def test_csr_tensors_take_arrays_that_may_not_be_written():
    matrix = sparse.csr_array(np.eye(3, dtype=np.float32))
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.flags.writeable = False
    assert_array_equal(csr_dot(*csr_tensors(matrix, "cpu"), torch.eye(3)), np.eye(3))


@pytest.mark.parametrize("dim", [1, 5, 33, 80])
def test_dense_products_are_those_of_numpy(weights, dim):
    vectors = torch.from_numpy(np.random.RandomState(0).randn(700, dim).astype(np.float32))
    product = dense_dot(vectors, weights[:dim])
    assert product.dtype == torch.float32 and product.shape == (700, 150)
    exact = vectors.numpy().astype(np.float64) @ weights[:dim].numpy().astype(np.float64)
    assert_allclose(product, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dim", [1, 5, 33, 80])
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_dense_products_do_not_depend_on_other_rows_and_columns(weights, dim, columns, order):
    vectors = torch.from_numpy(np.random.RandomState(0).randn(700, dim).astype(np.float32))
    whole = dense_dot(vectors, weights[:dim])
    some = torch.from_numpy(np.array(weights[:dim].numpy()[:, columns], order=order))
    for rows in ROWS:
        assert_array_equal(dense_dot(vectors[rows], some), whole[rows][:, columns])


@pytest.mark.parametrize("has_mkl", [True, False])
@pytest.mark.parametrize("rows", ROWS)
def test_products_of_two_sparse_matrices_are_those_of_numpy(matrix, rows, has_mkl, monkeypatch):
    if not has_mkl:
        monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    rng = np.random.RandomState(3)
    weights = sparse.csr_array(rng.randn(80, 37) * (rng.rand(80, 37) < 0.3), dtype=np.float32)
    before = matrix.data.copy(), weights.data.copy()
    whole, product = sparse_dot(matrix, weights), sparse_dot(matrix[rows], weights)
    assert product.dtype == np.float32 and product.flags.c_contiguous
    exact = matrix.toarray().astype(np.float64) @ weights.toarray().astype(np.float64)
    assert_allclose(whole, exact, rtol=1e-5, atol=1e-5)
    assert_array_equal(product, whole[rows])
    assert_array_equal(matrix.data, before[0])
    assert_array_equal(weights.data, before[1])
    assert_array_equal(sparse_dot(0 * matrix, weights), np.zeros((700, 37)))
