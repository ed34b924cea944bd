"""Linear models of many labels: fitted in blocks, and the choice of their weight decay."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from .._engines import Shared
from .._products import csr_dot, csr_tensors, dense_dot, sparse_dot
from .._targets import count_documents, count_labels
from .._validation import known_labels, must_be, warn
from ..decision import Candidates, HeldOut, ScoredPairs, adjusted, label_blocks, select_for_tail
from ..distributed import shown
from ..labels import NEVER_LOGIT, LabelStatistics, log_odds_against
from ..losses import LOSSES, SquaredHingeLoss
from .products import DesignMatrix, is_plain
from .shortlists import Shortlists, solve_shortlisted
from .smooth_shortlists import SmoothShortlists
from .solver import BlockLBFGS, BlockObjective, SolvedBlock

_DECAYS = (0.3, 0.1, 0.03, 0.01, 0.003)
_DECAYS_OF_HINGE = (10.0, 5.0, 2.5, 1.0, 0.5)  # 1 / C of C = 0.1, 0.2, 0.4, 1, 2
_SEARCH_LABELS = 250  # enough to tell one weight decay from another
_DECISION_LABELS = 1000  # enough to place a cut-off that all labels share
_BLOCK_ELEMENTS = 2**19  # of one work array: several of them then share the cache
_BLOCKS_AT_A_TIME = 32  # whose weights are in memory twice
_MOST_DENSE = 10_000_000  # weights; beyond them labels are solved on shortlists, and kept sparse
_MOST_GIGABYTES = 2  # of dense weights that a fit makes without a word
_FEW = 2**14  # numbers of X: doubles then take no time, and spare small problems their rounding
_FEW_WEIGHTS = 2**18  # a megabyte: less is not worth dropping any
_LEAST_MOVE = 0.005  # of a score, by a weight that is kept
_SHORT = Shortlists, SmoothShortlists
_NO_PRIOR = 29.0  # a logit beyond it is that of a label whose documents have no weight


class Solver(NamedTuple):
    """How linear models are solved.

    Parameters
    ----------
    loss : loss spec
        Built from the documents fitted on.
    weight_decay : float or None
        Factor of half the squared weights against the loss summed over documents.
    logit_adjustment : float, default=0.0
        tau: scores are raised by tau log(N/n - 1).
    device : str, default="cpu"
    max_iter : int, default=200
        Of L-BFGS; a label needs five to sixty.
    tol : float, default=1e-4
        Relative accuracy of a label's objective.
    n_jobs : int, default=None
        Blocks of labels at a time; None is what joblib's context says, on a GPU one.
    verbose : int, default=0
    is_pruned : bool, default=False
        Whether weights are dropped that hardly move a score.
    """

    loss: object
    weight_decay: float | None = None
    logit_adjustment: float = 0.0
    device: str = "cpu"
    max_iter: int = 200
    tol: float = 1e-4
    n_jobs: int | None = None
    verbose: int = 0
    is_pruned: bool = False

    def run(self, task, blocks, what):
        """Yield what the task makes of every block of labels, several at a time.

        Blocks in parallel beat torch's own threads inside a block, whose many short operations
        would wait for each other; and the result does not depend on how many there are.
        """
        n_done, n_labels = 0, sum(map(len, blocks))
        task = Shared(task)
        with Parallel(self.jobs(), prefer="threads") as parallel:
            for start in range(0, len(blocks), _BLOCKS_AT_A_TIME):
                some = blocks[start : start + _BLOCKS_AT_A_TIME]
                done = parallel(delayed(Shared.call)(task, block) for block in some)
                yield from zip(some, done, strict=True)
                n_done += sum(map(len, some))
                if shown(self.verbose):
                    print(f"{what}: {n_done} of {n_labels}", flush=True)

    def jobs(self):
        """Blocks of labels at a time."""
        if self.n_jobs is not None:
            return self.n_jobs
        on_gpu = torch.device(self.device).type == "cuda"
        return 1 if on_gpu else effective_n_jobs(None)  # Parallel(prefer="threads") forgets it


_threads = threading.RLock()
_one_thread_users, _n_threads_before = 0, 1


@contextmanager
def one_torch_thread():
    """Let torch use one thread for the work of the thread that asks; do not nest it."""
    global _one_thread_users, _n_threads_before
    with _threads:
        n_threads = torch.get_num_threads()  # a new thread keeps what is set after it has asked
        if not _one_thread_users:
            _n_threads_before = n_threads
        _one_thread_users += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _threads:
            _one_thread_users -= 1
            torch.set_num_threads(_n_threads_before)


# ------------------------------------------------------------------------------------ scorers


@dataclass(frozen=True, eq=False)
class LinearScorer:
    """Linear models of all labels.

    Parameters
    ----------
    weights : array or csr_array of float32 of shape (n_features, n_labels)
    intercepts : array of float32 of shape (n_labels,)
    """

    weights: np.ndarray | sparse.csr_array
    intercepts: np.ndarray

    def raised(self, by_label):
        """Add a number to the logits of each label."""
        return replace(self, intercepts=(self.intercepts + by_label).astype(np.float32))

    def without_small_weights(self, X):
        """Keep the weights that can move a score of the documents X by 0.005, if that saves memory.

        The others are most of them where X is sparse and labels are rare, and worth nothing.
        """
        few = self.weights.shape[0] * self.weights.shape[1] <= _FEW_WEIGHTS
        if few or not sparse.issparse(X) or sparse.issparse(self.weights):
            return self
        largest = abs(X).max(axis=0).toarray().astype(np.float32).reshape(-1, 1)
        kept = np.where(np.abs(self.weights) * largest >= _LEAST_MOVE, self.weights, 0)
        weights = sparse.csr_array(kept)
        saves = 2 * weights.nnz < self.weights.size  # an index takes as much as a weight
        return replace(self, weights=weights) if saves else self

    def joined(self, other):
        """The models of these labels, and those of another scorer after them, stored as these."""
        if sparse.issparse(self.weights):
            both = [self.weights, sparse.csr_array(other.weights)]
            weights = sparse.csr_array(sparse.hstack(both))
        else:
            weights = other.weights.toarray() if sparse.issparse(other.weights) else other.weights
            weights = np.hstack([self.weights, weights])
        return LinearScorer(weights, np.append(self.intercepts, other.intercepts))

    def encode(self, X, device):
        """Documents as they are: to move the weights would cost more than the products."""
        return sparse.csr_array(X) if sparse.issparse(X) else X

    @torch.no_grad()
    def scores(self, encoded, labels=None):
        """Logits (n_samples, n_block) of an array of labels, of all by default."""
        weights = self.weights if labels is None else self.weights[:, labels]
        intercepts = self.intercepts if labels is None else self.intercepts[labels]
        if sparse.issparse(weights):
            return sparse_dot(sparse.csr_array(encoded), weights) + intercepts
        weights = torch.from_numpy(weights)
        if sparse.issparse(encoded):
            return csr_dot(*csr_tensors(encoded, "cpu"), weights).numpy() + intercepts
        dense = torch.from_numpy(np.require(encoded, requirements="CW"))  # torch takes no views
        return dense_dot(dense, weights).numpy() + intercepts


class LazyLinearScorer:
    """Linear models that are solved when they are asked for, and not kept.

    So the folds of many labels take the memory of a block.

    Parameters
    ----------
    X : CSR matrix or float array of shape (n_samples, n_features)
    Y : csr_array of shape (n_samples, n_labels)
    solver : Solver
    weights : array of shape (n_samples,), default=None
        How often each document counts; once by default.
    """

    def __init__(self, X, Y, solver, weights=None):
        with known_labels():
            self.problem = problem_of(X, Y, solver, weights)
        self.solver = solver
        self.size = labels_at_a_time(self.problem)

    def encode(self, X, device):
        """Documents as they are."""
        return sparse.csr_array(X) if sparse.issparse(X) else X

    def scores(self, encoded, labels):
        """Logits (n_samples, n_block) of an array of labels."""
        parts = [labels[i : i + self.size] for i in range(0, len(labels), self.size)]
        return np.concatenate([self._scores(encoded, part) for part in parts], axis=1)

    def _scores(self, encoded, labels):
        decays = [self.solver.weight_decay]
        (solved,) = solve(self.problem, decays, self.solver, labels)
        return _scorer(solved.weights, self.problem, self.solver, labels).scores(encoded)


def block_size(shape):
    """Labels that are solved together, so that their work arrays fit the cache.

    A power of two: the blocks of a scorer that is asked for 64 labels at a time are then those of
    a fit, and their weights are equal to the last bit.
    """
    wanted = _BLOCK_ELEMENTS // max(*shape, 1)
    return next((size for size in (64, 32) if size <= wanted), 16)


def labels_at_a_time(problem):
    """Labels that are solved together; of shortlists as many as are scored together."""
    if isinstance(problem, _SHORT):
        return 64
    return block_size((problem.features.n_samples, problem.features.n_weights - 1))


def problem_of(X, Y, solver, weights=None):
    """Shortlists where there are very many weights of sparse features; else all rows.

    Shortlists are solved on the CPU, so that a model is the same on every machine.
    """
    if not _are_shortlisted(X, Y, solver.loss):
        return LinearProblem.of(X, Y, solver, weights)
    documents = Shortlists.of(X, Y, weights)
    if isinstance(solver.loss, SquaredHingeLoss):
        return documents
    loss, starts = _built(solver.loss, Y, weights, torch.float32)
    return SmoothShortlists.of(documents, loss, starts.numpy())


def _are_shortlisted(X, Y, loss):
    """Whether labels are solved on the documents that matter for them.

    Weights below 0 are for the minimum on all documents, where there is none.
    """
    is_known = type(loss) in LOSSES.values() and getattr(loss, "clip", True)
    are_many = sparse.issparse(X) and X.shape[1] * Y.shape[1] > _MOST_DENSE
    return is_known and are_many and is_plain(X)


def solve(problem, decays, solver, labels):
    """Solve a block of labels for each weight decay in turn, as `solve_block` says."""
    if not isinstance(problem, SmoothShortlists):
        one = solve_shortlisted if isinstance(problem, Shortlists) else solve_block
        return one(problem, decays, solver, labels)
    with one_torch_thread():
        return solve_shortlisted(problem, decays, solver, labels)


def _built(loss, Y, weights, dtype):
    """The loss of these documents, and the intercepts of least loss where all weights are 0."""
    known = Y if weights is None else LabelStatistics.from_matrix(Y, weights)
    loss = loss.build(known).to(dtype)
    start = loss.prior_logits(Y, weights, dtype)
    return loss, torch.where(start.abs() < _NO_PRIOR, start, 0.0)


class LinearProblem(NamedTuple):
    """Documents and labels as linear models of every block and weight decay need them.

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


def fit_linear(X, Y, solver, weights=None):
    """Fit one linear model per label.

    Parameters
    ----------
    X : CSR matrix or float array of shape (n_samples, n_features)
    Y : csr_array of shape (n_samples, n_labels)
    solver : Solver
    weights : array of shape (n_samples,), default=None
        How often each document counts in the loss; once by default.

    Returns
    -------
    scorer : LinearScorer
        Of a label without documents the weights are zeros and the intercept is `NEVER_LOGIT`.
    n_iter : int
        Most iterations of any label.

    Raises
    ------
    ValueError
        If the scores of a label are not finite.

    Warns
    -----
    ConvergenceWarning
        If labels need more iterations, or more digits than float32 has.
    UserWarning
        If dense weights take gigabytes.
    """
    problem = problem_of(X, Y, solver, weights)
    if not isinstance(problem, _SHORT):
        _warn_of_size(X.shape[1], Y.shape[1])
    task = partial(_solve_first, problem, [solver.weight_decay], solver)
    blocks = label_blocks(count_labels(Y), labels_at_a_time(problem))
    join = _join_sparse if isinstance(problem, _SHORT) else _join_dense
    W, n_iter, n_unconverged = join(solver.run(task, blocks, "labels"), X, Y)
    if n_unconverged:
        _warn_of_unconverged(n_unconverged, sum(map(len, blocks)), solver)
    scorer = _scorer(W, problem, solver)
    return scorer.without_small_weights(X) if solver.is_pruned else scorer, n_iter


def _solve_first(problem, decays, solver, labels):
    return solve(problem, decays, solver, labels)[0]


def _join_dense(found, X, Y):
    """Weights (n_weights, n_labels), most iterations, and labels that want more."""
    weights, n_iter, n_unconverged = np.zeros((X.shape[1] + 1, Y.shape[1]), dtype=np.float32), 0, 0
    for block, solved in found:
        weights[:, block], n_iter = solved.weights, max(n_iter, solved.n_iter)
        n_unconverged += solved.n_unconverged
    return weights, n_iter, n_unconverged


def _join_sparse(found, X, Y):
    """The same with weights as a csr_array."""
    none = SolvedBlock(sparse.csc_array((X.shape[1] + 1, 1), dtype=np.float32), 0, 0)
    blocks, solved = zip(([0], none), *found, strict=True)
    place = np.zeros(Y.shape[1], dtype=np.int64)  # of labels without documents the first, zeros
    place[np.concatenate(blocks[1:])] = 1 + np.arange(sum(map(len, blocks[1:])))
    weights = sparse.hstack([one.weights for one in solved], format="csc")[:, place]
    n_iter, n_unconverged = max(s.n_iter for s in solved), sum(s.n_unconverged for s in solved)
    return sparse.csr_array(weights), n_iter, n_unconverged


def _warn_of_size(n_features, n_labels):
    gigabytes = 4e-9 * n_features * n_labels
    if gigabytes > _MOST_GIGABYTES:
        warn(
            f"The weights of {n_labels} labels by {n_features} features take {gigabytes:.1f} GB of "
            "memory, and every label is solved on all documents. Sparse X whose columns are of "
            "moderate size (TfidfVectorizer, MaxAbsScaler) takes megabytes and a fraction of the "
            "time with any loss of skmltc.losses, weighted_bce with clip=False excepted."
        )


def _warn_of_unconverged(n_unconverged, n_labels, solver):
    warn(
        f"The linear models of {n_unconverged} of {n_labels} labels did not converge to "
        f"tol={solver.tol:g} within max_iter={solver.max_iter} iterations. Scale the columns of X "
        "(sklearn.preprocessing.MaxAbsScaler, StandardScaler(with_mean=False)), or give a larger "
        "max_iter, tol or weight_decay.",
        ConvergenceWarning,
    )


@torch.no_grad()
def solve_block(problem, decays, solver, labels):
    """Solve a block of labels for each weight decay in turn, each from the solution before it.

    Parameters
    ----------
    problem : LinearProblem
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
    features, Y, loss, start, document_weights = problem
    shape = features.n_weights, len(labels)
    W = torch.zeros(shape, dtype=features.dtype, device=features.device)
    W[-1] = start[torch.from_numpy(labels)].to(W)
    solved = []
    with one_torch_thread():
        for decay in decays:
            objective = BlockObjective(features, Y, loss, labels, decay, document_weights)
            W, n_iter, converged = BlockLBFGS(objective, W, solver.tol).minimise(solver.max_iter)
            _check_finite(W, labels)
            weights = W.float().cpu().numpy()
            solved.append(SolvedBlock(weights, n_iter, int((~converged).sum())))
    return solved


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


def _scorer(W, problem, solver, labels=slice(None)):
    """Take the weights (n_features + 1, n_block) of some labels for a scorer of these."""
    Y, document_weights = problem.Y, problem.weights
    counts = count_labels(Y, document_weights)[labels]
    n_samples = count_documents(Y, document_weights)
    raised = solver.logit_adjustment * log_odds_against(counts, n_samples)
    if sparse.issparse(W):
        weights, last = sparse.csr_array(W[:-1]), W[[-1]].toarray().ravel()
    else:
        weights, last = W[:-1], W[-1]
    intercepts = np.where(counts > 0, last + raised, NEVER_LOGIT)
    return LinearScorer(weights, intercepts.astype(np.float32))


# ------------------------------------------------------------------------------- weight decay


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
    blocks = label_blocks(np.where(labels, count_labels(fit.Y), 0), labels_at_a_time(problem))
    scored = list(solver.run(task, blocks, "labels tried"))
    how = fit.fitted_Y, held.Y, labels, held.weights
    return [
        ScoredPairs.collect_blocks(((b, path[k]) for b, path in scored), *how)
        for k in range(len(decays))
    ]


def _score_block_path(problem, decays, solver, X, labels):
    path = solve(problem, decays, solver, labels)
    return [_scorer(solved.weights, problem, solver, labels).scores(X) for solved in path]


def sample_labels(label_counts, n_wanted):
    """Mark about so many labels of all frequencies, evenly spaced in the order of frequency."""
    order = np.argsort(-np.asarray(label_counts), kind="stable")
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[:: max(1, -(-len(order) // n_wanted))]] = True
    return chosen
