"""BagEncoder and its layers against loops; the specs of the token encoders and the heads."""

from fnmatch import fnmatch

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from torch import nn

from skmltc._networks.batches import as_tensor
from skmltc.encoders import (
    ENCODERS,
    BagEncoder,
    BiLSTMAttention,
    TextCNN,
    WordEmbedding,
    build_network,
)
from skmltc.encoders._features import FeatureLinear
from skmltc.encoders._heads import ScaledLinear, split_head
from skmltc.encoders._word_vectors import learn_vectors
from skmltc.text import TokenSequenceVectorizer, WordVectors


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


@pytest.mark.parametrize("spec", [BagEncoder(), BagEncoder(hidden_dims=(4,))])
@pytest.mark.parametrize("form", ["dense", "csr"])
def test_build_network_adds_a_head(X, spec, form):
    network = build_network(spec, 5, 9)
    assert network(in_form(X, form)).shape == (7, 9)
    assert isinstance(network, FeatureLinear) == spec.is_linear


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


# ------------------------------------------------------------------------------------- tokens


TOKEN_SPECS = [TextCNN, BiLSTMAttention, WordEmbedding]
VECTORS = WordVectors(["milk", "rice", "honey"], [[1.0, -1.0], [0.5, 0.5], [0.0, 2.0]])


@pytest.mark.parametrize("spec", TOKEN_SPECS)
def test_word_vectors_start_small_and_padding_at_zero(spec):
    torch.manual_seed(0)
    table = spec(embedding_dim=40).build(50).embedding.weight.detach()
    assert table.shape == (50, 40) and table.abs().max() <= 0.25 < 2 * table.std()
    assert_array_equal(table[0], 0)
    assert table[1].abs().min() > 0


@pytest.mark.parametrize("spec", TOKEN_SPECS)
def test_pretrained_word_vectors_are_found_by_the_ids_of_the_vectorizer(spec):
    token_ids = TokenSequenceVectorizer(vocabulary=VECTORS).fit_transform(["rice with honey"])
    encoder = spec(embeddings=VECTORS)
    module = encoder.build(encoder.n_embeddings(int(token_ids.max())))
    table = module.embedding.weight.detach()[token_ids[0, :3]]
    assert_array_equal(table[[0, 2]], VECTORS.vectors[1:])
    assert table[1].abs().min() > 0  # the unknown word
    assert module.embedding.weight.requires_grad
    module.embedding.weight.data += 1
    assert VECTORS.vectors[0, 0] == 1.0


@pytest.mark.parametrize("spec", TOKEN_SPECS)
def test_table_size(spec):
    assert [spec().n_embeddings(largest) for largest in (0, 1, 2, 9)] == [2, 2, 3, 10]
    assert [spec(embeddings=VECTORS).n_embeddings(largest) for largest in (1, 9)] == [5, 5]
    with pytest.raises(ValueError, match="n_inputs must be 5, the words of the embeddings and two"):
        spec(embeddings=VECTORS).build(6)


@pytest.mark.parametrize("spec", TOKEN_SPECS)
@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"embedding_dim": 0}, "embedding_dim must be a positive integer. Got 0 instead"),
        ({"hidden_dim": 2.5}, "hidden_dim must be a positive integer. Got 2.5 instead"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\). Got 1.0 instead"),
        ({"embedding_dropout": -1}, r"embedding_dropout must be a number in \[0, 1\). Got -1"),
        ({"embeddings": np.eye(3)}, "'svd', 'random' or a WordVectors. Got ndarray instead"),
        ({"embeddings": "glove"}, "'svd', 'random' or a WordVectors. Got 'glove' instead"),
        ({"embeddings": None}, "'svd', 'random' or a WordVectors. Got None instead"),
    ],
)
def test_wrong_parameters_of_token_encoders(spec, parameters, message):
    if parameters.keys() - spec().get_params():
        pytest.skip("the encoder has no such parameter")
    with pytest.raises(ValueError, match=message):
        spec(**parameters).build(9)


@pytest.mark.parametrize(
    "spec, message",
    [
        (TextCNN(filter_sizes=()), "filter_sizes must be a tuple of positive integers, one at"),
        (TextCNN(filter_sizes=(2, 0)), r"filter_sizes must be .* integers. Got \(2, 0\) instead"),
        (TextCNN(n_filters=0), "n_filters must be a positive integer. Got 0 instead"),
        (BiLSTMAttention(output_dim=-1), "output_dim must be a positive integer. Got -1"),
        (BiLSTMAttention(scale_init=0), "scale_init must be a positive number. Got 0 instead"),
    ],
)
def test_wrong_parameters_of_one_token_encoder(spec, message):
    with pytest.raises(ValueError, match=message):
        spec.build(9)


def test_the_networks_have_the_sizes_of_the_papers():
    cnn, lstm = TextCNN(embedding_dim=300).build(10), BiLSTMAttention().build(10)
    shapes = [tuple(convolution.weight.shape) for convolution in cnn.convolutions]
    assert shapes == [(128, 300, 3), (128, 300, 4), (128, 300, 5)]
    assert cnn.projection.weight.shape == (1024, 384)
    assert cnn.embedding_dropout.p == 26 / 256 and cnn.dropout.p == 0.3
    assert lstm.forwards.hidden_size == lstm.backwards.hidden_size == 150
    assert lstm.projection.weight.shape == (128, 300)


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


def test_token_encoders_are_specs():
    assert ENCODERS["cnn"] is TextCNN and ENCODERS["bilstm"] is BiLSTMAttention
    spec = TextCNN(n_filters=4, embeddings=VECTORS)
    assert clone(spec).embeddings is VECTORS
    assert repr(BiLSTMAttention(hidden_dim=3)) == "BiLSTMAttention(hidden_dim=3)"
    assert [spec().kind for spec in ENCODERS.values()] == ["features", *3 * ["tokens"]]
    patterns = BiLSTMAttention().training.lr_factors
    names = [name for name, _ in build_network(BiLSTMAttention(), 9, 3).named_parameters()]
    chosen = [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]
    assert chosen == ["0.projection.weight", "0.projection.bias", *names[-3:]]


@pytest.mark.parametrize("spec", TOKEN_SPECS)
def test_word_vectors_begin_as_what_the_documents_say(spec):
    rng = np.random.RandomState(0)
    token_ids = 2 + 5 * rng.randint(2, size=(300, 1)) + rng.randint(5, size=(300, 8))
    torch.manual_seed(0)
    table = spec(embedding_dim=4).build(14, token_ids).embedding.weight.detach()
    seed = int(torch.manual_seed(0) and torch.randint(2**31 - 1, ()))
    learned = torch.from_numpy(learn_vectors(token_ids, 14, 4, seed))
    assert_allclose(table[2:12], spec._init_std * learned[2:12], rtol=1e-6)
    assert table[[1, 12, 13]].abs().max() <= 0.25 and table[[1, 12, 13]].any(dim=1).all()
    assert not table[0].any()
    torch.manual_seed(0)
    start = spec(embedding_dim=4, embeddings="random").build(14, token_ids).embedding.weight
    assert start.abs().max() <= 0.25
    assert (start[2:12] != table[2:12]).all()
