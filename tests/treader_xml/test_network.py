"""The network that reads beside a teacher: every equation in loops, masks, poolings, votes."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit

from skmltc._networks import as_tensor
from skmltc.decision import Documents
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN, WordEmbedding
from skmltc.losses import BinaryCrossEntropyLoss
from skmltc.treader_xml._network import (
    POOLINGS,
    READINGS,
    FeatureReader,
    Mixture,
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
    "of 8": WordEmbedding(embedding_dim=8),
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


def make_feature_reader(dim=6):
    torch.manual_seed(0)
    return FeatureReader(BagEncoder(hidden_dims=(dim,)).build(12), 12).eval()


def make_body(descriptions=WORDS, reading=READINGS[0], pooling="mean", dim=5, of=make_reader):
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


# ------------------------------------------------------------------------------------ readers


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
    reader, words = make_feature_reader(), torch.from_numpy(WORDS)
    states, mask = reader.embed_words(words)
    alone = reader.encoder(torch.eye(12))  # feature i is word i + 1
    assert states.shape == (5, 3, 6)
    assert_array_equal(mask, WORDS != 0)
    for place in zip(*np.nonzero(WORDS), strict=True):
        assert_allclose(states[place].detach(), alone[WORDS[place] - 1].detach(), rtol=1e-6)


def test_a_document_of_features_is_a_sequence_of_one():
    reader, X = make_feature_reader(), torch.rand(4, 12)
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


@pytest.mark.parametrize("of", [make_reader, lambda: make_reader("cnn"), make_feature_reader])
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
    body = make_body()
    before = joint(body, TEXTS)  # (4, 3 of the teacher + 8 of the text, padded, 6)
    other_texts = joint(body, torch.where(TEXTS == 0, 0, 7))
    assert_array_equal(other_texts[:, :3], before[:, :3])
    other_scopes = joint(body, TEXTS, SCOPES[[2, 2, 0, 0]])
    assert (other_scopes != before).any(dim=2)[:, 3:].all()


def test_without_a_scope_the_text_is_read_as_without_a_teacher():
    taught = make_body()
    alone = copy.deepcopy(taught)
    alone.teacher = None
    empty = scope_tensor(np.zeros((4, 5)))
    assert_allclose(taught((TEXTS, empty)), alone((TEXTS, scope_tensor())), atol=1e-6)


@pytest.mark.parametrize("reading", [None, *READINGS])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_whole_of_it_by_hand(reading, pooling):
    body = make_body(reading=reading, pooling=pooling)
    text, mask = body.reader(TEXTS)
    taught, known = body.teacher(scope_tensor())
    if reading:
        text, taught = body.read_text(text, mask), body.read_teacher(taught, known)
    mask = torch.cat([known, mask], dim=1)
    states = attention_in_loops(body.interaction, torch.cat([taught, text], dim=1), mask)
    expected = pool_in_loops(pooling, states @ body.bottleneck.weight.T, mask)
    assert_allclose(body((TEXTS, scope_tensor())), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("taught", [True, False])
@pytest.mark.parametrize("reading", [None, READINGS[0]])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_on_features_the_vector_of_a_document_is_added_to_what_is_read(taught, reading, pooling):
    """A sequence of one: its layers are tanh after tanh, and pooled it is one among the words."""
    words = WORDS if taught else None
    body = make_body(words, reading, pooling, of=make_feature_reader)
    documents, scopes = torch.rand(4, 12), scope_tensor()
    own, mask = body.reader(documents)  # (4, 1, 6)
    states = body.read_text(own, mask)
    if taught:
        teacher, known = body.teacher(scopes)
        states = torch.cat([body.read_teacher(teacher, known), states], dim=1)
        mask = torch.cat([known, mask], dim=1)
    bottleneck = body.bottleneck.weight.T
    read = pool_in_loops(pooling, body.interaction(states, mask) @ bottleneck, mask)
    assert_allclose(body((documents, scopes)), read + own[:, 0] @ bottleneck, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("reading", READINGS)
def test_text_and_teacher_are_read_with_weights_of_their_own(reading):
    """Changing those of one changes what it makes of a sequence, and leaves the other's."""
    states = sequences().float()
    mask = all_seen(states)
    for name, other in (("read_text", "read_teacher"), ("read_teacher", "read_text")):
        body = make_body(reading=reading)
        changed, left = getattr(body, name), getattr(body, other)
        before, before_left = changed(states, mask), left(states, mask)
        for weight in changed.parameters():
            weight.add_(torch.randn_like(weight))
        assert_array_equal(left(states, mask), before_left)
        assert (changed(states, mask) != before).any()


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
    return ReadingNetwork(make_body(**settings), n_labels, votes).eval().requires_grad_(False)


def test_votes_add_to_the_logits_of_the_labels_alone():
    network, batch = make_network(), (TEXTS, scope_tensor())
    network.vote_weight.fill_(0.7)
    expected = network.head(network.body(batch)) + 0.7 * torch.from_numpy(SCOPES[:, :4])
    assert_allclose(network(batch), expected, atol=1e-6)
    silent = make_network(votes=False)
    assert silent.vote_weight is None
    assert_array_equal(silent(batch), silent.head(silent.body(batch)))


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


# ------------------------------------------------------------------------------------- scores


class Scopes:
    """Scope sets by the first number of a document, in place of its neighbours."""

    def __init__(self, scopes):
        self.of_all = sparse.csr_array(scopes.astype(np.float32))

    def scopes(self, X):
        first = X[:, [0]].toarray() if sparse.issparse(X) else X[:, [0]]
        return self.of_all[first.ravel().astype(int) % self.of_all.shape[0]]


def token_documents(rng, n_samples, n_ids=12):
    X = rng.randint(2, n_ids, (n_samples, 7)) * (np.arange(7) < rng.randint(1, 8, (n_samples, 1)))
    return X.astype(np.int32)


def feature_documents(rng, n_samples, n_features=12):
    X = rng.rand(n_samples, n_features) * (rng.rand(n_samples, n_features) < 0.5)
    X[:, 0] = rng.randint(50, size=n_samples)
    return sparse.csr_array(X.astype(np.float32))


KINDS = pytest.mark.parametrize(
    "of, documents", [(make_reader, token_documents), (make_feature_reader, feature_documents)]
)


@KINDS
@pytest.mark.parametrize("votes", [True, False])
def test_without_a_mixture_scores_are_those_of_the_network(of, documents, votes):
    network, X = make_network(votes=votes, of=of), documents(np.random.RandomState(0), 4)
    if votes:
        network.vote_weight.fill_(1.3)
    scorer = ReadingScorer(network, Scopes(SCOPES))
    batch = as_tensor(X), as_tensor(scorer.retriever.scopes(X))
    scores = scorer.scores(scorer.encode(X, "cpu"))
    assert_allclose(scores, network(batch), rtol=1e-5, atol=1e-5)
    assert scores.shape == (4, 4) and scores.dtype == np.float32


@KINDS
def test_with_a_mixture_scores_are_what_it_makes_of_reading_and_votes(of, documents):
    """What the network learned of the votes no longer counts."""
    network, X = make_network(of=of), documents(np.random.RandomState(0), 4)
    network.vote_weight.fill_(100.0)
    scorer = ReadingScorer(network, Scopes(SCOPES), Mixture(0.5, 2.0, -3.0))
    votes = scorer.retriever.scopes(X)
    read = network.head(network.body((as_tensor(X), as_tensor(votes)))).numpy()
    scores = scorer.scores(scorer.encode(X, "cpu"))
    assert_allclose(scores, 0.5 * read + 2 * votes.toarray()[:, :4] - 3, rtol=1e-5, atol=1e-5)
    assert scores.dtype == np.float32


@pytest.fixture(scope="module")
def many():
    """Scorers of more documents and labels than one product takes; 3 further rows are parents.

    Their vectors have 8 numbers: with 5, 6 or 7 the product of torch itself would differ in the
    last bit with the place of a row.
    """
    rng, scorers = np.random.RandomState(0), {}
    words = rng.randint(2, 12, (173, 3))
    scopes = rng.rand(50, 173) * (rng.rand(50, 173) < 0.1)
    readers = {"tokens": lambda: make_reader("of 8"), "features": lambda: make_feature_reader(8)}
    for kind, of in readers.items():
        network = make_network(170, descriptions=words, of=of, dim=70)
        for mixture in (None, Mixture(0.7, 1.9, -0.3)):
            scorers[kind, mixture is None] = ReadingScorer(network, Scopes(scopes), mixture)
    return SimpleNamespace(
        scorers=scorers,
        X={"tokens": token_documents(rng, 300), "features": feature_documents(rng, 300)},
    )


EACH_SCORER = pytest.mark.parametrize(
    "kind, is_plain", [(k, plain) for k in ("tokens", "features") for plain in (True, False)]
)


@EACH_SCORER
def test_scores_of_a_label_do_not_depend_on_other_labels(kind, is_plain, many):
    scorer = many.scorers[kind, is_plain]
    encoded = scorer.encode(many.X[kind], "cpu")
    scores, rng = scorer.scores(encoded), np.random.RandomState(1)
    subsets = [rng.permutation(170)[:n] for n in (1, 2, 7, 63, 64, 65, 100, 170)]
    for labels in (*subsets, np.arange(170)):
        assert_array_equal(scorer.scores(encoded, labels), scores[:, labels])


@EACH_SCORER
def test_scores_of_a_document_do_not_depend_on_other_documents(kind, is_plain, many):
    scorer, X, rng = many.scorers[kind, is_plain], many.X[kind], np.random.RandomState(2)
    scores = scorer.scores(scorer.encode(X, "cpu"))
    for n in (1, 2, 31, 33, 256, 257):
        rows = rng.permutation(300)[:n]
        found = scorer.scores(scorer.encode(X[rows], "cpu"))
        assert_array_equal(found, scores[rows])


# ------------------------------------------------------------------------------------ mixture


class Told:
    """A scorer whose readings and votes are given; X holds row numbers."""

    def __init__(self, read, votes):
        self.read, self.votes = read.astype(np.float32), votes.astype(np.float32)

    def encode(self, X, device):
        return X[:, 0]

    def evidence(self, encoded, labels):
        return self.read[encoded][:, labels], self.votes[encoded][:, labels]


def drawn(read, votes, mixture, rng):
    """A scorer, and documents whose labels are drawn with the odds of a mixture."""
    scale, weight, offset = mixture
    is_true = rng.rand(*read.shape) < expit(scale * read + weight * votes + offset)
    X = np.arange(len(read))[:, None]
    return Told(read, votes), Documents(X, sparse.csr_array(is_true.astype(np.float64)))


def evidence(rng, n_samples=2000, n_labels=10):
    """Readings of a known spread, and votes that are mostly 0."""
    read = rng.randn(n_samples, n_labels) - 1
    return read, rng.exponential(1, read.shape) * (rng.rand(*read.shape) < 0.3)


@pytest.mark.parametrize("spread", [1e-3, 1, 1e3])
@pytest.mark.parametrize("mixture", [(1.5, 0.8, -1.0), (0.4, 2.5, 0.5), (2.0, 0.1, -2.0)])
def test_a_mixture_that_labels_were_drawn_by_is_found(mixture, spread):
    rng = np.random.RandomState(0)
    read, votes = evidence(rng)
    scale, weight, offset = mixture
    scorer, documents = drawn(spread * read, votes, (scale / spread, weight, offset), rng)
    found = fit_mixture(scorer, documents, "cpu")
    assert_allclose(found.scale * spread, scale, rtol=0.1)
    assert_allclose(found[1:], (weight, offset), atol=0.1)


def test_the_mixture_is_at_the_minimum_of_the_log_loss():
    """There the residuals are uncorrelated with each part."""
    rng = np.random.RandomState(1)
    scorer, documents = drawn(*evidence(rng, 300, 4), (1.0, 1.0, 0.0), rng)
    scale, weight, offset = fit_mixture(scorer, documents, "cpu")
    left = documents.Y.toarray() - expit(scale * scorer.read + weight * scorer.votes + offset)
    for part in (scorer.read, scorer.votes, np.ones_like(left)):
        assert_allclose((left * part).sum(), 0, atol=1e-4 * left.size)


@pytest.mark.parametrize("mixture", [(1.0, -2.0, 0.0), (-1.0, 1.0, 0.0)])
def test_where_votes_or_reading_mislead_there_is_no_mixture(mixture):
    rng = np.random.RandomState(0)
    scorer, documents = drawn(*evidence(rng), mixture, rng)
    assert fit_mixture(scorer, documents, "cpu") is None


def test_readings_that_are_all_equal_leave_the_votes_to_decide():
    """A rare label and documents without a word: all of them are read alike."""
    rng = np.random.RandomState(0)
    _, votes = evidence(rng, 3000, 1)
    scorer, documents = drawn(np.full_like(votes, -6.0), votes, (1.0, 1.5, 3.0), rng)
    scale, weight, offset = fit_mixture(scorer, documents, "cpu")
    assert_allclose((weight, offset - 6 * scale), (1.5, -3), atol=0.2)


def test_the_mixture_of_a_scorer_is_of_its_reading_and_the_votes_of_its_neighbours(many):
    """Of labels alone, not of parents; a mixture that the scorer has already does not matter."""
    rng, X = np.random.RandomState(0), many.X["tokens"]
    plain, mixed = many.scorers["tokens", True], many.scorers["tokens", False]
    votes = plain.retriever.scopes(X)
    read = plain.network.head(plain.network.body((as_tensor(X), as_tensor(votes)))).numpy()
    told, documents = drawn(read, votes.toarray()[:, :170], (1.5, 0.8, -1.0), rng)
    expected = fit_mixture(told, documents, "cpu")
    documents = Documents(X, documents.Y)
    assert_allclose(fit_mixture(plain, documents, "cpu"), expected, rtol=1e-4)
    assert fit_mixture(mixed, documents, "cpu") == fit_mixture(plain, documents, "cpu")


# ------------------------------------------------------- vectors, computed apart from the package


def w(rows, columns, offset):
    """The rule by which all arrays of the vectors are made."""
    i, j = np.ogrid[:rows, :columns]
    return torch.from_numpy(((3 * i + 5 * j + offset) % 7 - 3) / 10)


EMBEDDED = torch.tensor([[1, 0, 0.5, -1], [0, 2, -0.5, 1], [1.5, -1, 0, 0.5]], dtype=torch.float64)
TAUGHT = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 1, -1]], dtype=torch.float64)
MASKED = [
    [-0.1194273, -0.10955847, 0.07485969, -0.08975778],
    [0.03241245, -0.02175933, -0.00672522, 0.17839694],
    [-0.07242314, -0.03884708, 0.00156909, 0.09757803],
]
UNMASKED = [
    [-0.06812378, -0.03790365, 0.00100723, 0.10110166],
    [-0.06454482, -0.0629191, 0.04309738, 0.12284656],
    [-0.07242314, -0.03884708, 0.00156909, 0.09757803],
]
READ = {
    "mmhsa+residual+mhsa": [
        [0.0800228, -0.07005819, 0.03014156, 0.04287167],
        [0.0477506, -0.03669469, -0.06020965, 0.05714737],
        [0.09006873, -0.09505167, 0.06925962, 0.04744697],
    ],
    "mhsa+residual+mmhsa": [
        [0.02847425, -0.17143656, 0.25231795, 0.12505189],
        [-0.04344066, -0.01753027, -0.14108571, 0.1161858],
        [0.09501586, -0.08788545, 0.05148544, 0.04149088],
    ],
    "mmhsa+mhsa": [
        [0.00900093, 0.0069265, -0.00635652, -0.01187775],
        [0.00900062, 0.00692025, -0.00636318, -0.01186672],
        [0.00900733, 0.00692251, -0.00637477, -0.0118691],
    ],
    "mmhsa+residual": EMBEDDED.numpy() + MASKED,
    "mhsa+residual": EMBEDDED.numpy() + UNMASKED,
}
TEACHER_READ = [
    [-0.01331978, 0.12159515, 0.02119545, -0.13816627],
    [-0.00997072, 0.12760614, 0.01844019, -0.14270367],
]
JOINT = [
    [-0.00485356, 0.01250298, -0.01970086, -0.01334721],
    [-0.004754, 0.01311671, -0.02031104, -0.01370932],
    [-0.00775091, 0.00898296, -0.00984267, -0.00726362],
    [-0.0040277, 0.00781969, -0.00696399, -0.00477544],
    [-0.00768747, 0.00573339, -0.00215484, -0.00219171],
]
POOLED = {
    "mean": ([0.00404089, -0.00096824, -0.0017914], [-0.00036758, 0.00095081]),
    "last": ([0.00212722, 0.00187896, -0.00224214], [0.00043509, 0.00000184]),
    "max": ([0.00579002, 0.00187896, -0.00143723], [-0.00053894, 0.00126166]),
}


@torch.no_grad()
def fill(attention, offset):
    """Give an attention of dimension 4 the weights of the vectors, as right factors."""
    query, key, value, out = (w(4, 4, offset + k).T for k in range(4))
    attention.double().inputs.weight.copy_(torch.cat([query, key, value]))
    attention.output.weight.copy_(out)
    return attention.requires_grad_(False)


def filled_reading(name, offset):
    reading = Reading(4, 2, name)
    for k, layer in enumerate(reading.layers):
        fill(layer, offset + k)
    return reading


@pytest.mark.parametrize("masked, expected", [(True, MASKED), (False, UNMASKED)])
def test_vectors_of_attention(masked, expected):
    layer = fill(SelfAttention(4, 2, masked), 0)
    found = layer(EMBEDDED[None], all_seen(EMBEDDED[None]))[0]
    assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("name", READINGS)
def test_vectors_of_readings(name):
    found = filled_reading(name, 0)(EMBEDDED[None], all_seen(EMBEDDED[None]))[0]
    assert_allclose(found, READ[name], atol=1e-8)


class Given(torch.nn.Module):
    """A reader of what is given, or a teacher."""

    dim, is_single = 4, False

    def __init__(self, states):
        super().__init__()
        self.states = states

    def forward(self, batch):
        return self.states[None], all_seen(self.states[None])


@pytest.mark.parametrize("pooling", POOLINGS)
@torch.no_grad()
def test_vectors_of_the_whole_network(pooling):
    """Teacher and text are read, joined, read again, pooled and classified."""
    settings = {"n_heads": 2, "reading": READINGS[0], "pooling": pooling, "output_dim": 3}
    body = ReadingEncoder(Given(EMBEDDED), None, **settings)
    body.teacher = Given(TAUGHT)
    body.read_text, body.read_teacher = (filled_reading(READINGS[0], k) for k in (0, 2))
    fill(body.interaction, 4)
    body.bottleneck.double().weight.copy_(w(4, 3, 2).T)
    network = ReadingNetwork(body, 2, votes=False)
    network.head.double().weight.copy_(w(3, 2, 1).T)
    network.head.bias.zero_()
    seen = []
    for module in (body.read_teacher, body.interaction, body):
        module.register_forward_hook(lambda module, inputs, out: seen.append(out[0]))
    logits = network((None, None))
    vector, expected = POOLED[pooling]
    for found, value in zip(seen, (TEACHER_READ, JOINT, vector), strict=True):
        assert_allclose(found, value, atol=1e-8)
    assert_allclose(logits[0], expected, atol=1e-8)


def test_vectors_of_the_teacher():
    """A mean by position, over the labels that have a word there."""
    torch.manual_seed(0)
    reader = TokenReader(WordEmbedding(embedding_dim=4, embeddings="random").build(12)).eval()
    reader.encoder.embedding.weight.data = w(12, 4, 1).float()
    descriptions = np.array([[2, 3, 4, 0], [5, 0, 0, 0], [6, 7, 8, 9]])
    states, known = Teacher(reader, descriptions)(scope_tensor(np.ones((1, 3))))
    expected = [
        [-0.06666667, -0.03333333, 0, 0.03333333],
        [-0.1, 0.05, 0.2, 0],
        [0.2, 0, -0.2, -0.05],
        [-0.3, 0.2, 0, -0.2],
    ]
    assert known.all()
    assert_allclose(states[0].detach(), expected, atol=1e-7)


def test_the_vector_of_the_loss_is_of_logits():
    """Equation 19; a softmax before would make it 2.03677698."""
    logits, targets = torch.tensor([[1.2, -0.3, 0.4]]).double(), torch.tensor([[1.0, 0, 0]])
    loss = BinaryCrossEntropyLoss().build(sparse.csr_array([[1, 0, 0]]))
    assert loss(logits, targets).item() == pytest.approx(0.57688432, abs=1e-8)
    assert 3 * loss(logits, targets).item() == pytest.approx(1.73065296, abs=1e-7)
