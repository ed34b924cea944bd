"""Boosted trees over the columns of a pair, beside the logistic regression of the same columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

ENOUGH_FOR_TREES = 10_000  # true pairs; with fewer, trees are too sure of what they have seen
_HOW = {
    "learning_rate": 0.08,
    "max_iter": 100,
    "max_leaf_nodes": 12,
    "min_samples_leaf": 80,
    "l2_regularization": 10.0,
    "early_stopping": False,
}


@dataclass(frozen=True, eq=False)
class Trees:
    """Log-odds of pairs by boosted trees.

    Parameters
    ----------
    columns : tuple of str
    model : HistGradientBoostingClassifier
    """

    columns: tuple
    model: HistGradientBoostingClassifier

    @classmethod
    def fit(cls, values, is_true, weights, seed):
        """Fit trees on pairs.

        Parameters
        ----------
        values : dict of str to array of float32 of shape (n_pairs,)
        is_true : array of bool of shape (n_pairs,)
        weights : array of shape (n_pairs,)
        seed : int

        Returns
        -------
        Trees
        """
        model = HistGradientBoostingClassifier(random_state=seed % 2**32, **_HOW)
        return cls(tuple(values), model.fit(_table(values), is_true, sample_weight=weights))

    def log_odds(self, values):
        """Log-odds of pairs whose columns are given by name."""
        return self.model.decision_function(_table({name: values[name] for name in self.columns}))


def _table(values):
    return np.column_stack(list(values.values()))
