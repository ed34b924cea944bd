"""torch's one generator is kept as it was, and has one user at a time."""

import threading

import pytest
import torch

from skmltc._torch_random import kept_generator


def test_the_generator_is_as_it_was():
    before = torch.get_rng_state()
    with kept_generator(), pytest.raises(KeyError), kept_generator():
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before)


def test_another_thread_waits_until_it_is_left():
    entered = threading.Event()

    def use():
        with kept_generator():
            entered.set()

    other = threading.Thread(target=use)
    with kept_generator():
        other.start()
        assert not entered.wait(0.05)
    other.join()
    assert entered.is_set()
