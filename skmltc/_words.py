"""Names of features, and the ones of the largest weights."""

import numpy as np
from scipy import sparse

from ._validation import check_number, must_be


def names_of_features(given, n_features, known=None):
    """Read the names of features.

    Parameters
    ----------
    given : array of str of shape (n_features,), fitted transformer or None
        As the user gives them; a transformer has `get_feature_names_out`.
    n_features : int
    known : array of str of shape (n_features,), default=None
        Where none are given. None makes "x0", "x1" and so on, as scikit-learn does.

    Returns
    -------
    array of object of shape (n_features,)
    """
    given = given_names(given)
    if given is None:
        names = [f"x{i}" for i in range(n_features)] if known is None else known
        return np.asarray(names, dtype=object)
    if given.shape != (n_features,):
        expected = f"{n_features} names, one per feature, or a fitted vectorizer that has them"
        raise must_be("feature_names", expected, f"shape {given.shape}")
    return given


def given_names(given):
    """Names as an array, of a fitted transformer too; None stays None."""
    if isinstance(given, type):
        raise must_be("feature_names", "names or a fitted vectorizer", repr(given))
    if hasattr(given, "get_feature_names_out"):
        given = given.get_feature_names_out()
    return given if given is None else np.asarray(given, dtype=object)


def row_of(weights, row):
    """One row of a matrix, dense or sparse, as a dense array."""
    return weights[[row]].toarray()[0] if sparse.issparse(weights) else weights[row]


def largest(values, k):
    """Places of the k largest values, the largest first; of equal ones the earlier first."""
    return np.argsort(-values, kind="stable")[:k]


def top_weights(weights, names, k):
    """The features of the k largest weights.

    Parameters
    ----------
    weights : array of shape (n_features,)
    names : array of object of shape (n_features,)
    k : int

    Returns
    -------
    dict of str to array
        "feature" and "weight", the columns of a table.
    """
    check_number("k", k, 1, whole=True)
    best = largest(weights, k)
    return {"feature": names[best], "weight": weights[best]}
