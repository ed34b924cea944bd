"""Measure our default beside tree learners for very many labels, on the same features.

    python examples/benchmarks/rivals.py --data FOLDER --python omikuji=ENV/bin/python ...

A rival is "omikuji", "napkinxc" or "pecos", and has a Python environment of its own, with numpy and
scipy, since they want older versions than we do. These make them; pecos needs no more for trees:

    pip install omikuji "numpy<2" scipy
    pip install napkinxc "numpy<2" scipy
    pip install --no-deps libpecos && pip install "numpy<2" "scipy<1.14" scikit-learn

One that is not given is left out. "skmltc" is always there, in this environment.

For each set of data the features (TF-IDF, as all rows have) and the training labels are written to
a temporary folder. A process per rival, with one thread, trains, predicts the best 20 labels of
each test document, and says what it took; the rankings are scored here. So no cut-off is compared,
which rivals do not learn. Rows are kept in results/rivals.jsonl, and measured again with `--stale`
if what is run here, or for our rows the package, has changed.
"""

import argparse
import inspect
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import sparse

HERE = Path(__file__).parent
MEMORY = runpy.run_path(str(HERE / "bench" / "memory.py"))
K = 20
THREADS = ("OMP", "OPENBLAS", "MKL", "RAYON", "NUMBA")
DATASETS = ("tib-bk", "tib-gnd")


# ------------------------------------------------------- in the environment of a rival


class Ours:
    """The default of this package."""

    packages = ("skmltc", "sklearn", "torch")

    def __init__(self, folder):
        from skmltc import LongTailClassifier

        self.folder, self.model = folder, LongTailClassifier(random_state=0)

    def fit(self, X, Y, text):
        self.model.fit(X, Y)

    def top(self, X, n_labels):
        return self.model.predict_topk(X, k=K)

    def save(self):
        import joblib

        joblib.dump(self.model, self.folder / "model.joblib")


class Omikuji:
    """Bonsai trees as Khandagale et al.: unbalanced, 100 branches, three levels."""

    packages = ("omikuji",)

    def __init__(self, folder):
        import omikuji

        self.folder, self.library = folder, omikuji
        self.how = omikuji.Model.default_hyper_param()
        self.how.cluster_balanced, self.how.cluster_k, self.how.max_depth = False, 100, 3

    def fit(self, X, Y, text):
        self.model = self.library.Model.train_on_data(str(text), self.how, n_threads=1)

    def top(self, X, n_labels):
        found = [self.model.predict(_pairs(X, i), beam_size=10, top_k=K) for i in range(X.shape[0])]
        return _matrix(found, n_labels)

    def save(self):
        self.model.save(str(self.folder))


class NapkinXC:
    """A probabilistic label tree with the library's defaults."""

    packages = ("napkinxc",)

    def __init__(self, folder):
        from napkinxc.models import PLT

        self.folder, self.model = folder, PLT(str(folder), threads=1, seed=0)

    def fit(self, X, Y, text):
        self.model.fit(X, [row.tolist() for row in np.split(Y.indices, Y.indptr[1:-1])])

    def top(self, X, n_labels):
        return _matrix(self.model.predict_proba(X, top_k=K), n_labels)

    def save(self):
        """It was written in `fit`."""


class Pecos:
    """XR-Linear on hierarchical k-means of PIFA vectors, with the library's defaults."""

    packages = ("libpecos",)

    def __init__(self, folder):
        from pecos.xmc import Indexer, LabelEmbeddingFactory
        from pecos.xmc.xlinear.model import XLinearModel

        self.folder, self.indexer = folder, Indexer
        self.embed, self.kind = LabelEmbeddingFactory.create, XLinearModel

    def fit(self, X, Y, text):
        chain = self.indexer.gen(self.embed(Y, X, method="pifa"), threads=1, seed=0)
        self.model = self.kind.train(X, Y, C=chain, threads=1)

    def top(self, X, n_labels):
        return self.model.predict(X, only_topk=K, threads=1)

    def save(self):
        self.model.save(str(self.folder))


RIVALS = {"skmltc": Ours, "omikuji": Omikuji, "napkinxc": NapkinXC, "pecos": Pecos}


def _pairs(X, i):
    """Features of a document, as pairs."""
    part = slice(X.indptr[i], X.indptr[i + 1])
    return list(zip(X.indices[part].tolist(), X.data[part].tolist(), strict=True))


def _matrix(found, n_labels):
    """Lists of (label, score) as a matrix."""
    rows = np.repeat(np.arange(len(found)), list(map(len, found)))
    labels, scores = zip(*(pair for of_document in found for pair in of_document), strict=True)
    shape = len(found), n_labels
    return sparse.csr_matrix((np.float32(scores), (rows, labels)), shape=shape)


def run_rival(name, folder):
    """Train and predict with one rival; rankings and costs are written to the folder."""
    X, Y, X_test = (
        sparse.csr_matrix(sparse.load_npz(folder / f"{part}.npz")) for part in ("X", "Y", "X_test")
    )
    place = folder / name
    place.mkdir()
    rival = RIVALS[name](place)
    costs = {"before MB": MEMORY["resident"]()}
    _, fit = _cost("fit", lambda: rival.fit(X, Y, folder / "train.txt"))
    top, predict = _cost("predict", lambda: rival.top(X_test, Y.shape[1]))
    rival.save()
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    costs |= fit | predict | {"model MB": round(size / MEMORY["MB"], 2)}
    sparse.save_npz(folder / f"{name}_top.npz", sparse.csr_matrix(top))
    found = costs | {"versions": _versions(rival.packages)}
    (folder / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")


def _cost(what, function):
    MEMORY["forget_peak"]()
    cpu, wall = time.process_time(), time.perf_counter()
    result = function()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    costs = {"CPU s": round(cpu, 4), "wall s": round(wall, 4), "MB": MEMORY["peak"]()}
    return result, {f"{what} {name}": value for name, value in costs.items()}


def _versions(packages):
    from importlib.metadata import version

    names = {"sklearn": "scikit-learn"}
    packages = ("numpy", "scipy", *packages)
    return {one: version(names.get(one, one)) for one in packages if one != "skmltc"}


# ------------------------------------------------------------------- in our environment


def export(task, folder):
    """Write features and training labels as matrices, and as text with a line of sizes."""
    from sklearn.datasets import dump_svmlight_file

    X, Y = (sparse.csr_matrix(part) for part in (task.X_train, task.Y_train))
    for name, part in (("X", X), ("Y", Y.astype(np.float32)), ("X_test", task.X_test)):
        sparse.save_npz(folder / f"{name}.npz", sparse.csr_matrix(part))
    filled = np.diff(X.indptr) > 0  # omikuji takes no document without a word
    dump_svmlight_file(X[filled], Y[filled], str(folder / "lines.txt"), multilabel=True)
    sizes = filled.sum(), X.shape[1], Y.shape[1]
    with (folder / "train.txt").open("w", encoding="utf-8") as file:
        file.write(" ".join(map(str, sizes)) + "\n")
        file.write((folder / "lines.txt").read_text(encoding="utf-8"))


def measure(name, python, dataset, task, folder):
    """Run a rival in its environment; the row that is kept of it, None where it failed."""
    from bench.measure import environment

    environ = os.environ | {f"{one}_NUM_THREADS": "1" for one in THREADS}
    command = [python, __file__, "--run", name, str(folder)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name} on {dataset}: {done.stderr.strip()[-2000:]}", flush=True)
        return None
    top = sparse.csr_array(sparse.load_npz(folder / f"{name}_top.npz"))
    costs = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    versions = {"versions": costs.pop("versions")}
    row = key(name, dataset) | marks(name) | {"data": task.hash, "labels": task.Y_train.shape[1]}
    row |= {"documents": [task.Y_train.shape[0], task.Y_test.shape[0]]}
    return row | {"scores": rankings(task, top)} | costs | environment(1) | versions


def rankings(task, top):
    """Precision and propensity-scored precision of the best labels."""
    from skmltc.labels import inverse_propensities
    from skmltc.metrics import precision_at_k, psp_at_k

    worth = inverse_propensities(task.label_counts, task.Y_train.shape[0])
    scores = {f"P@{k}": precision_at_k(task.Y_test, top, k=k) for k in (1, 3, 5)}
    return scores | {f"PSP@{k}": float(psp_at_k(task.Y_test, top, worth, k=k)) for k in (1, 3, 5)}


def key(name, dataset):
    return {"table": "rivals", "name": name, "dataset": dataset, "input": "tfidf", "seed": 0}


def marks(name):
    """What a row depends on: the rival here and what runs it, and ours on the package."""
    from bench.code import hash_of_code, hash_of_text

    parts = RIVALS[name], run_rival, export
    found = {"declared": hash_of_text("".join(map(inspect.getsource, parts)))}
    return found | ({"code": hash_of_code("LongTailClassifier")} if name == "skmltc" else {})


def is_stale(row):
    """Whether a kept row is of another script or package than those of today."""
    return any(row.get(name) != value for name, value in marks(row["name"]).items())


def main(arguments=None):
    options = parser().parse_args(arguments)
    if options.run:
        return run_rival(options.run[0], Path(options.run[1]))
    return measure_all(options)


def measure_all(options):
    """Measure what is not kept, set by set."""
    from bench import rows
    from bench.data import task_of

    path = options.output or rows.RESULTS / "rivals.jsonl"
    known = {rows.key_of(row): row for row in rows.read(path)}
    pythons = {"skmltc": sys.executable, **dict(one.split("=", 1) for one in options.python)}
    for dataset in options.datasets:
        kept = {name: known.get(rows.key_of(key(name, dataset))) for name in pythons}
        wanted = [name for name in pythons if _is_wanted(name, kept[name], options)]
        if not wanted:
            continue
        task = task_of(rows.Row("", dataset, "tfidf", ""), options.data.resolve(), options.quick)
        with tempfile.TemporaryDirectory() as folder:
            export(task, Path(folder))
            for name in wanted:
                row = measure(name, pythons[name], dataset, task, Path(folder))
                if row is not None:
                    print(json.dumps(row), flush=True)
                if row is not None and not options.quick:
                    rows.append(path, row)
    if path.exists() and not options.quick:
        rows.rewrite(path, rows.read(path))


def _is_wanted(name, kept, options):
    if options.rivals and name not in options.rivals:
        return False
    return kept is None or options.quick or (options.stale and is_stale(kept))


def parser():
    made = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    made.add_argument("--data", metavar="FOLDER", type=Path)
    made.add_argument("--python", metavar="RIVAL=PATH", nargs="+", default=[])
    made.add_argument("--datasets", nargs="+", default=DATASETS)
    made.add_argument("--rivals", nargs="+", help="these alone", choices=RIVALS)
    made.add_argument("--output", metavar="ROWS", type=Path)
    made.add_argument("--quick", action="store_true", help="few documents; not kept")
    made.add_argument("--stale", action="store_true", help="measure stale rows again")
    made.add_argument("--run", nargs=2, help=argparse.SUPPRESS)  # in the rival's environment
    return made


if __name__ == "__main__":
    main()
