"""The one logistic fit: a few numbers, by Newton's method."""

import numpy as np
from scipy.special import expit

_MAX_ITER, _MAX_HALVINGS = 100, 30
_CURVATURE = 1e-9  # added where there is none, relative to the mean over the features


def fit_logistic(features, is_true, offset=None, weights=None, ridge=0.0):
    """Fit P(true) = sigmoid(features . w + offset) by Newton's method with step halving.

    Parameters
    ----------
    features : array of shape (n_samples, n_features)
        A few columns, of like scale; one of ones for an intercept.
    is_true : array of bool of shape (n_samples,)
    offset : array of shape (n_samples,), default=None
        Added to the logits as it is.
    weights : array of shape (n_samples,), default=None
        How much each sample counts; 1 by default.
    ridge : float or array of shape (n_features,), default=0.0
        Factor of half the squared w, against the log-loss summed over samples.

    Returns
    -------
    array of float64 of shape (n_features,)
    """
    features = np.asarray(features, dtype=np.float64)
    offset = np.zeros(len(features)) if offset is None else offset
    weights = np.ones(len(features)) if weights is None else weights
    ridge = np.broadcast_to(np.asarray(ridge, dtype=np.float64), features.shape[1])

    def objective(w):
        logits = features @ w + offset
        return weights @ (np.logaddexp(0, logits) - is_true * logits) + ridge @ w**2 / 2

    w = np.zeros(features.shape[1])
    value = objective(w)
    for _ in range(_MAX_ITER):
        p = expit(features @ w + offset)
        gradient = features.T @ (weights * (p - is_true)) + ridge * w
        hessian = (features.T * (weights * p * (1 - p))) @ features + np.diag(ridge)
        hessian += _CURVATURE * max(np.trace(hessian) / len(w), 1.0) * np.eye(len(w))
        step = np.linalg.solve(hessian, gradient)
        w, previous, value = _halved(objective, w, step, value)
        if previous - value <= 1e-10 * max(abs(value), 1.0):
            break
    return w


def _halved(objective, w, step, value):
    """Go down by the step, halved until the objective does not rise; stay where none helps."""
    for k in range(_MAX_HALVINGS):
        candidate = w - step / 2**k
        reached = objective(candidate)
        if reached <= value:
            return candidate, value, reached
    return w, value, value
