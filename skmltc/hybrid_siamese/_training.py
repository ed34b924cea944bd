"""How the second network of HSCNN is trained: steps 2 to 4 of the estimator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from sklearn.utils import check_random_state

from .._networks import Plan, Trainer, leave_if_interrupted, seeded_torch
from ..encoders import LR_PARTS
from ._similarity import IndependentTriplets, SiameseNetwork, TripletDocuments, TripletLoss
from ._triplets import draw_independent_triplets, draw_triplets

_TRIPLETS, _TRIPLETS_PER_LABEL = 30_000, 30
_VALIDATION_SHARE = 4  # so many triplets to train on for one to stop by
_COPIED_LR_FACTOR = 0.3  # of what begins trained; the similarity is new
_SETTINGS = ("n_triplets", "triplets_per_document", "sampling", "category_similarity")
_SETTINGS += ("multi_task", "multi_task_weight", "representation_activation", "batch_size")


@dataclass(frozen=True, eq=False)
class SiameseTraining:
    """The settings of an estimator for its second network, resolved once.

    Parameters
    ----------
    trainer : Trainer
        Of the second network.
    n_triplets, triplets_per_document, sampling, category_similarity, multi_task, \
multi_task_weight, representation_activation, batch_size
        As of the estimator.
    """

    trainer: Trainer
    n_triplets: int | str
    triplets_per_document: int | None
    sampling: str
    category_similarity: bool
    multi_task: str | None
    multi_task_weight: float
    representation_activation: str
    batch_size: int

    @classmethod
    def of(cls, estimator, trainer):
        """Take the parameters of an estimator, and the trainer of its single network."""
        settings = {name: getattr(estimator, name) for name in _SETTINGS}
        is_own = estimator.training == "auto" and estimator.lr == "auto"
        n_each = 1 if settings["triplets_per_document"] else estimator.batch_size
        second = trainer.for_epochs(estimator.siamese_epochs)
        second = replace(second, batch_size=n_each, monitor="loss", falls=None)
        return cls(_slower(second) if is_own else second, **settings)

    def train(self, single, loss, documents, seed, unseen=None):
        """Train a network that begins as a copy of the single one.

        Parameters
        ----------
        single : nn.Module
        loss : loss spec
            Of the single network.
        documents : Documents
        seed : int
        unseen : Documents, default=None
            To stop by, if there are several epochs.

        Returns
        -------
        network : SiameseNetwork
            As it began where the documents make no triplet.
        training : SiameseTraining
            The settings to train it as long again.
        """
        n_labels, activation = documents.Y.shape[1], self.representation_activation
        with seeded_torch(seed):
            network = SiameseNetwork(single, n_labels, self.category_similarity, activation)
            dataset = self.draw(documents, self._n_triplets(n_labels), seed)
            if not len(dataset):
                return network, self
            stop_by = self._to_stop_by(unseen, self._n_triplets(n_labels), seed)
            label_loss = loss.build(documents.Y, reduction="none")
            of_triplets = TripletLoss(network.similarity, label_loss, self.multi_task_weight)
            net = self.trainer.train(network, of_triplets, dataset, stop_by, network.parts())
        leave_if_interrupted(net)
        return network, replace(self, trainer=self.trainer.as_before(net))

    def _n_triplets(self, n_labels):
        enough = max(_TRIPLETS, _TRIPLETS_PER_LABEL * n_labels)
        return enough if self.n_triplets == "auto" else self.n_triplets

    def draw(self, documents, n_triplets, seed, has_labels=True):
        """Draw a data set of triplets, with the labels of their documents if these are wanted."""
        how = {"sampling": self.sampling, "random_state": check_random_state(seed)}
        multi_task = self.multi_task if has_labels else None
        if self.triplets_per_document is None:
            triplets = draw_independent_triplets(documents.Y, n_triplets, **how)
            return IndependentTriplets(documents.X, documents.Y, triplets, multi_task)
        shared = {"batch_size": self.batch_size, "per_document": self.triplets_per_document}
        triplets = draw_triplets(documents.Y, n_triplets, **shared, **how)
        return TripletDocuments(documents.X, documents.Y, triplets, multi_task)

    def _to_stop_by(self, unseen, n_triplets, seed):
        """Triplets of held-out documents, a quarter as many; None where they decide nothing."""
        if unseen is None or self.trainer.max_epochs == 1:
            return None
        n_triplets = -(-n_triplets // _VALIDATION_SHARE)
        dataset = self.draw(unseen, n_triplets, seed, has_labels=False)
        return dataset if len(set(dataset.same.tolist())) == 2 else None


def _slower(trainer):
    """What begins as a copy learns at 0.3 of a rate that is recommended."""
    factors = {part: (trainer.lr_factors or {}).get(part, 1.0) for part in LR_PARTS}
    slower = {part: _COPIED_LR_FACTOR * factor for part, factor in factors.items()}
    return replace(trainer, lr_factors=slower)


class HybridPlan(NamedTuple):
    """What training both networks once more, on other documents, needs.

    Parameters
    ----------
    single : Plan
    second : SiameseTraining
    """

    single: Plan
    second: SiameseTraining
