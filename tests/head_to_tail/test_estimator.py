"""HeadToTailClassifier: the paper's steps, its variants, and labels added later."""

import copy
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
from sklearn.metrics import average_precision_score, roc_auc_score

from skmltc import HeadToTailClassifier
from skmltc._networks import Trainer, network_scores
from skmltc._stages import raise_of_new
from skmltc._validation import LabelWarning
from skmltc.datasets import make_long_tailed_corpus
from skmltc.encoders import BagEncoder, BiLSTMAttention, Training
from skmltc.head_to_tail import _estimator as head_to_tail
from skmltc.head_to_tail._heads import fine_tune_tail
from skmltc.head_to_tail._transfer import (
    AdamTransfer,
    LabelTransfer,
    attend,
    best_ridge,
    draw_prototypes,
    ridge_transfer,
)
from skmltc.losses import BinaryCrossEntropyLoss
from skmltc.model_selection import list_held_out, multilabel_train_test_split
from skmltc.text import TokenSequenceVectorizer

N_FIT, N_TAIL = 450, 6
ALL_DOCUMENTS = {"n_prototype_documents": 1000}  # nothing is left to chance
AS_THEY_ARE = pytest.mark.filterwarnings("ignore:Head labels have biases and transferred ones")


def model(**parameters):
    defaults = {"n_tail": N_TAIL, "max_epochs": 6, "threshold": 0.5, "random_state": 0}
    defaults["calibrate"] = False
    defaults["encoder"] = BagEncoder(hidden_dims=(16,))
    return HeadToTailClassifier(**defaults | parameters)


@pytest.fixture(scope="module")
def corpus():
    return make_long_tailed_corpus(600, 20, n_words=30, exponent=1.0, random_state=0)


@pytest.fixture(scope="module")
def split(corpus):
    """Features and labels of 450 documents to fit on and of 150 others."""
    X = TfidfVectorizer(max_features=1000, dtype=np.float32).fit_transform(corpus.data)
    X.sort_indices()
    return X[:N_FIT], corpus.target[:N_FIT], X[N_FIT:], corpus.target[N_FIT:]


@pytest.fixture(scope="module")
def default(split):
    """A fitted model that tests only look at."""
    X, Y, *_ = split
    return model().fit(X, Y)


def few_documents(Y, labels, n=8):
    """Rows of the first n documents of each of some labels."""
    rows = [np.flatnonzero(Y[:, [label]].toarray())[:n] for label in labels]
    return np.unique(np.concatenate(rows))


def macro_f1(truth, predicted, labels):
    truth, predicted = truth.toarray()[:, labels] > 0, predicted.toarray()[:, labels] > 0
    is_true, both = (truth & predicted).sum(axis=0), truth.sum(axis=0) + predicted.sum(axis=0)
    return np.mean(2 * is_true / np.maximum(both, 1))


# ---------------------------------------------------------------------------- head and tail


def test_the_rarest_labels_are_tail(split, default):
    X, Y, *_ = split
    counts = Y.sum(axis=0)
    assert len(default.tail_labels_) == N_TAIL and len(default.head_labels_) == 14
    assert counts[default.tail_labels_].max() <= counts[default.head_labels_].min()
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
    assert_array_equal(fitted.decision_function(X)[:, [0, 21]], -50)
    assert not fitted.predict(X).toarray()[:, [0, 21]].any()


@pytest.mark.parametrize("split_by", [{"n_tail": 20}, {"min_head_count": 1000, "n_tail": None}])
def test_without_head_there_is_nothing_to_learn_from(split_by, split):
    X, Y, *_ = split
    with pytest.raises(ValueError, match="must be small enough to leave a head label"):
        model(**split_by).fit(X, Y)


def test_without_tail_it_is_joint_training(split):
    X, Y, *_ = split
    with pytest.warns(
        UserWarning, match="^min_head_count=1 leaves no tail: all labels are trained jointly"
    ):
        by_count = model(n_tail=None, min_head_count=1).fit(X, Y)
    joint = model(n_tail=0).fit(X, Y)  # is what it says
    assert len(joint.tail_labels_) == len(by_count.tail_labels_) == 0
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


@pytest.mark.parametrize("train_unlabelled", [True, False])
def test_documents_of_the_tail_alone_are_left_to_the_tail(train_unlabelled, split, monkeypatch):
    """And those without any label, where it is wanted, out of the head's training altogether."""
    X, Y, *_ = split
    trained, train_encoder = [], Trainer.train_encoder

    def spy(self, inputs, loss, documents, seed, stop_by=None):
        trained.append((documents, stop_by))
        return train_encoder(self, inputs, loss, documents, seed, stop_by)

    monkeypatch.setattr(Trainer, "train_encoder", spy)
    Y = Y.toarray()
    Y[::10] = 0
    Y, given = sparse.csr_array(Y[:300]), (X[300:], sparse.csr_array(Y[300:]))
    fitted = model(n_tail=15, train_unlabelled=train_unlabelled).fit(X[:300], Y, *given)
    ((documents, stop_by),) = trained
    for part, features, labels in [(documents, X[:300], Y), (stop_by, *given)]:
        has_head, n_labels = labels[:, fitted.head_labels_].sum(axis=1) > 0, labels.sum(axis=1)
        assert (n_labels == 0).any() and (~has_head & (n_labels > 0)).any()
        rows = np.flatnonzero(has_head | ((n_labels == 0) & train_unlabelled))
        assert_array_equal(part.Y.toarray(), labels[rows][:, fitted.head_labels_].toarray())
        assert_allclose(part.X.toarray(), features[rows].toarray(), rtol=1e-6)


@AS_THEY_ARE
@pytest.mark.parametrize("attention", [False, 0.2, True])
@pytest.mark.parametrize("transfer", ["identity", "ridge"])
def test_transfer_by_hand(transfer, attention, split):
    """m_z = W p_z times the head's scale, for prototypes of all documents of a label."""
    X, Y, X_test, _ = split
    settings = {"fine_tune": None, "calibrate_tail": False, **ALL_DOCUMENTS}
    fitted = model(transfer=transfer, attention=attention, **settings).fit(X, Y)
    encoder, head = fitted.net_.module_
    vectors, tests = network_scores(encoder, X), network_scores(encoder, X_test)
    assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    means = [vectors[Y[:, [label]].toarray().ravel() > 0].mean(axis=0) for label in range(20)]
    prototypes = np.stack([mean / np.linalg.norm(mean) for mean in means])
    known, weights = prototypes[fitted.head_labels_], head.weight.detach().numpy()
    matrix = np.eye(16)
    if transfer == "ridge":
        draws = np.stack(30 * [known])
        matrix = ridge_transfer(draws, weights, best_ridge(draws, weights))
    scores = fitted.decision_function(X_test)
    for label in fitted.tail_labels_:
        prototype = prototypes[label]
        if attention:
            (prototype,) = attend(prototype[None], known[None], float(attention))
        expected = head.scale.item() * tests @ (matrix @ prototype)
        assert_allclose(scores[:, label], expected, atol=1e-3)


@pytest.mark.parametrize("transfer", ["identity", "ridge", "adam"])
def test_the_matrix_is_learned_from_the_prototypes_of_the_head(transfer, split):
    X, Y, *_ = split
    fitted = model(transfer=transfer, n_prototypes=7, random_state=3).fit(X, Y)
    vectors, learned = network_scores(fitted.module_[0], X), fitted.transfer_
    Y_head, again = Y[:, fitted.head_labels_], np.random.RandomState(3)
    prototypes = draw_prototypes(vectors, Y_head, 5, 7, True, again)
    assert_array_equal(learned.prototypes, prototypes)
    assert_array_equal(learned.weights, fitted.net_.module_[1].weight.detach())
    torch.manual_seed(3)
    matrices = {
        "identity": lambda *_: np.eye(16),
        "ridge": ridge_transfer,
        "adam": AdamTransfer().solve,
    }
    assert_array_equal(learned.matrix, matrices[transfer](prototypes, learned.weights))


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
    settings = {"fine_tune": None, **ALL_DOCUMENTS}
    one, many = (model(n_ensembles=g, **settings).fit(X, Y) for g in (1, 7))
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


# --------------------------------------------------------------------------------- biases

UNHELPED = {"calibrate_tail": False, "fine_tune": None}
WITHOUT_BIAS = Training(head_bias=False, max_epochs=6)


@pytest.mark.parametrize("fine_tune", ["paper", None])
@pytest.mark.parametrize("normalize", [True, False])
def test_without_biases_there_is_none_in_any_label(normalize, fine_tune, split):
    X, Y, X_test, _ = split
    settings = UNHELPED | {"fine_tune": fine_tune, "normalize": normalize}
    fitted = model(training=WITHOUT_BIAS, **settings).fit(X, Y)
    assert not fitted.net_.module_[1].bias.any()
    assert [part.bias.any().item() for part in fitted.module_[1].parts] == [False, False]
    encoder, heads = fitted.module_
    vectors = torch.from_numpy(network_scores(encoder, X_test))
    weights = torch.cat([part.weight[0] for part in heads.parts], dim=1).detach()
    expected = (vectors @ weights)[:, np.argsort(heads.labels)]
    assert_allclose(fitted.decision_function(X_test), expected, atol=1e-4)


@pytest.mark.parametrize("fine_tune", ["paper", None])
def test_biases_of_the_head_beside_none_of_the_tail_are_warned_of(fine_tune, split):
    X, Y, *_ = split
    with pytest.warns(UserWarning, match="^Head labels have biases and transferred ones have none"):
        model(**UNHELPED | {"fine_tune": fine_tune}).fit(X, Y)
    with pytest.warns(UserWarning, match="^Head labels have biases"):
        model(training=Training(max_epochs=2), **UNHELPED).fit(X, Y)


@pytest.mark.parametrize(
    "help_given",
    [
        {"training": WITHOUT_BIAS},
        {"calibrate_tail": True},
        {"fine_tune": "tail"},
        {"calibrate": True},
        {"threshold": "tuned"},
    ],
)
def test_nothing_is_said_of_biases_where_something_makes_up_for_them(help_given, split):
    X, Y, *_ = split
    model(**UNHELPED | help_given).fit(X, Y)  # a warning would be an error


# ----------------------------------------------------------------------------- fine-tuning


def same_parameters(one, other):
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@AS_THEY_ARE
@pytest.mark.parametrize("fine_tune", ["tail", "paper", None])
def test_only_the_papers_tuning_changes_the_encoder_and_none_the_first_stage(fine_tune, split):
    X, Y, *_ = split
    fitted = model(fine_tune=fine_tune).fit(X, Y)
    plain = model(fine_tune=None, calibrate_tail=False, transfer="ridge").fit(X, Y)
    assert same_parameters(fitted.net_.module_, plain.net_.module_)
    assert same_parameters(fitted.module_[0], fitted.net_.module_[0]) == (fine_tune != "paper")


def test_the_tail_is_tuned_on_all_documents(split):
    X, Y, *_ = split
    start, tuned = (model(fine_tune=f, n_ensembles=3).fit(X, Y) for f in (None, "tail"))
    head, tail = start.module_[1].parts
    assert same_parameters(tuned.module_[1].parts[0], head)
    before = torch.cat([tail.weight, tail.bias], dim=1).detach().numpy()
    vectors, labels = network_scores(start.module_[0], X), start.tail_labels_
    Y = Y.astype(np.float32)
    change = fine_tune_tail(vectors, Y, BinaryCrossEntropyLoss(), labels, before, "cpu")
    tail = tuned.module_[1].parts[1]
    after = torch.cat([tail.weight, tail.bias], dim=1).detach()
    assert_array_equal(after, before + change)


def test_tuning_on_all_documents_ranks_them_better(split):
    X, Y, *_ = split
    precision = {}
    for fine_tune in (None, "tail"):
        fitted = model(transfer="ridge", fine_tune=fine_tune, max_epochs=20).fit(X, Y)
        tail = fitted.tail_labels_
        truth, scores = Y[:, tail].toarray(), fitted.decision_function(X)[:, tail]
        precision[fine_tune] = average_precision_score(truth, scores, average="macro")
    assert precision["tail"] > precision[None] + 0.2


def test_the_papers_tuning_step_by_step(split):
    """Two passes of Adam at 1e-4 over the documents drawn, of all weights, for all labels."""
    X, Y, *_ = split
    settings = {"n_tail": 3, "n_prototypes": 1, "lr": 0.01, "weight_decay": 0.1, **ALL_DOCUMENTS}
    settings["encoder"] = BagEncoder(hidden_dims=(16,), dropout=0.0)
    start, tuned = (model(fine_tune=f, **settings).fit(X, Y) for f in (None, "paper"))
    by_label = [np.flatnonzero(Y[:, [label]].toarray()) for label in start.tail_labels_]
    rows = np.concatenate(by_label)
    assert 3 < len(rows) <= 45  # a single batch, so that the order does not matter
    X = torch.tensor(X[rows].toarray(), dtype=torch.float32)
    Y = torch.tensor(Y[rows].toarray(), dtype=torch.float32)
    encoder, heads = copy.deepcopy(start.module_)
    scale = copy.deepcopy(start.net_.module_[1].scale)
    with torch.no_grad():
        for part in heads.parts:
            part.weight /= scale
    learned = [*encoder.parameters(), *heads.parameters(), scale]
    optimizer = torch.optim.Adam(learned, lr=1e-4)
    for _ in range(2):
        optimizer.zero_grad()
        logits = heads(scale * encoder(X))
        torch.nn.functional.binary_cross_entropy_with_logits(logits, Y).backward()
        torch.nn.utils.clip_grad_norm_(learned, 5.0)
        optimizer.step()
    by_hand, fitted = heads(scale * encoder(X)).detach(), tuned.decision_function(X.numpy())
    before = start.decision_function(X.numpy())
    moved = np.abs(by_hand.numpy() - before).max(axis=0)
    assert (moved > 1e-3).all()
    assert (np.abs(fitted - by_hand.numpy()).max(axis=0) < 0.01 * moved).all()
    assert_allclose(tuned.transfer_.scale, scale.item(), atol=1e-5)
    assert abs(tuned.transfer_.scale - start.transfer_.scale) > 1e-4


@pytest.mark.parametrize("further", [{}, {"threshold": "tuned_low"}])
def test_the_network_is_tuned_once(further, split, monkeypatch):
    """With documents that decide, and with nothing to decide."""
    X, Y, *_ = split
    runs, adam = [], torch.optim.AdamW

    class Counted(adam):
        def __init__(self, groups, lr, **settings):
            runs.append(lr)
            super().__init__(groups, lr=lr, **settings)

    model(max_epochs=1).fit(X, Y)  # loads what torch loads with an optimizer
    monkeypatch.setattr(torch.optim, "AdamW", Counted)
    stopping = {"early_stopping": True, "validation_fraction": 0.75}
    model(fine_tune="paper", lr=0.01, **stopping, **further).fit(X, Y)
    assert runs == [0.01, 1e-4]


def test_the_papers_tuning_takes_documents_drawn_for_the_tail_alone(split, monkeypatch):
    X, Y, *_ = split
    trainings, train = [], Trainer.train

    def spy(self, network, loss, dataset, stop_by=None, parts=None, begin=None):
        trainings.append((self, dataset))
        return train(self, network, loss, dataset, stop_by, parts, begin)

    monkeypatch.setattr(Trainer, "train", spy)
    fitted = model(fine_tune="paper", n_prototypes=30, n_prototype_documents=2).fit(X, Y)
    _, (trainer, dataset) = trainings  # the first is that of the head
    drawn = dataset.Y.toarray()
    assert drawn.shape == (30 * 2 * N_TAIL, 20)
    assert drawn[np.arange(len(drawn)), np.tile(np.repeat(fitted.tail_labels_, 2), 30)].all()
    assert len(np.unique(drawn.reshape(30, -1), axis=0)) > 1  # drawn anew each time
    assert (trainer.lr, trainer.weight_decay, trainer.schedule) == (1e-4, 0, "constant")
    assert (trainer.max_epochs, trainer.batch_size, trainer.lr_factors) == (2, 45, None)
    assert (trainer.optimizer, trainer.betas, trainer.clip) == ("adamw", (0.9, 0.999), 5.0)


# ------------------------------------------------------------------------------ calibration


def thinned(Y, labels, n=4):
    """Labels with their first documents alone, fewer than a prototype takes."""
    Y = Y.toarray()
    for label in labels:
        Y[np.flatnonzero(Y[:, label])[n:], label] = 0
    return sparse.csr_array(Y)


@AS_THEY_ARE
def test_calibrated_scores_are_log_odds(split, default):
    """slope u + intercept - log(N / n - 1), where u are the scores as they were transferred."""
    X, Y, X_test, _ = split
    Y = thinned(Y, default.tail_labels_)
    calibrated, plain = (model(fine_tune=None, calibrate_tail=c).fit(X, Y) for c in (True, False))
    slope, intercept, prior = calibrated.transfer_.calibration
    assert prior == 1 and plain.transfer_.calibration == (1, 0, 0)
    tail, counts = plain.tail_labels_, Y.sum(axis=0)
    transferred, scores = plain.decision_function(X_test), calibrated.decision_function(X_test)
    assert_array_equal(counts[tail], 4)
    expected = slope * transferred[:, tail] + intercept - np.log(450 / 4 - 1)
    assert_allclose(scores[:, tail], expected, atol=1e-4)
    head = plain.head_labels_
    assert_array_equal(scores[:, head], transferred[:, head])


def test_the_head_calibrates_by_its_own_frequencies(split, default):
    X, Y, *_ = split
    learned, Y = default.transfer_, Y[:, default.head_labels_].astype(np.float32)
    fresh = LabelTransfer.fit(learned.prototypes, learned.weights, learned.scale, learned.options)
    again, against = np.random.RandomState(0), np.log(450 / Y.sum(axis=0) - 1)
    learned.options.draw(default.training_vectors_, Y, 30, again)
    expected = fresh.calibrated(default.training_vectors_, Y, against, again).calibration
    assert_allclose(learned.calibration, expected, rtol=1e-6)


# -------------------------------------------------------------------- documents and stages


@pytest.fixture
def assembled(monkeypatch):
    """Numbers of documents that classifiers of all labels are put together from, in order."""
    sizes = []

    def spy(network, X, *further):
        sizes.append(X.shape[0])
        return network_scores(network, X, *further)

    monkeypatch.setattr(head_to_tail, "network_scores", spy)
    return sizes


@pytest.mark.parametrize("threshold", [0.5, "frequency"])
def test_documents_are_assembled_once_where_none_was_split_off(threshold, split, assembled):
    X, Y, *_ = split
    model(threshold=threshold, early_stopping=False).fit(X, Y)
    assert assembled == [N_FIT] + ([300, 300, 300] if threshold == "frequency" else [])


def test_documents_that_only_stop_the_training_are_assembled_with_the_others(split, assembled):
    X, Y, *_ = split
    fitted = model(early_stopping=True, validation_fraction=0.2).fit(X, Y)
    assert "valid_loss" in fitted.history_[0]
    assert assembled == [N_FIT] == [len(fitted.training_vectors_)]


def test_held_out_documents_help_the_tail_in_the_end(split, assembled):
    """Those that decide are unseen until then: two assemblies, and no fold is trained."""
    X, Y, *_ = split
    settings = {"early_stopping": True, "validation_fraction": 0.75}
    fitted = model(threshold="tuned_low", **settings).fit(X, Y)
    unseen, everything = assembled
    assert 100 < unseen < 125 and everything == N_FIT == len(fitted.training_vectors_)
    assert np.isfinite(fitted.threshold_).all() and (fitted.threshold_ != 0).any()
    assert_array_equal(fitted.label_counts_, Y.sum(axis=0))


@pytest.mark.parametrize("fine_tune", ["tail", "paper", None])
def test_one_draw_of_prototypes_serves_the_cut_offs_and_the_model(fine_tune, split, assembled):
    """Of the documents that do not decide; only the tail is adjusted to the others in the end."""
    X, Y, *_ = split
    settings = {"early_stopping": True, "validation_fraction": 0.75, "fine_tune": fine_tune}
    learned, cut = (model(threshold=t, **settings).fit(X, Y) for t in ("tuned_low", 0.5))
    assert_array_equal(learned.transfer_.prototypes, cut.transfer_.prototypes)
    assert_array_equal(learned.decision_function(X), cut.decision_function(X))
    first, *further = assembled[: len(assembled) // 2]
    assert 100 < first < 125 and further == ([N_FIT] if fine_tune == "tail" else [])
    vectors = network_scores(learned.net_.module_[0], X)
    train, unseen = learned_split(learned, X, Y)
    prototypes = draw_prototypes(
        vectors[train], Y[train][:, learned.head_labels_], 5, 30, True, np.random.RandomState(0)
    )
    assert_allclose(learned.transfer_.prototypes, prototypes, atol=1e-6)


def learned_split(fitted, X, Y):
    """Rows that were trained on, and rows that stopped it."""
    train, unseen, *_ = multilabel_train_test_split(
        np.arange(N_FIT), Y, test_size=fitted.validation_fraction, random_state=0
    )
    return train, unseen


def test_documents_given_to_decide_are_never_trained_on(split, assembled):
    X, Y, *_ = split
    rows = few_documents(Y, range(20), n=4)
    others = np.setdiff1d(np.arange(N_FIT), rows)
    given = {"X_val": X[others], "y_val": Y[others]}
    fitted = model(threshold="tuned_low").fit(X[rows], Y[rows], **given)
    assert Y[others].nnz >= 500
    assert assembled == [len(rows)] == [len(fitted.training_vectors_)]


def test_cut_offs_out_of_fold(split):
    X, Y, X_test, Y_test = split
    fitted = model(threshold="tuned_low", max_epochs=20).fit(X, Y)
    assert len(np.unique(fitted.threshold_)) == 1
    assert macro_f1(Y_test, fitted.predict(X_test), fitted.head_labels_) > 0.3


def trained_by_stages(estimator, X, Y, seed=0):
    """What `fit` has in hand after training: documents, and what the training left."""
    problem = estimator._learn(X, Y, estimator)
    train, _ = estimator._read(problem, X, Y, None, None, estimator)
    return train, estimator._train(problem, train, None, seed)


@pytest.mark.parametrize(
    "settings", [{}, {"fine_tune": "paper", "transfer": "adam", "n_ensembles": 3, "attention": 0.1}]
)
def test_a_folds_training_is_the_same_alone(settings, split):
    X, Y, X_test, _ = split
    estimator = model(threshold="frequency", **settings)
    train, trained = trained_by_stages(estimator, X, Y)
    held_out = list(estimator._held_out(train, trained, 0))
    (_, _), (fit, _), _ = list_held_out(train.Y, 0)
    X_test = estimator._learn(X, Y, estimator).inputs.read(X_test, estimator)
    scores = []
    for _ in range(2):
        torch.rand(7), np.random.rand(7)
        alone = estimator._retrain(train[fit], trained.plan, 0)
        scores.append(alone.scores(alone.encode(X_test, "cpu")))
    in_turn = held_out[1].scorer
    assert_array_equal(held_out[1].fitted_Y.toarray(), train.Y[fit].toarray())
    assert_array_equal(scores[0], scores[1])
    assert_array_equal(scores[0], in_turn.scores(in_turn.encode(X_test, "cpu")))


def test_training_again_splits_head_and_tail_by_its_own_documents(split):
    """And takes the frequencies of the tail from these."""
    X, Y, *_ = split
    estimator = model(threshold="frequency", fine_tune=None)
    train, trained = trained_by_stages(estimator, X, Y)
    counts = Y.sum(axis=0)
    rare, frequent = trained.plan.start.labels.tail[0], np.argmax(np.where(counts < 60, counts, 0))
    has_rare, has_frequent = Y[:, [rare]].toarray().ravel(), Y[:, [frequent]].toarray().ravel()
    rows = np.flatnonzero((has_rare > 0) | (has_frequent == 0) | (np.arange(N_FIT) < 60))
    own = Y[rows].sum(axis=0)
    order = np.lexsort((np.arange(20), -own))
    head, tail = np.sort(order[:14]), np.sort(order[14:])
    assert frequent in trained.plan.start.labels.head and frequent in tail

    heads = estimator._retrain(train[rows], trained.plan, 0).network[1]
    assert_array_equal(heads.parts[0].labels, head)
    assert_array_equal(heads.parts[1].labels, tail)
    bias = heads.parts[1].bias.detach().numpy().ravel()
    against = np.log(len(rows) / own[tail] - 1)
    assert_allclose(np.diff(bias), -np.diff(against), atol=1e-4)


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


@pytest.fixture
def fresh(without_two):
    return pickle.loads(pickle.dumps(without_two))


def test_new_labels_leave_the_others_as_they_are(split, fresh):
    X, Y, X_test, _ = split
    before = fresh.decision_function(X_test)
    rows = few_documents(Y, [18, 19])
    assert fresh.add_labels(X[rows], Y[rows][:, 18:]) is fresh
    after = fresh.decision_function(X_test)
    assert after.shape == (150, 20) and fresh.n_labels_ == 20
    assert fresh.n_samples_fit_ == N_FIT  # all of them are known
    assert_array_equal(after[:, :18], before)
    assert_array_equal(fresh.classes_, np.arange(20))
    assert_array_equal(fresh.label_counts_[18:], Y[rows][:, 18:].sum(axis=0))
    assert_array_equal(fresh.tail_labels_[-2:], [18, 19])
    assert fresh.predict(X_test).shape == fresh.predict_topk(X_test, 3).shape == (150, 20)


def test_new_labels_find_documents_that_they_were_not_given(split):
    X, Y = sparse.vstack(split[::2], "csr"), sparse.vstack(split[1::2], "csr")
    settings = {"encoder": BagEncoder(hidden_dims=(64,)), "max_epochs": 20, "n_ensembles": 3}
    fitted = model(fine_tune=None, **settings).fit(X[:N_FIT], Y[:N_FIT, :18])
    rows = few_documents(Y, [18, 19])
    scores = fitted.add_labels(X[rows], Y[rows][:, 18:]).decision_function(X)[:, 18:]
    others = np.setdiff1d(np.arange(600), rows)
    assert roc_auc_score(Y[others][:, 18:].toarray(), scores[others]) > 0.65


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


@pytest.mark.parametrize("n_kept", [0, 3])
def test_documents_of_the_training_may_get_new_labels(n_kept, split, fresh):
    """As documents without the new label they would contradict themselves."""
    X, Y, X_test, _ = split
    rows = few_documents(Y, [18], n=5)
    without = pickle.loads(pickle.dumps(fresh))
    without.training_vectors_ = np.delete(fresh.training_vectors_, rows[n_kept:], axis=0)
    scores = fresh.add_labels(X[rows], np.ones((5, 1))).decision_function(X)
    assert scores[rows, 18].mean() > np.median(scores[:, 18])
    assert_array_equal(without.add_labels(X[rows], np.ones((5, 1))).decision_function(X), scores)


@pytest.mark.parametrize("fine_tune", ["tail", None])
def test_added_labels_step_by_step(fine_tune, split):
    """Prototypes of the new documents, transferred; tuned among them and the training's."""
    X, Y, X_test, Y_test = split
    fitted = model(fine_tune=fine_tune, n_ensembles=3, calibrate=True).fit(X, Y[:, :18])
    rows = few_documents(Y_test, [18, 19], n=3)
    X_new, Y_new = X_test[rows], Y_test[rows][:, 18:].astype(np.float32)
    vectors = network_scores(fitted.module_[0], X_new)
    prototypes = draw_prototypes(vectors, Y_new, 5, 3, True, np.random.RandomState(0))
    against = np.log((N_FIT + len(rows)) / Y_new.sum(axis=0, dtype=float) - 1)
    heads = fitted.transfer_.heads(prototypes, against)
    if fine_tune:
        all_vectors = np.vstack([vectors, network_scores(fitted.module_[0], X)])
        Y_all = sparse.vstack([Y_new, sparse.csr_array((N_FIT, 2), dtype=np.float32)], "csr")
        change = (all_vectors, Y_all, BinaryCrossEntropyLoss(), np.arange(2), heads, "cpu")
        heads = heads + fine_tune_tail(*change)
    counts = np.array([3, 3])
    heads[:, -1] += raise_of_new(fitted, counts, N_FIT + len(rows)).astype(np.float32)
    assert raise_of_new(fitted, counts, N_FIT + len(rows)).min() > 0
    added = fitted.add_labels(X_new, Y_new).module_[1].parts[-1]
    assert_array_equal(added.labels, [18, 19])
    assert_array_equal(torch.cat([added.weight, added.bias], dim=1).detach(), heads)


@pytest.mark.parametrize("fine_tune", ["tail", None, "paper"])
def test_adding_labels_makes_a_new_scorer_and_leaves_the_old_one(fine_tune, split):
    X, Y, X_test, _ = split
    fitted = model(fine_tune=fine_tune).fit(X, Y[:, :18])
    scorer, decision, rows = fitted.scorer_, fitted.decision_, few_documents(Y, [18, 19])
    weights, kept = copy.deepcopy(scorer.network.state_dict()), copy.deepcopy(fitted.transfer_)
    encoded = scorer.encode(X_test, "cpu")
    before, thresholds = scorer.scores(encoded), decision.thresholds.copy()
    X_new, Y_new = X[rows], Y[rows][:, 18:]
    arguments = X_new.copy(), Y_new.copy()
    fitted.add_labels(X_new, Y_new)
    assert fitted.scorer_ is not scorer and fitted.decision_ is not decision
    assert len(scorer.network[1].parts) == 2
    assert_array_equal(scorer.scores(encoded), before)
    assert_array_equal(fitted.scorer_.scores(encoded)[:, :18], before)
    assert_array_equal(decision.thresholds, thresholds)
    for name, weight in scorer.network.state_dict().items():
        assert torch.equal(weight, weights[name])
    for name in ("prototypes", "weights", "matrix"):
        assert_array_equal(getattr(fitted.transfer_, name), getattr(kept, name))
    for argument, copied in zip((X_new, Y_new), arguments, strict=True):
        for name in ("data", "indices", "indptr"):
            assert_array_equal(getattr(argument, name), getattr(copied, name))


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
