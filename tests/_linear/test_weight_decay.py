"""The choice of the weight decay: what is searched, scored and chosen."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc._linear.models import Solver, fit_linear
from skmltc._linear.problems import LinearProblem
from skmltc._linear.weight_decay import sample_labels, select_weight_decay
from skmltc._targets import count_labels
from skmltc.decision import Documents, HeldOut, ScoredPairs, label_blocks
from skmltc.losses import BinaryCrossEntropyLoss, DistributionBalancedLoss

FORMS = [sparse.csr_array, sparse.csr_array.toarray]


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
    for W, *_ in LinearProblem.of(fit.X, fit.Y, solver).solve(decays, solver, columns):
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
def test_a_validation_part_is_scored_by_the_model_fitted_in_the_end(
    form, n_labels, make_documents, assert_same_pairs
):
    """Of 300 labels half are searched, and all are scored afterwards."""
    documents = make_documents(60, 8, n_labels, form)
    fit, held = documents[np.arange(40)], documents[np.arange(40, 60)]
    counts, solver = count_labels(fit.Y), Solver(DistributionBalancedLoss(), logit_adjustment=0.3)
    decay, pairs = select_weight_decay([(fit, held)], counts, 40, solver, [0.1])
    scorer, _ = fit_linear(fit.X, fit.Y, solver._replace(weight_decay=0.1))
    assert decay == 0.1
    assert_same_pairs(pairs, ScoredPairs.collect([HeldOut(scorer, fit.Y, held)]))


@pytest.mark.parametrize("n_labels", [7, 300])
def test_models_of_fewer_documents_are_penalised_as_much_per_document(
    n_labels, make_documents, assert_same_pairs
):
    documents, solver = make_documents(60, 8, n_labels), Solver(DistributionBalancedLoss())
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


@pytest.mark.parametrize("n_labels, n_wanted", [(10, 10), (10, 50), (100, 7), (1774, 400)])
def test_sampled_labels_are_of_all_frequencies(n_labels, n_wanted):
    counts = 1 + np.random.RandomState(0).permutation(n_labels)
    chosen = sample_labels(counts, n_wanted)
    assert n_wanted / 2 < chosen.sum() <= n_wanted or chosen.all()
    assert chosen[counts.argmax()]
    gaps = np.diff(np.sort(counts[chosen]))
    assert gaps.min() == gaps.max()  # evenly spaced in the order of frequency


def test_labels_without_documents_are_sampled_beside_the_others():
    counts = np.random.RandomState(0).randint(1, 30, 100)
    with_none = np.insert(counts, [0, 3, 50, 100, 100], 0)
    chosen = sample_labels(with_none, 20)
    assert_array_equal(chosen[with_none > 0], sample_labels(counts, 20))
    assert chosen[with_none == 0].sum() == 1  # one in five
    assert sample_labels(with_none, 100).all()
