"""The rows of a paper's tables as settings of its estimator."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ._validation import check_choice, must_be

NOTHING: Mapping = MappingProxyType({})


class Published(NamedTuple):
    """Parameters of an estimator for each row of its paper's tables.

    Parameters
    ----------
    rows : mapping of str to mapping
        What each row has of its own, by the name that the paper gives it.
    released : mapping
        What all rows have, as the released code has it; where none was released, as printed.
    printed : mapping, default={}
        What the printed page has in place of that; names such as ``encoder__hidden_dim`` too.
    wanted : mapping of str to pair of str, default={}
        Parameters that no row can set, since they are the caller's: for each what is expected,
        and how it is given.
    """

    rows: Mapping
    released: Mapping
    printed: Mapping = NOTHING
    wanted: Mapping = NOTHING

    def parameters(self, row, as_released):
        """The parameters of a row; a row's own win over those of all rows."""
        check_choice("row", row, self.rows)
        if not isinstance(as_released, bool):
            raise must_be("as_released", "True or False", repr(as_released))
        printed = NOTHING if as_released else self.printed
        return copy.deepcopy({**self.released, **printed, **self.rows[row]})

    def check_given(self, changes):
        """Raise a ValueError where the caller has not given what no row can set."""
        for name, (expected, remedy) in self.wanted.items():
            if name not in changes:
                raise must_be(name, expected, "none", remedy)


class AsPublished:
    """Part of an estimator that knows the rows of its paper's tables."""

    _published: Published

    @classmethod
    def as_published(cls, row, *, as_released=True, **changes):
        """Make the estimator that is a row of the paper's tables.

        Parameters
        ----------
        row : str
            As the paper names it.
        as_released : bool, default=True
            Where the printed page and the released code differ, take the code, which made the
            figures. False takes the page.
        **changes : dict
            Parameters that shall be others, as for `set_params`.

        Returns
        -------
        estimator
            Not fitted, with every parameter of the row set, so that `get_params` shows them all.
        """
        names = cls._get_param_names()
        for name in changes:
            check_choice(f"A parameter of {cls.__name__}", name.partition("__")[0], names)
        values = cls._published.parameters(row, as_released)
        cls._published.check_given(changes)
        nested = {name: values.pop(name) for name in list(values) if "__" in name}
        return cls(**values).set_params(**nested).set_params(**changes)
