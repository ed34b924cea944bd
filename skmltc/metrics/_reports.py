"""Reports of what a classifier does in groups of labels and on each, and of what it confuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from .._ranking import check_k
from .._validation import check_columns, check_label_counts, check_number, must_be
from ._f1 import Counts, check_both, f1_by_group
from ._ranking import ndcg_at_k, precision_at_k, psp_at_k


def long_tail_report(
    y_true,
    y_pred,
    label_counts: ArrayLike,
    *,
    y_score=None,
    inverse_propensities: ArrayLike | None = None,
    k: Sequence[int] = (1, 3, 5),
    groups: Mapping | None = None,
    documents: str = "all",
    digits: int = 3,
    output_dict: bool = False,
) -> str | dict:
    """Text report of what a classifier does on head, medium and tail labels.

    Parameters
    ----------
    y_true, y_pred : arrays or scipy sparse matrices of shape (n_samples, n_labels)
        Label indicators.
    label_counts : array of shape (n_labels,)
        Training documents of each label.
    y_score : array or scipy sparse matrix, optional
        Scores or a ranking, see :mod:`skmltc.metrics`: adds P@k and nDCG@k.
    inverse_propensities : array of shape (n_labels,), optional
        Adds PSP@k to these, see :func:`psp_at_k`.
    k : sequence of int, default=(1, 3, 5)
        The k of these.
    groups : dict of str to array, optional
        As in :func:`f1_by_group`.
    documents : {"all", "labelled"}, default="all"
        As in :func:`f1_by_group`; says nothing to the ranking metrics.
    digits : int, default=3
        Digits after the point.
    output_dict : bool, default=False
        Return the figures, not the text.

    Returns
    -------
    str or dict
        The dict is that of :func:`f1_by_group` with an entry such as "P@1", "nDCG@3" or
        "PSP@5" for each ranking metric.

    Raises
    ------
    ValueError
        As the functions above.

    Examples
    --------
    >>> from skmltc.metrics import long_tail_report
    >>> y_true, y_pred = [[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 1], [0, 0]]
    >>> print(long_tail_report(y_true, y_pred, [90, 3]))  # doctest: +NORMALIZE_WHITESPACE
               labels  training  support  precision  recall  micro-F1  macro-F1
    <BLANKLINE>
      total         2      3-90        4      1.000   0.750     0.857     0.833
       head         1        90        2      1.000   1.000     1.000     1.000
     medium         0         0        0          -       -         -         -
       tail         1         3        2      1.000   0.500     0.667     0.667
    <BLANKLINE>
    """
    check_number("digits", digits, 0, whole=True)
    if not np.iterable(k):
        raise must_be("k", "a sequence of whole numbers", repr(k), f"Give ({k!r},) for one.")
    report = f1_by_group(y_true, y_pred, label_counts, groups=groups, documents=documents)
    text = [*_group_lines(report, digits)]
    if y_score is not None:
        ranking = _ranking_scores(y_true, y_score, inverse_propensities, k)
        text += _ranking_lines(ranking, k, digits)
        for name, row in ranking.items():
            report |= {f"{name}@{n}": score for n, score in zip(k, row, strict=True)}
    return report if output_dict else "\n".join(text) + "\n"


def label_report(
    y_true,
    y_pred,
    label_counts: ArrayLike,
    *,
    label_names: Sequence[str] | None = None,
    labels: ArrayLike | None = None,
    digits: int = 3,
    output_dict: bool = False,
) -> str | dict:
    """Text report of what a classifier does on each label, the most frequent one first.

    Parameters
    ----------
    y_true, y_pred : arrays or scipy sparse matrices of shape (n_samples, n_labels)
        Label indicators.
    label_counts : array of shape (n_labels,)
        Training documents of each label; of equal ones the lower column comes first.
    label_names : sequence of str of shape (n_labels,), optional
        Names of the labels; by default their columns.
    labels : array, optional
        A mask or the columns of the labels to report on; by default all.
    digits : int, default=3
        Digits after the point.
    output_dict : bool, default=False
        Return the columns of the table, not the text.

    Returns
    -------
    str or dict of str to array of shape (n_rows,)
        "label" (column), "name", "training" (documents), "support" (test documents), "predicted"
        (test documents that it was predicted for), "hits" (of these with the label), "precision",
        "recall" and "f1", which are 0 where there is nothing to divide by. ``pandas.DataFrame``
        takes it as it is.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or there is no such label.

    Examples
    --------
    >>> from skmltc.metrics import label_report
    >>> y_true, y_pred = [[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 1], [1, 0]]
    >>> print(label_report(y_true, y_pred, [3, 90], label_names=["gold", "earn"]))
          training  support  predicted  precision  recall     f1
    <BLANKLINE>
    earn        90        2          1      1.000   0.500  0.667
    gold         3        2          3      0.667   1.000  0.800
    <BLANKLINE>
    """
    check_number("digits", digits, 0, whole=True)
    truth, predicted = check_both(y_true, y_pred)
    n_labels = truth.shape[1]
    training = check_label_counts(label_counts, n_labels)
    names = _check_names(label_names, n_labels)
    columns = np.arange(n_labels) if labels is None else check_columns("labels", labels, n_labels)
    columns = columns[np.lexsort((columns, -training[columns]))]
    counts = Counts.of(truth, predicted)
    hits, support, assigned = (numbers[columns] for numbers in counts)
    table = {
        "label": columns,
        "name": names[columns],
        "training": training[columns],
        "support": support,
        "predicted": assigned,
        "hits": hits,
        "precision": hits / np.maximum(assigned, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": counts.f1()[columns],
    }
    return table if output_dict else _text_of(table, digits)


class Confusion(NamedTuple):
    """A label that was missed where another one was wrongly predicted.

    Parameters
    ----------
    missed, predicted : int or str
        Columns of the labels, or their names.
    n_documents : int
        Documents in which this happened.
    """

    missed: int | str
    predicted: int | str
    n_documents: int


def confused_pairs(
    y_true, y_pred, k: int = 10, *, label_names: Sequence[str] | None = None
) -> list[Confusion]:
    """The pairs of labels that are confused most often: one is missed, the other predicted.

    What the error analysis of Huang et al. (2021, section 4) looks at. In a document with two
    labels missed and three predicted wrongly, each of the six pairs is counted.

    Parameters
    ----------
    y_true, y_pred : arrays or scipy sparse matrices of shape (n_samples, n_labels)
        Label indicators.
    k : int, default=10
        How many pairs.
    label_names : sequence of str of shape (n_labels,), optional
        Names of the labels, to be shown in place of their columns.

    Returns
    -------
    list of Confusion
        Up to k, the most frequent first; of equal ones the lower columns.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or k is not a positive integer.

    Examples
    --------
    >>> from skmltc.metrics import confused_pairs
    >>> y_true, y_pred = [[1, 0, 0], [1, 0, 1], [0, 1, 0]], [[0, 1, 0], [0, 1, 1], [0, 1, 0]]
    >>> confused_pairs(y_true, y_pred, label_names=["platinum", "gold", "silver"])
    [Confusion(missed='platinum', predicted='gold', n_documents=2)]
    """
    check_k(k)
    truth, predicted = check_both(y_true, y_pred)
    names = None if label_names is None else _check_names(label_names, truth.shape[1])
    right = truth.multiply(predicted)
    missed, wrong = sparse.csr_array(truth - right), sparse.csr_array(predicted - right)
    missed.eliminate_zeros()
    wrong.eliminate_zeros()
    together = sparse.coo_array(missed.T @ wrong)
    rows, columns = together.coords
    best = np.lexsort((columns, rows, -together.data))[:k]
    pairs = np.column_stack([rows[best], columns[best]]).tolist()
    shown = pairs if names is None else names[np.array(pairs, dtype=int).reshape(-1, 2)].tolist()
    numbers = together.data[best].astype(int).tolist()
    return [Confusion(*pair, n) for pair, n in zip(shown, numbers, strict=True)]


def _check_names(label_names, n_labels):
    """Names of labels as an array of strings; by default their columns."""
    if label_names is None:
        return np.arange(n_labels).astype(str)
    names = np.asarray(label_names, dtype=object)
    if names.shape != (n_labels,):
        expected = f"a sequence of {n_labels} names, one per label"
        raise must_be("label_names", expected, f"shape {names.shape}")
    return names


def _text_of(table, digits):
    """The table as text: a line per label, each column as wide as it must be."""
    titles = ["training", "support", "predicted", "precision", "recall", "f1"]
    rows = [["", *titles], *zip(table["name"], *(table[t] for t in titles), strict=True)]
    shown = [[f"{v:.{digits}f}" if type(v) is np.float64 else str(v) for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in shown]
    return "\n".join([lines[0], "", *lines[1:]]) + "\n"


def _ranking_scores(y_true, y_score, inverse_propensities, k):
    scores = {"P": [precision_at_k(y_true, y_score, k=n) for n in k]}
    scores["nDCG"] = [ndcg_at_k(y_true, y_score, k=n) for n in k]
    if inverse_propensities is not None:
        scores["PSP"] = [psp_at_k(y_true, y_score, inverse_propensities, k=n) for n in k]
    return scores


def _group_lines(scores, digits):
    width = max(map(len, scores))
    titles = ("precision", "recall", "micro-F1", "macro-F1")
    yield f"{'':>{width}}  labels    training  support" + _cells(titles) + "\n"
    for name, row in scores.items():
        low, high, n_labels = row["min_count"], row["max_count"], row["n_labels"]
        training = f"{low}-{high}" if low < high else high
        yield f"{name:>{width}}  {n_labels:>6}  {training:>10}  {row['support']:>7}" + _cells(
            f"{row[key]:.{digits}f}" if n_labels else "-"
            for key in ("precision", "recall", "micro", "macro")
        )


def _ranking_lines(scores, k, digits):
    yield "\n    " + _cells(f"@{n}" for n in k) + "\n"
    for name, row in scores.items():
        yield f"{name:>4}" + _cells(f"{score:.{digits}f}" for score in row)


def _cells(texts):
    return "".join(f"  {text:>9}" for text in texts)
