"""The layers against dense products, and how they start."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from torch import nn

from skmltc._networks.batches import as_tensor
from skmltc.encoders._features import FeatureLinear
from skmltc.encoders._heads import ScaledLinear


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


def test_the_scale_is_a_learned_factor_of_the_vectors():
    head, vectors = ScaledLinear(4, 3, 2.5), torch.randn(5, 4)
    expected = 2.5 * vectors @ head.weight.T + head.bias
    assert_allclose(head(vectors).detach(), expected.detach(), atol=1e-6)
    head(vectors).sum().backward()
    assert head.scale.grad != 0
