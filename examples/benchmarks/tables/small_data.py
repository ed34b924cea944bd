"""LongTailClassifier and a LinearSVC with all its choices on few documents, and on dense labels.

Documents are drawn once; test documents are all of the set, and labels those that were drawn.
Delicious has 19 labels per document, and no rare ones. Rows with vectors take the folder of an
encoder as SKMLTC_ENCODER: the stack reads words and vectors as members of their own, the LinearSVC
both as columns.
"""

from bench import Row

SIZES = (500, 1000, 2000)
METHODS = {  # per what it reads
    ("default", "tfidf"): "LongTailClassifier",
    ("LinearSVC", "tfidf"): "LinearSVC, all chosen",
    ("from_texts", "vectors 128 and texts"): "from_texts",
    ("LinearSVC", "vectors 128 and tfidf"): "LinearSVC, all chosen",
}


def row(name, kind, dataset, n_train=None):
    return Row(
        *(name, dataset, kind, METHODS[name, kind]),
        parameters={"encoder": True} if name == "from_texts" else {},
        variant={"documents": n_train or "all"},
        groups={"max_tail_count": 4, "min_head_count": 20} if n_train else {},
        calibration=True,
        n_train=n_train,
        seeds=None if n_train else 1,
    )


ROWS = [
    row(name, kind, dataset, size)
    for dataset in ("reuters", "cooking", "tib-bk")
    for size in SIZES
    for name, kind in METHODS
]
ROWS += [row(name, "tfidf", "delicious-bow") for name in ("default", "LinearSVC")]
