"""Rules for cut-offs against exhaustive loops, and their application."""

import math
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc._targets import form_of, in_form
from skmltc.decision import _rules
from skmltc.decision._decision import check_min_labels, decide, fixed_threshold, top_scores
from skmltc.decision._pairs import ScoredPairs
from skmltc.decision._rules import (
    LOGIT_ADJUSTMENTS,
    SLACK,
    THRESHOLD_RULES,
    best_cut_off,
    check_threshold,
    learn_threshold,
    select_for_tail,
)

N_SAMPLES = 60
few = settings(max_examples=40, deadline=None)
slacks = st.sampled_from([0.0, 0.003, 0.05, 0.2])


def make_pairs(triples, n_positives):
    """Pairs of (label, score, hit) triples."""
    labels, scores, is_true = zip(*triples, strict=True) if triples else ((), (), ())
    return ScoredPairs(
        np.array(labels, dtype=np.int32),
        np.array(scores, dtype=np.float64),
        np.array(is_true, dtype=bool),
        np.array(n_positives, dtype=np.int64),
    )


@st.composite
def problems(draw, min_pairs=0):
    """A few labels with scored pairs, many ties; some positives are not among the pairs."""
    n_labels = draw(st.integers(1, 4))
    triple = st.tuples(
        st.integers(0, n_labels - 1), st.integers(-6, 6).map(lambda i: i / 4), st.booleans()
    )
    triples = draw(st.lists(triple, min_size=min_pairs, max_size=14))
    reached = [sum(hit for label, _, hit in triples if label == c) for c in range(n_labels)]
    missed = draw(st.lists(st.integers(0, 2), min_size=n_labels, max_size=n_labels))
    n_positives = [r + m for r, m in zip(reached, missed, strict=True)]
    extra = draw(st.lists(st.sampled_from([0, 3, 20, 50]), min_size=n_labels, max_size=n_labels))
    counts = [r + e for r, e in zip(n_positives, extra, strict=True)]
    return triples, n_positives, counts


def random_problem(seed, n_labels=30, n_pairs=3000):
    """A problem with as many positives as the slack of 0.3 points needs to matter."""
    rng = np.random.RandomState(seed)
    labels = rng.choice(n_labels, n_pairs, p=np.arange(1, n_labels + 1) / 465)
    is_true = rng.random_sample(n_pairs) < 0.3
    scores = rng.normal(2.0 * is_true - 1, 1.0).round(2)
    n_positives = np.bincount(labels[is_true], minlength=n_labels) + rng.randint(0, 3, n_labels)
    return ScoredPairs(labels, scores, is_true, n_positives), n_positives


# -------------------------------------------------------------------------------- in loops


def loop_f1(triples, cut_off, n_relevant):
    predicted = [hit for _, score, hit in triples if score > cut_off]
    return 2 * sum(predicted) / (len(predicted) + n_relevant)


def loop_cut_offs(triples):
    """Half-way between neighbours, the last one just below the lowest score; highest first."""
    scores = sorted({score for _, score, _ in triples}, reverse=True)
    between = [(a + b) / 2 for a, b in zip(scores, scores[1:], strict=False)]
    return [*between, math.nextafter(scores[-1], -math.inf)]


def loop_best_cut_off(triples, n_relevant, slack=0.0, best=None):
    if not any(hit for _, _, hit in triples):
        return 0.0, 0.0
    curve = [(cut, loop_f1(triples, cut, n_relevant)) for cut in loop_cut_offs(triples)]
    best = max(f1 for _, f1 in curve) if best is None else best
    if slack == 0:
        return next(point for point in curve if point[1] == max(f1 for _, f1 in curve))
    return [point for point in curve if point[1] >= best - slack][-1]


def loop_macro_f1(triples, cut_off, n_positives):
    f1 = [
        loop_f1([t for t in triples if t[0] == label], cut_off, n)
        for label, n in enumerate(n_positives)
        if n
    ]
    return sum(f1) / len(f1) if f1 else 0.0


def loop_tail_first(options, n_positives, slack):
    """Return index and cut-off of the option; the options are lists of triples."""
    total = sum(n_positives)
    micro = [loop_best_cut_off(triples, total)[1] for triples in options]
    winner = (-1.0, None, None)
    for index, triples in enumerate(options):
        if micro[index] >= max(micro) - slack:
            cut_off, _ = loop_best_cut_off(triples, total, slack, max(micro))
            macro = loop_macro_f1(triples, cut_off, n_positives)
            if macro > winner[0] + 1e-12:
                winner = (macro, index, cut_off)
    return winner[1:]


def loop_rarity(count):
    count = min(max(count, 1), N_SAMPLES - 1)
    return math.log(N_SAMPLES / count - 1)


def loop_group(count):
    return "head" if count > 50 else "tail" if count <= 10 else "medium"


def loop_threshold(rule, triples, n_positives, counts, slack):
    triples = [t for t in triples if counts[t[0]]]
    total = sum(n for n, count in zip(n_positives, counts, strict=True) if count)
    if not any(hit for _, _, hit in triples):
        return [0.0 if count else math.inf for count in counts]
    common, _ = loop_best_cut_off(triples, total)

    def shrunk(members):
        own = [t for t in triples if t[0] in members]
        n = sum(hit for _, _, hit in own)
        cut_off, _ = loop_best_cut_off(own, sum(n_positives[label] for label in members))
        return (n * cut_off + 10 * common) / (n + 10)

    threshold = []
    if rule == "frequency":
        shifts = sorted(LOGIT_ADJUSTMENTS, key=abs)
        options = [
            [(c, score + shift * loop_rarity(counts[c]), hit) for c, score, hit in triples]
            for shift in shifts
        ]
        chosen, cut_off = loop_tail_first(options, n_positives, slack)
    for label, count in enumerate(counts):
        group = [c for c, n in enumerate(counts) if n and loop_group(n) == loop_group(count)]
        threshold.append(
            math.inf
            if count == 0
            else common
            if rule == "tuned"
            else loop_best_cut_off(triples, total, slack)[0]
            if rule == "tuned_low"
            else cut_off - shifts[chosen] * loop_rarity(count)
            if rule == "frequency"
            else shrunk(group if rule == "per_group" else [label])
        )
    return threshold


# ------------------------------------------------------------------------- curve and cut-off


@few
@given(problem=problems(min_pairs=1))
def test_the_curve_is_what_each_cut_off_gives(problem):
    triples, n_positives, _ = problem
    if sum(n_positives) == 0:
        n_positives[0] = 1
    cut_offs, f1 = make_pairs(triples, n_positives).micro_f1_curve()
    assert_array_equal(cut_offs, loop_cut_offs(triples))
    assert_array_equal(f1, [loop_f1(triples, cut, sum(n_positives)) for cut in cut_offs])


@few
@given(problem=problems(), slack=slacks)
def test_best_cut_off_against_exhaustive_search(problem, slack):
    triples, n_positives, _ = problem
    found = best_cut_off(make_pairs(triples, n_positives), slack)
    assert found == loop_best_cut_off(triples, sum(n_positives), slack)


@few
@given(problem=problems(min_pairs=1), slack=slacks)
def test_no_other_cut_off_is_better_nor_a_lower_one_within_the_slack(problem, slack):
    triples, n_positives, _ = problem
    cut_off, f1 = best_cut_off(make_pairs(triples, n_positives), slack)
    for other in np.arange(-2, 2, 1 / 16) if any(t[2] for t in triples) else []:
        reached = loop_f1(triples, other, sum(n_positives))
        assert reached <= f1 + slack
        if slack and other < cut_off:
            same = all((t[1] > other) == (t[1] > cut_off) for t in triples)
            best = max(loop_f1(triples, c, sum(n_positives)) for c in loop_cut_offs(triples))
            assert same or reached < best - slack


def test_slack_is_measured_from_the_best_given():
    pairs = make_pairs([(0, 3, True), (0, 2, False), (0, 1, False), (0, 0, False)], [1])
    assert_allclose(pairs.micro_f1_curve()[1], [1, 2 / 3, 1 / 2, 2 / 5])
    assert best_cut_off(pairs, 0.4) == (1.5, pytest.approx(2 / 3))
    assert best_cut_off(pairs, 0.4, best=0.85) == (0.5, 0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("score", [1.0, 0.3, -1e-3, 1e30, 5e-324])
def test_a_cut_off_separates_neighbouring_floats(dtype, score):
    high = dtype(score)
    low = np.nextafter(high, dtype(-np.inf))
    pairs = ScoredPairs(np.zeros(2, int), np.array([low, high]), np.array([0, 1]) > 0, np.ones(1))
    cut_off, f1 = best_cut_off(pairs)
    assert f1 == 1 and float(low) <= cut_off < float(high)
    assert pairs.macro_f1(cut_off) == 1


def test_scores_of_minus_infinity_are_never_reached():
    triples = [(0, 1.0, True), (0, -math.inf, True), (0, -math.inf, False)]
    cut_off, f1 = best_cut_off(make_pairs(triples, [2]), 1.0)
    assert 0.9 < cut_off < 1 and f1 == pytest.approx(2 / 3)


def test_all_pairs_may_be_above_the_cut_off_but_none_further_down():
    cut_off, f1 = best_cut_off(make_pairs([(0, 2.0, True), (0, 0.5, True)], [2]))
    assert f1 == 1 and 0.4999 < cut_off < 0.5


# ----------------------------------------------------------------------------------- the rules


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
@few
@given(problem=problems(), slack=slacks)
def test_rule_against_loops(rule, problem, slack):
    triples, n_positives, counts = problem
    with patch.object(_rules, "SLACK", slack):
        learned = learn_threshold(rule, make_pairs(triples, n_positives), counts, N_SAMPLES)
    assert_allclose(learned, loop_threshold(rule, triples, n_positives, counts, slack), atol=1e-12)


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
@pytest.mark.parametrize("seed", range(2))
def test_rule_against_loops_at_its_own_slack(rule, seed):
    pairs, counts = random_problem(seed, n_pairs=600)
    triples = list(zip(pairs.labels, pairs.scores, pairs.is_true.tolist(), strict=True))
    learned = learn_threshold(rule, pairs, counts, N_SAMPLES)
    naive = loop_threshold(rule, triples, pairs.n_positives, counts, SLACK)
    assert_allclose(learned, naive, atol=1e-12)


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
@few
@given(problem=problems(), data=st.data())
def test_a_label_without_documents_never_counts(rule, problem, data):
    triples, n_positives, counts = problem
    absent = data.draw(st.integers(0, len(counts) - 1))
    counts[absent] = 0
    learned = learn_threshold(rule, make_pairs(triples, n_positives), counts, N_SAMPLES)
    assert learned[absent] == math.inf and np.isfinite(learned[np.array(counts) > 0]).all()
    other = [(c, 9 - score if c == absent else score, hit) for c, score, hit in triples]
    other.append((absent, 7.0, True))
    n_positives[absent] += 5
    again = learn_threshold(rule, make_pairs(other, n_positives), counts, N_SAMPLES)
    assert_array_equal(again, learned)


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
@pytest.mark.parametrize("triples", [[], [(0, 0.5, False), (1, 0.25, False), (2, 1.0, True)]])
def test_without_a_hit_the_default_is_the_cut_off(rule, triples):
    pairs, counts = make_pairs(triples, [1, 0, 1]), [4, 60, 0]
    assert_array_equal(learn_threshold(rule, pairs, counts, N_SAMPLES), [0, 0, math.inf])
    learned = learn_threshold(rule, pairs, counts, N_SAMPLES, default=0.5)
    assert_array_equal(learned, [0.5, 0.5, math.inf])


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
def test_no_label_has_a_document(rule):
    learned = learn_threshold(rule, make_pairs([(0, 1, True)], [1, 0]), [0, 0], N_SAMPLES)
    assert_array_equal(learned, [math.inf, math.inf])


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
def test_float32_scores_are_cut_where_float64_scores_are(rule):
    pairs, counts = random_problem(5)
    single = ScoredPairs(pairs.labels, pairs.scores.astype("f4"), pairs.is_true, pairs.n_positives)
    double = ScoredPairs(pairs.labels, single.scores.astype("f8"), pairs.is_true, pairs.n_positives)
    learned = [learn_threshold(rule, p, counts, 300) for p in (single, double)]
    assert_allclose(*learned, atol=1e-5)


def micro_f1(pairs, threshold):
    above = pairs.scores > threshold[pairs.labels]
    return 2 * np.sum(above & pairs.is_true) / (above.sum() + pairs.n_positives.sum())


@pytest.mark.parametrize("seed", range(20))
def test_tuned_is_best_and_tuned_low_no_higher_and_within_the_margin(seed):
    pairs, counts = random_problem(seed)
    tuned, low = (learn_threshold(rule, pairs, counts, 300) for rule in ("tuned", "tuned_low"))
    every = [micro_f1(pairs, np.full(30, cut)) for cut in np.arange(-4.005, 5, 0.01)]
    assert micro_f1(pairs, tuned) == pytest.approx(max(every), abs=1e-12)
    assert (low <= tuned).all()
    assert max(every) - 0.003 <= micro_f1(pairs, low) <= max(every)


def test_tuned_low_is_lower_somewhere():
    problems = [random_problem(seed) for seed in range(20)]
    tuned = [learn_threshold("tuned", pairs, counts, 300)[0] for pairs, counts in problems]
    low = [learn_threshold("tuned_low", pairs, counts, 300)[0] for pairs, counts in problems]
    assert np.mean(np.array(low) < np.array(tuned) - 0.02) > 0.5


@pytest.mark.parametrize("seed", range(20))
def test_frequency_stays_within_the_margin_of_the_best_shift(seed):
    pairs, counts = random_problem(seed)
    learned = learn_threshold("frequency", pairs, counts, 300)
    rare = np.log(300 / np.maximum(counts, 1) - 1)
    best = max(best_cut_off(pairs.shifted(shift * rare))[1] for shift in LOGIT_ADJUSTMENTS)
    assert best - 0.003 <= micro_f1(pairs, learned) <= best


def test_frequency_finds_the_shift_that_was_put_in():
    pairs, counts = random_problem(0)
    rare = np.log(300 / np.maximum(counts, 1) - 1)
    learned = learn_threshold("frequency", pairs.shifted(-0.6 * rare), counts, 300)
    slope = np.polyfit(rare, learned, 1)[0]
    assert slope == pytest.approx(-0.6, abs=0.21)
    assert slope < learn_threshold("frequency", pairs, counts, 300) @ rare / (rare @ rare)


@few
@given(problem=problems(), count=st.integers(1, 59))
def test_frequency_is_tuned_low_where_all_counts_are_equal(problem, count):
    triples, n_positives, counts = problem
    pairs, counts = make_pairs(triples, n_positives), [count] * len(counts)
    frequency = learn_threshold("frequency", pairs, counts, N_SAMPLES)
    assert_array_equal(frequency, learn_threshold("tuned_low", pairs, counts, N_SAMPLES))


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
@few
@given(problem=problems())
def test_a_label_counted_on_all_documents_or_one_is_finite(rule, problem):
    triples, n_positives, counts = problem
    counts = [N_SAMPLES] + [1] * (len(counts) - 1)
    assert np.isfinite(
        learn_threshold(rule, make_pairs(triples, n_positives), counts, N_SAMPLES)
    ).all()


@few
@given(problem=problems(min_pairs=1))
def test_per_label_lies_between_the_own_and_the_common_cut_off(problem):
    triples, n_positives, _ = problem
    pairs, counts = make_pairs(triples, n_positives), [5] * len(n_positives)
    learned = learn_threshold("per_label", pairs, counts, N_SAMPLES)
    common = best_cut_off(pairs)[0]
    for label in range(len(counts)):
        own = best_cut_off(pairs.select(np.arange(len(counts)) == label))[0]
        assert min(own, common) - 1e-12 <= learned[label] <= max(own, common) + 1e-12


def test_ten_positives_draw_half_way_and_none_not_at_all():
    frequent = [(0, 1.0, True)] * 30 + [(0, 0.0, False)] * 30
    rare = [(1, -1.0, True)] * 10 + [(1, -2.0, False)] * 10 + [(2, 3.0, False)]
    pairs = make_pairs(frequent + rare, [30, 10, 1])
    common = learn_threshold("tuned", pairs, [30, 10, 1], 99)[0]
    learned = learn_threshold("per_label", pairs, [30, 10, 1], 99)
    assert learned[1] == pytest.approx((-1.5 + common) / 2)
    assert learned[2] == common


def test_per_group_follows_the_groups():
    counts = [200, 90, 20, 12, 3, 2]
    rng = np.random.RandomState(0)
    triples = [
        (label, 2.0 * hit - shift + rng.normal(0, 0.2), hit)
        for label, shift in enumerate([0, 0, 1, 1, 2, 2])
        for hit in rng.random_sample(200) < 0.5
    ]
    n_positives = [sum(t[2] for t in triples if t[0] == c) for c in range(6)]
    learned = learn_threshold("per_group", make_pairs(triples, n_positives), counts, 300)
    assert learned[0] == learned[1] > learned[2] == learned[3] > learned[4] == learned[5]
    assert_allclose(learned[::2], [1, 0, -1], atol=0.5)


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
def test_a_single_label(rule):
    pairs = make_pairs([(0, 2, True), (0, 1, True), (0, -1, False)], [2])
    assert_allclose(learn_threshold(rule, pairs, [2], 10), [0])


def test_an_unknown_rule_is_refused():
    pairs = make_pairs([(0, 2, True)], [1])
    with pytest.raises(ValueError, match="threshold must be one of .* Did you mean 'tuned_low'?"):
        learn_threshold("tunedlow", pairs, [1], 10)


# ---------------------------------------------------------------------------------- select_for_tail


@few
@given(problem=problems(min_pairs=1), slack=slacks, data=st.data())
def test_tail_first_against_loops(problem, slack, data):
    triples, n_positives, _ = problem
    n_labels = len(n_positives)
    by_label = data.draw(
        st.lists(st.lists(st.integers(-3, 3), min_size=n_labels, max_size=n_labels), max_size=4)
    )
    options = [triples] + [[(c, s + shift[c], hit) for c, s, hit in triples] for shift in by_label]
    pairs = {f"option {i}": make_pairs(option, n_positives) for i, option in enumerate(options)}
    chosen, _ = loop_tail_first(options, n_positives, slack)
    assert select_for_tail(pairs, slack)[0] == f"option {chosen}"


def test_tail_first_prefers_the_tail_only_within_the_margin():
    head = [(0, 10.0 - i / 100, True) for i in range(500)]
    noise = [(0, -1.0, False)] * 20
    options = {
        "head": make_pairs([*head, *noise, (1, -9.0, True)], [500, 1]),
        "tail": make_pairs([*head[3:], *noise, (1, 9.0, True)], [500, 1]),
        "tail too dear": make_pairs([*head[200:], (1, 9.0, True)], [500, 1]),
    }
    micro = {key: best_cut_off(pairs)[1] for key, pairs in options.items()}
    assert micro["head"] > micro["tail"] > micro["head"] - SLACK > micro["tail too dear"]
    assert select_for_tail(options)[0] == "tail"
    assert select_for_tail(options, slack=0)[0] == "head"


def test_tail_first_without_anything_to_choose_by():
    options = {"a": make_pairs([(0, 1, False)], [0]), "b": make_pairs([], [0])}
    assert select_for_tail(options)[0] == "a"


# --------------------------------------------------------------------------------- ScoredPairs


def triples_of(pairs):
    return list(
        zip(pairs.labels.tolist(), pairs.scores.tolist(), pairs.is_true.tolist(), strict=True)
    )


def loop_columns(scores, truth, columns):
    kept = []
    for j, column in enumerate(columns):
        rows = sorted(range(len(scores)), key=lambda i, j=j: -scores[i][j])
        for i in rows[: 50 + 5 * int(sum(truth[:, j]))]:
            kept.append((int(column), float(scores[i][j]), bool(truth[i][j])))
    return sorted(kept)


@pytest.mark.parametrize("n_samples", [1, 40, 52, 200])
def test_from_columns_keeps_the_best_of_each_label(n_samples):
    rng = np.random.RandomState(n_samples)
    truth = (rng.random_sample((n_samples, 4)) < [0.0, 0.01, 0.05, 0.4]).astype(np.float32)
    scores = rng.permutation(n_samples * 4).reshape(n_samples, 4).astype(np.float32)
    columns = np.array([7, 2, 0, 5])
    pairs = ScoredPairs.from_columns(scores, sparse.csr_array(truth), columns, 9)
    assert sorted(triples_of(pairs)) == loop_columns(scores, truth, columns)
    expected = np.zeros(9)
    expected[columns] = truth.sum(axis=0)
    assert_array_equal(pairs.n_positives, expected)
    assert pairs.scores.dtype == np.float32 and pairs.is_true.dtype == bool


def test_from_columns_with_ties_keeps_as_many_and_the_same_scores():
    rng = np.random.RandomState(0)
    truth, scores = rng.random_sample((150, 3)) < 0.05, rng.randint(0, 3, (150, 3)) / 2
    pairs = ScoredPairs.from_columns(scores, sparse.csr_array(truth), np.arange(3), 3)
    naive = loop_columns(scores, truth, range(3))
    assert sorted(t[:2] for t in triples_of(pairs)) == sorted(t[:2] for t in naive)


def test_from_columns_finds_the_cut_off_of_all_pairs():
    rng = np.random.RandomState(1)
    truth = rng.random_sample((400, 6)) < [0.01, 0.02, 0.03, 0.05, 0.1, 0.2]
    scores = rng.normal(3.0 * truth)
    kept = ScoredPairs.from_columns(scores, sparse.csr_array(truth), np.arange(6), 6)
    rows, columns = np.indices(truth.shape).reshape(2, -1)
    every = ScoredPairs(columns, scores[rows, columns], truth[rows, columns], truth.sum(axis=0))
    assert len(kept.labels) < len(every.labels)
    for rule in ("tuned", "tuned_low", "frequency"):
        cut_offs = [learn_threshold(rule, p, truth.sum(axis=0), 400) for p in (kept, every)]
        assert_array_equal(*cut_offs)


def test_from_rows_takes_what_is_stored():
    truth = sparse.csr_array(np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], dtype=np.float32))
    entries = np.array([0.5, 0.0, -1.0, 2.0, 0.25], dtype=np.float32)
    scores = sparse.csr_array((entries, [0, 1, 2, 2, 0], [0, 2, 3, 5]), shape=(3, 3))
    pairs = ScoredPairs.from_rows(scores, truth, np.array([1, 1, 0]))
    assert triples_of(pairs) == [
        (0, 0.5, True),
        (1, 0.0, False),
        (2, -1.0, False),
        (2, 2.0, False),
        (0, 0.25, False),
    ]
    assert_array_equal(pairs.n_positives, [1, 1, 0])


def test_from_rows_against_loops():
    rng = np.random.RandomState(0)
    dense, truth = rng.normal(size=(30, 12)), rng.random_sample((30, 12)) < 0.2
    kept = rng.random_sample((30, 12)) < 0.6
    pairs = ScoredPairs.from_rows(
        sparse.csr_array(dense * kept), sparse.csr_array(truth), truth.sum(axis=0)
    )
    naive = [(j, dense[i, j], truth[i, j]) for i in range(30) for j in range(12) if kept[i, j]]
    assert triples_of(pairs) == naive


def test_concatenate_adds_up_folds_and_blocks():
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
    assert triples_of(pairs)[0] == (0, 1.0, True) and pairs.n_positives[0] == 3


# -------------------------------------------------------------------------------- application


def loop_decide(scores, threshold, min_labels):
    decisions = np.zeros(np.shape(scores), dtype=int)
    for i, row in enumerate(scores):
        margin = {j: s - t for j, (s, t) in enumerate(zip(row, threshold, strict=True)) if t < 1e9}
        for rank, j in enumerate(sorted(margin, key=lambda j, m=margin: (-m[j], j))):
            decisions[i, j] = margin[j] > 0 or rank < min_labels
    return decisions


@few
@given(data=st.data(), min_labels=st.integers(0, 4))
def test_decide_against_loops(data, min_labels):
    n_labels = data.draw(st.integers(1, 5))
    number = st.integers(-4, 4).map(float)
    row = st.lists(number, min_size=n_labels, max_size=n_labels)
    scores = np.array(data.draw(st.lists(row, min_size=1, max_size=4)))
    cut = st.one_of(number, st.just(math.inf))
    threshold = np.array(data.draw(st.lists(cut, min_size=n_labels, max_size=n_labels)))
    decisions = decide(scores, threshold, min_labels)
    assert isinstance(decisions, sparse.csr_array) and decisions.dtype == np.int64
    assert_array_equal(decisions.toarray(), loop_decide(scores, threshold, min_labels))
    assert decisions.toarray()[:, np.isinf(threshold)].sum() == 0


def test_min_labels_adds_nothing_to_a_document_that_has_as_many():
    scores, threshold = np.array([[0.0, 5.0, 9.0]]), np.array([-1.0, 6.0, math.inf])
    assert_array_equal(decide(scores, threshold, 1).toarray(), [[1, 0, 0]])
    assert_array_equal(decide(scores, threshold, 2).toarray(), [[1, 1, 0]])
    assert_array_equal(decide(scores, threshold, 3).toarray(), [[1, 1, 0]])


def test_a_score_at_the_threshold_is_not_above_it():
    assert decide(np.array([[1.0, 1.5]]), np.array([1.0, 1.0])).toarray().tolist() == [[0, 1]]


def test_top_scores_against_loops():
    rng = np.random.RandomState(0)
    scores, threshold = rng.randint(-2, 3, (20, 6)).astype(float), np.zeros(6)
    threshold[[1, 4]] = math.inf
    for k in (1, 3, 6, 50):
        best = top_scores(scores, threshold, k)
        assert isinstance(best, sparse.csr_array) and best.shape == scores.shape
        for i, row in enumerate(scores):
            known = [j for j in range(6) if j not in (1, 4)]
            wanted = sorted(known, key=lambda j, row=row: (-row[j], j))[:k]
            stored = best.indices[best.indptr[i] : best.indptr[i + 1]]
            assert stored.tolist() == sorted(wanted)
            assert_array_equal(best.data[best.indptr[i] : best.indptr[i + 1]], row[stored])


def test_a_fixed_threshold_is_the_logit():
    assert_allclose(fixed_threshold(0.8, [3, 0, 1]), [math.log(4), math.inf, math.log(4)])
    assert_array_equal(fixed_threshold(0.5, [3, 0]), [0, math.inf])


@pytest.mark.parametrize("threshold", [0.5, np.float32(0.2), *THRESHOLD_RULES])
def test_thresholds_that_pass(threshold):
    check_threshold(threshold)


@pytest.mark.parametrize("threshold", [0, 1, 1.5, -0.1, math.nan, None, [0.5], True])
def test_thresholds_that_are_no_probability(threshold):
    with pytest.raises(ValueError, match=r"threshold must be a probability .* Got .* instead"):
        check_threshold(threshold)


def test_a_misspelt_rule():
    with pytest.raises(ValueError, match="Did you mean 'per_label'?"):
        check_threshold("perlabel")


@pytest.mark.parametrize("min_labels", [-1, 0.5, "1", None, True])
def test_min_labels_must_be_a_count(min_labels):
    with pytest.raises(ValueError, match="min_labels must be 0 or a positive integer. Got"):
        check_min_labels(min_labels)


@pytest.mark.parametrize(
    ("given_as", "form", "comes_as"),
    [
        (np.asarray, "dense", np.ndarray),
        (np.ndarray.tolist, "dense", np.ndarray),
        (sparse.csr_array, "array", sparse.csr_array),
        (sparse.coo_array, "array", sparse.csr_array),
        (sparse.csc_matrix, "matrix", sparse.csr_matrix),
    ],
)
def test_a_prediction_has_the_form_of_y(given_as, form, comes_as):
    y = np.array([[1, 0], [0, 1], [1, 1]])
    assert form_of(given_as(y)) == form
    prediction = in_form(sparse.csr_array(y), form)
    assert type(prediction) is comes_as
    assert_array_equal(prediction if form == "dense" else prediction.toarray(), y)
