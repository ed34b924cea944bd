"""The losses of Huang et al. (EMNLP 2021) on Reuters-21578, with encoders of our size.

The paper's encoder was BERT. Here each loss is on weighted words (a linear model), on tokens with
networks that learn from the training texts alone, and, with a transformer as SKMLTC_ENCODER, on its
frozen vectors and fine-tuned. 1,000 documents, others for each seed, are the validation part; the
labels are counted on the rest, as in the paper. The rows "auto" and "vote" have all defaults, and
all documents.
"""

from bench import Row, Transformer
from bench.rows import PAPERS_OF_REUTERS

from skmltc.encoders import BiLSTMAttention

# Names of the package, and of the rows of the paper's Table 2; one is not in the paper.
LOSSES = {
    "bce": "BCE",
    "weighted_bce": None,
    "focal": "FL",
    "class_balanced": "CB",
    "rebalanced_focal": "R-FL",
    "negative_tolerant_focal": "NTR-FL",
    "distribution_balanced_no_focal": "DB-0FL",
    "class_balanced_negative_tolerant": "CB-NTR",
    "distribution_balanced": "DB",
}
NTR = "negative_tolerant_focal"
NETWORKS = ("bilstm", "cnn")
MODEL = "BalancedLossClassifier"
REUTERS = {"dataset": "reuters", "groups": PAPERS_OF_REUTERS}
VALIDATED = REUTERS | {"validation": 1000}
# The rate of 1e-4 in the paper is for BERT; networks without weights from elsewhere need more.
FINE_TUNED = {"encoder": Transformer("mean", trainable=True)}
RATE = {"training__lr": 1e-3}


def linear(loss, kind, encoder):
    parameters = {"loss": loss, "threshold": "tuned"}
    return Row(
        name=loss,
        input=kind,
        estimator=MODEL,
        parameters=parameters,
        variant={"encoder": encoder},
        **VALIDATED,
    )


def network(loss, encoder):
    return Row(
        name=loss,
        input="tokens 128",
        estimator=MODEL,
        parameters={"encoder": encoder, "loss": loss, "threshold": "tuned"},
        variant={"encoder": encoder},
        **VALIDATED,
    )


def published(loss, kind, encoder, changes, row=None):
    return Row(
        name=loss + (" (eq. 6)" if row else ""),
        input=kind,
        estimator=MODEL,
        published=row or LOSSES[loss],
        parameters=changes,
        variant={"encoder": encoder, "mode": "as published"},
        **VALIDATED,
    )


def defaults(kind, shown, estimator=MODEL, **parameters):
    return Row(
        name="auto",
        input=kind,
        estimator=estimator,
        parameters=parameters,
        variant={"encoder": shown},
        **REUTERS,
    )


IN_PAPER = [loss for loss, name in LOSSES.items() if name]
ROWS = [
    Row("SVM", input="tfidf, plain", estimator="SVM of the paper", **VALIDATED),
    *(linear(loss, "tfidf", "TF-IDF") for loss in LOSSES),
    *(network(loss, encoder) for encoder in NETWORKS for loss in LOSSES),
    *(
        published(loss, "tokens 128", encoder, {"encoder": encoder} | RATE)
        for encoder in NETWORKS
        for loss in IN_PAPER
    ),
    *(
        published(NTR, "tokens 128", encoder, {"encoder": encoder} | RATE, "NTR-FL, eq. 6")
        for encoder in NETWORKS
    ),
    *(linear(loss, "vectors 128", "frozen") for loss in LOSSES),
    *(published(loss, "word pieces 128", "fine-tuned", FINE_TUNED) for loss in IN_PAPER),
    *(defaults("tokens 128", encoder, encoder=encoder) for encoder in NETWORKS),
    defaults("tokens 128", "bilstm, random vectors", encoder=BiLSTMAttention(embeddings="random")),
    defaults("texts", "vote", estimator="vote"),
    defaults("vectors 128", "frozen"),
    defaults("vectors 128 and tfidf", "frozen, and TF-IDF"),
]
