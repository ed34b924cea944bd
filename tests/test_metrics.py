"""Metrics against loops over documents, the papers' vectors, and scikit-learn where it agrees."""

import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, make_scorer, ndcg_score, precision_score, recall_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skmltc import _ranking
from skmltc.labels import inverse_propensities, label_groups
from skmltc.metrics import (
    RankingScorer,
    f1_by_group,
    long_tail_report,
    ndcg_at_k,
    precision_at_k,
    psndcg_at_k,
    psp_at_k,
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


def loop_f1(y, p, columns):
    counts = []
    for j in columns:
        pairs = [(truth[j], guess[j]) for truth, guess in zip(y, p, strict=True)]
        counts.append((pairs.count((1, 1)), pairs.count((0, 1)), pairs.count((1, 0))))
    each = [2 * tp / max(2 * tp + fp + fn, 1) for tp, fp, fn in counts]
    tp, fp, fn = (sum(column) for column in zip(*counts, strict=True))
    return 2 * tp / max(2 * tp + fp + fn, 1), sum(each) / len(each)


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
        assert RANKERS[metric](labelled, worth, k=5) == pytest.approx(expected)

    def test_k_beyond_the_labels(self):
        assert precision_at_k(Y, S, k=10) == pytest.approx(6 / 40)
        for metric in ("ndcg", "psp", "psndcg"):
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
        assert ndcg_at_k(Y, S, k=2) == pytest.approx(ndcg_at_k(*without, k=2) * 3 / 4)
        assert psp_at_k(Y, S, WEIGHTS, k=2) == psp_at_k(*without, WEIGHTS, k=2)

    @FEW
    @given(problems())
    def test_first_rank_has_no_discount(self, problem):
        y, s, _ = problem
        assert precision_at_k(y, s, k=1) == pytest.approx(ndcg_at_k(y, s, k=1))

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


def predictions(seed=0, n_labels=12):
    rng = np.random.default_rng(seed)
    rates = np.linspace(0.6, 0.05, n_labels)
    truth = (rng.random((60, n_labels)) < rates).astype(int)
    guess = np.where(rng.random(truth.shape) < 0.8, truth, rng.random(truth.shape) < rates)
    truth[:, -1] = guess[:, -1] = 0  # neither true nor predicted
    counts = np.array([200, 90, 51, 50, 30, 20, 15, 11, 10, 7, 2, 0])
    return truth, guess.astype(int), counts


class TestF1ByGroup:
    @pytest.mark.parametrize("container", TRUTHS)
    def test_equals_loops_and_scikit_learn(self, container):
        truth, guess, counts = predictions()
        scores = f1_by_group(container(truth), container(guess), counts)
        groups = {"total": np.ones(12, bool)} | label_groups(counts)
        assert list(scores) == ["total", "head", "medium", "tail"]
        for name, mask in groups.items():
            y, p = truth[:, mask], guess[:, mask]
            micro, macro = loop_f1(truth, guess, np.flatnonzero(mask))
            assert scores[name]["micro"] == pytest.approx(micro)
            assert scores[name]["macro"] == pytest.approx(macro)
            options = {"average": "micro", "zero_division": 0}
            assert scores[name]["micro"] == pytest.approx(f1_score(y, p, **options))
            assert scores[name]["precision"] == pytest.approx(precision_score(y, p, **options))
            assert scores[name]["recall"] == pytest.approx(recall_score(y, p, **options))
            options["average"] = "macro"
            assert scores[name]["macro"] == pytest.approx(f1_score(y, p, **options))

    def test_describes_the_groups(self):
        truth, guess, counts = predictions()
        tail = f1_by_group(truth, guess, counts)["tail"]
        expected = {"n_labels": 4, "n_tested": 3, "support": truth[:, 8:].sum()}
        expected |= {"min_count": 0, "max_count": 10}
        assert {key: tail[key] for key in expected} == expected
        assert tail["macro"] * 4 / 3 == pytest.approx(loop_f1(truth, guess, [8, 9, 10])[1])

    def test_groups_by_mask_and_by_columns(self):
        truth, guess, counts = predictions()
        groups = {"first": counts > 50, "last": [11, 10]}
        scores = f1_by_group(truth, guess, counts, groups=groups)
        assert list(scores) == ["total", "first", "last"]
        assert scores["first"]["macro"] == pytest.approx(loop_f1(truth, guess, [0, 1, 2])[1])
        assert scores["last"]["micro"] == pytest.approx(loop_f1(truth, guess, [10, 11])[0])

    def test_labelled_documents_alone(self):
        truth, guess, counts = predictions()
        scores = f1_by_group(truth, guess, counts, documents="labelled")
        rows = truth[:, 8:].any(axis=1)
        micro, macro = loop_f1(truth[rows], guess[rows], range(8, 12))
        assert (scores["tail"]["micro"], scores["tail"]["macro"]) == pytest.approx((micro, macro))
        assert scores["tail"] != f1_by_group(truth, guess, counts)["tail"]

    def test_groups_and_documents_without_anything(self):
        scores = f1_by_group([[1, 0]], [[0, 0]], [60, 70])
        assert scores["tail"] == dict.fromkeys(scores["tail"], 0)
        assert scores["total"]["micro"] == scores["total"]["precision"] == 0
        assert f1_by_group([[0]], [[0]], [3], documents="labelled")["tail"]["macro"] == 0

    def test_counts_summed_from_a_csr_matrix(self):
        truth, guess, _ = predictions()
        counts = sparse.csr_matrix(truth).sum(axis=0)
        assert counts.shape == (1, 12)
        assert f1_by_group(truth, guess, counts) == f1_by_group(truth, guess, truth.sum(axis=0))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"y_pred": [[1, 0]]}, "y_pred must have 2 rows. Got 1"),
            ({"y_pred": [[1], [0]]}, "y_pred must be a matrix of 2 columns"),
            ({"y_pred": [[1, 3], [0, 0]]}, "y_pred must be a label indicator matrix"),
            ({"label_counts": [1]}, r"label_counts must be an array of shape \(2,\)"),
            ({"groups": {"a": [True]}}, r"groups\['a'\] must be a mask of 2 labels"),
            ({"groups": {"a": [2]}}, r"groups\['a'\] must be a mask of 2 labels"),
            ({"groups": {"a": [-1]}}, r"groups\['a'\] must be a mask of 2 labels"),
            ({"groups": {"a": [1, 1]}}, r"groups\['a'\] must be .* different column numbers"),
            ({"groups": {"a": None}}, r"groups\['a'\] must be a mask of 2 labels"),
            ({"groups": {"a": ["x"]}}, r"groups\['a'\] must be a mask of 2 labels"),
            ({"groups": {"total": [0]}}, "groups must be without 'total', .*. Got a group of that"),
            ({"groups": [1]}, "groups must be a dict of name to mask or columns. Got list inst"),
            ({"groups": {"a": [0.5]}}, r"groups\['a'\] must be a mask of 2 labels"),
            ({"documents": "labeled"}, "documents must be one of.*mean 'labelled'"),
        ],
    )
    def test_errors(self, changes, message):
        arguments = {"y_true": [[1, 0], [0, 1]], "y_pred": [[1, 0], [0, 1]], "label_counts": [9, 1]}
        with pytest.raises(ValueError, match=message):
            f1_by_group(**(arguments | changes))


class TestLongTailReport:
    def test_dict_holds_groups_and_ranking_metrics(self):
        truth, guess, counts = predictions()
        weights = inverse_propensities(counts, 1000)
        scores = np.random.default_rng(0).normal(size=truth.shape)
        options = {"y_score": scores, "inverse_propensities": weights, "k": (1, 4)}
        report = long_tail_report(truth, guess, counts, output_dict=True, **options)
        figures = {key: report.pop(key) for key in [*report] if "@" in key}
        assert report == f1_by_group(truth, guess, counts)
        assert list(figures) == ["P@1", "P@4", "nDCG@1", "nDCG@4", "PSP@1", "PSP@4"]
        assert figures["P@4"] == precision_at_k(truth, scores, k=4)
        assert figures["nDCG@4"] == ndcg_at_k(truth, scores, k=4)
        assert figures["PSP@4"] == psp_at_k(truth, scores, weights, k=4)
        json.dumps([report, figures])

    def test_text_shows_the_same_figures(self):
        truth, guess, counts = predictions()
        text = long_tail_report(truth, guess, counts, y_score=guess, k=(2,), digits=4)
        lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
        tail = f1_by_group(truth, guess, counts)["tail"]
        expected = [tail[key] for key in ("precision", "recall", "micro", "macro")]
        assert lines["tail"][:3] == ["4", "0-10", str(tail["support"])]
        assert lines["tail"][3:] == [f"{figure:.4f}" for figure in expected]
        assert lines["P"] == [f"{precision_at_k(truth, guess, k=2):.4f}"]
        assert "PSP" not in lines

    def test_columns_are_aligned(self):
        truth, guess, counts = predictions()
        groups = {"a group of a long name": [0], "none": np.zeros(12, bool)}
        text = long_tail_report(truth, guess, counts, groups=groups)
        table = [line for line in text.splitlines() if line]
        assert len({len(line) for line in table}) == 1
        assert table[-1].split() == ["none", "0", "0", "0", "-", "-", "-", "-"]

    def test_groups_and_documents_are_passed_on(self):
        truth, guess, counts = predictions()
        options = {"groups": {"rare": counts < 8}, "documents": "labelled"}
        report = long_tail_report(truth, guess, counts, output_dict=True, **options)
        assert report == f1_by_group(truth, guess, counts, **options)


class Memorizing(ClassifierMixin, BaseEstimator):
    """Scores the labels by the first features; knows what the scorers look for."""

    def __init__(self, flip=False):
        self.flip = flip

    def fit(self, X, y):
        self.n_samples_fit_, self.label_counts_ = X.shape[0], np.asarray(y.sum(axis=0)).ravel()
        self.classes_ = np.arange(y.shape[1])
        return self

    def decision_function(self, X):
        return (-1) ** self.flip * np.asarray(X)[:, : len(self.classes_)]

    def predict(self, X):
        return (self.decision_function(X) > 0).astype(int)


class WithTopK(Memorizing):
    decision_function = None  # what predict_topk offers is enough

    def predict_topk(self, X, k):
        assert k <= len(self.classes_)
        self.asked_ = k
        return stored(np.asarray(X)[:, : len(self.classes_)])


def data(n_labels=4, container=sparse.csr_array, n_samples=60):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n_samples, n_labels + 1))
    labels = (X[:, :n_labels] + 0.5 * rng.normal(size=(n_samples, n_labels)) > 0.6).astype(int)
    return X, container(labels)


ONE_VS_REST = OneVsRestClassifier(LogisticRegression())


class TestRankingScorer:
    @pytest.mark.parametrize("metric", RANKERS)
    def test_is_the_metric_of_the_scores(self, metric):
        X, y = data()
        model = Memorizing().fit(X[:40], y[:40])
        weights = inverse_propensities(model.label_counts_, 40)
        arguments = [weights] if metric.startswith("ps") else []
        function = {"psp": psp_at_k, "psndcg": psndcg_at_k}.get(metric) or RANKERS[metric]
        expected = function(y[40:], X[40:, :4], *arguments, k=2)
        assert RankingScorer(metric, k=2)(model, X[40:], y[40:]) == pytest.approx(expected)

    def test_given_propensities_win(self):
        X, y = data()
        model, weights = Memorizing().fit(X, y), np.array([1.0, 50, 1, 3])
        scorer = RankingScorer("psp", k=1, inverse_propensities=weights)
        assert scorer(model, X, y) == psp_at_k(y, X[:, :4], weights, k=1)
        assert scorer(model, X, y) != RankingScorer("psp", k=1)(model, X, y)

    @pytest.mark.parametrize("k", [2, 9])
    def test_asks_for_top_k_where_it_can(self, k):
        X, y = data()
        model = WithTopK().fit(X, y)
        assert RankingScorer("ndcg", k=k)(model, X, y) == ndcg_at_k(y, X[:, :4], k=k)
        assert model.asked_ == min(k, 4)

    @pytest.mark.parametrize("model", [Memorizing(), WithTopK()])
    def test_looks_into_pipelines_and_searches(self, model):
        X, y = data()
        scaled = make_pipeline(_Doubled(), "passthrough", model)
        search = GridSearchCV(make_pipeline(scaled), {}, scoring=RankingScorer("psp", k=2), cv=2)
        expected = RankingScorer("psp", k=2)(clone(model).fit(X, y), X, y)
        assert RankingScorer("psp", k=2)(search.fit(X, y), X, y) == expected

    def test_text_pipeline(self):
        texts, y = ["sun rain", "rain", "sun", "rain sun wind"] * 5, sparse.csr_array(np.eye(4))
        y = sparse.vstack([y] * 5, format="csr")
        model = make_pipeline(TfidfVectorizer(), ONE_VS_REST).fit(texts, y)
        expected = ndcg_at_k(y, model.decision_function(texts), k=3)
        assert RankingScorer("ndcg", k=3)(model, texts, y) == expected

    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csr_matrix])
    @pytest.mark.parametrize("n_labels", [2, 4])
    def test_grid_search(self, container, n_labels):
        X, y = data(n_labels, container)
        scoring = {"p": RankingScorer("precision", k=1), "psp": RankingScorer("psp", k=1)}
        folds = KFold(2)
        grid = {"flip": [True, False]}
        search = GridSearchCV(Memorizing(), grid, scoring=scoring, refit="p", cv=folds)
        with config_context(enable_metadata_routing=True):
            search.fit(X, y)
        assert search.best_params_ == {"flip": False}
        for i, (train, test) in enumerate(folds.split(X)):
            weights = inverse_propensities(y[train].sum(axis=0), len(train)).ravel()
            expected = psp_at_k(y[test], X[test, :n_labels], weights, k=1)
            assert search.cv_results_[f"split{i}_test_psp"][1] == expected

    @pytest.mark.parametrize("model", [ONE_VS_REST, KNeighborsClassifier(3)])
    def test_two_labels_are_not_one_binary_target(self, model):
        X, y = data(2, np.asarray)
        model = clone(model).fit(X, y)
        if hasattr(model, "decision_function"):
            scores = model.decision_function(X)
        else:
            scores = np.column_stack([label[:, 1] for label in model.predict_proba(X)])
        score = RankingScorer("precision", k=1)(model, X, y)
        assert score == precision_at_k(y, scores, k=1)
        assert 0.2 < score < 1

    def test_probabilities_of_a_label_seen_in_one_state_only(self):
        X, y = data(3, np.asarray)
        y[:, 0], y[:, 2] = 0, 1
        model = KNeighborsClassifier(3).fit(X, y)
        probability = model.predict_proba(X)[1][:, 1]
        scores = np.column_stack([np.zeros(60), probability, np.ones(60)])
        assert RankingScorer("ndcg", k=2)(model, X, y) == ndcg_at_k(y, scores, k=2)

    def test_parallel_search_with_sparse_labels(self):
        X, y = data(2)
        grid = {"estimator__C": [0.1, 10]}
        scoring = {"ndcg": RankingScorer("ndcg", k=2), "f1": "f1_micro"}
        one, two = (
            GridSearchCV(ONE_VS_REST, grid, scoring=scoring, refit="ndcg", n_jobs=n, cv=2).fit(X, y)
            for n in (1, 2)
        )
        np.testing.assert_array_equal(
            one.cv_results_["mean_test_ndcg"], two.cv_results_["mean_test_ndcg"]
        )
        assert (one.cv_results_["mean_test_f1"] > 0).all()

    def test_cross_validate_and_the_f1_scorer_of_the_docstring(self):
        X, y = data(3, np.asarray)
        macro = make_scorer(f1_score, average="macro", zero_division=0)
        scoring = {"p": RankingScorer("precision", k=1), "macro": macro}
        results = cross_validate(ONE_VS_REST, X, y, scoring=scoring, error_score="raise")
        assert (results["test_p"] > 0.3).all()
        X, y = data(3)
        model = clone(ONE_VS_REST).fit(X, y)
        expected = f1_by_group(y, model.predict(X), [1, 1, 1])["total"]["macro"]
        assert macro(model, X, y) == pytest.approx(expected)

    def test_pickle_and_clone(self):
        weights = np.arange(4.0)
        scorer = RankingScorer("psp", k=3, inverse_propensities=weights)
        search = clone(GridSearchCV(ONE_VS_REST, {}, scoring=scorer))
        for copy in (pickle.loads(pickle.dumps(scorer)), search.scoring):
            assert (copy.metric, copy.k) == ("psp", 3)
            np.testing.assert_array_equal(copy.inverse_propensities, weights)
        assert repr(scorer) == "RankingScorer(metric='psp', k=3)"

    def test_errors(self):
        X, y = data()
        with pytest.raises(ValueError, match="metric must be one of.*'nDCG' instead"):
            RankingScorer("nDCG")
        with pytest.raises(ValueError, match="k must be a positive integer. Got 0"):
            RankingScorer("ndcg", k=0)
        with pytest.raises(ValueError, match="label_counts_ and n_samples_fit_.*Got OneVsRest"):
            RankingScorer("psp")(clone(ONE_VS_REST).fit(X, y), X, y)


class _Doubled(BaseEstimator):
    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return 2 * X
