"""Scores of documents by models that have not seen them, whatever form scores have."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, ShuffleSplit
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.metaestimators import available_if

from skmltc.decision import MultilabelThresholdClassifierCV
from skmltc.metrics import RankingScorer, precision_at_k
from skmltc.model_selection import (
    MultilabelStratifiedKFold,
    _out_of_fold,
    assign_folds,
    multilabel_cross_val_predict,
)

# -------------------------------------------------------------- multilabel_cross_val_predict


def naive_out_of_fold(estimator, X, y, folds, method):
    scores = np.empty(y.shape)
    for train, test in folds:
        model = estimator.fit(X[train], y[train])
        scores[test] = getattr(model, method)(X[test])
        for label in range(y.shape[1]):
            if not y[train, label].any():
                scores[test, label] = -np.inf
    return scores


@pytest.mark.parametrize("method", ["decision_function", "predict_proba"])
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array, sparse.csc_array, np.array])
@pytest.mark.filterwarnings("ignore:Label")
def test_scores_are_those_of_a_loop(corpus, features, method, kind):
    y = corpus.target.toarray()[:, np.argsort(-corpus.target.sum(axis=0))[:8]]
    y[:, 3] = 0
    y[7, 3] = 1  # absent from the training part of one fold
    estimator = OneVsRestClassifier(LogisticRegression())
    folds = list(KFold(3).split(y))
    scores = multilabel_cross_val_predict(estimator, features, kind(y), cv=folds, method=method)
    assert scores.dtype == np.float32 and not hasattr(estimator, "estimators_")
    expected = naive_out_of_fold(estimator, features, y, folds, method)
    assert np.isneginf(expected).sum() == len(folds[0][1])
    assert_allclose(scores, expected, rtol=1e-5)


def test_by_default_every_document_has_a_score(corpus):
    model = make_pipeline(
        TfidfVectorizer(max_features=300), OneVsRestClassifier(LinearSVC(random_state=0))
    )
    scores = multilabel_cross_val_predict(model, corpus.data, corpus.target, random_state=0)
    folds = assign_folds(corpus.target, 3, random_state=0)
    for fold in range(3):
        is_absent = corpus.target[folds != fold].sum(axis=0) == 0
        assert_array_equal(
            np.isneginf(scores[folds == fold]), np.tile(is_absent, (sum(folds == fold), 1))
        )


@pytest.mark.filterwarnings("ignore:A column-vector y")
@pytest.mark.parametrize("n_labels", [1, 2, 5])
@pytest.mark.parametrize(
    "estimator",
    [
        KNeighborsClassifier(),
        RandomForestClassifier(5, random_state=0),
        OneVsRestClassifier(LogisticRegression()),
    ],
)
def test_lists_of_arrays_and_one_or_two_labels(estimator, n_labels):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(90, 3))
    y = (X @ rng.normal(size=(3, n_labels)) > 0).astype(int)
    scores = multilabel_cross_val_predict(
        estimator, X, y, method="predict_proba", cv=2, random_state=0
    )
    assert scores.shape == (90, n_labels) and scores.min() >= 0
    assert ((scores > 0.5) == y).mean() > 0.7


def test_a_label_that_a_forest_has_not_seen():
    X, y = np.arange(12.0).reshape(6, 2), np.array([[1, 0]] * 5 + [[1, 1]])
    folds = [([0, 1, 2], [3, 4, 5]), ([3, 4, 5], [0, 1, 2])]
    forest = RandomForestClassifier(5, random_state=0)
    scores = multilabel_cross_val_predict(forest, X, y, cv=folds, method="predict_proba")
    assert_array_equal(scores[:, 0], 1)
    assert np.isneginf(scores[3:, 1]).all() and (scores[:3, 1] < 1).all()


@pytest.mark.parametrize("top_k", [1, 4, 100])
def test_top_k_are_the_best_of_the_dense_scores(corpus, features, top_k, monkeypatch):
    model = OneVsRestClassifier(LinearSVC(random_state=0))
    dense = multilabel_cross_val_predict(model, features, corpus.target, random_state=0)
    monkeypatch.setattr(_out_of_fold, "BLOCK_SIZE", 1000)
    best = multilabel_cross_val_predict(model, features, corpus.target, random_state=0, top_k=top_k)
    assert isinstance(best, sparse.csr_array) and best.shape == (400, 40)
    for row in range(400):
        finite = np.flatnonzero(dense[row] > -np.inf)
        stored = best.indices[best.indptr[row] : best.indptr[row + 1]]
        values = best.data[best.indptr[row] : best.indptr[row + 1]]
        assert_array_equal(values, dense[row, stored])
        assert_array_equal(np.sort(values), np.sort(dense[row, finite])[-top_k:])


def test_blocks_and_jobs_change_nothing(corpus, features, monkeypatch):
    model = OneVsRestClassifier(LinearSVC(random_state=0))
    args = (model, features, corpus.target)
    one = multilabel_cross_val_predict(*args, random_state=0)
    monkeypatch.setattr(_out_of_fold, "BLOCK_SIZE", 500)
    assert_allclose(multilabel_cross_val_predict(*args, random_state=0), one)
    assert_array_equal(multilabel_cross_val_predict(*args, random_state=0, n_jobs=2), one)


def test_documents_that_are_not_tested_once_are_an_error(features, corpus):
    model = OneVsRestClassifier(LinearSVC(random_state=0))
    splitter = ShuffleSplit(2, test_size=0.5, random_state=0)
    with pytest.raises(ValueError, match="cv must be a splitter with every document in exactly"):
        multilabel_cross_val_predict(model, features, corpus.target, cv=splitter)
    y = corpus.target.toarray()
    y[:, 0] = 0
    y[0, 0] = 1
    with pytest.raises(ValueError, match=r"in none .*keep_only_documents=False"):
        multilabel_cross_val_predict(model, features, y, cv=MultilabelStratifiedKFold(2))


class Narrow(ClassifierMixin, BaseEstimator):
    """Scores one label too few."""

    def fit(self, X, y):
        return self

    def decision_function(self, X):
        return np.zeros((X.shape[0], 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "predict"}, "method must be one of 'decision_function'"),
        ({"method": "predict_proba"}, "method must be one that Narrow has"),
        ({"top_k": 0}, "top_k must be None or a positive integer"),
        ({"cv": 1}, "cv must be a splitter, or an integer from 2 to 12, the number of documents"),
        ({"cv": 13}, "cv must be a splitter, or an integer from 2 to 12, .* Got 13 instead"),
        ({}, r"What decision_function returns must be of shape \(n_samples, 4\)"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    y = np.tile(np.eye(4, dtype=int), (3, 1))
    with pytest.raises(ValueError, match=message):
        multilabel_cross_val_predict(Narrow(), np.ones((12, 2)), y, **options)


@pytest.mark.parametrize("estimator", [Narrow, 3, "svc"])
def test_what_is_no_estimator_is_refused(estimator):
    with pytest.raises(ValueError, match="estimator must be a classifier. Got") as raised:
        multilabel_cross_val_predict(estimator, np.ones((4, 2)), np.eye(4))
    assert ("Give an object of the class, Narrow" in str(raised.value)) == (estimator is Narrow)


# ---------------------------------------------------- scores of any classifier, whatever their form


def as_lists(probabilities):
    """One array of two columns per label, as multi-output forests return them."""
    return [np.column_stack([1 - p, p]) for p in probabilities.T]


class Answers(ClassifierMixin, BaseEstimator):
    """The features are the probabilities, in a form that is given; it has nothing else."""

    def __init__(self, form=np.asarray):
        self.form = form

    def fit(self, X, y):
        classes = np.array([0, 1])
        self.classes_ = [classes] * y.shape[1] if self.form is as_lists else np.arange(y.shape[1])
        return self

    def predict_proba(self, X):
        return self.form(X)


FORMS = [as_lists, sparse.csr_matrix, sparse.csr_array, sparse.lil_matrix, sparse.lil_array]
FORMS += [sparse.coo_array, np.float32]


@pytest.fixture
def answers():
    """Probabilities, many of them 0, and labels that follow them by and large."""
    rng = np.random.RandomState(0)
    X = np.maximum(rng.random_sample((90, 4)) - 0.4, 0)
    return X, (X + 0.1 * rng.normal(size=X.shape) > 0.3).astype(int)


@pytest.mark.parametrize("form", FORMS)
def test_thresholds_are_learned_from_scores_of_any_form(form, answers):
    X, y = answers
    found, expected = (
        MultilabelThresholdClassifierCV(Answers(f), threshold="per_label", random_state=0).fit(X, y)
        for f in (form, np.asarray)
    )
    assert found.response_method_ == "predict_proba"
    assert (expected.threshold_ > 0.1).all()
    assert_allclose(found.threshold_, expected.threshold_, rtol=1e-6)
    assert_array_equal(found.predict(X), X > expected.threshold_)
    assert_allclose(found.predict_proba(X), X, atol=1e-7)


@pytest.mark.parametrize("top_k", [None, 4])
@pytest.mark.parametrize("form", FORMS)
def test_scores_of_any_form_are_given_out_of_fold(form, top_k, answers):
    X, y = answers
    how = {"method": "predict_proba", "random_state": 0, "top_k": top_k}
    scores = multilabel_cross_val_predict(Answers(form), X, y, **how)
    assert_allclose(scores if top_k is None else scores.toarray(), X, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_scores_of_any_form_are_ranked(form, answers):
    X, y = answers
    model = Answers(form).fit(X, y)
    expected = precision_at_k(y, X.astype(np.float32), k=2)
    assert RankingScorer("precision", k=2)(model, X, y) == expected


@pytest.mark.parametrize(
    "form",
    [
        np.asarray,
        np.ravel,
        as_lists,
        sparse.csr_matrix,
        lambda p: np.hstack([1 - p, p]),
        lambda p: sparse.lil_array(np.hstack([1 - p, p])),
    ],
)
def test_scores_of_a_single_label_are_those_of_its_presence(form, answers):
    X, y = (array[:, :1] for array in answers)
    how = {"method": "predict_proba", "random_state": 0}
    scores = multilabel_cross_val_predict(Answers(form), X, y, **how)
    assert_allclose(scores, X, atol=1e-7)
    tuned = MultilabelThresholdClassifierCV(Answers(form), random_state=0).fit(X, y)
    assert_array_equal(tuned.predict_proba(X), scores)
    assert_array_equal(tuned.predict(X), scores > tuned.threshold_)
    ranked = RankingScorer("precision", k=1)(Answers(form).fit(X, y), X, y)
    assert ranked == precision_at_k(y, X, k=1)


@pytest.mark.parametrize("says", [True, False])
def test_a_frozen_estimator_scores_labels_that_a_fold_lacks(says, answers):
    X, y = answers
    model = Answers(np.asarray).fit(X, y)
    model.label_counts_, model.n_samples_fit_ = y.sum(axis=0), len(y)
    model.label_counts_[1] = 0
    if not says:
        del model.label_counts_
    y = y * (np.arange(y.shape[1]) > 1)  # the first two are nowhere
    how = {"method": "predict_proba", "random_state": 0}
    scores = multilabel_cross_val_predict(FrozenEstimator(model), X, y, **how)
    expected = X.copy()
    expected[:, 1] = -np.inf if says else X[:, 1]
    assert_allclose(scores, expected, atol=1e-7)
    assert (multilabel_cross_val_predict(model, X, y, **how)[:, :2] == -np.inf).all()


def test_the_method_may_be_one_that_is_there_once_the_estimator_is_fitted(answers):
    class Late(Answers):
        @available_if(lambda self: hasattr(self, "classes_"))
        def predict_proba(self, X):
            return super().predict_proba(X)

    X, y = answers
    scores = multilabel_cross_val_predict(Late(np.asarray), X, y, method="predict_proba")
    assert_allclose(scores, X, atol=1e-7)
