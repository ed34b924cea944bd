"""What the benchmarks of estimators with networks share: data, trained networks, kept rows."""

import json
import time

import features

from skmltc.text import TokenSequenceVectorizer

ENCODERS = ("bag", "cnn", "bilstm")


def load(folder, encoder, **bounds):
    """A task of features.py, as the encoder reads it: TF-IDF, or 128 tokens per text."""
    reader = None if encoder == "bag" else TokenSequenceVectorizer(max_length=128)
    return features.load(folder, reader, **bounds)


class TrainedOnce:
    """Trainings by what decides them, so that rows which share one do not repeat it."""

    def __init__(self):
        self.known = {}

    def __call__(self, key, train):
        """Return what was trained, the seconds that it took, and those of them saved now."""
        shared = key in self.known
        if not shared:
            start = time.perf_counter()
            self.known[key] = train(), time.perf_counter() - start
        trained, seconds = self.known[key]
        return trained, seconds, seconds * shared


def read(path):
    """Rows of a file of JSON lines; none where there is no file yet."""
    lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
    return [json.loads(line) for line in lines]


def append(path, rows):
    """Add rows to the file, if there is to be one."""
    if path:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
