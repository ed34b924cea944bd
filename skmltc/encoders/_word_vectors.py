"""Word vectors from the documents at hand: a truncated SVD of which words stand near each other.

Levy and Goldberg, *Neural word embedding as implicit matrix factorization* (NeurIPS 2014): what
skip-gram learns is close to a factorisation of pointwise mutual information. Factorising it
outright takes a second or a few for ten thousand documents.
"""

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

_WINDOW = 10  # words on each side; near ones count more
_SMOOTHING = 0.75  # of context frequencies: else rare words seem to carry much information
_MAX_CONTEXTS = 20_000  # the most frequent words; vectors are made for all
_MAX_TOKENS = 4_000_000  # enough to learn from, and some hundred MB


def learn_vectors(token_ids, n_ids, dim, random_state):
    """Word vectors from rows of token ids.

    Parameters
    ----------
    token_ids : array of int of shape (n_samples, length)
        0 is padding, 1 an unknown word; neither is a context.
    n_ids : int
        Ids are below this number.
    dim : int
        Length of the vectors.
    random_state : int
        Seed of the SVD.

    Returns
    -------
    array of float32 of shape (n_ids, dim)
        Their numbers have a standard deviation of 1; zero for a word that never stands near
        another one.
    """
    information = positive_information(cooccurrences(*_sample(token_ids), n_ids))
    vectors = np.zeros((n_ids, dim), dtype=np.float32)
    rank = min(dim, *information.shape)
    if information.nnz:
        left, strength, _ = randomized_svd(information, rank, random_state=random_state)
        known = np.diff(information.indptr) > 0
        vectors[known, :rank] = (left * np.sqrt(strength))[known]
        vectors /= vectors[known].std()
    return vectors


def _sample(token_ids):
    """Tokens one after the other, and the document of each; evenly spaced documents if many."""
    n_tokens = np.count_nonzero(token_ids)
    token_ids = token_ids[:: max(1, -(-n_tokens // _MAX_TOKENS))]
    document, position = np.nonzero(token_ids)
    return token_ids[document, position], document


def cooccurrences(tokens, document, n_ids):
    """How often words stand near each other, a neighbour at distance d counting 1 / d.

    Parameters
    ----------
    tokens : array of int of shape (n_tokens,)
    document : array of int of shape (n_tokens,)
        Where each token stands, in order.
    n_ids : int

    Returns
    -------
    csr_array of float32 of shape (n_ids, n_contexts)
        The contexts are the most frequent words.
    """
    after = sparse.csr_array((n_ids, n_ids), dtype=np.float32)
    for distance in range(1, _WINDOW + 1):
        first, second = tokens[:-distance], tokens[distance:]
        near = (document[distance:] == document[:-distance]) & (first != 1) & (second != 1)
        closeness = np.full(np.count_nonzero(near), 1 / distance, dtype=np.float32)
        after += sparse.csr_array((closeness, (first[near], second[near])), shape=after.shape)
    frequent = np.argsort(-np.bincount(tokens, minlength=n_ids), kind="stable")[:_MAX_CONTEXTS]
    return (after + after.T).tocsr()[:, frequent]


def positive_information(counts):
    """Positive pointwise mutual information: max(0, log p(w, c) / (p(w) p(c))).

    Parameters
    ----------
    counts : csr_array of shape (n_words, n_contexts)

    Returns
    -------
    csr_array of float32 of shape (n_words, n_contexts)
        With p(c) smoothed by an exponent (Levy, Goldberg and Dagan, TACL 2015, section 3.2).
    """
    of_word = np.asarray(counts.sum(axis=1, dtype=np.float64))
    of_context = np.asarray(counts.sum(axis=0, dtype=np.float64)) ** _SMOOTHING
    of_context /= max(of_context.sum(), 1)
    pairs = counts.tocoo()
    row, column = pairs.coords
    information = np.log(pairs.data / (of_word[row] * of_context[column]))
    information = np.maximum(information, 0).astype(np.float32)
    positive = sparse.csr_array((information, (row, column)), shape=counts.shape)
    positive.eliminate_zeros()
    return positive
