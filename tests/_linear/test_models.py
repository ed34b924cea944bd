"""Linear models of many labels: scorers, blocks, parallel fits, and the choice of weight decay."""

import threading
from itertools import product

import numpy as np
import pytest
import torch
from joblib import Parallel, effective_n_jobs, parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc._linear.models import (
    LazyLinearScorer,
    LinearProblem,
    LinearScorer,
    Solver,
    block_size,
    fit_linear,
    one_torch_thread,
    sample_labels,
    select_weight_decay,
    solve_block,
)
from skmltc._targets import count_labels
from skmltc.decision import Documents, HeldOut, ScoredPairs, label_blocks
from skmltc.losses import (
    BinaryCrossEntropyLoss,
    ClassBalancedNegativeTolerantLoss,
    DistributionBalancedLoss,
)

SPECS = [
    BinaryCrossEntropyLoss(),
    DistributionBalancedLoss(),
    ClassBalancedNegativeTolerantLoss(kappa=0.1, neg_scale=4),
]
FORMS = [sparse.csr_array, sparse.csr_array.toarray]


def documents_of(n_samples, n_features, n_labels, form=sparse.csr_array):
    """Features and labels that follow them, of all frequencies; labels 5, 45, ... have none."""
    rng = np.random.RandomState(0)
    X = (rng.rand(n_samples, n_features) < 0.5) * rng.rand(n_samples, n_features)
    scores = X @ rng.randn(n_features, n_labels) + 0.3 * rng.randn(n_samples, n_labels)
    counts = 1 + np.arange(n_labels) % (n_samples // 2)
    counts[5::40] = 0
    Y = (-scores).argsort(axis=0).argsort(axis=0) < counts
    X, Y = (sparse.csr_array(matrix, dtype=np.float32) for matrix in (X, Y))
    assert_array_equal(count_labels(Y), counts)
    return Documents(form(X), Y)


def assert_same_pairs(one, other):
    for field in ("labels", "scores", "is_true", "n_positives"):
        assert_array_equal(getattr(one, field), getattr(other, field))


# ------------------------------------------------------------------------------------ scorers


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
    monkeypatch.setattr("skmltc._linear.models._FEW_WEIGHTS", 0)


@pytest.mark.parametrize("units", [1.0, 1e-3, 1e4])
def test_weights_that_move_a_score_by_little_are_dropped_in_any_units(units, few_are_enough):
    X = sparse.csr_array([[0.5, 0.0, 2.0], [0.25, -1.0, 0.0]])
    weights = np.float32([[0.02, 0.009, 0.0], [0.01, 0.004, 0.0], [0.002, 0.003, -0.1]])
    scorer = LinearScorer(weights / np.float32(units), np.zeros(3, dtype=np.float32))
    kept = scorer.without_small_weights(X * units).weights
    assert sparse.issparse(kept)
    expected = [[0.02, 0, 0], [0.01, 0, 0], [0, 0.003, -0.1]]
    assert_allclose(kept.toarray() * units, expected, rtol=1e-6)


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


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_models_solved_when_asked_for_are_those_of_a_fit(form, spec):
    """To the last bit, of the weight decay that was given, 64 labels at a time, as pairs are."""
    documents = documents_of(60, 8, 200, form)
    solver = Solver(spec, 0.1, logit_adjustment=0.2)
    fitted, _ = fit_linear(documents.X, documents.Y, solver)
    lazy = LazyLinearScorer(documents.X, documents.Y, solver)
    encoded = lazy.encode(documents.X, "cpu")
    blocks = label_blocks(count_labels(documents.Y), 64)
    assert [len(block) for block in blocks] == [64, 64, 64, 3]
    for block in blocks:
        assert_array_equal(lazy.scores(encoded, block), fitted.scores(encoded)[:, block])
    some = documents_of(90, 8, 200, form)[np.arange(60, 90)]
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


def test_a_label_without_documents_is_never_near_the_others():
    documents, solver = documents_of(30, 6, 50), Solver(BinaryCrossEntropyLoss(), 0.1)
    fitted, _ = fit_linear(documents.X, documents.Y, solver._replace(logit_adjustment=1.0))
    assert not fitted.weights[:, [5, 45]].any()
    assert_array_equal(fitted.intercepts[[5, 45]], -50)
    assert (np.delete(fitted.intercepts, [5, 45]) > -25).all()
    lazy = LazyLinearScorer(documents.X, documents.Y, solver)
    assert_allclose(lazy.scores(documents.X, np.array([5, 45])), -50, rtol=1e-5)


def test_intercepts_are_raised_by_tau_times_the_log_odds_against_a_label():
    documents, solver = documents_of(30, 6, 20), Solver(BinaryCrossEntropyLoss(), 0.1)
    plain, raised = (
        fit_linear(documents.X, documents.Y, solver._replace(logit_adjustment=tau))[0]
        for tau in (0.0, -0.5)
    )
    assert_array_equal(raised.weights, plain.weights)
    known = count_labels(documents.Y) > 0
    expected = plain.intercepts - 0.5 * np.log(30 / np.maximum(count_labels(documents.Y), 1) - 1)
    assert_allclose(raised.intercepts[known], expected[known], rtol=1e-5)


# ------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize(
    "shape, size",
    [
        ((100, 30), 64),
        ((2**13, 10), 64),
        ((10, 2**13), 64),
        ((2**13 + 1, 10), 32),
        ((10, 2**14), 32),
        ((10, 2**14 + 1), 16),
        ((10**7, 10**6), 16),
        ((0, 0), 64),
    ],
)
def test_fewer_labels_of_more_documents_or_features_are_solved_together(shape, size):
    assert block_size(shape) == size


@pytest.mark.parametrize("n_labels, n_wanted", [(10, 10), (10, 50), (100, 7), (1774, 400)])
def test_sampled_labels_are_of_all_frequencies(n_labels, n_wanted):
    counts = np.random.RandomState(0).permutation(n_labels)
    chosen = sample_labels(counts, n_wanted)
    assert n_wanted / 2 < chosen.sum() <= n_wanted or chosen.all()
    assert chosen[counts.argmax()]
    gaps = np.diff(np.sort(counts[chosen]))
    assert gaps.min() == gaps.max()  # evenly spaced in the order of frequency


# ----------------------------------------------------------------------------------- parallel


@pytest.fixture(scope="module")
def many():
    """Forty documents of 300 labels."""
    return documents_of(40, 6, 300)


def fitted_in_parallel(documents, n_jobs):
    """What every parallel task of this module makes of documents, as numbers."""
    solver = Solver(DistributionBalancedLoss(), 0.1, n_jobs=n_jobs)
    scorer, n_iter = fit_linear(documents.X, documents.Y, solver)
    fit, held = documents[np.arange(25)], documents[np.arange(25, 40)]
    lazy = LazyLinearScorer(fit.X, fit.Y, solver)
    of_fold = ScoredPairs.collect([HeldOut(lazy, fit.Y, held)], n_jobs=n_jobs)
    counts = count_labels(documents.Y)
    decay, pairs = select_weight_decay([(fit, held)], counts, 40, solver, [1.0, 0.1])
    return [scorer.weights, scorer.intercepts, n_iter, decay], [of_fold, pairs]


@pytest.fixture(scope="module")
def one_after_the_other(many):
    return fitted_in_parallel(many, 1)


def test_without_n_jobs_the_context_of_joblib_says_how_many(many, one_after_the_other, monkeypatch):
    asked = []

    class Recorded(Parallel):
        def __call__(self, tasks):
            asked.append(effective_n_jobs(self.n_jobs))
            return super().__call__(tasks)

    monkeypatch.setattr("skmltc._linear.models.Parallel", Recorded)
    for n_jobs, config in ((1, {}), (2, {"n_jobs": 2})):
        with parallel_config(**config):
            numbers, pairs = fitted_in_parallel(many, None)
        assert set(asked) == {n_jobs}
        asked.clear()
        for mine, expected in zip(numbers, one_after_the_other[0], strict=True):
            assert_array_equal(mine, expected)
        for mine, expected in zip(pairs, one_after_the_other[1], strict=True):
            assert_same_pairs(mine, expected)
    assert Solver(None, device="cuda").jobs() == 1  # blocks would wait for each other
    assert Solver(None, device="cuda", n_jobs=2).jobs() == 2


# From Python 3.12 on: other backends have left threads behind.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("backend", ["sequential", "threading", "loky", "multiprocessing"])
def test_fitting_under_any_backend_is_the_same(many, one_after_the_other, backend):
    with parallel_config(backend=backend, n_jobs=2):
        numbers, pairs = fitted_in_parallel(many, 2)
    for mine, expected in zip(numbers, one_after_the_other[0], strict=True):
        assert_array_equal(mine, expected)
    for mine, expected in zip(pairs, one_after_the_other[1], strict=True):
        assert_same_pairs(mine, expected)


@pytest.mark.filterwarnings("ignore:The linear models of")
def test_progress_is_shown_after_some_blocks(capsys):
    """Thirty-two of 64 labels."""
    documents, spec = documents_of(20, 4, 2200), BinaryCrossEntropyLoss()
    fit_linear(documents.X, documents.Y, Solver(spec, 1.0, max_iter=1))
    assert capsys.readouterr().out == ""
    fit_linear(documents.X, documents.Y, Solver(spec, 1.0, max_iter=1, verbose=1))
    assert capsys.readouterr().out == "labels: 2048 of 2145\nlabels: 2145 of 2145\n"


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_torch_has_one_thread_in_a_block_and_as_many_as_before_after_it(three_threads):
    with one_torch_thread():
        assert torch.get_num_threads() == 1
        with one_torch_thread():
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), one_torch_thread():
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == 3


def test_blocks_of_two_threads_overlap_and_both_restore_the_number(three_threads):
    """The first to begin ends first; the number before is that before either began."""
    found, first_is_in, second_is_in, first_is_out = {}, *(threading.Event() for _ in range(3))

    def first():
        with one_torch_thread():
            first_is_in.set()
            second_is_in.wait(10)
            found["first inside"] = torch.get_num_threads()
        found["first after"] = torch.get_num_threads()
        first_is_out.set()

    def second():
        first_is_in.wait(10)
        with one_torch_thread():
            second_is_in.set()
            first_is_out.wait(10)
            found["second inside"] = torch.get_num_threads()
        found["second after"] = torch.get_num_threads()

    threads = [threading.Thread(target=task) for task in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {"first inside": 1, "first after": 3, "second inside": 1, "second after": 3}
    assert torch.get_num_threads() == 3


def test_models_are_solved_by_one_thread_and_leave_the_number_as_it_was(problem, three_threads):
    X, Y = problem
    seen = []
    solver = Solver(BinaryCrossEntropyLoss())
    problem = LinearProblem.of(X, Y, solver)
    dot = problem.features.dot
    problem.features.dot = lambda W: (seen.append(torch.get_num_threads()), dot(W))[1]
    solve_block(problem, [0.1], solver, np.arange(7))
    assert set(seen) == {1} and torch.get_num_threads() == 3


# ------------------------------------------------------------------------------- weight decay


TAUS = [0.02 * k for k in range(-10, 3)] + [0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0]
TAUS = sorted({round(tau, 2) for tau in TAUS}, key=lambda tau: (abs(tau), tau))


@pytest.fixture(scope="module")
def folds(problem):
    """Three pairs of documents to fit on and to hold out."""
    documents, fold = Documents(*problem), np.arange(100) % 3
    parts = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    return [(documents[fit], documents[held]) for fit, held in parts]


def scores_in_loops(fit, held, spec, decays):
    """Scores of the held-out documents for each decay, -inf for labels that were not fitted.

    The decay per document is the same with fewer documents.
    """
    decays = [decay * len(fit) / 100 for decay in decays]
    (columns,) = label_blocks(count_labels(fit.Y), 100)
    solver = Solver(spec)
    for W, *_ in solve_block(LinearProblem.of(fit.X, fit.Y, solver), decays, solver, columns):
        scores = np.full(held.Y.shape, -np.inf)
        scores[:, columns] = held.X @ W[:-1] + W[-1]
        yield scores


def micro_f1(chosen, truth):
    """Over the last two axes."""
    n_found = (chosen & truth).sum(axis=(-2, -1))
    return 2 * n_found / (chosen.sum(axis=(-2, -1)) + truth.sum())


def select_in_loops(spec, folds, decays):
    """Of all settings within 0.003 of the best micro-F1, the one best for rare labels."""
    truth = np.vstack([held.Y.toarray() for _, held in folds]) > 0
    against = np.log(100 / truth.sum(axis=0) - 1)
    by_fold = [list(scores_in_loops(fit, held, spec, decays)) for fit, held in folds]
    results = {}
    for (i, decay), tau in product(enumerate(decays), TAUS):
        scores = np.vstack([scored[i] for scored in by_fold])
        shifted = np.float32(scores) + tau * against
        cut_offs = np.unique(shifted[shifted > -np.inf])[::-1]
        results[decay, tau] = shifted, cut_offs, micro_f1(shifted >= cut_offs[:, None, None], truth)
    best = max(f1.max() for _, _, f1 in results.values())

    def macro(shifted, cut_offs, f1):
        if f1.max() < best - 0.003:
            return -1
        chosen = shifted >= cut_offs[np.flatnonzero(f1 >= best - 0.003)[-1]]
        labels = np.flatnonzero(truth.sum(axis=0))
        return np.mean([micro_f1(chosen[:, [j]], truth[:, [j]]) for j in labels])

    return max(results, key=lambda key: macro(*results[key]))


@pytest.mark.parametrize("spec", SPECS, ids=repr)
@pytest.mark.parametrize("decays", [[1.0, 0.1, 0.01], [0.3, 0.03, 0.003], [30.0, 3.0, 0.3]])
def test_the_weight_decay_is_that_of_a_loop_over_everything(problem, folds, spec, decays):
    counts = count_labels(problem[1])
    decay, pairs = select_weight_decay(folds, counts, 100, Solver(spec), decays)
    chosen, _ = select_in_loops(spec, folds, decays)
    assert decay == chosen
    by_fold = [list(scores_in_loops(*fold, spec, decays))[decays.index(decay)] for fold in folds]
    scores = np.vstack(by_fold)
    truth = np.vstack([held.Y.toarray() for _, held in folds])
    assert_array_equal(pairs.n_positives, counts)
    for label in range(7):
        mine, expected = pairs.labels == label, scores[:, label]
        assert_allclose(
            np.sort(pairs.scores[mine]), np.sort(expected[expected > -np.inf]), atol=1e-5
        )
        assert pairs.is_true[mine].sum() == truth[expected > -np.inf, label].sum()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_labels", [7, 300])
def test_a_validation_part_is_scored_by_the_model_fitted_in_the_end(form, n_labels):
    """Of 300 labels half are searched, and all are scored afterwards."""
    documents = documents_of(60, 8, n_labels, form)
    fit, held = documents[np.arange(40)], documents[np.arange(40, 60)]
    counts, solver = count_labels(fit.Y), Solver(DistributionBalancedLoss(), logit_adjustment=0.3)
    decay, pairs = select_weight_decay([(fit, held)], counts, 40, solver, [0.1])
    scorer, _ = fit_linear(fit.X, fit.Y, solver._replace(weight_decay=0.1))
    assert decay == 0.1
    assert_same_pairs(pairs, ScoredPairs.collect([HeldOut(scorer, fit.Y, held)]))


@pytest.mark.parametrize("n_labels", [7, 300])
def test_models_of_fewer_documents_are_penalised_as_much_per_document(n_labels):
    documents, solver = documents_of(60, 8, n_labels), Solver(DistributionBalancedLoss())
    rows = [(np.flatnonzero(np.arange(60) % 4 != k), np.arange(k, 60, 4)) for k in range(4)]
    parts = [(documents[fit], documents[held]) for fit, held in rows]
    _, pairs = select_weight_decay(parts, count_labels(documents.Y), 60, solver, [0.1])
    held_out = []
    for fit, held in parts:
        scorer, _ = fit_linear(fit.X, fit.Y, solver._replace(weight_decay=0.1 * 45 / 60))
        held_out.append(HeldOut(scorer, fit.Y, held))
    assert_same_pairs(pairs, ScoredPairs.collect(held_out))


def test_labels_without_a_document_to_fit_on_are_not_scored_but_missed(problem):
    documents, counts = Documents(*problem), count_labels(problem[1])
    has_it = problem[1].toarray()[:, 5] > 0  # both documents of a label
    fit, held = (documents[np.flatnonzero(rows)] for rows in (~has_it, has_it))
    solver = Solver(BinaryCrossEntropyLoss())
    _, pairs = select_weight_decay([(fit, held)], counts, 100, solver, [0.1])
    fitted = np.flatnonzero(count_labels(fit.Y))
    assert_array_equal(np.unique(pairs.labels), fitted)
    assert 5 not in fitted and pairs.n_positives[5] == 2
    assert_array_equal(pairs.n_positives, count_labels(held.Y))


def test_of_each_label_fifty_documents_and_five_for_each_that_has_it_are_scored():
    rng = np.random.RandomState(0)
    Y = np.zeros((150, 4), dtype=np.float32)
    for label, n_held in enumerate([0, 1, 4, 30]):
        Y[: 3 + label, label] = Y[20 : 20 + n_held, label] = 1
    X = sparse.csr_array(rng.rand(150, 5) * (rng.rand(150, 5) < 0.5), dtype=np.float32)
    documents = Documents(X, sparse.csr_array(Y))
    fit, held = documents[np.arange(20)], documents[np.arange(20, 150)]
    solver = Solver(BinaryCrossEntropyLoss(), 0.1)
    _, pairs = select_weight_decay([(fit, held)], count_labels(fit.Y), 20, solver, [0.1])
    assert_allclose(np.bincount(pairs.labels, pairs.weights), 130, rtol=1e-5)
    assert_array_equal(pairs.n_positives, [0, 1, 4, 30])
    scores = fit_linear(fit.X, fit.Y, solver)[0].scores(held.X)
    for label in range(4):
        best = np.sort(scores[:, label])[-[50, 55, 70, 130][label] :]
        kept = pairs.scores[(pairs.labels == label) & (pairs.weights == 1)]
        assert np.isin(best, kept).all()


@pytest.mark.parametrize(
    "n_labels, n_searched, n_decided", [(2000, 250, 1000), (1500, 250, 750), (900, 225, 900)]
)
def test_weight_decay_is_searched_on_250_labels_and_cut_offs_are_learned_on_1000(
    n_labels, n_searched, n_decided, capsys
):
    """Or on as many as every second, third, ... label makes."""
    twelve, labels = np.eye(12, dtype=np.float32), np.arange(n_labels)
    Y = sparse.csr_array(twelve[labels % 12].T)
    part = Documents(sparse.csr_array(twelve), Y)
    solver = Solver(BinaryCrossEntropyLoss(), verbose=1)
    counts = 2 * count_labels(Y)
    decay, pairs = select_weight_decay([(part, part)], counts, 24, solver, [1.0])
    assert capsys.readouterr().out == f"labels tried: {n_searched} of {n_searched}\n"
    chosen = labels % (n_labels // n_decided) == 0
    assert decay == 1.0 and chosen.sum() == n_decided
    assert_array_equal(np.unique(pairs.labels), np.flatnonzero(chosen))
    assert_array_equal(pairs.n_positives, chosen * 1)
    for how, expected in (
        ({"every_label": True}, labels),
        ({"every_label": True, "decides": False}, labels[:: n_labels // n_searched]),
    ):
        _, pairs = select_weight_decay([(part, part)], counts, 24, solver, [1.0], **how)
        assert_array_equal(np.unique(pairs.labels), expected)


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
