"""Layers on features against loops and dense products, and how they start."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from torch import nn

from skmltc._networks import as_tensor
from skmltc.encoders import ENCODERS, BagEncoder, FeatureLinear


@pytest.fixture(scope="module")
def X():
    """Features with an empty row, an empty column and an empty last row."""
    X = np.random.RandomState(0).rand(7, 5).astype(np.float32)
    X[np.random.RandomState(1).rand(7, 5) < 0.5] = 0
    X[[2, 6]] = 0
    X[:, 3] = 0
    return X


def in_form(X, form):
    return as_tensor(X if form == "dense" else sparse.csr_array(X))


def layer_in_loops(X, weight, bias, relu):
    """One output at a time: a sum over the words, then the activation."""
    out = np.zeros((len(X), weight.shape[1]))
    for row in range(len(X)):
        for column in range(weight.shape[1]):
            total = bias[column]
            for word in range(X.shape[1]):
                total += X[row, word] * weight[word, column]
            out[row, column] = max(total, 0) if relu else total
    return out


@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_hidden_layers_equal_loops(X, form, activation):
    module = BagEncoder(hidden_dims=(4, 3), activation=activation).build(5).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += torch.randn(parameter.shape) / 4
    first, second = (layer for layer in module if hasattr(layer, "weight"))
    relu = activation == "relu"
    hidden = layer_in_loops(X, first.weight.detach().numpy(), first.bias.detach().numpy(), relu)
    expected = layer_in_loops(
        hidden, second.weight.detach().numpy().T, second.bias.detach().numpy(), relu
    )
    out = module(in_form(X, form))
    assert out.shape == (7, module.output_dim) == (7, 3)
    assert_allclose(out.detach().numpy(), expected, atol=1e-6)


def test_without_hidden_layers_the_batch_passes(X):
    encoder = BagEncoder()
    module, batch = encoder.build(5), in_form(X, "dense")
    assert encoder.is_linear and not BagEncoder(hidden_dims=(2,)).is_linear
    assert module(batch) is batch and module.output_dim == 5


def test_dropout_works_in_training_alone(X):
    module = BagEncoder(hidden_dims=(200,), dropout=0.5).build(5)
    batch = in_form(X, "dense")
    share = (module.train()(batch)[0] == 0).float().mean().item()
    assert 0.3 < share < 0.7
    module.eval()
    assert_array_equal(module(batch).detach(), module(batch).detach())
    assert (module(batch)[0] != 0).all()


def test_sparse_and_dense_batches_have_the_same_gradient(X):
    layer = FeatureLinear(5, 3)
    targets = torch.randn(7, 3)
    gradients = []
    for form in ("dense", "csr"):
        layer.zero_grad()
        ((layer(in_form(X, form)) - targets) ** 2).sum().backward()
        gradients.append([layer.weight.grad.numpy().copy(), layer.bias.grad.numpy().copy()])
    for dense, csr in zip(*gradients, strict=True):
        assert_allclose(csr, dense, atol=1e-5)
    assert_array_equal(gradients[1][0][3], 0)  # the word of no document


def test_a_document_without_words_gets_the_bias(X):
    layer = FeatureLinear(5, 3)
    nn.init.normal_(layer.bias)
    out = layer(in_form(X, "csr")).detach()
    assert_array_equal(out[2], layer.bias.detach())
    assert_array_equal(out[6], layer.bias.detach())


@pytest.mark.parametrize("n_outputs", [4, 100, 1000])
def test_outputs_start_small(n_outputs):
    """N(0, 1), torch's start of embeddings, would give norms of sqrt(n_outputs)."""
    rng = np.random.RandomState(0)
    X = rng.rand(50, 300) * (rng.rand(50, 300) < 0.1)
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    norms = FeatureLinear(300, n_outputs)(torch.from_numpy(X)).norm(dim=1)
    assert norms.max() < 1.3 and norms.mean() > 0.3


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"hidden_dims": (0,)}, r"hidden_dims must be a tuple of positive integers. Got \(0,\)"),
        ({"hidden_dims": (2.5,)}, r"hidden_dims must be a tuple of positive integers"),
        ({"activation": "tanh"}, "activation must be one of 'identity', 'relu'. Got 'tanh'"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\). Got 1.0 instead"),
        ({"dropout": -0.1}, r"dropout must be a number in \[0, 1\)"),
        ({"dropout": "no"}, r"dropout must be a number in \[0, 1\). Got 'no'"),
    ],
)
def test_wrong_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        BagEncoder(**parameters).build(5)


@pytest.mark.parametrize("hidden_dims", [16, "wide", None])
def test_a_width_alone_is_refused(hidden_dims):
    with pytest.raises(ValueError, match="hidden_dims must be a tuple of positive integers"):
        BagEncoder(hidden_dims=hidden_dims).build(5)


def test_is_a_spec():
    encoder = BagEncoder(hidden_dims=(3,), dropout=0.1)
    assert ENCODERS["bag"] is BagEncoder
    assert clone(encoder).get_params() == encoder.get_params()
    assert repr(encoder) == "BagEncoder(dropout=0.1, hidden_dims=(3,))"
    assert encoder.set_params(dropout=0.3).dropout == 0.3
