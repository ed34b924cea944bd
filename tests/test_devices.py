"""Devices: what "auto" is, and what is refused before anything is computed."""

import numpy as np
import pytest
import torch

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
    assert device_of("auto") == expected and device_of("cuda:1") == "cuda:1"
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


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_gpu_that_is_not_there_is_refused_by_fit(model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rng = np.random.RandomState(0)
    X, Y = rng.rand(12, 3), (rng.rand(12, 2) < 0.5).astype(int)
    with pytest.raises(ValueError, match="device must be one that torch sees here, such as 'cpu'"):
        model.fit(X, Y)
