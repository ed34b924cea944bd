"""Words: chosen, numbered, laid out in rows, and read with their vectors from a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from numbers import Integral, Real

import numpy as np
from scipy import sparse

from ._formats import open_bytes
from ._validation import must_be

PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2


def number_words(vocabulary):
    """Ids of the words of any kind of vocabulary, from 2 up, in the order of the ids."""
    if isinstance(vocabulary, str):
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
    with open_bytes(path) as file:
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
