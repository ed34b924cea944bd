"""Encoders by name."""

from ._features import BagEncoder
from ._tokens import BiLSTMAttention, TextCNN, WordEmbedding

ENCODERS = {
    "bag": BagEncoder,
    "cnn": TextCNN,
    "bilstm": BiLSTMAttention,
    "embedding": WordEmbedding,
}
