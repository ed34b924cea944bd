"""HeadToTailClassifier: classifiers of tail labels computed from those of head labels."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from .._inputs import Inputs
from .._networks import Trainer, fitted_by, leave_if_interrupted, network_scores, seeded_torch
from .._published import AsPublished
from .._rows import stack_rows
from .._stages import Trained, decides, draw_seed, grown, raise_of_new, read_new_labels
from .._targets import count_labels
from .._validation import must_be
from ..base import BaseLongTailClassifier
from ..encoders import BagEncoder, BiLSTMAttention, UnitEncoder, head_of
from ..labels import log_odds_against
from ..losses import BinaryCrossEntropyLoss
from ._adam import AdamTransfer
from ._heads import (
    JoinedHeads,
    LabelHeads,
    Start,
    TransferScorer,
    fine_tune_tail,
    vectors_of_others,
)
from ._published import HTTN
from ._transfer import MIXED_BIASES, TRANSFERS, LabelSplit, LabelTransfer, PrototypeOptions
from ._tuning import draw_for_tail, tune_as_released

_MIN_HEAD_COUNT = 11  # documents; up to ten make a tail label elsewhere too
_OF_TAIL = ("n_prototype_documents", "n_prototypes", "transfer", "attention", "n_ensembles")
_OF_TAIL += ("fine_tune", "calibrate_tail")


class Plan(NamedTuple):
    """What training once more needs, and what the first training has made its classifiers of."""

    inputs: Inputs
    loss: object
    trainer: Trainer
    start: Start | None = None


class HeadToTailClassifier(AsPublished, BaseLongTailClassifier):
    """Multi-label text classifier that computes classifiers of rare labels from frequent ones.

    Xiao, Zhang, Jing, Huang and Song, *Does Head Label Help for Long-Tailed Multi-Label Text
    Classification* (HTTN and its ensemble EHTTN, AAAI 2021). An encoder and a classifier are
    trained on the head labels alone. From them a matrix is learned that maps a label's prototype,
    the mean vector of a few of its documents, to its weights in the classifier; it turns the
    prototypes of tail labels into their weights, and those of labels that come later.

    Parameters
    ----------
    n_tail : int, default=None
        The rarest so many labels are tail.
    min_head_count : int, default=None
        Or: labels with at least so many training documents are head. By default 11, and the more
        frequent half of those with documents where none has that many.
    n_prototype_documents : int, default=5
        Documents that a prototype averages (t); all of them where a label has fewer.
    n_prototypes : int, default=30
        Prototypes of each head label (S).
    transfer : {"identity", "ridge", "adam"} or AdamTransfer, default="identity"
        How the matrix is learned: not at all, so that prototypes are weights (imprinting); by
        least squares with the penalty that predicts best the weights of labels left out; or by
        some steps of Adam, as the released code does, which are those of an
        :class:`~skmltc.head_to_tail.AdamTransfer`. Prototypes do better once fine-tuned.
    attention : bool or float, default=False
        Move tail prototypes half-way to the head prototypes that they are like. A number is the
        temperature of this attention; True is 1, the paper's, which sees little difference
        between head labels.
    n_ensembles : int, default=1
        Classifiers of each tail label, by prototypes of their own, whose probabilities are
        averaged (G): 30 is the paper's EHTTN.
    fine_tune : {"tail", "paper"} or None, default="tail"
        "tail" adjusts the weights of tail labels on all training documents, pulled towards what
        was transferred. "paper" trains the whole network, as released: two epochs of cross-entropy
        at 0.0001, 45 documents per step, with the optimiser, betas and clipping of `training`, on
        `n_prototypes` times `n_prototype_documents` documents of each tail label. None leaves
        transferred weights as they are.
    calibrate_tail : bool, default=True
        Give tail labels a slope and a bias that make log-odds of transferred scores. They are
        learned on head labels treated as if they were rare. Without it one cut-off does not suit
        head and tail.
    normalize : bool, default=True
        Give documents' vectors and prototypes the norm 1, and the head one learned scale, as the
        released code does. The paper has neither.
    train_unlabelled : bool, default=True
        Let documents without any label train the head too: they have none of its labels. False
        leaves them out, as in the paper, where each document of the head has one.
    encoder : "auto", str or encoder spec, default="auto"
        From documents to vectors. "auto" is ``BagEncoder(hidden_dims=(128,))`` on features, and
        :class:`~skmltc.encoders.BiLSTMAttention` on tokens, the paper's.
    loss : str or loss spec, default="auto"
        One of :data:`skmltc.losses.LOSSES`, by name or as an object with its parameters; "auto"
        is "bce", the paper's.
    training : "auto" or Training, default="auto"
        How encoder and head are trained: a :class:`~skmltc.encoders.Training`. "auto" is what the
        encoder recommends.
    lr : float or "auto", default="auto"
        Learning rate: one for all parameters, and constant unless a `training` that is given says
        else. "auto" is that of the training in force, with its schedule and its factors.
    weight_decay : float or "auto", default="auto"
        Weight decay, by default that of the training in force.
    max_epochs : int or "auto", default="auto"
        Passes over the documents; "auto" is the number of a `training` that is given, else the one
        that the encoder recommends, and where documents are few as many as make 200 steps.
    batch_size : int, default=64
        Documents per step; the paper's is 90.
    early_stopping : bool or "auto", default="auto"
        Stop when the loss on a validation part no longer falls, and keep the best weights. "auto"
        does so where `X_val` is given; else where the part would have a hundred documents at least,
        and the rate of learning does not fall to 0 or a transformer is fine-tuned.
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
        What `predict` cuts at: a probability (of `predict_proba`), or a rule, as in
        :class:`~skmltc.BalancedLossClassifier`.
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
        Seed of draws, weights and batches. Two fits with the same number are equal.
    verbose : int, default=0
        1 shows progress.
    callbacks : list of skorch callbacks, default=None
        For the training of the head. They are copied: what one records is in
        ``dict(net_.callbacks_)``, which a stored model lacks.

    Attributes
    ----------
    classes_ : array
        Column numbers of the labels; for a 1-D y its classes.
    label_names_ : array of str of shape (n_labels,)
        Where y is a data frame, the names of its columns, if all of them are strings.
    n_labels_, n_samples_fit_, n_features_in_ : int
        Sizes of the training data; `add_labels` raises the first two.
    label_counts_ : array of int of shape (n_labels,)
        Training documents of each label.
    head_labels_, tail_labels_ : array of int
        What was trained, and what was transferred.
    threshold_ : array of shape (n_labels,)
        Value of `decision_function` above which a label is predicted; +inf for a label without
        documents.
    calibration_ : Calibration
        From scores to what `decision_function` returns: log-odds. The identity where nothing is
        calibrated.
    transfer_ : object
        What was learned of the head labels: `matrix` (dim, dim), from a prototype to weights, and
        `calibration`, the slope and intercept that make log-odds of transferred scores.
    training_vectors_ : array of float32 of shape (n_samples, dim) or None
        Vectors of the training documents, which `add_labels` takes as documents without the new
        labels; with ``fine_tune="tail"`` only. They are stored with the model.
    module_, net_, history_ : torch module, skorch net, list of dict
        The whole network; the training of the head, and its epochs.
    n_iter_ : int
        Epochs.

    See Also
    --------
    BalancedLossClassifier : One model for all labels.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from skmltc import HeadToTailClassifier
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> corpus = make_long_tailed_corpus(n_samples=300, n_labels=10, random_state=0)
    >>> X, y = TfidfVectorizer().fit_transform(corpus.data), corpus.target
    >>> model = HeadToTailClassifier(n_tail=3, max_epochs=5, random_state=0).fit(X, y[:, :8])
    >>> model.add_labels(X[:50], y[:50, 8:]).predict(X).shape
    (300, 10)
    """

    _published = HTTN
    _default_encoders = {"features": BagEncoder(hidden_dims=(128,)), "tokens": BiLSTMAttention()}
    _parameter_constraints: dict = {
        **BaseLongTailClassifier._parameter_constraints,
        "n_tail": [None, Interval(Integral, 0, None, closed="left")],
        "min_head_count": [None, Interval(Integral, 0, None, closed="left")],
        "n_prototype_documents": [Interval(Integral, 1, None, closed="left")],
        "n_prototypes": [Interval(Integral, 1, None, closed="left")],
        "transfer": [StrOptions(set(TRANSFERS)), AdamTransfer],
        "attention": ["boolean", Interval(Real, 0, None, closed="neither")],
        "n_ensembles": [Interval(Integral, 1, None, closed="left")],
        "fine_tune": [None, StrOptions({"tail", "paper"})],
        "calibrate_tail": ["boolean"],
        "normalize": ["boolean"],
        "train_unlabelled": ["boolean"],
    }

    def __init__(
        self,
        *,
        n_tail=None,
        min_head_count=None,
        n_prototype_documents=5,
        n_prototypes=30,
        transfer="identity",
        attention=False,
        n_ensembles=1,
        fine_tune="tail",
        calibrate_tail=True,
        normalize=True,
        train_unlabelled=True,
        encoder="auto",
        loss="auto",
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
        self.n_tail = n_tail
        self.min_head_count = min_head_count
        self.n_prototype_documents = n_prototype_documents
        self.n_prototypes = n_prototypes
        self.transfer = transfer
        self.attention = attention
        self.n_ensembles = n_ensembles
        self.fine_tune = fine_tune
        self.calibrate_tail = calibrate_tail
        self.normalize = normalize
        self.train_unlabelled = train_unlabelled
        self.encoder = encoder
        self.loss = loss
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
        """Make a row of the paper's tables: Xiao et al., AAAI 2021, doi 10.1609/aaai.v35i16.17660.

        It wants token ids, 500 per document, and word vectors of 300 numbers: the paper's are
        GloVe, as ``encoder__embeddings=WordVectors.load(path)``; without them they start at random.
        `n_tail` is that of the data set: 18 or 9 of the 54 labels of AAPD, 28 or 14 of the 103 of
        RCV1, 1238 or 768 of the 3714 of EUR-Lex. By default labels with up to ten documents are
        tail.

        Parameters
        ----------
        row : str
            "Joint" trains all labels together; "Imprinting" takes prototypes as classifiers. "H" is
            HTTN, "H-F" without fine-tuning, "H-F-A" without attention too. "EH", of 30 members, is
            the ensemble with both, as printed; "EH-F-A" is the one of the released script, with
            neither. On EUR-Lex `n_prototype_documents` and `n_ensembles` are 1.
        as_released : bool, default=True
            True takes the released code: unit vectors with a learned scale, and ten times the rate
            for what follows the attention. False takes the page: neither, 300 states per direction
            and no bias in the encoder's last map.
        **changes : dict
            Parameters that shall be others, as for `set_params`.

        Returns
        -------
        HeadToTailClassifier
            Not fitted, with every parameter of the row set.

        Notes
        -----
        It differs from the released code where that has faults: the LSTM starts at zeros, not at
        random; padding is masked; attention over S sets of prototypes divides by S; batches are
        drawn, and the last one counts. Validation takes a tenth of the documents (the paper 1,000:
        ``validation_fraction=1000 / len(X)``), and its micro-F1 the best cut-off of the epoch, not
        0.5. The members of "EH" share encoder and head in fine-tuning, and each has its own loss.
        W is approached as released, though the page says that it is minimised (section 3.4).
        """
        return super().as_published(row, as_released=as_released, **changes)

    def _train(self, problem, train, given, seed):
        loss = self._spec_of("loss") or BinaryCrossEntropyLoss()
        inputs = replace(problem.inputs, encoder=self._encoder(problem.inputs.encoder))
        trainer = Trainer.of(self, inputs.encoder.training, self._device())
        fit, unseen = trainer.split(train, given, seed)
        labels = self._split_labels(count_labels(train.Y))  # 1
        stop_by = (unseen and labels.of_head(unseen, self.train_unlabelled)) or None
        head = labels.of_head(fit, self.train_unlabelled)
        net = trainer.train_encoder(inputs, loss, head, seed, stop_by)  # 2
        leave_if_interrupted(net, more_follows=len(labels.tail) > 0)
        # Documents that decide stay unseen; those that only stopped the training do not.
        documents = fit if net.interrupted_ or decides(unseen) else train
        vectors, start = self._transfer_all(net.module_, labels, documents, seed)  # 3 to 6
        plan = Plan(inputs, loss, trainer.as_before(net), start)
        scorer, attributes = self._assemble(start, vectors, documents, plan, seed)  # 7, 8
        return Trained(scorer, plan, documents.Y, unseen, **fitted_by(net, **attributes))

    def _retrain(self, documents, plan, seed):
        labels = self._split_labels(count_labels(documents.Y), in_fold=True)
        head = labels.of_head(documents, self.train_unlabelled)
        net = plan.trainer.train_encoder(plan.inputs, plan.loss, head, seed)
        vectors, start = self._transfer_all(net.module_, labels, documents, seed)
        return self._assemble(start, vectors, documents, plan, seed)[0]

    def _decide(self, problem, train, trained, held_out, seed):
        """Decide, then adjust the tail on the documents that decided too; nothing else changes."""
        decided = super()._decide(problem, train, trained, held_out, seed)
        if self.fine_tune != "tail" or trained.fitted_Y.shape == train.Y.shape:
            return decided
        start = trained.plan.start
        vectors = network_scores(start.network[:-1], train.X, self._device())
        scorer, attributes = self._assemble(start, vectors, train, trained.plan, seed)
        return decided._replace(scorer=scorer, attributes=attributes)

    def _check_parameters(self):
        super()._check_parameters()
        if isinstance(self.transfer, AdamTransfer):
            self.transfer.check()

    def _encoder(self, encoder):
        """The encoder with vectors of norm 1, or without, as `normalize` says."""
        if encoder.is_linear:
            remedy = "BagEncoder(hidden_dims=(128,)) has one."
            raise must_be("encoder", "with a hidden layer, to transfer from", encoder, remedy)
        if "normalize" in encoder.get_params(deep=False):
            return clone(encoder).set_params(normalize=self.normalize)
        if encoder.starts_linear:  # as models of the head alone, with no room for words of the tail
            encoder = clone(encoder).set_params(start="random")
        return UnitEncoder(encoder) if self.normalize else encoder

    def _split_labels(self, counts, in_fold=False):
        """Step 1: head and tail; labels without documents are tail."""
        name, value = self._given_split()
        split = LabelSplit.of(counts, **{name or "min_head_count": value})
        if split is None and name and not in_fold:
            expected = "small enough to leave a head label, to compute the others from"
            raise must_be(name, expected, value)
        n_head = max(1, -(-np.count_nonzero(counts) // 2))  # half of those that have documents
        return split or LabelSplit.of(counts, n_tail=len(counts) - n_head)

    def _given_split(self):
        """How head and tail are split: the parameter that is given, None by default; a number."""
        split = {"n_tail": self.n_tail, "min_head_count": self.min_head_count}
        given = [(name, value) for name, value in split.items() if value is not None]
        if len(given) == 2:
            raise must_be("n_tail and min_head_count", "given one without the other", "both")
        return given[0] if given else (None, _MIN_HEAD_COUNT)

    def _has_no_tail(self, counts):
        return not counts[self._split_labels(counts, in_fold=True).tail].any()

    def _idle(self, problem, train, given):
        counts, (name, value) = count_labels(train.Y), self._given_split()
        half = (counts + 1) // 2  # a fold has more of each label
        joint, always = (self._has_no_tail(known) for known in (counts, half))
        unread = self.transfer == "identity" and not self.attention and self.fine_tune != "paper"
        alone = f"{name}={value} leaves no tail: all labels are trained jointly."
        return [
            *super()._idle(problem, train, given),
            (joint and name and value, alone, ()),
            (not joint and self._mixes_biases(problem.target), MIXED_BIASES, ()),
            (always, "where no label is tail, save on add_labels", _OF_TAIL),
            (unread, "save by chance with transfer='identity' and no attention", ["n_prototypes"]),
        ]

    def _mixes_biases(self, target):
        """Whether head labels have biases, those of the tail none, and nothing makes up for it."""
        has_bias = self.training == "auto" or self.training.head_bias
        helped = self.calibrate_tail or self.fine_tune == "tail" or self._undecided
        return has_bias and not (helped or self._calibrates(target) or self._learns_rule(target))

    def _transfer_all(self, network, labels, documents, seed):
        """Steps 3 to 6: vectors of the documents, and what the trained head says of the tail."""
        random_state, Y = check_random_state(seed), documents.Y
        vectors = network_scores(network[:-1], documents.X, self._device())
        t, temperature = self.n_prototype_documents, float(self.attention) or None
        options = PrototypeOptions(self.transfer, temperature, t, self.normalize)
        how = options, self.n_prototypes, random_state, self.calibrate_tail
        with seeded_torch(seed):
            head = head_of(network)
            transfer = LabelTransfer.of_head(head, vectors, Y, labels.head, *how)  # 3, 4
        Y_tail, n_samples = Y[:, labels.tail], len(documents)
        tail = self._transfer(transfer, vectors, Y_tail, n_samples, random_state)  # 5, 6
        return vectors, Start(network, labels, transfer, tail)

    def _assemble(self, start, vectors, documents, plan, seed):
        """Steps 7 and 8: from what was transferred to a scorer of all labels, and what is shown."""
        labels, change = start.labels, 0.0
        if self.fine_tune == "tail" and len(labels.tail):  # 7
            how = plan.loss, labels.tail, start.tail, self._device()
            change = fine_tune_tail(vectors, documents.Y, *how)
        network, transfer = start.joined(change), start.transfer  # 8
        if self.fine_tune == "paper":  # 7, after 8
            how = self.n_prototype_documents, self.n_prototypes, seed
            drawn = draw_for_tail(documents, labels.tail, *how)
            network, scale = tune_as_released(network, start, drawn, plan.trainer, seed)
            transfer = replace(transfer, scale=scale)
        kept = vectors if self.fine_tune == "tail" else None
        shown = {"head_labels_": labels.head, "tail_labels_": labels.tail}
        shown |= {"transfer_": transfer, "training_vectors_": kept}
        return TransferScorer(network), shown

    def _transfer(self, transfer, vectors, Y, n_samples, random_state):
        """Steps 5 and 6: heads of labels from their prototypes, one for each member."""
        prototypes = transfer.options.draw(vectors, Y, self.n_ensembles, random_state)
        return transfer.heads(prototypes, log_odds_against(count_labels(Y), n_samples))

    def add_labels(self, X, Y_new):
        """Learn new labels from a few documents; the others keep their scores, to the last bit.

        Nothing is trained again: the new labels get their classifiers as the tail got its own.
        With ``fine_tune="tail"`` the training documents serve as documents without the new
        labels, save those that are among the new ones. Vectors know what tells head labels apart,
        and no more: on features `LongTailClassifier.add_labels` ranks documents far better for a
        new label, and so does that of a linear `BalancedLossClassifier`.

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
            With `classes_`, `label_counts_`, `tail_labels_` and `threshold_` extended. A new
            label is cut where labels of the most similar frequency are. Calibrated scores are
            raised, since a label comes with a few documents, not with all that there are: with n of
            them its log-odds rise by log(m/n), m being the geometric mean of the documents of
            known labels that have n or more.

        Raises
        ------
        ValueError
            If a new label has no document, or y of `fit` was not an indicator matrix.
        """
        added = read_new_labels(self, X, Y_new)
        labels = self.n_labels_ + np.arange(added.Y.shape[1])
        encoder, heads = self.scorer_.network
        of_new, n_samples = self._heads_of_new_labels(encoder, added)
        counts = count_labels(added.Y)
        of_new[:, -1] += raise_of_new(self, counts, n_samples).astype(np.float32)
        parts = [*heads.parts, LabelHeads(labels, torch.from_numpy(of_new))]
        fitted = grown(self, counts, n_samples, Y_new)
        fitted["head_labels_"] = self.head_labels_
        fitted["tail_labels_"] = np.append(self.tail_labels_, labels)
        network = nn.Sequential(encoder, JoinedHeads(parts)).eval()
        vars(self).update(fitted, scorer_=TransferScorer(network))
        return self

    def _heads_of_new_labels(self, encoder, added):
        """Heads of new labels, and the number of documents in which these were looked for."""
        random_state, device = check_random_state(draw_seed(self.random_state)), self._device()
        vectors, Y = network_scores(encoder, added.X, device), added.Y
        tunes = self.fine_tune == "tail"
        others = vectors_of_others(self.training_vectors_, vectors) if tunes else ()
        n_samples = (len(others) if tunes else self.n_samples_fit_) + len(added)
        heads = self._transfer(self.transfer_, vectors, Y, n_samples, random_state)
        if not tunes:
            return heads, n_samples
        Y = stack_rows([Y, sparse.csr_array((len(others), Y.shape[1]), dtype=Y.dtype)])
        loss, labels = self._spec_of("loss") or BinaryCrossEntropyLoss(), np.arange(Y.shape[1])
        vectors = np.vstack([vectors, others])
        return heads + fine_tune_tail(vectors, Y, loss, labels, heads, device), n_samples
