"""Training of networks: batches, a naive loop of AdamW, early stopping, scores."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from skorch.callbacks import Callback
from torch import nn

from skmltc._training import (
    Batches,
    Documents,
    SparseTargets,
    as_tensor,
    fit_network,
    network_scores,
)
from skmltc.encoders import BagEncoder, build_network
from skmltc.losses import BinaryCrossEntropyLoss, FocalLoss

SETTINGS = {
    "lr": 0.02,
    "weight_decay": 0.1,
    "max_epochs": 4,
    "batch_size": 32,
    "patience": 2,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def problem():
    """Sixty-seven documents of three labels that follow the features, and a validation part."""
    rng = np.random.RandomState(0)
    X = sparse.csr_array((rng.rand(90, 12) * (rng.rand(90, 12) < 0.4)).astype(np.float32))
    Y = X @ rng.randn(12, 3) > 0.5
    Y = sparse.csr_array(Y.astype(np.float32))
    return X[:67], Y[:67], (X[67:], Y[67:])


def make_network(seed=0, **parameters):
    torch.manual_seed(seed)
    return build_network(BagEncoder(**{"hidden_dims": (5,), "dropout": 0.0} | parameters), 12, 3)


def mean_loss(loss, network, X, Y):
    with torch.no_grad():
        return loss(network(as_tensor(X)), torch.from_numpy(Y.toarray())).item()


# ------------------------------------------------------------------------------------ batches


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csr_matrix, lambda X: X])
def test_as_tensor_keeps_values_and_sparsity(make):
    X = np.array([[0, 1.5, 0], [0, 0, 0], [2, 0, -1]], dtype=np.float32)
    tensor = as_tensor(make(X))
    assert tensor.layout == (torch.strided if make(X) is X else torch.sparse_csr)
    assert tensor.dtype == torch.float32
    assert_array_equal(tensor.to_dense(), X)


def test_as_tensor_takes_any_slice_of_an_array():
    X = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert_array_equal(as_tensor(X.T[::2]), X.T[::2])


def rows_seen(batches):
    return [X.to_dense()[:, 0].int().tolist() for X, _ in batches]


def test_batches_in_order():
    dataset = Documents(np.arange(7, dtype=np.float32)[:, None], sparse.csr_array(np.eye(7)))
    assert len(dataset) == 7
    assert rows_seen(Batches(dataset, 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    for X, Y in Batches(dataset, 3):
        assert_array_equal(Y.to_dense().argmax(1), X[:, 0])


def test_shuffled_batches_hold_every_document_once_in_a_new_order_each_time():
    X = sparse.csr_array(np.arange(40, dtype=np.float32)[:, None])
    batches = Batches(Documents(X, sparse.csr_array(np.ones((40, 1)))), 16, shuffle=True)
    torch.manual_seed(0)
    first, second = sum(rows_seen(batches), []), sum(rows_seen(batches), [])
    torch.manual_seed(0)
    again = sum(rows_seen(batches), [])
    assert sorted(first) == sorted(second) == list(range(40))
    assert first == again != second


def test_targets_become_dense_in_the_loss(problem):
    _, Y, _ = problem
    loss, logits = FocalLoss().build(Y), torch.randn(67, 3)
    dense = loss(logits, torch.from_numpy(Y.toarray()))
    assert_array_equal(SparseTargets(loss)(logits, as_tensor(Y)), dense)


# ----------------------------------------------------------------------------------- training


@pytest.mark.parametrize("form, reduction", [("csr", "mean"), ("dense", "mean"), ("csr", "sum")])
def test_training_equals_a_loop_of_adamw(problem, form, reduction):
    """The gradients of a summed loss are large enough to be clipped."""
    X, Y, _ = problem
    X = X if form == "csr" else X.toarray()
    loss = BinaryCrossEntropyLoss().build(Y, reduction=reduction)
    network, twin = make_network(), make_network()
    torch.manual_seed(7)
    fit_network(network, loss, X, Y, **SETTINGS)

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


def test_the_network_learns_and_ends_in_evaluation_mode(problem):
    X, Y, _ = problem
    loss, network = FocalLoss().build(Y), make_network(dropout=0.2)
    before = mean_loss(loss, network.eval(), X, Y)
    net = fit_network(network.train(), loss, X, Y, **SETTINGS | {"max_epochs": 30})
    assert net.module_ is network and not network.training
    assert mean_loss(loss, network, X, Y) < 0.7 * before
    assert len(net.history) == 30 and net.history[-1, "train_loss"] < net.history[0, "train_loss"]


def test_the_weights_of_the_lowest_validation_loss_are_kept(problem):
    X, Y, validation = problem
    loss, network = FocalLoss().build(Y), make_network()
    wild = SETTINGS | {"lr": 0.2, "max_epochs": 60}
    net = fit_network(network, loss, X, Y, validation=validation, **wild)
    losses = net.history[:, "valid_loss"]
    assert len(losses) < 60
    assert int(np.argmin(losses)) == len(losses) - 1 - wild["patience"]
    assert losses[-1] > min(losses)
    assert_allclose(mean_loss(loss, network, *validation), min(losses), rtol=1e-5)


def test_no_validation_no_stopping(problem, capsys):
    X, Y, _ = problem
    net = fit_network(make_network(), FocalLoss().build(Y), X, Y, **SETTINGS | {"lr": 2.0})
    assert len(net.history) == 4 and "valid_loss" not in net.history[0]
    assert capsys.readouterr().out == ""


def test_verbose_and_callbacks(problem, capsys):
    X, Y, validation = problem
    seen = []

    class Listener(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(net.history[-1, "valid_loss"])

    net = fit_network(
        make_network(),
        FocalLoss().build(Y),
        X,
        Y,
        validation=validation,
        verbose=1,
        callbacks=[("listener", Listener())],
        **SETTINGS,
    )
    assert seen == net.history[:, "valid_loss"]
    assert "train_loss" in capsys.readouterr().out


# ------------------------------------------------------------------------------------- scores


@pytest.mark.parametrize("form", ["csr", "dense"])
@pytest.mark.parametrize("hidden_dims", [(5,), ()])
def test_scores_do_not_depend_on_the_batch(form, hidden_dims):
    rng = np.random.RandomState(0)
    X = (rng.rand(700, 12) * (rng.rand(700, 12) < 0.4)).astype(np.float32)
    X = sparse.csr_array(X) if form == "csr" else X
    network = make_network(dropout=0.5, hidden_dims=hidden_dims)
    scores = network_scores(network, X)
    assert scores.shape == (700, 3) and scores.dtype == np.float32
    for rows in (slice(3, 4), slice(100, 417), slice(255, 258), slice(256, 512)):
        assert_array_equal(network_scores(network, X[rows]), scores[rows])
    assert_allclose(network(as_tensor(X)).detach(), scores, atol=1e-6)


def test_scoring_ends_dropout_and_changes_no_weight(problem):
    X, *_ = problem
    network = make_network(dropout=0.9).train()
    before = copy.deepcopy(network.state_dict())
    assert_array_equal(network_scores(network, X), network_scores(network, X))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
