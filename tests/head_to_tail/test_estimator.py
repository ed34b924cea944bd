"""HeadToTailClassifier: the paper's steps, its variants, and labels added later."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score

from skmltc import HeadToTailClassifier, _network
from skmltc._networks.scoring import network_scores
from skmltc._validation import LabelWarning
from skmltc.datasets import make_long_tailed_corpus
from skmltc.encoders import BagEncoder, BiLSTMAttention
from skmltc.head_to_tail import _estimator as head_to_tail
from skmltc.head_to_tail._transfer import NEVER_LOGIT, draw_prototypes
from skmltc.text import TokenSequenceVectorizer

N_FIT, N_TAIL = 450, 6


def model(**parameters):
    defaults = {"n_tail": N_TAIL, "max_epochs": 6, "threshold": 0.5, "random_state": 0}
    defaults["encoder"] = BagEncoder(hidden_dims=(16,))
    return HeadToTailClassifier(**defaults | parameters)


@pytest.fixture(scope="module")
def corpus():
    return make_long_tailed_corpus(600, 20, n_words=30, exponent=1.0, random_state=0)


@pytest.fixture(scope="module")
def split(corpus):
    """Features and labels of 450 documents to fit on and of 150 others."""
    X = TfidfVectorizer(max_features=1000).fit_transform(corpus.data)
    return X[:N_FIT], corpus.target[:N_FIT], X[N_FIT:], corpus.target[N_FIT:]


def macro_f1(truth, predicted, labels):
    truth, predicted = truth.toarray()[:, labels] > 0, predicted.toarray()[:, labels] > 0
    is_true, both = (truth & predicted).sum(axis=0), truth.sum(axis=0) + predicted.sum(axis=0)
    return np.mean(2 * is_true / np.maximum(both, 1))


# ---------------------------------------------------------------------------- head and tail


def test_the_rarest_labels_are_tail(split):
    X, Y, *_ = split
    fitted = model().fit(X, Y)
    counts = Y.sum(axis=0)
    assert len(fitted.tail_labels_) == N_TAIL and len(fitted.head_labels_) == 14
    assert counts[fitted.tail_labels_].max() <= counts[fitted.head_labels_].min()
    by_count = model(n_tail=None, min_head_count=20).fit(X, Y)
    assert_array_equal(by_count.head_labels_, np.flatnonzero(counts >= 20))


def test_the_default_split_follows_the_counts(split):
    X, Y, *_ = split
    counts = Y.sum(axis=0)
    auto = model(n_tail=None).fit(X, Y)
    assert_array_equal(auto.tail_labels_, np.flatnonzero(counts <= 10))
    rare = np.flatnonzero((Y[:25].sum(axis=0) > 0) & (Y[:25].sum(axis=0) <= 10))[:4]
    few = model(n_tail=None).fit(X[:25], Y[:25][:, rare])
    assert len(few.head_labels_) == len(few.tail_labels_) == 2


def test_labels_without_documents_are_never_predicted(split):
    X, Y, *_ = split
    Y = sparse.hstack([sparse.csr_array((N_FIT, 1)), Y, sparse.csr_array((N_FIT, 1))], "csr")
    with pytest.warns(LabelWarning, match="2 of 22 labels have no training document"):
        fitted = model().fit(X, Y)
    assert {0, 21} <= set(fitted.tail_labels_)
    assert_array_equal(fitted.decision_function(X)[:, [0, 21]], NEVER_LOGIT)
    assert not fitted.predict(X).toarray()[:, [0, 21]].any()


@pytest.mark.parametrize("split_by", [{"n_tail": 20}, {"min_head_count": 1000, "n_tail": None}])
def test_without_head_there_is_nothing_to_learn_from(split_by, split):
    X, Y, *_ = split
    with pytest.raises(ValueError, match="must be small enough to leave a head label"):
        model(**split_by).fit(X, Y)


def test_without_tail_it_is_joint_training(split):
    X, Y, *_ = split
    with pytest.warns(LabelWarning, match="n_tail must make some label tail .* Got 0 instead"):
        joint = model(n_tail=0).fit(X, Y)
    assert len(joint.tail_labels_) == 0
    assert_allclose(joint.decision_function(X), head_scores(joint, X), atol=1e-4)


def test_one_way_to_split(split):
    X, Y, *_ = split
    with pytest.raises(ValueError, match="n_tail and min_head_count must be given one without"):
        model(min_head_count=3).fit(X, Y)


def test_a_linear_encoder_has_nothing_to_transfer(split):
    X, Y, *_ = split
    with pytest.raises(ValueError, match="encoder must be with a hidden layer"):
        model(encoder="bag").fit(X, Y)


# -------------------------------------------------------------------------------- the steps


def head_scores(fitted, X):
    """Logits of the network that stage 1 has trained."""
    return network_scores(fitted.net_.module_, X)


@pytest.mark.parametrize("parameters", [{}, {"n_ensembles": 4}, {"attention": True}])
def test_head_scores_are_those_of_the_first_stage(parameters, split):
    X, Y, X_test, _ = split
    fitted = model(**parameters).fit(X, Y)
    scores = fitted.decision_function(X_test)[:, fitted.head_labels_]
    assert_allclose(scores, head_scores(fitted, X_test), atol=1e-4)


def test_documents_of_the_tail_alone_are_left_to_the_tail(split, monkeypatch):
    X, Y, *_ = split
    calls, fit_network = [], _network.fit_network

    def spy(network, loss, X, Y, **settings):
        calls.append((X.shape[0], Y))
        return fit_network(network, loss, X, Y, **settings)

    monkeypatch.setattr(_network, "fit_network", spy)
    fitted = model(n_tail=15).fit(X, Y)
    ((n_fitted, Y_fitted),) = calls
    has_head = Y[:, fitted.head_labels_].sum(axis=1) > 0
    assert n_fitted == np.count_nonzero(has_head | (Y.sum(axis=1) == 0)) < N_FIT
    assert Y_fitted.shape[1] == 5


def test_imprinting_by_hand(split):
    """Weights are the prototype times the head's scale, as all documents are drawn."""
    X, Y, X_test, _ = split
    fitted = model(
        transfer="identity", fine_tune=None, calibrate=False, n_prototype_documents=1000
    ).fit(X, Y)
    encoder, scale = fitted.module_[0], fitted.net_.module_[1].scale.item()
    vectors, tests = network_scores(encoder, X), network_scores(encoder, X_test)
    assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    scores = fitted.decision_function(X_test)
    for label in fitted.tail_labels_:
        prototype = vectors[Y[:, [label]].toarray().ravel() > 0].mean(axis=0)
        prototype /= np.linalg.norm(prototype)
        assert_allclose(scores[:, label], scale * tests @ prototype, atol=1e-4)


def test_transfer_by_hand(split):
    """m_z = W p_z, with the W that the head's prototypes and weights give."""
    X, Y, X_test, _ = split
    fitted = model(
        transfer="ridge", fine_tune=None, calibrate=False, n_prototype_documents=1000
    ).fit(X, Y)
    head = fitted.net_.module_[1]
    vectors = network_scores(fitted.module_[0], X)
    tests = network_scores(fitted.module_[0], X_test)
    prototypes = draw_prototypes(vectors, Y, 1000, 1, True, np.random.RandomState(0))[0]
    assert_allclose(fitted._label_transfer.weights, head.weight.detach())
    expected = head.scale.item() * tests @ (prototypes[fitted.tail_labels_] @ fitted.transfer_.T).T
    scores = fitted.decision_function(X_test)[:, fitted.tail_labels_]
    assert_allclose(scores, expected, atol=1e-3)


def test_without_unit_vectors_as_the_paper_prints_it(split):
    X, Y, X_test, _ = split
    fitted = model(normalize=False).fit(X, Y)
    vectors = network_scores(fitted.module_[0], X_test)
    assert np.linalg.norm(vectors, axis=1).std() > 0.01
    assert not hasattr(fitted.net_.module_[1], "scale")


def test_scores_do_not_depend_on_the_length_of_vectors(split):
    X, Y, X_test, _ = split
    fitted = model().fit(X, Y)
    before = fitted.decision_function(X_test)
    with torch.no_grad():
        inner = fitted.module_[0][0].encoder
        for parameter in inner.parameters():
            parameter *= 3.0
    assert_allclose(fitted.decision_function(X_test), before, atol=1e-4)


def test_an_ensemble_of_one_and_members_that_see_all_documents_are_equal(split):
    X, Y, X_test, _ = split
    all_of_them = {"n_prototype_documents": 1000, "fine_tune": None}
    one, many = (model(n_ensembles=g, **all_of_them).fit(X, Y) for g in (1, 7))
    assert_allclose(one.decision_function(X_test), many.decision_function(X_test), atol=1e-4)


def test_ensembles_average_probabilities(split):
    X, Y, X_test, _ = split
    fitted = model(n_ensembles=5, n_prototype_documents=2, fine_tune=None).fit(X, Y)
    vectors = network_scores(fitted.module_[0], X_test)
    tail = fitted.module_[1].parts[1]
    members = vectors @ tail.weight.detach().numpy() + tail.bias.detach().numpy()
    assert members.shape == (5, 150, N_TAIL) and (members[0] != members[1]).any()
    probabilities = fitted.predict_proba(X_test)[:, fitted.tail_labels_]
    assert_allclose(probabilities, expit(members).mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("fine_tune", ["tail", "paper", None])
@pytest.mark.parametrize("transfer", ["ridge", "adam", "identity"])
def test_every_variant_fits(fine_tune, transfer, split):
    X, Y, X_test, _ = split
    settings = {"n_ensembles": 2, "attention": 0.1, "max_epochs": 2}
    fitted = model(fine_tune=fine_tune, transfer=transfer, **settings).fit(X, Y)
    assert np.isfinite(fitted.decision_function(X_test)).all()
    assert fitted.transfer_.shape == (16, 16)


def test_tuning_on_all_documents_ranks_them_better(split):
    X, Y, *_ = split
    precision = {}
    for fine_tune in (None, "tail"):
        fitted = model(transfer="ridge", fine_tune=fine_tune, max_epochs=20).fit(X, Y)
        tail = fitted.tail_labels_
        truth, scores = Y[:, tail].toarray(), fitted.decision_function(X)[:, tail]
        precision[fine_tune] = average_precision_score(truth, scores, average="macro")
    assert precision["tail"] > precision[None] + 0.2


def test_the_papers_tuning_changes_the_encoder_and_not_the_first_stage(split):
    X, Y, X_test, _ = split
    fitted = model(fine_tune="paper").fit(X, Y)
    trained, tuned = fitted.net_.module_[0], fitted.module_[0]
    pairs = zip(trained.parameters(), tuned.parameters(), strict=True)
    assert any((a != b).any() for a, b in pairs)
    assert np.isfinite(fitted.decision_function(X_test)).all()


def test_calibrated_scores_are_log_odds(split):
    """Where the tail is cut at its prior odds, about as many documents lie above as have it."""
    X, Y, *_ = split
    fitted = model(fine_tune=None, max_epochs=20).fit(X, Y)
    slope, intercept, prior = fitted.calibration_
    assert prior == 1 and np.isfinite([slope, intercept]).all()
    plain = model(fine_tune=None, max_epochs=20, calibrate=False).fit(X, Y)
    assert plain.calibration_ == (1, 0, 0)
    expected = fitted.predict_proba(X)[:, fitted.tail_labels_].sum(axis=0)
    counts = Y.sum(axis=0)[fitted.tail_labels_]
    assert counts.sum() / 10 < expected.sum() < 10 * counts.sum()


def test_held_out_documents_help_the_tail_in_the_end(split, monkeypatch):
    X, Y, *_ = split
    monkeypatch.setattr(_network, "_FEWEST_TO_STOP", 45)
    monkeypatch.setattr(_network, "_ENOUGH_TO_DECIDE", 1)
    fitted = model(threshold="tuned_low").fit(X, Y)
    assert len(fitted._vectors) == N_FIT
    assert np.isfinite(fitted.threshold_).all() and (fitted.threshold_ != 0).any()


def test_cut_offs_out_of_fold(split):
    X, Y, X_test, Y_test = split
    fitted = model(threshold="tuned_low", max_epochs=20).fit(X, Y)
    assert len(np.unique(fitted.threshold_)) == 1
    assert macro_f1(Y_test, fitted.predict(X_test), fitted.head_labels_) > 0.3


def test_same_seed_same_model(split):
    X, Y, X_test, _ = split
    one, other = (model(n_ensembles=3).fit(X, Y).decision_function(X_test) for _ in range(2))
    assert_array_equal(one, other)


def test_the_spec_that_was_given_stays_as_it_was(corpus):
    X = TokenSequenceVectorizer(max_length=20).fit_transform(corpus.data)
    spec = BiLSTMAttention(hidden_dim=4, output_dim=8, embedding_dim=8)
    fitted = model(encoder=spec, normalize=False, max_epochs=1).fit(X, corpus.target)
    assert spec.normalize and fitted.encoder is spec
    assert not hasattr(fitted.net_.module_[1], "scale")
    assert clone(fitted).encoder.normalize


def test_tokens_by_default_go_through_the_papers_encoder(corpus):
    X = TokenSequenceVectorizer(max_length=10).fit_transform(corpus.data[:N_FIT])
    fitted = model(encoder="auto", max_epochs=1).fit(X, corpus.target[:N_FIT])
    vectors = network_scores(fitted.module_[0], X)
    assert vectors.shape == (N_FIT, 128)
    assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


# ------------------------------------------------------------------------------- new labels


@pytest.fixture(scope="module")
def without_two(split):
    """A model that does not know the last two labels."""
    X, Y, *_ = split
    encoder = BagEncoder(hidden_dims=(64,))
    return model(encoder=encoder, n_ensembles=3, max_epochs=20).fit(X, Y[:, :18])


def few_documents(Y, labels, n=8):
    rows = [np.flatnonzero(Y[:, [label]].toarray())[:n] for label in labels]
    return np.unique(np.concatenate(rows))


@pytest.fixture
def fresh(without_two):
    return pickle.loads(pickle.dumps(without_two))


def test_new_labels_leave_the_others_as_they_are(split, fresh):
    X, Y, X_test, Y_test = split
    before = fresh.decision_function(X_test)
    rows = few_documents(Y, [18, 19])
    assert fresh.add_labels(X[rows], Y[rows][:, 18:]) is fresh
    after = fresh.decision_function(X_test)
    assert after.shape == (150, 20) and fresh.n_labels_ == 20
    assert_array_equal(after[:, :18], before)
    assert_array_equal(fresh.classes_, np.arange(20))
    assert_array_equal(fresh.label_counts_[18:], Y[rows][:, 18:].sum(axis=0))
    assert_array_equal(fresh.tail_labels_[-2:], [18, 19])
    assert fresh.predict(X_test).shape == fresh.predict_topk(X_test, 3).shape == (150, 20)
    for label in (18, 19):
        has = Y_test[:, [label]].toarray().ravel() > 0
        ranks = (-after[:, label]).argsort().argsort()
        assert np.median(ranks[has]) < 30  # of 150


@pytest.mark.parametrize("fine_tune", ["tail", None, "paper"])
def test_labels_are_added_one_after_the_other_to_a_loaded_model(fine_tune, split, tmp_path):
    X, Y, X_test, _ = split
    fitted = model(fine_tune=fine_tune).fit(X, Y[:, :18])
    joblib.dump(fitted, tmp_path / "model")
    loaded = joblib.load(tmp_path / "model")
    for label in (18, 19):
        rows = few_documents(Y, [label])
        before = loaded.decision_function(X_test)
        for one in (fitted, loaded):
            one.add_labels(X[rows], Y[rows][:, [label]])
        assert_array_equal(loaded.decision_function(X_test)[:, :label], before)
    assert_array_equal(loaded.decision_function(X_test), fitted.decision_function(X_test))
    assert loaded.n_labels_ == 20 and len(loaded.module_[1].parts) == 4


def test_a_label_added_is_about_what_it_is_as_tail(split):
    X, Y, X_test, _ = split
    Y = Y.toarray()
    rows = np.flatnonzero(Y[:, 19])[:6]
    Y[:, 19] = 0
    Y[rows, 19] = 1
    assert Y.sum(axis=0)[:19].min() > 6
    settings = {"max_epochs": 20, "n_ensembles": 5}
    at_fit = model(n_tail=3, **settings).fit(X, Y)
    later = model(n_tail=2, **settings).fit(X, Y[:, :19]).add_labels(X[rows], Y[rows][:, [19]])
    scores = [m.decision_function(X_test)[:, 19] for m in (at_fit, later)]
    assert np.corrcoef(*scores)[0, 1] > 0.5


def test_documents_of_the_training_may_get_new_labels(split, fresh, monkeypatch):
    """As documents without the new label they would contradict themselves."""
    X, Y, *_ = split
    rows = few_documents(Y, [18], n=5)
    contradicted = pickle.loads(pickle.dumps(fresh))
    scores = fresh.add_labels(X[rows], np.ones((5, 1))).decision_function(X)[:, 18]
    assert scores[rows].mean() > np.median(scores)
    monkeypatch.setattr(head_to_tail, "_vector_keys", lambda vectors: np.random.rand(len(vectors)))
    others = contradicted.add_labels(X[rows], np.ones((5, 1))).decision_function(X)[:, 18]
    assert scores[rows].mean() > others[rows].mean()


@pytest.mark.parametrize("threshold", [0.3, "tuned_low", "frequency"])
def test_new_labels_are_cut_like_labels_of_their_frequency(threshold, split):
    X, Y, *_ = split
    fitted = model(threshold=threshold).fit(X, Y[:, :18])
    rows = few_documents(Y, [18])
    fitted.add_labels(X[rows], Y[rows][:, [18]])
    distance = np.abs(np.log(fitted.label_counts_[:18]) - np.log(fitted.label_counts_[18]))
    nearest = fitted.threshold_[:18][distance == distance.min()].mean()
    assert_allclose(fitted.threshold_[18], nearest)
    assert threshold != 0.3 or np.isclose(fitted.threshold_[18], logit(0.3))


def test_what_cannot_be_added(split, fresh):
    X, Y, *_ = split
    with pytest.raises(ValueError, match="Y_new must be columns with at least one document"):
        fresh.add_labels(X[:3], np.array([[1, 0], [1, 0], [0, 0]]))
    with pytest.raises(ValueError, match="Y_new must be of 3 rows"):
        fresh.add_labels(X[:3], np.ones((4, 1)))
    with pytest.raises(ValueError, match="X has 7 features, but HeadToTailClassifier is expecting"):
        fresh.add_labels(X[:3, :7], np.ones((3, 1)))
    with pytest.raises(ValueError, match="label indicator matrix of zeros and ones"):
        fresh.add_labels(X[:3], np.full((3, 1), 2))
    assert fresh.n_labels_ == 18
    with pytest.raises(ValueError, match="not fitted"):
        model().add_labels(X[:3], np.ones((3, 1)))
    classes = model(n_tail=1).fit(X, np.arange(N_FIT) % 3)
    with pytest.raises(ValueError, match="y must be label indicators in fit"):
        classes.add_labels(X[:3], np.ones((3, 1)))
