"""Long-tailed multi-label corpora: made up, read from files, or fetched.

Every loader returns a :class:`sklearn.utils.Bunch` whose `target` is a sparse label indicator
matrix; `data` is a list of texts, or a sparse matrix of features from :func:`load_xmc`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import urllib.request
import warnings
from itertools import chain
from pathlib import Path

import numpy as np
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch, check_random_state

from ._formats import indicator, read_jsonl, read_pairs, read_reuters, read_xmc
from ._validation import check_choice, must_be

SUBSETS = ("train", "test", "all")

# The words of a made-up label: its own, its theme's, and everyday ones it is fond of.
N_OWN_WORDS, N_THEME_WORDS, N_FOND_WORDS, N_EVERYDAY_WORDS = 12, 6, 6, 4000

REUTERS_URL = "https://kdd.ics.uci.edu/databases/reuters21578/reuters21578.tar.gz"
REUTERS_SHA256 = "3bae43c9b14e387f76a61b6d82bf98a4fb5d3ef99ef7e7075ff2ccbcf59f9d30"
REUTERS_DESCR = """Reuters-21578, Distribution 1.0: newswire stories of 1987, collected and \
labelled by Reuters Ltd and Carnegie Group, prepared by David D. Lewis.

The ModApte split with the 90 topics that have a training and a test story. Copyright of the
texts: Reuters Ltd; free for research purposes only, naming the collection, Reuters and Carnegie
Group; this notice must travel with copies."""


# ---------------------------------------------------------------------------------- made up


def make_long_tailed_corpus(
    n_samples=2000,
    n_labels=60,
    *,
    labels_per_sample=1.5,
    exponent=1.25,
    n_words=60,
    topic_share=0.3,
    noise=0.1,
    random_state=None,
):
    """Make up a corpus whose labels have the long tail of real ones.

    Label frequencies follow Zipf's law. Labels belong to themes, one for six labels or so; the
    most frequent label of a theme is the parent of half the others, and stands on all of their
    documents. A document is a bag of pseudo-words: everyday ones, and topical ones of its
    labels. Some of a label's topical words are its own, some its theme's, some everyday words,
    and part of a document's topical words belong to some other label.

    With the defaults, one-vs-rest ``LinearSVC(class_weight="balanced")`` on tf-idf features of
    three quarters of the documents reaches a micro-F1 of about 78 on the rest, and a macro-F1 of
    about 30 on the labels with at most 10 training documents.

    Parameters
    ----------
    n_samples : int, default=2000
        Documents.
    n_labels : int, default=60
        Labels; each has at least one document.
    labels_per_sample : float, default=1.5
        Mean number of labels a document, parents not counted; at least 1. Each document has at
        least one label.
    exponent : float, default=1.25
        The k-th most frequent label has a share proportional to ``k ** -exponent``.
    n_words : int, default=60
        Mean number of words a document; lengths are log-normal.
    topic_share : float, default=0.3
        Mean share of topical words in a document, between 0 and 1 (exclusive). Fewer make the
        labels harder to tell.
    noise : float, default=0.1
        Share of topical words that belong to another label, one a document, drawn by frequency.
    random_state : int, RandomState instance or None, default=None
        The same integer makes the same corpus.

    Returns
    -------
    Bunch
        - data : list of str, the texts;
        - target : csr_array of int of shape (n_samples, n_labels), the label indicators;
        - target_names : list of str, the most frequent topical word of each label;
        - label_parents : array of int of shape (n_labels,), the column of each label's parent,
          -1 for a root;
        - DESCR : str.

    Examples
    --------
    >>> from skmltc.datasets import make_long_tailed_corpus
    >>> corpus = make_long_tailed_corpus(n_samples=500, n_labels=20, random_state=0)
    >>> len(corpus.data), corpus.target.shape
    (500, (500, 20))
    >>> counts = corpus.target.sum(axis=0)
    >>> int(counts.max()), int(counts.min())
    (369, 7)
    """
    _check_corpus_options(n_samples, n_labels, labels_per_sample, n_words, topic_share, noise)
    rng = check_random_state(random_state)
    frequencies = rng.permutation(_zipf(n_labels, exponent))
    assigned = _deal_labels(rng, n_samples, frequencies, labels_per_sample)
    themes, parents = _make_themes(rng, frequencies)
    words = _topical_words(rng, themes)
    tokens, ends = _draw_tokens(rng, assigned, frequencies, words, n_words, topic_share, noise)
    vocabulary = _vocabulary(rng, words.max() + 1)
    target = _add_parents(assigned, parents)
    return Bunch(
        data=[" ".join(text) for text in np.split(vocabulary[tokens], ends[:-1])],
        target=target,
        target_names=vocabulary[words[:, 0]].tolist(),
        label_parents=parents,
        DESCR=f"A made-up long-tailed corpus: {n_samples} documents, {n_labels} labels with "
        f"{target.sum(axis=0).min()} to {target.sum(axis=0).max()} documents each.",
    )


def _check_corpus_options(n_samples, n_labels, labels_per_sample, n_words, topic_share, noise):
    """Refuse what no corpus can be made of."""
    for name, value in [
        ("n_samples", n_samples),
        ("n_labels", n_labels),
        ("labels_per_sample", labels_per_sample),
        ("n_words", n_words),
    ]:
        if value < 1:
            raise must_be(name, "at least 1", repr(value))
    if not 0 < topic_share < 1:
        raise must_be("topic_share", "between 0 and 1, exclusive", repr(topic_share))
    if not 0 <= noise <= 1:
        raise must_be("noise", "between 0 and 1", repr(noise))


def _zipf(n, exponent):
    """Shares of n things by Zipf's law, most frequent first."""
    weights = np.arange(1, n + 1) ** -float(exponent)
    return weights / weights.sum()


def _draw(rng, shares, size):
    """Numbers 0, 1, ... drawn by their shares."""
    return np.searchsorted(np.cumsum(shares)[:-1], rng.random_sample(size), side="right")


def _deal_labels(rng, n_samples, frequencies, labels_per_sample):
    """Label indicators: one label for each document first, the other assignments anywhere."""
    counts = np.maximum(1, np.round(frequencies * n_samples * labels_per_sample)).astype(int)
    counts[counts.argmax()] += max(0, n_samples - counts.sum())
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    others = rng.randint(n_samples, size=max(0, len(labels) - n_samples))
    documents = np.concatenate([rng.permutation(n_samples)[: len(labels)], others])
    return indicator(documents, labels, (n_samples, len(counts)))


def _make_themes(rng, frequencies):
    """Theme of each label, and its parent: the theme's most frequent label, for half of them."""
    n_labels = len(frequencies)
    roots = np.argsort(-frequencies)[: max(1, n_labels // 6)]
    themes = rng.randint(len(roots), size=n_labels)
    themes[roots] = np.arange(len(roots))
    is_child = rng.random_sample(n_labels) < 0.5
    is_child[roots] = False
    return themes, np.where(is_child, roots[themes], -1)


def _add_parents(assigned, parents):
    """Put the parents of a document's labels on the document too."""
    children = np.flatnonzero(parents >= 0)
    edges = indicator(children, parents[children], (len(parents), len(parents)))
    rows, columns = (assigned + assigned @ edges).nonzero()
    return indicator(rows, columns, assigned.shape)


def _topical_words(rng, themes):
    """Numbers of each label's words, heaviest first; the first is the label's own."""
    n_labels, first_theme_word = len(themes), N_EVERYDAY_WORDS
    first_own_word = first_theme_word + (themes.max() + 1) * N_THEME_WORDS
    words = np.hstack(
        [
            first_own_word + np.arange(n_labels * N_OWN_WORDS).reshape(n_labels, N_OWN_WORDS),
            first_theme_word + themes[:, None] * N_THEME_WORDS + np.arange(N_THEME_WORDS),
            rng.randint(50, N_EVERYDAY_WORDS, size=(n_labels, N_FOND_WORDS)),
        ]
    )
    order = rng.random_sample(words.shape)
    order[:, 0] = 0
    return np.take_along_axis(words, order.argsort(axis=1), axis=1)


def _draw_tokens(rng, assigned, frequencies, words, n_words, topic_share, noise):
    """Word number of every token of the corpus, and where each document ends."""
    n_samples, spread = assigned.shape[0], 0.7
    lengths = rng.lognormal(np.log(n_words) - spread**2 / 2, spread, size=n_samples)
    lengths = np.maximum(lengths.astype(int), 5)
    document = np.repeat(np.arange(n_samples), lengths)
    n_tokens = len(document)
    shares = rng.beta(6 * topic_share, 6 * (1 - topic_share), size=n_samples)
    is_topical = rng.random_sample(n_tokens) < shares[document]
    n_own = np.diff(assigned.indptr)[document]
    pick = assigned.indptr[document] + (rng.random_sample(n_tokens) * n_own).astype(int)
    stranger = _draw(rng, frequencies, n_samples)[document]
    is_noise = rng.random_sample(n_tokens) < noise
    label = np.where(is_noise, stranger, assigned.indices[pick])
    topical = words[label, _draw(rng, _zipf(words.shape[1], 0.7), n_tokens)]
    everyday = _draw(rng, _zipf(N_EVERYDAY_WORDS, 1.0), n_tokens)
    return np.where(is_topical, topical, everyday), np.cumsum(lengths)


def _vocabulary(rng, n_words):
    """Different pronounceable words of two syllables or more, as an array of str."""
    syllables = np.array([a + b for a in "bdhklmnrstv" for b in "aiou"], dtype=object)
    words = syllables
    while len(words) < n_words + len(syllables):
        words = np.concatenate([syllables, np.add.outer(words, syllables).ravel()])
    order = rng.permutation(len(words) - len(syllables))
    return words[len(syllables) + order[:n_words]]


# ------------------------------------------------------------------------------- JSON lines


def load_jsonl(path, *, subset="train", target_names=None):
    """Read labelled texts, one JSON object a line with the keys id, text and labels.

    Parameters
    ----------
    path : str or path-like
        A folder with ``train.jsonl`` and ``test.jsonl``, or a single such file (then `subset`
        is without effect). Either may be compressed, with the ending ``.gz``. A folder may also
        have ``hierarchy.tsv`` (child TAB parent) and ``label_names.tsv`` (label TAB name).
    subset : {"train", "test", "all"}, default="train"
        Part to read from a folder; "all" is both, the training part first.
    target_names : list of str, optional
        The labels, one a column of `target`. Others are dropped, and a warning says how many.
        By default they are, sorted, the labels of the file; in a folder those of the training
        part for both "train" and "test", so that the two have the same columns, and those of
        both parts for "all".

    Returns
    -------
    Bunch
        - data : list of str, the texts;
        - target : csr_array of int of shape (n_samples, n_labels), the label indicators; a row
          without ones where a document has none of the labels;
        - target_names : list of str, the labels in the order of the columns;
        - ids : list of str, the documents' ids, or else their line numbers;
        - label_names : list of str, readable names (the label itself where there is none), if
          there is ``label_names.tsv``;
        - label_parents : array of int of shape (n_labels,), the column of each label's parent or
          -1, if there is ``hierarchy.tsv``; if a label has several parents, a csr_array of
          shape (n_labels, n_labels) with ones at (child, parent).

    Raises
    ------
    ValueError
        If a line is broken; the message names the file and the line.
    FileNotFoundError
        If the part is not in the folder.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from skmltc.datasets import load_jsonl
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "recipes.jsonl"
    >>> record = {"id": "1", "text": "How do I keep milk fresh?", "labels": ["milk", "storage"]}
    >>> _ = path.write_text(json.dumps(record))
    >>> recipes = load_jsonl(path)
    >>> recipes.target_names, recipes.target.toarray()
    (['milk', 'storage'], array([[1, 1]]))
    """
    check_choice("subset", subset, SUBSETS)
    path = Path(path)
    records = list(chain.from_iterable(map(read_jsonl, _files_of(path, subset))))
    if target_names is None:
        is_test = path.is_dir() and subset == "test"
        source = read_jsonl(_files_of(path, "train")[0]) if is_test else records
        target_names = sorted({label for _, _, labels in source for label in labels})
    bunch = Bunch(
        data=[text for _, text, _ in records],
        target=_target([labels for _, _, labels in records], target_names),
        target_names=list(target_names),
        ids=[identifier for identifier, _, _ in records],
    )
    return _add_label_files(bunch, path)


def _files_of(path, subset):
    """Find the files of a subset; a path that is no folder is the file."""
    if not path.is_dir():
        return [path]
    parts = ("train", "test") if subset == "all" else (subset,)
    files = []
    for part in parts:
        found = [path / f"{part}{end}" for end in (".jsonl.gz", ".jsonl")]
        found = [file for file in found if file.exists()]
        if not found:
            raise FileNotFoundError(
                f"path must be a folder with {part}.jsonl.gz or {part}.jsonl. "
                f"Got {str(path)!r} instead. A single file can be given by its own path."
            )
        files.append(found[0])
    return files


def _target(label_lists, target_names):
    """Label indicators, with a warning for labels that have no column."""
    column_of = {label: column for column, label in enumerate(target_names)}
    if len(column_of) < len(target_names):
        raise must_be(
            "target_names",
            "different labels",
            f"{len(target_names) - len(column_of)} repeated ones",
        )
    rows = np.repeat(np.arange(len(label_lists)), [len(labels) for labels in label_lists])
    labels = list(chain.from_iterable(label_lists))
    columns = np.fromiter((column_of.get(label, -1) for label in labels), dtype=np.int64)
    known = columns >= 0
    target = indicator(rows[known], columns[known], (len(label_lists), len(target_names)))
    if not known.all():
        unknown = sorted({labels[place] for place in np.flatnonzero(~known)})
        n_bare = np.count_nonzero(np.diff(target.indptr)[np.unique(rows[~known])] == 0)
        warnings.warn(
            f"{len(unknown)} labels, {np.count_nonzero(~known)} assignments in all, are not among "
            f"target_names and were dropped (the first: {', '.join(unknown[:3])}); "
            f"{n_bare} documents have no label left.",
            stacklevel=3,
        )
    return target


def _add_label_files(bunch, folder):
    """Readable names and parents of the labels, from the files of the folder that has them."""
    if (folder / "label_names.tsv").exists():
        names = dict(read_pairs(folder / "label_names.tsv"))
        bunch.label_names = [names.get(label, label) for label in bunch.target_names]
    if (folder / "hierarchy.tsv").exists():
        bunch.label_parents = _label_parents(
            read_pairs(folder / "hierarchy.tsv"), bunch.target_names
        )
    return bunch


def _label_parents(edges, target_names):
    """Parent column of each label or -1; a sparse matrix where a label has several parents."""
    column_of = {label: column for column, label in enumerate(target_names)}
    known = {
        (column_of[child], column_of[parent])
        for child, parent in edges
        if child in column_of and parent in column_of
    }
    children, parents = np.array(sorted(known), dtype=np.int64).reshape(-1, 2).T
    if len(np.unique(children)) < len(children):
        return indicator(children, parents, (len(target_names), len(target_names)))
    label_parents = np.full(len(target_names), -1)
    label_parents[children] = parents
    return label_parents


# ------------------------------------------------------------------ the extreme classification


def load_xmc(path):
    r"""Read a file in the sparse format of the extreme classification repository.

    The first line is ``n_samples n_features n_labels``; each other one is a document,
    ``label,label feature:value feature:value``, numbers counted from 0. A document without
    labels starts with a blank.

    Parameters
    ----------
    path : str or path-like
        The file, compressed if it ends in ``.gz``.

    Returns
    -------
    Bunch
        - data : csr_array of float32 of shape (n_samples, n_features);
        - target : csr_array of int of shape (n_samples, n_labels), the label indicators.

    Raises
    ------
    ValueError
        If a line is broken (the message names it), or if lines are missing.

    References
    ----------
    Bhatia et al., The extreme classification repository,
    http://manikvarma.org/downloads/XC/XMLRepository.html

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from skmltc.datasets import load_xmc
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.txt"
    >>> _ = path.write_text("2 4 3\n0,2 1:0.5 3:2\n 0:1\n")
    >>> tiny = load_xmc(path)
    >>> tiny.target.toarray()
    array([[1, 0, 1],
           [0, 0, 0]])
    """
    data, target = read_xmc(Path(path))
    return Bunch(data=data, target=target)


# ----------------------------------------------------------------------------- Reuters-21578


def fetch_reuters21578(*, data_home=None, subset="train", download_if_missing=True):
    """Load the newswire stories of Reuters-21578, downloading them if need be (multi-label).

    The ModApte split, made from the marks of the collection itself: stories marked
    ``TOPICS="YES"`` whose ``LEWISSPLIT`` is TRAIN or TEST, and the topics that have a story of
    each kind. Stories without such a topic are left out. Text is the headline, a line break and
    the body.

    ==================   ====================
    Documents, train                     7770
    Documents, test                      3019
    Labels                                 90
    Labels a document                    1.24
    ==================   ====================

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
