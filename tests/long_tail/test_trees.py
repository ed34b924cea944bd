"""Boosted trees over the columns of pairs, beside the logistic regression."""

import pickle

import numpy as np
import pytest

from skmltc import LongTailClassifier
from skmltc.long_tail import _scorer
from skmltc.long_tail._trees import Trees


@pytest.fixture
def few_are_enough(monkeypatch):
    monkeypatch.setattr(_scorer, "ENOUGH_FOR_TREES", 50)


@pytest.fixture
def model(documents, few_are_enough):
    model = LongTailClassifier(refine="trees", random_state=0)
    return model.fit(documents.X, documents.Y)


def columns(n_pairs=3000):
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=n_pairs).astype(np.float32) for name in "ab"}
    return values, values["a"] * values["b"] > 0.5


def test_trees_find_what_no_sum_of_columns_says():
    values, is_true = columns()
    found = Trees.fit(values, is_true, np.ones(len(is_true)), 0).log_odds(values)
    assert found[is_true].min() > found[~is_true].mean()
    assert np.mean((found > 0) == is_true) > 0.95


def test_columns_are_found_by_name():
    values, is_true = columns()
    trees = Trees.fit(values, is_true, np.ones(len(is_true)), 0)
    turned = {"b": values["b"], "c": values["a"], "a": values["a"]}
    np.testing.assert_array_equal(trees.log_odds(turned), trees.log_odds(values))


def test_weights_count_as_documents_would():
    values, is_true = columns()
    even, heavy = np.ones(len(is_true)), np.where(is_true, 9.0, 1.0)
    more = Trees.fit(values, is_true, heavy, 0).log_odds(values).mean()
    assert more > Trees.fit(values, is_true, even, 0).log_odds(values).mean() + 0.3


def test_log_odds_are_the_mean_of_both(model, documents):
    scorer, X = model.scorer_, documents.X[:20]
    pairs = _scorer.ask(scorer.members, X, scorer.known)
    values = _scorer._with_context(pairs, scorer.first, scorer.known)
    both = (scorer.second.log_odds(values) + scorer.trees.log_odds(values)) / 2
    scores = model.decision_function(X)[pairs.rows, pairs.labels]
    np.testing.assert_allclose(scores, np.maximum(both, -50), atol=1e-5)
    assert np.abs(scorer.second.log_odds(values) - both).max() > 0.1


def test_cut_offs_are_learned_from_trees_that_have_not_seen_the_document(monkeypatch, documents):
    monkeypatch.setattr(_scorer, "ENOUGH_FOR_TREES", 50)
    fitted, fit = [], Trees.fit
    remembers = classmethod(lambda cls, *pairs: fitted.append(pairs) or fit(*pairs))
    monkeypatch.setattr(Trees, "fit", remembers)
    LongTailClassifier(refine="trees", random_state=0).fit(documents.X, documents.Y)
    sizes = [len(is_true) for _, is_true, *_ in fitted]
    assert len(sizes) == 4
    assert sum(sizes[1:]) == 2 * sizes[0] and max(sizes[1:]) < sizes[0]


def test_too_few_labels_leave_them_out_and_it_is_said(documents):
    model = LongTailClassifier(refine="trees", random_state=0)
    with pytest.warns(UserWarning, match="'trees' has no effect"):
        model.fit(documents.X, documents.Y)
    without = LongTailClassifier(random_state=0).fit(documents.X, documents.Y)
    assert model.scorer_.trees is None
    np.testing.assert_array_equal(
        model.decision_function(documents.X), without.decision_function(documents.X)
    )


def test_a_model_with_trees_comes_back_from_a_file(model, documents):
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        again.decision_function(documents.X), model.decision_function(documents.X)
    )


def test_the_same_seed_makes_the_same_trees(model, documents):
    again = LongTailClassifier(refine="trees", random_state=0).fit(documents.X, documents.Y)
    np.testing.assert_array_equal(
        again.decision_function(documents.X), model.decision_function(documents.X)
    )


def test_another_refinement_is_refused(documents):
    with pytest.raises(ValueError, match="refine must be None or 'trees'. Got 'forest' instead"):
        LongTailClassifier(refine="forest").fit(documents.X, documents.Y)


def test_trees_have_a_share_of_the_log_odds(model, documents):
    found = model.explain(documents.X[:10], k=2)
    shares = found.shares["share"]
    assert np.abs(shares[found.shares["source"] == "correction"]).max() > 0.1
    added = shares.reshape(len(found.labels["label"]), -1).sum(axis=1)
    np.testing.assert_allclose(added, found.labels["log_odds"], atol=1e-4)
