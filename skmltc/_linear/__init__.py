"""Linear models of many labels, solved by L-BFGS in blocks."""

from .models import Solver, fit_linear, solve_linear
from .problems import block_size
from .products import DesignMatrix
from .scorers import LazyLinearScorer, LinearScorer
from .solver import BlockLBFGS, BlockObjective
from .weight_decay import select_weight_decay, weight_decays
