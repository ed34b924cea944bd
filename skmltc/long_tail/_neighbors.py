"""Stand-in until MultilabelKNeighborsClassifier is there."""

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin

from .._cosine import CosineNeighbors
from .._targets import Target


class MultilabelKNeighborsClassifier(ClassifierMixin, BaseEstimator):
    """Stand-in."""

    def __init__(self, n_neighbors=50):
        self.n_neighbors = n_neighbors

    def fit(self, X, y):
        """Fit."""
        self.target_ = Target.learn(y)
        self.Y_ = self.target_.indicators(y)
        self.neighbors_ = CosineNeighbors(self.n_neighbors).fit(X)
        self.n_features_in_ = self.neighbors_.n_features_in_
        return self

    def predict_proba(self, X):
        """Shares."""
        return self.votes(X, (self.n_neighbors,))[0][self.n_neighbors].toarray()

    def votes(self, X, sizes):
        """Shares by size, and best cosines."""
        k = min(self.n_neighbors, self.Y_.shape[0])
        distances, indices = self.neighbors_.kneighbors(X, k)
        cosines = np.maximum(1 - distances, 0).astype(np.float32)
        shares = {}
        for size in sizes:
            w = cosines[:, :size]
            w = w / np.maximum(w.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
            shares[size] = self._sum(w, indices[:, :size])
        best = self._max(cosines, indices)
        return shares, best

    def _matrix(self, w, indices):
        ends = np.arange(0, w.size + 1, w.shape[1])
        return sparse.csr_array(
            (w.ravel(), indices.ravel(), ends), shape=(len(w), self.Y_.shape[0])
        )

    def _sum(self, w, indices):
        found = sparse.csr_array(self._matrix(w, indices) @ self.Y_)
        found.eliminate_zeros()
        found.sort_indices()
        return found

    def _max(self, w, indices):
        Y = self.Y_
        counts = np.diff(Y.indptr)[indices.ravel()]
        rows = np.repeat(np.repeat(np.arange(len(w)), w.shape[1]), counts)
        starts = np.repeat(Y.indptr[indices.ravel()], counts)
        within = np.arange(len(starts)) - np.repeat(np.cumsum(counts) - counts, counts)
        labels = Y.indices[starts + within]
        values = np.repeat(w.ravel(), counts)
        keys = rows.astype(np.int64) * Y.shape[1] + labels
        order = np.lexsort((-values, keys))
        keys, values = keys[order], values[order]
        first = np.append(True, keys[1:] != keys[:-1]) if len(keys) else np.zeros(0, bool)
        keys, values = keys[first], values[first]
        return sparse.csr_array(
            (values, (keys // Y.shape[1], keys % Y.shape[1])), shape=(len(w), Y.shape[1])
        )
