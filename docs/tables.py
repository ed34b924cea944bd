"""Tables and figures' data from the measured rows in examples/benchmarks/results."""

import json
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parents[1] / "examples" / "benchmarks" / "results"
DATASETS = {
    "reuters": "Reuters-21578 (90 labels)",
    "cooking": "Cooking Stack Exchange tags (735 labels)",
    "tib-bk": "TIB library classes (1,723 labels)",
}
GROUPS = ("total", "head", "medium", "tail")
ENCODERS = {
    "bilstm": "BiLSTM with attention",
    "cnn": "TextCNN",
    "vote": "BiLSTM and linear TF-IDF, voting",
}
SUMMARY = ("defaults", "own", "tuned_low", "frequency")

# Huang et al. 2021, Reuters-21578: micro-F1/macro-F1 of all labels, head, medium and tail.
PUBLISHED = {
    "SVM": "87.60/51.63 89.87/78.47 66.92/61.00 22.54/13.83",
    "bce": "89.14/47.32 91.75/82.81 66.28/57.26 0/0",
    "focal": "89.97/56.83 91.83/82.64 76.16/70.63 27.40/15.37",
    "class_balanced": "89.23/52.96 91.56/80.44 71.64/66.61 23.08/9.93",
    "rebalanced_focal": "89.47/54.35 91.59/80.39 72.86/66.69 25.00/14.22",
    "negative_tolerant_focal": "90.70/60.70 92.37/82.65 79.35/75.34 39.51/22.33",
    "distribution_balanced_no_focal": "89.45/57.98 91.21/82.05 77.33/71.11 31.17/19.05",
    "class_balanced_negative_tolerant": "90.74/63.31 92.46/83.28 78.42/72.98 46.32/32.31",
    "distribution_balanced": "90.62/64.47 92.14/83.48 80.25/77.01 48.89/31.39",
}


def read(path):
    """Read the rows of a file of JSON lines; none where there is no file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def write(results, folder):
    """Write every table as a file that a page includes."""
    folder.mkdir(exist_ok=True)
    texts = {
        "losses": losses_table(read(results / "tokens_reuters.jsonl")),
        "speed": speed_table(read(results / "speed.jsonl")),
    }
    for name, title in DATASETS.items():
        rows = read(results / f"{name}.jsonl")
        texts[f"{name}_summary"] = summary_table(title, rows)
        texts[f"{name}_all"] = full_table(title, rows)
    texts["head_to_tail"] = head_to_tail_table(read(results / "head_to_tail.jsonl"))
    siamese = read(results / "hybrid_siamese.jsonl")
    for name in ("reuters", "cooking"):
        rows = [row for row in siamese if row["dataset"] == name]
        texts[f"siamese_{name}"] = siamese_table(DATASETS[name], rows)
    for name, text in texts.items():
        (folder / f"{name}.inc").write_text(text, encoding="utf-8")


def by_variant(rows, *keys):
    """Sort rows into lists of those that differ in the seed alone."""
    variants = {}
    for row in rows:
        variants.setdefault(tuple(row[key] for key in keys), []).append(row["scores"])
    return variants


def summary_table(title, rows):
    """Make the table of the rules that matter, with the spread over the seeds."""
    columns = ("total micro", "total macro", "tail macro", "PSP@5")
    header = ["Method", "Cut", "micro-F1", "macro-F1", "tail macro-F1", "PSP@5", "seconds to fit"]
    cells = []
    for (method, rule), scores in by_variant(rows, "method", "rule").items():
        if rule in SUMMARY:
            seconds = np.mean([row["fit s"] for row in scores])
            spread = [with_spread([100 * row[name] for row in scores]) for name in columns]
            cells.append([method, rule, *spread, f"{seconds:.0f}"])
    return csv_table(title, header, cells)


def full_table(title, rows):
    """Make the table of all rules and groups."""
    rankings = ["P@1", "P@5", "PSP@5"]
    cells = [
        [method, rule, len(scores), *f1_cells(scores), *(percent(scores, n) for n in rankings)]
        for (method, rule), scores in by_variant(rows, "method", "rule").items()
    ]
    return csv_table(title, ["Method", "Cut", "Seeds", *GROUPS, *rankings], cells)


def losses_table(rows):
    """Make the table of the losses, ours beside what the paper has."""
    measured = by_variant(rows, "loss", "encoder")
    names = dict.fromkeys([*PUBLISHED, *(loss for loss, _ in measured)])
    cells = []
    for loss in names:
        if loss in PUBLISHED:
            encoder = "TF-IDF" if loss == "SVM" else "BERT"
            cells.append([loss, f"{encoder}, paper", *PUBLISHED[loss].split()])
        for encoder, title in ENCODERS.items():
            if (loss, encoder) in measured:
                cells.append([loss, f"{title}, ours", *f1_cells(measured[loss, encoder])])
    title = "Reuters-21578: micro-F1/macro-F1 by label group, in per cent"
    return csv_table(title, ["Loss", "Encoder", *GROUPS], cells)


def speed_table(rows):
    """Make the table of what is compared in training speed."""
    cells = [
        [
            *(row[name] for name in ("question", "encoder", "batch_size")),
            *(f"{row['documents'] / row[name]:.0f}" for name in ("ours s", "bare s")),
            f"{row['bare s'] / row['ours s']:.2f}",
        ]
        for row in rows
    ]
    header = ["Question", "Encoder", "Batch size", "docs/s, ours", "docs/s, bare", "ratio"]
    return csv_table("Documents of Reuters-21578, or vectors, a second of one pass", header, cells)


def siamese_table(title, rows):
    """Make the table of HSCNN's parts, cross-entropy and default thresholds."""
    columns = ("tail micro", "tail macro", "total micro", "total macro", "total nDCG@5")
    header = ["N_phi", "Row", "tail micro-F1", "tail macro-F1", "micro-F1", "macro-F1", "nDCG@5"]
    shown = [row for row in rows if (row["loss"], row["rule"]) == ("bce", "tuned")]
    cells = [
        [n_phi, variant, *(with_spread([100 * row[name] for row in scores]) for name in columns)]
        for (n_phi, variant), scores in by_variant(shown, "n_phi", "variant").items()
    ]
    return csv_table(title, header, cells)


def head_to_tail_table(rows):
    """Make the table of HTTN's variants, a data set after the other."""
    columns = ("total micro", "total macro", "tail micro", "tail macro", "P@1", "nDCG@5", "PSP@5")
    header = ["Data", "Row", "Seeds", "micro-F1", "macro-F1", "tail micro-F1", "tail macro-F1"]
    cells = [
        [
            *(dataset, variant, len(scores)),
            *(with_spread([100 * row[name] for row in scores]) for name in columns),
        ]
        for (dataset, variant), scores in by_variant(rows, "dataset", "row").items()
    ]
    return csv_table("Per cent", [*header, *columns[4:]], cells)


def f1_cells(scores):
    """Micro-F1/macro-F1 of each group, means over the seeds."""
    return [
        "/".join(percent(scores, f"{group} {f1}") for f1 in ("micro", "macro")) for group in GROUPS
    ]


def percent(scores, name):
    """Mean over the seeds, in per cent."""
    return f"{100 * np.mean([row[name] for row in scores]):.1f}"


def with_spread(values):
    """Mean, with the standard deviation where there are several seeds and they differ."""
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 and np.ptp(values) > 0.05 else ""
    return f"{np.mean(values):.1f}{spread}"


def csv_table(title, header, rows):
    """Write a table in reStructuredText, a repeated first cell once."""
    lines = [f".. csv-table:: {title}", "   :header-rows: 1", "   :class: numbers", ""]
    above = None
    for row in [header, *rows]:
        first = "" if row[0] == above else row[0]
        lines.append("   " + ",".join(f'"{cell}"' for cell in [first, *row[1:]]))
        above = row[0]
    return "\n".join(lines) + "\n"
