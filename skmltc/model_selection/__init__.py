"""Splits and out-of-fold scores for label indicator matrices with rare labels."""

from ._folds import list_folds, list_held_out
from ._out_of_fold import multilabel_cross_val_predict
from ._splits import MultilabelStratifiedKFold, assign_folds, multilabel_train_test_split

__all__ = [
    "MultilabelStratifiedKFold",
    "assign_folds",
    "multilabel_cross_val_predict",
    "multilabel_train_test_split",
]
