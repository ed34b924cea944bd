"""Training of torch networks. The only file that imports skorch.

Every system's first stage is `fit_network`: mini-batches of documents, AdamW, and the best weights
kept where there is a validation part. `train_network` is the same for other batches.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from torch import nn
from tqdm.auto import tqdm

from .batches import Batches, Documents, sorted_by_length

_CLIP = 5.0
_LOSSES = ("train_loss", "valid_loss")


class SparseTargets(nn.Module):
    """A loss that makes the targets of a batch dense only now, on their device."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, logits, targets):
        return self.loss(logits, targets.to_dense())


def fit_network(network, loss, X, Y, *, validation=None, **settings):
    """Train a network on documents and labels: `train_network` with their logits and targets.

    Parameters
    ----------
    network : nn.Module
        From a batch to logits; trained in place.
    loss : BalancedLoss
        Built from the labels trained on.
    X : CSR matrix or array of shape (n_samples, n_inputs)
    Y : csr_array of shape (n_samples, n_labels)
    validation : tuple of X and Y, default=None
    **settings : dict
        Of `train_network`.

    Returns
    -------
    skorch.NeuralNet
    """
    held_out = sorted_by_length(*validation) if validation else None
    return train_network(
        network, SparseTargets(loss), Documents(X, Y), validation=held_out, **settings
    )


def train_network(
    network,
    loss,
    dataset,
    *,
    validation=None,
    lr,
    weight_decay,
    max_epochs,
    batch_size,
    patience,
    device,
    linear_decay=False,
    lr_factors=None,
    verbose=0,
    callbacks=None,
):
    """Train a network by AdamW, in mini-batches.

    Parameters
    ----------
    network : nn.Module
        From a batch to what the loss takes; trained in place.
    loss : nn.Module
        From that and the targets of the batch to a number.
    dataset : Documents or another data set with ``batch(rows)``
        Its batches are pairs of an input of the network and targets.
    validation : like dataset, default=None
        If given, training stops `patience` epochs after the lowest validation loss and keeps the
        weights of that epoch.
    linear_decay : bool, default=False
        Let the learning rate fall to 0 at the end of the last epoch, step by step.
    lr_factors : dict of str to float, default=None
        Patterns of parameter names whose learning rate is a multiple of `lr`.

    Returns
    -------
    skorch.NeuralNet
        Interrupted by Ctrl-C it warns, and has the weights of the lowest validation loss so far;
        without a validation part those of the last step.
    """
    stopping = [("stopping", EarlyStopping(patience=patience, load_best=True, sink=_discard))]
    n_steps = max_epochs * -(-len(dataset) // batch_size)
    net = NeuralNet(
        network,
        loss,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=weight_decay,
        optimizer__fused=True,
        optimizer__param_groups=[
            (pattern, {"lr": lr * factor}) for pattern, factor in (lr_factors or {}).items()
        ],
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        iterator_train=Batches,
        iterator_train__shuffle=True,
        iterator_valid=Batches,
        train_split=predefined_split(validation) if validation else None,
        predict_nonlinearity=None,
        callbacks=[
            ("clipping", GradientNormClipping(_CLIP)),
            *([("schedule", _linear_schedule(n_steps))] if linear_decay else []),
            *(stopping if validation else []),
            *([("progress", Progress(n_steps))] if verbose == 1 else []),
            *(callbacks or []),
        ],
        device=device,
        verbose=max(0, verbose - 1),
    )
    net.fit(dataset, y=None)
    network.eval()
    if was_interrupted(net):
        warnings.warn(
            f"Training was interrupted in epoch {len(net.history)} of {max_epochs}. The "
            f"{'best' if validation else 'last'} weights so far are kept.",
            UserWarning,
            stacklevel=2,
        )
    return net


def was_interrupted(net):
    """Whether Ctrl-C ended the training: callbacks that stop do so when an epoch is complete."""
    return "dur" not in net.history[-1]


def best_epoch(net):
    """Epochs after which the weights that were kept stood."""
    losses = [row["valid_loss"] for row in net.history if "valid_loss" in row]
    return int(np.argmin(losses)) + 1 if losses else len(net.history)


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


def _linear_schedule(n_steps):
    """A learning rate that falls to 0 over so many steps."""
    return LRScheduler(
        torch.optim.lr_scheduler.LambdaLR,
        lr_lambda=lambda step: max(0.0, 1 - step / n_steps),
        step_every="batch",
    )


def _discard(*args):
    """Where skorch's early stopping says that it stopped."""
