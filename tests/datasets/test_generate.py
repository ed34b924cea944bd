"""Made-up corpora."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from skmltc.datasets import make_long_tailed_corpus


@pytest.fixture(scope="module")
def corpus():
    return make_long_tailed_corpus(random_state=0)


def test_corpus_has_the_shape_and_the_tail_that_were_asked_for(corpus):
    counts = corpus.target.sum(axis=0)
    assert len(corpus.data) == 2000 and corpus.target.shape == (2000, 60)
    assert isinstance(corpus.target, sparse.csr_array) and set(corpus.target.data) == {1}
    assert counts.min() >= 1 and counts.max() > 400
    assert np.count_nonzero(counts <= 10) >= 10
    assert np.diff(corpus.target.indptr).min() >= 1
    assert len(set(corpus.target_names)) == 60
    assert "2000 documents, 60 labels" in corpus.DESCR


def test_parents_stand_on_the_documents_of_their_children(corpus):
    parents, y = corpus.label_parents, corpus.target.toarray()
    assert parents.shape == (60,) and 10 < np.count_nonzero(parents >= 0) < 50
    for child in np.flatnonzero(parents >= 0):
        assert (y[:, parents[child]] >= y[:, child]).all()
        assert parents[parents[child]] == -1


def test_words_are_those_a_vectorizer_takes(corpus):
    analyze = TfidfVectorizer(stop_words="english").build_analyzer()
    n_tokens = [len(text.split()) for text in corpus.data]
    assert [len(analyze(text)) for text in corpus.data] == n_tokens
    assert 50 < np.mean(n_tokens) < 70 and np.std(n_tokens) > 20 and min(n_tokens) >= 5


def test_a_label_is_named_by_a_word_of_its_documents(corpus):
    has_word = [
        np.array([name in text.split() for text in corpus.data]) for name in corpus.target_names
    ]
    y = corpus.target.toarray() == 1
    share = np.array(
        [[word[on].mean(), word[~on].mean()] for word, on in zip(has_word, y.T, strict=True)]
    )
    assert share[:, 0].mean() > 0.5 and share[:, 1].max() < 0.1


def test_corpus_is_as_hard_as_a_real_one(corpus):
    texts, test_texts, y, y_test = train_test_split(corpus.data, corpus.target, random_state=0)
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    model = OneVsRestClassifier(LinearSVC(class_weight="balanced", random_state=0))
    model.fit(vectorizer.fit_transform(texts), y)
    predicted = model.predict(vectorizer.transform(test_texts))
    tail = (y.sum(axis=0) <= 10) & (y_test.sum(axis=0) > 0)
    scores = f1_score(y_test, predicted, average=None, zero_division=0)
    assert 0.70 <= f1_score(y_test, predicted, average="micro") <= 0.87
    assert 0.10 <= scores[tail].mean() <= 0.50


def test_corpus_depends_on_the_seed_alone():
    state = np.random.get_state()[1].copy()
    first, again, other = (
        make_long_tailed_corpus(n_samples=50, n_labels=10, random_state=seed) for seed in (1, 1, 2)
    )
    assert first.data == again.data and first.target_names == again.target_names
    assert_array_equal(first.target.toarray(), again.target.toarray())
    assert first.data != other.data
    assert_array_equal(state, np.random.get_state()[1])


@pytest.mark.parametrize(
    "shape, labels_per_sample", [((1, 1), 1), ((5, 40), 8), ((40, 1), 1), ((3000, 400), 1.5)]
)
def test_corpora_of_any_size(shape, labels_per_sample):
    corpus = make_long_tailed_corpus(*shape, labels_per_sample=labels_per_sample, random_state=0)
    assert corpus.target.shape == shape and len(corpus.data) == shape[0]
    assert corpus.target.sum(axis=0).min() >= 1 and corpus.target.sum(axis=1).min() >= 1


def test_every_document_has_a_label_although_counts_are_rounded():
    for n_samples in range(20, 40):
        y = make_long_tailed_corpus(n_samples, 6, labels_per_sample=1, random_state=0).target
        assert y.sum(axis=1).min() == 1


def test_options_change_what_they_say():
    def corpus(**options):
        return make_long_tailed_corpus(n_samples=500, n_labels=20, random_state=0, **options)

    assert corpus(labels_per_sample=3).target.sum() > 1.5 * corpus().target.sum()
    assert corpus(n_words=120).data[0].count(" ") > 1.5 * corpus().data[0].count(" ")
    flat, steep = (corpus(exponent=e).target.sum(axis=0) for e in (0, 2))
    assert flat.max() < steep.max() and flat.min() > steep.min()
    words = [len(set(" ".join(corpus(topic_share=s).data).split())) for s in (0.05, 0.9)]
    assert words[0] > words[1]


def test_noise_puts_topical_words_into_strange_documents():
    def share_of_strangers(noise):
        corpus = make_long_tailed_corpus(
            n_samples=500, n_labels=10, exponent=0, noise=noise, random_state=0
        )
        on = corpus.target.toarray() == 1
        has = np.array([[n in text.split() for n in corpus.target_names] for text in corpus.data])
        return has[~on].mean()

    assert share_of_strangers(0.0) == 0 < share_of_strangers(0.3)


@pytest.mark.parametrize(
    "option", ["n_samples", "n_labels", "labels_per_sample", "n_words", "topic_share", "noise"]
)
def test_options_no_corpus_can_be_made_of_are_refused(option):
    with pytest.raises(ValueError, match=f"{option} must be .* Got -1 instead"):
        make_long_tailed_corpus(**{option: -1})


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_samples": 5, "n_labels": 10}, "n_labels must be .* from 1 to 7. Got 10 instead. Each"),
        ({"labels_per_sample": 99, "n_labels": 5}, "labels_per_sample must be .* from 1 to 5. Got"),
        ({"n_labels": 1}, "labels_per_sample must be .* from 1 to 1. Got 1.5 instead"),
        ({"exponent": -1}, "exponent must be a finite number, at least 0. Got -1 instead"),
        ({"exponent": np.nan}, "exponent must be a finite number, at least 0. Got nan instead"),
        ({"n_samples": "x"}, "n_samples must be a whole number, at least 1. Got 'x' instead"),
        ({"n_samples": 10.0}, "n_samples must be a whole number, at least 1. Got 10.0 instead"),
        ({"n_labels": True}, "n_labels must be a whole number, at least 1. Got True instead"),
        ({"topic_share": 1}, "topic_share must be between 0 and 1, exclusive. Got 1 instead"),
        ({"noise": "x"}, "noise must be a finite number, from 0 to 1. Got 'x' instead"),
    ],
)
def test_what_no_corpus_has_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_long_tailed_corpus(**options)
