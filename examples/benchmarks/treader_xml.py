"""The ablation of TReaderXML (Wang et al., arXiv 2205.11973), and what helps it: the ladder.

    python examples/benchmarks/treader_xml.py --data FOLDER --seeds 0 1 2 --output rows.jsonl

FOLDER is as for features.py, whose measures these are. The rows, all with tf-idf retrieval:

    0 nothing           neither teacher nor attention layers in front of the interaction
    1 teacher           the labels of 5 neighbours are read beside the text
    2 to 6              the teacher, and the paper's readings; 6 is its whole system
    6, no teacher       that reading without neighbours
    6, embedding        documents are compared by the means of their word vectors, as in the paper
    6, 20 and 50        with the labels of more neighbours
    votes alone         50 neighbours vote, and nothing is read of them
    defaults            what TReaderXMLClassifier() is: both
    balancing           with the loss CB-NTR instead of cross-entropy

--encoder embedding reads 128 tokens per text, bag TF-IDF features. --n-train trains on so many of
the documents, drawn with seed 0. --names describes labels by the words of their names, where they
are known, instead of the heaviest words of their documents. Finished rows are kept in the output
file and not measured again.
"""

import argparse
from pathlib import Path

import features
import numpy as np
import torch
from features import environment, timed
from networks import append, read
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from skmltc import TReaderXMLClassifier
from skmltc.datasets import load_jsonl
from skmltc.labels import inverse_propensities, label_groups
from skmltc.metrics import ndcg_at_k
from skmltc.text import TokenSequenceVectorizer

PAPERS = {"votes": False, "n_neighbors": 5, "reading": "mmhsa+residual+mhsa"}
VOTES = {"n_neighbors": 50, "votes": True}
BALANCING = "class_balanced_negative_tolerant"
ROWS = {
    "0 nothing": {**PAPERS, "teacher": False, "reading": None},
    "1 teacher": {**PAPERS, "reading": None},
    "2 MMHSA+R": {**PAPERS, "reading": "mmhsa+residual"},
    "3 MHSA+R": {**PAPERS, "reading": "mhsa+residual"},
    "4 MHSA+R+MMHSA": {**PAPERS, "reading": "mhsa+residual+mmhsa"},
    "5 MMHSA+MHSA": {**PAPERS, "reading": "mmhsa+mhsa"},
    "6 MMHSA+R+MHSA": PAPERS,
    "6, no teacher": {**PAPERS, "teacher": False},
    "6, embedding": {**PAPERS, "retrieval": "embedding"},
    "6, 20": {**PAPERS, "n_neighbors": 20},
    "6, 50": {**PAPERS, "n_neighbors": 50},
    "votes alone": {**PAPERS, **VOTES, "teacher": False},
    "defaults": {},
    "defaults, balancing": {"loss": BALANCING},
    "votes alone, balancing": {**PAPERS, **VOTES, "teacher": False, "loss": BALANCING},
}
OF_TOKENS = ("6, embedding",)
F1S, RANKINGS = features.F1S, ["nDCG@3", *features.RANKINGS]
COMMON = ("encoder", "n_train", "names", "min_head_count", "max_tail_count", "threads")
KEYS = ("dataset", "row", "seed", *COMMON)


def load(options):
    """Read documents and labels of both parts, and texts of the labels if they are wanted."""
    train, test = (load_jsonl(options.data, subset=part) for part in ("train", "test"))
    rows = np.arange(len(train.data))
    if options.n_train:
        rows = np.sort(np.random.RandomState(0).permutation(rows)[: options.n_train])
    known = np.flatnonzero(train.target[rows].sum(axis=0))
    Y_train, Y_test = train.target[rows][:, known], test.target[:, known]
    kept = np.flatnonzero(np.diff(Y_test.indptr))
    reader = TokenSequenceVectorizer(max_length=128)
    if options.encoder == "bag":
        reader = TfidfVectorizer(
            sublinear_tf=True, stop_words="english", min_df=2, dtype=np.float32
        )
    X_train = reader.fit_transform([train.data[row] for row in rows])
    X_test = reader.transform([test.data[row] for row in kept])
    names = reader.transform([train.label_names[row] for row in known]) if options.names else None
    counts = Y_train.sum(axis=0)
    bounds = {name: getattr(options, name) for name in ("min_head_count", "max_tail_count")}
    task = features.Task(
        *(X_train, Y_train, X_test, Y_test[kept], counts),
        groups=label_groups(counts, **bounds),
        weights=inverse_propensities(counts, len(rows)),
        draws=None,
    )
    return task, parents_of(train, known), names


def parents_of(data, known):
    """Parents of the labels that are known, by their new columns."""
    if "label_parents" not in data:
        return None
    if sparse.issparse(data.label_parents):
        return data.label_parents[known][:, known]
    column = np.full(len(data.target_names) + 1, -1)
    column[known] = np.arange(len(known))
    return column[data.label_parents[known]]


def measure(task, parents, names, settings, seed):
    model = TReaderXMLClassifier(label_parents=parents, random_state=seed, **settings)
    _, seconds = timed(lambda: model.fit(task.X_train, task.Y_train, label_tokens=names))
    scores, predict_seconds = timed(model.decision_function, task.X_test)
    values = features.score(task, model.decision_.predict(scores), scores)
    values["nDCG@3"] = ndcg_at_k(task.Y_test, scores, k=3)
    times = {"fit s": seconds, "predict s": predict_seconds, "epochs": model.n_iter_}
    return {"scores": values, **times}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--encoder", choices=("embedding", "bag"), default="embedding")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--n-train", type=int, help="training documents, by default all")
    parser.add_argument("--names", action="store_true", help="describe labels by their names")
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
        data = load(options)
        for seed in options.seeds:
            for name in options.rows:
                row = common | {"row": name, "seed": seed}
                done = any(all(old[key] == row[key] for key in KEYS) for old in rows)
                if done or (options.encoder == "bag" and name in OF_TOKENS):
                    continue
                row |= measure(*data, ROWS[name], seed)
                append(options.output, [row])
                rows.append(row)
                print_row(row)
    shared = ("dataset", *COMMON)
    print_means([row for row in rows if all(row[name] == common[name] for name in shared)])


def print_row(row):
    shown = ("total micro", "total macro", "tail macro", "PSP@5")
    scores = ", ".join(f"{name} {100 * row['scores'][name]:.2f}" for name in shown)
    print(f"seed {row['seed']}: {row['row']}: {scores}, {row['fit s']:.0f} s", flush=True)


def print_means(rows):
    print("\nMean over the seeds, in per cent\n")
    columns = [*F1S, *RANKINGS]
    for line in zip(*(name.rjust(8).rpartition(" ")[::2] for name in columns), strict=True):
        print(" " * 20 + "".join(f"{text.strip():>8}" for text in line))
    for name in ROWS:
        values = [[row["scores"][c] for c in columns] for row in rows if row["row"] == name]
        if values:
            print(f"{name:<20}" + "".join(f"{100 * v:>8.2f}" for v in np.mean(values, axis=0)))


if __name__ == "__main__":
    main()
