"""Linear models of many labels, fitted in blocks."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.exceptions import ConvergenceWarning

from .._engines import Shared
from .._targets import count_labels
from .._validation import warn
from ..decision import label_blocks
from ..distributed import shown
from .problems import problem_of
from .scorers import scorer_of

NEWTON = ("newton", "lbfgs")  # of `optimizer`: the name of the method, and an older one
ON_NEWTON = "on Newton's method (optimizer='adamw' trains in mini-batches)"
_BLOCKS_AT_A_TIME = 32  # whose weights are in memory twice


class Solver(NamedTuple):
    """How linear models are solved.

    Parameters
    ----------
    loss : loss spec
        Built from the documents fitted on.
    weight_decay : float or None
        Factor of half the squared weights against the loss summed over documents.
    logit_adjustment : float, default=0.0
        tau: scores are raised by tau log(N/n - 1).
    device : str, default="cpu"
    max_iter : int, default=200
        Newton steps; a label needs four to a dozen, on counts of words dozens.
    tol : float, default=1e-4
        Relative accuracy of a label's objective.
    n_jobs : int, default=None
        Blocks of labels at a time; None is what joblib's context says, on a GPU one.
    verbose : int, default=0
    is_pruned : bool, default=False
        Whether weights are dropped that hardly move a score.
    """

    loss: object
    weight_decay: float | None = None
    logit_adjustment: float = 0.0
    device: str = "cpu"
    max_iter: int = 200
    tol: float = 1e-4
    n_jobs: int | None = None
    verbose: int = 0
    is_pruned: bool = False

    def run(self, task, blocks, what):
        """Yield what the task makes of every block of labels, several at a time.

        Blocks in parallel beat torch's own threads inside a block, whose many short operations
        would wait for each other; and the result does not depend on how many there are.
        """
        n_done, n_labels = 0, sum(map(len, blocks))
        task = Shared(task)
        with Parallel(self.jobs(), prefer="threads") as parallel:
            for start in range(0, len(blocks), _BLOCKS_AT_A_TIME):
                some = blocks[start : start + _BLOCKS_AT_A_TIME]
                done = parallel(delayed(Shared.call)(task, block) for block in some)
                yield from zip(some, done, strict=True)
                n_done += sum(map(len, some))
                if shown(self.verbose):
                    print(f"{what}: {n_done} of {n_labels}", flush=True)

    def jobs(self):
        """Blocks of labels at a time."""
        if self.n_jobs is not None:
            return self.n_jobs
        on_gpu = torch.device(self.device).type == "cuda"
        return 1 if on_gpu else effective_n_jobs(None)  # Parallel(prefer="threads") forgets it


def fit_linear(X, Y, solver, weights=None):
    """Fit one linear model per label.

    Parameters
    ----------
    X : CSR matrix or float array of shape (n_samples, n_features)
    Y : csr_array of shape (n_samples, n_labels)
    solver : Solver
    weights : array of shape (n_samples,), default=None
        How often each document counts in the loss; once by default.

    Returns
    -------
    scorer : LinearScorer
        Of a label without documents the weights are zeros and the intercept is `NEVER_LOGIT`.
    n_iter : int
        Most iterations of any label.

    Raises
    ------
    ValueError
        If the scores of a label are not finite.

    Warns
    -----
    ConvergenceWarning
        If labels need more iterations, or more digits than float32 has.
    UserWarning
        If dense weights take gigabytes.
    """
    scorer, solved = solve_linear(X, Y, solver, weights)
    if solved.n_unconverged:
        _warn_of_unconverged(solved.n_unconverged, np.count_nonzero(count_labels(Y)), solver)
    pruned = scorer.without_small_weights(X, weights) if solver.is_pruned else scorer
    return pruned, solved.n_iter


def solve_linear(X, Y, solver, weights=None):
    """Fit as `fit_linear`, and leave it to the caller to speak of labels that want more iterations.

    Returns
    -------
    scorer : LinearScorer
    solved : SolvedBlock
        Of all labels.
    """
    problem = problem_of(X, Y, solver, weights)
    task = partial(_solve_first, problem, [solver.weight_decay], solver)
    blocks = label_blocks(count_labels(Y), problem.labels_at_a_time)
    solved = problem.joined(solver.run(task, blocks, "labels"))
    return scorer_of(solved.weights, problem, solver), solved


def _solve_first(problem, decays, solver, labels):
    return problem.solve(decays, solver, labels)[0]


def _warn_of_unconverged(n_unconverged, n_labels, solver):
    warn(
        f"The linear models of {n_unconverged} of {n_labels} labels did not converge to "
        f"tol={solver.tol:g} within max_iter={solver.max_iter} iterations. Scale the columns of X "
        "(sklearn.preprocessing.MaxAbsScaler, StandardScaler(with_mean=False)), or give "
        "BalancedLossClassifier (in a stack a member of estimators) a larger max_iter, tol or "
        "weight_decay.",
        ConvergenceWarning,
    )
