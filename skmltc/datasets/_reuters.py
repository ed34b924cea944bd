"""Reuters-21578, from its source."""

import gzip
import hashlib
import html
import json
import re
import tarfile
import urllib.request
from pathlib import Path

from sklearn.datasets import get_data_home

from .._validation import check_choice
from ._files import SUBSETS
from ._readers import load_jsonl

REUTERS_URL = "https://kdd.ics.uci.edu/databases/reuters21578/reuters21578.tar.gz"
REUTERS_SHA256 = "3bae43c9b14e387f76a61b6d82bf98a4fb5d3ef99ef7e7075ff2ccbcf59f9d30"
REUTERS_DESCR = """Reuters-21578, Distribution 1.0: newswire stories of 1987, collected and \
labelled by Reuters Ltd and Carnegie Group, prepared by David D. Lewis.

The ModApte split with the 90 topics that have a training and a test story. Copyright of the
texts: Reuters Ltd; free for research purposes only, naming the collection, Reuters and Carnegie
Group; this notice must travel with copies."""


def fetch_reuters21578(*, data_home=None, subset="train", download_if_missing=True):
    """Load the newswire stories of Reuters-21578, downloading them if need be (multi-label).

    The ModApte split, made from the marks of the collection itself: stories marked
    ``TOPICS="YES"`` whose ``LEWISSPLIT`` is TRAIN or TEST, and the topics that have a story of
    each kind. Stories without such a topic are left out. Text is the headline, a line break and
    the body.

    ===================  ====================
    Documents, train                     7770
    Documents, test                      3019
    Labels                                 90
    Labels per document                  1.24
    ===================  ====================

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder of the data sets, ``~/scikit_learn_data`` by default. The collection is kept in
        its subfolder ``reuters21578``; a ``reuters21578.tar.gz`` found there is not downloaded.
    subset : {"train", "test", "all"}, default="train"
        Part to return; "all" is both, the training part first. The columns are always the same.
    download_if_missing : bool, default=True
        If False, raise an OSError where the collection is not in `data_home`.

    Returns
    -------
    Bunch
        data, target, target_names and ids as of :func:`load_jsonl`, and DESCR, the terms of use.
        Ids are ``training/NEWID`` and ``test/NEWID``.

    References
    ----------
    D. D. Lewis, Reuters-21578 text categorization test collection, Distribution 1.0 (1997).

    Examples
    --------
    >>> from skmltc.datasets import fetch_reuters21578
    >>> train = fetch_reuters21578(subset="train")  # doctest: +SKIP
    >>> test = fetch_reuters21578(subset="test")  # doctest: +SKIP
    """
    check_choice("subset", subset, SUBSETS)
    folder = Path(get_data_home(data_home)) / "reuters21578"
    if not (folder / "test.jsonl.gz").exists():
        archive = folder / "reuters21578.tar.gz"
        if not archive.exists():
            if not download_if_missing:
                raise OSError(f"{archive} is not there, and download_if_missing is False.")
            _download(REUTERS_URL, REUTERS_SHA256, archive)
        _write_mod_apte(read_reuters(archive), folder)
    bunch = load_jsonl(folder, subset=subset)
    bunch.DESCR = REUTERS_DESCR
    return bunch


def _download(url, sha256, path):
    """Download a small file, and keep it only if it is the right one."""
    with urllib.request.urlopen(url, timeout=60) as response:
        content = response.read()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise OSError(f"The SHA256 of {url} must be {sha256}. Got {found} instead.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def _write_mod_apte(stories, folder):
    """Cache both parts, with the topics that have a story in each."""
    parts = {"train": [], "test": []}
    for part, record in stories:
        parts[part].append(record)
    topics = set.intersection(*({x for r in part for x in r["labels"]} for part in parts.values()))
    for part, records in parts.items():
        path = folder / f"{part}.jsonl.gz"
        unfinished = folder / f"{part}.part"
        with gzip.open(unfinished, "wt", encoding="utf-8") as file:
            for record in records:
                record["labels"] = [x for x in record["labels"] if x in topics]
                if record["labels"]:
                    file.write(json.dumps(record) + "\n")
        unfinished.replace(path)


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
