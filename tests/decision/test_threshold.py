"""Learned cut-offs and voting around scikit-learn's multi-label classifiers."""

import math
import pickle

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.svm import LinearSVC
from sklearn.utils import get_tags

from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import MultilabelThresholdClassifierCV, MultilabelVotingClassifier
from skmltc.decision import _threshold as decision
from skmltc.decision._rules import THRESHOLD_RULES, learn_threshold
from skmltc.metrics import RankingScorer, precision_at_k
from skmltc.model_selection import MultilabelStratifiedKFold, multilabel_train_test_split

FORMATS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.coo_array]
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


@pytest.fixture(scope="module")
def corpus():
    return make_long_tailed_corpus(n_samples=150, n_labels=N_LABELS, n_words=30, random_state=1)


@pytest.fixture(scope="module")
def X(corpus):
    return TfidfVectorizer(max_features=300).fit_transform(corpus.data)


@pytest.fixture(scope="module")
def y(corpus):
    """Dense indicators."""
    return corpus.target.toarray().astype(int)


@pytest.fixture(scope="module")
def y_absent(y):
    """Dense indicators with one more column, for a label without documents."""
    return np.hstack([y, np.zeros((len(y), 1), dtype=int)])


def dense(y):
    return y.toarray() if sparse.issparse(y) else np.asarray(y)


class Probe(ClassifierMixin, BaseEstimator):
    """Scores of every document in a column of X; remembers how many it was asked for at once."""

    def fit(self, X, y):
        self.sizes_ = []
        self.y_type_ = type(y)
        self.n_labels_ = y.shape[1]
        return self

    def decision_function(self, X):
        self.sizes_.append(X.shape[0])
        return dense(X)[:, : self.n_labels_]


@pytest.fixture
def probed():
    """Scores that are X itself, with labels that follow them by and large."""
    rng = np.random.RandomState(0)
    scores = rng.normal(size=(50, 7))
    return scores, (scores + rng.normal(size=(50, 7)) > 1).astype(int)


# ----------------------------------------------------------------- the whole of fit, in loops


def loop_out_of_fold(model, X, y, folds, method="decision_function"):
    """Triples of (label, score, hit) and the positives that could have been found."""
    triples, n_findable = [], 0
    for train, test in folds:
        scores = getattr(clone(model).fit(X[train], y[train]), method)(X[test])
        for i, document in enumerate(test):
            for label in range(y.shape[1]):
                if y[train, label].any():
                    triples.append((label, scores[i, label], y[document, label]))
                    n_findable += y[document, label]
    return triples, n_findable


def loop_best_f1(triples, n_findable):
    """Best micro-F1 of one cut-off, trying all."""
    curve, found = [], 0
    for n, (_, _, hit) in enumerate(sorted(triples, key=lambda t: -t[1]), start=1):
        found += hit
        curve.append(2 * found / (n + n_findable))
    return max(curve)


def loop_f1(triples, n_findable, cut_off):
    above = [hit for _, score, hit in triples if score > cut_off]
    return 2 * sum(above) / (len(above) + n_findable)


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
    y = y_absent.copy()
    y[:, ABSENT - 1] = 0
    y[3, ABSENT - 1] = 1  # a singleton: no model that has seen it is asked about its document
    folds = list(FOLDS.split(X))
    triples, n_findable = loop_out_of_fold(model, X, y, folds, method)
    assert n_findable == y.sum() - 1
    best = loop_best_f1(triples, n_findable)
    for rule, slack in (("tuned", 0), ("tuned_low", 0.003)):
        tuned = MultilabelThresholdClassifierCV(
            model, threshold=rule, response_method=method, cv=FOLDS
        ).fit(X, sparse.csr_array(y))
        cut_off = tuned.threshold_[0]
        assert_array_equal(tuned.threshold_[:ABSENT], cut_off)
        assert best - slack - 1e-12 <= loop_f1(triples, n_findable, cut_off) <= best
        scores = getattr(clone(model).fit(X, y), method)(X)
        expected = (scores > cut_off) & (np.arange(N_LABELS + 1) != ABSENT)
        assert_array_equal(tuned.predict(X).toarray(), expected)


def test_only_what_a_model_could_have_found_is_learned_from(X, y_absent, monkeypatch):
    y = y_absent.copy()
    y[:, :2] = 0
    y[3, 0] = 1  # a singleton
    _, test = next(FOLDS.split(X))
    y[test[:4], 1] = 1  # all documents of the label in one fold
    learned_from = []

    def recorded(rule, pairs, *args, **options):
        learned_from.append(pairs)
        return learn_threshold(rule, pairs, *args, **options)

    monkeypatch.setattr(decision, "learn_threshold", recorded)
    MultilabelThresholdClassifierCV(svc(), cv=FOLDS).fit(X, y)
    triples, n_findable = loop_out_of_fold(svc(), X, y, FOLDS.split(X))
    (pairs,) = learned_from
    assert_array_equal(pairs.n_positives, y.sum(axis=0) * (np.arange(ABSENT + 1) > 1))
    assert pairs.n_positives.sum() == n_findable
    found = sorted(zip(pairs.labels, pairs.scores, pairs.is_true, strict=True))
    assert_allclose(found, sorted(triples), rtol=1e-5, atol=1e-6)
    assert {0, 1, ABSENT}.isdisjoint(label for label, _, hit in found if hit)


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
def test_a_label_without_documents_is_never_predicted_and_never_tuned_on(rule, X, y, y_absent):
    tuned = MultilabelThresholdClassifierCV(svc(), threshold=rule, cv=FOLDS).fit(X, y_absent)
    assert (tuned.threshold_[:ABSENT] < 0).any() and tuned.threshold_[ABSENT] == math.inf
    assert (tuned.decision_function(X)[:, ABSENT] == 0).all()  # above the cut-off of others
    assert tuned.predict(X)[:, ABSENT].sum() == 0
    assert tuned.set_params(min_labels=ABSENT + 1).predict(X)[:, ABSENT].sum() == 0
    assert tuned.predict(X)[:, :ABSENT].all()
    without = MultilabelThresholdClassifierCV(svc(), threshold=rule, cv=FOLDS).fit(X, y)
    assert_allclose(tuned.threshold_[:ABSENT], without.threshold_)


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
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


def test_no_positive_at_all_predicts_nothing(X):
    tuned = MultilabelThresholdClassifierCV(svc()).fit(X, np.zeros((X.shape[0], 3), dtype=int))
    assert tuned.predict(X).sum() == 0


# -------------------------------------------------------------------------- what may be given


def test_y_may_have_any_form(X, y):
    tuned = [
        MultilabelThresholdClassifierCV(svc(), random_state=0).fit(X, given_as(y))
        for given_as in [*FORMATS, np.ndarray.tolist]
    ]
    assert not (tuned[0].predict(X) == 0).all()
    for one in tuned:
        assert_array_equal(one.threshold_, tuned[0].threshold_)
        assert_array_equal(dense(one.predict(X)), tuned[0].predict(X))
    predicted_as = [type(one.predict(X)) for one in tuned]
    assert predicted_as == [
        np.ndarray,
        *2 * [sparse.csr_matrix],
        *2 * [sparse.csr_array],
        np.ndarray,
    ]
    assert tuned[0].predict(X).dtype == tuned[1].predict(X).dtype == np.int64


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


def test_one_label_without_documents(X):
    y = np.zeros((X.shape[0], 1), dtype=int)
    assert MultilabelThresholdClassifierCV(svc()).fit(X, y).predict(X).sum() == 0


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
    for rule in THRESHOLD_RULES:
        tuned = MultilabelThresholdClassifierCV(svc(), threshold=rule, random_state=0)
        reached = f1_both(y_test, tuned.fit(X_train, y_train).predict(X_test))
        assert reached[0] > plain[0] + 0.03 and reached[1] > plain[1] + 0.05


def f1_both(truth, predicted):
    options = {"zero_division": 0}
    return [f1_score(dense(truth), dense(predicted), average=a, **options) for a in AVERAGES]


def test_min_labels(X, y):
    tuned = MultilabelThresholdClassifierCV(svc(), random_state=0).fit(X, y)
    tuned.threshold_ = tuned.threshold_ + 0.5
    few = tuned.predict(X)
    filled = tuned.set_params(min_labels=2).predict(X)
    assert few.sum(axis=1).min() == 0
    assert_array_equal(filled.sum(axis=1), np.maximum(few.sum(axis=1), 2))
    assert (filled >= few).all()


def test_predict_topk_is_best_first_without_what_was_never_seen(X, y_absent):
    tuned = MultilabelThresholdClassifierCV(svc(), random_state=0).fit(X, y_absent)
    scores = tuned.decision_function(X)
    for k in (1, 4, 50):
        best = tuned.predict_topk(X, k=k)
        assert isinstance(best, sparse.csr_array) and best.shape == y_absent.shape
        for i in range(20):
            stored = best.indices[best.indptr[i] : best.indptr[i + 1]]
            assert sorted(stored) == sorted(np.argsort(-scores[i, :ABSENT])[:k])
            assert_array_equal(best.data[best.indptr[i] : best.indptr[i + 1]], scores[i, stored])
    ranked = precision_at_k(y_absent, tuned.predict_topk(X, 5), k=3)
    assert_array_equal(ranked, precision_at_k(y_absent[:, :ABSENT], scores[:, :ABSENT], k=3))
    assert RankingScorer("precision", k=3)(tuned, X, y_absent) == ranked


@pytest.mark.parametrize("given_as", [np.asarray, sparse.csr_array])
def test_prediction_goes_in_blocks(given_as, probed, monkeypatch):
    X, y = probed
    tuned = MultilabelThresholdClassifierCV(Probe(), random_state=0).fit(X, given_as(y))
    vote = MultilabelVotingClassifier([("a", Probe()), ("b", Probe())]).fit(X, given_as(y))
    whole = [dense(m.predict(X)) for m in (tuned, vote)] + [
        m.predict_topk(X, 2).toarray() for m in (tuned, vote)
    ]
    assert_array_equal(whole[0], X.astype("f4") > tuned.threshold_)
    assert_array_equal(whole[1], X > 0)
    monkeypatch.setattr(decision, "BLOCK_SIZE", 8 * 7 + 3)
    probes = [tuned.estimator_, *vote.estimators_]
    for probe in probes:
        probe.sizes_.clear()
    for X_given in (X, sparse.csr_matrix(X), sparse.coo_array(X), sparse.csc_array(X)):
        pieces = [dense(m.predict(X_given)) for m in (tuned, vote)] + [
            m.predict_topk(X_given, 2).toarray() for m in (tuned, vote)
        ]
        for in_pieces, at_once in zip(pieces, whole, strict=True):
            assert_array_equal(in_pieces, at_once)
    for probe in probes:
        assert probe.sizes_ == 8 * [8, 8, 8, 8, 8, 8, 2]


def test_blocks_of_texts(corpus, monkeypatch):
    tuned = MultilabelThresholdClassifierCV(text_model(), random_state=0)
    whole = tuned.fit(corpus.data, corpus.target).predict(corpus.data).toarray()
    monkeypatch.setattr(decision, "BLOCK_SIZE", 1)
    assert_array_equal(tuned.predict(corpus.data[:9]).toarray(), whole[:9])
    assert_array_equal(tuned.predict(np.array(corpus.data[:9], dtype=object)).toarray(), whole[:9])
    assert_array_equal(tuned.predict_topk(corpus.data[:9], 1).toarray().shape, (9, N_LABELS))


def test_y_reaches_the_estimator_as_it_was_given(probed):
    X, y = probed
    for given_as in FORMATS[:4]:
        tuned = MultilabelThresholdClassifierCV(Probe()).fit(X, given_as(y))
        assert tuned.estimator_.y_type_ is type(given_as(y))


def test_attributes(X, y):
    y = y.copy()
    y[0] = 0
    tuned = MultilabelThresholdClassifierCV(svc()).fit(X, sparse.csr_array(y))
    assert_array_equal(tuned.classes_, np.arange(N_LABELS))
    assert_array_equal(tuned.label_counts_, y.sum(axis=0))
    assert tuned.n_samples_fit_ == len(y) and tuned.threshold_.shape == (N_LABELS,)
    assert_allclose(tuned.decision_function(X), tuned.estimator_.decision_function(X), rtol=1e-5)


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


def test_the_seed_decides_the_folds(X, y):
    def threshold(seed):
        return MultilabelThresholdClassifierCV(svc(), random_state=seed).fit(X, y).threshold_[0]

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
    y = y.copy()
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
    with parallel_config("threading"):
        vote = MultilabelVotingClassifier([("a", svc()), ("b", logistic())], n_jobs=2)
        assert [type(m.estimator) for m in vote.fit(X, corpus.target).estimators_] == [
            LinearSVC,
            LogisticRegression,
        ]


def test_clone_and_pickle(corpus):
    tuned = MultilabelThresholdClassifierCV(text_model(), threshold="per_group", min_labels=1)
    assert clone(tuned).get_params()["threshold"] == "per_group"
    assert "threshold='per_group'" in repr(tuned)
    tuned.fit(corpus.data, corpus.target)
    assert not hasattr(clone(tuned), "threshold_") and not hasattr(tuned.estimator[1], "classes_")
    loaded = pickle.loads(pickle.dumps(tuned))
    assert_array_equal(loaded.predict(corpus.data).toarray(), tuned.predict(corpus.data).toarray())


class TextTagged(Probe):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags


def test_tags():
    for member in (svc(), RandomForestClassifier(), text_model(), TextTagged()):
        tuned = MultilabelThresholdClassifierCV(member)
        vote = MultilabelVotingClassifier([("a", member)])
        for model in (tuned, vote, MultilabelThresholdClassifierCV(vote)):
            tags = get_tags(model)
            assert is_classifier(model) and tags.classifier_tags.multi_label
            assert tags.input_tags == get_tags(member).input_tags
            assert not tags.target_tags.multi_output


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


@pytest.mark.parametrize(
    "model", [MultilabelThresholdClassifierCV(svc()), MultilabelVotingClassifier([("a", svc())])]
)
def test_bad_data(model, X, y):
    with pytest.raises(ValueError, match="y must be a label indicator matrix of zeros and ones"):
        model.fit(X, 2 * y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        model.fit(X, y[:, 0])
    for method in (model.predict, model.predict_topk, model.decision_function):
        with pytest.raises(NotFittedError):
            method(X)
    fitted = clone(model).fit(X, y)
    with pytest.raises(ValueError, match="features"):
        fitted.predict(X[:, :-1])
    with pytest.raises(ValueError, match="k must be a positive integer. Got 0"):
        fitted.predict_topk(X, k=0)
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        fitted.predict(X[:0])


# ------------------------------------------------------------------------------------- voting


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


def test_members_with_cut_offs_vote_by_what_lies_above_them(X, y):
    tuned = MultilabelThresholdClassifierCV(svc(), threshold="per_label", cv=2, random_state=0)
    piped = make_pipeline(MaxAbsScaler(), tuned)
    vote = MultilabelVotingClassifier([("a", tuned), ("b", piped), ("c", svc())]).fit(X, y)
    a, b, c = (model.decision_function(X) for model in vote.estimators_)
    cuts = [vote.estimators_[0].threshold_, vote.estimators_[1][-1].threshold_]
    assert all(len(np.unique(cut)) > 1 for cut in cuts)
    assert_allclose(vote.decision_function(X), (a - cuts[0] + b - cuts[1] + c) / 3, atol=1e-5)


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


def test_voting_never_offers_a_label_without_documents(X, y_absent):
    vote = MultilabelVotingClassifier([("a", svc()), ("b", svc(C=0.1))]).fit(X, y_absent)
    assert (vote.decision_function(X)[:, ABSENT] == 0).all()
    best = vote.predict_topk(X, k=5)
    scores = vote.decision_function(X)
    assert_array_equal(np.diff(best.indptr), 5)
    for i in range(len(y_absent)):
        stored = best.indices[best.indptr[i] : best.indptr[i + 1]]
        assert sorted(stored) == sorted(np.argsort(-scores[i, :ABSENT])[:5])
        assert_array_equal(best[[i]].data, scores[i, stored])
    assert vote.predict_topk(X, k=99).nnz == len(y_absent) * ABSENT


@pytest.mark.parametrize(
    ("members", "options", "match"),
    [
        ([], {}, "estimators must be a list of"),
        ([("a", svc()), ("a", svc())], {}, "Names provided are not unique"),
        ([("a__b", svc())], {}, "must not contain __"),
        ([("weights", svc())], {}, "names conflict with constructor arguments"),
        (
            [("a", svc()), ("nb", OneVsRestClassifier(MultinomialNB()))],
            {},
            "estimator 'nb' must be one with a decision_function. Got OneVsRestClassifier",
        ),
        ([("a", "drop")], {}, "estimator 'a' must be one with a decision_function. Got 'drop'"),
        ([("a", svc())], {"weights": [1, 2]}, "weights must be 1 numbers"),
        ([("a", svc())], {"weights": 1}, "weights must be 1 numbers"),
        ([("a", svc()), ("b", svc())], {"weights": [0, 0]}, "weights must be 2 numbers"),
        ([("a", svc()), ("b", svc())], {"weights": [2, -1]}, "weights must be 2 .* not below 0"),
        ([("a", svc()), ("b", svc())], {"weights": [1, math.nan]}, "weights must be 2 numbers"),
    ],
)
def test_bad_members(members, options, match, X, y):
    with pytest.raises(ValueError, match=match):
        MultilabelVotingClassifier(members, **options).fit(X, y)
