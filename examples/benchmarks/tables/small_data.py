"""LongTailClassifier and a LinearSVC with all its choices on few documents, and on dense labels.

Documents are drawn once; test documents are all of the set, and labels those that were drawn.
Delicious has 19 labels per document, and no rare ones.
"""

from bench import Row

SIZES = (500, 1000, 2000)
METHODS = {"default": "LongTailClassifier", "LinearSVC": "LinearSVC, all chosen"}


def row(name, dataset, n_train=None):
    return Row(
        *(name, dataset, "tfidf", METHODS[name]),
        variant={"documents": n_train or "all"},
        groups={"max_tail_count": 4, "min_head_count": 20} if n_train else {},
        calibration=True,
        n_train=n_train,
        seeds=None if n_train else 1,
    )


ROWS = [
    row(name, dataset, size)
    for dataset in ("reuters", "cooking", "tib-bk")
    for size in SIZES
    for name in METHODS
]
ROWS += [row(name, "delicious-bow") for name in METHODS]
