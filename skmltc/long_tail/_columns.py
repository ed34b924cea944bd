"""What is known of a (document, label) pair: the members' evidence, and the document's context.

Each column is an array with one number per pair. A document's own labels are in none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.special import expit

from .._products import sparse_dot
from .._ranking import keep_top
from .._stages import as_frequent
from .._targets import count_documents, count_labels
from .._votes import vote_evidence
from ..decision import Calibration
from ..labels import log_odds_against

AGAINST = "log_odds_against"
CONTEXT = ("rank", "best other", "other labels", "co-occurrence")
MARGIN_KNEE = -0.6  # below it the margins of rare labels crowd, and say little
_BEST, _BEST_OF_MANY, _MANY_LABELS = 25, 100, 5000  # candidates of a member, above so many labels
_LEAST_MASS = 0.05  # of other labels
_LOWEST_OTHER = -10.0  # log-odds of another label where there is none, or one less likely
LEAST_PROBABILITY = 0.003  # of a label that speaks for those that it occurs with
_TENTHS = np.arange(0.05, 1, 0.1)  # their middles
_PRIOR_DOCUMENTS = 3.0  # that count towards the independence of two labels
_PRIOR_SHARE = 0.3  # of a label's own share, added to what other labels say


@dataclass(frozen=True, eq=False)
class Known:
    """What the documents that members were trained on say of the labels.

    Parameters
    ----------
    counts : array of int of shape (n_labels,)
        Documents of each label.
    n_samples : int
        Documents in all.
    together : csr_array of shape (n_labels, n_labels)
        Documents that have both of two labels; nothing on the diagonal. Where a label was added
        later, as many as are to be expected.
    raised : tuple of tuple of float, default=()
        Of each label that was added after the fit, the last ones: log(m/n), where m of the
        documents may have it, and n are known to. There are ten m, each as likely as the others.
    """

    counts: np.ndarray
    n_samples: int
    together: sparse.csr_array
    raised: tuple = ()

    @classmethod
    def of(cls, Y, weights=None):
        """Count labels and pairs of labels of a csr_array of label indicators.

        Documents count by weights (n_samples,), if there are any.
        """
        return cls(count_labels(Y, weights), count_documents(Y, weights), _together(Y, weights))

    def with_documents(self, Y):
        """Count further documents with all their labels."""
        further = Known.of(Y)
        n_samples = self.n_samples + further.n_samples
        together = _in_order(self.together + further.together)
        return Known(self.counts + further.counts, n_samples, together, self.raised)

    def with_labels(self, Y, others, n_samples):
        """Count new labels.

        They come with a few documents, not with all that there are: a label with n of them may
        be as frequent as any that was learned in the fit from n documents or more.

        Parameters
        ----------
        Y : csr_array of shape (n_added, n_new)
            Of the documents that came with them.
        others : csr_array of shape (n_added, n_labels)
            How likely these documents have each of the known labels: nobody has said.
        n_samples : int
            Documents in all, with these.
        """
        cross = others.T @ Y
        blocks = [[self.together, cross], [cross.T, _together(Y)]]
        together = _in_order(sparse.block_array(blocks, format="csr", dtype=np.float32))
        counts = count_labels(Y)
        raised = (*self.raised, *tenths_of_excess(self.counts[: self.n_fitted], counts))
        return Known(np.append(self.counts, counts), n_samples, together, raised)

    @property
    def n_fitted(self):
        """Labels that were learned in the fit: the first ones."""
        return len(self.counts) - len(self.raised)

    @property
    def parts(self):
        """Masks of the labels with documents: of those of the fit, and of those added."""
        is_fitted = np.arange(len(self.counts)) < self.n_fitted
        return [part & (self.counts > 0) for part in (is_fitted, ~is_fitted)]

    @property
    def shares(self):
        """Share of the documents that have each label."""
        return self.counts / self.n_samples

    @property
    def against(self):
        """log(N/n - 1) of each label."""
        return log_odds_against(self.counts, self.n_samples)


def tenths_of_excess(label_counts, new_counts):
    """How many more documents new labels may have than those they come with.

    Parameters
    ----------
    label_counts, new_counts
        As of `as_frequent`.

    Returns
    -------
    list of tuple of float
        For each new label with n documents log(m/n) at the middle of each tenth of the labels, of m
        documents each, that it may be as frequent as.
    """
    known = zip(as_frequent(label_counts, new_counts), new_counts, strict=True)
    return [tuple(np.quantile(np.log(counts / n), _TENTHS).tolist()) for counts, n in known]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Some (document, label) pairs of a block of documents, by document and then by label.

    Parameters
    ----------
    keys : array of int64 of shape (n_pairs,)
        Ascending: row * n_labels + label.
    shape : tuple
        Documents, and labels.
    columns : dict of str to array of float32 of shape (n_pairs,)
    """

    keys: np.ndarray
    shape: tuple
    columns: dict

    @cached_property
    def rows(self):
        """Row of the document of each pair."""
        return self.keys // self.shape[1]

    @cached_property
    def labels(self):
        """Label of each pair."""
        return self.keys % self.shape[1]

    def look_up(self, matrix):
        """Entries of a sparse matrix of this shape; 0 where it has none."""
        stored = keys_of(matrix)
        at = np.searchsorted(stored, self.keys)
        at[at == len(stored)] = 0
        if not len(stored):
            return np.zeros(len(self.keys), dtype=matrix.dtype)
        return np.where(stored[at] == self.keys, matrix.data[at], 0)


@dataclass(frozen=True, eq=False)
class Scores:
    """What a member with scores says of a block of documents.

    Parameters
    ----------
    name : str
    scores : array of float32 of shape (n_samples, n_labels)
    is_margin : bool, default=False
        Whether they are the margins of a hinge loss, which crowd near -1 where labels are rare.
    order : Calibration, default=None
        Makes scores of labels of different frequencies comparable, where they are not.
    """

    name: str
    scores: np.ndarray
    is_margin: bool = False
    order: Calibration | None = None

    def candidates(self, known, n_candidates):
        """Keys of the best labels of each document by its scores, and by comparable ones."""
        found = best_labels(self.scores, known, n_candidates)
        if self.order is None:
            return found
        return np.append(found, best_labels(self.comparable(known), known, n_candidates))

    def comparable(self, known):
        """Scores (n_samples, n_labels) in the order that was learned."""
        slopes, offsets = self.order.lines(known.against)
        return self.scores * slopes + offsets

    def columns(self, pairs, known):
        """Score z and z log(N/n - 1); of margins also what is above the knee, and its product."""
        against, score = known.against[pairs.labels], self.scores.ravel()[pairs.keys]
        found = {"score": score}
        if self.is_margin:
            found["margin"] = np.maximum(score - MARGIN_KNEE, 0)
        for kind, values in found.copy().items():
            found[f"{kind} x {AGAINST}"] = values * against
        return found


def best_labels(scores, known, n_best):
    """Keys of the best labels of each document that were trained on, and as many added ones.

    So the labels of the fit have the candidates that they had before others came.
    """
    parts = [np.where(part, scores, -np.inf) for part in known.parts if part.any()]
    return np.concatenate([keys_of(keep_top(part, n_best)) for part in parts])


@dataclass(frozen=True, eq=False)
class Votes:
    """What the neighbours of a block of documents say.

    Parameters
    ----------
    name : str
    shares : dict of int to csr_array of shape (n_samples, n_labels)
        By a number of neighbours: the share of their votes, weighted by cosine, that a label has.
    best : csr_array of shape (n_samples, n_labels)
        The best cosine to a neighbour that has the label.
    """

    name: str
    shares: dict
    best: sparse.csr_array

    def candidates(self, known, n_candidates):
        """Keys of all labels that a near neighbour has."""
        return keys_of(self.shares[min(self.shares)])

    def columns(self, pairs, known):
        """log(1 + v N / 4n) for each number of neighbours, and the best cosine."""
        found = {
            f"votes of {k}": pairs.look_up(vote_evidence(shares, known.shares))
            for k, shares in self.shares.items()
        }
        return {**found, "best cosine": pairs.look_up(self.best)}


def _together(Y, weights=None):
    """Documents that have both of two labels, by weights; nothing on the diagonal."""
    counted = Y if weights is None else Y.multiply(weights[:, None].astype(Y.dtype)).tocsr()
    together = sparse.csr_array(Y.T @ counted)
    rows = np.repeat(np.arange(Y.shape[1]), np.diff(together.indptr))
    together.data[rows == together.indices] = 0
    return _in_order(together)


def _in_order(together):
    """A csr_array in its canonical form."""
    together = sparse.csr_array(together)
    together.eliminate_zeros()
    together.sort_indices()
    return together


def keys_of(matrix):
    """Ascending keys row * n_columns + column of what a canonical CSR matrix stores."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return rows * matrix.shape[1] + matrix.indices


def evidence(answers, known, n_best=None, n_further=12):
    """Candidates of each document, and the columns of what the members say of them.

    Parameters
    ----------
    answers : list of Scores and Votes
        Of the same documents.
    known : Known
        Of the documents that the members were trained on.
    n_best : int, default=None
        Candidates of the first member with scores; None is 25, and 100 above 5,000 labels.
    n_further : int, default=12
        Candidates of every further one. Labels that a near neighbour has are candidates too.

    Returns
    -------
    Pairs
    """
    wanted = _wanted(answers, n_best or usual_candidates(len(known.counts)), n_further)
    found = [one.candidates(known, n) for one, n in zip(answers, wanted, strict=True)]
    shape = next(_shape(one) for one in answers)
    pairs = Pairs(_distinct(np.concatenate(found)), shape, {})
    columns = {
        f"{one.name}: {kind}": values.astype(np.float32)
        for one in answers
        for kind, values in one.columns(pairs, known).items()
    }
    against = known.against[pairs.labels].astype(np.float32)
    return Pairs(pairs.keys, shape, {**columns, AGAINST: against})


def _distinct(keys):
    """The keys in order, each once; as ``np.unique``, which takes ten times as long."""
    keys = np.sort(keys)
    return keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys


def usual_candidates(n_labels):
    """How many labels per document are considered."""
    return _BEST if n_labels <= _MANY_LABELS else _BEST_OF_MANY


def _wanted(answers, n_best, n_further):
    """Candidates of each member: more of the first one with scores."""
    scored = [isinstance(one, Scores) for one in answers]
    first = scored.index(True) if any(scored) else -1
    return [n_best if k == first else n_further for k in range(len(answers))]


def _shape(answer):
    return answer.scores.shape if isinstance(answer, Scores) else answer.best.shape


def context(pairs, log_odds, known):
    """What else the document was given: labels compete, or come together.

    Parameters
    ----------
    pairs : Pairs
        All candidates of each document.
    log_odds : array of float of shape (n_pairs,)
        By the evidence alone.
    known : Known
        Of the documents that the members were trained on.

    Returns
    -------
    dict of str to array of float32 of shape (n_pairs,)
        "rank": log(1 + labels of the document that are more likely). "best other": the largest
        log-odds of its other labels. "other labels": log of the sum of their probabilities,
        raised by 0.05. "co-occurrence": log((q + .3 n/N) / (n/N)), q being what these labels say
        of this one by the documents that have both.
    """
    p = expit(log_odds)
    total = np.bincount(pairs.rows, p, minlength=pairs.shape[0])
    others = np.maximum(total[pairs.rows] - p, 0)
    rank, best_other = _competition(pairs.rows, log_odds)
    shares = known.shares[pairs.labels]
    expected = _expected_by_others(pairs, p, known)
    columns = (
        np.log1p(rank),
        best_other,
        np.log(_LEAST_MASS + others),
        np.log((expected + _PRIOR_SHARE * shares) / shares),
    )
    return {name: c.astype(np.float32) for name, c in zip(CONTEXT, columns, strict=True)}


def _competition(rows, log_odds):
    """How many labels of its document are ahead of a pair, and the best of all others."""
    order = np.lexsort((-log_odds, rows))
    starts = np.searchsorted(rows[order], rows[order])
    rank = np.empty(len(rows), dtype=np.int64)
    rank[order] = np.arange(len(rows)) - starts
    ordered = np.append(log_odds[order], _LOWEST_OTHER)
    ordered_rows = np.append(rows[order], -1)
    best_at = np.searchsorted(rows[order], rows)
    second_at = best_at + 1
    second = np.where(ordered_rows[second_at] == rows, ordered[second_at], _LOWEST_OTHER)
    return rank, np.maximum(np.where(rank == 0, second, ordered[best_at]), _LOWEST_OTHER)


def _expected_by_others(pairs, p, known):
    """Sum over other labels m of p_m (c_ml + 3 n_l/N) / (n_m + 3), c being documents of both."""
    heard = np.where(p >= LEAST_PROBABILITY, p, 0)
    heard /= (known.counts + _PRIOR_DOCUMENTS)[pairs.labels]
    speaks = np.flatnonzero(heard)
    at = pairs.rows[speaks], pairs.labels[speaks]
    weights = sparse.csr_array((heard[speaks], at), shape=pairs.shape)
    said = sparse_dot(weights, known.together).ravel()[pairs.keys]
    others = np.bincount(pairs.rows, heard, minlength=pairs.shape[0])[pairs.rows] - heard
    return said + _PRIOR_DOCUMENTS * known.shares[pairs.labels] * others
