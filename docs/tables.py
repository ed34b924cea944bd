"""Tables and figures' data from the measured rows in examples/benchmarks/results."""

import json
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parents[1] / "examples" / "benchmarks" / "results"
DATASETS = {
    "reuters": "Reuters-21578 (90 labels)",
    "cooking": "Cooking Stack Exchange tags (735 labels)",
    "tib-bk": "TIB library classes (1,723 labels)",
    "delicious-bow": "Delicious, words in alphabetical order (983 labels)",
}
GROUPS = ("total", "head", "medium", "tail")
ENCODERS = {
    "bilstm": "BiLSTM with attention",
    "cnn": "TextCNN",
    "vote": "BiLSTM and linear TF-IDF, voting",
}
TOKENS = ("cnn", "bilstm")
SWEPT = ("tail AP", "PSP@1", "PSP@5")
MEMBERS = ("lowest member", "mean member", "highest member", "all members")
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
    texts |= siamese_tables(read(results / "hybrid_siamese.jsonl"))
    texts |= head_to_tail_tables(read(results / "head_to_tail.jsonl"))
    texts["treader_xml"] = treader_table(read(results / "treader_xml.jsonl"))
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
    """Make the table of the losses: what the paper has, then ours."""
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
    title = "Documents of Reuters-21578, or vectors, per second of one pass"
    return csv_table(title, header, cells)


def siamese_tables(rows):
    """Make the tables of HSCNN: its parts, the losses, and encoders of tokens."""
    rows = [row for row in in_order(rows) if row["rule"] == "tuned"]
    features = [row for row in rows if row["encoder"] == "bag"]
    tokens = [row for row in rows if row["encoder"] in TOKENS]
    parts = ("tail micro", "tail macro", "total micro", "total macro", "total nDCG@5")
    named = ["tail micro-F1", "tail macro-F1", "micro-F1", "macro-F1", "nDCG@5"]
    plain = [row for row in features if row["loss"] == "bce"]
    tables = {
        f"siamese_{name}": csv_table(
            DATASETS[name],
            ["N_phi", "Row", *named],
            cells_of([row for row in plain if row["dataset"] == name], ("n_phi", "variant"), parts),
        )
        for name in ("reuters", "cooking", "delicious-bow")
    }
    ends = [row for row in features if row["variant"] in ("Sing.", "Our", "Our, auto")]
    keys = ("dataset", "n_phi", "loss", "variant")
    header = ["Data", "N_phi", "Loss", "Row", *named]
    tables["siamese_losses"] = csv_table("By loss", header, cells_of(ends, keys, parts))
    header = ["Data", "Encoder", "N_phi", "Row", *named]
    cells = cells_of(tokens, ("dataset", "encoder", "n_phi", "variant"), parts)
    tables["siamese_tokens"] = csv_table("On tokens, cross-entropy", header, cells)
    return tables


def head_to_tail_tables(rows):
    """Make the tables of HTTN: its variants, encoders of tokens, prototypes and members."""
    rows = in_order(rows)
    features = [row for row in rows if row["encoder"] == "bag"]
    variants = [row for row in features if not row["row"].startswith("S=")]
    tokens = [row for row in rows if row["encoder"] in TOKENS]
    sweep = [row for row in features if row["row"].startswith("S=")]
    sweep.sort(key=lambda row: int(row["row"][2:]))
    members = [row | {"scores": spread_of_members(row)} for row in features if "members" in row]
    columns = ("total micro", "total macro", "tail micro", "tail macro", "tail AP", "P@1", "PSP@5")
    named = ["micro-F1", "macro-F1", "tail micro-F1", "tail macro-F1", *columns[4:]]
    keys = ("dataset", "row")
    by_encoder = ("dataset", "encoder", "row")
    chosen = {
        "": (variants, keys, columns, ["Data", "Row", "Seeds", *named]),
        "_tokens": (tokens, by_encoder, columns, ["Data", "Encoder", "Row", "Seeds", *named]),
        "_prototypes": (sweep, keys, SWEPT, ["Data", "Prototypes", "Seeds", *SWEPT]),
        "_members": (members, keys, MEMBERS, ["Data", "Row", "Seeds", *MEMBERS]),
    }
    return {
        f"head_to_tail{name}": csv_table("Per cent", header, cells_of(rows, keys, columns, True))
        for name, (rows, keys, columns, header) in chosen.items()
    }


def spread_of_members(row):
    """What the members of an ensemble reach by themselves, and all of them together."""
    reached = [member["tail AP"] for member in row["members"]]
    values = min(reached), np.mean(reached), max(reached), row["scores"]["tail AP"]
    return dict(zip(MEMBERS, values, strict=True))


def in_order(rows):
    """Sort rows by data set and encoder, else as they are."""
    names, encoders = list(DATASETS), ["bag", *TOKENS]
    return sorted(
        rows, key=lambda row: (names.index(row["dataset"]), encoders.index(row["encoder"]))
    )


def treader_table(rows):
    """Make the table of TReaderXML: the paper's ablation, and further rows."""
    columns = ("P@1", "P@5", "nDCG@5", "PSP@1", "PSP@5")
    f1s = ("total micro", "total macro", "head macro", "medium macro", "tail macro")
    header = ["Data", "Input", "Row", "Seeds", *columns]
    header += ["micro-F1", "macro-F1", "head", "medium", "tail"]
    rows = [row | {"input": input_of(row)} for row in rows]
    rows.sort(key=lambda row: (list(DATASETS).index(row["dataset"]), row["input"], row["row"]))
    cells = cells_of(rows, ("dataset", "input", "row"), (*columns, *f1s), True)
    return csv_table("Per cent", header, cells)


def input_of(row):
    """What documents a row of TReaderXML was trained on, and in which form."""
    form = "features" if row["encoder"] == "bag" else "tokens"
    form += f", {row['n_train']:,} documents" if row["n_train"] else ""
    return form + (", label names" if row["names"] else "")


def cells_of(rows, keys, columns, count_seeds=False):
    """Make the lines of a table: keys, perhaps the number of seeds, and means in per cent."""
    return [
        [
            *key,
            *([len(scores)] if count_seeds else []),
            *(with_spread([100 * row[name] for row in scores]) for name in columns),
        ]
        for key, scores in by_variant(rows, *keys).items()
    ]


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
