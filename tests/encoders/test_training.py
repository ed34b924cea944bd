"""Training: a spec of settings with scikit-learn's protocol, and its ranges."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone

from skmltc.encoders import Training

ALL = {
    "optimizer": "adam",
    "betas": (0.9, 0.99),
    "lr": 0.5,
    "weight_decay": 0.0,
    "max_epochs": 3,
    "schedule": "plateau",
    "warmup": 0.1,
    "plateau": (0.5, 1, 1),
    "lr_factors": {"head": 2.0, "head_scale": 0},
    "clip": None,
    "head_start": "normal",
    "head_bias": False,
    "monitor": "micro_f1",
    "keep": "last",
    "early_stopping": False,
    "bucket": False,
    "precision": "bfloat16",
}


def test_its_settings_are_found_copied_and_shown():
    training = Training(**ALL)
    assert training.get_params() == ALL
    for copied in (clone(training), copy.deepcopy(training), pickle.loads(pickle.dumps(training))):
        assert copied is not training and copied.get_params() == ALL
    assert repr(Training(lr=0.5, clip=None)) == "Training(clip=None, lr=0.5)"
    training.check()
    Training().check()


def test_parameters_are_set_by_set_params_alone():
    training = Training()
    with pytest.raises(AttributeError, match="lr is fixed. A Training of another lr is a new"):
        training.lr = 1.0
    assert training.set_params(lr=2.0) is training and training.lr == 2.0
    with pytest.raises(ValueError, match="must be one of .* Got 'rate' instead"):
        training.set_params(rate=1.0)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("wrong", ["x", -1, object(), np.nan, (), True])
def test_wrong_values_are_named(name, wrong):
    if wrong is True and name in ("head_bias", "early_stopping", "bucket"):
        return
    message = rf"{name}.* must be .*\. Got .* instead"
    with pytest.raises(ValueError, match=message):
        Training(**{name: wrong}).check()


@pytest.mark.parametrize(
    "values, message",
    [
        ({"optimizer": "adamx"}, "one of 'adamw', 'adam'. Got 'adamx' instead. Did you mean"),
        ({"betas": (0.9, 1.0)}, "betas of Training must be two numbers in .* Got .0.9, 1.0."),
        ({"lr": 0}, "lr of Training must be a positive number. Got 0 instead"),
        ({"lr": np.inf}, "lr of Training must be a positive number. Got inf instead"),
        ({"early_stopping": "never"}, "one of 'auto', True, False. Got 'never' instead"),
        ({"max_epochs": 2.0}, "max_epochs of Training must be a positive integer. Got 2.0"),
        ({"warmup": 1.0}, "warmup of Training must be a share in .0, 1.. Got 1.0"),
        ({"plateau": (2.0, 5, 2)}, "plateau of Training must be a factor in .0, 1., a number of"),
        ({"plateau": (0.1, 5)}, "plateau of Training must be a factor in"),
        ({"lr_factors": {"heads": 2}}, "'head_scale'. Got 'heads' instead. Did you mean 'head'"),
        ({"lr_factors": {"head": -1}}, "lr_factors of Training must be a dict of numbers"),
        ({"clip": 0}, "clip of Training must be a positive number or None. Got 0"),
    ],
)
def test_values_out_of_range_are_told_the_range(values, message):
    with pytest.raises(ValueError, match=message):
        Training(**values).check()
