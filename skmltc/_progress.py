"""Progress of a fit that consists of several trainings."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from types import MappingProxyType

from .distributed import shown


def announced(trainings, verbose, seconds: Mapping = MappingProxyType({})):
    """Say of each training, as it begins, which it is and what time all that are left will take.

    Each is expected to take as long as the one of its kind before it; where there was none of some
    kind that is still to come, nothing is said of the time.

    Parameters
    ----------
    trainings : list of (str, str)
        Kind, and what is said.
    verbose : int
        With 0 nothing is said.
    seconds : mapping of str to float, default={}
        What one of a kind has taken before.

    Yields
    ------
    int
        The number of the training, which is over when the next one is asked for.
    """
    taken = dict(seconds)
    for k, (kind, what) in enumerate(trainings):
        left = [taken.get(other) for other, _ in trainings[k:]]
        time = "" if None in left else f", about {in_words(sum(left))} left"
        if shown(verbose):
            print(f"{what}{time}", flush=True)
        start = perf_counter()
        yield k
        taken[kind] = perf_counter() - start


def announced_parts(parts, verbose, seconds):
    """Yield parts of the documents; of each is said that a network is trained without it.

    Parameters
    ----------
    parts : list
    verbose : int
    seconds : float or None
        What the training on all documents has taken, where it is known.
    """
    trainings = [("", f"Training once more, without {name}") for name in names_of(len(parts))]
    for k in announced(trainings, verbose, {"": seconds}):
        yield parts[k]


def names_of(n_parts):
    """What parts that are held out in turn are called; one alone is no part of several."""
    if n_parts == 1:
        return ["the part that is held out"]
    return [f"part {k + 1} of {n_parts}" for k in range(n_parts)]


def in_words(seconds):
    """A time in the unit that suits it."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
