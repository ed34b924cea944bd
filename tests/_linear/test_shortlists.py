"""Labels that are solved on the documents that matter for them."""

import pickle

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer

from skmltc import BalancedLossClassifier
from skmltc._linear import problems, shortlists
from skmltc._linear.models import Solver, fit_linear
from skmltc._linear.problems import LinearProblem, problem_of
from skmltc._linear.scorers import LazyLinearScorer
from skmltc._linear.shortlists import Shortlists
from skmltc._linear.weight_decay import select_weight_decay
from skmltc._targets import count_labels
from skmltc.datasets import load_jsonl
from skmltc.decision import Documents, HeldOut, ScoredPairs, label_blocks
from skmltc.losses import (
    BinaryCrossEntropyLoss,
    ClassBalancedNegativeTolerantLoss,
    DistributionBalancedLoss,
    SquaredHingeLoss,
)

SOLVER = Solver(SquaredHingeLoss(), 1.0, tol=1e-5)


def scores_of(weights, X):
    weights = weights.toarray() if sparse.issparse(weights) else weights
    return X @ weights[:-1] + weights[-1]


@pytest.mark.parametrize("decay", [0.5, 1.0, 5.0])
def test_scores_are_those_of_all_documents(documents, few, decay, monkeypatch):
    """As is promised of 120 labels of real data: the same scores, wherever they matter."""
    monkeypatch.setattr(shortlists, "LEAST_SHARE", 0.0)
    labels = np.flatnonzero(count_labels(documents.Y))
    problem = Shortlists.of(documents.X, documents.Y)
    (short,) = problem.solve([decay], SOLVER, labels)
    (full,) = LinearProblem.of(documents.X, documents.Y, SOLVER).solve([decay], SOLVER, labels)
    mine, expected = (scores_of(solved.weights, documents.X) for solved in (short, full))
    near = expected > -0.9
    assert np.abs(mine - expected)[near].mean() <= 0.005
    assert np.corrcoef(mine[near], expected[near])[0, 1] >= 0.999
    assert short.n_unconverged == 0


def solved_both_ways(documents, labels):
    """On shortlists and on all documents; weights of all features, the intercepts last."""
    (short,) = Shortlists.of(documents.X, documents.Y).solve([1.0], SOLVER, labels)
    (full,) = LinearProblem.of(documents.X, documents.Y, SOLVER).solve([1.0], SOLVER, labels)
    assert short.n_unconverged == 0
    return short.weights.toarray(), full.weights


def test_columns_are_scaled_and_centred_as_for_all_documents(changed, few, monkeypatch):
    """And the penalty is that of the columns given."""
    monkeypatch.setattr(shortlists, "LEAST_SHARE", 0.0)
    problem = problem_of(changed.X, changed.Y, SOLVER)
    assert isinstance(problem, Shortlists)
    assert problem.scale is not None or problem.subtracted is not None
    both = solved_both_ways(changed, np.flatnonzero(count_labels(changed.Y)))
    mine, expected = (scores_of(weights, changed.X) for weights in both)
    near = expected > -0.9
    assert np.abs(mine - expected)[near].mean() <= 0.02 * expected.std()
    assert np.corrcoef(mine[near], expected[near])[0, 1] >= 0.999


def test_where_all_documents_are_listed_the_minimum_is_that_of_all_whatever_the_columns(
    changed, monkeypatch
):
    monkeypatch.setattr(shortlists, "LEAST_SHARE", 0.0)
    monkeypatch.setattr(shortlists, "_NEAR", 10**6)
    labels = np.array([0, 3, 23])
    mine, best = (objective(W, changed, labels) for W in solved_both_ways(changed, labels))
    assert (mine <= best * (1 + 5e-4)).all()


def test_an_even_column_does_not_make_weights_dense(documents, few):
    """A single word of all texts once took thousands of labels to the solver of few."""
    even = np.full((len(documents), 1), 0.3, dtype=np.float32)
    X, Y = sparse.csr_array(sparse.hstack([documents.X, even])), documents.Y[:, :5]
    model = BalancedLossClassifier(loss="squared_hinge", weight_decay=1.0, random_state=0)
    with_it, without = (clone(model).fit(some, Y) for some in (X, documents.X))
    assert sparse.issparse(with_it.coef_)
    before, after = without.decision_function(documents.X), with_it.decision_function(X)
    assert_allclose(after, before, atol=1e-4)


def test_the_second_pass_is_what_makes_them_so(documents, few, monkeypatch):
    """Without it, or without the documents near, scores are off: the test above can fail."""
    monkeypatch.setattr(shortlists, "_VIOLATORS", 0)
    monkeypatch.setattr(shortlists, "_VIOLATORS_PER_DOCUMENT", 0)
    with pytest.raises(AssertionError):
        test_scores_are_those_of_all_documents(documents, None, 1.0, monkeypatch)


def objective(W, documents, labels):
    """Of each label, with a decay of 1."""
    signs = 2 * documents.Y.toarray()[:, labels] - 1
    losses = np.maximum(0, 1 - signs * scores_of(W, documents.X)) ** 2
    return losses.sum(axis=0) + (W[:-1] ** 2).sum(axis=0) / 2


def test_where_all_documents_are_listed_the_minimum_is_that_of_all(documents, monkeypatch):
    monkeypatch.setattr(shortlists, "LEAST_SHARE", 0.0)
    monkeypatch.setattr(shortlists, "_NEAR", 10**6)
    problem, labels = Shortlists.of(documents.X, documents.Y), np.array([0, 3, 23])
    (short,) = problem.solve([1.0], SOLVER, labels)
    (full,) = LinearProblem.of(documents.X, documents.Y, SOLVER).solve([1.0], SOLVER, labels)
    mine, best = (objective(W, documents, labels) for W in (short.weights.toarray(), full.weights))
    assert (mine <= best * (1 + 1e-5)).all()
    assert_allclose(short.weights.toarray(), full.weights, atol=0.03)


def test_near_are_the_documents_of_the_largest_sum_of_cosines(documents, few):
    problem = Shortlists.of(2 * documents.X, documents.Y)  # lengths do not matter
    own = [problem.documents_of(label) for label in (0, 7, 23)]
    X = documents.X.toarray()
    for rows, near in zip(own, problem.nearest(own), strict=True):
        sums = np.array([sum(float(x @ X[row]) for row in rows) for x in X])
        sums[rows] = -np.inf
        n = 40 + 10 * len(rows)
        assert len(near) == n and not set(near) & set(rows)
        assert sums[near].min() >= np.sort(sums)[-n] - 1e-5


def test_violators_are_the_best_scored_above_minus_one_and_the_rest_counts_by_its_mean(few):
    scores = np.float32([0.5, 0.9, -0.2, 0.1, 0.4, -0.7, 0.3])
    own, near = np.array([1]), np.array([2])
    listed = shortlists._with_violators(own, near, scores, -1.05)
    assert_array_equal(listed.own, own)
    assert_array_equal(np.sort(listed.others), [0, 2, 3, 4, 6])  # 5 scores below -1
    assert_allclose(listed.level, -0.7)
    none_left = shortlists._with_violators(own, np.array([0, 2, 3, 4, 5, 6]), scores, -1.05)
    assert len(none_left.others) == 6 and none_left.level == 0


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("loss", [SquaredHingeLoss(), BinaryCrossEntropyLoss()])
def test_small_weights_are_dropped_and_the_others_make_up_for_them(
    documents, few, monkeypatch, loss, is_weighted
):
    """In their length, and by the intercept in the mean over documents."""
    weights = np.random.RandomState(0).randint(0, 4, len(documents)) * 1.0 if is_weighted else None
    problem = problem_of(documents.X, documents.Y, SOLVER._replace(loss=loss), weights)
    labels, counted = np.array([0, 7, 20]), weights
    (some,) = problem.solve([1.0], SOLVER, labels)
    monkeypatch.setattr(shortlists, "LEAST_SHARE", 0.0)
    (every,) = problem.solve([1.0], SOLVER, labels)
    mine, expected = some.weights.toarray(), every.weights.toarray()
    scores, expected_scores = (scores_of(W, documents.X) for W in (mine, expected))
    for k, label in enumerate(labels):
        own = documents.Y[:, [label]].toarray()[:, 0] > 0
        of_own = None if weights is None else weights[own]
        mean = np.average(expected_scores[:, k], weights=counted)
        margin = np.average(expected_scores[own, k], weights=of_own) - mean
        kept = np.where(np.abs(expected[:-1, k]) >= 0.015 * margin, expected[:-1, k], 0)
        assert 0 < np.count_nonzero(kept) < 0.95 * np.count_nonzero(expected[:-1, k])
        longer = np.linalg.norm(expected[:-1, k]) / np.linalg.norm(kept)
        assert longer > 1.0001
        assert_allclose(mine[:-1, k], longer * kept, rtol=1e-3)
        assert_array_equal(mine[:-1, k], mine[:-1, k].astype(np.float16))  # in half of the bytes
        assert_allclose(np.average(scores[:, k], weights=counted), mean, atol=1e-5)
        assert mine[-1, k] != expected[-1, k]


def test_a_label_without_weights_keeps_its_intercept(documents, few):
    problem = Shortlists.of(0 * documents.X, documents.Y)
    (solved,) = problem.solve([1.0], SOLVER, np.array([0, 7]))
    assert solved.weights.nnz == 2 and (solved.weights[[-1]].toarray() < -0.5).all()


# --------------------------------------------------------------------------- inside of a fit


def test_a_fit_has_sparse_weights_and_says_never_of_labels_without_documents(documents, few):
    scorer, n_iter = fit_linear(documents.X, documents.Y, SOLVER)
    assert isinstance(scorer.weights, sparse.csr_array) and scorer.weights.shape == (300, 24)
    assert scorer.weights.indices.dtype == scorer.weights.indptr.dtype == np.int32
    assert scorer.intercepts[5] == -50 and scorer.weights[:, [5]].nnz == 0
    assert 1 < n_iter < 20
    expected = documents.X @ scorer.weights.toarray() + scorer.intercepts
    assert_allclose(scorer.scores(documents.X), expected, atol=1e-5)
    assert_array_equal(
        scorer.scores(documents.X[:9], np.array([7, 2])), scorer.scores(documents.X)[:9, [7, 2]]
    )
    assert_array_equal(scorer.scores(documents.X[:9].toarray()), scorer.scores(documents.X)[:9])


def test_models_solved_when_asked_for_are_those_of_a_fit(documents, few):
    fitted, _ = fit_linear(documents.X, documents.Y, SOLVER)
    lazy = LazyLinearScorer(documents.X, documents.Y, SOLVER)
    for block in label_blocks(count_labels(documents.Y), 10):
        expected = fitted.scores(documents.X)[:, block]
        assert_array_equal(lazy.scores(documents.X, block), expected)


def test_a_path_of_weight_decays_is_scored_as_each_of_them_is(documents, few):
    """But for what another start leaves to the tolerance, and to the violators."""
    problem, labels = Shortlists.of(documents.X, documents.Y), np.array([0, 7, 23])
    path = problem.solve([10.0, 2.0, 0.5], SOLVER, labels)
    for decay, along in zip([10.0, 2.0, 0.5], path, strict=True):
        (alone,) = problem.solve([decay], SOLVER, labels)
        one, other = (scores_of(solved.weights, documents.X) for solved in (along, alone))
        assert np.abs(one - other)[other > -0.9].mean() < 0.005


def test_the_search_scores_held_out_documents_by_them(documents, few):
    fit, held = documents[np.arange(1000)], documents[np.arange(1000, 1500)]
    counts = count_labels(documents.Y)
    decay, pairs = select_weight_decay([(fit, held)], counts, 1500, SOLVER, [1.5])
    scorer, _ = fit_linear(fit.X, fit.Y, SOLVER._replace(weight_decay=1.0))
    expected = ScoredPairs.collect([HeldOut(scorer, fit.Y, held)])
    assert decay == 1.5
    assert_array_equal(pairs.labels, expected.labels)
    assert_allclose(pairs.scores, expected.scores, atol=1e-5)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_fitting_under_any_backend_is_the_same(monkeypatch, backend, make_corpus):
    """Of a hundred labels, so that there are two blocks."""
    monkeypatch.setattr(problems, "_MOST_DENSE", 0)
    X, Y = make_corpus(n_samples=400, n_labels=100)
    here, _ = fit_linear(X, Y, SOLVER)
    with parallel_config(backend=backend, n_jobs=2):
        there, _ = fit_linear(X, Y, SOLVER._replace(n_jobs=2))
    assert_array_equal(here.weights.toarray(), there.weights.toarray())
    assert_array_equal(here.intercepts, there.intercepts)


def test_they_are_solved_on_the_cpu_wherever_the_rest_is(documents, few):
    on_gpu = SOLVER._replace(device="cuda")
    expected, _ = fit_linear(documents.X, documents.Y, SOLVER)
    scorer, _ = fit_linear(documents.X, documents.Y, on_gpu)
    assert_array_equal(scorer.weights.toarray(), expected.weights.toarray())


def test_an_estimator_predicts_as_with_all_documents(documents, few, monkeypatch):
    fit, new = documents[np.arange(1000)], documents.X[1000:]
    Y = fit.Y[:, np.flatnonzero(count_labels(fit.Y))]
    model = BalancedLossClassifier(loss="squared_hinge", weight_decay=1.0, random_state=0)
    short = clone(model).fit(fit.X, Y)
    monkeypatch.setattr(problems, "_MOST_DENSE", 10**9)
    full = clone(model).fit(fit.X, Y)
    assert isinstance(short.coef_, sparse.csr_array) and isinstance(full.coef_, np.ndarray)
    assert short.coef_.shape == full.coef_.shape and 0 < short.coef_.nnz < 0.5 * full.coef_.size
    one, other = (fitted.predict(new) for fitted in (short, full))
    assert (one != other).nnz < 0.1 * other.nnz
    copied = pickle.loads(pickle.dumps(short))
    assert_array_equal(copied.decision_function(new), short.decision_function(new))


def test_progress_and_missing_convergence_are_told(documents, few, capsys):
    solver = SOLVER._replace(max_iter=1, verbose=1, weight_decay=0.01)
    with pytest.warns(UserWarning, match="of 23 labels did not converge"):
        fit_linear(documents.X, documents.Y, solver)
    assert capsys.readouterr().out == "labels: 23 of 23\n"


# ----------------------------------------------------------------------------------- real text


def average_precision(scores, truth):
    """Of each label, from its best-scored document down."""
    order = np.argsort(-scores, axis=0, kind="stable")
    found = np.take_along_axis(truth, order, axis=0)
    precision = np.cumsum(found, axis=0) / np.arange(1, len(found) + 1)[:, None]
    return (precision * found).sum(axis=0) / np.maximum(found.sum(axis=0), 1)


def documents_of_a_catalogue(folder):
    """20,000 titles and abstracts with 1,723 labels; every eighth is for the test."""
    data = load_jsonl(folder / "tib-bk", subset="train")
    vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2)
    X = sparse.csr_array(vectorizer.fit_transform(data.data), dtype=np.float32)
    documents = Documents(X, sparse.csr_array(data.target, dtype=np.float32))
    is_test = np.arange(len(documents)) % 8 == 0
    return documents[~is_test], documents[is_test]


def best_of_each(scores, n_best):
    """Mark the best-scored documents of each label."""
    ranks = np.argsort(np.argsort(-scores, axis=0), axis=0)
    return ranks < n_best


DECAYS_OF_LOSSES = [  # about those that a search chooses
    (SquaredHingeLoss(), 2.5),
    (ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4), 0.01),
    (BinaryCrossEntropyLoss(), 0.03),
    (DistributionBalancedLoss(), 0.03),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*are not among target_names")
@pytest.mark.parametrize("loss, decay", DECAYS_OF_LOSSES)
def test_scores_of_120_labels_of_a_catalogue_are_those_of_all_documents(
    real_data, monkeypatch, loss, decay
):
    """Forty each of the frequent, the medium and the rare.

    Of the documents fitted on before small weights are dropped, and of new ones after that. As far
    as they matter: above -0.9 for the hinge, else of as many of the best documents as are near to
    those of the label, relative to their spread.
    """
    fit, test = documents_of_a_catalogue(real_data)
    counts = count_labels(fit.Y)
    bands = [(50, len(fit) / 50), (10, 50), (0, 10)]
    banded = [np.flatnonzero((counts > low) & (counts <= high)) for low, high in bands]
    is_hinge, solver = isinstance(loss, SquaredHingeLoss), SOLVER._replace(loss=loss)
    bounds = {"every": (0.005, 0.999), "some": (0.005, 0.999)}
    if not is_hinge:
        bounds = {"every": (0.015, 0.999), "some": (0.06, 0.997)}
    problem, full_problem = problem_of(fit.X, fit.Y, solver), LinearProblem.of(fit.X, fit.Y, solver)
    compared, precision = {"every": [], "some": []}, []
    for band in banded:
        labels = np.random.RandomState(0).choice(band, 40, replace=False)
        (full,) = full_problem.solve([decay], solver, labels)
        with monkeypatch.context() as unpruned:
            unpruned.setattr(shortlists, "LEAST_SHARE", 0.0)
            (every,) = problem.solve([decay], solver._replace(tol=1e-4), labels)
        (some,) = problem.solve([decay], solver._replace(tol=1e-4), labels)
        n_best = 100 + 10 * counts[labels].astype(int)
        for name, short, documents in (("every", every, fit), ("some", some, test)):
            mine, expected = (scores_of(one.weights, documents.X) for one in (short, full))
            near = expected > -0.9 if is_hinge else best_of_each(expected, n_best)
            compared[name].append((mine[near], expected[near]))
        truth = test.Y[:, labels].toarray() > 0
        scores = (scores_of(one.weights, test.X) for one in (some, full))
        precision.append([average_precision(one, truth)[truth.any(axis=0)] for one in scores])
    for name, (most, least) in bounds.items():
        mine, expected = map(np.concatenate, zip(*compared[name], strict=True))
        unit = 1 if is_hinge else expected.std()
        assert np.abs(mine - expected).mean() <= most * unit
        assert np.corrcoef(mine, expected)[0, 1] >= least
    ours, theirs = (np.concatenate(one).mean() for one in zip(*precision, strict=True))
    assert ours >= theirs - 0.003  # a single pair may change places


def test_a_document_of_weight_two_is_the_document_twice(documents, few, monkeypatch):
    """With all documents on the lists, else they would be others; and with some far away."""
    weights = np.random.RandomState(0).randint(1, 4, len(documents))
    rows = np.repeat(np.arange(len(weights)), weights)
    twice = documents[rows]
    for n_near, most in ((10**6, 1e-3), (400, 0.005)):
        monkeypatch.setattr(shortlists, "_NEAR", n_near)
        weighted, _ = fit_linear(documents.X, documents.Y, SOLVER, weights * 1.0)
        of_twice, _ = fit_linear(twice.X, twice.Y, SOLVER)
        assert np.abs(weighted.intercepts - of_twice.intercepts).mean() <= most
        both = weighted.weights.toarray(), of_twice.weights.toarray()
        larger = np.abs(both).min(axis=0) > 0.05
        assert np.abs(both[0] - both[1])[larger].mean() <= most
        assert np.corrcoef(both[0][larger], both[1][larger])[0, 1] >= 0.999
