"""Linear classifiers of labels: members, order, and their adjustment on all documents."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, sparse
from scipy.special import expit, logit
from torch import nn

from skmltc.head_to_tail._heads import (
    JoinedHeads,
    LabelHeads,
    TransferScorer,
    fine_tune_tail,
    logit_of_mean_probability,
    vectors_of_others,
    whitening,
)
from skmltc.losses import BinaryCrossEntropyLoss


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def heads_of(labels, n_members, rng, dim=4, dtype=np.float64):
    weights = rng.randn(n_members, dim + 1, len(labels)).astype(dtype)
    return LabelHeads(labels, torch.from_numpy(weights))


def test_members_are_averaged_as_probabilities(rng):
    part, vectors = heads_of([0, 1, 2], 5, rng), rng.randn(7, 4)
    logits = part(torch.tensor(vectors)).detach().numpy()
    for i in range(7):
        for j in range(3):
            members = [
                vectors[i] @ part.weight[g, :, j].detach().numpy() + part.bias[g, 0, j].item()
                for g in range(5)
            ]
            assert_allclose(expit(logits[i, j]), np.mean(expit(members)), rtol=1e-9)


def test_one_member_is_a_linear_classifier(rng):
    part, vectors = heads_of([0, 1], 1, rng), torch.tensor(rng.randn(3, 4))
    expected = vectors @ part.weight[0] + part.bias[0]
    assert_allclose(part(vectors).detach(), expected.detach(), rtol=1e-9)


def test_the_mean_of_extreme_logits_is_finite():
    logits = torch.tensor([[200.0, -200.0, 30.0], [200.0, -200.0, -30.0]])
    assert_allclose(logit_of_mean_probability(logits), [200, -200, 0], atol=1e-5)
    assert_allclose(
        logit_of_mean_probability(torch.tensor([[1.0], [-2.0]])), logit(expit([1, -2]).mean()), 1e-6
    )


def test_labels_come_in_their_order(rng):
    head, tail = heads_of([1, 3], 1, rng), heads_of([0, 2, 4], 2, rng)
    both, vectors = JoinedHeads([head, tail]), torch.tensor(rng.randn(6, 4))
    logits = both(vectors).detach()
    assert_array_equal(logits[:, [1, 3]], head(vectors).detach())
    assert_array_equal(logits[:, [0, 2, 4]], tail(vectors).detach())
    for chosen in ([4, 1, 0], [3], [2, 0]):
        some = both.logits_of(vectors, np.array(chosen))
        assert_allclose(some.detach(), logits[:, chosen], rtol=1e-9)


@given(st.integers(0, 10_000), st.integers(1, 300), st.integers(2, 140), st.integers(1, 4))
def test_scores_of_some_labels_are_those_among_all_to_the_last_bit(seed, n, n_labels, n_members):
    rng = np.random.RandomState(seed)
    dim, order = rng.randint(1, 200), rng.permutation(n_labels)
    head, tail = np.sort(order[: n_labels // 2]), np.sort(order[n_labels // 2 :])
    parts = [
        heads_of(head, 1, rng, dim, np.float32),
        heads_of(tail, n_members, rng, dim, np.float32),
    ]
    scorer = TransferScorer(nn.Sequential(nn.Identity(), JoinedHeads(parts)).eval())
    encoded = torch.from_numpy(rng.randn(n, dim).astype(np.float32))
    scores, chosen = scorer.scores(encoded), rng.permutation(n_labels)[: rng.randint(1, n_labels)]
    assert scores.dtype == np.float32 and scores.shape == (n, n_labels)
    assert_array_equal(scorer.scores(encoded, chosen), scores[:, chosen])
    assert_allclose(scores, scorer.network(encoded).detach(), atol=1e-3, rtol=1e-4)


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


# ------------------------------------------------------------------------------- fine-tuning


@pytest.fixture
def tuning(rng):
    """Vectors of 200 documents, their labels, and five members of the labels 1 and 3."""
    vectors = rng.randn(200, 3).astype(np.float32)
    Y = sparse.csr_array((rng.rand(200, 4) < 0.1).astype(np.float32))
    return vectors, Y, np.array([1, 3]), rng.randn(5, 4, 2).astype(np.float32)


@pytest.mark.parametrize(("further", "l2"), [({}, 0.3), ({"l2": 40.0}, 40.0)])
def test_tuning_minimises_the_loss_and_a_penalty_on_the_change(tuning, further, l2):
    """l2 / 2 |change|^2 in the units in which vectors vary alike, 0.3 by default."""
    vectors, Y, labels, start = tuning
    change = fine_tune_tail(vectors, Y, BinaryCrossEntropyLoss(), labels, start, "cpu", **further)
    whiten, unwhiten = whitening(vectors)
    vectors, start = vectors.astype(np.float64), start.mean(axis=0, dtype=np.float64)
    tuned, moved = start + change, unwhiten @ change[:3]
    errors = expit(vectors @ tuned[:3] + tuned[3]) - Y[:, labels].toarray()
    size = np.abs(l2 * moved).max()
    assert_allclose((vectors @ whiten).T @ errors + l2 * moved, 0, atol=0.05 * size)
    assert_allclose(errors.sum(axis=0), 0, atol=0.05 * size)
    for column, label in enumerate(labels):
        is_true = Y[:, [label]].toarray().ravel()

        def objective(w, is_true=is_true, w0=start[:, column]):
            p = expit(vectors @ w[:3] + w[3])
            loss = -np.where(is_true, np.log(p), np.log(1 - p)).sum()
            return loss + l2 / 2 * np.sum((unwhiten @ (w - w0)[:3]) ** 2)

        best = optimize.minimize(objective, start[:, column], tol=1e-10).x
        assert_allclose(tuned[:, column], best, atol=2e-3)


def test_each_label_is_tuned_as_if_it_were_alone(rng):
    vectors = rng.randn(100, 3).astype(np.float32)
    Y = sparse.csr_array((rng.rand(100, 150) < rng.uniform(0.02, 0.2, 150)).astype(np.float32))
    labels = np.flatnonzero(rng.rand(150) < 0.8)
    start = rng.randn(1, 4, len(labels)).astype(np.float32)
    assert len(labels) > 64  # of one block
    change = fine_tune_tail(vectors, Y, BinaryCrossEntropyLoss(), labels, start, "cpu")
    for at in (0, 3, 50, len(labels) - 1):
        one, loss = start[..., [at]], BinaryCrossEntropyLoss()
        alone = fine_tune_tail(vectors, Y, loss, labels[[at]], one, "cpu")
        assert_allclose(change[:, at], alone[:, 0], atol=1e-2)


def test_tuning_does_not_change_its_arguments(tuning):
    before = pickle.dumps(tuning)
    assert fine_tune_tail(*tuning[:2], BinaryCrossEntropyLoss(), *tuning[2:], "cpu").any()
    assert pickle.dumps(tuning) == before


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


def test_vectors_of_one_document_are_known_though_they_differ_a_little():
    rng = np.random.RandomState(0)
    known = rng.normal(size=(200, 64)).astype(np.float32)
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    again = known[:50] + rng.normal(scale=1e-6, size=(50, 64)).astype(np.float32)
    assert_array_equal(vectors_of_others(known, again), known[50:])
    assert_array_equal(vectors_of_others(known, known[:1] + 0.001), known)
