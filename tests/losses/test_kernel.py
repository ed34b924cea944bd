"""The modules behind the losses: extremes, precision, memory, blocks of labels, devices."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone

from skmltc.labels import LabelStatistics
from skmltc.losses import (
    LOSSES,
    BinaryCrossEntropyLoss,
    ClassBalancedLoss,
    DistributionBalancedLoss,
    FocalLoss,
    RebalancedFocalLoss,
)

LABELS = (np.random.default_rng(0).random((12, 5)) < 0.3).astype(int)
LABELS[3], LABELS[:, 4] = 0, 0
TARGETS = torch.from_numpy(LABELS).double()
LOGITS = torch.from_numpy(np.random.default_rng(1).normal(scale=2, size=LABELS.shape))

EVERY = [loss() for loss in LOSSES.values()]
every_loss = pytest.mark.parametrize("spec", EVERY, ids=list(LOSSES))
NOT_ALL_WEIGHED = pytest.mark.filterwarnings("ignore:weighted_bce gives no weight")
INDICATORS = hnp.arrays(
    np.int8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 1)
)


def gradient(loss, logits, targets):
    logits = logits.clone().requires_grad_()
    loss(logits, targets).backward()
    return logits.grad


class TestForward:
    @every_loss
    def test_reductions(self, spec):
        cells = spec.build(LABELS, reduction="none")(LOGITS, TARGETS)
        assert cells.shape == LOGITS.shape
        total = spec.build(LABELS, reduction="sum")(LOGITS, TARGETS)
        torch.testing.assert_close(total, cells.sum())
        torch.testing.assert_close(spec.build(LABELS)(LOGITS, TARGETS), cells.mean())

    def test_unknown_reduction(self):
        with pytest.raises(ValueError, match="reduction must be one of .* Did you mean 'mean'"):
            FocalLoss().build(LABELS, reduction="means")

    @every_loss
    def test_inputs_stay_as_they_are(self, spec):
        logits, targets = LOGITS.clone().requires_grad_(), TARGETS.clone()
        spec.build(LABELS)(logits, targets).backward()
        assert torch.equal(logits, LOGITS)
        assert torch.equal(targets, TARGETS)

    def test_targets_of_another_shape(self):
        with pytest.raises(ValueError, match=r"of the logits, \(12, 5\)\. Got \(12, 1\) instead"):
            FocalLoss().build(LABELS)(LOGITS, TARGETS[:, :1])

    @every_loss
    @pytest.mark.parametrize("shape", [(12, 4), (12, 6), (12, 1), (12,), (2, 12, 5)])
    def test_batches_of_another_width(self, spec, shape):
        loss, batch = spec.build(LABELS), torch.zeros(shape)
        for compute in (loss, loss.of_indicators):
            with pytest.raises(ValueError, match=r"logits must be .* 5 labels expected\. Got \("):
                compute(batch, batch)

    @every_loss
    def test_unchecked_indicators_have_the_same_loss(self, spec):
        loss = spec.build(LABELS)
        assert loss.of_indicators(LOGITS, TARGETS) == loss(LOGITS, TARGETS)
        slopes = gradient(loss.of_indicators, LOGITS, TARGETS)
        assert torch.equal(slopes, gradient(loss, LOGITS, TARGETS))

    def test_an_empty_batch(self):
        loss = FocalLoss().build(LABELS, reduction="sum")
        assert loss(torch.zeros(0, 5), torch.zeros(0, 5)) == 0

    @every_loss
    @pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
    def test_targets_of_any_type(self, spec, dtype):
        loss = spec.build(LABELS)
        assert loss(LOGITS, TARGETS.to(dtype)) == loss(LOGITS, TARGETS)

    @every_loss
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_logits(self, spec, dtype):
        loss, logits = spec.build(LABELS), LOGITS.to(dtype)
        value = loss(logits, TARGETS.to(dtype))
        assert value.dtype == torch.float32
        assert value == loss(logits.float(), TARGETS)
        assert gradient(loss, logits, TARGETS).dtype == dtype

    @every_loss
    def test_autocast_changes_nothing(self, spec):
        loss = spec.build(LABELS)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(LOGITS.float(), TARGETS)
        assert value == loss(LOGITS.float(), TARGETS)

    @every_loss
    def test_few_matrices_are_kept_for_backward(self, spec):
        loss, sizes = spec.build(LABELS), []

        def keep(tensor):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss(LOGITS.clone().requires_grad_(), TARGETS)
        assert 1 <= sum(size >= LOGITS.numel() for size in sizes) <= 3

    @pytest.mark.gpu
    @every_loss
    def test_gpu_equals_cpu(self, spec):
        loss, logits, targets = spec.build(LABELS), LOGITS.float(), TARGETS.float()
        value, slopes = loss(logits, targets), gradient(loss, logits, targets)
        logits, targets = logits.to("cuda"), targets.to("cuda")
        loss = spec.build(targets).to("cuda")
        torch.testing.assert_close(loss(logits, targets).cpu(), value)
        torch.testing.assert_close(gradient(loss, logits, targets).cpu(), slopes)


@NOT_ALL_WEIGHED
class TestExtremes:
    @every_loss
    def test_huge_logits_in_float32(self, spec):
        loss = spec.build(LabelStatistics([60, 3], 100))
        logits = torch.tensor([[100.0, -100.0], [-100.0, 100.0]])
        for targets in (torch.eye(2), 1 - torch.eye(2), torch.zeros(2, 2)):
            assert loss(logits, targets).isfinite()
            assert gradient(loss, logits, targets).isfinite().all()

    def test_hugely_wrong_logits_cost_their_size(self):
        logits, targets = torch.tensor([[-100.0, 100.0]]), torch.tensor([[1, 0]])
        loss = FocalLoss().build(LABELS[:, :2], reduction="sum")
        assert loss(logits, targets).item() == 200
        assert gradient(loss, logits, targets).tolist() == [[-1, 1]]

    @every_loss
    def test_labels_on_no_document_or_on_all(self, spec):
        loss = spec.build(LabelStatistics([0, 12, 6, 12, 0], 12))
        assert loss(LOGITS, TARGETS).isfinite()
        assert gradient(loss, LOGITS, TARGETS).isfinite().all()

    @every_loss
    def test_no_label_at_all(self, spec):
        loss = spec.build(np.zeros((12, 5)))
        assert loss(LOGITS, torch.zeros(12, 5)).isfinite()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_documents_without_labels_weigh_alpha_plus_one(self, dtype):
        weights = (
            RebalancedFocalLoss(alpha=0.3).build(LABELS).weight(torch.zeros(2, 5, dtype=dtype))
        )
        np.testing.assert_allclose(weights, np.full((2, 5), 1.3), rtol=1e-6)

    def test_documents_without_labels_weigh_like_the_others_without_steepness(self):
        weights = RebalancedFocalLoss(alpha=0.3, beta=0).build(LABELS).weight(TARGETS)
        np.testing.assert_allclose(weights, np.full(LABELS.shape, 0.8), rtol=1e-6)

    @settings(deadline=None, max_examples=50)
    @given(INDICATORS, st.sampled_from(EVERY), st.floats(-100, 100))
    def test_finite_and_never_negative(self, labels, spec, logit):
        logits = torch.full(labels.shape, logit, requires_grad=True)
        value = spec.build(labels)(logits, torch.from_numpy(labels))
        value.backward()
        assert value.isfinite()
        assert value >= 0
        assert logits.grad.isfinite().all()


class TestState:
    @every_loss
    def test_round_trip(self, spec):
        if "mu" in spec.get_params():  # read off the labels, it would differ in the other
            spec = clone(spec).set_params(mu=0.7)
        loss, other = spec.build(LABELS), spec.build(LabelStatistics([1, 2, 3, 4, 5], 20))
        value = loss(LOGITS, TARGETS)
        assert pickle.loads(pickle.dumps(loss))(LOGITS, TARGETS) == value
        other.load_state_dict(loss.state_dict())
        assert other(LOGITS, TARGETS) == value

    @every_loss
    def test_moving_to_another_precision(self, spec):
        loss = spec.build(LABELS).double()
        assert all(buffer.dtype == torch.float64 for buffer in loss.buffers())
        assert loss(LOGITS, TARGETS).isfinite()

    def test_statistics_are_state(self):
        state = DistributionBalancedLoss().build(LABELS).state_dict()
        assert set(state) == {"shift", "weighting.inverse_counts"}
        assert set(ClassBalancedLoss().build(LABELS).state_dict()) == {"weighting.weights"}


class TestBlocks:
    @every_loss
    def test_selected_labels_are_columns_of_the_whole(self, spec):
        loss, columns = spec.build(LABELS, reduction="sum"), torch.tensor([3, 0, 4])
        part, targets = loss.select(columns), TARGETS[:, columns]
        weight = part.weight(targets, loss.label_mass(sparse.csr_array(LABELS)))
        values, slopes = part.cells(LOGITS[:, columns], targets, weight)
        expected = spec.build(LABELS, reduction="none")(LOGITS, TARGETS)[:, columns]
        torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-12)
        expected = gradient(loss, LOGITS, TARGETS)[:, columns]
        torch.testing.assert_close(slopes, expected, rtol=1e-6, atol=1e-12)

    @pytest.mark.parametrize("spec", [ClassBalancedLoss(), BinaryCrossEntropyLoss()])
    def test_mass_is_asked_for_only_where_weights_depend_on_the_document(self, spec):
        assert spec.build(LABELS).label_mass(LABELS) is None

    @every_loss
    def test_cells_without_slopes(self, spec):
        loss = spec.build(LABELS)
        weight = loss.weight(TARGETS)
        values, slopes = loss.cells(LOGITS, TARGETS, weight, with_slopes=False)
        assert slopes is None
        assert torch.equal(values, loss.cells(LOGITS, TARGETS, weight)[0])
        with torch.no_grad():
            torch.testing.assert_close(loss(LOGITS, TARGETS), values.mean())


@every_loss
@pytest.mark.filterwarnings("ignore:weighted_bce gives no weight")
def test_best_constants_are_where_the_loss_of_alike_documents_is_least(spec):
    Y = sparse.csr_array((np.random.RandomState(0).rand(50, 6) < [0, 0.02, 0.1, 0.3, 0.8, 1]) * 1.0)
    loss, targets = spec.build(Y, reduction="none"), torch.from_numpy(Y.toarray()).float()
    best = loss.prior_logits(Y)

    def total(constants):
        return loss(constants.expand(50, -1), targets).sum(0)

    some = slice(1, 5)  # the first and the last label have no least loss
    for step in (-0.3, 0.3):
        assert (total(best) <= total(best + step))[some].all()
    assert best[0] <= best[1] + 1e-3 and best[4] <= best[5] + 1e-3 and best.isfinite().all()


def test_best_constants_of_cross_entropy_are_log_odds():
    Y = sparse.csr_array(np.arange(40)[:, None] < [1, 4, 20, 39])
    best = BinaryCrossEntropyLoss().build(Y * 1.0).prior_logits(Y * 1.0)
    assert_allclose(best.sigmoid(), np.array([1, 4, 20, 39]) / 40, rtol=1e-4)
