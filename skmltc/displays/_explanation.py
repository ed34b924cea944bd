"""Why one document has its labels."""

from __future__ import annotations

import numpy as np

from .._inputs import as_rows, count_rows, take_rows
from .._validation import check_number, must_be
from ._drawing import LINE_COLORS, new_axes


class ExplanationDisplay:
    """Why one document has its labels: what members and the context add, and the words.

    A row of axes per label. On the left are the shares of the log-odds, which add up to the number
    in the title; on the right the words that raise the score of a linear member most, and by how
    much. Where there are none, axes stay empty. Made by :meth:`from_estimator`.

    Parameters
    ----------
    explanation : Explanation
        Of :meth:`LongTailClassifier.explain <skmltc.LongTailClassifier.explain>`.
    document : int, default=0
        The one to draw, by its row in X.
    label_names : sequence of str, optional
        A name per column of y; by default the titles have column numbers, or classes.

    Attributes
    ----------
    axes_ : array of matplotlib axes of shape (n_labels, 2)
        Where it was drawn.
    figure_ : matplotlib figure
        What holds the axes.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from skmltc import LongTailClassifier
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> from skmltc.displays import ExplanationDisplay
    >>> corpus = make_long_tailed_corpus(n_samples=300, n_labels=10, random_state=0)
    >>> words = TfidfVectorizer()
    >>> X = words.fit_transform(corpus.data)
    >>> model = LongTailClassifier(random_state=0).fit(X, corpus.target)
    >>> display = ExplanationDisplay.from_estimator(model, X, k=2, feature_names=words)
    >>> display.axes_.shape
    (2, 2)
    """

    def __init__(self, explanation, document=0, *, label_names=None):
        self.explanation = explanation
        self.document = document
        self.label_names = label_names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        document=0,
        labels=None,
        k=None,
        feature_names=None,
        label_names=None,
        n_words=8,
        axes=None,
    ) -> ExplanationDisplay:
        """Explain one document, and draw it.

        Parameters
        ----------
        estimator : fitted LongTailClassifier
        X : list, array or sparse matrix of n_samples documents
        document : int, default=0
            Row of X.
        labels, k, feature_names, n_words
            As in :meth:`LongTailClassifier.explain <skmltc.LongTailClassifier.explain>`.
        label_names : sequence of str, optional
            A name per column of y.
        axes : array of matplotlib axes of shape (n_labels, 2), optional
            Where to draw; new axes by default.

        Returns
        -------
        ExplanationDisplay

        Raises
        ------
        ValueError
            If X has no such document, or it has no predicted label.
        ImportError
            Without matplotlib.
        """
        if not hasattr(estimator, "explain"):
            remedy = "Of a pipeline give the last step, and X as it gets there: model[:-1]."
            raise must_be("estimator", "a LongTailClassifier", type(estimator).__name__, remedy)
        X = as_rows(X)
        if count_rows(X) == 0:
            raise must_be("X", "at least one document", "none")
        check_number("document", document, 0, count_rows(X) - 1, whole=True)
        one = take_rows(X, slice(document, document + 1))
        how = {"feature_names": feature_names, "n_words": n_words, "n_neighbors": 0}
        explanation = estimator.explain(one, labels, k=k, **how)
        return cls(explanation, label_names=label_names).plot(axes)

    def plot(self, axes=None) -> ExplanationDisplay:
        """Draw the shares and the words of each label.

        Parameters
        ----------
        axes : array of matplotlib axes of shape (n_labels, 2), optional
            Where to draw; new axes by default.

        Returns
        -------
        ExplanationDisplay
            Itself, with `axes_` and `figure_`.

        Raises
        ------
        ValueError
            If there is no label to draw, or axes are not as many as labels.
        """
        table = self.explanation.labels
        labels = table["label"][table["document"] == self.document]
        if not len(labels):
            remedy = "k=1 explains the best label, predicted or not."
            raise must_be("document", "one with a label to explain", self.document, remedy)
        if axes is None:
            axes = new_axes((len(labels), 2), figsize=(9, 0.6 + 1.9 * len(labels)))
        axes = np.asarray(axes)
        if axes.shape != (len(labels), 2):
            expected = f"axes of shape ({len(labels)}, 2), two per label"
            raise must_be("axes", expected, f"shape {axes.shape}")
        for (left, right), label in zip(axes, labels, strict=True):
            self._draw(self.explanation.of(self.document, label), left, right)
        axes[-1, 0].set_xlabel("Share of the log-odds")
        axes[-1, 1].set_xlabel("Share of the member's score")
        self.axes_, self.figure_ = axes, axes[0, 0].figure
        return self

    def _draw(self, one, left, right):
        """Draw the explanation of one label."""
        label, log_odds = one.labels["label"][0], one.labels["log_odds"][0]
        name = label if self.label_names is None else self._name_of(label)
        left.set_title(f"{name}: log-odds {log_odds:.2f}", loc="left", fontsize="medium")
        _draw_bars(left, one.shares["source"], one.shares["share"])
        words, members = one.words["word"], one.words["member"]
        if len(set(members)) > 1:
            words = [f"{m}: {w}" for m, w in zip(members, words, strict=True)]
        _draw_bars(right, words, one.words["score"])

    def _name_of(self, label):
        """The name of a label."""
        try:
            return self.label_names[label]
        except (IndexError, KeyError, TypeError) as error:
            remedy = "Labels of a 1-D y, its classes, are their own names."
            got = f"none for {label}"
            raise must_be("label_names", "a name per column of y", got, remedy) from error


def _draw_bars(ax, names, values):
    """Draw bars from the top down, those against something in another colour."""
    places = np.arange(len(values))
    colors = np.where(np.asarray(values) < 0, LINE_COLORS[1], LINE_COLORS[0])
    ax.barh(places, values, color=colors)
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.axvline(0, color="0.35", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)
