"""Pictures of the long tail: how labels are distributed, who gets the rare ones right, and why.

Drawing needs matplotlib, `pip install "skmltc[plot]"`.
"""

from ._explanation import ExplanationDisplay
from ._groups import GroupScoreDisplay, LabelFrequencyDisplay

__all__ = ["ExplanationDisplay", "GroupScoreDisplay", "LabelFrequencyDisplay"]
