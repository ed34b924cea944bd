"""BalancedLossClassifier: losses that make up for a long tail of labels."""

from __future__ import annotations

import warnings
from numbers import Real

import numpy as np
import torch
from scipy import sparse
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from ._linear import fit_linear, linear_scores, select_weight_decay
from ._network import NetworkClassifier
from ._networks import HeadScorer, best_epoch, network_scores
from ._validation import must_be
from .decision import LOGIT_ADJUSTMENTS, select_for_tail
from .labels import log_odds_against
from .losses import ClassBalancedNegativeTolerantLoss, DistributionBalancedLoss

WEIGHT_DECAYS = (0.3, 0.1, 0.03, 0.01, 0.003)  # of L-BFGS
_MAX_ITER = 200  # of L-BFGS; a label needs ten to sixty
NEVER_LOGIT = -50.0  # logit of a label without documents


class BalancedLossClassifier(NetworkClassifier):
    """Multi-label text classifier with a loss that balances a long tail of labels.

    The nine losses of Huang, Giledereli, Koeksal, Oezguer and Ozkirimli, *Balancing Methods for
    Multi-label Text Classification with Long-Tailed Class Distribution* (EMNLP 2021), on any
    encoder. On features (TF-IDF, say) the default is a linear model, one per label, solved to
    convergence; its weight decay, the shift of its logits by label frequency and the cut-off of
    its decisions are learned from out-of-fold scores.

    Parameters
    ----------
    encoder : "auto", str or encoder spec, default="auto"
        From documents to vectors. "auto" is a linear :class:`~skmltc.encoders.BagEncoder` on
        features, and a :class:`~skmltc.encoders.TextCNN` on tokens: a dense X of integers from
        0 up, as :class:`~skmltc.text.TokenSequenceVectorizer` makes it.
    loss : str or loss spec, default="auto"
        One of :data:`skmltc.losses.LOSSES`, by name or as an object with its parameters. "auto"
        is ``ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4)``, the best on validation
        documents of three data sets, where `threshold` is learned. Its logits are far from 0, so
        where `threshold` is a number (or y has one class per document) "auto" is the paper's
        "distribution_balanced".
    logit_adjustment : float or "auto", default="auto"
        tau: logits are raised by tau log(N/n - 1) after training, N being all training documents
        and n those of the label. "auto" learns it with the threshold; 0 where that is a number.
    optimizer : {"auto", "lbfgs", "adamw"}, default="auto"
        "lbfgs" (full batch, to convergence) is for linear models and their default; "adamw"
        (mini-batches) the one for networks.
    lr : float or "auto", default="auto"
        Learning rate of AdamW, by default the `training.lr` of the encoder; L-BFGS has none.
    weight_decay : float or "auto", default="auto"
        For L-BFGS the factor of half the squared weights against the loss summed over documents;
        "auto" chooses on out-of-fold scores. For AdamW its decoupled decay, by default the
        `training.weight_decay` of the encoder.
    max_epochs : int or "auto", default="auto"
        Passes of AdamW over the documents; "auto" is the `training.max_epochs` of the encoder,
        and where documents are few as many as make 200 steps.
    batch_size : int, default=64
        Documents per step of AdamW.
    early_stopping : bool or "auto", default="auto"
        Stop AdamW when the loss on a validation part no longer falls, and keep the best weights.
        "auto" does so where the data can spare that part.
    validation_fraction : float, default=0.1
        The documents in that part. It never takes a label's only document.
    patience : int, default=5
        Epochs without improvement before stopping.
    threshold : float or str, default="tuned_low"
        What `predict` cuts at: a probability, or a rule learned from out-of-fold scores.
        "tuned": the best micro-F1. "tuned_low": the lowest cut-off within 0.3 points of it, which
        finds more rare labels. "frequency": with a term in the label's frequency. "per_group",
        "per_label": cut-offs of their own, drawn to the common one where positives are few.
    min_labels : int, default=0
        Give every document its best labels up to this number.
    device : str, default="auto"
        A torch device; "auto" is CUDA where there is one. Linear models predict on the CPU.
    n_jobs : int, default=None
        Blocks of labels that are solved at a time, in threads; by default as many as torch has
        threads, up to eight.
    random_state : int, RandomState instance or None, default=None
        Seed of folds, weights and batches. Two fits with the same number are equal.
    verbose : int, default=0
        1 shows progress.
    callbacks : list of skorch callbacks, default=None
        For networks.

    Attributes
    ----------
    classes_ : array
        Column numbers of the labels; for a 1-D y its classes.
    n_labels_, n_samples_fit_, n_features_in_ : int
        Sizes of the training data.
    label_counts_ : array of int of shape (n_labels,)
        Training documents of each label.
    head_labels_, tail_labels_ : array of int
        Labels with more than 50 and with up to 10 training documents.
    threshold_ : array of shape (n_labels,)
        Logit above which a label is predicted; +inf for a label without documents.
    logit_adjustment_, weight_decay_ : float
        What was used; `weight_decay_` for L-BFGS.
    coef_, intercept_ : array of float32 of shape (n_labels, n_features) and (n_labels,)
        Of a linear model fitted by L-BFGS.
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
    There is no `sample_weight`: in mini-batches a weight of two is not the same as a document
    given twice, which scikit-learn would have it be.

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

    _parameter_constraints: dict = {
        **NetworkClassifier._parameter_constraints,
        "logit_adjustment": [StrOptions({"auto"}), Interval(Real, None, None, closed="neither")],
    }

    def __init__(
        self,
        *,
        encoder="auto",
        loss="auto",
        logit_adjustment="auto",
        optimizer="auto",
        lr="auto",
        weight_decay="auto",
        max_epochs="auto",
        batch_size=64,
        early_stopping="auto",
        validation_fraction=0.1,
        patience=5,
        threshold="tuned_low",
        min_labels=0,
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
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.threshold = threshold
        self.min_labels = min_labels
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    def _fit(self, X, Y, validation, random_state):
        loss = self._loss or self._recommended_loss()
        if self._is_linear(self._encoder):
            self._fit_linear(X, Y, loss, validation, random_state)
        else:
            self._fit_network(X, Y, loss, self._encoder, validation, random_state)

    def _recommended_loss(self):
        """The best loss where the cut-off is learned; where it is given, one that cuts near 0.5."""
        if self._learns_threshold():
            return ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4)
        return DistributionBalancedLoss()

    def _is_linear(self, encoder):
        linear = getattr(encoder, "is_linear", False)
        if self.optimizer == "lbfgs" and not linear:
            raise must_be("optimizer", "'adamw' or 'auto' for an encoder with layers", "'lbfgs'")
        if linear and self.optimizer != "adamw" and self.lr != "auto":
            warnings.warn("lr has no effect on L-BFGS; it is for optimizer='adamw'.", stacklevel=4)
        return linear and self.optimizer != "adamw"

    def _fit_linear(self, X, Y, loss, validation, random_state):
        """Tune on documents held out, then fit on all; labels are independent of each other."""
        settings = {
            "device": self._device(),
            "max_iter": _MAX_ITER,
            "n_jobs": self.n_jobs,
            "verbose": self.verbose,
        }
        decays = WEIGHT_DECAYS if self.weight_decay == "auto" else (float(self.weight_decay),)
        parts = self._parts(Y, validation, random_state) if self._has_to_tune(decays) else []
        if parts:
            self.weight_decay_, self.logit_adjustment_, *unseen = select_weight_decay(
                *_together(X, Y, validation),
                loss,
                parts,
                decays,
                self._adjustments(),
                every_label=self.threshold == "per_label",
                **settings,
            )
        else:
            self.weight_decay_, unseen = decays[len(decays) // 2], (None, None)
            self.logit_adjustment_ = self._fixed_adjustment()
        self.coef_, intercept, self.n_iter_ = fit_linear(X, Y, loss, self.weight_decay_, **settings)
        self.intercept_ = self._adjusted(intercept)
        self._decide(*unseen)

    def _fit_network(self, X, Y, loss, encoder, validation, random_state):
        """Train by mini-batches; decide on the validation part, or out of fold if it is small."""
        X_fit, Y_fit, validation = self._spare(X, Y, validation, random_state)
        self.net_ = self._train(X_fit, Y_fit, loss, encoder, validation)
        self.module_, self.history_ = self.net_.module_, list(self.net_.history)
        self.n_iter_ = len(self.history_)

        def train(X, Y):
            net = self._train_for(best_epoch(self.net_), X, Y, loss, encoder)
            return HeadScorer(net.module_, self._device())

        scorer = HeadScorer(self.module_, self._device())
        pairs = self._unseen_pairs(scorer, X, Y, Y_fit, validation, train, random_state)
        self._decide(*self._adjust_network(pairs))

    def _adjust_network(self, pairs):
        """Choose the logit adjustment and put it into the biases of the last layer.

        Returns the adjusted pairs and the best micro-F1 of all adjustments.
        """
        self.logit_adjustment_, best = self._fixed_adjustment(), None
        if pairs is not None:
            rare = log_odds_against(self.label_counts_, self.n_samples_fit_)
            options = {tau: pairs.shifted(tau * rare) for tau in self._adjustments()}
            self.logit_adjustment_, _, best = select_for_tail(options)
            pairs = options[self.logit_adjustment_]
        head = self.module_[-1] if isinstance(self.module_, nn.Sequential) else self.module_
        with torch.no_grad():
            head.bias += torch.from_numpy(self._adjusted(0.0)).to(head.bias)
        return pairs, best

    def _parts(self, Y, validation, random_state):
        """Masks of the documents held out in turn, of those fitted and the validation part."""
        if validation is None:
            return self._held_out(Y, random_state)
        return [np.arange(Y.shape[0] + validation[1].shape[0]) >= Y.shape[0]]

    def _has_to_tune(self, decays):
        return len(decays) > 1 or self._learns_threshold()

    def _adjustments(self):
        """The logit adjustments to choose from."""
        learned = self.logit_adjustment == "auto" and self._learns_threshold()
        return sorted(LOGIT_ADJUSTMENTS, key=abs) if learned else [self._fixed_adjustment()]

    def _fixed_adjustment(self):
        """The logit adjustment where there is nothing to learn it from."""
        return 0.0 if self.logit_adjustment == "auto" else float(self.logit_adjustment)

    def _adjusted(self, intercept):
        """Intercepts raised by label frequency; those of labels without documents out of reach."""
        raised = intercept + self.logit_adjustment_ * log_odds_against(
            self.label_counts_, self.n_samples_fit_
        )
        return np.where(self.label_counts_ > 0, raised, NEVER_LOGIT).astype(np.float32)

    def _score(self, X):
        if hasattr(self, "coef_"):
            return linear_scores(X, self.coef_, self.intercept_)
        return network_scores(self.module_, X, self._device())


def _together(X, Y, validation):
    """Training documents, and the validation part after them."""
    if validation is None:
        return X, Y
    X_val, Y_val = validation
    if sparse.issparse(X) or sparse.issparse(X_val):
        X = sparse.vstack([X, X_val], format="csr")
    else:
        X = np.concatenate([X, X_val])
    return X, sparse.vstack([Y, Y_val], format="csr")
