"""HTTN: classifiers of tail labels computed from those of head labels."""

from ._adam import AdamTransfer
from ._estimator import HeadToTailClassifier

__all__ = ["AdamTransfer", "HeadToTailClassifier"]
