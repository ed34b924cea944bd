"""One thread of torch for each thread that solves labels."""

import threading

import pytest
import torch

from skmltc._linear.threads import one_torch_thread


def test_torch_has_one_thread_in_a_block_and_as_many_as_before_after_it(three_threads):
    with one_torch_thread():
        assert torch.get_num_threads() == 1
        with one_torch_thread():
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), one_torch_thread():
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == 3


def test_blocks_of_two_threads_overlap_and_both_restore_the_number(three_threads):
    """The first to begin ends first; the number before is that before either began."""
    found, first_is_in, second_is_in, first_is_out = {}, *(threading.Event() for _ in range(3))

    def first():
        with one_torch_thread():
            first_is_in.set()
            second_is_in.wait(10)
            found["first inside"] = torch.get_num_threads()
        found["first after"] = torch.get_num_threads()
        first_is_out.set()

    def second():
        first_is_in.wait(10)
        with one_torch_thread():
            second_is_in.set()
            first_is_out.wait(10)
            found["second inside"] = torch.get_num_threads()
        found["second after"] = torch.get_num_threads()

    threads = [threading.Thread(target=task) for task in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {"first inside": 1, "first after": 3, "second inside": 1, "second after": 3}
    assert torch.get_num_threads() == 3
