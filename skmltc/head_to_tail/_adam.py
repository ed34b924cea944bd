"""AdamTransfer: the transfer as the released code learns it."""

from __future__ import annotations

from math import inf
from numbers import Real

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from .._validation import check_number, must_be


class AdamTransfer(BaseEstimator):
    """Transfer that is learned by some steps of Adam, as the code released with HTTN does it.

    What ``HeadToTailClassifier(transfer=...)`` takes; "adam" names it with its defaults. It
    approaches the least squares of equation 7 from torch's start of a linear layer, by the mean
    squared error: a pass has one step for each of the `n_prototypes` draws, of all head labels at
    once. So few steps end before the optimum.

    Parameters
    ----------
    lr : float, default=0.01
        Learning rate. The released scripts have 0.01 for HTTN, 0.012 where it has attention and
        0.013 for the ensemble.
    passes : int, default=8
        Passes over the draws.
    betas : tuple of two floats, default=(0.9, 0.99)
        Of the running means of gradients and of their squares.

    Examples
    --------
    >>> from skmltc import HeadToTailClassifier
    >>> from skmltc.head_to_tail import AdamTransfer
    >>> model = HeadToTailClassifier(transfer=AdamTransfer(lr=0.012))
    >>> model.set_params(transfer__passes=7).transfer
    AdamTransfer(lr=0.012, passes=7)
    """

    def __init__(self, lr=0.01, passes=8, betas=(0.9, 0.99)):
        self.lr = lr
        self.passes = passes
        self.betas = betas

    def check(self):
        """Raise a ValueError if a value is out of its range."""
        if not _is_in(self.lr, 0, inf) or self.lr == 0:
            raise must_be("lr of AdamTransfer", "a positive number", repr(self.lr))
        check_number("passes of AdamTransfer", self.passes, 1, whole=True)
        is_pair = isinstance(self.betas, tuple | list) and len(self.betas) == 2
        if not is_pair or not all(_is_in(beta, 0, 1) for beta in self.betas):
            raise must_be("betas of AdamTransfer", "two numbers in [0, 1)", repr(self.betas))

    def solve(self, prototypes, weights, start=None):
        """Learn the matrix from prototypes to weights.

        Parameters
        ----------
        prototypes : array of shape (n_draws, n_labels, dim)
        weights : array of shape (n_labels, dim)
        start : array of shape (dim, dim), default=None
            The matrix before the first step; by default torch draws it.

        Returns
        -------
        array of shape (dim, dim)
        """
        transfer = nn.Linear(*2 * [prototypes.shape[-1]], bias=False)
        if start is not None:
            transfer.weight = nn.Parameter(torch.tensor(start))
        targets, betas = torch.as_tensor(weights), tuple(self.betas)
        optimizer = torch.optim.Adam(transfer.parameters(), lr=self.lr, betas=betas)
        for _ in range(self.passes):
            for batch in torch.as_tensor(prototypes):
                optimizer.zero_grad()
                nn.functional.mse_loss(transfer(batch), targets).backward()
                optimizer.step()
        matrix = transfer.weight.detach().numpy().astype(np.float64)
        if not np.isfinite(matrix).all():
            remedy = f"Adam diverged: give a smaller lr than {self.lr:g}."
            raise must_be("The matrix of AdamTransfer", "finite", "NaN or infinity", remedy)
        return matrix


def _is_in(value, lowest, limit):
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number and lowest <= value < limit
