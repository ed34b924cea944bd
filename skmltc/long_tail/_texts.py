"""Members where none are named: of features or tokens, and those that read raw texts."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer

from .._validation import check_choice, must_be, object_of
from ..balanced_loss import BalancedLossClassifier
from ..neighbors import MultilabelKNeighborsClassifier
from ..text import PretrainedEmbedder


def default_members(kind, *, device, n_jobs, verbose):
    """On features a linear model, on tokens a BiLSTM; and the neighbours of a document."""
    how = {"device": device, "n_jobs": n_jobs, "verbose": verbose}
    neighbors = MultilabelKNeighborsClassifier(n_jobs=n_jobs)
    if kind == "features":
        linear = BalancedLossClassifier(encoder="bag", loss="squared_hinge", **how)
        return [("linear", linear), ("neighbors", neighbors)]
    network = BalancedLossClassifier(encoder="bilstm", loss="bce", **how)
    return [("bilstm", network), ("neighbors", neighbors)]


def weighted_words():
    """The weights of the words of a text, without the most frequent of English."""
    return TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2, dtype=np.float32)


def _weighted_characters():
    """The weights of the parts of words of three to five characters."""
    return TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), min_df=3, sublinear_tf=True, dtype=np.float32
    )


def members_of_texts(embedder, vectorizer, characters, memory, *, device, n_jobs, verbose):
    """Linear models and neighbours as pipelines from texts.

    Parameters
    ----------
    embedder : transformer or None
        From texts to vectors.
    vectorizer : transformer or None
        From texts to the weights of words; None is a `TfidfVectorizer`.
    characters : bool
        Whether a linear model reads parts of words, too.
    memory : str, joblib.Memory or None
        Of all pipelines.
    device, n_jobs, verbose
        Of the classifiers.

    Returns
    -------
    list of (str, Pipeline)
    """
    check_choice("characters", characters, (True, False))
    vectorizer = weighted_words() if vectorizer is None else vectorizer
    _check_transformer("vectorizer", vectorizer)
    words = [("vectorizer", vectorizer)]
    linear = BalancedLossClassifier(
        loss="squared_hinge", device=device, n_jobs=n_jobs, verbose=verbose
    )
    neighbors = MultilabelKNeighborsClassifier(n_jobs=n_jobs)
    kinds = [("words", words, linear), ("neighbors", words, neighbors)]
    if embedder is not None:
        _check_transformer("embedder", embedder)
        meaning = [("embedder", _telling(embedder, verbose)), ("normalizer", Normalizer())]
        kinds.insert(1, ("meaning", meaning, linear))
        kinds.append(("neighbors_of_meaning", meaning, neighbors))
    if characters:
        kinds.insert(1, ("characters", [("vectorizer", _weighted_characters())], linear))
    return [
        (name, clone(Pipeline([*steps, ("classifier", classifier)], memory=memory)))
        for name, steps, classifier in kinds
    ]


def _telling(embedder, verbose):
    """A copy that shows its progress, which takes most of the time, where the others shall."""
    copied = clone(embedder)
    if isinstance(embedder, PretrainedEmbedder) and not embedder.verbose:
        copied.set_params(verbose=verbose)
    return copied


def _check_transformer(name, transformer):
    if isinstance(transformer, type) or not hasattr(transformer, "transform"):
        raise must_be(name, "a transformer of texts", repr(transformer), _made(name, transformer))


def _made(name, transformer):
    """What makes the transformer that is wanted."""
    if isinstance(transformer, type):
        return object_of(transformer)
    if name == "embedder":
        return "skmltc.text.PretrainedEmbedder(model) takes the name or the folder of an encoder."
    return "sklearn.feature_extraction.text.TfidfVectorizer() is one."
