"""Networks that begin as linear models of their labels."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score

from skmltc import (
    BalancedLossClassifier,
    HeadToTailClassifier,
    HybridSiameseClassifier,
    TReaderXMLClassifier,
)
from skmltc._linear import Solver, solve_linear
from skmltc._networks import as_tensor
from skmltc._networks.starting import start_as_linear_models
from skmltc._networks.training import Trainer
from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import Documents
from skmltc.encoders import BagEncoder, TextCNN, Training, build_network, start_head
from skmltc.encoders._features import FeatureLinear
from skmltc.losses import BinaryCrossEntropyLoss

LOSS = BinaryCrossEntropyLoss()


@pytest.fixture(scope="module")
def corpus():
    return make_long_tailed_corpus(300, 7, n_words=30, random_state=0)


@pytest.fixture(scope="module")
def documents(corpus):
    X = sparse.csr_array(TfidfVectorizer(dtype=np.float32).fit_transform(corpus.data))
    return Documents(X, sparse.csr_array(corpus.target, dtype=np.float32))


def begun(documents, width, has_bias=True):
    torch.manual_seed(0)
    network = build_network(BagEncoder((width,)), documents.X.shape[1], documents.Y.shape[1])
    start_head(network[-1], LOSS.build(documents.Y), documents.Y, has_bias=has_bias)
    start_as_linear_models(*network, LOSS, documents, "cpu")
    return network.eval()


@torch.no_grad()
def logits(network, X):
    return network(as_tensor(X)).numpy()


def of_models(documents, X):
    solver = Solver(LOSS, weight_decay=0.03, tol=1e-3)
    return solve_linear(documents.X, documents.Y, solver)[0].scores(X)


@pytest.mark.parametrize("width", [7, 20])
@pytest.mark.parametrize("make", [lambda X: X, lambda X: X.toarray()], ids=["sparse", "dense"])
def test_a_wide_network_has_the_scores_of_the_models(documents, width, make):
    documents = Documents(make(documents.X), documents.Y)
    network = begun(documents, width)
    expected = of_models(documents, documents.X)
    assert_allclose(logits(network, documents.X), expected, atol=1e-3)
    vectors = logits(network[:-1], documents.X)
    assert_allclose(np.mean(np.sum(vectors**2, axis=1)), 1, rtol=1e-4)
    assert not vectors[:, 7:].any()


def test_a_narrow_network_has_the_best_weights_of_its_rank(documents):
    network = begun(documents, 3)
    W = network[0][0].weight.detach().numpy() @ network[1].weight.detach().numpy().T
    solver = Solver(LOSS, weight_decay=0.03, tol=1e-3)
    whole = solve_linear(documents.X, documents.Y, solver)[0].weights
    norms = np.linalg.norm(whole, axis=0)
    left_out = np.linalg.svd(whole / norms, compute_uv=False)[3:]
    assert_allclose(np.linalg.norm((W - whole) / norms), np.linalg.norm(left_out), rtol=1e-3)


def test_a_label_without_documents_keeps_its_start(documents):
    Y = documents.Y.tolil()
    Y[:, 2] = 0
    emptied = Documents(documents.X, sparse.csr_array(Y))
    head = begun(emptied, 10)[-1]
    assert not head.weight[2].any()
    prior = LOSS.build(emptied.Y).prior_logits(emptied.Y)
    assert head.bias[2] == prior[2] and (head.bias != prior).sum() == 6


def test_a_head_without_biases_stays_so(documents):
    head = begun(documents, 10, has_bias=False)[-1]
    assert not head.bias.any() and head.weight.any()


def test_documents_without_words_are_no_fault(documents):
    nothing = Documents(sparse.csr_array(documents.X.shape, dtype=np.float32), documents.Y)
    network = begun(nothing, 10)
    assert np.isfinite(logits(network, nothing.X)).all()


@pytest.mark.parametrize(
    "encoder, training, begins",
    [
        (BagEncoder((4,)), Training(), True),
        (BagEncoder((4,)), Training(head_start="torch"), False),
        (BagEncoder((4,), start="random"), Training(), False),
        (BagEncoder((4,), "relu"), Training(), False),
        (BagEncoder((4, 4)), Training(), False),
        (BagEncoder(), Training(), False),
        (TextCNN(), Training(), False),
    ],
    ids=str,
)
def test_what_begins_so(encoder, training, begins):
    trainer = Trainer.of(BalancedLossClassifier(), training, "cpu")
    assert trainer.starts_linear(encoder) is begins


def test_a_layer_narrower_than_the_labels_begins_at_random(documents):
    encoder = BagEncoder((7,))
    assert encoder.for_labels(7) is encoder
    narrow = encoder.for_labels(8)
    assert (
        narrow.start == "random" and encoder.start == "auto" and narrow.training.lr_factors is None
    )
    model = BalancedLossClassifier(encoder=BagEncoder((4,)), max_epochs=1, random_state=0)
    assert model.fit(documents.X, documents.Y).inputs_.encoder.start == "random"


STILL = {"training": Training(lr=1e-12, max_epochs=1, weight_decay=0), "threshold": 0.5}
STILL |= {"calibrate": False, "random_state": 0}


def test_classifiers_begin_so_and_go_on_from_there(documents):
    X, Y = documents.X, documents.Y
    expected = of_models(documents, X)
    model = BalancedLossClassifier(encoder=BagEncoder((10,)), loss="bce", **STILL).fit(X, Y)
    assert_allclose(model.decision_function(X), expected, atol=1e-3)
    model = HybridSiameseClassifier(encoder=BagEncoder((10,)), n_phi=0, **STILL).fit(X, Y)
    assert_allclose(model.decision_function(X), expected, atol=1e-3)
    model = TReaderXMLClassifier(encoder=BagEncoder((10,)), loss="bce", **STILL).fit(X, Y)
    network = model.net_.module_
    (layer,) = [one for one in network.modules() if isinstance(one, FeatureLinear)]
    weights = layer.weight @ network.body.bottleneck.weight.T @ network.head.weight.T
    read = X @ weights.detach().numpy()
    assert_allclose(read + network.head.bias.detach().numpy(), expected, atol=1e-3)


def test_vectors_of_norm_1_begin_at_random(documents):
    model = HeadToTailClassifier(encoder=BagEncoder((10,)), random_state=0, max_epochs=1)
    inner = model._encoder(model.encoder)
    assert inner.encoder.start == "random" and inner.training.lr_factors is None


def test_rare_labels_are_found_where_a_random_start_does_not_find_them():
    corpus = make_long_tailed_corpus(600, 40, n_words=25, random_state=3)
    X = TfidfVectorizer(dtype=np.float32).fit_transform(corpus.data)
    Y = corpus.target.toarray()
    Y = Y[:, Y[:300].any(axis=0)]
    scores = []
    for start in ("auto", "random"):
        model = HybridSiameseClassifier(encoder=BagEncoder((64,), start=start), random_state=0)
        scores.append(
            f1_score(
                Y[300:],
                model.fit(X[:300], Y[:300]).predict(X[300:]),
                average="macro",
                zero_division=0,
            )
        )
    assert scores[0] > scores[1] + 0.01


def test_documents_that_are_told_apart_at_once_are_no_divergence():
    """The loss may rise from next to nothing while dropout trains."""
    rng = np.random.RandomState(0)
    X, Y = 3 * rng.randn(30, 60), rng.rand(30, 3) < 0.4
    model = BalancedLossClassifier(encoder=BagEncoder((8,)), lr=0.02, max_epochs=20, random_state=0)
    model.fit(X, Y)
    assert np.isfinite(model.decision_function(X)).all()
