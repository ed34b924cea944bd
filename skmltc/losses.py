"""The nine losses of the papers' tables, composed of three parts over one kernel.

Weighting (how much a cell of the label matrix counts) x negative tolerance (where its logit is
judged) x focusing (how far easy cells are ignored). A *spec* such as ``FocalLoss(gamma=1)`` holds
hyperparameters; ``spec.build(Y)`` makes the torch module once the labels are known.
"""

from __future__ import annotations

from numbers import Real

import torch
from sklearn.base import BaseEstimator
from torch import nn
from torch.nn import functional as F

from ._validation import must_be
from .labels import LabelStatistics

_TINY = 1e-30  # keeps the share of a document without labels finite


class _FocusedCells(torch.autograd.Function):
    """weight x p^gamma x softplus(u) for every cell, with its derivative in closed form."""

    @staticmethod
    def forward(ctx, logits, targets, weight, loss):
        values, slopes = loss.cells(logits, targets, weight, with_slopes=logits.requires_grad)
        ctx.save_for_backward(slopes)
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_output):
        (slopes,) = ctx.saved_tensors
        return grad_output * slopes, None, None, None


class BalancedLoss(nn.Module):
    """The torch module of all nine losses: mean over documents and labels of

        positive cells: w q^gamma softplus(u) with u = v - z,
        negative cells: w / lambda q^gamma softplus(u) with u = lambda (z - v),

    where z is the logit, v the label's shift, q = sigmoid(u) the probability of the wrong answer.
    Built by a spec of this module (``DistributionBalancedLoss().build(Y)``).

    Parameters
    ----------
    weighting : nn.Module or None
        Gives w for every cell, `LabelWeights` or `Rebalancing`; None is 1.
    shift : tensor of shape (n_labels,) or None
        v, the tolerance of each label.
    neg_scale : float, default=1.0
        lambda, the scale of negative logits.
    ntr_scale_negatives : bool, default=True
        Whether negative cells are divided by lambda (the paper's equation 6).
    gamma : float, default=0.0
        Focusing exponent.
    reduction : {"mean", "sum", "none"}, default="mean"
        Over documents and labels.

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import FocalLoss
    >>> Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> loss = FocalLoss(gamma=1).build(Y.numpy())
    >>> round(loss(torch.zeros(2, 2), Y).item(), 4)
    0.3466
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
    ):
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise must_be("reduction", "one of 'mean', 'sum', 'none'", repr(reduction))
        self.weighting = weighting
        self.register_buffer("shift", shift)
        self.neg_scale = neg_scale
        self.ntr_scale_negatives = ntr_scale_negatives
        self.gamma = gamma
        self.reduction = reduction

    def forward(self, logits, targets):
        """The loss of (n_samples, n_labels) logits against 0/1 targets of that shape."""
        if logits.dtype in (torch.float16, torch.bfloat16):  # autocast: logarithms want float32
            logits = logits.float()
        targets = targets.to(logits.dtype)
        weight = self.weight(targets)
        cells = _FocusedCells.apply(logits, targets, weight, self)  # (n_samples, n_labels)
        return {"mean": cells.mean, "sum": cells.sum, "none": lambda: cells}[self.reduction]()

    def weight(self, targets, mass=None):
        """w, broadcastable to the cells; None where every cell counts 1."""
        if self.weighting is None:
            return None
        return self.weighting(targets, mass)

    def cells(self, logits, targets, weight=None, with_slopes=True):
        """Each cell's loss and its derivative in the logit, without autograd."""
        positive = targets > 0
        z = logits if self.shift is None else logits - self.shift
        u = torch.where(positive, -z, z if self.neg_scale == 1 else self.neg_scale * z)
        values, slopes = _focused(u, self.gamma, with_slopes)
        divided = self.neg_scale if self.ntr_scale_negatives else 1.0
        if divided != 1:
            values = torch.where(positive, values, values / divided)
        if weight is not None:
            values = values * weight
        if not with_slopes:
            return values, None
        slopes *= torch.where(positive, -1.0, self.neg_scale / divided)
        return values, slopes if weight is None else slopes.mul_(weight)

    def label_mass(self, Y):
        """What weighting sums over all labels of each document, or None. `Y` may be sparse."""
        if not isinstance(self.weighting, Rebalancing):
            return None
        inverse = self.weighting.inverse_counts.double().cpu().numpy()
        return torch.from_numpy(Y @ inverse).to(self.weighting.inverse_counts)

    def select(self, columns):
        """The same loss for some of the labels: linear models are solved in blocks of them."""
        return BalancedLoss(
            weighting=None if self.weighting is None else self.weighting.select(columns),
            shift=None if self.shift is None else self.shift[columns],
            neg_scale=self.neg_scale,
            ntr_scale_negatives=self.ntr_scale_negatives,
            gamma=self.gamma,
            reduction=self.reduction,
        )


def _focused(u, gamma, with_slopes):
    """p^gamma softplus(u) with p = sigmoid(u), and its derivative in u."""
    entropy = F.softplus(u)
    if gamma == 0:
        return entropy, torch.sigmoid(u) if with_slopes else None
    p = torch.sigmoid(u)
    focus = p * p if gamma == 2 else p**gamma
    values = focus * entropy
    if not with_slopes:
        return values, None
    slopes = torch.addcmul(p, entropy, 1 - p, value=gamma)  # p + gamma (1 - p) softplus(u)
    return values, slopes.mul_(focus)


class LabelWeights(nn.Module):
    """One weight a label, whatever the document."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, targets, mass=None):
        return self.weights.to(targets.dtype)

    def select(self, columns):
        return LabelWeights(self.weights[columns])


class Rebalancing(nn.Module):
    """alpha + sigmoid(beta (r - mu)), r a label's share in its document's inverse counts."""

    def __init__(self, inverse_counts, alpha, beta, mu):
        super().__init__()
        self.register_buffer("inverse_counts", inverse_counts)
        self.alpha, self.beta, self.mu = alpha, beta, mu

    def forward(self, targets, mass=None):
        inverse = self.inverse_counts.to(targets.dtype)
        mass = targets @ inverse if mass is None else mass.to(targets.dtype)
        shares = inverse / mass.clamp_min(_TINY).unsqueeze(1)  # (n_samples, n_labels)
        return self.alpha + torch.sigmoid(self.beta * (shares - self.mu))

    def select(self, columns):
        return Rebalancing(self.inverse_counts[columns], self.alpha, self.beta, self.mu)


class _LossSpec(BaseEstimator):
    """Hyperparameters of a loss, with scikit-learn's parameter protocol."""

    def build(self, statistics, *, reduction="mean"):
        """Make the torch module for these labels.

        Parameters
        ----------
        statistics : LabelStatistics, or array or sparse matrix of shape (n_samples, n_labels)
            The labels of the documents actually trained on.
        reduction : {"mean", "sum", "none"}, default="mean"
            Over documents and labels.

        Returns
        -------
        BalancedLoss
            A module with ``forward(logits, targets)``; its statistics are buffers.
        """
        if not isinstance(statistics, LabelStatistics):
            statistics = LabelStatistics.from_matrix(statistics)
        self._check()
        return BalancedLoss(**self._parts(statistics), reduction=reduction)

    def _check(self):
        for name, (lowest, highest) in _RANGES.items():
            value = getattr(self, name, lowest)
            if name == "mu" and value == "auto":
                continue
            if not isinstance(value, Real) or not lowest <= value < highest:
                expected = f"a number in [{lowest:g}, {highest:g})"
                raise must_be(f"{name} of {type(self).__name__}", expected, repr(value))

    def _parts(self, statistics):
        """The arguments of BalancedLoss."""
        raise NotImplementedError


_INFINITY = float("inf")
_RANGES = {
    "gamma": (0, _INFINITY),
    "class_beta": (0, 1),
    "alpha": (0, _INFINITY),
    "beta": (0, _INFINITY),
    "mu": (-_INFINITY, _INFINITY),
    "kappa": (0, _INFINITY),
    "neg_scale": (_TINY, _INFINITY),
}


def _effective_number_weights(statistics, class_beta):
    """(1 - beta) / (1 - beta^n) of each label (class-balanced, by effective number)."""
    counts = torch.as_tensor(statistics.counts, dtype=torch.float64).clamp_min(1)
    return LabelWeights(((1 - class_beta) / (1 - class_beta**counts)).float())


def _rebalancing(statistics, alpha, beta, mu):
    if mu == "auto":
        mu = (statistics.mean_share + statistics.median_share) / 2
    return Rebalancing(torch.from_numpy(statistics.inverse_counts).float(), alpha, beta, mu)


def _tolerance(statistics, spec):
    """The shift kappa log(N/n - 1) and the scale of negatives."""
    return {
        "shift": torch.from_numpy(spec.kappa * statistics.rarity).float(),
        "neg_scale": spec.neg_scale,
        "ntr_scale_negatives": spec.ntr_scale_negatives,
    }


class BinaryCrossEntropyLoss(_LossSpec):
    """Binary cross-entropy of every label (BCE).

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import BinaryCrossEntropyLoss
    >>> Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> BinaryCrossEntropyLoss().build(Y)(torch.zeros(2, 2), Y).item()
    0.693147...
    """

    def _parts(self, statistics):
        return {}


class WeightedBinaryCrossEntropyLoss(_LossSpec):
    """Cross-entropy times log(N/n - 1) of the label, on positives and negatives alike (WCE).

    Labels on more than half of the documents would weigh less than nothing; they weigh 0 (HSCNN,
    Table 1; specification A1).

    Examples
    --------
    >>> import torch
    >>> from skmltc.labels import LabelStatistics
    >>> from skmltc.losses import WeightedBinaryCrossEntropyLoss
    >>> loss = WeightedBinaryCrossEntropyLoss().build(LabelStatistics([60, 20, 1], 100))
    >>> loss.weighting.weights
    tensor([0.0000, 1.3863, 4.5951])
    """

    def _parts(self, statistics):
        weights = torch.from_numpy(statistics.rarity).float()
        return {"weighting": LabelWeights(weights.clamp_min(0))}


class FocalLoss(_LossSpec):
    """Focal loss (FL): cross-entropy times the probability of the wrong answer to the gamma.

    Parameters
    ----------
    gamma : float, default=2.0
        Focusing exponent; HSCNN has 1. There is no factor alpha (the released code has 0.5).

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import FocalLoss
    >>> Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> FocalLoss(gamma=2).build(Y)(torch.zeros(2, 2), Y).item()
    0.173286...
    """

    def __init__(self, gamma=2.0):
        self.gamma = gamma

    def _parts(self, statistics):
        return {"gamma": self.gamma}


class ClassBalancedLoss(_LossSpec):
    """Focal loss weighted by the label's effective number of documents (CB).

    The weight is (1 - beta) / (1 - beta^n) (balancing losses, equation 4; specification A3).

    Parameters
    ----------
    class_beta : float, default=0.9
        beta, in [0, 1); 0 weighs all labels alike, towards 1 the weight becomes 1 / n.
    gamma : float, default=2.0
        Focusing exponent.

    Examples
    --------
    >>> from skmltc.labels import LabelStatistics
    >>> from skmltc.losses import ClassBalancedLoss
    >>> ClassBalancedLoss().build(LabelStatistics([50, 2], 100)).weighting.weights
    tensor([0.1005, 0.5263])
    """

    def __init__(self, class_beta=0.9, gamma=2.0):
        self.class_beta = class_beta
        self.gamma = gamma

    def _parts(self, statistics):
        weighting = _effective_number_weights(statistics, self.class_beta)
        return {"weighting": weighting, "gamma": self.gamma}


class RebalancedFocalLoss(_LossSpec):
    """Focal loss weighted by the label's share in its document (R-FL).

    Of the labels of a document the rare ones count more: the weight is
    alpha + sigmoid(beta (r - mu)) with r the label's part of the document's inverse counts
    (balancing losses, equation 5; specification A3, step 1).

    Parameters
    ----------
    alpha : float, default=0.1
        Lowest weight.
    beta : float, default=10.0
        How sharply the weight follows r.
    mu : float or "auto", default="auto"
        The r in the middle; "auto" is the mean of the mean and the median of r over the
        training assignments (0.9 on Reuters-21578 and 0.05 on PubMed in the paper).
    gamma : float, default=2.0
        Focusing exponent.

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import RebalancedFocalLoss
    >>> Y = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    >>> RebalancedFocalLoss(mu=0.9).build(Y).weight(Y)
    tensor([[0.1034, 0.1884],
            [0.8311, 1.1000]])
    """

    def __init__(self, alpha=0.1, beta=10.0, mu="auto", gamma=2.0):
        self.alpha = alpha
        self.beta = beta
        self.mu = mu
        self.gamma = gamma

    def _parts(self, statistics):
        weighting = _rebalancing(statistics, self.alpha, self.beta, self.mu)
        return {"weighting": weighting, "gamma": self.gamma}


class NegativeTolerantFocalLoss(_LossSpec):
    """Focal loss that forgives negatives of rare labels (NTR-FL).

    Logits are judged after subtracting kappa log(N/n - 1), those of negatives then times lambda
    (balancing losses, equation 6; specification A3, step 2). Prediction uses the plain logits.

    Parameters
    ----------
    kappa : float, default=0.05
        How far the logits of rare labels are shifted.
    neg_scale : float, default=2.0
        lambda, the scale of the logits of negatives.
    gamma : float, default=2.0
        Focusing exponent.
    ntr_scale_negatives : bool, default=True
        Divide the negative cells by lambda, as the paper writes; the released code's NTR-FL
        does not.

    Examples
    --------
    >>> from skmltc.labels import LabelStatistics
    >>> from skmltc.losses import NegativeTolerantFocalLoss
    >>> NegativeTolerantFocalLoss().build(LabelStatistics([50, 2], 100)).shift
    tensor([0.0000, 0.1946])
    """

    def __init__(self, kappa=0.05, neg_scale=2.0, gamma=2.0, ntr_scale_negatives=True):
        self.kappa = kappa
        self.neg_scale = neg_scale
        self.gamma = gamma
        self.ntr_scale_negatives = ntr_scale_negatives

    def _parts(self, statistics):
        return {"gamma": self.gamma, **_tolerance(statistics, self)}


class ClassBalancedNegativeTolerantLoss(_LossSpec):
    """Class-balanced weights on the negative-tolerant focal loss (CB-NTR).

    Parameters
    ----------
    class_beta : float, default=0.9
        beta of the effective number, in [0, 1).
    kappa : float, default=0.05
        How far the logits of rare labels are shifted.
    neg_scale : float, default=2.0
        lambda, the scale of the logits of negatives.
    gamma : float, default=2.0
        Focusing exponent.
    ntr_scale_negatives : bool, default=True
        Divide the negative cells by lambda.

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import ClassBalancedNegativeTolerantLoss
    >>> Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> ClassBalancedNegativeTolerantLoss().build(Y)(torch.zeros(2, 2), Y).item()
    0.1299...
    """

    def __init__(
        self, class_beta=0.9, kappa=0.05, neg_scale=2.0, gamma=2.0, ntr_scale_negatives=True
    ):
        self.class_beta = class_beta
        self.kappa = kappa
        self.neg_scale = neg_scale
        self.gamma = gamma
        self.ntr_scale_negatives = ntr_scale_negatives

    def _parts(self, statistics):
        weighting = _effective_number_weights(statistics, self.class_beta)
        return {"weighting": weighting, "gamma": self.gamma, **_tolerance(statistics, self)}


class DistributionBalancedNoFocalLoss(_LossSpec):
    """Rebalanced weights and negative tolerance without focusing (DB-0FL).

    Parameters
    ----------
    alpha : float, default=0.1
        Lowest weight.
    beta : float, default=10.0
        How sharply the weight follows the label's share in its document.
    mu : float or "auto", default="auto"
        The share in the middle.
    kappa : float, default=0.05
        How far the logits of rare labels are shifted.
    neg_scale : float, default=2.0
        lambda, the scale of the logits of negatives.
    ntr_scale_negatives : bool, default=True
        Divide the negative cells by lambda.

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import DistributionBalancedNoFocalLoss
    >>> Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> loss = DistributionBalancedNoFocalLoss(beta=0, alpha=0.5, neg_scale=1).build(Y)
    >>> loss(torch.zeros(2, 2), Y).item()
    0.693147...
    """

    def __init__(
        self,
        alpha=0.1,
        beta=10.0,
        mu="auto",
        kappa=0.05,
        neg_scale=2.0,
        ntr_scale_negatives=True,
    ):
        self.alpha = alpha
        self.beta = beta
        self.mu = mu
        self.kappa = kappa
        self.neg_scale = neg_scale
        self.ntr_scale_negatives = ntr_scale_negatives

    def _parts(self, statistics):
        weighting = _rebalancing(statistics, self.alpha, self.beta, self.mu)
        return {"weighting": weighting, **_tolerance(statistics, self)}


class DistributionBalancedLoss(_LossSpec):
    """Rebalanced weights, negative tolerance and focusing (DB).

    Source: balancing losses, equation 7, after the distribution-balanced loss of computer vision
    (specification A3). There is no hidden factor 0.5 and no loss weight.

    Parameters
    ----------
    alpha : float, default=0.1
        Lowest weight.
    beta : float, default=10.0
        How sharply the weight follows the label's share in its document.
    mu : float or "auto", default="auto"
        The share in the middle.
    kappa : float, default=0.05
        How far the logits of rare labels are shifted.
    neg_scale : float, default=2.0
        lambda, the scale of the logits of negatives.
    gamma : float, default=2.0
        Focusing exponent.
    ntr_scale_negatives : bool, default=True
        Divide the negative cells by lambda.

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import DistributionBalancedLoss
    >>> Y = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    >>> DistributionBalancedLoss().build(Y)(torch.zeros(3, 2), Y).item()
    0.1137...
    """

    def __init__(
        self,
        alpha=0.1,
        beta=10.0,
        mu="auto",
        kappa=0.05,
        neg_scale=2.0,
        gamma=2.0,
        ntr_scale_negatives=True,
    ):
        self.alpha = alpha
        self.beta = beta
        self.mu = mu
        self.kappa = kappa
        self.neg_scale = neg_scale
        self.gamma = gamma
        self.ntr_scale_negatives = ntr_scale_negatives

    def _parts(self, statistics):
        weighting = _rebalancing(statistics, self.alpha, self.beta, self.mu)
        return {"weighting": weighting, "gamma": self.gamma, **_tolerance(statistics, self)}


LOSSES = {
    "bce": BinaryCrossEntropyLoss,
    "weighted_bce": WeightedBinaryCrossEntropyLoss,
    "focal": FocalLoss,
    "class_balanced": ClassBalancedLoss,
    "rebalanced_focal": RebalancedFocalLoss,
    "negative_tolerant_focal": NegativeTolerantFocalLoss,
    "distribution_balanced_no_focal": DistributionBalancedNoFocalLoss,
    "class_balanced_negative_tolerant": ClassBalancedNegativeTolerantLoss,
    "distribution_balanced": DistributionBalancedLoss,
}
