"""What the benchmarks of estimators with networks share: data, trained networks, kept rows."""

import json
import time

import features
import torch

from skmltc.text import TokenSequenceVectorizer

ENCODERS = ("bag", "cnn", "bilstm")


def load(folder, encoder, **bounds):
    """A task of features.py, as the encoder reads it: TF-IDF, or 128 tokens per text."""
    reader = None if encoder == "bag" else TokenSequenceVectorizer(max_length=128)
    return features.load(folder, reader, **bounds)


class TrainedOnce:
    """Networks by what decides them, so that rows which share one do not train it again."""

    def __init__(self):
        self.known = {}

    def __call__(self, key, train):
        """Return the network, the seconds that it took, and those of them that were saved now.

        Torch's generator is left as the training leaves it.
        """
        shared = key in self.known
        if not shared:
            start = time.perf_counter()
            net = train()
            self.known[key] = net, time.perf_counter() - start, torch.get_rng_state()
        net, seconds, state = self.known[key]
        torch.set_rng_state(state)
        return net, seconds, seconds * shared


def read(path):
    """Rows of a file of JSON lines; none where there is no file yet."""
    lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
    return [json.loads(line) for line in lines]


def append(path, rows):
    """Add rows to the file, if there is to be one."""
    if path:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
