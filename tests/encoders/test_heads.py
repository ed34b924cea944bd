"""Linear heads, networks of an encoder and a head, and how the biases start."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from torch import nn

from skmltc._networks import as_tensor
from skmltc.encoders import (
    BagEncoder,
    BiLSTMAttention,
    Encoder,
    FeatureLinear,
    ScaledLinear,
    TextCNN,
    WordEmbedding,
    build_network,
    head_of,
    parameter_parts,
    parts_of,
    split_head,
    start_head,
)
from skmltc.losses import LOSSES, BinaryCrossEntropyLoss, FocalLoss


@pytest.fixture(scope="module")
def X():
    """Features of seven documents, two of them without any."""
    X = np.random.RandomState(0).rand(7, 5).astype(np.float32)
    X[[2, 6]] = 0
    return X


def in_form(X, form):
    return as_tensor(X if form == "dense" else sparse.csr_array(X))


@pytest.mark.parametrize("spec", [BagEncoder(), BagEncoder(hidden_dims=(4,))])
@pytest.mark.parametrize("form", ["dense", "csr"])
def test_build_network_adds_a_head(X, spec, form):
    network = build_network(spec, 5, 9)
    assert network(in_form(X, form)).shape == (7, 9)
    assert isinstance(network, FeatureLinear) == spec.is_linear


def test_build_network_hands_the_documents_to_the_encoder(X):
    class Recorder(Encoder):
        def build(self, n_inputs, X=None):
            self.given = n_inputs, X
            return BagEncoder(hidden_dims=(2,)).build(n_inputs)

    encoder = Recorder()
    network = build_network(encoder, 5, 3, X)
    assert encoder.given[0] == 5 and encoder.given[1] is X
    assert type(network[1]) is nn.Linear and network[1].weight.shape == (3, 2)


@pytest.mark.parametrize("spec", [BagEncoder(), BagEncoder(hidden_dims=(4, 3))])
def test_split_head_takes_a_network_apart(X, spec):
    network, batch = build_network(spec, 5, 9).eval(), in_form(X, "dense")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn(parameter.shape) / 4
        encoder, weights = split_head(network)
        inputs = batch if encoder is None else encoder(batch)
        assert (encoder is None) == spec.is_linear
        assert_allclose(inputs @ weights[:-1] + weights[-1], network(batch), atol=1e-5)


@pytest.mark.parametrize("spec", [BagEncoder(), BagEncoder(hidden_dims=(4,)), BiLSTMAttention()])
def test_the_head_is_the_last_layer(spec):
    network = build_network(spec, 5, 9)
    assert head_of(network) is (network if spec.is_linear else network[1])
    assert head_of(network).bias.shape == (9,)


def test_the_scale_is_a_learned_factor_of_the_vectors():
    head, vectors = ScaledLinear(4, 3, 2.5), torch.randn(5, 4)
    expected = 2.5 * vectors @ head.weight.T + head.bias
    assert_allclose(head(vectors).detach(), expected.detach(), atol=1e-6)
    head(vectors).sum().backward()
    assert head.scale.grad != 0


def test_normalised_vectors_get_a_head_with_a_learned_scale():
    token_ids = torch.randint(1, 9, (4, 12))
    spec = BiLSTMAttention(scale_init=4.0, hidden_dim=5)
    body, head = build_network(spec, 9, 3).eval()
    vectors = body(token_ids)
    assert_allclose(vectors.norm(dim=1).detach(), 1, atol=1e-6)
    assert isinstance(head, ScaledLinear) and head.scale.requires_grad
    expected = 4 * vectors @ head.weight.T + head.bias
    assert_allclose(head(vectors).detach(), expected.detach(), atol=1e-6)
    _, weights = split_head(nn.Sequential(body, head))
    by_parts = vectors @ weights[:-1] + weights[-1]
    assert_allclose(by_parts.detach(), expected.detach(), atol=1e-6)
    body, head = build_network(clone(spec).set_params(normalize=False), 9, 3).eval()
    assert type(head) is nn.Linear and type(build_network(TextCNN(), 9, 3)[1]) is nn.Linear
    assert (body(token_ids).norm(dim=1) - 1).abs().min() > 0.01


def test_biases_start_at_the_best_constants():
    Y = sparse.csr_array((np.arange(40)[:, None] < [1, 4, 20, 30]).astype(np.float32))
    for spec in (BagEncoder(), BagEncoder(hidden_dims=(3,))):
        head = head_of(build_network(spec, 5, 4))
        before = head.weight.detach().clone()
        start_head(head, BinaryCrossEntropyLoss().build(Y), Y)
        assert_allclose(head.bias.sigmoid().detach(), np.array([1, 4, 20, 30]) / 40, rtol=1e-4)
        assert_array_equal(head.weight.detach(), before)
        assert head.bias.requires_grad
    head = nn.Linear(3, 4)
    loss = FocalLoss(gamma=1).build(Y)
    start_head(head, loss, Y)
    assert_array_equal(head.bias.detach(), loss.prior_logits(Y))


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "weighted_bce"])
def test_biases_are_left_to_losses_with_negative_tolerance(name):
    """They shift rare labels so far that all of them would start alike."""
    Y = sparse.csr_array((np.arange(40)[:, None] < [1, 4, 20, 30]).astype(np.float32))
    head = nn.Linear(3, 4)
    before = head.bias.detach().clone()
    start_head(head, LOSSES[name]().build(Y), Y)
    changed = bool((head.bias.detach() != before).any())
    assert changed == (not hasattr(LOSSES[name](), "kappa"))


HEADS = {"linear": lambda: nn.Linear(5, 4), "features": lambda: FeatureLinear(5, 4)}
HEADS["scaled"] = lambda: ScaledLinear(5, 4, 10.0)
FEW = sparse.csr_array((np.arange(40)[:, None] < [1, 4, 20, 30]).astype(np.float32))


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
def test_a_head_starts_as_torch_does(make):
    head = make()
    before = [p.detach().clone() for p in head.parameters()]
    start_head(head, BinaryCrossEntropyLoss().build(FEW), FEW, "torch")
    assert all(map(torch.equal, head.parameters(), before))


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
def test_a_head_starts_as_that_of_bert(make):
    torch.manual_seed(0)
    draws = []
    for _ in range(100):
        head = make()
        start_head(head, BinaryCrossEntropyLoss().build(FEW), FEW, "normal")
        assert not head.bias.any() and head.bias.requires_grad
        draws.append(head.weight.detach().flatten())
    assert_allclose(torch.cat(draws).std(), 0.02, rtol=0.05)
    assert abs(torch.cat(draws).mean()) < 0.002


@pytest.mark.parametrize("start", ["constants", "torch", "normal"])
@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
def test_a_head_without_biases_has_zeros_that_do_not_learn(make, start):
    head = make()
    start_head(head, BinaryCrossEntropyLoss().build(FEW), FEW, start, has_bias=False)
    assert not head.bias.any() and not head.bias.requires_grad and head.weight.requires_grad


class Layers(Encoder):
    """Word vectors, two layers and a parameter that stands alone."""

    kind = "tokens"

    def build(self, n_inputs, X=None):
        module = nn.Sequential(nn.EmbeddingBag(n_inputs, 3), nn.Linear(3, 6), nn.Linear(6, 2))
        module.output_dim = 2
        module.register_parameter("lone", nn.Parameter(torch.zeros(1)))
        return module


PARTS = {
    BagEncoder(): {"weight": "head", "bias": "head"},
    BagEncoder(hidden_dims=(4,)): {"0.0.weight": "projection", "0.0.bias": "projection"},
    BagEncoder(hidden_dims=(4, 3)): {"0.0.weight": "encoder", "0.3.bias": "projection"},
    TextCNN(): {
        "0.embedding.weight": "embedding",
        "0.convolutions.1.weight": "encoder",
        "0.projection.bias": "projection",
        "1.weight": "head",
        "1.bias": "head",
    },
    BiLSTMAttention(): {
        "0.embedding.weight": "embedding",
        "0.backwards.weight_hh_l0": "encoder",
        "0.attention.weight": "encoder",
        "0.projection.weight": "projection",
        "1.weight": "head",
        "1.scale": "head_scale",
    },
    WordEmbedding(): {"0.embedding.weight": "embedding", "1.bias": "head"},
    Layers(): {
        "0.0.weight": "embedding",
        "0.1.bias": "encoder",
        "0.2.weight": "projection",
        "0.lone": "encoder",
    },
}


@pytest.mark.parametrize("spec", PARTS, ids=repr)
def test_every_parameter_is_in_a_part(spec):
    network = build_network(spec, 9, 4)
    part_of = {id(parameter): part for part, parameter in parameter_parts(parts_of(network))}
    found = {name: part_of[id(p)] for name, p in network.named_parameters()}
    assert len(part_of) == len(found) and PARTS[spec].items() <= found.items()


def test_a_parameter_of_two_parts_belongs_to_the_last():
    network = build_network(BagEncoder(hidden_dims=(4,)), 9, 4)
    parts = parameter_parts({"encoder": network, "other": network[1]})
    assert [part for part, _ in parts] == ["encoder"] * 2 + ["other"] * 2
