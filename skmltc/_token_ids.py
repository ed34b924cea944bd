"""Token ids that remember which words they number."""

import hashlib

import numpy as np


class TokenIds(np.ndarray):
    """An array of token ids; parts and copies of it remember the words too.

    Attributes
    ----------
    vocabulary : str or None
        What `vocabulary_hash` makes of the words; None where it is not known.
    """

    vocabulary = None

    @classmethod
    def of(cls, token_ids, vocabulary):
        """Token ids (n_samples, length) of the words that `vocabulary_hash` has seen."""
        ids = np.asarray(token_ids).view(cls)
        ids.vocabulary = vocabulary
        return ids

    def __array_finalize__(self, other):
        self.vocabulary = getattr(other, "vocabulary", None)

    def __array_wrap__(self, array, context=None, return_scalar=False):
        return array[()] if return_scalar else np.asarray(array)  # sums are no ids

    def __repr__(self):
        return repr(np.asarray(self))

    def __reduce__(self):
        make, arguments, state = super().__reduce__()
        return make, arguments, (state, self.vocabulary)

    def __setstate__(self, state):
        super().__setstate__(state[0])
        self.vocabulary = state[1]


def vocabulary_hash(words):
    """Tell vocabularies apart.

    Parameters
    ----------
    words : iterable of str
        In the order of their ids.

    Returns
    -------
    str
    """
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()
