"""Long-tailed multi-label text classification in scikit-learn."""

from .balanced_loss import BalancedLossClassifier

__version__ = "0.1.0"

__all__ = ["BalancedLossClassifier", "__version__"]
