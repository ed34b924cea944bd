"""Finding, opening and quoting files, and label indicators."""

import gzip

import pytest

from skmltc.datasets._files import (
    excerpt,
    find_file,
    indicator,
    open_bytes,
    parts_of,
    read_lines,
    read_pairs,
)


def test_indicator_counts_repeated_places_once():
    matrix = indicator([0, 0, 1], [2, 2, 0], (2, 3))
    assert matrix.toarray().tolist() == [[0, 0, 1], [1, 0, 0]]


def test_open_bytes_reads_compressed_and_plain_files(tmp_path):
    plain, compressed = tmp_path / "a.txt", tmp_path / "a.txt.gz"
    plain.write_bytes(b"words")
    compressed.write_bytes(gzip.compress(b"words"))
    for path in (plain, compressed):
        with open_bytes(path) as stream:
            assert stream.read() == b"words"


@pytest.mark.parametrize("name", ["marked.txt", "marked.txt.gz"])
def test_a_byte_order_mark_is_no_text(tmp_path, name):
    path = tmp_path / name
    opened = gzip.open if name.endswith("gz") else open
    with opened(path, "wb") as file:
        file.write(b"\xef\xbb\xbfone\r\ntwo\n")
    assert list(read_lines(path)) == ["one", "two"]


def test_read_pairs(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tb c\n\nd\te\n")
    assert read_pairs(path) == [("a", "b c"), ("d", "e")]
    path.write_text("a\tb\nno tab\n")
    with pytest.raises(ValueError, match="Line 2 of .* must be two strings with a TAB"):
        read_pairs(path)


def test_parts():
    assert parts_of("test") == ("test",) and parts_of("all") == ("train", "test")
    with pytest.raises(ValueError, match="Did you mean 'train'"):
        parts_of("trian")


def test_the_first_name_that_is_there_is_found(tmp_path):
    assert find_file(tmp_path, "*train.txt", "b.txt") is None
    (tmp_path / "b.txt").touch()
    assert find_file(tmp_path, "*train.txt", "b.txt").name == "b.txt"
    for name in ("a_train.txt", "a_train.txt.gz"):
        (tmp_path / name).touch()
        assert find_file(tmp_path, "*train.txt", "b.txt").name == name
    (tmp_path / "c_train.txt.gz").touch()
    message = "a folder with one .*train.txt. Got a_train.txt and c_train.txt instead"
    with pytest.raises(ValueError, match=message):
        find_file(tmp_path, "*train.txt")


@pytest.mark.parametrize("line", ["a" * 100, b"a" * 100])
def test_long_lines_are_quoted_in_part(line):
    assert excerpt(line) == repr("a" * 77 + "...")


def test_lines_end_with_line_feeds_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("a\x0b\r\n\x85b\n\n".encode())
    assert list(read_lines(path)) == ["a\x0b", "\x85b", ""]
