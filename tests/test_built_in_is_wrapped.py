"""The decision of an estimator is that of MultilabelThresholdClassifierCV around it, to the bit.

Both train the same fold models and learn by the same rule from the same pairs where the seed is an
integer and nothing is chosen by looking at other documents than a fold's: the loss, weight decay
and number of epochs are given, and so is the size of a table of word vectors.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer

from skmltc import (
    BalancedLossClassifier,
    HeadToTailClassifier,
    HybridSiameseClassifier,
    TReaderXMLClassifier,
)
from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import CUT_EACH_LABEL, RULES, MultilabelThresholdClassifierCV
from skmltc.encoders import BagEncoder, TextCNN
from skmltc.model_selection import list_held_out
from skmltc.text import TokenSequenceVectorizer, WordVectors

SEED = 7


def linear(**options):
    options = {"loss": "bce", "weight_decay": 0.03, "calibrate": False} | options
    return BalancedLossClassifier(random_state=SEED, **options)


def trained(estimator, **options):
    """A network of two epochs on all documents."""
    options = {"encoder": BagEncoder(hidden_dims=(8,)), "loss": "bce"} | options
    epochs = {"max_epochs": 2, "early_stopping": False, "batch_size": 32, "calibrate": False}
    return estimator(random_state=SEED, **epochs, **options)


NETWORKS = {
    "balanced": trained(BalancedLossClassifier, loss="distribution_balanced", logit_adjustment=0.1),
    "siamese": trained(HybridSiameseClassifier, n_phi=0),
    "head_to_tail": trained(HeadToTailClassifier, min_head_count=30),
    "treader": trained(TReaderXMLClassifier, n_neighbors=5, n_heads=2, bottleneck_dim=8),
}


def assert_alike(model, X, y, rule):
    """Thresholds, decision values and predictions are equal."""
    built_in = clone(model).set_params(threshold=rule).fit(X, y)
    plain = clone(model).set_params(threshold=0.5)
    wrapped = MultilabelThresholdClassifierCV(plain, threshold=rule, random_state=SEED).fit(X, y)
    assert wrapped.response_method_ == "decision_function"
    known = np.isfinite(built_in.threshold_)
    assert_array_equal(known, built_in.label_counts_ > 0)
    assert (built_in.threshold_[known] != 0).any()  # that of a probability of .5
    assert_array_equal(wrapped.threshold_, built_in.threshold_)
    assert_array_equal(wrapped.decision_function(X), built_in.decision_function(X))
    predicted = built_in.predict(X)
    assert predicted.sum() > 0
    assert_array_equal(wrapped.predict(X).toarray(), predicted.toarray())
    assert_array_equal(wrapped.label_counts_, built_in.label_counts_)


def features(corpus):
    return TfidfVectorizer(max_features=300, dtype=np.float32).fit_transform(corpus.data)


@pytest.fixture(scope="module")
def corpus():
    """200 documents of 12 labels; not to be changed."""
    return make_long_tailed_corpus(200, 12, n_words=30, random_state=0)


@pytest.fixture(scope="module")
def X(corpus):
    return features(corpus)


def test_the_default_rule_is_one():
    defaults = {type(model)().threshold for model in NETWORKS.values()}
    assert defaults == {MultilabelThresholdClassifierCV(linear()).threshold} == {"frequency"}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("options", [{}, {"loss": "distribution_balanced"}])
def test_a_linear_model(rule, options, X, corpus):
    assert_alike(linear(logit_adjustment=0.15, **options), X, corpus.target, rule)


@pytest.mark.parametrize("rule", RULES)
def test_a_linear_model_of_dense_features(rule, X, corpus):
    assert_alike(linear(), X.toarray(), corpus.target, rule)


@pytest.mark.parametrize("rule", RULES)
def test_a_linear_model_of_labels_of_one_document_and_of_none(rule, X, corpus):
    Y = corpus.target.toarray()
    Y = np.hstack([Y, np.eye(len(Y), 5, k=-3, dtype=Y.dtype), np.zeros_like(Y[:, :1])])
    with pytest.warns(UserWarning, match="1 of 18 labels have no training document"):
        assert_alike(linear(), X, sparse.csr_array(Y), rule)


@pytest.mark.parametrize("rule", RULES)
def test_a_linear_model_of_more_labels_than_are_scored_at_a_time(rule):
    corpus = make_long_tailed_corpus(300, 90, n_words=20, random_state=2)
    assert_alike(linear(), features(corpus), corpus.target, rule)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_features(name, rule, X, corpus):
    assert_alike(NETWORKS[name], X, corpus.target, rule)


@pytest.mark.parametrize("rule", RULES)
def test_a_network_of_tokens_with_a_table_of_a_given_size(rule, corpus):
    words = sorted({word for text in corpus.data for word in text.split()})
    vectors = WordVectors(words, np.random.RandomState(0).normal(size=(len(words), 6)))
    vectorizer = TokenSequenceVectorizer(vocabulary=vectors, max_length=24)
    cnn = TextCNN(embeddings=vectors, filter_sizes=(2,), n_filters=6, hidden_dim=8)
    model = trained(BalancedLossClassifier, encoder=cnn)
    assert_alike(model, vectorizer.fit_transform(corpus.data), corpus.target, rule)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in CUT_EACH_LABEL])
def test_a_network_of_many_documents_with_the_one_part_that_it_holds_out(rule):
    """Labels of a third of the documents are enough there, so the network is trained once more."""
    corpus = make_long_tailed_corpus(2400, 12, n_words=30, random_state=1)
    X, model = features(corpus), NETWORKS["balanced"]
    y = sparse.csr_array(sparse.hstack([corpus.target, corpus.target[::-1]]))
    parts = list_held_out(y, SEED)
    assert y[parts[0][1]].sum() > 2000
    built_in = clone(model).set_params(threshold=rule).fit(X, y)
    plain = clone(model).set_params(threshold=0.5)
    wrapped = MultilabelThresholdClassifierCV(plain, threshold=rule, cv=parts[:1]).fit(X, y)
    assert_array_equal(wrapped.threshold_, built_in.threshold_)


def test_other_folds_give_other_thresholds(X, corpus):
    """Without this the tests above could pass on thresholds that do not depend on the folds."""
    built_in = linear().fit(X, corpus.target)
    wrapped = MultilabelThresholdClassifierCV(linear(threshold=0.5), random_state=SEED + 1)
    assert (wrapped.fit(X, corpus.target).threshold_ != built_in.threshold_).all()
