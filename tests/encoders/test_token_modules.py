"""Networks over token ids against loops; padding and batches change nothing."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skmltc.encoders import BiLSTMAttention, TextCNN, WordEmbedding
from skmltc.encoders._token_modules import padded_length, turned_round

SPECS = {
    "cnn": TextCNN(filter_sizes=(2, 3, 5), n_filters=4, embedding_dim=6, hidden_dim=7),
    "cnn, relu": TextCNN(
        filter_sizes=(2, 3), n_filters=4, embedding_dim=6, hidden_dim=7, hidden_activation="relu"
    ),
    "bilstm": BiLSTMAttention(hidden_dim=5, output_dim=7, embedding_dim=6),
    "bilstm, free norm": BiLSTMAttention(
        hidden_dim=5, output_dim=7, embedding_dim=6, normalize=False
    ),
    "bilstm, as printed": BiLSTMAttention(
        hidden_dim=5, output_dim=7, embedding_dim=6, normalize=False, bias=False
    ),
    "embedding": WordEmbedding(embedding_dim=7),
}
TEXTS = [[4], [2, 1], [3, 9, 9, 4, 5, 6, 7], [5] * 11, list(range(2, 20))]


def in_batch(texts, n_columns=None):
    n_columns = n_columns or max(map(len, texts))
    token_ids = np.zeros((len(texts), n_columns), dtype=np.int32)
    for row, text in enumerate(texts):
        token_ids[row, : len(text)] = text
    return torch.from_numpy(token_ids)


def build(spec):
    torch.manual_seed(0)
    return spec.build(20).eval().requires_grad_(False)


@pytest.fixture(scope="module", params=SPECS, ids=str)
def module(request):
    return build(SPECS[request.param])


# ------------------------------------------------------------------------------------- loops


def convolutions_in_loops(module, text):
    """Each window that fits, of a text filled up with padding to the width of the filter."""
    pooled = []
    for convolution in module.convolutions:
        width = convolution.kernel_size[0]
        vectors = module.embedding.weight[text + [0] * (width - len(text))].double()
        for weight, bias in zip(convolution.weight, convolution.bias, strict=True):
            best = -math.inf
            for start in range(len(vectors) - width + 1):
                value = bias.double()
                for offset in range(width):
                    value = value + (weight[:, offset].double() * vectors[start + offset]).sum()
                best = max(best, value.item())
            pooled.append(max(best, 0.0))
    out = module.projection.double()(torch.tensor(pooled, dtype=torch.float64))
    return out.clamp(min=0) if isinstance(module.activation, torch.nn.ReLU) else out


def lstm_in_loops(lstm, vectors):
    hidden = cell = torch.zeros(lstm.hidden_size, dtype=torch.float64)
    states = []
    for vector in vectors:
        gates = lstm.weight_ih_l0.double() @ vector + lstm.bias_ih_l0.double()
        gates = gates + lstm.weight_hh_l0.double() @ hidden + lstm.bias_hh_l0.double()
        write, keep, new, show = gates.chunk(4)
        cell = keep.sigmoid() * cell + write.sigmoid() * new.tanh()
        hidden = show.sigmoid() * cell.tanh()
        states.append(hidden)
    return states


def attention_in_loops(module, text):
    """States of both directions, averaged with weights e^score / sum of e^score."""
    vectors = list(module.embedding.weight[text].double())
    ahead = lstm_in_loops(module.forwards, vectors)
    back = lstm_in_loops(module.backwards, vectors[::-1])[::-1]
    states = [torch.cat(pair) for pair in zip(ahead, back, strict=True)]
    weights = [math.exp(module.attention.weight[0].double() @ state) for state in states]
    pooled = sum(
        weight / sum(weights) * state for weight, state in zip(weights, states, strict=True)
    )
    bias = module.projection.bias
    out = module.projection.weight.double() @ pooled + (0.0 if bias is None else bias.double())
    return out / math.sqrt((out**2).sum()) if module.unit_norm else out


def mean_in_loops(module, text):
    return sum(module.embedding.weight[word].double() for word in text) / len(text)


@pytest.mark.parametrize("name", SPECS)
def test_documents_equal_loops(name):
    loops = dict.fromkeys(["cnn", "cnn, relu"], convolutions_in_loops)
    loop = {**loops, "embedding": mean_in_loops}.get(name, attention_in_loops)
    out = build(SPECS[name])(in_batch(TEXTS))
    module = build(SPECS[name])
    assert out.shape == (5, module.output_dim) == (5, 7) and out.dtype == torch.float32
    for row, text in enumerate(TEXTS):
        assert_allclose(out[row], loop(module, text), atol=2e-6)


def test_a_hidden_activation_is_of_the_documents_vectors():
    plain, active = (
        build(SPECS["cnn"]),
        build(clone(SPECS["cnn"]).set_params(hidden_activation="relu")),
    )
    vectors = plain(in_batch(TEXTS))
    assert (vectors < 0).any()
    assert torch.equal(active(in_batch(TEXTS)), vectors.clamp(min=0))


def test_states_of_the_convolutions_are_the_windows_from_each_position_on():
    module = build(SPECS["cnn"])
    states, mask = module.encode_tokens(in_batch(TEXTS))
    assert_array_equal(mask.sum(1), [len(text) for text in TEXTS])
    pooled = []
    for row, text in enumerate(TEXTS):
        inside = [max(1, len(text) - width + 1) for width in (2, 3, 5) for _ in range(4)]
        pooled.append([states[row, :end, i].max() for i, end in enumerate(inside)])
    assert_allclose(module.projection(torch.tensor(pooled)), module(in_batch(TEXTS)), atol=1e-6)


def test_states_of_the_lstm_are_those_of_packed_sequences():
    module, batch = build(SPECS["bilstm"]), in_batch(TEXTS)
    lengths = torch.tensor([len(text) for text in TEXTS])
    twin = torch.nn.LSTM(6, 5, batch_first=True, bidirectional=True).requires_grad_(False)
    for name, parameter in module.forwards.named_parameters():
        getattr(twin, name).copy_(parameter)
        getattr(twin, f"{name}_reverse").copy_(module.backwards.get_parameter(name))
    pack, unpack = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
    packed = pack(module.embedding(batch), lengths, batch_first=True, enforce_sorted=False)
    expected, _ = unpack(twin(packed)[0], batch_first=True)
    states, mask = module.encode_tokens(batch)
    assert_array_equal(mask.sum(1), lengths)
    assert_allclose(states[mask], expected[mask[:, : expected.shape[1]]], atol=1e-6)


# ----------------------------------------------------------------------------------- padding


@pytest.mark.parametrize("n_columns", [18, 19, 24, 25, 64, 300])
def test_padding_changes_no_bit(module, n_columns):
    assert_array_equal(module(in_batch(TEXTS, n_columns)), module(in_batch(TEXTS)))


def test_other_texts_in_the_batch_change_nothing(module):
    together = module(in_batch(TEXTS))
    for row, text in enumerate(TEXTS):
        assert_allclose(module(in_batch([text]))[0], together[row], atol=1e-6)


def test_padding_gets_no_gradient_and_stays_zero(module):
    module = copy.deepcopy(module).requires_grad_(True)
    (module(in_batch(TEXTS)) * torch.arange(7)).sum().backward()
    gradient = module.embedding.weight.grad
    assert_array_equal(gradient[0], 0)
    assert (gradient[1:].abs().sum(1) > 0).sum() > 5
    assert_array_equal(module.embedding.weight[0].detach(), 0)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_an_empty_text_and_every_type_of_integer(module, dtype):
    out = module(torch.zeros(2, 3, dtype=dtype))
    assert torch.isfinite(out).all()


@given(st.integers(1, 10**6))
def test_padded_lengths_are_few_and_at_most_a_quarter_more(longest):
    columns = padded_length(longest)
    assert longest <= columns <= max(8, longest + 7, 1.25 * longest)
    assert columns % 8 == 0 and padded_length(columns) == columns
    assert padded_length(longest) <= padded_length(longest + 1)


def test_padded_lengths():
    assert [padded_length(n) for n in (1, 8, 9, 64, 65, 81, 128, 129, 500)] == [
        *(8, 8, 16, 64, 80, 96, 128, 160, 512)
    ]
    assert len({padded_length(n) for n in range(1, 501)}) == 20


def test_each_text_is_turned_round_by_itself():
    order = turned_round(torch.tensor([[3], [1], [5]]), 5)
    assert_array_equal(order, [[2, 1, 0, 3, 4], [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]])


def test_the_word_vectors_are_the_sequence_that_the_mean_is_of():
    module = build(SPECS["embedding"])
    vectors, mask = module.encode_tokens(in_batch(TEXTS))
    assert_array_equal(mask.sum(1), [len(text) for text in TEXTS])
    for row, text in enumerate(TEXTS):
        assert_array_equal(vectors[row][mask[row]], module.embedding.weight[text])


@pytest.mark.parametrize(
    "spec",
    [
        TextCNN(embedding_dim=6),
        BiLSTMAttention(embedding_dim=6, dropout=0.5),
        WordEmbedding(embedding_dim=6),
    ],
)
def test_dropout_works_in_training_alone(spec):
    module, batch = build(spec), in_batch(TEXTS)
    assert_array_equal(module(batch), module(batch))
    module.train()
    assert (module(batch) != module(batch)).any()
