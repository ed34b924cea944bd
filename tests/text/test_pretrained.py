"""PretrainedTokenizer and PretrainedEmbedder on tiny random transformers."""

import builtins
import io
import pickle
import shutil
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

from skmltc.text import PretrainedEmbedder, PretrainedTokenizer

transformers = pytest.importorskip("transformers")
TEXTS = ["ba du ka", "kalo", "", "rudi h", "ba [PAD] du [UNK]"]
BOTH = [PretrainedTokenizer, PretrainedEmbedder]


# ------------------------------------------------------------------------------------ tokenizer


def test_ids_are_those_of_the_model_raised_by_two(transformer):
    tokenizer = PretrainedTokenizer(transformer, max_length=8).fit(TEXTS)
    ids = tokenizer.transform(TEXTS)
    assert ids.shape == (5, 8) and ids.dtype == np.int32
    own = transformers.AutoTokenizer.from_pretrained(transformer)
    for text, row in zip(TEXTS, ids, strict=True):
        expected = [i + 2 if i > 1 else 1 for i in own(text)["input_ids"]]
        assert_array_equal(row, expected + [0] * (8 - len(expected)))
    assert_array_equal(ids[2], [4, 5, 0, 0, 0, 0, 0, 0])  # the special tokens alone
    assert ids[3, 3] == 1  # no word piece is an h


def test_long_texts_are_cut_and_keep_their_special_tokens(transformer):
    ids = PretrainedTokenizer(transformer, max_length=4).fit_transform(["ba du ka ba du ka"])
    whole = PretrainedTokenizer(transformer, max_length=8).fit_transform(["ba du ka ba du ka"])
    assert_array_equal(ids, [[*whole[0, :3], whole[0, 7]]])


def test_many_texts_are_read_in_parts(transformer, monkeypatch):
    tokenizer = PretrainedTokenizer(transformer, max_length=8).fit(TEXTS)
    at_once = tokenizer.transform(TEXTS)
    monkeypatch.setattr("skmltc.text._pretrained._TEXTS_AT_A_TIME", 2)
    assert_array_equal(tokenizer.transform(TEXTS), at_once)
    assert tokenizer.transform([]).shape == (0, 8)


def test_texts_come_in_any_sequence(transformer):
    pandas = pytest.importorskip("pandas")
    tokenizer = PretrainedTokenizer(transformer, max_length=8).fit(TEXTS)
    for texts in (
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pandas.Series(TEXTS),
        tuple(TEXTS),
    ):
        assert_array_equal(tokenizer.transform(texts), tokenizer.transform(TEXTS))


def test_a_stored_tokenizer_needs_no_folder(make_transformer):
    folder = make_transformer()
    tokenizer = PretrainedTokenizer(folder, max_length=8).fit(TEXTS)
    ids, stored = tokenizer.transform(TEXTS), pickle.dumps(tokenizer)
    for path in folder.iterdir():
        path.unlink()
    assert_array_equal(pickle.loads(stored).transform(TEXTS), ids)
    assert pickle.loads(stored).transform(TEXTS).vocabulary == ids.vocabulary


def test_two_models_number_words_apart(transformer, make_transformer):
    first = PretrainedTokenizer(transformer, 8).fit_transform(TEXTS)
    same = PretrainedTokenizer(make_transformer(seed=3), 8).fit_transform(TEXTS)
    other = PretrainedTokenizer(make_transformer(words=["x"]), 8).fit_transform(TEXTS)
    assert first.vocabulary == same.vocabulary != other.vocabulary


# ------------------------------------------------------------------------------------- embedder


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler"])
def test_vectors_are_those_of_the_model_for_each_text_alone(transformer, documents, pooling):
    texts = documents.texts[:20]
    embedder = PretrainedEmbedder(transformer, max_length=16, pooling=pooling, batch_size=3)
    vectors = embedder.fit_transform(texts)
    own = transformers.AutoTokenizer.from_pretrained(transformer)
    model = transformers.AutoModel.from_pretrained(transformer).eval()
    for text, vector in zip(texts, vectors, strict=True):
        with torch.no_grad():
            output = model(**own(text, truncation=True, max_length=16, return_tensors="pt"))
        states = output.last_hidden_state[0]
        ways = {"cls": states[0], "mean": states.mean(dim=0), "pooler": output.pooler_output[0]}
        assert_allclose(vector, ways[pooling], atol=1e-5)
    assert vectors.dtype == np.float32 and vectors.shape == (20, 32)
    assert len(embedder.get_feature_names_out()) == 32
    assert embedder.transform([]).shape == (0, 32)


def test_vectors_do_not_depend_on_the_batch_beyond_rounding(transformer, documents):
    texts = documents.texts[:20]
    embedder = PretrainedEmbedder(transformer, max_length=16).fit(texts)
    vectors = embedder.transform(texts)
    for size in (1, 7):
        alike = clone(embedder).set_params(batch_size=size).fit_transform(texts)
        assert_allclose(alike, vectors, atol=1e-5)


def test_batches_hold_texts_of_similar_length_and_tell_the_time_left(transformer):
    embedder = PretrainedEmbedder(transformer, batch_size=2, verbose=1)
    with redirect_stdout(io.StringIO()) as shown:
        batches = [(r.tolist(), int(c)) for r, c in embedder._batches(np.array([2, 9, 3, 8, 2]))]
    assert batches == [([1, 3], 9), ([2, 0], 3), ([4], 2)]
    assert "24/24" in shown.getvalue() and "00:00<" in shown.getvalue()
    with redirect_stdout(io.StringIO()) as silent:
        list(clone(embedder).set_params(verbose=0)._batches(np.array([2])))
    assert silent.getvalue() == ""


def test_a_search_embeds_once_with_a_memory(transformer, documents, tmp_path, monkeypatch):
    calls, embed = [], PretrainedEmbedder._embed
    monkeypatch.setattr(
        PretrainedEmbedder, "_embed", lambda *a: (calls.append(len(a[1])), embed(*a))[1]
    )
    steps = [
        ("embed", PretrainedEmbedder(transformer, max_length=8)),
        ("fit", LogisticRegression()),
    ]
    y = np.arange(30) % 2
    search = GridSearchCV(Pipeline(steps, memory=str(tmp_path)), {"fit__C": [0.1, 1.0, 10.0]}, cv=2)
    search.fit(documents.texts[:30], y)
    fits = calls.count(30) + sum(n == 15 for n in calls)
    assert calls.count(30) == 1  # the last fit
    assert fits == 1 + 2 + 6  # a fold's texts once; those that are scored are not kept


def test_vectors_are_stored_with_what_makes_them(transformer, documents):
    pipeline = make_pipeline(PretrainedEmbedder(transformer, max_length=8), LogisticRegression())
    texts, y = documents.texts[:20], np.arange(20) % 2
    again = pickle.loads(pickle.dumps(pipeline.fit(texts, y)))
    assert_array_equal(again.predict_proba(texts), pipeline.predict_proba(texts))


def test_embedding_leaves_torch_s_generator_alone(make_transformer):
    folder = make_transformer()
    bare = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False)
    bare.save_pretrained(folder)  # a pooler would be drawn
    before = torch.get_rng_state()
    PretrainedEmbedder(folder, 8).fit_transform(TEXTS)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="pooling must be 'cls' or 'mean' for a model stored with"):
        PretrainedEmbedder(folder, 8, pooling="pooler").fit_transform(TEXTS)


# ------------------------------------------------------------------------------ as scikit-learn's


@pytest.mark.parametrize("kind", BOTH)
def test_fit_and_transform_keep_to_the_rules_of_scikit_learn(transformer, kind):
    estimator = kind(transformer, max_length=8)
    before = estimator.get_params()
    assert estimator.fit(TEXTS, y=[0, 1, 0, 1, 0]) is estimator
    fitted = dict(vars(estimator))
    assert all(name.endswith("_") for name in set(fitted) - set(before))
    result = estimator.transform(TEXTS)
    assert vars(estimator) == fitted and estimator.get_params() == before
    assert_array_equal(clone(estimator).fit_transform(TEXTS, [0, 1, 0, 1, 0]), result)
    assert len(estimator.get_feature_names_out()) == result.shape[1]
    assert vars(clone(estimator)).keys() == before.keys()


# --------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    "texts, message",
    [
        ("one text", "X must be a sequence of texts. Got one text instead"),
        (np.array([["a", "b"]]), r"X must be a sequence of texts. Got an array of shape \(1, 2\)"),
        (["a", 3], "Text 1 of X must be a string. Got 3 instead"),
        ([b"a"], "Text 0 of X must be a string. Got b'a' instead"),
        ([None], "Text 0 of X must be a string. Got None instead"),
    ],
)
def test_what_is_no_text_is_refused(transformer, kind, texts, message):
    transform = kind(transformer, 8).fit(TEXTS).transform
    with pytest.raises(ValueError, match=message):
        transform(texts)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"max_length": 2}, "max_length must be .* from 3 to 60. Got 2 instead"),
        ({"max_length": 61}, "max_length must be .* from 3 to 60. Got 61 instead"),
        ({"max_length": 8.5}, "max_length must be a whole number"),
        ({"model": "/no/folder"}, "model must be a folder .* Got '/no/folder', which is no folder"),
        ({"model": None}, "model must be a folder with a tokenizer and a model, or .* Got None"),
    ],
)
def test_parameters_are_checked(transformer, kind, parameters, message):
    with pytest.raises(ValueError, match=message):
        kind(transformer).set_params(**parameters).fit(TEXTS)


@pytest.mark.parametrize("name, value", [("pooling", "max"), ("batch_size", 0)])
def test_parameters_of_the_embedder_are_checked(transformer, name, value):
    with pytest.raises(ValueError, match=f"{name} must be .* Got '?{value}'? instead"):
        PretrainedEmbedder(transformer).set_params(**{name: value}).fit(TEXTS)


@pytest.mark.parametrize("kind", BOTH)
def test_a_folder_of_something_else_is_refused(tmp_path, kind):
    with pytest.raises(ValueError, match="model must be a folder with a tokenizer and a model"):
        kind(tmp_path).fit(TEXTS)


@pytest.mark.parametrize("kind", BOTH)
def test_a_model_without_a_tokenizer_is_refused(make_transformer, kind, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(make_transformer() / name, tmp_path)
    with pytest.raises(ValueError, match="which has no words of a tokenizer"):
        kind(tmp_path, 8).fit(TEXTS)


def test_other_weights_than_those_of_fit_are_refused(make_transformer):
    folder, other = make_transformer(), make_transformer(seed=1)
    embedder = PretrainedEmbedder(folder, 8).fit(TEXTS)
    shutil.copy(other / "model.safetensors", folder)
    for one in (embedder, pickle.loads(pickle.dumps(embedder))):
        with pytest.raises(ValueError, match="The model must be as it was in fit. Got others at"):
            one.transform(TEXTS)


def test_broken_weights_are_named(make_transformer):
    folder = make_transformer()
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"model must be a folder .*{folder.name}"):
        PretrainedEmbedder(folder, 8).fit(TEXTS)


def test_a_relative_folder_is_found_from_elsewhere(make_transformer, monkeypatch):
    folder = make_transformer()
    monkeypatch.chdir(folder.parent)
    embedder = PretrainedEmbedder(f"./{folder.name}", 8).fit(TEXTS)
    vectors = embedder.transform(TEXTS)
    monkeypatch.chdir(folder)
    assert_array_equal(embedder.transform(TEXTS), vectors)
    monkeypatch.setenv("HOME", str(folder.parent))
    at_home = PretrainedEmbedder(f"~/{folder.name}", 8).fit_transform(TEXTS)
    assert_array_equal(at_home, vectors)


def test_parameters_that_were_set_after_fit_are_checked(transformer):
    embedder = PretrainedEmbedder(transformer, 8).fit(TEXTS).set_params(pooling="sum")
    with pytest.raises(ValueError, match="pooling must be one of"):
        embedder.transform(TEXTS)


@pytest.mark.parametrize("kind", BOTH)
def test_without_fit_there_is_no_transform(transformer, kind):
    with pytest.raises(NotFittedError):
        kind(transformer).transform(TEXTS)


@pytest.mark.parametrize("kind", BOTH)
def test_without_the_library_the_extra_is_named(transformer, kind, monkeypatch):
    load = builtins.__import__

    def without(name, *arguments):
        if name.split(".")[0] == "transformers":
            raise ImportError(name)
        return load(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install skmltc\[transformers\]"):
        kind(transformer).fit(TEXTS)
