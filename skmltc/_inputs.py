"""What X is, features or token ids, and its checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MappingView, Set
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import indexable
from sklearn.utils.validation import validate_data

from ._rows import row_blocks, rows_of
from ._validation import must_be, warn

_OF_FIT = "the words of fit"
_SAME_WORDS = (
    "Transform all documents by the vectorizer that was fitted on the training texts; one with "
    "another max_length, or fitted on other texts, has other words."
)
_WORDS_OF_ENCODERS = (
    "TokenSequenceVectorizer(vocabulary=embeddings) numbers the words of WordVectors, "
    "PretrainedTokenizer(model) those of TransformerEncoder(model)."
)
_LARGEST = 1e15  # of features; the sum of 10^8 squares is below the largest float32


@dataclass(frozen=True, eq=False)
class Inputs:
    """What kind of input X is, and what reads it.

    Parameters
    ----------
    kind : {"features", "tokens"}
    encoder : Encoder
        From documents to vectors.
    n_inputs : int
        Features; of tokens the rows of the encoder's table of word vectors.
    vocabulary : str, default=None
        What tells the words apart that the tokens number, where that is known.
    """

    kind: str
    encoder: BaseEstimator
    n_inputs: int
    vocabulary: str | None = None

    @classmethod
    def learn(cls, X, encoder, estimator):
        """Read off X what kind of input it is.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_columns)
        encoder : Encoder
        estimator : estimator
            In whose name X is checked. It learns the number and names of the columns.

        Returns
        -------
        Inputs
        """
        checked = _validated(X, encoder.kind, estimator, reset=True)
        if encoder.kind == "features":
            return cls("features", encoder, checked.shape[1])
        _warn_of_counts(checked)
        vocabulary = getattr(X, "vocabulary", None)
        if vocabulary:
            _check_vocabulary(vocabulary, encoder.vocabulary, "the words of the encoder")
        return cls("tokens", encoder, encoder.n_embeddings(int(checked.max())), vocabulary)

    def read(self, X, estimator):
        """Check X as documents of this kind: float32 features, or token ids that are known."""
        if self.kind == "tokens":
            self.check_vocabulary(X)
        X = _validated(X, self.kind, estimator, reset=False)
        return X if self.kind == "features" else known_tokens(X, self.n_inputs)

    def check_vocabulary(self, X):
        """Refuse tokens that are known to number other words than those of fit."""
        _check_vocabulary(getattr(X, "vocabulary", None), self.vocabulary, _OF_FIT)


def _check_vocabulary(found, wanted, whose):
    """Refuse ids of other words; of plain arrays nobody knows what they number."""
    if found and wanted and found != wanted:
        remedy = _SAME_WORDS if whose == _OF_FIT else _WORDS_OF_ENCODERS
        raise must_be("X", f"token ids of {whose}", "ids of others", remedy)


def _validated(X, kind, estimator, reset):
    _refuse_texts(X)
    if kind == "tokens" and sparse.issparse(X):
        remedy = "TokenSequenceVectorizer makes them of texts; features go with encoder='bag'."
        raise must_be("X", "token ids, a dense array", "sparse data", remedy)
    if kind == "features":
        X = validate_data(estimator, X, reset=reset, accept_sparse="csr", dtype=np.float32)
        _check_size(X.data if sparse.issparse(X) else X)
        return X
    return check_token_ids(validate_data(estimator, X, reset=reset), type(estimator).__name__)


def _refuse_texts(X):
    """Name what makes numbers of texts; scikit-learn would print them all."""
    X = X if isinstance(X, list | tuple) else getattr(X, "to_numpy", lambda: X)()
    is_list = isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.ndim == 1)
    if is_list and len(X) and isinstance(X[0], str):
        remedy = (
            "Put a TfidfVectorizer, or for networks TokenSequenceVectorizer or "
            "PretrainedTokenizer, before the classifier, in a Pipeline."
        )
        raise must_be("X", "features or token ids", "texts", remedy)


def _check_size(values):
    """Refuse values whose products float32 does not hold: norms and attention would be NaN."""
    largest = max(values.max(initial=0), -values.min(initial=0))
    if largest > _LARGEST:
        remedy = "Scale it: sklearn.preprocessing.MaxAbsScaler does so by column."
        raise must_be("X", f"of values up to {_LARGEST:g} in size", f"{largest:.3g}", remedy)


def input_kind(X):
    """Tell token ids from features: "tokens" is a dense array of integers from 0 up.

    Returns
    -------
    {"features", "tokens"}
    """
    if sparse.issparse(X):
        return "features"
    X = np.asarray(X)
    if X.dtype.kind not in "iu":
        return "features"
    if X.min(initial=0) < 0:
        warn(
            "X must be token ids from 0 up, or features, floats or sparse. Got integers and "
            f"{X.min()} among them instead: they are taken as features."
        )
        return "features"
    return "tokens"


def count_rows(X):
    """How many documents there are, in any form that `take_rows` takes."""
    return X.shape[0] if hasattr(X, "shape") else len(X)


def as_rows(X, name="X"):
    """Documents in a form of which `take_rows` takes some.

    Parameters
    ----------
    X : list, array, sparse matrix or data frame of n_samples documents
    name : str, default="X"
        What they are called in an error.
    """
    if X is None:
        raise must_be(name, "given", None)
    if isinstance(X, Iterator | Set | Mapping | MappingView):
        expected = "a list, array, sparse matrix or data frame of documents"
        raise must_be(name, expected, f"a {type(X).__name__}", _as_rows_instead(X))
    return indexable(X)[0]


def _as_rows_instead(X):
    """What makes documents of which some can be taken; a dok_matrix is a dict, too."""
    if sparse.issparse(X):
        return "X.tocsr() makes a sparse matrix of rows."
    return "list(...) makes a list."


def take_rows(X, rows):
    """Take some documents, or their labels, in the form in which they are.

    Parameters
    ----------
    X : list, array, sparse matrix or data frame of n_samples rows
        What `as_rows` leaves as it is.
    rows : slice or array of int

    Returns
    -------
    list, array, sparse matrix or data frame
        Of the kind of X; of an array that is mapped from a file a map, as `rows_of` makes it.
    """
    if hasattr(X, "iloc"):  # of pandas, whose own brackets look up names
        return X.iloc[rows]
    if hasattr(X, "shape"):
        return rows_of(X, rows)
    return X[rows] if isinstance(rows, slice) else [X[row] for row in rows]


def check_token_ids(X, estimator_name):
    """Refuse what is no token id.

    Parameters
    ----------
    X : array of shape (n_samples, length)
        Numbers from 0 (padding) up, of any type.
    estimator_name : str
        Who asks, for an error.

    Returns
    -------
    array of int32 of shape (n_samples, length)
    """
    expected = "token ids, whole numbers from 0 to 2147483647"
    remedy = "TokenSequenceVectorizer makes them of texts; features go with encoder='bag'."
    if X.size and X.min() < 0:
        remedy = f"Negative values in data passed to {estimator_name}. {remedy}"
        raise must_be("X", expected, f"{X.min():g}", remedy)
    for rows in row_blocks(X):
        block = X[rows]
        wrong = block[(block != np.floor(block)) | (block > np.iinfo(np.int32).max)]
        if wrong.size:
            raise must_be("X", expected, f"{wrong[0]:g}", remedy)
    return np.asarray(X).astype(np.int32, copy=False)


def known_tokens(token_ids, n_known):
    """Ids without those of new words, in texts that begin in column 0, none of them empty.

    Parameters
    ----------
    token_ids : array of int32 of shape (n_samples, length)
    n_known : int
        Ids from here on become 1, the unknown word, which is also all of an empty text.

    Returns
    -------
    array of int32 of shape (n_samples, length)
        The array itself if that is so already.
    """
    if all(_are_known(token_ids[rows], n_known) for rows in row_blocks(token_ids)):
        return token_ids
    token_ids = np.where(token_ids < n_known, token_ids, np.int32(1))
    padding = token_ids == 0
    if _begins_late(padding).any():
        order = np.argsort(padding, axis=1, kind="stable")
        token_ids = np.take_along_axis(token_ids, order, axis=1)
    token_ids[padding.all(axis=1), 0] = 1
    return token_ids


def _are_known(token_ids, n_known):
    """Whether texts have known ids alone, begin in column 0, and none is empty."""
    padding = token_ids == 0
    return token_ids.max() < n_known and not (padding[:, 0].any() or _begins_late(padding).any())


def _begins_late(padding):
    """Where a token stands after padding."""
    return padding[:, :-1] & ~padding[:, 1:]


def _warn_of_counts(token_ids):
    """Warn of zeros between other numbers: counts of words have them, texts do not."""
    n_gaps = sum(np.count_nonzero(_has_gap(token_ids[rows])) for rows in row_blocks(token_ids))
    if n_gaps:
        warn(
            "X must be token ids with zeros, for padding, at one end. Got zeros between other "
            f"numbers in {n_gaps} rows instead: they are taken as padding. Are these "
            "counts of words? Pass them as a sparse matrix or as floats."
        )


def _has_gap(token_ids):
    """Whether there is a zero between other numbers, by row."""
    is_token = token_ids != 0
    first = is_token.argmax(axis=1)
    last = is_token.shape[1] - 1 - is_token[:, ::-1].argmax(axis=1)
    return is_token.any(axis=1) & (is_token.sum(axis=1) <= last - first)
