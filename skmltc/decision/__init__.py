"""From scores to decisions: calibration, learned cut-offs for any classifier, and voting."""

from ._calibration import Calibration
from ._decision import Decision, check_decision, idle_in_decision, label_worth, top_of_logits
from ._meta import (
    Given,
    MultilabelMetaClassifier,
    are_named,
    check_rows,
    decision_of_classes,
    document_blocks,
    for_estimators,
    prior_cut_off,
)
from ._pairs import Documents, HeldOut, ScoredPairs, label_blocks
from ._rules import CUT_EACH_LABEL, RULES, Candidates, adjusted, check_threshold, select_for_tail
from ._threshold import MultilabelThresholdClassifierCV
from ._voting import MultilabelVotingClassifier

__all__ = [
    "Calibration",
    "Decision",
    "MultilabelThresholdClassifierCV",
    "MultilabelVotingClassifier",
]
