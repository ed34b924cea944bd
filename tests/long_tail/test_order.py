"""The order of a document's labels by the scores of one member."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin

from skmltc import LongTailClassifier
from skmltc.long_tail._columns import Known, Pairs, Scores, Votes, keys_of
from skmltc.long_tail._order import order_of
from skmltc.metrics import f1_by_group

N_LABELS = 80


def labels_of(n, rng):
    """Two frequent labels, and many rare ones."""
    shares = np.r_[0.4, 0.3, np.full(N_LABELS - 2, 0.015)]
    return sparse.csr_array((rng.random_sample((n, N_LABELS)) < shares).astype(np.float32))


def scores_of(Y, rng, raised=0.0):
    """Scores that tell labels from others, those of rare labels raised by a number."""
    noise = rng.normal(size=Y.shape)
    return (4 * Y.toarray() - 2 + noise + raised * (np.arange(N_LABELS) > 1)).astype(np.float32)


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.fixture
def Y(rng):
    return labels_of(400, rng)


@pytest.fixture
def known(rng):
    return Known.of(labels_of(800, rng))


def test_comparable_scores_are_left_as_they_are(Y, known, rng):
    assert order_of(Scores("a", scores_of(Y, rng)), known, Y) is None


def test_others_are_calibrated_and_candidates_are_what_documents_have(Y, known, rng):
    answer = Scores("a", scores_of(Y, rng, raised=9.0))
    order = order_of(answer, known, Y)
    before, after = (
        np.isin(keys_of(Y), one.candidates(known, 25)).mean()
        for one in (answer, Scores("a", answer.scores, order=order))
    )
    assert before < 0.7 and after > 0.95


def test_rare_labels_that_the_scores_raise_stay_candidates(Y, known, rng):
    plain = Scores("a", scores_of(Y, rng, raised=9.0))
    ordered = Scores("a", plain.scores, order=order_of(plain, known, Y))
    assert np.isin(plain.candidates(known, 25), ordered.candidates(known, 25)).all()


def test_the_columns_are_of_the_scores_as_they_are(Y, known, rng):
    plain = Scores("a", scores_of(Y, rng, raised=9.0))
    ordered = Scores("a", plain.scores, order=order_of(plain, known, Y))
    pairs = Pairs(np.arange(100), Y.shape, {})
    for name, values in plain.columns(pairs, known).items():
        assert_allclose(ordered.columns(pairs, known)[name], values)


def test_scores_that_tell_nothing_have_no_order_and_no_warning(Y, known, rng):
    scores = Scores("a", scores_of(Y[::-1], rng, raised=9.0))
    assert order_of(scores, known, Y) is None


@pytest.mark.parametrize("case", ["few labels", "no label", "excluded", "votes"])
def test_where_nothing_can_be_learned_there_is_no_order(case, Y, known, rng):
    scores = scores_of(Y, rng, raised=9.0)
    if case == "few labels":
        Y, scores, known = Y[:, :25], scores[:, :25], Known.of(Y[:, :25])
    elif case == "no label":
        Y = sparse.csr_array(Y.shape, dtype=Y.dtype)
    elif case == "excluded":
        scores[0, 0] = -np.inf
    answer = Votes("a", {5: Y}, Y) if case == "votes" else Scores("a", scores)
    assert order_of(answer, known, Y) is None


class Raised(ClassifierMixin, BaseEstimator):
    """Scores that are in X, those of rare labels raised."""

    def fit(self, X, y):
        self.classes_ = np.arange(y.shape[1])
        return self

    def decision_function(self, X):
        return X + 9.0 * (np.arange(N_LABELS) > 1)


@pytest.mark.filterwarnings("ignore:.*labels have no training document")
def test_a_stack_of_such_a_member_finds_frequent_labels(Y, rng):
    X = scores_of(Y, rng)
    model = LongTailClassifier([("raised", Raised())], random_state=0).fit(X[:300], Y[:300])
    counts = Y[:300].sum(axis=0)
    found = f1_by_group(Y[300:], model.predict(X[300:]), counts)
    assert found["total"]["micro"] > 0.7
    assert model.scorer_.members[0].order is not None
