"""Label statistics against loops over documents, and the vectors of the papers' formulas."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from skmltc.labels import (
    LabelStatistics,
    LabelWarning,
    check_label_parents,
    inverse_propensities,
    label_groups,
    log_odds_against,
    parents_from_edges,
    split_head_tail,
)

COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=20)
UNHURRIED = settings(deadline=None)


def loop_shares(Y):
    """Return each assignment's inverse count over the sum of its document's."""
    counts = [sum(row[j] for row in Y) for j in range(len(Y[0]))]
    shares = []
    for row in Y:
        inverse = [1 / counts[j] for j, label in enumerate(row) if label]
        shares += [value / sum(inverse) for value in inverse]
    return shares


class TestLabelStatistics:
    @pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csc_matrix])
    def test_equals_the_loop(self, container):
        Y = (np.random.default_rng(0).random((40, 7)) < 0.3).astype(int)
        Y[5] = 0
        statistics = LabelStatistics.from_matrix(container(Y))
        shares = loop_shares(Y.tolist())
        np.testing.assert_array_equal(statistics.counts, Y.sum(axis=0))
        assert statistics.n_samples == 40
        assert statistics.mean_share == pytest.approx(np.mean(shares))
        assert statistics.median_share == pytest.approx(np.median(shares))

    def test_mean_share_is_documents_with_labels_over_assignments(self):
        Y = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]])
        assert LabelStatistics.from_matrix(Y).mean_share == pytest.approx(3 / 6)

    def test_single_label_data_has_shares_of_one(self):
        statistics = LabelStatistics.from_matrix(np.eye(4)[[0, 1, 1, 3]])
        assert (statistics.mean_share, statistics.median_share) == (1, 1)

    def test_no_labels_at_all_is_finite(self):
        statistics = LabelStatistics.from_matrix(sparse.csr_array((3, 2)))
        np.testing.assert_array_equal(statistics.counts, [0, 0])
        np.testing.assert_array_equal(statistics.inverse_counts, [1, 1])
        assert np.isfinite(statistics.log_odds_against).all()

    def test_a_document_of_weight_two_is_the_document_twice(self):
        rng = np.random.default_rng(0)
        Y, weights = (rng.random((40, 7)) < 0.3).astype(int), rng.integers(0, 4, 40)
        weighted = LabelStatistics.from_matrix(Y, weights)
        twice = LabelStatistics.from_matrix(np.repeat(Y, weights, axis=0))
        np.testing.assert_array_equal(weighted.counts, twice.counts)
        assert weighted.n_samples == twice.n_samples
        assert weighted.mean_share == pytest.approx(twice.mean_share)
        assert weighted.median_share == pytest.approx(twice.median_share)

    def test_inverse_counts(self):
        np.testing.assert_allclose(LabelStatistics([0, 1, 4], 9).inverse_counts, [1, 1, 0.25])


class TestRarity:
    def test_vector(self):
        expected = [0.0, 1.38629436, 2.94443898, 3.89182030]
        np.testing.assert_allclose(log_odds_against([50, 20, 5, 2], 100), expected, atol=1e-8)
        np.testing.assert_allclose(
            LabelStatistics([50, 20, 5, 2], 100).log_odds_against, expected, atol=1e-8
        )

    def test_no_document_counts_as_one_and_every_document_as_all_but_one(self):
        np.testing.assert_array_equal(log_odds_against([0, 10], 10), log_odds_against([1, 9], 10))

    @UNHURRIED
    @given(COUNTS, st.integers(0, 1000))
    def test_finite_and_falling_with_the_count(self, counts, n_samples):
        values = log_odds_against(sorted(counts), n_samples)
        assert np.isfinite(values).all()
        assert (np.diff(values) <= 0).all()


class TestSplitHeadTail:
    def test_min_head_count_includes_the_bound(self):
        head, tail = split_head_tail([90, 10, 14, 9], min_head_count=10)
        np.testing.assert_array_equal(head, [0, 1, 2])
        np.testing.assert_array_equal(tail, [3])

    def test_of_equally_rare_labels_the_last_columns_are_tail(self):
        head, tail = split_head_tail([3, 90, 3, 3], n_tail=2)
        np.testing.assert_array_equal(head, [0, 1])
        np.testing.assert_array_equal(tail, [2, 3])

    @UNHURRIED
    @given(COUNTS, st.data())
    def test_parts_are_a_partition_by_frequency(self, counts, data):
        n_tail = data.draw(st.integers(0, len(counts)))
        head, tail = split_head_tail(counts, n_tail=n_tail)
        counts = np.array(counts)
        assert len(tail) == n_tail
        np.testing.assert_array_equal(np.sort(np.r_[head, tail]), np.arange(len(counts)))
        if len(head) and len(tail):
            assert counts[head].min() >= counts[tail].max()

    @pytest.mark.parametrize("options", [{}, {"n_tail": 1, "min_head_count": 3}])
    def test_wants_exactly_one_rule(self, options):
        with pytest.raises(ValueError, match="Exactly one of n_tail and min_head_count"):
            split_head_tail([1, 2], **options)

    @pytest.mark.parametrize("n_tail", [-1, 3])
    def test_refuses_more_tail_than_labels(self, n_tail):
        with pytest.raises(ValueError, match=f"n_tail must be .* from 0 to 2. Got {n_tail}"):
            split_head_tail([1, 2], n_tail=n_tail)


class TestLabelGroups:
    def test_default_bounds(self):
        groups = label_groups([51, 50, 11, 10, 0])
        assert list(groups) == ["head", "medium", "tail"]
        np.testing.assert_array_equal(groups["head"], [True, False, False, False, False])
        np.testing.assert_array_equal(groups["medium"], [False, True, True, False, False])
        np.testing.assert_array_equal(groups["tail"], [False, False, False, True, True])

    def test_bounds_of_the_reuters_tables(self):
        groups = label_groups([35, 34, 9, 8], min_head_count=35, max_tail_count=8)
        np.testing.assert_array_equal(groups["medium"], [False, True, True, False])

    @UNHURRIED
    @given(COUNTS, st.integers(0, 500), st.integers(1, 500))
    def test_every_label_is_in_exactly_one(self, counts, max_tail_count, gap):
        groups = label_groups(
            counts, min_head_count=max_tail_count + gap, max_tail_count=max_tail_count
        )
        np.testing.assert_array_equal(sum(mask.astype(int) for mask in groups.values()), 1)

    def test_refuses_groups_that_overlap(self):
        with pytest.raises(ValueError, match="max_tail_count must be less than min_head_count, 5"):
            label_groups([1], min_head_count=5, max_tail_count=5)


class TestInversePropensities:
    def test_vector(self):
        expected = [1.31999301, 1.77042999, 2.80904075, 4.49290807, 6.90775528]
        np.testing.assert_allclose(
            inverse_propensities([500, 100, 20, 5, 1], 1000), expected, atol=1e-8
        )

    @pytest.mark.parametrize(("a", "b"), [(0.55, 1.5), (0.6, 2.6), (0.5, 0.4)])
    def test_equals_the_loop(self, a, b):
        counts, n_samples = [0, 1, 7, 300], 5000
        constant = (math.log(n_samples) - 1) * (b + 1) ** a
        expected = [1 + constant * math.exp(-a * math.log(n + b)) for n in counts]
        np.testing.assert_allclose(inverse_propensities(counts, n_samples, a=a, b=b), expected)

    @UNHURRIED
    @given(COUNTS, st.integers(0, 10**6))
    def test_at_least_one_and_falling_with_the_count(self, counts, n_samples):
        values = inverse_propensities(sorted(counts), max([n_samples, *counts]))
        assert (values >= 1).all()
        assert (np.diff(values) <= 0).all()


COUNTED = {
    "label_groups": label_groups,
    "inverse_propensities": lambda counts: inverse_propensities(counts, 100),
    "split_head_tail": lambda counts: split_head_tail(counts, n_tail=1),
    "log_odds_against": lambda counts: log_odds_against(counts, 100),
    "LabelStatistics": lambda counts: LabelStatistics(counts, 100),
}


@pytest.mark.parametrize("function", COUNTED.values(), ids=COUNTED)
class TestCounts:
    @pytest.mark.parametrize(
        "counts, got",
        [
            ([3, math.nan], "finite and not negative. Got nan"),
            ([3, -1], "finite and not negative. Got -1"),
            ([3, math.inf], "finite and not negative. Got inf"),
            (["a", "b"], r"an array of shape \(n_labels,\), .*. Got \['a', 'b'\]"),
            (None, r"an array of shape \(n_labels,\), .*. Got None"),
            (5, r"an array of shape \(n_labels,\), .*. Got shape \(\)"),
            ([[1, 2], [3, 4]], r"an array of shape \(n_labels,\), .*. Got shape \(2, 2\)"),
            (sparse.csr_array([[1, 0]]), r"an array of shape \(n_labels,\), .*. Got csr_array"),
        ],
    )
    def test_what_is_no_count_is_refused(self, function, counts, got):
        with pytest.raises(ValueError, match=f"counts must be {got} instead"):
            function(counts)

    def test_sums_of_a_matrix_are_counts(self, function):
        sums = sparse.csr_matrix([[1, 0, 1], [1, 0, 0]]).sum(axis=0)
        assert sums.shape == (1, 3)
        first, second = function(sums), function([2, 0, 1])
        if isinstance(first, LabelStatistics):
            first, second = first.log_odds_against, second.log_odds_against
        assert repr(first) == repr(second)


@pytest.mark.parametrize("function", [inverse_propensities, LabelStatistics])
@pytest.mark.parametrize("n_samples", [0, 2])
def test_no_label_has_more_documents_than_there_are(function, n_samples):
    with pytest.raises(ValueError, match=f"counts must be at most n_samples, {n_samples}. Got 3 i"):
        function([0, 3], n_samples)


@pytest.mark.parametrize("function", [inverse_propensities, LabelStatistics, log_odds_against])
@pytest.mark.parametrize("n_samples", [None, -1, math.nan, "4"])
def test_the_number_of_documents_is_a_number(function, n_samples):
    with pytest.raises(ValueError, match="n_samples must be a finite number, at least 0. Got"):
        function([1], n_samples)


@pytest.mark.parametrize("constants", [{"a": 0}, {"b": -1}, {"a": "x"}, {"b": math.nan}])
def test_constants_of_propensities_are_positive(constants):
    (name,) = constants
    with pytest.raises(ValueError, match=f"{name} must be a finite number, at least 1e-06. Got"):
        inverse_propensities([0, 3], 10, **constants)


@pytest.mark.parametrize("bounds", [{"max_tail_count": -1}, {"max_tail_count": "x"}])
def test_bounds_of_groups_are_numbers_from_0_up(bounds):
    with pytest.raises(ValueError, match="max_tail_count must be a finite number, at least 0. Got"):
        label_groups([1], **bounds)


@pytest.mark.parametrize("bounds", [{"n_tail": 1.0}, {"n_tail": True}, {"min_head_count": "x"}])
def test_bounds_of_a_split_are_numbers(bounds):
    (name,) = bounds
    with pytest.raises(ValueError, match=f"{name} must be a .* number, .* Got"):
        split_head_tail([1, 2], **bounds)


NAMES = list("abcdef")


def loop_parents(classes, edges):
    """Set of (child, parent) rows and the names of the rows after the classes."""
    names, pairs = list(classes), set()
    for child, parent in edges:
        if child in classes:
            if parent not in names:
                names.append(parent)
            pairs.add((names.index(child), names.index(parent)))
    return pairs, names[len(classes) :]


class TestParentsFromEdges:
    @UNHURRIED
    @given(
        st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES))),
    )
    @pytest.mark.filterwarnings("ignore::skmltc._validation.LabelWarning")
    def test_equals_the_loop(self, classes, edges):
        pairs, others = loop_parents(classes, edges)
        parents, other_parents = parents_from_edges(classes, iter(edges))
        assert other_parents == others
        assert parents.shape == (len(classes) + len(others),) * 2 and parents.dtype == np.float32
        assert set(zip(*map(list, parents.nonzero()), strict=True)) == pairs
        assert (parents.data == 1).all()

    def test_names_may_be_an_array_or_numbers(self):
        parents, others = parents_from_edges(np.array(["x", "y"]), [["x", "y"], ["y", "z"]])
        assert parents.toarray().tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]] and others == ["z"]
        parents, others = parents_from_edges(np.array([3, 5]), [(3, 5), (3, 8)])
        assert parents.toarray().tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0]] and others == [8]

    def test_no_edges_are_no_parents(self):
        parents, others = parents_from_edges(["x", "y"], [])
        assert parents.shape == (2, 2) and not parents.nnz and others == []

    def test_edges_of_nobody_are_warned_of(self):
        with pytest.warns(LabelWarning, match="Got 2 edges of others instead, '3' the first"):
            parents, others = parents_from_edges([3, 5], [("3", "5"), ("5", "8")])
        assert parents.shape == (2, 2) and not parents.nnz and others == []

    def test_repeated_classes_are_refused(self):
        with pytest.raises(ValueError, match="classes must be different names. Got 1 repeated"):
            parents_from_edges(["x", "x"], [])

    @pytest.mark.parametrize("classes", [None, "ab", 3, [["a"], ["b"]]])
    def test_refuses_what_are_no_names(self, classes):
        with pytest.raises(ValueError, match="classes must be a list of names, one per label. Got"):
            parents_from_edges(classes, [])

    @pytest.mark.parametrize("edges", [None, 3, [3], [None]])
    def test_refuses_what_are_no_edges(self, edges):
        with pytest.raises(ValueError, match=r"edges must be pairs \(child, parent\). Got"):
            parents_from_edges(["a"], edges)

    @pytest.mark.parametrize("edges", [{"ab": "cd"}, [("a", "b", "c")]])
    def test_edges_are_pairs(self, edges):
        with pytest.raises(ValueError, match=r"edges must be pairs .* Got .* instead. Of a dict"):
            parents_from_edges(["ab"], edges)

    def test_real_hierarchy(self, real_data):
        lines = (real_data / "tib-bk" / "hierarchy.tsv").read_text().splitlines()
        edges = [line.split("\t") for line in lines]
        main_classes = {parent for _, parent in edges}
        classes = [child for child, _ in edges if child not in main_classes]
        parents, others = parents_from_edges(classes, edges)
        assert set(others) == main_classes
        assert parents.sum(axis=1).tolist() == [1] * len(classes) + [0] * len(others)
        place = len(classes) + others.index("54")
        assert parents[classes.index("54.72")].nonzero()[-1].tolist() == [place]
        np.testing.assert_array_equal(
            check_label_parents(parents, len(classes)).toarray(), parents.toarray()
        )


class TestCheckLabelParents:
    def test_none_is_no_parents(self):
        parents = check_label_parents(None, 3)
        assert parents.shape == (3, 3) and not parents.nnz and parents.dtype == np.float32

    @pytest.mark.parametrize(
        "label_parents",
        [
            [3, -1, 3, -1],
            np.array([3, -1, 3, -1], dtype=np.int8),
            np.array([[0, 0, 0, 7], [0] * 4, [0, 0, 0, 1], [0] * 4]),
            sparse.coo_array(([1, 2, 0, 5], ([0, 0, 1, 2], [3, 3, 1, 3])), shape=(4, 4)),
            sparse.csc_matrix(np.array([[0, 0, 0, True], [0] * 4, [0, 0, 0, 1], [0] * 4])),
        ],
    )
    @pytest.mark.parametrize("n_labels", [2, 4])
    def test_every_form_gives_ones_at_child_and_parent(self, label_parents, n_labels):
        parents = check_label_parents(label_parents, n_labels)
        expected = [[0, 0, 0, 1], [0] * 4, [0, 0, 0, 1], [0] * 4]
        assert parents.toarray().tolist() == expected and parents.format == "csr"
        assert parents.dtype == np.float32

    def test_several_parents_are_no_cycle(self):
        graph = np.triu(np.ones((6, 6)), k=1)
        np.testing.assert_array_equal(check_label_parents(graph, 6).toarray(), graph)

    @pytest.mark.parametrize(
        "label_parents, message",
        [
            ([-1, 3, -1], "numbers from 0 to 2, or -1 .* Got 3 as the parent of label 1 instead"),
            ([-1, -1, -2], "Got -2 as the parent of label 2 instead. Parents that are no labels"),
            ([-1, 0], "of 3 rows at least, one per label. Got 2 instead. A label without a parent"),
            (np.zeros((2, 2)), "of 3 rows at least, one per label. Got 2 instead."),
            (np.zeros((3, 4)), r"a square matrix .* Got shape \(3, 4\) instead."),
            (np.zeros((3, 3, 3)), r"a square matrix .* Got shape \(3, 3, 3\) instead."),
            (["a", "b", "c"], "row numbers or -1. Got dtype <U1 instead. .*parents_from_edges"),
            ([0.5, 0, 0], "row numbers or -1. Got dtype float64 instead."),
            ([-1, 1, -1], "free of cycles. Got 1 -> 1 instead. Leave out"),
            ([2, -1, 0, 1], "free of cycles. Got 0 -> 2 -> 0 instead"),
            ([3, 0, 1, 2, 0], "free of cycles. Got 0 -> 3 -> 2 -> 1 -> 0 instead"),
        ],
    )
    def test_errors_say_what_is_wrong(self, label_parents, message):
        with pytest.raises(ValueError, match=f"^label_parents must be .*{message}"):
            check_label_parents(label_parents, 3)

    def test_a_cycle_among_labels_with_several_parents(self):
        graph = np.zeros((5, 5))
        graph[[0, 0, 1, 3, 3, 4], [1, 2, 2, 4, 2, 3]] = 1
        with pytest.raises(ValueError, match="Got 3 -> 4 -> 3 instead"):
            check_label_parents(graph, 5)
