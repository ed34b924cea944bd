"""Training of torch networks in mini-batches, by skorch."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import GradientNormClipping
from skorch.helper import predefined_split
from torch import nn

from .._torch_random import kept_generator
from .._validation import must_be
from ..distributed import check_same, copy_first, current_processes, shown
from ..encoders import (
    build_network,
    check_precision,
    head_of,
    parameter_parts,
    parts_of,
    start_head,
    training_precision,
)
from ..model_selection import multilabel_train_test_split
from .batches import Batches, DocumentDataset, sorted_by_length
from .callbacks import Finite, MicroF1, Progress, Schedule, Stop, Watch
from .outcome import best_epoch, check_converged, leave_if_interrupted, probe
from .shared_steps import SharedSteps
from .starting import start_as_linear_models

_REPLACED = ("optimizer", "lr", "weight_decay", "max_epochs")  # by an estimator's own
_CACHE_OF_TORCH = "TORCHINDUCTOR_CACHE_DIR"
_FEWEST_STEPS = 200  # where the number of epochs is not given
_DEFAULT_FRACTION = 0.1  # of estimators
_FEWEST_TO_STOP = 100  # documents in a validation part that early stopping needs


@contextmanager
def seeded_torch(seed):
    """Seed torch for the block and leave its global random state as it was."""
    devices = range(torch.cuda.device_count())
    if current_processes().size > 1 and len(devices):  # the others are not of this process
        devices = [torch.cuda.current_device()]
    with kept_generator(devices):
        torch.manual_seed(seed)
        yield


@cache
def load_optimizers():
    """Load what torch loads with the first optimizer of a process, and undo what that changes.

    It leaves a filter of warnings and a variable of the environment, which it makes again where
    it needs it.
    """
    was_there = _CACHE_OF_TORCH in os.environ
    with warnings.catch_warnings():
        torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
    if not was_there:
        os.environ.pop(_CACHE_OF_TORCH, None)


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
    max_epochs : int or None
        None: as many as the encoder recommends, and more where documents, so steps, are few.
    recommended_epochs : int
    batch_size : int
    patience : int or None
    validation_fraction : float
    early_stopping : bool or "auto"
    device : str
    verbose : int
    callbacks : list of skorch callbacks or None
    falls : tuple of int or None
        Of the schedule "plateau" in a network that is trained again: the epochs after which the
        rate falls.
    stops_by_default : bool
        What `early_stopping` "auto" is where documents are enough.
    optimizer, betas, schedule, warmup, plateau, lr_factors, clip, head_start, head_bias, \
monitor, keep, bucket, precision
        As of :class:`~skmltc.encoders.Training`. Networks with parts of their own have further
        names in `lr_factors`.
    """

    lr: float
    weight_decay: float
    max_epochs: int | None
    recommended_epochs: int
    batch_size: int
    patience: int | None
    validation_fraction: float
    early_stopping: bool | str
    device: str
    verbose: int = 0
    callbacks: list | None = None
    falls: tuple | None = None
    stops_by_default: bool = True
    optimizer: str = "adamw"
    betas: tuple = (0.9, 0.999)
    schedule: str = "linear"
    warmup: float = 0.0
    plateau: tuple = (0.1, 5, 2)
    lr_factors: Mapping | None = None
    clip: float | None = 5.0
    head_start: str = "constants"
    head_bias: bool = True
    monitor: str = "loss"
    keep: str = "best"
    bucket: bool = True
    precision: str = "auto"

    @classmethod
    def of(cls, estimator, recommended, device):
        """Take the parameters of an estimator, and where they are "auto" what is recommended."""
        settings = _settings(estimator, recommended)
        n_epochs, own = settings.pop("max_epochs"), estimator.max_epochs
        stops = settings.pop("early_stopping")
        if stops == "auto":
            stops = settings["schedule"] != "linear"
        given = estimator.training != "auto" or own != "auto"
        shared = ("batch_size", "patience", "validation_fraction", "early_stopping")
        return cls(
            max_epochs=n_epochs if given else None,
            recommended_epochs=n_epochs,
            stops_by_default=stops,
            device=device,
            verbose=shown(estimator.verbose),
            callbacks=estimator.callbacks,
            **{name: getattr(estimator, name) for name in shared},
            **settings,
        )

    def for_epochs(self, n_epochs):
        """Make the trainer of so many epochs."""
        return replace(self, max_epochs=n_epochs, callbacks=None)

    def as_before(self, net):
        """Make the trainer of a network that is trained again, as the first one, `net`, was."""
        falls = dict(net.callbacks_)["schedule"].falls_
        return replace(self.for_epochs(best_epoch(net)), falls=tuple(falls))

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
        if given is not None or not self._spares(len(documents), self.validation_fraction):
            return documents, given
        try:
            fit, held, _, _ = multilabel_train_test_split(
                np.arange(len(documents)),
                documents.Y,
                test_size=self.validation_fraction,
                random_state=seed,
            )
        except ValueError as error:  # too many documents are the only ones of a label
            if self.early_stopping == "auto":
                return documents, None
            raise must_be(
                "validation_fraction",
                "small enough that every label keeps a document to train on",
                self.validation_fraction,
                "early_stopping='auto' or False trains on all documents.",
            ) from error
        return documents[fit], documents[held]

    def _spares(self, n_samples, fraction):
        """Whether a validation part is wanted, if none is given."""
        if self.early_stopping != "auto":
            return self.early_stopping
        return self.stops_by_default and fraction * n_samples >= _FEWEST_TO_STOP

    def idle(self, n_samples, is_given):
        """List settings that have no effect on a training.

        Parameters
        ----------
        n_samples : int
            Training documents.
        is_given : bool
            Whether a validation part is.

        Returns
        -------
        list of (bool, str, collection of str)
            Whether a condition holds; what it is; what has no effect then.
        """
        stops = is_given or self._spares(n_samples, self.validation_fraction)
        stops = bool(self.early_stopping) and bool(stops)
        most = max(self.validation_fraction, _DEFAULT_FRACTION)
        never = not stops and not self._spares(n_samples, most)  # by default neither
        few = f"on {n_samples} documents, too few to stop by"
        few = few if self.stops_by_default else "and a training that needs none"
        auto = f"with early_stopping='auto' {few}"
        why = auto if self.early_stopping == "auto" else "with early_stopping=False"
        return [
            (is_given, "where X_val is given", ["validation_fraction"]),
            (never, why, ["validation_fraction"]),
            (not stops, why, ["patience", "training__monitor", "training__keep"]),
            (self.schedule == "plateau", "with schedule='plateau'", ["patience"]),
            (self.schedule != "plateau", f"with schedule={self.schedule!r}", ["training__plateau"]),
        ]

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
            self.start(head_of(network), built, documents.Y)
            begin = None
            if self.starts_linear(inputs.encoder):
                begin = partial(start_as_linear_models, *network, loss, documents, self.device)
            dataset = DocumentDataset(documents.X, documents.Y)
            held = None if stop_by is None else sorted_by_length(stop_by)
            how = SparseTargets(built), dataset, held, parts_of(network), begin
            return self.train(network, *how)

    def start(self, head, loss, Y):
        """Start a head, before it is trained."""
        start_head(head, loss, Y, self.head_start, self.head_bias)

    def starts_linear(self, encoder):
        """Whether an encoder and its head begin as linear models."""
        return encoder.starts_linear and self.head_start == "constants"

    def train(self, network, loss, dataset, stop_by=None, parts=None, begin=None):
        """Train a network in mini-batches; torch is seeded already.

        Parameters
        ----------
        network : nn.Module
            From a batch to what the loss takes; trained in place.
        loss : nn.Module
            From that and the targets of the batch to a number.
        dataset : DocumentDataset or another with `batch`, `lengths`, `n_bytes` and `on`
            Its batches are pairs of an input of the network and targets.
        stop_by : like dataset, default=None
            If given, training stops `patience` epochs after the best one on it and keeps the
            weights of that epoch, unless `early_stopping` is off.
        parts : mapping of str to nn.Module, default=None
            What `lr_factors` speak of, as for `parameter_parts`.
        begin : callable, default=None
            Gives the network a better start, once its loss has been looked at: what is trained may
            be worse than that, and has not diverged.

        Returns
        -------
        skorch.NeuralNet
            With the attribute `interrupted_`: None, or where the user has stopped it how far it
            got.

        Raises
        ------
        ValueError
            If it diverges, or the device lacks the precision.
        KeyboardInterrupt
            If the user stops it, and `stop_by`, which might decide, has no label.
        """
        self._check_start(network, dataset)
        load_optimizers()
        unseen, stop_by = stop_by, stop_by if self.early_stopping else None
        n_epochs, processes = self.n_epochs(len(dataset)), current_processes()
        net = (NeuralNet if processes.size == 1 else SharedNet)(
            network,
            loss,
            optimizer=partial(self._optimizer, parts or {}),
            lr=self.lr,
            max_epochs=n_epochs,
            batch_size=self.batch_size,
            iterator_train=Batches,
            iterator_train__shuffle=True,
            iterator_train__bucket=self.bucket,
            iterator_train__processes=processes,
            iterator_train__generator=own_generator(processes),
            iterator_train__device=self.device,
            iterator_valid=Batches,
            iterator_valid__processes=processes,
            iterator_valid__device=self.device,
            train_split=predefined_split(stop_by) if stop_by else None,
            predict_nonlinearity=None,
            callbacks=self._callbacks(n_epochs * self._steps_per_epoch(dataset), stop_by),
            device=self.device,
            verbose=max(0, self.verbose - 1),
        )
        net.initialize()
        before = probe(net, dataset)
        if begin is not None:
            begin()
        copy_first(network.state_dict().values())
        with training_precision(self.precision):
            net.interrupted_ = run(net, dataset, stoppable=bool(self.callbacks))
        leave_if_interrupted(net, processes.size > 1)  # the others are elsewhere
        copy_first(network.state_dict().values())  # other machines may round otherwise
        network.eval()
        check_converged(net, before, probe(net, dataset))
        leave_if_interrupted(net, unseen is None or not unseen.Y.nnz)
        return net

    def _steps_per_epoch(self, dataset):
        """Steps of an epoch: batches of long texts are cut in several."""
        batches, order = Batches(dataset, self.batch_size), np.arange(len(dataset))
        if self.bucket and dataset.lengths is not None:
            order = batches._bucketed(order)
        return len(batches._cut(order))

    def _optimizer(self, parts, groups, lr):
        """An optimizer of skorch's groups of parameters, each part at its rate."""
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[self.optimizer]
        groups = self._rated(parts, [p for group in groups for p in group["params"]])
        decay, betas = self.weight_decay, tuple(self.betas)
        return kind(groups, lr=lr, betas=betas, weight_decay=decay, fused=True)

    def _rated(self, parts, parameters):
        """Groups of parameters of one learning rate."""
        factors, by_rate = self.lr_factors or {}, {}
        part_of = {p: part for part, p in parameter_parts(parts)} if factors else {}
        for parameter in parameters:
            factor = factors.get(part_of.get(parameter), 1.0)
            by_rate.setdefault(self.lr * factor, []).append(parameter)
        return [{"params": alike, "lr": rate} for rate, alike in by_rate.items()]

    def _check_start(self, network, dataset):
        check_precision(network, self.precision, self.device)
        check_same("The number of training documents", len(dataset))

    def _callbacks(self, n_steps, stop_by):
        schedule = Schedule(self._share(n_steps), self.falls or (), self.plateau[0])
        return [
            ("finite", Finite()),
            *([("clipping", GradientNormClipping(self.clip))] if self.clip else []),
            ("schedule", schedule),
            *self._watching(stop_by, schedule),
            *([("progress", Progress(n_steps))] if self.verbose == 1 else []),
            *copy.deepcopy(list(self.callbacks or [])),
        ]

    def _watching(self, stop_by, schedule):
        """Callbacks that look at each epoch: on a plateau and in a validation part."""
        waits = self.schedule == "plateau" and self.falls is None
        if not (stop_by or waits):
            return []
        monitor = f"valid_{self.monitor}" if stop_by else "train_loss"
        patience, falls = (self.plateau[1], self.plateau[2]) if waits else (self.patience, 0)
        keeps_best = bool(stop_by) and self.keep == "best"
        watching = Watch(monitor, patience, keeps_best, schedule, falls)
        measuring = [("micro_f1", MicroF1())] if monitor == "valid_micro_f1" else []
        return [*measuring, ("watching", watching)]

    def _share(self, n_steps):
        """The share of the learning rate that step number so and so has, from 0 up."""
        n_warm = round(self.warmup * n_steps)

        def share(step):
            if step < n_warm:
                return (step + 1) / (n_warm + 1)
            falls = self.schedule == "linear"
            return max(0.0, 1 - (step - n_warm) / max(n_steps - n_warm, 1)) if falls else 1.0

        return share


def _settings(estimator, recommended):
    """Values of the `Training` in force, those that the estimator replaces replaced."""
    own = estimator.training
    training = recommended if isinstance(own, str) else own
    training.check()
    settings = copy.deepcopy(training.get_params(deep=False))
    given = estimator.get_params(deep=False)
    settings |= {name: given[name] for name in _REPLACED if given.get(name, "auto") != "auto"}
    if estimator.lr != "auto":
        settings["lr_factors"] = None  # they are factors of the rate that they came with
        if isinstance(own, str):  # so is its schedule
            settings |= {"schedule": "constant", "warmup": 0.0}
    return settings


class SharedNet(SharedSteps, NeuralNet):
    """A net that several processes train."""


def own_generator(processes):
    """Where several processes train, what draws the same order of documents in all of them.

    It goes on as torch's generator would, from which dropout alone draws then, in each process
    something else. A single process has None: torch's draws all.
    """
    if processes.size == 1:
        return None
    generator = torch.Generator()
    generator.set_state(torch.get_rng_state())
    torch.manual_seed((torch.initial_seed() + 1 + processes.rank) % 2**63)
    return generator


class SparseTargets(nn.Module):
    """A loss that makes the targets of a batch dense only now, on their device."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, logits, targets):
        return self.loss.of_indicators(logits, targets.to_dense())  # y was checked in fit


def run(net, dataset, stoppable):
    """Train as ``net.partial_fit(dataset)`` does, which would not tell who has stopped it.

    Parameters
    ----------
    net : skorch.NeuralNet
    dataset : as of `Trainer.train`
    stoppable : bool
        Whether there are callbacks of the user's, which may end a training when an epoch is
        complete.

    Returns
    -------
    str or None
        Where the user has: how far it got.
    """
    net.notify("on_train_begin", X=dataset, y=None)
    interrupted = False
    try:
        net.fit_loop(dataset)
    except Stop:
        pass
    except KeyboardInterrupt:
        is_complete = len(net.history) > 0 and "dur" in net.history[-1]
        interrupted = not (stoppable and is_complete)
    net.notify("on_train_end", X=dataset, y=None)
    how_far = f"Training was interrupted in epoch {len(net.history)} of {net.max_epochs}."
    return how_far if interrupted else None
