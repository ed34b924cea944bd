"""Rules for cut-offs against exhaustive loops."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from skmltc.decision._pairs import ScoredPairs
from skmltc.decision._rules import (
    RULES,
    _Curves,
    adjusted,
    best_cut_off,
    check_threshold,
    learn_cut_offs,
    select_for_tail,
)
from skmltc.labels import log_odds_against

SLACK = 0.003  # the micro-F1 that "tuned_low" and "frequency" may give up
NOISE = 0.003  # the macro-F1 that does not tell one tau from another
PRIOR_POSITIVES = 10
TAUS = [-0.2, -0.18, -0.16, -0.14, -0.12, -0.1, -0.08, -0.06, -0.04, -0.02, 0.0]
TAUS += [0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0]
N_SAMPLES = 60
few = settings(max_examples=40, deadline=None)
slacks = st.sampled_from([0.0, 0.003, 0.05, 0.2])


def pairs_of(labels, scores, is_true, n_positives):
    """Pairs of weight 1 with log-odds, of labels that half of the documents have."""
    n = len(labels)
    return ScoredPairs(labels, scores, np.zeros(n), is_true, np.ones(n), n_positives, True)


def make_pairs(triples, n_positives):
    """Pairs of (label, score, is_true) triples."""
    labels, scores, is_true = zip(*triples, strict=True) if triples else ((), (), ())
    return pairs_of(
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
    return pairs_of(labels, scores, is_true, n_positives), n_positives


# -------------------------------------------------------------------------------- in loops


def loop_f1(triples, cut_off, n_positives):
    predicted = [hit for _, score, hit in triples if score > cut_off]
    return 2 * sum(predicted) / (len(predicted) + n_positives)


def loop_cut_offs(triples):
    """Half-way between neighbours, the last one just below the lowest score; highest first."""
    scores = sorted({score for _, score, _ in triples}, reverse=True)
    between = [(a + b) / 2 for a, b in zip(scores, scores[1:], strict=False)]
    return [*between, math.nextafter(scores[-1], -math.inf)]


def loop_best_cut_off(triples, n_positives, slack=0.0, best=None):
    if not any(hit for _, _, hit in triples):
        return 0.0, 0.0
    curve = [(cut, loop_f1(triples, cut, n_positives)) for cut in loop_cut_offs(triples)]
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


def loop_select_for_tail(candidates, n_positives, slack, noise=0.0):
    """Return index and cut-off of the candidate; the candidates are lists of triples."""
    total = sum(n_positives)
    micro = [loop_best_cut_off(triples, total)[1] for triples in candidates]
    found = []
    for index, triples in enumerate(candidates):
        if micro[index] >= max(micro) - slack:
            cut_off, _ = loop_best_cut_off(triples, total, slack, max(micro))
            found.append((loop_macro_f1(triples, cut_off, n_positives), index, cut_off))
    best = max(macro for macro, _, _ in found)
    return next((i, cut_off) for macro, i, cut_off in found if macro >= best - noise - 1e-12)


def loop_log_odds_against(count):
    count = min(max(count, 1), N_SAMPLES - 1)
    return math.log(N_SAMPLES / count - 1)


def loop_group(count):
    return "head" if count > 50 else "tail" if count <= 10 else "medium"


def loop_expected_f1(triples):
    """The best F1 in expectation, and predictions plus true labels there."""
    probabilities = sorted((1 / (1 + math.exp(-score)) for _, score, _ in triples), reverse=True)
    curve = [
        (2 * sum(probabilities[:k]) / (k + sum(probabilities)), k + sum(probabilities))
        for k in range(1, len(probabilities) + 1)
    ]
    return max(curve, key=lambda point: point[0])


def loop_micro_macro(label, triples):
    micro, total = loop_expected_f1(triples)
    own = [t for t in triples if t[0] == label]
    f1, size = loop_expected_f1(own) if own else (micro, 0)
    weight = total / len({t[0] for t in triples}) / max(size, 0.3)
    p = (micro + weight * f1) / (2 * (1 + weight))
    return math.log(p / (1 - p))


def loop_rule(rule, triples, n_positives, counts):
    """One cut-off per label, by the rule."""
    triples = [t for t in triples if counts[t[0]]]
    total = sum(n for n, count in zip(n_positives, counts, strict=True) if count)
    if not any(hit for _, _, hit in triples):
        return [0.0 if count else math.inf for count in counts]
    common, _ = loop_best_cut_off(triples, total)
    low, _ = loop_best_cut_off(triples, total, SLACK)

    def shrunken(members):
        own = [t for t in triples if t[0] in members]
        n = sum(hit for _, _, hit in own)
        cut_off, _ = loop_best_cut_off(own, sum(n_positives[label] for label in members))
        return (n * cut_off + PRIOR_POSITIVES * common) / (n + PRIOR_POSITIVES)

    def group_of(count):
        return [c for c, n in enumerate(counts) if n and loop_group(n) == loop_group(count)]

    if rule == "frequency":
        taus = sorted(TAUS, reverse=True)
        candidates = [
            [(c, score + tau * loop_log_odds_against(counts[c]), hit) for c, score, hit in triples]
            for tau in taus
        ]
        chosen, cut_off = loop_select_for_tail(candidates, n_positives, SLACK, NOISE)
        tau = taus[chosen]
    cut_off_of = {
        "tuned": lambda label, count: common,
        "tuned_low": lambda label, count: low,
        "frequency": lambda label, count: cut_off - tau * loop_log_odds_against(count),
        "per_group": lambda label, count: shrunken(group_of(count)),
        "per_label": lambda label, count: shrunken([label]),
        "micro_macro": lambda label, count: loop_micro_macro(label, triples),
    }[rule]
    return [cut_off_of(label, n) if n else math.inf for label, n in enumerate(counts)]


# -------------------------------------------------------------------------------- best_cut_off


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
    pairs = pairs_of(np.zeros(2, int), np.array([low, high]), np.array([0, 1]) > 0, np.ones(1))
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


@pytest.mark.parametrize("rule", RULES)
@few
@given(problem=problems())
def test_rule_against_loops(rule, problem):
    triples, n_positives, counts = problem
    learned = learn_cut_offs(rule, make_pairs(triples, n_positives), counts, N_SAMPLES)
    assert_allclose(learned, loop_rule(rule, triples, n_positives, counts), atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(2))
def test_rule_against_loops_where_its_slack_matters(rule, seed):
    pairs, counts = random_problem(seed, n_pairs=600)
    triples = list(zip(pairs.labels, pairs.scores, pairs.is_true.tolist(), strict=True))
    learned = learn_cut_offs(rule, pairs, counts, N_SAMPLES)
    assert_allclose(learned, loop_rule(rule, triples, pairs.n_positives, counts), atol=1e-12)


@pytest.mark.parametrize("rule", ["tuned_low", "frequency"])
def test_the_slack_is_three_thousandths_of_micro_f1(rule):
    found = [(0, 9.0, True)] * 1000
    wrong = [(0, -float(k), False) for k in range(20)]  # with k of them F1 is 2000 / (2000 + k)
    learned = learn_cut_offs(rule, make_pairs(found + wrong, [1000]), [1000], 2000)
    assert_array_equal(learned, [-5.5])  # six of them cost 0.00299, seven 0.00349


@pytest.mark.parametrize("rule", RULES)
@few
@given(problem=problems(), data=st.data())
def test_a_label_without_documents_never_counts(rule, problem, data):
    triples, n_positives, counts = problem
    absent = data.draw(st.integers(0, len(counts) - 1))
    counts[absent] = 0
    learned = learn_cut_offs(rule, make_pairs(triples, n_positives), counts, N_SAMPLES)
    assert learned[absent] == math.inf and np.isfinite(learned[np.array(counts) > 0]).all()
    other = [(c, 9 - score if c == absent else score, hit) for c, score, hit in triples]
    other.append((absent, 7.0, True))
    n_positives[absent] += 5
    again = learn_cut_offs(rule, make_pairs(other, n_positives), counts, N_SAMPLES)
    assert_array_equal(again, learned)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("triples", [[], [(0, 0.5, False), (1, 0.25, False), (2, 1.0, True)]])
def test_without_a_hit_the_default_is_the_cut_off(rule, triples):
    pairs, counts = make_pairs(triples, [1, 0, 1]), [4, 60, 0]
    assert_array_equal(learn_cut_offs(rule, pairs, counts, N_SAMPLES), [0, 0, math.inf])
    learned = learn_cut_offs(rule, pairs, counts, N_SAMPLES, default=0.5)
    assert_array_equal(learned, [0.5, 0.5, math.inf])


@pytest.mark.parametrize("rule", RULES)
def test_no_label_has_a_document(rule):
    learned = learn_cut_offs(rule, make_pairs([(0, 1, True)], [1, 0]), [0, 0], N_SAMPLES)
    assert_array_equal(learned, [math.inf, math.inf])


@pytest.mark.parametrize("rule", RULES)
def test_float32_scores_are_cut_where_float64_scores_are(rule):
    pairs, counts = random_problem(5)
    single = pairs_of(pairs.labels, pairs.scores.astype("f4"), pairs.is_true, pairs.n_positives)
    double = pairs_of(pairs.labels, single.scores.astype("f8"), pairs.is_true, pairs.n_positives)
    learned = [learn_cut_offs(rule, p, counts, 300) for p in (single, double)]
    assert_allclose(*learned, atol=1e-5)


def micro_f1(pairs, threshold):
    above = pairs.scores > threshold[pairs.labels]
    return 2 * np.sum(above & pairs.is_true) / (above.sum() + pairs.n_positives.sum())


@pytest.mark.parametrize("seed", range(20))
def test_tuned_is_best_and_tuned_low_no_higher_and_within_the_margin(seed):
    pairs, counts = random_problem(seed)
    tuned, low = (learn_cut_offs(rule, pairs, counts, 300) for rule in ("tuned", "tuned_low"))
    every = [micro_f1(pairs, np.full(30, cut)) for cut in np.arange(-4.005, 5, 0.01)]
    assert micro_f1(pairs, tuned) == pytest.approx(max(every), abs=1e-12)
    assert (low <= tuned).all()
    assert max(every) - 0.003 <= micro_f1(pairs, low) <= max(every)


def test_tuned_low_is_lower_somewhere():
    problems = [random_problem(seed) for seed in range(20)]
    tuned = [learn_cut_offs("tuned", pairs, counts, 300)[0] for pairs, counts in problems]
    low = [learn_cut_offs("tuned_low", pairs, counts, 300)[0] for pairs, counts in problems]
    assert np.mean(np.array(low) < np.array(tuned) - 0.02) > 0.5


@pytest.mark.parametrize("seed", range(20))
def test_frequency_stays_within_the_margin_of_the_best_tau(seed):
    pairs, counts = random_problem(seed)
    learned = learn_cut_offs("frequency", pairs, counts, 300)
    against = np.log(300 / np.maximum(counts, 1) - 1)
    best = max(best_cut_off(pairs.shifted(tau * against))[1] for tau in TAUS)
    assert best - 0.003 <= micro_f1(pairs, learned) <= best


def test_frequency_takes_a_larger_tau_where_noise_does_not_tell_it_from_the_best():
    larger = []
    for seed in range(20):
        pairs, n_positives = random_problem(seed)
        counts = np.maximum(n_positives, 1)
        against = log_odds_against(counts, 300)
        candidates = adjusted(pairs, against)
        best, taken = select_for_tail(candidates), select_for_tail(candidates, noise=NOISE)
        macro_f1 = [candidates[tau].macro_f1(cut_off) for tau, cut_off in (best, taken)]
        assert macro_f1[0] - NOISE <= macro_f1[1] <= macro_f1[0]
        learned = learn_cut_offs("frequency", pairs, counts, 300)
        assert_allclose(learned, taken.cut_off - taken.key * against)
        assert taken.key >= best.key
        larger.append(taken.key > best.key)
    assert 0 < sum(larger) < 20


def test_frequency_finds_the_tau_that_was_put_in():
    pairs, counts = random_problem(0)
    against = np.log(300 / np.maximum(counts, 1) - 1)
    learned = learn_cut_offs("frequency", pairs.shifted(-0.6 * against), counts, 300)
    slope = np.polyfit(against, learned, 1)[0]
    assert slope == pytest.approx(-0.6, abs=0.21)
    assert slope < learn_cut_offs("frequency", pairs, counts, 300) @ against / (against @ against)


@few
@given(problem=problems(), count=st.integers(1, 59))
def test_frequency_is_tuned_low_where_all_counts_are_equal(problem, count):
    triples, n_positives, counts = problem
    pairs, counts = make_pairs(triples, n_positives), [count] * len(counts)
    frequency = learn_cut_offs("frequency", pairs, counts, N_SAMPLES)
    tuned_low = learn_cut_offs("tuned_low", pairs, counts, N_SAMPLES)
    assert_allclose(frequency, tuned_low, atol=1e-12)  # tau is added and taken off


@pytest.mark.parametrize("rule", RULES)
@few
@given(problem=problems())
def test_a_label_counted_on_all_documents_or_one_is_finite(rule, problem):
    triples, n_positives, counts = problem
    counts = [N_SAMPLES] + [1] * (len(counts) - 1)
    assert np.isfinite(
        learn_cut_offs(rule, make_pairs(triples, n_positives), counts, N_SAMPLES)
    ).all()


@few
@given(problem=problems(min_pairs=1))
def test_per_label_lies_between_the_own_and_the_common_cut_off(problem):
    triples, n_positives, _ = problem
    pairs, counts = make_pairs(triples, n_positives), [5] * len(n_positives)
    learned = learn_cut_offs("per_label", pairs, counts, N_SAMPLES)
    common = best_cut_off(pairs)[0]
    for label in range(len(counts)):
        own = best_cut_off(pairs.select(np.arange(len(counts)) == label))[0]
        assert min(own, common) - 1e-12 <= learned[label] <= max(own, common) + 1e-12


def test_ten_positives_draw_half_way_and_none_not_at_all():
    frequent = [(0, 1.0, True)] * 30 + [(0, 0.0, False)] * 30
    rare = [(1, -1.0, True)] * 10 + [(1, -2.0, False)] * 10 + [(2, 3.0, False)]
    pairs = make_pairs(frequent + rare, [30, 10, 1])
    common = learn_cut_offs("tuned", pairs, [30, 10, 1], 99)[0]
    learned = learn_cut_offs("per_label", pairs, [30, 10, 1], 99)
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
    learned = learn_cut_offs("per_group", make_pairs(triples, n_positives), counts, 300)
    assert learned[0] == learned[1] > learned[2] == learned[3] > learned[4] == learned[5]
    assert_allclose(learned[::2], [1, 0, -1], atol=0.5)


def calibrated_problem(seed, n_labels=40):
    """Labels of falling frequency whose log-odds are right: pairs, counts and documents in all."""
    rng = np.random.RandomState(seed)
    labels = np.repeat(np.arange(n_labels), 400)
    scores = rng.normal(-2 - labels / 10, 2.0).astype(np.float32)
    is_true = rng.random_sample(len(labels)) < expit(scores)
    counts = np.bincount(labels[is_true], minlength=n_labels)
    return replace(pairs_of(labels, scores, is_true, counts), log_odds_against=labels / 10), counts


def expected_f1(pairs, cut_offs):
    """Micro plus macro F1 that the log-odds of the pairs promise."""
    p, above = expit(pairs.scores), pairs.scores > cut_offs[pairs.labels]
    found, predicted, true = (
        np.bincount(pairs.labels, w, minlength=len(cut_offs)) for w in (p * above, above, p)
    )
    return 2 * found.sum() / (predicted + true).sum() + (2 * found / (predicted + true)).mean()


@pytest.mark.parametrize("seed", range(3))
def test_no_other_rule_and_no_move_of_a_cut_off_promises_more_of_both_f1(seed):
    pairs, counts = calibrated_problem(seed)
    learned = learn_cut_offs("micro_macro", pairs, counts, 400)
    best = expected_f1(pairs, learned)
    for rule in set(RULES) - {"micro_macro"}:
        assert expected_f1(pairs, learn_cut_offs(rule, pairs, counts, 400)) < best
    for label in (0, 10, 20, 39):
        for step in (-0.7, 0.7):
            moved = learned + step * (np.arange(40) == label)
            assert expected_f1(pairs, moved) < best


def raw_problem(seed):
    """The same with scores that are no log-odds: low ones are bent towards 0."""
    pairs, counts = calibrated_problem(seed)
    scores = np.where(pairs.scores > -3, pairs.scores, pairs.scores / 3 - 2)
    against = log_odds_against(counts, 400)[pairs.labels]
    return replace(pairs, scores=scores, log_odds_against=against, are_log_odds=False), counts


def test_micro_macro_finds_the_probabilities_of_scores_that_are_no_log_odds():
    pairs, counts = calibrated_problem(0)
    raw, _ = raw_problem(0)
    expected = learn_cut_offs("micro_macro", pairs, counts, 400)
    learned = learn_cut_offs("micro_macro", raw, counts, 400)
    assert (expected > -3).all()  # where scores are not bent
    assert np.abs(learned - expected).mean() < 0.25
    stretched = learn_cut_offs("micro_macro", replace(raw, scores=raw.scores / 3 + 1), counts, 400)
    assert np.abs(3 * (stretched - 1) - learned).mean() < 0.05


def loop_isotonic(scores, is_true, weights):
    """Pool neighbours until means rise: the mean of every pair, in the order of the scores."""
    blocks = [[w * hit, w, 1] for _, hit, w in sorted(zip(scores, is_true, weights, strict=True))]
    k = 0
    while k + 1 < len(blocks):
        if blocks[k][0] / blocks[k][1] >= blocks[k + 1][0] / blocks[k + 1][1]:
            blocks[k : k + 2] = [[a + b for a, b in zip(*blocks[k : k + 2], strict=True)]]
            k = max(k - 1, 0)
        else:
            k += 1
    return np.repeat([hits / w for hits, w, _ in blocks], [n for *_, n in blocks])


def test_curves_are_isotonic_and_drawn_to_the_common_one_where_positives_are_few():
    rng = np.random.RandomState(0)
    counts = np.array([90, 70, 30, 20, 4, 3])
    labels, scores, weights = rng.randint(0, 6, 300), rng.normal(size=300), rng.rand(300) + 0.5
    is_true = rng.rand(300) < expit(2 * scores - 1 - labels / 3)
    pairs = replace(pairs_of(labels, scores, is_true, counts), weights=weights)
    curves = _Curves.fit(pairs, counts)
    found = expit(curves.calibrated(pairs).scores)
    order = np.argsort(scores)
    common = np.empty(300)
    common[order] = loop_isotonic(scores, is_true, weights)
    for group in ([0, 1], [2, 3], [4, 5]):
        own = np.isin(labels, group)
        rows, n = np.flatnonzero(own)[np.argsort(scores[own])], (weights * is_true)[own].sum()
        alone = loop_isotonic(scores[own], is_true[own], weights[own])
        expected = (n * alone + 10 * common[rows]) / (n + 10)
        assert_allclose(found[rows], expected, atol=2e-6)
    between = np.linspace(0.1, 0.4, 6)
    at = curves.inverse(between)
    again = replace(pairs, labels=np.arange(6), scores=at, weights=np.ones(6), is_true=at > 0)
    assert_allclose(expit(curves.calibrated(again).scores), between, atol=1e-6)


def test_more_documents_stand_behind_a_pair_of_more_weight():
    pairs = make_pairs([(0, 1.0, True), (0, -1.0, False), (1, -0.5, True)], [1, 1])
    heavy = replace(pairs, weights=np.array([1.0, 3.0, 1.0]))
    repeated = make_pairs([(0, 1.0, True), *[(0, -1.0, False)] * 3, (1, -0.5, True)], [1, 1])
    learned = [learn_cut_offs("micro_macro", one, [1, 1], 9) for one in (pairs, heavy, repeated)]
    assert_allclose(learned[1], learned[2])
    assert (learned[0] != learned[1]).all()


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"micro_macro"}))  # which counts no hits
def test_a_single_label(rule):
    pairs = make_pairs([(0, 2, True), (0, 1, True), (0, -1, False)], [2])
    assert_allclose(learn_cut_offs(rule, pairs, [2], 10), [0], atol=1e-12)


def test_an_unknown_rule_is_refused():
    pairs = make_pairs([(0, 2, True)], [1])
    with pytest.raises(ValueError, match="threshold must be one of .* Did you mean 'tuned_low'?"):
        learn_cut_offs("tunedlow", pairs, [1], 10)


# ---------------------------------------------------------------------------------- select_for_tail


@few
@given(problem=problems(min_pairs=1), margin=slacks, noise=slacks, data=st.data())
def test_select_for_tail_against_loops(problem, margin, noise, data):
    triples, n_positives, _ = problem
    n_labels = len(n_positives)
    by_label = data.draw(
        st.lists(st.lists(st.integers(-3, 3), min_size=n_labels, max_size=n_labels), max_size=4)
    )
    candidates = [triples]
    candidates += [[(c, score + by[c], hit) for c, score, hit in triples] for by in by_label]
    pairs = {f"candidate {i}": make_pairs(one, n_positives) for i, one in enumerate(candidates)}
    selected = select_for_tail(pairs, margin, noise)
    chosen, cut_off = loop_select_for_tail(candidates, n_positives, margin, noise)
    assert (selected.key, selected.cut_off) == (f"candidate {chosen}", cut_off)


def test_select_for_tail_prefers_the_tail_only_within_the_margin():
    head = [(0, 10.0 - i / 100, True) for i in range(500)]
    noise = [(0, -1.0, False)] * 20
    candidates = {
        "head": make_pairs([*head, *noise, (1, -9.0, True)], [500, 1]),
        "tail": make_pairs([*head[3:], *noise, (1, 9.0, True)], [500, 1]),
        "tail too dear": make_pairs([*head[200:], (1, 9.0, True)], [500, 1]),
    }
    micro = {key: best_cut_off(pairs)[1] for key, pairs in candidates.items()}
    assert micro["head"] > micro["tail"] > micro["head"] - SLACK > micro["tail too dear"]
    assert select_for_tail(candidates).key == "tail"
    assert select_for_tail(candidates, margin=0).key == "head"


def test_of_equal_candidates_the_first_is_selected():
    pairs = make_pairs([(0, 1, True), (1, 0, False)], [1, 0])
    assert select_for_tail({"b": pairs, "a": pairs}).key == "b"


def test_candidates_within_the_noise_of_the_best_are_equals():
    rest = [(label, 9.0, True) for label in range(1, 400)]
    candidates = {
        "far off": make_pairs([(1, 9.0, True)], [1] * 400),
        "all but one": make_pairs(rest, [1] * 400),
        "all": make_pairs([(0, 9.0, True), *rest], [1] * 400),
    }
    assert select_for_tail(candidates, margin=0.01).key == "all"
    assert select_for_tail(candidates, margin=0.01, noise=0.003).key == "all but one"
    assert select_for_tail(candidates, margin=1, noise=0.003).key == "all but one"


def test_select_for_tail_without_anything_to_choose_by():
    candidates = {"a": make_pairs([(0, 1, False)], [0]), "b": make_pairs([], [0])}
    assert select_for_tail(candidates).key == "a"


def test_the_candidates_of_frequency_are_raised_by_tau_times_the_log_odds():
    pairs = make_pairs([(0, 1, True), (1, 0.5, False)], [1, 0])
    candidates = adjusted(pairs, np.array([-2.0, 3.0]))
    assert list(candidates) == sorted(TAUS, reverse=True)
    for tau, raised in candidates.items():
        assert_allclose(raised.scores, [1 - 2 * tau, 0.5 + 3 * tau])


# --------------------------------------------------------------------- what a threshold may be


@pytest.mark.parametrize("threshold", [0.5, np.float32(0.2), *RULES])
def test_thresholds_that_pass(threshold):
    check_threshold(threshold)


@pytest.mark.parametrize("threshold", [0, 1, 1.5, -0.1, math.nan, None, [0.5], True])
def test_thresholds_that_are_no_probability(threshold):
    with pytest.raises(ValueError, match=r"threshold must be a probability .* Got .* instead"):
        check_threshold(threshold)


def test_a_misspelt_rule():
    with pytest.raises(ValueError, match="Did you mean 'per_label'?"):
        check_threshold("perlabel")


@few
@given(problems(min_pairs=1), st.integers(0, 2**31 - 1), st.sampled_from(sorted(RULES)))
def test_a_pair_of_weight_two_is_the_pair_twice(problem, seed, rule):
    pairs = make_pairs(problem[0], np.add(*problem[1:]))
    n_labels = len(pairs.n_positives)
    weights = np.random.RandomState(seed).randint(1, 4, len(pairs.scores))
    n_missed = pairs.n_positives - np.bincount(pairs.labels[pairs.is_true], minlength=n_labels)
    n_found = np.bincount(pairs.labels, weights * pairs.is_true, minlength=n_labels)
    weighted = replace(pairs, weights=weights * 1.0, n_positives=n_missed + n_found)
    rows = np.repeat(np.arange(len(weights)), weights)
    columns = {f: getattr(pairs, f)[rows] for f in ("labels", "scores", "log_odds_against")}
    ones, truth = np.ones(len(rows)), pairs.is_true[rows]
    twice = ScoredPairs(
        **columns, is_true=truth, weights=ones, n_positives=n_missed + n_found, are_log_odds=True
    )
    counts = np.full(n_labels, 9)
    one, other = (learn_cut_offs(rule, p, counts, N_SAMPLES) for p in (weighted, twice))
    assert_allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rule", ["tuned_low", "frequency"])
def test_slack_is_what_micro_f1_may_give_up(rule):
    pairs, counts = random_problem(0)

    def f1(slack):
        cut_offs = learn_cut_offs(rule, pairs, counts, 6000, slack=slack)
        above = pairs.shifted(-cut_offs).scores > 0
        n_found = np.count_nonzero(above & pairs.is_true)
        return 2 * n_found / (above.sum() + pairs.n_positives.sum())

    best, micro, lower = f1(0.0), f1(0.003), f1(0.03)
    assert best - 0.0031 < micro <= best + 1e-9 and best - 0.031 < lower < micro
