"""Losses that balance a long tail of labels."""

from ._estimator import BalancedLossClassifier

__all__ = ["BalancedLossClassifier"]
