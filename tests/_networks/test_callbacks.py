"""What callbacks count; what they do to a training stands in test_training."""

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from skorch.callbacks import Callback, EarlyStopping

from skmltc._networks.callbacks import best_micro_f1, check_callbacks, half_ranks


def naive_micro_f1(logits, Y):
    """The best F1 of all cut-offs, one after the other."""
    best = 0.0
    for cut_off in logits.flatten():
        predicted = logits >= cut_off
        hits = (predicted & (Y > 0)).sum()
        best = max(best, 2 * hits / (predicted.sum() + Y.sum()))
    return best


@pytest.mark.parametrize("seed", range(5))
def test_micro_f1_is_counted_in_batches_as_it_is_by_cutting(seed):
    """On numbers that half precision holds, infinite ones among them."""
    rng = np.random.RandomState(seed)
    logits = (rng.randint(-6, 7, (40, 3)) / 2).astype(np.float32)
    logits[rng.rand(40, 3) < 0.1] = np.inf
    Y = (rng.rand(40, 3) < 0.3).astype(np.float32)
    counts = np.zeros((2, 2**16), dtype=int)
    for rows in (slice(0, 25), slice(25, 40)):
        ranks = half_ranks(torch.from_numpy(logits[rows])).numpy()
        counts[0] += np.bincount(ranks.ravel(), minlength=2**16)
        counts[1] += np.bincount(ranks[Y[rows] > 0], minlength=2**16)
    assert best_micro_f1(*counts) == pytest.approx(naive_micro_f1(logits, Y))
    assert best_micro_f1(counts[0], np.zeros(2**16, dtype=int)) == 0


def test_ranks_are_in_the_order_of_the_numbers():
    numbers = torch.tensor([-np.inf, -6e4, -1.5, -1.0, -1e-7, 0.0, 1e-7, 1.0, 1.5, 6e4, np.inf])
    ranks = half_ranks(numbers)
    assert (ranks.diff() > 0).all() and ranks.min() >= 0 and ranks.max() < 2**16
    assert half_ranks(torch.tensor([-0.0])) == ranks[5]


@pytest.mark.parametrize("wrong", [1, "EarlyStopping", LinearSVC, [Callback()], ("a", 1)])
def test_what_skorch_cannot_call_is_refused(wrong):
    with pytest.raises(ValueError, match="What is in callbacks must be skorch callbacks"):
        check_callbacks([Callback(), wrong])


def test_what_skorch_takes_is_let_through():
    check_callbacks(None)
    check_callbacks((Callback(), EarlyStopping, ("mine", Callback()), ("none", None), None))
