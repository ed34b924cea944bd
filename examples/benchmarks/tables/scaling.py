"""What a fit of `LongTailClassifier()` costs as documents and labels grow, all else equal.

Words are those of all documents, so that documents alone grow. "documents" are real ones with the
most frequent labels, so that each is known at all sizes, and made-up ones where real ones are too
few; "labels" are spaced evenly in the order by frequency, so that at all sizes a label has as many
documents in the mean.
"""

from bench import Row


def row(name, dataset, documents, labels, chosen):
    sizes = {"documents": documents, "labels": labels}
    return Row(
        *(name, dataset, "tfidf", "LongTailClassifier"),
        variant=sizes,
        sizes=sizes | {"chosen": chosen},
        seeds=1,
    )


DOCUMENTS = {"tib-gnd": (23_175, 1200), "made-up, large": (100_000, 100)}
ROWS = [
    row("documents", dataset, most // part, labels, "most frequent")
    for dataset, (most, labels) in DOCUMENTS.items()
    for part in (8, 4, 2, 1)
]
ROWS += [
    row("labels", "tib-gnd", 23_175, labels, "evenly spaced") for labels in (991, 3965, 15_861)
]
