"""Splits and out-of-fold scores for label indicator matrices with rare labels."""

from collections.abc import Iterable
from functools import partial
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import indexable

from ._engines import Shared
from ._inner import is_frozen, training_counts
from ._inputs import take_rows
from ._ranking import keep_top
from ._targets import label_scores
from ._validation import check_choice, check_label_matrix, must_be, without_news_of_labels

METHODS = ("decision_function", "predict_proba", "predict_log_proba")
BLOCK_SIZE = 2**24  # scores that are dense at a time


# ------------------------------------------------------------------------------ the algorithm


def assign_folds(Y, n_splits, random_state=None):
    """Give every document one fold, each label's documents spread evenly over the folds.

    Documents are assigned one by one, those with the rarest labels first, each to the fold that is
    furthest behind on its labels. A fold's deficit on a label count in inverse proportion to the
    label's frequency, which minimises greedily the chi-squared distance of the label-by-fold
    table from an even one. The work is proportional to the number of label assignments times
    `n_splits`.

    Parameters
    ----------
    Y : array or sparse matrix of shape (n_samples, n_labels)
        Label indicators.
    n_splits : int
        Number of folds, from 2 to n_samples.
    random_state : int, RandomState instance or None, default=None
        The same integer makes the same folds.

    Returns
    -------
    array of int of shape (n_samples,)
        Fold of each document, from 0 to n_splits - 1. Sizes of folds differ by one at most, and
        where no document has several labels, so do the counts of each label. Otherwise counts
        are as even as a greedy choice makes them, the rarest labels first.

    See Also
    --------
    MultilabelStratifiedKFold : The same as a scikit-learn splitter.

    Examples
    --------
    >>> import numpy as np
    >>> from skmltc.model_selection import assign_folds
    >>> Y = np.array([[1, 0], [1, 0], [1, 0], [1, 1], [1, 1], [0, 1]])
    >>> folds = assign_folds(Y, n_splits=3, random_state=0)
    >>> np.stack([Y[folds == fold].sum(axis=0) for fold in range(3)]).max(axis=0)
    array([2, 1])
    """
    labels = check_label_matrix(Y, name="Y")
    n_samples = labels.shape[0]
    if not isinstance(n_splits, Integral) or not 2 <= n_splits <= n_samples:
        raise must_be(
            "n_splits",
            f"an integer from 2 to {n_samples}, the number of documents that can be tested",
            repr(n_splits),
        )
    rng = check_random_state(random_state)
    sizes = np.full(n_splits, n_samples // n_splits)
    parts = _assign(labels, sizes, np.full(n_samples, -1), 0.5, rng)
    return rng.permutation(n_splits)[parts]


def _assign(labels, sizes, parts, offset, rng):
    """Give each document whose part is -1 a part, so that the parts get the given sizes.

    A part's next document of a label costs (documents so far + offset) / share: this spreads
    each label in proportion to the sizes, rounded by an offset of 0.5 (Webster's method) or, by
    a random one, to a proportion that holds on average for the rarest labels too. Documents
    beyond the sum of the sizes go to different parts.
    """
    counts = np.bincount(labels.indices, minlength=labels.shape[1])
    label_step = 1.0 / np.outer(np.maximum(counts, 1), sizes / sizes.sum())
    label_cost = label_step * (offset + count_by_part(labels, parts, len(sizes)))
    # All documents together are like one more label, but it never outweighs a real one.
    size_step = 0.5 / sizes
    room = sizes - np.bincount(parts[parts >= 0], minlength=len(sizes))
    size_cost = np.where(room > 0, size_step * (sizes - room), np.inf)
    n_extra = np.count_nonzero(parts < 0) - room.sum()
    for document in _rarest_first(labels, counts, np.flatnonzero(parts < 0), rng):
        own = labels.indices[labels.indptr[document] : labels.indptr[document + 1]]
        part = (label_cost[own].sum(axis=0) + size_cost).argmin()
        parts[document] = part
        label_cost[own, part] += label_step[own, part]
        size_cost[part] += size_step[part]
        room[part] -= 1
        n_extra -= room[part] < 0
        size_cost[room + (n_extra > 0) <= 0] = np.inf
    return parts


def count_by_part(labels, parts, n_parts):
    """Documents of each label in each part, (n_labels, n_parts); undecided ones do not count."""
    documents = np.flatnonzero(parts >= 0)
    membership = sparse.csr_array(
        (np.ones(len(documents)), (documents, parts[documents])), shape=(len(parts), n_parts)
    )
    return (labels.T @ membership).toarray()


def _rarest_first(labels, counts, documents, rng):
    """Order the documents by their rarest label, at random within a label, bare ones last."""
    frequency = counts + rng.random_sample(len(counts))
    rarest = np.full(labels.shape[0], np.inf)
    unlabelled = np.diff(labels.indptr) == 0
    rarest[~unlabelled] = np.minimum.reduceat(
        frequency[labels.indices], labels.indptr[:-1][~unlabelled]
    )
    shuffled = rng.permutation(documents)
    return shuffled[np.argsort(rarest[shuffled], kind="stable")]


def _has_only_label(labels):
    """Mask of the documents with a label that no other document has."""
    only = np.bincount(labels.indices, minlength=labels.shape[1]) == 1
    return labels @ only.astype(np.float32) > 0


# ----------------------------------------------------------------------------------- splits


def multilabel_train_test_split(X, y, *arrays, test_size=0.25, random_state=None):
    """Split arrays in a training and a test part that share the documents of each label fairly.

    Of every label that has a document, at least one is in the training part: a label's only
    document is never tested. Beyond that, labels are spread as by :func:`assign_folds`, in
    proportion to the sizes of the two parts.

    Parameters
    ----------
    X : list, array or sparse matrix of n_samples documents
        Texts or features.
    y : array or sparse matrix of shape (n_samples, n_labels)
        Label indicators.
    *arrays : lists, arrays or sparse matrices of length n_samples
        More to split the same way, such as the documents' ids.
    test_size : float or int, default=0.25
        Size of the test part: a share between 0 and 1 (rounded up), or a number of documents.
    random_state : int, RandomState instance or None, default=None
        The same integer makes the same split.

    Returns
    -------
    list
        ``X_train, X_test, y_train, y_test`` and two more for each of the `arrays`; documents
        keep their order.

    Raises
    ------
    ValueError
        If so many documents have to stay in the training part that too few are left to test.

    Examples
    --------
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> from skmltc.model_selection import multilabel_train_test_split
    >>> corpus = make_long_tailed_corpus(n_samples=200, n_labels=30, random_state=0)
    >>> X_train, X_test, y_train, y_test = multilabel_train_test_split(
    ...     corpus.data, corpus.target, test_size=0.2, random_state=0)
    >>> len(X_train), len(X_test), int(y_train.sum(axis=0).min())
    (160, 40, 1)
    """
    arrays = indexable(X, y, *arrays)
    labels = check_label_matrix(y)
    n_samples = labels.shape[0]
    rng = check_random_state(random_state)
    parts = np.full(n_samples, -1)
    parts[_one_document_of_each_label(labels, rng)] = 0
    n_test = _count_test(test_size, n_samples, np.count_nonzero(parts < 0))
    offset = rng.random_sample((labels.shape[1], 2))
    _assign(labels, np.array([n_samples - n_test, n_test]), parts, offset, rng)
    train, test = np.flatnonzero(parts == 0), np.flatnonzero(parts == 1)
    return [take_rows(array, part) for array in arrays for part in (train, test)]


def _one_document_of_each_label(labels, rng):
    """Documents that cover every label: of each, the one with the rarest company."""
    counts = np.bincount(labels.indices, minlength=labels.shape[1])
    order = _rarest_first(labels, counts, np.arange(labels.shape[0]), rng)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    by_label = labels.tocsc()
    starts = by_label.indptr[:-1][counts > 0]
    return order[np.unique(np.minimum.reduceat(rank[by_label.indices], starts))]


def _count_test(test_size, n_samples, n_free):
    """Count the documents of the test part."""
    is_share = isinstance(test_size, Real) and not isinstance(test_size, Integral)
    if not (0 < test_size < 1 if is_share else isinstance(test_size, Integral) and test_size > 0):
        raise must_be(
            "test_size", "between 0 and 1, or a positive number of documents", repr(test_size)
        )
    n_test = int(np.ceil(test_size * n_samples)) if is_share else test_size
    if n_test > min(n_free, n_samples - 1):
        raise must_be(
            "test_size",
            f"at most {min(n_free, n_samples - 1)} documents of {n_samples}",
            n_test,
            "Every label keeps a document in the training part; drop the rarest labels to test "
            "more documents.",
        )
    return n_test


class MultilabelStratifiedKFold(BaseCrossValidator):
    """Folds that spread every label's documents evenly and keep rare labels in training.

    A splitter for scikit-learn's cross-validation over :func:`assign_folds`.

    Parameters
    ----------
    n_splits : int, default=3
        Number of folds, at least 2.
    keep_only_documents : bool, default=True
        If True, every label that has a document has one in every training part. A document with
        a label that no other document has is in every training part and in no test part; where
        all documents of a label fall into one fold, one of them is too. If False, every document
        is in exactly one test part.
    random_state : int, RandomState instance or None, default=None
        The same integer makes the same folds.

    See Also
    --------
    assign_folds : The algorithm, and what it promises.

    Examples
    --------
    >>> import numpy as np
    >>> from skmltc.model_selection import MultilabelStratifiedKFold
    >>> y = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0]])
    >>> for train, test in MultilabelStratifiedKFold(n_splits=2, random_state=0).split(y, y):
    ...     print(train, test, y[train].sum(axis=0))
    [0 2 4] [1 3] [3 1 1]
    [0 1 3] [2 4] [2 1 1]
    """

    def __init__(self, n_splits=3, *, keep_only_documents=True, random_state=None):
        self.n_splits = n_splits
        self.keep_only_documents = keep_only_documents
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(self, X, y, groups=None):
        """Yield the training and the test documents of each fold.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
            Only its length matters.
        y : array or sparse matrix of shape (n_samples, n_labels)
            Label indicators.
        groups : object
            Ignored.

        Yields
        ------
        train, test : arrays of int
            Positions of the documents, ascending.
        """
        return super().split(X, y, groups)

    def _iter_test_indices(self, X=None, y=None, groups=None):
        labels = check_label_matrix(y)
        folds = np.full(labels.shape[0], -1)
        kept = _has_only_label(labels) if self.keep_only_documents else folds >= 0
        folds[~kept] = assign_folds(labels[~kept], self.n_splits, self.random_state)
        if self.keep_only_documents:
            folds[_one_document_of_lost_labels(labels, folds, self.n_splits)] = -1
        for fold in range(self.n_splits):
            yield np.flatnonzero(folds == fold)


def _one_document_of_lost_labels(labels, folds, n_splits):
    """Find one document of each label whose documents all lie in one fold."""
    by_label = labels.tocsc()
    counts = np.diff(by_label.indptr)
    lost = (counts > 0) & (count_by_part(labels, folds, n_splits).max(axis=1) == counts)
    return by_label.indices[by_label.indptr[:-1][lost]]


# ------------------------------------------------------------------------ out-of-fold scores


def multilabel_cross_val_predict(
    estimator,
    X,
    y,
    *,
    cv=3,
    method="decision_function",
    n_jobs=None,
    top_k=None,
    random_state=None,
):
    """Score every document by a model that has not seen it.

    Like :func:`sklearn.model_selection.cross_val_predict`, which refuses sparse label
    indicators, for any scikit-learn multi-label classifier.

    Parameters
    ----------
    estimator : classifier
        Cloned and fitted once per fold, on `y` as it was given (sparse or dense).
    X : list, array or sparse matrix of n_samples documents
        Texts or features, whatever the estimator takes.
    y : array or sparse matrix of shape (n_samples, n_labels)
        Label indicators.
    cv : int, splitter or iterable of (train, test), default=3
        Number of folds of a :class:`MultilabelStratifiedKFold` with
        ``keep_only_documents=False``, or any splitter that tests every document once.
    method : str, default="decision_function"
        What to ask the estimator for: this, "predict_proba" or "predict_log_proba". Lists of
        arrays, one per label, as multi-output forests return, are put together.
    n_jobs : int, default=None
        Folds at a time.
    top_k : int, default=None
        If given, keep only the best `top_k` scores of a document, in a sparse matrix. Then
        nothing of size n_samples x n_labels is ever dense.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds where `cv` is an integer.

    Returns
    -------
    array of float32 of shape (n_samples, n_labels), or csr_array
        Scores. A label without a document in the training part of a fold has -inf there (and is
        not stored in a sparse result): one-vs-rest models would score it 0, above most others.
        Of a FrozenEstimator it is a label that it was not trained on, if it has `label_counts_`.

    Raises
    ------
    ValueError
        If the test parts do not hold every document exactly once.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import LinearSVC
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> from skmltc.model_selection import multilabel_cross_val_predict
    >>> corpus = make_long_tailed_corpus(n_samples=200, n_labels=10, random_state=0)
    >>> model = make_pipeline(TfidfVectorizer(), OneVsRestClassifier(LinearSVC()))
    >>> scores = multilabel_cross_val_predict(model, corpus.data, corpus.target, random_state=0)
    >>> scores.shape
    (200, 10)
    """
    check_choice("method", method, METHODS)
    if top_k is not None and not (isinstance(top_k, Integral) and top_k >= 1):
        raise must_be("top_k", "None or a positive integer", repr(top_k))
    X, y = indexable(X, y if sparse.issparse(y) else np.asarray(y))
    check_label_matrix(y)
    folds = list_folds(cv, X, y, random_state)
    with without_news_of_labels():
        task = Shared(partial(_score_fold, X, y, method, top_k))
        scores = Parallel(n_jobs=n_jobs)(
            delayed(Shared.call)(task, clone(estimator), train, test) for train, test in folds
        )
    stack = np.concatenate if top_k is None else sparse.vstack
    return stack(scores)[np.argsort(np.concatenate([test for _, test in folds]))]


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
    is_iterable = isinstance(cv, Iterable) and not hasattr(cv, "split")
    return list(cv) if is_iterable else check_cv(cv).split(X, y)


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


def _score_fold(X, y, method, top_k, estimator, train, test):
    """Scores of the test documents by the estimator fitted on the training ones."""
    y_train = take_rows(y, train)
    estimator.fit(take_rows(X, train), y_train)
    if not hasattr(estimator, method):  # some have it only once they are fitted
        raise must_be("method", f"one that {type(estimator).__name__} has", repr(method))
    is_absent = _is_absent(estimator, np.asarray(y_train.sum(axis=0)).ravel())
    blocks = []
    for rows in gen_batches(len(test), max(1, BLOCK_SIZE // y.shape[1])):
        scores = label_scores(estimator, method, take_rows(X, test[rows]), y.shape[1])
        scores[:, is_absent] = -np.inf
        blocks.append(scores if top_k is None else keep_top(scores, top_k))
    return np.concatenate(blocks) if top_k is None else sparse.vstack(blocks)


def _is_absent(estimator, fold_counts):
    """Labels that a model has not been trained on; a frozen one was trained elsewhere."""
    if not is_frozen(estimator):
        return fold_counts == 0
    known = training_counts(estimator, len(fold_counts))
    return known[0] == 0 if known else np.zeros(len(fold_counts), dtype=bool)


_FEWEST_TO_HOLD_OUT = 10  # documents: with fewer there is nothing to learn a cut-off from
_FOLDS, _MOST_LABELS_IN_FOLDS, _PARTS = 3, 5000, 6


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
        Three folds; one part of a sixth above 5,000 labels, where training takes long and labels
        are many; nothing for fewer than ten documents. Or so many folds.

    Raises
    ------
    ValueError
        If there are not so many documents.
    """
    n_samples, n_labels = Y.shape
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
