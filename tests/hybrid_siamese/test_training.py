"""How the second network is trained: its settings, its triplets to stop by, and no triplets."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse

from skmltc import HybridSiameseClassifier
from skmltc._networks import Trainer
from skmltc.decision import Documents
from skmltc.encoders import BagEncoder, Training, build_network
from skmltc.hybrid_siamese._training import SiameseTraining
from skmltc.losses import BinaryCrossEntropyLoss


def training_of(training="auto", suits=None, falls=None, **settings):
    model = HybridSiameseClassifier(training=training, n_triplets=40, **settings)
    trainer = Trainer.of(model, suits or Training(), "cpu")
    return SiameseTraining.of(model, trainer.as_before(Net()) if falls else trainer)


class Net:
    """A training whose rate fell after its first epoch, of three."""

    callbacks_ = [("schedule", type("Schedule", (), {"falls_": (1,)}))]
    history = [{}] * 3


def documents(Y):
    Y = sparse.csr_array(np.asarray(Y, dtype=np.float32))
    X = sparse.random_array((Y.shape[0], 6), density=0.5, rng=0, format="csr", dtype=np.float32)
    return Documents(sparse.csr_array(X), Y)


FOUR_EACH = np.eye(3).repeat(4, axis=0)


def trained(training, held_out=None, seed=0):
    """The network before and after, and the settings to train it as long again."""
    torch.manual_seed(0)
    single = build_network(BagEncoder(hidden_dims=(5,)), 6, 3)
    seen = documents(FOUR_EACH)
    return single, *training.train(single, BinaryCrossEntropyLoss(), seen, seed, held_out)


def test_the_second_network_has_epochs_and_batches_of_its_own():
    own = Training(schedule="plateau", monitor="micro_f1", max_epochs=9, lr=0.5)
    shared = training_of(own, batch_size=30, falls=True).trainer
    assert (shared.max_epochs, shared.batch_size, shared.monitor) == (1, 1, "loss")
    assert shared.falls is None and shared.lr == 0.5  # it waits for a plateau of its own
    alone = training_of(own, batch_size=30, siamese_epochs=7, triplets_per_document=None).trainer
    assert (alone.max_epochs, alone.batch_size) == (7, 30)


@pytest.mark.parametrize("given", [{"lr": 0.1}, {"training": Training(lr=0.1)}, {}])
def test_what_begins_as_a_copy_is_slower_only_at_a_recommended_rate(given):
    suits = Training(lr=0.1, lr_factors={"head": 2.0})
    factors = training_of(**given, suits=suits).trainer.lr_factors
    expected = {"embedding": 0.3, "encoder": 0.3, "projection": 0.3, "head": 0.6, "head_scale": 0.3}
    assert factors == (None if given else pytest.approx(expected))


@pytest.mark.parametrize("per_document", [8, None])
@pytest.mark.parametrize("held_out", [None, np.eye(3), np.zeros((9, 3)), [[1, 0, 0]] * 9])
def test_without_triplets_of_both_kinds_nothing_stops_the_second_network(held_out, per_document):
    training = training_of(siamese_epochs=4, triplets_per_document=per_document)
    held_out = None if held_out is None else documents(held_out)
    *_, again = trained(training, held_out)
    assert again.trainer.max_epochs == 4


def test_a_held_out_part_stops_the_second_network_and_again_means_as_long():
    training, held_out = training_of(siamese_epochs=40, patience=1, lr=1.0), documents(FOUR_EACH)
    _, stopped, again = trained(training, held_out)
    assert again.trainer.max_epochs < 40
    _, as_long, _ = trained(again)
    for one, other in zip(as_long.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(one, other)


def test_documents_without_pairs_leave_the_copy_as_it_is():
    training = training_of(siamese_epochs=4)
    torch.manual_seed(0)
    single = build_network(BagEncoder(hidden_dims=(5,)), 6, 3)
    one = documents(np.ones((1, 3)))
    network, again = training.train(single, BinaryCrossEntropyLoss(), one, 0)
    assert again is training
    assert_array_equal(network[1].weight.detach(), single[1].weight.detach())
