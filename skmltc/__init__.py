"""Long-tailed multi-label text classification in scikit-learn."""

__version__ = "0.1.0.dev0"
