"""MultilabelThresholdClassifierCV: learned cut-offs for any multi-label classifier."""

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from .._engines import Shared
from .._idle import NO_EFFECT, changed_parameters, warn_of_idle
from .._inner import end_of_pipeline, is_frozen, last_step, training_counts
from .._targets import (
    NO_DOCUMENT,
    label_scores,
    name_columns,
    refuse_no_label,
    warn_of_empty_labels,
)
from .._validation import (
    LabelWarning,
    check_choice,
    check_classifier,
    must_be,
    warn,
    without_news_of_labels,
)
from .._weighting import router_of, weights_of
from ..labels import LabelStatistics
from ..model_selection import list_folds
from ._decision import Decision, check_decision, idle_in_decision
from ._meta import (
    Given,
    MultilabelMetaClassifier,
    check_worth,
    decision_of_classes,
    document_blocks,
    prior_cut_off,
)
from ._pairs import ScoredPairs
from ._rules import RULES

_DEFAULT_CUT_OFF = {"decision_function": 0.0, "predict_proba": 0.5}  # of two classes


def _estimator_has(method):
    return lambda self: hasattr(getattr(self, "estimator_", self.estimator), method)


class MultilabelThresholdClassifierCV(MultilabelMetaClassifier):
    """Learn the cut-offs of any multi-label classifier from out-of-fold scores.

    The cut-off decides the F1 of a long-tailed classifier more than the learner does.
    scikit-learn's :class:`~sklearn.model_selection.TunedThresholdClassifierCV` is binary only.
    For a 1-D y of classes nothing is learned here: the best class is predicted.

    Parameters
    ----------
    estimator : classifier
        With `decision_function` or `predict_proba`; a Pipeline from raw texts is fine. Around a
        :class:`~sklearn.frozen.FrozenEstimator`, alone or as the last step of a Pipeline, the
        cut-offs are learned from the documents of `fit`, all of which count as unseen, and `cv`
        is not used.
    threshold : {"frequency", "tuned", "tuned_low", "per_group", "per_label", "micro_macro"}, \
            default="frequency"
        The rule: one cut-off of the best micro-F1 ("tuned"); the lowest one within 0.3 points
        of it; one for score + tau log(N/n - 1), of the taus within these 0.3 points the largest
        whose macro-F1 is within 0.3 points of the best ("frequency"); one for each of head, medium
        and tail; one per label. The last two are drawn towards the common cut-off where a group
        or label has few positives.
        "micro_macro": one per label, of the best sum of micro- and macro-F1 in expectation; for
        it the scores are calibrated, which changes nothing else.
    response_method : {"auto", "decision_function", "predict_proba"}, default="auto"
        What is cut; "auto" takes the first of the two that the fitted estimator has.
    cv : int, splitter or iterable of (train, test), default=3
        Folds of :class:`~skmltc.model_selection.MultilabelStratifiedKFold`, or a splitter that
        tests no document twice, such as :class:`~sklearn.model_selection.PredefinedSplit` for an
        official validation part.
    slack : float, default=0.003
        Micro-F1 on held-out documents that the rules "tuned_low" and "frequency" may give up for a
        lower cut-off and for macro-F1: the 0.3 points of their descriptions.
    min_labels : int, default=0
        Fill every document up to this number with the labels that fall least short of their
        cut-offs.
    max_labels : int, default=None
        Give no document more labels: those furthest above their cut-offs are kept.
    n_jobs : int, default=None
        Folds at a time.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds.

    Attributes
    ----------
    estimator_ : classifier
        Fitted on all documents. An estimator of this package learns no decision in here, which
        nobody would read, and is calibrated with ``calibrate=True`` alone: by itself its `predict`
        cuts at 0.5, or at the number that is its `threshold`.
    threshold_ : array of shape (n_labels,)
        Cut-offs in the units of the response; +inf for a label without training documents, which
        is never predicted and never counts in the tuning.
    response_method_ : str
        What is cut.
    classes_, label_counts_, n_samples_fit_
        Columns (for a 1-D y its classes), training documents of each, and in all; of a frozen
        estimator that says so those that it was trained on.
    label_names_
        Where y is a data frame, the names of its columns, if all of them are strings.
    n_features_in_, feature_names_in_
        Those of the estimator, where it has them.

    Notes
    -----
    Where no held-out document has a label that its fold's model knows, nothing can be learned. A
    warning says so, and as many labels are predicted for the training documents as they have.

    A label without documents in y is known to a frozen estimator that was trained on it. One with
    `label_counts_` says so; of another, such a label is cut as one of a single document, with a
    warning, unless all documents have the same score of it.

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
        threshold="frequency",
        response_method="auto",
        cv=3,
        slack=0.003,
        min_labels=0,
        max_labels=None,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.threshold = threshold
        self.response_method = response_method
        self.cv = cv
        self.slack = slack
        self.min_labels = min_labels
        self.max_labels = max_labels
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Score documents by models that have not seen them, learn the cut-offs, fit on all.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
            Whatever the estimator takes.
        y : array or sparse matrix of shape (n_samples, n_labels), or array of (n_samples,)
            Label indicators; or one class per document.
        sample_weight : array of shape (n_samples,), default=None
            How often each document counts, in the estimator's `fit` and in the cut-offs: once by
            default. A document of weight 0 is left out. Weights below 1 in the mean are taken for
            shares, and raised to a mean of 1. With scikit-learn's metadata routing enabled, the
            estimator has them if it requests them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If y or a parameter is not of the form above, y has no label at all, the estimator has
            no scores, or weights are given and it takes none.
        """
        self._check_parameters()
        target, Y = self._learn_target(y)
        given = Given.of(target, X, y, Y, sample_weight)
        if is_frozen(self.estimator):
            refuse_no_label(given.counts)
        else:
            warn_of_empty_labels(given.counts, target.names)
        routed = weights_of(self, ["estimator"], given.weights)["estimator"] is not None
        with without_news_of_labels(NO_DOCUMENT):
            estimator = _fit(self.estimator, given.weighing(), routed)
        response = self._find_response(estimator)
        decision, trained_on = self._decide(target, given, estimator, response, routed)
        self._set_fitted(
            target,
            decision,
            trained_on,
            [estimator],
            estimator_=estimator,
            response_method_=response,
        )
        return self

    def _check_parameters(self):
        super()._check_parameters()
        check_classifier("estimator", self.estimator)
        check_choice("threshold", self.threshold, RULES)
        check_choice("response_method", self.response_method, ["auto", *_DEFAULT_CUT_OFF])
        check_decision(self)
        warn_of_idle(changed_parameters(self), [idle_in_decision(self.threshold)])

    def _find_response(self, estimator):
        """The first method of a fitted estimator: some have theirs only then."""
        wanted = _DEFAULT_CUT_OFF if self.response_method == "auto" else [self.response_method]
        found = [name for name in wanted if hasattr(estimator, name)]
        if not found:
            expected = f"a classifier with {' or '.join(wanted)}"
            raise must_be("estimator", expected, repr(self.estimator))
        return found[0]

    def get_metadata_routing(self):
        """Say who gets `sample_weight`: this, and the estimator.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
        """
        return router_of(self, {"estimator": self.estimator})

    def _decide(self, target, given, estimator, response, routed):
        """The decision, and the documents of each label and in all that were trained on."""
        trained_on = given.counts, given.n_samples
        if not target.is_multilabel:
            return decision_of_classes(target, _DEFAULT_CUT_OFF[response]), trained_on
        known = trained_on
        if is_frozen(estimator):
            frozen = estimator, given.weighing(), response, target.names
            pairs, trained_on, known = _pairs_of_frozen(*frozen)
        else:
            pairs = self._score_out_of_fold(given, response, routed)
        default = 0.0
        if not pairs.select(known[0] > 0).is_true.any():
            default = _prior(estimator, given.weighing(), response, known[0] > 0)
        how = {"default": default, "slack": self.slack}
        return Decision.learn(self.threshold, pairs, *known, **how), trained_on

    def _score_out_of_fold(self, given, response, routed):
        folds = list_folds(self.cv, given.X, given.y, self.random_state, every=False)
        folds = [(train, test) for train, test in folds if given.tells(train, test)]
        with without_news_of_labels():
            warnings.filterwarnings("ignore", message=NO_EFFECT)  # `fit` has said it
            task = Shared(partial(_pairs_of_fold, given, response, routed))
            parts = Parallel(n_jobs=self.n_jobs)(
                delayed(Shared.call)(task, self.estimator, train, test) for train, test in folds
            )
        none = given.Y[:0]
        return ScoredPairs.concatenate(parts or [ScoredPairs.collect_rows([], none, none)])

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X):
        """Ask the estimator for its decision values.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents

        Returns
        -------
        array of float32 of shape (n_samples, n_labels)
            For a 1-D y whatever the estimator returns.
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
            For a 1-D y whatever the estimator returns.
        """
        return self._ask("predict_proba", X)

    def _decision_in_force(self):
        decision = super()._decision_in_force()
        if not self.target_.is_multilabel:
            return decision
        check_decision(self)
        if decision.rule is not None and self.threshold != decision.rule:
            remedy = "A rule is learned in fit: fit again."
            raise must_be("threshold", repr(decision.rule), self.threshold, remedy)
        return replace(decision, min_labels=self.min_labels, max_labels=self.max_labels)

    def _score_block(self, X):
        return label_scores(self.estimator_, self.response_method_, X, self._n_columns)

    def _top_of_block(self, X, k, worth):
        inner, X_inner = last_step(self.estimator_, X)
        if hasattr(inner, "predict_topk") and worth is None:
            return inner.predict_topk(X_inner, k)
        has_proba = hasattr(self.estimator_, "predict_proba")
        check_worth(worth, has_proba)
        method = "predict_proba" if has_proba else self.response_method_
        # In float32 the best would tie at 1.
        scores = label_scores(self.estimator_, method, X, self._n_columns, np.float64)
        return self.decision_.topk(scores, k, None if worth is None else scores * worth)

    def _ask(self, method, X):
        check_is_fitted(self, "decision_")
        if not self.target_.is_multilabel:
            return getattr(self.estimator_, method)(X)
        return label_scores(self.estimator_, method, X, self._n_columns)

    def _inner_tags(self):
        return [get_tags(self.estimator)]


def _left_undecided(estimator):
    """An estimator that is asked for scores: one of ours learns no decision that nobody reads.

    It is changed, so it must be a clone.
    """
    inner = end_of_pipeline(estimator)
    if hasattr(type(inner), "_undecided"):
        vars(inner)["_undecided"] = True
    return estimator


def _fit(estimator, given, routed):
    """A clone that is fitted, with the weights of the documents if it gets them."""
    return given.fit(_left_undecided(clone(estimator)), given.weights if routed else None)


def _pairs_of_fold(given, response, routed, estimator, train, test):
    """Pairs of the test documents, scored by the estimator fitted on the training ones."""
    train, test = given.take(train), given.take(test)
    estimator = _fit(estimator, train, routed)
    return _collect(estimator, test, response, train.statistics)


def _collect(estimator, given, response, trained_on):
    """Pairs of documents, scored by an estimator that was trained on others."""
    blocks = _blocks_of_scores(estimator, given.X, given.Y.shape[1], response)
    return ScoredPairs.collect_rows(blocks, trained_on, given.Y, document_weights=given.weights)


def _blocks_of_scores(estimator, X, n_labels, response):
    for block in document_blocks(X, n_labels):
        yield label_scores(estimator, response, block, n_labels)


def _pairs_of_frozen(estimator, given, response, names):
    """Pairs of all documents: a frozen estimator has seen none of them.

    Returns
    -------
    ScoredPairs
    trained_on : (array of int of shape (n_labels,), int)
        Documents of each label that the estimator was trained on, and in all; if it does not
        say, those of Y.
    known : (array of int of shape (n_labels,), int)
        The same for the rule: of an estimator that does not say, a label without documents in Y
        that has scores is taken for one of a single document.
    """
    n_labels = given.Y.shape[1]
    trained_on = training_counts(estimator, n_labels)
    if trained_on is not None:
        pairs = _collect(estimator, given, response, LabelStatistics(*trained_on))
        return pairs, trained_on, trained_on
    scored, once = _Scored(n_labels), LabelStatistics(np.ones(n_labels, int), 1)
    blocks = scored.watch(_blocks_of_scores(estimator, given.X, n_labels, response))
    pairs = ScoredPairs.collect_rows(blocks, once, given.Y, document_weights=given.weights)
    counts, n_samples = given.counts, given.n_samples
    lacking = scored.differ & (counts == 0)
    _warn_of_lacking(lacking, counts == 0, names)
    return pairs, (counts, n_samples), (np.where(lacking, 1, counts), n_samples)


class _Scored:
    """Whether the documents have different scores of a label: else nothing is known of it."""

    def __init__(self, n_labels):
        self.lowest, self.highest = np.full(n_labels, np.inf), np.full(n_labels, -np.inf)

    def watch(self, blocks):
        for scores in blocks:
            np.minimum(self.lowest, scores.min(axis=0), out=self.lowest)
            np.maximum(self.highest, scores.max(axis=0), out=self.highest)
            yield scores

    @property
    def differ(self):
        return self.lowest < self.highest


def _warn_of_lacking(lacking, absent, names):
    """Say what becomes of labels without a document in what a frozen estimator is tuned on."""
    columns = np.flatnonzero(lacking)
    if len(columns):
        warn(
            f"{len(columns)} labels have no document in y ({name_columns(columns, names)}). The "
            "frozen estimator scores them but does not say how many documents it was trained on: "
            "they are cut as labels of a single document.",
            LabelWarning,
        )
    columns = np.flatnonzero(absent & ~lacking)
    if len(columns):
        warn(
            f"{len(columns)} labels have no document in y, and all documents have the same score "
            f"({name_columns(columns, names)}). They will never be predicted.",
            LabelWarning,
        )


def _prior(estimator, given, response, known):
    """The cut-off that predicts as many of the known labels for X as its documents have."""
    warn(
        "No cut-off can be learned: no held-out document has a label that the model which scores "
        "it was trained on. As many labels as y has are predicted for its documents instead. More "
        "documents per label are needed.",
        LabelWarning,
    )
    blocks = _blocks_of_scores(estimator, given.X, given.Y.shape[1], response)
    return prior_cut_off((scores[:, known] for scores in blocks), given.Y[:, known].nnz)
