"""Approximate indices in place of the exact neighbours: what they cost, and what they find.

    pip install pynndescent hnswlib
    python examples/benchmarks/approximate.py --data FOLDER

`MultilabelKNeighborsClassifier(neighbors=...)` takes any object with `fit` and `kneighbors` whose
distances are 1 - cosine; the classes here are two. pynndescent takes sparse TF-IDF as it is, and
hnswlib dense vectors alone: 256 of a truncated SVD of them stand for those of an encoder.

A row is one index on one set: CPU seconds of `fit`, those per query, and the recall of the 50
nearest, against the exact ones among the same vectors. The queries are the test documents. One
small fit goes before, since pynndescent compiles its functions at first use. Rows are kept in
results/approximate.jsonl, and measured again with `--stale` if the index or the exact search has
changed; an index that is not installed is left out.
"""

import argparse
import inspect
import time
from pathlib import Path

import numpy as np
from bench import rows
from bench.code import hash_of_definition, hash_of_text
from bench.costs import of_size
from bench.data import task_of
from bench.measure import environment
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from skmltc.neighbors import CosineNeighbors

K, N_VECTORS, QUICK = 50, 256, 300
SIZES = {"tib-gnd": (23_175,), "made-up, large": (100_000,)}


class NNDescentNeighbors(BaseEstimator):
    """The nearest documents by pynndescent, of sparse or dense vectors."""

    def fit(self, X, y=None):
        from pynndescent import NNDescent

        X = normalize(X)
        X = sparse.csr_matrix(X) if sparse.issparse(X) else X
        self.index_ = NNDescent(X, metric="cosine", n_neighbors=30, random_state=0, n_jobs=1)
        self.index_.prepare()
        return self

    def kneighbors(self, X, n_neighbors=K):
        X = sparse.csr_matrix(X) if sparse.issparse(X) else X
        indices, distances = self.index_.query(X, k=n_neighbors, epsilon=0.2)
        return distances, indices


class HNSWNeighbors(BaseEstimator):
    """The nearest documents by hnswlib, of dense vectors."""

    def fit(self, X, y=None):
        from hnswlib import Index

        self.index_ = Index(space="cosine", dim=X.shape[1])
        self.index_.init_index(max_elements=len(X), M=16, ef_construction=100, random_seed=0)
        self.index_.set_num_threads(1)
        self.index_.add_items(X)
        return self

    def kneighbors(self, X, n_neighbors=K):
        self.index_.set_ef(2 * n_neighbors)
        indices, distances = self.index_.knn_query(X, k=n_neighbors)
        return distances, indices.astype(np.int64)


INDICES = {
    "pynndescent": (NNDescentNeighbors, ("sparse", "dense")),
    "hnswlib": (HNSWNeighbors, ("dense",)),
}


def vectors_of(task, kind):
    """Fitted vectors and queries."""
    if kind == "sparse":
        return task.X_train, task.X_test
    svd = TruncatedSVD(N_VECTORS, random_state=0).fit(task.X_train)
    return tuple(svd.transform(X).astype(np.float32) for X in (task.X_train, task.X_test))


def asked(neighbors, X, queries):
    """Seconds of a fit and of a query, and the neighbours."""
    start = time.process_time()
    neighbors.fit(X)
    fitted = time.process_time()
    indices = neighbors.kneighbors(queries, K)[1]
    seconds = time.process_time() - fitted
    return {"fit CPU s": fitted - start, "query CPU s": seconds / queries.shape[0]}, indices


def recall(found, exact):
    """The share of the exact neighbours that are among those found."""
    pairs = zip(found, exact, strict=True)
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in pairs]))


def measure(task, kind, names):
    """Yield the exact search and every index as name and measured values."""
    X, queries = vectors_of(task, kind)
    exact_costs, exact = asked(CosineNeighbors(), X, queries)
    yield "exact", exact_costs | {"scores": {"recall": 1.0}}
    for name in names:
        make = INDICES[name][0]
        make().fit(X[:QUICK]).kneighbors(queries[:2], 5)  # compiles
        costs, found = asked(make(), X, queries)
        yield name, costs | {"scores": {"recall": recall(found, exact)}}


def installed():
    """The indices that are here."""
    found = []
    for name in INDICES:
        try:
            __import__(name)
        except ImportError:
            print(f"{name} is not installed: left out", flush=True)
        else:
            found.append(name)
    return found


def marks(name):
    """What a row depends on: the index, what asks it, and the exact search."""
    classes = [INDICES[name][0]] if name in INDICES else []
    parts = "".join(map(inspect.getsource, (*classes, vectors_of, asked, recall)))
    code = hash_of_definition("skmltc._cosine", "CosineNeighbors")
    return {"declared": hash_of_text(parts), "code": code}


def is_stale(row):
    """Whether a kept row is of another script or another search than those of today."""
    return any(row.get(name) != value for name, value in marks(row["name"]).items())


def key(name, dataset, documents, kind):
    variant = {"vectors": kind, "documents": documents}
    named = {"table": "approximate", "name": name, "dataset": dataset, "input": "tfidf", "seed": 0}
    return named | {"variant": variant}


def main(arguments=None):
    options = parser().parse_args(arguments)
    path, here = options.output or rows.RESULTS / "approximate.jsonl", environment(1)
    known = {rows.key_of(row): row for row in rows.read(path)}
    ready = installed()
    for dataset, documents, kind in questions(options):
        names = [name for name in ready if kind in INDICES[name][1]]
        keys = [key(name, dataset, documents, kind) for name in ("exact", *names)]
        if all(_is_fresh(known.get(rows.key_of(one)), options) for one in keys):
            continue
        task = task_of(rows.Row("", dataset, "tfidf", ""), options.data.resolve(), options.quick)
        n_labels = task.Y_train.shape[1]
        some = of_size(task, QUICK if options.quick else documents, n_labels, "most frequent")
        for name, values in measure(some, kind, names):
            row = key(name, dataset, documents, kind) | {"queries": some.Y_test.shape[0]}
            print(row | values, flush=True)
            if not options.quick:
                rows.append(path, row | values | here | marks(name))
    if path.exists():
        rows.rewrite(path, rows.read(path))


def questions(options):
    """Sets, their sizes, and kinds of vectors."""
    for dataset in options.datasets:
        for documents in SIZES[dataset]:
            for kind in options.vectors:
                yield dataset, documents, kind


def _is_fresh(row, options):
    return row is not None and not (options.stale and is_stale(row))


def parser():
    made = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    made.add_argument("--data", metavar="FOLDER", type=Path)
    made.add_argument("--datasets", nargs="+", choices=SIZES, default=list(SIZES))
    made.add_argument("--vectors", nargs="+", choices=("sparse", "dense"), default=["sparse"])
    made.add_argument("--output", metavar="ROWS", type=Path)
    made.add_argument("--quick", action="store_true", help="few documents; not kept")
    made.add_argument("--stale", action="store_true", help="measure stale rows again")
    return made


if __name__ == "__main__":
    main()
