"""The script for a GPU, on a CPU at a small size."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

SIZES = {"documents": 60, "labels": 6, "words": 12, "batch": 32, "rounds": 1, "width": 8}
SIZES |= {"product": 32, "triplets": 60}


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


def test_documents_are_placed_and_sent_in_turn_and_then_all_is_as_before(gpu, monkeypatch):
    shares, fit = [], gpu.speed.fit_ours
    monkeypatch.setattr(
        gpu.speed, "fit_ours", lambda *args: shares.append(gpu.placing.SHARE_OF_FREE) or fit(*args)
    )
    before = gpu.placing.SHARE_OF_FREE
    (row,) = gpu.speed_of_placing(SIZES)
    assert shares == [before] * 2 + [0.0] * 2 and gpu.placing.SHARE_OF_FREE == before
    assert min(row["placed docs/s"], row["sent docs/s"]) > 0


def test_the_busiest_operation_has_a_share_of_the_peak(gpu):
    found = list(gpu.shares_of_peak(SIZES))
    assert [one["encoder"] for one in found] == ["cnn", "bilstm"]
    for one in found:
        assert 0 < one["its share of time"] <= one["share of time"] <= 1
        assert one["share of peak"] == pytest.approx(one["TFLOP/s"] / one["product TFLOP/s"])
        assert one["busiest that multiplies"] in ("convolution", "recurrent", "addmm", "mm", "bmm")


def test_operations_are_counted_as_they_are_by_hand(gpu):
    linear, lstm = torch.nn.Linear(5, 7), torch.nn.LSTM(5, 3, batch_first=True)
    found = gpu.operations_of(lambda: (linear(torch.ones(4, 5)), lstm(torch.ones(2, 6, 5))))
    assert found["addmm"] == 2 * 4 * 5 * 7
    assert found["recurrent"] == 3 * 2 * (2 * 6) * (4 * 3 * 5 + 4 * 3 * 3)
    assert gpu.operations_of(lambda: None) == {"recurrent": 0}


def test_estimators_are_fitted_and_asked_until_there_is_no_time_left(gpu, monkeypatch):
    few = [gpu.models(SIZES)[place] for place in (0, 3, 0)]
    monkeypatch.setattr(gpu, "models", lambda sizes: few)
    rows = []
    for row in gpu.estimators(SIZES):
        rows.append(row)
        if len(rows) == 2:
            monkeypatch.setattr(gpu, "LAST_START", -1)
    assert [row["input"] for row in rows] == ["features", "tokens", "features"]
    assert all(row["ok"] for row in rows)
    assert all(row["fit s"] > 0 and row["predict docs/s"] > 0 for row in rows[:2])
    assert rows[2]["skipped"] == "there is no time left" and "fit s" not in rows[2]


def test_every_estimator_is_measured(gpu):
    measured = {type(model).__name__ for _, model in gpu.models(SIZES)}
    assert measured >= set(gpu.skmltc.__all__) - {"__version__"}


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
