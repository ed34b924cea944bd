"""Training networks by mini-batches, and scoring documents with them."""

from .batches import DocumentDataset, as_tensor, sorted_by_length
from .callbacks import check_callbacks
from .outcome import best_epoch, fitted_by, leave_if_interrupted
from .scoring import (
    FrozenScorer,
    HeadScorer,
    NetworkScorer,
    copy_of,
    head_scores,
    network_scores,
    network_vectors,
    on_device,
)
from .starting import start_as_linear_models
from .training import Plan, SparseTargets, Trainer, seeded_torch
