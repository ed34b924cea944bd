"""Linear models of many labels, solved by L-BFGS in blocks."""

from .models import (
    LazyLinearScorer,
    LinearScorer,
    Solver,
    block_size,
    fit_linear,
    select_weight_decay,
    weight_decays,
)
from .products import DesignMatrix
from .solver import BlockLBFGS, BlockObjective
