"""What is said of a pair is what the stack computes: shares, words and neighbours."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC, LinearSVC

from skmltc import BalancedLossClassifier, LongTailClassifier
from skmltc._linear import problems
from skmltc._rows import stack_rows
from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import Calibration
from skmltc.encoders import WordEmbedding
from skmltc.long_tail import Explanation
from skmltc.long_tail._columns import evidence
from skmltc.long_tail._explain import Chosen, Linear, _neighbors_of, shares_by_source
from skmltc.long_tail._members import Member
from skmltc.neighbors import MultilabelKNeighborsClassifier
from skmltc.text import TokenSequenceVectorizer

pytestmark = pytest.mark.filterwarnings("ignore:Label .* is present in all training examples")


def linear(**options):
    return BalancedLossClassifier(loss="squared_hinge", weight_decay=1.0, **options)


def near():
    return MultilabelKNeighborsClassifier(80)


def stack(*members):
    return LongTailClassifier(list(members), random_state=0)


@pytest.fixture(scope="module")
def corpus():
    return make_long_tailed_corpus(260, 12, n_words=40, random_state=1)


@pytest.fixture(scope="module")
def vectorizer(corpus):
    return TfidfVectorizer().fit(corpus.data)


@pytest.fixture(scope="module")
def parts(corpus, vectorizer):
    X, Y = vectorizer.transform(corpus.data), corpus.target.toarray()
    return X[:200], Y[:200], X[200:]


@pytest.fixture(scope="module")
def fitted(parts):
    X, Y, _ = parts
    return stack(("linear", linear()), ("neighbors", near())).fit(X, Y)


def rows_of(table):
    return list(zip(*table.values(), strict=True))


def shares_by_pair(explanation):
    sums = {}
    for document, label, _, share in rows_of(explanation.shares):
        sums[document, label] = sums.get((document, label), 0) + share
    return sums


# ------------------------------------------------------------------------------ shares and labels


def test_the_shares_of_a_pair_add_up_to_what_is_decided_by(parts, fitted):
    X_new = parts[2]
    log_odds = fitted.decision_function(X_new)
    sums = shares_by_pair(fitted.explain(X_new, k=12))
    assert len(sums) == (log_odds > -50).sum() > 300
    for pair, total in sums.items():
        assert abs(total - log_odds[pair]) < 1e-4


def naive_shares(weights, means, offset, z, r, others):
    """Of a member with one score, the frequency, and further columns as in the mean or not.

    Log-odds are w_z z + w_p z r + w_r r + w_o o + offset.
    """
    w_z, w_p, w_r, w_o = weights
    mean_z, mean_r, mean_o = means
    return {
        "svc": w_z * (z - mean_z) + w_p * (z * r - mean_z * r),
        "frequency": (w_r + w_p * mean_z) * (r - mean_r),
        "context": w_o * (others - mean_o),
        "offset": offset + w_z * mean_z + w_p * mean_z * mean_r + w_r * mean_r + w_o * mean_o,
    }


def test_shares_are_those_of_the_formula():
    rng = np.random.RandomState(0)
    z, r, rank = rng.normal(size=(3, 20))
    names = ("svc: score", "svc: score x log_odds_against", "log_odds_against", "rank")
    weights, means = np.array([2.0, 0.7, -0.4, 1.5]), np.array([0.3, 99.0, 2.0, -1.0])
    learned = Calibration(names, weights, -0.6, means=means)
    columns = dict(zip(names, (z, z * r, r, rank), strict=True))
    found = shares_by_source(learned, columns)
    assert list(found) == [
        (True, "svc"),
        (False, "frequency"),
        (False, "context"),
        (False, "offset"),
    ]
    for k in range(20):
        expected = naive_shares(weights, (0.3, 2.0, -1.0), -0.6, z[k], r[k], rank[k])
        assert_allclose([share[k] for share in found.values()], [*expected.values()])
    assert_allclose(sum(found.values()), learned.log_odds(columns))


def test_a_member_that_says_what_it_says_in_the_mean_has_no_share_however_frequent_the_label():
    names = ("svc: score", "svc: score x log_odds_against", "log_odds_against")
    learned = Calibration(names, np.ones(3), means=np.array([0.5, -7.0, 1.0]))
    r = np.array([-1.0, 0, 4])
    found = shares_by_source(learned, dict(zip(names, (0.5 + 0 * r, 0.5 * r, r), strict=True)))
    assert_array_equal(found[True, "svc"], [0, 0, 0])


def test_where_nothing_was_learned_one_member_has_all_but_the_offset():
    alone = Calibration(("svc: score",), np.ones(1), offset=3.0)
    columns = {"svc: score": np.array([1.0, -1]), "log_odds_against": np.zeros(2)}
    found = shares_by_source(alone, columns)
    assert {name: share.tolist() for (_, name), share in found.items()} == {
        "svc": [1, -1],
        "offset": [3, 3],
    }


def test_the_offset_is_low_since_most_candidates_are_labels_that_a_document_lacks(parts, fitted):
    shares = fitted.explain(parts[2]).shares
    offsets = shares["share"][shares["source"] == "offset"]
    assert offsets.max() == offsets.min() < -1


def test_sources_are_the_members_the_frequency_the_context_and_the_offset(parts, fitted):
    explanation = fitted.explain(parts[2][:1], k=1)
    assert explanation.shares["source"].tolist() == [
        "linear",
        "neighbors",
        "frequency",
        "context",
        "offset",
    ]


def test_a_member_may_have_the_name_of_a_column_or_of_a_source(parts):
    X, Y, X_new = parts
    model = stack(("rank", linear()), ("context", near())).fit(X, Y)
    explanation = model.explain(X_new[:1], k=1)
    sources = explanation.shares["source"].tolist()
    assert sources == ["rank", "context", "frequency", "context", "offset"]
    ((_, total),) = shares_by_pair(explanation).items()
    assert abs(total - model.decision_function(X_new[:1]).max()) < 1e-4


def test_what_is_predicted_is_explained_unless_told_otherwise(parts, fitted):
    X_new = parts[2]
    labels = fitted.explain(X_new).labels
    predicted = fitted.predict(X_new)
    assert_array_equal(
        np.column_stack([labels["document"], labels["label"]]), np.argwhere(predicted)
    )
    pairs = labels["document"], labels["label"]
    assert_array_equal(labels["log_odds"], fitted.decision_function(X_new)[pairs])
    assert_array_equal(labels["probability"], fitted.predict_proba(X_new)[pairs])
    assert_array_equal(labels["threshold"], fitted.threshold_[labels["label"]])
    assert labels["is_predicted"].all()


def test_given_labels_are_explained_of_every_document(parts, fitted):
    X_new = parts[2][:9]
    low, high = np.sort(np.argsort(-fitted.label_counts_)[:2])
    labels = fitted.explain(X_new, labels=[high, low]).labels
    assert labels["document"].tolist() == np.repeat(np.arange(9), 2).tolist()
    assert labels["label"].tolist() == [low, high] * 9
    predicted = fitted.predict(X_new)[:, [low, high]].ravel() > 0
    assert_array_equal(labels["is_predicted"], predicted)
    assert 0 < predicted.sum() < 18


def test_the_k_best_labels_are_explained(parts, fitted):
    X_new = parts[2][:9]
    labels = fitted.explain(X_new, k=2).labels
    best = np.sort(np.argsort(-fitted.decision_function(X_new), axis=1)[:, :2], axis=1)
    assert labels["label"].tolist() == best.ravel().tolist()


def test_a_number_as_threshold_is_the_one_in_force(parts):
    X, Y, X_new = parts
    model = stack(("linear", linear()), ("neighbors", near())).fit(X, Y).set_params(threshold=0.9)
    labels = model.explain(X_new).labels
    assert_allclose(labels["threshold"], np.log(9))
    assert (labels["probability"] > 0.9).all()


def test_a_label_that_is_no_candidate_has_no_shares(parts, fitted, monkeypatch):
    X_new = parts[2]
    monkeypatch.setattr("skmltc.long_tail._scorer.evidence", few_candidates)
    scores = fitted.decision_function(X_new)
    document, label = np.argwhere(scores == -50)[0]
    explanation = fitted.explain(X_new, labels=[label])
    assert explanation.labels["log_odds"][document] == -50
    assert explanation.labels["probability"][document] < 1e-20
    assert document not in explanation.shares["document"]
    assert set(fitted.explain(X_new, k=12).labels["log_odds"] > -50) == {True}


def few_candidates(answers, known):
    return evidence(answers, known, n_best=1)


def test_where_nothing_is_predicted_tables_have_no_rows(parts, fitted):
    X_new = parts[2]
    sure = copy.copy(fitted).set_params(threshold=1 - 1e-12)
    explanation, some = sure.explain(X_new), fitted.explain(X_new)
    for name in ("labels", "shares", "words", "neighbors"):
        table, other = getattr(explanation, name), getattr(some, name)
        assert list(table) == list(other)
        assert all(len(column) == 0 for column in table.values())
        assert [c.dtype for c in table.values()] == [c.dtype for c in other.values()]
    assert len(explanation.table()["value"]) == 0


def test_explanations_do_not_depend_on_blocks(parts, fitted, monkeypatch):
    X_new = parts[2]
    expected = fitted.explain(X_new)
    monkeypatch.setattr("skmltc.long_tail._estimator.SCORES_AT_A_TIME", 12 * 17)
    found = fitted.explain(X_new)
    for name in ("labels", "shares", "words", "neighbors"):
        for column, values in getattr(expected, name).items():
            assert_array_equal(getattr(found, name)[column], values)


# ------------------------------------------------------------------------------------------ words


def naive_words(features, weights, names, n):
    """Name and product of the largest positive products."""
    products = [(x * w, -j) for j, (x, w) in enumerate(zip(features, weights, strict=True))]
    return [(names[-j], p) for p, j in sorted(products, reverse=True)[:n] if p > 0]


@pytest.mark.parametrize("form", ["sparse", "dense"])
def test_words_are_the_features_whose_products_with_weights_are_largest(parts, fitted, form):
    X, _, X_new = parts
    X_new = X_new[:9] if form == "sparse" else X_new[:9].toarray()
    explanation = fitted.explain(X_new, k=2, n_words=4)
    coef = fitted.members_.linear.coef_
    names = [f"x{j}" for j in range(X.shape[1])]
    found = rows_of(explanation.words)
    for document, label in zip(*list(explanation.labels.values())[:2], strict=True):
        x = parts[2][[document]].toarray()[0]
        expected = naive_words(x, coef[label], names, 4)
        own = [row for row in found if row[:2] == (document, label)]
        assert [row[2] for row in own] == ["linear"] * len(expected)
        assert [row[3] for row in own] == [name for name, _ in expected]
        assert_allclose([row[4] for row in own], [score for _, score in expected], rtol=1e-5)
    assert (explanation.words["score"] > 0).all() and len(found) > 30


def test_words_are_named_by_a_vectorizer_a_list_or_a_data_frame(parts, fitted, vectorizer):
    X, Y, X_new = parts
    names = vectorizer.get_feature_names_out()
    by_vectorizer = fitted.explain(X_new[:5], feature_names=vectorizer).words["word"]
    assert set(by_vectorizer) <= set(names)
    by_list = fitted.explain(X_new[:5], feature_names=names.tolist()).words["word"]
    assert_array_equal(by_list, by_vectorizer)
    places = [int(word[1:]) for word in fitted.explain(X_new[:5]).words["word"]]
    assert_array_equal(names[places], by_vectorizer)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X.toarray(), columns=names)
    model = stack(("linear", linear())).fit(frame, Y)
    new = pandas.DataFrame(X_new[:5].toarray(), columns=names)
    assert set(model.explain(new, k=1).words["word"]) <= set(names)


def test_members_from_texts_name_their_own_words(corpus):
    texts, Y = corpus.data[:200], corpus.target[:200]
    words = make_pipeline(TfidfVectorizer(), linear())
    characters = make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(2, 2)), linear())
    neighbors = make_pipeline(TfidfVectorizer(), near())
    model = stack(("words", words), ("characters", characters), ("near", neighbors)).fit(texts, Y)
    explanation = model.explain(corpus.data[200:210], k=1)
    for document, _, member, word, _ in rows_of(explanation.words):
        assert word in corpus.data[200 + document]
        assert (len(word) == 2) == (member == "characters")
    assert set(explanation.words["member"]) == {"words", "characters"}
    assert len(explanation.neighbors["row"]) > 10
    log_odds = model.decision_function(corpus.data[200:210])
    for pair, total in shares_by_pair(explanation).items():
        assert abs(total - log_odds[pair]) < 1e-4
    top = model.top_features(3, member="characters")
    assert {len(word) for word in top["feature"]} == {2}


def test_linear_models_of_others_have_words(parts, vectorizer):
    X, Y, X_new = parts
    Y = Y.copy()
    Y[:, 4] = 1  # for which OneVsRestClassifier has a constant
    svc = OneVsRestClassifier(LinearSVC(random_state=0))
    logistic = make_pipeline(FunctionTransformer(), OneVsRestClassifier(LogisticRegression()))
    model = stack(("svc", svc), ("logistic", logistic)).fit(X, Y)
    explanation = model.explain(X_new[:9], labels=[3, 4], feature_names=vectorizer)
    assert set(explanation.words["label"]) == {3}
    names = vectorizer.get_feature_names_out()
    words = rows_of(explanation.words)
    coef = model.members_.svc.estimators_[3].coef_[0]
    for document in range(9):
        x = X_new[[document]].toarray()[0]
        found = [row[3] for row in words if row[0] == document and row[2] == "svc"]
        assert found == [name for name, _ in naive_words(x, coef, names, 10)]
    assert {row[3][0] for row in words if row[2] == "logistic"} == {"x"}  # its step names nothing


def test_a_frozen_member_has_its_words(parts):
    X, Y, X_new = parts
    frozen = FrozenEstimator(linear().fit(X, Y))
    model = stack(("frozen", frozen)).fit(X, Y)
    explanation = model.explain(X_new[:3], k=1)
    assert set(explanation.words["member"]) == {"frozen"}
    with pytest.raises(ValueError, match="feature_names must be .* names, one per feature"):
        model.explain(X_new[:3], feature_names=["rice"])


def test_what_is_not_linear_in_features_has_no_words_and_does_not_fail(parts):
    X, Y, X_new = parts
    bayes = OneVsRestClassifier(MultinomialNB())
    model = stack(("bayes", bayes), ("neighbors", near())).fit(X, Y)
    explanation = model.explain(X_new[:9], k=1)
    assert len(explanation.words["word"]) == 0 and len(explanation.neighbors["row"])
    with pytest.raises(ValueError, match=r"with a linear model among them. Got \['bayes', 'neigh"):
        model.top_features(0)


def test_networks_on_tokens_have_no_words(corpus, monkeypatch):
    monkeypatch.setattr("skmltc._networks.training._FEWEST_STEPS", 4)
    X = TokenSequenceVectorizer(max_length=20).fit_transform(corpus.data)
    network = BalancedLossClassifier(
        encoder=WordEmbedding(embedding_dim=4), max_epochs=1, early_stopping=False
    )
    model = stack(("network", network), ("neighbors", near())).fit(X[:200], corpus.target[:200])
    explanation = model.explain(X[200:], k=1)
    assert len(explanation.words["word"]) == 0
    assert set(explanation.shares["source"]) >= {"network", "neighbors"}
    assert len(explanation.neighbors["row"]) > 60


def test_a_support_vector_machine_of_pairs_of_classes_is_not_linear_per_class(parts):
    X, Y, _ = parts
    classes = Y[:, np.argsort(-Y.sum(axis=0))[:3]].argmax(axis=1)
    svc = SVC(kernel="linear").fit(X, classes)
    assert svc.coef_.shape[0] == 3
    assert Linear.of(Member("svc", svc, "decision_function"), 3, None) is None


# ------------------------------------------------------------------------------------- neighbours


def test_neighbours_are_the_nearest_documents_with_the_label(parts, fitted):
    X, Y, X_new = parts
    explanation = fitted.explain(X_new, k=2, n_neighbors=3)
    cosines = (X_new @ X.T).toarray()
    found = rows_of(explanation.neighbors)
    for document, label in zip(*list(explanation.labels.values())[:2], strict=True):
        nearest = np.argsort(-cosines[document], kind="stable")[:80]
        expected = [row for row in nearest if Y[row, label] and cosines[document, row] > 0][:3]
        own = [row for row in found if row[:2] == (document, label)]
        assert [row[3] for row in own] == expected
        assert_allclose([row[4] for row in own], cosines[document, expected], rtol=1e-5)
    assert set(explanation.neighbors["member"]) == {"neighbors"}


def test_neighbours_of_labels_that_were_added_are_rows_of_all_documents(parts):
    X, Y, X_new = parts
    classifier = near().fit(X[:150], Y[:150, :11])
    given = np.flatnonzero(Y[150:, 11]) + 150
    classifier.add_labels(X[given], Y[given][:, [11]])
    keys = np.arange(len(given)) * 12 + 11
    chosen = Chosen.of(keys, 12, 0, classifier.target_)
    found = list(_neighbors_of(chosen, classifier, X[given], 1))
    assert [(at, row) for at, row, _ in found] == [(k, 150 + k) for k in range(len(given))]
    assert_allclose([cosine for _, _, cosine in found], 1, rtol=1e-5)
    assert len(given) > 1


def test_neighbours_are_numbered_alike_for_labels_that_were_added(parts, fitted):
    X, Y, X_new = parts
    known, new = np.arange(0, 60, 3), X_new[:20]
    model = copy.deepcopy(fitted).add_labels(X[known], np.ones((len(known), 1)))
    first = model.n_samples_fit_
    model.add_labels(stack_rows([new, X[known]]), np.ones((20 + len(known), 1)))
    model.add_documents(X_new[20:40], np.ones((20, Y.shape[1] + 2)))
    labels = Y.shape[1] + np.arange(2)
    for documents, rows in ((X[known], known), (X_new[20:40], first + 20 + np.arange(20))):
        found = model.explain(documents, labels, n_neighbors=1).neighbors
        assert_array_equal(found["row"], np.repeat(rows, 2))
        assert_allclose(found["cosine"], 1, rtol=1e-5)
    found = model.explain(new, labels[1:], n_neighbors=1).neighbors
    assert_array_equal(found["row"], first + np.arange(20))


# ---------------------------------------------------------------------------------- a 1-D target


@pytest.mark.parametrize("n_classes", [2, 3])
def test_of_classes_the_predicted_one_is_explained(parts, n_classes):
    X, Y, X_new = parts
    frequent = Y.sum(axis=0).argsort()[-n_classes:]
    names = np.array(["rice", "milk", "beer"])[:n_classes]
    y = names[Y[:, frequent].argmax(axis=1)]
    model = stack(("linear", linear()), ("neighbors", near())).fit(X, y)
    explanation = model.explain(X_new)
    labels, predicted = explanation.labels, model.predict(X_new)
    probabilities = model.predict_proba(X_new)
    if n_classes == 2:
        second = model.classes_[1]
        assert set(labels["label"]) == {second} and len(labels["label"]) == X_new.shape[0]
        assert_array_equal(labels["is_predicted"], predicted == second)
        assert_allclose(labels["probability"], probabilities[:, 1])
        assert_array_equal(labels["log_odds"], model.decision_function(X_new))
    else:
        assert_array_equal(labels["label"], predicted)
        assert_allclose(labels["probability"], probabilities.max(axis=1))
        assert np.isnan(labels["threshold"]).all()
    given = model.explain(X_new[:2], labels=[model.classes_[1]]).labels["label"]
    assert given.tolist() == [model.classes_[1]] * 2
    assert len(explanation.table()["value"]) > 100
    with pytest.raises(ValueError, match="labels must be one of the classes"):
        model.explain(X_new, labels=["wine"])


# ------------------------------------------------------------------------------- the explanation


def test_the_long_table_has_all_rows_in_the_order_of_pairs(parts, fitted):
    explanation = fitted.explain(parts[2][:9], k=2)
    table = explanation.table()
    assert list(table) == ["document", "label", "kind", "member", "name", "value"]
    n_pairs = len(explanation.labels["label"])
    kinds = {kind: (table["kind"] == kind).sum() for kind in np.unique(table["kind"])}
    assert kinds == {
        "label": 4 * n_pairs,
        "share": 5 * n_pairs,
        "word": len(explanation.words["word"]),
        "neighbor": len(explanation.neighbors["row"]),
    }
    keys = [(d, k) for d, k in zip(table["document"], table["label"], strict=True)]
    assert keys == sorted(keys)
    first = [row[2:] for row in rows_of(table) if row[:2] == keys[0]]
    places = {"label": 0, "share": 1, "word": 2, "neighbor": 3}
    assert [places[row[0]] for row in first] == sorted(places[row[0]] for row in first)
    assert [row[2] for row in first[:4]] == ["log_odds", "probability", "threshold", "is_predicted"]
    own = explanation.of(*keys[0])
    assert [row[3] for row in first if row[0] == "share"] == own.shares["share"].tolist()
    assert [row[2] for row in first if row[0] == "neighbor"] == own.neighbors["row"].tolist()
    assert {row[1] for row in first if row[0] == "word"} == {"linear"}


def test_the_explanation_of_one_pair_is_taken_out(parts, fitted):
    explanation = fitted.explain(parts[2][:9], k=2)
    one = explanation.of(3, explanation.labels["label"][6])
    assert isinstance(one, Explanation)
    assert one.labels["log_odds"].tolist() == [explanation.labels["log_odds"][6]]
    assert len(one.shares["share"]) == 5
    assert set(one.words["document"]) == set(one.neighbors["document"]) == {3}


def test_tables_are_taken_by_pandas_as_they_are(parts, fitted):
    pandas = pytest.importorskip("pandas")
    explanation = fitted.explain(parts[2][:9])
    for name in ("labels", "shares", "words", "neighbors"):
        table = getattr(explanation, name)
        assert pandas.DataFrame(table).shape == (len(table["label"]), len(table))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [12]}, "labels must be a column number from 0 to 11. Got 12"),
        ({"labels": 3}, "labels must be a list of labels. Got 3"),
        ({"k": 0}, "k must be a whole number, at least 1. Got 0"),
        ({"k": 2, "labels": [1]}, "labels and k must be given one at a time. Got both"),
        ({"n_words": -1}, "n_words must be a whole number, at least 0"),
        ({"n_neighbors": 1.5}, "n_neighbors must be a whole number, at least 0"),
        ({"feature_names": ["rice"]}, "feature_names must be .* names, one per feature"),
    ],
)
def test_what_cannot_be_explained_is_refused(parts, fitted, options, message):
    with pytest.raises(ValueError, match=message):
        fitted.explain(parts[2][:3], **options)


def test_no_words_and_no_neighbours_may_be_wanted(parts, fitted):
    explanation = fitted.explain(parts[2][:3], k=1, n_words=0, n_neighbors=0)
    assert len(explanation.labels["label"]) == 3
    assert len(explanation.words["word"]) == len(explanation.neighbors["row"]) == 0


# ----------------------------------------------------------------------------------- top features


def test_top_features_are_the_largest_weights_of_the_linear_member(parts, fitted, vectorizer):
    table = fitted.top_features(3, vectorizer, k=5)
    weights = fitted.members_.linear.coef_[3]
    best = np.argsort(-weights)[:5]
    assert table["feature"].tolist() == vectorizer.get_feature_names_out()[best].tolist()
    assert_array_equal(table["weight"], weights[best])
    other = fitted.members_.linear.top_features(3, vectorizer, k=5)
    assert_array_equal(other["feature"], table["feature"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": 12}, "label must be a column number from 0 to 11"),
        ({"member": "neighbors"}, "member must be one of 'linear'. Got 'neighbors'"),
        ({"k": 0}, "k must be a whole number, at least 1. Got 0"),
        ({"feature_names": ["rice"]}, "feature_names must be .* names, one per feature"),
    ],
)
def test_top_features_that_are_not_there_are_refused(fitted, options, message):
    with pytest.raises(ValueError, match=message):
        fitted.top_features(**{"label": 0} | options)


def test_an_explanation_names_its_tables(documents):
    model = LongTailClassifier(random_state=0).fit(documents.X, documents.Y)
    explained = model.explain(documents.X[:2], k=1)
    assert repr(explained).startswith(
        "<Explanation: tables labels (2 rows), shares (10 rows), words"
    )


def test_labels_may_be_named(parts):
    pandas = pytest.importorskip("pandas")
    X, Y, X_new = parts
    names = [f"label {k}" for k in range(Y.shape[1])]
    members = [("linear", BalancedLossClassifier(weight_decay=1.0))]
    model = LongTailClassifier(members, random_state=0)
    model.fit(X, pandas.DataFrame(dense(Y), columns=names))
    assert model.label_names_.tolist() == names
    of_names, of_numbers = (model.explain(X_new[:3], labels) for labels in (names[1:3], [1, 2]))
    for column, values in of_numbers.labels.items():
        assert_array_equal(of_names.labels[column], values)
    assert_array_equal(model.top_features(names[2])["weight"], model.top_features(2)["weight"])
    model.add_labels(X_new[:4], [[1], [0], [1], [0]], X_known=X)
    assert model.label_names_.tolist() == [*names, str(len(names))]


def dense(Y):
    return Y.toarray() if hasattr(Y, "toarray") else Y


def test_sparse_weights_of_a_member_are_explained_too(parts, monkeypatch):
    X, Y, X_new = parts
    dense = stack(("linear", linear()), ("neighbors", near())).fit(X, Y).top_features(3, k=4)
    monkeypatch.setattr(problems, "_MOST_DENSE", 0)
    model = stack(("linear", linear()), ("neighbors", near())).fit(X, Y)
    assert sparse.issparse(model.members_.linear.coef_)
    assert_array_equal(model.top_features(3, k=4)["feature"], dense["feature"])
    assert len(model.explain(X_new[:3], k=1).words["word"])


def test_rows_of_neighbours_count_documents_of_weight_zero(parts):
    X, Y, _ = parts
    weights = np.ones(X.shape[0])
    weights[:50] = weights[70] = 0
    model = stack(("linear", linear()), ("neighbors", near())).fit(X, Y, sample_weight=weights)
    rows = [60, 69, 71, 199]
    found = model.explain(X[rows], k=1, n_neighbors=1).neighbors
    same = found["cosine"] > 1 - 1e-6
    assert same.any()
    assert found["row"][same].tolist() == np.array(rows)[found["document"][same]].tolist()


def test_tables_have_the_names_of_labels(parts):
    pandas = pytest.importorskip("pandas")
    X, Y, X_new = parts
    frame = pandas.DataFrame(np.asarray(Y), columns=[f"label {j}" for j in range(Y.shape[1])])
    found = (
        stack(("linear", linear()), ("neighbors", near()))
        .fit(X, frame)
        .explain(X_new[:2], labels=["label 3"])
    )
    assert set(found.labels["label"]) == set(found.shares["label"]) == {"label 3"}
    assert len(found.of(0, "label 3").labels["label"]) == 1
