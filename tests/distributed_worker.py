"""What the tests of `skmltc.distributed` do, in one process or in each of several.

``torchrun --nproc-per-node 2 distributed_worker.py FOLDER`` fits models, and without a launcher the
same file starts two processes for each way to break down. What they found is in the folder.
"""

import multiprocessing
import os
import pickle
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import distributed

from skmltc import (
    BalancedLossClassifier,
    HeadToTailClassifier,
    HybridSiameseClassifier,
    LongTailClassifier,
    TReaderXMLClassifier,
)
from skmltc.datasets import make_long_tailed_corpus
from skmltc.distributed import data_parallel
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN
from skmltc.text import TokenSequenceVectorizer

N_SAMPLES, BATCH_SIZE = 131, 26  # the last batch is one document
BAG = BagEncoder(hidden_dims=(16,), activation="relu", dropout=0.0)
DROPPING = BagEncoder(hidden_dims=(16,), dropout=0.5)
CNN = TextCNN(
    filter_sizes=(2, 3), n_filters=8, embedding_dim=8, hidden_dim=8, embedding_dropout=0, dropout=0
)
LSTM = BiLSTMAttention(hidden_dim=8, output_dim=8, embedding_dim=8, embedding_dropout=0)
SHARED = {"batch_size": BATCH_SIZE, "max_epochs": 4, "lr": 0.01, "random_state": 0}
ALL = SHARED | {"early_stopping": False}
STOPPING = SHARED | {"early_stopping": True, "max_epochs": 40, "patience": 2, "lr": 0.1}
MODELS = {
    "features": BalancedLossClassifier(encoder=BAG, **ALL),
    "clipped": BalancedLossClassifier(
        encoder=BAG, training=clone(BAG.training).set_params(clip=0.01), **ALL
    ),
    "cnn": BalancedLossClassifier(encoder=CNN, **ALL),
    "lstm": BalancedLossClassifier(encoder=LSTM, **ALL),
    "stopping": BalancedLossClassifier(encoder=BAG, **STOPPING),
    "stopping by micro-F1": BalancedLossClassifier(
        encoder=BAG, training=clone(BAG.training).set_params(monitor="micro_f1"), **STOPPING
    ),
    "head to tail": HeadToTailClassifier(encoder=BAG, min_head_count=10, **ALL),
    "hybrid": HybridSiameseClassifier(encoder=BAG, n_triplets=100, **ALL),
    "hybrid of independent triplets": HybridSiameseClassifier(
        encoder=BAG, n_triplets=100, triplets_per_document=None, **ALL
    ),
    "reader": TReaderXMLClassifier(encoder=BAG, n_neighbors=5, **ALL),
    "members": LongTailClassifier(
        [("network", BalancedLossClassifier(encoder=BAG, **ALL))], random_state=0
    ),
}


def documents(name):
    """Features or tokens, and labels."""
    corpus = make_long_tailed_corpus(N_SAMPLES, 8, n_words=20, random_state=0)
    if name in ("cnn", "lstm"):
        return TokenSequenceVectorizer(max_length=30).fit_transform(corpus.data), corpus.target
    rng = np.random.RandomState(0)
    X = corpus.target @ rng.randn(8, 20) + rng.randn(N_SAMPLES, 20) / 2
    return X.astype(np.float32), corpus.target


def fitted(name, **changes):
    """What a model is after its fit."""
    X, y = documents(name)
    model = clone(MODELS[name]).set_params(**changes).fit(X, y)
    history = getattr(model, "history_", [])
    network = getattr(model, "module_", torch.nn.Identity())
    return {
        "scores": model.decision_function(X),
        "predicted": model.predict(X).toarray(),
        "thresholds": model.threshold_,
        "losses": {
            loss: [row[loss] for row in history]
            for loss in ("train_loss", "valid_loss", "valid_micro_f1")
            if history and loss in history[0]
        },
        "parameters": {n: p.numpy() for n, p in network.state_dict().items()},
    }


def fit_all(rank):
    """Fit every model in one block, and one of them before, after and in another block."""
    found = {"before": fitted("features", random_state=rank)}
    with data_parallel() as processes:
        found |= {name: fitted(name, verbose=name == "features") for name in MODELS}
        np.random.seed(rank)
        found["unseeded"] = fitted("features", encoder=DROPPING, random_state=None)
    found["after"] = fitted("features", random_state=rank)
    with data_parallel():
        found["again"] = fitted("features")
    return found | {"processes": (processes.rank, processes.size)}


class AtBatch(Callback):
    """Do something in process 1 in the second epoch."""

    def __init__(self, act, rank):
        self.act, self.rank = act, rank

    def on_batch_end(self, net, **_):
        if len(net.history) == 2 and self.rank == 1:
            self.act()


def fail():
    """Raise an error of one's own."""
    raise OSError("the disk is full")


def interrupt():
    """Do what Ctrl-C does."""
    raise KeyboardInterrupt


def die():
    """End without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def sleep():
    """Do not answer."""
    time.sleep(60)


def lose():
    """Nothing: this process is begun with fewer documents."""


ACTS = (fail, interrupt, die, sleep, lose)


def break_down(act, rank):
    """Fit where process 1 does not go on; what is raised, and after how many seconds."""
    X, y = documents("features")
    first = rank if act is lose else 0
    model = clone(MODELS["features"]).set_params(callbacks=[AtBatch(act, rank)])
    began = time.monotonic()
    try:
        with data_parallel(timeout=4 if act is sleep else 100):
            model.fit(X[first:], y[first:])
    except (Exception, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}", time.monotonic() - began


def in_a_group_of_ones_own(rank):
    """Fit outside and inside the block where there is a group already; whether it stays."""
    distributed.init_process_group("gloo")
    outside = fitted("features", random_state=rank)
    with data_parallel() as processes:
        inside = fitted("features", random_state=rank)
    return outside["scores"], inside["scores"], processes, distributed.is_initialized()


def save(found, folder, name):
    """Keep what a process found."""
    (Path(folder) / f"{name}.pkl").write_bytes(pickle.dumps(found))


def of_process(act, rank, port, folder):
    """One of two processes, as a launcher starts it."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    found = act(rank) if act is in_a_group_of_ones_own else break_down(act, rank)
    save(found, folder, f"{act.__name__}-{rank}")


def free_port():
    """A port of the loopback that nobody uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start_pairs(folder):
    """Start two processes for each way to break down, and for a group of one's own."""
    fork, started = multiprocessing.get_context("fork"), []
    for act in (*ACTS, in_a_group_of_ones_own):
        port = free_port()
        pair = [fork.Process(target=of_process, args=(act, k, port, folder)) for k in (0, 1)]
        for process in pair:
            process.start()
        started.append(pair)
    for first, second in started:
        first.join()
        second.join(5)
        second.kill()


if __name__ == "__main__":
    if "RANK" in os.environ:
        save(fit_all(int(os.environ["RANK"])), sys.argv[1], os.environ["RANK"])
    else:
        start_pairs(sys.argv[1])
