"""The network of TReaderXML: a text is read with the labels of similar documents.

Wang et al. (arXiv 2205.11973): teacher and student are sequences of vectors, read by multi-head
self-attention, joined, read again, pooled and classified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn.functional import embedding_bag, pad, scaled_dot_product_attention

from .._logistic import fit_logistic
from .._networks import NetworkScorer, as_tensor, head_scores, network_vectors
from ._scopes import ScopeRetriever

READINGS = (
    "mmhsa+residual+mhsa",
    "mhsa+residual+mmhsa",
    "mmhsa+mhsa",
    "mmhsa+residual",
    "mhsa+residual",
)
_FEWEST_MIXED, _CELLS_MIXED = 200, 2**22  # documents, and documents times labels
_DESCRIBED_AT_A_TIME = 256  # labels, when scores must not depend on which others there are


class SelfAttention(nn.Module):
    """Multi-head self-attention with tanh on its output (equations 8 to 13).

    Parameters
    ----------
    dim : int
        Length of the vectors.
    n_heads : int
        Heads of dim // n_heads numbers each.
    masked : bool
        Whether a position sees those up to itself alone (MMHSA) or all (MHSA). The paper's mask
        is printed the other way round.
    """

    def __init__(self, dim, n_heads, masked):
        super().__init__()
        self.n_heads, self.masked = n_heads, masked
        wide = n_heads * (dim // n_heads)
        self.inputs = nn.Linear(dim, 3 * wide, bias=False)
        self.output = nn.Linear(wide, dim, bias=False)
        for weight in (*self.inputs.weight.split(wide), self.output.weight):
            nn.init.xavier_uniform_(weight)  # torch's own start shrinks what passes several layers

    def forward(self, states, mask):
        """Map (batch, length, dim) to the same shape; a position that sees nothing gets zeros.

        Parameters
        ----------
        mask : tensor of bool of shape (batch, length)
            Positions that can be seen.
        """
        split = self.inputs(states).unflatten(2, (3 * self.n_heads, -1))
        queries, keys, values = split.transpose(1, 2).chunk(3, dim=1)  # (batch, heads, length, d_k)
        visible = mask[:, None, None]  # (batch, 1, 1, length)
        if self.masked:
            length = states.shape[1]
            visible = (
                visible & torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
            )
        any_visible = visible.any(dim=3, keepdim=True)
        heads = (
            scaled_dot_product_attention(queries, keys, values, attn_mask=visible | ~any_visible)
            * any_visible
        )
        return self.output(heads.transpose(1, 2).flatten(2)).tanh()


class Reading(nn.Module):
    """Attention layers one after the other, with a residual sum where the name says so.

    Parameters
    ----------
    dim, n_heads : int
    name : str
        One of `READINGS`.
    """

    def __init__(self, dim, n_heads, name):
        super().__init__()
        self.steps = name.split("+")
        masked = [step == "mmhsa" for step in self.steps if step != "residual"]
        self.layers = nn.ModuleList(SelfAttention(dim, n_heads, is_masked) for is_masked in masked)

    def forward(self, states, mask):
        """Map (batch, length, dim) to the same shape."""
        layers, before = iter(self.layers), None
        for step in self.steps:
            if step == "residual":
                states = before + states
            else:
                before, states = states, next(layers)(states, mask)
        return states


class TokenReader(nn.Module):
    """An encoder of tokens, for the sequences of texts and of label descriptions."""

    is_single = False

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.dim = encoder, encoder.token_dim

    def forward(self, token_ids):
        """Sequences (batch, length, dim) and their mask (batch, length)."""
        return self.encoder.encode_tokens(token_ids)

    def embed_words(self, words):
        """Vectors (n, length, dim) of the words of labels (n, length), and their mask."""
        states, _ = self.encoder.encode_tokens(words)
        return pad(states, (0, 0, 0, words.shape[1] - states.shape[1])), words != 0


class FeatureReader(nn.Module):
    """An encoder of features: a document is a sequence of one, and a word a document of its own.

    Words are numbers of features from 1 up.
    """

    is_single = True

    def __init__(self, encoder, n_inputs):
        super().__init__()
        self.encoder, self.dim, self.n_inputs = encoder, encoder.output_dim, n_inputs

    def forward(self, batch):
        """Sequences (batch, 1, dim) and their mask (batch, 1)."""
        states = self.encoder(batch)[:, None]
        return states, torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)

    def embed_words(self, words):
        """Vectors (n, length, dim) of the words of labels (n, length), and their mask."""
        known = words != 0
        columns = (words[known] - 1).cpu().numpy()
        indptr = np.append(0, known.flatten().cumsum(0).cpu().numpy())
        alone = sparse.csr_array(
            (np.ones(len(columns), dtype=np.float32), columns, indptr),
            shape=(words.numel(), self.n_inputs),
        )
        states = self.encoder(as_tensor(alone).to(words.device))
        return states.unflatten(0, words.shape), known


class Teacher(nn.Module):
    """From the scope sets of documents to sequences: the mean description of their labels.

    Parameters
    ----------
    reader : TokenReader or FeatureReader
        Gives the vectors of words.
    descriptions : array of int of shape (n_rows, length)
        Words of each label, and of parents that are no labels; 0 is padding.
    """

    def __init__(self, reader, descriptions):
        super().__init__()
        self.reader = reader
        self.register_buffer("descriptions", torch.from_numpy(descriptions))

    def forward(self, scopes):
        """Sequences (batch, length, dim) and their mask (batch, length).

        Parameters
        ----------
        scopes : CSR tensor of shape (batch, n_rows)
            Where it has an entry, the label is in the scope set of the document.
        """
        labels, entries = scopes.col_indices().unique(return_inverse=True)
        if not len(labels):  # embedding bags want a row to look up
            labels, entries = labels.new_zeros(1), labels
        states, known = self._describe(self.descriptions[labels])
        shape, offsets = states.shape[1:], scopes.crow_indices()
        states = (states * known[:, :, None]).flatten(1)  # (n_labels, length * dim)
        sums = _sums(entries, states, offsets).unflatten(1, shape)
        counts = _sums(entries, known.float(), offsets)  # (batch, length)
        return sums / counts.clamp(min=1)[:, :, None], counts > 0

    def _describe(self, words):
        if self.training:
            return self.reader.embed_words(words)
        missing = -len(words) % _DESCRIBED_AT_A_TIME
        filled = torch.cat([words, words.new_zeros(missing, words.shape[1])])
        parts = [self.reader.embed_words(part) for part in filled.split(_DESCRIBED_AT_A_TIME)]
        return tuple(torch.cat(part)[: len(words)] for part in zip(*parts, strict=True))


def _sums(entries, rows, offsets):
    return embedding_bag(entries, rows, offsets, mode="sum", include_last_offset=True)


def mean(states, mask):
    """Mean (batch, dim) over the positions that the mask (batch, length) has."""
    return (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def maximum(states, mask):
    """Maximum (batch, dim) over the positions that the mask has."""
    return states.masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1)


def last(states, mask):
    """The last position (batch, dim) that the mask has."""
    positions = torch.arange(mask.shape[1], device=mask.device)
    place = (mask * positions).argmax(dim=1)
    return states[torch.arange(len(states), device=mask.device), place]


POOLINGS = {"mean": mean, "max": maximum, "last": last}


class ReadingEncoder(nn.Module):
    """Documents and their scope sets, read together, as one vector each.

    Attention over a single vector has nothing to choose from: each of its layers is one more tanh,
    and in the mean the teacher's words outnumber it. So the vector of a document of features is
    added, as it is, to what was read.

    Parameters
    ----------
    reader : TokenReader or FeatureReader
    descriptions : array of int of shape (n_rows, length) or None
        Words of the labels; None is no teacher.
    n_heads : int
    reading : str or None
        One of `READINGS`, with weights of their own for teacher and student.
    pooling : str
        One of `POOLINGS`.
    output_dim : int
        Width of the bottleneck.
    """

    def __init__(self, reader, descriptions, *, n_heads, reading, pooling, output_dim):
        super().__init__()
        dim = reader.dim
        self.reader, self.output_dim = reader, output_dim
        self.teacher = None if descriptions is None else Teacher(reader, descriptions)
        self.read_text = Reading(dim, n_heads, reading) if reading else _identity
        self.read_teacher = Reading(dim, n_heads, reading) if reading else _identity
        self.interaction = SelfAttention(dim, n_heads, masked=True)
        self.pool = POOLINGS[pooling]
        self.pools_last = pooling == "max"
        self.bottleneck = nn.Linear(dim, output_dim, bias=False)

    def forward(self, batch):
        """Map documents and scopes (batch, n_rows) to (batch, output_dim)."""
        documents, scopes = batch
        text, mask = self.reader(documents)  # (batch, length, dim), (batch, length)
        states = self.read_text(text, mask)
        if self.teacher is not None:
            taught, known = self.teacher(scopes)
            states = torch.cat([self.read_teacher(taught, known), states], dim=1)
            mask = torch.cat([known, mask], dim=1)
        read = self._pooled(self.interaction(states, mask), mask)  # (batch, output_dim)
        return read + self.bottleneck(text[:, 0]) if self.reader.is_single else read

    def _pooled(self, joint, mask):
        if self.pools_last:  # as equation 17 has it; for the others, linear, it is the same
            return self.pool(self.bottleneck(joint), mask)
        return self.bottleneck(self.pool(joint, mask))


def _identity(states, mask):
    return states


class ReadingNetwork(nn.Module):
    """A body that reads, a linear head, and the votes of the neighbours.

    Parameters
    ----------
    body : ReadingEncoder
    n_labels : int
    votes : bool
        Whether the evidence of the neighbours for a label adds to its logit, times one learned
        number.
    """

    def __init__(self, body, n_labels, votes):
        super().__init__()
        self.body, self.head = body, nn.Linear(body.output_dim, n_labels)
        self.vote_weight = nn.Parameter(torch.ones(())) if votes else None

    def parts(self):
        """Parts that may learn at rates of their own, by their names."""
        body = self.body
        readers = [r for r in (body.read_text, body.read_teacher) if isinstance(r, nn.Module)]
        attention = nn.ModuleList([*readers, body.interaction])
        return {"encoder": body, "attention": attention, "head": self.head}

    def forward(self, batch):
        """Map documents and scopes (batch, n_rows) to logits (batch, n_labels)."""
        logits = self.head(self.body(batch))
        if self.vote_weight is None:
            return logits
        return logits + self.vote_weight * batch[1].to_dense()[:, : logits.shape[1]]


class Mixture(NamedTuple):
    """How what was read and the votes of the neighbours make a logit."""

    scale: float
    vote_weight: float
    offset: float


def fit_mixture(scorer, documents, device):
    """The mixture of votes and reading that is best on unseen documents: a logistic fit.

    Parameters
    ----------
    scorer : ReadingScorer
        Of a network with votes.
    documents : Documents
        Some thousand at most are looked at.
    device : str

    Returns
    -------
    Mixture or None
        None where the best is of no use.
    """
    n_labels = documents.Y.shape[1]
    n_looked_at = min(len(documents), max(_FEWEST_MIXED, _CELLS_MIXED // n_labels))
    rows = np.linspace(0, len(documents) - 1, n_looked_at).astype(int)
    read, votes = scorer.evidence(scorer.encode(documents.X[rows], device), np.arange(n_labels))
    spread = float(read.std()) or 1.0
    features = np.column_stack([read.ravel() / spread, votes.ravel(), np.ones(read.size)])
    is_true = documents.Y[rows].toarray().ravel() > 0
    scale, weight, offset = fit_logistic(features, is_true)
    useful = np.isfinite([scale, weight, offset]).all() and scale > 0 and weight >= 0
    return Mixture(scale / spread, weight, offset) if useful else None


def weights_of(head):
    """Weights of a linear layer, (dim + 1, n_outputs), its biases last."""
    return torch.vstack([head.weight.T, head.bias])


@dataclass(frozen=True, eq=False)
class ReadingScorer(NetworkScorer):
    """A trained network, and where it finds scope sets.

    Parameters
    ----------
    network : ReadingNetwork
        In evaluation mode.
    retriever : ScopeRetriever
    mixture : Mixture, default=None
        None is what the network learned in training.
    """

    network: ReadingNetwork
    retriever: ScopeRetriever
    mixture: Mixture | None = None

    def encode(self, X, device):
        """Vectors and scope sets of documents."""
        scopes = self.retriever.scopes(X)
        return network_vectors(self.network.body, X, device, scopes), scopes.tocsc()

    @torch.no_grad()
    def scores(self, encoded, labels=None):
        """Logits (n_samples, n_block) of an array of labels, of all by default."""
        labels = np.arange(self.network.head.out_features) if labels is None else labels
        read, votes = self.evidence(encoded, labels)
        if self.mixture is not None:
            scale, weight, offset = np.array(self.mixture, dtype=np.float32)
            return scale * read + weight * votes + offset
        weight = self.network.vote_weight
        return read if weight is None else read + np.float32(weight.item()) * votes

    @torch.no_grad()
    def evidence(self, encoded, labels):
        """What was read, and the votes of the neighbours, both (n_samples, n_block)."""
        vectors, scopes = encoded
        read = head_scores(vectors, weights_of(self.network.head)[:, labels])
        return read, scopes[:, labels].toarray()
