"""Reports of groups and labels, and confused pairs, against the metrics and loops."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.metrics import precision_recall_fscore_support

from skmltc.labels import inverse_propensities
from skmltc.metrics import (
    Confusion,
    confused_pairs,
    f1_by_group,
    label_report,
    long_tail_report,
    ndcg_at_k,
    precision_at_k,
    psp_at_k,
)


class TestLongTailReport:
    def test_dict_holds_groups_and_ranking_metrics(self, predictions):
        truth, guess, counts = predictions()
        weights = inverse_propensities(counts, 1000)
        scores = np.random.default_rng(0).normal(size=truth.shape)
        options = {"y_score": scores, "inverse_propensities": weights, "k": (1, 4)}
        report = long_tail_report(truth, guess, counts, output_dict=True, **options)
        figures = {key: report.pop(key) for key in [*report] if "@" in key}
        assert report == f1_by_group(truth, guess, counts)
        assert list(figures) == ["P@1", "P@4", "nDCG@1", "nDCG@4", "PSP@1", "PSP@4"]
        assert figures["P@4"] == precision_at_k(truth, scores, k=4)
        assert figures["nDCG@4"] == ndcg_at_k(truth, scores, k=4)
        assert figures["PSP@4"] == psp_at_k(truth, scores, weights, k=4)
        json.dumps([report, figures])

    def test_text_shows_the_same_figures(self, predictions):
        truth, guess, counts = predictions()
        text = long_tail_report(truth, guess, counts, y_score=guess, k=(2,), digits=4)
        lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
        tail = f1_by_group(truth, guess, counts)["tail"]
        expected = [tail[key] for key in ("precision", "recall", "micro", "macro")]
        assert lines["tail"][:3] == ["4", "0-10", str(tail["support"])]
        assert lines["tail"][3:] == [f"{figure:.4f}" for figure in expected]
        assert lines["P"] == [f"{precision_at_k(truth, guess, k=2):.4f}"]
        assert "PSP" not in lines

    def test_columns_are_aligned(self, predictions):
        truth, guess, counts = predictions()
        groups = {"a group of a long name": [0], "none": np.zeros(12, bool)}
        text = long_tail_report(truth, guess, counts, groups=groups)
        table = [line for line in text.splitlines() if line]
        assert len({len(line) for line in table}) == 1
        assert table[-1].split() == ["none", "0", "0", "0", "-", "-", "-", "-"]

    def test_groups_and_documents_are_passed_on(self, predictions):
        truth, guess, counts = predictions()
        options = {"groups": {"rare": counts < 8}, "documents": "labelled"}
        report = long_tail_report(truth, guess, counts, output_dict=True, **options)
        assert report == f1_by_group(truth, guess, counts, **options)


class TestLabelReport:
    def test_equals_scikit_learn(self, predictions):
        truth, guess, counts = predictions()
        table = label_report(sparse.csr_matrix(truth), guess, counts, output_dict=True)
        assert table["label"].tolist() == list(range(12))  # the counts fall
        expected = precision_recall_fscore_support(truth, guess, zero_division=0)
        names = ("precision", "recall", "f1", "support")
        for name, values in zip(names, expected, strict=True):
            np.testing.assert_allclose(table[name], values)
        np.testing.assert_array_equal(table["predicted"], guess.sum(axis=0))
        np.testing.assert_array_equal(table["hits"], (truth & guess).sum(axis=0))
        np.testing.assert_array_equal(table["training"], counts)

    def test_frequent_labels_come_first_and_of_equal_ones_the_lower_column(self):
        y = np.eye(4, dtype=int)
        table = label_report(y, y, [3, 7, 3, 9], label_names=list("abcd"), output_dict=True)
        assert table["name"].tolist() == ["d", "b", "a", "c"]
        assert table["label"].tolist() == [3, 1, 0, 2]

    @pytest.mark.parametrize("labels", [[2, 0], np.array([True, False, True, False])])
    def test_some_labels(self, labels):
        y = np.eye(4, dtype=int)
        table = label_report(y, y, [3, 7, 5, 9], labels=labels, output_dict=True)
        assert table["name"].tolist() == ["2", "0"]
        assert {len(column) for column in table.values()} == {2}

    def test_text_shows_the_same_figures(self, predictions):
        truth, guess, counts = predictions()
        names = [f"label {j}" for j in range(12)]
        lines = label_report(truth, guess, counts, label_names=names, digits=2).splitlines()
        table = label_report(truth, guess, counts, label_names=names, output_dict=True)
        assert lines[0].split() == ["training", "support", "predicted", "precision", "recall", "f1"]
        assert lines[1] == "" and len(lines) == 14
        assert len({len(line) for line in lines if line}) == 1
        titles = ("training", "support", "predicted")
        for row, line in enumerate(lines[2:]):
            shown = [names[row], *(str(table[title][row]) for title in titles)]
            shown += [f"{table[title][row]:.2f}" for title in ("precision", "recall", "f1")]
            assert line.split() == " ".join(shown).split()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"label_names": ["a"]}, "label_names must be a sequence of 2 names"),
            ({"labels": [2]}, "labels must be a mask of 2 labels"),
            ({"label_counts": [1]}, "label_counts must be an array"),
            ({"y_pred": [[1], [0]]}, "y_pred must be a matrix of 2 columns"),
            ({"digits": -1}, "digits must be a whole number"),
        ],
    )
    def test_errors(self, changes, message):
        arguments = {"y_true": [[1, 0], [0, 1]], "y_pred": [[1, 0], [0, 1]], "label_counts": [9, 1]}
        with pytest.raises(ValueError, match=message):
            label_report(**(arguments | changes))


def loop_pairs(truth, guess):
    counts = {}
    for y, p in zip(truth, guess, strict=True):
        for a in range(len(y)):
            for b in range(len(y)):
                if y[a] and not p[a] and p[b] and not y[b]:
                    counts[a, b] = counts.get((a, b), 0) + 1
    return sorted(((*pair, n) for pair, n in counts.items()), key=lambda row: (-row[2], row[:2]))


class TestConfusedPairs:
    @given(st.data(), st.integers(1, 40))
    @settings(max_examples=60, deadline=None)
    def test_equals_loops(self, data, k):
        shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 6)))
        drawn = [data.draw(hnp.arrays(int, shape, elements=st.integers(0, 1))) for _ in range(2)]
        expected = loop_pairs(*drawn)[:k]
        assert [tuple(pair) for pair in confused_pairs(*drawn, k)] == expected
        found = confused_pairs(
            *map(sparse.csc_array, drawn), k, label_names=[*"abcdef"][: shape[1]]
        )
        assert [tuple(pair) for pair in found] == [
            ("abcdef"[a], "abcdef"[b], n) for a, b, n in expected
        ]

    def test_their_form(self):
        (pair,) = confused_pairs([[1, 0]], [[0, 1]])
        assert pair == Confusion(missed=0, predicted=1, n_documents=1)
        assert {type(value) for value in pair} == {int}

    def test_what_is_right_confuses_nothing(self):
        assert confused_pairs(np.eye(3), np.eye(3)) == []
        assert confused_pairs(np.eye(3), np.zeros((3, 3)), label_names=["a", "b", "c"]) == []

    def test_many_labels_are_never_dense(self):
        n_labels = 10**6
        y = sparse.csr_array(([1, 1], ([0, 1], [7, 9])), shape=(2, n_labels))
        p = sparse.csr_array(([1, 1], ([0, 1], [9, 7])), shape=(2, n_labels))
        assert [tuple(pair) for pair in confused_pairs(y, p)] == [(7, 9, 1), (9, 7, 1)]

    def test_errors(self):
        with pytest.raises(ValueError, match="k must be a positive integer. Got 0"):
            confused_pairs([[1, 0]], [[0, 1]], 0)
        with pytest.raises(ValueError, match="label_names must be a sequence of 2 names"):
            confused_pairs([[1, 0]], [[0, 1]], label_names=["a"])
        with pytest.raises(ValueError, match="y_pred must be a matrix of 2 columns"):
            confused_pairs([[1, 0]], [[0, 1, 1]])
