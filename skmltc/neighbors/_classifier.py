"""MultilabelKNeighborsClassifier: the votes of the nearest documents."""

from __future__ import annotations

from numbers import Integral

from sklearn.preprocessing import FunctionTransformer
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from .._cosine import CosineNeighbors
from .._stages import Problem, Trained, counted, grown, read_documents, read_new_labels
from .._targets import count_labels
from .._token_counts import token_tfidf
from .._validation import check_constraints
from ..base import BaseLongTailClassifier
from ..decision import Decision
from ._scorer import Memory, VoteScorer


class MultilabelKNeighborsClassifier(BaseLongTailClassifier):
    """Multi-label text classifier by the votes of the nearest documents.

    The documents that are nearest by cosine vote for their labels, each with its cosine as weight,
    against how often a label is at all: the idea of ML-kNN (Zhang and Zhou, *ML-KNN: A lazy
    learning approach to multi-label learning*, Pattern Recognition 2007,
    https://doi.org/10.1016/j.patcog.2006.12.019). Nothing is trained, and documents and labels can
    be added. A label of which few documents are near has a low probability, and `predict` cuts at
    0.5: wrap it in a :class:`~skmltc.decision.MultilabelThresholdClassifierCV` for cut-offs that
    find rare labels too.

    Parameters
    ----------
    n_neighbors : int, default=50
        Documents that vote; fewer where there are not so many.
    neighbors : estimator with `fit` and `kneighbors`, default=None
        What finds them; its distances are 1 - cosine, as those of
        ``sklearn.neighbors.NearestNeighbors(metric="cosine")``. None is an exact
        :class:`~skmltc.neighbors.CosineNeighbors`.
    n_jobs : int, default=None
        Blocks of documents that look for neighbours at a time, in threads; None is what joblib's
        context says.

    Attributes
    ----------
    classes_ : array
        Column numbers of the labels; for a 1-D y its classes.
    label_names_ : array of str of shape (n_labels,)
        Where y is a data frame, the names of its columns, if all of them are strings.
    n_labels_, n_samples_fit_, n_features_in_ : int
        Sizes of the training data.
    label_counts_ : array of int of shape (n_labels,)
        Training documents of each label; with `sample_weight`, as `n_samples_fit_`, by weight.
    head_labels_, tail_labels_ : array of int
        Labels with more than 50 and with up to 10 training documents.
    threshold_ : array of shape (n_labels,)
        0, the logit of 0.5; +inf for a label without documents.

    See Also
    --------
    skmltc.neighbors.CosineNeighbors : The search.
    skmltc.decision.MultilabelThresholdClassifierCV : Cut-offs learned on held-out documents.

    Notes
    -----
    Features are compared as they are, tokens by the tf-idf of their ids, which is learned in `fit`.
    With m neighbours of positive cosine, v the share of them that have a label, weighted by
    cosines, and p the share of all documents that have it, the probability is (m v + p) / (m + 1):
    p counts as one further neighbour. p is taken within half a document of 0 and 1, and a document
    without neighbours has p itself.

    The training documents are kept, as vectors, with their labels: with the model one gives away
    them too. Never are all pairs of documents in memory at a time, nor all pairs of documents and
    labels, except what `predict_proba` and `decision_function` return.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> from skmltc.decision import MultilabelThresholdClassifierCV
    >>> from skmltc.neighbors import MultilabelKNeighborsClassifier
    >>> corpus = make_long_tailed_corpus(n_samples=300, n_labels=10, random_state=0)
    >>> model = make_pipeline(TfidfVectorizer(), MultilabelKNeighborsClassifier(n_neighbors=20))
    >>> tuned = MultilabelThresholdClassifierCV(model, random_state=0)
    >>> tuned.fit(corpus.data, corpus.target).predict(corpus.data[:2]).shape
    (2, 10)
    """

    # What is a parameter elsewhere is the same for all classifiers by votes.
    encoder, training, threshold, slack = "auto", "auto", 0.5, 0.003
    min_labels, max_labels = 0, None
    calibrate, device, random_state, verbose = False, "cpu", 0, 0
    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "neighbors": [None, HasMethods(["fit", "kneighbors"])],
        "n_jobs": [None, Integral],
    }

    def __init__(self, n_neighbors=50, neighbors=None, n_jobs=None):
        self.n_neighbors = n_neighbors
        self.neighbors = neighbors
        self.n_jobs = n_jobs

    def fit(self, X, y, sample_weight=None):
        """Keep documents and their labels.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Features, such as TF-IDF weights; or token ids, a dense array of integers with 0 for
            padding and 1 for unknown words, as `TokenSequenceVectorizer` makes them.
        y : array or sparse matrix of shape (n_samples, n_labels), or array of (n_samples,)
            Label indicators, dense or of any scipy sparse format; or one class per document.
        sample_weight : array of shape (n_samples,), default=None
            How often each document counts, once by default: as a neighbour, and in how frequent a
            label is. One of weight 2 is two neighbours; one of weight 0 is left out. Weights below
            1 in the mean are taken for shares, and raised to a mean of 1.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X, y, a weight or a parameter is not of the form above.
        """
        return self._fit(X, y, sample_weight=sample_weight)

    def _check_parameters(self):
        check_constraints(self)

    def _idle(self, problem, train, given):
        return []

    def _shifts_logits(self):
        return False

    def _spec_of(self, name):
        return None

    def _train(self, problem, train, given, seed):
        inputs = problem.inputs
        on_tokens = inputs.kind == "tokens"
        vectorizer = token_tfidf(inputs.n_inputs) if on_tokens else FunctionTransformer()
        neighbors = CosineNeighbors(device="cpu") if self.neighbors is None else self.neighbors
        vectors = vectorizer.fit_transform(train.X)
        memory = Memory.of(neighbors, vectors, train.Y, weights=train.weights)
        scorer = VoteScorer(vectorizer, (memory,), self.n_neighbors, self.n_jobs)
        return Trained(scorer, None, train.Y, None)

    def add_documents(self, X, y):
        """Keep further documents and their labels.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            As in `fit`; words that it did not have are unknown.
        y : array or sparse matrix of shape (n_samples, n_labels), or array of (n_samples,)
            All their labels, as in `fit`.

        Returns
        -------
        self
            Equal to what a fit on all documents makes; but of tokens the weights of words stay
            those of `fit`.
        """
        check_is_fitted(self)
        documents = read_documents(Problem(self.inputs_, self.target_), X, y, self)
        counts = self.label_counts_ + count_labels(documents.Y)
        scorer = self.scorer_.with_documents(documents.X, documents.Y)
        fitted = counted(self.target_, counts, self.n_samples_fit_ + len(documents))
        several = not self.target_.is_multilabel
        decision = Decision.best(len(counts)) if several else Decision.at(0.0, counts)
        vars(self).update(fitted, decision_=decision, scorer_=scorer)
        return self

    def add_labels(self, X, Y_new):
        """Learn new labels from a few documents; the others keep their scores, to the last bit.

        The documents vote for the new labels alone, and those known so far are taken for ones
        without the new labels, save those that are among the new ones. Every call adds a search
        of its own among all documents: labels are best added together.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Documents, as in `fit`.
        Y_new : array or sparse matrix of shape (n_samples, n_new)
            Indicators of the new labels alone, each with at least one document. They become the
            last columns.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a new label has no document, or y of `fit` was not an indicator matrix.
        """
        documents = read_new_labels(self, X, Y_new)
        scorer = self.scorer_.with_labels(documents.X, documents.Y)
        fitted = grown(self, count_labels(documents.Y), scorer.n_samples, Y_new)
        vars(self).update(fitted, scorer_=scorer)
        return self
