"""Training of networks: settings, parts held out, a naive loop of AdamW, seeds, interruptions."""

import subprocess
import sys
import threading
import warnings
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import precision_recall_curve
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skmltc import BalancedLossClassifier
from skmltc._inputs import Inputs
from skmltc._networks.batches import Batches, DocumentDataset, as_tensor, sorted_by_length
from skmltc._networks.callbacks import Watch
from skmltc._networks.outcome import best_epoch, fitted_by, probe
from skmltc._networks.training import SparseTargets, Trainer, seeded_torch
from skmltc._targets import count_labels
from skmltc.decision import Documents
from skmltc.encoders import (
    BagEncoder,
    BiLSTMAttention,
    TextCNN,
    Training,
    build_network,
    parts_of,
)
from skmltc.losses import LOSSES, BinaryCrossEntropyLoss, FocalLoss

SETTINGS = {
    "lr": 0.02,
    "weight_decay": 0.1,
    "max_epochs": 4,
    "recommended_epochs": 15,
    "batch_size": 32,
    "patience": 2,
    "validation_fraction": 0.1,
    "early_stopping": True,
    "device": "cpu",
    "schedule": "constant",
}


def train(network, loss, documents, unseen=None, **settings):
    """Train on documents, and stop by others where they are given."""
    trainer, dataset = Trainer(**SETTINGS | settings), DocumentDataset(documents.X, documents.Y)
    held_out = None if unseen is None else sorted_by_length(unseen)
    return trainer.train(network, SparseTargets(loss), dataset, held_out, parts_of(network))


def mean_loss(loss, network, documents):
    with torch.no_grad():
        return loss(network(as_tensor(documents.X)), torch.from_numpy(documents.Y.toarray())).item()


def same_weights(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ----------------------------------------------------------------------------------- settings


def test_a_trainer_takes_where_auto_stands_what_suits_the_encoder():
    suits = Training(lr=0.5, weight_decay=0.25, max_epochs=7, lr_factors={"head": 2.0}, clip=None)
    trainer = Trainer.of(BalancedLossClassifier(), suits, "cpu")
    assert (trainer.lr, trainer.weight_decay) == (0.5, 0.25)
    assert (trainer.max_epochs, trainer.recommended_epochs) == (None, 7)
    settings = suits.get_params()
    del settings["max_epochs"]
    del settings["early_stopping"]
    assert {name: getattr(trainer, name) for name in settings} == settings
    assert trainer.lr_factors is not suits.lr_factors
    assert (trainer.batch_size, trainer.patience, trainer.validation_fraction) == (64, 5, 0.1)
    assert trainer.early_stopping == "auto" and trainer.device == "cpu"
    assert trainer.verbose == 0 and trainer.callbacks is None


@pytest.mark.parametrize(
    "model, suits, stops",
    [
        (BalancedLossClassifier(), Training(), False),
        (BalancedLossClassifier(), Training(early_stopping=True), True),
        (BalancedLossClassifier(), Training(schedule="constant"), True),
        (BalancedLossClassifier(), Training(schedule="plateau", early_stopping=False), False),
        (BalancedLossClassifier(lr=0.1), Training(), True),
        (BalancedLossClassifier(training=Training()), Training(early_stopping=True), False),
        (BalancedLossClassifier(training=Training(), lr=0.1), Training(), False),
    ],
    ids=str,
)
def test_a_rate_that_falls_to_0_needs_nothing_to_stop_by(model, suits, stops):
    assert Trainer.of(model, suits, "cpu").stops_by_default is stops


def test_a_trainer_takes_the_settings_that_are_given():
    given = {"lr": 0.1, "weight_decay": 0.0, "max_epochs": 3, "batch_size": 9, "patience": 4}
    given |= {"validation_fraction": 0.3, "early_stopping": False, "verbose": 2}
    suits = Training(lr=0.5, weight_decay=0.25, max_epochs=7)
    callbacks = [Callback()]
    trainer = Trainer.of(BalancedLossClassifier(**given, callbacks=callbacks), suits, "meta")
    assert {name: getattr(trainer, name) for name in given} == given
    assert trainer.callbacks == callbacks and trainer.device == "meta"
    assert trainer.n_epochs(10**6) == 3


FAVOURED = Training(lr=0.5, max_epochs=7, lr_factors={"head": 2.0}, warmup=0.1)


def test_a_rate_that_is_given_is_one_for_all_and_constant():
    trainer = Trainer.of(BalancedLossClassifier(lr=0.001), FAVOURED, "cpu")
    assert (trainer.lr, trainer.lr_factors) == (0.001, None)
    assert (trainer.schedule, trainer.warmup) == ("constant", 0.0)


def test_a_training_that_is_given_wins_over_the_recommended_one_as_a_whole():
    own = Training(lr=0.25, max_epochs=3, lr_factors={"encoder": 3.0}, schedule="linear")
    trainer = Trainer.of(BalancedLossClassifier(training=own), FAVOURED, "cpu")
    assert (trainer.lr, trainer.lr_factors, trainer.warmup) == (0.25, {"encoder": 3.0}, 0.0)
    assert trainer.n_epochs(10) == 3  # a number that is given is not raised
    model = BalancedLossClassifier(training=own, lr=0.001, max_epochs=2, optimizer="adam")
    trainer = Trainer.of(model, FAVOURED, "cpu")
    assert (trainer.lr, trainer.lr_factors, trainer.schedule) == (0.001, None, "linear")
    assert (trainer.optimizer, trainer.n_epochs(10), own.optimizer) == ("adam", 2, "adamw")


def test_wrong_settings_are_refused_whosesoever_they_are():
    with pytest.raises(ValueError, match="clip of Training must be"):
        Trainer.of(BalancedLossClassifier(), Training(clip=-1), "cpu")


def test_a_trainer_for_so_many_epochs_is_another_one_without_callbacks():
    trainer = Trainer(**SETTINGS, callbacks=[Callback()])
    again = trainer.for_epochs(9)
    assert (again.max_epochs, again.callbacks, again.n_epochs(5)) == (9, None, 9)
    others = SETTINGS.keys() - {"max_epochs"}
    assert all(getattr(again, name) == SETTINGS[name] for name in others)
    assert trainer.max_epochs == 4 and len(trainer.callbacks) == 1
    with pytest.raises(FrozenInstanceError):
        trainer.max_epochs = 9


@pytest.mark.parametrize(
    "n_samples, batch_size, n_epochs", [(60, 100, 200), (60, 30, 100), (60, 5, 17), (10**6, 64, 6)]
)
def test_few_documents_have_enough_epochs_for_two_hundred_steps(n_samples, batch_size, n_epochs):
    model = BalancedLossClassifier(batch_size=batch_size)
    trainer = Trainer.of(model, BagEncoder(hidden_dims=(2,)).training, "cpu")
    assert trainer.n_epochs(n_samples) == n_epochs


# -------------------------------------------------------------------------------------- parts


def random_documents(n_samples, n_labels=4, share=0.3):
    rng = np.random.RandomState(0)
    Y = sparse.csr_array((rng.rand(n_samples, n_labels) < share).astype(np.float32))
    return Documents(rng.rand(n_samples, 3), Y)


def test_documents_spared_for_validation_are_not_trained_on():
    documents = random_documents(100)
    trainer = Trainer(**SETTINGS | {"validation_fraction": 0.2})
    fit, unseen = trainer.split(documents, None, 0)
    assert fit.X.shape[0] == len(fit) == 80 and unseen.X.shape[0] == len(unseen) == 20
    together, Y = np.vstack([fit.X, unseen.X]), sparse.vstack([fit.Y, unseen.Y]).toarray()
    mine, theirs = np.lexsort(together.T), np.lexsort(documents.X.T)
    assert_array_equal(together[mine], documents.X[theirs])
    assert_array_equal(Y[mine], documents.Y.toarray()[theirs])
    again, other = trainer.split(documents, None, 0), trainer.split(documents, None, 1)
    assert_array_equal(again[1].X, unseen.X)
    assert not np.array_equal(other[1].X, unseen.X)


@pytest.mark.parametrize("early_stopping", [True, False, "auto"])
def test_a_part_that_is_given_is_the_one(early_stopping):
    documents, given = random_documents(2000), random_documents(7)
    trainer = Trainer(**SETTINGS | {"early_stopping": early_stopping})
    assert trainer.split(documents, given, 0) == (documents, given)


@pytest.mark.parametrize(
    "early_stopping, n_samples, n_unseen",
    [(False, 2000, None), (True, 20, 2), ("auto", 990, None), ("auto", 1000, 100)],
)
def test_documents_are_spared_where_there_are_a_hundred_to_stop_by(
    early_stopping, n_samples, n_unseen
):
    documents = random_documents(n_samples)
    trainer = Trainer(**SETTINGS | {"early_stopping": early_stopping})
    fit, unseen = trainer.split(documents, None, 0)
    if n_unseen is None:
        assert fit is documents and unseen is None
    else:
        assert (len(fit), len(unseen)) == (n_samples - n_unseen, n_unseen)


@pytest.mark.parametrize("lr, stops", [("auto", False), (0.01, True)])
def test_on_features_none_are_spared_as_the_rate_falls(lr, stops):
    """At a constant rate, which is given, there is an epoch to stop at."""
    model = BalancedLossClassifier(encoder=BagEncoder((4,)), lr=lr)
    trainer = Trainer.of(model, BagEncoder((4,)).training, "cpu")
    assert trainer.recommended_epochs == 6 and trainer.stops_by_default == stops
    documents, given = random_documents(2000), random_documents(7)
    fit, unseen = trainer.split(documents, None, 0)
    assert (unseen is not None) == stops and len(fit) == (1800 if stops else 2000)
    assert trainer.split(documents, given, 0) == (documents, given)
    idle = [names for holds, why, names in trainer.idle(2000, False) if holds and "auto" in why]
    assert (["validation_fraction"] in idle) != stops
    whys = [why for holds, why, _ in trainer.idle(2000, False) if holds]
    said = "with early_stopping='auto' and a training that needs none"
    assert (said in whys) != stops
    asked = Trainer.of(model.set_params(early_stopping=True), BagEncoder((4,)).training, "cpu")
    assert len(asked.split(documents, None, 0)[1]) == 200


@pytest.mark.parametrize("seed", range(10))
def test_a_split_never_takes_the_only_document_of_a_label(seed):
    documents = random_documents(60, n_labels=40, share=0.03)
    counts = count_labels(documents.Y)
    assert np.count_nonzero(counts == 1) >= 10
    trainer = Trainer(**SETTINGS | {"validation_fraction": 0.4})
    fit, unseen = trainer.split(documents, None, seed)
    assert len(unseen) == 24
    assert_array_equal(count_labels(fit.Y) > 0, counts > 0)


def test_where_too_many_documents_are_the_only_ones_none_is_spared():
    Y = sparse.csr_array(np.eye(200, dtype=np.float32))
    documents, settings = Documents(np.zeros((200, 1)), Y), SETTINGS | {"validation_fraction": 0.6}
    fit, unseen = Trainer(**settings | {"early_stopping": "auto"}).split(documents, None, 0)
    assert fit is documents and unseen is None
    with pytest.raises(ValueError, match="validation_fraction must be small enough .* Got 0.6"):
        Trainer(**settings).split(documents, None, 0)


# ----------------------------------------------------------------------------------- training


def test_targets_become_dense_in_the_loss(problem):
    Y = problem[0].Y
    loss, logits = FocalLoss().build(Y), torch.randn(67, 3)
    dense = loss(logits, torch.from_numpy(Y.toarray()))
    assert_array_equal(SparseTargets(loss)(logits, as_tensor(Y)), dense)


@pytest.mark.parametrize("form, reduction", [("csr", "mean"), ("dense", "mean"), ("csr", "sum")])
def test_training_equals_a_loop_of_adamw(problem, make_network, form, reduction):
    """The gradients of a summed loss are large enough to be clipped."""
    X, Y = problem[0].X, problem[0].Y
    X = X if form == "csr" else X.toarray()
    loss = BinaryCrossEntropyLoss().build(Y, reduction=reduction)
    network, twin = make_network(), make_network()
    torch.manual_seed(7)
    train(network, loss, Documents(X, Y))

    torch.manual_seed(7)
    optimizer, norms = torch.optim.AdamW(twin.parameters(), lr=0.02, weight_decay=0.1), []
    for _ in range(4):
        order = torch.randperm(67).numpy()
        for start in range(0, 67, 32):
            rows = order[start : start + 32]
            optimizer.zero_grad()
            loss(twin(as_tensor(X[rows])), torch.from_numpy(Y[rows].toarray())).backward()
            norm = nn.utils.clip_grad_norm_(twin.parameters(), 5.0)
            norms.append(norm.item())
            optimizer.step()
    assert (max(norms) > 5.0) == (reduction == "sum")
    for mine, naive in zip(network.parameters(), twin.parameters(), strict=True):
        assert_allclose(mine.detach(), naive.detach(), atol=1e-5)


def test_training_on_texts_equals_a_loop(token_problem, token_encoder, make_network):
    """Also of the schedule, and of the parameters with a learning rate of their own."""
    documents, _ = token_problem
    encoder = clone(token_encoder).set_params(embedding_dropout=0.0, dropout=0.0)
    loss, factors = FocalLoss().build(documents.Y), {"head": 3.0, "head_scale": 3.0}
    network, twin = make_network(encoder), make_network(encoder)
    torch.manual_seed(7)
    train(network, loss, documents, schedule="linear", lr_factors=factors)

    torch.manual_seed(7)
    groups = [{"params": twin[0].parameters()}, {"params": twin[1].parameters(), "lr": 0.06}]
    optimizer = torch.optim.AdamW(groups, lr=0.02, weight_decay=0.1)
    step, starts = 0, [0.02, 0.06]
    for _ in range(4):
        dataset = DocumentDataset(documents.X, documents.Y)
        for tokens, targets in Batches(dataset, 32, shuffle=True):
            for group, start in zip(optimizer.param_groups, starts, strict=True):
                group["lr"] = start * (1 - step / (4 * 7))
            optimizer.zero_grad()
            loss(twin(tokens), targets.to_dense()).backward()
            nn.utils.clip_grad_norm_(twin.parameters(), 5.0)
            optimizer.step()
            step += 1
    assert step == 28
    for mine, naive in zip(network.parameters(), twin.parameters(), strict=True):
        assert_allclose(mine.detach(), naive.detach(), atol=1e-4)


@pytest.mark.parametrize("clip", [None, 0.01])
def test_adam_equals_a_loop(problem, make_network, clip):
    """With betas of its own, a decay in the gradient, and a warm-up of half of the steps."""
    documents, _ = problem
    loss = BinaryCrossEntropyLoss().build(documents.Y)
    network, twin = make_network(), make_network()
    settings = {"optimizer": "adam", "betas": (0.5, 0.7), "clip": clip, "warmup": 0.5}
    torch.manual_seed(7)
    train(network, loss, documents, schedule="linear", **settings)

    torch.manual_seed(7)
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.02, betas=(0.5, 0.7), weight_decay=0.1)
    shares = [1 / 7, 2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, *(1 - k / 6 for k in range(6))]
    for _ in range(4):
        for inputs, targets in Batches(DocumentDataset(documents.X, documents.Y), 32, shuffle=True):
            optimizer.param_groups[0]["lr"] = 0.02 * shares.pop(0)
            optimizer.zero_grad()
            loss(twin(inputs), targets.to_dense()).backward()
            if clip:
                nn.utils.clip_grad_norm_(twin.parameters(), clip)
            optimizer.step()
    assert not shares
    for mine, naive in zip(network.parameters(), twin.parameters(), strict=True):
        assert_allclose(mine.detach(), naive.detach(), atol=1e-5)


class Rates(Callback):
    """The learning rate at the end of each epoch."""

    def on_train_begin(self, net, **kwargs):
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(net.optimizer_.param_groups[0]["lr"])


def test_the_rate_falls_on_a_plateau_so_often_and_then_training_stops(problem, make_network):
    documents, unseen = problem
    loss, network = FocalLoss().build(documents.Y), make_network()
    settings = {"schedule": "plateau", "plateau": (0.5, 2, 2), "patience": 1, "max_epochs": 400}
    net = train(network, loss, documents, unseen, lr=0.5, callbacks=[Rates()], **settings)
    losses, bar, misses, rate, rates = net.history[:, "valid_loss"], np.inf, 0, 0.5, []
    for value in losses:
        misses = 0 if value < bar else misses + 1
        bar = value * (1 - 1e-4) if value < bar else bar
        if misses == 2:
            rate, misses = rate / 2, 0
        rates.append(rate)
    assert rate == 0.5 / 8 and rates.count(rate) == 1  # the third plateau is the end
    assert dict(net.callbacks_)["Rates"].seen == [*rates[:-1], 0.5 / 4][: len(rates) - 1]
    assert_allclose(mean_loss(loss, network, unseen), min(losses), rtol=1e-5)


def test_a_network_trained_again_has_the_falls_of_the_first(problem, make_network):
    documents, unseen = problem
    settings = {"schedule": "plateau", "plateau": (0.5, 2, 2), "max_epochs": 400, "lr": 0.5}
    loss, trainer = FocalLoss().build(documents.Y), Trainer(**SETTINGS | settings)
    dataset, held = (DocumentDataset(part.X, part.Y) for part in problem)
    first = trainer.train(make_network(), SparseTargets(loss), dataset, held)
    again = trainer.as_before(first)
    falls = dict(first.callbacks_)["schedule"].falls_
    assert again.falls == tuple(falls) and len(falls) == 2
    assert again.max_epochs == best_epoch(first) == np.argmin(first.history[:, "valid_loss"]) + 1
    second = again.train(make_network(), SparseTargets(loss), dataset)
    assert len(second.history) == best_epoch(first)
    reached = [fall for fall in falls if fall <= best_epoch(first)]
    assert dict(second.callbacks_)["schedule"].falls_ == reached
    assert second.optimizer_.param_groups[0]["lr"] == 0.5 * 0.5 ** len(reached)


def test_without_a_validation_part_the_plateau_is_that_of_the_training_loss(problem, make_network):
    documents, _ = problem
    settings = {"schedule": "plateau", "plateau": (0.1, 1, 1), "max_epochs": 300}
    net = train(make_network(), FocalLoss().build(documents.Y), documents, lr=1.0, **settings)
    assert len(net.history) < 300 and len(dict(net.callbacks_)["schedule"].falls_) == 1
    assert best_epoch(net) == len(net.history)


def test_without_patience_training_goes_on_and_keeps_the_best(problem, make_network):
    documents, unseen = problem
    loss, network = FocalLoss().build(documents.Y), make_network()
    net = train(network, loss, documents, unseen, patience=None, lr=0.5, max_epochs=30)
    losses = net.history[:, "valid_loss"]
    assert len(losses) == 30 and best_epoch(net) == np.argmin(losses) + 1 < 28
    assert_allclose(mean_loss(loss, network, unseen), min(losses), rtol=1e-5)


def test_the_last_weights_are_kept_where_they_shall_be(problem, make_network):
    documents, unseen = problem
    loss, network = FocalLoss().build(documents.Y), make_network()
    net = train(network, loss, documents, unseen, keep="last", lr=0.5, max_epochs=60)
    losses = net.history[:, "valid_loss"]
    assert np.argmin(losses) + 1 == len(losses) - 2 and best_epoch(net) == len(losses) < 60
    assert_allclose(mean_loss(loss, network, unseen), losses[-1], rtol=1e-5)


def test_the_epoch_of_the_best_micro_f1_is_kept(problem, make_network):
    documents, unseen = problem
    loss, network = FocalLoss().build(documents.Y), make_network()
    settings = {"monitor": "micro_f1", "patience": None, "lr": 1.0, "max_epochs": 12}
    net = train(network, loss, documents, unseen, **settings)
    scores = net.history[:, "valid_micro_f1"]
    assert best_epoch(net) == np.argmax(scores) + 1 != np.argmin(net.history[:, "valid_loss"]) + 1
    with torch.no_grad():
        logits = network(as_tensor(unseen.X)).numpy()
    precision, recall, _ = precision_recall_curve(unseen.Y.toarray().ravel(), logits.ravel())
    best = (2 * precision * recall / (precision + recall)).max()
    assert_allclose(max(scores), best, atol=0.01)


@pytest.mark.parametrize("start, has_bias", [("normal", True), ("torch", False)])
def test_a_head_starts_and_has_biases_as_the_training_says(problem, start, has_bias):
    documents, _ = problem
    settings = {"head_start": start, "head_bias": has_bias, "max_epochs": 1}
    inputs, loss = Inputs("features", BagEncoder(hidden_dims=(300,)), 12), BinaryCrossEntropyLoss()
    still = Trainer(**SETTINGS | settings | {"lr": 1e-12})
    head = still.train_encoder(inputs, loss, documents, 0).module_[1]
    assert (head.weight.std() < 0.025) == (start == "normal")
    assert_allclose(head.bias.detach(), 0, atol=1e-6)
    trainer = Trainer(**SETTINGS | settings)
    assert bool(trainer.train_encoder(inputs, loss, documents, 0).module_[1].bias.any()) == has_bias


def test_texts_share_batches_by_length_only_where_they_shall(token_problem, make_network):
    documents, _ = token_problem
    loss, widths = FocalLoss().build(documents.Y), {}

    class Widths(Callback):
        def on_batch_begin(self, net, batch, **kwargs):
            widths[bucket].append(batch[0].shape[1])

    for bucket in (True, False):
        widths[bucket] = []
        encoder = TextCNN(filter_sizes=(2,), n_filters=2, embedding_dim=4, hidden_dim=4)
        settings = {"bucket": bucket, "batch_size": 10, "max_epochs": 1, "callbacks": [Widths()]}
        train(make_network(encoder), loss, documents, **settings)
    assert sum(widths[True]) < 0.7 * sum(widths[False])


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_training_in_a_precision_ends_near_to_that_in_float32(
    token_problem, token_encoder, make_network, precision, skip_without_halves
):
    skip_without_halves(token_encoder if precision == "bfloat16" else None)
    documents, unseen = token_problem
    loss = BinaryCrossEntropyLoss().build(documents.Y)
    networks = []
    for settings in ({}, {"precision": precision}):
        networks.append(make_network(token_encoder))
        torch.manual_seed(0)
        train(networks[-1], loss, documents, lr=0.005, **settings)
    exact, near = (network(as_tensor(unseen.X)) for network in networks)
    assert exact.dtype == near.dtype == torch.float32
    assert torch.equal(exact, near) == (precision == "float32")
    assert (exact - near).norm() < 0.1 * exact.norm()


def test_callbacks_are_copied(problem, make_network):
    documents, _ = problem
    mine = Rates()
    mine.extra = [1]
    net = train(make_network(), FocalLoss().build(documents.Y), documents, callbacks=[mine])
    copied = dict(net.callbacks_)["Rates"]
    assert vars(mine) == {"extra": [1]} and copied is not mine
    assert copied.seen == [0.02] * 4 and copied.extra == [1] and copied.extra is not mine.extra


def test_the_network_learns_and_ends_in_evaluation_mode(problem, make_network):
    documents, _ = problem
    loss, network = FocalLoss().build(documents.Y), make_network(dropout=0.2)
    before = mean_loss(loss, network.eval(), documents)
    net = train(network.train(), loss, documents, max_epochs=30)
    assert net.module_ is network and not network.training
    assert mean_loss(loss, network, documents) < 0.7 * before
    assert len(net.history) == 30 and net.history[-1, "train_loss"] < net.history[0, "train_loss"]


def test_networks_learn_texts_and_the_same_seed_gives_the_same_model(
    token_problem, token_encoder, make_network
):
    documents, unseen = token_problem
    loss = FocalLoss().build(documents.Y)
    networks = [make_network(token_encoder) for _ in range(2)]
    for network in networks:
        before = mean_loss(loss, network.eval(), documents)
        torch.manual_seed(3)
        train(network, loss, documents, unseen, max_epochs=12, weight_decay=0.01)
        assert mean_loss(loss, network, documents) < 0.7 * before
    assert same_weights(*networks)


def test_the_weights_of_the_lowest_validation_loss_are_kept(problem, make_network):
    documents, unseen = problem
    loss, network = FocalLoss().build(documents.Y), make_network()
    net = train(network, loss, documents, unseen, lr=0.2, max_epochs=60)
    losses = net.history[:, "valid_loss"]
    assert len(losses) < 60
    assert int(np.argmin(losses)) == len(losses) - 1 - 2  # patience is 2
    assert losses[-1] > min(losses)
    assert_allclose(mean_loss(loss, network, unseen), min(losses), rtol=1e-5)


def test_no_validation_no_stopping(problem, make_network, capsys):
    documents, _ = problem
    net = train(make_network(), FocalLoss().build(documents.Y), documents, lr=2.0)
    assert len(net.history) == 4 and "valid_loss" not in net.history[0]
    assert capsys.readouterr().out == ""


def test_without_early_stopping_a_validation_part_changes_nothing(problem, make_network):
    documents, unseen = problem
    loss, networks = FocalLoss().build(documents.Y), [make_network() for _ in range(2)]
    for network, part in zip(networks, (unseen, None), strict=True):
        torch.manual_seed(3)
        settings = {"early_stopping": False, "lr": 0.2, "max_epochs": 30}
        net = train(network, loss, documents, part, **settings)
        assert len(net.history) == 30 and "valid_loss" not in net.history[0]
    assert same_weights(*networks)


def test_the_best_epoch_is_that_of_the_lowest_validation_loss(problem, make_network):
    documents, unseen = problem
    loss = FocalLoss().build(documents.Y)
    net = train(make_network(), loss, documents, unseen, max_epochs=30, lr=0.5)
    losses = net.history[:, "valid_loss"]
    assert best_epoch(net) == np.argmin(losses) + 1 == len(losses) - 2 < 30  # patience is 2
    assert best_epoch(train(make_network(), loss, documents)) == 4


def test_verbose_and_callbacks(problem, make_network, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # of the bar
    documents, unseen = problem
    seen = []

    class Listener(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(net.history[-1, "valid_loss"])

    loss, listener = FocalLoss().build(documents.Y), ("listener", Listener())
    net = train(make_network(), loss, documents, unseen, verbose=1, callbacks=[listener])
    assert seen == net.history[:, "valid_loss"]
    bar = capsys.readouterr().out.rpartition("\r")[2]
    assert bar.startswith("Training: 100%") and "12/12 [" in bar and "epoch=4" in bar
    train_loss = net.history[-1, "train_loss"]
    assert f"valid_loss={seen[-1]:.3g}" in bar and f"train_loss={train_loss:.3g}" in bar


def test_a_table_of_epochs_with_more_verbosity(problem, make_network, capsys):
    documents, _ = problem
    train(make_network(), FocalLoss().build(documents.Y), documents, verbose=2)
    out = capsys.readouterr().out
    assert "train_loss" in out and "Training:" not in out
    train(make_network(), FocalLoss().build(documents.Y), documents)
    assert capsys.readouterr().out == ""


# --------------------------------------------------------------------------------------- seeds


def test_a_seeded_block_draws_by_its_seed_and_leaves_the_generator_as_it_was():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    draws = []
    for _ in range(2):
        with seeded_torch(1):
            draws.append(torch.rand(4))
            with seeded_torch(2):
                inner = torch.rand(4)
            draws[-1] = torch.cat([draws[-1], torch.rand(4)])
    with pytest.raises(ZeroDivisionError), seeded_torch(3):
        torch.rand(1)
        1 / 0  # noqa: B018
    assert_array_equal(torch.rand(3), expected)
    assert_array_equal(*draws)
    torch.manual_seed(1)
    assert_array_equal(torch.rand(8), draws[0])
    torch.manual_seed(2)
    assert_array_equal(torch.rand(4), inner)


def test_a_seeded_block_waits_for_that_of_another_thread():
    began = threading.Event()

    def draw():
        with seeded_torch(0):
            began.set()

    other = threading.Thread(target=draw)
    with seeded_torch(0):
        other.start()
        assert not began.wait(0.2)
    other.join(10)
    assert began.is_set()


def test_the_first_training_of_a_process_changes_no_global_state():
    code = """
import os, warnings, numpy as np, torch
from skmltc import BalancedLossClassifier
from skmltc.encoders import BagEncoder
model = BalancedLossClassifier(encoder=BagEncoder(hidden_dims=(2,)), max_epochs=1, random_state=0)
state = lambda: (list(warnings.filters), dict(os.environ), torch.get_rng_state().tolist())
before = state()
model.fit(np.eye(30), np.eye(30, dtype=int)[:, np.arange(30) % 3])
for was, now in zip(before, state()):
    assert was == now, set(map(str, now)) - set(map(str, was))
"""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")


ENCODERS = [
    BagEncoder(),
    BagEncoder(hidden_dims=(5,), dropout=0.5),
    TextCNN(filter_sizes=(2,), n_filters=4, embedding_dim=8, hidden_dim=8, dropout=0.5),
    BiLSTMAttention(hidden_dim=4, output_dim=4, embedding_dim=8, embedding_dropout=0.3),
]


@pytest.fixture(params=ENCODERS, ids=repr)
def learned(request, problem, token_problem):
    """Inputs of an encoder, training documents, and others to stop by."""
    encoder = request.param
    documents, unseen = token_problem if encoder.kind == "tokens" else problem
    return Inputs(encoder.kind, encoder, 30 if encoder.kind == "tokens" else 12), documents, unseen


def trained(inputs, documents, seed, unseen=None):
    trainer = Trainer(**SETTINGS | {"max_epochs": 2})
    return trainer.train_encoder(inputs, FocalLoss(), documents, seed, unseen).module_


def test_a_fold_is_trained_as_it_would_be_alone(learned):
    """Whatever was drawn or trained before, and with the start of the word vectors too."""
    inputs, documents, unseen = learned
    fold = documents[np.arange(0, len(documents), 2)]
    torch.manual_seed(0)
    first, after = trained(inputs, fold, 11), torch.rand(3)
    torch.manual_seed(0)
    assert_array_equal(torch.rand(3), after)
    trained(inputs, documents, 11, unseen)
    torch.rand(7)
    again = trained(inputs, fold, 11)
    assert same_weights(again, first)
    assert not same_weights(trained(inputs, fold, 12), first)


def test_networks_of_two_threads_are_trained_one_after_the_other(learned):
    inputs, documents, _ = learned
    alone = [trained(inputs, documents, seed) for seed in range(4)]
    together = Parallel(n_jobs=2, backend="threading")(
        delayed(trained)(inputs, documents, seed) for seed in range(4)
    )
    assert all(map(same_weights, together, alone))


def test_heads_start_at_log_odds_save_under_negative_tolerance(learned):
    inputs, documents, _ = learned
    still = Trainer(**SETTINGS | {"max_epochs": 1, "lr": 1e-12})
    biases = []
    for name in ("bce", "distribution_balanced"):
        network = still.train_encoder(inputs, LOSSES[name](), documents, 0).module_
        head = network[-1] if isinstance(network, nn.Sequential) else network
        biases.append(head.bias.detach())
    share = count_labels(documents.Y) / len(documents)
    if inputs.encoder.starts_linear:  # with biases that go with its weights
        return
    assert_allclose(biases[0].sigmoid(), share, rtol=1e-4)
    torch.manual_seed(0)
    start = build_network(inputs.encoder, inputs.n_inputs, 3, documents.X)
    start = start[-1] if isinstance(start, nn.Sequential) else start
    assert_allclose(biases[1], start.bias.detach(), atol=1e-6)


def test_what_an_estimator_shows_of_a_training(problem, make_network):
    documents, _ = problem
    net = train(make_network(), FocalLoss().build(documents.Y), documents)
    fitted = fitted_by(net)
    assert fitted["interrupted"] is None
    assert fitted_by(net, more_=1)["attributes"] == {**fitted["attributes"], "more_": 1}
    assert fitted["attributes"]["net_"] is net and fitted["attributes"]["n_iter_"] == 4
    assert [row["epoch"] for row in fitted["attributes"]["history_"]] == [1, 2, 3, 4]


# --------------------------------------------------------------------------------- interruption


class Interrupt(Callback):
    """Ctrl-C in the second batch of some epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) == self.epoch and len(net.history[-1, "batches"]) == 2:
            raise KeyboardInterrupt


def test_an_interruption_keeps_the_best_weights_so_far(problem, make_network):
    documents, unseen = problem
    loss, network = FocalLoss().build(documents.Y), make_network()
    wild = {"lr": 0.3, "max_epochs": 60, "patience": 60, "callbacks": [Interrupt(9)]}
    net = train(network, loss, documents, unseen, **wild)
    assert net.interrupted_ == "Training was interrupted in epoch 9 of 60." and not network.training
    losses = net.history[:-1, "valid_loss"]
    assert len(losses) == 8 and losses[-1] > min(losses)
    assert_allclose(mean_loss(loss, network, unseen), min(losses), rtol=1e-5)
    said = fitted_by(net)["interrupted"]
    assert said.startswith(f"{net.interrupted_} The estimator is fitted and can be used")
    assert f"weights of epoch {np.argmin(losses) + 1}," in said


def test_an_interruption_in_the_first_epoch_keeps_the_last_weights(problem, make_network):
    documents, unseen = problem
    loss, network = FocalLoss().build(documents.Y), make_network()
    before = mean_loss(loss, network, documents)
    net = train(network, loss, documents, unseen, callbacks=[Interrupt(1)])
    assert mean_loss(loss, network, documents) < before
    assert "weights of epoch 1," in fitted_by(net)["interrupted"]


def no_labels(documents):
    return Documents(documents.X, sparse.csr_array(documents.Y.shape, dtype=np.float32))


@pytest.mark.parametrize("epoch", [1, 3])
@pytest.mark.parametrize("given", [False, True])
def test_an_interruption_with_nothing_to_decide_by_is_raised(problem, make_network, epoch, given):
    documents, unseen = problem
    part = no_labels(unseen) if given else None
    message = rf"interrupted in epoch {epoch} of 4\. The estimator is as it was before"
    with pytest.raises(KeyboardInterrupt, match=message):
        train(
            make_network(),
            FocalLoss().build(documents.Y),
            documents,
            part,
            callbacks=[Interrupt(epoch)],
        )


class InterruptAt(Callback):
    """Ctrl-C in a place of the second epoch, or what skorch's callbacks that stop do there."""

    def __init__(self, place):
        self.place = place

    def interrupt(self, place, net):
        if self.place == place and len(net.history) == 2:
            raise KeyboardInterrupt

    def on_epoch_begin(self, net, **kwargs):
        self.interrupt("on_epoch_begin", net)

    def on_batch_begin(self, net, training=False, **kwargs):
        self.interrupt("training" if training else "validation", net)

    def on_epoch_end(self, net, **kwargs):
        self.interrupt("on_epoch_end", net)


@pytest.mark.parametrize("place", ["on_epoch_begin", "training", "validation"])
def test_an_interruption_is_seen_wherever_it_comes(problem, make_network, place):
    documents, unseen = problem
    loss = FocalLoss().build(documents.Y)
    net = train(make_network(), loss, documents, unseen, callbacks=[InterruptAt(place)])
    assert net.interrupted_ == "Training was interrupted in epoch 2 of 4."


def test_between_epochs_it_is_seen_where_no_callback_of_the_users_may_stop(
    problem, make_network, monkeypatch
):
    documents, unseen = problem
    monkeypatch.setattr(Watch, "on_epoch_end", InterruptAt.on_epoch_end, raising=True)
    monkeypatch.setattr(Watch, "interrupt", InterruptAt.interrupt, raising=False)
    monkeypatch.setattr(Watch, "place", "on_epoch_end", raising=False)
    net = train(make_network(), FocalLoss().build(documents.Y), documents, unseen)
    assert net.interrupted_ == "Training was interrupted in epoch 2 of 4."


def test_a_callback_that_stops_is_no_interruption(problem, make_network):
    documents, unseen = problem
    loss = FocalLoss().build(documents.Y)
    stop = EarlyStopping(patience=1, threshold=10.0, sink=lambda message: None)
    for callback in (stop, InterruptAt("on_epoch_end")):
        net = train(make_network(), loss, documents, unseen, callbacks=[callback])
        assert len(net.history) == 2 and net.interrupted_ is None


def test_stopping_early_is_no_interruption(problem, make_network):
    documents, unseen = problem
    settings = {"lr": 0.5, "max_epochs": 60}
    net = train(make_network(), FocalLoss().build(documents.Y), documents, unseen, **settings)
    assert len(net.history) < 60 and net.interrupted_ is None


# ----------------------------------------------------------------------------------- divergence

REMEDY = "Training diverged: try a smaller lr, a smaller clip"


@pytest.mark.parametrize("stopping", [False, True])
def test_a_loss_that_is_not_finite_stops_at_once(problem, make_network, stopping):
    documents, unseen = problem
    network, loss = make_network(), BinaryCrossEntropyLoss().build(documents.Y)
    message = rf"in training must be finite. Got (nan|inf) in epoch [12] .* of 1e\+30 .*{REMEDY}"
    with pytest.raises(ValueError, match=message):
        train(network, loss, documents, unseen if stopping else None, lr=1e30)


class Poison(Callback):
    """Make the weights what it is told, after some epoch or the last step."""

    def __init__(self, value, on):
        self.value, self.on = value, on

    def spoil(self, net, now):
        if now == self.on:
            with torch.no_grad():
                net.module_[1].weight.fill_(self.value)

    def on_batch_end(self, net, training=False, **kwargs):
        self.spoil(net, f"{'train' if training else 'valid'} {len(net.history)}")

    def on_train_end(self, net, **kwargs):
        self.spoil(net, "end")


def test_the_epoch_is_named_and_a_validation_part_counts(problem, make_network):
    documents, unseen = problem
    loss = BinaryCrossEntropyLoss().build(documents.Y)
    for on, part, epoch in (("train 3", unseen, 3), ("train 3", None, 3), ("valid 2", unseen, 3)):
        with pytest.raises(
            ValueError, match=f"Got nan in epoch {epoch} at a learning rate of 0.02"
        ):
            train(make_network(), loss, documents, part, callbacks=[Poison(np.nan, on)])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e27, 300.0])
def test_a_network_that_ends_far_worse_than_it_began_is_no_result(problem, make_network, value):
    """After the last step no loss is computed any more."""
    documents, _ = problem
    loss = BinaryCrossEntropyLoss().build(documents.Y)
    message = (
        f"loss of the first documents must be at most .*, ten times .* after epoch 4 .*{REMEDY}"
    )
    with pytest.raises(ValueError, match=message):
        train(make_network(), loss, documents, callbacks=[Poison(value, "end")])


def test_a_network_that_is_somewhat_worse_is_one(problem, make_network):
    documents, _ = problem
    loss, network = BinaryCrossEntropyLoss().build(documents.Y), make_network()
    before = mean_loss(loss, network, documents)
    train(network, loss, documents, callbacks=[Poison(3.0, "end")])
    assert mean_loss(loss, network, documents) > 1.5 * before


def test_a_loss_that_was_tiny_may_grow(problem, make_network):
    """Where all documents have the label, as they have none, there is nothing to get wrong."""
    documents, _ = problem
    none = no_labels(documents)
    inputs, loss = Inputs("features", BagEncoder(hidden_dims=(5,)), 12), BinaryCrossEntropyLoss()
    Trainer(**SETTINGS | {"lr": 0.5}).train_encoder(inputs, loss, none, 0)


def test_to_look_for_divergence_changes_no_weights_and_draws_nothing(problem, make_network):
    documents, _ = problem
    loss = SparseTargets(FocalLoss().build(documents.Y))
    dataset = DocumentDataset(documents.X, documents.Y)
    net = Trainer(**SETTINGS).train(make_network(dropout=0.5), loss, dataset)
    state, before = torch.get_rng_state(), [p.clone() for p in net.module_.parameters()]
    assert probe(net, dataset) == probe(net, dataset)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(map(torch.equal, net.module_.parameters(), before))
    batch = dataset.batch(np.arange(32))  # batch_size
    with torch.no_grad():
        assert probe(net, dataset) == loss(net.module_(batch[0]), batch[1]).item()


def test_a_rate_that_falls_does_so_over_the_steps_that_are_made():
    """A batch of long texts is made in several steps."""
    tokens = np.random.RandomState(0).randint(2, 50, size=(40, 7000)).astype(np.int32)
    dataset = DocumentDataset(tokens, sparse.csr_array(np.ones((40, 1), np.float32)))
    trainer = Trainer.of(BalancedLossClassifier(batch_size=64), Training(), "cpu")
    assert trainer._steps_per_epoch(dataset) == 2


def test_a_warm_up_of_all_steps_is_one():
    X, y = np.random.RandomState(0).rand(60, 4), np.eye(60, 2, dtype=int)
    training = Training(warmup=0.9, max_epochs=1)
    model = BalancedLossClassifier(optimizer="adamw", training=training, batch_size=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert model.fit(X, y).n_iter_ == 1


def test_a_recommendation_stays_what_it_is_where_it_is_given():
    model = BalancedLossClassifier(encoder="cnn", training=TextCNN.training, lr=0.003)
    assert Trainer.of(model, TextCNN.training, "cpu").schedule == "linear"
    assert Trainer.of(clone(model), TextCNN.training, "cpu").schedule == "linear"
    rate = TextCNN.training.lr
    model.set_params(training__lr=0.5)
    assert (TextCNN.training.lr, model.training.lr) == (rate, 0.5)
