"""Splits of documents that share those of each label fairly, rare labels kept in training."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state
from sklearn.utils.validation import indexable

from .._inputs import take_rows
from .._targets import count_labels
from .._validation import check_label_matrix, must_be

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
    counts = count_labels(labels)
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
    frequency = counts + _drawn_for_labels(counts, rng)
    rarest = np.full(labels.shape[0], np.inf)
    unlabelled = np.diff(labels.indptr) == 0
    rarest[~unlabelled] = np.minimum.reduceat(
        frequency[labels.indices], labels.indptr[:-1][~unlabelled]
    )
    shuffled = rng.permutation(documents)
    return shuffled[np.argsort(rarest[shuffled], kind="stable")]


def _drawn_for_labels(counts, rng, *size):
    """Numbers from 0 to 1 per label; one without documents draws none, so others keep theirs."""
    drawn = np.zeros((len(counts), *size))
    drawn[counts > 0] = rng.random_sample((np.count_nonzero(counts), *size))
    return drawn


def _has_only_label(labels):
    """Mask of the documents with a label that no other document has."""
    only = count_labels(labels) == 1
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
    offset = _drawn_for_labels(count_labels(labels), rng, 2)
    _assign(labels, np.array([n_samples - n_test, n_test]), parts, offset, rng)
    train, test = np.flatnonzero(parts == 0), np.flatnonzero(parts == 1)
    return [take_rows(array, part) for array in arrays for part in (train, test)]


def _one_document_of_each_label(labels, rng):
    """Documents that cover every label: of each, the one with the rarest company."""
    counts = count_labels(labels)
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
