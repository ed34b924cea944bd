"""Rows of the HTTN paper: what they set, and their training against a loop of torch's own."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from skmltc import HeadToTailClassifier
from skmltc.datasets import make_long_tailed_corpus
from skmltc.head_to_tail import AdamTransfer
from skmltc.text import TokenSequenceVectorizer

SMALL = {"encoder__hidden_dim": 4, "encoder__output_dim": 6, "encoder__embedding_dim": 5}
SMALL |= {"batch_size": 30, "training__max_epochs": 8, "random_state": 0}
N_STEPS = 20


@pytest.fixture(scope="module")
def corpus():
    corpus = make_long_tailed_corpus(n_samples=120, n_labels=8, random_state=0)
    X = TokenSequenceVectorizer(max_length=12).fit_transform(corpus.data)
    return X, corpus.target


class Record(Callback):
    """Keep the weights before and after each step, and the batches that torch has drawn."""

    def on_train_begin(self, net, **_):
        self.weights_, self.batches_ = [copy.deepcopy(net.module_.state_dict())], []

    def on_batch_end(self, net, batch, training=False, **_):
        if training:
            self.weights_.append(copy.deepcopy(net.module_.state_dict()))
            self.batches_.append((batch[0], batch[1].to_dense()))


class Bare(nn.Module):
    """The network of the released code, with torch's bidirectional LSTM on packed sequences."""

    def __init__(self, weights, normalized):
        super().__init__()
        self.embedding = nn.Embedding(*weights["0.embedding.weight"].shape, padding_idx=0)
        hidden = weights["0.attention.weight"].shape[1] // 2
        self.lstm = nn.LSTM(5, hidden, batch_first=True, bidirectional=True)
        self.attention = nn.Linear(2 * hidden, 1, bias=False)
        self.projection = nn.Linear(2 * hidden, 6, bias="0.projection.bias" in weights)
        self.head = nn.Linear(6, len(weights["1.weight"]), bias=False)
        self.scale = nn.Parameter(torch.tensor(10.0), requires_grad=normalized)
        self.load_state_dict(as_bare(weights, self.scale), strict=True)
        self.normalized = normalized

    def forward(self, token_ids):
        lengths = (token_ids != 0).sum(dim=1).clamp(min=1)
        how = {"batch_first": True, "enforce_sorted": False}
        packed = nn.utils.rnn.pack_padded_sequence(self.embedding(token_ids), lengths, **how)
        states = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]
        empty = torch.arange(states.shape[1]) >= lengths[:, None]
        weights = self.attention(states).squeeze(2).masked_fill(empty, -torch.inf).softmax(dim=1)
        vectors = self.projection((weights[:, :, None] * states).sum(dim=1))
        return self.scale * normalize(vectors, dim=1) if self.normalized else vectors


def as_bare(weights, scale):
    """Names of `Bare` for those of the package's network."""
    names = {"0.forwards.": ("lstm.", ""), "0.backwards.": ("lstm.", "_reverse")}
    found = {"scale": weights.get("1.scale", scale.detach()), "head.weight": weights["1.weight"]}
    for name, value in weights.items():
        for start, (new, end) in names.items():
            if name.startswith(start):
                found[name.replace(start, new) + end] = value
        if name.split(".")[1] in ("embedding", "attention", "projection"):
            found[name.removeprefix("0.")] = value
    return found


@pytest.mark.parametrize("as_released", [True, False])
def test_twenty_steps_of_the_head_are_those_of_a_loop(as_released, corpus):
    fitted = HeadToTailClassifier.as_published(
        "H", as_released=as_released, n_tail=2, callbacks=[Record()], **SMALL
    )
    record = dict(fitted.fit(*corpus).net_.callbacks_)["Record"]
    assert len(record.batches_) > N_STEPS
    bare = Bare(record.weights_[0], as_released)
    fast = [*bare.projection.parameters(), *bare.head.parameters(), bare.scale]
    slow = [*bare.embedding.parameters(), *bare.lstm.parameters(), *bare.attention.parameters()]
    groups = [{"params": fast, "lr": 0.01 if as_released else 0.001}, {"params": slow, "lr": 0.001}]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    for token_ids, targets in record.batches_[:N_STEPS]:
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(bare.head(bare(token_ids)), targets).backward()
        optimizer.step()
    expected = as_bare(record.weights_[N_STEPS], torch.tensor(10.0))
    for name, value in bare.state_dict().items():
        assert_allclose(value, expected[name], atol=1e-5, err_msg=name)
    assert not record.weights_[N_STEPS]["1.bias"].any()
    assert ("1.scale" in record.weights_[0]) == as_released


def test_an_epoch_sees_each_document_of_the_head_once_in_an_order_of_its_own(corpus):
    fitted = HeadToTailClassifier.as_published("H", n_tail=2, callbacks=[Record()], **SMALL)
    record = dict(fitted.fit(*corpus).net_.callbacks_)["Record"]
    per_epoch = len(record.batches_) // 8
    epochs = []
    for k in range(2):
        batches = record.batches_[k * per_epoch : (k + 1) * per_epoch]
        filled = [np.pad(X, ((0, 0), (0, 12 - X.shape[1]))) for X, _ in batches]
        epochs.append(np.concatenate(filled))
        assert [len(X) for X, _ in batches[:-1]] == [30] * (per_epoch - 1)
        assert all((Y.sum(dim=1) > 0).all() for _, Y in batches)
    assert (epochs[0] != epochs[1]).any()
    assert_array_equal(*(epoch[np.lexsort(epoch.T)] for epoch in epochs))


def test_the_epoch_of_the_best_micro_f1_is_kept(corpus):
    fitted = HeadToTailClassifier.as_published("H-F", n_tail=2, callbacks=[Record()], **SMALL)
    record = dict(fitted.fit(*corpus).net_.callbacks_)["Record"]
    scores = [row["valid_micro_f1"] for row in fitted.history_]
    assert len(scores) == 8
    best = record.weights_[(int(np.argmax(scores)) + 1) * len(record.batches_) // 8]
    assert all(torch.equal(v, best[n]) for n, v in fitted.net_.module_.state_dict().items())


def test_fine_tuning_is_a_loop_of_two_epochs_over_documents_drawn_for_the_tail(corpus):
    """From "H-F", whose draws are the same: Adam at 0.0001, 45 documents per step."""
    X, Y = corpus
    start, tuned = (
        HeadToTailClassifier.as_published(row, n_tail=2, n_prototypes=4, **SMALL).fit(X, Y)
        for row in ("H-F", "H")
    )
    scale = copy.deepcopy(start.net_.module_[1].scale)
    encoder, heads = copy.deepcopy(start.module_)
    columns = [part.weight[0] / scale for part in heads.parts]
    M = torch.cat(columns, dim=1)[:, np.argsort(heads.labels)].detach().requires_grad_()
    drawn = drawn_for(start.tail_labels_, Y, n_draws=4)
    optimizer = torch.optim.Adam([*encoder.parameters(), M, scale], lr=1e-4, betas=(0.9, 0.99))
    torch.manual_seed(0)
    for _ in range(2):
        for rows in torch.randperm(len(drawn)).split(45):
            token_ids = torch.from_numpy(X[drawn[rows]])
            targets = torch.from_numpy(Y[drawn[rows]].toarray()).float()
            logits = scale * encoder.train()(token_ids) @ M
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(logits, targets).backward()
            optimizer.step()
    for one, other in zip(encoder.parameters(), tuned.module_[0].parameters(), strict=True):
        assert_allclose(other.detach(), one.detach(), atol=1e-5)
    parts = tuned.module_[1].parts
    weights = torch.cat([part.weight[0] for part in parts], dim=1).detach()
    assert_allclose(weights[:, np.argsort(heads.labels)], (scale * M).detach(), atol=1e-4)
    assert_allclose(tuned.transfer_.scale, scale.item(), atol=1e-5)
    assert (weights[:, np.argsort(heads.labels)] - start_weights(start)).abs().min() > 1e-4
    assert not any(part.bias.any() for part in parts)


def start_weights(fitted):
    heads = fitted.module_[1]
    weights = torch.cat([part.weight[0] for part in heads.parts], dim=1).detach()
    return weights[:, np.argsort(heads.labels)]


def drawn_for(labels, Y, n_draws, t=5, seed=0):
    """Five documents of each label, drawn by the place of random numbers, several times."""
    rng, rows = np.random.RandomState(seed), []
    for _ in range(n_draws):
        for label in labels:
            has = np.flatnonzero(Y[:, [label]].toarray())
            rows.append(has[np.argsort(rng.random_sample(len(has)))[:t]])
    return np.concatenate(rows)


# ------------------------------------------------------------------------------------- what is set


@pytest.mark.parametrize("row", ["H-F-A", "H-F", "H", "EH-F-A", "EH"])
def test_rows_are_made_of_attention_fine_tuning_and_members(row):
    made = HeadToTailClassifier.as_published(row)
    assert made.attention == ("-A" not in row)
    assert made.fine_tune == (None if "-F" in row else "paper")
    members = row.startswith("E")
    assert (made.n_ensembles, made.n_prototypes) == ((30, 60) if members else (1, 30))
    assert made.transfer.lr == (0.013 if members else 0.012 if made.attention else 0.01)
    assert made.transfer.get_params() | {"lr": 0.01} == AdamTransfer().get_params()
    assert not made.calibrate_tail and made.n_prototype_documents == 5


def test_the_baselines():
    joint, imprinting = map(HeadToTailClassifier.as_published, ("Joint", "Imprinting"))
    assert joint.n_tail == 0
    assert (imprinting.transfer, imprinting.attention) == ("identity", False)
    assert imprinting.fine_tune is None


def test_the_page_has_neither_unit_vectors_nor_that_bias_nor_rates_apart():
    released, printed = (
        HeadToTailClassifier.as_published("H", as_released=r).get_params() for r in (True, False)
    )
    differ = {name for name in released if repr(released[name]) != repr(printed[name])}
    of_encoder = {"encoder__hidden_dim", "encoder__bias", "encoder__normalize"}
    assert differ - of_encoder == {"normalize", "encoder", "training", "training__lr_factors"}
    assert [printed[name] for name in sorted(of_encoder)] == [False, 300, False]
    assert printed["training__lr_factors"] is None and not printed["normalize"]


def test_imprinting_predicts_every_label_with_a_positive_cosine(corpus):
    """So at 0.5 without a bias the row says little, as the page of the estimator tells."""
    X, Y = corpus
    fitted = HeadToTailClassifier.as_published("Imprinting", n_tail=2, **SMALL).fit(X, Y)
    prototypes = normalize(fitted.module_[1].parts[1].weight[0].T.detach(), dim=1)
    with torch.no_grad():
        cosines = fitted.module_[0](torch.from_numpy(X)) @ prototypes.T
    predicted = fitted.predict(X)[:, fitted.tail_labels_].toarray() > 0
    assert_array_equal(predicted[abs(cosines) > 1e-5], (cosines > 0)[abs(cosines) > 1e-5])
