"""Triplets of two documents and a label, drawn so that rare labels appear as often as others.

Yang et al. (HSCNN, EMNLP 2020, section 2.2). A similar pair of documents was drawn for one label
and gives one triplet. A dissimilar pair was drawn for two labels, neither of which the other
document has, and gives two: each document with the label of the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._sampling import draw_documents


class Sampling(NamedTuple):
    """Of so many triplets, so many are dissimilar."""

    unit: int
    n_dissimilar: int


SAMPLINGS = {"triplet": Sampling(3, 2), "pair": Sampling(2, 1)}
_ATTEMPTS = 20


class Triplets(NamedTuple):
    """Documents of one batch, and triplets among them.

    Parameters
    ----------
    documents : array of int of shape (n_documents,)
        Row of each document. One that was drawn for two labels is there twice.
    labels : array of int of shape (n_documents,)
        The label that each was drawn for; the number of labels where it has none.
    first, second : array of int of shape (n_triplets,)
        Places of two documents in `documents`. The triplet's label is that of the second.
    same : array of bool of shape (n_triplets,)
        Whether the first document has that label too.
    """

    documents: np.ndarray
    labels: np.ndarray
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray

    def with_documents_of_their_own(self, rows):
        """Some of the triplets, as a batch that has two documents for each of them."""
        places = np.concatenate([self.first[rows], self.second[rows]])
        first = np.arange(len(rows))
        documents, labels = self.documents[places], self.labels[places]
        return Triplets(documents, labels, first, first + len(rows), self.same[rows])


def draw_independent_triplets(Y, n_triplets, *, sampling, random_state):
    """Draw triplets of pairs each of which is drawn by itself.

    A pair is drawn for a label, or for two, and then a document of each label, all of its
    documents being equally likely. The labels take turns, so that all of them appear equally
    often. Documents without any label stand in no pair.

    Parameters
    ----------
    Y, n_triplets, sampling, random_state
        As of `draw_triplets`.

    Returns
    -------
    Triplets
        Its documents are those of each label, all of them; it has no triplet where there are no
        pairs.
    """
    unit, n_dissimilar = SAMPLINGS[sampling]
    n_units = -(-n_triplets // unit)
    lists = DocumentsByLabel(Y, random_state)
    labels = lists.labels[lists.labels < lists.n_labels]
    if not len(labels):
        return Triplets(*np.empty((4, 0), dtype=np.int64), np.empty(0, dtype=bool))
    wanted = n_units, n_units
    return _draw_batch(lists, labels, lists.n_samples, wanted, n_dissimilar, by_label=True)[0]


def draw_triplets(Y, n_triplets, *, batch_size, per_document, sampling, random_state):
    """Draw batches of triplets whose documents stand in several triplets each.

    A batch has some labels and a few documents of each; the labels take turns, so that all of
    them appear equally often. Documents without any label count as those of one label more, which
    only ever stands on the dissimilar side.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels)
        Label indicators.
    n_triplets : int
        Of all batches together; rounded up to a multiple of 3, of 2 for pairs.
    batch_size : int
        Documents per batch, about.
    per_document : int
        Triplets per batch for each of its documents; with 1 there are two documents per label, in
        one similar and one dissimilar pair each on average.
    sampling : {"triplet", "pair"}
        "triplet": a third are similar. "pair": half are, and a dissimilar pair gives one.
    random_state : RandomState

    Returns
    -------
    list of Triplets
        Empty where there are no pairs. Where labels have no similar pair, or no dissimilar one,
        others take their share; where none has, that kind is missing.
    """
    unit, n_dissimilar = SAMPLINGS[sampling]
    n_units = -(-n_triplets // unit)
    lists = DocumentsByLabel(Y, random_state)
    n_groups, group_size = _shape_of_batch(lists, batch_size, per_document, unit)
    n_batches = max(
        -(-n_units * unit // (per_document * n_groups * group_size)),
        -(-len(lists.labels) // n_groups),
    )
    batches, n_done = [], np.zeros(2, dtype=np.int64)
    for k, groups in enumerate(_label_batches(lists.labels, n_batches, n_groups, random_state)):
        wanted = n_units * (k + 1) // n_batches - n_done
        batch, n_drawn = _draw_batch(lists, groups, group_size, wanted, n_dissimilar)
        n_done += n_drawn
        batches.append(batch)
    return [batch for batch in batches if len(batch.same)]


def _shape_of_batch(lists, batch_size, per_document, unit):
    """Labels in a batch, and documents of each: enough that similar pairs need not repeat."""
    group_size = max(2, int(np.ceil(1 + 2 * per_document / unit)))
    n_groups = int(np.clip(batch_size // group_size, min(2, len(lists.labels)), len(lists.labels)))
    return n_groups, max(group_size, batch_size // n_groups)


def _label_batches(labels, n_batches, n_groups, random_state):
    """Different labels for each batch, all of them equally often up to one."""
    waiting = np.empty(0, dtype=np.int64)
    for _ in range(n_batches):
        turn = waiting[:n_groups]
        waiting = waiting[n_groups:]
        if len(turn) < n_groups:
            later = random_state.permutation(labels)
            fits = ~np.isin(later, turn)
            later = np.concatenate([later[fits], later[~fits]])
            missing = n_groups - len(turn)
            turn, waiting = np.concatenate([turn, later[:missing]]), later[missing:]
        yield turn


class DocumentsByLabel:
    """The documents of each label, those without a label last, and which pairs there are."""

    def __init__(self, Y, random_state):
        unlabelled = sparse.csr_array((np.diff(Y.indptr) == 0).astype(np.float32)[:, None])
        self.by_label = sparse.hstack([Y, unlabelled], format="csc").T
        self.n_labels, self.n_samples, self.random_state = Y.shape[1], Y.shape[0], random_state
        counts = np.diff(self.by_label.indptr)
        self.labels = np.flatnonzero(counts)
        self.keys = np.repeat(np.arange(self.n_labels + 1), counts) * Y.shape[0]
        self.keys = self.keys + self.by_label.indices

    def members(self, labels, size):
        """Up to `size` documents of each label, all different, and whose they are."""
        drawn = draw_documents(self.by_label[labels], size, self.random_state)
        return drawn.indices, np.repeat(np.arange(len(labels)), np.diff(drawn.indptr))

    def has(self, documents, labels):
        """Whether each document has the label at the same place."""
        wanted = labels * np.int64(self.n_samples) + documents
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return self.keys[place] == wanted


def _draw_batch(lists, groups, group_size, wanted, n_dissimilar, by_label=False):
    """One batch with the wanted numbers of similar and of dissimilar pairs, as far as it can."""
    documents, label_of = lists.members(groups, group_size)
    labels, sizes = groups[label_of], np.bincount(label_of)
    first, second = _similar_pairs(sizes, groups < lists.n_labels, wanted[0], lists.random_state)
    left, right = _dissimilar_pairs(lists, documents, labels, sizes, wanted[1], by_label)
    n_drawn = len(first), len(left)
    for a, b in [(left, right), (right, left)][:n_dissimilar]:
        unlabelled = labels[b] == lists.n_labels  # can only be the first document
        first = np.concatenate([first, np.where(unlabelled, b, a)])
        second = np.concatenate([second, np.where(unlabelled, a, b)])
    same = np.arange(len(first)) < n_drawn[0]
    return Triplets(documents, labels, first, second, same), n_drawn


def _similar_pairs(sizes, is_label, n_pairs, random_state):
    """Places of two different documents of one label."""
    has_pairs = np.flatnonzero((sizes > 1) & is_label)
    if not len(has_pairs):
        return np.empty((2, 0), dtype=np.int64)
    group, start = _evenly(has_pairs, n_pairs, random_state), np.cumsum(sizes) - sizes
    a = random_state.randint(sizes[group])
    b = (a + random_state.randint(1, sizes[group])) % sizes[group]
    return start[group] + a, start[group] + b


def _dissimilar_pairs(lists, documents, labels, sizes, n_pairs, by_label):
    """Places of two documents neither of which has the label of the other.

    The second is any document of the batch, or, `by_label`, one of any label.
    """
    random_state, start = lists.random_state, np.cumsum(sizes) - sizes
    group = _evenly(np.arange(len(sizes)), n_pairs, random_state)
    pairs = np.empty((2, n_pairs), dtype=np.int64)
    pending = np.arange(n_pairs)
    for attempt in range(_ATTEMPTS):
        if attempt > _ATTEMPTS // 2:
            group = random_state.randint(len(sizes), size=n_pairs)
        left = start[group[pending]] + random_state.randint(sizes[group[pending]])
        if by_label:
            other = random_state.randint(len(sizes), size=len(pending))
            right = start[other] + random_state.randint(sizes[other])
        else:
            right = random_state.randint(len(documents), size=len(pending))
        clash = lists.has(documents[left], labels[right]) | lists.has(
            documents[right], labels[left]
        )
        pairs[:, pending] = left, right
        pending = pending[clash]
    found = np.setdiff1d(np.arange(n_pairs), pending, assume_unique=True)
    if len(pending) and len(found):
        pairs[:, pending] = pairs[:, random_state.choice(found, len(pending))]
    return pairs if len(found) else pairs[:, :0]


def _evenly(groups, n_pairs, random_state):
    """A group for each pair, all of them equally often up to one."""
    return np.resize(random_state.permutation(groups), n_pairs)
