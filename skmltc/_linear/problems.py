"""Labels and documents as they are solved: on all documents, or on those that matter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from .._validation import must_be, warn
from ..labels import LabelStatistics
from ..losses import LOSSES, SquaredHingeLoss
from .products import DesignMatrix
from .shortlists import Shortlists
from .smooth_shortlists import SmoothShortlists
from .solver import BlockNewton, BlockObjective, SolvedBlock
from .threads import one_torch_thread

_BLOCK_ELEMENTS = 2**19  # of one work array: several of them then share the cache
_MOST_BY_32 = 2**17  # documents or features; of more the arrays of 32 labels take too much memory
_MOST_DENSE = 10_000_000  # weights; beyond them labels are solved on shortlists, and kept sparse
_FEW = 2**14  # numbers of X: doubles then take no time, and spare small problems their rounding
_MOST_GIGABYTES = 2  # of dense weights that a fit makes without a word
_NO_PRIOR = 29.0  # a logit beyond it is that of a label whose documents have no weight


class LinearProblem(NamedTuple):
    """Documents and labels, of which each is solved on all documents.

    Parameters
    ----------
    features : DesignMatrix
    Y : csr_array of shape (n_samples, n_labels)
    loss : BalancedLoss
        Of all labels.
    start : tensor of shape (n_labels,)
        Intercepts of least loss where all weights are 0.
    weights : array of shape (n_samples,), default=None
        How often each document counts; once by default.
    """

    features: DesignMatrix
    Y: sparse.csr_array
    loss: torch.nn.Module
    start: torch.Tensor
    weights: np.ndarray | None = None

    @classmethod
    def of(cls, X, Y, solver, weights=None):
        """Build the loss and the products on the solver's device."""
        is_small = X.shape[0] * X.shape[1] <= _FEW and solver.device == "cpu"
        dtype = torch.float64 if is_small else torch.float32
        features = DesignMatrix(X, solver.device, weights, dtype)
        loss, start = _built(solver.loss, Y, weights, features.dtype)
        return cls(features, Y, loss.to(solver.device), start, weights)

    @property
    def shape(self):
        """Of the weights of all labels, the intercepts last."""
        return self.features.n_weights, self.Y.shape[1]

    @property
    def labels_at_a_time(self):
        """Labels that are solved together."""
        return block_size((self.features.n_samples, self.features.n_weights - 1))

    @torch.no_grad()
    def solve(self, decays, solver, labels):
        """Solve a block of labels for each weight decay in turn, each from the solution before it.

        Parameters
        ----------
        decays : list of float
            Strong to weak.
        solver : Solver
        labels : array of int of shape (n_block,)

        Returns
        -------
        list of SolvedBlock

        Raises
        ------
        ValueError
            If the scores of a label are not finite.
        """
        features, shape = self.features, (self.shape[0], len(labels))
        W = torch.zeros(shape, dtype=features.dtype, device=features.device)
        W[-1] = self.start[torch.from_numpy(labels)].to(W)
        solved = []
        with one_torch_thread():
            for decay in decays:
                objective = self._objective(labels, decay)
                newton = BlockNewton(objective, W, solver.tol)
                W, n_iter, converged = newton.minimise(solver.max_iter)
                _check_finite(W, labels)
                weights = W.float().cpu().numpy()
                solved.append(SolvedBlock(weights, n_iter, int((~converged).sum())))
        return solved

    def _objective(self, labels, decay):
        return BlockObjective(self.features, self.Y, self.loss, labels, decay, self.weights)

    def joined(self, found):
        """Weights of all labels, from pairs of labels and what they are solved to.

        Those of labels without documents are zeros.

        Warns
        -----
        UserWarning
            If they take gigabytes.
        """
        _warn_of_size(self.features.n_weights - 1, self.Y.shape[1])
        weights, n_iter, n_unconverged = np.zeros(self.shape, dtype=np.float32), 0, 0
        for block, solved in found:
            weights[:, block], n_iter = solved.weights, max(n_iter, solved.n_iter)
            n_unconverged += solved.n_unconverged
        return SolvedBlock(weights, n_iter, n_unconverged)


def _built(loss, Y, weights, dtype):
    """The loss of these documents, and the intercepts of least loss where all weights are 0."""
    known = Y if weights is None else LabelStatistics.from_matrix(Y, weights)
    loss = loss.build(known).to(dtype)
    start = loss.prior_logits(Y, weights, dtype)
    return loss, torch.where(start.abs() < _NO_PRIOR, start, 0.0)


def problem_of(X, Y, solver, weights=None):
    """Shortlists where there are very many weights of sparse features; else all rows.

    Shortlists are solved on the CPU, so that a model is the same on every machine. Which kind of
    problem it is matters to nobody else: each can `solve` a block of so many `labels_at_a_time`,
    and what blocks are solved to can be `joined`.
    """
    if not getattr(solver.loss, "clip", True) and len(_frequent(Y, weights)):
        raise must_be(
            f"the loss of a linear model, {solver.loss!r}",
            "one that has a minimum",
            "weights below 0 of the labels on more than half of the documents, in the columns "
            f"{_frequent(Y, weights).tolist()}",
            "Use clip=True; or a network, which trains with it, and which must not begin as a "
            "linear model: encoder=BagEncoder((256,), start='random').",
        )
    if not _are_shortlisted(X, Y, solver.loss):
        return LinearProblem.of(X, Y, solver, weights)
    documents = Shortlists.of(X, Y, weights)
    if isinstance(solver.loss, SquaredHingeLoss):
        return documents
    loss, starts = _built(solver.loss, Y, weights, torch.float32)
    return SmoothShortlists.of(documents, loss, starts.numpy())


def _frequent(Y, weights):
    """Columns of labels on more than half of the documents."""
    return np.flatnonzero(LabelStatistics.from_matrix(Y, weights).log_odds_against < 0)


def _are_shortlisted(X, Y, loss):
    """Whether labels are solved on the documents that matter for them.

    Weights below 0 are for the minimum on all documents, where there is none.
    """
    is_known = type(loss) in LOSSES.values() and getattr(loss, "clip", True)
    are_many = sparse.issparse(X) and X.shape[1] * Y.shape[1] > _MOST_DENSE
    return is_known and are_many


def block_size(shape):
    """Labels that are solved together, so that their work arrays fit the cache.

    Products with half of 32 labels take hardly less time than those with 32. A power of two: the
    blocks of a scorer that is asked for 64 labels at a time are then those of a fit, and their
    weights are equal to the last bit.
    """
    longest = max(*shape, 1)
    if longest > _MOST_BY_32:
        return 16
    return 64 if 64 * longest <= _BLOCK_ELEMENTS else 32


def _check_finite(weights, labels):
    infinite = ~torch.isfinite(weights).all(dim=0).cpu().numpy()
    if infinite.any():
        raise must_be(
            "the scores of every label",
            "finite",
            f"infinite ones or NaN in {infinite.sum()} of {len(labels)} labels (divergence)",
            "Scale the columns of X: sklearn.preprocessing.MaxAbsScaler or "
            "StandardScaler(with_mean=False).",
        )


def _warn_of_size(n_features, n_labels):
    gigabytes = 4e-9 * n_features * n_labels
    if gigabytes > _MOST_GIGABYTES:
        warn(
            f"The weights of {n_labels} labels by {n_features} features take {gigabytes:.1f} GB of "
            "memory, and every label is solved on all documents. Sparse X (TfidfVectorizer) takes "
            "megabytes and a fraction of the time with any loss of skmltc.losses, weighted_bce "
            "with clip=False excepted."
        )
