"""Calibration: from scores to log-odds, by a few numbers in all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._logistic import fit_logistic
from .._validation import LabelWarning, warn
from ..labels import NEVER_LOGIT

SCORE, AGAINST, PRODUCT = "score", "log_odds_against", "score x log_odds_against"
MIN_SLOPE = 0.1  # no ranking within a label turns round
_RIDGE = 10.0  # pairs' weight, towards the scores as they are


@dataclass(frozen=True, eq=False)
class Calibration:
    """Log-odds of a pair of document and label: weights . columns + offset.

    The columns of one model are its score z, r = log(N/n - 1) for a label with n of N training
    documents, and their product: the scores of balancing losses differ from log-odds in scale as
    well as in height, and do so the more the rarer a label is.

    Parameters
    ----------
    columns : tuple of str
        Names of the columns, such as "score".
    weights : array of float of shape (n_columns,)
        In the units of the columns.
    offset : float
    means : array of float of shape (n_columns,), default=None
        Of the columns, over the pairs that the numbers were learned from, if they were.

    Examples
    --------
    >>> import numpy as np
    >>> from skmltc.decision import Calibration
    >>> rng = np.random.RandomState(0)
    >>> score = rng.normal(size=5000)
    >>> is_true = rng.rand(5000) < 1 / (1 + np.exp(2 - 3 * score))
    >>> learned = Calibration.fit({"score": score}, is_true)
    >>> learned.weights.round(), round(learned.offset)
    (array([3.]), -2)
    """

    columns: tuple[str, ...]
    weights: np.ndarray
    offset: float = 0.0
    means: np.ndarray | None = None

    @classmethod
    def identity(cls, offset=0.0):
        """Leave scores as they are, or add one number to all."""
        return cls((SCORE,), np.ones(1), offset)

    @classmethod
    def fit(cls, values, is_true, weights=None, prior=None, least=None, ridge=_RIDGE):
        """Fit by a logistic regression with a ridge, of ten pairs' weight unless told otherwise.

        The ridge is on changes of the weights in standard deviations of the columns, or as they are
        where a column varies by more than 1.

        Parameters
        ----------
        values : mapping of str to array of shape (n_pairs,)
            The columns, of unseen documents.
        is_true : array of bool of shape (n_pairs,)
        weights : array of shape (n_pairs,), default=None
            How much each pair counts; 1 by default.
        prior : mapping of str to float, default=None
            Weights of columns that the ridge draws towards; 0 for all others, and for the offset.
        least : mapping of str to float, default=None
            Of a column that varies by less, this is taken for its standard deviation: what was not
            seen to vary gets no weight.
        ridge : float, default=10.0
            Weight of the ridge, in pairs.

        Returns
        -------
        Calibration
        """
        columns = np.column_stack([np.asarray(v, dtype=np.float64) for v in values.values()])
        weights = np.ones(len(columns)) if weights is None else weights
        start = np.array([(prior or {}).get(name, 0.0) for name in values])
        centre = np.average(columns, axis=0, weights=weights)
        spread = np.sqrt(np.average((columns - centre) ** 2, axis=0, weights=weights))
        resolution = np.finfo(np.float32).eps * np.abs(columns).max(axis=0, initial=0)
        spread = np.maximum(spread, np.maximum(resolution, np.finfo(np.float32).tiny))
        spread = np.maximum(spread, [(least or {}).get(name, 0.0) for name in values])
        features = np.column_stack([(columns - centre) / spread, np.ones(len(columns))])
        ridge = ridge * np.append(np.minimum(1, 1 / spread) ** 2, 1)  # of large columns as given
        fitted = fit_logistic(features, is_true, columns @ start, weights, ridge=ridge)
        change = fitted[:-1] / spread
        offset = float(fitted[-1] - change @ centre)
        return cls(tuple(values), start + change, offset, means=centre)

    @classmethod
    def of_pairs(cls, pairs):
        """Fit that of one model: on score, log(N/n - 1) and their product.

        Where held-out scores say nothing it is the identity, with a warning.

        Parameters
        ----------
        pairs : ScoredPairs
            At least one of them true.
        """
        against = pairs.log_odds_against
        values = {SCORE: pairs.scores, AGAINST: against, PRODUCT: pairs.scores * against}
        # Labels of other frequencies may come (add_labels): where all are alike nothing is learned.
        least = {AGAINST: 1.0, PRODUCT: min(1.0, float(np.std(pairs.scores)))}
        learned = cls.fit(values, pairs.is_true, pairs.weights, prior={SCORE: 1.0}, least=least)
        typical = np.average(against, weights=pairs.true_weights)
        if learned._weight(SCORE) + learned._weight(PRODUCT) * typical < MIN_SLOPE:
            warn(
                "The scores of held-out documents do not tell which labels they have, so nothing "
                "could be calibrated: probabilities are the logistic function of the scores.",
                LabelWarning,
            )
            return cls.identity()
        return learned

    def log_odds(self, values):
        """Log-odds of pairs, (n_pairs,), from a mapping with the columns by name."""
        return sum(w * values[n] for n, w in zip(self.columns, self.weights, strict=True)) + (
            self.offset
        )

    def lines(self, log_odds_against):
        """Slopes and offsets of labels, two arrays of float32, from their log(N/n - 1)."""
        slopes = self._weight(SCORE) + self._weight(PRODUCT) * log_odds_against
        offsets = self.offset + self._weight(AGAINST) * log_odds_against
        return np.maximum(slopes, MIN_SLOPE).astype(np.float32), offsets.astype(np.float32)

    def logits(self, scores, log_odds_against, is_known):
        """Log-odds of documents by one model.

        Parameters
        ----------
        scores : array of float32 of shape (n_samples, n_labels)
        log_odds_against : array of shape (n_labels,)
            log(N/n - 1) of each label.
        is_known : array of bool of shape (n_labels,)
            Labels with a training document; the others keep the logit that means never.

        Returns
        -------
        array of float32 of shape (n_samples, n_labels)
        """
        slopes, offsets = self.lines(log_odds_against)
        logits = scores * slopes
        logits += offsets
        logits[:, ~is_known] = NEVER_LOGIT
        return logits

    def calibrated(self, pairs):
        """The pairs with log-odds for scores."""
        slopes, offsets = self.lines(pairs.log_odds_against)
        return replace(pairs, scores=pairs.scores.astype(np.float32) * slopes + offsets)

    def _weight(self, name):
        return self.weights[self.columns.index(name)] if name in self.columns else 0.0
