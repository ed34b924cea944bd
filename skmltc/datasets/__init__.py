"""Long-tailed multi-label corpora: made up, read from files, or fetched.

Every loader returns a :class:`sklearn.utils.Bunch` whose `target` is a sparse label indicator
matrix; `data` is a list of texts, or a sparse matrix of features from :func:`load_xmc`.
"""

from ._generate import make_long_tailed_corpus
from ._readers import load_jsonl, load_texts
from ._reuters import fetch_reuters21578
from ._xmc import load_xmc

__all__ = [
    "fetch_reuters21578",
    "load_jsonl",
    "load_texts",
    "load_xmc",
    "make_long_tailed_corpus",
]
