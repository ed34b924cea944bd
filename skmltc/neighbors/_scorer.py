"""Log-odds of labels from the votes of the nearest documents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.base import BaseEstimator, clone

from .._cosine import CosineNeighbors
from .._engines import Shared
from .._rows import is_among, places_among, stack_rows
from .._targets import count_documents, count_labels
from .._votes import neighbor_cosines, times_counted, vote_shares
from ..labels import NEVER_LOGIT

_DOCUMENTS_AT_A_TIME = 4096  # of those that look for neighbours


@dataclass(frozen=True, eq=False)
class Memory:
    """Documents among which neighbours are looked up, and some of their labels.

    Parameters
    ----------
    neighbors : fitted estimator with `kneighbors`
        Its distances are 1 - cosine.
    vectors : array or csr_array of float32 of shape (n_fitted, n_features)
        What it was fitted on.
    Y : csr_array of shape (n_fitted, n_labels)
    numbers : array of int of shape (n_fitted,)
        Rows of the documents in the X of `fit`, without those of weight 0; later ones follow in the
        order in which they came.
    weights : array of float64 of shape (n_fitted,), default=None
        How often each document counts; once by default.
    """

    neighbors: BaseEstimator
    vectors: sparse.csr_array | np.ndarray
    Y: sparse.csr_array
    numbers: np.ndarray
    weights: np.ndarray | None = None

    @classmethod
    def of(cls, neighbors, vectors, Y, numbers=None, weights=None):
        """Fit a copy of an estimator with `kneighbors`; numbers are those of rows by default."""
        numbers = np.arange(Y.shape[0]) if numbers is None else numbers
        return cls(clone(neighbors).fit(vectors), vectors, Y, numbers, weights)

    def __reduce__(self):
        """Be stored without the neighbours' copy of the vectors, where it is made in no time."""
        kept = self.vectors, self.Y, self.numbers, self.weights
        if type(self.neighbors) is not CosineNeighbors:
            return Memory, (self.neighbors, *kept)
        return Memory.of, (clone(self.neighbors), *kept)

    def extended(self, vectors, Y, numbers):
        """Take in further documents."""
        vectors, Y = stack_rows([self.vectors, vectors]), stack_rows([self.Y, Y])
        weights = self.weights
        if weights is not None:
            weights = np.append(weights, np.ones(len(numbers)))
        return Memory.of(self.neighbors, vectors, Y, np.append(self.numbers, numbers), weights)

    def for_labels(self, vectors, Y, first_new):
        """The same documents for new labels, which none but further ones have.

        A further document that is known has the number that it had, others those from `first_new`.
        """
        is_other = ~is_among(self.vectors, vectors)
        others, numbers = self.vectors[is_other], self.numbers[is_other]
        absent = sparse.csr_array((others.shape[0], Y.shape[1]), dtype=Y.dtype)
        weights = None if self.weights is None else self.weights[is_other]
        kept = replace(self, vectors=others, Y=absent, numbers=numbers, weights=weights)
        return kept.extended(vectors, Y, self._numbers_of(vectors, first_new))

    def _numbers_of(self, vectors, first_new):
        """Numbers of further documents, some of which may be known."""
        places = places_among(vectors, self.vectors)
        is_new = places < 0
        return np.where(is_new, first_new + np.cumsum(is_new) - 1, self.numbers[places])

    def nearest(self, vectors, n_neighbors, n_jobs=None):
        """Cosines and rows of the nearest documents, by blocks of documents."""
        n = min(n_neighbors, self.Y.shape[0])
        starts = range(0, vectors.shape[0], _DOCUMENTS_AT_A_TIME)
        task = Shared(partial(neighbor_cosines, self.neighbors))
        found = Parallel(n_jobs, prefer="threads")(
            delayed(Shared.call)(task, vectors[start : start + _DOCUMENTS_AT_A_TIME], n)
            for start in starts
        )
        return (np.concatenate(parts) for parts in zip(*found, strict=True))

    def log_odds(self, cosines, indices, n_neighbors):
        """Log-odds (n_samples, n_labels) of (m v + p) / (m + 1), as in the classifier's notes."""
        times = times_counted(cosines, indices, n_neighbors, self.weights)
        n_voters = times.sum(axis=1, keepdims=True)
        shares = vote_shares(times * cosines, indices, self.Y).toarray()
        votes = np.minimum(shares, 1) * n_voters
        n_samples, counts = self.n_samples, count_labels(self.Y, self.weights)
        priors = (np.clip(counts, 0.5, n_samples - 0.5) / n_samples).astype(np.float32)
        logits = np.log(votes + priors) - np.log(n_voters - votes + (1 - priors))
        logits[:, counts == 0] = NEVER_LOGIT
        return logits

    @property
    def n_samples(self):
        """Documents in all, by their weights."""
        return count_documents(self.Y, self.weights)


@dataclass(frozen=True, eq=False)
class VoteScorer:
    """Scores of documents by the votes of their neighbours.

    Parameters
    ----------
    vectorizer : fitted transformer
        From documents to the vectors whose cosines are compared.
    memories : tuple of Memory
        Each has the next labels: those added later are known of other documents too.
    n_neighbors : int
    n_jobs : int, default=None
        Blocks of documents at a time.
    """

    vectorizer: BaseEstimator
    memories: tuple[Memory, ...]
    n_neighbors: int
    n_jobs: int | None = None

    def encode(self, X, device):
        """Cosines and rows of the nearest documents of each memory."""
        vectors = self.vectorizer.transform(X)
        return [
            tuple(memory.nearest(vectors, self.n_neighbors, self.n_jobs))
            for memory in self.memories
        ]

    def scores(self, encoded, labels=None):
        """Log-odds (n_samples, n_block) of an array of labels, of all by default; float32."""
        pairs = zip(self.memories, encoded, strict=True)
        found = [memory.log_odds(*nearest, self.n_neighbors) for memory, nearest in pairs]
        logits = np.hstack(found)
        return logits if labels is None else logits[:, labels]

    def with_documents(self, X, Y):
        """Take in further documents with all their labels."""
        vectors, first, memories = self.vectorizer.transform(X), 0, []
        numbers = self._first_new + np.arange(vectors.shape[0])
        for memory in self.memories:
            last = first + memory.Y.shape[1]
            memories.append(memory.extended(vectors, Y[:, first:last], numbers))
            first = last
        return replace(self, memories=tuple(memories))

    def with_labels(self, X, Y):
        """Take in new labels, and the documents that have them; the others keep their scores."""
        added = self.memories[-1].for_labels(self.vectorizer.transform(X), Y, self._first_new)
        return replace(self, memories=(*self.memories, added))

    @property
    def _first_new(self):
        """Number of the next document that comes."""
        return 1 + max(memory.numbers.max() for memory in self.memories)

    @property
    def n_samples(self):
        """Documents in all: the last labels were looked for in each."""
        return self.memories[-1].n_samples
