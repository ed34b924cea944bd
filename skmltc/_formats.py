"""The file formats of labelled corpora, read line by line; a broken line is always named."""

from __future__ import annotations

import gzip
import html
import io
import json
import re
import tarfile
from itertools import islice

import numpy as np
from scipy import sparse

from ._validation import must_be


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
    """Triples (id, text, labels), one a line that is not blank."""
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
    """Pairs of strings, one a line with a TAB between."""
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


def read_reuters(archive):
    """Every story of the ModApte split as (part, record), in the order of the collection."""
    with tarfile.open(archive) as members:
        for member in sorted(members, key=lambda member: member.name):
            if member.isfile() and member.name.endswith(".sgm"):
                sgml = members.extractfile(member).read().decode("latin-1")
                for marks, story in re.findall(r"<REUTERS (.*?)>(.*?)</REUTERS>", sgml, re.DOTALL):
                    yield from _parse_story(dict(re.findall(r'(\w+)="(.*?)"', marks)), story)


def _parse_story(marks, story):
    part = marks["LEWISSPLIT"].lower()
    if marks["TOPICS"] == "YES" and part in ("train", "test"):
        topics = re.findall("<D>(.*?)</D>", _element("TOPICS", story))
        prefix = "training" if part == "train" else "test"
        text = _story_text(_element("TEXT", story))
        yield part, {"id": f"{prefix}/{marks['NEWID']}", "text": text, "labels": topics}


def _element(name, sgml):
    """Content of an element, empty if there is none."""
    found = re.search(f"<{name}[^>]*>(.*?)</{name}>", sgml, re.DOTALL)
    return found[1] if found else ""


def _story_text(sgml):
    """Headline and body; all of it where a story is not divided into elements."""
    text = "\n".join([_element("TITLE", sgml), _element("BODY", sgml)]).strip()
    text = html.unescape(re.sub("&#\\d+;|<[^>]*>", " ", text or sgml))
    lines = [" ".join(line.split()) for line in text.split("\n")]
    text = "\n".join(line for line in lines if line)
    return re.sub(r"\s*\breuter$", "", text, flags=re.IGNORECASE)
