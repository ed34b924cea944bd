"""Triplets: their numbers, what they say of two documents, and labels that allow no pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse

from skmltc.hybrid_siamese._triplets import (
    SAMPLINGS,
    draw_independent_triplets,
    draw_triplets,
)

SHAPES = st.tuples(st.integers(1, 30), st.integers(1, 12))


def draw(Y, n_triplets=300, batch_size=16, per_document=4, sampling="triplet", seed=0):
    """Batches of triplets; with per_document=None one of all of them, each drawn by itself."""
    Y = sparse.csr_array(np.asarray(Y, dtype=np.float32))
    how = {"sampling": sampling, "random_state": np.random.RandomState(seed)}
    if per_document is not None:
        how |= {"batch_size": batch_size, "per_document": per_document}
        return draw_triplets(Y, n_triplets, **how)
    triplets = draw_independent_triplets(Y, n_triplets, **how)
    return [triplets] if len(triplets.same) else []


def unpacked(batches):
    """First documents, second documents, labels and answers of all triplets."""
    columns = [
        (b.documents[b.first], b.documents[b.second], b.labels[b.second], b.same) for b in batches
    ]
    return [np.concatenate(column) for column in zip(*columns, strict=True)]


def long_tailed(n_samples=400, n_labels=20, seed=0):
    rng = np.random.default_rng(seed)
    Y = rng.random((n_samples, n_labels)) < 0.5 / np.arange(1, n_labels + 1) ** 1.5
    Y[rng.integers(n_samples, size=n_labels), np.arange(n_labels)] = True
    return Y


@st.composite
def indicators(draw_from):
    n_samples, n_labels = draw_from(SHAPES)
    share = draw_from(st.sampled_from([0.05, 0.3, 0.8, 1.0]))
    rng = np.random.default_rng(draw_from(st.integers(0, 1000)))
    return rng.random((n_samples, n_labels)) < share


PER_DOCUMENT = st.one_of(st.none(), st.integers(1, 9))


@given(indicators(), st.sampled_from(sorted(SAMPLINGS)), PER_DOCUMENT, st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_every_triplet_is_true_whatever_the_labels(Y, sampling, per_document, batch_size):
    batches = draw(Y, 50, batch_size, per_document, sampling)
    for batch in batches:
        first, second, label, same = unpacked([batch])
        assert (first != second).all()
        assert Y[second, label].all()
        assert_array_equal(Y[first, label], same)
        drawn = batch.labels < Y.shape[1]
        assert Y[batch.documents[drawn], batch.labels[drawn]].all()
        assert not Y[batch.documents[~drawn]].any()
        assert drawn.all() or per_document is not None  # those drawn by themselves have labels


@pytest.mark.parametrize("per_document", [4, None])
def test_documents_of_a_dissimilar_pair_lack_the_label_that_the_other_was_drawn_for(per_document):
    Y = long_tailed()
    for batch in draw(Y, per_document=per_document):
        for first, second in zip(batch.first[~batch.same], batch.second[~batch.same], strict=True):
            for i, j in ((first, second), (second, first)):
                if batch.labels[j] < Y.shape[1]:
                    assert not Y[batch.documents[i], batch.labels[j]]


@pytest.mark.parametrize("sampling, unit", [("triplet", 3), ("pair", 2)])
@pytest.mark.parametrize("n_triplets", [1, 300, 1000, 1001])
@pytest.mark.parametrize("per_document", [1, 8, None])
def test_the_numbers_are_exact(sampling, unit, n_triplets, per_document):
    batches = draw(long_tailed(), n_triplets, per_document=per_document, sampling=sampling)
    *_, same = unpacked(batches)
    n_units = -(-n_triplets // unit)
    assert len(same) == unit * n_units
    assert same.sum() == n_units


@pytest.mark.parametrize("per_document", [4, None])
def test_a_dissimilar_pair_is_there_both_ways(per_document):
    Y = np.eye(6, dtype=bool).repeat(4, axis=0)
    for batch in draw(Y, 600, per_document=per_document):
        pairs = list(zip(batch.first[~batch.same], batch.second[~batch.same], strict=True))
        assert sorted(pairs) == sorted((j, i) for i, j in pairs)


@pytest.mark.parametrize("per_document", [4, None])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_label_appears_equally_often(sampling, per_document):
    Y = long_tailed(n_labels=20)
    Y[:, 7] = False
    batches = draw(Y, 12_000, sampling=sampling, per_document=per_document)
    _, _, label, same = unpacked(batches)
    counts = Y.sum(axis=0)
    similar = np.bincount(label[same], minlength=20)
    assert not similar[counts < 2].any()
    fair = same.sum() / (counts >= 2).sum()
    assert similar[counts >= 2].min() > 0.7 * fair
    assert similar.max() < 1.4 * fair
    assert np.bincount(label, minlength=20)[counts > 0].min() > 0.3 * fair


@pytest.mark.parametrize("per_document", [4, None])
def test_every_label_appears_even_in_few_triplets(per_document):
    Y = np.eye(50, dtype=bool).repeat(3, axis=0)
    _, _, label, _ = unpacked(draw(Y, 150, batch_size=8, per_document=per_document))
    assert len(np.unique(label)) == 50


def test_a_label_uses_all_its_documents():
    Y = long_tailed(60)
    _, second, label, _ = unpacked(draw(Y, 30_000))
    for c in range(Y.shape[1]):
        used = np.unique(second[label == c])
        assert_array_equal(used, np.flatnonzero(Y[:, c]))


def test_a_document_drawn_by_itself_is_any_of_its_labels():
    counts = np.array([40, 10, 2])
    Y = np.eye(3, dtype=bool).repeat(counts, axis=0)
    first, second, label, same = unpacked(draw(Y, 36_000, per_document=None))
    for documents, drawn_for in ((second, label), (first[same], label[same])):
        found = np.bincount(documents, minlength=52) / len(documents)
        expected = [np.mean(drawn_for == c) / counts[c] for c in range(3)]
        np.testing.assert_allclose(found, np.repeat(expected, counts), rtol=0.5)


@pytest.mark.parametrize("per_document", [1, 8, None])
def test_numbers_of_triplets_of_labels_down_to_one_document(per_document):
    counts = np.array([195, 86, 40, 20, 11, 5, 3, 2, 1, 1])
    Y = np.eye(len(counts), dtype=bool).repeat(counts, axis=0)
    _, _, label, same = unpacked(draw(Y, 6000, per_document=per_document))
    assert (same.sum(), (~same).sum()) == (2000, 4000)
    assert not np.isin(label[same], [8, 9]).any() and np.isin([8, 9], label[~same]).all()


def test_documents_are_shared_by_triplets():
    Y = long_tailed(2000)
    for per_document in (1, 4, 12):
        batches = draw(Y, 5000, batch_size=64, per_document=per_document)
        n_documents = sum(len(batch.documents) for batch in batches)
        assert 0.6 * per_document < 5000 / n_documents < 2 * per_document


@pytest.mark.parametrize("per_document", [4, None])
def test_the_same_seed_gives_the_same_triplets(per_document):
    once, again, other = (
        draw(long_tailed(), per_document=per_document, seed=seed) for seed in (0, 0, 1)
    )
    for batch, twin in zip(once, again, strict=True):
        for array, copy in zip(batch, twin, strict=True):
            assert_array_equal(array, copy)
    assert any(not np.array_equal(a.first, b.first) for a, b in zip(once, other, strict=True))


@pytest.mark.parametrize("per_document", [4, None])
def test_labels_of_one_document_stand_on_the_dissimilar_side_only(per_document):
    *_, same = unpacked(draw(np.eye(5, dtype=bool), 30, per_document=per_document))
    assert len(same) == 20 and not same.any()


def test_a_label_of_all_documents_gives_similar_pairs_only():
    *_, same = unpacked(draw(np.ones((6, 1), dtype=bool), 30))
    assert len(same) == 10 and same.all()
    Y = np.hstack([np.ones((20, 1), dtype=bool), np.eye(4, dtype=bool).repeat(5, axis=0)])
    _, _, label, same = unpacked(draw(Y, 600))
    assert same[label == 0].all() and not same.all()
    assert len(same) == 600


def test_documents_without_labels_oppose_a_single_label():
    Y = np.arange(20)[:, None] < 8
    first, second, label, same = unpacked(draw(Y, 30))
    assert len(same) == 30 and same.sum() == 10
    assert (first[~same] >= 8).all() and (second < 8).all()


def test_documents_without_labels_are_in_no_triplet_drawn_by_itself():
    Y = np.arange(20)[:, None] < np.array([8, 4])
    first, second, *_ = unpacked(draw(Y, 30, per_document=None))
    assert first.max() < 8 and second.max() < 8


@pytest.mark.parametrize("per_document", [4, None])
@pytest.mark.parametrize("Y", [np.ones((1, 1)), np.ones((1, 3)), np.zeros((4, 2))])
def test_where_there_are_no_pairs_there_are_no_triplets(Y, per_document):
    assert draw(Y, per_document=per_document) == []
