"""Tables 3 and 4 and Figure 2 of HSCNN (Yang et al., EMNLP 2020).

Rows: the single network (Sing.), Siamese scores of rare labels without gates, triplets and second
task (Naive), without gates and triplets (/CSS), without the second task (/MT), with everything
(Our). "As published" they are trained and cut as in the paper, at sizes that fit a CPU; otherwise
they are our default without those parts, and have a learned n_phi in the row "Our, auto". Tail
labels have fewer than n_phi training documents.
"""

from bench import Row

from skmltc.losses import FocalLoss

MODEL = "HybridSiameseClassifier"
PARTS = {
    "Sing.": {"n_phi": 0},
    "Naive": {"category_similarity": False, "multi_task": None, "sampling": "pair"},
    "/CSS": {"category_similarity": False, "sampling": "pair"},
    "/MT": {"multi_task": None},
    "Our": {},
    "Our, 1": {"triplets_per_document": 1},
    "Our, auto": {"n_phi": "auto"},
}
PUBLISHED = ("Sing.", "Naive", "/CSS", "/MT", "Our")
LOSSES = {"bce": "bce", "weighted_bce": "weighted_bce", "focal": FocalLoss(gamma=1)}
SETS = {"reuters": 35, "cooking": 100}
TRIPLETS = (5_000, 15_000, 45_000)  # a tenth of the paper's 150, 300 and 450 thousand, or less
N_PHI = (10, 20, 35, 50, 100, 200, 300)
# 500 tokens, word vectors of 300, 128 filters, 1024 hidden units, 150,000 triplets, 100 epochs.
CHANGES = {
    "encoder__embedding_dim": 100,
    "encoder__n_filters": 64,
    "encoder__hidden_dim": 256,
    "n_triplets": 15_000,
    "max_epochs": 40,
    "siamese_epochs": 20,
}
OF_SECOND = ("n_phi", "n_triplets", "siamese_epochs")


def tail_below(n_phi):
    return {"max_tail_count": n_phi - 1, "min_head_count": n_phi}


def ours(name, dataset, encoder, loss, n_phi):
    return Row(
        name,
        dataset,
        "tfidf" if encoder == "bag" else "tokens 128",
        MODEL,
        parameters={
            "encoder": "auto" if encoder == "bag" else encoder,
            "loss": LOSSES[loss],
            "n_phi": n_phi,
        }
        | PARTS[name],
        variant={"encoder": encoder, "loss": loss, "n_phi": n_phi},
        groups=tail_below(n_phi),
        seeds=None if encoder == "bag" else 1,
    )


def published(name, dataset, loss="bce", n_phi=None, **changes):
    n_phi = n_phi or SETS[dataset]
    variant = {"encoder": "cnn", "loss": loss, "n_phi": n_phi, "mode": "as published", **changes}
    parameters = CHANGES | {"loss": LOSSES[loss], "n_phi": n_phi} | changes
    if name == "Sing.":  # it has no second network
        parameters = {n: v for n, v in parameters.items() if n not in OF_SECOND}
    return Row(
        *(name, dataset, "tokens 128", MODEL),
        published=name,
        parameters=parameters,
        variant=variant,
        groups=tail_below(n_phi),
    )


ROWS = [
    ours(name, dataset, "bag", loss, n_phi)
    for dataset, all_n_phi in (("reuters", (35, 100)), ("cooking", (35, 100)))
    for n_phi in all_n_phi
    for loss in LOSSES
    for name in PARTS
]
ROWS += [ours(n, "delicious-bow", "bag", loss, 100) for loss in LOSSES for n in PARTS]
ROWS += [
    ours(name, "reuters", encoder, "bce", 35)
    for encoder in ("cnn", "bilstm")
    for name in PARTS
    if name != "Our, 1"
]
ROWS += [published(n, dataset, loss) for dataset in SETS for loss in LOSSES for n in PUBLISHED]
ROWS += [published("Our", "reuters", n_triplets=number) for number in TRIPLETS if number != 15_000]
ROWS += [published("Our", "reuters", n_phi=n_phi) for n_phi in N_PHI if n_phi != SETS["reuters"]]
