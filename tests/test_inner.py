"""The estimator inside others: found, given its documents, and asked what it was trained on."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmltc._inner import (
    end_of_pipeline,
    innermost,
    is_frozen,
    last_step,
    names_at_last_step,
    training_counts,
    with_last_step,
)
from skmltc.metrics import RankingScorer


class Inner(ClassifierMixin, BaseEstimator):
    """Scores are what reaches it; its counts are those of y."""

    def fit(self, X, y):
        self.label_counts_, self.n_samples_fit_ = np.asarray(y).sum(axis=0), len(y)
        return self

    def decision_function(self, X):
        return X


class Plus(FunctionTransformer):
    """Adds a number, to see which way the documents went."""

    def __init__(self, number=1):
        super().__init__()
        self.number = number

    def transform(self, X):
        return X + self.number


class Unmarked(BaseEstimator):
    """Learns nothing, and does not say so."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X + 5


def search(model):
    return GridSearchCV(model, {}, scoring=lambda *given: 0.0, cv=2)


X, Y = np.arange(12.0).reshape(4, 3), np.array([[1, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 0]])
WAYS = {
    "itself": (lambda: Inner().fit(X, Y), 0),
    "pipeline": (lambda: make_pipeline(Plus(), Inner()).fit(X, Y), 1),
    "one step": (lambda: make_pipeline(Inner()).fit(X, Y), 0),
    "pipelines": (lambda: make_pipeline(Plus(), make_pipeline(Plus(2), Inner())).fit(X, Y), 3),
    "nothing learned": (lambda: make_pipeline(Unmarked(), "passthrough", Inner()).fit(X, Y), 5),
    "search": (lambda: search(make_pipeline(Plus(), Inner())).fit(X, Y), 1),
    "in pipeline": (lambda: make_pipeline(Plus(4), search(Inner())).fit(X, Y), 4),
    "frozen": (lambda: FrozenEstimator(Inner().fit(X, Y)), 0),
    "frozen pipeline": (lambda: FrozenEstimator(make_pipeline(Plus(), Inner()).fit(X, Y)), 1),
    "frozen search": (lambda: FrozenEstimator(search(make_pipeline(Plus(), Inner())).fit(X, Y)), 1),
    "frozen at the end": (
        lambda: make_pipeline(
            Plus(2), FrozenEstimator(make_pipeline(Plus(), Inner()).fit(X, Y))
        ).fit(X, Y),
        3,
    ),
    "frozen twice": (lambda: FrozenEstimator(FrozenEstimator(Inner().fit(X, Y))), 0),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_innermost_estimator_is_found_and_gets_its_documents(way):
    make, added = WAYS[way]
    inner, reached = last_step(make(), X)
    assert type(inner) is Inner
    assert_array_equal(reached, X + added)


@pytest.mark.parametrize("way", WAYS)
def test_a_ranking_scorer_weighs_by_the_counts_of_the_innermost_estimator(way):
    estimator = WAYS[way][0]()
    scorer = RankingScorer("psp", k=2)
    assert scorer(estimator, X, Y) == scorer(Inner().fit(X, Y), X, Y) > 0


def test_frozen_is_what_fit_leaves_alone():
    assert {way for way in WAYS if is_frozen(WAYS[way][0]())} == {
        way for way in WAYS if way.startswith("frozen")
    }


def test_pipelines_alone_are_opened_before_fit():
    model, searched = Inner(), search(Inner())
    for given in (model, make_pipeline(Plus(), model), make_pipeline(Plus(), make_pipeline(model))):
        assert end_of_pipeline(given) is model
    assert end_of_pipeline(make_pipeline(Plus(), searched)) is searched


@pytest.mark.parametrize("way", WAYS)
def test_training_counts_are_those_of_the_innermost_estimator(way):
    counts, n_samples = training_counts(WAYS[way][0](), 3)
    assert counts.tolist() == [3, 2, 1] and n_samples == 4


def test_training_counts_may_be_missing():
    estimator = Inner().fit(X, Y)
    assert training_counts(estimator, 4) is None and training_counts(Plus(), 3) is None
    del estimator.n_samples_fit_
    assert training_counts(estimator, 3) is None


class Named(Plus):
    """Says what it did to each column."""

    def get_feature_names_out(self, input_features=None):
        return [f"{name}+{self.number}" for name in input_features or ["x0", "x1"]]


@pytest.mark.parametrize("names", [None, ["a", "b"]])
def test_names_go_through_the_steps_before_the_last(names):
    model = make_pipeline(Named(1), search(make_pipeline(Named(2), Inner())))
    model.fit(np.eye(4)[:, :2], np.eye(4, 2, dtype=int))
    assert names_at_last_step(model, names) == [f"{name}+1+2" for name in names or ["x0", "x1"]]
    assert isinstance(innermost(model), Inner)
    assert names_at_last_step(innermost(model), names) == names


def test_a_step_that_names_nothing_leaves_no_names():
    model = make_pipeline(Plus(1), Inner()).fit(np.eye(2), np.eye(2, dtype=int))
    assert names_at_last_step(model, ["a", "b"]) is None


@pytest.mark.parametrize("way", ["itself", "pipeline", "one step", "pipelines"])
def test_another_last_step_leaves_the_estimator_as_it_was(way):
    estimator, other = WAYS[way][0](), Inner().fit(X[:2], Y[:2])
    inner = end_of_pipeline(estimator)
    changed = with_last_step(estimator, other)
    assert end_of_pipeline(changed) is other and end_of_pipeline(estimator) is inner
    assert_array_equal(last_step(changed, X)[1], last_step(estimator, X)[1])
