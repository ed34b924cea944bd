"""Word vectors of the documents at hand, against counting in loops."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc.encoders import _word_vectors
from skmltc.encoders._word_vectors import cooccurrences, learn_vectors, positive_information

TEXTS = np.array([[2, 3, 2, 4, 1, 3], [3, 5, 0, 0, 0, 0], [4, 4, 3, 1, 2, 0], [6, 0, 0, 0, 0, 0]])


@pytest.fixture(scope="module")
def texts():
    """Texts of two subjects: the words 2 to 6 stand together, and so do 7 to 11."""
    rng = np.random.RandomState(0)
    subject = rng.randint(2, size=200)
    return 2 + 5 * subject[:, None] + rng.randint(5, size=(200, 8))


def counted_in_loops(token_ids, n_ids, window):
    counts = np.zeros((n_ids, n_ids))
    for text in token_ids:
        for i, word in enumerate(text):
            for j, other in enumerate(text):
                if i != j and abs(i - j) <= window and word > 1 and other > 1:
                    counts[word, other] += 1 / abs(i - j)
    return counts


@pytest.mark.parametrize("window", [1, 3, 10])
def test_neighbours_count_by_their_distance(window, monkeypatch):
    monkeypatch.setattr(_word_vectors, "_WINDOW", window)
    document, position = np.nonzero(TEXTS)
    tokens = TEXTS[document, position]
    counts = cooccurrences(tokens, document, 8).toarray()
    frequent = np.argsort(-np.bincount(tokens, minlength=8), kind="stable")
    assert_allclose(counts, counted_in_loops(TEXTS, 8, window)[:, frequent], rtol=1e-6)


def test_contexts_are_the_most_frequent_words(monkeypatch):
    document, position = np.nonzero(TEXTS)
    everything = cooccurrences(TEXTS[document, position], document, 8).toarray()
    monkeypatch.setattr(_word_vectors, "_MAX_CONTEXTS", 2)
    few = cooccurrences(TEXTS[document, position], document, 8).toarray()
    assert few.shape == (8, 2)
    assert_array_equal(few, everything[:, :2])


def test_information_in_loops():
    counts = counted_in_loops(TEXTS, 8, 3)[:, 1:]
    information = positive_information(sparse.csr_array(counts.astype(np.float32))).toarray()
    smoothed = counts.sum(axis=0) ** 0.75
    smoothed /= smoothed.sum()
    for word in range(8):
        for context in range(7):
            expected = 0.0
            if counts[word, context]:
                share = counts[word, context] / counts[word].sum()
                expected = max(0.0, np.log(share / smoothed[context]))
            assert_allclose(information[word, context], expected, atol=1e-5)


def test_words_that_stand_together_get_similar_vectors(texts):
    vectors = learn_vectors(texts, 12, 2, 0)[2:]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = vectors @ vectors.T
    assert similarity[:5, :5].min() > 0.9 > 0.1 > abs(similarity[:5, 5:]).max()


def test_vectors_have_one_size_and_the_seed_decides(texts):
    vectors = learn_vectors(texts, 14, 4, 0)
    assert vectors.dtype == np.float32 and vectors.shape == (14, 4)
    assert_allclose(vectors[2:12].std(), 1, rtol=1e-5)
    assert_array_equal(vectors[[0, 1, 12, 13]], 0)  # padding, unknown, never seen
    assert_array_equal(vectors, learn_vectors(texts, 14, 4, 0))


@pytest.mark.parametrize(
    "token_ids", [np.ones((3, 4), int), np.array([[2]]), np.array([[2, 0], [3, 0]])]
)
def test_texts_without_neighbours_give_no_vectors(token_ids):
    assert_array_equal(learn_vectors(token_ids, 5, 3, 0), np.zeros((5, 3)))


def test_more_dimensions_than_words_stay_zero(texts):
    vectors = learn_vectors(texts, 12, 30, 0)
    assert vectors.shape == (12, 30) and not vectors[:, 12:].any() and vectors[2:].any(axis=1).all()


def test_of_many_documents_evenly_spaced_ones_are_read(texts, monkeypatch):
    monkeypatch.setattr(_word_vectors, "_MAX_TOKENS", texts.size // 2)
    few = learn_vectors(texts, 12, 3, 0)
    monkeypatch.undo()
    assert_array_equal(few, learn_vectors(texts[::2], 12, 3, 0))
