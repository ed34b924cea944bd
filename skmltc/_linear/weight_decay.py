"""The choice of the weight decay of linear models, on documents held out."""

from __future__ import annotations

from functools import partial

import numpy as np

from .._targets import count_labels
from .._validation import known_labels
from ..decision import Candidates, HeldOut, ScoredPairs, adjusted, label_blocks, select_for_tail
from ..labels import log_odds_against
from ..losses import SquaredHingeLoss
from .problems import problem_of
from .scorers import LazyLinearScorer, scorer_of

_DECAYS = (0.3, 0.1, 0.03, 0.01, 0.003)
_DECAYS_OF_HINGE = (10.0, 5.0, 2.5, 1.0, 0.5)  # 1 / C of C = 0.1, 0.2, 0.4, 1, 2
_SEARCH_LABELS = 250  # enough to tell one weight decay from another
_DECISION_LABELS = 1000  # enough to place a cut-off that all labels share


def weight_decays(loss):
    """Weight decays to choose from, strong to weak; a hinge's cells do not vanish far away."""
    return _DECAYS_OF_HINGE if isinstance(loss, SquaredHingeLoss) else _DECAYS


def select_weight_decay(
    parts, label_counts, n_samples, solver, decays, *, every_label=False, decides=True
):
    """Choose the weight decay on documents that a model has not seen.

    The models of parts are penalised as much per document as the one of all documents. By the
    criterion of the rule "frequency", whatever rule will be used: the best macro-F1 over
    all decays and logit adjustments, within a margin of the best micro-F1.

    Parameters
    ----------
    parts : list of (Documents, Documents)
        Those to fit on, and those to score.
    label_counts : array of int of shape (n_labels,)
        Training documents of each label, by their weights.
    n_samples : int
        Training documents in all, by their weights.
    solver : Solver
    decays : list of float
        To choose from, strong to weak; searched on some hundred labels of all frequencies.
    every_label : bool, default=False
        Whether pairs of all labels are wanted, or enough of them for a common cut-off.
    decides : bool, default=True
        Whether a decision will be learned of the pairs: else those of the searched labels do.

    Returns
    -------
    weight_decay : float
    pairs : ScoredPairs
        Of the held-out documents at that weight decay.
    """
    against = log_odds_against(label_counts, n_samples)
    searched = sample_labels(label_counts, _SEARCH_LABELS)
    by_part = [_score_path(*part, searched, n_samples, solver, decays) for part in parts]
    by_decay = {
        decay: ScoredPairs.concatenate(pairs)
        for decay, pairs in zip(decays, zip(*by_part, strict=True), strict=True)
    }
    options = {decay: adjusted(pairs, against) for decay, pairs in by_decay.items()}
    keys = [(decay, tau) for decay, taus in options.items() for tau in taus]
    (decay, _), _ = select_for_tail(Candidates(lambda key: options[key[0]][key[1]], keys))
    n_wanted = len(label_counts) if every_label else _DECISION_LABELS
    wanted = sample_labels(label_counts, n_wanted)
    if not decides or (searched >= wanted).all():
        return decay, by_decay[decay]
    held_out = (_fit_lazily(*part, n_samples, solver, decay) for part in parts)
    return decay, ScoredPairs.collect(held_out, wanted, n_jobs=solver.jobs())


def _fit_lazily(fit, held, n_samples, solver, decay):
    (scaled,) = _per_document([decay], fit, n_samples)
    solver = solver._replace(weight_decay=scaled)
    scorer = LazyLinearScorer(fit.X, fit.Y, solver, fit.weights)
    return HeldOut(scorer, fit.fitted_Y, held)


def _per_document(decays, fit, n_samples):
    """The loss is a sum over documents: fewer of them want less decay, or scores shrink."""
    return [decay * fit.n_samples / n_samples for decay in decays]


def _score_path(fit, held, labels, n_samples, solver, decays):
    """Pairs of held-out documents for each weight decay."""
    decays = _per_document(decays, fit, n_samples)
    with known_labels():
        problem = problem_of(fit.X, fit.Y, solver, fit.weights)
    task = partial(_score_block_path, problem, decays, solver, held.X)
    blocks = label_blocks(np.where(labels, count_labels(fit.Y), 0), problem.labels_at_a_time)
    scored = list(solver.run(task, blocks, "labels tried"))
    how = fit.fitted_Y, held.Y, labels, held.weights
    return [
        ScoredPairs.collect_blocks(((b, path[k]) for b, path in scored), *how)
        for k in range(len(decays))
    ]


def _score_block_path(problem, decays, solver, X, labels):
    path = problem.solve(decays, solver, labels)
    return [scorer_of(solved.weights, problem, solver, labels).scores(X) for solved in path]


def sample_labels(label_counts, n_wanted):
    """Mark about so many labels of all frequencies, evenly spaced in the order of frequency.

    Labels without documents are marked as often, beside them: they leave the others as they are.
    """
    order = np.argsort(-np.asarray(label_counts), kind="stable")
    n_known = np.count_nonzero(label_counts)
    step = max(1, -(-n_known // n_wanted))
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[:n_known:step]] = chosen[order[n_known::step]] = True
    return chosen
