"""How far probabilities can be read as frequencies, and what a cut at 0.5 gives.

    python examples/benchmarks/calibration.py --data FOLDER --output rows.jsonl --tasks reuters

FOLDER has a folder for each data set, with train.jsonl and test.jsonl (or .jsonl.gz), see
skmltc.datasets.load_jsonl. Everything is fitted on the training documents with all defaults but
``threshold=0.5``; a seed decides the folds and, in networks, weights and batches. A row has

* sum: the sum of all probabilities of test documents, over their labels;
* ece, tail ece: the expected calibration error, in 15 bins of equally many pairs of a document and
  a label whose probability is above 0.01, of all and of tail labels;
* predicted, micro, macro, tail: pairs predicted per true one, and F1, where 0.5 is the cut.

Finished rows are kept in the output file and not measured again; ``--summary`` prints means.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from accuracy import BOUNDS, commit, key_of, load, read_rows
from threadpoolctl import threadpool_limits

import skmltc
from skmltc.labels import label_groups
from skmltc.metrics import long_tail_report

SEEDS = 3
LINEAR = "BalancedLossClassifier"
NETWORKS = ("HybridSiameseClassifier", "HeadToTailClassifier", "TReaderXMLClassifier")
TASKS = {"reuters": (LINEAR, *NETWORKS), "cooking": (LINEAR,), "tib-bk": (LINEAR,)}
SHOWN = ("sum", "ece", "tail ece", "predicted", "micro", "macro", "tail")


def calibration_error(proba, truth, n_bins=15, lowest=0.01):
    """Mean difference of probability and frequency, over bins of equally many pairs."""
    kept = proba > lowest
    order = np.argsort(proba[kept], kind="stable")
    bins = np.array_split(np.column_stack([proba[kept], truth[kept]])[order], n_bins)
    gaps = [
        len(pairs) * abs(pairs[:, 0].mean() - pairs[:, 1].mean()) for pairs in bins if len(pairs)
    ]
    return sum(gaps) / max(np.count_nonzero(kept), 1)


def measure(task, bounds, estimator, seed):
    """Fit once, and compare probabilities with what test documents have."""
    X_train, Y_train, X_test, Y_test = task
    start = time.process_time()
    model = getattr(skmltc, estimator)(threshold=0.5, random_state=seed).fit(X_train, Y_train)
    fitted = time.process_time()
    proba, predicted = model.predict_proba(X_test), model.predict(X_test)
    counts, truth = model.label_counts_, Y_test.toarray() > 0
    groups = label_groups(counts, **bounds)
    tail = groups["tail"]
    report = long_tail_report(Y_test, predicted, counts, groups=groups, output_dict=True)
    return {
        "sum": float(proba.sum() / truth.sum()),
        "ece": calibration_error(proba.ravel(), truth.ravel()),
        "tail ece": calibration_error(proba[:, tail].ravel(), truth[:, tail].ravel()),
        "predicted": float(predicted.sum() / truth.sum()),
        "micro": report["total"]["micro"],
        "macro": report["total"]["macro"],
        "tail": report["tail"]["macro"],
        "fit CPU s": fitted - start,
    }


def summarise(rows):
    """Print the mean of each figure over the seeds."""
    print(f"{'':40}{'seeds':>6}" + "".join(f"{name:>11}" for name in SHOWN))
    by_variant = {}
    for row in rows:
        by_variant.setdefault(key_of(row)[:3], []).append(row)
    for variant, some in by_variant.items():
        means = "".join(f"{np.mean([row[name] for row in some]):>11.3f}" for name in SHOWN)
        print(f"{' '.join(variant):40}{len(some):>6}{means}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FOLDER", type=Path)
    parser.add_argument("--output", metavar="ROWS", type=Path, help="JSON lines, continued")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--estimators", nargs="+", default=[LINEAR, *NETWORKS])
    parser.add_argument("--summary", action="store_true")
    options = parser.parse_args(arguments)
    if options.summary:
        return summarise(read_rows(options.output))
    torch.set_num_threads(1)
    done = {key_of(row) for row in read_rows(options.output)}
    with threadpool_limits(1):
        for name in options.tasks:
            task = load(options.data / name, "features")
            for estimator in [one for one in TASKS[name] if one in options.estimators]:
                for seed in range(SEEDS):
                    if (name, "features", estimator, seed) in done:
                        continue
                    row = {"dataset": name, "kind": "features", "estimator": estimator}
                    row |= {"seed": seed, **measure(task, BOUNDS.get(name, {}), estimator, seed)}
                    row |= {"commit": commit(), "torch": torch.__version__}
                    print(json.dumps(row), flush=True)
                    if options.output:
                        with options.output.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
