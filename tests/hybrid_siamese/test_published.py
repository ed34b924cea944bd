"""The rows of HSCNN's Table 3: what they are, and that both networks are trained by plain Adam."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from skmltc import HybridSiameseClassifier
from skmltc.datasets import make_long_tailed_corpus
from skmltc.encoders import build_network
from skmltc.hybrid_siamese._similarity import SiameseNetwork
from skmltc.hybrid_siamese._triplets import draw_independent_triplets
from skmltc.losses import FocalLoss, WeightedBinaryCrossEntropyLoss
from skmltc.model_selection import multilabel_train_test_split
from skmltc.text import TokenSequenceVectorizer

N_LABELS, N_PER_STEP, N_EPOCHS = 8, 12, 2  # ten steps per epoch
SMALL = {
    "encoder__embedding_dim": 6,
    "encoder__n_filters": 4,
    "encoder__hidden_dim": 8,
    "batch_size": N_PER_STEP,
    "max_epochs": N_EPOCHS,
    "siamese_epochs": N_EPOCHS,
    "n_triplets": 120,
    "random_state": 0,
}
PAPER_LOSSES = ["bce", WeightedBinaryCrossEntropyLoss(clip=False), FocalLoss(gamma=1)]


@pytest.fixture(scope="module")
def corpus():
    """Token ids, dense label indicators, and the rows that are left to train on."""
    corpus = make_long_tailed_corpus(n_samples=160, n_labels=N_LABELS, random_state=0)
    X = TokenSequenceVectorizer(max_length=20).fit_transform(corpus.data)
    fit, *_ = multilabel_train_test_split(
        np.arange(160), corpus.target, test_size=0.25, random_state=0
    )
    assert len(fit) == 120
    return X, corpus.target.astype(np.float32), fit


def train_by_adam(network, n_samples, loss_of):
    """Twenty steps of torch's Adam over batches in random order."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network.train()
    for _ in range(N_EPOCHS):
        for rows in torch.randperm(n_samples).split(N_PER_STEP):
            optimizer.zero_grad()
            loss_of(rows.numpy()).backward()
            optimizer.step()
    return network.eval()


def same_weights(network, expected):
    found, expected = network.state_dict(), expected.state_dict()
    assert found.keys() == expected.keys()
    for name, weights in expected.items():
        assert_allclose(found[name], weights, atol=1e-5, rtol=0, err_msg=name)


def cells_of(loss, logits, truth, counts, n_samples):
    """Either document's loss of each label, by the formulas of Table 1."""
    cells = binary_cross_entropy_with_logits(logits, truth, reduction="none")
    if isinstance(loss, FocalLoss):
        p = logits.sigmoid()
        return cells * torch.where(truth > 0, 1 - p, p)
    if isinstance(loss, WeightedBinaryCrossEntropyLoss):
        return cells * torch.from_numpy(np.log((n_samples - counts) / counts)).float()
    return cells


def single_by_adam(model, X, Y, loss):
    torch.manual_seed(0)
    network = build_network(clone(model.encoder), model.inputs_.n_inputs, N_LABELS, X)
    tokens, truth = torch.from_numpy(X), torch.from_numpy(Y.toarray())

    def loss_of(rows):
        logits = network(tokens[rows])
        return cells_of(loss, logits, truth[rows], Y.sum(axis=0), len(X)).mean()

    return train_by_adam(network, len(X), loss_of)


def siamese_by_adam(model, single, X, Y, loss):
    torch.manual_seed(0)
    network = SiameseNetwork(single, N_LABELS, True, "sigmoid")
    t = draw_independent_triplets(Y, 120, sampling="triplet", random_state=np.random.RandomState(0))
    tokens, truth = torch.from_numpy(X), torch.from_numpy(Y.toarray())
    gates, out = network.similarity, network.similarity.output

    def loss_of(rows):
        i, j = (t.documents[places[rows]] for places in (t.first, t.second))
        c_i, c = (torch.from_numpy(t.labels[places[rows]]) for places in (t.first, t.second))
        y = truth[[*i, *j]]
        if model.multi_task == "category":
            y = one_hot(torch.cat([c_i, c]), N_LABELS).float()
        q = network[0](tokens[[*i, *j]])
        of_labels = cells_of(loss, network[1](q), y, Y.sum(axis=0), len(X)).mean(dim=1)
        x_i, x_j = q.sigmoid().split(len(rows))
        h = torch.relu((gates.gate[c] + gates.gate_bias) / math.sqrt(N_LABELS))
        s = ((x_i - x_j).abs() * h) @ out.weight[0] + out.bias
        similar = torch.from_numpy(t.same[rows]).float()
        return binary_cross_entropy_with_logits(s, similar) + 2 * of_labels.mean()

    return train_by_adam(network, 120, loss_of)


@pytest.mark.filterwarnings("ignore:weighted_bce gives a weight below 0")  # as printed
@pytest.mark.parametrize("as_released", [True, False])
@pytest.mark.parametrize("loss", PAPER_LOSSES, ids=["bce", "weighted_bce", "focal"])
def test_twenty_steps_of_either_network_are_those_of_plain_adam(loss, as_released, corpus):
    X, Y, fit = corpus
    last = {"patience": None, "training__keep": "last", "loss": loss}
    model = HybridSiameseClassifier.as_published(
        "Our", as_released=as_released, **SMALL, **last
    ).fit(X, Y)
    assert len(model.siamese_labels_) and model.encoder.dropout == 0.5
    single = single_by_adam(model, X[fit], Y[fit], loss)
    same_weights(model.module_, single)
    siamese = siamese_by_adam(model, single, X[fit], Y[fit], loss)
    same_weights(model.scorer_.similar.network, siamese)
    moved = siamese[0].projection.weight - single[0].projection.weight
    assert moved.abs().max() > 1e-3


def test_a_row_is_compared_with_means_of_five_of_all_documents_and_cut_at_a_half(corpus):
    X, Y, _ = corpus
    rare = np.arange(len(X))[:, None] % 40 == np.array([1, 2])  # on four documents each
    Y = sparse.hstack([Y, sparse.csr_array(rare.astype(np.float32))], format="csr")
    model = HybridSiameseClassifier.as_published("Our", **SMALL).fit(X, Y)
    network, supports = model.scorer_.similar.network, model.scorer_.similar.supports
    vectors = torch.from_numpy(network.represent(X, "cpu"))
    for k, label in enumerate([N_LABELS, N_LABELS + 1]):
        mean = vectors[rare[:, k]].mean(dim=0)
        assert_allclose(supports[label, 0], mean, atol=1e-6)
    for label in model.siamese_labels_:
        one = torch.from_numpy(supports[[label], 0]).expand(len(vectors), -1)
        similar = network.similarity(vectors, one, torch.full((len(vectors),), label)).sigmoid()
        expected = (similar > 0.5).numpy()
        assert (model.predict(X).toarray()[:, label] == expected).all()


def test_what_the_rows_leave_out():
    rows = {
        row: HybridSiameseClassifier.as_published(row)
        for row in HybridSiameseClassifier._published.rows
    }
    shown = {
        row: (m.n_phi, m.category_similarity, m.sampling, m.multi_task) for row, m in rows.items()
    }
    assert shown == {
        "Sing.": (0, True, "triplet", "labels"),
        "Naive": (100, False, "pair", None),
        "/CSS": (100, False, "pair", "category"),
        "/MT": (100, True, "triplet", None),
        "Our": (100, True, "triplet", "category"),
    }
    assert {(m.n_triplets, m.siamese_epochs, m.n_support) for m in list(rows.values())[1:]} == {
        (150_000, 100, 5)
    }


def test_the_printed_page_has_all_labels_and_a_relu():
    released, printed = (
        HybridSiameseClassifier.as_published("Our", as_released=how) for how in (True, False)
    )
    assert (released.multi_task, printed.multi_task) == ("category", "labels")
    activations = released.encoder.hidden_activation, printed.encoder.hidden_activation
    assert activations == ("identity", "relu")
    assert HybridSiameseClassifier.as_published("/MT", as_released=False).multi_task is None
