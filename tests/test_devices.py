"""Devices: what "auto" is, and what is refused before anything is computed."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone

from skmltc import (
    BalancedLossClassifier,
    HybridSiameseClassifier,
    LongTailClassifier,
    TReaderXMLClassifier,
)
from skmltc._devices import check_device, device_of
from skmltc.neighbors import CosineNeighbors, MultilabelKNeighborsClassifier


@pytest.mark.parametrize("is_there, expected", [(True, "cuda"), (False, "cpu")])
def test_auto_is_a_gpu_when_there_is_one(monkeypatch, is_there, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 if is_there else 0)
    assert device_of("auto") == expected and device_of("cpu") == "cpu"
    assert not is_there or device_of("cuda:1") == "cuda:1"
    check_device("auto"), check_device("cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", ""])
def test_what_torch_does_not_know_is_refused(device):
    with pytest.raises(ValueError, match="device must be 'auto' or a device of torch, say 'cuda'"):
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
