"""The nearest documents by cosine: exact, and in blocks, never a matrix of all pairs."""

from .._cosine import CosineNeighbors

__all__ = ["CosineNeighbors"]
