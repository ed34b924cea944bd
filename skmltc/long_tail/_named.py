"""Members of a classifier as scikit-learn has them: pairs of a name and an estimator."""

from __future__ import annotations

from sklearn.utils import Bunch
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted

from .._inputs import input_kind
from .._validation import check_classifier, must_be
from .._weighting import router_of, weights_of
from ..decision import are_named
from ._texts import default_members


class NamedMembers(_BaseComposition):
    """What a classifier with `estimators`, "auto" or a list of pairs, says and asks of them."""

    def get_params(self, deep=True):
        """Parameters, with those of the members by name."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params):
        """Set parameters, a member's by ``name__parameter``."""
        estimators = params.get("estimators", self.estimators)
        if isinstance(estimators, str) and any("__" in name for name in params):
            remedy = (
                "Name the members to set their parameters: "
                'estimators=[("linear", BalancedLossClassifier(loss="squared_hinge")), '
                '("neighbors", MultilabelKNeighborsClassifier())].'
            )
            raise must_be("estimators", "a list of (name, classifier) pairs", "'auto'", remedy)
        return self._set_params("estimators", **params)

    @property
    def estimators_(self):
        """The fitted members, without dropped ones."""
        check_is_fitted(self, "members_")
        return list(self.members_.values())

    @property
    def named_estimators_(self):
        """The fitted members by name; "drop" for dropped ones."""
        check_is_fitted(self, "members_")
        named = {} if self._is_auto() else dict(self.estimators)
        dropped = {name: one for name, one in named.items() if isinstance(one, str)}
        return Bunch(**dropped | self.members_)

    def _check_members(self):
        """Refuse what is neither "auto" nor a list of named classifiers."""
        self._check_pairs()
        if not self._is_auto():
            self._validate_names([name for name, _ in self.estimators])

    def _check_pairs(self):
        """Refuse what is no list of pairs; scikit-learn asks for tags of members before `fit`."""
        if self._is_auto():
            return
        if not are_named(self.estimators) or not self._kept(None):
            expected = "'auto' or a list of (name, classifier) pairs, not all dropped"
            raise must_be("estimators", expected, repr(self.estimators))
        for name, estimator in self.estimators:
            if isinstance(estimator, str) and estimator == "drop":
                continue
            check_classifier(f"estimator {name!r}", estimator, "a classifier or 'drop'")

    def _is_auto(self):
        return isinstance(self.estimators, str) and self.estimators == "auto"

    def _kept(self, X):
        """Members that are not dropped, with their names."""
        if self._is_auto():
            return self._default_members(input_kind(X))
        return [one for one in self.estimators if not isinstance(one[1], str)]

    def _default_members(self, kind):
        return default_members(kind, device=self.device, n_jobs=self.n_jobs, verbose=self.verbose)

    def _weights_of(self, kept, weights):
        """For each member the weights of the documents; None where it has none."""
        if self._is_auto():
            return [weights] * len(kept)
        names = [name for name, _ in kept]
        return list(weights_of(self, names, weights).values())

    def get_metadata_routing(self):
        """Say who gets `sample_weight`: this, and the members.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
        """
        return router_of(self, {} if self._is_auto() else dict(self._kept(None)))
