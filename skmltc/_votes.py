"""What the labels of a document's neighbours say of its own."""

import numpy as np
from scipy import sparse

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


def neighbor_cosines(neighbors, vectors, n_neighbors):
    """Look up the nearest documents.

    Parameters
    ----------
    neighbors : fitted estimator with `kneighbors`
        Its distances are 1 - cosine.
    vectors : array or csr_array of shape (n_samples, n_features), or None
        None is the fitted ones, of which none is its own neighbour.
    n_neighbors : int

    Returns
    -------
    cosines : array of float32 of shape (n_samples, n_neighbors)
        The nearest first; 0 where there is no neighbour.
    indices : array of int of shape (n_samples, n_neighbors)
        Rows of the fitted documents.
    """
    distances, indices = neighbors.kneighbors(vectors, n_neighbors)
    cosines = np.where(indices < 0, 0, np.maximum(1 - distances, 0))
    return cosines.astype(np.float32), indices


def keep_first_positive(cosines, n):
    """Zero all but the first n positive numbers of each row."""
    return cosines * times_counted(cosines, None, n)


def times_counted(cosines, indices, n, weights=None):
    """How often each neighbour votes, if n documents do: the nearest, as long as they are near.

    Parameters
    ----------
    cosines, indices : array of shape (n_samples, n_neighbors)
        The nearest first. One that is not above 0 has no vote.
    n : int
    weights : array of shape (n_fitted,), default=None
        How often each document counts among which neighbours are; once by default. The last one
        that votes does so as often as n leaves over.

    Returns
    -------
    array of shape (n_samples, n_neighbors)
    """
    times = (cosines > 0) * (np.float32(1) if weights is None else weights[indices])
    before = np.cumsum(times, axis=1) - times
    return np.clip(n - before, 0, times).astype(np.float32)


def leave_out_part(cosines, indices, parts, own):
    """Zero the cosines of the neighbours that are in the documents' own part.

    Parameters
    ----------
    cosines, indices : array of shape (n_samples, n_neighbors)
    parts : array of int of shape (n_fitted,)
        The part, a fold for instance, of each document among which neighbours are.
    own : array of int of shape (n_samples,)
        The part of each document that looks for neighbours.

    Returns
    -------
    array of shape (n_samples, n_neighbors)
    """
    return np.where(parts[indices] == own[:, None], 0, cosines)


def vote_shares(cosines, indices, Y):
    """Share of the neighbours of each document that have a label, weighted by their cosines.

    Parameters
    ----------
    cosines, indices : array of shape (n_samples, n_neighbors)
        A cosine of 0 has no vote.
    Y : csr_array of shape (n_fitted, n_labels)
        Labels of the documents among which neighbours are.

    Returns
    -------
    csr_array of float32 of shape (n_samples, n_labels)
    """
    cosines = cosines / np.maximum(cosines.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    rows, places = np.nonzero(cosines)
    near = sparse.csr_array(
        (cosines[rows, places], (rows, indices[rows, places])), shape=(len(indices), Y.shape[0])
    )
    return sparse.csr_array(near @ Y)


def best_cosines(cosines, indices, Y):
    """The cosine of the nearest neighbour that has a label.

    Parameters
    ----------
    cosines, indices, Y
        As of `vote_shares`.

    Returns
    -------
    csr_array of float32 of shape (n_samples, n_labels)
        0 where no neighbour has the label.
    """
    rows, places = np.nonzero(cosines)
    found = Y[indices[rows, places]]
    n_each = np.diff(found.indptr)
    keys = np.repeat(rows, n_each) * Y.shape[1] + found.indices
    values = np.repeat(cosines[rows, places], n_each)
    keys, first = np.unique(keys, return_index=True)  # the nearest come first
    best = values[first], (keys // Y.shape[1], keys % Y.shape[1])
    return sparse.csr_array(best, shape=(len(indices), Y.shape[1]), dtype=np.float32)
