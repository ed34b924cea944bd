"""Training networks by mini-batches, and scoring documents with them."""

from .batches import DocumentDataset, as_tensor, sorted_by_length
from .scoring import (
    FrozenScorer,
    HeadScorer,
    NetworkScorer,
    head_scores,
    network_scores,
    network_vectors,
    on_device,
)
from .training import (
    Plan,
    SparseTargets,
    Trainer,
    best_epoch,
    fitted_by,
    leave_if_interrupted,
    seeded_torch,
)
