"""Draw documents of labels."""

import numpy as np
from scipy import sparse


def draw_documents(by_label, n_documents, random_state):
    """Draw documents of each label, without replacement.

    Parameters
    ----------
    by_label : csr_array of shape (n_labels, n_samples)
        Which documents each label has.
    n_documents : int
        How many of each label; all of them where it has fewer.
    random_state : RandomState

    Returns
    -------
    csr_array of float32 of shape (n_labels, n_samples)
        Ones at the documents that were drawn. A row holds them in the order of the draws.
    """
    counts = np.diff(by_label.indptr)
    labels = np.repeat(np.arange(len(counts)), counts)
    shuffled = np.lexsort((random_state.random_sample(len(labels)), labels))
    place = np.arange(len(labels)) - by_label.indptr[labels]
    drawn = by_label.indices[shuffled[place < n_documents]]
    ends = np.append(0, np.cumsum(np.minimum(counts, n_documents)))
    ones = np.ones(len(drawn), dtype=np.float32)
    return sparse.csr_array((ones, drawn, ends), shape=by_label.shape)
