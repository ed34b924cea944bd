"""What a training came to, said of nets that are made up; test_training.py trains real ones."""

import math
from types import SimpleNamespace

import pytest

from skmltc._networks.outcome import best_epoch, check_converged, fitted_by, leave_if_interrupted


def net_of(losses, keeps_best=True, watched=True, interrupted=None):
    history = [{} if loss is None else {"valid_loss": loss} for loss in losses]
    watching = SimpleNamespace(
        keeps_best=keeps_best, monitor="valid_loss", badness=lambda row: row["valid_loss"]
    )
    callbacks = [("watching", watching)] if watched else []
    return SimpleNamespace(history=history, callbacks_=callbacks, interrupted_=interrupted, lr=0.5)


@pytest.mark.parametrize(("before", "after"), [(0.2, 2.0), (0.2, 0.1), (1e-9, 0.1), (0.0, 0.0)])
def test_a_loss_up_to_ten_times_as_large_or_a_small_one_is_a_result(before, after):
    check_converged(net_of([1.0]), before, after)


@pytest.mark.parametrize(
    ("before", "after"), [(0.2, 2.01), (1e-9, 0.11), (0.2, math.nan), (0.2, math.inf)]
)
def test_a_larger_loss_or_none_is_refused_and_says_how_far_it_got(before, after):
    message = r"The loss of the first documents must be .* after epoch 2 at a learning rate of 0.5"
    with pytest.raises(ValueError, match=message):
        check_converged(net_of([1.0, 2.0]), before, after)


def test_only_an_interruption_with_more_to_follow_is_raised():
    stopped = net_of([1.0], interrupted="Stopped after epoch 1.")
    with pytest.raises(
        KeyboardInterrupt, match=r"Stopped after epoch 1\. The estimator is as it was"
    ):
        leave_if_interrupted(stopped)
    leave_if_interrupted(stopped, more_follows=False)
    leave_if_interrupted(net_of([1.0]))


@pytest.mark.parametrize(
    ("net", "epoch"),
    [
        (net_of([3.0, 1.0, 2.0]), 2),
        (net_of([3.0, 1.0, 1.0]), 2),
        (net_of([3.0, 1.0, 2.0], keeps_best=False), 3),
        (net_of([3.0, 1.0, 2.0], watched=False), 3),
        (net_of([None, None]), 2),
    ],
)
def test_the_best_epoch_is_the_first_of_the_lowest_where_it_is_kept(net, epoch):
    assert best_epoch(net) == epoch


def test_an_estimator_shows_its_history_and_says_where_it_was_stopped():
    net = net_of([3.0, 1.0, 2.0])
    shown = {"net_": net, "history_": net.history, "n_iter_": 3, "more_": 1}
    assert fitted_by(net, more_=1) == {"attributes": shown, "interrupted": None}
    said = fitted_by(net_of([3.0, 1.0, 2.0], interrupted="Stopped."))["interrupted"]
    assert said.startswith("Stopped. The estimator is fitted") and "weights of epoch 2," in said
