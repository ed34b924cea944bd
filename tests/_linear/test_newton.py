"""Newton's method for the loss of one label."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize
from sklearn.svm import LinearSVC

from skmltc._linear.newton import LabelHinge, LabelLoss, minimise
from skmltc.labels import LabelStatistics
from skmltc.losses import (
    BinaryCrossEntropyLoss,
    ClassBalancedNegativeTolerantLoss,
    NegativeTolerantFocalLoss,
)


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


# -------------------------------------------------------------------------------- smooth losses

SMOOTH = [
    BinaryCrossEntropyLoss(),
    ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4),
    NegativeTolerantFocalLoss(ntr_scale_negatives=False),
]


def smooth_of(spec, decay, n_far=0):
    """The rows of `hinge_of`, weighted; the last is without the label and `n_far` times there."""
    hinge = hinge_of(decay)
    hinge.signs[-1] = -1
    weights = np.random.RandomState(1).randint(1, 4, len(hinge.signs)).astype(np.float32)
    weights[-1] += n_far
    loss = spec.build(LabelStatistics([15], 60))
    return LabelLoss(
        hinge.X, hinge.X_T, hinge.signs, loss, torch.from_numpy(weights)[:, None], decay
    )


def smooth_objective(label, w, b):
    """In loops: w q^gamma softplus(u), as the docstring of the loss says it."""
    total, shift = label.decay / 2 * sum(float(weight) ** 2 for weight in w), 0.0
    scale, divided = label.loss.neg_scale, label.loss.ntr_scale_negatives
    if label.loss.shift is not None:
        shift = label.loss.shift.item()
    for row, sign, weight in zip(label.X.toarray(), label.signs, label.weights, strict=True):
        z = float(row @ w) + b - shift
        u = -z if sign > 0 else scale * z
        q, entropy = 1 / (1 + math.exp(-u)), np.logaddexp(0, u)
        weight = weight.item() / (scale if sign < 0 and divided else 1)
        total += weight * q**label.loss.gamma * entropy
    return total


@pytest.mark.parametrize("spec", SMOOTH)
@pytest.mark.parametrize("decay", [0.03, 1.0])
@pytest.mark.parametrize("n_far", [0, 500])
def test_it_finds_the_minimum_of_smooth_losses(spec, decay, n_far):
    label = smooth_of(spec, decay, n_far)
    found = solve(label)
    best = minimize(lambda v: smooth_objective(label, v[:-1], v[-1]), np.zeros(13), tol=1e-10)
    reached = smooth_objective(label, found.weights.astype(float), found.intercept)
    assert found.converged and 1 < found.n_iter < 15
    assert reached <= best.fun * (1 + 1e-4)
    assert_allclose(np.append(found.weights, found.intercept), best.x, atol=0.02)


def test_half_the_objective_and_its_derivatives_are_those_of_the_loops():
    label = smooth_of(SMOOTH[1], 0.5, 9)
    rng = np.random.RandomState(0)
    w, b = rng.randn(12).astype(np.float32), -0.3
    z = (label.X @ w + np.float32(b)).astype(np.float32)
    bent, far_bent = label.curvatures(z, b)
    e, far = label.slopes(z, b, bent, far_bent)
    assert far == far_bent == 0
    assert_allclose(label.value(w, z, b, e, far), smooth_objective(label, w, b) / 2, rtol=1e-5)
    ends = [smooth_objective(label, w, b + d) for d in (-1e-4, 1e-4)]
    assert_allclose(e.sum(), (ends[1] - ends[0]) / 4e-4, rtol=1e-3)
    further = label.slopes(z + np.float32(1e-2), b, None, 0)[0]
    nearer = label.slopes(z - np.float32(1e-2), b, None, 0)[0]
    differences = (further - nearer) / 0.02
    assert (bent >= 0).all()
    assert_allclose(bent, np.maximum(differences, 0), atol=1e-3)


def test_from_far_on_the_wrong_side_it_comes_back():
    """Where all focused cells bend down, and the loss is nearly straight."""
    label = smooth_of(NegativeTolerantFocalLoss(), 0.1)
    start = np.full(12, 8.0, dtype=np.float32) * np.sign(np.arange(12) - 5)
    far, near = minimise(label, start, 12.0, 1e-6, 100), solve(label)
    assert far.converged
    assert_allclose(far.weights, near.weights, atol=0.02)


def test_without_decay_or_curvature_it_ends():
    """Weights of 0 make an objective of 0."""
    label = smooth_of(SMOOTH[0], 0.0)
    nothing = solve(label._replace(weights=0 * label.weights))
    assert nothing.converged and nothing.n_iter == 1
    with np.errstate(all="ignore"):
        assert np.isfinite(solve(label, max_iter=5).intercept)
