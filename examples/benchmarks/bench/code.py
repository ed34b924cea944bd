"""Hashes of the code that a row depends on, so that rows of older code are known as such.

A row depends on the functions, classes, methods and constants of the package that its estimator
reaches by the names in their code, wherever they stand. What cannot change a figure does not
count: docstrings, comments, warnings, and errors, which a fit that was measured has not met.
"""

import ast
import hashlib
import textwrap
from collections import defaultdict
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import skmltc

ROOTS = {"skmltc": Path(skmltc.__file__).parent, "bench": Path(__file__).parent}
EVERY_ROW = ("measure", "data")  # asks what is fitted, and makes what it gets


@cache
def hash_of_code(estimator, files=(), methods=()):
    """Hash of what a model, and what is asked of it, depends on.

    Parameters
    ----------
    estimator : str
        A class of `skmltc`, or one of `bench.models.OTHERS`.
    files : tuple of str
        Files of `bench` that ask the model, besides those that ask every model.
    methods : tuple of str
        What else is asked.
    """
    return hash_of(reached_by(estimator, files, methods))


def reached_by(estimator, files=(), methods=()):
    """Definitions by place, as for `hash_of_code`."""
    asking = [module_of("bench", name) for name in (*EVERY_ROW, *files)]
    starts = {start_of(estimator)}.union(*(one.taken_from_the_package() for one in asking))
    return reached(starts, set(methods).union(*(one.words for one in asking)))


def hash_of_definition(module, name):
    """Hash of what a class or function of the package depends on, all its methods included."""
    words = module_of(*module.split(".")).words
    return hash_of(reached({Place(tuple(module.split(".")), name)}, words))


def hash_of(definitions):
    return hash_of_text("\n".join(sorted(part.lines for part in definitions.values())))


def hash_of_text(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# ------------------------------------------------------------------------------------ definitions


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
        return "\n".join(line for line in kept if line and not line.lstrip().startswith("#"))

    def taken_from_the_package(self):
        """Places of what a file of the benchmarks imports from the package."""
        taken = [place for place in self.imports.values() if place[0][0] == "skmltc" and place[1]]
        return set().union(*(resolved(*place) for place in taken))


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
    """Whether a statement decides no figure: a docstring, a warning, an error."""
    if isinstance(node, ast.If):
        binds = any(isinstance(one, ast.NamedExpr) for one in ast.walk(node.test))
        return not binds and all(map(is_idle, [*node.body, *node.orelse]))
    if isinstance(node, ast.Expr):
        call = node.value
        warns = isinstance(call, ast.Call) and getattr(call.func, "id", "") == "warn"
        return warns or isinstance(call, ast.Constant)
    return isinstance(node, ast.Raise)


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


# -------------------------------------------------------------------------------------- reaching


@cache
def module_of(*parts):
    """A module of the package or of the benchmarks; None where there is none."""
    if not parts or parts[0] not in ROOTS:
        return None
    path = ROOTS[parts[0]].joinpath(*parts[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return Module(parts, path) if path.exists() else None


@cache
def definition_of(place):
    return module_of(*place.module).definition(place.name)


def start_of(estimator):
    """The class of an estimator, or what makes a model of `OTHERS`."""
    if estimator in skmltc._ESTIMATORS:
        (start,) = resolved(("skmltc", skmltc._ESTIMATORS[estimator]), estimator)
        return start
    models = module_of("bench", "models")
    (made,) = models.nodes["OTHERS"]
    others = zip(made.value.keys, made.value.values, strict=True)
    (name,) = (made.id for key, made in others if key.value == estimator)
    return Place(models.parts, name)


def reached(starts, words):
    """Definitions by place, from those of the starts on.

    Parameters
    ----------
    starts : set of Place
    words : set of str
        Names that methods must have to be reached, besides those that what is reached names.
    """
    found, ahead = {}, starts
    while ahead:
        new = {place: definition_of(place) for place in ahead}
        found |= new
        words = words.union(*(part.words for part in new.values()))
        named = (resolved(place.module, n) for place, part in new.items() for n in part.names)
        members = (members_of(place, words) for place in found)
        ahead = set().union(*named, *members) - found.keys()
    return found


def resolved(module, name):
    """Places that a name of a module stands for; none where it is not of the package."""
    where = module_of(*module)
    if where is None:
        return set()
    if name in where.nodes:
        return {Place(module, name)}
    if name in where.imports:
        there, name = where.imports[name]
        return resolved(there, name) if name else namespace(there)
    return namespace((*module, name))


def namespace(parts):
    return {Place(parts, "")} if module_of(*parts) else set()


def members_of(place, words):
    """Places of the members of a module or class that are reached if the words are used."""
    module = module_of(*place.module)
    if not place.name:
        return set().union(*(resolved(place.module, n) for n in words & known(module)))
    methods = [m.name for node in module.nodes[place.name] for m in methods_of(node)]
    asked = words | asked_from_outside(place) if methods else ()
    return {Place(place.module, f"{place.name}.{m}") for m in methods if m in asked}


def known(module):
    return module.nodes.keys() | module.imports.keys()


@cache
def asked_from_outside(place):
    """Names of methods that bases have which are not of the package, and call themselves."""
    cls = getattr(import_module(".".join(place.module)), place.name)
    bases = (base for base in cls.__mro__ if base.__module__.partition(".")[0] not in ROOTS)
    return frozenset(name for base in bases for name in vars(base))
