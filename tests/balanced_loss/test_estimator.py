"""BalancedLossClassifier: what it decides itself, its losses, networks, searches, and real text."""

import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import logit
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from skorch.callbacks import Callback
from torch.utils._python_dispatch import TorchDispatchMode

from skmltc import BalancedLossClassifier
from skmltc.datasets import load_jsonl, make_long_tailed_corpus
from skmltc.decision import RULES
from skmltc.encoders import BagEncoder, TextCNN, Training
from skmltc.labels import log_odds_against
from skmltc.losses import (
    LOSSES,
    ClassBalancedNegativeTolerantLoss,
    DistributionBalancedLoss,
    FocalLoss,
)
from skmltc.metrics import RankingScorer
from skmltc.model_selection import MultilabelStratifiedKFold, multilabel_cross_val_predict
from skmltc.text import TokenSequenceVectorizer

N_FIT = 450  # of the 900 documents of `split`


def linear(**parameters):
    return BalancedLossClassifier(**{"weight_decay": 0.03, "random_state": 0} | parameters)


def network(**parameters):
    defaults = {"encoder": BagEncoder(hidden_dims=(16,)), "max_epochs": 4, "random_state": 0}
    return BalancedLossClassifier(**defaults | parameters)


def dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def micro_f1(truth, predicted):
    truth, predicted = dense(truth) > 0, dense(predicted) > 0
    return 2 * np.count_nonzero(truth & predicted) / (truth.sum() + predicted.sum())


def macro_f1(truth, predicted):
    columns = zip(dense(truth).T, dense(predicted).T, strict=True)
    return np.mean([micro_f1(*column) if any(map(np.any, column)) else 0 for column in columns])


def best_micro_f1(truth, scores):
    """The best micro-F1 of any one cut-off, and the lowest cut-off within 0.003 of it."""
    cut_offs = np.unique(scores)
    f1 = np.array([micro_f1(truth, scores >= cut_off) for cut_off in cut_offs])
    return f1.max(), cut_offs[f1 >= f1.max() - 0.003].min()


@pytest.fixture
def recorded():
    """A class whose objects write down what they train, and each fold with its scorer."""

    class Recorded(BalancedLossClassifier):
        trained, folds = [], []

        def _train(self, *arguments):
            self.trained.append(super()._train(*arguments))
            return self.trained[-1]

        def _retrain(self, documents, plan, seed):
            scorer = super()._retrain(documents, plan, seed)
            self.folds.append((documents, plan, scorer))
            return scorer

    return Recorded


# ------------------------------------------------------------------------- cut-offs and tuning


@pytest.mark.parametrize("make", [linear, network])
@pytest.mark.parametrize("probability", [0.2, 0.5, 0.9])
def test_a_number_is_a_probability_to_cut_at(make, probability, documents):
    model = make(threshold=probability).fit(documents.X, documents.Y)
    proba, predicted = model.predict_proba(documents.X), model.predict(documents.X).toarray()
    certain = np.abs(proba - probability) > 1e-6
    assert_array_equal(predicted[certain], (proba > probability)[certain])
    assert_allclose(model.threshold_, logit(probability))


@pytest.mark.parametrize("make", [linear, network])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_learns_cut_offs(make, rule, split):
    X, Y, X_test, Y_test = split
    model = make(threshold=rule, max_epochs=15).fit(X, Y)
    assert np.isfinite(model.threshold_).all() and model.threshold_.shape == (20,)
    n_groups = {"tuned": 1, "tuned_low": 1, "per_group": 3}.get(rule, 20)
    assert len(np.unique(model.threshold_)) <= n_groups
    assert len(np.unique(model.threshold_)) > (rule in ("per_group", "per_label"))
    at_half = model.decision_function(X_test) > 0
    assert micro_f1(Y_test, model.predict(X_test)) > micro_f1(Y_test, at_half) - 0.06


def test_frequency_cut_offs_follow_the_frequency(split):
    X, Y, *_ = split
    model = linear(threshold="frequency", loss="bce").fit(X, Y)
    line = np.polyfit(log_odds_against(Y.sum(axis=0), N_FIT), model.threshold_, 1)
    assert_allclose(
        np.polyval(line, log_odds_against(Y.sum(axis=0), N_FIT)), model.threshold_, atol=1e-9
    )
    assert line[0] < -0.05  # rare labels are cut lower


@pytest.mark.parametrize("make", [linear, network])
def test_the_cut_off_is_the_best_for_a_validation_part(make, split):
    X, Y, X_val, Y_val = split
    settings = {"early_stopping": False, "max_epochs": 10}
    tuned = make(threshold="tuned", **settings).fit(X, Y, X_val, Y_val)
    low = make(threshold="tuned_low", **settings).fit(X, Y, X_val, Y_val)
    scores = tuned.decision_function(X_val)
    best, lowest = best_micro_f1(Y_val, scores)
    assert_allclose(micro_f1(Y_val, tuned.predict(X_val)), best, atol=2e-3)
    assert_allclose(low.decision_function(X_val), scores)
    assert_allclose(low.threshold_, lowest, atol=0.02)
    assert low.threshold_[0] <= tuned.threshold_[0]
    assert tuned.n_samples_fit_ == N_FIT


@pytest.mark.parametrize("make", [linear, network])
@pytest.mark.parametrize("tau", ["auto", 0.3])
def test_the_cut_off_fits_the_adjusted_scores(make, tau, split):
    X, Y, X_val, Y_val = split
    model = make(threshold="tuned", logit_adjustment=tau, early_stopping=False, max_epochs=25)
    model.fit(X, Y, X_val, Y_val)
    best, _ = best_micro_f1(Y_val, model.decision_function(X_val))
    assert_allclose(micro_f1(Y_val, model.predict(X_val)), best, atol=2e-3)


def test_a_validation_part_is_tuned_on_but_not_fitted_on(split):
    X, Y, X_val, Y_val = split
    alone, helped = linear(threshold=0.5).fit(X, Y), linear(threshold=0.5).fit(X, Y, X_val, Y_val)
    assert_array_equal(alone.coef_, helped.coef_)
    for one, other in ((X.toarray(), X_val), (X, X_val.toarray())):  # forms may differ
        mixed = linear().fit(one, Y, other, Y_val)
        assert_allclose(mixed.threshold_, linear().fit(X, Y, X_val, Y_val).threshold_, atol=0.1)


def test_the_weight_decay_follows_the_data(split):
    X, Y, X_test, Y_test = split
    model = linear(weight_decay="auto").fit(X, Y)
    assert model.weight_decay_ in (0.3, 0.1, 0.03, 0.01, 0.003)
    fixed = linear(weight_decay=model.weight_decay_).fit(X, Y)
    assert_array_equal(fixed.coef_, model.coef_)
    best, _ = best_micro_f1(Y_test, model.decision_function(X_test))
    assert micro_f1(Y_test, model.predict(X_test)) > best - 0.02


@pytest.mark.parametrize("loss", ["auto", "bce"])
def test_the_weight_decay_is_the_best_for_rare_labels_among_the_best_for_all(loss, split):
    """Of the best micro-F1 on unseen documents, or 0.3 points below, that of best macro-F1."""
    X, Y, X_val, Y_val = split
    chosen = linear(weight_decay="auto", loss=loss).fit(X, Y, X_val, Y_val).weight_decay_
    micro, macro = {}, {}
    for decay in (0.3, 0.1, 0.03, 0.01, 0.003):
        model = linear(weight_decay=decay, loss=loss, calibrate=False)
        predicted = model.fit(X, Y, X_val, Y_val).predict(X_val)
        micro[decay], macro[decay] = micro_f1(Y_val, predicted), macro_f1(Y_val, predicted)
    good = [decay for decay in micro if micro[decay] >= max(micro.values()) - 0.003]
    assert chosen == max(good, key=macro.get)
    assert len(good) < 5


def test_a_threshold_does_not_change_the_weight_decay(split):
    X, Y, *_ = split
    loss = FocalLoss()
    fitted = [
        linear(weight_decay="auto", loss=loss, threshold=threshold).fit(X, Y)
        for threshold in (0.5, "tuned", "frequency", "per_label")
    ]
    for model in fitted[1:]:
        assert_array_equal(model.coef_, fitted[0].coef_)


@pytest.mark.parametrize("make", [linear, network])
def test_a_logit_adjustment_is_added_after_training(make, split):
    X, Y, *_ = split
    rare = log_odds_against(Y.sum(axis=0), N_FIT)
    fixed = {"threshold": "tuned", "calibrate": False}
    plain, raised = (make(logit_adjustment=tau, **fixed).fit(X, Y) for tau in (0, 0.5))
    difference = raised.decision_function(X) - plain.decision_function(X)
    assert_allclose(difference, np.tile(0.5 * rare, (N_FIT, 1)), atol=1e-4)


@pytest.mark.parametrize("make", [linear, network])
@pytest.mark.parametrize("calibrate", [True, False])
def test_auto_adds_no_logit_adjustment_to_the_scores(make, calibrate, split):
    X, Y, *_ = split
    auto, zero = (
        make(logit_adjustment=tau, calibrate=calibrate, threshold="tuned").fit(X, Y)
        for tau in ("auto", 0)
    )
    assert_array_equal(auto.decision_function(X), zero.decision_function(X))
    assert_array_equal(auto.threshold_, zero.threshold_)


@pytest.mark.parametrize("make", [linear, network])
def test_the_models_of_folds_have_the_logit_adjustment_too(make, split, recorded):
    """By the label counts of the fold."""
    X, Y, *_ = split
    parameters = make(max_epochs=1, threshold="tuned").get_params(deep=False)
    for tau in (0.0, 0.5):
        recorded(**parameters | {"logit_adjustment": tau}).fit(X, Y)
    pairs = zip(recorded.folds[:3], recorded.folds[3:], strict=True)
    for (documents, _, plain), (same, _, raised) in pairs:
        assert abs(documents.X - same.X).nnz == 0
        scores = [s.scores(s.encode(X, "cpu"), np.arange(20)) for s in (raised, plain)]
        shift = 0.5 * log_odds_against(documents.Y.sum(axis=0), len(documents))
        assert_allclose(np.subtract(*scores), np.tile(shift, (N_FIT, 1)), atol=1e-4)


@pytest.mark.parametrize("threshold", ["tuned", 0.5, 0.9])
def test_the_default_loss_is_the_same_whatever_the_threshold_is(threshold, split):
    X, Y, *_ = split
    auto = linear(threshold=threshold).fit(X, Y)
    loss = ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4)
    named = linear(threshold="frequency", loss=loss, encoder=BagEncoder()).fit(X, Y)
    assert_array_equal(auto.coef_, named.coef_)
    assert_array_equal(auto.decision_function(X), named.decision_function(X))


def test_the_default_loss_of_classes_is_the_distribution_balanced_one(split):
    X, *_ = split
    y = np.arange(N_FIT) % 3
    auto, named = (linear(loss=loss).fit(X, y) for loss in ("auto", "distribution_balanced"))
    assert_array_equal(auto.coef_, named.coef_)


def test_a_given_threshold_is_no_trap_with_the_default_loss(split):
    X, Y, X_val, Y_val = split
    predicted = BalancedLossClassifier(threshold=0.5, random_state=0).fit(X, Y).predict(X_val)
    assert f1_score(Y_val.toarray(), predicted.toarray(), average="micro") > 0.5
    assert predicted.sum() < 1.5 * Y_val.sum()


@pytest.mark.parametrize("make", [linear, network])
@pytest.mark.parametrize("n_samples, n_folds", [(9, 0), (10, 3), (N_FIT, 3)])
def test_every_document_is_held_out_once_where_there_are_enough(
    make, n_samples, n_folds, split, recorded
):
    X, Y = split[0][:n_samples], split[1][:n_samples]
    Y = Y[:, np.flatnonzero(Y.sum(axis=0))]
    model = recorded(**make(max_epochs=1).get_params(deep=False)).fit(X, Y)
    assert len(recorded.folds) == n_folds
    if not n_folds:
        assert_array_equal(model.threshold_, 0)
        return
    trained = [documents for documents, *_ in recorded.folds]  # each document in two of three
    for part, whole in (("X", X), ("Y", Y)):
        both = sparse.vstack([getattr(documents, part) for documents in trained]).toarray()
        expected = np.tile(whole.toarray().astype(np.float32), (2, 1))
        assert_array_equal(np.sort(both, axis=0), np.sort(expected, axis=0))


@pytest.mark.parametrize("n_samples", [10, N_FIT])
def test_the_weight_decay_is_chosen_on_each_document_once(n_samples, split, recorded):
    X, Y = split[0][:n_samples], split[1][:n_samples]
    Y = Y[:, np.flatnonzero(Y.sum(axis=0))]
    recorded(weight_decay="auto", random_state=0).fit(X, Y)
    chosen_on = recorded.trained[0].pairs
    assert_array_equal(chosen_on.n_positives, Y.sum(axis=0))
    assert not recorded.folds  # the same pairs decide


def test_few_documents_are_fitted_with_the_middle_weight_decay(split, recorded):
    X, Y = split[0][:9], split[1][:9]
    model = recorded(weight_decay="auto").fit(X, Y[:, np.flatnonzero(Y.sum(axis=0))])
    assert model.weight_decay_ == 0.03 and recorded.trained[0].pairs is None
    assert_array_equal(model.threshold_, 0)


# ----------------------------------------------------------------------------------- the losses


@pytest.mark.parametrize("make", [linear, network])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_learns(make, name, split):
    X, Y, X_test, Y_test = split
    model = make(loss=name, max_epochs=40, lr="auto").fit(X, Y)
    predicted = model.predict(X_test)
    commonest = np.tile(np.arange(20) == Y.sum(axis=0).argmax(), (450, 1))
    assert micro_f1(Y_test, predicted) > 1.2 * micro_f1(Y_test, commonest)
    assert macro_f1(Y_test, predicted) > 0.15


@pytest.mark.filterwarnings("ignore:threshold=0.5 cuts logits")
def test_balancing_finds_more_rare_labels_than_plain_cross_entropy(split):
    X, Y, X_test, Y_test = split
    fixed = {"threshold": 0.5, "calibrate": False}
    macro = {
        name: macro_f1(Y_test, linear(loss=name, **fixed).fit(X, Y).predict(X_test))
        for name in ("bce", "class_balanced_negative_tolerant")
    }
    assert macro["class_balanced_negative_tolerant"] > macro["bce"] + 0.05


def test_the_weight_decay_of_a_squared_hinge_is_one_over_c(documents):
    model = linear(loss="squared_hinge", weight_decay="auto").fit(documents.X, documents.Y)
    assert 1 / model.weight_decay_ in (0.1, 0.2, 0.4, 1.0, 2.0)


# --------------------------------------------------------------------------------- optimizers


def test_lr_is_in_vain_for_newtons_method(documents):
    with pytest.warns(
        UserWarning, match="^lr has no effect on Newton's method .optimizer='adamw' tr"
    ):
        linear(lr=0.1).fit(documents.X, documents.Y)
    with pytest.warns(UserWarning, match="^training and lr have no effect on Newton's method"):
        linear(lr=0.1, training=Training()).fit(documents.X, documents.Y)


def test_newtons_method_is_for_linear_models(documents):
    message = "'adamw', 'adam' or 'auto' for an encoder with layers to train. Got 'newton' instead"
    with pytest.raises(ValueError, match=message):
        network(optimizer="newton").fit(documents.X, documents.Y)
    models = [
        linear(optimizer=name).fit(documents.X, documents.Y) for name in ("newton", "lbfgs", "auto")
    ]
    for model in models:
        assert model.coef_.shape == (12, documents.X.shape[1]) and not hasattr(model, "net_")
        assert_array_equal(model.coef_, models[0].coef_)


def test_adamw_on_a_linear_model(split):
    X, Y, X_test, Y_test = split
    model = linear(optimizer="adamw", lr=0.05, weight_decay="auto", max_epochs=10).fit(X, Y)
    assert not hasattr(model, "coef_") and model.net_.lr == 0.05
    assert len(model.history_) == model.n_iter_ == 10
    assert micro_f1(Y_test, model.predict(X_test)) > 0.3


def test_settings_reach_adamw(documents):
    model = network(lr=0.003, weight_decay=0.25, batch_size=50, max_epochs=2)
    net = model.fit(documents.X, documents.Y).net_
    (group,) = net.optimizer_.param_groups
    assert isinstance(net.optimizer_, torch.optim.AdamW)
    assert (group["initial_lr"], group["weight_decay"]) == (0.003, 0.25)
    assert len(net.history) == 2 and len(net.history[0, "batches"]) == 6


def test_adam_is_had_by_name_and_by_a_training(documents):
    X, Y = documents.X, documents.Y
    training = Training(optimizer="adam", betas=(0.5, 0.6), lr=0.25, weight_decay=0.0, max_epochs=1)
    by_name = network(optimizer="adam", lr=0.25, max_epochs=1).fit(X, Y).net_
    given = network(training=training, lr="auto", max_epochs="auto", weight_decay="auto")
    net = given.fit(X, Y).net_
    assert type(net.optimizer_) is type(by_name.optimizer_) is torch.optim.Adam
    (group,) = net.optimizer_.param_groups
    assert (group["initial_lr"], group["betas"], group["weight_decay"]) == (0.25, (0.5, 0.6), 0)
    assert len(net.history) == 1
    on_features = linear(optimizer="adam", max_epochs=1, weight_decay="auto").fit(X, Y)
    assert type(on_features.net_.optimizer_) is torch.optim.Adam


def rate_in_force(fitted, X, Y):
    return fitted.net_.optimizer_.param_groups[0]["lr"]


def test_the_settings_of_training_are_searched(documents):
    model = network(training=Training(max_epochs=1, weight_decay=0.5), lr="auto", threshold=0.5)
    model.set_params(max_epochs="auto", weight_decay="auto")
    grid = {"training__lr": [1e-9, 0.05], "training__schedule": ["constant"]}
    search = GridSearchCV(model, grid, scoring=rate_in_force, cv=2)
    search.fit(documents.X, documents.Y)
    assert search.cv_results_["mean_test_score"].tolist() == [1e-9, 0.05]
    assert search.best_estimator_.training.weight_decay == 0.5 and model.training.lr == 0.01


def test_settings_of_a_training_that_is_not_named_are_not_set():
    with pytest.raises(ValueError, match="training must be a Training, say clone"):
        network().set_params(training__lr=0.5)


def test_a_wrong_training_is_told_before_anything_is_trained(documents):
    for model in (network(training=Training(clip=-1)), linear(training=Training(clip=-1))):
        with pytest.raises(ValueError, match="clip of Training must be a positive number or None"):
            model.fit(documents.X, documents.Y)
    with pytest.raises(ValueError, match="'training' parameter .* must be .* an instance of"):
        network(training={"lr": 1}).fit(documents.X, documents.Y)


# ------------------------------------------------------------------------------ early stopping


def batch_sizes(model, epoch=0):
    """How many documents a network was trained and validated on in an epoch."""
    batches = model.net_.history[epoch, "batches"]
    return [sum(b.get(f"{part}_batch_size", 0) for b in batches) for part in ("train", "valid")]


@pytest.mark.parametrize("n_samples, sizes", [(999, [999, 0]), (1000, [900, 100])])
def test_a_part_is_held_out_where_the_data_can_spare_a_hundred_documents(n_samples, sizes):
    rng = np.random.RandomState(0)
    X, Y = rng.rand(n_samples, 5), (rng.rand(n_samples, 2) < 0.3).astype(int)
    training = Training(max_epochs=1, schedule="constant")
    model = network(training=training, max_epochs="auto", threshold=0.5)
    assert batch_sizes(clone(model).fit(X, Y)) == sizes
    by_encoder = network(max_epochs=1, threshold=0.5).fit(X, Y)  # whose rate falls
    assert batch_sizes(by_encoder) == [n_samples, 0]
    asked = clone(model).set_params(early_stopping=True, validation_fraction=0.3).fit(X, Y)
    assert batch_sizes(asked)[1] == round(0.3 * n_samples)
    never = clone(model).set_params(early_stopping=False).fit(X, Y)
    assert batch_sizes(never) == [n_samples, 0]


def test_a_labels_only_document_is_never_held_out():
    rng = np.random.RandomState(0)
    X, Y = rng.rand(40, 5), np.zeros((40, 31), dtype=int)
    Y[np.arange(30), np.arange(30)] = 1  # thirty labels of one document each
    Y[::2, 30] = 1
    model = network(max_epochs=1, early_stopping=True, threshold=0.5).fit(X, Y)
    assert batch_sizes(model) == [36, 4]
    # A label without a document in training would have the logit of those that never occur.
    assert model.decision_function(X).min() > -20


def test_where_every_document_is_the_only_one_of_a_label():
    X, Y = np.random.RandomState(0).rand(1000, 5), sparse.eye_array(1000, format="csr")
    message = "validation_fraction must be small enough .* Got 0.1 instead. early_stopping='auto'"
    with pytest.raises(ValueError, match=message):
        network(early_stopping=True).fit(X, Y)
    model = network(max_epochs=1, threshold=0.5).fit(X, Y)
    assert batch_sizes(model) == [1000, 0]


def test_early_stopping_keeps_the_best_weights(split):
    X, Y, X_val, Y_val = split
    model = network(max_epochs=100, lr=0.1, patience=2, calibrate=False, loss="focal")
    model.fit(X, Y, X_val, Y_val)
    losses = [epoch["valid_loss"] for epoch in model.history_]
    assert model.n_iter_ == len(losses) < 100 and np.argmin(losses) == len(losses) - 3
    loss = FocalLoss().build(Y)
    logits = torch.from_numpy(model.decision_function(X_val))
    now = loss(logits, torch.from_numpy(Y_val.toarray())).item()
    assert_allclose(now, min(losses), rtol=1e-4)


def test_without_early_stopping_the_validation_part_only_tunes(split):
    X, Y, X_val, Y_val = split
    model = network(early_stopping=False, threshold=0.5).fit(X, Y, X_val, Y_val)
    assert batch_sizes(model) == [N_FIT, 0] and len(model.history_) == 4
    assert all("valid_loss" not in epoch for epoch in model.history_)


def test_a_fold_is_trained_as_its_documents_alone_are_for_the_best_number_of_epochs(
    split, recorded
):
    X, Y, X_val, Y_val = split
    parameters = network(loss="focal", max_epochs=30, patience=2).get_params(deep=False)
    model = recorded(**parameters).fit(X, Y, X_val[:100], Y_val[:100])
    losses = [epoch["valid_loss"] for epoch in model.history_]
    n_epochs = int(np.argmin(losses)) + 1
    assert 1 < n_epochs < model.n_iter_ < 30 and len(recorded.folds) == 3
    settings = {"max_epochs": n_epochs, "early_stopping": False, "calibrate": False}
    for documents, _, scorer in recorded.folds:
        alone = BalancedLossClassifier(**parameters | settings).fit(documents.X, documents.Y)
        scores = scorer.scores(scorer.encode(alone.inputs_.read(X_val, alone), "cpu"))
        assert_array_equal(scores, alone.decision_function(X_val))


def test_a_fold_is_solved_with_the_weight_decay_of_the_whole(split, recorded):
    X, Y, X_val, _ = split
    parameters = linear(loss="focal").get_params(deep=False)
    recorded(**parameters).fit(X, Y)
    assert len(recorded.folds) == 3
    for documents, _, scorer in recorded.folds:
        alone = linear(loss="focal", calibrate=False).fit(documents.X, documents.Y)
        scores = scorer.scores(scorer.encode(X_val, "cpu"), np.arange(20))
        assert_allclose(scores, alone.decision_function(X_val), atol=2e-3)
        other = linear(loss="focal", calibrate=False, weight_decay=0.02)
        other.fit(documents.X, documents.Y)  # what the share of the documents would make of it
        assert abs(scores - other.decision_function(X_val)).max() > 0.1


@pytest.mark.parametrize("make", [linear, network])
def test_nothing_is_trained_for_a_threshold_that_is_not_learned(make, documents, recorded):
    model = recorded(**make(max_epochs=1).get_params(deep=False))
    for threshold in ("tuned", 0.5):  # one class per document: the best is predicted
        clone(model).set_params(threshold=threshold).fit(documents.X, np.arange(300) % 3)
    model.set_params(threshold=0.5, calibrate=False, loss="bce").fit(documents.X, documents.Y)
    assert not recorded.folds
    for further in ({"threshold": "tuned"}, {"threshold": 0.5, "calibrate": True}):
        recorded.folds.clear()
        model.set_params(**further).fit(documents.X, documents.Y)
        assert len(recorded.folds) == 3


def test_callbacks_and_verbose_reach_the_training(documents, capsys):
    epochs = []

    class Listener(Callback):
        def on_epoch_end(self, net, **kwargs):
            epochs.append(net.history[-1, "train_loss"])

    model = network(callbacks=[Listener()], verbose=1, threshold=0.5)
    model.fit(documents.X, documents.Y)
    assert epochs == [epoch["train_loss"] for epoch in model.history_] and len(epochs) == 4
    assert "train_loss" in capsys.readouterr().out
    linear(verbose=1).fit(documents.X, documents.Y)
    once_more = [f"Training once more, without part {k} of 3" for k in (1, 2, 3)]
    said, *lines = capsys.readouterr().out.splitlines()
    assert said == "labels: 12 of 12"
    assert [line.partition(", about ")[0] for line in lines] == once_more
    assert all(line.endswith(" s left") for line in lines)
    linear(verbose=1, weight_decay="auto").fit(documents.X, documents.Y)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["labels tried: 12 of 12"] * 3 + ["labels: 12 of 12"]
    linear().fit(documents.X, documents.Y)
    assert capsys.readouterr().out == ""


def test_threads_change_nothing(documents):
    one, two = (linear(n_jobs=n).fit(documents.X, documents.Y) for n in (1, 2))
    assert_array_equal(one.coef_, two.coef_)
    assert_array_equal(one.threshold_, two.threshold_)


# ------------------------------------------------------------------------ searches and folds


@pytest.fixture(scope="module")
def texts():
    corpus = make_long_tailed_corpus(150, 6, n_words=25, exponent=0.8, random_state=0)
    return corpus.data, corpus.target


CV = MultilabelStratifiedKFold(2, random_state=0)


@pytest.mark.parametrize("n_labels", [2, 6])
@pytest.mark.parametrize("scoring", ["f1_micro", RankingScorer("ndcg", k=2), RankingScorer("psp")])
def test_search_over_losses_with_sparse_labels(texts, n_labels, scoring):
    data, Y = texts
    model = make_pipeline(TfidfVectorizer(), linear(threshold=0.5, loss="focal"))
    name = "balancedlossclassifier__loss"
    grid = [
        {name: ["bce", DistributionBalancedLoss(kappa=0.1)]},
        {name: ["focal", "distribution_balanced"], f"{name}__gamma": [0.5, 2]},
        {f"{name}__gamma": [1.0]},
    ]
    search = GridSearchCV(model, grid, scoring=scoring, cv=CV, error_score="raise")
    search.fit(data, Y[:, :n_labels])
    results = search.cv_results_["mean_test_score"]
    assert len(results) == 7 and np.isfinite(results).all() and (results > 0).all()
    assert len(np.unique(results)) > 2 or n_labels == 2
    assert search.predict(data).shape == (150, n_labels)
    assert sparse.issparse(search.predict(data))


def test_search_inside_an_encoder(texts):
    data, Y = texts
    model = make_pipeline(TfidfVectorizer(), network(threshold=0.5, max_epochs=3, encoder="bag"))
    grid = {
        "balancedlossclassifier__encoder__dropout": [0.1, 0.5],
        "balancedlossclassifier__encoder__hidden_dims": [(4,), (8,)],
    }
    search = GridSearchCV(model, grid, scoring="f1_micro", cv=CV, error_score="raise").fit(data, Y)
    encoder = search.best_estimator_[-1].encoder
    assert encoder.dropout in (0.1, 0.5) and encoder.hidden_dims in ((4,), (8,))
    assert model[-1].encoder == "bag"  # the model that was given stays as it was


def test_search_in_processes_finds_the_same(texts):
    data, Y = texts
    X = TfidfVectorizer().fit_transform(data)
    grid = {"loss": ["bce", FocalLoss(gamma=1)], "weight_decay": [0.03, 1.0]}
    scores = [
        GridSearchCV(
            linear(), grid, scoring=RankingScorer("psp"), cv=CV, n_jobs=n_jobs, error_score="raise"
        )
        .fit(X, Y)
        .cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    ]
    assert_array_equal(*scores)


def test_cross_validation(texts):
    data, Y = texts
    model = make_pipeline(TfidfVectorizer(), linear())
    folds = cross_validate(
        model, data, Y.toarray(), scoring=["f1_micro", "f1_macro"], cv=CV, error_score="raise"
    )
    assert (folds["test_f1_micro"] > 0.3).all() and folds["test_f1_macro"].shape == (2,)


@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
def test_out_of_fold_scores_with_sparse_labels(texts, method):
    data, Y = texts
    model = make_pipeline(TfidfVectorizer(), linear(threshold=0.5))
    scores = multilabel_cross_val_predict(model, data, Y, method=method, random_state=0)
    assert scores.shape == Y.shape and np.isfinite(scores).all()
    cut = 0.5 if method == "predict_proba" else 0.0
    assert micro_f1(Y, scores > cut) > 0.3


# -------------------------------------------------------------------------------------- memory


class LargestTensor(TorchDispatchMode):
    """Remember the most elements of any tensor that an operation returns."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, torch.Tensor) and value.layout == torch.strided:
                self.elements = max(self.elements, value.numel())
        return result


@contextmanager
def traced_memory():
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", [linear, network])
def test_nothing_as_large_as_documents_times_labels_is_dense(make):
    n_samples, n_labels, n_new = 15_000, 400, 120_000
    rng = np.random.RandomState(0)
    Y = sparse.random_array((n_samples, n_labels), density=0.001, rng=rng, format="csr") > 0
    X = Y @ sparse.random_array((n_labels, 100), density=0.1, rng=rng, format="csr")
    X_new = sparse.vstack(n_new // n_samples * [X], format="csr")
    fast = {"loss": "bce", "weight_decay": 30.0} if make is linear else {"batch_size": 1000}
    fast |= {"threshold": "tuned", "logit_adjustment": 0.0}
    model = make(max_epochs=1, early_stopping=False, **fast)
    with LargestTensor():
        clone(model).fit(X, Y)  # a first fit loads half of torch
    with LargestTensor() as largest, traced_memory():
        model.fit(X, Y)
        _, peak = tracemalloc.get_traced_memory()
        assert largest.elements < n_samples * n_labels / 5
        assert peak < 4 * n_samples * n_labels  # as a dense matrix of scores
        tracemalloc.reset_peak()
        predicted, top = model.predict(X_new), model.predict_topk(X_new, 3)
        _, peak = tracemalloc.get_traced_memory()
    assert largest.elements < n_new * n_labels / 5
    assert peak < 4 * n_new * n_labels
    assert isinstance(predicted, sparse.csr_array) and predicted.shape == (n_new, n_labels)
    assert top.nnz == 3 * n_new and 0 < predicted.nnz < 10 * n_new


# ----------------------------------------------------------------------------------- real text


def test_defaults_on_reuters(real_data):
    train, test = (load_jsonl(real_data / "reuters", subset=part) for part in ("train", "test"))
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2),
        BalancedLossClassifier(random_state=0),
    )
    predicted = model.fit(train.data, train.target).predict(test.data)
    assert micro_f1(test.target, predicted) >= 0.88
    assert macro_f1(test.target, predicted) >= 0.62


def test_a_search_over_the_length_of_texts_and_inside_the_encoder():
    corpus = make_long_tailed_corpus(150, 6, n_words=20, random_state=0)
    encoder = TextCNN(filter_sizes=(2,), n_filters=8, embedding_dim=8, hidden_dim=8)
    classifier = BalancedLossClassifier(
        encoder=encoder, max_epochs=2, threshold="tuned", random_state=0
    )
    model = Pipeline([("tokens", TokenSequenceVectorizer()), ("labels", classifier)])
    grid = {"tokens__max_length": [5, 15], "labels__encoder__dropout": [0.0, 0.5]}
    folds = MultilabelStratifiedKFold(2, random_state=0)
    search = GridSearchCV(model, grid, cv=folds, scoring=RankingScorer("ndcg", k=3))
    search.fit(corpus.data, corpus.target)
    assert len(search.cv_results_["params"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    assert best["tokens"].max_length_ == search.best_params_["tokens__max_length"]
    assert best["labels"].module_[0].dropout.p == search.best_params_["labels__encoder__dropout"]
    assert encoder.dropout == 0.3


def test_callbacks_hear_the_one_training_that_is_kept(documents):
    begun = []

    class Listener(Callback):
        def on_train_begin(self, net, **kwargs):
            begun.append(net)

    model = network(callbacks=[Listener()], threshold="tuned").fit(documents.X, documents.Y)
    assert begun == [model.net_]
