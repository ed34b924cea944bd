"""MultilabelVotingClassifier: the mean decision of several classifiers."""

from functools import partial

import numpy as np
from scipy.special import logit
from sklearn.base import clone
from sklearn.utils import Bunch, get_tags
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from .._engines import Shared
from .._inner import is_frozen, last_step, training_counts
from .._targets import NO_DOCUMENT, label_scores, warn_of_empty_labels
from .._validation import must_be, object_of, without_news_of_labels
from .._weighting import router_of, weights_of
from ._decision import Decision
from ._meta import Given, MultilabelMetaClassifier, are_named, decision_of_classes

_METHODS = "decision_function", "predict_proba"
_LEAST_PROBABILITY = 1e-6  # log-odds of a forest's 0 and 1 are infinite and would outvote all


class MultilabelVotingClassifier(MultilabelMetaClassifier, _BaseComposition):
    """Average the decision values of several multi-label classifiers.

    Members may be pipelines with features of their own. A member votes with its decision values;
    one with probabilities alone votes with their log-odds. A member that has learned cut-offs (a
    `threshold_` one per label) votes with what it cuts, less these; it may stand behind pipelines
    and searches. The mean of the votes is cut at 0. Wrap it in
    :class:`MultilabelThresholdClassifierCV` for a cut-off learned by the vote as a whole.

    Parameters
    ----------
    estimators : list of (str, classifier)
        Members with `decision_function` or `predict_proba`; "drop" in place of one leaves it out,
        as in ``set_params(name="drop")``.
    weights : list of float, default=None
        One per member, dropped ones too; all alike by default.
    n_jobs : int, default=None
        Members fitted at a time; None is joblib's context.

    Attributes
    ----------
    estimators_ : list of classifier
        The fitted members, without dropped ones.
    named_estimators_ : Bunch
        The same by name; "drop" for dropped ones.
    classes_, label_counts_, n_samples_fit_
        Columns (for a 1-D y its classes), training documents of each, and in all; where all
        members are frozen and say so, the most that one was trained on.
    label_names_
        Where y is a data frame, the names of its columns, if all of them are strings.
    n_features_in_, feature_names_in_
        Those of the first member that has them.

    Notes
    -----
    Log-odds of probabilities are taken within 1e-6 and 1 - 1e-6.

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

    def fit(self, X, y, sample_weight=None):
        """Fit every member.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
            Whatever the members take.
        y : array or sparse matrix of shape (n_samples, n_labels), or array of (n_samples,)
            Label indicators; or one class per document.
        sample_weight : array of shape (n_samples,), default=None
            How often each document counts in every member, once by default. A document of weight 0
            is left out. Weights below 1 in the mean are taken for shares, and raised to a mean
            of 1. With scikit-learn's metadata routing enabled, the members that request them have
            them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If y or a parameter is not of the form above, y has no label at all, or weights are
            given and a member takes none.
        """
        self._check_parameters()
        target, Y = self._learn_target(y)
        given = Given.of(target, X, y, Y, sample_weight).weighing()
        counts, n_samples = self._training_counts(given)
        warn_of_empty_labels(counts, target.names)
        fitted = self._fit_members(given)
        self._check_responses(fitted)
        decision = Decision.at(0.0, counts)
        if not target.is_multilabel:
            decision = decision_of_classes(target, 0.0)
        attributes = {"estimators_": fitted, "named_estimators_": self._by_name(fitted)}
        self._set_fitted(target, decision, (counts, n_samples), fitted, **attributes)
        return self

    def get_metadata_routing(self):
        """Say who gets `sample_weight`: this, and the members.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
        """
        return router_of(self, dict(self._kept()))

    def _fit_members(self, given):
        """The members that are not dropped, fitted."""
        weights = weights_of(self, [name for name, _ in self._kept()], given.weights)
        with without_news_of_labels(NO_DOCUMENT):
            task = Shared(partial(Given.fit, given))
            return Parallel(n_jobs=self.n_jobs)(
                delayed(Shared.call)(task, clone(member), weights[name])
                for name, member in self._kept()
            )

    def _kept(self):
        """Members that are not dropped, with their names."""
        return [(name, member) for name, member in self.estimators if _is_kept(member)]

    def _by_name(self, fitted):
        remaining = iter(fitted)
        names = {n: next(remaining) if _is_kept(m) else m for n, m in self.estimators}
        return Bunch(**names)

    def _training_counts(self, given):
        """Documents of each label and in all: of frozen members those that they were trained on."""
        members = [member for _, member in self._kept()]
        n_labels = given.Y.shape[1]
        known = [training_counts(m, n_labels) if is_frozen(m) else None for m in members]
        if any(one is None for one in known):
            return given.counts, given.n_samples
        counts, n_samples = zip(*known, strict=True)
        return np.max(counts, axis=0), max(n_samples)

    def _check_parameters(self):
        super()._check_parameters()
        self._check_pairs()
        self._validate_names([name for name, _ in self.estimators])
        self._check_responses([member for _, member in self._kept()])
        self._check_weights([member for _, member in self.estimators])

    def _check_pairs(self):
        """Refuse what is no list of pairs; scikit-learn asks for tags of members before `fit`."""
        if not are_named(self.estimators) or not self._kept():
            expected = "a list of (name, classifier) pairs, not all dropped"
            raise must_be("estimators", expected, repr(self.estimators))

    def _check_weights(self, members):
        weights, n_members = self._member_weights(len(members)), len(members)
        is_right = weights.shape == (n_members,) and np.all(np.isfinite(weights) & (weights >= 0))
        if not is_right or not _of_kept(weights, members).any():
            expected = f"{n_members} numbers, one per estimator, not below 0 and not all 0"
            raise must_be("weights", expected, repr(self.weights))
        return weights

    def _check_responses(self, members):
        """Refuse members without scores; some have theirs only once they are fitted."""
        for (name, _), member in zip(self._kept(), members, strict=True):
            has_scores = any(hasattr(member, method) for method in _METHODS)
            if isinstance(member, type) or not has_scores:
                expected = f"one with {' or '.join(_METHODS)}"
                raise must_be(f"estimator {name!r}", expected, repr(member), object_of(member))

    def _member_weights(self, n_members):
        weights = np.ones(n_members) if self.weights is None else self.weights
        try:
            return np.asarray(weights, dtype=np.float64)
        except (TypeError, ValueError):
            return np.array(np.nan)  # no number at all is as wrong as one that is none

    def decision_function(self, X):
        """Average the members' decision values, less their cut-offs, by their weights.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents

        Returns
        -------
        array of shape (n_samples, n_labels), or (n_samples,) for a binary y
        """
        check_is_fitted(self, "decision_")
        scores = self._score_block(X)
        return scores.ravel() if self.target_.type == "binary" else scores

    def _score_block(self, X):
        members = list(self.named_estimators_.values())
        weights = _of_kept(self._check_weights(members), members)
        return sum(
            weight * _margins(member, X, self._n_columns)
            for weight, member in zip(weights / weights.sum(), self.estimators_, strict=True)
        )

    def _inner_tags(self):
        self._check_pairs()
        return [get_tags(member) for _, member in self._kept()]


def _is_kept(member):
    return not (isinstance(member, str) and member == "drop")


def _of_kept(weights, members):
    """Weights of the members that are not dropped."""
    return weights[[_is_kept(member) for member in members]]


def _margins(member, X, n_labels):
    """Scores of a fitted member less its cut-offs, in decision values or log-odds."""
    inner, X = last_step(member, X)
    response = "decision_function" if hasattr(inner, "decision_function") else "predict_proba"
    response = getattr(inner, "response_method_", response)
    scores = label_scores(inner, response, X, n_labels)
    cut_offs = inner.threshold_ if hasattr(inner, "decision_") else None  # those in force now
    if response == "predict_proba":
        cut_offs = None if cut_offs is None else _log_odds(cut_offs, _LEAST_PROBABILITY / 2)
        scores = _log_odds(scores, _LEAST_PROBABILITY)
    return scores if cut_offs is None else Decision(cut_offs).margins(scores)


def _log_odds(probabilities, least):
    """Log-odds of probabilities within bounds; +inf, for a label never predicted, stays."""
    log_odds = logit(np.clip(probabilities, least, 1 - least, dtype=np.float64))
    return np.where(np.isposinf(probabilities), np.inf, log_odds)
