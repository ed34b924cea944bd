"""Newton's method for the squared hinge of one label."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize
from sklearn.svm import LinearSVC

from skmltc._linear.newton import LabelHinge, minimise


def hinge_of(decay, n_far=0, level=0.0, n_rows=60, n_columns=12, n_own=15):
    rng = np.random.RandomState(0)
    X = rng.rand(n_rows, n_columns) * (rng.rand(n_rows, n_columns) < 0.4)
    scores = X @ rng.randn(n_columns) + 0.2 * rng.randn(n_rows)
    signs = np.where(scores >= np.sort(scores)[-n_own], 1, -1)
    X, signs = sparse.csr_array(X.astype(np.float32)), signs.astype(np.float32)
    return LabelHinge(X, X.T, signs, n_far, level, decay)


def objective(hinge, w, b):
    """In loops, as the docstring of the loss says it."""
    total = hinge.decay / 2 * sum(float(weight) ** 2 for weight in w)
    for row, sign in zip(hinge.X.toarray(), hinge.signs, strict=True):
        total += max(0.0, 1 - sign * (float(row @ w) + b)) ** 2
    return total + hinge.n_far * max(0.0, 1 + b + hinge.level) ** 2


def solve(hinge, tol=1e-6, max_iter=50):
    start = np.zeros(hinge.X.shape[1], dtype=np.float32)
    return minimise(hinge, start, -1.0, tol, max_iter)


@pytest.mark.parametrize("decay", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("n_far, level", [(0, 0.0), (500, 0.0), (500, 0.3), (500, -0.3)])
def test_it_finds_the_minimum(decay, n_far, level):
    hinge = hinge_of(decay, n_far, level)
    found = solve(hinge)
    best = minimize(lambda v: objective(hinge, v[:-1], v[-1]), np.zeros(13), tol=1e-12)
    reached = objective(hinge, found.weights.astype(float), found.intercept)
    assert found.converged and reached <= best.fun * (1 + 1e-5)
    assert_allclose(np.append(found.weights, found.intercept), best.x, atol=2e-3)


def test_it_finds_what_liblinear_finds():
    """Whose intercept is penalised, here by next to nothing."""
    hinge, found = hinge_of(0.5), solve(hinge_of(0.5))
    svc = LinearSVC(C=2, dual=False, tol=1e-8, intercept_scaling=100).fit(hinge.X, hinge.signs)
    assert_allclose(found.weights, svc.coef_[0], atol=2e-3)
    assert_allclose(found.intercept, svc.intercept_[0], atol=2e-3)


def test_far_documents_hold_the_intercept_down():
    """Where all documents have the label, nothing else keeps it below 1."""
    hinge = hinge_of(1.0, n_own=60)
    assert_allclose(solve(hinge).intercept, 1, atol=1e-3)
    held = solve(hinge._replace(n_far=10**5, level=-0.1))
    assert_allclose(held.intercept, -0.9, atol=0.01)  # their mean score is it and the level


def test_from_a_solution_one_step_is_enough_and_the_start_is_not_written_to():
    hinge = hinge_of(1.0)
    first = solve(hinge)
    start = first.weights.copy()
    again = minimise(hinge, start, first.intercept, 1e-4, 50)
    assert again.converged and again.n_iter == 1 and first.n_iter > 2
    assert_array_equal(start, first.weights)


def test_without_steps_enough_it_says_so():
    assert not solve(hinge_of(0.01), tol=1e-7, max_iter=1).converged


def test_where_nothing_can_fall_it_stops_at_once():
    """No document has the label, and all are at -1."""
    hinge = hinge_of(1.0, n_far=10)
    found = solve(hinge._replace(signs=-np.ones_like(hinge.signs)))
    assert found.converged and found.n_iter == 1
    assert_array_equal(found.weights, 0)
    assert found.intercept == -1


def test_numbers_that_overflow_end_without_convergence():
    hinge = hinge_of(1.0)
    X = hinge.X * np.float32(1e30)
    with np.errstate(all="ignore"):
        assert not solve(hinge._replace(X=X, X_T=X.T)).converged


@pytest.mark.parametrize("n_far, level", [(0, 0.0), (500, 0.3)])
def test_a_document_of_weight_two_is_the_document_twice(n_far, level):
    hinge = hinge_of(1.0, n_far, level)
    weights = np.random.RandomState(1).randint(1, 4, len(hinge.signs))
    rows = np.repeat(np.arange(len(weights)), weights)
    X = hinge.X[rows]
    twice = solve(hinge._replace(X=X, X_T=X.T, signs=hinge.signs[rows]))
    weighted = solve(hinge._replace(weights=weights.astype(np.float32)))
    assert_allclose(weighted.weights, twice.weights, atol=1e-4)
    assert_allclose(weighted.intercept, twice.intercept, atol=1e-4)
