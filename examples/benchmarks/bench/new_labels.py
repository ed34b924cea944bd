"""Labels that come later: withheld with all their documents, then added with a few of them."""

import time
from dataclasses import replace

import numpy as np

from skmltc import BalancedLossClassifier

from .data import Missing

N_DOCUMENTS = 5  # that a label comes with
COUNTS, LEAST_TESTED = (20, 60), 5  # documents of the labels that are withheld


class AddsLabels:
    """Fits a model without some labels, and adds them; its scores are those of the new labels.

    Parameters
    ----------
    model : estimator with `add_labels`
    X, Y : documents without the new labels, and their other labels
    """

    def __init__(self, model, X, Y):
        self.model, self.X, self.Y = model, X, Y
        self.threshold, self.device = model.threshold, getattr(model, "device", "cpu")

    def fit(self, X, Y_new):
        """Fit the model and add the labels; only the second is counted as this fit's time."""
        before = time.process_time(), time.perf_counter()
        self.model.fit(self.X, self.Y)
        self.saved_seconds_ = np.subtract(before, (time.process_time(), time.perf_counter()))
        keeps_none = isinstance(self.model, BalancedLossClassifier)
        self.model.add_labels(X, Y_new, *([self.X] if keeps_none else []))
        self.n_known_ = self.Y.shape[1]
        return self

    def predict(self, X):
        return self.model.predict(X)[:, self.n_known_ :]

    def decision_function(self, X):
        return self.model.decision_function(X)[:, self.n_known_ :]

    def predict_proba(self, X):
        return self.model.predict_proba(X)[:, self.n_known_ :]


def withheld(task, model, n_labels):
    """The task of the new labels alone, and the model that gets them.

    They are the first by column with 20 to 60 training documents and 5 test documents at least.
    """
    Y = task.Y_train
    counts, tested = (np.asarray(part.sum(axis=0)).ravel() for part in (Y, task.Y_test))
    wanted = (counts >= COUNTS[0]) & (counts <= COUNTS[1]) & (tested >= LEAST_TESTED)
    new = np.flatnonzero(wanted)[:n_labels]
    if not len(new):
        raise Missing("labels with 20 to 60 training documents")
    old, by_label = np.setdiff1d(np.arange(Y.shape[1]), new), Y[:, new].T.tocsr()
    has = np.unique(by_label.indices)
    rest = np.setdiff1d(np.arange(Y.shape[0]), has)
    rows = np.split(by_label.indices, by_label.indptr[1:-1])
    few = np.unique(np.concatenate([np.sort(some)[:N_DOCUMENTS] for some in rows]))
    known = AddsLabels(model, task.X_train[rest], Y[rest][:, old])
    parts = {"X_train": task.X_train[few], "Y_train": Y[few][:, new], "Y_test": task.Y_test[:, new]}
    return replace(task, **parts), known
