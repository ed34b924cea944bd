"""F1 of groups of labels and of documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from .. import labels
from .._targets import count_labels
from .._validation import (
    check_choice,
    check_columns,
    check_label_counts,
    check_label_matrix,
    check_number,
    must_be,
)


def f1_by_group(
    y_true, y_pred, label_counts: ArrayLike, *, groups=None, documents: str = "all"
) -> dict[str, dict]:
    """Micro- and macro-F1 of all labels and of each label group.

    Macro-F1 is the mean over *all* labels of the group of the label's own F1, which is 0 where
    the label is neither predicted nor true (scikit-learn's `zero_division=0`). The mean over
    the labels with test documents alone is `macro * n_labels / n_tested`: the others have 0.

    Parameters
    ----------
    y_true, y_pred : arrays or scipy sparse matrices of shape (n_samples, n_labels)
        Label indicators.
    label_counts : array of shape (n_labels,)
        Training documents of each label.
    groups : dict of str to array, optional
        A mask or the columns of each group; by default those of
        :func:`skmltc.labels.label_groups`: head above 50 training documents, tail up to 10.
    documents : {"all", "labelled"}, default="all"
        "labelled" measures each group on the documents that have a label of it, as some papers
        do for the tail; wrong predictions on all other documents then go unseen.

    Returns
    -------
    dict of str to dict
        "total" and one entry per group, with the keys "micro" and "macro" (F1), "precision" and
        "recall" (micro), "n_labels", "n_tested" (labels with a test document), "support" (true
        labels of all test documents), "min_count" and "max_count" (training documents a
        label). Everything is 0 in a group without labels.

    Raises
    ------
    ValueError
        If shapes do not fit each other, a count is negative or not finite, or a group names a
        column that is not there, or one twice, or is called "total".

    Examples
    --------
    >>> from skmltc.metrics import f1_by_group
    >>> scores = f1_by_group([[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 1], [0, 0]], [90, 3])
    >>> round(scores["total"]["macro"], 4), round(scores["tail"]["micro"], 4)
    (0.8333, 0.6667)
    """
    check_choice("documents", documents, ("all", "labelled"))
    truth, predicted = check_both(y_true, y_pred)
    counts = check_label_counts(label_counts, truth.shape[1])
    scores = {}
    for name, columns in _label_sets(groups, counts).items():
        group_truth, group_predicted = truth[:, columns], predicted[:, columns]
        if documents == "labelled":
            rows = np.diff(group_truth.indptr) > 0
            group_truth, group_predicted = group_truth[rows], group_predicted[rows]
        counted = _f1_scores(group_truth, group_predicted)
        scores[name] = {**counted, **_size_of(counts[columns])}
    return scores


def f1_by_n_labels(y_true, y_pred, *, starts: Sequence[int] = (1, 2)) -> dict[str, dict]:
    """Micro- and macro-F1 on documents with one label, with several, and so on.

    Table 3 of Huang et al. (2021). Macro-F1 is the mean over all labels of the label's own F1 on
    these documents, which is 0 where it is neither predicted nor true there.

    Parameters
    ----------
    y_true, y_pred : arrays or scipy sparse matrices of shape (n_samples, n_labels)
        Label indicators.
    starts : sequence of int, default=(1, 2)
        The fewest labels of the documents of each group, ascending: by default documents with one
        label, and with two and more. Those with fewer than the first are in "total" alone.

    Returns
    -------
    dict of str to dict
        "total" and one entry per group, such as "1" and "2+" or "2-4", with the keys "micro" and
        "macro" (F1), "precision" and "recall" (micro), "n_documents", "n_tested" (labels with
        such a document) and "support" (true labels of these documents).

    Raises
    ------
    ValueError
        If shapes do not fit each other, or `starts` is not ascending from 0 or more.

    Examples
    --------
    >>> from skmltc.metrics import f1_by_n_labels
    >>> scores = f1_by_n_labels([[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 0], [1, 1]])
    >>> {name: round(group["micro"], 4) for name, group in scores.items()}
    {'total': 0.75, '1': 0.8, '2+': 0.6667}
    """
    truth, predicted = check_both(y_true, y_pred)
    sizes, scores = np.diff(truth.indptr), {}
    for name, (fewest, below) in _size_groups(starts).items():
        rows = np.flatnonzero((sizes >= fewest) & (sizes < below))
        counted = _f1_scores(truth[rows], predicted[rows])
        scores[name] = {**counted, "n_documents": len(rows)}
    return scores


def _label_sets(groups, counts):
    """Return the column numbers of all labels and of each group."""
    groups = labels.label_groups(counts) if groups is None else groups
    if not isinstance(groups, Mapping):
        raise must_be("groups", "a dict of name to mask or columns", type(groups).__name__)
    if "total" in groups:
        raise must_be("groups", "without 'total', the name of all labels", "a group of that name")
    sets = {"total": np.arange(len(counts))}
    for name, group in groups.items():
        sets[name] = check_columns(f"groups[{name!r}]", group, len(counts))
    return sets


def _size_groups(starts):
    """The fewest labels of each group's documents, and what they have fewer than."""
    starts = list(starts) if np.iterable(starts) else [starts]
    for start in starts:
        check_number("starts", start, 0, whole=True, remedy="Give (1, 2, 5), say.")
    if not starts or any(low >= high for low, high in pairwise(starts)):
        raise must_be("starts", "ascending whole numbers, one at least", repr(starts))
    groups = {"total": (0, np.inf)}
    for low, high in pairwise(starts):
        groups[f"{low}" if high == low + 1 else f"{low}-{high - 1}"] = low, high
    return groups | {f"{starts[-1]}+": (starts[-1], np.inf)}


def check_both(y_true, y_pred):
    """Truth and predictions of the same shape, as CSR arrays."""
    truth = check_label_matrix(y_true, name="y_true")
    n_samples, n_labels = truth.shape
    return truth, check_label_matrix(y_pred, n_samples=n_samples, n_labels=n_labels, name="y_pred")


class Counts(NamedTuple):
    """Of each label how often it is right, true and predicted; arrays of shape (n_labels,)."""

    hits: np.ndarray
    actual: np.ndarray
    assigned: np.ndarray

    @classmethod
    def of(cls, truth, predicted):
        """Count CSR arrays of indicators."""
        both = sparse.csr_array(truth.multiply(predicted))
        return cls(*map(count_labels, (both, truth, predicted)))

    def f1(self):
        """F1 of each label, 0 where it is neither predicted nor true."""
        return 2 * self.hits / np.maximum(self.actual + self.assigned, 1)


def _f1_scores(truth, predicted):
    counts = Counts.of(truth, predicted)
    hits, actual, assigned = (int(numbers.sum()) for numbers in counts)
    return {
        "micro": share(2 * hits, actual + assigned),
        "macro": float(counts.f1().sum() / max(truth.shape[1], 1)),
        "precision": share(hits, assigned),
        "recall": share(hits, actual),
        "n_tested": int(np.count_nonzero(counts.actual)),
        "support": actual,
    }


def _size_of(counts):
    return {
        "n_labels": len(counts),
        "min_count": int(min(counts, default=0)),
        "max_count": int(max(counts, default=0)),
    }


def share(part, whole):
    """A part of a whole; 0 where there is nothing."""
    return float(part / whole) if whole else 0.0
