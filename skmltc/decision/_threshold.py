"""MultilabelThresholdClassifierCV: learned cut-offs for any multi-label classifier."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import _safe_indexing, gen_batches, get_tags, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._ranking import check_k
from .._targets import form_of, in_form
from .._validation import check_choice, check_label_matrix, must_be
from ..model_selection import BLOCK_SIZE, label_scores, list_folds, multilabel_cross_val_predict
from ._decision import check_min_labels, decide, top_scores
from ._pairs import ScoredPairs
from ._rules import THRESHOLD_RULES, learn_threshold

_RESPONSES = {"decision_function": 0.0, "predict_proba": 0.5}  # and the cut-off of ignorance
_PAIRS_PER_DOCUMENT = 50


class _LabelColumns:
    """What both classifiers share: labels as columns, and predictions in blocks of documents.

    A subclass sets `threshold_` when all else is fitted, and scores a block by `_score_block`.
    """

    def _read_labels(self, y):
        """Describe the labels; return y for the estimators, and as a canonical CSR array."""
        Y = check_label_matrix(y)
        self._form = form_of(y)
        self.label_counts_ = np.bincount(Y.indices, minlength=Y.shape[1])
        self.n_samples_fit_ = Y.shape[0]
        self.classes_ = np.arange(Y.shape[1])
        if Y.shape[1] == 1:  # scikit-learn knows no sparse target of one column
            return Y.toarray().astype(np.int64), Y
        return (y if sparse.issparse(y) else np.asarray(y)), Y

    def _in_blocks(self, X, keep):
        """Stack what `keep` makes of the scores; only a block of them is dense at a time."""
        check_is_fitted(self, "threshold_")
        (X,) = indexable(X)
        n_rows = max(1, BLOCK_SIZE // len(self.classes_))
        blocks = [
            keep(self._score_block(_safe_indexing(X, rows)))
            for rows in gen_batches(max(1, _num_samples(X)), n_rows)
        ]
        return sparse.vstack(blocks, format="csr")

    def predict_topk(self, X, k=5):
        """Score the best labels of each document.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
        k : int, default=5
            How many labels at most; one without training documents is none of them.

        Returns
        -------
        csr_array of shape (n_samples, n_labels)
            Scores; of equal ones the lower columns are kept.
        """
        check_k(k)
        return self._in_blocks(X, lambda scores: top_scores(scores, self.threshold_, k))


def _estimator_has(method):
    return lambda self: hasattr(getattr(self, "estimator_", self.estimator), method)


class MultilabelThresholdClassifierCV(
    _LabelColumns, ClassifierMixin, MetaEstimatorMixin, BaseEstimator
):
    """Learn the cut-offs of any multi-label classifier from out-of-fold scores.

    The cut-off decides the F1 of a long-tailed classifier more than the learner does.
    scikit-learn's :class:`~sklearn.model_selection.TunedThresholdClassifierCV` is binary only.

    Parameters
    ----------
    estimator : classifier
        With `decision_function` or `predict_proba`; a Pipeline from raw texts is fine.
    threshold : {"tuned_low", "tuned", "frequency", "per_group", "per_label"}, default="tuned_low"
        The rule: one cut-off of the best micro-F1 ("tuned"); the lowest one within 0.3 points
        of it; one for score + tau log(N/n - 1), tau the best for macro-F1 within these 0.3
        points ("frequency"); one for each of head, medium and tail; one per label. The last two
        are drawn towards the common cut-off where a group or label has few positives.
    response_method : {"auto", "decision_function", "predict_proba"}, default="auto"
        What is cut; "auto" takes the first of the two that the estimator has.
    cv : int or splitter, default=3
        Folds of :class:`~skmltc.model_selection.MultilabelStratifiedKFold`, or a splitter that
        tests every document once.
    min_labels : int, default=0
        Fill every document up to this number with the labels that fall least short of their
        cut-offs.
    n_jobs : int, default=None
        Folds at a time.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds.

    Attributes
    ----------
    estimator_ : classifier
        Fitted on all documents.
    threshold_ : array of shape (n_labels,)
        Cut-offs in the units of the response; +inf for a label without documents, which is never
        predicted and never counts in the tuning.
    response_method_ : str
        What is cut.
    classes_, label_counts_, n_samples_fit_
        Columns, training documents of each, and in all.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import LinearSVC
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> from skmltc.decision import MultilabelThresholdClassifierCV
    >>> corpus = make_long_tailed_corpus(n_samples=300, n_labels=10, random_state=0)
    >>> model = make_pipeline(TfidfVectorizer(), OneVsRestClassifier(LinearSVC()))
    >>> tuned = MultilabelThresholdClassifierCV(model, random_state=0)
    >>> tuned.fit(corpus.data, corpus.target).predict(corpus.data[:2]).shape
    (2, 10)
    """

    def __init__(
        self,
        estimator,
        *,
        threshold="tuned_low",
        response_method="auto",
        cv=3,
        min_labels=0,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.threshold = threshold
        self.response_method = response_method
        self.cv = cv
        self.min_labels = min_labels
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X, y):
        """Score all documents out of fold, learn the cut-offs, then fit on all of them.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
            Whatever the estimator takes.
        y : array or sparse matrix of shape (n_samples, n_labels)
            Label indicators.

        Returns
        -------
        self
        """
        check_choice("threshold", self.threshold, THRESHOLD_RULES)
        check_min_labels(self.min_labels)
        self.response_method_ = self._find_response()
        y, Y = self._read_labels(y)
        pairs = self._score_out_of_fold(X, y, Y)
        self.estimator_ = clone(self.estimator).fit(X, y)
        self.threshold_ = learn_threshold(
            self.threshold,
            pairs,
            self.label_counts_,
            self.n_samples_fit_,
            default=_RESPONSES[self.response_method_],
        )
        return self

    def _find_response(self):
        wanted = _RESPONSES
        if self.response_method != "auto":
            wanted = [check_choice("response_method", self.response_method, ["auto", *_RESPONSES])]
        found = [name for name in wanted if hasattr(self.estimator, name)]
        if not found:
            expected = f"a classifier with {' or '.join(wanted)}"
            raise must_be("estimator", expected, repr(self.estimator))
        return found[0]

    def _score_out_of_fold(self, X, y, Y):
        folds = list_folds(self.cv, X, y, self.random_state)
        scores = multilabel_cross_val_predict(
            self.estimator,
            X,
            y,
            cv=folds,
            method=self.response_method_,
            n_jobs=self.n_jobs,
            top_k=_PAIRS_PER_DOCUMENT,
        )
        findable = sum(_count_findable(Y, train, test) for train, test in folds)
        return ScoredPairs.from_rows(scores, Y, findable)

    def predict(self, X):
        """Predict the labels above their cut-offs.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents

        Returns
        -------
        array or sparse matrix of shape (n_samples, n_labels)
            Sparse where y was.
        """
        chosen = self._in_blocks(X, lambda s: decide(s, self.threshold_, self.min_labels))
        return in_form(chosen, self._form)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X):
        """Ask the estimator for its decision values.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents

        Returns
        -------
        array of float32 of shape (n_samples, n_labels)
        """
        return self._ask("decision_function", X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Ask the estimator for its probabilities; the cut-offs leave them alone.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents

        Returns
        -------
        array of float32 of shape (n_samples, n_labels)
        """
        return self._ask("predict_proba", X)

    def _score_block(self, X):
        return self._ask(self.response_method_, X)

    def _ask(self, method, X):
        check_is_fitted(self, "threshold_")
        return label_scores(self.estimator_, method, X, len(self.classes_))

    def __sklearn_tags__(self):
        """Say that it is multi-label, and takes what its estimator takes."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags


def _count_findable(Y, train, test):
    """How often each label stands on the test documents, if a training document has it."""
    n_labels = Y.shape[1]
    is_seen = np.bincount(Y[train].indices, minlength=n_labels) > 0
    return np.where(is_seen, np.bincount(Y[test].indices, minlength=n_labels), 0)
