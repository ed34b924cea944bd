"""Accuracy on token ids: nine losses with TextCNN and BiLSTMAttention, and a vote with TF-IDF.

    python examples/benchmarks/tokens.py --data FOLDER --output rows.jsonl

FOLDER has train.jsonl and test.jsonl (or .jsonl.gz), see skmltc.datasets.load_jsonl.

Rows of losses follow the protocol of Huang et al. (EMNLP 2021): the loss with the paper's
parameters, and one cut-off of the best micro-F1 on held-out documents. Their encoder was BERT,
ours learn from the training texts alone. The rows of "auto" have all defaults of
BalancedLossClassifier; the rows of encoder "vote" are a MultilabelVotingClassifier of the linear
model on TF-IDF and the BiLSTM on tokens. Everything is one object from raw texts to labels, and
the seconds are those of its `fit`.

Finished rows are kept in the output file and not measured again.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from features import F1S, RANKINGS, environment, mean_and_deviation, timed
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from skmltc import BalancedLossClassifier
from skmltc.datasets import load_jsonl
from skmltc.decision import MultilabelVotingClassifier
from skmltc.labels import inverse_propensities, label_groups
from skmltc.losses import LOSSES
from skmltc.metrics import long_tail_report
from skmltc.text import TokenSequenceVectorizer

AS_PAPER = {"threshold": "tuned"}
VARIANTS = [("bilstm", "auto"), ("vote", "auto"), ("cnn", "auto")]
VARIANTS += [(encoder, loss) for loss in LOSSES for encoder in ("bilstm", "cnn")]
SETTING = ("dataset", "max_length", "threads", "min_head_count", "max_tail_count", "skmltc")


def make_model(encoder, loss, seed, max_length):
    """From texts to labels."""
    tokens = TokenSequenceVectorizer(max_length=max_length)
    settings = {"loss": loss, "random_state": seed} | (AS_PAPER if loss != "auto" else {})
    if encoder != "vote":
        return make_pipeline(tokens, BalancedLossClassifier(encoder=encoder, **settings))
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2, dtype=np.float32)
    parts = [
        ("linear", make_pipeline(words, BalancedLossClassifier(**settings))),
        ("bilstm", make_pipeline(tokens, BalancedLossClassifier(encoder="bilstm", **settings))),
    ]
    return MultilabelVotingClassifier(parts, weights=[2, 1])  # the best on a validation part


def measure(encoder, loss, seed, max_length, train, test, bounds):
    model = make_model(encoder, loss, seed, max_length)
    _, seconds = timed(model.fit, train.data, train.target)
    kept = np.flatnonzero(np.diff(test.target.indptr))
    texts, truth = [test.data[i] for i in kept], test.target[kept]
    counts = train.target.sum(axis=0)
    report = long_tail_report(
        truth,
        model.predict(texts),
        counts,
        y_score=model.decision_function(texts),
        inverse_propensities=inverse_propensities(counts, len(train.data)),
        groups=label_groups(counts, **bounds),
        output_dict=True,
    )
    scores = {name: report[name.split()[0]][name.split()[1]] for name in F1S}
    scores |= {name: report[name] for name in RANKINGS} | {"fit s": seconds}
    return {"encoder": encoder, "loss": loss, "seed": seed, "scores": scores}


def print_table(rows):
    print("\nMean over the seeds in per cent; seconds to fit\n")
    print(
        f"{'':<45}" + "".join(f"{name:>14}" for name in ("total", "head", "medium", "tail")), end=""
    )
    print(f"{'PSP@5':>8}{'s':>8}")
    for variant in VARIANTS:
        chosen = [row["scores"] for row in rows if (row["encoder"], row["loss"]) == variant]
        if not chosen:
            continue
        names = [*F1S, "PSP@5", "fit s"]
        means = mean_and_deviation([[scores[name] for name in names] for scores in chosen])[0]
        print(f"{' '.join(variant):<45}", end="")
        for micro, macro in zip(100 * means[:8:2], 100 * means[1:8:2], strict=True):
            print(f"{f'{micro:.2f}/{macro:.2f}':>14}", end="")
        print(f"{100 * means[8]:>8.2f}{means[9]:>8.0f}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", metavar="ROWS", type=Path, help="JSON lines, continued")
    parser.add_argument("--max-length", type=int, default=128, help="tokens of a text")
    parser.add_argument("--encoders", nargs="+", default=["bilstm", "vote", "cnn"])
    parser.add_argument("--losses", nargs="+", default=["auto", *LOSSES])
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--min-head-count", type=int, default=51, help="training documents")
    parser.add_argument("--max-tail-count", type=int, default=10, help="training documents")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    bounds = {name: getattr(options, name) for name in ("min_head_count", "max_tail_count")}
    common = {
        "dataset": options.data.resolve().name,
        "max_length": options.max_length,
        "threads": options.threads,
        **bounds,
        **environment(),
    }
    train, test = (load_jsonl(options.data, subset=part) for part in ("train", "test"))
    path = options.output
    lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
    rows = [row for row in map(json.loads, lines) if all(row[k] == common[k] for k in SETTING)]
    done = {(row["encoder"], row["loss"], row["seed"]) for row in rows}
    for seed in options.seeds:
        for encoder, loss in VARIANTS:
            wanted = encoder in options.encoders and loss in options.losses
            if not wanted or (encoder, loss, seed) in done:
                continue
            row = measure(encoder, loss, seed, options.max_length, train, test, bounds)
            rows.append(common | row)
            scores = row["scores"]
            figures = ", ".join(f"{n} {100 * scores[n]:.2f}" for n in (*F1S, "PSP@5"))
            print(f"seed {seed}: {encoder} {loss}: {figures}; {scores['fit s']:.0f} s", flush=True)
            if path:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    print_table(rows)


if __name__ == "__main__":
    main()
