"""LongTailClassifier.from_texts: its members, and how often a text is encoded."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from skmltc import BalancedLossClassifier, LongTailClassifier
from skmltc.datasets import make_long_tailed_corpus
from skmltc.neighbors import MultilabelKNeighborsClassifier
from skmltc.text import PretrainedEmbedder

READ = []


class Letters(TransformerMixin, BaseEstimator):
    """Dense vectors: how often each letter is there. Counts the texts that it reads."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        READ.extend(X)
        letters = "abdefghiklmnoprstuv"
        counts = [[text.count(letter) for letter in letters] for text in X]
        return np.array(counts, dtype=np.float32) * self.scale

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


@pytest.fixture(scope="module")
def corpus():
    made = make_long_tailed_corpus(300, 8, n_words=25, random_state=0)
    texts, Y = np.array(made.data, dtype=object), made.target
    return texts[:200], Y[:200], texts[200:], Y[200:]


def quick(model):
    """Nothing is searched."""
    names = [name for name in ("words", "meaning") if name in dict(model.estimators)]
    return model.set_params(**{f"{name}__classifier__weight_decay": 1.0 for name in names})


@pytest.fixture(scope="module")
def fitted(corpus):
    READ.clear()
    model = quick(LongTailClassifier.from_texts(Letters(), random_state=0))
    model.fit(*corpus[:2])
    return model, list(READ)


def words():
    return TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2, dtype=np.float32)


def test_without_an_encoder_it_is_auto_on_weighted_words(corpus):
    texts, Y, new, _ = corpus
    default = LongTailClassifier.from_texts()
    for name in ("words", "neighbors"):
        found = default.get_params()[f"{name}__vectorizer"]
        assert found.get_params() == words().get_params()
    frozen = FrozenEstimator(words().fit(texts))
    model = LongTailClassifier.from_texts(vectorizer=frozen, random_state=0).fit(texts, Y)
    auto = LongTailClassifier(random_state=0).fit(frozen.transform(texts), Y)
    names = model.weights_["column"].tolist()
    assert [name.replace("words", "linear") for name in names] == list(auto.weights_["column"])
    expected = auto.predict_proba(frozen.transform(new))
    assert_array_equal(model.predict_proba(new), expected)


def test_each_text_is_encoded_once_in_fit(corpus, fitted):
    model, read = fitted
    assert read == list(corpus[0])
    assert list(model.members_) == ["words", "meaning", "neighbors", "neighbors_of_meaning"]


def test_each_text_is_encoded_once_in_prediction(corpus, fitted, monkeypatch):
    monkeypatch.setattr("skmltc.long_tail._estimator.SCORES_AT_A_TIME", 8 * 30)
    new = corpus[2]
    model, _ = fitted
    for method in ("predict", "predict_proba", "predict_topk"):
        READ.clear()
        getattr(model, method)(new)
        assert READ == list(new)


def test_each_text_is_encoded_once_where_labels_or_documents_are_added(corpus, fitted):
    """By all members together; the documents that they knew, too."""
    texts, Y, new, Y_new = corpus
    model = copy.copy(fitted[0])
    READ.clear()
    model.add_labels(new[:30], np.arange(30)[:, None] % 2, X_known=texts)
    assert sorted(READ) == sorted([*new[:30], *texts])
    READ.clear()
    model.add_documents(new[30:], sparse.hstack([Y_new[30:], np.ones((70, 1))], format="csr"))
    assert READ == list(new[30:])
    assert fitted[0].n_labels_ == 8


def test_linear_members_take_what_neighbours_of_the_same_features_keep(corpus, fitted):
    """Stored and loaded, too; without a word of the old documents being read again."""
    texts, _, new, _ = corpus
    Y_new = np.arange(30)[:, None] % 2
    given, kept = (pickle.loads(pickle.dumps(fitted[0])) for _ in range(2))
    given.add_labels(new[:30], Y_new, X_known=texts)
    READ.clear()
    kept.add_labels(new[:30], Y_new)
    assert sorted(READ) == sorted(new[:30])
    assert_allclose(kept.predict_proba(new), given.predict_proba(new), atol=1e-5)


def test_a_linear_member_that_alone_reads_its_features_asks_for_documents(corpus):
    texts, Y, new, _ = corpus
    model = LongTailClassifier.from_texts(characters=True, random_state=0).fit(texts, Y)
    with pytest.raises(ValueError, match="X_known must be given for the member 'characters'"):
        model.add_labels(new[:4], np.ones((4, 1)))


def test_it_is_the_list_of_pipelines(corpus, fitted):
    texts, Y, new, _ = corpus
    linear = BalancedLossClassifier(loss="squared_hinge", weight_decay=1)
    near = MultilabelKNeighborsClassifier()
    members = [
        ("words", make_pipeline(words(), linear)),
        ("meaning", make_pipeline(Letters(), Normalizer(), linear)),
        ("neighbors", make_pipeline(words(), near)),
        ("neighbors_of_meaning", make_pipeline(Letters(), Normalizer(), near)),
    ]
    listed = LongTailClassifier(members, random_state=0).fit(texts, Y)
    assert_array_equal(listed.decision_function(new), fitted[0].decision_function(new))


def test_characters_are_a_further_member(corpus):
    texts, Y, new, _ = corpus
    model = quick(LongTailClassifier.from_texts(characters=True, random_state=0))
    assert [name for name, _ in model.estimators] == ["words", "characters", "neighbors"]
    model.fit(texts, Y)
    parts = model.members_.characters[0].get_feature_names_out()
    assert {len(part) for part in parts} == {3, 4, 5} and " " in "".join(parts)
    assert "characters: score" in model.weights_["column"]
    assert model.predict(new).shape == (100, 8)
    with_encoder = LongTailClassifier.from_texts(Letters(), characters=True)
    assert len(with_encoder.estimators) == 5


def test_members_have_all_that_they_learned(corpus, fitted):
    new = corpus[2]
    members = fitted[0].members_
    assert members.meaning[0] is members.neighbors_of_meaning[0]
    for member in members.values():
        assert member.decision_function(new).shape == (100, 8)
    assert fitted[0].members_.words.named_steps["vectorizer"].vocabulary_


def test_a_clone_and_a_stored_model_are_equal(corpus, fitted):
    texts, Y, new, _ = corpus
    expected = fitted[0].decision_function(new)
    assert_array_equal(clone(fitted[0]).fit(texts, Y).decision_function(new), expected)
    file = io.BytesIO()
    joblib.dump(fitted[0], file)
    file.seek(0)
    stored = joblib.load(file)
    READ.clear()
    assert_array_equal(stored.decision_function(new), expected)
    assert len(READ) == len(new)


def test_parameters_reach_the_members():
    model = LongTailClassifier.from_texts(
        Letters(scale=2),
        vectorizer=CountVectorizer(),
        threshold=0.3,
        min_labels=1,
        device="cpu",
        n_jobs=2,
        random_state=4,
        verbose=1,
    )
    parameters = model.get_params()
    assert (model.threshold, model.min_labels, model.random_state) == (0.3, 1, 4)
    for name in ("words", "meaning"):
        found = (
            parameters[f"{name}__classifier__{one}"] for one in ("device", "n_jobs", "verbose")
        )
        assert tuple(found) == ("cpu", 2, 1)
    assert parameters["neighbors__classifier__n_jobs"] == 2
    assert isinstance(parameters["words__vectorizer"], CountVectorizer)
    model.set_params(meaning__embedder__scale=3, words__vectorizer__min_df=2)
    assert clone(model).get_params()["meaning__embedder__scale"] == 3
    assert model.get_params()["neighbors_of_meaning__embedder__scale"] == 2


def test_the_embedder_shows_its_progress_too():
    """Where it is not told otherwise; the one that was given stays as it is."""
    given = PretrainedEmbedder("folder")
    for own, expected in ((given, 1), (PretrainedEmbedder("folder", verbose=3), 3)):
        model = LongTailClassifier.from_texts(own, verbose=1)
        assert model.get_params()["meaning__embedder__verbose"] == expected
    assert given.verbose == 0


def test_a_text_is_known_again_though_its_vector_differs_by_rounding(corpus):
    def encode(texts):
        words = HashingVectorizer(n_features=64).transform(texts).toarray()
        return (words * (1 + 1e-6 * (len(texts) % 7))).astype(np.float32)

    texts, Y = list(corpus[0][:100]), corpus[1][:100]
    model = LongTailClassifier.from_texts(FunctionTransformer(encode), random_state=0)
    model.fit(texts, Y).add_labels(texts[:5], np.ones((5, 1)), texts)
    assert encode(texts[:5])[0].tobytes() != encode(texts)[0].tobytes()
    assert [member.n_samples for member in model.scorer_.members] == [100] * 4


def test_a_search_over_a_member_reads_texts_again_unless_memory_keeps_them(corpus, tmp_path):
    texts, Y, _, _ = corpus
    grid = {"words__classifier__weight_decay": [0.5, 2.0]}
    n_read, scores = [], []
    for memory in (None, str(tmp_path)):
        READ.clear()
        model = quick(LongTailClassifier.from_texts(Letters(), memory=memory, random_state=0))
        search = GridSearchCV(model, grid, cv=2, scoring="f1_micro", refit=False)
        scores.append(search.fit(texts, Y).cv_results_["mean_test_score"])
        n_read.append(len(READ))
    assert n_read == [2 * 2 * 200, 2 * 100 + 2 * 200]  # held-out texts are read per candidate
    assert np.isfinite(scores).all()
    assert_array_equal(*scores)


def test_a_transformer_of_texts_is_wanted():
    remedy = r"Got 'a-model' instead. skmltc.text.PretrainedEmbedder\(model\) takes the name"
    with pytest.raises(ValueError, match="embedder must be a transformer of texts. " + remedy):
        LongTailClassifier.from_texts("a-model")
    expected = r"vectorizer must be a transformer of texts. Got .* instead. Give an object of the"
    with pytest.raises(ValueError, match=expected):
        LongTailClassifier.from_texts(vectorizer=TfidfVectorizer)
    expected = "vectorizer must be .* Got 'tfidf' instead. sklearn.feature_extraction.text.TfidfVe"
    with pytest.raises(ValueError, match=expected):
        LongTailClassifier.from_texts(vectorizer="tfidf")


def test_characters_are_read_or_not():
    with pytest.raises(ValueError, match="characters must be one of True, False. Got 'yes'"):
        LongTailClassifier.from_texts(characters="yes")


def test_a_pretrained_encoder_is_asked_once_per_text(corpus, transformer, monkeypatch):
    texts, Y, new, _ = corpus
    asked = []
    transform = PretrainedEmbedder.transform
    monkeypatch.setattr(
        PretrainedEmbedder, "transform", lambda self, X: asked.extend(X) or transform(self, X)
    )
    embedder = PretrainedEmbedder(transformer, max_length=20)
    model = quick(LongTailClassifier.from_texts(embedder, random_state=0))
    assert model.fit(texts[:60], Y[:60]).predict(new[:5]).shape == (5, 8)
    assert asked == [*texts[:60], *new[:5]]
