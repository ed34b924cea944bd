"""Labelled texts in files: JSON lines, or a text per line and its labels in a second file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch

from .._validation import must_be, warn
from ..labels import parents_from_edges
from ._files import excerpt, find_file, indicator, open_bytes, parts_of, read_lines, read_pairs

_PART_NAMES = {"train": ("train.jsonl", "trn.json"), "test": ("test.jsonl", "tst.json")}
_LABEL_FILE = "lbl.json"  # of folders of the extreme classification repository
_OPENS, _CLOSES = re.compile(rb'(\{\s*"\w+"\s*:\s*)?\['), re.compile(rb"^\]\s*\}?$")
_CLOSES_BEHIND = re.compile(rb"(?<=\})\s*\]\s*\}?$")  # an object; it may also end so itself


class Fields(NamedTuple):
    """Keys of a document, and the labels that row numbers stand for."""

    text: tuple[str, ...] = ("text",)
    labels: str = "labels"
    ids: str = "id"
    rows: Sequence[str] | None = None


_USUAL = Fields()


def load_jsonl(
    path,
    *,
    subset: str = "train",
    target_names: list[str] | None = None,
    text: str | Sequence[str] = "text",
    labels: str = "labels",
    ids: str = "id",
    label_file=None,
) -> Bunch:
    """Read labelled texts, one JSON object per line.

    Parameters
    ----------
    path : str or path-like
        A folder with ``train.jsonl`` and ``test.jsonl``, or ``trn.json`` and ``tst.json`` as in
        the extreme classification repository; or a single such file (then `subset` is without
        effect). Each may be compressed, with the further ending ``.gz``. A folder may also have
        ``hierarchy.tsv`` (child TAB parent) and ``label_names.tsv`` (label TAB name).
    subset : {"train", "test", "all"}, default="train"
        Part to read from a folder; "all" is both, the training part first.
    target_names : list of str, optional
        The labels, one per column of `target`. Others are dropped, and a warning says how many.
        By default they are those of `label_file`, or else, sorted, the labels of the file; in a
        folder those of the training part for both "train" and "test", so that the two have the
        same columns, and those of both parts for "all".
    text : str or sequence of str, default="text"
        Key of the text. Of several keys the texts, empty ones apart, are joined by line feeds.
    labels : str, default="labels"
        Key of the list of labels: strings, or where there is a `label_file` its row numbers,
        counted from 0.
    ids : str, default="id"
        Key of the document's id.
    label_file : str or path-like, default=None
        The labels, one per line: a name, or a JSON object with the keys title and perhaps uid.
        In a folder ``lbl.json`` is taken if it is there.

    Returns
    -------
    Bunch
        - data : list of str, the texts;
        - target : csr_array of int of shape (n_samples, n_labels), the label indicators; a row
          without ones where a document has none of the labels;
        - target_names : list of str, the labels in the order of the columns; of a label file
          the uids, or else the titles, or where these repeat the row numbers;
        - ids : list of str, the documents' ids, or else their line numbers;
        - label_names : list of str, readable names (the label itself where there is none), if
          there is ``label_names.tsv`` or a label file; those of `other_parents` behind them;
        - label_parents : array of int of shape (n_rows,), the row of each label's parent or -1,
          if there is ``hierarchy.tsv``; if a label has several parents, a csr_array of shape
          (n_rows, n_rows) with ones at (child, parent). The first n_labels rows are labels,
          those behind them are of parents that are no labels;
        - other_parents : list of str, these parents.

    Raises
    ------
    ValueError
        If a line is broken, and the message names the file and the line; or if there is no
        document at all.
    FileNotFoundError
        If the part is not in the folder.

    Notes
    -----
    For the raw texts of the repository::

        load_jsonl(folder, text=("title", "content"), labels="target_ind", ids="uid")

    For BioASQ's ``allMeSH.json``, an article on each line of one JSON array::

        load_jsonl(path, text=("title", "abstractText"), labels="meshMajor", ids="pmid")

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
    path, parts = Path(path), parts_of(subset)
    rows, names = _read_labels(path, label_file)
    fields = Fields(_keys(text), _key("labels", labels), _key("ids", ids), rows)
    records = [record for file in _files_of(path, parts) for record in read_jsonl(file, fields)]
    if not records:
        remedy = "Only lines that are not blank count."
        raise must_be(str(path), "of one document at least, a JSON object per line", "none", remedy)
    if target_names is None:
        target_names = rows
    if target_names is None:
        is_test = path.is_dir() and subset == "test"
        source = read_jsonl(_files_of(path, ["train"])[0], fields) if is_test else records
        target_names = sorted({label for _, _, labels in source for label in labels})
    bunch = Bunch(
        data=[text for _, text, _ in records],
        target=_target([labels for _, _, labels in records], target_names),
        target_names=list(target_names),
        ids=[identifier for identifier, _, _ in records],
    )
    return _add_label_files(bunch, path, names)


def load_texts(texts, labels, label_names=None) -> Bunch:
    r"""Read a text per line of one file, and its labels on the same line of a second one.

    Parameters
    ----------
    texts, labels : str or path-like
        The files, in UTF-8, compressed if they end in ``.gz``. Labels are separated by blanks; an
        empty line is a document without labels. So are AAPD's ``text_train`` and
        ``label_train``, and the ``train_texts.txt`` and ``train_labels.txt`` of AttentionXML and
        LightXML.
    label_names : list of str or path-like, default=None
        The labels in the order of the columns, such as the `target_names` of the training part;
        or a file with one of them per line. Others are dropped, and a warning says how many. By
        default they are, sorted, the labels of the file.

    Returns
    -------
    Bunch
        - data : list of str, the texts;
        - target : csr_array of int of shape (n_samples, n_labels), the label indicators;
        - target_names : list of str, the labels in the order of the columns.

    Raises
    ------
    ValueError
        If the files have other numbers of lines, or a line is no text in UTF-8.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from skmltc.datasets import load_texts
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "texts.txt").write_text("on graphs\non sums of graphs\n")
    >>> _ = (folder / "labels.txt").write_text("math.CO\nmath.CO math.NT\n")
    >>> papers = load_texts(folder / "texts.txt", folder / "labels.txt")
    >>> papers.target_names, papers.target.toarray().tolist()
    (['math.CO', 'math.NT'], [[1, 0], [1, 1]])
    """
    data = list(read_lines(Path(texts)))
    label_lists = [line.split() for line in read_lines(Path(labels))]
    if len(data) != len(label_lists):
        raise must_be(str(labels), f"a file of {len(data)} lines, as {texts}", len(label_lists))
    if label_names is None:
        label_names = sorted(set(chain.from_iterable(label_lists)))
    elif isinstance(label_names, str | os.PathLike):
        label_names = _names_by_line(Path(label_names))
    target = _target(label_lists, label_names, "label_names")
    return Bunch(data=data, target=target, target_names=list(label_names))


def _keys(text):
    keys = (text,) if isinstance(text, str) else tuple(text)
    if not keys:
        raise must_be("text", "a key, or a sequence of keys", repr(text))
    return tuple(_key("text", key) for key in keys)


def _key(what, key):
    if not isinstance(key, str):
        raise must_be(what, "a key, a string", repr(key))
    return key


def _files_of(path, parts):
    """Find the files of some parts; a path that is no folder is the file."""
    return [_file_of(path, part) for part in parts] if path.is_dir() else [path]


def _file_of(folder, part):
    found = find_file(folder, *_PART_NAMES[part])
    if found is None:
        raise FileNotFoundError(
            f"path must be a folder with {' or '.join(_PART_NAMES[part])}, or either in .gz. "
            f"Got {str(folder)!r} instead. A single file can be given by its own path."
        )
    return found


def _target(label_lists, target_names, called="target_names"):
    """Label indicators, with a warning for labels that have no column."""
    column_of = {label: column for column, label in enumerate(target_names)}
    if len(column_of) < len(target_names):
        raise must_be(
            called,
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
            f"Labels that are not among {called} were dropped: {len(unknown)} of them (the first: "
            f"{', '.join(unknown[:3])}), {np.count_nonzero(~known)} assignments in all; documents "
            f"without a label now: {n_bare}.",
        )
    return target


def _read_labels(path, label_file):
    """Labels by their rows, and their readable names; None and {} without a label file."""
    if label_file is None and path.is_dir():
        label_file = find_file(path, _LABEL_FILE)
    if label_file is None:
        return None, {}
    lines = _names_by_line(Path(label_file))
    labels = [_parse_label(line, n, label_file) for n, line in enumerate(lines, start=1)]
    titles = [title for _, title in labels]
    for names in ([uid for uid, _ in labels], titles):
        if len(set(names) - {None}) == len(labels):
            return names, dict(zip(names, titles, strict=True))
    numbers = list(map(str, range(len(labels))))
    return numbers, dict(zip(numbers, titles, strict=True))


def _names_by_line(path):
    """The names in a file, one per line; a row number cannot be that of a blank line."""
    lines = list(read_lines(path))
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise must_be(f"Line {number} of {path}", "the name of a label", repr(line))
    return lines


def _parse_label(line, number, path):
    """Uid and title of a label."""
    if not line.startswith("{"):
        return None, line
    record = _parse_json(line)
    if not isinstance(record, dict) or not isinstance(record.get("title"), str):
        expected = 'a name, or a JSON object with "title", a string'
        raise must_be(f"Line {number} of {path}", expected, excerpt(line))
    return (str(record["uid"]) if "uid" in record else None), record["title"]


def _add_label_files(bunch, path, names):
    """Readable names and parents of the labels, from the files of the folder that has them."""
    rows = bunch.target_names
    if (path / "hierarchy.tsv").exists():
        edges = read_pairs(path / "hierarchy.tsv")
        matrix, bunch.other_parents = parents_from_edges(rows, edges)
        bunch.label_parents = _column_of_parents(matrix)
        rows = [*rows, *bunch.other_parents]
    if (path / "label_names.tsv").exists():
        names = dict(read_pairs(path / "label_names.tsv"))
    if names:
        bunch.label_names = [names.get(label, label) for label in rows]
    return bunch


def _column_of_parents(matrix):
    """Row of each row's parent or -1; the matrix where one has several."""
    children, parents = matrix.nonzero()
    if len(np.unique(children)) < len(children):
        return matrix
    label_parents = np.full(matrix.shape[0], -1)
    label_parents[children] = parents
    return label_parents


def read_jsonl(path, fields=_USUAL):
    """Triples (id, text, labels), one per line that is not blank.

    The lines may be the objects of one array: then the first line opens it, and the others end in
    commas.
    """
    in_array = False
    with open_bytes(path) as lines:
        for number, line in enumerate(lines, start=1):
            content = line.strip()
            opens = number == 1 and bool(_OPENS.fullmatch(content))
            in_array = in_array or opens
            if in_array:
                content = b"" if opens else _without_end(content)
            if content:
                yield _parse_record(content, number, path, fields)


def _without_end(line):
    """An object of an array without what separates it from the next, or closes the array."""
    line = _CLOSES.sub(b"", line).removesuffix(b",")
    before = _CLOSES_BEHIND.sub(b"", line)
    return line if before == line or _parse_json(line) is not None else before


def _parse_record(line, number, path, fields):
    record = _parse_json(line)
    text, labels = (None, None) if not isinstance(record, dict) else _contents(record, fields)
    if text is None or labels is None:
        of = record, fields.labels
        by_number = fields.rows is None and _are(int, *of) and not _are(str, *of)
        remedy = "Row numbers of labels need a label_file." if by_number else ""
        raise must_be(f"Line {number} of {path}", _expected(fields), excerpt(line), remedy)
    identifier = record.get(fields.ids)
    return str(number if identifier is None else identifier), text, labels


def _parse_json(line):
    """What stands on a line; None if it is no JSON."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _contents(record, fields):
    """Text and labels; None for what is not as it must be."""
    texts = [record.get(key, 0) for key in fields.text]
    if len(texts) > 1:  # an article without a title is one
        texts = ["" if text is None else text for text in texts]
    is_text = all(isinstance(text, str) for text in texts)
    return "\n".join(filter(None, texts)) if is_text else None, _labels_of(record, fields)


def _labels_of(record, fields):
    if _are(str, record, fields.labels):
        return record[fields.labels]
    if fields.rows is None or not _are(int, record, fields.labels):
        return None
    numbers, n_rows = record[fields.labels], len(fields.rows)
    known = all(0 <= number < n_rows for number in numbers)
    return [fields.rows[number] for number in numbers] if known else None


def _are(kind, record, key):
    """Whether there is a list of such values."""
    values = record.get(key) if isinstance(record, dict) else None
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _expected(fields):
    of_text = " and ".join(f'"{key}"' for key in fields.text)
    kind = "a string" if len(fields.text) == 1 else "strings"
    of_labels = "strings"
    if fields.rows is not None:
        of_labels = f"strings, or of row numbers below {len(fields.rows)}"
    return f'a JSON object with {of_text}, {kind}, and "{fields.labels}", a list of {of_labels}'
