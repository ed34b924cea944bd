"""The values that a fit passes on, and when unseen documents are enough to decide."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc import BalancedLossClassifier
from skmltc._inputs import Inputs
from skmltc._stages import (
    Decided,
    Problem,
    Trained,
    decides,
    draw_seed,
    grown,
    mean_excess,
    parts_in_turn,
    raise_of_new,
    read_documents,
    with_known,
)
from skmltc._targets import Target
from skmltc.decision import Calibration, Decision, Documents
from skmltc.encoders import BagEncoder


def documents_with(n_assignments):
    """Documents with so many labels in all."""
    Y = np.zeros((40, 30), dtype=np.float32)
    Y.ravel()[:n_assignments] = 1
    return Documents(np.zeros((40, 2)), sparse.csr_array(Y))


@pytest.mark.parametrize("n_assignments, enough", [(0, False), (499, False), (500, True)])
def test_unseen_documents_decide_from_500_labels_on(n_assignments, enough):
    assert decides(documents_with(n_assignments)) == enough


def test_without_unseen_documents_nothing_decides():
    assert not decides(None)


@pytest.mark.parametrize("threshold", ["frequency", "tuned", "tuned_low", "per_group", 0.5])
@pytest.mark.parametrize("n_documents, n_parts", [(147, 3), (150, 2), (297, 2), (300, 1)])
def test_networks_hold_out_parts_until_these_have_2000_labels(threshold, n_documents, n_parts):
    Y = sparse.csr_array(np.ones((n_documents, 20), dtype=np.float32))
    parts = parts_in_turn(Y, 0, threshold, is_network=True)
    folds = parts_in_turn(Y, 0, threshold, is_network=False)
    assert len(parts) == n_parts and len(folds) == 3
    for part, fold in zip(parts, folds, strict=False):
        assert_array_equal(part[1], fold[1])


@pytest.mark.parametrize("threshold", ["per_label", "micro_macro"])
def test_a_rule_that_cuts_each_label_by_itself_has_all_folds(threshold):
    Y = sparse.csr_array(np.ones((300, 20), dtype=np.float32))
    assert len(parts_in_turn(Y, 0, threshold, is_network=True)) == 3


def test_nothing_is_trained_where_a_part_leaves_no_label():
    Y = sparse.csr_array(np.eye(12, 1, dtype=np.float32))
    assert len(parts_in_turn(Y, 0, "tuned", is_network=False)) == 2


@pytest.mark.parametrize("seed", [0, 7, np.int64(12)])
def test_an_integer_is_its_own_seed(seed):
    assert draw_seed(seed) == seed and type(draw_seed(seed)) is int


def test_a_seed_is_drawn_of_a_random_state():
    first, second = np.random.RandomState(3), np.random.RandomState(3)
    drawn = [draw_seed(first), draw_seed(first)]
    assert drawn == [draw_seed(second), draw_seed(second)] and drawn[0] != drawn[1]
    assert all(0 <= seed < 2**31 for seed in drawn)


def test_documents_are_read_as_features_with_their_indicators():
    X, y = np.arange(8.0).reshape(4, 2), np.eye(4, 3, dtype=int)
    checker = BalancedLossClassifier()
    problem = Problem(Inputs.learn(X, BagEncoder(), checker), Target.learn(y))
    read = read_documents(problem, X[:2], y[:2], checker)
    assert read.X.dtype == np.float32
    assert_array_equal(read.X, X[:2])
    assert_array_equal(read.Y.toarray(), y[:2])
    with pytest.raises(ValueError, match="y_val must be of 4 rows, as X. Got 3"):
        read_documents(problem, X, y[:3], checker, "y_val")


def test_what_is_not_given_is_empty_and_cannot_be_changed():
    trained = Trained("scorer", "plan", "labels", None)
    decided = Decided("scorer", Calibration.identity(), Decision.best(2))
    assert (trained.pairs, trained.interrupted, dict(trained.attributes)) == (None, None, {})
    for value in (trained, decided):
        with pytest.raises(TypeError):
            value.attributes["a"] = 1
        with pytest.raises(AttributeError):
            value.scorer = None


# ------------------------------------------------------------------------------- new labels


@pytest.fixture
def fitted():
    X = np.random.RandomState(0).rand(20, 3).astype(np.float32)
    Y = np.arange(20)[:, None] < [4, 9, 15]
    return BalancedLossClassifier(weight_decay=0.1, calibrate=False, threshold=0.5).fit(X, Y), X


@pytest.mark.filterwarnings("ignore:threshold=0.5 cuts logits")
def test_what_follows_from_new_labels(fitted):
    model, _ = fitted
    found = grown(model, np.array([1, 40]), 60)
    assert_array_equal(found["label_counts_"], [4, 9, 15, 1, 40])
    assert_array_equal(found["tail_labels_"], [0, 1, 3])
    assert found["n_labels_"] == 5 and found["n_samples_fit_"] == 60
    assert_array_equal(found["classes_"], np.arange(5))
    assert_array_equal(found["target_"].classes, np.arange(5))
    assert_array_equal(found["log_odds_against_"][:3], model.log_odds_against_)
    assert_allclose(found["log_odds_against_"], np.log([20 / 4 - 1, 11 / 9, 1 / 3, 59, 0.5]))
    assert_array_equal(found["decision_"].thresholds, np.zeros(5))
    assert grown(model, np.array([1]), 7)["n_samples_fit_"] == 20
    assert model.n_labels_ == 3  # nothing is set


@pytest.mark.filterwarnings("ignore:threshold=0.5 cuts logits")
def test_documents_that_are_known_count_once(fitted):
    model, X = fitted
    added = Documents(np.vstack([X[4:6], X[:1] + 1]), sparse.csr_array([[1.0], [1.0], [1.0]]))
    documents, n_new = with_known(model, added, sparse.csr_array(X[:6]))
    assert n_new == 1 and sparse.issparse(documents.X)
    assert_array_equal(documents.X.toarray(), np.vstack([X[:4], added.X]))
    assert_array_equal(documents.Y.toarray().ravel(), [0, 0, 0, 0, 1, 1, 1])
    with pytest.raises(ValueError, match="X_known must be documents without the new labels, such"):
        with_known(model, added, X[4:6])
    with pytest.raises(ValueError, match="X_known must be documents without the new labels, such"):
        with_known(model, added, None)
    added.Y.data[:1] = 0
    added.Y.eliminate_zeros()
    documents, n_new = with_known(model, added, None)
    assert n_new == 3 and documents is added


def test_a_new_label_is_as_frequent_as_known_ones_of_as_many_documents_or_more():
    known, new = np.array([0, 1, 4, 9, 15]), np.array([1, 5, 15, 40])
    for n, found in zip(new, mean_excess(known, new), strict=True):
        logs = [np.log(m) for m in known if m >= n]
        expected = sum(logs) / len(logs) - np.log(n) if logs else 0
        assert found == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:threshold=0.5 cuts logits")
def test_scores_that_are_no_log_odds_are_not_raised(fitted):
    model, _ = fitted
    assert_array_equal(raise_of_new(model, np.array([1, 4]), 25), [0, 0])
    model.set_params(calibrate=True)
    model.calibration_ = Calibration(("score",), np.array([4.0]))
    expected = mean_excess(model.label_counts_, np.array([1, 4])) / 4
    assert_allclose(raise_of_new(model, np.array([1, 4]), 25), expected)
