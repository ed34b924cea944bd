"""What all encoders share."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from types import MappingProxyType
from typing import NamedTuple

from .._validation import must_be


class Training(NamedTuple):
    """Settings of AdamW that suit an encoder; what an estimator's "auto" stands for.

    Parameters
    ----------
    lr, weight_decay : float
    max_epochs : int
    linear_decay : bool, default=True
        Let the learning rate fall to 0 over the epochs.
    lr_factors : mapping of str to float, default={}
        Patterns of parameter names whose learning rate is a multiple of `lr`. In a network of
        `build_network` the encoder's names begin with "0.", the head's with "1.".
    """

    lr: float = 0.01
    weight_decay: float = 0.3  # rare words are over-moved with less, rare labels die with more
    max_epochs: int = 15
    linear_decay: bool = True
    lr_factors: Mapping = MappingProxyType({})


def _check_sizes(spec, *names):
    for name in names:
        if not isinstance(getattr(spec, name), Integral) or getattr(spec, name) < 1:
            raise must_be(name, "a positive integer", repr(getattr(spec, name)))


def _check_widths(name, widths):
    if not isinstance(widths, tuple | list) or not all(
        isinstance(width, Integral) and width > 0 for width in widths
    ):
        raise must_be(name, "a tuple of positive integers", repr(widths))


def _check_dropouts(spec, *names):
    for name in names:
        dropout = getattr(spec, name)
        if not isinstance(dropout, Real) or not 0 <= dropout < 1:
            raise must_be(name, "a number in [0, 1)", repr(dropout))
