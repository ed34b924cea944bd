"""What the pictures show is what the metrics say; and nothing is drawn without matplotlib."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from skmltc.displays import GroupScoreDisplay, LabelFrequencyDisplay
from skmltc.metrics import f1_by_group

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def legend_texts(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def axes_texts(display):
    return [text.get_text() for text in display.ax_.texts]


def labels_of(counts, n_samples=200):
    y = np.zeros((n_samples, len(counts)), int)
    for j, count in enumerate(counts):
        y[:count, j] = 1
    return y


class TestLabelFrequencyDisplay:
    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix, sparse.coo_array])
    def test_curve_falls_over_the_ranks(self, container):
        display = LabelFrequencyDisplay.from_labels(container(labels_of([3, 90, 0, 20, 60])))
        np.testing.assert_array_equal(display.label_counts, [3, 90, 0, 20, 60])
        np.testing.assert_array_equal(display.line_.get_xdata(), [1, 2, 3, 4])
        np.testing.assert_array_equal(display.line_.get_ydata(), [90, 60, 20, 3])
        assert (display.ax_.get_xscale(), display.ax_.get_yscale()) == ("log", "log")
        assert display.ax_.get_title() == "5 labels, 1 of them without documents"

    def test_legend_counts_the_groups(self):
        display = LabelFrequencyDisplay.from_labels(labels_of([3, 90, 0, 20, 60, 27]))
        assert legend_texts(display) == [
            "head: 2 labels, 75% of assignments",
            "medium: 2 labels, 24% of assignments",
            "tail: 1 label, 2% of assignments",
        ]
        assert display.ax_.get_title().startswith("6 labels")

    def test_bounds_are_settable_and_empty_groups_left_out(self):
        display = LabelFrequencyDisplay.from_labels(
            labels_of([30, 5]), min_head_count=20, max_tail_count=1
        )
        assert [text.split(":")[0] for text in legend_texts(display)] == ["head", "medium"]
        assert display.ax_.get_title() == "2 labels"

    def test_draws_on_given_axes_and_again(self):
        figure, (first, second) = plt.subplots(1, 2)
        display = LabelFrequencyDisplay.from_labels(labels_of([3, 9]), ax=first)
        assert (display.ax_, display.figure_) == (first, figure)
        assert display.plot(second) is display
        assert display.ax_ is second

    def test_labels_without_any_documents(self):
        display = LabelFrequencyDisplay.from_labels(np.zeros((3, 2)))
        display.figure_.canvas.draw()
        assert display.ax_.get_title() == "2 labels, 2 of them without documents"

    @pytest.mark.parametrize("counts", [[-1, 2], [np.nan, 2], ["a", "b"]])
    def test_refuses_what_are_no_counts_without_opening_a_figure(self, counts):
        n_figures = len(plt.get_fignums())
        with pytest.raises(ValueError, match="label_counts must be"):
            LabelFrequencyDisplay(counts).plot()
        assert len(plt.get_fignums()) == n_figures

    def test_refuses_what_is_no_label_matrix(self):
        with pytest.raises(ValueError, match="y must be a label indicator matrix"):
            LabelFrequencyDisplay.from_labels([[3, 1]])


COUNTS = np.array([400, 120, 51, 50, 50, 11, 10, 4, 1, 0])


def predictions(seed):
    rng = np.random.default_rng(seed)
    return (rng.random((80, len(COUNTS))) < 0.3).astype(int)


class TestGroupScoreDisplay:
    @pytest.mark.parametrize("average", ["micro", "macro"])
    def test_points_are_the_scores_of_the_bins(self, average):
        y_true, y_preds = (
            predictions(0),
            {"a": predictions(1), "b": sparse.csr_array(predictions(2))},
        )
        display = GroupScoreDisplay.from_predictions(y_true, y_preds, COUNTS, average=average)
        assert display.bins == [
            (1, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, 100), (101, 200), (201, 500)
        ]  # fmt: skip
        np.testing.assert_array_equal(display.n_labels, [1, 1, 1, 1, 2, 1, 1, 1])
        for name, y_pred in y_preds.items():
            groups = {
                i: (COUNTS >= low) & (COUNTS <= high) for i, (low, high) in enumerate(display.bins)
            }
            expected = f1_by_group(y_true, y_pred, COUNTS, groups=groups)
            for i in groups:
                assert display.scores[name][i] == expected[i][average]
            np.testing.assert_array_equal(display.lines_[name].get_ydata(), display.scores[name])
        assert display.ax_.get_ylabel() == f"{average.title()}-F1"
        assert legend_texts(display) == ["a", "b"]

    def test_names_groups_and_numbers_of_labels(self):
        display = GroupScoreDisplay.from_predictions(predictions(0), {"a": predictions(1)}, COUNTS)
        assert axes_texts(display) == ["head", "medium", "tail", *"11112111", "labels"]

    def test_bins_without_labels_are_left_out(self):
        display = GroupScoreDisplay.from_predictions([[1, 0]], {"a": [[1, 1]]}, [3, 900])
        assert display.bins == [(3, 5), (501, 1000)]
        assert axes_texts(display) == ["head", "tail", "1", "1", "labels"]

    @pytest.mark.parametrize(("head", "tail"), [(35, 8), (51, 10), (2, 0), (1000, 3)])
    def test_bins_respect_the_bounds_of_the_groups(self, head, tail):
        counts = np.arange(700)
        y = np.ones((1, 700))
        display = GroupScoreDisplay.from_predictions(
            y, {"a": y}, counts, min_head_count=head, max_tail_count=tail
        )
        assert display.n_labels.sum() == 699
        for low, high in display.bins:
            assert not low < head <= high
            assert not low <= tail < high
        lows, highs = np.array(display.bins).T
        np.testing.assert_array_equal(lows[1:], highs[:-1] + 1)

    def test_estimators(self):
        class Constant:
            def __init__(self, y):
                self.y = y

            def predict(self, X):
                return self.y[X]

        y, rows = predictions(0), np.arange(5, 50)
        display = GroupScoreDisplay.from_estimators(
            {"right": Constant(y), "other": Constant(predictions(1))},
            rows,
            y[rows],
            COUNTS,
            average="micro",
            max_tail_count=4,
            ax=plt.subplots()[1],
        )
        assert (display.average, display.max_tail_count) == ("micro", 4)
        np.testing.assert_array_equal(display.scores["right"], 1)
        assert (display.scores["other"] < 1).all()

    def test_nine_curves_are_told_apart(self):
        y_preds = {str(seed): predictions(seed) for seed in range(9)}
        display = GroupScoreDisplay.from_predictions(predictions(0), y_preds, COUNTS)
        looks = {(line.get_color(), line.get_linestyle()) for line in display.lines_.values()}
        assert len(looks) == 9

    def test_texts_do_not_overlap(self):
        display = GroupScoreDisplay.from_predictions(predictions(0), {"a": predictions(1)}, COUNTS)
        display.figure_.canvas.draw()
        boxes = [text.get_window_extent() for text in display.ax_.texts]
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:i])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"y_preds": [[1, 0]]}, "y_preds must be a dict of name to predictions. Got list"),
            ({"y_preds": {}}, "y_preds must be a dict"),
            ({"y_preds": {"a": [[1]]}}, "y_pred must be a matrix of 2 columns"),
            ({"label_counts": [0, 0]}, "label_counts must be above 0 for some label"),
            ({"label_counts": [1]}, r"label_counts must be an array of shape \(2,\)"),
            ({"average": "mean"}, "average must be one of 'macro', 'micro'"),
        ],
    )
    def test_errors(self, changes, message):
        arguments = {"y_true": [[1, 0]], "y_preds": {"a": [[1, 0]]}, "label_counts": [9, 1]}
        with pytest.raises(ValueError, match=message):
            GroupScoreDisplay.from_predictions(**(arguments | changes))


def test_importing_needs_no_matplotlib_and_drawing_says_so():
    code = """
import sys
import skmltc.displays as displays
assert not any(name.startswith("matplotlib") for name in sys.modules)
sys.modules["matplotlib"] = None
try:
    displays.LabelFrequencyDisplay.from_labels([[1]])
except ImportError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert 'pip install "skmltc[plot]"' in result.stdout
