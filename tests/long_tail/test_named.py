"""Members by name: their parameters, what is refused, and the fitted ones."""

import pytest
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.svm import LinearSVC

from skmltc import BalancedLossClassifier, LongTailClassifier
from skmltc.datasets import make_long_tailed_corpus
from skmltc.neighbors import MultilabelKNeighborsClassifier


def linear(**options):
    return BalancedLossClassifier(loss="squared_hinge", weight_decay=1.0, **options)


def two(**options):
    members = [("linear", linear()), ("neighbors", MultilabelKNeighborsClassifier(80))]
    return LongTailClassifier(members, random_state=0, **options)


def naive_bayes():
    return OneVsRestClassifier(MultinomialNB())


@pytest.fixture(scope="module")
def parts():
    """Documents and their labels."""
    corpus = make_long_tailed_corpus(150, 6, n_words=30, random_state=1)
    return TfidfVectorizer().fit_transform(corpus.data), corpus.target.toarray()


def test_parameters_of_members_are_set_by_name():
    model = two()
    model.set_params(linear__weight_decay=2.5, neighbors="drop")
    assert model.get_params()["linear__weight_decay"] == 2.5
    assert dict(model.estimators)["neighbors"] == "drop"
    assert clone(model).get_params()["linear__weight_decay"] == 2.5
    assert LongTailClassifier().get_params()["estimators"] == "auto"


def test_parameters_of_the_members_of_auto_want_a_list():
    expected = r"estimators must be a list of \(name, classifier\) pairs"
    with pytest.raises(ValueError, match=expected + r'.*\[\("linear", BalancedLossClassifier'):
        LongTailClassifier().set_params(linear__weight_decay=2.5)


def test_a_transformer_is_told_from_a_member(parts):
    X, Y = parts[:2]
    for transformer in (TfidfVectorizer(), make_pipeline(MaxAbsScaler(), TfidfVectorizer())):
        with pytest.raises(TypeError, match="So says the member 'v'. It is a transformer, and mem"):
            LongTailClassifier([("v", transformer)]).fit(X, Y)


def test_a_classifier_that_fails_is_heard_though_it_has_no_scores_before_fit(parts):
    stack = OneVsRestClassifier(StackingClassifier([("s", LinearSVC(C=-1))]))
    with pytest.raises(ValueError, match="'C' parameter of LinearSVC .* So says the member 'm'"):
        LongTailClassifier([("m", stack)]).fit(*parts[:2])


@pytest.mark.parametrize(
    "estimators, message",
    [
        ("all", "estimators must be 'auto' or a list of"),
        ([], "estimators must be 'auto' or a list of"),
        ([("a", "drop")], "estimators must be 'auto' or a list of"),
        ([("a", linear()), ("a", naive_bayes())], "Names provided are not unique"),
        ([("threshold", linear())], "conflict with constructor arguments"),
        (
            [("mute", LinearRegression())],
            "estimator 'mute' must be one with decision_function or predict_pro",
        ),
        ([("a", linear), ("b", 3)], "estimator 'a' must be a classifier"),
        (
            [("a", MultinomialNB)],
            r"estimator 'a' must be a classifier .* an object of the class, MultinomialNB\(",
        ),
        ([("a", "dropped"), ("b", linear())], "estimator 'a' must be a classifier or 'drop'"),
        ([linear()], "estimators must be 'auto' or a list of"),
        ([("a", linear(), 1)], "estimators must be 'auto' or a list of"),
        ([(1, linear())], "estimators must be 'auto' or a list of"),
    ],
)
def test_other_members_are_refused(parts, estimators, message):
    with pytest.raises(ValueError, match=message):
        LongTailClassifier(estimators).fit(*parts[:2])


@pytest.mark.parametrize("estimators", [linear(), [linear()], "all", None, [("a", MultinomialNB)]])
def test_other_members_are_refused_by_what_asks_for_tags_alone(parts, estimators):
    with pytest.raises(ValueError, match="^estimator(s| 'a') must be "):
        cross_val_score(LongTailClassifier(estimators), *parts)


def test_members_are_there_as_in_a_stacking_classifier(parts):
    members = [("linear", linear()), ("b", "drop"), ("near", MultilabelKNeighborsClassifier())]
    model = LongTailClassifier(members, random_state=0)
    assert not hasattr(model, "estimators_") and not hasattr(model, "named_estimators_")
    model.fit(*parts[:2])
    assert model.estimators_ == [model.members_.linear, model.members_.near]
    assert model.named_estimators_.b == "drop" and "b" not in model.members_
    assert model.named_estimators_.near is model.members_.near
    auto = LongTailClassifier(random_state=0).fit(*parts[:2])
    assert auto.named_estimators_ == auto.members_
