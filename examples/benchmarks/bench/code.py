"""Hashes of the code that a row depends on, so that rows of older code are known as such.

An estimator depends on its folder, on what reads texts and measures, and on every file of the
package that is imported from there, directly or not. Docstrings and comments do not count.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

import skmltc

PACKAGE = Path(skmltc.__file__).parent
MODELS = Path(__file__).parent / "models.py"
# What the models of that file depend on.
USED_BY = {
    "LinearSVC": ("decision",),
    "LinearSVC, all chosen": ("decision",),
    "from_texts": ("long_tail",),
    "stack": ("long_tail",),
    "SVM of the paper": ("decision",),
    "vote": ("balanced_loss", "decision"),
}


@cache
def hash_of_code(estimator):
    """Hash of the files that a model depends on."""
    folder = skmltc._ESTIMATORS.get(estimator)
    starts = {"metrics", "text", *((folder,) if folder else USED_BY[estimator])}
    files = set().union(*map(reached_from, starts))
    codes = [f"{file.relative_to(PACKAGE)}\n{code_of(file)}" for file in files]
    return hash_of_text("\n".join([*sorted(codes), *([] if folder else [code_of(MODELS)])]))


def hash_of_text(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def code_of(path):
    """The lines of a file without docstrings and lines of comment."""
    text = path.read_text(encoding="utf-8")
    skipped = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped |= set(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(text.splitlines(), start=1)
    kept = (line.rstrip() for number, line in lines if number not in skipped)
    return "\n".join(line for line in kept if line and not line.lstrip().startswith("#"))


def reached_from(unit):
    """The files of a folder or file of the package, and all that they import of it."""
    reached, ahead = set(), files_of(unit)
    while ahead:
        reached |= ahead
        ahead = set().union(*map(imported_by, ahead)) - reached
    return reached


def files_of(unit):
    """Files of a folder, or the one file, without the package's own face."""
    path = PACKAGE.joinpath(*unit.split("."))
    return set(path.glob("*.py")) if path.is_dir() else {path.with_suffix(".py")}


@cache
def imported_by(path):
    """Files of the package that a file imports; of a folder all."""
    parts = path.relative_to(PACKAGE).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = list(parts[: len(parts) - node.level + 1])
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                found |= files_of(".".join([*base, *name.split(".")]))
    return {file for file in found if file.exists()}
