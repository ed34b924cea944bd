"""The shared checks: what they accept, what they refuse, and in which words."""

import math
import sys
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skmltc import (
    BalancedLossClassifier,
    HeadToTailClassifier,
    LongTailClassifier,
    TReaderXMLClassifier,
)
from skmltc._validation import (
    check_choice,
    check_columns,
    check_consistent_rows,
    check_label_counts,
    check_label_matrix,
    check_number,
    check_sample_weight,
    known_labels,
    must_be,
)
from skmltc.decision import MultilabelThresholdClassifierCV, MultilabelVotingClassifier
from skmltc.encoders import BagEncoder
from skmltc.head_to_tail import AdamTransfer
from skmltc.labels import LabelWarning, parents_from_edges
from skmltc.losses import FocalLoss
from skmltc.neighbors import CosineNeighbors, MultilabelKNeighborsClassifier

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

    @pytest.mark.parametrize("value", [["bce"], {}, np.array(["bce", "focal"])])
    @pytest.mark.parametrize("choices", [("bce", "focal"), {"bce": 1, "focal": 2}])
    def test_values_without_a_hash_are_no_choice(self, value, choices):
        with pytest.raises(ValueError, match="loss must be one of 'bce', 'focal'. Got "):
            check_choice("loss", value, choices)


@pytest.mark.parametrize(
    "model, name, kind",
    [
        (BalancedLossClassifier(), "loss", FocalLoss),
        (TReaderXMLClassifier(), "retrieval", CosineNeighbors),
        (MultilabelKNeighborsClassifier(), "neighbors", CosineNeighbors),
        (HeadToTailClassifier(), "transfer", AdamTransfer),
        (LongTailClassifier(), "estimators", CosineNeighbors),
        (MultilabelThresholdClassifierCV(None), "estimator", BalancedLossClassifier),
        (MultilabelVotingClassifier([]), "weights", list),
    ],
)
def test_a_class_in_place_of_an_object_is_refused_by_all_estimators(model, name, kind):
    match = rf"{name} must be an object. Got .* Give an object of the class, {kind.__name__}\("
    with pytest.raises(ValueError, match=match):
        clone(model).set_params(**{name: kind}).fit(np.eye(4), np.eye(4))


@pytest.mark.parametrize("columns", [{}, [{}], ["a"], [[0]], 2.5, None])
def test_what_is_no_list_of_columns_is_refused(columns):
    with pytest.raises(ValueError, match="labels must be a mask of 3 labels, or different column"):
        check_columns("labels", columns, 3)


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


class TestNumbers:
    @pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.int64(1)])
    def test_returns_the_value(self, value):
        assert check_number("a", value, 0, 1) is value

    @pytest.mark.parametrize(
        "value", [-1e-9, 1.1, math.nan, math.inf, "0", None, True, [0], 0.5 + 0j]
    )
    def test_refuses_others(self, value):
        with pytest.raises(ValueError, match=r"a must be a finite number, from 0 to 1. Got "):
            check_number("a", value, 0, 1)

    @pytest.mark.parametrize("value", [2.0, np.float64(2), np.True_, math.inf, "2"])
    def test_whole_numbers_are_integers(self, value):
        with pytest.raises(ValueError, match=r"a must be a whole number, at least 1. Got .* So."):
            check_number("a", value, 1, whole=True, remedy="So.")
        assert check_number("a", np.int8(2), 1, whole=True) == 2

    def test_without_limits_infinity_is_refused(self):
        assert check_number("a", -1e300) == -1e300
        with pytest.raises(ValueError, match="a must be a finite number. Got inf instead"):
            check_number("a", math.inf)


def test_counts_of_another_number_of_labels_are_refused():
    expected = r"n must be an array of shape \(2,\), one number per label. Got shape \(3,\) inst"
    with pytest.raises(ValueError, match=expected):
        check_label_counts([1, 2, 3], 2, name="n")
    assert check_label_counts([True, False], 2).tolist() == [1, 0]
    assert check_label_counts([]).shape == (0,)


def test_rows_of_another_number_than_those_of_X_are_refused():
    check_consistent_rows(sparse.csr_array((3, 7)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="y_val must be of 3 rows, as X. Got 2 instead"):
        check_consistent_rows(np.zeros((3, 7)), sparse.csr_array((2, 2)), name="y_val")


# ---------------------------------------------------------------------------------- warnings


def lines_of(caught):
    return {(warning.filename, warning.lineno) for warning in caught}


def test_a_warning_is_of_the_line_outside_the_package():
    with pytest.warns() as caught:
        line = sys._getframe().f_lineno + 1
        parents_from_edges(["cat"], [("dog", "pet")])
    assert lines_of(caught) == {(__file__, line)}
    assert LabelWarning in [warning.category for warning in caught]


@pytest.mark.parametrize(
    "model",
    [
        BalancedLossClassifier(weight_decay=0.1, threshold=0.5),
        TReaderXMLClassifier(max_epochs=1, threshold=0.5),  # its fit takes more than others
    ],
)
def test_so_is_one_that_comes_from_deep_in_the_package(model):
    X, y = np.eye(12), np.eye(12, 4, dtype=int)
    y[:, 2] = 0
    with pytest.warns() as caught:
        line = sys._getframe().f_lineno + 1
        model.fit(X, y)
    assert lines_of(caught) == {(__file__, line)}
    assert LabelWarning in [warning.category for warning in caught]


@pytest.mark.parametrize(
    "options",
    [
        {},  # folds choose the weight decay, and others the decision
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "threshold": 0.5},
        {"encoder": BagEncoder(hidden_dims=(4,)), "max_epochs": 1, "early_stopping": False},
    ],
    ids=str,
)
def test_what_a_loss_says_of_labels_is_said_once_per_fit_not_per_fold(options):
    X, y = np.eye(24), np.tile(np.eye(4, dtype=int), (6, 1))
    y[:, 0] = 1
    model = BalancedLossClassifier(loss="weighted_bce", random_state=0, n_jobs=1, **options)
    with pytest.warns(LabelWarning, match="weighted_bce gives no weight") as caught:
        line = sys._getframe().f_lineno + 1
        model.fit(X, y)
    said = [one for one in caught if "weighted_bce" in str(one.message)]
    assert [(one.filename, one.lineno) for one in said] == [(__file__, line)]


def test_what_is_known_of_the_labels_is_not_said_again():
    with warnings.catch_warnings(), known_labels():
        warnings.simplefilter("error")
        parents_from_edges(["cat"], [("dog", "pet")])
    with pytest.warns(LabelWarning):
        parents_from_edges(["cat"], [("dog", "pet")])


def test_a_warning_by_way_of_another_package_is_of_the_users_line():
    model = Pipeline([("model", BalancedLossClassifier(lr=0.1, weight_decay=0.1))])
    with pytest.warns() as caught:
        line = sys._getframe().f_lineno + 1
        model.fit(np.eye(12), np.eye(12, 2, dtype=int))
    assert lines_of(caught) == {(__file__, line)}


def test_a_warning_is_shown_once_per_line_of_the_user():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            parents_from_edges(["cat"], [("dog", "pet")])
        parents_from_edges(["cat"], [("dog", "pet")])
    assert len(caught) == 2


def test_labels_that_nobody_can_write_to_are_shared():
    labels = sparse.csr_array(np.eye(3, dtype=np.float32))
    for array in (labels.data, labels.indices, labels.indptr):
        array.flags.writeable = False
    assert np.shares_memory(check_label_matrix(labels).data, labels.data)


@pytest.mark.parametrize("fault", ["stored zero", "twice", "order", "writeable"])
def test_other_labels_are_copied_and_put_in_order(fault):
    data = np.array([0.0 if fault == "stored zero" else 1.0, 1.0], dtype=np.float32)
    columns = {"twice": [1, 1], "order": [2, 1]}.get(fault, [1, 2])
    labels = sparse.csr_array((data, np.array(columns), np.array([0, 2])), shape=(1, 3))
    labels.data.flags.writeable = labels.indices.flags.writeable = fault == "writeable"
    if fault == "twice":
        with pytest.raises(ValueError, match="zeros and ones"):
            check_label_matrix(labels)
        return
    found = check_label_matrix(labels)
    assert not np.shares_memory(found.data, labels.data)
    assert found.indices.tolist() == ([2] if fault == "stored zero" else [1, 2])
    assert labels.data.tolist() == data.tolist()


def test_weights_that_are_shares_become_counts():
    """Half a document, of which others count, is one where there are no more."""
    weights = np.array([0.0, 0.2, 0.6, 0.1])
    expected = np.array([0, 2, 6, 1]) / 3
    for scale in (1.0, 1e-9, 1e-310):
        assert_allclose(check_sample_weight(scale * weights, 4), expected, rtol=1e-6)
    assert_array_equal(check_sample_weight([0, 0.5, 3, 1], 4), [0, 0.5, 3, 1])
