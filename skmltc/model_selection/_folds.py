"""The folds that models are fitted on in turn: those that a user gave, and those held out."""

from collections.abc import Iterable
from numbers import Integral

import numpy as np
from sklearn.model_selection import check_cv

from .._targets import count_labels
from .._validation import must_be, object_of
from ._splits import MultilabelStratifiedKFold, assign_folds, count_by_part

_FEWEST_TO_HOLD_OUT = 10  # documents: with fewer there is nothing to learn a cut-off from
_REMEDIES = {  # where a splitter refuses X and y, by a word of what it says
    "groups": "Give the pairs that it yields: cv=list(splitter.split(X, y, groups)).",
    "multilabel-indicator": "MultilabelStratifiedKFold takes several labels per document.",
}
_FOLDS, _MOST_LABELS_IN_FOLDS, _PARTS = 3, 5000, 6


def list_folds(cv, X, y, random_state=None, *, every=True):
    """List the pairs of training and test rows of a splitter, or of so many stratified folds.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
    X : list, array or sparse matrix of n_samples documents
    y : array or sparse matrix of shape (n_samples, n_labels)
    random_state : int, RandomState instance or None, default=None
        Seed of the folds where `cv` is an integer.
    every : bool, default=True
        Whether every document must be tested; none may be twice.

    Returns
    -------
    list of (array of int, array of int)
    """
    n_samples = y.shape[0]
    if isinstance(cv, Integral):
        _check_n_folds(cv, n_samples)
        cv = MultilabelStratifiedKFold(cv, keep_only_documents=False, random_state=random_state)
    folds = [_checked_fold(fold, n_samples) for fold in _splits(cv, X, y)]
    tests = [test for _, test in folds]
    if not tests:
        raise must_be("cv", "a splitter with at least one fold", "none")
    _check_tested(np.bincount(np.concatenate(tests), minlength=n_samples), every)
    return folds


def _splits(cv, X, y):
    """What a splitter yields, or what is in an iterable of (train, test)."""
    is_made = not isinstance(cv, str | type)  # text has a `split`, and so has a splitter's class
    if is_made and (cv is None or hasattr(cv, "split")):
        return _split(cv, X, y)
    if not is_made or not isinstance(cv, Iterable):
        expected = "a splitter, a number of folds, or pairs (train, test) of rows"
        raise must_be("cv", expected, repr(cv), object_of(cv))
    return list(cv)


def _split(cv, X, y):
    """What a splitter yields, or what it says against X and y, and what to give instead."""
    try:
        return list(check_cv(cv).split(X, y))
    except (TypeError, ValueError) as error:
        remedies = [remedy for word, remedy in _REMEDIES.items() if word in str(error)]
        remedy = " ".join([str(error), *remedies])
        raise must_be("cv", "a splitter that takes this X and y", repr(cv), remedy) from error


def _checked_fold(fold, n_samples):
    """The rows to train on and those to test, as arrays of int."""
    if not isinstance(fold, tuple | list) or len(fold) != 2:
        raise _no_fold(repr(fold), n_samples)
    train, test = (_checked_rows(np.asarray(rows), n_samples) for rows in fold)
    n_both = np.count_nonzero(np.isin(test, train))
    if n_both:
        expected = "a splitter with no document in both parts of a fold"
        raise must_be("cv", expected, f"{n_both} that are trained on and tested")
    return train, test


def _checked_rows(rows, n_samples):
    """Row numbers as they are, or those of a mask."""
    if rows.dtype == bool and rows.shape == (n_samples,):
        return np.flatnonzero(rows)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise _no_fold(repr(rows), n_samples)
    if rows.size and not (rows.min() >= 0 and rows.max() < n_samples):
        raise _no_fold(f"rows from {rows.min()} to {rows.max()}", n_samples)
    return rows.astype(int)


def _no_fold(got, n_samples):
    expected = f"pairs (train, test) of row numbers from 0 to {n_samples - 1}, or of masks of rows"
    return must_be("cv", expected, got)


def _check_n_folds(cv, n_samples):
    """Refuse what is no number of folds."""
    is_number = isinstance(cv, Integral) and not isinstance(cv, bool)
    if not is_number or not 2 <= cv <= n_samples:
        expected = f"a splitter, or an integer from 2 to {n_samples}, the number of documents"
        raise must_be("cv", expected, repr(cv))


def _check_tested(times, every):
    """Refuse test parts that overlap, and if need be those that leave documents out."""
    n_untested, n_repeated = np.count_nonzero(times == 0), np.count_nonzero(times > 1)
    if n_repeated or (n_untested and every) or n_untested == len(times):
        times = "exactly one test part" if every else "one test part at most"
        in_none = f"{n_untested} documents in none and " if every or not n_repeated else ""
        raise must_be(
            "cv",
            f"a splitter with every document in {times}",
            f"{in_none}{n_repeated} in several",
            "MultilabelStratifiedKFold(keep_only_documents=False) is one.",
        )


def list_held_out(Y, seed, n_folds="auto", enough=None):
    """Rows to fit on and rows to hold out, in turn, where a model decides on unseen documents.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels)
    seed : int
    n_folds : "auto" or int, default="auto"
        2 or more.
    enough : int, default=None
        If given, no more folds than hold out so many labels: of those that a model of the others
        has seen, since the rest decides nothing.

    Returns
    -------
    list of (array of int, array of int)
        Three folds; one part of a sixth above 5,000 labels that have documents, where training
        takes long and labels are many; nothing for fewer than ten documents. Or so many folds.

    Raises
    ------
    ValueError
        If there are not so many documents.
    """
    n_samples, n_labels = Y.shape[0], np.count_nonzero(count_labels(Y))
    if n_folds != "auto":
        _check_n_folds(n_folds, n_samples)
        folds = assign_folds(Y, n_folds, seed)
        return [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(n_folds)]
    if n_samples < _FEWEST_TO_HOLD_OUT:
        return []
    n_parts, n_used = (_FOLDS, _FOLDS) if n_labels <= _MOST_LABELS_IN_FOLDS else (_PARTS, 1)
    folds = assign_folds(Y, n_parts, seed)
    if enough is not None:
        n_used = min(n_used, _count_folds(Y, folds, n_parts, enough))
    return [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(n_used)]


def _count_folds(Y, folds, n_folds, enough):
    """How many folds hold out so many labels in all."""
    by_fold = count_by_part(Y, folds, n_folds)
    is_known = by_fold < by_fold.sum(axis=1, keepdims=True)  # to the model of the others
    held_out = np.cumsum((by_fold * is_known).sum(axis=0))
    return 1 + int(np.searchsorted(held_out, enough))
