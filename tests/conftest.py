"""What the tests share: one torch thread, the real data, and a small made-up corpus."""

import os
from pathlib import Path

import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils import Bunch

from skmltc.datasets import make_long_tailed_corpus

# The arrays of the tests are small: threads cost more than they bring.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data():
    """Folder of the real data sets: SKMLTC_DATA, or ../shared/data beside the project."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SKMLTC_DATA", default))
    if not folder.is_dir():
        pytest.skip("real data: give its folder as SKMLTC_DATA")
    return folder


@pytest.fixture(scope="session")
def documents():
    """Tf-idf features X and label indicators Y of 300 documents; not to be changed."""
    corpus = make_long_tailed_corpus(300, 12, n_words=30, random_state=0)
    X = TfidfVectorizer(max_features=500).fit_transform(corpus.data)
    return Bunch(X=X, Y=corpus.target, texts=corpus.data)
