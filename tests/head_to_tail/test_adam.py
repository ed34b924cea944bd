"""AdamTransfer: the steps of the released code, against its values and a loop."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skmltc import HeadToTailClassifier
from skmltc.head_to_tail import AdamTransfer
from skmltc.head_to_tail._transfer import TRANSFERS, ridge_transfer, squared_error

P = np.array([[[1, 0], [0, 1], [0.6, 0.8]], [[0.8, 0.6], [0, 1], [1, 0]]])
M = np.array([[2, -1], [1, 3], [2.2, 1.5]])
START = np.array([[0.1, -0.2], [0.3, 0.4]])


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.mark.parametrize(
    "spec, matrix, error",
    [
        (AdamTransfer(), [[0.259238, -0.042224], [0.192067, 0.551087]], 34.813410),
        (AdamTransfer(0.012, 7), [[0.267254, -0.034288], [0.186291, 0.558740]], 34.556262),
        (AdamTransfer(0.013, 8), [[0.306730, 0.004704], [0.162391, 0.596131]], 33.317885),
    ],
)
def test_the_released_settings_give_these_matrices(spec, matrix, error):
    learned = spec.solve(P, M, START)
    assert_allclose(learned, matrix, atol=1e-6)
    assert_allclose(squared_error(learned, P, M), error, atol=1e-5)


@pytest.mark.parametrize("spec", [AdamTransfer(), AdamTransfer(0.05, 3, (0.5, 0.8))])
def test_a_pass_has_a_step_for_each_draw(spec, rng):
    prototypes = rng.randn(3, 6, 4).astype(np.float32)
    weights = rng.randn(6, 4).astype(np.float32)
    torch.manual_seed(0)
    matrix = torch.nn.Linear(4, 4, bias=False).weight.detach().numpy().astype(np.float64)
    mean, mean_square, n_steps = np.zeros((4, 4)), np.zeros((4, 4)), 0
    first, second = spec.betas
    for _ in range(spec.passes):
        for draw in prototypes:
            gradient = np.zeros((4, 4))
            for p, m in zip(draw, weights, strict=True):
                gradient += 2 * np.outer(matrix @ p - m, p) / 24  # of the mean over 6 x 4 squares
            n_steps += 1
            mean = first * mean + (1 - first) * gradient
            mean_square = second * mean_square + (1 - second) * gradient**2
            deviation = np.sqrt(mean_square / (1 - second**n_steps))
            matrix -= spec.lr * mean / (1 - first**n_steps) / (deviation + 1e-8)
    torch.manual_seed(0)
    assert_allclose(spec.solve(prototypes, weights), matrix, atol=1e-5)


def test_it_falls_towards_the_closed_form_and_stops_early(rng):
    prototypes = rng.randn(30, 6, 3).astype(np.float32)
    weights = rng.randn(6, 3).astype(np.float32)
    torch.manual_seed(0)
    matrix = AdamTransfer().solve(prototypes, weights)
    best = squared_error(ridge_transfer(prototypes, weights, 0.0), prototypes, weights)
    assert best <= squared_error(matrix, prototypes, weights) < 1.2 * best
    assert squared_error(np.eye(3), prototypes, weights) > 1.2 * best


def test_the_start_that_is_given_stays_as_it_was():
    before = START.copy()
    AdamTransfer().solve(P, M, START)
    assert_array_equal(START, before)


def test_it_is_a_spec_that_a_name_stands_for():
    assert repr(clone(AdamTransfer(lr=0.012))) == "AdamTransfer(lr=0.012)"
    torch.manual_seed(0)
    by_name = TRANSFERS["adam"](P.astype(np.float32), M.astype(np.float32))
    torch.manual_seed(0)
    assert_array_equal(by_name, AdamTransfer().solve(P.astype(np.float32), M.astype(np.float32)))
    model = HeadToTailClassifier(transfer=AdamTransfer()).set_params(transfer__lr=0.5)
    assert clone(model).get_params()["transfer__lr"] == 0.5


def test_a_rate_at_which_it_diverges_is_named():
    torch.manual_seed(0)
    with pytest.raises(ValueError, match="must be finite.* give a smaller lr than 1e"):
        AdamTransfer(lr=1e30).solve(P.astype(np.float32), M.astype(np.float32))


@pytest.mark.parametrize(
    "spec, message",
    [
        (AdamTransfer(lr=0), "lr of AdamTransfer must be a positive number. Got 0 instead"),
        (AdamTransfer(lr="fast"), "lr of AdamTransfer must be a positive number. Got 'fast'"),
        (AdamTransfer(passes=0), "passes of AdamTransfer must be a whole number, at least 1"),
        (AdamTransfer(passes=1.5), "passes of AdamTransfer must be a whole number"),
        (AdamTransfer(betas=(0.9, 1.0)), r"betas of AdamTransfer must be two numbers in \[0, 1\)"),
        (AdamTransfer(betas=0.9), r"betas of AdamTransfer must be two numbers in \[0, 1\)"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_is_trained(spec, message, documents):
    with pytest.raises(ValueError, match=message):
        HeadToTailClassifier(transfer=spec).fit(documents.X, documents.Y)
