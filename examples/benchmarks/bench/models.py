"""Estimators of rows: those of the package, as published or with parameters, and their rivals."""

import inspect
import time
import warnings

from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

import skmltc
from skmltc import encoders
from skmltc.decision import (
    Decision,
    MultilabelThresholdClassifierCV,
    MultilabelVotingClassifier,
    ScoredPairs,
)
from skmltc.model_selection import list_held_out, multilabel_cross_val_predict
from skmltc.text import TokenSequenceVectorizer

from .data import Missing, part_of, transformer_folder, words
from .rows import Transformer

# What makes a fit short, of the parameters that a model, its encoder or its members have.
QUICK = {
    "max_epochs": 1,
    "siamese_epochs": 1,
    "n_triplets": 200,
    "n_ensembles": 2,
    "n_prototypes": 3,
    "max_iter": 5,
    "Cs": (1.0,),
    "hidden_dim": 8,
    "embedding_dim": 8,
    "n_filters": 4,
}


def model_of(row, seed, task=None, quick=False):
    """Make the estimator of a row, not fitted."""
    parameters = {name: _real(value) for name, value in row.parameters.items()}
    if row.estimator in OTHERS:
        model = OTHERS[row.estimator](**parameters, random_state=seed)
        return make_quick(model) if quick else model
    cls = getattr(skmltc, row.estimator)
    if task is not None and row.parents:
        parameters["label_parents"] = task.parents
    if row.published is None:
        model = cls(**parameters, random_state=seed)
    else:
        rows_of_paper(row)
        model = cls.as_published(
            row.published, as_released=row.as_released, random_state=seed, **parameters
        )
    return make_quick(model) if quick else model


def rows_of_paper(row):
    """The rows that the row's class knows; Missing where it does not know this one."""
    cls = getattr(skmltc, row.estimator)
    known = getattr(cls, "_published", None)
    if known is None or row.published not in known.rows:
        raise Missing(f"{row.estimator}.as_published({row.published!r})")
    lacking = [
        name
        for name in (one.partition("__")[0] for one in row.parameters)
        if name not in inspect.signature(cls).parameters
    ]
    if lacking:
        raise Missing(f"{row.estimator}: the parameters {', '.join(lacking)}")
    return known.rows


def make_quick(model):
    """Give a model, or the models in it, sizes for which a fit takes an instant."""
    sizes = {
        name: size
        for name, value in model.get_params().items()
        for size in (QUICK.get(name, QUICK.get(name.rpartition("__")[2])),)
        if size is not None and value is not None
    }
    return model.set_params(**sizes)


def _real(value):
    """A parameter with what stands for a transformer replaced by one."""
    if not isinstance(value, Transformer):
        return value
    return part_of(encoders, "TransformerEncoder")(transformer_folder(), **value._asdict())


# ---------------------------------------------------------------------------------------- rivals


class RivalSVC(BaseEstimator):
    """One-vs-rest LinearSVC with what ours has too: a strength and cut-offs learned out of fold.

    Parameters
    ----------
    threshold : str, default="frequency"
        A rule of `MultilabelThresholdClassifierCV`; "own" cuts at 0.
    Cs : tuple of float
        The one with the best micro-F1 of a single cut-off, over held-out documents, is taken.
    class_weight : {None, "balanced"}, default=None
    random_state : int, default=None
        It decides the folds, which are those of our estimators.
    """

    def __init__(
        self,
        threshold="frequency",
        Cs=(0.1, 0.3, 1.0, 3.0, 10.0),
        class_weight=None,
        random_state=None,
    ):
        self.threshold = threshold
        self.Cs = Cs
        self.class_weight = class_weight
        self.random_state = random_state

    def fit(self, X, y):
        """Choose C, learn the cut-offs, and fit on all documents."""
        key = id(X), id(y), self.class_weight, self.Cs, self.random_state
        (_, self.C_, pairs, self.svc_), self.saved_seconds_ = once(key, lambda: self._fit(X, y))
        counts = y.sum(axis=0)
        self.decision_ = Decision.at(0.0, counts)
        if self.threshold != "own":
            self.decision_ = Decision.learn(self.threshold, pairs, counts, y.shape[0])
        return self

    def _fit(self, X, y):
        """What rows of all rules share; with X and y, so that their ids stay theirs."""
        folds = list_held_out(y, self.random_state)
        with warnings.catch_warnings():  # labels that want more iterations are as they are
            warnings.simplefilter("ignore", ConvergenceWarning)
            tried = [(C, self._pairs(C, X, y, folds)) for C in self.Cs]
            C, pairs = max(tried, key=lambda one: one[1].micro_f1_curve()[1].max(initial=0))
            return (X, y), C, pairs, self._svc(C).fit(X, y)

    def _svc(self, C):
        svc = LinearSVC(C=C, class_weight=self.class_weight, random_state=self.random_state)
        return OneVsRestClassifier(svc)

    def _pairs(self, C, X, y, folds):
        """Scores of documents held out, as MultilabelThresholdClassifierCV(cv=folds) has them."""
        scores = multilabel_cross_val_predict(self._svc(C), X, y, cv=folds)
        parts = [ScoredPairs.collect_rows([scores[t]], y[fit], y[t]) for fit, t in folds]
        return ScoredPairs.concatenate(parts)

    def decision_function(self, X):
        return self.svc_.decision_function(X)

    def predict(self, X):
        return self.decision_.predict(self.decision_function(X))


_LAST: dict = {}


def once(key, make):
    """What was made for a key, and the CPU seconds that are saved if it was made before.

    The last one alone is kept.
    """
    if key in _LAST:
        return _LAST[key]
    _LAST.clear()
    start = time.process_time()
    made = make()
    _LAST[key] = made, time.process_time() - start
    return made, 0.0


class PaperSVM(BaseEstimator):
    """The SVM of Huang et al.: C = 1, one cut-off of the best micro-F1 on a validation part."""

    def __init__(self, threshold="tuned", random_state=None):
        self.threshold = threshold
        self.random_state = random_state

    def fit(self, X, y, X_val, y_val):
        svc = OneVsRestClassifier(LinearSVC(max_iter=10_000, random_state=self.random_state))
        fitted = FrozenEstimator(svc.fit(X, y))
        self.model_ = MultilabelThresholdClassifierCV(fitted, threshold=self.threshold)
        self.model_.fit(X_val, y_val)
        return self

    def decision_function(self, X):
        return self.model_.decision_function(X)

    def predict(self, X):
        return self.model_.predict(X)


def make_vote(max_length=128, random_state=None):
    """A vote of the linear model on words and the BiLSTM on tokens, from texts to labels."""
    model = skmltc.BalancedLossClassifier
    tokens = TokenSequenceVectorizer(max_length=max_length)
    parts = [
        ("linear", make_pipeline(words(), model(random_state=random_state))),
        ("bilstm", make_pipeline(tokens, model(encoder="bilstm", random_state=random_state))),
    ]
    return MultilabelVotingClassifier(parts, weights=[2, 1])  # the best on a validation part


OTHERS = {"LinearSVC": RivalSVC, "SVM of the paper": PaperSVM, "vote": make_vote}
