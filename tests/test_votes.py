"""The evidence of neighbours against loops."""

import math

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc._votes import vote_evidence


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
