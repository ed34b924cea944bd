"""The torch modules of the losses: one kernel for all nine of the papers, and the squared hinge.

Their gradients are written out.

`skmltc.losses` has the hyperparameters and builds it; `skmltc._linear` takes its cells without
autograd, in blocks of labels.
"""

from math import isfinite
from numbers import Real

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .._validation import check_choice, must_be

_TINY = 1e-30  # keeps the share of a document without labels finite
_MAX_LOGIT, _BISECTIONS = 30.0, 40  # to find the best constant logits
_LABELS_AT_A_TIME = 256


class _Cells(torch.autograd.Function):
    """The cells of a BalancedLoss; of all its work only their slopes are kept for backward."""

    @staticmethod
    def forward(ctx, logits, targets, loss, compute):
        weight = loss.weight(targets)
        values, slopes = compute(logits, targets, weight, with_slopes=ctx.needs_input_grad[0])
        ctx.save_for_backward(slopes)
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_output):
        (slopes,) = ctx.saved_tensors
        return grad_output * slopes, None, None, None


def _focused(u, gamma, with_slopes):
    """Return q^gamma softplus(u) with q = sigmoid(u), and its derivative in u, which is used up."""
    entropy, q = F.softplus(u), u.sigmoid_()
    if gamma == 0:
        return entropy, q
    focus = q**gamma
    if with_slopes:
        q.addcmul_(entropy, 1 - q, value=gamma).mul_(focus)
    return entropy.mul_(focus), q


def _focused_twice(u, gamma):
    """The second derivative in u of what `_focused` returns."""
    entropy, wrong = F.softplus(u), u.sigmoid()
    right = 1 - wrong
    bent = wrong * (1 + gamma * (2 - entropy)) + gamma**2 * right * entropy
    return bent.mul_(right).mul_(wrong**gamma)


def _where_target(targets, positive, negative):
    """Choose one of two numbers for each cell; masks take several times as long."""
    return torch.rsub(targets, negative, alpha=negative - positive)


def _check_ignore_index(value):
    if value is None:
        return None
    is_number = isinstance(value, Real) and isfinite(value)
    if not is_number or 0 <= value <= 1:
        expected = "None or a finite number outside of [0, 1], where targets are"
        raise must_be("ignore_index", expected, repr(value), "-1 is usual.")
    return float(value)


def _are_soft(targets):
    """Whether some targets are between 0 and 1; those outside are refused."""
    if not targets.numel():
        return False
    lowest, highest = torch.aminmax(targets - targets.square())  # 0 at 0 and 1, negative outside
    if lowest >= 0:
        return bool(highest > 0)
    wrong = targets[~((targets >= 0) & (targets <= 1))][0]
    remedy = "Unknown ones are left out if they are the number of build(ignore_index=...)."
    raise must_be("targets", "0, 1 or between them", f"a value of {wrong:g}", remedy)


class BalancedLoss(nn.Module):
    """The torch module of all nine losses.

    The mean over documents and labels of

    - w q^gamma softplus(u) with u = v - z where the document has the label,
    - w / lambda q^gamma softplus(u) with u = lambda (z - v) where it has not;

    z is the logit, v the label's shift, q = sigmoid(u) the probability of the wrong answer. A
    target y between 0 and 1 costs y times the first and 1 - y times the second. The caller's
    logits stay as they are; those of half precision are computed in float32.
    Built by a spec of this module: ``DistributionBalancedLoss().build(Y)``.

    Parameters
    ----------
    weighting : LabelWeights, Rebalancing or None
        Gives w for every cell; None is 1.
    shift : tensor of shape (n_labels,) or None
        v, the tolerance of each label.
    neg_scale : float, default=1.0
        lambda, the scale of negative logits.
    ntr_scale_negatives : bool, default=True
        Whether negative cells are divided by lambda.
    gamma : float, default=0.0
        Focusing exponent.
    reduction : {"mean", "sum", "none"}, default="mean"
        Over documents and labels.
    ignore_index : float or None, default=None
        The target of cells that nobody knows, -1 for instance: they add no loss and no gradient,
        and the mean is over the others (0 where there are none).
    n_labels : int or None, default=None
        Labels of the statistics, and so of a batch; None takes any number.

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import FocalLoss
    >>> Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> loss = FocalLoss(gamma=1).build(Y)
    >>> round(loss(torch.zeros(2, 2), Y).item(), 4)
    0.3466

    One label of the first document is half right, and one is unknown:

    >>> loss = FocalLoss(gamma=1).build(Y, reduction="none", ignore_index=-1)
    >>> loss(torch.zeros(1, 2), torch.tensor([[0.5, -1.0]]))
    tensor([[0.3466, 0.0000]])
    """

    def __init__(
        self,
        *,
        weighting=None,
        shift=None,
        neg_scale=1.0,
        ntr_scale_negatives=True,
        gamma=0.0,
        reduction="mean",
        ignore_index=None,
        n_labels=None,
    ):
        super().__init__()
        self.weighting = weighting
        self.register_buffer("shift", shift)
        self.neg_scale = neg_scale
        self.ntr_scale_negatives = ntr_scale_negatives
        self.gamma = gamma
        self.reduction = check_choice("reduction", reduction, ("mean", "sum", "none"))
        self.ignore_index = _check_ignore_index(ignore_index)
        self.n_labels = n_labels

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Compute the loss of (n_samples, n_labels) logits against targets of that shape.

        Targets are 0 and 1, numbers between them, or `ignore_index`; the loss has no gradient in
        them.
        """
        targets = self._check_batch(logits, targets)
        unknown = None if self.ignore_index is None else targets == self.ignore_index
        if unknown is not None:
            logits, targets = logits.masked_fill(unknown, 0), targets.masked_fill(unknown, 0)
        compute = self.soft_cells if _are_soft(targets) else self.cells
        return self._reduce(self._all_cells(logits, targets, compute), unknown)

    def of_indicators(self, logits, targets):
        """Compute the loss as `forward`, of targets that are known to be 0 and 1."""
        targets = self._check_batch(logits, targets)
        return self._reduce(self._all_cells(logits, targets, self.cells))

    def _check_batch(self, logits, targets):
        """Refuse a batch of another shape; targets as floats."""
        shape = tuple(logits.shape)
        if targets.shape != logits.shape:
            raise must_be("targets", f"of the shape of the logits, {shape}", tuple(targets.shape))
        if self.n_labels is not None and shape[1:] != (self.n_labels,):
            expected = f"of shape (n_samples, {self.n_labels}), {self.n_labels} labels expected"
            raise must_be("logits", expected, shape, "The loss was built for these labels.")
        return targets.to(torch.float64 if logits.dtype == torch.float64 else torch.float32)

    def _all_cells(self, logits, targets, compute):
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()  # logarithms need it
        with torch.autocast(logits.device.type, enabled=False):
            return _Cells.apply(logits, targets, self, compute)  # (n_samples, n_labels)

    def _reduce(self, cells, unknown=None):
        n_known = cells.numel()
        if unknown is not None:
            cells, n_known = cells.masked_fill(unknown, 0), (~unknown).sum().clamp_min(1)
        if self.reduction == "none":
            return cells
        # not cells.mean(): its backward fills a matrix
        return cells.sum() / n_known if self.reduction == "mean" else cells.sum()

    def weight(self, targets, label_mass=None):
        """Compute w, broadcastable to the cells; None where every cell counts 1."""
        if self.weighting is None:
            return None
        return self.weighting(targets, label_mass)

    def cells(self, logits, targets, weight=None, with_slopes=True):
        """Compute each cell's loss and its derivative in the logit, without autograd.

        In place where it can: with many labels the time goes into memory, not into arithmetic.
        """
        du_dz = _where_target(targets, -1.0, self.neg_scale)  # du/dz
        u = du_dz * logits if self.shift is None else (logits - self.shift).mul_(du_dz)
        values, slopes = _focused(u, self.gamma, with_slopes)
        if self.ntr_scale_negatives and self.neg_scale != 1:
            scale = _where_target(targets, 1.0, 1 / self.neg_scale)
            weight = scale if weight is None else scale.mul_(weight)
        if weight is not None:
            values *= weight
            du_dz *= weight
        return values, slopes.mul_(du_dz) if with_slopes else None

    def curvatures(self, logits, targets, weight=None):
        """Compute each cell's second derivative in the logit, without autograd.

        Below 0 where a focused cell is far on the wrong side.
        """
        du_dz = _where_target(targets, -1.0, self.neg_scale)
        u = du_dz * (logits if self.shift is None else logits - self.shift)
        curvatures = _focused_twice(u, self.gamma).mul_(du_dz.square())
        if self.ntr_scale_negatives and self.neg_scale != 1:
            curvatures *= _where_target(targets, 1.0, 1 / self.neg_scale)
        return curvatures if weight is None else curvatures.mul_(weight)

    def soft_cells(self, logits, targets, weight=None, with_slopes=True):
        """Compute what `cells` does, of targets between 0 and 1: a mean of both sides."""
        absent, present = (
            self.cells(logits, torch.full_like(targets, side), weight, with_slopes)
            for side in (0.0, 1.0)
        )
        values = torch.lerp(absent[0], present[0], targets)
        return values, torch.lerp(absent[1], present[1], targets) if with_slopes else None

    def label_mass(self, Y):
        """Sum what weighting sums over all labels of each document; `Y` may be sparse.

        `weight` needs it after `select`. None where no weight depends on the document.
        """
        if not isinstance(self.weighting, Rebalancing):
            return None
        inverse = self.weighting.inverse_counts
        return torch.from_numpy(Y @ inverse.double().cpu().numpy()).to(inverse)

    @torch.no_grad()
    def prior_logits(self, Y, document_weights=None, dtype=torch.float32):
        """Find the logits (n_labels,) of least loss for documents that cannot be told apart.

        Where a network starts that has not seen them yet. For cross-entropy they are the log-odds
        of the labels. `Y` is a csr_array; a label counts on one document at least, and at least
        one is without it. Documents may have weights (n_samples,).
        """
        present, absent = (one.to(dtype) for one in self._side_weights(Y, document_weights))
        n_samples = Y.shape[0] if document_weights is None else float(document_weights.sum())
        least = (present + absent) / n_samples
        present, absent = torch.maximum(present, least), torch.maximum(absent, least)
        du_dz = torch.tensor([[1.0], [0.0]]).expand(2, len(present))
        high = torch.full_like(present, _MAX_LOGIT)
        low = -high
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            _, slopes = self.cells(middle.expand(2, -1), du_dz)
            rises = present * slopes[0] + absent * slopes[1] > 0
            low, high = torch.where(rises, low, middle), torch.where(rises, middle, high)
        return (low + high) / 2

    def _side_weights(self, Y, document_weights):
        """Sums of the weights (n_labels,) over the documents with and without each label."""
        weights = np.ones(Y.shape[0]) if document_weights is None else document_weights
        if isinstance(self.weighting, Rebalancing):
            present, everywhere = self.weighting.sums(Y, self.label_mass(Y), weights)
        else:  # a weight of the label changes neither side more than the other
            present, everywhere = torch.from_numpy(Y.T @ weights), float(weights.sum())
        return present, everywhere - present

    def select(self, columns):
        """Make the same loss for some of the labels: linear models are solved in blocks."""
        return type(self)(
            weighting=None if self.weighting is None else self.weighting.select(columns),
            shift=None if self.shift is None else self.shift[columns],
            neg_scale=self.neg_scale,
            ntr_scale_negatives=self.ntr_scale_negatives,
            gamma=self.gamma,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
        )


class SquaredHinge(BalancedLoss):
    """The torch module of the squared hinge: max(0, 1 - z)^2 of positives, max(0, 1 + z)^2 else."""

    def cells(self, logits, targets, weight=None, with_slopes=True):
        """Compute each cell's loss and its derivative in the logit, without autograd."""
        du_dz = _where_target(targets, -1.0, 1.0)
        u = (du_dz * logits).add_(1).clamp_min_(0)
        return u.square(), du_dz.mul_(u).mul_(2) if with_slopes else None

    def curvatures(self, logits, targets, weight=None):
        """Compute each cell's second derivative in the logit: 2 inside of the hinge, 0 outside."""
        return (_where_target(targets, -1.0, 1.0) * logits > -1).to(logits) * 2


class LabelWeights(nn.Module):
    """One weight per label, a tensor of shape (n_labels,), whatever the document."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, targets, label_mass=None):
        """Give the weights, of shape (n_labels,)."""
        return self.weights.to(targets.dtype)

    def select(self, columns):
        """Make the weights of some of the labels."""
        return LabelWeights(self.weights[columns])


class Rebalancing(nn.Module):
    """alpha + sigmoid(beta (r - mu)), r the label's 1 / n over the sum of its document's."""

    def __init__(self, inverse_counts, alpha, beta, mu):
        super().__init__()
        self.register_buffer("inverse_counts", inverse_counts)
        self.alpha, self.beta, self.mu = alpha, beta, mu

    def forward(self, targets, label_mass=None):
        """Compute the weights, (n_samples, n_labels); alpha + 1 where a document has no label."""
        inverse = self.inverse_counts.to(targets.dtype)
        label_mass = (
            targets @ inverse if label_mass is None else label_mass.to(targets.dtype)
        )  # (n_samples,)
        steepness = (self.beta / label_mass.clamp_min(_TINY)).unsqueeze(1)
        exponents = (inverse * steepness).sub_(self.beta * self.mu)  # beta (r - mu)
        return exponents.sigmoid_().add_(self.alpha)

    def sums(self, Y, label_mass, document_weights):
        """Sum the weights of the documents with each label, and of all, both (n_labels,)."""
        of_documents = torch.from_numpy(document_weights).to(self.inverse_counts)[:, None]
        present = torch.zeros_like(self.inverse_counts)
        everywhere = torch.zeros_like(self.inverse_counts)
        for start in range(0, Y.shape[1], _LABELS_AT_A_TIME):
            columns = slice(start, start + _LABELS_AT_A_TIME)
            targets = torch.from_numpy(Y[:, columns].toarray()).to(self.inverse_counts)
            weights = self.select(columns)(targets, label_mass) * of_documents
            present[columns], everywhere[columns] = (weights * targets).sum(0), weights.sum(0)
        return present, everywhere

    def select(self, columns):
        """Make the weighting of some of the labels; it then needs the `label_mass` of them all."""
        return Rebalancing(self.inverse_counts[columns], self.alpha, self.beta, self.mu)
