"""Truth and predictions that the tests of metrics share."""

import numpy as np
import pytest


def draw(seed=0, n_labels=12):
    rng = np.random.default_rng(seed)
    rates = np.linspace(0.6, 0.05, n_labels)
    truth = (rng.random((60, n_labels)) < rates).astype(int)
    guess = np.where(rng.random(truth.shape) < 0.8, truth, rng.random(truth.shape) < rates)
    truth[:, -1] = guess[:, -1] = 0  # neither true nor predicted
    counts = np.array([200, 90, 51, 50, 30, 20, 15, 11, 10, 7, 2, 0])
    return truth, guess.astype(int), counts


@pytest.fixture(scope="package")
def predictions():
    return draw
