"""LongTailClassifier: the evidence of several members in one calibrated decision."""

from ._estimator import LongTailClassifier
from ._explain import Explanation

__all__ = ["Explanation", "LongTailClassifier"]
