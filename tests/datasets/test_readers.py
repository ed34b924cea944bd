"""The readers under skmltc.datasets, whose tests read whole corpora."""

import gzip

import pytest

from skmltc.datasets._readers import indicator, open_bytes, read_jsonl, read_pairs


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


def test_read_jsonl_skips_blank_lines_and_numbers_documents_without_an_id(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "a", "labels": ["x"], "id": "d1"}\n\n{"text": "b", "labels": []}\n')
    assert list(read_jsonl(path)) == [("d1", "a", ["x"]), ("3", "b", [])]


@pytest.mark.parametrize("line", ["{", "[]", '{"text": 1, "labels": []}', '{"text": "a"}'])
def test_read_jsonl_names_a_broken_line(tmp_path, line):
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "a", "labels": []}\n' + line)
    with pytest.raises(ValueError, match="Line 2 of .* must be a JSON object"):
        list(read_jsonl(path))


def test_read_pairs(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tb c\n\nd\te\n")
    assert read_pairs(path) == [("a", "b c"), ("d", "e")]
    path.write_text("a\tb\nno tab\n")
    with pytest.raises(ValueError, match="Line 2 of .* must be two strings with a TAB"):
        read_pairs(path)
