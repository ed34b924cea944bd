"""Where documents are while a network is trained: on its device if they fit there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import torch
from scipy import sparse

SHARE_OF_FREE = 0.25  # of a GPU's free memory that documents may take; a step needs the rest
_COPIED_AT_A_TIME = 2**22  # numbers


def placed(dataset, device):
    """A data set with its documents on a device, if there is room; else itself.

    Then a batch is picked there, and nothing but the numbers of its rows is sent.

    Parameters
    ----------
    dataset : DocumentDataset or another with `n_bytes` and `on`
    device : torch.device
    """
    return dataset.on(device) if dataset.n_bytes <= room_on(device) else dataset


def room_on(device):
    """Bytes that documents may take on a device; 0 where they are in its memory already."""
    if device.type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(SHARE_OF_FREE * (free + kept))  # torch keeps what an earlier training has left


def size_on_device(matrix):
    """Bytes that an array or CSR matrix takes on a device."""
    if sparse.issparse(matrix):
        return 8 * (matrix.shape[0] + matrix.nnz)  # a start per row; a column and a value
    return matrix.dtype.itemsize * matrix.shape[0] * matrix.shape[1]


def rows_on(matrix, device):
    """An array or CSR matrix on a device, to pick rows from."""
    return (SparseRows if sparse.issparse(matrix) else DenseRows)(matrix, device)


class DenseRows:
    """An array on a device.

    Parameters
    ----------
    array : array of shape (n_rows, n_columns)
    device : torch.device
    """

    def __init__(self, array, device):
        self.shape = array.shape
        self.values = copied(array.reshape(-1), array.dtype, device).view(self.shape)

    def take(self, rows, n_columns=None):
        """Some rows, cut to the first columns, as a tensor."""
        chosen = numbers_on(rows, self.values.device)
        return self.values[:, :n_columns].index_select(0, chosen)


class SparseRows:
    """A CSR matrix on a device; a batch is never dense.

    Parameters
    ----------
    matrix : csr_array of shape (n_rows, n_columns)
    device : torch.device
    """

    def __init__(self, matrix, device):
        self.shape, indptr = matrix.shape, matrix.indptr.astype(np.int64)
        self.counts = np.diff(indptr)  # here, so that the size of a batch is known without waiting
        self.starts = copied(indptr[:-1], np.int64, device)
        column_type = np.int32 if self.shape[1] < 2**31 else np.int64
        self.indices = copied(matrix.indices, column_type, device)
        self.values = copied(matrix.data, np.float32, device)

    def take(self, rows, n_columns=None):
        """Some rows as a CSR tensor; there is nothing to cut."""
        device, counts = self.values.device, self.counts[rows]
        ends = numbers_on(np.append(0, counts.cumsum()), device)  # (n_rows + 1,)
        first = self.starts.index_select(0, numbers_on(rows, device)) - ends[:-1]
        total = int(counts.sum())
        shift = first.repeat_interleave(ends.diff(), output_size=total)
        places = torch.arange(total, device=device) + shift
        return torch.sparse_csr_tensor(
            ends,
            self.indices.index_select(0, places).long(),
            self.values.index_select(0, places),
            size=(len(rows), self.shape[1]),
            check_invariants=False,
        )


def numbers_on(rows, device):
    """Whole numbers as a tensor on a device."""
    return torch.from_numpy(np.require(rows, np.int64, "W")).to(device)


def copied(array, dtype, device):
    """A tensor of a vector's numbers on a device, by parts: it may be mapped from a file."""
    kind = torch.from_numpy(np.empty(0, dtype)).dtype
    tensor = torch.empty(len(array), dtype=kind, device=device)
    for start in range(0, len(array), _COPIED_AT_A_TIME):
        part = np.require(array[start : start + _COPIED_AT_A_TIME], dtype, "CW")
        tensor[start : start + len(part)].copy_(torch.from_numpy(part))
    return tensor


def sent_ahead(make, batches, device):
    """Yield batches on a device; each is made while the one before is trained on.

    It is made by another thread, in memory from which the device reads by itself. This one sends
    it, so that the device has it before what is computed with it.

    Parameters
    ----------
    make : callable
        From the rows of a batch to tensors; it draws nothing.
    batches : list of arrays
    device : torch.device
    """

    def prepared(rows):
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            return with_tensors(make(rows), pinned)

    with ThreadPoolExecutor(1) as thread:
        waiting = [thread.submit(prepared, rows) for rows in batches[:1]]
        for rows in [*batches[1:], None]:
            if rows is not None:
                waiting.append(thread.submit(prepared, rows))
            if waiting:
                ready = waiting.pop(0).result()
                yield with_tensors(ready, lambda one: one.to(device, non_blocking=True))


def pinned(tensor):
    """The tensor in memory that a GPU reads by itself; itself where there is no GPU, or nothing."""
    return tensor.pin_memory() if tensor.numel() and torch.cuda.is_available() else tensor


def with_tensors(batch, change):
    """A batch of tuples with each dense tensor changed, and each array of a CSR tensor."""
    if not isinstance(batch, torch.Tensor):
        changed = type(batch)(with_tensors(part, change) for part in batch)
        if hasattr(batch, "__dict__"):  # a part of a batch says which share of it
            vars(changed).update(vars(batch))
        return changed
    if batch.layout == torch.strided:
        return change(batch)
    arrays = batch.crow_indices(), batch.col_indices(), batch.values()
    return torch.sparse_csr_tensor(*map(change, arrays), size=batch.shape, check_invariants=False)
