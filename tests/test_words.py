"""Names of features, and the largest weights."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from skmltc._words import largest, names_of_features, row_of, top_weights


def test_features_without_names_are_numbered():
    assert names_of_features(None, 3).tolist() == ["x0", "x1", "x2"]
    assert names_of_features(None, 2, known=["rice", "milk"]).tolist() == ["rice", "milk"]


def test_names_are_given_as_a_list_or_by_a_vectorizer():
    vectorizer = CountVectorizer().fit(["milk rice"])
    for given in (["milk", "rice"], np.array(["milk", "rice"]), vectorizer):
        assert names_of_features(given, 2, known=["a", "b"]).tolist() == ["milk", "rice"]


@pytest.mark.parametrize("given", [["milk"], [["milk", "rice"]], "milk"])
def test_names_that_are_not_as_many_as_features_are_refused(given):
    with pytest.raises(ValueError, match="feature_names must be 2 names, one per feature, or a fi"):
        names_of_features(given, 2)


def test_a_class_of_vectorizers_has_no_names():
    with pytest.raises(ValueError, match="feature_names must be names or a fitted vectorizer. Got"):
        names_of_features(CountVectorizer, 2)


@pytest.mark.parametrize("form", [np.array, sparse.csr_array, sparse.csc_matrix])
def test_a_row_of_a_matrix_is_a_dense_array(form):
    W = np.array([[0, 2.0, 0], [1, 0, 3]])
    found = row_of(form(W), 1)
    assert type(found) is np.ndarray
    assert_array_equal(found, W[1])


def test_the_largest_come_first_and_of_equal_ones_the_earlier():
    values = np.array([1.0, 3, -4, 3, 2])
    assert largest(values, 3).tolist() == [1, 3, 4]
    assert largest(values, 9).tolist() == [1, 3, 4, 0, 2]


def test_features_of_the_largest_weights_make_a_table():
    names = np.array(list("abc"), dtype=object)
    table = top_weights(np.array([-5.0, 2, 3]), names, 2)
    assert {name: column.tolist() for name, column in table.items()} == {
        "feature": ["c", "b"],
        "weight": [3, 2],
    }
    with pytest.raises(ValueError, match="k must be a whole number, at least 1"):
        top_weights(np.zeros(3), names, 0)
