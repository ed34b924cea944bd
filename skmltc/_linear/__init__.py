"""Linear models of many labels, solved by L-BFGS in blocks."""

from .models import fit_linear, label_blocks, select_weight_decay
from .products import DesignMatrix, linear_scores
from .solver import BlockLBFGS, BlockObjective

__all__ = [
    "BlockLBFGS",
    "BlockObjective",
    "DesignMatrix",
    "fit_linear",
    "label_blocks",
    "linear_scores",
    "select_weight_decay",
]
