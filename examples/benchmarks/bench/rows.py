"""Rows: what a table declares, and what is kept of a measurement."""

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from .code import hash_of_code, hash_of_text

FOLDER = Path(__file__).parents[1]
RESULTS = FOLDER / "results"
TABLES = FOLDER / "tables"
NOTHING: Mapping = MappingProxyType({})
PAPERS_OF_REUTERS = {"min_head_count": 35, "max_tail_count": 8}


class Transformer(NamedTuple):
    """Stands for a transformer in a row's parameters; its folder is given to the runner."""

    pooling: str = "mean"
    trainable: bool = True


@dataclass(frozen=True)
class Row:
    """One row of a table: what is fitted on what. The seed is the runner's.

    Parameters
    ----------
    name : str
        What the paper or the page calls the row.
    dataset : str
        A folder of the data; "tib-bk leaves" has the main classes as parents alone; "made-up"
        needs no folder.
    input : str
        How documents are read: "tfidf" (what the README recommends), "tfidf, plain"
        (scikit-learn's defaults), "tokens 128", "texts", or, with a transformer, "vectors 128",
        "vectors 128 and tfidf", "vectors 128 and texts" (for `VectorsOfTexts`, encoded before the
        fit is timed) and "word pieces 128".
    estimator : str
        A class of `skmltc`, or one of `bench.models.OTHERS`.
    parameters : mapping, default={}
        Of the estimator. Where `published` is given, what is changed of that row, such as sizes
        that fit a CPU.
    published : str, optional
        The row of the paper, for `as_published`; `as_released` as there.
    variant : mapping, default={}
        What tells rows of one name apart on the pages, such as the loss.
    groups : mapping, default={}
        Bounds of `label_groups`.
    validation : int, default=0
        So many training documents are given to `fit` as validation documents. Labels are then
        counted on the others.
    n_train : int, optional
        Train on so many documents, drawn with seed 0.
    parents, names : bool, default=False
        Whether the estimator gets the hierarchy, and the names of the labels as texts.
    calibration : bool, default=False
        Whether probabilities are compared with frequencies too.
    n_added : int, default=0
        So many labels are withheld with all their documents, and added later with five each, see
        `bench.new_labels`: the scores, and the seconds of the fit, are of these alone.
    sizes : mapping, default={}
        Of a row of costs: "documents", "labels" and how they are "chosen", see `bench.costs`.
    seeds : int, optional
        At most so many seeds, where one takes long.
    """

    name: str
    dataset: str
    input: str
    estimator: str
    parameters: Mapping = field(default_factory=dict)
    published: str | None = None
    as_released: bool = True
    variant: Mapping = field(default_factory=dict)
    groups: Mapping = field(default_factory=dict)
    validation: int = 0
    n_train: int | None = None
    parents: bool = False
    names: bool = False
    calibration: bool = False
    n_added: int = 0
    sizes: Mapping = field(default_factory=dict)
    seeds: int | None = None

    def declared(self):
        """What decides the figures, and the names, in values that JSON knows; defaults left out."""
        left_out = {"seeds"} | ({"as_released"} if self.published is None else set())
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: plain(value)
            for name, value in values.items()
            if name not in left_out and (value or name == "as_released")
        }

    def key(self, seed):
        """What tells rows of a table apart."""
        return key_of(self.declared() | {"seed": seed})

    def marks(self):
        """Hashes of the declaration and of the code that it runs."""
        text = json.dumps(self.declared(), sort_keys=True)
        code = hash_of_code(self.estimator, *asked_of(self.declared()))
        return {"declared": hash_of_text(text), "code": code}


def asked_of(declared):
    """Which files of `bench` ask the model of a row, and what else is asked of it."""
    files = {"n_added": "new_labels", "sizes": "costs"}
    asking = tuple(file for name, file in files.items() if name in declared)
    return asking, ("as_published",) if "published" in declared else ()


def plain(value):
    """A value as JSON has it; a spec as its name with the parameters that are no defaults."""
    if isinstance(value, Transformer):
        return {"Transformer": value._asdict()}
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "get_params"):
        defaults = type(value)().get_params(deep=False)
        given = value.get_params(deep=False).items()
        return {type(value).__name__: {n: plain(v) for n, v in given if v != defaults[n]}}
    return value


def key_of(measured):
    """What tells kept rows apart, of a row as it is kept."""
    variant = json.dumps(measured.get("variant", {}), sort_keys=True)
    return *(measured[name] for name in ("name", "dataset", "input")), variant, measured["seed"]


# ------------------------------------------------------------------------------- declared tables


def table_names():
    """Names of all tables that are declared."""
    return sorted(path.stem for path in TABLES.glob("*.py"))


@cache
def rows_of(table):
    """The rows that a table declares."""
    path = TABLES / f"{table}.py"
    spec = importlib.util.spec_from_file_location(f"benchmark_table_{table}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return tuple(module.ROWS)


# ------------------------------------------------------------------------------------- kept rows


def read(path):
    """Rows of a file of JSON lines, of each the one measured last; none where there is no file.

    A last line without an end was cut off while it was written, and is left out.
    """
    text = path.read_text(encoding="utf-8") if path and path.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return list({key_of(row): row for row in map(json.loads, lines)}.values())


def append(path, row):
    """Add a row to a file; what was cut off at its end gives way."""
    if path.exists():
        kept = path.read_bytes()
        path.write_bytes(kept[: kept.rfind(b"\n") + 1])
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def rewrite(path, rows):
    """Keep these rows alone, all or nothing."""
    beside = path.with_suffix(".tmp")
    beside.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    beside.replace(path)


def is_stale(measured, table):
    """Whether a kept row is of other code or of another declaration than those of today."""
    return any(measured.get(name) != value for name, value in _marks_of(table, measured).items())


def _marks_of(table, measured):
    """Hashes of today; of a row that is not declared any more, one that no row has."""
    return _marks(table).get(key_of(measured | {"seed": None}), {"declared": "nothing"})


@cache
def _marks(table):
    if table not in table_names():
        return {}
    return {row.key(None): row.marks() for row in rows_of(table)}


def marks_of_script(path, estimator):
    """The hashes of a row that a script of its own has measured."""
    text = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return {"declared": text, "code": hash_of_code(estimator)}
