"""What both classifiers around other classifiers do: labels, blocks, and life in scikit-learn."""

import pickle
import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils import get_tags

from skmltc import BalancedLossClassifier
from skmltc.decision import (
    MultilabelThresholdClassifierCV,
    MultilabelVotingClassifier,
    _meta,
    _threshold,
)
from skmltc.decision._meta import document_blocks, prior_cut_off
from skmltc.labels import LabelWarning

UNHURRIED = settings(deadline=None, max_examples=50)
FORMATS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, sparse.coo_array]
ABSENT = 8  # the column of the label without documents, where there is one
pytestmark = pytest.mark.filterwarnings("ignore:Label .* is present in all training examples")


def svc(**options):
    return OneVsRestClassifier(LinearSVC(random_state=0, **options))


def text_model():
    return make_pipeline(TfidfVectorizer(max_features=300), svc())


def tuned(model):
    return MultilabelThresholdClassifierCV(model, random_state=0)


def voting(model):
    return MultilabelVotingClassifier([("a", model), ("b", clone(model))])


both = pytest.mark.parametrize("around", [tuned, voting])


def dense(y):
    return y.toarray() if sparse.issparse(y) else np.asarray(y)


def stored(matrix, row):
    """Columns and values of a row of a CSR matrix."""
    ends = slice(*matrix.indptr[row : row + 2])
    return matrix.indices[ends], matrix.data[ends]


class Probe(ClassifierMixin, BaseEstimator):
    """Scores of every document in a column of X; remembers how many it was asked for at once."""

    def fit(self, X, y):
        self.sizes_ = []
        self.y_type_ = type(y)
        self.n_labels_ = y.shape[1]
        return self

    def decision_function(self, X):
        self.sizes_.append(X.shape[0])
        return dense(X)[:, : self.n_labels_]


@pytest.fixture
def probed():
    """Scores that are X itself, with labels that follow them by and large."""
    rng = np.random.RandomState(0)
    scores = rng.normal(size=(50, 7))
    return scores, (scores + rng.normal(size=(50, 7)) > 1).astype(int)


def probes_of(model):
    return [model.estimator_] if hasattr(model, "estimator_") else model.estimators_


# -------------------------------------------------------------------- how many labels there are


def loop_prior_cut_off(scores, n_true):
    """Half-way between the last score that is kept and the first that is not."""
    ranked = sorted(scores, reverse=True)
    return (ranked[n_true - 1] + ranked[n_true]) / 2


@UNHURRIED
@given(st.integers(1, 40), st.integers(0, 99), st.integers(1, 9))
def test_as_many_pairs_are_above_the_prior_cut_off_as_are_true(n_true, seed, size):
    scores = np.random.RandomState(seed).permutation(60) / 7
    blocks = [scores[start : start + size].reshape(1, -1) for start in range(0, 60, size)]
    cut_off = prior_cut_off(blocks, n_true)
    assert cut_off == pytest.approx(loop_prior_cut_off(scores, n_true), rel=1e-15)
    assert (scores > cut_off).sum() == n_true


@pytest.mark.parametrize(
    ("scores", "n_true", "n_above"),
    [
        ([3.0, 2.0, 1.0], 3, 3),
        ([3.0, 2.0, 1.0], 5, 3),
        ([3.0, 2.0, 1.0], 0, 0),
        ([3.0, 2.0, 2.0, 2.0, 1.0], 2, 1),  # of equal ones none
        ([3.0, 2.0, -np.inf, -np.inf], 2, 2),
        ([3.0, 2.0, -np.inf, -np.inf], 3, 2),
        ([1.0, np.nextafter(1.0, 0.0), 0.0], 1, 1),
        ([3e38, 2e38, -3e38], 2, 2),
        ([], 2, 0),
    ],
)
def test_the_prior_cut_off_at_the_edges(scores, n_true, n_above):
    scores = np.array(scores)
    cut_off = prior_cut_off([scores[:2], scores[2:]], n_true)
    assert np.isfinite(cut_off) and (scores > cut_off).sum() == n_above


# -------------------------------------------------------------------------------- y, in and out


@both
def test_y_may_have_any_form(around, X, y):
    fitted = [around(svc()).fit(X, given_as(y)) for given_as in [*FORMATS, np.ndarray.tolist]]
    assert not (fitted[0].predict(X) == 0).all()
    for one in fitted:
        assert_array_equal(one.threshold_, fitted[0].threshold_)
        assert_array_equal(dense(one.predict(X)), fitted[0].predict(X))
    predicted_as = [type(one.predict(X)) for one in fitted]
    assert predicted_as == [
        np.ndarray,
        *2 * [sparse.csr_matrix],
        *2 * [sparse.csr_array],
        np.ndarray,
    ]
    assert fitted[0].predict(X).dtype == fitted[1].predict(X).dtype == np.int64


@both
@pytest.mark.parametrize("given_as", FORMATS[:4])
def test_y_reaches_the_estimator_as_it_was_given(around, given_as, probed):
    X, y = probed
    fitted = around(Probe()).fit(X, given_as(y))
    assert {probe.y_type_ for probe in probes_of(fitted)} == {type(given_as(y))}


@both
@pytest.mark.parametrize("given_as", FORMATS)
def test_a_single_column_reaches_the_estimator_dense(around, given_as, probed):
    X, y = probed
    fitted = around(Probe()).fit(X, given_as(y[:, :1]))
    assert {probe.y_type_ for probe in probes_of(fitted)} == {np.ndarray}
    predicted = fitted.predict(X)
    assert predicted.shape == (50, 1)
    assert sparse.issparse(predicted) == sparse.issparse(given_as(y))


@both
@pytest.mark.parametrize("model", [LogisticRegression(), MultinomialNB()])
@pytest.mark.parametrize("classes", [["no", "yes"], [3, 1, 2]])
def test_of_a_y_of_classes_the_best_is_predicted(around, model, classes, X, y):
    y = np.array(classes)[np.arange(len(y)) % len(classes)]
    fitted, alone = around(model).fit(X, y), model.fit(X, y)
    assert_array_equal(fitted.classes_, alone.classes_)
    assert_array_equal(fitted.predict(X), alone.predict(X))
    assert_array_equal(around(model).fit(X, y.tolist()).predict(X), alone.predict(X))
    if hasattr(fitted, "predict_proba"):
        assert_array_equal(fitted.predict_proba(X), alone.predict_proba(X))
    else:
        assert fitted.decision_function(X).ndim == len(classes) - 1
    n_columns = 1 if len(classes) == 2 else 3
    assert fitted.predict_topk(X, 1).shape == (len(y), n_columns)


@both
def test_of_a_y_of_classes_min_labels_means_nothing(around, X, y):
    model, y = around(LogisticRegression()), y[:, y.sum(axis=0).argmax()]
    before = model.fit(X, y).predict(X)
    assert len(np.unique(before)) == 2
    if "min_labels" in model.get_params():
        assert_array_equal(model.set_params(min_labels=1).predict(X), before)


@both
@pytest.mark.parametrize("dtype", ["Int64", "boolean", "category", float, object])
def test_y_may_be_a_table(around, dtype, X, y):
    pandas = pytest.importorskip("pandas")
    values = y.astype(bool) if dtype == "boolean" else y
    fitted = around(svc()).fit(X, pandas.DataFrame(values).astype(dtype))
    assert_array_equal(fitted.predict(X), around(svc()).fit(X, y).predict(X))


@both
def test_names_of_labels_are_kept(around, X, y):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(y, columns=[f"label {k}" for k in range(y.shape[1])])
    fitted = around(svc()).fit(X, table)
    assert fitted.label_names_.tolist() == list(table.columns)
    assert not hasattr(fitted.fit(X, y), "label_names_")


@both
def test_columns_are_those_of_the_estimator(around, X, y, corpus):
    pandas = pytest.importorskip("pandas")
    fitted = around(svc()).fit(X, y)
    assert fitted.n_features_in_ == X.shape[1] and not hasattr(fitted, "feature_names_in_")
    table = pandas.DataFrame(X[:, :3].toarray(), columns=list("abc"))
    assert around(svc()).fit(table, y).feature_names_in_.tolist() == list("abc")
    fitted = around(svc()).fit(table, y).fit(X, y)
    assert fitted.n_features_in_ == X.shape[1] and not hasattr(fitted, "feature_names_in_")
    assert not hasattr(around(text_model()).fit(corpus.data, y), "n_features_in_")


@both
def test_attributes(around, X, y):
    y[0] = 0
    fitted = around(svc()).fit(X, sparse.csr_array(y))
    assert_array_equal(fitted.classes_, np.arange(8))
    assert_array_equal(fitted.label_counts_, y.sum(axis=0))
    assert fitted.n_samples_fit_ == len(y) and fitted.threshold_.shape == (8,)
    assert_array_equal(fitted.threshold_, fitted.decision_.thresholds)
    with pytest.raises(AttributeError):
        fitted.threshold_ = np.zeros(8)


# -------------------------------------------------------------------- labels without documents


@both
def test_a_label_without_documents_is_never_offered(around, X, y_absent):
    with pytest.warns(LabelWarning):
        fitted = around(svc()).fit(X, y_absent)
    scores = fitted.decision_function(X)
    assert (scores[:, ABSENT] == 0).all()  # above the scores of others
    assert fitted.threshold_[ABSENT] == np.inf and fitted.predict(X)[:, ABSENT].sum() == 0
    for k in (1, 4, 50):
        best = fitted.predict_topk(X, k=k)
        assert isinstance(best, sparse.csr_array) and best.shape == y_absent.shape
        for row in range(20):
            columns, values = stored(best, row)
            assert sorted(columns) == sorted(np.argsort(-scores[row, :ABSENT])[:k])
            assert_allclose(values, scores[row, columns], rtol=1e-6)
    assert fitted.predict_topk(X, k=99).nnz == len(y_absent) * ABSENT


@both
@pytest.mark.parametrize("model", [svc(), BalancedLossClassifier(weight_decay=0.1)])
def test_a_label_without_documents_is_warned_of_once_and_those_of_a_fold_are_not(
    around, model, X, y_absent
):
    y_absent[:, 3] = np.arange(len(y_absent)) == 2  # two of the three folds lack it
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        around(model).fit(X, y_absent)
    told = [str(one.message) for one in said if "label" in str(one.message).lower()]
    assert told == [
        "1 of 9 labels have no training document (columns 8). They will never be predicted."
    ]
    assert said[0].filename == __file__


@both
@pytest.mark.parametrize("n_labels", [1, 3])
def test_no_label_has_a_document(around, n_labels, X):
    y = np.zeros((X.shape[0], n_labels), dtype=int)
    match = "y must be a matrix with at least one positive. Got only zeros instead"
    for model in (around(svc()), BalancedLossClassifier(), around(BalancedLossClassifier())):
        with pytest.raises(ValueError, match=match):
            model.fit(X, y)


# -------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize(
    "given_as",
    [np.asarray, np.ndarray.tolist, sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix],
)
def test_blocks_hold_every_document_in_turn(given_as):
    X = np.arange(1, 23).reshape(11, 2)
    blocks = list(document_blocks(given_as(X), n_labels=7, block_size=4 * 7 + 3))
    assert [dense(block).shape[0] for block in blocks] == [4, 4, 3]
    assert_array_equal(np.concatenate([dense(block) for block in blocks]), X)


def test_a_block_holds_a_document_however_many_labels_there_are():
    texts = ["a", "b", "c"]
    assert list(document_blocks(texts, n_labels=10**9)) == [["a"], ["b"], ["c"]]
    assert list(document_blocks(texts, n_labels=2)) == [texts]


@both
def test_a_data_frame_of_sparse_columns_is_as_a_sparse_y(around, X, y):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame.sparse.from_spmatrix(sparse.csr_array(y))
    ours, theirs = around(svc()).fit(X, frame), around(svc()).fit(X, sparse.csr_array(y))
    assert isinstance(ours.predict(X), sparse.csr_array)
    assert_array_equal(ours.predict(X).toarray(), theirs.predict(X).toarray())
    given = _meta.for_estimators(ours.target_, frame, ours.target_.indicators(frame))
    assert given.format == "csr" and given.dtype == np.int64


@both
@pytest.mark.parametrize("given_as", [np.asarray, sparse.csr_array])
def test_prediction_goes_in_blocks(around, given_as, probed, monkeypatch):
    X, y = probed
    fitted = around(Probe()).fit(X, given_as(y))
    whole = dense(fitted.predict(X)), fitted.predict_topk(X, 2).toarray()
    assert_array_equal(whole[0], X.astype("f4") > fitted.threshold_)
    some = partial(document_blocks, block_size=8 * 7 + 3)
    monkeypatch.setattr(_meta, "document_blocks", some)
    for probe in probes_of(fitted):
        probe.sizes_.clear()
    for X_given in (X, sparse.csr_matrix(X), sparse.coo_array(X), sparse.csc_array(X)):
        assert_array_equal(dense(fitted.predict(X_given)), whole[0])
        assert_array_equal(fitted.predict_topk(X_given, 2).toarray(), whole[1])
    for probe in probes_of(fitted):
        assert probe.sizes_ == 8 * [8, 8, 8, 8, 8, 8, 2]


@both
def test_blocks_of_texts(around, corpus, monkeypatch):
    fitted = around(text_model()).fit(corpus.data, corpus.target)
    whole = fitted.predict(corpus.data).toarray()
    monkeypatch.setattr(_meta, "document_blocks", partial(document_blocks, block_size=1))
    texts = corpus.data[:9]
    assert_array_equal(fitted.predict(texts).toarray(), whole[:9])
    assert_array_equal(fitted.predict(np.array(texts, dtype=object)).toarray(), whole[:9])
    assert fitted.predict_topk(texts, 1).shape == (9, 8)


def test_cut_offs_are_learned_in_blocks(corpus, monkeypatch):
    whole = tuned(text_model()).fit(corpus.data, corpus.target)
    monkeypatch.setattr(_threshold, "document_blocks", partial(document_blocks, block_size=30))
    pieces = tuned(text_model()).fit(corpus.data, corpus.target)
    assert_array_equal(pieces.threshold_, whole.threshold_)


# --------------------------------------------------------------------- life within scikit-learn


class TextTagged(Probe):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags


@pytest.mark.parametrize("member", [svc(), RandomForestClassifier(), text_model(), TextTagged()])
def test_tags(member):
    for model in (tuned(member), voting(member), tuned(voting(member))):
        tags = get_tags(model)
        assert is_classifier(model) and tags.classifier_tags.multi_label
        assert tags.input_tags == get_tags(member).input_tags
        assert not tags.target_tags.multi_output


@both
def test_clone_and_pickle(around, corpus):
    fitted = around(text_model()).fit(corpus.data, corpus.target)
    assert not hasattr(clone(fitted), "decision_")
    loaded = pickle.loads(pickle.dumps(fitted))
    scores = fitted.decision_function(corpus.data)
    assert_array_equal(loaded.decision_function(corpus.data), scores)
    assert_array_equal(loaded.predict(corpus.data).toarray(), fitted.predict(corpus.data).toarray())


@both
def test_the_estimator_that_was_given_stays_unfitted(around, X, corpus):
    model = svc()
    around(model).fit(X, corpus.target)
    assert not hasattr(model, "classes_")


@both
def test_what_is_given_is_not_changed(around, X, y):
    given = X.copy(), sparse.csc_matrix(y)
    for matrix in given:
        matrix.data.setflags(write=False)
    fitted = around(svc()).fit(*given)
    fitted.predict(given[0])
    fitted.predict_topk(given[0], 2)
    assert_allclose(given[0].toarray(), X.toarray())
    assert_array_equal(given[1].toarray(), y)


@both
def test_a_fit_that_fails_leaves_the_model_that_was_there(around, X, y):
    fitted = around(svc()).fit(X, y)
    before, predicted = dict(vars(fitted)), fitted.predict(X)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fitted.fit(X, y[:-1, :5])
    assert vars(fitted) == before
    assert_array_equal(fitted.predict(X), predicted)


@both
def test_a_second_fit_leaves_nothing_of_the_first(around, X, y):
    again = around(svc()).fit(X, sparse.csr_array(y)).fit(X[:99], y[:99, :5])
    once = around(svc()).fit(X[:99], y[:99, :5])
    assert vars(again).keys() == vars(once).keys()
    assert_array_equal(again.threshold_, once.threshold_)
    assert_array_equal(again.predict(X), once.predict(X))
    assert f1_score(y[:, :5], again.predict(X), average="micro") > 0.5


# ----------------------------------------------------------------------------------- bad input


@both
def test_bad_data(around, X, y):
    model = around(svc())
    with pytest.raises(ValueError, match="y must be a label indicator matrix of zeros and ones"):
        model.fit(X, 2 * y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])
    with pytest.raises(ValueError, match="y must be given. Got None .* requires y to be passed"):
        model.fit(X, None)
    with pytest.raises(ValueError, match="y must be a label indicator.* Got lists of names"):
        model.fit(X, [["a", "b"]] * len(y))
    for method in (model.predict, model.predict_topk, model.decision_function):
        with pytest.raises(NotFittedError):
            method(X)
    fitted = clone(model).fit(X, y)
    with pytest.raises(ValueError, match="features"):
        fitted.predict(X[:, :-1])
    with pytest.raises(ValueError, match="k must be a positive integer. Got 0"):
        fitted.predict_topk(X, k=0)
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        fitted.predict(X[:0])
