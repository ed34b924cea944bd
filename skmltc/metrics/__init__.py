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

from ._f1 import f1_by_group, f1_by_n_labels
from ._ranking import ndcg_at_k, precision_at_k, psndcg_at_k, psp_at_k, r_precision, recall_at_k
from ._reports import Confusion, confused_pairs, label_report, long_tail_report
from ._scorer import RankingScorer

__all__ = [
    "Confusion",
    "RankingScorer",
    "confused_pairs",
    "f1_by_group",
    "f1_by_n_labels",
    "label_report",
    "long_tail_report",
    "ndcg_at_k",
    "precision_at_k",
    "psndcg_at_k",
    "psp_at_k",
    "r_precision",
    "recall_at_k",
]
