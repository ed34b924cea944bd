"""Documents with a long tail of labels."""

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from skmltc.datasets import make_long_tailed_corpus

N_FIT = 450


@pytest.fixture(scope="package")
def split():
    """Features and labels of 450 documents to fit on and of 450 others, enough to decide by."""
    corpus = make_long_tailed_corpus(900, 20, n_words=30, exponent=1.0, random_state=0)
    X = TfidfVectorizer(max_features=1000).fit_transform(corpus.data)
    assert corpus.target[:N_FIT].sum(axis=0).max() < N_FIT / 2  # else weighted_bce warns
    assert corpus.target[N_FIT:].nnz >= 500
    return X[:N_FIT], corpus.target[:N_FIT], X[N_FIT:], corpus.target[N_FIT:]
