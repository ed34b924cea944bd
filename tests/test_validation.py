"""The shared checks: what they accept, what they refuse, and in which words."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmltc._inputs import check_token_ids, input_kind, known_tokens, warn_of_counts
from skmltc._validation import check_choice, check_label_matrix, must_be

DENSE = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
CONTAINERS = [
    np.asarray,
    np.ndarray.tolist,
    lambda Y: Y.astype(bool),
    lambda Y: Y.astype(float),
    sparse.csr_matrix,
    sparse.csr_array,
    sparse.csc_array,
    sparse.coo_matrix,
    sparse.lil_array,
]


def test_must_be_is_one_sentence_each():
    error = must_be("k", "positive", 0, "Try 1.")
    assert isinstance(error, ValueError)
    assert str(error) == "k must be positive. Got 0 instead. Try 1."
    assert str(must_be("k", "positive", 0)) == "k must be positive. Got 0 instead."


class TestCheckChoice:
    def test_returns_the_value(self):
        assert check_choice("loss", "bce", ("bce", "focal")) == "bce"

    def test_guesses_what_was_meant(self):
        with pytest.raises(ValueError, match=r"loss must be one of 'bce', 'focal'.*'focall'.*Did"):
            check_choice("loss", "focall", ("bce", "focal"))

    def test_does_not_guess_wildly(self):
        with pytest.raises(ValueError, match="Got 'xyz' instead.$"):
            check_choice("loss", "xyz", ("bce", "focal"))


class TestCheckLabelMatrix:
    @pytest.mark.parametrize("container", CONTAINERS)
    def test_accepts_every_container(self, container):
        labels = check_label_matrix(container(DENSE))
        assert isinstance(labels, sparse.csr_array)
        assert labels.dtype == np.float32
        assert labels.has_canonical_format
        np.testing.assert_array_equal(labels.toarray(), DENSE)

    def test_drops_stored_zeros_and_leaves_the_input_alone(self):
        Y = sparse.csr_array((np.array([1.0, 0.0]), ([0, 1], [2, 0])), shape=(2, 3))
        labels = check_label_matrix(Y)
        labels.data[:] = 7
        assert (labels.nnz, Y.nnz) == (1, 2)
        np.testing.assert_array_equal(Y.toarray(), [[0, 0, 1], [0, 0, 0]])

    def test_sorts_columns(self):
        Y = sparse.csr_array((np.ones(2), np.array([2, 0]), np.array([0, 2])), shape=(1, 3))
        np.testing.assert_array_equal(check_label_matrix(Y).indices, [0, 2])
        np.testing.assert_array_equal(Y.indices, [2, 0])

    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
    @pytest.mark.parametrize("value", [2, -1, 0.5])
    def test_refuses_other_values(self, container, value):
        with pytest.raises(ValueError, match=f"target must be .* a value of {value:g} instead"):
            check_label_matrix(container([[1, 0], [value, 1]]), name="target")

    def test_refuses_a_label_given_twice(self):
        Y = sparse.coo_array((np.ones(2), ([0, 0], [1, 1])), shape=(1, 2))
        with pytest.raises(ValueError, match="a value of 2 instead"):
            check_label_matrix(Y)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_refuses_what_is_not_finite(self, value):
        with pytest.raises(ValueError, match="y contains"):
            check_label_matrix([[1.0, value]])

    @pytest.mark.parametrize("Y", [[1, 0, 1], [[[1]]]])
    def test_refuses_other_dimensions(self, Y):
        with pytest.raises(ValueError, match="Expected 2D array|dim 3"):
            check_label_matrix(Y)

    def test_refuses_another_shape(self):
        with pytest.raises(ValueError, match="y must have 4 rows. Got 3 instead"):
            check_label_matrix(DENSE, n_samples=4)
        with pytest.raises(ValueError, match="y must be a matrix of 2 columns.*Got 3 instead"):
            check_label_matrix(DENSE, n_labels=2)


# ------------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize(
    "X, expected",
    [
        (np.array([[3, 0]]), "tokens"),
        (np.array([[3, 0]], dtype=np.uint8), "tokens"),
        ([[3, 0], [1, 1]], "tokens"),
        (np.array([[3.0, 0.0]]), "features"),
        (np.array([[True, False]]), "features"),
        (np.array([[3, 0]], dtype=object), "features"),
        (sparse.csr_array([[3, 0]]), "features"),
        (sparse.csc_matrix([[3, 0]]), "features"),
    ],
)
def test_dense_integers_are_tokens(X, expected):
    assert input_kind(X) == expected


def test_integers_below_zero_are_features_with_a_warning():
    with pytest.warns(UserWarning, match="Got integers and -4 among them instead: they are taken"):
        assert input_kind(np.array([[3, -4]])) == "features"


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, np.float32, bool])
def test_token_ids_of_any_type(dtype):
    X = np.array([[1, 1, 0], [1, 0, 0]], dtype=dtype)
    token_ids = check_token_ids(X, "Classifier")
    assert token_ids.dtype == np.int32
    assert_array_equal(token_ids, X)


@pytest.mark.parametrize(
    "X, message",
    [
        ([[3, -1]], "Got -1 instead. Negative values in data passed to Classifier."),
        ([[3, 1.5]], "whole numbers from 0 to 2147483647. Got 1.5 instead. TokenSequence"),
        ([[3, 2.0**31]], "whole numbers from 0 to 2147483647. Got 2.14748e"),
    ],
)
def test_what_is_no_token_id(X, message):
    with pytest.raises(ValueError, match=f"X must be token ids, .*{message}"):
        check_token_ids(np.array(X), "Classifier")


def test_known_tokens_begin_each_text_and_none_is_empty():
    X = np.array([[3, 0, 2, 9], [0, 0, 5, 4], [0, 0, 0, 0], [6, 1, 7, 2]], dtype=np.int32)
    before = X.copy()
    expected = [[3, 2, 1, 0], [5, 4, 0, 0], [1, 0, 0, 0], [1, 1, 1, 2]]
    assert_array_equal(known_tokens(X, 6), expected)
    assert_array_equal(X, before)


@pytest.mark.parametrize("X", [[[3, 0, 0], [0, 0, 0], [0, 2, 1]], [[1, 2, 3]], [[0]]])
def test_padding_at_one_end_is_no_count(X):
    warn_of_counts(np.array(X))


def test_zeros_between_other_numbers_look_like_counts():
    X = np.array([[3, 0, 2, 0], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]])
    with pytest.warns(UserWarning, match="Got zeros between other numbers in 2 rows instead"):
        warn_of_counts(X)
