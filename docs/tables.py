"""Tables and figures of the pages, and of the README, from the rows that the benchmarks keep.

    python docs/tables.py        # writes the tables of README.md anew

A page includes ``generated/NAME.inc`` (an entry of `TABLES`), and takes a single figure by
``{{TABLE DATASET ROW SCORE name=value ...}}``: the mean over the seeds, in per cent.
"""

import json
import re
import shlex
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "examples" / "benchmarks"), str(ROOT / "docs")]

import approximate  # noqa: E402
import cost_tables  # noqa: E402
import rivals  # noqa: E402
from bench import rows as kept  # noqa: E402

RESULTS = kept.RESULTS
DATASETS = {
    "reuters": "Reuters-21578 (90 labels)",
    "cooking": "Cooking Stack Exchange tags (735 labels)",
    "tib-bk": "TIB library classes (1,723 labels)",
    "tib-gnd": "TIB subject headings (15,861 labels)",
    "tib-bk leaves": "TIB library classes without the main classes (1,675 labels)",
    "reuters held out": "Reuters-21578, training documents held out",
    "cooking held out": "Cooking Stack Exchange tags, training documents held out",
    "delicious-bow": "Delicious, words in alphabetical order (983 labels)",
}
GROUPS = ("total", "head", "medium", "tail")
STALE = "†"
NOT_YET = "No row of this table is measured yet.\n"
NOTE = f"{STALE} measured with older code or settings"

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


class Table(NamedTuple):
    """What a table of a page shows: which rows, and which of their scores.

    Parameters
    ----------
    of : str
        The table of the benchmarks.
    where : dict
        Attributes that a row must have, as names of one value or of several; None is "absent".
    keys : dict
        Headings, and the attributes below them.
    scores : dict
        Headings, and the scores below them; of two scores "a/b".
    title : str
    """

    of: str
    where: dict
    keys: dict
    scores: dict
    title: str = "Per cent"


F1S = {"micro-F1": "total micro", "macro-F1": "total macro"}
TAIL = {"tail micro-F1": "tail micro", "tail macro-F1": "tail macro"}
BY_GROUP = {name: (f"{name} micro", f"{name} macro") for name in GROUPS}
COUNTS = {"tail pairs predicted": "tail predicted pairs", "tail pairs": "tail true pairs"}
SUMMARY = F1S | {"tail macro-F1": "tail macro", "PSP@5": "PSP@5", "CPU s": "fit CPU s"}
SUMMARISED = {"cut": ("default", "own", "tuned_low", "frequency")}
METHOD = {"Method": "name", "Cut": "cut"}
SIAMESE = TAIL | F1S | {"nDCG@5": "nDCG@5"}
TRANSFER = F1S | TAIL | {"tail AP": "tail AP", "P@1": "P@1", "PSP@5": "PSP@5"}
SWEEP = {"tail AP": "tail AP", "PSP@1": "PSP@1", "PSP@5": "PSP@5"}
READER = {n: n for n in ("P@1", "P@5", "nDCG@5", "PSP@1", "PSP@5")}
READER |= F1S | {name: f"{name} macro" for name in GROUPS[1:]}
DATA, ENCODER, ROW, LOSS, PHI = (
    {heading: name}
    for heading, name in (
        ("Data", "dataset"),
        ("Encoder", "encoder"),
        ("Row", "name"),
        ("Loss", "loss"),
        ("N_phi", "n_phi"),
    )
)
TOKENS = ("cnn", "bilstm")
BEST_READ = ("tfidf", "vectors 128 and texts", "vectors 128 and tfidf")
OURS = {"mode": None, "cut": None}  # of HSCNN and others: not as published, cut by a rule
THEIRS = {"mode": "as published"}
MEMBERS = {n: n for n in ("lowest member", "mean member", "highest member", "all members")}
FURTHER = {"Documents": "documents", "Words per label": "words per label"}
FURTHER |= {"Parents": "parents", "Described by": "described by", "Head": "head"}

TABLES = {
    **{
        f"{name}_summary": Table(
            "defaults", {"dataset": name, "input": "tfidf"} | SUMMARISED, METHOD, SUMMARY, title
        )
        for name, title in DATASETS.items()
    },
    **{
        f"{name}_all": Table(
            "defaults",
            {"dataset": name, "input": "tfidf"},
            METHOD,
            BY_GROUP | {n: n for n in ("P@1", "P@5", "PSP@5")},
            title,
        )
        for name, title in DATASETS.items()
    },
    "defaults_tokens": Table("defaults", {"input": "tokens 128"}, DATA | ROW, SUMMARY),
    "balanced_scale": Table(
        "defaults",
        {"dataset": ("tib-bk", "tib-gnd"), "name": "BalancedLossClassifier", "cut": "default"},
        *(DATA | METHOD, SUMMARY, "Library catalogues of 1,723 and 15,861 labels"),
    ),
    "networks": Table(
        *("losses", {"name": "auto", "encoder": ("bilstm", "cnn", "vote")}),
        *({"Method": "estimator", "Encoder": "encoder"}, SUMMARY, "Reuters-21578, tokens"),
    ),
    **{
        f"networks_{name}": Table(
            "treader_xml",
            {"dataset": name, "input": "tokens 128", "name": ("6, no teacher", "defaults")} | OURS,
            {"Method": "estimator", "Encoder": "name"},
            SUMMARY,
            f"{title}, tokens",
        )
        for name, title in (("reuters", "Reuters-21578"), ("cooking", "Cooking tags"))
    },
    "history": Table(
        *("history", {}, DATA | {"Input": "input"} | ROW | {"Commit": "commit"}),
        F1S | {"tail macro-F1": "tail macro", "CPU s": "fit CPU s"},
    ),
    "chosen": Table(
        "defaults_chosen",
        {"estimator": "BalancedLossClassifier"},
        DATA | ENCODER | {"Loss": "name"},
        *(F1S | {"tail macro-F1": "tail macro", "PSP@5": "PSP@5"}, "Per cent, held-out documents"),
    ),
    "chosen_transfer": Table(
        "defaults_chosen",
        {"estimator": "HeadToTailClassifier"},
        DATA | {"All by default, but": "name"},
        *(F1S | TAIL | {"tail AP": "tail AP"}, "Per cent, held-out documents"),
    ),
    "calibration": Table(
        *("calibration", {}, DATA | ROW),
        {n: n for n in ("sum", "ece", "tail ece", "predicted")} | F1S,
    ),
    **{
        f"long_tail_{name}": Table(
            *("long_tail", {"dataset": name}, ROW | {"Reads": "input"}),
            F1S
            | {"tail macro-F1": "tail macro", "PSP@5, weighed": "weighed PSP@5"}
            | {n: n for n in ("ece", "tail ece")}
            | {"CPU s": "fit CPU s"},
            title,
        )
        for name, title in (("reuters", "Reuters-21578"), ("cooking", "Cooking tags"))
        + (("tib-bk", "TIB library classes"),)
    },
    **{
        f"deviations_{estimator}": Table(
            *("deviations", {"estimator": estimator}, {"All by default, but": "name"}),
            F1S | TAIL | {"PSP@5": "PSP@5", "CPU s": "fit CPU s"},
            "Reuters-21578, TF-IDF features, per cent",
        )
        for estimator in (
            *("BalancedLossClassifier", "HybridSiameseClassifier"),
            *("HeadToTailClassifier", "TReaderXMLClassifier"),
        )
    },
    "small_data": Table(
        *("small_data", {}, DATA | {"Documents": "documents", "Method": "estimator"}),
        F1S
        | {"tail macro-F1": "tail macro", "PSP@5, weighed": "weighed PSP@5"}
        | {"ece": "ece", "sum": "sum", "CPU s": "fit CPU s"},
    ),
    **{
        f"stack_{name}": Table(
            "long_tail",
            {"dataset": name, "name": ("default", "from_texts", "LinearSVC"), "input": BEST_READ},
            {"Method": "estimator", "Reads": "input"},
            F1S | {"tail macro-F1": "tail macro", "PSP@5": "weighed PSP@5", "CPU s": "fit CPU s"},
            title,
        )
        for name, title in DATASETS.items()
    },
    **{
        f"siamese_{name}": Table(
            "hybrid_siamese",
            {"dataset": name, "encoder": "bag", "loss": "bce"} | OURS,
            PHI | ROW,
            SIAMESE,
            DATASETS[name],
        )
        for name in ("reuters", "cooking", "delicious-bow")
    },
    "new_labels": Table(
        *("new_labels", {}, DATA | {"Model": "name"}),
        F1S | {"mean average precision": "tail AP", "CPU s of adding": "fit CPU s"},
        "New labels, in per cent",
    ),
    "siamese_losses": Table(
        "hybrid_siamese",
        {"encoder": "bag", "name": ("Sing.", "Our", "Our, auto")} | OURS,
        DATA | PHI | LOSS | ROW,
        SIAMESE,
        "By loss",
    ),
    "siamese_tokens": Table(
        "hybrid_siamese",
        {"encoder": TOKENS} | OURS,
        DATA | ENCODER | PHI | ROW,
        SIAMESE,
        "On tokens, cross-entropy",
    ),
    "siamese_published": Table(
        "hybrid_siamese",
        THEIRS,
        DATA | PHI | {"Triplets": "n_triplets"} | LOSS | ROW,
        SIAMESE | COUNTS,
        "As published",
    ),
    "head_to_tail": Table(
        "head_to_tail",
        {"encoder": "bag", "n_prototypes": None} | OURS,
        DATA | ROW,
        TRANSFER,
    ),
    "head_to_tail_tokens": Table(
        "head_to_tail", {"encoder": TOKENS} | OURS, DATA | ENCODER | ROW, TRANSFER
    ),
    "head_to_tail_prototypes": Table(
        "head_to_tail",
        {"name": tuple(f"S={n}" for n in range(100))} | OURS,
        DATA | {"Prototypes": "name"},
        SWEEP,
    ),
    "head_to_tail_members": Table(
        "head_to_tail", {"encoder": "bag", "members": True}, DATA | ROW, MEMBERS
    ),
    "head_to_tail_published": Table(
        "head_to_tail",
        THEIRS,
        DATA | {"n_tail": "n_tail", "Prototypes": "n_prototypes"} | ROW,
        TRANSFER | {"nDCG@3": "nDCG@3"} | COUNTS,
        "As published",
    ),
    "treader_xml": Table("treader_xml", OURS, DATA | {"Input": "input"} | FURTHER | ROW, READER),
    "treader_xml_published": Table(
        "treader_xml", THEIRS, DATA | FURTHER | ROW, READER, "As published"
    ),
}


# ---------------------------------------------------------------------------------- kept rows


@cache
def rows_of(table, results=RESULTS):
    """Kept rows of a table as they are declared, then others; each knows whether it is stale."""
    declared = kept.rows_of(table) if table in kept.table_names() else ()
    place = {row.key(None): i for i, row in enumerate(declared)}
    rows = [
        row | {"stale": kept.is_stale(row, table)} for row in kept.read(results / f"{table}.jsonl")
    ]
    return sorted(rows, key=lambda row: place.get(kept.key_of(row | {"seed": None}), len(place)))


def attribute(row, name):
    """What a row is: of the row itself, else what tells it apart from others of its name."""
    if name in ("name", "dataset", "input", "estimator"):
        return row[name]
    if name == "members":
        return True if "members" in row else None
    return row.get("variant", {}).get(name)


def chosen(rows, where):
    """The rows that have these attributes."""
    allowed = {n: v if isinstance(v, tuple) else (v,) for n, v in where.items()}
    return [row for row in rows if all(attribute(row, n) in v for n, v in allowed.items())]


def score(row, name):
    """A score in per cent, or seconds or counts as they are; None where it was not measured."""
    if name in MEMBERS:
        reached = [one["tail AP"] for one in row["members"]]
        values = min(reached), np.mean(reached), max(reached), row["scores"]["tail AP"]
        return 100 * dict(zip(MEMBERS, values, strict=True))[name]
    value = row.get(name, row["scores"].get(name))
    if value is None or name.endswith(("CPU s", "pairs")):
        return value
    return 100 * value


def variants(rows, names):
    """Rows that differ in the seed alone, by the attributes that are shown."""
    found = {}
    for row in rows:
        shown = tuple(attribute(row, name) for name in names)
        found.setdefault(shown, []).append(row)
    return found


# --------------------------------------------------------------------------------------- cells


def cells_of(rows, table):
    """The lines of a table below its headings, and whether one of them is stale."""
    lines = []
    for shown, some in variants(rows, table.keys.values()).items():
        key = ["" if value is None else f"{value}" for value in shown]
        key[-1] += f" {STALE}" if any(row["stale"] for row in some) else ""
        lines.append([*key, len(some), *(cell(some, name) for name in table.scores.values())])
    return lines, any(row["stale"] for row in rows)


def cell(rows, name):
    """Mean and spread of a score over the seeds; of two scores their means."""
    if isinstance(name, tuple):
        return "/".join(mean_of(rows, one) for one in name)
    values = [score(row, name) for row in rows]
    return (
        "-" if None in values else with_spread(values, 0 if name.endswith((" s", "pairs")) else 1)
    )


def mean_of(rows, name):
    return f"{np.mean([score(row, name) for row in rows]):.1f}"


def with_spread(values, digits=1):
    """Mean, with the standard deviation where there are several seeds and they differ."""
    differ = digits and len(values) > 1 and np.ptp(values) > 0.05
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if differ else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def without_empty(heading, lines):
    """Leave out the columns in which no line has anything."""
    filled = [i for i in range(len(heading)) if any(line[i] not in ("", "-") for line in lines)]
    return [[line[i] for i in filled] for line in (heading, *lines)]


def in_cells(table, results=RESULTS):
    """A table as heading and lines, and whether one of the lines is stale."""
    rows = chosen(rows_of(table.of, results), table.where)
    rows.sort(key=lambda row: list(DATASETS).index(row["dataset"]))
    lines, stale = cells_of(rows, table)
    return [[*table.keys, "Seeds", *table.scores], *lines], stale


# --------------------------------------------------------------------------------------- pages


def write(results, folder):
    """Write every table as a file that a page includes."""
    folder.mkdir(exist_ok=True)
    texts = {name: of_page(table, results) for name, table in TABLES.items()}
    texts["losses"] = losses_table(results)
    texts["speed"] = speed_table(results)
    texts["gpu"] = gpu_table(results)
    texts |= cost_texts(results)
    for name, text in texts.items():
        (folder / f"{name}.inc").write_text(text, encoding="utf-8")


def of_page(table, results):
    (heading, *lines), stale = in_cells(table, results)
    if not lines:
        return NOT_YET
    heading, *lines = without_empty(heading, lines)
    return csv_table(table.title + (f"; {NOTE}" if stale else ""), heading, lines)


def losses_table(results):
    """Make the table of the losses: what the paper has, then ours."""
    rows = rows_of("losses", results)
    names = dict.fromkeys([*PUBLISHED, *(row["name"] for row in rows)])
    lines = []
    for name in names:
        if name in PUBLISHED:
            encoder = "TF-IDF" if name == "SVM" else "BERT"
            lines.append([name, f"{encoder}, paper", "", *PUBLISHED[name].split()])
        ours = [row for row in rows if row["name"] == name]
        for (_, encoder, mode), some in variants(ours, ("name", "encoder", "mode")).items():
            shown = ", ".join(part for part in (encoder or "TF-IDF", mode or "ours") if part)
            shown += f" {STALE}" if any(row["stale"] for row in some) else ""
            lines.append([name, shown, len(some), *(cell(some, n) for n in BY_GROUP.values())])
    stale = f"; {NOTE}" if any(row["stale"] for row in rows) else ""
    title = f"Reuters-21578: micro-F1/macro-F1 by label group, in per cent{stale}"
    return csv_table(title, ["Loss", "Encoder", "Seeds", *GROUPS], lines)


def speed_table(results):
    """Make the table of what is compared in training speed."""
    lines = [
        [
            row["name"] + (f" {STALE}" if is_stale_speed(row) else ""),
            *row["variant"].values(),
            *(f"{row['documents'] / row[name]:.0f}" for name in ("ours CPU s", "bare CPU s")),
            f"{row['bare CPU s'] / row['ours CPU s']:.2f}",
        ]
        for row in kept.read(results / "speed.jsonl")
    ]
    heading = ["Question", "Encoder", "Batch size", "docs/s, ours", "docs/s, bare", "ratio"]
    title = f"Documents of Reuters-21578, or vectors, per CPU second of one pass; {NOTE}"
    return csv_table(title, heading, lines)


def gpu_table(results):
    """Make the table of training speed on a GPU, of what tests/gpu.sh printed."""
    lines, rates = [], ("ours docs/s", "bare docs/s", "padded docs/s")
    path = results / "gpu.jsonl"
    printed = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    for row in map(json.loads, printed):
        if row["what"] == "machine":
            machine = row["device"], row["torch"], row["commit"]
        elif row["what"] == "speed":
            shown = (f"{row[name]:.0f}" if name in row else "" for name in rates)
            lines.append([row["encoder"], row["documents"], *shown, *machine])
    heading = ["Encoder", "Documents", *rates, "GPU", "torch", "Commit"]
    return csv_table("Documents of one pass per second of wall-clock", heading, lines)


def cost_texts(results):
    """Make the tables of the page on scaling."""
    costs = rows_of("scaling", results)
    others = [
        [row | {"stale": script.is_stale(row)} for row in kept.read(results / f"{name}.jsonl")]
        for name, script in (("rivals", rivals), ("approximate", approximate))
    ]
    made = {
        "growth": (cost_tables.growth, costs),
        "on_paper": (cost_tables.on_paper, costs),
        "rivals": (cost_tables.rivals, others[0]),
        "approximate": (cost_tables.approximate, others[1]),
    }
    return {name: _with_note(*make(rows), rows) for name, (make, rows) in made.items()}


def _with_note(title, heading, lines, rows):
    stale = f"; {NOTE}" if any(row["stale"] for row in rows) else ""
    return csv_table(title + stale, heading, lines) if lines else NOT_YET


def is_stale_speed(row):
    """Whether the script of the speed, or what it measures, has changed since."""
    now = kept.marks_of_script(kept.FOLDER / "speed.py", "HeadToTailClassifier")
    return any(row.get(name) != value for name, value in now.items())


def csv_table(title, header, rows):
    """Write a table in reStructuredText, a repeated first cell once."""
    lines = [f".. csv-table:: {title}", "   :header-rows: 1", "   :class: numbers", ""]
    above = None
    for row in [header, *rows]:
        first = "" if row[0] == above else row[0]
        lines.append("   " + ",".join(f'"{cell}"' for cell in [first, *row[1:]]))
        above = row[0]
    return "\n".join(lines) + "\n"


def substitute(text, results=RESULTS):
    """Put figures in the place of their names in double braces."""
    return re.sub(r"\{\{(.*?)\}\}", lambda found: figure(found[1], results), text, flags=re.DOTALL)


def figure(words, results=RESULTS):
    """Mean over the seeds of a score that a page names, in per cent."""
    table, dataset, name, wanted, *further = shlex.split(words)
    where = {"dataset": dataset, "name": name, **dict(one.split("=", 1) for one in further)}
    found = chosen_by_text(rows_of(table, results), where)
    if len({kept.key_of(row | {"seed": None}) for row in found}) != 1:
        raise ValueError(f"a figure must be of one row. Got {len(found)} instead: {words}")
    stale = STALE if any(row["stale"] for row in found) else ""
    return mean_of(found, wanted) + stale


def chosen_by_text(rows, where):
    """As `chosen`, with values as they are written; attributes that are not named are absent."""
    names = {*where, "mode", "cut"} - ({"cut"} if "cut" not in where else set())
    return [
        row for row in rows if all(str(attribute(row, n) or "") == where.get(n, "") for n in names)
    ]


# -------------------------------------------------------------------------------------- README


IN_README = {
    "stack": [f"stack_{name}" for name in ("reuters", "cooking", "tib-bk")],
    "networks": ["networks", "networks_reuters", "networks_cooking"],
}


def readme(text, results=RESULTS):
    """Write the tables of the README anew, between their marks."""
    pattern = r"(<!-- rows: (\w+) -->\n).*?(<!-- end of rows -->)"
    return re.sub(
        pattern, lambda m: m[1] + markdown(IN_README[m[2]], results) + m[3], text, flags=re.DOTALL
    )


def markdown(names, results):
    """Tables below each other as one, the title in the first column."""
    lines, any_stale, heading = [], False, None
    for name in names:
        (heading, *some), stale = in_cells(TABLES[name], results)
        lines += [[TABLES[name].title if i == 0 else "", *line] for i, line in enumerate(some)]
        any_stale |= stale
    heading, *lines = without_empty(["Data", *heading], lines)
    table = [heading, ["---"] * len(heading), *lines]
    text = "".join("| " + " | ".join(map(str, line)) + " |\n" for line in table)
    return text + (f"\n{NOTE}.\n" if any_stale else "")


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text(encoding="utf-8")), encoding="utf-8")
