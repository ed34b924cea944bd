"""The values that a fit passes on, and when unseen documents are enough to decide."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmltc import BalancedLossClassifier
from skmltc._inputs import Inputs
from skmltc._stages import Decided, Problem, Trained, decides, draw_seed, read_documents
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
