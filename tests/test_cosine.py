"""Nearest rows against loops over pairs, and against scikit-learn's brute force."""

import pickle
import tracemalloc

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestNeighbors

from skmltc import _cosine
from skmltc.neighbors import CosineNeighbors

UNHURRIED = settings(deadline=None, max_examples=50)
FORMS = pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])


def rows(n, n_features=12, seed=0):
    """Rows of whole numbers, many of them zero: ties, duplicates and rows of zeros occur."""
    return np.random.default_rng(seed).integers(-1, 2, (n, n_features)).astype(np.float32)


def loop_neighbors(X, Q, k, exclude_duplicates=False):
    """Cosine distances and row numbers, pair by pair; Q is None for X itself."""
    found = []
    for i, query in enumerate(X if Q is None else Q):
        pairs = []
        for j, row in enumerate(X):
            if (Q is None and i == j) or (exclude_duplicates and (query == row).all()):
                continue
            norms = np.linalg.norm(query) * np.linalg.norm(row)
            cosine = float(query @ row) / norms if norms else 0.0
            pairs.append((round(1 - cosine, 6), j))
        pairs = sorted(pairs)[:k]
        found.append(pairs + [(np.inf, -1)] * (k - len(pairs)))
    distances, indices = np.array(found, dtype=float).reshape(len(found), k, 2).transpose(2, 0, 1)
    return distances, indices.astype(int)


def find(X, Q=None, k=3, **parameters):
    return CosineNeighbors(k, device="cpu", **parameters).fit(X).kneighbors(Q)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks that a few rows fill, so that everything is found in several of them."""
    for name, size in {"_QUERIES": 3, "_ROWS": 8, "_CHUNK": 4, "_PAIRS": 40}.items():
        monkeypatch.setattr(_cosine, name, size)


class TestKneighbors:
    @UNHURRIED
    @given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 99), st.booleans(), st.booleans())
    def test_equals_the_loop(self, n, n_features, seed, exclude_duplicates, itself):
        X = rows(n, n_features, seed).astype(int)
        X = X * (X**2).sum(axis=1, keepdims=True).clip(1)  # equal directions, other lengths
        Q = None if itself else np.vstack([rows(5, n_features, seed + 1), X[:3]])
        k = min(3, n - 1)
        distances, indices = loop_neighbors(X, Q, k, exclude_duplicates)
        for form in (np.asarray, sparse.csr_array):
            given = None if Q is None else form(Q)
            found = find(form(X), given, k, exclude_duplicates=exclude_duplicates)
            np.testing.assert_allclose(found[0], distances, atol=2e-6)
            assert ((found[1] < 0) == (indices < 0)).all()

    @FORMS
    def test_equally_near_rows_come_by_number(self, form):
        X = np.tile(np.eye(4), (30, 1))
        distances, indices = find(form(X), form(X[:4]), k=5)
        np.testing.assert_array_equal(indices, np.arange(4)[:, None] + 4 * np.arange(5))
        np.testing.assert_array_equal(distances, 0)
        X = np.random.default_rng(0).normal(size=(6, 33))[np.arange(200) % 6]
        _, indices = find(form(X), k=4)
        expected = [[j for j in range(200) if j % 6 == i % 6 and j != i][:4] for i in range(200)]
        np.testing.assert_array_equal(indices, expected)

    @FORMS
    def test_rows_without_a_common_word_come_by_number_behind_the_others(self, form):
        X = np.eye(4)[np.arange(300) % 3]
        X[[150, 290]] = [0, 0, 1, 1]
        distances, indices = find(form(X), form(np.eye(4)[[3]]), k=5)
        np.testing.assert_array_equal(indices, [[150, 290, 0, 1, 2]])
        np.testing.assert_allclose(distances[0], 1 - np.sqrt([0.5, 0.5, 0, 0, 0]), atol=1e-6)

    @FORMS
    @UNHURRIED
    @given(st.integers(20, 300), st.integers(2, 40), st.integers(0, 99))
    def test_equals_scikit_learn(self, form, n, n_features, seed):
        generator = np.random.default_rng(seed)
        X = generator.normal(size=(n, n_features)) * (generator.random((n, n_features)) < 0.6)
        Q = generator.normal(size=(7, n_features))
        reference = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute")
        expected, _ = reference.fit(form(X)).kneighbors(form(Q))
        distances, indices = find(form(X), form(Q), k=5)
        np.testing.assert_allclose(distances, expected, atol=1e-6)
        norms = np.linalg.norm(X, axis=1).clip(1e-12)[indices] * np.linalg.norm(Q, axis=1)[:, None]
        cosines = np.einsum("qkf,qf->qk", X[indices], Q) / norms
        np.testing.assert_allclose(1 - cosines, distances, atol=1e-6)

    @FORMS
    def test_zero_rows_are_at_distance_one(self, form):
        X = np.vstack([np.eye(3), np.zeros((2, 3)), -np.eye(3)])
        distances, indices = find(form(X), form(np.zeros((1, 3))), k=3)
        assert distances.tolist() == [[1, 1, 1]] and indices.tolist() == [[0, 1, 2]]
        distances, indices = find(form(X), k=7)
        assert distances[0].tolist() == [1, 1, 1, 1, 1, 1, 2]
        assert indices[0].tolist() == [1, 2, 3, 4, 6, 7, 5]

    @FORMS
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize("exclude_duplicates", [False, True])
    def test_the_scale_of_a_row_changes_nothing(self, form, dtype, exclude_duplicates):
        X = np.random.default_rng(0).normal(size=(30, 9)).astype("f4") * (rows(30, 9) > 0)
        X[20:25] = X[:5]
        powers = [-100, 0, 100] if dtype == "f4" else [-1000, 0, 1000]
        scales = np.ldexp(1.0, np.resize(powers, 20))[np.r_[:20, :5, 5:10], None]
        scaled = (X * scales).astype(dtype)
        assert np.isfinite(scaled).all() and (scaled == 0).sum() == (X == 0).sum()
        expected = find(form(X), k=6, exclude_duplicates=exclude_duplicates)
        found = find(form(scaled), k=6, exclude_duplicates=exclude_duplicates)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(find(form(X), form(scaled)), find(form(X), form(X)))

    @FORMS
    def test_rows_that_differ_by_their_length_alone_are_no_duplicates(self, form):
        X = np.array([[1.0, 3.0], [2.0, 6.0], [0.25, 0.75], [1.0, 3.0]])
        _, indices = find(form(X), k=3, exclude_duplicates=True)
        assert indices.tolist() == [[1, 2, -1], [0, 2, 3], [0, 1, 3], [1, 2, -1]]

    @FORMS
    def test_duplicates_are_left_out_when_asked(self, form):
        X = np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0], [2.0, 4.0], [-0.0, 1.0], [1.0, 2.0]])
        distances, indices = find(form(X), k=5, exclude_duplicates=True)
        assert indices[0].tolist() == indices[5].tolist() == [3, 1, 4, -1, -1]
        assert indices[1].tolist() == [0, 2, 3, 5, -1]
        assert (np.isinf(distances) == (indices < 0)).all()
        _, indices = find(form(X), form(np.array([[1, 2], [2, 1]])), k=4, exclude_duplicates=True)
        assert indices.tolist() == [[3, 1, 4, -1], [0, 2, 3, 5]]
        assert find(form(X), k=3)[1][0].tolist() == [2, 3, 5]

    @FORMS
    @pytest.mark.parametrize("exclude_duplicates", [False, True])
    def test_blocks_change_nothing(self, form, exclude_duplicates, request):
        X = np.random.default_rng(0).normal(size=(90, 37)).astype(np.float32)
        X[40:60] = X[:20]
        X[[3, 70]] = 0
        model = CosineNeighbors(4, exclude_duplicates=exclude_duplicates, device="cpu")
        model.fit(form(X))
        expected = *model.kneighbors(), *model.kneighbors(form(X[::-1]))
        one_by_one = [model.kneighbors(form(X[[i]])) for i in range(89, -1, -1)]
        request.getfixturevalue("small_blocks")
        found = *model.kneighbors(), *model.kneighbors(form(X[::-1]))
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        for ours, theirs in zip(zip(*one_by_one, strict=True), expected[2:], strict=True):
            np.testing.assert_array_equal(np.concatenate(ours), theirs)

    @FORMS
    def test_more_neighbours_than_a_block_has_rows(self, form, small_blocks):
        X = rows(50)
        distances, indices = find(form(X), k=49)
        assert (
            np.sort(indices, axis=1) == [[j for j in range(50) if j != i] for i in range(50)]
        ).all()
        np.testing.assert_allclose(distances, loop_neighbors(X, None, 49)[0], atol=2e-6)

    @FORMS
    def test_coarse_products_change_nothing(self, form, monkeypatch):
        X = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
        expected = find(form(X))
        kind = _cosine._DenseRows if form is np.asarray else _cosine._SparseRows
        exact = kind.products
        monkeypatch.setattr(kind, "products", lambda *a: exact(*a).bfloat16().float())
        for ours, theirs in zip(find(form(X)), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    def test_queries_may_be_of_the_other_form(self):
        X, Q = rows(30), rows(5, seed=1)
        for form, other in [(np.asarray, sparse.csc_matrix), (sparse.csr_array, np.asarray)]:
            for ours, theirs in zip(find(form(X), other(Q)), find(X, Q), strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-12)

    def test_stored_zeros_and_repeats_of_a_sparse_matrix_count_as_what_they_add_up_to(self):
        X = sparse.csr_array(
            (np.array([1.0, 1, 2, 0, 3]), np.array([1, 1, 0, 1, 0]), np.array([0, 2, 4, 5])),
            shape=(3, 2),
        )
        before = X.copy()
        expected = find(X.toarray(), k=2)
        for ours, theirs in zip(find(X, k=2), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert (X.data == before.data).all() and (X.indices == before.indices).all()

    @pytest.mark.gpu
    @FORMS
    @pytest.mark.parametrize("precision", ["highest", "high"])
    def test_gpu_equals_cpu(self, form, precision, request):
        request.addfinalizer(lambda: torch.set_float32_matmul_precision("highest"))
        X = np.random.default_rng(0).normal(size=(3000, 40)) * (rows(3000, 40) > -1)
        model = CosineNeighbors(device="cpu").fit(form(X))
        expected = model.kneighbors()
        torch.set_float32_matmul_precision(precision)
        for ours, theirs in zip(
            model.set_params(device="auto").kneighbors(), expected, strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


class TestFewRows:
    @FORMS
    def test_too_many_neighbours_are_warned_of(self, form):
        model = CosineNeighbors(5, device="cpu").fit(form(rows(4)))
        with pytest.warns(UserWarning, match="at most 3, .* Got 5 instead: all 3 are used"):
            distances, indices = model.kneighbors()
        assert distances.shape == indices.shape == (4, 3)
        with pytest.warns(UserWarning, match="at most 4, .* Got 9 instead"):
            assert model.kneighbors(rows(2), n_neighbors=9, return_distance=False).shape == (2, 4)

    def test_a_single_row_has_no_neighbours(self):
        model = CosineNeighbors(1).fit([[1.0, 2.0]])
        with pytest.warns(UserWarning, match="at most 0"):
            distances, indices = model.kneighbors()
        assert distances.shape == indices.shape == (1, 0) and indices.dtype == np.int64
        assert model.kneighbors([[1.0, 0.0]])[1].tolist() == [[0]]


class TestChecks:
    @pytest.mark.parametrize("device", ["gpu", None, 1.5])
    def test_the_device_is_one_of_torch(self, device):
        with pytest.raises(ValueError, match=f"device must be 'auto' or a .* Got {device!r}"):
            CosineNeighbors(device=device).fit(np.eye(3))

    @pytest.mark.parametrize("n_neighbors", [0, -1, 2.0, True, None, "5"])
    def test_n_neighbors_is_a_positive_integer(self, n_neighbors):
        message = f"n_neighbors must be a positive integer. Got {n_neighbors!r} instead."
        with pytest.raises(ValueError, match=message):
            CosineNeighbors(n_neighbors).fit(rows(4))
        if n_neighbors is not None:
            with pytest.raises(ValueError, match=message):
                CosineNeighbors().fit(rows(9)).kneighbors(n_neighbors=n_neighbors)

    @pytest.mark.parametrize(
        "X", [np.zeros((0, 3)), np.zeros((3, 0)), sparse.csr_array((0, 3)), []]
    )
    def test_x_is_not_empty(self, X):
        message = "while a minimum of 1 is required|Expected 2D array, got 1D"
        with pytest.raises(ValueError, match=message):
            CosineNeighbors().fit(X)
        message += "|X must be a matrix of 3 columns, as in fit. Got 0"
        with pytest.raises(ValueError, match=message):
            CosineNeighbors().fit(rows(9, 3)).kneighbors(X)

    def test_x_has_the_fitted_columns(self):
        message = "X must be a matrix of 12 columns, as in fit. Got 5 instead."
        with pytest.raises(ValueError, match=message):
            CosineNeighbors().fit(rows(9)).kneighbors(rows(3, 5))

    @pytest.mark.parametrize("X", [[[np.nan, 1.0]], [1.0, 2.0], [["a", "b"]]])
    def test_x_is_a_matrix_of_numbers(self, X):
        with pytest.raises(ValueError):
            CosineNeighbors().fit(X)

    def test_not_fitted(self):
        with pytest.raises(NotFittedError):
            CosineNeighbors().kneighbors()


@FORMS
def test_clones_and_pickles(form):
    model = CosineNeighbors(3, exclude_duplicates=True, device="cpu").fit(form(rows(40)))
    assert clone(model).get_params() == {
        "n_neighbors": 3, "exclude_duplicates": True, "device": "cpu",
    }  # fmt: skip
    copy = pickle.loads(pickle.dumps(model))
    for Q in (None, form(rows(9, seed=1))):
        for ours, theirs in zip(copy.kneighbors(Q), model.kneighbors(Q), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("exclude_duplicates", [False, True])
def test_memory_does_not_grow_with_the_pairs(exclude_duplicates):
    X = np.random.default_rng(0).normal(size=(6000, 16)).astype(np.float32)
    X[:3000] = X[0]  # all pairs of these alone would be 9 million
    model = CosineNeighbors(device="cpu", exclude_duplicates=exclude_duplicates).fit(X[2900:])
    tracemalloc.start()  # of numpy; torch has one place for 256 queries
    model.kneighbors()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert _cosine._DenseRows(model._units, "cpu").buffer.shape == (256, 3104)


@FORMS
def test_rows_that_are_mapped_from_a_file_are_given_to_torch_as_copies(form, tmp_path, monkeypatch):
    """Torch warns, once per process, of arrays that cannot be written to."""
    X, tensor_of = form(rows(30)), torch.from_numpy
    fitted = CosineNeighbors(3, device="cpu").fit(X)
    joblib.dump(fitted, tmp_path / "fitted")
    mapped, given = joblib.load(tmp_path / "fitted", mmap_mode="r"), []
    monkeypatch.setattr(torch, "from_numpy", lambda one: given.append(one) or tensor_of(one))
    for ours, theirs in zip(mapped.kneighbors(X[:7]), fitted.kneighbors(X[:7]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert given and all(array.flags.writeable for array in given)
