"""The values that a fit passes on from stage to stage, and when documents are enough to decide."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from types import MappingProxyType
from typing import NamedTuple

from scipy import sparse
from sklearn.utils import check_random_state

from ._inputs import Inputs
from ._targets import Target
from ._validation import check_consistent_rows
from .decision import Calibration, Decision, Documents, ScoredPairs

ENOUGH_TO_DECIDE = 500  # labels on unseen documents; with fewer, decide on folds


class Problem(NamedTuple):
    """What is learned of X and y before training."""

    inputs: Inputs
    target: Target


class Trained(NamedTuple):
    """What training leaves.

    Parameters
    ----------
    scorer : Scorer
    plan : object
        What training again on other documents needs: epochs, weight decay, mixture.
    fitted_Y : csr_array of shape (n_fitted, n_labels)
        Labels of the documents trained on.
    unseen : Documents or None
        Documents that training has not seen.
    pairs : ScoredPairs, default=None
        Where choosing the weight decay made them already.
    attributes : mapping, default={}
        Public fitted attributes.
    interrupted : str, default=None
        Where the user stopped the training, what to say of it.
    """

    scorer: object
    plan: object
    fitted_Y: sparse.csr_array
    unseen: Documents | None
    pairs: ScoredPairs | None = None
    attributes: Mapping = MappingProxyType({})
    interrupted: str | None = None


class Decided(NamedTuple):
    """The scorer in the end, its calibration and decision, and further fitted attributes."""

    scorer: object
    calibration: Calibration
    decision: Decision
    attributes: Mapping = MappingProxyType({})


def draw_seed(random_state):
    """Make a seed of a random state: an integer is itself."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def read_documents(problem, X, y, checker, name="y"):
    """Documents of checked X, with the label indicators of y."""
    X, Y = problem.inputs.read(X, checker), problem.target.indicators(y, name)
    check_consistent_rows(X, Y, name=name)
    return Documents(X, Y)


def decides(unseen):
    """Whether documents that training has not seen have labels enough to decide by."""
    return unseen is not None and unseen.Y.nnz >= ENOUGH_TO_DECIDE
