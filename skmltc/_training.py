"""Training of torch networks. The only file that imports skorch.

Every system's first stage is `fit_network`: mini-batches of documents, AdamW, and the best weights
kept where there is a validation part. `train_network` is the same for other batches.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import torch
from scipy import sparse
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from torch import nn
from tqdm.auto import tqdm

from ._sequences import padded_length

_CLIP = 5.0
_SCORED_AT_A_TIME = 256
_TEXTS_AT_A_TIME = 32  # up to 512 tokens long, fewer of longer ones
_TOKENS_AT_A_TIME = 16384
_TRAINED_AT_A_TIME = 2**18  # tokens of a batch, with its padding: a few GB
_LOSSES = ("train_loss", "valid_loss")
_BUCKET = 20  # batches whose texts are sorted by length together


class Documents(torch.utils.data.Dataset):
    """Documents and labels, sliced a batch at a time.

    Parameters
    ----------
    X : CSR matrix or array of shape (n_samples, n_inputs)
        Features, or token ids of an integer type, padded with zeros at the end.
    Y : csr_array of shape (n_samples, n_labels)
    beside : csr_array of shape (n_samples, n_columns), default=None
        What the network takes beside each document.

    Attributes
    ----------
    lengths : array of int of shape (n_samples,) or None
        Tokens of each text; None for features.
    """

    def __init__(self, X, Y, beside=None):
        self.X, self.Y, self.beside = X, Y, beside
        self.lengths = text_lengths(X) if holds_tokens(X) else None

    def __len__(self):
        return self.X.shape[0]

    def batch(self, rows):
        """Tensors of some documents and their labels, sparse where the matrices are.

        Token ids are cut to the longest text among them.
        """
        X = self.X[rows]
        if self.lengths is not None:
            X = X[:, : self.lengths[rows].max()]
        inputs = as_tensor(X)
        if self.beside is not None:
            inputs = inputs, as_tensor(self.beside[rows])
        return inputs, as_tensor(self.Y[rows])


class Batches:
    """Iterate over a data set by slices: nothing is collated document by document.

    Parameters
    ----------
    dataset : Documents
    batch_size : int
    shuffle : bool, default=False
        Draw a new order from torch's generator at every pass. Texts of some length then share
        their batches: of the documents of twenty batches, the shortest make the first one, and
        so on; the batches come in random order.
    """

    def __init__(self, dataset, batch_size, shuffle=False):
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle

    def __iter__(self):
        n = len(self.dataset)
        order = torch.randperm(n).numpy() if self.shuffle else np.arange(n)
        bucketed = self.shuffle and self.dataset.lengths is not None
        batches = self._cut(self._bucketed(order) if bucketed else order)
        if bucketed:
            batches = [batches[i] for i in torch.randperm(len(batches))]
        return map(self.dataset.batch, batches)

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
    return np.count_nonzero(token_ids, axis=1)


class SparseTargets(nn.Module):
    """A loss that makes the targets of a batch dense only now, on their device."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, logits, targets):
        return self.loss(logits, targets.to_dense())


def as_tensor(matrix):
    """An array as a tensor, a CSR matrix as a CSR tensor."""
    if not sparse.issparse(matrix):
        return torch.from_numpy(np.ascontiguousarray(matrix))
    indptr, indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(indptr),
            torch.from_numpy(indices),
            torch.from_numpy(matrix.data.astype(np.float32)),
            size=matrix.shape,
            check_invariants=False,
        )


def fit_network(network, loss, X, Y, *, validation=None, **settings):
    """Train a network on documents and labels: `train_network` with their logits and targets.

    Parameters
    ----------
    network : nn.Module
        From a batch to logits; trained in place.
    loss : BalancedLoss
        Built from the labels trained on.
    X : CSR matrix or array of shape (n_samples, n_inputs)
    Y : csr_array of shape (n_samples, n_labels)
    validation : tuple of X and Y, default=None
    **settings : dict
        Of `train_network`.

    Returns
    -------
    skorch.NeuralNet
    """
    held_out = by_length(*validation) if validation else None
    return train_network(
        network, SparseTargets(loss), Documents(X, Y), validation=held_out, **settings
    )


def train_network(
    network,
    loss,
    dataset,
    *,
    validation=None,
    lr,
    weight_decay,
    max_epochs,
    batch_size,
    patience,
    device,
    linear_decay=False,
    lr_factors=None,
    verbose=0,
    callbacks=None,
):
    """Train a network by AdamW, in mini-batches.

    Parameters
    ----------
    network : nn.Module
        From a batch to what the loss takes; trained in place.
    loss : nn.Module
        From that and the targets of the batch to a number.
    dataset : Documents or another data set with ``batch(rows)``
        Its batches are pairs of an input of the network and targets.
    validation : like dataset, default=None
        If given, training stops `patience` epochs after the lowest validation loss and keeps the
        weights of that epoch.
    linear_decay : bool, default=False
        Let the learning rate fall to 0 at the end of the last epoch, step by step.
    lr_factors : dict of str to float, default=None
        Patterns of parameter names whose learning rate is a multiple of `lr`.

    Returns
    -------
    skorch.NeuralNet
        Interrupted by Ctrl-C it warns, and has the weights of the lowest validation loss so far;
        without a validation part those of the last step.
    """
    stopping = [("stopping", EarlyStopping(patience=patience, load_best=True, sink=_quiet))]
    n_steps = max_epochs * -(-len(dataset) // batch_size)
    net = NeuralNet(
        network,
        loss,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=weight_decay,
        optimizer__fused=True,
        optimizer__param_groups=[
            (pattern, {"lr": lr * factor}) for pattern, factor in (lr_factors or {}).items()
        ],
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        iterator_train=Batches,
        iterator_train__shuffle=True,
        iterator_valid=Batches,
        train_split=predefined_split(validation) if validation else None,
        predict_nonlinearity=None,
        callbacks=[
            ("clipping", GradientNormClipping(_CLIP)),
            *([("schedule", _decay(n_steps))] if linear_decay else []),
            *(stopping if validation else []),
            *([("progress", Progress(n_steps))] if verbose == 1 else []),
            *(callbacks or []),
        ],
        device=device,
        verbose=max(0, verbose - 1),
    )
    net.fit(dataset, y=None)
    network.eval()
    if was_interrupted(net):
        warnings.warn(
            f"Training was interrupted in epoch {len(net.history)} of {max_epochs}. The "
            f"{'best' if validation else 'last'} weights so far are kept.",
            UserWarning,
            stacklevel=2,
        )
    return net


def was_interrupted(net):
    """Whether Ctrl-C ended the training: callbacks that stop do so when an epoch is complete."""
    return "dur" not in net.history[-1]


def best_epoch(net):
    """Epochs after which the weights that were kept stood."""
    losses = [row["valid_loss"] for row in net.history if "valid_loss" in row]
    return int(np.argmin(losses)) + 1 if losses else len(net.history)


class Progress(Callback):
    """A bar over the steps of all epochs, with the time left; early stopping may cut it short."""

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def on_train_begin(self, net, **_):
        self.bar_ = tqdm(total=self.n_steps, desc="Training", unit="step", file=sys.stdout)

    def on_batch_end(self, net, training=False, **_):
        if training:
            self.bar_.update()

    def on_epoch_end(self, net, **_):
        losses = {name: net.history[-1, name] for name in _LOSSES if name in net.history[-1]}
        shown = {name: f"{loss:.3g}" for name, loss in losses.items()}
        self.bar_.set_postfix(epoch=len(net.history), **shown)

    def on_train_end(self, net, **_):
        self.bar_.close()


def _decay(n_steps):
    """A learning rate that falls to 0 over so many steps."""
    return LRScheduler(
        torch.optim.lr_scheduler.LambdaLR,
        lr_lambda=lambda step: max(0.0, 1 - step / n_steps),
        step_every="batch",
    )


def by_length(X, Y, beside=None):
    """Documents in the order of their lengths, so that few batches are long."""
    if not holds_tokens(X):
        return Documents(X, Y, beside)
    order = np.argsort(text_lengths(X), kind="stable")
    return Documents(X[order], Y[order], None if beside is None else beside[order])


def _quiet(*args):
    """Where skorch's early stopping says that it stopped."""


def network_scores(network, X, device="cpu", beside=None):
    """Logits of documents, in batches of a fixed shape: scores do not depend on the batch.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    X : CSR matrix or array of shape (n_samples, n_inputs)
        Features, or token ids of an integer type, padded with zeros at the end.
    beside : csr_array of shape (n_samples, n_columns), default=None
        What the network takes beside each document.

    Returns
    -------
    array of float32 of shape (n_samples, n_labels)
    """
    network = network.to(device).eval()
    rows, logits = [], []
    with torch.no_grad():
        for chosen, block in _text_blocks(X) if holds_tokens(X) else _feature_blocks(X):
            batch = as_tensor(block).to(device)
            if beside is not None:
                batch = batch, as_tensor(_padded(beside[chosen], len(batch))).to(device)
            rows.append(chosen)
            logits.append(network(batch)[: len(chosen)].float().cpu().numpy())
    return np.concatenate(logits)[np.argsort(np.concatenate(rows))]


def _feature_blocks(X):
    """Row numbers and rows, filled up with empty ones to one size."""
    for start in range(0, X.shape[0], _SCORED_AT_A_TIME):
        block = X[start : start + _SCORED_AT_A_TIME]
        yield np.arange(start, start + block.shape[0]), _padded(block, _SCORED_AT_A_TIME)


def _text_blocks(X):
    """Row numbers and rows of one padded length, filled up to the number for that length."""
    lengths, which = np.unique(text_lengths(X), return_inverse=True)
    columns = np.array([padded_length(int(length)) for length in lengths])[which]
    for width in np.unique(columns).tolist():
        rows = np.flatnonzero(columns == width)
        size = max(1, min(_TEXTS_AT_A_TIME, _TOKENS_AT_A_TIME // width))
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            missing = size - len(chosen)
            yield chosen, np.pad(X[chosen, :width], ((0, missing), (0, 0)), mode="edge")


def _padded(block, n_rows):
    missing = n_rows - block.shape[0]
    if not missing:
        return block
    if not sparse.issparse(block):
        return np.pad(block, ((0, missing), (0, 0)))
    indptr = np.pad(block.indptr, (0, missing), mode="edge")
    return sparse.csr_array((block.data, block.indices, indptr), shape=(n_rows, block.shape[1]))
