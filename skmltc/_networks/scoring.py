"""Scores of trained networks, which do not depend on the batch."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse
from torch import nn

from .._products import csr_dot, csr_tensors, dense_dot
from ..encoders import padded_length, split_head
from .batches import as_tensor, holds_tokens, text_lengths

_SCORED_AT_A_TIME = 256
_TEXTS_AT_A_TIME, _ON_A_GPU = 32, 256  # fewer where there would be more tokens than that:
_TOKENS_AT_A_TIME = 16384  # 512 in each of 32


def network_scores(network, X, device="cpu", side_inputs=None):
    """Logits of documents, in batches of a fixed shape: scores do not depend on the batch.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    X : CSR matrix or array of shape (n_samples, n_inputs)
        Features, or token ids of an integer type, padded with zeros at the end.
    side_inputs : csr_array of shape (n_samples, n_columns), default=None
        A second input of the network, one row per document.

    Returns
    -------
    array of float32 of shape (n_samples, n_labels)
    """
    network = on_device(network, device)
    rows, logits = [], []
    with torch.no_grad():
        blocks = _text_blocks(X, device) if holds_tokens(X) else _feature_blocks(X)
        for chosen, block in blocks:
            batch = as_tensor(block).to(device)
            if side_inputs is not None:
                batch = batch, as_tensor(_padded(side_inputs[chosen], len(batch))).to(device)
            rows.append(chosen)
            logits.append(network(batch)[: len(chosen)].float().cpu().numpy())
    return np.concatenate(logits)[np.argsort(np.concatenate(rows))]


def on_device(network, device):
    """The network on a device; untouched where all of it is there, since others may score with it.

    Moving a recurrent layer lays out its weights anew, even to where they are. Two networks may
    share an encoder, so that where it is does not say where a head is.
    """
    here = torch.empty(0, device=device).device  # "cuda" has no number, a tensor on it has
    weights = itertools.chain(network.parameters(), network.buffers())
    return network if all(one.device == here for one in weights) else network.to(here)


def copy_of(network):
    """A copy of a network, on its device; there recurrent weights are laid out anew."""
    twin, parameter = copy.deepcopy(network), next(network.parameters(), None)
    return twin if parameter is None else twin.to(parameter.device)


def _feature_blocks(X):
    """Row numbers and rows, filled up with empty ones to one size."""
    for start in range(0, X.shape[0], _SCORED_AT_A_TIME):
        block = X[start : start + _SCORED_AT_A_TIME]
        yield np.arange(start, start + block.shape[0]), _padded(block, _SCORED_AT_A_TIME)


def _text_blocks(X, device):
    """Row numbers and rows of one padded length, filled up to the number for that length.

    A GPU takes as long for 32 short texts as for many.
    """
    most = _ON_A_GPU if torch.device(device).type == "cuda" else _TEXTS_AT_A_TIME
    lengths, which = np.unique(text_lengths(X), return_inverse=True)
    columns = np.array([padded_length(int(length)) for length in lengths])[which]
    for width in np.unique(columns).tolist():
        rows = np.flatnonzero(columns == width)
        size = max(1, min(most, _TOKENS_AT_A_TIME // width))
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


class NetworkScorer:
    """Base of scorers that hold networks: they are stored for the CPU."""

    def __getstate__(self):
        return {
            name: copy.deepcopy(value).cpu() if isinstance(value, nn.Module) else value
            for name, value in vars(self).items()
        }


@dataclass(frozen=True, eq=False)
class HeadScorer(NetworkScorer):
    """A network of `build_network`.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    offsets : array of float32 of shape (n_labels,), default=None
        Added to the logits.
    """

    network: nn.Module
    offsets: np.ndarray | None = None

    def raised(self, by_label):
        """Add a number to the logits of each label."""
        offsets = by_label if self.offsets is None else self.offsets + by_label
        return replace(self, offsets=offsets.astype(np.float32))

    def encode(self, X, device):
        """Vectors of documents; of a linear network the documents themselves."""
        encoder, _ = split_head(self.network)
        return network_vectors(encoder, X, device) if encoder else sparse_or_tensor(X, device)

    @torch.no_grad()
    def scores(self, encoded, labels=None):
        """Logits (n_samples, n_block) of an array of labels, of all by default."""
        _, weights = split_head(self.network)
        labels = slice(None) if labels is None else labels
        logits = head_scores(encoded, weights[:, labels])
        return logits if self.offsets is None else logits + self.offsets[labels]


@dataclass(frozen=True, eq=False)
class FrozenScorer(NetworkScorer):
    """A scorer of vectors, and the encoder that makes them and was not trained.

    Parameters
    ----------
    encoder : nn.Module
        In evaluation mode.
    scorer : LinearScorer
    """

    encoder: nn.Module
    scorer: object

    def joined(self, other):
        """The models of these labels, and those of a scorer of vectors after them."""
        return replace(self, scorer=self.scorer.joined(other))

    def encode(self, X, device):
        """Vectors of documents."""
        return self.scorer.encode(network_scores(self.encoder, X, device), device)

    def scores(self, encoded, labels=None):
        """Logits (n_samples, n_block) of an array of labels, of all by default."""
        return self.scorer.scores(encoded, labels)

    @property
    def weights(self):
        """Of the linear scorer."""
        return self.scorer.weights

    @property
    def intercepts(self):
        """Of the linear scorer."""
        return self.scorer.intercepts


def network_vectors(network, X, device, side_inputs=None):
    """Vectors of documents, as a tensor (n_samples, dim) on the device."""
    return torch.from_numpy(network_scores(network, X, device, side_inputs)).to(device)


def sparse_or_tensor(X, device):
    if sparse.issparse(X):
        return sparse.csr_array(X)
    return torch.from_numpy(np.require(X, requirements="CW")).to(device)


def head_scores(encoded, weights):
    """Logits of documents, as an array.

    Parameters
    ----------
    encoded : tensor of shape (n_samples, dim) or csr_array
    weights : tensor of shape (dim + 1, n_block)
        The biases last.
    """
    if sparse.issparse(encoded):
        products = csr_dot(*csr_tensors(encoded, weights.device), weights[:-1].contiguous())
    else:
        products = dense_dot(encoded, weights[:-1].to(encoded.device))
    return (products + weights[-1].to(products.device)).cpu().numpy()
