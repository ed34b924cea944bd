"""What the four estimators share: checking, describing labels, seeding, and the predict chain."""

from __future__ import annotations

import copy
import warnings
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_array, check_random_state, gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from ._inputs import check_token_ids, input_kind, known_tokens, warn_of_counts
from ._ranking import check_k
from ._targets import form_of, in_form
from ._validation import (
    LabelWarning,
    check_choice,
    check_consistent_rows,
    check_label_matrix,
    must_be,
)
from .decision import check_threshold, decide, top_scores
from .encoders import ENCODERS, BagEncoder, TextCNN
from .labels import label_groups
from .losses import LOSSES

_SCORES_AT_A_TIME = 2**22  # documents are scored in blocks, so that memory does not grow with them


class BaseLongTailClassifier(ClassifierMixin, BaseEstimator):
    """Base of the four estimators: `fit` checks and describes, `_fit` is the paper.

    A subclass has its parameters, ``_fit(X, Y, validation, random_state)``, which sets
    `threshold_`, and ``_score(X)``, the logits of a block of documents.
    """

    _default_encoders = {"features": BagEncoder(), "tokens": TextCNN()}
    _parameter_constraints: dict = {
        "encoder": [str, BaseEstimator],
        "loss": [str, BaseEstimator],
        "optimizer": [StrOptions({"auto", "lbfgs", "adamw"})],
        "lr": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "weight_decay": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": [StrOptions({"auto"}), "boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "min_labels": [Interval(Integral, 0, None, closed="left")],
        "device": [str],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "callbacks": [None, list, tuple],
    }

    def fit(self, X, y, X_val=None, y_val=None):
        """Train on documents and their labels.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Features, such as TF-IDF weights; or token ids, a dense array of integers with 0 for
            padding and 1 for unknown words, as `TokenSequenceVectorizer` makes them.
        y : array or sparse matrix of shape (n_samples, n_labels), or array of (n_samples,)
            Label indicators, dense or of any scipy sparse format; or one class per document.
        X_val, y_val : like X and y, default=None
            An official validation part. Without it what has to be tuned is tuned on documents
            held out of X.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y or a parameter is not of the form above; the message says what to give.
        """
        self._validate_params()
        check_threshold(self.threshold)
        self._loss, self._encoder = self._spec("loss", LOSSES), self._spec("encoder", ENCODERS)
        self._forget()
        X = self._learn_inputs(X)
        Y = self._learn_labels(y)
        check_consistent_rows(X, Y)
        self._describe_labels(Y)
        validation = self._check_validation(X_val, y_val)
        random_state = check_random_state(self.random_state)
        with seeded_torch(random_state.randint(2**31 - 1)):
            self._fit(X, Y, validation, random_state)
        return self

    def _forget(self):
        """Drop what an earlier fit learned: another encoder or y has other attributes."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)

    def _learn_inputs(self, X):
        """Learn whether X is features or tokens, and how many of them; return it checked."""
        self._kind = input_kind(X) if self._encoder is None else _kind_of(self._encoder)
        if self._encoder is None:
            self._encoder = clone(self._default_encoders[self._kind])
        X = self._checked(X, reset=True)
        if self._kind == "features":
            self._n_inputs = X.shape[1]
            return X
        warn_of_counts(X)
        self._n_inputs = self._encoder.n_embeddings(int(X.max()))
        return known_tokens(X, self._n_inputs)

    def _check_inputs(self, X):
        X = self._checked(X, reset=False)
        return X if self._kind == "features" else known_tokens(X, self._n_inputs)

    def _checked(self, X, reset):
        if self._kind == "features":
            return validate_data(self, X, reset=reset, accept_sparse="csr", dtype=np.float32)
        return check_token_ids(validate_data(self, X, reset=reset), type(self).__name__)

    def _check_validation(self, X_val, y_val):
        if (X_val is None) != (y_val is None):
            raise must_be("X_val and y_val", "given together", "one of them")
        if X_val is None:
            return None
        X_val = self._check_inputs(X_val)
        Y_val = self._indicators(y_val, "y_val")
        check_consistent_rows(X_val, Y_val, name="y_val")
        return X_val, Y_val

    def _learn_labels(self, y):
        """Learn from y what kind of target it is; return its indicators (n_samples, n_labels)."""
        if y is None:
            remedy = f"{type(self).__name__} requires y to be passed, but the target y is None."
            raise must_be("y", "given", None, remedy)
        self._form = form_of(y)
        y = y if sparse.issparse(y) else _dense_target(y)
        if sparse.issparse(y) or (y.ndim == 2 and y.shape[1] > 1):
            self._target = "multilabel"
            self.classes_ = np.arange(y.shape[1])
        else:
            y = column_or_1d(y, warn=True)
            check_classification_targets(y)
            self.classes_ = np.unique(y)
            self._target = "binary" if len(self.classes_) == 2 else "multiclass"
        if self._target != "multilabel" and len(self.classes_) < 2:
            raise must_be("y", "of at least 2 classes", f"{len(self.classes_)} class")
        return self._indicators(y, "y")

    def _indicators(self, y, name):
        if self._target == "multilabel":
            n_labels = len(self.classes_)
            return check_label_matrix(y, n_labels=n_labels, name=name)
        codes = np.searchsorted(self.classes_, column_or_1d(y))
        codes = np.minimum(codes, len(self.classes_) - 1)
        unknown = self.classes_[codes] != column_or_1d(y)
        if unknown.any():
            raise must_be(name, f"of the classes {self.classes_}", np.asarray(y)[unknown][0])
        if self._target == "binary":
            return sparse.csr_array((codes == 1).astype(np.float32)[:, None])
        ones = np.ones(len(codes), dtype=np.float32)
        return sparse.csr_array(
            (ones, codes, np.arange(len(codes) + 1)), shape=(len(codes), len(self.classes_))
        )

    def _describe_labels(self, Y):
        self.n_samples_fit_, self.n_labels_ = Y.shape
        self.label_counts_ = np.bincount(Y.indices, minlength=self.n_labels_)
        groups = label_groups(self.label_counts_)
        self.head_labels_ = np.flatnonzero(groups["head"])
        self.tail_labels_ = np.flatnonzero(groups["tail"])
        empty = np.flatnonzero(self.label_counts_ == 0)
        if len(empty) == self.n_labels_:
            raise must_be("y", "a matrix with at least one positive", "only zeros")
        if len(empty):
            first = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
            warnings.warn(
                f"{len(empty)} of {self.n_labels_} labels have no training document (columns "
                f"{first}). They will never be predicted.",
                LabelWarning,
                stacklevel=3,
            )

    def _spec(self, name, known):
        """The spec behind a parameter: an object as it is, a name with its defaults."""
        value = getattr(self, name)
        if isinstance(value, str):
            check_choice(name, value, ["auto", *known])
            return None if value == "auto" else known[value]()
        if not hasattr(value, "build"):
            raise must_be(name, "a name or a spec with a build method", repr(value))
        return value

    def set_params(self, **params):
        """Set parameters; of a loss or encoder given by name too, as in ``loss__gamma=1``.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self
        """
        nested = {name: value for name, value in params.items() if "__" in name}
        super().set_params(**{name: params[name] for name in params.keys() - nested})
        for name, known in (("loss", LOSSES), ("encoder", ENCODERS)):
            if any(key.startswith(f"{name}__") for key in nested):
                self._resolve(name, known)
        return super().set_params(**nested)

    def _resolve(self, name, known):
        spec = self._spec(name, known)
        if spec is None:
            remedy = f"Name the {name} to set its parameters: one of {', '.join(known)}."
            raise must_be(name, "a name or a spec", "'auto'", remedy)
        setattr(self, name, spec)

    def _wants_tokens(self):
        """Whether the encoder, as far as it is named, reads tokens alone."""
        name = self.encoder if isinstance(self.encoder, str) else None
        return _kind_of(ENCODERS.get(name, self.encoder)) == "tokens"

    def _has_logits(self):
        """Whether `decision_function` is there: for tokens when fitted.

        scikit-learn's check of its order feeds fractions to whatever estimator has it before
        `fit`, for all that its tags say.
        """
        return hasattr(self, "n_labels_") or not self._wants_tokens()

    def _device(self):
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    @available_if(_has_logits)
    def decision_function(self, X):
        """Logits of every label.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of float32 of shape (n_samples, n_labels), or (n_samples,) for a binary y
        """
        logits = np.concatenate(list(self._score_blocks(X)))
        return logits.ravel() if self._target == "binary" else logits

    def predict_proba(self, X):
        """Probabilities: the logistic function of the logits, uncut.

        A balancing loss does not give calibrated probabilities: rare labels come out higher than
        their frequency. To read them as frequencies, calibrate each label on documents held out.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_labels)
            For a 1-D y (n_samples, n_classes), with rows that sum to 1.
        """
        probabilities = expit(np.concatenate(list(self._score_blocks(X))))
        if self._target == "binary":
            return np.hstack([1 - probabilities, probabilities])
        if self._target == "multiclass":
            tiny = np.finfo(probabilities.dtype).tiny
            probabilities /= np.maximum(probabilities.sum(axis=1, keepdims=True), tiny)
        return probabilities

    def predict(self, X):
        """Predict the labels above `threshold_`; for a 1-D y the best class.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array or sparse matrix of shape (n_samples, n_labels), or array of (n_samples,)
            Sparse where y was.
        """
        blocks = self._score_blocks(X)
        if self._target == "multilabel":
            decided = [decide(block, self.threshold_, self.min_labels) for block in blocks]
            return in_form(sparse.vstack(decided, format="csr"), self._form)
        logits = np.concatenate(list(blocks))
        binary = self._target == "binary"
        best = (logits[:, 0] > 0).astype(int) if binary else logits.argmax(axis=1)
        return self.classes_[best]

    def predict_topk(self, X, k=5):
        """The best labels of each document, without a dense matrix of all scores.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
        k : int, default=5
            Labels per document.

        Returns
        -------
        csr_array of shape (n_samples, n_labels)
            Probabilities of the best k labels of each row.
        """
        check_k(k)
        tops = [top_scores(block, self.threshold_, k) for block in self._score_blocks(X)]
        best = sparse.vstack(tops, format="csr")
        best.data = expit(best.data.astype(np.float64))  # in float32 the best would tie at 1
        return best

    def _score_blocks(self, X):
        """Logits of some thousand documents at a time."""
        check_is_fitted(self)
        X = self._check_inputs(X)
        rows = max(1, _SCORES_AT_A_TIME // self.n_labels_)
        return (self._score(X[block]) for block in gen_batches(X.shape[0], rows))

    def __getstate__(self):
        """Leave out what only training needs, and bring networks to the CPU."""
        state = super().__getstate__().copy()
        state.pop("net_", None)
        for name, value in state.items():
            if isinstance(value, torch.nn.Module):
                state[name] = copy.deepcopy(value).cpu()
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        wants_tokens = self._wants_tokens()
        tags.input_tags.sparse = not wants_tokens
        tags.input_tags.categorical = tags.input_tags.positive_only = wants_tokens
        tags.classifier_tags.multi_label = True
        return tags


def _kind_of(encoder):
    """What an encoder reads, "features" or "tokens"; features where it does not say."""
    return getattr(encoder, "kind", "features")


def _dense_target(y):
    try:
        return check_array(y, ensure_2d=False, dtype=None, input_name="y")
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        remedy = "sklearn.preprocessing.MultiLabelBinarizer makes indicators of lists of labels."
        expected = "a label indicator matrix or one class per document"
        raise must_be("y", expected, "rows of different lengths", remedy) from error


@contextmanager
def seeded_torch(seed):
    """Seed torch for the block and leave its global random state as it was."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
