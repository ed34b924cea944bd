"""What the classifier of balancing losses does where its models are linear."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from scipy import sparse
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._linear import Solver, fit_linear, select_weight_decay, weight_decays
from .._networks import FrozenScorer, network_scores, seeded_torch
from .._stages import Trained, decides, grown, raise_of_new, read_new_labels, with_known
from .._targets import count_labels
from .._validation import must_be
from .._words import names_of_features, row_of, top_weights
from ..decision import CUT_EACH_LABEL, Documents
from ..model_selection import list_held_out


class FrozenPlan(NamedTuple):
    """The linear model's plan, the encoder in front of it, and the vectors of the documents."""

    solver: Solver
    encoder: nn.Module
    vectors: Documents


class LinearModels:
    """Models of features, or of vectors of an encoder that is not trained, by Newton's method."""

    def _train_on_vectors(self, inputs, loss, train, given, seed):
        """A linear model of the documents' vectors, which are computed once; folds share them."""
        with seeded_torch(seed):
            encoder = inputs.encoder.build(inputs.n_inputs).eval()
        train, given = self._vectors(encoder, train), given and self._vectors(encoder, given)
        trained = self._train_linear(loss, train, given, seed)
        return trained._replace(plan=FrozenPlan(trained.plan, encoder, train))

    def _vectors(self, encoder, documents):
        return replace(documents, X=network_scores(encoder, documents.X, self._device()))

    def _train_linear(self, loss, train, given, seed):
        """Choose the weight decay on held-out documents, then fit on all of them."""
        decay = None if self.weight_decay == "auto" else float(self.weight_decay)
        solver, pairs = self._solver(loss, decay), None
        if self.weight_decay == "auto":
            solver, pairs = self._select_weight_decay(solver, train, given, seed)
        scorer, n_iter = fit_linear(train.X, train.Y, solver, train.weights)
        attributes = {"weight_decay_": solver.weight_decay, "n_iter_": n_iter}
        return Trained(scorer, solver, train.fitted_Y, given, pairs, attributes)

    def _solver(self, loss, decay):
        solver = Solver(loss, decay, self._adjustment(), self._device())
        solver = solver._replace(max_iter=self.max_iter, tol=float(self.tol))
        how = {"n_jobs": self.n_jobs, "verbose": self.verbose, "is_pruned": self._is_member}
        return solver._replace(**how)

    def _select_weight_decay(self, solver, train, given, seed):
        """The solver with a weight decay, and the pairs that a decision can be learned from."""
        held_out = list_held_out(train.Y, seed)
        parts = [(train[fit], train[held]) for fit, held in held_out]
        parts = [(train, given)] if decides(given) else parts
        decays = weight_decays(solver.loss)
        if not parts:
            return solver._replace(weight_decay=decays[len(decays) // 2]), None
        counts = train.counts
        how = {"every_label": self.threshold in CUT_EACH_LABEL, "decides": not self._undecided}
        decay, pairs = select_weight_decay(parts, counts, train.n_samples, solver, decays, **how)
        return solver._replace(weight_decay=decay), pairs

    def _jobs(self):
        return Solver(None, device=self._device(), n_jobs=self.n_jobs).jobs()

    def _has_weights_of_features(self):
        """Whether `top_features` is there: of a linear model of the features, and before `fit`."""
        if not hasattr(self, "inputs_"):
            return True
        return self.inputs_.encoder.is_linear and hasattr(self, "coef_")

    @available_if(_has_weights_of_features)
    def top_features(self, label, feature_names=None, k=10):
        """Find the features (words) of the largest weights for a label.

        Only models of features that Newton's method solves have it.

        Parameters
        ----------
        label : int, str, or a class
            A column number, or a name where y had some (`label_names_`); for a 1-D y a class, of
            two the second.
        feature_names : array of str or fitted transformer, default=None
            Names of the columns of X, or the vectorizer that made it. None is those of a data
            frame, else "x0", "x1", ...
        k : int, default=10
            How many at most.

        Returns
        -------
        dict of str to array
            "feature" and "weight", the largest first: ``pandas.DataFrame`` takes it as it is.

        Raises
        ------
        ValueError
            If there is no such label, or names are not as many as columns.
        """
        check_is_fitted(self)
        known = getattr(self, "feature_names_in_", None)
        names = names_of_features(feature_names, self.n_features_in_, known)
        return top_weights(row_of(self.coef_, self.target_.column(label)), names, k)

    def add_labels(self, X, Y_new, X_known=None):
        """Learn new labels from a few documents; the others keep their scores, to the last bit.

        Linear models solve the columns of the new labels alone, at the weight decay of `fit`;
        networks have to be fitted again. The model keeps no documents: those without the new
        labels are given too, at best all that `fit` had, since the share of a label among them is
        part of what is learned. With fewer the weight decay is as much smaller. Calibrated scores
        are then raised, since a label comes with a few documents, not with all that there are: with
        n of them its log-odds rise by log(m/n), m being the geometric mean of the documents of
        known labels that have n or more.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Documents that came with the new labels, as in `fit`.
        Y_new : array or sparse matrix of shape (n_samples, n_new)
            Indicators of the new labels alone, each with at least one document. They become the
            last columns. A row of zeros is a document without any of them that `fit` did not have.
        X_known : array or sparse matrix of shape (n_known, n_features), default=None
            Further documents that have none of the new labels, save those that are in X too.

        Returns
        -------
        self
            With `classes_`, `label_counts_` and `threshold_` extended: a new label is cut where
            labels of the most similar frequency are. `n_samples_fit_` rises by the documents of X
            that are not in `X_known`.

        Raises
        ------
        ValueError
            If a new label has no document, there is no document without the new labels, y of `fit`
            was not an indicator matrix, or a network was trained.

        Notes
        -----
        The documents' other labels are unknown here, so the losses that weigh a document by all its
        labels ("rebalanced_focal", "distribution_balanced") are those of the new labels alone.
        """
        added = read_new_labels(self, X, Y_new)
        if not hasattr(self, "weight_decay_"):
            remedy = (
                "Fit again with all labels; LongTailClassifier and HeadToTailClassifier add them."
            )
            if self._is_linear_by_batches():
                raise must_be("optimizer", "'newton', to add labels", repr(self.optimizer), remedy)
            raise must_be("encoder", "linear or not trained, to add labels", self.encoder, remedy)
        documents, n_new = with_known(self, added, X_known)
        n_samples = self.n_samples_fit_ + n_new
        if isinstance(self.scorer_, FrozenScorer):
            documents = self._vectors(self.scorer_.encoder, documents)
        loss = self._spec_of("loss") or self._recommended_loss(self.target_)
        decay = self.weight_decay_ * min(1.0, len(documents) / self.n_samples_fit_)
        scorer, n_iter = fit_linear(documents.X, documents.Y, self._solver(loss, decay))
        counts = count_labels(added.Y)
        scorer = scorer.raised(raise_of_new(self, counts, n_samples))
        fitted = grown(self, counts, n_samples, Y_new)
        fitted["n_iter_"] = max(self.n_iter_, n_iter)
        vars(self).update(fitted, scorer_=self.scorer_.joined(scorer))
        return self

    def _is_linear_by_batches(self):
        """Whether Newton's method could have solved what was trained in mini-batches."""
        return self.inputs_.encoder.is_linear or self.inputs_.encoder.is_frozen

    @property
    def coef_(self):
        """Weights of a linear model, float32 of shape (n_labels, n_features)."""
        weights = self.scorer_.weights.T
        return sparse.csr_array(weights) if sparse.issparse(weights) else weights

    @property
    def intercept_(self):
        """Intercepts of a model solved by Newton's method, float32 of shape (n_labels,)."""
        return self.scorer_.intercepts
