"""Fine-tuning as released: the whole network, on documents drawn for the tail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import nn

from .._networks import DocumentDataset, seeded_torch
from .._sampling import draw_documents
from ..encoders import ScaledLinear, head_of
from ..losses import BinaryCrossEntropyLoss
from ._heads import JoinedHeads, LabelHeads

_RELEASED = {"max_epochs": 2, "batch_size": 45, "lr": 1e-4, "weight_decay": 0.0}
_CONSTANT = {"schedule": "constant", "warmup": 0.0, "lr_factors": None, "falls": None}


def tune_as_released(network, start, drawn, trainer, seed):
    """Train encoder and heads for two epochs at 0.0001, by cross-entropy of all labels.

    The scale of the vectors stays apart from the weights, as it was in the training of the head:
    folded into them a step would move logits ten times less. Each member of an ensemble has a loss
    of its own, and the mean of these is minimised; they share the encoder and the head.

    Parameters
    ----------
    network : nn.Sequential
        An encoder and `JoinedHeads`; it is trained in place.
    start : Start
        What the network is joined of.
    drawn : Documents
        A document may be there several times. Without any nothing is trained.
    trainer : Trainer
        Of the head; its optimiser, betas and clipping are taken, and biases are only trained if
        those of the head were.
    seed : int

    Returns
    -------
    network : nn.Sequential
        Of all labels, with the scale in the weights.
    scale : float
    """
    if not len(drawn):
        return network, start.transfer.scale
    encoder, joined = network
    scaled = isinstance(head_of(start.network), ScaledLinear)
    heads = HeadsOfMembers(joined.parts, start.transfer.scale, scaled, trainer.head_bias)
    loss = LossOfMembers(BinaryCrossEntropyLoss().build(drawn.Y))
    with seeded_torch(seed):
        trainer = replace(trainer, **_RELEASED, **_CONSTANT)
        trainer.train(nn.Sequential(encoder, heads), loss, DocumentDataset(drawn.X, drawn.Y))
    return nn.Sequential(encoder, heads.joined()).eval(), heads.scale.item()


def draw_for_tail(documents, labels, n_documents, n_draws, seed):
    """Draw some documents of each of the labels, several times; documents come repeatedly.

    Parameters
    ----------
    documents : Documents
    labels : array of int
    n_documents, n_draws : int
        Documents per label and draw; how many draws.
    seed : int

    Returns
    -------
    Documents
        With all their labels.
    """
    by_label, random_state = documents.Y[:, labels].T.tocsr(), check_random_state(seed)
    draws = [draw_documents(by_label, n_documents, random_state) for _ in range(n_draws)]
    return documents[np.concatenate([draw.indices for draw in draws])]


class HeadsOfMembers(nn.Module):
    """The heads of all labels with the scale apart, and one set of logits for each member.

    Parameters
    ----------
    parts : iterable of LabelHeads
        One of them may have several members; weights that were multiplied by the scale.
    scale : float
    trains_scale : bool
        Whether the scale is learned.
    trains_bias : bool
        Whether the biases are learned.
    """

    def __init__(self, parts, scale, trains_scale, trains_bias):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(float(scale)), requires_grad=trains_scale)
        self.parts = nn.ModuleList(_divided(part, scale) for part in parts)
        for part in self.parts:
            part.bias.requires_grad_(trains_bias)

    def forward(self, vectors):
        """Logits (n_members, batch, n_labels) from vectors (batch, dim)."""
        logits = [part.of_members(self.scale * vectors) for part in self.parts]
        n_members = max(map(len, logits))
        logits = torch.cat([one.expand(n_members, -1, -1) for one in logits], dim=2)
        return logits[..., np.argsort(np.concatenate([part.labels for part in self.parts]))]

    def joined(self):
        """The same heads with the scale in their weights."""
        return JoinedHeads([_divided(part, 1 / self.scale.item()) for part in self.parts])


class LossOfMembers(nn.Module):
    """The mean loss of members, each by its own logits."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, logits, targets):
        targets = targets.to_dense().repeat(len(logits), 1)  # (n_members * batch, n_labels)
        return self.loss.of_indicators(logits.flatten(0, 1), targets)


def _divided(part, scale):
    """Heads whose weights, apart from the biases, are divided by a number."""
    weights = torch.cat([part.weight.detach() / scale, part.bias.detach()], dim=1)
    return LabelHeads(part.labels, weights)
