"""Conjugate gradients for the quadratic functions of a block of labels at once."""

from __future__ import annotations

import torch

_AT_WORK = 0.75  # share of the columns, below which the others are left out
_FLAT = 1e-12  # a curvature that is none, in units of that divided by
_EVENNESS = 2  # times the largest curvature of a weight is added to that of each, to divide by
_TINY = 1e-30


class ConjugateGradients:
    """The minimum of the quadratic functions of all columns, each until it is near enough.

    They run in weights divided by the roots of about their curvatures. The curvatures themselves
    would slow them down: of many rare words none says much alone.

    Parameters
    ----------
    objective : BlockObjective
    curvatures : tensor of shape (n_samples, n_block)
        Of the cells.
    gradient : tensor of shape (n_weights, n_block)
    """

    def __init__(self, objective, curvatures, gradient):
        self.objective, self.curvatures = objective, curvatures
        self.direction, self.moved = torch.zeros_like(gradient), torch.zeros_like(curvatures)
        self.columns = torch.arange(gradient.shape[1], device=gradient.device)
        self.inverse = _about(objective.diagonal(curvatures)).reciprocal_()
        self.rest = -gradient
        self.p = self.inverse * self.rest
        self.left = dots(self.rest, self.p)
        self.may_fall = torch.zeros_like(self.left)

    def minimise(self, residuals, most):
        """Reduce the gradient of each column to a share (n_block,) of what it is.

        It takes at most so many steps (n_block,). Afterwards `may_fall` (n_block,) says how much
        more the functions may fall by.

        Returns
        -------
        direction : tensor of shape (n_weights, n_block)
        moved : tensor of shape (n_samples, n_block)
            What it adds to the logits.
        """
        enough = residuals.square() * self.left
        for n_steps in range(int(most.max())):
            at_work = (self.left > enough[self.columns]) & (n_steps < most[self.columns])
            if not at_work.any():
                break
            if at_work.float().mean() < _AT_WORK:
                self._note(torch.nonzero(~at_work).squeeze(1))
                self._narrow(torch.nonzero(at_work).squeeze(1))
                at_work = at_work[at_work]
            self._step(at_work)
        self._note(slice(None))
        return self.direction, self.moved

    def _note(self, columns):
        self.may_fall[self.columns[columns]] = self.objective.may_fall(self.rest[:, columns])

    def _step(self, at_work):
        """A step in each column at work, and the next direction; others are near enough."""
        logits = self.objective.features.dot(self.p)
        product = self.objective.gradient(self.p, self.curvatures * logits)
        bend = dots(self.p, product)
        at_work = at_work & (bend > _FLAT * self.left)
        length = torch.where(at_work, self.left / bend, 0.0)
        self.direction.index_add_(1, self.columns, length * self.p)
        self.moved.index_add_(1, self.columns, logits.mul_(length))
        self.rest.addcmul_(length, product, value=-1)
        scaled = self.inverse * self.rest
        before, self.left = self.left, torch.where(at_work, dots(self.rest, scaled), 0.0)
        self.p.mul_((self.left / before).nan_to_num_(0.0)).add_(scaled)

    def _narrow(self, keep):
        """Leave out columns that are near enough."""
        for name in ("columns", "curvatures", "inverse", "rest", "p", "left"):
            setattr(self, name, getattr(self, name)[..., keep])


def _about(curvatures):
    """Curvatures of weights, more alike."""
    return curvatures.add_(_EVENNESS * curvatures[:-1].amax(0)).clamp_min_(_TINY)


def dots(A, B):
    return (A * B).sum(0)
