"""What the labels look like: counts, groups, propensities. Needs numpy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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

    @classmethod
    def from_matrix(cls, Y):
        """Read the statistics off a label indicator matrix.

        Parameters
        ----------
        Y : array or scipy sparse matrix of shape (n_samples, n_labels)
            Label indicators.

        Returns
        -------
        LabelStatistics
        """
        n_samples, n_labels = Y.shape
        rows, columns = Y.nonzero()
        counts = np.bincount(columns, minlength=n_labels)
        if not len(columns):
            return cls(counts, n_samples)
        inverse = 1.0 / np.maximum(counts, 1)
        document_mass = np.bincount(rows, weights=inverse[columns], minlength=n_samples)
        shares = inverse[columns] / document_mass[rows]
        return cls(counts, n_samples, float(shares.mean()), float(np.median(shares)))

    @property
    def inverse_counts(self):
        """1 / n of each label, 1 for a label without documents."""
        return 1.0 / np.maximum(np.asarray(self.counts, dtype=np.float64), 1.0)

    @property
    def rarity(self):
        """log(N / n - 1) of each label: minus the log-odds of its prior, always finite.

        Counts are clipped to [1, N - 1], so that a label on no document or on all of them
        has a finite value (the papers leave both open).
        """
        return rarity(self.counts, self.n_samples)


def rarity(label_counts, n_samples):
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
    """
    total = max(float(n_samples), 2.0)
    counts = np.clip(np.asarray(label_counts, dtype=np.float64), 1.0, total - 1.0)
    return np.log(total / counts - 1.0)


def split_head_tail(label_counts, *, n_tail=None, min_head_count=None):
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

    Examples
    --------
    >>> from skmltc.labels import split_head_tail
    >>> split_head_tail([90, 2, 14, 3], min_head_count=10)
    (array([0, 2]), array([1, 3]))
    """
    counts = np.asarray(label_counts)
    if (n_tail is None) == (min_head_count is None):
        raise ValueError("Exactly one of n_tail and min_head_count must be given.")
    if min_head_count is not None:
        is_head = counts >= min_head_count
    elif not 0 <= n_tail <= len(counts):
        raise ValueError(
            f"n_tail must be between 0 and the number of labels, {len(counts)}. "
            f"Got {n_tail!r} instead."
        )
    else:
        by_frequency = np.argsort(-counts, kind="stable")
        is_head = np.zeros(len(counts), dtype=bool)
        is_head[by_frequency[: len(counts) - n_tail]] = True
    return np.flatnonzero(is_head), np.flatnonzero(~is_head)


def label_groups(label_counts, *, min_head_count=51, max_tail_count=10):
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

    Examples
    --------
    >>> from skmltc.labels import label_groups
    >>> label_groups([90, 2, 14])["tail"]
    array([False,  True, False])
    """
    counts = np.asarray(label_counts)
    if max_tail_count >= min_head_count:
        raise ValueError(
            f"max_tail_count must be less than min_head_count, {min_head_count!r}. "
            f"Got {max_tail_count!r} instead."
        )
    head, tail = counts >= min_head_count, counts <= max_tail_count
    return {"head": head, "medium": ~head & ~tail, "tail": tail}


def inverse_propensities(label_counts, n_samples, *, a=0.55, b=1.5):
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

    Examples
    --------
    >>> from skmltc.labels import inverse_propensities
    >>> inverse_propensities([500, 1], n_samples=1000).round(2)
    array([1.32, 6.91])
    """
    counts = np.asarray(label_counts, dtype=np.float64)
    scale = max(np.log(max(n_samples, 1)) - 1.0, 0.0) * (b + 1.0) ** a
    return 1.0 + scale * (counts + b) ** -a
