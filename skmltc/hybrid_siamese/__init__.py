"""HSCNN: one network for frequent labels, a Siamese one for rare labels."""

from ._estimator import HybridSiameseClassifier

__all__ = ["HybridSiameseClassifier"]
