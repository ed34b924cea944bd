"""Every parameter without effect in the chosen mode is named in one warning, and no other one."""

import sys
import warnings
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skmltc import (
    BalancedLossClassifier,
    HeadToTailClassifier,
    HybridSiameseClassifier,
    TReaderXMLClassifier,
)
from skmltc._idle import NO_EFFECT, changed_parameters, warn_of_idle
from skmltc.decision import MultilabelThresholdClassifierCV, MultilabelVotingClassifier
from skmltc.encoders import BagEncoder, Training, WordEmbedding
from skmltc.neighbors import CosineNeighbors

pytestmark = pytest.mark.filterwarnings("ignore::skmltc.labels.LabelWarning")

rng = np.random.RandomState(0)
N, N_LABELS = 96, 4
X = rng.rand(N, 8).astype(np.float32)
TOKENS = rng.randint(2, 9, size=(N, 5))
Y = np.eye(N_LABELS, dtype=int)[np.arange(N) % N_LABELS]
CLASSES = np.arange(N) % N_LABELS
FEW = {"X_val": X[:20], "y_val": Y[:20]}
BAG = BagEncoder(hidden_dims=(4,))
SHORT = {"max_epochs": 1, "encoder": BAG, "random_state": 0}

linear = partial(BalancedLossClassifier, weight_decay=0.1, random_state=0)
network = partial(BalancedLossClassifier, **SHORT)
siamese = partial(HybridSiameseClassifier, **SHORT, n_phi=100, n_triplets=30)
siamese_off = partial(HybridSiameseClassifier, **SHORT, n_phi=0)
head_to_tail = partial(HeadToTailClassifier, **SHORT, n_tail=1)
joint = partial(HeadToTailClassifier, **SHORT)
reader = partial(TReaderXMLClassifier, **SHORT, n_neighbors=3)
alone = partial(TReaderXMLClassifier, **SHORT, teacher=False, votes=False)
voting = partial(TReaderXMLClassifier, **SHORT, teacher=False, n_neighbors=3)
STOPPED = Training(max_epochs=1, early_stopping=True)
of_tokens = {"encoder": WordEmbedding(embedding_dim=4)}

OF_BATCHES = {
    "lr": 0.1,
    "training": Training(),
    "max_epochs": 3,
    "batch_size": 8,
    "early_stopping": False,
    "validation_fraction": 0.2,
    "patience": 2,
    "callbacks": [],
}
OF_STOPPING = {"validation_fraction": 0.2, "patience": 2}
OF_SIMILARITY = {
    "n_triplets": 60,
    "triplets_per_document": 1,
    "n_support": 2,
    "support": "vote",
    "category_similarity": False,
    "multi_task": None,
    "multi_task_weight": 2.0,
    "sampling": "pair",
    "siamese_epochs": 2,
    "representation_activation": "relu",
    "match_priors": False,
}
OF_TAIL = {
    "n_prototype_documents": 2,
    "n_prototypes": 3,
    "transfer": "ridge",
    "attention": True,
    "n_ensembles": 2,
    "fine_tune": None,
    "calibrate_tail": False,
}
OF_SCOPES = {
    "n_neighbors": 4,
    "retrieval": CosineNeighbors(),
    "label_parents": [-1, 0, -1, -1],
    "description_length": 2,
}
OF_SEQUENCES = {"n_heads": 2, "pooling": "max"}
OF_DECISION = {"threshold": 0.3, "min_labels": 1}
ON_PLATEAU = Training(schedule="plateau")

# What is fitted, on what, what has no effect there, and what is said of it.
MODES = {
    "linear": (
        linear,
        (X, Y),
        OF_BATCHES,
        "on Newton's method (optimizer='adamw' trains in mini-batches)",
    ),
    "linear, adamw": (
        partial(linear, optimizer="adamw", max_epochs=1),
        (X, Y),
        {"max_iter": 3, "tol": 0.1},
        "in mini-batches",
    ),
    "linear, classes": (linear, (X, CLASSES), OF_DECISION, "where y has one class per document"),
    "network": (network, (X, Y), {"max_iter": 3, "tol": 0.1}, "in mini-batches"),
    "network, all documents": (
        network,
        (X, Y),
        OF_STOPPING,
        "with early_stopping='auto' and a training that needs none",
    ),
    "network, few documents": (
        partial(network, training=STOPPED),
        (X, Y),
        OF_STOPPING,
        "with early_stopping='auto' on 96 documents, too few to stop by",
    ),
    "network, no stopping": (
        partial(network, early_stopping=False),
        (X, Y),
        OF_STOPPING,
        "with early_stopping=False",
    ),
    "network, X_val": (
        network,
        (X, Y, X[:20], Y[:20]),
        {"validation_fraction": 0.2},
        "where X_val is given",
    ),
    "network, plateau": (
        partial(network, training=ON_PLATEAU, early_stopping=True),
        (X, Y),
        {"patience": 2},
        "with schedule='plateau'",
    ),
    "network, classes": (network, (X, CLASSES), OF_DECISION, "where y has one class per document"),
    "siamese, n_phi=0": (siamese_off, (X, Y), OF_SIMILARITY, "with n_phi=0"),
    "siamese, no label below": (
        partial(HybridSiameseClassifier, **SHORT, n_phi=15),
        (X, Y),
        OF_SIMILARITY,
        "where no label has fewer than n_phi = 15 documents",
    ),
    "siamese, labels without documents": (
        partial(HybridSiameseClassifier, **SHORT, siamese_labels=[]),
        (X, Y),
        OF_SIMILARITY,
        "where no label with a document is in siamese_labels",
    ),
    "siamese, given labels": (
        partial(HybridSiameseClassifier, **SHORT, siamese_labels=[0, 1], n_triplets=30),
        (X, Y),
        {"n_phi": 5},
        "where siamese_labels is given",
    ),
    "siamese, one task": (
        partial(siamese, multi_task=None),
        (X, Y),
        {"multi_task_weight": 2.0},
        "with multi_task=None",
    ),
    "siamese, few documents": (
        partial(siamese, training=STOPPED),
        (X, Y),
        OF_STOPPING,
        "with early_stopping='auto' on 96 documents, too few to stop by",
    ),
    "head to tail, joint": (joint, (X, Y), OF_TAIL, "where no label is tail, save on add_labels"),
    "head to tail, imprinting": (
        head_to_tail,
        (X, Y),
        {"n_prototypes": 3},
        "save by chance with transfer='identity' and no attention",
    ),
    "reader, alone": (alone, (X, Y), OF_SCOPES | OF_SEQUENCES, None),
    "reader, votes alone": (
        voting,
        (X, Y),
        {"description_length": 2},
        "with teacher=False",
    ),
    "reader of tokens, alone": (partial(alone, **of_tokens), (TOKENS, Y), OF_SCOPES, None),
}
CASES = [(mode, name) for mode, (*_, values, _) in MODES.items() for name in values]


def said_by(model, *data, **further):
    """What fit says of parameters without effect, all of it at the line of the fit."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = sys._getframe().f_lineno + 1
        model.fit(*data, **further)
    said = [one for one in caught if " no effect" in str(one.message)]
    assert {(one.filename, one.lineno) for one in said} <= {(__file__, line)}
    return [str(one.message) for one in said]


@pytest.mark.parametrize("mode, name", CASES)
def test_a_parameter_without_effect_is_named_at_the_users_line(mode, name):
    make, data, values, reason = MODES[mode]
    (said,) = said_by(make(**{name: values[name]}), *data)
    first = next(part for part in said.split(". ") if part.startswith(f"{name} "))
    assert first.startswith(f"{name} has no effect {reason or ''}".rstrip())


@pytest.mark.parametrize("mode", MODES)
def test_all_of_them_are_in_one_warning_each_once(mode):
    make, data, values, _ = MODES[mode]
    (said,) = said_by(make(**values), *data)
    words = said.replace(",", " ").replace(".", " ").split()
    assert all(words.count(name) == 1 for name in values), said


@pytest.mark.parametrize(
    "make, data",
    [
        (linear, (X, Y)),
        (partial(linear, optimizer="adamw", max_epochs=1), (X, Y)),
        (linear, (X, CLASSES)),
        (network, (X, Y)),
        (partial(network, early_stopping=True, patience=2, validation_fraction=0.2), (X, Y)),
        (partial(network, training=ON_PLATEAU), (X, CLASSES)),
        (siamese, (X, Y)),
        (siamese_off, (X, Y)),
        (partial(siamese, multi_task_weight=2.0, siamese_epochs=2), (X, Y)),
        (partial(HybridSiameseClassifier, **SHORT, siamese_labels=[0], n_triplets=30), (X, Y)),
        (head_to_tail, (X, Y)),
        (partial(head_to_tail, n_prototypes=3, attention=True), (X, Y)),
        (joint, (X, Y)),
        (reader, (X, Y)),
        (alone, (X, Y)),
        (voting, (X, Y)),
        (partial(reader, **of_tokens, **OF_SEQUENCES), (TOKENS, Y)),
        (partial(alone, **of_tokens, **OF_SEQUENCES), (TOKENS, Y)),
    ],
)
def test_what_has_an_effect_is_not_named(make, data):
    assert said_by(make(), *data) == []


@pytest.mark.parametrize("mode, name", [case for case in CASES if case[1] != "n_prototypes"])
def test_what_is_named_changes_nothing(mode, name):
    make, data, values, _ = MODES[mode]
    one, other = make().fit(*data), make(**{name: values[name]}).fit(*data)
    assert_array_equal(one.predict(data[0]), other.predict(data[0]))
    if name not in OF_DECISION:
        assert_array_equal(one.decision_function(data[0]), other.decision_function(data[0]))


def test_a_fraction_that_decides_whether_documents_are_spared_has_an_effect():
    X_many, Y_many = np.tile(X, (20, 1)), np.tile(Y, (20, 1))
    stopped = partial(network, training=STOPPED)
    (said,) = said_by(stopped(validation_fraction=0.05, patience=2), X_many, Y_many)
    assert said.startswith("patience has no effect") and "validation_fraction" not in said
    assert said_by(stopped(validation_fraction=0.2, patience=2), X_many, Y_many) == []


def test_labels_that_are_tail_in_folds_alone_are_transferred_to():
    few = np.arange(60)  # fifteen of each label, ten in a fold: eleven make a head label
    assert said_by(joint(attention=True), X[few], Y[few]) == []


@pytest.mark.parametrize(
    "training, further, name",
    [
        (Training(monitor="micro_f1"), {}, "training__monitor"),
        (Training(keep="last"), {}, "training__keep"),
        (Training(plateau=(0.5, 2, 1)), {}, "training__plateau"),
        (Training(lr_factors={"head": 2}), {"lr": 0.1}, "training__lr_factors"),
    ],
)
def test_settings_of_a_training_are_named_too(training, further, name):
    (said,) = said_by(network(training=training, **further), X, Y)
    assert said.startswith(f"{name} has no effect with ")


def test_a_precision_is_for_encoders_of_tokens():
    (said,) = said_by(network(training=Training(precision="float32")), X, Y)
    assert said == "training__precision has no effect on features."


@pytest.mark.parametrize("make", [linear, partial(network, early_stopping=False)])
def test_a_validation_part_that_is_not_looked_at_is_named(make):
    (said,) = said_by(make(), X, Y, **FEW)
    assert said.startswith("X_val and y_val have no effect with ") and "500 labels" in said
    many = np.tile(X, (10, 1)), np.tile(Y, (10, 1))
    assert said_by(make(), X, Y, *many) == said_by(reader(early_stopping=False), X, Y, **FEW) == []


def test_descriptions_without_a_teacher_are_named():
    (said,) = said_by(alone(votes=True, n_neighbors=3), X, Y, label_tokens=X[:N_LABELS])
    assert said == "label_tokens has no effect with teacher=False."


def test_a_fit_without_tail_says_so_and_what_is_in_vain():
    without = partial(HeadToTailClassifier, **SHORT, min_head_count=1)
    with pytest.warns(UserWarning, match="^min_head_count=1 leaves no tail: all labels are t"):
        without().fit(X, Y)
    (said,) = said_by(without(attention=True), X, Y)
    assert said.endswith(
        "jointly. attention has no effect where no label is tail, save on add_labels."
    )
    assert said_by(HeadToTailClassifier(**SHORT, n_tail=0), X, Y) == []
    (said,) = said_by(HeadToTailClassifier(**SHORT, n_tail=0, attention=True), X, Y)
    assert said == "attention has no effect where no label is tail, save on add_labels."


@pytest.mark.parametrize(
    "around",
    [
        lambda model: Pipeline([("tfidf", TfidfTransformer()), ("model", model)]),
        lambda model: MultilabelThresholdClassifierCV(model, cv=3, random_state=0),
        lambda model: MultilabelVotingClassifier([("one", model)]),
    ],
)
def test_around_an_estimator_it_is_said_once(around):
    (said,) = said_by(around(linear(lr=0.1)), X, Y)
    assert said.startswith("lr has no effect on Newton's method")


def test_in_a_search_it_is_said_at_the_users_line():
    said = said_by(GridSearchCV(linear(lr=0.1), {"weight_decay": [0.1]}, cv=2), X, Y)
    assert len(said) == 3 and len(set(said)) == 1  # two folds and the best one: shown once


def test_where_another_classifier_decides_the_own_decision_is_in_vain():
    model = linear(threshold=0.3, min_labels=1)
    (said,) = said_by(MultilabelThresholdClassifierCV(model, cv=3, random_state=0), X, Y)
    assert said == "threshold and min_labels have no effect inside a classifier that decides."


# ---------------------------------------------------------------------------------- the sentence


def test_parameters_are_changed_that_differ_from_the_constructors_defaults():
    assert changed_parameters(BalancedLossClassifier()) == []
    changed = linear(lr=np.float64(0.1), tol=np.float32(2))
    assert changed_parameters(clone(changed)) == ["lr", "weight_decay", "tol", "random_state"]
    same = BalancedLossClassifier(max_iter=np.int64(200), lr=np.str_("auto"), verbose=False)
    assert changed_parameters(same) == []
    arrays = TReaderXMLClassifier(label_parents=np.zeros(3), callbacks=[])
    assert changed_parameters(arrays) == ["label_parents", "callbacks"]
    assert changed_parameters(Training(lr=1), "training__") == ["training__lr"]
    assert changed_parameters(clone(Training(plateau=(0.1, 5, 3)))) == ["plateau"]
    assert changed_parameters(Training(betas=(0.9,))) == ["betas"]


def test_sentences_name_what_was_changed_by_the_first_reason_that_holds():
    idle = [(False, "never", "abc"), (True, "here", "ab"), (True, "there", "bcd"), (1, "So.", ())]
    with pytest.warns(UserWarning) as caught:
        warn_of_idle(["d", "c", "b", "a", "e"], idle)
    expected = "b and a have no effect here. d and c have no effect there. So."
    assert [str(one.message) for one in caught] == [expected]
    with pytest.warns(UserWarning, match="^a, b and c have no effect here.$"):
        warn_of_idle("abc", [(True, "here", "abc")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_idle("e", idle[:3])


def test_what_it_says_is_what_folds_keep_back():
    models = [linear(lr=0.1, tol=1), HeadToTailClassifier(**SHORT, n_tail=0, attention=True)]
    for model in models:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", message=NO_EFFECT)
            model.fit(X, Y)
        assert not [one for one in caught if one.category is UserWarning]
