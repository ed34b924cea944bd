"""The network that reads beside a teacher: every equation in loops, masks, poolings, votes."""

import copy
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from torch.nn.functional import binary_cross_entropy_with_logits

from skmltc._networks.batches import Documents, as_tensor
from skmltc._networks.scoring import network_scores
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN, WordEmbedding
from skmltc.losses import BinaryCrossEntropyLoss
from skmltc.treader_xml._network import (
    POOLINGS,
    READINGS,
    FeatureReader,
    Reading,
    ReadingEncoder,
    ReadingNetwork,
    ReadingScorer,
    SelfAttention,
    Teacher,
    TokenReader,
    fit_mixture,
)

ENCODERS = {
    "embedding": WordEmbedding(embedding_dim=6),
    "bilstm": BiLSTMAttention(hidden_dim=3, output_dim=4, embedding_dim=5),
    "cnn": TextCNN(filter_sizes=(1, 2), n_filters=3, embedding_dim=5, hidden_dim=4),
}
WORDS = np.array([[4, 2, 0], [7, 0, 0], [3, 9, 5], [0, 0, 0], [8, 6, 0]])  # of five labels
SCOPES = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0.2, -3, 5, 1], [0, 0, 0, 7, 0]])
TEXTS = torch.tensor([[5, 3, 8, 0], [2, 0, 0, 0], [9, 9, 4, 6], [11, 1, 0, 0]])


def attention(dim=6, n_heads=2, masked=True):
    torch.manual_seed(0)
    return SelfAttention(dim, n_heads, masked).double().requires_grad_(False)


def sequences(dim=6, length=5, batch=3):
    torch.manual_seed(1)
    return torch.randn(batch, length, dim, dtype=torch.float64)


def all_seen(states):
    return torch.ones(states.shape[:2], dtype=torch.bool)


def make_reader(name="embedding"):
    torch.manual_seed(0)
    return TokenReader(ENCODERS[name].build(12)).eval()


def feature_student():
    torch.manual_seed(0)
    return FeatureReader(BagEncoder(hidden_dims=(6,)).build(12), 12).eval()


def read_text(descriptions=WORDS, reading=READINGS[0], pooling="mean", dim=5, of=make_reader):
    body = ReadingEncoder(
        of(), descriptions, n_heads=2, reading=reading, pooling=pooling, output_dim=dim
    )
    return body.eval().requires_grad_(False)


def scope_tensor(scopes=SCOPES):
    return as_tensor(sparse.csr_array(scopes))


# ---------------------------------------------------------------------------------- attention


def attention_in_loops(layer, states, mask):
    """Equations 8 to 13, number by number; the weights' rows are of queries, keys and values."""
    batch, length, dim = states.shape
    size = dim // layer.n_heads
    rows = layer.inputs.weight.reshape(3, layer.n_heads, size, dim)
    out = torch.zeros_like(states)
    for b in range(batch):
        for i in range(length):
            visible = [j for j in range(length) if mask[b, j] and (j <= i or not layer.masked)]
            heads = []
            for of_queries, of_keys, of_values in zip(*rows, strict=True):
                query, head = of_queries @ states[b, i], torch.zeros(size, dtype=states.dtype)
                e = [math.exp(query @ (of_keys @ states[b, j]) / math.sqrt(size)) for j in visible]
                for weight, j in zip(e, visible, strict=True):
                    head = head + weight / sum(e) * (of_values @ states[b, j])
                heads.append(head)
            out[b, i] = torch.tanh(layer.output.weight @ torch.cat(heads))
    return out


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("dim, n_heads", [(6, 1), (6, 2), (7, 3), (4, 4)])
def test_attention_in_loops(dim, n_heads, masked):
    layer, states = attention(dim, n_heads, masked), sequences(dim)
    for mask in (all_seen(states), torch.rand(3, 5) < 0.6, torch.rand(3, 5) < 0.2):
        assert_allclose(layer(states, mask), attention_in_loops(layer, states, mask), atol=1e-12)


@pytest.mark.parametrize("j", range(5))
def test_the_masked_kind_does_not_see_the_future(j):
    states = sequences()
    changed = states.clone()
    changed[:, j] += 1
    for masked, first in ((True, j), (False, 0)):
        layer = attention(masked=masked)
        moved = layer(changed, all_seen(states)) != layer(states, all_seen(states))
        assert_array_equal(moved.any(dim=2).any(dim=0), np.arange(5) >= first)


def test_the_first_position_of_the_masked_kind_is_its_own_value():
    layer, states = attention(), sequences()
    values = layer.inputs.weight[12:]
    expected = torch.tanh(states[:, 0] @ values.T @ layer.output.weight.T)
    assert_allclose(layer(states, all_seen(states))[:, 0], expected, atol=1e-12)


def test_both_kinds_agree_on_a_sequence_of_one():
    states = sequences(length=1)
    both = (attention(masked=masked)(states, all_seen(states)) for masked in (True, False))
    assert_allclose(*both, atol=1e-12)


@pytest.mark.parametrize("masked", [True, False])
def test_pads_beyond_the_text_change_nothing(masked):
    layer, states = attention(masked=masked), sequences()
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    wide = torch.cat([states, 9 * torch.ones(3, 4, 6)], dim=1)
    wide_mask = torch.nn.functional.pad(mask, (0, 4))
    before, after = layer(states, mask), layer(wide, wide_mask)[:, :5]
    assert_allclose(after, before, atol=1e-12)
    for text, length in enumerate((5, 3, 1)):
        alone = states[text : text + 1, :length]
        assert_allclose(layer(alone, all_seen(alone))[0], before[text, :length], atol=1e-12)


@pytest.mark.parametrize("masked", [True, False])
def test_where_nothing_is_seen_there_are_zeros_and_finite_gradients(masked):
    layer, states = attention(masked=masked).requires_grad_(), sequences().requires_grad_()
    mask = torch.tensor([[False] * 5, [False, False, True, True, False], [True] * 5])
    out = layer(states, mask)
    blind = torch.tensor([[True] * 5, [masked, masked, False, False, False], [False] * 5])
    assert_array_equal((out == 0).all(dim=2), blind)
    out.sum().backward()
    for gradient in (states.grad, layer.inputs.weight.grad, layer.output.weight.grad):
        assert torch.isfinite(gradient).all()
    assert not states.grad[0].any() and states.grad[2].any()


# ------------------------------------------------------------------------------------ reading

BY_HAND = {
    "mmhsa+residual+mhsa": lambda e, first, second: second(e + first(e)),
    "mhsa+residual+mmhsa": lambda e, first, second: second(e + first(e)),
    "mmhsa+mhsa": lambda e, first, second: second(first(e)),
    "mmhsa+residual": lambda e, first, second: e + first(e),
    "mhsa+residual": lambda e, first, second: e + first(e),
}


@pytest.mark.parametrize("name", READINGS)
def test_reading_by_hand(name):
    torch.manual_seed(0)
    reading, states = Reading(6, 2, name).double().requires_grad_(False), sequences()
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    assert [layer.masked for layer in reading.layers] == [
        step == "mmhsa" for step in name.split("+") if step != "residual"
    ]
    first, second = (
        lambda e, layer=layer: attention_in_loops(layer, e, mask)
        for layer in (reading.layers[0], reading.layers[-1])
    )
    assert_allclose(reading(states, mask), BY_HAND[name](states, first, second), atol=1e-12)


def test_every_reading_is_tested():
    assert set(BY_HAND) == set(READINGS)


# ----------------------------------------------------------------------------------- students


@pytest.mark.parametrize("name", ENCODERS)
def test_words_of_labels_are_read_as_texts_are(name):
    reader, words = make_reader(name), torch.from_numpy(WORDS)
    states, mask = reader.embed_words(words)
    assert states.shape == (5, 3, reader.dim)
    assert_array_equal(mask, WORDS != 0)
    for row, text in zip(states, WORDS, strict=True):
        n_words = np.count_nonzero(text)
        if n_words:
            alone, _ = reader(torch.from_numpy(text[None, :n_words]))
            assert_allclose(
                row[:n_words].detach(), alone[0, :n_words].detach(), rtol=1e-5, atol=1e-7
            )


def test_words_of_features_are_documents_of_one_word():
    reader, words = feature_student(), torch.from_numpy(WORDS)
    states, mask = reader.embed_words(words)
    alone = reader.encoder(torch.eye(12))  # feature i is word i + 1
    assert states.shape == (5, 3, 6)
    assert_array_equal(mask, WORDS != 0)
    for place in zip(*np.nonzero(WORDS), strict=True):
        assert_allclose(states[place].detach(), alone[WORDS[place] - 1].detach(), rtol=1e-6)


def test_a_document_of_features_is_a_sequence_of_one():
    reader, X = feature_student(), torch.rand(4, 12)
    states, mask = reader(X)
    assert states.shape == (4, 1, 6) and mask.shape == (4, 1) and mask.all()
    assert_array_equal(states[:, 0].detach(), reader.encoder(X).detach())


# ------------------------------------------------------------------------------------ teacher


def teacher_in_loops(reader, descriptions, scopes):
    """Mean at each place of the words that labels of the scope have there."""
    states, _ = reader.embed_words(torch.from_numpy(descriptions))
    length = descriptions.shape[1]
    means, known = np.zeros((len(scopes), length, reader.dim)), np.zeros((len(scopes), length))
    for d, scope in enumerate(scopes):
        for place in range(length):
            labels = [r for r in np.flatnonzero(scope) if descriptions[r, place] != 0]
            known[d, place] = len(labels) > 0
            for label in labels:
                means[d, place] += states[label, place].detach().numpy() / len(labels)
    return means, known


@pytest.mark.parametrize("of", [make_reader, lambda: make_reader("cnn"), feature_student])
@pytest.mark.parametrize("training", [False, True])
def test_the_teacher_in_loops(of, training):
    """A label counts once, whatever its value in the matrix."""
    reader = of()
    for module in reader.modules():  # the numbers are compared, so nothing may be dropped
        module.p = 0.0
    teacher = Teacher(reader, WORDS).train(training)
    states, mask = teacher(scope_tensor())
    means, known = teacher_in_loops(reader.eval(), WORDS, SCOPES)
    assert_allclose(states.detach(), means, rtol=1e-5, atol=1e-6)
    assert_array_equal(mask, known)
    assert_array_equal(known.any(axis=1), [True, False, True, False])


@pytest.mark.parametrize("training", [False, True])
def test_empty_scopes_are_masked_zeros(training):
    teacher = Teacher(make_reader(), WORDS).train(training)
    states, mask = teacher(scope_tensor(np.zeros((3, 5))))
    assert states.shape == (3, 3, 6) and not states.any() and not mask.any()


@given(st.integers(0, 1000), st.integers(1, 700))
@settings(max_examples=15, deadline=None)
def test_the_teacher_of_many_labels(seed, n_rows):
    """In evaluation labels are described a few at a time, and the others do not matter."""
    rng = np.random.RandomState(seed)
    words = rng.randint(2, 12, (n_rows, 4)) * (np.arange(4) < rng.randint(0, 5, (n_rows, 1)))
    scopes = rng.rand(4, n_rows) * (rng.rand(4, n_rows) < rng.rand(4, 1))
    teacher = Teacher(make_reader(), words)
    states, mask = teacher(scope_tensor(scopes))
    means, known = teacher_in_loops(teacher.reader, words, scopes)
    assert_allclose(states.detach(), means, rtol=1e-4, atol=1e-6)
    assert_array_equal(mask, known)
    alone = torch.cat([teacher(scope_tensor(scopes[[i]]))[0] for i in range(4)])
    assert_array_equal(alone.detach(), states.detach())


def test_the_teacher_teaches_the_words():
    teacher = Teacher(make_reader(), WORDS).train()
    teacher(scope_tensor())[0].pow(2).sum().backward()
    moved = teacher.reader.encoder.embedding.weight.grad.abs().sum(dim=1) > 0
    assert_array_equal(np.flatnonzero(moved), [2, 3, 4, 5, 6, 7, 8, 9])


# -------------------------------------------------------------------------------- interaction


def joint(body, texts, scopes=SCOPES):
    """What the interaction makes of teacher and text."""
    visible = []
    hook = body.interaction.register_forward_hook(lambda module, inputs, out: visible.append(out))
    body((texts, scope_tensor(scopes)))
    hook.remove()
    return visible[0]


def test_the_teacher_influences_the_text_and_the_text_no_teacher():
    body = read_text()
    before = joint(body, TEXTS)  # (4, 3 of the teacher + 8 of the text, padded, 6)
    other_texts = joint(body, torch.where(TEXTS == 0, 0, 7))
    assert_array_equal(other_texts[:, :3], before[:, :3])
    other_scopes = joint(body, TEXTS, SCOPES[[2, 2, 0, 0]])
    assert (other_scopes != before).any(dim=2)[:, 3:].all()


def test_without_a_scope_the_text_is_read_as_without_a_teacher():
    taught = read_text()
    alone = copy.deepcopy(taught)
    alone.teacher = None
    empty = scope_tensor(np.zeros((4, 5)))
    assert_allclose(taught((TEXTS, empty)), alone((TEXTS, scope_tensor())), atol=1e-6)


@pytest.mark.parametrize("reading", [None, *READINGS])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_whole_of_it_by_hand(reading, pooling):
    body = read_text(reading=reading, pooling=pooling)
    text, mask = body.reader(TEXTS)
    taught, known = body.teacher(scope_tensor())
    if reading:
        text, taught = body.read_text(text, mask), body.read_teacher(taught, known)
    mask = torch.cat([known, mask], dim=1)
    states = attention_in_loops(body.interaction, torch.cat([taught, text], dim=1), mask)
    pooled = pool_in_loops(pooling, states, mask)
    expected = pooled @ body.bottleneck.weight.T
    assert_allclose(body((TEXTS, scope_tensor())), expected, rtol=1e-4, atol=1e-5)


def pool_in_loops(pooling, states, mask):
    pooled = []
    for sequence, visible in zip(states, mask, strict=True):
        vectors = [vector for vector, is_seen in zip(sequence, visible, strict=True) if is_seen]
        if pooling == "mean":
            pooled.append(sum(vectors) / len(vectors))
        elif pooling == "max":
            pooled.append(torch.stack([max(column) for column in zip(*vectors, strict=True)]))
        else:
            pooled.append(vectors[-1])
    return torch.stack(pooled)


@pytest.mark.parametrize("pooling", POOLINGS)
@given(seed=st.integers(0, 1000), length=st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_poolings_in_loops(pooling, seed, length):
    torch.manual_seed(seed)
    states, mask = torch.randn(4, length, 3), torch.rand(4, length) < 0.5
    mask[torch.arange(4), torch.randint(length, (4,))] = True
    pooled = POOLINGS[pooling](states, mask)
    assert_allclose(pooled, pool_in_loops(pooling, states, mask), atol=1e-6)


# ------------------------------------------------------------------------- labels and ablation


def make_network(n_labels=4, votes=True, **settings):
    torch.manual_seed(0)
    return ReadingNetwork(read_text(**settings), n_labels, votes).eval().requires_grad_(False)


def test_votes_add_to_the_logits_of_the_labels_alone():
    network, batch = make_network(), (TEXTS, scope_tensor())
    network.vote_weight.fill_(0.7)
    expected = network.head(network.body(batch)) + 0.7 * torch.from_numpy(SCOPES[:, :4])
    assert_allclose(network(batch), expected, atol=1e-6)
    silent = make_network(votes=False)
    assert silent.vote_weight is None
    assert_array_equal(silent(batch), silent.head(silent.body(batch)))


@pytest.mark.parametrize("of", [make_reader, feature_student])
@pytest.mark.parametrize("votes", [True, False])
def test_scores_of_blocks_of_labels_are_those_of_the_network(of, votes):
    X = TEXTS.numpy().astype(np.int32)
    if of is feature_student:
        X = sparse.csr_array(np.random.RandomState(0).rand(4, 12).astype(np.float32))
    network = make_network(votes=votes, of=of)
    if votes:
        network.vote_weight.fill_(1.3)
    scopes = sparse.csr_array(SCOPES.astype(np.float32))
    scorer = ReadingScorer(network, SimpleNamespace(scopes=lambda X: scopes), "cpu")
    encoded = scorer.encode(X)
    expected = network((as_tensor(X), as_tensor(scopes)))
    for block in ([0, 1, 2, 3], [3], [2, 0]):
        scores = scorer.scores(encoded, np.array(block))
        assert_allclose(scores, expected[:, block], atol=1e-5)


ABLATION = [
    {"descriptions": None, "reading": None},
    {"reading": None},
    {"reading": "mmhsa+residual"},
    {"reading": "mhsa+residual"},
    {"reading": "mhsa+residual+mmhsa"},
    {"reading": "mmhsa+mhsa"},
    {"reading": "mmhsa+residual+mhsa"},
]


def test_the_ablation_has_the_same_outputs_and_other_parameters():
    networks = [make_network(**setting) for setting in ABLATION]
    layers = [sum("output.weight" in name for name in n.state_dict()) for n in networks]
    assert layers == [1, 1, 3, 3, 5, 5, 5]  # one of them is the interaction's
    taught = [any("teacher.descriptions" in name for name in n.state_dict()) for n in networks]
    assert taught == [False] + [True] * 6
    logits = [network((TEXTS, scope_tensor())) for network in networks]
    assert all(output.shape == (4, 4) for output in logits)


@pytest.mark.parametrize("same_weights", [(2, 3), (4, 5, 6), (0, 1)])
def test_the_ablation_differs_with_equal_weights_too(same_weights):
    networks = [make_network(votes=False, **ABLATION[i]) for i in same_weights]
    for network in networks[1:]:
        network.load_state_dict(networks[0].state_dict(), strict=False)
    first, *others = (network((TEXTS, scope_tensor())) for network in networks)
    for i, other in enumerate(others):
        assert all(not torch.equal(other, before) for before in [first, *others[:i]])


def mixed(network, documents, mixture):
    """Mean cross-entropy of the network once its parts are mixed so."""
    network = copy.deepcopy(network)
    network.set_mixture(*mixture)
    with torch.no_grad():
        logits = torch.from_numpy(
            network_scores(network, documents.X, side_inputs=documents.side_inputs),
        )
    return binary_cross_entropy_with_logits(logits, torch.from_numpy(documents.Y.toarray()).float())


@pytest.fixture
def held_out():
    """A network of noise, and documents whose labels their scopes tell."""
    rng = np.random.RandomState(0)
    X = rng.randint(2, 20, size=(80, 6)).astype(np.int32)
    Y = sparse.csr_array((rng.rand(80, 5) < 0.3) * 1.0)
    scopes = sparse.csr_array((Y + (rng.rand(80, 5) < 0.2)).astype(np.float32))
    torch.manual_seed(0)
    reader = TokenReader(WordEmbedding(embedding_dim=8).build(20))
    body = ReadingEncoder(reader, None, n_heads=2, reading=None, pooling="mean", output_dim=8)
    return ReadingNetwork(body, 5, votes=True).eval(), Documents(X, Y, scopes)


def test_the_best_mixture_is_at_a_minimum(held_out):
    network, documents = held_out
    loss = BinaryCrossEntropyLoss().build(documents.Y)
    best = fit_mixture(network, documents, loss, "cpu")
    least = mixed(network, documents, best)
    assert best[1] > 1 and least < mixed(network, documents, (1, 1, 0)) - 0.05
    for place, step in itertools.product(range(3), (-0.1, 0.1)):
        other = list(best)
        other[place] += step
        assert mixed(network, documents, other) > least


def test_votes_that_mislead_change_nothing(held_out):
    network, documents = held_out
    documents.side_inputs = sparse.csr_array(1 - documents.Y.toarray(), dtype=np.float32)
    loss = BinaryCrossEntropyLoss().build(documents.Y)
    assert fit_mixture(network, documents, loss, "cpu") == [1, 1, 0]
