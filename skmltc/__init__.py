"""Long-tailed multi-label text classification in scikit-learn."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "BalancedLossClassifier",
    "HeadToTailClassifier",
    "HybridSiameseClassifier",
    "LongTailClassifier",
    "TReaderXMLClassifier",
    "__version__",
]

# Names are imported when they are asked for: estimators load torch, and many parts do without.
_ESTIMATORS = {
    "BalancedLossClassifier": "balanced_loss",
    "HeadToTailClassifier": "head_to_tail",
    "HybridSiameseClassifier": "hybrid_siamese",
    "LongTailClassifier": "long_tail",
    "TReaderXMLClassifier": "treader_xml",
}
_MODULES = (
    "datasets",
    "decision",
    "displays",
    "distributed",
    "encoders",
    "labels",
    "losses",
    "metrics",
    "model_selection",
    "neighbors",
    "text",
)

if _TYPE_CHECKING:
    from .balanced_loss import BalancedLossClassifier
    from .head_to_tail import HeadToTailClassifier
    from .hybrid_siamese import HybridSiameseClassifier
    from .long_tail import LongTailClassifier
    from .treader_xml import TReaderXMLClassifier
else:

    def __getattr__(name):
        if name in _ESTIMATORS:
            return getattr(_import_module(f"{__name__}.{_ESTIMATORS[name]}"), name)
        if name in _MODULES:
            return _import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return [*__all__, *_MODULES]
