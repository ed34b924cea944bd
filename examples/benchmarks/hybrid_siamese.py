"""Table 3 of HSCNN (Yang et al., EMNLP 2020): HybridSiameseClassifier and its parts left out.

    python examples/benchmarks/hybrid_siamese.py --data FOLDER --seeds 0 1 2 --output rows.jsonl

FOLDER has train.jsonl and test.jsonl (or .jsonl.gz), see skmltc.datasets.load_jsonl. Labels are
those with a training document; test documents left without a label are dropped. Everything is
fitted on the training documents alone. Tail labels have fewer than --n-phi training documents, and
"tail" rows rank tail labels among themselves, over all test documents.

Rows: the single network (Sing.), Siamese scores of tail labels without gates, triplets and second
task (Naive), without gates and triplets (/CSS), without the second task (/MT), with everything
(Our), the same with one triplet per document instead of eight (Our, 1), and with everything below a
learned n_phi (Our, auto). Each is cut twice: "tuned" is by the estimator's default rule; "0.5" is
the paper's, a probability of 0.5 of either network and nothing calibrated. Under either rule the
gain of the Siamese network is that of Our against Sing.

Rows of one seed and loss share the single network, which is trained once; they are the same as if
each had trained its own. "single s" are the seconds of this training, and "fit s" those of a whole
fit that includes it. Finished rows are kept in the output file and not measured again.
"""

import argparse
import json
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from features import environment, mean_and_deviation, timed
from networks import ENCODERS, TrainedOnce, append, load, read
from threadpoolctl import threadpool_limits

from skmltc import HybridSiameseClassifier
from skmltc._validation import LabelWarning
from skmltc.hybrid_siamese._training import HybridPlan, SiameseTraining
from skmltc.labels import log_odds_against
from skmltc.losses import FocalLoss
from skmltc.metrics import f1_by_group, ndcg_at_k, precision_at_k

VARIANTS = {
    "Sing.": {"n_phi": 0},
    "Naive": {"category_similarity": False, "multi_task": None, "sampling": "pair"},
    "/CSS": {"category_similarity": False, "sampling": "pair"},
    "/MT": {"multi_task": None},
    "Our": {},
    "Our, 1": {"triplets_per_document": 1},
    "Our, auto": {"n_phi": "auto"},
}
LOSSES = {"bce": "bce", "weighted_bce": "weighted_bce", "focal": FocalLoss(gamma=1)}
RULES = ("tuned", "0.5")
F1S = [f"{part} {average}" for part in ("tail", "total") for average in ("micro", "macro")]
RANKINGS = [
    f"{part} {name}@{k}"
    for part in ("tail", "total")
    for name, ks in (("P", (1, 3, 5)), ("nDCG", (3, 5)))
    for k in ks
]
SETTING = ("dataset", "encoder", "n_phi", "threads", "skmltc")
# Tail micro and macro, total micro and macro, of the paper's Table 3.
PAPER = {
    ("RCV1", "bce", "Sing."): (6.83, 3.96, 75.41, 36.19),
    ("RCV1", "bce", "Naive"): (5.79, 3.37, 75.05, 35.96),
    ("RCV1", "bce", "/CSS"): (6.10, 3.47, 75.13, 36.00),
    ("RCV1", "bce", "/MT"): (6.83, 3.88, 75.40, 36.17),
    ("RCV1", "bce", "Our"): (18.86, 12.80, 75.51, 39.20),
    ("RCV1", "weighted_bce", "Sing."): (18.27, 12.02, 77.12, 43.58),
    ("RCV1", "weighted_bce", "Our"): (30.29, 23.08, 77.21, 47.33),
    ("RCV1", "focal", "Sing."): (27.83, 17.54, 76.58, 46.31),
    ("RCV1", "focal", "Our"): (29.65, 21.10, 76.66, 47.52),
    ("Delicious", "bce", "Sing."): (2.43, 1.51, 23.72, 5.97),
    ("Delicious", "bce", "Naive"): (1.86, 1.47, 12.56, 5.76),
    ("Delicious", "bce", "/CSS"): (1.93, 1.48, 16.53, 5.89),
    ("Delicious", "bce", "/MT"): (2.41, 1.50, 23.72, 5.93),
    ("Delicious", "bce", "Our"): (5.85, 1.73, 24.96, 8.52),
    ("Delicious", "weighted_bce", "Sing."): (2.97, 1.86, 23.79, 6.50),
    ("Delicious", "weighted_bce", "Our"): (5.77, 1.99, 24.42, 7.26),
    ("Delicious", "focal", "Sing."): (2.40, 1.56, 25.05, 6.41),
    ("Delicious", "focal", "Our"): (6.24, 2.24, 25.53, 7.20),
}


class SharedSingle(HybridSiameseClassifier):
    """With the single network that an earlier fit of the same seed and loss has trained."""

    trained = TrainedOnce()

    def _train(self, problem, train, given, seed):
        alone = HybridSiameseClassifier(**self.get_params(deep=False) | {"n_phi": 0})
        key = seed, repr(self.loss), repr(problem.inputs.encoder), train.X.shape
        once = partial(alone._train, problem, train, given, seed)
        trained, seconds, saved = self.trained(key, once)
        single, network = trained.plan.single, trained.scorer.network
        fit, unseen = single.trainer.split(train, given, seed)
        second = SiameseTraining.of(self, single.trainer)
        scorer, second = self._scorer(network, single.loss, fit, second, seed, unseen)
        shown = {"single_seconds_": seconds, "saved_seconds_": saved} | trained.attributes
        plan = HybridPlan(single, second)
        return trained._replace(scorer=scorer, plan=plan, attributes=shown)


def model_of(encoder, n_phi, variant, loss, seed):
    """Make the estimator of a row: the defaults with what the row's name says."""
    return SharedSingle(
        encoder="auto" if encoder == "bag" else encoder,
        loss=LOSSES[loss],
        random_state=seed,
        **{"n_phi": n_phi} | VARIANTS[variant],
    )


def measure(task, encoder, n_phi, variant, loss, seed):
    """Fit once, and score by both rules."""
    model = model_of(encoder, n_phi, variant, loss, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabelWarning)
        _, seconds = timed(model.fit, task.X_train, task.Y_train)
    scores, predict_seconds = timed(model.decision_function, task.X_test)
    common = {
        "single s": model.single_seconds_,
        "fit s": seconds + model.saved_seconds_,
        "predict s": predict_seconds,
        "epochs": model.n_iter_,
    }
    decisions = {"tuned": (scores, model.threshold_), "0.5": (uncalibrated(model, scores), 0)}
    for rule, decision in decisions.items():
        scored = score(task.Y_test, *decision, model.label_counts_, n_phi)
        yield {"rule": rule, **common, "scores": scored}


def uncalibrated(model, scores):
    """Logits with the similarities as the second network gives them."""
    against = log_odds_against(model.label_counts_, model.n_samples_fit_)
    slopes, offsets = model.calibration_.lines(against)
    scores, rare = (scores - offsets) / slopes, model.siamese_labels_
    if len(rare):
        similar = model.scorer_.similar
        scores[:, rare] -= similar.offsets[rare]
        scores[:, rare] /= similar.scale
    return scores


def score(Y_test, logits, cut, label_counts, n_phi):
    """F1 and rankings of the tail labels and of all labels."""
    tail = np.flatnonzero(label_counts < n_phi)
    f1 = f1_by_group(Y_test, logits > cut, label_counts, groups={"tail": tail})
    values = {name: f1[name.split()[0]][name.split()[1]] for name in F1S}
    parts = {"tail": (Y_test[:, tail], logits[:, tail]), "total": (Y_test, logits)}
    for name in RANKINGS:
        part, metric = name.split()
        ranked, k = {"P": precision_at_k, "nDCG": ndcg_at_k}[metric.split("@")[0]], metric[-1]
        values[name] = ranked(*parts[part], k=int(k))
    return values


def collect(task, options, common):
    """Return the rows of the grid, those in the file and those measured now."""
    kept = read(options.output)
    rows = [row for row in kept if all(row[k] == common[k] for k in SETTING)]
    done = {(row["variant"], row["loss"], row["seed"]) for row in rows}
    grid = [(v, m, s) for s in options.seeds for m in options.losses for v in options.variants]
    for variant, loss, seed in grid:
        if (variant, loss, seed) in done:
            continue
        key = {"variant": variant, "loss": loss, "seed": seed}
        measured = measure(task, options.encoder, options.n_phi, variant, loss, seed)
        new = [common | key | row for row in measured]
        rows += new
        shown = [
            f"{row['rule']} " + " ".join(f"{100 * row['scores'][name]:.2f}" for name in F1S)
            for row in new
        ]
        print(f"seed {seed}, {loss}, {variant}: " + ", ".join(shown), flush=True)
        append(options.output, new)
    return [row for row in rows if (row["variant"], row["loss"], row["seed"]) in grid]


def print_table(rows, losses, variants):
    columns = [*F1S, *RANKINGS]
    print("\nMean over the seeds and, below it, standard deviation, in per cent\n")
    for line in zip(*(name.rjust(8).split(" ")[-2:] for name in columns), strict=True):
        print(" " * 29 + "".join(f"{text:>8}" for text in line))
    for rule in RULES:
        for loss in losses:
            for variant in variants:
                key = (rule, loss, variant)
                mine = [r["scores"] for r in rows if (r["rule"], r["loss"], r["variant"]) == key]
                values = [[100 * scores[name] for name in columns] for scores in mine]
                for name, line in zip((" ".join(key), ""), mean_and_deviation(values), strict=True):
                    print(f"{name:<29}" + "".join(f"{value:>8.2f}" for value in line))
    print("\nThe paper's, n_phi = 100, CNN\n")
    for key, values in PAPER.items():
        print(f"{' '.join(key):<29}" + "".join(f"{value:>8.2f}" for value in values))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--encoder", choices=ENCODERS, default="bag")
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--n-phi", type=int, default=100, help="training documents")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", metavar="ROWS", type=Path, help="JSON lines, continued")
    parser.add_argument("--threads", type=int, default=1, help="of torch and BLAS")
    options = parser.parse_args(arguments)
    common = {name: getattr(options, name) for name in ("encoder", "n_phi", "threads")}
    common |= {"dataset": options.data.resolve().name, **environment()}
    torch.set_num_threads(options.threads)
    with threadpool_limits(options.threads):
        task = load(options.data, options.encoder)
        rows = collect(task, options, common)
    n_tail = int((task.label_counts < options.n_phi).sum())
    print("\n" + json.dumps(common | {"tail labels": n_tail}))
    print_table(rows, options.losses, options.variants)


if __name__ == "__main__":
    main()
