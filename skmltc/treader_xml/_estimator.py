"""TReaderXMLClassifier: the labels of similar documents as a teacher, read beside a text."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_array
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from .._cosine import CosineNeighbors
from .._inputs import Inputs, check_token_ids, known_tokens
from .._networks import (
    DocumentDataset,
    SparseTargets,
    Trainer,
    fitted_by,
    seeded_torch,
    sorted_by_length,
    start_as_linear_models,
)
from .._published import AsPublished
from .._stages import Trained
from .._token_counts import token_tfidf
from .._validation import must_be, warn
from ..base import BaseLongTailClassifier
from ..encoders import BagEncoder, WordEmbedding
from ..labels import check_label_parents
from ..losses import BinaryCrossEntropyLoss
from ._network import (
    POOLINGS,
    READINGS,
    FeatureReader,
    Mixture,
    ReadingEncoder,
    ReadingNetwork,
    ReadingScorer,
    TokenReader,
    fit_mixture,
)
from ._published import PUBLISHED
from ._scopes import MeanEmbedding, ScopeRetriever, first_words, heaviest

_ATTENTION_LR = 1e-3  # at the rate for features their tanh would soon be flat
_OF_NEIGHBORS, _OF_SEQUENCES = ("n_neighbors", "retrieval", "label_parents"), ("n_heads", "pooling")


class Plan(NamedTuple):
    """What training once more needs."""

    inputs: Inputs
    loss: object
    trainer: Trainer
    parents: sparse.csr_array
    label_tokens: sparse.csr_array | np.ndarray | None
    mixture: Mixture | None = None


class TReaderXMLClassifier(AsPublished, BaseLongTailClassifier):
    """Multi-label text classifier that reads a text with the labels of similar documents.

    TReaderXML of Wang, Song, Huo, Xu, Yang, Chen and Zhao, *Exploiting Dynamic and Fine-grained
    Semantic Scope for Extreme Multi-label Text Classification* (arXiv 2205.11973). For each
    document the most similar training documents are looked up. Their labels, with the parents of
    these in a hierarchy, are its semantic scope; the mean of the labels' descriptions is a
    teacher, a short sequence of word vectors that is read together with the text.

    Parameters
    ----------
    n_neighbors : int, default=50
        Training documents whose labels are the scope of a document. The paper does not say how
        many.
    retrieval : {"tfidf", "embedding"} or estimator, default="tfidf"
        What makes documents similar: the cosine of their tf-idf weights (on features: of the
        features), or of the means of their word vectors before training, the paper's. An
        estimator with scikit-learn's `fit` and `kneighbors`, whose distances are 1 - cosine, is
        cloned and fitted on the tf-idf weights in place of the exact
        :class:`~skmltc.neighbors.CosineNeighbors`.
    label_parents : array of shape (n_rows,) or matrix of shape (n_rows, n_rows), default=None
        Column of each label's parent or -1; or a matrix with ones at (child, parent), which
        :func:`~skmltc.labels.parents_from_edges` makes of names. Rows after those of the labels
        are parents that are not predicted.
    description_length : int, default=4
        Words of a label that are read (D); the paper has 4 or 16.
    teacher : bool, default=True
        Whether descriptions of the scope are read before the text.
    votes : bool, default=True
        Whether what is in the scope of a document adds to its logits, by how often the neighbours
        have it: for a label of a share p of all documents and v of the neighbours (by their
        cosines) log(1 + v / (4 p)), times one number. This is not in the paper. Where there is a
        validation part the number is learned from it in the end: on the documents that it was
        trained on the network needs the votes of neighbours less than on others.
    reading : {"mmhsa+residual+mhsa", "mhsa+residual+mmhsa", "mmhsa+mhsa", "mmhsa+residual", \
            "mhsa+residual"} or None, default="mmhsa+residual+mhsa"
        Layers of self-attention over text and teacher, each with its own: "mmhsa" sees the past
        alone, "mhsa" everything. None leaves them out.
    n_heads : int, default=4
        Heads of each attention.
    pooling : {"mean", "max", "last"}, default="mean"
        From the joint sequence of teacher and text to one vector, "max" behind the bottleneck;
        the paper does not say how.
    bottleneck_dim : int, default=128
        Length of that vector in front of the labels; the paper does not say it.
    encoder : "auto", str or encoder spec, default="auto"
        From documents to sequences of vectors. "auto" is
        :class:`~skmltc.encoders.WordEmbedding` on tokens. On features, where a document is a
        sequence of one, it is a :class:`~skmltc.encoders.BagEncoder` with a hidden layer and
        a dropout of 0.7.
    loss : str or loss spec, default="auto"
        One of :data:`skmltc.losses.LOSSES`, by name or as an object with its parameters; "auto"
        is "bce", the paper's.
    training : "auto" or Training, default="auto"
        How the network is trained: a :class:`~skmltc.encoders.Training`, whose "encoder" is all
        that reads, and whose "projection" the bottleneck. "auto" is what the encoder recommends,
        but for the attentions the rate is 0.001 at most.
    lr : float or "auto", default="auto"
        Learning rate: one for all parameters, and constant unless a `training` that is given says
        else. "auto" is that of the training in force, with its schedule and its factors.
    weight_decay : float or "auto", default="auto"
        Weight decay, by default that of the training in force.
    max_epochs : int or "auto", default="auto"
        Passes over the documents; "auto" is the number of a `training` that is given, else the one
        that the encoder recommends, and where documents are few as many as make 200 steps.
    batch_size : int, default=64
        Documents per step.
    early_stopping : bool or "auto", default="auto"
        Stop when the loss on a validation part no longer falls, and keep the best weights. "auto"
        does so where `X_val` is given; else where the part would have a hundred documents at least,
        and the rate of learning does not fall to 0 or a transformer is fine-tuned. Its documents
        are no neighbours.
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
        Seed of folds, weights and batches. Two fits with the same number are equal.
    verbose : int, default=0
        1 shows progress.
    callbacks : list of skorch callbacks, default=None
        For the training. They are copied: what one records is in
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
    threshold_ : array of shape (n_labels,)
        Value of `decision_function` above which a label is predicted; +inf for a label without
        documents.
    calibration_ : Calibration
        From scores to what `decision_function` returns: log-odds. The identity where nothing is
        calibrated.
    scorer_ : object
        What scores documents: the network, and `retriever`, the training documents as they are
        looked up, with `neighbors` and `label_sets`, these with parents.
    module_, net_, history_, n_iter_ : torch module, skorch net, list of dict, int
        The network and its epochs.

    See Also
    --------
    BalancedLossClassifier : One model for all labels, with a loss for the rare ones.
    skmltc.labels.parents_from_edges : A hierarchy from names.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmltc import TReaderXMLClassifier
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> corpus = make_long_tailed_corpus(n_samples=300, n_labels=10, random_state=0)
    >>> model = TReaderXMLClassifier(max_epochs=5, random_state=0)
    >>> model = make_pipeline(TfidfVectorizer(), model).fit(corpus.data, corpus.target)
    >>> model.predict_proba(corpus.data[:2]).shape
    (2, 10)
    """

    _published = PUBLISHED
    _default_encoders = {"features": BagEncoder((256,), dropout=0.7), "tokens": WordEmbedding()}
    _parameter_constraints: dict = {
        **BaseLongTailClassifier._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "retrieval": [StrOptions({"embedding", "tfidf"}), HasMethods(["fit", "kneighbors"])],
        "label_parents": [None, "array-like", "sparse matrix"],
        "description_length": [Interval(Integral, 1, None, closed="left")],
        "teacher": ["boolean"],
        "votes": ["boolean"],
        "reading": [None, StrOptions(set(READINGS))],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "pooling": [StrOptions(set(POOLINGS))],
        "bottleneck_dim": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        n_neighbors=50,
        retrieval="tfidf",
        label_parents=None,
        description_length=4,
        teacher=True,
        votes=True,
        reading="mmhsa+residual+mhsa",
        n_heads=4,
        pooling="mean",
        bottleneck_dim=128,
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
        self.n_neighbors = n_neighbors
        self.retrieval = retrieval
        self.label_parents = label_parents
        self.description_length = description_length
        self.teacher = teacher
        self.votes = votes
        self.reading = reading
        self.n_heads = n_heads
        self.pooling = pooling
        self.bottleneck_dim = bottleneck_dim
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
        """Make the estimator that is a row of the ablation, Table 3 of the paper.

        Wang et al. (https://arxiv.org/abs/2205.11973), section 4.1: Adam with a rate of 1e-4 that
        is lowered when training no longer helps, and word vectors of length 300, of which means
        are compared to find neighbours. Row "6" is the system of all other tables.

        X is a dense array of token ids, of 500 tokens at most for RCV1, 300 for AmazonCat-13K and
        250 for EUR-Lex. A hierarchy is given as `label_parents`, and texts of the labels to
        `fit` as `label_tokens`.

        Parameters
        ----------
        row : {"0", "1", "2", "3", "4", "5", "6"}
            "0" has the interaction layer alone. "1" has the teacher too, and the others read it
            and the text before: "2" by MMHSA and "3" by MHSA, with a residual sum; "4" by MHSA,
            a residual sum and MMHSA; "5" by MMHSA and MHSA without a residual sum; "6" by MMHSA,
            a residual sum and MHSA.
        as_released : bool, default=True
            Without effect: no code was released.
        **changes : dict
            Parameters that shall be others. RCV1 has ``encoder__embedding_dim=400`` and
            ``description_length=16``; ``encoder__embeddings=WordVectors.load(path)`` takes word
            vectors that were trained before.

        Returns
        -------
        TReaderXMLClassifier
            Not fitted, with every parameter of the row set.

        Notes
        -----
        What the paper does not say is ours: 5 neighbours, of the training documents alone and
        never a document itself; a bottleneck of 512, the mean over positions, 40 documents per
        step, and a rate that is multiplied by 0.1 after 5 epochs without a lower validation loss,
        twice, in 100 epochs at most. Where print and text differ, the text is taken: MMHSA hides
        what comes later, labels without a parent stay in the scope, and the loss takes logits,
        without a softmax before. The paper's figures are of rankings; `predict` cuts at 0.5.

        Examples
        --------
        >>> from skmltc import TReaderXMLClassifier
        >>> model = TReaderXMLClassifier.as_published("6")
        >>> model.reading, model.training.schedule, model.training.lr
        ('mmhsa+residual+mhsa', 'plateau', 0.0001)
        """
        return super().as_published(row, as_released=as_released, **changes)

    def fit(self, X, y, X_val=None, y_val=None, label_tokens=None):
        """Train on documents and their labels.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Features, such as TF-IDF weights; or token ids, a dense array of integers with 0 for
            padding and 1 for unknown words, as `TokenSequenceVectorizer` makes them.
        y : array or sparse matrix of shape (n_samples, n_labels), or array of (n_samples,)
            Label indicators, dense or of any scipy sparse format; or one class per document.
        X_val, y_val : like X and y, default=None
            An official validation part.
        label_tokens : like X, of shape (n_rows, n_features), default=None
            Texts of the labels, and of further rows of `label_parents`, in the form of X; of
            token ids the number of columns is free. A label is described by its first words (of
            features: the heaviest). One whose words are all unknown, or all of them without this
            argument, is described by the heaviest tf-idf words of its documents. In a Pipeline
            it is routed by ``transform_input=["label_tokens"]``.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y or a parameter is not of the form above; the message says what to give.
        KeyboardInterrupt
            If the user stops it (Ctrl-C). The message says how far it got, and whether the
            estimator is fitted all the same: that is so where documents were spared to decide by.
        """
        return self._fit(X, y, X_val, y_val, label_tokens=label_tokens)

    def _idle(self, problem, train, given):
        alone = not self.teacher and problem.inputs.kind == "features"
        unread = not (self.teacher or self.votes)
        idle = super()._idle(problem, train, given)
        return [
            *([one for one in idle if "X_val" not in one[2]] if self.votes else idle),
            (not self.teacher, "with teacher=False", ("description_length", "label_tokens")),
            (unread, "with teacher=False and votes=False", _OF_NEIGHBORS),
            (alone, "on features with teacher=False: attention sees one vector", _OF_SEQUENCES),
        ]

    def _train(self, problem, train, given, seed, label_tokens):
        inputs, loss = problem.inputs, self._spec_of("loss") or BinaryCrossEntropyLoss()
        self._check_encoder(inputs)
        parents = check_label_parents(self.label_parents, train.Y.shape[1])
        self._check_rows(label_tokens, parents.shape[0])
        trainer = self._trainer(inputs.encoder.training)
        fit, unseen = trainer.split(train, given, seed)
        self._warn_of_few(len(fit))
        plan = Plan(inputs, loss, trainer, parents, label_tokens)
        net, scorer = self._read_documents(fit, plan, seed, unseen)
        if self.votes and unseen:
            scorer = replace(scorer, mixture=fit_mixture(scorer, unseen, self._device()))
        plan = plan._replace(trainer=trainer.as_before(net), mixture=scorer.mixture)
        return Trained(scorer, plan, fit.Y, unseen, **fitted_by(net))

    def _retrain(self, documents, plan, seed):
        _, scorer = self._read_documents(documents, plan, seed)
        return replace(scorer, mixture=plan.mixture)

    def _read_documents(self, documents, plan, seed, stop_by=None):
        """The paper's steps; returns the skorch net and what scores documents."""
        X, Y, loss = documents.X, documents.Y, plan.loss.build(documents.Y)
        with seeded_torch(seed):
            encoder = plan.inputs.encoder.build(plan.inputs.n_inputs, X)
            # 1. and 2. The neighbours of each document, and their labels with parents.
            retrieval = self._retrieval(encoder, plan.inputs)
            retriever, scopes = ScopeRetriever.fit(*retrieval, documents, plan.parents)
            # 3. to 6. The teacher from the words of labels, reading, interaction and prediction.
            words = self._describe(plan, X, retriever.label_sets) if self.teacher else None
            network = self._network(encoder, plan.inputs, words, Y.shape[1])
            plan.trainer.start(network.head, loss, Y)
            begin = None
            if plan.trainer.starts_linear(plan.inputs.encoder):
                begin = partial(self._start_as_linear_models, network, plan.loss, documents)
            held = stop_by and sorted_by_length(stop_by, retriever.scopes(stop_by.X))
            dataset = DocumentDataset(X, Y, scopes)
            how = SparseTargets(loss), dataset, held, network.parts(), begin
            net = plan.trainer.train(network, *how)
        return net, ReadingScorer(network, retriever)

    def _start_as_linear_models(self, network, loss, documents):
        """Let the head read, of documents and of what they are taught, the first dimensions."""
        torch.nn.init.eye_(network.body.bottleneck.weight)
        how = loss, documents, self._device()
        start_as_linear_models(network.body.reader.encoder, network.head, *how)

    def _check_encoder(self, inputs):
        if inputs.encoder.is_linear:
            remedy = "BagEncoder(hidden_dims=(256,)), say, has vectors to read."
            raise must_be("encoder", "one with a hidden layer", repr(inputs.encoder), remedy)
        if inputs.kind == "features" and self.retrieval == "embedding":
            remedy = "Word vectors belong to tokens, of TokenSequenceVectorizer."
            raise must_be("retrieval", "'tfidf' on features", "'embedding'", remedy)

    def _warn_of_few(self, n_samples):
        if self.n_neighbors >= n_samples and (self.teacher or self.votes):
            warn(
                f"n_neighbors must be less than the number of training documents, {n_samples}. "
                f"Got {self.n_neighbors} instead: all others are the neighbours of each."
            )

    def _check_further(self, problem, texts, checker):
        """Descriptions as token ids of words that are known, or as features."""
        if texts is None:
            return None
        if problem.inputs.kind == "features":
            return sparse.csr_array(problem.inputs.read(texts, checker))
        problem.inputs.check_vocabulary(texts)
        texts = check_token_ids(check_array(texts), type(self).__name__)
        return known_tokens(texts, problem.inputs.n_inputs)

    def _check_rows(self, texts, n_rows):
        if texts is not None and texts.shape[0] != n_rows:
            remedy = "One for each label, and for each further row of label_parents."
            raise must_be("label_tokens", f"of {n_rows} rows", texts.shape[0], remedy)

    def _retrieval(self, encoder, inputs):
        """What makes vectors of documents to compare, what compares them, and how many."""
        if inputs.kind == "features":
            vectorizer = FunctionTransformer()
        elif self.retrieval == "embedding":
            vectorizer = MeanEmbedding(encoder.embedding.weight.detach().numpy().copy())
        else:
            vectorizer = token_tfidf(inputs.n_inputs)
        exact = isinstance(self.retrieval, str)
        neighbors = CosineNeighbors(device=self.device) if exact else clone(self.retrieval)
        return vectorizer, neighbors, self.n_neighbors if self.teacher or self.votes else 0

    def _describe(self, plan, X, label_sets):
        """Words (n_rows, description_length) of the labels; 0 is padding."""
        length, lowest, on_tokens = self.description_length, 1, plan.inputs.kind == "tokens"
        if on_tokens:
            X, lowest = token_tfidf(plan.inputs.n_inputs).fit_transform(X), 2
        words = heaviest(sparse.csr_array(label_sets.T @ sparse.csr_array(X)), length)
        if plan.label_tokens is None:
            return words
        given = (first_words if on_tokens else heaviest)(plan.label_tokens, length)
        return np.where((given >= lowest).any(axis=1, keepdims=True), given, words)

    def _network(self, encoder, inputs, words, n_labels):
        features = inputs.kind == "features"
        reader = FeatureReader(encoder, inputs.n_inputs) if features else TokenReader(encoder)
        if self.n_heads > reader.dim:
            expected = f"at most {reader.dim}, the length of the vectors"
            raise must_be("n_heads", expected, self.n_heads)
        body = ReadingEncoder(
            reader,
            words,
            n_heads=self.n_heads,
            reading=self.reading,
            pooling=self.pooling,
            output_dim=self.bottleneck_dim,
        )
        return ReadingNetwork(body, n_labels, self.votes)

    def _trainer(self, training):
        """The settings in force; those that are recommended at a rate at which attention learns."""
        trainer = Trainer.of(self, training, self._device())
        if self.training != "auto":
            factors = dict(trainer.lr_factors or {})
            return replace(trainer, lr_factors={"attention": factors.get("encoder", 1)} | factors)
        if self.lr != "auto":
            return trainer
        attention = min(1.0, _ATTENTION_LR / trainer.lr)
        return replace(trainer, lr_factors={**(trainer.lr_factors or {}), "attention": attention})
