"""The readers of file formats, on files written here and on the real data."""

import gzip
import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmltc.datasets import load_jsonl, load_xmc
from skmltc.datasets._readers import indicator, open_bytes, read_jsonl, read_pairs

# --------------------------------------------------------------------------- JSON lines

TRAIN = [
    {"id": "a", "text": "Milk and rice", "labels": ["milk", "rice"]},
    {"id": "b", "text": "Süßer Brei", "labels": []},
    {"id": "c", "text": "rice", "labels": ["rice", "rice"]},
]
TEST = [
    {"id": "d", "text": "milk and honey", "labels": ["honey", "milk"]},
    {"id": "e", "text": "honey", "labels": ["honey"]},
]


def write_jsonl(path, records):
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture
def folder(tmp_path):
    write_jsonl(tmp_path / "train.jsonl.gz", TRAIN)
    write_jsonl(tmp_path / "test.jsonl", TEST)
    return tmp_path


def test_the_training_part_of_a_folder(folder):
    train = load_jsonl(str(folder))
    assert train.data == ["Milk and rice", "Süßer Brei", "rice"]
    assert train.ids == ["a", "b", "c"]
    assert train.target_names == ["milk", "rice"]
    assert isinstance(train.target, sparse.csr_array)
    assert train.target.toarray().tolist() == [[1, 1], [0, 0], [0, 1]]
    assert "label_parents" not in train and "label_names" not in train


def test_the_test_part_has_the_columns_of_the_training_part(folder):
    with pytest.warns(UserWarning, match="1 labels, 2 assignments .*honey.*1 documents have no"):
        test = load_jsonl(folder, subset="test")
    assert test.target_names == ["milk", "rice"]
    assert test.target.toarray().tolist() == [[1, 0], [0, 0]]


def test_columns_can_be_chosen(folder):
    test = load_jsonl(folder, subset="test", target_names=["none", "milk", "honey"])
    assert test.target.toarray().tolist() == [[0, 1, 1], [0, 0, 1]]
    with pytest.raises(ValueError, match="target_names must be different labels. Got 1 repeated"):
        load_jsonl(folder, target_names=["milk", "milk"])


def test_both_parts_have_the_labels_of_both(folder):
    both = load_jsonl(folder, subset="all")
    assert both.ids == ["a", "b", "c", "d", "e"]
    assert both.target_names == ["honey", "milk", "rice"]
    assert both.target.sum(axis=0).tolist() == [2, 2, 2]


def test_a_single_file_is_read_whole(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "a", "labels": ["x"]}\n\n{"text": "b", "labels": [], "more": 1}\n')
    mine = load_jsonl(path)
    assert mine.ids == ["1", "3"] and mine.target.toarray().tolist() == [[1], [0]]


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_without_documents_is_refused(tmp_path, content):
    path = tmp_path / "empty.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"empty.jsonl must be of one document at least, .* Got n"):
        load_jsonl(path)


def test_names_and_parents_of_the_labels(folder):
    (folder / "label_names.tsv").write_text("rice\tReis\nbeer\tBier\n")
    (folder / "hierarchy.tsv").write_text("rice\tmilk\nbeer\tmilk\n")
    train = load_jsonl(folder)
    assert train.label_names == ["milk", "Reis"]
    assert train.label_parents.tolist() == [-1, 0]


def test_a_label_with_several_parents(folder):
    (folder / "hierarchy.tsv").write_text("honey\tmilk\nhoney\trice\n")
    parents = load_jsonl(folder, subset="all").label_parents
    assert parents.toarray().tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "b", "labels": ["x"',
        '["b", ["x"]]',
        '{"labels": ["x"]}',
        '{"text": 3, "labels": ["x"]}',
        '{"text": "b", "labels": "x"}',
        '{"text": "b", "labels": [1]}',
        '{"text": "b"}',
        "\x00",
    ],
)
@pytest.mark.parametrize("name", ["broken.jsonl", "broken.jsonl.gz"])
def test_a_broken_line_is_named(tmp_path, line, name):
    content = f'{{"text": "a", "labels": []}}\n\n{line}\n'.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(ValueError, match=f"Line 3 of .*{name} must be a JSON object"):
        load_jsonl(path)


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "broken.jsonl").write_bytes(b'{"text": "\xff\xfe", "labels": []}')
    with pytest.raises(ValueError, match="Line 1 of .*broken.jsonl"):
        load_jsonl(tmp_path / "broken.jsonl")


def test_a_broken_line_of_a_table_is_named(folder):
    (folder / "hierarchy.tsv").write_text("rice\tmilk\nbeer milk\n")
    with pytest.raises(ValueError, match="Line 2 of .*hierarchy.tsv must be two strings with a"):
        load_jsonl(folder)


def test_missing_parts_and_files(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", TRAIN)
    with pytest.raises(FileNotFoundError, match="a folder with test.jsonl.gz or test.jsonl"):
        load_jsonl(tmp_path, subset="all")
    with pytest.raises(FileNotFoundError):
        load_jsonl(tmp_path / "nothing.jsonl")
    with pytest.raises(ValueError, match="Did you mean 'train'"):
        load_jsonl(tmp_path, subset="trian")


def test_real_data(real_data):
    train = load_jsonl(real_data / "reuters")
    test = load_jsonl(real_data / "reuters", subset="test")
    assert train.target.shape == (7770, 90) and test.target.shape == (3019, 90)
    assert train.target_names == test.target_names
    assert train.target.sum(axis=0)[train.target_names.index("earn")] == 2877
    with pytest.warns(UserWarning, match="51 labels"):
        classes = load_jsonl(real_data / "tib-bk", subset="test")
    child = classes.target_names.index("54.72")
    assert classes.target_names[classes.label_parents[child]] == "54"
    assert len(classes.label_names) == 1723


# ------------------------------------------------------------ the extreme classification format

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
     "0 :1", "0 1:nan", "0 1:inf", "0.5 1:1", "0 1.5:1", "0 1:\xff"],
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


# ------------------------------------------------------------------------------ their parts


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
