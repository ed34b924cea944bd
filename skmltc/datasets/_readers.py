"""Corpora in files: JSON lines, and the format of the extreme classification repository."""

import gzip
import io
import json
from itertools import chain, islice
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.utils import Bunch

from .._validation import check_choice, must_be, warn
from ..labels import parents_from_edges

SUBSETS = ("train", "test", "all")


def load_jsonl(path, *, subset: str = "train", target_names: list[str] | None = None) -> Bunch:
    """Read labelled texts, one JSON object per line with the keys id, text and labels.

    Parameters
    ----------
    path : str or path-like
        A folder with ``train.jsonl`` and ``test.jsonl``, or a single such file (then `subset`
        is without effect). Either may be compressed, with the ending ``.gz``. A folder may also
        have ``hierarchy.tsv`` (child TAB parent) and ``label_names.tsv`` (label TAB name).
    subset : {"train", "test", "all"}, default="train"
        Part to read from a folder; "all" is both, the training part first.
    target_names : list of str, optional
        The labels, one per column of `target`. Others are dropped, and a warning says how many.
        By default they are, sorted, the labels of the file; in a folder those of the training
        part for both "train" and "test", so that the two have the same columns, and those of
        both parts for "all".

    Returns
    -------
    Bunch
        - data : list of str, the texts;
        - target : csr_array of int of shape (n_samples, n_labels), the label indicators; a row
          without ones where a document has none of the labels;
        - target_names : list of str, the labels in the order of the columns;
        - ids : list of str, the documents' ids, or else their line numbers;
        - label_names : list of str, readable names (the label itself where there is none), if
          there is ``label_names.tsv``;
        - label_parents : array of int of shape (n_labels,), the column of each label's parent or
          -1, if there is ``hierarchy.tsv``; if a label has several parents, a csr_array of
          shape (n_labels, n_labels) with ones at (child, parent).

    Raises
    ------
    ValueError
        If a line is broken, and the message names the file and the line; or if there is no
        document at all.
    FileNotFoundError
        If the part is not in the folder.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from skmltc.datasets import load_jsonl
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "recipes.jsonl"
    >>> record = {"id": "1", "text": "How do I keep milk fresh?", "labels": ["milk", "storage"]}
    >>> _ = path.write_text(json.dumps(record))
    >>> recipes = load_jsonl(path)
    >>> recipes.target_names, recipes.target.toarray()
    (['milk', 'storage'], array([[1, 1]]))
    """
    check_choice("subset", subset, SUBSETS)
    path = Path(path)
    records = list(chain.from_iterable(map(read_jsonl, _files_of(path, subset))))
    if not records:
        remedy = "Only lines that are not blank count."
        raise must_be(str(path), "of one document at least, a JSON object per line", "none", remedy)
    if target_names is None:
        is_test = path.is_dir() and subset == "test"
        source = read_jsonl(_files_of(path, "train")[0]) if is_test else records
        target_names = sorted({label for _, _, labels in source for label in labels})
    bunch = Bunch(
        data=[text for _, text, _ in records],
        target=_target([labels for _, _, labels in records], target_names),
        target_names=list(target_names),
        ids=[identifier for identifier, _, _ in records],
    )
    return _add_label_files(bunch, path)


def _files_of(path, subset):
    """Find the files of a subset; a path that is no folder is the file."""
    if not path.is_dir():
        return [path]
    parts = ("train", "test") if subset == "all" else (subset,)
    files = []
    for part in parts:
        found = [path / f"{part}{end}" for end in (".jsonl.gz", ".jsonl")]
        found = [file for file in found if file.exists()]
        if not found:
            raise FileNotFoundError(
                f"path must be a folder with {part}.jsonl.gz or {part}.jsonl. "
                f"Got {str(path)!r} instead. A single file can be given by its own path."
            )
        files.append(found[0])
    return files


def _target(label_lists, target_names):
    """Label indicators, with a warning for labels that have no column."""
    column_of = {label: column for column, label in enumerate(target_names)}
    if len(column_of) < len(target_names):
        raise must_be(
            "target_names",
            "different labels",
            f"{len(target_names) - len(column_of)} repeated ones",
        )
    rows = np.repeat(np.arange(len(label_lists)), [len(labels) for labels in label_lists])
    labels = list(chain.from_iterable(label_lists))
    columns = np.fromiter((column_of.get(label, -1) for label in labels), dtype=np.int64)
    known = columns >= 0
    target = indicator(rows[known], columns[known], (len(label_lists), len(target_names)))
    if not known.all():
        unknown = sorted({labels[place] for place in np.flatnonzero(~known)})
        n_bare = np.count_nonzero(np.diff(target.indptr)[np.unique(rows[~known])] == 0)
        warn(
            f"{len(unknown)} labels, {np.count_nonzero(~known)} assignments in all, are not among "
            f"target_names and were dropped (the first: {', '.join(unknown[:3])}); "
            f"{n_bare} documents have no label left.",
        )
    return target


def _add_label_files(bunch, folder):
    """Readable names and parents of the labels, from the files of the folder that has them."""
    if (folder / "label_names.tsv").exists():
        names = dict(read_pairs(folder / "label_names.tsv"))
        bunch.label_names = [names.get(label, label) for label in bunch.target_names]
    if (folder / "hierarchy.tsv").exists():
        bunch.label_parents = _label_parents(
            read_pairs(folder / "hierarchy.tsv"), bunch.target_names
        )
    return bunch


def _label_parents(edges, target_names):
    """Parent column of each label or -1; a sparse matrix where a label has several parents."""
    n_labels = len(target_names)
    matrix = parents_from_edges(target_names, edges)[0][:n_labels, :n_labels]
    children, parents = matrix.nonzero()
    if len(np.unique(children)) < len(children):
        return matrix
    label_parents = np.full(n_labels, -1)
    label_parents[children] = parents
    return label_parents


def load_xmc(path) -> Bunch:
    r"""Read a file in the sparse format of the extreme classification repository.

    The first line is ``n_samples n_features n_labels``; each other one is a document,
    ``label,label feature:value feature:value``, numbers counted from 0. A document without
    labels starts with a blank.

    Parameters
    ----------
    path : str or path-like
        The file, compressed if it ends in ``.gz``.

    Returns
    -------
    Bunch
        - data : csr_array of float32 of shape (n_samples, n_features);
        - target : csr_array of int of shape (n_samples, n_labels), the label indicators.

    Raises
    ------
    ValueError
        If a line is broken (the message names it), or if lines are missing.

    References
    ----------
    Bhatia et al., The extreme classification repository,
    http://manikvarma.org/downloads/XC/XMLRepository.html

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from skmltc.datasets import load_xmc
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.txt"
    >>> _ = path.write_text("2 4 3\n0,2 1:0.5 3:2\n 0:1\n")
    >>> tiny = load_xmc(path)
    >>> tiny.target.toarray()
    array([[1, 0, 1],
           [0, 0, 0]])
    """
    data, target = read_xmc(Path(path))
    return Bunch(data=data, target=target)


def indicator(rows, columns, shape):
    """Ones at the given places, repeated ones counted once."""
    places = np.asarray([rows, columns], dtype=np.int32)
    matrix = sparse.csr_array((np.ones(len(rows), dtype=np.int64), places), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def open_bytes(path):
    """Open a file for reading bytes, compressed or not."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")


def read_jsonl(path):
    """Triples (id, text, labels), one per line that is not blank."""
    with open_bytes(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _parse_record(line, number, path)


def _parse_record(line, number, path):
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not _is_record(record):
        raise must_be(
            f"Line {number} of {path}",
            'a JSON object with "text", a string, and "labels", a list of strings',
            _excerpt(line.decode("utf-8", errors="replace")),
        )
    return str(record.get("id", number)), record["text"], record["labels"]


def _is_record(record):
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        return False
    labels = record.get("labels")
    return isinstance(labels, list) and all(isinstance(label, str) for label in labels)


def _excerpt(line):
    return repr(line.strip() if len(line) <= 80 else line[:77].strip() + "...")


def read_pairs(path):
    """Pairs of strings, one per line with a TAB between."""
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        first, tab, second = line.partition("\t")
        if not tab and line.strip():
            raise must_be(f"Line {number} of {path}", "two strings with a TAB", _excerpt(line))
        if tab:
            pairs.append((first, second))
    return pairs


def read_xmc(path):
    """Features and label indicators of a file of the extreme classification repository."""
    with open_bytes(path) as file, io.TextIOWrapper(file, encoding="latin-1") as lines:
        n_samples, n_features, n_labels = _read_xmc_header(lines.readline(), path)
        blocks, n_read = [], 0
        while block := list(islice(lines, min(10_000, n_samples - n_read))):
            blocks.append(_parse_block(block, n_features, n_labels, n_read + 2, path))
            n_read += len(block)
        n_read += sum(bool(line.strip()) for line in lines)
    if n_read != n_samples:
        raise must_be(str(path), f"a file of {n_samples} documents, as line 1 says", n_read)
    return tuple(map(sparse.vstack, zip(*blocks, strict=True)))


def _read_xmc_header(line, path):
    try:
        n_samples, n_features, n_labels = map(int, line.split())
    except ValueError:
        n_samples = 0
    if n_samples < 1:
        expected = "'n_samples n_features n_labels', with a document at least"
        raise must_be(f"Line 1 of {path}", expected, _excerpt(line))
    return n_samples, n_features, n_labels


def _parse_block(lines, n_features, n_labels, first_number, path):
    """Features and label indicators of some lines; the broken line is looked for if one is."""
    try:
        return _parse_lines(lines, n_features, n_labels)
    except ValueError:
        for number, line in enumerate(lines, start=first_number):
            try:
                _parse_lines([line], n_features, n_labels)
            except ValueError:
                expected = (
                    f"'label,label feature:value feature:value' with labels below {n_labels} "
                    f"and features below {n_features}"
                )
                raise must_be(f"Line {number} of {path}", expected, _excerpt(line)) from None
        raise


def _parse_lines(lines, n_features, n_labels):
    """Features and label indicators of some lines; ValueError if they are broken."""
    labels, pairs, n_of_labels, n_of_pairs = [], [], [], []
    for line in lines:
        head, _, tail = line.partition(" ")
        if ":" in head:
            head, tail = "", line
        of_labels = head.split(",") if head.strip() else []
        of_pairs = tail.split()
        labels += of_labels
        pairs += of_pairs
        n_of_labels.append(len(of_labels))
        n_of_pairs.append(len(of_pairs))
    columns, values = _columns_and_values(pairs, n_features)
    ends = np.concatenate([[0], np.cumsum(n_of_pairs)]).astype(np.int32)
    data = sparse.csr_array((values, columns, ends), shape=(len(lines), n_features))
    data.sum_duplicates()
    rows = np.repeat(np.arange(len(lines)), n_of_labels)
    return data, indicator(rows, _columns(labels, n_labels), (len(lines), n_labels))


def _columns_and_values(pairs, n_columns):
    """Column numbers and finite values from strings "number:value"."""
    numbers = " ".join(pairs).replace(":", " ").split()
    if len(numbers) != 2 * len(pairs) or any(pair.count(":") != 1 for pair in pairs):
        raise ValueError("A pair has not two parts.")
    values = np.fromiter(map(float, numbers[1::2]), dtype=np.float32, count=len(pairs))
    if not np.isfinite(values).all():
        raise ValueError("A value is not finite.")
    return _columns(numbers[::2], n_columns), values


def _columns(numbers, n_columns):
    """Column numbers from strings."""
    columns = np.fromiter(map(int, numbers), dtype=np.int32)
    if len(columns) and not 0 <= columns.min() <= columns.max() < n_columns:
        raise ValueError("A number is out of range.")
    return columns
