"""Documents and labels as batches of tensors."""

import copy

import numpy as np
import torch
from scipy import sparse

from .._products import csr_tensor
from .._rows import row_blocks
from ..distributed import Processes
from .placing import DenseRows, SparseRows, placed, rows_on, sent_ahead, size_on_device

_TRAINED_AT_A_TIME = 2**18  # tokens of a batch, with its padding: a few GB
_BUCKET = 20  # batches whose texts are sorted by length together


class DocumentDataset(torch.utils.data.Dataset):
    """Documents and labels, sliced a batch at a time.

    Parameters
    ----------
    X : CSR matrix or array of shape (n_samples, n_inputs)
        Features, or token ids of an integer type, padded with zeros at the end.
    Y : csr_array of shape (n_samples, n_labels)
    side_inputs : csr_array of shape (n_samples, n_columns), default=None
        A second input of the network, one row per document.

    Attributes
    ----------
    lengths : array of int of shape (n_samples,) or None
        Tokens of each text; None for features.
    """

    def __init__(self, X, Y, side_inputs=None):
        self.X, self.Y, self.side_inputs = X, Y, side_inputs
        self.lengths = text_lengths(X) if holds_tokens(X) else None

    @property
    def n_bytes(self):
        """What the documents would take on a device."""
        sides = [] if self.side_inputs is None else [self.side_inputs]
        return sum(map(size_on_device, [self.X, self.Y, *sides]))

    def on(self, device):
        """Make the same data set with its documents on a device."""
        twin = copy.copy(self)
        twin.X, twin.Y = rows_on(self.X, device), rows_on(self.Y, device)
        if self.side_inputs is not None:
            twin.side_inputs = rows_on(self.side_inputs, device)
        return twin

    def __len__(self):
        return self.X.shape[0]

    def batch(self, rows):
        """Tensors of some documents and their labels, sparse where the matrices are.

        Token ids are cut to the longest text among them.
        """
        longest = None if self.lengths is None else int(self.lengths[rows].max())
        inputs = take(self.X, rows, longest)
        if self.side_inputs is not None:
            inputs = inputs, take(self.side_inputs, rows)
        return inputs, take(self.Y, rows)


def take(matrix, rows, n_columns=None):
    """Some rows as a tensor, perhaps cut to the first columns; where the matrix is."""
    if isinstance(matrix, DenseRows | SparseRows):
        return matrix.take(rows, n_columns)
    return as_tensor(matrix[rows] if n_columns is None else matrix[rows][:, :n_columns])


class Part(tuple):
    """Inputs and targets of the documents of a batch that this process takes.

    Attributes
    ----------
    share : float
        Which share of the batch they are.
    n_documents : int
        Documents of the batch.
    """

    @classmethod
    def of(cls, dataset, rows, processes):
        """Take this process's rows of a batch; where none is left, one that does not count."""
        own = rows[processes.rank :: processes.size]
        part = cls(dataset.batch(own if len(own) else rows[:1]))
        part.share, part.n_documents = len(own) / len(rows), len(rows)
        return part


class Batches:
    """Iterate over a data set by slices: nothing is collated document by document.

    Parameters
    ----------
    dataset : DocumentDataset
    batch_size : int
    shuffle : bool, default=False
        Draw a new order from torch's generator at every pass. Texts of some length then share
        their batches: of the documents of twenty batches, the shortest make the first one, and
        so on; the batches come in random order.
    bucket : bool, default=True
        Whether texts of some length do so.
    processes : Processes, default=None
        Where they are several, what is iterated over is this one's `Part` of every batch.
    generator : torch.Generator, default=None
        Draws the order in place of torch's.
    device : str, default="cpu"
        Where batches are wanted. On a GPU the documents are there from the start if they take a
        quarter of its free memory at most; else each batch is made ready while the one before is
        trained on.
    """

    def __init__(
        self,
        dataset,
        batch_size,
        shuffle=False,
        bucket=True,
        processes=None,
        generator=None,
        device="cpu",
    ):
        self.device = torch.device(device)
        self.dataset, self.batch_size = placed(dataset, self.device), batch_size
        self.is_sent = self.device.type == "cuda" and self.dataset is dataset
        self.shuffle, self.bucket = shuffle, bucket
        self.processes, self.generator = processes or Processes(), generator

    def __iter__(self):
        n = len(self.dataset)
        order = self._drawn(n) if self.shuffle else np.arange(n)
        bucketed = self.bucket and self.shuffle and self.dataset.lengths is not None
        batches = self._cut(self._bucketed(order) if bucketed else order)
        if bucketed:
            batches = [batches[i] for i in self._drawn(len(batches))]
        if self.is_sent:
            return sent_ahead(self._batch, batches, torch.empty(0, device=self.device).device)
        return map(self._batch, batches)

    def _batch(self, rows):
        """The documents of some rows, or this process's part of them."""
        if self.processes.size == 1:
            return self.dataset.batch(rows)
        return Part.of(self.dataset, rows, self.processes)

    def _drawn(self, n):
        """Numbers below n in random order."""
        return torch.randperm(n, generator=self.generator).numpy()

    def _cut(self, order):
        starts = range(0, len(order), self.batch_size)
        batches = [order[start : start + self.batch_size] for start in starts]
        if self.dataset.lengths is None:
            return batches
        return [part for batch in batches for part in self._in_memory(batch)]

    def _in_memory(self, batch):
        """Halve a batch of long texts until it fits; one text is never cut."""
        if len(batch) * self.dataset.lengths[batch].max() <= _TRAINED_AT_A_TIME or len(batch) == 1:
            return [batch]
        half = len(batch) // 2
        return self._in_memory(batch[:half]) + self._in_memory(batch[half:])

    def _bucketed(self, order):
        """Sort the documents of each bucket by length."""
        bucket = np.arange(len(order)) // (_BUCKET * self.batch_size)
        return order[np.lexsort((self.dataset.lengths[order], bucket))]


def holds_tokens(X):
    """Whether X is an array of token ids."""
    return not sparse.issparse(X) and X.dtype.kind == "i"


def text_lengths(token_ids):
    """Tokens of each row (n_samples,), without the padding at its end."""
    counts = [np.count_nonzero(token_ids[rows], axis=1) for rows in row_blocks(token_ids)]
    return np.concatenate([np.zeros(0, dtype=np.intp), *counts])


def as_tensor(matrix):
    """An array as a tensor, a CSR matrix as a CSR tensor."""
    if not sparse.issparse(matrix):
        return torch.from_numpy(np.require(matrix, requirements="CW"))  # W: torch may write
    return csr_tensor(matrix)


def sorted_by_length(documents, side_inputs=None):
    """A data set of documents in the order of their lengths, so that few batches are long."""
    if holds_tokens(documents.X):
        order = np.argsort(text_lengths(documents.X), kind="stable")
        documents = documents[order]
        side_inputs = None if side_inputs is None else side_inputs[order]
    return DocumentDataset(documents.X, documents.Y, side_inputs)
