"""Scope sets of TReaderXML: the labels of similar documents, with their parents.

Wang et al. (arXiv 2205.11973), sections 3.1 and 3.2: retrieval by cosine, and Algorithm 1.
"""

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin

from .._ranking import top_of_sparse
from .._targets import count_labels
from .._token_counts import TokenCounts
from .._votes import keep_first_positive, neighbor_cosines, vote_evidence, vote_shares


class MeanEmbedding(TransformerMixin, BaseEstimator):
    """Mean of the word vectors of a document (equation 1).

    Parameters
    ----------
    table : array of float32 of shape (n_ids, dim)
    """

    def __init__(self, table):
        self.table = table

    def fit(self, X, y=None):
        """Nothing to learn."""
        return self

    def transform(self, X):
        """Means (n_samples, dim), up to their length: cosines do not see it."""
        return TokenCounts(len(self.table)).transform(X) @ self.table[1:]


class ScopeRetriever:
    """Finds the scope set of a document: the labels of its nearest training documents.

    Parameters
    ----------
    vectorizer : fitted transformer
        From documents to the vectors whose cosines are compared.
    neighbors : fitted estimator with `kneighbors`
        Its distances are 1 - cosine.
    n_neighbors : int
        With 0 nothing is looked up, and all scope sets are empty.
    label_sets : csr_array of shape (n_samples, n_rows)
        Labels of the training documents, with parents.
    """

    def __init__(self, vectorizer, neighbors, n_neighbors, label_sets):
        self.vectorizer, self.neighbors = vectorizer, neighbors
        self.n_neighbors, self.label_sets = n_neighbors, label_sets
        self.priors = count_labels(label_sets) / label_sets.shape[0]

    @classmethod
    def fit(cls, vectorizer, neighbors, n_neighbors, documents, parents):
        """Take in documents, and look up the neighbours of each among the others.

        Parameters
        ----------
        vectorizer, neighbors, n_neighbors
            As of the class, unfitted.
        documents : Documents
        parents : csr_array of shape (n_rows, n_rows)
            With an entry at (label, parent); rows from n_labels on are parents alone.

        Returns
        -------
        retriever : ScopeRetriever
        training_scopes : csr_array of float32 of shape (n_samples, n_rows)
            Scope sets of the documents themselves.
        """
        vectors = vectorizer.fit_transform(documents.X)
        label_sets = with_parents(documents.Y, parents)
        retriever = cls(vectorizer, neighbors.fit(vectors), n_neighbors, label_sets)
        cosines, indices = retriever._neighbors_of(vectors, n_neighbors + 1)
        cosines[indices == np.arange(len(indices))[:, None]] = 0  # a document itself
        return retriever, retriever._scopes(keep_first_positive(cosines, n_neighbors), indices)

    def scopes(self, X):
        """Scope sets of other documents, with the evidence for each label.

        Returns
        -------
        csr_array of float32 of shape (n_samples, n_rows)
            log(1 + v / (4 p)), where p is the share of all documents that have the label and v
            that of the neighbours, each weighted by its cosine: what v, smoothed by four times
            p, adds to the logarithm of p.
        """
        vectors = self.vectorizer.transform(X)
        return self._scopes(*self._neighbors_of(vectors, self.n_neighbors))

    def _neighbors_of(self, vectors, n_neighbors):
        """Cosines of the nearest documents, and their row numbers."""
        if not self.n_neighbors:
            return np.zeros((vectors.shape[0], 0), np.float32), np.zeros((vectors.shape[0], 0), int)
        return neighbor_cosines(self.neighbors, vectors, min(n_neighbors, self.label_sets.shape[0]))

    def _scopes(self, cosines, indices):
        return vote_evidence(vote_shares(cosines, indices, self.label_sets), self.priors)


def with_parents(Y, parents):
    """Label sets with the direct parents of the labels, each once.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels)
    parents : csr_array of shape (n_rows, n_rows)

    Returns
    -------
    csr_array of float32 of shape (n_samples, n_rows), of ones
    """
    n_rows = parents.shape[0]
    sets = sparse.csr_array((Y.data, Y.indices, Y.indptr), shape=(Y.shape[0], n_rows))
    sets = sparse.csr_array(sets + sets @ parents, dtype=np.float32)
    sets.data[:] = 1
    return sets


def heaviest(weights, length):
    """Numbers, from 1 up, of the columns of the greatest weights of each row, greatest first.

    Parameters
    ----------
    weights : csr_array of shape (n_rows, n_columns)
    length : int

    Returns
    -------
    array of int of shape (n_rows, length)
        0 where a row has fewer entries.
    """
    return top_of_sparse(weights, length) + 1


def first_words(token_ids, length):
    """The first words of each text, (n_rows, length); 0 where it has fewer."""
    missing = max(0, length - token_ids.shape[1])
    return np.pad(token_ids[:, :length], ((0, 0), (0, missing))).astype(np.int64)
