"""Definitions of source files: the lines of each that decide figures, and the names in them."""

import ast
import re
import textwrap
from collections import defaultdict
from functools import cached_property
from typing import NamedTuple


class Place(NamedTuple):
    """Where a definition stands: a module, and "name", "Class.method", or "" for the module."""

    module: tuple
    name: str


class Definition(NamedTuple):
    """The lines of a definition that count, and what they name."""

    lines: str
    names: frozenset  # that the module knows
    words: frozenset  # that may be attributes as well


class Module:
    """What a file defines and imports."""

    def __init__(self, parts, path):
        self.parts, self.path = parts, path
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)

    @cached_property
    def words(self):
        """All names and attributes of the file."""
        return words_of([self.tree])[1]

    @cached_property
    def imports(self):
        """Names that come from elsewhere, as parts of a module and the name there."""
        folder = self.parts if self.path.name == "__init__.py" else self.parts[:-1]
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                base = folder[: len(folder) - node.level + 1] if node.level else ()
                module = (*base, *(node.module or "").split(".")) if node.module else base
                found |= {one.asname or one.name: (module, one.name) for one in node.names}
            elif isinstance(node, ast.Import):
                names = (one.name.partition(".")[0] for one in node.names)
                found |= {name: ((name,), "") for name in names}
        return found

    @cached_property
    def nodes(self):
        """The nodes that define each name; methods as "Class.method"."""
        found = defaultdict(list)
        for node in self.tree.body:
            for name in names_bound_by(node):
                found[name].append(node)
            for method in methods_of(node):
                found[f"{node.name}.{method.name}"].append(method)
        return found

    def definition(self, name):
        """Lines and names of a definition; of a class without its methods."""
        nodes = self.nodes.get(name, [])
        out = [m for node in nodes for m in methods_of(node)]
        skipped = {id(one) for node in nodes for one in ast.walk(node) if is_idle(one)}
        skipped |= set(map(id, out))
        lines = [textwrap.dedent(self._lines(node, skipped)) for node in nodes]
        return Definition("\n".join(lines), *words_of(nodes, skipped))

    def _lines(self, node, skipped):
        dropped = {n for one in ast.walk(node) if id(one) in skipped for n in numbers_of(one)}
        every = self.text.splitlines()
        kept = (every[n - 1].rstrip() for n in numbers_of(node) if n not in dropped)
        lines = (line for line in kept if line and not line.lstrip().startswith("#"))
        return re.sub(r"\b_+(?=[A-Za-z])", "", "\n".join(lines))  # private or not is no matter


def numbers_of(node):
    """Numbers of the lines of a node, with its decorators."""
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    return range(first, node.end_lineno + 1)


def methods_of(node):
    inner = node.body if isinstance(node, ast.ClassDef) else []
    return [one for one in inner if isinstance(one, ast.FunctionDef)]


def names_bound_by(node):
    """Names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    names = (one for one in ast.walk(node) if isinstance(one, ast.Name))
    return {one.id for one in names if isinstance(one.ctx, ast.Store)}


def is_idle(node):
    """Whether a statement decides no figure: a docstring, a warning, a check, an error."""
    if isinstance(node, ast.If):
        binds = any(isinstance(one, ast.NamedExpr) for one in ast.walk(node.test))
        return not binds and all(map(is_idle, [*node.body, *node.orelse]))
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or complains(node.value)
    return isinstance(node, ast.Raise)


def complains(node):
    """Whether all that a call can do is to warn or to raise."""
    called = getattr(node, "func", None)
    name = getattr(called, "id", getattr(called, "attr", ""))
    return name == "warn" or name.lstrip("_").startswith("check_")


def words_of(nodes, skipped=()):
    """Names in nodes, and all words: names, attributes, and texts that could be either."""
    names, words, ahead = set(), set(), list(nodes)
    while ahead:
        node = ahead.pop()
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.Constant) and str(node.value).isidentifier():
            words.add(str(node.value))
        ahead += ast.iter_child_nodes(node)
    return frozenset(names), frozenset(names | words)
