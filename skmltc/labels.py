"""What the labels look like: counts, groups, propensities, parents. Needs numpy and scipy alone."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sized
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ._validation import LabelWarning, check_label_counts, check_number, must_be, warn

NEVER_LOGIT = -50.0  # of a label without documents
_LEAST_CONSTANT = 1e-6  # of propensities: at 0 a label without documents would weigh infinity


@dataclass(frozen=True, eq=False)
class LabelStatistics:
    """What a balancing loss has to know of the training labels.

    Parameters
    ----------
    counts : array of shape (n_labels,)
        Training documents of each label.
    n_samples : int
        Training documents in all.
    mean_share : float, default=1.0
        Mean, over all (document, label) assignments, of the label's share in its document's
        inverse counts: r of the distribution-balanced loss (Huang et al. 2021).
    median_share : float, default=1.0
        Median of the same shares. The defaults are those of single-label data.

    Raises
    ------
    ValueError
        If a count is negative, not finite, or above `n_samples`.

    Examples
    --------
    >>> import numpy as np
    >>> from skmltc.labels import LabelStatistics
    >>> statistics = LabelStatistics.from_matrix(np.array([[1, 0], [1, 1], [1, 0]]))
    >>> statistics.counts, statistics.n_samples
    (array([3, 1]), 3)
    """

    counts: np.ndarray
    n_samples: int
    mean_share: float = 1.0
    median_share: float = 1.0

    def __post_init__(self):
        """Check at once: a wrong count would become a wrong weight."""
        check_number("n_samples", self.n_samples, 0)
        check_label_counts(self.counts, n_samples=self.n_samples, name="counts")
        check_number("mean_share", self.mean_share, 0)
        check_number("median_share", self.median_share, 0)

    @classmethod
    def from_matrix(cls, Y, sample_weight=None) -> LabelStatistics:
        """Read the statistics off a label indicator matrix.

        Parameters
        ----------
        Y : array or scipy sparse matrix of shape (n_samples, n_labels)
            Label indicators.
        sample_weight : array of shape (n_samples,), default=None
            How often each document counts; once by default.

        Returns
        -------
        LabelStatistics
        """
        n_rows, n_labels = Y.shape
        rows, columns = Y.nonzero()
        weights = np.ones(n_rows, int) if sample_weight is None else np.asarray(sample_weight)
        counts = np.bincount(columns, weights[rows], minlength=n_labels).astype(weights.dtype)
        n_samples = max(weights.sum(), counts.max(initial=0)).item()  # but for rounding
        if not len(columns):
            return cls(counts, n_samples)
        inverse = 1.0 / np.maximum(counts, 1)
        document_mass = np.bincount(rows, weights=inverse[columns], minlength=n_rows)
        shares = inverse[columns] / document_mass[rows]
        mean = float(np.average(shares, weights=weights[rows]))
        return cls(counts, n_samples, mean, _weighted_median(shares, weights[rows]))

    @property
    def inverse_counts(self) -> np.ndarray:
        """1 / n of each label, 1 for a label without documents."""
        return 1.0 / np.maximum(np.asarray(self.counts, dtype=np.float64), 1.0)

    @property
    def log_odds_against(self) -> np.ndarray:
        """log(N / n - 1) of each label: minus the log-odds of its prior, always finite.

        Counts are clipped to [1, N - 1], so that a label on no document or on all of them
        has a finite value (the papers leave both open).
        """
        return log_odds_against(self.counts, self.n_samples)


def _weighted_median(values, weights):
    """The median of values that each stand there so many times."""
    order = np.argsort(values, kind="stable")
    values, ends = values[order], np.cumsum(weights[order])
    half = ends[-1] / 2
    first, last = np.searchsorted(ends, half), np.searchsorted(ends, half, side="right")
    return float((values[first] + values[min(last, len(values) - 1)]) / 2)


def log_odds_against(label_counts: ArrayLike, n_samples: float) -> np.ndarray:
    """Minus the prior log-odds of each label, log(N / n - 1), with n clipped to [1, N - 1].

    Parameters
    ----------
    label_counts : array of shape (n_labels,)
        Training documents of each label.
    n_samples : int
        Training documents in all.

    Returns
    -------
    array of shape (n_labels,)
        0 for a label on half the documents, positive for a rarer one.

    Raises
    ------
    ValueError
        If a count is negative or not finite.
    """
    total = max(float(check_number("n_samples", n_samples, 0)), 2.0)
    counts = check_label_counts(label_counts).astype(np.float64)
    counts = np.clip(counts, 1.0, total - 1.0)
    return np.log(total / counts - 1.0)


def split_head_tail(
    label_counts: ArrayLike, *, n_tail: int | None = None, min_head_count: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split the labels by their number of training documents.

    Give one of `n_tail` and `min_head_count`.

    Parameters
    ----------
    label_counts : array of shape (n_labels,)
        Training documents of each label.
    n_tail : int, optional
        The rarest `n_tail` labels are tail; of equally rare ones the last columns.
    min_head_count : int, optional
        Labels with at least this many training documents are head.

    Returns
    -------
    head_labels, tail_labels : arrays of int
        Column numbers, ascending.

    Raises
    ------
    ValueError
        If a count is negative or not finite, or not one of the two bounds is given.

    Examples
    --------
    >>> from skmltc.labels import split_head_tail
    >>> split_head_tail([90, 2, 14, 3], min_head_count=10)
    (array([0, 2]), array([1, 3]))
    """
    counts = check_label_counts(label_counts)
    if (n_tail is None) == (min_head_count is None):
        raise ValueError("Exactly one of n_tail and min_head_count must be given.")
    if min_head_count is not None:
        is_head = counts >= check_number("min_head_count", min_head_count, 0)
    else:
        remedy = f"There are {len(counts)} labels."
        check_number("n_tail", n_tail, 0, len(counts), whole=True, remedy=remedy)
        by_frequency = np.argsort(-counts, kind="stable")
        is_head = np.zeros(len(counts), dtype=bool)
        is_head[by_frequency[: len(counts) - n_tail]] = True
    return np.flatnonzero(is_head), np.flatnonzero(~is_head)


def label_groups(
    label_counts: ArrayLike, *, min_head_count: float = 51, max_tail_count: float = 10
) -> dict[str, np.ndarray]:
    """Name the head, the medium and the tail labels.

    Parameters
    ----------
    label_counts : array of shape (n_labels,)
        Training documents of each label.
    min_head_count : int, default=51
        Labels with at least this many training documents are head.
    max_tail_count : int, default=10
        Labels with at most this many are tail.

    Returns
    -------
    dict of str to array of bool of shape (n_labels,)
        Masks under the keys "head", "medium" and "tail".

    Raises
    ------
    ValueError
        If a count is negative or not finite, or the bounds are no numbers from 0 up, the lower
        one below the other.

    Examples
    --------
    >>> from skmltc.labels import label_groups
    >>> label_groups([90, 2, 14])["tail"]
    array([False,  True, False])
    """
    counts = check_label_counts(label_counts)
    check_number("min_head_count", min_head_count, 0)
    if check_number("max_tail_count", max_tail_count, 0) >= min_head_count:
        expected = f"less than min_head_count, {min_head_count!r}"
        raise must_be("max_tail_count", expected, repr(max_tail_count))
    head, tail = counts >= min_head_count, counts <= max_tail_count
    return {"head": head, "medium": ~head & ~tail, "tail": tail}


def inverse_propensities(
    label_counts: ArrayLike, n_samples: float, *, a: float = 0.55, b: float = 1.5
) -> np.ndarray:
    """How much a hit on each label is worth in propensity-scored metrics.

    1 + (log N - 1) (b + 1)^a (n + b)^-a with the natural logarithm (Jain, Prabhu and
    Varma 2016).

    Parameters
    ----------
    label_counts : array of shape (n_labels,)
        Training documents of each label.
    n_samples : int
        Training documents in all.
    a, b : float, default=0.55 and 1.5
        Constants of the data set: 0.6 and 2.6 for Amazon-670K and 3M, 0.5 and 0.4 for the
        Wikipedia sets, the defaults elsewhere.

    Returns
    -------
    array of shape (n_labels,)
        Never below 1 for three documents or more, falling with the count.

    Raises
    ------
    ValueError
        If a count is negative, not finite, or above `n_samples`, or a constant is not positive.

    Examples
    --------
    >>> from skmltc.labels import inverse_propensities
    >>> inverse_propensities([500, 1], n_samples=1000).round(2)
    array([1.32, 6.91])
    """
    check_number("n_samples", n_samples, 0)
    counts = check_label_counts(label_counts, n_samples=n_samples).astype(np.float64)
    for name, value in (("a", a), ("b", b)):
        check_number(name, value, _LEAST_CONSTANT)
    scale = max(np.log(max(n_samples, 1)) - 1.0, 0.0) * (b + 1.0) ** a
    return 1.0 + scale * (counts + b) ** -a


# ---------------------------------------------------------------------------------- parents


def parents_from_edges(classes: Iterable, edges: Iterable) -> tuple[sparse.csr_array, list]:
    r"""Make the matrix of the labels' parents from names.

    Parameters
    ----------
    classes : array-like of shape (n_labels,)
        Names of the labels in the order of the columns of y: ``classes_`` of a
        ``MultiLabelBinarizer``, ``target_names`` of :func:`~skmltc.datasets.load_jsonl`.
    edges : iterable of pairs
        (child, parent) names. Edges of children that are no classes are left out.

    Returns
    -------
    label_parents : csr_array of float32 of shape (n_rows, n_rows)
        Ones at (child, parent). The first n_labels rows are those of the classes; those after
        them are of parents that are no classes.
    other_parents : list
        Names of the rows after those of the classes, in the order of their first edge.

    Raises
    ------
    ValueError
        If the names are not different ones, or the edges no pairs.

    Warns
    -----
    LabelWarning
        If no edge is of a class: names may be spelled in two ways.

    Examples
    --------
    >>> from skmltc.labels import parents_from_edges
    >>> edges = [("cat", "pet"), ("cow", "cattle"), ("dog", "pet")]
    >>> label_parents, other_parents = parents_from_edges(["cat", "dog", "pet"], edges)
    >>> label_parents.toarray()
    array([[0., 0., 1.],
           [0., 0., 1.],
           [0., 0., 0.]], dtype=float32)
    >>> parents_from_edges(["cat", "dog"], edges)[1]
    ['pet']

    From ``hierarchy.tsv``, a child, a TAB and its parent on each line, and ``label_names.tsv``, a
    label, a TAB and what it is called (with ``open(path, encoding="utf-8")`` for these two):

    >>> import csv, io
    >>> hierarchy = io.StringIO("54.72\t54\n54.80\t54\n")
    >>> label_names = io.StringIO("54\tComputing\n54.72\tArtificial intelligence\n")
    >>> classes = ["54.72", "54.80"]
    >>> label_parents, other_parents = parents_from_edges(
    ...     classes, csv.reader(hierarchy, delimiter="\t")
    ... )
    >>> names = dict(csv.reader(label_names, delimiter="\t"))
    >>> [names.get(label, label) for label in [*classes, *other_parents]]
    ['Artificial intelligence', '54.80', 'Computing']
    """
    row_of = {name: row for row, name in enumerate(_names(classes))}
    n_labels = len(row_of)
    if n_labels < len(classes):
        raise must_be("classes", "different names", f"{len(classes) - n_labels} repeated ones")
    if not isinstance(edges, Iterable):
        raise must_be("edges", "pairs (child, parent)", repr(edges))
    edges = [_pair(edge) for edge in edges]
    known = [(child, parent) for child, parent in edges if row_of.get(child, n_labels) < n_labels]
    if edges and not known:
        warn(
            "edges must be pairs (child, parent) with classes as children. "
            f"Got {len(edges)} edges of others instead, {edges[0][0]!r} the first: no label has "
            "a parent. Are the names spelled as in classes?",
            LabelWarning,
        )
    parents = [row_of.setdefault(parent, len(row_of)) for _, parent in known]
    children = [row_of[child] for child, _ in known]
    return _parent_matrix(children, parents, len(row_of)), list(row_of)[n_labels:]


def _names(classes):
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise must_be("classes", "a list of names, one per label", repr(classes))
    names = list(classes)
    if not all(isinstance(name, Hashable) for name in names):
        raise must_be("classes", "a list of names, one per label", repr(names[0]))
    return names


def _pair(edge):
    if isinstance(edge, str) or not isinstance(edge, Sized) or len(edge) != 2:
        raise must_be("edges", "pairs (child, parent)", repr(edge), "Of a dict give its items().")
    return tuple(edge)


def _parent_matrix(children, parents, n_rows):
    """Ones at (child, parent), repeated edges once."""
    matrix = sparse.csr_array(
        (np.ones(len(children), dtype=np.float32), (children, parents)), shape=(n_rows, n_rows)
    )
    matrix.data[:] = 1
    return matrix


def check_label_parents(label_parents, n_labels: int) -> sparse.csr_array:
    """Read the parents of labels in any form.

    Parameters
    ----------
    label_parents : None, array of shape (n_rows,) or matrix of shape (n_rows, n_rows)
        Row number of each label's parent or -1; or a dense or sparse matrix with a non-zero
        number at each (child, parent), where a label may have several parents. The first
        n_labels rows are labels, others describe parents that are not predicted.
    n_labels : int

    Returns
    -------
    csr_array of float32 of shape (n_rows, n_rows)
        Ones at (child, parent); n_labels empty rows for None.

    Raises
    ------
    ValueError
        If there are fewer rows than labels, a parent is out of range, a matrix is not square, or
        a label is among the parents of its parents.

    Examples
    --------
    >>> from skmltc.labels import check_label_parents
    >>> check_label_parents([2, -1, -1], n_labels=2).toarray()
    array([[0., 0., 1.],
           [0., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    if label_parents is None:
        return sparse.csr_array((n_labels, n_labels), dtype=np.float32)
    if not sparse.issparse(label_parents):
        label_parents = np.asarray(label_parents)
    if label_parents.ndim == 1:
        children, parents = _edges_of_column(label_parents)
    else:
        _check_square(label_parents)
        children, parents = label_parents.nonzero()
    n_rows = label_parents.shape[0]
    if n_rows < n_labels:
        expected = f"of {n_labels} rows at least, one per label"
        raise must_be("label_parents", expected, n_rows, "A label without a parent has -1.")
    matrix = _parent_matrix(children, parents, n_rows)
    _check_no_cycle(matrix)
    return matrix


def _edges_of_column(parents):
    """Children and parents, from the parent of each label or -1."""
    if parents.dtype.kind not in "iu":
        remedy = "skmltc.labels.parents_from_edges makes a matrix from names."
        raise must_be("label_parents", "row numbers or -1", f"dtype {parents.dtype}", remedy)
    wrong = np.flatnonzero((parents < -1) | (parents >= len(parents)))
    if len(wrong):
        raise must_be(
            "label_parents",
            f"row numbers from 0 to {len(parents) - 1}, or -1 for no parent",
            f"{parents[wrong[0]]} as the parent of label {wrong[0]}",
            "Parents that are no labels have rows of their own, after those of the labels.",
        )
    children = np.flatnonzero(parents >= 0)
    return children, parents[children]


def _check_square(label_parents):
    shape = label_parents.shape
    if len(shape) != 2 or shape[0] != shape[1]:
        raise must_be(
            "label_parents",
            "a parent per label, or a square matrix with ones at (child, parent)",
            f"shape {shape}",
            "Parents that are no labels have rows and columns of their own, the last ones.",
        )


def _check_no_cycle(matrix):
    """Refuse labels that are above themselves, and name those of one cycle."""
    component = connected_components(matrix, connection="strong")[1]
    children, parents = matrix.nonzero()
    on_cycle = component[children] == component[parents]
    above = dict(zip(children[on_cycle], parents[on_cycle], strict=True))
    if not above:
        return
    path = [next(iter(above))]
    while path[-1] not in path[:-1]:
        path.append(above[path[-1]])
    cycle = " -> ".join(map(str, path[path.index(path[-1]) :]))
    raise must_be(
        "label_parents", "free of cycles", cycle, "Leave out one of these (child -> parent) edges."
    )
