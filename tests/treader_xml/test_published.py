"""The rows of Wang et al.: training step by step, parents, and the rate on a plateau."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from skmltc import TReaderXMLClassifier
from skmltc._networks import as_tensor
from skmltc.datasets import make_long_tailed_corpus
from skmltc.encoders import WordEmbedding
from skmltc.text import TokenSequenceVectorizer
from skmltc.treader_xml._network import ReadingEncoder, ReadingNetwork, TokenReader

ROWS = list(TReaderXMLClassifier._published.rows)
SMALL = {"encoder__embedding_dim": 8, "n_heads": 2, "bottleneck_dim": 6}
PARENTS = np.array([-1, 0, 0, 6, 6, 7, -1, -1])  # of six labels and two rows behind them


@pytest.fixture(scope="module")
def texts():
    """Token ids and labels of 160 documents and of a validation part, and words of the labels."""
    corpus = make_long_tailed_corpus(n_samples=220, n_labels=6, random_state=0)
    vectorizer = TokenSequenceVectorizer(max_length=15)
    X, Y = vectorizer.fit_transform(corpus.data), corpus.target.toarray()
    words = np.random.RandomState(0).randint(2, X.max() + 1, (8, 5))
    words[[2, 5], 3:] = 0
    return X[:160], Y[:160], X[160:], Y[160:], words


def naive_scopes(X, Y, table, n_neighbors):
    """Labels, and their parents, of the nearest other documents by the mean of their words."""
    means = [table[[word for word in row if word > 1]].mean(axis=0) for row in X]
    scopes = np.zeros((len(X), len(PARENTS)))
    for i, own in enumerate(means):
        cosines = [own @ m / np.linalg.norm(own) / np.linalg.norm(m) for m in means]
        order = [j for j in np.argsort(-np.array(cosines), kind="stable") if j != i]
        for j in order[:n_neighbors]:
            for label in np.flatnonzero(Y[j]):
                scopes[i, label] = 1
                if PARENTS[label] >= 0:
                    scopes[i, PARENTS[label]] = 1
    return sparse.csr_array(scopes)


def naive_network(model, X, n_labels, words):
    """The package's modules, drawn in its order."""
    encoder = WordEmbedding(8, embeddings="random", embedding_dropout=0.0).build(X.max() + 1, X)
    table = encoder.embedding.weight.detach().numpy().astype(float)
    described = words[:, :4] if model.teacher else None
    settings = {"n_heads": 2, "reading": model.reading, "pooling": "mean", "output_dim": 6}
    network = ReadingNetwork(
        ReadingEncoder(TokenReader(encoder), described, **settings), n_labels, votes=False
    )
    nn.init.zeros_(network.head.bias).requires_grad_(False)
    return network, table


@pytest.mark.parametrize("row", ROWS)
def test_twenty_steps_equal_a_loop(row, texts):
    X, Y, X_val, Y_val, words = texts
    model = TReaderXMLClassifier.as_published(
        row, **SMALL, label_parents=PARENTS, max_epochs=5, training__keep="last", random_state=3
    )
    described = {"label_tokens": words} if model.teacher else {}
    parents = {} if model.teacher else {"label_parents": None}
    model.set_params(**parents).fit(X, Y, X_val, Y_val, **described)

    torch.manual_seed(3)
    network, table = naive_network(model, X, Y.shape[1], words)
    starts = [parameter.detach().clone() for parameter in network.parameters()]
    scopes = naive_scopes(X, Y, table, n_neighbors=5)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-4)
    for _ in range(5):
        for batch in torch.randperm(160).split(40):
            optimizer.zero_grad()
            logits = network((torch.from_numpy(X[batch]), as_tensor(scopes[batch.numpy()])))
            targets = torch.from_numpy(Y[batch]).float()
            binary_cross_entropy_with_logits(logits, targets).backward()
            optimizer.step()
    assert len(model.history_) == 5
    pairs = zip(model.module_.parameters(), network.parameters(), starts, strict=True)
    for mine, naive, start in pairs:
        assert_allclose(mine.detach(), naive.detach(), atol=1e-5)
        assert (naive - start).abs().max() > 1e-3 or not naive.requires_grad
    assert not model.module_.head.bias.any()


def test_the_rate_falls_twice_before_training_stops(texts):
    """At a rate at which training soon ends, on the validation part that is given."""
    X, Y, X_val, Y_val, words = texts
    model = TReaderXMLClassifier.as_published("6", **SMALL, training__lr=0.05, random_state=0)
    model.fit(X, Y, X_val, Y_val, label_tokens=words[:6])
    falls = dict(model.net_.callbacks_)["schedule"].falls_
    losses = [row["valid_loss"] for row in model.history_]
    assert len(falls) == 2 and len(losses) == falls[-1] + 5 < 100
    assert falls[0] > 5


def test_a_scope_has_the_parents_of_labels(texts):
    X, Y, X_val, Y_val, words = texts
    model = TReaderXMLClassifier.as_published("1", **SMALL, label_parents=PARENTS, max_epochs=1)
    model.fit(X, Y, X_val, Y_val, label_tokens=words)
    sets = model.scorer_.retriever.label_sets.toarray()
    for label, parent in enumerate(PARENTS):
        if parent >= 0:
            assert (sets[:, parent] >= sets[:, label]).all()
    assert sets[:, 6:].any(axis=0).all()
    assert model.predict(X_val).shape == Y_val.shape
