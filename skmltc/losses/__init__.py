"""The nine losses of the papers' tables, and the squared hinge.

The nine are composed of weighting, negative tolerance and focusing. Weighting says how much a cell
of the label matrix counts, negative tolerance where its logit is judged, focusing how far easy
cells are ignored. A *spec* such as ``FocalLoss(gamma=1)`` holds
hyperparameters, with scikit-learn's ``get_params``, ``set_params`` and ``clone``;
``spec.build(Y)`` makes the torch module once the labels are known. `LOSSES` names the specs.
"""

from ._kernel import BalancedLoss
from ._specs import (
    LOSSES,
    BinaryCrossEntropyLoss,
    ClassBalancedLoss,
    ClassBalancedNegativeTolerantLoss,
    DistributionBalancedLoss,
    DistributionBalancedNoFocalLoss,
    FocalLoss,
    NegativeTolerantFocalLoss,
    RebalancedFocalLoss,
    SquaredHingeLoss,
    WeightedBinaryCrossEntropyLoss,
)

__all__ = [
    "BalancedLoss",
    "BinaryCrossEntropyLoss",
    "ClassBalancedLoss",
    "ClassBalancedNegativeTolerantLoss",
    "DistributionBalancedLoss",
    "DistributionBalancedNoFocalLoss",
    "FocalLoss",
    "LOSSES",
    "NegativeTolerantFocalLoss",
    "RebalancedFocalLoss",
    "SquaredHingeLoss",
    "WeightedBinaryCrossEntropyLoss",
]
