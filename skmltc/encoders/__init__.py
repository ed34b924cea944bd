"""Encoders: from a batch of documents to one vector per document."""

from ._encoder import Training
from ._features import BagEncoder, FeatureLinear
from ._heads import ScaledLinear, build_network, initialise_biases, split_head
from ._registry import ENCODERS
from ._token_modules import padded_length
from ._tokens import BiLSTMAttention, TextCNN, WordEmbedding

__all__ = [
    "BagEncoder",
    "BiLSTMAttention",
    "ENCODERS",
    "TextCNN",
    "Training",
    "WordEmbedding",
    "build_network",
]
