"""What the page on scaling says in figures: growth, other libraries, approximate neighbours.

All are computed from the rows that the benchmarks keep; each function returns the title, the
heading and the lines of a table.
"""

import numpy as np
from scipy.optimize import nnls

PROMISED = {"documents": 1.1, "labels": 1.0}
# Amazon-670K, as the Extreme Classification Repository has it.
AMAZON = {"documents": 490_449, "labels": 670_091, "features": 135_909, "words": 75.7, "of": 5.5}


# -------------------------------------------------------------------------------------- growth


def exponent(sizes, values):
    """The slope of the logarithm of values against that of sizes, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def costs_of(row):
    """The columns of a row of costs."""
    fit, tested = row["fit CPU s"], row["documents"][1]
    each = {name: 1000 * row[f"predict {name}"] / tested for name in ("CPU s", "neighbors CPU s")}
    memory = (row["fit MB"], row["fit MB"] - row["before MB"]) if row.get("fit MB") else (None,) * 2
    return {
        "fit CPU s": fit,
        "of it neighbours": row["fit neighbors CPU s"],
        "all but these": fit - row["fit neighbors CPU s"],
        "of it linear": row["fit linear CPU s"],
        "peak MB": memory[0],
        "of it the fit": memory[1],
        "model MB": row["model MB"],
        "predict, ms/doc": each["CPU s"],
        "of it neighbours, ms": each["neighbors CPU s"],
    }


def series(rows):
    """Rows of one thing that grows and one set of data, by these."""
    found = {}
    for row in sorted(rows, key=lambda r: (r["name"], r["dataset"], r["variant"][r["name"]])):
        found.setdefault((row["name"], row["dataset"]), []).append(row)
    return found


def exponents(some):
    """Exponents of the columns of a series; None where something was not measured, or is 0."""
    sizes = [row["variant"][row["name"]] for row in some]
    columns = {name: [costs_of(row)[name] for row in some] for name in costs_of(some[0])}
    return {
        name: exponent(sizes, values) if len(sizes) > 1 and all(values) else None
        for name, values in columns.items()
    }


def growth(rows):
    """What fits cost, and below each series its exponents."""
    lines = []
    for (name, dataset), some in series(rows).items():
        named = f"{name}, {dataset}{_mark({'stale': any(row['stale'] for row in some)})}"
        for row in some:
            sizes = [f"{row['variant'][one]:,}" for one in ("documents", "labels")]
            lines.append([named, *sizes, *map(_shown, costs_of(row).values())])
        fitted = [_shown(one, 2) for one in exponents(some).values()]
        lines.append([named, "exponent", "", *fitted])
    heading = ["What grows, data", "Documents", "Labels", *(costs_of(rows[0]) if rows else [])]
    return "LongTailClassifier() as documents and labels grow", heading, lines


def _mark(row):
    return " †" if row["stale"] else ""


def _shown(value, digits=1):
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if digits > 1 or abs(value) >= 1 else f"{value:.2f}"


# ------------------------------------------------------------------------------------ on paper


def work_of(size):
    """What the three constants of time are multiplied by, of a fit with all defaults.

    A label is solved roughly and then once for each weight decay, so a path of five counts three
    times as much as one solution. The weight decay is searched on 250 labels.

    Parameters
    ----------
    size : dict
        "documents", "labels", and of a document "words" and labels ("of").

    Returns
    -------
    dict
        "row": numbers in the rows that the solutions of all labels take; "product": in those of
        all documents with all labels; "pair": in those of all pairs of documents that are compared.
    """
    documents, labels, words = (size[name] for name in ("documents", "labels", "words"))
    n_held_out, part = (1, 1 / 6) if labels > 5000 else (3, 1 / 3)
    solved = labels + 3 * min(250, labels)
    rows = min(400 + 30 * size["of"] * documents / labels, documents)
    return {
        "row": words * rows * (labels + n_held_out * solved),
        "product": words * documents * (labels + n_held_out * (1 - part) * solved),
        "pair": n_held_out * part * (1 - part) * documents**2 * words,
    }


def constants(rows):
    """CPU seconds per unit of each part of the work.

    By least squares of relative errors, over real documents whose linear member takes the
    documents that matter; of pairs all together.
    """
    rows = [row for row in rows if _is_sparse(row)]
    works = [work_of(_size_of(row)) for row in rows]
    linear = np.array([[work["row"], work["product"]] for work in works])
    seconds = np.array([row["fit linear CPU s"] for row in rows])
    scale = linear.max(axis=0)
    row, product = nnls(linear / scale / seconds[:, None], np.ones(len(rows)))[0] / scale
    pairs = np.array([work["pair"] for work in works])
    pair = sum(row["fit neighbors CPU s"] for row in rows) / pairs.sum()
    return {"row": float(row), "product": float(product), "pair": float(pair)}


def _is_sparse(row):
    """Whether it is of real documents, and its linear member keeps a part of the weights."""
    dense = 4e-6 * row["features"] * row["variant"]["labels"]
    return row["dataset"] == "tib-gnd" and row["model MB"] < dense


def memory_of(size, weights):
    """Megabytes by the formula of the page; `weights` are those that a label keeps."""
    n, labels = size["documents"], size["labels"]
    held, best, of_neighbours = (n / 6, 100, 20) if labels > 5000 else (n, 25, 20)
    parts = {
        "X, four times": 4 * 8 * n * size["words"],
        "weights, twice": 2 * 8 * labels * weights,
        "labels, three times": 3 * 8 * n * size["of"],
        "a block of labels": 3 * 64 * 4 * (size["features"] + n),
        "pairs": 16 * 8 * held * (best + of_neighbours * size["of"] / 2),
    }
    return {name: bytes_ / 1e6 for name, bytes_ in parts.items()}


def on_paper(rows):
    """The largest row of labels as measured and by the formula, and Amazon-670K by the formula."""
    title = (
        "By the formula, with constants from the rows above: CPU seconds, and MB beyond the data"
    )
    heading = ["", "Documents", "Labels", "solutions", "products", "linear, both", "neighbours"]
    heading += ["memory"]
    sparse = [row for row in rows if _is_sparse(row)]
    if len(sparse) < 2:
        return title, heading, []
    largest = max(sparse, key=lambda row: (row["variant"]["labels"], row["variant"]["documents"]))
    costs, size, found = costs_of(largest), _size_of(largest), constants(rows)
    seconds = costs["of it linear"], costs["of it neighbours"], costs["of it the fit"]
    lines = [["tib-gnd, measured" + _mark(largest), *_sizes(size), "", "", *_rounded(seconds)]]
    weights = max(1e6 * largest["model MB"] - 8 * largest["nonzeros of X"], 0) / 8 / size["labels"]
    for name, one in (("tib-gnd, by the formula", size), ("Amazon-670K, on paper", AMAZON)):
        row, product, pair = (found[part] * work for part, work in work_of(one).items())
        memory = sum(memory_of(one, weights).values())
        values = row, product, row + product, pair, memory
        lines.append([name, *_sizes(one), *_rounded(values)])
    return title, heading, lines


def _sizes(size):
    return [f"{size[name]:,}" for name in ("documents", "labels")]


def _rounded(values):
    return ["-" if value is None else f"{value:,.0f}" for value in values]


def _size_of(row):
    documents, labels = (row["variant"][name] for name in ("documents", "labels"))
    means = {"words": "nonzeros of X", "of": "nonzeros of Y"}
    per_document = {name: row[nonzeros] / documents for name, nonzeros in means.items()}
    sizes = {"documents": documents, "labels": labels, "features": row["features"]}
    return sizes | per_document


# --------------------------------------------------------------------- others, and other indices


def rivals(rows):
    """Our default beside tree learners: rankings and costs."""
    heading = ["Data", "Who", "P@1", "P@3", "P@5", "PSP@1", "PSP@3", "PSP@5"]
    heading += ["fit CPU s", "peak MB", "model MB", "docs/s"]
    lines = []
    for row in sorted(rows, key=lambda row: row["dataset"]):
        mark = _mark(row)
        scores = [f"{100 * row['scores'][name]:.1f}" for name in heading[2:8]]
        peak = max(row["fit MB"] or 0, row["predict MB"] or 0)
        costs = [_shown(row["fit CPU s"]), f"{peak:.0f}", _shown(row["model MB"])]
        speed = row["documents"][1] / row["predict CPU s"]
        who = "LongTailClassifier()" if row["name"] == "skmltc" else _named(row)
        lines.append([row["dataset"], who + mark, *scores, *costs, f"{speed:,.0f}"])
    return "Rankings of the same features, in per cent; one thread", heading, lines


def _named(row):
    library = {"pecos": "libpecos"}.get(row["name"], row["name"])
    return f"{row['name']} {row['versions'][library]}"


def approximate(rows):
    """Exact neighbours and approximate ones: seconds, and what share is found."""
    heading = ["Data", "Vectors", "Documents", "Index", "recall of 50", "index, CPU s"]
    heading += ["ms per query", "every document once, CPU s", "level at, documents"]
    lines = []
    exact = {_asked(row): row for row in rows if row["name"] == "exact"}
    for row in sorted(rows, key=lambda row: (row["dataset"], *row["variant"].values())):
        kind, documents = row["variant"]["vectors"], row["variant"]["documents"]
        once = row["fit CPU s"] + documents * row["query CPU s"]
        figures = map(_shown, (row["fit CPU s"], 1000 * row["query CPU s"], once))
        found = f"{100 * row['scores']['recall']:.1f}"
        named = [row["dataset"], kind, f"{documents:,}", row["name"] + _mark(row), found]
        level = "" if row["name"] == "exact" else f"{level_at(row, exact[_asked(row)]):,.0f}"
        lines.append([*named, *figures, level])
    return "Neighbours, exact and approximate; recall in per cent", heading, lines


def level_at(row, exact):
    """Documents at which the index takes as long as the exact search, every one looked up once.

    The seconds of an exact query grow with the documents, as those do that make the index.
    """
    documents = row["variant"]["documents"]
    return (row["fit CPU s"] + documents * row["query CPU s"]) / exact["query CPU s"]


def _asked(row):
    return row["dataset"], tuple(row["variant"].items())
