"""Networks over token ids: convolutions, and a bidirectional LSTM with attention.

Id 0 is padding, at the end of a text. It changes no score, to the last bit: a batch is cut or
filled up to `padded_length` of its longest text before anything is computed. In training, where
batches are drawn anyway, it is cut to that text.
"""

import torch
from torch import nn
from torch.nn.functional import normalize, pad, relu

from ._kernels import ByteDropout, window_maximum
from ._precision import multiplying

HIDDEN_ACTIVATIONS = {"identity": nn.Identity, "relu": nn.ReLU}


def padded_length(longest):
    """Columns of a batch by its longest text: multiples of 8, at most a quarter more than needed.

    Few lengths mean few shapes. Sums of the same numbers may differ in the last bit when matrices
    have another shape, so scores that do not depend on the batch need batches of the same shape.
    """
    step = max(8, 2 ** ((longest - 1).bit_length() - 3)) if longest > 1 else 8
    return -(-longest // step) * step


class TokenEncoder(nn.Module):
    """What the networks share: word vectors, the length of the batch, and the mask.

    Parameters
    ----------
    table : tensor of shape (n_inputs, dim)
        Start of the word vectors; the row of padding is zero and stays so.
    shortest : int
        Columns that a batch has at least.
    dropout : float
        On the word vectors.
    """

    def __init__(self, table, shortest, dropout):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(table, freeze=False, padding_idx=0)
        self.embedding_dropout = ByteDropout(dropout)
        self.shortest = shortest

    def embed(self, token_ids):
        """Vectors (batch, length, dim) of the tokens, and the lengths (batch, 1) of the texts."""
        lengths = (token_ids != 0).sum(dim=1, keepdim=True).clamp(min=1)
        columns = max(int(lengths.max()), self.shortest)
        columns = columns if self.training else padded_length(columns)
        token_ids = token_ids[:, :columns]
        token_ids = pad(token_ids, (0, columns - token_ids.shape[1]))  # (batch, length)
        return self.embedding_dropout(self.embedding(token_ids)), lengths


class EmbeddingEncoder(TokenEncoder):
    """Word vectors as they are; a text's vector is their mean."""

    def __init__(self, table, dropout):
        super().__init__(table, 1, dropout)
        self.output_dim = self.token_dim = table.shape[1]

    def forward(self, token_ids):
        """Map (batch, length) to (batch, output_dim)."""
        vectors, lengths = self.embed(token_ids)  # padding is zero
        return vectors.sum(dim=1) / lengths  # (batch, output_dim)

    def encode_tokens(self, token_ids):
        """Word vectors (batch, length, output_dim) and mask (batch, length)."""
        vectors, lengths = self.embed(token_ids)
        return vectors, _mask(vectors, lengths)


class ConvolutionalEncoder(TokenEncoder):
    """Convolutions of several widths, their maxima over the text, and a hidden layer."""

    def __init__(
        self,
        table,
        filter_sizes,
        n_filters,
        hidden_dim,
        hidden_activation,
        embedding_dropout,
        dropout,
    ):
        super().__init__(table, max(filter_sizes), embedding_dropout)
        dim = table.shape[1]
        self.convolutions = nn.ModuleList(nn.Conv1d(dim, n_filters, w) for w in filter_sizes)
        self.dropout = nn.Dropout(dropout)
        self.token_dim = n_filters * len(filter_sizes)
        self.projection = nn.Linear(self.token_dim, hidden_dim)
        self.activation = HIDDEN_ACTIVATIONS[hidden_activation]()
        self.output_dim = hidden_dim

    def forward(self, token_ids):
        """Map (batch, length) to (batch, output_dim)."""
        vectors, lengths = self.embed(token_ids)
        with multiplying(self, vectors):
            maxima = [
                window_maximum(vectors, convolve.weight, convolve.bias, lengths)
                for convolve in self.convolutions
            ]
            pooled = relu(torch.cat(maxima, dim=1))  # (batch, all filters)
            out = self.projection(self.dropout(pooled))  # (batch, output_dim)
        return self.activation(out.float())

    def encode_tokens(self, token_ids):
        """Filters on the words from each position on, (batch, length, all filters), and mask."""
        vectors, lengths = self.embed(token_ids)
        channels = vectors.transpose(1, 2)  # (batch, dim, length)
        maps = [
            convolve(pad(channels, (0, convolve.kernel_size[0] - 1)))
            for convolve in self.convolutions
        ]
        states = relu(torch.cat(maps, dim=1)).transpose(1, 2)  # (batch, length, all filters)
        return states, _mask(states, lengths)


class RecurrentEncoder(TokenEncoder):
    """A bidirectional LSTM, attention over its states, and a linear map, perhaps normalised."""

    def __init__(self, table, hidden_dim, output_dim, unit_norm, embedding_dropout, dropout, bias):
        super().__init__(table, 1, embedding_dropout)
        self.forwards = nn.LSTM(table.shape[1], hidden_dim, batch_first=True)
        self.backwards = nn.LSTM(table.shape[1], hidden_dim, batch_first=True)
        self.attention = nn.Linear(2 * hidden_dim, 1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(2 * hidden_dim, output_dim, bias=bias)
        self.unit_norm = unit_norm
        self.token_dim, self.output_dim = 2 * hidden_dim, output_dim

    def forward(self, token_ids):
        """Map (batch, length) to (batch, output_dim)."""
        states, mask = self.encode_tokens(token_ids)
        scores = self.attention(states).squeeze(2).masked_fill(~mask, -torch.inf)
        weights = scores.softmax(dim=1)  # (batch, length)
        pooled = (weights[:, None] @ states).squeeze(1)  # (batch, 2 * hidden_dim)
        out = self.projection(self.dropout(pooled))  # (batch, output_dim)
        return normalize(out, dim=1) if self.unit_norm else out

    def encode_tokens(self, token_ids):
        """States at each position, (batch, length, 2 * hidden_dim), and mask (batch, length).

        Each text is turned round by itself, so that neither direction reads padding before it:
        packed sequences do the same, at about three times the time on a CPU.
        """
        vectors, lengths = self.embed(token_ids)
        order = turned_round(lengths, vectors.shape[1])[:, :, None]
        with multiplying(self, vectors):
            ahead = self.forwards(vectors)[0]  # (batch, length, hidden_dim)
            back = self.backwards(vectors.gather(1, order.expand_as(vectors)))[0]
            back = back.gather(1, order.expand_as(back))
        states = torch.cat([ahead, back], dim=2).float()
        return states, _mask(states, lengths)


def turned_round(lengths, columns):
    """Positions (batch, columns) that reverse each text and leave its padding where it is."""
    position = torch.arange(columns, device=lengths.device)  # (columns,)
    return torch.where(position < lengths, lengths - 1 - position, position)


def _mask(states, lengths):
    """Which positions of (batch, length, dim) are tokens."""
    return torch.arange(states.shape[1], device=states.device) < lengths
