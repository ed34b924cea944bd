"""LongTailClassifier: its defaults, its members one by one, and a LinearSVC with all its choices.

Rows "alone" are one model, calibrated, with the same rule; "in context" is a stack of one member:
what the other labels of the document add. Rows with an encoder take a folder as SKMLTC_ENCODER;
texts are encoded before a fit is timed. "weighed PSP@5" ranks by probability times inverse
propensity.
"""

from dataclasses import replace

from bench import Row
from bench.rows import PAPERS_OF_REUTERS

SMALL = ("reuters", "cooking")  # whose rows have several seeds
SHORT = (
    ("tib-bk", "default", "tfidf"),
    ("tib-bk", "from_texts", "vectors 128 and texts"),
    ("tib-bk", "LinearSVC", "tfidf"),
)
GROUPS = {"reuters": PAPERS_OF_REUTERS, "cooking": {}, "tib-bk": {}, "tib-gnd": {}}
WORDS, ENCODED = "texts", "vectors 128 and texts"
FEATURES = "tfidf", "vectors 128 and tfidf"
ALONE = {
    "words": {"loss": "squared_hinge", "threshold": "micro_macro"},
    "CB-NTR": {"threshold": "micro_macro"},
}
STACKS = {  # by what they read
    WORDS: {
        "words in context": ("words",),
        "CB-NTR in context": ("CB-NTR",),
        "LinearSVC in context": ("LinearSVC",),
        "neighbors by words in context": ("neighbors by words",),
        "words, CB-NTR, neighbors": ("words", "CB-NTR", "neighbors by words"),
        "words, characters, neighbors": ("words", "characters", "neighbors by words"),
    },
    ENCODED: {
        "without words": ("meaning", "neighbors by meaning"),
        "without meaning": ("words", "neighbors by words", "neighbors by meaning"),
        "without neighbors": ("words", "meaning"),
        "neighbors by words": ("words", "meaning", "neighbors by words"),
        "neighbors by meaning": ("words", "meaning", "neighbors by meaning"),
    },
}


def row(name, dataset, kind, estimator, **parameters):
    return Row(
        *(name, dataset, kind, estimator),
        parameters=parameters,
        groups=GROUPS[dataset],
        calibration=True,
        seeds=None if dataset in SMALL or (dataset, name, kind) in SHORT else 1,
    )


ROWS = []
for dataset in ("reuters", "cooking", "tib-bk"):
    ROWS += [row("default", dataset, "tfidf", "LongTailClassifier")]
    ROWS += [row("with trees", dataset, "tfidf", "LongTailClassifier", refine="trees")]
    ROWS += [row("from_texts", dataset, WORDS, "from_texts")]
    ROWS += [row("from_texts", dataset, ENCODED, "from_texts", encoder=True)]
    ROWS += [
        row(f"{name} alone", dataset, "tfidf", "BalancedLossClassifier", **parameters)
        for name, parameters in ALONE.items()
    ]
    ROWS += [
        row(name, dataset, kind, "stack", members=members)
        for kind, stacks in STACKS.items()
        for name, members in stacks.items()
    ]
    ROWS += [row("LinearSVC", dataset, kind, "LinearSVC, all chosen") for kind in FEATURES]
ROWS += [row("default", "tib-gnd", "tfidf", "LongTailClassifier")]
ROWS += [replace(row("default", "reuters", "tokens 128", "LongTailClassifier"), seeds=1)]
