"""Checks that several modules share, and the one grammar of error messages."""

from __future__ import annotations

import difflib
import warnings

import numpy as np
from scipy import sparse
from sklearn.utils import check_array


class LabelWarning(UserWarning):
    """Labels that are legal but hopeless: without a training document, say."""


def must_be(what, expected, got, remedy=""):
    """Make the package's error: "<what> must be <expected>. Got <got> instead. <remedy>"."""
    return ValueError(f"{what} must be {expected}. Got {got} instead. {remedy}".rstrip())


def check_choice(what, value, choices):
    """Refuse a name that is not among the choices, and say which was probably meant."""
    if value in choices:
        return value
    close = difflib.get_close_matches(str(value), [str(c) for c in choices], n=1)
    names = ", ".join(repr(choice) for choice in choices)
    remedy = f"Did you mean {close[0]!r}?" if close else ""
    raise must_be(what, f"one of {names}", repr(value), remedy)


def check_label_matrix(Y, *, n_samples=None, n_labels=None, name="y"):
    """Make any label indicator matrix a canonical CSR array of float32 ones.

    Parameters
    ----------
    Y : array or scipy sparse matrix of shape (n_samples, n_labels)
        Zeros and ones.
    n_samples, n_labels : int, optional
        The shape that is required.
    name : str, default="y"
        What the matrix is called in an error.

    Returns
    -------
    scipy.sparse.csr_array of shape (n_samples, n_labels)
        Sorted, without duplicates or stored zeros; the input is not changed.
    """
    Y = check_array(Y, accept_sparse="csr", dtype="numeric", input_name=name, ensure_min_samples=0)
    _check_shape(Y, n_samples, n_labels, name)
    labels = sparse.csr_array(Y, dtype=np.float32, copy=True)
    labels.sum_duplicates()
    labels.eliminate_zeros()
    wrong = labels.data[labels.data != 1]
    if len(wrong):
        raise must_be(
            name,
            "a label indicator matrix of zeros and ones",
            f"a value of {wrong[0]:g}",
            "sklearn.preprocessing.MultiLabelBinarizer makes one from lists of labels.",
        )
    return labels


def check_consistent_rows(X, Y, name="y"):
    """Refuse label indicators of another length than X."""
    if X.shape[0] != Y.shape[0]:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {name} must be of "
            f"{X.shape[0]} rows, as X. Got {Y.shape[0]} instead."
        )


def _check_shape(Y, n_samples, n_labels, name):
    if n_samples is not None and Y.shape[0] != n_samples:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: "
            f"{name} must have {n_samples} rows. Got {Y.shape[0]} instead."
        )
    if n_labels is not None and Y.shape[1] != n_labels:
        raise must_be(name, f"a matrix of {n_labels} columns, one a label", Y.shape[1])


# ----------------------------------------------------------------------------------- tokens


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
