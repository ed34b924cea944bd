"""Measure the rows of a table, and keep them.

    python examples/benchmarks/run.py losses --data FOLDER --seeds 3 --jobs 2

FOLDER has a folder for each data set, with train.jsonl and test.jsonl (or .jsonl.gz), see
skmltc.datasets.load_jsonl. A table is a file of `tables`; `--list` shows its rows, which of them
are kept, and which are stale: measured with other code or another declaration than today's.

Rows that are kept are not measured again, unless they are stale and `--stale` is given. A row
is written when it is finished, so a run that was interrupted goes on where it stopped. Rows whose
data, transformer (a folder as SKMLTC_ENCODER) or class is not there are left out, with a reason.
`--compare BEFORE AFTER` measures nothing, and puts the rows of two files side by side.
"""

import argparse
import itertools
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from bench import rows as kept_rows
from bench.data import Missing
from bench.measure import measure

FAILED = "failed:"
SHOWN = ("total micro", "total macro", "tail macro", "PSP@5")


def tasks_of(table, rows, n_seeds, kept, stale):
    """Rows and seeds that are to be measured, in an order in which they share what they can."""
    known = {kept_rows.key_of(row): row for row in kept}
    every = [(row, seed) for row in rows for seed in range(min(n_seeds, row.seeds or n_seeds))]
    every.sort(key=lambda task: (task[0].dataset, task[0].input, task[0].names, task[0].parents))
    old = [known.get(row.key(seed)) for row, seed in every]
    wanted = [one is None or (stale and kept_rows.is_stale(one, table)) for one in old]
    return sorted(itertools.compress(every, wanted), key=group_of)


def group_of(task):
    """What rows of a rival that differ in the rule alone share: they go to one process."""
    row, seed = task
    return (
        row.dataset,
        row.input,
        row.names,
        row.parents,
        *((row.estimator, row.name, seed) if row.estimator == "LinearSVC" else ("",)),
    )


def groups_of(tasks):
    """Tasks by what they share: those of a group go to one process, one after the other."""
    groups = []
    for task in tasks:
        shared = task[0].estimator == "LinearSVC"
        if shared and groups and group_of(groups[-1][0]) == group_of(task):
            groups[-1].append(task)
        else:
            groups.append([task])
    return groups


def attempt(table, task, *options):
    """Measure a row: the row as it is kept, or why there is none."""
    try:
        return measure(table, *task, *options)
    except Missing as missing:
        return f"left out for want of {missing}"
    except Exception as error:  # hours of other rows should not be lost
        return f"{FAILED} {type(error).__name__}: {error}"


def attempt_all(table, tasks, *options):
    return [attempt(table, task, *options) for task in tasks]


def measured(table, tasks, options):
    """Measure rows, in this process or in several; yields each with what came of it.

    Rows of costs have a process each, one after the other, so that no other row's memory counts.
    """
    folder = options.data.resolve() if options.data else None
    further = (folder, options.quick, options.threads)
    for task in [task for task in tasks if task[0].sizes]:
        with _processes(1) as alone:
            yield task, alone.submit(attempt, table, task, *further).result()
    tasks = [task for task in tasks if not task[0].sizes]
    if options.jobs == 1:
        yield from ((task, attempt(table, task, *further)) for task in tasks)
        return
    with _processes(options.jobs) as pool:
        groups = groups_of(tasks)
        futures = {pool.submit(attempt_all, table, group, *further): group for group in groups}
        try:
            for future in as_completed(futures):
                yield from zip(futures[future], future.result(), strict=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _processes(n):
    """New ones: torch's threads do not survive a fork."""
    return ProcessPoolExecutor(n, mp_context=multiprocessing.get_context("spawn"))


class Progress:
    """How much is done, and how long the rest will take."""

    def __init__(self, tasks, kept, jobs):
        self.start, self.jobs, self.n_tasks = time.perf_counter(), jobs, len(tasks)
        self.left = [row for row, _ in tasks]
        self.taken = {}
        for row in kept:
            self.learn(row)

    def learn(self, row):
        if "fit wall s" in row:
            seconds = row["fit wall s"] + row.get("predict wall s", 0)
            self.taken.setdefault((row["name"], row["dataset"], row["input"]), []).append(seconds)

    def done(self, row, result):
        """Count a row; the line that says so."""
        self.left.remove(row)
        if result is not None:
            self.learn(result)
        return f"[{self.n_tasks - len(self.left)}/{self.n_tasks}, {duration(self.rest())} left]"

    def rest(self):
        """Seconds: what rows of the same name took, and the mean of all for others."""
        means = {key: np.mean(values) for key, values in self.taken.items()}
        other = np.mean(list(means.values())) if means else 0.0
        keys = ((row.name, row.dataset, row.input) for row in self.left)
        return sum(means.get(key, other) for key in keys) / self.jobs


def duration(seconds):
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def title(row, seed):
    variant = ", ".join(f"{name} {value}" for name, value in row.variant.items())
    return (
        f"{row.dataset}, {row.input}: {row.name}{f' ({variant})' if variant else ''}, seed {seed}"
    )


def run(table, options):
    """Measure what is missing of a table; the rows that the file has then."""
    path = options.output or (None if options.quick else kept_rows.RESULTS / f"{table}.jsonl")
    kept = kept_rows.read(path)
    rows = [row for row in kept_rows.rows_of(table) if wanted(row, options)]
    check_any(rows, table)
    tasks = tasks_of(table, rows, options.seeds, kept, options.stale)
    if not tasks:
        print("Every row that was asked for is kept.")
    progress, failed = Progress(tasks, kept, options.jobs), []
    for (row, seed), result in measured(table, tasks, options):
        result, shown = (None, result) if isinstance(result, str) else (result, summary(result))
        failed += [shown] * shown.startswith(FAILED)
        print(progress.done(row, result), f"{title(row, seed)}: {shown}", flush=True)
        if result is not None:
            kept.append(result)
            if path:
                kept_rows.append(path, result)
    if path and path.exists():
        kept_rows.rewrite(path, kept_rows.read(path))
    if failed:
        raise SystemExit(f"{len(failed)} rows failed")
    return kept


def check_any(rows, table):
    """End where the options choose no row."""
    if not rows:
        names = ", ".join(dict.fromkeys(repr(row.name) for row in kept_rows.rows_of(table)))
        raise SystemExit(f"no row of {table} was chosen; their names are {names}; see --list")


def summary(result):
    shown = [name for name in SHOWN if name in result["scores"]]
    scores = ", ".join(f"{n} {100 * result['scores'][n]:.2f}" for n in shown)
    return f"{scores}; {result['fit CPU s']:.1f} CPU s"


def wanted(row, options):
    """Whether a row is among those that the options choose."""
    if options.only and not any(text in title(row, "*") for text in options.only):
        return False
    return (not options.datasets or row.dataset in options.datasets) and (
        not options.rows or row.name in options.rows
    )


def show(table, options):
    """Print the rows of a table, with what is kept of each."""
    kept = kept_rows.read(options.output or kept_rows.RESULTS / f"{table}.jsonl")
    known = {kept_rows.key_of(row): row for row in kept}
    rows = [row for row in kept_rows.rows_of(table) if wanted(row, options)]
    check_any(rows, table)
    for row in rows:
        seeds = [known[row.key(seed)] for seed in range(100) if row.key(seed) in known]
        n_stale = sum(kept_rows.is_stale(one, table) for one in seeds)
        if n_stale or not options.stale:
            print(f"{len(seeds)} kept, {n_stale} stale  {title(row, '*')}{cost(seeds)}")


def cost(rows):
    """What a fit took, where it was measured in CPU seconds."""
    seconds = [row["fit CPU s"] for row in rows if "fit CPU s" in row]
    return f", {np.mean(seconds):.0f} CPU s" if seconds else ""


def compare(before, after):
    """Print the means of the seeds that two files share, in per cent, and differences."""
    print(f"{'':60}{'seeds':>6}" + "".join(f"{name:>26}" for name in SHOWN))
    old, new = ({kept_rows.key_of(row): row["scores"] for row in rows} for rows in (before, after))
    shared = {}
    for key in [key for key in old if key in new]:
        shared.setdefault(key[:-1], []).append(key)
    for variant, keys in shared.items():
        cells = (
            _change([old[k].get(n) for k in keys], [new[k].get(n) for k in keys]) for n in SHOWN
        )
        name = " ".join(part for part in variant if part != "{}")
        print(f"{name:60}{len(keys):>6}" + "".join(f"{cell:>26}" for cell in cells))


def _change(old, new):
    if None in old + new:
        return "-"
    a, b = 100 * np.mean(old), 100 * np.mean(new)
    return f"{a:.2f} -> {b:.2f} ({b - a:+.2f})"


def parser():
    made = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    made.add_argument("table", metavar="TABLE", nargs="?", choices=kept_rows.table_names())
    made.add_argument("--data", metavar="FOLDER", type=Path)
    made.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ... of each row")
    made.add_argument("--quick", action="store_true", help="few documents and epochs; not kept")
    made.add_argument("--jobs", type=int, default=1, help="rows at a time, each in a process")
    made.add_argument(
        "--stale", action="store_true", help="measure stale rows again; list them alone"
    )
    made.add_argument("--list", action="store_true", help="show the rows, and measure nothing")
    made.add_argument("--datasets", nargs="+", help="rows on these alone")
    made.add_argument("--rows", nargs="+", help="rows of these names alone")
    made.add_argument("--only", nargs="+", metavar="TEXT", help="rows with this in --list alone")
    made.add_argument("--output", metavar="ROWS", type=Path, help="by default results/TABLE.jsonl")
    made.add_argument("--threads", type=int, default=1, help="of torch and BLAS in a process")
    made.add_argument("--compare", metavar="ROWS", type=Path, nargs=2)
    return made


def main(arguments=None):
    options = parser().parse_args(arguments)
    if options.compare:
        return compare(*map(kept_rows.read, options.compare))
    if options.table is None:
        return print("\n".join(kept_rows.table_names()))
    return show(options.table, options) if options.list else run(options.table, options)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # what reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
