"""What y is, its way to label indicators and back, and any classifier's scores as a matrix."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import DataConversionWarning
from sklearn.neighbors import KNeighborsClassifier

from skmltc._targets import (
    NO_DOCUMENT,
    Target,
    count_labels,
    form_of,
    label_scores,
    warn_of_empty_labels,
)
from skmltc.labels import LabelWarning

Y = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0]])
FORMS = [
    (np.asarray, "dense", np.ndarray),
    (np.ndarray.tolist, "dense", np.ndarray),
    (sparse.csr_array, "array", sparse.csr_array),
    (sparse.coo_array, "array", sparse.csr_array),
    (sparse.lil_array, "array", sparse.csr_array),
    (sparse.csc_matrix, "matrix", sparse.csr_matrix),
]
CLASSES = [
    ([3, 1, 3, 3], "binary", [1, 3]),
    ([True, False, True, True], "binary", [False, True]),
    (["no", "yes", "no", "no"], "binary", ["no", "yes"]),
    (np.array(["b", "a", "b"], dtype=object), "binary", ["a", "b"]),
    ([1.0, 0.0, 1.0], "binary", [0.0, 1.0]),
    ([5, 2, 9, 2, 2], "multiclass", [2, 5, 9]),
    (["x", "z", "y", "x"], "multiclass", ["x", "y", "z"]),
]


def array(given):
    return given.toarray() if sparse.issparse(given) else np.asarray(given)


def object_array(rows):
    """A column of lists, as a table has it."""
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


# ----------------------------------------------------------------------------- label indicators


@pytest.mark.parametrize("given_as, form, comes_as", FORMS)
@pytest.mark.parametrize("n_labels", [1, 3])
def test_a_prediction_has_the_form_of_y(n_labels, given_as, form, comes_as):
    y = given_as(Y[:, :n_labels])
    target = Target.learn(y)
    assert form_of(y) == target.form == form
    assert target.type == "multilabel" and target.is_multilabel
    assert_array_equal(target.classes, np.arange(n_labels))
    indicators = target.indicators(y)
    assert isinstance(indicators, sparse.csr_array) and indicators.dtype == np.float32
    assert_array_equal(indicators.toarray(), Y[:, :n_labels])
    prediction = target.decode([sparse.csr_array(Y[:, :n_labels])])
    assert type(prediction) is comes_as
    assert_array_equal(array(prediction), Y[:, :n_labels])


@pytest.mark.parametrize("given_as, form, comes_as", FORMS)
def test_blocks_of_predictions_are_put_together(given_as, form, comes_as):
    target = Target.learn(given_as(Y))
    blocks = (sparse.csr_array(Y[rows]) for rows in (slice(0, 1), slice(1, 4), slice(4, 4)))
    prediction = target.decode(blocks)
    assert type(prediction) is comes_as
    assert_array_equal(array(prediction), Y)


def test_indicators_are_of_the_labels_that_were_learned():
    target = Target.learn(Y)
    with pytest.raises(ValueError, match="y_val must be a matrix of 3 columns.* Got 2 instead"):
        target.indicators(Y[:, :2], name="y_val")
    with pytest.raises(ValueError, match="y must be a label indicator matrix .* a value of 2"):
        target.indicators(2 * Y)
    assert_array_equal(target.indicators(sparse.csc_array(Y[:2])).toarray(), Y[:2])


@pytest.mark.parametrize("dtype", [int, float, bool, object])
def test_a_dense_column_of_zeros_and_ones_is_a_label(dtype):
    target = Target.learn(Y[:, [0]].astype(dtype))
    assert (target.type, target.form, target.classes.tolist()) == ("multilabel", "dense", [0])
    assert_array_equal(target.decode([target.indicators(Y[:, [0]])]), Y[:, [0]])


# ------------------------------------------------------------------------- one class per document


@pytest.mark.parametrize("y, kind, classes", CLASSES)
def test_classes_become_indicators_and_predictions_classes(y, kind, classes):
    target = Target.learn(y)
    assert (target.type, target.form, target.is_multilabel) == (kind, "dense", False)
    assert target.classes.tolist() == classes
    indicators = target.indicators(y)
    assert isinstance(indicators, sparse.csr_array) and indicators.dtype == np.float32
    shown = classes[1:] if kind == "binary" else classes
    expected = [[float(one == shown_class) for shown_class in shown] for one in y]
    assert indicators.toarray().tolist() == expected
    parts = [part.astype(np.int64) for part in (indicators[:1], indicators[1:])]
    assert target.decode(parts).tolist() == list(y)
    assert target.decode(parts).dtype == target.classes.dtype


@pytest.mark.parametrize("classes", [(1, 2), (0, 2), ("0", "1"), ("a", "b")])
def test_a_dense_column_of_classes_is_one_class_per_document_with_a_warning(classes):
    first, second = classes
    column = np.array([[second], [first], [second]])
    with pytest.warns(DataConversionWarning, match="column-vector"):
        target = Target.learn(column)
    assert (target.type, target.classes.tolist()) == ("binary", [first, second])
    assert target.indicators(column).toarray().tolist() == [[1], [0], [1]]


@pytest.mark.parametrize("y, unknown", [([1, 4, 2], 4), ([0, 1, 1], 0), ([7, 8, 3], 7)])
@pytest.mark.parametrize("learned", [[1, 2, 3], [1, 2]])
def test_a_class_that_was_not_learned_is_refused(learned, y, unknown):
    match = rf"y_val must be of the classes \[1 2.*\]. Got {unknown} instead"
    with pytest.raises(ValueError, match=match):
        Target.learn(learned).indicators(y, name="y_val")


@pytest.mark.parametrize(
    "y, message",
    [
        ([1, 1, 1], "y must be of at least 2 classes. Got 1 class instead"),
        ([0.3, 1.7, 2.2], "Unknown label type: continuous"),
        ([[1, 2], [3]], "y must be a label .* Got rows of different lengths .*MultiLabelBinarizer"),
        ([1.0, np.nan], "Input y contains NaN"),
        (
            ["b", None, "a"],
            "y must be one class .*of one type. Got NoneType and str instead. Leave",
        ),
        (np.array(["b", 1, "a"], object), "y must be one class per .* Got int and str instead"),
        ([["a"], ["b"]], "y must be a label .*one class.* Got lists of names .*MultiLabelBinari"),
        ([["a", "b"], ["b", "c"]], "Got lists of names instead. .*MultiLabelBinarizer"),
        ([{"a"}, {"b", "c"}], "Got lists of names instead. .*MultiLabelBinarizer"),
        (object_array([["a"], ["b", "c"]]), "Got lists of names instead. .*MultiLabelBinarizer"),
        (Y.astype(str), r"Got a matrix of texts instead. np.asarray\(y\).astype\(int\)"),
        (Y.astype(str).astype(object), "Got a matrix of texts instead"),
    ],
)
def test_what_is_no_target(y, message):
    with pytest.raises(ValueError, match=message):
        Target.learn(y)


# -------------------------------------------------------------------------------- counts, scores


def test_labels_are_counted():
    counts = count_labels(Target.learn(Y).indicators(np.pad(Y, ((0, 3), (0, 0)))))
    assert counts.tolist() == [2, 2, 1] and counts.dtype.kind == "i"
    assert count_labels(sparse.csr_array((4, 2), dtype=np.float32)).tolist() == [0, 0]


@pytest.mark.parametrize(
    "counts, first", [([3, 0, 1, 0], "columns 1, 3"), ([0] * 7 + [1], "columns 0, 1, 2, 3, 4, ...")]
)
def test_labels_without_documents_are_counted_and_the_first_named(counts, first):
    n_empty = counts.count(0)
    match = rf"{n_empty} of {len(counts)} labels have no training document \({first}\). They will"
    with pytest.warns(LabelWarning, match=match) as said:
        warn_of_empty_labels(np.array(counts))
    assert re.match(NO_DOCUMENT, str(said[0].message)) and said[0].filename == __file__


def test_labels_without_documents_have_the_names_that_y_gives_them():
    names = np.array(["wheat", "rye", 7], dtype=object)
    with pytest.warns(LabelWarning, match=r"document \(columns 'rye', 7\)"):
        warn_of_empty_labels(np.array([3, 0, 0]), names)


def test_labels_that_are_all_without_documents_are_refused():
    warn_of_empty_labels([1, 2])
    with pytest.raises(ValueError, match="y must be a matrix with at least one positive. Got only"):
        warn_of_empty_labels([0, 0])


class Scores:
    """A classifier that says what it was given."""

    def __init__(self, scores, classes=None):
        self.scores, self.classes_ = scores, classes

    def decision_function(self, X):
        return self.scores


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_scores_of_any_form_are_an_array(form):
    expected = np.array([[0.5, 0.0, -1.0], [0.0, 2.0, 0.25]])
    scores = label_scores(Scores(form(expected)), "decision_function", None, 3)
    assert type(scores) is np.ndarray and scores.dtype == np.float32
    assert_array_equal(scores, expected)


def test_scores_may_be_asked_for_in_double_precision():
    given = np.array([[1 - 1e-9, 1 - 1e-10]])
    assert np.ptp(label_scores(Scores(given), "decision_function", None, 2)) == 0
    assert_array_equal(label_scores(Scores(given), "decision_function", None, 2, float), given)


def test_scores_are_a_copy():
    given = np.zeros((2, 3), dtype=np.float32)
    label_scores(Scores(given), "decision_function", None, 3)[:] = 7
    assert not given.any()


@pytest.mark.parametrize(
    "given", [[0.5, -1.0], [[0.5], [-1.0]], [[0.1, 0.5], [0.9, -1.0]]], ids=["1-D", "one", "two"]
)
def test_scores_of_a_single_label_may_have_three_shapes(given):
    scores = label_scores(Scores(np.array(given)), "decision_function", None, 1)
    assert scores.tolist() == [[0.5], [-1.0]]


def test_of_a_list_of_arrays_the_columns_of_the_class_one_are_taken():
    lists = [np.array([[0.2, 0.8], [0.7, 0.3]]), np.ones((2, 1)), np.ones((2, 1))]
    lists.append(np.array([[0.6, 0.4], [0.1, 0.9]]))
    classes = [np.array([0, 1]), np.array([0]), np.array([1]), np.array([1, 0])]
    scores = label_scores(Scores(lists, classes), "decision_function", None, 4)
    assert_allclose(scores, [[0.8, 0, 1, 0.6], [0.3, 0, 1, 0.1]])


@pytest.mark.parametrize("classifier", [RandomForestClassifier(5), KNeighborsClassifier(2)])
def test_classifiers_of_several_outputs_give_one_matrix(classifier):
    rng = np.random.RandomState(0)
    X, y = rng.rand(12, 4), (rng.rand(12, 3) < 0.4).astype(int)
    y[:, 1] = 0
    classifier.fit(X, y)
    scores = label_scores(classifier, "predict_proba", X, 3)
    assert scores.shape == (12, 3) and not scores[:, 1].any()
    for label in (0, 2):
        assert_allclose(scores[:, label], classifier.predict_proba(X)[label][:, 1])


@pytest.mark.parametrize("shape", [(2, 4), (2,), (2, 3, 1)])
def test_scores_of_another_shape_are_refused(shape):
    match = r"What decision_function returns must be of shape \(n_samples, 3\). Got shape"
    with pytest.raises(ValueError, match=match):
        label_scores(Scores(np.zeros(shape)), "decision_function", None, 3)


# ------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    "y, label, column",
    [
        (Y, 2, 2),
        (Y, np.int64(0), 0),
        (["b", "a", "c"], "c", 2),
        ([5, 3, 9, 5], 5, 1),
        (["no", "yes"], "yes", 0),
        ([False, True], True, 0),
    ],
)
def test_a_label_is_found_by_its_number_or_class(y, label, column):
    assert Target.learn(y).column(label) == column


@pytest.mark.parametrize(
    "y, label, message",
    [
        (Y, 3, "label must be a column number from 0 to 2. Got 3 instead."),
        (Y, "earn", "Got 'earn' instead. Labels have names where y of fit was a data frame"),
        (Y, -1, "label must be a column number from 0 to 2"),
        (Y, True, "label must be a column number from 0 to 2. Got True"),
        (Y, 1.0, "label must be a column number"),
        (Y, [0, 1], "label must be a column number"),
        (["b", "a", "c"], 1, r"label must be one of the classes \['a', 'b', 'c'\]. Got 1"),
        (["no", "yes"], "no", r"the classes \['yes'\]. Got 'no' instead. A binary y has the sco"),
    ],
)
def test_a_label_that_is_not_there_is_refused(y, label, message):
    with pytest.raises(ValueError, match=message):
        Target.learn(y).column(label)


# ------------------------------------------------------------------------------- new labels


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, sparse.csr_matrix, list])
def test_indicators_of_new_labels_are_read_in_every_form(form):
    target = Target.learn(np.eye(3))
    found = target.indicators_of_new(form(np.array([[0, 1], [1, 0], [0, 0]])), 3)
    assert_array_equal(found.toarray(), [[0, 1], [1, 0], [0, 0]])
    assert_array_equal(target.extended(2).classes, np.arange(5))
    assert_array_equal(target.classes, np.arange(3))


@pytest.mark.parametrize(
    "y, Y_new, message",
    [
        (np.eye(3), [1, 0, 1], "Y_new must be a matrix with a column for each new label. Got 1-D"),
        (np.eye(3), np.eye(3, 4), "at least one document. Got none in column 3"),
        (np.eye(3), np.ones((2, 1)), "Y_new must be of 3 rows, as X. Got 2 instead"),
        (np.eye(3), np.full((3, 1), 2), "Y_new must be a label indicator matrix"),
        (["a", "b", "c"], np.ones((3, 1)), "y must be label indicators in fit, to add labels"),
    ],
)
def test_indicators_of_new_labels_that_are_none(y, Y_new, message):
    with pytest.raises(ValueError, match=message):
        Target.learn(y).indicators_of_new(Y_new, 3)


def test_names_of_labels_are_those_of_a_data_frame():
    pandas = pytest.importorskip("pandas")
    target = Target.learn(pandas.DataFrame(Y, columns=["corn", "gold", "tea"]))
    assert target.attributes["label_names_"].tolist() == ["corn", "gold", "tea"]
    assert target.column("gold") == target.column(1) == 1
    message = (
        "a name in label_names_, such as 'corn', 'gold', 'tea'. Got 'god' instead. Did you mean"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        target.column("god")
    assert target.extended(2).names.tolist() == ["corn", "gold", "tea", "3", "4"]
    new = pandas.DataFrame(np.eye(3, 2), columns=["zinc", "rye"])
    assert target.extended(2, new).names.tolist() == ["corn", "gold", "tea", "zinc", "rye"]
    with pytest.raises(ValueError, match="Y_new must be columns with other names .* 'tea'. Got"):
        target.extended(1, pandas.DataFrame({"tea": [1, 0, 0]}))
    numbered = Target.learn(pandas.DataFrame(Y, columns=["3", "2", "4"]))
    assert numbered.extended(2).names.tolist() == ["3", "2", "4", "new 3", "new 4"]


@pytest.mark.parametrize("columns, name", [("aba", "'a'"), ([7, 7, 8], "7")])
def test_names_of_labels_are_different_ones(columns, name):
    pandas = pytest.importorskip("pandas")
    dense = pandas.DataFrame(Y, columns=[*columns])
    thin = pandas.DataFrame.sparse.from_spmatrix(sparse.csr_array(Y), columns=[*columns])
    expected = f"must be a data frame of columns with different names. Got 2 of the name {name} ins"
    for frame in (dense, thin):
        with pytest.raises(ValueError, match=f"^y {expected}"):
            Target.learn(frame)
        with pytest.raises(ValueError, match=f"^Y_new {expected}"):
            Target.learn(Y).indicators_of_new(frame, 3)


@pytest.mark.parametrize("y", [Y, ["a", "b", "a"]])
def test_a_y_that_is_not_there_is_called_by_its_name(y):
    with pytest.raises(ValueError, match="^y_more must be given. Got None instead"):
        Target.learn(np.array(y)).indicators(None, "y_more")
    with pytest.raises(ValueError, match="^Y_new must be given. Got None instead"):
        Target.learn(Y).indicators_of_new(None, 3)


@pytest.mark.parametrize("columns", [[0, 1, 2], ["a", "b", 3]])
def test_numbers_are_no_names(columns):
    pandas = pytest.importorskip("pandas")
    target = Target.learn(pandas.DataFrame(Y, columns=columns))
    assert target.names is None and "label_names_" not in target.attributes
    assert Target.learn(pandas.Series(["a", "b", "a"])).names is None


def test_a_data_frame_of_sparse_columns_is_a_sparse_y():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame.sparse.from_spmatrix(sparse.csr_array(Y), columns=list("abc"))
    target = Target.learn(frame)
    assert (target.type, target.form, target.names.tolist()) == ("multilabel", "array", [*"abc"])
    assert_array_equal(target.indicators(frame).toarray(), Y)
    assert isinstance(target.decode([sparse.csr_array(Y)]), sparse.csr_array)


def test_columns_of_a_data_frame_are_those_of_fit_in_their_order():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(Y, columns=list("abc"))
    target = Target.learn(frame)
    for right in (frame, Y, frame.set_axis([0, 1, 2], axis=1)):
        assert_array_equal(target.indicators(right).toarray(), Y)
    expected = "y_val must be .* the columns of fit in their order, 'b' as no. 1. Got 'c' instead."
    with pytest.raises(ValueError, match=expected):
        target.indicators(frame[["a", "c", "b"]], "y_val")
    with pytest.raises(ValueError, match="a matrix of 3 columns, one per label. Got 2"):
        target.indicators(frame[["a", "c"]])
    assert_array_equal(
        Target.learn(Y).indicators(frame[["a", "c", "b"]]).toarray(), Y[:, [0, 2, 1]]
    )
