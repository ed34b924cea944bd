"""The examples run, and the benchmark measures what it says; so do the README and the pages."""

import doctest
import importlib.util
import json
import re
import runpy
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

import skmltc
from skmltc import _network, datasets
from skmltc.decision import MultilabelThresholdClassifierCV
from skmltc.model_selection import multilabel_train_test_split

ROOT = Path(__file__).parents[1]
PAGES = [
    page
    for folder in (".", "guide", "estimators")
    for page in (ROOT / "docs" / folder).glob("*.rst")
]


@pytest.fixture(autouse=True)
def one_thread():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Some made-up texts as train.jsonl and test.jsonl; one test document has no known label."""
    corpus = datasets.make_long_tailed_corpus(n_samples=240, n_labels=10, random_state=0)
    folder = tmp_path_factory.mktemp("texts")
    names = np.array(corpus.target_names)
    texts_and_labels = multilabel_train_test_split(corpus.data, corpus.target, random_state=0)
    for i, part in enumerate(("train", "test")):
        texts, Y = texts_and_labels[i::2]
        records = [
            {"text": text, "labels": names[np.flatnonzero(row)].tolist()}
            for text, row in zip(texts, Y.toarray(), strict=True)
        ]
        if part == "test":
            records.append({"text": "nothing known", "labels": []})
        (folder / f"{part}.jsonl").write_text("\n".join(map(json.dumps, records)))
    return folder


def load_script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def features():
    module = load_script(ROOT / "examples" / "benchmarks" / "features.py")
    module.N_RESAMPLES = 20
    return module


@pytest.fixture(scope="module")
def task(features, folder):
    return features.load(folder, min_head_count=51, max_tail_count=10)


class TestQuickstart:
    @pytest.mark.parametrize("made_up", [True, False])
    def test_prints_a_table_and_draws_a_picture(
        self, made_up, folder, tmp_path, monkeypatch, capsys
    ):
        plt = pytest.importorskip("matplotlib.pyplot")
        picture = tmp_path / "picture.png"
        small = partial(datasets.make_long_tailed_corpus, n_samples=240, n_labels=10)
        monkeypatch.setattr(datasets, "make_long_tailed_corpus", small)
        options = [] if made_up else ["--data", str(folder)]
        monkeypatch.setattr(sys, "argv", ["quickstart", *options, "--output", str(picture)])
        runpy.run_path(str(ROOT / "examples" / "plot_1_quickstart.py"))
        plt.close("all")
        title, _, header, *rows = capsys.readouterr().out.splitlines()
        n_test = 60 if made_up else 61
        assert title == f"180 training and {n_test} test documents; scores in per cent"
        assert re.split("  +", header.strip()) == ["BalancedLossClassifier", "LinearSVC, balanced"]
        names = [re.split(r" \(|  +", row)[0] for row in rows[:12]]
        assert names == [
            *(
                f"{average}-F1, {group}"
                for average in ("micro", "macro")
                for group in ("total", "head", "medium", "tail")
            ),
            *("P@1", "P@5", "PSP@5", "seconds to fit"),
        ]
        numbers = np.array([row.split()[-2:] for row in rows[:12]], dtype=float)
        assert (numbers[:11] <= 100).all() and (numbers[0] > 30).all()
        assert picture.read_bytes().startswith(b"\x89PNG")


class TestGallery:
    """On a small corpus; the whole one is for the build of the documentation."""

    @pytest.fixture
    def run(self, monkeypatch):
        pytest.importorskip("pandas")
        plt = pytest.importorskip("matplotlib.pyplot")
        make, small = datasets.make_long_tailed_corpus, {"n_samples": 240, "n_labels": 10}
        monkeypatch.setattr(
            datasets, "make_long_tailed_corpus", lambda **options: make(**options | small)
        )
        yield lambda name: runpy.run_path(str(ROOT / "examples" / f"{name}.py"))
        plt.close("all")

    def test_own_texts_come_back_from_the_csv(self, run):
        made = run("plot_2_own_texts")
        corpus, names = made["corpus"], made["binarizer"].classes_
        columns = [corpus.target_names.index(name) for name in names]
        assert made["texts"] == corpus.data
        assert not (made["y"] != corpus.target[:, columns]).nnz
        assert not made["path"].exists()

    def test_the_search_ranks_its_table_by_the_deciding_score(self, run):
        made = run("plot_3_search_losses")
        search, table = made["search"], made["table"]
        best = table.loc[search.best_index_]
        assert best["PSP@5"].startswith(f"{100 * search.best_score_:.1f} ")
        assert best["loss"] is search.best_params_["classify__loss"]
        assert len(table) == 5 and (table["loss__kappa"] != "").sum() == 2

    def test_thresholds_find_more_of_the_rare_labels(self, run):
        rows = run("plot_4_thresholds")["rows"]
        own = rows.pop("own cut")
        assert len(rows) == 5
        assert all(row["macro-F1"] > own["macro-F1"] for row in rows.values())

    def test_the_loop_learns_with_each_loss(self, run):
        rows = run("plot_5_torch_loop")["rows"]
        assert len(rows) == 3 and all(row["PSP@5"] > 0.8 for row in rows.values())


class TestPages:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
    def test_code_prints_what_the_page_says(self, page):
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert not doctest.testfile(str(page), module_relative=False, optionflags=flags).failed

    @pytest.fixture
    def tables(self):
        return load_script(ROOT / "docs" / "tables.py")

    def test_tables_are_the_means_of_the_rows(self, tables, tmp_path):
        tables.write(tables.RESULTS, tmp_path)
        rows = tables.read(tables.RESULTS / "reuters.jsonl")
        scores = [row["scores"] for row in rows if row["rule"] == "defaults"]
        micro, macro = (
            100 * np.mean([row[f"total {f1}"] for row in scores]) for f1 in ("micro", "macro")
        )
        (line,) = re.findall(".*defaults.*", (tmp_path / "reuters_all.inc").read_text())
        assert line.split(",")[2:4] == [f'"{len(scores)}"', f'"{micro:.1f}/{macro:.1f}"']
        (line,) = re.findall(".*defaults.*", (tmp_path / "reuters_summary.inc").read_text())
        assert line.split(",")[2].startswith(f'"{micro:.1f}')

    def test_our_losses_stand_below_those_of_the_paper(self, tables, tmp_path):
        names = [f"{group} {f1}" for group in tables.GROUPS for f1 in ("micro", "macro")]
        row = {"encoder": "cnn", "loss": "focal", "scores": dict.fromkeys(names, 0.5)}
        (tmp_path / "tokens_reuters.jsonl").write_text(json.dumps(row | {"seed": 0}) + "\n")
        for folder, n_ours in ((tmp_path, 1), (tmp_path / "nothing", 0)):
            tables.write(folder, tmp_path / "tables")
            lines = (tmp_path / "tables" / "losses.inc").read_text().splitlines()
            ours = [i for i, line in enumerate(lines) if "TextCNN, ours" in line]
            assert len(ours) == n_ours and len(lines) == 5 + len(tables.PUBLISHED) + n_ours
        tables.write(tmp_path, tmp_path / "tables")
        lines = (tmp_path / "tables" / "losses.inc").read_text().splitlines()
        place = next(i for i, line in enumerate(lines) if "TextCNN, ours" in line)
        assert '"focal","BERT, paper","89.97/56.83"' in lines[place - 1]
        assert lines[place].endswith('"50.0/50.0"' + ',"50.0/50.0"' * 3)


class TestFeaturesBenchmark:
    def test_drops_documents_without_labels(self, task):
        assert task.Y_test.shape == (60, 10) and task.X_test.shape[0] == 60
        assert task.X_train.dtype == np.float32

    def test_folds_are_those_of_our_classifier(self, features, task, monkeypatch):
        drawn = []

        def spy(*args):
            drawn.append(assign_folds(*args))
            return drawn[-1]

        assign_folds = _network.assign_folds
        monkeypatch.setattr(_network, "assign_folds", spy)
        skmltc.BalancedLossClassifier(random_state=3).fit(task.X_train, task.Y_train)
        (folds,) = drawn
        for k, (train, test) in enumerate(features.folds_of(task.Y_train, seed=3)):
            np.testing.assert_array_equal(test, np.flatnonzero(folds == k))
            np.testing.assert_array_equal(train, np.flatnonzero(folds != k))

    def test_thresholds_are_those_of_the_public_class(self, features, task, monkeypatch):
        used = {}

        def keep(task, variant, model, threshold, seconds):
            used[variant] = threshold

        monkeypatch.setattr(features, "measure", keep)
        list(features.measure_svc(task, 0, "LinearSVC balanced", features.SVC_RULES))
        for rule in features.THRESHOLD_RULES:
            model = MultilabelThresholdClassifierCV(
                OneVsRestClassifier(LinearSVC(class_weight="balanced", random_state=0)),
                threshold=rule,
                cv=features.folds_of(task.Y_train, 0),
            ).fit(task.X_train, task.Y_train)
            np.testing.assert_array_equal(used["LinearSVC balanced", rule], model.threshold_)
        assert not used["LinearSVC balanced", "own"].any()

    def test_a_resample_of_every_document_once_has_the_scores_themselves(self, features, task):
        task = features.Task(**{**vars(task), "draws": np.ones((1, 60), dtype=int)})
        row = next(features.measure_svc(task, 0, "LinearSVC", ["per_label"]))
        for name in features.COMPARED:
            np.testing.assert_allclose(row["resampled"][name], row["scores"][name])

    def test_the_mean_over_labels_leaves_out_those_not_drawn(self, features):
        f1 = np.array([[0.5, 0.0, 0.3, 0.0], [0.5, 0.0, 0.0, 0.0]])
        support = np.array([[2, 1, 3, 0], [4, 2, 0, 0]])
        everything = np.ones(4, dtype=bool)
        macro = features.macro(f1, support, np.array([3, 2, 1, 0]), everything)
        np.testing.assert_allclose(macro, [0.8 / 3 * 0.75, 0.5 / 2 * 0.75])
        none = features.macro(f1, support, np.array([3, 2, 1, 0]), ~everything)
        np.testing.assert_array_equal(none, [0, 0])

    def test_prints_keeps_and_continues(self, features, folder, tmp_path, capsys, monkeypatch):
        arguments = ["--data", str(folder), "--seeds", "0", "1", "--output", str(tmp_path / "rows")]
        features.main(arguments)
        printed = capsys.readouterr().out
        lines = (tmp_path / "rows").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert len(rows) == 2 * 13 and [row["seed"] for row in rows] == [0] * 13 + [1] * 13
        assert (rows[0]["method"], rows[0]["rule"]) == ("BalancedLossClassifier", "defaults")
        assert rows[0]["dataset"] == folder.name and str(folder.parent) not in lines[0]
        assert {"python", "numpy", "scipy", "sklearn", "torch", "skmltc", "cpu"} <= set(rows[0])
        mean = np.mean([100 * rows[i]["scores"]["total micro"] for i in (0, 13)])
        assert f"{'BalancedLossClassifier: defaults':<35}{mean:>8.2f}" in printed
        difference = mean - 100 * np.mean([rows[i]["scores"]["total micro"] for i in (1, 14)])
        line = next(line for line in printed.splitlines() if f"{difference:+.2f} (" in line)
        assert line.startswith("LinearSVC: own")

        (tmp_path / "rows").write_text("\n".join(lines[:-1]) + "\n")
        features.main(arguments)
        continued = capsys.readouterr().out
        assert [line for line in continued.splitlines() if line.startswith("seed")] == [
            line for line in printed.splitlines() if line.startswith("seed")
        ][-1:]
        monkeypatch.setattr(features, "measure", None)
        features.main(arguments)
        assert not capsys.readouterr().out.startswith("seed")
        assert len((tmp_path / "rows").read_text().splitlines()) == 26


class TestNetworkBenchmarks:
    @pytest.fixture
    def run(self, monkeypatch, folder, tmp_path):
        """Run a script on the made-up texts; a function from its name and options to its rows."""
        monkeypatch.syspath_prepend(ROOT / "examples" / "benchmarks")

        def run(name, *options):
            script = load_script(ROOT / "examples" / "benchmarks" / f"{name}.py")
            path = tmp_path / f"{name}.jsonl"
            script.main(["--data", str(folder), "--output", str(path), *options])
            return list(map(json.loads, path.read_text().splitlines()))

        return run

    @pytest.mark.parametrize(
        ("name", "one", "others"),
        [
            ("hybrid_siamese", ["--variants", "Our"], ["--variants", "Sing.", "Our"]),
            ("head_to_tail", ["--rows", "EH-A"], ["--rows", "H-F-A", "EH-A"]),
        ],
    )
    def test_rows_that_share_a_network_are_those_of_their_own(
        self, run, tmp_path, name, one, others
    ):
        options = ["--seeds", "0"]
        options += ["--n-phi", "30", "--losses", "bce"] if "siamese" in name else ["--n-tail", "4"]
        alone = run(name, *options, *one)
        (tmp_path / f"{name}.jsonl").unlink()
        shared = run(name, *options, *others)[-len(alone) :]
        for row, same in zip(alone, shared, strict=True):
            assert _without_seconds(row) == _without_seconds(same)
        assert run(name, *options, *others)[-len(alone) :] == shared, "measured again"

    def test_members_and_sweep(self, run):
        rows = run("head_to_tail", "--n-tail", "4", "--seeds", "0", "--rows", "EH-F", "S=5")
        assert [row["row"] for row in rows] == ["EH-F", "S=5"]
        assert len(rows[0]["members"]) == 30 and "members" not in rows[1]
        members = [member["tail AP"] for member in rows[0]["members"]]
        assert min(members) < max(members) and 0 < rows[0]["scores"]["tail AP"] <= 1


def _without_seconds(row):
    """A row and its scores, without times."""
    flat = {**row, **row["scores"]}
    return {name: value for name, value in flat.items() if not name.endswith((" s", "scores"))}


def test_the_example_of_the_readme_prints_what_it_says(capsys):
    (code,) = re.findall("```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(code, {})
    promised = [line[2:] for line in code.splitlines() if line.startswith("# ")]
    assert promised and capsys.readouterr().out.splitlines() == promised
