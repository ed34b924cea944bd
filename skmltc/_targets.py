"""What y is, its way to label indicators and back, and the scores of any classifier for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
from scipy import sparse
from scipy.special import expit
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from ._validation import (
    BINARIZER,
    LabelWarning,
    check_label_matrix,
    check_n_rows,
    did_you_mean,
    must_be,
    warn,
)

_NAMED = "Labels have names where y of fit was a data frame: its columns."
NO_DOCUMENT = r"\d+ of \d+ labels have no training document"  # how the warning begins


@dataclass(frozen=True, eq=False)
class Target:
    """What kind of target y is.

    Parameters
    ----------
    type : {"multilabel", "binary", "multiclass"}
        Label indicators, or a 1-D y of two or of more classes.
    form : {"dense", "array", "matrix"}
        What predictions are given as; the last two are scipy's sparse arrays and matrices. Of a
        data frame with sparse columns they are arrays.
    classes : array of shape (n_classes,)
        Column numbers of the labels; for a 1-D y its classes.
    names : array of str of shape (n_labels,), default=None
        The labels' names, where y is a data frame whose columns have some.
    """

    type: str
    form: str
    classes: np.ndarray
    names: np.ndarray | None = None

    @classmethod
    def learn(cls, y):
        """Read off y what kind of target it is.

        A column (n_samples, 1) of zeros and ones is one label, dense as well as sparse; a dense
        column of anything else is one class per document.
        """
        _check_names_differ(y, "y")
        names, y = _names_of(y), without_frame(y)
        form = form_of(y)
        if form != "dense" and y.ndim != 2:
            expected = "a label indicator matrix of zeros and ones, or one class per document"
            raise must_be("y", expected, f"a sparse array of shape {y.shape}")
        y = y if form != "dense" else _dense_target(y)
        if form != "dense" or _is_indicators(y):
            return cls("multilabel", form, np.arange(y.shape[1]), names)
        y = column_or_1d(y, warn=True)
        classes = _sorted_classes(y)
        if len(classes) < 2:
            raise must_be("y", "of at least 2 classes", f"{len(classes)} class")
        return cls("binary" if len(classes) == 2 else "multiclass", form, classes)

    @property
    def is_multilabel(self):
        """Whether y is a label indicator matrix."""
        return self.type == "multilabel"

    def indicators(self, y, name="y"):
        """Label indicators of a y of this kind.

        Returns
        -------
        csr_array of float32 of shape (n_samples, n_labels)
            One column for a binary y, that of its second class.
        """
        _check_is_given(y, name)
        if self.is_multilabel:
            self._check_names(y, name)
            return check_label_matrix(without_frame(y), n_labels=len(self.classes), name=name)
        y = column_or_1d(y if sparse.issparse(y) else _dense_target(y))
        codes = np.minimum(np.searchsorted(self.classes, y), len(self.classes) - 1)
        unknown = self.classes[codes] != y
        if unknown.any():
            raise must_be(name, f"of the classes {self.classes}", y[unknown][0])
        if self.type == "binary":
            return sparse.csr_array((codes == 1).astype(np.float32)[:, None])
        ones, ends = np.ones(len(codes), dtype=np.float32), np.arange(len(codes) + 1)
        return sparse.csr_array((ones, codes, ends), shape=(len(codes), len(self.classes)))

    def _check_names(self, y, name):
        """Refuse a data frame of as many columns with other names, or in another order."""
        names, known = _names_of(y), self.names
        if known is None or names is None or len(names) != len(known):
            return
        at = np.flatnonzero(names != known)
        if len(at):
            n, remedy = at[0], f"{name}[names] has the columns in the order of a list of names."
            expected = (
                f"a data frame with the columns of fit in their order, {known[n]!r} as no. {n}"
            )
            raise must_be(name, expected, repr(names[n]), remedy)

    def column(self, label, name="label"):
        """Column of a label, given by its number or name; for a 1-D y of a class.

        A binary y has one column, that of its second class.
        """
        if self.names is not None and isinstance(label, str):
            if label in (names := self.names.tolist()):
                return names.index(label)
            few = f"a name in label_names_, such as {', '.join(map(repr, names[:3]))}"
            raise must_be(name, few, repr(label), did_you_mean(label, names))
        classes = self.classes[1:] if self.type == "binary" else self.classes
        is_number = isinstance(label, Integral) and not isinstance(label, bool | np.bool_)
        known = classes.tolist()
        if np.ndim(label) == 0 and (is_number or not self.is_multilabel) and label in known:
            return known.index(label)
        whole = f"a column number from 0 to {len(classes) - 1}"
        expected = whole if self.is_multilabel else f"one of the classes {known}"
        remedy = "A binary y has the scores of its second class alone."
        remedy = remedy if self.type == "binary" else ""
        if self.is_multilabel and isinstance(label, str):
            remedy = _NAMED
        raise must_be(name, expected, repr(label), remedy)

    def indicators_of_new(self, Y_new, n_samples):
        """Label indicators of labels that were not in y, each with at least one document.

        Parameters
        ----------
        Y_new : array or sparse matrix of shape (n_samples, n_new)
        n_samples : int
            Rows of X.

        Returns
        -------
        csr_array of float32 of shape (n_samples, n_new)
        """
        if not self.is_multilabel:
            got = f"a {self.type} target"
            raise must_be("y", "label indicators in fit, to add labels", got)
        _check_is_given(Y_new, "Y_new")
        _check_names_differ(Y_new, "Y_new")
        if np.ndim(Y_new) == 1:
            remedy = "A single new label is a column: Y_new.reshape(-1, 1) of an array."
            raise must_be("Y_new", "a matrix with a column for each new label", "1-D", remedy)
        Y = check_label_matrix(Y_new, name="Y_new")
        check_n_rows(n_samples, Y, name="Y_new")
        empty = np.flatnonzero(count_labels(Y) == 0)
        if len(empty):
            expected = "columns with at least one document"
            remedy = "Y_new has the columns of the new labels alone."
            raise must_be("Y_new", expected, f"none in column {empty[0]}", remedy)
        return Y

    def extended(self, n_new, Y_new=None):
        """The target with so many further labels, where it has names with names.

        They are those of the columns of a data frame `Y_new`, else the numbers of their columns.
        """
        classes, names = np.arange(len(self.classes) + n_new), self.names
        if names is not None:
            of_new, known = _names_of(Y_new), set(names)
            if of_new is None:
                numbers = map(str, classes[len(names) :])
                of_new = [f"new {one}" if one in known else one for one in numbers]
            twice = sorted(known & set(of_new))
            if twice:
                expected = f"columns with other names than those of fit, which has {twice[0]!r}"
                raise must_be("Y_new", expected, "one of that name")
            names = np.append(names, np.array(of_new, dtype=object))
        return replace(self, classes=classes, names=names)

    @property
    def columns(self):
        """What a user calls the columns of scores: names, or classes; of a binary y the second."""
        classes = self.classes[1:] if self.type == "binary" else self.classes
        return classes if self.names is None else self.names

    @property
    def attributes(self):
        """The fitted attributes that follow from it."""
        named = {} if self.names is None else {"label_names_": self.names}
        return {"target_": self, "classes_": self.classes, **named}

    def probabilities(self, logits):
        """The logistic function of logits (n_samples, n_columns), one column for each class.

        For a 1-D y rows sum to 1.
        """
        probabilities = expit(logits)
        if self.type == "binary":
            return np.hstack([1 - probabilities, probabilities])
        if self.type == "multiclass":
            tiny = np.finfo(probabilities.dtype).tiny
            probabilities /= np.maximum(probabilities.sum(axis=1, keepdims=True), tiny)
        return probabilities

    def decode(self, blocks):
        """Make predictions of the form of y from blocks of predicted label indicators."""
        predicted = sparse.vstack(list(blocks), format="csr")
        if self.type == "binary":
            return self.classes[predicted.toarray().ravel()]
        if self.type == "multiclass":
            return self.classes[predicted.indices]
        if self.form == "dense":
            return predicted.toarray()
        return sparse.csr_matrix(predicted) if self.form == "matrix" else predicted


def _names_of(y):
    """Names of the columns of a data frame; None where there are none, or numbers."""
    names = list(getattr(y, "columns", []))
    is_named = names and all(isinstance(name, str) for name in names)
    return np.array(names, dtype=object) if is_named else None


def _check_names_differ(y, name):
    """Refuse a data frame with two columns of one name: labels are called by it."""
    counts = Counter(getattr(y, "columns", []))
    twice = [one for one, n in counts.items() if n > 1]
    if twice:
        got = f"{counts[twice[0]]} of the name {twice[0]!r}"
        raise must_be(name, "a data frame of columns with different names", got)


def _check_is_given(y, name):
    if y is None:
        raise must_be(name, "given", None)


def without_frame(y):
    """A data frame of sparse columns as a csr_array; anything else as it is."""
    if not hasattr(y, "sparse") or not hasattr(y.sparse, "to_coo") or y.ndim != 2:
        return y
    return sparse.csr_array(y.sparse.to_coo())


def form_of(y):
    """Name the form of y: "dense", "array" (scipy sparse array) or "matrix" (sparse matrix)."""
    if not sparse.issparse(y):
        return "dense"
    return "array" if isinstance(y, sparse.sparray) else "matrix"


def _dense_target(y):
    """Y as an array; text is fine where it is one class per document."""
    expected = "a label indicator matrix of zeros and ones, or one class per document"
    try:
        array = check_array(y, ensure_2d=False, dtype=None, input_name="y", ensure_min_samples=0)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise must_be("y", expected, "rows of different lengths", BINARIZER) from error
    if _holds_lists(array) or (isinstance(y, list | tuple) and array.ndim == 2 and _is_text(array)):
        raise must_be("y", expected, "lists of names", BINARIZER)
    if array.ndim == 2 and array.shape[1] > 1 and _is_text(array):
        remedy = f"np.asarray(y).astype(int) makes numbers of '0' and '1'. {BINARIZER}"
        raise must_be("y", expected, "a matrix of texts", remedy)
    return array


def _holds_lists(array):
    """Whether each entry is a collection of its own, as of a table's column of label lists."""
    collections = list | tuple | set | frozenset
    return array.dtype == object and any(isinstance(entry, collections) for entry in array.flat)


def _is_text(array):
    if array.dtype.kind != "O":
        return array.dtype.kind in "USTV"
    return any(isinstance(entry, str | bytes) for entry in array.flat)


def _is_indicators(array):
    """Whether an array holds a column for each label, be it one of zeros and ones."""
    if array.ndim != 2 or array.shape[1] != 1:
        return array.ndim == 2 and array.shape[1] > 1
    return not _is_text(array) and bool(((array == 0) | (array == 1)).all())


def _sorted_classes(y):
    """The classes of a 1-D y, ascending."""
    if y.dtype == object and len(types := {type(entry).__name__ for entry in y}) > 1:
        try:
            np.sort(y)
        except TypeError as error:
            expected = "one class per document, all of one type"
            remedy = "Leave documents without a class out."
            raise must_be("y", expected, " and ".join(sorted(types)), remedy) from error
    check_classification_targets(y)
    return np.unique(y)


def count_labels(Y, weights=None):
    """Documents of each label, (n_labels,), of a canonical csr_array of label indicators.

    With weights (n_samples,) of the documents their sums; whole numbers if all weights are.
    """
    if weights is None:
        return np.bincount(Y.indices, minlength=Y.shape[1])
    of_pairs = np.repeat(weights, np.diff(Y.indptr))
    counts = np.bincount(Y.indices, of_pairs, minlength=Y.shape[1])
    return counts.astype(np.int64) if _are_whole(weights) else counts


def _are_whole(weights):
    return bool((weights == np.floor(weights)).all() and weights.sum() < 2**53)


def count_documents(Y, weights=None):
    """How many documents there are; with weights their sum, no less than that of any label."""
    if weights is None:
        return Y.shape[0]
    if _are_whole(weights):
        return int(weights.sum())
    return float(max(weights.sum(), count_labels(Y, weights).max(initial=0)))  # but for rounding


def refuse_no_label(label_counts):
    """Refuse labels that are all without documents."""
    if not np.any(label_counts):
        remedy = "MultiLabelBinarizer, for one, gives zeros for names that it was not fitted on."
        raise must_be("y", "a matrix with at least one positive", "only zeros", remedy)


def warn_of_empty_labels(label_counts, names=None):
    """Refuse labels that are all without documents, and warn of some, by their names if any."""
    refuse_no_label(label_counts)
    empty = np.flatnonzero(np.asarray(label_counts) == 0)
    if len(empty):
        warn(
            f"{len(empty)} of {len(label_counts)} labels have no training document "
            f"({name_columns(empty, names)}). They will never be predicted.",
            LabelWarning,
        )


def name_columns(columns, names=None):
    """Name the first five of some columns, for a message: by their numbers where names are None."""
    first = columns[:5] if names is None else map(repr, names[columns[:5]])
    return "columns " + ", ".join(map(str, first)) + (", ..." if len(columns) > 5 else "")


def label_scores(estimator, method, X, n_labels, dtype=np.float32):
    """Scores of any multi-label classifier as a matrix, whatever shape it gives them.

    Parameters
    ----------
    estimator : fitted classifier
    method : str
        The method to ask.
    X : list, array or sparse matrix of n_samples documents
    n_labels : int
    dtype : type, default=float32

    Returns
    -------
    array of shape (n_samples, n_labels)
        Of lists of arrays, one per label, as multi-output forests return, the columns of the
        class 1; of sparse matrices what is not stored is 0.
    """
    scores = getattr(estimator, method)(X)
    if isinstance(scores, list):
        columns = zip(scores, estimator.classes_, strict=True)
        scores = np.stack([_of_class_one(column, classes) for column, classes in columns], axis=1)
    scores = scores.toarray() if sparse.issparse(scores) else scores
    scores = np.array(scores, dtype=dtype)
    if n_labels == 1:
        scores = scores.reshape(len(scores), -1)[:, -1:]
    if scores.ndim != 2 or scores.shape[1] != n_labels:
        expected = f"of shape (n_samples, {n_labels})"
        raise must_be(f"What {method} returns", expected, f"shape {scores.shape}")
    return scores


def _of_class_one(probabilities, classes):
    """Column of the class 1; zeros where the training documents had no such class."""
    is_one = np.asarray(classes) == 1
    return probabilities[:, is_one.argmax()] if is_one.any() else np.zeros(len(probabilities))
