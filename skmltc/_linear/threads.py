"""One thread of torch for each thread that solves labels."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import torch

_threads = threading.RLock()
_one_thread_users, _n_threads_before = 0, 1


@contextmanager
def one_torch_thread():
    """Let torch use one thread for the work of the thread that asks; do not nest it."""
    global _one_thread_users, _n_threads_before
    with _threads:
        n_threads = torch.get_num_threads()  # a new thread keeps what is set after it has asked
        if not _one_thread_users:
            _n_threads_before = n_threads
        _one_thread_users += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _threads:
            _one_thread_users -= 1
            torch.set_num_threads(_n_threads_before)
