"""Long-tailed multi-label text classification in scikit-learn."""

from .balanced_loss import BalancedLossClassifier
from .head_to_tail import HeadToTailClassifier
from .hybrid_siamese import HybridSiameseClassifier
from .treader_xml import TReaderXMLClassifier

__version__ = "0.1.0"

__all__ = [
    "BalancedLossClassifier",
    "HeadToTailClassifier",
    "HybridSiameseClassifier",
    "TReaderXMLClassifier",
    "__version__",
]
