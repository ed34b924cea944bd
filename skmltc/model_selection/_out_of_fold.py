"""Scores of documents by models that have not seen them."""

from functools import partial
from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import gen_batches
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import indexable

from .._engines import Shared
from .._inner import is_frozen, training_counts
from .._inputs import take_rows
from .._ranking import keep_top
from .._targets import label_scores
from .._validation import (
    check_choice,
    check_classifier,
    check_label_matrix,
    must_be,
    without_news_of_labels,
)
from ._folds import list_folds

METHODS = ("decision_function", "predict_proba", "predict_log_proba")
BLOCK_SIZE = 2**24  # scores that are dense at a time


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
    check_classifier("estimator", estimator), check_choice("method", method, METHODS)
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
