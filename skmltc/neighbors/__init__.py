"""The nearest documents by cosine, and the votes of their labels."""

from .._cosine import CosineNeighbors
from ._classifier import MultilabelKNeighborsClassifier

__all__ = ["CosineNeighbors", "MultilabelKNeighborsClassifier"]
