"""The nine losses of the papers' tables, and the squared hinge.

The nine are composed of weighting, negative tolerance and focusing. Weighting says how much a cell
of the label matrix counts, negative tolerance where its logit is judged, focusing how far easy
cells are ignored. A *spec* such as ``FocalLoss(gamma=1)`` holds
hyperparameters, with scikit-learn's ``get_params``, ``set_params`` and ``clone``;
``spec.build(Y)`` makes the torch module once the labels are known. `LOSSES` names the specs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from numbers import Real

import numpy as np
import torch
from sklearn.base import BaseEstimator

from .._validation import LabelWarning, check_label_matrix, must_be, warn
from ..labels import LabelStatistics
from ._kernel import BalancedLoss, LabelWeights, Rebalancing, SquaredHinge


class _LossSpec(BaseEstimator):
    """Hyperparameters of a loss; each part that a loss inherits adds to its module."""

    _module = BalancedLoss

    def build(
        self, statistics, *, reduction: str = "mean", ignore_index: float | None = None
    ) -> BalancedLoss:
        """Make the torch module for these labels.

        Parameters
        ----------
        statistics : LabelStatistics, or label indicators of shape (n_samples, n_labels)
            The labels of the documents actually trained on: an array, sparse matrix or tensor of
            zeros and ones. Where targets are soft or unknown, count what is most likely, or give
            ``LabelStatistics(counts, n_samples)``.
        reduction : {"mean", "sum", "none"}, default="mean"
            Over documents and labels.
        ignore_index : float, default=None
            The target of cells that nobody knows, -1 for instance, as in torch's losses: they add
            no loss and no gradient, and the mean is over the others. Other targets outside of
            [0, 1] are refused.

        Returns
        -------
        BalancedLoss
            A module with ``forward(logits, targets)``; its statistics are buffers. A target y
            between 0 and 1 costs y times what a 1 costs and 1 - y times what a 0 costs. Weights by
            the share in the document sum 1 / n times the target over its known labels.

        Raises
        ------
        ValueError
            If a hyperparameter is out of its range.
        """
        self._check()
        if isinstance(statistics, torch.Tensor):
            statistics = statistics.cpu()
        if not isinstance(statistics, LabelStatistics):
            statistics = LabelStatistics.from_matrix(check_label_matrix(statistics))
        return self._module(
            **self._parts(statistics),
            reduction=reduction,
            ignore_index=ignore_index,
            n_labels=len(statistics.counts),
        )

    def _check(self):
        for name, value in self.get_params(deep=False).items():
            if name not in _RANGES or (name == "mu" and value == "auto"):
                continue
            lowest, limit = _RANGES[name]
            if not isinstance(value, Real) or not isfinite(value) or not lowest <= value < limit:
                expected = f"a finite number in [{lowest:g}, {limit:g})"
                remedy = "'auto' reads it off the labels." if name == "mu" else ""
                raise must_be(f"{name} of {type(self).__name__}", expected, repr(value), remedy)

    def _parts(self, statistics):
        """Give the arguments of BalancedLoss."""
        return {}


_RANGES = {
    "gamma": (0, inf),
    "class_beta": (0, 1),
    "alpha": (0, inf),
    "beta": (0, inf),
    "mu": (-inf, inf),
    "kappa": (0, inf),
    "neg_scale": (0.01, 100),  # beyond, float32 loses the cells of one side
}


def _float32(array):
    return torch.as_tensor(array, dtype=torch.float32)


@dataclass(kw_only=True, eq=False, repr=False)
class _Focusing(_LossSpec):
    gamma: float = 2.0

    def _parts(self, statistics):
        return super()._parts(statistics) | {"gamma": self.gamma}


@dataclass(kw_only=True, eq=False, repr=False)
class _NegativeTolerance(_LossSpec):
    kappa: float = 0.05
    neg_scale: float = 2.0
    ntr_scale_negatives: bool = True

    def _parts(self, statistics):
        return super()._parts(statistics) | {
            "shift": _float32(self.kappa * statistics.log_odds_against),
            "neg_scale": self.neg_scale,
            "ntr_scale_negatives": self.ntr_scale_negatives,
        }


@dataclass(kw_only=True, eq=False, repr=False)
class _EffectiveNumber(_LossSpec):
    class_beta: float = 0.9

    def _parts(self, statistics):
        counts = np.maximum(np.asarray(statistics.counts, dtype=np.float64), 1)
        weights = (1 - self.class_beta) / (1 - self.class_beta**counts)
        return super()._parts(statistics) | {"weighting": LabelWeights(_float32(weights))}


@dataclass(kw_only=True, eq=False, repr=False)
class _ShareInDocument(_LossSpec):
    alpha: float = 0.1
    beta: float = 10.0
    mu: float | str = "auto"

    def _parts(self, statistics):
        middle = (statistics.mean_share + statistics.median_share) / 2
        mu = middle if self.mu == "auto" else self.mu
        weighting = Rebalancing(_float32(statistics.inverse_counts), self.alpha, self.beta, mu)
        return super()._parts(statistics) | {"weighting": weighting}


class BinaryCrossEntropyLoss(_LossSpec):
    """Binary cross-entropy of every label (BCE).

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import BinaryCrossEntropyLoss
    >>> Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> round(BinaryCrossEntropyLoss().build(Y)(torch.zeros(2, 2), Y).item(), 4)
    0.6931
    """


@dataclass(kw_only=True, eq=False, repr=False)
class WeightedBinaryCrossEntropyLoss(_LossSpec):
    """Cross-entropy times log(N / n - 1) of the label, on positives and negatives alike (WCE).

    Yang et al. 2020, Table 1, where a label on more than half of the documents weighs less than
    nothing. A label without documents has the weight of one with a document.

    Parameters
    ----------
    clip : bool, default=True
        Let such a label weigh 0. False is as printed: the worse its answers, the lower the loss.
        Either warns of such labels, which are not learned.

    Examples
    --------
    >>> from skmltc.labels import LabelStatistics
    >>> from skmltc.losses import WeightedBinaryCrossEntropyLoss
    >>> loss = WeightedBinaryCrossEntropyLoss().build(LabelStatistics([50, 20, 1], 100))
    >>> loss.weighting.weights
    tensor([0.0000, 1.3863, 4.5951])
    """

    clip: bool = True

    def _check(self):
        if not isinstance(self.clip, bool | np.bool_):
            raise must_be(f"clip of {type(self).__name__}", "True or False", repr(self.clip))
        super()._check()

    def _parts(self, statistics):
        weights = statistics.log_odds_against
        frequent = np.flatnonzero(weights < 0)
        if len(frequent):
            weight = "no weight" if self.clip else "a weight below 0"
            warn(
                f"weighted_bce gives {weight} to labels on more than half of the documents and "
                f"does not learn them: {len(frequent)} labels, columns {frequent[:5].tolist()} "
                "first. Every other loss learns them.",
                LabelWarning,
            )
        weights = np.maximum(weights, 0) if self.clip else weights
        return {"weighting": LabelWeights(_float32(weights))}


class FocalLoss(_Focusing):
    """Cross-entropy times the gamma-th power of the wrong answer's probability (FL).

    Without the factor 0.5 of the code that Huang et al. 2021 released.

    Parameters
    ----------
    gamma : float, default=2.0
        Focusing exponent, that of Huang et al. 2021; Yang et al. 2020 have 1.

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import FocalLoss
    >>> Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> round(FocalLoss().build(Y)(torch.zeros(2, 2), Y).item(), 4)
    0.1733
    """


@dataclass(kw_only=True, eq=False, repr=False)
class ClassBalancedLoss(_EffectiveNumber, _Focusing):
    """Focal loss weighted by the label's effective number of documents (CB).

    The weight is (1 - beta) / (1 - beta^n): 1 for a label's only document, falling with n to
    1 - beta (Huang et al. 2021).

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


@dataclass(kw_only=True, eq=False, repr=False)
class RebalancedFocalLoss(_ShareInDocument, _Focusing):
    """Focal loss weighted by the label's share in its document (R-FL).

    Of the labels of a document the rare ones count more: the weight is
    alpha + sigmoid(beta (r - mu)), where r is the label's 1 / n over the sum of 1 / n of the
    document's labels; so too for labels that the document has not (Huang et al. 2021).

    Parameters
    ----------
    alpha : float, default=0.1
        Lowest weight; the highest is alpha + 1.
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


@dataclass(kw_only=True, eq=False, repr=False)
class NegativeTolerantFocalLoss(_NegativeTolerance, _Focusing):
    """Focal loss that forgives negatives of rare labels (NTR-FL).

    Logits are judged after subtracting kappa log(N / n - 1), those of negatives then times lambda
    (Huang et al. 2021, equation 6). Prediction uses the plain logits.

    Parameters
    ----------
    kappa : float, default=0.05
        How far the logits of rare labels are shifted.
    neg_scale : float, default=2.0
        lambda, the scale of the logits of negatives, in [0.01, 100).
    ntr_scale_negatives : bool, default=True
        Divide the negative cells by lambda, as the paper writes; its released code, and so its
        published NTR-FL row, does not.
    gamma : float, default=2.0
        Focusing exponent.

    Examples
    --------
    >>> from skmltc.labels import LabelStatistics
    >>> from skmltc.losses import NegativeTolerantFocalLoss
    >>> NegativeTolerantFocalLoss().build(LabelStatistics([50, 2], 100)).shift
    tensor([0.0000, 0.1946])
    """


@dataclass(kw_only=True, eq=False, repr=False)
class ClassBalancedNegativeTolerantLoss(_EffectiveNumber, _NegativeTolerance, _Focusing):
    """Class-balanced weights on the negative-tolerant focal loss (CB-NTR; Huang et al. 2021).

    Parameters
    ----------
    class_beta : float, default=0.9
        beta of the effective number, in [0, 1).
    kappa : float, default=0.05
        How far the logits of rare labels are shifted.
    neg_scale : float, default=2.0
        lambda, the scale of the logits of negatives, in [0.01, 100).
    ntr_scale_negatives : bool, default=True
        Divide the negative cells by lambda.
    gamma : float, default=2.0
        Focusing exponent.

    Examples
    --------
    >>> from skmltc.labels import LabelStatistics
    >>> from skmltc.losses import ClassBalancedNegativeTolerantLoss
    >>> ClassBalancedNegativeTolerantLoss(kappa=0.1).build(LabelStatistics([50, 2], 100)).shift
    tensor([0.0000, 0.3892])
    """


@dataclass(kw_only=True, eq=False, repr=False)
class DistributionBalancedNoFocalLoss(_ShareInDocument, _NegativeTolerance):
    """Rebalanced weights and negative tolerance without focusing (DB-0FL; Huang et al. 2021).

    Parameters
    ----------
    alpha : float, default=0.1
        Lowest weight; the highest is alpha + 1.
    beta : float, default=10.0
        How sharply the weight follows the label's share r in its document.
    mu : float or "auto", default="auto"
        The r in the middle; "auto" is the mean of the mean and the median of r over the
        training assignments.
    kappa : float, default=0.05
        How far the logits of rare labels are shifted.
    neg_scale : float, default=2.0
        lambda, the scale of the logits of negatives, in [0.01, 100).
    ntr_scale_negatives : bool, default=True
        Divide the negative cells by lambda.

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import DistributionBalancedNoFocalLoss
    >>> Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> loss = DistributionBalancedNoFocalLoss(beta=0, alpha=0.5, neg_scale=1).build(Y)
    >>> round(loss(torch.zeros(2, 2), Y).item(), 4)
    0.6931
    """


@dataclass(kw_only=True, eq=False, repr=False)
class DistributionBalancedLoss(_ShareInDocument, _NegativeTolerance, _Focusing):
    """Rebalanced weights, negative tolerance and focusing (DB; Huang et al. 2021).

    There is no hidden factor 0.5 and no loss weight.

    Parameters
    ----------
    alpha : float, default=0.1
        Lowest weight; the highest is alpha + 1.
    beta : float, default=10.0
        How sharply the weight follows the label's share r in its document.
    mu : float or "auto", default="auto"
        The r in the middle; "auto" is the mean of the mean and the median of r over the
        training assignments.
    kappa : float, default=0.05
        How far the logits of rare labels are shifted.
    neg_scale : float, default=2.0
        lambda, the scale of the logits of negatives, in [0.01, 100).
    ntr_scale_negatives : bool, default=True
        Divide the negative cells by lambda.
    gamma : float, default=2.0
        Focusing exponent.

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import DistributionBalancedLoss
    >>> Y = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    >>> round(DistributionBalancedLoss().build(Y)(torch.zeros(3, 2), Y).item(), 4)
    0.0973
    """


class SquaredHingeLoss(_LossSpec):
    """Squared hinge of every label: max(0, 1 - z)^2 where a document has it, max(0, 1 + z)^2 else.

    That of scikit-learn's `LinearSVC`. A linear model minimises its sum over the documents plus
    half the squared weights times `weight_decay`, which is 1 / C: the objective of
    ``LinearSVC(loss="squared_hinge", C=C)`` divided by C, but for the intercept, which is not
    penalised here, while `LinearSVC` treats it as the weight of a column of ``intercept_scaling``.
    Networks may be trained with it too.

    The scores are no log-odds: most are between -1 and 1. Calibration, which is on by default,
    makes log-odds of them.

    Examples
    --------
    >>> import torch
    >>> from skmltc.losses import SquaredHingeLoss
    >>> Y = torch.tensor([[1.0, 0.0]])
    >>> SquaredHingeLoss().build(Y, reduction="none")(torch.tensor([[0.5, 0.5]]), Y)
    tensor([[0.2500, 2.2500]])
    """

    _module = SquaredHinge


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
    "squared_hinge": SquaredHingeLoss,
}
