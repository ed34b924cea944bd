"""A ranking metric as what scikit-learn's searches score by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .. import labels
from .._inner import last_step
from .._ranking import check_k
from .._targets import label_scores
from .._validation import check_choice, check_label_matrix, must_be
from ._ranking import ndcg_at_k, precision_at_k, psndcg_at_k, psp_at_k, r_precision, recall_at_k

METRICS = {
    "precision": precision_at_k,
    "recall": recall_at_k,
    "r_precision": r_precision,
    "ndcg": ndcg_at_k,
    "psp": psp_at_k,
    "psndcg": psndcg_at_k,
}


@dataclass(frozen=True, eq=False)
class RankingScorer:
    """A ranking metric as `scoring=` of scikit-learn's `GridSearchCV` and its kin.

    Works with sparse labels and with exactly two labels, where scikit-learn's own ranking
    scorers do not. For F1 there is nothing to add: `scoring="f1_micro"` takes sparse labels,
    and so does `make_scorer(f1_score, average="macro", zero_division=0)`.

    The scores come from the estimator's `predict_topk(X, k)`, else its `decision_function`,
    else its `predict_proba`; in a Pipeline, a search or a FrozenEstimator, from the estimator
    inside.

    Parameters
    ----------
    metric : {"precision", "recall", "r_precision", "ndcg", "psp", "psndcg"}
        The function of this module.
    k : int, default=5
        How many labels are looked at.
    inverse_propensities : array of shape (n_labels,), optional
        For "psp" and "psndcg". By default computed from the `label_counts_` and
        `n_samples_fit_` of the fitted estimator: in a search those of the fold's training
        part, so nothing is read off its test part, and all candidates are weighed alike. Give
        an array for estimators without these attributes, or where candidates hold out
        different parts of the training documents.

    Raises
    ------
    ValueError
        For an unknown metric or k; when called, for an estimator without the training counts
        that the metric needs.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from skmltc.metrics import RankingScorer
    >>> X = np.eye(3)[np.arange(30) % 3]
    >>> y = sparse.csr_array(X.astype(int))
    >>> model, grid = OneVsRestClassifier(LogisticRegression()), {"estimator__C": [0.1, 1]}
    >>> search = GridSearchCV(model, grid, scoring=RankingScorer("ndcg", k=3))
    >>> float(search.fit(X, y).best_score_)
    1.0
    """

    metric: str
    k: int = field(default=5, kw_only=True)
    inverse_propensities: np.ndarray | None = field(default=None, repr=False, kw_only=True)

    def __post_init__(self):
        """Check at once: within a search an error would only become a score of NaN."""
        check_choice("metric", self.metric, METRICS)
        check_k(self.k)

    def __call__(self, estimator, X, y) -> float:
        """Score a fitted estimator on test documents X with label indicators y."""
        estimator, X = last_step(estimator, X)
        y = check_label_matrix(y)
        scores = _scores_to_rank(estimator, X, y.shape[1], min(self.k, y.shape[1]))
        weights = [self._weights(estimator)] if self.metric in ("psp", "psndcg") else []
        return METRICS[self.metric](y, scores, *weights, k=self.k)

    def _weights(self, estimator):
        if self.inverse_propensities is not None:
            return self.inverse_propensities
        if not (hasattr(estimator, "label_counts_") and hasattr(estimator, "n_samples_fit_")):
            raise must_be(
                f"An estimator scored by {self.metric!r}",
                "one with the attributes label_counts_ and n_samples_fit_",
                type(estimator).__name__,
                "Give RankingScorer(inverse_propensities=...), computed by "
                "skmltc.labels.inverse_propensities from the training labels.",
            )
        return labels.inverse_propensities(estimator.label_counts_, estimator.n_samples_fit_)


def _scores_to_rank(estimator, X, n_labels, k):
    if hasattr(estimator, "predict_topk"):
        return estimator.predict_topk(X, k)
    has_logits = hasattr(estimator, "decision_function")
    method = "decision_function" if has_logits else "predict_proba"
    return label_scores(estimator, method, X, n_labels)
