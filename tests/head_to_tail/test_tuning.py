"""Fine-tuning as released, against the values of the reference and loops."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit
from torch import nn

from skmltc._networks import DocumentDataset, SparseTargets, Trainer
from skmltc.decision import Documents
from skmltc.encoders import ScaledLinear, start_head
from skmltc.head_to_tail._heads import LabelHeads, Start
from skmltc.head_to_tail._transfer import LabelSplit, LabelTransfer, PrototypeOptions
from skmltc.head_to_tail._tuning import (
    HeadsOfMembers,
    LossOfMembers,
    draw_for_tail,
    tune_as_released,
)
from skmltc.losses import BinaryCrossEntropyLoss


def w(n_rows, n_columns, offset):
    """The rule by which the reference makes its arrays."""
    i, j = np.ogrid[:n_rows, :n_columns]
    return (((3 * i + 5 * j + offset) % 7 - 3) / 10).astype(np.float32)


R = w(3, 4, 1) / np.linalg.norm(w(3, 4, 1), axis=1, keepdims=True)
Y = sparse.csr_array(
    np.array([[1, 0, 0, 1, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 1]], dtype=np.float32)
)
BCE = BinaryCrossEntropyLoss().build(Y)


def trainer(**settings):
    defaults = {"lr": 0.01, "weight_decay": 0.0, "max_epochs": 3, "recommended_epochs": 3}
    defaults |= {"batch_size": 45, "patience": None, "validation_fraction": 0.1, "device": "cpu"}
    defaults |= {"early_stopping": False, "optimizer": "adam", "betas": (0.9, 0.99), "clip": None}
    return Trainer(**defaults | {"schedule": "constant", "head_bias": False} | settings)


def head_of_the_reference():
    head = ScaledLinear(4, 5, 10.0)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(w(5, 4, 2)))
    start_head(head, BCE, Y, "torch", has_bias=False)
    return head


def loss_of(head):
    return SparseTargets(BCE)(head(torch.from_numpy(R)), torch.from_numpy(Y.toarray()))


def train(network, loss, by):
    with torch.random.fork_rng():
        by.train(network, loss, DocumentDataset(R, Y))


# ------------------------------------------------------------------------------ the reference


def test_loss_and_gradients_of_a_head_without_bias():
    head = head_of_the_reference()
    loss = loss_of(head)
    loss.backward()
    assert_allclose(loss.item(), 1.12074052, atol=1e-6)
    assert_allclose(head.scale.grad, 0.08516689, atol=1e-6)
    expected = [0.15720717, -0.34487924, -0.27058261, 0.12005885]
    assert_allclose(head.weight.grad[0], expected, atol=1e-6)
    assert head.bias.grad is None and not head.bias.any()


@pytest.mark.parametrize(
    "betas, scale, loss",
    [((0.9, 0.99), 9.97009830, 0.96889427), ((0.9, 0.999), 9.97010484, 0.96890969)],
)
def test_three_steps_of_a_head_without_bias(betas, scale, loss):
    head = head_of_the_reference()
    train(head, SparseTargets(BCE), trainer(betas=betas))
    assert_allclose(head.scale.item(), scale, atol=1e-6)
    assert_allclose(loss_of(head).item(), loss, atol=1e-6)
    assert not head.bias.any()
    if betas == (0.9, 0.99):
        expected = [-0.12939141, -0.27015731, 0.22988521, -0.02930372]
        assert_allclose(head.weight[0].detach(), expected, atol=1e-6)


@pytest.mark.parametrize("apart, largest", [(True, 0.001846), (False, 0.000181)])
def test_a_step_of_fine_tuning_with_the_scale_apart_moves_logits_ten_times_more(apart, largest):
    head = head_of_the_reference()
    weights = torch.vstack([head.scale * head.weight.T, head.bias]).detach()
    scale = head.scale.item() if apart else 1.0
    heads = HeadsOfMembers([LabelHeads(np.arange(5), weights[None])], scale, apart, False)
    before = heads(torch.from_numpy(R)).detach()
    train(heads, LossOfMembers(BCE), trainer(lr=1e-4, max_epochs=1))
    change = heads(torch.from_numpy(R)).detach() - before
    assert_allclose(change.abs().max(), largest, atol=1e-6)


# ------------------------------------------------------------------------------------ members


@pytest.fixture
def start():
    """A head of three labels and three members of two others."""
    torch.manual_seed(0)
    rng = np.random.RandomState(0)
    head = ScaledLinear(4, 3, 4.0)
    start_head(head, BCE, Y, "torch", has_bias=False)
    transfer = LabelTransfer.fit(
        rng.randn(1, 3, 4), rng.randn(3, 4), 4.0, PrototypeOptions("identity", None, 5, True)
    )
    tail = rng.randn(3, 5, 2).astype(np.float32)
    tail[:, -1] = 0
    body = nn.Linear(4, 4)
    return Start(
        nn.Sequential(body, head), LabelSplit(np.array([0, 2, 3]), np.array([1, 4])), transfer, tail
    )


DRAWN = Documents(R, Y)


def test_each_member_has_logits_and_a_loss_of_its_own(start):
    parts = start.joined()[1].parts
    heads = HeadsOfMembers(parts, 4.0, True, False)
    logits = heads(torch.from_numpy(R)).detach().numpy()
    assert logits.shape == (3, 3, 5)
    losses = []
    for g in range(3):
        for i in range(3):
            for part, member in zip(parts, (0, g), strict=True):
                for column, label in enumerate(part.labels):
                    z = R[i] @ part.weight[member, :, column].detach().numpy()
                    assert_allclose(logits[g, i, label], z, atol=1e-5)
                    p = expit(z)
                    losses.append(-np.log(p if Y[i, label] else 1 - p))
    loss = LossOfMembers(BCE)(torch.from_numpy(logits), torch.from_numpy(Y.toarray()))
    assert_allclose(loss, np.mean(losses), rtol=1e-5)


def test_heads_are_joined_as_they_were_taken_apart(start):
    joined, vectors = start.joined()[1], torch.from_numpy(R)
    again = HeadsOfMembers(joined.parts, 4.0, True, False).joined()
    assert_allclose(again(vectors).detach(), joined(vectors).detach(), atol=1e-6)
    assert_array_equal(again.labels, joined.labels)


def tuned(start, by=None, drawn=DRAWN):
    return tune_as_released(start.joined(), start, drawn, by or trainer(), 0)


def test_two_epochs_by_hand(start):
    """Of all weights and the scale, at 0.0001, by the mean over members of the cross-entropy."""
    encoder, head = copy.deepcopy(start.network)
    M, scale = head.weight.T.detach().clone(), head.scale
    tail = torch.from_numpy(start.tail[:, :-1] / 4.0)
    learned = [*encoder.parameters(), scale, M.requires_grad_(), tail.requires_grad_()]
    optimizer = torch.optim.Adam(learned, lr=1e-4, betas=(0.9, 0.99))

    def members():
        vectors = scale * encoder(torch.from_numpy(R))
        for member in tail:
            logits = torch.empty(3, 5)
            logits[:, [0, 2, 3]], logits[:, [1, 4]] = vectors @ M, vectors @ member
            yield logits

    for _ in range(2):
        optimizer.zero_grad()
        targets = torch.from_numpy(Y.toarray())
        each = [nn.functional.binary_cross_entropy_with_logits(z, targets) for z in members()]
        (sum(each) / 3).backward()
        optimizer.step()
    expected = torch.stack([z.sigmoid() for z in members()]).mean(dim=0).detach()
    network, final = tuned(start)
    assert_allclose(network(torch.from_numpy(R)).sigmoid().detach(), expected, atol=1e-6)
    assert_allclose(final, scale.item(), atol=1e-6)
    assert abs(final - 4.0) > 1e-4
    assert not any(part.bias.any() for part in network[1].parts)


def test_it_is_trained_by_the_optimizer_of_the_head_and_by_nothing_else_of_its_own(start):
    by = trainer(schedule="plateau", falls=(1,), lr=3.0, lr_factors={"head": 9.0}, max_epochs=7)
    plain, _ = tuned(start)
    network, _ = tuned(start, replace(by, warmup=0.5, weight_decay=0.7))
    for one, other in zip(network.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)
    other, _ = tuned(start, trainer(betas=(0.5, 0.5)))
    assert not torch.equal(other[1].parts[0].weight, plain[1].parts[0].weight)


@pytest.mark.parametrize("trains", [True, False])
def test_biases_are_trained_if_those_of_the_head_were(trains, start):
    network, _ = tuned(start, trainer(head_bias=trains))
    assert all(part.bias.any() == trains for part in network[1].parts)


def test_a_head_without_a_scale_gets_none(start):
    head = nn.Linear(4, 3)
    start = start._replace(network=nn.Sequential(start.network[0], head))
    start = start._replace(transfer=replace(start.transfer, scale=1.0))
    network, scale = tuned(start)
    assert scale == 1.0
    moved = (network[1].parts[0].weight[0].T - head.weight).abs().detach()
    assert_allclose(moved, 2e-4, rtol=0.5)


def test_without_documents_of_the_tail_nothing_is_trained(start):
    network = start.joined()
    before = copy.deepcopy(network.state_dict())
    same, scale = tune_as_released(network, start, DRAWN[np.arange(0)], trainer(), 0)
    assert same is network and scale == 4.0
    assert all(torch.equal(value, before[name]) for name, value in same.state_dict().items())


def test_documents_are_drawn_for_each_label_of_the_tail():
    rng = np.random.RandomState(0)
    Y = sparse.csr_array((rng.rand(60, 6) < 0.3).astype(np.float32))
    documents = Documents(np.arange(60)[:, None], Y)
    drawn = draw_for_tail(documents, np.array([1, 4]), 3, 10, 5)
    assert len(drawn) == 10 * 2 * 3
    assert drawn.Y.toarray()[np.arange(60), np.tile([1, 1, 1, 4, 4, 4], 10)].all()
    assert_array_equal(drawn.Y.toarray(), Y[drawn.X[:, 0]].toarray())
    sets = drawn.X[:, 0].reshape(20, 3)
    assert all(len(set(rows)) == 3 for rows in sets) and len(np.unique(sets, axis=0)) > 10
    assert_array_equal(draw_for_tail(documents, np.array([1, 4]), 3, 10, 5).X, drawn.X)
