"""Splits that keep rare labels in training, and out-of-fold scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.metaestimators import available_if

from skmltc import model_selection
from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import MultilabelThresholdClassifierCV
from skmltc.metrics import RankingScorer, precision_at_k
from skmltc.model_selection import (
    MultilabelStratifiedKFold,
    assign_folds,
    list_folds,
    list_held_out,
    multilabel_cross_val_predict,
    multilabel_train_test_split,
)

indicators = hnp.arrays(
    np.int64, st.tuples(st.integers(4, 30), st.integers(1, 8)), elements=st.integers(0, 1)
)
seeds = st.integers(0, 2**31 - 1)
fast = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def corpus():
    return make_long_tailed_corpus(n_samples=400, n_labels=40, n_words=30, random_state=3)


@pytest.fixture(scope="module")
def features(corpus):
    return TfidfVectorizer(max_features=300).fit_transform(corpus.data)


def fold_counts(y, folds, n_splits):
    return np.array([np.asarray(y[folds == fold].sum(axis=0)).ravel() for fold in range(n_splits)])


# --------------------------------------------------------------------------- assign_folds


def naive_cost(y, folds, part, document, n_splits):
    """What the document costs in a part, from scratch, in loops."""
    n_samples, n_labels = y.shape
    cost = 0.5 * sum(fold == part for fold in folds) / (n_samples // n_splits)
    for label in range(n_labels):
        if y[document, label]:
            before = sum(fold == part and y[d, label] for d, fold in enumerate(folds))
            cost += (before + 0.5) * n_splits / y[:, label].sum()
    return cost


@pytest.mark.parametrize("seed", range(5))
def test_every_document_goes_to_the_cheapest_open_fold(seed, monkeypatch):
    rng = np.random.RandomState(seed)
    n_samples, n_splits = 22, 4
    y = (rng.random_sample((n_samples, 6)) < [0.1, 0.1, 0.2, 0.3, 0.5, 0.8]).astype(int)
    order = []

    def recorded(*args):
        order.extend(rarest_first(*args))
        return order

    rarest_first = model_selection._rarest_first
    monkeypatch.setattr(model_selection, "_rarest_first", recorded)
    chosen = assign_folds(y, n_splits, random_state=seed)
    folds = np.full(n_samples, -1)
    for document in order:
        sizes = np.bincount(folds[folds >= 0], minlength=n_splits)
        n_larger = np.count_nonzero(sizes == 6)
        is_open = (sizes < 5) | ((sizes == 5) & (n_larger < 2))
        costs = np.array([naive_cost(y, folds, part, document, n_splits) for part in range(4)])
        assert is_open[chosen[document]]
        assert costs[chosen[document]] <= costs[is_open].min() + 1e-9
        folds[document] = chosen[document]
    rarest = [y.sum(axis=0)[y[d] == 1].min() if y[d].any() else np.inf for d in order]
    assert rarest == sorted(rarest)


@fast
@given(y=indicators, n_splits=st.integers(2, 4), seed=seeds)
def test_folds_are_a_partition_of_even_sizes(y, n_splits, seed):
    folds = assign_folds(y, n_splits, random_state=seed)
    sizes = np.bincount(folds, minlength=n_splits)
    assert folds.shape == (len(y),) and len(sizes) == n_splits
    assert sizes.max() - sizes.min() <= 1
    assert_array_equal(folds, assign_folds(sparse.csr_array(y), n_splits, random_state=seed))


@pytest.mark.parametrize(
    ("rows", "seed"),
    [
        ("1010 1110 0101 0110 0010 1100 0010 1010 0111 1111 1011 1110 0100 1010 1110 0001", 515),
        ("101 111 111 010 011 110 010 001 100 111 111 111 101", 1357),
    ],
)
def test_sizes_stay_even_where_the_labels_alone_would_not_have_it(rows, seed):
    y = np.array([list(map(int, row)) for row in rows.split()])
    sizes = np.bincount(assign_folds(y, 3, random_state=seed))
    assert sizes.max() - sizes.min() == 1


@settings(max_examples=150, deadline=None)
@given(
    label=st.lists(st.integers(0, 6), min_size=5, max_size=40),
    n_splits=st.integers(2, 5),
    seed=seeds,
)
def test_one_label_per_document_makes_counts_differ_by_one_at_most(label, n_splits, seed):
    y = np.eye(7, dtype=int)[label][:, :6]  # label 6 stands for none
    counts = fold_counts(y, assign_folds(y, n_splits, random_state=seed), n_splits)
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 1


def test_the_rarest_labels_are_spread(corpus):
    y = corpus.target
    counts = fold_counts(y, assign_folds(y, 3, random_state=0), 3)
    total = counts.sum(axis=0)
    assert (counts.max(axis=0) < total)[total >= 2].all()
    assert (counts.min(axis=0) > 0)[total >= 4].all()
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 4
    random_folds = np.random.RandomState(0).permutation(400) % 3
    distance = [
        ((c - total / 3) ** 2 / total).sum() for c in (counts, fold_counts(y, random_folds, 3))
    ]
    assert distance[0] < 0.35 * distance[1]


def test_folds_depend_on_the_seed_alone(corpus):
    state = np.random.get_state()[1].copy()
    first = assign_folds(corpus.target, 3, random_state=1)
    assert_array_equal(first, assign_folds(corpus.target, 3, random_state=1))
    assert (first != assign_folds(corpus.target, 3, random_state=2)).any()
    assert_array_equal(state, np.random.get_state()[1])


def test_each_document_is_visited_once_whatever_the_labels(monkeypatch):
    """The loop runs over documents, not over pairs of documents and labels."""
    rng = np.random.RandomState(0)
    rows, columns = rng.randint(3000, size=9000), (2000 * rng.random_sample(9000) ** 3).astype(int)
    y = sparse.csr_array((np.ones(9000), (rows, columns)), shape=(3000, 2000))
    y.data[:] = 1
    visited = []
    rarest_first = model_selection._rarest_first

    def counting(*args):
        for document in rarest_first(*args):
            visited.append(document)
            yield document

    monkeypatch.setattr(model_selection, "_rarest_first", counting)
    assign_folds(y, 3, random_state=0)
    assert sorted(visited) == list(range(3000))


@pytest.mark.parametrize("n_splits", [1, 0, 2.0, 6, "3"])
def test_impossible_numbers_of_folds_are_refused(n_splits):
    with pytest.raises(ValueError, match="n_splits must be an integer from 2 to 5"):
        assign_folds(np.ones((5, 2)), n_splits)


@pytest.mark.parametrize("y", [np.zeros((5, 3)), np.ones((5, 1)), np.ones((5, 3))])
def test_degenerate_labels(y):
    assert sorted(np.bincount(assign_folds(y, 2, random_state=0))) == [2, 3]
    for train, test in MultilabelStratifiedKFold(2).split(y, y):
        assert sorted([*train, *test]) == list(range(5)) and len(test) >= 2
    _, _, y_train, y_test = multilabel_train_test_split(y, y, test_size=2)
    assert len(y_train) == 3 and len(y_test) == 2


# ---------------------------------------------------------------- MultilabelStratifiedKFold


def split_or_none(splitter, y):
    """None where so many documents have an only label that the rest makes no folds."""
    try:
        return list(splitter.split(y, y))
    except ValueError as error:
        assert "number of documents that can be tested" in str(error)
        return None


@settings(max_examples=150, deadline=None)
@given(y=indicators, n_splits=st.integers(2, 3), seed=seeds)
def test_every_label_is_in_every_training_part(y, n_splits, seed):
    folds = split_or_none(MultilabelStratifiedKFold(n_splits, random_state=seed), y)
    has_only_label = (y[:, y.sum(axis=0) == 1] == 1).any(axis=1)
    if folds is None:
        assert np.count_nonzero(~has_only_label) < n_splits
        return
    tested = np.concatenate([test for _, test in folds])
    assert len(np.unique(tested)) == len(tested)
    for train, test in folds:
        assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(y)))
        assert_array_equal(y[train].any(axis=0), y.any(axis=0))
        assert not has_only_label[test].any()


def test_a_label_that_falls_into_one_fold_keeps_a_document_in_training():
    # Two folds cannot part each of three labels that join three documents in a triangle.
    y = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 0, 0]])
    folds = list(MultilabelStratifiedKFold(2, random_state=0).split(y, y))
    assert all(y[train].any(axis=0).all() for train, _ in folds)
    tested = np.concatenate([test for _, test in folds])
    assert len(tested) == 3 and 3 in tested


@fast
@given(y=indicators, n_splits=st.integers(2, 4), seed=seeds)
def test_without_keeping_every_document_is_tested_once(y, n_splits, seed):
    splitter = MultilabelStratifiedKFold(n_splits, keep_only_documents=False, random_state=seed)
    tested = np.concatenate([test for _, test in splitter.split(y, y)])
    assert_array_equal(np.sort(tested), np.arange(len(y)))


def test_the_splitter_is_one_of_scikit_learns(corpus, features):
    splitter = MultilabelStratifiedKFold(n_splits=2, random_state=0)
    assert splitter.get_n_splits() == 2
    assert repr(splitter).startswith("MultilabelStratifiedKFold(")
    model = OneVsRestClassifier(LinearSVC(random_state=0))
    y = corpus.target.toarray()  # cross_validate takes no sparse y, GridSearchCV does
    scores = cross_validate(model, features, y, cv=splitter, scoring="f1_micro")
    assert scores["test_score"].min() > 0.1
    search = GridSearchCV(model, {"estimator__C": [0.1, 1]}, cv=splitter, scoring="f1_micro")
    assert search.fit(features, corpus.target).best_params_ == {"estimator__C": 1}


def test_kept_documents_leave_the_folds_of_the_others_even():
    rng = np.random.RandomState(0)
    y = np.hstack([np.eye(90, 30), rng.random_sample((90, 4)) < 0.4]).astype(int)
    splitter = MultilabelStratifiedKFold(4, random_state=0)
    tests = [test for _, test in splitter.split(y, y)]
    assert_array_equal([len(test) for test in tests], 15)
    folds = assign_folds(y[30:], 4, random_state=0)
    for fold, test in enumerate(tests):
        assert_array_equal(test, 30 + np.flatnonzero(folds == fold))


# --------------------------------------------------------------- multilabel_train_test_split


@settings(max_examples=150, deadline=None)
@given(y=indicators, test_size=st.sampled_from([0.1, 0.25, 0.5, 1, 3]), seed=seeds)
def test_every_label_stays_in_the_training_part(y, test_size, seed):
    rows = np.arange(len(y))
    n_test = int(np.ceil(test_size * len(y))) if test_size < 1 else test_size
    try:
        X_train, X_test, y_train, y_test = multilabel_train_test_split(
            rows, y, test_size=test_size, random_state=seed
        )
    except ValueError as error:
        assert "test_size must be at most" in str(error)
        # Each label keeps one document, so there was too little to choose from.
        assert n_test > len(y) - np.count_nonzero(y.any(axis=0))
        return
    assert len(X_test) == n_test
    assert_array_equal(np.sort(np.concatenate([X_train, X_test])), rows)
    assert_array_equal(y[X_train], y_train)
    assert_array_equal(y[X_test], y_test)
    assert_array_equal(y_train.any(axis=0), y.any(axis=0))


def test_rare_and_frequent_labels_are_split_in_proportion():
    """On average over seeds, also where a tenth of the documents is less than one."""
    y = np.eye(40, dtype=int)[np.repeat(np.arange(40), [200, *[4] * 39])]
    shares = []
    for seed in range(30):
        _, _, _, y_test = multilabel_train_test_split(y, y, test_size=0.1, random_state=seed)
        shares.append(y_test.sum(axis=0) / y.sum(axis=0))
        assert 0.06 <= shares[-1][0] <= 0.14
    assert_allclose(np.mean(shares, axis=0)[1:].mean(), 0.1, atol=0.03)


def test_split_takes_lists_arrays_and_sparse_matrices(corpus, features):
    ids = np.arange(400)
    parts = multilabel_train_test_split(
        corpus.data, corpus.target, features, ids, test_size=100, random_state=0
    )
    text_train, text_test, y_train, y_test, X_train, X_test, id_train, id_test = parts
    assert text_test == [corpus.data[i] for i in id_test]
    assert text_train == [corpus.data[i] for i in id_train]
    assert sparse.issparse(y_train) and y_train.shape == (300, 40)
    assert abs(y_test - corpus.target[id_test]).sum() == 0
    assert abs(X_test - features[id_test]).sum() == 0
    assert X_train.shape == (300, 300)
    assert (np.diff(id_test) > 0).all()


@pytest.mark.parametrize("test_size", [0, 1.0, -1, 1.5, "a", None])
def test_impossible_test_sizes_are_refused(test_size):
    with pytest.raises(ValueError, match="test_size must be between 0 and 1"):
        multilabel_train_test_split(np.ones((5, 1)), np.ones((5, 1)), test_size=test_size)


def test_too_many_only_documents_are_named_in_the_error():
    y = np.eye(5, dtype=int)[[0, 1, 2, 3, 4, 4]]
    with pytest.raises(ValueError, match="test_size must be at most 1 documents of 6. Got 2"):
        multilabel_train_test_split(y, y, test_size=2)
    assert multilabel_train_test_split(y, y, test_size=1)[3].tolist() == [[0, 0, 0, 0, 1]]


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        multilabel_train_test_split([1, 2, 3], np.ones((4, 2)))


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
    monkeypatch.setattr(model_selection, "BLOCK_SIZE", 1000)
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
    monkeypatch.setattr(model_selection, "BLOCK_SIZE", 500)
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


# --------------------------------------------------------------- documents that decisions are for


def columns(n_samples, n_labels):
    """Sparse indicators of a label or two per document."""
    rng = np.random.RandomState(n_labels)
    rows = np.repeat(np.arange(n_samples), 2)
    Y = sparse.csr_array(
        (np.ones(len(rows)), (rows, rng.randint(n_labels, size=len(rows)))),
        shape=(n_samples, n_labels),
        dtype=np.float32,
    )
    Y.data[:] = 1
    return Y


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("n_labels", [4, 5000])
def test_three_folds_are_held_out_in_turn(n_labels, seed):
    Y = columns(40, n_labels)
    splitter = MultilabelStratifiedKFold(3, keep_only_documents=False, random_state=seed)
    held_out, folds = list_held_out(Y, seed), list(splitter.split(Y, Y))
    assert len(held_out) == len(folds) == 3
    for (fit, held), (train, test) in zip(held_out, folds, strict=True):
        assert_array_equal(fit, train)
        assert_array_equal(held, test)


@pytest.mark.parametrize("seed", [0, 5])
def test_of_more_than_5000_labels_one_sixth_of_the_documents_is_held_out(seed):
    Y = columns(60, 5001)
    ((fit, held),) = list_held_out(Y, seed)
    splitter = MultilabelStratifiedKFold(6, keep_only_documents=False, random_state=seed)
    train, test = next(splitter.split(Y, Y))
    assert len(held) == 10
    assert_array_equal(fit, train)
    assert_array_equal(held, test)


@pytest.mark.parametrize("n_labels", [3, 5001])
def test_fewer_than_ten_documents_are_too_few_to_hold_any_out(n_labels):
    assert list_held_out(columns(9, n_labels), 0) == []
    assert list_held_out(columns(0, n_labels), 0) == []
    assert len(list_held_out(columns(10, n_labels), 0)) == (3 if n_labels == 3 else 1)


def labels_that_decide(Y, fit, held):
    """Labels of held-out documents in all, of those that others have too."""
    Y = Y.toarray()
    return sum(
        Y[row, label] > 0 and Y[fit, label].any() for row in held for label in range(Y.shape[1])
    )


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("n_labels", [4, 300])
def test_folds_are_held_out_until_they_have_labels_enough(n_labels, seed):
    Y = columns(60, n_labels)
    folds = list_held_out(Y, seed)
    decide = np.cumsum([labels_that_decide(Y, *fold) for fold in folds])
    assert (decide[-1] < Y.nnz) == (n_labels == 300)  # labels of one document decide nothing
    bounds = [(1, 1), (decide[0], 1), (decide[0] + 1, 2), (decide[1], 2), (decide[1] + 1, 3)]
    for enough, n_folds in [*bounds, (decide[2] + 1, 3)]:
        held_out = list_held_out(Y, seed, enough=enough)
        assert len(held_out) == n_folds
        for part, fold in zip(held_out, folds, strict=False):
            assert_array_equal(part[0], fold[0])
            assert_array_equal(part[1], fold[1])


def test_the_sixth_of_more_than_5000_labels_stays_one(seed=0):
    Y = columns(60, 5001)
    assert len(list_held_out(Y, seed, enough=1)) == len(list_held_out(Y, seed, enough=1000)) == 1


# ------------------------------------------------------------------------------ given folds


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([1, 2], "cv must be pairs .train, test. of row numbers from 0 to 9"),
        ([(1, 2)], "Got array.1. instead"),
        ([([0, 1], [2, 3]), ([0],)], "Got ..0.,. instead"),
        ([([0.5, 1.5], [3])], "or of masks of rows. Got array"),
        ([([0, 1], [3, 10])], "Got rows from 3 to 10 instead"),
        ([([0, 1], [-1, 3])], "Got rows from -1 to 3 instead"),
        ([([0, 1, 2], [2, 3, 1])], "no document in both parts of a fold. Got 2 that are trained"),
        ([([True] * 9, [3])], "masks of rows"),
        ([([], [])], "at least one document that is tested|one test part"),
        ([], "at least one fold"),
    ],
)
def test_folds_that_are_none_are_refused(folds, message):
    y = np.ones((10, 2))
    for every in (True, False):
        with pytest.raises(ValueError, match=message):
            list_folds(folds, y, y, every=every)


def test_folds_may_be_masks_or_come_one_by_one():
    y, mask = np.ones((10, 2)), np.arange(10) < 4
    pairs = [(mask, ~mask), (np.flatnonzero(~mask).tolist(), np.flatnonzero(mask).tolist())]
    found = list_folds((pair for pair in pairs), y, y)
    rows = [[part.tolist() for part in fold] for fold in found]
    first, last = list(range(4)), list(range(4, 10))
    assert rows == [[first, last], [last, first]]
