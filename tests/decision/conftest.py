"""A small corpus for classifiers around scikit-learn's."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from skmltc.datasets import make_long_tailed_corpus


@pytest.fixture(scope="session")
def corpus():
    """Texts and indicators of 150 documents and 8 labels; not to be changed."""
    return make_long_tailed_corpus(n_samples=150, n_labels=8, n_words=30, random_state=1)


@pytest.fixture(scope="session")
def X(corpus):
    return TfidfVectorizer(max_features=300).fit_transform(corpus.data)


@pytest.fixture
def y(corpus):
    """Dense indicators."""
    return corpus.target.toarray().astype(int)


@pytest.fixture
def y_absent(y):
    """Dense indicators with one more column, for a label without documents."""
    return np.hstack([y, np.zeros((len(y), 1), dtype=int)])
