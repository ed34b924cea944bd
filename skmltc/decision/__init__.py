"""Decisions for any multi-label classifier: learned cut-offs, and voting."""

from ._decision import decide, fixed_threshold, top_scores
from ._pairs import ScoredPairs
from ._rules import SHIFTS, THRESHOLD_RULES, check_threshold, learn_threshold, tail_first
from ._threshold import MultilabelThresholdClassifierCV
from ._voting import MultilabelVotingClassifier

__all__ = ["MultilabelThresholdClassifierCV", "MultilabelVotingClassifier"]
