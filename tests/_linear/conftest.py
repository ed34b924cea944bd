"""Small problems for linear models."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse

from skmltc._linear import problems, shortlists
from skmltc._targets import count_labels
from skmltc.decision import Documents
from skmltc.losses import (
    BinaryCrossEntropyLoss,
    ClassBalancedNegativeTolerantLoss,
    DistributionBalancedLoss,
)

SPECS = [
    BinaryCrossEntropyLoss(),
    DistributionBalancedLoss(),
    ClassBalancedNegativeTolerantLoss(kappa=0.1, neg_scale=4),
]


@pytest.fixture(scope="package")
def problem():
    """A hundred documents, 30 features of unit rows, 7 labels on 1 to 55 documents."""
    rng = np.random.RandomState(0)
    X = rng.rand(100, 30) * (rng.rand(100, 30) < 0.3)
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    scores = X @ rng.randn(30, 7) + 0.1 * rng.randn(100, 7)
    counts = [55, 20, 10, 5, 3, 2, 1]
    cut_offs = [np.sort(column)[-n] for column, n in zip(scores.T, counts, strict=True)]
    Y = (scores >= cut_offs).astype(np.float32)
    assert (Y.sum(axis=0) == counts).all() and (Y.sum(axis=1) > 2).any()
    return sparse.csr_array(X.astype(np.float32)), sparse.csr_array(Y)


def corpus(n_samples=1500, n_features=300, n_labels=24):
    """Unit rows of a few words each, and labels of 1 to some dozens of them; label 5 has none."""
    rng = np.random.RandomState(0)
    topics = rng.dirichlet(np.full(n_features, 0.02), size=n_labels + 10)
    counts = np.maximum(1, (120 / (1 + np.arange(n_labels)) ** 0.9).astype(int))
    counts[5] = 0
    X, Y = np.zeros((n_samples, n_features)), np.zeros((n_samples, n_labels))
    for label, n in enumerate(counts):
        Y[rng.choice(n_samples, n, replace=False), label] = 1
    for row in range(n_samples):
        mixed = topics[np.append(np.flatnonzero(Y[row]), rng.randint(n_labels, n_labels + 10))]
        X[row] = rng.multinomial(25, mixed.mean(axis=0))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return sparse.csr_array(X, dtype=np.float32), sparse.csr_array(Y, dtype=np.float32)


@pytest.fixture(scope="package")
def make_corpus():
    return corpus


@pytest.fixture(scope="package")
def documents():
    return Documents(*corpus())


def with_changed_columns(documents, kind):
    """The documents with columns that no solver takes as they are."""
    X, n = documents.X.copy(), len(documents)
    if kind == "long":  # counts of words, some of them frequent
        scale = np.where(np.arange(X.shape[1]) % 3, 1, 40)
        X = sparse.csr_array(X.multiply(scale[None]), dtype=np.float32)
    if kind == "even":  # a word that nearly every text has
        rng = np.random.RandomState(0)
        even = (rng.rand(n) < 0.99) * (0.3 + 0.02 * rng.rand(n))
        X = sparse.csr_array(sparse.hstack([X[:, :7], even[:, None], X[:, 7:]]), dtype=np.float32)
    return Documents(X, documents.Y)


@pytest.fixture(scope="package", params=["long", "even"])
def changed(documents, request):
    """Long columns, or an even one."""
    return with_changed_columns(documents, request.param)


@pytest.fixture
def few(monkeypatch):
    """Take shortlists for few labels too, and short ones."""
    monkeypatch.setattr(problems, "_MOST_DENSE", 0)
    monkeypatch.setattr(shortlists, "_NEAR", 40)
    monkeypatch.setattr(shortlists, "_VIOLATORS", 120)


def documents_of(n_samples, n_features, n_labels, form=sparse.csr_array):
    """Features and labels that follow them, of all frequencies; labels 5, 45, ... have none."""
    rng = np.random.RandomState(0)
    X = (rng.rand(n_samples, n_features) < 0.5) * rng.rand(n_samples, n_features)
    scores = X @ rng.randn(n_features, n_labels) + 0.3 * rng.randn(n_samples, n_labels)
    counts = 1 + np.arange(n_labels) % (n_samples // 2)
    counts[5::40] = 0
    Y = (-scores).argsort(axis=0).argsort(axis=0) < counts
    X, Y = (sparse.csr_array(matrix, dtype=np.float32) for matrix in (X, Y))
    assert_array_equal(count_labels(Y), counts)
    return Documents(form(X), Y)


@pytest.fixture(scope="package")
def make_documents():
    return documents_of


def same_pairs(one, other):
    for field in ("labels", "scores", "is_true", "n_positives"):
        assert_array_equal(getattr(one, field), getattr(other, field))


@pytest.fixture(scope="package")
def assert_same_pairs():
    return same_pairs


@pytest.fixture
def three_threads():
    """Give torch three threads for the time of a test."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package", params=SPECS, ids=repr)
def spec(request):
    """Three losses, one after the other."""
    return request.param
