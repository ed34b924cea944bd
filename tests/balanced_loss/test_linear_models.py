"""Linear models of BalancedLossClassifier: top features, labels that come later, weights."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skmltc import BalancedLossClassifier
from skmltc._stages import raise_of_new
from skmltc.balanced_loss import _linear_models as balanced_loss
from skmltc.encoders import BagEncoder

N_FIT = 450  # of the 900 documents of `split`


def linear(**parameters):
    return BalancedLossClassifier(**{"weight_decay": 0.03, "random_state": 0} | parameters)


def network(**parameters):
    defaults = {"encoder": BagEncoder(hidden_dims=(16,)), "max_epochs": 4, "random_state": 0}
    return BalancedLossClassifier(**defaults | parameters)


# ----------------------------------------------------------------------------------- top features


def test_top_features_are_those_of_the_largest_weights(split):
    X, Y = split[:2]
    model = linear().fit(X, Y)
    table = model.top_features(5, k=3)
    best = np.argsort(-model.coef_[5])[:3]
    assert table["feature"].tolist() == [f"x{j}" for j in best]
    assert_array_equal(table["weight"], model.coef_[5][best])
    names = [f"word {j}" for j in range(X.shape[1])]
    assert model.top_features(5, names, k=3)["feature"].tolist() == [names[j] for j in best]


def test_top_features_have_the_names_of_a_data_frame(split):
    pandas = pytest.importorskip("pandas")
    X, Y = split[0][:, :30].toarray(), split[1]
    frame = pandas.DataFrame(X, columns=[f"word {j}" for j in range(30)])
    model = linear(threshold="tuned").fit(frame, Y)
    best = model.coef_[0].argmax()
    assert model.top_features(0, k=1)["feature"].tolist() == [f"word {best}"]


def test_top_features_of_classes_are_asked_for_by_class(split):
    X, Y = split[0], split[1].toarray()
    y = np.array(["rice", "milk", "beer"])[Y[:, :3].argmax(axis=1)]
    model = linear().fit(X, y)
    best = model.coef_[2].argmax()  # of beer, milk, rice
    assert model.top_features("rice", k=1)["feature"].tolist() == [f"x{best}"]
    two = linear().fit(X, y == "rice")
    assert two.top_features(True, k=1)["weight"].tolist() == [two.coef_[0].max()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": 20}, "label must be a column number from 0 to 19. Got 20"),
        ({"feature_names": ["rice"]}, "feature_names must be 1000 names, one per feature"),
        ({"k": 0}, "k must be a whole number, at least 1. Got 0"),
    ],
)
def test_top_features_that_are_not_there_are_refused(split, options, message):
    model = linear(threshold=0.5, calibrate=True).fit(*split[:2])
    with pytest.raises(ValueError, match=message):
        model.top_features(**{"label": 0} | options)


def test_only_linear_models_of_features_have_top_features(documents):
    with pytest.raises(NotFittedError):
        linear().top_features(0)
    model = network(max_epochs=1, early_stopping=False).fit(documents.X, documents.Y)
    assert not hasattr(model, "coef_") and not hasattr(model, "top_features")
    frozen = linear(encoder=FrozenBag(hidden_dims=(8,))).fit(documents.X, documents.Y)
    assert frozen.coef_.shape == (12, 8) and not hasattr(frozen, "top_features")


class FrozenBag(BagEncoder):
    """Its vectors are what it starts with."""

    is_frozen = True


# ------------------------------------------------------------------------------- new labels


@pytest.fixture
def few(split):
    """Documents with one of the last two labels, and those without, of the training part."""
    X, Y, *_ = split
    has = Y[:, 18:].sum(axis=1) > 0
    return np.flatnonzero(has), np.flatnonzero(~has)


@pytest.mark.parametrize("parameters", [{}, {"loss": "squared_hinge"}, {"logit_adjustment": 0.5}])
def test_added_labels_are_those_of_a_fit_and_leave_the_others_alone(parameters, split, few):
    X, Y, X_new, _ = split
    rows, rest = few
    fitted = linear(**parameters).fit(X[rest], Y[rest][:, :18])
    before = fitted.decision_function(X_new)
    raised = raise_of_new(fitted, Y[rows][:, 18:].sum(axis=0), N_FIT)
    assert fitted.add_labels(X[rows], Y[rows][:, 18:], X[rest]) is fitted
    after = fitted.decision_function(X_new)
    assert_array_equal(after[:, :18], before)
    order = np.append(rest, rows)
    whole = linear(**parameters).fit(X[order], Y[order][:, 18:])
    assert_array_equal(fitted.coef_[18:], whole.coef_)
    assert_allclose(fitted.intercept_[18:], whole.intercept_ + raised, rtol=1e-5)
    assert fitted.n_samples_fit_ == N_FIT and fitted.n_labels_ == 20
    assert_array_equal(fitted.label_counts_[18:], whole.label_counts_)
    assert fitted.predict(X_new).shape == fitted.predict_topk(X_new).shape == (450, 20)
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).decision_function(X_new), after)


def test_calibrated_scores_are_raised_since_more_documents_have_a_label_than_it_comes_with(
    split, few
):
    X, Y, *_ = split
    rows, rest = few
    whole = linear().fit(X[rest], Y[rest][:, :18])
    raw = linear(calibrate=False, threshold=0.5, loss="bce").fit(X[rest], Y[rest][:, :18])
    for fitted, is_raised in ((whole, True), (raw, False)):
        known = fitted.label_counts_
        fitted.add_labels(X[rows[:9]], Y[rows[:9]][:, [18]], X[rest])
        alone = clone(fitted).fit(
            X[np.append(rest, rows[:9])], Y[np.append(rest, rows[:9])][:, 18:]
        )
        n = fitted.label_counts_[18]
        above = [np.log(m / n) for m in known if m >= n]
        slope, _ = fitted.calibration_.lines(fitted.log_odds_against_[18:])
        raised = sum(above) / len(above) / slope if is_raised else 0
        assert_allclose(fitted.intercept_[18], alone.intercept_[0] + raised, rtol=1e-4)


def test_documents_without_the_new_labels_may_be_rows_of_zeros(split, few):
    X, Y, X_new, _ = split
    rows, rest = few
    one, other = (linear(threshold=0.5).fit(X[rest], Y[rest][:, :18]) for _ in range(2))
    order = np.append(rest, rows)
    one.add_labels(X[order], Y[order][:, 18:])
    other.add_labels(X[rows], Y[rows][:, 18:], X[rest])
    assert_array_equal(one.coef_, other.coef_)
    assert one.n_samples_fit_ == N_FIT + len(rest)  # all of them count as new
    assert_array_equal(one.predict(X_new).toarray(), one.predict_proba(X_new) > 0.5)


def test_documents_of_the_training_may_get_new_labels(split, few):
    X, Y, X_new, _ = split
    rows, rest = few
    fitted = linear().fit(X, Y[:, :18]).add_labels(X[rows], Y[rows][:, 18:], X)
    whole = linear().fit(X[np.append(rest, rows)], Y[np.append(rest, rows)])
    assert fitted.n_samples_fit_ == N_FIT
    assert_allclose(fitted.coef_[18:], whole.coef_[18:], atol=1e-3)


def test_with_some_of_the_documents_the_decay_is_as_much_per_document(split, few, monkeypatch):
    X, Y, *_ = split
    rows, rest = few
    fitted, seen = linear().fit(X[rest], Y[rest][:, :18]), []
    solve = balanced_loss.fit_linear
    monkeypatch.setattr(balanced_loss, "fit_linear", lambda *a: seen.append(a) or solve(*a))
    fitted.add_labels(X[rows], Y[rows][:, 18:], X[rest[:100]])
    ((documents, Y_fit, solver),) = seen
    assert documents.shape[0] == Y_fit.shape[0] == 100 + len(rows) and Y_fit.shape[1] == 2
    assert solver.weight_decay == pytest.approx(0.03 * (100 + len(rows)) / len(rest))


def test_a_network_cannot_add_labels_nor_can_classes(split, few):
    X, Y, *_ = split
    rows, rest = few
    fitted = network(max_epochs=1).fit(X, Y[:, :18])
    with pytest.raises(ValueError, match="encoder must be linear or not trained, to add labels"):
        fitted.add_labels(X[rows], Y[rows][:, 18:], X[rest])
    assert fitted.n_labels_ == 18
    in_batches = linear(optimizer="adamw", max_epochs=1, weight_decay=0.0).fit(X, Y[:, :18])
    with pytest.raises(ValueError, match="optimizer must be 'newton', to add labels. Got 'adamw'"):
        in_batches.add_labels(X[rows], Y[rows][:, 18:], X[rest])
    classes = linear().fit(X, np.arange(N_FIT) % 3)
    with pytest.raises(ValueError, match="y must be label indicators in fit"):
        classes.add_labels(X[rows], Y[rows][:, 18:], X[rest])


def test_an_add_that_fails_or_is_stopped_leaves_the_model_as_it_was(split, few, monkeypatch):
    X, Y, X_new, _ = split
    rows, rest = few
    fitted = linear().fit(X[rest], Y[rest][:, :18])
    before, state = fitted.decision_function(X_new), dict(vars(fitted))
    with pytest.raises(ValueError, match="X_known must be documents without the new labels"):
        fitted.add_labels(X[rows], Y[rows][:, 18:])
    with pytest.raises(ValueError, match="X has 7 features"):
        fitted.add_labels(X[rows], Y[rows][:, 18:], X[rest][:, :7])

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(balanced_loss, "fit_linear", stop)
    with pytest.raises(KeyboardInterrupt):
        fitted.add_labels(X[rows], Y[rows][:, 18:], X[rest])
    assert vars(fitted).keys() == state.keys()
    assert all(vars(fitted)[name] is value for name, value in state.items())
    assert_array_equal(fitted.decision_function(X_new), before)


# ------------------------------------------------------------------------ weights of documents


def repeated(weights):
    """Rows in which each document stands so many times."""
    return np.repeat(np.arange(len(weights)), weights)


def whole_weights(n_samples):
    weights = np.random.RandomState(0).randint(0, 4, n_samples)
    assert len(np.unique(weights)) == 4
    return weights


@pytest.mark.parametrize("loss", ["auto", "distribution_balanced", "weighted_bce", "squared_hinge"])
@pytest.mark.filterwarnings("ignore:weighted_bce gives", "ignore:threshold=0.5 cuts logits")
@pytest.mark.parametrize("form", [sparse.csr_array, lambda matrix: matrix.toarray()])
def test_a_document_of_weight_two_is_the_document_twice(split, loss, form):
    X, Y, weights = form(split[0][:60, :100]), split[1][:60, [1, 9, 17, 16, 8]], whole_weights(60)
    rows = repeated(weights)
    model = linear(loss=loss, calibrate=False, threshold=0.5)
    weighted = clone(model).fit(X, Y, sample_weight=weights)
    twice = clone(model).fit(X[rows], Y[rows])
    assert_allclose(weighted.coef_, twice.coef_, atol=1e-5)
    assert_allclose(weighted.intercept_, twice.intercept_, atol=1e-5)
    assert_array_equal(weighted.label_counts_, twice.label_counts_)
    assert weighted.label_counts_.dtype == twice.label_counts_.dtype
    assert weighted.n_samples_fit_ == twice.n_samples_fit_ == weights.sum()


def test_a_document_of_weight_zero_is_left_out(split):
    X, Y, _, _ = split
    weights = whole_weights(N_FIT)
    left = weights > 0
    model = BalancedLossClassifier(random_state=0)
    weighted = clone(model).fit(X, Y, sample_weight=weights)
    without = clone(model).fit(X[left], Y[left], sample_weight=weights[left])
    for name in ("weight_decay_", "coef_", "threshold_"):
        assert_array_equal(getattr(weighted, name), getattr(without, name))
    assert_array_equal(weighted.decision_function(X), without.decision_function(X))


def test_weights_of_one_are_none(split):
    X, Y, _, _ = split
    weighted = linear().fit(X, Y, sample_weight=np.ones(N_FIT))
    assert_array_equal(weighted.decision_function(X), linear().fit(X, Y).decision_function(X))


def test_a_label_whose_documents_weigh_more_is_more_probable(split):
    X, Y, X_val, _ = split
    model = linear(loss="bce")
    weights = np.where(Y[:, [9]].toarray().ravel() > 0, 3.5, 1.0)
    plain = clone(model).fit(X, Y)
    weighted = clone(model).fit(X, Y, sample_weight=weights)
    of_first = [one.predict_proba(X_val)[:, 9].mean() for one in (plain, weighted)]
    assert of_first[1] > 1.05 * of_first[0]
    assert weighted.n_samples_fit_ == weights.sum()


def test_networks_take_no_weights(split):
    message = "sample_weight must be None where a network is trained in mini-batches. Got weights"
    with pytest.raises(ValueError, match=message):
        network().fit(split[0], split[1], sample_weight=np.ones(N_FIT))
    with pytest.raises(ValueError, match=message):
        linear(optimizer="adamw").fit(split[0], split[1], sample_weight=np.ones(N_FIT))


@pytest.mark.parametrize(
    "weights, message",
    [
        (np.ones(3), rf"of shape \({N_FIT},\), one number per document. Got shape \(3,\) instead"),
        (["a"] * N_FIT, rf"of shape \({N_FIT},\), one number per document. Got "),
        (np.full(N_FIT, -1.0), "finite and not negative. Got -1 instead"),
        (np.full(N_FIT, np.nan), "finite and not negative. Got nan instead"),
        (np.zeros(N_FIT), "above 0 for one document at least. Got only zeros instead"),
    ],
)
def test_weights_are_checked(split, weights, message):
    with pytest.raises(ValueError, match=f"sample_weight must be {message}"):
        linear().fit(split[0], split[1], sample_weight=weights)


def test_labels_may_be_named(split):
    pandas = pytest.importorskip("pandas")
    names = [f"label {k}" for k in range(split[1].shape[1])]
    model = linear().fit(split[0], pandas.DataFrame(split[1].toarray(), columns=names))
    assert model.label_names_.tolist() == names
    assert_array_equal(model.top_features("label 3")["weight"], model.top_features(3)["weight"])
    model.add_labels(split[0], split[1][:, [2]])
    assert model.label_names_.tolist() == [*names, "20"]
