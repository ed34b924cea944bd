"""The pairs that cut-offs are learned from, against loops over documents and labels."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc.decision._pairs import Documents, HeldOut, ScoredPairs, label_blocks
from skmltc.decision._rules import RULES, learn_cut_offs
from skmltc.labels import LabelStatistics

few = settings(max_examples=40, deadline=None)


def make_pairs(triples, n_positives, weights=None):
    """Pairs of (label, score, is_true) triples."""
    labels, scores, is_true = zip(*triples, strict=True) if triples else ((), (), ())
    return ScoredPairs(
        labels=np.array(labels, dtype=np.int32),
        scores=np.array(scores, dtype=np.float64),
        log_odds_against=np.zeros(len(labels)),
        is_true=np.array(is_true, dtype=bool),
        weights=np.ones(len(labels)) if weights is None else np.array(weights, dtype=np.float64),
        n_positives=np.array(n_positives, dtype=np.int64),
    )


def triples_of(pairs):
    return list(
        zip(pairs.labels.tolist(), pairs.scores.tolist(), pairs.is_true.tolist(), strict=True)
    )


# ------------------------------------------------------------------------- which pairs are kept


class Problem(NamedTuple):
    """Scores of held-out documents, which of them are true, and the labels of fitted documents."""

    scores: np.ndarray
    truth: np.ndarray
    fitted: np.ndarray
    mask: np.ndarray | None

    def arguments(self):
        """What collect_rows and collect_blocks take after the blocks."""
        return indicators(self.fitted), indicators(self.truth), self.mask

    def held_out(self):
        n_samples = len(self.scores)
        documents = Documents(np.arange(n_samples)[:, None], indicators(self.truth))
        return HeldOut(TableScorer(self.scores), indicators(self.fitted), documents)


class TableScorer:
    """Looks scores up by the number of the document, the only feature; notes what is asked for."""

    def __init__(self, table):
        self.table, self.asked = table, []

    def encode(self, X, device):
        return X[:, 0]

    def scores(self, encoded, labels=None):
        self.asked.append(labels)
        return self.table[encoded][:, labels]


def indicators(Y):
    return sparse.csr_array(Y.astype(np.float32))


@st.composite
def problems(draw, n_labels=(1, 3, 70), masked=None):
    """Many ties; labels with no, few and many held-out documents, some without a fitted one."""
    rng = np.random.RandomState(draw(st.integers(0, 2**31 - 1)))
    n_labels, n_samples = draw(st.sampled_from(n_labels)), draw(st.integers(1, 140))
    scores = rng.randint(-2, draw(st.integers(-1, 3)), (n_samples, n_labels)) / 2
    truth = rng.random_sample(scores.shape) < rng.choice([0, 0.02, 0.1, 0.6], n_labels)
    fitted = rng.random_sample((6, n_labels)) < 0.2
    masked = draw(st.booleans()) if masked is None else masked
    mask = rng.random_sample(n_labels) < 0.7 if masked else None
    return Problem(scores.astype(np.float32), truth, fitted, mask)


def naive_pairs(problem, weights=None):
    """Label, row, score, truth, weight, log(N/n - 1) of the pairs, by label and row; n_positives.

    Of each label with a fitted document the best 50 + 5 n documents, all others that have it, and
    the rest of 50 documents, which are weighted by how many of all the rest they stand for.
    """
    scores, truth, fitted, mask = problem
    found, n_positives = [], []
    weights = np.ones(len(scores)) if weights is None else weights
    sample = np.random.RandomState(0).permutation(len(scores))[:50]
    for label in range(truth.shape[1]):
        wanted = mask is None or mask[label]
        n, n_fitted = int(truth[:, label].sum()), int(fitted[:, label].sum())
        n_positives.append(weights[truth[:, label]].sum() if wanted else 0)
        if not wanted or not n_fitted:
            continue
        best_first = sorted(range(len(scores)), key=lambda row: (-scores[row, label], row))
        kept = set(best_first[: 50 + 5 * n]) | set(np.flatnonzero(truth[:, label]).tolist())
        others = sorted(set(sample.tolist()) - kept)
        against = math.log(len(fitted) / min(n_fitted, len(fitted) - 1) - 1)
        rest = sum(weights[row] for row in range(len(scores)) if row not in kept)
        for row in sorted(kept | set(others)):
            times = 1.0 if row in kept else rest / sum(weights[row] for row in others)
            weight = weights[row] * times
            pair = float(scores[row, label]), bool(truth[row, label]), weight, against
            found.append((label, *pair))
    return found, n_positives


def assert_same(pairs, naive):
    found, n_positives = naive
    columns = [np.array(column) for column in zip(*found, strict=True)] or [np.empty(0)] * 5
    named = pairs.labels, pairs.scores, pairs.is_true, pairs.weights, pairs.log_odds_against
    for got, expected in zip(named, columns, strict=True):
        assert_allclose(got, expected, rtol=1e-6)
    assert_array_equal(pairs.n_positives, n_positives)


def pieces(draw, array):
    """The array cut anywhere along its first axis; some pieces may be empty."""
    cuts = draw(st.lists(st.integers(0, len(array)), max_size=5))
    return np.split(array, sorted(cuts))


@few
@given(parts=st.lists(problems(n_labels=[3]), min_size=1, max_size=3))
def test_a_scorer_is_asked_for_the_pairs_of_the_naive_twin(parts):
    mask = parts[0].mask
    parts = [part._replace(mask=mask) for part in parts]
    pairs = ScoredPairs.collect([part.held_out() for part in parts], mask)
    naive = [naive_pairs(part) for part in parts]
    found = [pair for found, _ in naive for pair in found]
    assert_same(pairs, (found, np.sum([n_positives for _, n_positives in naive], axis=0)))


@few
@given(problem=problems(n_labels=[70, 150]), n_jobs=st.sampled_from([None, 1, 2]))
def test_a_scorer_is_asked_by_blocks_of_labels_with_a_fitted_document(problem, n_jobs):
    part = problem.held_out()
    pairs = ScoredPairs.collect([part], problem.mask, n_jobs=n_jobs)
    assert_same(pairs, naive_pairs(problem))
    asked = np.concatenate([np.empty(0, int), *part.scorer.asked])
    known = problem.fitted.any(axis=0) & (problem.mask if problem.mask is not None else True)
    assert_array_equal(np.sort(asked), np.flatnonzero(known))
    assert max(map(len, part.scorer.asked), default=0) <= 64


@few
@given(problem=problems(), data=st.data())
def test_blocks_of_documents_of_any_size_give_the_pairs_of_the_naive_twin(problem, data):
    blocks = pieces(data.draw, problem.scores)
    pairs = ScoredPairs.collect_rows(iter(blocks), *problem.arguments())
    assert_same(pairs, naive_pairs(problem))


@few
@given(problem=problems(), size=st.integers(1, 9))
def test_blocks_of_few_documents_give_the_pairs_of_the_naive_twin(problem, size):
    blocks = (problem.scores[i : i + size] for i in range(0, len(problem.scores), size))
    assert_same(ScoredPairs.collect_rows(blocks, *problem.arguments()), naive_pairs(problem))


@few
@given(problem=problems(), data=st.data())
def test_blocks_of_labels_of_any_order_give_the_pairs_of_the_naive_twin(problem, data):
    order = data.draw(st.permutations(range(problem.truth.shape[1])))
    blocks = [(b, problem.scores[:, b]) for b in pieces(data.draw, np.array(order))]
    pairs = ScoredPairs.collect_blocks(iter(blocks), *problem.arguments())
    assert_same(pairs, naive_pairs(problem))


def collected(problem):
    """The pairs in all three ways."""
    labels = np.arange(problem.truth.shape[1])
    yield ScoredPairs.collect([problem.held_out()], problem.mask)
    yield ScoredPairs.collect_rows(np.array_split(problem.scores, 7), *problem.arguments())
    yield ScoredPairs.collect_blocks([(labels, problem.scores)], *problem.arguments())


def test_fifty_documents_and_five_for_each_positive_are_kept_of_each_label():
    rng = np.random.RandomState(0)
    truth = np.arange(500)[:, None] < [0, 1, 7, 90, 100]
    fitted = np.array([[1, 1, 1, 1, 0]])
    problem = Problem(rng.permutation(2500).reshape(500, 5) / 4, truth, fitted, None)
    for pairs in collected(problem):
        assert_array_equal(pairs.n_positives, [0, 1, 7, 90, 100])
        for label, n_kept in enumerate([50, 55, 85, 500]):
            best = np.sort(problem.scores[:, label])[-n_kept:]
            is_best = (pairs.labels == label) & (pairs.scores >= best[0])
            assert_array_equal(np.sort(pairs.scores[is_best]), best)
            assert (pairs.weights[is_best] == 1).all()


def test_every_document_with_a_label_is_kept_and_fifty_stand_for_the_rest():
    truth = np.zeros((1000, 1), dtype=bool)
    truth[900:910] = True  # 100 are kept for their scores, ten for their label
    scores = -np.arange(1000.0)[:, None]
    for pairs in collected(Problem(scores, truth, np.ones((1, 1)), None)):
        assert pairs.is_true.sum() == 10 and (pairs.weights[pairs.is_true] == 1).all()
        stands_for_others = pairs.weights > 1
        assert 35 < stands_for_others.sum() <= 50
        assert pairs.weights.sum() == pytest.approx(1000)


def test_the_same_documents_stand_for_the_rest_of_every_label():
    rng = np.random.RandomState(0)
    scores = rng.permutation(2000).reshape(500, 4) / 4
    problem = Problem(scores, np.zeros((500, 4), bool), np.ones((1, 4)), None)
    for pairs in collected(problem):
        rows = [
            set(np.flatnonzero(np.isin(scores[:, c], p.scores[p.weights > 1])))
            for c, p in enumerate(pairs.by_label())
        ]
        assert len(set.union(*rows)) <= 50


def test_of_equal_scores_the_lower_rows_are_kept():
    truth = np.zeros((80, 1), dtype=bool)
    truth[[10, 61, 79]] = True  # 65 of 80 rows are kept
    scores = np.zeros((80, 1), dtype=np.float32)
    problem = Problem(scores, truth, np.ones((1, 1)), None)
    for pairs in collected(problem):
        assert (pairs.weights == 1).sum() == 66 and pairs.weights.sum() == 80  # row 79 has it
    scores[[70, 78], 0] = 1, -1
    for pairs in collected(problem):
        assert_array_equal(pairs.scores[pairs.scores != 0], [1, -1][: (pairs.scores != 0).sum()])
        assert (pairs.weights[pairs.scores == 1] == 1).all()


def test_documents_of_a_label_without_a_fitted_one_are_missed_at_any_cut_off():
    scores = np.array([[3.0, 9.0], [2.0, 8.0], [1.0, 7.0]], dtype=np.float32)
    truth = np.array([[1, 1], [0, 1], [0, 0]])
    for pairs in collected(Problem(scores, truth, np.array([[1, 0]]), None)):
        assert_array_equal(pairs.labels, 0)
        assert_array_equal(pairs.n_positives, [1, 2])
        _, f1 = pairs.micro_f1_curve()
        assert_allclose(f1, [2 / (1 + 3), 2 / (2 + 3), 2 / (3 + 3)])
        assert pairs.macro_f1(2.5) == pytest.approx((1 + 0) / 2)


def test_labels_that_are_left_out_count_nowhere():
    problem = Problem(np.ones((4, 3)), np.ones((4, 3)), np.ones((2, 3)), np.array([1, 0, 1]) > 0)
    for pairs in collected(problem):
        assert_array_equal(np.unique(pairs.labels), [0, 2])
        assert_array_equal(pairs.n_positives, [4, 0, 4])


def test_pairs_are_single_precision_scores_and_booleans():
    problem = Problem(np.ones((4, 3), "f4"), np.eye(4, 3), np.ones((2, 3)), None)
    for pairs in collected(problem):
        assert pairs.scores.dtype == np.float32 and pairs.is_true.dtype == bool


def test_no_label_and_no_document_make_no_pairs():
    for shape in [(4, 3), (0, 3)]:
        problem = Problem(np.ones(shape, "f4"), np.ones(shape), np.zeros((2, 3)), None)
        for pairs in collected(problem):
            assert len(pairs.labels) == len(pairs.scores) == len(pairs.is_true) == 0
            assert_array_equal(pairs.n_positives, shape[0])


@pytest.mark.parametrize("rule", ["tuned", "tuned_low", "frequency"])
def test_a_common_cut_off_is_that_of_all_pairs(rule):
    rng = np.random.RandomState(1)
    truth = rng.random_sample((400, 6)) < [0.01, 0.02, 0.03, 0.05, 0.1, 0.2]
    scores = rng.normal(3.0 * truth)
    (kept, *_) = collected(Problem(scores, truth, np.ones((1, 6)), None))
    rows, columns = np.indices(truth.shape).reshape(2, -1)
    triples = zip(columns, scores[rows, columns], truth[rows, columns], strict=True)
    every = make_pairs(list(triples), truth.sum(axis=0))
    assert len(kept.labels) < len(every.labels)
    cut_offs = [learn_cut_offs(rule, p, truth.sum(axis=0), 400) for p in (kept, every)]
    assert_array_equal(*cut_offs)


def test_what_is_collected_from_is_not_changed():
    rng = np.random.RandomState(0)
    problem = Problem(*rng.randint(0, 2, (3, 90, 4)), np.ones(4, dtype=bool))
    arrays = [array for array in problem if array is not None]
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    assert len(list(collected(problem))) == 3
    for array, copy in zip(arrays, copies, strict=True):
        assert_array_equal(array, copy)


def test_documents_are_taken_by_rows():
    X, Y = np.arange(8).reshape(4, 2), indicators(np.eye(4, 3))
    documents = Documents(X, Y)
    some = documents[np.array([2, 0])]
    assert len(documents) == 4 and len(some) == 2
    assert_array_equal(some.X, X[[2, 0]])
    assert_array_equal(some.Y.toarray(), Y.toarray()[[2, 0]])


def test_blocks_hold_the_labels_with_documents_the_frequent_first():
    blocks = label_blocks(np.array([3, 0, 9, 3, 1, 0, 7]), 2)
    assert [block.tolist() for block in blocks] == [[2, 6], [0, 3], [4]]
    assert label_blocks(np.zeros(3, int), 2) == []


# ----------------------------------------------------------------------- what is done with pairs


def test_concatenate_adds_up_folds():
    a = make_pairs([(0, 1, True), (1, 2, False)], [3, 0])
    b = make_pairs([(1, 0.5, True)], [0, 1])
    both = ScoredPairs.concatenate([a, b])
    assert triples_of(both) == [(0, 1.0, True), (1, 2.0, False), (1, 0.5, True)]
    assert_array_equal(both.n_positives, [3, 1])


def test_shifted_and_select_leave_the_original_alone():
    pairs = make_pairs([(0, 1, True), (1, 2, False), (1, 4, True)], [3, 1])
    assert triples_of(pairs.shifted(np.array([0.5, -1]))) == [
        (0, 1.5, True),
        (1, 1.0, False),
        (1, 3.0, True),
    ]
    chosen = pairs.select(np.array([False, True]))
    assert triples_of(chosen) == [(1, 2.0, False), (1, 4.0, True)]
    assert_array_equal(chosen.n_positives, [0, 1])
    assert triples_of(pairs) == [(0, 1.0, True), (1, 2.0, False), (1, 4.0, True)]
    assert_array_equal(pairs.n_positives, [3, 1])


@st.composite
def scored(draw, min_pairs=1):
    """Triples of a few labels, many ties, and n_positives, of which some are not reached."""
    n_labels = draw(st.integers(1, 4))
    triple = st.tuples(
        st.integers(0, n_labels - 1), st.integers(-6, 6).map(lambda i: i / 4), st.booleans()
    )
    triples = draw(st.lists(triple, min_size=min_pairs, max_size=14))
    reached = [sum(hit for label, _, hit in triples if label == c) for c in range(n_labels)]
    missed = draw(st.lists(st.integers(0, 2), min_size=n_labels, max_size=n_labels))
    return triples, [r + m for r, m in zip(reached, missed, strict=True)]


def loop_f1(pairs, cut_off, n_positives):
    """F1 at a cut-off of pairs (label, score, is_true, weight)."""
    found = sum(hit for _, score, hit, _ in pairs if score > cut_off)
    predicted = sum(weight for _, score, _, weight in pairs if score > cut_off)
    return 2 * found / (predicted + n_positives)


def weighted(triples):
    """Weights of pairs: one where they are true, and some other number elsewhere."""
    return [1.0 if hit else 1.0 + (k % 3) for k, (_, _, hit) in enumerate(triples)]


def loop_cut_offs(triples):
    """Half-way between neighbours, the last one just below the lowest score; highest first."""
    scores = sorted({score for _, score, _ in triples}, reverse=True)
    between = [(a + b) / 2 for a, b in zip(scores, scores[1:], strict=False)]
    return [*between, math.nextafter(scores[-1], -math.inf)]


@few
@given(problem=scored())
def test_the_curve_is_what_each_cut_off_gives(problem):
    triples, n_positives = problem
    weights = weighted(triples)
    cut_offs, f1 = make_pairs(triples, n_positives, weights).micro_f1_curve()
    pairs = [(*triple, weight) for triple, weight in zip(triples, weights, strict=True)]
    assert_array_equal(cut_offs, loop_cut_offs(triples))
    assert_array_equal(f1, [loop_f1(pairs, cut, sum(n_positives)) for cut in cut_offs])


@few
@given(problem=scored(), least=st.floats(0, 1))
@example(problem=([(0, 0.0, False)], [1]), least=1e-310)
def test_what_is_left_out_of_a_curve_is_below_what_is_asked_for(problem, least):
    triples, n_positives = problem
    pairs = make_pairs(triples, n_positives, weighted(triples))
    every, some = pairs.micro_f1_curve(), pairs.micro_f1_curve(least)
    for of_all, of_some in zip(every, some, strict=True):
        assert_array_equal(of_some[some[1] >= least], of_all[every[1] >= least])


@few
@given(problem=scored())
def test_the_micro_f1_reached_is_that_of_a_cut_off(problem):
    triples, n_positives = problem
    pairs = make_pairs(triples, n_positives, weighted(triples))
    if sum(n_positives):
        assert np.isclose(pairs.micro_f1_curve()[1], pairs.reached_micro_f1(), atol=0).any()


def test_sums_of_weights_are_the_same_however_much_of_a_curve_is_asked_for():
    """To the last bit, among equal scores too: a margin is compared with another curve's F1."""
    rng = np.random.RandomState(0)
    scores, hits = rng.randint(0, 9, 3000) / 8, rng.rand(3000) < 0.3
    weights = np.where(hits, 1.0, 1 + rng.rand(3000))
    pairs = make_pairs(
        [(0, s, h) for s, h in zip(scores, hits, strict=True)], [hits.sum()], weights
    )
    of_all, of_some = pairs.micro_f1_curve()[1], pairs.micro_f1_curve(0.9)[1]
    assert len(of_some) < len(of_all)
    assert_array_equal(of_some, of_all[: len(of_some)])


def test_few_of_many_pairs_are_sorted():
    """Those that can be predicted where micro-F1 is as good as the one that is reached."""
    rng = np.random.RandomState(0)
    scores = np.float32(rng.randn(100_000))
    hits = scores + 0.3 * rng.randn(100_000) > 2
    pairs = make_pairs([(0, s, h) for s, h in zip(scores, hits, strict=True)], [hits.sum()])
    cut_offs, f1 = pairs.micro_f1_curve(pairs.reached_micro_f1())
    assert len(cut_offs) < 2 * hits.sum() < len(scores) / 10
    assert f1.max() == pairs.micro_f1_curve()[1].max()


@few
@given(problem=scored(min_pairs=0), cut_off=st.integers(-8, 8).map(lambda i: i / 4))
def test_macro_f1_is_the_mean_over_labels_with_a_document(problem, cut_off):
    triples, n_positives = problem
    weights = weighted(triples)
    pairs = [(*triple, weight) for triple, weight in zip(triples, weights, strict=True)]
    each = [
        loop_f1([pair for pair in pairs if pair[0] == label], cut_off, n)
        for label, n in enumerate(n_positives)
        if n
    ]
    expected = sum(each) / len(each) if each else 0.0
    assert make_pairs(triples, n_positives, weights).macro_f1(cut_off) == pytest.approx(expected)


def test_the_pairs_of_each_label_are_apart():
    pairs = make_pairs([(1, 2, False), (0, 1, True), (1, 4, True)], [3, 1, 0])
    apart = pairs.by_label()
    assert [triples_of(part) for part in apart] == [
        [(0, 1.0, True)],
        [(1, 2.0, False), (1, 4.0, True)],
        [],
    ]
    assert [part.n_positives.tolist() for part in apart] == [[3], [1], [0]]


def test_every_rule_leaves_the_pairs_alone():
    rng = np.random.RandomState(0)
    labels, is_true = rng.randint(0, 3, 60), rng.random_sample(60) < 0.5
    triples = list(zip(labels, rng.normal(size=60), is_true, strict=True))
    pairs = make_pairs(triples, np.bincount(labels[is_true], minlength=3))
    for array in (a for a in vars(pairs).values() if isinstance(a, np.ndarray)):
        array.setflags(write=False)
    for rule in RULES:
        assert np.isfinite(learn_cut_offs(rule, pairs, [60, 20, 3], 100)).all()


@few
@given(problem=problems(), seed=st.integers(0, 2**31 - 1))
def test_weights_of_documents_are_those_of_their_pairs(problem, seed):
    """What is sampled stands for the weight of the rest; the pairs are those without weights."""
    weights = np.random.RandomState(seed).randint(1, 5, len(problem.scores)) / 2
    pairs = ScoredPairs.collect_rows([problem.scores], *problem.arguments(), weights)
    assert_same(pairs, naive_pairs(problem, weights))


def test_counts_of_the_documents_fitted_on_do_for_their_labels():
    rng = np.random.RandomState(0)
    problem = Problem(rng.rand(80, 3), rng.rand(80, 3) < 0.2, rng.rand(9, 3) < 0.5, None)
    counts = LabelStatistics(problem.fitted.sum(axis=0), 9)
    pairs = ScoredPairs.collect_rows([problem.scores], counts, indicators(problem.truth))
    assert_same(pairs, naive_pairs(problem))


def test_documents_are_counted_by_their_weights():
    Y = indicators(np.array([[1, 0], [1, 1], [0, 0]]))
    documents = Documents(np.zeros((3, 1)), Y, np.array([2.0, 0.5, 1.0]))
    assert_array_equal(documents.counts, [2.5, 0.5])
    assert documents.n_samples == 3.5 and documents[[0, 2]].n_samples == 3
    assert_array_equal(documents.fitted_Y.counts, [2.5, 0.5])
    assert Documents(np.zeros((3, 1)), Y).fitted_Y is Y
