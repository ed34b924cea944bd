"""What the labels of a document's neighbours say of its own."""

import numpy as np

_SMOOTHING = 4.0  # the prior counts as much as so many times itself among the neighbours


def vote_evidence(shares, priors):
    """The log-ratio of the smoothed neighbour share to the label's prior: log((4p + v) / 4p).

    Parameters
    ----------
    shares : csr_array of shape (n_samples, n_labels)
        v, the share of a document's neighbours that have a label.
    priors : array of shape (n_labels,)
        p, the share of all documents that have it; above 0 where a neighbour has it.

    Returns
    -------
    csr_array of float32 of shape (n_samples, n_labels)
    """
    evidence = shares.copy()
    evidence.data = np.log1p(shares.data / (_SMOOTHING * priors[shares.indices]))
    return evidence.astype(np.float32)
