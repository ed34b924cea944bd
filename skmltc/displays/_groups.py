"""How labels are distributed, and who gets the rare ones right."""

from __future__ import annotations

import numpy as np

from .._validation import check_choice, check_label_counts, check_label_matrix, must_be
from ..labels import label_groups
from ..metrics import f1_by_group
from ._drawing import LINE_COLORS, finish, new_axes

MARKERS = "osD^vPX"
GROUP_COLORS = {"head": "#0072B2", "medium": "#999999", "tail": "#D55E00"}


class LabelFrequencyDisplay:
    """Documents of each label, from the most frequent label to the rarest, on log scales.

    A straight line is a power law. Made by :meth:`from_labels`.

    Parameters
    ----------
    label_counts : array of shape (n_labels,)
        Documents of each label.
    min_head_count, max_tail_count : int, default=51 and 10
        Bounds of the groups, see :func:`skmltc.labels.label_groups`.

    Attributes
    ----------
    line_ : matplotlib line
        The curve; labels without documents are counted in the title alone.
    ax_ : matplotlib axes
        Where it was drawn.
    figure_ : matplotlib figure
        What holds the axes.

    Examples
    --------
    >>> from skmltc.displays import LabelFrequencyDisplay
    >>> display = LabelFrequencyDisplay.from_labels([[1, 0], [1, 1], [1, 0]])
    >>> display.label_counts
    array([3, 1])
    """

    def __init__(self, label_counts, *, min_head_count=51, max_tail_count=10):
        self.label_counts = label_counts
        self.min_head_count = min_head_count
        self.max_tail_count = max_tail_count

    @classmethod
    def from_labels(
        cls, y, *, min_head_count: float = 51, max_tail_count: float = 10, ax=None
    ) -> LabelFrequencyDisplay:
        """Draw the label frequencies of a data set.

        Parameters
        ----------
        y : array or scipy sparse matrix of shape (n_samples, n_labels)
            Label indicators.
        min_head_count, max_tail_count : int, default=51 and 10
            Bounds of the groups, see :func:`skmltc.labels.label_groups`.
        ax : matplotlib axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        LabelFrequencyDisplay

        Raises
        ------
        ValueError
            If `y` is no label indicator matrix.
        ImportError
            Without matplotlib.
        """
        y = check_label_matrix(y)
        counts = np.bincount(y.indices, minlength=y.shape[1])
        display = cls(counts, min_head_count=min_head_count, max_tail_count=max_tail_count)
        return display.plot(ax)

    def plot(self, ax=None) -> LabelFrequencyDisplay:
        """Draw the curve and the groups.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        LabelFrequencyDisplay
            Itself, with `line_`, `ax_` and `figure_`.
        """
        counts = np.sort(check_label_counts(self.label_counts))[::-1]
        ax = new_axes() if ax is None else ax
        counts = counts[counts > 0]
        self._shade_groups(ax, counts)
        (self.line_,) = ax.plot(
            np.arange(1, len(counts) + 1), counts, ".-", color="black", markersize=4, linewidth=1
        )
        ax.set(xscale="log", yscale="log", title=self._title(len(counts)))
        ax.set(xlabel="Label, by rank", ylabel="Documents of the label")
        ax.set_xlim(0.8, max(len(counts), 1) + 0.5)
        ax.set_ylim(bottom=0.8)
        return finish(self, ax, [ax.xaxis, ax.yaxis])

    def _shade_groups(self, ax, counts):
        groups = label_groups(
            counts, min_head_count=self.min_head_count, max_tail_count=self.max_tail_count
        )
        for name, mask in groups.items():
            ranks = np.flatnonzero(mask) + 1
            if not len(ranks):
                continue
            share = counts[mask].sum() / counts.sum()
            noun = "label" if len(ranks) == 1 else "labels"
            ax.axvspan(
                ranks[0] - 0.5,
                ranks[-1] + 0.5,
                color=GROUP_COLORS[name],
                alpha=0.18,
                linewidth=0,
                label=f"{name}: {len(ranks)} {noun}, {share:.0%} of assignments",
            )
        if len(counts):
            ax.legend(loc="lower left", frameon=True)

    def _title(self, n_used):
        n_labels = len(self.label_counts)
        return f"{n_labels} labels" + (
            f", {n_labels - n_used} of them without documents" if n_used < n_labels else ""
        )


class GroupScoreDisplay:
    """F1 by label frequency, several classifiers in one picture.

    Labels are binned by their training documents: 1-2, 3-5, 6-10, 11-20, 21-50, 51-100 and so
    on, with the bounds of the groups always among the limits. The small figures above the axes
    are the labels in each bin; those without training documents, which no classifier can
    learn, are left out. Made by :meth:`from_predictions` or :meth:`from_estimators`.

    Parameters
    ----------
    scores : dict of str to array of shape (n_bins,)
        F1 in each bin, for each classifier.
    bins : list of (int, int)
        Fewest and most training documents of each bin.
    n_labels : array of shape (n_bins,)
        Labels in each bin.
    average : {"macro", "micro"}, default="macro"
        Which F1 it is.
    min_head_count, max_tail_count : int, default=51 and 10
        Bounds of the groups, see :func:`skmltc.labels.label_groups`.

    Attributes
    ----------
    lines_ : dict of str to matplotlib line
        The curve of each classifier.
    ax_ : matplotlib axes
        Where it was drawn.
    figure_ : matplotlib figure
        What holds the axes.

    Examples
    --------
    >>> from skmltc.displays import GroupScoreDisplay
    >>> y_true, y_pred = [[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 1], [0, 0]]
    >>> display = GroupScoreDisplay.from_predictions(y_true, {"ours": y_pred}, [90, 3])
    >>> display.bins, display.scores["ours"].round(2)
    ([(3, 5), (51, 100)], array([0.67, 1.  ]))
    """

    def __init__(
        self, scores, bins, n_labels, *, average="macro", min_head_count=51, max_tail_count=10
    ):
        self.scores = scores
        self.bins = bins
        self.n_labels = n_labels
        self.average = average
        self.min_head_count = min_head_count
        self.max_tail_count = max_tail_count

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_preds,
        label_counts,
        *,
        average="macro",
        min_head_count=51,
        max_tail_count=10,
        ax=None,
    ) -> GroupScoreDisplay:
        """Draw the scores of predictions.

        Parameters
        ----------
        y_true : array or scipy sparse matrix of shape (n_samples, n_labels)
            Label indicators.
        y_preds : dict of str to array or scipy sparse matrix
            Predicted label indicators under the name of each classifier.
        label_counts : array of shape (n_labels,)
            Training documents of each label.
        average : {"macro", "micro"}, default="macro"
            Mean of the F1 of the bin's labels, or F1 of all its assignments together; see
            :func:`skmltc.metrics.f1_by_group`.
        min_head_count, max_tail_count : int, default=51 and 10
            Bounds of the groups, see :func:`skmltc.labels.label_groups`.
        ax : matplotlib axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        GroupScoreDisplay

        Raises
        ------
        ValueError
            If `y_preds` is no dict of label indicator matrices like `y_true`, or no label has
            training documents.
        ImportError
            Without matplotlib.
        """
        check_choice("average", average, ("macro", "micro"))
        if not isinstance(y_preds, dict) or not y_preds:
            raise must_be("y_preds", "a dict of name to predictions", type(y_preds).__name__)
        masks = _frequency_bins(label_counts, min_head_count, max_tail_count)
        if not masks:
            raise must_be("label_counts", "above 0 for some label", "0 for all")
        scores = {}
        for name, y_pred in y_preds.items():
            by_bin = f1_by_group(y_true, y_pred, label_counts, groups=masks)
            scores[name] = np.array([by_bin[limits][average] for limits in masks])
        n_labels = np.array([mask.sum() for mask in masks.values()])
        bounds = {"min_head_count": min_head_count, "max_tail_count": max_tail_count}
        return cls(scores, [*masks], n_labels, average=average, **bounds).plot(ax)

    @classmethod
    def from_estimators(
        cls,
        estimators,
        X,
        y,
        label_counts,
        *,
        average="macro",
        min_head_count=51,
        max_tail_count=10,
        ax=None,
    ) -> GroupScoreDisplay:
        """Draw the scores of fitted classifiers on test documents.

        Parameters
        ----------
        estimators : dict of str to estimator
            Fitted multi-label classifiers by name.
        X : array-like of shape (n_samples, n_features)
            Test documents, as all the classifiers take them.
        y : array or scipy sparse matrix of shape (n_samples, n_labels)
            Label indicators of the test documents.
        label_counts : array of shape (n_labels,)
            Training documents of each label.
        average, min_head_count, max_tail_count, ax
            As in :meth:`from_predictions`.

        Returns
        -------
        GroupScoreDisplay

        Raises
        ------
        ValueError, ImportError
            As :meth:`from_predictions`.
        """
        return cls.from_predictions(
            y,
            {name: estimator.predict(X) for name, estimator in estimators.items()},
            label_counts,
            average=average,
            min_head_count=min_head_count,
            max_tail_count=max_tail_count,
            ax=ax,
        )

    def plot(self, ax=None) -> GroupScoreDisplay:
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        GroupScoreDisplay
            Itself, with `lines_`, `ax_` and `figure_`.
        """
        ax = new_axes() if ax is None else ax
        centers = np.array([(low * high) ** 0.5 for low, high in self.bins])
        self._shade_groups(ax)
        self.lines_ = {}
        for i, (name, score) in enumerate(self.scores.items()):
            look = {"color": LINE_COLORS[i % 7], "marker": MARKERS[i % 7], "markersize": 5}
            look["linestyle"] = ("-", "--")[i // 7 % 2]
            (self.lines_[name],) = ax.plot(centers, score, label=name, **look)
        above = {"transform": ax.get_xaxis_transform(), "fontsize": "small", "color": "0.35"}
        for center, n_labels in zip(centers, self.n_labels, strict=True):
            ax.text(center, 1.015, n_labels, ha="center", **above)
        ax.text(-0.01, 1.015, "labels", ha="right", **above | {"transform": ax.transAxes})
        ax.set(xlabel="Training documents of the label", ylabel=f"{self.average.title()}-F1")
        ax.set(xscale="log", ylim=(-0.02, 1.02))
        ax.set_xlim(self.bins[0][0] - 0.5, self.bins[-1][1] + 0.5)
        ax.grid(axis="y", alpha=0.3)
        ax.legend()
        return finish(self, ax, [ax.xaxis])

    def _shade_groups(self, ax):
        lows, highs = np.array(self.bins).T
        masks = label_groups(
            lows, min_head_count=self.min_head_count, max_tail_count=self.max_tail_count
        )
        for name, mask in masks.items():
            if not mask.any():
                continue
            start, stop = lows[mask][0] - 0.5, highs[mask][-1] + 0.5
            ax.axvspan(start, stop, color=GROUP_COLORS[name], alpha=0.12, linewidth=0)
            above = {"transform": ax.get_xaxis_transform(), "ha": "center", "va": "bottom"}
            ax.text((start * stop) ** 0.5, 1.06, name, **above)


def _frequency_bins(label_counts, min_head_count, max_tail_count):
    """Return the masks of the labels in each bin that has any, under (fewest, most) documents."""
    counts = check_label_counts(label_counts)
    label_groups(counts, min_head_count=min_head_count, max_tail_count=max_tail_count)  # bounds
    cuts = {max_tail_count, min_head_count - 1} - {0}
    series = [
        step * 10**e for e in range(len(str(counts.max(initial=0))) + 1) for step in (1, 2, 5)
    ]
    apart = {n for n in series[1:] if all(max(n / cut, cut / n) > 1.5 for cut in cuts)}
    limits = sorted(apart | cuts | {0})
    bins = [(low + 1, high) for low, high in zip(limits, limits[1:], strict=False)]
    masks = {(low, high): (counts >= low) & (counts <= high) for low, high in bins}
    return {limits: mask for limits, mask in masks.items() if mask.any()}
