"""Devices: what "auto" is, and what is refused before anything is computed."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skmltc import (
    BalancedLossClassifier,
    HeadToTailClassifier,
    HybridSiameseClassifier,
    LongTailClassifier,
    TReaderXMLClassifier,
)
from skmltc._devices import check_device, device_of
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN, TransformerEncoder
from skmltc.neighbors import CosineNeighbors, MultilabelKNeighborsClassifier
from skmltc.text import PretrainedTokenizer, TokenSequenceVectorizer


@pytest.mark.parametrize("is_there, expected", [(True, "cuda"), (False, "cpu")])
def test_auto_is_a_gpu_when_there_is_one(monkeypatch, is_there, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 if is_there else 0)
    assert device_of("auto") == expected and device_of("cpu") == "cpu"
    assert not is_there or device_of("cuda:1") == "cuda:1"
    check_device("auto"), check_device("cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", None])
@pytest.mark.parametrize("ask", [check_device, device_of])
def test_what_torch_does_not_know_is_refused(device, ask):
    with pytest.raises(ValueError, match="device must be 'auto' or a device of torch, say 'cuda'"):
        ask(device)


@pytest.mark.parametrize("device", ["meta", "xpu", "vulkan", "hpu"])
def test_where_torch_does_not_compute_is_refused(device):
    with pytest.raises(ValueError, match="one that torch sees here, such as 'cpu'"):
        check_device(device)


MODELS = [
    BalancedLossClassifier(device="cuda"),
    HybridSiameseClassifier(device="cuda"),
    TReaderXMLClassifier(device="cuda"),
    LongTailClassifier(device="cuda"),
    MultilabelKNeighborsClassifier(neighbors=CosineNeighbors(device="cuda")),
    CosineNeighbors(device="cuda"),
]


TRAINED = {
    "linear": (BalancedLossClassifier(random_state=0), "predict_proba"),
    "network": (HybridSiameseClassifier(max_epochs=1, random_state=0), "predict_proba"),
    "neighbors": (CosineNeighbors(), "kneighbors"),
}


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_what_was_trained_on_a_gpu_is_asked_on_a_cpu_with_a_warning(
    kind, device, documents, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    model, method = TRAINED[kind]
    fitted = clone(model).fit(documents.X, documents.Y)
    expected = getattr(fitted, method)(documents.X)
    fitted.set_params(device=device)
    with pytest.warns(UserWarning, match=f"torch sees no device '{device}' here, so the CPU") as w:
        assert_array_equal(getattr(fitted, method)(documents.X), expected)
    assert w[0].filename == __file__


CNN = TextCNN(filter_sizes=(1, 2), n_filters=6, embedding_dim=6, hidden_dim=6)
LSTM = BiLSTMAttention(hidden_dim=6, output_dim=6, embedding_dim=6)
SHORT = {"max_epochs": 2, "random_state": 0}
LIVES = {
    "linear": BalancedLossClassifier(random_state=0),
    "bag": BalancedLossClassifier(encoder=BagEncoder(hidden_dims=(8,)), **SHORT),
    "neighbors": MultilabelKNeighborsClassifier(neighbors=CosineNeighbors()),
    "stack": LongTailClassifier(random_state=0),
    "similarity": HybridSiameseClassifier(n_triplets=100, **SHORT),
    "transfer": HeadToTailClassifier(**SHORT),
    "teacher": TReaderXMLClassifier(**SHORT),
    "cnn": BalancedLossClassifier(encoder=CNN, **SHORT),
    "lstm": BalancedLossClassifier(encoder=LSTM, **SHORT),
    "similarity of tokens": HybridSiameseClassifier(encoder=CNN, n_triplets=100, **SHORT),
    "transfer of tokens": HeadToTailClassifier(encoder=LSTM, **SHORT),
    "transfer, tuned": HeadToTailClassifier(encoder=LSTM, fine_tune="paper", **SHORT),
    "teacher of tokens": TReaderXMLClassifier(encoder=CNN, **SHORT),
    "transformer": BalancedLossClassifier(encoder="transformer", batch_size=16, **SHORT),
    "frozen transformer": BalancedLossClassifier(encoder="frozen", random_state=0),
    "similarity of word pieces": HybridSiameseClassifier(
        encoder="transformer", n_triplets=100, batch_size=16, **SHORT
    ),
    "transfer of word pieces": HeadToTailClassifier(encoder="transformer", **SHORT),
    "teacher of word pieces": TReaderXMLClassifier(encoder="transformer", **SHORT),
}


def read_by(model, documents, transformer):
    """The model, with a transformer where it wants one, and the documents as it reads them."""
    encoder = getattr(model, "encoder", None)
    if encoder in ("transformer", "frozen"):
        spec = TransformerEncoder(transformer, trainable=encoder == "transformer")
        reader = PretrainedTokenizer(transformer, max_length=20)
        return clone(model).set_params(encoder=spec), reader.fit_transform(documents.texts)
    if isinstance(encoder, TextCNN | BiLSTMAttention):
        reader = TokenSequenceVectorizer(max_length=20)
        return clone(model), reader.fit_transform(documents.texts)
    return clone(model), documents.X


@pytest.mark.parametrize("name", LIVES)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_all_that_a_model_does_on_a_device(name, device, documents, transformer):
    """Fit, ask, store, load, ask on the CPU, and add labels."""
    model, X = read_by(LIVES[name], documents, transformer)
    on_it = {one: device for one in model.get_params() if one.split("__")[-1] == "device"}
    fitted = model.set_params(**on_it).fit(X, documents.Y[:, :10])
    logits = fitted.decision_function(X)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_allclose(loaded.decision_function(X), logits, atol=1e-4)
    moved = pickle.loads(pickle.dumps(fitted)).set_params(**dict.fromkeys(on_it, "cpu"))
    assert_allclose(moved.decision_function(X), logits, atol=2e-3)
    trained = isinstance(model, BalancedLossClassifier) and not hasattr(model, "weight_decay_")
    if hasattr(loaded, "add_labels") and not trained:
        loaded.add_labels(X, documents.Y[:, 10:])
        grown = loaded.decision_function(X)
        assert np.isfinite(grown).all() and grown.shape[1] == 12
        if not isinstance(model, LongTailClassifier):  # there labels compete
            assert_allclose(grown[:, :10], logits, atol=1e-4)


def test_a_gpu_beyond_those_that_are_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_device("cuda:1")
    with pytest.raises(ValueError, match="one that torch sees here.* Got 'cuda:2' instead"):
        check_device("cuda:2")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_gpu_that_is_not_there_is_refused_by_fit(model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rng = np.random.RandomState(0)
    X, Y = rng.rand(12, 3), (rng.rand(12, 2) < 0.5).astype(int)
    with pytest.raises(ValueError, match="device must be one that torch sees here, such as 'cpu'"):
        model.fit(X, Y)
