"""Token ids as counts of words, and as their tf-idf weights."""

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import make_pipeline


class TokenCounts(TransformerMixin, BaseEstimator):
    """How often each token id stands in a document; padding and the unknown word do not count.

    Parameters
    ----------
    n_ids : int
        Ids are below this number.

    Notes
    -----
    As of features, the first column is word 1.
    """

    def __init__(self, n_ids):
        self.n_ids = n_ids

    def fit(self, X, y=None):
        """Nothing to learn."""
        return self

    def transform(self, X):
        """Counts, a csr_array (n_samples, n_ids - 1) of float32."""
        rows, places = np.nonzero(X > 1)
        ones = np.ones(len(rows), dtype=np.float32)
        return sparse.csr_array((ones, (rows, X[rows, places] - 1)), shape=(len(X), self.n_ids - 1))


def token_tfidf(n_ids):
    """From token ids to tf-idf weights."""
    return make_pipeline(TokenCounts(n_ids), TfidfTransformer(sublinear_tf=True))
