"""What the readers of files share: how they are found, opened and quoted, and label indicators."""

import codecs
import gzip

import numpy as np
from scipy import sparse

from .._validation import check_choice, must_be

SUBSETS = ("train", "test", "all")


def parts_of(subset):
    """The parts of a folder that are read: one, or both, the training part first."""
    check_choice("subset", subset, SUBSETS)
    return ("train", "test") if subset == "all" else (subset,)


def find_file(folder, *patterns):
    """The file of a folder with the first of these names that is there; None where none is.

    Of two that differ in the ending ``.gz`` alone it is the compressed one.
    """
    for pattern in patterns:
        found = sorted([*folder.glob(pattern), *folder.glob(f"{pattern}.gz")])
        names = sorted({file.name.removesuffix(".gz") for file in found})
        if len(names) > 1:
            remedy = "The one that is meant can be given by its own path."
            raise must_be(str(folder), f"a folder with one {pattern}", " and ".join(names), remedy)
        if found:
            return found[-1]
    return None


def open_bytes(path):
    """Open a file for reading bytes, compressed or not, behind a byte order mark if it has one."""
    file = gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    return file


def excerpt(line):
    """The beginning of a line, bytes or a string, as it is quoted in an error."""
    line = line.decode("utf-8", errors="replace") if isinstance(line, bytes) else line
    return repr(line.strip() if len(line) <= 80 else line[:77].strip() + "...")


def read_lines(path):
    """Lines of a text in UTF-8, without their ends; only line feeds end them."""
    with open_bytes(path) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                where = f"Line {number} of {path}"
                raise must_be(where, "text in UTF-8", excerpt(line)) from None


def read_pairs(path):
    """Pairs of strings, one per line with a TAB between."""
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        first, tab, second = line.partition("\t")
        if not tab and line.strip():
            raise must_be(f"Line {number} of {path}", "two strings with a TAB", excerpt(line))
        if tab:
            pairs.append((first, second))
    return pairs


def indicator(rows, columns, shape):
    """Ones at the given places, repeated ones counted once."""
    places = np.asarray([rows, columns], dtype=np.int32)
    matrix = sparse.csr_array((np.ones(len(rows), dtype=np.int64), places), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
