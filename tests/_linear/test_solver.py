"""L-BFGS in blocks of labels: values, gradients, and optima against scipy."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize

from skmltc._linear.models import Solver, fit_linear, solve_block
from skmltc._linear.products import DesignMatrix
from skmltc._linear.solver import BlockLBFGS, BlockObjective
from skmltc.losses import (
    LOSSES,
    BinaryCrossEntropyLoss,
    ClassBalancedNegativeTolerantLoss,
    DistributionBalancedLoss,
)

SOLVED = [
    BinaryCrossEntropyLoss(),
    DistributionBalancedLoss(),
    ClassBalancedNegativeTolerantLoss(kappa=0.1, neg_scale=4),
]


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def penalised_loss(spec, X, Y, W, decay):
    """The objective of every label in float64: no blocks, no shortcuts."""
    loss = spec.build(Y.toarray(), reduction="none").double()
    W = np.asarray(W, dtype=np.float64)
    logits = torch.from_numpy(X.toarray().astype(np.float64) @ W[:-1] + W[-1])
    cells = loss(logits, torch.from_numpy(Y.toarray().astype(np.float64)))
    return cells.sum(0).numpy() + decay / 2 * (W[:-1] ** 2).sum(axis=0)


def solve(X, Y, spec, decays, labels=range(7)):
    """Weights and iterations of a block of labels for each weight decay."""
    loss, labels = spec.build(Y), np.array(labels)
    return solve_block(DesignMatrix(X), Y, loss, decays, Solver(spec), labels)


# ---------------------------------------------------------------------------------- objective


class ExactFeatures:
    """`DesignMatrix` in float64, for differences that float32 would drown."""

    def __init__(self, X):
        dense = np.hstack([X.toarray(), np.ones((X.shape[0], 1))]).astype(np.float64)
        self.dot, self.t_dot = (
            torch.from_numpy(matrix).matmul for matrix in (dense, dense.T.copy())
        )
        self.device = torch.device("cpu")


@pytest.mark.filterwarnings("ignore:weighted_bce gives no weight")
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("columns", [[0, 1, 2, 3, 4, 5, 6], [5, 0, 3]])
def test_values_and_gradients_of_a_block(problem, name, columns):
    X, Y = problem
    Y, columns = Y.astype(np.float64), np.array(columns)
    W = np.random.RandomState(1).randn(31, 7)
    loss = LOSSES[name]().build(Y).double()
    objective = BlockObjective(ExactFeatures(X), Y, loss, columns, 0.3)

    def evaluate(W):
        values, slopes = objective.cells(objective.features.dot(W))
        return values + objective.penalty(W, W) / 2, objective.gradient(W, slopes)

    values, gradient = evaluate(torch.from_numpy(W[:, columns]))
    assert_allclose(values, penalised_loss(LOSSES[name](), X, Y, W, 0.3)[columns], rtol=1e-10)
    for row in (0, 11, 29, 30):
        up, down = W.copy(), W.copy()
        up[row] += 1e-6
        down[row] -= 1e-6
        rise = [penalised_loss(LOSSES[name](), X, Y, at, 0.3)[columns] for at in (up, down)]
        assert_allclose(gradient[row], (rise[0] - rise[1]) / 2e-6, atol=1e-6)


def test_a_block_weighs_cells_by_all_labels_of_the_document(problem):
    X, Y = problem
    spec, columns = DistributionBalancedLoss(mu=0.4), np.array([1, 4])
    block = BlockObjective(DesignMatrix(X), Y, spec.build(Y), columns, 0.0)
    counts, dense = Y.sum(axis=0), Y.toarray()
    for row in range(100):
        label_mass = sum(1 / counts[label] for label in range(7) if dense[row, label])
        for position, label in enumerate(columns):
            share = (1 / counts[label]) / label_mass if label_mass else np.inf
            expected = 0.1 + 1 / (1 + np.exp(-10 * (share - 0.4)))
            assert_allclose(block.weight[row, position], expected, rtol=1e-5)


def test_a_narrowed_block_is_the_block_of_what_is_kept(problem):
    X, Y = problem
    features, W = DesignMatrix(X), torch.randn(31, 3)
    for name in ("distribution_balanced", "class_balanced_negative_tolerant", "bce"):
        loss = LOSSES[name]().build(Y)
        narrowed = BlockObjective(features, Y, loss, np.arange(7), 0.1)
        narrowed.keep(torch.tensor([1, 4, 5]))
        direct = BlockObjective(features, Y, loss, np.array([1, 4, 5]), 0.1)
        logits = features.dot(W)
        for mine, expected in zip(narrowed.cells(logits), direct.cells(logits), strict=True):
            assert_array_equal(mine, expected)


# ------------------------------------------------------------------------------------- optima


@pytest.mark.parametrize("spec", SOLVED, ids=repr)
@pytest.mark.parametrize("decay", [1.0, 0.03])
def test_the_optimum_is_that_of_scipy(problem, spec, decay):
    X, Y = problem
    fitted, _ = fit_linear(X, Y, Solver(spec, decay))
    ours = penalised_loss(spec, X, Y, np.vstack([fitted.weights, fitted.intercepts]), decay)
    loss = spec.build(Y).double()
    for label in range(7):
        columns = np.array([label])
        block = BlockObjective(ExactFeatures(X), Y.astype(np.float64), loss, columns, decay)

        def evaluate(w, block=block):
            W = torch.from_numpy(w[:, None])
            value, slopes = block.cells(block.features.dot(W))
            value = value + block.penalty(W, W) / 2
            return value.item(), block.gradient(W, slopes).numpy().ravel()

        best = minimize(evaluate, np.zeros(31), jac=True, method="L-BFGS-B", tol=1e-12).fun
        assert ours[label] <= best * (1 + 5e-3)


@pytest.mark.parametrize("spec", SOLVED, ids=repr)
def test_dense_features_have_the_optimum_of_sparse_ones(problem, spec):
    X, Y = problem
    fitted = [fit_linear(form, Y, Solver(spec, 0.1))[0] for form in (X, X.toarray())]
    values = [
        penalised_loss(spec, X, Y, np.vstack([one.weights, one.intercepts]), 0.1) for one in fitted
    ]
    assert_allclose(*values, rtol=5e-3)


@pytest.mark.parametrize("spec", SOLVED, ids=repr)
def test_labels_of_a_block_are_solved_as_if_alone(problem, spec):
    X, Y = problem
    ((together, _),) = solve(X, Y, spec, [0.1])
    alone = np.hstack([solve(X, Y, spec, [0.1], [label])[0][0] for label in range(7)])
    values = [penalised_loss(spec, X, Y, W, 0.1) for W in (together, alone)]
    assert_allclose(*values, rtol=5e-3)


class OnlyUphill(BlockObjective):
    """Whatever the logits are, the loss is lower where all are 0."""

    def cells(self, logits):
        values, slopes = super().cells(logits)
        return values + 1000 * (logits != 0).any(dim=0), slopes


def test_a_search_that_finds_no_step_stays_where_it_is(problem):
    X, Y = problem
    objective = OnlyUphill(DesignMatrix(X), Y, SOLVED[0].build(Y), np.arange(7), 0.01)
    solver = BlockLBFGS(objective, torch.zeros(31, 7))
    values = solver.values
    for _ in range(3):
        solver._step()
        assert_array_equal(solver.values, values)
        assert not solver.W.any()
    W, n_iter = BlockLBFGS(objective, torch.zeros(31, 7)).minimise(200)
    assert not W.any() and n_iter == 3


@pytest.mark.parametrize("spec", SOLVED, ids=repr)
@pytest.mark.parametrize("size", [0.0, 3.0, 300.0])
def test_no_step_goes_uphill(problem, spec, size):
    X, Y = problem
    objective = BlockObjective(DesignMatrix(X), Y, spec.build(Y), np.arange(7), 0.01)
    start = size * torch.from_numpy(np.random.RandomState(2).randn(31, 7).astype(np.float32))
    solver = BlockLBFGS(objective, start)
    first = solver.values
    for _ in range(60):
        before = solver.values
        solver._step()
        assert (solver.values <= before * (1 + 1e-6)).all()
    assert (solver.values < 0.9 * first).all()
    exact = penalised_loss(spec, X, Y, solver.W, 0.01)
    assert_allclose(solver.values, exact, rtol=1e-3)


def test_a_path_ends_where_each_weight_decay_alone_would_but_sooner(problem):
    X, Y = problem
    spec, decays = SOLVED[2], [1.0, 0.3, 0.1, 0.03]
    path = solve(X, Y, spec, decays)
    cold = [solve(X, Y, spec, [decay])[0] for decay in decays]
    for decay, (warm_W, _), (cold_W, _) in zip(decays, path, cold, strict=True):
        values = [penalised_loss(spec, X, Y, W, decay) for W in (warm_W, cold_W)]
        assert_allclose(*values, rtol=1e-2)
    assert sum(n for _, n in path) < sum(n for _, n in cold)


def test_the_number_of_iterations_is_limited(problem):
    X, Y = problem
    assert fit_linear(X, Y, Solver(SOLVED[0], 0.01, max_iter=3))[1] == 3
    assert 3 < fit_linear(X, Y, Solver(SOLVED[0], 0.01))[1] < 200


@pytest.mark.filterwarnings("ignore:weighted_bce gives no weight")
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("n_samples", [1, 2, 30])
def test_a_label_on_all_documents_or_on_none_leaves_no_nan(name, n_samples):
    """Its loss falls towards 0 for ever; it once fell until the products underflowed."""
    rng = np.random.RandomState(0)
    X, Y = rng.rand(n_samples, 4).astype(np.float32), np.ones((n_samples, 3), dtype=np.float32)
    Y[1::2, 1] = 0
    Y[:, 2] = 0
    Y = sparse.csr_array(Y)
    for decay in (0.0, 0.01, 1.0):
        fitted, n_iter = fit_linear(X, Y, Solver(LOSSES[name](), decay))
        assert np.isfinite(fitted.weights).all() and np.isfinite(fitted.intercepts).all()
        assert n_iter < 200
        assert not fitted.weights[:, 2].any()
        assert name == "weighted_bce" or fitted.intercepts[0] > 1


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e-3, 1e3, 1e6])
def test_features_of_any_scale_give_finite_weights(problem, scale):
    X, Y = problem
    for spec in SOLVED:
        fitted, _ = fit_linear(sparse.csr_array(X * np.float32(scale)), Y, Solver(spec, 0.1))
        assert np.isfinite(fitted.weights).all() and np.isfinite(fitted.intercepts).all()
