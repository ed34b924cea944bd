"""Conjugate gradients for the quadratic functions of a block of labels at once."""

from __future__ import annotations

import torch

_AT_WORK = 0.75  # share of the columns, below which the others are left out
_FLAT = 1e-12  # a curvature that is none, in units of that divided by
_EVENNESS = 2  # times the largest curvature of a weight is added to that of each, to divide by
_TINY = 1e-30
_RIDGE = 1e-12  # times the largest second derivative: what has no penalty may bend nowhere
_SPARED = 2  # steps by each that is expected: exact ones make those after them fewer
_MOST_ROOTS = 2**26  # numbers of all roots of a block: 512 MB


class ConjugateGradients:
    """The minimum of the quadratic functions of all columns, each until it is near enough.

    Parameters
    ----------
    objective : BlockObjective
    curvatures : tensor of shape (n_samples, n_block)
        Of the cells.
    gradient : tensor of shape (n_weights, n_block)
    expected : tensor of shape (n_block,)
        Steps that each column may take, divided by about the diagonal.
    """

    def __init__(self, objective, curvatures, gradient, expected):
        self.objective, self.curvatures = objective, curvatures
        self.direction, self.moved = torch.zeros_like(gradient), torch.zeros_like(curvatures)
        self.columns = torch.arange(gradient.shape[1], device=gradient.device)
        self.inverse = ApproximateInverse(objective, curvatures, expected)
        self.is_exact = self.inverse.is_exact
        self.rest = -gradient
        self.p = self.inverse(self.rest)
        self.left = dots(self.rest, self.p)
        self.may_fall, self.taken = torch.zeros_like(self.left), torch.zeros_like(self.left)

    def minimise(self, residuals, most):
        """Reduce the gradient of each column to a share (n_block,) of what it is.

        It takes at most so many steps (n_block,). Afterwards `taken` (n_block,) says how many, and
        `may_fall` (n_block,) by how much more the functions may fall.

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
        self.taken[self.columns] += at_work
        logits = self.objective.features.dot(self.p)
        product = self.objective.gradient(self.p, self.curvatures * logits)
        bend = dots(self.p, product)
        at_work = at_work & (bend > _FLAT * self.left)
        length = torch.where(at_work, self.left / bend, 0.0)
        self.direction.index_add_(1, self.columns, length * self.p)
        self.moved.index_add_(1, self.columns, logits.mul_(length))
        self.rest.addcmul_(length, product, value=-1)
        scaled = self.inverse(self.rest)
        before, self.left = self.left, torch.where(at_work, dots(self.rest, scaled), 0.0)
        self.p.mul_((self.left / before).nan_to_num_(0.0)).add_(scaled)

    def _narrow(self, keep):
        """Leave out columns that are near enough."""
        self.inverse.keep(keep)
        for name in ("columns", "curvatures", "rest", "p", "left"):
            setattr(self, name, getattr(self, name)[..., keep])


class ApproximateInverse:
    """About the inverse of each column's second derivatives: conjugate gradients divide by them.

    The inverse of about their diagonal. The diagonal itself would slow them down: of many rare
    words none says much alone. Where X is dense and few documents bend, as those inside a squared
    hinge, all second derivatives may take less time than the conjugate gradients that are
    expected; then it is their inverse, and one step is enough.

    Parameters
    ----------
    objective : BlockObjective
    curvatures : tensor of shape (n_samples, n_block)
        Of the cells.
    expected : tensor of shape (n_block,)
        Conjugate gradients.
    """

    def __init__(self, objective, curvatures, expected):
        self.diagonal = _about(objective.diagonal(curvatures)).reciprocal_()
        self.is_exact = torch.zeros(len(expected), dtype=torch.bool, device=expected.device)
        self.roots = {}
        for column in torch.nonzero(_are_few(objective, curvatures, expected)).flatten().tolist():
            root = _root(objective, curvatures[:, column])
            if root is not None:
                self.roots[column], self.is_exact[column] = root, True

    def __call__(self, rest):
        """Divide (n_weights, n_block) by the second derivatives."""
        divided = self.diagonal * rest
        for column, root in self.roots.items():
            exact = torch.cholesky_solve(rest[:, [column]].double(), root)
            divided[:, [column]] = exact.to(rest.dtype)
        return divided

    def keep(self, columns):
        """Leave out the other columns."""
        self.diagonal = self.diagonal[:, columns]
        kept = enumerate(columns.tolist())
        self.roots = {new: self.roots[old] for new, old in kept if old in self.roots}


def _about(curvatures):
    """Curvatures of weights, more alike."""
    return curvatures.add_(_EVENNESS * curvatures[:-1].amax(0)).clamp_min_(_TINY)


def _are_few(objective, curvatures, expected):
    """Where so few documents bend that all second derivatives take less time than those steps.

    They are `n_bent` outer products and a root, a step is two products with X. The former take a
    third of the time per multiplication. Nowhere in float64: it is for few numbers, which take no
    time, and repeated documents, which would count here, are then the same as weights.
    """
    n_bent, n_weights = (curvatures > 0).sum(0), len(objective.decays)
    are_many = n_weights**2 * len(n_bent) > _MOST_ROOTS
    if objective.features.dense is None or are_many or curvatures.dtype == torch.float64:
        return torch.zeros_like(n_bent, dtype=torch.bool)
    return n_weights * (n_bent + n_weights) / 3 <= _SPARED * expected * len(curvatures)


def _root(objective, curvatures):
    """The Cholesky factor of a column's second derivatives; None where rounding leaves none.

    In float64: one very long document hides the others from float32.
    """
    bent = torch.nonzero(curvatures > 0).squeeze(1)
    rows = objective.features.dense[bent].double() * curvatures[bent].double().sqrt()[:, None]
    derivatives = rows.T @ rows
    diagonal = derivatives.diagonal()
    diagonal += objective.decays[:, 0]
    diagonal += _RIDGE * diagonal.max()
    root, failed = torch.linalg.cholesky_ex(derivatives)
    return None if failed else root


def dots(A, B):
    return (A * B).sum(0)
