"""TransformerEncoder: pretrained transformers of Hugging Face as encoders of token ids."""

from __future__ import annotations

import copy
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import pad as fill_up

from .._pretrained import (
    FIRST_WORD,
    POOLINGS,
    Source,
    config_of,
    hash_of,
    load_config,
    load_model,
    load_tokenizer,
    longest_text,
    new_model,
    pool,
    table_of,
    to_model,
    words_of,
)
from .._token_ids import vocabulary_hash
from .._validation import check_choice, must_be
from ._encoder import Encoder, _check_dropouts
from ._precision import multiplying
from ._token_modules import padded_length
from ._training import Training


class TransformerEncoder(Encoder):
    """A pretrained transformer of Hugging Face, fine-tuned or as it is.

    BERT in Huang et al. (EMNLP 2021, section 4.2) is ``TransformerEncoder("bert-base-cased",
    pooling="pooler")``. It needs the extra ``pip install skmltc[transformers]``, and token ids of
    :class:`~skmltc.text.PretrainedTokenizer` of the same model.

    Parameters
    ----------
    model : str or path
        A folder with a tokenizer and an encoder, or the name of one on the Hugging Face hub, which
        is downloaded then.
    pooling : {"cls", "mean", "pooler"}, default="cls"
        A document's vector: the state of the first token, the mean of all tokens' states, or what
        the model itself makes of the first one (a linear map and tanh, with BERT's).
    trainable : bool or int, default=True
        Whether the model is trained; a number k is that of the last layers that are, and with them
        the pooler. With False :class:`~skmltc.BalancedLossClassifier` computes each document's
        vector once per fit, and solves a linear model of the vectors by Newton's method. The other
        estimators compute the vectors in every epoch.
    dropout : float, default=0.1
        On the document's vector and in all dropout layers of the model while it is trained.
    gradient_checkpointing : bool, default=False
        Compute states once more on the way back instead of keeping them: less memory, more time.

    Notes
    -----
    Padding is masked: a document's scores do not depend on the length of its batch, beyond the
    rounding of float32. While training on CUDA it multiplies in
    bfloat16, unless the `precision` of a :class:`Training` says else.

    Stored models keep the weights that were trained. Others are stored by reference: the folder or
    the name with its revision, and a SHA-256 of the weights, which is checked on loading.

    The recommended training has a rate of 5e-5, 20 times as much for the head, that rises over a
    tenth of the steps and then falls to 0, and stops early where documents are enough.

    Examples
    --------
    >>> from skmltc import BalancedLossClassifier
    >>> from skmltc.encoders import TransformerEncoder
    >>> BalancedLossClassifier(encoder=TransformerEncoder("bert-base-cased"), batch_size=32)
    BalancedLossClassifier(batch_size=32,
                           encoder=TransformerEncoder(model='bert-base-cased'))
    """

    kind = "tokens"
    training = Training(
        lr=5e-5,
        weight_decay=0.01,
        max_epochs=5,
        warmup=0.1,
        clip=1.0,
        early_stopping=True,
        lr_factors={"head": 20.0, "head_scale": 20.0},
    )

    def __init__(
        self, model, pooling="cls", trainable=True, dropout=0.1, gradient_checkpointing=False
    ):
        self.model = model
        self.pooling = pooling
        self.trainable = trainable
        self.dropout = dropout
        self.gradient_checkpointing = gradient_checkpointing

    @property
    def is_frozen(self):
        """Whether nothing of the model is trained."""
        self._check()
        return isinstance(self.trainable, bool | np.bool_) and not self.trainable

    @property
    def vocabulary(self):
        """The words that token ids must number."""
        return vocabulary_hash(words_of(load_tokenizer(Source.of(self.model))))

    def n_embeddings(self, largest_id):
        """Token ids of the model's words, with 0 (padding) and 1 (unknown word).

        Parameters
        ----------
        largest_id : ignored
            The model knows its words.

        Returns
        -------
        int
        """
        return load_config(Source.of(self.model)).vocab_size + FIRST_WORD

    def build(self, n_inputs, token_ids=None):
        """Make the torch module.

        Parameters
        ----------
        n_inputs : int
            Number of token ids, as of `n_embeddings`.
        token_ids : ignored
            The model is trained already.

        Returns
        -------
        nn.Module
            ``forward(token_ids) -> (batch, output_dim)`` and ``encode_tokens(token_ids)``, the
            states (batch, length, output_dim) of the last layer and the mask (batch, length) of
            the tokens. Token ids are integers of shape (batch, length).

        Raises
        ------
        ImportError
            Without the extra.
        ValueError
            If there is no such model, or it has no such layers.
        """
        self._check()
        source = Source.of(self.model)
        model_ids = to_model(load_tokenizer(source), n_inputs - FIRST_WORD)
        config = load_config(source, float(self.dropout))
        model, source, is_complete = load_model(source, config, self.pooling)
        if self.is_frozen and not is_complete:
            remedy = "Its weights would be random, and stay so."
            expected = "'cls' or 'mean' for a model stored without those of a pooler"
            raise must_be("pooling", expected, "'pooler'", remedy)
        set_trainable(model, self.trainable)
        settings = Settings(self.pooling, float(self.dropout), bool(self.gradient_checkpointing))
        return Transformer(source, model, model_ids, settings)

    def _check(self):
        check_choice("pooling", self.pooling, POOLINGS)
        check_choice("gradient_checkpointing", self.gradient_checkpointing, (True, False))
        _check_dropouts(self, "dropout")
        is_count = isinstance(self.trainable, Integral) and self.trainable >= 1
        if not is_count and not isinstance(self.trainable, bool | np.bool_):
            expected = "True, False or a number of layers from 1 up"
            raise must_be("trainable", expected, repr(self.trainable))


def set_trainable(model, trainable):
    """Mark the weights that are trained: all, none, or those of the last layers and the pooler."""
    is_switch = isinstance(trainable, bool | np.bool_)
    for parameter in model.parameters():
        parameter.requires_grad_(bool(trainable) and is_switch)
    if is_switch:
        return
    layers = max((m for m in model.modules() if isinstance(m, nn.ModuleList)), key=len, default=())
    if trainable > len(layers):
        expected = f"at most {len(layers)}, the layers of the model, or True"
        raise must_be("trainable", expected, trainable)
    pooler = getattr(model, "pooler", None)
    for module in [*layers[len(layers) - trainable :], *([] if pooler is None else [pooler])]:
        module.requires_grad_(True)


class Settings(NamedTuple):
    """What a `Transformer` is besides its model."""

    pooling: str
    dropout: float
    gradient_checkpointing: bool


class Transformer(nn.Module):
    """A transformer over token ids as the package numbers them.

    Parameters
    ----------
    source : Source
        Where the weights that are not trained are.
    model : nn.Module
        An encoder of transformers.
    model_ids : array of int of shape (n_inputs,)
        The model's id of each token id.
    settings : Settings
    """

    def __init__(self, source, model, model_ids, settings):
        super().__init__()
        self.source, self.model, self.settings = source, model, settings
        self.register_buffer("model_ids", torch.from_numpy(model_ids), persistent=False)
        self.dropout = nn.Dropout(settings.dropout)
        self.output_dim = self.token_dim = model.config.hidden_size
        if settings.gradient_checkpointing:
            model.activation_checkpointing_enable()

    def train(self, mode=True):
        """Switch dropout on or off; a model of which nothing is trained stays as it is."""
        return super().train(mode and any(p.requires_grad for p in self.model.parameters()))

    def forward(self, token_ids):
        """Map (batch, length) to (batch, output_dim)."""
        output, mask = self._read(token_ids)
        return self.dropout(pool(output, mask, self.settings.pooling).float())

    def encode_tokens(self, token_ids):
        """States at each position, (batch, length, output_dim), and mask (batch, length)."""
        output, mask = self._read(token_ids)
        return output.last_hidden_state.float(), mask

    def _read(self, token_ids):
        lengths = (token_ids != 0).sum(dim=1, keepdim=True).clamp(min=1)
        columns = self._columns(int(lengths.max()))
        token_ids = token_ids[:, :columns]
        token_ids = fill_up(token_ids, (0, columns - token_ids.shape[1]))  # (batch, columns)
        mask = torch.arange(columns, device=token_ids.device) < lengths
        with multiplying(self, mask):
            inputs = self.model_ids[token_ids]
            return self.model(input_ids=inputs, attention_mask=mask.long()), mask

    def _columns(self, longest):
        """Columns of a batch by its longest text."""
        limit = longest_text(self.model) or longest
        if longest > limit:
            remedy = "PretrainedTokenizer(max_length=...) cuts them."
            raise must_be("X", f"texts of at most {limit} tokens", longest, remedy)
        return longest if self.training else min(padded_length(longest), limit)

    @property
    def embedding(self):
        """Vectors of the token ids, as the model begins with them."""
        words = self.model.get_input_embeddings().weight
        return nn.Embedding.from_pretrained(words.detach()[self.model_ids])

    def __deepcopy__(self, memo):
        twin = memo[id(self)] = self.__new__(type(self))
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin

    def __getstate__(self):
        """Weights that were trained, and of the others where they are and their hash."""
        weights = self.model.state_dict()
        trained = [name for name, p in self.model.named_parameters() if p.requires_grad]
        given = {name: weights[name] for name in weights.keys() - set(trained)}
        return {
            "source": tuple(self.source),
            "given": sorted(given),
            "hash": hash_of(given),
            "trained": {name: weights[name].cpu().numpy() for name in trained},
            "config": self.model.config.to_dict(),
            "model_ids": (*self.model_ids[:FIRST_WORD].tolist(), len(self.model_ids) - FIRST_WORD),
            "settings": tuple(self.settings),
        }

    def __setstate__(self, state):
        source, settings = Source(*state["source"]), Settings(*state["settings"])
        config, trained = config_of(state["config"]), state["trained"]
        if state["given"]:
            model = load_again(source, config, settings.pooling, state["given"], state["hash"])
        else:
            model = new_model(config, settings.pooling)
        arrays = {name: torch.from_numpy(array) for name, array in trained.items()}
        model.load_state_dict(arrays, strict=False)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in trained)
        self.__init__(source, model, table_of(*state["model_ids"]), settings)
        self.eval()


def load_again(source, config, pooling, names, known_hash):
    """Load the weights that a stored encoder refers to, and see that they are the same.

    Raises
    ------
    ValueError
        If they are missing or others.
    """
    what = "The model that the stored encoder refers to"
    expected = "where it was, with the weights that it had"
    where = f"{source.name!r}" + (f" of revision {source.revision}" if source.revision else "")
    try:
        model, _, _ = load_model(source, config, pooling)
    except ValueError as error:
        raise must_be(what, expected, f"none at {where}", "Put it back there.") from error
    weights = model.state_dict()
    if not weights.keys() >= set(names) or hash_of({n: weights[n] for n in names}) != known_hash:
        raise must_be(what, expected, f"others at {where}", "Put the old ones back, or fit again.")
    return model
