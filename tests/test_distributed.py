import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmltc.distributed import Processes, check_same, current_processes, data_parallel, of_first

FILE = Path(__file__).parent / "distributed_worker.py"
spec = importlib.util.spec_from_file_location("distributed_worker", FILE)
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
LAUNCHER = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--redirects", "3"]
LOST = "RuntimeError: Another process of this training has failed, was stopped, or did not answer"


def found_by(arguments, folder):
    """What processes have written to a folder, by the names of the files."""
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    paths = [str(FILE.parents[1]), environ.get("PYTHONPATH", "")]
    environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, *arguments, str(FILE), str(folder)]
    subprocess.run(command, env=environ, check=True, timeout=300)
    return {path.stem: pickle.loads(path.read_bytes()) for path in folder.glob("*.pkl")}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What two processes of a launcher have fitted."""
    folder = tmp_path_factory.mktemp("fitted")
    logs = ["--log-dir", str(folder / "logs")]
    found = found_by(["-m", *LAUNCHER, *logs], folder)
    printed = [next(folder.glob(f"logs/*/*/{rank}/stdout.log")).read_text() for rank in (0, 1)]
    return {"printed": printed, "fitted": [found["0"], found["1"]]}


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """What two processes raised, and after how many seconds, where one of them broke down."""
    return found_by([], tmp_path_factory.mktemp("broken"))


@pytest.fixture(scope="module")
def alone():
    """Fit in this process, once."""
    known = {}

    def fitted(name):
        if name not in known:
            known[name] = worker.fitted(name)
        return known[name]

    return fitted


def test_alone_nothing_is_shared():
    with data_parallel() as processes:
        assert processes == current_processes() == Processes(0, 1)
        assert of_first("one's own") == "one's own"
        check_same("X", 3)


def test_an_error_leaves_the_block_as_it_is():
    with pytest.raises(OSError, match="of one's own"), data_parallel():
        raise OSError("of one's own")
    assert current_processes() == Processes()


@pytest.mark.slow
class TestTwoProcesses:
    def test_they_are_numbered_and_the_first_one_shows_progress(self, both):
        assert [one["processes"] for one in both["fitted"]] == [(0, 2), (1, 2)]
        first, second = both["printed"]
        assert "Training" in first
        assert second == ""

    @pytest.mark.parametrize("name", worker.MODELS)
    def test_they_train_what_one_process_does(self, name, both, alone):
        found, expected = both["fitted"][0][name], alone(name)
        assert found["losses"].keys() == expected["losses"].keys()
        for loss, values in expected["losses"].items():
            assert len(found["losses"][loss]) == len(values)
            assert_allclose(found["losses"][loss], values, atol=1e-6, err_msg=loss)
        assert_allclose(found["scores"], expected["scores"], atol=1e-4)
        assert_allclose(found["thresholds"], expected["thresholds"], atol=1e-4)

    @pytest.mark.parametrize("name", [*worker.MODELS, "unseeded", "again"])
    def test_they_have_the_same_model_in_the_end(self, name, both):
        first, second = (one[name] for one in both["fitted"])
        assert first["losses"] == second["losses"]
        assert first["parameters"].keys() == second["parameters"].keys()
        for parameter, values in first["parameters"].items():
            np.testing.assert_array_equal(values, second["parameters"][parameter])
        for what in ("scores", "thresholds", "predicted"):
            np.testing.assert_array_equal(first[what], second[what])

    @pytest.mark.parametrize("name", ["stopping", "stopping by micro-F1"])
    def test_early_stopping_ends_before_the_last_epoch(self, name, both):
        assert 2 < len(both["fitted"][0][name]["losses"]["train_loss"]) < 40

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_outside_of_the_block_each_trains_its_own(self, when, both):
        first, second = (one[when] for one in both["fitted"])
        assert np.abs(first["scores"] - second["scores"]).max() > 0.1

    def test_a_second_block_does_the_same(self, both):
        first = both["fitted"][0]
        assert first["again"]["losses"] == first["features"]["losses"]


@pytest.mark.slow
def test_a_group_that_is_there_is_used_in_the_block_alone_and_stays(broken):
    first, second = (broken[f"in_a_group_of_ones_own-{rank}"] for rank in (0, 1))
    assert np.abs(first[0] - second[0]).max() > 0.1
    np.testing.assert_array_equal(first[1], second[1])
    assert (first[2], second[2]) == (Processes(0, 2), Processes(1, 2))
    assert first[3] and second[3]


@pytest.mark.slow
class TestOneOfTwoBreaksDown:
    @pytest.mark.parametrize("act", ["fail", "interrupt", "die"])
    def test_the_other_notices_at_once(self, act, broken):
        message, seconds = broken[f"{act}-0"]
        assert message.startswith(LOST)
        assert seconds < 60  # of the 100 that it would wait

    def test_the_other_waits_no_longer_than_it_was_told(self, broken):
        message, seconds = broken["sleep-0"]
        assert message.startswith(LOST)
        assert 4 <= seconds < 55  # of the 60 that it would have to

    def test_it_raises_its_own_error(self, broken):
        assert broken["fail-1"][0] == "OSError: the disk is full"
        message = "KeyboardInterrupt: Training was interrupted in epoch 2 of 4. The estimator is as"
        assert broken["interrupt-1"][0].startswith(message)

    @pytest.mark.parametrize("rank", [0, 1])
    def test_both_say_that_their_documents_differ(self, rank, broken):
        message = "ValueError: The number of training documents must be the same in all processes."
        assert broken[f"lose-{rank}"][0].startswith(f"{message} Got 131, 130 instead.")
