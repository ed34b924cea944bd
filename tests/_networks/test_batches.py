"""Documents and labels as batches of tensors."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse

from skmltc._networks.batches import (
    Batches,
    DocumentDataset,
    Part,
    as_tensor,
    sorted_by_length,
    text_lengths,
)
from skmltc.decision import Documents
from skmltc.distributed import Processes


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
    X = np.arange(7, dtype=np.float32)[:, None]
    dataset = DocumentDataset(X, sparse.csr_array(np.eye(7)))
    assert len(dataset) == 7
    assert rows_seen(Batches(dataset, 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    for X, Y in Batches(dataset, 3):
        assert_array_equal(Y.to_dense().argmax(1), X[:, 0])


def test_shuffled_batches_hold_every_document_once_in_a_new_order_each_time():
    X = sparse.csr_array(np.arange(40, dtype=np.float32)[:, None])
    batches = Batches(DocumentDataset(X, sparse.csr_array(np.ones((40, 1)))), 16, shuffle=True)
    torch.manual_seed(0)
    first, second = sum(rows_seen(batches), []), sum(rows_seen(batches), [])
    torch.manual_seed(0)
    again = sum(rows_seen(batches), [])
    assert sorted(first) == sorted(second) == list(range(40))
    assert first == again != second


def test_batches_of_very_long_texts_are_halved():
    """Until they have 262,144 tokens at most, with their padding; one text is never cut."""
    unit = 2**18 // 60
    lengths = unit * np.array([3, 3, 3, 3, 3, 3, 3, 30, 100])
    token_ids = np.where(np.arange(100 * unit) < lengths[:, None], np.arange(1, 10)[:, None], 0)
    Y = sparse.csr_array(np.eye(9, dtype=np.float32))
    dataset = DocumentDataset(token_ids.astype(np.int32), Y)
    shapes = [(len(X), X.shape[1] / unit) for X, _ in Batches(dataset, 9)]
    assert shapes == [(4, 3), (2, 3), (1, 3), (1, 30), (1, 100)]
    torch.manual_seed(0)
    assert sorted(sum(rows_seen(Batches(dataset, 9, shuffle=True)), [])) == list(range(1, 10))


@pytest.mark.parametrize("length, sizes", [(2**16, [4]), (2**16 + 1, [2, 2]), (2**17 + 1, [1] * 4)])
def test_a_batch_is_halved_above_262144_tokens(length, sizes):
    token_ids = np.ones((4, length), dtype=np.int32)
    dataset = DocumentDataset(token_ids, sparse.csr_array(np.eye(4, dtype=np.float32)))
    assert [len(X) for X, _ in Batches(dataset, 4)] == sizes


@pytest.mark.parametrize("form", [sparse.csr_array, np.asarray])
def test_side_inputs_stay_with_their_documents(form, numbered_sides):
    X = form(np.arange(1, 41, dtype=np.float32)[:, None])
    dataset = DocumentDataset(X, sparse.csr_array(np.ones((40, 1))), numbered_sides(40))
    torch.manual_seed(0)
    batches = list(Batches(dataset, 16, shuffle=True))
    seen = [int(x) for (inputs, _), _ in batches for x in inputs.to_dense()[:, 0]]
    assert sorted(seen) == list(range(1, 41))
    for (inputs, side_inputs), _ in batches:
        numbers = inputs.to_dense()
        assert_array_equal(side_inputs.to_dense(), numbers * (numbers % 4 != 1) * torch.ones(1, 3))


# ------------------------------------------------------------------------------------- tokens


@pytest.fixture
def numbered_texts(make_texts):
    """So many texts with their own number as the first token, and as the only label."""

    def make(n_samples):
        X = make_texts(n_samples)
        X[:, 0] = np.arange(1, n_samples + 1)
        return Documents(X, sparse.csr_array(np.eye(n_samples, dtype=np.float32)))

    return make


def test_lengths_of_texts():
    assert_array_equal(text_lengths(np.array([[3, 1, 0], [0, 0, 0], [1, 1, 1]])), [2, 0, 3])
    assert DocumentDataset(np.ones((2, 2), dtype=np.float32), None).lengths is None


@pytest.mark.parametrize("batch_size", [3, 16, 1000])
def test_bucketed_batches_hold_every_text_once_with_its_labels(batch_size, numbered_texts):
    documents = numbered_texts(137)
    dataset = DocumentDataset(documents.X, documents.Y)
    batches = list(Batches(dataset, batch_size, shuffle=True))
    assert sorted(torch.cat([X[:, 0] for X, _ in batches]).tolist()) == list(range(1, 138))
    assert len(batches) == -(-137 // batch_size)
    for X, Y in batches:
        assert_array_equal(Y.to_dense().argmax(1) + 1, X[:, 0])
        rows = X[:, 0].numpy() - 1
        assert_array_equal(X, dataset.X[rows, : X.shape[1]])
        assert X.shape[1] == dataset.lengths[rows].max()


def test_bucketed_batches_are_new_at_each_pass_and_the_same_with_the_same_seed(numbered_texts):
    documents = numbered_texts(100)
    batches = Batches(DocumentDataset(documents.X, documents.Y), 8, shuffle=True)

    def one_pass():
        return [X[:, 0].tolist() for X, _ in batches]

    torch.manual_seed(0)
    first, second = one_pass(), one_pass()
    torch.manual_seed(0)
    assert one_pass() == first != second
    assert {tuple(sorted(b)) for b in first} != {tuple(sorted(b)) for b in second}


def test_bucketing_saves_most_of_the_padding_and_mixes_lengths(numbered_texts):
    documents = numbered_texts(640)
    dataset = DocumentDataset(documents.X, documents.Y)
    batches = list(Batches(dataset, 16, shuffle=True))
    assert sum(X.numel() for X, _ in batches) < 1.2 * dataset.lengths.sum() < 0.5 * dataset.X.size
    widths = [X.shape[1] for X, _ in batches]
    assert sorted(widths) != widths != sorted(widths)[::-1]


def test_unshuffled_texts_come_in_order(numbered_texts):
    documents = numbered_texts(20)
    batches = Batches(DocumentDataset(documents.X, documents.Y), 8)
    assert sum((X[:, 0].tolist() for X, _ in batches), []) == list(range(1, 21))


def test_texts_by_length_keep_their_side_inputs(numbered_texts, numbered_sides):
    documents = numbered_texts(30)
    ordered = sorted_by_length(documents, numbered_sides(30))
    assert (np.diff(ordered.lengths) >= 0).all() and ordered.lengths[0] < ordered.lengths[-1]
    numbers = ordered.X[:, 0]
    assert_array_equal(ordered.Y.toarray().argmax(axis=1) + 1, numbers)
    assert_array_equal(ordered.side_inputs.toarray()[:, 0], numbers * (numbers % 4 != 1))
    assert sorted_by_length(documents).side_inputs is None


def test_features_have_no_lengths_and_keep_their_order(numbered_sides):
    documents, sides = Documents(np.eye(3, dtype=np.float32), np.eye(3)), numbered_sides(3)
    ordered = sorted_by_length(documents, sides)
    assert ordered.X is documents.X and ordered.Y is documents.Y and ordered.side_inputs is sides


def test_batches_are_made_without_a_word_and_without_touching_the_filters(monkeypatch):
    """Catching warnings is not safe in threads; torch would warn of the first CSR tensor."""
    monkeypatch.setattr(warnings, "catch_warnings", None)  # who calls it fails
    dataset = DocumentDataset(sparse.csr_array((3, 4)), sparse.csr_array((3, 2)))
    assert len(list(Batches(dataset, 2, shuffle=True))) == 2


def parts_of_two(n_samples, batch_size):
    """What two processes have of the batches, in an order that both draw alike."""
    dataset = DocumentDataset(np.arange(n_samples, dtype=np.float32)[:, None], np.eye(n_samples))
    dataset.Y = sparse.csr_array(dataset.Y)

    def drawn(rank):
        how = {"processes": Processes(rank, 2), "generator": torch.Generator().manual_seed(0)}
        return list(Batches(dataset, batch_size, shuffle=True, **how))

    return zip(drawn(0), drawn(1), strict=True)


def test_processes_divide_the_documents_of_every_batch():
    seen = []
    for parts in parts_of_two(21, 5):
        rows = [set(part[0][:, 0].int().tolist()) for part in parts]
        counted = [part.share * part.n_documents for part in parts]
        if parts[0].n_documents > 1:
            assert [len(one) for one in rows] == counted == [3, 2]
            assert not rows[0] & rows[1]
        seen += rows[0] | rows[1]
    assert sorted(seen) == list(range(21))


def test_a_process_without_documents_has_one_that_does_not_count():
    *_, (first, second) = parts_of_two(21, 5)
    assert (first.share, second.share) == (1, 0)
    assert len(second[0]) == 1
    assert first.n_documents == second.n_documents == 1


def test_a_single_process_has_whole_batches():
    dataset = DocumentDataset(np.ones((4, 1), np.float32), sparse.csr_array(np.ones((4, 1))))
    assert not any(isinstance(batch, Part) for batch in Batches(dataset, 2))


def test_an_order_of_its_own_does_not_draw_from_torch():
    dataset = DocumentDataset(np.ones((4, 1), np.float32), sparse.csr_array(np.ones((4, 1))))
    before = torch.get_rng_state()
    list(Batches(dataset, 2, shuffle=True, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tensor_of_what_cannot_be_written_to_is_a_copy():
    X = np.ones((2, 2), dtype=np.float32)
    X.flags.writeable = False
    as_tensor(X)[0, 0] = 5
    assert X[0, 0] == 1
