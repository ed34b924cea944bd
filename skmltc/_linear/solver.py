"""Newton's method in float32 for a block of labels, every label its own problem.

Given the label counts, the labels of a linear model are independent. A block of them shares the
matrix products with X, and each label has its own curvature, steps and end: one optimiser over the
block would wait for the slowest. What a label ends with does not depend on the others in its block,
but for rounding: sums over columns of another width are taken in another order. That may decide
whether a label takes one more step, so its objective is the same to `tol`, and no more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from .conjugate_gradients import ConjugateGradients, dots
from .newton import FARTHEST, MOST_GRADIENTS, MOST_TRIALS, NO_LOSS, SLOPE

_RESIDUALS = 0.1, 0.4  # of conjugate gradients, relative to the gradient: near the end, and far
_CAREFUL = 0.01  # the same where too much may be left
_EXACT = 1e-7  # the same in float64: repeated documents then count as weights to the last digit
_MOST_CAREFUL = 300  # conjugate gradients
_LONG = 25  # steps after which a label is careful
_QUICK_TRIALS = 4  # of Newton's method; others halve what is left
_LEAP = 10  # times as far as the last trial is where the next one is, at most
_RESOLUTION = 1e-6  # of an objective in float32
_PROMISED = 3  # times the tolerance, by a step that may be the last
_LEFT = 10  # times the tolerance, at most, may be left by a careless step that is the last
_NEAR = 100  # times the tolerance is near enough for a label without a lower point


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
        self.little = NO_LOSS * self._counted(self.targets).sum(0).clamp_min(1)
        self.loss = loss.select(torch.from_numpy(columns).to(features.device))
        self.weight = self.loss.weight(self.targets, loss.label_mass(Y))
        self.decays = weight_decay * features.scale**2  # (n_weights, 1)
        self.decays[-1] = 0
        self.inverse_decays = self.decays.reciprocal().nan_to_num_(posinf=0.0)

    def cells(self, logits):
        """Loss of each label, summed over documents, and the slope of each cell."""
        values, slopes = self.loss.cells(logits, self.targets, self.weight)
        return self._counted(values).sum(0), self._counted(slopes)

    def curvatures(self, logits):
        """Second derivative of each cell; where a focused one bends down, it counts as straight."""
        found = self.loss.curvatures(logits, self.targets, self.weight)
        return self._counted(found.clamp_min_(0))

    def _counted(self, cells):
        """Cells times the weights of their documents."""
        return cells if self.of_documents is None else cells * self.of_documents

    def penalty(self, V, U):
        """weight_decay <v, u> of each label in the weights of undivided columns."""
        return dots(self.decays * V, U)

    def gradient(self, V, slopes):
        return self.features.t_dot(slopes).addcmul_(self.decays, V)  # (n_weights, n_block)

    def may_fall(self, gradient):
        """By how much, at most, the objectives (n_block,) fall from where they have this gradient.

        They bend as much as the penalty at least, so the gradient (n_weights, n_block) divided by
        its decays is the longest step. What is not penalised does not count.
        """
        return dots(self.inverse_decays * gradient, gradient) / 2

    def diagonal(self, curvatures):
        """Second derivative in each weight, (n_weights, n_block)."""
        return self.features.t_dot_of_squares(curvatures).add_(self.decays)

    def keep(self, columns):
        """Leave out the other labels of the block."""
        self.targets, self.little = self.targets[:, columns], self.little[columns]
        self.loss = self.loss.select(columns)
        if self.weight is not None:
            self.weight = self.weight[..., columns]


class BlockNewton:
    """Newton's method on every column of W at once, each with its own steps, until it converges.

    A step is found by conjugate gradients, and is as long as the objective falls along it. A column
    has converged when its last step promised less than 3 `tol` of its objective, and where what the
    conjugate gradients left of the gradient is worth no more than 10 `tol`. If it may be worth
    more, as where columns of X are of very different size, they go further from there on. A column
    in which a step leads to no lower point ends too, but has converged only if little was promised.

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
        values, self.slopes = objective.cells(self.logits)
        self.values = values + objective.penalty(self.V, self.V) / 2
        self.promised = torch.ones_like(self.values)  # by the last step, relative to the values
        self.careful = torch.zeros_like(self.converged)
        self.pace = torch.zeros_like(self.values)  # conjugate gradients to reduce one to its e-th

    def minimise(self, max_iter):
        """Take steps until every column has ended.

        Returns
        -------
        W : tensor of shape (n_weights, n_block)
        n_iter : int
        converged : bool tensor of shape (n_block,)
        """
        n_iter = 0
        while n_iter < max_iter and len(self.columns):
            is_lower = self.step()
            n_iter += 1
            self._end(self.promised <= _PROMISED * self.tol, ~is_lower)
            self.careful |= n_iter >= _LONG
        self.solution[:, self.columns] = self._outer()
        return self.solution, n_iter, self.converged

    def step(self):
        """Take a step in every column, but where it would lead to a higher value.

        Returns
        -------
        bool tensor of shape (n_block,)
            Where it has been taken.
        """
        gradient = self.objective.gradient(self.V, self.slopes)
        direction, moved = self._direction(gradient)
        slope = dots(gradient, direction)
        step, values, slopes = self._search(direction, moved, slope)
        self._promise(gradient, slope)
        is_lower = values <= self.values
        is_higher = values > self.values  # NaN is neither: an error will say so
        step = torch.where(is_higher, 0.0, step)
        self.V = direction.mul_(step).add_(self.V)
        self.logits = moved.mul_(step).add_(self.logits)
        self.values = torch.where(is_higher, self.values, values)
        self.slopes = torch.where(is_higher, self.slopes, slopes)
        return is_lower

    def _promise(self, gradient, slope):
        """Keep how much the quadratic function of a step falls, relative to the objective."""
        falls = torch.where(slope < 0, -slope / 2, torch.inf)
        falls = torch.where((gradient == 0).all(dim=0), 0.0, falls)
        worth = torch.maximum(self.values, self.objective.little)
        self.promised, self.may_fall = falls / worth, self.may_fall / worth

    def _direction(self, gradient):
        """Conjugate gradients on H d = -gradient; d, and what it adds to the logits."""
        curvatures = self.objective.curvatures(self.logits)
        residuals = self.promised.sqrt().clamp(*_RESIDUALS)
        residuals = torch.where(self.careful, _CAREFUL, residuals)
        if gradient.dtype == torch.float64:  # few numbers: what is left would take no time
            residuals = torch.full_like(residuals, _EXACT)
        most = torch.where(self.careful, _MOST_CAREFUL, MOST_GRADIENTS)
        reduced = -residuals.log()
        expected = torch.where(self.careful, most, self.pace * reduced)
        gradients = ConjugateGradients(self.objective, curvatures, gradient, expected)
        found = gradients.minimise(residuals, most)
        self.may_fall = gradients.may_fall
        self.pace = torch.where(gradients.is_exact, self.pace, gradients.taken / reduced)
        return found

    def _search(self, direction, moved, slope):
        """The step at which the objective stops to fall: a root of its slope, by Newton's method.

        The logits are linear in the step, so a trial costs no product with X. Without weight decay
        nothing but `FARTHEST` bounds a step where the loss is flat.

        Returns
        -------
        step : tensor of shape (n_block,)
        values : tensor of shape (n_block,)
            The objective there.
        slopes : tensor of shape (n_samples, n_block)
        """
        penalty = self.objective.penalty
        linear, quadratic = penalty(self.V, direction), penalty(direction, direction)
        constant = penalty(self.V, self.V) / 2
        step = (FARTHEST / moved.abs().amax(0)).clamp_max(1)
        low, high = torch.zeros_like(step), torch.full_like(step, torch.inf)
        for n_trials in range(1, MOST_TRIALS + 1):
            logits = torch.addcmul(self.logits, step, moved)
            values, slopes = self.objective.cells(logits)
            here = dots(slopes, moved) + linear + step * quadratic
            wrong = here.abs() > SLOPE * slope.abs()
            if not wrong.any() or n_trials == MOST_TRIALS:
                break
            low, high = torch.where(here > 0, low, step), torch.where(here > 0, step, high)
            bend = dots(self.objective.curvatures(logits).mul_(moved), moved) + quadratic
            newton = step - here / bend if n_trials <= _QUICK_TRIALS else step
            step = torch.where(wrong, _next_step(step, newton, low, high), step)
        return step, values + constant + step * linear + step * step * quadratic / 2, slopes

    def _end(self, small, stuck):
        """Leave out columns that have converged, or are stuck, with their weights as they are."""
        unsure = self.may_fall > _LEFT * self.tol  # False of NaN, which ends at once
        ended = (small | stuck) & (self.careful | ~unsure)
        self.careful |= small | stuck
        if not ended.any():
            return
        near = _NEAR * max(self.tol, _RESOLUTION)
        self.solution[:, self.columns[ended]] = self._outer()[:, ended]
        self.converged[self.columns] = ended & (self.promised <= near)
        keep = torch.nonzero(~ended).squeeze(1)
        self.objective.keep(keep)
        for name in ("columns", "V", "logits", "values", "slopes", "promised", "careful", "pace"):
            setattr(self, name, getattr(self, name)[..., keep])

    def _outer(self):
        return self.objective.features.outer(self.V)


def _next_step(step, newton, low, high):
    """Newton's step, if it is inside the bracket and no leap; else its middle, or twice as far."""
    middle = torch.where(high.isinf(), 2 * step, (low + high) / 2)
    inside = torch.where((newton > low) & (newton < high), newton, middle)
    return inside.minimum(_LEAP * step)
