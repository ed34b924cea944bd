"""Decisions for any multi-label classifier: learned cut-offs, and voting."""

from ._decision import decide, fixed_threshold, top_scores
from ._pairs import ScoredPairs
from ._rules import (
    LOGIT_ADJUSTMENTS,
    THRESHOLD_RULES,
    check_threshold,
    learn_threshold,
    select_for_tail,
)
from ._threshold import MultilabelThresholdClassifierCV
from ._voting import MultilabelVotingClassifier

__all__ = ["MultilabelThresholdClassifierCV", "MultilabelVotingClassifier"]
