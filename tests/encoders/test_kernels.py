"""What is written out for speed against its plain twin."""

import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from skmltc.encoders._kernels import ByteDropout, WindowMaximum, _best, window_maximum


@pytest.fixture
def windows():
    """Word vectors, filters of three words, their biases, and the lengths of the texts."""
    torch.manual_seed(0)
    shapes = (5, 7, 2), (4, 2, 3), (4,)
    arrays = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    return *arrays, torch.tensor([[7], [6], [4], [3], [1]])


def plain_maximum(vectors, weight, bias, lengths):
    """The same by automatic differentiation, one text after the other."""
    maxima = []
    for text, length in zip(vectors, lengths[:, 0].tolist(), strict=True):
        maps = nn.functional.conv1d(text.T[None], weight, bias)[0]
        maxima.append(maps[:, : max(length - 2, 1)].max(dim=1).values)
    return torch.stack(maxima)


def test_the_maximum_is_over_the_windows_inside(windows):
    expected = plain_maximum(*windows).detach()
    assert_allclose(window_maximum(*windows).detach(), expected, rtol=1e-12)


def by_differentiation(*windows):
    """What is differentiated on a GPU."""
    return _best(*windows)[0]


@pytest.mark.parametrize("maximum", [WindowMaximum.apply, by_differentiation])
def test_the_gradient_of_the_maximum_is_that_of_a_convolution(maximum, windows):
    slope = torch.randn(5, 4, dtype=torch.float64)
    for ours, twin in zip(
        torch.autograd.grad(maximum(*windows), windows[:3], slope),
        torch.autograd.grad(plain_maximum(*windows), windows[:3], slope),
        strict=True,
    ):
        assert_allclose(ours, twin, atol=1e-12)
    assert torch.autograd.gradcheck(maximum, windows)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.5, 0.98])
def test_byte_dropout_drops_a_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    module, ones = ByteDropout(p), torch.ones(101, 1003)
    dropped = module(ones)
    assert_allclose((dropped == 0).double().mean(), p, atol=0.004)
    assert_allclose(dropped.double().mean(), 1, atol=0.06 if p > 0.9 else 0.01)
    assert len(dropped.unique()) == (1 if p == 0 else 2)
    assert module.eval()(ones) is ones
