"""Linear models in blocks: products, gradients, optima against scipy, and their tuning."""

import numpy as np
import pytest
import torch
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize

from skmltc._linear import models
from skmltc._linear import solver as solver_file
from skmltc._linear.models import (
    fit_linear,
    fit_path,
    label_blocks,
    sample_labels,
    score_held_out,
    select_weight_decay,
)
from skmltc._linear.products import DesignMatrix, linear_scores
from skmltc._linear.solver import BlockLBFGS, BlockObjective
from skmltc.labels import log_odds_against
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
SETTINGS = {"device": "cpu", "max_iter": 200, "n_jobs": None, "verbose": 0}


@pytest.fixture(scope="module")
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


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def penalised_loss(spec, X, Y, W, decay):
    """The objective of every label in float64: no blocks, no shortcuts."""
    loss = spec.build(Y.toarray(), reduction="none").double()
    logits = torch.from_numpy(X.toarray().astype(np.float64) @ W[:-1] + W[-1])
    cells = loss(logits, torch.from_numpy(Y.toarray().astype(np.float64)))
    return cells.sum(0).numpy() + decay / 2 * (W[:-1] ** 2).sum(axis=0)


def weights_of(coef, intercept):
    return np.vstack([coef.T, intercept]).astype(np.float64)


# ----------------------------------------------------------------------------------- products


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csr_matrix, sparse.csr_array.toarray])
@pytest.mark.parametrize("width", [1, 5, 16])
def test_products_equal_those_of_scipy(form, width):
    rng = np.random.RandomState(0)
    X = sparse.random_array((20, 8), density=0.3, rng=rng, dtype=np.float32, format="csr")
    X = sparse.csr_array(X * (np.arange(20) % 6 > 0)[:, None] * (np.arange(8) != 3))
    features = DesignMatrix(form(X))
    factor = rng.randn(features.n_weights, width).astype(np.float32)
    slopes = rng.randn(20, width).astype(np.float32)
    ones = np.ones((20, 1), dtype=np.float32)
    assert (features.n_samples, features.n_weights) == (20, 9)
    assert_allclose(
        features.dot(torch.from_numpy(factor)),
        sparse.hstack([X, ones]) @ factor,
        atol=1e-5,
    )
    assert_allclose(
        features.t_dot(torch.from_numpy(slopes)),
        sparse.hstack([X, ones]).T @ slopes,
        atol=1e-5,
    )


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csr_array.toarray])
def test_scores_are_those_of_scipy_and_do_not_depend_on_the_batch(problem, form):
    X, rng = problem[0], np.random.RandomState(0)
    coef = np.asfortranarray(rng.randn(7, 30).astype(np.float32))
    intercept = rng.randn(7).astype(np.float32)
    scores = linear_scores(form(X), coef, intercept)
    assert scores.dtype == np.float32 and scores.shape == (100, 7)
    assert_allclose(scores, X @ coef.T + intercept, atol=1e-5)
    assert_array_equal(linear_scores(form(X), np.ascontiguousarray(coef), intercept), scores)
    for rows in (slice(5, 6), slice(9, 40), slice(99, 100)):
        assert_array_equal(linear_scores(form(X[rows]), coef, intercept), scores[rows])


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


# --------------------------------------------------------------------------------- the solver


@pytest.mark.parametrize("spec", SOLVED, ids=repr)
@pytest.mark.parametrize("decay", [1.0, 0.03])
def test_the_optimum_is_that_of_scipy(problem, spec, decay):
    X, Y = problem
    ours = penalised_loss(spec, X, Y, weights_of(*fit_linear(X, Y, spec, decay)[:2]), decay)
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
def test_labels_of_a_block_are_solved_as_if_alone(problem, spec):
    X, Y = problem
    features, loss = DesignMatrix(X), spec.build(Y)
    together, _ = next(fit_path(features, Y, loss, np.arange(7), [0.1], 200))
    alone = [next(fit_path(features, Y, loss, np.array([j]), [0.1], 200))[0] for j in range(7)]
    values = [
        penalised_loss(spec, X, Y, W.double().numpy(), 0.1) for W in (together, torch.hstack(alone))
    ]
    assert_allclose(*values, rtol=5e-3)


def test_a_search_that_finds_no_step_stays_where_it_is(problem, monkeypatch):
    X, Y = problem
    objective = BlockObjective(DesignMatrix(X), Y, SOLVED[0].build(Y), np.arange(7), 0.01)
    solver = BlockLBFGS(objective, torch.zeros(31, 7))
    monkeypatch.setattr(solver_file, "_WOLFE", -1e9)  # no step is long enough
    monkeypatch.setattr(solver_file, "_next_step", lambda step, *_: 10 * step)
    values = solver.values
    for _ in range(3):
        solver._step()
        assert_array_equal(solver.values, values)
        assert not solver.W.any()


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
    exact = penalised_loss(spec, X, Y, solver.W.double().numpy(), 0.01)
    assert_allclose(solver.values, exact, rtol=1e-3)


def test_a_path_ends_where_each_weight_decay_alone_would_but_sooner(problem):
    X, Y = problem
    spec, decays = SOLVED[2], [1.0, 0.3, 0.1, 0.03]
    features, loss = DesignMatrix(X), SOLVED[2].build(Y)
    path = list(fit_path(features, Y, loss, np.arange(7), decays, 200))
    cold = [next(fit_path(features, Y, loss, np.arange(7), [decay], 200)) for decay in decays]
    for decay, (warm_W, _), (cold_W, _) in zip(decays, path, cold, strict=True):
        values = [penalised_loss(spec, X, Y, W.double().numpy(), decay) for W in (warm_W, cold_W)]
        assert_allclose(*values, rtol=1e-2)
    assert sum(n for _, n in path) < sum(n for _, n in cold)


def test_the_number_of_iterations_is_limited(problem):
    X, Y = problem
    assert fit_linear(X, Y, SOLVED[0], 0.01, max_iter=3)[2] == 3
    assert 3 < fit_linear(X, Y, SOLVED[0], 0.01)[2] < 200


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
        coef, intercept, n_iter = fit_linear(X, Y, LOSSES[name](), decay)
        assert np.isfinite(coef).all() and np.isfinite(intercept).all() and n_iter < 200
        assert not coef[2].any() and intercept[2] == 0
        assert name == "weighted_bce" or intercept[0] > 1


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e-3, 1e3, 1e6])
def test_features_of_any_scale_give_finite_weights(problem, scale):
    X, Y = problem
    for spec in SOLVED:
        coef, intercept, _ = fit_linear(sparse.csr_array(X * np.float32(scale)), Y, spec, 0.1)
        assert np.isfinite(coef).all() and np.isfinite(intercept).all()


@pytest.mark.parametrize("spec", SOLVED, ids=repr)
def test_fitting_sparse_dense_or_in_threads_is_the_same(problem, spec, monkeypatch, capsys):
    X, Y = problem
    monkeypatch.setattr(models, "label_blocks", lambda *_: [np.array([0, 2, 4]), np.array([1, 3])])
    coef, intercept, n_iter = fit_linear(X, Y, spec, 0.1, verbose=1)
    assert capsys.readouterr().out == "labels: 3 of 5\nlabels: 5 of 5\n"
    assert coef.shape == (7, 30) and coef.dtype == intercept.dtype == np.float32
    assert not coef[[5, 6]].any()
    threads = fit_linear(X, Y, spec, 0.1, n_jobs=2)
    assert_array_equal(threads[0], coef)
    assert_array_equal(threads[1], intercept)
    dense = fit_linear(X.toarray(), Y, spec, 0.1)
    values = [
        penalised_loss(spec, X, Y, weights_of(*fitted[:2]), 0.1)[:5]
        for fitted in ((coef, intercept), dense)
    ]
    assert_allclose(*values, rtol=5e-3)


# ------------------------------------------------------------------------------------- blocks


def test_fitting_under_a_backend_of_processes_is_the_same(problem):
    X, Y = problem
    alone = fit_linear(X, Y, BinaryCrossEntropyLoss(), 0.1, **SETTINGS)
    with parallel_config(backend="loky", n_jobs=2):
        side_inputs = fit_linear(X, Y, BinaryCrossEntropyLoss(), 0.1, **SETTINGS | {"n_jobs": 2})
    for one, other in zip(alone, side_inputs, strict=True):
        assert_array_equal(one, other)


def test_blocks_hold_every_label_with_documents_the_frequent_first():
    rng = np.random.RandomState(0)
    Y = sparse.csr_array((rng.rand(50, 90) < rng.rand(90) * (np.arange(90) % 7 > 0)) * 1.0)
    counts = Y.sum(axis=0)
    blocks = label_blocks(Y, 10**6)
    assert [len(block) for block in blocks[:-1]] == [16] * (len(blocks) - 1)
    order = np.concatenate(blocks)
    assert sorted(order) == np.flatnonzero(counts).tolist()
    assert (np.diff(counts[order]) <= 0).all()
    assert [len(block) for block in label_blocks(Y, 1)] == [64, np.count_nonzero(counts) - 64]


def test_blocks_of_some_labels():
    Y, wanted = sparse.csr_array(np.ones((3, 40))), np.arange(40) % 2 == 0
    Y[:, [0]] = 0
    Y.eliminate_zeros()
    assert sorted(np.concatenate(label_blocks(Y, 10, wanted))) == list(range(2, 40, 2))
    assert label_blocks(Y, 10, np.zeros(40, dtype=bool)) == []


@pytest.mark.parametrize("n_labels, n_wanted", [(10, 10), (10, 50), (100, 7), (1774, 400)])
def test_sampled_labels_are_of_all_frequencies(n_labels, n_wanted):
    counts = np.random.RandomState(0).permutation(n_labels)
    chosen = sample_labels(counts, n_wanted)
    assert n_wanted / 2 < chosen.sum() <= n_wanted or chosen.all()
    assert chosen[counts.argmax()]
    gaps = np.diff(np.sort(counts[chosen]))
    assert gaps.min() == gaps.max()  # evenly spaced in the order of frequency


# ------------------------------------------------------------------------------------- tuning


@pytest.fixture(scope="module")
def folds():
    return [np.arange(100) % 3 == fold for fold in range(3)]


def scores_in_loops(X, Y, spec, fold, decays):
    """Scores of the held-out documents for each decay, -inf for labels that were not fitted."""
    Y_fit = Y[np.flatnonzero(~fold)]
    features, loss = DesignMatrix(X[np.flatnonzero(~fold)]), spec.build(Y_fit)
    (columns,) = label_blocks(Y_fit, 100)
    for W, _ in fit_path(features, Y_fit, loss, columns, decays, 200):
        scores = np.full((fold.sum(), Y.shape[1]), -np.inf)
        held_out = DesignMatrix(X[np.flatnonzero(fold)], transpose=False)
        scores[:, columns] = held_out.dot(W)
        yield scores


def micro_f1(chosen, truth, n_relevant):
    return 2 * (chosen & truth).sum() / (chosen.sum() + n_relevant)


def fold_decays(decays, fold):
    """The decay per document is the same with fewer documents."""
    return [decay * (~fold).mean() for decay in decays]


def tune_in_loops(X, Y, spec, folds, decays, shifts):
    """Of all settings within 0.003 of the best micro-F1, the one best for rare labels."""
    rare = log_odds_against(Y.sum(axis=0), Y.shape[0])
    by_fold = [list(scores_in_loops(X, Y, spec, fold, fold_decays(decays, fold))) for fold in folds]
    truth = np.vstack([Y.toarray()[fold] for fold in folds]) > 0
    results = {}
    for i, decay in enumerate(decays):
        scores = np.vstack([scored[i] for scored in by_fold])
        n_positives = (truth & (scores > -np.inf)).sum(axis=0)
        for shift in shifts:
            shifted = np.float32(scores) + shift * rare
            cut_offs = np.unique(shifted[shifted > -np.inf])[::-1]
            f1 = [micro_f1(shifted >= cut, truth, n_positives.sum()) for cut in cut_offs]
            results[decay, shift] = shifted, cut_offs, np.array(f1), n_positives
    best = max(f1.max() for _, _, f1, _ in results.values())

    def macro(shifted, cut_offs, f1, n_positives):
        if f1.max() < best - 0.003:
            return -1
        chosen = shifted >= cut_offs[np.flatnonzero(f1 >= best - 0.003)[-1]]
        labels = np.flatnonzero(n_positives)
        return np.mean([micro_f1(chosen[:, j], truth[:, j], n_positives[j]) for j in labels])

    return max(results, key=lambda key: macro(*results[key])), best


@pytest.mark.parametrize("spec", SOLVED, ids=repr)
@pytest.mark.parametrize(
    "decays, shifts",
    [([1.0, 0.1, 0.01], [0.0]), ([0.1], [0.0, 0.3, 0.6]), ([3.0, 0.3, 0.03], [-0.1, 0.0, 0.4])],
)
def test_tuning_chooses_as_a_loop_over_everything(problem, folds, spec, decays, shifts):
    X, Y = problem
    decay, shift, pairs, best = select_weight_decay(X, Y, spec, folds, decays, shifts, **SETTINGS)
    chosen, best_in_loops = tune_in_loops(X, Y, spec, folds, decays, shifts)
    assert (decay, shift) == chosen
    assert_allclose(best, best_in_loops)
    expected = [
        list(scores_in_loops(X, Y, spec, fold, fold_decays([decay], fold))) for fold in folds
    ]
    n_scored = sum((scores[0] > -np.inf).sum() for scores in expected)
    assert len(pairs.scores) == n_scored


def test_scores_of_unseen_documents_are_those_of_models_without_them(problem, folds):
    X, Y = problem
    every = np.ones(7, dtype=bool)
    pairs = score_held_out(X, Y, SOLVED[1], folds[0], [1.0, 0.1], labels=every, **SETTINGS)
    naive = scores_in_loops(X, Y, SOLVED[1], folds[0], [1.0, 0.1])
    truth = Y.toarray()[folds[0]]
    for one, scores in zip(pairs, naive, strict=True):
        for label, is_fitted in enumerate(scores[0] > -np.inf):
            mine = one.labels == label
            expected = np.sort(scores[:, label]) if is_fitted else []
            assert_array_equal(np.sort(one.scores[mine]), expected)
            n_relevant = truth[:, label].sum() * is_fitted
            assert one.is_true[mine].sum() == one.n_positives[label] == n_relevant


def test_a_validation_part_is_scored_by_the_model_fitted_in_the_end(problem):
    X, Y = problem
    held_out = np.arange(100) >= 70
    *_, pairs, _ = select_weight_decay(X, Y, SOLVED[0], [held_out], [0.1], [0.3], **SETTINGS)
    coef, intercept, _ = fit_linear(X[:70], Y[:70], SOLVED[0], 0.1)
    counts = Y[:70].sum(axis=0)
    scores = linear_scores(X[70:], coef, intercept) + 0.3 * log_odds_against(counts, 70)
    assert_allclose(np.sort(pairs.scores), np.sort(scores[:, counts > 0].ravel()), atol=1e-5)


def test_labels_without_a_document_to_fit_on_are_not_scored(problem):
    X, Y = problem
    held_out = Y.toarray()[:, 5] > 0  # both documents of a label
    (pairs,) = score_held_out(
        X, Y, SOLVED[0], held_out, [0.1], labels=np.arange(7) == 5, **SETTINGS
    )
    assert len(pairs.scores) == 0 and pairs.n_positives.tolist() == [0] * 7
    (pairs,) = score_held_out(X, Y, SOLVED[0], held_out, [0.1], labels=np.arange(7) > 2, **SETTINGS)
    assert set(pairs.labels) <= {3, 4, 6} and pairs.n_positives[5] == 0


def test_weight_decay_is_searched_on_some_labels_and_decided_on_more(problem, folds, monkeypatch):
    X, Y = problem
    asked = []

    def spy(X, Y, loss, part, decays, *, labels, **settings):
        asked.append((len(decays), tuple(np.flatnonzero(labels))))
        return score_held_out(X, Y, loss, part, decays, labels=labels, **settings)

    monkeypatch.setattr(models, "score_held_out", spy)
    monkeypatch.setattr(models, "_SEARCH_LABELS", 2)
    monkeypatch.setattr(models, "_DECISION_LABELS", 4)
    *_, pairs, _ = select_weight_decay(X, Y, SOLVED[0], folds, [1.0, 0.1], [0.0], **SETTINGS)
    assert asked == [(2, (0, 4))] * 3 + [(1, (0, 2, 4, 6))] * 3
    assert set(pairs.labels) <= {0, 2, 4, 6}
    *_, pairs, _ = select_weight_decay(
        X, Y, SOLVED[0], folds, [0.1], [0.0], every_label=True, **SETTINGS
    )
    assert set(pairs.labels) == set(range(7))


def test_models_of_fewer_documents_have_as_much_weight_decay_a_document(problem, monkeypatch):
    X, Y = problem
    asked = []

    def spy(X, Y, loss, part, decays, **settings):
        asked.append((np.count_nonzero(~part), decays))
        return score_held_out(X, Y, loss, part, decays, **settings)

    monkeypatch.setattr(models, "score_held_out", spy)
    quarters = [np.arange(100) % 4 == part for part in range(4)]
    select_weight_decay(X, Y, SOLVED[0], quarters, [1.0], [0.0], **SETTINGS)
    official = np.arange(100) >= 60  # is never fitted on, so nothing is missing from the rest
    select_weight_decay(X, Y, SOLVED[0], [official], [1.0], [0.0], **SETTINGS)
    assert asked == [(75, [0.75])] * 4 + [(60, [1.0])]
