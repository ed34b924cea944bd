"""Linear models of many labels: L-BFGS in float32, every label its own problem, solved in blocks.

Given the label counts, the labels of a linear model are independent. A block of them shares the
matrix products with X, and each label has its own curvature, step and end: most labels are rare and
done after a dozen iterations, where one optimiser over the block would wait for the slowest.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy import sparse
from torch.nn.functional import embedding_bag

from ._thresholds import ScoredPairs, tail_first
from .labels import rarity

_HISTORY = 5  # pairs of L-BFGS
_TOLERANCE = 1e-3  # relative fall of the objective that counts as calm
_CALM_ITERATIONS = 3
_NO_LOSS = 1e-8  # a document; a label on all of them approaches 0, and would never be calm
_ARMIJO, _WOLFE = 1e-4, 0.9
_SEARCH_LABELS = 250  # enough to tell one weight decay from another
_DECISION_LABELS = 1000  # enough to place a cut-off that all labels share
_BLOCK_ELEMENTS = 2**21  # of one work array: several of them then share the cache


class Features:
    """X and its transpose as products on a device, with a column of ones for the intercept.

    Sparse products go through embedding bags, which read each row of the dense factor once and
    with vector instructions (about three times scipy's speed on one core).

    Parameters
    ----------
    X : CSR matrix or float array of shape (n_samples, n_features)
        The features.
    device : str or torch.device, default="cpu"
        Where the products run.
    transpose : bool, default=True
        Whether gradients will be asked for; prediction needs none.
    """

    def __init__(self, X, device="cpu", transpose=True):
        self.n_samples, self.n_weights = X.shape[0], X.shape[1] + 1
        self.device = torch.device(device)
        ones = np.ones((X.shape[0], 1), dtype=np.float32)
        if sparse.issparse(X):
            with_ones = sparse.hstack([X, ones], format="csr", dtype=np.float32)
            self.times = _bag(with_ones, self.device)
            if transpose:
                self.transposed_times = _bag(with_ones.T.tocsr(), self.device)
        else:
            dense = torch.from_numpy(np.hstack([X, ones]).astype(np.float32)).to(self.device)
            self.times = dense.matmul
            self.transposed_times = dense.T.matmul


def _bag(matrix, device):
    """The product of a CSR matrix with a dense one, as a function of the latter."""
    index_type = np.int32 if matrix.nnz < 2**31 else np.int64
    arrays = (
        matrix.indices.astype(index_type),
        matrix.indptr.astype(index_type),
        matrix.data.astype(np.float32, copy=False),
    )
    indices, offsets, values = (torch.from_numpy(a).to(device) for a in arrays)
    return lambda factor: embedding_bag(
        indices,
        factor,
        offsets,
        mode="sum",
        per_sample_weights=values,
        include_last_offset=True,
    )


def linear_scores(X, coef, intercept):
    """X @ coef.T + intercept, where a document's scores do not depend on its batch.

    Parameters
    ----------
    X : CSR matrix or float array of shape (n_samples, n_features)
    coef : array of float32 of shape (n_labels, n_features)
        Stored by features (Fortran order), else it is copied.
    intercept : array of shape (n_labels,)

    Returns
    -------
    array of float32 of shape (n_samples, n_labels)
    """
    if not sparse.issparse(X):  # in float64, rounding to float32 hides the order of summation
        return (X.astype(np.float64) @ coef.T.astype(np.float64) + intercept).astype(np.float32)
    # On the CPU, where the weights are: it costs less than to move them for every block.
    weights = torch.from_numpy(np.ascontiguousarray(coef.T))
    return _bag(sparse.csr_array(X), "cpu")(weights).numpy() + intercept


class BlockObjective:
    """Sum over documents of a block's loss, plus weight_decay / 2 |W|^2 without the intercepts.

    Parameters
    ----------
    features : Features
        Of the training documents.
    Y : csr_array of shape (n_samples, n_labels)
        All labels.
    loss : BalancedLoss
        Built for all labels.
    columns : array of int
        The labels of the block.
    weight_decay : float
        Strength of the penalty.
    """

    def __init__(self, features, Y, loss, columns, weight_decay):
        self.features = features
        self.n_samples = Y.shape[0]
        self.targets = torch.from_numpy(Y[:, columns].toarray()).to(features.device)
        self.loss = loss.select(torch.from_numpy(columns).to(features.device))
        self.weight = self.loss.weight(self.targets, loss.label_mass(Y))
        self.weight_decay = weight_decay

    def cells(self, logits):
        """Loss of each label, summed over documents, and the slope of each cell."""
        values, slopes = self.loss.cells(logits, self.targets, self.weight)
        return values.sum(0), slopes

    def penalty(self, W, V):
        """weight_decay <w, v> of each label, intercepts (the last row) left out."""
        return self.weight_decay * _dots(W[:-1], V[:-1])

    def gradient(self, W, slopes):
        gradient = self.features.transposed_times(slopes)  # (n_weights, n_block)
        gradient[:-1].add_(W[:-1], alpha=self.weight_decay)
        return gradient

    def keep(self, columns):
        """Forget the other labels of the block."""
        self.targets = self.targets[:, columns]
        self.loss = self.loss.select(columns)
        if self.weight is not None:
            self.weight = self.weight[..., columns]


def _dots(A, B):
    return (A * B).sum(0)


class BlockLBFGS:
    """L-BFGS of every column of W at once, each with its own step; calm columns drop out.

    Parameters
    ----------
    objective : BlockObjective
        Is narrowed to the columns still at work.
    W : tensor of shape (n_weights, n_block)
        Where to start; the last row holds the intercepts.
    """

    def __init__(self, objective, W):
        self.objective = objective
        self.solution = W.clone()
        self.columns = torch.arange(W.shape[1], device=W.device)
        self.W = W
        self.logits = objective.features.times(W)
        values, slopes = objective.cells(self.logits)
        self.values = values + objective.penalty(W, W) / 2
        self.gradient = objective.gradient(W, slopes)
        self.calm = torch.zeros_like(self.columns)
        self.pairs = []  # (step, change of gradient, 1 / <step, change>) of the last iterations

    def minimise(self, max_iter):
        """Iterate until every column is calm.

        Returns
        -------
        W : tensor of shape (n_weights, n_block)
        n_iter : int
        """
        n_iter = 0
        while len(self.columns) and n_iter < max_iter:
            self._step()
            n_iter += 1
            if (self.calm >= _CALM_ITERATIONS).float().mean() > 0.25:
                self._drop_calm_columns()
        self.solution[:, self.columns] = self.W
        return self.solution, n_iter

    def _step(self):
        direction = self._direction()
        along = self.objective.features.times(direction)
        step, values, slopes = self._search(direction, along)
        fall = (self.values - values) / values.clamp_min(_NO_LOSS * self.objective.n_samples)
        self.calm = torch.where(fall < _TOLERANCE, self.calm + 1, 0)
        moved = direction.mul_(step)
        self.W = self.W + moved
        self.logits = torch.addcmul(self.logits, step, along)
        gradient = self.objective.gradient(self.W, slopes)
        self._remember(moved, gradient - self.gradient)
        self.values, self.gradient = values, gradient

    def _direction(self):
        """The two-loop recursion; a column whose last pair is useless falls back to descent."""
        direction, factors = self.gradient.clone(), []
        for moved, change, inverse in reversed(self.pairs):
            factor = inverse * _dots(moved, direction)
            direction.addcmul_(factor, change, value=-1)
            factors.append(factor)
        direction *= self._initial_scale()
        for (moved, change, inverse), factor in zip(self.pairs, reversed(factors), strict=True):
            direction.addcmul_(factor - inverse * _dots(change, direction), moved)
        return direction.neg_()

    def _initial_scale(self):
        descent = _dots(self.gradient, self.gradient).rsqrt().nan_to_num(posinf=0.0)
        if not self.pairs:
            return descent
        _, change, inverse = self.pairs[-1]
        useful = inverse > 0
        return torch.where(useful, 1 / (inverse * _dots(change, change)), descent)

    def _search(self, direction, along):
        """A step that satisfies the weak Wolfe conditions, by bracketing secants, a column each.

        The logits are linear in the step, so a trial costs no product with X.
        """
        slope = _dots(direction, self.gradient)
        penalty = self.objective.penalty
        penalties = [
            penalty(self.W, self.W),
            penalty(self.W, direction),
            penalty(direction, direction),
        ]
        step = torch.ones_like(slope)
        low, high = torch.zeros_like(step), torch.full_like(step, torch.inf)
        for _ in range(6 if self.pairs else 12):
            values, slopes, trial_slope = self._trial(step, along, penalties)
            too_far = values > self.values + _ARMIJO * step * slope
            too_short = ~too_far & (trial_slope < _WOLFE * slope)
            if not (too_far | too_short).any():
                return step, values, slopes
            high, low = torch.where(too_far, step, high), torch.where(too_short, step, low)
            better = _next_step(step, slope, trial_slope, low, high)
            step = torch.where(too_far | too_short, better, step)
        values, slopes, _ = self._trial(step, along, penalties)
        step = torch.where(values <= self.values, step, 0.0)  # never uphill
        values, slopes, _ = self._trial(step, along, penalties)
        return step, values, slopes

    def _trial(self, step, along, penalties):
        constant, linear, quadratic = penalties
        values, slopes = self.objective.cells(torch.addcmul(self.logits, step, along))
        values = values + constant / 2 + step * linear + step * step * quadratic / 2
        return values, slopes, _dots(slopes, along) + linear + step * quadratic

    def _remember(self, moved, change):
        curvature = _dots(moved, change)
        useful = curvature > 1e-10 * _dots(change, change)
        self.pairs.append((moved, change, torch.where(useful, 1 / curvature, 0.0)))
        del self.pairs[:-_HISTORY]

    def _drop_calm_columns(self):
        self.solution[:, self.columns] = self.W
        keep = torch.nonzero(self.calm < _CALM_ITERATIONS).squeeze(1)
        self.objective.keep(keep)
        for name in ("columns", "W", "logits", "values", "gradient", "calm"):
            setattr(self, name, getattr(self, name)[..., keep])
        self.pairs = [tuple(part[..., keep] for part in pair) for pair in self.pairs]


def _next_step(step, slope, trial_slope, low, high):
    """The secant's step, kept inside the bracket; where it is open, at most ten times further."""
    secant = step * slope / (slope - trial_slope)
    inside = (secant > low) & (secant < high)
    bounded = torch.where(inside, secant, (low + high) / 2)
    bounded = torch.minimum(torch.maximum(bounded, 0.9 * low + 0.1 * high), 0.1 * low + 0.9 * high)
    forward = torch.where(secant > 2 * step, secant, 2 * step).minimum(10 * step)
    return torch.where(high.isinf(), forward, bounded)


def fit_path(features, Y, loss, columns, decays, max_iter):
    """Solve a block for each weight decay in turn, each from the solution of the one before.

    Yields
    ------
    W : tensor of shape (n_weights, n_block)
    n_iter : int
    """
    W = torch.zeros(features.n_weights, len(columns), device=features.device)
    for decay in decays:
        objective = BlockObjective(features, Y, loss, columns, decay)
        W, n_iter = BlockLBFGS(objective, W).minimise(max_iter)
        yield W, n_iter


@torch.no_grad()
def fit_linear(X, Y, loss, weight_decay, *, device="cpu", max_iter=200, n_jobs=None, verbose=0):
    """Fit one linear model a label.

    Parameters
    ----------
    X : CSR matrix or float array of shape (n_samples, n_features)
    Y : csr_array of shape (n_samples, n_labels)
    loss : loss spec
        Built from Y.
    weight_decay : float
        L2 strength against the loss summed over documents.

    Returns
    -------
    coef : array of float32 of shape (n_labels, n_features)
        Zeros for a label without documents.
    intercept : array of float32 of shape (n_labels,)
    n_iter : int
        Most iterations of any label.
    """
    features, loss = Features(X, device), loss.build(Y).to(device)
    weights = np.zeros((X.shape[1] + 1, Y.shape[1]), dtype=np.float32)

    def fit_block(columns):
        W, n_iter = next(fit_path(features, Y, loss, columns, [weight_decay], max_iter))
        weights[:, columns] = W.cpu().numpy()
        return n_iter

    n_iters = _run(fit_block, label_blocks(Y, max(X.shape)), device, n_jobs, verbose, "labels")
    return weights[:-1].T, weights[-1].copy(), max(n_iters, default=0)


@torch.no_grad()
def score_unseen(X, Y, loss, held_out, decays, *, labels, device, max_iter, n_jobs, verbose):
    """Score documents by models fitted on the others, for each weight decay.

    Parameters
    ----------
    X, Y, loss
        As in :func:`fit_linear`; the loss is built from the documents fitted on.
    held_out : array of bool of shape (n_samples,)
        The documents to score.
    decays : list of float
        Strong to weak: each solution starts the next.
    labels : array of bool of shape (n_labels,)
        Which labels to score; those without a document to fit on are left out.

    Returns
    -------
    list of ScoredPairs
        One a weight decay.
    """
    Y_fit, truth = Y[np.flatnonzero(~held_out)], Y[np.flatnonzero(held_out)]
    features = Features(X[np.flatnonzero(~held_out)], device)
    unseen = Features(X[np.flatnonzero(held_out)], device, transpose=False)
    loss = loss.build(Y_fit).to(device)

    def score_block(columns):
        path = fit_path(features, Y_fit, loss, columns, decays, max_iter)
        scores = (unseen.times(W).cpu().numpy() for W, _ in path)
        return [ScoredPairs.from_columns(s, truth[:, columns], columns, Y.shape[1]) for s in scores]

    blocks = label_blocks(Y_fit, max(X.shape), labels)
    if not blocks:
        return [ScoredPairs.empty(Y.shape[1])] * len(decays)
    by_block = _run(score_block, blocks, device, n_jobs, verbose, "labels scored out of fold")
    return [ScoredPairs.concatenate(parts) for parts in zip(*by_block, strict=True)]


def tune(X, Y, loss, parts, decays, shifts, *, every_label=False, **settings):
    """Choose weight decay and logit adjustment on documents that a model has not seen.

    Parameters
    ----------
    X, Y, loss
        As in :func:`fit_linear`.
    parts : list of array of bool of shape (n_samples,)
        The documents held out from each model.
    decays : list of float
        To choose from, strong to weak; searched on some hundred labels of all frequencies.
    shifts : list of float
        Multiples of log(N/n - 1) to choose from.
    every_label : bool, default=False
        Whether every label's scores are wanted, or enough of them for a common cut-off.
    **settings
        device, max_iter, n_jobs and verbose of :func:`fit_linear`.

    Returns
    -------
    weight_decay, shift : float
    pairs : ScoredPairs
        Scores at that weight decay and shift.
    best : float
        Micro-F1 of the best of all shifts, from which the choice keeps within a margin.
    """
    fitted = np.flatnonzero(~np.all(parts, axis=0))  # an official validation part never is
    counts = np.bincount(Y[fitted].indices, minlength=Y.shape[1])
    rare = rarity(counts, len(fitted))
    searched = sample_labels(counts, _SEARCH_LABELS)
    wanted = sample_labels(counts, len(counts) if every_label else _DECISION_LABELS)

    def score_part(part, decays, labels):
        # The loss is a sum over documents: fewer of them want less decay, or scores shrink.
        share = np.count_nonzero(~part) / len(fitted)
        fair = [decay * share for decay in decays]
        return score_unseen(X, Y, loss, part, fair, labels=labels, **settings)

    def score(decays, labels):
        scored = [score_part(part, decays, labels) for part in parts]
        pairs = [ScoredPairs.concatenate(folds) for folds in zip(*scored, strict=True)]
        return dict(zip(decays, pairs, strict=True))

    def choose(by_decay):
        options = {(d, s): p.shifted(s * rare) for d, p in by_decay.items() for s in shifts}
        chosen, _, best = tail_first(options)
        return *chosen, options[chosen], best

    chosen = choose(score(decays, searched))
    return chosen if (searched >= wanted).all() else choose(score(chosen[:1], wanted))


def _run(function, blocks, device, n_jobs, verbose, what):
    """Call the function on every block of labels, several at a time.

    Blocks in parallel beat torch's own threads inside a block, whose many short operations would
    wait for each other; and the result does not depend on how many there are.
    """
    sizes = np.cumsum([len(block) for block in blocks])
    if n_jobs is None:
        n_jobs = 1 if torch.device(device).type == "cuda" else min(torch.get_num_threads(), 8)

    def step(block, done):
        result = function(block)
        if verbose:
            print(f"{what}: {done} of {sizes[-1]}", flush=True)
        return result

    with _one_torch_thread():
        run = Parallel(n_jobs=n_jobs, require="sharedmem")  # blocks write into shared arrays
        return run(delayed(step)(block, done) for block, done in zip(blocks, sizes, strict=True))


@contextmanager
def _one_torch_thread():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def label_blocks(Y, n_rows, labels=None):
    """Labels with documents, the frequent first, in blocks that fit the cache.

    Labels of like frequency take alike many iterations.
    """
    counts = np.bincount(Y.indices, minlength=Y.shape[1])
    if labels is not None:
        counts = np.where(labels, counts, 0)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    size = int(np.clip(_BLOCK_ELEMENTS // max(n_rows, 1), 16, 64))
    return [order[start : start + size] for start in range(0, len(order), size)]


def sample_labels(label_counts, n_wanted):
    """Mark about so many labels of all frequencies, evenly spaced in the order of frequency."""
    order = np.argsort(-np.asarray(label_counts), kind="stable")
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[:: max(1, -(-len(order) // n_wanted))]] = True
    return chosen
