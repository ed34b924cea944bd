"""What the classifiers around other classifiers share: labels, and predictions in blocks."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._inputs import as_rows, count_rows, take_rows
from .._ranking import check_k
from .._targets import Target, count_documents, count_labels
from .._validation import check_constraints, check_sample_weight, must_be, remedy_for_y
from .._weighting import fit_weighted, rows_with_weight
from ..labels import LabelStatistics
from ._decision import Decision, label_worth

BLOCK_SIZE = 2**24  # scores that are dense at a time


def document_blocks(X, n_labels, block_size=BLOCK_SIZE):
    """Yield some documents at a time, of any kind of X, so that their scores may be dense."""
    X = as_rows(X)
    for rows in gen_batches(max(1, count_rows(X)), max(1, block_size // n_labels)):
        yield take_rows(X, rows)


def prior_cut_off(score_blocks, n_true):
    """Find the cut-off above which there are as many pairs as are true.

    For a model with nothing to learn a cut-off from: it then predicts as many labels for these
    documents as they have.

    Parameters
    ----------
    score_blocks : iterable of array
        Scores of (document, label) pairs, in blocks of any shape; -inf is never predicted.
    n_true : int
        How many pairs are true.

    Returns
    -------
    float
        Half-way between the last score that is kept and the following one. Of equal scores
        at that place none is kept. 0 where there are no scores.
    """
    best = np.empty(0)
    for scores in score_blocks:
        best = np.append(best, scores[scores > -np.inf])
        best = -np.partition(-best, n_true)[: n_true + 1] if len(best) > n_true else best
    best = -np.sort(-best)
    if not len(best):
        return 0.0
    if not n_true:
        return float(best[0])
    last, following = best[min(n_true, len(best)) - 1], best[n_true:]
    just_below = np.nextafter(last, -np.inf)
    if not len(following):
        return float(just_below)
    if following[0] == last:
        return float(last)
    return float(min(last / 2 + following[0] / 2, just_below))


class MultilabelMetaClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Base of both: a subclass scores a block of documents by `_score_block`."""

    _parameter_constraints: dict = {
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def _check_parameters(self):
        check_constraints(self)

    def _learn_target(self, y):
        """What y is, and its label indicators."""
        if y is None:
            remedy = f"{type(self).__name__} requires y to be passed, but the target y is None."
            raise must_be("y", "given", None, remedy)
        target = Target.learn(y)
        return target, target.indicators(y)

    def _set_fitted(self, target, decision, trained_on, fitted, **attributes):
        """Set all that was learned in place of what an earlier fit had; nothing else does.

        Parameters
        ----------
        target : Target
        decision : Decision
        trained_on : (array of int of shape (n_labels,), int)
            Training documents of each label, and in all.
        fitted : list of fitted classifiers
            The number and names of columns are those of the first that has them.
        **attributes : dict
        """
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        for name in ("n_features_in_", "feature_names_in_"):
            found = [getattr(one, name) for one in fitted if hasattr(one, name)]
            vars(self).update({name: found[0]} if found else {})
        self.decision_ = decision
        vars(self).update(target.attributes)
        self.label_counts_, self.n_samples_fit_ = trained_on
        vars(self).update(attributes)

    @property
    def threshold_(self):
        """Cut-offs of the labels, (n_labels,); +inf for a label without documents."""
        return self.decision_.thresholds

    @property
    def _n_columns(self):
        """Columns of the scores: one of a binary y."""
        return len(self.decision_.thresholds)

    def _decision_in_force(self):
        check_is_fitted(self, "decision_")
        return self.decision_

    def _blocks(self, X):
        check_is_fitted(self, "decision_")
        return document_blocks(X, self._n_columns)

    def predict(self, X):
        """Predict the labels above their cut-offs; for a 1-D y the best class.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents

        Returns
        -------
        array or sparse matrix of shape (n_samples, n_labels), or array of (n_samples,)
            Sparse where y was.
        """
        decision = self._decision_in_force()
        scores = map(self._score_block, self._blocks(X))
        return self.target_.decode(map(decision.predict, scores))

    def predict_topk(self, X, k=5, weight=None):
        """Score the best labels of each document.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
        k : int, default=5
            How many labels at most; one without training documents is none of them.
        weight : {None, "propensity"}, default=None
            "propensity" takes those of the best probability times inverse propensity; the
            estimator must have `predict_proba`.

        Returns
        -------
        csr_array of shape (n_samples, n_labels)
            Probabilities where the estimator has `predict_proba`, else what is cut: decision
            values, or the mean votes of several classifiers. Of equal scores the lower columns
            are kept.
        """
        check_k(k), check_is_fitted(self, "decision_")
        worth = label_worth(weight, self.label_counts_, self.n_samples_fit_)
        tops = [self._top_of_block(block, k, worth) for block in self._blocks(X)]
        return sparse.vstack(tops, format="csr")

    def _top_of_block(self, X, k, worth):
        check_worth(worth, False)
        return self.decision_.topk(self._score_block(X), k)

    def __sklearn_tags__(self):
        """Say that it is multi-label, and takes what its estimator takes."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        inner = self._inner_tags()
        tags.input_tags = inner[0].input_tags
        tags.input_tags.sparse = all(one.input_tags.sparse for one in inner)
        tags.input_tags.allow_nan = all(one.input_tags.allow_nan for one in inner)
        return tags


def check_worth(worth, has_proba):
    """Refuse to weigh what is no probability."""
    if worth is not None and not has_proba:
        expected = "None, where there are no probabilities to be weighed"
        raise must_be("weight", expected, "'propensity'")


def check_rows(X, y):
    """X in a form of which rows can be taken, and y, of as many rows."""
    X = as_rows(X)
    check_consistent_length(X, y)
    return X, y


class Given(NamedTuple):
    """Documents in the forms that the classifiers inside take.

    Parameters
    ----------
    X : list, array or sparse matrix of n_samples documents
    y : array or sparse matrix
        As the classifiers inside take it.
    Y : csr_array of shape (n_samples, n_labels)
        Its label indicators.
    weights : array of shape (n_samples,), default=None
        How often each document counts; once by default.
    left_out : array of int, default=()
        Rows of the documents of weight 0 that are not among them, in what was given to `fit`.
    """

    X: object
    y: object
    Y: sparse.csr_array
    weights: np.ndarray | None = None
    left_out: np.ndarray | tuple = ()

    @classmethod
    def of(cls, target, X, y, Y, sample_weight=None):
        """Check that they are of one length, and weights, if there are any."""
        X, y = check_rows(X, for_estimators(target, y, Y))
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, Y.shape[0])
            _check_classes(target, count_labels(Y, sample_weight))
        return cls(X, y, Y, sample_weight)

    def take(self, rows):
        """Some documents, without those of weight 0."""
        rows = rows_with_weight(rows, self.weights)
        weights = None if self.weights is None else self.weights[rows]
        return Given(take_rows(self.X, rows), take_rows(self.y, rows), self.Y[rows], weights)

    def weighing(self):
        """All documents but those of weight 0."""
        if self.weights is None or self.weights.all():
            return self
        left_out = np.flatnonzero(self.weights == 0)
        return self.take(np.arange(self.Y.shape[0]))._replace(left_out=left_out)

    def place(self, rows):
        """Where documents are among those of `weighing`; those of weight 0 are left out."""
        if self.weights is None:
            return rows
        return (np.cumsum(self.weights > 0) - 1)[rows_with_weight(rows, self.weights)]

    def tells(self, train, test):
        """Whether there are labels to train on, and documents to test, of weight above 0."""
        return bool(self.take(train).Y.nnz and len(self.place(test)))

    def fit(self, estimator, weights=None):
        """Fit a clone; with these weights, where it shall have any."""
        try:
            return fit_weighted(estimator, self.X, self.y, weights)
        except (TypeError, ValueError) as error:
            if not (remedy := remedy_for_y(str(error))):
                raise
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(f"{str(error).rstrip('.')}. {remedy}") from error

    @property
    def counts(self):
        """Documents of each label, by their weights."""
        return count_labels(self.Y, self.weights)

    @property
    def n_samples(self):
        """Documents in all, by their weights."""
        return count_documents(self.Y, self.weights)

    @property
    def statistics(self):
        """Both together."""
        return LabelStatistics(self.counts, self.n_samples)


def _check_classes(target, counts):
    """Refuse classes of a 1-D y that other classifiers would not see."""
    if target.type == "binary":
        counts = np.append(counts, 1)  # of the other class there is no column
    if not target.is_multilabel and not np.all(counts):
        empty = -1 if len(counts) == 2 else np.argmin(counts)
        got = f"0 for all of class {target.classes.tolist()[empty]!r}"
        remedy = "Leave such documents out of X and y."
        raise must_be("sample_weight", "above 0 for a document of each class", got, remedy)


def for_estimators(target, y, Y):
    """Y as other classifiers take it: scikit-learn knows no sparse target of one column.

    Parameters
    ----------
    target : Target
    y : array or sparse matrix
        As the user gave it.
    Y : csr_array of shape (n_samples, n_labels)
        Its label indicators.
    """
    if not target.is_multilabel:
        return np.asarray(y).ravel()
    if sparse.issparse(y) and Y.shape[1] > 1:
        return y if y.format in ("csr", "csc") else y.tocsr()  # rows of others cannot be taken
    if isinstance(y, np.ndarray) and y.dtype != object:
        return y
    is_sparse = target.form != "dense" and Y.shape[1] > 1  # a data frame of sparse columns
    return Y.astype(np.int64) if is_sparse else Y.toarray().astype(np.int64)


def decision_of_classes(target, cut_off):
    """Predict the best of several classes, or the second of two where its score is higher."""
    if target.type == "binary":
        return Decision(np.array([cut_off]))
    return Decision.best(len(target.classes))


def are_named(estimators):
    """Whether they are a list of pairs of a name and something."""
    is_list = isinstance(estimators, list | tuple)
    return is_list and all(
        isinstance(one, list | tuple) and len(one) == 2 and isinstance(one[0], str)
        for one in estimators
    )
