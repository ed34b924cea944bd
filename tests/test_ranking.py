"""The best labels of each document, from scores of any form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from skmltc._ranking import check_k, keep_top, top_labels, top_of_dense, top_of_sparse

SCORES = arrays(np.float64, (3, 5), elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]))


def top_in_loops(scores, k):
    ranking = np.full((len(scores), k), -1)
    for row, values in enumerate(scores):
        order = sorted(range(len(values)), key=lambda column: (-values[column], column))
        for rank, column in enumerate(order[:k]):
            if values[column] > -np.inf:
                ranking[row, rank] = column
    return ranking.tolist()


@given(scores=SCORES, k=st.integers(1, 5))
def test_dense_and_sparse_scores_rank_as_in_loops(scores, k):
    expected = top_in_loops(scores, k)
    assert top_of_dense(scores, k).tolist() == expected
    rows, columns = np.nonzero(scores > -np.inf)
    stored = sparse.csr_array((scores[rows, columns], (rows, columns)), shape=scores.shape)
    assert top_of_sparse(stored, k).tolist() == expected


@given(scores=SCORES, k=st.integers(1, 7))
def test_the_scores_that_are_kept_are_those_of_the_ranking(scores, k):
    given_as = scores.copy()
    best = keep_top(scores, k)
    assert isinstance(best, sparse.csr_array) and best.shape == scores.shape
    for row, ranked in enumerate(top_in_loops(scores, k)):
        columns = sorted(column for column in ranked if column >= 0)
        stored = slice(*best.indptr[row : row + 2])
        assert best.indices[stored].tolist() == columns
        assert best.data[stored].tolist() == scores[row, columns].tolist()
    np.testing.assert_array_equal(scores, given_as)


def test_a_narrow_array_of_integers_is_a_ranking():
    ranking = np.array([[3, 1], [0, -1]])
    assert top_labels(ranking, (2, 4), 1).tolist() == [[3], [0]]
    with pytest.raises(ValueError, match="must be"):
        top_labels(np.array([[4, 1], [0, 2]]), (2, 4), 2)


def test_scores_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="must be"):
        top_labels(np.zeros((2, 3)), (2, 4), 1)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "5"])
def test_k_is_a_positive_integer(k):
    with pytest.raises(ValueError, match="k must be a positive integer"):
        check_k(k)
