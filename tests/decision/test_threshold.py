"""Learned cut-offs around scikit-learn's multi-label classifiers."""

import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.metaestimators import available_if

from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import Decision, MultilabelThresholdClassifierCV, MultilabelVotingClassifier
from skmltc.decision._rules import RULES
from skmltc.metrics import RankingScorer, precision_at_k
from skmltc.model_selection import MultilabelStratifiedKFold, multilabel_train_test_split

N_LABELS = 8
ABSENT = N_LABELS  # the column of the label without documents, where there is one
AVERAGES = ("micro", "macro")
FOLDS = KFold(3, shuffle=True, random_state=0)
pytestmark = pytest.mark.filterwarnings("ignore:Label .* is present in all training examples")


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
    pairs = wrapper._score_out_of_fold(X, y, Y, "decision_function")
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
def test_nothing_to_learn_from_leaves_the_default_cut(rule, method):
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(12, 3)), np.zeros((12, 5), dtype=int)
    y[np.arange(4), np.arange(4)] = 1  # singletons and a label without documents
    tuned = MultilabelThresholdClassifierCV(
        logistic(), threshold=rule, response_method=method, random_state=0
    ).fit(X, y)
    assert_array_equal(tuned.threshold_[:4], 0.0 if method == "decision_function" else 0.5)
    assert tuned.threshold_[4] == math.inf
    assert_array_equal(tuned.predict(X)[:, :4], tuned.estimator_.predict(X)[:, :4])


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
    tuned.decision_ = Decision(tuned.threshold_ + 0.5)
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


@pytest.mark.parametrize("cv", [ShuffleSplit(3, random_state=0), MultilabelStratifiedKFold(3)])
def test_cv_must_be_a_partition(cv, X, y):
    y[:, 0] = np.arange(len(y)) == 0
    match = "cv must be a splitter with every document in exactly one test part. Got"
    with pytest.raises(ValueError, match=match):
        MultilabelThresholdClassifierCV(svc(), cv=cv).fit(X, y)


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
        ({"cv": 1}, "n_splits must be an integer from 2"),
    ],
)
def test_bad_options(options, match, X, y):
    with pytest.raises(ValueError, match=match):
        MultilabelThresholdClassifierCV(svc(), **options).fit(X, y)


def test_an_estimator_without_scores(X, y):
    class Bare(BaseEstimator):
        def fit(self, X, y):
            return self

    match = "estimator must be a classifier with decision_function or predict_proba. Got Bare"
    with pytest.raises(ValueError, match=match):
        MultilabelThresholdClassifierCV(Bare()).fit(X, y)
