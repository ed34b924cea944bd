"""Training one network on several processes, each with its part of every batch."""

from __future__ import annotations

import atexit
import os
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

from ._validation import must_be

__all__ = ["Processes", "data_parallel"]

_NO_ANSWER = (
    "Another process of this training has failed, was stopped, or did not answer in time. Its own "
    "message says why. All of them have to be started again."
)


@dataclass(frozen=True)
class Processes:
    """The processes that train together.

    Parameters
    ----------
    rank : int, default=0
        The number of this one, from 0.
    size : int, default=1
        How many they are.
    """

    rank: int = 0
    size: int = 1


_processes = ContextVar("processes", default=None)
_is_own = False  # whether this module has made the process group


@contextmanager
def data_parallel(timeout=1800):
    """Train networks inside the block on all processes that the launcher has started.

    Every process runs the same script on the same documents. Each of them computes the gradients
    of its part of every batch, they are added up, and all processes take the same step: the
    network is the one that a single process would train, up to rounding and dropout. What is not
    trained in mini-batches every process computes for itself. In the end all of them have the same
    model.

    Without a launcher, which is where the environment has no ``WORLD_SIZE`` above 1, the block has
    no effect. A process group that exists already is used; else one is made, which stays for
    further blocks. Outside of the block no group has an effect on this package.

    Parameters
    ----------
    timeout : float, default=1800
        Seconds that a process waits for the others before it gives up. Of a group that exists
        already its own holds.

    Yields
    ------
    Processes
        Their number, and which one this is: number 0 should save the model.

    Raises
    ------
    RuntimeError
        If another process fails, is stopped or does not answer in time.

    Examples
    --------
    A file ``train.py`` that ``torchrun --nproc-per-node 2 train.py`` runs on two processes:

    >>> from skmltc import BalancedLossClassifier
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> from skmltc.distributed import data_parallel
    >>> from skmltc.text import TokenSequenceVectorizer
    >>> corpus = make_long_tailed_corpus(n_samples=200, n_labels=5, random_state=0)
    >>> X = TokenSequenceVectorizer(max_length=20).fit_transform(corpus.data)
    >>> model = BalancedLossClassifier(max_epochs=1, random_state=0)
    >>> with data_parallel() as processes:
    ...     model = model.fit(X, corpus.target)
    >>> if processes.rank == 0:
    ...     print(processes.size, model.n_labels_)
    1 5
    """
    found = _join(timeout)
    token = _processes.set(found)
    try:
        with _own_gpu(found):
            yield found
    except BaseException:
        _leave()  # the others wait for this process: its connections must not stay open
        raise
    finally:
        _processes.reset(token)


def _join(timeout):
    """Join the others; a group that is made for that lasts until all end or one fails."""
    global _is_own
    from torch import distributed

    exists = distributed.is_available() and distributed.is_initialized()
    if not exists and int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return Processes()
    if not exists:
        with _answered():
            distributed.init_process_group(timeout=timedelta(seconds=timeout))
        _is_own = True
        atexit.register(_leave)
    return Processes(distributed.get_rank(), distributed.get_world_size())


def _leave():
    """End the group, if it is of this module."""
    global _is_own
    from torch import distributed

    if _is_own and distributed.is_initialized():
        distributed.destroy_process_group()
    _is_own = False


def _own_gpu(processes):
    """Where there are GPUs and several processes, "cuda" is one of one's own in the block."""
    import torch

    if processes.size == 1 or not torch.cuda.is_available():
        return nullcontext()
    local = int(os.environ.get("LOCAL_RANK", torch.cuda.current_device()))
    return torch.cuda.device(local % torch.cuda.device_count())


@contextmanager
def _answered():
    """Say what it means if the others do not answer."""
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError(_NO_ANSWER) from error


def current_processes():
    """The processes that train together now: one, outside of `data_parallel`."""
    return _processes.get() or Processes()


def shown(verbose):
    """How much this process shows: the first one what is wanted, the others nothing."""
    return verbose if current_processes().rank == 0 else 0


def total(tensor):
    """Add up the tensors of all processes, in place."""
    from torch import distributed

    if current_processes().size > 1:
        with _answered():
            distributed.all_reduce(tensor)
    return tensor


def of_first(value):
    """The value that the first process has, in all of them; any object that can be pickled."""
    from torch import distributed

    if current_processes().size == 1:
        return value
    values = [value]
    with _answered():
        distributed.broadcast_object_list(values)
    return values[0]


def copy_first(tensors):
    """Make tensors equal to those of the first process, to the last bit, in place."""
    import torch
    from torch import distributed

    if current_processes().size == 1:
        return
    for tensor in tensors:
        copied = tensor.detach().contiguous()
        with _answered():
            distributed.broadcast(copied, 0)
        with torch.no_grad():
            tensor.copy_(copied)


def check_same(what, value):
    """Refuse a number that differs between processes, in all of them."""
    from torch import distributed

    values = [value] * current_processes().size
    if len(values) > 1:
        with _answered():
            distributed.all_gather_object(values, value)
    if len(set(values)) > 1:
        got = ", ".join(map(str, values))
        raise must_be(what, "the same in all processes", got, "Each of them takes all documents.")
