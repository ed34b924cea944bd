"""Training networks by mini-batches, and scoring documents with them."""

from .batches import Documents, as_tensor, sorted_by_length
from .scoring import HeadScorer, network_scores, score_pairs
from .training import SparseTargets, best_epoch, fit_network, train_network, was_interrupted

__all__ = [
    "Documents",
    "HeadScorer",
    "SparseTargets",
    "as_tensor",
    "best_epoch",
    "sorted_by_length",
    "fit_network",
    "network_scores",
    "score_pairs",
    "train_network",
    "was_interrupted",
]
