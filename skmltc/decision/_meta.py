"""What the classifiers around other classifiers share: labels, and predictions in blocks."""

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils import _safe_indexing, gen_batches, indexable
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._ranking import check_k
from .._targets import Target, count_labels

BLOCK_SIZE = 2**24  # scores that are dense at a time


def document_blocks(X, n_labels, block_size=BLOCK_SIZE):
    """Yield some documents at a time, of any kind of X, so that their scores may be dense."""
    (X,) = indexable(X)
    for rows in gen_batches(max(1, _num_samples(X)), max(1, block_size // n_labels)):
        yield _safe_indexing(X, rows)


def for_estimators(y, Y):
    """Y as other classifiers take it: scikit-learn knows no sparse target of one column."""
    if Y.shape[1] == 1:
        return Y.toarray().astype(np.int64)
    if not sparse.issparse(y):
        return np.asarray(y)
    return y if hasattr(y, "__getitem__") else y.tocsr()  # folds are rows of it


class MultilabelMetaClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Base of both: a subclass scores a block of documents by `_score_block`."""

    def _set_fitted(self, y, Y, decision, **attributes):
        """Set all that was learned; the only place that does."""
        self.target_, self.decision_ = Target.of_indicators(y), decision
        self.classes_, self.n_samples_fit_ = self.target_.classes, Y.shape[0]
        self.label_counts_ = count_labels(Y)
        vars(self).update(attributes)

    @property
    def threshold_(self):
        """Cut-offs of the labels, (n_labels,); +inf for a label without documents."""
        return self.decision_.thresholds

    def _decision_in_force(self):
        check_is_fitted(self, "decision_")
        return self.decision_

    def _score_blocks(self, X):
        check_is_fitted(self, "decision_")
        return map(self._score_block, document_blocks(X, len(self.classes_)))

    def predict(self, X):
        """Predict the labels above their cut-offs.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents

        Returns
        -------
        array or sparse matrix of shape (n_samples, n_labels)
            Sparse where y was.
        """
        decision = self._decision_in_force()
        return self.target_.decode(map(decision.predict, self._score_blocks(X)))

    def predict_topk(self, X, k=5):
        """Score the best labels of each document.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
        k : int, default=5
            How many labels at most; one without training documents is none of them.

        Returns
        -------
        csr_array of shape (n_samples, n_labels)
            Scores; of equal ones the lower columns are kept.
        """
        check_k(k)
        tops = [self.decision_.topk(block, k) for block in self._score_blocks(X)]
        return sparse.vstack(tops, format="csr")

    def __sklearn_tags__(self):
        """Say that it is multi-label, and takes what its estimator takes."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags = self._inner_tags().input_tags
        return tags
