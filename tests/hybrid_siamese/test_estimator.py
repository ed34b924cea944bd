"""HybridSiameseClassifier: its two parts, what each setting does, calibration, cut-offs, errors."""

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import NamedTuple

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit, logit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV

from skmltc import HybridSiameseClassifier, _stages
from skmltc._networks import Trainer, network_scores
from skmltc._validation import LabelWarning
from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import RULES, Calibration, Decision, Documents, ScoredPairs
from skmltc.decision._rules import Selected
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN, Training
from skmltc.hybrid_siamese import _estimator, _training
from skmltc.hybrid_siamese._similarity import SimilarityScorer, TripletDocuments
from skmltc.hybrid_siamese._training import SiameseTraining
from skmltc.hybrid_siamese._triplets import draw_independent_triplets
from skmltc.losses import LOSSES, BinaryCrossEntropyLoss, FocalLoss
from skmltc.metrics import RankingScorer
from skmltc.model_selection import (
    MultilabelStratifiedKFold,
    list_held_out,
    multilabel_train_test_split,
)
from skmltc.text import TokenSequenceVectorizer

N_LABELS, N_PHI = 25, 30
N_PHI_OPTIONS = [0, 5, 10, 20, 35, 50, 100, 200]  # of n_phi="auto"


def hybrid(**parameters):
    defaults = {
        "encoder": BagEncoder(hidden_dims=(32,)),
        "n_phi": N_PHI,
        "n_triplets": 3000,
        "max_epochs": 5,
        "threshold": 0.5,
        "calibrate": False,
        "early_stopping": False,
        "random_state": 0,
    }
    return HybridSiameseClassifier(**defaults | parameters)


@pytest.fixture(scope="module")
def split():
    """Features and labels of documents to fit on, and of others."""
    corpus = make_long_tailed_corpus(900, N_LABELS, n_words=30, random_state=0)
    texts, texts_test, Y, Y_test = multilabel_train_test_split(
        corpus.data, corpus.target, random_state=0
    )
    words = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
    return words.fit_transform(texts), Y, words.transform(texts_test), Y_test


@pytest.fixture(scope="module")
def fitted(split):
    """A model without cut-offs to learn; not to be changed."""
    return hybrid().fit(*split[:2])


@pytest.fixture(scope="module")
def single(split):
    """The single network alone."""
    return hybrid(n_phi=0).fit(*split[:2])


class Stage(NamedTuple):
    """What the second network is trained with, and the model that came of leaving that out."""

    trainer: Trainer
    network: torch.nn.Module
    loss: torch.nn.Module
    dataset: TripletDocuments
    stop_by: TripletDocuments
    model: HybridSiameseClassifier


@pytest.fixture
def second_stage(monkeypatch):
    """A function from data and settings to the training of the second network, which is not run."""
    train, seen = Trainer.train, []

    def look(self, network, loss, dataset, stop_by=None, parts=None, begin=None):
        if not isinstance(dataset, TripletDocuments):
            return train(self, network, loss, dataset, stop_by, parts, begin)
        seen.append((self, network, loss, dataset, stop_by))
        schedule = SimpleNamespace(falls_=())
        return SimpleNamespace(interrupted_=None, callbacks_=[("schedule", schedule)], history=[])

    def second_stage(X, Y, **settings):
        seen.clear()
        model = hybrid(**{"max_epochs": 1} | settings).fit(X, Y)
        (stage,) = seen
        return Stage(*stage, model)

    monkeypatch.setattr(Trainer, "train", look)
    return second_stage


# -------------------------------------------------------------------------------- the two parts


def test_frequent_labels_have_the_scores_of_the_single_network_to_the_bit(split, fitted, single):
    X, Y, X_test, _ = split
    counts = Y.sum(axis=0)
    assert_array_equal(fitted.siamese_labels_, np.flatnonzero(counts < 30))
    assert 3 < len(fitted.siamese_labels_) < 22
    scores, alone = fitted.decision_function(X_test), single.decision_function(X_test)
    assert_array_equal(scores[:, counts >= 30], alone[:, counts >= 30])
    assert (scores[:, counts < 30] != alone[:, counts < 30]).any(axis=0).all()
    assert_array_equal(alone, network_scores(single.module_, X_test))
    assert len(single.siamese_labels_) == 0 and single.scorer_.similar is None


@pytest.mark.parametrize("more", [0, 1])
def test_labels_with_fewer_than_n_phi_documents_are_compared(more, split):
    X, Y, *_ = split
    counts = Y.sum(axis=0)
    n_phi = int(np.median(counts)) + more
    assert (counts == n_phi - more).any()
    model = hybrid(n_phi=n_phi, max_epochs=1, n_triplets=30).fit(X, Y)
    expected = [label for label in range(N_LABELS) if counts[label] < n_phi]
    assert_array_equal(model.siamese_labels_, expected)
    assert model.n_phi_ == n_phi


def test_all_labels_can_be_scored_by_similarity(split):
    X, Y, *_ = split
    model = hybrid(n_phi=10_000, max_epochs=1, n_triplets=30).fit(X, Y)
    assert_array_equal(model.siamese_labels_, np.arange(N_LABELS))


def test_no_rare_label_is_said_so(split, single):
    X, Y, X_test, _ = split
    with pytest.warns(LabelWarning, match="No label has fewer than n_phi = 1 "):
        model = hybrid(n_phi=1).fit(X, Y)
    assert_array_equal(model.decision_function(X_test), single.decision_function(X_test))


def test_training_separates_documents_with_a_label_from_others(split):
    X, Y, X_test, Y_test = split
    rare = np.flatnonzero((Y.sum(axis=0) < N_PHI) & (Y_test.sum(axis=0) > 0))
    truth = Y_test.toarray()[:, rare]

    def auc(n_triplets):
        model = hybrid(max_epochs=15, n_triplets=n_triplets).fit(X, Y)
        return roc_auc_score(truth, model.decision_function(X_test)[:, rare], average="macro")

    assert auc(10_000) > 0.8 > auc(3) + 0.1


def test_two_fits_with_one_seed_are_equal_and_so_are_two_predictions(split, fitted):
    X, Y, X_test, _ = split
    scores = fitted.decision_function(X_test)
    np.random.seed(7)
    torch.manual_seed(7)
    assert_array_equal(scores, hybrid().fit(X, Y).decision_function(X_test))
    assert_array_equal(scores, fitted.decision_function(X_test))
    assert_array_equal(fitted.decision_function(X_test[3:9]), scores[3:9])
    assert (hybrid(random_state=1).fit(X, Y).decision_function(X_test) != scores).any()


# ------------------------------------------------------------------- how the second is trained


def test_the_second_network_begins_as_the_first_and_learns_more_slowly(split, second_stage):
    X, Y, *_ = split
    stage = second_stage(X, Y)
    copied = [*stage.network[0].parameters(), *stage.network[1].parameters()]
    for begun, first in zip(copied, stage.model.module_.parameters(), strict=True):
        assert torch.equal(begun, first) and begun is not first
    rates = second_rates(stage)
    assert rates.pop("similarity") == {0.01}  # what suits the encoder
    assert_allclose([rate for (rate,) in rates.values()], 0.01 * 0.3 * 0.3)  # begun trained twice
    trainer = stage.trainer
    assert trainer.schedule == "linear" and (trainer.max_epochs, trainer.batch_size) == (1, 1)


def second_rates(stage):
    """Learning rates of the parts of the second network."""
    rates = {}
    for part, module in stage.network.parts().items():
        for group in stage.trainer._rated(stage.network.parts(), list(module.parameters())):
            rates.setdefault(part, set()).add(group["lr"])
    return rates


@pytest.mark.parametrize(
    "given, schedule",
    [({"lr": 0.02}, "constant"), ({"training": Training(lr=0.02)}, "linear")],
)
def test_the_second_network_learns_at_a_rate_that_is_given(given, schedule, split, second_stage):
    X, Y, *_ = split
    stage = second_stage(X, Y, **given)
    assert all(rates == {0.02} for rates in second_rates(stage).values())
    assert stage.trainer.schedule == schedule and stage.model.net_.lr == 0.02


def test_the_factors_of_a_given_training_hold_for_the_second_network(split, second_stage):
    X, Y, *_ = split
    training = Training(lr=0.02, lr_factors={"projection": 0.5, "head": 2.0})
    rates = second_rates(second_stage(X, Y, training=training))
    assert rates == {"encoder": {0.01}, "head": {0.04}, "similarity": {0.02}}


@pytest.mark.parametrize("sampling, share", [("triplet", 1 / 3), ("pair", 1 / 2)])
def test_a_third_of_the_triplets_are_similar_and_of_pairs_half(
    sampling, share, split, second_stage
):
    X, Y, *_ = split
    batches = second_stage(X, Y, sampling=sampling).dataset.triplets
    same = np.concatenate([batch.same for batch in batches])
    assert len(same) == 3000 and same.mean() == pytest.approx(share)


@pytest.mark.parametrize("per_document", [1, 8])
def test_a_document_is_in_so_many_triplets(per_document, split, second_stage):
    X, Y, *_ = split
    batches = second_stage(X, Y, triplets_per_document=per_document).dataset.triplets
    n_documents = sum(len(batch.documents) for batch in batches)
    assert 0.75 * per_document < 3000 / n_documents < 1.5 * per_document


def test_by_default_there_are_thirty_triplets_per_label_and_at_least_30_000(split, second_stage):
    X, Y, *_ = split
    many = sparse.csr_array(np.eye(1100, dtype=np.float32).repeat(2, axis=0))
    features = sparse.csr_array(np.random.default_rng(0).random((2200, 5), dtype=np.float32))
    for data, n_triplets in (((X, Y), 30_000), ((features, many), 33_000)):
        batches = second_stage(*data, n_triplets="auto", match_priors=False).dataset.triplets
        assert sum(len(batch.same) for batch in batches) == n_triplets


def test_pairs_drawn_by_themselves_share_no_document(split, second_stage):
    X, Y, *_ = split
    settings = {"triplets_per_document": None, "batch_size": 10, "multi_task": "category"}
    stage = second_stage(X, Y, **settings)
    assert len(stage.dataset) == 3000 and stage.trainer.batch_size == 10
    drawn = draw_independent_triplets(
        Y, 3000, sampling="triplet", random_state=np.random.RandomState(0)
    )
    inputs, (first, second, labels, same, truth) = stage.dataset.batch(np.array([5, 2000]))
    places = [*drawn.first[[5, 2000]], *drawn.second[[5, 2000]]]
    assert_array_equal(inputs.to_dense(), X[drawn.documents[places]].toarray())
    assert_array_equal(truth, np.eye(N_LABELS)[drawn.labels[places]])
    assert_array_equal(labels, drawn.labels[drawn.second[[5, 2000]]])
    assert same.tolist() == [1, 0] and (first.tolist(), second.tolist()) == ([0, 1], [2, 3])


def test_a_model_of_pairs_drawn_by_themselves_finds_rare_labels(split):
    X, Y, X_test, Y_test = split
    model = hybrid(triplets_per_document=None, max_epochs=15, n_triplets=6000).fit(X, Y)
    rare = np.flatnonzero((Y.sum(axis=0) < N_PHI) & (Y_test.sum(axis=0) > 0))
    scores, truth = model.decision_function(X_test)[:, rare], Y_test.toarray()[:, rare]
    assert roc_auc_score(truth, scores, average="macro") > 0.8


def test_several_epochs_go_over_the_same_triplets(split, second_stage):
    X, Y, *_ = split
    once, thrice = (second_stage(X, Y, siamese_epochs=n) for n in (1, 3))
    for one, other in zip(once.dataset.triplets, thrice.dataset.triplets, strict=True):
        assert all(map(np.array_equal, one, other))
    assert (once.trainer.max_epochs, thrice.trainer.max_epochs) == (1, 3)
    assert once.stop_by is thrice.stop_by is None  # there is no validation part


@pytest.mark.parametrize("per_document", [8, None])
def test_several_epochs_stop_by_triplets_of_the_held_out_part(per_document, split, second_stage):
    X, Y, *_ = split
    settings = {"early_stopping": True, "validation_fraction": 0.25, "patience": 3}
    settings |= {"triplets_per_document": per_document, "training": Training(monitor="micro_f1")}
    stage = second_stage(X, Y, siamese_epochs=4, **settings)
    held = multilabel_train_test_split(np.arange(X.shape[0]), Y, test_size=0.25, random_state=0)[1]
    assert_array_equal(stage.stop_by.Y.toarray(), Y[held].toarray())
    assert len(stage.stop_by.same) == 750 and stage.stop_by.same.sum() == 250
    _, targets = stage.stop_by.batch(np.array([0]))
    assert len(targets) == 4  # no labels: it stops by the similarities
    assert (stage.trainer.monitor, stage.trainer.patience) == ("loss", 3)
    assert second_stage(X, Y, siamese_epochs=1, **settings).stop_by is None


def test_the_best_epoch_over_the_triplets_is_kept_and_folds_have_as_many(split, monkeypatch):
    X, Y, X_val, Y_val = split
    train, nets = Trainer.train, []
    monkeypatch.setattr(
        Trainer, "train", lambda *args, **kw: nets.append(train(*args, **kw)) or nets[-1]
    )
    settings = {"early_stopping": True, "patience": 2, "lr": 0.1, "siamese_epochs": 30}
    model = hybrid(threshold="tuned", n_triplets=1500, **settings).fit(X, Y, X_val, Y_val)
    second_training = SiameseTraining.of(model, Trainer.of(model, Training(), "cpu"))
    assert Y_val.nnz < 500  # so folds decide
    second = nets[1].history
    losses = second[:, "valid_loss"]
    best = int(np.argmin(losses)) + 1
    assert best + 2 == len(second) < 30
    held = Documents(X_val, Y_val.astype(np.float32))
    triplets = second_training.draw(held, 375, 0, has_labels=False)
    network = model.scorer_.similar.network
    total, n_documents = 0.0, 0
    for k in range(len(triplets)):
        inputs, (first, second_, labels, same) = triplets.batch(np.array([k]))
        with torch.no_grad():
            vectors, _ = network(inputs)
            logits = network.similarity(vectors[first], vectors[second_], labels)
        value = torch.nn.functional.binary_cross_entropy_with_logits(logits, same).item()
        total, n_documents = total + value * len(inputs), n_documents + len(inputs)
    assert_allclose(total / n_documents, min(losses), rtol=1e-5)
    assert [len(net.history) for net in nets[3::2]] == [best] * 3


def test_the_user_may_stop_the_second_network_and_nothing_is_set(split, monkeypatch):
    X, Y, X_val, Y_val = split
    batch, seen = TripletDocuments.batch, []

    def stopped(self, rows):
        seen.append(rows)
        if len(seen) == 30:
            raise KeyboardInterrupt
        return batch(self, rows)

    monkeypatch.setattr(TripletDocuments, "batch", stopped)
    model = hybrid(early_stopping=True, siamese_epochs=8)
    with pytest.raises(KeyboardInterrupt, match="in epoch . of 8. The estimator is as it was"):
        model.fit(X, Y, X_val, Y_val)
    assert not hasattr(model, "scorer_")


@pytest.mark.parametrize("multi_task", [None, "labels", "category"])
@pytest.mark.parametrize("loss", ["auto", "weighted_bce", FocalLoss(gamma=1)], ids=str)
def test_the_loss_is_that_of_the_triplets_and_of_the_second_task(
    multi_task, loss, split, second_stage
):
    X, Y, *_ = split
    stage = second_stage(X, Y, multi_task=multi_task, multi_task_weight=0.7, loss=loss)
    triplets = stage.dataset.triplets[0]
    inputs, targets = stage.dataset.batch(np.array([0]))
    vectors, logits = outputs = stage.network(inputs)
    value, expected = stage.loss(outputs, targets), 0.0
    for i, j, same in zip(triplets.first, triplets.second, triplets.same, strict=True):
        label = torch.tensor([triplets.labels[j]])
        similarity = stage.network.similarity(vectors[i][None], vectors[j][None], label)[0]
        p = torch.sigmoid(similarity)
        expected -= torch.log(p if same else 1 - p) / len(triplets.same)
    if multi_task:
        truth = Y[triplets.documents].toarray()
        if multi_task == "category":
            truth = np.eye(N_LABELS + 1)[triplets.labels, :N_LABELS]
        spec = {"auto": BinaryCrossEntropyLoss(), "weighted_bce": LOSSES["weighted_bce"]()}
        label_loss = spec.get(loss, loss).build(Y) if isinstance(loss, str) else loss.build(Y)
        for places in zip(triplets.first, triplets.second, strict=True):
            for place in places:
                one = logits[[place]], torch.from_numpy(truth[[place]]).float()
                expected += 0.7 * label_loss(*one) / len(triplets.same)
    assert_allclose(value.item(), expected.item(), rtol=1e-5)


# ----------------------------------------------------------------------------- what is compared


@pytest.mark.parametrize(
    "name, function",
    [("sigmoid", expit), ("relu", lambda x: np.maximum(x, 0)), ("identity", lambda x: x)],
)
def test_vectors_are_activated_before_they_are_compared(name, function, split):
    X, Y, X_test, _ = split
    model = hybrid(representation_activation=name, max_epochs=1, n_triplets=300).fit(X, Y)
    network = model.scorer_.similar.network
    encoded = model.scorer_.similar.encode(X_test, "cpu")
    assert_allclose(encoded, function(network_scores(network[0], X_test)), atol=1e-6)


@pytest.mark.parametrize("gated", [True, False])
def test_only_with_gates_the_similarity_of_two_documents_depends_on_the_label(gated, split):
    X, Y, X_test, _ = split
    model = hybrid(category_similarity=gated, n_phi=10_000, max_epochs=1, n_triplets=300).fit(X, Y)
    encoded = model.scorer_.similar.encode(X_test[:9], "cpu")
    others = encoded[:1].numpy()[None].repeat(N_LABELS, axis=0)
    scorer = replace(model.scorer_.similar, supports=others, offsets=np.zeros(N_LABELS, np.float32))
    scores = scorer.scores(encoded, np.arange(N_LABELS))
    for i in range(1, 9):
        assert len(set(scores[i])) == (N_LABELS if gated else 1)
    assert len(set(scores[:, 0])) == 9


@pytest.mark.parametrize(
    "support, n_support, n_comparisons",
    [("mean", 500, 1), ("mean", 4, 1), ("mean", 1, 1), ("vote", 3, 3)],
)
def test_rare_labels_have_the_similarity_with_their_supports(
    support, n_support, n_comparisons, split
):
    X, Y, X_test, _ = split
    settings = {"support": support, "n_support": n_support, "match_priors": False}
    model = hybrid(**settings).fit(X, Y)
    similar, n_documents = model.scorer_.similar, 4
    compared, known = (torch.from_numpy(similar.network.represent(x, "cpu")) for x in (X_test, X))
    scores = model.decision_function(X_test[:n_documents])
    assert similar.supports.shape == (N_LABELS, n_comparisons, 32)
    for label in model.siamese_labels_:
        rows, supports = Y[:, [label]].nonzero()[0], torch.from_numpy(similar.supports[label])
        n_drawn = min(n_support, len(rows))
        if support == "mean" and n_drawn == len(rows):
            assert_allclose(supports[0], known[rows].mean(dim=0), atol=1e-6)
        if support == "vote" or n_support == 1:  # so many different documents with the label
            drawn = [(known[rows] == s).all(dim=1).nonzero().item() for s in supports]
            assert len(set(drawn)) == n_drawn
        for i in range(n_documents):
            logits = sorted(
                similar.network.similarity(compared[[i]], s[None], torch.tensor([label])).item()
                for s in supports
            )
            # Above a cut-off where more than half of the comparisons are: the lower median.
            assert_allclose(scores[i, label], logits[(len(logits) - 1) // 2], atol=1e-5)


def test_supports_are_of_all_training_documents(split, monkeypatch):
    X, Y, X_test, _ = split
    decided = []
    of_parts = HybridSiameseClassifier._pairs_of_parts

    def look(self, held_out, candidates):
        held_out = list(held_out)
        decided.extend(part.scorer.similar.supports for part in held_out)
        return of_parts(self, held_out, candidates)

    monkeypatch.setattr(HybridSiameseClassifier, "_pairs_of_parts", look)
    monkeypatch.setattr(_stages, "ENOUGH_TO_DECIDE", 1)
    settings = {"n_support": 500, "early_stopping": True, "validation_fraction": 0.25}
    model = hybrid(**settings, threshold="tuned").fit(X, Y)
    rows = np.arange(X.shape[0])
    fitted, _, _, _ = multilabel_train_test_split(rows, Y, test_size=0.25, random_state=0)
    network = model.scorer_.similar.network
    vectors = network.represent(X, "cpu")
    for part, of_labels in ((rows, model.scorer_.similar.supports), (fitted, decided[0])):
        has = Y[part].toarray() > 0
        expected = [vectors[part][has[:, label]].mean(axis=0) for label in range(N_LABELS)]
        assert_allclose(of_labels[:, 0], expected, atol=1e-5)
    rare = model.siamese_labels_
    scores = model.decision_function(X)
    assert_array_equal((scores[:, rare] > 0).sum(axis=0), Y.sum(axis=0)[rare])


@pytest.mark.parametrize("as_mask", [False, True])
def test_the_labels_to_compare_can_be_given(as_mask, split, single):
    X, Y, X_test, _ = split
    chosen = [20, 3, 0]
    labels = np.isin(np.arange(N_LABELS), chosen) if as_mask else chosen
    model = hybrid(n_phi="auto", siamese_labels=labels, max_epochs=1, n_triplets=300).fit(X, Y)
    assert_array_equal(model.siamese_labels_, [0, 3, 20])
    assert model.n_phi_ is None
    alone = hybrid(n_phi=0, max_epochs=1).fit(X, Y).decision_function(X_test)
    scores = model.decision_function(X_test)
    assert_array_equal((scores != alone).any(axis=0), np.isin(np.arange(N_LABELS), chosen))


@pytest.mark.parametrize("labels", [[0, 0], [-1], [25], [0.5], "rare", [True], [[1, 2]]])
def test_labels_to_compare_that_are_no_columns_are_refused(labels, split):
    X, Y, *_ = split
    with pytest.raises(ValueError, match="siamese_labels must be a mask of 25 labels, or diff"):
        hybrid(n_phi="auto", siamese_labels=labels).fit(X, Y)


# ----------------------------------------------------------------------- folds and their counts


def test_a_fold_is_trained_as_its_documents_would_be_alone(split):
    X, Y, X_test, _ = split
    model = hybrid(support="vote", n_support=3)
    train, plan = parts_of(model, X, Y)
    (rows, _), (others, _), *_ = list_held_out(Y, 0)
    first = model._retrain(train[rows], plan, 0)
    np.random.seed(7)
    torch.manual_seed(7)
    model._retrain(train[others], plan, 0)
    again = model._retrain(train[rows], plan, 0)
    alone = hybrid(support="vote", n_support=3).fit(X[rows], Y[rows]).scorer_
    scores = first.scores(first.encode(X_test, "cpu"))
    for scorer in (again, alone):
        assert_array_equal(scorer.scores(scorer.encode(X_test, "cpu")), scores)


def parts_of(model, X, Y):
    """Documents as the steps of a fit see them, and what training has learned for folds."""
    checker = copy.copy(model)
    problem = model._learn(X, Y, checker)
    train, _ = model._read(problem, X, Y, None, None, checker)
    return train, model._train(problem, train, None, 0).plan


class Remembering(BinaryCrossEntropyLoss):
    """Binary cross-entropy that keeps the labels it is built for."""

    seen = []

    def build(self, statistics, *, reduction="mean"):
        self.seen.append(statistics.toarray())
        return super().build(statistics, reduction=reduction)


def test_a_fold_counts_its_own_documents(split, monkeypatch):
    X, Y, *_ = split
    model = hybrid(loss=Remembering(), support="vote", n_support=20)
    train, plan = parts_of(model, X, Y)
    rows = np.flatnonzero(np.arange(len(train)) % 3)
    counts, drawn = Y[rows].sum(axis=0), []
    Remembering.seen.clear()
    draw = _training.draw_triplets
    monkeypatch.setattr(
        _training, "draw_triplets", lambda Y, *args, **kw: drawn.append(Y) or draw(Y, *args, **kw)
    )
    scorer = model._retrain(train[rows], plan, 0)
    assert_array_equal(scorer.below, (counts > 0) & (counts < N_PHI))
    assert (scorer.below != (Y.sum(axis=0) < N_PHI)).any()
    similar = scorer.similar
    scores = similar.scores(similar.encode(X[rows], "cpu"), np.flatnonzero(scorer.below))
    assert_array_equal((scores > 0).sum(axis=0), counts[scorer.below])
    n_supports = (~np.isnan(similar.supports[:, :, 0])).sum(axis=1)
    assert_array_equal(n_supports, np.minimum(counts, 20))
    built, (of_triplets,) = Remembering.seen, drawn
    assert len(built) == 3  # for the linear start, the single network, and the second task
    for labels in (*built, of_triplets.toarray()):
        assert_array_equal(labels, Y[rows].toarray())


# ---------------------------------------------------------------------------------- calibration


def test_priors_are_matched_on_the_documents_trained_on(split):
    X, Y, X_test, Y_test = split
    settings = {"early_stopping": True}
    unmatched, matched = (
        hybrid(match_priors=match, **settings).fit(X, Y, X_test, Y_test) for match in (False, True)
    )
    rare = matched.siamese_labels_
    raw, prior = (model.decision_function(X) for model in (unmatched, matched))
    passed = (prior[:, rare] > 0).sum(axis=0)
    assert_array_equal(passed, Y.sum(axis=0)[rare])
    assert ((raw[:, rare] > 0).sum(axis=0) != passed).any()
    shifts = prior - raw
    assert_allclose(shifts, np.broadcast_to(shifts[0], shifts.shape), atol=1e-5)


@pytest.fixture(scope="module")
def fold_scores(split):
    """Folds with the scores of held-out documents, by models that were fitted by themselves.

    The first are similarities of all labels of less than 200 documents, with their priors matched
    and no more; the second are of the single network.
    """
    X, Y, *_ = split
    folds = []
    for fit, held in list_held_out(Y, 0):
        models = (hybrid(n_phi=n).fit(X[fit], Y[fit]) for n in (200, 0))
        folds.append((fit, held, *(model.decision_function(X[held]) for model in models)))
    return folds


def pairs_of_parts(split, fold_scores, slope=1.0, intercept=0.0, n_phi=N_PHI):
    """Pairs of the labels below n_phi by similarity, and of all by the single network."""
    _, Y, *_ = split
    below, similar, alone = Y.sum(axis=0) < n_phi, [], []
    for fit, held, similarities, logits in fold_scores:
        scores = slope * similarities + intercept
        similar.append(ScoredPairs.collect_rows([scores], Y[fit], Y[held], below))
        alone.append(ScoredPairs.collect_rows([logits], Y[fit], Y[held]))
    return below, ScoredPairs.concatenate(similar), ScoredPairs.concatenate(alone)


def logistic_regression(pairs):
    """Slope, with a ridge of 1 on standard deviations, and intercept."""
    deviation = pairs.scores.std()
    model = LogisticRegression(C=1.0, tol=1e-8)
    model.fit(pairs.scores[:, None] / deviation, pairs.is_true, pairs.weights)
    return model.coef_[0, 0] / deviation, model.intercept_[0]


def test_similarities_become_log_odds_on_documents_held_out(split, fitted, fold_scores):
    X, Y, X_test, _ = split
    model = hybrid(calibrate=True).fit(X, Y)
    _, similar, _ = pairs_of_parts(split, fold_scores)
    slope, intercept = logistic_regression(similar)
    assert_allclose(model.scorer_.similar.scale, slope, rtol=1e-3)
    rare, prior = model.siamese_labels_, fitted.decision_function(X_test)
    scores = model.scorer_.scores(model.scorer_.encode(X_test, "cpu"))
    assert_allclose(scores[:, rare], slope * prior[:, rare] + intercept, rtol=1e-3, atol=1e-3)
    assert_array_equal(np.delete(scores, rare, axis=1), np.delete(prior, rare, axis=1))


def test_without_calibration_nothing_is_fitted(split):
    X, Y, *_ = split
    for match in (True, False):
        similar = hybrid(match_priors=match, threshold="tuned").fit(X, Y).scorer_.similar
        assert similar.scale == 1 and similar.offsets.any() == match


def test_one_calibration_turns_the_scores_of_either_part_into_log_odds(split, fold_scores):
    X, Y, X_test, _ = split
    model = hybrid(calibrate=True).fit(X, Y)
    _, similar, _ = pairs_of_parts(split, fold_scores)
    below, similar, alone = pairs_of_parts(split, fold_scores, *logistic_regression(similar))
    pairs = ScoredPairs.concatenate([alone.select(~below), similar.select(below)])
    expected = Calibration.of_pairs(pairs)
    assert_allclose(model.calibration_.weights, expected.weights, rtol=1e-2, atol=1e-3)
    assert_allclose(model.calibration_.offset, expected.offset, rtol=1e-2, atol=1e-2)


def test_documents_that_a_fold_cannot_reach_are_missed_ones(monkeypatch):
    rng, seen = np.random.default_rng(0), []
    X = sparse.csr_array(rng.random((60, 10), dtype=np.float32))
    Y = np.zeros((60, 3), dtype=int)
    Y[::2, 0] = Y[1::2, 1] = Y[7, 2] = 1  # in one of the folds no label is left to compare
    platt = _estimator.platt_scaling
    monkeypatch.setattr(_estimator, "platt_scaling", lambda p: seen.append(p) or platt(p))
    model = hybrid(n_phi=5, n_triplets=30, max_epochs=1, calibrate=True).fit(X, Y)
    assert_array_equal(model.siamese_labels_, [2])
    (pairs,) = seen
    assert_array_equal(pairs.n_positives, [0, 0, 1])
    assert len(pairs.labels) == 40 and not pairs.is_true.any()


# ------------------------------------------------------------------------------------- cut-offs


@pytest.mark.parametrize(
    "rule, calibrate", [*((rule, False) for rule in RULES), ("frequency", True)]
)
def test_cut_offs_are_learned_for_either_part(rule, calibrate, split, fitted, fold_scores):
    X, Y, *_ = split
    model = hybrid(threshold=rule, calibrate=calibrate).fit(X, Y)
    by_prior, similar = fitted.scorer_.similar, model.scorer_.similar
    rare = model.siamese_labels_[0]
    intercept = similar.offsets[rare] - similar.scale * by_prior.offsets[rare]
    scaling = similar.scale, intercept
    below, similar, alone = pairs_of_parts(split, fold_scores, *scaling)
    counts, n_samples = Y.sum(axis=0), Y.shape[0]
    for part, pairs in ((below, similar), (~below, alone)):
        pairs = pairs.select(part)
        pairs = model.calibration_.calibrated(pairs) if calibrate else pairs
        expected = Decision.learn(rule, pairs, counts, n_samples).thresholds
        assert_allclose(model.threshold_[part], expected[part], rtol=1e-4, atol=1e-4)


def test_a_number_is_a_probability_for_all(split):
    X, Y, *_ = split
    model = hybrid(threshold=0.7, max_epochs=1, n_triplets=30).fit(X, Y)
    assert_allclose(model.threshold_, logit(0.7))


def test_n_phi_is_chosen_for_the_tail_from_cut_scores(split, fold_scores, monkeypatch):
    X, Y, *_ = split
    seen = []
    monkeypatch.setattr(
        _estimator, "select_for_tail", lambda options: seen.append(options) or Selected(20, 0.0)
    )
    model = hybrid(n_phi="auto", threshold=0.5).fit(X, Y)
    counts, (candidates,) = Y.sum(axis=0), seen
    assert model.n_phi_ == 20
    assert_array_equal(model.siamese_labels_, np.flatnonzero(counts < 20))
    assert list(candidates) == N_PHI_OPTIONS
    for n_phi, pairs in candidates.items():
        _, similar, _ = pairs_of_parts(split, fold_scores, n_phi=200)
        scaling = logistic_regression(similar)
        below, *parts = pairs_of_parts(split, fold_scores, *scaling, n_phi=n_phi)
        for mask, part in zip((below, ~below), parts, strict=True):
            part, mine = part.select(mask), pairs.select(mask)
            cut_offs = Decision.learn("frequency", part, counts, Y.shape[0]).thresholds
            relative = part.scores - cut_offs[part.labels]
            assert_allclose(np.sort(mine.scores), np.sort(relative), atol=0.02)
            assert_array_equal(mine.n_positives, part.n_positives)


@pytest.mark.parametrize("is_perfect, n_phi", [(True, 200), (False, 0)])
def test_similarities_are_used_as_far_as_they_are_good(is_perfect, n_phi, split, monkeypatch):
    X, Y, *_ = split
    truth = dict(zip(map(bytes, X.toarray()), Y.toarray().astype(np.float32), strict=True))

    def look_up(self, X, device):
        return torch.tensor(np.array([truth[bytes(row)] for row in X.toarray()]))

    def scores(self, encoded, labels):
        noise = np.random.default_rng(0).random((len(encoded), len(labels)), dtype=np.float32)
        return encoded[:, labels].numpy() if is_perfect else noise

    monkeypatch.setattr(SimilarityScorer, "encode", look_up)
    monkeypatch.setattr(SimilarityScorer, "scores", scores)
    model = hybrid(n_phi="auto", threshold="tuned", max_epochs=20, n_triplets=30).fit(X, Y)
    assert model.n_phi_ == n_phi


def test_where_nothing_is_learned_n_phi_is_that_of_the_paper(split):
    X, *_ = split
    y = np.arange(X.shape[0]) % 9  # each on fewer documents than that
    assert hybrid(n_phi="auto", max_epochs=1, n_triplets=30).fit(X, y).n_phi_ == 100


@pytest.mark.parametrize("calibrate", [True, False])
def test_a_threshold_does_not_change_the_merge_point(calibrate, split):
    X, Y, X_test, _ = split
    models = [
        hybrid(n_phi="auto", calibrate=calibrate, threshold=threshold).fit(X, Y)
        for threshold in (0.5, "tuned")
    ]
    assert models[0].n_phi_ == models[1].n_phi_
    assert_array_equal(*(model.decision_function(X_test) for model in models))


def test_a_validation_part_decides(split, monkeypatch):
    X, Y, X_val, Y_val = split
    X_val, Y_val = sparse.vstack([X_val] * 2, format="csr"), sparse.vstack([Y_val] * 2)
    assert Y_val.nnz > 500
    monkeypatch.setattr(HybridSiameseClassifier, "_retrain", None)
    model = hybrid(threshold="tuned", max_epochs=15, n_triplets=10_000).fit(X, Y, X_val, Y_val)
    scores, truth = model.decision_function(X_val), Y_val.toarray() > 0
    rare = model.siamese_labels_

    def micro_f1(cut_off):
        above = scores[:, rare] > cut_off
        return 2 * (above & truth[:, rare]).sum() / (above.sum() + truth[:, rare].sum())

    best = max(micro_f1(cut_off) for cut_off in np.unique(scores[:, rare]))
    assert micro_f1(model.threshold_[rare][0]) == pytest.approx(best, abs=1e-9)


# ------------------------------------------------------------------------------- sklearn and data


@pytest.mark.parametrize(
    "encoder",
    [
        TextCNN(filter_sizes=(2,), n_filters=8, embedding_dim=8, hidden_dim=8),
        BiLSTMAttention(hidden_dim=8, output_dim=8, embedding_dim=8),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_it_reads_tokens(encoder):
    corpus = make_long_tailed_corpus(200, 8, n_words=20, random_state=0)
    X = TokenSequenceVectorizer(max_length=20).fit_transform(corpus.data)
    model = hybrid(encoder=encoder, max_epochs=2, n_triplets=600).fit(X, corpus.target)
    scores = model.decision_function(X)
    assert len(model.siamese_labels_) and np.isfinite(scores).all()
    assert_array_equal(model.decision_function(X[5:7]), scores[5:7])
    label = model.siamese_labels_[0]
    passed = (scores[:, label] > 0).sum()
    assert passed == corpus.target[:, [label]].sum()


def test_it_survives_joblib(split, fitted, tmp_path):
    X_test = split[2]
    joblib.dump(fitted, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    assert_array_equal(again.decision_function(X_test), fitted.decision_function(X_test))
    assert hasattr(fitted, "net_") and not hasattr(again, "net_")


def test_a_grid_search_finds_more_triplets_and_a_wider_layer(split):
    X, Y, *_ = split
    grid = {"n_triplets": [3, 3000], "encoder__hidden_dims": [(1,), (32,)]}
    search = GridSearchCV(
        hybrid(n_phi=10_000),
        grid,
        scoring=RankingScorer("ndcg", k=5),
        refit=False,
        cv=MultilabelStratifiedKFold(2),
    ).fit(X, Y)
    assert search.best_params_ == {"n_triplets": 3000, "encoder__hidden_dims": (32,)}


def test_a_label_without_documents_is_never_predicted(split):
    X, Y, X_test, _ = split
    Y = sparse.hstack([Y, sparse.csr_array((Y.shape[0], 1))], format="csr")
    with pytest.warns(LabelWarning, match="no training document"):
        model = hybrid(threshold="tuned", max_epochs=1, n_triplets=300).fit(X, Y)
    assert 25 not in model.siamese_labels_ and np.isposinf(model.threshold_[25])
    assert np.isfinite(model.decision_function(X_test)).all()
    assert model.predict(X_test)[:, [25]].sum() == 0 < model.predict(X_test).sum()


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_support": 0}, "'n_support' parameter"),
        ({"n_phi": -1}, "'n_phi' parameter"),
        ({"n_phi": "all"}, "'n_phi' parameter"),
        ({"n_triplets": 0}, "'n_triplets' parameter"),
        ({"triplets_per_document": 0}, "'triplets_per_document' parameter"),
        ({"siamese_epochs": 0}, "'siamese_epochs' parameter"),
        ({"multi_task_weight": 0}, "'multi_task_weight' parameter"),
        ({"sampling": "pairs"}, "'sampling' parameter"),
        ({"multi_task": "both"}, "'multi_task' parameter"),
        ({"multi_task": True}, "multi_task must be None, 'labels' or .* True is 'labels' now"),
        ({"multi_task": False}, "multi_task must be .* Got False instead. .* False is None"),
        ({"calibrate": "fit"}, "calibrate must be True, False or 'auto'. .*'fit' calibrate=True"),
        ({"calibrate": "prior"}, "calibrate must be .* Got 'prior' instead. .* match_priors"),
        ({"calibrate": "none"}, "Got 'none' instead. For 'none' give match_priors=False"),
        ({"calibrate": "platt"}, "'calibrate' parameter"),
        ({"encoder": "bag"}, "encoder must be one with a hidden layer"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message, split):
    X, Y, *_ = split
    with pytest.raises(ValueError, match=message):
        hybrid(**parameters).fit(X, Y)
