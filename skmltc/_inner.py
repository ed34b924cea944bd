"""The estimator inside pipelines, searches and frozen ones, and what it was trained on."""

import copy

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline


def last_step(estimator, X):
    """Open pipelines, searches and frozen estimators, however they are nested.

    Parameters
    ----------
    estimator : fitted estimator
    X : list, array or sparse matrix of n_samples documents
        What the whole takes.

    Returns
    -------
    estimator
        The innermost one.
    X
        The documents as they get there.
    """
    while (inner := _inside(estimator)) is not None:
        if isinstance(estimator, Pipeline):
            X = transformed(estimator.steps[:-1], X)
        estimator = inner
    return estimator, X


def innermost(estimator):
    """What is inside pipelines, searches and frozen estimators, all of them fitted."""
    while (inner := _inside(estimator)) is not None:
        estimator = inner
    return estimator


def names_at_last_step(estimator, names=None):
    """Names of the columns that get to the innermost estimator.

    Parameters
    ----------
    estimator : fitted estimator
    names : array of str of shape (n_columns,), default=None
        Of the columns that the whole takes.

    Returns
    -------
    array of str, or None
        None where nobody has named them, or a step does not say what becomes of names.
    """
    while (inner := _inside(estimator)) is not None:
        if isinstance(estimator, Pipeline) and len(estimator) > 1:
            try:
                names = estimator[:-1].get_feature_names_out(names)
            except AttributeError:
                names = None
        estimator = inner
    return names


def transformed(steps, X):
    """The documents as fitted steps of a pipeline make them.

    One after the other, as they do before a classifier: a pipeline of them alone refuses a step
    that does not look fitted, such as one that learns nothing.

    Parameters
    ----------
    steps : list of (str, transformer)
    X : list, array or sparse matrix of n_samples documents
    """
    for _, step in steps:
        if hasattr(step, "transform"):  # else "passthrough", or a sampler, which is for fit alone
            X = step.transform(X)
    return X


def _inside(estimator):
    """What is one layer further in; None if there is no layer."""
    if isinstance(estimator, Pipeline):
        return estimator[-1]
    if isinstance(estimator, FrozenEstimator):  # before the search: it has all attributes of one
        return estimator.estimator
    return getattr(estimator, "best_estimator_", None)


def end_of_pipeline(estimator):
    """The last step of pipelines, fitted or not; what is no pipeline is its own last step."""
    while isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    return estimator


def with_last_step(estimator, inner):
    """A copy of pipelines with another last step, which takes the place of what is no pipeline."""
    if not isinstance(estimator, Pipeline):
        return inner
    copied, (name, last) = copy.copy(estimator), estimator.steps[-1]
    copied.steps = [*estimator.steps[:-1], (name, with_last_step(last, inner))]
    return copied


def is_frozen(estimator):
    """Whether the step that knows the labels is one that `fit` leaves as it is."""
    return isinstance(end_of_pipeline(estimator), FrozenEstimator)


def training_counts(estimator, n_labels):
    """What a frozen estimator says that it was trained on.

    Parameters
    ----------
    estimator : estimator
        Frozen, or with a frozen last step.
    n_labels : int

    Returns
    -------
    label_counts : array of int of shape (n_labels,)
        Training documents of each label.
    n_samples : int
        Training documents in all.
    None
        In place of both where it does not say so, or not of so many labels.
    """
    inner = innermost(estimator)
    counts, n_samples = (getattr(inner, name, None) for name in ("label_counts_", "n_samples_fit_"))
    if counts is None or n_samples is None or np.shape(counts) != (n_labels,):
        return None
    return np.asarray(counts), int(n_samples)
