"""LongTailClassifier: members of all kinds, what it learns, and what it refuses."""

import io
import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import PredefinedSplit
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from skmltc import BalancedLossClassifier, LongTailClassifier
from skmltc._networks import best_epoch
from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import MultilabelThresholdClassifierCV
from skmltc.encoders import ENCODERS, BiLSTMAttention, WordEmbedding
from skmltc.labels import LabelWarning, inverse_propensities
from skmltc.model_selection import list_held_out
from skmltc.neighbors import MultilabelKNeighborsClassifier
from skmltc.text import TokenSequenceVectorizer

pytestmark = pytest.mark.filterwarnings("ignore:Label .* is present in all training examples")


def linear(**options):
    return BalancedLossClassifier(loss="squared_hinge", weight_decay=1.0, **options)


def two(**options):
    members = [("linear", linear()), ("neighbors", MultilabelKNeighborsClassifier(80))]
    return LongTailClassifier(members, random_state=0, **options)


@pytest.fixture(scope="module")
def fitted(parts):
    X, Y, _, _ = parts
    return two().fit(X, Y)


def test_it_is_ahead_of_its_linear_member_alone(parts, fitted):
    X, Y, X_new, Y_new = parts
    svc = MultilabelThresholdClassifierCV(OneVsRestClassifier(LinearSVC(random_state=0)))
    alone = svc.set_params(random_state=0).fit(X, Y).predict(X_new)
    together = fitted.predict(X_new)
    for average in ("micro", "macro"):
        score, other = (f1_score(Y_new, p, average=average) for p in (together, alone))
        assert score > other > 0.5


def test_probabilities_add_up_to_the_labels_of_new_documents(parts, fitted):
    _, _, X_new, Y_new = parts
    assert_allclose(fitted.predict_proba(X_new).sum(), Y_new.sum(), rtol=0.1)


def test_what_is_predicted_is_above_the_thresholds(parts, fitted):
    X_new = parts[2]
    scores = fitted.decision_function(X_new)
    assert scores.dtype == np.float32
    assert fitted.threshold_.shape == (12,)
    assert_array_equal(fitted.predict(X_new), scores > fitted.threshold_)
    assert_allclose(fitted.predict_proba(X_new), 1 / (1 + np.exp(-scores)), rtol=1e-5)


def test_weights_are_named_by_member(fitted):
    assert fitted.weights_["column"].tolist() == [
        "linear: score",
        "linear: margin",
        "linear: score x log_odds_against",
        "linear: margin x log_odds_against",
        "neighbors: votes of 20",
        "neighbors: votes of 50",
        "neighbors: best cosine",
        "log_odds_against",
        "rank",
        "best other",
        "other labels",
        "co-occurrence",
        "offset",
    ]
    assert fitted.weights_["weight"][-1] == fitted.calibration_.offset
    assert_array_equal(fitted.weights_["weight"][:-1], fitted.calibration_.weights)


def test_trainings_are_counted_and_named_by_member(parts, capsys):
    X, Y, *_ = parts
    members = [("one", linear()), ("two", linear())]
    LongTailClassifier(members, random_state=0, verbose=1).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    names, folds = ("one", "two"), ("", *(f" without part {k} of 3" for k in (1, 2, 3)))
    whats = [f"Training {name!r}{fold}" for fold in folds for name in names]
    expected = [f"{what}: {k} of 8" for k, what in enumerate(whats, start=1)]
    assert [line.partition(", about ")[0] for line in lines] == expected
    assert [line.endswith(" s left") for line in lines] == [False] * 4 + [True] * 4
    LongTailClassifier(members, random_state=0).fit(X, Y)
    assert capsys.readouterr().out == ""


def test_members_are_fitted_on_all_documents_and_learn_no_decision(parts, fitted):
    X, Y, X_new, _ = parts
    alone = linear(calibrate=False, threshold=0.5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a number that cuts margins
        alone.fit(X, Y)
    member = fitted.members_.linear
    assert_array_equal(member.decision_function(X_new), alone.decision_function(X_new))
    assert list(fitted.members_) == ["linear", "neighbors"]
    assert fitted.estimators[0][1] is not member
    assert not hasattr(fitted.estimators[0][1], "scorer_")


def test_linear_members_are_kept_without_small_weights(parts, fitted, monkeypatch):
    X, Y, X_new, _ = parts
    monkeypatch.setattr("skmltc._linear.scorers._FEW_WEIGHTS", 0)
    small = two().fit(X, Y)
    full, kept = fitted.members_.linear.scorer_, small.members_.linear.scorer_
    assert_array_equal(kept.weights.toarray(), full.without_small_weights(X).weights.toarray())
    assert 2 * kept.weights.nnz < full.weights.size
    p = small.predict_proba(X_new)
    assert np.abs(p - fitted.predict_proba(X_new)).mean() < 0.01
    wrapped = MultilabelThresholdClassifierCV(linear(), random_state=0).fit(X, Y).estimator_
    for one in (linear().fit(X, Y), wrapped):
        assert isinstance(one.scorer_.weights, np.ndarray)
    explained = small.explain(X_new[:3], k=2)
    assert_array_equal(explained.words["word"], fitted.explain(X_new[:3], k=2).words["word"])


def test_a_weight_decay_is_searched_once(parts, monkeypatch):
    X, Y, _, _ = parts
    fitted_with = []
    fit = BalancedLossClassifier._train_linear

    def watch(self, *args):
        fitted_with.append(self.weight_decay)
        return fit(self, *args)

    monkeypatch.setattr(BalancedLossClassifier, "_train_linear", watch)
    members = [("linear", BalancedLossClassifier(loss="squared_hinge"))]
    model = LongTailClassifier(members, random_state=0).fit(X, Y)
    assert fitted_with == ["auto", *[model.members_.linear.weight_decay_] * 3]


def test_predict_topk_are_the_best_probabilities(parts, fitted):
    X_new = parts[2]
    best = fitted.predict_topk(X_new, 3).toarray()
    probabilities = fitted.predict_proba(X_new).astype(np.float64)
    expected = np.where(np.argsort(np.argsort(-probabilities, axis=1)) < 3, probabilities, 0)
    assert_allclose(best, expected, rtol=1e-5)


def test_predict_topk_can_weigh_probabilities_by_propensity(parts, fitted):
    _, Y, X_new, _ = parts
    worth = inverse_propensities(Y.sum(axis=0), len(Y))
    best = fitted.predict_topk(X_new, 2, weight="propensity").toarray()
    probabilities = fitted.predict_proba(X_new).astype(np.float64)
    ranks = np.argsort(np.argsort(-probabilities * worth, axis=1))
    assert_allclose(best, np.where(ranks < 2, probabilities, 0), rtol=1e-5)
    assert not np.array_equal(best > 0, fitted.predict_topk(X_new, 2).toarray() > 0)


def test_equal_seeds_make_equal_models(parts, fitted):
    X, Y, X_new, _ = parts
    again = two().fit(X, Y)
    assert_array_equal(again.decision_function(X_new), fitted.decision_function(X_new))
    assert_array_equal(again.threshold_, fitted.threshold_)
    other = two().set_params(random_state=1).fit(X, Y)
    assert not np.array_equal(other.weights_["weight"], again.weights_["weight"])


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csr_array, sparse.csc_array])
def test_sparse_and_dense_labels_make_equal_models(parts, fitted, form):
    X, Y, X_new, _ = parts
    model = two().fit(X, form(Y))
    assert_array_equal(model.decision_function(X_new), fitted.decision_function(X_new))
    predicted = model.predict(X_new)
    assert sparse.issparse(predicted)
    assert_array_equal(predicted.toarray(), fitted.predict(X_new))


def test_sparse_and_dense_features_make_like_models(parts, fitted):
    X, Y, X_new, _ = parts
    model = two().fit(X.toarray(), Y)
    found = model.predict_proba(X_new.toarray())
    assert_allclose(found, fitted.predict_proba(X_new), atol=2e-3)


def test_scores_do_not_depend_on_blocks(parts, fitted, monkeypatch):
    X_new = parts[2]
    expected = fitted.decision_function(X_new)
    for module in ("_estimator", "_scorer"):
        monkeypatch.setattr(f"skmltc.long_tail.{module}.SCORES_AT_A_TIME", 12 * 17)
    assert_array_equal(fitted.decision_function(X_new), expected)
    X, Y, _, _ = parts
    assert_allclose(two().fit(X, Y).decision_function(X_new), expected, rtol=1e-5)


def test_a_stored_model_is_equal_to_the_last_bit(parts, fitted):
    X_new = parts[2]
    file = io.BytesIO()
    joblib.dump(fitted, file)
    file.seek(0)
    again = joblib.load(file)
    assert_array_equal(again.decision_function(X_new), fitted.decision_function(X_new))
    assert_array_equal(again.predict(X_new), fitted.predict(X_new))


def test_a_label_without_documents_is_never_predicted(parts):
    X, Y, X_new, _ = parts
    Y = np.insert(Y, 3, 0, axis=1)
    with pytest.warns(LabelWarning, match="1 of 13 labels have no training document") as said:
        model = two().fit(X, Y)
    assert len(said) == 1
    assert model.threshold_[3] == np.inf
    assert (model.predict_proba(X_new)[:, 3] < 1e-20).all()
    assert not model.predict(X_new)[:, 3].any()
    assert (model.predict_topk(X_new, 13).toarray()[:, 3] == 0).all()


def test_twenty_documents_of_five_labels_are_enough(parts):
    X, Y, X_new, Y_new = parts
    some = Y.sum(axis=0).argsort()[-5:]
    model = two().fit(X[:20], Y[:20, some])
    assert np.isfinite(model.decision_function(X_new)).all()
    assert np.isfinite(model.weights_["weight"]).all()
    assert f1_score(Y_new[:, some], model.predict(X_new), average="micro") > 0.4


@pytest.mark.parametrize("threshold", ["micro_macro", 0.9])
def test_with_too_few_documents_the_first_member_counts_alone(threshold):
    X, Y = np.eye(6), np.tile([[1, 0], [0, 1]], (3, 1))
    with pytest.warns(LabelWarning, match="nothing could be learned of how much each member says"):
        model = two(threshold=threshold).fit(X, Y)
    scores = model.members_.linear.decision_function(X)
    offset = model.weights_["weight"][-1]
    assert_allclose(model.decision_function(X), scores + offset, rtol=1e-5)
    assert model.predict(X).sum() == Y.sum()


@pytest.mark.parametrize("n_classes", [2, 4])
def test_of_a_target_of_classes_the_best_is_predicted(parts, n_classes):
    X, Y, X_new, Y_new = parts
    names = np.array(list("abcd"))[:n_classes]
    frequent = Y.sum(axis=0).argsort()[-n_classes:]
    has_one, new = (y[:, frequent].any(axis=1) for y in (Y, Y_new))
    y, y_new = (names[labels[:, frequent].argmax(axis=1)] for labels in (Y[has_one], Y_new[new]))
    model = two().fit(X[has_one], y)
    assert_array_equal(model.classes_, names)
    probabilities = model.predict_proba(X_new[new])
    assert probabilities.shape == (new.sum(), n_classes)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    predicted = model.predict(X_new[new])
    assert_array_equal(predicted, names[probabilities.argmax(axis=1)])
    assert (predicted == y_new).mean() > 0.6


def test_a_class_of_one_document_is_learned_all_the_same(parts):
    X, Y, X_new, _ = parts
    y = np.where(Y[:, Y.sum(axis=0).argmax()] == 1, "often", "else").astype("<U5")
    y[7] = "once"
    model = two().fit(X, y)
    assert_array_equal(model.classes_, ["else", "often", "once"])
    assert set(model.predict(X_new)) >= {"else", "often"}
    probabilities = model.predict_proba(X_new)
    assert np.isfinite(probabilities).all()
    assert probabilities[:, 2].max() < 0.5


# ------------------------------------------------------------------------------------- members


def naive_bayes():
    return OneVsRestClassifier(MultinomialNB())


def test_members_may_be_pipelines_from_raw_texts():
    corpus = make_long_tailed_corpus(200, 6, random_state=0)
    words = make_pipeline(TfidfVectorizer(), linear())
    characters = make_pipeline(TfidfVectorizer(analyzer="char_wb"), naive_bayes())
    near = make_pipeline(TfidfVectorizer(), MultilabelKNeighborsClassifier(60))
    members = [("words", words), ("characters", characters), ("near", near)]
    model = LongTailClassifier(members, random_state=0).fit(corpus.data, corpus.target)
    assert model.predict(corpus.data[:7]).shape == (7, 6)
    assert model.weights_["column"].tolist()[:9] == [
        "words: score",
        "words: margin",
        "words: score x log_odds_against",
        "words: margin x log_odds_against",
        "characters: score",
        "characters: score x log_odds_against",
        "near: votes of 20",
        "near: votes of 50",
        "near: best cosine",
    ]
    alone = LongTailClassifier([("linear", linear())], random_state=0)
    X = TfidfVectorizer().fit(corpus.data)
    alone.fit(X.transform(corpus.data), corpus.target)
    assert_array_equal(
        model.members_.words.decision_function(corpus.data),
        alone.members_.linear.decision_function(X.transform(corpus.data)),
    )


def test_a_member_with_probabilities_alone_gives_their_log_odds(parts):
    X, Y, X_new, _ = parts
    model = LongTailClassifier([("bayes", naive_bayes())], random_state=0).fit(X, Y)
    (member,) = model.scorer_.members
    probabilities = naive_bayes().fit(X, Y).predict_proba(X_new)
    expected = np.log(probabilities / (1 - probabilities))
    assert_allclose(member.answer(X_new, 12).scores, expected, rtol=1e-3, atol=1e-4)


def test_a_dropped_member_has_no_part(parts, fitted):
    X, Y, X_new, _ = parts
    members = [*two().estimators, ("bayes", "drop")]
    model = LongTailClassifier(members, random_state=0).fit(X, Y)
    assert_array_equal(model.decision_function(X_new), fitted.decision_function(X_new))


def test_a_member_that_wants_another_form_of_x_is_advised_to_be_a_pipeline(parts):
    X, Y, _, _ = parts
    expected = "So says the member 'words'. A member that wants X in another form"
    members = [("linear", linear()), ("words", BalancedLossClassifier(encoder="cnn"))]
    for X_one in (X, X.toarray()):
        with pytest.raises(ValueError, match=expected):
            LongTailClassifier(members).fit(X_one, Y)
    with pytest.raises(ValueError, match=r"make_pipeline\(vectorizer, classifier\)"):
        LongTailClassifier().fit(["some text", "another"] * 150, Y)


@pytest.mark.parametrize("gap, error", [(None, TypeError), (np.nan, ValueError)])
def test_a_pipeline_that_cannot_read_texts_is_told_what_texts_are(gap, error):
    texts, y = [*["some text", "another"] * 5, gap], np.eye(11, 2, dtype=int)
    with pytest.raises(TypeError, match=r"each a str; ' '.join\(words\) makes one of a list"):
        LongTailClassifier.from_texts().fit([text.split() for text in texts[:-1]], y[:-1])
    with pytest.raises(
        error, match="[a-z']. So says the member 'words'. Texts are a list, "
    ) as got:
        LongTailClassifier.from_texts().fit(texts, y)
    assert "make_pipeline" not in str(got.value)
    passed_on = LongTailClassifier.from_texts().set_params(words__vectorizer="passthrough")
    with pytest.raises(ValueError, match="in a Pipeline. So says the member 'words'.$"):
        passed_on.fit(texts[:-1], y[:-1])


@pytest.mark.parametrize(
    "member, X, expected",
    [
        (linear(n_jobs=1.5), np.eye(30, 4), "'n_jobs' parameter of .* Got 1.5 instead."),
        (linear(), np.full((30, 4), np.nan), "contains NaN.*"),
        (BalancedLossClassifier(loss="squared_hing"), np.eye(30, 4), "Did you mean .*"),
        (linear(device="gpu"), np.eye(30, 4), "device must be .* Got 'gpu' instead."),
        (make_pipeline(TfidfVectorizer(min_df=50), linear()), ["soup"] * 30, "max_df .*"),
        (
            make_pipeline(TfidfVectorizer(stop_words="english"), linear()),
            ["and the"] * 30,
            "empty vocabulary",
        ),
    ],
)
def test_an_error_that_is_not_of_x_is_followed_by_no_advice_on_x(member, X, expected):
    with pytest.raises(ValueError, match=f"(?s){expected}") as got:
        LongTailClassifier([("one", member)]).fit(X, np.tile(np.eye(2, dtype=int), (15, 1)))
    assert str(got.value).endswith(" So says the member 'one'.")
    assert "?." not in str(got.value)


@pytest.mark.parametrize("member", [LinearSVC(), LogisticRegression()])
def test_a_member_for_one_label_is_advised_to_be_wrapped(parts, member):
    X, Y, _, _ = parts
    for y in (Y, sparse.csr_array(Y)):
        with pytest.raises((ValueError, TypeError), match="Wrap it, OneVsRestClassifier") as got:
            LongTailClassifier([("one", member)]).fit(X, y)
        assert "make_pipeline" not in str(got.value)


def test_an_error_cites_no_whole_document():
    """What a member says of a long text does not hide what to do."""
    texts, Y = ["word " * 1000] * 30, np.tile(np.eye(2, dtype=int), (15, 1))
    member = OneVsRestClassifier(LinearSVC())
    with pytest.raises(ValueError, match="float: 'word word .* So says .* is a pipel") as got:
        LongTailClassifier([("one", member)]).fit(texts, Y)
    assert len(str(got.value)) < 900


def test_documents_that_can_be_read_but_once_are_refused(parts, fitted):
    X, Y, _, _ = parts
    for documents in ((row for row in X.toarray()), {0: X}):
        for ask in (fitted.predict, fitted.explain, lambda one: two().fit(one, Y)):
            with pytest.raises(ValueError, match="X must be a list, array, sparse matrix or data"):
                ask(documents)
    with pytest.raises(ValueError, match=r"Got a dok_matrix instead. X.tocsr\(\) makes a sparse"):
        fitted.predict(sparse.dok_matrix(X[:2]))
    with pytest.raises(ValueError, match="X_known must be a list, array, sparse matrix or data fr"):
        fitted.add_labels(X[:2], [[1], [1]], X_known=iter(X.toarray()))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"threshold": "best"}, "threshold must be a probability in"),
        ({"threshold": 1.5}, "threshold must be a probability"),
        ({"min_labels": -1}, "min_labels must be 0 or a positive integer"),
        ({"max_labels": 0}, "max_labels must be None or an integer from 1 up. Got 0 instead"),
        ({"slack": -1}, "slack must be a finite number, from 0 to 1. Got -1 instead"),
        ({"cv": 1}, "cv must be a splitter, or an integer from 2 to"),
        ({"cv": "three"}, "cv must be a splitter, or an integer from 2 to"),
    ],
)
def test_other_parameters_are_refused(parts, options, message):
    with pytest.raises(ValueError, match=message):
        two(**options).fit(*parts[:2])


def test_a_fit_that_fails_leaves_the_model_as_it_was(parts):
    X, Y, X_new, _ = parts
    model = LongTailClassifier([("linear", linear())], random_state=0).fit(X, Y)
    before = model.decision_function(X_new)
    model.estimators = [("mute", LinearRegression())]
    with pytest.raises(ValueError, match="estimator 'mute'"):
        model.fit(X, Y)
    assert_array_equal(model.decision_function(X_new), before)


def test_a_number_cuts_probabilities_as_soon_as_it_is_set(parts):
    X, Y, X_new, _ = parts
    model = two().fit(X, Y)
    model.threshold = 0.3
    assert_array_equal(model.predict(X_new), model.predict_proba(X_new) > 0.3)
    model.threshold = "tuned"
    with pytest.raises(ValueError, match="threshold must be 'micro_macro' or a number"):
        model.predict(X_new)


def test_a_document_has_min_labels_at_least(parts):
    X, Y, X_new, _ = parts
    model = two(min_labels=2).fit(X, Y)
    assert model.predict(X_new).sum(axis=1).min() == 2


def test_a_document_has_max_labels_at_most(parts):
    X, Y, X_new, _ = parts
    model = two(threshold=0.05).fit(X, Y)
    many = model.predict(X_new).sum(axis=1)
    few = model.set_params(max_labels=2).predict(X_new).sum(axis=1)
    assert many.max() > 2
    assert_array_equal(few, np.minimum(many, 2))


def test_the_rules_with_slack_have_it(parts):
    X, Y, _, _ = parts
    cut_offs = [two(threshold="tuned_low", slack=s).fit(X, Y).threshold_[0] for s in (0.0, 0.05)]
    assert cut_offs[1] < cut_offs[0]
    with pytest.warns(UserWarning, match="slack has no effect with threshold='micro_macro'."):
        two(slack=0.1).fit(X, Y)


@pytest.mark.parametrize("loss", ["squared_hinge", "weighted_bce"])
def test_a_label_without_documents_is_warned_of_once(parts, loss):
    """Not by every member, nor for every fold."""
    X, Y, _, _ = parts
    members = [("a", BalancedLossClassifier(loss=loss)), ("b", MultilabelKNeighborsClassifier())]
    empty = np.hstack([Y, np.zeros((len(Y), 1), dtype=int)])
    with pytest.warns(LabelWarning) as caught:
        LongTailClassifier(members, random_state=0).fit(X, empty)
    of_documents = [one for one in caught if "no training document" in str(one.message)]
    of_loss = [one for one in caught if "weighted_bce gives" in str(one.message)]
    assert len(of_documents) == 1 and len(of_loss) <= 1


def test_cv_says_what_is_held_out(parts):
    X, Y, X_new, _ = parts
    default, three, five = (two(cv=cv).fit(X, Y) for cv in ("auto", 3, 5))
    assert_array_equal(default.decision_function(X_new), three.decision_function(X_new))
    assert not np.allclose(five.calibration_.weights, three.calibration_.weights)
    folds = list_held_out(sparse.csr_array(Y, dtype=np.float32), 0)
    given = two(cv=folds).fit(X, Y)
    assert_array_equal(given.decision_function(X_new), default.decision_function(X_new))


def test_a_document_of_weight_two_is_the_document_twice(parts):
    """In one fold, with neighbours and what is learned of all; but for rounding."""
    X, Y, X_new, _ = parts
    weights = np.random.RandomState(0).randint(0, 3, len(Y))
    rows, part = np.repeat(np.arange(len(Y)), weights), np.arange(len(Y)) % 3
    members = [("linear", linear(tol=1e-6)), ("neighbors", MultilabelKNeighborsClassifier(900))]
    model = LongTailClassifier(members, threshold="tuned", random_state=0)
    weighted = clone(model).set_params(cv=PredefinedSplit(part))
    weighted.fit(X, Y, sample_weight=weights)
    twice = clone(model).set_params(cv=PredefinedSplit(part[rows])).fit(X[rows], Y[rows])
    assert_allclose(weighted.calibration_.weights, twice.calibration_.weights, atol=0.05)
    scores = [one.decision_function(X_new) for one in (weighted, twice)]
    assert np.mean(np.abs(scores[0] - scores[1]) > 0.05) < 0.01
    assert_array_equal(weighted.label_counts_, twice.label_counts_)
    assert weighted.n_samples_fit_ == twice.n_samples_fit_ == weights.sum()
    plain = clone(model).set_params(cv=PredefinedSplit(part)).fit(X, Y)
    assert not np.allclose(plain.calibration_.weights, weighted.calibration_.weights, atol=0.05)


def test_a_document_of_weight_zero_is_left_out(parts):
    X, Y, X_new, _ = parts
    weights = np.random.RandomState(0).randint(0, 3, len(Y))
    left = weights > 0
    weighted = two().fit(X, Y, sample_weight=weights)
    without = two().fit(X[left], Y[left], sample_weight=weights[left])
    assert_array_equal(weighted.decision_function(X_new), without.decision_function(X_new))
    assert_array_equal(weighted.threshold_, without.threshold_)


@pytest.mark.parametrize("name, value", [("random_state", "now"), ("n_jobs", 1.5), ("verbose", [])])
def test_parameters_of_another_kind_are_refused(name, value, parts):
    with pytest.raises(ValueError, match=f"'{name}' .* must be .* Got .* instead"):
        LongTailClassifier(**{name: value}).fit(*parts[:2])


def test_members_that_take_no_weights_are_named(parts):
    X, Y, _, _ = parts
    model = LongTailClassifier([("near", KNeighborsClassifier())], random_state=0)
    message = "estimator must be one whose fit takes sample_weight.* So says the member 'near'.$"
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, sample_weight=np.ones(len(Y)))


def test_routing_hands_weights_to_the_members_that_request_them(parts):
    X, Y, X_new, _ = parts
    weights = np.random.RandomState(0).randint(1, 5, len(Y))
    with config_context(enable_metadata_routing=True):
        svc = OneVsRestClassifier(LinearSVC(random_state=0).set_fit_request(sample_weight=True))
        silent = linear().set_fit_request(sample_weight=False)
        model = LongTailClassifier([("svc", svc), ("linear", silent)], random_state=0)
        model.fit(X, Y, sample_weight=weights)
        auto = LongTailClassifier(random_state=0).fit(X, Y, sample_weight=weights)
    assert model.members_.linear.n_samples_fit_ == len(Y)
    assert model.n_samples_fit_ == auto.members_.linear.n_samples_fit_ == weights.sum()


def test_inside_a_classifier_that_decides_it_learns_no_decision(parts):
    X, Y, X_new, _ = parts
    outer = MultilabelThresholdClassifierCV(two(), threshold="tuned", cv=2, random_state=0)
    outer.fit(X, Y)
    assert_array_equal(outer.estimator_.threshold_, np.zeros(12))
    assert outer.predict(X_new).any()


def test_others_by_scikit_learn_are_members_as_they_are(parts):
    X, Y, X_new, Y_new = parts
    members = [
        ("svc", OneVsRestClassifier(LinearSVC(random_state=0))),
        ("logistic", OneVsRestClassifier(LogisticRegression())),
    ]
    model = LongTailClassifier(members, random_state=0).fit(X, Y)
    assert "svc: margin" in model.weights_["column"]
    assert "logistic: margin" not in model.weights_["column"]
    assert f1_score(Y_new, model.predict(X_new), average="micro") > 0.5


# -------------------------------------------------------------------------------------- "auto"


def test_auto_is_a_linear_model_and_neighbours_on_features(parts):
    X, Y, X_new, _ = parts
    model = LongTailClassifier(random_state=0).fit(X, Y)
    members = [
        ("linear", BalancedLossClassifier(encoder="bag", loss="squared_hinge")),
        ("neighbors", MultilabelKNeighborsClassifier()),
    ]
    named = LongTailClassifier(members, random_state=0).fit(X, Y)
    assert list(model.members_) == ["linear", "neighbors"]
    assert_array_equal(model.decision_function(X_new), named.decision_function(X_new))


def test_auto_is_a_bilstm_and_neighbours_on_tokens(tokens, monkeypatch):
    small = BiLSTMAttention(hidden_dim=4, output_dim=4, embedding_dim=4)
    monkeypatch.setitem(ENCODERS, "bilstm", lambda: small)
    monkeypatch.setattr("skmltc._networks.training._FEWEST_STEPS", 4)
    X, Y = tokens
    model = LongTailClassifier(random_state=0).fit(X, Y)
    assert list(model.members_) == ["bilstm", "neighbors"]
    assert model.members_.bilstm.inputs_.kind == model.members_.neighbors.inputs_.kind == "tokens"
    assert model.members_.bilstm.get_params()["loss"] == "bce"
    assert np.isfinite(model.decision_function(X)).all()


@pytest.fixture(scope="module")
def tokens():
    corpus = make_long_tailed_corpus(120, 5, n_words=15, random_state=0)
    return TokenSequenceVectorizer(max_length=15).fit_transform(corpus.data), corpus.target


def test_folds_of_a_network_take_the_epochs_that_were_best(tokens, monkeypatch):
    X, Y = tokens
    encoder = WordEmbedding(embedding_dim=4)
    network = BalancedLossClassifier(encoder=encoder, max_epochs=4, early_stopping=True, lr=0.05)
    seen = []
    train = BalancedLossClassifier._train_network

    def watch(self, *args):
        seen.append((self.max_epochs, self.early_stopping))
        return train(self, *args)

    monkeypatch.setattr(BalancedLossClassifier, "_train_network", watch)
    model = LongTailClassifier([("network", network)], random_state=0).fit(X, Y)
    n_epochs = best_epoch(model.members_.network.net_)
    assert seen == [(4, True), *[(n_epochs, False)] * 3]


def test_members_of_ours_take_the_seed_of_the_stack_unless_they_have_one(tokens):
    X, Y = tokens
    network = BalancedLossClassifier(
        encoder=WordEmbedding(embedding_dim=4), max_epochs=1, early_stopping=False
    )
    own = clone(network).set_params(random_state=7)
    model = LongTailClassifier([("a", network), ("b", own)], random_state=3).fit(X, Y)
    assert [one.random_state for one in model.members_.values()] == [3, 7]
    assert network.random_state is None
