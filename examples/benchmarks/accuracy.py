"""Accuracy of the defaults, to compare one commit with another.

    python examples/benchmarks/accuracy.py --data FOLDER --output rows.jsonl --tasks reuters cooking

FOLDER has a folder for each data set, with train.jsonl and test.jsonl (or .jsonl.gz), see
skmltc.datasets.load_jsonl. Everything is fitted on the training documents with all defaults; a seed
decides the folds and, in networks, weights and batches. Finished rows are kept in the output file
and not measured again. With ``--compare before.jsonl after.jsonl`` nothing is measured: the rows of
two commits are put side by side.

It uses public names alone, so that it runs on any commit: set PYTHONPATH to the one to measure.
"""

import argparse
import json
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
from joblib import parallel_config
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

import skmltc
from skmltc.datasets import load_jsonl
from skmltc.labels import label_groups
from skmltc.metrics import long_tail_report
from skmltc.text import TokenSequenceVectorizer

BOUNDS = {"reuters": {"min_head_count": 35, "max_tail_count": 8}}
FEATURES = {"reuters": 10, "cooking": 10, "tib-bk": 3}  # seeds
TOKEN_SEEDS = 3
NETWORKS = (
    "BalancedLossClassifier",
    "HybridSiameseClassifier",
    "HeadToTailClassifier",
    "TReaderXMLClassifier",
)
SCORES = ("micro", "macro", "tail")


def settings(tasks):
    """Data set, kind of input, estimator and seed of each row, the quick ones first."""
    for name in tasks:
        if name in FEATURES:
            for seed in range(FEATURES[name]):
                yield name, "features", "BalancedLossClassifier", seed
        elif name == "tokens":
            for seed in range(TOKEN_SEEDS):
                for estimator in NETWORKS:
                    yield "reuters", "tokens", estimator, seed


def load(folder, kind):
    """Inputs and labels of training and test documents; documents without a label are left out."""
    train, test = (load_jsonl(folder, subset=part) for part in ("train", "test"))
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2, dtype=np.float32)
    reader = words if kind == "features" else TokenSequenceVectorizer(max_length=128)
    X_train, X_test = reader.fit_transform(train.data), reader.transform(test.data)
    kept = np.flatnonzero(np.diff(test.target.indptr))
    return X_train, train.target, X_test[kept], test.target[kept]


def measure(task, bounds, estimator, seed):
    """Scores of one fit, and the CPU seconds of fitting and of predicting."""
    X_train, Y_train, X_test, Y_test = task
    start = time.process_time()
    model = getattr(skmltc, estimator)(random_state=seed).fit(X_train, Y_train)
    fitted = time.process_time()
    predicted = model.predict(X_test)
    done = time.process_time()
    counts = np.asarray(Y_train.sum(axis=0)).ravel()
    groups = label_groups(counts, **bounds)
    report = long_tail_report(Y_test, predicted, counts, groups=groups, output_dict=True)
    return {
        "micro": report["total"]["micro"],
        "macro": report["total"]["macro"],
        "tail": report["tail"]["macro"],
        "fit CPU s": fitted - start,
        "predict CPU s": done - fitted,
    }


def commit():
    """Commit of the package that is measured."""
    folder = Path(skmltc.__file__).parent
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def read_rows(path):
    """Rows of a file of JSON lines; none where there is no such file."""
    if not path or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def key_of(row):
    return row["dataset"], row["kind"], row["estimator"], row["seed"]


def compare(before, after):
    """Print mean scores of the seeds that two files of rows share, in per cent, and differences."""
    print(f"{'':44}{'seeds':>6}" + "".join(f"{name:>26}" for name in SCORES))
    old, new = ({key_of(row): row for row in rows} for rows in (before, after))
    shared = {}
    for key in [key for key in old if key in new]:
        shared.setdefault(key[:3], []).append(key)
    for variant, keys in shared.items():
        means = [[np.mean([100 * r[key][n] for key in keys]) for n in SCORES] for r in (old, new)]
        texts = (f"{a:.2f} -> {b:.2f} ({b - a:+.2f})" for a, b in zip(*means, strict=True))
        print(f"{' '.join(variant):44}{len(keys):>6}" + "".join(f"{t:>26}" for t in texts))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FOLDER", type=Path)
    parser.add_argument("--output", metavar="ROWS", type=Path, help="JSON lines, continued")
    parser.add_argument("--tasks", nargs="+", default=[*FEATURES, "tokens"])
    parser.add_argument("--threads", type=int, default=1, help="of torch and BLAS")
    parser.add_argument("--compare", metavar="ROWS", type=Path, nargs=2)
    options = parser.parse_args(arguments)
    if options.compare:
        return compare(*map(read_rows, options.compare))
    torch.set_num_threads(options.threads)
    done, tasks = {key_of(row) for row in read_rows(options.output)}, {}
    with threadpool_limits(options.threads), parallel_config("threading", n_jobs=options.threads):
        for name, kind, estimator, seed in settings(options.tasks):
            if (name, kind, estimator, seed) in done:
                continue
            if (name, kind) not in tasks:
                tasks[name, kind] = load(options.data / name, kind)
            scores = measure(tasks[name, kind], BOUNDS.get(name, {}), estimator, seed)
            row = {"dataset": name, "kind": kind, "estimator": estimator, "seed": seed, **scores}
            row |= {"commit": commit(), "torch": torch.__version__, "threads": options.threads}
            print(json.dumps(row), flush=True)
            if options.output:
                with options.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
