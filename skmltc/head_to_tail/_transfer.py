"""From head to tail: prototypes, the transfer learner, attention, and calibration.

The formulas of Xiao et al. (HTTN, AAAI 2021), sections 3.3 to 3.5; networks are trained elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from .._logistic import fit_logistic
from .._sampling import draw_documents
from .._targets import count_labels
from ..decision import Documents
from ..encoders import ScaledLinear
from ..labels import NEVER_LOGIT, log_odds_against, split_head_tail
from ._adam import AdamTransfer

_RIDGES = np.logspace(-3, 3, 13)  # against the squared prototypes summed over labels and draws
_CALIBRATION_LABELS, _CALIBRATION_DOCUMENTS = 100, 5000  # enough for two numbers
_LABEL_FOLDS = 5
MIXED_BIASES = (
    "Head labels have biases and transferred ones have none, so one cut-off does not suit both: "
    "give calibrate_tail=True, a rule as threshold, or training=Training(head_bias=False)."
)


class LabelSplit(NamedTuple):
    """Column numbers of the head and of the tail labels."""

    head: np.ndarray
    tail: np.ndarray

    @classmethod
    def of(cls, label_counts, n_tail=None, min_head_count=None):
        """Split as `split_head_tail`, labels without documents to the tail; None without head."""
        head, _ = split_head_tail(label_counts, n_tail=n_tail, min_head_count=min_head_count)
        head = head[label_counts[head] > 0]
        return cls(head, np.setdiff1d(np.arange(len(label_counts)), head)) if len(head) else None

    def of_head(self, documents, with_unlabelled):
        """Documents with a head label, perhaps those without any, and the columns of the head."""
        Y_head = documents.Y[:, self.head]
        trains = np.diff(Y_head.indptr) > 0
        if with_unlabelled:
            trains |= np.diff(documents.Y.indptr) == 0
        return Documents(documents.X[trains], Y_head[trains])


def draw_prototypes(vectors, Y, n_documents, n_draws, normalize, random_state):
    """Average the vectors of a few documents of each label, several times.

    Section 3.3; the released code averages vectors of norm 1 and gives the mean the norm 1 too.

    Parameters
    ----------
    vectors : array of shape (n_samples, dim)
        Of documents; of norm 1 if `normalize`.
    Y : csr_array of shape (n_samples, n_labels)
    n_documents, n_draws : int
        Documents of a prototype (t), prototypes of a label (S).
    normalize : bool
        Give each prototype the norm 1.

    Returns
    -------
    array of shape (n_draws, n_labels, dim)
        Zeros for a label without documents.
    """
    by_label = Y.T.tocsr()
    draws = [draw_documents(by_label, n_documents, random_state) for _ in range(n_draws)]
    means = np.stack([mean_vectors(drawn, vectors) for drawn in draws])
    return with_norm_1(means) if normalize else means


def mean_vectors(drawn, vectors):
    """Means (n_labels, dim) of the vectors of drawn documents; zeros where there are none."""
    n_drawn = np.maximum(np.diff(drawn.indptr), 1).astype(np.float32)
    return drawn @ vectors / n_drawn[:, None]


def with_norm_1(vectors):
    """Divide vectors (..., dim) by their norms; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, np.finfo(vectors.dtype).tiny)


def squared_error(W, prototypes, weights):
    """Sum of |m_j - W p_j|^2 over labels and draws (equation 7).

    Parameters
    ----------
    W : array of shape (dim, dim)
    prototypes : array of shape (n_draws, n_labels, dim)
    weights : array of shape (n_labels, dim)
        Of the head classifier, a row per label.
    """
    return float(np.sum((weights - prototypes @ W.T) ** 2))


def ridge_transfer(prototypes, weights, ridge="auto"):
    """Solve for the W that maps prototypes to weights, with ridge |W|^2 added to equation 7.

    Parameters
    ----------
    prototypes : array of shape (n_draws, n_labels, dim)
    weights : array of shape (n_labels, dim)
    ridge : float or "auto", default="auto"
        "auto" is the one that predicts a label's weights best from those of all others.

    Returns
    -------
    array of shape (dim, dim)
    """
    ridge = best_ridge(prototypes, weights) if ridge == "auto" else ridge
    rows = prototypes.reshape(-1, prototypes.shape[-1]).astype(np.float64)
    targets = np.tile(weights, (len(prototypes), 1)).astype(np.float64)
    values, basis = np.linalg.eigh(rows.T @ rows)
    known = values > len(values) * np.finfo(np.float64).eps * values.max(initial=0)
    basis, values = basis[:, known], values[known]
    return ((targets.T @ rows) @ basis) / (values + ridge) @ basis.T


def best_ridge(prototypes, weights):
    """Choose the ridge by leaving out one label after the other.

    Parameters
    ----------
    prototypes : array of shape (n_draws, n_labels, dim)
    weights : array of shape (n_labels, dim)

    Returns
    -------
    float
    """
    errors = [np.sum(errors**2) for errors in left_out_errors(prototypes, weights, _RIDGES)]
    return float(_RIDGES[np.argmin(errors)])


def left_out_errors(prototypes, weights, ridges):
    """Errors m_j - W_j p_j, where W_j is solved without all prototypes of label j.

    In closed form: with H = P (P'P + ridge)^-1 P' and its block H_j of the label's own rows, they
    are (I - H_j)^-1 times the errors of the W of all labels. In the directions of the eigenvectors
    of P'P, which all ridges share, the matrix in the middle is diagonal.

    Parameters
    ----------
    prototypes : array of shape (n_draws, n_labels, dim)
    weights : array of shape (n_labels, dim)
    ridges : iterable of float
        Above 0.

    Yields
    ------
    array of shape (n_labels, n_draws, dim)
        For each ridge.
    """
    by_label = prototypes.transpose(1, 0, 2).astype(np.float64)  # (n_labels, n_draws, dim)
    rows = by_label.reshape(-1, by_label.shape[-1])
    values, basis = np.linalg.eigh(rows.T @ rows)
    rows = rows @ basis
    targets = np.repeat(weights, len(prototypes), axis=0).astype(np.float64)
    turned, direction_logits = rows.reshape(by_label.shape), rows.T @ targets
    for ridge in ridges:
        solved = rows / (values.clip(0) + ridge)
        errors = (targets - solved @ direction_logits).reshape(by_label.shape)
        own = solved.reshape(by_label.shape) @ turned.transpose(0, 2, 1)
        yield np.linalg.solve(np.eye(len(prototypes)) - own, errors)


def identity_transfer(prototypes, weights):
    """Take a prototype as the classifier: weight imprinting.

    Returns
    -------
    array of shape (dim, dim)
    """
    return np.eye(prototypes.shape[-1])


TRANSFERS = {
    "ridge": ridge_transfer,
    "adam": AdamTransfer().solve,
    "identity": identity_transfer,
}


def attend(tail, head, temperature=1.0):
    """Move tail prototypes half-way to the head prototypes that they are like (equations 8-10).

    alpha_zj is the softmax over head labels j of <p_z, p_j> / temperature, and the new prototype
    the mean of p_z and sum_j alpha_zj p_j; with several draws of the head, of the mean over these.

    Parameters
    ----------
    tail : array of shape (..., n_tail, dim)
    head : array of shape (n_draws, n_head, dim)
    temperature : float, default=1.0
        Small for attention to the nearest labels alone.

    Returns
    -------
    array of shape (..., n_tail, dim)
    """
    attended = np.mean([_attended(tail, draw, temperature) for draw in head], axis=0)
    return (tail + attended) / 2


def _attended(tail, head, temperature):
    return attention(tail, head, temperature) @ head


def attention(tail, head, temperature=1.0):
    """Weights (..., n_tail, n_head) of equation 10, with rows that sum to 1."""
    return softmax(tail @ head.T / temperature, axis=-1).astype(tail.dtype)


class TailCalibration(NamedTuple):
    """What transferred scores u say: logit = slope u + intercept - prior log(N / n - 1).

    Parameters
    ----------
    slope, intercept, prior : float
        With the defaults the scores as they are.
    """

    slope: float = 1.0
    intercept: float = 0.0
    prior: float = 0.0


def calibrate(scores, is_true, log_odds_against):
    """Learn what transferred scores say from labels whose documents are known.

    Logistic regression on a slope and an intercept. The log-odds of a label's prior go in as
    they are, so that the result holds for labels of any frequency.

    Parameters
    ----------
    scores : array of shape (n_samples, n_labels)
        By classifiers that were transferred to these labels from others.
    is_true : array of bool of shape (n_samples, n_labels)
    log_odds_against : array of shape (n_labels,)
        log(N / n - 1) of each label.

    Returns
    -------
    TailCalibration
        The default one where there is nothing to learn from.
    """
    if not is_true.any() or is_true.all():
        return TailCalibration()
    u = np.asarray(scores, dtype=np.float64).ravel()
    mean, spread = u.mean(), max(u.std(), 1e-12)
    features = np.column_stack([(u - mean) / spread, np.ones(len(u))])
    offset = -np.broadcast_to(log_odds_against, scores.shape).ravel()
    slope, intercept = fit_logistic(features, is_true.ravel(), offset, ridge=[1e-3, 0.0])
    return TailCalibration(float(slope / spread), float(intercept - slope / spread * mean), 1.0)


def _draw(numbers, most, random_state):
    """Draw so many of some numbers, in their order; all of them where there are no more."""
    return np.sort(random_state.permutation(numbers)[:most])


class PrototypeOptions(NamedTuple):
    """How prototypes are made, and how they become weights.

    Parameters
    ----------
    transfer : {"ridge", "adam", "identity"} or AdamTransfer
    temperature : float or None
        Of attention; None for none.
    n_documents : int
        Documents of a prototype (t).
    normalize : bool
        Whether prototypes have the norm 1.
    ridge : float, default=None
        Of `ridge_transfer`.
    """

    transfer: str | AdamTransfer
    temperature: float | None
    n_documents: int
    normalize: bool
    ridge: float | None = None

    def draw(self, vectors, Y, n_draws, random_state):
        """Draw prototypes (n_draws, n_labels, dim) of the labels of Y."""
        return draw_prototypes(vectors, Y, self.n_documents, n_draws, self.normalize, random_state)

    def solve(self, prototypes, weights):
        """The matrix from prototypes to weights."""
        if isinstance(self.transfer, AdamTransfer):
            return self.transfer.solve(prototypes, weights)
        further = {} if self.ridge is None else {"ridge": self.ridge}
        return TRANSFERS[self.transfer](prototypes, weights, **further)


@dataclass(frozen=True, eq=False)
class LabelTransfer:
    """Makes classifiers of labels of which there are a few documents, from those of head labels.

    Parameters
    ----------
    prototypes : array of shape (n_draws, n_head, dim)
        Of the head labels.
    weights : array of shape (n_head, dim)
        Of the head classifier, before its scale.
    scale : float
    options : PrototypeOptions
    matrix : array of shape (dim, dim)
        From a prototype to weights.
    calibration : TailCalibration
        What transferred scores say.
    """

    prototypes: np.ndarray
    weights: np.ndarray
    scale: float
    options: PrototypeOptions
    matrix: np.ndarray
    calibration: TailCalibration = TailCalibration()

    @classmethod
    def of_head(cls, head, vectors, Y, labels, options, n_draws, random_state, calibrates):
        """Learn it from a trained head (steps 3 and 4); its labels are some of the columns of Y."""
        against, Y = log_odds_against(count_labels(Y), len(vectors))[labels], Y[:, labels]
        prototypes = options.draw(vectors, Y, n_draws, random_state)
        weights = head.weight.detach().cpu().numpy()
        scale = float(head.scale.detach()) if isinstance(head, ScaledLinear) else 1.0
        transfer = cls.fit(prototypes, weights, scale, options)
        return transfer.calibrated(vectors, Y, against, random_state) if calibrates else transfer

    @classmethod
    def fit(cls, prototypes, weights, scale, options):
        """Learn the matrix; the ridge is chosen once, on all head labels."""
        if options.transfer == "ridge" and options.ridge is None:
            options = options._replace(ridge=best_ridge(prototypes, weights))
        return cls(prototypes, weights, scale, options, options.solve(prototypes, weights))

    def transferred(self, prototypes):
        """Weights (..., n_labels, dim) of labels with such prototypes (section 3.5)."""
        if self.options.temperature is not None:
            prototypes = attend(prototypes, self.prototypes, self.options.temperature)
        return self.scale * prototypes @ self.matrix.T

    def leaving_out(self, labels):
        """The transfer fitted without the given head labels."""
        others = np.delete(np.arange(len(self.weights)), labels)
        known = self.prototypes[:, others], self.weights[others]
        return LabelTransfer.fit(*known, self.scale, self.options)

    def calibrated(self, vectors, Y, log_odds_against, random_state):
        """Learn what transferred scores say from head labels treated as if they were rare.

        The labels are cross-fitted: each gets its classifier by a transfer fitted without it, from
        a prototype of a few documents, and is compared with its other documents. This is what
        tail labels get, where it can be checked.

        Parameters
        ----------
        vectors : array of shape (n_samples, dim)
        Y : csr_array of shape (n_samples, n_head)
        log_odds_against : array of shape (n_head,)
            log(N / n - 1) of each label.
        random_state : RandomState

        Returns
        -------
        LabelTransfer
        """
        if Y.shape[1] < 2:
            return self
        chosen = _draw(np.arange(Y.shape[1]), _CALIBRATION_LABELS, random_state)
        drawn = draw_documents(Y[:, chosen].T.tocsr(), self.options.n_documents, random_state)
        prototypes = mean_vectors(drawn, vectors)
        prototypes = with_norm_1(prototypes) if self.options.normalize else prototypes
        weights = np.empty_like(prototypes)
        for fold in np.array_split(np.arange(len(chosen)), min(_LABEL_FOLDS, len(chosen))):
            weights[fold] = self.leaving_out(chosen[fold]).transferred(prototypes[fold])
        unseen = np.flatnonzero(drawn.sum(axis=0) == 0)
        unseen = _draw(unseen, _CALIBRATION_DOCUMENTS, random_state)  # they may be in some order
        is_true = Y[unseen][:, chosen].toarray() > 0
        learned = calibrate(vectors[unseen] @ weights.T, is_true, log_odds_against[chosen])
        return replace(self, calibration=learned)

    def heads(self, prototypes, log_odds_against):
        """Classifiers of labels, to be averaged over their members.

        Parameters
        ----------
        prototypes : array of shape (n_members, n_labels, dim)
            Zeros for a label without documents, which is never predicted.
        log_odds_against : array of shape (n_labels,)

        Returns
        -------
        array of float32 of shape (n_members, dim + 1, n_labels)
            The biases last.
        """
        slope, intercept, prior = self.calibration
        known = prototypes.any(axis=-1, keepdims=True)  # (n_members, n_labels, 1)
        weights = np.where(known, slope * self.transferred(prototypes), 0.0)
        bias = np.where(known, intercept - prior * log_odds_against[:, None], NEVER_LOGIT)
        columns = np.concatenate([weights, bias], axis=-1).swapaxes(1, 2)
        return np.ascontiguousarray(columns, dtype=np.float32)
