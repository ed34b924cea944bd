"""The fetcher of Reuters-21578, on an archive made here."""

import hashlib
import io
import tarfile

import pytest

from skmltc.datasets import _reuters, fetch_reuters21578


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
    monkeypatch.setattr(_reuters, "REUTERS_URL", archive.as_uri())
    with pytest.raises(OSError, match="The SHA256 of .* must be 3bae43c9"):
        fetch_reuters21578(data_home=tmp_path / "new")
    assert not list((tmp_path / "new").rglob("*.gz"))
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(_reuters, "REUTERS_SHA256", sha256)
    assert len(fetch_reuters21578(data_home=tmp_path / "new").data) == 3
