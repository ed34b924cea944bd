"""Ranking metrics as scorers of searches."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skmltc.labels import inverse_propensities
from skmltc.metrics import (
    RankingScorer,
    f1_by_group,
    ndcg_at_k,
    precision_at_k,
    psndcg_at_k,
    psp_at_k,
    r_precision,
    recall_at_k,
)

FUNCTIONS = {
    "precision": precision_at_k,
    "recall": recall_at_k,
    "r_precision": r_precision,
    "ndcg": ndcg_at_k,
    "psp": psp_at_k,
    "psndcg": psndcg_at_k,
}


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
        return sparse.csr_array(np.asarray(X)[:, : len(self.classes_)])  # no score is 0


def data(n_labels=4, container=sparse.csr_array, n_samples=60):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n_samples, n_labels + 1))
    labels = (X[:, :n_labels] + 0.5 * rng.normal(size=(n_samples, n_labels)) > 0.6).astype(int)
    return X, container(labels)


ONE_VS_REST = OneVsRestClassifier(LogisticRegression())


class TestRankingScorer:
    @pytest.mark.parametrize("metric", FUNCTIONS)
    def test_is_the_metric_of_the_scores(self, metric):
        X, y = data()
        model = Memorizing().fit(X[:40], y[:40])
        weights = inverse_propensities(model.label_counts_, 40)
        arguments = [weights] if metric.startswith("ps") else []
        expected = FUNCTIONS[metric](y[40:], X[40:, :4], *arguments, k=2)
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
