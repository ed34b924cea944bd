"""The rows of Xiao et al. (AAAI 2021) with HeadToTailClassifier.

    python examples/benchmarks/head_to_tail.py --data FOLDER --n-tail 28 --max-tail-count 8
        --min-head-count 35 --seeds 0 1 2 --output examples/benchmarks/results/head_to_tail.jsonl

FOLDER is as for features.py, whose measures these are. Documents are TF-IDF features, or 128 tokens
for --encoder bilstm or cnn. The rows:

    Joint        no tail: all labels are trained, by cross-entropy or by a balancing loss
    Imprinting   prototypes as weights
    H-F-A        transferred by ridge, no fine-tuning, no attention
    H-F          with attention, the paper's
    H            and fine-tuned on all training documents
    EH           30 members of each tail label
    -F, -A       without fine-tuning, without the attention
    +F           with fine-tuning
    S=5          H-F with so many prototypes of each head label (Figure 5)

All rows are calibrated and learn their cut-off by the same rule. "tail AP" is the mean average
precision of tail labels, which no cut-off decides. Rows of several members have it and the tail
macro-F1 of each of them by itself too (Figure 6). Rows of a seed and a loss share the encoder
and the classifier of the head labels; "head s" are the seconds of this training, and "fit s" those
of a whole fit that includes it. Finished rows are kept in the output file.
"""

import argparse
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from features import F1S, RANKINGS, environment, score, timed
from networks import ENCODERS, TrainedOnce, append, load, read
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from skmltc import HeadToTailClassifier
from skmltc._networks import HeadScorer, network_scores
from skmltc._validation import LabelWarning
from skmltc.head_to_tail._heads import Start
from skmltc.losses import ClassBalancedNegativeTolerantLoss
from skmltc.metrics import f1_by_group

BALANCING = ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4)
ALONE = {"n_ensembles": 1, "attention": False, "fine_tune": None, "transfer": "ridge"}
ROWS = {
    "Joint": {"n_tail": 0, "min_head_count": None},
    "Joint, balancing": {"n_tail": 0, "min_head_count": None, "loss": BALANCING},
    "Imprinting": {**ALONE, "transfer": "identity"},
    "H-F-A": ALONE,
    "H-F": {**ALONE, "attention": True},
    "H": {**ALONE, "attention": True, "fine_tune": "tail"},
    "H-A": {**ALONE, "fine_tune": "tail"},
    "Imprinting+F": {**ALONE, "transfer": "identity", "fine_tune": "tail"},
    "EH-F-A": {**ALONE, "n_ensembles": 30},
    "EH-F": {**ALONE, "attention": True, "n_ensembles": 30},
    "EH": {**ALONE, "attention": True, "fine_tune": "tail", "n_ensembles": 30},
    "EH-A": {**ALONE, "fine_tune": "tail", "n_ensembles": 30},
    "EH-A, balancing": {**ALONE, "fine_tune": "tail", "n_ensembles": 30, "loss": BALANCING},
}
SWEEP = {f"S={n}": ROWS["H-F"] | {"n_prototypes": n} for n in (5, 10, 20, 30, 40, 50, 60)}
COMMON = ("encoder", "weight_decay", "n_tail", "min_head_count", "max_tail_count", "threads")
KEYS = ("dataset", "seed", "row", *COMMON)


class HeadAlone(HeadToTailClassifier):
    """The first two steps: labels are split, and the head is trained."""

    def _transfer_all(self, network, labels, documents, seed):
        return None, Start(network, labels, None, None)

    def _assemble(self, start, vectors, documents, plan, seed):
        return HeadScorer(start.network), {"documents_": documents}


class SharedHead(HeadToTailClassifier):
    """With the head that an earlier fit of the same seed, loss and labels has trained."""

    trained = TrainedOnce()

    def _train(self, problem, train, given, seed):
        alone = HeadAlone(**self.get_params(deep=False))
        key = seed, repr(self.loss), self.weight_decay, repr(self._given_split()), train.X.shape
        once = partial(alone._train, problem, train, given, seed)
        head, seconds, saved = self.trained(key, once)
        attributes, (network, labels, *_) = dict(head.attributes), head.plan.start
        documents = attributes.pop("documents_")
        vectors, start = self._transfer_all(network, labels, documents, seed)
        plan = head.plan._replace(start=start)
        scorer, shown = self._assemble(start, vectors, documents, plan, seed)
        attributes |= shown | {"head_seconds_": seconds, "saved_seconds_": saved}
        return head._replace(scorer=scorer, plan=plan, attributes=attributes)


def measure(task, model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabelWarning)  # of Joint, that there is no tail
        _, seconds = timed(model.fit, task.X_train, task.Y_train)
    scores = model.decision_function(task.X_test)
    measured = {
        **score(task, model.decision_.predict(scores), scores),
        "tail AP": tail_precision(task, scores),
        "head s": model.head_seconds_,
        "fit s": seconds + model.saved_seconds_,
    }
    if model.n_ensembles == 1:
        return {"scores": measured}
    return {"scores": measured, "members": list(score_members(task, model, scores))}


def tail_precision(task, scores):
    """Mean average precision of the tail labels that test documents have."""
    tested = np.flatnonzero(task.groups["tail"] & (task.Y_test.sum(axis=0) > 0))
    truth = task.Y_test[:, tested].toarray()
    return float(average_precision_score(truth, scores[:, tested], average="macro"))


def score_members(task, model, scores):
    """Tail scores of each member of an ensemble by itself, with the cut-offs of all."""
    encoder, heads = model.module_
    vectors, tail = network_scores(encoder, task.X_test), heads.parts[1]
    scores = scores.copy()
    for weight, bias in zip(tail.weight.detach().numpy(), tail.bias.detach().numpy(), strict=True):
        scores[:, tail.labels] = vectors @ weight + bias
        predicted = model.decision_.predict(scores)
        f1 = f1_by_group(task.Y_test, predicted, task.label_counts, groups=task.groups)
        yield {"tail macro": float(f1["tail"]["macro"]), "tail AP": tail_precision(task, scores)}


def rows_of_seed(task, options, common, done):
    """Measure what is not done yet; the heads of one seed are forgotten after it."""
    SharedHead.trained = TrainedOnce()
    for name in options.rows:
        row = common | {"row": name}
        if tuple(row[key] for key in KEYS) in done:
            continue
        yield row | measure(task, model_of(options, name, row["seed"]))


def model_of(options, name, seed):
    """Make the estimator of a row: the defaults with what the row's name says."""
    split = {"n_tail": options.n_tail} if options.n_tail is not None else {}
    settings = {**split, "loss": "bce", "weight_decay": options.weight_decay}
    encoder = "auto" if options.encoder == "bag" else options.encoder
    return SharedHead(encoder=encoder, random_state=seed, **settings | (ROWS | SWEEP)[name])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--encoder", choices=ENCODERS, default="bag")
    parser.add_argument("--n-tail", type=int, help="by default labels with up to 10 documents")
    parser.add_argument("--weight-decay", type=decay, default="auto", help="of AdamW")
    parser.add_argument("--rows", nargs="+", choices=ROWS | SWEEP, default=list(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", metavar="ROWS", type=Path, help="JSON lines, continued")
    parser.add_argument("--threads", type=int, default=1, help="of torch and BLAS")
    parser.add_argument("--min-head-count", type=int, default=51, help="of the group measured")
    parser.add_argument("--max-tail-count", type=int, default=10, help="of the group measured")
    options = parser.parse_args(arguments)
    common = {name: getattr(options, name) for name in COMMON}
    common |= {"dataset": options.data.resolve().name} | environment()
    rows = read(options.output)
    torch.set_num_threads(options.threads)
    with threadpool_limits(options.threads):
        bounds = {name: common[name] for name in ("min_head_count", "max_tail_count")}
        task = load(options.data, options.encoder, **bounds)
        for seed in options.seeds:
            done = {tuple(row[key] for key in KEYS) for row in rows}
            for row in rows_of_seed(task, options, common | {"seed": seed}, done):
                keep(row, rows, options.output)
    shared = ("dataset", *COMMON)
    print_means([row for row in rows if all(row[name] == common[name] for name in shared)])


def decay(text):
    return text if text == "auto" else float(text)


def keep(row, rows, path):
    rows.append(row)
    shown = ", ".join(f"{n} {100 * row['scores'][n]:.2f}" for n in ("total micro", "tail macro"))
    print(f"seed {row['seed']}: {row['row']}: {shown}", flush=True)
    append(path, [row])


def print_means(rows):
    print("\nMean over the seeds; scores in per cent\n")
    columns = [*F1S, "tail AP", *RANKINGS, "head s", "fit s"]
    for line in zip(*(name.rjust(8).rpartition(" ")[::2] for name in columns), strict=True):
        print(" " * 20 + "".join(f"{text.strip():>8}" for text in line))
    factors = [1 if name.endswith(" s") else 100 for name in columns]
    for name in ROWS | SWEEP:
        values = [[row["scores"][c] for c in columns] for row in rows if row["row"] == name]
        if values:
            means = np.mean(values, axis=0) * factors
            print(f"{name:<20}" + "".join(f"{value:>8.2f}" for value in means))


if __name__ == "__main__":
    main()
