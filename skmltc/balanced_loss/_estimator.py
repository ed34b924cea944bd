"""BalancedLossClassifier: losses that make up for a long tail of labels."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from .._linear import NEWTON, ON_NEWTON, LazyLinearScorer, Solver
from .._networks import FrozenScorer, HeadScorer, Plan, Trainer, fitted_by
from .._published import AsPublished
from .._stages import ENOUGH_TO_DECIDE, Trained, decides, weights_in_batches
from .._targets import count_labels
from .._validation import must_be
from ..base import BaseLongTailClassifier
from ..labels import NEVER_LOGIT, log_odds_against
from ..losses import ClassBalancedNegativeTolerantLoss, DistributionBalancedLoss
from ._linear_models import FrozenPlan, LinearModels
from ._published import PUBLISHED

_OF_BATCHES = ("training", "lr", "max_epochs", "batch_size", "early_stopping", "patience")
_OF_BATCHES += ("validation_fraction", "callbacks")


class BalancedLossClassifier(LinearModels, AsPublished, BaseLongTailClassifier):
    """Multi-label text classifier with a loss that balances a long tail of labels.

    The nine losses of Huang, Giledereli, Koeksal, Oezguer and Ozkirimli, *Balancing Methods for
    Multi-label Text Classification with Long-Tailed Class Distribution* (EMNLP 2021), on any
    encoder. On features (TF-IDF, say) the default is a linear model, one per label, solved to
    convergence; its weight decay, its calibration and the thresholds of its decisions are learned
    from the scores of held-out documents.

    Parameters
    ----------
    encoder : "auto", str or encoder spec, default="auto"
        From documents to vectors. "auto" is a linear :class:`~skmltc.encoders.BagEncoder` on
        features, and a :class:`~skmltc.encoders.TextCNN` on tokens: a dense X of integers from
        0 up, as :class:`~skmltc.text.TokenSequenceVectorizer` makes it.
    loss : str or loss spec, default="auto"
        One of :data:`skmltc.losses.LOSSES`, by name or as an object with its parameters. "auto"
        is ``ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4)``, as held-out training
        documents have decided (the page of benchmarks has their table); where y has one class per
        document it is the paper's "distribution_balanced".
    logit_adjustment : float or "auto", default="auto"
        tau: scores are raised by tau log(N/n - 1) after training, before they are calibrated.
        "auto" is 0: calibration learns what the frequency of a label says. A number is for
        ``calibrate=False``.
    optimizer : {"auto", "newton", "lbfgs", "adamw", "adam"}, default="auto"
        "newton" (all documents, to convergence) is for linear models, of features or of the
        vectors of an encoder that is not trained, and their default; "lbfgs" is another name of it.
        "adamw" and "adam" work by mini-batches; by default networks have that of the training in
        force.
    training : "auto" or Training, default="auto"
        How mini-batches are trained on: a :class:`~skmltc.encoders.Training`. "auto" is what the
        encoder recommends. It has no effect on Newton's method.
    lr : float or "auto", default="auto"
        Learning rate of mini-batches: one for all parameters, and constant unless a `training`
        that is given says else. "auto" is that of the training in force, with its schedule and
        its factors. Newton's method has none.
    weight_decay : float or "auto", default="auto"
        For Newton's method the factor of half the squared weights against the loss summed over
        documents; "auto" chooses on held-out documents, by the criterion of the rule "frequency".
        With "squared_hinge" it is 1 / C of `LinearSVC`, and "auto" tries 1 / C of 0.1, 0.2, 0.4, 1,
        2. For mini-batches their own decay, by default that of the training in force.
    max_epochs : int or "auto", default="auto"
        Passes of mini-batches over the documents; "auto" is the number of a `training` that is
        given, else the one that the encoder recommends, and where documents are few as many as
        make 200 steps.
    max_iter : int, default=200
        Most steps of Newton's method for a label; a `ConvergenceWarning` says how many labels need
        more. Most are done after four to a dozen; on counts of words they may need dozens.
    tol : float, default=1e-4
        Accuracy of Newton's method, relative to the objective of a label (or to a millionth per
        document with the label, where the objective is smaller). A label is done when its last
        step promised to lower the objective by less than three times as much. In float32 less
        than 1e-5 is not reached.
    batch_size : int, default=64
        Documents per step.
    early_stopping : bool or "auto", default="auto"
        Stop mini-batches when the loss on a validation part no longer falls, and keep the best
        weights. "auto" does so where `X_val` is given; else where the part would have a hundred
        documents at least, and the rate of learning does not fall to 0 or a transformer is
        fine-tuned.
    validation_fraction : float, default=0.1
        The documents in that part. It never takes a label's only document.
    patience : int or None, default=5
        Epochs without improvement before stopping; None never stops and keeps the best weights.
    calibrate : bool or "auto", default="auto"
        Turn scores into log-odds, by a logistic regression of four numbers on held-out documents
        (:class:`~skmltc.decision.Calibration`), so that probabilities can be read as frequencies
        and a number as `threshold` means what it says. Where `threshold` is a rule, it takes no
        further training. "auto" does so where y is a label indicator matrix, unless the estimator
        is inside a :class:`~skmltc.decision.MultilabelThresholdClassifierCV`. False leaves scores
        as they are, as in the papers.
    threshold : float or str, default="frequency"
        What `predict` cuts at: a probability (of `predict_proba`), or a rule learned from the
        (calibrated) scores of held-out documents. "frequency": one cut-off for score +
        tau log(N/n - 1), N being all training documents and n those of the label: of the taus
        within 0.3 points of the best micro-F1 the largest whose macro-F1 is within 0.3 points of
        the best. "tuned": one cut-off, of the best micro-F1. "tuned_low": the lowest within 0.3
        points of it. "per_group", "per_label": cut-offs of their own, drawn to the common one where
        positives are few. "micro_macro": a cut-off per label, of the best sum of micro- and
        macro-F1 in expectation.
    slack : float, default=0.003
        Micro-F1 on held-out documents that the rules "tuned_low" and "frequency" may give up for a
        lower cut-off and for macro-F1: the 0.3 points of their descriptions.
    min_labels : int, default=0
        Give every document its best labels up to this number.
    max_labels : int, default=None
        Give no document more labels: those furthest above their thresholds are kept.
    device : str, default="auto"
        A torch device; "auto" is CUDA where there is one. Linear models predict on the CPU.
    n_jobs : int, default=None
        Blocks of labels that are solved, or scored, at a time; -1 is one per processor. None is
        what joblib's context says (``joblib.parallel_config(n_jobs=2)``): threads, unless it
        says else, and 1 outside of one or on a GPU. Results do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seed of folds, weights and batches. Two fits with the same number are equal.
    verbose : int, default=0
        1 shows progress.
    callbacks : list of skorch callbacks, default=None
        For networks. They are copied: what one records is in
        ``dict(net_.callbacks_)``, which a stored model lacks.

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
        Value of `decision_function` above which a label is predicted; +inf for a label without
        documents.
    calibration_ : Calibration
        From scores to what `decision_function` returns: log-odds. The identity where nothing is
        calibrated.
    weight_decay_ : float
        Of Newton's method.
    coef_, intercept_ : array of float32 of shape (n_labels, n_features) and (n_labels,)
        Of a linear model. `coef_` is a csr_array where labels are solved on the documents that
        matter, as the notes say.
    module_, net_, history_ : torch module, skorch net, list of dict
        Of a network.
    n_iter_ : int
        Most iterations of any label, or epochs.

    See Also
    --------
    skmltc.losses : The nine losses.
    skmltc.decision.MultilabelThresholdClassifierCV : The same rules for any classifier.

    Notes
    -----
    Weights of documents (`sample_weight` of `fit`) are for Newton's method. In mini-batches a
    weight of two is not the same as a document given twice, which scikit-learn would have it be.

    With sparse features and more than 10 million weights (n_features x n_labels), labels are solved
    on the documents that matter: those of the label, some hundreds near to them, and some hundreds
    more, found by a first solution. Of "squared_hinge" these are documents that score above -1
    without the label, of the other losses those whose loss is steepest. All others count as one, at
    their mean score or as their mean, each by the slope of its loss. Time and memory then grow with
    the labels' documents. Afterwards weights are dropped that are below 1.5 % of how far the
    documents of the label score above the mean; the others are lengthened to the length of all and
    rounded to float16, and the intercept makes up for the rest in the mean. On 120 labels of a
    library catalogue (TF-IDF of 20,000 documents) scores of new documents above -0.9 of the hinge
    then differ from those of models of all documents by 0.005 in the mean (correlation 0.9998),
    with the balancing losses those of a label's best documents by 3 to 5 % of their spread (0.998
    to 0.9994). The CPU solves there, whatever `device` is. Losses of your own, and
    ``WeightedBinaryCrossEntropyLoss(clip=False)``, are solved on all documents; a warning says so
    where the weights take more than 2 GB.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmltc import BalancedLossClassifier
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> corpus = make_long_tailed_corpus(n_samples=300, n_labels=10, random_state=0)
    >>> model = make_pipeline(TfidfVectorizer(), BalancedLossClassifier(random_state=0))
    >>> model.fit(corpus.data, corpus.target).predict(corpus.data[:2]).shape
    (2, 10)
    """

    _published = PUBLISHED
    _is_member = False  # set by a stack: several models are in one file
    _parameter_constraints: dict = {
        **BaseLongTailClassifier._parameter_constraints,
        "logit_adjustment": [StrOptions({"auto"}), Interval(Real, None, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        *,
        encoder="auto",
        loss="auto",
        logit_adjustment="auto",
        optimizer="auto",
        training="auto",
        lr="auto",
        weight_decay="auto",
        max_epochs="auto",
        max_iter=200,
        tol=1e-4,
        batch_size=64,
        early_stopping="auto",
        validation_fraction=0.1,
        patience=5,
        calibrate="auto",
        threshold="frequency",
        slack=0.003,
        min_labels=0,
        max_labels=None,
        device="auto",
        n_jobs=None,
        random_state=None,
        verbose=0,
        callbacks=None,
    ):
        self.encoder = encoder
        self.loss = loss
        self.logit_adjustment = logit_adjustment
        self.optimizer = optimizer
        self.training = training
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.calibrate = calibrate
        self.threshold = threshold
        self.slack = slack
        self.min_labels = min_labels
        self.max_labels = max_labels
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    @classmethod
    def as_published(cls, row, *, as_released=True, **changes):
        """Make the estimator that is a row of Table 2 of Huang et al. (2021).

        Appendix A.1 (https://doi.org/10.18653/v1/2021.emnlp-main.643) has the settings: AdamW at
        a constant rate without clipping, 32 documents per step, the epoch of the best micro-F1 on
        a validation part, and one cut-off for all labels from that part.

        X is a dense array of token ids, of 512 tokens at most, and `encoder` has to be given: the
        paper's is BERT, whose weights are the caller's. ``fit(X, y, X_val, y_val)`` takes the
        paper's validation part of 1,000 documents; else a tenth of X is split off. The table's
        SVM is no row here: it is scikit-learn's `LinearSVC` on its `TfidfVectorizer`.

        Parameters
        ----------
        row : {"BCE", "FL", "CB", "R-FL", "NTR-FL", "DB-0FL", "CB-NTR", "DB", "NTR-FL, eq. 6"}
            The loss, by its name in the table. "NTR-FL" is without the factor 1 / lambda of
            equation 6, as the code that made the figures; the last row is with it.
        as_released : bool, default=True
            Without effect, since the formulas are those of the printed page either way: the code
            multiplies each loss by a number, which does not reach AdamW without clipping.
        **changes : dict
            Parameters that shall be others; `encoder` must be among them. PubMed has
            ``training__lr=4e-4``, ``max_epochs=50`` and, for the rows "R-FL", "DB-0FL" and "DB",
            ``loss__mu=0.05``.

        Returns
        -------
        BalancedLossClassifier
            Not fitted, with every parameter of the row set.

        Raises
        ------
        ValueError
            If there is no such row, or no `encoder`.

        Notes
        -----
        What differs from the paper all the same: the rate was searched there, and is 1e-4 here;
        the cut-off is any number, there one of 0.40, 0.41, ... 0.60; and the code also keeps a
        later epoch that is within half a per cent of the best. A validation part with fewer than
        500 labels leaves the cut-off to folds, which are trained for it.

        Examples
        --------
        >>> from skmltc import BalancedLossClassifier
        >>> from skmltc.encoders import TextCNN
        >>> model = BalancedLossClassifier.as_published("DB", encoder=TextCNN())
        >>> model.loss, model.threshold, model.training.head_start
        (DistributionBalancedLoss(mu=0.9), 'tuned', 'normal')
        """
        return super().as_published(row, as_released=as_released, **changes)

    def fit(self, X, y, X_val=None, y_val=None, sample_weight=None):
        """Train on documents and their labels.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Features, such as TF-IDF weights; or token ids, a dense array of integers with 0 for
            padding and 1 for unknown words, as `TokenSequenceVectorizer` makes them.
        y : array or sparse matrix of shape (n_samples, n_labels), or array of (n_samples,)
            Label indicators, dense or of any scipy sparse format; or one class per document.
        X_val, y_val : like X and y, default=None
            An official validation part. Without it what has to be tuned is tuned on documents
            held out of X.
        sample_weight : array of shape (n_samples,), default=None
            How often each document counts, once by default, where Newton's method solves linear
            models: in the loss, in how frequent labels are, in the choice of the weight decay, in
            calibration and in thresholds. A weight of 2 is the document twice in one fold, and a
            document of weight 0 is left out. Weights below 1 in the mean are taken for shares, and
            raised to a mean of 1.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y, a weight or a parameter is not of the form above, or mini-batches are to be
            trained on with weights; the message says what to give.
        KeyboardInterrupt
            If the user stops it (Ctrl-C). The message says how far it got, and whether the
            estimator is fitted all the same: that is so where a network was in its only stage of
            training and documents were spared to decide by. Else it is as it was before.
        """
        return self._fit(X, y, X_val, y_val, sample_weight)

    def _read(self, problem, X, y, X_val, y_val, checker, sample_weight):
        if sample_weight is not None and not self._is_linear(problem.inputs.encoder):
            raise weights_in_batches()
        return super()._read(problem, X, y, X_val, y_val, checker, sample_weight)

    def _train(self, problem, train, given, seed):
        loss = self._spec_of("loss") or self._recommended_loss(problem.target)
        encoder = problem.inputs.encoder
        if self._is_linear(encoder) and not encoder.is_linear:
            return self._train_on_vectors(problem.inputs, loss, train, given, seed)
        if self._is_linear(encoder):
            return self._train_linear(loss, train, given, seed)
        return self._train_network(problem, loss, train, given, seed)

    def _idle(self, problem, train, given):
        if self._is_linear(problem.inputs.encoder):
            newton = True, ON_NEWTON, _OF_BATCHES
            few = f"with fewer than {ENOUGH_TO_DECIDE} labels to decide by"
            unread = not decides(given), few, ("X_val", "y_val")
            return [*self._idle_in_decision(problem.target), newton, unread]
        of_newton = True, "in mini-batches", ("max_iter", "tol")
        return [*super()._idle(problem, train, given), of_newton]

    def _recommended_loss(self, target):
        """The best loss for labels; for a 1-D y, whose scores are compared, one without shifts."""
        if target.is_multilabel:
            return ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4)
        return DistributionBalancedLoss()

    def _shifts_logits(self):
        return self.loss == "auto" or super()._shifts_logits()

    def _is_linear(self, encoder):
        """Whether a linear model is solved, of the features or of vectors that are not trained."""
        is_linear = encoder.is_linear or encoder.is_frozen
        if self.optimizer in NEWTON and not is_linear:
            expected = "'adamw', 'adam' or 'auto' for an encoder with layers to train"
            raise must_be("optimizer", expected, repr(self.optimizer))
        return is_linear and self.optimizer in ("auto", *NEWTON)

    def _held_out(self, train, trained, seed, seconds=None):
        if isinstance(trained.plan, FrozenPlan):
            train, trained = trained.plan.vectors, trained._replace(plan=trained.plan.solver)
        return super()._held_out(train, trained, seed, seconds)

    def _decide(self, problem, train, trained, held_out, seed):
        plan = trained.plan
        if not isinstance(plan, FrozenPlan):
            return super()._decide(problem, train, trained, held_out, seed)
        decided = super()._decide(problem, plan.vectors, trained, held_out, seed)
        return decided._replace(scorer=FrozenScorer(plan.encoder, decided.scorer))

    def _train_network(self, problem, loss, train, given, seed):
        """Train by mini-batches; the epochs are those of the lowest loss on unseen documents."""
        inputs = problem.inputs
        trainer = Trainer.of(self, inputs.encoder.training, self._device())
        fit, unseen = trainer.split(train, given, seed)
        net = trainer.train_encoder(inputs, loss, fit, seed, stop_by=unseen)
        plan = Plan(inputs, loss, trainer.as_before(net))
        scorer = self._network_scorer(net.module_, fit.Y)
        return Trained(scorer, plan, fit.Y, unseen, **fitted_by(net))

    def _retrain(self, documents, plan, seed):
        if isinstance(plan, Solver):
            return LazyLinearScorer(documents.X, documents.Y, plan, documents.weights)
        net = plan.trainer.train_encoder(plan.inputs, plan.loss, documents, seed)
        return self._network_scorer(net.module_, documents.Y)

    def _network_scorer(self, network, Y):
        counts = count_labels(Y)
        raised = self._adjustment() * log_odds_against(counts, Y.shape[0])
        return HeadScorer(network).raised(np.where(counts > 0, raised, NEVER_LOGIT))

    def _adjustment(self):
        return 0.0 if self.logit_adjustment == "auto" else float(self.logit_adjustment)
