"""What X is, features or token ids, and its checks."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import sparse

from ._validation import must_be


def input_kind(X):
    """Tell token ids from features: "tokens" is a dense array of integers from 0 up.

    Returns
    -------
    {"features", "tokens"}
    """
    if sparse.issparse(X):
        return "features"
    X = np.asarray(X)
    if X.dtype.kind not in "iu":
        return "features"
    if (X < 0).any():
        warnings.warn(
            "X must be token ids from 0 up, or features, floats or sparse. Got integers and "
            f"{X.min()} among them instead: they are taken as features.",
            UserWarning,
            stacklevel=4,
        )
        return "features"
    return "tokens"


def check_token_ids(X, estimator_name):
    """Refuse what is no token id.

    Parameters
    ----------
    X : array of shape (n_samples, length)
        Numbers from 0 (padding) up, of any type.
    estimator_name : str
        Who asks, for an error.

    Returns
    -------
    array of int32 of shape (n_samples, length)
    """
    expected = "token ids, whole numbers from 0 to 2147483647"
    remedy = "TokenSequenceVectorizer makes them of texts; features go with encoder='bag'."
    if (X < 0).any():
        remedy = f"Negative values in data passed to {estimator_name}. {remedy}"
        raise must_be("X", expected, f"{X.min():g}", remedy)
    wrong = X[(X != np.floor(X)) | (X > np.iinfo(np.int32).max)]
    if wrong.size:
        raise must_be("X", expected, f"{wrong[0]:g}", remedy)
    return X.astype(np.int32)


def known_tokens(token_ids, n_known):
    """Ids without those of new words, in texts that begin in column 0, none of them empty.

    Parameters
    ----------
    token_ids : array of int32 of shape (n_samples, length)
    n_known : int
        Ids from here on become 1, the unknown word, which is also all of an empty text.
    """
    token_ids = np.where(token_ids < n_known, token_ids, np.int32(1))
    padding = token_ids == 0
    if (padding[:, :-1] & ~padding[:, 1:]).any():
        order = np.argsort(padding, axis=1, kind="stable")
        token_ids = np.take_along_axis(token_ids, order, axis=1)
    token_ids[padding.all(axis=1), 0] = 1
    return token_ids


def warn_of_counts(token_ids):
    """Warn of zeros between other numbers: counts of words have them, texts do not."""
    is_token = token_ids != 0
    first = is_token.argmax(axis=1)
    last = is_token.shape[1] - 1 - is_token[:, ::-1].argmax(axis=1)
    has_gap = is_token.any(axis=1) & (is_token.sum(axis=1) <= last - first)
    if has_gap.any():
        warnings.warn(
            "X must be token ids with zeros, for padding, at one end. Got zeros between other "
            f"numbers in {has_gap.sum()} rows instead: they are taken as padding. Are these "
            "counts of words? Pass them as a sparse matrix or as floats, with encoder='bag'.",
            UserWarning,
            stacklevel=4,
        )
