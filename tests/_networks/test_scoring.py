"""What the estimators share when they train a network: scorers, parts held out, epochs."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from skmltc import BalancedLossClassifier
from skmltc._networks.batches import as_tensor
from skmltc._networks.scoring import HeadScorer, score_pairs
from skmltc.encoders import BagEncoder, BiLSTMAttention, build_network
from skmltc.encoders._features import FeatureLinear
from skmltc.encoders._heads import initialise_biases
from skmltc.losses import LOSSES

SPECS = {
    "linear": BagEncoder(),
    "hidden": BagEncoder(hidden_dims=(4,)),
    "tokens": BiLSTMAttention(hidden_dim=3, output_dim=4, embedding_dim=5),
}


@pytest.fixture(params=SPECS)
def documents_and_network(request):
    """Forty documents, with labels that 0, 1, 13 and 20 of them have, and a network."""
    rng = np.random.RandomState(0)
    if request.param == "tokens":
        X = rng.randint(1, 20, size=(40, 9)).astype(np.int32)
    else:
        X = sparse.csr_array(rng.rand(40, 20) * (rng.rand(40, 20) < 0.3), dtype=np.float32)
    Y = np.zeros((40, 4), dtype=np.float32)
    Y[:1, 1] = Y[::3, 2] = Y[20:, 3] = 1
    Y[39, 2] = 0
    torch.manual_seed(0)
    return X, sparse.csr_array(Y), build_network(SPECS[request.param], 20, 4).eval()


def test_a_head_scorer_scores_blocks_of_labels_as_the_network_does(documents_and_network):
    X, _, network = documents_and_network
    scorer = HeadScorer(network, "cpu")
    with torch.no_grad():
        expected = network(as_tensor(X)).numpy()
    for labels in (np.array([2]), np.array([3, 0]), np.arange(4)):
        scores = scorer.scores(scorer.encode(X), labels)
        assert_allclose(scores, expected[:, labels], rtol=1e-4, atol=1e-6)


def test_pairs_are_of_the_labels_that_were_trained_on(documents_and_network):
    X, Y, network = documents_and_network
    pairs = score_pairs(HeadScorer(network, "cpu"), X, Y, Y)
    assert_array_equal(np.bincount(pairs.labels, minlength=4), [0, 40, 40, 40])
    assert_array_equal(np.bincount(pairs.labels[pairs.is_true], minlength=4), [0, 1, 13, 20])
    assert_array_equal(pairs.n_positives, [0, 1, 13, 20])
    some = score_pairs(HeadScorer(network, "cpu"), X, Y, Y, np.array([False, True, False, True]))
    assert_array_equal(np.unique(some.labels), [1, 3])


@pytest.mark.parametrize(
    "n_samples, batch_size, n_epochs", [(60, 100, 200), (60, 30, 100), (60, 5, 17), (10**6, 64, 15)]
)
def test_few_documents_have_enough_epochs_for_two_hundred_steps(n_samples, batch_size, n_epochs):
    model = BalancedLossClassifier(batch_size=batch_size)
    few = sparse.csr_array((n_samples, 1))
    assert model._epochs(BagEncoder(hidden_dims=(2,)), few) == n_epochs


def test_documents_spared_for_validation_are_not_trained_on():
    rng = np.random.RandomState(0)
    X, Y = rng.rand(100, 3), sparse.csr_array((rng.rand(100, 4) < 0.3).astype(np.float32))
    model = BalancedLossClassifier(validation_fraction=0.2, early_stopping=True)
    X_fit, Y_fit, (X_val, Y_val) = model._spare(X, Y, None, np.random.RandomState(0))
    assert X_fit.shape[0] == Y_fit.shape[0] == 80 and X_val.shape[0] == Y_val.shape[0] == 20
    together = np.vstack([X_fit, X_val])
    order = np.lexsort(together.T)
    assert_array_equal(together[order], X[np.lexsort(X.T)])
    given = (X_val, Y_val)
    assert model._spare(X, Y, given, None) == (X, Y, given)
    kept = clone(model).set_params(early_stopping="auto")._spare(X, Y, None, None)
    assert kept == (X, Y, None)  # twenty are too few to stop by


def test_heads_start_at_log_odds_save_under_negative_tolerance(documents_and_network):
    _, Y, network = documents_and_network
    head = network if isinstance(network, FeatureLinear) else network[-1]
    before = head.bias.detach().clone()
    initialise_biases(head, LOSSES["distribution_balanced"]().build(Y), Y)
    assert_array_equal(head.bias.detach(), before)
    initialise_biases(head, LOSSES["bce"]().build(Y), Y)
    assert_allclose(head.bias[1:].sigmoid().detach(), np.array([1, 13, 20]) / 40, rtol=1e-4)
