"""Data sets as rows want them: read once per process, with a hash of the files that were read."""

import hashlib
import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import Normalizer

from skmltc.datasets import load_jsonl, make_long_tailed_corpus
from skmltc.labels import parents_from_edges
from skmltc.model_selection import multilabel_train_test_split
from skmltc.text import TokenSequenceVectorizer

QUICK_TRAIN, QUICK_TEST = 300, 100
HELD_OUT = " held out"
MADE_UP = {"n_samples": 4000, "n_labels": 60, "random_state": 0}
LARGE = {"n_samples": 102_000, "n_labels": 100, "n_words": 15, "random_state": 0}
LARGE_TEST = 2000
OF_TRANSFORMERS = ("vectors", "word pieces")
OF_DATA = {".jsonl", ".gz", ".tsv", ".json", ".txt", ".safetensors", ".bin"}


class Missing(Exception):
    """What a row needs and this machine does not have: the row is left out."""


@dataclass(frozen=True)
class Texts:
    """Texts and labels of both parts, before they are read."""

    train: list
    Y_train: sparse.csr_array
    test: list
    Y_test: sparse.csr_array
    hash: str
    parents: sparse.csr_array | None = None  # rows of labels, then of parents that are none
    names: list | None = None


@dataclass(frozen=True)
class Task:
    """What a model is fitted on and measured on."""

    X_train: object
    Y_train: sparse.csr_array
    X_test: object
    Y_test: sparse.csr_array
    hash: str
    X_val: object = None
    Y_val: sparse.csr_array | None = None
    parents: sparse.csr_array | None = None
    names: object = None

    @property
    def label_counts(self):
        return self.Y_train.sum(axis=0)


def task_of(row, folder, quick=False, seed=0):
    """The documents of a row as its estimator reads them; each seed has its validation part."""
    key = (folder, row.dataset, row.input, row.n_train, row.parents, row.names, quick)
    task = _read(*key)
    n_validation = min(row.validation, QUICK_TEST) if quick else row.validation
    return _with_validation(task, n_validation, seed)


@lru_cache(maxsize=1)  # tables are sorted by what is read
def _read(folder, dataset, kind, n_train, parents, names, quick):
    texts = load(folder, dataset)
    if quick or n_train:
        texts = subset(texts, QUICK_TRAIN if quick else n_train, QUICK_TEST if quick else None)
    reader = reader_of(kind)
    X_train, X_test = reader.fit_transform(texts.train), reader.transform(texts.test)
    return Task(
        *(X_train, texts.Y_train, X_test, texts.Y_test, texts.hash),
        parents=needed(texts.parents, f"{dataset}: a hierarchy") if parents else None,
        names=reader.transform(_texts_of_labels(texts, dataset, parents)) if names else None,
    )


def _texts_of_labels(texts, dataset, parents):
    """Names of the labels and, with the hierarchy, of the parents that are no labels."""
    names = needed(texts.names, f"{dataset}: names of labels")
    return names if parents else names[: texts.Y_train.shape[1]]


def needed(value, what):
    if value is None:
        raise Missing(what)
    return value


def _with_validation(task, n_documents, seed):
    """The task with some of its training documents held out."""
    if not n_documents:
        return task
    rows = np.arange(task.Y_train.shape[0])
    fit, val, *_ = multilabel_train_test_split(
        rows, task.Y_train, test_size=n_documents, random_state=seed
    )
    parts = {"X_val": _take(task.X_train, val), "Y_val": task.Y_train[val]}
    return replace(task, X_train=_take(task.X_train, fit), Y_train=task.Y_train[fit], **parts)


def _take(X, rows):
    return [X[row] for row in rows] if isinstance(X, list) else X[rows]


# ------------------------------------------------------------------------------------- data sets


def load(folder, dataset):
    """Labels are those with a training document; test documents left without one are dropped."""
    if dataset == "made-up":
        return _made_up()
    if dataset == "made-up, large":
        return _made_up_large()
    if folder is None:
        raise Missing("--data")
    place = Path(folder) / dataset.removesuffix(" leaves").removesuffix(HELD_OUT)
    if not place.is_dir():
        raise Missing(f"the folder {place.name} in that of --data")
    train, test = (load_jsonl(place, subset=part) for part in ("train", "test"))
    texts = Texts(train.data, train.target, test.data, test.target, hash_of_files(place))
    texts = _with_labels(texts, place, train.target_names)
    if dataset.endswith(HELD_OUT):
        texts = _held_out(texts)
    return _labelled(_leaves(texts) if dataset.endswith(" leaves") else texts)


def _held_out(texts):
    """A fifth of the training documents in place of the test documents: to choose defaults on."""
    train, test, Y_train, Y_test = multilabel_train_test_split(
        texts.train, texts.Y_train, test_size=0.2, random_state=0
    )
    return replace(texts, train=train, Y_train=Y_train, test=test, Y_test=Y_test)


def hash_of_files(place):
    """Hash of the files of a data set or a transformer, README apart."""
    digest = hashlib.sha256()
    for path in sorted(place.iterdir()):
        if path.suffix in OF_DATA:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _with_labels(texts, place, labels):
    """Parents and names of the labels; parents that are no labels have the last rows."""
    if (place / "hierarchy.tsv").exists():
        parents, others = parents_from_edges(labels, _pairs(place / "hierarchy.tsv"))
        labels, texts = [*labels, *others], replace(texts, parents=parents)
    if not (place / "label_names.tsv").exists():
        return texts
    names = dict(_pairs(place / "label_names.tsv"))
    return replace(texts, names=[names.get(label, label) for label in labels])


def _pairs(path):
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def _leaves(texts):
    """Take the labels that are parents off the documents, and leave them as parents alone."""
    n_labels = texts.Y_train.shape[1]
    is_parent = np.zeros(texts.parents.shape[0], dtype=bool)
    is_parent[texts.parents.nonzero()[1]] = True
    leaves = np.flatnonzero(~is_parent[:n_labels])
    order = np.r_[leaves, np.flatnonzero(is_parent)]
    return replace(
        texts,
        Y_train=texts.Y_train[:, leaves],
        Y_test=texts.Y_test[:, leaves],
        parents=texts.parents[order][:, order],
        names=[texts.names[label] for label in order] if texts.names else None,
    )


def _made_up():
    corpus = make_long_tailed_corpus(**MADE_UP)
    train, test, Y_train, Y_test = multilabel_train_test_split(
        corpus.data, corpus.target, random_state=0
    )
    return _labelled(Texts(train, Y_train, test, Y_test, _hash_of_texts(corpus.data)))


def _made_up_large():
    """Documents in the order in which they are made, which is random."""
    corpus = make_long_tailed_corpus(**LARGE)
    texts, Y, n = corpus.data, corpus.target, -LARGE_TEST
    return _labelled(Texts(texts[:n], Y[:n], texts[n:], Y[n:], _hash_of_texts(texts)))


def _hash_of_texts(texts):
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _labelled(texts):
    kept = np.flatnonzero(np.diff(texts.Y_test.indptr))
    return replace(texts, test=_take(texts.test, kept), Y_test=texts.Y_test[kept])


def subset(texts, n_train, n_test=None):
    """So many documents of each part, and the labels that the training documents have."""
    rows = np.random.RandomState(0).permutation(len(texts.train))[:n_train]
    rows, tested = np.sort(rows), np.arange(len(texts.test))[:n_test]
    known = np.flatnonzero(texts.Y_train[rows].sum(axis=0))
    parents, names, kept = texts.parents, texts.names, known
    if parents is not None:
        kept = np.r_[known, np.arange(texts.Y_train.shape[1], parents.shape[0])]
        parents = parents[kept][:, kept]
    return _labelled(
        replace(
            texts,
            train=_take(texts.train, rows),
            Y_train=texts.Y_train[rows][:, known],
            test=_take(texts.test, tested),
            Y_test=texts.Y_test[tested][:, known],
            parents=parents,
            names=[names[label] for label in kept] if names else None,
        )
    )


# --------------------------------------------------------------------------------------- readers


def reader_of(kind):
    """What reads texts: an object with `fit_transform` and `transform`."""
    name, _, length = kind.rpartition(" ")
    if kind == "texts":
        return _AsTheyAre()
    if kind == "tfidf":
        return words()
    if kind == "tfidf, plain":
        return TfidfVectorizer()
    if name == "tokens":
        return TokenSequenceVectorizer(max_length=int(length))
    return _reader_of_transformer(kind)


def words():
    """The features that the README recommends."""
    return TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2, dtype=np.float32)


class _AsTheyAre:
    """For models that read texts themselves."""

    def fit_transform(self, texts):
        return texts

    def transform(self, texts):
        return texts


VECTORS: dict = {}  # of texts that are encoded: for all rows that read a set in this process


class _Encoded(_AsTheyAre):
    """Texts as they are, after a transformer has encoded them for `VectorsOfTexts`."""

    def __init__(self, embedder):
        self.embedder = embedder

    def fit_transform(self, texts):
        if not VECTORS.keys() >= set(texts):
            VECTORS.clear()  # those of another set
        return self.transform(texts)

    def transform(self, texts):
        new = [text for text in dict.fromkeys(texts) if text not in VECTORS]
        if new:
            VECTORS.update(zip(new, self.embedder.fit(new).transform(new), strict=True))
        return texts


class VectorsOfTexts(TransformerMixin, BaseEstimator):
    """Texts to the vectors that are there of them."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.stack([VECTORS[text] for text in X])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class _WordsAndVectors:
    """Weighted words beside vectors of the same length as theirs, in one matrix."""

    def __init__(self, embedder):
        self.encoded = _Encoded(embedder)
        self.both = make_union(words(), make_pipeline(VectorsOfTexts(), Normalizer()))

    def fit_transform(self, texts):
        return self.both.fit_transform(self.encoded.fit_transform(texts))

    def transform(self, texts):
        return self.both.transform(self.encoded.transform(texts))


def needs_transformer(row):
    return row.input.startswith(OF_TRANSFORMERS)


def transformer_folder():
    """The folder of a transformer that the user gives."""
    return needed(os.environ.get("SKMLTC_ENCODER"), "a transformer: its folder as SKMLTC_ENCODER")


def part_of(module, name):
    """A class of the package, if it has it."""
    return needed(getattr(module, name, None), f"{module.__name__}.{name}")


def _reader_of_transformer(kind):
    from skmltc import text

    length = int(re.search(r"\d+", kind).group())
    if kind.startswith("word pieces"):
        return part_of(text, "PretrainedTokenizer")(transformer_folder(), max_length=length)
    embedder = part_of(text, "PretrainedEmbedder")(transformer_folder(), max_length=length)
    beside = {"texts": _Encoded, "tfidf": _WordsAndVectors}.get(kind.rpartition(" and ")[2])
    return beside(embedder) if beside else embedder
