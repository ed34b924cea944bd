"""Pairs of held-out documents, and what is learned from them."""

from itertools import repeat

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit, logit
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from skmltc import LongTailClassifier
from skmltc.decision import Calibration, Given
from skmltc.labels import NEVER_LOGIT
from skmltc.long_tail import _scorer
from skmltc.long_tail._columns import Known, context
from skmltc.long_tail._members import Member
from skmltc.long_tail._scorer import StackScorer, calibrate, fit_members_again, trainings
from skmltc.long_tail._views import Views
from skmltc.model_selection import list_held_out
from skmltc.neighbors import MultilabelKNeighborsClassifier

pytestmark = pytest.mark.filterwarnings("ignore:Label .* is present in all training examples")


@pytest.fixture(scope="module")
def Y(documents):
    return sparse.csr_array(documents.Y, dtype=np.float32)


@pytest.fixture(scope="module")
def members(documents, Y):
    members = {
        "svc": OneVsRestClassifier(LinearSVC(random_state=0)),
        "neighbors": MultilabelKNeighborsClassifier(n_neighbors=80),
    }
    return tuple(Member.fit(name, one, documents.X, Y, 0) for name, one in members.items())


def pairs_of_folds(members, X, Y, folds):
    given = Given(X, Y, Y)
    how = Views(X), folds, 0, [False] * len(members), repeat(None)
    return fit_members_again(members, given, *how)[1]


@pytest.fixture(scope="module")
def parts(documents, Y, members):
    return pairs_of_folds(members, documents.X, Y, list_held_out(Y, 0))


def test_labels_of_a_held_out_document_are_in_none_of_its_columns(documents, Y, members):
    folds = list_held_out(Y, 0)[:1]
    changed = Y.toarray()
    changed[folds[0][1]] = 1 - changed[folds[0][1]]
    changed = sparse.csr_array(changed)
    (before,) = pairs_of_folds(members, documents.X, Y, folds)
    (after,) = pairs_of_folds(members, documents.X, changed, folds)
    assert_array_equal(before.pairs.keys, after.pairs.keys)
    for name, column in before.pairs.columns.items():
        assert_array_equal(column, after.pairs.columns[name])
    log_odds = before.pairs.columns["svc: score"]
    others = context(after.pairs, log_odds, after.known)
    for name, column in context(before.pairs, log_odds, before.known).items():
        assert_array_equal(column, others[name])
    assert (before.is_true != after.is_true).all()


def test_what_is_known_in_a_fold_is_of_the_documents_trained_on(Y, parts):
    for part, (fit, held) in zip(parts, list_held_out(Y, 0), strict=True):
        assert_array_equal(part.known.counts, Y[fit].sum(axis=0))
        assert part.known.n_samples == len(fit)
        assert_array_equal(part.truth.toarray(), Y[held].toarray())


def test_trainings_without_the_only_part_that_is_held_out_say_so():
    assert trainings(["one"], 1) == [
        ("one at first", "Training 'one': 1 of 2"),
        ("one again", "Training 'one' without the part that is held out: 2 of 2"),
    ]


def test_both_calibrations_are_fitted_on_all_pairs_of_all_folds(parts):
    first, second, _, pairs = calibrate(parts, 0)
    evidence = {n: np.concatenate([p.pairs.columns[n] for p in parts]) for n in first.columns}
    is_true = np.concatenate([p.is_true for p in parts])
    expected = Calibration.fit(evidence, is_true, ridge=1.0)
    assert_allclose(first.weights, expected.weights, rtol=1e-6)
    s1 = [expected.log_odds(part.pairs.columns) for part in parts]
    contexts = [context(p.pairs, s, p.known) for p, s in zip(parts, s1, strict=True)]
    both = evidence | {n: np.concatenate([c[n] for c in contexts]) for n in contexts[0]}
    expected = Calibration.fit(both, is_true, ridge=1.0)
    assert second.columns == tuple(both)
    assert_allclose(second.means, [values.mean() for values in both.values()], atol=1e-5)
    assert_allclose(second.weights, expected.weights, rtol=1e-4)
    assert_allclose(pairs.scores, expected.log_odds(both), rtol=1e-3, atol=1e-4)
    assert_array_equal(pairs.is_true, is_true)
    assert_array_equal(pairs.n_positives, sum(p.truth.sum(axis=0) for p in parts))


def test_of_very_many_pairs_a_sample_stands_for_the_others(parts, monkeypatch):
    whole = calibrate(parts, 0)[1]
    monkeypatch.setattr(_scorer, "_MOST_NEGATIVES", 800)
    _, sampled, _, pairs = calibrate(parts, 0)
    assert len(pairs.scores) > 1600
    assert_allclose(expit(pairs.scores).sum(), pairs.is_true.sum(), rtol=0.15)
    assert not np.array_equal(sampled.weights, whole.weights)
    assert_array_equal(sampled.weights, calibrate(parts, 0)[1].weights)


def test_probabilities_of_held_out_documents_add_up_to_their_labels(parts):
    pairs = calibrate(parts, 0).pairs
    assert_allclose(expit(pairs.scores).sum(), pairs.is_true.sum(), rtol=0.02)


def test_scores_are_the_second_calibration_of_evidence_and_context(documents, Y, members, parts):
    first, second, *_ = calibrate(parts, 0)
    known = Known.of(Y)
    scores = StackScorer(members, known, first, second).scores(documents.X[:5])
    pairs = _scorer.ask(members, documents.X[:5], known)
    columns = pairs.columns | context(pairs, first.log_odds(pairs.columns), known)
    expected = np.full(scores.shape, -50.0)
    for at, (i, k) in enumerate(zip(pairs.rows, pairs.labels, strict=True)):
        total = second.offset
        for weight, name in zip(second.weights, second.columns, strict=True):
            total += weight * columns[name][at]
        expected[i, k] = max(total, -50.0)
    assert scores.dtype == np.float32
    assert_allclose(scores, expected, rtol=1e-4)


def test_added_labels_have_the_mean_of_both_calibrations_raised(documents, Y, parts):
    """Pair by pair."""
    near = Member.fit("near", MultilabelKNeighborsClassifier(80), documents.X, Y[:, :10], 0)
    first = Calibration(("near: votes of 20", "near: best cosine"), np.array([0.7, 2.0]), -1.5)
    second = Calibration((*first.columns, "rank"), np.array([0.5, 1.0, -0.4]), -0.5)
    scorer = StackScorer((near,), Known.of(Y[:, :10]), first, second)
    rows = np.flatnonzero(documents.Y[:, [11]].toarray().ravel())[:3]
    X = documents.X[rows]
    grown = scorer.with_labels(X, Y[rows][:, [11]], None)
    found = grown.scores(documents.X[:20])
    pairs = _scorer.ask(grown.members, documents.X[:20], grown.known)
    of_evidence = first.log_odds(pairs.columns)
    columns = pairs.columns | context(pairs, of_evidence, grown.known)
    of_both = second.log_odds(columns)
    n_added = 0
    for k, (i, label) in enumerate(zip(pairs.rows, pairs.labels, strict=True)):
        expected = of_both[k]
        if label == 10:
            n_added += 1
            mean = (of_both[k] + of_evidence[k]) / 2
            expected = logit(np.mean([expit(mean + one) for one in grown.known.raised[0]]))
        assert found[i, label] == pytest.approx(expected, rel=1e-4)
    assert n_added > 0 and min(grown.known.raised[0]) > 0
    assert scorer.known.raised == () and scorer.members == (near,)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_infinite_scores_of_candidates_are_refused_in_the_name_of_the_member(documents):
    class Sure(OneVsRestClassifier):
        def decision_function(self, X):
            scores = super().decision_function(X)
            return np.where(scores > 0.5, np.inf, scores)

    members = [("sure", Sure(LinearSVC(random_state=0)))]
    with pytest.raises(ValueError, match="Scores of the member 'sure' must be finite. Got infin"):
        LongTailClassifier(members, random_state=0).fit(documents.X, documents.Y)


def test_a_label_of_an_infinitely_low_score_is_no_candidate(documents):
    class Strict(OneVsRestClassifier):
        def decision_function(self, X):
            scores = super().decision_function(X)
            return np.where(scores < -0.9, -np.inf, scores)

    strict = Strict(LinearSVC(random_state=0))
    model = LongTailClassifier([("strict", strict)], random_state=0).fit(documents.X, documents.Y)
    said = model.members_["strict"].decision_function(documents.X)
    assert np.isneginf(said).any()
    assert_array_equal(model.decision_function(documents.X) == NEVER_LOGIT, np.isneginf(said))
