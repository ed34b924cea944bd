"""F1 of groups of labels and of documents against loops and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.metrics import f1_score, precision_score, recall_score

from skmltc.labels import label_groups
from skmltc.metrics import f1_by_group, f1_by_n_labels

TRUTHS = [np.asarray, np.ndarray.tolist, sparse.csr_matrix, sparse.csc_array, sparse.coo_array]


def loop_f1(y, p, columns):
    counts = []
    for j in columns:
        pairs = [(truth[j], guess[j]) for truth, guess in zip(y, p, strict=True)]
        counts.append((pairs.count((1, 1)), pairs.count((0, 1)), pairs.count((1, 0))))
    each = [2 * tp / max(2 * tp + fp + fn, 1) for tp, fp, fn in counts]
    tp, fp, fn = (sum(column) for column in zip(*counts, strict=True))
    return 2 * tp / max(2 * tp + fp + fn, 1), sum(each) / len(each)


@pytest.mark.parametrize("lists", [[["a", "b"], ["c"]], [["a"], ["b"]]])
@pytest.mark.parametrize("of", [lambda y: f1_by_group(y, y, [3]), lambda y: f1_by_n_labels(y, y)])
def test_lists_of_labels_are_refused_with_a_remedy(lists, of):
    with pytest.raises(ValueError, match="zeros and ones. Got what are no numbers .*MultiLabelB"):
        of(lists)


class TestF1ByGroup:
    @pytest.mark.parametrize("container", TRUTHS)
    def test_equals_loops_and_scikit_learn(self, predictions, container):
        truth, guess, counts = predictions()
        scores = f1_by_group(container(truth), container(guess), counts)
        groups = {"total": np.ones(12, bool)} | label_groups(counts)
        assert list(scores) == ["total", "head", "medium", "tail"]
        for name, mask in groups.items():
            y, p = truth[:, mask], guess[:, mask]
            micro, macro = loop_f1(truth, guess, np.flatnonzero(mask))
            assert scores[name]["micro"] == pytest.approx(micro)
            assert scores[name]["macro"] == pytest.approx(macro)
            options = {"average": "micro", "zero_division": 0}
            assert scores[name]["micro"] == pytest.approx(f1_score(y, p, **options))
            assert scores[name]["precision"] == pytest.approx(precision_score(y, p, **options))
            assert scores[name]["recall"] == pytest.approx(recall_score(y, p, **options))
            options["average"] = "macro"
            assert scores[name]["macro"] == pytest.approx(f1_score(y, p, **options))

    def test_describes_the_groups(self, predictions):
        truth, guess, counts = predictions()
        tail = f1_by_group(truth, guess, counts)["tail"]
        expected = {"n_labels": 4, "n_tested": 3, "support": truth[:, 8:].sum()}
        expected |= {"min_count": 0, "max_count": 10}
        assert {key: tail[key] for key in expected} == expected
        assert tail["macro"] * 4 / 3 == pytest.approx(loop_f1(truth, guess, [8, 9, 10])[1])

    def test_groups_by_mask_and_by_columns(self, predictions):
        truth, guess, counts = predictions()
        groups = {"first": counts > 50, "last": [11, 10]}
        scores = f1_by_group(truth, guess, counts, groups=groups)
        assert list(scores) == ["total", "first", "last"]
        assert scores["first"]["macro"] == pytest.approx(loop_f1(truth, guess, [0, 1, 2])[1])
        assert scores["last"]["micro"] == pytest.approx(loop_f1(truth, guess, [10, 11])[0])

    def test_labelled_documents_alone(self, predictions):
        truth, guess, counts = predictions()
        scores = f1_by_group(truth, guess, counts, documents="labelled")
        rows = truth[:, 8:].any(axis=1)
        micro, macro = loop_f1(truth[rows], guess[rows], range(8, 12))
        assert (scores["tail"]["micro"], scores["tail"]["macro"]) == pytest.approx((micro, macro))
        assert scores["tail"] != f1_by_group(truth, guess, counts)["tail"]

    def test_groups_and_documents_without_anything(self):
        scores = f1_by_group([[1, 0]], [[0, 0]], [60, 70])
        assert scores["tail"] == dict.fromkeys(scores["tail"], 0)
        assert scores["total"]["micro"] == scores["total"]["precision"] == 0
        assert f1_by_group([[0]], [[0]], [3], documents="labelled")["tail"]["macro"] == 0

    def test_counts_summed_from_a_csr_matrix(self, predictions):
        truth, guess, _ = predictions()
        counts = sparse.csr_matrix(truth).sum(axis=0)
        assert counts.shape == (1, 12)
        assert f1_by_group(truth, guess, counts) == f1_by_group(truth, guess, truth.sum(axis=0))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"y_pred": [[1, 0]]}, "y_pred must have 2 rows. Got 1"),
            ({"y_pred": [[1], [0]]}, "y_pred must be a matrix of 2 columns"),
            ({"y_pred": [[1, 3], [0, 0]]}, "y_pred must be a label indicator matrix"),
            ({"label_counts": [1]}, r"label_counts must be an array of shape \(2,\)"),
            ({"groups": {"a": [True]}}, r"groups\['a'\] must be a mask of 2 labels"),
            ({"groups": {"a": [2]}}, r"groups\['a'\] must be a mask of 2 labels"),
            ({"groups": {"a": [-1]}}, r"groups\['a'\] must be a mask of 2 labels"),
            ({"groups": {"a": [1, 1]}}, r"groups\['a'\] must be .* different column numbers"),
            ({"groups": {"a": None}}, r"groups\['a'\] must be a mask of 2 labels"),
            ({"groups": {"a": ["x"]}}, r"groups\['a'\] must be a mask of 2 labels"),
            ({"groups": {"total": [0]}}, "groups must be without 'total', .*. Got a group of that"),
            ({"groups": [1]}, "groups must be a dict of name to mask or columns. Got list inst"),
            ({"groups": {"a": [0.5]}}, r"groups\['a'\] must be a mask of 2 labels"),
            ({"documents": "labeled"}, "documents must be one of.*mean 'labelled'"),
        ],
    )
    def test_errors(self, changes, message):
        arguments = {"y_true": [[1, 0], [0, 1]], "y_pred": [[1, 0], [0, 1]], "label_counts": [9, 1]}
        with pytest.raises(ValueError, match=message):
            f1_by_group(**(arguments | changes))


@st.composite
def pairs_of_indicators(draw):
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 6)))
    return [draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 1))) for _ in range(2)]


class TestF1ByNLabels:
    @given(pairs_of_indicators(), st.sampled_from([(1, 2), (0,), (1, 3, 4), (0, 1, 5)]))
    @settings(max_examples=60, deadline=None)
    def test_equals_loops(self, drawn, starts):
        truth, guess = drawn
        scores = f1_by_n_labels(truth, guess, starts=starts)
        ends = [*(start - 1 for start in starts[1:]), 99]
        groups = {"total": range(99)}
        for low, high in zip(starts, ends, strict=True):
            name = f"{low}+" if high == 99 else f"{low}" if low == high else f"{low}-{high}"
            groups[name] = range(low, high + 1)
        assert list(scores) == list(groups)
        for name, sizes in groups.items():
            rows = [d for d, row in enumerate(truth) if sum(row) in sizes]
            micro, macro = loop_f1(truth[rows], guess[rows], range(truth.shape[1]))
            assert scores[name]["micro"] == pytest.approx(micro)
            assert scores[name]["macro"] == pytest.approx(macro)
            assert scores[name]["n_documents"] == len(rows)
            assert scores[name]["support"] == truth[rows].sum()
            assert scores[name]["n_tested"] == truth[rows].any(axis=0).sum()

    @pytest.mark.parametrize("container", TRUTHS)
    def test_equals_scikit_learn(self, container, predictions):
        truth, guess, _ = predictions()
        scores = f1_by_n_labels(container(truth), container(guess), starts=[1, 2, 5])
        assert list(scores) == ["total", "1", "2-4", "5+"]
        rows = (truth.sum(axis=1) >= 2) & (truth.sum(axis=1) < 5)
        assert rows.sum() > 9
        for average in ("micro", "macro"):
            expected = f1_score(truth[rows], guess[rows], average=average, zero_division=0)
            assert scores["2-4"][average] == pytest.approx(expected)
        options = {"average": "micro", "zero_division": 0}
        for name, metric in (("precision", precision_score), ("recall", recall_score)):
            assert scores["2-4"][name] == pytest.approx(metric(truth[rows], guess[rows], **options))

    @pytest.mark.parametrize("starts", [(), (2, 1), (1, 1), (-1, 2), (1.5,), ("a",), None, "12"])
    def test_errors(self, starts):
        with pytest.raises(ValueError, match="starts must be (a whole|ascending whole) number"):
            f1_by_n_labels([[1, 0]], [[1, 0]], starts=starts)
