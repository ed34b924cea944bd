"""The examples run; so do the README, the pages and the script of the speed."""

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

from skmltc import datasets
from skmltc.encoders import BiLSTMAttention, TextCNN
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
        names = ["LongTailClassifier", "LinearSVC", "LinearSVC, tuned"]
        assert re.split("  +", header.strip()) == names
        names = [re.split(r" \(|  +", row)[0] for row in rows[:12]]
        assert names == [
            *(
                f"{average}-F1, {group}"
                for average in ("micro", "macro")
                for group in ("total", "head", "medium", "tail")
            ),
            *("P@1", "P@5", "PSP@5", "seconds to fit"),
        ]
        numbers = np.array([row.split()[-3:] for row in rows[:12]], dtype=float)
        assert (numbers[:11] <= 100).all() and (numbers[0] > 30).all()
        assert picture.read_bytes().startswith(b"\x89PNG")


class TestGallery:
    """On a small corpus, save where a sentence of the page speaks of its figures."""

    @pytest.fixture(autouse=True)
    def picture(self):
        pytest.importorskip("pandas")
        plt = pytest.importorskip("matplotlib.pyplot")
        yield
        plt.close("all")

    @pytest.fixture
    def run(self, monkeypatch):
        make, small = datasets.make_long_tailed_corpus, {"n_samples": 240, "n_labels": 10}
        monkeypatch.setattr(
            datasets, "make_long_tailed_corpus", lambda **options: make(**options | small)
        )
        return lambda name: runpy.run_path(str(ROOT / "examples" / f"{name}.py"))

    def test_own_texts_come_back_from_the_csv(self, run):
        made = run("plot_2_own_texts")
        corpus, names = made["corpus"], made["binarizer"].classes_
        columns = [corpus.target_names.index(name) for name in names]
        assert made["texts"] == corpus.data
        assert not (made["y"] != corpus.target[:, columns]).nnz

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

    def test_the_whole_page_on_thresholds_says_what_its_table_shows(self):
        rows = runpy.run_path(str(ROOT / "examples" / "plot_4_thresholds.py"))["rows"]
        groups = [f"macro-F1, {group}" for group in ("head", "medium", "tail")]
        gains = [rows["frequency"][name] - rows["own cut"][name] for name in groups]
        assert 0 < gains[0] < gains[1] < gains[2]

    def test_the_whole_page_on_similarity_says_what_its_table_shows(self):
        rows = runpy.run_path(str(ROOT / "examples" / "plot_6_hybrid_siamese.py"))["rows"]
        alone, learned = rows["n_phi = 0"], rows["n_phi = auto"]
        gains = {name: learned[name] - alone[name] for name in alone}
        assert gains["macro-F1, tail"] > 0.05 > 0 > gains["nDCG@5"]
        assert abs(gains["macro-F1, head"]) < 0.01

    def test_the_explained_document_has_a_rare_label_and_shares_that_add_up(self, run):
        made = run("plot_9_explain")
        labels, shares = made["labels"], made["table"]
        np.testing.assert_allclose(shares.sum(axis=1), labels["log_odds"], atol=1e-4)
        assert list(shares) == ["linear", "neighbors", "frequency", "context", "offset"]
        assert len(labels) > 1 and set(made["neighbors"]["label"]) == set(labels["label"])
        assert labels["is_predicted"].all()

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
        assert len(listed) == 12
        for name, names in listed.items():
            module = importlib.import_module(name)
            public = getattr(module, "__all__", names)
            assert sorted(names) == sorted(set(public) - {"__version__"}), name
            assert all(hasattr(module, one) and not one.startswith("_") for one in names)


@pytest.fixture
def beside_bench(monkeypatch):
    """The scripts import their folder."""
    monkeypatch.syspath_prepend(ROOT / "examples" / "benchmarks")


class TestSpeedBenchmark:
    @pytest.fixture
    def speed(self, beside_bench):
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
        assert list(dict.fromkeys(row["name"] for row in rows)) == questions
        assert all(row["ours CPU s"] > 0 for row in rows) and len(rows) == 10
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


def test_the_example_of_the_readme_prints_what_it_says(capsys):
    (code,) = re.findall("```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(code, {})
    promised = [line[2:] for line in code.splitlines() if line.startswith("# ")]
    assert promised and capsys.readouterr().out.splitlines() == promised
