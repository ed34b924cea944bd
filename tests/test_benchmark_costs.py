"""Rows of costs, other libraries and approximate neighbours, and what the page makes of them."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.datasets import load_svmlight_file
from sklearn.feature_extraction.text import TfidfVectorizer

from skmltc import LongTailClassifier, datasets
from skmltc.metrics import precision_at_k
from skmltc.neighbors import CosineNeighbors, MultilabelKNeighborsClassifier

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "benchmarks"
PARTS = ("", "linear ", "neighbors ")
MODULES = ("approximate", "cost_tables", "rivals", "run")


@pytest.fixture
def here(monkeypatch):
    """The scripts and the parts of the runner."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.syspath_prepend(ROOT / "docs")
    from bench import costs, data, memory, rows

    parts = {"costs": costs, "data": data, "memory": memory, "rows": rows}
    found = {name: __import__(name) for name in MODULES}
    yield SimpleNamespace(**parts, **found)
    for name in MODULES:
        sys.modules.pop(name)


@pytest.fixture(scope="module")
def corpus():
    made = datasets.make_long_tailed_corpus(n_samples=160, n_labels=8, random_state=0)
    X = TfidfVectorizer(dtype=np.float32).fit_transform(made.data)
    return sparse.csr_array(X), made.target


@pytest.fixture
def task(here, corpus):
    X, Y = corpus
    return here.data.Task(X[:120], Y[:120], X[120:], Y[120:], "hash")


class TestSizes:
    def test_smaller_tasks_are_parts_of_larger_ones(self, here, task):
        small, large = (here.costs.of_size(task, n, 8, "most frequent") for n in (30, 60))
        whole = {row.tobytes() for row in large.X_train.toarray()}
        assert small.X_train.shape[0] == 30
        assert all(row.tobytes() in whole for row in small.X_train.toarray())
        assert small.X_test is task.X_test and small.X_train.shape[1] == task.X_train.shape[1]

    @pytest.mark.parametrize("chosen", ["most frequent", "evenly spaced"])
    def test_labels_are_the_first_or_spaced_by_frequency(self, chosen, here, task):
        order = sorted(range(8), key=lambda label: -task.label_counts[label])
        expected = order[:3] if chosen == "most frequent" else [order[0], order[4], order[7]]
        found = here.costs.of_size(task, 120, 3, chosen)
        np.testing.assert_array_equal(
            found.Y_test.toarray(), task.Y_test[:, sorted(expected)].toarray()
        )
        assert here.costs.of_size(task, 120, 99, chosen).Y_train.shape == (120, 8)


class TestCosts:
    def test_parts_are_counted_and_the_methods_put_back(self, here, corpus):
        X, Y = corpus
        before = CosineNeighbors.kneighbors
        with here.costs.seconds_of_parts() as seconds:
            MultilabelKNeighborsClassifier(n_neighbors=5).fit(X, Y).predict(X)
            assert seconds["neighbors"] > 0 == seconds["linear"]
        assert CosineNeighbors.kneighbors is before
        with pytest.raises(ValueError), here.costs.seconds_of_parts() as seconds:
            CosineNeighbors(n_neighbors=0).fit(X)
        assert CosineNeighbors.kneighbors is before

    def test_a_row_has_every_part_and_the_sizes(self, here, task):
        predicted, costs = here.costs.costs_of(task, LongTailClassifier(random_state=0))
        assert predicted.shape == task.Y_test.shape
        assert costs["nonzeros of X"] == task.X_train.nnz and costs["model MB"] > 0
        parts = costs["fit linear CPU s"] + costs["fit neighbors CPU s"]
        assert 0 < parts < costs["fit CPU s"] and costs["predict neighbors CPU s"] > 0
        json.dumps(costs)

    @pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="of Linux")
    def test_the_peak_is_that_since_it_was_forgotten(self, here):
        def used(n):
            here.memory.forget_peak()
            before = here.memory.peak()
            np.ones(n, dtype=np.uint8)
            return here.memory.peak() - before

        assert used(80_000_000) > 75 and used(0) < 20

    def test_rows_of_costs_have_a_process_each(self, here, monkeypatch):
        asked = []

        class Pool:
            def __init__(self, n):
                asked.append(n)

            def __enter__(self):
                return self

            def __exit__(self, *args):
                asked.append("ended")

            def submit(self, function, table, task, *further):
                return SimpleNamespace(result=lambda: f"{task[0].name}, alone")

        monkeypatch.setattr(here.run, "_processes", Pool)
        monkeypatch.setattr(here.run, "attempt", lambda table, task, *further: task[0].name)
        rows = [here.rows.Row(name, "texts", "tfidf", "") for name in "ab"]
        sized = [here.rows.Row(name, "texts", "tfidf", "", sizes={"labels": 1}) for name in "cd"]
        tasks = [(row, 0) for row in (*rows, *sized)]
        options = here.run.parser().parse_args(["scaling"])
        results = [result for _, result in here.run.measured("some", tasks, options)]
        assert results == ["c, alone", "d, alone", "a", "b"]
        assert asked == [1, "ended", 1, "ended"]


def made_row(name, documents, labels, seconds, **more):
    """A row of costs."""
    row = {"name": name, "dataset": "tib-gnd", "stale": False, "documents": [documents, 10]}
    row |= {"variant": {"documents": documents, "labels": labels}, "features": 50_000}
    row |= {f"fit {part}CPU s": s for part, s in zip(PARTS, seconds, strict=True)}
    row |= {"predict CPU s": 0.4, "predict neighbors CPU s": 0.1, "model MB": 20.0}
    row |= {"nonzeros of X": 70 * documents, "nonzeros of Y": 5 * documents}
    return row | {"before MB": 400.0, "fit MB": 500.0} | more


class TestGrowth:
    @pytest.mark.parametrize("power", [0.7, 2.0])
    def test_an_exponent_is_that_of_the_power(self, power, here):
        sizes = np.array([10, 20, 40, 80])
        assert here.cost_tables.exponent(sizes, 3 * sizes**power) == pytest.approx(power)

    def test_a_series_ends_with_its_exponents(self, here):
        seconds = [(10 + n**2, n, n**2) for n in (1.0, 2.0)]
        rows = [
            made_row("documents", int(100 * n), 9, s) for n, s in zip((1, 2), seconds, strict=True)
        ]
        _, heading, lines = here.cost_tables.growth(
            [*rows[::-1], made_row("labels", 7, 3, (3, 2, 1))]
        )
        assert [line[:3] for line in lines] == [
            ["documents, tib-gnd", "100", "9"],
            ["documents, tib-gnd", "200", "9"],
            ["documents, tib-gnd", "exponent", ""],
            ["labels, tib-gnd", "7", "3"],
            ["labels, tib-gnd", "exponent", ""],
        ]
        found = dict(zip(heading, lines[2], strict=True))
        assert found["of it neighbours"] == "2.00" and found["of it linear"] == "1.00"
        assert found["fit CPU s"] == f"{np.log2(14 / 11):.2f}"
        assert float(found["all but these"]) == float(found["of it the fit"]) == 0
        assert dict(zip(heading, lines[0], strict=True))["predict, ms/doc"] == "40.0"

    def test_what_was_not_measured_is_left_empty(self, here):
        row = made_row("labels", 7, 3, (3, 2, 1), **{"fit MB": None})
        (_, heading, (line, _)) = here.cost_tables.growth([row])
        assert dict(zip(heading, line, strict=True))["peak MB"] == "-"

    def test_constants_are_those_that_made_the_seconds(self, here):
        tables, rows = here.cost_tables, []
        for documents, labels in ((2000, 2000), (20_000, 2000), (20_000, 9000)):
            work = tables.work_of(tables._size_of(made_row("x", documents, labels, (0, 0, 0))))
            linear, near = 1e-7 * work["row"] + 2e-9 * work["product"], 3e-10 * work["pair"]
            rows.append(made_row("x", documents, labels, (linear + near, linear, near)))
        dense = made_row("x", 20_000, 900, (5000, 4000, 1000), **{"model MB": 181.0})
        found = tables.constants([*rows, dense])
        assert found == pytest.approx({"row": 1e-7, "product": 2e-9, "pair": 3e-10}, rel=1e-4)
        lines = tables.on_paper(rows)[2]
        assert [line[0] for line in lines] == [
            *("tib-gnd, measured", "tib-gnd, by the formula", "Amazon-670K, on paper")
        ]
        assert lines[0][5:7] == lines[1][5:7]

    @pytest.mark.parametrize("labels, n_solved, n_pairs", [(300, 4, 2 / 3), (6000, 2, 5 / 36)])
    def test_work_is_that_of_the_folds(self, labels, n_solved, n_pairs, here):
        size = {"documents": 9000, "labels": labels, "words": 10, "of": 2}
        work = here.cost_tables.work_of(size)
        solutions = n_solved * labels + 3 * (n_solved - 1) * 250
        assert work["row"] == pytest.approx(10 * (400 + 60 * 9000 / labels) * solutions)
        assert work["pair"] == pytest.approx(10 * n_pairs * 9000**2)

    def test_the_promises_of_the_page_hold_in_the_kept_rows(self, here):
        rows = [
            row | {"stale": False} for row in here.rows.read(here.rows.RESULTS / "scaling.jsonl")
        ]
        found = here.cost_tables.series(rows)
        assert {name for name, _ in found} == {"documents", "labels"}
        for (name, _), some in found.items():
            promised = here.cost_tables.PROMISED[name]
            assert here.cost_tables.exponents(some)["all but these"] <= promised


class TestRivals:
    def test_what_is_exported_is_what_is_read(self, here, task, tmp_path):
        empty = sparse.csr_array((1, task.X_train.shape[1]), dtype=np.float32)
        X = sparse.vstack([task.X_train, empty], format="csr")
        Y = sparse.vstack([task.Y_train, task.Y_train[:1]], format="csr")
        whole = here.data.Task(X, Y, task.X_test, task.Y_test, "hash")
        here.rivals.export(whole, tmp_path)
        sizes, _, lines = (tmp_path / "train.txt").read_text().partition("\n")
        assert sizes.split() == ["120", str(X.shape[1]), "8"]
        (tmp_path / "back.txt").write_text(lines)
        back, labels = load_svmlight_file(
            str(tmp_path / "back.txt"), n_features=X.shape[1], multilabel=True, zero_based=True
        )
        np.testing.assert_allclose(back.toarray(), task.X_train.toarray(), rtol=1e-6)
        expected = [tuple(np.flatnonzero(row)) for row in task.Y_train.toarray()]
        assert [tuple(map(int, row)) for row in labels] == expected

    def test_ours_is_asked_as_the_others_are(self, here, task, tmp_path):
        here.rivals.export(task, tmp_path)
        here.rivals.run_rival("skmltc", tmp_path)
        top = sparse.csr_array(sparse.load_npz(tmp_path / "skmltc_top.npz"))
        model = LongTailClassifier(random_state=0).fit(task.X_train, task.Y_train)
        expected = model.predict_topk(task.X_test, k=20)
        np.testing.assert_allclose(top.toarray(), expected.toarray(), rtol=1e-4)
        scores = here.rivals.rankings(task, top)
        assert scores["P@3"] == precision_at_k(task.Y_test, expected, k=3)
        costs = json.loads((tmp_path / "skmltc.json").read_text())
        assert costs["model MB"] > 0 and costs["fit CPU s"] > 0

    def test_lists_of_pairs_become_a_matrix(self, here):
        found = here.rivals._matrix([[(2, 0.5)], [], [(0, 0.25), (1, 1.0)]], 3)
        np.testing.assert_array_equal(found.toarray(), [[0, 0, 0.5], [0, 0, 0], [0.25, 1, 0]])
        assert here.rivals._pairs(sparse.csr_array(found), 2) == [(0, 0.25), (1, 1.0)]

    def test_one_that_fails_says_so_and_the_others_go_on(self, here, task, tmp_path, capsys):
        here.rivals.export(task, tmp_path)
        row = here.rivals.measure("omikuji", sys.executable, "texts", task, tmp_path)
        assert row is None
        assert "omikuji on texts: " in capsys.readouterr().out

    def test_rows_are_stale_when_the_script_or_our_package_changed(self, here, monkeypatch):
        ours, other = (
            here.rivals.key(name, "texts") | here.rivals.marks(name) for name in ("skmltc", "pecos")
        )
        assert not here.rivals.is_stale(ours) and not here.rivals.is_stale(other)
        assert here.rivals.is_stale(ours | {"code": "x"})
        assert here.rivals.is_stale(other | {"declared": "x"}) and "code" not in other


class Backwards(BaseEstimator):
    """Finds the farthest in place of the last half of the nearest."""

    def fit(self, X, y=None):
        self.exact_ = CosineNeighbors().fit(X)
        return self

    def kneighbors(self, X, n_neighbors):
        n = self.exact_.n_samples_fit_
        distances, indices = self.exact_.kneighbors(X, n)
        chosen = [*range(n_neighbors // 2), *range(n - n_neighbors // 2, n)]
        return distances[:, chosen], indices[:, chosen]


class TestApproximate:
    def test_recall_is_the_share_of_the_exact_neighbours(self, here, task, monkeypatch):
        assert here.approximate.recall([[1, 2], [3, 9]], [[2, 1], [3, 4]]) == 0.75
        monkeypatch.setitem(here.approximate.INDICES, "half", (Backwards, ("sparse",)))
        measured = dict(here.approximate.measure(task, "sparse", ["half"]))
        assert measured["exact"]["scores"]["recall"] == 1
        assert measured["half"]["scores"]["recall"] == 0.5
        assert measured["half"]["fit CPU s"] > 0

    def test_an_index_takes_the_place_of_the_exact_search(self, here, corpus):
        pytest.importorskip("pynndescent")
        X, Y = corpus
        near = here.approximate.NNDescentNeighbors()
        model = MultilabelKNeighborsClassifier(n_neighbors=10, neighbors=near).fit(X, Y)
        exact = MultilabelKNeighborsClassifier(n_neighbors=10).fit(X, Y)
        same = model.predict_topk(X, k=1).indices == exact.predict_topk(X, k=1).indices
        assert same.mean() > 0.9

    def test_the_table_has_what_a_lookup_of_every_document_takes(self, here):
        exact, other = (
            here.approximate.key(name, "texts", 2000, "sparse") | {"stale": name == "exact"}
            for name in ("exact", "other")
        )
        exact |= {"fit CPU s": 1.0, "query CPU s": 0.002, "scores": {"recall": 1.0}}
        other |= {"fit CPU s": 6.0, "query CPU s": 0.001, "scores": {"recall": 0.25}}
        _, heading, lines = here.cost_tables.approximate([exact, other])
        first, second = (dict(zip(heading, line, strict=True)) for line in lines)
        assert first["every document once, CPU s"] == "5.0" and first["Index"] == "exact †"
        assert second["recall of 50"] == "25.0" and second["ms per query"] == "1.0"
        n = int(second["level at, documents"].replace(",", ""))
        assert first["level at, documents"] == "" and n == 4000
        assert n * 0.002 * n / 2000 == 6.0 * n / 2000 + n * 0.001
