"""The format of the extreme classification repository, against loops and old and odd files."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse

from skmltc.datasets import _xmc, load_xmc

XMC = "4 5 3\n0,2 1:0.5 4:2e-1\n 0:1 3:-2\n1\n2 4:1\n"


@pytest.mark.parametrize("end", [".txt", ".txt.gz"])
def test_xmc(tmp_path, end):
    path = tmp_path / f"train{end}"
    path.write_bytes(gzip.compress(XMC.encode()) if end.endswith("gz") else XMC.encode())
    tiny = load_xmc(str(path))
    assert isinstance(tiny.data, sparse.csr_array) and isinstance(tiny.target, sparse.csr_array)
    assert tiny.data.dtype == np.float32 and tiny.data.indices.dtype == np.int32
    expected = [[0, 0.5, 0, 0, 0.2], [1, 0, 0, -2, 0], [0] * 5, [0, 0, 0, 0, 1]]
    assert_array_equal(tiny.data.toarray(), np.array(expected, dtype=np.float32))
    assert tiny.target.toarray().tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_xmc_without_the_blank_of_a_document_without_labels(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("2 3 2\r\n0:1 2:3\r\n1 0:1\r\n\r\n")
    assert load_xmc(path).data.toarray().tolist() == [[1, 0, 3], [1, 0, 0]]
    assert load_xmc(path).target.toarray().tolist() == [[0, 0], [0, 1]]


def test_xmc_of_several_blocks_against_a_loop(tmp_path):
    rng = np.random.default_rng(0)
    X = sparse.random_array((25_000, 30), density=0.1, format="csr", rng=rng, dtype=np.float32)
    Y = sparse.random_array((25_000, 7), density=0.2, format="csr", rng=rng)
    lines = ["25000 30 7"]
    for row in range(25_000):
        labels = Y.indices[Y.indptr[row] : Y.indptr[row + 1]]
        places = range(X.indptr[row], X.indptr[row + 1])
        pairs = " ".join(f"{X.indices[i]}:{X.data[i]:.9g}" for i in places)
        lines.append(f"{','.join(map(str, labels))} {pairs}")
    path = tmp_path / "train.txt"
    path.write_text("\n".join(lines))
    loaded = load_xmc(path)
    assert abs(loaded.data - X).max() == 0
    assert abs(loaded.target - (Y > 0)).max() == 0
    lines[20_000] = "0,1 3:x"
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="Line 20001 of .*train.txt must be .* Got '0,1 3:x'"):
        load_xmc(path)


@pytest.mark.parametrize(
    "line",
    ["3 0:1", "-1 0:1", "a 0:1", "0,,1 0:1", "0 5:1", "0 -1:1", "0 1:2:3 4", "0 1", "0 1:",
     "0 :1", "0 1:nan", "0 1:inf", "0.5 1:1", "0 1.5:1", "0 1:\xff",
     "0 18446744073709551617:1"],
)  # fmt: skip
def test_a_broken_line_of_xmc_is_named(tmp_path, line):
    path = tmp_path / "train.txt"
    path.write_text(f"2 5 3\n0 0:1\n{line}\n", encoding="latin-1")
    with pytest.raises(ValueError, match="Line 3 of .*train.txt must be 'label,label feature"):
        load_xmc(path)


@pytest.mark.parametrize("header", ["", "0,1 1:2", "3 4", "0 3 4", "a b c"])
def test_a_broken_header_is_named(tmp_path, header):
    (tmp_path / "train.txt").write_text(f"{header}\n0 1:1\n")
    with pytest.raises(ValueError, match="Line 1 of .* must be 'n_samples n_features n_labels'"):
        load_xmc(tmp_path / "train.txt")


@pytest.mark.parametrize(("n_samples", "found"), [(1, 2), (3, 2)])
def test_a_wrong_number_of_documents(tmp_path, n_samples, found):
    (tmp_path / "train.txt").write_text(f"{n_samples} 2 2\n0 1:1\n0 1:1\n")
    message = f"must be a file of {n_samples} documents, as line 1 says. Got {found} instead"
    with pytest.raises(ValueError, match=message):
        load_xmc(tmp_path / "train.txt")


# ------------------------------------------------------------------ plain and other numbers

SEPARATORS = ["\n", ",", ":", " ", ".", "", "1", "-", "e", "0", "12345", "\r\n", "\t"]


def read_in_loops(text, n_features, n_labels):
    """Documents of a text, number by number; None if it is broken."""
    data, target = [], []
    for line in text.removesuffix("\n").split("\n"):
        head, _, tail = line.partition(" ")
        head, tail = ("", line) if ":" in head else (head, tail)
        values, labels = np.zeros(n_features, np.float32), np.zeros(n_labels, int)
        try:
            for label in head.split(",") if head.strip() else []:
                labels[[int(label)]] = 1
                assert int(label) >= 0
            for pair in tail.split():
                column, value = pair.split(":")
                assert int(column) >= 0 and column.strip() and value.strip()
                assert abs(float(value)) <= float(np.finfo(np.float32).max)
                values[int(column)] += np.float32(float(value))
        except (ValueError, IndexError, AssertionError):
            return None
        data.append(values)
        target.append(labels)
    return np.array(data), np.array(target)


@given(st.lists(st.sampled_from(SEPARATORS), max_size=14), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_as_by_a_loop_or_refused(pieces, well_formed):
    text = "".join(pieces)
    text = f"0,2 1:0.5 3:{text}" if well_formed else text
    lines = [line + "\n" for line in text.removesuffix("\n").split("\n")]
    expected = read_in_loops("".join(lines), 20, 15)
    try:
        block = _xmc._parse([line.encode() for line in lines], 20, 15, 2, "a.txt")
    except ValueError:
        assert expected is None
        return
    found = _xmc._Found()
    found.add(block)
    for mine, naive in zip(found.matrices(20, 15), expected, strict=True):
        assert_array_equal(mine.toarray(), naive)


@pytest.mark.parametrize(
    "value",
    ["0", "7", "0.1", "00.50", "123456.789", "0.000001", "3.4028234", "123456789012345678",
     "0.12345678901234567", "12345678901234567.5", "1234567890.1234567890", "1e-7", "-2.5", "+.5",
     "1234567890123456789012", "0.1234567890123456789012"],
)  # fmt: skip
def test_values_are_the_nearest_of_single_precision(tmp_path, value):
    path = tmp_path / "train.txt"
    path.write_text(f"2 3 2\n0 1:{value}\n1 2:1\n")
    assert load_xmc(path).data[0, 1] == np.float32(float(value))


def test_one_odd_number_changes_nothing_else(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("3 3 2\n0 1:0.25\n1 2:1.5 0:2\n 0:1\n")
    plain = load_xmc(path)
    path.write_text("3 3 2\n0 1:2.5e-1\n1  2:1.50 0:+2 \n 0:1\n")
    odd = load_xmc(path)
    assert_array_equal(odd.data.toarray(), plain.data.toarray())
    assert_array_equal(odd.target.toarray(), plain.target.toarray())
    assert _xmc._parse_plain(b"0 1:0.25\n", 3, 2) is not None
    assert _xmc._parse_plain(b"0 1:2.5e-1\n", 3, 2) is None


def test_repeated_features_add_up_and_repeated_labels_count_once(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("1 3 2\n1,1 2:1 0:3 2:0.5\n")
    assert load_xmc(path).data.toarray().tolist() == [[3, 0, 1.5]]
    assert load_xmc(path).target.toarray().tolist() == [[0, 1]]


@pytest.mark.parametrize("size", [1, 20, 2**20])
def test_blocks_of_any_size_give_the_same(tmp_path, monkeypatch, size):
    monkeypatch.setattr(_xmc, "_READ_AT_A_TIME", size)
    (tmp_path / "train.txt").write_text(XMC.removesuffix("\n") + "\n\n \n")
    assert load_xmc(tmp_path / "train.txt").data.shape == (4, 5)
    (tmp_path / "train.txt").write_text(XMC + "0 1:1\n\n0 2:1\n")
    with pytest.raises(ValueError, match="a file of 4 documents, as line 1 says. Got 6 instead"):
        load_xmc(tmp_path / "train.txt")


# ------------------------------------------------------------------------------------- parts

WHOLE = "5 2 2\n0 0:1\n1 0:2\n0,1 0:3\n 0:4\n1 0:5\n"


def first_column(bunch):
    return bunch.data.toarray()[:, 0].tolist()


@pytest.fixture
def whole(tmp_path):
    """A folder of a whole file and two splits of it."""
    (tmp_path / "tiny_data.txt").write_text(WHOLE)
    (tmp_path / "tiny_trSplit.txt").write_text("5 1\n1 2\n3 4\n\n")
    (tmp_path / "tiny_tstSplit.txt.gz").write_bytes(gzip.compress(b"2 3\r\n4 5\r\n"))
    return tmp_path


def test_a_split_of_a_folder(whole):
    assert first_column(load_xmc(whole)) == [5, 1, 3]
    assert first_column(load_xmc(whole, subset="test")) == [2, 4]
    assert first_column(load_xmc(str(whole), split=1)) == [1, 2, 4]
    both = load_xmc(whole, split=np.int64(1), subset="all")
    assert first_column(both) == [1, 2, 4, 3, 5]
    assert both.target.toarray().tolist() == [[1, 0], [0, 1], [0, 0], [1, 1], [0, 1]]
    assert isinstance(both.data, sparse.csr_array) and isinstance(both.target, sparse.csr_array)


def test_rows_of_a_file(whole):
    file, rows = whole / "tiny_data.txt", whole / "tiny_trSplit.txt"
    assert first_column(load_xmc(file)) == [1, 2, 3, 4, 5]
    assert first_column(load_xmc(file, split=None)) == [1, 2, 3, 4, 5]
    assert first_column(load_xmc(file, split=str(rows))) == [5, 1, 3]
    assert first_column(load_xmc(file, split=(rows, 1), subset="test")) == [1, 2, 4]


def test_a_folder_of_two_files(tmp_path):
    (tmp_path / "eurlex_train.txt").write_text("1 2 2\n0 0:1\n")
    (tmp_path / "eurlex_test.txt").write_text("1 2 2\n1 0:7\n")
    assert first_column(load_xmc(tmp_path)) == [1]
    assert first_column(load_xmc(tmp_path, subset="all")) == [1, 7]
    with pytest.raises(ValueError, match="split must be left out for .* no ..._data.txt"):
        load_xmc(tmp_path, split=1)
    (tmp_path / "eurlex_test.txt").write_text("1 3 2\n1 0:7\n")
    with pytest.raises(ValueError, match="the same features and labels. Got 2 and 2 and 3 and 2"):
        load_xmc(tmp_path, subset="all")


@pytest.mark.parametrize("row", ["0", "6", "-1", "x", "1.0"])
def test_a_row_that_is_not_there_is_named(whole, row):
    (whole / "tiny_trSplit.txt").write_text(f"1 1\n\n1 {row}\n")
    message = "Column 1 of line 3 of .*tiny_trSplit.txt must be a row number from 1 to 5"
    with pytest.raises(ValueError, match=message):
        load_xmc(whole, split=1)


def test_a_split_that_is_not_there_is_named(whole):
    with pytest.raises(ValueError, match="Line 1 of .* of 3 columns at least, .* Got 2 instead"):
        load_xmc(whole, split=2)


@pytest.mark.parametrize("split", [-1, True, "rows.txt", ("rows.txt", 1), 0.5])
def test_a_folder_takes_the_number_of_a_split(whole, split):
    with pytest.raises(ValueError, match="split must be the number of a split, from 0 up"):
        load_xmc(whole, split=split)


@pytest.mark.parametrize("split", [1, 0.5, False, ("rows.txt",), ("rows.txt", -1)])
def test_a_file_takes_a_file_of_rows(whole, split):
    with pytest.raises(ValueError, match="split must be (a p|the number)"):
        load_xmc(whole / "tiny_data.txt", split=split)


@pytest.mark.parametrize("missing", ["tiny_trSplit.txt", "tiny_data.txt"])
def test_a_part_that_is_missing_is_named(whole, missing):
    (whole / missing).unlink()
    with pytest.raises(FileNotFoundError, match="or with .*tr.*txt for the part"):
        load_xmc(whole)
