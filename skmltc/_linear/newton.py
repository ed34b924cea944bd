"""Newton's method for the loss of one label on some documents, in float32.

A step is that of the loss' curvature, of a squared hinge that of the documents inside it, found by
conjugate gradients and taken as far as the objective falls along it. It converges in a handful of
steps, from a near solution in two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

NO_LOSS = 1e-6  # per document of the label: where classes can be separated the loss falls for ever
_RESIDUAL = 0.1  # of conjugate gradients, relative to the gradient
MOST_GRADIENTS, MOST_TRIALS = 30, 20  # of a step, and of its length
FARTHEST = 50.0  # that a step may move a score: a logit so far is as sure as any
SLOPE = 0.1  # left along a step, relative to the slope at its start
_EVENNESS = 0.1  # times the largest second derivative of a weight is added to that of each
_LEAST_BEND = np.float32(1e-30)


class LabelHinge(NamedTuple):
    """Half the objective of a label: of the squared hinge of its scores z = X w + b, and decay.

    Parameters
    ----------
    X : csr_array of float32 of shape (n_rows, n_columns)
        The documents that matter.
    X_T : csc_array of float32 of shape (n_columns, n_rows)
        The same: to turn it for each product would take longer than the product.
    signs : array of float32 of shape (n_rows,)
        1 where a document has the label, else -1.
    n_far : float
        Further documents without the label, which count as one at `level`, by their weights.
    level : float
        Their mean score without the intercept.
    decay : float or array of float32 of shape (n_columns,)
        Of all weights, or of each.
    weights : array of float32 of shape (n_rows,), default=None
        How often each document counts; once by default.
    """

    X: sparse.csr_array
    X_T: sparse.csc_array
    signs: np.ndarray
    n_far: int
    level: float
    decay: float | np.ndarray
    weights: np.ndarray | None = None

    def curvatures(self, z, b):
        """Second derivatives of half the loss in z, and in the score of the far documents.

        The weights of the rows inside the hinge, and 0 outside.
        """
        is_far_inside = 1 + b + self.level > 0
        inside = (self.signs * z < 1).astype(np.float32)
        if self.weights is not None:
            inside *= self.weights
        return inside, self.n_far * is_far_inside

    def slopes(self, z, b, inside, n_far_inside):
        """Derivatives of half the loss in z, and in the score of the far documents."""
        residuals = z - self.signs
        residuals *= inside
        return residuals, n_far_inside * (1 + b + self.level)

    def value(self, w, z, b, e, far):
        """Half the objective, from the slopes at z."""
        loss = _dot(e, e) if self.weights is None else _dot(e, z - self.signs)
        return (_penalty(self.decay, w, w) / 2 + loss + far * (1 + b + self.level)) / 2


class LabelLoss(NamedTuple):
    """Half the objective of a label: of a smooth loss of its scores z = X w + b, and decay.

    Parameters
    ----------
    X : csr_array of float32 of shape (n_rows, n_columns)
        The documents that matter.
    X_T : csc_array of float32 of shape (n_columns, n_rows)
        The same.
    signs : array of float32 of shape (n_rows,)
        1 where a document has the label, else -1.
    loss : BalancedLoss
        Of this label alone.
    weights : tensor of shape (n_rows, 1)
        Of the rows in the loss.
    decay : float or array of float32 of shape (n_columns,)
        Of all weights, or of each.
    """

    X: sparse.csr_array
    X_T: sparse.csc_array
    signs: np.ndarray
    loss: torch.nn.Module
    weights: torch.Tensor
    decay: float | np.ndarray

    def curvatures(self, z, b):
        """Second derivatives of half the loss in z; there are no far documents besides the rows.

        A focused cell far on the wrong side bends down, and counts as straight: steps then lead
        down in any case.
        """
        curvatures = self.loss.curvatures(*self._cells(z), self.weights)
        return curvatures.clamp_min_(0).mul_(0.5).numpy()[:, 0], 0.0

    def slopes(self, z, b, curvatures, far_curvature):
        """Derivatives of half the loss in z, and 0."""
        _, slopes = self.loss.cells(*self._cells(z), self.weights)
        return slopes.mul_(0.5).numpy()[:, 0], 0.0

    def value(self, w, z, b, e, far):
        """Half the objective at z."""
        values, _ = self.loss.cells(*self._cells(z), self.weights, with_slopes=False)
        return (_penalty(self.decay, w, w) / 2 + float(values.sum())) / 2

    def _cells(self, z):
        """Logits and targets, (n_rows, 1)."""
        return torch.from_numpy(z)[:, None], torch.from_numpy(self.signs).clamp_min(0)[:, None]


class Solution(NamedTuple):
    """Weights, the intercept, the steps taken, and whether they were enough."""

    weights: np.ndarray
    intercept: float
    n_iter: int
    converged: bool


def minimise(objective, weights, intercept, tol, max_iter):
    """Take steps until the last one promised less than 10 `tol` of the objective.

    What is left is then about a hundredth of it: conjugate gradients stop at a tenth of the
    gradient.

    Parameters
    ----------
    objective : LabelHinge or LabelLoss
    weights : array of float32 of shape (n_columns,)
        Where to start.
    intercept : float
    tol : float
    max_iter : int

    Returns
    -------
    Solution
    """
    w, b = weights.copy(), float(intercept)
    z = objective.X @ w + np.float32(b)
    little = NO_LOSS * max(np.count_nonzero(objective.signs > 0), 1) / 2
    for n_iter in range(1, max_iter + 1):
        curvatures, n_far = objective.curvatures(z, b)
        e, far = objective.slopes(z, b, curvatures, n_far)
        value = objective.value(w, z, b, e, far)
        gradient = objective.X_T @ e
        gradient += objective.decay / 2 * w
        slope_b = float(e.sum()) + far
        d, d_b = _newton_direction(objective, curvatures, n_far, gradient, slope_b)
        promised = -(_dot(gradient, d) + slope_b * d_b) / 2
        if not promised > 0:  # the gradient is 0, or overflows
            return Solution(w, b, n_iter, slope_b == 0 and not gradient.any())
        d_z = objective.X @ d
        d_z += np.float32(d_b)
        d, d_b, d_z, slope = _bounded(d, d_b, d_z, -2 * promised)
        t = _length(objective, (w, b, z), (d, d_b, d_z), slope)
        w += np.float32(t) * d
        z += np.float32(t) * d_z
        b += t * d_b
        if promised <= 10 * tol * max(value, little):
            return Solution(w, b, n_iter, True)
    return Solution(w, b, max_iter, False)


def _dot(a, b):
    return float(a @ b)


def _penalty(decay, a, b):
    """Sum of the decay of each weight times a b."""
    return decay * _dot(a, b) if np.ndim(decay) == 0 else _dot(decay * a, b)


def _newton_direction(objective, curvatures, n_far, gradient, slope_b):
    """Conjugate gradients on H d = -gradient, divided by about the diagonal of H."""
    half = objective.decay / 2
    inverse, inverse_b = _about_inverse(objective, curvatures, n_far)
    d, d_b = np.zeros_like(gradient), 0.0
    r, r_b = -gradient, -slope_b
    p, p_b = inverse * r, inverse_b * r_b
    first = rest = _dot(r, p) + inverse_b * r_b * r_b
    for _ in range(MOST_GRADIENTS):
        if not rest > _RESIDUAL**2 * first * (1 - 1e-6) or not rest > 0:
            break
        q = objective.X @ p
        q += np.float32(p_b)
        q *= curvatures
        h = objective.X_T @ q
        h += half * p
        h_b = float(q.sum()) + n_far * p_b
        curvature = _dot(p, h) + p_b * h_b
        if not curvature > 0:
            break
        a = rest / curvature
        d += np.float32(a) * p
        h *= np.float32(a)
        r -= h
        d_b, r_b = d_b + a * p_b, r_b - a * h_b
        scaled = inverse * r
        before, rest = rest, _dot(r, scaled) + inverse_b * r_b * r_b
        p *= np.float32(rest / before)
        p += scaled
        p_b = inverse_b * r_b + rest / before * p_b
    return d, d_b


def _about_inverse(objective, curvatures, n_far):
    """About the inverse of the second derivatives in each weight, and in the intercept.

    Up to a common factor. Where all weights have the same decay their columns are alike.
    """
    half, bend = objective.decay / 2, max(float(curvatures.sum()) + n_far, 1.0)
    if np.ndim(half) == 0:
        return np.float32(1), (half + 1) / bend
    diagonal = objective.X_T.power(2) @ curvatures
    diagonal += half
    diagonal += _EVENNESS * diagonal.max(initial=0)
    return 1 / np.maximum(diagonal, _LEAST_BEND), 1 / bend


def _bounded(d, d_b, d_z, slope):
    """A step shortened to where it moves no score too far, and the slope along it.

    Without weight decay nothing else bounds it where the loss is flat: scores once were 1e30.
    """
    times = max(1.0, float(np.abs(d_z).max(initial=0)) / FARTHEST)
    short = np.float32(1 / times)
    return d * short, d_b / times, d_z * short, slope / times


def _length(objective, point, direction, slope):
    """The step at which the objective stops to fall: a root of its slope, which rises."""
    (w, b, z), (d, d_b, d_z) = point, direction
    linear, quadratic = (_penalty(objective.decay / 2, v, d) for v in (w, d))
    t, low, high = 1.0, 0.0, np.inf
    for _ in range(MOST_TRIALS):
        at = np.float32(t) * d_z
        at += z
        curvatures, n_far = objective.curvatures(at, b + t * d_b)
        e, far = objective.slopes(at, b + t * d_b, curvatures, n_far)
        here = linear + t * quadratic + _dot(e, d_z) + far * d_b
        if abs(here) <= SLOPE * abs(slope):
            break
        low, high = (low, t) if here > 0 else (t, high)
        curvatures *= d_z
        curvature = quadratic + _dot(curvatures, d_z) + n_far * d_b * d_b
        t = t - here / curvature if curvature > 0 else np.inf  # where all is straight
        if not low < t < high:
            t = (low + high) / 2 if high < np.inf else 2 * low
    return t
