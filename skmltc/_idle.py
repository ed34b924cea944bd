"""Parameters that have no effect in the chosen mode: they are named in one warning."""

import inspect
from numbers import Real

import numpy as np

from ._validation import warn

NO_EFFECT = r".*(has no effect|have no effect|trained jointly)"  # what the warning says


def warn_of_idle(changed, idle):
    """Name in one warning what a user has set although it has no effect.

    Parameters
    ----------
    changed : list of str
        What the user has set.
    idle : iterable of (bool, str, collection of str)
        Whether a condition holds; what it is; what has no effect then. Without names the second is
        a sentence of its own.
    """
    sentences, left = [], list(changed)
    for reason, names in [(reason, names) for holds, reason, names in idle if holds]:
        named = [name for name in left if name in names]
        left = [name for name in left if name not in named]
        *first, last = named or [""]
        verb = "have" if first else "has"
        listed = f"{', '.join(first)} and {last}" if first else last
        if named or not names:
            sentences.append(f"{listed} {verb} no effect {reason}." if named else reason)
    if sentences:
        warn(" ".join(sentences))


def changed_parameters(spec, prefix=""):
    """Names of the parameters that differ from the defaults of the constructor, in its order."""
    parameters = inspect.signature(type(spec).__init__).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    values = spec.get_params(deep=False)
    changed = [n for n in defaults if n in values and not _is_same(values[n], defaults[n])]
    return [prefix + name for name in changed]


def _is_same(value, default):
    if isinstance(value, tuple) and isinstance(default, tuple):  # a clone has one of its own
        return len(value) == len(default) and all(map(_is_same, value, default))
    comparable = isinstance(value, str | Real | np.bool_)
    return value is default or (comparable and bool(value == default))
