"""Checks that several modules share, and the one grammar of error messages."""

import difflib
import sys
import warnings
from collections.abc import Hashable
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_array


class LabelWarning(UserWarning):
    """Labels that nothing can be learned of: without a training document, for instance."""


_labels_are_known = ContextVar("labels_are_known", default=False)


@contextmanager
def known_labels():
    """Keep LabelWarnings back: a part of the documents tells nothing new of the user's labels."""
    token = _labels_are_known.set(True)
    try:
        yield
    finally:
        _labels_are_known.reset(token)


@contextmanager
def without_news_of_labels(message=""):
    """Silence what estimators say of labels, which the caller knows: LabelWarnings of a message.

    To be entered outside of what runs in parallel: filters of warnings are those of the process.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        warnings.filterwarnings("ignore", message=message, category=LabelWarning)
        yield


_IN_BETWEEN = {"skmltc", "sklearn", "joblib"}  # whose lines are not the user's
BINARIZER = "sklearn.preprocessing.MultiLabelBinarizer makes indicators of lists of labels."
_INDICATORS = "a label indicator matrix of zeros and ones"
_OF_LISTS = "with a sequence", "could not convert string", "arrays of bytes/strings"
_WRAPPED = "Wrap it, OneVsRestClassifier(classifier)."


def must_be(what, expected, got, remedy=""):
    """Make the package's error: "<what> must be <expected>. Got <got> instead. <remedy>"."""
    return ValueError(f"{what} must be {expected}. Got {got} instead. {remedy}".rstrip())


def warn(message, category=UserWarning):
    """Warn at the user's line: the first one outside this package and those that call it."""
    if issubclass(category, LabelWarning) and _labels_are_known.get():
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _IN_BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def remedy_for_y(error):
    """What to do where scikit-learn's classifier has refused the form of y; else nothing."""
    if "sparse multilabel-indicator for y" in error or "Sparse data was passed for y" in error:
        return f"{_WRAPPED} If it takes several labels itself, give y as an array."
    return _WRAPPED if "y should be a 1d array" in error else ""


def check_choice(what, value, choices):
    """Refuse a name that is not among the choices, and say which was probably meant."""
    if isinstance(value, Hashable) and value in list(choices):
        return value
    names = ", ".join(repr(choice) for choice in choices)
    raise must_be(what, f"one of {names}", repr(value), did_you_mean(value, choices))


def did_you_mean(value, choices):
    """The remedy for a name that is almost one of the choices; else nothing."""
    close = difflib.get_close_matches(str(value), [str(c) for c in choices], n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


def object_of(value):
    """The remedy for a class that is given in place of an object of it; else nothing."""
    return f"Give an object of the class, {value.__name__}(...)." if isinstance(value, type) else ""


def check_constraints(estimator):
    """Refuse classes among the parameters, and what `_parameter_constraints` do not allow."""
    for name, value in estimator.get_params(deep=False).items():
        if isinstance(value, type):  # it may have all methods that an object must have
            raise must_be(name, "an object", repr(value), object_of(value))
    estimator._validate_params()


def check_classifier(what, value, expected="a classifier"):
    """Refuse what cannot be fitted: a class, or what is no estimator."""
    if isinstance(value, type) or not hasattr(value, "fit"):
        raise must_be(what, expected, repr(value), object_of(value))


def check_number(what, value, lowest=-inf, highest=inf, *, whole=False, remedy=""):
    """Refuse what is no finite number between two limits, both included, or no whole one."""
    is_number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if is_number and lowest <= value <= highest and abs(value) < inf:
        return value
    limits = [f"from {lowest:g} to {highest:g}"] if highest < inf else []
    limits = limits or ([f"at least {lowest:g}"] if lowest > -inf else [])
    expected = ", ".join(["a whole number" if whole else "a finite number", *limits])
    raise must_be(what, expected, repr(value), remedy)


def check_sample_weight(sample_weight, n_samples):
    """Read one finite number per document, 0 or more, of which one at least is above 0.

    Parameters
    ----------
    sample_weight : array of shape (n_samples,)
    n_samples : int

    Returns
    -------
    array of float64 of shape (n_samples,)
        A copy.
    """
    expected = f"of shape ({n_samples},), one number per document"
    try:
        weights = np.array(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise must_be("sample_weight", expected, repr(sample_weight)) from error
    if weights.shape != (n_samples,):
        raise must_be("sample_weight", expected, f"shape {weights.shape}")
    wrong = weights[~((weights >= 0) & (weights < inf))]
    if len(wrong):
        raise must_be("sample_weight", "finite and not negative", f"{wrong[0]:g}")
    if not weights.any():
        raise must_be("sample_weight", "above 0 for one document at least", "only zeros")
    return _as_counts(weights)


def _as_counts(weights):
    """Weights that are shares, below 1 in the mean, raised to counts of a mean of 1."""
    counting = weights > 0
    if weights[counting].mean() >= 1:
        return weights
    weights = weights / weights.max()  # so that the smallest of numbers have a mean, too
    return weights / weights[counting].mean()


def check_label_counts(label_counts, n_labels=None, *, n_samples=None, name="label_counts"):
    """Read one finite number per label, 0 or more; sums of a matrix may have two axes.

    Parameters
    ----------
    label_counts : array of shape (n_labels,)
    n_labels : int, optional
        How many there must be.
    n_samples : int, optional
        Documents in all: no label has more.
    name : str, default="label_counts"
        What they are called in an error.

    Returns
    -------
    array of shape (n_labels,)
    """
    counts = label_counts if sparse.issparse(label_counts) else np.asarray(label_counts)
    shape = (n_labels if n_labels is not None else "n_labels",)
    expected = f"an array of shape ({shape[0]},), one number per label"
    if sparse.issparse(counts) or (counts.dtype.kind not in "biuf" and counts.size):
        kind = type(label_counts).__name__
        raise must_be(name, expected, kind if sparse.issparse(counts) else repr(label_counts))
    if counts.ndim == 2 and 1 in counts.shape:
        counts = np.asarray(counts).ravel()
    if counts.ndim != 1 or n_labels not in (None, len(counts)):
        raise must_be(name, expected, f"shape {counts.shape}")
    _check_counted(counts, n_samples, name)
    return counts


def _check_counted(counts, n_samples, name):
    wrong = counts[~((counts >= 0) & (counts < inf))]
    if len(wrong):
        raise must_be(name, "finite and not negative", f"{wrong[0]:g}")
    if n_samples is not None and len(counts) and counts.max() > n_samples:
        expected = f"at most n_samples, {n_samples}"
        raise must_be(name, expected, f"{counts.max():g}", "Both are of the training documents.")


def check_columns(what, group, n_labels):
    """Read a mask of labels, or different numbers of columns, as numbers of columns."""
    columns = np.asarray(group)
    if columns.dtype.kind == "b" and columns.shape == (n_labels,):
        return np.flatnonzero(columns)
    columns = columns if columns.size else columns.astype(np.int64)
    numbers = set(columns.ravel().tolist()) if columns.dtype.kind in "iu" else {-1}
    is_list = columns.ndim == 1 and len(numbers) == columns.size
    if not is_list or not numbers <= set(range(n_labels)):
        expected = f"a mask of {n_labels} labels, or different column numbers from 0 and below that"
        raise must_be(what, expected, repr(group))
    return columns


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
        Sorted, without duplicates or stored zeros; the input is not changed. Arrays that cannot be
        written to, such as maps of files, are shared where they are so already.
    """
    how = {"accept_sparse": "csr", "dtype": "numeric", "ensure_min_samples": 0}
    try:
        Y = check_array(Y, input_name=name, **how)
    except ValueError as error:
        if not any(said in str(error) for said in _OF_LISTS):
            raise
        raise must_be(name, _INDICATORS, "what are no numbers", BINARIZER) from error
    _check_shape(Y, n_samples, n_labels, name)
    labels = sparse.csr_array(Y, dtype=np.float32)
    if not _can_be_shared(labels):
        labels = labels.copy()
        labels.sum_duplicates()
        labels.eliminate_zeros()
    wrong = labels.data[labels.data != 1]
    if len(wrong):
        raise must_be(
            name,
            _INDICATORS,
            f"a value of {wrong[0]:g}",
            BINARIZER,
        )
    return labels


def _can_be_shared(labels):
    """Whether a CSR array is canonical without stored zeros, and nobody can write to it."""
    is_fixed = not any(array.flags.writeable for array in (labels.data, labels.indices))
    return is_fixed and labels.has_canonical_format and bool(labels.data.all())


def check_consistent_rows(X, Y, name="y"):
    """Refuse label indicators of another length than X."""
    check_n_rows(X.shape[0], Y, name)


def check_n_rows(n_samples, Y, name="y"):
    """Refuse label indicators of another number of rows than X has."""
    if n_samples != Y.shape[0]:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {name} must be of "
            f"{n_samples} rows, as X. Got {Y.shape[0]} instead."
        )


def _check_shape(Y, n_samples, n_labels, name):
    if n_samples is not None and Y.shape[0] != n_samples:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: "
            f"{name} must have {n_samples} rows. Got {Y.shape[0]} instead."
        )
    if n_labels is not None and Y.shape[1] != n_labels:
        raise must_be(name, f"a matrix of {n_labels} columns, one per label", Y.shape[1])
