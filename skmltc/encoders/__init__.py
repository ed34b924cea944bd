"""Encoders: from a batch of documents to one vector per document."""

from ._encoder import Encoder, Training, UnitEncoder
from ._features import BagEncoder, FeatureLinear
from ._heads import ScaledLinear, build_network, head_of, initialise_biases, split_head
from ._registry import ENCODERS
from ._token_modules import padded_length
from ._tokens import BiLSTMAttention, TextCNN, WordEmbedding

__all__ = [
    "BagEncoder",
    "BiLSTMAttention",
    "ENCODERS",
    "Encoder",
    "TextCNN",
    "Training",
    "WordEmbedding",
    "build_network",
]
