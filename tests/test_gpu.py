"""The script for a GPU, on a CPU at a small size."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

SIZES = {"documents": 60, "labels": 6, "words": 12, "batch": 32, "rounds": 1, "width": 8}


@pytest.fixture
def gpu():
    path = Path(__file__).parent / "gpu.py"
    spec = importlib.util.spec_from_file_location("gpu_script", path)
    module = importlib.util.module_from_spec(spec)
    n_threads = torch.get_num_threads()
    spec.loader.exec_module(module)
    yield module
    torch.set_num_threads(n_threads)


def test_every_loss_is_compared(gpu):
    found = list(gpu.losses_on_both(SIZES))
    assert [one["loss"] for one in found] == list(gpu.LOSSES) and all(one["ok"] for one in found)


def test_speed_is_documents_per_second_of_each_loop(gpu):
    found = list(gpu.speed_of_networks(SIZES))
    assert [one["encoder"] for one in found] == ["cnn", "bilstm"]
    rates = [one[f"{what} docs/s"] for one in found for what in ("ours", "bare", "padded")]
    assert min(rates) > 0


@pytest.mark.parametrize("check", ["speed_of_transformer", "fine_tuned_rows"])
def test_transformers_are_measured_or_skipped_with_a_reason(gpu, check, monkeypatch):
    monkeypatch.delenv("SKMLTC_ENCODER", raising=False)
    found = list(gpu.results(getattr(gpu, check), SIZES))
    assert found[0]["ok"] and ("skipped" in found[0]) != hasattr(gpu.encoders, "TransformerEncoder")
    assert found[-1]["of"] == check


def test_a_failed_check_is_a_result_and_the_others_go_on(gpu, monkeypatch, capsys):
    def broken(sizes):
        raise RuntimeError("no memory")
        yield

    def whole(sizes):
        yield {"what": "x", "ok": True}

    monkeypatch.setattr(gpu, "CHECKS", (broken, whole))
    assert gpu.main(["--small"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["what"] for line in lines] == ["machine", "broken", "seconds", "x", "seconds"]
