"""Word vectors from files and arrays, and the numbers that words have."""

import copy
import gzip

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skmltc.text import TokenSequenceVectorizer, WordVectors
from skmltc.text._word_vectors import check_distinct, number_words

LINES = ["the 1 -1.5 2e-1", "milk 0.5 0 3", "rice -1 -2 -3"]
WORDS, VECTORS = ("the", "milk", "rice"), [[1, -1.5, 0.2], [0.5, 0, 3], [-1, -2, -3]]


@pytest.fixture
def vectors():
    return WordVectors(WORDS, VECTORS)


def write(path, lines, end="\n"):
    content = "".join(line + end for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("header", [[], ["3 3"]])
@pytest.mark.parametrize("name", ["vectors.txt", "vectors.vec.gz"])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n", "\n\n"])
def test_the_three_formats(tmp_path, header, name, end):
    loaded = WordVectors.load(str(write(tmp_path / name, header + LINES, end)))
    assert loaded.words == WORDS and loaded.dim == 3 and len(loaded) == 3
    assert loaded.vectors.dtype == np.float32
    assert_array_equal(loaded.vectors, np.array(VECTORS, dtype=np.float32))


def test_words_with_blanks_of_any_kind(tmp_path):
    words = ["the", ". . .", "at name@domain.com", "a\u00a0b", "x\u2028y\x85", "12", "Ü"]
    lines = [f"{word} 0.5 {i}" for i, word in enumerate(words)]
    loaded = WordVectors.load(write(tmp_path / "glove.840B.txt", lines))
    assert loaded.words == tuple(words)
    assert_array_equal(loaded.vectors, [[0.5, i] for i in range(len(words))])


def test_some_of_the_words(tmp_path):
    path = write(tmp_path / "vectors.txt", ["3 3", *LINES])
    assert WordVectors.load(path, max_words=2).words == ("the", "milk")
    chosen = WordVectors.load(path, words=["rice", "the", "beer"])
    assert chosen.words == ("the", "rice")
    assert_array_equal(chosen.vectors, np.array([VECTORS[0], VECTORS[2]], dtype=np.float32))
    assert WordVectors.load(path, words={"rice": 2, "milk": 3}, max_words=1).words == ("milk",)
    with pytest.raises(ValueError, match="must be a file with some of the words. Got none"):
        WordVectors.load(path, words=["beer"])
    with pytest.raises(ValueError, match="max_words must be an integer of at least 1, or None"):
        WordVectors.load(path, max_words=0)


def test_the_first_of_several_lines_of_a_word_counts(tmp_path):
    path = write(tmp_path / "vectors.txt", ["3 1", "milk 1", "milk 2", "rice 3"])
    loaded = WordVectors.load(path)
    assert loaded.words == ("milk", "rice") and loaded.vectors.tolist() == [[1], [3]]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("beer 1 2", "2 fields"),
        ("beer 1 2 3 4", "4 fields"),
        ("beer", "0 fields"),
        ("1 2 3", "2 fields"),
        ("beer 1 x 3", "3 fields"),
        ("beer 1  3", "2 fields"),
        ("beer 1 nan 3", "3 fields"),
        ("beer 1 inf 3", "3 fields"),
        ("beer\t1\t2\t3", "3 fields"),
    ],
)
@pytest.mark.parametrize("header", [[], ["3 3"]])
def test_a_broken_line_is_named(tmp_path, line, found, header):
    path = write(tmp_path / "vectors.txt", [*header, *LINES[:2], line])
    number = 3 + len(header)
    expected = f"Line {number} of .*vectors.txt must be a word and 3 finite numbers. Got {found}"
    with pytest.raises(ValueError, match=expected) as error:
        WordVectors.load(path)
    assert repr(line) in str(error.value)
    assert len(WordVectors.load(path, max_words=2)) == 2


def test_a_header_of_another_width(tmp_path):
    for dim in (2, 4):
        path = write(tmp_path / "vectors.txt", [f"3 {dim}", *LINES])
        with pytest.raises(ValueError, match=f"Line 2 .* {dim} finite numbers. Got 3 fields"):
            WordVectors.load(path)


@pytest.mark.parametrize("line", ["", "word", "0 3", "3 0"])
def test_a_broken_first_line_is_named(tmp_path, line):
    path = write(tmp_path / "vectors.txt", [line])
    with pytest.raises(ValueError, match="Line 1 of .* must be 'n_words dim', or a word and its"):
        WordVectors.load(path)


def test_an_empty_file_and_none(tmp_path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match="Line 1 of .*empty.txt"):
        WordVectors.load(tmp_path / "empty.txt")
    with pytest.raises(FileNotFoundError):
        WordVectors.load(tmp_path / "nothing.txt")


def test_a_file_cut_short(tmp_path):
    path = write(tmp_path / "vectors.txt", ["4 3", *LINES])
    with pytest.raises(ValueError, match="a file of 4 vectors, as line 1 says. Got 3 instead"):
        WordVectors.load(path)
    assert len(WordVectors.load(path, max_words=3)) == 3


@pytest.mark.parametrize(
    ("words", "vectors", "message"),
    [
        (["a"], [[1.0], [2.0]], r"vectors must be an array of shape \(1, dim\).*\(2, 1\)"),
        (["a", "b"], [1.0, 2.0], "vectors must be an array of shape"),
        (["a", "a"], [[1.0], [2.0]], "words must be distinct words. Got 'a' twice"),
        (["a", "b"], [[1.0], [np.inf]], "vectors must be finite. Got NaN or infinity for 'b'"),
        ([], np.empty((0, 3)), "words must be a word at least"),
    ],
)
def test_bad_vectors(words, vectors, message):
    with pytest.raises(ValueError, match=message):
        WordVectors(words, vectors)


def test_copies_are_the_same_object(vectors):
    assert copy.deepcopy(vectors) is vectors and copy.deepcopy([vectors])[0] is vectors
    assert clone(TokenSequenceVectorizer(vocabulary=vectors)).vocabulary is vectors
    assert repr(vectors) == "WordVectors(3 words of 3 dimensions)"
    assert "vocabulary=WordVectors(3 words" in repr(TokenSequenceVectorizer(vocabulary=vectors))
    with pytest.raises(ValueError, match="read-only"):
        vectors.vectors[0, 0] = 1.0


def test_the_callers_array_stays_writable():
    given_vectors = np.ones((1, 2), dtype=np.float32)
    WordVectors(["a"], given_vectors)
    given_vectors[0, 0] = 2.0


def test_vectors_round_trip_through_joblib(tmp_path, vectors):
    joblib.dump(vectors, tmp_path / "vectors.joblib")
    loaded = joblib.load(tmp_path / "vectors.joblib")
    assert loaded.words == vectors.words
    assert_array_equal(loaded.vectors, vectors.vectors)


def test_matrix_of_a_fitted_vocabulary(vectors):
    vectorizer = TokenSequenceVectorizer().fit(["rice rice beer", "milk"])
    table = vectors.matrix(vectorizer.vocabulary_, random_state=0)
    assert vectorizer.vocabulary_ == {"rice": 2, "beer": 3, "milk": 4}
    assert table.shape == (5, 3) and table.dtype == np.float32 and table.flags.writeable
    assert (table[0] == 0).all()
    assert_array_equal(table[[2, 4]], vectors.vectors[[2, 1]])
    assert (table[[1, 3]] != 0).all() and (table[1] != table[3]).all()
    assert_array_equal(table, vectors.matrix(["rice", "beer", "milk"], random_state=0))
    assert (table[1] != vectors.matrix(vectorizer.vocabulary_, random_state=1)[1]).all()


def test_matrix_of_ones_own_words(vectors):
    for vocabulary in (None, vectors):
        table = vectors.matrix(vocabulary, random_state=0)
        assert_array_equal(table[2:], vectors.vectors)
    unknown_alone = vectors.matrix(["beer"], random_state=0)
    assert unknown_alone.shape == (3, 3) and (unknown_alone[0] == 0).all()


def test_missing_words_have_the_variance_of_the_vectors():
    rng = np.random.RandomState(0)
    vectors = WordVectors(["known"], rng.normal(0.0, 0.4, size=(1, 2000)))
    drawn = vectors.matrix([f"word{i}" for i in range(20)], random_state=0)[1:]
    assert drawn.std() == pytest.approx(vectors.vectors.std(), rel=0.02)
    assert abs(drawn).max() <= np.sqrt(3) * vectors.vectors.std()


def test_the_state_of_numpy_is_untouched(vectors):
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    vectors.matrix(["beer"], random_state=0)
    assert_array_equal(np.random.get_state()[1], before)


def test_ids_and_rows_agree_in_every_fold(vectors):
    """Each fold's vectorizer gives the ids by which the one table is read."""
    texts = ["milk the", "rice", "the rice milk beer", "beer rice"]
    table = vectors.matrix(random_state=0)
    for train in ([0, 1], [2], [3, 1]):
        vectorizer = TokenSequenceVectorizer(vocabulary=vectors, max_length=4)
        token_ids = vectorizer.fit([texts[i] for i in train]).transform(texts)
        for text, row in zip(texts, token_ids, strict=True):
            for word, token_id in zip(text.split(), row, strict=False):
                known = word in WORDS
                assert_array_equal(
                    table[token_id], vectors.vectors[WORDS.index(word)] if known else table[1]
                )


# ------------------------------------------------------------------------ numbers of words


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
        (3, "vocabulary must be an iterable of words. Got 3 instead"),
        (WordVectors, "vocabulary must be an iterable of words. Got <class"),
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
