"""HybridSiameseClassifier: its steps, the two parts and where they merge, variants, errors."""

import importlib
import json
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import logit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV

from skmltc import HybridSiameseClassifier
from skmltc._networks.scoring import network_scores
from skmltc._validation import LabelWarning
from skmltc.datasets import load_jsonl, make_long_tailed_corpus
from skmltc.decision._rules import THRESHOLD_RULES
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN
from skmltc.hybrid_siamese import _estimator as hybrid_siamese
from skmltc.metrics import RankingScorer
from skmltc.model_selection import MultilabelStratifiedKFold, multilabel_train_test_split
from skmltc.text import TokenSequenceVectorizer

VARIANTS = {
    "Sing.": {"n_phi": 0},
    "Naive": {"category_similarity": False, "multi_task": False, "sampling": "pair"},
    "/CSS": {"category_similarity": False, "sampling": "pair"},
    "/MT": {"multi_task": False},
    "Our": {},
}


TRAINED = {"encoder": BagEncoder(hidden_dims=(128,)), "max_epochs": 15, "n_triplets": 30_000}


def hybrid(**parameters):
    defaults = {
        "encoder": BagEncoder(hidden_dims=(32,)),
        "n_phi": 30,
        "n_triplets": 3000,
        "max_epochs": 5,
        "threshold": 0.5,
        "early_stopping": False,
        "random_state": 0,
    }
    return HybridSiameseClassifier(**defaults | parameters)


@pytest.fixture(scope="module")
def split():
    """Features and labels of documents to fit on, and of others."""
    corpus = make_long_tailed_corpus(900, 25, n_words=30, random_state=0)
    texts, texts_test, Y, Y_test = multilabel_train_test_split(
        corpus.data, corpus.target, random_state=0
    )
    words = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
    return words.fit_transform(texts), Y, words.transform(texts_test), Y_test


# -------------------------------------------------------------------------------- the two parts


def test_frequent_labels_have_the_scores_of_the_single_network_to_the_bit(split):
    X, Y, X_test, _ = split
    model, single = hybrid().fit(X, Y), hybrid(n_phi=0).fit(X, Y)
    counts = Y.sum(axis=0)
    assert_array_equal(model.siamese_labels_, np.flatnonzero(counts < 30))
    assert 3 < len(model.siamese_labels_) < 22
    scores, alone = model.decision_function(X_test), single.decision_function(X_test)
    assert_array_equal(scores[:, counts >= 30], alone[:, counts >= 30])
    assert (scores[:, counts < 30] != alone[:, counts < 30]).any(axis=0).all()
    assert_array_equal(alone, network_scores(single.module_, X_test))
    assert len(single.siamese_labels_) == 0 and not hasattr(single, "siamese_")


def test_rare_labels_have_the_similarity_with_their_supports(split):
    X, Y, X_test, _ = split
    model = hybrid(calibrate="none", n_support=4).fit(X, Y)
    network, rare = model.siamese_, model.siamese_labels_
    vectors = network(torch.from_numpy(X_test[:5].toarray()))[0]
    for label in rare:
        supports = torch.from_numpy(model.supports_[label]).expand(5, -1)
        logits = network.similarity(vectors, supports, torch.full((5,), int(label)))
        scores = model.decision_function(X_test[:5])[:, label]
        assert_allclose(scores, logits.detach(), atol=1e-5)


def test_all_labels_can_be_scored_by_similarity(split):
    X, Y, *_ = split
    assert_array_equal(hybrid(n_phi=10_000).fit(X, Y).siamese_labels_, np.arange(25))


def test_the_second_network_begins_as_the_first(split, monkeypatch):
    X, Y, *_ = split
    seen = []

    def look(network, loss, dataset, **settings):
        seen.append([p.clone() for part in (network[0], network[1]) for p in part.parameters()])
        assert settings["lr"] == pytest.approx(0.3 * 0.01) and settings["linear_decay"]
        assert sum(len(batch.same) for batch in dataset.batches) == 3000

    monkeypatch.setattr(hybrid_siamese, "train_network", look)
    model = hybrid().fit(X, Y)
    for begun, single in zip(seen[0], model.module_.parameters(), strict=True):
        assert torch.equal(begun, single)


def test_training_separates_documents_with_a_label_from_others(split):
    X, Y, X_test, Y_test = split
    model = hybrid(**TRAINED).fit(X, Y)
    scores, truth = model.decision_function(X_test), Y_test.toarray() > 0
    gaps = [
        scores[truth[:, c], c].mean() - scores[~truth[:, c], c].mean()
        for c in model.siamese_labels_
        if truth[:, c].any()
    ]
    assert np.mean(np.array(gaps) > 0) > 0.8


def test_two_fits_with_one_seed_are_equal_and_so_are_two_predictions(split):
    X, Y, X_test, _ = split
    once, again = hybrid().fit(X, Y), hybrid().fit(X, Y)
    scores = once.decision_function(X_test)
    assert_array_equal(scores, again.decision_function(X_test))
    assert_array_equal(scores, once.decision_function(X_test))
    assert_array_equal(once.decision_function(X_test[3:9]), scores[3:9])


# ------------------------------------------------------------------------------ the variants


def test_the_papers_variants_differ(split):
    X, Y, X_test, _ = split
    scores = {n: hybrid(**v).fit(X, Y).decision_function(X_test) for n, v in VARIANTS.items()}
    for name in VARIANTS:
        same = [other for other in VARIANTS if np.array_equal(scores[name], scores[other])]
        assert same == [name]


@pytest.mark.parametrize(
    "setting",
    [
        {"multi_task": "category"},
        {"support": "vote"},
        {"n_support": 1},
        {"n_support": 500},
        {"triplets_per_document": 1},
        {"representation_activation": "relu"},
        {"representation_activation": "identity"},
        {"calibrate": "none"},
        {"loss": "weighted_bce"},
        {"loss": "focal"},
    ],
    ids=str,
)
def test_settings_change_the_scores_of_rare_labels(setting, split):
    X, Y, X_test, _ = split
    scores = hybrid(**setting).fit(X, Y).decision_function(X_test)
    assert np.isfinite(scores).all()
    assert not np.allclose(scores, hybrid().fit(X, Y).decision_function(X_test))


def test_labels_by_default_are_the_documents_own(split):
    X, Y, X_test, _ = split
    default, is_label = (
        hybrid(**kw).fit(X, Y).decision_function(X_test) for kw in ({}, {"multi_task": "labels"})
    )
    assert_array_equal(default, is_label)


# --------------------------------------------------------------------- calibration, thresholds


def test_calibrated_to_the_prior_as_many_documents_pass_as_have_the_label(split):
    X, Y, *_ = split
    model = hybrid(calibrate="prior").fit(X, Y)
    rare = model.siamese_labels_
    passed = (model.decision_function(X)[:, rare] > 0).sum(axis=0)
    assert_array_equal(passed, Y.sum(axis=0)[rare])
    raw = hybrid(calibrate="none").fit(X, Y).decision_function(X)[:, rare]
    assert_array_equal(raw.argsort(axis=0), model.decision_function(X)[:, rare].argsort(axis=0))
    assert ((raw > 0).sum(axis=0) != passed).any()


def test_fitted_similarities_are_probabilities(split):
    X, Y, X_test, Y_test = split
    settings = {**TRAINED, "threshold": "tuned", "n_phi": 1000}
    fitted, prior = (
        hybrid(calibrate=calibrate, **settings).fit(X, Y) for calibrate in ("fit", "prior")
    )
    truth = Y_test.toarray()

    def surprise(model):
        p = np.clip(model.predict_proba(X_test), 1e-9, 1 - 1e-9)
        return -np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p))

    assert surprise(fitted) < surprise(prior)
    assert abs(fitted.predict_proba(X_test).mean() / truth.mean() - 1) < 0.5
    assert fitted.similarity_scale_ > 1 == prior.similarity_scale_


@pytest.mark.parametrize("rule", THRESHOLD_RULES)
def test_cut_offs_are_learned_for_either_part(rule, split):
    X, Y, X_test, Y_test = split
    model = hybrid(threshold=rule, max_epochs=12).fit(X, Y)
    rare = np.isin(np.arange(25), model.siamese_labels_)
    assert np.isfinite(model.threshold_).all()
    if rule.startswith("tuned"):
        assert len(set(model.threshold_[rare])) == len(set(model.threshold_[~rare])) == 1
        assert model.threshold_[rare][0] != model.threshold_[~rare][0]
    assert model.predict(X_test).sum() > 0


def test_a_number_is_a_probability_for_all(split):
    X, Y, *_ = split
    model = hybrid(threshold=0.7).fit(X, Y)
    assert_allclose(model.threshold_, logit(0.7))


def test_the_merge_point_is_learned(split, monkeypatch):
    X, Y, X_test, _ = split
    model = hybrid(n_phi="auto", threshold="tuned_low").fit(X, Y)
    assert model.n_phi_ in hybrid_siamese._MERGE_POINTS
    fixed = hybrid(n_phi=model.n_phi_, threshold="tuned_low").fit(X, Y)
    assert_array_equal(model.siamese_labels_, fixed.siamese_labels_)
    assert hybrid(n_phi="auto", threshold=0.5).fit(X, Y).n_phi_ == 100
    monkeypatch.setattr(hybrid_siamese, "select_for_tail", lambda options: (20, 0.0, 0.0))
    model = hybrid(n_phi="auto", threshold="tuned_low").fit(X, Y)
    assert_array_equal(model.siamese_labels_, np.flatnonzero(Y.sum(axis=0) < 20))


def test_a_useless_similarity_is_not_merged(split, monkeypatch):
    X, Y, *_ = split

    def noise(self, encoded, labels):
        return np.random.default_rng(0).normal(size=(len(encoded), len(labels)))

    monkeypatch.setattr(hybrid_siamese.SimilarityScorer, "scores", noise)
    model = hybrid(n_phi="auto", threshold="tuned", max_epochs=20).fit(X, Y)
    assert model.n_phi_ <= 10


def test_a_validation_part_decides(split, monkeypatch):
    X, Y, X_val, Y_val = split
    monkeypatch.setattr("skmltc._network._ENOUGH_TO_DECIDE", 1)
    model = hybrid(**TRAINED, threshold="tuned").fit(X, Y, X_val, Y_val)
    scores, truth = model.decision_function(X_val), Y_val.toarray() > 0
    rare = model.siamese_labels_

    def micro_f1(cut_off):
        above = scores[:, rare] > cut_off
        return 2 * (above & truth[:, rare]).sum() / (above.sum() + truth[:, rare].sum())

    best = max(micro_f1(cut_off) for cut_off in np.unique(scores[:, rare]))
    assert_allclose(micro_f1(model.threshold_[rare][0]), best, atol=0.01)


# ------------------------------------------------------------------------------- sklearn and data


def test_it_reads_tokens(split):
    corpus = make_long_tailed_corpus(200, 8, n_words=20, random_state=0)
    X = TokenSequenceVectorizer(max_length=20).fit_transform(corpus.data)
    encoders = [
        TextCNN(filter_sizes=(2,), n_filters=8, embedding_dim=8, hidden_dim=8),
        BiLSTMAttention(hidden_dim=8, output_dim=8, embedding_dim=8),
    ]
    for encoder in encoders:
        model = hybrid(encoder=encoder, max_epochs=2, n_triplets=600).fit(X, corpus.target)
        scores = model.decision_function(X)
        assert len(model.siamese_labels_) and np.isfinite(scores).all()
        assert_array_equal(model.decision_function(X[5:7]), scores[5:7])


def test_it_survives_joblib(split, tmp_path):
    X, Y, X_test, _ = split
    model = hybrid().fit(X, Y)
    joblib.dump(model, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    assert_array_equal(again.decision_function(X_test), model.decision_function(X_test))
    assert not hasattr(again, "net_")


def test_grid_search_over_merge_point_and_triplets(split):
    X, Y, *_ = split
    grid = {"n_phi": [0, 30], "n_triplets": [300, 3000], "encoder__dropout": [0.0]}
    search = GridSearchCV(
        hybrid(), grid, scoring=RankingScorer("ndcg", k=5), cv=MultilabelStratifiedKFold(2)
    ).fit(X, Y)
    assert set(search.best_params_) == set(grid)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_label_without_documents_is_never_predicted(split):
    X, Y, X_test, _ = split
    Y = sparse.hstack([Y, sparse.csr_array((Y.shape[0], 1))], format="csr")
    with pytest.warns(LabelWarning, match="no training document"):
        model = hybrid(threshold="tuned").fit(X, Y)
    assert 25 not in model.siamese_labels_ and np.isposinf(model.threshold_[25])
    assert np.isfinite(model.decision_function(X_test)).all()


def test_no_rare_label_is_said_so(split):
    X, Y, X_test, _ = split
    with pytest.warns(LabelWarning, match="No label has fewer than n_phi = 1 "):
        model = hybrid(n_phi=1).fit(X, Y)
    single = hybrid(n_phi=0).fit(X, Y)
    assert_array_equal(model.decision_function(X_test), single.decision_function(X_test))


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_support": 0}, "'n_support' parameter"),
        ({"n_phi": -1}, "'n_phi' parameter"),
        ({"n_phi": "all"}, "'n_phi' parameter"),
        ({"n_triplets": 0}, "'n_triplets' parameter"),
        ({"sampling": "pairs"}, "'sampling' parameter"),
        ({"multi_task": "both"}, "'multi_task' parameter"),
        ({"calibrate": "platt"}, "'calibrate' parameter"),
        ({"encoder": "bag"}, "encoder must be one with a hidden layer"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message, split):
    X, Y, *_ = split
    with pytest.raises(ValueError, match=message):
        hybrid(**parameters).fit(X, Y)


def test_rare_labels_gain_on_reuters(real_data):
    train = load_jsonl(real_data / "reuters", subset="train")
    texts, texts_held, Y, Y_held = multilabel_train_test_split(
        np.array(train.data, dtype=object)[::2], train.target[::2], random_state=0
    )
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2, dtype=np.float32)
    X, X_held, truth = words.fit_transform(texts), words.transform(texts_held), Y_held.toarray() > 0
    rare = (Y.sum(axis=0) < 18) & truth.any(axis=0)

    def macro_f1(n_phi):
        settings = {"encoder": "auto", "n_triplets": "auto", "threshold": "tuned_low"}
        model = hybrid(n_phi=n_phi, max_epochs=6, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LabelWarning)
            predicted = model.fit(X, Y).predict(X_held).toarray() > 0
        is_true = (predicted & truth).sum(axis=0)
        return (2 * is_true / np.maximum(predicted.sum(axis=0) + truth.sum(axis=0), 1))[rare].mean()

    assert macro_f1(18) > macro_f1(0) + 0.05


def test_the_benchmark_prints_its_table_and_resumes(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples" / "benchmarks")
    benchmark = importlib.import_module("hybrid_siamese")
    corpus = make_long_tailed_corpus(n_samples=160, n_labels=8, random_state=0)
    names = np.array(corpus.target_names)
    for part, rows in (("train", slice(0, 120)), ("test", slice(120, 160))):
        records = [
            {"text": text, "labels": names[np.flatnonzero(row)].tolist()}
            for text, row in zip(corpus.data[rows], corpus.target[rows].toarray(), strict=True)
        ]
        (tmp_path / f"{part}.jsonl").write_text("\n".join(map(json.dumps, records)))
    kept = {name: benchmark.VARIANTS[name] for name in ("Sing.", "Our")}
    monkeypatch.setattr(benchmark, "VARIANTS", kept)
    output = tmp_path / "rows.jsonl"
    arguments = f"--data {tmp_path} --losses bce --seeds 0 --n-phi 20 --output {output}".split()
    n_threads = torch.get_num_threads()
    benchmark.main(arguments)
    printed, rows = capsys.readouterr().out, output.read_text().splitlines()
    assert "tuned bce Our" in printed and "RCV1 focal Our" in printed
    assert [json.loads(row)["rule"] for row in rows] == ["tuned", "0.5"] * 2
    single, our = (json.loads(row)["scores"] for row in rows[::2])
    assert single["tail macro"] != our["tail macro"]
    monkeypatch.setattr(benchmark, "measure", None)
    benchmark.main(arguments)
    assert output.read_text().splitlines() == rows
    torch.set_num_threads(n_threads)
