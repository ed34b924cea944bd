"""A made-up corpus with a long tail of labels."""

import numpy as np
from sklearn.utils import Bunch, check_random_state

from .._validation import check_number, must_be
from ._files import indicator

# The words of a made-up label: its own, its theme's, and everyday ones it is fond of.
N_OWN_WORDS, N_THEME_WORDS, N_FOND_WORDS, N_EVERYDAY_WORDS = 12, 6, 6, 4000


def make_long_tailed_corpus(
    n_samples: int = 2000,
    n_labels: int = 60,
    *,
    labels_per_sample: float = 1.5,
    exponent: float = 1.25,
    n_words: float = 60,
    topic_share: float = 0.3,
    noise: float = 0.1,
    random_state=None,
) -> Bunch:
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
        Labels; each has at least one document, so there are at most
        ``n_samples * labels_per_sample``.
    labels_per_sample : float, default=1.5
        Mean number of labels per document, parents not counted; from 1 to `n_labels`. Each
        document has at least one label.
    exponent : float, default=1.25
        The k-th most frequent label has a share proportional to ``k ** -exponent``; 0 or more.
    n_words : int, default=60
        Mean number of words per document; lengths are log-normal.
    topic_share : float, default=0.3
        Mean share of topical words in a document, between 0 and 1 (exclusive). Fewer make the
        labels harder to tell.
    noise : float, default=0.1
        Share of topical words that belong to another label, one per document, drawn by frequency.
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

    Raises
    ------
    ValueError
        If no such corpus can be made.

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
    _check_corpus_size(n_samples, n_labels, labels_per_sample)
    check_number("exponent", exponent, 0)
    check_number("n_words", n_words, 1)
    check_number("noise", noise, 0, 1)
    if not 0 < check_number("topic_share", topic_share) < 1:
        raise must_be("topic_share", "between 0 and 1, exclusive", repr(topic_share))
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


def _check_corpus_size(n_samples, n_labels, labels_per_sample):
    """Refuse sizes that no corpus can have."""
    check_number("n_samples", n_samples, 1, whole=True)
    check_number("n_labels", n_labels, 1, whole=True)
    check_number("labels_per_sample", labels_per_sample, 1, n_labels)
    most = int(n_samples * labels_per_sample)
    remedy = "Each label needs a document: n_samples * labels_per_sample are to be shared out."
    check_number("n_labels", n_labels, 1, most, whole=True, remedy=remedy)


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
