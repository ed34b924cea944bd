"""Texts to token ids, against a naive twin and scikit-learn's tokens."""

import io
import pickle
import random
import warnings
from collections import Counter

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks, get_tags

from skmltc.datasets import load_jsonl, make_long_tailed_corpus
from skmltc.text import TokenSequenceVectorizer, WordVectors
from skmltc.text._vectorizer import pad

TEXTS = [
    "The cat sat on the mat, the CAT!",
    "A dog sat: on a log.",
    "",
    "the dog the log the the",
    "?!",
]


def naive_ids(texts, max_length, truncate="end", min_df=1, max_features=None, analyze=None):
    """The definition, in loops: vocabulary and rows."""
    analyze = analyze or CountVectorizer().build_analyzer()
    tokens = [analyze(text) for text in texts]
    longest = max(len(words) for words in tokens)
    length = max_length or longest
    tokens = [words[:length] if truncate == "end" else words[-length:] for words in tokens]
    counts = Counter(word for words in tokens for word in words)
    n_texts = {word: sum(word in words for words in tokens) for word in counts}
    kept = [word for word in counts if n_texts[word] >= min_df]
    kept = sorted(kept, key=lambda word: (-counts[word], word))[:max_features]
    vocabulary = {word: i + 2 for i, word in enumerate(kept)}
    rows = []
    for words in tokens:
        row = [vocabulary.get(word, 1) for word in words] or [1]
        rows.append(row + [0] * (length - len(row)))
    return vocabulary, rows


# ------------------------------------------------------------------------------ scikit-learn


CHECKS_WITHOUT_DATA = [
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_estimators_unfitted",
    "check_get_feature_names_out_error",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_transformers_unfitted",
    "check_valid_tag_types",
]


@pytest.mark.parametrize("name", CHECKS_WITHOUT_DATA)
def test_scikit_learn_checks_that_need_no_numbers(name):
    getattr(estimator_checks, name)("TokenSequenceVectorizer", TokenSequenceVectorizer())


def test_scikit_learn_skips_the_others_as_for_count_vectorizer():
    for vectorizer in (TokenSequenceVectorizer(), CountVectorizer()):
        with pytest.warns(SkipTestWarning, match="Can't test estimator"):
            estimator_checks.check_estimator(vectorizer, on_skip=None)


def test_scikit_learn_checks_on_texts():
    """The other transformer checks, with texts in place of numbers."""
    vectorizer = TokenSequenceVectorizer(max_length=None)
    before = vectorizer.get_params()
    assert vectorizer.fit(TEXTS, y=[0, 1, 0, 1, 0]) is vectorizer
    assert vectorizer.get_params() == before
    fitted = dict(vars(vectorizer))
    assert set(fitted) - set(before) == {"vocabulary_", "max_length_", "vocabulary_hash_"}
    token_ids = vectorizer.transform(TEXTS)
    assert vars(vectorizer) == fitted
    assert_array_equal(clone(vectorizer).fit_transform(TEXTS), token_ids)
    assert_array_equal(vectorizer.fit(TEXTS).transform(TEXTS), token_ids)
    assert_array_equal(vectorizer.transform(TEXTS[::-1]), token_ids[::-1])
    assert_array_equal(np.vstack([vectorizer.transform([text]) for text in TEXTS]), token_ids)


def test_tags():
    tags = get_tags(TokenSequenceVectorizer())
    assert tags.input_tags.string and not tags.input_tags.two_d_array
    assert tags.requires_fit and tags.transformer_tags.preserves_dtype == []


def test_parameters_and_defaults_are_those_of_count_vectorizer():
    ours, theirs = TokenSequenceVectorizer().get_params(), CountVectorizer().get_params()
    shared = set(ours) - {"max_length", "truncate"}
    assert set(theirs) - shared == {"ngram_range", "binary", "dtype"}
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


def test_a_column_is_named_a_column():
    texts = np.array([["milk rice", "a"], ["rice", "b"]], dtype=object)
    vectorizer = TokenSequenceVectorizer(max_length=3).fit(texts[:, 0])
    names = [f"tokensequencevectorizer{i}" for i in range(3)]
    assert vectorizer.get_feature_names_out().tolist() == names
    table = ColumnTransformer([("ids", TokenSequenceVectorizer(max_length=3), 0)])
    assert table.fit_transform(texts).tolist() == [[3, 2, 0], [2, 0, 0]]
    assert table.get_feature_names_out().tolist() == [f"ids__{name}" for name in names]


def test_unfitted():
    for use in ("transform", "inverse_transform"):
        with pytest.raises(NotFittedError):
            getattr(TokenSequenceVectorizer(vocabulary=["a"]), use)([[1]])


def test_round_trip_through_joblib(tmp_path):
    vectorizer = TokenSequenceVectorizer(max_length=4, min_df=2, stop_words="english").fit(TEXTS)
    joblib.dump(vectorizer, tmp_path / "vectorizer.joblib")
    loaded = joblib.load(tmp_path / "vectorizer.joblib")
    assert loaded.vocabulary_ == vectorizer.vocabulary_
    assert_array_equal(loaded.transform(TEXTS), vectorizer.transform(TEXTS))
    unfitted = pickle.loads(pickle.dumps(TokenSequenceVectorizer(vocabulary={"cat", "dog"})))
    assert unfitted.fit(TEXTS).vocabulary_ == {"cat": 2, "dog": 3}


@pytest.mark.parametrize("vocabulary", [["mat", "cat"], {"cat": 1, "mat": 0}, None])
def test_clone(vocabulary):
    vectorizer = TokenSequenceVectorizer(vocabulary=vocabulary, truncate="start", max_length=3)
    copied = clone(vectorizer.fit(TEXTS))
    assert copied.get_params() == vectorizer.get_params() and not hasattr(copied, "vocabulary_")
    assert_array_equal(copied.fit_transform(TEXTS), vectorizer.transform(TEXTS))


def bag(token_ids):
    """Counts of the ids, so that a linear model can take them."""
    return np.array([np.bincount(row, minlength=500)[1:500] for row in token_ids])


def linear():
    return LogisticRegression(C=10.0)


def test_cross_validation_and_grid_search_in_a_pipeline():
    rng = random.Random(0)
    filler, labels = [f"word{i}" for i in range(40)], [0, 1] * 20
    texts = [
        " ".join(rng.choices(filler, k=8) + [("milk", "rice")[label]] + rng.choices(filler, k=3))
        for label in labels
    ]
    pipeline = make_pipeline(TokenSequenceVectorizer(), FunctionTransformer(bag), linear())
    assert cross_val_score(pipeline, texts, labels, cv=2).mean() > 0.9
    grid = {
        "tokensequencevectorizer__max_length": [4, 12],
        "tokensequencevectorizer__truncate": ["start", "end"],
    }
    search = GridSearchCV(pipeline, grid, cv=2).fit(texts, labels)
    scores = search.cv_results_["mean_test_score"]
    assert scores[1] < 0.8 and min(scores[0], scores[2], scores[3]) > 0.9
    assert set(search.best_estimator_[0].vocabulary_) <= {*filler, "milk", "rice"}


# ------------------------------------------------------------------------------ against the twin


@pytest.mark.parametrize("max_length", [2, 3, 9, None])
@pytest.mark.parametrize("truncate", ["end", "start"])
@pytest.mark.parametrize("chosen", [{}, {"min_df": 2}, {"max_features": 3}])
def test_against_a_loop(max_length, truncate, chosen):
    vocabulary, rows = naive_ids(TEXTS, max_length, truncate, **chosen)
    vectorizer = TokenSequenceVectorizer(max_length=max_length, truncate=truncate, **chosen)
    token_ids = vectorizer.fit_transform(TEXTS)
    assert token_ids.dtype == np.int32 and token_ids.flags.c_contiguous
    assert token_ids.tolist() == rows
    assert vectorizer.vocabulary_ == vocabulary
    assert list(vectorizer.vocabulary_.values()) == sorted(vocabulary.values())
    assert vectorizer.max_length_ == token_ids.shape[1]
    assert vectorizer.transform(TEXTS).tolist() == rows


@given(
    texts=st.lists(st.lists(st.sampled_from("ab bc cd de é ß 中文 ?".split()), max_size=7)),
    max_length=st.none() | st.integers(1, 8),
    min_df=st.integers(1, 3),
    truncate=st.sampled_from(["end", "start"]),
)
@settings(max_examples=60, deadline=None)
def test_against_a_loop_on_any_texts(texts, max_length, min_df, truncate):
    texts = [" ".join(words) for words in texts] + ["always here"] * 3
    vocabulary, rows = naive_ids(texts, max_length, truncate, min_df)
    options = {"max_length": max_length, "truncate": truncate, "min_df": min_df}
    vectorizer = TokenSequenceVectorizer(**options).fit(texts)
    assert vectorizer.vocabulary_ == vocabulary
    assert vectorizer.transform(texts).tolist() == rows
    shuffled = clone(vectorizer).fit(texts[::-1])
    assert shuffled.vocabulary_ == vocabulary


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lowercase": False},
        {"stop_words": "english"},
        {"stop_words": ["the", "cat"]},
        {"token_pattern": r"\S+"},
        {"token_pattern": r"(\w)\w*"},
        {"analyzer": "char"},
        {"analyzer": "char_wb"},
        {"analyzer": str.split},
        {"tokenizer": str.split, "token_pattern": None},
        {"tokenizer": iter, "token_pattern": None},
        {"preprocessor": str.upper},
        {"strip_accents": "unicode"},
        {"strip_accents": "ascii"},
        {"min_df": 2},
        {"min_df": 0.3},
        {"max_df": 2},
        {"max_df": 0.4},
        {"min_df": 0.1, "max_df": 0.5},
    ],
)
def test_words_are_those_of_tfidf_vectorizer(options):
    texts = [*TEXTS, "Crème brûlée à l'ÉCOLE", "the école"]
    vectorizer = TokenSequenceVectorizer(max_length=None, **options)
    token_ids = vectorizer.fit_transform(texts)
    theirs = CountVectorizer(**options)
    counts = theirs.fit_transform(texts).toarray()
    assert set(vectorizer.vocabulary_) == set(theirs.vocabulary_)
    for row, words in zip(counts, vectorizer.inverse_transform(token_ids), strict=True):
        found = Counter(word for word in words if word != "<unknown>")
        assert found == {w: row[i] for w, i in theirs.vocabulary_.items() if row[i]}


def test_unknown_words_keep_their_places():
    vectorizer = TokenSequenceVectorizer(max_length=5, min_df=2).fit(TEXTS)
    assert vectorizer.vocabulary_ == {"the": 2, "dog": 3, "log": 4, "on": 5, "sat": 6}
    rows = vectorizer.transform(["the zebra sat", "zebra", "", "the the the the the dog"])
    assert rows.tolist() == [[2, 1, 6, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [2] * 5]


def test_cut_words_are_not_learnt():
    vectorizer = TokenSequenceVectorizer(max_length=2).fit(["ab bc cd", "ab de cd"])
    assert vectorizer.vocabulary_ == {"ab": 2, "bc": 3, "de": 4}


def test_the_longest_text_of_fit_is_the_length():
    vectorizer = TokenSequenceVectorizer(max_length=None).fit(["ab bc", "ab"])
    assert vectorizer.transform(["ab ab ab bc"]).tolist() == [[2, 2]]


@pytest.mark.parametrize("container", [tuple, iter, np.array, lambda texts: np.array(texts, "O")])
def test_any_sequence_of_texts(container):
    expected = TokenSequenceVectorizer().fit_transform(TEXTS)
    assert_array_equal(TokenSequenceVectorizer().fit_transform(container(TEXTS)), expected)


def test_pandas():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"text": TEXTS}, index=list("vwxyz"))
    vectorizer = TokenSequenceVectorizer(max_length=4)
    expected = vectorizer.fit_transform(TEXTS)
    assert_array_equal(vectorizer.fit_transform(table["text"]), expected)
    with pytest.raises(ValueError, match="a sequence of texts. Got an array of shape"):
        vectorizer.fit(table)


def test_bytes_and_files():
    texts = ["Milk café", "milk"]
    expected = TokenSequenceVectorizer().fit_transform(texts)
    encoded = [text.encode("latin-1") for text in texts]
    latin = TokenSequenceVectorizer(encoding="latin-1")
    assert_array_equal(latin.fit_transform(encoded), expected)
    with pytest.raises(UnicodeDecodeError):
        TokenSequenceVectorizer().fit(encoded)
    files = TokenSequenceVectorizer(input="file")
    assert_array_equal(files.fit_transform([io.StringIO(text) for text in texts]), expected)


def test_texts_that_are_tokens_already():
    vectorizer = TokenSequenceVectorizer(analyzer=list, max_length=3)
    assert vectorizer.fit_transform([["x", "y"], ["y"]]).tolist() == [[3, 2, 0], [2, 0, 0]]


def test_no_texts_to_transform():
    assert TokenSequenceVectorizer(max_length=4).fit(TEXTS).transform([]).shape == (0, 4)


def test_a_text_of_100_000_words():
    long = "milk rice " * 50_000
    first = TokenSequenceVectorizer().fit_transform(["honey", long])
    assert first.shape == (2, 500) and (first[1] > 1).all()
    whole = TokenSequenceVectorizer(max_length=None).fit_transform(["honey", long])
    assert whole.shape == (2, 100_000)
    assert whole[0, :2].tolist() == [4, 0] and whole[1, -2:].tolist() == [2, 3]


# ------------------------------------------------------------------------------ a given vocabulary


@pytest.mark.parametrize(
    "vocabulary",
    [
        ["sat", "dog"],
        ("sat", "dog"),
        np.array(["sat", "dog"]),
        (word for word in ["sat", "dog"]),
        {"dog": 1, "sat": 0},
        {"dog": 3, "sat": 2},
        WordVectors(["sat", "dog"], np.ones((2, 3))),
    ],
)
def test_a_given_vocabulary_keeps_its_order(vocabulary):
    vectorizer = TokenSequenceVectorizer(vocabulary=vocabulary, max_length=2, min_df=5)
    assert vectorizer.fit_transform(["dog sat", "dog on"]).tolist() == [[3, 2], [3, 1]]
    assert list(vectorizer.vocabulary_.items()) == [("sat", 2), ("dog", 3)]


def test_a_set_is_sorted():
    words = {f"word{i}" for i in range(50)}
    fitted = TokenSequenceVectorizer(vocabulary=words).fit(["word7"])
    assert list(fitted.vocabulary_) == sorted(words)


def test_empty_texts_alone():
    vectorizer = TokenSequenceVectorizer(vocabulary=["milk"], max_length=None)
    with pytest.warns(UserWarning, match="vocabulary must hold words of the texts"):
        assert vectorizer.fit_transform(["", "?"]).tolist() == [[1], [1]]


def test_the_vocabulary_of_another_vectorizer():
    fitted = TokenSequenceVectorizer().fit(TEXTS)
    again = TokenSequenceVectorizer(vocabulary=fitted.vocabulary_).fit(["log"])
    assert_array_equal(again.transform(TEXTS), fitted.transform(TEXTS))
    counts = CountVectorizer().fit(TEXTS).vocabulary_
    assert TokenSequenceVectorizer(vocabulary=counts).fit(TEXTS).vocabulary_ == {
        word: number + 2 for word, number in counts.items()
    }


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ([], "vocabulary must be a word at least. Got none instead"),
        ({}, "vocabulary must be a word at least"),
        ("milk", "vocabulary must be an iterable of words. Got 'milk' instead"),
        (["milk", "rice", "milk"], "vocabulary must be distinct words. Got 'milk' twice"),
        ({"milk": 0, "rice": 2}, "consecutive numbers. Got 0 for 'milk' and 2 for 'rice' instead"),
        ({"milk": 1, "rice": 1}, "consecutive numbers. Got 1 for 'milk' and 1 for 'rice' instead"),
    ],
)
def test_a_broken_vocabulary(vocabulary, message):
    with pytest.raises(ValueError, match=message):
        TokenSequenceVectorizer(vocabulary=vocabulary).fit(TEXTS)


def test_a_vocabulary_in_upper_case():
    with pytest.warns(UserWarning, match="vocabulary must hold words of the texts. Got none"):
        TokenSequenceVectorizer(vocabulary=["CAT", "DOG"]).fit(TEXTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TokenSequenceVectorizer(vocabulary=["CAT", "DOG"], lowercase=False).fit(TEXTS)


# ------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, "max_length must be an integer of at least 1, or None. Got 0 instead"),
        ({"max_length": -3}, "max_length must be"),
        ({"max_length": 2.0}, "max_length must be .* Got 2.0 instead"),
        ({"max_length": "long"}, "max_length must be"),
        ({"max_features": 0}, "max_features must be"),
        ({"truncate": "ends"}, "truncate must be one of 'end', 'start'.*Did you mean 'end'"),
        ({"min_df": -1}, "min_df must be an integer of at least 1 or a share between 0 and 1"),
        ({"max_df": 1.5}, "max_df must be an integer of at least 1 or a share"),
        ({"min_df": "2"}, "min_df must be"),
        ({"min_df": 6}, "min_df and max_df must be bounds that leave a word of the 5 texts.*lower"),
        ({"min_df": 3, "max_df": 2}, "Got 3 and 2 instead"),
        ({"analyzer": "words"}, "words"),
        ({"stop_words": "german"}, "german"),
        ({"token_pattern": r"(\w)(\w)"}, "group"),
        ({"token_pattern": "("}, r"token_pattern must be a regular expression. Got '\(': missing"),
        ({"token_pattern": 3}, "'token_pattern' parameter .* must be an instance of 'str' or None"),
        ({"tokenizer": 3}, "'tokenizer' parameter .* must be a callable or None. Got 3 instead"),
        ({"preprocessor": "lower"}, "'preprocessor' parameter .* must be a callable or None"),
        ({"analyzer": 3}, "'analyzer' parameter .* must be an instance of 'str' or a callable"),
        ({"stop_words": 3}, "'stop_words' parameter .* Got 3 instead"),
        ({"lowercase": "no"}, "'lowercase' parameter .* Got 'no' instead"),
        ({"max_length": True}, "max_length must be an integer of at least 1, or None. Got True"),
        ({"token_pattern": "x{9}"}, "X must be texts with a word at least. Got 5 without any"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        TokenSequenceVectorizer(**options).fit(TEXTS)


@pytest.mark.parametrize("bad", [None, 3, float("nan"), np.nan, ["milk"], np.array(["milk"])])
@pytest.mark.parametrize("lowercase", [True, False])
def test_what_is_no_text_is_named(bad, lowercase):
    vectorizer = TokenSequenceVectorizer(lowercase=lowercase).fit(TEXTS)
    for use in (vectorizer.transform, vectorizer.fit, vectorizer.fit_transform):
        with pytest.raises(ValueError, match="Text 1 of X must be a string. Got .* instead"):
            use(["milk", bad, "rice"])


def test_an_error_of_ones_own_analyzer_is_left_alone():
    def fail(text):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="^mine$"):
        TokenSequenceVectorizer(analyzer=fail).fit(["milk"])


@pytest.mark.parametrize("X", ["one text", b"one text", np.array("one"), np.array([["a"], ["b"]])])
def test_what_is_no_sequence_of_texts(X):
    vectorizer = TokenSequenceVectorizer().fit(TEXTS)
    for use in (vectorizer.fit, vectorizer.fit_transform, vectorizer.transform):
        with pytest.raises(ValueError, match="X must be a sequence of texts"):
            use(X)


def test_no_texts_to_fit():
    with pytest.raises(ValueError, match="X must be texts with a word at least. Got 0"):
        TokenSequenceVectorizer().fit([])


def test_inverse_transform():
    vectorizer = TokenSequenceVectorizer(max_length=4).fit(["milk rice milk"])
    words = vectorizer.inverse_transform(np.array([[2.0, 1, 3, 0], [0, 0, 0, 0]]))
    assert [row.tolist() for row in words] == [["milk", "<unknown>", "rice"], []]
    for wrong in (4, -1, 1.5):
        expected = f"X must be token ids, whole numbers from 0 to 3. Got {wrong:g} instead"
        with pytest.raises(ValueError, match=expected):
            vectorizer.inverse_transform([[2, wrong]])


def test_grid_search_over_vocabularies():
    vectors = WordVectors(["the", "milk", "rice"], np.arange(9).reshape(3, 3))
    texts, labels = ["milk milk", "rice the", "milk", "rice"] * 3, [0, 1, 0, 1] * 3
    pipeline = make_pipeline(
        TokenSequenceVectorizer(max_length=3), FunctionTransformer(bag), LogisticRegression()
    )
    grid = {"tokensequencevectorizer__vocabulary": [None, vectors, ["milk"]]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(texts, labels)
    assert (search.cv_results_["mean_test_score"] == 1.0).all()
    search.best_estimator_.set_params(tokensequencevectorizer__vocabulary=vectors)
    assert clone(search.best_estimator_)[0].vocabulary is vectors


def test_rows_are_filled_up_with_padding():
    rows = pad(np.array([5, 6, 7, 8]), np.array([1, 3]), 4)
    assert rows.dtype == np.int32
    assert rows.tolist() == [[5, 0, 0, 0], [6, 7, 8, 0]]


# ------------------------------------------------------------------------------ real data


def test_real_vectors_and_texts(real_data):
    path = real_data / "glove-50d-top9k" / "glove.6B.50d.top9163.txt.gz"
    vectors = WordVectors.load(path)
    assert len(vectors) == 9163 and vectors.dim == 50 and vectors.words[:3] == ("the", ",", ".")
    assert vectors.vectors[0, :2] == pytest.approx([0.418, 0.24968])
    texts = load_jsonl(real_data / "reuters").data[:200]
    token_ids = TokenSequenceVectorizer(vocabulary=vectors, max_length=None).fit_transform(texts)
    known = (token_ids > 1).sum() / (token_ids > 0).sum()
    assert 0.8 < known < 0.95
    vocabulary, rows = naive_ids(texts, 100, min_df=2)
    learned = TokenSequenceVectorizer(max_length=100, min_df=2)
    assert learned.fit_transform(texts).tolist() == rows and learned.vocabulary_ == vocabulary
    table = vectors.matrix(vocabulary, random_state=0)
    shared = [word for word in vocabulary if word in set(vectors.words)]
    assert 0.5 < len(shared) / len(vocabulary) < 1
    for word in shared[::100]:
        row = vectors.vectors[vectors.words.index(word)]
        assert_array_equal(table[vocabulary[word]], row)


def test_each_text_is_analysed_once():
    texts = make_long_tailed_corpus(n_samples=50, random_state=0).data
    seen = Counter()

    def analyze(text):
        seen[text] += 1
        return text.split()

    TokenSequenceVectorizer(analyzer=analyze, min_df=2).fit_transform(texts)
    assert seen == Counter(texts)
    ours, theirs = TokenSequenceVectorizer(), TfidfVectorizer()
    assert set(ours.fit(texts).vocabulary_) == set(theirs.fit(texts).vocabulary_)
