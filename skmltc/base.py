"""What all estimators share: the way from documents to decisions, and the predict chain."""

from __future__ import annotations

import copy
from dataclasses import replace
from numbers import Integral, Real
from time import perf_counter

import numpy as np
from scipy import sparse
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._devices import check_device, device_of
from ._idle import changed_parameters, warn_of_idle
from ._inputs import Inputs, input_kind
from ._networks import Trainer, check_callbacks
from ._progress import announced_parts
from ._ranking import check_k
from ._stages import (
    ENOUGH_TO_DECIDE,
    Decided,
    Problem,
    counted,
    decides,
    draw_seed,
    parts_in_turn,
    read_documents,
)
from ._targets import Target, warn_of_empty_labels
from ._validation import LabelWarning, check_choice, check_constraints, known_labels, must_be, warn
from .decision import (
    Calibration,
    Decision,
    HeldOut,
    ScoredPairs,
    check_decision,
    check_threshold,
    idle_in_decision,
    label_worth,
    prior_cut_off,
    top_of_logits,
)
from .encoders import ENCODERS, BagEncoder, Encoder, TextCNN, Training
from .losses import LOSSES, SquaredHingeLoss

_SCORES_AT_A_TIME = 2**22  # documents are scored in blocks, so that memory does not grow with them


class BaseLongTailClassifier(ClassifierMixin, BaseEstimator):
    """Base of all estimators.

    A subclass has its parameters, ``_train(problem, train, given, seed)``, the paper step by step,
    which returns a `Trained`, and ``_retrain(documents, plan, seed)``, which trains once more on
    other documents and returns a scorer. Neither sets anything.
    """

    _undecided = False  # set by what decides by itself: no calibration or decision is learned
    _default_encoders = {"features": BagEncoder(), "tokens": TextCNN()}
    _parameter_constraints: dict = {
        "encoder": "no_validation",  # `_spec_of` says what to subclass
        "loss": [str, BaseEstimator],
        "optimizer": [StrOptions({"auto", "newton", "lbfgs", "adamw", "adam"})],
        "training": [StrOptions({"auto"}), Training],
        "lr": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "weight_decay": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "max_epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": [StrOptions({"auto"}), "boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [None, Interval(Integral, 1, None, closed="left")],
        "calibrate": [StrOptions({"auto"}), "boolean"],
        "slack": [Interval(Real, 0, 1, closed="both")],
        "min_labels": [Interval(Integral, 0, None, closed="left")],
        "max_labels": [None, Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "callbacks": [None, list, tuple],
    }

    def fit(self, X, y, X_val=None, y_val=None):
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
            estimator is fitted all the same: that is so where a network was in its only stage of
            training and documents were spared to decide by. Else it is as it was before.
        """
        return self._fit(X, y, X_val, y_val)

    def _fit(self, *args, **further):
        try:
            return self._fit_all(*args, **further)
        except KeyboardInterrupt as interruption:
            if interruption.args:
                raise
            raise KeyboardInterrupt("The estimator is as it was before.") from None

    def _fit_all(self, X, y, X_val=None, y_val=None, sample_weight=None, **further):
        self._check_parameters()
        seed = draw_seed(self.random_state)
        checker = copy.copy(self)  # learns the number and names of columns; this one is as it was
        problem = self._learn(X, y, checker)
        train, given = self._read(problem, X, y, X_val, y_val, checker, sample_weight)
        further = {n: self._check_further(problem, v, checker) for n, v in further.items()}
        changed = self._changed(X_val=X_val, y_val=y_val, **further)
        warn_of_idle(changed, self._idle(problem, train, given))
        start = perf_counter()
        trained = self._train(problem, train, given, seed, **further)
        held_out = self._held_out(train, trained, seed, perf_counter() - start)
        decided = self._decide(problem, train, trained, held_out, seed)
        self._set_fitted(checker, problem, train, trained, decided.as_in_first())
        if trained.interrupted:  # a search, a loop or a pipeline shall stop
            raise KeyboardInterrupt(trained.interrupted)
        return self

    def _check_parameters(self):
        check_constraints(self)
        check_threshold(self.threshold), check_decision(self), check_device(self.device)
        self._spec_of("loss"), self._spec_of("encoder")
        if self.training != "auto":
            self.training.check()
        check_callbacks(self.callbacks)

    def _changed(self, **arguments):
        """Names of parameters that are not the defaults, and of arguments of fit that are given."""
        changed = changed_parameters(self)
        if "training" in changed:
            changed += changed_parameters(self.training, "training__")
        return changed + [name for name, value in arguments.items() if value is not None]

    def _idle(self, problem, train, given):
        """List what has no effect here: (whether a condition holds, what it is, names)."""
        trainer = Trainer.of(self, problem.inputs.encoder.training, self._device())
        factors_left = self.lr != "auto", f"with lr={self.lr}", ["training__lr_factors"]
        in_training = trainer.idle(len(train), given is not None)
        few = f"with early_stopping=False and fewer than {ENOUGH_TO_DECIDE} labels to decide by"
        unread = not self.early_stopping and not decides(given), few, ("X_val", "y_val")
        floats = problem.inputs.kind == "features", "on features", ["training__precision"]
        return [*self._idle_in_decision(problem.target), factors_left, unread, floats, *in_training]

    def _idle_in_decision(self, target):
        names = ("threshold", "slack", "min_labels", "max_labels")
        return [
            (not target.is_multilabel, "where y has one class per document", names),
            (self._undecided, "inside a classifier that decides", names),
            idle_in_decision(self.threshold),
        ]

    def _learn(self, X, y, checker):
        """Learn what X and y are."""
        if y is None:
            remedy = f"{type(self).__name__} requires y to be passed, but the target y is None."
            raise must_be("y", "given", None, remedy)
        encoder = self._spec_of("encoder") or clone(self._default_encoders[input_kind(X)])
        return Problem.of(Inputs.learn(X, encoder, checker), Target.learn(y))

    def _read(self, problem, X, y, X_val, y_val, checker, sample_weight=None):
        """Training documents and, if given, those of a validation part."""
        train = read_documents(problem, X, y, checker, sample_weight=sample_weight)
        warn_of_empty_labels(train.counts, problem.target.names)
        if (X_val is None) != (y_val is None):
            raise must_be("X_val and y_val", "given together", "one of them")
        if X_val is None:
            return train, None
        return train, read_documents(problem, X_val, y_val, checker, "y_val")

    def _held_out(self, train, trained, seed, seconds=None):
        """Yield documents with a scorer that has not seen them; nothing runs before it is asked.

        Those that training has not seen, if they have labels enough, or if the user wants no more
        training; else folds are trained.
        """
        if trained.interrupted or decides(trained.unseen):
            yield HeldOut(trained.scorer, trained.fitted_Y, trained.unseen)
        else:
            parts = parts_in_turn(train.Y, seed, self.threshold, trained.is_network)
            for fit, held in announced_parts(parts, self.verbose, seconds):
                part = train[fit]
                with known_labels():
                    scorer = self._retrain(part, trained.plan, seed)
                yield HeldOut(scorer, part.fitted_Y, train[held])

    def _decide(self, problem, train, trained, held_out, seed):
        """Learn what scores say and where they are cut, as far as it is to be learned."""
        target, pairs = problem.target, None
        if self._calibrates(target) or self._learns_rule(target):
            pairs = self._pairs(trained, held_out)
        calibration, decision = self._calibrate_and_cut(target, pairs, train, trained.scorer)
        return Decided(trained.scorer, calibration, decision)

    def _calibrates(self, target):
        """Whether scores are turned into log-odds."""
        wanted = target.is_multilabel and not self._undecided
        return wanted if self.calibrate == "auto" else self.calibrate

    def _learns_rule(self, target):
        """Whether thresholds are learned from held-out documents."""
        return isinstance(self.threshold, str) and target.is_multilabel and not self._undecided

    def _calibrate_and_cut(self, target, pairs, train, scorer, learn=Decision.learn):
        """Calibration and decision, from pairs of held-out documents; `learn` takes the rule."""
        calibrates = self._calibrates(target)
        if not calibrates and not self._learns_rule(target):
            self._warn_of_shifted_logits(target)
            return Calibration.identity(), self._decision(target, None, train)
        if pairs is None or not pairs.is_true.any():
            return self._learn_of_prior(target, train, scorer)
        calibration = Calibration.of_pairs(pairs) if calibrates else Calibration.identity()
        return calibration, self._decision(target, calibration.calibrated(pairs), train, learn)

    def _warn_of_shifted_logits(self, target):
        """Warn where a number cuts logits that are far from log-odds."""
        if target.is_multilabel and not self._undecided and self._shifts_logits():
            warn(
                f"threshold={self.threshold} cuts logits that are no log-odds: the loss moves or "
                "stretches them. calibrate=True makes probabilities of them; a rule, such as "
                "threshold='frequency', needs none."
            )

    def _shifts_logits(self):
        """Whether the loss has negative tolerance, or is no likelihood."""
        loss = self._spec_of("loss")
        return hasattr(loss, "kappa") or isinstance(loss, SquaredHingeLoss)

    def _learn_of_prior(self, target, train, scorer):
        """Where held-out documents say nothing, as many labels are predicted as there are."""
        warn(
            "No held-out document has a label that other documents have too, so neither "
            "probabilities nor thresholds could be learned: as many labels are above them as the "
            "training documents have. Give more documents per label, or X_val and y_val.",
            LabelWarning,
        )
        counts = train.counts
        blocks = self._score_blocks(scorer, train.X, len(counts))
        cut_off = prior_cut_off(blocks, train.Y.nnz)
        if self._calibrates(target):
            number = 0.5 if isinstance(self.threshold, str) else self.threshold
            offset = float(logit(number)) - cut_off
            return Calibration.identity(offset), self._decision(target, None, train)
        return Calibration.identity(), replace(Decision.at(cut_off, counts), rule=self.threshold)

    def _decision(self, target, pairs, train, learn=Decision.learn):
        """The decision by the rule, from calibrated pairs; or at a probability."""
        counts = train.counts
        if not target.is_multilabel:
            return Decision.best(len(counts))
        if self._learns_rule(target) and pairs is not None and not pairs.is_true.all():
            return learn(self.threshold, pairs, counts, train.n_samples, slack=self.slack)
        if isinstance(self.threshold, str):  # there was nothing to learn from, or no need
            return replace(Decision.at_probability(0.5, counts), rule=self.threshold)
        return Decision.at_probability(self.threshold, counts)

    def _pairs(self, trained, held_out):
        """Pairs of held-out documents; None where there are none."""
        if trained.pairs is not None:
            return trained.pairs
        how = {"device": self._device(), "n_jobs": self._jobs()}
        parts = [ScoredPairs.collect([part], **how) for part in held_out]
        return ScoredPairs.concatenate(parts) if parts else None

    def _jobs(self):
        """Blocks of labels that are scored at a time."""
        return 1

    def _set_fitted(self, checker, problem, train, trained, decided):
        """Set all that was learned in place of what an earlier fit had; nothing else does."""
        columns = vars(checker).keys() & {"n_features_in_", "feature_names_in_"}
        fitted = {
            **{name: getattr(checker, name) for name in columns},
            "inputs_": problem.inputs,
            **counted(problem.target, train.counts, train.n_samples),
            **trained.attributes,
            **decided.attributes,
            "scorer_": decided.scorer,
            "calibration_": decided.calibration,
            "decision_": decided.decision,
        }
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        vars(self).update(fitted)
        return self

    def _spec_of(self, name):
        """The spec behind a parameter: itself, or that of a name; None for "auto"."""
        known, kind = {"loss": (LOSSES, BaseEstimator), "encoder": (ENCODERS, Encoder)}[name]
        value = getattr(self, name)
        if isinstance(value, str):
            check_choice(name, value, ["auto", *known])
            return None if value == "auto" else known[value]()
        if not isinstance(value, kind) or not hasattr(value, "build"):
            remedy = "Subclass skmltc.encoders.Encoder." if name == "encoder" else ""
            raise must_be(name, "a name or a spec with a build method", repr(value), remedy)
        return value

    def set_params(self, **params):
        """Set parameters; of a loss or encoder given by name too, as in ``loss__gamma=1``.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self
        """
        nested = {name: value for name, value in params.items() if "__" in name}
        super().set_params(**{name: params[name] for name in params.keys() - nested})
        for name, known in (("loss", LOSSES), ("encoder", ENCODERS)):
            if any(key.startswith(f"{name}__") for key in nested):
                super().set_params(**{name: self._explicit_spec(name, known)})
        if any(key.startswith("training__") for key in nested) and self.training == "auto":
            raise must_be("training", "a Training, say clone(encoder.training)", "'auto'")
        if any(key.startswith("training__") for key in nested):
            super().set_params(training=clone(self.training))  # an encoder's own may stand there
        return super().set_params(**nested)

    def _explicit_spec(self, name, known):
        spec = self._spec_of(name)
        if spec is None:
            remedy = f"Name the {name} to set its parameters: one of {', '.join(known)}."
            raise must_be(name, "a name or a spec", "'auto'", remedy)
        return spec

    def _wants_tokens(self):
        """Whether the encoder, as far as it is named, reads tokens alone."""
        named = isinstance(self.encoder, str)
        encoder = ENCODERS.get(self.encoder, Encoder) if named else self.encoder
        return isinstance(encoder, type | Encoder) and encoder.kind == "tokens"

    def _has_logits(self):
        """Whether `decision_function` is there: for tokens when fitted.

        scikit-learn's check of its order feeds fractions to whatever estimator has it before
        `fit`, for all that its tags say.
        """
        return hasattr(self, "n_labels_") or not self._wants_tokens()

    def _device(self):
        return device_of(self.device)

    @property
    def module_(self):
        """The torch network; linear models that Newton's method solves have none."""
        return self.scorer_.network

    @property
    def threshold_(self):
        """Values of `decision_function` above which labels are predicted, as an array (n_labels,).

        They are those in force: of a number that stands as `threshold` now, else of the rule that
        was learned. A label without documents has +inf.
        """
        return self._decision_in_force().thresholds

    def _decision_in_force(self):
        """The decision that was learned, or that of a number that stands as threshold now."""
        check_is_fitted(self)
        decision = self.decision_
        check_threshold(self.threshold), check_decision(self)
        if self.target_.is_multilabel and not isinstance(self.threshold, str):
            if decision.rule is not None and not self._calibrates(self.target_):
                self._warn_of_shifted_logits(self.target_)
            decision = Decision.at_probability(self.threshold, self.label_counts_)
        elif self.target_.is_multilabel and self.threshold != decision.rule:
            known = f"{decision.rule!r} or a number" if decision.rule else "a number, as in fit"
            remedy = "A rule is learned in fit: fit again, or wrap a FrozenEstimator of the model."
            raise must_be("threshold", known, self.threshold, remedy)
        limits = {"min_labels": self.min_labels, "max_labels": self.max_labels}
        return replace(decision, **limits) if self.target_.is_multilabel else decision

    @available_if(_has_logits)
    def decision_function(self, X):
        """Log-odds of every label; the scores as they are where nothing is calibrated.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of float32 of shape (n_samples, n_labels), or (n_samples,) for a binary y
        """
        logits = np.concatenate(list(self._logit_blocks(X)))
        return logits.ravel() if self.target_.type == "binary" else logits

    def predict_proba(self, X):
        """Probabilities: the logistic function of what `decision_function` returns.

        They can be read as frequencies where they are calibrated on held-out documents, as
        `calibrate` says.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_labels)
            For a 1-D y (n_samples, n_classes), with rows that sum to 1.
        """
        blocks = list(self._logit_blocks(X))
        return self.target_.probabilities(np.concatenate(blocks))

    def predict(self, X):
        """Predict the labels above `threshold_`; for a 1-D y the best class.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array or sparse matrix of shape (n_samples, n_labels), or array of (n_samples,)
            Sparse where y was.
        """
        decision = self._decision_in_force()
        return self.target_.decode(map(decision.predict, self._logit_blocks(X)))

    def predict_topk(self, X, k=5, weight=None):
        """The best labels of each document, without a dense matrix of all scores.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
        k : int, default=5
            Labels per document.
        weight : {None, "propensity"}, default=None
            "propensity" takes those of the best probability times inverse propensity.

        Returns
        -------
        csr_array of shape (n_samples, n_labels)
            Probabilities of the best k labels of each row, in the order of the columns:
            ``row.indices[np.argsort(-row.data)]`` are the labels of ``row``, the best first.
        """
        check_k(k), check_is_fitted(self)
        worth = label_worth(weight, self.label_counts_, self.n_samples_fit_)
        tops = [top_of_logits(self.decision_, z, k, worth) for z in self._logit_blocks(X)]
        best = sparse.vstack(tops, format="csr")
        best.data = expit(best.data.astype(np.float64))  # in float32 the best would tie at 1
        return best

    def _logit_blocks(self, X):
        """Log-odds, or logits that are not calibrated, of some thousand documents at a time."""
        check_is_fitted(self)
        X, against = self.inputs_.read(X, self), self.log_odds_against_
        for scores in self._score_blocks(self.scorer_, X, self.n_labels_):
            yield self.calibration_.logits(scores, against, self.label_counts_ > 0)

    def _score_blocks(self, scorer, X, n_labels):
        """Scores of checked documents, some thousand at a time."""
        device = self._device()
        for block in gen_batches(X.shape[0], max(1, _SCORES_AT_A_TIME // n_labels)):
            yield scorer.scores(scorer.encode(X[block], device))

    def __getstate__(self):
        """Leave out what only training needs."""
        state = super().__getstate__().copy()
        state.pop("net_", None)
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        wants_tokens = self._wants_tokens()
        tags.input_tags.sparse = not wants_tokens
        tags.input_tags.categorical = tags.input_tags.positive_only = wants_tokens
        tags.classifier_tags.multi_label = True
        return tags
