"""HybridSiameseClassifier: one network for frequent labels, a Siamese one for rare labels."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from .._network import NetworkClassifier
from .._networks import HeadScorer, best_epoch, network_scores, score_pairs, train_network
from .._validation import LabelWarning, must_be
from ..decision import ScoredPairs, select_for_tail
from ..encoders import BagEncoder, TextCNN
from ..losses import BinaryCrossEntropyLoss
from ._similarity import (
    ACTIVATIONS,
    SiameseNetwork,
    SimilarityScorer,
    TripletDocuments,
    TripletLoss,
    support_vectors,
)
from ._triplets import SAMPLINGS, draw_triplets

_MERGE_POINTS = (0, 5, 10, 20, 35, 50, 100, 200)  # of n_phi="auto"
_PAPER_N_PHI = 100
_TRIPLETS, _TRIPLETS_PER_LABEL = 30_000, 30
_COPIED_LR_FACTOR = 0.3  # learning rate of what begins trained; the similarity is new


class HybridSiameseClassifier(NetworkClassifier):
    """Multi-label text classifier with a Siamese network for labels of few documents.

    HSCNN of Yang, Li, Fukumoto and Ye, *HSCNN: A Hybrid-Siamese Convolutional Neural Network for
    Extremely Imbalanced Multi-label Text Classification* (EMNLP 2020), on any encoder. A single
    network is trained on all labels. A second one begins as its copy and learns on pairs of
    documents whether they share a label. Labels with fewer than `n_phi` training documents are then
    scored by how similar a document is to a few that have the label, the others by the single
    network.

    Parameters
    ----------
    encoder : "auto", str or encoder spec, default="auto"
        From documents to vectors. "auto" is a :class:`~skmltc.encoders.BagEncoder` with a hidden
        layer on features, and a :class:`~skmltc.encoders.TextCNN` on tokens: a dense X of integers
        from 0 up, as :class:`~skmltc.text.TokenSequenceVectorizer` makes it.
    loss : str or loss spec, default="auto"
        One of :data:`skmltc.losses.LOSSES`, by name or as an object with its parameters, for the
        labels of documents. "auto" is "bce". The paper's others are "weighted_bce" and
        ``FocalLoss(gamma=1)``.
    n_phi : int or "auto", default="auto"
        Labels with fewer training documents are scored by similarity; 0 is the single network
        alone. "auto" chooses with the threshold, on documents held out; the paper's is 100, which
        is also what "auto" means where the threshold is a number.
    n_triplets : int or "auto", default="auto"
        Triplets of two documents and a label to train on, each used once. "auto" is 30 per label,
        30,000 at least.
    triplets_per_document : int, default=8
        Triplets in a batch for each of its documents, which are encoded once. With 1 they are
        nearly the paper's independent pairs, at several times the cost.
    n_support : int, default=20
        Documents of a label, drawn once, that a new document is compared with; the paper's is 5.
    support : {"mean", "vote"}, default="mean"
        Compare with the mean of their vectors, or with each: more than half must be similar.
    category_similarity : bool, default=True
        Let a gate of each label choose what counts for similarity.
    multi_task : bool or {"labels", "category"}, default=True
        Train the second network on the labels of the documents too. True is "labels"; "category",
        as released, takes only the label that a document was drawn for as its label.
    sampling : {"triplet", "pair"}, default="triplet"
        "triplet": a third are similar, and two documents without a common label make two. "pair":
        half are similar, and they make one.
    representation_activation : {"sigmoid", "relu", "identity"}, default="sigmoid"
        Of the vectors before they are compared.
    calibrate : {"fit", "prior", "none"}, default="fit"
        Triplets are similar far more often than documents. "prior": shift the similarities of each
        label until as many training documents are above a probability of 0.5 as have the label.
        "fit": besides, where the threshold is learned, turn them into probabilities on the same
        documents, so that labels of either network can be ranked together. "none", as the paper,
        leaves them.
    lr : float or "auto", default="auto"
        Learning rate of AdamW, by default the `training.lr` of the encoder. In the second network
        it falls to 0, and what begins as a copy has 0.3 of it.
    weight_decay : float or "auto", default="auto"
        Decoupled decay of AdamW, by default the `training.weight_decay` of the encoder.
    max_epochs : int or "auto", default="auto"
        Passes of the single network over the documents; "auto" is the `training.max_epochs` of the
        encoder.
    batch_size : int, default=64
        Documents per step.
    early_stopping : bool or "auto", default="auto"
        Stop the single network when the loss on a validation part no longer falls, and keep the
        best weights. "auto" does so where the data can spare that part.
    validation_fraction : float, default=0.1
        The documents in that part. It never takes a label's only document.
    patience : int, default=5
        Epochs without improvement before stopping.
    threshold : float or str, default="tuned_low"
        What `predict` cuts at: a probability, or a rule learned from documents held out, for the
        labels of either network by themselves. The rules are those of
        :class:`~skmltc.BalancedLossClassifier`.
    min_labels : int, default=0
        Give every document its best labels up to this number.
    device : str, default="auto"
        A torch device; "auto" is CUDA where there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of folds, weights, batches, triplets and supports. Two fits with the same number are
        equal.
    verbose : int, default=0
        1 shows progress.
    callbacks : list of skorch callbacks, default=None
        For the single network.

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
    n_phi_ : int
        The merge point that was used.
    siamese_labels_ : array of int
        Labels that are scored by similarity.
    threshold_ : array of shape (n_labels,)
        Logit above which a label is predicted; +inf for a label without documents.
    module_, net_, history_, n_iter_ : torch module, skorch net, list of dict, int
        The single network and its epochs.
    siamese_ : torch module
        The second network.
    supports_ : array of shape (n_labels, n_comparisons, dim)
        What documents are compared with: one mean per label, or several vectors.
    similarity_scale_, similarity_offsets_ : float and array of shape (n_labels,)
        Calibration: logits of similarity are multiplied by the one and shifted by the other.

    See Also
    --------
    BalancedLossClassifier : One model for all labels, with a loss for the rare ones.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmltc import HybridSiameseClassifier
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> corpus = make_long_tailed_corpus(n_samples=300, n_labels=10, random_state=0)
    >>> model = HybridSiameseClassifier(n_phi=50, threshold=0.5, max_epochs=5, random_state=0)
    >>> model = make_pipeline(TfidfVectorizer(), model).fit(corpus.data, corpus.target)
    >>> model.predict(corpus.data[:2]).shape, len(model[-1].siamese_labels_)
    ((2, 10), 8)
    """

    _default_encoders = {"features": BagEncoder(hidden_dims=(256,)), "tokens": TextCNN()}
    _parameter_constraints: dict = {
        **NetworkClassifier._parameter_constraints,
        "n_phi": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "n_triplets": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "triplets_per_document": [Interval(Integral, 1, None, closed="left")],
        "n_support": [Interval(Integral, 1, None, closed="left")],
        "support": [StrOptions({"mean", "vote"})],
        "category_similarity": ["boolean"],
        "multi_task": ["boolean", StrOptions({"labels", "category"})],
        "sampling": [StrOptions(set(SAMPLINGS))],
        "representation_activation": [StrOptions(set(ACTIVATIONS))],
        "calibrate": [StrOptions({"none", "prior", "fit"})],
    }

    def __init__(
        self,
        *,
        encoder="auto",
        loss="auto",
        n_phi="auto",
        n_triplets="auto",
        triplets_per_document=8,
        n_support=20,
        support="mean",
        category_similarity=True,
        multi_task=True,
        sampling="triplet",
        representation_activation="sigmoid",
        calibrate="fit",
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
        random_state=None,
        verbose=0,
        callbacks=None,
    ):
        self.encoder = encoder
        self.loss = loss
        self.n_phi = n_phi
        self.n_triplets = n_triplets
        self.triplets_per_document = triplets_per_document
        self.n_support = n_support
        self.support = support
        self.category_similarity = category_similarity
        self.multi_task = multi_task
        self.sampling = sampling
        self.representation_activation = representation_activation
        self.calibrate = calibrate
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
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    def _fit(self, X, Y, validation, random_state):
        self._check_encoder()
        loss = self._loss or BinaryCrossEntropyLoss()
        X_fit, Y_fit, validation = self._spare(X, Y, validation, random_state)
        # 1. The single network.
        self.net_ = self._train(X_fit, Y_fit, loss, self._encoder, validation)
        self.module_, self.history_ = self.net_.module_, list(self.net_.history)
        self.n_iter_ = len(self.history_)
        # 2. to 5. The Siamese network that begins as the single one.
        scorers = self._scorers(self.module_, X_fit, Y_fit, loss, random_state)

        def train(X, Y):
            net = self._train_for(best_epoch(self.net_), X, Y, loss, self._encoder)
            return self._scorers(net.module_, X, Y, loss, random_state)

        # 6. The labels with fewer than n_phi documents go to the Siamese network.
        unseen = self._unseen(scorers, X, Y, Y_fit, validation, train, random_state)
        single, similar = self._score_apart(unseen)
        if similar and self.calibrate == "fit":
            similar = scorers.similar.calibrate(similar)
        self._merge(single, similar)
        if len(self.siamese_labels_):
            self.siamese_, self.supports_ = scorers.similar.network, scorers.similar.supports
            self.similarity_scale_ = scorers.similar.scale
            self.similarity_offsets_ = scorers.similar.offsets

    def _check_encoder(self):
        if getattr(self._encoder, "is_linear", False):
            remedy = "BagEncoder(hidden_dims=(256,)), say, has vectors of documents to compare."
            raise must_be("encoder", "one with a hidden layer", repr(self._encoder), remedy)

    def _scorers(self, single, X, Y, loss, random_state):
        """Two scorers: the single network, and the Siamese one that is trained from it."""
        head = HeadScorer(single, self._device())
        if not self._candidates().any():
            return _Scorers(head, None)
        # 2. Its weights begin as those of the single network.
        network = SiameseNetwork(
            single, Y.shape[1], self.category_similarity, self.representation_activation
        )
        # 3. Triplets of two documents and a label.
        enough = max(_TRIPLETS, _TRIPLETS_PER_LABEL * Y.shape[1])
        batches = draw_triplets(
            Y,
            enough if self.n_triplets == "auto" else self.n_triplets,
            batch_size=self.batch_size,
            per_document=self.triplets_per_document,
            sampling=self.sampling,
            random_state=random_state,
        )
        # 4. Both tasks: whether documents are similar, and what their labels are.
        if batches:
            self._train_siamese(network, X, Y, batches, loss)
        # 5. Each label is represented by a few of its documents.
        supports = support_vectors(
            network, X, Y, self.n_support, self.support, random_state, self._device()
        )
        similar = SimilarityScorer(network, supports, self._device())
        if self.calibrate != "none":
            similar.match_priors(X, Y, self._candidates())
        return _Scorers(head, similar)

    def _train_siamese(self, network, X, Y, batches, loss):
        label_loss = loss.build(Y) if self.multi_task else None
        settings = self._settings(self._encoder)
        settings["lr_factors"] = {**settings["lr_factors"], "similarity.*": 1 / _COPIED_LR_FACTOR}
        settings |= {"lr": _COPIED_LR_FACTOR * settings["lr"], "linear_decay": True}
        train_network(
            network,
            TripletLoss(network.similarity, label_loss),
            TripletDocuments(X, Y, batches, drawn_labels=self.multi_task == "category"),
            max_epochs=1,
            batch_size=1,
            **settings,
        )

    def _merge_points(self):
        """Values of n_phi to choose from."""
        if self.n_phi != "auto":
            return [self.n_phi]
        return _MERGE_POINTS if self._learns_threshold() else [_PAPER_N_PHI]

    def _below(self, n_phi):
        return (self.label_counts_ > 0) & (self.label_counts_ < n_phi)

    def _candidates(self):
        """Labels that may be scored by similarity."""
        return self._below(max(self._merge_points()))

    def _score_apart(self, unseen):
        """Scores of unseen documents by the single network and by similarity, None for none."""
        single, similar = [], []
        for scorers, *documents in unseen:
            single.append(score_pairs(scorers.single, *documents))
            if scorers.similar:
                similar.append(score_pairs(scorers.similar, *documents, self._candidates()))
        return [ScoredPairs.concatenate(parts) if parts else None for parts in (single, similar)]

    def _merge(self, single, similar):
        """Choose the merge point, and set the cut-offs of either part."""
        points = self._merge_points()
        if similar is None and self.n_phi == "auto":
            points = [_PAPER_N_PHI]
        if len(points) > 1:
            options = {n: self._merged_pairs(n, single, similar) for n in points}
            points = [select_for_tail(options)[0]]
        (self.n_phi_,) = points
        self.siamese_labels_ = np.flatnonzero(self._below(self.n_phi_))
        self.threshold_ = self._cut_offs(self.n_phi_, single, similar)
        if self.n_phi_ and not len(self.siamese_labels_):
            warnings.warn(
                f"No label has fewer than n_phi = {self.n_phi_} training documents, so all are "
                "left to the single network.",
                LabelWarning,
                stacklevel=4,
            )

    def _merged_pairs(self, n_phi, single, similar):
        """Pairs of the labels of either part, with scores relative to their cut-offs."""
        cut_offs, rare = self._cut_offs(n_phi, single, similar), self._below(n_phi)
        pairs = ScoredPairs.concatenate([single.select(~rare), similar.select(rare)])
        return pairs.shifted(-np.where(self.label_counts_ > 0, cut_offs, 0))

    def _cut_offs(self, n_phi, single, similar):
        """Cut-offs (n_labels,), learned on either part by itself."""
        rare = self._below(n_phi)
        cut_offs = np.empty(len(rare))
        for part, pairs in ((~rare, single), (rare, similar)):
            self._decide(pairs.select(part) if pairs else None)
            cut_offs[part] = self.threshold_[part]
        return cut_offs

    def _score(self, X):
        logits, rare = network_scores(self.module_, X, self._device()), self.siamese_labels_
        if len(rare):
            calibration = self.similarity_offsets_, self.similarity_scale_
            similar = SimilarityScorer(self.siamese_, self.supports_, self._device(), *calibration)
            logits[:, rare] = similar.scores(similar.encode(X), rare)
        return logits


class _Scorers(NamedTuple):
    """What scores by the single network and what scores by similarity."""

    single: HeadScorer
    similar: SimilarityScorer | None
