"""Linear classifiers of labels: members, order, and their adjustment on all documents."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, sparse
from scipy.special import expit, logit

from skmltc.head_to_tail import _heads
from skmltc.head_to_tail._heads import (
    JoinedHeads,
    LabelHeads,
    fine_tune_tail,
    logit_of_mean_probability,
    whitening,
)
from skmltc.losses import BinaryCrossEntropyLoss


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def columns_of(labels, n_members, rng, dim=4):
    return LabelHeads(labels, torch.tensor(rng.randn(n_members, dim + 1, len(labels))))


def test_members_are_averaged_as_probabilities(rng):
    part, vectors = columns_of([0, 1, 2], 5, rng), rng.randn(7, 4)
    logits = part(torch.tensor(vectors)).detach().numpy()
    for i in range(7):
        for j in range(3):
            members = [
                vectors[i] @ part.weight[g, :, j].detach().numpy() + part.bias[g, 0, j].item()
                for g in range(5)
            ]
            assert_allclose(expit(logits[i, j]), np.mean(expit(members)), rtol=1e-9)


def test_one_member_is_a_linear_classifier(rng):
    part, vectors = columns_of([0, 1], 1, rng), torch.tensor(rng.randn(3, 4))
    expected = vectors @ part.weight[0] + part.bias[0]
    assert_allclose(part(vectors).detach(), expected.detach(), rtol=1e-9)


def test_the_mean_of_extreme_logits_is_finite():
    logits = torch.tensor([[200.0, -200.0, 30.0], [200.0, -200.0, -30.0]])
    assert_allclose(logit_of_mean_probability(logits), [200, -200, 0], atol=1e-5)
    assert_allclose(
        logit_of_mean_probability(torch.tensor([[1.0], [-2.0]])), logit(expit([1, -2]).mean()), 1e-6
    )


def test_labels_come_in_their_order(rng):
    head, tail = columns_of([1, 3], 1, rng), columns_of([0, 2, 4], 2, rng)
    both, vectors = JoinedHeads([head, tail]), torch.tensor(rng.randn(6, 4))
    logits = both(vectors).detach()
    assert_array_equal(logits[:, [1, 3]], head(vectors).detach())
    assert_array_equal(logits[:, [0, 2, 4]], tail(vectors).detach())
    for chosen in ([4, 1, 0], [3], [2, 0]):
        assert_allclose(both.of(vectors, np.array(chosen)).detach(), logits[:, chosen], rtol=1e-9)


def test_whitened_vectors_vary_alike_and_weights_come_back(rng):
    rotation, _ = np.linalg.qr(rng.randn(3, 3))
    vectors = (rng.randn(5000, 3) * [3, 1, 0.5]) @ rotation
    whiten, unwhiten = whitening(vectors)
    white = vectors @ whiten
    assert_allclose(white.T @ white / 5000, np.eye(3), atol=0.05)
    assert_allclose(whiten @ unwhiten, np.eye(3), atol=1e-4)
    weights = rng.randn(3, 2)
    assert_allclose(white @ (unwhiten @ weights), vectors @ weights, atol=1e-3)
    whiten, _ = whitening(np.zeros((5, 3)))
    assert np.isfinite(whiten).all()


def test_tuning_minimises_the_loss_and_a_penalty_on_the_change(rng, monkeypatch):
    monkeypatch.setattr("skmltc._linear.solver._TOLERANCE", 1e-7)
    vectors = rng.randn(200, 3).astype(np.float32)
    Y = sparse.csr_array((rng.rand(200, 4) < 0.1).astype(np.float32))
    labels, start = np.array([1, 3]), rng.randn(5, 4, 2).astype(np.float32)
    change = fine_tune_tail(vectors, Y, BinaryCrossEntropyLoss(), labels, start, "cpu")
    whiten, unwhiten = whitening(vectors)
    vectors, start = vectors.astype(np.float64), start.astype(np.float64)
    for column, label in enumerate(labels):
        is_true, w0 = Y[:, [label]].toarray().ravel(), start.mean(axis=0)[:, column]

        def objective(w, is_true=is_true, w0=w0):
            p = expit(vectors @ w[:3] + w[3])
            loss = -np.where(is_true, np.log(p), np.log(1 - p)).sum()
            return loss + _heads._L2_TO_START / 2 * np.sum((unwhiten @ (w - w0)[:3]) ** 2)

        best = optimize.minimize(objective, w0, tol=1e-10).x
        assert_allclose(w0 + change[:, column], best, atol=0.02)


def test_labels_without_documents_stay(rng):
    Y = sparse.csr_array((rng.rand(50, 3) < 0.2).astype(np.float32) * [1, 0, 1])
    change = fine_tune_tail(
        rng.randn(50, 2).astype(np.float32),
        Y.astype(np.float32),
        BinaryCrossEntropyLoss(),
        np.array([1, 2]),
        rng.randn(1, 3, 2).astype(np.float32),
        "cpu",
    )
    assert not change[:, 0].any() and change[:, 1].any()
