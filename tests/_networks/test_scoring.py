"""Scores of trained networks, and the scorer of a network with a head."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from torch import nn

from skmltc._networks.batches import as_tensor
from skmltc._networks.scoring import HeadScorer, _text_blocks, copy_of, network_scores, on_device
from skmltc.decision import Documents, HeldOut, ScoredPairs
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN, build_network

# -------------------------------------------------------------------------- scores of networks


@pytest.mark.parametrize("form", ["csr", "dense"])
@pytest.mark.parametrize("hidden_dims", [(5,), ()])
def test_scores_do_not_depend_on_the_batch(form, hidden_dims, make_network):
    rng = np.random.RandomState(0)
    X = (rng.rand(700, 12) * (rng.rand(700, 12) < 0.4)).astype(np.float32)
    X = sparse.csr_array(X) if form == "csr" else X
    network = make_network(dropout=0.5, hidden_dims=hidden_dims).eval()
    scores = network_scores(network, X)
    assert scores.shape == (700, 3) and scores.dtype == np.float32
    for rows in (slice(3, 4), slice(100, 417), slice(255, 258), slice(256, 512)):
        assert_array_equal(network_scores(network, X[rows]), scores[rows])
    assert_allclose(network(as_tensor(X)).detach(), scores, atol=1e-6)


ENCODERS = [
    TextCNN(filter_sizes=(2, 3), n_filters=8, embedding_dim=8, hidden_dim=8),
    BiLSTMAttention(hidden_dim=8, output_dim=8, embedding_dim=8),
    TextCNN(),
    BiLSTMAttention(),
]


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_scores_of_texts_do_not_depend_on_batch_or_padding(encoder, make_network, make_texts):
    network = make_network(encoder).eval()
    X = np.concatenate([make_texts(80), np.pad(make_texts(3, 5, seed=1), ((0, 0), (0, 55)))])
    scores = network_scores(network, X)
    assert scores.shape == (83, 3) and scores.dtype == np.float32
    order = np.random.RandomState(0).permutation(83)
    assert_array_equal(network_scores(network, X[order]), scores[order])
    for rows in (slice(3, 4), slice(0, 41), slice(80, 83)):
        assert_array_equal(network_scores(network, X[rows]), scores[rows])
        wide = np.pad(X[rows], ((0, 0), (0, 70)))
        assert_array_equal(network_scores(network, wide), scores[rows])
    assert_array_equal(network_scores(network, X[80:, :5]), scores[80:])
    assert_allclose(network(as_tensor(X)).detach(), scores, atol=1e-5)


def test_one_very_long_text_does_not_fill_the_memory(make_network):
    token_ids = np.ones((3, 20_000), dtype=np.int32)
    token_ids[1:, 4:] = 0
    scores = network_scores(make_network(ENCODERS[0]).eval(), token_ids)
    assert np.isfinite(scores).all()
    assert_array_equal(scores[1], scores[2])


SIZES_OF_BLOCKS = [("cpu", 64, 32), ("cpu", 1024, 16), ("cuda", 64, 256), ("cuda", 1024, 16)]


@pytest.mark.parametrize("device, width, size", SIZES_OF_BLOCKS)
def test_a_gpu_scores_more_short_texts_at_a_time(device, width, size):
    X = np.ones((300, width), dtype=np.int32)
    blocks = list(_text_blocks(X, device))
    assert {block.shape for _, block in blocks} == {(size, width)}
    assert_array_equal(np.concatenate([rows for rows, _ in blocks]), np.arange(300))


class WithSides(nn.Module):
    """Logits of a document, by another network, times its side inputs."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, batch):
        inputs, side_inputs = batch
        return self.network(inputs) * side_inputs.to_dense()


@pytest.mark.parametrize("kind", ["features", "tokens"])
def test_scores_with_side_inputs(kind, make_network, make_texts, numbered_sides):
    """In whatever order texts are scored, and where a batch is filled up."""
    X, network = make_texts(300), make_network(ENCODERS[0]).eval()
    if kind == "features":
        X, network = np.random.RandomState(0).rand(300, 12).astype(np.float32), make_network()
    side_inputs = numbered_sides(300)
    alone = network_scores(network, X)
    scores = network_scores(WithSides(network), X, side_inputs=side_inputs)
    assert_array_equal(scores, alone * side_inputs.toarray())
    for rows in (slice(3, 4), slice(100, 217)):
        found = network_scores(WithSides(network), X[rows], side_inputs=side_inputs[rows])
        assert_array_equal(found, scores[rows])


def test_scoring_changes_neither_weights_nor_mode(problem, make_network):
    X, network = problem[0].X, make_network(dropout=0.9).eval()
    before = copy.deepcopy(network.state_dict())
    assert_array_equal(network_scores(network, X), network_scores(network, X))
    assert not any(module.training for module in network.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


# --------------------------------------------------------------------------------- HeadScorer


SPECS = {
    "linear": BagEncoder(),
    "hidden": BagEncoder(hidden_dims=(4,)),
    "tokens": BiLSTMAttention(hidden_dim=4, output_dim=4, embedding_dim=8),
}


@pytest.fixture(params=["linear", "linear, dense", "hidden", "tokens"])
def documents_and_network(request):
    """Forty documents, with labels that 0, 1, 13 and 20 of them have, and a network."""
    rng, spec = np.random.RandomState(0), SPECS[request.param.split(",")[0]]
    X = (rng.rand(40, 20) * (rng.rand(40, 20) < 0.3)).astype(np.float32)
    X = X if request.param.endswith("dense") else sparse.csr_array(X)
    if spec.kind == "tokens":
        X = rng.randint(1, 20, size=(40, 9)).astype(np.int32)
    Y = np.zeros((40, 4), dtype=np.float32)
    Y[:1, 1] = Y[::3, 2] = Y[20:, 3] = 1
    Y[39, 2] = 0
    torch.manual_seed(0)
    return Documents(X, sparse.csr_array(Y)), build_network(spec, 20, 4).eval()


LABELS = [np.array([2]), np.array([3, 0]), np.arange(4)]


def test_a_head_scorer_scores_as_the_network_does(documents_and_network):
    documents, network = documents_and_network
    scorer = HeadScorer(network)
    with torch.no_grad():
        expected = network(as_tensor(documents.X)).numpy()
    encoded = scorer.encode(documents.X, "cpu")
    for labels in LABELS:
        scores = scorer.scores(encoded, labels)
        assert scores.dtype == np.float32
        assert_allclose(scores, expected[:, labels], rtol=1e-4, atol=1e-6)


def test_scores_of_some_labels_are_those_among_all(documents_and_network):
    """To the last bit, and whatever the other documents are."""
    documents, network = documents_and_network
    scorer = HeadScorer(network)
    encoded = scorer.encode(documents.X, "cpu")
    scores = scorer.scores(encoded)
    assert scores.shape == (40, 4)
    for labels in LABELS:
        assert_array_equal(scorer.scores(encoded, labels), scores[:, labels])
        for rows in (slice(7, 8), slice(3, 29)):
            part = scorer.encode(documents.X[rows], "cpu")
            assert_array_equal(scorer.scores(part, labels), scores[rows][:, labels])


def test_a_stored_scorer_scores_as_before(documents_and_network):
    documents, network = documents_and_network
    scorer = HeadScorer(network)
    stored = pickle.loads(pickle.dumps(scorer))
    scores = [one.scores(one.encode(documents.X, "cpu")) for one in (scorer, stored)]
    assert_array_equal(*scores)
    assert scorer.network is network


def test_pairs_are_of_the_labels_that_were_trained_on(documents_and_network):
    documents, network = documents_and_network
    held_out = [HeldOut(HeadScorer(network), documents.Y, documents)]
    pairs = ScoredPairs.collect(held_out)
    assert_array_equal(np.bincount(pairs.labels, minlength=4), [0, 40, 40, 40])
    assert_array_equal(np.bincount(pairs.labels[pairs.is_true], minlength=4), [0, 1, 13, 20])
    assert_array_equal(pairs.n_positives, [0, 1, 13, 20])
    some = ScoredPairs.collect(held_out, np.array([False, True, False, True]))
    assert_array_equal(np.unique(some.labels), [1, 3])


def test_a_network_that_is_there_is_not_moved(monkeypatch):
    """Threads may be scoring with it: moving a recurrent layer takes its weights apart."""
    network = nn.LSTM(2, 3)
    monkeypatch.setattr(nn.Module, "to", None)
    assert on_device(network, "cpu") is network
    assert on_device(nn.Identity(), "cpu") is not None


def test_a_network_elsewhere_is_moved():
    assert on_device(nn.Linear(2, 2), "meta").weight.device.type == "meta"


def test_a_head_is_moved_to_an_encoder_that_is_there():
    """Two networks share an encoder: the first to score has moved it, and not the other's head."""
    encoder, head = nn.Linear(2, 2).to("meta"), nn.Linear(2, 2)
    assert on_device(nn.Sequential(encoder, head), "meta")[1].weight.device.type == "meta"


def test_a_copy_is_on_the_device_of_the_network():
    network = nn.LSTM(2, 3).to("meta")
    twin = copy_of(network)
    assert twin is not network and twin.weight_ih_l0.device.type == "meta"
    assert twin.weight_ih_l0 is not network.weight_ih_l0 and copy_of(nn.Identity()) is not None
