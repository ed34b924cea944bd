"""torch's random generator, of which a process has one."""

import threading
from contextlib import contextmanager

_generator = threading.RLock()


@contextmanager
def kept_generator(devices=()):
    """Leave torch's generators as they were; other threads that draw by this package wait.

    Parameters
    ----------
    devices : iterable of int, default=()
        CUDA devices whose generators are kept too.
    """
    import torch

    with _generator, torch.random.fork_rng(devices=devices):
        yield
