"""What a training came to: whether it converged, how far it got, and what is said of it."""

from __future__ import annotations

import numpy as np

from .._validation import must_be
from .callbacks import DIVERGED

_PROBED = 64  # documents that show whether training diverged
_WORSE, _SMALL_LOSS = 10.0, 0.01


def probe(net, dataset):
    """Mean loss of the first documents, as many as a step has, without dropout; draws nothing."""
    rows = np.arange(min(_PROBED, len(dataset), net.batch_size))
    return net.validation_step(dataset.batch(rows))["loss"].item()


def check_converged(net, before, after):
    """Raise a ValueError if the loss of some documents says that training diverged.

    Before training a network knows no more than how frequent labels are. Trained at any rate that
    is of use it is better on the documents that it has seen: the ratio was 0.04 to 1 for ten kinds
    of networks. Where rates were far too large it was 7 to 10^5, or there was none. A loss below
    the floor is small whatever it was before.
    """
    limit = _WORSE * max(before, _SMALL_LOSS)
    if not after <= limit:
        got = f"{after:.3g} after epoch {len(net.history)} at a learning rate of {net.lr:g}"
        expected = f"at most {limit:.3g}, ten times that before training"
        raise must_be("The loss of the first documents", expected, got, DIVERGED)


def leave_if_interrupted(net, more_follows=True):
    """Raise KeyboardInterrupt if the user has stopped a training before the last; set nothing."""
    if net.interrupted_ and more_follows:
        raise KeyboardInterrupt(f"{net.interrupted_} The estimator is as it was before.")


def best_epoch(net):
    """Number of the epoch that is as good as training gets: the best one, if the best is kept."""
    watching = dict(net.callbacks_).get("watching")
    if watching is None or not watching.keeps_best:
        return len(net.history)
    values = [watching.badness(row) for row in net.history if watching.monitor in row]
    return int(np.argmin(values)) + 1 if values else len(net.history)


def fitted_by(net, **further):
    """What an estimator shows of a training, and what it says if that was interrupted."""
    history, said = list(net.history), None
    if net.interrupted_:
        said = (
            f"{net.interrupted_} The estimator is fitted and can be used: it has the weights of "
            f"epoch {best_epoch(net)}, and decides by documents that it has not seen."
        )
    shown = {"net_": net, "history_": history, "n_iter_": len(history), **further}
    return {"attributes": shown, "interrupted": said}
