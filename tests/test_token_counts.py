"""Counts of token ids against loops."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.preprocessing import normalize

from skmltc._token_counts import TokenCounts, token_tfidf

FEW = settings(max_examples=30, deadline=None)
SEEDS = given(st.integers(0, 10_000))


def texts(rng, n_samples=12, n_ids=9, longest=7):
    lengths = rng.randint(1, longest + 1, (n_samples, 1))
    token_ids = rng.randint(1, n_ids, (n_samples, longest))
    return (token_ids * (np.arange(longest) < lengths)).astype(np.int32)


def counts_in_loops(token_ids, n_ids):
    counts = np.zeros((len(token_ids), n_ids - 1))
    for row, text in zip(counts, token_ids, strict=True):
        for word in text:
            if word > 1:  # neither padding nor the unknown word
                row[word - 1] += 1
    return counts


@SEEDS
@FEW
def test_counts_in_loops(seed):
    token_ids = texts(np.random.RandomState(seed))
    counts = TokenCounts(9).fit_transform(token_ids)
    assert isinstance(counts, sparse.csr_array) and counts.dtype == np.float32
    assert_array_equal(counts.toarray(), counts_in_loops(token_ids, 9))
    assert len(set(zip(*counts.nonzero(), strict=True))) == counts.nnz


@SEEDS
@FEW
def test_tfidf_of_tokens_in_loops(seed):
    token_ids = texts(np.random.RandomState(seed))
    counts = counts_in_loops(token_ids, 9)
    expected = np.zeros_like(counts)
    for d, word in zip(*counts.nonzero(), strict=True):
        holders = np.count_nonzero(counts[:, word])
        inverse = math.log((1 + len(counts)) / (1 + holders)) + 1
        expected[d, word] = (1 + math.log(counts[d, word])) * inverse
    found = token_tfidf(9).fit_transform(token_ids).toarray()
    assert_allclose(found, normalize(expected), atol=1e-6)
