"""Made-up corpora, the readers of file formats, and the fetcher (on an archive made here)."""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from skmltc.datasets import _reuters as datasets
from skmltc.datasets import fetch_reuters21578, load_jsonl, load_xmc, make_long_tailed_corpus

# ------------------------------------------------------------------------------- made up


@pytest.fixture(scope="module")
def corpus():
    return make_long_tailed_corpus(random_state=0)


def test_corpus_has_the_shape_and_the_tail_that_were_asked_for(corpus):
    counts = corpus.target.sum(axis=0)
    assert len(corpus.data) == 2000 and corpus.target.shape == (2000, 60)
    assert isinstance(corpus.target, sparse.csr_array) and set(corpus.target.data) == {1}
    assert counts.min() >= 1 and counts.max() > 400
    assert np.count_nonzero(counts <= 10) >= 10
    assert np.diff(corpus.target.indptr).min() >= 1
    assert len(set(corpus.target_names)) == 60
    assert "2000 documents, 60 labels" in corpus.DESCR


def test_parents_stand_on_the_documents_of_their_children(corpus):
    parents, y = corpus.label_parents, corpus.target.toarray()
    assert parents.shape == (60,) and 10 < np.count_nonzero(parents >= 0) < 50
    for child in np.flatnonzero(parents >= 0):
        assert (y[:, parents[child]] >= y[:, child]).all()
        assert parents[parents[child]] == -1


def test_words_are_those_a_vectorizer_takes(corpus):
    analyze = TfidfVectorizer(stop_words="english").build_analyzer()
    n_tokens = [len(text.split()) for text in corpus.data]
    assert [len(analyze(text)) for text in corpus.data] == n_tokens
    assert 50 < np.mean(n_tokens) < 70 and np.std(n_tokens) > 20 and min(n_tokens) >= 5


def test_a_label_is_named_by_a_word_of_its_documents(corpus):
    has_word = [
        np.array([name in text.split() for text in corpus.data]) for name in corpus.target_names
    ]
    y = corpus.target.toarray() == 1
    share = np.array(
        [[word[on].mean(), word[~on].mean()] for word, on in zip(has_word, y.T, strict=True)]
    )
    assert share[:, 0].mean() > 0.5 and share[:, 1].max() < 0.1


def test_corpus_is_as_hard_as_a_real_one(corpus):
    texts, test_texts, y, y_test = train_test_split(corpus.data, corpus.target, random_state=0)
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    model = OneVsRestClassifier(LinearSVC(class_weight="balanced", random_state=0))
    model.fit(vectorizer.fit_transform(texts), y)
    predicted = model.predict(vectorizer.transform(test_texts))
    tail = (y.sum(axis=0) <= 10) & (y_test.sum(axis=0) > 0)
    scores = f1_score(y_test, predicted, average=None, zero_division=0)
    assert 0.70 <= f1_score(y_test, predicted, average="micro") <= 0.87
    assert 0.10 <= scores[tail].mean() <= 0.50


def test_corpus_depends_on_the_seed_alone():
    state = np.random.get_state()[1].copy()
    first, again, other = (
        make_long_tailed_corpus(n_samples=50, n_labels=10, random_state=seed) for seed in (1, 1, 2)
    )
    assert first.data == again.data and first.target_names == again.target_names
    assert_array_equal(first.target.toarray(), again.target.toarray())
    assert first.data != other.data
    assert_array_equal(state, np.random.get_state()[1])


@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (40, 1), (3000, 400)])
def test_corpora_of_any_size(shape):
    corpus = make_long_tailed_corpus(*shape, random_state=0)
    assert corpus.target.shape == shape and len(corpus.data) == shape[0]
    assert corpus.target.sum(axis=0).min() >= 1 and corpus.target.sum(axis=1).min() >= 1


def test_every_document_has_a_label_although_counts_are_rounded():
    for n_samples in range(20, 40):
        y = make_long_tailed_corpus(n_samples, 6, labels_per_sample=1, random_state=0).target
        assert y.sum(axis=1).min() == 1


def test_options_change_what_they_say():
    def corpus(**options):
        return make_long_tailed_corpus(n_samples=500, n_labels=20, random_state=0, **options)

    assert corpus(labels_per_sample=3).target.sum() > 1.5 * corpus().target.sum()
    assert corpus(n_words=120).data[0].count(" ") > 1.5 * corpus().data[0].count(" ")
    flat, steep = (corpus(exponent=e).target.sum(axis=0) for e in (0, 2))
    assert flat.max() < steep.max() and flat.min() > steep.min()
    words = [len(set(" ".join(corpus(topic_share=s).data).split())) for s in (0.05, 0.9)]
    assert words[0] > words[1]


def test_noise_puts_topical_words_into_strange_documents():
    def share_of_strangers(noise):
        corpus = make_long_tailed_corpus(
            n_samples=500, n_labels=10, exponent=0, noise=noise, random_state=0
        )
        on = corpus.target.toarray() == 1
        has = np.array([[n in text.split() for n in corpus.target_names] for text in corpus.data])
        return has[~on].mean()

    assert share_of_strangers(0.0) == 0 < share_of_strangers(0.3)


@pytest.mark.parametrize(
    "option", ["n_samples", "n_labels", "labels_per_sample", "n_words", "topic_share", "noise"]
)
def test_options_no_corpus_can_be_made_of_are_refused(option):
    with pytest.raises(ValueError, match=f"{option} must be .* Got -1 instead"):
        make_long_tailed_corpus(**{option: -1})


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


DATA = Path(os.environ.get("SKMLTC_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.mark.skipif(not DATA.is_dir(), reason="real data: give its folder as SKMLTC_DATA")
def test_real_data():
    train = load_jsonl(DATA / "reuters")
    test = load_jsonl(DATA / "reuters", subset="test")
    assert train.target.shape == (7770, 90) and test.target.shape == (3019, 90)
    assert train.target_names == test.target_names
    assert train.target.sum(axis=0)[train.target_names.index("earn")] == 2877
    with pytest.warns(UserWarning, match="51 labels"):
        classes = load_jsonl(DATA / "tib-bk", subset="test")
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
    rng = np.random.RandomState(0)
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


# -------------------------------------------------------------------------- Reuters-21578


def story(number, split, topics, text, marked="YES"):
    names = "".join(f"<D>{topic}</D>" for topic in topics)
    return (
        f'<REUTERS TOPICS="{marked}" LEWISSPLIT="{split}" CGISPLIT="TRAINING-SET" '
        f'OLDID="5544" NEWID="{number}">\n<DATE>26-FEB-1987</DATE>\n<TOPICS>{names}</TOPICS>\n'
        f"<PLACES><D>usa</D></PLACES>\n<UNKNOWN>\n&#5;&#5;&#5;C T\n</UNKNOWN>\n{text}\n</REUTERS>\n"
    )


FORMATTED = (
    "<TEXT>&#2;\n<TITLE>{}</TITLE>\n<DATELINE>    LONDON, Feb 26 - </DATELINE><BODY>{}\n"
    " Reuter\n&#3;</BODY></TEXT>"
)
STORIES = [
    story(1, "TRAIN", ["cocoa"], FORMATTED.format("BAHIA &lt;COCOA>", "Rain\nfell  on\tB&amp;B.")),
    story(2, "TRAIN", ["earn", "cocoa"], '<TEXT TYPE="BRIEF">&#2;\n<TITLE>PROFIT</TITLE>\n</TEXT>'),
    story(
        3,
        "TRAIN",
        ["tin", "earn"],
        FORMATTED.format("TIN", "Reuter says so.").replace(" Reuter\n", "REUTER\n"),
    ),
    story(4, "TRAIN", ["rare"], FORMATTED.format("NEVER TESTED", "x")),
    story(5, "TRAIN", ["earn"], FORMATTED.format("NOT MARKED", "x"), marked="NO"),
    story(6, "NOT-USED", ["earn"], FORMATTED.format("NOT USED", "x")),
    story(7, "TRAIN", [], FORMATTED.format("NO TOPIC", "x")),
    story(8, "TEST", ["cocoa"], FORMATTED.format("SECOND", "Beans.")),
    story(9, "TEST", ["earn", "new"], '<TEXT TYPE="UNPROC">&#2;\nRaw\n  lines\n&#3;</TEXT>'),
    story(10, "TEST", ["tin"], FORMATTED.format("TIN", "is metal")),
]


@pytest.fixture
def data_home(tmp_path):
    """A small archive in the place where the fetcher keeps its own."""
    folder = tmp_path / "reuters21578"
    folder.mkdir()
    with tarfile.open(folder / "reuters21578.tar.gz", "w:gz") as archive:
        for name, stories in [
            ("reut2-001.sgm", STORIES[7:]),
            ("./reut2-000.sgm", STORIES[:7]),
            ("README.txt", STORIES[:1]),
        ]:
            content = f"<!DOCTYPE lewis>\n{''.join(stories)}".encode("latin-1")
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return tmp_path


def test_reuters_is_split_as_mod_apte(data_home):
    train = fetch_reuters21578(data_home=data_home, download_if_missing=False)
    test = fetch_reuters21578(data_home=data_home, subset="test", download_if_missing=False)
    assert train.target_names == test.target_names == ["cocoa", "earn", "tin"]
    assert train.ids == ["training/1", "training/2", "training/3"]
    assert test.ids == ["test/8", "test/9", "test/10"]
    assert train.target.toarray().tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    assert test.target.toarray().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert train.data == ["BAHIA <COCOA>\nRain\nfell on B&B.", "PROFIT", "TIN\nReuter says so."]
    assert test.data == ["SECOND\nBeans.", "Raw\nlines", "TIN\nis metal"]
    assert "research purposes only" in train.DESCR


def test_reuters_is_read_from_its_cache(data_home):
    first = fetch_reuters21578(data_home=data_home, subset="all")
    (data_home / "reuters21578" / "reuters21578.tar.gz").unlink()
    again = fetch_reuters21578(data_home=data_home, subset="all", download_if_missing=False)
    assert first.data == again.data and len(first.data) == 6
    assert sorted(p.name for p in (data_home / "reuters21578").iterdir()) == [
        "test.jsonl.gz",
        "train.jsonl.gz",
    ]


def test_reuters_is_not_downloaded_against_the_users_will(tmp_path):
    with pytest.raises(OSError, match="download_if_missing is False"):
        fetch_reuters21578(data_home=tmp_path, download_if_missing=False)
    with pytest.raises(ValueError, match="subset must be one of"):
        fetch_reuters21578(data_home=tmp_path, subset="validation")


def test_reuters_is_downloaded_and_checked(data_home, tmp_path, monkeypatch):
    archive = data_home / "reuters21578" / "reuters21578.tar.gz"
    monkeypatch.setattr(datasets, "REUTERS_URL", archive.as_uri())
    with pytest.raises(OSError, match="The SHA256 of .* must be 3bae43c9"):
        fetch_reuters21578(data_home=tmp_path / "new")
    assert not list((tmp_path / "new").rglob("*.gz"))
    sha256 = datasets.hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(datasets, "REUTERS_SHA256", sha256)
    assert len(fetch_reuters21578(data_home=tmp_path / "new").data) == 3
