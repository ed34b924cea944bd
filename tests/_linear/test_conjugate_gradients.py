"""Conjugate gradients of a block, and what they divide by, against equations solved in float64."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc import BalancedLossClassifier
from skmltc._linear.conjugate_gradients import ApproximateInverse, ConjugateGradients
from skmltc._linear.products import DesignMatrix
from skmltc._linear.solver import BlockObjective
from skmltc.losses import SquaredHingeLoss

N_SAMPLES, N_FEATURES, DECAY = 300, 12, 0.3


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def block(to_x=np.asarray, n_bent=(5, 40, 300), dtype=torch.float32):
    """An objective of three labels, and curvatures of 2 on so many documents of each."""
    rng = np.random.RandomState(0)
    X = to_x(rng.randn(N_SAMPLES, N_FEATURES).astype(np.float32))
    Y = sparse.csr_array((rng.rand(N_SAMPLES, 3) < 0.2).astype(np.float32))
    objective = BlockObjective(
        DesignMatrix(X, dtype=dtype), Y, SquaredHingeLoss().build(Y), np.arange(3), DECAY
    )
    bent = np.arange(N_SAMPLES)[:, None] < np.array(n_bent)
    return objective, 2 * torch.from_numpy(bent.astype(np.float32)), torch.randn(13, 3)


def second_derivatives(objective, curvatures, column):
    X = objective.features.dot(torch.eye(13)).double().numpy()
    return X.T * curvatures[:, column].numpy() @ X + np.diag(objective.decays[:, 0])


def steps(n):
    return torch.full((3,), n)


@pytest.mark.parametrize("to_x", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("expected", [0, 30])
def test_the_equations_are_solved(to_x, expected):
    objective, curvatures, gradient = block(to_x)
    gradients = ConjugateGradients(objective, curvatures, gradient, steps(expected))
    direction, moved = gradients.minimise(torch.full((3,), 1e-5), steps(30))
    for column in range(3):
        H = second_derivatives(objective, curvatures, column)
        exact = np.linalg.solve(H, -gradient[:, column].double().numpy())
        assert_allclose(direction[:, column], exact, atol=1e-3 * np.abs(exact).max())
    assert_allclose(moved, objective.features.dot(direction), atol=1e-3)


def test_dense_columns_where_few_documents_bend_are_divided_by_all_second_derivatives():
    objective, curvatures, gradient = block()
    inverse = ApproximateInverse(objective, curvatures, steps(1))
    assert sorted(inverse.roots) == [0, 1]  # 300 outer products take more time than two steps
    assert inverse.is_exact.tolist() == [True, True, False]
    divided = inverse(gradient)
    for column in (0, 1):
        H = second_derivatives(objective, curvatures, column)
        assert_allclose(H @ divided[:, column].numpy(), gradient[:, column], atol=1e-3)
    assert_array_equal(divided[:, 2], inverse.diagonal[:, 2] * gradient[:, 2])


def test_more_steps_that_are_expected_pay_for_more_documents():
    objective, curvatures, _ = block()
    inverse = ApproximateInverse(objective, curvatures, steps(30))
    assert sorted(inverse.roots) == [0, 1, 2] and inverse.is_exact.all()


def test_sparse_columns_are_divided_by_about_the_diagonal():
    objective, curvatures, _ = block(sparse.csr_array)
    assert not ApproximateInverse(objective, curvatures, steps(300)).roots


def test_one_step_is_then_enough():
    objective, curvatures, gradient = block()
    for expected, fewest, most in ((30, 1, 1), (0, 2, 30)):
        gradients = ConjugateGradients(objective, curvatures, gradient, steps(expected))
        gradients.minimise(torch.full((3,), 0.01), steps(30))
        assert ((fewest <= gradients.taken) & (gradients.taken <= most)).all()


def test_what_is_left_out_leaves_the_others_as_they_are():
    objective, curvatures, gradient = block()
    inverse = ApproximateInverse(objective, curvatures, steps(1))
    divided = inverse(gradient)
    kept = torch.tensor([1, 2])
    inverse.keep(kept)
    assert_array_equal(inverse(gradient[:, kept]), divided[:, kept])


def test_a_column_without_a_root_is_divided_by_about_the_diagonal():
    """As where rounding leaves a negative second derivative."""
    objective, curvatures, gradient = block()
    objective.decays = -1e6 * torch.ones_like(objective.decays)
    inverse = ApproximateInverse(objective, curvatures, steps(30))
    assert not inverse.roots and not inverse.is_exact.any()
    assert_array_equal(inverse(gradient), inverse.diagonal * gradient)


def test_roots_of_very_many_numbers_are_not_made(monkeypatch):
    monkeypatch.setattr("skmltc._linear.conjugate_gradients._MOST_ROOTS", 3 * 13**2 - 1)
    objective, curvatures, _ = block()
    assert not ApproximateInverse(objective, curvatures, steps(30)).roots


def test_in_float64_there_are_none():
    """There, documents that are repeated are equal to weights to the last digit."""
    objective, curvatures, _ = block(dtype=torch.float64)
    assert not ApproximateInverse(objective, curvatures.double(), steps(300)).roots


def test_one_very_long_document_does_not_hide_the_others():
    """In float32 its outer product leaves none of theirs."""
    rng = np.random.RandomState(0)
    X = rng.randn(400, 80).astype(np.float32)
    X[-1] *= 1e4
    Y = (X[:, :4] + rng.randn(400, 4) > 2).astype(np.float32)
    Y[0], Y[-1] = 1, 0

    def objectives(form):
        model = BalancedLossClassifier(
            encoder="bag", loss="squared_hinge", weight_decay=100, calibrate=False
        ).fit(form(X), Y)
        margins = (2 * Y - 1) * (X.astype(np.float64) @ model.coef_.T + model.intercept_)
        losses = (np.maximum(0, 1 - margins) ** 2).sum(axis=0)
        return losses + 50 * (model.coef_.astype(np.float64) ** 2).sum(axis=1)

    assert_allclose(objectives(np.asarray), objectives(sparse.csr_array), rtol=3e-3)
