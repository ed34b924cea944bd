"""Voting: the mean decision of several classifiers."""

import math
import pickle

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.svm import LinearSVC

from skmltc import BalancedLossClassifier
from skmltc.decision import MultilabelThresholdClassifierCV, MultilabelVotingClassifier
from skmltc.metrics import RankingScorer

FORMATS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.coo_array]
N_LABELS = 8
ABSENT = N_LABELS  # the column of the label without documents, where there is one
pytestmark = [
    pytest.mark.filterwarnings("ignore:Label .* is present in all training examples"),
    pytest.mark.filterwarnings("ignore:1 of 9 labels have no training document"),
]


def svc(**options):
    return OneVsRestClassifier(LinearSVC(random_state=0, **options))


def logistic(**options):
    return OneVsRestClassifier(LogisticRegression(solver="liblinear", **options))


def text_model():
    return make_pipeline(TfidfVectorizer(max_features=300), svc())


def dense(y):
    return y.toarray() if sparse.issparse(y) else np.asarray(y)


@pytest.mark.parametrize("weights", [None, [1, 1], [3, 1], [0, 2.0], np.array([0.2, 0.1])])
def test_voting_is_the_weighted_mean(weights, X, y_absent):
    members = [("svc", svc()), ("logistic", logistic(C=5))]
    vote = MultilabelVotingClassifier(members, weights=weights).fit(X, sparse.csr_array(y_absent))
    a, b = (clone(model).fit(X, y_absent).decision_function(X) for _, model in members)
    first, second = [1, 1] if weights is None else weights
    expected = (first * a + second * b) / (first + second)
    assert_allclose(vote.decision_function(X), expected, rtol=1e-4, atol=1e-6)
    assert_array_equal(
        vote.predict(X).toarray(), (expected > 0) & (np.arange(N_LABELS + 1) != ABSENT)
    )


def per_label():
    """Learned cut-offs that differ from label to label."""
    return MultilabelThresholdClassifierCV(svc(), threshold="per_label", cv=2, random_state=0)


def around(model, *layers):
    """The model inside one or several pipelines and searches, the innermost layer first."""
    for layer in layers:
        if layer == "pipeline":
            model = make_pipeline(MaxAbsScaler(), model)
        elif layer == "frozen":
            model = FrozenEstimator(model)
        else:
            model = GridSearchCV(model, {}, scoring=RankingScorer("precision"), cv=2)
    return model


def fitted_then_frozen(model, layers, X, y):
    """The same, with what is frozen fitted before it is."""
    inner = layers[: layers.index("frozen")]
    fitted = around(model, *inner).fit(X, y)
    return around(fitted, *layers[len(inner) :])


LAYERS = [
    [],
    ["pipeline"],
    ["search"],
    ["pipeline", "pipeline"],
    ["pipeline", "search"],
    ["search", "pipeline"],
    ["pipeline", "search", "pipeline"],
    ["pipeline", "search", "frozen"],
    ["frozen", "pipeline"],
]


@pytest.mark.parametrize("layers", LAYERS, ids="-".join)
def test_members_with_cut_offs_vote_by_what_lies_above_them(layers, X, y):
    X = MaxAbsScaler().fit_transform(X)  # to scale it again changes nothing
    layered = around(per_label(), *layers)
    if "frozen" in layers:
        layered = fitted_then_frozen(per_label(), layers, X, y)
    members = [("a", layered), ("b", svc())]
    vote = MultilabelVotingClassifier(members).fit(X, y)
    a, b = (clone(model).fit(X, y) for model in (per_label(), svc()))
    assert len(np.unique(a.threshold_)) > 1
    expected = (a.decision_function(X) - a.threshold_ + b.decision_function(X)) / 2
    assert_allclose(vote.decision_function(X), expected, atol=1e-5)


@pytest.mark.parametrize("layers", LAYERS, ids="-".join)
def test_a_member_alone_predicts_what_it_predicts_by_itself(layers, X, corpus):
    model = BalancedLossClassifier(weight_decay=0.03, random_state=0)
    member = around(model, *layers)
    if "frozen" in layers:
        member = fitted_then_frozen(model, layers, X, corpus.target)
    vote = MultilabelVotingClassifier([("a", member)]).fit(X, corpus.target)
    predicted = vote.predict(X)
    assert_array_equal(predicted.toarray(), vote.estimators_[0].predict(X).toarray())
    assert 0.5 < predicted.sum() / corpus.target.sum() < 2  # cut at 0 it is 3.5


def test_a_number_that_becomes_the_threshold_of_a_fitted_member_counts(X, corpus):
    member = BalancedLossClassifier(weight_decay=0.03, random_state=0)
    vote = MultilabelVotingClassifier([("a", member)]).fit(X, corpus.target)
    before = vote.predict(X).sum()
    vote.estimators_[0].set_params(threshold=0.6)
    assert_array_equal(vote.predict(X).toarray(), vote.estimators_[0].predict(X).toarray())
    assert vote.predict(X).sum() != before


def test_the_cut_offs_of_a_search_are_those_of_its_best_candidate(X, y):
    grid = {"estimator__estimator__C": [0.001, 1.0]}
    search = GridSearchCV(per_label(), grid, scoring="f1_micro", cv=2)
    vote = MultilabelVotingClassifier([("a", search)]).fit(X, y)
    (searched,) = vote.estimators_
    assert searched.best_params_ == {"estimator__estimator__C": 1.0}
    cut_offs = searched.best_estimator_.threshold_
    expected = searched.decision_function(X) - cut_offs
    assert_allclose(vote.decision_function(X), expected, atol=1e-5)


@pytest.mark.parametrize("layers", [[], ["pipeline"], ["search", "pipeline"]], ids="-".join)
@pytest.mark.parametrize("rule", ["tuned", "per_label"])
def test_a_member_that_cuts_probabilities_votes_by_their_log_odds(rule, layers, X, y):
    X = MaxAbsScaler().fit_transform(X)
    tuned = MultilabelThresholdClassifierCV(
        logistic(C=10), threshold=rule, response_method="predict_proba", random_state=0
    )
    vote = MultilabelVotingClassifier([("a", around(tuned, *layers)), ("b", svc())]).fit(X, y)
    a, b = tuned.fit(X, y), svc().fit(X, y)
    expected = (logit(a.predict_proba(X)) - logit(a.threshold_) + b.decision_function(X)) / 2
    assert_allclose(vote.decision_function(X), expected, rtol=1e-4, atol=1e-4)
    alone = MultilabelVotingClassifier([("a", around(tuned, *layers))]).fit(X, y)
    assert_array_equal(alone.predict(X), a.predict(X))


def test_members_that_have_probabilities_alone_vote_by_their_log_odds(X, y):
    bayes = OneVsRestClassifier(MultinomialNB())
    vote = MultilabelVotingClassifier([("a", bayes), ("b", svc())]).fit(X, y)
    a, b = bayes.fit(X, y).predict_proba(X), svc().fit(X, y).decision_function(X)
    assert_allclose(vote.decision_function(X), (logit(a) + b) / 2, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rule", ["tuned", "frequency"])
def test_probabilities_of_zero_and_one_have_finite_votes(rule, X, y_absent):
    forest = RandomForestClassifier(5, random_state=0)
    vote = MultilabelVotingClassifier([("a", forest), ("b", svc())]).fit(X, y_absent)
    assert (forest.fit(X, y_absent).predict_proba(X)[0][:, 0] == 1).any()
    assert np.isfinite(vote.decision_function(X)).all()
    tuned = MultilabelThresholdClassifierCV(forest, threshold=rule, random_state=0)
    alone = MultilabelVotingClassifier([("a", tuned)]).fit(X, y_absent)
    assert_array_equal(alone.predict(X), alone.estimators_[0].predict(X))


class Probabilities(ClassifierMixin, BaseEstimator):
    """The same probabilities of every document, cut where it is told."""

    def __init__(self, probabilities=(0.0, 0.5, 1.0), cut_offs=(0.5, 0.5, 0.5)):
        self.probabilities, self.cut_offs = probabilities, cut_offs

    def fit(self, X, y):
        self.response_method_, self.decision_ = "predict_proba", None
        self.threshold_ = np.array(self.cut_offs)
        return self

    def predict_proba(self, X):
        return np.tile(self.probabilities, (X.shape[0], 1))


@pytest.mark.parametrize("cut_offs", [[-0.1, 0.5, 1.0], [0.0, 0.6, 1.2], [-1, -1, -1], [2, 2, 2]])
def test_cut_offs_beyond_all_probabilities_keep_their_meaning(cut_offs):
    X, y = np.zeros((4, 1)), np.eye(4, 3, dtype=int)
    member = Probabilities((1e-3, 0.55, 1.0), cut_offs)
    vote = MultilabelVotingClassifier([("a", member)]).fit(X, y)
    assert_array_equal(vote.predict(X)[0], np.array(member.probabilities) > cut_offs)


def test_dropped_members_do_not_vote(X, y):
    members = [("a", svc()), ("b", logistic()), ("c", logistic(C=9))]
    vote = MultilabelVotingClassifier(members, weights=[1, 2, 3]).set_params(b="drop").fit(X, y)
    a, c = (clone(members[i][1]).fit(X, y).decision_function(X) for i in (0, 2))
    assert_allclose(vote.decision_function(X), (a + 3 * c) / 4, rtol=1e-4, atol=1e-5)
    assert len(vote.estimators_) == 2 and vote.named_estimators_["b"] == "drop"
    assert vote.named_estimators_["c"] is vote.estimators_[1]
    before = vote.predict(X)
    assert_array_equal(vote.set_params(a="drop").predict(X), before)  # until the next fit
    assert vote.fit(X, y).named_estimators_["a"] == "drop" and len(vote.estimators_) == 1
    assert clone(vote).get_params()["b"] == "drop"


def test_a_vote_of_frozen_members_keeps_their_training_counts(X, y):
    lacking = y[:, 1] == 0
    models = [BalancedLossClassifier(weight_decay=w).fit(X, y) for w in (0.1, 1.0)]
    members = [(f"m{i}", FrozenEstimator(model)) for i, model in enumerate(models)]
    vote = MultilabelVotingClassifier(members).fit(X[lacking], y[lacking])
    assert_array_equal(vote.label_counts_, y.sum(axis=0))
    assert vote.n_samples_fit_ == len(y) and vote.predict(X)[:, 1].any()
    with pytest.warns(UserWarning, match="1 of 8 labels have no training document"):
        mixed = MultilabelVotingClassifier([*members, ("c", svc())]).fit(X[lacking], y[lacking])
    assert_array_equal(mixed.label_counts_, y[lacking].sum(axis=0))


def test_a_label_that_a_member_never_predicts_votes_by_its_decision_value(X, y_absent):
    vote = MultilabelVotingClassifier([("a", per_label())]).fit(X, y_absent)
    assert vote.estimators_[0].threshold_[ABSENT] == math.inf
    assert_array_equal(vote.decision_function(X)[:, ABSENT], 0)


def test_a_vote_is_a_member_that_is_cut_at_zero(X, y):
    inner = MultilabelVotingClassifier([("a", svc()), ("b", per_label())])
    vote = MultilabelVotingClassifier([("inner", inner), ("c", logistic())]).fit(X, y)
    parts = [member.decision_function(X) for member in vote.estimators_]
    assert_allclose(vote.decision_function(X), np.mean(parts, axis=0), atol=1e-6)


def test_weights_may_change_after_fit(X, y):
    vote = MultilabelVotingClassifier([("a", svc()), ("b", logistic())]).fit(X, y)
    vote.set_params(weights=[0, 1])
    assert_allclose(vote.decision_function(X), vote.estimators_[1].decision_function(X), rtol=1e-5)


def test_members_with_texts_and_features_of_their_own(corpus):
    pairs = make_pipeline(TfidfVectorizer(ngram_range=(2, 2), max_features=400), svc())
    vote = MultilabelVotingClassifier([("words", text_model()), ("pairs", pairs)])
    vote.fit(corpus.data, corpus.target)
    parts = [
        clone(model).fit(corpus.data, corpus.target).decision_function(corpus.data)
        for model in (text_model(), pairs)
    ]
    assert_allclose(vote.decision_function(corpus.data), np.mean(parts, axis=0), atol=1e-6)
    tuned = MultilabelThresholdClassifierCV(vote, random_state=0).fit(corpus.data, corpus.target)
    assert (tuned.threshold_ < 0).all()
    above = vote.decision_function(corpus.data) > tuned.threshold_
    assert_array_equal(tuned.predict(corpus.data).toarray(), above)
    assert above.sum() > vote.predict(corpus.data).sum()


def test_parameters_of_members():
    vote = MultilabelVotingClassifier([("a", svc()), ("b", logistic(C=3.0))], weights=[1, 2])
    parameters = vote.get_params()
    assert parameters["b__estimator__C"] == 3.0 and parameters["a"] is vote.estimators[0][1]
    assert set(vote.get_params(deep=False)) == {"estimators", "weights", "n_jobs"}
    assert vote.set_params(a__estimator__C=0.5, weights=[2, 2]) is vote
    assert vote.estimators[0][1].estimator.C == 0.5 and vote.weights == [2, 2]
    replacement = logistic()
    vote.set_params(a=replacement, a__estimator__C=7.0)
    assert vote.estimators[0][1] is replacement and replacement.estimator.C == 7.0
    assert [name for name, _ in vote.estimators] == ["a", "b"]
    copy = clone(vote)
    assert copy.estimators[0][1] is not replacement and copy.get_params()["a__estimator__C"] == 7.0
    vote.set_params(estimators=[("c", svc())])
    assert (
        list(vote.get_params()) != list(copy.get_params()) and "c__estimator" in vote.get_params()
    )


def test_grid_search_over_members(X, corpus):
    vote = MultilabelVotingClassifier([("a", svc()), ("b", logistic())])
    grid = {"a__estimator__C": [0.001, 1.0], "b": [svc(), logistic(C=10)], "weights": [[2, 1]]}
    search = GridSearchCV(vote, grid, scoring="f1_micro", cv=2, error_score="raise")
    assert search.fit(X, corpus.target).best_params_["a__estimator__C"] == 1.0
    tuned = MultilabelThresholdClassifierCV(vote, cv=2, random_state=0)
    grid = {"estimator__a__estimator__C": [1.0], "threshold": ["tuned", "frequency"]}
    search = GridSearchCV(tuned, grid, scoring="f1_macro", cv=2, error_score="raise")
    assert 0 < search.fit(X, corpus.target).best_score_ <= 1


def test_voting_leaves_its_members_unfitted_and_can_be_pickled(X, corpus):
    members = [("a", svc()), ("b", logistic())]
    vote = MultilabelVotingClassifier(members).fit(X, corpus.target)
    assert not hasattr(members[0][1], "classes_") and len(vote.estimators_) == 2
    loaded = pickle.loads(pickle.dumps(vote))
    assert_array_equal(loaded.decision_function(X), vote.decision_function(X))
    assert_array_equal(loaded.predict(X).toarray(), vote.predict(X).toarray())


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_jobs_change_nothing(backend, X, corpus):
    members = [("a", svc()), ("b", logistic())]
    alone = MultilabelVotingClassifier(members).fit(X, corpus.target)
    with parallel_config(backend):
        vote = MultilabelVotingClassifier(members, n_jobs=2).fit(X, corpus.target)
    assert [type(m.estimator) for m in vote.estimators_] == [LinearSVC, LogisticRegression]
    # liblinear draws its order of coordinates from a generator that threads share.
    assert_allclose(vote.decision_function(X), alone.decision_function(X), atol=1e-4)


@pytest.mark.parametrize("given_as", FORMATS)
@pytest.mark.parametrize("n_labels", [1, 2, 3])
def test_voting_on_few_labels(n_labels, given_as, X, y):
    y = y[:, :n_labels]
    vote = MultilabelVotingClassifier([("a", svc()), ("b", logistic())]).fit(X, given_as(y))
    assert vote.decision_function(X).shape == y.shape
    predicted = vote.predict(X)
    assert sparse.issparse(predicted) == sparse.issparse(given_as(y)) and predicted.shape == y.shape
    assert_array_equal(dense(predicted), vote.decision_function(X) > 0)
    tuned = MultilabelThresholdClassifierCV(vote, random_state=0).fit(X, given_as(y))
    assert f1_score(y, dense(tuned.predict(X)), average="micro") > 0.8


@pytest.mark.parametrize(
    ("members", "options", "match"),
    [
        ([], {}, "estimators must be a list of"),
        ([("a", svc()), ("a", svc())], {}, "Names provided are not unique"),
        ([("a__b", svc())], {}, "must not contain __"),
        ([("weights", svc())], {}, "names conflict with constructor arguments"),
        (
            [("a", svc()), ("p", MaxAbsScaler())],
            {},
            "estimator 'p' must be one with decision_function or predict_proba. Got MaxAbsScaler",
        ),
        ([("a", "drop")], {}, "estimators must be a list of .* not all dropped. Got"),
        ([("a", "dorp")], {}, "estimator 'a' must be one with decision_function .* Got 'dorp'"),
        ("drop", {}, "estimators must be a list of"),
        ([("a", svc()), 3], {}, "estimators must be a list of"),
        (
            [("a", LinearSVC), ("b", svc())],
            {},
            r"estimator 'a' must be one with .* Give an object of the class, LinearSVC\(",
        ),
        ([("a", svc())], {"weights": "even"}, "weights must be 1 numbers.* Got 'even' instead"),
        ([("a", svc())], {"weights": {}}, "weights must be 1 numbers"),
        ([("a", svc())], {"n_jobs": "all"}, "'n_jobs' .* must be .* Got 'all' instead"),
        ([("a", svc())], {"weights": [1, 2]}, "weights must be 1 numbers"),
        ([("a", svc())], {"weights": 1}, "weights must be 1 numbers"),
        ([("a", svc()), ("b", svc())], {"weights": [0, 0]}, "weights must be 2 numbers"),
        ([("a", svc()), ("b", "drop")], {"weights": [0, 1]}, "weights must be 2 numbers"),
        ([("a", svc()), ("b", svc())], {"weights": [2, -1]}, "weights must be 2 .* not below 0"),
        ([("a", svc()), ("b", svc())], {"weights": [1, math.nan]}, "weights must be 2 numbers"),
    ],
)
def test_bad_members(members, options, match, X, y):
    with pytest.raises(ValueError, match=match):
        MultilabelVotingClassifier(members, **options).fit(X, y)


@pytest.mark.parametrize("estimators", [svc(), [svc()], "all", None, []])
def test_what_is_no_list_of_members_is_refused_by_what_asks_for_tags_alone(estimators):
    with pytest.raises(ValueError, match="^estimators must be a list of"):
        cross_val_score(MultilabelVotingClassifier(estimators), np.eye(4), np.eye(4))
