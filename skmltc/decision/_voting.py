"""MultilabelVotingClassifier: the mean decision of several classifiers."""

import numpy as np
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from .._targets import count_labels, label_scores
from .._validation import check_label_matrix, must_be
from ..metrics import last_step
from ._decision import Decision
from ._meta import MultilabelMetaClassifier, for_estimators


class MultilabelVotingClassifier(MultilabelMetaClassifier, _BaseComposition):
    """Average the decision values of several multi-label classifiers.

    Members may be pipelines with features of their own. A member that has learned cut-offs (a
    `threshold_` one per label) votes with its decision values less these, any other with its
    decision values, and the mean of the votes is cut at 0. Wrap it in
    :class:`MultilabelThresholdClassifierCV` for a cut-off learned by the vote as a whole.

    Parameters
    ----------
    estimators : list of (str, classifier)
        Members with `decision_function`.
    weights : list of float, default=None
        One per member; all alike by default.
    n_jobs : int, default=None
        Members fitted at a time.

    Attributes
    ----------
    estimators_ : list of classifier
        The fitted members.
    classes_, label_counts_, n_samples_fit_
        Columns, training documents of each, and in all.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import LinearSVC
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> from skmltc.decision import MultilabelVotingClassifier
    >>> corpus = make_long_tailed_corpus(n_samples=300, n_labels=10, random_state=0)
    >>> words = make_pipeline(TfidfVectorizer(), OneVsRestClassifier(LinearSVC()))
    >>> pairs = make_pipeline(
    ...     TfidfVectorizer(ngram_range=(2, 2)), OneVsRestClassifier(LinearSVC())
    ... )
    >>> vote = MultilabelVotingClassifier([("words", words), ("pairs", pairs)])
    >>> vote.fit(corpus.data, corpus.target).decision_function(corpus.data[:2]).shape
    (2, 10)
    """

    def __init__(self, estimators, *, weights=None, n_jobs=None):
        self.estimators = estimators
        self.weights = weights
        self.n_jobs = n_jobs

    def get_params(self, deep=True):
        """Parameters, with those of the members by name."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params):
        """Set parameters, a member's by ``name__parameter``."""
        return self._set_params("estimators", **params)

    def fit(self, X, y):
        """Fit every member.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
            Whatever the members take.
        y : array or sparse matrix of shape (n_samples, n_labels)
            Label indicators.

        Returns
        -------
        self
        """
        self._check_members()
        Y = check_label_matrix(y)
        y_fit = for_estimators(y, Y)
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(clone(member).fit)(X, y_fit) for _, member in self.estimators
        )
        self._check_responses(fitted, "decision_function")
        self._set_fitted(y, Y, Decision.at(0.0, count_labels(Y)), estimators_=fitted)
        return self

    def _check_members(self):
        if not self.estimators:
            raise must_be("estimators", "a list of (name, classifier) pairs", repr(self.estimators))
        self._validate_names([name for name, _ in self.estimators])
        members = [member for _, member in self.estimators]
        self._check_responses(members, "decision_function", "predict_proba")
        weights, n_members = self._member_weights(), len(self.estimators)
        allowed = np.isfinite(weights) & (weights >= 0)
        if weights.shape != (n_members,) or not allowed.all() or not weights.any():
            expected = f"{n_members} numbers, one an estimator, not below 0 and not all 0"
            raise must_be("weights", expected, repr(self.weights))

    def _check_responses(self, members, *methods):
        """Refuse members with none of the methods; some have theirs only once they are fitted."""
        for (name, _), member in zip(self.estimators, members, strict=True):
            if not any(hasattr(member, method) for method in methods):
                raise must_be(f"estimator {name!r}", "one with a decision_function", repr(member))

    def _member_weights(self):
        weights = np.ones(len(self.estimators)) if self.weights is None else self.weights
        return np.asarray(weights, dtype=np.float64)

    def decision_function(self, X):
        """Average the members' decision values, less their cut-offs, by their weights.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents

        Returns
        -------
        array of shape (n_samples, n_labels)
        """
        check_is_fitted(self, "decision_")
        weights = self._member_weights()
        return sum(
            weight * self._votes(member, X)
            for weight, member in zip(weights / weights.sum(), self.estimators_, strict=True)
        )

    def _votes(self, member, X):
        inner, X = last_step(member, X)
        scores = label_scores(inner, "decision_function", X, len(self.classes_))
        response = getattr(inner, "response_method_", "decision_function")
        if response != "decision_function" or not hasattr(inner, "decision_"):
            return scores
        return Decision(inner.threshold_).margins(scores)  # those in force now

    def _score_block(self, X):
        return self.decision_function(X)

    def _inner_tags(self):
        return get_tags(self.estimators[0][1])
