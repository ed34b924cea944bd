"""The second network of HSCNN: how alike two documents are as regards a label.

Yang et al. (HSCNN, EMNLP 2020, section 2.2): two documents pass the same encoder, the absolute
difference of their vectors passes a gate of the label, and a linear layer makes it a logit.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from .._logistic import fit_logistic
from .._networks import DocumentDataset, HeadScorer, NetworkScorer, copy_of, network_scores
from .._sampling import draw_documents
from .._targets import count_labels
from ..decision import label_blocks
from ..encoders import ScaledLinear

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "identity": nn.Identity}
_BLOCK = 64, 16  # documents and labels compared at a time: their differences stay in the cache


class Similarity(nn.Module):
    """A logit from two documents' vectors and a label: w . (|x_i - x_j| o h) + b.

    The gate is h = ReLU((W q + b) / sqrt(n_labels)), q being the label as a one-hot vector.

    Parameters
    ----------
    dim : int
        Length of the vectors.
    n_labels : int
    gated : bool, default=True
        Without gates h is 1: two documents are alike whatever the label.
    """

    def __init__(self, dim, n_labels, gated=True):
        super().__init__()
        self.output = nn.Linear(dim, 1)
        self.n_labels, self.gated = n_labels, gated
        if gated:  # zeros would never open: ReLU has no slope there
            bound = 1 / math.sqrt(n_labels)
            self.gate = nn.Parameter(torch.empty(n_labels, dim).uniform_(-bound, bound))
            self.gate_bias = nn.Parameter(torch.empty(dim).uniform_(-bound, bound))

    def weights(self, labels):
        """Weights (n, dim) of the absolute differences for an index of n labels."""
        w = self.output.weight[0]
        if not self.gated:
            return w.expand(len(labels), -1)
        opened = torch.relu((self.gate[labels] + self.gate_bias) / math.sqrt(self.n_labels))
        return w * opened

    def forward(self, first, second, labels):
        """Logits (n,) of n pairs of vectors, each (n, dim), for a label each, (n,)."""
        seen, which = labels.unique(return_inverse=True)
        weights = self.weights(seen)[which]  # (n, dim)
        return ((first - second).abs() * weights).sum(dim=1) + self.output.bias


class Representation(nn.Module):
    """From an encoder's vectors to those that are compared, which lie between 0 and 1.

    Parameters
    ----------
    head : nn.Module
        If it scales the vectors, so does this, by the same factor.
    activation : {"sigmoid", "relu", "identity"}
    """

    def __init__(self, head, activation):
        super().__init__()
        self.scale = head.scale if isinstance(head, ScaledLinear) else None
        self.activation = ACTIVATIONS[activation]()

    def forward(self, vectors):
        """Map (n_samples, dim) to the same shape."""
        return self.activation(vectors if self.scale is None else self.scale * vectors)


class SiameseNetwork(nn.Sequential):
    """Encoder and head as in a single network, and a similarity of documents.

    Parameters
    ----------
    single : nn.Sequential
        A trained network of `build_network`; it is copied.
    n_labels : int
    gated : bool
        Whether similarities depend on the label.
    activation : str
        One of `ACTIVATIONS`.
    """

    def __init__(self, single, n_labels, gated, activation):
        encoder, head = copy_of(single)
        super().__init__(encoder, head)
        self.representation = Representation(head, activation)
        self.similarity = Similarity(encoder.output_dim, n_labels, gated)

    def forward(self, batch):
        """Vectors to compare (n_samples, dim), and logits (n_samples, n_labels)."""
        vectors = self[0](batch)
        return self.representation(vectors), self[1](vectors)

    def parts(self):
        """Parts that may learn at rates of their own, by their names."""
        return {"encoder": self[0], "head": self[1], "similarity": self.similarity}

    def represent(self, X, device):
        """Vectors to compare, an array (n_samples, dim), of checked documents."""
        return network_scores(nn.Sequential(self[0], self.representation), X, device)


class TripletLoss(nn.Module):
    """Cross-entropy of the similarities, and the loss of a single network for either document.

    Parameters
    ----------
    similarity : Similarity
    label_loss : BalancedLoss
        Built with ``reduction="none"``.
    weight : float, default=1.0
        Of the second part, which is left out where targets have no labels.
    """

    def __init__(self, similarity, label_loss, weight=1.0):
        super().__init__()
        self.similarity, self.label_loss, self.weight = similarity, label_loss, weight

    def forward(self, outputs, targets):
        """Mean over triplets."""
        vectors, logits = outputs
        first, second, labels, same, *truth = targets
        similarities = self.similarity(vectors[first], vectors[second], labels)
        loss = binary_cross_entropy_with_logits(similarities, same)
        if not truth:
            return loss
        cells = self.label_loss.of_indicators(logits, truth[0].to_dense())
        of_documents = cells.sum(dim=1) / cells.shape[1]  # mean over labels
        of_either = of_documents[first].mean() + of_documents[second].mean()
        return loss + self.weight * of_either


class TripletDocuments(torch.utils.data.Dataset):
    """Batches of triplets that share documents, as a data set; each batch is an element.

    Parameters
    ----------
    X : CSR matrix or array of shape (n_samples, n_inputs)
    Y : csr_array of shape (n_samples, n_labels)
    triplets : list of Triplets
    multi_task : {"labels", "category"} or None
        What is true of a document: all its labels, or the one that it was drawn for. With None
        the targets have no labels.
    """

    lengths = None  # a batch is put together already

    def __init__(self, X, Y, triplets, multi_task):
        self.documents, self.Y = DocumentDataset(X, Y), Y
        self.triplets, self.multi_task = triplets, multi_task

    def __len__(self):
        return len(self.triplets)

    @property
    def n_bytes(self):
        """What the documents would take on a device."""
        return self.documents.n_bytes

    def on(self, device):
        """Make the same data set with its documents on a device."""
        twin = copy.copy(self)
        twin.documents = self.documents.on(device)
        return twin

    @property
    def same(self):
        """Whether the documents of each triplet are similar."""
        return np.concatenate([batch.same for batch in self.triplets] or [np.empty(0, bool)])

    def batch(self, rows):
        """Documents of a batch, and its triplets with the documents' labels."""
        triplets = self._batch_of(rows)
        inputs, truth = self.documents.batch(triplets.documents)
        if self.multi_task == "category":
            truth = _one_hot(triplets.labels, truth.shape[1])
        labels = triplets.labels[triplets.second]
        arrays = triplets.first, triplets.second, labels, triplets.same.astype(np.float32)
        return inputs, (*map(torch.from_numpy, arrays), *([truth] if self.multi_task else []))

    def _batch_of(self, rows):
        (row,) = rows
        return self.triplets[row]


class IndependentTriplets(TripletDocuments):
    """Triplets of two documents of their own, as a data set; each triplet is an element.

    Parameters
    ----------
    X, Y, multi_task
        As of `TripletDocuments`.
    triplets : Triplets

    Attributes
    ----------
    lengths : array of int of shape (n_triplets,) or None
        Tokens of both documents, filled up to the longer one; None for features.
    """

    def __init__(self, X, Y, triplets, multi_task):
        super().__init__(X, Y, triplets, multi_task)
        self.lengths = self._lengths()

    def _lengths(self):
        if self.documents.lengths is None:
            return None
        lengths = self.documents.lengths[self.triplets.documents]
        return 2 * np.maximum(lengths[self.triplets.first], lengths[self.triplets.second])

    def __len__(self):
        return len(self.same)

    @property
    def same(self):
        """Whether the documents of each triplet are similar."""
        return self.triplets.same

    def _batch_of(self, rows):
        return self.triplets.with_documents_of_their_own(rows)


def _one_hot(labels, n_labels):
    """A row for each label; of zeros for the number of labels, which is none."""
    return torch.nn.functional.one_hot(torch.from_numpy(labels), n_labels + 1)[:, :-1].float()


def draw_supports(Y, n_support, random_state):
    """Draw up to so many documents of each label.

    Returns
    -------
    array of int of shape (n_labels, n_support)
        Rows of Y; -1 where a label has fewer documents.
    """
    drawn = draw_documents(Y.T.tocsr(), n_support, random_state)
    labels = np.repeat(np.arange(Y.shape[1]), np.diff(drawn.indptr))
    chosen = np.full((Y.shape[1], n_support), -1)
    chosen[labels, np.arange(len(labels)) - drawn.indptr[labels]] = drawn.indices
    return chosen


def support_vectors(network, X, Y, n_support, support, random_state, device):
    """Draw up to so many documents of each label, and represent them.

    Returns
    -------
    array of float32 of shape (n_labels, n_comparisons, dim)
        With `support` "vote" a vector for each document, NaN where a label has fewer; with "mean"
        their mean as the only one.
    """
    chosen = draw_supports(Y, n_support, random_state)
    documents, places = np.unique(chosen, return_inverse=True)
    vectors = network.represent(X[np.maximum(documents, 0)], device)
    vectors[documents < 0] = np.nan
    vectors = vectors[places.reshape(chosen.shape)]  # (n_labels, n_support, dim)
    if support == "vote":
        return vectors
    n_drawn = np.count_nonzero(chosen >= 0, axis=1)[:, None, None]
    return np.nansum(vectors, axis=1, keepdims=True) / np.maximum(n_drawn, 1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class SimilarityScorer(NetworkScorer):
    """Similarities of documents with the support documents of labels.

    Parameters
    ----------
    network : SiameseNetwork
    supports : array of float32 of shape (n_labels, n_comparisons, dim)
        As of `support_vectors`.
    offsets : array of float32 of shape (n_labels,)
        Added to the logits.
    scale : float, default=1.0
        Factor of the logits.
    """

    network: SiameseNetwork
    supports: np.ndarray
    offsets: np.ndarray
    scale: float = 1.0

    def encode(self, X, device):
        """Vectors of documents, to compare with those of the supports."""
        return torch.from_numpy(self.network.represent(X, device)).to(device)

    @torch.no_grad()
    def scores(self, encoded, labels):
        """Logits (n_samples, n_block) of some labels; of several comparisons their majority's."""
        device, similarity = encoded.device, self.network.similarity
        supports = torch.from_numpy(self.supports[labels]).to(device)
        weights = similarity.weights(torch.as_tensor(labels, device=device))
        compared = [weighted_differences(encoded, s, weights) for s in supports.unbind(dim=1)]
        # The lower median is above a cut-off where more than half of the comparisons are.
        logits = compared[0] if len(compared) == 1 else torch.stack(compared).nanmedian(0).values
        logits = (logits + similarity.output.bias).cpu().numpy()
        return np.float32(self.scale) * logits + self.offsets[labels]

    def matching_priors(self, documents, labels, device):
        """Shift each label's logits: above 0 are as many of these documents as have the label.

        Parameters
        ----------
        documents : Documents
        labels : array of bool of shape (n_labels,)
            Leave the others as they are.
        device : str

        Returns
        -------
        SimilarityScorer
        """
        encoded, counts = self.encode(documents.X, device), count_labels(documents.Y)
        offsets = self.offsets.copy()
        for block in label_blocks(np.where(labels, counts, 0), _BLOCK[1]):
            falling = -np.sort(-self.scores(encoded, block), axis=0)
            last = counts[block] - 1
            following = np.minimum(last + 1, len(falling) - 1)
            column = np.arange(len(block))
            offsets[block] -= (falling[last, column] + falling[following, column]) / 2
        return replace(self, offsets=offsets)

    def calibrated(self, slope, intercept):
        """Multiply all logits by a slope and add an intercept."""
        offsets = (slope * self.offsets + intercept).astype(np.float32)
        return replace(self, scale=slope * self.scale, offsets=offsets)


def platt_scaling(pairs):
    """Slope and intercept that make log-odds of scores, by a logistic regression.

    Parameters
    ----------
    pairs : ScoredPairs
        Scores of unseen documents.

    Returns
    -------
    slope, intercept : float
        1 and 0 if higher scores are not likelier.
    """
    if not 0 < np.count_nonzero(pairs.is_true) < len(pairs.is_true):
        return 1.0, 0.0
    spread = max(float(pairs.scores.std()), np.finfo(np.float32).tiny)
    features = np.column_stack([pairs.scores / spread, np.ones(len(pairs.scores))])
    slope, intercept = fit_logistic(
        features, pairs.is_true, weights=pairs.weights, ridge=[1.0, 0.0]
    )
    return (slope / spread, intercept) if slope > 0 else (1.0, 0.0)


@dataclass(frozen=True, eq=False)
class HybridScorer:
    """Similarities for the labels of few documents, a single network for the others.

    Parameters
    ----------
    single : HeadScorer
    similar : SimilarityScorer or None
        None where no label is compared.
    below : array of bool of shape (n_labels,)
        The labels that are scored by similarity.
    """

    single: HeadScorer
    similar: SimilarityScorer | None
    below: np.ndarray

    @property
    def network(self):
        """The single network."""
        return self.single.network

    def encode(self, X, device):
        """Vectors of documents by either network."""
        compared = self.similar.encode(X, device) if self.below.any() else None
        return self.single.encode(X, device), compared

    def scores(self, encoded, labels=None):
        """Logits (n_samples, n_block) of an array of labels, of all by default."""
        vectors, compared = encoded
        labels = np.arange(len(self.below)) if labels is None else labels
        below = self.below[labels]
        frequent = self.single.scores(vectors, labels[~below])
        if not below.any():
            return frequent
        logits = np.empty((len(frequent), len(labels)), dtype=np.float32)
        logits[:, ~below] = frequent
        logits[:, below] = self.similar.scores(compared, labels[below])
        return logits


def weighted_differences(vectors, centres, weights):
    """Sum over k of weights[c, k] |vectors[i, k] - centres[c, k]|, by blocks.

    Parameters
    ----------
    vectors : tensor of shape (n_samples, dim)
    centres, weights : tensors of shape (n_labels, dim)

    Returns
    -------
    tensor of shape (n_samples, n_labels)
    """
    n_rows, n_columns = _BLOCK
    sums = vectors.new_empty(len(centres), len(vectors))
    for columns in gen_batches(len(centres), n_columns):
        # Of one size, whatever the documents and labels: the order of summation must not depend
        # on them.
        n_labels = columns.stop - columns.start
        missing = (0, 0, 0, n_columns - n_labels)
        centre, weight = pad(centres[columns], missing), pad(weights[columns], missing)
        differences = vectors.new_zeros(n_columns, n_rows, vectors.shape[1])
        for rows in gen_batches(len(vectors), n_rows):
            n_filled = min(rows.stop, len(vectors)) - rows.start
            torch.sub(vectors[None, rows], centre[:, None], out=differences[:, :n_filled])
            compared = torch.bmm(differences.abs_(), weight[:, :, None]).squeeze(2)
            sums[columns, rows] = compared[:n_labels, :n_filled]  # (labels, documents)
    return sums.T
