"""The sparse format of the extreme classification repository."""

from __future__ import annotations

import os
from array import array
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import Bunch

from .._validation import must_be
from ._files import excerpt, find_file, indicator, open_bytes, parts_of

_READ_AT_A_TIME = 2**20  # bytes that are parsed together: about what a processor keeps at hand
_DIGITS = 18  # of a number that fits into 64 bits
_ENDS = b"\n,: ."  # what a run of digits may end with
_LABEL, _COLUMN, _BEFORE_POINT, _WHOLE, _BEHIND_POINT, _NOTHING = range(1, 7)


def load_xmc(path, *, subset: str = "train", split=0) -> Bunch:
    r"""Read a file in the sparse format of the extreme classification repository.

    The first line is ``n_samples n_features n_labels``; each other one is a document,
    ``label,label feature:value feature:value``, numbers counted from 0. A document without
    labels starts with a blank.

    Parameters
    ----------
    path : str or path-like
        The file (then `subset` is without effect); or a folder, either with files that end in
        ``train.txt`` and ``test.txt``, or with one that ends in ``_data.txt`` and the row numbers
        of the parts beside it, ``_trSplit.txt`` and ``_tstSplit.txt``. Each may be compressed,
        with the further ending ``.gz``.
    subset : {"train", "test", "all"}, default="train"
        Part to read from a folder; "all" is both, the training part first.
    split : int, path-like or pair (path, int), default=0
        Which documents of the file to take. A path is that of a file of row numbers, counted from
        1, whose order is kept. Such files may hold several splits, one per column: an int (of the
        row numbers in the folder) or the second of the pair is the column, counted from 0.

    Returns
    -------
    Bunch
        - data : csr_array of float32 of shape (n_samples, n_features);
        - target : csr_array of int of shape (n_samples, n_labels), the label indicators.

    Raises
    ------
    ValueError
        If a line is broken (the message names it), if lines are missing, or if the parts of a
        folder have other numbers of features or labels.
    FileNotFoundError
        If the part is not in the folder.

    Notes
    -----
    A million documents of 70 features take some ten seconds, and little more memory than their
    matrices. Numbers with an exponent or more than 18 digits are right, but take five times that.

    References
    ----------
    Bhatia et al., The extreme classification repository,
    http://manikvarma.org/downloads/XC/XMLRepository.html

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from skmltc.datasets import load_xmc
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "tiny_data.txt").write_text("3 4 3\n0,2 1:0.5 3:2\n 0:1\n1 0:3\n")
    >>> load_xmc(folder / "tiny_data.txt").target.toarray()
    array([[1, 0, 1],
           [0, 0, 0],
           [0, 1, 0]])
    >>> _ = (folder / "tiny_trSplit.txt").write_text("3 1\n1 2\n")
    >>> load_xmc(folder, split=1).data.toarray()
    array([[0. , 0.5, 0. , 2. ],
           [1. , 0. , 0. , 0. ]], dtype=float32)
    """
    parts, path = parts_of(subset), Path(path)
    if path.is_dir():
        data, target = _read_folder(path, parts, split)
    else:
        data, target = _take(read_xmc(path), _given_rows(split), path)
    return Bunch(data=data, target=target)


def _read_folder(folder, parts, split):
    """The parts of a folder, one below the other."""
    whole = find_file(folder, "*_data.txt")
    if whole is None:
        _check_unsplit(split, folder)
        read = [read_xmc(_part_of(folder, f"*{part}.txt", part)) for part in parts]
    else:
        _check_column(split)
        names = {"train": "*_trSplit.txt", "test": "*_tstSplit.txt"}
        files = [_part_of(folder, names[part], part) for part in parts]
        matrices = read_xmc(whole)
        read = [_take(matrices, (file, split), whole) for file in files]
    shapes = {tuple(matrix.shape[1] for matrix in matrices) for matrices in read}
    if len(shapes) > 1:
        listed = " and ".join(f"{n} and {m}" for n, m in sorted(shapes))
        raise must_be(str(folder), "of parts with the same features and labels", listed)
    return read[0] if len(read) == 1 else tuple(map(_stack, zip(*read, strict=True)))


def _stack(matrices):
    return sparse.csr_array(sparse.vstack(matrices, format="csr"))


def _part_of(folder, pattern, part):
    found = find_file(folder, pattern)
    if found is None:
        raise FileNotFoundError(
            f"path must be a folder with *_data.txt, whose parts are those of *_trSplit.txt and "
            f"*_tstSplit.txt, or with {pattern} for the part {part!r}; all perhaps with .gz. "
            f"Got {str(folder)!r} instead. A single file can be given by its own path."
        )
    return found


def _check_unsplit(split, folder):
    if split != 0:
        expected = f"left out for {folder}, which has no ..._data.txt to take rows of"
        raise must_be("split", expected, repr(split))


def _check_column(split):
    if not isinstance(split, Integral) or isinstance(split, bool) or split < 0:
        remedy = "A file of row numbers goes with the path of the file that it is of."
        raise must_be("split", "the number of a split, from 0 up, for a folder", split, remedy)


def _given_rows(split):
    """File of row numbers and its column; None for all rows."""
    if isinstance(split, tuple | list):
        if len(split) != 2:
            raise must_be("split", "a pair (path, column)", repr(split))
        _check_column(split[1])
        return Path(split[0]), split[1]
    if isinstance(split, str | os.PathLike):
        return Path(split), 0
    if split is not None and (isinstance(split, bool) or split != 0):
        remedy = "Give the file of row numbers: split=(path, column)."
        raise must_be("split", "a path or a pair (path, column) for a single file", split, remedy)
    return None


def _take(matrices, rows, path):
    """The rows that a file names of matrices; all for None."""
    if rows is None:
        return matrices
    numbers = _read_rows(*rows, matrices[0].shape[0], path)
    return tuple(matrix[numbers] for matrix in matrices)


def _read_rows(file, column, n_samples, path):
    """Row numbers from 0 up, of a file that counts them from 1."""
    numbers = []
    with open_bytes(file) as lines:
        for place, line in enumerate(lines, start=1):
            fields = line.split()
            if not fields:
                continue
            if column >= len(fields):
                remedy = "Columns count from 0: split=0 is the first."
                expected = f"a line of {column + 1} columns at least, for split {column}"
                raise must_be(f"Line {place} of {file}", expected, len(fields), remedy)
            number = fields[column]
            if not number.isdigit() or not 1 <= int(number) <= n_samples:
                expected = f"a row number from 1 to {n_samples}, the documents of {path.name}"
                where = f"Column {column} of line {place} of {file}"
                raise must_be(where, expected, excerpt(number))
            numbers.append(int(number) - 1)
    return np.array(numbers, dtype=np.int64)


def read_xmc(path):
    """Features and label indicators of a file of the extreme classification repository."""
    found, surplus = _Found(), 0
    with open_bytes(path) as file:
        n_samples, n_features, n_labels = _read_header(file.readline(), path)
        while lines := file.readlines(_READ_AT_A_TIME):
            n_read = len(found.n_columns)
            surplus += sum(bool(line.strip()) for line in lines[n_samples - n_read :])
            lines = lines[: n_samples - n_read]
            if lines:
                found.add(_parse(lines, n_features, n_labels, n_read + 2, path))
    n_read = len(found.n_columns) + surplus
    if n_read != n_samples:
        raise must_be(str(path), f"a file of {n_samples} documents, as line 1 says", n_read)
    return found.matrices(n_features, n_labels)


class _Block(NamedTuple):
    """Some documents: features and labels one after the other, and how many each has."""

    columns: np.ndarray
    values: np.ndarray
    n_columns: np.ndarray
    labels: np.ndarray
    n_labels: np.ndarray


class _Found:
    """What was read so far, in arrays that grow in place: two copies may not fit into memory."""

    def __init__(self):
        self.columns, self.values, self.n_columns = array("i"), array("f"), array("i")
        self.labels, self.n_labels = array("i"), array("i")

    def add(self, block):
        """Append a `_Block`."""
        for name, numbers in block._asdict().items():
            grown = getattr(self, name)
            grown.frombytes(numbers.astype(grown.typecode).tobytes())

    def matrices(self, n_features, n_labels):
        """Features and label indicators, a row per document."""
        n_samples = len(self.n_columns)
        columns, values = _view(self.columns, np.int32), _view(self.values, np.float32)
        ends = _ends_of(_view(self.n_columns, np.int32))
        data = sparse.csr_array((values, columns, ends), shape=(n_samples, n_features))
        data.sum_duplicates()
        rows = np.repeat(np.arange(n_samples, dtype=np.int32), _view(self.n_labels, np.int32))
        labels = _view(self.labels, np.int32)
        return data, indicator(rows, labels, (n_samples, n_labels))


def _view(numbers, dtype):
    return np.frombuffer(numbers, dtype) if len(numbers) else np.zeros(0, dtype)


def _ends_of(counts):
    ends = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return ends.astype(np.int32) if ends[-1] < 2**31 else ends


def _read_header(line, path):
    try:
        n_samples, n_features, n_labels = map(int, line.split())
    except ValueError:
        n_samples = 0
    if n_samples < 1:
        expected = "'n_samples n_features n_labels', with a document at least"
        raise must_be(f"Line 1 of {path}", expected, excerpt(line))
    return n_samples, n_features, n_labels


def _parse(lines, n_features, n_labels, first_number, path):
    """The documents of some lines; the broken one is looked for if one is."""
    block = _parse_plain(b"".join(lines).replace(b"\r\n", b"\n"), n_features, n_labels)
    if block is not None:
        return block
    try:
        return _parse_any(lines, n_features, n_labels)
    except ValueError:
        for number, line in enumerate(lines, start=first_number):
            try:
                _parse_any([line], n_features, n_labels)
            except ValueError:
                expected = (
                    f"'label,label feature:value feature:value' with labels below {n_labels} "
                    f"and features below {n_features}"
                )
                raise must_be(f"Line {number} of {path}", expected, excerpt(line)) from None
        raise


def _role_table():
    """What digits are, by what stands before and behind them; and what nothing may stand between.

    The second axis is the place in `_ENDS` of the byte before, the third that of the byte behind.
    """
    table = np.zeros((2, len(_ENDS), len(_ENDS)), dtype=np.uint8)
    roles = {
        _LABEL: [b"\n\n", b"\n,", b"\n ", b",\n", b",,", b", "],
        _COLUMN: [b"\n:", b" :"],
        _BEFORE_POINT: [b":."],
        _WHOLE: [b": ", b":\n"],
        _BEHIND_POINT: [b". ", b".\n"],
    }
    for role, pairs in roles.items():
        for before, behind in pairs:
            table[1, _ENDS.index(before), _ENDS.index(behind)] = role
    for before, behind in (b"\n\n", b"\n ", b"  ", b" \n"):
        table[0, _ENDS.index(before), _ENDS.index(behind)] = _NOTHING
    return table.ravel()


_ROLES = _role_table()
_PLACES = np.full(256, 255, dtype=np.uint8)
_PLACES[list(_ENDS)] = np.arange(len(_ENDS))
_POWERS = 10 ** np.arange(_DIGITS + 1, dtype=np.int64)


def _parse_plain(text, n_features, n_labels):
    """The documents of bytes all at once; None where a number is not plain, or something is wrong.

    Each run of digits ends at a byte that is none; what the number is follows from that byte and
    the one in front of it.
    """
    text += b"" if text.endswith(b"\n") else b"\n"
    codes = np.frombuffer(text, dtype=np.uint8)
    digits = codes - np.uint8(ord("0"))  # others are above 9, those below "0" too
    ends = np.flatnonzero(digits > 9)
    places = _PLACES[codes[ends]]
    lengths = np.diff(ends, prepend=-1) - 1
    if places.max() == 255 or lengths.max() > _DIGITS:
        return None
    before = np.concatenate([places[-1:], places[:-1]])  # a line feed, which is the last byte too
    n = len(_ENDS)
    roles = _ROLES[(lengths > 0) * np.uint8(n * n) + before * np.uint8(n) + places]
    if not roles.all():
        return None
    numbers = _numbers(digits, ends, lengths)
    is_column, is_label = roles == _COLUMN, roles == _LABEL
    columns, labels = numbers[is_column], numbers[is_label]
    values = _values(numbers, lengths, roles)
    if columns.max(initial=0) >= n_features or labels.max(initial=-1) >= n_labels or values is None:
        return None
    is_end = places == _ENDS.index(b"\n")
    rows, n_rows = np.cumsum(is_end) - is_end, np.count_nonzero(is_end)
    counts = (np.bincount(rows[which], minlength=n_rows) for which in (is_column, is_label))
    return _Block(columns, values, next(counts), labels, next(counts))


def _numbers(digits, ends, lengths):
    """The numbers in front of some places, of digits of so many places; 0 for none."""
    numbers = np.zeros(len(ends), dtype=np.int64)
    order = np.argsort(lengths.astype(np.int8), kind="stable")
    bounds = np.searchsorted(lengths[order], np.arange(1, lengths.max() + 2))
    for length, (start, stop) in enumerate(pairwise(bounds), start=1):
        alike = order[start:stop]
        first = ends[alike] - length
        found = np.zeros(len(alike), dtype=np.int64)
        for place in range(length):
            found = 10 * found + digits[first + place]
        numbers[alike] = found
    return numbers


def _values(numbers, lengths, roles):
    """Values of the features; None where one has too many digits."""
    values = numbers.astype(np.float64)
    behind = np.flatnonzero(roles == _BEHIND_POINT)
    n_behind, in_front = lengths[behind], behind - 1
    if len(behind) and (lengths[in_front] + n_behind).max() > _DIGITS:
        return None
    powers = _POWERS[n_behind]
    values[in_front] = (numbers[in_front] * powers + numbers[behind]) / powers
    return values[(roles == _WHOLE) | (roles == _BEFORE_POINT)]


def _parse_any(lines, n_features, n_labels):
    """The documents of some lines, with numbers of any form; ValueError if they are broken."""
    labels, pairs, n_of_labels, n_of_pairs = [], [], [], []
    for line in lines:
        head, _, tail = line.decode("latin-1").partition(" ")
        if ":" in head:
            head, tail = "", line.decode("latin-1")
        of_labels = head.split(",") if head.strip() else []
        of_pairs = tail.split()
        labels += of_labels
        pairs += of_pairs
        n_of_labels.append(len(of_labels))
        n_of_pairs.append(len(of_pairs))
    columns, values = _columns_and_values(pairs, n_features)
    counts = np.array(n_of_pairs), np.array(n_of_labels)
    return _Block(columns, values, counts[0], _columns(labels, n_labels), counts[1])


def _columns_and_values(pairs, n_columns):
    """Column numbers and finite values from strings "number:value"."""
    numbers = " ".join(pairs).replace(":", " ").split()
    if len(numbers) != 2 * len(pairs) or any(pair.count(":") != 1 for pair in pairs):
        raise ValueError("A pair has not two parts.")
    with np.errstate(over="ignore"):  # what is too large is refused below
        values = np.fromiter(map(float, numbers[1::2]), dtype=np.float32, count=len(pairs))
    if not np.isfinite(values).all():
        raise ValueError("A value is not finite.")
    return _columns(numbers[::2], n_columns), values


def _columns(numbers, n_columns):
    """Column numbers from strings."""
    columns = list(map(int, numbers))
    if columns and not 0 <= min(columns) <= max(columns) < n_columns:
        raise ValueError("A number is out of range.")
    return np.array(columns, dtype=np.int64)
