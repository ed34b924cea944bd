"""Encoder: the base class of what makes vectors of documents."""

from __future__ import annotations

from numbers import Integral, Real

from sklearn.base import BaseEstimator
from torch import nn
from torch.nn.functional import normalize

from .._validation import must_be
from ._training import Training


class Encoder(BaseEstimator):
    """Base of all encoders: hyperparameters that make a torch module once the data is known.

    A subclass has the hyperparameters in its constructor, as scikit-learn's estimators have, and
    `build`. What it says of itself by the attributes below may be an attribute or a property.

    Attributes
    ----------
    kind : {"features", "tokens"}, default="features"
        What it reads: features, dense or sparse; or token ids, integers with 0 for padding at the
        end.
    training : Training, default=Training()
        Settings that it recommends, of the class, or a property. Those of one model are the
        estimator's `training`.
    is_linear : bool, default=False
        Whether it leaves features as they are, so that a model on it is linear.
    is_frozen : bool, default=False
        Whether it has nothing to train, so that a document's vector is computed once per fit where
        a linear model is solved on the vectors.
    vocabulary : str or None, default=None
        Of tokens: what tells the words apart that the ids must number; None where any words do.
    head_scale : float or None, default=None
        Start of one learned factor of the vectors in front of a head; for vectors of norm 1.
    starts_linear : bool, default=False
        Whether its module begins, together with a head, as linear models of the labels. It is then
        a sequence that begins with a :class:`BagEncoder`'s layer, and is linear.

    Examples
    --------
    >>> import torch
    >>> from skmltc import BalancedLossClassifier
    >>> from skmltc.encoders import Encoder
    >>> class FirstFeatures(Encoder):
    ...     def __init__(self, n=2):
    ...         self.n = n
    ...     def build(self, n_inputs, X=None):
    ...         module = torch.nn.Linear(n_inputs, self.n)
    ...         module.output_dim = self.n
    ...         return module
    >>> BalancedLossClassifier(encoder=FirstFeatures(n=3)).get_params()["encoder__n"]
    3
    """

    kind = "features"
    training = Training()
    is_linear = False
    is_frozen = False
    vocabulary = None
    head_scale = None
    starts_linear = False

    def __setattr__(self, name, value):
        """Refuse a recommendation that `clone`, and so every search, would lose."""
        if name == "training" and name not in self._get_param_names():
            raise AttributeError(
                "The training of an encoder is what its class recommends. Other settings are "
                "given to the estimator, as training=Training(...)."
            )
        super().__setattr__(name, value)

    def for_labels(self, n_labels):
        """The encoder with what suits so many labels, where its settings leave that open."""
        return self

    def n_embeddings(self, largest_id):
        """Rows of the table of word vectors; of encoders of tokens.

        Parameters
        ----------
        largest_id : int
            The largest token id among the training documents.

        Returns
        -------
        int
            Ids from here on become 1, the unknown word.
        """
        return max(largest_id + 1, 2)

    def build(self, n_inputs, X=None):
        """Make the torch module.

        Parameters
        ----------
        n_inputs : int
            Features, or token ids with 0 (padding) and 1 (unknown word).
        X : array or CSR matrix, default=None
            Training documents, for encoders that begin with what these say.

        Returns
        -------
        nn.Module
            ``forward(batch) -> (n_samples, output_dim)`` with an attribute `output_dim`. For
            :class:`~skmltc.TReaderXMLClassifier` one of tokens also has
            ``encode_tokens(token_ids) -> (states, mask)`` and `token_dim`.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method build.")


class UnitEncoder(Encoder):
    """An encoder whose vectors get the norm 1.

    Parameters
    ----------
    encoder : Encoder
    """

    head_scale = 10.0

    def __init__(self, encoder):
        self.encoder = encoder

    @property
    def kind(self):
        """What the encoder reads."""
        return self.encoder.kind

    @property
    def training(self):
        """Settings that the encoder recommends."""
        return self.encoder.training

    def build(self, n_inputs, X=None):
        """Make the torch module."""
        return _UnitVectors(self.encoder.build(n_inputs, X))


class _UnitVectors(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.output_dim = encoder, encoder.output_dim

    def forward(self, batch):
        return normalize(self.encoder(batch), dim=1)  # (batch, output_dim)


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
