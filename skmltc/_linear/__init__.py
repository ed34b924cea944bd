"""Linear models of many labels, solved by L-BFGS in blocks."""

from .models import fit_linear, label_blocks, tune
from .products import Features, linear_scores
from .solver import BlockLBFGS, BlockObjective

__all__ = [
    "BlockLBFGS",
    "BlockObjective",
    "Features",
    "fit_linear",
    "label_blocks",
    "linear_scores",
    "tune",
]
