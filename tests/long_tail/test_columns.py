"""Columns of a pair: evidence of members, and context of the document, against naive twins."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit

from skmltc.long_tail._columns import (
    Known,
    Pairs,
    Scores,
    Votes,
    context,
    evidence,
    keys_of,
    tenths_of_excess,
)

N_SAMPLES, N_LABELS = 7, 6


def random_labels(n_samples=40, share=0.3):
    return (np.random.RandomState(0).rand(n_samples, N_LABELS) < share) * 1.0


@pytest.fixture
def known():
    Y = random_labels()
    Y[:, 4] = 0  # a label without documents
    Y[:2, 5], Y[2:, 5] = 1, 0
    return Known.of(sparse.csr_array(Y))


def random_votes(seed, share):
    rng = np.random.RandomState(seed)
    dense = rng.rand(N_SAMPLES, N_LABELS).astype(np.float32)
    dense[rng.rand(N_SAMPLES, N_LABELS) > share] = 0
    dense[:, 4] = 0
    return sparse.csr_array(dense)


@pytest.fixture
def answers():
    z, w = np.random.RandomState(1).randn(2, N_SAMPLES, N_LABELS).astype(np.float32)
    shares = {20: random_votes(2, 0.3), 50: random_votes(3, 0.6)}
    return [
        Scores("a", z, is_margin=True),
        Votes("b", shares, random_votes(4, 0.7)),
        Scores("c", w),
    ]


def test_labels_and_pairs_of_labels_are_counted():
    Y = random_labels()
    known = Known.of(sparse.csr_array(Y))
    together = np.zeros((N_LABELS, N_LABELS))
    for row in Y:
        for m in range(N_LABELS):
            for k in range(N_LABELS):
                together[m, k] += m != k and row[m] and row[k]
    assert_array_equal(known.together.toarray(), together)
    assert_array_equal(known.counts, Y.sum(axis=0))
    assert_array_equal(known.shares, Y.mean(axis=0))


def test_further_documents_are_counted_as_if_there_from_the_start():
    Y = sparse.csr_array(random_labels())
    added, whole = Known.of(Y[:25]).with_documents(Y[25:]), Known.of(Y)
    assert_array_equal(added.counts, whole.counts)
    assert added.n_samples == whole.n_samples
    assert_array_equal(added.together.toarray(), whole.together.toarray())


def test_new_labels_come_together_with_others_as_often_as_is_likely():
    rng = np.random.RandomState(3)
    known, new = Known.of(sparse.csr_array(random_labels())), (rng.rand(5, 2) < 0.6) * 1.0
    others = rng.rand(5, N_LABELS) * (rng.rand(5, N_LABELS) < 0.5)
    found = known.with_labels(sparse.csr_array(new), sparse.csr_array(others), 45)
    together = found.together.toarray()
    assert_array_equal(together[:N_LABELS, :N_LABELS], known.together.toarray())
    for k in range(2):
        for m in range(N_LABELS):
            expected = sum(others[i, m] * new[i, k] for i in range(5))
            assert together[m, N_LABELS + k] == pytest.approx(expected, rel=1e-5)
            assert together[N_LABELS + k, m] == together[m, N_LABELS + k]
    assert together[-1, -2] == together[-2, -1] == np.sum(new.all(axis=1))
    assert_array_equal(np.diag(together), 0)
    assert_array_equal(found.counts, [*known.counts, *new.sum(axis=0)])
    assert found.n_samples == 45 and found.together.has_sorted_indices
    counts = new.sum(axis=0).astype(int)
    assert found.raised == tuple(tenths_of_excess(known.counts, counts)) and found.n_fitted == 6
    again = found.with_labels(sparse.csr_array(new), sparse.csr_array(np.ones((5, 8))), 45)
    assert again.raised == 2 * found.raised and again.n_fitted == 6
    assert found.with_documents(sparse.csr_array(np.ones((1, 8)))).raised == found.raised


def test_an_added_label_may_be_as_frequent_as_any_with_as_many_documents():
    known = np.array([0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
    few, many = tenths_of_excess(known, np.array([3, 14]))
    frequencies = 3 * np.exp(few)
    assert len(few) == 10 and frequencies[0] > 3 and frequencies[-1] < 13
    above = [n for n in known if n >= 3]
    for tenth, frequency in enumerate(frequencies):
        below = sum(n <= frequency for n in above) / len(above)
        assert below == pytest.approx((tenth + 0.5) / 10, abs=0.1)
    assert many == (0.0,) * 10


def test_added_labels_have_candidates_of_their_own(answers, known):
    new = np.random.RandomState(4).randn(N_SAMPLES, 2).astype(np.float32)
    others = sparse.csr_array((3, N_LABELS))
    grown = known.with_labels(sparse.csr_array(np.ones((3, 2))), others, 43)
    for one in (answers[0], answers[2]):
        wider = Scores(one.name, np.hstack([one.scores, new]))
        found = set(wider.candidates(grown, 1).tolist())
        rows, labels = np.divmod(one.candidates(known, 1), N_LABELS)
        expected = set((rows * (N_LABELS + 2) + labels).tolist())
        expected |= {i * (N_LABELS + 2) + N_LABELS + int(new[i].argmax()) for i in range(N_SAMPLES)}
        assert found == expected


def test_candidates_are_the_best_of_each_member_and_what_near_neighbours_have(answers, known):
    pairs = evidence(answers, known, n_best=2, n_further=1)
    expected = set()
    for i in range(N_SAMPLES):
        for answer, n in ((answers[0], 2), (answers[2], 1)):
            among = [label for label in range(N_LABELS) if label != 4]
            best = sorted(among, key=lambda label: -answer.scores[i, label])[:n]
            expected |= {(i, label) for label in best}
        for label in range(N_LABELS):
            if answers[1].shares[20].toarray()[i, label] > 0:
                expected.add((i, label))
    assert list(zip(pairs.rows.tolist(), pairs.labels.tolist(), strict=True)) == sorted(expected)
    assert len(expected) < N_SAMPLES * (N_LABELS - 1)


def test_evidence_is_that_of_loops_over_pairs(answers, known):
    pairs = evidence(answers, known, n_best=3)
    z, votes, w = answers
    shares = {k: matrix.toarray() for k, matrix in votes.shares.items()}
    best = votes.best.toarray()
    for at, (i, k) in enumerate(zip(pairs.rows, pairs.labels, strict=True)):
        n, total = known.counts[k], known.n_samples
        r = math.log(total / n - 1)
        hinge = max(0.0, z.scores[i, k] + 0.6)
        expected = {
            "a: score": z.scores[i, k],
            "a: margin": hinge,
            "a: score x log_odds_against": z.scores[i, k] * r,
            "a: margin x log_odds_against": hinge * r,
            "b: votes of 20": math.log(1 + shares[20][i, k] * total / (4 * n)),
            "b: votes of 50": math.log(1 + shares[50][i, k] * total / (4 * n)),
            "b: best cosine": best[i, k],
            "c: score": w.scores[i, k],
            "c: score x log_odds_against": w.scores[i, k] * r,
            "log_odds_against": r,
        }
        assert list(pairs.columns) == list(expected)
        found = {name: column[at] for name, column in pairs.columns.items()}
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("n_labels, n_candidates", [(5000, 25), (5001, 100)])
def test_of_very_many_labels_more_are_candidates(n_labels, n_candidates):
    known = Known(np.ones(n_labels), 2 * n_labels, sparse.csr_array((n_labels, n_labels)))
    scores = np.random.RandomState(0).permutation(n_labels)[None].astype(np.float32)
    pairs = evidence([Scores("a", scores)], known)
    assert_array_equal(pairs.labels, np.flatnonzero(scores[0] >= n_labels - n_candidates))


def naive_context(keys, log_odds, known):
    p = expit(log_odds)
    rows = []
    for key, own in zip(keys, log_odds, strict=True):
        i, k = divmod(key, N_LABELS)
        others = [o for o in range(len(keys)) if keys[o] // N_LABELS == i and keys[o] != key]
        share = known.counts[k] / known.n_samples
        q = 0.0
        for o in others:
            m = keys[o] % N_LABELS
            if p[o] >= 0.003:
                said = known.together.toarray()[m, k] + 3 * share
                q += p[o] * said / (known.counts[m] + 3)
        rows.append(
            [
                math.log(1 + sum(log_odds[o] > own for o in others)),
                max([-10.0, *(log_odds[o] for o in others)]),
                math.log(0.05 + sum(p[o] for o in others)),
                math.log((q + 0.3 * share) / share),
            ]
        )
    return np.array(rows)


def table(columns):
    return np.column_stack(list(columns.values()))


def test_context_is_that_of_loops_over_the_document(answers, known):
    pairs = evidence(answers, known, n_best=3)
    log_odds = np.random.RandomState(5).randn(len(pairs.keys)) * 4 - 1
    assert (expit(log_odds) < 0.003).any()
    found = context(pairs, log_odds, known)
    assert list(found) == ["rank", "best other", "other labels", "co-occurrence"]
    expected = naive_context(pairs.keys, log_odds, known)
    assert_allclose(table(found), expected, rtol=1e-5, atol=1e-5)


def test_a_document_with_one_candidate_has_no_other_labels(known):
    pairs = Pairs(np.array([0, N_LABELS, N_LABELS + 1]), (3, N_LABELS), {})
    log_odds = np.array([1.0, 2.0, -20.0])
    found = context(pairs, log_odds, known)
    assert_allclose(found["best other"], [-10, -10, 2])
    assert_allclose(found["other labels"][0], math.log(0.05), rtol=1e-6)
    assert_allclose(table(found), naive_context(pairs.keys, log_odds, known), rtol=1e-5)


def test_context_changes_none_of_its_arguments(answers, known):
    pairs = evidence(answers, known)
    log_odds = np.random.RandomState(5).randn(len(pairs.keys)) * 4
    arrays = pairs.keys, pairs.rows, pairs.labels, log_odds
    before = [array.copy() for array in arrays]
    first = context(pairs, log_odds, known)
    for array, copied in zip(arrays, before, strict=True):
        assert_array_equal(array, copied)
    assert_array_equal(table(context(pairs, log_odds, known)), table(first))


def test_columns_of_a_document_do_not_depend_on_its_block(answers, known):
    z, votes, w = answers
    shares = {k: v[2:4] for k, v in votes.shares.items()}
    some = [
        Scores("a", z.scores[2:4], is_margin=True),
        Votes("b", shares, votes.best[2:4]),
        Scores("c", w.scores[2:4]),
    ]
    pairs, few = evidence(answers, known), evidence(some, known)
    inside = (pairs.rows >= 2) & (pairs.rows < 4)
    log_odds = np.random.RandomState(0).randn(len(pairs.keys))
    assert_array_equal(table(few.columns), table(pairs.columns)[inside])
    of_few, of_all = context(few, log_odds[inside], known), context(pairs, log_odds, known)
    assert_array_equal(table(of_few), table(of_all)[inside])


def test_keys_are_those_of_stored_entries():
    matrix = sparse.csr_array(([1.0, 0.0, 2.0], [2, 0, 1], [0, 1, 3]), shape=(2, 3))
    assert_array_equal(keys_of(matrix), [2, 3, 4])
    assert_array_equal(Pairs(np.array([0, 2, 4]), (2, 3), {}).look_up(matrix), [0, 1, 2])
    empty = sparse.csr_array((2, 3))
    assert_array_equal(Pairs(np.array([0, 2]), (2, 3), {}).look_up(empty), [0, 0])
