"""Linear models of many labels, fitted in blocks side by side."""

import numpy as np
import pytest
from joblib import Parallel, effective_n_jobs, parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmltc._linear.models import Solver, fit_linear
from skmltc._linear.scorers import LazyLinearScorer
from skmltc._linear.weight_decay import select_weight_decay
from skmltc._targets import count_labels
from skmltc.decision import HeldOut, ScoredPairs
from skmltc.losses import BinaryCrossEntropyLoss, DistributionBalancedLoss, SquaredHingeLoss


@pytest.fixture(scope="module")
def many(make_documents):
    """Forty documents of 300 labels."""
    return make_documents(40, 6, 300)


def fitted_in_parallel(documents, n_jobs):
    """What every parallel task of linear models makes of documents, as numbers."""
    solver = Solver(DistributionBalancedLoss(), 0.1, n_jobs=n_jobs)
    scorer, n_iter = fit_linear(documents.X, documents.Y, solver)
    fit, held = documents[np.arange(25)], documents[np.arange(25, 40)]
    lazy = LazyLinearScorer(fit.X, fit.Y, solver)
    of_fold = ScoredPairs.collect([HeldOut(lazy, fit.Y, held)], n_jobs=n_jobs)
    counts = count_labels(documents.Y)
    decay, pairs = select_weight_decay([(fit, held)], counts, 40, solver, [1.0, 0.1])
    return [scorer.weights, scorer.intercepts, n_iter, decay], [of_fold, pairs]


@pytest.fixture(scope="module")
def one_after_the_other(many):
    return fitted_in_parallel(many, 1)


def test_without_n_jobs_the_context_of_joblib_says_how_many(
    many, one_after_the_other, monkeypatch, assert_same_pairs
):
    asked = []

    class Recorded(Parallel):
        def __call__(self, tasks):
            asked.append(effective_n_jobs(self.n_jobs))
            return super().__call__(tasks)

    monkeypatch.setattr("skmltc._linear.models.Parallel", Recorded)
    for n_jobs, config in ((1, {}), (2, {"n_jobs": 2})):
        with parallel_config(**config):
            numbers, pairs = fitted_in_parallel(many, None)
        assert set(asked) == {n_jobs}
        asked.clear()
        for mine, expected in zip(numbers, one_after_the_other[0], strict=True):
            assert_array_equal(mine, expected)
        for mine, expected in zip(pairs, one_after_the_other[1], strict=True):
            assert_same_pairs(mine, expected)
    assert Solver(None, device="cuda").jobs() == 1  # blocks would wait for each other
    assert Solver(None, device="cuda", n_jobs=2).jobs() == 2


# From Python 3.12 on: other backends have left threads behind.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("backend", ["sequential", "threading", "loky", "multiprocessing"])
def test_fitting_under_any_backend_is_the_same(
    many, one_after_the_other, backend, assert_same_pairs
):
    with parallel_config(backend=backend, n_jobs=2):
        numbers, pairs = fitted_in_parallel(many, 2)
    for mine, expected in zip(numbers, one_after_the_other[0], strict=True):
        assert_array_equal(mine, expected)
    for mine, expected in zip(pairs, one_after_the_other[1], strict=True):
        assert_same_pairs(mine, expected)


@pytest.mark.filterwarnings("ignore:The linear models of")
def test_progress_is_shown_after_some_blocks(capsys, make_documents):
    """Thirty-two of 64 labels."""
    documents, spec = make_documents(20, 4, 2200), BinaryCrossEntropyLoss()
    fit_linear(documents.X, documents.Y, Solver(spec, 1.0, max_iter=1))
    assert capsys.readouterr().out == ""
    fit_linear(documents.X, documents.Y, Solver(spec, 1.0, max_iter=1, verbose=1))
    assert capsys.readouterr().out == "labels: 2048 of 2145\nlabels: 2145 of 2145\n"


def test_a_document_of_weight_two_is_one_twice_where_small_weights_are_dropped(monkeypatch):
    monkeypatch.setattr("skmltc._linear.scorers._FEW_WEIGHTS", 0)
    rng = np.random.RandomState(0)
    sizes = np.repeat([1.0, 0.02], [10, 30])  # the most columns move a score by too little
    X = sparse.csr_array(rng.rand(60, 40) * (rng.rand(60, 40) < 0.15) * sizes, dtype=np.float32)
    Y = sparse.csr_array((rng.rand(60, 3) < 0.3).astype(np.float32))
    times = 1 + (np.arange(60) % 3 == 0) * 3
    rows = np.repeat(np.arange(60), times)
    solver = Solver(SquaredHingeLoss(), 1.0, tol=1e-6, is_pruned=True)
    weighted, _ = fit_linear(X, Y, solver, times.astype(np.float64))
    repeated, _ = fit_linear(X[rows], Y[rows], solver)
    assert sparse.issparse(weighted.weights)
    assert_array_equal(weighted.weights.indices, repeated.weights.indices)
    assert_allclose(weighted.weights.data, repeated.weights.data, atol=1e-5)
    assert_allclose(weighted.intercepts, repeated.intercepts, atol=3e-5)
