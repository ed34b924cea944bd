"""Steps before a classifier: each is fitted and asked once for all members that share it."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from skmltc.long_tail._views import Views, _key_of, _learns_nothing
from skmltc.text import PretrainedEmbedder, PretrainedTokenizer

READ = []


class Encoder(TransformerMixin, BaseEstimator):
    """Hashes texts, and keeps count of those that it was given."""

    def __init__(self, n_features=64, learns=False):
        self.n_features = n_features
        self.learns = learns

    def fit(self, X, y=None):
        self.n_seen_ = len(X)
        return self

    def transform(self, X):
        READ.extend(X)
        return HashingVectorizer(n_features=self.n_features, alternate_sign=False).transform(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = self.learns
        return tags


def bayes():
    return OneVsRestClassifier(MultinomialNB())


@pytest.fixture
def texts(documents):
    READ.clear()
    return documents.texts


@pytest.fixture
def Y(documents):
    return documents.Y.toarray()


def test_pipelines_of_equal_steps_share_what_was_fitted(texts, Y):
    views = Views(texts)
    one, other, third = (
        views.fit(make_pipeline(Encoder(n, learns=True), bayes()), Y) for n in (64, 64, 32)
    )
    assert one[0] is other[0] is not third[0]
    assert one[-1] is not other[-1]
    assert len(READ) == 2 * len(texts)
    expected = make_pipeline(Encoder(), bayes()).fit(texts, Y).predict_proba(texts)
    assert_array_equal(one.predict_proba(texts), expected)


def test_documents_are_read_once_for_fitted_pipelines_that_share_steps(texts, Y):
    views = Views(texts)
    one, other = (views.fit(make_pipeline(Encoder(), bayes()), Y) for _ in range(2))
    READ.clear()
    block = Views(texts[:20])
    for pipeline in (one, other):
        last, X = block.read(pipeline)
        assert last is pipeline[-1]
        assert_array_equal(last.predict_proba(X), pipeline[-1:].predict_proba(X))
    assert READ == list(texts[:20])


def test_parts_are_rows_of_the_whole_where_nothing_is_learned(texts, Y):
    rows = np.arange(0, 300, 3)
    views = Views(texts)
    views.fit(make_pipeline(Encoder(), bayes()), Y)
    READ.clear()
    part = views.take(rows)
    again = part.fit(make_pipeline(Encoder(), bayes()), Y[rows])
    assert again[0].n_seen_ == 300
    held = next(views.take(np.arange(1, 300, 3)).blocks(7))
    _, X = held.read(again)
    assert not READ
    expected = HashingVectorizer(n_features=64, alternate_sign=False)
    assert not (X != expected.transform([texts[i] for i in range(1, 22, 3)])).nnz
    alone = make_pipeline(Encoder(), bayes()).fit([texts[i] for i in rows], Y[rows])
    assert_array_equal(again.predict_proba(texts), alone.predict_proba(texts))


def test_parts_are_learned_of_anew_where_something_is_learned(texts, Y):
    rows = np.arange(100)
    views = Views(texts)
    views.fit(make_pipeline(Encoder(learns=True), bayes()), Y)
    READ.clear()
    part = views.take(rows)
    again = [part.fit(make_pipeline(Encoder(learns=True), bayes()), Y[:100]) for _ in range(2)]
    assert again[0][0] is again[1][0]
    assert again[0][0].n_seen_ == 100
    assert READ == list(texts[:100])
    views.take(np.arange(100, 110)).read(again[0])
    assert READ == list(texts[:110])


class Unmarked(TransformerMixin, BaseEstimator):
    """Learns nothing, and does not say so."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return 2 * X


def test_a_step_need_not_look_fitted(documents, Y):
    views = Views(documents.X)
    fitted = views.fit(make_pipeline(Unmarked(), "passthrough", bayes()), Y)
    last, X = Views(documents.X[:5]).read(fitted)
    assert_array_equal(last.predict_proba(X), fitted.predict_proba(documents.X[:5]))


def test_blocks_are_all_documents_in_order(texts):
    blocks = list(Views(texts).take(np.arange(10, 25)).blocks(6))
    assert [text for block in blocks for text in block.X] == list(texts[10:25])
    assert [len(block.X) for block in blocks] == [6, 6, 3]
    X = sparse.eye_array(5, format="csr")
    assert [block.X.shape[0] for block in Views(X).blocks(2)] == [2, 2, 1]


def test_steps_are_kept_by_the_memory_of_a_pipeline(texts, Y, tmp_path):
    for _ in range(2):
        Views(texts).fit(make_pipeline(Encoder(), bayes(), memory=str(tmp_path)), Y)
    assert len(READ) == len(texts)
    Views(texts).fit(make_pipeline(Encoder(), bayes()), Y)
    assert len(READ) == 2 * len(texts)


class Own(Pipeline):
    """A pipeline of another package."""


def test_what_is_no_plain_pipeline_is_fitted_as_it_is(documents, Y):
    scaler = StandardScaler(with_mean=False)
    for estimator in (bayes(), make_pipeline(bayes()), Own([("a", scaler), ("b", bayes())])):
        views = Views(documents.X)
        fitted = views.fit(estimator, Y)
        assert fitted is estimator
        asked, X = views.read(fitted)
        assert asked is fitted
        assert X is documents.X
        assert_array_equal(fitted.predict(X), clone(estimator).fit(X, Y).predict(X))


@pytest.mark.parametrize(
    "step, expected",
    [
        ("passthrough", True),
        (Normalizer(), True),
        (HashingVectorizer(), True),
        (FrozenEstimator(TfidfVectorizer()), True),
        (PretrainedTokenizer("some"), True),
        (make_pipeline(PretrainedEmbedder("some"), Normalizer()), True),
        (make_pipeline(PretrainedEmbedder("some"), StandardScaler()), False),
        (TfidfVectorizer(), False),
        (TruncatedSVD(), False),
        (object(), False),
    ],
)
def test_what_learns_nothing_is_known(step, expected):
    assert _learns_nothing([("first", Normalizer()), ("step", step)]) is expected


def split(text):
    return text.split()


def test_steps_are_told_apart_by_their_parameters():
    def key(*steps):
        return _key_of(make_pipeline(*steps, bayes()))

    frozen = FrozenEstimator(TfidfVectorizer().fit(["some text"]))
    same = [
        lambda: (TfidfVectorizer(min_df=2),),
        lambda: (TfidfVectorizer(tokenizer=split, ngram_range=(1, 2)), TruncatedSVD()),
        lambda: (make_pipeline(TfidfVectorizer(), Normalizer()),),
        lambda: (frozen,),
        lambda: (TfidfVectorizer(), "passthrough"),
    ]
    keys = [key(*map(clone_step, make())) for make in same]
    assert keys == [key(*make()) for make in same]
    assert len({str(one) for one in keys}) == len(same)
    assert key(TfidfVectorizer()) != key(TfidfVectorizer(min_df=2))
    assert key(StandardScaler()) != key(StandardScaler().set_output(transform="pandas"))
    assert key(frozen) != key(FrozenEstimator(TfidfVectorizer().fit(["another"])))
    first, second = (lambda text: text.split() for _ in range(2))
    assert key(TfidfVectorizer(tokenizer=first)) == key(clone(TfidfVectorizer(tokenizer=first)))
    assert key(TfidfVectorizer(tokenizer=first)) != key(TfidfVectorizer(tokenizer=second))


def clone_step(step):
    return step if isinstance(step, str) else clone(step)


@pytest.mark.parametrize(
    "wrong, got",
    [
        (np.array([["bean soup"]]), r"an array of shape \(1, 1\)"),
        (sparse.csr_array((1, 3)), r"an array of shape \(1, 3\)"),
        (["bean soup", 7], "7 in row 1"),
        (["bean soup", None], "None in row 1"),
        (["bean soup", np.nan], "nan in row 1"),
    ],
)
def test_what_is_no_text_is_refused_where_texts_are_read(wrong, got):
    fitted = make_pipeline(TfidfVectorizer(), bayes()).fit(["bean soup", "rye"], np.eye(2))
    with pytest.raises(ValueError, match=f"^X must be texts. Got {got} instead. Texts are a list"):
        Views(wrong).read(fitted)


def test_a_table_is_not_read_as_texts():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"text": ["bean soup", "rye"]})
    expected = "^X must be texts. Got a data frame of 1 columns instead. Texts are a list"
    with pytest.raises(ValueError, match=expected + r".* X\['text'\] is one"):
        Views(table).fit(make_pipeline(TfidfVectorizer(), bayes()), np.eye(2))
    fitted = make_pipeline(TfidfVectorizer(), bayes()).fit(table["text"], np.eye(2))
    with pytest.raises(ValueError, match=expected):
        Views(table[:1]).read(fitted)


@pytest.mark.parametrize("own", ["preprocessor", "analyzer"])
def test_numbers_are_texts_for_a_vectorizer_that_makes_texts_of_them(own):
    vectorizer = TfidfVectorizer(**{own: str})
    fitted = make_pipeline(vectorizer, bayes()).fit([10, 23], np.eye(2))
    assert Views([10, 23]).read(fitted)[1].shape[0] == 2


def test_a_step_that_leaves_documents_out_is_refused():
    halves = FunctionTransformer(lambda X: X[::2])
    fitted = Pipeline([("halves", halves), ("bayes", bayes().fit(np.eye(4), np.eye(4)))])
    expected = "a row of each of 4 documents. Got 2 instead"
    with pytest.raises(ValueError, match=expected):
        Views(np.eye(4)).read(fitted)
