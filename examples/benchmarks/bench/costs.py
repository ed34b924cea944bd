"""What a fit costs at some size: CPU seconds of its parts, and the memory that it takes at most."""

import gc
import io
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import wraps
from unittest.mock import patch

import joblib
import numpy as np

from skmltc import BalancedLossClassifier
from skmltc.neighbors import CosineNeighbors

from .memory import MB, forget_peak, peak, resident

PARTS = {
    "linear": (BalancedLossClassifier, "fit"),
    "neighbors": (CosineNeighbors, "kneighbors"),
}


def of_size(task, documents, labels, chosen):
    """A task with some of its training documents and labels; the words stay those of all.

    Parameters
    ----------
    task : Task
    documents : int
        The first ones of a random order, so that smaller tasks are parts of larger ones.
    labels : int
    chosen : {"most frequent", "evenly spaced"}
        Which labels: of the order by frequency in all documents the first, or one in every so
        many.
    """
    rows = np.sort(np.random.RandomState(0).permutation(task.Y_train.shape[0])[:documents])
    order = np.argsort(-task.label_counts, kind="stable")
    n_labels = min(labels, len(order))
    spaced = np.linspace(0, len(order) - 1, n_labels).round().astype(int)
    columns = np.sort(order[spaced] if chosen == "evenly spaced" else order[:n_labels])
    return replace(
        task,
        X_train=task.X_train[rows],
        Y_train=task.Y_train[rows][:, columns],
        Y_test=task.Y_test[:, columns],
    )


def costs_of(task, model):
    """Fit a model and predict, and say what both cost.

    Returns
    -------
    predicted : csr_array of shape (n_samples, n_labels)
    costs : dict
        "fit CPU s" and "predict CPU s", each with a part that is named after them, as in "fit
        neighbors CPU s"; "before MB", "fit MB" and "predict MB", the memory of the process before
        a fit and the most of it in both; "model MB" as joblib stores it; and sizes.
    """
    costs = {"before MB": resident()}
    costs |= cost_of("fit", lambda: model.fit(task.X_train, task.Y_train))[1]
    predicted, predict = cost_of("predict", lambda: model.predict(task.X_test))
    stored = io.BytesIO()
    joblib.dump(model, stored)
    nnz = {"nonzeros of X": task.X_train.nnz, "nonzeros of Y": task.Y_train.nnz}
    sizes = {"features": task.X_train.shape[1], **{name: int(n) for name, n in nnz.items()}}
    return predicted, costs | predict | {"model MB": stored.tell() / MB} | sizes


def cost_of(what, function):
    """What a function returns, and its CPU seconds, those of its parts, and its peak memory."""
    gc.collect()
    forget_peak()
    with seconds_of_parts() as parts:
        cpu, wall = time.process_time(), time.perf_counter()
        result = function()
        seconds = {"CPU s": time.process_time() - cpu, "wall s": time.perf_counter() - wall}
    seconds |= {f"{name} CPU s": value for name, value in parts.items()}
    costs = {f"{what} {name}": round(value, 4) for name, value in seconds.items()}
    return result, costs | {f"{what} MB": peak()}


@contextmanager
def seconds_of_parts():
    """Count the CPU seconds in which each part runs, of whatever object."""
    seconds = dict.fromkeys(PARTS, 0.0)
    with ExitStack() as stack:
        for name, (cls, method) in PARTS.items():
            clocked = _clocked(getattr(cls, method), seconds, name)
            stack.enter_context(patch.object(cls, method, clocked))
        yield seconds


def _clocked(method, seconds, name):
    @wraps(method)
    def run(*args, **kwargs):
        start = time.process_time()
        try:
            return method(*args, **kwargs)
        finally:
            seconds[name] += time.process_time() - start

    return run
