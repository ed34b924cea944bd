"""The benchmarks: what their tables declare, what is measured and kept, what pages make of it."""

import importlib.util
import json
import re
import subprocess
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import norm as sparse_norm
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

import skmltc
from skmltc import BalancedLossClassifier, datasets
from skmltc.decision import RULES, MultilabelThresholdClassifierCV
from skmltc.labels import inverse_propensities
from skmltc.losses import LOSSES
from skmltc.model_selection import assign_folds, multilabel_train_test_split
from skmltc.text import PretrainedEmbedder

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "benchmarks"
PAGES = [
    page
    for folder in (".", "guide", "estimators")
    for page in sorted((ROOT / "docs" / folder).glob("*.rst"))
]
TABLES = sorted(path.stem for path in (FOLDER / "tables").glob("*.py"))
GROUPS = {"min_head_count": 21, "max_tail_count": 8}


@pytest.fixture(autouse=True)
def beside_bench(monkeypatch):
    """The benchmarks import their folder; threads are theirs alone."""
    monkeypatch.syspath_prepend(FOLDER)
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


def defined(bench, path, source):
    """What counts of the function f of a file."""
    path.write_text(textwrap.dedent(source))
    return bench.code.Module(("one",), path).definition("f")


def load_script(path):
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bench():
    """The parts of the runner."""
    from bench import code, data, measure, models, new_labels, rows

    data._read.cache_clear()
    caches = rows._marks, rows.rows_of
    parts = {"code": code, "data": data, "measure": measure, "models": models}
    yield SimpleNamespace(new_labels=new_labels, rows=rows, **parts)
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def run():
    return load_script(FOLDER / "run.py")


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    """A data set with names and a hierarchy; one test document has no known label."""
    corpus = datasets.make_long_tailed_corpus(n_samples=240, n_labels=10, random_state=0)
    folder = tmp_path_factory.mktemp("data") / "texts"
    folder.mkdir()
    names = np.array([f"L{i}" for i in range(10)])
    texts_and_labels = multilabel_train_test_split(corpus.data, corpus.target, random_state=0)
    for i, part in enumerate(("train", "test")):
        texts, Y = texts_and_labels[i::2]
        records = [
            {"text": text, "labels": names[np.flatnonzero(row)].tolist()}
            for text, row in zip(texts, Y.toarray(), strict=True)
        ]
        records += [{"text": "nothing known", "labels": []}] * (part == "test")
        (folder / f"{part}.jsonl").write_text("\n".join(map(json.dumps, records)))
    edges = [("L8", "L0"), ("L9", "L0"), ("L9", "top"), ("L3", "top")]
    (folder / "hierarchy.tsv").write_text("\n".join(map("\t".join, edges)))
    called = [(name, f"called {name}") for name in (*names, "top")]
    (folder / "label_names.tsv").write_text("\n".join(map("\t".join, called)))
    return folder.parent


def linear(bench, name="one", **options):
    parameters = {"weight_decay": 0.03, "threshold": 0.5, "loss": "bce", "calibrate": False}
    settings = {"parameters": parameters, "groups": GROUPS} | options
    return bench.rows.Row(name, "texts", "tfidf", "BalancedLossClassifier", **settings)


@pytest.fixture
def table(bench, tmp_path, monkeypatch):
    """A function that declares a table of given rows."""

    def declare(*rows):
        monkeypatch.setattr(bench.rows, "TABLES", tmp_path)
        monkeypatch.setattr(bench.rows, "RESULTS", tmp_path)
        (tmp_path / "some.py").write_text("")
        monkeypatch.setattr(bench.rows, "rows_of", lambda table: rows)
        bench.rows._marks.cache_clear()

    return declare


class TestDeclarations:
    @pytest.mark.parametrize("name", TABLES)
    def test_names_tell_rows_apart(self, name, bench):
        keys = [row.key(0) for row in bench.rows.rows_of(name)]
        assert len(set(keys)) == len(keys) > 0

    @pytest.mark.parametrize("name", TABLES)
    def test_every_row_makes_an_estimator(self, name, bench):
        """Those as published where the class knows them, the others always."""
        for row in bench.rows.rows_of(name):
            if any(isinstance(v, bench.rows.Transformer) for v in row.parameters.values()):
                continue
            try:
                model = bench.models.model_of(row, 3)
            except bench.data.Missing:
                assert row.published is not None
                continue
            assert (
                model.set_params(random_state=4).random_state == 4 if row.estimator != "vote" else 1
            )

    def test_published_rows_exist_where_a_class_has_rows(self, bench):
        checked = 0
        for row in (row for name in TABLES for row in bench.rows.rows_of(name) if row.published):
            known = getattr(getattr(skmltc, row.estimator), "_published", None)
            if known is not None:
                assert row.published in known.rows, row
                checked += 1
        if not checked:
            pytest.skip("no class has rows of its paper yet")

    def test_every_loss_rule_and_estimator_has_rows(self, bench):
        losses = {row.name for row in bench.rows.rows_of("losses")}
        defaults = bench.rows.rows_of("defaults")
        assert set(LOSSES) - {"squared_hinge"} <= losses  # which is in no table of the papers
        assert {row.variant["cut"] for row in defaults} == {"default", "own", *RULES} - {
            "micro_macro"
        }
        on_tokens = {row.estimator for row in defaults if row.input == "tokens 128"}
        assert on_tokens == set(skmltc._ESTIMATORS) - {"LongTailClassifier"}  # not measured yet

    def test_rows_are_json_and_leave_out_what_is_default(self, bench):
        spec = skmltc.losses.FocalLoss(gamma=1)
        row = linear(bench, parameters={"loss": spec, "n": (1, 2)})
        assert json.loads(json.dumps(row.declared())) == {
            **{"name": "one", "dataset": "texts", "input": "tfidf", "groups": GROUPS},
            "estimator": "BalancedLossClassifier",
            "parameters": {"loss": {"FocalLoss": {"gamma": 1}}, "n": [1, 2]},
        }

    @pytest.mark.parametrize(
        "row, expected",
        [
            ("0 nothing", (False, False, 5, None)),
            ("1 teacher", (True, False, 5, None)),
            ("2 MMHSA+R", (True, False, 5, "mmhsa+residual")),
            ("3 MHSA+R", (True, False, 5, "mhsa+residual")),
            ("4 MHSA+R+MMHSA", (True, False, 5, "mhsa+residual+mmhsa")),
            ("5 MMHSA+MHSA", (True, False, 5, "mmhsa+mhsa")),
            ("6 MMHSA+R+MHSA", (True, False, 5, "mmhsa+residual+mhsa")),
            ("votes alone", (False, True, 50, "mmhsa+residual+mhsa")),
            ("defaults", (True, True, 50, "mmhsa+residual+mhsa")),
        ],
    )
    def test_rows_of_treader_have_the_settings_that_they_name(self, row, expected, bench):
        (declared,) = (
            one
            for one in bench.rows.rows_of("treader_xml")
            if (one.name, one.dataset, one.published) == (row, "cooking", None)
        )
        model = bench.models.model_of(declared, 0)
        assert (model.teacher, model.votes, model.n_neighbors, model.reading) == expected

    @pytest.mark.parametrize(
        "row, expected",
        [
            ("Sing.", (0, True, "labels", "triplet")),
            ("Naive", (35, False, None, "pair")),
            ("/CSS", (35, False, "labels", "pair")),
            ("/MT", (35, True, None, "triplet")),
            ("Our", (35, True, "labels", "triplet")),
            ("Our, auto", ("auto", True, "labels", "triplet")),
        ],
    )
    def test_rows_of_hscnn_have_the_settings_that_they_name(self, row, expected, bench):
        variant = {"encoder": "bag", "loss": "bce", "n_phi": 35}
        (declared,) = (
            one
            for one in bench.rows.rows_of("hybrid_siamese")
            if (one.name, one.dataset, one.variant) == (row, "reuters", variant)
        )
        model = bench.models.model_of(declared, 0)
        shown = model.n_phi, model.category_similarity, model.multi_task, model.sampling
        assert shown == expected


class TestCode:
    def test_a_row_depends_on_what_its_estimator_reaches(self, bench):
        found = bench.code.reached_by("HeadToTailClassifier")
        reached = {f"{'.'.join(module)}:{name}" for module, name in found}
        assert {
            "skmltc.head_to_tail._transfer:LabelTransfer.of_head",
            "skmltc.base:BaseLongTailClassifier.predict",
            "skmltc.losses._kernel:BalancedLoss.forward",
            "skmltc._networks.training:_CACHE_OF_TORCH",
            "skmltc.metrics._reports:long_tail_report",
        } <= reached
        folders = {module[1] for module, _ in found if len(module) > 1}
        assert not folders & {"hybrid_siamese", "treader_xml", "long_tail", "displays"}
        assert "skmltc.head_to_tail._estimator:HeadToTailClassifier.add_labels" not in reached

    def test_what_a_row_asks_of_its_model_counts(self, bench):
        added = "add_labels" in bench.code.module_of("bench", "new_labels").words
        plain, asked = (
            {name for _, name in bench.code.reached_by("HeadToTailClassifier", *more)}
            for more in ((), bench.rows.asked_of({"n_added": 2, "published": "H"}))
        )
        methods = {f"HeadToTailClassifier.{name}" for name in ("add_labels", "as_published")}
        assert added and methods <= asked and not methods & plain

    @pytest.mark.parametrize("estimator", ["LinearSVC", "LinearSVC, all chosen"])
    def test_a_rival_depends_on_no_network(self, estimator, bench):
        found = bench.code.reached_by(estimator)
        folders = {module[1] for module, _ in found if len(module) > 1}
        assert "decision" in folders and not folders & {"_networks", "_linear", "encoders"}

    @pytest.mark.parametrize("estimator", ["vote", "stack", "from_texts", "SVM of the paper"])
    def test_every_other_model_is_found(self, estimator, bench):
        assert bench.code.hash_of_code(estimator)

    def test_what_changes_no_figure_does_not_count(self, bench, tmp_path):
        function = '''
        def f(x):
            """Doc."""
            # said
            if x < 0:
                raise must_be("x", "0 or more", x)
            elif x > 9:
                warn("large")
            return x + A
        '''
        plain = "def f(x):\n    return x + A\n"
        sources = [function, plain, plain.replace("+", "-"), f"B = 1\n{plain}"]
        found = [defined(bench, tmp_path / f"{i}.py", one) for i, one in enumerate(sources)]
        assert found[0] == found[1] == found[3] != found[2]
        assert found[0].names == {"x", "A"}

    @pytest.mark.parametrize(
        "kept",
        [
            "if (n := next(x)) < 0:\n        raise E",
            "if x:\n        raise E\n    else:\n        x = 1",
        ],
    )
    def test_what_does_something_beside_an_error_counts(self, kept, bench, tmp_path):
        source = f"def f(x):\n    {kept}\n    return x\n"
        found = defined(bench, tmp_path / "one.py", source)
        assert found.lines.count("\n") > 1

    def test_methods_that_a_foreign_base_calls_are_reached(self, bench):
        place = bench.code.Place(("skmltc", "losses", "_kernel"), "BalancedLoss")
        assert "forward" in bench.code.asked_from_outside(place)

    def test_a_row_is_stale_when_code_or_declaration_changed(self, bench, table, monkeypatch):
        row = linear(bench)
        table(row)
        kept = row.declared() | {"seed": 2} | row.marks()
        assert not bench.rows.is_stale(kept, "some")
        assert bench.rows.is_stale(kept | {"code": "other"}, "some")
        assert bench.rows.is_stale({n: v for n, v in kept.items() if n != "declared"}, "some")
        assert bench.rows.is_stale(kept | {"name": "not declared"}, "some")
        table(linear(bench, validation=5))
        assert bench.rows.is_stale(kept, "some")


class TestData:
    def test_documents_without_a_label_are_not_tested(self, bench, data_folder):
        task = bench.data.task_of(linear(bench), data_folder)
        assert task.Y_test.shape[0] == task.X_test.shape[0] == 60

    def test_validation_documents_are_not_trained_on(self, bench, data_folder):
        whole = bench.data.task_of(linear(bench), data_folder)
        task = bench.data.task_of(linear(bench, validation=40), data_folder)
        assert (task.X_train.shape[0], task.X_val.shape[0]) == (140, 40)
        both = task.X_train.sum() + task.X_val.sum()
        np.testing.assert_allclose(both, whole.X_train.sum(), rtol=1e-4)
        np.testing.assert_array_equal(
            task.label_counts + task.Y_val.sum(axis=0), whole.label_counts
        )
        others = [
            bench.data.task_of(linear(bench, validation=40), data_folder, seed=seed)
            for seed in (0, 1)
        ]
        assert not (others[0].X_val != task.X_val).nnz and (others[1].X_val != task.X_val).nnz

    def test_leaves_have_the_main_classes_as_parents_alone(self, bench, data_folder):
        texts = bench.data.load(data_folder, "texts leaves")
        whole = bench.data.load(data_folder, "texts")
        assert texts.Y_train.shape[1] == 9 and texts.parents.shape == (11, 11)
        np.testing.assert_array_equal(texts.Y_train.toarray(), whole.Y_train[:, 1:].toarray())
        assert texts.names == [f"called L{i}" for i in (*range(1, 10), 0)] + ["called top"]
        edges = {tuple(edge) for edge in np.argwhere(texts.parents.toarray())}
        assert edges == {(7, 9), (8, 9), (8, 10), (2, 10)}

    def test_the_hash_is_of_the_files(self, bench, data_folder, tmp_path):
        for name in ("train.jsonl", "test.jsonl"):
            (tmp_path / name).write_text((data_folder / "texts" / name).read_text())
        first = bench.data.hash_of_files(tmp_path)
        (tmp_path / "README.md").write_text("more")
        assert bench.data.hash_of_files(tmp_path) == first
        (tmp_path / "test.jsonl").write_text("other")
        assert bench.data.hash_of_files(tmp_path) != first

    def test_what_is_not_here_is_said(self, bench, data_folder, monkeypatch):
        monkeypatch.delenv("SKMLTC_ENCODER", raising=False)
        with pytest.raises(bench.data.Missing, match="SKMLTC_ENCODER|skmltc.text"):
            bench.data.reader_of("vectors 128")
        with pytest.raises(bench.data.Missing, match="folder nothing"):
            bench.data.load(data_folder, "nothing")


class TestRival:
    @pytest.fixture
    def task(self, bench, data_folder):
        return bench.data.task_of(linear(bench), data_folder)

    @pytest.mark.parametrize("rule", RULES)
    def test_cut_offs_are_those_of_the_public_class(self, rule, bench, task):
        model = bench.models.RivalSVC(rule, (1.0,), random_state=3).fit(task.X_train, task.Y_train)
        folds = assign_folds(task.Y_train, 3, random_state=3)
        cv = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(3)]
        svc = OneVsRestClassifier(LinearSVC(random_state=3))
        public = MultilabelThresholdClassifierCV(svc, threshold=rule, cv=cv)
        expected = public.fit(task.X_train, task.Y_train).predict(task.X_test)
        assert not (model.predict(task.X_test) != expected).nnz

    def test_c_is_the_one_that_is_best_out_of_fold(self, bench, task):
        Cs = (1e-4, 1.0, 1e-3)
        model = bench.models.RivalSVC(Cs=Cs, random_state=0).fit(task.X_train, task.Y_train)
        assert model.C_ == 1.0

    def test_rules_share_a_training_and_own_its_seconds(self, bench, task):
        first, second, other = (
            bench.models.RivalSVC(rule, (1.0,), random_state=seed).fit(task.X_train, task.Y_train)
            for rule, seed in (("own", 0), ("tuned", 0), ("tuned", 1))
        )
        assert first.svc_ is second.svc_ is not other.svc_
        assert first.saved_seconds_ == other.saved_seconds_ == 0 < second.saved_seconds_
        assert not (first.decision_.thresholds).any()


class TestChosenRival:
    """LinearSVC with the choices of LongTailClassifier."""

    @pytest.fixture
    def task(self, bench, data_folder):
        return bench.data.task_of(linear(bench), data_folder)

    @pytest.fixture
    def model(self, bench, task):
        model = bench.models.ChosenSVC(Cs=(0.01, 1.0), n_search_labels=5, random_state=3)
        return model.fit(task.X_train, task.Y_train)

    def test_its_predictions_are_those_of_the_public_class_with_its_rule(self, model, task):
        svc = OneVsRestClassifier(LinearSVC(C=model.C_, random_state=3))
        public = MultilabelThresholdClassifierCV(svc, threshold=model.rule_, random_state=3)
        expected = public.fit(task.X_train, task.Y_train).predict(task.X_test)
        assert not (model.predict(task.X_test) != expected).nnz

    def test_its_rule_is_the_best_out_of_fold(self, bench, model, task):
        svc, folds = OneVsRestClassifier(LinearSVC(C=model.C_, random_state=3)), 3
        part = assign_folds(task.Y_train, folds, random_state=3)
        X, Y = task.X_train, task.Y_train.toarray()
        scores = np.zeros(Y.shape)
        for k in range(folds):
            fitted = svc.fit(X[part != k], Y[part != k])
            scores[part == k] = fitted.decision_function(X[part == k])
        counts, n_samples = Y.sum(axis=0), len(Y)
        pairs = [
            bench.models.ScoredPairs.collect_rows(
                [scores[part == k]], task.Y_train[part != k], task.Y_train[part == k]
            )
            for k in range(folds)
        ]
        found = {}
        for rule in RULES:
            predicted = np.zeros(Y.shape, dtype=bool)
            for k in range(folds):
                others = bench.models.ScoredPairs.concatenate(pairs[:k] + pairs[k + 1 :])
                decision = bench.models.Decision.learn(rule, others, counts, n_samples)
                predicted[part == k] = scores[part == k] > decision.thresholds
            f1s = [f1_score(Y, predicted, average=a, zero_division=0) for a in ("micro", "macro")]
            np.testing.assert_allclose(bench.models._f1s(rule, pairs, counts, n_samples), f1s)
            found[rule] = f1s
        best = max(micro for micro, _ in found.values())
        near = {rule: macro for rule, (micro, macro) in found.items() if micro >= best - 0.003}
        assert near[model.rule_] == max(near.values())

    def test_its_probabilities_add_up(self, model, task):
        proba = model.predict_proba(task.X_test)
        np.testing.assert_allclose(proba.sum(), task.Y_test.sum(), rtol=0.2)


class TestEncodedTexts:
    def test_texts_are_encoded_once_before_the_fits_of_a_set(
        self, bench, data_folder, transformer, monkeypatch
    ):
        monkeypatch.setenv("SKMLTC_ENCODER", str(transformer))
        asked = []
        transform = PretrainedEmbedder.transform
        monkeypatch.setattr(
            PretrainedEmbedder, "transform", lambda self, X: asked.append(X) or transform(self, X)
        )
        row = bench.rows.Row(
            *("n", "texts", "vectors 12 and texts", "from_texts"),
            parameters={"encoder": True},
            calibration=True,
        )
        kept = [
            bench.measure.measure("some", row, seed, data_folder, quick=True) for seed in (0, 1)
        ]
        texts = bench.data.load(data_folder, "texts")
        assert asked == [list(dict.fromkeys(part)) for part in (texts.train, texts.test)]
        assert all(one["transformer"]["name"] == transformer.name for one in kept)
        task = bench.data.task_of(row, data_folder, quick=True)
        embedder = PretrainedEmbedder(transformer, max_length=12)
        expected = transform(embedder.fit(texts.train), texts.train[:3])
        found = bench.data.VectorsOfTexts().transform(task.X_train[:3])
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_beside_words_they_are_as_long_as_these(
        self, bench, data_folder, transformer, monkeypatch
    ):
        monkeypatch.setenv("SKMLTC_ENCODER", str(transformer))
        texts, reader = bench.data.load(data_folder, "texts"), bench.data.reader_of
        X, both = (
            reader(kind).fit_transform(texts.train) for kind in ("tfidf", "vectors 12 and tfidf")
        )
        n_words = X.shape[1]
        assert not (both[:, :n_words] != X).nnz and both.shape[1] > n_words
        np.testing.assert_allclose(sparse_norm(both[:, n_words:], axis=1), 1, rtol=1e-5)


class TestMeasures:
    def test_a_row_has_the_scores_of_its_estimator(self, bench, data_folder):
        row = linear(bench, calibration=True)
        kept = bench.measure.measure("some", row, 1, data_folder)
        task = bench.data.task_of(row, data_folder)
        model = BalancedLossClassifier(**row.parameters, random_state=1)
        truth = task.Y_test.toarray()
        predicted = model.fit(task.X_train, task.Y_train).predict(task.X_test).toarray()
        for average in ("micro", "macro"):
            expected = f1_score(truth, predicted, average=average, zero_division=0)
            np.testing.assert_allclose(kept["scores"][f"total {average}"], expected)
        tail = task.label_counts <= 8
        assert kept["scores"]["tail predicted pairs"] == predicted[:, tail].sum()
        assert kept["scores"]["tail true pairs"] == truth[:, tail].sum() > 0
        several = truth.sum(axis=1) > 1
        expected = f1_score(truth[several], predicted[several], average="micro")
        np.testing.assert_allclose(kept["scores"]["several labels micro"], expected)
        assert kept["scores"]["predicted"] == predicted.sum() / truth.sum()
        assert json.loads(json.dumps(kept)) == kept
        assert {"commit", "versions", "data", "declared", "code", "fit CPU s"} <= set(kept)
        assert (kept["seed"], kept["threshold"]) == (1, 0.5)

    def test_rows_of_probabilities_have_their_error_and_rank_by_propensity(
        self, bench, data_folder
    ):
        row = linear(bench, calibration=True)
        kept = bench.measure.measure("some", row, 1, data_folder)["scores"]
        task = bench.data.task_of(row, data_folder)
        model = BalancedLossClassifier(**row.parameters, random_state=1)
        proba = model.fit(task.X_train, task.Y_train).predict_proba(task.X_test)
        truth, counts = task.Y_test.toarray(), task.label_counts
        np.testing.assert_allclose(kept["brier"], ((proba - truth) ** 2).mean())
        worth = inverse_propensities(counts, task.X_train.shape[0])
        best = np.argmax(proba * worth, axis=1)
        reached = (truth * worth)[np.arange(len(truth)), best].sum()
        np.testing.assert_allclose(
            kept["weighed PSP@1"], reached / (truth * worth).max(axis=1).sum(), rtol=1e-5
        )

    def test_the_calibration_error_is_that_of_bins(self, bench):
        proba = np.array([0.005, 0.2, 0.2, 0.8, 0.8])
        truth = np.array([True, False, True, True, True])
        error = bench.measure.calibration_error(proba, truth, n_bins=2)
        np.testing.assert_allclose(error, (2 * abs(0.2 - 0.5) + 2 * abs(0.8 - 1)) / 4)

    def test_quick_rows_are_small_and_say_so(self, bench, data_folder, monkeypatch):
        monkeypatch.setattr(bench.data, "QUICK_TRAIN", 50)
        settings = {"encoder": "embedding", "threshold": 0.5, "calibrate": False, "loss": "bce"}
        row = bench.rows.Row("n", "texts", "tokens 16", "BalancedLossClassifier", settings)
        kept = bench.measure.measure("some", row, 0, data_folder, quick=True)
        assert kept["quick"] and kept["documents"][0] == 50 and kept["chosen"]["n_iter"] == 1


class TestNewLabels:
    def test_labels_are_withheld_with_all_documents_and_come_with_five(self, bench, data_folder):
        row = bench.rows.Row("n", "texts", "tfidf", "BalancedLossClassifier", {}, n_added=2)
        task = bench.data.task_of(row, data_folder)
        Y, tested = task.Y_train.toarray(), task.Y_test.toarray().sum(axis=0)
        chosen = [k for k, n in enumerate(Y.sum(axis=0)) if 20 <= n <= 60 and tested[k] >= 5][:2]
        part, model = bench.new_labels.withheld(task, BalancedLossClassifier(), 2)
        without = np.flatnonzero(Y[:, chosen].sum(axis=1) == 0)
        np.testing.assert_array_equal(model.Y.toarray(), np.delete(Y[without], chosen, axis=1))
        assert (model.X != task.X_train[without]).nnz == 0
        few = sorted({i for k in chosen for i in np.flatnonzero(Y[:, k])[:5]})
        np.testing.assert_array_equal(part.Y_train.toarray(), Y[few][:, chosen])
        assert (part.X_train != task.X_train[few]).nnz == 0
        np.testing.assert_array_equal(part.Y_test.toarray(), task.Y_test.toarray()[:, chosen])

    @pytest.mark.parametrize("name", ["BalancedLossClassifier", "LongTailClassifier"])
    def test_a_row_is_measured_on_them_alone(self, name, bench, data_folder):
        row = bench.rows.Row("n", "texts", "tfidf", name, {}, n_added=2)
        kept = bench.measure.measure("some", row, 0, data_folder)
        assert kept["labels"] == 2 and kept["n_added"] == 2 and kept["documents"][0] <= 10
        part, model = bench.new_labels.withheld(
            bench.data.task_of(row, data_folder), getattr(skmltc, name)(random_state=0), 2
        )
        predicted = model.fit(part.X_train, part.Y_train).predict(part.X_test).toarray()
        expected = f1_score(part.Y_test.toarray(), predicted, average="macro", zero_division=0)
        np.testing.assert_allclose(kept["scores"]["total macro"], expected)
        assert predicted.shape[1] == 2 and model.model.n_labels_ == 10
        assert 0 <= kept["fit CPU s"] < -model.saved_seconds_[0]  # of adding alone


class TestRunner:
    def options(self, run, folder, *more):
        return run.parser().parse_args(["some", "--data", str(folder), *more])

    def test_keeps_continues_and_measures_stale_rows_again(
        self, run, bench, table, data_folder, tmp_path, capsys, monkeypatch
    ):
        table(linear(bench), linear(bench, "two", seeds=1))
        path = tmp_path / "some.jsonl"
        options = self.options(run, data_folder, "--seeds", "2")
        run.run("some", options)
        rows = list(map(json.loads, path.read_text().splitlines()))
        assert [(row["name"], row["seed"]) for row in rows] == [("one", 0), ("one", 1), ("two", 0)]
        assert capsys.readouterr().out.splitlines()[-1].startswith("[3/3, 0 min left] texts, tfidf")

        path.write_text(path.read_text()[:-20])  # the last row was interrupted
        run.run("some", options)
        assert capsys.readouterr().out.startswith("[1/1, 0 min left] texts, tfidf: two, seed 0")
        assert bench.rows.read(path)[:2] == rows[:2] and len(bench.rows.read(path)) == 3

        table(linear(bench), linear(bench, "two", validation=20, seeds=1))
        run.run("some", options)
        assert capsys.readouterr().out == "Every row that was asked for is kept.\n"
        run.run("some", self.options(run, data_folder, "--seeds", "2", "--stale"))
        assert len(capsys.readouterr().out.splitlines()) == 1
        assert [row.get("validation") for row in bench.rows.read(path)] == [None, None, 20]
        run.show("some", options)
        shown = capsys.readouterr().out.splitlines()
        assert [line.split("  ")[0] for line in shown] == ["2 kept, 0 stale", "1 kept, 0 stale"]
        assert all(line.endswith(" CPU s") for line in shown)
        run.show("some", self.options(run, data_folder, "--stale"))
        assert not capsys.readouterr().out
        for ask in (run.show, run.run):
            with pytest.raises(SystemExit, match="no row of some was chosen; .*'one'"):
                ask("some", self.options(run, data_folder, "--rows", "none"))

    def test_left_out_and_failed_rows_do_not_stop_the_others(
        self, run, bench, table, data_folder, capsys
    ):
        lacking = bench.rows.Row("a", "absent", "tfidf", "LinearSVC")
        table(lacking, linear(bench, "b", parameters={"threshold": "?"}), linear(bench, "c"))
        with pytest.raises(SystemExit, match="1 rows failed"):
            run.run("some", self.options(run, data_folder, "--seeds", "1"))
        lines = capsys.readouterr().out.splitlines()
        assert "left out for want of the folder absent" in lines[0]
        assert "failed: ValueError: threshold must be" in lines[1]
        assert "total micro" in lines[2]

    def test_quick_rows_are_not_kept(self, run, bench, table, data_folder, tmp_path):
        table(linear(bench))
        run.run("some", self.options(run, data_folder, "--quick", "--seeds", "1"))
        assert not (tmp_path / "some.jsonl").exists()

    def test_rows_are_chosen_by_name_set_and_what_the_list_shows(self, run, bench):
        rows = linear(bench, "a"), linear(bench, "b", variant={"encoder": "cnn"})

        def chosen(*options):
            known = run.parser().parse_args(["losses", *options])
            return [row.name for row in rows if run.wanted(row, known)]

        assert chosen() == ["a", "b"]
        assert chosen("--rows", "a") == ["a"] and chosen("--datasets", "reuters") == []
        assert chosen("--only", "encoder cnn") == ["b"] and chosen("--only", "nothing", ": a") == [
            "a"
        ]

    def test_rules_of_a_rival_go_to_one_process(self, run, bench):
        rows = [r for r in bench.rows.rows_of("defaults") if r.dataset == "reuters"]
        tasks = run.tasks_of("defaults", rows, 2, [], stale=False)
        groups = run.groups_of(tasks)
        assert sum(map(len, groups)) == len(tasks)
        rivals = [group for group in groups if group[0][0].estimator == "LinearSVC"]
        assert [len(group) for group in rivals] == [6] * 4
        assert all(len({(row.name, seed) for row, seed in group}) == 1 for group in rivals)

    def test_the_time_left_is_that_of_rows_of_the_same_name(self, run, bench):
        one, two = linear(bench, "one"), linear(bench, "two")
        known = one.declared() | {"fit wall s": 100.0, "predict wall s": 20.0}
        progress = run.Progress([(one, 0), (two, 0)], [known], jobs=2)
        assert progress.rest() == 120
        assert progress.done(one, None) == "[1/2, 1 min left]"
        assert run.duration(3600 * 2 + 100) == "2 h 2 min"

    def test_compares_the_seeds_that_two_files_share(self, run, bench, capsys, tmp_path):
        def row(seed, micro, **more):
            scores = {"total micro": micro, "total macro": 0.5, "tail macro": 0.25}
            return linear(bench).declared() | {"seed": seed, "scores": scores} | more

        files = tmp_path / "before", tmp_path / "after"
        bench.rows.rewrite(files[0], [row(0, 0.5), row(1, 0.6), row(2, 0.1)])
        bench.rows.rewrite(files[1], [row(1, 0.7), row(0, 0.5), row(0, 0.9, input="x")])
        run.main(["--compare", *map(str, files)])
        header, *lines = capsys.readouterr().out.splitlines()
        assert header.split() == ["seeds", *"total micro total macro tail macro PSP@5".split()]
        (line,) = lines
        assert re.split("  +", line)[1:] == [
            *("2", "55.00 -> 60.00 (+5.00)", "50.00 -> 50.00 (+0.00)"),
            *("25.00 -> 25.00 (+0.00)", "-"),
        ]


@pytest.fixture(scope="module")
def tables():
    return load_script(ROOT / "docs" / "tables.py")


class TestPages:
    def test_tables_are_the_means_of_the_rows(self, tables, tmp_path):
        tables.write(tables.RESULTS, tmp_path)
        rows = [
            row["scores"]
            for row in map(json.loads, (tables.RESULTS / "defaults.jsonl").read_text().splitlines())
            if (row["dataset"], row["name"], row["input"])
            == ("reuters", "BalancedLossClassifier", "tfidf")
        ]
        micro, macro = (
            100 * np.mean([row[f"total {f1}"] for row in rows]) for f1 in ("micro", "macro")
        )
        (line,) = re.findall(
            '.*default .*|.*default".*', (tmp_path / "reuters_all.inc").read_text()
        )
        assert line.split(",")[2:4] == [f'"{len(rows)}"', f'"{micro:.1f}/{macro:.1f}"']

    def test_every_table_that_a_page_includes_is_written(self, tables, tmp_path):
        tables.write(tables.RESULTS, tmp_path)
        pages = [*(ROOT / "docs").glob("*.rst"), *(ROOT / "docs").glob("*/*.rst")]
        included = {
            name for page in pages for name in re.findall(r"generated/(\S+\.inc)", page.read_text())
        }
        assert included and included <= {path.name for path in tmp_path.iterdir()}

    def test_figures_are_means_and_marked_where_stale(self, tables, bench, tmp_path):
        row = linear(bench).declared() | {"scores": {"total micro": 0.5}}
        bench.rows.rewrite(tmp_path / "some.jsonl", [row | {"seed": 0}])
        wanted = 'some texts one "total micro"'
        assert tables.substitute(f"It is {{{{{wanted}}}}}.", tmp_path) == "It is 50.0†."
        with pytest.raises(ValueError, match="a figure must be of one row. Got 0"):
            tables.figure(wanted.replace("one", "two"), tmp_path)
        bench.rows.append(tmp_path / "some.jsonl", row | {"seed": 0, "input": "tokens 128"})
        tables.rows_of.cache_clear()
        with pytest.raises(ValueError, match="a figure must be of one row. Got 2"):
            tables.figure(wanted, tmp_path)
        assert tables.figure(wanted + ' input="tokens 128"', tmp_path) == "50.0†"

    @pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
    def test_every_figure_of_a_page_has_a_row(self, tables, page):
        assert "{{" not in tables.substitute(page.read_text())

    def test_our_losses_stand_below_those_of_the_paper(self, tables, tmp_path):
        names = [f"{group} {f1}" for group in tables.GROUPS for f1 in ("micro", "macro")]
        row = {"name": "focal", "dataset": "reuters", "input": "tokens 128", "seed": 0}
        row |= {"variant": {"encoder": "cnn"}, "scores": dict.fromkeys(names, 0.5)}
        (tmp_path / "losses.jsonl").write_text(json.dumps(row) + "\n")
        lines = tables.losses_table(tmp_path).splitlines()
        assert len(lines) == 6 + len(tables.PUBLISHED)
        place = next(i for i, line in enumerate(lines) if "cnn, ours" in line)
        assert '"focal","BERT, paper","","89.97/56.83"' in lines[place - 1]
        assert lines[place].endswith('"50.0/50.0"' + ',"50.0/50.0"' * 3)

    def test_the_readme_has_the_tables_of_the_rows(self, tables):
        text = (ROOT / "README.md").read_text()
        assert text.count("<!-- rows: ") == len(tables.IN_README)
        marks = rf" {tables.STALE}|\n{tables.NOTE}\.\n"  # they may be behind, the figures may not
        written, now = (re.sub(marks, "", one) for one in (text, tables.readme(text)))
        assert written == now, "run python docs/tables.py"


# Numbers with a point that were not measured: on any page, then on one.
DEFINITIONS = {
    "0.5": "a cut at a probability, or the factor of a loss",
    "0.3": "points of micro-F1 that rules give up; a probability as an example; a factor of rates",
    "0.55": "a constant of propensities",
    "1.5": "a constant of propensities",
    "2.5": "a factor of a learning rate",
    "0.2": "logits",
    "0.4": "bounds of the paper's cut-off",
    "0.6": "bounds of the paper's cut-off",
    "0.9": "a hyperparameter of a loss",
    "0.1": "a hyperparameter of a loss, a temperature",
    "0.05": "a hyperparameter of a loss",
    "0.0001": "a learning rate",
    "3.10": "a version",
    "3.11": "a version",
    "3.12": "a version",
    "3.13": "a version",
}
PUBLISHED = {
    "treader_xml.rst": {"87.88", "64.05", "77.27"},
    "hybrid_siamese.rst": {"3.96", "12.80", "75.4", "75.5", "1.51", "1.73", "23.7", "25.0"},
}


LITERAL = r"\{\{.*?\}\}|:math:`[^`]*`|``.*?``|`[^`]*`"
BLOCK = re.compile(r"\s*\.\. (math|code-block|literalinclude|plot)|.*::$")


def prose_of(path):
    """A page without code, formulas, literals and what is made of rows."""
    text = path.read_text()
    if path.suffix == ".md":
        code = r"<!-- rows:.*?<!-- end of rows -->|```.*?```|`[^`]*`"
        return re.sub(code, "", text, flags=re.DOTALL)
    return "\n".join(lines_of_prose(re.sub(LITERAL, "", text, flags=re.DOTALL)))


def lines_of_prose(text):
    """Lines that are in no block of code or of a formula, and in no doctest."""
    block, doctest = None, False
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        doctest = bool(line.strip()) and (doctest or line.lstrip().startswith(">>>"))
        if block is not None and line.strip() and indent <= block:
            block = None
        if block is None and not doctest:
            yield line
            block = indent if BLOCK.match(line) else None


def test_prose_is_what_is_neither_code_nor_formula(tmp_path):
    page = tmp_path / "page.rst"
    page.write_text(
        "It has 1.1 ``2.2`` and :math:`3.3`::\n\n    4.4\n\n    5.5\n\nThen 1.2.\n\n"
        ">>> 6.6\n7.7\n\n.. math::\n\n   8.8\n\n* 1.3 {{a b 9.9\n  c}}\n"
    )
    assert re.findall(r"\d\.\d", prose_of(page)) == ["1.1", "1.2", "1.3"]


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", *PAGES],
    ids=lambda page: page.stem,
)
def test_no_figure_is_typed(page):
    allowed = DEFINITIONS.keys() | PUBLISHED.get(page.name, set())
    found = re.findall(r"(?<![\w.])\d{1,3}\.\d+(?![\w.]*\d)", prose_of(page))
    assert [number for number in found if number not in allowed] == []


def test_rows_beside_the_package_are_no_changes_of_it(tmp_path, monkeypatch):
    from bench import measure

    package, results = tmp_path / "package" / "__init__.py", tmp_path / "results.jsonl"
    monkeypatch.setattr(measure.skmltc, "__file__", str(package))
    package.parent.mkdir()
    package.touch(), results.touch()
    assert measure.commit() == ""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=me", "-c", "user.email=me@here"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    found = measure.commit()
    assert re.fullmatch("[0-9a-f]{7,}", found)
    results.write_text("{}")
    assert measure.commit() == found
    package.write_text("changed = True")
    assert measure.commit() == f"{found}-dirty"
