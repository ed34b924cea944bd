"""Labels and documents that come after `fit` to a classifier of several members."""

from __future__ import annotations

from sklearn.utils import Bunch
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._inputs import as_rows
from .._targets import count_labels
from ..decision import check_rows, for_estimators

_SHARE_OF_NEW = 0.7  # of the probability at which labels are cut


class GrowingMembers:
    """What a fitted classifier takes in without being trained again."""

    def add_labels(self, X, Y_new, X_known=None):
        """Learn new labels from a few documents; members' scores of the others stay as they are.

        Nothing is weighed anew: what members say of a label counts as for any other of its
        frequency. Linear members solve the columns of the new labels alone, at the weight decay of
        `fit`, and neighbours take in the documents for the new labels alone. Probabilities of the
        known labels change only in so far as new ones compete with them in a document, or come
        together with them.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
            That came with the new labels, as in `fit`.
        Y_new : array or sparse matrix of shape (n_samples, n_new)
            Indicators of the new labels alone, each with at least one document. They become the
            last columns.
        X_known : list, array or sparse matrix of n_known documents, default=None
            Documents that have none of the new labels, save those that are in X too: for linear
            members, which keep none, and learn from them how frequent a label is. By default
            those that neighbours keep anyway, of "auto" on features and of `from_texts` for
            one; documents that `fit` gave no weight are not among them. To a linear member that
            reads other features than all neighbours, such as parts of words, the documents of
            `fit` have to be given.

        Returns
        -------
        self
            With `members_`, `classes_`, `label_counts_` and `threshold_` extended.
            `n_samples_fit_` rises by the documents that are new.

        Raises
        ------
        ValueError
            If a new label has no document, y of `fit` was not an indicator matrix, or a member
            cannot add labels: of this package's classifiers linear and frozen
            `BalancedLossClassifier`, neighbours and `HeadToTailClassifier` can. The model is then
            as it was before.

        Notes
        -----
        A label comes with a few documents, not with all that there are. With n of them it may be as
        frequent as any label of `fit` with m >= n documents: its probability is the mean over them,
        with log-odds that rise by log(m/n). It is cut at 0.7 of the probability at which labels of
        `fit` with most similarly many documents are, unless a number was given as `threshold`:
        what is best for F1 is half of the F1 that is reached, and of a few documents a label
        reaches less. Which of the known labels the documents in X
        have is not asked for: how often a new label comes together with them is what the model
        itself expects of these documents. Since its context is guessed so far, the log-odds of a
        new label are the mean of those with and without the context. Every call adds a search
        among all documents to the neighbours; labels are best added together.
        """
        check_is_fitted(self, "decision_")
        X = as_rows(X)
        X_known = None if X_known is None else as_rows(X_known, "X_known")
        Y = self.target_.indicators_of_new(Y_new, _num_samples(X))
        scorer = self.scorer_.with_labels(X, Y, X_known)
        share = 1.0 if self.decision_.rule is None else _SHARE_OF_NEW
        decision = self.decision_.extend(self.label_counts_, count_labels(Y), share)
        vars(self).update(self._grown(self.target_.extended(Y.shape[1], Y_new), scorer, decision))
        return self

    def add_documents(self, X, y):
        """Let neighbours keep further documents; nothing is trained again.

        Other members, linear ones too, stay as they are, and so do the weights of what members
        say and the thresholds. A label that had no document so far remains unpredicted: fit again,
        or give such labels to `add_labels` in the first place.

        Parameters
        ----------
        X : list, array or sparse matrix of n_samples documents
            As in `fit`.
        y : array or sparse matrix of shape (n_samples, n_labels), or array of (n_samples,)
            All their labels, as in `fit`.

        Returns
        -------
        self
            With `members_`, `label_counts_` and `n_samples_fit_` that follow.
        """
        check_is_fitted(self, "decision_")
        Y = self.target_.indicators(y)
        X, y = check_rows(X, for_estimators(self.target_, y, Y))
        scorer = self.scorer_.with_documents(X, y, Y)
        vars(self).update(self._grown(self.target_, scorer, self.decision_))
        return self

    @staticmethod
    def _grown(target, scorer, decision):
        """The fitted attributes that follow from a scorer with further labels or documents."""
        members = {member.name: member.estimator for member in scorer.members}
        return {
            **target.attributes,
            "n_labels_": len(scorer.known.counts),
            "label_counts_": scorer.known.counts,
            "n_samples_fit_": scorer.known.n_samples,
            "members_": Bunch(**members),
            "scorer_": scorer,
            "decision_": decision,
        }
