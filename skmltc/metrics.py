"""How good the ranking and the decisions are, over all labels and in the long tail.

Truth is a label indicator matrix, dense or of any sparse format. A ranking metric takes scores
in one of three forms:

* dense scores `(n_samples, n_labels)`;
* sparse scores `(n_samples, n_labels)`, as `predict_topk` returns them;
* a ranking: an integer array of label columns, best first, narrower than `n_labels`, padded
  with -1 where a list is short.

One rule for all three: equal scores rank by column, the lower first, and a label whose score
is -inf or not stored is not ranked at all, so it is never a hit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from . import labels
from ._inner import last_step
from ._ranking import check_k, top_labels, top_of_sparse
from ._targets import label_scores
from ._validation import (
    check_choice,
    check_columns,
    check_label_counts,
    check_label_matrix,
    check_number,
    must_be,
)


def precision_at_k(y_true, y_score, *, k: int = 5) -> float:
    """Share of true labels among the k best: hits / (k n_samples).

    The divisor is k for every document, also where fewer labels are true or there at all.

    Parameters
    ----------
    y_true : array or scipy sparse matrix of shape (n_samples, n_labels)
        Label indicators. A document without labels counts as 0.
    y_score : array or scipy sparse matrix
        Scores or a ranking, see :mod:`skmltc.metrics`.
    k : int, default=5
        How many labels are looked at.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If the scores do not fit the truth or hold NaN, or a ranking repeats a label.

    Examples
    --------
    >>> from skmltc.metrics import precision_at_k
    >>> precision_at_k([[1, 0, 1], [0, 1, 0]], [[0.9, 0.5, 0.7], [0.8, 0.4, 0.1]], k=2)
    0.75
    """
    _, _, hits = _rank(y_true, y_score, k)
    return float(hits.sum() / (k * len(hits)))


def ndcg_at_k(y_true, y_score, *, k: int = 5) -> float:
    """Precision discounted by rank: mean of sum(hits / log2(rank + 1)) over its best value.

    The best value of a document has its min(k, n_true) true labels in front (Jarvelin and
    Kekalainen 2002, with gains 0 and 1). At k = 1 it is :func:`precision_at_k`.

    Parameters
    ----------
    y_true : array or scipy sparse matrix of shape (n_samples, n_labels)
        Label indicators. A document without labels counts as 0 in the mean.
    y_score : array or scipy sparse matrix
        Scores or a ranking, see :mod:`skmltc.metrics`.
    k : int, default=5
        How many labels are looked at.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As :func:`precision_at_k`.

    Examples
    --------
    >>> from skmltc.metrics import ndcg_at_k
    >>> round(ndcg_at_k([[1, 0, 1], [0, 1, 0]], [[0.9, 0.5, 0.7], [0.8, 0.4, 0.1]], k=2), 4)
    0.8155
    """
    truth, _, hits = _rank(y_true, y_score, k)
    discounts = _discounts(min(k, truth.shape[1]))
    best_by_size = np.concatenate([[0.0], np.cumsum(discounts)])
    best = best_by_size[np.minimum(np.diff(truth.indptr), len(discounts))]
    gained = hits @ discounts[: hits.shape[1]]
    return float(np.divide(gained, best, out=np.zeros_like(best), where=best > 0).mean())


def psp_at_k(y_true, y_score, inverse_propensities: ArrayLike, *, k: int = 5) -> float:
    """Propensity-scored precision: a hit on a rare label is worth more.

    Sum over all documents of the inverse propensities of the hits, over the greatest sum that
    any ranking could reach: a ratio of sums, no mean of ratios (Jain, Prabhu, Varma 2016).

    Parameters
    ----------
    y_true : array or scipy sparse matrix of shape (n_samples, n_labels)
        Label indicators. A document without labels counts in neither sum.
    y_score : array or scipy sparse matrix
        Scores or a ranking, see :mod:`skmltc.metrics`.
    inverse_propensities : array of shape (n_labels,)
        What a hit on each label is worth, from the *training* documents:
        :func:`skmltc.labels.inverse_propensities`.
    k : int, default=5
        How many labels are looked at.

    Returns
    -------
    float
        Between 0 and 1; 0 where no document has a label.

    Raises
    ------
    ValueError
        As :func:`precision_at_k`, and if a weight is negative or not finite.

    Examples
    --------
    >>> from skmltc.labels import inverse_propensities
    >>> from skmltc.metrics import psp_at_k
    >>> weights = inverse_propensities([500, 3, 20], n_samples=1000)
    >>> round(psp_at_k([[1, 1, 0], [0, 0, 1]], [[0.9, 0.5, 0.7], [0.8, 0.1, 0.4]], weights, k=2), 4)
    0.439
    """
    return _propensity_scored(y_true, y_score, inverse_propensities, k, np.ones)


def psndcg_at_k(y_true, y_score, inverse_propensities: ArrayLike, *, k: int = 5) -> float:
    """Propensity-scored nDCG: as :func:`psp_at_k`, both sums discounted by log2(rank + 1).

    Parameters
    ----------
    y_true : array or scipy sparse matrix of shape (n_samples, n_labels)
        Label indicators. A document without labels counts in neither sum.
    y_score : array or scipy sparse matrix
        Scores or a ranking, see :mod:`skmltc.metrics`.
    inverse_propensities : array of shape (n_labels,)
        What a hit on each label is worth, see :func:`psp_at_k`.
    k : int, default=5
        How many labels are looked at.

    Returns
    -------
    float
        Between 0 and 1; 0 where no document has a label.

    Examples
    --------
    >>> from skmltc.metrics import psndcg_at_k
    >>> round(psndcg_at_k([[1, 1, 0], [0, 0, 1]], [[3, 1, 2], [3, 1, 2]], [1, 4, 2], k=2), 4)
    0.3411
    """
    return _propensity_scored(y_true, y_score, inverse_propensities, k, _discounts)


def f1_by_group(
    y_true, y_pred, label_counts: ArrayLike, *, groups=None, documents: str = "all"
) -> dict[str, dict]:
    """Micro- and macro-F1 of all labels and of each label group.

    Macro-F1 is the mean over *all* labels of the group of the label's own F1, which is 0 where
    the label is neither predicted nor true (scikit-learn's `zero_division=0`). The mean over
    the labels with test documents alone is `macro * n_labels / n_tested`: the others have 0.

    Parameters
    ----------
    y_true, y_pred : arrays or scipy sparse matrices of shape (n_samples, n_labels)
        Label indicators.
    label_counts : array of shape (n_labels,)
        Training documents of each label.
    groups : dict of str to array, optional
        A mask or the columns of each group; by default those of
        :func:`skmltc.labels.label_groups`: head above 50 training documents, tail up to 10.
    documents : {"all", "labelled"}, default="all"
        "labelled" measures each group on the documents that have a label of it, as some papers
        do for the tail; wrong predictions on all other documents then go unseen.

    Returns
    -------
    dict of str to dict
        "total" and one entry per group, with the keys "micro" and "macro" (F1), "precision" and
        "recall" (micro), "n_labels", "n_tested" (labels with a test document), "support" (true
        labels of all test documents), "min_count" and "max_count" (training documents a
        label). Everything is 0 in a group without labels.

    Raises
    ------
    ValueError
        If shapes do not fit each other, a count is negative or not finite, or a group names a
        column that is not there, or one twice, or is called "total".

    Examples
    --------
    >>> from skmltc.metrics import f1_by_group
    >>> scores = f1_by_group([[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 1], [0, 0]], [90, 3])
    >>> round(scores["total"]["macro"], 4), round(scores["tail"]["micro"], 4)
    (0.8333, 0.6667)
    """
    check_choice("documents", documents, ("all", "labelled"))
    truth = check_label_matrix(y_true, name="y_true")
    n_samples, n_labels = truth.shape
    predicted = check_label_matrix(y_pred, n_samples=n_samples, n_labels=n_labels, name="y_pred")
    counts = check_label_counts(label_counts, n_labels)
    scores = {}
    for name, columns in _label_sets(groups, counts).items():
        group_truth, group_predicted = truth[:, columns], predicted[:, columns]
        if documents == "labelled":
            rows = np.diff(group_truth.indptr) > 0
            group_truth, group_predicted = group_truth[rows], group_predicted[rows]
        scores[name] = _f1_scores(group_truth, group_predicted, counts[columns])
    return scores


def long_tail_report(
    y_true,
    y_pred,
    label_counts: ArrayLike,
    *,
    y_score=None,
    inverse_propensities: ArrayLike | None = None,
    k: Sequence[int] = (1, 3, 5),
    groups: Mapping | None = None,
    documents: str = "all",
    digits: int = 3,
    output_dict: bool = False,
) -> str | dict:
    """Text report of what a classifier does on head, medium and tail labels.

    Parameters
    ----------
    y_true, y_pred : arrays or scipy sparse matrices of shape (n_samples, n_labels)
        Label indicators.
    label_counts : array of shape (n_labels,)
        Training documents of each label.
    y_score : array or scipy sparse matrix, optional
        Scores or a ranking, see :mod:`skmltc.metrics`: adds P@k and nDCG@k.
    inverse_propensities : array of shape (n_labels,), optional
        Adds PSP@k to these, see :func:`psp_at_k`.
    k : sequence of int, default=(1, 3, 5)
        The k of these.
    groups : dict of str to array, optional
        As in :func:`f1_by_group`.
    documents : {"all", "labelled"}, default="all"
        As in :func:`f1_by_group`; says nothing to the ranking metrics.
    digits : int, default=3
        Digits after the point.
    output_dict : bool, default=False
        Return the figures, not the text.

    Returns
    -------
    str or dict
        The dict is that of :func:`f1_by_group` with an entry such as "P@1", "nDCG@3" or
        "PSP@5" for each ranking metric.

    Raises
    ------
    ValueError
        As the functions above.

    Examples
    --------
    >>> from skmltc.metrics import long_tail_report
    >>> y_true, y_pred = [[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 1], [0, 0]]
    >>> print(long_tail_report(y_true, y_pred, [90, 3]))  # doctest: +NORMALIZE_WHITESPACE
               labels  training  support  precision  recall  micro-F1  macro-F1
    <BLANKLINE>
      total         2      3-90        4      1.000   0.750     0.857     0.833
       head         1        90        2      1.000   1.000     1.000     1.000
     medium         0         0        0          -       -         -         -
       tail         1         3        2      1.000   0.500     0.667     0.667
    <BLANKLINE>
    """
    check_number("digits", digits, 0, whole=True)
    if not np.iterable(k):
        raise must_be("k", "a sequence of whole numbers", repr(k), f"Give ({k!r},) for one.")
    report = f1_by_group(y_true, y_pred, label_counts, groups=groups, documents=documents)
    text = [*_group_lines(report, digits)]
    if y_score is not None:
        ranking = _ranking_scores(y_true, y_score, inverse_propensities, k)
        text += _ranking_lines(ranking, k, digits)
        for name, row in ranking.items():
            report |= {f"{name}@{n}": score for n, score in zip(k, row, strict=True)}
    return report if output_dict else "\n".join(text) + "\n"


METRICS = {"precision": precision_at_k, "ndcg": ndcg_at_k, "psp": psp_at_k, "psndcg": psndcg_at_k}


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
    metric : {"precision", "ndcg", "psp", "psndcg"}
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


def _propensity_scored(y_true, y_score, inverse_propensities, k, discount):
    truth, ranking, hits = _rank(y_true, y_score, k)
    weights = check_label_counts(inverse_propensities, truth.shape[1], name="inverse_propensities")
    worth = sparse.csr_array((weights[truth.indices], truth.indices, truth.indptr), truth.shape)
    best_ranking = top_of_sparse(worth, min(k, truth.shape[1]))
    best = np.where(best_ranking < 0, 0.0, weights[best_ranking]).sum(axis=0)
    gained = (hits * weights[ranking]).sum(axis=0)
    greatest = best @ discount(len(best))
    return float(gained @ discount(len(gained)) / greatest) if greatest > 0 else 0.0


def _discounts(width):
    return 1.0 / np.log2(np.arange(2, width + 2))


def _rank(y_true, y_score, k):
    """Return the truth in CSR, the best labels (n_samples, up to k), and which are true."""
    truth = check_label_matrix(y_true, name="y_true")
    if not truth.shape[0]:
        raise must_be("y_true", "a matrix with at least one document", "none")
    ranking = top_labels(y_score, truth.shape, k)
    hits = truth[np.arange(len(ranking))[:, None], ranking].toarray().astype(np.float64)
    hits[ranking < 0] = 0.0  # padding: an index of -1 read the last label
    return truth, ranking, hits


def _label_sets(groups, counts):
    """Return the column numbers of all labels and of each group."""
    groups = labels.label_groups(counts) if groups is None else groups
    if not isinstance(groups, Mapping):
        raise must_be("groups", "a dict of name to mask or columns", type(groups).__name__)
    if "total" in groups:
        raise must_be("groups", "without 'total', the name of all labels", "a group of that name")
    sets = {"total": np.arange(len(counts))}
    for name, group in groups.items():
        sets[name] = check_columns(f"groups[{name!r}]", group, len(counts))
    return sets


def _f1_scores(truth, predicted, counts):
    n_labels = len(counts)
    hits = np.bincount(truth.multiply(predicted).tocsr().indices, minlength=n_labels)
    actual = np.bincount(truth.indices, minlength=n_labels)
    assigned = np.bincount(predicted.indices, minlength=n_labels)
    return {
        "micro": _share(2 * hits.sum(), actual.sum() + assigned.sum()),
        "macro": float(np.sum(2 * hits / np.maximum(actual + assigned, 1)) / max(n_labels, 1)),
        "precision": _share(hits.sum(), assigned.sum()),
        "recall": _share(hits.sum(), actual.sum()),
        "n_labels": n_labels,
        "n_tested": int(np.count_nonzero(actual)),
        "support": int(actual.sum()),
        "min_count": int(min(counts, default=0)),
        "max_count": int(max(counts, default=0)),
    }


def _share(part, whole):
    return float(part / whole) if whole else 0.0


def _ranking_scores(y_true, y_score, inverse_propensities, k):
    scores = {"P": [precision_at_k(y_true, y_score, k=n) for n in k]}
    scores["nDCG"] = [ndcg_at_k(y_true, y_score, k=n) for n in k]
    if inverse_propensities is not None:
        scores["PSP"] = [psp_at_k(y_true, y_score, inverse_propensities, k=n) for n in k]
    return scores


def _group_lines(scores, digits):
    width = max(map(len, scores))
    titles = ("precision", "recall", "micro-F1", "macro-F1")
    yield f"{'':>{width}}  labels    training  support" + _cells(titles) + "\n"
    for name, row in scores.items():
        low, high, n_labels = row["min_count"], row["max_count"], row["n_labels"]
        training = f"{low}-{high}" if low < high else high
        yield f"{name:>{width}}  {n_labels:>6}  {training:>10}  {row['support']:>7}" + _cells(
            f"{row[key]:.{digits}f}" if n_labels else "-"
            for key in ("precision", "recall", "micro", "macro")
        )


def _ranking_lines(scores, k, digits):
    yield "\n    " + _cells(f"@{n}" for n in k) + "\n"
    for name, row in scores.items():
        yield f"{name:>4}" + _cells(f"{score:.{digits}f}" for score in row)


def _cells(texts):
    return "".join(f"  {text:>9}" for text in texts)
