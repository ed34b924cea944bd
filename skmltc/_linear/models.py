"""Linear models of many labels: fitted in blocks, scored out of fold, tuned."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch
from joblib import Parallel, delayed

from ..decision import ScoredPairs, select_for_tail
from ..labels import log_odds_against
from .products import DesignMatrix
from .solver import BlockLBFGS, BlockObjective

_SEARCH_LABELS = 250  # enough to tell one weight decay from another
_DECISION_LABELS = 1000  # enough to place a cut-off that all labels share
_BLOCK_ELEMENTS = 2**21  # of one work array: several of them then share the cache


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
    """Fit one linear model per label.

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
    features, loss = DesignMatrix(X, device), loss.build(Y).to(device)
    weights = np.zeros((X.shape[1] + 1, Y.shape[1]), dtype=np.float32)

    def fit_block(columns):
        W, n_iter = next(fit_path(features, Y, loss, columns, [weight_decay], max_iter))
        weights[:, columns] = W.cpu().numpy()
        return n_iter

    n_iters = map_blocks(
        fit_block, label_blocks(Y, max(X.shape)), device, n_jobs, verbose, "labels"
    )
    return weights[:-1].T, weights[-1].copy(), max(n_iters, default=0)


@torch.no_grad()
def score_held_out(X, Y, loss, held_out, decays, *, labels, device, max_iter, n_jobs, verbose):
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
    features = DesignMatrix(X[np.flatnonzero(~held_out)], device)
    unseen = DesignMatrix(X[np.flatnonzero(held_out)], device, transpose=False)
    loss = loss.build(Y_fit).to(device)

    def score_block(columns):
        path = fit_path(features, Y_fit, loss, columns, decays, max_iter)
        scores = (unseen.dot(W).cpu().numpy() for W, _ in path)
        return [ScoredPairs.from_columns(s, truth[:, columns], columns, Y.shape[1]) for s in scores]

    blocks = label_blocks(Y_fit, max(X.shape), labels)
    if not blocks:
        return [ScoredPairs.empty(Y.shape[1])] * len(decays)
    by_block = map_blocks(score_block, blocks, device, n_jobs, verbose, "labels scored out of fold")
    return [ScoredPairs.concatenate(parts) for parts in zip(*by_block, strict=True)]


def select_weight_decay(X, Y, loss, parts, decays, shifts, *, every_label=False, **settings):
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
    rare = log_odds_against(counts, len(fitted))
    searched = sample_labels(counts, _SEARCH_LABELS)
    wanted = sample_labels(counts, len(counts) if every_label else _DECISION_LABELS)

    def score_part(part, decays, labels):
        # The loss is a sum over documents: fewer of them want less decay, or scores shrink.
        share = np.count_nonzero(~part) / len(fitted)
        fold_decays = [decay * share for decay in decays]
        return score_held_out(X, Y, loss, part, fold_decays, labels=labels, **settings)

    def score(decays, labels):
        scored = [score_part(part, decays, labels) for part in parts]
        pairs = [ScoredPairs.concatenate(folds) for folds in zip(*scored, strict=True)]
        return dict(zip(decays, pairs, strict=True))

    def choose(by_decay):
        options = {(d, s): p.shifted(s * rare) for d, p in by_decay.items() for s in shifts}
        chosen, _, best = select_for_tail(options)
        return *chosen, options[chosen], best

    chosen = choose(score(decays, searched))
    return chosen if (searched >= wanted).all() else choose(score(chosen[:1], wanted))


def map_blocks(function, blocks, device, n_jobs, verbose, what):
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
