"""Labels and documents that come after `fit` to a LongTailClassifier."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from skmltc import BalancedLossClassifier, LongTailClassifier
from skmltc._stages import mean_excess
from skmltc.datasets import make_long_tailed_corpus
from skmltc.encoders import BagEncoder
from skmltc.neighbors import MultilabelKNeighborsClassifier


def linear(**options):
    return BalancedLossClassifier(loss="squared_hinge", weight_decay=1.0, **options)


def two():
    members = [("linear", linear()), ("neighbors", MultilabelKNeighborsClassifier(80))]
    return LongTailClassifier(members, random_state=0)


@pytest.fixture(scope="module")
def later(parts):
    """Rows without the labels 5 and 8, rows with them, and the columns of the others."""
    X, Y, _, _ = parts
    has = Y[:, NEW].any(axis=1)
    return np.flatnonzero(~has), np.flatnonzero(has), np.setdiff1d(np.arange(12), NEW)


NEW = [5, 8]


@pytest.fixture(scope="module")
def kept(parts, later):
    """A model that does not know two labels, to be pickled."""
    rest, _, old = later
    return two().fit(parts[0][rest], parts[1][rest][:, old])


@pytest.fixture
def fresh(kept):
    return pickle.loads(pickle.dumps(kept))


def test_added_labels_leave_the_members_scores_of_the_others_as_they_are(parts, later, fresh):
    X, Y, X_new, _ = parts
    rest, rows, old = later
    before = {name: one.decision_function(X_new) for name, one in fresh.members_.items()}
    calibration, votes = fresh.calibration_, fresh.scorer_.members[1].answer(X_new, 10)
    assert fresh.add_labels(X[rows], Y[rows][:, NEW]) is fresh
    for name, one in fresh.members_.items():
        scores = one.decision_function(X_new)
        assert scores.shape == (200, 12)
        assert_array_equal(scores[:, :10], before[name])
    after = fresh.scorer_.members[1].answer(X_new, 12)
    for one, other in zip(
        [*votes.shares.values(), votes.best], [*after.shares.values(), after.best], strict=True
    ):
        assert_array_equal(one.toarray(), other.toarray()[:, :10])
    assert fresh.calibration_ is calibration


def test_new_columns_are_those_of_members_fitted_on_all_documents(parts, later, fresh):
    X, Y, X_new, _ = parts
    rest, rows, _ = later
    order = np.append(rest, rows)
    fresh.add_labels(X[rows], Y[rows][:, NEW])
    whole = linear(random_state=0).fit(X[order], Y[order][:, NEW])
    assert_array_equal(fresh.members_.linear.coef_[10:], whole.coef_)
    near = MultilabelKNeighborsClassifier(80).fit(X[order], Y[order][:, NEW])
    found = fresh.members_.neighbors.decision_function(X_new)
    assert_array_equal(found[:, 10:], near.decision_function(X_new))


def test_what_is_known_follows_added_labels(parts, later, fresh):
    X, Y, X_new, _ = parts
    rest, rows, old = later
    probabilities, thresholds = fresh.predict_proba(X[rows]), fresh.threshold_
    counts = Y[rows][:, NEW].sum(axis=0)
    decision = fresh.decision_.extend(fresh.label_counts_, counts, share=0.7)
    fresh.add_labels(X[rows], Y[rows][:, NEW])
    assert_array_equal(fresh.label_counts_, Y[:, [*old, *NEW]].sum(axis=0) - [*lost(Y, rows, old)])
    assert fresh.n_samples_fit_ == 300 and fresh.n_labels_ == 12
    assert_array_equal(fresh.classes_, np.arange(12))
    assert_array_equal(fresh.threshold_, decision.thresholds)
    assert_array_equal(fresh.threshold_[:10], thresholds)
    together = fresh.scorer_.known.together.toarray()
    assert_array_equal(together, together.T)
    probabilities[probabilities < 0.003] = 0
    expected = probabilities.T @ Y[rows][:, NEW]
    assert_allclose(together[:10, 10:], expected, rtol=1e-5)
    both = np.sum(Y[rows][:, NEW].all(axis=1))
    assert_array_equal(together[10:, 10:], [[0, both], [both, 0]])
    assert fresh.predict(X_new).shape == fresh.predict_topk(X_new, 3).shape == (200, 12)


def lost(Y, rows, old):
    """Documents of the old labels that came with the new ones, where nobody asks for them."""
    return *Y[rows][:, old].sum(axis=0), 0, 0


def test_added_labels_are_found_about_as_well_as_fitted_ones(parts, later, fresh):
    X, Y, X_new, Y_new = parts
    fitted = two().fit(X, Y)
    _, rows, _ = later
    fresh.add_labels(X[rows], Y[rows][:, NEW])
    found = f1_score(Y_new[:, NEW], fresh.predict(X_new)[:, 10:], average="macro")
    whole = f1_score(Y_new[:, NEW], fitted.predict(X_new)[:, NEW], average="macro")
    assert found > whole - 0.15 > 0.5


def test_blocks_and_a_pickled_copy_give_the_same_after_adding(parts, later, fresh, monkeypatch):
    X, Y, X_new, _ = parts
    X_new, (_, rows, _) = X_new[:40], later
    for label in NEW:
        fresh.add_labels(X[rows], Y[rows][:, [label]] | (np.arange(len(rows)) == 0)[:, None])
    scores, predicted = fresh.decision_function(X_new), fresh.predict(X_new)
    copied = pickle.loads(pickle.dumps(fresh))
    assert_array_equal(copied.decision_function(X_new), scores)
    for size in (1, 100):
        monkeypatch.setattr("skmltc.decision._meta.BLOCK_SIZE", size)
        monkeypatch.setattr("skmltc.long_tail._estimator.SCORES_AT_A_TIME", size)
        assert_array_equal(copied.decision_function(X_new), scores)
        assert_array_equal(copied.predict(X_new), predicted)


def test_documents_without_new_labels_are_the_neighbours_or_given(parts, later, fresh, kept):
    X, Y, X_new, _ = parts
    rest, rows, _ = later
    other = pickle.loads(pickle.dumps(kept)).add_labels(X[rows], Y[rows][:, NEW], X[rest])
    fresh.add_labels(X[rows], Y[rows][:, NEW])
    assert_array_equal(fresh.decision_function(X_new), other.decision_function(X_new))


def test_documents_that_neighbours_keep_need_no_names(parts, later):
    pandas = pytest.importorskip("pandas")
    (X, Y, _, _), (rest, rows, old) = parts, later
    X = pandas.DataFrame(X.toarray()).add_prefix("word ")
    model = two().fit(X.iloc[rest], Y[rest][:, old])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.add_labels(X.iloc[rows], Y[rows][:, NEW])
    assert model.n_labels_ == 12


def test_log_odds_of_new_labels_are_raised_once_where_members_are_calibrated(parts, later):
    (X, Y, X_new, _), (rest, rows, old) = parts, later
    member = linear(calibrate=True)
    model = LongTailClassifier([("linear", member)], random_state=0).fit(X[rest], Y[rest][:, old])
    alone = linear(calibrate=True, random_state=0).fit(X[rest], Y[rest][:, old])
    for one in (model, alone):
        one.add_labels(X[rows], Y[rows][:, NEW], X[rest])
    inside = model.members_["linear"].decision_function(X_new)[:, 10:]
    raised = alone.decision_function(X_new)[:, 10:] - inside
    expected = mean_excess(model.label_counts_[:10], Y[rows][:, NEW].sum(axis=0))
    assert_allclose(raised, np.broadcast_to(expected, raised.shape), rtol=1e-4)
    assert np.mean(model.scorer_.known.raised) > 0.1


@pytest.fixture(scope="module")
def on_texts():
    """Two pipelines from raw texts, and their documents."""
    corpus = make_long_tailed_corpus(200, 6, n_words=30, random_state=1)
    words = make_pipeline(TfidfVectorizer(), linear())
    near = make_pipeline(TfidfVectorizer(sublinear_tf=True), MultilabelKNeighborsClassifier())
    texts, Y = np.array(corpus.data, dtype=object), corpus.target.toarray()
    members = [("words", words), ("near", near)]
    return LongTailClassifier(members, random_state=0).fit(texts[:150], Y[:150, :4]), texts, Y


def test_pipelines_from_texts_add_labels_from_texts(on_texts):
    model, texts, Y = on_texts
    rows = 150 + np.flatnonzero(Y[150:, 4])
    front = model.members_.words
    before = front.decision_function(texts)
    with pytest.raises(ValueError, match="X_known must be given for the member 'words', which"):
        model.add_labels(list(texts[rows]), Y[rows][:, [4]])
    model.add_labels(list(texts[rows]), Y[rows][:, [4]], list(texts[:150]))
    assert_array_equal(front.decision_function(texts), before)  # the pipeline that was there
    assert_array_equal(model.members_.words.decision_function(texts)[:, :4], before)
    assert model.predict(texts).shape == (200, 5)
    model.add_documents(list(texts[150:160]), np.eye(10, 5))
    assert model.n_samples_fit_ == 160 + len(rows)


def test_what_neighbours_keep_is_for_members_of_the_same_steps_nested_ones_too(parts, later):
    X, Y, _, _ = parts
    rest, rows, old = later
    near = MultilabelKNeighborsClassifier(80)
    scaled = make_pipeline("passthrough", make_pipeline(MaxAbsScaler(), near))
    other = LongTailClassifier([("linear", linear()), ("near", scaled)], random_state=0)
    other.fit(X[rest], Y[rest][:, old])
    with pytest.raises(ValueError, match="X_known must be given for the member 'linear'"):
        other.add_labels(X[rows], Y[rows][:, NEW])
    same = make_pipeline("passthrough", make_pipeline("passthrough", linear()))
    model = LongTailClassifier([("linear", same), ("near", near)], random_state=0)
    model.fit(X[rest], Y[rest][:, old])
    given = copy.deepcopy(model).add_labels(X[rows], Y[rows][:, NEW], X[rest])
    kept = model.add_labels(X[rows], Y[rows][:, NEW])
    assert_allclose(kept.predict_proba(X), given.predict_proba(X), atol=1e-5)


def test_added_documents_are_known_to_the_neighbours_alone(parts, later, fresh):
    X, Y, X_new, _ = parts
    rest, _, old = later
    linear_scores = fresh.members_.linear.decision_function(X_new)
    assert fresh.add_documents(X_new[:50], parts[3][:50][:, old]) is fresh
    whole, Y_all = sparse.vstack([X[rest], X_new[:50]]), np.vstack([Y[rest], parts[3][:50]])[:, old]
    near = MultilabelKNeighborsClassifier(80).fit(whole, Y_all)
    found = fresh.members_.neighbors
    assert_array_equal(found.decision_function(X_new), near.decision_function(X_new))
    assert_array_equal(fresh.members_.linear.decision_function(X_new), linear_scores)
    assert_array_equal(fresh.label_counts_, Y_all.sum(axis=0))
    assert fresh.n_samples_fit_ == len(rest) + 50
    together = Y_all.T @ Y_all
    np.fill_diagonal(together, 0)
    assert_array_equal(fresh.scorer_.known.together.toarray(), together)
    assert fresh.predict_proba(X_new[:50])[Y_all[-50:] > 0].mean() > 0.5


def test_documents_of_one_class_each_can_be_added(parts):
    X, _, X_new, _ = parts
    y = np.array(list("abc"))[np.arange(300) % 3]
    model = two().fit(X, y).add_documents(X_new[:9], list("abcabcabc"))
    assert_array_equal(model.label_counts_, [103, 103, 103])
    assert set(model.predict(X_new)) <= set("abc")
    with pytest.raises(ValueError, match="y must be label indicators in fit, to add labels"):
        model.add_labels(X[:2], np.ones((2, 1)))


class OfClass(BaseEstimator, ClassifierMixin):
    """Knows nothing."""

    def fit(self, X, y):
        self.n = y.shape[1]
        return self

    def decision_function(self, X):
        return np.zeros((X.shape[0], self.n))


def test_a_member_that_cannot_add_is_named_and_nothing_has_changed(parts, later):
    X, Y, X_new, _ = parts
    rest, rows, old = later
    for other, message in (
        (OfClass(), "estimator 'other' must be one with add_labels"),
        (
            BalancedLossClassifier(encoder=BagEncoder(hidden_dims=(4,)), max_epochs=1),
            "encoder must be linear or not trained, .* So says the member 'other'",
        ),
    ):
        members = [("near", MultilabelKNeighborsClassifier(80)), ("other", other)]
        model = LongTailClassifier(members, random_state=0).fit(X[rest], Y[rest][:, old])
        before, state = model.decision_function(X_new), dict(vars(model))
        with pytest.raises(ValueError, match=message):
            model.add_labels(X[rows], Y[rows][:, NEW])
        assert all(vars(model)[name] is value for name, value in state.items())
        assert_array_equal(model.decision_function(X_new), before)
        alone = LongTailClassifier(members[1:], random_state=0).fit(X[rest], Y[rest][:, old])
        with pytest.raises(ValueError, match=message):  # not: X_known must be given
            alone.add_labels(X[rows], Y[rows][:, NEW])
        model.add_documents(X[rows], Y[rows][:, old])  # what keeps none stays as it is
        assert model.members_.near.n_samples_fit_ == 300


def test_an_add_that_is_stopped_leaves_the_model_as_it_was(parts, later, fresh, monkeypatch):
    X, Y, X_new, _ = parts
    _, rows, old = later
    before, state = fresh.decision_function(X_new), dict(vars(fresh))

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(MultilabelKNeighborsClassifier, "add_labels", stop)  # the second member
    monkeypatch.setattr(MultilabelKNeighborsClassifier, "add_documents", stop)
    for change in (
        lambda: fresh.add_labels(X[rows], Y[rows][:, NEW]),
        lambda: fresh.add_documents(X[rows], Y[rows][:, old]),
    ):
        with pytest.raises(KeyboardInterrupt):
            change()
        assert all(vars(fresh)[name] is value for name, value in state.items())
        assert_array_equal(fresh.decision_function(X_new), before)


def test_new_labels_that_are_none_are_refused(parts, fresh):
    X = parts[0]
    for Y_new, message in (
        (np.eye(3, 4), "Y_new must be columns with at least one document. Got none in column 3"),
        (np.ones(3), "Y_new must be a matrix with a column for each new label"),
        (np.ones((2, 1)), "Y_new must be of 3 rows, as X. Got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            fresh.add_labels(X[:3], Y_new)
    with pytest.raises(ValueError, match="X has 7 features"):
        fresh.add_labels(X[:3, :7], np.ones((3, 1)))
    with pytest.raises(ValueError, match="not fitted"):
        two().add_labels(X[:3], np.ones((3, 1)))
