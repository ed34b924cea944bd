"""Pretrained vectors of words, and the numbers that words have."""

import gzip
import math
from array import array
from collections.abc import Iterable, Mapping
from itertools import chain
from numbers import Integral
from pathlib import Path

import numpy as np
from sklearn.utils import check_random_state

from .._validation import must_be


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
            expected = f"an array of shape ({len(self.words)}, dim), a row per word"
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


PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2


def number_words(vocabulary):
    """Ids of the words of any kind of vocabulary, from 2 up, in the order of the ids."""
    if isinstance(vocabulary, str | type) or not isinstance(vocabulary, Iterable):
        raise must_be("vocabulary", "an iterable of words", repr(vocabulary))
    if isinstance(vocabulary, Mapping):
        words = _in_order(vocabulary)
    else:
        words = sorted(vocabulary) if isinstance(vocabulary, set | frozenset) else list(vocabulary)
    check_distinct("vocabulary", words)
    return dict(zip(words, range(FIRST_WORD, FIRST_WORD + len(words)), strict=True))


def _in_order(numbers):
    """Sort words by their numbers, which must leave no gap."""
    words = sorted(numbers, key=numbers.__getitem__)
    for previous, word in zip(words, words[1:], strict=False):
        if numbers[word] != numbers[previous] + 1:
            expected = "a mapping of words to consecutive numbers"
            found = f"{numbers[previous]!r} for {previous!r} and {numbers[word]!r} for {word!r}"
            raise must_be("vocabulary", expected, found)
    return words


def check_distinct(what, words):
    """Refuse an empty list, and one with a word twice."""
    if not words:
        raise must_be(what, "a word at least", "none")
    if len(set(words)) < len(words):
        seen = set()
        twice = next(word for word in words if word in seen or seen.add(word))
        raise must_be(what, "distinct words", f"{twice!r} twice")


def read_vectors(path, is_wanted):
    """Read word vectors from a text file, line by line; a broken line is named.

    Parameters
    ----------
    path : Path
        The file, compressed or not.
    is_wanted : callable
        From a word to whether its vector is to be read.

    Yields
    ------
    word : str
        A wanted word.
    vector : list of float of length dim
        Its vector.
    """
    n_read = 0
    with _open_bytes(path) as file:
        first = next(file, b"")
        n_words, dim = _read_header(first, path)
        lines = enumerate(file, start=2) if n_words else enumerate(chain([first], file), start=1)
        for number, line in lines:
            if not line.strip():
                continue
            n_read += 1
            try:
                word, vector = _parse_vector(line, dim, is_wanted)
            except ValueError:
                found = f"{len(line.split()) - 1} fields after the first in {_excerpt(line)}"
                expected = f"a word and {dim} finite numbers"
                raise must_be(f"Line {number} of {path}", expected, found) from None
            if vector:
                yield word, vector
    if n_words and n_read != n_words:
        raise must_be(str(path), f"a file of {n_words} vectors, as line 1 says", n_read)


def _read_header(line, path):
    """Read the number of words, 0 if the line is a vector already, and a vector's length."""
    fields = line.rstrip().split(b" ")
    is_header = len(fields) == 2 and all(field.isdigit() for field in fields)
    n_words, dim = map(int, fields) if is_header else (0, len(fields) - 1)
    if dim < 1 or (is_header and not n_words):
        expected = "'n_words dim', or a word and its vector"
        raise must_be(f"Line 1 of {path}", expected, _excerpt(line))
    return n_words, dim


def _parse_vector(line, dim, is_wanted):
    """Split a line into its word and vector, None if not wanted; ValueError if it is broken."""
    name, *fields = line.rstrip().rsplit(b" ", dim)
    if len(fields) != dim or (b" " in name and _is_number(name.rpartition(b" ")[2])):
        raise ValueError("The line has too few or too many numbers.")
    word = name.decode("utf-8", errors="replace")
    if not is_wanted(word):
        return word, None
    vector = list(map(float, fields))
    if not math.isfinite(sum(vector)):
        raise ValueError("A number is not finite.")
    return word, vector


def _is_number(field):
    try:
        float(field)
    except ValueError:
        return False
    return True


def _excerpt(line):
    text = line.strip().decode("utf-8", errors="replace")
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _open_bytes(path):
    """Open a file, perhaps compressed."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")
