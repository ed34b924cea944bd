"""TReaderXMLClassifier: neighbours that nobody may see, hierarchies, label texts, settings."""

import copy

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch
from skorch.callbacks import Callback
from torch.nn import functional

from skmltc import TReaderXMLClassifier, base
from skmltc._networks import Trainer, seeded_torch
from skmltc._token_counts import token_tfidf
from skmltc._validation import LabelWarning
from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import Documents
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN, Training, WordEmbedding
from skmltc.labels import check_label_parents, parents_from_edges
from skmltc.losses import FocalLoss
from skmltc.metrics import RankingScorer
from skmltc.model_selection import MultilabelStratifiedKFold, multilabel_train_test_split
from skmltc.text import TokenSequenceVectorizer
from skmltc.treader_xml._network import POOLINGS, READINGS, ReadingScorer, fit_mixture
from skmltc.treader_xml._scopes import ScopeRetriever, with_parents

KINDS = {"features": BagEncoder(hidden_dims=(16,)), "tokens": WordEmbedding(embedding_dim=16)}
MORE = {
    "bilstm": BiLSTMAttention(hidden_dim=4, output_dim=4, embedding_dim=6),
    "cnn": TextCNN(filter_sizes=(1, 2), n_filters=4, embedding_dim=6, hidden_dim=4),
}
VECTORIZERS = {
    "features": TfidfVectorizer(dtype=np.float32),
    "tokens": TokenSequenceVectorizer(max_length=30),
}
EACH_KIND = pytest.mark.parametrize("kind", KINDS)


def model(kind="features", **parameters):
    defaults = {
        "n_neighbors": 5,
        "n_heads": 2,
        "bottleneck_dim": 12,
        "encoder": (KINDS | MORE)[kind],
        "max_epochs": 2,
        "lr": 0.01,
        "batch_size": 32,
        "threshold": 0.5,
        "early_stopping": False,
        "random_state": 0,
    }
    return TReaderXMLClassifier(**defaults | parameters)


@pytest.fixture(scope="module")
def corpus():
    """Features, tokens and labels of 200 documents to fit on and 100 others."""
    made = make_long_tailed_corpus(300, 12, n_words=25, random_state=0)
    both = Bunch(made=made, texts=made.data[:200], X={}, X_test={})
    both.Y, both.Y_test = made.target[:200], made.target[200:]
    for kind in KINDS | MORE:
        words = VECTORIZERS.get(kind, VECTORIZERS["tokens"])
        both.X[kind] = words.fit_transform(both.texts)
        both.X_test[kind] = words.transform(made.data[200:])
    return both


def scores(fitted, X):
    return fitted.decision_function(X)


def spy(monkeypatch):
    """Arguments of each training."""
    trainings, train = [], Trainer.train

    def look(self, network, loss, dataset, stop_by=None, parts=None, begin=None):
        trainings.append(Bunch(loss=loss, dataset=dataset, stop_by=stop_by))
        return train(self, network, loss, dataset, stop_by, parts, begin)

    monkeypatch.setattr(Trainer, "train", look)
    return trainings


def train_undecided(estimator, X, Y, seed):
    """What `fit` trains, before it decides: all documents as they were read, and a `Trained`."""
    checker = copy.copy(estimator)
    problem = estimator._learn(X, Y, checker)
    documents, _ = estimator._read(problem, X, Y, None, None, checker)
    return documents, estimator._train(problem, documents, None, seed, label_tokens=None)


def neighbour_sets(fitted):
    """Labels, with parents, of the documents that are looked up."""
    return fitted.scorer_.retriever.label_sets.toarray()


def scopes_alone(fitted, X, Y):
    """Scope sets of documents, looked up among these documents alone."""
    retriever, n_rows = fitted.scorer_.retriever, fitted.scorer_.retriever.label_sets.shape[1]
    parts = clone(retriever.vectorizer), clone(retriever.neighbors), retriever.n_neighbors
    parents = check_label_parents(None, n_rows)
    return ScopeRetriever.fit(*parts, Documents(X, Y), parents)[1].toarray()


# ------------------------------------------------------------------------------------ learning


@EACH_KIND
@pytest.mark.parametrize("alone", [{}, {"votes": False}, {"teacher": False, "votes": False}])
def test_it_learns(kind, alone, corpus):
    training = Training(lr=0.02, weight_decay=KINDS[kind].training.weight_decay)
    settings = {"max_epochs": 12, "lr": "auto", "training": training, "threshold": 0.35, **alone}
    fitted = model(kind, **settings).fit(corpus.X[kind], corpus.Y)
    commonest = np.zeros(corpus.Y_test.shape, dtype=int)
    commonest[:, corpus.Y.sum(axis=0).argmax()] = 1
    truth = corpus.Y_test.toarray()
    reached = f1_score(truth, fitted.predict(corpus.X_test[kind]).toarray(), average="micro")
    assert reached > f1_score(truth, commonest, average="micro") + 0.1


def test_the_default_loss_is_that_of_each_label_by_itself(corpus, monkeypatch):
    trainings = spy(monkeypatch)
    model(loss="auto").fit(corpus.X["features"], corpus.Y)
    loss, Y = trainings[0].loss, torch.from_numpy(corpus.Y.toarray()).float()
    assert_allclose(loss(torch.zeros(Y.shape), Y), np.log(2), rtol=1e-6)
    logits = torch.linspace(-9, 9, Y.numel()).view(Y.shape)
    for same in (
        functional.binary_cross_entropy_with_logits,
        functional.multilabel_soft_margin_loss,
    ):
        assert_allclose(loss(logits, Y), same(logits, Y), rtol=1e-5)


@EACH_KIND
def test_two_fits_with_one_seed_are_equal(kind, corpus):
    fitted = [model(kind, random_state=seed).fit(corpus.X[kind], corpus.Y) for seed in (0, 0, 1)]
    first, again, other = (scores(one, corpus.X_test[kind]) for one in fitted)
    assert_array_equal(first, again)
    assert not np.allclose(first, other)


@EACH_KIND
def test_a_fold_is_trained_as_the_same_documents_are_alone(kind, corpus):
    """With the same seed, whatever was drawn in between; it has the mixture of the first."""
    stopping = {"early_stopping": True, "validation_fraction": 0.25, "patience": 1}
    estimator = model(kind, max_epochs=6, lr=0.05, **stopping)
    documents, trained = train_undecided(estimator, corpus.X[kind], corpus.Y, seed=5)
    fold = documents[np.unique([*range(100), corpus.X[kind].max(axis=1).argmax()])]
    with seeded_torch(0):
        first = estimator._retrain(fold, trained.plan, 7)
        torch.rand(11)
        again = estimator._retrain(fold, trained.plan, 7)
    losses = [row["valid_loss"] for row in trained.attributes["history_"]]
    n_epochs = 1 + int(np.argmin(losses))
    assert n_epochs < len(losses), "the best epoch should not be the last one here"
    alone = model(kind, max_epochs=n_epochs, lr=0.05, random_state=7).fit(fold.X, fold.Y)
    labels, encoded = np.arange(12), alone.scorer_.encode(corpus.X_test[kind], "cpu")
    expected = alone.scorer_.evidence(encoded, labels)
    for scorer in (first, again):
        encoded = scorer.encode(corpus.X_test[kind], "cpu")
        for part, same in zip(scorer.evidence(encoded, labels), expected, strict=True):
            assert_array_equal(part, same)
        assert scorer.mixture == trained.scorer.mixture is not None
    other = estimator._retrain(fold, trained.plan, 8)
    read, _ = other.evidence(other.encode(corpus.X_test[kind], "cpu"), labels)
    assert (read != expected[0]).any()


@pytest.mark.parametrize("kind", KINDS | MORE)
def test_scores_do_not_depend_on_the_batch(kind, corpus, monkeypatch):
    X = corpus.X_test[kind]
    fitted = model(kind, bottleneck_dim=512).fit(corpus.X[kind], corpus.Y)
    together = scores(fitted, X)
    assert together.shape == (100, 12) and together.dtype == np.float32
    for part in (slice(3, 4), slice(0, 7), slice(40, 100)):
        assert_array_equal(scores(fitted, X[part]), together[part])
    monkeypatch.setattr(base, "_SCORES_AT_A_TIME", 12 * 9)
    assert_array_equal(scores(fitted, X), together)


# ---------------------------------------------------------------------- who may be a neighbour


@EACH_KIND
def test_no_document_is_read_beside_its_own_labels(kind, corpus, monkeypatch):
    """Each document has a random label of its own, so its scope has the others' alone."""
    trainings, own = spy(monkeypatch), np.random.RandomState(0).permutation(200)
    Y = sparse.csr_array(np.eye(200)[own])
    model(kind, max_epochs=1).fit(corpus.X[kind], Y)
    side_inputs = trainings[0].dataset.side_inputs.toarray()
    assert not side_inputs[np.arange(200), own].any()
    assert (side_inputs > 0).any(axis=1).all()


@EACH_KIND
@pytest.mark.parametrize("given", [True, False])
def test_validation_documents_are_nobodys_neighbours(kind, given, corpus, monkeypatch):
    trainings, X, Y = spy(monkeypatch), corpus.X[kind], corpus.Y
    part = (X[150:], Y[150:]) if given else ()
    X, Y = (X[:150], Y[:150]) if given else (X, Y)
    settings = {"early_stopping": True, "validation_fraction": 0.25}
    fitted = model(kind, max_epochs=1, **settings).fit(X, Y, *part)
    dataset, stop_by = trainings[0].dataset, trainings[0].stop_by
    assert len(dataset) == 150 and len(stop_by) == 50
    assert_array_equal(neighbour_sets(fitted), dataset.Y.toarray())
    expected = scopes_alone(fitted, dataset.X, dataset.Y)
    assert_array_equal(dataset.side_inputs.toarray(), expected)
    expected = fitted.scorer_.retriever.scopes(stop_by.X)
    assert_allclose(stop_by.side_inputs.toarray(), expected.toarray(), rtol=1e-5)


def test_documents_held_out_to_decide_are_nobodys_neighbours(corpus, monkeypatch):
    """A document of a fold has its neighbours among the two thirds that are trained on."""
    trainings, X, Y = spy(monkeypatch), corpus.X["features"], corpus.Y
    fitted = model(threshold="frequency", max_epochs=1).fit(X, Y)
    n_documents = [len(training.dataset) for training in trainings]
    assert n_documents[0] == 200 and len(trainings) == 4
    assert sum(n_documents[1:]) == 400 and max(n_documents[1:]) < 140
    for training in trainings:
        expected = scopes_alone(fitted, training.dataset.X, training.dataset.Y)
        assert_array_equal(training.dataset.side_inputs.toarray(), expected)


class Anybody(BaseEstimator):
    """Neighbours that have nothing to do with the documents."""

    def fit(self, X):
        self.n_samples_ = X.shape[0]
        return self

    def kneighbors(self, X, n_neighbors):
        rows = np.arange(X.shape[0])[:, None] * 7 + np.arange(n_neighbors)
        return np.full(rows.shape, 0.5), rows % self.n_samples_


@EACH_KIND
def test_without_teacher_and_votes_neighbours_do_not_matter(kind, corpus):
    X, X_test = corpus.X[kind], corpus.X_test[kind]

    def differs(**settings):
        fitted, other = (
            model(kind, retrieval=retrieval, **settings).fit(X, corpus.Y)
            for retrieval in ("tfidf", Anybody())
        )
        before = scores(fitted, X_test)
        retrieved = not np.array_equal(before, scores(other, X_test))
        retriever = fitted.scorer_.retriever
        retriever.label_sets = retriever.label_sets[::-1]
        shuffled = not np.array_equal(before, scores(fitted, X_test))
        return retrieved, shuffled

    assert differs(teacher=False, votes=False) == (False, False)
    assert differs(teacher=True, votes=False) == (True, True)
    assert differs(teacher=False, votes=True) == (True, True)


# ----------------------------------------------------------------------------- mixture of votes


@EACH_KIND
def test_votes_are_weighed_on_a_validation_part_that_is_given(kind, corpus):
    X, Y, part = corpus.X[kind], corpus.Y, (corpus.X_test[kind], corpus.Y_test)
    fitted = model(kind).fit(X, Y, *part)
    unseen, seen = (fit_mixture(fitted.scorer_, Documents(*of), "cpu") for of in (part, (X, Y)))
    assert fitted.scorer_.mixture == unseen is not None
    assert not np.allclose(unseen, seen, rtol=0.1)


@EACH_KIND
def test_votes_are_weighed_on_documents_that_were_spared(kind, corpus):
    X, Y = corpus.X[kind], corpus.Y
    fitted = model(kind, early_stopping=True, validation_fraction=0.25).fit(X, Y)
    rows = np.arange(200)
    _, held, _, _ = multilabel_train_test_split(rows, Y, test_size=0.25, random_state=0)
    expected = fit_mixture(fitted.scorer_, Documents(X[held], Y[held]), "cpu")
    assert fitted.scorer_.mixture == expected is not None


@EACH_KIND
@pytest.mark.parametrize("setting", [{"votes": False}, {"early_stopping": False}], ids=str)
def test_without_votes_or_unseen_documents_there_is_no_mixture(kind, setting, corpus):
    X, X_test = corpus.X[kind], corpus.X_test[kind]
    settings = {"early_stopping": True, "validation_fraction": 0.25, "max_epochs": 1}
    fitted = model(kind, calibrate=False, **settings | setting).fit(X, corpus.Y)
    assert fitted.scorer_.mixture is None
    read, votes = fitted.scorer_.evidence(fitted.scorer_.encode(X_test, "cpu"), np.arange(12))
    weight = fitted.module_.vote_weight
    expected = read if weight is None else read + weight.item() * votes
    assert (weight is None) == ("votes" in setting)
    assert_allclose(scores(fitted, X_test), expected, rtol=1e-6)


# ----------------------------------------------------------------------------------- retrieval


@EACH_KIND
def test_another_search_for_neighbours(kind, corpus):
    X, X_test = corpus.X[kind], corpus.X_test[kind]
    search = NearestNeighbors(metric="cosine")
    ours, theirs = (model(kind, retrieval=r).fit(X, corpus.Y) for r in ("tfidf", search))
    assert_allclose(scores(theirs, X_test), scores(ours, X_test), atol=1e-3)
    neighbors = theirs.scorer_.retriever.neighbors
    assert isinstance(neighbors, NearestNeighbors) and neighbors is not search
    assert not hasattr(search, "n_samples_fit_")


@pytest.mark.parametrize("kind", ["tokens", *MORE])
def test_retrieval_by_the_means_of_word_vectors_before_training(kind, corpus, monkeypatch):
    trainings, X = spy(monkeypatch), corpus.X[kind]
    fitted = model(kind, retrieval="embedding").fit(X, corpus.Y)
    trained = fitted.module_.body.reader.encoder.embedding.weight.detach().numpy()
    table = fitted.scorer_.retriever.vectorizer.table
    assert 0 < np.abs(table - trained).max() < 0.15  # 14 steps of 0.01
    known = (X > 1)[:, :, None]
    means = (table[X] * known).sum(axis=1) / known.sum(axis=1)
    nearest = NearestNeighbors(n_neighbors=5, metric="cosine").fit(means)
    of_each = nearest.kneighbors(return_distance=False)
    expected = [corpus.Y[rows].sum(axis=0) > 0 for rows in of_each]
    scopes = trainings[0].dataset.side_inputs.toarray() > 0
    assert np.mean(scopes == expected) > 0.999


# --------------------------------------------------------------------------------- hierarchies


def test_a_hierarchy_in_every_form(corpus):
    X, Y, column = corpus.X["features"], corpus.Y, corpus.made.label_parents
    names, children = corpus.made.target_names, np.flatnonzero(column >= 0)
    edges = [(names[child], names[column[child]]) for child in children]
    matrix = check_label_parents(column, 12)
    forms = [column, column.tolist(), matrix, matrix.toarray()]
    forms.append(parents_from_edges(names, edges)[0])
    fitted = [model(label_parents=form).fit(X, Y) for form in forms]
    assert len(children)
    for one in fitted:
        assert_array_equal(neighbour_sets(one), with_parents(Y, matrix).toarray())
        assert_array_equal(scores(one, X), scores(fitted[0], X))


@EACH_KIND
def test_parents_that_are_no_labels(kind, corpus):
    """They are in the scopes and described, but never predicted."""
    X, Y = corpus.X[kind], corpus.Y
    column = np.array([12] * 6 + [13] * 6 + [-1, -1])
    fitted = model(kind, label_parents=column).fit(X, Y)
    parents = [Y[:, :6].sum(axis=1) > 0, Y[:, 6:].sum(axis=1) > 0]
    expected = np.column_stack([Y.toarray(), *parents])
    assert_array_equal(neighbour_sets(fitted), expected)
    described = fitted.module_.body.teacher.descriptions
    assert described.shape[0] == 14 and (described != 0).all()
    assert scores(fitted, X).shape == (200, 12) and fitted.predict(X).shape == (200, 12)


# --------------------------------------------------------------------------------- label texts


def descriptions(fitted):
    return fitted.module_.body.teacher.descriptions.numpy()


@EACH_KIND
def test_without_texts_labels_are_described_by_the_words_of_their_documents(kind, corpus):
    X, Y = corpus.X[kind], corpus.Y
    weights = token_tfidf(X.max() + 1).fit_transform(X) if kind == "tokens" else X
    weights, truth = weights.toarray(), Y.toarray()
    sums = np.array([weights[truth[:, label] == 1].sum(axis=0) for label in range(12)])
    found = descriptions(model(kind, description_length=3).fit(X, Y))
    best = np.sort(sums, axis=1)[:, :-4:-1]
    first = found - 1  # column of word 1
    assert_allclose(np.take_along_axis(sums, first, axis=1), best, rtol=1e-5)


@pytest.mark.parametrize("n_columns", [2, 3, 8])
@pytest.mark.parametrize("n_in_front", [0, 4])
@pytest.mark.parametrize("parents", [None, [12] * 12 + [-1]])
def test_labels_are_described_by_the_first_words_of_their_texts(
    n_columns, n_in_front, parents, corpus
):
    """Wherever their padding is; parents that are no labels have texts too."""
    X, Y, n_rows = corpus.X["tokens"], corpus.Y, len(parents or range(12))
    texts = np.random.RandomState(0).randint(2, 50, (n_rows, n_columns))
    padded = np.pad(texts, ((0, 0), (n_in_front, 0)))
    fitted = model("tokens", description_length=3, label_parents=parents, max_epochs=1)
    fitted.fit(X, Y, label_tokens=padded)
    assert_array_equal(descriptions(fitted), np.pad(texts, ((0, 0), (0, 3)))[:, :3])


def test_texts_without_a_known_word_are_replaced_by_words_of_documents(corpus):
    X, Y = corpus.X["tokens"], corpus.Y
    own, new = descriptions(model("tokens", description_length=3).fit(X, Y)), X.max() + 1
    texts = np.full((12, 3), 5)
    texts[1], texts[2], texts[3], texts[4] = 0, 1, new, [new, 9, 0]
    found = descriptions(model("tokens", description_length=3).fit(X, Y, label_tokens=texts))
    assert_array_equal(found[1:4], own[1:4])
    assert_array_equal(found[4], [1, 9, 0])
    assert_array_equal(found[5:], 5)


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csr_matrix, sparse.csc_array, np.array])
def test_texts_of_labels_as_features(form, corpus):
    X, Y = corpus.X["features"], corpus.Y
    own = descriptions(model(description_length=3).fit(X, Y))
    texts = np.zeros((12, X.shape[1]), dtype=np.float32)
    texts[:, [7, 3]] = [0.5, 0.9]
    texts[4] = 0
    found = descriptions(model(description_length=3).fit(X, Y, label_tokens=form(texts)))
    assert_array_equal(np.delete(found, 4, axis=0), [[4, 8, 0]] * 11)
    assert_array_equal(found[4], own[4])


def stored(matrix):
    """Copies of what an array or a sparse matrix holds."""
    parts = (matrix.data, matrix.indices, matrix.indptr) if sparse.issparse(matrix) else (matrix,)
    return [np.copy(part) for part in parts]


@EACH_KIND
def test_fit_changes_none_of_its_arguments(kind, corpus):
    """Texts with padding in front, new words, empty rows; features in no order of columns."""
    X, Y, parents = corpus.X[kind].copy(), corpus.Y.copy(), np.array(corpus.made.label_parents)
    if kind == "tokens":
        texts = np.array([[0, 5, 7], [X.max() + 9, 3, 2], [0, 0, 0], [1, 1, 1]] * 3)
    else:
        ends = np.arange(0, 25, 2)
        texts = sparse.csr_array(
            (np.linspace(0.1, 0.9, 24, dtype=np.float32), np.tile([9, 4], 12), ends),
            shape=(12, X.shape[1]),
        )
    arguments = [X, Y, texts, parents]
    before = [stored(argument) for argument in arguments]
    settings = {"early_stopping": True, "validation_fraction": 0.25, "max_epochs": 1}
    fitted = model(kind, label_parents=parents, **settings).fit(X, Y, label_tokens=texts)
    fitted.predict(X)
    for argument, parts in zip(arguments, before, strict=True):
        for now, then in zip(stored(argument), parts, strict=True):
            assert_array_equal(now, then)


@pytest.mark.parametrize("searched", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_texts_of_labels_go_through_a_pipeline(kind, searched, corpus):
    """The vectorizer of each fold makes ids of them, which exist only then."""
    texts, Y, names = corpus.texts, corpus.Y, corpus.made.target_names
    with config_context(enable_metadata_routing=True):
        steps = [("words", clone(VECTORIZERS[kind])), ("model", model(kind))]
        steps[1][1].set_fit_request(label_tokens=True)
        pipeline = Pipeline(steps, transform_input=["label_tokens"])
        if searched:
            pipeline = GridSearchCV(pipeline, {"model__description_length": [1, 2]}, cv=KFold(2))
        pipeline.fit(texts, Y, label_tokens=names)
        if searched:
            assert np.isfinite(pipeline.cv_results_["mean_test_score"]).all()
            pipeline = pipeline.best_estimator_
    vocabulary = pipeline[0].vocabulary_
    ids = [vocabulary[name] + (kind == "features") for name in names]  # of features from 1 up
    assert_array_equal(descriptions(pipeline[1])[:, 0], ids)


# ------------------------------------------------------------------------------ what settings do


def fit_briefly(kind, corpus, **settings):
    return model(kind, **{"max_epochs": 1, **settings}).fit(corpus.X[kind], corpus.Y)


@EACH_KIND
@pytest.mark.parametrize("reading", READINGS)
def test_teacher_and_text_have_the_layers_of_the_reading(kind, reading, corpus):
    body = fit_briefly(kind, corpus, reading=reading).module_.body
    for part in (body.read_text, body.read_teacher):
        assert "+".join(part.steps) == reading
        kinds = ["mmhsa" if layer.masked else "mhsa" for layer in part.layers]
        assert kinds == [step for step in reading.split("+") if step != "residual"]
    assert body.interaction.masked


@EACH_KIND
def test_without_a_reading_the_interaction_alone_attends(kind, corpus):
    body = fit_briefly(kind, corpus, reading=None).module_.body
    attentions = [name for name, _ in body.named_parameters() if name.endswith("inputs.weight")]
    assert attentions == ["interaction.inputs.weight"]


@EACH_KIND
@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_joint_sequence_is_pooled_as_set(kind, pooling, corpus):
    states, mask = torch.tensor([[[1.0], [5.0], [3.0], [9.0]]]), torch.tensor([[1, 1, 1, 0]]) > 0
    pooled = fit_briefly(kind, corpus, pooling=pooling).module_.body.pool(states, mask)
    assert pooled.item() == {"mean": 3, "max": 5, "last": 3}[pooling]


@EACH_KIND
@pytest.mark.parametrize("n_heads", [1, 3])
def test_every_attention_has_the_heads_of_the_setting(kind, n_heads, corpus):
    """With a dimension of 16 three heads are of 5 numbers each."""
    body = fit_briefly(kind, corpus, n_heads=n_heads).module_.body
    layers = [*body.read_text.layers, *body.read_teacher.layers, body.interaction]
    assert [layer.n_heads for layer in layers] == [n_heads] * 5
    assert {tuple(layer.output.weight.shape) for layer in layers} == {(16, {1: 16, 3: 15}[n_heads])}


@EACH_KIND
def test_sizes_are_those_of_the_settings(kind, corpus):
    fitted = fit_briefly(kind, corpus, description_length=3, bottleneck_dim=7)
    assert descriptions(fitted).shape == (12, 3)
    assert fitted.module_.body.bottleneck.weight.shape == (7, 16)
    assert fitted.module_.head.weight.shape == (12, 7)


@EACH_KIND
@pytest.mark.parametrize("n_neighbors", [2, 9])
def test_a_scope_has_the_labels_of_so_many_neighbours(kind, n_neighbors, corpus, monkeypatch):
    """Each document has a label of its own."""
    trainings, Y = spy(monkeypatch), sparse.csr_array(np.eye(200))
    fitted = model(kind, max_epochs=1, n_neighbors=n_neighbors).fit(corpus.X[kind], Y)
    scopes = fitted.scorer_.retriever.scopes(corpus.X_test[kind])
    for found in (trainings[0].dataset.side_inputs, scopes):
        assert_array_equal(np.diff(found.indptr), n_neighbors)


@EACH_KIND
def test_the_loss_is_that_of_the_setting(kind, corpus, monkeypatch):
    trainings = spy(monkeypatch)
    fit_briefly(kind, corpus, loss="focal")
    Y = torch.from_numpy(corpus.Y.toarray()).float()
    logits = torch.linspace(-9, 9, Y.numel()).view(Y.shape)
    expected = FocalLoss().build(corpus.Y)(logits, Y)
    assert_allclose(trainings[0].loss(logits, Y), expected, rtol=1e-6)


def rates(fitted):
    """Learning rates that the parameters started at."""
    groups = fitted.net_.optimizer_.param_groups
    rate = {id(p): group["initial_lr"] for group in groups for p in group["params"]}
    return {name: rate[id(p)] for name, p in fitted.net_.module_.named_parameters()}


@EACH_KIND
@pytest.mark.parametrize("given", [2e-2, 3e-4])
def test_all_parameters_learn_at_a_rate_that_is_given(kind, given, corpus):
    fitted = fit_briefly(kind, corpus, lr=given, weight_decay=0.7)
    assert set(rates(fitted).values()) == {given}
    assert {g["weight_decay"] for g in fitted.net_.optimizer_.param_groups} == {0.7}


@EACH_KIND
def test_attentions_learn_at_a_thousandth_at_most(kind, corpus):
    """The rest at the encoder's own rate: 0.002 on tokens, 0.01 on features, or 0.3 of it."""
    for name, rate in rates(fit_briefly(kind, corpus, lr="auto")).items():
        attends = name.startswith(("body.read_", "body.interaction."))
        of_encoder = {"features": 3e-3, "tokens": 2e-3}[kind]
        if name == "vote_weight":
            of_encoder = {"features": 1e-2, "tokens": 2e-3}[kind]
        assert_allclose(rate, 1e-3 if attends else of_encoder)


FACTORS = {"embedding": 2.0, "encoder": 0.5, "projection": 3.0, "head": 0.25}


@EACH_KIND
def test_the_factors_of_a_given_training_are_those_of_the_parts(kind, corpus):
    """The attentions are of the encoder, and its last layer is the bottleneck; no rate is cut."""
    training = Training(lr=0.02, lr_factors=FACTORS)
    for name, rate in rates(fit_briefly(kind, corpus, lr="auto", training=training)).items():
        part = "encoder"
        part = "embedding" if "embedding" in name else part
        part = "projection" if "bottleneck" in name else part
        part = "head" if name.startswith("head") else part
        assert_allclose(rate, 0.02 * (1 if name == "vote_weight" else FACTORS[part]))


def test_the_head_starts_as_the_training_says(corpus):
    training = Training(lr=1e-9, head_bias=False, head_start="normal")
    head = fit_briefly("features", corpus, lr="auto", training=training).module_.head
    assert not head.bias.any() and head.weight.std() < 0.025


# ------------------------------------------------------------------------------ scikit-learn's


@EACH_KIND
def test_a_grid_search_finds_the_setting_that_must_win(kind, corpus):
    """Not the neighbours at random, nor the words that are nearly all dropped."""
    layer = "dropout" if kind == "features" else "embedding_dropout"
    folds, scoring = MultilabelStratifiedKFold(2), RankingScorer("ndcg", k=5)
    grid = {"retrieval": [Anybody(), "tfidf"], f"encoder__{layer}": [0.0, 0.99]}
    reader = model(kind, lr=0.005, max_epochs=3)
    if kind == "features":  # else it knows the words before any are dropped
        reader.set_params(encoder__start="random")
    search = GridSearchCV(reader, grid, scoring=scoring, cv=folds)
    search.fit(corpus.X[kind], corpus.Y)
    assert search.best_params_ == {"retrieval": "tfidf", f"encoder__{layer}": 0.0}


def test_nested_parameters_of_named_parts(corpus):
    named = model(loss="focal", encoder="embedding")
    named.set_params(loss__gamma=1.0, encoder__embedding_dim=6)
    assert named.get_params()["loss__gamma"] == 1.0
    fitted = named.fit(corpus.X["tokens"], corpus.Y)
    assert fitted.module_.body.reader.dim == 6
    assert clone(fitted).get_params()["encoder__embedding_dim"] == 6


@EACH_KIND
def test_it_survives_joblib(kind, corpus, tmp_path):
    X_test, parents = corpus.X_test[kind], corpus.made.label_parents
    fitted = model(kind, label_parents=parents).fit(corpus.X[kind], corpus.Y)
    joblib.dump(fitted, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    assert_array_equal(scores(again, X_test), scores(fitted, X_test))


def test_the_best_labels_come_without_a_dense_matrix(corpus, monkeypatch):
    X = corpus.X_test["tokens"]
    fitted, sizes = model("tokens").fit(corpus.X["tokens"], corpus.Y), []
    proba, encode = fitted.predict_proba(X), ReadingScorer.encode

    def look(self, X, device):
        sizes.append(X.shape[0])
        return encode(self, X, device)

    monkeypatch.setattr(ReadingScorer, "encode", look)
    monkeypatch.setattr(base, "_SCORES_AT_A_TIME", 12 * 20)
    top = fitted.predict_topk(X, 3)
    assert sizes == [20] * 5 and top.nnz == 300
    third = np.sort(proba, axis=1)[:, [-3]]
    assert_allclose(top.toarray(), np.where(proba >= third, proba, 0), rtol=1e-6)


class InterruptInSecondEpoch(Callback):
    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) == 2:
            raise KeyboardInterrupt


@EACH_KIND
def test_an_interrupted_fit_is_a_fitted_model(kind, corpus):
    settings = {"early_stopping": True, "threshold": "frequency", "max_epochs": 3}
    stopped = model(kind, callbacks=[InterruptInSecondEpoch()], **settings)
    with pytest.raises(KeyboardInterrupt, match="in epoch 2 of 3. The estimator is fitted"):
        stopped.fit(corpus.X[kind], corpus.Y)
    assert np.isfinite(stopped.predict_proba(corpus.X_test[kind])).all()


def test_a_label_without_documents_is_never_predicted(corpus):
    X, Y = corpus.X["features"], sparse.hstack([corpus.Y, sparse.csr_array((200, 1))])
    with pytest.warns(LabelWarning, match="no training document"):
        fitted = model(threshold="frequency").fit(X, Y)
    assert np.isposinf(fitted.threshold_[12]) and not descriptions(fitted)[12].any()
    assert np.isfinite(scores(fitted, corpus.X_test["features"])).all()


def test_more_neighbours_than_documents_are_all_of_them(corpus, monkeypatch):
    trainings, X, Y = spy(monkeypatch), corpus.X["features"], corpus.Y
    with pytest.warns(UserWarning, match="n_neighbors must be less than .*, 200. Got 200 instead"):
        model(n_neighbors=200, calibrate=False).fit(X, Y)
    model(n_neighbors=199, calibrate=False).fit(X, Y)
    many, few = (training.dataset.side_inputs.toarray() for training in trainings)
    assert_array_equal(many, few)


# -------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "kind, parameters, message",
    [
        ("features", {"label_parents": [1, 0] + [-1] * 10}, "free of cycles. Got 0 -> 1 -> 0"),
        ("features", {"label_parents": [12] + [-1] * 11}, "label_parents must be row numbers from"),
        ("features", {"label_parents": [-1] * 11}, "label_parents must be of 12 rows at least"),
        ("features", {"retrieval": "embedding"}, "retrieval must be 'tfidf' on features. Got"),
        ("features", {"encoder": "bag"}, "encoder must be one with a hidden layer. Got"),
        ("features", {"n_heads": 17}, "n_heads must be at most 16, the length of the vectors"),
        ("tokens", {"n_heads": 17}, "n_heads must be at most 16, the length of the vectors"),
        ("tokens", {"retrieval": BagEncoder()}, "'retrieval' parameter"),
        ("tokens", {"retrieval": "bm25"}, "'retrieval' parameter"),
        ("tokens", {"n_neighbors": 0}, "'n_neighbors' parameter"),
        ("tokens", {"reading": "residual"}, "'reading' parameter"),
        ("tokens", {"pooling": "min"}, "'pooling' parameter"),
        ("tokens", {"description_length": 0}, "'description_length' parameter"),
        ("tokens", {"bottleneck_dim": 0}, "'bottleneck_dim' parameter"),
    ],
    ids=str,
)
def test_parameters_out_of_range_are_refused(kind, parameters, message, corpus):
    with pytest.raises(ValueError, match=message):
        model(kind, **parameters).fit(corpus.X[kind], corpus.Y)


@EACH_KIND
@pytest.mark.parametrize("n_rows", [11, 13])
def test_texts_of_too_few_or_too_many_labels_are_refused(kind, n_rows, corpus):
    X = corpus.X[kind]
    with pytest.raises(ValueError, match=f"label_tokens must be of 12 rows. Got {n_rows} instead."):
        model(kind).fit(X, corpus.Y, label_tokens=X[:n_rows])


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS | MORE)
def test_gpu_scores_like_cpu(kind, corpus):
    X_test = corpus.X_test[kind]
    fitted = model(kind, device="cuda").fit(corpus.X[kind], corpus.Y)
    on_gpu = scores(fitted, X_test)
    assert_allclose(scores(fitted.set_params(device="cpu"), X_test), on_gpu, atol=1e-3)
