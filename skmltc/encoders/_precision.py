"""Precision: in which numbers encoders of tokens multiply while they are trained."""

from contextlib import contextmanager
from contextvars import ContextVar

import torch

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
