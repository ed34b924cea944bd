"""HeadToTailClassifier: classifiers of tail labels computed from what head labels teach."""

from __future__ import annotations

import copy
import warnings
from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn.functional import normalize

from .._network import NetworkClassifier
from .._networks import best_epoch, fit_network, network_scores
from .._validation import LabelWarning, check_consistent_rows, check_label_matrix, must_be
from ..encoders import BagEncoder, BiLSTMAttention, Training, split_head
from ..labels import log_odds_against, split_head_tail
from ..losses import BinaryCrossEntropyLoss
from ._heads import JoinedHeads, JoinedHeadsScorer, LabelHeads, fine_tune_tail
from ._transfer import TRANSFERS, LabelTransfer, PrototypeOptions, draw_documents

_MIN_HEAD_COUNT = 11  # documents; up to ten make a tail label elsewhere too
_PAPERS_TUNING = {"max_epochs": 2, "batch_size": 45, "lr": 1e-4, "weight_decay": 0.0}
_KEY_DECIMALS = 4  # that two vectors of one document share


class HeadToTailClassifier(NetworkClassifier):
    """Multi-label text classifier that computes its rare labels from what frequent ones teach.

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
        frequent half of the labels where none has that many.
    n_prototype_documents : int, default=5
        Documents that a prototype averages (t); all of them where a label has fewer.
    n_prototypes : int, default=30
        Prototypes of each head label (S).
    transfer : {"identity", "ridge", "adam"}, default="identity"
        How the matrix is learned: not at all, so that prototypes are weights (imprinting); by
        least squares with the penalty that predicts best the weights of labels left out; or by
        some steps of Adam, as the released code does. Prototypes do better once fine-tuned.
    attention : bool or float, default=False
        Move tail prototypes half-way to the head prototypes that they are like. A number is the
        temperature of this attention; True is 1, the paper's, which sees little difference
        between head labels.
    n_ensembles : int, default=1
        Classifiers of each tail label, by prototypes of their own, whose probabilities are
        averaged (G): 30 is the paper's EHTTN.
    fine_tune : {"tail", "paper"} or None, default="tail"
        "tail" adjusts the weights of tail labels on all training documents, pulled towards what
        was transferred. "paper" trains the whole network for two short epochs on documents drawn
        for the tail. None leaves transferred weights as they are.
    calibrate : bool, default=True
        Give tail labels a slope and a bias that make log-odds of transferred scores. They are
        learned on head labels treated as if they were rare. Without it one cut-off does not suit
        head and tail.
    normalize : bool, default=True
        Give documents' vectors and prototypes the norm 1, and the head one learned scale, as the
        released code does. The paper has neither.
    encoder : "auto", str or encoder spec, default="auto"
        From documents to vectors. "auto" is ``BagEncoder(hidden_dims=(128,))`` on features, and
        :class:`~skmltc.encoders.BiLSTMAttention` on tokens, the paper's.
    loss : str or loss spec, default="auto"
        One of :data:`skmltc.losses.LOSSES`, by name or as an object with its parameters; "auto"
        is "bce", the paper's.
    lr : float or "auto", default="auto"
        Learning rate of AdamW, by default the `training.lr` of the encoder.
    weight_decay : float or "auto", default="auto"
        Decoupled decay of AdamW, by default the `training.weight_decay` of the encoder.
    max_epochs : int or "auto", default="auto"
        Passes over the documents; "auto" is the `training.max_epochs` of the encoder.
    batch_size : int, default=64
        Documents per step of AdamW; the paper's is 90.
    early_stopping : bool or "auto", default="auto"
        Stop when the loss on a validation part no longer falls, and keep the best weights. "auto"
        does so where the data can spare that part.
    validation_fraction : float, default=0.1
        The documents in that part. It never takes a label's only document.
    patience : int, default=5
        Epochs without improvement before stopping.
    threshold : float or str, default="tuned_low"
        What `predict` cuts at: a probability, or a rule, as in
        :class:`~skmltc.BalancedLossClassifier`.
    min_labels : int, default=0
        Give every document its best labels up to this number.
    device : str, default="auto"
        A torch device; "auto" is CUDA where there is one.
    random_state : int, RandomState instance or None, default=None
        Seed of draws, weights and batches. Two fits with the same number are equal.
    verbose : int, default=0
        1 shows progress.
    callbacks : list of skorch callbacks, default=None
        For the training of the head.

    Attributes
    ----------
    classes_ : array
        Column numbers of the labels; for a 1-D y its classes.
    n_labels_, n_samples_fit_, n_features_in_ : int
        Sizes of the training data; `add_labels` raises the first.
    label_counts_ : array of int of shape (n_labels,)
        Training documents of each label.
    head_labels_, tail_labels_ : array of int
        What was trained, and what was transferred.
    threshold_ : array of shape (n_labels,)
        Logit above which a label is predicted; +inf for a label without documents.
    transfer_ : array of shape (dim, dim)
        From a prototype to weights.
    calibration_ : tuple of float
        Slope and intercept that make log-odds of transferred scores.
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

    _default_encoders = {"features": BagEncoder(hidden_dims=(128,)), "tokens": BiLSTMAttention()}
    _parameter_constraints: dict = {
        **NetworkClassifier._parameter_constraints,
        "n_tail": [None, Interval(Integral, 0, None, closed="left")],
        "min_head_count": [None, Interval(Integral, 0, None, closed="left")],
        "n_prototype_documents": [Interval(Integral, 1, None, closed="left")],
        "n_prototypes": [Interval(Integral, 1, None, closed="left")],
        "transfer": [StrOptions(set(TRANSFERS))],
        "attention": ["boolean", Interval(Real, 0, None, closed="neither")],
        "n_ensembles": [Interval(Integral, 1, None, closed="left")],
        "fine_tune": [None, StrOptions({"tail", "paper"})],
        "calibrate": ["boolean"],
        "normalize": ["boolean"],
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
        calibrate=True,
        normalize=True,
        encoder="auto",
        loss="auto",
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
        self.n_tail = n_tail
        self.min_head_count = min_head_count
        self.n_prototype_documents = n_prototype_documents
        self.n_prototypes = n_prototypes
        self.transfer = transfer
        self.attention = attention
        self.n_ensembles = n_ensembles
        self.fine_tune = fine_tune
        self.calibrate = calibrate
        self.normalize = normalize
        self.encoder = encoder
        self.loss = loss
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
        loss, encoder = self._loss or BinaryCrossEntropyLoss(), self._unit_encoder()
        self.head_labels_, self.tail_labels_ = self._split_labels()  # 1
        X_fit, Y_fit, validation = self._spare(X, Y, validation, random_state)
        self.net_ = self._train_head(X_fit, Y_fit, loss, encoder, validation)  # 2
        self.history_ = list(self.net_.history)
        self.n_iter_ = len(self.history_)

        def assemble(net, X, Y):  # 3 to 8
            return self._assemble(net.module_, X, Y, loss, random_state)

        def train(X, Y):
            n_epochs = best_epoch(self.net_)
            net = self._train_for(n_epochs, *self._head_documents(X, Y), loss, encoder)
            return JoinedHeadsScorer(assemble(net, X, Y), self._device())

        self.module_ = assemble(self.net_, X_fit, Y_fit)
        scorer = JoinedHeadsScorer(self.module_, self._device())
        self._decide(self._unseen_pairs(scorer, X, Y, Y_fit, validation, train, random_state))
        self.module_ = assemble(self.net_, X, Y)  # with the documents held out so far

    def _unit_encoder(self):
        """The encoder with vectors of norm 1, or without, as `normalize` says."""
        encoder = self._encoder
        if getattr(encoder, "is_linear", False):
            remedy = "BagEncoder(hidden_dims=(128,)) has one."
            raise must_be("encoder", "with a hidden layer, to transfer from", encoder, remedy)
        if hasattr(encoder, "normalize"):
            return copy.copy(encoder).set_params(normalize=self.normalize)
        return _UnitEncoder(encoder) if self.normalize else encoder

    def _split_labels(self):
        """Step 1: head and tail; labels without documents are tail."""
        counts, given = self.label_counts_, self._given_split()
        head, tail = split_head_tail(counts, **(given or {"min_head_count": _MIN_HEAD_COUNT}))
        if not given and not len(head):
            head, tail = split_head_tail(counts, n_tail=len(counts) // 2)
        head = head[counts[head] > 0]
        if not len(head):
            (name, value), *_ = given.items()
            expected = "small enough to leave a head label, whose classifiers teach the others"
            raise must_be(name, expected, value)
        if given and not counts[tail].any():
            (name, value), *_ = given.items()
            warnings.warn(
                f"{name} must make some label tail for anything to be transferred. Got {value} "
                "instead: all labels are trained jointly.",
                LabelWarning,
                stacklevel=4,
            )
        return head, np.setdiff1d(np.arange(len(counts)), head)

    def _given_split(self):
        split = {"n_tail": self.n_tail, "min_head_count": self.min_head_count}
        given = {name: value for name, value in split.items() if value is not None}
        if len(given) == 2:
            raise must_be("n_tail and min_head_count", "given one without the other", "both")
        return given

    def _train_head(self, X, Y, loss, encoder, validation):
        """Step 2: the encoder and the classifier of the head labels, on their documents."""
        if validation is not None:
            validation = self._head_documents(*validation)
        stop_by = validation if validation and validation[1].shape[0] else None
        return self._train(*self._head_documents(X, Y), loss, encoder, stop_by)

    def _head_documents(self, X, Y):
        """Documents without those of tail labels alone, and the columns of the head labels."""
        Y_head = Y[:, self.head_labels_]
        rows = np.flatnonzero((np.diff(Y_head.indptr) > 0) | (np.diff(Y.indptr) == 0))
        return X[rows], Y_head[rows]

    def _assemble(self, network, X, Y, loss, random_state):
        """Steps 3 to 8: from the trained head to a network of all labels."""
        encoder, weights = split_head(copy.deepcopy(network))
        vectors = network_scores(encoder, X, self._device())
        self._label_transfer = self._learn_transfer(network[-1], vectors, Y, random_state)  # 3, 4
        parts = [LabelHeads(self.head_labels_, weights.detach()[None].cpu())]
        if len(self.tail_labels_):
            rare = log_odds_against(self.label_counts_[self.tail_labels_], self.n_samples_fit_)
            tail = self._transfer(vectors, Y[:, self.tail_labels_], rare, random_state)  # 5, 6
            if self.fine_tune == "tail":
                tail += fine_tune_tail(
                    vectors, Y, loss, self.tail_labels_, tail, self._device()
                )  # 7
            parts.append(LabelHeads(self.tail_labels_, torch.from_numpy(tail)))
        assembled = nn.Sequential(encoder, JoinedHeads(parts))  # 8
        if self.fine_tune == "paper":
            self._fine_tune_as_released(assembled, X, Y, loss, random_state)  # 7
        self._vectors = vectors if self.fine_tune == "tail" else None
        self.transfer_, self.calibration_ = (
            self._label_transfer.matrix,
            tuple(self._label_transfer.calibration),
        )
        return assembled.eval()

    def _learn_transfer(self, head, vectors, Y, random_state):
        """Steps 3 and 4: prototypes of the head labels, and what maps them to their weights."""
        Y = Y[:, self.head_labels_]
        options = PrototypeOptions(
            self.transfer,
            float(self.attention) if self.attention else None,
            self.n_prototype_documents,
            self.normalize,
        )
        prototypes = options.draw(vectors, Y, self.n_prototypes, random_state)
        weights = head.weight.detach().cpu().numpy()
        scale = float(head.scale.detach()) if hasattr(head, "scale") else 1.0
        transfer = LabelTransfer(prototypes, weights, scale, options)
        if self.calibrate:
            rare = log_odds_against(self.label_counts_[self.head_labels_], self.n_samples_fit_)
            transfer.calibrate(vectors, Y, rare, random_state)
        return transfer

    def _transfer(self, vectors, Y, log_odds_against, random_state):
        """Steps 5 and 6: weights of labels from their prototypes, a set for each member."""
        prototypes = self._label_transfer.options.draw(vectors, Y, self.n_ensembles, random_state)
        return self._label_transfer.columns(prototypes, log_odds_against)

    def _fine_tune_as_released(self, network, X, Y, loss, random_state):
        """Step 7, as released: two epochs of the whole network on documents drawn for the tail."""
        Y_tail, t = Y[:, self.tail_labels_], self.n_prototype_documents
        draws = [draw_documents(Y_tail, t, random_state) for _ in range(self.n_prototypes)]
        rows = np.concatenate([draw.indices for draw in draws])
        if len(rows):
            settings = {"patience": self.patience, "device": self._device()} | _PAPERS_TUNING
            fit_network(network, loss.build(Y[rows]), X[rows], Y[rows], **settings)

    def add_labels(self, X, Y_new):
        """Learn new labels from a few documents; the others keep their scores, to the last bit.

        Nothing is trained again: the new labels get their classifiers as the tail got its own.
        With ``fine_tune="tail"`` the training documents serve as documents without the new
        labels, save those that are among the new ones.

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
            label is cut where labels of the most similar frequency are.

        Raises
        ------
        ValueError
            If a new label has no document, or y of `fit` was not an indicator matrix.
        """
        check_is_fitted(self)
        if self._target != "multilabel":
            raise must_be("y", "label indicators in fit, to add labels", f"a {self._target} target")
        X = self._check_inputs(X)
        Y = check_label_matrix(Y_new, name="Y_new")
        check_consistent_rows(X, Y, name="Y_new")
        counts = np.bincount(Y.indices, minlength=Y.shape[1])
        if not counts.all():
            empty = np.flatnonzero(counts == 0)[0]
            raise must_be("Y_new", "columns with at least one document", f"none in column {empty}")
        labels = self.n_labels_ + np.arange(Y.shape[1])
        columns = self._heads_of_new_labels(X, Y, log_odds_against(counts, self.n_samples_fit_))
        self.module_[1].parts.append(LabelHeads(labels, torch.from_numpy(columns)))
        self._append_labels(labels, counts)
        return self

    def _heads_of_new_labels(self, X, Y, log_odds_against):
        random_state = check_random_state(self.random_state)
        vectors = network_scores(self.module_[0], X, self._device())
        columns = self._transfer(vectors, Y, log_odds_against, random_state)
        if self.fine_tune != "tail":
            return columns
        others = self._vectors[~np.isin(_vector_keys(self._vectors), _vector_keys(vectors))]
        Y = sparse.vstack([Y, sparse.csr_array((len(others), Y.shape[1]), dtype=Y.dtype)])
        loss, labels = self._loss or BinaryCrossEntropyLoss(), np.arange(Y.shape[1])
        vectors = np.vstack([vectors, others])
        return columns + fine_tune_tail(vectors, Y.tocsr(), loss, labels, columns, self._device())

    def _append_labels(self, labels, counts):
        known = np.flatnonzero(np.isfinite(self.threshold_))
        distances = np.abs(np.subtract.outer(np.log(counts), np.log(self.label_counts_[known])))
        nearest = distances == distances.min(axis=1, keepdims=True)
        threshold = nearest @ self.threshold_[known] / nearest.sum(axis=1)
        self.threshold_ = np.append(self.threshold_, threshold)
        self.label_counts_ = np.append(self.label_counts_, counts)
        self.tail_labels_ = np.append(self.tail_labels_, labels)
        self.n_labels_ += len(labels)
        self.classes_ = np.arange(self.n_labels_)

    def _score(self, X):
        return network_scores(self.module_, X, self._device())


class _UnitEncoder:
    """An encoder spec whose vectors get the norm 1."""

    head_scale = 10.0

    def __init__(self, encoder):
        self.encoder, self.training = encoder, getattr(encoder, "training", Training())

    def build(self, n_inputs, X=None):
        return _UnitVectors(self.encoder.build(n_inputs, X))


class _UnitVectors(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.output_dim = encoder, encoder.output_dim

    def forward(self, batch):
        return normalize(self.encoder(batch), dim=1)  # (batch, output_dim)


def _vector_keys(vectors):
    """A key for each vector, the same for all vectors of a document."""
    rounded = np.ascontiguousarray(np.round(vectors, _KEY_DECIMALS) + 0.0)
    return rounded.view(np.dtype((np.void, rounded.dtype.itemsize * rounded.shape[1]))).ravel()
