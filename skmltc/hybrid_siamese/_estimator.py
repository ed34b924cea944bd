"""HybridSiameseClassifier: one network for frequent labels, a Siamese one for rare labels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from .._networks import HeadScorer, Plan, Trainer, fitted_by, leave_if_interrupted
from .._published import AsPublished
from .._stages import Decided, Trained
from .._targets import count_labels
from .._validation import LabelWarning, check_columns, must_be, warn
from ..base import BaseLongTailClassifier
from ..decision import Decision, ScoredPairs, select_for_tail
from ..encoders import BagEncoder, TextCNN
from ..losses import BinaryCrossEntropyLoss
from ._published import PUBLISHED
from ._similarity import (
    ACTIVATIONS,
    HybridScorer,
    SimilarityScorer,
    platt_scaling,
    support_vectors,
)
from ._training import HybridPlan, SiameseTraining
from ._triplets import SAMPLINGS

_SIAMESE = ("n_triplets", "triplets_per_document", "n_support", "support", "category_similarity")
_SIAMESE += ("multi_task", "multi_task_weight", "sampling", "siamese_epochs")
_SIAMESE += ("representation_activation", "match_priors")
_N_PHI_OPTIONS = (0, 5, 10, 20, 35, 50, 100, 200)
_PAPER_N_PHI = 100


class HybridSiameseClassifier(AsPublished, BaseLongTailClassifier):
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
        alone. "auto" chooses on held-out documents, by the criterion of the rule "frequency"; the
        paper's is 100, which "auto" is where y has one class per document.
    n_triplets : int or "auto", default="auto"
        Triplets of two documents and a label to train on. "auto" is 30 per label, 30,000 at
        least.
    triplets_per_document : int or None, default=8
        Triplets in a batch for each of its documents, which are encoded once; documents without
        labels stand on the dissimilar side. None draws each pair by itself, with two documents of
        its own, as in the paper, at many times the cost: a batch then has `batch_size` triplets,
        and documents without labels stand in none. A label with one document is in no similar
        triplet either way.
    n_support : int, default=20
        Documents of a label, drawn once, that a new document is compared with; the paper's is 5.
    support : {"mean", "vote"}, default="mean"
        Compare with the mean of their vectors, or with each: more than half must be similar.
    category_similarity : bool, default=True
        Let a gate of each label choose what counts for similarity.
    multi_task : {"labels", "category"} or None, default="labels"
        Train the second network on the labels of both documents of each triplet too; "category",
        as released, takes only the label that a document was drawn for as its label. None leaves
        this out.
    multi_task_weight : float, default=1.0
        Factor of the losses of these labels, a mean over labels for each document, beside that of
        the similarity.
    sampling : {"triplet", "pair"}, default="triplet"
        "triplet": a third are similar, and two documents without a common label make two. "pair":
        half are similar, and they make one.
    siamese_epochs : int, default=1
        Passes over the triplets, which stay the same. With more than one and a validation part,
        the second network stops by the loss of similarities of triplets drawn from that part, a
        quarter as many, with `patience`, and keeps the best weights.
    siamese_labels : array of int or of bool, default=None
        The labels to score by similarity, as column numbers or a mask, in place of those below
        `n_phi`.
    representation_activation : {"sigmoid", "relu", "identity"}, default="sigmoid"
        Of the vectors before they are compared.
    match_priors : bool, default=True
        Triplets are similar far more often than documents: shift the similarities of each label
        until as many training documents are above a probability of 0.5 as have the label. The
        paper leaves them.
    training : "auto" or Training, default="auto"
        How both networks are trained: a :class:`~skmltc.encoders.Training`. "auto" is what the
        encoder recommends, but in the second network what begins as a copy learns at 0.3 of that
        rate, if `lr` is not given either. Its `monitor` and number of epochs are those of the
        single network.
    lr : float or "auto", default="auto"
        Learning rate: one for all parameters, and constant unless a `training` that is given says
        else. "auto" is that of the training in force, with its schedule and its factors.
    weight_decay : float or "auto", default="auto"
        Weight decay, by default that of the training in force.
    max_epochs : int or "auto", default="auto"
        Passes of the single network over the documents; "auto" is the number of a `training` that
        is given, else the one that the encoder recommends, and where documents are few as many as
        make 200 steps.
    batch_size : int, default=64
        Documents per step; in the second network about so many, or, where
        ``triplets_per_document=None``, triplets.
    early_stopping : bool or "auto", default="auto"
        Stop the single network when the loss on a validation part no longer falls, and keep the
        best weights; the second one too if it has several epochs. "auto" does so where `X_val` is
        given; else where the part would have a hundred documents at least, and the rate of learning
        does not fall to 0 or a transformer is fine-tuned. Supports and priors are of all training
        documents.
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
        as they are, as in the papers. Similarities that are calibrated get a slope and an
        intercept first.
    threshold : float or str, default="frequency"
        What `predict` cuts at: a probability (of `predict_proba`), or a rule, as in
        :class:`~skmltc.BalancedLossClassifier`, for the labels of either network by themselves.
    slack : float, default=0.003
        Micro-F1 on held-out documents that the rules "tuned_low" and "frequency" may give up for a
        lower cut-off and for macro-F1: the 0.3 points of their descriptions.
    min_labels : int, default=0
        Give every document its best labels up to this number.
    max_labels : int, default=None
        Give no document more labels: those furthest above their thresholds are kept.
    device : str, default="auto"
        A torch device; "auto" is CUDA where there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of folds, weights, batches, triplets and supports. Two fits with the same number are
        equal.
    verbose : int, default=0
        1 shows progress.
    callbacks : list of skorch callbacks, default=None
        For the single network. They are copied: what one records is in
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
        Training documents of each label.
    head_labels_, tail_labels_ : array of int
        Labels with more than 50 and with up to 10 training documents.
    n_phi_ : int or None
        The merge point that was used; None where `siamese_labels` is given.
    siamese_labels_ : array of int
        Labels that are scored by similarity.
    threshold_ : array of shape (n_labels,)
        Value of `decision_function` above which a label is predicted; +inf for a label without
        documents.
    calibration_ : Calibration
        From scores to what `decision_function` returns: log-odds. The identity where nothing is
        calibrated.
    module_, net_, history_, n_iter_ : torch module, skorch net, list of dict, int
        The single network and its epochs.
    scorer_ : object
        What scores documents: `single` by the single network; `similar` by the second `network`,
        with the `supports` that documents are compared with (n_labels, n_comparisons, dim), and
        the `scale` and `offsets` of its logits.

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

    _published = PUBLISHED
    _default_encoders = {"features": BagEncoder(hidden_dims=(256,)), "tokens": TextCNN()}
    _parameter_constraints: dict = {
        **BaseLongTailClassifier._parameter_constraints,
        "n_phi": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "n_triplets": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "triplets_per_document": [None, Interval(Integral, 1, None, closed="left")],
        "n_support": [Interval(Integral, 1, None, closed="left")],
        "support": [StrOptions({"mean", "vote"})],
        "category_similarity": ["boolean"],
        "multi_task": [None, StrOptions({"labels", "category"})],
        "multi_task_weight": [Interval(Real, 0, None, closed="neither")],
        "sampling": [StrOptions(set(SAMPLINGS))],
        "siamese_epochs": [Interval(Integral, 1, None, closed="left")],
        "siamese_labels": "no_validation",  # `check_columns` says what they must be
        "representation_activation": [StrOptions(set(ACTIVATIONS))],
        "match_priors": ["boolean"],
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
        multi_task="labels",
        multi_task_weight=1.0,
        sampling="triplet",
        siamese_epochs=1,
        siamese_labels=None,
        representation_activation="sigmoid",
        match_priors=True,
        training="auto",
        lr="auto",
        weight_decay="auto",
        max_epochs="auto",
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
        self.multi_task_weight = multi_task_weight
        self.sampling = sampling
        self.siamese_epochs = siamese_epochs
        self.siamese_labels = siamese_labels
        self.representation_activation = representation_activation
        self.match_priors = match_priors
        self.training = training
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
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
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    @classmethod
    def as_published(cls, row, *, as_released=True, **changes):
        """Make the estimator that is a row of the paper's Table 3.

        Yang, Li, Fukumoto and Ye, EMNLP 2020, sections 2 and 3.1 and Table 5,
        doi:10.18653/v1/2020.emnlp-main.545. X has 500 tokens per text, as
        ``TokenSequenceVectorizer(max_length=500)`` makes them. The paper's word vectors are of
        fastText, with 300 numbers: give them as ``encoder__embeddings``, a
        :class:`~skmltc.text.WordVectors`; without them they start at random.

        It differs from the paper all the same: windows of nothing but padding are left out of the
        maximum of a filter, the labels take turns in triplets instead of being drawn at random, two
        documents without a common label are what dissimilar pairs are, and the gates are
        the same in prediction as in training. 150,000 triplets are those of RCV1; Delicious has
        300,000, and its tail labels were counted on training and test documents together: give
        them as `siamese_labels`, with ``n_phi="auto"``.

        Parameters
        ----------
        row : {"Sing.", "Naive", "/CSS", "/MT", "Our"}
            The single network; the Siamese one without gates, triplets and second task, without
            gates and triplets, without second task; and the whole.
        as_released : bool, default=True
            The second task has the label that a document was drawn for as its only one, and the
            hidden layer no activation, as in the released code. False takes the page: all labels
            of a document, and a ReLU, which Table 5 names twice.
        **changes : dict
            Parameters that shall be others, as for `set_params`. The other losses of the table are
            ``loss=WeightedBinaryCrossEntropyLoss(clip=False)`` and ``loss=FocalLoss(gamma=1)``.

        Returns
        -------
        HybridSiameseClassifier
            Not fitted, with every parameter of the row set.

        Examples
        --------
        >>> from skmltc import HybridSiameseClassifier
        >>> from skmltc.losses import FocalLoss
        >>> model = HybridSiameseClassifier.as_published("Our", loss=FocalLoss(gamma=1))
        >>> model.n_phi, model.training.optimizer, model.siamese_epochs
        (100, 'adam', 100)
        """
        return super().as_published(row, as_released=as_released, **changes)

    def _check_parameters(self):
        if isinstance(self.multi_task, bool):
            remedy = "True is 'labels' now, and False is None."
            raise must_be("multi_task", "None, 'labels' or 'category'", self.multi_task, remedy)
        if self.calibrate in ("fit", "prior", "none"):
            remedy = "For 'none' give match_priors=False, for 'fit' calibrate=True."
            raise must_be("calibrate", "True, False or 'auto'", repr(self.calibrate), remedy)
        super()._check_parameters()

    def _idle(self, problem, train, given):
        none = not self._candidates(count_labels(train.Y)).any()
        why = f"where no label has fewer than n_phi = {max(self._n_phi_options())} documents"
        why = "with n_phi=0" if self.n_phi == 0 else why
        is_given = self.siamese_labels is not None
        why = "where no label with a document is in siamese_labels" if is_given else why
        return [
            *super()._idle(problem, train, given),
            (is_given, "where siamese_labels is given", ["n_phi"]),
            (none, why, _SIAMESE),
            (not self.multi_task, "with multi_task=None", ["multi_task_weight"]),
        ]

    def _train(self, problem, train, given, seed):
        inputs, loss = problem.inputs, self._spec_of("loss") or BinaryCrossEntropyLoss()
        self._check_encoder(inputs.encoder)
        trainer = Trainer.of(self, inputs.encoder.training, self._device())
        fit, unseen = trainer.split(train, given, seed)
        # 1. The single network.
        net = trainer.train_encoder(inputs, loss, fit, seed, stop_by=unseen)
        leave_if_interrupted(net, more_follows=self._candidates(count_labels(fit.Y)).any())
        # 2. to 5. The Siamese network that begins as the single one.
        second = SiameseTraining.of(self, trainer)
        scorer, second = self._scorer(net.module_, loss, fit, second, seed, unseen)
        plan = HybridPlan(Plan(inputs, loss, trainer.as_before(net)), second)
        return Trained(scorer, plan, fit.Y, unseen, **fitted_by(net))

    def _retrain(self, documents, plan, seed):
        inputs, loss, trainer = plan.single
        net = trainer.train_encoder(inputs, loss, documents, seed)
        return self._scorer(net.module_, loss, documents, plan.second, seed)[0]

    def _check_encoder(self, encoder):
        if encoder.is_linear:
            remedy = "BagEncoder(hidden_dims=(256,)), say, has vectors of documents to compare."
            raise must_be("encoder", "one with a hidden layer", repr(encoder), remedy)

    def _scorer(self, single, loss, documents, second, seed, unseen=None):
        """Steps 2 to 5: the single network, and the Siamese one that is trained from it.

        With the settings to train it as long again.
        """
        candidates = self._candidates(count_labels(documents.Y))
        if not candidates.any():
            return HybridScorer(HeadScorer(single), None, candidates), second
        # 2. A copy of the single network. 3. Triplets of two documents and a label. 4. Both tasks:
        # whether documents are similar, and what their labels are.
        network, second = second.train(single, loss, documents, seed, unseen)
        similar = self._compared(network, documents, candidates, seed)  # 5
        return HybridScorer(HeadScorer(single), similar, candidates), second

    def _compared(self, network, documents, candidates, seed):
        """Step 5: each label is represented by a few of its documents."""
        device = self._device()
        settings = self.n_support, self.support, check_random_state(seed), device
        supports = support_vectors(network, documents.X, documents.Y, *settings)
        similar = SimilarityScorer(network, supports, np.zeros(len(supports), np.float32))
        if self.match_priors:
            similar = similar.matching_priors(documents, candidates, device)
        return similar

    def _n_phi_options(self):
        return _N_PHI_OPTIONS if self.n_phi == "auto" else [self.n_phi]

    def _candidates(self, label_counts):
        """Labels that may be scored by similarity."""
        return self._below(max(self._n_phi_options()), label_counts)

    def _below(self, n_phi, label_counts):
        """Labels with a document that are given, or else have fewer than n_phi."""
        if self.siamese_labels is None:
            return _below(n_phi, label_counts)
        given = check_columns("siamese_labels", self.siamese_labels, len(label_counts))
        return (label_counts > 0) & np.isin(np.arange(len(label_counts)), given)

    def _decide(self, problem, train, trained, held_out, seed):
        """Step 6: the labels with fewer than n_phi documents go to the Siamese network."""
        counts, target = count_labels(train.Y), problem.target
        candidates, single, similar = self._candidates(counts), None, None
        if self._calibrates(target) or self._learns_rule(target) or self._learns_n_phi(target):
            single, similar = self._pairs_of_parts(held_out, candidates)
        slope, intercept, scaled = 1.0, 0.0, similar
        if similar is not None:
            slope, intercept = np.float32(platt_scaling(similar))
            scaled = replace(similar, scores=slope * similar.scores + intercept)
        n_phi = self._choose_n_phi(single, scaled, train)
        scorer = self._with_all_documents(trained, train, candidates, seed)
        if similar is not None and self._calibrates(target):
            similar = scaled
            scorer = replace(scorer, similar=scorer.similar.calibrated(slope, intercept))
        below = self._below(n_phi, counts)
        self._warn_of_no_label(n_phi, below)
        scorer = replace(scorer, below=below)
        pairs = _joined(below, single, similar)
        learn = partial(_decision_of_parts, below)
        learned = self._calibrate_and_cut(target, pairs, train, scorer, learn)
        attributes = {"n_phi_": n_phi, "siamese_labels_": np.flatnonzero(below)}
        return Decided(scorer, *learned, attributes)

    def _with_all_documents(self, trained, train, candidates, seed):
        """The scorer with supports and priors of all documents, those to stop by among them."""
        scorer = trained.scorer
        if trained.fitted_Y.shape[0] == len(train) or not candidates.any():
            return scorer
        network = scorer.similar.network
        return replace(scorer, similar=self._compared(network, train, candidates, seed))

    def _learns_n_phi(self, target):
        return self.n_phi == "auto" and self.siamese_labels is None and target.is_multilabel

    def _pairs_of_parts(self, held_out, candidates):
        """Pairs scored by the single network and by similarity, each None where there are none."""
        single, similar, device = [], [], self._device()
        for part in held_out:
            alone = part._replace(scorer=part.scorer.single)
            single.append(ScoredPairs.collect([alone], device=device))
            if candidates.any():  # those without a document in a fold are missed there
                similar.append(ScoredPairs.collect([part], candidates, device))
        return [ScoredPairs.concatenate(pairs) if pairs else None for pairs in (single, similar)]

    def _choose_n_phi(self, single, similar, train):
        """The merge point, by the criterion of the rule "frequency", whatever the threshold is."""
        if self.siamese_labels is not None:
            return None
        if self.n_phi != "auto":
            return self.n_phi
        if similar is None:
            return _PAPER_N_PHI
        candidates = {n: _relative(n, single, similar, train) for n in _N_PHI_OPTIONS}
        return select_for_tail(candidates).key

    def _warn_of_no_label(self, n_phi, below):
        if n_phi and not below.any():
            warn(
                f"No label has fewer than n_phi = {n_phi} training documents, so all are left to "
                "the single network.",
                LabelWarning,
            )


def _below(n_phi, label_counts):
    """Labels with a document, and fewer than n_phi."""
    return (label_counts > 0) & (label_counts < n_phi)


def _joined(below, single, similar):
    """Pairs of either part; None where there are none."""
    if single is None or not below.any():
        return single
    return ScoredPairs.concatenate([single.select(~below), similar.select(below)])


def _relative(n_phi, single, similar, train):
    """Pairs of the labels of either part, with scores relative to their cut-offs."""
    counts = count_labels(train.Y)
    below = _below(n_phi, counts)
    pairs = _joined(below, single, similar)
    decision = _decision_of_parts(below, "frequency", pairs, counts, len(train))
    return pairs.shifted(-np.where(counts > 0, decision.thresholds, 0))


def _decision_of_parts(below, rule, pairs, label_counts, n_samples, slack=0.003):
    """Cut-offs learned on either part by itself."""
    parts = [pairs.select(part) for part in (below, ~below)]
    learn = partial(Decision.learn, rule, slack=slack)
    decisions = [learn(part, label_counts, n_samples) for part in parts]
    return Decision.where(below, *decisions)
