"""Members: classifiers that are trained together, and asked for the evidence of labels."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from scipy.special import logit
from sklearn.base import BaseEstimator, clone
from sklearn.svm import LinearSVC

from .._idle import NO_EFFECT
from .._inner import end_of_pipeline, last_step
from .._networks import best_epoch
from .._targets import NO_DOCUMENT, label_scores
from .._validation import must_be
from .._votes import best_cosines, keep_first_positive, vote_shares
from ..balanced_loss import BalancedLossClassifier
from ..losses import SquaredHingeLoss
from ..model_selection import without_news_of_labels
from ..neighbors import MultilabelKNeighborsClassifier
from ._columns import Scores, Votes

_ADVICE = (
    "So says the member {!r}. A member that wants X in another form, features of texts or token "
    "ids, is a pipeline: make_pipeline(vectorizer, classifier)."
)
_RESPONSES = ("decision_function", "predict_proba")
_NEAREST = (20, 50)  # neighbours that vote
_LEAST_PROBABILITY = 1e-6  # log-odds of a forest's 0 and 1 are infinite


class Member(NamedTuple):
    """A fitted member.

    Parameters
    ----------
    name : str
    estimator : fitted classifier
        A pipeline, too.
    response : {"decision_function", "predict_proba"}
        What it is asked for.
    """

    name: str
    estimator: BaseEstimator
    response: str

    @classmethod
    def fit(cls, name, estimator, X, y, seed):
        """Fit a copy on documents; one of ours learns no decision, which nobody would read."""
        prepared = _prepared(estimator, seed)
        try:
            with without_news_of_labels(NO_DOCUMENT):
                fitted = prepared.fit(X, y)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{error} {_ADVICE.format(name)}") from error
        found = [response for response in _RESPONSES if hasattr(fitted, response)]
        if not found:
            expected = f"one with {' or '.join(_RESPONSES)}"
            raise must_be(f"estimator {name!r}", expected, repr(estimator))
        return cls(name, fitted, found[0])

    def again(self, X, y, seed):
        """Fit a copy on other documents, with what was searched on all of them."""
        estimator = _prepared(self.estimator, seed)
        _keep_what_was_searched(end_of_pipeline(estimator), end_of_pipeline(self.estimator))
        with without_news_of_labels():
            warnings.filterwarnings("ignore", message=NO_EFFECT)  # `fit` has said it
            return self._replace(estimator=estimator.fit(X, y))

    def answer(self, X, n_labels):
        """Say what there is to say of a block of documents: `Scores` or `Votes`."""
        inner = end_of_pipeline(self.estimator)
        if isinstance(inner, MultilabelKNeighborsClassifier):
            return _votes(self.name, *last_step(self.estimator, X))
        scores = label_scores(self.estimator, self.response, X, n_labels)
        if self.response == "predict_proba":
            scores = logit(np.clip(scores, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))
        return Scores(self.name, scores, _has_margins(inner))


def _votes(name, neighbors, X):
    """What the nearest documents of a block say, at several distances from one search."""
    (memory,) = neighbors.scorer_.memories
    X = neighbors.inputs_.read(X, neighbors)
    ((cosines, indices),) = neighbors.scorer_.encode(X, "cpu")
    shares = {k: vote_shares(keep_first_positive(cosines, k), indices, memory.Y) for k in _NEAREST}
    best = best_cosines(cosines, indices, memory.Y)
    for matrix in (*shares.values(), best):
        matrix.sort_indices()
    return Votes(name, shares, best)


def _prepared(estimator, seed):
    """A copy; one of ours is seeded, and left undecided."""
    copied = clone(estimator)
    inner = end_of_pipeline(copied)
    if hasattr(type(inner), "_undecided"):
        vars(inner)["_undecided"] = True
        if inner.random_state is None:
            inner.set_params(random_state=seed)
    return copied


def _keep_what_was_searched(estimator, fitted):
    """Take over the weight decay, and the epochs of a network that stopped early."""
    if not isinstance(fitted, BalancedLossClassifier):
        return
    if hasattr(fitted, "weight_decay_"):
        estimator.set_params(weight_decay=fitted.weight_decay_)
    else:
        estimator.set_params(max_epochs=best_epoch(fitted.net_), early_stopping=False)


def _has_margins(estimator):
    """Whether decision values are margins of a hinge loss."""
    if isinstance(estimator, BalancedLossClassifier):
        return isinstance(estimator._spec_of("loss"), SquaredHingeLoss)
    return isinstance(getattr(estimator, "estimator", estimator), LinearSVC)
