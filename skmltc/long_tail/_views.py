"""What the steps before a classifier make of documents, computed once for all that share them."""

from __future__ import annotations

from numbers import Number
from pickle import PicklingError

import joblib
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import gen_batches, get_tags

from .._inner import transformed
from .._inputs import count_rows, take_rows
from .._validation import must_be
from .._weighting import fit_weighted
from ..text import PretrainedEmbedder, PretrainedTokenizer

OF_TEXTS = (
    "Texts are a list, an array of one axis or one column of a data frame, each a str; "
    "' '.join(words) makes one of a list of words."
)
_LEARN_NOTHING = FrozenEstimator, PretrainedEmbedder, PretrainedTokenizer


class Views:
    """Documents, and what steps of pipelines make of them, each computed when first asked for.

    Parameters
    ----------
    X : list, array or sparse matrix of n_samples documents
    whole, rows : Views and array of int, optional
        Documents that these are some of. What learns nothing of documents is asked of the whole,
        once for all its parts.
    """

    def __init__(self, X, whole=None, rows=None):
        self.X = X
        self._whole, self._rows = whole, rows
        self._learned = {}  # by classes and parameters
        self._read = {}  # by ids, with the steps that have them, so that they stay theirs

    @classmethod
    def of(cls, X):
        """Views of documents; views are what they are."""
        return X if isinstance(X, cls) else cls(X)

    def take(self, rows):
        """Views of some documents."""
        return Views(take_rows(self.X, rows), self, rows)

    def blocks(self, size):
        """Yield some documents at a time."""
        for rows in gen_batches(max(1, count_rows(self.X)), size):
            yield self.take(rows)

    def fit(self, estimator, y, weights=None):
        """Fit an estimator; of a pipeline the last step, if another one has fitted the others.

        Parameters
        ----------
        estimator : classifier
            Not fitted; it is changed.
        y : array or sparse matrix
        weights : array of shape (n_samples,), default=None
            Of the documents, for the last step.

        Returns
        -------
        fitted classifier
            Pipelines of equal steps before the classifier share the fitted ones.
        """
        if not _can_be_split(estimator):
            return fit_weighted(estimator, self.X, y, weights)
        fitted, X = self._learn(estimator, y)
        name, last = estimator.steps[-1]
        estimator.steps = [*fitted, (name, fit_weighted(last, X, y, weights))]
        return estimator

    def _learn(self, pipeline, y):
        """Fitted steps before the last one, and the documents as they get there."""
        key = _key_of(pipeline)
        if key not in self._learned:
            self._learned[key] = fitted, X = self._learn_once(pipeline, y)
            self._read[_ids(fitted)] = fitted, X
        return self._learned[key]

    def _learn_once(self, pipeline, y):
        _check_no_table(pipeline.steps[:-1], self.X)
        if self._whole is None or not _learns_nothing(pipeline.steps[:-1]):
            return _fit_steps(pipeline, y, self.X)
        fitted, X = self._whole._learn(pipeline, None)
        return fitted, take_rows(X, self._rows)

    def read(self, estimator):
        """The documents as they get to the last step of a fitted pipeline, and that step.

        Parameters
        ----------
        estimator : fitted classifier

        Returns
        -------
        estimator
            The last step; what is no pipeline is its own.
        X
        """
        if not _can_be_split(estimator):
            return estimator, self.X
        return estimator.steps[-1][1], self._asked(estimator.steps[:-1])

    def _asked(self, steps):
        """The documents as fitted steps make them."""
        key = _ids(steps)
        if not self._has_read(key):
            _check_texts(steps, self.X)
            self._read[key] = steps, transformed(steps, self.X)
            _check_n_rows(self._read[key][1], self.X)
        return self._read[key][1]

    def _has_read(self, key):
        """Whether fitted steps were asked before, of these documents or of the whole."""
        if key not in self._read and self._whole is not None and self._whole._has_read(key):
            steps, X = self._whole._read[key]
            self._read[key] = steps, take_rows(X, self._rows)
        return key in self._read


def reads_texts(steps):
    """Whether the first step wants texts, by its tags."""
    first = steps[0][1]
    return isinstance(first, BaseEstimator) and get_tags(first).input_tags.string


def _check_no_table(steps, X):
    """Refuse a data frame where texts are read: it yields the names of its columns."""
    if hasattr(X, "columns") and reads_texts(steps):
        of_texts = [name for name in X.columns if isinstance(next(iter(X[name]), None), str)]
        remedy = f"{OF_TEXTS} X[{of_texts[0]!r}] is one." if of_texts else OF_TEXTS
        raise must_be("X", "texts", f"a data frame of {X.shape[1]} columns", remedy)


def _check_texts(steps, X):
    """Refuse tables, numbers and gaps where texts are read, if nothing else makes texts of them."""
    _check_no_table(steps, X)
    reader = steps[0][1]
    own = any(callable(getattr(reader, name, None)) for name in ("preprocessor", "analyzer"))
    if own or not reads_texts(steps):
        return
    if len(shape := getattr(X, "shape", (0,))) != 1:
        raise must_be("X", "texts", f"an array of shape {shape}", OF_TEXTS)
    for row, text in enumerate(X):
        if text is None or isinstance(text, Number):
            raise must_be("X", "texts", f"{text!r} in row {row}", OF_TEXTS)


def _check_n_rows(made, X):
    """Refuse what steps make of documents if it is not a row of each."""
    if count_rows(made) != count_rows(X):
        expected = f"a row of each of {count_rows(X)} documents"
        raise must_be("What the steps before a classifier return", expected, count_rows(made))


def _can_be_split(estimator):
    """Whether an estimator is a pipeline, and not one of another package with rules of its own."""
    return (
        type(estimator) is Pipeline
        and len(estimator.steps) > 1
        and hasattr(estimator.steps[-1][1], "fit")
        and getattr(estimator, "transform_input", None) is None
    )


def _learns_nothing(steps):
    """Whether steps make of a document what they make of it wherever they were fitted."""
    return all(isinstance(step, str) or _is_given(step) for _, step in steps)


def _is_given(step):
    if step is None or isinstance(step, _LEARN_NOTHING):
        return True
    if isinstance(step, Pipeline):
        return _learns_nothing(step.steps)
    return isinstance(step, BaseEstimator) and not get_tags(step).requires_fit


def _fit_steps(pipeline, y, X):
    """Fit the steps before the last one, by way of the pipeline's memory if it has one."""
    steps = [*pipeline.steps[:-1], (pipeline.steps[-1][0], "passthrough")]
    before = Pipeline(steps, memory=pipeline.memory, verbose=pipeline.verbose)
    X = before.fit_transform(X, y)
    return before.steps[:-1], X


def _key_of(pipeline):
    """What tells steps apart that are not fitted: their classes and parameters."""
    return tuple(_mark_of(step) for _, step in pipeline.steps[:-1])


def _mark_of(value):
    if isinstance(value, FrozenEstimator):
        return id(value.estimator)
    if hasattr(value, "get_params") and not isinstance(value, type):
        parameters = sorted(value.get_params(deep=False).items())
        form = str(getattr(value, "_sklearn_output_config", {}))  # data frames, by set_output
        return type(value), form, *((name, _mark_of(one)) for name, one in parameters)
    try:
        return joblib.hash(value)
    except (PicklingError, TypeError, AttributeError):  # a function without a name, for one
        return id(value)


def before_last(estimator):
    """What tells the steps before the last one of fitted pipelines apart, nested ones too."""
    steps = []
    while isinstance(estimator, Pipeline):
        steps += estimator.steps[:-1]
        estimator = estimator[-1]
    return _ids(steps)


def _ids(steps):
    """What tells fitted steps apart."""
    return tuple(id(step) for _, step in steps if not isinstance(step, str))
