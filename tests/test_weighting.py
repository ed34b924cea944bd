"""Weights of documents on their way into classifiers inside others."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skmltc import BalancedLossClassifier, LongTailClassifier
from skmltc._weighting import fit_weighted
from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import MultilabelThresholdClassifierCV, MultilabelVotingClassifier

LOGISTIC = LogisticRegression(tol=1e-8)
LINEAR = BalancedLossClassifier(weight_decay=0.1, loss="bce", random_state=0)
N_FIT = 90  # of 120 documents; the others are an official validation part


def tuned(model, **options):
    return MultilabelThresholdClassifierCV(model, random_state=0, **options)


def voting(model):
    return MultilabelVotingClassifier([("a", model), ("b", clone(model)), ("c", "drop")])


around_both = pytest.mark.parametrize("around", [tuned, voting])


@pytest.fixture(scope="module")
def data():
    """Features, indicators of frequent labels, and weights 0 to 3; not to be changed."""
    corpus = make_long_tailed_corpus(120, 5, n_words=30, exponent=0.5, random_state=0)
    X = TfidfVectorizer(max_features=60).fit_transform(corpus.data).toarray()
    weights = np.random.RandomState(0).randint(0, 4, 120)
    return X, corpus.target.toarray().astype(int), weights


@pytest.mark.parametrize(
    "model",
    [
        OneVsRestClassifier(LOGISTIC),
        MultiOutputClassifier(LOGISTIC),
        make_pipeline(MaxAbsScaler(), OneVsRestClassifier(LOGISTIC)),
        make_pipeline(
            StandardScaler(), make_pipeline(MaxAbsScaler(), MultiOutputClassifier(LOGISTIC))
        ),
        DecisionTreeClassifier(max_depth=2, random_state=0),
        LINEAR,
        tuned(LINEAR),
        voting(OneVsRestClassifier(LOGISTIC)),
        GridSearchCV(LINEAR, {"weight_decay": [0.1]}, cv=2),
    ],
    ids=lambda model: str(type(model).__name__),
)
def test_weights_reach_what_knows_the_labels_alone(model, data):
    """A scaler in front of it has no weights, as in a pipeline of scikit-learn's."""
    X, Y, weights = data
    weights = weights + 1.0
    weighted = fit_weighted(clone(model), X, Y, weights)
    plain = fit_weighted(clone(model), X, Y)
    ask = "predict_proba" if hasattr(plain, "predict_proba") else "decision_function"
    of_both = [np.asarray(getattr(one, ask)(X)) for one in (plain, weighted)]
    assert np.abs(of_both[0] - of_both[1]).max() > 1e-3
    if type(model).__name__ == "Pipeline":
        first = weighted.steps[0][1].scale_
        assert_array_equal(first, plain.steps[0][1].scale_)


def test_the_request_is_made_on_the_clone_alone(data):
    X, Y, weights = data
    model = OneVsRestClassifier(LogisticRegression())
    tuned(model).fit(X, Y, sample_weight=weights)
    assert "_metadata_request" not in vars(model.estimator)
    with config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError):
            model.fit(X, Y, sample_weight=weights)


@around_both
@pytest.mark.parametrize(
    "model", [KNeighborsClassifier(), OneVsRestClassifier(KNeighborsClassifier())]
)
def test_a_classifier_that_takes_no_weights_is_refused(around, model, data):
    X, Y, weights = data
    message = "estimator must be one whose fit takes sample_weight, where weights are given. Got "
    with pytest.raises(ValueError, match=message):
        around(model).fit(X, Y, sample_weight=weights)


@around_both
def test_a_document_of_weight_two_is_the_document_twice(around, data):
    X, Y, weights = data
    rows = np.repeat(np.arange(120), weights)
    part = np.where(np.arange(120) < N_FIT, -1, 0)
    model = around(OneVsRestClassifier(LOGISTIC))
    weighted, twice = clone(model), clone(model)
    if around is tuned:
        weighted.set_params(cv=PredefinedSplit(part))
        twice.set_params(cv=PredefinedSplit(part[rows]))
    weighted.fit(X, Y, sample_weight=weights), twice.fit(X[rows], Y[rows])
    assert_allclose(weighted.decision_function(X), twice.decision_function(X), atol=1e-4)
    assert_allclose(weighted.threshold_, twice.threshold_, atol=1e-4)
    assert_array_equal(weighted.label_counts_, twice.label_counts_)
    assert weighted.n_samples_fit_ == twice.n_samples_fit_


@around_both
def test_a_document_of_weight_zero_is_left_out(around, data):
    X, Y, weights = data
    left = weights > 0
    spoilt = np.where(left[:, None], Y, 1 - Y)
    model = around(OneVsRestClassifier(LOGISTIC))
    if around is tuned:
        model.set_params(cv=PredefinedSplit(np.arange(120) % 3))
    weighted, other = (clone(model).fit(X, y, sample_weight=weights) for y in (Y, spoilt))
    assert_array_equal(weighted.decision_function(X), other.decision_function(X))
    assert_array_equal(weighted.threshold_, other.threshold_)


def test_cut_offs_of_a_frozen_estimator_are_learned_from_weights(data):
    X, Y, weights = data
    rows = np.repeat(np.arange(120), weights)
    model = tuned(FrozenEstimator(OneVsRestClassifier(LOGISTIC).fit(X, Y)), threshold="tuned")
    weighted = clone(model).fit(X, Y, sample_weight=weights)
    twice = clone(model).fit(X[rows], Y[rows])
    plain = clone(model).fit(X, Y)
    assert_allclose(weighted.threshold_, twice.threshold_, atol=1e-6)
    assert not np.allclose(weighted.threshold_, plain.threshold_)


@around_both
def test_routing_hands_weights_to_those_that_request_them(around, data):
    X, Y, weights = data
    with config_context(enable_metadata_routing=True):
        asking = around(clone(LINEAR).set_fit_request(sample_weight=True))
        asking.fit(X, Y, sample_weight=weights)
        silent = around(clone(LINEAR).set_fit_request(sample_weight=False))
        silent.fit(X, Y, sample_weight=weights)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            around(clone(LINEAR)).fit(X, Y, sample_weight=weights)
    plain = around(clone(LINEAR)).fit(X[weights > 0], Y[weights > 0])
    assert_allclose(silent.decision_function(X), plain.decision_function(X))
    assert np.abs(asking.decision_function(X) - plain.decision_function(X)).max() > 1e-2
    assert asking.n_samples_fit_ == silent.n_samples_fit_ == weights.sum()


@around_both
def test_a_search_routes_weights_through(around, data):
    X, Y, weights = data
    with config_context(enable_metadata_routing=True):
        model = around(clone(LINEAR).set_fit_request(sample_weight=True))
        model.set_fit_request(sample_weight=True)
        name = "estimator" if around is tuned else "a"
        grid = {f"{name}__weight_decay": [0.1]}
        search = GridSearchCV(model, grid, cv=2, scoring=lambda model, X, y: 0.0)
        search.fit(X, Y, sample_weight=weights)
    assert search.best_estimator_.n_samples_fit_ == weights.sum()


@pytest.mark.parametrize(
    "fitted_by",
    [
        lambda: MultilabelThresholdClassifierCV(clone(LINEAR), random_state=0),
        lambda: LongTailClassifier([("linear", clone(LINEAR))], random_state=0),
    ],
)
def test_a_class_without_weight_is_refused(fitted_by, data):
    X, Y = data[0], data[1]
    y = np.asarray(Y)[:, :3].argmax(axis=1)
    with pytest.raises(ValueError, match="of each class. Got 0 for all of class 1 instead"):
        fitted_by().fit(X, y, sample_weight=(y != 1) * 1.0)


def test_folds_whose_documents_have_no_weight_are_left_out(data):
    X, Y = data[0], data[1]
    n = X.shape[0]
    weights = np.ones(n)
    weights[: n // 4] = 0
    parts = np.arange(n) * 4 // n
    folds = [(list(np.flatnonzero(parts != k)), list(np.flatnonzero(parts == k))) for k in range(4)]
    for model in (
        MultilabelThresholdClassifierCV(clone(LINEAR), cv=folds),
        LongTailClassifier([("linear", clone(LINEAR))], cv=folds, random_state=0),
    ):
        assert model.fit(X, Y, sample_weight=weights).predict(X).shape == Y.shape
