"""Training of torch networks by AdamW, in mini-batches. The only file that imports skorch."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from torch import nn
from tqdm.auto import tqdm

from .._validation import must_be, warn
from ..encoders import build_network, head_of, initialise_biases
from ..model_selection import multilabel_train_test_split
from .batches import Batches, DocumentDataset, sorted_by_length

_CLIP = 5.0
_LOSSES = ("train_loss", "valid_loss")
_FEWEST_STEPS = 200  # of AdamW, where the number of epochs is not given
_FEWEST_TO_STOP = 100  # documents in a validation part that early stopping needs

_training = threading.RLock()  # torch has one generator


@contextmanager
def seeded_torch(seed):
    """Seed torch for the block and leave its global random state as it was."""
    with _training, torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


class Plan(NamedTuple):
    """What training a network once more, on other documents, needs.

    Parameters
    ----------
    inputs : Inputs
    loss : loss spec
    trainer : Trainer
    """

    inputs: object
    loss: object
    trainer: Trainer


@dataclass(frozen=True, eq=False)
class Trainer:
    """How a network is trained: the settings of an estimator and its encoder, resolved once.

    Parameters
    ----------
    lr, weight_decay : float
        Of AdamW.
    max_epochs : int or None
        None: as many as the encoder recommends, and more where documents, so steps, are few.
    recommended_epochs : int
    batch_size, patience : int
    validation_fraction : float
    early_stopping : bool or "auto"
    device : str
    verbose : int
    callbacks : list of skorch callbacks or None
    linear_decay : bool
        Let the learning rate fall to 0 at the end of the last epoch, step by step.
    lr_factors : mapping of str to float
        Patterns of parameter names whose learning rate is a multiple of `lr`.
    """

    lr: float
    weight_decay: float
    max_epochs: int | None
    recommended_epochs: int
    batch_size: int
    patience: int
    validation_fraction: float
    early_stopping: bool | str
    device: str
    verbose: int = 0
    callbacks: list | None = None
    linear_decay: bool = True
    lr_factors: Mapping | None = None

    @classmethod
    def of(cls, estimator, training, device):
        """Take the parameters of an estimator, and where they are "auto" the encoder's."""

        def chosen(name):
            value = getattr(estimator, name)
            return getattr(training, name) if value == "auto" else value

        shared = ("batch_size", "patience", "validation_fraction", "early_stopping", "verbose")
        return cls(
            lr=chosen("lr"),
            weight_decay=chosen("weight_decay"),
            max_epochs=None if estimator.max_epochs == "auto" else estimator.max_epochs,
            recommended_epochs=training.max_epochs,
            device=device,
            callbacks=estimator.callbacks,
            linear_decay=training.linear_decay,
            lr_factors=training.lr_factors,
            **{name: getattr(estimator, name) for name in shared},
        )

    def for_epochs(self, n_epochs):
        """Make the trainer of a network that is trained again, as long as the first one was."""
        return replace(self, max_epochs=n_epochs, callbacks=None)

    def split(self, documents, given, seed):
        """Split off a validation part, if one is wanted and none was given.

        Parameters
        ----------
        documents : Documents
        given : Documents or None
        seed : int

        Returns
        -------
        fit, unseen : Documents, the second perhaps None
        """
        n_spared = self.validation_fraction * len(documents)
        auto = self.early_stopping == "auto"
        wanted = n_spared >= _FEWEST_TO_STOP if auto else self.early_stopping
        if given is not None or not wanted:
            return documents, given
        try:
            fit, held, _, _ = multilabel_train_test_split(
                np.arange(len(documents)),
                documents.Y,
                test_size=self.validation_fraction,
                random_state=seed,
            )
        except ValueError as error:  # too many documents are the only ones of a label
            if auto:
                return documents, None
            raise must_be(
                "validation_fraction",
                "small enough that every label keeps a document to train on",
                self.validation_fraction,
                "early_stopping='auto' or False trains on all documents.",
            ) from error
        return documents[fit], documents[held]

    def n_epochs(self, n_samples):
        """Epochs that are given or recommended; more where documents, so steps, are few."""
        if self.max_epochs is not None:
            return self.max_epochs
        steps_per_epoch = -(-n_samples // self.batch_size)
        return max(self.recommended_epochs, -(-_FEWEST_STEPS // steps_per_epoch))

    def train_encoder(self, inputs, loss, documents, seed, stop_by=None):
        """Train an encoder with a linear head on documents.

        Parameters
        ----------
        inputs : Inputs
        loss : loss spec
        documents : Documents
        seed : int
        stop_by : Documents, default=None

        Returns
        -------
        skorch.NeuralNet
            Its `module_` is a network of `build_network`.
        """
        with seeded_torch(seed):
            n_labels = documents.Y.shape[1]
            network = build_network(inputs.encoder, inputs.n_inputs, n_labels, documents.X)
            built = loss.build(documents.Y)
            initialise_biases(head_of(network), built, documents.Y)
            dataset = DocumentDataset(documents.X, documents.Y)
            held = None if stop_by is None else sorted_by_length(stop_by)
            return self.train(network, SparseTargets(built), dataset, held)

    def train(self, network, loss, dataset, stop_by=None):
        """Train a network by AdamW, in mini-batches; torch is seeded already.

        Parameters
        ----------
        network : nn.Module
            From a batch to what the loss takes; trained in place.
        loss : nn.Module
            From that and the targets of the batch to a number.
        dataset : DocumentDataset or another data set with ``batch(rows)``
            Its batches are pairs of an input of the network and targets.
        stop_by : like dataset, default=None
            If given, training stops `patience` epochs after the lowest loss on it and keeps the
            weights of that epoch, unless `early_stopping` is off.

        Returns
        -------
        skorch.NeuralNet
            Interrupted by Ctrl-C it warns, and has the weights of the lowest validation loss so
            far; without a validation part those of the last step.
        """
        stop_by = stop_by if self.early_stopping else None
        n_epochs = self.n_epochs(len(dataset))
        factors = (self.lr_factors or {}).items()
        net = NeuralNet(
            network,
            loss,
            optimizer=torch.optim.AdamW,
            optimizer__weight_decay=self.weight_decay,
            optimizer__fused=True,
            optimizer__param_groups=[(name, {"lr": self.lr * factor}) for name, factor in factors],
            lr=self.lr,
            max_epochs=n_epochs,
            batch_size=self.batch_size,
            iterator_train=Batches,
            iterator_train__shuffle=True,
            iterator_valid=Batches,
            train_split=predefined_split(stop_by) if stop_by else None,
            predict_nonlinearity=None,
            callbacks=self._callbacks(n_epochs * -(-len(dataset) // self.batch_size), stop_by),
            device=self.device,
            verbose=max(0, self.verbose - 1),
        )
        net.fit(dataset, y=None)
        network.eval()
        if was_interrupted(net):
            warn(
                f"Training was interrupted in epoch {len(net.history)} of {n_epochs}. The "
                f"{'best' if stop_by else 'last'} weights so far are kept."
            )
        return net

    def _callbacks(self, n_steps, stop_by):
        stopping = EarlyStopping(patience=self.patience, load_best=True, sink=_discard)
        return [
            ("clipping", GradientNormClipping(_CLIP)),
            *([("schedule", _linear_schedule(n_steps))] if self.linear_decay else []),
            *([("stopping", stopping)] if stop_by else []),
            *([("progress", Progress(n_steps))] if self.verbose == 1 else []),
            *(self.callbacks or []),
        ]


class SparseTargets(nn.Module):
    """A loss that makes the targets of a batch dense only now, on their device."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, logits, targets):
        return self.loss.of_indicators(logits, targets.to_dense())  # y was checked in fit


def was_interrupted(net):
    """Whether Ctrl-C ended the training: callbacks that stop do so when an epoch is complete."""
    return "dur" not in net.history[-1]


def best_epoch(net):
    """Number of the epoch whose weights were kept."""
    losses = [row["valid_loss"] for row in net.history if "valid_loss" in row]
    return int(np.argmin(losses)) + 1 if losses else len(net.history)


def fitted_by(net):
    """What an estimator shows of a training, and whether it was interrupted."""
    history = list(net.history)
    shown = {"net_": net, "history_": history, "n_iter_": len(history)}
    return {"attributes": shown, "interrupted": was_interrupted(net)}


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
