"""TReaderXMLClassifier: neighbours that nobody may see, hierarchies, label texts, settings."""

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
from skmltc._validation import LabelWarning
from skmltc.datasets import make_long_tailed_corpus
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN, WordEmbedding
from skmltc.labels import check_label_parents, parents_from_edges
from skmltc.metrics import RankingScorer
from skmltc.model_selection import MultilabelStratifiedKFold
from skmltc.text import TokenSequenceVectorizer
from skmltc.treader_xml import _estimator as treader_xml
from skmltc.treader_xml._network import READINGS
from skmltc.treader_xml._scopes import ScopeRetriever, token_tfidf, with_parents

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
    trainings, train_network = [], treader_xml.train_network

    def train(network, loss, dataset, **settings):
        trainings.append(Bunch(network=network, loss=loss, dataset=dataset, **settings))
        return train_network(network, loss, dataset, **settings)

    monkeypatch.setattr(treader_xml, "train_network", train)
    return trainings


# ------------------------------------------------------------------------------------ learning


@EACH_KIND
@pytest.mark.parametrize("alone", [{}, {"votes": False}, {"teacher": False, "votes": False}])
def test_it_learns(kind, alone, corpus):
    settings = {"max_epochs": 12, "lr": 0.02, "threshold": 0.35, **alone}
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
    fitted = model(kind, **settings).fit(X, Y, *part)
    dataset, validation = trainings[0].dataset, trainings[0].validation
    assert len(dataset) == 150 and len(validation) == 50
    assert_array_equal(fitted.retriever_.label_sets.toarray(), dataset.Y.toarray())
    assert_array_equal(dataset.side_inputs.toarray(), fitted.retriever_.training_scopes.toarray())
    expected = fitted.retriever_.scopes(validation.X)
    assert_allclose(validation.side_inputs.toarray(), expected.toarray(), rtol=1e-5)


def test_documents_held_out_to_decide_are_nobodys_neighbours(corpus, monkeypatch):
    taken_in, fit = [], ScopeRetriever.fit

    def look(self, X, Y, parents):
        taken_in.append(X.shape[0])
        return fit(self, X, Y, parents)

    monkeypatch.setattr(ScopeRetriever, "fit", look)
    model(threshold="tuned_low").fit(corpus.X["features"], corpus.Y)
    assert taken_in[0] == 200 and len(taken_in) == 4
    assert sum(taken_in[1:]) == 400 and max(taken_in[1:]) < 140  # two thirds, three times


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
        fitted.retriever_.label_sets = fitted.retriever_.label_sets[::-1]
        shuffled = not np.array_equal(before, scores(fitted, X_test))
        return retrieved, shuffled

    assert differs(teacher=False, votes=False) == (False, False)
    assert differs(teacher=True, votes=False) == (True, True)
    assert differs(teacher=False, votes=True) == (True, True)


# ----------------------------------------------------------------------------------- retrieval


@EACH_KIND
def test_another_search_for_neighbours(kind, corpus):
    X, X_test = corpus.X[kind], corpus.X_test[kind]
    search = NearestNeighbors(metric="cosine")
    ours, theirs = (model(kind, retrieval=r).fit(X, corpus.Y) for r in ("tfidf", search))
    assert_allclose(scores(theirs, X_test), scores(ours, X_test), atol=1e-3)
    assert theirs.retriever_.neighbors is not search and not hasattr(search, "n_samples_fit_")


@pytest.mark.parametrize("kind", ["tokens", *MORE])
def test_retrieval_by_the_means_of_word_vectors_before_training(kind, corpus):
    X = corpus.X[kind]
    fitted = model(kind, retrieval="embedding").fit(X, corpus.Y)
    trained = fitted.module_.body.reader.encoder.embedding.weight.detach().numpy()
    table = fitted.retriever_.vectorizer.table
    assert 0 < np.abs(table - trained).max() < 0.1
    known = (X > 1)[:, :, None]
    means = (table[X] * known).sum(axis=1) / known.sum(axis=1)
    nearest = NearestNeighbors(n_neighbors=5, metric="cosine").fit(means)
    of_each = nearest.kneighbors(return_distance=False)
    expected = [corpus.Y[rows].sum(axis=0) > 0 for rows in of_each]
    assert np.mean((fitted.retriever_.training_scopes.toarray() > 0) == expected) > 0.999


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
        assert_array_equal(one.retriever_.label_sets.toarray(), with_parents(Y, matrix).toarray())
        assert_array_equal(scores(one, X), scores(fitted[0], X))


@EACH_KIND
def test_parents_that_are_no_labels(kind, corpus):
    """They are in the scopes and described, but never predicted."""
    X, Y = corpus.X[kind], corpus.Y
    column = np.array([12] * 6 + [13] * 6 + [-1, -1])
    fitted = model(kind, label_parents=column).fit(X, Y)
    parents = [Y[:, :6].sum(axis=1) > 0, Y[:, 6:].sum(axis=1) > 0]
    expected = np.column_stack([Y.toarray(), *parents])
    assert_array_equal(fitted.retriever_.label_sets.toarray(), expected)
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


# ------------------------------------------------------------------------------ scikit-learn's


@EACH_KIND
def test_grid_search(kind, corpus):
    layer = "dropout" if kind == "features" else "embedding_dropout"
    folds, scoring = MultilabelStratifiedKFold(2), RankingScorer("ndcg", k=5)
    for grid in (
        {"n_neighbors": [2, 9], "loss": ["bce", "focal"]},
        {f"encoder__{layer}": [0.0, 0.3], "reading": [None, "mmhsa+mhsa"]},
    ):
        search = GridSearchCV(model(kind, max_epochs=1), grid, scoring=scoring, cv=folds)
        search.fit(corpus.X[kind], corpus.Y)
        assert set(search.best_params_) == set(grid)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert len(set(search.cv_results_["mean_test_score"])) > 1


@EACH_KIND
@pytest.mark.parametrize(
    "setting",
    [
        *({"reading": reading} for reading in [None, *READINGS[1:]]),
        {"votes": False},
        {"pooling": "max"},
        {"pooling": "last"},
        {"description_length": 1},
        {"n_heads": 1},
        {"n_neighbors": 50},
        {"loss": "focal"},
        {"weight_decay": 3.0},
    ],
    ids=str,
)
def test_settings_change_the_scores(kind, setting, corpus):
    X, X_test = corpus.X[kind], corpus.X_test[kind]
    reading = {"reading": READINGS[0], "pooling": "mean", "description_length": 2}
    usual = model(kind, max_epochs=1, **reading)
    found = scores(clone(usual).set_params(**setting).fit(X, corpus.Y), X_test)
    assert np.isfinite(found).all()
    assert not np.allclose(found, scores(usual.fit(X, corpus.Y), X_test), atol=1e-6)


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
    proba, score = fitted.predict_proba(X), TReaderXMLClassifier._score

    def look(self, block):
        sizes.append(block.shape[0])
        return score(self, block)

    monkeypatch.setattr(TReaderXMLClassifier, "_score", look)
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
    stopped = model(kind, callbacks=[InterruptInSecondEpoch()], threshold="tuned_low", max_epochs=3)
    with pytest.warns(UserWarning, match="interrupted in epoch 2 of 3. The last weights") as caught:
        stopped.fit(corpus.X[kind], corpus.Y)
    assert len(caught) == 1
    assert_array_equal(stopped.threshold_, 0)
    assert np.isfinite(stopped.predict_proba(corpus.X_test[kind])).all()


def test_a_label_without_documents_is_never_predicted(corpus):
    X, Y = corpus.X["features"], sparse.hstack([corpus.Y, sparse.csr_array((200, 1))])
    with pytest.warns(LabelWarning, match="no training document"):
        fitted = model(threshold="tuned_low").fit(X, Y)
    assert np.isposinf(fitted.threshold_[12]) and not descriptions(fitted)[12].any()
    assert np.isfinite(scores(fitted, corpus.X_test["features"])).all()


def test_more_neighbours_than_documents_are_all_of_them(corpus):
    X, Y = corpus.X["features"], corpus.Y
    with pytest.warns(UserWarning, match="n_neighbors must be less than .*, 200. Got 200 instead"):
        many = model(n_neighbors=200).fit(X, Y)
    few = model(n_neighbors=199).fit(X, Y)
    assert_array_equal(
        many.retriever_.training_scopes.toarray(), few.retriever_.training_scopes.toarray()
    )


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
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS | MORE)
def test_gpu_scores_like_cpu(kind, corpus):
    X_test = corpus.X_test[kind]
    fitted = model(kind, device="cuda").fit(corpus.X[kind], corpus.Y)
    on_gpu = scores(fitted, X_test)
    assert_allclose(scores(fitted.set_params(device="cpu"), X_test), on_gpu, atol=1e-3)
