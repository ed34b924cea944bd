"""Prototypes, transfer, attention and calibration against the paper's formulas in loops."""

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit

from skmltc._sampling import draw_documents
from skmltc.head_to_tail import _transfer
from skmltc.head_to_tail._transfer import (
    LabelTransfer,
    PrototypeOptions,
    TailCalibration,
    attend,
    attention,
    best_ridge,
    calibrate,
    draw_prototypes,
    identity_transfer,
    left_out_errors,
    ridge_transfer,
    squared_error,
)

P = np.array([[1, 0], [0, 1], [0.6, 0.8]])
M = np.array([[2, -1], [1, 3], [2.2, 1.5]])
TAIL = np.array([0.8, 0.6])
W = np.array([[2.06, 1.08], [-1.09, 2.88]])
P_NEW = np.array([0.68475416, 0.59368274])


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def random_labels(rng, n_samples=40, n_labels=6):
    return sparse.csr_array((rng.rand(n_samples, n_labels) < 0.3).astype(np.float32))


# ------------------------------------------------------------------------------- prototypes


@pytest.mark.parametrize("normalize", [False, True])
def test_prototypes_are_means_of_a_few_documents(normalize, rng):
    Y, vectors = random_labels(rng), rng.randn(40, 4)
    prototypes = draw_prototypes(vectors, Y, 3, 5, normalize, np.random.RandomState(1))
    again = np.random.RandomState(1)
    for draw in prototypes:
        chosen = draw_documents(Y.T.tocsr(), 3, again).toarray() > 0
        for prototype, rows in zip(draw, chosen, strict=True):
            mean = vectors[rows].mean(axis=0)
            expected = mean / np.linalg.norm(mean) if normalize else mean
            assert_allclose(prototype, expected, rtol=1e-6)
    assert (prototypes[0] != prototypes[1]).any()


@pytest.mark.parametrize("normalize", [False, True])
def test_a_label_without_documents_has_zeros_as_prototype(normalize, rng):
    Y = sparse.csr_array([[1.0, 0.0], [1.0, 0.0]])
    prototypes = draw_prototypes(rng.randn(2, 3), Y, 5, 2, normalize, rng)
    assert prototypes[:, 0].all() and not prototypes[:, 1].any()


def test_where_a_label_has_no_more_documents_than_wanted_all_draws_are_equal(rng):
    Y, vectors = random_labels(rng), rng.randn(40, 4)
    draws = draw_prototypes(vectors, Y, 40, 3, True, rng)
    assert_allclose(draws, np.broadcast_to(draws[0], draws.shape), rtol=1e-12)


# --------------------------------------------------------------------------------- transfer


def test_least_squares_of_the_specification():
    matrix = ridge_transfer(P[None], M, ridge=0.0)
    assert_allclose(matrix, W, atol=1e-12)
    assert_allclose(squared_error(matrix, P[None], M), 0.065, atol=1e-12)
    assert_allclose(matrix @ TAIL, [2.296, 0.856], atol=1e-12)
    assert_allclose(matrix @ P_NEW, [2.05177094, 0.96342426], atol=1e-6)


def test_ridge_against_its_equation(rng):
    prototypes, weights = rng.randn(4, 7, 3), rng.randn(7, 3)
    matrix = ridge_transfer(prototypes, weights, ridge=0.7)
    left, right = 0.7 * np.eye(3), np.zeros((3, 3))
    for draw in prototypes:
        for p, m in zip(draw, weights, strict=True):
            left += np.outer(p, p)
            right += np.outer(m, p)
    assert_allclose(matrix, right @ np.linalg.inv(left), rtol=1e-9)


def test_ridge_finds_a_linear_map_and_without_penalty_the_smallest(rng):
    A = rng.randn(3, 3)
    prototypes = rng.randn(2, 5, 3)
    exact = ridge_transfer(prototypes[:1], prototypes[0] @ A.T, ridge=0.0)
    assert_allclose(exact, A, rtol=1e-6)
    few, weights = rng.randn(1, 2, 4), rng.randn(2, 4)  # fewer labels than dimensions
    smallest = np.linalg.lstsq(few[0], weights, rcond=None)[0].T
    assert_allclose(ridge_transfer(few, weights, ridge=0.0), smallest, atol=1e-9)
    assert_allclose(ridge_transfer(few, weights, ridge=1e-9), smallest, atol=1e-6)


def test_the_gradient_vanishes_at_the_closed_form(rng):
    prototypes, weights = rng.randn(4, 7, 3), rng.randn(7, 3)
    matrix = torch.tensor(ridge_transfer(prototypes, weights, ridge=0.0), requires_grad=True)
    errors = torch.tensor(weights) - torch.tensor(prototypes) @ matrix.T
    (errors**2).sum().backward()
    assert_allclose(matrix.grad, 0, atol=1e-10)


def test_errors_of_labels_left_out_are_those_of_solving_without_them(rng):
    prototypes, weights = rng.randn(3, 6, 4), rng.randn(6, 4)
    ridges = [0.3, 2.0]
    for ridge, errors in zip(ridges, left_out_errors(prototypes, weights, ridges), strict=True):
        for label in range(6):
            others = np.arange(6) != label
            matrix = ridge_transfer(prototypes[:, others], weights[others], ridge=ridge)
            for draw in range(3):
                expected = weights[label] - matrix @ prototypes[draw, label]
                assert_allclose(errors[label, draw], expected, rtol=1e-8)


def test_the_ridge_is_small_for_a_linear_map_and_large_for_noise(rng):
    prototypes = rng.randn(1, 50, 3) + 0.01 * rng.randn(5, 50, 3)
    assert best_ridge(prototypes, prototypes[0] @ rng.randn(3, 3)) < 1
    assert best_ridge(prototypes, rng.randn(50, 3)) > 10
    weights = rng.randn(50, 3)
    chosen = best_ridge(prototypes, weights)
    assert_allclose(
        ridge_transfer(prototypes, weights), ridge_transfer(prototypes, weights, chosen)
    )


def test_the_identity_is_imprinting():
    transfer = LabelTransfer.fit(P[None], M, 1.0, PrototypeOptions("identity", None, 5, True))
    assert_array_equal(transfer.transferred(TAIL[None]), TAIL[None])
    assert_array_equal(identity_transfer(P[None], M), np.eye(2))


# -------------------------------------------------------------------------------- attention


def test_attention_of_the_specification():
    assert_allclose(TAIL @ P.T, [0.8, 0.6, 0.96])
    alpha = attention(TAIL[None], P)
    assert_allclose(alpha, [[0.33419761, 0.27361786, 0.39218453]], atol=1e-8)
    assert_allclose(alpha @ P, [[0.56950833, 0.58736548]], atol=1e-8)
    assert_allclose(attend(TAIL[None], P[None]), [P_NEW], atol=1e-8)


@given(st.integers(0, 1000), st.floats(0.02, 5))
def test_attention_against_loops(seed, temperature):
    rng = np.random.RandomState(seed)
    tail, head = rng.randn(3, 4), rng.randn(2, 5, 4)
    moved = attend(tail, head, temperature)
    for z in range(3):
        attended = np.zeros(4)
        for draw in head:
            top = max(tail[z] @ p for p in draw)  # else small temperatures overflow
            e = [np.exp((tail[z] @ p - top) / temperature) for p in draw]
            attended += sum(e[j] / sum(e) * draw[j] for j in range(5)) / len(head)
        assert_allclose(moved[z], (tail[z] + attended) / 2, rtol=1e-6, atol=1e-9)
    assert_allclose(attention(tail, head[0], temperature).sum(axis=1), 1)


def test_what_attention_leaves_alone(rng):
    tail, head = rng.randn(3, 4), rng.randn(5, 4)
    same = np.broadcast_to(head[0], (2, 5, 4))
    assert_allclose(attend(tail, same), (tail + head[0]) / 2)
    copies = np.broadcast_to(head, (30, 5, 4))
    assert_allclose(attend(tail, copies), attend(tail, head[None]))
    members = rng.randn(6, 3, 4)
    each = [attend(member, head[None], 0.3) for member in members]
    assert_allclose(attend(members, head[None], 0.3), each)


def test_a_low_temperature_sees_the_nearest_label_alone(rng):
    tail, head = rng.randn(3, 4), rng.randn(5, 4)
    nearest = head[(tail @ head.T).argmax(axis=1)]
    assert_allclose(attend(tail, head[None], 1e-3), (tail + nearest) / 2, atol=1e-6)


# ------------------------------------------------------------------------------ calibration


def test_calibration_finds_what_the_scores_say(rng):
    scores, against = rng.randn(100_000, 8), rng.uniform(0, 4, 8)
    is_true = rng.rand(100_000, 8) < expit(1.7 * scores + 0.4 - against)
    slope, intercept, prior = calibrate(scores, is_true, against)
    assert_allclose([slope, intercept], [1.7, 0.4], atol=0.02)
    assert prior == 1


def test_at_the_calibration_the_gradient_of_the_log_loss_vanishes(rng):
    scores, against = 3 * rng.randn(300, 5) + 20, rng.uniform(0, 4, 5)
    is_true = rng.rand(300, 5) < 0.2
    slope, intercept, _ = calibrate(scores, is_true, against)
    errors = expit(slope * scores + intercept - against) - is_true
    assert_allclose(errors.sum(), 0, atol=1e-3)
    assert_allclose((errors * (scores - 20)).sum(), 0, atol=1e-2)


@pytest.mark.parametrize("value", [0, 1])
def test_nothing_to_calibrate_on(value):
    is_true = np.full((4, 2), bool(value))
    assert calibrate(np.ones((4, 2)), is_true, np.zeros(2)) == TailCalibration(1, 0, 0)


def documents_of_labels(rng, n_samples=400, n_labels=7, dim=9):
    """Vectors, labels of a logistic model of them, and the weights of that model."""
    vectors, weights = rng.randn(n_samples, dim).astype(np.float32), rng.randn(n_labels, dim)
    is_true = rng.rand(n_samples, n_labels) < expit(vectors @ weights.T - 2)
    return vectors, sparse.csr_array(is_true.astype(np.float32)), weights


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("temperature", [None, 0.5])
@pytest.mark.parametrize("transfer", ["ridge", "identity"])
def test_calibration_of_a_transfer_label_by_label(transfer, temperature, normalize, rng):
    """A label's classifier comes of the others; documents of the prototypes do not count."""
    vectors, Y, weights = documents_of_labels(rng)
    options = PrototypeOptions(transfer, temperature, 3, normalize)
    prototypes = options.draw(vectors, Y, 4, rng)
    fitted, against = LabelTransfer.fit(prototypes, weights, 2.0, options), rng.uniform(0, 4, 7)
    calibration = fitted.calibrated(vectors, Y, against, np.random.RandomState(1)).calibration

    again = np.random.RandomState(1)
    again.permutation(7)
    drawn = draw_documents(Y.T.tocsr(), 3, again).toarray() > 0
    unseen = ~drawn.any(axis=0)
    scores = np.empty((unseen.sum(), 7))
    for group in ([0, 1], [2, 3], [4], [5], [6]):  # five, as even as may be
        others = [label for label in range(7) if label not in group]
        matrix = np.eye(9)
        if transfer == "ridge":
            ridge = best_ridge(prototypes, weights)
            matrix = ridge_transfer(prototypes[:, others], weights[others], ridge)
        for label in group:
            prototype = vectors[drawn[label]].mean(axis=0)
            prototype /= np.linalg.norm(prototype) if normalize else 1
            if temperature:
                (prototype,) = attend(prototype[None], prototypes[:, others], temperature)
            scores[:, label] = vectors[unseen] @ (2.0 * matrix @ prototype)
    expected = calibrate(scores, Y.toarray()[unseen] > 0, against)
    assert_allclose(calibration, expected, rtol=1e-4)


def test_documents_of_the_prototypes_do_not_count_in_the_calibration(rng):
    """All else is noise: a prototype of one document knows that one and no other."""
    vectors, Y = rng.randn(2000, 50), sparse.csr_array((rng.rand(2000, 20) < 0.01) * 1.0)
    options = PrototypeOptions("identity", None, 1, True)
    fitted = LabelTransfer.fit(options.draw(vectors, Y, 1, rng), np.eye(20, 50), 1.0, options)
    slope, _, _ = fitted.calibrated(vectors, Y, np.full(20, np.log(99)), rng).calibration
    assert abs(slope) < 0.15


def test_labels_do_not_teach_themselves_in_the_calibration(rng):
    """Labels lie at right angles: what the others teach says nothing of one."""
    labels = rng.randint(20, size=2000)
    vectors = np.eye(20, 40)[labels] + 0.1 * rng.randn(2000, 40)
    Y = sparse.csr_array(np.eye(20)[labels])
    options = PrototypeOptions("ridge", None, 20, False, ridge=0.1)
    fitted = LabelTransfer.fit(options.draw(vectors, Y, 1, rng), np.eye(20, 40), 1.0, options)
    slope, _, _ = fitted.calibrated(vectors, Y, np.full(20, np.log(19)), rng).calibration
    assert abs(slope) < 5  # else above 50


def test_only_some_documents_and_labels_calibrate(rng, monkeypatch):
    """Of 130 labels 100 are tried, and of 6,000 documents 5,000: enough for two numbers."""
    sizes = []
    monkeypatch.setattr(
        "skmltc.head_to_tail._transfer.calibrate", lambda scores, *_: sizes.append(scores.shape)
    )
    vectors, Y = rng.randn(6000, 2), sparse.csr_array((rng.rand(6000, 130) < 0.01) * 1.0)
    options = PrototypeOptions("identity", None, 1, False)
    fitted = LabelTransfer.fit(options.draw(vectors, Y, 1, rng), np.ones((130, 2)), 1.0, options)
    fitted.calibrated(vectors, Y, np.zeros(130), rng)
    assert sizes == [(5000, 100)]


def test_the_order_of_the_documents_does_not_decide_the_calibration(rng, monkeypatch):
    """Sorted by label: prototypes of the first labels find their documents, the others' do not."""
    centers, labels = rng.randn(10, 6), np.repeat(np.arange(10), 200)
    spreads = np.where(labels < 3, 0.3, 3.0)[:, None]
    vectors = (centers[labels] + spreads * rng.randn(2000, 6)).astype(np.float32)
    Y = sparse.csr_array(np.eye(10, dtype=np.float32)[labels])
    options = PrototypeOptions("identity", None, 5, True)
    transfer = LabelTransfer.fit(options.draw(vectors, Y, 5, rng), centers, 1.0, options)
    slopes = []
    for n_documents in (2000, 500):
        monkeypatch.setattr(_transfer, "_CALIBRATION_DOCUMENTS", n_documents)
        again = np.random.RandomState(0)
        learned = transfer.calibrated(vectors, Y, np.full(10, np.log(9)), again)
        slopes.append(learned.calibration.slope)
    assert_allclose(slopes[1], slopes[0], rtol=0.3)  # by the first 500 it would be another one


def test_labels_that_transfer_well_are_trusted_more(rng):
    """Documents of a label lie around its weights, or anywhere."""
    slopes = {}
    for spread in (0.3, 30.0):
        centers = rng.randn(12, 6)
        labels = rng.randint(12, size=600)
        vectors = (centers[labels] + spread * rng.randn(600, 6)).astype(np.float32)
        Y = sparse.csr_array(np.eye(12, dtype=np.float32)[labels])
        options = PrototypeOptions("ridge", None, 5, False)
        transfer = LabelTransfer.fit(options.draw(vectors, Y, 5, rng), centers, 1.0, options)
        transfer = transfer.calibrated(vectors, Y, np.full(12, np.log(11)), rng)
        slopes[spread] = transfer.calibration.slope
    assert slopes[0.3] > 0.3 and abs(slopes[30.0]) < 0.05


def test_one_head_label_has_no_others_to_be_calibrated_by(rng):
    options = PrototypeOptions("ridge", None, 5, False)
    transfer = LabelTransfer.fit(P[None, :1], M[:1], 1.0, options)
    Y = sparse.csr_array(np.ones((10, 1)))
    assert transfer.calibrated(rng.randn(10, 2), Y, np.zeros(1), rng) is transfer
    assert transfer.calibration == TailCalibration(1, 0, 0)


# -------------------------------------------------------------------------------- the value


def test_heads_of_labels_with_and_without_documents():
    transfer = LabelTransfer.fit(P[None], M, 3.0, PrototypeOptions("ridge", 1.0, 5, True))
    transfer = replace(transfer, calibration=TailCalibration(2.0, 0.5, 1.0))
    prototypes = np.stack([[TAIL, np.zeros(2)], [P[0], np.zeros(2)]])
    heads = transfer.heads(prototypes, np.array([4.0, 9.0]))
    assert heads.shape == (2, 3, 2) and heads.dtype == np.float32
    expected = 3.0 * transfer.matrix @ P_NEW
    assert_allclose(heads[0, :2, 0], 2 * expected, rtol=1e-6)
    assert_allclose(heads[:, 2, 0], 0.5 - 4)
    assert_array_equal(heads[:, :2, 1], 0)
    assert_array_equal(heads[:, 2, 1], -50)


def test_the_transfer_without_some_labels(rng):
    prototypes, weights = rng.randn(2, 6, 3), rng.randn(6, 3)
    options = PrototypeOptions("ridge", None, 5, False)
    less = LabelTransfer.fit(prototypes, weights, 1.0, options).leaving_out([1, 4])
    kept, ridge = [0, 2, 3, 5], best_ridge(prototypes, weights)
    assert_allclose(less.matrix, ridge_transfer(prototypes[:, kept], weights[kept], ridge))


def test_a_transfer_is_a_value(rng):
    """Its methods change neither it nor their arguments."""
    vectors, Y, weights = documents_of_labels(rng, 100)
    options = PrototypeOptions("ridge", 0.5, 3, True)
    transfer = LabelTransfer.fit(options.draw(vectors, Y, 4, rng), weights, 2.0, options)
    tail = options.draw(vectors, Y[:, :2], 3, rng)
    arguments = [vectors, Y.data, Y.indices, np.zeros(7), tail, np.ones(2)]
    before = pickle.dumps([transfer, arguments])
    transfer.calibrated(vectors, Y, arguments[3], rng)
    transfer.heads(tail, arguments[5])
    transfer.leaving_out([0])
    assert pickle.dumps([transfer, arguments]) == before
    with pytest.raises(FrozenInstanceError):
        transfer.calibration = TailCalibration()
