"""Splits that keep rare labels in training."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from skmltc.model_selection import (
    MultilabelStratifiedKFold,
    _splits,
    assign_folds,
    multilabel_train_test_split,
)

indicators = hnp.arrays(
    np.int64, st.tuples(st.integers(4, 30), st.integers(1, 8)), elements=st.integers(0, 1)
)
seeds = st.integers(0, 2**31 - 1)
fast = settings(max_examples=60, deadline=None)


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

    rarest_first = _splits._rarest_first
    monkeypatch.setattr(_splits, "_rarest_first", recorded)
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
    rarest_first = _splits._rarest_first

    def counting(*args):
        for document in rarest_first(*args):
            visited.append(document)
            yield document

    monkeypatch.setattr(_splits, "_rarest_first", counting)
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


@fast
@given(indicators, st.integers(2, 4), seeds)
def test_labels_without_documents_change_no_part(y, n_splits, seed):
    y = y[:, y.any(axis=0)] if y.any() else np.eye(4, dtype=int)
    amid = np.insert(y, [0, y.shape[1] // 2, y.shape[1]], 0, axis=1)
    folds = (assign_folds(labels, n_splits, random_state=seed) for labels in (y, amid))
    assert_array_equal(*folds)
    rows = np.arange(len(y))
    try:
        parts = multilabel_train_test_split(rows, y, test_size=1, random_state=seed)
    except ValueError:  # every document is some label's only one
        return
    of_more = multilabel_train_test_split(rows, amid, test_size=1, random_state=seed)
    assert_array_equal(of_more[1], parts[1])
