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
    build_network,
    head_of,
    initialise_biases,
    split_head,
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
        initialise_biases(head, BinaryCrossEntropyLoss().build(Y), Y)
        assert_allclose(head.bias.sigmoid().detach(), np.array([1, 4, 20, 30]) / 40, rtol=1e-4)
        assert_array_equal(head.weight.detach(), before)
        assert head.bias.requires_grad
    head = nn.Linear(3, 4)
    loss = FocalLoss(gamma=1).build(Y)
    initialise_biases(head, loss, Y)
    assert_array_equal(head.bias.detach(), loss.prior_logits(Y))


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "weighted_bce"])
def test_biases_are_left_to_losses_with_negative_tolerance(name):
    """They shift rare labels so far that all of them would start alike."""
    Y = sparse.csr_array((np.arange(40)[:, None] < [1, 4, 20, 30]).astype(np.float32))
    head = nn.Linear(3, 4)
    before = head.bias.detach().clone()
    initialise_biases(head, LOSSES[name]().build(Y), Y)
    changed = bool((head.bias.detach() != before).any())
    assert changed == (name in ("bce", "focal", "class_balanced", "rebalanced_focal"))
