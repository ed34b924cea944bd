"""Encoders: from a batch of documents to one vector a document."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from types import MappingProxyType
from typing import NamedTuple

import torch
from sklearn.base import BaseEstimator
from torch import nn

from ._cooccurrence import learn_vectors
from ._layers import FeatureLinear, ScaledLinear
from ._sequences import ConvolutionalEncoder, EmbeddingEncoder, RecurrentEncoder
from ._validation import must_be


class Training(NamedTuple):
    """Settings of AdamW that suit an encoder; what an estimator's "auto" stands for.

    Parameters
    ----------
    lr, weight_decay : float
    max_epochs : int
    linear_decay : bool, default=True
        Let the learning rate fall to 0 over the epochs.
    lr_factors : mapping of str to float, default={}
        Patterns of parameter names whose learning rate is a multiple of `lr`. In a network of
        `build_network` the encoder's names begin with "0.", the head's with "1.".
    """

    lr: float = 0.01
    weight_decay: float = 0.3  # rare words are over-moved with less, rare labels die with more
    max_epochs: int = 15
    linear_decay: bool = True
    lr_factors: Mapping = MappingProxyType({})


# --------------------------------------------------------------------------------- features


class BagEncoder(BaseEstimator):
    """Linear or hidden layers on features, sparse or dense.

    Parameters
    ----------
    hidden_dims : tuple of int, default=()
        Width of each hidden layer; none is a linear model.
    activation : {"identity", "relu"}, default="identity"
        After each hidden layer. A linear bottleneck serves rare labels better than ReLU does.
    dropout : float, default=0.2
        After each hidden layer.

    Examples
    --------
    >>> import torch
    >>> from skmltc.encoders import BagEncoder
    >>> encoder = BagEncoder(hidden_dims=(16,)).build(100)
    >>> encoder(torch.rand(3, 100)).shape, encoder.output_dim
    (torch.Size([3, 16]), 16)
    """

    kind = "features"
    training = Training()

    def __init__(self, hidden_dims=(), activation="identity", dropout=0.2):
        self.hidden_dims = hidden_dims
        self.activation = activation
        self.dropout = dropout

    @property
    def is_linear(self):
        """Whether there is no hidden layer."""
        self._check()
        return not self.hidden_dims

    def build(self, n_inputs, X=None):
        """Make the torch module.

        Parameters
        ----------
        n_inputs : int
            Number of features.
        X : ignored
            Encoders of tokens learn word vectors from it.

        Returns
        -------
        nn.Module
            ``forward(batch) -> (n_samples, output_dim)``, where the batch is a dense or a CSR
            tensor of shape (n_samples, n_inputs). Without hidden layers it returns the batch.
        """
        self._check()
        return _Bag(n_inputs, tuple(self.hidden_dims), self.activation, self.dropout)

    def _check(self):
        _check_widths("hidden_dims", self.hidden_dims)
        if self.activation not in _ACTIVATIONS:
            raise must_be("activation", "one of 'identity', 'relu'", repr(self.activation))
        _check_dropouts(self, "dropout")


def _check_sizes(spec, *names):
    for name in names:
        if not isinstance(getattr(spec, name), Integral) or getattr(spec, name) < 1:
            raise must_be(name, "a positive integer", repr(getattr(spec, name)))


def _check_widths(name, widths):
    if not isinstance(widths, tuple | list) or not all(
        isinstance(width, Integral) and width > 0 for width in widths
    ):
        raise must_be(name, "a tuple of positive integers", repr(widths))


def _check_dropouts(spec, *names):
    for name in names:
        dropout = getattr(spec, name)
        if not isinstance(dropout, Real) or not 0 <= dropout < 1:
            raise must_be(name, "a number in [0, 1)", repr(dropout))


_ACTIVATIONS = {"identity": nn.Identity, "relu": nn.ReLU}


class _Bag(nn.Sequential):
    def __init__(self, n_inputs, hidden_dims, activation, dropout):
        widths = (n_inputs, *hidden_dims)
        layers = []
        for wide, narrow in zip(widths[:-1], widths[1:], strict=True):
            layer = nn.Linear(wide, narrow) if layers else FeatureLinear(wide, narrow)
            layers += [layer, _ACTIVATIONS[activation](), nn.Dropout(dropout)]
        super().__init__(*layers)
        self.output_dim = widths[-1]


# ----------------------------------------------------------------------------------- tokens


class _TokenSpec(BaseEstimator):
    """What the encoders of token ids share: their table of word vectors.

    A subclass has `_word_deviation`, the standard deviation of the numbers in word vectors that
    are learned from the documents; an LSTM wants larger ones than filters do.
    """

    kind = "tokens"

    def table_size(self, largest_id):
        """Rows of the table of word vectors.

        Parameters
        ----------
        largest_id : int
            The largest token id among the training documents.

        Returns
        -------
        int
            One row for each id, from 0 (padding) and 1 (unknown word) up; with pretrained
            vectors a row for each of them, whether its word was seen or not.
        """
        named = isinstance(self.embeddings, str)
        return max(largest_id + 1, 2) if named else len(self.embeddings) + 2

    def _table(self, n_inputs, token_ids):
        """Start of the word vectors, float32 of shape (n_inputs, dim); padding is zero."""
        seed = int(torch.randint(2**31 - 1, ()))
        if not isinstance(self.embeddings, str):
            return self._pretrained(n_inputs, seed)
        table = torch.empty(n_inputs, self.embedding_dim).uniform_(-_WORD_BOUND, _WORD_BOUND)
        if self.embeddings == "svd" and token_ids is not None:
            learned = learn_vectors(token_ids, n_inputs, self.embedding_dim, seed)
            known = learned.any(axis=1)
            table[known] = self._word_deviation * torch.from_numpy(learned[known])
        table[0] = 0
        return table

    def _pretrained(self, n_inputs, seed):
        if n_inputs != len(self.embeddings) + 2:
            expected = f"{len(self.embeddings) + 2}, the words of the embeddings and two"
            raise must_be("n_inputs", expected, n_inputs)
        return torch.from_numpy(self.embeddings.matrix(random_state=seed))

    def _check_table(self):
        _check_sizes(self, "embedding_dim")
        is_start = isinstance(self.embeddings, str) and self.embeddings in ("svd", "random")
        if not is_start and not hasattr(self.embeddings, "matrix"):
            remedy = "skmltc.text.WordVectors(words, vectors) makes them of an array."
            named = isinstance(self.embeddings, str) or self.embeddings is None
            found = repr(self.embeddings) if named else type(self.embeddings).__name__
            raise must_be("embeddings", "'svd', 'random' or a WordVectors", found, remedy)


_WORD_BOUND = 0.25  # of random word vectors


class TextCNN(_TokenSpec):
    """Convolutions over token ids, with the maximum of each filter over the text.

    The single CNN of Yang et al. (HSCNN, EMNLP 2020, section 2.1), after Kim (2014).

    Parameters
    ----------
    filter_sizes : tuple of int, default=(3, 4, 5)
        Words that a filter looks at. Shorter texts are filled up.
    n_filters : int, default=128
        Filters of each size.
    embedding_dim : int, default=100
        Length of the word vectors; a `WordVectors` has its own.
    embeddings : {"svd", "random"} or WordVectors, default="svd"
        Start of the word vectors, which are trained further. "svd" learns it from the documents
        in a second or a few: words that stand near the same words begin alike (a truncated SVD of
        their pointwise mutual information). With a `WordVectors` the token ids must be those of
        ``TokenSequenceVectorizer(vocabulary=embeddings)``.
    hidden_dim : int, default=1024
        Length of a document's vector, a linear map of the pooled filters.
    embedding_dropout : float, default=0.1
        On the word vectors; the paper's is 0.25.
    dropout : float, default=0.3
        On the pooled filters; the paper's is 0.5. Vectors learned from the documents want less
        than random ones.

    Examples
    --------
    >>> import torch
    >>> from skmltc.encoders import TextCNN
    >>> encoder = TextCNN(n_filters=8, hidden_dim=16).build(100).eval()
    >>> token_ids = torch.tensor([[5, 7, 2, 9], [3, 1, 0, 0]])
    >>> encoder(token_ids).shape, encoder.output_dim
    (torch.Size([2, 16]), 16)
    """

    training = Training(lr=1e-3, weight_decay=0.01, max_epochs=10)
    _word_deviation = 0.2

    def __init__(
        self,
        filter_sizes=(3, 4, 5),
        n_filters=128,
        embedding_dim=100,
        embeddings="svd",
        hidden_dim=1024,
        embedding_dropout=0.1,
        dropout=0.3,
    ):
        self.filter_sizes = filter_sizes
        self.n_filters = n_filters
        self.embedding_dim = embedding_dim
        self.embeddings = embeddings
        self.hidden_dim = hidden_dim
        self.embedding_dropout = embedding_dropout
        self.dropout = dropout

    def build(self, n_inputs, token_ids=None):
        """Make the torch module.

        Parameters
        ----------
        n_inputs : int
            Number of token ids, with 0 (padding) and 1 (unknown word).
        token_ids : array of int of shape (n_samples, length), default=None
            Documents that ``embeddings="svd"`` learns word vectors from; without them it starts
            at random.

        Returns
        -------
        nn.Module
            ``forward(token_ids) -> (batch, output_dim)`` and ``encode_tokens(token_ids)``, the
            filters at each position (batch, length, len(filter_sizes) * n_filters) and the mask
            (batch, length) of the tokens. Token ids are integers of shape (batch, length).
        """
        _check_widths("filter_sizes", self.filter_sizes)
        if not self.filter_sizes:
            raise must_be("filter_sizes", "a tuple of positive integers, one at least", "none")
        _check_sizes(self, "n_filters", "hidden_dim")
        _check_dropouts(self, "embedding_dropout", "dropout")
        self._check_table()
        return ConvolutionalEncoder(
            self._table(n_inputs, token_ids),
            tuple(self.filter_sizes),
            self.n_filters,
            self.hidden_dim,
            self.embedding_dropout,
            self.dropout,
        )


class BiLSTMAttention(_TokenSpec):
    """An LSTM in both directions over token ids, and attention over its states.

    The head classifier of Xiao et al. (HTTN, AAAI 2021, section 3.2), with what the released
    code adds to the paper: documents' vectors of norm 1, and one learned scale of the logits.

    Parameters
    ----------
    hidden_dim : int, default=150
        States of each direction.
    output_dim : int, default=128
        Length of a document's vector, a linear map of the states that attention averages.
    normalize : bool, default=True
        Give each document's vector the norm 1. Training is faster and less at the mercy of the
        learning rate.
    scale_init : float, default=10.0
        Start of the learned factor of normalised vectors in front of the head's linear map.
    embedding_dim : int, default=100
        Length of the word vectors; a `WordVectors` has its own.
    embeddings : {"svd", "random"} or WordVectors, default="svd"
        Start of the word vectors, as in :class:`TextCNN`.
    embedding_dropout : float, default=0.1
        On the word vectors.
    dropout : float, default=0.0
        On the states that attention averages.

    Examples
    --------
    >>> import torch
    >>> from skmltc.encoders import BiLSTMAttention
    >>> encoder = BiLSTMAttention(hidden_dim=8, output_dim=16).build(100).eval()
    >>> states, mask = encoder.encode_tokens(torch.tensor([[5, 7, 2, 9], [3, 1, 0, 0]]))
    >>> states[mask].shape
    torch.Size([6, 16])
    """

    training = Training(
        lr=2e-3,
        weight_decay=0.01,
        max_epochs=6,
        lr_factors=MappingProxyType({"0.projection.*": 2.5, "1.*": 2.5}),
    )
    _word_deviation = 1.0

    def __init__(
        self,
        hidden_dim=150,
        output_dim=128,
        normalize=True,
        scale_init=10.0,
        embedding_dim=100,
        embeddings="svd",
        embedding_dropout=0.1,
        dropout=0.0,
    ):
        self.hidden_dim = hidden_dim
        self.output_dim = output_dim
        self.normalize = normalize
        self.scale_init = scale_init
        self.embedding_dim = embedding_dim
        self.embeddings = embeddings
        self.embedding_dropout = embedding_dropout
        self.dropout = dropout

    @property
    def head_scale(self):
        """Factor of the document's vectors in front of a head at its start; None for none."""
        return self.scale_init if self.normalize else None

    def build(self, n_inputs, token_ids=None):
        """Make the torch module.

        Parameters
        ----------
        n_inputs : int
            Number of token ids, with 0 (padding) and 1 (unknown word).
        token_ids : array of int of shape (n_samples, length), default=None
            Documents that ``embeddings="svd"`` learns word vectors from; without them it starts
            at random.

        Returns
        -------
        nn.Module
            ``forward(token_ids) -> (batch, output_dim)`` and ``encode_tokens(token_ids)``, the
            states (batch, length, 2 * hidden_dim) and the mask (batch, length) of the tokens.
            Token ids are integers of shape (batch, length).
        """
        _check_sizes(self, "hidden_dim", "output_dim")
        _check_dropouts(self, "embedding_dropout", "dropout")
        if not isinstance(self.scale_init, Real) or not self.scale_init > 0:
            raise must_be("scale_init", "a positive number", repr(self.scale_init))
        self._check_table()
        return RecurrentEncoder(
            self._table(n_inputs, token_ids),
            self.hidden_dim,
            self.output_dim,
            self.normalize,
            self.embedding_dropout,
            self.dropout,
        )


class WordEmbedding(_TokenSpec):
    """Word vectors alone: a document's vector is their mean, and a sequence of them its reading.

    What :class:`~skmltc.TReaderXMLClassifier` reads, as in Wang et al. (arXiv 2205.11973,
    section 3.2). By itself it is the quickest encoder of tokens.

    Parameters
    ----------
    embedding_dim : int, default=128
        Length of the word vectors; a `WordVectors` has its own.
    embeddings : {"svd", "random"} or WordVectors, default="svd"
        Start of the word vectors, as in :class:`TextCNN`.
    embedding_dropout : float, default=0.1
        On the word vectors.

    Examples
    --------
    >>> import torch
    >>> from skmltc.encoders import WordEmbedding
    >>> encoder = WordEmbedding(embedding_dim=16).build(100).eval()
    >>> vectors, mask = encoder.encode_tokens(torch.tensor([[5, 7, 2, 9], [3, 1, 0, 0]]))
    >>> vectors[mask].shape
    torch.Size([6, 16])
    """

    training = Training(lr=2e-3, weight_decay=0.01, max_epochs=10)
    _word_deviation = 0.2

    def __init__(self, embedding_dim=128, embeddings="svd", embedding_dropout=0.1):
        self.embedding_dim = embedding_dim
        self.embeddings = embeddings
        self.embedding_dropout = embedding_dropout

    def build(self, n_inputs, token_ids=None):
        """Make the torch module.

        Parameters
        ----------
        n_inputs, token_ids : int, array of int of shape (n_samples, length)
            As of the other encoders of tokens.

        Returns
        -------
        nn.Module
            ``forward(token_ids) -> (batch, output_dim)`` and ``encode_tokens(token_ids)``, the
            word vectors (batch, length, output_dim) and the mask (batch, length) of the tokens.
        """
        _check_dropouts(self, "embedding_dropout")
        self._check_table()
        return EmbeddingEncoder(self._table(n_inputs, token_ids), self.embedding_dropout)


# ------------------------------------------------------------------------------------ heads


def build_network(encoder, n_inputs, n_outputs, X=None):
    """An encoder with a linear head: logits of shape (n_samples, n_outputs).

    Parameters
    ----------
    encoder : encoder spec
        `BagEncoder`, say. If it has a `head_scale`, the head is a `ScaledLinear`.
    n_inputs : int
        What the encoder is built for.
    n_outputs : int
        Number of labels.
    X : array or CSR matrix, default=None
        Training documents; encoders of tokens learn the start of their word vectors from them.

    Returns
    -------
    nn.Module
    """
    if getattr(encoder, "is_linear", False):
        return FeatureLinear(n_inputs, n_outputs)
    body = encoder.build(n_inputs, X)
    scale = getattr(encoder, "head_scale", None)
    sizes = body.output_dim, n_outputs
    return nn.Sequential(body, nn.Linear(*sizes) if scale is None else ScaledLinear(*sizes, scale))


def split_head(network):
    """Take a network of `build_network` apart.

    Returns
    -------
    encoder : nn.Module or None
        None where the head is all there is.
    weights : tensor of shape (output_dim + 1, n_outputs)
        Of the head, its biases last.
    """
    if isinstance(network, FeatureLinear):
        return None, torch.vstack([network.weight, network.bias])
    head = network[-1]
    scale = head.scale if isinstance(head, ScaledLinear) else 1.0
    return network[:-1], torch.vstack([scale * head.weight.T, head.bias])


ENCODERS = {
    "bag": BagEncoder,
    "cnn": TextCNN,
    "bilstm": BiLSTMAttention,
    "embedding": WordEmbedding,
}
