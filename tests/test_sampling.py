"""Drawing documents of labels."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmltc._sampling import draw_documents

COUNTS = [0, 1, 3, 4, 5, 12, 0, 30, 4]


@pytest.fixture(scope="module")
def by_label():
    """Documents of nine labels, of forty."""
    rng = np.random.RandomState(0)
    Y = np.zeros((len(COUNTS), 40), dtype=np.float32)
    for label, n in enumerate(COUNTS):
        Y[label, rng.permutation(40)[:n]] = 1
    return sparse.csr_array(Y)


def drawn_of(drawn, label):
    return drawn.indices[drawn.indptr[label] : drawn.indptr[label + 1]].tolist()


@pytest.mark.parametrize("n", [1, 4, 12, 100])
def test_of_each_label_so_many_of_its_documents_are_drawn_none_twice(by_label, n):
    drawn = draw_documents(by_label, n, np.random.RandomState(1))
    assert isinstance(drawn, sparse.csr_array) and drawn.shape == by_label.shape
    assert drawn.dtype == np.float32 and (drawn.data == 1).all()
    for label, n_documents in enumerate(COUNTS):
        documents = drawn_of(drawn, label)
        assert len(documents) == len(set(documents)) == min(n, n_documents)
        assert set(documents) <= set(drawn_of(by_label, label))


def test_the_same_seed_draws_the_same_and_each_call_anew(by_label):
    one, other = np.random.RandomState(3), np.random.RandomState(3)
    first, second = draw_documents(by_label, 3, one), draw_documents(by_label, 3, one)
    assert_array_equal(draw_documents(by_label, 3, other).toarray(), first.toarray())
    assert (first != second).nnz


def test_documents_and_pairs_and_first_places_are_drawn_equally_often():
    """Of ten documents three, four thousand times: within five standard deviations."""
    n_draws = 4000
    same = sparse.csr_array(np.tile([0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1], (n_draws, 1)) * 1.0)
    drawn = draw_documents(same, 3, np.random.RandomState(0))
    draws = drawn.indices.reshape(n_draws, 3)
    documents = [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]

    def check(frequency, p):
        assert abs(frequency - n_draws * p) < 5 * np.sqrt(n_draws * p * (1 - p))

    for document in documents:
        check((draws == document).sum(), 3 / 10)
        check((draws[:, 0] == document).sum(), 1 / 10)
    sets = [set(draw) for draw in draws.tolist()]
    for pair in combinations(documents, 2):
        check(sum(set(pair) <= one for one in sets), 3 / 10 * 2 / 9)


def test_what_is_drawn_from_is_not_changed(by_label):
    copy = by_label.copy()
    drawn = draw_documents(by_label, 4, np.random.RandomState(0))
    drawn.data[:], drawn.indices[:] = 7, 0
    for field in ("indptr", "indices", "data"):
        assert_array_equal(getattr(by_label, field), getattr(copy, field))


def test_of_no_label_nothing_is_drawn():
    drawn = draw_documents(sparse.csr_array((0, 5)), 3, np.random.RandomState(0))
    assert drawn.shape == (0, 5) and drawn.nnz == 0
