"""TokenSequenceVectorizer: texts to sequences of token ids."""

import re
from array import array
from collections import defaultdict
from functools import partial
from itertools import repeat
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils import check_array
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted

from .._token_ids import TokenIds, vocabulary_hash
from .._validation import check_choice, must_be, warn
from ._word_vectors import FIRST_WORD, PADDING, UNKNOWN, number_words

UNKNOWN_WORD = "<unknown>"
_ANALYSIS = (
    "input",
    "encoding",
    "decode_error",
    "strip_accents",
    "lowercase",
    "preprocessor",
    "tokenizer",
    "stop_words",
    "token_pattern",
    "analyzer",
)


class TokenSequenceVectorizer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turn texts into rows of token ids: the word order that a bag of words throws away.

    Tokens are those of scikit-learn's `CountVectorizer` and `TfidfVectorizer` with the same
    parameters. A row is the ids of a text's tokens, filled up with 0 (padding); a word that is
    not in the vocabulary is 1, and so is a text without any token, which makes it one unknown
    word. Words have the ids from 2 up, the most frequent first, equally frequent ones in the
    order of the alphabet.

    Parameters
    ----------
    max_length : int or None, default=500
        Columns of the result: tokens beyond it are cut off, and count nowhere. None takes the
        longest text seen in `fit`, however long: one text of 100,000 words makes every row that
        wide.
    truncate : {"end", "start"}, default="end"
        Which end of a longer text is cut off.
    input, encoding, decode_error, strip_accents, lowercase, preprocessor, tokenizer, stop_words, \
token_pattern, analyzer : see Notes
        How a text becomes tokens: as in :class:`sklearn.feature_extraction.text.CountVectorizer`,
        with its defaults.
    max_df, min_df : int or float, default=1.0 and 1
        Words of more than `max_df` or fewer than `min_df` training texts become unknown. An int
        counts texts, a float is their share. With ``min_df=2`` the training texts hold unknown
        words, so that a model learns what to make of them. Ignored where `vocabulary` is given.
    max_features : int or None, default=None
        Keep the most frequent words only, so many. Ignored where `vocabulary` is given.
    vocabulary : WordVectors, iterable of str, mapping or None, default=None
        The words, instead of those of the training texts: the i-th has the id i + 2. A mapping
        numbers them from any number on without gaps, like the `vocabulary_` of this class or of
        `CountVectorizer`; its order is kept. A set is sorted.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        The id of each word, 2 and up, in the order of the ids.
    max_length_ : int
        Columns of the result.
    vocabulary_hash_ : str
        What the result remembers of the words.

    See Also
    --------
    WordVectors : Pretrained vectors for these ids.

    Notes
    -----
    The result remembers which words its ids number, and so do parts and copies of it: an estimator
    refuses ids of other words than those of its pretrained vectors, or of its `fit`. A plain array
    (``numpy.asarray`` of the result) is taken as it is.

    With ``vocabulary=WordVectors(...)`` the ids depend on the vectors' file alone, not on any
    text: nothing of a test fold leaks, and row i + 2 of an embedding is the i-th vector in every
    fold of a grid search. So a pipeline needs the vectors twice and nothing else:
    ``make_pipeline(TokenSequenceVectorizer(vocabulary=vectors),
    BalancedLossClassifier(encoder=TextCNN(embeddings=vectors)))``.

    Examples
    --------
    >>> from skmltc.text import TokenSequenceVectorizer
    >>> texts = ["Rice with milk, rice with honey.", "Milk", ""]
    >>> vectorizer = TokenSequenceVectorizer(max_length=7)
    >>> vectorizer.fit_transform(texts)
    array([[3, 4, 2, 3, 4, 5, 0],
           [2, 0, 0, 0, 0, 0, 0],
           [1, 0, 0, 0, 0, 0, 0]], dtype=int32)
    >>> vectorizer.vocabulary_
    {'milk': 2, 'rice': 3, 'with': 4, 'honey': 5}
    >>> vectorizer.inverse_transform(vectorizer.transform(["hot milk"]))
    [array(['<unknown>', 'milk'], dtype=object)]
    """

    _parameter_constraints: dict = {
        "lowercase": ["boolean"],
        "preprocessor": [callable, None],
        "tokenizer": [callable, None],
        "stop_words": [HasMethods("__iter__"), None],
        "token_pattern": [str, None],
        "analyzer": [str, callable],
    }

    def __init__(
        self,
        *,
        max_length=500,
        truncate="end",
        input="content",
        encoding="utf-8",
        decode_error="strict",
        strip_accents=None,
        lowercase=True,
        preprocessor=None,
        tokenizer=None,
        stop_words=None,
        token_pattern=r"(?u)\b\w\w+\b",
        analyzer="word",
        max_df=1.0,
        min_df=1,
        max_features=None,
        vocabulary=None,
    ):
        self.max_length = max_length
        self.truncate = truncate
        self.input = input
        self.encoding = encoding
        self.decode_error = decode_error
        self.strip_accents = strip_accents
        self.lowercase = lowercase
        self.preprocessor = preprocessor
        self.tokenizer = tokenizer
        self.stop_words = stop_words
        self.token_pattern = token_pattern
        self.analyzer = analyzer
        self.max_df = max_df
        self.min_df = min_df
        self.max_features = max_features
        self.vocabulary = vocabulary

    def fit(self, X, y=None):
        """Learn the vocabulary, and the length where `max_length` is None.

        Parameters
        ----------
        X : iterable of str
            The training texts.
        y : None
            Ignored.

        Returns
        -------
        TokenSequenceVectorizer
            Itself.
        """
        self.fit_transform(X)
        return self

    def fit_transform(self, X, y=None):
        """Fit, and transform the same texts; each is analysed once.

        Parameters
        ----------
        X : iterable of str
            The training texts.
        y : None
            Ignored.

        Returns
        -------
        array of int32 of shape (n_samples, `max_length_`)
            Token ids.

        Raises
        ------
        ValueError
            If a parameter is out of range, a text is no string (its position is named), or no
            word is left for the vocabulary.
        """
        self._check_parameters()
        if self.vocabulary is None:
            token_ids, lengths = self._learn_vocabulary(X)
        else:
            self.vocabulary_ = number_words(self.vocabulary)
            token_ids, lengths = self._read(X, self.max_length, _known_ids(self.vocabulary_))
            _warn_if_all_unknown(token_ids)
        self.max_length_ = self.max_length or int(lengths.max(initial=1))
        self.vocabulary_hash_ = vocabulary_hash(self.vocabulary_)
        return self._rows(token_ids, lengths)

    def transform(self, X):
        """Turn texts into rows of token ids.

        Parameters
        ----------
        X : iterable of str
            The texts.

        Returns
        -------
        array of int32 of shape (n_samples, `max_length_`)
            Token ids.
        """
        check_is_fitted(self)
        token_ids, lengths = self._read(X, self.max_length_, _known_ids(self.vocabulary_))
        return self._rows(token_ids, lengths)

    def _rows(self, token_ids, lengths):
        return TokenIds.of(pad(token_ids, lengths, self.max_length_), self.vocabulary_hash_)

    def inverse_transform(self, X):
        """Turn rows of token ids back into words.

        Parameters
        ----------
        X : array of int of shape (n_samples, length)
            Token ids.

        Returns
        -------
        list of arrays of str
            The words of each row in their order, without padding; an unknown one is
            ``"<unknown>"``.
        """
        check_is_fitted(self)
        X = check_array(X, ensure_min_samples=0)
        words = np.array(["", UNKNOWN_WORD, *self.vocabulary_], dtype=object)
        wrong = X[(X < 0) | (X >= len(words)) | (X != np.floor(X))]
        if wrong.size:
            expected = f"token ids, whole numbers from 0 to {len(words) - 1}"
            raise must_be("X", expected, f"{wrong[0]:g}")
        return [words[row[row != PADDING]] for row in X.astype(np.int64)]

    def build_analyzer(self):
        """Make the function that turns a text into its tokens, scikit-learn's own.

        Returns
        -------
        callable
            From a text to a list of tokens.
        """
        return CountVectorizer(**{name: getattr(self, name) for name in _ANALYSIS}).build_analyzer()

    @property
    def _n_features_out(self):
        return self.max_length_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_parameters(self):
        self._validate_params()
        check_choice("truncate", self.truncate, ("end", "start"))
        _check_pattern(self.token_pattern)
        for name in ("max_length", "max_features"):
            value = getattr(self, name)
            is_whole = isinstance(value, Integral) and not isinstance(value, bool)
            if value is not None and not (is_whole and value >= 1):
                raise must_be(name, "an integer of at least 1, or None", repr(value))

    def _read(self, X, max_length, to_ids):
        """Ids of the tokens of all texts in one row, and how many each text has."""
        analyze = self.build_analyzer()
        cut = slice(max_length)
        if max_length and self.truncate == "start":
            cut = slice(-max_length, None)
        token_ids, lengths = array("i"), array("i")
        for position, text in enumerate(check_texts(X)):
            tokens = list(_analyze(analyze, text, position))[cut]
            token_ids.extend(to_ids(tokens))
            lengths.append(len(tokens))
        return np.array(token_ids, dtype=np.int32), np.array(lengths, dtype=np.int32)

    def _learn_vocabulary(self, X):
        """Read the texts while numbering new words, then number the words that are kept."""
        first_seen = defaultdict()
        first_seen.default_factory = first_seen.__len__
        token_ids, lengths = self._read(X, self.max_length, partial(map, first_seen.__getitem__))
        words = list(first_seen)
        if not words:
            remedy = "Is the token_pattern too strict, or are all words stop words?"
            raise must_be("X", "texts with a word at least", f"{len(lengths)} without any", remedy)
        bounds = (self.min_df, self.max_df, self.max_features)
        kept = choose_words(words, token_ids, lengths, *bounds)
        self.vocabulary_ = number_words([words[i] for i in kept])
        new_ids = np.full(len(words), UNKNOWN, dtype=np.int32)
        new_ids[kept] = np.arange(FIRST_WORD, FIRST_WORD + len(kept))
        return new_ids[token_ids], lengths


def _check_pattern(pattern):
    """Refuse what the regular expressions of Python cannot read."""
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise must_be("token_pattern", "a regular expression", f"{pattern!r}: {error}") from error


def check_texts(X):
    """Refuse what would be iterated over, but not text by text."""
    if isinstance(X, str | bytes):
        raise must_be("X", "a sequence of texts", "one text", "Put it into a list.")
    shape = getattr(X, "shape", (0,))
    if len(shape) != 1:
        remedy = "Take one column of a table."
        raise must_be("X", "a sequence of texts", f"an array of shape {shape}", remedy)
    return X


def _analyze(analyze, text, position):
    """Tokens of a text; what is no text is named, whatever it broke."""
    try:
        return analyze(text)
    except (AttributeError, TypeError, ValueError) as error:
        if isinstance(text, str | bytes):
            raise
        raise must_be(f"Text {position} of X", "a string", repr(text)) from error


def _known_ids(vocabulary):
    """Make a function from words to their ids."""
    return lambda words: map(vocabulary.get, words, repeat(UNKNOWN))


def _warn_if_all_unknown(token_ids):
    if not (token_ids >= FIRST_WORD).any():
        warn(
            "vocabulary must hold words of the texts. Got none of them instead: every word is "
            "unknown. Are the vocabulary's words written as the analyzer gives them, say in "
            "lower case?",
        )


def choose_words(words, tokens, lengths, min_df, max_df, max_features):
    """Choose the words of a vocabulary by their frequency.

    Parameters
    ----------
    words : list of str of length n_words
        The words of the texts.
    tokens : array of int of shape (n_tokens,)
        Positions in `words` of the tokens of all texts, one text after the other.
    lengths : array of int of shape (n_samples,)
        Tokens of each text.
    min_df, max_df : int or float
        Bounds on the number or the share of the texts that hold a word.
    max_features : int or None
        The most words to choose.

    Returns
    -------
    array of int
        Positions in `words`, the most frequent first, equally frequent ones by the alphabet.
    """
    lowest = _count_of("min_df", min_df, len(lengths))
    highest = _count_of("max_df", max_df, len(lengths))
    frequencies = _document_frequencies(tokens, lengths, len(words))
    is_kept = (lowest <= frequencies) & (frequencies <= highest)
    if not is_kept.any():
        expected = f"bounds that leave a word of the {len(lengths)} texts"
        remedy = "Try a lower min_df or a higher max_df."
        raise must_be("min_df and max_df", expected, f"{min_df!r} and {max_df!r}", remedy)
    order = _by_frequency(words, tokens)
    return order[is_kept[order]][:max_features]


def _count_of(name, bound, n_samples):
    """Read a bound on document frequencies: an int is a count, a float a share."""
    if isinstance(bound, Integral) and bound >= 1:
        return bound
    if isinstance(bound, Real) and 0 <= bound <= 1:
        return bound * n_samples
    raise must_be(name, "an integer of at least 1 or a share between 0 and 1", repr(bound))


def _document_frequencies(tokens, lengths, n_words):
    """Count the texts that hold each word."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(tokens.dtype)
    ones = np.ones(len(tokens), dtype=np.int8)
    shape = (len(lengths), n_words)
    texts = sparse.csr_array((ones, tokens, ends), shape=shape, copy=True)
    texts.sum_duplicates()
    return np.bincount(texts.indices, minlength=n_words)


def _by_frequency(words, tokens):
    """Sort the positions of words by their frequency, then by the alphabet."""
    alphabetical = np.array(sorted(range(len(words)), key=words.__getitem__))
    counts = np.bincount(tokens, minlength=len(words))
    return alphabetical[np.argsort(-counts[alphabetical], kind="stable")]


def pad(token_ids, lengths, max_length):
    """Give each text its row of ids; a text without tokens is one unknown word.

    Parameters
    ----------
    token_ids : array of int of shape (n_tokens,)
        Ids of the tokens of all texts, one text after the other.
    lengths : array of int of shape (n_samples,)
        Tokens of each text, at most `max_length`.
    max_length : int
        Columns.

    Returns
    -------
    array of int32 of shape (n_samples, max_length)
    """
    rows = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.cumsum(lengths) - lengths
    padded = np.zeros((len(lengths), max_length), dtype=np.int32)
    padded[rows, np.arange(len(token_ids)) - starts[rows]] = token_ids
    padded[lengths == 0, 0] = UNKNOWN
    return padded
