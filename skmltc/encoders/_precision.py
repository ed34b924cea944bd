"""Precision: in which numbers encoders of tokens multiply while they are trained."""

from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn

from .._validation import must_be

PRECISIONS = ("auto", "float32", "bfloat16")
_FIRST_WITH_HALVES = 8  # the compute capability that multiplies in bfloat16; older ones emulate it
_in_force = ContextVar("precision", default="auto")


@contextmanager
def training_precision(precision):
    """Let encoders that are trained in the block multiply in a precision.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        As of :class:`~skmltc.encoders.Training`.
    """
    before = _in_force.set(precision)
    try:
        yield
    finally:
        _in_force.reset(before)


def check_precision(network, precision, device):
    """Refuse bfloat16 for recurrent layers on a CPU that has no instructions for it."""
    is_recurrent = any(isinstance(layer, nn.RNNBase) for layer in network.modules())
    if precision != "bfloat16" or torch.device(device).type != "cpu" or not is_recurrent:
        return
    try:
        with torch.random.fork_rng(devices=[]), torch.autocast("cpu", torch.bfloat16):
            nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
    except RuntimeError as error:
        expected = "'auto' or 'float32' for recurrent layers on this CPU"
        remedy = f"torch has no bfloat16 for them here: {error}"
        raise must_be("precision", expected, "'bfloat16'", remedy) from error


def multiplying(module, batch):
    """A context for the large products of a module, in the precision in force.

    Sums over many numbers, softmax and norms are outside of it or stay in float32 in it, and who
    uses it makes float32 of what comes out: 8 bits are enough for what is multiplied, not for
    logits, whose differences between rare labels are small.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode it multiplies in float32, so that scores do not depend on the precision.
    batch : tensor
        Something on its device.
    """
    enabled = module.training and halves(_in_force.get(), batch.device)
    return torch.autocast(batch.device.type, torch.bfloat16, enabled=enabled)


def halves(precision, device):
    """Whether a precision is bfloat16 on a device."""
    if precision != "auto":
        return precision == "bfloat16"
    return device.type == "cuda" and _multiplies_halves(device)


def _multiplies_halves(device):
    return torch.cuda.get_device_capability(device)[0] >= _FIRST_WITH_HALVES
