"""Scores of trained networks, which do not depend on the batch."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from .._linear import DesignMatrix, label_blocks
from ..decision import ScoredPairs
from ..encoders import padded_length, split_head
from .batches import as_tensor, holds_tokens, text_lengths

_SCORED_AT_A_TIME = 256
_TEXTS_AT_A_TIME = 32  # up to 512 tokens long, fewer of longer ones
_TOKENS_AT_A_TIME = 16384


def network_scores(network, X, device="cpu", side_inputs=None):
    """Logits of documents, in batches of a fixed shape: scores do not depend on the batch.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    X : CSR matrix or array of shape (n_samples, n_inputs)
        Features, or token ids of an integer type, padded with zeros at the end.
    side_inputs : csr_array of shape (n_samples, n_columns), default=None
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
            if side_inputs is not None:
                batch = batch, as_tensor(_padded(side_inputs[chosen], len(batch))).to(device)
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


class HeadScorer:
    """A network of `build_network`, for scores of blocks of labels.

    Parameters
    ----------
    network : nn.Module
    device : str
    """

    def __init__(self, network, device):
        self.device = device
        self.encoder, self.weights = split_head(network)

    def encode(self, X):
        """Vectors of documents; of a linear network the documents themselves."""
        vectors = X if self.encoder is None else network_scores(self.encoder, X, self.device)
        return DesignMatrix(vectors, self.device, transpose=False)

    @torch.no_grad()
    def scores(self, encoded, labels):
        """Logits (n_samples, n_block) of some labels."""
        return encoded.dot(self.weights[:, labels]).cpu().numpy()


def score_pairs(scorer, X, Y, Y_fit, labels=None):
    """Scores of documents, by blocks of the labels that the scorer was trained on.

    Parameters
    ----------
    labels : array of bool of shape (n_labels,), default=None
        Leave the others out.
    """
    encoded, parts = scorer.encode(X), []
    for block in label_blocks(Y_fit, X.shape[0], labels):
        scores = scorer.scores(encoded, block)
        parts.append(ScoredPairs.from_columns(scores, Y[:, block], block, Y.shape[1]))
    return ScoredPairs.concatenate([ScoredPairs.empty(Y.shape[1]), *parts])
