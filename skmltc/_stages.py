"""The values that a fit passes on from stage to stage, and when documents are enough to decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ._inputs import Inputs
from ._rows import is_among, stack_rows
from ._targets import Target
from ._validation import check_consistent_rows, check_sample_weight, must_be
from .decision import CUT_EACH_LABEL, Calibration, Decision, Documents, ScoredPairs
from .distributed import of_first
from .labels import label_groups, log_odds_against
from .model_selection import list_held_out

ENOUGH_TO_DECIDE = 500  # labels on unseen documents; with fewer, decide on folds
# Labels that parts of a third hold out. Networks train long for each. From here on macro-F1 and the
# tail gained nothing by further parts; one part of half as many labels cost up to a point.
_ENOUGH_OUT_OF_FOLD = 2000


class Problem(NamedTuple):
    """What is learned of X and y before training."""

    inputs: Inputs
    target: Target

    @classmethod
    def of(cls, inputs, target):
        """Let the encoder see how many labels there are."""
        encoder = inputs.encoder.for_labels(len(target.classes))
        return cls(replace(inputs, encoder=encoder), target)


class Trained(NamedTuple):
    """What training leaves.

    Parameters
    ----------
    scorer : Scorer
    plan : object
        What training again on other documents needs: epochs, weight decay, mixture.
    fitted_Y : csr_array of shape (n_fitted, n_labels)
        Labels of the documents trained on.
    unseen : Documents or None
        Documents that training has not seen.
    pairs : ScoredPairs, default=None
        Where choosing the weight decay made them already.
    attributes : mapping, default={}
        Public fitted attributes.
    interrupted : str, default=None
        Where the user stopped the training, what to say of it.
    """

    scorer: object
    plan: object
    fitted_Y: sparse.csr_array
    unseen: Documents | None
    pairs: ScoredPairs | None = None
    attributes: Mapping = MappingProxyType({})
    interrupted: str | None = None

    @property
    def is_network(self):
        """Whether a network was trained in mini-batches, which takes long."""
        return "net_" in self.attributes


class Decided(NamedTuple):
    """The scorer in the end, its calibration and decision, and further fitted attributes."""

    scorer: object
    calibration: Calibration
    decision: Decision
    attributes: Mapping = MappingProxyType({})

    def as_in_first(self):
        """With the calibration and the decision of the first of the processes, if several train."""
        learned = of_first((self.calibration, self.decision))
        return self._replace(calibration=learned[0], decision=learned[1])


def draw_seed(random_state):
    """Make a seed of a random state, one for all processes: an integer is itself."""
    if isinstance(random_state, Integral):
        return of_first(int(random_state))
    return of_first(int(check_random_state(random_state).randint(2**31 - 1)))


def read_documents(problem, X, y, checker, name="y", sample_weight=None):
    """Documents of checked X, with the label indicators of y; those of weight 0 are left out."""
    X, Y = problem.inputs.read(X, checker), problem.target.indicators(y, name)
    check_consistent_rows(X, Y, name=name)
    if sample_weight is None:
        return Documents(X, Y)
    documents = Documents(X, Y, check_sample_weight(sample_weight, len(Y.indptr) - 1))
    return documents if documents.weights.all() else documents[documents.weights > 0]


def weights_in_batches():
    """Make the error of weights where they have no exact meaning."""
    expected = "None where a network is trained in mini-batches"
    remedy = (
        "A weight of two is not the same as a document twice there. Weights are for linear models "
        "that Newton's method solves: encoder='bag', or one that is not trained."
    )
    return must_be("sample_weight", expected, "weights", remedy)


def read_new_labels(model, X, Y_new):
    """Documents with the indicators of labels that a fitted model does not know.

    Parameters
    ----------
    model : fitted estimator
        With `inputs_` and `target_`.
    X : array or sparse matrix of shape (n_samples, n_features)
    Y_new : array or sparse matrix of shape (n_samples, n_new)

    Returns
    -------
    Documents

    Raises
    ------
    ValueError
        If a new label has no document, or y of `fit` was not an indicator matrix.
    """
    check_is_fitted(model)
    X = model.inputs_.read(X, model)
    return Documents(X, model.target_.indicators_of_new(Y_new, X.shape[0]))


def with_known(model, added, X_known):
    """Documents with new labels, and documents without them.

    Parameters
    ----------
    model : fitted estimator
    added : Documents
        That came with the new labels.
    X_known : array or sparse matrix of shape (n_known, n_features), or None
        Without the new labels, save those that are among the others.

    Returns
    -------
    documents : Documents
        Those that are known first.
    n_new : int
        How many were not known.

    Raises
    ------
    ValueError
        If no document is without the new labels.
    """
    X, Y = added.X, added.Y
    if X_known is not None:
        known = model.inputs_.read(X_known, model)
        others = known[~is_among(known, X)]
        absent = sparse.csr_array((others.shape[0], Y.shape[1]), dtype=Y.dtype)
        added = Documents(stack_rows([others, X]), stack_rows([absent, Y]))
    if np.diff(added.Y.indptr).all():
        expected = "documents without the new labels, such as those of fit"
        raise must_be("X_known", expected, "none", "Rows of zeros in Y_new are such ones, too.")
    return added, X.shape[0] if X_known is None else int((~is_among(X, known)).sum())


def as_frequent(label_counts, new_counts):
    """For each new label the known ones that it may be as frequent as.

    It comes with a few documents, not with all that there are: of n documents, it is taken to be as
    frequent as known labels of n documents or more; where there is none, as itself.

    Parameters
    ----------
    label_counts : array of int of shape (n_labels,)
        Documents of the known labels.
    new_counts : array of int of shape (n_new,)
        Documents that the new labels come with, at least one each.

    Yields
    ------
    array of int
        Documents of these labels.
    """
    for n in new_counts:
        above = label_counts[label_counts >= n]
        yield above if len(above) else np.array([n])


def mean_excess(label_counts, new_counts):
    """How many more documents new labels are likely to have than those they come with.

    Parameters
    ----------
    label_counts, new_counts
        As of `as_frequent`.

    Returns
    -------
    array of float of shape (n_new,)
        log(m/n) of a label with n documents, in the mean over the labels, of m documents each, that
        it may be as frequent as.
    """
    means = [np.log(counts).mean() for counts in as_frequent(label_counts, new_counts)]
    return np.maximum(means - np.log(new_counts), 0.0)


def counted(target, counts, n_samples):
    """The fitted attributes that follow from how many documents the labels have."""
    groups = label_groups(counts)
    return {
        **target.attributes,
        "n_samples_fit_": n_samples,
        "n_labels_": len(counts),
        "label_counts_": counts,
        "head_labels_": np.flatnonzero(groups["head"]),
        "tail_labels_": np.flatnonzero(groups["tail"]),
        "log_odds_against_": log_odds_against(counts, n_samples),
    }


def raise_of_new(model, new_counts, n_samples):
    """What to add to scores of new labels, so that their log-odds rise by `mean_excess`.

    Zeros where scores are not calibrated: they may be no log-odds. And zeros inside a stack, which
    raises its own.

    Parameters
    ----------
    model, new_counts, n_samples
        As of `grown`.

    Returns
    -------
    array of float of shape (n_new,)
    """
    if model._undecided or not model._calibrates(model.target_):
        return np.zeros(len(new_counts))
    slopes, _ = model.calibration_.lines(log_odds_against(new_counts, n_samples))
    return mean_excess(model.label_counts_, new_counts) / slopes


def grown(model, new_counts, n_samples, Y_new=None):
    """The fitted attributes of a model that has new labels too, its scorer apart.

    The labels that it knows keep their log(N/n - 1), and so their calibrated scores; the new ones
    are cut where known labels of the most similar frequency are.

    Parameters
    ----------
    model : fitted estimator
    new_counts : array of int of shape (n_new,)
        Documents of the new labels.
    n_samples : int
        Documents in which the new labels were looked for.
    Y_new : array, sparse matrix or data frame of shape (n_added, n_new)
        As the user gave it.

    Returns
    -------
    dict
    """
    n_samples = max(n_samples, model.n_samples_fit_)
    target = model.target_.extended(len(new_counts), Y_new)
    against = log_odds_against(new_counts, n_samples)
    return {
        **counted(target, np.append(model.label_counts_, new_counts), n_samples),
        "log_odds_against_": np.append(model.log_odds_against_, against),
        "decision_": model.decision_.extend(model.label_counts_, new_counts),
    }


def decides(unseen):
    """Whether documents that training has not seen have labels enough to decide by."""
    return unseen is not None and unseen.Y.nnz >= ENOUGH_TO_DECIDE


def parts_in_turn(Y, seed, threshold, is_network):
    """Rows to train on once more and rows to hold out, in turn, to decide by.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels)
    seed : int
    threshold : str or float
        Of the estimator. A rule that cuts each label by its own documents takes all folds.
    is_network : bool
        Whether training takes so long that no more parts are held out than decide.

    Returns
    -------
    list of (array of int, array of int)
        Without those that leave no label to train on.
    """
    few = is_network and threshold not in CUT_EACH_LABEL
    parts = list_held_out(Y, seed, enough=_ENOUGH_OUT_OF_FOLD if few else None)
    return [part for part in parts if Y[part[0]].nnz]
