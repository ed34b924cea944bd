"""Vectors of documents, descriptions of labels and scope sets: each against loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import FunctionTransformer, normalize

from skmltc.decision import Documents
from skmltc.labels import check_label_parents
from skmltc.neighbors import CosineNeighbors
from skmltc.treader_xml._scopes import (
    MeanEmbedding,
    ScopeRetriever,
    first_words,
    heaviest,
    with_parents,
)

SEEDS = given(st.integers(0, 10_000))
FEW = settings(max_examples=25, deadline=None)


def texts(rng, n_samples=12, n_ids=9, longest=7):
    lengths = rng.randint(1, longest + 1, (n_samples, 1))
    token_ids = rng.randint(1, n_ids, (n_samples, longest))
    return (token_ids * (np.arange(longest) < lengths)).astype(np.int32)


def features(rng, n_samples=30, n_features=8):
    matrix = rng.rand(n_samples, n_features) * (rng.rand(n_samples, n_features) < 0.5)
    return sparse.csr_array(matrix.astype(np.float32))


def labels(rng, n_samples=30, n_labels=6):
    return sparse.csr_array((rng.rand(n_samples, n_labels) < 0.3).astype(np.float32))


def flat(n_labels):
    return check_label_parents(None, n_labels)


def fit(X, Y, parents, n_neighbors=5, neighbors=None):
    """What finds the scope sets of other documents, and those of the documents themselves."""
    neighbors = neighbors or CosineNeighbors(device="cpu")
    return ScopeRetriever.fit(
        FunctionTransformer(), neighbors, n_neighbors, Documents(X, Y), parents
    )


# ------------------------------------------------------------------------------------ vectors


@SEEDS
@FEW
def test_means_of_word_vectors_in_loops(seed):
    rng = np.random.RandomState(seed)
    token_ids, table = texts(rng), rng.randn(9, 4).astype(np.float32)
    means = np.zeros((12, 4))
    for mean, text in zip(means, token_ids, strict=True):
        known = [word for word in text if word > 1]
        for word in known:
            mean += table[word] / len(known)
    found = MeanEmbedding(table).fit_transform(token_ids)
    assert_allclose(normalize(found), normalize(means), atol=1e-5)


# ------------------------------------------------------------------------------- descriptions


@given(st.integers(0, 10_000), st.integers(1, 10))
@FEW
def test_heaviest_columns_in_loops(seed, length):
    """Of equal weights the lower column comes first."""
    rng = np.random.RandomState(seed)
    weights = rng.randint(0, 4, (6, 7)) / 4
    expected = np.zeros((6, length), dtype=int)
    for row, numbers in zip(expected, weights, strict=True):
        order = sorted(np.flatnonzero(numbers), key=lambda column: (-numbers[column], column))
        row[: min(length, len(order))] = [column + 1 for column in order[:length]]
    assert_array_equal(heaviest(sparse.csr_array(weights), length), expected)


def test_heaviest_columns_of_rows_in_no_order():
    weights = sparse.csr_array(
        (np.array([1.0, 3.0, 2.0]), np.array([4, 2, 0]), np.array([0, 3, 3])), shape=(2, 5)
    )
    assert_array_equal(heaviest(weights, 2), [[3, 1], [0, 0]])


@pytest.mark.parametrize(
    "length, expected",
    [(2, [[5, 3], [1, 0]]), (3, [[5, 3, 2], [1, 0, 0]]), (5, [[5, 3, 2, 0, 0], [1, 0, 0, 0, 0]])],
)
def test_first_words(length, expected):
    words = first_words(np.array([[5, 3, 2], [1, 0, 0]], dtype=np.int32), length)
    assert_array_equal(words, expected)
    assert words.dtype == np.int64


# ------------------------------------------------------------------------------------ parents


def sets_of(matrix):
    return [set(row) for row in np.split(matrix.indices, matrix.indptr[1:-1])]


def test_parents_are_added_once_and_no_grandparents():
    """Labels 0 and 1 below 2, which is below 4, a row that is no label; 3 stands alone."""
    parents = check_label_parents([2, 2, 4, -1, -1], n_labels=4)
    Y = sparse.csr_array(
        np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    )
    sets = with_parents(Y, parents)
    assert sets.shape == (5, 5) and sets.dtype == np.float32
    assert sets_of(sets) == [{0, 2}, {0, 1, 2}, {0, 2, 4}, {3}, set()]
    assert_array_equal(sets.data, 1)


@SEEDS
@FEW
def test_label_sets_in_loops(seed):
    """With several parents per label, and rows beyond the labels."""
    rng = np.random.RandomState(seed)
    Y, n_rows = labels(rng), 9
    parents = sparse.csr_array(np.triu(rng.rand(n_rows, n_rows) < 0.2, k=1).astype(np.float32))
    before = Y.toarray()
    expected = []
    for row in Y.toarray():
        own = set(np.flatnonzero(row).tolist())
        expected.append(own.union(*(parents[[label]].indices.tolist() for label in own)))
    sets = with_parents(Y, parents)
    assert sets_of(sets) == expected and sets.shape == (30, n_rows)
    assert_array_equal(Y.toarray(), before)


@SEEDS
@FEW
def test_without_a_hierarchy_sets_are_the_labels(seed):
    Y = labels(np.random.RandomState(seed))
    assert_array_equal(with_parents(Y, flat(6)).toarray(), Y.toarray())


# ------------------------------------------------------------------------------------- scopes


def scopes_in_loops(X, label_sets, queries, n_neighbors, own=False):
    """Evidence by the formula: of the n documents nearest by cosine, but not the document."""
    units, sets = normalize(X.toarray().astype(float)), label_sets.toarray()
    scopes = np.zeros((queries.shape[0], sets.shape[1]))
    for i, query in enumerate(normalize(queries.toarray().astype(float))):
        cosines = {j: units[j] @ query for j in range(len(units)) if not (own and i == j)}
        near = sorted((j for j in cosines if cosines[j] > 0), key=lambda j: -cosines[j])
        near = near[:n_neighbors]
        for label in range(sets.shape[1]):
            prior = np.mean(sets[:, label])
            votes = sum(cosines[j] for j in near if sets[j, label])
            if votes:
                share = votes / sum(cosines[j] for j in near)
                scopes[i, label] = math.log(1 + share / (4 * prior))
    return scopes


@given(st.integers(0, 10_000), st.integers(1, 40))
@FEW
def test_scopes_in_loops(seed, n_neighbors):
    rng = np.random.RandomState(seed)
    X, Y, queries = features(rng), labels(rng), features(rng, 10)
    parents = check_label_parents([2, 2, 6, -1, 6, -1, -1], n_labels=6)
    retriever, training_scopes = fit(X, Y, parents, n_neighbors)
    sets = with_parents(Y, parents)
    assert_array_equal(retriever.label_sets.toarray(), sets.toarray())
    expected = scopes_in_loops(X, sets, X, n_neighbors, own=True)
    assert_allclose(training_scopes.toarray(), expected, rtol=1e-5, atol=1e-6)
    expected = scopes_in_loops(X, sets, queries, n_neighbors)
    assert_allclose(retriever.scopes(queries).toarray(), expected, rtol=1e-5, atol=1e-6)
    assert training_scopes.shape == (30, 7) and training_scopes.dtype == np.float32


def test_scopes_are_the_labels_of_the_neighbours_with_parents():
    """A flat hierarchy has their labels alone."""
    X = sparse.csr_array(np.array([[1, 0, 0.1], [1, 0, 0.2], [0, 1, 0.1]], dtype=np.float32))
    Y = sparse.csr_array(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32))
    query = sparse.csr_array(np.array([[0, 1, 0]], dtype=np.float32))
    alone, training_scopes = fit(X, Y, flat(3), 1)
    assert sets_of(training_scopes) == [{1}, {0}, {1}]
    assert sets_of(alone.scopes(query)) == [{2}]
    nested, training_scopes = fit(X, Y, check_label_parents([-1, 3, 0, -1], n_labels=3), 1)
    assert sets_of(training_scopes) == [{1, 3}, {0}, {1, 3}]
    assert sets_of(nested.scopes(query)) == [{0, 2}]


@pytest.mark.parametrize("n_neighbors", [1, 3, 29, 30, 100])
def test_no_document_is_its_own_neighbour(n_neighbors):
    """Each document has a label of its own at random: none is in the scope of its document."""
    rng = np.random.RandomState(0)
    X, order = features(rng), rng.permutation(30)
    Y = sparse.csr_array(np.eye(30, dtype=np.float32)[order])
    scopes = fit(X, Y, flat(30), n_neighbors)[1].toarray()
    assert not scopes[np.arange(30), order].any()
    n_found = (scopes > 0).sum(axis=1)
    assert n_found.min() > 0 and n_found.max() == min(n_neighbors, 29)


@pytest.mark.parametrize("n_neighbors", [1, 4, 9])
def test_duplicates_of_a_document_are_neighbours_the_document_is_not(n_neighbors):
    """Of ten equal documents, some would not find themselves among the nearest."""
    X = features(np.random.RandomState(0), 20)
    X = sparse.csr_array(sparse.vstack([X[[3] * 10], X]))
    Y = sparse.csr_array(np.eye(30, dtype=np.float32))
    scopes = fit(X, Y, flat(30), n_neighbors)[1][:10].toarray() > 0
    assert not scopes.diagonal().any()
    assert_array_equal(scopes.sum(axis=1), n_neighbors)
    equal = np.append(np.arange(10), 13)  # the fourth row of the others is one more
    assert_array_equal(scopes[:, equal].sum(axis=1), n_neighbors)


def test_documents_without_a_word_have_empty_scopes():
    X = features(np.random.RandomState(0)).tolil()
    X[[4, 9]] = 0
    X, Y = sparse.csr_array(X), labels(np.random.RandomState(1))
    retriever, training_scopes = fit(X, Y, flat(6))
    assert np.diff(training_scopes.indptr)[[4, 9]].sum() == 0
    assert retriever.scopes(sparse.csr_array((2, 8), dtype=np.float32)).nnz == 0
    assert np.isfinite(training_scopes.data).all()


@pytest.mark.parametrize("n_neighbors", [29, 30, 31, 1000])
def test_more_neighbours_than_documents_are_all_of_them(n_neighbors):
    rng = np.random.RandomState(0)
    X, Y = features(rng), labels(rng)
    (many, of_many), (_, of_all_others) = (fit(X, Y, flat(6), n) for n in (n_neighbors, 29))
    assert_array_equal(of_many.toarray(), of_all_others.toarray())
    expected = scopes_in_loops(X, Y, X, n_neighbors)
    assert_allclose(many.scopes(X).toarray(), expected, rtol=1e-5, atol=1e-6)


def test_neighbours_of_another_library_give_the_same():
    rng = np.random.RandomState(0)
    X, Y, queries = features(rng), labels(rng), features(rng, 10)
    (ours, of_ours), (theirs, of_theirs) = (
        fit(X, Y, flat(6), 4, neighbors) for neighbors in (None, NearestNeighbors(metric="cosine"))
    )
    assert_allclose(of_theirs.toarray(), of_ours.toarray(), rtol=1e-5)
    assert_allclose(theirs.scopes(queries).toarray(), ours.scopes(queries).toarray(), rtol=1e-5)


class Lossy:
    """Approximate search that finds fewer than are asked for: the rest has the index -1."""

    def fit(self, X):
        self.exact = CosineNeighbors(device="cpu").fit(X)
        return self

    def kneighbors(self, X, n_neighbors):
        distances, indices = self.exact.kneighbors(X, n_neighbors)
        distances[:, 2:], indices[:, 2:] = np.inf, -1
        return distances, indices


def test_neighbours_that_were_not_found_do_not_count():
    rng = np.random.RandomState(0)
    X, Y, queries = features(rng), labels(rng), features(rng, 10)
    (two, _), (lossy, _) = (fit(X, Y, flat(6), n, s) for n, s in ((2, None), (5, Lossy())))
    assert_array_equal(lossy.scopes(queries).toarray(), two.scopes(queries).toarray())


def test_without_neighbours_nothing_is_looked_up():
    X, Y = sparse.csr_array(np.eye(4, dtype=np.float32)), sparse.csr_array(np.eye(4))
    retriever, training_scopes = fit(X, Y, flat(4), 0)
    assert retriever.scopes(X).shape == training_scopes.shape == (4, 4)
    assert retriever.scopes(X).nnz == training_scopes.nnz == 0


def test_vectors_of_retrieval():
    """Equations 1 and 2: cosines of mean word vectors; a negative one makes no neighbour."""
    i, j = np.ogrid[:8, :3]
    table = (((3 * i + 5 * j + 2) % 7 - 3) / 10).astype(np.float32)
    X = np.array([[2, 3, 0], [3, 3, 4], [5, 6, 7], [2, 7, 0]])
    vectors = MeanEmbedding(table).transform(X)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert_allclose(unit @ unit[0], [1, 0.71239561, -1, -0.23570226], atol=1e-6)
    documents = Documents(X, sparse.csr_array(np.eye(4)))
    retriever, scopes = ScopeRetriever.fit(
        MeanEmbedding(table), CosineNeighbors(device="cpu"), 3, documents, flat(4)
    )
    assert scopes.toarray()[0].nonzero()[0].tolist() == [1]
    assert retriever.scopes(X).toarray()[0].nonzero()[0].tolist() == [0, 1]
