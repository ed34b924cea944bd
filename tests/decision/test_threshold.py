"""Learned cut-offs around scikit-learn's multi-label classifiers."""

import math
import pickle
import threading
import time
import warnings

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler
from sklearn.svm import LinearSVC
from sklearn.utils.metaestimators import available_if
from skorch.callbacks import Callback

from skmltc import BalancedLossClassifier, HybridSiameseClassifier
from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import (
    RULES,
    Decision,
    Given,
    MultilabelThresholdClassifierCV,
    MultilabelVotingClassifier,
    ScoredPairs,
)
from skmltc.encoders import BagEncoder, TextCNN
from skmltc.labels import LabelWarning, inverse_propensities
from skmltc.metrics import RankingScorer, precision_at_k
from skmltc.model_selection import MultilabelStratifiedKFold, multilabel_train_test_split
from skmltc.text import TokenSequenceVectorizer

N_LABELS = 8
ABSENT = N_LABELS  # the column of the label without documents, where there is one
AVERAGES = ("micro", "macro")
FOLDS = KFold(3, shuffle=True, random_state=0)
pytestmark = [
    pytest.mark.filterwarnings("ignore:Label .* is present in all training examples"),
    pytest.mark.filterwarnings("ignore:. of 9 labels have no training document"),
]


def svc(**options):
    return OneVsRestClassifier(LinearSVC(random_state=0, **options))


def logistic(**options):
    return OneVsRestClassifier(LogisticRegression(solver="liblinear", **options))


def text_model():
    return make_pipeline(TfidfVectorizer(max_features=300), svc())


def dense(y):
    return y.toarray() if sparse.issparse(y) else np.asarray(y)


# ----------------------------------------------------------------- the whole of fit, in loops


def loop_out_of_fold(model, X, y, folds, method="decision_function"):
    """Triples of (label, score, is_true), where a training document of the fold has the label.

    There are so few documents that the best 50 + 5 n of each label are all of them.
    """
    triples = []
    for train, test in folds:
        scores = getattr(clone(model).fit(X[train], y[train]), method)(X[test])
        for i, document in enumerate(test):
            for label in range(y.shape[1]):
                if y[train, label].any():
                    triples.append((label, scores[i, label], y[document, label]))
    return triples


def loop_best_f1(triples, n_positives):
    """Best micro-F1 of one cut-off, trying all."""
    curve, found = [], 0
    for n, (_, _, hit) in enumerate(sorted(triples, key=lambda t: -t[1]), start=1):
        found += hit
        curve.append(2 * found / (n + n_positives))
    return max(curve)


def loop_f1(triples, n_positives, cut_off):
    above = [hit for _, score, hit in triples if score > cut_off]
    return 2 * sum(above) / (len(above) + n_positives)


@pytest.mark.parametrize(
    ("model", "method"),
    [
        (svc(), "decision_function"),
        (svc(class_weight="balanced"), "decision_function"),
        (logistic(C=10), "decision_function"),
        (logistic(C=10), "predict_proba"),
    ],
)
def test_fit_finds_the_best_cut_off_of_the_out_of_fold_scores(model, method, X, y_absent):
    y = y_absent
    y[:, ABSENT - 1] = 0
    y[3, ABSENT - 1] = 1  # no model that has seen the label is asked about its only document
    triples, n_positives = loop_out_of_fold(model, X, y, FOLDS.split(X), method), y.sum()
    assert sum(hit for _, _, hit in triples) == n_positives - 1
    best = loop_best_f1(triples, n_positives)
    for rule, slack in (("tuned", 0), ("tuned_low", 0.003)):
        tuned = MultilabelThresholdClassifierCV(
            model, threshold=rule, response_method=method, cv=FOLDS
        ).fit(X, sparse.csr_array(y))
        cut_off = tuned.threshold_[0]
        assert_array_equal(tuned.threshold_[:ABSENT], cut_off)
        assert best - slack - 1e-12 <= loop_f1(triples, n_positives, cut_off) <= best
        scores = getattr(clone(model).fit(X, y), method)(X)
        expected = (scores > cut_off) & (np.arange(N_LABELS + 1) != ABSENT)
        assert_array_equal(tuned.predict(X).toarray(), expected)


def test_labels_without_a_document_in_a_fold_are_missed_there(X, y_absent):
    y = y_absent
    y[:, :2] = 0
    y[3, 0] = 1  # a label of one document
    _, test = next(FOLDS.split(X))
    y[test[:4], 1] = 1  # all documents of the label in one fold
    wrapper, Y = MultilabelThresholdClassifierCV(svc(), cv=FOLDS), sparse.csr_array(y, dtype="f4")
    pairs = wrapper._score_out_of_fold(Given(X, y, Y), "decision_function", False)
    assert_array_equal(pairs.n_positives, y.sum(axis=0))
    found = sorted(zip(pairs.labels, pairs.scores, pairs.is_true, strict=True))
    triples = loop_out_of_fold(svc(), X, y, FOLDS.split(X))
    assert_allclose(found, sorted(triples), rtol=1e-5, atol=1e-6)
    assert {0, 1, ABSENT}.isdisjoint(label for label, _, hit in found if hit)


@pytest.mark.parametrize("rule", RULES)
def test_a_label_without_documents_is_never_predicted_and_never_tuned_on(rule, X, y, y_absent):
    tuned = MultilabelThresholdClassifierCV(svc(), threshold=rule, cv=FOLDS).fit(X, y_absent)
    assert (tuned.threshold_[:ABSENT] < 0).any() and tuned.threshold_[ABSENT] == math.inf
    assert (tuned.decision_function(X)[:, ABSENT] > tuned.threshold_[:ABSENT].min()).all()
    assert tuned.predict(X)[:, ABSENT].sum() == 0
    assert tuned.set_params(min_labels=ABSENT + 1).predict(X)[:, ABSENT].sum() == 0
    assert tuned.predict(X)[:, :ABSENT].all()
    without = MultilabelThresholdClassifierCV(svc(), threshold=rule, cv=FOLDS).fit(X, y)
    assert_allclose(tuned.threshold_[:ABSENT], without.threshold_)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("method", ["decision_function", "predict_proba"])
@pytest.mark.parametrize("model", [logistic(C=10), BalancedLossClassifier(weight_decay=0.1)])
def test_with_nothing_to_learn_from_as_many_labels_are_predicted_as_y_has(rule, method, model):
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(60, 70)), np.eye(60, 61, dtype=int)  # each label once, and one never
    tuned = MultilabelThresholdClassifierCV(
        model, threshold=rule, response_method=method, random_state=0
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tuned.fit(X, y)
    told = [one for one in said if "No cut-off can be learned" in str(one.message)]
    assert len(told) == 1 and told[0].filename == __file__ and told[0].category is LabelWarning
    assert len(np.unique(tuned.threshold_[:60])) == 1 and tuned.threshold_[60] == math.inf
    assert tuned.predict(X).sum() == 60
    scores = getattr(tuned, method)(X)[:, :60]
    assert tuned.threshold_[0] == pytest.approx(np.sort(scores.ravel())[-61:-59].mean())


def test_a_fold_without_any_label_is_left_out(X, y):
    y[:] = 0
    y[5, 2] = 1
    model = BalancedLossClassifier(weight_decay=0.1)
    tuned = MultilabelThresholdClassifierCV(model, random_state=0)
    with pytest.warns(LabelWarning) as said:
        tuned.fit(X, y)
    told = " ".join(str(one.message) for one in said)
    assert len(said) == 2 and "7 of 8 labels" in told and "No cut-off can be learned" in told
    assert tuned.predict(X).sum() == tuned.predict(X)[5, 2] == 1


# -------------------------------------------------------------- nothing that nobody would read


class Counted(BalancedLossClassifier):
    """Counts its trainings, and the documents that it has held out of them."""

    fits, retrained = [], []

    def _train(self, *args, **options):
        self.fits.append(self)
        return super()._train(*args, **options)

    def _retrain(self, *args):
        self.retrained.append(self)
        return super()._retrain(*args)


class Trainings(Callback):
    n = 0

    def on_train_begin(self, net, **further):
        Trainings.n += 1


IN_A_PIPELINE = [lambda m: m, lambda m: make_pipeline(MaxAbsScaler(), m)]
IN_A_PIPELINE += [lambda m: make_pipeline("passthrough", make_pipeline(MaxAbsScaler(), m))]


@pytest.mark.parametrize("layers", IN_A_PIPELINE)
@pytest.mark.parametrize(
    "options",
    [{"weight_decay": 0.1}, {"encoder": BagEncoder(hidden_dims=(4,)), "early_stopping": False}],
    ids=["linear", "network"],
)
def test_an_estimator_of_ours_is_trained_four_times_and_holds_nothing_out(layers, options, X, y):
    model = Counted(max_epochs=1, callbacks=[Trainings()], random_state=0, **options)
    given = layers(model)
    Counted.fits.clear(), Counted.retrained.clear()
    Trainings.n = 0
    tuned = MultilabelThresholdClassifierCV(given, random_state=0).fit(X, y)
    assert (len(Counted.fits), len(Counted.retrained)) == (4, 0)
    assert Trainings.n in (0, 4)
    assert "_undecided" not in vars(model) and all(one._undecided for one in Counted.fits)
    assert not clone(Counted.fits[0])._undecided and get_params(given) == get_params(clone(given))
    clone(model).fit(X, y)
    assert len(Counted.retrained) == 3  # by itself it holds out
    assert_array_equal(tuned.estimator_.predict(X), tuned.estimator_.predict_proba(X) > 0.5)


def get_params(model):
    """Parameters that can be compared."""
    return {k: v for k, v in model.get_params().items() if isinstance(v, int | float | str)}


def test_an_estimator_that_is_refined_by_held_out_documents_keeps_its_scores(X, y):
    model = HybridSiameseClassifier(
        encoder=BagEncoder(hidden_dims=(8,)), n_triplets=50, max_epochs=2, random_state=0
    )
    tuned = MultilabelThresholdClassifierCV(model, cv=2, random_state=0).fit(X, y)
    assert tuned.estimator_.n_phi_ == clone(model).fit(X, y).n_phi_
    alone = clone(model).set_params(calibrate=False).fit(X, y)
    assert_array_equal(tuned.decision_function(X), alone.decision_function(X))


def test_a_search_inside_scores_by_the_decision_of_its_candidates(X, y):
    Counted.retrained.clear()
    model = Counted(random_state=0)
    search = GridSearchCV(model, {"weight_decay": [0.1]}, cv=2, scoring="f1_micro")
    MultilabelThresholdClassifierCV(search, cv=2, random_state=0).fit(X, y)
    assert len(Counted.retrained) == 3 * 3 * 3  # searches, fits of each, folds of each


# ----------------------------------------------------------------------------- trained elsewhere


@pytest.fixture
def parts(X, y):
    """Training and validation part; the validation part lacks the labels 1 and 6."""
    has = y[:, [1, 6]].any(axis=1)
    validation = np.flatnonzero(~has)[::3]
    return np.setdiff1d(np.arange(len(y)), validation), validation


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_a_frozen_estimator_is_cut_by_its_training_counts(rule, in_pipeline, X, y, parts):
    train, validation = parts
    model = BalancedLossClassifier(weight_decay=0.1, random_state=0).fit(X[train], y[train])
    given = FrozenEstimator(model)
    given = make_pipeline(FunctionTransformer(), given) if in_pipeline else given
    tuned = MultilabelThresholdClassifierCV(given, threshold=rule)
    tuned.fit(X[validation], y[validation])
    assert_array_equal(tuned.label_counts_, y[train].sum(axis=0))
    assert tuned.n_samples_fit_ == len(train) and "_undecided" not in vars(model)
    Y = sparse.csr_array(y, dtype="f4")
    scores = model.decision_function(X[validation])
    pairs = ScoredPairs.collect_rows([scores], Y[train], Y[validation])
    expected = Decision.learn(rule, pairs, y[train].sum(axis=0), len(train)).thresholds
    assert_array_equal(tuned.threshold_, expected)
    assert np.isfinite(tuned.threshold_).all()


def test_a_label_that_a_frozen_estimator_does_not_know_is_never_predicted(X, y, parts):
    train, validation = parts
    y[train, 0] = 0
    with pytest.warns(LabelWarning, match="columns 0"):
        model = BalancedLossClassifier(weight_decay=0.1).fit(X[train], y[train])
    tuned = MultilabelThresholdClassifierCV(FrozenEstimator(model))
    tuned.fit(X[validation], y[validation])
    assert y[validation, 0].any() and tuned.threshold_[0] == math.inf


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("model", [svc(), logistic(C=10), RandomForestClassifier(20)])
def test_a_label_that_a_foreign_frozen_estimator_scores_is_cut(rule, model, X, y, parts):
    train, validation = parts
    y[train, 6] = 0  # all get the same score
    model.fit(X[train], y[train])
    tuned = MultilabelThresholdClassifierCV(FrozenEstimator(model), threshold=rule)
    with pytest.warns(LabelWarning) as said:
        tuned.fit(X[validation], y[validation])
    told = [str(one.message) for one in said]
    assert len(told) == 2 and "1 labels have no document in y (columns 1). The frozen" in told[0]
    assert "same score (columns 6). They will never be predicted" in told[1]
    assert np.isfinite(tuned.threshold_[:6]).all() and tuned.threshold_[6] == math.inf
    assert_array_equal(tuned.label_counts_, y[validation].sum(axis=0))
    if rule in ("tuned", "tuned_low"):
        assert tuned.threshold_[1] == tuned.threshold_[0]
    if rule == "frequency":
        once = tuned.label_counts_ == 1
        assert not once.any() or tuned.threshold_[1] == tuned.threshold_[once][0]


def test_what_a_frozen_estimator_is_tuned_on_may_be_one_document_but_not_without_a_label(X, y):
    model = FrozenEstimator(BalancedLossClassifier(weight_decay=0.1).fit(X, y))
    tuned, first = MultilabelThresholdClassifierCV(model), y.any(axis=1).argmax()
    assert np.isfinite(tuned.fit(X[[first]], y[[first]]).threshold_).all()
    with pytest.raises(ValueError, match="y must be a matrix with at least one positive"):
        tuned.fit(X[:1], 0 * y[:1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        tuned.fit(X, y[1:])


# -------------------------------------------------------------------------- what may be given


def test_a_pipeline_from_texts(corpus, y):
    tuned = MultilabelThresholdClassifierCV(text_model(), random_state=0)
    tuned.fit(corpus.data, corpus.target)
    predicted = tuned.predict(corpus.data)
    assert isinstance(predicted, type(corpus.target))
    assert f1_score(y, predicted.toarray(), average="micro") > 0.8
    as_array = clone(tuned).fit(np.array(corpus.data, dtype=object), corpus.target)
    assert_array_equal(as_array.threshold_, tuned.threshold_)


@pytest.mark.parametrize("given_as", [np.asarray, sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize(
    ("model", "method"),
    [
        (svc(), "decision_function"),
        (logistic(), "decision_function"),
        (logistic(), "predict_proba"),
    ],
)
@pytest.mark.parametrize("n_labels", [1, 2])
def test_one_or_two_labels(n_labels, model, method, given_as, X, y):
    y = y[:, :n_labels]
    tuned = MultilabelThresholdClassifierCV(model, response_method=method, random_state=0)
    predicted = tuned.fit(X, given_as(y)).predict(X)
    assert predicted.shape == y.shape
    assert f1_score(y, dense(predicted), average="micro") > 0.8
    assert tuned.decision_function(X).shape == tuned.predict_topk(X).shape == y.shape
    scores = getattr(tuned, method)(X)
    assert_array_equal(dense(predicted), scores > tuned.threshold_)
    if method == "predict_proba":
        assert_allclose(scores[:, 0], model.fit(X, y[:, 0]).predict_proba(X)[:, -1], rtol=1e-5)


def test_estimators_that_return_a_list_of_probabilities(X, y):
    forest = RandomForestClassifier(n_estimators=10, random_state=0)
    tuned = MultilabelThresholdClassifierCV(forest, random_state=0).fit(X, y)
    assert tuned.response_method_ == "predict_proba"
    expected = np.stack([p[:, 1] for p in tuned.estimator_.predict_proba(X)], axis=1)
    assert_allclose(tuned.predict_proba(X), expected, rtol=1e-6)
    assert_array_equal(tuned.predict(X), tuned.predict_proba(X) > tuned.threshold_)


def test_auto_takes_what_the_estimator_has(X, y):
    assert MultilabelThresholdClassifierCV(logistic()).fit(X, y).response_method_ == (
        "decision_function"
    )
    bayes = MultilabelThresholdClassifierCV(OneVsRestClassifier(MultinomialNB())).fit(X, y)
    assert bayes.response_method_ == "predict_proba"
    assert not hasattr(bayes, "decision_function") and bayes.predict_proba(X).shape == y.shape
    assert not hasattr(MultilabelThresholdClassifierCV(svc()), "predict_proba")


class Late(ClassifierMixin, BaseEstimator):
    """Shows decision_function once it is fitted, as estimators of token ids do."""

    def fit(self, X, y):
        self.estimator_ = logistic().fit(X, y)
        return self

    @available_if(lambda self: hasattr(self, "estimator_"))
    def decision_function(self, X):
        return self.estimator_.decision_function(X)

    def predict_proba(self, X):
        return self.estimator_.predict_proba(X)


def test_auto_takes_what_the_fitted_estimator_has(X, y):
    assert not hasattr(Late(), "decision_function")
    tuned, same = (
        MultilabelThresholdClassifierCV(model, random_state=0).fit(X, y)
        for model in (Late(), logistic())
    )
    assert tuned.response_method_ == "decision_function"
    assert_array_equal(tuned.threshold_, same.threshold_)
    assert_array_equal(tuned.decision_function(X), same.decision_function(X))


def test_the_same_is_cut_however_an_encoder_was_named(corpus, y):
    tokens = TokenSequenceVectorizer(max_length=8).fit_transform(corpus.data)
    models = [
        BalancedLossClassifier(encoder=one, max_epochs=1, early_stopping=False, random_state=0)
        for one in ("auto", "cnn", TextCNN())
    ]
    shown = [hasattr(model, "decision_function") for model in models]
    assert shown == [True, False, False]  # before fit
    tuned = [
        MultilabelThresholdClassifierCV(model, cv=2, random_state=0).fit(tokens, y)
        for model in models
    ]
    for one in tuned:
        assert one.response_method_ == "decision_function"
        assert_array_equal(one.threshold_, tuned[0].threshold_)
        assert_allclose(one.predict_topk(tokens, 2).toarray(), topk(tuned[0], tokens), rtol=1e-6)


def topk(tuned, X):
    """The best two probabilities of each document, without what ranks them."""
    probabilities = tuned.predict_proba(X)
    kept = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    dense = np.zeros_like(probabilities)
    np.put_along_axis(dense, kept, np.take_along_axis(probabilities, kept, axis=1), axis=1)
    return dense


def test_the_response_of_fit_is_cut_even_if_the_parameter_changes(X, y):
    tuned = MultilabelThresholdClassifierCV(logistic(), response_method="predict_proba").fit(X, y)
    before = tuned.predict(X)
    assert_array_equal(tuned.set_params(response_method="decision_function").predict(X), before)


# ------------------------------------------------------------------------------- what it gives


def test_the_threshold_beats_the_default_cut():
    corpus = make_long_tailed_corpus(n_samples=500, n_labels=30, random_state=0)
    X = TfidfVectorizer(max_features=1000).fit_transform(corpus.data)
    X_train, X_test, y_train, y_test = multilabel_train_test_split(
        X, corpus.target, test_size=0.3, random_state=0
    )
    plain = f1_both(y_test, svc().fit(X_train, y_train).predict(X_test))
    for rule in RULES:
        tuned = MultilabelThresholdClassifierCV(svc(), threshold=rule, random_state=0)
        reached = f1_both(y_test, tuned.fit(X_train, y_train).predict(X_test))
        assert reached[0] > plain[0] + 0.03 and reached[1] > plain[1] + 0.05


def f1_both(truth, predicted):
    options = {"zero_division": 0}
    return [f1_score(dense(truth), dense(predicted), average=a, **options) for a in AVERAGES]


def test_min_labels(X, y):
    tuned = MultilabelThresholdClassifierCV(svc(), random_state=0).fit(X, y)
    tuned.decision_ = Decision(tuned.threshold_ + 2)
    few = tuned.predict(X)
    filled = tuned.set_params(min_labels=2).predict(X)
    assert few.sum(axis=1).min() == 0
    assert_array_equal(filled.sum(axis=1), np.maximum(few.sum(axis=1), 2))
    assert (filled >= few).all()


def test_the_scores_of_predict_topk_are_ranked(X, y_absent):
    tuned = MultilabelThresholdClassifierCV(svc(), random_state=0).fit(X, y_absent)
    scores = tuned.decision_function(X)
    ranked = precision_at_k(y_absent, tuned.predict_topk(X, 5), k=3)
    assert_array_equal(ranked, precision_at_k(y_absent[:, :ABSENT], scores[:, :ABSENT], k=3))
    assert RankingScorer("precision", k=3)(tuned, X, y_absent) == ranked


@pytest.mark.parametrize("method", ["decision_function", "predict_proba"])
def test_predict_topk_gives_probabilities_where_there_are_any(method, X, y):
    model = MultilabelThresholdClassifierCV(logistic(C=1e6), response_method=method).fit(X, y)
    best, probabilities = model.predict_topk(X, 3), model.estimator_.predict_proba(X)
    for row in range(len(y)):
        expected = np.argsort(-probabilities[row], kind="stable")[:3]
        assert_array_equal(np.sort(expected), np.sort(best.indices[3 * row : 3 * row + 3]))
    stored = best.tocoo()
    assert_array_equal(stored.data, probabilities[stored.row, stored.col])  # not as float32


@pytest.mark.parametrize("model", [logistic(C=10), BalancedLossClassifier(weight_decay=0.1)])
def test_predict_topk_by_propensity_weighs_probabilities(model, X, y):
    tuned = MultilabelThresholdClassifierCV(model, random_state=0).fit(X, y)
    probabilities = tuned.predict_proba(X)
    weighed = probabilities * inverse_propensities(y.sum(axis=0), len(y))
    top = tuned.predict_topk(X, 2, weight="propensity")
    for row in range(len(y)):
        best = np.sort(np.argsort(-weighed[row], kind="stable")[:2])
        assert_array_equal(top.indices[2 * row : 2 * row + 2], best)
        assert_allclose(top[[row]].toarray()[0, best], probabilities[row, best], rtol=1e-6)


def test_predict_topk_by_propensity_needs_probabilities(X, y):
    tuned = MultilabelThresholdClassifierCV(svc(), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="weight must be None, where there are no probabilities"):
        tuned.predict_topk(X, weight="propensity")


def test_predict_topk_is_that_of_an_estimator_of_ours(corpus, y):
    model = make_pipeline(TfidfVectorizer(), BalancedLossClassifier(weight_decay=1e-4))
    tuned = MultilabelThresholdClassifierCV(model, cv=2).fit(corpus.data, y)
    inner = tuned.estimator_[-1].predict_topk(tuned.estimator_[:-1].transform(corpus.data), 2)
    assert_array_equal(tuned.predict_topk(corpus.data, 2).toarray(), inner.toarray())
    assert 0 < inner.data.min() and inner.data.max() <= 1


def test_decision_values_are_those_of_the_estimator(X, y):
    tuned = MultilabelThresholdClassifierCV(svc(), random_state=0).fit(X, y)
    assert_allclose(tuned.decision_function(X), svc().fit(X, y).decision_function(X), rtol=1e-5)


# ------------------------------------------------------------------- life within scikit-learn


def test_grid_search_over_threshold_and_estimator(corpus):
    tuned = MultilabelThresholdClassifierCV(text_model(), cv=2, random_state=0)
    grid = {
        "threshold": ["tuned", "per_label"],
        "estimator__onevsrestclassifier__estimator__C": [0.001, 1.0],
    }
    for target in (corpus.target, sparse.csr_matrix(corpus.target)):
        search = GridSearchCV(tuned, grid, scoring="f1_micro", cv=2, error_score="raise")
        search.fit(corpus.data, target)
        assert search.best_params_["estimator__onevsrestclassifier__estimator__C"] == 1.0
        assert 0.5 < search.best_score_ <= 1
        assert len(set(search.cv_results_["mean_test_score"])) > 2


def test_cross_validate_with_a_ranking_scorer(X, corpus):
    tuned = MultilabelThresholdClassifierCV(svc(), random_state=0)
    scoring = {"f1": "f1_macro", "psp": RankingScorer("psp", k=3)}
    y = corpus.target.toarray()  # cross_validate itself refuses sparse labels
    scores = cross_validate(tuned, X, y, cv=2, scoring=scoring, error_score="raise")
    assert (scores["test_psp"] > 0.5).all() and (scores["test_f1"] > 0).all()


@pytest.mark.parametrize("cv", [3, FOLDS, MultilabelStratifiedKFold(3, keep_only_documents=False)])
def test_cv_may_be_a_number_or_a_splitter(cv, X, y):
    tuned = MultilabelThresholdClassifierCV(svc(), cv=cv, random_state=0).fit(X, y)
    assert np.isfinite(tuned.threshold_).all()


def test_a_number_of_folds_makes_the_stratified_folds_of_the_seed(X, y):
    folds = MultilabelStratifiedKFold(4, keep_only_documents=False, random_state=3)
    thresholds = [
        MultilabelThresholdClassifierCV(svc(), cv=cv, random_state=3).fit(X, y).threshold_
        for cv in (4, folds)
    ]
    assert_array_equal(*thresholds)


def test_the_seed_decides_the_folds(X, y):
    def threshold(seed):
        tuned = MultilabelThresholdClassifierCV(svc(), threshold="tuned", random_state=seed)
        return tuned.fit(X, y).threshold_[0]

    assert threshold(0) == threshold(0) == threshold(np.random.RandomState(0))
    assert len({threshold(seed) for seed in range(4)}) > 1


def test_cv_as_a_list_of_parts_is_the_splitter_it_came_from(X, y):
    parts = list(FOLDS.split(X))
    thresholds = [
        MultilabelThresholdClassifierCV(svc(), cv=cv).fit(X, y).threshold_ for cv in (FOLDS, parts)
    ]
    assert_array_equal(*thresholds)


def test_cv_must_not_test_a_document_twice(X, y):
    match = (
        "cv must be a splitter with every document in one test part at most. Got [0-9]+ in several"
    )
    with pytest.raises(ValueError, match=match):
        MultilabelThresholdClassifierCV(svc(), cv=ShuffleSplit(3, random_state=0)).fit(X, y)


@pytest.mark.parametrize("rule", ["tuned", "tuned_low"])
def test_an_official_validation_part_is_held_out(rule, X, y):
    held = np.arange(len(y)) % 4 == 0
    cv = PredefinedSplit(np.where(held, 0, -1))
    tuned = MultilabelThresholdClassifierCV(svc(), threshold=rule, cv=cv).fit(X, y)
    triples = loop_out_of_fold(svc(), X, y, cv.split())
    n_positives, slack = y[held].sum(), 0.003 * (rule == "tuned_low")
    best, reached = loop_best_f1(triples, n_positives), tuned.threshold_[0]
    assert best - slack - 1e-12 <= loop_f1(triples, n_positives, reached) <= best


@pytest.mark.parametrize(
    ("y_of", "message"),
    [
        (sparse.csr_array, r"Sparse data was passed for y.* Wrap it, OneVsRestClassifier\(class"),
        (np.asarray, r"1d array.* Wrap it, OneVsRestClassifier\(classifier\)\."),
    ],
)
def test_a_classifier_of_one_label_is_to_be_wrapped(X, y, y_of, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MultilabelThresholdClassifierCV(LinearSVC()).fit(X, y_of(y))


def test_no_jobs_are_those_of_the_context(X, y):
    class Noted(OneVsRestClassifier):
        threads = set()

        def fit(self, X, y):
            self.threads.add(threading.get_ident())
            time.sleep(0.05)
            return super().fit(X, y)

    model = Noted(LinearSVC(random_state=0))
    with parallel_config("threading", n_jobs=3):
        MultilabelThresholdClassifierCV(model, random_state=0).fit(X, y)
    assert len(Noted.threads - {threading.get_ident()}) >= 2


def test_jobs_change_nothing(X, corpus):
    alone, parallel = (
        MultilabelThresholdClassifierCV(
            MultilabelVotingClassifier([("a", svc())]), cv=2, n_jobs=n_jobs, random_state=0
        ).fit(X, corpus.target)
        for n_jobs in (None, 2)
    )
    assert_array_equal(alone.threshold_, parallel.threshold_)


def test_parameters_survive_clone_and_pickle(corpus):
    tuned = MultilabelThresholdClassifierCV(text_model(), threshold="per_group", min_labels=1)
    assert clone(tuned).get_params()["threshold"] == "per_group"
    assert "threshold='per_group'" in repr(tuned)
    loaded = pickle.loads(pickle.dumps(tuned.fit(corpus.data, corpus.target)))
    assert loaded.get_params()["min_labels"] == 1
    assert_array_equal(loaded.predict(corpus.data).toarray(), tuned.predict(corpus.data).toarray())


# --------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"threshold": "tunedlow"}, "threshold must be one of .*Did you mean 'tuned_low'?"),
        ({"threshold": 0.5}, "threshold must be one of .*Got 0.5 instead"),
        ({"response_method": "probability"}, "response_method must be one of 'auto', 'decision_f"),
        (
            {"response_method": "predict_proba"},
            "estimator must be a classifier with predict_proba. Got OneVsRest",
        ),
        ({"min_labels": -1}, "min_labels must be 0 or a positive integer. Got -1"),
        ({"threshold": ["tuned"]}, "threshold must be one of .* Got .'tuned'. instead"),
        ({"random_state": "now"}, "'random_state' .* must be .* Got 'now' instead"),
        ({"n_jobs": 1.5}, "'n_jobs' .* must be .* Got 1.5 instead"),
        (
            {"cv": 1},
            "cv must be a splitter, or an integer from 2 to 150, the number of docu.* Got 1",
        ),
        (
            {"cv": 151},
            "cv must be a splitter, or an integer from 2 to 150, the number of documents",
        ),
    ],
)
def test_bad_options(options, match, X, y):
    with pytest.raises(ValueError, match=match):
        MultilabelThresholdClassifierCV(svc(), **options).fit(X, y)


@pytest.mark.parametrize("estimator", [None, "svc"])
def test_what_is_no_estimator(estimator, X, y):
    with pytest.raises(ValueError, match=f"estimator must be a classifier. Got {estimator!r}"):
        MultilabelThresholdClassifierCV(estimator).fit(X, y)


def test_a_class_in_place_of_an_estimator_is_refused(X, y):
    match = r"estimator must be an object. Got .* Give an object of the class, LinearSVC\(\.\.\.\)"
    with pytest.raises(ValueError, match=match):
        MultilabelThresholdClassifierCV(LinearSVC).fit(X, y)


def test_an_estimator_without_scores(X, y):
    class Bare(BaseEstimator):
        def fit(self, X, y):
            return self

    match = "estimator must be a classifier with decision_function or predict_proba. Got Bare"
    with pytest.raises(ValueError, match=match):
        MultilabelThresholdClassifierCV(Bare()).fit(X, y)
