"""Whether the scores of a member order the labels of a document, and what makes them do so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._validation import known_labels
from ..decision import Calibration, ScoredPairs
from ..labels import LabelStatistics
from ._columns import Scores, best_labels, keys_of, usual_candidates

_GAIN = 0.02  # of the labels of documents; what is less may be chance


def order_of(answer, known, truth, document_weights=None):
    """A calibration that makes the scores of different labels comparable, if they are not.

    Only the best labels of a document are considered. By the scores of a hinge loss they are the
    likely ones; a balancing loss, or a classifier of each label that knows of no other, may put
    hundreds of rare labels above a frequent one that the document has.

    Parameters
    ----------
    answer : Scores or Votes
        Of documents that the member was not trained on.
    known : Known
        Of the documents that it was trained on.
    truth : csr_array of shape (n_samples, n_labels)
        Labels of the documents.
    document_weights : array of shape (n_samples,), default=None
        How often each document counts; once by default.

    Returns
    -------
    Calibration or None
        None where it would not put more of the documents' labels among their best. Where there is
        one, the best by scores as they are stay candidates: rare labels are among these.
    """
    n_labels = len(known.counts)
    if not isinstance(answer, Scores) or n_labels <= usual_candidates(n_labels):
        return None
    has_label = truth[:, known.counts > 0].nnz > 0
    if not has_label or not np.isfinite(answer.scores).all():
        return None
    statistics = LabelStatistics(known.counts, known.n_samples)
    weights = {"document_weights": document_weights}
    pairs = ScoredPairs.collect_rows([answer.scores], statistics, truth, **weights)
    with known_labels():  # where scores tell nothing there is no order either
        order = Calibration.of_pairs(pairs)
    comparable = replace(answer, order=order).comparable(known)
    before, after = (
        _share_found(one, known, truth, document_weights) for one in (answer.scores, comparable)
    )
    return order if after - before > _GAIN else None


def _share_found(scores, known, truth, document_weights):
    """Share of the labels of documents that are among their best."""
    best = best_labels(scores, known, usual_candidates(len(known.counts)))
    if document_weights is not None:
        document_weights = np.repeat(document_weights, np.diff(truth.indptr))
    return np.average(np.isin(keys_of(truth), best), weights=document_weights)
