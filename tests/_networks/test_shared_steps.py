"""The sums of gradients; `tests/test_distributed.py` has steps of several processes."""

import torch
from torch import nn

from skmltc._networks.shared_steps import counts, summed
from skmltc._networks.training import own_generator, seeded_torch
from skmltc.distributed import Processes


def test_gradients_and_loss_are_those_of_the_share():
    first, second = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(4))
    (first.sum() * 3 + second.sum() * 5).backward()
    assert summed([first, second], torch.tensor(8.0), 0.25) == 2
    assert torch.equal(first.grad, torch.full((2, 3), 0.75))
    assert torch.equal(second.grad, torch.full((4,), 1.25))


def test_a_parameter_without_a_gradient_stays_so():
    used, unused = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(2))
    used.sum().backward()
    summed([unused, used], torch.tensor(1.0), 1.0)
    assert unused.grad is None
    assert used.grad == 1


def test_gradients_keep_their_precision():
    half = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    half.sum().backward()
    summed([half], torch.tensor(1.0), 0.5)
    assert half.grad.dtype == torch.bfloat16


def test_a_batch_of_a_single_process_counts():
    assert counts((torch.ones(1), torch.ones(1)))


def test_processes_draw_one_order_and_a_dropout_each():
    orders, others = [], []
    for rank in (0, 1):
        with seeded_torch(3):
            orders.append(torch.randperm(50, generator=own_generator(Processes(rank, 2))))
            others.append(torch.rand(50))
    with seeded_torch(3):
        assert own_generator(Processes()) is None
        expected = torch.randperm(50)
    assert torch.equal(orders[0], expected)
    assert torch.equal(orders[1], expected)
    assert not torch.equal(*others)
