"""Newton's method in blocks of labels: values, gradients, and optima against scipy."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from skmltc import BalancedLossClassifier, LongTailClassifier
from skmltc._linear.models import Solver, fit_linear
from skmltc._linear.problems import LinearProblem
from skmltc._linear.products import DesignMatrix
from skmltc._linear.solver import BlockNewton, BlockObjective
from skmltc.datasets import load_jsonl, make_long_tailed_corpus
from skmltc.losses import (
    LOSSES,
    BinaryCrossEntropyLoss,
    ClassBalancedNegativeTolerantLoss,
    DistributionBalancedLoss,
    SquaredHingeLoss,
)

SOLVED = [
    BinaryCrossEntropyLoss(),
    DistributionBalancedLoss(),
    ClassBalancedNegativeTolerantLoss(kappa=0.1, neg_scale=4),
    SquaredHingeLoss(),
]
DEFAULT = ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4)


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
    solver = Solver(spec)
    return LinearProblem.of(X, Y, solver).solve(decays, solver, np.array(labels))


# ---------------------------------------------------------------------------------- objective


class ExactFeatures:
    """`DesignMatrix` in float64, for differences that float32 would drown."""

    def __init__(self, X):
        dense = np.hstack([X.toarray(), np.ones((X.shape[0], 1))]).astype(np.float64)
        self.dot, self.t_dot = (
            torch.from_numpy(matrix).matmul for matrix in (dense, dense.T.copy())
        )
        self.t_dot_of_squares = torch.from_numpy(dense.T**2).matmul
        self.device = torch.device("cpu")
        self.scale, self.dense = torch.ones(X.shape[1] + 1, 1, dtype=torch.float64), None


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


@pytest.mark.filterwarnings("ignore:weighted_bce gives no weight")
@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"squared_hinge"}))
def test_the_diagonal_is_the_change_of_the_gradient(problem, name):
    """Where cells do not bend down, as focused ones do far on the wrong side."""
    X, Y = problem
    loss = LOSSES[name]().build(Y).double()
    weights = np.random.RandomState(3).random_sample(100) + 0.5
    how = np.array([5, 0, 3]), 0.3, weights
    objective = BlockObjective(ExactFeatures(X), Y.astype(np.float64), loss, *how)
    V = 0.1 * torch.from_numpy(np.random.RandomState(1).randn(31, 3))

    def gradient(V):
        return objective.gradient(V, objective.cells(objective.features.dot(V))[1])

    diagonal = objective.diagonal(objective.curvatures(objective.features.dot(V)))
    for row in (0, 11, 29, 30):
        step = torch.zeros_like(V)
        step[row] = 1e-6
        change = (gradient(V + step) - gradient(V - step))[row] / 2e-6
        assert_allclose(diagonal[row], change, rtol=1e-5, atol=1e-7)


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


@pytest.mark.parametrize("C", [0.1, 1.0, 4.0])
def test_the_squared_hinge_is_the_objective_of_linear_svc(problem, C):
    """Divided by C; its intercept is penalised, the less the larger its scaling."""
    X, Y = problem
    hinge = SquaredHingeLoss()
    fitted, _ = fit_linear(X, Y, Solver(hinge, 1 / C, tol=1e-5))
    ours = penalised_loss(hinge, X, Y, np.vstack([fitted.weights, fitted.intercepts]), 1 / C)
    svc = LinearSVC(C=C, intercept_scaling=100.0, tol=1e-7, max_iter=10**6, random_state=0)
    for label in range(7):
        svc.fit(X, Y[:, [label]].toarray().ravel())
        W, signs = np.append(svc.coef_, svc.intercept_), 2 * Y[:, [label]].toarray().ravel() - 1
        slack = np.maximum(0, 1 - signs * (X @ W[:-1] + W[-1]))
        theirs = (W[:-1] @ W[:-1]) / 2 + C * slack @ slack
        assert C * ours[label] == pytest.approx(theirs, rel=1e-3)


def test_the_squared_hinge_scores_reuters_as_linear_svc_does(real_data):
    parts = [load_jsonl(real_data / "reuters", subset=subset) for subset in ("train", "test")]
    vectorizer = TfidfVectorizer(
        sublinear_tf=True, min_df=2, stop_words="english", dtype=np.float32
    )
    X, X_test = vectorizer.fit_transform(parts[0].data), vectorizer.transform(parts[1].data)
    order = np.argsort(-parts[0].target.sum(axis=0))
    Y = sparse.csr_array(parts[0].target[:, order[np.linspace(0, 89, 20).astype(int)]], dtype="f4")
    fitted, _ = fit_linear(X, Y, Solver(SquaredHingeLoss(), 1.0, tol=1e-5))
    scores = fitted.scores(fitted.encode(X_test, "cpu"))
    svc = LinearSVC(intercept_scaling=100.0, dual=False, tol=1e-5)
    for label in range(20):
        svc.fit(X, Y[:, [label]].toarray().ravel())
        theirs = svc.decision_function(X_test)
        assert np.corrcoef(scores[:, label], theirs)[0, 1] >= 0.999, label


@pytest.mark.parametrize("spec", SOLVED, ids=repr)
def test_dense_features_have_the_optimum_of_sparse_ones(problem, spec):
    X, Y = problem
    fitted = [fit_linear(form, Y, Solver(spec, 0.1))[0] for form in (X, X.toarray())]
    values = [
        penalised_loss(spec, X, Y, np.vstack([one.weights, one.intercepts]), 0.1) for one in fitted
    ]
    assert_allclose(*values, rtol=5e-3)


@pytest.mark.parametrize("spec", SOLVED, ids=repr)
def test_labels_of_a_block_end_as_if_alone(problem, spec):
    """Where others end earlier or later, and after as many iterations; but for rounding."""
    X, Y = problem
    (together,) = solve(X, Y, spec, [0.1])
    alone = [solve(X, Y, spec, [0.1], [label])[0] for label in range(7)]
    assert_allclose(together.weights, np.hstack([one.weights for one in alone]), atol=2e-3)
    assert max(one.n_iter for one in alone) == together.n_iter


@pytest.mark.parametrize("spec", SOLVED, ids=repr)
def test_a_label_that_has_ended_stays_where_it_was(problem, spec):
    """To the last bit, while the others go on."""
    X, Y = problem
    objective = BlockObjective(DesignMatrix(X), Y, spec.build(Y), np.arange(7), 0.01)
    solver, ends = BlockNewton(objective, torch.zeros(31, 7), 1e-4), {}
    end = solver._end

    def recorded(small, stuck):
        at = (small | stuck).nonzero().squeeze(1).tolist()
        ends.update({int(solver.columns[k]): solver.V[:, k].clone() for k in at})
        end(small, stuck)

    solver._end = recorded
    W, _, converged = solver.minimise(200)
    assert converged.all() and sorted(ends) == list(range(7))
    for label in range(7):
        assert_array_equal(W[:, label], ends[label])


def test_a_label_of_one_document_gets_over_the_kink_of_its_hinge():
    """All others score just above -1 and leave the hinge at once: a step there is very short."""
    n = 10_000
    X, Y = (
        sparse.csr_array((n + 1, 2), dtype=np.float32),
        sparse.csr_array(np.eye(n + 1, 1, dtype="f4")),
    )
    loss = SquaredHingeLoss().build(Y)
    start = torch.tensor([[0.0], [0.0], [-1 + 7 / n]])  # slope: 14 of the others, -4 of its own
    objective = BlockObjective(DesignMatrix(X), Y, loss, np.array([0]), 1.0)
    W, n_iter, converged = BlockNewton(objective, start, 1e-4).minimise(200)
    assert converged.all() and n_iter < 20
    assert_allclose(W[-1], -1 + 2 / n, atol=1e-5)  # where 2 (1 - b) is 2 n (1 + b)


class OnlyUphill(BlockObjective):
    """Whatever the logits are, the loss of some labels is lower where all are 0."""

    uphill = torch.arange(7) % 2 == 0

    def keep(self, columns):
        super().keep(columns)
        self.uphill = self.uphill[columns]

    def cells(self, logits):
        values, slopes = super().cells(logits)
        return values + 1000 * (logits != 0).any(dim=0) * self.uphill, slopes


def test_a_label_whose_search_finds_no_lower_point_stays_and_has_not_converged(problem):
    X, Y = problem
    objective = OnlyUphill(DesignMatrix(X), Y, SOLVED[0].build(Y), np.arange(7), 0.01)
    start = torch.zeros(31, 7)
    W, n_iter, converged = BlockNewton(objective, start, 1e-4).minimise(200)
    assert_array_equal(converged, ~OnlyUphill.uphill)
    assert not W[:, OnlyUphill.uphill].any() and W[:, ~OnlyUphill.uphill].all()
    assert 3 < n_iter < 20


def test_a_label_at_its_minimum_converges_at_once(problem):
    """Here no step can lower the objective either, but nothing is promised."""
    X, Y = problem
    loss, labels = SOLVED[0].build(Y), np.arange(7)
    objective = BlockObjective(DesignMatrix(0 * X), Y, loss, labels, 1.0)
    start = torch.zeros(31, 7)
    start[-1] = loss.prior_logits(Y)
    W, n_iter, converged = BlockNewton(objective, start, 1e-4).minimise(200)
    assert converged.all() and n_iter <= 6
    assert_allclose(W, start, atol=2e-3)


def test_tol_is_the_accuracy_of_the_objective(problem):
    X, Y = problem
    best = reference_values(X, Y, SOLVED[0], 0.01)
    gaps, iterations = [], []
    for tol in (1e-2, 1e-3, 1e-4, 1e-5):
        fitted, n_iter = fit_linear(X, Y, Solver(SOLVED[0], 0.01, tol=tol))
        gaps.append((objective_of(fitted, X, Y, SOLVED[0], 0.01) / best - 1).max())
        iterations.append(n_iter)
        assert gaps[-1] < 10 * tol
    assert gaps == sorted(gaps)[::-1] and iterations == sorted(iterations)
    assert iterations[0] < iterations[-1]


@pytest.mark.parametrize("spec", SOLVED, ids=repr)
@pytest.mark.parametrize("size", [0.0, 3.0, 300.0])
def test_no_step_goes_uphill(problem, spec, size):
    X, Y = problem
    objective = BlockObjective(DesignMatrix(X), Y, spec.build(Y), np.arange(7), 0.01)
    start = size * torch.from_numpy(np.random.RandomState(2).randn(31, 7).astype(np.float32))
    solver = BlockNewton(objective, start, 1e-4)
    first = solver.values
    for _ in range(20):
        before = solver.values
        solver.step()
        assert (solver.values <= before * (1 + 1e-6)).all()
    assert (solver.values < 0.9 * first).all()
    exact = penalised_loss(spec, X, Y, solver.V, 0.01)
    assert_allclose(solver.values, exact, rtol=1e-3)


def test_a_path_ends_where_each_weight_decay_alone_would_but_sooner(problem):
    X, Y = problem
    spec, decays = SOLVED[2], [1.0, 0.3, 0.1, 0.03]
    path = solve(X, Y, spec, decays)
    cold = [solve(X, Y, spec, [decay])[0] for decay in decays]
    for decay, (warm_W, *_), (cold_W, *_) in zip(decays, path, cold, strict=True):
        values = [penalised_loss(spec, X, Y, W, decay) for W in (warm_W, cold_W)]
        assert_allclose(*values, rtol=1e-2)
    assert sum(one.n_iter for one in path) < sum(one.n_iter for one in cold)


def test_the_number_of_iterations_is_limited_and_a_warning_says_so(problem):
    X, Y = problem
    assert 3 < fit_linear(X, Y, Solver(SOLVED[0], 0.01))[1] < 200
    with pytest.warns(ConvergenceWarning, match="7 of 7 .* tol=0.0001 .* max_iter=3 ") as warned:
        assert fit_linear(X, Y, Solver(SOLVED[0], 0.01, max_iter=3))[1] == 3
    assert [one.filename for one in warned] == [__file__]


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
        least = 0.99 if name == "squared_hinge" else 1  # where its loss ends
        assert name == "weighted_bce" or fitted.scores(X)[:, 0].min() > least


# ---------------------------------------------------------------------------- features of any scale


def objective_of(fitted, X, Y, spec, decay):
    return penalised_loss(spec, X, Y, np.vstack([fitted.weights, fitted.intercepts]), decay)


def reference_values(X, Y, spec, decay):
    """The least value of each label, by scipy in float64 on columns of equal root mean square."""
    X, Y = sparse.csr_array(X).astype(np.float64), Y.astype(np.float64)
    loss, best = spec.build(Y).double(), []
    rms = np.sqrt(X.multiply(X).mean(axis=0)) + 1e-100
    dense = np.hstack([X.toarray() / rms, np.ones((X.shape[0], 1))])
    decays = decay / np.append(rms, np.inf) ** 2
    for label in range(Y.shape[1]):
        block = BlockObjective(ExactFeatures(X), Y, loss, np.array([label]), decay)

        def evaluate(v, block=block):
            value, slopes = block.cells(torch.from_numpy(dense @ v[:, None]))
            gradient = dense.T @ slopes.numpy()[:, 0] + decays * v
            return value.item() + (decays * v * v).sum() / 2, gradient

        options = {"maxiter": 20_000, "maxfun": 40_000, "maxcor": 30, "ftol": 1e-13, "gtol": 1e-9}
        start = np.append(np.zeros(X.shape[1]), loss.prior_logits(Y)[label].item())
        best.append(minimize(evaluate, start, jac=True, method="L-BFGS-B", options=options).fun)
    return np.array(best)


def with_column(X, column):
    return sparse.csr_array(sparse.hstack([X, sparse.csr_array(column[:, None])]))


def badly_scaled():
    """Eleven matrices, of features for labels that follow the words."""
    rng = np.random.RandomState(0)
    counts = rng.poisson(0.4, (120, 20)).astype(np.float64)
    words = counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)
    scores = words @ rng.randn(20, 3) + 0.2 * rng.randn(120, 3)
    Y = scores > np.quantile(scores, [0.6, 0.8, 0.95], axis=0).diagonal()
    lengths, words = counts.sum(axis=1), sparse.csr_array(words)
    wild = words.copy()
    wild.data[7] = 1e6
    matrices = {
        "one huge column": with_column(words, 1e6 * rng.rand(120)),
        "counts * 1e4": sparse.csr_array(counts * 1e4),
        "counts * 1e-4": sparse.csr_array(counts * 1e-4),
        "constant column": with_column(words, np.full(120, 1000.0)),
        "length of the text": with_column(words, 7 * lengths),
        "year of the text": with_column(words, rng.randint(1990, 2011, 120).astype(float)),
        "columns twice": sparse.csr_array(sparse.hstack([words * 100, words * 100])),
        "wild cell": wild,
        "scales over 8 decades": sparse.csr_array(counts * np.logspace(-4, 4, 20)),
        "Gaussian * 1e3": sparse.csr_array(1e3 * rng.randn(120, 15) + 1e3),
        "few documents": sparse.csr_array(counts[:12] * 1e3),
    }
    return {name: (X.astype(np.float32), Y[: X.shape[0]]) for name, X in matrices.items()}


BADLY_SCALED = badly_scaled()


@pytest.mark.parametrize("spec", [SOLVED[0], DEFAULT], ids=repr)
@pytest.mark.filterwarnings("ignore:The linear models of")
@pytest.mark.parametrize("name", BADLY_SCALED)
def test_badly_scaled_features_have_the_optimum_of_a_reference(name, spec):
    X, Y = BADLY_SCALED[name]
    Y = sparse.csr_array(Y, dtype=np.float32)
    best = reference_values(X, Y, spec, 0.1)
    enough = 1e-2 * Y.sum(axis=0)  # where classes can be separated the objective falls for ever
    for form in (X, X.toarray()):
        for tol, most in ((1e-4, 5e-3), (1e-5, 1e-3)):
            fitted, _ = fit_linear(form, Y, Solver(spec, 0.1, tol=tol, max_iter=500))
            ours = objective_of(fitted, X, Y, spec, 0.1)
            assert ((ours - best) / np.maximum(best, enough)).max() < most


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-12, 1e-3, 1e3, 1e6, 1e20, 1e37])
@pytest.mark.filterwarnings("ignore:The linear models of")
def test_features_of_any_scale_give_finite_weights(problem, scale):
    X, Y = problem
    for spec in SOLVED:
        fitted, _ = fit_linear(sparse.csr_array(X * np.float32(scale)), Y, Solver(spec, 0.1))
        assert np.isfinite(fitted.weights).all() and np.isfinite(fitted.intercepts).all()


@pytest.mark.parametrize("cell", [1e30, 3e38])
def test_cells_near_the_end_of_float32_leave_the_other_columns_what_they_were(problem, cell):
    X, Y = problem
    wild = X.toarray()
    wild[:3, 4] = cell
    without = X.toarray()
    without[:, 4] = 1e3 * (wild[:, 4] > 1)
    for form in (np.asarray, sparse.csr_array):
        fitted = [fit_linear(form(x), Y, Solver(SOLVED[0], 0.1))[0] for x in (wild, without)]
        others = np.arange(30) != 4
        scores = [one.scores(form(x)) for one, x in zip(fitted, (wild, without), strict=True)]
        assert np.isfinite(scores[0]).all()
        assert np.abs(fitted[0].weights[others] - fitted[1].weights[others]).max() < 0.1


def test_scores_that_are_not_finite_are_an_error_with_a_remedy(problem):
    X, Y = problem
    X = X.copy()
    X.data[0] = np.inf
    message = "scores of every label must be finite. Got .* in 7 of 7 labels .*MaxAbsScaler"
    with pytest.raises(ValueError, match=message):
        fit_linear(X, Y, Solver(SOLVED[0], 0.1))


@pytest.mark.parametrize(
    "decay, sizes", [(1e-4, 1.0), (1e-5, 1.0), (0.1, np.geomspace(0.1, 10, 300))]
)
def test_flat_directions_are_gone_through(decay, sizes):
    """What conjugate gradients leave of a gradient is little, and may be worth much."""
    rng = np.random.RandomState(0)
    X = rng.randn(150, 300)
    X = sizes * X / np.linalg.norm(X, axis=1)[:, None]
    Y = (rng.rand(150, 3) < 0.3).astype(int)
    how = {"weight_decay": decay, "calibrate": False, "threshold": "frequency", "random_state": 0}
    model = BalancedLossClassifier(loss="squared_hinge", **how).fit(X, Y)

    def objective(w, signs):
        missing = np.maximum(0, 1 - signs * (X @ w[:-1] + w[-1]))
        slope = np.append(X.T @ (-2 * signs * missing) + decay * w[:-1], -2 * signs @ missing)
        return missing @ missing + decay / 2 * w[:-1] @ w[:-1], slope

    for w, intercept, signs in zip(model.coef_, model.intercept_, 2 * Y.T - 1, strict=True):
        found = np.append(w, intercept).astype(np.float64)
        how = {"jac": True, "options": {"maxiter": 20_000, "maxfun": 20_000, "ftol": 1e-14}}
        best = minimize(objective, found, signs, method="L-BFGS-B", **how).fun
        assert objective(found, signs)[0] < 1.002 * best


def test_a_label_without_an_objective_ends_at_once(problem):
    X, Y = problem
    objective = BlockObjective(DesignMatrix(X), Y, SOLVED[0].build(Y), np.arange(7), 0.1)
    start = torch.full((31, 7), torch.nan)
    _, n_iter, converged = BlockNewton(objective, start, 1e-4).minimise(200)
    assert n_iter == 1 and not converged.any()


@pytest.mark.parametrize("weight_decay", ["auto", 0.1])
def test_a_fit_that_ends_too_early_warns_once_at_the_users_line(problem, weight_decay):
    model = BalancedLossClassifier(max_iter=1, weight_decay=weight_decay, random_state=0)
    with pytest.warns(ConvergenceWarning, match="7 of 7 labels") as warned:
        model.fit(*problem)
    found = [one for one in warned if one.category is ConvergenceWarning]
    assert [one.filename for one in found] == [__file__] and model.n_iter_ == 1


def test_a_member_of_a_stack_warns_once_of_what_its_user_can_set(make_documents):
    """Of the model of all documents, and not of those of folds."""
    documents = make_documents(60, 8, 6)
    member = BalancedLossClassifier(loss="squared_hinge", max_iter=1, weight_decay=1.0)
    stack = LongTailClassifier([("linear", member)], cv=2, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"\(in a stack a member of estimators\)") as warned:
        stack.fit(documents.X, documents.Y[:, [0, 1, 2, 3, 4]])
    assert [one.filename for one in warned if one.category is ConvergenceWarning] == [__file__]


def test_a_column_of_text_lengths_beside_words_does_not_spoil_the_model():
    corpus = make_long_tailed_corpus(n_samples=600, n_labels=8, random_state=0)
    lengths = np.array([[len(text)] for text in corpus.data], dtype=float)
    words = TfidfVectorizer(max_features=200).fit_transform(corpus.data)
    X = sparse.csr_array(sparse.hstack([words, lengths]))
    Y = corpus.target.toarray()
    ours = BalancedLossClassifier(loss="bce", weight_decay=0.1, threshold=0.5, random_state=0)
    theirs = OneVsRestClassifier(LogisticRegression(C=10, solver="newton-cholesky"))
    f1 = [
        f1_score(
            Y[400:], one.fit(X[:400].toarray(), Y[:400]).predict(X[400:].toarray()), average="micro"
        )
        for one in (ours, theirs)
    ]
    assert f1[1] > 0.4 and f1[0] > f1[1] - 0.05
