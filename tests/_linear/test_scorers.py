"""Scores of linear models that are kept, and of those solved when asked for."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc._linear.models import Solver, fit_linear
from skmltc._linear.scorers import LazyLinearScorer, LinearScorer
from skmltc._targets import count_labels
from skmltc.decision import HeldOut, ScoredPairs, label_blocks
from skmltc.losses import BinaryCrossEntropyLoss

FORMS = [sparse.csr_array, sparse.csr_array.toarray]


@pytest.fixture(scope="module")
def scorer():
    rng = np.random.RandomState(0)
    weights, intercepts = rng.randn(30, 150), rng.randn(150)
    return LinearScorer(weights.astype(np.float32), intercepts.astype(np.float32))


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_those_of_scipy_and_do_not_depend_on_the_batch(problem, scorer, form):
    X = problem[0]
    scores = scorer.scores(scorer.encode(form(X), "cpu"))
    assert scores.dtype == np.float32 and scores.shape == (100, 150)
    assert_allclose(scores, X @ scorer.weights + scorer.intercepts, atol=1e-5)
    turned = LinearScorer(np.asfortranarray(scorer.weights), scorer.intercepts)
    assert_array_equal(turned.scores(turned.encode(form(X), "cpu")), scores)
    for rows in (slice(5, 6), slice(9, 40), slice(99, 100)):
        assert_array_equal(scorer.scores(scorer.encode(form(X[rows]), "cpu")), scores[rows])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("labels", [[7], [149, 0, 3], range(40, 120), range(150)])
def test_scores_of_some_labels_are_those_among_all(problem, scorer, form, labels):
    encoded, labels = scorer.encode(form(problem[0]), "cpu"), np.array(labels)
    assert_array_equal(scorer.scores(encoded, labels), scorer.scores(encoded)[:, labels])


@pytest.fixture
def few_are_enough(monkeypatch):
    monkeypatch.setattr("skmltc._linear.scorers._FEW_WEIGHTS", 0)


@pytest.mark.parametrize("units", [1.0, 1e-3, 1e4])
def test_weights_that_move_a_score_by_little_are_dropped_in_any_units(units, few_are_enough):
    X = sparse.csr_array([[0.5, 0.0, 2.0], [0.25, -1.0, 0.0]])
    weights = np.float32([[0.02, 0.009, 0.0], [0.01, 0.004, 0.0], [0.002, 0.003, -0.1]])
    scorer = LinearScorer(weights / np.float32(units), np.zeros(3, dtype=np.float32))
    kept = scorer.without_small_weights(X * units).weights
    assert sparse.issparse(kept)
    expected = [[0.02, 0, 0], [0.01, 0, 0], [0, 0.003, -0.1]]
    assert_allclose(kept.toarray() * units, expected, rtol=1e-6)


def test_intercepts_make_up_for_small_weights_in_the_mean(problem, few_are_enough):
    X, weights = problem[0], np.full((30, 4), 0.002, dtype=np.float32)
    weights[:4] = 1.0
    scorer = LinearScorer(weights, np.zeros(4, dtype=np.float32))
    some = scorer.without_small_weights(X)
    assert some.weights.nnz == 16 and (some.intercepts > 0.001).all()
    means = [one.scores(X).mean(axis=0) for one in (some, scorer)]
    assert_allclose(*means, rtol=1e-5)


def test_intercepts_make_up_by_the_weights_of_documents(few_are_enough):
    X = sparse.csr_array(np.eye(5, dtype=np.float32))
    scorer = LinearScorer(np.float32([[1], [1], [0.004], [0.002], [0]]), np.zeros(1, np.float32))
    weights = np.array([1.0, 1.0, 3.0, 2.0, 1.0])
    some = scorer.without_small_weights(X, weights)
    again = scorer.without_small_weights(X[np.repeat(np.arange(5), weights.astype(int))])
    assert_allclose(some.intercepts, [(3 * 0.004 + 2 * 0.002) / 8], rtol=1e-5)
    assert_allclose(some.intercepts, again.intercepts, rtol=1e-5)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("form", FORMS)
def test_weights_that_are_mapped_from_a_file_are_given_to_torch_as_copies(
    problem, scorer, kind, form, tmp_path, monkeypatch
):
    """Torch warns, once per process, of arrays that cannot be written to."""
    fitted, tensor_of, given = (
        LinearScorer(kind(scorer.weights), scorer.intercepts),
        torch.from_numpy,
        [],
    )
    joblib.dump(fitted, tmp_path / "fitted")
    mapped = joblib.load(tmp_path / "fitted", mmap_mode="r")
    X = fitted.encode(form(problem[0]), "cpu")
    expected = fitted.scores(X), fitted.scores(X, np.array([7, 2]))
    monkeypatch.setattr(torch, "from_numpy", lambda one: given.append(one) or tensor_of(one))
    assert_array_equal(mapped.scores(X), expected[0])
    assert_array_equal(mapped.scores(X, np.array([7, 2])), expected[1])
    assert given and all(array.flags.writeable for array in given)


def test_weights_that_are_few_dense_or_large_stay_as_they_are(problem, scorer, few_are_enough):
    X = sparse.csr_array(([1.0], ([0], [0])), shape=(1, 30))
    first = scorer.without_small_weights(X)
    assert first.weights.nnz == np.count_nonzero(np.abs(scorer.weights[0]) >= 0.005)
    assert first.without_small_weights(X) is first
    assert scorer.without_small_weights(problem[0]) is scorer
    assert scorer.without_small_weights(sparse.csr_array(problem[0])) is scorer


def test_small_weights_of_small_models_are_kept(scorer):
    X = sparse.csr_array(([1.0], ([0], [0])), shape=(1, 30))
    assert scorer.without_small_weights(X) is scorer


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("of_others", [np.asarray, sparse.csr_array])
def test_scores_stay_to_the_last_bit_where_labels_are_joined(problem, scorer, form, of_others):
    one = LinearScorer(form(scorer.weights[:, :70]), scorer.intercepts[:70])
    other = LinearScorer(of_others(scorer.weights[:, 70:]), scorer.intercepts[70:])
    encoded = one.encode(sparse.csr_array(problem[0]), "cpu")
    joined = one.joined(other)
    assert sparse.issparse(joined.weights) == sparse.issparse(one.weights)
    assert_array_equal(joined.scores(encoded)[:, :70], one.scores(encoded))
    assert_allclose(joined.scores(encoded)[:, 70:], other.scores(encoded), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_labels, n_bytes", [(150, 4), (2**16 + 1, 6)])
def test_sparse_weights_take_the_fewest_bytes_of_a_file_and_are_the_same_again(n_labels, n_bytes):
    rng = np.random.default_rng(0)
    weights = sparse.random_array((40, n_labels), density=0.05, rng=rng, format="csr")
    weights = weights.astype(np.float32)
    weights.data = weights.data.astype(np.float16).astype(np.float32)
    scorer = LinearScorer(weights, np.zeros(n_labels, dtype=np.float32))
    packed = pickle.dumps(scorer)
    assert len(packed) < n_bytes * weights.nnz + 4 * n_labels + 2000
    again = pickle.loads(packed).weights
    assert isinstance(again, sparse.csr_array) and again.shape == weights.shape
    for name in ("data", "indices", "indptr"):
        mine, expected = getattr(again, name), getattr(weights, name)
        assert mine.dtype == expected.dtype
        assert_array_equal(mine, expected)


@pytest.mark.parametrize("odd", [1 / 3, 1e30, 1e-30])
def test_weights_that_float16_has_not_keep_their_digits_in_a_file(odd):
    weights = sparse.csr_array(np.float32([[odd, 0.0], [0.5, -2.0]]))
    scorer = LinearScorer(weights, np.zeros(2, dtype=np.float32))
    again = pickle.loads(pickle.dumps(scorer)).weights
    assert_array_equal(again.toarray(), weights.toarray())


@pytest.mark.parametrize("kinds", [(np.array, np.array), (sparse.csr_array, np.array)])
def test_models_of_further_labels_stand_after_the_others(kinds):
    rng = np.random.default_rng(0)
    both = [
        LinearScorer(kind(rng.normal(size=(5, n)).astype(np.float32)), np.arange(n, dtype="f4"))
        for kind, n in zip(kinds, (3, 2), strict=True)
    ]
    X = sparse.csr_array(rng.normal(size=(4, 5)).astype(np.float32))
    joined = both[0].joined(both[1])
    assert sparse.issparse(joined.weights) == sparse.issparse(both[0].weights)
    scores = [one.scores(X) for one in both]
    assert_allclose(joined.scores(X), np.hstack(scores), rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_models_solved_when_asked_for_are_those_of_a_fit(
    form, spec, make_documents, assert_same_pairs
):
    """To the last bit, of the weight decay that was given, 64 labels at a time, as pairs are."""
    documents = make_documents(60, 8, 200, form)
    solver = Solver(spec, 0.1, logit_adjustment=0.2)
    fitted, _ = fit_linear(documents.X, documents.Y, solver)
    lazy = LazyLinearScorer(documents.X, documents.Y, solver)
    encoded = lazy.encode(documents.X, "cpu")
    blocks = label_blocks(count_labels(documents.Y), 64)
    assert [len(block) for block in blocks] == [64, 64, 64, 3]
    for block in blocks:
        assert_array_equal(lazy.scores(encoded, block), fitted.scores(encoded)[:, block])
    some = make_documents(90, 8, 200, form)[np.arange(60, 90)]
    held_out = [HeldOut(one, documents.Y, some) for one in (lazy, fitted)]
    assert_same_pairs(*(ScoredPairs.collect([part]) for part in held_out))


@pytest.mark.filterwarnings("ignore:The linear models of")
def test_so_they_are_where_a_fit_solves_fewer_at_a_time():
    X = sparse.random_array(
        (8, 33_000), density=0.001, rng=np.random.default_rng(0), format="csr", dtype=np.float32
    )
    Y = sparse.csr_array((np.random.RandomState(0).rand(8, 70) < 0.4) * np.float32(1))
    solver = Solver(BinaryCrossEntropyLoss(), 0.1, max_iter=4)
    fitted, lazy = fit_linear(X, Y, solver)[0], LazyLinearScorer(X, Y, solver)
    for block in label_blocks(count_labels(Y), 64):
        assert_array_equal(lazy.scores(X, block), fitted.scores(X)[:, block])


def test_a_label_without_documents_is_never_near_the_others(make_documents):
    documents, solver = make_documents(30, 6, 50), Solver(BinaryCrossEntropyLoss(), 0.1)
    fitted, _ = fit_linear(documents.X, documents.Y, solver._replace(logit_adjustment=1.0))
    assert not fitted.weights[:, [5, 45]].any()
    assert_array_equal(fitted.intercepts[[5, 45]], -50)
    assert (np.delete(fitted.intercepts, [5, 45]) > -25).all()
    lazy = LazyLinearScorer(documents.X, documents.Y, solver)
    assert_allclose(lazy.scores(documents.X, np.array([5, 45])), -50, rtol=1e-5)


def test_intercepts_are_raised_by_tau_times_the_log_odds_against_a_label(make_documents):
    documents, solver = make_documents(30, 6, 20), Solver(BinaryCrossEntropyLoss(), 0.1)
    plain, raised = (
        fit_linear(documents.X, documents.Y, solver._replace(logit_adjustment=tau))[0]
        for tau in (0.0, -0.5)
    )
    assert_array_equal(raised.weights, plain.weights)
    known = count_labels(documents.Y) > 0
    expected = plain.intercepts - 0.5 * np.log(30 / np.maximum(count_labels(documents.Y), 1) - 1)
    assert_allclose(raised.intercepts[known], expected[known], rtol=1e-5)
