"""Axes and colours that the pictures share."""

# Okabe and Ito's palette: distinct for every kind of colour vision.
LINE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def new_axes(shape=None, figsize=None):
    """Open a figure with axes, or an array of them; without matplotlib say how to get it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError(
            'matplotlib must be installed for pictures: pip install "skmltc[plot]".'
        ) from None
    grid = {"squeeze": shape is None, "figsize": figsize}
    return plt.subplots(*(shape or ()), layout="constrained", **grid)[1]


def finish(display, ax, log_axes):
    """Label logarithmic axes, and note on the display where it was drawn."""
    from matplotlib.ticker import LogFormatter

    for axis in log_axes:
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(LogFormatter())  # speaks up where less than a decade is shown
    ax.spines[["top", "right"]].set_visible(False)
    display.ax_, display.figure_ = ax, ax.figure
    return display
