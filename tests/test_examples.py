"""The examples run, and the benchmark measures what it says; so do the README and the pages."""

import doctest
import importlib
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
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

import skmltc
from skmltc import BalancedLossClassifier, datasets
from skmltc.decision import MultilabelThresholdClassifierCV
from skmltc.encoders import BiLSTMAttention, TextCNN
from skmltc.metrics import f1_by_group
from skmltc.model_selection import assign_folds, multilabel_train_test_split

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

    def test_the_reference_lists_what_is_public(self):
        text = (ROOT / "docs" / "api.rst").read_text()
        title, *sections = text.split(".. automodule:: ")
        listed = {"skmltc": re.findall(r"^   skmltc\.(\w+)$", title, re.MULTILINE)}
        for section in sections:
            name, _, section = section.partition("\n")
            listed[name] = re.findall(r"^   ([A-Za-z]\w+)$", section, re.MULTILINE)
            listed[name] += re.findall(
                r"^\.\. (?:py:data|autoexception):: (\w+)", section, re.MULTILINE
            )
        assert len(listed) == 11
        for name, names in listed.items():
            module = importlib.import_module(name)
            public = getattr(module, "__all__", names)
            assert sorted(names) == sorted(set(public) - {"__version__"}), name
            assert all(hasattr(module, one) and not one.startswith("_") for one in names)

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


def folds_of(task, seed):
    """Three folds of the training documents, by public functions alone."""
    folds = assign_folds(task.Y_train, 3, random_state=seed)
    return [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(3)]


class TestFeaturesBenchmark:
    def test_drops_documents_without_labels(self, task):
        assert task.Y_test.shape == (60, 10) and task.X_test.shape[0] == 60
        assert task.X_train.dtype == np.float32

    @pytest.mark.parametrize("same", [True, False])
    def test_folds_are_those_of_our_classifier(self, task, same):
        settings = {"loss": "bce", "weight_decay": 0.03, "threshold": "per_label"}
        model = BalancedLossClassifier(**settings, random_state=3)
        folds = folds_of(task, 3 if same else 4)
        wrapped = MultilabelThresholdClassifierCV(model, threshold="per_label", cv=folds)
        wrapped.fit(task.X_train, task.Y_train)
        model.set_params(calibrate=False).fit(task.X_train, task.Y_train)
        assert np.array_equal(model.threshold_, wrapped.threshold_) == same

    def test_cut_offs_are_those_of_the_public_class_on_these_folds(
        self, features, task, monkeypatch
    ):
        used = {}

        def keep(task, variant, model, decision, seconds):
            used[variant] = decision.thresholds

        monkeypatch.setattr(features, "measure", keep)
        list(features.measure_svc(task, 3, "LinearSVC balanced", features.SVC_RULES))
        rules = ("frequency", "tuned", "tuned_low", "per_group", "per_label")
        assert [rule for _, rule in used] == ["own", *rules]
        for rule in rules:
            model = MultilabelThresholdClassifierCV(
                OneVsRestClassifier(LinearSVC(class_weight="balanced", random_state=3)),
                threshold=rule,
                cv=folds_of(task, 3),
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


class TestAccuracyBenchmark:
    @pytest.fixture
    def accuracy(self):
        return load_script(ROOT / "examples" / "benchmarks" / "accuracy.py")

    def row(self, seed, micro, macro=0.5, tail=0.25, **changes):
        settings = {"dataset": "reuters", "kind": "tokens", "estimator": "A", "seed": seed}
        return {**settings, "micro": micro, "macro": macro, "tail": tail, **changes}

    def test_compares_the_seeds_that_both_commits_have(self, accuracy, tmp_path, capsys):
        before = [self.row(0, 0.5), self.row(1, 0.6), self.row(2, 0.1), self.row(0, 0.7, kind="x")]
        after = [self.row(1, 0.7), self.row(0, 0.5, macro=0.25), self.row(3, 0.9)]
        after += [self.row(0, 0.7, estimator="B"), self.row(9, 0.7, kind="x")]
        paths = [tmp_path / "before.jsonl", tmp_path / "after.jsonl"]
        for path, rows in zip(paths, (before, after), strict=True):
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        accuracy.main(["--compare", *map(str, paths)])
        header, *lines = capsys.readouterr().out.splitlines()
        assert header.split() == ["seeds", "micro", "macro", "tail"]
        assert [re.split("  +", line) for line in lines] == [
            [
                *("reuters tokens A", "2", "55.00 -> 60.00 (+5.00)"),
                *("50.00 -> 37.50 (-12.50)", "25.00 -> 25.00 (+0.00)"),
            ]
        ]

    def test_measures_what_is_not_in_the_file(self, accuracy, folder, tmp_path, monkeypatch):
        monkeypatch.setattr(accuracy, "FEATURES", {folder.name: 2})
        known, path = self.row(0, 0.5, dataset=folder.name, kind="features"), tmp_path / "rows"
        known["estimator"] = "BalancedLossClassifier"
        path.write_text(json.dumps(known) + "\n")
        options = ["--data", str(folder.parent), "--tasks", folder.name, "--output", str(path)]
        for _ in range(2):  # the second time nothing is left to measure
            accuracy.main(options)
            first, row = map(json.loads, path.read_text().splitlines())
            assert first == known
            assert accuracy.key_of(row) == (folder.name, "features", "BalancedLossClassifier", 1)
        X_train, Y_train, X_test, Y_test = accuracy.load(folder, "features")
        assert X_test.shape[0] == 60
        model = BalancedLossClassifier(random_state=1).fit(X_train, Y_train)
        f1 = f1_by_group(Y_test, model.predict(X_test), Y_train.sum(axis=0))
        assert [row[name] for name in ("micro", "macro", "tail")] == [
            *(f1["total"]["micro"], f1["total"]["macro"], f1["tail"]["macro"])
        ]

    def test_knows_every_estimator_on_tokens(self, accuracy):
        wanted = [*accuracy.settings(["tokens"])]
        assert {setting[:2] for setting in wanted} == {("reuters", "tokens")}
        estimators = set(skmltc.__all__) - {"__version__"}
        assert sorted(wanted) == sorted(
            ("reuters", "tokens", estimator, seed) for estimator in estimators for seed in range(3)
        )


@pytest.fixture
def beside_features(monkeypatch):
    """The scripts import one another."""
    monkeypatch.syspath_prepend(ROOT / "examples" / "benchmarks")


class TestTokensBenchmark:
    @pytest.fixture
    def tokens(self, beside_features):
        return load_script(ROOT / "examples" / "benchmarks" / "tokens.py")

    def test_losses_are_cut_as_the_paper_does_and_auto_has_all_defaults(self, tokens):
        first = {"random_state": 7}
        for loss, settings in (("focal", {"loss": "focal", "threshold": "tuned"}), ("auto", {})):
            reader, model = (step for _, step in tokens.make_model("cnn", loss, 7, 32).steps)
            assert reader.max_length == 32
            assert repr(model) == repr(BalancedLossClassifier(encoder="cnn", **settings, **first))
        vote = tokens.make_model("vote", "auto", 7, 32)
        members = [repr(member[-1]) for _, member in vote.estimators]
        assert members == [
            repr(BalancedLossClassifier(**first)),
            repr(BalancedLossClassifier(encoder="bilstm", **first)),
        ]

    def test_keeps_and_continues(self, tokens, folder, tmp_path, capsys, monkeypatch):
        made = []

        def make_model(*variant):
            made.append(variant)
            model = BalancedLossClassifier(weight_decay=0.03, threshold=0.5, random_state=0)
            return make_pipeline(TfidfVectorizer(), model)

        monkeypatch.setattr(tokens, "make_model", make_model)
        options = ["--data", str(folder), "--output", str(tmp_path / "rows"), "--max-length", "9"]
        options += ["--encoders", "cnn", "--seeds", "0", "1", "--losses"]
        tokens.main([*options, "bce"])
        tokens.main([*options, "bce", "auto"])
        assert made == [("cnn", loss, seed, 9) for loss in ("bce", "auto") for seed in (0, 1)]
        rows = list(map(json.loads, (tmp_path / "rows").read_text().splitlines()))
        assert [
            (row["encoder"], row["loss"], row["seed"], row["max_length"]) for row in rows
        ] == made
        scores = rows[0]["scores"]
        table = capsys.readouterr().out.split("seconds to fit")[-1]
        assert f"{100 * scores['total micro']:.2f}/{100 * scores['total macro']:.2f}" in table


class TestSpeedBenchmark:
    @pytest.fixture
    def speed(self, beside_features):
        """With networks and a search of a size for tests."""
        speed = load_script(ROOT / "examples" / "benchmarks" / "speed.py")
        cnn = TextCNN(n_filters=3, embedding_dim=4, hidden_dim=5, embeddings="random")
        bilstm = BiLSTMAttention(hidden_dim=4, embedding_dim=4, output_dim=5, embeddings="random")
        speed.SPECS, speed.WORDS, speed.HEAD = {"cnn": cnn, "bilstm": bilstm}, cnn, bilstm
        speed.N_TAIL, speed.N_VECTORS = 3, 300
        return speed

    def test_measures_each_question_once(self, speed, folder, tmp_path):
        options = ["--data", str(folder), "--documents", "40", "--rounds", "1"]
        options += ["--output", str(tmp_path / "rows")]
        speed.main(options)
        lines = (tmp_path / "rows").read_text().splitlines()
        rows = list(map(json.loads, lines))
        questions = ["overhead", "buckets", "words", "head", "head, padded", "retrieval"]
        assert list(dict.fromkeys(row["question"] for row in rows)) == questions
        assert all(row["ours s"] > 0 for row in rows) and len(rows) == 10
        speed.main(options)
        assert (tmp_path / "rows").read_text().splitlines() == lines

    def test_a_head_is_compared_on_its_own_documents_and_labels(self, speed):
        X = np.random.default_rng(0).integers(2, 30, size=(40, 12), dtype=np.int32)
        Y = np.array([[i % n == 0 for n in range(2, 10)] for i in range(40)], dtype=int)
        compared = []
        ours, _ = speed.head(X, sparse.csr_array(Y), lambda *head: compared.append(head))
        ours()
        ((X_head, Y_head),) = compared
        kept = np.delete(np.arange(40), 7)  # whose only label is tail
        np.testing.assert_array_equal(X_head, X[kept])
        np.testing.assert_array_equal(Y_head.toarray(), Y[kept, :5])


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
