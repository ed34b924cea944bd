"""The ablation of TReaderXML (Wang et al., arXiv 2205.11973), and what helps it.

    0 nothing           neither teacher nor attention layers in front of the interaction
    1 teacher           the labels of 5 neighbours are read beside the text
    2 to 6              the teacher, and the paper's readings; 6 is its whole system
    6, no teacher       that reading without neighbours
    6, embedding        documents are compared by the means of their word vectors, as in the paper
    6, 20 and 50        with the labels of more neighbours
    votes alone         50 neighbours vote, and nothing is read of them
    defaults            what TReaderXMLClassifier() is: both
    balancing           with the loss CB-NTR instead of cross-entropy

"As published" they retrieve by word vectors and are trained as in the paper, at sizes that fit a
CPU. On "tib-bk leaves" the 48 main classes are no labels, and are given as parents alone: so they
add something. "names" are the words of the labels' names, in place of the
heaviest words of their documents. "with biases" gives the head what the paper's equation has not:
biases, which begin at the frequencies of the labels.
"""

from bench import Row

MODEL = "TReaderXMLClassifier"
PAPERS = {"votes": False, "n_neighbors": 5, "reading": "mmhsa+residual+mhsa"}
VOTES = {"n_neighbors": 50, "votes": True}
BALANCING = {"loss": "class_balanced_negative_tolerant"}
PARTS = {
    "0 nothing": {**PAPERS, "teacher": False, "reading": None},
    "1 teacher": {**PAPERS, "reading": None},
    "2 MMHSA+R": {**PAPERS, "reading": "mmhsa+residual"},
    "3 MHSA+R": {**PAPERS, "reading": "mhsa+residual"},
    "4 MHSA+R+MMHSA": {**PAPERS, "reading": "mhsa+residual+mmhsa"},
    "5 MMHSA+MHSA": {**PAPERS, "reading": "mmhsa+mhsa"},
    "6 MMHSA+R+MHSA": PAPERS,
    "6, no teacher": {**PAPERS, "teacher": False},
    "6, embedding": {**PAPERS, "retrieval": "embedding"},
    "6, 20": {**PAPERS, "n_neighbors": 20},
    "6, 50": {**PAPERS, "n_neighbors": 50},
    "votes alone": {**PAPERS, **VOTES, "teacher": False},
    "defaults": {},
    "defaults, balancing": BALANCING,
    "votes alone, balancing": {**PAPERS, **VOTES, "teacher": False, **BALANCING},
}
ENDS = ("6, no teacher", "votes alone", "defaults")
ABLATION = tuple(name for name in PARTS if name[0].isdigit() and "," not in name)
DEPTHS = (4, 16)
# Word vectors of 300, a bottleneck of 512.
CHANGES = {"encoder__embedding_dim": 128, "bottleneck_dim": 128}

BIASES = {"training__head_bias": True, "training__head_start": "constants"}


def ours(name, dataset, kind="tokens 128", parameters=None, **options):
    return Row(name, dataset, kind, MODEL, parameters=PARTS[name] | (parameters or {}), **options)


def published(name, dataset, changes=CHANGES, variant=None, **options):
    return Row(
        *(name, dataset, "tokens 128", MODEL),
        published=name.partition(" ")[0],
        parameters=changes,
        variant={"mode": "as published"} | (variant or {}),
        **options,
    )


def described(make, depth, names, **options):
    """A row on the leaves of the library classes, with parents and descriptions."""
    changes = {"description_length": depth}
    variant = {"words per label": depth, "described by": "names" if names else "documents"}
    return make(changes, variant=variant, parents=True, names=names, seeds=1, **options)


def leaves_ours(changes, **options):
    return ours("defaults", "tib-bk leaves", parameters=changes, n_train=6000, **options)


def leaves_published(changes, **options):
    changes = CHANGES | changes
    return published("6 MMHSA+R+MHSA", "tib-bk leaves", changes, n_train=6000, **options)


ROWS = [ours(name, "cooking") for name in PARTS]
ROWS += [ours(name, "tib-bk", "tfidf", seeds=1) for name in (*ENDS, "votes alone, balancing")]
SOME = {"variant": {"documents": 6000}, "n_train": 6000, "seeds": 1}
ROWS += [ours(name, "tib-bk", **SOME) for name in ("6, no teacher", "defaults")]
REUTERS = {"groups": {"min_head_count": 35, "max_tail_count": 8}}
ROWS += [ours(name, "reuters", **REUTERS) for name in ("6, no teacher", "defaults")]
ROWS += [published(name, "cooking") for name in ABLATION]
WITH_BIASES = ("cooking", CHANGES | BIASES, {"head": "with biases"})
ROWS += [published(name, *WITH_BIASES) for name in (ABLATION[0], ABLATION[-1])]
ROWS += [published(name, "reuters", **REUTERS) for name in ABLATION]
FLAT = {"n_train": 6000, "seeds": 1}
ROWS += [ours("defaults", "tib-bk leaves", variant={"parents": "none"}, **FLAT)]
ROWS += [published("6 MMHSA+R+MHSA", "tib-bk leaves", variant={"parents": "none"}, **FLAT)]
ROWS += [
    described(make, depth, names)
    for make in (leaves_ours, leaves_published)
    for depth in DEPTHS
    for names in (False, True)
]
