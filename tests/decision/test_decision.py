"""Thresholds and what is done with them, against loops over documents and labels."""

import math
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit

from skmltc._targets import Target
from skmltc.decision import Decision
from skmltc.decision._decision import check_max_labels, check_min_labels, check_slack
from skmltc.decision._pairs import ScoredPairs
from skmltc.decision._rules import RULES, learn_cut_offs

few = settings(max_examples=40, deadline=None)
numbers = st.integers(-4, 4).map(float)


def rows_of(matrix):
    """Columns and values of each row of a CSR matrix."""
    ends = matrix.indptr
    return [
        (matrix.indices[a:b].tolist(), matrix.data[a:b].tolist())
        for a, b in zip(ends, ends[1:], strict=False)
    ]


@st.composite
def problems(draw):
    """Scores and thresholds with many ties; some labels are never predicted."""
    n_labels = draw(st.integers(1, 5))
    row = st.lists(numbers, min_size=n_labels, max_size=n_labels)
    scores = np.array(draw(st.lists(row, min_size=1, max_size=4)))
    cut = st.one_of(numbers, st.just(math.inf))
    return scores, np.array(draw(st.lists(cut, min_size=n_labels, max_size=n_labels)))


# ------------------------------------------------------------------------------------- predict


def loop_predict(scores, thresholds, min_labels):
    predicted = np.zeros(np.shape(scores), dtype=int)
    for i, row in enumerate(scores):
        margin = {j: s - t for j, (s, t) in enumerate(zip(row, thresholds, strict=True)) if t < 1e9}
        for rank, j in enumerate(sorted(margin, key=lambda j, m=margin: (-m[j], j))):
            predicted[i, j] = margin[j] > 0 or rank < min_labels
    return predicted


@few
@given(problem=problems(), min_labels=st.integers(0, 4))
def test_predict_against_loops(problem, min_labels):
    scores, thresholds = problem
    predicted = Decision(thresholds, min_labels).predict(scores)
    assert isinstance(predicted, sparse.csr_array) and predicted.dtype == np.int64
    assert_array_equal(predicted.toarray(), loop_predict(scores, thresholds, min_labels))
    assert predicted.toarray()[:, np.isinf(thresholds)].sum() == 0


def loop_at_most(predicted, scores, thresholds, max_labels):
    """Of what is predicted, the labels furthest above their thresholds; of equals the first."""
    for row, of_document in zip(predicted, scores, strict=True):
        found = sorted(np.flatnonzero(row), key=lambda j, s=of_document: (thresholds[j] - s[j], j))
        row[found[max_labels:]] = 0
    return predicted


@few
@given(problem=problems(), min_labels=st.integers(0, 2), max_labels=st.integers(2, 4))
def test_a_document_has_max_labels_at_most(problem, min_labels, max_labels):
    scores, thresholds = problem
    predicted = Decision(thresholds, min_labels, max_labels=max_labels).predict(scores)
    expected = loop_predict(scores, thresholds, min_labels)
    expected = loop_at_most(expected, scores, thresholds, max_labels)
    assert_array_equal(predicted.toarray(), expected)


def test_min_labels_adds_nothing_to_a_document_that_has_as_many():
    scores, thresholds = np.array([[0.0, 5.0, 9.0]]), np.array([-1.0, 6.0, math.inf])
    for min_labels, expected in enumerate([[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 0]]):
        predicted = Decision(thresholds, min_labels).predict(scores)
        assert_array_equal(predicted.toarray(), [expected])


def test_min_labels_adds_a_label_that_is_at_its_threshold():
    predicted = Decision(np.zeros(2), min_labels=1).predict(np.array([[-1.0, 0.0]]))
    assert predicted.toarray().tolist() == [[0, 1]]


def test_a_score_at_the_threshold_is_not_above_it():
    predicted = Decision(np.array([1.0, 1.0])).predict(np.array([[1.0, 1.5]]))
    assert predicted.toarray().tolist() == [[0, 1]]


def test_single_precision_scores_are_compared_as_the_numbers_that_they_are():
    score = np.float32(0.1)  # a little above 0.1
    assert Decision(np.array([0.1])).predict(np.array([[score]])).nnz == 1
    assert Decision(np.array([float(score)])).predict(np.array([[score]])).nnz == 0


# ----------------------------------------------------------------- one class of several, 1-D y


@pytest.mark.parametrize("y", [[3, 5, 9, 3], ["c", "a", "b", "a"]])
def test_the_best_class_is_predicted_for_a_one_dimensional_y(y):
    target = Target.learn(np.array(y))
    decision = Decision.best(len(target.classes))
    scores = np.array([[-3.0, -1, -2], [5, 7, 7], [0, 0, 0], [-9, -8, -7]])
    predicted = decision.predict(scores)
    assert isinstance(predicted, sparse.csr_array) and predicted.shape == (4, 3)
    assert rows_of(predicted) == [([1], [1]), ([1], [1]), ([0], [1]), ([2], [1])]
    blocks = (decision.predict(scores[i : i + 3]) for i in (0, 3))
    assert_array_equal(target.decode(blocks), target.classes[[1, 1, 0, 2]])


def test_one_label_per_row_whatever_the_thresholds_and_min_labels():
    decision = Decision(np.full(3, 99.0), min_labels=2, one_per_row=True)
    assert decision.predict(np.array([[1.0, 2, 0]])).toarray().tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("y", [[0, 4, 4], ["no", "yes", "no"]])
def test_of_two_classes_the_second_is_predicted_above_zero(y):
    target = Target.learn(np.array(y))
    decision = Decision.best(1)
    predicted = target.decode([decision.predict(np.array([[0.5], [0.0], [-0.5]]))])
    assert_array_equal(predicted, target.classes[[1, 0, 0]])


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_indicators_are_predicted_in_the_form_of_y(form):
    target = Target.learn(form(np.array([[1, 0], [0, 1], [1, 1]])))
    scores = np.array([[1.0, -1], [2, 3], [-1, -1]])
    predicted = target.decode(map(Decision(np.zeros(2)).predict, np.split(scores, [2])))
    expected = [[1, 0], [1, 1], [0, 0]]
    kinds = {np.asarray: np.ndarray, sparse.csc_matrix: sparse.csr_matrix}
    assert type(predicted) is kinds.get(form, form)
    assert_array_equal(predicted if form is np.asarray else predicted.toarray(), expected)


# ----------------------------------------------------------------------------- topk and margins


@few
@given(problem=problems(), k=st.integers(1, 7))
def test_topk_against_loops(problem, k):
    scores, thresholds = problem
    best = Decision(thresholds).topk(scores, k)
    assert isinstance(best, sparse.csr_array) and best.shape == scores.shape
    for row, stored in zip(scores, rows_of(best), strict=True):
        known = [j for j in range(len(row)) if thresholds[j] < math.inf]
        wanted = sorted(sorted(known, key=lambda j, row=row: (-row[j], j))[:k])
        assert stored == (wanted, row[wanted].tolist())


@few
@given(problem=problems())
def test_margins_against_loops(problem):
    scores, thresholds = problem
    margins = [
        [s - t if t < math.inf else s for s, t in zip(row, thresholds, strict=True)]
        for row in scores
    ]
    assert_array_equal(Decision(thresholds).margins(scores), margins)


# --------------------------------------------------------------------------- how they are made


def test_one_number_cuts_every_label_with_documents():
    decision = Decision.at(-1.5, [3, 0, 1])
    assert_array_equal(decision.thresholds, [-1.5, math.inf, -1.5])
    assert (decision.min_labels, decision.rule, decision.one_per_row) == (0, None, False)


def test_a_probability_cuts_at_its_logit():
    decision = Decision.at_probability(0.8, [3, 0, 1])
    assert_allclose(decision.thresholds, [math.log(4), math.inf, math.log(4)])
    assert_array_equal(Decision.at_probability(0.5, [3, 0]).thresholds, [0, math.inf])
    assert decision.rule is None


def pairs_of(labels, scores, is_true, n_positives):
    """Pairs of weight 1, of labels that half of the documents have."""
    n = len(labels)
    return ScoredPairs(labels, scores, np.zeros(n), is_true, np.ones(n), n_positives, True)


@pytest.mark.parametrize("rule", RULES)
def test_learned_thresholds_are_those_of_the_rule_and_its_name_is_kept(rule):
    rng = np.random.RandomState(0)
    labels, is_true = rng.randint(0, 3, 300), rng.random_sample(300) < 0.4
    n_positives = np.bincount(labels[is_true], minlength=3)
    pairs = pairs_of(labels, rng.normal(2.0 * is_true), is_true, n_positives)
    decision = Decision.learn(rule, pairs, [90, 30, 0], 200)
    expected = learn_cut_offs(rule, pairs, [90, 30, 0], 200)
    assert_array_equal(decision.thresholds, expected)
    assert np.isfinite(expected[:2]).all() and expected[2] == math.inf
    assert (decision.rule, decision.min_labels) == (rule, 0)


def test_without_a_true_pair_the_default_is_learned():
    pairs = pairs_of(np.zeros(1, int), np.ones(1), np.zeros(1, bool), np.array([1, 0]))
    learned = Decision.learn("tuned", pairs, [2, 0], 9, default=0.25)
    assert_array_equal(learned.thresholds, [0.25, math.inf])
    assert_array_equal(Decision.learn("tuned", pairs, [2, 0], 9).thresholds, [0, math.inf])


def test_where_takes_thresholds_of_either_decision_and_the_rest_of_the_first():
    chosen = Decision(np.array([1.0, 2, 3]), min_labels=2, rule="tuned")
    joined = Decision.where(np.array([1, 0, 1]) > 0, chosen, Decision(np.array([7.0, 8, 9])))
    assert_array_equal(joined.thresholds, [1, 8, 3])
    assert (joined.min_labels, joined.rule) == (2, "tuned")


def loop_extend(thresholds, counts, new_count):
    """The mean threshold of the known labels whose frequency is most similar, by its logarithm."""
    known = [j for j, t in enumerate(thresholds) if t < math.inf]
    distance = {j: abs(math.log(new_count) - math.log(counts[j])) for j in known}
    nearest = [j for j in known if distance[j] == min(distance.values())]
    return sum(thresholds[j] for j in nearest) / len(nearest)


def test_new_labels_are_cut_where_labels_of_the_most_similar_frequency_are():
    thresholds = np.array([-1.0, 4.0, 5.0, math.inf, 0.5, math.inf])
    counts, new_counts = np.array([100, 8, 8, 0, 3, 5]), np.array([1, 3, 5, 8, 30, 900])
    extended = Decision(thresholds, min_labels=1, rule="tuned").extend(counts, new_counts)
    assert_array_equal(extended.thresholds[:6], thresholds)
    assert_allclose(extended.thresholds[6:], [0.5, 0.5, 4.5, 4.5, -1, -1])
    naive = [loop_extend(thresholds, counts, n) for n in new_counts]
    assert_allclose(extended.thresholds[6:], naive)
    assert (extended.min_labels, extended.rule) == (1, "tuned")


def test_new_labels_may_be_cut_at_a_share_of_the_probability():
    decision, counts = Decision(np.array([0.3, -1.0])), np.array([9, 4])
    half = decision.extend(counts, np.array([4]), share=0.5).thresholds
    assert_array_equal(half[:2], decision.thresholds)
    assert expit(half[2]) == pytest.approx(expit(-1.0) / 2)


# ------------------------------------------------------------------------------- it is a value


def test_a_decision_does_not_change_and_changes_nothing():
    arrays = {
        "thresholds": np.array([0.5, math.inf, -1.0]),
        "scores": np.array([[1.0, 3, -2], [0, 0, 0]]),
        "counts": np.array([4, 0, 2]),
        "new": np.array([1, 3]),
        "mask": np.array([True, False, True]),
    }
    before = {name: array.copy() for name, array in arrays.items()}
    for array in arrays.values():
        array.setflags(write=False)
    decision = Decision(arrays["thresholds"], min_labels=2)
    for use in (decision.predict, decision.margins, Decision.best(3).predict):
        use(arrays["scores"])
    decision.topk(arrays["scores"], 2)
    decision.extend(arrays["counts"], arrays["new"])
    Decision.where(arrays["mask"], decision, Decision.at(0.0, arrays["counts"]))
    for name, array in arrays.items():
        assert_array_equal(array, before[name])
    assert decision.thresholds is arrays["thresholds"]
    with pytest.raises(FrozenInstanceError):
        decision.min_labels = 0


def test_a_copy_with_another_setting_and_a_pickle():
    decision = Decision(np.array([0.5, 1.5]), rule="tuned")
    assert replace(decision, min_labels=3).min_labels == 3 and decision.min_labels == 0
    loaded = pickle.loads(pickle.dumps(decision))
    assert_array_equal(loaded.thresholds, decision.thresholds)
    assert loaded.rule == "tuned"


@pytest.mark.parametrize("min_labels", [0, 1, np.int64(3)])
def test_min_labels_may_be_a_count(min_labels):
    check_min_labels(min_labels)


@pytest.mark.parametrize("min_labels", [-1, 0.5, "1", None, True])
def test_min_labels_must_be_a_count(min_labels):
    with pytest.raises(ValueError, match="min_labels must be 0 or a positive integer. Got"):
        check_min_labels(min_labels)


@pytest.mark.parametrize("max_labels", [None, 2, np.int64(3)])
def test_max_labels_may_be_a_count_from_min_labels_up(max_labels):
    check_max_labels(max_labels, min_labels=2)


@pytest.mark.parametrize("max_labels", [0, 1.0, "1", True, -1])
def test_max_labels_must_be_a_count(max_labels):
    with pytest.raises(ValueError, match="max_labels must be None or an integer from 1 up. Got"):
        check_max_labels(max_labels)


def test_max_labels_is_not_below_min_labels():
    message = "max_labels must be None or an integer from 3 up, which is min_labels. Got 2"
    with pytest.raises(ValueError, match=message):
        check_max_labels(2, min_labels=3)


@pytest.mark.parametrize("slack", [-0.1, 1.1, "0", None, True, math.nan])
def test_slack_must_be_a_share(slack):
    with pytest.raises(ValueError, match="slack must be a finite number, from 0 to 1. Got"):
        check_slack(slack)
