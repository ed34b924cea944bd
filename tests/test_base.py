"""The contract that all estimators share, on the linear model and on small networks."""

import linecache
import math
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, FitFailedWarning, NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from skorch.callbacks import Callback

from skmltc import (
    BalancedLossClassifier,
    HeadToTailClassifier,
    HybridSiameseClassifier,
    LongTailClassifier,
    TReaderXMLClassifier,
    base,
)
from skmltc._networks.callbacks import Schedule
from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import (
    RULES,
    MultilabelThresholdClassifierCV,
    MultilabelVotingClassifier,
)
from skmltc.encoders import (
    BagEncoder,
    BiLSTMAttention,
    Encoder,
    TextCNN,
    Training,
    WordEmbedding,
)
from skmltc.encoders._token_modules import ConvolutionalEncoder
from skmltc.labels import LabelWarning
from skmltc.losses import LOSSES, DistributionBalancedLoss, FocalLoss, SquaredHingeLoss
from skmltc.model_selection import MultilabelStratifiedKFold
from skmltc.neighbors import CosineNeighbors
from skmltc.text import TokenSequenceVectorizer, WordVectors

LINEAR = BalancedLossClassifier(weight_decay=0.1, random_state=0)
NETWORK = BalancedLossClassifier(
    encoder=BagEncoder(hidden_dims=(8,)), max_epochs=3, early_stopping=False, random_state=0
)
BOTH = pytest.mark.parametrize("model", [LINEAR, NETWORK], ids=["linear", "network"])
SMALL = {
    "encoder": BagEncoder(hidden_dims=(8,)),
    "max_epochs": 2,
    "early_stopping": False,
    "random_state": 0,
}
SIAMESE = HybridSiameseClassifier(n_phi=20, n_triplets=64, **SMALL)
SIAMESE_OF_ALL = clone(SIAMESE).set_params(n_phi=2000)
TRANSFERRED = HeadToTailClassifier(n_ensembles=2, **SMALL)
READ = TReaderXMLClassifier(n_neighbors=3, n_heads=2, bottleneck_dim=8, **SMALL)
ALL = {
    "linear": LINEAR,
    "network": NETWORK,
    "siamese": SIAMESE,
    "transferred": TRANSFERRED,
    "read": READ,
}
EACH = pytest.mark.parametrize("model", ALL.values(), ids=ALL)


@pytest.fixture(scope="module")
def X():
    return np.random.RandomState(0).rand(60, 6).astype(np.float32)


@pytest.fixture(scope="module")
def y(X):
    """Three labels that follow the features, on 30, 15 and 6 documents."""
    order = (X[:, :3] + 0.3 * X[:, 3:]).argsort(axis=0).argsort(axis=0)
    return (order >= [30, 45, 54]).astype(int)


def weights(model):
    """All that a model learned, as one list of arrays."""
    if hasattr(model, "coef_"):
        return [model.coef_, model.intercept_, model.threshold_]
    return [*(p.detach().numpy() for p in model.module_.parameters()), model.threshold_]


def assert_same_model(model, other):
    for mine, others in zip(weights(model), weights(other), strict=True):
        assert_array_equal(mine, others)


def assert_same_scores(model, other, X):
    assert_array_equal(model.decision_function(X), other.decision_function(X))
    assert_array_equal(model.threshold_, other.threshold_)


def in_hooks(model, before):
    """A copy of a class of its own that calls ``before(name)`` at each step of `fit`."""

    class Watched(type(model)):
        def _train(self, *arguments, **further):
            before("_train")
            return super()._train(*arguments, **further)

        def _retrain(self, *arguments):
            before("_retrain")
            return super()._retrain(*arguments)

        def _decide(self, *arguments):
            before("_decide")
            return super()._decide(*arguments)

    return Watched(**clone(model).get_params(deep=False))


# ---------------------------------------------------------------------------------- bad input


def with_value(array, value):
    array = array.astype(float)
    array[3, 1] = value
    return array


BAD_DATA = {
    "NaN in X": (lambda X, y: (with_value(X, np.nan), y), "Input X contains NaN"),
    "infinity in X": (lambda X, y: (with_value(X, np.inf), y), "Input X contains infinity"),
    "sparse X with NaN": (
        lambda X, y: (sparse.csr_array(with_value(X, np.nan)), y),
        "Input X contains NaN",
    ),
    "3-D X": (lambda X, y: (X[None], y), "Found array with dim 3"),
    "1-D X": (lambda X, y: (X[:, 0], y), "Expected 2D array, got 1D array instead"),
    "3-D y": (lambda X, y: (X, y[None]), "Found array with dim 3"),
    "twos": (
        lambda X, y: (X, 2 * y),
        "y must be a label indicator matrix of zeros and ones. Got a value of 2 instead. "
        "sklearn.preprocessing.MultiLabelBinarizer makes indic",
    ),
    "sparse twos": (
        lambda X, y: (X, sparse.csr_array(2 * y)),
        "y must be a label indicator matrix of zeros and ones. Got a value of 2 instead",
    ),
    "minus ones": (
        lambda X, y: (X, 2 * y - 1),
        "y must be a label indicator matrix of zeros and ones. Got a value of -1 instead",
    ),
    "halves": (lambda X, y: (X, y / 2), "zeros and ones. Got a value of 0.5 instead"),
    "NaN in y": (lambda X, y: (X, with_value(y, np.nan)), "Input y contains NaN"),
    "no positive": (
        lambda X, y: (X, 0 * y),
        "y must be a matrix with at least one positive. Got only zeros instead",
    ),
    "no positive, sparse": (
        lambda X, y: (X, sparse.csr_matrix(y.shape)),
        "y must be a matrix with at least one positive. Got only zeros instead",
    ),
    "no label": (lambda X, y: (X, y[:, :0]), "0 feature"),
    "short y": (
        lambda X, y: (X, y[:-1]),
        "inconsistent numbers of samples: y must be of 60 rows, as X. Got 59 instead",
    ),
    "short sparse y": (lambda X, y: (X, sparse.csr_array(y[:7])), "y must be of 60 rows"),
    "no y": (lambda X, y: (X, None), "y must be given. Got None instead"),
    "one class": (lambda X, y: (X, np.zeros(60)), "y must be of at least 2 classes. Got 1 class"),
    "numbers": (lambda X, y: (X, X[:, 0]), "Unknown label type: continuous"),
    "no document": (lambda X, y: (X[:0], y[:0]), r"Found array with 0 sample\(s\)"),
}


@BOTH
@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data(model, case, X, y):
    make, message = BAD_DATA[case]
    with pytest.raises(ValueError, match=message):
        clone(model).fit(*make(X, y))


CHOICES = ", ".join(map(repr, RULES))
BAD_PARAMETERS = [
    ({"loss": "focl"}, "loss must be one of 'auto', 'bce', .* Got 'focl' instead. Did you mean"),
    ({"loss": "db"}, "loss must be one of .* Got 'db' instead"),
    ({"loss": 3}, "'loss' .* must be .* Got 3 instead"),
    *(
        ({name: kind}, rf"{name} must be an object. Got <class .* {kind.__name__}\(\.\.\.\)")
        for name, kind in [
            ("loss", FocalLoss),
            ("encoder", BagEncoder),
            ("training", Training),
            ("callbacks", list),
        ]
    ),
    ({"loss": LINEAR}, "loss must be a name or a spec with a build method. Got Balanced"),
    ({"loss": FocalLoss(gamma=-1)}, r"gamma of FocalLoss must be .* Got -1 instead"),
    ({"encoder": "bga"}, "encoder must be one of 'auto', 'bag', 'cnn', .* Did you mean 'bag'"),
    *(
        ({"encoder": value}, "encoder must be a name or a spec .* Subclass skmltc.encoders.Encoder")
        for value in (LINEAR, DistributionBalancedLoss(), torch.nn.Linear(6, 3), 3)
    ),
    ({"encoder": BagEncoder(dropout=2)}, r"dropout must be a number in \[0, 1\). Got 2 instead"),
    ({"encoder": BagEncoder(hidden_dims=8)}, "hidden_dims must be a tuple of positive integers"),
    ({"threshold": "tund"}, f"or one of {CHOICES}. Got 'tund' instead. Did you mean 'tuned'?"),
    *(
        ({"threshold": value}, rf"threshold must be a probability in \(0, 1\) or one of {CHOICES}")
        for value in (0, 1, 1.5, -0.1, None, float("nan"))
    ),
    ({"lr": 0}, "'lr' .* must be .* Got 0 instead"),
    ({"weight_decay": -1}, "'weight_decay' .* must be .* Got -1 instead"),
    ({"max_epochs": 0}, "'max_epochs' .* must be .* Got 0 instead"),
    ({"batch_size": 2.5}, "'batch_size' .* must be .* Got 2.5 instead"),
    ({"patience": 0}, "'patience' .* must be .* Got 0 instead"),
    ({"validation_fraction": 1.0}, "'validation_fraction' .* must be .* Got 1.0 instead"),
    ({"min_labels": -1}, "'min_labels' .* must be .* Got -1 instead"),
    ({"max_labels": 0}, "'max_labels' .* must be .* Got 0 instead"),
    (
        {"min_labels": 2, "max_labels": 1},
        "max_labels must be None or an integer from 2 up, which is min_labels. Got 1",
    ),
    ({"slack": 2}, "'slack' .* must be .* Got 2 instead"),
    ({"optimizer": "sgd"}, "'optimizer' .* must be .* Got 'sgd' instead"),
    ({"early_stopping": "yes"}, "'early_stopping' .* must be .* Got 'yes' instead"),
    ({"random_state": "now"}, "'random_state' .* must be .* Got 'now' instead"),
    ({"callbacks": 3}, "'callbacks' .* must be .* Got 3 instead"),
    ({"callbacks": [1]}, "What is in callbacks must be skorch callbacks, .*. Got 1 instead"),
]


@pytest.mark.parametrize("parameters, message", BAD_PARAMETERS, ids=str)
def test_bad_parameters(parameters, message, X, y):
    with pytest.raises(ValueError, match=message):
        clone(LINEAR).set_params(**parameters).fit(X, y)


@BOTH
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_prediction_needs_a_fit_and_the_features_of_the_fit(model, method, X, y):
    model = clone(model)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(model, method)(X)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        model.predict_topk(X)
    model.fit(X, y)
    with pytest.raises(ValueError, match="X has 4 features, but .* is expecting 6 features"):
        getattr(model, method)(X[:, :4])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        getattr(model, method)(with_value(X, np.nan))
    with pytest.raises(ValueError, match="k must be a positive integer. Got 0 instead"):
        model.predict_topk(X, 0)


@pytest.mark.parametrize(
    "part, message",
    [
        (lambda X, y: (X, None), "X_val and y_val must be given together. Got one of them"),
        (lambda X, y: (None, y), "X_val and y_val must be given together. Got one of them"),
        (lambda X, y: (X[:3], y), "y_val must be of 3 rows, as X. Got 60 instead"),
        (lambda X, y: (X, y[:, :2]), "y_val must be a matrix of 3 columns, one per label. Got 2"),
        (lambda X, y: (X[:, :2], y), "X has 2 features, but .* is expecting 6 features"),
        (lambda X, y: (X, 3 * y), "y_val must be a label indicator matrix of zeros and ones"),
    ],
)
def test_bad_validation_parts(part, message, X, y):
    with pytest.raises(ValueError, match=message):
        clone(LINEAR).fit(X, y, *part(X, y))


def test_validation_classes_are_those_of_training(X):
    with pytest.raises(ValueError, match=r"y_val must be of the classes \[0 1 2\]. Got 3 instead"):
        clone(LINEAR).fit(X, np.arange(60) % 3, X, np.arange(60) % 4)


# ------------------------------------------------------------------------------ hopeless labels


@BOTH
@pytest.mark.parametrize("threshold", ["tuned_low", "frequency", "per_label", 1e-6])
def test_a_label_without_documents_is_never_predicted(model, threshold, X, y):
    y = np.insert(y, 1, 0, axis=1)
    model = clone(model).set_params(threshold=threshold, min_labels=4)
    with pytest.warns(LabelWarning, match=r"1 of 4 labels have no training document \(columns 1\)"):
        model.fit(X, y)
    assert_array_equal(np.isposinf(model.threshold_), [False, True, False, False])
    assert_array_equal(model.label_counts_, [30, 0, 15, 6])
    proba = model.predict_proba(X)
    assert np.isfinite(proba).all() and proba[:, 1].max() < 1e-12
    assert_array_equal(model.predict(X), np.tile([1, 0, 1, 1], (60, 1)))
    assert_array_equal(np.bincount(model.predict_topk(X, 4).indices), [60, 0, 60, 60])


@EACH
def test_labels_without_documents_are_warned_of_at_the_users_line(model, X, y):
    y = np.insert(y, 1, 0, axis=1)
    with pytest.warns(LabelWarning, match="1 of 4 labels have no training document") as caught:
        clone(model).set_params(calibrate=False).fit(X, y)  # the user's line
    (warning,) = caught
    assert warning.filename == __file__
    assert "# the user's line" in linecache.getline(warning.filename, warning.lineno)


@BOTH
def test_many_labels_without_documents_are_counted_and_the_first_named(model, X, y):
    y = sparse.hstack([sparse.csr_array(y), sparse.csr_array((60, 9))])
    message = r"9 of 12 labels have no training document \(columns 3, 4, 5, 6, 7, \.\.\.\)"
    with pytest.warns(LabelWarning, match=message):
        predicted = clone(model).fit(X, y).predict(X)
    assert predicted.shape == (60, 12) and not predicted[:, 3:].nnz


def test_the_other_labels_do_not_feel_one_without_documents(X, y):
    model = clone(LINEAR).set_params(logit_adjustment=0.0)
    alone = clone(model).fit(X, y)
    with pytest.warns(LabelWarning):
        side_inputs = clone(model).fit(X, np.hstack([0 * y[:, :2], y]))
    assert_array_equal(side_inputs.coef_[2:], alone.coef_)
    assert_array_equal(side_inputs.intercept_[2:], alone.intercept_)
    assert not side_inputs.coef_[:2].any()


OF_LABELS_ALONE = [  # what they draw depends on no label without documents
    LINEAR,
    BalancedLossClassifier(random_state=0),
    BalancedLossClassifier(loss=SquaredHingeLoss(), random_state=0),
    HeadToTailClassifier(encoder=BagEncoder(hidden_dims=(8,)), max_epochs=2, random_state=0),
    LongTailClassifier(random_state=0),
]


@pytest.mark.parametrize("model", OF_LABELS_ALONE, ids=lambda model: type(model).__name__)
def test_labels_without_documents_change_no_number_of_the_others(model):
    corpus = make_long_tailed_corpus(n_samples=250, n_labels=360, random_state=0)
    features = TfidfVectorizer().fit_transform(corpus.data)
    Y = corpus.target[:, np.flatnonzero(corpus.target[:200].sum(axis=0))].toarray()
    places = np.sort(np.random.RandomState(0).choice(500, Y.shape[1], replace=False))
    more = np.zeros((250, 500), dtype=Y.dtype)
    more[:, places] = Y
    alone = clone(model).fit(features[:200], Y[:200])
    with pytest.warns(LabelWarning):
        amid = clone(model).fit(features[:200], more[:200])
    expected, proba = (fitted.predict_proba(features[200:]) for fitted in (alone, amid))
    assert_allclose(proba[:, places], expected, rtol=1e-5, atol=1e-9)
    assert_array_equal(amid.threshold_[places], alone.threshold_)


@BOTH
def test_documents_without_labels_are_negatives_of_all(model, X, y):
    y = y.copy()
    y[20:40] = 0
    model = clone(model).fit(X, sparse.csr_array(y))
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.n_samples_fit_ == 60


@BOTH
@pytest.mark.parametrize("weight_decay", ["auto", 0.1])
def test_one_document_trains(model, weight_decay, X):
    model = clone(model).set_params(weight_decay=weight_decay)
    with pytest.warns(LabelWarning, match="1 of 3 labels"):
        model.fit(X[:1], [[1, 0, 1]])
    proba = model.predict_proba(X)
    assert np.isfinite(proba).all()
    assert_allclose(model.threshold_, [0, np.inf, 0])
    if hasattr(model, "coef_"):
        assert_array_equal(model.predict(X[:1]), [[1, 0, 1]])
    clone(model).fit(X[:1], sparse.csr_array([[1]]))


@BOTH
@pytest.mark.parametrize("n_samples", range(2, 16))
def test_few_documents_train(model, n_samples, X, y):
    y = np.hstack([np.ones((60, 1)), y[::-1]])[:n_samples]  # one label is on all of them
    model = clone(model).set_params(max_epochs=1).fit(X[:n_samples], y[:, y.any(axis=0)])
    assert np.isfinite(model.predict_proba(X)).all()


@BOTH
def test_a_single_assignment_trains(model, X):
    """Models of two of the folds know a label, that of the third knows none."""
    y = np.zeros((20, 2), dtype=int)
    y[7, 1] = 1
    with pytest.warns(LabelWarning, match="1 of 2 labels"):
        model = clone(model).fit(X[:20], y)
    assert_array_equal(model.threshold_, [np.inf, 0])
    assert np.isfinite(model.predict_proba(X)).all()


@BOTH
def test_labels_of_one_document_each_train(model, X):
    """No cut-off can be learned: no model has seen the label of the document it scores."""
    with pytest.warns(LabelWarning, match="No held-out document has a label"):
        model = clone(model).fit(X[:20], np.eye(20, dtype=int))
    assert_array_equal(model.threshold_, 0)
    assert 15 <= model.predict(X[:20]).sum() <= 25  # as many as the training documents have
    assert np.isfinite(model.predict_proba(X)).all()


@BOTH
@pytest.mark.parametrize("form", [np.ndarray, sparse.csr_array, sparse.csr_matrix])
def test_one_label_is_a_matrix_of_one_column(model, form, X, y):
    column = y[:, :1] if form is np.ndarray else form(y[:, :1])
    model = clone(model).fit(X, column)
    assert model.predict_proba(X).shape == model.decision_function(X).shape == (60, 1)
    assert isinstance(model.predict(X), form) and model.predict(X).shape == (60, 1)
    assert model.predict_topk(X, 5).shape == (60, 1)


# ---------------------------------------------------------------------------- forms of y and X


@BOTH
def test_every_form_of_y_gives_the_same_model_and_its_own_form_of_prediction(model, X, y):
    reference = clone(model).fit(X, y)
    expected = reference.predict(X)
    assert isinstance(expected, np.ndarray) and expected.any()
    forms = [
        (sparse.csr_matrix, sparse.csr_matrix),
        (sparse.csc_matrix, sparse.csr_matrix),
        (sparse.csr_array, sparse.csr_array),
        (sparse.csc_array, sparse.csr_array),
        (sparse.coo_array, sparse.csr_array),
        (sparse.lil_matrix, sparse.csr_matrix),
        (lambda y: y.tolist(), np.ndarray),
        (lambda y: y.astype(bool), np.ndarray),
        (lambda y: y.astype(np.uint8), np.ndarray),
        (lambda y: sparse.csr_array(y.astype(bool)), sparse.csr_array),
        (lambda y: sparse.csr_array(y.astype(float)), sparse.csr_array),
    ]
    for make, form in forms:
        other = clone(model).fit(X, make(y))
        assert_same_model(other, reference)
        predicted = other.predict(X)
        assert type(predicted) is form and predicted.dtype == np.int64
        assert_array_equal(predicted.toarray() if form is not np.ndarray else predicted, expected)


@BOTH
def test_stored_zeros_and_repeated_entries_of_y_do_not_matter(model, X, y):
    rows, columns = y.nonzero()
    places = np.append(rows, 0), np.append(columns, y[0].argmin())
    messy = sparse.csr_array((np.append(np.ones(len(rows)), 0), places), shape=y.shape)
    before = messy.nnz
    assert_same_model(clone(model).fit(X, messy), clone(model).fit(X, y))
    assert messy.nnz == before  # the caller's matrix is left alone


@BOTH
def test_sparse_and_dense_features_give_the_same_scores(model, X, y):
    X = X * (X > 0.5)
    dense, csr = clone(model).fit(X, y), clone(model).fit(sparse.csc_matrix(X), y)
    assert_allclose(
        dense.decision_function(X), csr.decision_function(sparse.coo_array(X)), atol=0.02
    )


@BOTH
def test_attributes_describe_the_training_data(model, X):
    y = np.zeros((60, 4), dtype=int)
    y[:55, 0] = y[:30, 1] = y[50:, 2] = y[:1, 3] = 1
    model = clone(model).fit(X, y)
    assert_array_equal(model.classes_, [0, 1, 2, 3])
    assert_array_equal(model.label_counts_, [55, 30, 10, 1])
    assert_array_equal(model.head_labels_, [0])
    assert_array_equal(model.tail_labels_, [2, 3])
    assert (model.n_samples_fit_, model.n_labels_, model.n_features_in_) == (60, 4, 6)
    assert model.threshold_.shape == (4,) and model.n_iter_ > 0


# ------------------------------------------------------------------------------- one class each


@BOTH
def test_classes_of_a_multiclass_target_are_given_back(model, X):
    y = np.array(["low", "middle", "top"])[(3 * X[:, 0]).astype(int)]
    model = clone(model).set_params(max_epochs=160).fit(X, y)
    assert model.classes_.tolist() == ["low", "middle", "top"]
    proba, scores = model.predict_proba(X), model.decision_function(X)
    assert proba.shape == scores.shape == (60, 3)
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert_allclose(proba, expit(scores) / expit(scores).sum(axis=1, keepdims=True), rtol=1e-5)
    assert_array_equal(model.predict(X), model.classes_[scores.argmax(axis=1)])
    assert model.score(X, y) > 0.55


@BOTH
def test_classes_of_a_binary_target_are_given_back(model, X):
    y = np.where(X[:, 1] > 0.5, "yes", "no")
    model = clone(model).set_params(max_epochs=160).fit(X, y)
    proba, scores = model.predict_proba(X), model.decision_function(X)
    assert model.classes_.tolist() == ["no", "yes"]
    assert scores.shape == (60,) and proba.shape == (60, 2)
    assert_allclose(proba, np.column_stack([expit(-scores), expit(scores)]), atol=1e-6)
    assert_array_equal(model.predict(X), np.where(scores > 0, "yes", "no"))
    assert model.score(X, y) > 0.8


@pytest.mark.parametrize("classes", [2, 3])
def test_of_a_y_of_classes_min_labels_means_nothing(classes, X):
    y = np.arange(60) % classes
    model = clone(LINEAR).fit(X, y)
    before = model.predict(X)
    assert len(np.unique(before)) == classes
    assert_array_equal(model.set_params(min_labels=1).predict(X), before)


def test_a_dense_column_of_classes_is_a_binary_target_with_a_warning(X, y):
    y = np.array(["no", "yes"])[y[:, 0]]
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        column = clone(LINEAR).fit(X, y[:, None])
    assert_same_model(column, clone(LINEAR).fit(X, y))


@pytest.mark.parametrize("model", [LINEAR, NETWORK], ids=["linear", "network"])
def test_a_class_may_come_first_in_the_validation_part(model, X):
    y = np.arange(60) % 3
    model = clone(model).fit(X, y, X[:30], y[:30])
    assert model.predict(X).shape == (60,)


# ---------------------------------------------------------------------------------- prediction


@BOTH
def test_the_prediction_chain(model, documents):
    model = clone(model).fit(documents.X, documents.Y)
    logits, proba = model.decision_function(documents.X), model.predict_proba(documents.X)
    assert logits.dtype == np.float32 and logits.shape == documents.Y.shape
    assert_allclose(proba, expit(logits), rtol=1e-6)
    assert_array_equal(model.predict(documents.X).toarray(), logits > model.threshold_)


@BOTH
def test_a_documents_scores_do_not_depend_on_the_others(model, documents, monkeypatch):
    X = documents.X
    for form in (X, X.toarray()):
        fitted = clone(model).fit(form, documents.Y)
        scores = fitted.decision_function(form)
        for rows in (slice(0, 1), slice(7, 8), slice(250, 300), slice(1, None)):
            assert_array_equal(fitted.decision_function(form[rows]), scores[rows])
        with monkeypatch.context() as small:
            small.setattr(base, "_SCORES_AT_A_TIME", 12 * 37)
            assert_array_equal(fitted.decision_function(form), scores)
            assert_array_equal(fitted.predict(form).toarray(), scores > fitted.threshold_)


@BOTH
def test_topk_are_the_best_of_all_scores_and_no_more_are_kept(model, documents, monkeypatch):
    model = clone(model).fit(documents.X, documents.Y)
    logits, proba = model.decision_function(documents.X), model.predict_proba(documents.X)
    for k in (1, 3, 12, 50):
        monkeypatch.setattr(base, "_SCORES_AT_A_TIME", 100 * k)
        top = model.predict_topk(documents.X, k)
        assert isinstance(top, sparse.csr_array) and top.shape == logits.shape
        expected = np.zeros_like(proba)
        best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
        np.put_along_axis(expected, best, np.take_along_axis(proba, best, 1), 1)
        assert_allclose(top.toarray(), expected, rtol=1e-6)
        assert top.nnz == 300 * min(k, 12)
    assert model.predict_topk(documents.X).nnz == 300 * 5


@BOTH
def test_topk_by_propensity_are_those_of_the_best_probability_times_its_inverse(model, documents):
    model = clone(model).fit(documents.X, documents.Y)
    proba = expit(model.decision_function(documents.X).astype(np.float64))
    n_samples, counts = documents.Y.shape[0], model.label_counts_
    scale = (math.log(n_samples) - 1) * 2.5**0.55
    worth = [1 + scale * (n + 1.5) ** -0.55 for n in counts]
    differ = False
    for k in (1, 3):
        top = model.predict_topk(documents.X, k, weight="propensity")
        for row, probabilities in enumerate(proba):
            best = sorted(range(12), key=lambda c: -probabilities[c] * worth[c])[:k]
            columns = top.indices[top.indptr[row] : top.indptr[row + 1]]
            assert sorted(columns) == sorted(best)
            assert_allclose(top[[row]].toarray()[0, best], probabilities[best], rtol=1e-6)
        differ |= (top != model.predict_topk(documents.X, k)).nnz > 0
    assert differ
    with pytest.raises(ValueError, match="weight must be one of None, 'propensity'. Got 'psp' ins"):
        model.predict_topk(documents.X, weight="psp")


def test_a_label_without_documents_is_not_taken_for_its_propensity(documents):
    Y = sparse.hstack([documents.Y, sparse.csr_array((300, 1))], format="csr")
    with pytest.warns(LabelWarning):
        model = clone(LINEAR).fit(documents.X, Y)
    top = model.predict_topk(documents.X, 13, weight="propensity")
    assert top.nnz == 300 * 12 and top[:, [12]].nnz == 0


@BOTH
def test_min_labels_gives_every_document_its_best_labels(model, documents):
    model = clone(model).set_params(threshold=0.999, min_labels=2).fit(documents.X, documents.Y)
    logits, predicted = model.decision_function(documents.X), model.predict(documents.X).toarray()
    expected = logits > logit(0.999)
    for row, best in enumerate(np.argsort(-logits, axis=1, kind="stable")[:, :2]):
        expected[row, best] = True
    assert_array_equal(predicted, expected)
    assert (predicted.sum(axis=1) == 2).any()


@EACH
def test_a_number_as_threshold_is_read_when_predict_is_called(model, X, y):
    model = clone(model).set_params(threshold="tuned").fit(X, y)
    learned, scores, predicted = model.threshold_, model.decision_function(X), model.predict(X)
    for probability in (0.3, 0.9):
        model.set_params(threshold=probability)
        assert_allclose(model.threshold_, logit(probability))
        assert_array_equal(model.predict(X), scores > logit(probability))
    assert_array_equal(model.decision_function(X), scores)
    model.set_params(threshold="tuned")
    assert_array_equal(model.threshold_, learned)
    assert_array_equal(model.predict(X), predicted)


@EACH
def test_a_document_has_max_labels_at_most(model, X, y):
    """Those of the largest log-odds: one number cuts all labels here."""
    model = clone(model).set_params(threshold=0.01).fit(X, y)
    many, scores = model.predict(X), model.decision_function(X)
    few = model.set_params(max_labels=2).predict(X)
    assert many.sum(axis=1).max() > 2 == few.sum(axis=1).max()
    assert_array_equal(few.sum(axis=1), np.minimum(many.sum(axis=1), 2))
    for row, kept in zip(scores, few, strict=True):
        assert not kept.any() or row[kept == 1].min() >= np.sort(row)[-2]


def test_slack_lowers_the_cut_off(X, y):
    cut_offs = [
        clone(LINEAR).set_params(threshold="tuned_low", slack=slack).fit(X, y).threshold_[0]
        for slack in (0.0, 0.05)
    ]
    assert cut_offs[1] < cut_offs[0]


def test_slack_without_a_rule_that_has_it_is_warned_of(X, y):
    with pytest.warns(UserWarning, match="slack has no effect with threshold='tuned'."):
        clone(LINEAR).set_params(threshold="tuned", slack=0.01).fit(X, y)


@EACH
def test_the_number_of_labels_is_read_when_predict_is_called(model, X, y):
    model = clone(model).set_params(threshold=0.999).fit(X, y)
    few = model.predict(X)
    at_least_two = model.set_params(min_labels=2).predict(X)
    assert few.sum(axis=1).min() < 2 == at_least_two.sum(axis=1).min()
    assert (at_least_two >= few).all()


@BOTH
def test_the_threshold_in_force_cannot_be_set(model, X, y):
    model = clone(model).set_params(threshold="tuned")
    assert not hasattr(model, "threshold_")
    model.fit(X, y)
    with pytest.raises(AttributeError, match="threshold_"):
        model.threshold_ = np.zeros(3)


# ------------------------------------------------------------------------ what decides


def counting_folds(model):
    """A copy, and a list that grows by one with each training on a fold."""
    folds = []
    return in_hooks(model, lambda step: folds.append(step) if step == "_retrain" else None), folds


def unseen(n_assignments):
    """Documents with one of three labels each."""
    X = np.random.RandomState(1).rand(n_assignments, 6).astype(np.float32)
    return X, np.eye(3, dtype=int)[np.arange(n_assignments) % 3]


@EACH
@pytest.mark.parametrize("n_assignments, n_folds", [(499, 3), (500, 0)])
def test_a_validation_part_decides_if_it_has_500_labels_on_its_documents(
    model, n_assignments, n_folds, X, y
):
    model, folds = counting_folds(model)
    model.set_params(threshold="tuned", max_epochs=1).fit(X, y, *unseen(n_assignments))
    assert len(folds) == n_folds


@pytest.mark.parametrize("weight_decay", [0.1, "auto"])
@BOTH
def test_a_smaller_part_leaves_it_to_the_folds_and_a_larger_one_decides(model, weight_decay, X, y):
    model = clone(model).set_params(threshold="tuned", loss="bce", weight_decay=weight_decay)
    alone = clone(model).fit(X, y)
    smaller = clone(model).fit(X, y, *unseen(499))
    assert_same_model(smaller, alone)
    X_val, y_val = unseen(500)
    larger = clone(model).fit(X, y, X_val, y_val)
    assert (larger.threshold_ != alone.threshold_).all()
    is_true, scores = y_val > 0, larger.decision_function(X_val)
    f1 = [
        2 * (is_true & (scores > cut_off)).sum() / (500 + (scores > cut_off).sum())
        for cut_off in (*larger.threshold_[:1], *np.unique(scores))
    ]
    assert_allclose(f1[0], max(f1), atol=1e-9)


@pytest.mark.parametrize("name", ["network", "siamese", "transferred", "read"])
@pytest.mark.parametrize("fraction, n_folds", [(0.25, 3), (0.5, 0)])
def test_a_part_that_is_split_off_decides_if_it_is_large_enough(name, fraction, n_folds):
    rng = np.random.RandomState(0)
    X, y = rng.rand(400, 6).astype(np.float32), (rng.rand(400, 3) < 0.9).astype(int)
    model, folds = counting_folds(ALL[name])
    model.set_params(early_stopping=True, validation_fraction=fraction, threshold="tuned")
    if name == "siamese":
        model.set_params(n_phi=380)
    model.set_params(max_epochs=1).fit(X, y)
    assert len(folds) == n_folds


@EACH
@pytest.mark.parametrize("threshold", ["frequency", 0.5, "per_label"])
def test_a_network_is_trained_once_more_where_a_part_has_labels_enough(model, threshold):
    rng = np.random.RandomState(0)
    X, y = rng.rand(1200, 6).astype(np.float32), (rng.rand(1200, 6) < 0.9).astype(int)
    solved = model is LINEAR
    model = SIAMESE_OF_ALL if model is SIAMESE else model
    model, folds = counting_folds(model)
    model.set_params(threshold=threshold, max_epochs=1).fit(X, y)
    assert len(folds) == (3 if solved or threshold == "per_label" else 1)
    assert np.isfinite(model.threshold_).all()


# ---------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("name", [name for name in LOSSES if "focal" in name and "no" not in name])
def test_parameters_of_a_loss_given_by_name_are_set(name):
    model = BalancedLossClassifier(loss=name).set_params(loss__gamma=1.5)
    assert isinstance(model.loss, LOSSES[name]) and model.loss.gamma == 1.5


def test_parameters_inside_specs_are_set_whatever_the_order():
    model = BalancedLossClassifier()
    model.set_params(loss__kappa=0.3, loss="distribution_balanced", lr=0.1)
    assert isinstance(model.loss, DistributionBalancedLoss)
    assert (model.loss.kappa, model.loss.gamma, model.lr) == (0.3, 2.0, 0.1)
    model.set_params(encoder="bag").set_params(encoder__hidden_dims=(3,), encoder__dropout=0.4)
    assert repr(model.encoder) == "BagEncoder(dropout=0.4, hidden_dims=(3,))"
    assert model.get_params()["encoder__dropout"] == 0.4


def test_setting_parameters_of_a_spec_keeps_the_spec():
    loss = FocalLoss()
    model = BalancedLossClassifier(loss=loss).set_params(loss__gamma=0.5)
    assert model.loss is loss and loss.gamma == 0.5


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"loss__gamma": 1}, "loss must be a name or a spec. Got 'auto' instead. Name the loss"),
        ({"encoder__dropout": 0}, "encoder must be a name or a spec. Got 'auto' instead. Name"),
        ({"loss": "bce", "loss__gamma": 1}, "Invalid parameter 'gamma'"),
        ({"loss": "boo", "loss__gamma": 1}, "loss must be one of .* Got 'boo' instead"),
        ({"los": "bce"}, "Invalid parameter 'los'"),
        ({"lr__gamma": 1}, "Invalid parameter|has no attribute"),
    ],
)
def test_parameters_that_cannot_be_set(parameters, message):
    with pytest.raises((ValueError, AttributeError), match=message):
        BalancedLossClassifier().set_params(**parameters)


@BOTH
def test_fit_changes_no_parameter_and_clones_are_unfitted(model, X, y):
    model = clone(model).set_params(loss=DistributionBalancedLoss(kappa=0.2))
    before = {name: repr(value) for name, value in model.get_params().items()}
    model.fit(X, y)
    assert {name: repr(value) for name, value in model.get_params().items()} == before
    copy = clone(model)
    assert not hasattr(copy, "threshold_") and copy.loss.kappa == 0.2
    assert copy.loss is not model.loss
    assert_same_model(copy.fit(X, y), model)


@pytest.mark.parametrize("first, second", [(LINEAR, NETWORK), (NETWORK, LINEAR)])
def test_a_second_fit_forgets_the_first(first, second, X, y):
    model = clone(first).fit(X, y).set_params(**clone(second).get_params(deep=False))
    model.fit(X[:, :5], y[:, 0])
    fresh = clone(second).fit(X[:, :5], y[:, 0])
    assert set(vars(model)) == set(vars(fresh))
    assert_array_equal(model.predict_proba(X[:, :5]), fresh.predict_proba(X[:, :5]))


FAILURES = {
    "features": lambda model, X, y: model.fit(with_value(X[:, :4], np.nan), y),
    "labels": lambda model, X, y: model.fit(X[:, :4], y[:, :2] * 2),
    "validation part": lambda model, X, y: model.fit(X[:, :4], y[:, :2], X, y[:, :2]),
    "loss": lambda model, X, y: model.set_params(loss=FocalLoss(gamma=-1)).fit(X[:, :4], y[:, :2]),
}


def assert_whole(model, fitted, X, predicted):
    """Whether it is the model that was there, attribute by attribute."""
    now = vars(model)
    assert now.keys() == fitted.keys()
    assert all(now[name] is value for name, value in fitted.items() if name.endswith("_"))
    assert model.n_features_in_ == 6 and model.n_labels_ == len(model.threshold_) == 3
    for method, expected in predicted.items():
        assert_array_equal(getattr(model, method)(X), expected)


def predictions(model, X):
    return {name: getattr(model, name)(X) for name in ("predict", "decision_function")}


@EACH
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_fit_that_is_refused_leaves_the_model_that_was_there(model, failure, X, y):
    model = clone(model).set_params(threshold=0.5).fit(X, y)
    fitted, predicted = dict(vars(model)), predictions(model, X)
    with pytest.raises(ValueError):
        failure(model, X, y)
    assert_whole(model, fitted, X, predicted)


@EACH
@pytest.mark.parametrize("step, n_done", [("_train", 0), ("_retrain", 2), ("_decide", 0)])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_fit_that_fails_midway_leaves_the_model_that_was_there(model, step, n_done, error, X, y):
    left = {step: np.inf}

    def fail_in_time(name):
        left[name] = left.get(name, np.inf) - 1
        if left[name] < 0:
            raise error

    model = in_hooks(model, fail_in_time).set_params(threshold="tuned").fit(X, y)
    fitted, predicted = dict(vars(model)), predictions(model, X)
    left[step] = n_done
    with pytest.raises(error):
        model.fit(X[:, :4], y[:, :2])
    assert_whole(model, fitted, X, predicted)
    left[step] = np.inf
    assert model.fit(X[:, :4], y[:, :2]).predict(X[:, :4]).shape == (60, 2)


# ------------------------------------------------------------------- arguments are left alone


def held_by(argument):
    """All that an argument holds, copied, to be compared after a call."""
    if isinstance(argument, list | tuple):
        return [id(argument), *argument]
    if sparse.issparse(argument):
        names = "row col data" if argument.format == "coo" else "indptr indices data"
        parts = [getattr(argument, name) for name in names.split()]
        return [argument.format, argument.shape, *map(held_by, parts)]
    if isinstance(argument, np.ndarray):
        return [argument.dtype.str, argument.copy()]
    if hasattr(argument, "get_params"):  # vars are more than parameters if it was fitted
        parameters = argument.get_params(deep=False).values()
        return [id(argument), sorted(vars(argument)), *map(held_by, parameters)]
    return argument


def assert_left_alone(call, *arguments, **named):
    given = [*arguments, *named.values()]
    before = [held_by(argument) for argument in given]
    returned = call(*arguments, **named)
    np.testing.assert_equal([held_by(argument) for argument in given], before)
    return returned


def messy(matrix):
    """The same in CSR, each row backwards, its last number in two halves, and a stored zero."""
    rows = [[(j, row[j]) for j in np.flatnonzero(row)[::-1]] for row in np.asarray(matrix)]
    rows = [[*row, (0, 0)] for row in rows]
    indptr = np.cumsum([0, *map(len, rows)])
    columns, values = (np.array([pair[k] for row in rows for pair in row]) for k in (0, 1))
    return sparse.csr_matrix((values.astype(np.float32), columns, indptr), matrix.shape)


class Listener(Callback):
    """A callback of the user's that does nothing."""


def with_arguments(model):
    """A copy with whatever of its parameters is an object: specs, lists, arrays."""
    model = clone(model).set_params(loss=DistributionBalancedLoss(kappa=0.2), threshold="tuned")
    if isinstance(model, TReaderXMLClassifier):
        model.set_params(retrieval=CosineNeighbors(), label_parents=np.array([-1, 0, 3, -1]))
    return model.set_params(callbacks=[Listener()])


@EACH
@pytest.mark.parametrize("form", ["csr", "dense", "tokens"])
def test_arguments_stay_as_they_are(model, form, X, y):
    model = with_arguments(model)
    tokens = ((9 * X + 1) * (np.arange(6) < 7 * X[:, :1])).astype(np.int32)
    X = {"csr": messy(X * (X > 0.4)), "dense": X.copy(), "tokens": tokens}[form]
    if form == "tokens":
        model.set_params(encoder=WordEmbedding(embedding_dim=8), max_epochs=1)
    texts = {"label_tokens": X[:4]} if isinstance(model, TReaderXMLClassifier) else {}
    parts = [part.copy() for part in (X, messy(y), X[:30], messy(y[:30]))]
    parameters = held_by(model)[2:]
    assert_left_alone(model.fit, *parts, **texts)
    np.testing.assert_equal(held_by(model)[2:], parameters)
    fitted = dict(vars(model))
    for method in ("predict", "predict_proba", "decision_function", "predict_topk"):
        assert_left_alone(getattr(model, method), X)
    assert vars(model).keys() == fitted.keys()
    assert all(vars(model)[name] is value for name, value in fitted.items())
    if isinstance(model, HeadToTailClassifier):
        assert_left_alone(model.add_labels, X, messy(y[:, :1]))


FORMS_OF_Y = {
    "integers": lambda y: y,
    "floats": lambda y: y.astype(np.float32),
    "truth values": lambda y: y.astype(bool),
    "CSR": messy,
    "CSC": sparse.csc_array,
    "COO": lambda y: sparse.coo_array(messy(y)),
    "classes": lambda y: np.array(["a", "b", "c", "d"])[y.sum(axis=1)],
    "two classes": lambda y: y[:, 1],
}


@EACH
@pytest.mark.parametrize("form", FORMS_OF_Y.values(), ids=FORMS_OF_Y)
def test_y_stays_as_it_is(model, form, X, y):
    model = clone(model).set_params(threshold=0.5, max_epochs=1)
    y = form(y).copy()
    if isinstance(model, HybridSiameseClassifier) and not sparse.issparse(y) and y.ndim == 1:
        model.set_params(n_phi=40)
    assert_left_alone(model.fit, X, y, X, y)


# --------------------------------------------------------------------------------- determinism


@BOTH
def test_the_same_seed_gives_the_same_model_whatever_the_global_state(model, documents):
    X, Y = documents.X.copy(), documents.Y.copy()
    torch.manual_seed(1)
    np.random.seed(1)
    first = clone(model).fit(documents.X, documents.Y)
    torch.manual_seed(2)
    np.random.seed(2)
    assert_same_model(clone(model).fit(documents.X, documents.Y), first)
    assert_same_model(first.fit(documents.X, documents.Y), clone(model).fit(X, Y))


@EACH
@pytest.mark.parametrize("early_stopping", [False, True])
def test_what_is_drawn_between_two_fits_changes_no_bit(model, early_stopping, X, y):
    model = clone(model).set_params(early_stopping=early_stopping, validation_fraction=0.3)
    torch.manual_seed(1)
    np.random.seed(1)
    first = clone(model).fit(X, y)
    torch.rand(7), np.random.rand(7), clone(NETWORK).fit(X, y)
    state = torch.random.get_rng_state()
    second = clone(model).fit(X, y)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert_same_scores(second, first, X)
    assert_same_scores(second.fit(X, y), first, X)
    other = clone(model).set_params(random_state=1).fit(X, y)
    assert (other.threshold_ != first.threshold_).any()  # of other folds at least


def test_another_seed_gives_another_network(documents):
    fitted = [
        clone(NETWORK).set_params(random_state=seed, threshold=0.5).fit(documents.X, documents.Y)
        for seed in (0, 1)
    ]
    assert (weights(fitted[0])[0] != weights(fitted[1])[0]).any()


@BOTH
def test_a_random_state_moves_on(model, documents):
    random_state = np.random.RandomState(0)
    model = clone(model).set_params(random_state=random_state)
    first, second = (clone(model).fit(documents.X, documents.Y) for _ in range(2))
    assert_same_model(first, second)  # a clone copies the state
    before = random_state.get_state()[2]
    model.set_params(random_state=random_state).fit(documents.X, documents.Y)
    assert random_state.get_state()[2] != before


@EACH
def test_global_random_states_are_left_alone(model, X, y):
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()
    clone(model).fit(X, y).predict(X)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    for mine, before in zip(np.random.get_state(), numpy_state, strict=True):
        assert_array_equal(mine, before)


# ----------------------------------------------------------------------------------- pickling


def test_models_score_the_same_in_another_process(documents, tmp_path):
    X = documents.X
    for name, model in (("linear", LINEAR), ("network", NETWORK)):
        fitted = clone(model).fit(X, documents.Y)
        joblib.dump((fitted, X), tmp_path / f"{name}.joblib")
        np.save(tmp_path / f"{name}.npy", fitted.predict_proba(X))
    code = (
        "import joblib, numpy as np\n"
        "for name in ('linear', 'network'):\n"
        f"    model, X = joblib.load(rf'{tmp_path}/{{name}}.joblib')\n"
        f"    expected = np.load(rf'{tmp_path}/{{name}}.npy')\n"
        "    np.testing.assert_array_equal(model.predict_proba(X), expected)\n"
        "    assert model.predict(X).nnz\n"
    )
    root = Path(base.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


@BOTH
def test_pickles_leave_out_what_only_training_needs(model, documents):
    fitted = clone(model).fit(documents.X, documents.Y)
    copy = pickle.loads(pickle.dumps(fitted))
    assert not hasattr(copy, "net_")
    assert hasattr(fitted, "net_") == hasattr(fitted, "module_")
    assert_same_model(copy, fitted)
    if hasattr(fitted, "net_"):
        assert fitted.net_.module_ is fitted.module_ is not copy.module_
    assert_array_equal(copy.predict_proba(documents.X), fitted.predict_proba(documents.X))
    assert len(pickle.dumps(fitted)) < 20 * documents.X.shape[1] * 12
    assert_same_model(copy.fit(documents.X, documents.Y), fitted)


@pytest.mark.gpu
@BOTH
def test_models_trained_on_a_gpu_load_without_one(model, documents, tmp_path):
    fitted = clone(model).set_params(device="auto").fit(documents.X, documents.Y)
    joblib.dump((fitted, documents.X), tmp_path / "model.joblib")
    np.save(tmp_path / "proba.npy", fitted.predict_proba(documents.X))
    code = (
        "import joblib, numpy as np, torch; assert not torch.cuda.is_available()\n"
        f"model, X = joblib.load(r'{tmp_path}/model.joblib')\n"
        f"expected = np.load(r'{tmp_path}/proba.npy')\n"
        "np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-5)\n"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    root = Path(base.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, env=environment)


# ------------------------------------------------------------------------------------- tokens


SMALL_CNN = TextCNN(filter_sizes=(1, 2), n_filters=6, embedding_dim=6, hidden_dim=6)
SMALL_LSTM = BiLSTMAttention(hidden_dim=6, output_dim=6, embedding_dim=6)
TOKENS = {"max_epochs": 3, "early_stopping": False, "batch_size": 16, "random_state": 0}
ENCODERS_OF_TOKENS = pytest.mark.parametrize(
    "encoder", [SMALL_CNN, SMALL_LSTM], ids=["cnn", "lstm"]
)


@pytest.fixture(scope="module")
def token_ids():
    """Sixty texts of 1 to 8 tokens."""
    rng = np.random.RandomState(0)
    lengths = rng.randint(1, 9, 60)
    return rng.randint(1, 20, (60, 8)) * (np.arange(8) < lengths[:, None])


@ENCODERS_OF_TOKENS
def test_a_named_token_encoder_takes_whole_numbers_of_any_type(encoder, token_ids, y):
    models = [
        BalancedLossClassifier(encoder=encoder, **TOKENS).fit(token_ids.astype(dtype), y)
        for dtype in (np.int32, np.int64, np.uint8, np.float64)
    ]
    for model in models[1:]:
        assert_same_model(model, models[0])
        assert_array_equal(
            model.decision_function(token_ids), models[0].decision_function(token_ids)
        )


def test_dense_integers_take_the_encoder_of_the_paper_and_floats_the_linear_model(token_ids, y):
    model = BalancedLossClassifier(threshold=0.5, max_epochs=1, random_state=0)
    assert isinstance(clone(model).fit(token_ids, y).module_[0], ConvolutionalEncoder)
    assert clone(model).fit(token_ids.astype(float), y).coef_.shape == (3, 8)
    assert clone(model).fit(sparse.csr_array(token_ids), y).coef_.shape == (3, 8)
    with pytest.warns(UserWarning, match="X must be token ids from 0 up, or features"):
        assert clone(model).fit(token_ids - 5, y).coef_.shape == (3, 8)
    named = clone(model).set_params(encoder="bag").fit(token_ids, y)
    assert_array_equal(named.coef_, clone(model).fit(token_ids.astype(float), y).coef_)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda X: X - 3, "X must be token ids, .* Got -3 instead. Negative values in data"),
        (lambda X: X + 0.5, "X must be token ids, whole numbers .* Got .*.5 instead. Token"),
        (lambda X: X * np.nan, "Input X contains NaN"),
        (lambda X: sparse.csr_array(X), "X must be token ids, a dense array. Got sparse data"),
        (lambda X: X[0], "Expected 2D array, got 1D array instead"),
    ],
)
@ENCODERS_OF_TOKENS
def test_what_token_encoders_refuse_in_fit_and_predict(encoder, change, message, token_ids, y):
    model = BalancedLossClassifier(encoder=encoder, threshold=0.5, **TOKENS)
    with pytest.raises((ValueError, TypeError), match=message):
        clone(model).fit(change(token_ids), y)
    model.fit(token_ids, y)
    with pytest.raises((ValueError, TypeError), match=message):
        model.predict(change(token_ids))


def test_counts_are_warned_of(token_ids, y):
    counts = token_ids.copy()
    counts[:7, :3] = [4, 0, 2]
    with pytest.warns(UserWarning, match="zeros between other numbers in 7 rows instead") as caught:
        BalancedLossClassifier(encoder=SMALL_CNN, threshold=0.5, **TOKENS).fit(counts, y)
    assert caught[0].filename == __file__


@ENCODERS_OF_TOKENS
def test_new_words_are_unknown_and_padding_may_be_anywhere(encoder, token_ids, y):
    model = BalancedLossClassifier(encoder=encoder, threshold=0.5, **TOKENS).fit(token_ids, y)
    assert model.module_[0].embedding.num_embeddings == token_ids.max() + 1
    new = np.array([[5, 3, 9, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]])
    variants = np.array([[0, 0, 5, 0, 3, 9, 0, 0], [10**6, 0, 0, 0, 0, 0, 0, 0]])
    unknown = np.array([[0, 5, 3, 0, 0, 0, 0, 9], [1, 0, 0, 0, 0, 0, 0, 0]])
    scores = model.decision_function(new)
    assert np.isfinite(scores).all()
    assert_array_equal(model.decision_function(variants), scores)
    assert_array_equal(model.decision_function(unknown), scores)


@ENCODERS_OF_TOKENS
def test_new_words_of_a_validation_part_are_unknown(encoder, token_ids, y):
    model = BalancedLossClassifier(encoder=encoder, threshold=0.5, **TOKENS)
    new = np.where(token_ids > 9, 10**6, token_ids)
    known = np.where(token_ids > 9, 1, token_ids)
    model.set_params(early_stopping=True)
    models = [clone(model).fit(token_ids, y, X_val=part, y_val=y) for part in (new, known)]
    assert_same_model(*models)


@ENCODERS_OF_TOKENS
def test_scores_of_a_text_do_not_depend_on_the_others(encoder, token_ids, y):
    model = BalancedLossClassifier(encoder=encoder, threshold=0.5, **TOKENS).fit(token_ids, y)
    scores = model.decision_function(token_ids)
    order = np.random.RandomState(1).permutation(60)
    assert_array_equal(model.decision_function(token_ids[order]), scores[order])
    alone = [model.decision_function(text[None]) for text in token_ids]
    assert_array_equal(np.concatenate(alone), scores)


def test_pretrained_vectors_in_a_pipeline(documents):
    """The vectors' words number the ids, and set the size of the table."""
    words = sorted({word for text in documents.texts[:50] for word in text.lower().split()})[:200]
    vectors = WordVectors(words, np.random.RandomState(0).randn(len(words), 6))
    model = make_pipeline(
        TokenSequenceVectorizer(vocabulary=vectors, max_length=20),
        BalancedLossClassifier(
            encoder=clone(SMALL_LSTM).set_params(embeddings=vectors), threshold=0.5, **TOKENS
        ),
    )
    scores = model.fit(documents.texts, documents.Y).decision_function(documents.texts)
    assert scores.shape == documents.Y.shape and np.isfinite(scores).all()
    assert model[-1].module_[0].embedding.weight.shape == (len(words) + 2, 6)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.decision_function(documents.texts), scores)


def test_tags_follow_the_encoder():
    for encoder, tokens in {"auto": False, "bag": False, "cnn": True, SMALL_LSTM: True}.items():
        tags = get_tags(BalancedLossClassifier(encoder=encoder)).input_tags
        assert tags.categorical == tags.positive_only == tokens != tags.sparse


class Layer(Encoder):
    """An encoder of the user's own, of features."""

    training = Training(lr=0.05, weight_decay=0.0, max_epochs=60)

    def __init__(self, dim=4):
        self.dim = dim

    def build(self, n_inputs, X=None):
        return LayerModule(n_inputs, self.dim)


class LayerModule(torch.nn.Module):
    def __init__(self, n_inputs, dim):
        super().__init__()
        self.layer, self.output_dim = torch.nn.Linear(n_inputs, dim), dim

    def forward(self, batch):
        return self.layer(batch if batch.layout == torch.strided else batch.to_dense())


class MeanOfWords(Encoder):
    """An encoder of the user's own, of tokens."""

    kind = "tokens"
    training = Training(lr=0.05, weight_decay=0.0, max_epochs=20)

    def __init__(self, dim=4):
        self.dim = dim

    def build(self, n_inputs, X=None):
        module = torch.nn.EmbeddingBag(n_inputs, self.dim, mode="mean", padding_idx=0)
        module.output_dim = self.dim
        return module


def test_an_encoder_of_features_of_ones_own(X, y):
    model = BalancedLossClassifier(encoder=Layer(), loss="bce", threshold=0.5, random_state=0)
    model.set_params(encoder__dim=3)
    dense = clone(model).set_params(threshold="tuned").fit(X, y)
    assert dense.module_[0].layer.weight.shape == (3, 6)
    assert (dense.net_.lr, dense.n_iter_) == (0.05, 200)  # 60 epochs are fewer than 200 steps
    assert (dense.predict(X) == y).mean() > 0.85
    csr = clone(model).fit(sparse.csr_array(X), y)
    assert_allclose(csr.decision_function(X), dense.decision_function(X), atol=0.02)


def test_an_encoder_of_tokens_of_ones_own(token_ids):
    y = np.stack([(token_ids == word).any(axis=1) for word in (2, 3, 4)], axis=1).astype(int)
    model = BalancedLossClassifier(encoder=MeanOfWords(dim=6), random_state=0).fit(token_ids, y)
    assert model.inputs_.kind == "tokens"
    assert model.module_[0].weight.shape == (token_ids.max() + 1, 6)
    assert (model.predict(token_ids) == y).mean() > 0.9
    unknown = np.where(token_ids == 5, 1, token_ids)
    new = np.where(token_ids == 5, 10**6, token_ids)
    assert_array_equal(model.decision_function(new), model.decision_function(unknown))


def test_decision_function_of_a_token_encoder_comes_with_fit(token_ids, y):
    model = BalancedLossClassifier(encoder=SMALL_CNN, threshold=0.5, **TOKENS)
    assert not hasattr(model, "decision_function") and hasattr(LINEAR, "decision_function")
    assert hasattr(model.fit(token_ids, y), "decision_function")


# --------------------------------------------------------------------------------- interruption


class InterruptInSecondEpoch(Callback):
    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) == 2:
            raise KeyboardInterrupt


ALONE = {
    "network": NETWORK,
    "siamese": clone(SIAMESE).set_params(n_phi=0),
    "transferred": clone(TRANSFERRED).set_params(n_tail=0),
    "read": READ,
}
IN_ONE_STAGE = pytest.mark.parametrize("model", ALONE.values(), ids=ALONE)


def interrupted(model, **parameters):
    """A copy whose main training the user stops in its second epoch."""
    settings = {"callbacks": [InterruptInSecondEpoch()], "max_epochs": 3, "batch_size": 16}
    return clone(model).set_params(**settings | parameters)


@pytest.mark.filterwarnings("ignore:n_tail=0 leaves no tail")
@IN_ONE_STAGE
@pytest.mark.parametrize("given", [False, True])
def test_an_interrupted_fit_is_usable_if_documents_were_spared(model, given, X, y):
    """However few they are: no further model is trained to decide by."""
    trained = []
    stopped = in_hooks(interrupted(model, early_stopping=True), trained.append)
    stopped.set_params(validation_fraction=0.3)
    part = {"X_val": X[:20], "y_val": y[:20]} if given else {}
    message = r"interrupted in epoch 2 of 3\. The estimator is fitted and can be used: .* epoch 1,"
    with pytest.raises(KeyboardInterrupt, match=message):
        stopped.fit(X, y, **part)
    assert trained == ["_train", "_decide"] and stopped.n_iter_ == 2 and len(stopped.history_) == 2
    assert np.isfinite(stopped.predict_proba(X)).all()
    assert stopped.decision_.rule == "frequency" and (stopped.threshold_ != 0).any()
    assert stopped.set_params(callbacks=None).fit(X, y).n_iter_ == 3


NETWORKS = {name: model for name, model in ALL.items() if model is not LINEAR}
EACH_NETWORK = pytest.mark.parametrize("model", NETWORKS.values(), ids=NETWORKS)


@EACH_NETWORK
def test_an_interrupted_fit_with_nothing_to_decide_by_leaves_what_was_there(model, X, y):
    stopped = interrupted(model)
    with pytest.raises(KeyboardInterrupt, match="in epoch 2 of 3. The estimator is as it was"):
        stopped.fit(X, y)
    assert not [name for name in vars(stopped) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        stopped.predict(X)


@pytest.mark.parametrize("model", [SIAMESE, TRANSFERRED], ids=["siamese", "transferred"])
def test_an_interruption_before_the_last_stage_sets_nothing(model, X, y):
    stopped = interrupted(model, early_stopping=True, validation_fraction=0.3)
    with pytest.raises(KeyboardInterrupt, match="in epoch 2 of 3. The estimator is as it was"):
        stopped.fit(X, y)
    assert not [name for name in vars(stopped) if name.endswith("_")]


def interrupt_training(monkeypatch, which):
    """Stop the second batch of training number so and so, from 1 up; returns how many began."""
    begun = []
    begin, end = Schedule.on_train_begin, Schedule.on_batch_end

    def on_train_begin(self, net, **kwargs):
        begun.append(0)
        begin(self, net, **kwargs)

    def on_batch_end(self, net, training=False, **kwargs):
        begun[-1] += 1
        if len(begun) == which and begun[-1] == 2:
            raise KeyboardInterrupt
        end(self, net, training=training, **kwargs)

    monkeypatch.setattr(Schedule, "on_train_begin", on_train_begin)
    monkeypatch.setattr(Schedule, "on_batch_end", on_batch_end)
    return begun


@EACH_NETWORK
@pytest.mark.parametrize("which", [2, 3])
def test_an_interruption_in_a_fold_sets_nothing(model, which, X, y, monkeypatch):
    begun = interrupt_training(monkeypatch, which)
    stopped = clone(model).set_params(batch_size=16)
    with pytest.raises(KeyboardInterrupt, match="The estimator is as it was before"):
        stopped.fit(X, y)
    assert len(begun) == which and not [name for name in vars(stopped) if name.endswith("_")]


@pytest.mark.parametrize(
    "run",
    [
        lambda model, X, y: GridSearchCV(model, {"lr": [0.01, 0.1]}, cv=2).fit(X, y),
        lambda model, X, y: cross_validate(model, X, y, cv=2),
        lambda model, X, y: MultilabelThresholdClassifierCV(model).fit(X, y),
        lambda model, X, y: MultilabelVotingClassifier([("a", model), ("b", LINEAR)]).fit(X, y),
        lambda model, X, y: make_pipeline(StandardScaler(), model).fit(X, y),
        lambda model, X, y: [clone(model).set_params(random_state=k).fit(X, y) for k in (0, 1)],
    ],
    ids=["search", "cross-validation", "cut-offs", "vote", "pipeline", "loop"],
)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_interruption_ends_what_was_begun(run, early_stopping, X, y, monkeypatch):
    begun = interrupt_training(monkeypatch, 1)
    model = clone(NETWORK).set_params(early_stopping=early_stopping, validation_fraction=0.3)
    with pytest.raises(KeyboardInterrupt):
        run(model.set_params(batch_size=8), X, y)
    assert len(begun) == 1


class Signal(Callback):
    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 2:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def heard():
    """A shell has SIGINT ignored by what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_a_fit(X, y):
    stopped = clone(NETWORK).set_params(callbacks=[Signal()], early_stopping=True)
    with pytest.raises(KeyboardInterrupt, match="in epoch 2 of 3. The estimator is fitted"):
        stopped.fit(X, y)
    assert stopped.predict(X).shape == y.shape


# ----------------------------------------------------------------------------------- divergence


@EACH_NETWORK
@pytest.mark.parametrize("threshold", [0.5, "frequency"])
@pytest.mark.parametrize("lr", [1e4, 1e30])
def test_a_network_that_diverges_is_an_error_that_says_what_to_do(model, threshold, lr, X, y):
    wild = clone(model).set_params(lr=lr, threshold=threshold, batch_size=16)
    message = rf"at a learning rate of {re.escape(f'{lr:g}')}.*Training diverged: try a smaller lr"
    with pytest.raises(ValueError, match=message):
        wild.fit(X, y)
    with pytest.raises(NotFittedError):
        wild.predict(X)


def test_in_a_search_what_diverges_has_the_score_of_an_error(X, y):
    grid = {"lr": [0.01, 1e30]}
    folds = MultilabelStratifiedKFold(2)
    search = GridSearchCV(NETWORK, grid, scoring="f1_micro", cv=folds, error_score=-1.0)
    with pytest.warns(FitFailedWarning, match="Training diverged"):
        search.fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] >= 0 > scores[1] and search.best_params_ == {"lr": 0.01}


@EACH
def test_documents_of_values_beyond_all_measure_are_refused(model, X, y):
    fitted, far = clone(model).fit(X, y), with_value(X, 1e30)
    message = "X must be of values up to .* Got 1e.30 instead. Scale it"
    for method in ("predict", "predict_proba", "decision_function", "predict_topk"):
        with pytest.raises(ValueError, match=message):
            getattr(fitted, method)(far)
    with pytest.raises(ValueError, match=message):
        fitted.fit(far, y)


def test_a_vote_of_words_and_of_their_order(documents):
    """One object from raw texts; the second member has its decision_function once fitted."""
    tokens = BalancedLossClassifier(encoder=SMALL_LSTM, threshold=0.5, **TOKENS)
    members = [
        ("bag", make_pipeline(TfidfVectorizer(), LINEAR)),
        ("order", make_pipeline(TokenSequenceVectorizer(max_length=20), tokens)),
    ]
    vote = MultilabelVotingClassifier(members).fit(documents.texts, documents.Y)
    margins = [
        member.decision_function(documents.texts) - member[-1].threshold_
        for member in vote.estimators_
    ]
    expected = sum(margins) / 2
    assert_allclose(vote.decision_function(documents.texts), expected, atol=1e-5)


def test_lists_of_labels_are_told_how_to_become_indicators():
    with pytest.raises(ValueError, match="Got rows of different lengths instead. .*Binarizer"):
        clone(LINEAR).fit(np.eye(3), [["a"], ["a", "b"], ["b"]])
