"""What `run.py` is made of: the declaration of rows, data, models, measures and kept rows."""

from .rows import Row, Transformer

__all__ = ["Row", "Transformer"]
