"""The specs of the encoders of tokens: word vectors, sizes, parameters."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skmltc.encoders import (
    ENCODERS,
    BiLSTMAttention,
    TextCNN,
    WordEmbedding,
)
from skmltc.encoders._word_vectors import learn_vectors
from skmltc.text import TokenSequenceVectorizer, WordVectors

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
        ({"embeddings": WordVectors}, "'svd', 'random' or a WordVectors. Got <class"),
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
        (TextCNN(hidden_activation="tanh"), "hidden_activation must be one of 'identity', 'relu'"),
        (TextCNN(n_filters=0), "n_filters must be a positive integer. Got 0 instead"),
        (BiLSTMAttention(output_dim=-1), "output_dim must be a positive integer. Got -1"),
        (BiLSTMAttention(scale_init=0), "scale_init must be a positive number. Got 0 instead"),
        (BiLSTMAttention(bias="no"), "bias must be True or False. Got 'no' instead"),
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
    assert lstm.projection.weight.shape == (128, 300) and lstm.projection.bias.shape == (128,)
    assert BiLSTMAttention(bias=False).build(10).projection.bias is None


def test_token_encoders_are_specs():
    assert ENCODERS["cnn"] is TextCNN and ENCODERS["bilstm"] is BiLSTMAttention
    spec = TextCNN(n_filters=4, embeddings=VECTORS)
    assert clone(spec).embeddings is VECTORS
    assert repr(BiLSTMAttention(hidden_dim=3)) == "BiLSTMAttention(hidden_dim=3)"
    assert [spec().kind for spec in ENCODERS.values()] == ["features", *3 * ["tokens"]]


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
