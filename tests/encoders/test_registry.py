"""Encoders by name: the names that users type, and what they stand for."""

from sklearn.base import clone

from skmltc.encoders import (
    ENCODERS,
    BagEncoder,
    BiLSTMAttention,
    Encoder,
    TextCNN,
    WordEmbedding,
)


def test_names_stand_for_their_encoders():
    assert ENCODERS == {
        "bag": BagEncoder,
        "cnn": TextCNN,
        "bilstm": BiLSTMAttention,
        "embedding": WordEmbedding,
    }


def test_every_name_makes_an_encoder_that_can_be_cloned():
    for encoder in ENCODERS.values():
        assert isinstance(clone(encoder()), Encoder)
