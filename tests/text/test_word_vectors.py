"""The words under skmltc.text: numbered, laid out in rows, and read from a file."""

import numpy as np
import pytest

from skmltc.text._vectorizer import pad
from skmltc.text._word_vectors import check_distinct, number_words


@pytest.mark.parametrize(
    "vocabulary", [["b", "a"], ("b", "a"), {"b": 0, "a": 1}, {"a": 8, "b": 7}, iter("ba")]
)
def test_words_are_numbered_from_two_in_their_order(vocabulary):
    assert number_words(vocabulary) == {"b": 2, "a": 3}


def test_a_set_of_words_is_numbered_by_the_alphabet():
    assert number_words({"b", "a"}) == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    "vocabulary, message",
    [
        ("words", "vocabulary must be an iterable of words"),
        ({"a": 0, "b": 2}, "consecutive numbers"),
        (["a", "a"], "distinct words. Got 'a' twice"),
        ([], "a word at least"),
    ],
)
def test_vocabularies_without_a_numbering(vocabulary, message):
    with pytest.raises(ValueError, match=message):
        number_words(vocabulary)


def test_check_distinct_says_what():
    with pytest.raises(ValueError, match="the words must be distinct"):
        check_distinct("the words", ["x", "y", "x"])


def test_rows_are_filled_up_with_padding():
    rows = pad(np.array([5, 6, 7, 8]), np.array([1, 3]), 4)
    assert rows.dtype == np.int32
    assert rows.tolist() == [[5, 0, 0, 0], [6, 7, 8, 0]]
