"""The benchmark of TReaderXML measures what its rows say, and its example runs."""

import importlib.util
import json
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.metrics import f1_score
from sklearn.utils import Bunch

import skmltc
from skmltc import TReaderXMLClassifier, datasets
from skmltc.encoders import BagEncoder, WordEmbedding
from skmltc.model_selection import multilabel_train_test_split
from skmltc.text import TokenSequenceVectorizer

EXAMPLES = Path(__file__).parents[2] / "examples"
SYSTEM = "mmhsa+residual+mhsa"
# Teacher, votes, neighbours and reading of each row.
SETTINGS = {
    "0 nothing": (False, False, 5, None),
    "1 teacher": (True, False, 5, None),
    "2 MMHSA+R": (True, False, 5, "mmhsa+residual"),
    "3 MHSA+R": (True, False, 5, "mhsa+residual"),
    "4 MHSA+R+MMHSA": (True, False, 5, "mhsa+residual+mmhsa"),
    "5 MMHSA+MHSA": (True, False, 5, "mmhsa+mhsa"),
    "6 MMHSA+R+MHSA": (True, False, 5, SYSTEM),
    "6, no teacher": (False, False, 5, SYSTEM),
    "6, embedding": (True, False, 5, SYSTEM),
    "6, 20": (True, False, 20, SYSTEM),
    "6, 50": (True, False, 50, SYSTEM),
    "votes alone": (False, True, 50, SYSTEM),
    "defaults": (True, True, 50, SYSTEM),
    "defaults, balancing": (True, True, 50, SYSTEM),
    "votes alone, balancing": (False, True, 50, SYSTEM),
}


@pytest.fixture
def benchmark(monkeypatch):
    """The script; scripts import one another."""
    monkeypatch.syspath_prepend(EXAMPLES / "benchmarks")
    path = EXAMPLES / "benchmarks" / "treader_xml.py"
    spec = importlib.util.spec_from_file_location("treader_xml_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path):
    """Texts of which one for testing has no known label; parents and names of the labels."""
    corpus = datasets.make_long_tailed_corpus(n_samples=120, n_labels=8, random_state=0)
    names = np.array([f"label{i}" for i in range(8)])
    parts = multilabel_train_test_split(corpus.data, corpus.target, random_state=0)
    for i, part in enumerate(("train", "test")):
        texts, Y = parts[i::2]
        rows = [names[np.flatnonzero(row)].tolist() for row in Y.toarray()]
        records = [{"text": t, "labels": row} for t, row in zip(texts, rows, strict=True)]
        (tmp_path / f"{part}.jsonl").write_text(
            "\n".join(map(json.dumps, [*records, {"text": "nothing known", "labels": []}]))
        )
    lines = [f"{name}\t{word}" for name, word in zip(names, corpus.target_names, strict=True)]
    (tmp_path / "label_names.tsv").write_text("\n".join(lines))
    edges = [f"{names[i]}\t{names[parent]}" for i, parent in enumerate(corpus.label_parents)]
    with_parent = [edge for edge, p in zip(edges, corpus.label_parents, strict=True) if p >= 0]
    (tmp_path / "hierarchy.tsv").write_text("\n".join(with_parent))
    return tmp_path


def load(benchmark, folder, encoder="embedding", n_train=None):
    options = Bunch(data=folder, encoder=encoder, n_train=n_train, names=True)
    options.update(min_head_count=51, max_tail_count=10)
    return benchmark.load(options)


def test_there_is_a_row_for_every_step_of_the_ladder(benchmark):
    assert list(benchmark.ROWS) == list(SETTINGS)


@pytest.mark.parametrize("row", SETTINGS)
def test_a_row_has_the_settings_that_it_names(row, benchmark):
    teacher, votes, n_neighbors, reading = SETTINGS[row]
    settings = TReaderXMLClassifier(**benchmark.ROWS[row]).get_params()
    expected = TReaderXMLClassifier().get_params() | {
        "teacher": teacher,
        "votes": votes,
        "n_neighbors": n_neighbors,
        "reading": reading,
        "retrieval": "embedding" if "embedding" in row else "tfidf",
        "loss": "class_balanced_negative_tolerant" if "balancing" in row else "auto",
    }
    assert settings == expected


@pytest.mark.parametrize("encoder", ["embedding", "bag"])
def test_it_measures_what_the_estimator_predicts_and_continues(
    encoder, benchmark, folder, tmp_path, capsys, monkeypatch
):
    small = {"bag": BagEncoder(hidden_dims=(16,)), "embedding": WordEmbedding(embedding_dim=16)}
    settings = {"teacher": False, "max_epochs": 1, "encoder": small[encoder]}
    monkeypatch.setitem(benchmark.ROWS, "votes alone", settings)
    output = tmp_path / "rows.jsonl"
    arguments = ["--data", folder, "--encoder", encoder, "--seeds", "3", "--output", output]
    arguments += ["--rows", "votes alone", *(["6, embedding"] if encoder == "bag" else [])]
    benchmark.main([*map(str, arguments), "--names"])
    (row,) = map(json.loads, output.read_text().splitlines())
    printed = capsys.readouterr().out
    assert printed.startswith("seed 3: votes alone: total micro ")

    task, parents, names = load(benchmark, folder, encoder)
    fitted = TReaderXMLClassifier(**settings, label_parents=parents, random_state=3)
    fitted.fit(task.X_train, task.Y_train, label_tokens=names)
    truth, predicted = task.Y_test.toarray(), fitted.predict(task.X_test).toarray()
    for average in ("micro", "macro"):
        expected = f1_score(truth, predicted, average=average, zero_division=0)
        np.testing.assert_allclose(row["scores"][f"total {average}"], expected)

    benchmark.main([*map(str, arguments), "--names"])
    assert not capsys.readouterr().out.startswith("seed")
    assert len(output.read_text().splitlines()) == 1


@pytest.mark.parametrize("n_train", [None, 10])
def test_labels_are_those_of_the_training_documents(n_train, benchmark, folder):
    """With their names and parents, and documents without a label for training alone."""
    task, parents, names = load(benchmark, folder, n_train=n_train)
    train, test = (datasets.load_jsonl(folder, subset=part) for part in ("train", "test"))
    rows = np.arange(len(train.data))
    if n_train:
        rows = np.sort(np.random.RandomState(0).permutation(rows)[:n_train])
    known = np.flatnonzero(train.target[rows].sum(axis=0))
    assert (len(known) < 8) == (n_train is not None)
    assert_array_equal(task.Y_train.toarray(), train.target[rows][:, known].toarray())
    expected = test.target[:, known].toarray()
    assert_array_equal(task.Y_test.toarray(), expected[expected.any(axis=1)])
    assert len(task.X_test) == expected.any(axis=1).sum() < len(test.data)
    words = TokenSequenceVectorizer(max_length=128).fit([train.data[row] for row in rows])
    assert_array_equal(names, words.transform([train.label_names[label] for label in known]))
    for label, parent in zip(known, parents, strict=True):
        expected = train.label_parents[label]
        assert (known[parent] if parent >= 0 else -1) == (expected if expected in known else -1)


def test_of_several_parents_those_that_are_known_are_kept(benchmark):
    parents = sparse.csr_array(np.triu(np.ones((4, 4)), k=1))
    found = benchmark.parents_of(Bunch(label_parents=parents), np.array([0, 2, 3]))
    assert_array_equal(found.toarray(), [[0, 1, 1], [0, 0, 1], [0, 0, 0]])


def test_the_example_shows_the_evidence_of_the_neighbours(monkeypatch):
    pytest.importorskip("pandas")
    plt = pytest.importorskip("matplotlib.pyplot")
    make, small = datasets.make_long_tailed_corpus, {"n_samples": 240, "n_labels": 14}
    monkeypatch.setattr(
        datasets, "make_long_tailed_corpus", lambda **options: make(**options | small)
    )
    brief = partial(TReaderXMLClassifier, max_epochs=1)
    monkeypatch.setattr(skmltc, "TReaderXMLClassifier", brief)
    with config_context():
        made = runpy.run_path(str(EXAMPLES / "plot_8_neighbours.py"))
    bars = made["ax"].patches
    plt.close("all")
    assert_array_equal([bar.get_width() for bar in bars], np.sort(made["scope"])[-12:])
    alone, both = made["models"].values()
    assert alone[-1].module_.vote_weight is None and both[-1].module_.body.teacher is not None
    assert list(made["rows"]) == ["text alone", "with teacher and votes"]
