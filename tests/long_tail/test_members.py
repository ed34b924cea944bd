"""Members: what they are asked, and what they answer."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, LinearSVC

from skmltc import BalancedLossClassifier
from skmltc.decision import MultilabelThresholdClassifierCV
from skmltc.long_tail._columns import keys_of
from skmltc.long_tail._members import Member
from skmltc.losses import SquaredHingeLoss
from skmltc.neighbors import MultilabelKNeighborsClassifier

pytestmark = pytest.mark.filterwarnings("ignore:Label .* is present in all training examples")


def naive_votes(X, Y, X_new, n_neighbors, sizes):
    """Shares by size, and best cosines, one query, neighbour and label after the other."""
    cosines = cosine_similarity(X_new, X)
    shares = {size: np.zeros((len(cosines), Y.shape[1])) for size in sizes}
    best = np.zeros((len(cosines), Y.shape[1]))
    for i, row in enumerate(cosines):
        nearest = [j for j in np.argsort(-row, kind="stable")[:n_neighbors] if row[j] > 0]
        for size in sizes:
            total = sum(row[j] for j in nearest[:size])
            for j in nearest[:size]:
                for label in np.flatnonzero(Y[j]):
                    shares[size][i, label] += row[j] / total
        for j in nearest:
            for label in np.flatnonzero(Y[j]):
                best[i, label] = max(best[i, label], row[j])
    return shares, best


@pytest.mark.parametrize("piped", [False, True])
def test_neighbours_answer_by_votes_of_the_nearest_and_best_cosines(documents, piped):
    Y = documents.Y.toarray()
    estimator, X = MultilabelKNeighborsClassifier(60), documents.X
    if piped:
        estimator = make_pipeline(TfidfVectorizer(max_features=500), estimator)
        X = documents.texts
    member = Member.fit("near", estimator, X[:200], Y[:200], 0)
    votes = member.answer(X[200:220], 12)
    vectors = estimator[:-1].fit(X[:200]).transform(X) if piped else X
    expected, best = naive_votes(vectors[:200], Y[:200], vectors[200:220], 60, (20, 50))
    assert votes.name == "near"
    for size, shares in votes.shares.items():
        assert_allclose(shares.toarray(), expected[size], atol=1e-5)
    assert_allclose(votes.best.toarray(), best, atol=1e-5)
    for matrix in (*votes.shares.values(), votes.best):
        assert (np.diff(keys_of(matrix)) > 0).all()


def test_margins_are_those_of_squared_hinges(documents):
    Y = documents.Y.toarray()
    for estimator, is_margin in (
        (BalancedLossClassifier(loss="squared_hinge", weight_decay=1), True),
        (BalancedLossClassifier(loss=SquaredHingeLoss(), weight_decay=1), True),
        (BalancedLossClassifier(loss="bce", weight_decay=1), False),
        (OneVsRestClassifier(LinearSVC()), True),
        (OneVsRestClassifier(SVC(kernel="linear")), False),
        (make_pipeline(TruncatedSVD(3), OneVsRestClassifier(LinearSVC())), True),
    ):
        answer = Member.fit("a", estimator, documents.X, Y, 0).answer(documents.X[:9], 12)
        assert answer.is_margin is is_margin
        assert answer.scores.shape == (9, 12)


def test_probabilities_of_0_and_1_have_finite_log_odds(documents):
    Y = documents.Y.toarray()
    member = Member.fit("a", OneVsRestClassifier(MultinomialNB(alpha=1e-9)), documents.X, Y, 0)
    scores = member.answer(documents.X, 12).scores
    assert np.isfinite(scores).all()
    assert np.abs(scores).max() == pytest.approx(np.log(1e6), rel=1e-2)


def test_a_classifier_that_cuts_is_a_member_by_its_scores(documents):
    Y = documents.Y.toarray()
    inner = OneVsRestClassifier(LinearSVC(random_state=0))
    member = Member.fit(
        "cut", MultilabelThresholdClassifierCV(inner, random_state=0), documents.X, Y, 0
    )
    expected = inner.fit(documents.X, Y).decision_function(documents.X[:9])
    assert_allclose(member.answer(documents.X[:9], 12).scores, expected, rtol=1e-5)


def test_a_member_that_is_fitted_again_is_another_one(documents):
    Y = sparse.csr_array(documents.Y)
    linear = BalancedLossClassifier(weight_decay=0.1)
    member = Member.fit("a", linear, documents.X, Y, 5)
    before = member.answer(documents.X[:5], 12).scores
    again = member.again(documents.X[:200], Y[:200], 5)
    assert again.estimator is not member.estimator
    assert again.estimator.n_samples_fit_ == 200
    assert again.name == "a"
    assert_array_equal(member.answer(documents.X[:5], 12).scores, before)


class Said(ClassifierMixin, BaseEstimator):
    """Scores that `change` makes of those of a naive Bayes classifier."""

    def __init__(self, change):
        self.change = change

    def fit(self, X, y):
        self.inner_ = OneVsRestClassifier(MultinomialNB()).fit(X, y)
        return self

    def decision_function(self, X):
        return self.change(self.inner_.predict_proba(X))


@pytest.mark.parametrize(
    "change, expected",
    [
        (lambda z: z[1:], "What decision_function of the member 'odd' returns must be of 9 rows"),
        (lambda z: np.where(z > 0.5, np.nan, z), "of the member 'odd' returns must be without NaN"),
    ],
)
def test_scores_that_are_not_one_row_per_document_or_nan_are_refused(documents, change, expected):
    member = Member.fit("odd", Said(change), documents.X, documents.Y.toarray(), 0)
    with pytest.raises(ValueError, match=expected):
        member.answer(documents.X[:9], 12)
