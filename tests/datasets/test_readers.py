"""The readers of labelled texts, on files written here and on the real data."""

import gzip
import json

import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmltc import TReaderXMLClassifier
from skmltc.datasets import load_jsonl, load_texts
from skmltc.datasets._readers import read_jsonl
from skmltc.text import TokenSequenceVectorizer

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
    with pytest.warns(UserWarning, match="dropped: 1 of them .*honey.* 2 assign.* now: 1"):
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
    with pytest.raises(FileNotFoundError, match="a folder with test.jsonl or tst.json"):
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
    with pytest.warns(UserWarning, match="dropped: 51 of them"):
        classes = load_jsonl(real_data / "tib-bk", subset="test")
    child = classes.target_names.index("54.72")
    assert classes.target_names[classes.label_parents[child]] == "54"
    assert len(classes.label_names) == 1723


# ------------------------------------------------------------------------ parents of the labels


def test_parents_that_are_no_labels_are_rows_after_the_labels(folder):
    (folder / "hierarchy.tsv").write_text("rice\tgrain\nmilk\tdrink\nbeer\tdrink\n")
    (folder / "label_names.tsv").write_text("rice\tReis\ndrink\tGetränk\n", encoding="utf-8")
    train = load_jsonl(folder)
    assert train.target_names == ["milk", "rice"]
    assert train.other_parents == ["grain", "drink"]
    assert train.label_parents.tolist() == [3, 2, -1, -1]
    assert train.label_names == ["milk", "Reis", "grain", "Getränk"]


def test_a_label_with_several_parents_of_which_one_is_no_label(folder):
    (folder / "hierarchy.tsv").write_text("rice\tmilk\nrice\tgrain\n")
    train = load_jsonl(folder)
    assert train.label_parents.toarray().tolist() == [[0, 0, 0], [1, 0, 1], [0, 0, 0]]
    assert train.other_parents == ["grain"]


def test_a_classifier_takes_the_parents_that_are_no_labels(tmp_path):
    """All documents of labels 0 and 1 have the parent of these in the scope of their neighbours."""
    records = [{"text": f"w{i % 4} x{i % 4} y", "labels": [f"L{i % 4}"]} for i in range(40)]
    write_jsonl(tmp_path / "train.jsonl", records)
    (tmp_path / "hierarchy.tsv").write_text("L0\tTOP\nL1\tTOP\nL2\tL3\n")
    train = load_jsonl(tmp_path)
    words = TokenSequenceVectorizer(max_length=4)
    X = words.fit_transform(train.data)
    model = TReaderXMLClassifier.as_published(
        "6", label_parents=train.label_parents, encoder__embedding_dim=8, max_epochs=1
    )
    model.fit(X, train.target, label_tokens=words.transform([*train.target_names, "w0"]))
    sets = model.scorer_.retriever.label_sets.toarray()
    assert sets.shape[1] == 5 and model.predict(X).shape == (40, 4)
    assert_array_equal(sets[:, 4], sets[:, :2].any(axis=1))


# ------------------------------------------------------------------------------- named fields

RAW = [
    {"uid": "B1", "title": "Tea", "content": "green", "target_ind": [2, 0], "target_rel": [1, 1]},
    {"uid": "B2", "title": "Pot", "content": "", "target_ind": [], "target_rel": []},
    {"uid": "B3", "title": "", "content": "cup", "target_ind": [0], "target_rel": [1]},
]
NAMED = {"text": ("title", "content"), "labels": "target_ind", "ids": "uid"}


@pytest.mark.parametrize("end", ["", ".gz"])
def test_the_raw_texts_of_the_repository(tmp_path, end):
    write_jsonl(tmp_path / f"trn.json{end}", RAW)
    write_jsonl(tmp_path / f"tst.json{end}", RAW[:1])
    titles = [{"uid": f"L{i}", "title": title} for i, title in enumerate(["Drinks", "Pots", "Tea"])]
    write_jsonl(tmp_path / f"lbl.json{end}", titles)
    train = load_jsonl(tmp_path, **NAMED)
    assert train.data == ["Tea\ngreen", "Pot", "cup"] and train.ids == ["B1", "B2", "B3"]
    assert train.target.toarray().tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert train.target_names == ["L0", "L1", "L2"]
    assert train.label_names == ["Drinks", "Pots", "Tea"]
    test = load_jsonl(tmp_path, subset="test", **NAMED)
    assert test.target.toarray().tolist() == [[1, 0, 1]]
    assert load_jsonl(tmp_path, **NAMED | {"text": "title"}).data == ["Tea", "Pot", ""]


@pytest.mark.parametrize(
    "content, names",
    [
        ("Drinks\nPots\nTea\n", ["Drinks", "Pots", "Tea"]),
        ("Drinks\nPots\nPots\n\n", ["0", "1", "2"]),
        ('{"title": "Drinks"}\n{"title": "Pots"}\n{"title": "Tea"}', ["Drinks", "Pots", "Tea"]),
        ('{"title": "a", "uid": 7}\n{"title": "a", "uid": 8}\n{"title": "b", "uid": 9}', "789"),
    ],
)
def test_forms_of_a_label_file(tmp_path, content, names):
    path = write_jsonl(tmp_path / "mine.json", RAW)
    (tmp_path / "labels.txt").write_text(content)
    mine = load_jsonl(path, label_file=tmp_path / "labels.txt", **NAMED)
    assert mine.target_names == list(names)
    assert mine.target.toarray().tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert len(mine.label_names) == 3


def test_labels_by_name_beside_a_label_file(tmp_path):
    path = write_jsonl(tmp_path / "mine.jsonl", [{"text": "a", "labels": ["Tea"]}])
    (tmp_path / "labels.txt").write_text("Drinks\nTea\n")
    mine = load_jsonl(path, label_file=str(tmp_path / "labels.txt"))
    assert mine.target.toarray().tolist() == [[0, 1]]


@pytest.mark.parametrize("numbers", [[3], [-1], [0, True], [0.0], [0, "L1"]])
def test_a_row_number_that_is_none_of_the_labels_is_named(tmp_path, numbers):
    write_jsonl(tmp_path / "mine.json", [RAW[0], RAW[0] | {"target_ind": numbers}])
    (tmp_path / "labels.txt").write_text("Drinks\nPots\nTea\n")
    message = 'Line 2 of .*mine.json must be .* or of row numbers below 3. Got .*"B1"'
    with pytest.raises(ValueError, match=message):
        load_jsonl(tmp_path / "mine.json", label_file=tmp_path / "labels.txt", **NAMED)


def test_row_numbers_want_a_label_file(tmp_path):
    path = write_jsonl(tmp_path / "mine.json", RAW)
    with pytest.raises(ValueError, match="Line 1 of .* Row numbers of labels need a label_file"):
        load_jsonl(path, **NAMED)


@pytest.mark.parametrize("line", ["", "  ", '{"uid": "x"}', '{"title": 3}', '{"title": "x"'])
def test_a_broken_line_of_a_label_file_is_named(tmp_path, line):
    path = write_jsonl(tmp_path / "mine.json", RAW)
    (tmp_path / "labels.txt").write_text(f"Drinks\n{line}\nTea\n")
    with pytest.raises(ValueError, match="Line 2 of .*labels.txt must be (a|the) name"):
        load_jsonl(path, label_file=tmp_path / "labels.txt", **NAMED)


def test_articles_of_one_array(tmp_path):
    """BioASQ's file: an object per line, commas behind them, and brackets around all."""
    articles = [
        {"pmid": "1", "title": "Mice.", "abstractText": "On mice.", "meshMajor": ["Mice", "Rats"]},
        {"pmid": "2", "title": None, "abstractText": "On rats.", "meshMajor": ["Rats"]},
    ]
    path = tmp_path / "allMeSH.json"
    lines = ",\n".join(json.dumps(article) for article in articles)
    fields = {"text": ("title", "abstractText"), "labels": "meshMajor", "ids": "pmid"}
    ends = [('{"articles":[', "\n]}"), ('{ "articles" : [', "\n] }"), ("[", "\n]")]
    for opening, closing in [*ends, ('{"articles":[', "]}"), ("[", "]")]:
        path.write_text(f"{opening}\n{lines}{closing}\n")
        mesh = load_jsonl(path, **fields)
        assert mesh.data == ["Mice.\nOn mice.", "On rats."] and mesh.ids == ["1", "2"]
        assert mesh.target_names == ["Mice", "Rats"]
        assert mesh.target.toarray().tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("line", ["]}", "[", '{"text": "b", "labels": []},'])
def test_brackets_and_commas_are_those_of_an_array_alone(tmp_path, line):
    path = tmp_path / "train.jsonl"
    path.write_text(f'{{"text": "a", "labels": []}}\n{line}\n')
    with pytest.raises(ValueError, match="Line 2 of .* must be a JSON object"):
        load_jsonl(path)


def test_a_document_without_a_named_field_is_named(tmp_path):
    path = write_jsonl(tmp_path / "mine.jsonl", [{"title": "a", "tags": ["x"]}])
    message = 'must be a JSON object with "title" and "body", strings, and "tags", a list of str'
    with pytest.raises(ValueError, match=message):
        load_jsonl(path, text=["title", "body"], labels="tags")
    assert load_jsonl(path, text="title", labels="tags").ids == ["1"]


@pytest.mark.parametrize("fields", [{"text": ()}, {"text": 3}, {"labels": None}, {"ids": 0}])
def test_keys_are_strings(folder, fields):
    with pytest.raises((ValueError, TypeError), match="must be a key|not iterable"):
        load_jsonl(folder, **fields)


# -------------------------------------------------------------------------- two parallel files


def write_texts(folder, texts, labels):
    (folder / "texts.txt").write_bytes("\n".join(texts).encode() + b"\n")
    (folder / "labels.txt.gz").write_bytes(gzip.compress("\n".join(labels).encode() + b"\n"))
    return folder / "texts.txt", folder / "labels.txt.gz"


def test_texts_and_labels_in_two_files(tmp_path):
    files = write_texts(tmp_path, ["Über\x0bn", "", "c\u2028d"], ["b a", "", " a  c_d\t"])
    both = load_texts(*files)
    assert both.data == ["Über\x0bn", "", "c\u2028d"]  # line feeds alone end a text
    assert both.target_names == ["a", "b", "c_d"]
    assert both.target.toarray().tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 1]]


def test_texts_with_the_labels_of_the_training_part(tmp_path):
    files = write_texts(tmp_path, ["one", "two"], ["b a", "c"])
    (tmp_path / "names.txt").write_text("c\nb\n")
    for names in (["c", "b"], tmp_path / "names.txt", str(tmp_path / "names.txt")):
        with pytest.warns(UserWarning, match="dropped: 1 of .*first: a., 1 assign.* now: 0"):
            both = load_texts(*files, names)
        assert both.target_names == ["c", "b"]
        assert both.target.toarray().tolist() == [[0, 1], [1, 0]]


def test_two_files_of_other_lengths(tmp_path):
    files = write_texts(tmp_path, ["one", "two"], ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"labels.txt.gz must be a file of 2 lines, as .*Got 3"):
        load_texts(*files)


def test_a_document_whose_identifier_is_null_has_its_number(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"text": "a", "labels": ["x"], "id": null}\n')
    assert load_jsonl(path).ids == ["1"]


def test_a_line_that_is_no_text_is_named(tmp_path):
    (tmp_path / "texts.txt").write_bytes(b"one\ntw\xff\n")
    (tmp_path / "labels.txt").write_bytes(b"a\nb\n")
    with pytest.raises(ValueError, match="Line 2 of .*texts.txt must be text in UTF-8"):
        load_texts(tmp_path / "texts.txt", tmp_path / "labels.txt")


# -------------------------------------------------------------------------------- their parts


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
