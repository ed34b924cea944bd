"""Bars are what is explained; labels and words have their names."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from skmltc import LongTailClassifier
from skmltc.displays import ExplanationDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fitted(documents):
    return LongTailClassifier(random_state=0).fit(documents.X[:200], documents.Y[:200])


def bars(ax):
    """Names and lengths of the bars, from the top down."""
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    return names, [bar.get_width() for bar in ax.patches]


class TestExplanationDisplay:
    def test_bars_are_the_shares_and_the_words(self, documents, fitted):
        X = documents.X[200:]
        explanation = fitted.explain(X, k=2, n_words=4)
        display = ExplanationDisplay.from_estimator(fitted, X, document=3, k=2, n_words=4)
        labels = explanation.labels["label"][explanation.labels["document"] == 3]
        assert display.axes_.shape == (2, 2)
        for (left, right), label in zip(display.axes_, labels, strict=True):
            one = explanation.of(3, label)
            names, lengths = bars(left)
            assert names == ["linear", "neighbors", "frequency", "context", "offset"]
            np.testing.assert_allclose(lengths, one.shares["share"], rtol=1e-5, atol=1e-6)
            assert left.get_title("left") == f"{label}: log-odds {sum(lengths):.2f}"
            names, lengths = bars(right)
            assert names == one.words["word"].tolist()
            np.testing.assert_allclose(lengths, one.words["score"], rtol=1e-5)
            assert left.get_ylim()[0] > left.get_ylim()[1]  # the first is on top
        display.figure_.canvas.draw()

    def test_labels_and_words_have_the_names_that_are_given(self, documents, fitted):
        words, names = [f"w{j}" for j in range(500)], [f"name {k}" for k in range(12)]
        display = ExplanationDisplay.from_estimator(
            fitted, documents.X, labels=[4], feature_names=words, label_names=names, n_words=3
        )
        (left, right) = display.axes_[0]
        assert left.get_title("left").startswith("name 4: log-odds ")
        assert {word[0] for word in bars(right)[0]} <= {"w"}

    def test_draws_on_given_axes_and_again(self, documents, fitted):
        figure, axes = plt.subplots(1, 2)
        display = ExplanationDisplay.from_estimator(fitted, documents.X, k=1, axes=axes[None])
        assert display.figure_ is figure and display.axes_[0, 1] is axes[1]
        assert display.plot() is display
        assert display.figure_ is not figure

    def test_words_of_several_members_have_the_names_of_these(self, documents, fitted):
        explanation = fitted.explain(documents.X[:1], k=1, n_words=2)
        tables = {name: getattr(explanation, name) for name in ("labels", "shares", "neighbors")}
        words = explanation.words | {"member": np.array(["a", "b"], dtype=object)}
        display = ExplanationDisplay(type(explanation)(**tables, words=words)).plot()
        names, _ = bars(display.axes_[0, 1])
        assert names == [f"{m}: {w}" for m, w in zip("ab", words["word"], strict=True)]

    def test_without_words_and_shares_axes_are_empty(self, documents, fitted, monkeypatch):
        explanation = fitted.explain(documents.X[:1], k=1, n_words=0)
        none = {name: column[:0] for name, column in explanation.shares.items()}
        tables = explanation.labels, none, explanation.words, explanation.neighbors
        display = ExplanationDisplay(type(explanation)(*tables)).plot()
        display.figure_.canvas.draw()
        assert [bars(ax) for ax in display.axes_[0]] == [([], []), ([], [])]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"document": 300}, "document must be a whole number, from 0 to 299. Got 300"),
            ({"labels": []}, "document must be one with a label to explain. Got 0 instead. k=1"),
            ({"labels": [99]}, "labels must be a column number"),
        ],
    )
    def test_errors(self, documents, fitted, options, message):
        n_figures = len(plt.get_fignums())
        with pytest.raises(ValueError, match=message):
            ExplanationDisplay.from_estimator(fitted, documents.X, **options)
        assert len(plt.get_fignums()) == n_figures

    def test_what_explains_nothing_is_refused(self, documents, fitted):
        piped = make_pipeline(Normalizer(), fitted)
        remedy = r"Got Pipeline instead. Of a pipeline give the last step, and X .* model\[:-1\]"
        with pytest.raises(ValueError, match=f"estimator must be a LongTailClassifier. {remedy}"):
            ExplanationDisplay.from_estimator(piped, documents.X)
        with pytest.raises(ValueError, match="X must be at least one document. Got none instead"):
            ExplanationDisplay.from_estimator(fitted, documents.X[:0])

    def test_a_label_without_a_name_is_refused(self, documents, fitted):
        for names in (["one", "two"], {0: "one"}):
            with pytest.raises(ValueError, match="label_names must be a name per column of y. Got"):
                ExplanationDisplay.from_estimator(
                    fitted, documents.X, labels=[4], label_names=names
                )

    def test_any_sparse_matrix_will_do(self, documents, fitted):
        X = sparse.coo_array(documents.X)
        display = ExplanationDisplay.from_estimator(fitted, X, document=3, k=1)
        same = ExplanationDisplay.from_estimator(fitted, documents.X, document=3, k=1)
        assert bars(display.axes_[0, 0]) == bars(same.axes_[0, 0])

    def test_axes_of_another_shape_are_refused(self, documents, fitted):
        with pytest.raises(ValueError, match=r"axes must be axes of shape \(2, 2\), two per label"):
            ExplanationDisplay.from_estimator(fitted, documents.X, k=2, axes=plt.subplots(3, 2)[1])
