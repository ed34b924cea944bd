"""Votes of neighbours against loops; documents and labels that come later."""

import math
import pickle
import tracemalloc
import warnings
from unittest.mock import patch

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics import f1_score
from sklearn.neighbors import NearestNeighbors

from skmltc.decision import MultilabelThresholdClassifierCV
from skmltc.labels import NEVER_LOGIT, LabelWarning
from skmltc.neighbors import MultilabelKNeighborsClassifier
from skmltc.text import TokenSequenceVectorizer


@pytest.fixture(scope="module")
def split(documents):
    """Features and labels of 200 documents, and of 100 others."""
    X, Y = sparse.csr_array(documents.X), sparse.csr_array(documents.Y)
    return X[:200], Y[:200], X[200:], Y[200:]


def cosine(a, b):
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def loop_log_odds(X, Y, queries, k):
    """One query, one label at a time."""
    logits = np.full((len(queries), Y.shape[1]), float(NEVER_LOGIT))
    for i, query in enumerate(queries):
        cosines = [cosine(query, row) for row in X]
        nearest = sorted(range(len(X)), key=lambda j: (-cosines[j], j))[:k]
        nearest = [j for j in nearest if cosines[j] > 0]
        for label in np.flatnonzero(Y.sum(axis=0)):
            prior = min(max(Y[:, label].mean(), 0.5 / len(X)), 1 - 0.5 / len(X))
            total = sum(cosines[j] for j in nearest)
            share = sum(cosines[j] for j in nearest if Y[j, label]) / total if nearest else 0
            p = (len(nearest) * share + prior) / (len(nearest) + 1)
            logits[i, label] = math.log(p / (1 - p))
    return logits


@pytest.mark.parametrize("k", [1, 7, 50])
def test_log_odds_are_those_of_loops(k):
    rng = np.random.RandomState(k)
    X = rng.rand(40, 9) * (rng.rand(40, 9) < 0.3)
    queries = rng.rand(12, 9) * (rng.rand(12, 9) < 0.3)
    queries[0] = 0
    Y = (rng.rand(40, 5) < [0.5, 0.2, 0.05, 0, 1]).astype(int)
    expected = loop_log_odds(X, Y, queries, k)
    with pytest.warns(LabelWarning, match="columns 3"):
        dense = MultilabelKNeighborsClassifier(k).fit(X, Y)
    assert_allclose(dense.decision_function(queries), expected, rtol=1e-3, atol=1e-4)
    with pytest.warns(LabelWarning, match="columns 3"):
        on_csr = MultilabelKNeighborsClassifier(k).fit(sparse.csr_array(X), sparse.csr_array(Y))
    found = on_csr.decision_function(sparse.csr_array(queries))
    assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert_allclose(dense.predict_proba(queries), expit(expected), atol=1e-4)
    assert_array_equal(dense.predict(queries), (expected > 0) & (Y.sum(axis=0) > 0))


def test_tokens_are_compared_by_the_tfidf_of_their_ids(documents):
    tokens = TokenSequenceVectorizer(max_length=40).fit_transform(documents.texts)
    fitted = MultilabelKNeighborsClassifier(9).fit(tokens[:200], documents.Y[:200])
    counts = np.array([np.bincount(row, minlength=tokens.max() + 1)[2:] for row in tokens])
    weights = TfidfTransformer(sublinear_tf=True).fit(counts[:200])
    X, queries = (weights.transform(part).toarray() for part in (counts[:200], counts[200:210]))
    expected = loop_log_odds(X, documents.Y[:200].toarray(), queries, 9)
    assert_allclose(fitted.decision_function(tokens[200:210]), expected, rtol=1e-3, atol=1e-3)
    odd = tokens[200:203].copy()
    odd[odd == odd[0, 0]] = tokens.max() + 5  # a word that came later is unknown
    assert np.isfinite(fitted.decision_function(odd)).all()


def test_any_search_by_cosine_gives_the_same(split):
    X, Y, X_new, _ = split
    own = MultilabelKNeighborsClassifier(15).fit(X, Y)
    search = NearestNeighbors(metric="cosine", algorithm="brute")
    other = MultilabelKNeighborsClassifier(15, search).fit(X, Y)
    assert_allclose(own.decision_function(X_new), other.decision_function(X_new), atol=1e-4)
    assert not hasattr(search, "n_samples_fit_")  # the user's object stays as it was


def test_blocks_in_threads_and_a_pickled_copy_give_the_same(split, monkeypatch):
    X, Y, X_new, _ = split
    fitted = MultilabelKNeighborsClassifier().fit(X, Y)
    expected = fitted.decision_function(X_new)
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).decision_function(X_new), expected)
    monkeypatch.setattr("skmltc.neighbors._scorer._DOCUMENTS_AT_A_TIME", 7)
    monkeypatch.setattr("skmltc.base._SCORES_AT_A_TIME", 500)
    in_threads = MultilabelKNeighborsClassifier(n_jobs=2).fit(X, Y)
    assert_array_equal(in_threads.decision_function(X_new), expected)


def test_documents_are_stored_once_and_another_search_is_not_fitted_again(split):
    X, Y, X_new, _ = split
    fitted = MultilabelKNeighborsClassifier(15).fit(X, Y)
    assert len(pickle.dumps(fitted)) < 1.5 * len(pickle.dumps(X.astype(np.float32)))

    search = NearestNeighbors(metric="cosine", algorithm="brute")
    other = MultilabelKNeighborsClassifier(15, search).fit(X, Y)
    with patch.object(NearestNeighbors, "fit", side_effect=AssertionError):
        copied = pickle.loads(pickle.dumps(other))
    assert_array_equal(copied.decision_function(X_new), other.decision_function(X_new))


def test_nothing_as_large_as_documents_times_labels_is_dense(monkeypatch):
    rng = np.random.RandomState(0)
    X = sparse.random_array((1000, 300), density=0.05, format="csr", rng=rng, dtype=np.float32)
    ones, rows = np.ones(3000, dtype=np.float32), np.arange(3000) % 1000
    Y = sparse.csr_array((ones, (rows, np.arange(3000) * 2 % 6000)), shape=(1000, 6000))
    monkeypatch.setattr("skmltc.base._SCORES_AT_A_TIME", 2**18)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabelWarning)
        MultilabelKNeighborsClassifier(5).fit(X[:50], Y[:50]).predict(X[:5])  # imports
        tracemalloc.start()
        fitted = MultilabelKNeighborsClassifier(5).fit(X, Y)
        fitted.predict(X), fitted.predict_topk(X, 3)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1000 * 6000 * 4 / 2


def test_wrapped_it_finds_more_labels_than_at_a_half(split):
    X, Y, X_new, Y_new = split
    plain = MultilabelKNeighborsClassifier(20)
    at_half = plain.fit(X, Y).predict(X_new)
    assert isinstance(at_half, sparse.csr_array)
    for rule in ("frequency", "micro_macro"):
        wrapped = MultilabelThresholdClassifierCV(plain, threshold=rule, random_state=0).fit(X, Y)
        macro = [
            f1_score(Y_new.toarray(), found.toarray(), average="macro", zero_division=0)
            for found in (at_half, wrapped.predict(X_new))
        ]
        assert macro[1] > macro[0] + 0.05


def assert_alike(one, other, X):
    assert_array_equal(one.decision_function(X), other.decision_function(X))
    assert_array_equal(one.predict(X).toarray(), other.predict(X).toarray())
    for name in ("label_counts_", "threshold_", "head_labels_", "tail_labels_", "n_samples_fit_"):
        assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("form", [sparse.csr_array, lambda X: X.toarray()], ids=["csr", "dense"])
def test_added_documents_are_as_if_there_from_the_start(form, split):
    X, Y, X_new, _ = split
    added = MultilabelKNeighborsClassifier().fit(form(X[:120]), Y[:120])
    assert added.add_documents(form(X[120:]), Y[120:]) is added
    whole = MultilabelKNeighborsClassifier().fit(form(X), Y)
    assert_alike(added, whole, form(X_new))


def test_documents_of_one_class_each_can_be_added(split):
    X, _, X_new, _ = split
    y = np.array(list("abc"))[np.arange(200) % 3]
    added = MultilabelKNeighborsClassifier(9).fit(X[:150], y[:150]).add_documents(X[150:], y[150:])
    whole = MultilabelKNeighborsClassifier(9).fit(X, y)
    assert_array_equal(added.predict_proba(X_new), whole.predict_proba(X_new))
    assert_array_equal(added.predict(X_new), whole.predict(X_new))
    with pytest.raises(ValueError, match="y must be label indicators in fit, to add labels"):
        added.add_labels(X[:2], np.ones((2, 1)))


def test_added_labels_leave_the_others_alone_and_are_as_if_learned_with_all_documents(split):
    X, Y, X_new, _ = split
    has = np.flatnonzero(Y[:, [9]].toarray().ravel())
    rest = np.setdiff1d(np.arange(200), has)
    known, order = [c for c in range(12) if c != 9], np.append(rest, has)
    fitted = MultilabelKNeighborsClassifier(15).fit(X[rest], Y[rest][:, known])
    before = fitted.decision_function(X_new)
    fitted.add_labels(X[has], np.ones((len(has), 1)))
    after = fitted.decision_function(X_new)
    assert_array_equal(after[:, :11], before)
    whole = MultilabelKNeighborsClassifier(15).fit(X[order], Y[order][:, [9]])
    assert_array_equal(after[:, 11:], whole.decision_function(X_new))
    assert fitted.n_labels_ == 12 and fitted.label_counts_[11] == len(has)
    assert fitted.predict(X_new).shape == (100, 12) and len(fitted.classes_) == 12
    fitted.add_labels(X_new[:3], np.ones((3, 1)))
    assert_array_equal(fitted.decision_function(X_new)[:, :12], after)
    fitted.add_documents(X_new[:5], np.eye(5, 13))
    assert fitted.decision_function(X_new).shape == (100, 13)
    assert fitted.label_counts_[0] == Y[rest][:, [0]].sum() + 1


def test_documents_that_are_known_may_get_new_labels(split):
    X, Y, X_new, _ = split
    has = np.flatnonzero(Y[:, [9]].toarray().ravel())
    order = np.append(np.setdiff1d(np.arange(200), has), has)
    fitted = MultilabelKNeighborsClassifier(15).fit(X, Y[:, :9])
    fitted.add_labels(X[has], np.ones((len(has), 1)))
    whole = MultilabelKNeighborsClassifier(15).fit(X[order], Y[order][:, [9]])
    found = fitted.decision_function(X_new)
    assert_array_equal(found[:, 9:], whole.decision_function(X_new))
    assert fitted.n_samples_fit_ == 200
    fitted.add_labels(X_new[:2].toarray(), np.ones((2, 1)))  # dense is as good
    assert fitted.n_samples_fit_ == 202


@pytest.mark.parametrize(
    "Y_new, message",
    [
        (np.eye(3, 4), "Y_new must be columns with at least one document. Got none in column 3"),
        (np.ones((2, 1)), "Y_new must be of 3 rows, as X. Got 2"),
        (2 * np.ones((3, 1)), "Y_new must be a label indicator matrix"),
    ],
)
def test_labels_that_cannot_be_added_leave_the_model_as_it_was(Y_new, message, split):
    X, Y, *_ = split
    fitted = MultilabelKNeighborsClassifier().fit(X, Y)
    with pytest.raises(ValueError, match=message):
        fitted.add_labels(X[:3], Y_new)
    assert fitted.n_labels_ == 12 and fitted.predict(X).shape == (200, 12)


@pytest.mark.parametrize(
    "parameters", [{"n_neighbors": 0}, {"n_neighbors": 2.5}, {"neighbors": "cosine"}]
)
def test_parameters_are_checked(parameters, split):
    X, Y, *_ = split
    (name,) = parameters
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        MultilabelKNeighborsClassifier(**parameters).fit(X, Y)


@pytest.mark.parametrize("k", [1, 7, 400])
def test_a_document_of_weight_two_is_the_document_twice(split, k):
    X, Y, X_new, _ = split
    weights = np.random.RandomState(0).randint(0, 4, 200)
    rows = np.repeat(np.arange(200), weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabelWarning)
        weighted = MultilabelKNeighborsClassifier(k).fit(X, Y, sample_weight=weights)
        twice = MultilabelKNeighborsClassifier(k).fit(X[rows], Y[rows])
    found = [one.decision_function(X_new) for one in (weighted, twice)]
    assert_allclose(*found, atol=1e-4)
    assert_array_equal(weighted.label_counts_, twice.label_counts_)
    loaded = pickle.loads(pickle.dumps(weighted))
    assert_array_equal(loaded.decision_function(X_new), found[0])


def test_what_is_added_to_weighted_documents_counts_once(split):
    X, Y, X_new, Y_new = split
    weights = np.append(np.full(200, 2.0), np.ones(50))
    both = sparse.csr_array(sparse.vstack([X, X_new[:50]])), sparse.vstack([Y, Y_new[:50]])
    added = MultilabelKNeighborsClassifier(7).fit(X, Y, sample_weight=weights[:200])
    added.add_documents(X_new[:50], Y_new[:50])
    at_once = MultilabelKNeighborsClassifier(7).fit(*both, sample_weight=weights)
    assert_array_equal(added.decision_function(X_new), at_once.decision_function(X_new))
    assert added.n_samples_fit_ == at_once.n_samples_fit_ == 450
    new = np.array([[1], [0]] * 5)
    added.add_labels(X_new[50:60], new)
    assert added.decision_function(X_new).shape[1] == Y.shape[1] + 1
