"""PretrainedTokenizer and PretrainedEmbedder: texts as transformers of Hugging Face read them."""

import sys

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from .._devices import check_device, device_of
from .._pretrained import (
    POOLINGS,
    Source,
    from_model,
    hash_of,
    load_config,
    load_model,
    load_tokenizer,
    longest_text,
    pool,
    to_model,
    words_of,
)
from .._token_ids import TokenIds, vocabulary_hash
from .._validation import check_choice, check_number, must_be
from ._vectorizer import check_texts, pad

_TEXTS_AT_A_TIME = 1000


class _OfTexts(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """What the transformers of texts share: they learn nothing of the texts."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags


class PretrainedTokenizer(_OfTexts):
    """Turn texts into rows of token ids as a pretrained transformer reads them.

    For :class:`~skmltc.encoders.TransformerEncoder` of the same model. It needs the extra
    ``pip install skmltc[transformers]``.

    Parameters
    ----------
    model : str or path
        A folder with a tokenizer, or the name of a model on the Hugging Face hub, which is
        downloaded then.
    max_length : int, default=128
        Columns of the result; what is longer is cut off. It counts the special tokens that the
        model wants, such as ``[CLS]`` and ``[SEP]``. Time grows with it.

    Attributes
    ----------
    tokenizer_ : tokenizer of transformers
        It is stored with this object: neither folder nor hub is needed to transform.
    vocabulary_hash_ : str
        What the result remembers of the words.

    See Also
    --------
    PretrainedEmbedder : Texts to the vectors of such a model.

    Notes
    -----
    Ids are numbered as everywhere in the package: 0 is padding, at the end, 1 an unknown word, and
    the i-th word of the model has the id i + 2.

    Examples
    --------
    >>> from skmltc.text import PretrainedTokenizer
    >>> PretrainedTokenizer("bert-base-cased", max_length=64)
    PretrainedTokenizer(max_length=64, model='bert-base-cased')
    """

    def __init__(self, model, max_length=128):
        self.model = model
        self.max_length = max_length

    def fit(self, X, y=None):
        """Load the tokenizer.

        Parameters
        ----------
        X : iterable of str
            Texts; nothing is learned of them.
        y : None
            Ignored.

        Returns
        -------
        PretrainedTokenizer
            Itself.

        Raises
        ------
        ImportError
            Without the extra.
        ValueError
            If there is no such model, or a parameter is out of range.
        """
        check_texts(X)
        self.tokenizer_ = load_tokenizer(Source.of(self.model))
        self.vocabulary_hash_ = vocabulary_hash(words_of(self.tokenizer_))
        check_max_length(self.max_length, self.tokenizer_)
        return self

    def transform(self, X):
        """Turn texts into rows of token ids.

        Parameters
        ----------
        X : iterable of str
            The texts.

        Returns
        -------
        array of int32 of shape (n_samples, max_length)
            Token ids.

        Raises
        ------
        ValueError
            If a text is no string; its position is named.
        """
        check_is_fitted(self)
        texts = read_texts(X)
        rows = [from_model(ids, self.tokenizer_) for ids in self._split(texts)]
        lengths = np.array([len(row) for row in rows], dtype=np.int32)
        tokens = np.concatenate([*rows, np.empty(0, dtype=np.int32)])
        token_ids = pad(tokens, lengths, self.max_length)
        return TokenIds.of(token_ids, self.vocabulary_hash_)

    def _split(self, texts):
        """The model's ids of each text."""
        for start in range(0, len(texts), _TEXTS_AT_A_TIME):
            some = texts[start : start + _TEXTS_AT_A_TIME]
            yield from self.tokenizer_(some, truncation=True, max_length=self.max_length)[
                "input_ids"
            ]

    @property
    def _n_features_out(self):
        return self.max_length


class PretrainedEmbedder(_OfTexts):
    """Turn texts into the vectors of a pretrained transformer, which is not trained.

    In a search it belongs into ``Pipeline(memory=...)``: the training texts of a fold are embedded
    once then, and those that it holds out once per candidate. It needs the
    extra ``pip install skmltc[transformers]``.

    Parameters
    ----------
    model : str or path
        A folder with a tokenizer and a model, or the name of one on the Hugging Face hub.
    max_length : int, default=128
        Tokens of a text that are read.
    pooling : {"mean", "cls", "pooler"}, default="mean"
        A text's vector: the mean of its tokens' states, the state of the first token, or what the
        model itself makes of that one.
    batch_size : int, default=32
        Texts at a time. Texts of similar length share a batch.
    device : str, default="auto"
        A torch device; "auto" is CUDA where there is one. There it multiplies in bfloat16.
    verbose : int, default=0
        1 shows a bar of progress, with the time left.

    Attributes
    ----------
    tokenizer_ : PretrainedTokenizer
        It is stored with this object; the model is loaded in each `transform`.
    source_ : tuple of (str, str or None)
        Where it is loaded from: the absolute path of a folder, or a name with its revision.
    weights_hash_ : str
        A SHA-256 of its weights; others are refused.

    See Also
    --------
    skmltc.encoders.TransformerEncoder : Such a model inside an estimator, trained or not.

    Notes
    -----
    The vectors are not scaled. Beside other features, give them a norm that fits, by
    :class:`sklearn.preprocessing.Normalizer` and the weights of a `ColumnTransformer` or a
    `FeatureUnion`.

    Examples
    --------
    >>> from skmltc.text import PretrainedEmbedder
    >>> PretrainedEmbedder("bert-base-cased", pooling="cls")
    PretrainedEmbedder(model='bert-base-cased', pooling='cls')
    """

    def __init__(
        self, model, max_length=128, pooling="mean", batch_size=32, device="auto", verbose=0
    ):
        self.model = model
        self.max_length = max_length
        self.pooling = pooling
        self.batch_size = batch_size
        self.device = device
        self.verbose = verbose

    def fit(self, X, y=None):
        """Load the tokenizer, and see which model is there.

        Parameters
        ----------
        X : iterable of str
            Texts; nothing is learned of them.
        y : None
            Ignored.

        Returns
        -------
        PretrainedEmbedder
            Itself.

        Raises
        ------
        ImportError
            Without the extra.
        ValueError
            If there is no such model, or a parameter is out of range.
        """
        self._check()
        check_device(self.device)
        self.tokenizer_ = PretrainedTokenizer(self.model, self.max_length).fit(X)
        self.source_ = Source.of(self.model)
        self.config_ = load_config(self.source_)
        model, self.source_ = self._load()
        self.weights_hash_ = hash_of(model.state_dict())
        return self

    def _check(self):
        check_choice("pooling", self.pooling, POOLINGS)
        check_number("batch_size", self.batch_size, 1, whole=True)

    def transform(self, X):
        """Turn texts into vectors.

        Parameters
        ----------
        X : iterable of str
            The texts.

        Returns
        -------
        array of float32 of shape (n_samples, dim)
            A text's vector does not depend on the others, up to the rounding of float32.
        """
        check_is_fitted(self)
        self._check()
        token_ids = np.asarray(self.tokenizer_.transform(X))
        vectors = np.empty((len(token_ids), self._n_features_out), dtype=np.float32)
        if len(token_ids):
            self._embed(token_ids, vectors)
        return vectors

    def _embed(self, token_ids, vectors):
        """Write the vectors, longest texts first: a batch too large for memory fails at once."""
        import torch

        model, device = self._model(), torch.device(device_of(self.device))
        model = model.to(device).eval()
        model_ids = to_model(self.tokenizer_.tokenizer_, self.config_.vocab_size)
        halves = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
        with torch.inference_mode(), halves:
            for rows, columns in self._batches(np.count_nonzero(token_ids, axis=1)):
                ids = token_ids[rows, :columns]
                mask = torch.from_numpy(ids != 0).to(device)
                inputs = torch.from_numpy(model_ids[ids]).to(device)
                output = model(input_ids=inputs, attention_mask=mask.long())
                vectors[rows] = pool(output, mask, self.pooling).float().cpu().numpy()

    def _model(self):
        """The model, with the weights that it had in fit."""
        model, source = self._load()
        if hash_of(model.state_dict()) != self.weights_hash_:
            remedy = "Put the old ones back, or fit again."
            raise must_be("The model", "as it was in fit", f"others at {source.name!r}", remedy)
        return model

    def _load(self):
        model, source, is_complete = load_model(self.source_, self.config_, self.pooling)
        limit = longest_text(model) or self.max_length
        check_number("max_length", self.max_length, 1, limit, whole=True)
        if not is_complete:
            expected = "'cls' or 'mean' for a model stored without the weights of a pooler"
            raise must_be("pooling", expected, "'pooler'")
        return model, source

    def _batches(self, lengths):
        """Rows and columns of each batch; the bar counts tokens, whose number tells the time."""
        order = np.argsort(-lengths, kind="stable")
        bar = tqdm(
            total=int(lengths.sum()),
            desc="Embedding",
            unit="token",
            file=sys.stdout,
            disable=not self.verbose,
        )
        with bar:
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                yield rows, lengths[rows].max()
                bar.update(int(lengths[rows].sum()))

    @property
    def _n_features_out(self):
        return self.config_.hidden_size


def read_texts(X):
    """A list of the texts; what is none is named by its position."""
    texts = list(check_texts(X))
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise must_be(f"Text {position} of X", "a string", repr(text))
    return [str(text) for text in texts]


def check_max_length(max_length, tokenizer):
    """Refuse a length that the model does not read, or that its special tokens fill."""
    shortest = tokenizer.num_special_tokens_to_add() + 1
    check_number("max_length", max_length, shortest, tokenizer.model_max_length, whole=True)
