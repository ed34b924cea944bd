"""Texts to sequences of token ids, and pretrained vectors of their words.

Id 0 is padding, 1 an unknown word, and words are numbered from 2 up.
"""

from __future__ import annotations

import math
import warnings
from array import array
from collections import defaultdict
from functools import partial
from itertools import repeat
from numbers import Integral
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from ._validation import check_choice, must_be
from ._words import (
    FIRST_WORD,
    PADDING,
    UNKNOWN,
    check_distinct,
    choose_words,
    number_words,
    pad,
    read_vectors,
)

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


# ---------------------------------------------------------------------------- texts to ids


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

    See Also
    --------
    WordVectors : Pretrained vectors for these ids.

    Notes
    -----
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
        return pad(token_ids, lengths, self.max_length_)

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
        return pad(token_ids, lengths, self.max_length_)

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
        check_choice("truncate", self.truncate, ("end", "start"))
        for name in ("max_length", "max_features"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Integral) and value >= 1):
                raise must_be(name, "an integer of at least 1, or None", repr(value))

    def _read(self, X, max_length, to_ids):
        """Ids of the tokens of all texts in one row, and how many each text has."""
        analyze = self.build_analyzer()
        cut = slice(max_length)
        if max_length and self.truncate == "start":
            cut = slice(-max_length, None)
        token_ids, lengths = array("i"), array("i")
        for position, text in enumerate(_check_texts(X)):
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


def _check_texts(X):
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
        warnings.warn(
            "vocabulary must hold words of the texts. Got none of them instead: every word is "
            "unknown. Are the vocabulary's words written as the analyzer gives them, say in "
            "lower case?",
            UserWarning,
            stacklevel=4,
        )


# ---------------------------------------------------------------------------- word vectors


class WordVectors:
    """Pretrained word vectors, for a vectorizer's `vocabulary` and an encoder's `embeddings`.

    Not to be changed once made: copies (those of :func:`sklearn.base.clone` too) are the same
    object, so that a grid search holds the vectors once.

    Parameters
    ----------
    words : iterable of str
        Distinct words.
    vectors : array of shape (n_words, dim)
        A finite vector for each word. Not copied where it is an array of float32.

    Attributes
    ----------
    words : tuple of str
        The words. The i-th has the id i + 2 in ``TokenSequenceVectorizer(vocabulary=vectors)``.
    vectors : read-only array of float32 of shape (n_words, dim)
        Their vectors.
    dim : int
        Length of a vector.

    Examples
    --------
    >>> from skmltc.text import TokenSequenceVectorizer, WordVectors
    >>> vectors = WordVectors(["milk", "rice"], [[1.0, -1.0], [0.5, 0.5]])
    >>> vectors
    WordVectors(2 words of 2 dimensions)
    >>> token_ids = TokenSequenceVectorizer(vocabulary=vectors, max_length=3).fit_transform(
    ...     ["Rice with milk"]
    ... )
    >>> token_ids
    array([[3, 1, 2]], dtype=int32)
    >>> vectors.matrix(random_state=0)[token_ids[0, [0, 2]]]
    array([[ 0.5,  0.5],
           [ 1. , -1. ]], dtype=float32)
    """

    def __init__(self, words, vectors):
        self.words = tuple(words)
        self.vectors = np.asarray(vectors, dtype=np.float32).view()
        self.vectors.flags.writeable = False
        check_distinct("words", self.words)
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.words):
            expected = f"an array of shape ({len(self.words)}, dim), a row a word"
            raise must_be("vectors", expected, f"one of shape {self.vectors.shape}")
        is_finite = np.isfinite(self.vectors).all(axis=1)
        if not is_finite.all():
            word = self.words[is_finite.argmin()]
            raise must_be("vectors", "finite", f"NaN or infinity for {word!r}")

    @classmethod
    def load(cls, path, *, max_words=None, words=None):
        r"""Read a text file of word2vec, GloVe or fastText.

        Each line is a word and the numbers of its vector, with single blanks between; the first
        one may be ``n_words dim`` instead. The last `dim` fields are the vector, so a word may
        hold blanks (some of GloVe 840B do). Of a word's several lines the first one counts.

        Parameters
        ----------
        path : str or path
            The file; one that ends in ``.gz`` is decompressed on the way.
        max_words : int, optional
            Stop after so many words: the files begin with the most frequent ones.
        words : iterable of str, optional
            Take these only, as far as the file has them, in the file's order. Give words of
            training texts, not of test texts.

        Returns
        -------
        WordVectors

        Raises
        ------
        ValueError
            If a line is broken or has the wrong width: its number is named.

        Examples
        --------
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from skmltc.text import WordVectors
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "glove.txt"
        ...     _ = path.write_text("milk 1.0 -1.0\nrice 0.5 0.5\n")
        ...     WordVectors.load(path, max_words=1).words
        ('milk',)
        """
        if max_words is not None and not (isinstance(max_words, Integral) and max_words >= 1):
            raise must_be("max_words", "an integer of at least 1, or None", repr(max_words))
        wanted = None if words is None else frozenset(words)
        found, values = {}, array("f")

        def is_wanted(word):
            return word not in found and (wanted is None or word in wanted)

        for word, vector in read_vectors(Path(path), is_wanted):
            found[word] = len(found)
            values.extend(vector)
            if len(found) == max_words:
                break
        if not found:
            raise must_be(str(path), "a file with some of the words", "none of them")
        return cls(found, np.frombuffer(values, dtype=np.float32).reshape(len(found), -1))

    def matrix(self, vocabulary=None, *, random_state=None):
        """Make an embedding table whose rows are the ids of a vectorizer.

        Parameters
        ----------
        vocabulary : mapping, iterable of str or None, default=None
            The `vocabulary_` of a fitted vectorizer, or what was given as its `vocabulary`.
            None is the vectors' own words.
        random_state : int, RandomState instance or None, default=None
            For the rows of the unknown word and of words without a vector. They are drawn from
            U(-a, a) with a such that they have the variance of the numbers in the vectors (Kim
            2014, section 4.3).

        Returns
        -------
        array of float32 of shape (n_words + 2, dim)
            Row 0 (padding) is zero, row 1 the unknown word's.
        """
        ids = number_words(self if vocabulary is None else vocabulary)
        places = {word: place for place, word in enumerate(self.words) if word in ids}
        table = np.zeros((len(ids) + FIRST_WORD, self.dim), dtype=np.float32)
        table[[ids[word] for word in places]] = self.vectors[list(places.values())]
        missing = [UNKNOWN, *(ids[word] for word in ids if word not in places)]
        bound = math.sqrt(3.0) * self.vectors.std()
        rng = check_random_state(random_state)
        table[missing] = rng.uniform(-bound, bound, size=(len(missing), self.dim))
        return table

    @property
    def dim(self):
        """Length of a vector."""
        return self.vectors.shape[1]

    def __iter__(self):
        return iter(self.words)

    def __len__(self):
        return len(self.words)

    def __repr__(self):
        return f"WordVectors({len(self)} words of {self.dim} dimensions)"

    def __deepcopy__(self, memo):
        return self
