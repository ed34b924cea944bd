"""Labels of smooth losses that are solved on the documents that matter for them."""

import numpy as np
import pytest
import torch
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from skmltc import BalancedLossClassifier
from skmltc._linear import problems, shortlists, smooth_shortlists
from skmltc._linear.models import Solver, fit_linear
from skmltc._linear.problems import LinearProblem, problem_of
from skmltc._linear.scorers import LazyLinearScorer
from skmltc._linear.smooth_shortlists import SmoothShortlists
from skmltc._targets import count_labels
from skmltc.decision import label_blocks
from skmltc.labels import LabelStatistics
from skmltc.losses import (
    LOSSES,
    BinaryCrossEntropyLoss,
    ClassBalancedNegativeTolerantLoss,
    DistributionBalancedLoss,
    FocalLoss,
    WeightedBinaryCrossEntropyLoss,
)

DEFAULT = ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4)
SOLVER = Solver(DEFAULT, 0.1, tol=1e-5)
EVERY = [spec() for name, spec in LOSSES.items() if name != "squared_hinge"]


def scores_of(weights, X):
    weights = weights.toarray() if sparse.issparse(weights) else weights
    return X @ weights[:-1] + weights[-1]


def short_and_full(documents, loss):
    """On shortlists, and on all documents."""
    solver = SOLVER._replace(loss=loss)
    short = problem_of(documents.X, documents.Y, solver)
    assert isinstance(short, SmoothShortlists)
    return short, LinearProblem.of(documents.X, documents.Y, solver)


def difference(mine, expected):
    """Mean difference of the scores that matter, by their spread, and their correlation."""
    best = expected >= np.sort(expected, axis=0)[-300]
    mine, expected = mine[best], expected[best]
    return np.abs(mine - expected).mean() / expected.std(), np.corrcoef(mine, expected)[0, 1]


def differences(documents, loss, decay):
    """Of the scores of all labels on shortlists and on all documents."""
    labels = np.flatnonzero(count_labels(documents.Y))
    short, full = short_and_full(documents, loss)
    mine, expected = (
        scores_of(problem.solve([decay], SOLVER, labels)[0].weights, documents.X)
        for problem in (short, full)
    )
    return difference(mine, expected)


@pytest.mark.parametrize("loss", [*EVERY, DEFAULT], ids=[*(list(LOSSES)[:-1]), "default"])
def test_scores_are_those_of_all_documents(documents, few, loss, monkeypatch):
    """As is promised of 120 labels of real data: the same scores, wherever they matter."""
    monkeypatch.setattr(shortlists, "LEAST_SHARE", 0.0)
    off, correlation = differences(documents, loss, 0.1)
    assert off <= 0.02
    assert correlation >= 0.999


def test_columns_are_scaled_and_centred_as_for_all_documents(changed, few, monkeypatch):
    monkeypatch.setattr(shortlists, "LEAST_SHARE", 0.0)
    off, correlation = differences(changed, DEFAULT, 0.1)
    assert off <= 0.05
    assert correlation >= 0.997


@pytest.mark.parametrize("what", ["far", "second pass"])
def test_the_far_document_and_the_second_pass_are_what_makes_them_so(
    documents, few, monkeypatch, what
):
    monkeypatch.setattr(shortlists, "LEAST_SHARE", 0.0)
    if what == "far":
        monkeypatch.setattr(smooth_shortlists, "_with_far", lambda objective, *far: objective)
    else:
        monkeypatch.setattr(SmoothShortlists, "again", SmoothShortlists.first)
    off, _ = differences(documents, BinaryCrossEntropyLoss(), 0.1)
    assert off > 0.03


def objective_of_all(W, documents, label, loss, decay, weights=None):
    """Of one label, over all documents in double precision, and its gradient."""
    weights = np.ones(len(documents)) if weights is None else weights
    logits = torch.from_numpy(scores_of(W, documents.X.toarray().astype(float)))[:, None]
    targets = torch.from_numpy(documents.Y[:, [label]].toarray().astype(float))
    module = loss.build(LabelStatistics.from_matrix(documents.Y, weights)).double()
    one = module.select(torch.tensor([label]))
    mass = module.label_mass(documents.Y)
    cells = one.cells(logits, targets, one.weight(targets, mass))
    values, slopes = (cell * torch.from_numpy(weights)[:, None] for cell in cells)
    gradient = documents.X.T @ slopes.numpy()[:, 0] + decay * W[:-1]
    return values.sum().item() + decay * W[:-1] @ W[:-1] / 2, gradient, slopes.sum().item()


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("loss", [DEFAULT, BinaryCrossEntropyLoss(), DistributionBalancedLoss()])
def test_from_the_last_pass_the_gradient_is_that_of_all_documents(
    documents, few, loss, is_weighted
):
    """In every weight of the words at hand, and in the intercept."""
    weights = np.random.RandomState(0).randint(1, 4, len(documents)) * 1.0 if is_weighted else None
    problem = problem_of(documents.X, documents.Y, SOLVER._replace(loss=loss), weights)
    labels = np.array([7])
    block = problem.block(labels)
    scratch = problem.documents.scratch()
    W = np.zeros((301, 1), dtype=np.float32)
    words = problem.documents.rows(block.owned[0], scratch)[1]
    W[words, 0], W[-1] = np.random.RandomState(0).rand(len(words)), -1.5
    slopes = problem._slopes(block, problem.documents.products(W[:-1]) + W[-1][:, None])
    seen = []

    def look(objective, weights, intercept, *stop):
        seen.append((objective, weights, intercept))
        return shortlists.minimise(objective, weights, intercept, *stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smooth_shortlists, "minimise", look)
        ((columns, _),) = problem._solve(block, block.near, slopes, W, 0.1, SOLVER)
    ((label, w, b),) = seen
    z = label.X @ w + np.float32(b)
    e, _ = label.slopes(z, b, None, 0)
    gradient = 2 * (label.X_T @ e) + label.decay * w
    _, expected, of_intercept = objective_of_all(W[:, 0], documents, 7, loss, 0.1, weights)
    assert label.X.shape[0] < 700 and label.signs[-1] == -1
    assert_allclose(gradient, expected[columns], atol=2e-4, rtol=1e-3)
    assert_allclose(2 * e.sum(), of_intercept, rtol=1e-3)


def test_where_all_documents_are_listed_the_minimum_is_that_of_all(documents, few, monkeypatch):
    monkeypatch.setattr(shortlists, "LEAST_SHARE", 0.0)
    monkeypatch.setattr(shortlists, "_NEAR", 10**6)
    short, full = short_and_full(documents, DEFAULT)
    for label in (0, 3, 23):
        reached, best = (
            objective_of_all(dense[:, 0], documents, label, DEFAULT, 0.1)[0]
            for problem in (short, full)
            for dense in [problem.solve([0.1], SOLVER, np.array([label]))[0].weights]
            for dense in [dense.toarray() if sparse.issparse(dense) else dense]
        )
        assert reached <= best * (1 + 1e-4)


def test_the_steepest_are_the_others_of_the_largest_slopes():
    slopes = np.float32([0.0, 0.9, 0.2, 0.5, 0.0, 0.1, 0.3])  # a document of the label has 0
    listed = smooth_shortlists._with_steepest(np.array([1]), slopes, 2)
    assert_array_equal(np.sort(listed), [1, 3, 6])
    everything = smooth_shortlists._with_steepest(np.array([1]), slopes, 9)
    assert_array_equal(np.sort(everything), [1, 2, 3, 5, 6])
    assert slopes[1] == np.float32(0.9)


# --------------------------------------------------------------------------- inside of a fit


def test_a_fit_has_sparse_weights_and_says_never_of_labels_without_documents(documents, few):
    scorer, n_iter = fit_linear(documents.X, documents.Y, SOLVER)
    assert isinstance(scorer.weights, sparse.csr_array) and scorer.weights.shape == (300, 24)
    assert scorer.weights.dtype == scorer.intercepts.dtype == np.float32
    assert scorer.intercepts[5] == -50 and scorer.weights[:, [5]].nnz == 0
    assert 1 < n_iter < 30


def test_models_solved_when_asked_for_are_those_of_a_fit(documents, few):
    fitted, _ = fit_linear(documents.X, documents.Y, SOLVER)
    lazy = LazyLinearScorer(documents.X, documents.Y, SOLVER)
    for block in label_blocks(count_labels(documents.Y), 10):
        expected = fitted.scores(documents.X)[:, block]
        assert_allclose(lazy.scores(documents.X, block), expected, atol=1e-5)


def test_a_path_of_weight_decays_is_scored_as_each_of_them_is(documents, few):
    """But for what another start leaves to the tolerance, and to the violators."""
    short, _ = short_and_full(documents, DEFAULT)
    labels = np.array([0, 7, 23])
    path = short.solve([0.3, 0.1, 0.03], SOLVER, labels)
    for decay, along in zip([0.3, 0.1, 0.03], path, strict=True):
        (alone,) = short.solve([decay], SOLVER, labels)
        one, other = (scores_of(solved.weights, documents.X) for solved in (along, alone))
        off, correlation = difference(one, other)
        assert off < 0.03 and correlation > 0.998


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fitting_in_other_processes_is_the_same(monkeypatch, make_corpus):
    """Of a hundred labels, so that there are two blocks."""
    monkeypatch.setattr(problems, "_MOST_DENSE", 0)
    X, Y = make_corpus(n_samples=400, n_labels=100)
    solver = SOLVER._replace(loss=DistributionBalancedLoss())
    here, _ = fit_linear(X, Y, solver)
    with parallel_config(backend="loky", n_jobs=2):
        there, _ = fit_linear(X, Y, solver._replace(n_jobs=2))
    assert_array_equal(here.weights.toarray(), there.weights.toarray())
    assert_array_equal(here.intercepts, there.intercepts)


class OwnLoss(FocalLoss):
    """Whose module may be any."""


@pytest.mark.parametrize(
    "loss, is_short",
    [
        *((loss, True) for loss in EVERY),
        (WeightedBinaryCrossEntropyLoss(clip=False), False),
        (OwnLoss(), False),
    ],
)
def test_losses_of_the_package_with_a_minimum_have_shortlists(documents, few, loss, is_short):
    problem = problem_of(documents.X, documents.Y, SOLVER._replace(loss=loss))
    assert isinstance(problem, SmoothShortlists) == is_short


def test_they_are_solved_on_the_cpu_wherever_the_rest_is(documents, few):
    expected, _ = fit_linear(documents.X, documents.Y, SOLVER)
    scorer, _ = fit_linear(documents.X, documents.Y, SOLVER._replace(device="cuda"))
    assert_array_equal(scorer.weights.toarray(), expected.weights.toarray())


def test_an_estimator_predicts_as_with_all_documents(documents, few, monkeypatch):
    fit, new = documents[np.arange(1000)], documents.X[1000:]
    Y = fit.Y[:, np.flatnonzero(count_labels(fit.Y))]
    model = BalancedLossClassifier(weight_decay=0.03, random_state=0)
    short = clone(model).fit(fit.X, Y)
    monkeypatch.setattr(problems, "_MOST_DENSE", 10**9)
    full = clone(model).fit(fit.X, Y)
    assert isinstance(short.coef_, sparse.csr_array) and isinstance(full.coef_, np.ndarray)
    one, other = (fitted.predict(new) for fitted in (short, full))
    assert (one != other).nnz < 0.1 * other.nnz


@pytest.mark.parametrize("loss", [DEFAULT, DistributionBalancedLoss()])
def test_a_document_of_weight_two_is_the_document_twice(documents, few, monkeypatch, loss):
    """With all documents on the lists, else they would be others; and with some far away."""
    weights = np.random.RandomState(0).randint(1, 4, len(documents))
    twice = documents[np.repeat(np.arange(len(weights)), weights)]
    monkeypatch.setattr(shortlists, "LEAST_SHARE", 0.0)
    solver = SOLVER._replace(loss=loss)
    for n_near, most in ((10**6, 0.002), (40, 0.005)):
        monkeypatch.setattr(shortlists, "_NEAR", n_near)
        weighted, _ = fit_linear(documents.X, documents.Y, solver, weights * 1.0)
        of_twice, _ = fit_linear(twice.X, twice.Y, solver)
        one, other = (scorer.scores(documents.X) for scorer in (weighted, of_twice))
        assert np.abs(one - other).mean() <= most * other.std()


@pytest.mark.parametrize("loss", [DEFAULT, BinaryCrossEntropyLoss(), FocalLoss()])
@pytest.mark.parametrize("decay", [0.0, 1e-30])
def test_scores_stay_those_of_logits_without_weight_decay(documents, few, loss, decay):
    """Classes can be separated, so that the loss falls for ever; scores once were 1e30."""
    solver = SOLVER._replace(loss=loss, weight_decay=decay, tol=1e-4)
    scorer, _ = fit_linear(documents.X, documents.Y, solver)
    scores = scorer.scores(documents.X)
    own = documents.Y.toarray() > 0
    assert 5 < np.abs(np.delete(scores, 5, axis=1)).max() < 300
    assert np.median(scores[own]) > 0 > np.median(scores[~own])
