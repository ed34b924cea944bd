"""Training: how networks are trained."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator

from .._validation import check_choice, must_be
from ._precision import PRECISIONS

LR_PARTS = ("embedding", "encoder", "projection", "head", "head_scale")
_CHOICES = {
    "optimizer": ("adamw", "adam"),
    "schedule": ("linear", "constant", "plateau"),
    "head_start": ("constants", "torch", "normal"),
    "monitor": ("loss", "micro_f1"),
    "keep": ("best", "last"),
    "head_bias": (True, False),
    "early_stopping": ("auto", True, False),
    "bucket": (True, False),
    "precision": PRECISIONS,
}


class Training(BaseEstimator):
    """Settings by which networks are trained, in mini-batches.

    Every encoder recommends some, as its `training`; an estimator takes others as its parameter
    `training`. What is left out here has the defaults below, whatever the encoder recommends. Where
    an estimator's `optimizer`, `lr`, `weight_decay` or `max_epochs` is not "auto", it replaces the
    value here.

    Parameters
    ----------
    optimizer : {"adamw", "adam"}, default="adamw"
        "adam" has the weight decay in its gradients, as a penalty; "adamw" apart from them.
    betas : tuple of two floats, default=(0.9, 0.999)
        Of the running means of gradients and of their squares.
    lr : float, default=0.01
        Learning rate.
    weight_decay : float, default=0.3
        Rare words are over-moved with less, and rare labels die with more.
    max_epochs : int, default=10
        Passes over the documents. An encoder's recommendation is raised where documents are few,
        so that there are 200 steps; a number that a user gives is not.
    schedule : {"linear", "constant", "plateau"}, default="linear"
        The rate falls to 0 over all steps; or stays; or falls where the validation part (without
        one the training documents) is no better for some epochs.
    warmup : float, default=0.0
        Share of the steps over which the rate rises from 0 first.
    plateau : tuple of (float, int, int), default=(0.1, 5, 2)
        Of the schedule of that name, which `patience` does not concern: a factor, epochs, times.
        After so many epochs without improvement the rate is multiplied by the factor; after the
        last time training stops instead.
    lr_factors : dict of str to float, default=None
        Factors of `lr` for parts of the network: "embedding" (the table of word vectors), "encoder"
        (its other layers), "projection" (its last layer), "head" and "head_scale" (the learned
        factor of vectors of norm 1). A part that is not named has the factor 1. They belong to the
        `lr` here: one that an estimator is given is that of all parts.
    clip : float or None, default=5.0
        Largest norm of the gradient of a step; None does not clip.
    head_start : {"constants", "torch", "normal"}, default="constants"
        How the head begins. "torch" is torch's own start of a linear layer. "constants" besides
        sets its biases to the constant logits of lowest loss, save for a loss with negative
        tolerance. "normal": weights drawn from N(0, 0.02^2) and biases of 0, as BERT's.
    head_bias : bool, default=True
        Whether the head has biases; without, they are 0 and stay so.
    monitor : {"loss", "micro_f1"}, default="loss"
        What is looked at on the validation part after each epoch: the loss, or the micro-F1 at
        the cut-off, one for all labels, that suits the epoch best.
    keep : {"best", "last"}, default="best"
        Which epoch's weights are kept, where there is a validation part to stop by.
    early_stopping : bool or "auto", default="auto"
        What ``early_stopping="auto"`` of an estimator is where documents are enough: whether some
        are held out to stop by. "auto" is True but where the rate falls to 0: a training that is
        stopped ends before its rate has fallen, and misses the documents that are held out.
    bucket : bool, default=True
        Let texts of similar length share batches.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        In which numbers convolutions, recurrent layers and transformers multiply while they are
        trained. "auto" is bfloat16 on a GPU that has it (CUDA's compute capability 8 on), where
        these products are most of the work and take half of the memory and less time; else
        float32. Weights, their updates, the head, the loss and predictions are in float32 always.
        It has no effect on encoders of features, whose products are bound by memory.

    Examples
    --------
    >>> from skmltc import BalancedLossClassifier
    >>> from skmltc.encoders import Training
    >>> model = BalancedLossClassifier(encoder="cnn", training=Training(lr=0.002, clip=None))
    >>> model.set_params(training__schedule="constant").training
    Training(clip=None, lr=0.002, schedule='constant')
    """

    def __init__(
        self,
        *,
        optimizer="adamw",
        betas=(0.9, 0.999),
        lr=0.01,
        weight_decay=0.3,
        max_epochs=10,
        schedule="linear",
        warmup=0.0,
        plateau=(0.1, 5, 2),
        lr_factors=None,
        clip=5.0,
        head_start="constants",
        head_bias=True,
        monitor="loss",
        keep="best",
        early_stopping="auto",
        bucket=True,
        precision="auto",
    ):
        self.optimizer = optimizer
        self.betas = betas
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.schedule = schedule
        self.warmup = warmup
        self.plateau = plateau
        self.lr_factors = lr_factors
        self.clip = clip
        self.head_start = head_start
        self.head_bias = head_bias
        self.monitor = monitor
        self.keep = keep
        self.early_stopping = early_stopping
        self.bucket = bucket
        self.precision = precision

    def __setattr__(self, name, value):
        """Let nobody change in passing what an encoder recommends to all its users."""
        if name in vars(self):
            raise AttributeError(f"{name} is fixed. A Training of another {name} is a new object.")
        super().__setattr__(name, value)

    def set_params(self, **params):
        """Set parameters.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self
        """
        for name in params:
            check_choice("A parameter of Training", name, self._get_param_names())
        vars(self).update(params)
        return self

    def check(self):
        """Raise a ValueError if a value is out of its range."""
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        self._check_number("lr", "a positive number", 0 < _number(self.lr) < np.inf)
        decay = _number(self.weight_decay)
        self._check_number("weight_decay", "a number from 0 up", 0 <= decay < np.inf)
        self._check_number("max_epochs", "a positive integer", _is_count(self.max_epochs))
        self._check_number("warmup", "a share in [0, 1)", 0 <= _number(self.warmup) < 1)
        clips = self.clip is None or _number(self.clip) > 0
        self._check_number("clip", "a positive number or None", clips)
        self._check_number("betas", "two numbers in [0, 1)", _are_betas(self.betas))
        expected = "a factor in (0, 1), a number of epochs and a number of times"
        self._check_number("plateau", expected, _is_plateau(self.plateau))
        self._check_lr_factors()

    def _check_number(self, name, expected, is_right):
        if not is_right:
            raise must_be(f"{name} of Training", expected, repr(getattr(self, name)))

    def _check_lr_factors(self):
        factors = {} if self.lr_factors is None else self.lr_factors
        self._check_number("lr_factors", "a dict", isinstance(factors, Mapping))
        for part in factors:
            check_choice("A key of lr_factors", part, LR_PARTS)
        positive = all(0 <= _number(factor) < np.inf for factor in factors.values())
        self._check_number("lr_factors", "a dict of numbers from 0 up", positive)


def _number(value):
    """The value, or NaN, which is in no range."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return float(value) if is_number else np.nan


def _is_count(value):
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 1


def _are_betas(betas):
    is_pair = isinstance(betas, tuple | list) and len(betas) == 2
    return is_pair and all(0 <= _number(beta) < 1 for beta in betas)


def _is_plateau(plateau):
    if not isinstance(plateau, tuple | list) or len(plateau) != 3:
        return False
    factor, epochs, times = plateau
    return 0 < _number(factor) < 1 and _is_count(epochs) and _is_count(times)
