"""What is said of trainings, and the time that they leave."""

import pytest

from skmltc import _progress
from skmltc._progress import announced, announced_parts, in_words, names_of


def said_of(trainings, durations, capsys, monkeypatch, **further):
    """Lines that are printed where each training takes so long."""
    clock = [0.0]
    monkeypatch.setattr(_progress, "perf_counter", lambda: clock[0])
    for k in announced(trainings, further.pop("verbose", 1), **further):
        clock[0] += durations[k]
    return capsys.readouterr().out.splitlines()


def test_the_time_left_is_that_of_the_last_of_each_kind(capsys, monkeypatch):
    trainings = [(kind, f"{kind} {k}") for k in range(3) for kind in "ab"]
    durations = [10, 2, 7, 3, 5, 4]
    assert said_of(trainings, durations, capsys, monkeypatch) == [
        "a 0",
        "b 0",
        "a 1, about 24 s left",  # 10 + 2 + 10 + 2
        "b 1, about 11 s left",  # 2 + 7 + 2
        "a 2, about 10 s left",  # 7 + 3
        "b 2, about 3 s left",
    ]


def test_what_is_known_before_counts_from_the_first_on(capsys, monkeypatch):
    trainings = [("", "one"), ("", "two")]
    said = said_of(trainings, [30, 0], capsys, monkeypatch, seconds={"": 5})
    assert said == ["one, about 10 s left", "two, about 30 s left"]


def test_nothing_is_said_unless_it_is_wanted(capsys, monkeypatch):
    assert said_of([("", "one")], [1], capsys, monkeypatch, verbose=0) == []


def test_a_part_alone_is_not_counted(capsys):
    assert names_of(2) == ["part 1 of 2", "part 2 of 2"]
    assert list(announced_parts(["held"], 1, 5)) == ["held"]
    said = "Training once more, without the part that is held out, about 5 s left\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    "seconds, said",
    [(0, "1 s"), (99.4, "99 s"), (100, "2 min"), (5000, "83 min"), (9000, "2.5 h")],
)
def test_a_time_has_the_unit_that_suits_it(seconds, said):
    assert in_words(seconds) == said
