"""What X is, features or token ids, and its checks."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator

from skmltc import TReaderXMLClassifier
from skmltc._inputs import (
    Inputs,
    as_rows,
    check_token_ids,
    count_rows,
    input_kind,
    known_tokens,
    take_rows,
)
from skmltc._rows import is_mapped
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN, WordEmbedding
from skmltc.text import TokenSequenceVectorizer, WordVectors


class Classifier(BaseEstimator):
    """In whose name X is checked."""


# -------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("value", [2e15, -2e15, 3e38])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_features_beyond_all_measure_are_refused(value, form):
    X, far = np.ones((3, 2)), np.ones((3, 2))
    far[1, 1] = value
    inputs = Inputs.learn(form(X), BagEncoder(), estimator := Classifier())
    message = "X must be of values up to 1e.15 in size. Got .* instead. Scale it: .*MaxAbsScaler"
    with pytest.raises(ValueError, match=message):
        inputs.read(form(far), estimator)
    with pytest.raises(ValueError, match=message):
        Inputs.learn(form(far), BagEncoder(), estimator)


def test_large_features_and_none_are_read():
    inputs = Inputs.learn(np.full((3, 2), 1e14), BagEncoder(), estimator := Classifier())
    assert inputs.read(np.full((3, 2), -1e14), estimator).min() == np.float32(-1e14)
    assert inputs.read(sparse.csr_array((3, 2)), estimator).nnz == 0


# -------------------------------------------------------------------------------------- kinds


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


# ----------------------------------------------------------------------------------- features


FORMS = [np.asarray, np.ndarray.tolist, sparse.csr_array, sparse.csc_matrix, sparse.coo_array]


@pytest.mark.parametrize("form", FORMS)
def test_features_are_read_in_single_precision(form):
    X, estimator = np.array([[0.5, 0.0, 2.0], [0.0, 0.0, -1.0]]), Classifier()
    inputs = Inputs.learn(form(X), BagEncoder(), estimator)
    assert (inputs.kind, inputs.n_inputs, estimator.n_features_in_) == ("features", 3, 3)
    read = inputs.read(form(X), estimator)
    assert read.dtype == np.float32
    assert sparse.issparse(read) == sparse.issparse(form(X))
    assert_array_equal(read.toarray() if sparse.issparse(read) else read, X)
    assert not sparse.issparse(read) or read.format == "csr"


def test_features_of_another_number_are_refused():
    estimator = Classifier()
    inputs = Inputs.learn(np.eye(3), BagEncoder(), estimator)
    with pytest.raises(ValueError, match="X has 2 features, but Classifier is expecting 3"):
        inputs.read(np.eye(2), estimator)


@pytest.mark.parametrize("encoder", [BagEncoder(), TextCNN()])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(encoder, value):
    with pytest.raises(ValueError, match="Input X contains"):
        Inputs.learn(np.array([[1.0, value]]), encoder, Classifier())


# ------------------------------------------------------------------------------------- tokens


def test_tokens_are_read_as_ids_that_are_known():
    X, estimator = np.array([[3, 2, 0], [5, 1, 1]]), Classifier()
    inputs = Inputs.learn(X, TextCNN(), estimator)
    assert (inputs.kind, inputs.n_inputs, estimator.n_features_in_) == ("tokens", 6, 3)
    read = inputs.read(np.array([[5, 6, 7], [0, 4, 2**30], [0, 0, 0]]), estimator)
    assert read.dtype == np.int32
    assert_array_equal(read, [[5, 1, 1], [4, 1, 0], [1, 0, 0]])


def test_an_encoder_says_how_many_tokens_it_knows():
    class Ten(TextCNN):
        def n_embeddings(self, largest_id):
            return 10 + largest_id

    assert Inputs.learn(np.array([[3, 2]]), Ten(), Classifier()).n_inputs == 13


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
    with pytest.raises(ValueError, match=f"X must be token ids, .*{message}"):
        Inputs.learn(np.array(X), TextCNN(), Classifier())


@pytest.mark.parametrize("encoder", [BagEncoder(), TextCNN()])
@pytest.mark.parametrize("make", [list, tuple, np.array])
def test_texts_are_refused_with_what_makes_numbers_of_them(make, encoder):
    with pytest.raises(ValueError, match="features or token ids. Got texts instead. Put"):
        Inputs.learn(make(["a text", "another"]), encoder, Classifier())


def test_sparse_token_ids_are_refused_with_what_makes_dense_ones():
    with pytest.raises(ValueError, match="a dense array. Got sparse data instead. TokenSeq"):
        Inputs.learn(sparse.eye(3, format="csr"), TextCNN(), Classifier())


def test_known_tokens_begin_each_text_and_none_is_empty():
    X = np.array([[3, 0, 2, 9], [0, 0, 5, 4], [0, 0, 0, 0], [6, 1, 7, 2]], dtype=np.int32)
    before = X.copy()
    expected = [[3, 2, 1, 0], [5, 4, 0, 0], [1, 0, 0, 0], [1, 1, 1, 2]]
    assert_array_equal(known_tokens(X, 6), expected)
    assert_array_equal(X, before)


@pytest.mark.parametrize("X", [[[3, 0, 0], [0, 0, 0], [0, 2, 1]], [[1, 2, 3]], [[0]]])
def test_padding_at_one_end_is_no_count(X):
    """No warning, which would be an error here."""
    assert Inputs.learn(np.array(X), TextCNN(), Classifier()).kind == "tokens"


def test_zeros_between_other_numbers_look_like_counts():
    X = np.array([[3, 0, 2, 0], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]])
    with pytest.warns(UserWarning, match="Got zeros between other numbers in 2 rows instead"):
        Inputs.learn(X, TextCNN(), Classifier())
    assert Inputs.learn(X, BagEncoder(), Classifier()).kind == "features"


# -------------------------------------------------------------------------------------- words


TEXTS = ["milk rice rice", "honey", "rice honey tea tea"]
VECTORS = WordVectors(["milk", "rice", "honey"], np.eye(3))


def ids_of(vocabulary=None):
    return TokenSequenceVectorizer(vocabulary=vocabulary, max_length=4).fit_transform(TEXTS)


@pytest.mark.parametrize("encoder", [TextCNN, BiLSTMAttention, WordEmbedding])
def test_ids_of_other_words_than_those_of_the_vectors_are_refused(encoder):
    encoder = encoder(embeddings=VECTORS)
    message = (
        "X must be token ids of the words of the encoder. Got ids of others instead. "
        r"TokenSequenceVectorizer\(vocabulary=embeddings\) numbers the words of WordVectors"
    )
    for vocabulary in (None, ["rice", "milk", "honey"], ["milk", "rice"]):
        with pytest.raises(ValueError, match=message):
            Inputs.learn(ids_of(vocabulary), encoder, Classifier())
    for vocabulary in (VECTORS, list(VECTORS), {"milk": 0, "rice": 1, "honey": 2}):
        assert Inputs.learn(ids_of(vocabulary), encoder, Classifier()).n_inputs == 5


def test_plain_arrays_are_taken_as_they_are():
    plain = np.asarray(ids_of())
    inputs = Inputs.learn(plain, TextCNN(embeddings=VECTORS), estimator := Classifier())
    assert_array_equal(inputs.read(plain, estimator), known_tokens(plain, 5))
    assert_array_equal(inputs.read(ids_of(), estimator), known_tokens(plain, 5))
    learned = Inputs.learn(ids_of(), TextCNN(), estimator := Classifier())
    assert_array_equal(learned.read(plain, estimator), plain)


def test_ids_of_other_words_than_those_of_fit_are_refused():
    inputs = Inputs.learn(ids_of(), TextCNN(), estimator := Classifier())
    assert_array_equal(inputs.read(ids_of()[1:], estimator), ids_of()[1:])
    with pytest.raises(ValueError, match="X must be token ids of the words of fit. Got ids of oth"):
        inputs.read(ids_of(VECTORS), estimator)


@pytest.mark.parametrize("given", [{"X_val": True}, {"label_tokens": True}])
def test_all_documents_of_a_fit_have_the_words_of_x(given):
    others = {name: ids_of(VECTORS) for name in given}
    y = np.eye(3, dtype=int)
    model = TReaderXMLClassifier(n_neighbors=1, max_epochs=1)
    with pytest.raises(ValueError, match="X must be token ids of the words of fit. Got ids of oth"):
        model.fit(ids_of(), y, y_val=y if "X_val" in given else None, **others)


# --------------------------------------------------------------------------------------- rows


def frame(X):
    """With an index that is no row number, and a column named like a row."""
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X, index=list("dcba"), columns=[1, 0])


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([2, 0]), np.array([], dtype=int)])
@pytest.mark.parametrize("form", [np.array, sparse.csr_array, sparse.csc_matrix, frame])
def test_rows_are_taken_of_any_kind_of_table(form, rows):
    X = np.arange(8.0).reshape(4, 2)
    found = take_rows(form(X), rows)
    assert type(found) is type(form(X))
    found = found.toarray() if sparse.issparse(found) else np.asarray(found)
    assert_array_equal(found, X[rows])
    assert count_rows(form(X)) == 4


@pytest.mark.parametrize("form", [list, tuple])
def test_rows_are_taken_of_lists_of_texts(form):
    texts = form(["rice", "milk", "honey"])
    assert list(take_rows(texts, slice(1, 3))) == ["milk", "honey"]
    assert take_rows(texts, np.array([2, 0])) == ["honey", "rice"]
    assert count_rows(texts) == 3


def test_documents_become_a_table_of_which_rows_are_taken():
    X = np.eye(2)
    assert as_rows(X) is X and as_rows(["rice"]) == ["rice"]
    assert_array_equal(take_rows(as_rows(sparse.coo_array(X)), slice(0, 1)).toarray(), X[:1])


@pytest.mark.parametrize("X", [iter(["a"]), {"a"}, {"a": "b"}, {"a": "b"}.values()])
def test_what_has_no_order_or_is_read_but_once_is_refused(X):
    expected = f"X_known must be a list, .* Got a {type(X).__name__} instead"
    with pytest.raises(ValueError, match=expected):
        as_rows(X, "X_known")


def test_documents_that_are_missing_are_called_by_their_name():
    with pytest.raises(ValueError, match="^X_known must be given. Got None instead"):
        as_rows(None, "X_known")


def test_rows_of_a_series_are_numbered_whatever_its_index():
    pandas = pytest.importorskip("pandas")
    texts = pandas.Series(["rice", "milk", "honey"], index=[2, 1, 0])
    assert list(take_rows(texts, np.array([0, 1]))) == ["rice", "milk"]
    assert list(take_rows(texts, slice(2, 3))) == ["honey"]


def test_rows_of_a_map_are_a_map(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", shape=(5, 3))
    X[:] = np.arange(15).reshape(5, 3)
    X.flush()
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    found = take_rows(mapped, np.array([4, 1]))
    assert is_mapped(found)
    assert_array_equal(found, np.asarray(X)[[4, 1]])
    assert_array_equal(take_rows(mapped[:, 0], np.array([4, 1])), [12, 3])
