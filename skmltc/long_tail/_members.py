"""Members: classifiers that are trained together, and asked for the evidence of labels."""

from __future__ import annotations

import copy
import warnings
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import logit
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from .._idle import NO_EFFECT
from .._inner import end_of_pipeline, last_step, with_last_step
from .._inputs import count_rows
from .._networks import best_epoch
from .._targets import NO_DOCUMENT, label_scores
from .._validation import must_be, remedy_for_y, without_news_of_labels
from .._votes import best_cosines, times_counted, vote_shares
from ..balanced_loss import BalancedLossClassifier
from ..decision import Calibration
from ..losses import SquaredHingeLoss
from ..neighbors import MultilabelKNeighborsClassifier
from ._columns import Scores, Votes
from ._views import OF_TEXTS, Views, before_last, reads_texts

_OF_X = (
    "A member that wants X in another form, features of texts or token ids, is a pipeline: "
    "make_pipeline(vectorizer, classifier)."
)
_X_IS_WRONG = ("X must be ", "X has ", "(input X)", "with dim ", "Expected 2D", "string to float")
_NO_TEXTS = ("no attribute 'lower'", "invalid document", "string", "sequence of texts", "read()")
_RESPONSES = ("decision_function", "predict_proba")
_NEAREST = (20, 50)  # neighbours that vote
_LONG = 600  # characters of an error
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
    order : Calibration, default=None
        Makes its scores of different labels comparable, where they are not; see `order_of`.
    """

    name: str
    estimator: BaseEstimator
    response: str
    order: Calibration | None = None

    @classmethod
    def fit(cls, name, estimator, X, y, seed, weights=None):
        """Fit a copy on documents, or views of them; one of ours learns no decision."""
        prepared = _prepared(estimator, seed)
        try:
            with without_news_of_labels(NO_DOCUMENT):
                fitted = Views.of(X).fit(prepared, y, weights)
        except (AttributeError, TypeError, ValueError) as error:
            kind = ValueError if isinstance(error, ValueError) else TypeError
            said = f"{_shortened(str(error)).rstrip('.')}. So says the member {name!r}."
            raise kind(_with_remedy(said, estimator, str(error))) from error
        return cls(name, fitted, _response_of(name, fitted))

    def again(self, X, y, seed, weights=None):
        """Fit a copy on other documents, with what was searched on all of them."""
        estimator = _prepared(self.estimator, seed)
        _keep_what_was_searched(end_of_pipeline(estimator), end_of_pipeline(self.estimator))
        with without_news_of_labels():
            for said in (NO_EFFECT, "The linear models of .* did not converge"):  # so `fit` said
                warnings.filterwarnings("ignore", message=said)
            return self._replace(estimator=Views.of(X).fit(estimator, y, weights))

    def with_labels(self, X, Y, X_known, kept):
        """A copy that has learned new labels, too.

        Parameters
        ----------
        X : Views of n_samples documents
        Y : csr_array of shape (n_samples, n_new)
        X_known : Views, or None
            Documents without the new labels, for members that keep none.
        kept : dict of arrays or csr_arrays
            Such documents as members keep them, in place of `X_known`, by the steps before.
        """
        inner = end_of_pipeline(self.estimator)
        if not hasattr(type(inner), "add_labels"):
            remedy = "Fit again with all labels, or without this member."
            raise must_be(f"estimator {self.name!r}", "one with add_labels", repr(inner), remedy)
        if not isinstance(inner, BalancedLossClassifier):
            return self._changed(inner, lambda one: one.add_labels(self._at_the_end(X), Y))
        self._check_adds(inner, X, Y)
        known = self._known_documents(inner, X_known, kept)
        with warnings.catch_warnings():
            if X_known is None:  # those that are kept have no names, whatever X has
                warnings.filterwarnings("ignore", message="X does not have valid feature names")
            return self._changed(inner, lambda one: one.add_labels(self._at_the_end(X), Y, known))

    def _check_adds(self, inner, X, Y):
        """Let a trained network say why it adds no labels, whatever documents are known."""
        if not hasattr(inner, "weight_decay_"):
            self._changed(inner, lambda one: one.add_labels(self._at_the_end(X), Y))

    def _known_documents(self, inner, X_known, kept):
        """Documents without the new labels, as the last step takes them."""
        if X_known is not None:
            return self._at_the_end(X_known)
        if self.steps not in kept:
            expected = f"given for the member {self.name!r}, which keeps no documents"
            raise must_be("X_known", expected, None, "Give the documents of fit.")
        return kept[self.steps]

    def with_documents(self, X, y):
        """A copy that keeps further documents, too; itself where it keeps none."""
        inner = end_of_pipeline(self.estimator)
        if not hasattr(type(inner), "add_documents"):
            return self
        return self._changed(inner, lambda one: one.add_documents(self._at_the_end(X), y))

    def _at_the_end(self, X):
        """Documents as they get to the last step; steps that members share are asked once."""
        return last_step(*X.read(self.estimator))[1]

    def _changed(self, inner, change):
        """The member with a changed copy of its last step."""
        copied = copy.copy(inner)
        vars(copied).update(vars(inner))  # what is not stored, too
        try:
            change(copied)
        except ValueError as error:
            raise ValueError(f"{error} So says the member {self.name!r}.") from error
        return self._replace(estimator=with_last_step(self.estimator, copied))

    @property
    def steps(self):
        """The steps before the classifier; members with the same ones read the same of X."""
        return before_last(self.estimator)

    @property
    def kept_documents(self):
        """Features of documents that it keeps; None where there are none, or not as they came."""
        one = end_of_pipeline(self.estimator)
        keeps = isinstance(one, MultilabelKNeighborsClassifier) and one.inputs_.kind == "features"
        return one.scorer_.memories[-1].vectors if keeps else None

    @property
    def n_samples(self):
        """Documents that it knows; 0 where it does not say so."""
        return getattr(end_of_pipeline(self.estimator), "n_samples_fit_", 0)

    def answer(self, X, n_labels):
        """Say what there is to say of a block of documents, or views: `Scores` or `Votes`."""
        inner = end_of_pipeline(self.estimator)
        asked, X = Views.of(X).read(self.estimator)
        if isinstance(inner, MultilabelKNeighborsClassifier):
            return _votes(self.name, *last_step(asked, X))
        scores = label_scores(asked, self.response, X, n_labels)
        self._check_scores(scores, count_rows(X))
        if self.response == "predict_proba":
            scores = logit(np.clip(scores, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))
        return Scores(self.name, scores, _has_margins(inner), self.order)

    def _check_scores(self, scores, n_samples):
        """Refuse NaN, and scores of more or fewer documents than were given."""
        what = f"What {self.response} of the member {self.name!r} returns"
        if len(scores) != n_samples:
            raise must_be(what, f"of {n_samples} rows, one per document", len(scores))
        if np.isnan(scores).any():
            raise must_be(what, "without NaN", "NaN")


def _response_of(name, estimator):
    """What a member is asked for."""
    found = [response for response in _RESPONSES if hasattr(estimator, response)]
    if not found:
        expected = f"one with {' or '.join(_RESPONSES)}"
        raise must_be(f"estimator {name!r}", expected, repr(estimator))
    return found[0]


def _votes(name, neighbors, X):
    """What the nearest documents of a block say, at several distances from one search.

    Labels that were added later have a search of their own.
    """
    scorer = neighbors.scorer_
    nearest = scorer.encode(neighbors.inputs_.read(X, neighbors), "cpu")
    shares = {k: [] for k in _NEAREST}
    best = []
    for (cosines, indices), memory in zip(nearest, scorer.memories, strict=True):
        for k, found in shares.items():
            most = min(k, scorer.n_neighbors)
            times = times_counted(cosines, indices, most, memory.weights)
            found.append(vote_shares(times * cosines, indices, memory.Y))
        best.append(best_cosines(cosines, indices, memory.Y))
    return Votes(
        name, {k: _side_by_side(found) for k, found in shares.items()}, _side_by_side(best)
    )


def _side_by_side(matrices):
    """One csr_array of the columns of several, in order."""
    joined = sparse.csr_array(sparse.hstack(matrices, format="csr"))
    joined.sort_indices()
    return joined


def _remedy(estimator, error):
    """What to do where the fit of a member has failed; nothing where the error says it."""
    if of_y := remedy_for_y(error):
        return "" if of_y in error else of_y
    if hasattr(estimator, "transform") and not hasattr(estimator, "predict"):
        return "It is a transformer, and members are classifiers."
    if not isinstance(estimator, Pipeline):
        return _OF_X if any(said in error for said in _X_IS_WRONG) else ""
    is_of_texts = any(said in error for said in _NO_TEXTS) and OF_TEXTS not in error
    return OF_TEXTS if is_of_texts and reads_texts(estimator.steps) else ""


def _shortened(error):
    """An error without most of a text that it cites, such as a whole document."""
    if len(error) <= _LONG:
        return error
    return f"{error[: _LONG // 2]} ... {error[-_LONG // 2 :]}"


def _with_remedy(said, estimator, error):
    """What a member says, with one mark at the end of each sentence, and what to do."""
    said = said.replace("?. So says", "? So says")
    return f"{said} {_remedy(estimator, error)}".rstrip()


def _prepared(estimator, seed):
    """A copy; one of ours is seeded, and left undecided."""
    copied = clone(estimator)
    inner = end_of_pipeline(copied)
    if hasattr(type(inner), "_undecided"):
        vars(inner).update(_undecided=True, _is_member=True)
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
