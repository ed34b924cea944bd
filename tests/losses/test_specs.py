"""The losses against loops over cells, the papers' vectors, and what must hold of them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.base import clone
from torch.nn.functional import binary_cross_entropy_with_logits

from skmltc.labels import LabelStatistics
from skmltc.losses import (
    LOSSES,
    BinaryCrossEntropyLoss,
    ClassBalancedLoss,
    ClassBalancedNegativeTolerantLoss,
    DistributionBalancedLoss,
    DistributionBalancedNoFocalLoss,
    FocalLoss,
    NegativeTolerantFocalLoss,
    RebalancedFocalLoss,
    SquaredHingeLoss,
    WeightedBinaryCrossEntropyLoss,
)

# Input of the vectors: Huang et al. 2021 with the constants of Reuters-21578.
STATISTICS = LabelStatistics([50, 20, 5, 2], 100)
Z = [[1.2, -0.3, 0.4, -2.0], [-0.5, 0.8, -1.1, 0.3], [2.5, -1.5, -0.2, -0.7]]
Y = [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0]]
LOGITS = torch.tensor(Z, dtype=torch.float64)
TARGETS = torch.tensor(Y, dtype=torch.float64)

EVERY = [
    BinaryCrossEntropyLoss(),
    WeightedBinaryCrossEntropyLoss(),
    FocalLoss(),
    ClassBalancedLoss(),
    RebalancedFocalLoss(mu=0.9),
    NegativeTolerantFocalLoss(),
    DistributionBalancedNoFocalLoss(mu=0.9),
    ClassBalancedNegativeTolerantLoss(),
    DistributionBalancedLoss(mu=0.9),
    SquaredHingeLoss(),
]
OTHER_SETTINGS = [
    WeightedBinaryCrossEntropyLoss(clip=False),
    FocalLoss(gamma=1),
    FocalLoss(gamma=0.5),
    ClassBalancedLoss(class_beta=0.99, gamma=1.5),
    RebalancedFocalLoss(alpha=0.3, beta=2, mu=0.2, gamma=0),
    NegativeTolerantFocalLoss(kappa=0.5, neg_scale=0.3, ntr_scale_negatives=False),
    ClassBalancedNegativeTolerantLoss(class_beta=0.5, kappa=1, neg_scale=5, gamma=3),
    DistributionBalancedLoss(alpha=0, beta=50, mu=0.05, kappa=0.2, neg_scale=7, gamma=1),
]
NOT_ALL_WEIGHED = pytest.mark.filterwarnings("ignore:weighted_bce gives")
every_loss = pytest.mark.parametrize("spec", EVERY, ids=list(LOSSES))
UNHURRIED = settings(deadline=None, max_examples=50)
LABELS = hnp.arrays(
    np.int8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 1)
)


def logistic(x):
    return 1 / (1 + math.exp(-x))


def loop_weight(spec, label, document, counts, n_samples):
    """Weigh one cell: a label's column and a document's row of targets from 0 to 1."""
    counts = [max(n, 1) for n in counts]
    if isinstance(spec, WeightedBinaryCrossEntropyLoss):
        weight = math.log((n_samples - counts[label]) / counts[label])
        return max(weight, 0) if spec.clip else weight
    if hasattr(spec, "class_beta"):
        return (1 - spec.class_beta) / (1 - spec.class_beta ** counts[label])
    if hasattr(spec, "mu"):
        total = sum(y / n for n, y in zip(counts, document, strict=True))
        share = 1 / counts[label] / total if total else math.inf
        saturated = share == math.inf and spec.beta > 0
        return spec.alpha + (1 if saturated else logistic(spec.beta * (share - spec.mu)))
    return 1


def loop_side(spec, shifted, is_positive):
    """Compute one side of a cell as the paper has it: by log q, or by log(1 - q)."""
    if isinstance(spec, SquaredHingeLoss):
        return max(0, 1 - shifted if is_positive else 1 + shifted) ** 2
    gamma, scale = getattr(spec, "gamma", 0), getattr(spec, "neg_scale", 1)
    if is_positive:
        q = logistic(shifted)
        return -((1 - q) ** gamma) * math.log(q)
    q = logistic(scale * shifted)
    side = -(q**gamma) * math.log(logistic(-scale * shifted))
    return side / (scale if getattr(spec, "ntr_scale_negatives", True) else 1)


def loop_cell(spec, logit, label, document, counts, n_samples):
    """Compute one cell: y times that of a positive, 1 - y times that of a negative."""
    count = min(max(counts[label], 1), n_samples - 1)
    shifted = logit - getattr(spec, "kappa", 0) * math.log(n_samples / count - 1)
    cell = document[label] * loop_side(spec, shifted, True)
    cell += (1 - document[label]) * loop_side(spec, shifted, False)
    return cell * loop_weight(spec, label, document, counts, n_samples)


def loop_cells(spec, logits, labels, counts, n_samples):
    return [
        [loop_cell(spec, z, i, document, counts, n_samples) for i, z in enumerate(row)]
        for row, document in zip(logits, labels, strict=True)
    ]


def loop_mean(cells, targets, unknown):
    """Mean of the cells whose target is known."""
    pairs = zip(cells, targets, strict=True)
    known = [c for row, ys in pairs for c, y in zip(row, ys, strict=True) if y != unknown]
    return sum(known) / len(known)


def soft_problem():
    """Logits, targets between 0 and 1 with some of either end, and the counts of labels."""
    logits, _, labels = random_problem()
    soft = np.random.default_rng(5).random(labels.shape)
    soft[soft < 0.2], soft[soft > 0.9], soft[0] = 0, 1, 0
    return logits, torch.from_numpy(soft), labels


def cells_of(spec, statistics=STATISTICS, logits=LOGITS, targets=TARGETS):
    return spec.build(statistics, reduction="none")(logits, targets)


def assert_equal_losses(first, second):
    torch.testing.assert_close(cells_of(first), cells_of(second), rtol=1e-7, atol=1e-12)


def gradient(loss, logits, targets):
    logits = logits.clone().requires_grad_()
    loss(logits, targets).backward()
    return logits.grad


def random_problem(n_samples=30, n_labels=8, seed=0, dtype=torch.float64):
    """Labels of falling frequency, one without documents, one on all, rows without labels."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((n_samples, n_labels)) < 0.6 / np.arange(1, n_labels + 1)).astype(
        int
    )
    labels[:, -1] = 0
    labels[:4] = 0
    labels[:, 0] = 1
    labels[4:6, 0] = 0
    logits = torch.from_numpy(generator.normal(scale=2, size=labels.shape)).to(dtype)
    return logits, torch.from_numpy(labels).to(dtype), labels


class TestVectors:
    # Each expected value is the printed one over its factors: 0.5 of the released focal losses,
    # and the released loss weight (10 for CB and CB-NTR, 0.5 for DB-0FL).
    @pytest.mark.parametrize(
        ("spec", "printed", "factor"),
        [
            (BinaryCrossEntropyLoss(), 0.36883976, 1),
            (FocalLoss(), 0.02471842, 0.5),
            (ClassBalancedLoss(), 0.06492127, 5),
            (RebalancedFocalLoss(mu=0.9), 0.01373586, 0.5),
            (NegativeTolerantFocalLoss(), 0.01524907, 0.5),
            (NegativeTolerantFocalLoss(ntr_scale_negatives=False), 0.01758466, 0.5),
            (DistributionBalancedNoFocalLoss(mu=0.9), 0.05276835, 0.5),
            (ClassBalancedNegativeTolerantLoss(), 0.04943515, 5),
            (DistributionBalancedLoss(mu=0.9), 0.00807241, 0.5),
        ],
    )
    def test_mean(self, spec, printed, factor):
        assert spec.build(STATISTICS)(LOGITS, TARGETS).item() == pytest.approx(
            printed / factor, rel=1e-6
        )

    def test_cells_of_db(self):
        expected = [
            [0.00070750, 0.00103272, 0.03419457, 5.1e-7],
            [0.00056746, 0.00208303, 1.207e-5, 0.04483666],
            [0.00018864, 2.014e-5, 0.01235463, 0.00087104],
        ]
        cells = cells_of(DistributionBalancedLoss(mu=0.9)) / 2
        np.testing.assert_allclose(cells, expected, atol=1e-8, rtol=1e-6)

    def test_shift(self):
        expected = [0, 0.06931472, 0.14722195, 0.19459101]
        shift = NegativeTolerantFocalLoss().build(STATISTICS).shift
        np.testing.assert_allclose(shift, expected, atol=1e-7)

    def test_prior_log_odds(self):
        expected = [0, -1.38629436, -2.94443898, -3.89182030]
        shift = NegativeTolerantFocalLoss(kappa=1).build(STATISTICS).shift
        np.testing.assert_allclose(-shift, expected, rtol=1e-6)

    def test_shares_and_rebalancing_weights(self):
        loss = RebalancedFocalLoss(mu=0.9).build(STATISTICS)
        shares = loss.weighting.inverse_counts / loss.label_mass(np.array(Y))[:, None]
        expected_shares = [
            [0.09090909, 0.22727273, 0.90909091, 2.27272727],
            [0.03636364, 0.09090909, 0.36363636, 0.90909091],
            [1, 2.5, 10, 25],
        ]
        expected_weights = [
            [0.10030622, 0.10119636, 0.62271163, 1.09999891],
            [0.10017750, 0.10030622, 0.10466201, 0.62271163],
            [0.83105858, 1.09999989, 1.1, 1.1],
        ]
        np.testing.assert_allclose(shares, expected_shares, rtol=1e-6)
        np.testing.assert_allclose(loss.weight(TARGETS), expected_weights, rtol=1e-6)

    def test_effective_number_weights(self):
        expected = [0.10051805, 0.11384033, 0.24419428, 0.52631579]
        weights = ClassBalancedLoss().build(STATISTICS).weighting.weights
        np.testing.assert_allclose(weights, expected, rtol=1e-6)

    @pytest.mark.parametrize(
        ("spec", "total"),
        [
            (BinaryCrossEntropyLoss(), 3.17008566),
            (FocalLoss(gamma=1), 2.38365932),
            (WeightedBinaryCrossEntropyLoss(), 11.28880915),  # the negative weight clamped at 0
            (WeightedBinaryCrossEntropyLoss(clip=False), 11.14418990),  # as printed
        ],
    )
    @NOT_ALL_WEIGHED
    def test_hscnn_sums(self, spec, total):
        probabilities = torch.tensor([[0.7, 0.4, 0.1]], dtype=torch.float64)
        loss = spec.build(LabelStatistics([60, 20, 1], 100), reduction="sum")
        value = loss(torch.logit(probabilities), torch.tensor([[1.0, 0.0, 1.0]]))
        assert value.item() == pytest.approx(total, rel=1e-7)

    def test_hscnn_cells(self):
        logits = torch.logit(torch.tensor([[0.7, 0.4, 0.1]], dtype=torch.float64))
        targets = torch.tensor([[1, 0, 1]])
        cells = cells_of(BinaryCrossEntropyLoss(), targets, logits, targets)
        np.testing.assert_allclose(cells, [[0.35667494, 0.51082562, 2.30258509]], rtol=1e-7)

    @NOT_ALL_WEIGHED
    def test_hscnn_weights(self):
        loss = WeightedBinaryCrossEntropyLoss().build(LabelStatistics([60, 20, 1], 100))
        np.testing.assert_allclose(loss.weighting.weights, [0, 1.38629436, 4.59511985], rtol=1e-7)


class TestLoop:
    @pytest.mark.parametrize("spec", EVERY + OTHER_SETTINGS)
    @NOT_ALL_WEIGHED
    def test_cells(self, spec):
        logits, targets, labels = random_problem()
        counts, n_samples = labels.sum(axis=0).tolist(), len(labels)
        assert counts[-1] == 0
        expected = loop_cells(spec, logits.tolist(), labels.tolist(), counts, n_samples)
        actual = cells_of(spec, labels, logits, targets)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-12)

    @pytest.mark.parametrize("spec", EVERY + OTHER_SETTINGS)
    def test_gradient(self, spec):
        loss = spec.build(STATISTICS)
        logits = (3 * LOGITS).requires_grad_()
        assert torch.autograd.gradcheck(lambda z: loss(z, TARGETS), (logits,))
        loss.reduction = "none"
        assert torch.autograd.gradcheck(lambda z: loss(z, TARGETS), (logits,))


class TestCurvatures:
    @pytest.mark.parametrize("spec", EVERY + OTHER_SETTINGS)
    def test_they_are_the_change_of_the_slope(self, spec):
        loss, step = spec.build(STATISTICS).double(), 1e-6
        weight = loss.weight(TARGETS)
        ends = [loss.cells(3 * LOGITS + d, TARGETS, weight)[1] for d in (-step, step)]
        expected = (ends[1] - ends[0]) / (2 * step)
        actual = loss.curvatures(3 * LOGITS, TARGETS, weight)
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-8)

    def test_those_of_a_focused_cell_on_the_wrong_side_are_below_0(self):
        logits, targets = torch.tensor([[4.0]]), torch.zeros(1, 1)
        assert FocalLoss().build(LabelStatistics([1], 9)).curvatures(logits, targets) < 0

    def test_those_of_the_hinge_are_2_inside_and_0_outside(self):
        loss = SquaredHingeLoss().build(LabelStatistics([1, 1, 1, 1], 9))
        logits, targets = torch.tensor([[0.9, 1.1, -0.9, -1.1]]), torch.tensor([[1.0, 1, 0, 0]])
        assert loss.curvatures(logits, targets).tolist() == [[2, 0, 2, 0]]


class TestSoftTargets:
    @pytest.mark.parametrize("spec", EVERY + OTHER_SETTINGS)
    @NOT_ALL_WEIGHED
    def test_cells_are_those_of_the_formula(self, spec):
        logits, targets, labels = soft_problem()
        counts, n_samples = labels.sum(axis=0).tolist(), len(labels)
        expected = loop_cells(spec, logits.tolist(), targets.tolist(), counts, n_samples)
        actual = cells_of(spec, labels, logits, targets)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-12)

    @pytest.mark.parametrize("spec", EVERY + OTHER_SETTINGS)
    def test_gradient(self, spec):
        targets = 0.9 * TARGETS + 0.05
        logits = (3 * LOGITS).requires_grad_()
        for reduction in ("mean", "none"):
            loss = spec.build(STATISTICS, reduction=reduction)
            assert torch.autograd.gradcheck(lambda z, loss=loss: loss(z, targets), (logits,))

    def test_bce_is_that_of_torch(self):
        targets = 0.8 * TARGETS + 0.07
        expected = binary_cross_entropy_with_logits(LOGITS, targets).item()
        actual = BinaryCrossEntropyLoss().build(STATISTICS)(LOGITS, targets).item()
        assert actual == pytest.approx(expected, rel=1e-12)

    @every_loss
    def test_hard_cells_beside_soft_ones_keep_their_bits(self, spec):
        if hasattr(spec, "mu"):  # a document's weights depend on all its targets
            rows = slice(1, None)
        else:
            rows = slice(0, None)
        targets = TARGETS.clone()
        targets[0, 0] = 0.5
        hard = targets[rows] == TARGETS[rows]
        soft = cells_of(spec, targets=targets)[rows]
        assert torch.equal(soft[hard], cells_of(spec)[rows][hard])

    @every_loss
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    def test_soft_targets_of_low_precision(self, spec, dtype):
        loss, targets = spec.build(STATISTICS), (0.5 * TARGETS).to(dtype)
        assert loss(LOGITS.float(), targets) == loss(LOGITS.float(), targets.float())

    @every_loss
    @pytest.mark.parametrize("value", [-1, 1.01, 2, math.nan, math.inf])
    def test_other_targets_are_refused(self, spec, value):
        targets = TARGETS.clone()
        targets[1, 2] = value
        loss = spec.build(STATISTICS)
        with pytest.raises(ValueError, match=f"0, 1 or between them. Got a value of {value:g} ins"):
            loss(LOGITS, targets)


class TestUnknownTargets:
    @pytest.mark.parametrize("spec", EVERY + OTHER_SETTINGS)
    @pytest.mark.parametrize("is_soft", [False, True])
    @NOT_ALL_WEIGHED
    def test_loss_is_the_mean_of_the_known_cells(self, spec, is_soft):
        logits, targets, labels = soft_problem()
        targets = targets if is_soft else torch.from_numpy(labels).double()
        is_known = np.random.default_rng(6).random(labels.shape) < 0.7
        known = torch.from_numpy(np.where(is_known, targets, 0))  # what a share counts
        counts, n_samples = labels.sum(axis=0).tolist(), len(labels)
        cells = loop_cells(spec, logits.tolist(), known.tolist(), counts, n_samples)
        targets = torch.from_numpy(np.where(is_known, targets, -1))
        expected = loop_mean(cells, targets.tolist(), -1)
        loss = spec.build(labels, ignore_index=-1)
        assert loss(logits, targets).item() == pytest.approx(expected, rel=1e-5)
        loss.reduction = "sum"
        assert loss(logits, targets).item() == pytest.approx(expected * is_known.sum(), rel=1e-5)
        loss.reduction = "none"
        cells = np.where(is_known, cells, 0)
        np.testing.assert_allclose(loss(logits, targets), cells, rtol=1e-5, atol=1e-12)

    @every_loss
    def test_gradient(self, spec):
        targets = 0.9 * TARGETS + 0.05
        targets[0, 1] = targets[2, 3] = -100
        loss = spec.build(STATISTICS, ignore_index=-100)
        logits = (3 * LOGITS).requires_grad_()
        assert torch.autograd.gradcheck(lambda z: loss(z, targets), (logits,))

    @every_loss
    @pytest.mark.parametrize("logit", [math.inf, math.nan, 1e30])
    def test_unknown_cells_have_no_gradient_whatever_their_logit(self, spec, logit):
        logits, targets = LOGITS.clone(), TARGETS.clone()
        logits[0, 1], targets[0, 1] = logit, -1
        loss = spec.build(STATISTICS, ignore_index=-1)
        slopes = gradient(loss, logits, targets)
        assert loss(logits, targets).isfinite() and slopes.isfinite().all()
        assert slopes[0, 1] == 0

    def test_nothing_known_costs_nothing(self):
        loss = FocalLoss().build(STATISTICS, ignore_index=-1)
        unknown = torch.full_like(TARGETS, -1)
        assert loss(LOGITS, unknown) == 0
        assert not gradient(loss, LOGITS, unknown).any()

    @every_loss
    @pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
    def test_all_known_is_as_without(self, spec, dtype):
        targets = TARGETS.to(dtype)
        expected = spec.build(STATISTICS)(LOGITS, targets)
        assert spec.build(STATISTICS, ignore_index=-1)(LOGITS, targets) == expected

    def test_other_values_are_still_refused(self):
        loss = FocalLoss().build(STATISTICS, ignore_index=-1)
        with pytest.raises(ValueError, match="targets must be .* Got a value of -100 instead"):
            loss(LOGITS, torch.where(LOGITS > 2, -100.0, TARGETS))

    @pytest.mark.parametrize("value", [0, 1, 0.5, math.nan, "-1", [-1]])
    def test_a_mark_that_could_be_a_target_is_refused(self, value):
        with pytest.raises(ValueError, match="ignore_index must be None or a finite number outsi"):
            FocalLoss().build(STATISTICS, ignore_index=value)


class TestInvariants:
    def test_bce_is_that_of_torch(self):
        expected = binary_cross_entropy_with_logits(LOGITS, TARGETS)
        assert BinaryCrossEntropyLoss().build(STATISTICS)(LOGITS, TARGETS).item() == pytest.approx(
            expected.item(), rel=1e-12
        )

    @pytest.mark.parametrize(
        ("special", "general"),
        [
            (BinaryCrossEntropyLoss(), FocalLoss(gamma=0)),
            (FocalLoss(gamma=1.5), ClassBalancedLoss(class_beta=0, gamma=1.5)),
            (FocalLoss(), RebalancedFocalLoss(alpha=0.5, beta=0)),
            (FocalLoss(), NegativeTolerantFocalLoss(kappa=0, neg_scale=1)),
            (NegativeTolerantFocalLoss(), DistributionBalancedLoss(alpha=0.5, beta=0)),
            (NegativeTolerantFocalLoss(), ClassBalancedNegativeTolerantLoss(class_beta=0)),
            (DistributionBalancedNoFocalLoss(mu=0.9), DistributionBalancedLoss(mu=0.9, gamma=0)),
            (RebalancedFocalLoss(), DistributionBalancedLoss(kappa=0, neg_scale=1)),
        ],
        ids=lambda spec: type(spec).__name__,
    )
    def test_special_cases(self, special, general):
        assert_equal_losses(special, general)

    def test_released_negatives_are_lambda_times_those_of_the_paper(self):
        paper = cells_of(NegativeTolerantFocalLoss(neg_scale=3))
        released = cells_of(NegativeTolerantFocalLoss(neg_scale=3, ntr_scale_negatives=False))
        np.testing.assert_allclose(released, torch.where(TARGETS > 0, paper, 3 * paper), rtol=1e-12)

    def test_lambda_cancels_in_the_gradient_of_negatives(self):
        loss = NegativeTolerantFocalLoss(gamma=0, kappa=0.3).build(STATISTICS, reduction="sum")
        shifted = LOGITS - 0.3 * torch.tensor([math.log(100 / n - 1) for n in (50, 20, 5, 2)])
        positive, negative = -(1 - torch.sigmoid(shifted)), torch.sigmoid(2 * shifted)
        expected = torch.where(TARGETS > 0, positive, negative)
        torch.testing.assert_close(gradient(loss, LOGITS, TARGETS), expected, rtol=0, atol=1e-7)

    @UNHURRIED
    @given(st.integers(1, 10**5), st.floats(0, 0.999))
    def test_effective_number_weight_of_one_document_is_one_and_falls(self, count, beta):
        statistics = LabelStatistics([0, 1, count, count + 1], 10**6)
        weights = ClassBalancedLoss(class_beta=beta).build(statistics).weighting.weights
        assert weights[0] == weights[1] == 1
        assert weights[1] >= weights[2] >= weights[3] >= np.float32(1 - beta)

    def test_effective_number_weight_tends_to_the_inverse_count(self):
        loss = ClassBalancedLoss(class_beta=1 - 1e-7).build(STATISTICS)
        np.testing.assert_allclose(loss.weighting.weights, [0.02, 0.05, 0.2, 0.5], rtol=1e-5)

    @UNHURRIED
    @given(LABELS, st.floats(0, 2), st.floats(0.01, 100), st.floats(-1, 2))
    def test_rebalancing_weight_is_between_alpha_and_alpha_plus_one(self, labels, alpha, beta, mu):
        loss = RebalancedFocalLoss(alpha=alpha, beta=beta, mu=mu).build(labels)
        weights = loss.weight(torch.from_numpy(labels).double())
        assert ((weights >= alpha) & (weights <= alpha + 1)).all()

    @UNHURRIED
    @given(LABELS)
    def test_shares_of_a_document_sum_to_one(self, labels):
        loss = RebalancedFocalLoss().build(labels)
        inverse, label_mass = loss.weighting.inverse_counts.numpy(), loss.label_mass(labels).numpy()
        shares = labels * inverse / np.maximum(label_mass, 1e-9)[:, None]
        np.testing.assert_allclose(shares.sum(axis=1), labels.any(axis=1), rtol=1e-5)

    def test_only_label_of_a_document_weighs_the_same_at_any_count(self):
        loss = RebalancedFocalLoss(mu=0.9).build(STATISTICS)
        weights = loss.weight(torch.eye(4, dtype=torch.float64)).diagonal()
        np.testing.assert_allclose(weights, np.full(4, 0.83105858), rtol=1e-7)

    def test_mu_is_read_off_the_labels(self):
        labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1], [1, 0, 0]])
        # shares 1/5 and 4/5 in two documents, 1 in two: mean 4 labelled / 6 positives, median 4/5
        for spec in (RebalancedFocalLoss(), DistributionBalancedLoss()):
            assert spec.build(labels).weighting.mu == pytest.approx((4 / 6 + 4 / 5) / 2)
        reuters = LabelStatistics([1], 6769, mean_share=6769 / 8338, median_share=1.0)
        assert RebalancedFocalLoss().build(reuters).weighting.mu == pytest.approx(0.906, abs=5e-4)

    def test_tolerance_is_zero_at_half_and_grows_with_rarity(self):
        statistics = LabelStatistics([99, 51, 50, 49, 10, 1], 100)
        shift = NegativeTolerantFocalLoss(kappa=0.2).build(statistics).shift
        assert shift[2] == 0
        assert (shift[:2] < 0).all()
        assert (shift[3:] > 0).all()
        assert (shift.diff() > 0).all()

    @every_loss
    def test_permuted_rows_and_labels_permute_the_cells(self, spec):
        rows, columns = [2, 0, 1], [3, 1, 0, 2]
        permuted = cells_of(
            spec,
            LabelStatistics(np.array(STATISTICS.counts)[columns], 100),
            LOGITS[rows][:, columns],
            TARGETS[rows][:, columns],
        )
        torch.testing.assert_close(permuted, cells_of(spec)[rows][:, columns], rtol=1e-6, atol=0)


class TestSpecs:
    @every_loss
    def test_statistics_may_come_in_any_container(self, spec):
        _, targets, labels = random_problem()
        labels = labels[:, 1:]  # without the label on nearly all documents
        logits, targets = torch.zeros(30, 7), targets[:, 1:].float()
        expected = cells_of(spec, labels, logits, targets)
        statistics = LabelStatistics.from_matrix(labels)
        tensors = [torch.from_numpy(labels), torch.from_numpy(labels).bool()]
        matrices = [sparse.csr_array(labels), sparse.csc_matrix(labels), labels.tolist()]
        for container in [statistics, *tensors, *matrices]:
            assert torch.equal(cells_of(spec, container, logits, targets), expected)

    def test_names(self):
        assert list(LOSSES) == [
            "bce",
            "weighted_bce",
            "focal",
            "class_balanced",
            "rebalanced_focal",
            "negative_tolerant_focal",
            "distribution_balanced_no_focal",
            "class_balanced_negative_tolerant",
            "distribution_balanced",
            "squared_hinge",
        ]
        assert list(LOSSES.values()) == [type(spec) for spec in EVERY]

    def test_defaults_are_those_of_the_paper(self):
        assert DistributionBalancedLoss().get_params() == {
            "alpha": 0.1,
            "beta": 10.0,
            "mu": "auto",
            "kappa": 0.05,
            "neg_scale": 2.0,
            "ntr_scale_negatives": True,
            "gamma": 2.0,
        }
        assert ClassBalancedLoss().get_params() == {"class_beta": 0.9, "gamma": 2.0}

    @every_loss
    def test_parameter_protocol(self, spec):
        copy = clone(spec)
        assert type(copy) is type(spec)
        assert copy is not spec
        assert copy.get_params() == spec.get_params()
        for name in spec.get_params():
            assert copy.set_params(**{name: 0.25}).get_params()[name] == 0.25
        assert eval(repr(spec), globals()).get_params() == spec.get_params()

    def test_repr_shows_what_differs_from_the_defaults(self):
        assert repr(DistributionBalancedLoss(gamma=1)) == "DistributionBalancedLoss(gamma=1)"
        assert repr(BinaryCrossEntropyLoss()) == "BinaryCrossEntropyLoss()"

    def test_unknown_parameter(self):
        with pytest.raises(ValueError, match="Invalid parameter 'alpha'"):
            FocalLoss().set_params(alpha=1)

    def test_parameters_are_given_by_name(self):
        with pytest.raises(TypeError):
            ClassBalancedLoss(0.9, 2.0)

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            (FocalLoss(gamma=-1), r"gamma of FocalLoss must be .* in \[0, inf\)\. Got -1 instead"),
            (FocalLoss(gamma=math.nan), r"gamma of FocalLoss must be a finite .* Got nan instead"),
            (FocalLoss(gamma="2"), r"gamma of FocalLoss must be a finite .* Got '2' instead"),
            (FocalLoss(gamma=None), r"gamma of FocalLoss must be a finite .* Got None instead"),
            (ClassBalancedLoss(class_beta=1), r"class_beta .* in \[0, 1\)\. Got 1 instead"),
            (ClassBalancedLoss(class_beta=-0.1), r"class_beta .* Got -0\.1 instead"),
            (RebalancedFocalLoss(alpha=-0.1), r"alpha of RebalancedFocalLoss .* Got -0\.1 instead"),
            (RebalancedFocalLoss(beta=math.inf), r"beta of RebalancedFocalLoss .* Got inf instead"),
            (RebalancedFocalLoss(mu="mean"), r"mu .* Got 'mean' instead\. 'auto' reads it off"),
            (RebalancedFocalLoss(mu=-math.inf), r"mu of RebalancedFocalLoss .* Got -inf instead"),
            (NegativeTolerantFocalLoss(kappa=-1), r"kappa of NegativeTolerant.* Got -1 instead"),
            (WeightedBinaryCrossEntropyLoss(clip=1), "clip of Wei.* True or False. Got 1 instead"),
            (DistributionBalancedLoss(neg_scale=0), r"neg_scale .* in \[0\.01, 100\)\. Got 0 in"),
        ],
    )
    def test_parameters_out_of_range(self, spec, message):
        with pytest.raises(ValueError, match=message):
            spec.build(STATISTICS)

    def test_labels_that_are_no_indicators(self):
        with pytest.raises(ValueError, match="zeros and ones. Got a value of 2 instead"):
            FocalLoss().build([[0, 2], [1, 0]])

    def test_weighted_bce_as_printed_says_which_labels_weigh_less_than_nothing(self):
        with pytest.warns(UserWarning, match=r"a weight below 0 to .* 1 labels, columns \[1\]"):
            loss = WeightedBinaryCrossEntropyLoss(clip=False).build(LabelStatistics([50, 80], 100))
        assert loss.weighting.weights.tolist() == pytest.approx([0, -math.log(4)])

    def test_weighted_bce_says_which_labels_it_leaves_out(self):
        with pytest.warns(UserWarning, match=r"2 labels, columns \[0, 2\]"):
            loss = WeightedBinaryCrossEntropyLoss().build(LabelStatistics([51, 50, 100], 100))
        assert loss.weighting.weights.tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", LOSSES)
def test_every_number_of_a_loss_has_a_range(name):
    numbers = {n for n, v in LOSSES[name]().get_params().items() if not isinstance(v, bool)}
    for number in numbers:
        with pytest.raises(ValueError, match=f"{number} of .* must be a finite number"):
            LOSSES[name]().set_params(**{number: float("nan")}).build(np.eye(2))
