"""Engines of joblib: other processes make what this one makes, and get large data once."""

from functools import partial
from multiprocessing import forkserver

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from skmltc import BalancedLossClassifier, LongTailClassifier
from skmltc._engines import Shared
from skmltc._linear.models import Solver, fit_linear
from skmltc._linear.products import DesignMatrix
from skmltc.decision import MultilabelThresholdClassifierCV, MultilabelVotingClassifier
from skmltc.losses import BinaryCrossEntropyLoss
from skmltc.model_selection import multilabel_cross_val_predict
from skmltc.neighbors import MultilabelKNeighborsClassifier


@pytest.fixture(scope="module")
def client():
    """Two processes of Dask, started once; both are copies of one that has imported the package."""
    distributed, dask = pytest.importorskip("distributed"), pytest.importorskip("dask")
    forkserver.set_forkserver_preload(["distributed", "skmltc.long_tail"])
    forkserver.ensure_running()
    options = {"n_workers": 2, "threads_per_worker": 1}
    options["scheduler_kwargs"] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        distributed.LocalCluster(host="127.0.0.1", **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def searched(estimator, X, y):
    """Fit a search, and say all that it has found."""
    grid = {"threshold": ["tuned", "frequency"]}
    search = GridSearchCV(estimator, grid, scoring="f1_macro", cv=2, error_score="raise")
    search.fit(X, y)
    found = search.cv_results_["mean_test_score"], search.best_estimator_.threshold_
    return [*found, search.decision_function(X)]


def fitted(estimator, X, y):
    """Fit an estimator, and say what it has learned."""
    estimator.fit(X, y)
    return [estimator.threshold_, estimator.decision_function(X)]


LINEAR = BalancedLossClassifier(random_state=0)
SVC = OneVsRestClassifier(LinearSVC(dual=False))  # without a generator that threads share
FITS = {
    "linear": partial(fitted, LINEAR),
    "long tail": partial(fitted, LongTailClassifier(random_state=0)),
    "neighbours": partial(fitted, MultilabelKNeighborsClassifier()),
    "thresholds": partial(fitted, MultilabelThresholdClassifierCV(SVC, random_state=0)),
    "votes": partial(fitted, MultilabelVotingClassifier([("a", SVC), ("b", LINEAR)])),
    "search": partial(
        searched,
        MultilabelThresholdClassifierCV(
            BalancedLossClassifier(weight_decay=0.1, random_state=0), cv=2, random_state=0
        ),
    ),
    "folds": lambda X, y: [multilabel_cross_val_predict(RidgeClassifier(), X, y, random_state=0)],
}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_processes_of_dask_make_the_same_to_the_last_bit(client, fit, documents):
    X, Y = sparse.csr_array(documents.X), documents.Y
    alone = fit(X, Y)
    before = n_done(client)
    with parallel_config(backend="dask"):
        there = fit(X, Y)
    assert n_done(client) > before  # they have worked
    for mine, expected in zip(there, alone, strict=True):
        assert_array_equal(mine, expected)


def n_done(client):
    """Changes of state of all tasks so far."""
    return client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.transition_log))


class Texts(list):
    """Texts that count how often they are sent; they arrive as a list."""

    n_sent = 0

    def __reduce__(self):
        self.n_sent += 1
        return list, (list(self),)

    __reduce_ex__ = lambda self, protocol: self.__reduce__()  # noqa: E731


MODEL = make_pipeline(TfidfVectorizer(), RidgeClassifier())
OF_TEXTS = {
    "thresholds": MultilabelThresholdClassifierCV(MODEL, random_state=0).fit,
    "votes": MultilabelVotingClassifier([("a", MODEL), ("b", MODEL)]).fit,
    "folds": partial(multilabel_cross_val_predict, MODEL, random_state=0),
}


@pytest.mark.parametrize("fit", OF_TEXTS.values(), ids=OF_TEXTS)
def test_documents_are_sent_to_dask_once_for_all_folds(client, fit, documents):
    texts = Texts(documents.texts)
    with parallel_config(backend="dask"):
        fit(texts, documents.Y)
    assert texts.n_sent == 1


def test_features_are_sent_to_dask_once_for_all_blocks_of_labels(client, monkeypatch):
    made_of, sent = DesignMatrix.__reduce__, []
    monkeypatch.setattr(DesignMatrix, "__reduce__", lambda self: sent.append(1) or made_of(self))
    rng = np.random.RandomState(0)
    X, Y = rng.rand(40, 6).astype(np.float32), sparse.csr_array(rng.rand(40, 300) < 0.2)
    with parallel_config(backend="dask"):
        fit_linear(X, Y.astype(np.float32), Solver(BinaryCrossEntropyLoss(), 1.0))
    assert len(sent) == 1


class Features(sparse.csr_array):
    """Features that count how often they are sent; they arrive as a sparse array."""

    n_sent = 0

    def __reduce__(self):
        self.n_sent += 1
        return sparse.csr_array, ((self.data, self.indices, self.indptr), self.shape)


def test_scattered_features_are_not_sent_with_every_candidate_of_a_search(client, documents):
    X = Features(documents.X)
    search = GridSearchCV(RidgeClassifier(), {"alpha": np.arange(1, 9)}, cv=2, refit=False)
    with parallel_config(backend="dask", scatter=[X]):
        search.fit(X, documents.Y.toarray())
    assert X.n_sent <= 4 and len(search.cv_results_["params"]) == 8  # to two processes


def test_loky_maps_features_to_one_file_for_all_blocks_of_labels():
    X = sparse.csr_array(np.ones((600, 600), dtype=np.float32))
    blocks = np.arange(40)[:, None]
    with parallel_config(backend="loky"):
        solver = Solver(None, n_jobs=2)
        done = solver.run(lambda block: getattr(X.data, "filename", str(block)), blocks, "labels")
        (file,) = {name for _, name in done}
    assert "joblib" in file


def test_what_is_shared_is_called_with_the_arguments_of_a_task():
    task = Shared(partial(divmod, 7))
    assert Parallel()(delayed(Shared.call)(task, k) for k in (2, 4)) == [(3, 1), (1, 3)]
