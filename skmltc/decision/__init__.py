"""From scores to decisions: learned cut-offs for any multi-label classifier, and voting."""

from ._decision import Decision, check_min_labels
from ._pairs import Documents, HeldOut, ScoredPairs, label_blocks
from ._rules import RULES, Candidates, adjusted, check_threshold, select_for_tail
from ._threshold import MultilabelThresholdClassifierCV
from ._voting import MultilabelVotingClassifier

__all__ = ["Decision", "MultilabelThresholdClassifierCV", "MultilabelVotingClassifier"]
