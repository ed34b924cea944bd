"""Documents that tests of splits and of out-of-fold scores share."""

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from skmltc.datasets import make_long_tailed_corpus


@pytest.fixture(scope="module")
def corpus():
    return make_long_tailed_corpus(n_samples=400, n_labels=40, n_words=30, random_state=3)


@pytest.fixture(scope="module")
def features(corpus):
    return TfidfVectorizer(max_features=300).fit_transform(corpus.data)
