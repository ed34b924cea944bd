"""Rows that two matrices share, against loops; rows of arrays that are mapped from files."""

import gc
import tracemalloc

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmltc import BalancedLossClassifier, HeadToTailClassifier, TReaderXMLClassifier
from skmltc._rows import is_among, is_mapped, places_among, row_blocks, rows_of, stack_rows
from skmltc.encoders import BagEncoder, WordEmbedding

FORMS = {"dense": np.asarray, "csr": sparse.csr_array, "matrix": sparse.csr_matrix}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("other_form", FORMS)
def test_rows_are_found_as_by_loops(form, other_form):
    rng = np.random.RandomState(0)
    rows = rng.randint(-1, 2, size=(60, 3)).astype(np.float32)
    others = rng.randint(-1, 2, size=(8, 3)).astype(np.float32)
    expected = [any((row == other).all() for other in others) for row in rows]
    assert 0 < sum(expected) < 60
    assert_array_equal(is_among(FORMS[form](rows), FORMS[other_form](others)), expected)


def test_the_place_of_a_row_is_that_of_the_first_like_it():
    rows, others = np.array([[2.0], [1.0], [3.0]]), np.array([[1.0], [2.0], [1.0]])
    assert_array_equal(places_among(rows, others), [1, 0, -1])
    assert_array_equal(places_among(sparse.csr_array(rows), others), [1, 0, -1])


def test_dense_rows_may_differ_by_rounding():
    rng = np.random.RandomState(0)
    others = rng.normal(size=(300, 40)).astype(np.float32)
    others[:, :3] = 0.0, 1.0, 1e3
    others[:, 3] += 2e3
    rows = others[:100] * (1 + rng.uniform(-1e-7, 1e-7, size=(100, 40))).astype(np.float32)
    assert (rows != others[:100]).any(axis=1).all()
    for size in (1e-20, 1.0, 1e12):
        size = np.float32(size)
        assert_array_equal(places_among(rows * size, others * size), np.arange(100))
        assert is_among(others * size, rows[:1] * size).sum() == 1
    rows[:, 5] += 0.01
    assert not is_among(rows, others).any()
    assert not is_among(np.array([[1000, 1001]]), np.array([[1000, 1002]])).any()


def test_a_row_is_known_however_its_zeros_and_columns_are_stored():
    plain = sparse.csr_array(np.array([[0, 2, 3.0]]))
    odd = sparse.csr_array(([3.0, 0.0, 2.0], [2, 0, 1], [0, 3]), shape=(1, 3))
    before = odd.data.copy()
    assert is_among(plain, odd).all() and is_among(odd, plain).all()
    assert_array_equal(odd.data, before)
    assert is_among(np.array([[0.0, 1.0]]), np.array([[-0.0, 1.0]])).all()
    assert not is_among(np.ones((1, 2)), np.ones((0, 2))).any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("other_form", FORMS)
def test_rows_are_stacked_in_the_form_of_the_first(form, other_form):
    first, second = np.eye(2, 3), np.ones((1, 3))
    stacked = stack_rows([FORMS[form](first), FORMS[other_form](second)])
    assert isinstance(stacked, np.ndarray if form == "dense" else sparse.csr_array)
    stacked = stacked.toarray() if sparse.issparse(stacked) else stacked
    assert_array_equal(stacked, np.vstack([first, second]))


def mapped(X, folder):
    """The array, mapped from a file; of a CSR matrix its three arrays are."""
    joblib.dump(X, folder / "X.joblib")
    return joblib.load(folder / "X.joblib", mmap_mode="r")


def test_blocks_of_rows_are_all_rows_once():
    X = np.empty((2500, 1000), dtype=np.int8)
    blocks = [np.arange(2500)[block] for block in row_blocks(X)]
    assert_array_equal(np.concatenate(blocks), np.arange(2500))
    assert [len(block) for block in blocks] == [1048, 1048, 404]
    assert row_blocks(X[:0]) == row_blocks(X[:0, :0]) == []


def test_what_is_mapped_from_a_file_is_known(tmp_path):
    X = mapped(np.ones((4, 3)), tmp_path)
    assert is_mapped(X)
    assert is_mapped(np.asarray(X)[1:].T)
    assert not is_mapped(X[[1, 2]])
    assert not is_mapped(X + 1)
    assert not is_mapped(np.ones(3)[1:])
    assert not is_mapped(sparse.eye_array(3))


@pytest.mark.parametrize("rows", [[5, 2, 2], np.arange(6) > 3, slice(1, 4)])
def test_rows_of_a_map_are_a_map(rows, tmp_path):
    X = np.arange(18, dtype=np.int32).reshape(6, 3)
    part = rows_of(np.asarray(mapped(X, tmp_path)), rows)
    assert is_mapped(part)
    assert part.dtype == X.dtype
    assert_array_equal(part, X[rows])


def test_other_rows_are_copied(tmp_path):
    X = np.arange(18, dtype=np.int32).reshape(6, 3)
    assert not is_mapped(rows_of(X, [1, 2]))
    assert rows_of(mapped(X, tmp_path), np.zeros(6, dtype=bool)).shape == (0, 3)
    assert_array_equal(rows_of(sparse.csr_array(X), [4, 1]).toarray(), X[[4, 1]])


def short_texts(n_samples, length):
    """Token ids of texts of up to ten words in wide rows, and whether they hold each of five."""
    rng = np.random.RandomState(0)
    X = np.zeros((n_samples, length), dtype=np.int32)
    X[:, :10] = rng.randint(2, 30, (n_samples, 10)) * (np.arange(10) < rng.randint(1, 11))
    Y = np.stack([(X[:, :10] == word).any(axis=1) for word in range(2, 7)], axis=1)
    return X, sparse.csr_array(Y.astype(np.float32))


def traced(fit):
    """The most bytes that were used at a time."""
    gc.collect()
    tracemalloc.start()
    try:
        fit()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"early_stopping": True}, {"early_stopping": False}], ids=str)
def test_a_network_trains_on_maps_without_a_copy_in_memory(options, tmp_path):
    """With a validation part and with folds; 24 MB of token ids, 0.6 MB of labels."""
    X, y = short_texts(3000, 2000)
    (tmp_path / "y").mkdir()
    on_disk = mapped(X, tmp_path), mapped(y, tmp_path / "y")
    encoder = WordEmbedding(embedding_dim=4, embeddings="random")
    options = options | {"max_epochs": 1, "batch_size": 250, "random_state": 0}
    model = BalancedLossClassifier(encoder=encoder, **options)
    model.fit(X[:300], y[:300])  # loads what torch loads with the first network
    assert traced(lambda: model.fit(*on_disk)) < 0.7 * X.nbytes
    found = model.predict(on_disk[0][:200])
    assert_array_equal(found.toarray(), model.fit(X, y).predict(X[:200]).toarray())


@pytest.mark.parametrize(
    "kind", [BalancedLossClassifier, HeadToTailClassifier, TReaderXMLClassifier]
)
@pytest.mark.parametrize("encoder", [WordEmbedding(4), BagEncoder(hidden_dims=(4,))], ids=repr)
def test_estimators_learn_from_maps_what_they_learn_from_arrays(kind, encoder, tmp_path):
    X, y = short_texts(200, 12)
    X = X if isinstance(encoder, WordEmbedding) else X.astype(np.float32)
    (tmp_path / "y").mkdir()
    model = kind(encoder=encoder, max_epochs=2, random_state=0)
    scores = model.fit(X, y).decision_function(X)
    maps = mapped(X, tmp_path), mapped(y, tmp_path / "y")
    assert_array_equal(model.fit(*maps).decision_function(maps[0]), scores)
