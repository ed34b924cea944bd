"""L-BFGS in float32 for a block of labels, every label its own problem.

Given the label counts, the labels of a linear model are independent. A block of them shares the
matrix products with X, and each label has its own curvature, step and end: most labels are rare and
done after a dozen iterations, where one optimiser over the block would wait for the slowest. What a
label ends with does not depend on the others in its block, but for rounding: sums over columns of
another width are taken in another order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

_HISTORY = 7  # pairs of L-BFGS
_NO_LOSS = 1e-6  # per document of a label: where classes can be separated the loss falls for ever
_ARMIJO, _WOLFE = 1e-4, 0.9
_TRIALS, _FIRST_TRIALS = 6, 20  # of a step; the length of the first is a guess
_FAILED_SEARCHES = 2  # in a row, the second along the gradient: no lower point can be found
_RESOLUTION = 1e-6  # of an objective in float32
_NEAR = 10  # times the tolerance is near enough for a label without a lower point


class SolvedBlock(NamedTuple):
    """Weights (n_weights, n_block), the intercepts last, iterations, and labels that want more."""

    weights: np.ndarray | sparse.csc_array
    n_iter: int
    n_unconverged: int


class BlockObjective:
    """Sum over documents of a block's loss, plus weight_decay / 2 |W|^2 without the intercepts.

    A function of the weights of the divided columns of `DesignMatrix`, W / scale; the penalty is
    that of W.

    Parameters
    ----------
    features : DesignMatrix
        Of the training documents.
    Y : csr_array of shape (n_samples, n_labels)
        All labels.
    loss : BalancedLoss
        Built for all labels.
    columns : array of int
        The labels of the block.
    weight_decay : float
        Strength of the penalty.
    document_weights : array of shape (n_samples,), default=None
        How often each document counts; once by default.
    """

    def __init__(self, features, Y, loss, columns, weight_decay, document_weights=None):
        self.features = features
        self.targets = torch.from_numpy(Y[:, columns].toarray()).to(features.scale)
        self.of_documents = None  # (n_samples, 1)
        if document_weights is not None:
            self.of_documents = torch.from_numpy(document_weights[:, None]).to(self.targets)
        self.little = _NO_LOSS * self._counted(self.targets).sum(0).clamp_min(1)
        self.loss = loss.select(torch.from_numpy(columns).to(features.device))
        self.weight = self.loss.weight(self.targets, loss.label_mass(Y))
        self.decays = weight_decay * features.scale**2  # (n_weights, 1)
        self.decays[-1] = 0

    def cells(self, logits):
        """Loss of each label, summed over documents, and the slope of each cell."""
        values, slopes = self.loss.cells(logits, self.targets, self.weight)
        return self._counted(values).sum(0), self._counted(slopes)

    def _counted(self, cells):
        """Cells times the weights of their documents."""
        return cells if self.of_documents is None else cells * self.of_documents

    def penalty(self, V, U):
        """weight_decay <v, u> of each label in the weights of undivided columns."""
        return _dots(self.decays * V, U)

    def gradient(self, V, slopes):
        return self.features.t_dot(slopes).addcmul_(self.decays, V)  # (n_weights, n_block)

    def keep(self, columns):
        """Leave out the other labels of the block."""
        self.targets, self.little = self.targets[:, columns], self.little[columns]
        self.loss = self.loss.select(columns)
        if self.weight is not None:
            self.weight = self.weight[..., columns]


def _dots(A, B):
    return (A * B).sum(0)


class BlockLBFGS:
    """L-BFGS of every column of W at once, each with its own step, until it converges.

    A column has converged when its last step lowered the objective by less than `tol` of it, and
    the gradient promises no more: half its square in the metric of the inverse Hessian that L-BFGS
    has learned, which is the fall to the minimum of a quadratic function. A column in which no
    lower point can be found ends too, but has converged only if little was promised.

    Parameters
    ----------
    objective : BlockObjective
        Is narrowed to the columns still at work.
    W : tensor of shape (n_weights, n_block)
        Where to start; the last row holds the intercepts.
    tol : float
        Relative accuracy of the objective.
    """

    def __init__(self, objective, W, tol):
        self.objective, self.tol = objective, tol
        self.solution = W.clone()
        self.converged = torch.zeros(W.shape[1], dtype=torch.bool, device=W.device)
        self.columns = torch.arange(W.shape[1], device=W.device)
        self.V = objective.features.inner(W)
        self.logits = objective.features.dot(self.V)
        values, slopes = objective.cells(self.logits)
        self.values = values + objective.penalty(self.V, self.V) / 2
        self.gradient = objective.gradient(self.V, slopes)
        self.done = torch.zeros_like(self.converged)
        self.n_failed = torch.zeros_like(self.columns)
        self.promised = torch.full_like(self.values, torch.inf)  # both relative to the values
        self.fallen = torch.full_like(self.values, torch.inf)
        self.pairs = []  # (step, change of gradient, 1 / <step, change>) of the last iterations
        self.curvature_scale = None  # <step, change> / <change, change> of the last pair

    def minimise(self, max_iter):
        """Iterate until every column has ended.

        Returns
        -------
        W : tensor of shape (n_weights, n_block)
        n_iter : int
        converged : bool tensor of shape (n_block,)
        """
        n_iter = 0
        while n_iter < max_iter:
            direction = self._direction()
            slope = _dots(direction, self.gradient)
            self._end_converged(slope)
            if self.done.all():
                break
            self._step(direction, slope)
            n_iter += 1
            self._end_stuck()
            if self.done.float().mean() > 0.25:
                self._narrow()
        at_work = ~self.done
        self.solution[:, self.columns[at_work]] = self._outer()[:, at_work]
        return self.solution, n_iter, self.converged

    def _outer(self):
        return self.objective.features.outer(self.V)

    def _relative(self, differences):
        return differences / torch.maximum(self.values, self.objective.little)

    def _end_converged(self, slope):
        """End columns of whose objective neither the last step nor the gradient made much."""
        promised = self._relative(-slope / 2)
        if not self.pairs:
            promised = torch.full_like(slope, torch.inf)
        else:
            promised = torch.where(self.pairs[-1][2] > 0, promised, self.promised)
        self.promised = torch.where(slope == 0, 0.0, promised)
        small = (self.promised <= self.tol) & (self.fallen <= self.tol)
        self._end(small | (slope == 0), True)

    def _end_stuck(self):
        stuck = ~self.done & (self.n_failed >= _FAILED_SEARCHES)
        self._end(stuck, self.promised <= _NEAR * max(self.tol, _RESOLUTION))

    def _end(self, columns, converged):
        """Keep the weights of columns as they are now."""
        columns = columns & ~self.done
        if columns.any():
            self.done = self.done | columns
            self.solution[:, self.columns[columns]] = self._outer()[:, columns]
            self.converged[self.columns] |= columns & converged

    def _step(self, direction, slope):
        direction_logits = self.objective.features.dot(direction)
        step, values, slopes = self._search(direction, direction_logits, slope)
        self.fallen = self._relative(self.values - values)
        failed = ~(values < self.values)
        moved = direction.mul_(step)
        self.V = self.V + moved
        self.logits = torch.addcmul(self.logits, step, direction_logits)
        gradient = self.objective.gradient(self.V, slopes)
        self._remember(moved, gradient - self.gradient)
        if failed.any():
            self._forget(failed)
        self.n_failed = torch.where(failed, self.n_failed + 1, 0)
        self.values, self.gradient = values, gradient

    def _direction(self):
        """The two-loop recursion; a column whose last pair is useless falls back to descent."""
        direction, factors = self.gradient.clone(), []
        for moved, change, inverse in reversed(self.pairs):
            factor = inverse * _dots(moved, direction)
            direction.addcmul_(factor, change, value=-1)
            factors.append(factor)
        direction *= self._initial_scale()
        for (moved, change, inverse), factor in zip(self.pairs, reversed(factors), strict=True):
            direction.addcmul_(factor - inverse * _dots(change, direction), moved)
        return direction.neg_()

    def _initial_scale(self):
        descent = _dots(self.gradient, self.gradient).rsqrt().nan_to_num(posinf=0.0)
        if not self.pairs:
            return descent
        return torch.where(self.pairs[-1][2] > 0, self.curvature_scale, descent)

    def _search(self, direction, direction_logits, slope):
        """A step that satisfies the weak Wolfe conditions, by bracketing secants, a column each.

        The logits are linear in the step, so a trial costs no product with X. Where a step takes
        many documents inside a hinge, the slope jumps, and secants from the start would shorten the
        step by a tenth each: a second trial in a row that is too far halves the bracket.
        """
        penalty = self.objective.penalty
        penalties = [
            penalty(self.V, self.V),
            penalty(self.V, direction),
            penalty(direction, direction),
        ]
        step = torch.ones_like(slope)
        low, high = torch.zeros_like(step), torch.full_like(step, torch.inf)
        n_trials, was_too_far = self._n_trials(), torch.zeros_like(self.done)
        for n in range(_FIRST_TRIALS + 1):
            values, slopes, trial_slope = self._trial(step, direction_logits, penalties)
            too_far = ~(values <= self.values + _ARMIJO * step * slope)  # NaN is too far
            too_short = ~too_far & (trial_slope < _WOLFE * slope)
            wrong = (too_far | too_short) & ~self.done & (n < n_trials)
            if not wrong.any():
                break
            high, low = torch.where(too_far, step, high), torch.where(too_short, step, low)
            better = _next_step(step, slope, trial_slope, low, high)
            better = torch.where(was_too_far & too_far, better.minimum((low + high) / 2), better)
            step, was_too_far = torch.where(wrong, better, step), too_far
        self._promise(step * slope.square() / (trial_slope - slope) / 2)
        if (values <= self.values).all():
            return step, values, slopes
        step = torch.where(values <= self.values, step, 0.0)  # never uphill
        values, slopes, _ = self._trial(step, direction_logits, penalties)
        return step, values, slopes

    def _promise(self, falls):
        """Take what the curvature of the last trial promises where that of no step is known."""
        falls = torch.where(falls >= 0, falls, torch.inf)
        self.promised = torch.where(self.promised.isinf(), self._relative(falls), self.promised)

    def _n_trials(self):
        """More of them where there is no curvature to tell the length of a step."""
        if not self.pairs:
            return _FIRST_TRIALS
        return torch.where(self.pairs[-1][2] > 0, _TRIALS, _FIRST_TRIALS)

    def _trial(self, step, direction_logits, penalties):
        constant, linear, quadratic = penalties
        values, slopes = self.objective.cells(torch.addcmul(self.logits, step, direction_logits))
        values = values + constant / 2 + step * linear + step * step * quadratic / 2
        return values, slopes, _dots(slopes, direction_logits) + linear + step * quadratic

    def _remember(self, moved, change):
        curvature = _dots(moved, change)
        squares = _dots(change, change)
        useful = curvature > 1e-10 * squares
        self.curvature_scale = curvature / squares
        self.pairs.append((moved, change, torch.where(useful, 1 / curvature, 0.0)))
        del self.pairs[:-_HISTORY]

    def _forget(self, columns):
        """Let columns start again along their gradients."""
        self.pairs = [(m, c, torch.where(columns, 0.0, inverse)) for m, c, inverse in self.pairs]

    def _narrow(self):
        """Leave out columns that have ended."""
        keep = torch.nonzero(~self.done).squeeze(1)
        self.objective.keep(keep)
        for name in _OF_COLUMNS:
            setattr(self, name, getattr(self, name)[..., keep])
        self.pairs = [tuple(part[..., keep] for part in pair) for pair in self.pairs]


_OF_COLUMNS = (
    "columns",
    "V",
    "logits",
    "values",
    "gradient",
    "done",
    "n_failed",
    "promised",
    "fallen",
    "curvature_scale",
)


def _next_step(step, slope, trial_slope, low, high):
    """The secant's step, kept inside the bracket; where it is open, at most ten times further."""
    secant = step * slope / (slope - trial_slope)
    inside = (secant > low) & (secant < high)
    bounded = torch.where(inside, secant, (low + high) / 2)
    bounded = torch.minimum(torch.maximum(bounded, 0.9 * low + 0.1 * high), 0.1 * low + 0.9 * high)
    forward = torch.where(secant > 2 * step, secant, 2 * step).minimum(10 * step)
    return torch.where(high.isinf(), forward, bounded)
