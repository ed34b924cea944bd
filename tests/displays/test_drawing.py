"""What the pictures share: axes, and their last touches."""

from types import SimpleNamespace

import pytest

from skmltc.displays._drawing import finish, new_axes

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_axes_are_one_or_an_array():
    ax = new_axes()
    assert ax.figure.axes == [ax]
    assert new_axes((1, 2)).shape == (1, 2)


def test_logarithmic_axes_are_labelled_and_the_display_knows_where_it_is():
    display, ax = SimpleNamespace(), new_axes()
    ax.set_xscale("log")
    assert finish(display, ax, [ax.xaxis]) is display
    assert display.ax_ is ax and display.figure_ is ax.figure
    assert ax.xaxis.get_major_formatter()(100) == "100"
    assert not ax.spines["top"].get_visible() and ax.spines["left"].get_visible()
