"""Folds that a user gave, and those that are held out."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    StratifiedKFold,
)

from skmltc.model_selection import (
    MultilabelStratifiedKFold,
    list_folds,
    list_held_out,
)

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


def one_document_per_label(n_samples, n_labels, n_without=0):
    """Sparse indicators of labels that each have one document, beside some that have none."""
    labels = np.arange(n_labels)
    rows = labels % max(n_samples, 1)
    shape = (n_samples, n_labels + n_without)
    return sparse.csr_array((np.ones(n_labels, dtype=np.float32), (rows, labels)), shape=shape)


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
    Y = one_document_per_label(60, 5001)
    ((fit, held),) = list_held_out(Y, seed)
    splitter = MultilabelStratifiedKFold(6, keep_only_documents=False, random_state=seed)
    train, test = next(splitter.split(Y, Y))
    assert len(held) == 10
    assert_array_equal(fit, train)
    assert_array_equal(held, test)


@pytest.mark.parametrize("n_labels, n_parts", [(3, 3), (5000, 3), (5001, 1)])
def test_fewer_than_ten_documents_are_too_few_to_hold_any_out(n_labels, n_parts):
    assert list_held_out(one_document_per_label(9, n_labels), 0) == []
    assert list_held_out(columns(0, n_labels), 0) == []
    for n_without in (0, 10):  # labels without documents do not count
        Y = one_document_per_label(10, n_labels, n_without)
        assert len(list_held_out(Y, 0)) == n_parts


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
    Y = one_document_per_label(60, 5001)
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


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (GroupKFold(2), r"Got GroupKFold.n_splits=2.*: cv=list\(splitter.split\(X, y, groups\)\)"),
        (LeaveOneGroupOut(), r"'groups' .* Give the pairs that it yields: cv=list"),
        (StratifiedKFold(2), "MultilabelStratifiedKFold takes several labels per document"),
        (KFold(11), "n_splits=11 greater than the number of samples"),
        (LeaveOneOut, r"Got <class .* Give an object of the class, LeaveOneOut\(...\)"),
        ("groups", "cv must be a splitter, a number of folds, or pairs .*. Got 'groups' instead.$"),
        (2.5, "cv must be a splitter, a number of folds, or pairs .*. Got 2.5 instead.$"),
    ],
)
def test_a_splitter_that_cannot_split_is_refused_with_what_to_give(cv, message):
    y = np.eye(10, 3) + np.eye(10, 3, k=1)
    with pytest.raises(ValueError, match=message) as raised:
        list_folds(cv, y, y)
    assert str(raised.value).startswith("cv must be a splitter")


def test_the_pairs_of_a_splitter_by_groups_are_folds():
    y, groups = np.ones((10, 2)), np.arange(10) // 3
    pairs = list(GroupKFold(2).split(y, y, groups))
    for train, test in list_folds(pairs, y, y):
        assert not set(groups[train]) & set(groups[test])
