"""What all encoders say of themselves, and an encoder of one's own."""

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone

from skmltc.encoders import (
    ENCODERS,
    BagEncoder,
    BiLSTMAttention,
    Encoder,
    TextCNN,
    Training,
    WordEmbedding,
)

EVERY_ENCODER = pytest.mark.parametrize("spec", ENCODERS.values(), ids=ENCODERS)


class Own(Encoder):
    """The least that an encoder needs."""

    def __init__(self, dim=3):
        self.dim = dim

    def build(self, n_inputs, X=None):
        module = torch.nn.Linear(n_inputs, self.dim)
        module.output_dim = self.dim
        return module


@EVERY_ENCODER
def test_every_encoder_is_one(spec):
    encoder = spec()
    assert isinstance(encoder, Encoder) and isinstance(encoder, BaseEstimator)
    assert encoder.kind in ("features", "tokens") and isinstance(encoder.training, Training)
    assert encoder.is_linear in (True, False)
    assert encoder.head_scale is None or encoder.head_scale > 0


def test_what_the_encoders_say_of_themselves():
    said = {
        name: (encoder.kind, encoder.is_linear, encoder.head_scale)
        for name, encoder in ((name, spec()) for name, spec in ENCODERS.items())
    }
    assert said == {
        "bag": ("features", True, None),
        "cnn": ("tokens", False, None),
        "bilstm": ("tokens", False, 10.0),
        "embedding": ("tokens", False, None),
    }
    assert not BagEncoder(hidden_dims=(2,)).is_linear
    assert BiLSTMAttention(scale_init=4.0).head_scale == 4.0
    assert BiLSTMAttention(normalize=False).head_scale is None


def test_the_settings_of_training_that_suit_the_encoders():
    settings = [
        (spec().training.lr, spec().training.weight_decay, spec().training.max_epochs)
        for spec in (BagEncoder, TextCNN, BiLSTMAttention, WordEmbedding)
    ]
    assert settings == [(0.01, 0.3, 6), (1e-3, 0.01, 10), (2e-3, 0.01, 6), (2e-3, 0.01, 10)]
    for spec in ENCODERS.values():  # the rate falls to 0, so nothing has to stop them
        assert spec().training.schedule == "linear" and spec().training.early_stopping == "auto"
    factors = [spec().training.lr_factors for spec in ENCODERS.values()]
    assert factors == [None, None, {"projection": 2.5, "head": 2.5, "head_scale": 2.5}, None]
    for spec in ENCODERS.values():
        spec().training.check()


def test_a_recommendation_that_clone_would_lose_is_refused():
    for encoder in (Own(), BiLSTMAttention()):
        with pytest.raises(AttributeError, match="to the estimator, as training=Training"):
            encoder.training = Training(lr=1.0)


def test_an_encoder_may_have_a_recommendation_as_its_parameter():
    class WithTraining(Own):
        def __init__(self, dim=3, training=None):
            super().__init__(dim)
            self.training = training

    encoder = clone(WithTraining(training=Training(lr=1.0)))
    assert encoder.training.lr == 1.0 and encoder.set_params(training__lr=2.0).training.lr == 2.0


def test_an_encoder_of_ones_own_has_defaults_for_all_but_build():
    encoder = Own(dim=2)
    assert (encoder.kind, encoder.is_linear, encoder.head_scale) == ("features", False, None)
    assert encoder.training.get_params() == Training().get_params()
    assert encoder.get_params() == {"dim": 2}
    assert clone(encoder).set_params(dim=5).build(4).weight.shape == (5, 4)
    assert repr(encoder) == "Own(dim=2)"


def test_the_table_of_word_vectors_has_a_row_for_each_id_and_at_least_two():
    assert [Own().n_embeddings(largest) for largest in (0, 1, 2, 9)] == [2, 2, 3, 10]


def test_an_encoder_without_build_is_told_of_it():
    class Unfinished(Encoder):
        pass

    with pytest.raises(NotImplementedError, match="Unfinished must have a method build"):
        Unfinished().build(3)


@EVERY_ENCODER
def test_the_module_says_how_long_its_vectors_are(spec):
    encoder = spec()
    module = encoder.build(7).eval()
    batch = torch.rand(4, 7) if encoder.kind == "features" else torch.randint(1, 7, (4, 5))
    assert module(batch).shape == (4, module.output_dim)
    if encoder.kind == "tokens":
        states, mask = module.encode_tokens(batch)
        assert states.shape[2] == module.token_dim and mask.dtype == torch.bool
        np.testing.assert_array_equal(mask.sum(1), [5] * 4)
