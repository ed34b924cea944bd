"""What the estimators share when they train a network.

Its first stage, scores of documents that it has not seen, and the cut-offs learned from them.
"""

from __future__ import annotations

from numbers import Real

import numpy as np

from ._networks import fit_network, score_pairs, was_interrupted
from ._validation import must_be
from .base import BaseLongTailClassifier
from .decision import ScoredPairs, fixed_threshold, learn_threshold
from .encoders import FeatureLinear, Training, build_network, initialise_biases
from .model_selection import assign_folds, multilabel_train_test_split

_FOLDS = 3
_FEWEST_STEPS = 200  # of AdamW, where the number of epochs is not given
_FEWEST_TO_TUNE = 10  # documents: with fewer there is nothing to learn a cut-off from
_FEWEST_TO_STOP = 100  # documents in a validation part that early stopping can trust
_ENOUGH_TO_DECIDE = 500  # labels on the validation documents; with fewer, decide out of fold


class NetworkClassifier(BaseLongTailClassifier):
    """Base of estimators whose `_fit` begins with an encoder and a linear head.

    What scores unseen documents is any object with ``encode(X)`` and ``scores(encoded, labels)``,
    the logits (n_samples, n_block) of an array of labels: a `HeadScorer`, say. So there is never
    a matrix of all documents and labels.
    """

    def _spare(self, X, Y, validation, random_state):
        """Split off a validation part, if one is wanted and none was given."""
        spared = self.validation_fraction * X.shape[0]
        wanted = spared >= _FEWEST_TO_STOP if self.early_stopping == "auto" else self.early_stopping
        if validation is not None or not wanted:
            return X, Y, validation
        try:
            rows, held, Y_fit, Y_held = multilabel_train_test_split(
                np.arange(X.shape[0]),
                Y,
                test_size=self.validation_fraction,
                random_state=random_state,
            )
        except ValueError as error:  # too many documents are the only ones of a label
            if self.early_stopping == "auto":
                return X, Y, None
            raise must_be(
                "validation_fraction",
                "small enough that every label keeps a document to train on",
                self.validation_fraction,
                "early_stopping='auto' or False trains on all documents.",
            ) from error
        return X[rows], Y_fit, (X[held], Y_held)

    def _train(self, X, Y, loss, encoder, validation):
        """Train an encoder with a linear head; with a validation part, stop by it if wanted."""
        epochs = self._epochs(encoder, X)
        stop_by = validation if self.early_stopping else None
        return self._train_for(epochs, X, Y, loss, encoder, stop_by, self.callbacks)

    def _epochs(self, encoder, X):
        """Epochs that are given, or suit the encoder; more where documents, so steps, are few."""
        if self.max_epochs != "auto":
            return self.max_epochs
        steps_an_epoch = -(-X.shape[0] // self.batch_size)
        recommended = getattr(encoder, "training", Training()).max_epochs
        return max(recommended, -(-_FEWEST_STEPS // steps_an_epoch))

    def _train_for(self, n_epochs, X, Y, loss, encoder, validation=None, callbacks=None):
        network, loss = build_network(encoder, self._n_inputs, Y.shape[1], X), loss.build(Y)
        initialise_biases(network if isinstance(network, FeatureLinear) else network[-1], loss, Y)
        return fit_network(
            network,
            loss,
            X,
            Y,
            validation=validation,
            max_epochs=n_epochs,
            batch_size=self.batch_size,
            callbacks=callbacks,
            **self._settings(encoder),
        )

    def _settings(self, encoder):
        """Arguments of `train_network` that all trainings of a network share."""
        recommended = getattr(encoder, "training", Training())
        decay = recommended.weight_decay if self.weight_decay == "auto" else self.weight_decay
        return {
            "lr": recommended.lr if self.lr == "auto" else self.lr,
            "weight_decay": decay,
            "patience": self.patience,
            "device": self._device(),
            "linear_decay": recommended.linear_decay,
            "lr_factors": recommended.lr_factors,
            "verbose": self.verbose,
        }

    def _unseen_pairs(self, *args):
        """Scores of the documents of `_unseen`, to learn a decision from.

        Returns
        -------
        ScoredPairs or None
            None where there is nothing to learn, or nothing to learn it from.
        """
        pairs = [score_pairs(*part) for part in self._unseen(*args)]
        return ScoredPairs.concatenate(pairs) if pairs else None

    def _unseen(self, scorer, X, Y, Y_fit, validation, train, random_state):
        """Documents that training has not seen, with what scores them.

        Those of the validation part; out of fold where it is small.

        Parameters
        ----------
        scorer : object with `encode` and `scores`
        Y_fit : csr_array
            The labels that it was trained on.
        train : callable
            From X and Y to another such object.

        Yields
        ------
        scorer, X, Y, Y_fit
            The arguments of `score_pairs`.
        """
        if not self._learns_threshold():
            return
        if validation and validation[1].nnz >= _ENOUGH_TO_DECIDE:
            yield scorer, *validation, Y_fit
        elif not was_interrupted(self.net_):
            for part in self._held_out(Y, random_state):
                fit, held = np.flatnonzero(~part), np.flatnonzero(part)
                yield train(X[fit], Y[fit]), X[held], Y[held], Y[fit]

    def _learns_threshold(self):
        """Whether cut-offs are learned; the best class of a 1-D y needs none."""
        return isinstance(self.threshold, str) and self._target == "multilabel"

    def _held_out(self, Y, random_state):
        """Masks of the documents that are held out in turn; none where there are too few."""
        if Y.shape[0] < _FEWEST_TO_TUNE:
            return []
        folds = assign_folds(Y, _FOLDS, random_state)
        return [folds == fold for fold in range(_FOLDS)]

    def _decide(self, pairs, best=None):
        """Set `threshold_`, from the scores of unseen documents if it is to be learned."""
        counts = self.label_counts_
        if pairs is None or not self._learns_threshold():
            probability = self.threshold if isinstance(self.threshold, Real) else 0.5
            self.threshold_ = fixed_threshold(probability, counts)
        else:
            self.threshold_ = learn_threshold(
                self.threshold, pairs, counts, self.n_samples_fit_, best=best
            )
