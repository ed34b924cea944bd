"""Why a document has its labels: what each member adds, and which words and neighbours speak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.utils import check_array

from .._inner import innermost, last_step, names_at_last_step
from .._targets import Target
from .._validation import check_choice, check_number, must_be
from .._words import given_names, largest, names_of_features, row_of, top_weights
from ..base import BaseLongTailClassifier
from ..decision import Decision
from ..labels import NEVER_LOGIT
from ..neighbors import MultilabelKNeighborsClassifier
from ._columns import AGAINST, CONTEXT, keys_of

_LABELS = ("document", "label", "log_odds", "probability", "threshold", "is_predicted")
_SHARES = ("document", "label", "source", "share")
_WORDS = ("document", "label", "member", "word", "score")
_NEIGHBORS = ("document", "label", "member", "row", "cosine")
_FREQUENCY = False, "frequency"
_PRODUCT = f" x {AGAINST}"


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What speaks for the labels of documents, as four tables.

    Each is a dict of arrays, one per column, which ``pandas.DataFrame`` takes as it is. All have
    "document", the row of X, and "label", in this order: the name of the column of y where it has
    one (`label_names_`), else its number; for a 1-D y a class.
    Made by :meth:`LongTailClassifier.explain <skmltc.LongTailClassifier.explain>`.

    Parameters
    ----------
    labels : dict of str to array
        One row per pair of document and label: "log_odds", "probability", "threshold" (the
        log-odds above which the label is predicted; NaN where y has several classes) and
        "is_predicted".
    shares : dict of str to array
        What each "source" adds to the log-odds, its "share": every member by its name;
        "frequency", how many documents have the label; "context", what else the document is given;
        "correction", by how much boosted trees (``refine="trees"``) move what all others say, or
        what is known of a label that was added later;
        and "offset", the log-odds of a pair where all columns are at their means over the held-out
        pairs that were learned from. A member's share is how much more it says than its mean, for
        a label as frequent. The shares of a pair add up to its log-odds. A label that was no
        candidate has none.
    words : dict of str to array
        Of linear "member"s: the "word"s (features) of the document that raise the member's
        score of the label most; "score" is by how much: value of the feature times its weight.
    neighbors : dict of str to array
        Of "member"s that look for neighbours: the nearest training documents that have the label,
        by their "row" in the X of `fit`, and their "cosine". Documents that `add_labels` and
        `add_documents` brought follow those of `fit` in the order in which they came.
    """

    labels: dict
    shares: dict
    words: dict
    neighbors: dict

    def __repr__(self):
        sizes = {name: len(table["document"]) for name, table in vars(self).items()}
        rows = ", ".join(f"{name} ({n} rows)" for name, n in sizes.items())
        return f"<Explanation: tables {rows}>"

    @classmethod
    def joined(cls, parts):
        """Put the explanations of several blocks of documents together."""
        return cls(*map(_joined, zip(*parts, strict=True)))

    def of(self, document, label):
        """The explanation of one pair alone.

        Parameters
        ----------
        document : int
            Row of X.
        label : int, or a class
            As in the tables.

        Returns
        -------
        Explanation
        """
        tables = (self.labels, self.shares, self.words, self.neighbors)
        masks = [(t["document"] == document) & (t["label"] == label) for t in tables]
        chosen = zip(tables, masks, strict=True)
        return Explanation(*({n: c[mask] for n, c in table.items()} for table, mask in chosen))

    def table(self):
        """All of it as one long table.

        Returns
        -------
        dict of str to array
            "document" and "label"; "kind", one of "label", "share", "word" and "neighbor";
            "member", of words and neighbours; "name": what of the label, the source of the share,
            the word, or the row of the neighbour; and "value". Rows are in the order of documents,
            then of labels, then of kinds.
        """
        of_labels = [self._long(self.labels, "label", name, name) for name in _LABELS[2:]]
        shares = self._long(self.shares, "share", "share", self.shares["source"])
        words = self._long(self.words, "word", "score", self.words["word"])
        rows = self.neighbors["row"].astype(object)
        table = _joined(
            [*of_labels, shares, words, self._long(self.neighbors, "neighbor", "cosine", rows)]
        )
        _, label = np.unique(table["label"], return_inverse=True)
        order = np.lexsort((label, table["document"]))  # stable
        return {name: column[order] for name, column in table.items()}

    @staticmethod
    def _long(table, kind, value, names):
        n_rows = len(table["document"])
        member = table.get("member", _filled("", n_rows))
        names = _filled(names, n_rows) if isinstance(names, str) else names
        values = table[value].astype(np.float64)
        columns = table["document"], table["label"], _filled(kind, n_rows), member, names, values
        return dict(
            zip(("document", "label", "kind", "member", "name", "value"), columns, strict=True)
        )


def _filled(text, n):
    return np.full(n, text, dtype=object)


def _joined(tables):
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


class Request(NamedTuple):
    """What shall be explained of a fitted stack, and how much of it.

    Parameters
    ----------
    target : Target
    decision : Decision
    columns : list of int or None
        Labels to explain; None for those that are predicted.
    k : int or None
        Explain so many of the best labels instead.
    feature_names : array of str, fitted transformer or None
        Of the columns of X.
    n_words, n_neighbors : int
        At most, for a pair and a member.
    """

    target: Target
    decision: Decision
    columns: list | None
    k: int | None
    feature_names: object
    n_words: int
    n_neighbors: int

    @classmethod
    def of(cls, target, decision, labels, k, feature_names, n_words, n_neighbors):
        """Check what a user asks for."""
        if labels is not None and k is not None:
            raise must_be("labels and k", "given one at a time", "both")
        if k is not None:
            check_number("k", k, 1, whole=True)
        check_number("n_words", n_words, 0, whole=True)
        check_number("n_neighbors", n_neighbors, 0, whole=True)
        if labels is not None and np.ndim(labels) != 1:
            raise must_be("labels", "a list of labels", repr(labels))
        columns = None if labels is None else [target.column(one, "labels") for one in labels]
        return cls(target, decision, columns, k, feature_names, n_words, n_neighbors)

    def keys(self, scores):
        """Ascending keys row * n_labels + label of the pairs to explain."""
        wanted = np.zeros(scores.shape, dtype=bool)
        if self.columns is not None:
            wanted[:, self.columns] = True
        elif self.k is not None:
            possible = np.where(scores > NEVER_LOGIT, scores, -np.inf)
            wanted.ravel()[keys_of(self.decision.topk(scores, self.k, possible))] = True
        elif self.target.type == "binary":  # whose one column decides, predicted or not
            wanted[:] = True
        else:
            wanted = self.decision.predict(scores).toarray() > 0
        return np.flatnonzero(wanted)


class Chosen(NamedTuple):
    """The pairs of a block to explain.

    Parameters
    ----------
    rows, labels : array of int of shape (n_chosen,)
        In the block, and columns of y.
    documents, names : array of shape (n_chosen,)
        The same as a user knows them.
    """

    rows: np.ndarray
    labels: np.ndarray
    documents: np.ndarray
    names: np.ndarray

    @classmethod
    def of(cls, keys, n_labels, first, target):
        """Take apart keys of a block whose first document is row `first` of X."""
        rows, labels = keys // n_labels, keys % n_labels
        return cls(rows, labels, first + rows, target.columns[labels])

    def table(self, names, at, *columns):
        """A table of further columns, with the documents and labels of the pairs `at`."""
        at = np.asarray(at, dtype=np.int64)
        return dict(zip(names, (self.documents[at], self.names[at], *columns), strict=True))


def explain(scorer, request, X, first):
    """Explain a block of documents.

    Parameters
    ----------
    scorer : StackScorer
    request : Request
    X : list, array or sparse matrix of some documents
    first : int
        Row of the first of them in all of X.

    Returns
    -------
    labels, shares, words, neighbors : dict of str to array
        As in `Explanation`.
    """
    pairs = scorer.pairs(X)
    scores = scorer.scores_of(pairs)
    keys = request.keys(scores)
    chosen = Chosen.of(keys, scores.shape[1], first, request.target)
    return (
        _labels(chosen, keys, scores, request),
        _shares(chosen, keys, pairs, scorer),
        _words(chosen, scorer.members, X, request),
        _neighbors(chosen, scorer, X, request.n_neighbors),
    )


def _labels(chosen, keys, scores, request):
    """Log-odds, probabilities and thresholds."""
    target, decision = request.target, request.decision
    probabilities = target.probabilities(scores)[:, -scores.shape[1] :]
    thresholds = decision.thresholds[chosen.labels].astype(np.float64)
    thresholds = np.full(len(keys), np.nan) if decision.one_per_row else thresholds
    predicted = decision.predict(scores).toarray().ravel()[keys] > 0
    values = scores.ravel()[keys], probabilities.ravel()[keys], thresholds, predicted
    return chosen.table(_LABELS, np.arange(len(keys)), *values)


def _shares(chosen, keys, pairs, scorer):
    """What each source adds to the log-odds of candidates."""
    is_candidate = np.isin(keys, pairs.keys, assume_unique=True)
    at = np.searchsorted(pairs.keys, keys[is_candidate])
    columns = {name: values[at] for name, values in pairs.columns.items()}
    by_source = shares_by_source(scorer.second, columns)
    if scorer.trees is not None or scorer.known.raised:
        by_source[False, "correction"] = scorer.log_odds(pairs)[at] - scorer.second.log_odds(
            columns
        )
    shares = np.column_stack(list(by_source.values()))
    repeated = np.repeat(np.flatnonzero(is_candidate), len(by_source))
    named = np.tile(np.array([name for _, name in by_source], dtype=object), len(at))
    return chosen.table(_SHARES, repeated, named, shares.ravel())


def shares_by_source(calibration, columns):
    """Take log-odds apart: what each source adds to those of a mean pair.

    Parameters
    ----------
    calibration : Calibration
    columns : dict of str to array of shape (n_pairs,)

    Returns
    -------
    dict of (bool, str) to array of shape (n_pairs,)
        By whether the source is a member, and its name. They add up to the log-odds.

    Notes
    -----
    With r = log(N/n - 1), a column counts by how far it is from its mean, that of a product z r by
    r (z - mean of z): what is left of it, r times the mean of z, is a matter of the frequency.
    """
    learned = dict(zip(calibration.columns, calibration.weights, strict=True))
    means = np.zeros(len(learned)) if calibration.means is None else calibration.means
    means = dict(zip(learned, means, strict=True))
    shares, of_frequency, offset = {}, learned.get(AGAINST, 0.0), calibration.offset
    for name, weight in learned.items():
        factor, is_product = name.removesuffix(_PRODUCT), name.endswith(_PRODUCT)
        by = columns[AGAINST] if is_product else 1.0
        of_frequency += weight * means[factor] if is_product else 0.0
        offset += 0.0 if is_product else weight * means[name]
        share = weight * (columns[name] - by * means[factor])
        shares[_source(name)] = shares.get(_source(name), 0.0) + share
    if _FREQUENCY in shares:
        shares[_FREQUENCY] = of_frequency * (columns[AGAINST] - means[AGAINST])
        offset += (of_frequency - learned[AGAINST]) * means[AGAINST]
    return {**shares, (False, "offset"): np.full(len(columns[AGAINST]), offset)}


def _source(column):
    """Whether a column is a member's, and whose it is."""
    if column in CONTEXT:
        return False, "context"
    return _FREQUENCY if column == AGAINST else (True, column.rpartition(": ")[0])


def _words(chosen, members, X, request):
    """The features of each linear member that raise its score most."""
    n_labels, found = len(request.decision.thresholds), []
    for member in members:
        model = Linear.of(member, n_labels, request.feature_names)
        if model is not None and len(chosen.rows):
            features = model.features(last_step(member.estimator, X)[1])
            words = _words_of(chosen, model, features, request.n_words)
            found += [(at, member.name, word, score) for at, word, score in words]
    return _in_order(chosen, _WORDS, (object, object, np.float64), found)


def _words_of(chosen, model, features, n_words):
    """Yield number of the pair, word, and what it adds, the largest first."""
    for at, (row, label) in enumerate(zip(chosen.rows, chosen.labels, strict=True)):
        columns, values = _row(features, row)
        products = values * model.weights(label)[columns]
        for j in largest(products, n_words):
            if products[j] > 0:
                yield at, model.names[columns[j]], products[j]


def _row(features, row):
    """Columns and values of the entries of a document that are not 0."""
    if sparse.issparse(features):
        entries = slice(*features.indptr[row : row + 2])
        return features.indices[entries], features.data[entries]
    columns = np.flatnonzero(features[row])
    return columns, features[row, columns]


def _neighbors(chosen, scorer, X, n_neighbors):
    """The nearest documents that have the label."""
    found = []
    for member in scorer.members:
        if isinstance(innermost(member.estimator), MultilabelKNeighborsClassifier):
            inner, documents = last_step(member.estimator, X)
            nearest = _neighbors_of(chosen, inner, documents, n_neighbors)
            found += [(at, member.name, scorer.row_in_fit(k), c) for at, k, c in nearest]
    return _in_order(chosen, _NEIGHBORS, (object, np.int64, np.float64), found)


def _neighbors_of(chosen, classifier, X, n_neighbors):
    """Yield number of the pair, row of the neighbour, and cosine, the nearest first."""
    searched = classifier.scorer_.encode(classifier.inputs_.read(X, classifier), "cpu")
    first = 0
    for memory, nearest in zip(classifier.scorer_.memories, searched, strict=True):
        n_labels = memory.Y.shape[1]
        own = np.flatnonzero((chosen.labels >= first) & (chosen.labels < first + n_labels))
        cosines, rows = (one[chosen.rows[own]] for one in nearest)
        keys = rows.astype(np.int64) * n_labels + (chosen.labels[own, None] - first)
        has_label = np.isin(keys, keys_of(memory.Y)) & (cosines > 0)
        kept = np.nonzero(has_label & (np.cumsum(has_label, axis=1) <= n_neighbors))
        yield from zip(own[kept[0]], memory.numbers[rows[kept]], cosines[kept], strict=True)
        first += n_labels


def _in_order(chosen, names, kinds, found):
    """A table of rows that begin with the number of their pair, by pair, then as they came."""
    found.sort(key=lambda row: row[0])
    at, *columns = zip(*found, strict=True) if found else [()] * (1 + len(kinds))
    pairs = zip(columns, kinds, strict=True)
    return chosen.table(names, at, *(np.array(column, dtype=kind) for column, kind in pairs))


class Linear(NamedTuple):
    """A linear model inside a member.

    Parameters
    ----------
    estimator : fitted classifier
    coefficients : matrix of shape (n_labels, n_features), or list of such of one row
        Of one-vs-rest models a list, with None for a label that all documents have, or none.
    names : array of object of shape (n_features,)
    """

    estimator: BaseEstimator
    coefficients: object
    names: np.ndarray

    @classmethod
    def of(cls, member, n_labels, feature_names):
        """Find the linear model of a member; None where its scores are not linear in features."""
        inner = innermost(member.estimator)
        coefficients = _coefficients(inner, n_labels)
        if coefficients is None:
            return None
        names = names_at_last_step(member.estimator, given_names(feature_names))
        known = getattr(inner, "feature_names_in_", None)
        return cls(inner, coefficients, names_of_features(names, inner.n_features_in_, known))

    def weights(self, label):
        """Weights (n_features,) of a label."""
        if not isinstance(self.coefficients, list):
            return row_of(self.coefficients, label)
        one = self.coefficients[label]
        return np.zeros(len(self.names)) if one is None else row_of(one, 0)

    def features(self, X):
        """Documents, as they get to the model, as a float array or CSR matrix."""
        if isinstance(self.estimator, BaseLongTailClassifier):
            return self.estimator.inputs_.read(X, self.estimator)
        return check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32])


def _coefficients(inner, n_labels):
    """Weights of all labels, of linear models of this package and of others."""
    if isinstance(inner, OneVsRestClassifier | MultiOutputClassifier):
        found = [getattr(one, "coef_", None) for one in inner.estimators_]
        return found if any(one is not None for one in found) else None
    if isinstance(inner, BaseLongTailClassifier) and not inner.inputs_.encoder.is_linear:
        return None  # weights of vectors, not of features
    if hasattr(inner, "dual_coef_"):  # of pairs of classes
        return None
    found = getattr(inner, "coef_", None)
    return found if found is not None and np.shape(found)[0] == n_labels else None


def top_features(scorer, target, label, feature_names, k, member):
    """The features of the largest weights for a label, of a linear member.

    Parameters
    ----------
    scorer : StackScorer
    target : Target
    label, feature_names, k, member
        As in `LongTailClassifier.top_features`.

    Returns
    -------
    dict of str to array
        "feature" and "weight".
    """
    n_labels = len(scorer.known.counts)
    found = {one.name: Linear.of(one, n_labels, feature_names) for one in scorer.members}
    linear = [name for name, model in found.items() if model is not None]
    if not linear:
        raise must_be(
            "estimators", "with a linear model among them", f"{list(found)}, of which none is"
        )
    name = linear[0] if member is None else check_choice("member", member, linear)
    column = target.column(label)
    return top_weights(found[name].weights(column), found[name].names, k)
