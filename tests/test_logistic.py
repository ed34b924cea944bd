"""The logistic fit against scipy's optimiser, and where data leave no optimum."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import expit

from skmltc._logistic import fit_logistic


def random_problem(seed, n_samples=200, n_features=3):
    """Features with an intercept, and what a random slope makes true."""
    rng = np.random.RandomState(seed)
    features = np.column_stack([rng.randn(n_samples, n_features - 1), np.ones(n_samples)])
    is_true = rng.rand(n_samples) < expit(features @ rng.randn(n_features))
    return features, is_true, rng


def optimum(features, is_true, offset, weights, ridge):
    """By scipy, of the objective as it is written down."""

    def objective(w):
        margins = np.where(is_true, 1, -1) * (features @ w + offset)
        return (weights * np.log1p(np.exp(-margins))).sum() + (ridge * w * w).sum() / 2

    def gradient(w):
        wrong = expit(features @ w + offset) - is_true
        return features.T @ (weights * wrong) + ridge * w

    start = np.zeros(features.shape[1])
    return minimize(objective, start, jac=gradient, method="BFGS", options={"gtol": 1e-9}).x


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("has_offset", [False, True])
@pytest.mark.parametrize("has_weights", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 3.0, np.array([0.0, 5.0, 0.5])])
def test_the_optimum_is_that_of_scipy(seed, has_offset, has_weights, ridge):
    features, is_true, rng = random_problem(seed)
    offset = 2 * rng.randn(200) if has_offset else None
    weights = rng.exponential(size=200) if has_weights else None
    fitted = fit_logistic(features, is_true, offset, weights, ridge)
    expected = optimum(
        features,
        is_true,
        offset if has_offset else 0.0,
        weights if has_weights else np.ones(200),
        ridge,
    )
    assert fitted.dtype == np.float64 and fitted.shape == (3,)
    assert_allclose(fitted, expected, atol=1e-5)


def test_of_one_column_of_ones_the_fit_is_the_log_odds():
    assert_allclose(fit_logistic(np.ones((10, 1)), np.arange(10) < 3), [np.log(3 / 7)])


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 100.0])
def test_separable_data_with_a_ridge_have_an_optimum(ridge):
    features = np.column_stack([np.linspace(-1, 1, 40), np.ones(40)])
    is_true = features[:, 0] > 0.1
    fitted = fit_logistic(features, is_true, ridge=ridge)
    assert_allclose(fitted, optimum(features, is_true, 0.0, np.ones(40), ridge), rtol=1e-4)


@pytest.mark.parametrize("answer", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_without_any_positive_or_any_negative_the_fit_is_finite(answer, ridge):
    features, _, _ = random_problem(0)
    fitted = fit_logistic(features, np.full(200, answer), ridge=ridge)
    assert np.isfinite(fitted).all()
    probabilities = expit(features @ fitted)
    assert abs(probabilities - answer).max() < (0.3 if ridge else 1e-6)


def test_separable_data_without_a_ridge_are_told_apart_by_a_finite_fit():
    features = np.column_stack([np.linspace(-1, 1, 40), np.ones(40)])
    is_true = features[:, 0] > 0.1
    fitted = fit_logistic(features, is_true)
    assert np.isfinite(fitted).all()
    assert_array_equal(features @ fitted > 0, is_true)


def test_a_column_of_zeros_and_one_given_twice_leave_the_fit_finite():
    features, is_true, _ = random_problem(1)
    more = np.column_stack([features, features[:, 0], np.zeros(200)])
    fitted = fit_logistic(more, is_true)
    assert_allclose(more @ fitted, features @ fit_logistic(features, is_true), atol=1e-3)
    assert abs(fitted[4]) < 1e-6


@pytest.mark.parametrize("size", [1e3, 1e6])
def test_large_offsets_leave_the_fit_finite(size):
    features, is_true, rng = random_problem(2)
    offset = size * rng.randn(200)
    assert np.isfinite(fit_logistic(features, is_true, offset, ridge=1.0)).all()


def test_a_weight_of_two_is_a_sample_given_twice_and_one_of_zero_none():
    features, is_true, _ = random_problem(3)
    weights = np.repeat([0.0, 1.0, 2.0, 1.0], 50)
    repeated = np.repeat(np.arange(200), weights.astype(int))
    assert_allclose(
        fit_logistic(features, is_true, weights=weights, ridge=0.5),
        fit_logistic(features[repeated], is_true[repeated], ridge=0.5),
        atol=1e-6,
    )


def test_arguments_are_not_changed():
    features, is_true, rng = random_problem(4)
    arguments = [features, is_true, rng.randn(200), rng.rand(200), np.array([1.0, 0.0, 2.0])]
    before = [argument.copy() for argument in arguments]
    fit_logistic(*arguments)
    for argument, copy in zip(arguments, before, strict=True):
        assert_array_equal(argument, copy)
