"""MultilabelThresholdClassifierCV: learned cut-offs for any multi-label classifier."""

from dataclasses import replace

from sklearn.base import clone
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from .._targets import count_labels, label_scores
from .._validation import check_choice, check_label_matrix, must_be
from ..model_selection import fit_quietly, list_folds
from ._decision import Decision, check_min_labels
from ._meta import MultilabelMetaClassifier, document_blocks, for_estimators
from ._pairs import ScoredPairs
from ._rules import RULES

_DEFAULT_CUT_OFF = {"decision_function": 0.0, "predict_proba": 0.5}  # with nothing to learn from


def _estimator_has(method):
    return lambda self: hasattr(getattr(self, "estimator_", self.estimator), method)


class MultilabelThresholdClassifierCV(MultilabelMetaClassifier):
    """Learn the cut-offs of any multi-label classifier from out-of-fold scores.

    The cut-off decides the F1 of a long-tailed classifier more than the learner does.
    scikit-learn's :class:`~sklearn.model_selection.TunedThresholdClassifierCV` is binary only.

    Parameters
    ----------
    estimator : classifier
        With `decision_function` or `predict_proba`; a Pipeline from raw texts is fine.
    threshold : {"frequency", "tuned", "tuned_low", "per_group", "per_label"}, default="frequency"
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
        threshold="frequency",
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
        check_choice("threshold", self.threshold, RULES)
        check_choice("response_method", self.response_method, ["auto", *_DEFAULT_CUT_OFF])
        check_min_labels(self.min_labels)
        Y = check_label_matrix(y)
        y_fit = for_estimators(y, Y)
        estimator = clone(self.estimator).fit(X, y_fit)
        response = self._find_response(estimator)
        decision = Decision.learn(
            self.threshold,
            self._score_out_of_fold(X, y_fit, Y, response),
            count_labels(Y),
            Y.shape[0],
            default=_DEFAULT_CUT_OFF[response],
        )
        self._set_fitted(y, Y, decision, estimator_=estimator, response_method_=response)
        return self

    def _find_response(self, estimator):
        """The first method of a fitted estimator: some have theirs only then."""
        wanted = _DEFAULT_CUT_OFF if self.response_method == "auto" else [self.response_method]
        found = [name for name in wanted if hasattr(estimator, name)]
        if not found:
            expected = f"a classifier with {' or '.join(wanted)}"
            raise must_be("estimator", expected, repr(self.estimator))
        return found[0]

    def _score_out_of_fold(self, X, y, Y, response):
        folds = list_folds(self.cv, X, y, self.random_state)
        return ScoredPairs.concatenate(
            Parallel(n_jobs=self.n_jobs)(
                delayed(_pairs_of_fold)(clone(self.estimator), X, y, Y, *fold, response)
                for fold in folds
            )
        )

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

    def _decision_in_force(self):
        return replace(super()._decision_in_force(), min_labels=self.min_labels)

    def _score_block(self, X):
        return self._ask(self.response_method_, X)

    def _ask(self, method, X):
        check_is_fitted(self, "decision_")
        return label_scores(self.estimator_, method, X, len(self.classes_))

    def _inner_tags(self):
        return get_tags(self.estimator)


def _pairs_of_fold(estimator, X, y, Y, train, test, response):
    """Pairs of the test documents, scored by the estimator fitted on the training ones."""
    fit_quietly(estimator, _safe_indexing(X, train), _safe_indexing(y, train))
    n_labels = Y.shape[1]
    blocks = document_blocks(_safe_indexing(X, test), n_labels)
    scores = (label_scores(estimator, response, block, n_labels) for block in blocks)
    return ScoredPairs.collect_rows(scores, Y[train], Y[test])
