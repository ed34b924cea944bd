"""Training of networks: batches, a naive loop of AdamW, early stopping, scores."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skmltc._networks import batches
from skmltc._networks.batches import Batches, Documents, as_tensor, sorted_by_length, text_lengths
from skmltc._networks.scoring import network_scores
from skmltc._networks.training import SparseTargets, best_epoch, fit_network, was_interrupted
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN, build_network
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


def test_batches_of_very_long_texts_are_halved(monkeypatch):
    monkeypatch.setattr(batches, "_TRAINED_AT_A_TIME", 60)
    lengths = np.array([3, 3, 3, 3, 3, 3, 3, 30, 100])
    token_ids = np.where(np.arange(100) < lengths[:, None], np.arange(1, 10)[:, None], 0)
    dataset = Documents(token_ids.astype(np.int32), sparse.csr_array(np.eye(9, dtype=np.float32)))
    shapes = [tuple(X.shape) for X, _ in Batches(dataset, 9)]
    assert shapes == [(4, 3), (2, 3), (1, 3), (1, 30), (1, 100)]
    torch.manual_seed(0)
    assert sorted(sum(rows_seen(Batches(dataset, 9, shuffle=True)), [])) == list(range(1, 10))


def test_targets_become_dense_in_the_loss(problem):
    _, Y, _ = problem
    loss, logits = FocalLoss().build(Y), torch.randn(67, 3)
    dense = loss(logits, torch.from_numpy(Y.toarray()))
    assert_array_equal(SparseTargets(loss)(logits, as_tensor(Y)), dense)


class Beside(nn.Module):
    """Logits of a document, by another network, times what stands beside it."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, batch):
        inputs, side_inputs = batch
        return self.network(inputs) * side_inputs.to_dense()


def numbered_sides(n_samples):
    """Three columns with the number of the document, from 1 up; some have none."""
    numbers = np.arange(1, n_samples + 1, dtype=np.float32) * (np.arange(n_samples) % 4 > 0)
    return sparse.csr_array(np.tile(numbers[:, None], 3))


@pytest.mark.parametrize("form", [sparse.csr_array, np.asarray])
def test_what_stands_beside_documents_stays_there(form):
    X = form(np.arange(1, 41, dtype=np.float32)[:, None])
    dataset = Documents(X, sparse.csr_array(np.ones((40, 1))), numbered_sides(40))
    torch.manual_seed(0)
    batches = list(Batches(dataset, 16, shuffle=True))
    seen = [int(x) for (inputs, _), _ in batches for x in inputs.to_dense()[:, 0]]
    assert sorted(seen) == list(range(1, 41))
    for (inputs, side_inputs), _ in batches:
        numbers = inputs.to_dense()
        assert_array_equal(side_inputs.to_dense(), numbers * (numbers % 4 != 1) * torch.ones(1, 3))


def test_texts_by_length_keep_what_stands_beside_them():
    dataset = numbered_texts(30)
    ordered = sorted_by_length(dataset.X, dataset.Y, numbered_sides(30))
    assert (np.diff(ordered.lengths) >= 0).all() and ordered.lengths[0] < ordered.lengths[-1]
    numbers = ordered.X[:, 0]
    assert_array_equal(ordered.Y.toarray().argmax(axis=1) + 1, numbers)
    assert_array_equal(ordered.side_inputs.toarray()[:, 0], numbers * (numbers % 4 != 1))
    assert sorted_by_length(dataset.X, dataset.Y).side_inputs is None
    features = sorted_by_length(np.eye(3, dtype=np.float32), None, "beside")
    assert features.side_inputs == "beside"


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
    bar = capsys.readouterr().out.rpartition("\r")[2]
    assert bar.startswith("Training: 100%") and "12/12 [" in bar and "epoch=4" in bar
    assert (
        f"valid_loss={seen[-1]:.3g}" in bar
        and f"train_loss={net.history[-1, 'train_loss']:.3g}" in bar
    )


def test_a_table_of_epochs_with_more_verbosity(problem, capsys):
    X, Y, _ = problem
    fit_network(make_network(), FocalLoss().build(Y), X, Y, verbose=2, **SETTINGS)
    out = capsys.readouterr().out
    assert "train_loss" in out and "Training:" not in out
    fit_network(make_network(), FocalLoss().build(Y), X, Y, **SETTINGS)
    assert capsys.readouterr().out == ""


def test_the_best_epoch_is_that_of_the_lowest_validation_loss(problem):
    X, Y, validation = problem
    settings = SETTINGS | {"max_epochs": 30, "lr": 0.5}
    net = fit_network(make_network(), FocalLoss().build(Y), X, Y, validation=validation, **settings)
    losses = net.history[:, "valid_loss"]
    assert best_epoch(net) == np.argmin(losses) + 1 == len(losses) - 2 < 30  # patience is 2
    net = fit_network(make_network(), FocalLoss().build(Y), X, Y, **SETTINGS)
    assert best_epoch(net) == 4


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


@pytest.mark.parametrize("kind", ["features", "tokens"])
def test_scores_with_something_beside(kind):
    """In whatever order texts are scored, and where a batch is filled up."""
    X, network = texts(300), make_token_network(TOKEN_SPECS[0])
    if kind == "features":
        X, network = np.random.RandomState(0).rand(300, 12).astype(np.float32), make_network()
    side_inputs = numbered_sides(300)
    alone = network_scores(network, X)
    scores = network_scores(Beside(network), X, side_inputs=side_inputs)
    assert_array_equal(scores, alone * side_inputs.toarray())
    for rows in (slice(3, 4), slice(100, 217)):
        found = network_scores(Beside(network), X[rows], side_inputs=side_inputs[rows])
        assert_array_equal(found, scores[rows])


def test_scoring_ends_dropout_and_changes_no_weight(problem):
    X, *_ = problem
    network = make_network(dropout=0.9).train()
    before = copy.deepcopy(network.state_dict())
    assert_array_equal(network_scores(network, X), network_scores(network, X))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


# ------------------------------------------------------------------------------------- tokens


TOKEN_SPECS = [
    TextCNN(filter_sizes=(2, 3), n_filters=8, embedding_dim=8, hidden_dim=8),
    BiLSTMAttention(hidden_dim=8, output_dim=8, embedding_dim=8),
]


def texts(n_samples, longest=60, n_ids=30, seed=0):
    """Token ids of texts of all lengths, many short and few long."""
    rng = np.random.RandomState(seed)
    lengths = np.clip(rng.geometric(4 / longest, n_samples), 1, longest)
    token_ids = rng.randint(1, n_ids, (n_samples, longest)).astype(np.int32)
    return token_ids * (np.arange(longest) < lengths[:, None])


@pytest.fixture(scope="module")
def token_problem():
    """Texts that have a label if they hold its word, and a validation part."""
    X = texts(260).astype(np.int32)
    Y = sparse.csr_array(np.stack([(X == word).any(1) for word in (3, 7, 11)], 1) * np.float32(1))
    return X[:200], Y[:200], (X[200:], Y[200:])


def make_token_network(spec, seed=0):
    torch.manual_seed(seed)
    return build_network(spec, 30, 3)


def numbered_texts(n_samples):
    """Texts with their own number as the first token, and as the only label."""
    X = texts(n_samples)
    X[:, 0] = np.arange(1, n_samples + 1)
    return Documents(X, sparse.csr_array(np.eye(n_samples, dtype=np.float32)))


def test_lengths_of_texts():
    assert_array_equal(text_lengths(np.array([[3, 1, 0], [0, 0, 0], [1, 1, 1]])), [2, 0, 3])
    assert Documents(np.ones((2, 2), dtype=np.float32), None).lengths is None


@pytest.mark.parametrize("batch_size", [3, 16, 1000])
def test_bucketed_batches_hold_every_text_once_with_its_labels(batch_size):
    dataset = numbered_texts(137)
    batches = list(Batches(dataset, batch_size, shuffle=True))
    assert sorted(torch.cat([X[:, 0] for X, _ in batches]).tolist()) == list(range(1, 138))
    assert len(batches) == -(-137 // batch_size)
    for X, Y in batches:
        assert_array_equal(Y.to_dense().argmax(1) + 1, X[:, 0])
        rows = X[:, 0].numpy() - 1
        assert_array_equal(X, dataset.X[rows, : X.shape[1]])
        assert X.shape[1] == dataset.lengths[rows].max()


def test_bucketed_batches_are_new_at_each_pass_and_the_same_with_the_same_seed():
    batches = Batches(numbered_texts(100), 8, shuffle=True)

    def one_pass():
        return [X[:, 0].tolist() for X, _ in batches]

    torch.manual_seed(0)
    first, second = one_pass(), one_pass()
    torch.manual_seed(0)
    assert one_pass() == first != second
    assert {tuple(sorted(b)) for b in first} != {tuple(sorted(b)) for b in second}


def test_bucketing_saves_most_of_the_padding_and_mixes_lengths():
    dataset = numbered_texts(640)
    batches = list(Batches(dataset, 16, shuffle=True))
    assert sum(X.numel() for X, _ in batches) < 1.2 * dataset.lengths.sum() < 0.5 * dataset.X.size
    widths = [X.shape[1] for X, _ in batches]
    assert sorted(widths) != widths != sorted(widths)[::-1]


def test_unshuffled_texts_come_in_order():
    batches = Batches(numbered_texts(20), 8)
    assert sum((X[:, 0].tolist() for X, _ in batches), []) == list(range(1, 21))


@pytest.mark.parametrize("spec", TOKEN_SPECS, ids=repr)
def test_training_on_texts_equals_a_loop(token_problem, spec):
    """Also of the schedule, and of the parameters with a learning rate of their own."""
    X, Y, _ = token_problem
    spec = clone(spec).set_params(embedding_dropout=0.0, dropout=0.0)
    loss, factors = FocalLoss().build(Y), {"1.*": 3.0}
    network, twin = make_token_network(spec), make_token_network(spec)
    torch.manual_seed(7)
    fit_network(network, loss, X, Y, linear_decay=True, lr_factors=factors, **SETTINGS)

    torch.manual_seed(7)
    groups = [{"params": twin[0].parameters()}, {"params": twin[1].parameters(), "lr": 0.06}]
    optimizer = torch.optim.AdamW(groups, lr=0.02, weight_decay=0.1)
    step, starts = 0, [0.02, 0.06]
    for _ in range(4):
        for tokens, targets in Batches(Documents(X, Y), 32, shuffle=True):
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


@pytest.mark.parametrize("spec", TOKEN_SPECS, ids=repr)
def test_networks_learn_texts_and_the_same_seed_gives_the_same_model(token_problem, spec):
    X, Y, validation = token_problem
    loss, settings = FocalLoss().build(Y), SETTINGS | {"max_epochs": 12, "weight_decay": 0.01}
    networks = [make_token_network(spec) for _ in range(2)]
    for network in networks:
        before = mean_loss(loss, network.eval(), X, Y)
        torch.manual_seed(3)
        fit_network(network, loss, X, Y, validation=validation, **settings)
        assert mean_loss(loss, network, X, Y) < 0.7 * before
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize("threads", [1])
@pytest.mark.parametrize("spec", TOKEN_SPECS + [TextCNN(), BiLSTMAttention()], ids=repr)
def test_scores_of_texts_do_not_depend_on_batch_or_padding(spec, threads):
    network = build_network(spec, 30, 3)
    X = np.concatenate([texts(80), np.pad(texts(3, 5, seed=1), ((0, 0), (0, 55)))])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        scores = network_scores(network, X)
        assert scores.shape == (83, 3) and scores.dtype == np.float32
        order = np.random.RandomState(0).permutation(83)
        assert_array_equal(network_scores(network, X[order]), scores[order])
        for rows in (slice(3, 4), slice(0, 41), slice(80, 83)):
            assert_array_equal(network_scores(network, X[rows]), scores[rows])
            wide = np.pad(X[rows], ((0, 0), (0, 70)))
            assert_array_equal(network_scores(network, wide), scores[rows])
        assert_array_equal(network_scores(network, X[80:, :5]), scores[80:])
    finally:
        torch.set_num_threads(before)
    assert_allclose(network(as_tensor(X)).detach(), scores, atol=1e-5)


def test_one_very_long_text_does_not_fill_the_memory():
    token_ids = np.ones((3, 20_000), dtype=np.int32)
    token_ids[1:, 4:] = 0
    scores = network_scores(make_token_network(TOKEN_SPECS[0]), token_ids)
    assert np.isfinite(scores).all()
    assert_array_equal(scores[1], scores[2])


# --------------------------------------------------------------------------------- interruption


class Interrupt(Callback):
    """Ctrl-C in the second batch of some epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) == self.epoch and len(net.history[-1, "batches"]) == 2:
            raise KeyboardInterrupt


def test_an_interruption_keeps_the_best_weights_so_far_and_warns(problem):
    X, Y, validation = problem
    loss, network = FocalLoss().build(Y), make_network()
    wild = SETTINGS | {"lr": 0.3, "max_epochs": 60, "patience": 60}
    with pytest.warns(UserWarning, match="interrupted in epoch 9 of 60. The best weights so far"):
        net = fit_network(
            network, loss, X, Y, validation=validation, callbacks=[Interrupt(9)], **wild
        )
    assert was_interrupted(net) and not network.training
    losses = net.history[:-1, "valid_loss"]
    assert len(losses) == 8 and losses[-1] > min(losses)
    assert_allclose(mean_loss(loss, network, *validation), min(losses), rtol=1e-5)


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_interruption_without_a_validation_part_keeps_the_last_weights(problem, epoch):
    X, Y, _ = problem
    loss, network = FocalLoss().build(Y), make_network()
    before = mean_loss(loss, network, X, Y)
    with pytest.warns(UserWarning, match=f"in epoch {epoch} of 4. The last weights so far"):
        fit_network(network, loss, X, Y, callbacks=[Interrupt(epoch)], **SETTINGS)
    assert mean_loss(loss, network, X, Y) < before


def test_a_callback_that_stops_is_no_interruption(problem):
    X, Y, validation = problem
    stop = EarlyStopping(patience=1, threshold=10.0, sink=lambda message: None)
    net = fit_network(
        *(make_network(), FocalLoss().build(Y), X, Y),
        validation=validation,
        callbacks=[stop],
        **SETTINGS,
    )
    assert len(net.history) < 4 and not was_interrupted(net)
