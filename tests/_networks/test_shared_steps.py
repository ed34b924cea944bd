"""The sums of gradients; `tests/test_distributed.py` has steps of several processes."""

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import Bunch
from torch import nn

from skmltc._networks.batches import DocumentDataset, Part
from skmltc._networks.callbacks import MicroF1
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


def parts(n_samples):
    """What two processes have of a batch."""
    X, Y = np.ones((n_samples, 1), np.float32), sparse.csr_array(np.ones((n_samples, 3)))
    rows = np.arange(n_samples)
    return [Part.of(DocumentDataset(X, Y), rows, Processes(rank, 2)) for rank in (0, 1)]


def test_what_is_no_document_of_ones_own_does_not_count():
    assert counts((torch.ones(1), torch.ones(1)))
    assert list(map(counts, parts(2))) == [True, True]
    assert list(map(counts, parts(1))) == [True, False]


def test_micro_f1_leaves_it_out():
    found, measure = [], MicroF1()
    for part in parts(1):
        measure.on_epoch_begin(Bunch(device="cpu"))
        measure.on_batch_end(None, part, torch.zeros(1, 3))
        found.append(int(measure.counts_.sum()))
    assert found == [6, 0]  # three pairs, all of them true


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
