"""From scores to log-odds: the fit, its bounds, and what estimators do."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer

from skmltc import (
    BalancedLossClassifier,
    HeadToTailClassifier,
    HybridSiameseClassifier,
    TReaderXMLClassifier,
)
from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import Calibration, MultilabelThresholdClassifierCV, prior_cut_off
from skmltc.decision._calibration import MIN_SLOPE
from skmltc.decision._pairs import ScoredPairs
from skmltc.encoders import BagEncoder
from skmltc.labels import NEVER_LOGIT, LabelWarning

COLUMNS = ("score", "log_odds_against", "score x log_odds_against")


def pairs_of(scores, against, is_true, weights=None):
    n = len(scores)
    weights = np.ones(n) if weights is None else weights
    return ScoredPairs(np.zeros(n, int), scores, against, is_true, weights, np.array([n]))


def drawn_pairs(n=4000, slope=2.0, prior=-0.5, product=0.3, offset=-1.0, seed=0):
    """Pairs whose log-odds are a line of the score, of the label's frequency and their product."""
    rng = np.random.RandomState(seed)
    z, r = rng.normal(size=n), rng.choice([0.5, 2.0, 4.0], n)
    log_odds = slope * z + prior * r + product * z * r + offset
    return pairs_of(z, r, rng.rand(n) < expit(log_odds))


def naive_calibration(pairs):
    """Slope, weight of r, of z r, and offset: log-loss plus a ridge on standardised columns."""
    columns = [pairs.scores, pairs.log_odds_against, pairs.scores * pairs.log_odds_against]
    total = sum(pairs.weights)
    means = [
        sum(w * c for w, c in zip(pairs.weights, column, strict=True)) / total for column in columns
    ]
    spreads = [
        math.sqrt(sum(w * (c - m) ** 2 for w, c in zip(pairs.weights, column, strict=True)) / total)
        for column, m in zip(columns, means, strict=True)
    ]

    def objective(v):
        penalty, logits = v[3] ** 2, pairs.scores + v[3]
        for k, column in enumerate(columns):
            logits = logits + v[k] * (column - means[k]) / spreads[k]
            penalty += (v[k] * min(1, 1 / spreads[k])) ** 2
        losses = np.logaddexp(0, logits) - pairs.is_true * logits
        return (
            sum(w * loss for w, loss in zip(pairs.weights, losses, strict=True)) + 10 / 2 * penalty
        )

    v = minimize(objective, np.zeros(4), tol=1e-10).x
    change = [v[k] / spreads[k] for k in range(3)]
    offset = v[3] - sum(c * m for c, m in zip(change, means, strict=True))
    return np.array([1 + change[0], change[1], change[2]]), offset


def test_what_was_drawn_is_found():
    learned = Calibration.of_pairs(drawn_pairs(n=50_000))
    assert learned.columns == COLUMNS
    assert_allclose(learned.weights, [2, -0.5, 0.3], atol=0.1)
    assert learned.offset == pytest.approx(-1, abs=0.15)


@pytest.mark.parametrize("n", [30, 300])
def test_the_fit_is_that_of_the_naive_twin(n):
    rng = np.random.RandomState(1)
    pairs = drawn_pairs(n, seed=3)
    pairs = pairs_of(pairs.scores, pairs.log_odds_against, pairs.is_true, rng.randint(1, 30, n))
    learned = Calibration.of_pairs(pairs)
    weights, offset = naive_calibration(pairs)
    assert_allclose(learned.weights, weights, atol=1e-4)
    assert learned.offset == pytest.approx(offset, abs=1e-4)


def test_a_weight_counts_as_so_many_pairs():
    pairs = drawn_pairs(200)
    times = np.random.RandomState(0).randint(1, 4, 200)
    repeated = pairs_of(
        *(np.repeat(part, times) for part in (pairs.scores, pairs.log_odds_against, pairs.is_true))
    )
    weighted = pairs_of(pairs.scores, pairs.log_odds_against, pairs.is_true, times)
    one, other = map(Calibration.of_pairs, (repeated, weighted))
    assert_allclose(one.weights, other.weights, rtol=1e-6)
    assert one.offset == pytest.approx(other.offset, rel=1e-6)


def test_the_ridge_draws_a_few_pairs_towards_the_scores_as_they_are():
    few, many = (drawn_pairs(n, slope=6.0, prior=0, product=0, offset=0) for n in (12, 12_000))
    slopes = [Calibration.of_pairs(pairs).weights[0] for pairs in (few, many)]
    assert 1 < slopes[0] < 3 < slopes[1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spread", [0.01, 1.0, 100.0])
def test_scores_that_say_nothing_are_left_alone_with_a_warning(seed, spread):
    rng = np.random.RandomState(seed)
    is_true, against = rng.rand(500) < 0.2, rng.choice([1.0, 2.0, 4.0], 500)
    scores = rng.normal(size=500) - 0.3 * is_true  # not by chance better where it is true
    with pytest.warns(LabelWarning, match="scores of held-out documents do not tell"):
        learned = Calibration.of_pairs(pairs_of(spread * scores, against, is_true))
    assert learned.columns == ("score",) and learned.weights == 1 and learned.offset == 0


@pytest.mark.parametrize("spread", [0.01, 1.0, 8.0])
def test_scores_of_any_scale_are_calibrated(spread):
    pairs = drawn_pairs(4000, slope=1.0, prior=0, product=0)
    scaled = pairs_of(spread * pairs.scores, pairs.log_odds_against, pairs.is_true)
    proba = expit(Calibration.of_pairs(scaled).calibrated(scaled).scores)
    truth = expit(pairs.scores - 1)
    assert np.abs(proba - truth).mean() < 0.05
    assert proba.mean() == pytest.approx(truth.mean(), rel=0.1)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-50, 50), min_size=4, max_size=4), st.lists(st.floats(-8, 12), min_size=1)
)
def test_no_ranking_within_a_label_turns_round(numbers, against):
    calibration = Calibration(COLUMNS, np.array(numbers[:3]), numbers[3])
    against = np.array(against)
    scores = np.array([[-2.0], [0.0], [1.0]], dtype=np.float32) + np.zeros((3, len(against)), "f4")
    logits = calibration.logits(scores, against, np.ones(len(against), bool))
    assert logits.dtype == np.float32
    assert (np.diff(logits, axis=0) >= MIN_SLOPE * 0.9 * np.diff(scores, axis=0) - 1e-3).all()


def test_log_odds_are_the_weighted_columns_and_the_offset():
    calibration = Calibration(COLUMNS, np.array([2.0, -0.5, 0.25]), 1.0)
    scores, against = np.array([[1.0, -3.0], [0.5, 2.0]], dtype=np.float32), np.array([4.0, 2.0])
    logits = calibration.logits(scores, against, np.array([True, True]))
    for i in range(2):
        for label in range(2):
            z, r = scores[i, label], against[label]
            expected = 2 * z - 0.5 * r + 0.25 * z * r + 1
            assert logits[i, label] == pytest.approx(expected)
            values = {"score": z, "log_odds_against": r, "score x log_odds_against": z * r}
            assert calibration.log_odds(values) == pytest.approx(expected)
    pairs = pairs_of(scores.ravel(), np.tile(against, 2), np.ones(4, bool))
    assert_array_equal(calibration.calibrated(pairs).scores, logits.ravel())


def test_a_label_without_documents_keeps_the_logit_that_means_never():
    calibration = Calibration.identity(offset=3.0)
    scores = np.array([[1.0, 9.0]], dtype=np.float32)
    logits = calibration.logits(scores, np.zeros(2), np.array([True, False]))
    assert_array_equal(logits, [[4.0, NEVER_LOGIT]])
    assert_array_equal(scores, [[1.0, 9.0]])  # as they were


@settings(max_examples=50, deadline=None)
@given(
    scores=st.lists(st.integers(-5, 5), min_size=1, max_size=30),
    n_true=st.integers(1, 35),
    size=st.integers(1, 7),
)
def test_the_cut_off_of_the_prior_lets_as_many_pass_as_are_true(scores, n_true, size):
    scores = np.array(scores, dtype=np.float32)[:, None]
    cut = prior_cut_off((scores[i : i + size] for i in range(0, len(scores), size)), n_true)
    falling = sorted(scores.ravel().tolist(), reverse=True)
    if n_true >= len(falling):
        assert cut < falling[-1]
    else:
        assert cut == (falling[n_true - 1] + falling[n_true]) / 2


# ------------------------------------------------------------------------------ in estimators

SMALL = {"encoder": BagEncoder(hidden_dims=(16,)), "max_epochs": 8, "random_state": 0}
ESTIMATORS = {
    "linear": BalancedLossClassifier(weight_decay=0.03, random_state=0),
    "network": BalancedLossClassifier(**SMALL),
    "siamese": HybridSiameseClassifier(n_triplets=2000, **SMALL),
    "transferred": HeadToTailClassifier(n_tail=5, **SMALL),
    "read": TReaderXMLClassifier(n_neighbors=5, **SMALL),
}


@pytest.fixture(scope="module")
def data():
    corpus = make_long_tailed_corpus(900, 20, n_words=30, random_state=0)
    X = TfidfVectorizer(max_features=500, dtype=np.float32).fit_transform(corpus.data)
    return X[:600], corpus.target[:600], X[600:], corpus.target[600:]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_threshold_changes_neither_training_nor_ranking(name, data):
    X, Y, X_test, _ = data
    models = [clone(ESTIMATORS[name]).set_params(threshold=t) for t in (0.3, 0.5, "tuned")]
    scores = [model.fit(X, Y).decision_function(X_test) for model in models]
    assert_array_equal(scores[0], scores[1])
    assert_array_equal(scores[0], scores[2])
    proba = models[0].predict_proba(X_test)
    certain = np.abs(proba - 0.3) > 1e-6
    assert_array_equal(models[0].predict(X_test).toarray()[certain], (proba > 0.3)[certain])


@pytest.mark.parametrize("loss", ["auto", "bce", "distribution_balanced", "weighted_bce"])
def test_probabilities_add_up_to_the_labels_whatever_the_loss_is(loss, data):
    X, Y, X_test, Y_test = data
    model = BalancedLossClassifier(loss=loss, threshold=0.5, weight_decay=0.03, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of weighted_bce
        model.fit(X, Y)
    assert model.predict_proba(X_test).sum() == pytest.approx(Y_test.sum(), rel=0.15)
    assert 0.5 < model.predict(X_test).sum() / Y_test.sum() < 1.2


@pytest.mark.parametrize("name", ESTIMATORS)
def test_without_calibration_scores_are_as_they_are(name, data):
    X, Y, X_test, _ = data
    model = clone(ESTIMATORS[name]).set_params(calibrate=False, threshold="tuned").fit(X, Y)
    raw = model.scorer_.scores(model.scorer_.encode(model.inputs_.read(X_test, model), "cpu"))
    assert_array_equal(model.decision_function(X_test), raw)
    assert model.calibration_.columns == ("score",)


def test_auto_calibrates_label_indicators_and_no_classes(data):
    X, Y, *_ = data
    assert len(clone(ESTIMATORS["linear"]).fit(X, Y).calibration_.columns) == 3
    classes = clone(ESTIMATORS["linear"]).fit(X, np.arange(600) % 3)
    assert len(classes.calibration_.columns) == 1


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("threshold", ["frequency", 0.5])
def test_where_each_label_has_one_document_the_prior_decides(name, threshold, data):
    X, Y = data[0][:60], np.eye(60, dtype=int)
    model = clone(ESTIMATORS[name]).set_params(threshold=threshold)
    if name == "transferred":
        model.set_params(n_tail=20)
    with pytest.warns(LabelWarning, match="No held-out document has a label"):
        model.fit(X, Y)
    assert 50 <= model.predict(X).sum() <= 70
    assert model.predict(data[2]).sum() <= 2 * 300


@pytest.mark.parametrize("loss", ["auto", "squared_hinge"])
def test_a_number_without_calibration_is_warned_of_where_scores_are_no_log_odds(data, loss):
    X, Y, *_ = data
    model = BalancedLossClassifier(loss=loss, weight_decay=0.03, threshold=0.5, calibrate=False)
    with pytest.warns(UserWarning, match="calibrate=True"):
        model.fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(loss="bce").fit(X, Y)
        model.set_params(loss="auto", threshold="tuned").fit(X, Y)


def test_other_estimators_warn_of_it_too(data):
    X, Y, *_ = data
    model = clone(ESTIMATORS["siamese"]).set_params(n_phi=0, threshold=0.5, calibrate=False)
    with pytest.warns(UserWarning, match="calibrate=True"):
        model.set_params(loss="distribution_balanced").fit(X, Y)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n_labels", [1, 2])
def test_labels_of_one_frequency_give_no_weight_to_it(seed, n_labels):
    rng = np.random.RandomState(seed)
    Y = np.zeros((300, n_labels), int)
    for label in range(n_labels):
        Y[rng.permutation(300)[:21], label] = 1
    X = rng.normal(size=(300, 6))
    X[:, :n_labels] += 2 * Y
    model = BalancedLossClassifier(random_state=0, weight_decay=1.0).fit(X, sparse.csr_array(Y))
    assert np.abs(model.calibration_.weights).max() < 100
    assert 0.02 < model.predict_proba(X).mean() < 0.2


def test_a_label_of_a_frequency_that_was_not_seen_is_not_extrapolated():
    scores = np.random.RandomState(0).normal(size=2000)
    against = np.random.RandomState(1).choice([2.0, 2.02], 2000)
    is_true = np.random.RandomState(2).rand(2000) < expit(2 * scores - 2)
    learned = Calibration.of_pairs(pairs_of(scores, against, is_true))
    slopes, offsets = learned.lines(np.array([2.0, 6.0]))
    assert abs(slopes[1] - slopes[0]) < 2 and abs(offsets[1] - offsets[0]) < 2


@pytest.mark.parametrize("calibrate", [True, False])
@pytest.mark.parametrize("n_labels", [1, 3])
def test_a_label_of_all_documents_is_predicted_for_all(calibrate, n_labels, data):
    X = data[0][:60]
    y = sparse.csr_array(np.ones((60, n_labels), int))
    model = BalancedLossClassifier(random_state=0, calibrate=calibrate).fit(X, y)
    assert model.predict(X).sum() == 60 * n_labels


def test_a_number_lets_as_many_pass_as_are_true_where_only_the_prior_decides(data):
    X, Y = data[0][:30], np.eye(30, 2, dtype=int)
    with pytest.warns(LabelWarning, match="No held-out document has a label"):
        model = BalancedLossClassifier(random_state=0, threshold=0.3).fit(X, Y)
    assert model.predict(X).sum() <= 4


def test_a_number_that_is_set_later_is_warned_of_when_predict_is_called(data):
    X, Y, X_test, _ = data
    model = clone(ESTIMATORS["linear"]).set_params(calibrate=False).fit(X, Y)
    with pytest.warns(UserWarning, match="calibrate=True"):
        model.set_params(threshold=0.3).predict(X_test)


def test_messages_on_thresholds_say_what_can_be_set(data):
    X, Y, X_test, _ = data
    model = clone(ESTIMATORS["linear"]).set_params(threshold=0.3).fit(X, Y)
    with pytest.raises(ValueError, match="threshold must be a number, as in fit. Got frequency"):
        model.set_params(threshold="frequency").predict(X_test)
    tuned = MultilabelThresholdClassifierCV(model.set_params(threshold=0.3), random_state=0)
    tuned.fit(X, Y)
    with pytest.raises(ValueError, match="threshold must be 'frequency'. Got tuned .* fit again"):
        tuned.set_params(threshold="tuned").predict(X_test)


def test_the_means_of_the_columns_are_kept_for_who_explains():
    pairs, weights = drawn_pairs(300), np.random.RandomState(0).rand(300)
    values = {"a": pairs.scores, "b": pairs.log_odds_against}
    learned = Calibration.fit(values, pairs.is_true, weights)
    for mean, column in zip(learned.means, values.values(), strict=True):
        expected = sum(w * v for w, v in zip(weights, column, strict=True)) / sum(weights)
        assert_allclose(mean, expected)
    assert Calibration.identity().means is None
