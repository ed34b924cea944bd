"""Rows of the papers' tables: what each estimator makes of their names."""

import inspect
import warnings

import numpy as np
import pytest
from sklearn.base import clone

import skmltc
from skmltc._published import Published
from skmltc.datasets import make_long_tailed_corpus
from skmltc.encoders import WordEmbedding
from skmltc.text import TokenSequenceVectorizer

ESTIMATORS = [getattr(skmltc, name) for name in skmltc._ESTIMATORS]
HAVE_ROWS = [cls for cls in ESTIMATORS if hasattr(cls, "_published")]
ROWS = [(cls, row) for cls in HAVE_ROWS for row in cls._published.rows]
# What a row cannot say, since it is the caller's.
GIVEN = {"BalancedLossClassifier": {"encoder": WordEmbedding(embedding_dim=8)}}
OF_THE_MACHINE = {"device", "n_jobs", "random_state", "verbose", "callbacks"}
IN_TRAINING = {"optimizer", "lr", "weight_decay", "max_epochs"}  # "auto" is that of `training`


def published(cls, row, **changes):
    return cls.as_published(row, **GIVEN.get(cls.__name__, {}) | changes)


def test_a_row_wins_over_all_rows_and_the_printed_page_over_the_code():
    rows = Published({"a": {"x": 1}, "b": {}}, {"x": 2, "y": 3}, {"y": 4})
    assert rows.parameters("a", True) == {"x": 1, "y": 3}
    assert rows.parameters("b", False) == {"x": 2, "y": 4}


def test_what_is_asked_for_is_a_copy():
    rows = Published({"a": {}}, {"x": [1]})
    rows.parameters("a", True)["x"].append(2)
    assert rows.parameters("a", True) == {"x": [1]}


@pytest.mark.parametrize("cls", HAVE_ROWS)
def test_another_row_is_refused_with_the_names_of_all(cls):
    with pytest.raises(ValueError, match=f"row must be one of '{next(iter(cls._published.rows))}'"):
        cls.as_published("nothing")


@pytest.mark.parametrize("cls", HAVE_ROWS)
def test_as_released_is_true_or_false(cls):
    with pytest.raises(ValueError, match="as_released must be True or False"):
        cls.as_published(next(iter(cls._published.rows)), as_released="printed")


@pytest.mark.parametrize("cls", [cls for cls in HAVE_ROWS if cls.__name__ in GIVEN])
def test_what_is_the_callers_has_to_be_given(cls):
    for name in GIVEN[cls.__name__]:
        with pytest.raises(ValueError, match=f"^{name} must be given, .* Give {name}="):
            cls.as_published(next(iter(cls._published.rows)))


@pytest.mark.parametrize("cls", HAVE_ROWS)
def test_changes_win_and_reach_into_specs(cls):
    row = next(iter(cls._published.rows))
    model = published(cls, row, batch_size=3, training__lr=0.5)
    assert (model.batch_size, model.training.lr) == (3, 0.5)
    with pytest.raises(ValueError, match="A parameter of .*Classifier must be one of"):
        published(cls, row, nothing=1)
    assert published(cls, row).training.lr != 0.5


@pytest.mark.parametrize("as_released", [True, False])
@pytest.mark.parametrize("cls, row", ROWS)
def test_every_parameter_of_a_row_is_set(cls, row, as_released):
    model = published(cls, row, as_released=as_released)
    left = {name for name, value in model.get_params(deep=False).items() if value == "auto"}
    assert left <= OF_THE_MACHINE | IN_TRAINING | IN_VAIN.get((cls.__name__, row), set())
    assert clone(model).get_params(deep=False).keys() == model.get_params(deep=False).keys()


@pytest.mark.parametrize("cls", HAVE_ROWS)
def test_rows_differ(cls):
    shown = [repr(published(cls, row)) for row in cls._published.rows]
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("cls", HAVE_ROWS)
def test_the_documentation_names_each_row(cls):
    text = inspect.getdoc(cls.as_published)
    assert [row for row in cls._published.rows if f'"{row}"' not in text] == []
    assert "token" in text


@pytest.fixture(scope="module")
def corpus():
    corpus = make_long_tailed_corpus(n_samples=160, n_labels=8, random_state=0)
    X = TokenSequenceVectorizer(max_length=20).fit_transform(corpus.data)
    return X, corpus.target


# What makes each estimator small; nothing here may change what a row is.
SMALL: dict = {
    "BalancedLossClassifier": {"max_epochs": 1},
    "TReaderXMLClassifier": {"encoder__embedding_dim": 8, "max_epochs": 1},
    "HeadToTailClassifier": {"encoder__hidden_dim": 4, "training__max_epochs": 2},
    "HybridSiameseClassifier": {
        "encoder__embedding_dim": 6,
        "encoder__n_filters": 4,
        "encoder__hidden_dim": 8,
        "max_epochs": 2,
        "siamese_epochs": 2,
        "n_triplets": 30,
    },
}
# What has no effect in a row, and so is left at its default.
IN_VAIN: dict = {("HybridSiameseClassifier", "Sing."): {"n_triplets", "siamese_epochs"}}


def small(name, row):
    in_vain = IN_VAIN.get((name, row), ())
    return {parameter: v for parameter, v in SMALL[name].items() if parameter not in in_vain}


@pytest.mark.parametrize("cls, row", ROWS)
def test_a_row_fits_without_a_warning_and_predicts(cls, row, corpus):
    X, Y = corpus
    model = published(cls, row, random_state=0, **small(cls.__name__, row))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.fit(X, Y).predict(X[:9]).shape == (9, Y.shape[1])
    assert np.isfinite(model.decision_function(X[:9])).all()
