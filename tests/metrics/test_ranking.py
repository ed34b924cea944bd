"""Metrics of rankings against loops over documents, vectors, and scikit-learn where it agrees."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.metrics import ndcg_score

from skmltc import _ranking
from skmltc.labels import inverse_propensities
from skmltc.metrics import (
    ndcg_at_k,
    precision_at_k,
    psndcg_at_k,
    psp_at_k,
    r_precision,
    recall_at_k,
)

Y = np.array([[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 0, 0, 1, 1], [0, 0, 0, 0, 0]])
S = np.array(
    [[0.9, 0.1, 0.8, 0.2, 0.3], [0.6, 0.5, 0.4, 0.3, 0.2], [0.1, 0.9, 0.2, 0.8, 0.7]]
    + [[0.5, 0.4, 0.3, 0.2, 0.1]]
)
WEIGHTS = inverse_propensities([500, 100, 20, 5, 1], 1000)
TRUTHS = [np.asarray, np.ndarray.tolist, sparse.csr_matrix, sparse.csc_array, sparse.coo_array]
SCORES = [np.asarray, np.ndarray.tolist, sparse.csr_matrix, sparse.csc_array, np.float32]
RANKERS = {
    "precision": precision_at_k,
    "recall": recall_at_k,
    "r_precision": r_precision,
    "ndcg": ndcg_at_k,
    "psp": lambda y, s, k: psp_at_k(y, s, np.resize(WEIGHTS, y.shape[1]), k=k),
    "psndcg": lambda y, s, k: psndcg_at_k(y, s, np.resize(WEIGHTS, y.shape[1]), k=k),
}

FEW = settings(max_examples=40, deadline=None)


def loop_ranking(scores, k):
    """Return the k best columns; of equal ones the lower; never one of -inf."""
    order = sorted(range(len(scores)), key=lambda j: (-scores[j], j))
    return [j for j in order if scores[j] > -math.inf][:k]


def loop_precision(y, s, k):
    hits = sum(truth[j] for truth, row in zip(y, s, strict=True) for j in loop_ranking(row, k))
    return hits / (k * len(y))


def loop_recall(y, s, k):
    values = []
    for truth, row in zip(y, s, strict=True):
        hits = sum(truth[j] for j in loop_ranking(row, k))
        values.append(hits / sum(truth) if any(truth) else 0)
    return sum(values) / len(values)


def loop_r_precision(y, s, k):
    values = []
    for truth, row in zip(y, s, strict=True):
        n = sum(truth) if k is None else min(sum(truth), k)
        values.append(sum(truth[j] for j in loop_ranking(row, n)) / n if n else 0)
    return sum(values) / len(values)


def loop_ndcg(y, s, k):
    values = []
    for truth, row in zip(y, s, strict=True):
        gained = sum(truth[j] / math.log2(i + 2) for i, j in enumerate(loop_ranking(row, k)))
        best = sum(1 / math.log2(i + 2) for i in range(min(k, sum(truth))))
        values.append(gained / best if best else 0)
    return sum(values) / len(values)


def loop_propensity_scored(y, s, weights, k, discount):
    gained = best = 0
    for truth, row in zip(y, s, strict=True):
        gained += sum(
            truth[j] * weights[j] * discount(i) for i, j in enumerate(loop_ranking(row, k))
        )
        worth = sorted((w for w, label in zip(weights, truth, strict=True) if label), reverse=True)
        best += sum(w * discount(i) for i, w in enumerate(worth[:k]))
    return gained / best if best else 0


@st.composite
def problems(draw):
    """Draw a truth, scores with many ties and some -inf, and a k."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 8)))
    y = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 1)))
    s = draw(hnp.arrays(float, shape, elements=st.sampled_from([-np.inf, -1, 0, 0.5, 2, np.inf])))
    return y, s, draw(st.integers(1, 10))


def stored(scores, floor=-np.inf):
    """Return what is above the floor, or everything, as a sparse matrix; zeros are stored."""
    rows, columns = np.nonzero(np.ones(scores.shape) if floor is None else scores > floor)
    return sparse.csr_array((scores[rows, columns], (rows, columns)), shape=scores.shape)


class TestVectors:
    @pytest.mark.parametrize(
        ("k", "p", "ndcg", "psp", "psndcg"),
        [
            (1, 0.25, 0.25, 0.11490964, 0.11490964),
            (3, 0.41666667, 0.54041276, 0.92910932, 0.66380444),
            (5, 0.3, 0.58579821, 1.0, 0.69609346),
        ],
    )
    @pytest.mark.parametrize("truth", TRUTHS)
    @pytest.mark.parametrize("scores", SCORES)
    def test_every_form_of_input(self, truth, scores, k, p, ndcg, psp, psndcg):
        y, s = truth(Y), scores(S)
        assert precision_at_k(y, s, k=k) == pytest.approx(p, abs=1e-8)
        assert ndcg_at_k(y, s, k=k) == pytest.approx(ndcg, abs=1e-8)
        assert psp_at_k(y, s, WEIGHTS, k=k) == pytest.approx(psp, abs=1e-8)
        assert psndcg_at_k(y, s, WEIGHTS, k=k) == pytest.approx(psndcg, abs=1e-8)

    def test_rankings(self):
        ranking = np.argsort(-S, axis=1)[:, :3]
        assert precision_at_k(Y, ranking, k=3) == pytest.approx(0.41666667, abs=1e-8)
        assert psndcg_at_k(Y, ranking, WEIGHTS, k=3) == pytest.approx(0.66380444, abs=1e-8)
        assert psndcg_at_k(Y, ranking, WEIGHTS, k=1) == pytest.approx(0.11490964, abs=1e-8)

    def test_default_k_is_5(self):
        assert precision_at_k(Y, S) == pytest.approx(0.3)
        assert psp_at_k(Y, S, WEIGHTS) == pytest.approx(1.0)


class TestAgainstLoops:
    @FEW
    @given(problems())
    def test_precision(self, problem):
        assert precision_at_k(*problem[:2], k=problem[2]) == pytest.approx(loop_precision(*problem))

    @FEW
    @given(problems())
    def test_recall(self, problem):
        y, s, k = problem
        assert recall_at_k(y, s, k=k) == pytest.approx(loop_recall(y, s, k))

    @FEW
    @given(problems(), st.booleans())
    def test_r_precision(self, problem, has_k):
        y, s, k = problem
        k = k if has_k else None
        assert r_precision(y, s, k=k) == pytest.approx(loop_r_precision(y, s, k))

    @FEW
    @given(problems())
    def test_ndcg(self, problem):
        assert ndcg_at_k(*problem[:2], k=problem[2]) == pytest.approx(loop_ndcg(*problem))

    @FEW
    @given(problems(), st.data())
    def test_propensity_scored(self, problem, data):
        y, s, k = problem
        weights = data.draw(hnp.arrays(float, y.shape[1], elements=st.floats(0, 10)))
        for metric, discount in (
            (psp_at_k, lambda i: 1),
            (psndcg_at_k, lambda i: 1 / math.log2(i + 2)),
        ):
            expected = loop_propensity_scored(y, s, weights, k, discount)
            assert metric(y, s, weights, k=k) == pytest.approx(expected)

    def test_dense_scores_in_many_blocks(self, monkeypatch):
        rng = np.random.default_rng(0)
        y, s = rng.integers(0, 2, (50, 9)), rng.integers(0, 4, (50, 9)).astype(float)
        monkeypatch.setattr(_ranking, "BLOCK_SIZE", 30)
        assert ndcg_at_k(y, s, k=4) == pytest.approx(loop_ndcg(y, s, 4))

    def test_ndcg_of_scikit_learn(self):
        rng = np.random.default_rng(1)
        y, s = rng.integers(0, 2, (50, 9)), rng.normal(size=(50, 9))
        assert ndcg_at_k(y, s, k=4) == pytest.approx(ndcg_score(y, s, k=4))


class TestRankingRules:
    @pytest.mark.parametrize("metric", RANKERS)
    @FEW
    @given(problem=problems())
    def test_all_forms_of_scores_agree(self, metric, problem):
        y, s, k = problem
        dense = RANKERS[metric](y, s, k=k)
        assert RANKERS[metric](y, stored(s), k=k) == dense
        assert RANKERS[metric](y, stored(s, floor=None), k=k) == dense
        assert 0 <= dense <= 1 + 1e-12
        if k < y.shape[1]:
            lists = [loop_ranking(row, k) for row in s]
            ranking = np.array([row + [-1] * (k - len(row)) for row in lists])
            assert RANKERS[metric](sparse.csc_array(y), ranking, k=k) == dense

    @pytest.mark.parametrize("form", [np.asarray, stored])
    def test_equal_scores_rank_the_lower_column_first(self, form):
        scores = form(np.array([[0.0, 1.0, 1.0, 0.0, 1.0]]))
        hits = [precision_at_k(np.eye(5)[[j]], scores, k=4) * 4 for j in range(5)]
        np.testing.assert_array_equal(hits, [1, 1, 1, 0, 1])
        assert ndcg_at_k([[0, 1, 0, 0, 0]], scores, k=4) == 1

    def test_stored_negatives_rank_above_what_is_not_stored(self):
        scores = sparse.csr_array((np.array([-3.0, 0.0]), ([0, 0], [2, 1])), shape=(1, 4))
        assert precision_at_k([[0, 0, 1, 0]], scores, k=2) == 0.5
        assert precision_at_k([[1, 0, 0, 1]], scores, k=4) == 0

    def test_unsorted_sparse_scores_are_left_as_they_are(self):
        scores = sparse.csr_array((np.ones(3), np.array([2, 0, 1]), np.array([0, 3])), (1, 3))
        assert precision_at_k([[1, 0, 0]], scores, k=1) == 1
        np.testing.assert_array_equal(scores.indices, [2, 0, 1])

    @pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.float16])
    def test_scores_of_any_type(self, dtype):
        scores = np.array([[0, 1, 1], [1, 0, 0]], dtype=dtype)
        assert precision_at_k([[0, 1, 0], [0, 1, 0]], scores, k=1) == 0.5
        if dtype is not np.float16:  # which scipy does not store
            assert precision_at_k([[0, 1, 0], [0, 1, 0]], sparse.csr_array(scores), k=1) == 0.5

    @pytest.mark.parametrize("metric", RANKERS)
    def test_perfect_ranking(self, metric):
        labelled = Y[:3]
        worth = labelled * WEIGHTS
        expected = 6 / 15 if metric == "precision" else 1
        assert recall_at_k(labelled, worth, k=2) == pytest.approx((1 + 1 + 2 / 3) / 3)
        assert RANKERS[metric](labelled, worth, k=5) == pytest.approx(expected)

    def test_k_beyond_the_labels(self):
        assert precision_at_k(Y, S, k=10) == pytest.approx(6 / 40)
        for metric in set(RANKERS) - {"precision"}:
            assert RANKERS[metric](Y, S, k=10) == RANKERS[metric](Y, S, k=5)

    def test_k_beyond_a_ranking_takes_what_is_there(self):
        ranking = np.argsort(-S, axis=1)[:, :2]
        only_two = np.where(S >= np.sort(S, axis=1)[:, [-2]], S, -np.inf)
        for metric in RANKERS.values():
            assert metric(Y, ranking, k=4) == metric(Y, only_two, k=4)

    def test_no_labels_at_all(self):
        for metric in RANKERS.values():
            assert metric(np.zeros((2, 5), int), S[:2], k=3) == 0

    def test_documents_without_labels(self):
        without = Y[:3], S[:3]
        assert precision_at_k(Y, S, k=2) == pytest.approx(precision_at_k(*without, k=2) * 3 / 4)
        for metric in (ndcg_at_k, recall_at_k, r_precision):
            assert metric(Y, S, k=2) == pytest.approx(metric(*without, k=2) * 3 / 4)
        assert psp_at_k(Y, S, WEIGHTS, k=2) == psp_at_k(*without, WEIGHTS, k=2)

    @FEW
    @given(problems())
    def test_first_rank_has_no_discount(self, problem):
        y, s, _ = problem
        assert precision_at_k(y, s, k=1) == pytest.approx(ndcg_at_k(y, s, k=1))
        assert precision_at_k(y, s, k=1) == pytest.approx(r_precision(y, s, k=1))

    @FEW
    @given(problems())
    def test_equal_propensities_cancel(self, problem):
        y, s, k = problem
        weights = inverse_propensities(np.full(y.shape[1], 7), 1000)
        best = np.minimum(y.sum(axis=1), k).sum()
        expected = precision_at_k(y, s, k=k) * k * len(y) / max(best, 1)
        assert psp_at_k(y, s, weights, k=k) == pytest.approx(expected)

    def test_large_sparse_scores_are_never_made_dense(self):
        n_labels = 10**7  # a dense row block would be 400 GB
        y = sparse.csr_array((np.ones(5000), (np.arange(5000), np.arange(5000))), (5000, n_labels))
        assert precision_at_k(y, y * 0.5, k=1) == 1
        assert psndcg_at_k(y, y * 0.5, np.ones(n_labels), k=3) == 1


class TestRankingErrors:
    @pytest.mark.parametrize("k", [0, -1, 2.0, "3", True, None])
    def test_k(self, k):
        with pytest.raises(ValueError, match="k must be a positive integer. Got"):
            precision_at_k(Y, S, k=k)

    @pytest.mark.parametrize(
        "scores", [S[:3], S[:, :3], S[0], sparse.csr_array(S[:, :3]), np.ones((4, 6), int)]
    )
    def test_shape(self, scores):
        with pytest.raises(ValueError, match=r"y_score must be of shape \(4, 5\)"):
            precision_at_k(Y, scores)

    @pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
    def test_nan(self, form):
        with pytest.raises(ValueError, match="y_score must be without NaN"):
            precision_at_k(Y, form(np.where(S == 0.8, np.nan, S)))

    def test_text(self):
        with pytest.raises(ValueError, match="y_score must be a numeric array. Got dtype <U"):
            precision_at_k(Y, S.astype(str))

    def test_lists_of_different_lengths(self):
        with pytest.raises(ValueError, match="Pad short rankings with -1"):
            precision_at_k(Y, [[0, 1], [2], [3], []])

    def test_ranking_of_too_few_documents(self):
        with pytest.raises(ValueError, match="y_score must be a ranking of 4 rows"):
            precision_at_k(Y, [[0, 1], [2, 3]])

    @pytest.mark.parametrize("column", [5, -2])
    def test_ranking_of_unknown_labels(self, column):
        with pytest.raises(ValueError, match=f"columns 0 to 4, padded with -1. Got {column}"):
            precision_at_k(Y, [[0, 1], [2, column], [3, 4], [0, 1]])

    def test_ranking_with_repeats(self):
        with pytest.raises(ValueError, match="free of repeats. Got a label twice in row 2"):
            precision_at_k(Y, [[0, -1, -1], [2, 1, 0], [3, 1, 3], [0, 1, 2]])

    def test_no_documents(self):
        with pytest.raises(ValueError, match="y_true must be a matrix with at least one document"):
            precision_at_k(np.zeros((0, 3)), np.zeros((0, 3)))

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            ([1, 2], r"an array of shape \(5,\)"),
            ([1, 1, 1, 1, -1], "finite and not negative. Got -1 instead"),
            ([1, 1, 1, 1, np.inf], "finite and not negative"),
        ],
    )
    def test_weights(self, weights, message):
        with pytest.raises(ValueError, match=f"inverse_propensities must be {message}"):
            psp_at_k(Y, S, weights)
