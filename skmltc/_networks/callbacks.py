"""Callbacks of skorch's nets: the rates of steps, a look at each epoch, a bar of progress."""

import copy
import math
import sys

import numpy as np
import torch
from skorch.callbacks import Callback
from tqdm.auto import tqdm

from .._validation import must_be
from ..distributed import total
from .shared_steps import counts

DIVERGED = (
    "Training diverged: try a smaller lr, a smaller clip of training=Training(...), or features "
    "of smaller size."
)
_IMPROVEMENT = 1e-4  # of what is monitored, as a share, that counts as one
_LOSSES = ("train_loss", "valid_loss")


def check_callbacks(callbacks):
    """Refuse what skorch cannot call: it takes callbacks, their classes, and None, named or not."""
    for given in callbacks or ():
        one = given[1] if isinstance(given, tuple | list) and len(given) == 2 else given
        kind = one if isinstance(one, type) else type(one)
        if one is not None and not issubclass(kind, Callback):
            expected = "skorch callbacks, or pairs of a name and one"
            remedy = "Subclass skorch.callbacks.Callback."
            raise must_be("What is in callbacks", expected, repr(given), remedy)


class Progress(Callback):
    """A bar over the steps of all epochs, with the time left; early stopping may cut it short."""

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def on_train_begin(self, net, **_):
        self.bar_ = tqdm(total=self.n_steps, desc="Training", unit="step", file=sys.stdout)

    def on_batch_end(self, net, training=False, **_):
        if training:
            self.bar_.update()

    def on_epoch_end(self, net, **_):
        losses = {name: net.history[-1, name] for name in _LOSSES if name in net.history[-1]}
        shown = {name: f"{loss:.3g}" for name, loss in losses.items()}
        self.bar_.set_postfix(epoch=len(net.history), **shown)

    def on_train_end(self, net, **_):
        self.bar_.close()


class Schedule(Callback):
    """The learning rates of each step.

    Parameters
    ----------
    share : callable
        From the number of a step to the share of the learning rates that it has.
    at : tuple of int
        Epochs after which they fall besides.
    factor : float
        By what they do.
    """

    def __init__(self, share, at, factor):
        self.share, self.at, self.factor = share, at, factor

    def on_train_begin(self, net, **_):
        self.step_, self.left_, self.falls_ = 0, 1.0, []
        for group in net.optimizer_.param_groups:
            group["initial_lr"] = group["lr"]
        self._set(net)

    def on_batch_end(self, net, training=False, **_):
        if training:
            self.step_ += 1
            self._set(net)

    def on_epoch_end(self, net, **_):
        if len(net.history) in self.at:
            self.fall(net)

    def fall(self, net):
        """Multiply the rates by the factor from now on."""
        self.falls_.append(len(net.history))
        self.left_ *= self.factor
        self._set(net)

    def _set(self, net):
        share = self.left_ * self.share(self.step_)
        for group in net.optimizer_.param_groups:
            group["lr"] = group["initial_lr"] * share


class Watch(Callback):
    """Look at every epoch: keep the best one's weights, and see when training no longer helps.

    Parameters
    ----------
    monitor : str
        A column of the history; "valid_micro_f1" is better where it is higher.
    patience : int or None
        Epochs without improvement before something is done.
    keeps_best : bool
        Whether the network has the weights of the best epoch in the end.
    schedule : Schedule
    n_falls : int
        So many times the rates fall then; afterwards, or where it is 0, training stops.
    """

    def __init__(self, monitor, patience, keeps_best, schedule, n_falls):
        self.monitor, self.patience, self.keeps_best = monitor, patience, keeps_best
        self.schedule, self.n_falls = schedule, n_falls

    def badness(self, row):
        """The monitored number of an epoch, the lower the better."""
        return -row[self.monitor] if self.monitor == "valid_micro_f1" else row[self.monitor]

    def on_train_begin(self, net, **_):
        self.bar_, self.misses_, self.weights_, self.epoch_ = np.inf, 0, None, None

    def on_epoch_end(self, net, **_):
        value = self.badness(net.history[-1])
        self.misses_ = 0 if value < self.bar_ else self.misses_ + 1
        if value < self.bar_:
            self.bar_, self.epoch_ = value - _IMPROVEMENT * abs(value), len(net.history)
            if self.keeps_best:
                self.weights_ = copy.deepcopy(net.module_.state_dict())
        if self.misses_ == self.patience:
            self.misses_ = 0
            self._lower_or_stop(net)

    def _lower_or_stop(self, net):
        if len(self.schedule.falls_) == self.n_falls:
            raise Stop
        self.schedule.fall(net)

    def on_train_end(self, net, **_):
        if self.weights_ is not None and self.epoch_ != len(net.history):
            net.module_.load_state_dict(self.weights_)


class Finite(Callback):
    """Stop at the first batch whose loss is not finite; skorch has read it from the device."""

    def on_batch_end(self, net, training=False, **_):
        row = net.history[-1]
        loss = row["batches"][-1]["train_loss" if training else "valid_loss"]
        if not math.isfinite(loss):
            got = f"{loss} in epoch {row['epoch']} at a learning rate of {net.lr:g}"
            raise must_be("The loss in training", "finite", got, DIVERGED)


class Stop(KeyboardInterrupt):
    """The end of a training that is not the user's wish; skorch takes it for that."""


class MicroF1(Callback):
    """The micro-F1 of the validation part at the best cut-off of the epoch, one for all labels.

    Logits are counted by their value in half precision, so no batch is kept.
    """

    def on_epoch_begin(self, net, **_):
        self.counts_ = torch.zeros(2, 2**16, dtype=torch.long, device=net.device)

    def on_batch_end(self, net, batch, y_pred, training=False, **_):
        if not training and counts(batch):
            is_true = batch[1].to(y_pred.device).to_dense() > 0
            ranks = half_ranks(y_pred)
            for known, found in zip(self.counts_, (ranks.flatten(), ranks[is_true]), strict=True):
                known += torch.bincount(found, minlength=len(known))

    def on_epoch_end(self, net, **_):
        net.history.record("valid_micro_f1", best_micro_f1(*total(self.counts_).cpu().numpy()))


def half_ranks(logits):
    """The place of each logit among the numbers of half precision, from 0 to 2^16 - 1."""
    bits = logits.detach().half().contiguous().view(torch.int16).long()
    return torch.where(bits >= 0, bits, -bits - 2**15) + 2**15


def best_micro_f1(n_pairs, n_true):
    """The best F1 of any cut-off.

    Parameters
    ----------
    n_pairs, n_true : array of int of shape (n_values,)
        Pairs, and those that are true, of each score, in the order of the scores.
    """
    predicted, hits = n_pairs[::-1].cumsum(), n_true[::-1].cumsum()
    return float((2 * hits / np.maximum(predicted + hits[-1], 1)).max())
