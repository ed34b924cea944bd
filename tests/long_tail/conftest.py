"""Documents that the tests of a stack share."""

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from skmltc.datasets import make_long_tailed_corpus


@pytest.fixture(scope="module")
def parts():
    """Documents to learn from, and others."""
    corpus = make_long_tailed_corpus(500, 12, n_words=40, random_state=1)
    X = TfidfVectorizer().fit_transform(corpus.data)
    Y = corpus.target.toarray()
    return X[:300], Y[:300], X[300:], Y[300:]
