"""scikit-learn's own checks, on small specs; none may fail."""

from collections import Counter

import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmltc import (
    BalancedLossClassifier,
    HeadToTailClassifier,
    HybridSiameseClassifier,
    LongTailClassifier,
    TReaderXMLClassifier,
)
from skmltc.decision import MultilabelThresholdClassifierCV, MultilabelVotingClassifier
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN, WordEmbedding
from skmltc.neighbors import CosineNeighbors, MultilabelKNeighborsClassifier

LINEAR = BalancedLossClassifier(encoder="bag", weight_decay=0.1)
NETWORK = BalancedLossClassifier(
    encoder=BagEncoder(hidden_dims=(8,)), max_epochs=8, batch_size=16, early_stopping=False
)
SMALL = {"max_epochs": 12, "batch_size": 32, "lr": 0.02, "early_stopping": False}
CONVOLUTIONS = BalancedLossClassifier(
    encoder=TextCNN(filter_sizes=(1, 2), n_filters=8, embedding_dim=8, hidden_dim=8), **SMALL
)
RECURRENT = BalancedLossClassifier(
    encoder=BiLSTMAttention(hidden_dim=8, output_dim=8, embedding_dim=8), **SMALL
)
SIAMESE = HybridSiameseClassifier(
    encoder=BagEncoder(hidden_dims=(8,)),
    n_triplets=600,
    max_epochs=8,
    batch_size=16,
    early_stopping=False,
)
SIAMESE_CONVOLUTIONS = HybridSiameseClassifier(
    encoder=CONVOLUTIONS.encoder, n_triplets=600, **SMALL
)
TRANSFERRED = HeadToTailClassifier(
    encoder=BagEncoder(hidden_dims=(8,)),
    n_ensembles=3,
    max_epochs=20,
    batch_size=16,
    lr=0.05,
    early_stopping=False,
)
TRANSFERRED_RECURRENT = HeadToTailClassifier(encoder=RECURRENT.encoder, n_ensembles=3, **SMALL)
READ = TReaderXMLClassifier(
    encoder=BagEncoder(hidden_dims=(8,)),
    n_neighbors=3,
    n_heads=2,
    bottleneck_dim=8,
    max_epochs=6,
    batch_size=32,
    lr=0.05,
    early_stopping=False,
)
READ_WORDS = clone(READ).set_params(
    encoder=WordEmbedding(embedding_dim=8), reading="mmhsa+residual", max_epochs=20
)
VOTES = MultilabelKNeighborsClassifier(n_neighbors=5)
ESTIMATORS = [LINEAR, NETWORK, CONVOLUTIONS, RECURRENT, SIAMESE, SIAMESE_CONVOLUTIONS]
ESTIMATORS += [TRANSFERRED, TRANSFERRED_RECURRENT, READ, READ_WORDS, VOTES]
NAMES = ["linear", "network", "convolutions", "recurrent", "siamese", "siamese convolutions"]
NAMES += ["transferred", "transferred recurrent", "read", "read words", "votes"]
SEEDED = clone(NETWORK).set_params(random_state=0)
LOGISTIC = OneVsRestClassifier(LogisticRegression())
AROUND_OTHERS = {
    "cut": MultilabelThresholdClassifierCV(LOGISTIC),
    "cut of probabilities": MultilabelThresholdClassifierCV(
        make_pipeline(StandardScaler(with_mean=False), LOGISTIC), response_method="predict_proba"
    ),
    "cut of ours": MultilabelThresholdClassifierCV(SEEDED, cv=2),
    "vote": MultilabelVotingClassifier([("a", LOGISTIC), ("b", OneVsRestClassifier(GaussianNB()))]),
    "vote of ours": MultilabelVotingClassifier([("a", SEEDED), ("b", LOGISTIC), ("c", "drop")]),
}
ESTIMATORS += AROUND_OTHERS.values()
NAMES += AROUND_OTHERS
STACKS = {
    "stack": LongTailClassifier(
        [
            ("linear", BalancedLossClassifier(encoder="bag", weight_decay=0.1)),
            ("neighbors", MultilabelKNeighborsClassifier()),
        ]
    ),
    "stack of others": LongTailClassifier(
        [("a", LOGISTIC), ("b", OneVsRestClassifier(GaussianNB()))]
    ),
    "stack on tokens": LongTailClassifier(
        [
            ("words", clone(CONVOLUTIONS).set_params(max_epochs=8, lr=0.03)),
            ("neighbors", MultilabelKNeighborsClassifier()),
        ]
    ),
}
ESTIMATORS += STACKS.values()
NAMES += STACKS
passed = Counter()


@pytest.mark.filterwarnings("ignore:X must be token ids")  # scikit-learn's made-up data are not
@parametrize_with_checks([*ESTIMATORS, CosineNeighbors()])
def test_scikit_learn_check(estimator, check):
    name = repr(estimator)
    check(estimator)
    passed[name] += 1


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=NAMES)
def test_more_than_fifty_checks_ran(estimator, request):
    selected = [getattr(item, "originalname", None) for item in request.session.items]
    shared = hasattr(request.config, "workerinput")  # pytest-xdist runs some of them elsewhere
    if shared or selected.count("test_scikit_learn_check") <= 50 * len(ESTIMATORS):
        pytest.skip("the checks did not all run in this process")
    assert passed[repr(estimator)] > 50
