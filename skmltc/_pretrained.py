"""Pretrained transformers of the Hugging Face library: found, loaded and told apart.

What reads token ids numbers words its own way: 0 is padding, 1 an unknown word. Here the i-th
word of a model has the id i + 2.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ._torch_random import kept_generator
from ._validation import must_be

POOLINGS = ("cls", "mean", "pooler")
FIRST_WORD = 2  # 0 is padding, 1 an unknown word
_A_MODEL = "a folder with a tokenizer and a model, or the name of one on the Hugging Face hub"
_POOLER = "pooler."  # how the names of its weights begin


class Source(NamedTuple):
    """Where a model is from: a folder or a name, and of a name the revision."""

    name: str
    revision: str | None = None

    @classmethod
    def of(cls, model):
        """Read the parameter `model`, a str or a path."""
        if not isinstance(model, str | os.PathLike) or not os.fspath(model):
            raise must_be("model", _A_MODEL, repr(model))
        name = os.path.expanduser(os.fspath(model))
        is_path = Path(name).is_absolute() or name.startswith(".") or name.count("/") > 1
        if (is_path or isinstance(model, os.PathLike)) and not Path(name).is_dir():
            raise must_be("model", _A_MODEL, f"{name!r}, which is no folder")
        return cls(os.path.abspath(name) if Path(name).is_dir() else name)


def load_tokenizer(source):
    """The tokenizer of a model."""
    tokenizer = _load("AutoTokenizer", source)
    if not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):  # made of no file
        raise must_be("model", _A_MODEL, f"{source.name!r}, which has no words of a tokenizer")
    return tokenizer


def load_config(source, dropout=None):
    """The configuration of a model; with a number, the share of all its dropout layers."""
    config = _load("AutoConfig", source)
    for name, value in config.to_dict().items():
        if dropout is not None and "drop" in name and isinstance(value, float):
            setattr(config, name, dropout)
    config.use_cache = False  # of what is generated
    return config


def load_model(source, config, pooling):
    """A model in float32, with the start of a pooler at random where it was stored without one.

    Returns
    -------
    model : nn.Module
        Without its pooler where the pooling is another.
    source : Source
        With the revision, where the model is from the hub.
    is_complete : bool
        Whether all weights were stored.
    """
    if config.is_encoder_decoder:
        raise must_be("model", "an encoder", f"{source.name!r}, which is one with a decoder")
    model, info = _load(
        "AutoModel", source, config=config, dtype="float32", output_loading_info=True
    )
    missing = {name for name in info["missing_keys"] if not name.startswith(_POOLER)}
    if missing:
        got = f"none for {min(missing)!r} ({len(missing)} in all) in {source.name!r}"
        raise must_be("The stored weights of the model", "complete", got)
    fit_pooler(model, pooling)
    is_complete = pooling != "pooler" or not info["missing_keys"]
    return model, Source(source.name, getattr(config, "_commit_hash", None)), is_complete


def new_model(config, pooling):
    """A model of a configuration, whose weights are still to be set."""
    with kept_generator():  # they are drawn first
        model = _library().AutoModel.from_config(config)
    fit_pooler(model, pooling)
    return model


def config_of(settings):
    """A configuration of the dict that its `to_dict` made."""
    return _library().AutoConfig.for_model(**settings)


def fit_pooler(model, pooling):
    """Refuse a model without the pooler that is asked for; drop one that is not."""
    if pooling == "pooler" and getattr(model, "pooler", None) is None:
        kind = type(model).__name__
        raise must_be(
            "pooling", "'cls' or 'mean' for a model without pooler", f"'pooler' for {kind}"
        )
    if pooling != "pooler" and getattr(model, "pooler", None) is not None:
        model.pooler = None


def pool(output, mask, pooling):
    """Vectors (batch, dim) of documents from what a model makes of them.

    Parameters
    ----------
    output : output of the model
        With states (batch, length, dim) of the tokens.
    mask : tensor of bool of shape (batch, length)
    pooling : str
        One of `POOLINGS`: the first token's state, the mean of all tokens, or the model's own.
    """
    if pooling == "pooler":
        return output.pooler_output
    states = output.last_hidden_state
    if pooling == "cls":
        return states[:, 0]
    return (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


def longest_text(model):
    """Most tokens of a text that a model reads, None where there is no limit."""
    positions = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    limit = getattr(positions, "num_embeddings", None)
    if limit is None:
        return getattr(model.config, "max_position_embeddings", None)
    return limit if positions.padding_idx is None else limit - positions.padding_idx - 1


def from_model(model_ids, tokenizer):
    """Ids as the package numbers words, of those of a tokenizer, in texts without padding."""
    ids = np.asarray(model_ids, dtype=np.int32)
    is_unknown = np.isin(ids, [i for i in _special(tokenizer) if i is not None])
    return np.where(is_unknown, np.int32(1), ids + FIRST_WORD)


def to_model(tokenizer, n_words):
    """The model's id of each id of the package, int64 of shape (n_words + 2,)."""
    padding, unknown = _special(tokenizer)
    padding = 0 if padding is None else padding
    return table_of(padding, padding if unknown is None else unknown, n_words)


def table_of(padding, unknown, n_words):
    """The same for the model's ids of padding and of the unknown word."""
    return np.concatenate([[padding, unknown], np.arange(n_words)])


def _special(tokenizer):
    return tokenizer.pad_token_id, tokenizer.unk_token_id


def words_of(tokenizer):
    """The words of a tokenizer, in the order of their ids."""
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.__getitem__)


def hash_of(tensors):
    """Tell weights apart: the SHA-256 of names and numbers.

    Parameters
    ----------
    tensors : dict of str to tensor

    Returns
    -------
    str
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name].detach().cpu().numpy()).data.cast("B"))
    return digest.hexdigest()


def _library():
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "Pretrained transformers need a library that is not installed: "
            "pip install skmltc[transformers]"
        ) from error
    return transformers


def _load(kind, source, **options):
    """Load with one of the library's classes; its errors name the parameter."""
    from safetensors import SafetensorError

    loader = getattr(_library(), kind)
    try:
        with kept_generator(), _quiet():  # what was not stored is drawn
            return loader.from_pretrained(
                source.name, revision=source.revision or "main", **options
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise must_be("model", _A_MODEL, repr(source.name), reason) from error


@contextmanager
def _quiet():
    """Keep back what the library prints on loading; what is wrong is an error here."""
    logging = _library().utils.logging
    level, shows_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shows_bars:
            logging.enable_progress_bar()
