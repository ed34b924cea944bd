"""Accuracy on TF-IDF features: BalancedLossClassifier and one-vs-rest LinearSVC.

    python examples/benchmarks/features.py --data FOLDER --seeds 0 1 2 --output rows.jsonl

FOLDER has train.jsonl and test.jsonl (or .jsonl.gz), see skmltc.datasets.load_jsonl. Labels are
those with a training document; test documents left without a label are dropped. Everything is
fitted on the training documents alone.

Rows: BalancedLossClassifier with all its defaults; LinearSVC, plain and balanced, cut at 0 ("own")
and by each of our threshold rules, as MultilabelThresholdClassifierCV learns them. The seed decides
the three folds that thresholds are learned on, the same folds for all. The seconds of a fit include
its threshold; those of a prediction go from features to labels. LinearSVC keeps its 1000 iterations
even where it warns that some labels want more.

Finished rows are kept in the output file and not measured again. If a seed lacks rows of LinearSVC,
ours is fitted again, since the comparison by test document needs both.
"""

import argparse
import json
import os
import platform
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
import sklearn
import torch
from joblib import parallel_config
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

import skmltc
from skmltc import BalancedLossClassifier
from skmltc._ranking import top_labels
from skmltc.datasets import load_jsonl
from skmltc.decision import RULES, Decision, ScoredPairs
from skmltc.labels import inverse_propensities, label_groups
from skmltc.metrics import long_tail_report
from skmltc.model_selection import list_held_out, multilabel_cross_val_predict

OURS = ("BalancedLossClassifier", "defaults")
CLASS_WEIGHTS = {"LinearSVC": None, "LinearSVC balanced": "balanced"}
SVC_RULES = ("own", *RULES)
N_RESAMPLES = 1000
GROUPS = ("total", "head", "medium", "tail")
F1S = [f"{group} {average}" for group in GROUPS for average in ("micro", "macro")]
RANKINGS = ["P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@3", "PSP@5"]
SECONDS = ["fit s", "predict s"]
COMPARED = ["total micro", "total macro", "tail macro", "PSP@5"]
SETTING = ("dataset", "seed", "threads", "min_head_count", "max_tail_count", "skmltc")


@dataclass
class Task:
    """A data set as features or token ids, and what its measures need."""

    X_train: sparse.csr_matrix | np.ndarray
    Y_train: sparse.csr_array
    X_test: sparse.csr_matrix | np.ndarray
    Y_test: sparse.csr_array
    label_counts: np.ndarray
    groups: dict
    weights: np.ndarray  # inverse propensities
    draws: np.ndarray  # how often each resample has each test document, (n_resamples, n_test)


def load(folder, reader=None, **bounds):
    train, test = (load_jsonl(folder, subset=part) for part in ("train", "test"))
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2, dtype=np.float32)
    reader = reader or words
    X_train, X_test = reader.fit_transform(train.data), reader.transform(test.data)
    kept = np.flatnonzero(np.diff(test.target.indptr))
    label_counts, shares = train.target.sum(axis=0), np.full(len(kept), 1 / len(kept))
    return Task(
        *(X_train, train.target, X_test[kept], test.target[kept], label_counts),
        groups=label_groups(label_counts, **bounds),
        weights=inverse_propensities(label_counts, len(train.data)),
        draws=np.random.default_rng(0).multinomial(len(kept), shares, size=N_RESAMPLES),
    )


def timed(function, *args):
    start = time.perf_counter()
    return function(*args), time.perf_counter() - start


def measure_ours(task, seed):
    model = BalancedLossClassifier(random_state=seed)
    _, seconds = timed(model.fit, task.X_train, task.Y_train)
    chosen = {"weight_decay": model.weight_decay_}
    return measure(task, OURS, model, model.decision_, seconds) | {"chosen": chosen}


def measure_svc(task, seed, method, rules):
    """Fit on the folds and on all documents once; every rule learns from the same pairs."""
    model = OneVsRestClassifier(LinearSVC(class_weight=CLASS_WEIGHTS[method], random_state=seed))
    pairs, fold_seconds = timed(collect_pairs, model, task, list_held_out(task.Y_train, seed))
    _, fit_seconds = timed(model.fit, task.X_train, task.Y_train)
    counts, n_samples = task.label_counts, task.Y_train.shape[0]
    for rule in rules:
        decision, seconds = Decision.at(0.0, counts), fit_seconds
        if rule != "own":
            decision, rule_seconds = timed(Decision.learn, rule, pairs, counts, n_samples)
            seconds += fold_seconds + rule_seconds
        yield measure(task, (method, rule), model, decision, seconds)


def collect_pairs(model, task, folds):
    """Collect the pairs that MultilabelThresholdClassifierCV(model, cv=folds) learns from."""
    Y = task.Y_train
    scores = multilabel_cross_val_predict(model, task.X_train, Y, cv=folds)
    parts = [ScoredPairs.collect_rows([scores[test]], Y[fit], Y[test]) for fit, test in folds]
    return ScoredPairs.concatenate(parts)


def measure(task, variant, model, decision, fit_seconds):
    """Return a row, and under "resampled" the compared scores of each resample."""
    scores, score_seconds = timed(model.decision_function, task.X_test)
    predicted, cut_seconds = timed(decision.predict, scores)
    seconds = dict(zip(SECONDS, (fit_seconds, score_seconds + cut_seconds), strict=True))
    return {
        "method": variant[0],
        "rule": variant[1],
        "scores": score(task, predicted, scores) | seconds,
        "resampled": resample(task, predicted, scores),
    }


def score(task, predicted, scores):
    report = long_tail_report(
        task.Y_test,
        predicted,
        task.label_counts,
        y_score=scores,
        inverse_propensities=task.weights,
        groups=task.groups,
        output_dict=True,
    )
    f1s = ((name, *name.split()) for name in F1S)
    return {name: report[group][f1] for name, group, f1 in f1s} | {n: report[n] for n in RANKINGS}


def resample(task, predicted, scores):
    """Compute the compared scores on each resample of the test documents."""
    draws, truth = task.draws, task.Y_test
    is_true = draws @ truth.multiply(predicted).tocsr()  # (n_resamples, n_labels)
    support, n_predicted = draws @ truth, draws @ predicted
    micro = 2 * is_true.sum(axis=1) / (support + n_predicted).sum(axis=1)
    f1 = 2 * is_true / np.maximum(support + n_predicted, 1)
    everything = np.ones_like(task.groups["tail"])
    macros = (macro(f1, support, truth.sum(axis=0), m) for m in (everything, task.groups["tail"]))
    gained, best = (draws @ gains for gains in propensity_gains(task, scores))
    return dict(zip(COMPARED, (micro, *macros, gained / best), strict=True))


def macro(f1, support, full_support, mask):
    """Average over the labels that were drawn: the others have no F1 to speak of."""
    n_drawn = np.maximum((support[:, mask] > 0).sum(axis=1), 1)
    share_tested = np.count_nonzero(full_support[mask]) / max(mask.sum(), 1)
    return share_tested * f1[:, mask].sum(axis=1) / n_drawn


def propensity_gains(task, scores):
    """Sum what the true labels in each document's first five are worth, and what they could be."""
    worth = sparse.csr_array(task.Y_test @ sparse.diags_array(task.weights))
    rows = np.arange(worth.shape[0])[:, None]
    for ranked in (scores, worth):
        ranking = top_labels(ranked, worth.shape, 5)
        yield (worth[rows, ranking].toarray() * (ranking >= 0)).sum(axis=1)


def rows_of_seed(task, seed, done):
    """Measure what is not done yet of a seed, ours first."""
    missing = {m: [rule for rule in SVC_RULES if (m, rule) not in done] for m in CLASS_WEIGHTS}
    if OURS in done and not any(missing.values()):
        return
    row = measure_ours(task, seed)
    ours = row.pop("resampled")
    if OURS not in done:
        yield row
    for method, rules in missing.items():
        for row in measure_svc(task, seed, method, rules) if rules else ():
            other = row.pop("resampled")
            gains = {name: ours[name] - other[name] for name in COMPARED}
            row["interval"] = {n: np.percentile(g, [2.5, 97.5]).tolist() for n, g in gains.items()}
            yield row


def collect(task, seeds, common, path):
    """Return the rows of all seeds, those in the file and those measured now."""
    lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
    rows = []
    for seed in seeds:
        common = common | {"seed": seed}
        kept = [row for row in map(json.loads, lines) if all(row[k] == common[k] for k in SETTING)]
        rows += kept
        for row in rows_of_seed(task, seed, {(row["method"], row["rule"]) for row in kept}):
            rows.append(common | row)
            compared = ", ".join(f"{name} {100 * row['scores'][name]:.2f}" for name in COMPARED)
            print(f"seed {seed}: {row['method']}, {row['rule']}: {compared}", flush=True)
            if path:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    return rows


def environment():
    """Versions and class of the machine."""
    modules = (np, scipy, sklearn, torch, skmltc)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "python": platform.python_version(),
        **{module.__name__: module.__version__ for module in modules},
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
    }


def mean_and_deviation(values):
    values = np.asarray(values)
    one_seed = len(values) == 1
    return values.mean(axis=0), values[0] * np.nan if one_seed else values.std(axis=0, ddof=1)


def print_means(variants):
    print("\nMean over the seeds and, below it, standard deviation; scores in per cent\n")
    columns = [*F1S, *RANKINGS, *SECONDS]
    factors = np.where(np.isin(columns, SECONDS), 1, 100)
    for line in zip(*(name.rjust(8).rpartition(" ")[::2] for name in columns), strict=True):
        print(" " * 35 + "".join(f"{text.strip():>8}" for text in line))
    for variant, rows in variants.items():
        values = [[row["scores"][name] for name in columns] for row in rows] * factors
        for name, line in zip((": ".join(variant), ""), mean_and_deviation(values), strict=True):
            print(f"{name:<35}" + "".join(f"{value:>8.2f}" for value in line))


def print_differences(variants):
    print(f"\n{OURS[0]} minus each: points, mean (standard deviation) over the seeds")
    print("[middle 95 % of resampled test documents, first seed]\n")
    print(" " * 35 + "".join(f"{name:>32}" for name in COMPARED))
    for variant in list(variants)[1:]:
        print(f"{': '.join(variant):<35}", end="")
        for name in COMPARED:
            pairs = zip(variants[OURS], variants[variant], strict=True)
            gains = [100 * (ours["scores"][name] - row["scores"][name]) for ours, row in pairs]
            mean, deviation = mean_and_deviation(gains)
            low, high = np.multiply(100, variants[variant][0]["interval"][name])
            print(f"{f'{mean:+.2f} ({deviation:.2f}) [{low:+.2f}, {high:+.2f}]':>32}", end="")
        print()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", metavar="ROWS", type=Path, help="JSON lines, continued")
    parser.add_argument("--threads", type=int, default=1, help="of torch and BLAS")
    parser.add_argument("--min-head-count", type=int, default=51, help="training documents")
    parser.add_argument("--max-tail-count", type=int, default=10, help="training documents")
    options = parser.parse_args(arguments)
    bounds = {name: getattr(options, name) for name in ("min_head_count", "max_tail_count")}
    common = {"dataset": options.data.resolve().name, "threads": options.threads, **bounds}
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", ConvergenceWarning)
    with threadpool_limits(options.threads), parallel_config("threading", n_jobs=options.threads):
        task = load(options.data, **bounds)
        rows = collect(task, options.seeds, common | environment(), options.output)
    sizes = {f"{name} labels": int(mask.sum()) for name, mask in task.groups.items()}
    print("\n" + json.dumps(common | environment() | {"seeds": options.seeds} | sizes))
    order = [OURS, *((method, rule) for method in CLASS_WEIGHTS for rule in SVC_RULES)]
    variants = {v: [row for row in rows if (row["method"], row["rule"]) == v] for v in order}
    print_means(variants)
    print_differences(variants)


if __name__ == "__main__":
    main()
