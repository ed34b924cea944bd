"""L-BFGS in float32 for a block of labels, every label its own problem.

Given the label counts, the labels of a linear model are independent. A block of them shares the
matrix products with X, and each label has its own curvature, step and end: most labels are rare and
done after a dozen iterations, where one optimiser over the block would wait for the slowest.
"""

import torch

_HISTORY = 5  # pairs of L-BFGS
_TOLERANCE = 1e-3  # a step whose relative decrease of the objective is smaller is a small step
_CONVERGED_AFTER = 3
_NO_LOSS = 1e-8  # per document: the loss of a label on all of them approaches 0
_ARMIJO, _WOLFE = 1e-4, 0.9


class BlockObjective:
    """Sum over documents of a block's loss, plus weight_decay / 2 |W|^2 without the intercepts.

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
    """

    def __init__(self, features, Y, loss, columns, weight_decay):
        self.features = features
        self.n_samples = Y.shape[0]
        self.targets = torch.from_numpy(Y[:, columns].toarray()).to(features.device)
        self.loss = loss.select(torch.from_numpy(columns).to(features.device))
        self.weight = self.loss.weight(self.targets, loss.label_mass(Y))
        self.weight_decay = weight_decay

    def cells(self, logits):
        """Loss of each label, summed over documents, and the slope of each cell."""
        values, slopes = self.loss.cells(logits, self.targets, self.weight)
        return values.sum(0), slopes

    def penalty(self, W, V):
        """weight_decay <w, v> of each label, intercepts (the last row) left out."""
        return self.weight_decay * _dots(W[:-1], V[:-1])

    def gradient(self, W, slopes):
        gradient = self.features.t_dot(slopes)  # (n_weights, n_block)
        gradient[:-1].add_(W[:-1], alpha=self.weight_decay)
        return gradient

    def keep(self, columns):
        """Leave out the other labels of the block."""
        self.targets = self.targets[:, columns]
        self.loss = self.loss.select(columns)
        if self.weight is not None:
            self.weight = self.weight[..., columns]


def _dots(A, B):
    return (A * B).sum(0)


class BlockLBFGS:
    """L-BFGS of every column of W at once, each with its own step, until it converges.

    Parameters
    ----------
    objective : BlockObjective
        Is narrowed to the columns still at work.
    W : tensor of shape (n_weights, n_block)
        Where to start; the last row holds the intercepts.
    """

    def __init__(self, objective, W):
        self.objective = objective
        self.solution = W.clone()
        self.columns = torch.arange(W.shape[1], device=W.device)
        self.W = W
        self.logits = objective.features.dot(W)
        values, slopes = objective.cells(self.logits)
        self.values = values + objective.penalty(W, W) / 2
        self.gradient = objective.gradient(W, slopes)
        self.n_small_steps = torch.zeros_like(self.columns)
        self.pairs = []  # (step, change of gradient, 1 / <step, change>) of the last iterations

    def minimise(self, max_iter):
        """Iterate until every column has converged.

        Returns
        -------
        W : tensor of shape (n_weights, n_block)
        n_iter : int
        """
        n_iter = 0
        while len(self.columns) and n_iter < max_iter:
            self._step()
            n_iter += 1
            if (self.n_small_steps >= _CONVERGED_AFTER).float().mean() > 0.25:
                self._drop_converged()
        self.solution[:, self.columns] = self.W
        return self.solution, n_iter

    def _step(self):
        direction = self._direction()
        direction_logits = self.objective.features.dot(direction)
        step, values, slopes = self._search(direction, direction_logits)
        relative_decrease = (self.values - values) / values.clamp_min(
            _NO_LOSS * self.objective.n_samples
        )
        self.n_small_steps = torch.where(relative_decrease < _TOLERANCE, self.n_small_steps + 1, 0)
        moved = direction.mul_(step)
        self.W = self.W + moved
        self.logits = torch.addcmul(self.logits, step, direction_logits)
        gradient = self.objective.gradient(self.W, slopes)
        self._remember(moved, gradient - self.gradient)
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
        _, change, inverse = self.pairs[-1]
        useful = inverse > 0
        return torch.where(useful, 1 / (inverse * _dots(change, change)), descent)

    def _search(self, direction, direction_logits):
        """A step that satisfies the weak Wolfe conditions, by bracketing secants, a column each.

        The logits are linear in the step, so a trial costs no product with X.
        """
        slope = _dots(direction, self.gradient)
        penalty = self.objective.penalty
        penalties = [
            penalty(self.W, self.W),
            penalty(self.W, direction),
            penalty(direction, direction),
        ]
        step = torch.ones_like(slope)
        low, high = torch.zeros_like(step), torch.full_like(step, torch.inf)
        for _ in range(6 if self.pairs else 12):
            values, slopes, trial_slope = self._trial(step, direction_logits, penalties)
            too_far = values > self.values + _ARMIJO * step * slope
            too_short = ~too_far & (trial_slope < _WOLFE * slope)
            if not (too_far | too_short).any():
                return step, values, slopes
            high, low = torch.where(too_far, step, high), torch.where(too_short, step, low)
            better = _next_step(step, slope, trial_slope, low, high)
            step = torch.where(too_far | too_short, better, step)
        values, slopes, _ = self._trial(step, direction_logits, penalties)
        step = torch.where(values <= self.values, step, 0.0)  # never uphill
        values, slopes, _ = self._trial(step, direction_logits, penalties)
        return step, values, slopes

    def _trial(self, step, direction_logits, penalties):
        constant, linear, quadratic = penalties
        values, slopes = self.objective.cells(torch.addcmul(self.logits, step, direction_logits))
        values = values + constant / 2 + step * linear + step * step * quadratic / 2
        return values, slopes, _dots(slopes, direction_logits) + linear + step * quadratic

    def _remember(self, moved, change):
        curvature = _dots(moved, change)
        useful = curvature > 1e-10 * _dots(change, change)
        self.pairs.append((moved, change, torch.where(useful, 1 / curvature, 0.0)))
        del self.pairs[:-_HISTORY]

    def _drop_converged(self):
        self.solution[:, self.columns] = self.W
        keep = torch.nonzero(self.n_small_steps < _CONVERGED_AFTER).squeeze(1)
        self.objective.keep(keep)
        for name in ("columns", "W", "logits", "values", "gradient", "n_small_steps"):
            setattr(self, name, getattr(self, name)[..., keep])
        self.pairs = [tuple(part[..., keep] for part in pair) for pair in self.pairs]


def _next_step(step, slope, trial_slope, low, high):
    """The secant's step, kept inside the bracket; where it is open, at most ten times further."""
    secant = step * slope / (slope - trial_slope)
    inside = (secant > low) & (secant < high)
    bounded = torch.where(inside, secant, (low + high) / 2)
    bounded = torch.minimum(torch.maximum(bounded, 0.9 * low + 0.1 * high), 0.1 * low + 0.9 * high)
    forward = torch.where(secant > 2 * step, secant, 2 * step).minimum(10 * step)
    return torch.where(high.isinf(), forward, bounded)
