"""Training of torch networks. The only file that imports skorch.

Every system's first stage is `fit_network`: mini-batches of documents, AdamW, and the best weights
kept where there is a validation part.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy import sparse
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, GradientNormClipping
from skorch.helper import predefined_split
from torch import nn

_CLIP = 5.0
_SCORED_AT_A_TIME = 256


class Documents(torch.utils.data.Dataset):
    """Documents and labels, sliced a batch at a time.

    Parameters
    ----------
    X : CSR matrix or array of shape (n_samples, n_inputs)
    Y : csr_array of shape (n_samples, n_labels)
    """

    def __init__(self, X, Y):
        self.X, self.Y = X, Y

    def __len__(self):
        return self.X.shape[0]

    def batch(self, rows):
        """Tensors of some documents and their labels, sparse where the matrices are."""
        return as_tensor(self.X[rows]), as_tensor(self.Y[rows])


class Batches:
    """Iterate over a data set by slices: nothing is collated document by document.

    Parameters
    ----------
    dataset : Documents
    batch_size : int
    shuffle : bool, default=False
        Draw a new order from torch's generator at every pass.
    """

    def __init__(self, dataset, batch_size, shuffle=False):
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle

    def __iter__(self):
        n = len(self.dataset)
        order = torch.randperm(n).numpy() if self.shuffle else np.arange(n)
        for start in range(0, n, self.batch_size):
            yield self.dataset.batch(order[start : start + self.batch_size])


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


def fit_network(
    network,
    loss,
    X,
    Y,
    *,
    validation=None,
    lr,
    weight_decay,
    max_epochs,
    batch_size,
    patience,
    device,
    verbose=0,
    callbacks=None,
):
    """Train a network on documents and labels.

    Parameters
    ----------
    network : nn.Module
        From a batch to logits; trained in place.
    loss : BalancedLoss
        Built from the labels trained on.
    X : CSR matrix or array of shape (n_samples, n_inputs)
    Y : csr_array of shape (n_samples, n_labels)
    validation : tuple of X and Y, default=None
        If given, training stops `patience` epochs after the lowest validation loss and keeps the
        weights of that epoch.

    Returns
    -------
    skorch.NeuralNet
    """
    stopping = [("stopping", EarlyStopping(patience=patience, load_best=True, sink=_quiet))]
    net = NeuralNet(
        network,
        SparseTargets(loss),
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=weight_decay,
        optimizer__fused=True,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        iterator_train=Batches,
        iterator_train__shuffle=True,
        iterator_valid=Batches,
        train_split=predefined_split(Documents(*validation)) if validation else None,
        predict_nonlinearity=None,
        callbacks=[
            ("clipping", GradientNormClipping(_CLIP)),
            *(stopping if validation else []),
            *(callbacks or []),
        ],
        device=device,
        verbose=verbose,
    )
    net.fit(Documents(X, Y), y=None)
    network.eval()
    return net


def _quiet(*args):
    """Where skorch's early stopping says that it stopped."""


def network_scores(network, X, device="cpu"):
    """Logits of documents, in batches padded to one size: scores do not depend on the batch.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    X : CSR matrix or array of shape (n_samples, n_inputs)

    Returns
    -------
    array of float32 of shape (n_samples, n_labels)
    """
    network = network.to(device).eval()
    blocks = []
    with torch.no_grad():
        for start in range(0, X.shape[0], _SCORED_AT_A_TIME):
            block = X[start : start + _SCORED_AT_A_TIME]
            logits = network(as_tensor(_padded(block)).to(device))
            blocks.append(logits[: block.shape[0]].float().cpu().numpy())
    return np.concatenate(blocks)


def _padded(block):
    missing = _SCORED_AT_A_TIME - block.shape[0]
    if not missing:
        return block
    if not sparse.issparse(block):
        return np.pad(block, ((0, missing), (0, 0)))
    indptr = np.pad(block.indptr, (0, missing), mode="edge")
    shape = (_SCORED_AT_A_TIME, block.shape[1])
    return sparse.csr_array((block.data, block.indices, indptr), shape=shape)
