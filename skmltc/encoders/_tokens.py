"""Encoders of token ids: their hyperparameters."""

from numbers import Real

import torch

from .._token_ids import vocabulary_hash
from .._validation import check_choice, must_be
from ._encoder import Encoder, _check_dropouts, _check_sizes, _check_widths
from ._token_modules import (
    HIDDEN_ACTIVATIONS,
    ConvolutionalEncoder,
    EmbeddingEncoder,
    RecurrentEncoder,
)
from ._training import Training
from ._word_vectors import learn_vectors


class _TokenEncoderSpec(Encoder):
    """What the encoders of token ids share: their table of word vectors.

    A subclass has `_init_std`, the standard deviation of the numbers in word vectors that
    are learned from the documents; an LSTM wants larger ones than filters do.
    """

    kind = "tokens"

    @property
    def vocabulary(self):
        """The words that token ids must number: those of pretrained vectors."""
        words = getattr(self.embeddings, "words", None)
        return None if words is None else vocabulary_hash(words)

    def n_embeddings(self, largest_id):
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
        self._check_table()
        if isinstance(self.embeddings, str):
            return super().n_embeddings(largest_id)
        return len(self.embeddings) + 2

    def _table(self, n_inputs, token_ids):
        """Start of the word vectors, float32 of shape (n_inputs, dim); padding is zero."""
        seed = int(torch.randint(2**31 - 1, ()))
        if not isinstance(self.embeddings, str):
            return self._pretrained(n_inputs, seed)
        table = torch.empty(n_inputs, self.embedding_dim).uniform_(-_WORD_BOUND, _WORD_BOUND)
        if self.embeddings == "svd" and token_ids is not None:
            learned = learn_vectors(token_ids, n_inputs, self.embedding_dim, seed)
            known = learned.any(axis=1)
            table[known] = self._init_std * torch.from_numpy(learned[known])
        table[0] = 0
        return table

    def _pretrained(self, n_inputs, seed):
        if n_inputs != len(self.embeddings) + 2:
            expected = f"{len(self.embeddings) + 2}, the words of the embeddings and two"
            raise must_be("n_inputs", expected, n_inputs)
        return torch.from_numpy(self.embeddings.matrix(random_state=seed))

    def _check_table(self):
        _check_sizes(self, "embedding_dim")
        is_initialiser = isinstance(self.embeddings, str) and self.embeddings in ("svd", "random")
        is_made = not isinstance(self.embeddings, type) and hasattr(self.embeddings, "matrix")
        if not is_initialiser and not is_made:
            remedy = "skmltc.text.WordVectors(words, vectors) makes them of an array."
            by_name = isinstance(self.embeddings, str | type) or self.embeddings is None
            found = repr(self.embeddings) if by_name else type(self.embeddings).__name__
            raise must_be("embeddings", "'svd', 'random' or a WordVectors", found, remedy)


_WORD_BOUND = 0.25  # of random word vectors


class TextCNN(_TokenEncoderSpec):
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
        ``TokenSequenceVectorizer(vocabulary=embeddings)``; others are refused.
    hidden_dim : int, default=1024
        Length of a document's vector, a linear map of the pooled filters.
    hidden_activation : {"identity", "relu"}, default="identity"
        Of that vector. The released code has none; Table 5 of the paper can be read as "relu".
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
    _init_std = 0.2

    def __init__(
        self,
        filter_sizes=(3, 4, 5),
        n_filters=128,
        embedding_dim=100,
        embeddings="svd",
        hidden_dim=1024,
        hidden_activation="identity",
        embedding_dropout=0.1,
        dropout=0.3,
    ):
        self.filter_sizes = filter_sizes
        self.n_filters = n_filters
        self.embedding_dim = embedding_dim
        self.embeddings = embeddings
        self.hidden_dim = hidden_dim
        self.hidden_activation = hidden_activation
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
        check_choice("hidden_activation", self.hidden_activation, HIDDEN_ACTIVATIONS)
        _check_dropouts(self, "embedding_dropout", "dropout")
        self._check_table()
        return ConvolutionalEncoder(
            self._table(n_inputs, token_ids),
            tuple(self.filter_sizes),
            self.n_filters,
            self.hidden_dim,
            self.hidden_activation,
            self.embedding_dropout,
            self.dropout,
        )


class BiLSTMAttention(_TokenEncoderSpec):
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
    bias : bool, default=True
        Whether the linear map has a bias, as in the released code; the paper prints none. A bias of
        the attention would change nothing: it cancels in the softmax.

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
        lr_factors={"projection": 2.5, "head": 2.5, "head_scale": 2.5},
    )
    _init_std = 1.0

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
        bias=True,
    ):
        self.hidden_dim = hidden_dim
        self.output_dim = output_dim
        self.normalize = normalize
        self.scale_init = scale_init
        self.embedding_dim = embedding_dim
        self.embeddings = embeddings
        self.embedding_dropout = embedding_dropout
        self.dropout = dropout
        self.bias = bias

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
        if not isinstance(self.bias, bool):
            raise must_be("bias", "True or False", repr(self.bias))
        self._check_table()
        return RecurrentEncoder(
            self._table(n_inputs, token_ids),
            self.hidden_dim,
            self.output_dim,
            self.normalize,
            self.embedding_dropout,
            self.dropout,
            self.bias,
        )


class WordEmbedding(_TokenEncoderSpec):
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
    _init_std = 0.2

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
