"""The precision of products: what "auto" is, and what stays in float32."""

import pytest
import torch
from torch import nn

from skmltc import BalancedLossClassifier
from skmltc._networks import training as training_module
from skmltc.encoders import BiLSTMAttention, TextCNN, Training, training_precision
from skmltc.encoders import _precision as precision_module
from skmltc.encoders._precision import check_precision, halves, multiplying
from skmltc.text import TokenSequenceVectorizer

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("capability, expected", [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_auto_is_bfloat16_on_a_gpu_that_multiplies_in_it(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert halves("auto", GPU) == expected and not halves("auto", CPU)


@pytest.mark.parametrize("device", [CPU, GPU])
def test_a_precision_that_is_named_holds_on_every_device(device):
    assert halves("bfloat16", device) and not halves("float32", device)


def product_in(module):
    ones = torch.ones(2, 2)
    with multiplying(module, ones):
        return (ones @ ones).dtype


def test_a_block_has_its_precision_and_leaves_that_before_it():
    module = nn.Linear(2, 2)
    assert product_in(module) == torch.float32
    with training_precision("bfloat16"):
        assert product_in(module) == torch.bfloat16
        with training_precision("float32"):
            assert product_in(module) == torch.float32
        assert product_in(module) == torch.bfloat16
    with pytest.raises(KeyError), training_precision("bfloat16"):
        raise KeyError
    assert product_in(module) == torch.float32


def test_in_evaluation_mode_products_are_in_float32():
    with training_precision("bfloat16"):
        assert product_in(nn.Linear(2, 2).eval()) == torch.float32


SPECS = [
    TextCNN(filter_sizes=(2,), n_filters=8, embedding_dim=16, hidden_dim=8, dropout=0.0),
    BiLSTMAttention(hidden_dim=16, output_dim=8, embedding_dim=16, dropout=0.0),
]


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_vectors_and_gradients_are_near_to_those_of_float32_and_are_float32(
    spec, skip_without_halves
):
    skip_without_halves(spec)
    torch.manual_seed(0)
    module = spec.set_params(embedding_dropout=0.0).build(30).train()
    words = torch.randint(1, 30, (8, 12))
    found, slope = {}, torch.randn(8, 8)
    for precision in ("float32", "bfloat16"):
        module.zero_grad()
        with training_precision(precision):
            vectors = module(words)
        (vectors * slope).sum().backward()
        found[precision] = [vectors, *(p.grad for p in module.parameters())]
    for exact, near in zip(found["float32"], found["bfloat16"], strict=True):
        assert near.dtype == torch.float32
        assert 0 < (near - exact).norm() < 0.03 * exact.norm()


def test_devices_are_asked_for_what_they_can_only_where_that_decides(monkeypatch):
    def fail(device):
        raise AssertionError

    monkeypatch.setattr(precision_module, "_multiplies_halves", fail)
    assert not halves("float32", GPU) and not halves("auto", CPU)


@pytest.mark.parametrize("device", [CPU, "cpu"])
def test_recurrent_layers_are_refused_where_the_cpu_has_no_halves(monkeypatch, device):
    def fail(self, *args):
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(nn.LSTM, "forward", fail)
    plain, recurrent = nn.Linear(2, 2), nn.Sequential(nn.Identity(), nn.GRU(2, 2))
    drawn = torch.get_rng_state()
    expected = r"precision must be 'auto' or 'float32' for recurrent layers on this CPU\. Got 'bfl"
    with pytest.raises(ValueError, match=expected):
        check_precision(recurrent, "bfloat16", device)
    check_precision(recurrent, "bfloat16", GPU), check_precision(recurrent, "auto", device)
    check_precision(plain, "bfloat16", device)
    monkeypatch.undo()
    assert torch.equal(torch.get_rng_state(), drawn)


def test_an_estimator_refuses_it(monkeypatch, documents):
    def refuse(network, precision, device):
        raise ValueError((precision, str(device)))

    monkeypatch.setattr(training_module, "check_precision", refuse)
    tokens = TokenSequenceVectorizer(max_length=8).fit_transform(documents.texts)
    how = {"encoder": SPECS[1], "training": Training(precision="bfloat16"), "device": "cpu"}
    with pytest.raises(ValueError, match=r"\('bfloat16', 'cpu'\)"):
        BalancedLossClassifier(**how).fit(tokens, documents.Y)
