"""The network of TReaderXML: a text is read beside what the labels of similar documents say.

Wang et al. (arXiv 2205.11973): teacher and student are sequences of vectors, read by multi-head
self-attention, joined, read again, pooled and classified.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn.functional import embedding_bag, pad, scaled_dot_product_attention

from .._linear import DesignMatrix
from .._networks import as_tensor, network_scores

READINGS = (
    "mmhsa+residual+mhsa",
    "mhsa+residual+mmhsa",
    "mmhsa+mhsa",
    "mmhsa+residual",
    "mhsa+residual",
)
_FEWEST_MIXED, _CELLS_MIXED = 200, 2**24  # documents, and documents times labels
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
        joint = self.interaction(states, mask)
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

    def forward(self, batch):
        """Map documents and scopes (batch, n_rows) to logits (batch, n_labels)."""
        logits = self.head(self.body(batch))
        if self.vote_weight is None:
            return logits
        return logits + self.vote_weight * batch[1].to_dense()[:, : logits.shape[1]]

    @torch.no_grad()
    def set_mixture(self, scale, vote_weight, offset):
        """Scale and shift what was read, and set the weight of the votes."""
        self.head.weight.mul_(scale)
        self.head.bias.mul_(scale).add_(offset)
        self.vote_weight.fill_(vote_weight)


def fit_mixture(network, documents, loss, device):
    """The mixture of votes and reading that suits unseen documents best.

    Parameters
    ----------
    network : TReader
        With votes.
    documents : Documents
        With scope sets, and some thousand at most are looked at.
    loss : BalancedLoss
    device : str

    Returns
    -------
    scale, vote_weight, offset : float
        For `TReader.set_mixture`; those of the network as it is where the best are of no use.
    """
    n_looked_at = min(len(documents), max(_FEWEST_MIXED, _CELLS_MIXED // documents.Y.shape[1]))
    rows = np.linspace(0, len(documents) - 1, n_looked_at).astype(int)
    X, truth, scopes = documents.X[rows], documents.Y[rows], documents.side_inputs[rows]
    with torch.no_grad():
        vectors = network_scores(network.body, X, device, side_inputs=scopes)
        read = network.head(torch.from_numpy(vectors).to(device))  # (n_looked_at, n_labels)
    votes = as_tensor(scopes[:, : truth.shape[1]].toarray()).to(device)
    truth, loss = as_tensor(truth.toarray().astype(np.float32)).to(device), loss.to(device)
    start = torch.stack([torch.tensor(1.0), network.vote_weight.detach().cpu(), torch.tensor(0.0)])
    mixture = start.clone().to(device).requires_grad_()
    solver = torch.optim.LBFGS([mixture], max_iter=50, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        scale, weight, offset = mixture
        value = 1000 * loss(scale * read + weight * votes + offset, truth)  # not to end too early
        value.backward()
        return value

    solver.step(closure)
    useful = mixture.isfinite().all() and mixture[0] > 0 and mixture[1] >= 0
    return (mixture if useful else start).tolist()


class ReadingScorer:
    """A trained network and where it finds scope sets, for scores of blocks of labels.

    Parameters
    ----------
    network : TReader
    retriever : Library
    device : str
    """

    def __init__(self, network, retriever, device):
        self.network, self.retriever, self.device = network, retriever, device

    def encode(self, X):
        """Vectors and scope sets of documents."""
        scopes = self.retriever.scopes(X)
        vectors = network_scores(self.network.body, X, self.device, side_inputs=scopes)
        return DesignMatrix(vectors, self.device, transpose=False), scopes.tocsc()

    @torch.no_grad()
    def scores(self, encoded, labels):
        """Logits (n_samples, n_block) of an array of labels."""
        (vectors, scopes), head = encoded, self.network.head
        weights = torch.vstack([head.weight[labels].T, head.bias[labels]])
        logits = vectors.dot(weights).cpu().numpy()
        if self.network.vote_weight is not None:
            logits += self.network.vote_weight.item() * scopes[:, labels].toarray()
        return logits
