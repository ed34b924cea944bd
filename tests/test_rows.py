"""Rows that two matrices share, against loops."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmltc._rows import is_among, places_among, stack_rows

FORMS = {"dense": np.asarray, "csr": sparse.csr_array, "matrix": sparse.csr_matrix}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("other_form", FORMS)
def test_rows_are_found_as_by_loops(form, other_form):
    rng = np.random.RandomState(0)
    rows = rng.randint(-1, 2, size=(60, 3)).astype(np.float32)
    others = rng.randint(-1, 2, size=(8, 3)).astype(np.float32)
    expected = [any((row == other).all() for other in others) for row in rows]
    assert 0 < sum(expected) < 60
    assert_array_equal(is_among(FORMS[form](rows), FORMS[other_form](others)), expected)


def test_the_place_of_a_row_is_that_of_the_first_like_it():
    rows, others = np.array([[2.0], [1.0], [3.0]]), np.array([[1.0], [2.0], [1.0]])
    assert_array_equal(places_among(rows, others), [1, 0, -1])
    assert_array_equal(places_among(sparse.csr_array(rows), others), [1, 0, -1])


def test_dense_rows_may_differ_by_rounding():
    rng = np.random.RandomState(0)
    others = rng.normal(size=(300, 40)).astype(np.float32)
    others[:, :3] = 0.0, 1.0, 1e3
    others[:, 3] += 2e3
    rows = others[:100] * (1 + rng.uniform(-1e-7, 1e-7, size=(100, 40))).astype(np.float32)
    assert (rows != others[:100]).any(axis=1).all()
    for size in (1e-20, 1.0, 1e12):
        size = np.float32(size)
        assert_array_equal(places_among(rows * size, others * size), np.arange(100))
        assert is_among(others * size, rows[:1] * size).sum() == 1
    rows[:, 5] += 0.01
    assert not is_among(rows, others).any()
    assert not is_among(np.array([[1000, 1001]]), np.array([[1000, 1002]])).any()


def test_a_row_is_known_however_its_zeros_and_columns_are_stored():
    plain = sparse.csr_array(np.array([[0, 2, 3.0]]))
    odd = sparse.csr_array(([3.0, 0.0, 2.0], [2, 0, 1], [0, 3]), shape=(1, 3))
    before = odd.data.copy()
    assert is_among(plain, odd).all() and is_among(odd, plain).all()
    assert_array_equal(odd.data, before)
    assert is_among(np.array([[0.0, 1.0]]), np.array([[-0.0, 1.0]])).all()
    assert not is_among(np.ones((1, 2)), np.ones((0, 2))).any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("other_form", FORMS)
def test_rows_are_stacked_in_the_form_of_the_first(form, other_form):
    first, second = np.eye(2, 3), np.ones((1, 3))
    stacked = stack_rows([FORMS[form](first), FORMS[other_form](second)])
    assert isinstance(stacked, np.ndarray if form == "dense" else sparse.csr_array)
    stacked = stacked.toarray() if sparse.issparse(stacked) else stacked
    assert_array_equal(stacked, np.vstack([first, second]))
