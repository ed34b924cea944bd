"""Encoders: from a batch of documents to one vector per document."""

from ._encoder import Encoder, UnitEncoder
from ._features import BagEncoder, FeatureLinear
from ._heads import (
    ScaledLinear,
    build_network,
    head_of,
    parameter_parts,
    parts_of,
    split_head,
    start_head,
)
from ._precision import check_precision, training_precision
from ._pretrained import TransformerEncoder
from ._registry import ENCODERS
from ._token_modules import padded_length
from ._tokens import BiLSTMAttention, TextCNN, WordEmbedding
from ._training import LR_PARTS, Training

__all__ = [
    "BagEncoder",
    "BiLSTMAttention",
    "ENCODERS",
    "Encoder",
    "TextCNN",
    "Training",
    "TransformerEncoder",
    "WordEmbedding",
    "build_network",
]
