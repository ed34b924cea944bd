"""Linear models of many labels, solved by Newton's method in blocks."""

from .models import NEWTON, ON_NEWTON, Solver, fit_linear, solve_linear
from .problems import block_size
from .products import DesignMatrix
from .scorers import LazyLinearScorer, LinearScorer
from .solver import BlockNewton, BlockObjective
from .weight_decay import select_weight_decay, weight_decays
