"""LongTailClassifier: the evidence of several members in one calibrated decision."""

from ._estimator import LongTailClassifier

__all__ = ["LongTailClassifier"]
