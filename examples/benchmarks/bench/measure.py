"""Fit a row once and measure it: scores, counts and CPU seconds."""

import os
import platform
import subprocess
import time
import warnings
from pathlib import Path

import numpy as np
import scipy
import sklearn
import skorch
import torch
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

import skmltc
from skmltc._devices import device_of
from skmltc.labels import inverse_propensities, label_groups
from skmltc.metrics import (
    f1_by_group,
    long_tail_report,
    ndcg_at_k,
    precision_at_k,
    psp_at_k,
)

from .costs import costs_of, of_size
from .data import hash_of_files, needs_transformer, task_of, transformer_folder
from .models import model_of
from .new_labels import withheld

GROUPS = ("total", "head", "medium", "tail")
RANKINGS = tuple(f"{name}@{k}" for name in ("P", "nDCG", "PSP") for k in (1, 3, 5))
CHOSEN = ("weight_decay_", "C_", "rule_", "n_iter_", "n_phi_")


def measure(table, row, seed, folder, quick=False, threads=1):
    """Fit and measure a row; what is kept of it."""
    torch.set_num_threads(threads)
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels without documents, of fits that are quick
        task = task_of(row, folder, quick, seed)
        model = model_of(row, seed, task, quick)
        if row.n_added:
            task, model = withheld(task, model, row.n_added)
        if row.sizes:
            task = of_size(task, **row.sizes)
        scores, costs = (_costs if row.sizes else _fit_and_score)(row, task, model)
    return {
        "table": table,
        **row.declared(),
        "seed": seed,
        **({"quick": True} if quick else {}),
        **row.marks(),
        "data": task.hash,
        **_transformer(row),
        "documents": [task.Y_train.shape[0], task.Y_test.shape[0]],
        "labels": task.Y_train.shape[1],
        "threshold": _shown(getattr(model, "threshold", None)),
        "chosen": {n.rstrip("_"): v for n in CHOSEN if (v := _number(model, n)) is not None},
        "scores": scores,
        **costs,
        **environment(threads),
        "device": _device_of(model),
    }


def _fit_and_score(row, task, model):
    fit = timed(lambda: model.fit(task.X_train, task.Y_train, **_further(task)))[1]
    predicted, predict = timed(lambda: model.predict(task.X_test))
    logits = model.decision_function(task.X_test)
    fit = np.add(fit, getattr(model, "saved_seconds_", 0.0))
    scores = scores_of(task, predicted, logits, row.groups)
    if row.calibration:
        proba = model.predict_proba(task.X_test)
        scores |= calibration_of(task, proba, row.groups) | weighed_rankings(task, proba)
    return scores, _seconds("fit", fit) | _seconds("predict", predict)


def _costs(row, task, model):
    """What a row of costs has: of the scores F1 alone, so that no matrix of all pairs is made."""
    predicted, costs = costs_of(task, model)
    f1s = f1_by_group(task.Y_test, predicted, task.label_counts)["total"]
    return {f"total {f1}": f1s[f1] for f1 in ("micro", "macro")}, costs


def _further(task):
    further = {"X_val": task.X_val, "y_val": task.Y_val, "label_tokens": task.names}
    return {name: value for name, value in further.items() if value is not None}


def timed(function):
    """What a function returns, and CPU and wall-clock seconds of it."""
    cpu, wall = time.process_time(), time.perf_counter()
    return function(), (time.process_time() - cpu, time.perf_counter() - wall)


def _transformer(row):
    """Which transformer was used: the name of its folder, and a hash of its weights."""
    if not needs_transformer(row):
        return {}
    place = Path(transformer_folder())
    return {"transformer": {"name": place.name, "hash": hash_of_files(place)}}


def _seconds(what, seconds):
    cpu, wall = (round(float(one), 4) for one in seconds)
    return {f"{what} CPU s": cpu, f"{what} wall s": wall}


# ---------------------------------------------------------------------------------------- scores


def scores_of(task, predicted, logits, bounds):
    """F1 by label group, rankings, and what is predicted of the tail."""
    counts, truth = task.label_counts, task.Y_test
    groups = label_groups(counts, **bounds)
    report = long_tail_report(
        *(truth, predicted, counts),
        y_score=logits,
        inverse_propensities=inverse_propensities(counts, task.Y_train.shape[0]),
        groups=groups,
        output_dict=True,
    )
    scores = {f"{name} {f1}": report[name][f1] for name in GROUPS for f1 in ("micro", "macro")}
    scores |= {name: report[name] for name in RANKINGS}
    scores |= tail_scores(truth, predicted, logits, groups["tail"])
    scores |= scores_by_document(truth, predicted, counts)
    return {name: _plain(value) for name, value in scores.items()}


def tail_scores(truth, predicted, logits, is_tail):
    """How tail labels rank documents and each other, and how many pairs are predicted."""
    tail = np.flatnonzero(is_tail)
    true, found = truth[:, tail], predicted[:, tail]
    scores = {"tail true pairs": true.sum(), "tail predicted pairs": found.sum()}
    tested = np.flatnonzero(true.sum(axis=0))
    if not len(tested):
        return scores
    precision = average_precision_score(true[:, tested].toarray(), logits[:, tail[tested]])
    ranked = {"P": precision_at_k, "nDCG": ndcg_at_k}
    scores |= {
        f"tail {name}@{k}": of(true, logits[:, tail], k=k)
        for name, of in ranked.items()
        for k in (1, 3, 5)
        if k <= len(tail)
    }
    return scores | {"tail AP": precision}


def scores_by_document(truth, predicted, counts):
    """F1 of documents with one label and of those with several (Huang et al., Table 3)."""
    n_labels = np.diff(truth.indptr)
    parts = {"one label": n_labels == 1, "several labels": n_labels > 1}
    scores = {}
    for name, rows in parts.items():
        f1 = f1_by_group(truth[rows], predicted[rows], counts)["total"]
        scores |= {f"{name} micro": f1["micro"], f"{name} macro": f1["macro"]}
    return scores


def calibration_of(task, proba, bounds):
    """How far probabilities can be read as frequencies."""
    truth, tail = task.Y_test.toarray() > 0, label_groups(task.label_counts, **bounds)["tail"]
    return {
        "sum": float(proba.sum() / truth.sum()),
        "ece": calibration_error(proba.ravel(), truth.ravel()),
        "tail ece": calibration_error(proba[:, tail].ravel(), truth[:, tail].ravel()),
        "predicted": float(np.count_nonzero(proba > 0.5) / truth.sum()),
        "brier": float(np.mean((proba - truth) ** 2)),
    }


def weighed_rankings(task, proba):
    """PSP of the labels of the best probability times inverse propensity."""
    worth = inverse_propensities(task.label_counts, task.Y_train.shape[0])
    return {
        f"weighed PSP@{k}": float(psp_at_k(task.Y_test, proba * worth, worth, k=k))
        for k in (1, 3, 5)
    }


def calibration_error(proba, truth, n_bins=15, lowest=0.01):
    """Mean difference of probability and frequency, over bins of equally many pairs."""
    kept = proba > lowest
    order = np.argsort(proba[kept], kind="stable")
    bins = np.array_split(np.column_stack([proba[kept], truth[kept]])[order], n_bins)
    gaps = [
        len(pairs) * abs(pairs[:, 0].mean() - pairs[:, 1].mean()) for pairs in bins if len(pairs)
    ]
    return float(sum(gaps) / max(np.count_nonzero(kept), 1))


# ----------------------------------------------------------------------------------- environment


def environment(threads):
    """Commit and versions, and the class of the machine."""
    modules = (np, scipy, sklearn, torch, skorch, skmltc)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "commit": commit(),
        "versions": {"python": platform.python_version()}
        | {module.__name__: module.__version__ for module in modules},
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
    }


def commit():
    """Commit of the package that is measured; "-dirty" says that it has changes on top.

    Rows that a run has written since, beside the package, are no changes of it.
    """
    found = _git("rev-parse", "--short", "HEAD")
    return found + ("-dirty" if _git("status", "--porcelain", "--", ".") else "")


def _git(*words):
    """What git says in the folder of the package; nothing where there is no git, or no commit."""
    command = ["git", "-C", str(Path(skmltc.__file__).parent), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _device_of(model):
    device = torch.device(device_of(getattr(model, "device", "cpu")))
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _number(model, name):
    value = getattr(model, name, None)
    return _plain(value) if np.ndim(value) == 0 and value is not None else None


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def _shown(threshold):
    return threshold if isinstance(threshold, str | float | int | None) else "given"
