"""Estimators of rows: those of the package, as published or with parameters, and their rivals."""

import inspect
import time
import warnings

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import LinearSVC

import skmltc
from skmltc import encoders
from skmltc.decision import (
    RULES,
    Calibration,
    Candidates,
    Decision,
    MultilabelThresholdClassifierCV,
    MultilabelVotingClassifier,
    ScoredPairs,
    adjusted,
    select_for_tail,
)
from skmltc.labels import log_odds_against
from skmltc.model_selection import list_held_out, multilabel_cross_val_predict
from skmltc.neighbors import MultilabelKNeighborsClassifier
from skmltc.text import TokenSequenceVectorizer

from .data import Missing, VectorsOfTexts, part_of, transformer_folder, words
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
        (_, self.C_, parts, self.svc_), self.saved_seconds_ = once(key, lambda: self._fit(X, y))
        self._decide(parts, y.sum(axis=0), y.shape[0])
        return self

    def _decide(self, parts, counts, n_samples):
        self.decision_ = Decision.at(0.0, counts)
        if self.threshold != "own":
            pairs = _joined(parts)
            self.decision_ = Decision.learn(self.threshold, pairs, counts, n_samples)

    def _fit(self, X, y):
        """What rows of all rules share; with X and y, so that their ids stay theirs."""
        folds = list_held_out(y, self.random_state)
        with warnings.catch_warnings():  # labels that want more iterations are as they are
            warnings.simplefilter("ignore", ConvergenceWarning)
            C, parts = self._choose(X, y, folds)
            return (X, y), C, parts, self._svc(C).fit(X, y)

    def _choose(self, X, y, folds):
        """C, and its pairs of held-out documents by folds."""
        tried = [(C, self._pairs(C, X, y, folds)) for C in self.Cs]
        return max(tried, key=lambda one: _joined(one[1]).micro_f1_curve()[1].max(initial=0))

    def _svc(self, C):
        svc = LinearSVC(C=C, class_weight=self.class_weight, random_state=self.random_state)
        return OneVsRestClassifier(svc)

    def _pairs(self, C, X, y, folds):
        """Scores of documents held out, as MultilabelThresholdClassifierCV(cv=folds) has them."""
        scores = multilabel_cross_val_predict(self._svc(C), X, y, cv=folds)
        return [ScoredPairs.collect_rows([scores[t]], y[fit], y[t]) for fit, t in folds]

    def decision_function(self, X):
        return self.svc_.decision_function(X)

    def predict(self, X):
        return self.decision_.predict(self.decision_function(X))


def _joined(parts):
    return ScoredPairs.concatenate(parts)


class ChosenSVC(RivalSVC):
    """LinearSVC with every choice that `LongTailClassifier` makes, on the same folds.

    C is chosen together with the logit adjustment of the rule "frequency", on labels of all
    frequencies; the rule by the best macro-F1 within 0.3 points of the best micro-F1, learned on
    two folds and tried on the third; and scores are calibrated.
    """

    def __init__(
        self,
        threshold=tuple(RULES),
        Cs=(0.1, 0.2, 0.4, 1.0, 2.0),
        class_weight=None,
        n_search_labels=100,
        random_state=None,
    ):
        super().__init__(threshold, Cs, class_weight, random_state)
        self.n_search_labels = n_search_labels

    def _choose(self, X, y, folds):
        counts = y.sum(axis=0)
        order = np.argsort(-counts, kind="stable")
        few = np.sort(order[:: max(1, len(order) // self.n_search_labels)])
        against = log_odds_against(counts, y.shape[0])[few]
        tried = {C: _joined(self._pairs(C, X, y[:, few], folds)) for C in self.Cs}
        options = {C: adjusted(pairs, against) for C, pairs in tried.items()}
        keys = [(C, tau) for C, taus in options.items() for tau in taus]
        (C, _), _ = select_for_tail(Candidates(lambda key: options[key[0]][key[1]], keys))
        return C, self._pairs(C, X, y, folds)

    def _decide(self, parts, counts, n_samples):
        pairs = _joined(parts)
        f1s = {rule: _f1s(rule, parts, counts, n_samples) for rule in self.threshold}
        best = max(micro for micro, _ in f1s.values())
        near = [rule for rule, (micro, _) in f1s.items() if micro >= best - 0.003]
        self.rule_ = max(near, key=lambda rule: f1s[rule][1])
        self.decision_ = Decision.learn(self.rule_, pairs, counts, n_samples)
        self.calibration_ = Calibration.of_pairs(pairs)
        self.against_, self.is_known_ = log_odds_against(counts, n_samples), counts > 0

    def predict_proba(self, X):
        scores = self.decision_function(X).astype(np.float32)
        return expit(self.calibration_.logits(scores, self.against_, self.is_known_))


def _f1s(rule, parts, counts, n_samples):
    """Micro- and macro-F1 of every fold's pairs by the cut-offs that the others learn."""
    n_true, n_found, n_positive = np.zeros((3, len(counts)))
    for k, part in enumerate(parts):
        others = _joined(parts[:k] + parts[k + 1 :])
        cut_offs = Decision.learn(rule, others, counts, n_samples).thresholds
        found = part.weights * (part.scores > cut_offs[part.labels])
        n_true += np.bincount(part.labels, found * part.is_true, minlength=len(counts))
        n_found += np.bincount(part.labels, found, minlength=len(counts))
        n_positive += part.n_positives
    f1s = 2 * n_true / np.maximum(n_found + n_positive, 1)
    return 2 * n_true.sum() / (n_found + n_positive).sum(), f1s.mean()


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


def make_of_texts(encoder=False, random_state=None):
    """What `from_texts` makes, around vectors that are there already."""
    embedder = VectorsOfTexts() if encoder else None
    return skmltc.LongTailClassifier.from_texts(embedder, random_state=random_state)


def make_stack(members, random_state=None):
    """A stack of some of the members of `MEMBERS`, from texts."""
    named = [(name.replace(" ", "_"), MEMBERS[name]()) for name in members]
    return skmltc.LongTailClassifier(named, random_state=random_state)


def _of_words(classifier):
    return make_pipeline(words(), classifier)


def _of_characters(classifier):
    characters = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), min_df=3, sublinear_tf=True, dtype=np.float32
    )
    return make_pipeline(characters, classifier)


def _of_vectors(classifier):
    return make_pipeline(VectorsOfTexts(), Normalizer(), classifier)


def _linear():
    return skmltc.BalancedLossClassifier(loss="squared_hinge")


def _near():
    return MultilabelKNeighborsClassifier()


MEMBERS = {
    "words": lambda: _of_words(_linear()),
    "CB-NTR": lambda: _of_words(skmltc.BalancedLossClassifier()),
    "LinearSVC": lambda: _of_words(OneVsRestClassifier(LinearSVC(random_state=0))),
    "neighbors by words": lambda: _of_words(_near()),
    "characters": lambda: _of_characters(_linear()),
    "meaning": lambda: _of_vectors(_linear()),
    "neighbors by meaning": lambda: _of_vectors(_near()),
}

OTHERS = {
    "LinearSVC": RivalSVC,
    "LinearSVC, all chosen": ChosenSVC,
    "SVM of the paper": PaperSVM,
    "vote": make_vote,
    "from_texts": make_of_texts,
    "stack": make_stack,
}
