"""LongTailClassifier: the evidence of several members in one calibrated decision."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral

import numpy as np
from scipy.special import expit
from sklearn.utils import Bunch, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._idle import changed_parameters, warn_of_idle
from .._inputs import count_rows
from .._progress import announced
from .._stages import draw_seed
from .._targets import count_labels, warn_of_empty_labels
from .._validation import LabelWarning, must_be, warn
from ..decision import (
    Decision,
    Given,
    MultilabelMetaClassifier,
    check_decision,
    check_threshold,
    decision_of_classes,
    document_blocks,
    idle_in_decision,
    prior_cut_off,
    top_of_logits,
)
from ..model_selection import list_folds, list_held_out
from ._columns import Known
from ._explain import Explanation, Request, explain, top_features
from ._growing import GrowingMembers
from ._named import NamedMembers
from ._scorer import (
    SCORES_AT_A_TIME,
    StackScorer,
    calibrate,
    fit_members,
    fit_members_again,
    trainings,
)
from ._texts import members_of_texts
from ._views import Views


class LongTailClassifier(MultilabelMetaClassifier, NamedMembers, GrowingMembers):
    """Weigh what several classifiers say of a label, and what else the document is given.

    Members are trained together, and score documents held out in turn. What they say of a pair of
    document and label, and how frequent the label is, are the columns of a logistic regression of
    some ten numbers for all labels together: so labels with two documents profit from those with
    thousands. A second one adds the context: labels of one document compete, and some come
    together. Its probabilities are what `predict` cuts, by a rule learned from the same held-out
    documents.

    Parameters
    ----------
    estimators : "auto" or list of (str, classifier), default="auto"
        Members with `decision_function` or `predict_proba`: classifiers of this package and
        others, pipelines from raw texts too (see `from_texts`). "drop" in place of one leaves it
        out. "auto" is, on features, a linear model with squared hinge loss and the nearest
        documents by cosine; on tokens a BiLSTM and the nearest documents by the tf-idf of their
        tokens.
    refine : None or "trees", default=None
        "trees" weighs the columns by boosted trees too, and takes the mean of both log-odds: a
        little better where documents are many, and slower. They are left out, and a warning says
        so, where the held-out documents have fewer than 10,000 labels in all.
    threshold : float or str, default="micro_macro"
        What `predict` cuts at: a probability, or a rule of
        :class:`~skmltc.decision.MultilabelThresholdClassifierCV`, learned from held-out documents.
    slack : float, default=0.003
        Micro-F1 on held-out documents that the rules "tuned_low" and "frequency" may give up for a
        lower cut-off and for macro-F1: the 0.3 points of their descriptions.
    min_labels : int, default=0
        Give every document its best labels up to this number.
    max_labels : int, default=None
        Give no document more labels: those furthest above their thresholds are kept.
    cv : "auto", int, splitter or iterable of (train, test), default="auto"
        Documents that are held out in turn. A number is that of stratified folds; a splitter tests
        no document twice, such as :class:`~sklearn.model_selection.PredefinedSplit` for an official
        validation part. "auto" is 3 folds, and above 5,000 labels one part of a sixth.
    device : str, default="auto"
        Of the members of "auto": a torch device; "auto" is CUDA where there is one.
    n_jobs : int, default=None
        Of the members of "auto": blocks of labels that are solved at a time.
    random_state : int, RandomState instance or None, default=None
        Seed of the folds, and of members of this package that have none.
    verbose : int, default=0
        1 shows which member is trained, of how many trainings, and what time is left. It is that
        of the members of "auto", too.

    Attributes
    ----------
    members_ : Bunch
        The members, fitted on all documents, by name. Those of this package have learned no
        decision, which nobody would read.
    estimators_, named_estimators_ : list, Bunch
        The same as `StackingClassifier` has them: without dropped ones, and with "drop" for those.
    weights_ : dict of str to array
        What was learned, as the columns of a table: "column" and "weight", the log-odds per unit
        of it.
    calibration_ : Calibration
        The same numbers: from evidence and context to what `decision_function` returns.
    threshold_ : array of shape (n_labels,)
        Log-odds above which a label is predicted; +inf for a label without documents.
    classes_, label_counts_, n_labels_, n_samples_fit_
        Columns (for a 1-D y its classes), training documents of each, their number, and documents
        in all.
    label_names_
        Where y is a data frame, the names of its columns, if all of them are strings.
    n_features_in_, feature_names_in_
        Those of the first member that has them.

    See Also
    --------
    skmltc.decision.MultilabelVotingClassifier : The mean of several classifiers, nothing learned.

    Notes
    -----
    Every member is fitted four times: on all documents, and without each of three folds, which are
    the same for all members; above 5,000 labels twice: on all, and without one part of a sixth. A
    weight decay is searched once. Pipelines with equal steps before the classifier share them,
    fitted and asked once per fold; steps that learn nothing of texts
    (:class:`~skmltc.text.PretrainedEmbedder`, frozen ones, those whose tags say
    ``requires_fit=False``) are asked once per document in all. Candidates of a document are the 25
    best labels of the first member with scores (100 above 5,000 labels), 12 of each further one,
    and all labels of its 20 nearest documents: the probability of any other label is 0. The linear
    member of very many labels is solved on the documents that matter, as the notes of
    :class:`~skmltc.BalancedLossClassifier` say, with sparse weights.

    The columns of a member with score z for a label with n of N documents are z and
    z log(N/n - 1), and the same of max(0, z + 0.6) where the loss is a squared hinge. Neighbours
    say log(1 + v N / 4n) of the share v of votes, by cosine, of the nearest 20 and 50, and the best
    cosine to a document with the label. Stacked regression is that of Wolpert (1992,
    https://doi.org/10.1016/S0893-6080(05)80023-1), voting neighbours that of Zhang and Zhou (2007,
    https://doi.org/10.1016/j.patcog.2006.12.019).

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmltc import LongTailClassifier
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> corpus = make_long_tailed_corpus(n_samples=300, n_labels=10, random_state=0)
    >>> model = make_pipeline(TfidfVectorizer(), LongTailClassifier(random_state=0))
    >>> model.fit(corpus.data, corpus.target).predict(corpus.data[:2]).shape
    (2, 10)
    """

    _undecided = False  # set by what decides by itself: no decision is learned

    def __init__(
        self,
        estimators="auto",
        *,
        refine=None,
        threshold="micro_macro",
        slack=0.003,
        min_labels=0,
        max_labels=None,
        cv="auto",
        device="auto",
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.estimators = estimators
        self.refine = refine
        self.threshold = threshold
        self.slack = slack
        self.min_labels = min_labels
        self.max_labels = max_labels
        self.cv = cv
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def from_texts(
        cls,
        embedder=None,
        *,
        vectorizer=None,
        characters=False,
        memory=None,
        threshold="micro_macro",
        slack=0.003,
        min_labels=0,
        max_labels=None,
        cv="auto",
        device="auto",
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        """Make an estimator of raw texts: words, and with an encoder what they mean.

        Its members are pipelines: "words", a linear model of weighted words, and "neighbors", the
        nearest documents by the cosine of these weights. With an encoder "meaning" is a linear
        model of its vectors, and "neighbors_of_meaning" are the nearest documents by their cosine.

        Parameters
        ----------
        embedder : transformer, default=None
            From texts to vectors, such as a :class:`~skmltc.text.PretrainedEmbedder`.
        vectorizer : transformer, default=None
            From texts to the weights of their words. None is
            ``TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2)``.
        characters : bool, default=False
            Whether "characters" is a further member, a linear model of parts of words, three to
            five characters of them. In titles and questions of a few words they tell more than in
            long documents; they take some four times as long.
        memory : str or joblib.Memory, default=None
            Where to keep the vectors, as of :class:`sklearn.pipeline.Pipeline`: for searches and
            further fits on the same texts. Within one fit each text is encoded once without it.
        threshold, slack, min_labels, max_labels, cv, random_state
            Those of the estimator.
        device, n_jobs, verbose
            Of the members, see :class:`BalancedLossClassifier`; `verbose` of the estimator and of a
            :class:`~skmltc.text.PretrainedEmbedder`, too.

        Returns
        -------
        LongTailClassifier
            Not fitted. Names of parameters are such as ``words__classifier__weight_decay``,
            ``words__vectorizer__ngram_range`` and ``meaning__embedder__max_length``.

        Examples
        --------
        >>> from skmltc import LongTailClassifier
        >>> from skmltc.datasets import make_long_tailed_corpus
        >>> corpus = make_long_tailed_corpus(n_samples=300, n_labels=10, random_state=0)
        >>> model = LongTailClassifier.from_texts(random_state=0)
        >>> model.fit(corpus.data, corpus.target).predict(corpus.data[:2]).shape
        (2, 10)
        """
        how = {"device": device, "n_jobs": n_jobs, "verbose": verbose}
        members = members_of_texts(embedder, vectorizer, characters, memory, **how)
        decided = {"threshold": threshold, "slack": slack}
        decided |= {"min_labels": min_labels, "max_labels": max_labels, "cv": cv}
        return cls(members, **decided, random_state=random_state, verbose=verbose)

    def fit(self, X, y, sample_weight=None):
        """Train the members, and learn what they say from documents held out in turn.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
            Whatever all members take; with "auto" features or token ids.
        y : array or sparse matrix of shape (n_samples, n_labels), or array of (n_samples,)
            Label indicators, dense or of any scipy sparse format; or one class per document.
        sample_weight : array of shape (n_samples,), default=None
            How often each document counts, once by default: in the members, in what is learned of
            them, in how frequent labels are, and in thresholds. A document of weight 0 is left out.
            Weights below 1 in the mean are taken for shares, and raised to a mean of 1. With
            scikit-learn's metadata routing enabled, the members that request them have them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If y, a weight or a parameter is not of the form above, y has no label at all, two
            members have one name, or a member has no scores, or takes no weights where there are
            some.
        """
        self._check_parameters()
        seed = draw_seed(self.random_state)
        target, Y = self._learn_target(y)
        everything = Given.of(target, X, y, Y, sample_weight)
        given = everything.weighing()
        warn_of_empty_labels(given.counts, target.names)
        views, kept = Views(given.X), self._kept(given.X)
        weights = self._weights_of(kept, given.weights)
        folds = self._folds(everything, seed)
        folds = [part for part in folds if self._tells(target, given.Y[part[0]])]
        begin = announced(trainings([name for name, _ in kept], len(folds)), self.verbose)
        members = fit_members(kept, views, given.y, seed, weights, begin)
        routed = [its is not None for its in weights]
        how = seed, routed, begin
        members, parts = fit_members_again(members, given, views, folds, *how)
        scorer, decision = self._combine(target, members, parts, given, seed)
        named = Bunch(**{member.name: member.estimator for member in members})
        self._set_fitted(
            target,
            decision,
            (given.counts, given.n_samples),
            list(named.values()),
            members_=named,
            scorer_=scorer,
            calibration_=scorer.second,
            n_labels_=Y.shape[1],
        )
        return self

    def _check_parameters(self):
        super()._check_parameters()
        check_threshold(self.threshold), check_decision(self)
        warn_of_idle(changed_parameters(self), [idle_in_decision(self.threshold)])
        if self.refine not in (None, "trees"):
            raise must_be("refine", "None or 'trees'", repr(self.refine))
        self._check_members()

    @staticmethod
    def _tells(target, Y):
        """Whether members can be trained on a part: it has a label, and of classes all."""
        if target.is_multilabel:
            return Y.nnz > 0
        counts = count_labels(Y)
        return bool(counts.all()) and counts.max() < Y.shape[0]

    def _folds(self, given, seed):
        """Rows of the documents that count, to fit on and to hold out in turn."""
        if isinstance(self.cv, str) or isinstance(self.cv, Integral):
            return list_held_out(given.weighing().Y, seed, self.cv)
        folds = list_folds(self.cv, given.X, given.y, every=False)
        placed = [tuple(given.place(rows) for rows in part) for part in folds]
        return [(fit, held) for fit, held in placed if len(held)]

    def _combine(self, target, members, parts, given, seed):
        """The scorer of labels, and the decision."""
        known, X, Y = Known.of(given.Y, given.weights), given.X, given.Y
        if not any(part.is_true.any() for part in parts):
            return self._learn_of_prior(target, StackScorer.of_one(members, known, X), X, Y)
        first, second, trees, pairs = calibrate(parts, seed, self.refine == "trees")
        if self.refine and not trees:
            warn(
                "refine='trees' has no effect: the held-out documents have fewer than 10,000 "
                "labels in all, of which trees would remember too much.",
                UserWarning,
            )
        scorer = StackScorer(members, known, first, second, trees, given.left_out)
        if not target.is_multilabel:
            return scorer, decision_of_classes(target, 0.0)
        if self._learns_rule() and not pairs.is_true.all():
            learned = self.threshold, pairs, known.counts, known.n_samples
            return scorer, Decision.learn(*learned, slack=self.slack)
        return scorer, self._even_decision(known)

    def _learns_rule(self):
        return isinstance(self.threshold, str) and not self._undecided

    def _even_decision(self, known):
        """Cut at even odds, or at the probability that is given."""
        rule = self.threshold if isinstance(self.threshold, str) else None
        decision = Decision.at_probability(0.5 if rule else self.threshold, known.counts)
        return replace(decision, rule=rule)

    def _learn_of_prior(self, target, scorer, X, Y):
        """Where held-out documents say nothing: one member, and as many labels as there are."""
        if not target.is_multilabel:
            return scorer, decision_of_classes(target, 0.0)
        warn(
            "No held-out document has a label that other documents have too, so nothing could be "
            "learned of how much each member says: the scores of the first one count alone, and "
            "as many labels are above the thresholds as the training documents have. Give more "
            "documents per label.",
            LabelWarning,
        )
        decision = self._even_decision(scorer.known)
        cut_off = prior_cut_off(map(scorer.scores, self._parts(X, Y.shape[1])), Y.nnz)
        return scorer.raised(decision.thresholds.min() - cut_off), decision

    @staticmethod
    def _parts(X, n_labels):
        return document_blocks(X, n_labels, SCORES_AT_A_TIME)

    @property
    def threshold_(self):
        """Log-odds above which labels are predicted, (n_labels,); +inf without documents.

        They are those in force: of a number that stands as `threshold` now, else of the rule that
        was learned.
        """
        return self._decision_in_force().thresholds

    def _decision_in_force(self):
        decision = super()._decision_in_force()
        check_threshold(self.threshold), check_decision(self)
        if not self.target_.is_multilabel:
            return decision
        if not isinstance(self.threshold, str):
            decision = Decision.at_probability(self.threshold, self.label_counts_)
        elif self.threshold != decision.rule:
            known = f"{decision.rule!r} or a number" if decision.rule else "a number, as in fit"
            remedy = "A rule is learned in fit: fit again."
            raise must_be("threshold", known, self.threshold, remedy)
        return replace(decision, min_labels=self.min_labels, max_labels=self.max_labels)

    @property
    def weights_(self):
        """What was learned, as columns of a table: ``pandas.DataFrame`` takes it as it is.

        A dict of two arrays: "column", the names of the columns of a pair, as
        "<member>: <what it says>", and "weight", the log-odds per unit of it. The last row is the
        offset.
        """
        check_is_fitted(self, "calibration_")
        learned = self.calibration_
        return {
            "column": np.array([*learned.columns, "offset"]),
            "weight": np.append(learned.weights, learned.offset),
        }

    def explain(
        self, X, labels=None, *, k=None, feature_names=None, n_words=10, n_neighbors=5
    ) -> Explanation:
        """Say why documents have their labels: what every member adds, words, and neighbours.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
        labels : list, default=None
            Labels to explain, of every document: column numbers, names where y had some
            (`label_names_`), for a 1-D y classes. None is the
            labels that are predicted; for a 1-D y of two classes always the second one.
        k : int, default=None
            Explain so many of the best labels of every document instead, predicted or not.
        feature_names : array of str or fitted transformer, default=None
            Names of the columns of X, or the vectorizer that made it. A member that is a pipeline
            from texts has names of its own. None is "x0", "x1", ... where nobody knows better.
        n_words, n_neighbors : int, default=10 and 5
            Words of a linear member, and documents with the label, at most, for each pair.

        Returns
        -------
        Explanation
            Four tables; ``pandas.DataFrame(model.explain(X).shares)``.

        Raises
        ------
        ValueError
            If there is no such label, or names are not as many as columns.
        """
        decision = self._decision_in_force()
        how = labels, k, feature_names, n_words, n_neighbors
        request, first, parts = Request.of(self.target_, decision, *how), 0, []
        for block in self._blocks(X):
            parts.append(explain(self.scorer_, request, block, first))
            first += count_rows(block)
        return Explanation.joined(parts)

    def top_features(self, label, feature_names=None, k=10, member=None):
        """Find the features (words) of the largest weights for a label.

        Parameters
        ----------
        label : int, str, or a class
            A column number, or a name where y had some (`label_names_`); for a 1-D y a class.
        feature_names : array of str or fitted transformer, default=None
            As in `explain`.
        k : int, default=10
            How many at most.
        member : str, default=None
            A linear member by name; the first one by default.

        Returns
        -------
        dict of str to array
            "feature" and "weight", the largest first: ``pandas.DataFrame`` takes it as it is.

        Raises
        ------
        ValueError
            If there is no such label or linear member, or names are not as many as columns.
        """
        check_is_fitted(self, "scorer_")
        return top_features(self.scorer_, self.target_, label, feature_names, k, member)

    def _has_logits(self):
        """Whether `decision_function` is there: with members that read tokens alone when fitted.

        scikit-learn's check of its order feeds fractions to whatever has it before `fit`.
        """
        return hasattr(self, "decision_") or not get_tags(self).input_tags.categorical

    @available_if(_has_logits)
    def decision_function(self, X):
        """Log-odds of every label.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents

        Returns
        -------
        array of float32 of shape (n_samples, n_labels), or (n_samples,) for a binary y
            -50 where no member sees a reason to consider the label.
        """
        scores = np.concatenate(list(map(self._score_block, self._blocks(X))))
        return scores.ravel() if self.target_.type == "binary" else scores

    def predict_proba(self, X):
        """Probabilities, which can be read as frequencies: they are learned out of fold.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents

        Returns
        -------
        array of shape (n_samples, n_labels)
            For a 1-D y (n_samples, n_classes), with rows that sum to 1.
        """
        blocks = list(map(self._score_block, self._blocks(X)))
        return self.target_.probabilities(np.concatenate(blocks))

    def _blocks(self, X):
        check_is_fitted(self, "decision_")
        return self._parts(X, self._n_columns)

    def _score_block(self, X):
        return self.scorer_.scores(X)

    def _top_of_block(self, X, k, worth):
        best = top_of_logits(self.decision_, self._score_block(X), k, worth)
        best.data = expit(best.data.astype(np.float64))  # in float32 the best would tie at 1
        return best

    def _inner_tags(self):
        self._check_pairs()
        members = self._default_members("features") if self._is_auto() else self._kept(None)
        return [get_tags(member) for _, member in members]
