"""Documents on the device of a training, or sent there ahead: the batches are the same."""

import threading

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone

from skmltc._networks import SparseTargets, Trainer, placing
from skmltc._networks.batches import Batches, DocumentDataset, Part, as_tensor, take
from skmltc._networks.placing import (
    SHARE_OF_FREE,
    copied,
    placed,
    rows_on,
    sent_ahead,
    size_on_device,
    with_tensors,
)
from skmltc.distributed import Processes
from skmltc.encoders import parts_of
from skmltc.losses import FocalLoss

CPU, GPU = torch.device("cpu"), torch.device("cuda")
ROWS = np.array([4, 0, 0, 6, 2])


def matrix(dtype=np.float32, density=0.3):
    """Seven rows, the third of which is empty."""
    rng = np.random.RandomState(0)
    dense = rng.rand(7, 9) * (rng.rand(7, 9) < density) * (np.arange(7) != 2)[:, None]
    return sparse.csr_array(dense.astype(dtype))


def same(one, other):
    """Whether tensors, or tuples of them, are equal in form and in every number."""
    if not isinstance(one, torch.Tensor):
        return len(one) == len(other) and all(map(same, one, other))
    if one.layout != other.layout or one.dtype != other.dtype:
        return False
    if one.layout == torch.sparse_csr:
        parts = ((m.crow_indices(), m.col_indices(), m.values()) for m in (one, other))
        return one.shape == other.shape and same(*parts)
    return torch.equal(one, other)


# --------------------------------------------------------------------------------- on the device


@pytest.mark.parametrize("X", [matrix(), matrix(np.float64), matrix(bool), matrix(density=0)])
def test_rows_of_a_sparse_matrix_are_picked_without_making_it_dense(X):
    picked = rows_on(X, CPU).take(ROWS)
    assert picked.layout == torch.sparse_csr and picked.dtype == torch.float32
    assert same(picked, take(X, ROWS))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
def test_rows_of_an_array_are_picked_and_cut(dtype):
    X = np.arange(42).reshape(7, 6).astype(dtype)
    assert same(rows_on(X, CPU).take(ROWS, 4), take(X, ROWS, 4))
    assert same(rows_on(np.asfortranarray(X), CPU).take(ROWS), take(X, ROWS))


def test_a_vector_is_copied_by_parts_and_whole(monkeypatch):
    monkeypatch.setattr(placing, "_COPIED_AT_A_TIME", 3)
    numbers = np.arange(10, dtype=np.int64)
    numbers.flags.writeable = False
    assert_array_equal(copied(numbers, np.float32, CPU), numbers)
    assert copied(numbers[:0], np.float32, CPU).shape == (0,)


def test_what_a_matrix_takes_is_what_its_tensors_have():
    def bytes_of(*tensors):
        return sum(tensor.nbytes for tensor in tensors)

    X, there = matrix(), rows_on(matrix(), CPU)
    assert size_on_device(X) == bytes_of(there.starts, there.indices, there.values)
    tokens = np.zeros((7, 5), np.int32)
    assert size_on_device(tokens) == bytes_of(rows_on(tokens, CPU).values)
    assert DocumentDataset(tokens, X, X).n_bytes == size_on_device(tokens) + 2 * size_on_device(X)


@pytest.mark.parametrize("surplus, fits", [(0, True), (-1, False)])
def test_documents_are_on_a_gpu_if_they_take_a_share_of_its_free_memory(monkeypatch, surplus, fits):
    dataset = DocumentDataset(matrix(), matrix())
    free = dataset.n_bytes / SHARE_OF_FREE + surplus  # 100 bytes of it in torch's hands
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free - 100, 10 * free))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 150)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 50)
    monkeypatch.setattr(DocumentDataset, "on", lambda self, device: ("on", device))
    assert placed(dataset, GPU) == (("on", GPU) if fits else dataset)
    assert placed(dataset, CPU) is dataset


@pytest.fixture
def much_room(monkeypatch):
    """Room for documents on the CPU, which makes it what a GPU is; counts what is placed."""
    seen, make = [], DocumentDataset.on
    monkeypatch.setattr(placing, "room_on", lambda device: 2**30)
    monkeypatch.setattr(DocumentDataset, "on", lambda self, d: seen.append(d) or make(self, d))
    return seen


def weights_after(network, documents, unseen):
    loss = SparseTargets(FocalLoss().build(documents.Y))
    settings = {"lr": 0.02, "weight_decay": 0.1, "max_epochs": 3, "recommended_epochs": 3}
    settings |= {"batch_size": 16, "patience": 2, "validation_fraction": 0.1, "device": "cpu"}
    dataset, held = (DocumentDataset(part.X, part.Y) for part in (documents, unseen))
    torch.manual_seed(0)
    net = Trainer(early_stopping=True, **settings).train(
        network, loss, dataset, held, parts_of(network)
    )
    return [*network.state_dict().values(), torch.tensor(net.history[:, "valid_loss"])]


def test_training_on_placed_features_is_the_same_to_the_last_bit(problem, make_network, request):
    before = weights_after(make_network(), *problem)
    seen = request.getfixturevalue("much_room")
    assert same(weights_after(make_network(), *problem), before)
    assert seen == [CPU] * 3  # to count the steps, to train on, and to stop by


def test_training_on_placed_tokens_is_the_same_to_the_last_bit(
    token_problem, token_encoder, make_network, request
):
    before = weights_after(make_network(token_encoder), *token_problem)
    assert request.getfixturevalue("much_room") == []
    assert same(weights_after(make_network(token_encoder), *token_problem), before)


def test_side_inputs_are_placed_too(much_room, make_texts, numbered_sides):
    documents = make_texts(9), sparse.csr_array(np.eye(9, dtype=np.float32)), numbered_sides(9)
    dataset = DocumentDataset(*documents)
    there = Batches(dataset, 4)
    assert there.dataset is not dataset and dataset.X is documents[0]
    assert same(list(there), [dataset.batch(np.arange(9)[k : k + 4]) for k in (0, 4, 8)])


# ------------------------------------------------------------------------------------- sent ahead


@pytest.mark.parametrize("n_batches", [0, 1, 2, 5])
def test_batches_that_are_sent_come_in_order(n_batches):
    dataset = DocumentDataset(matrix(), matrix())
    batches = [np.array([k, 6]) for k in range(n_batches)]
    sent = list(sent_ahead(dataset.batch, batches, CPU))
    assert same(sent, [dataset.batch(rows) for rows in batches])


def test_each_is_made_by_another_thread_while_the_one_before_is_in_use():
    is_made = {k: threading.Event() for k in range(4)}
    makers = set()

    def make(rows):
        makers.add(threading.current_thread())
        is_made[rows[0]].set()
        return torch.from_numpy(rows)

    for k, batch in enumerate(sent_ahead(make, [np.array([k]) for k in range(4)], CPU)):
        assert batch.item() == k
        assert k == 3 or is_made[k + 1].wait(timeout=30)
        assert k > 1 or not is_made[k + 2].is_set()  # one at most
    (maker,) = makers
    assert maker is not threading.current_thread() and not maker.is_alive()


def test_what_goes_wrong_there_is_raised_here():
    def make(rows):
        raise KeyError(rows[0])

    with pytest.raises(KeyError, match="7"):
        list(sent_ahead(make, [np.array([7]), np.array([8])], CPU))


def test_who_stops_in_between_leaves_no_thread():
    before = threading.active_count()
    iterator = sent_ahead(torch.from_numpy, [np.array([k]) for k in range(9)], CPU)
    assert next(iterator).item() == 0
    iterator.close()
    assert threading.active_count() == before


def test_batches_of_a_gpu_without_room_are_sent(monkeypatch, problem):
    documents, _ = problem
    dataset = DocumentDataset(documents.X, documents.Y)
    monkeypatch.setattr(placing, "room_on", lambda device: 0)
    batches = Batches(dataset, 32, device="cuda")
    assert batches.is_sent and batches.dataset is dataset
    batches.device = CPU  # there is no other
    assert same(list(batches), list(Batches(dataset, 32)))
    assert not Batches(dataset, 32).is_sent


def test_a_part_of_a_batch_says_which_share_it_is_when_it_is_sent():
    part = Part.of(DocumentDataset(matrix(), matrix()), np.arange(5), Processes(1, 2))
    doubled = with_tensors(part, lambda tensor: 2 * tensor)
    assert type(doubled) is Part and (doubled.share, doubled.n_documents) == (0.4, 5)
    assert torch.equal(doubled[0].values(), 2 * part[0].values())


# --------------------------------------------------------------------------------------- on a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("share", [0.25, 0.0])
@pytest.mark.parametrize("kind", ["features", "tokens"])
def test_batches_on_a_gpu_are_those_of_the_cpu(kind, share, problem, token_problem, monkeypatch):
    documents, _ = problem if kind == "features" else token_problem
    dataset = DocumentDataset(documents.X, documents.Y)
    monkeypatch.setattr(placing, "SHARE_OF_FREE", share)
    batches = Batches(dataset, 16, device="cuda")
    assert batches.is_sent == (share == 0)
    there = list(batches)
    assert all(part.is_cuda for batch in there for part in batch)
    back = [with_tensors(batch, torch.Tensor.cpu) for batch in there]
    assert same(back, list(Batches(dataset, 16)))


@pytest.mark.gpu
@pytest.mark.parametrize("share", [0.25, 0.0])
@pytest.mark.parametrize("precision, far", [("float32", 0.02), ("bfloat16", 0.1)])
def test_training_on_a_gpu_ends_near_to_that_on_a_cpu(
    token_problem, token_encoder, make_network, precision, far, share, monkeypatch
):
    monkeypatch.setattr(placing, "SHARE_OF_FREE", share)
    documents, unseen = token_problem
    loss, logits = FocalLoss().build(documents.Y), []
    settings = {"lr": 0.005, "weight_decay": 0.1, "max_epochs": 3, "recommended_epochs": 3}
    settings |= {"batch_size": 32, "patience": 2, "validation_fraction": 0.1}
    for device in ("cpu", "cuda"):
        network = make_network(clone(token_encoder).set_params(dropout=0.0, embedding_dropout=0.0))
        trainer = Trainer(early_stopping=False, device=device, precision=precision, **settings)
        torch.manual_seed(0)
        dataset = DocumentDataset(documents.X, documents.Y)
        trainer.train(network, SparseTargets(loss), dataset, None, parts_of(network))
        logits.append(network.cpu()(as_tensor(unseen.X)))
    assert (logits[1] - logits[0]).norm() < far * logits[0].norm()
