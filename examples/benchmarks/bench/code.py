"""Hashes of the code that a row depends on, so that rows of older code are known as such.

A row depends on the functions, classes, methods and constants of the package that its estimator
reaches by the names in their code, wherever they stand. What cannot change a figure does not
count: docstrings, comments, warnings, and errors, which a fit that was measured has not met.
"""

import hashlib
from functools import cache
from importlib import import_module
from pathlib import Path

import skmltc

from .definitions import Module, Place, methods_of

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
    starts = {start_of(estimator)}.union(*(taken_from_the_package(one) for one in asking))
    return reached(starts, set(methods).union(*(one.words for one in asking)))


def hash_of_definition(module, name):
    """Hash of what a class or function of the package depends on, all its methods included."""
    words = module_of(*module.split(".")).words
    return hash_of(reached({Place(tuple(module.split(".")), name)}, words))


def hash_of(definitions):
    return hash_of_text("\n".join(sorted(part.lines for part in definitions.values())))


def hash_of_text(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def module_of(*parts):
    """A module of the package or of the benchmarks; None where there is none."""
    if not parts or parts[0] not in ROOTS:
        return None
    path = ROOTS[parts[0]].joinpath(*parts[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return Module(parts, path) if path.exists() else None


def taken_from_the_package(module):
    """Places of what a file of the benchmarks imports from the package."""
    taken = [place for place in module.imports.values() if place[0][0] == "skmltc" and place[1]]
    return set().union(*(resolved(*place) for place in taken))


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
    found = (m for m in methods if m in asked or m.startswith("__"))  # Python asks for the latter
    return {Place(place.module, f"{place.name}.{m}") for m in found}


def known(module):
    return module.nodes.keys() | module.imports.keys()


@cache
def asked_from_outside(place):
    """Names of methods that bases have which are not of the package, and call themselves."""
    cls = getattr(import_module(".".join(place.module)), place.name)
    bases = (base for base in cls.__mro__ if base.__module__.partition(".")[0] not in ROOTS)
    return frozenset(name for base in bases for name in vars(base))
