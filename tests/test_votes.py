"""The votes of neighbours against loops."""

import math

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc._votes import (
    best_cosines,
    keep_first_positive,
    leave_out_part,
    vote_evidence,
    vote_shares,
)


def random_shares(seed=0):
    """Shares of ten neighbours that have a label, for 30 documents and 8 labels; and priors."""
    rng = np.random.RandomState(seed)
    shares = rng.binomial(10, rng.rand(8) ** 3, size=(30, 8)) / 10
    priors = np.append(rng.uniform(0.001, 0.6, 7), 0.0)
    shares[:, 7] = 0  # no document has the last label
    return sparse.csr_array(shares), priors


def test_evidence_is_that_of_loops():
    shares, priors = random_shares()
    evidence = vote_evidence(shares, priors)
    assert isinstance(evidence, sparse.csr_array) and evidence.dtype == np.float32
    expected = np.zeros((30, 8))
    for row, column in zip(*shares.nonzero(), strict=True):
        p, v = priors[column], shares[row, column]
        expected[row, column] = math.log((4 * p + v) / (4 * p))
    assert expected.any()
    assert_allclose(evidence.toarray(), expected, rtol=1e-5)


def test_a_share_of_four_times_the_prior_is_evidence_of_log_two():
    shares = sparse.csr_array([[0.4, 0.4, 0.0]])
    evidence = vote_evidence(shares, np.array([0.1, 0.4, 0.2]))
    assert_allclose(evidence.toarray(), [[math.log(2), math.log(1.25), 0]], rtol=1e-6)


def test_more_neighbours_say_more_and_of_rare_labels_more_still():
    shares = sparse.csr_array([[0.1, 0.1], [0.2, 0.2]])
    evidence = vote_evidence(shares, np.array([0.3, 0.01])).toarray()
    assert (evidence[1] > evidence[0]).all() and (evidence[:, 1] > evidence[:, 0]).all()


def test_shares_are_not_changed():
    shares, priors = random_shares(1)
    before, priors_before = shares.copy(), priors.copy()
    evidence = vote_evidence(shares, priors)
    evidence.data[:], evidence.indices[:] = -1, 0
    for field in ("indptr", "indices", "data"):
        assert_array_equal(getattr(shares, field), getattr(before, field))
    assert_array_equal(priors, priors_before)


# ----------------------------------------------------------------------- shares and best cosines


def random_neighbors(seed=0, n_fitted=20, n_labels=6):
    """Cosines, falling, and indices of 7 neighbours of 15 documents; labels of those fitted on."""
    rng = np.random.RandomState(seed)
    indices = np.array([rng.permutation(n_fitted)[:7] for _ in range(15)])
    cosines = -np.sort(-rng.rand(15, 7), axis=1).astype(np.float32)
    cosines[rng.rand(15, 7) < 0.3] = 0
    cosines[0] = 0
    return cosines, indices, sparse.csr_array((rng.rand(n_fitted, n_labels) < 0.3) * np.float32(1))


def loop_votes(cosines, indices, Y, n, parts=None, own=None):
    """Shares of the first n neighbours of other parts, and the best cosine of any of them."""
    shares, best = np.zeros((len(cosines), Y.shape[1])), np.zeros((len(cosines), Y.shape[1]))
    for i in range(len(cosines)):
        found = [
            (cosine, j)
            for cosine, j in zip(cosines[i], indices[i], strict=True)
            if cosine > 0 and (parts is None or parts[j] != own[i])
        ]
        for label in range(Y.shape[1]):
            having = [cosine for cosine, j in found if Y[j, label]]
            best[i, label] = max(having, default=0)
            votes = sum(cosine for cosine, j in found[:n] if Y[j, label])
            shares[i, label] = votes / max(sum(cosine for cosine, _ in found[:n]), 1e-9)
    return shares, best


def test_shares_and_best_cosines_are_those_of_loops():
    cosines, indices, Y = random_neighbors()
    for n in (2, 5, 7):
        shares, best = loop_votes(cosines, indices, Y.toarray(), n)
        found = vote_shares(keep_first_positive(cosines, n), indices, Y)
        assert isinstance(found, sparse.csr_array) and found.dtype == np.float32
        assert_allclose(found.toarray(), shares, atol=1e-6)
        nearest = best_cosines(cosines, indices, Y)
        assert isinstance(nearest, sparse.csr_array) and nearest.dtype == np.float32
        assert_array_equal(nearest.toarray(), best.astype(np.float32))


def test_the_own_part_does_not_count():
    cosines, indices, Y = random_neighbors(1)
    parts, own = np.arange(20) % 3, np.arange(15) % 3
    shares, best = loop_votes(cosines, indices, Y.toarray(), 3, parts, own)
    others = leave_out_part(cosines, indices, parts, own)
    found = vote_shares(keep_first_positive(others, 3), indices, Y).toarray()
    assert_allclose(found, shares, atol=1e-6)
    assert_array_equal(best_cosines(others, indices, Y).toarray(), best.astype(np.float32))
    assert not (parts[indices] == own[:, None])[others > 0].any()


def test_the_first_positive_numbers_of_each_row():
    cosines = np.array([[0, 0.9, 0.8, 0.7], [0.9, 0.8, 0, 0.7], [0, 0, 0, 0.1]])
    expected = [[0, 0.9, 0.8, 0], [0.9, 0.8, 0, 0], [0, 0, 0, 0.1]]
    assert_array_equal(keep_first_positive(cosines, 2), expected)
