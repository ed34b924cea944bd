"""From the answers of members to log-odds: two calibrations, one of them in sight of the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import expit, log_expit, logsumexp

from .._inputs import count_rows
from .._progress import names_of
from .._rows import stack_rows
from .._targets import count_labels
from .._validation import must_be
from ..decision import Calibration, ScoredPairs, document_blocks
from ..labels import NEVER_LOGIT
from ._columns import LEAST_PROBABILITY, Known, Pairs, context, evidence, keys_of
from ._members import Member
from ._order import order_of
from ._trees import ENOUGH_FOR_TREES, Trees
from ._views import Views

SCORES_AT_A_TIME = 2**22  # of one member, so that memory does not grow with the documents
_RIDGE = 1.0  # pairs' weight: there are some hundred for each number, or more
_MOST_NEGATIVES = 200_000  # from which a few numbers are learned


@dataclass(frozen=True, eq=False)
class StackScorer:
    """Log-odds of labels from the evidence of members and the context of the document.

    Parameters
    ----------
    members : tuple of Member
    known : Known
        Of the documents that they were trained on.
    first : Calibration
        Of the evidence alone; its probabilities make the context.
    second : Calibration
        Of the evidence and the context.
    trees : Trees, default=None
        Of the same columns; log-odds are the mean of both.
    left_out : array of int, default=()
        Rows of the documents of weight 0 in the X of `fit`, ascending: members were not given them.
    """

    members: tuple
    known: Known
    first: Calibration
    second: Calibration
    trees: Trees | None = None
    left_out: np.ndarray | tuple = ()

    def row_in_fit(self, number):
        """Row in the X of `fit`, and of what came later, of a document by the number in members."""
        before = np.asarray(self.left_out, dtype=int) - np.arange(len(self.left_out))
        return number + np.searchsorted(before, number, side="right")

    @classmethod
    def of_one(cls, members, known, X):
        """Let the first member's scores count alone; X is any of its documents."""
        some = next(document_blocks(X, 2**20, 2**20))
        column = next(iter(ask(members, some, known).columns))
        alone = Calibration((column,), np.ones(1))
        return cls(members, known, alone, alone)

    def raised(self, number):
        """Add a number to all log-odds."""
        first, second = (
            replace(one, offset=one.offset + float(number)) for one in (self.first, self.second)
        )
        return replace(self, first=first, second=second)

    def with_labels(self, X, Y, X_known):
        """Let the members learn new labels; what they say is weighed as it is.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
        Y : csr_array of shape (n_samples, n_new)
        X_known : like X, or None
            Documents without the new labels. None is those that the neighbours keep.
        """
        keeping = [one for one in self.members if one.kept_documents is not None]
        kept = {one.steps: one.kept_documents for one in keeping}
        X, X_known = Views.of(X), None if X_known is None else Views.of(X_known)
        how = Y, X_known, kept
        members = tuple(member.with_labels(X, *how) for member in self.members)
        n_samples = max(self.known.n_samples, *(member.n_samples for member in members))
        known = self.known.with_labels(Y, self._likely_labels(X), n_samples)
        return replace(self, members=members, known=known)

    def with_documents(self, X, y, Y):
        """Let members keep further documents; y is their labels as members take them, Y a CSR."""
        views = Views.of(X)
        members = tuple(member.with_documents(views, y) for member in self.members)
        return replace(self, members=members, known=self.known.with_documents(Y))

    def _likely_labels(self, X):
        """Probabilities of the labels of documents, but for the small ones, as a csr_array."""
        found = []
        for block in X.blocks(_documents_at_a_time(len(self.known.counts))):
            p = expit(self.scores(block))
            found.append(sparse.csr_array(np.where(p >= LEAST_PROBABILITY, p, 0)))
        return stack_rows(found)

    def scores(self, X):
        """Log-odds (n_samples, n_labels), float32; what is no candidate has `NEVER_LOGIT`."""
        return self.scores_of(self.pairs(X))

    def pairs(self, X):
        """Candidates of a block of documents, with the columns of evidence and context."""
        pairs = _finite(ask(self.members, X, self.known))
        return replace(pairs, columns=_with_context(pairs, self.first, self.known))

    def scores_of(self, pairs):
        """Log-odds as `scores` returns them, of candidates with all columns."""
        found = self.log_odds(pairs)
        scores = np.full(pairs.shape, NEVER_LOGIT, dtype=np.float32)
        scores[pairs.rows, pairs.labels] = np.maximum(found, NEVER_LOGIT)
        return scores

    def log_odds(self, pairs):
        """Log-odds of candidates by all that was learned."""
        found = _mean_log_odds(self.second, self.trees, pairs.columns)
        return self._with_added(pairs, found) if self.known.raised else found

    def _with_added(self, pairs, log_odds):
        """Log-odds with those of added labels: the mean with the first calibration's, raised.

        The context of such a label is guessed for the most part, so its evidence counts once more
        by itself. And of the documents that have it a few are known: its probability is the mean
        of those at all the frequencies that it may have.
        """
        added = pairs.labels >= self.known.n_fitted
        excess = np.array(self.known.raised)[pairs.labels[added] - self.known.n_fitted]
        of_evidence = self.first.log_odds({n: v[added] for n, v in pairs.columns.items()})
        log_odds = np.array(log_odds, dtype=np.float64)
        log_odds[added] = _of_mean((log_odds[added] + of_evidence)[:, None] / 2 + excess)
        return log_odds


def _of_mean(log_odds):
    """Log-odds of the mean probability of each row of log-odds."""
    return logsumexp(log_expit(log_odds), axis=1) - logsumexp(log_expit(-log_odds), axis=1)


class HeldOutPairs(NamedTuple):
    """Candidates of a block of documents that members were not trained on, and their labels.

    Parameters
    ----------
    pairs : Pairs
    known : Known
        Of the documents that the members were trained on.
    truth : csr_array of shape (n_samples, n_labels)
    document_weights : array of shape (n_samples,), default=None
        How often each document counts; once by default.
    """

    pairs: Pairs
    known: Known
    truth: sparse.csr_array
    document_weights: np.ndarray | None = None

    @property
    def is_true(self):
        """Whether the document of each pair has the label."""
        return np.isin(self.pairs.keys, keys_of(self.truth), assume_unique=True)

    @property
    def weights(self):
        """How often each pair counts."""
        if self.document_weights is None:
            return np.ones(len(self.pairs.keys))
        return self.document_weights[self.pairs.rows]

    def scored(self, log_odds):
        """The pairs that cut-offs are learned from; labels that are no candidates are missed."""
        labels = self.pairs.labels
        return ScoredPairs(
            labels=labels.astype(np.int32),
            scores=log_odds.astype(np.float32),
            log_odds_against=self.known.against[labels].astype(np.float32),
            is_true=self.is_true,
            weights=self.weights.astype(np.float32),
            n_positives=count_labels(self.truth, self.document_weights),
            are_log_odds=True,
        )


class HeldOutAnswers(NamedTuple):
    """What members say of a block of documents that they were not trained on, and their labels.

    Parameters
    ----------
    answers : list of Scores and Votes
    known, truth, document_weights
        As of `HeldOutPairs`.
    """

    answers: list
    known: Known
    truth: sparse.csr_array
    document_weights: np.ndarray | None = None

    def orders(self):
        """For each member what makes its scores comparable, or None; see `order_of`."""
        return [order_of(one, *self[1:]) for one in self.answers]

    def pairs(self, orders):
        """The candidates and their columns; whatever has an order has it from now on."""
        answers = zip(self.answers, orders, strict=True)
        answers = [one if order is None else replace(one, order=order) for one, order in answers]
        return HeldOutPairs(_finite(evidence(answers, self.known)), *self[1:])


def ask(members, X, known):
    """Candidates of a block of documents, or views of them, and their evidence."""
    return evidence(_answers(members, X, len(known.counts)), known)


def _answers(members, X, n_labels):
    views = Views.of(X)
    return [member.answer(views, n_labels) for member in members]


def _finite(pairs):
    """Refuse infinite scores of candidates: nothing could be learned of them, or said by them."""
    for column, values in pairs.columns.items():
        if not np.isfinite(values).all():
            member = column.rpartition(": ")[0]
            raise must_be(f"Scores of the member {member!r}", "finite", "infinite ones")
    return pairs


def held_out_answers(members, X, Y, known, weights=None):
    """Yield what members say of documents that they were not trained on, by blocks.

    Parameters
    ----------
    members : list of Member
    X : list, array or sparse matrix of n_samples documents
    Y : csr_array of shape (n_samples, n_labels)
        Their labels, of which the members learn nothing.
    known : Known
        Of the documents that the members were trained on.
    weights : array of shape (n_samples,), default=None
        How often each document counts; once by default.

    Yields
    ------
    HeldOutAnswers
    """
    first = 0
    for block in Views.of(X).blocks(_documents_at_a_time(Y.shape[1])):
        rows = slice(first, first := first + count_rows(block.X))
        of_rows = Y[rows], None if weights is None else weights[rows]
        yield HeldOutAnswers(_answers(members, block, Y.shape[1]), known, *of_rows)


def fit_members(estimators, X, y, seed, weights, begin):
    """Members of named classifiers, fitted on all documents; see `fit_members_again`."""
    each = zip(estimators, weights, begin, strict=False)
    return tuple(Member.fit(*one, X, y, seed, its) for one, its, _ in each)


def fit_members_again(members, given, views, folds, seed, routed, begin):
    """Fit members without each fold, and ask them about it; members of one are kept at a time.

    Parameters
    ----------
    members : list of Member
        Fitted on all documents.
    given : Given
        All documents, and their labels and weights.
    views : Views
        Of these documents.
    folds : list of (array of int, array of int)
        Rows to fit on, and rows to hold out.
    seed : int
    routed : list of bool
        Whether each member has the weights.
    begin : iterator
        What is asked for its next item as each training begins.

    Returns
    -------
    members : tuple of Member
        With an order of labels, where the first documents held out show that they need one.
    pairs : list of HeldOutPairs
        Of all folds, one after the other.
    """
    parts, orders = [], None
    for fit, held in folds:
        fitted_on, part, others = views.take(fit), given.take(fit), given.take(held)
        again = [
            member.again(fitted_on, part.y, seed, part.weights if has_weights else None)
            for member, has_weights, _ in zip(members, routed, begin, strict=False)
        ]
        known, unseen = Known.of(part.Y, part.weights), views.take(held)
        for told in held_out_answers(again, unseen, others.Y, known, others.weights):
            orders = orders or told.orders()
            parts.append(told.pairs(orders))
    return _with_orders(members, orders) if orders else members, parts


def _with_orders(members, orders):
    return tuple(m._replace(order=order) for m, order in zip(members, orders, strict=True))


def _documents_at_a_time(n_labels):
    return max(1, SCORES_AT_A_TIME // n_labels)


def trainings(names, n_folds):
    """All trainings of members in order: the name, and what there is to say as it begins."""
    parts = ["", *(f" without {name}" for name in names_of(n_folds))]
    said = [  # what is chosen in the first training is known in the others, which take less time
        (f"{name} {'again' if part else 'at first'}", f"Training {name!r}{part}")
        for part in parts
        for name in names
    ]
    return [(name, f"{what}: {k} of {len(said)}") for k, (name, what) in enumerate(said, start=1)]


class Calibrated(NamedTuple):
    """What was learned of the columns of pairs.

    Parameters
    ----------
    first, second : Calibration
        Of the evidence, and of evidence and context.
    trees : Trees or None
        Of evidence and context.
    pairs : ScoredPairs
        The pairs that it was learned from, with log-odds.
    """

    first: Calibration
    second: Calibration
    trees: Trees | None
    pairs: ScoredPairs


def calibrate(parts, seed, with_trees=False):
    """Learn what evidence and context say, a few numbers for all labels.

    Parameters
    ----------
    parts : list of HeldOutPairs
    seed : int
        Of the sample where pairs are very many, and of the trees.
    with_trees : bool, default=False
        Whether trees take the columns too, where there are enough true pairs.

    Returns
    -------
    Calibrated
    """
    is_true = np.concatenate([part.is_true for part in parts])
    sample = _sample(is_true, np.concatenate([part.weights for part in parts]), seed)
    first = Calibration.fit(*_kept([part.pairs.columns for part in parts], sample), ridge=_RIDGE)
    values = [_with_context(part.pairs, first, part.known) for part in parts]
    second = Calibration.fit(*_kept(values, sample), ridge=_RIDGE)
    trees, of_others = None, [None] * len(parts)
    enough = np.count_nonzero(sample.is_true) >= ENOUGH_FOR_TREES and len(parts) > 1
    if with_trees and enough:
        trees = Trees.fit(*_kept(values, sample), seed)
        of_others = _trees_of_others(values, sample, seed)
    log_odds = [_mean_log_odds(second, t, v) for t, v in zip(of_others, values, strict=True)]
    scored = [part.scored(found) for part, found in zip(parts, log_odds, strict=True)]
    return Calibrated(first, second, trees, ScoredPairs.concatenate(scored))


def _mean_log_odds(calibration, trees, values):
    """Log-odds of pairs; trees, where there are any, count as much as the calibration."""
    found = calibration.log_odds(values)
    return found if trees is None else (found + trees.log_odds(values)) / 2


def _trees_of_others(values, sample, seed):
    """For each block of documents trees that have not seen it: of the other two thirds."""
    thirds = np.arange(len(values)) * 3 // len(values)
    sizes = [len(next(iter(part.values()))) for part in values]
    third_of_pair = np.repeat(thirds, sizes)[sample.rows]
    trees = [Trees.fit(*_kept(values, sample.of(third_of_pair != k)), seed) for k in range(3)]
    return [trees[k] for k in thirds]


def _with_context(pairs, first, known):
    """All columns: those of the evidence, and those of the context that its probabilities make."""
    return pairs.columns | context(pairs, first.log_odds(pairs.columns), known)


class _Sample(NamedTuple):
    """Pairs that the numbers are learned from: where they are, whether true, and their weights."""

    rows: np.ndarray
    is_true: np.ndarray
    weights: np.ndarray

    def of(self, mask):
        """Some of them."""
        return _Sample(*(array[mask] for array in self))


def _sample(is_true, weights, seed):
    """Take all true pairs, and as many others as are enough."""
    share = min(1.0, _MOST_NEGATIVES / max(np.count_nonzero(~is_true), 1))
    drawn = np.random.RandomState(seed % 2**32).random_sample(len(is_true)) < share
    kept = np.flatnonzero(is_true | drawn)
    return _Sample(kept, is_true[kept], weights[kept] * np.where(is_true[kept], 1.0, 1.0 / share))


def _kept(values, sample):
    """Columns, truth and weights of the sampled pairs."""
    names = values[0]
    columns = {name: np.concatenate([part[name] for part in values])[sample.rows] for name in names}
    return columns, sample.is_true, sample.weights
