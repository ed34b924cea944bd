"""What it costs to do one thing as the paper does, and all else by default: Reuters, TF-IDF.

The first row of each estimator has all defaults.
"""

from bench import Row
from bench.rows import PAPERS_OF_REUTERS
from sklearn.base import clone

from skmltc.encoders import BagEncoder
from skmltc.head_to_tail import AdamTransfer
from skmltc.losses import ClassBalancedNegativeTolerantLoss, DistributionBalancedLoss

UNCALIBRATED = {"calibrate": False}
AT_HALF = UNCALIBRATED | {"threshold": 0.5}
RECOMMENDED = BagEncoder().training
ADAM = clone(RECOMMENDED).set_params(
    optimizer="adam",
    lr=1e-3,
    schedule="constant",
    clip=None,
    lr_factors={},
    max_epochs=15,
    early_stopping=True,
)
SLOW = clone(ADAM).set_params(lr=1e-4, schedule="plateau", max_epochs=100)
REPEATED = ("BalancedLossClassifier", "HeadToTailClassifier")  # fits of a few seconds
WITHOUT_BIAS = clone(RECOMMENDED).set_params(head_bias=False, head_start="torch")

DEVIATIONS = {
    "BalancedLossClassifier": {
        "DB, as published": {"loss": DistributionBalancedLoss(mu=0.9)},
        "DB, mu by the rule": {"loss": DistributionBalancedLoss()},
        "CB-NTR, as published": {"loss": ClassBalancedNegativeTolerantLoss()},
        "one cut-off": {"threshold": "tuned"},
        "one cut-off, not calibrated": UNCALIBRATED | {"threshold": "tuned"},
        "AdamW in mini-batches": {"optimizer": "adamw"},
        "weight decay 0.01": {"weight_decay": 0.01},
    },
    "HybridSiameseClassifier": {
        "random start": {"encoder": BagEncoder((256,), start="random")},
        "Adam at one rate": {"training": ADAM},
        "five supports": {"n_support": 5},
        "supports vote": {"support": "vote"},
        "category as second task": {"multi_task": "category"},
        "no second task": {"multi_task": None},
        "documents for one pair alone": {"triplets_per_document": None},
        "five passes": {"siamese_epochs": 5},
        "150,000 triplets": {"n_triplets": 150_000},
        "labels below 35 documents": {"n_phi": 35},
        "similar above 0.5": AT_HALF | {"match_priors": False},
    },
    "HeadToTailClassifier": {
        "head without bias": {"training": WITHOUT_BIAS},
        "vectors of any norm": {"normalize": False},
        "matrix W by Adam": {"transfer": AdamTransfer()},
        "matrix W, the minimum": {"transfer": "ridge"},
        "attention over labels": {"attention": True},
        "fine-tuning of the network": {"fine_tune": "paper"},
        "no fine-tuning": {"fine_tune": None},
        "30 members": {"n_ensembles": 30},
        "tail not calibrated": {"calibrate_tail": False},
        "without unlabelled documents": {"train_unlabelled": False},
        "cut at 0.5": AT_HALF,
    },
    "TReaderXMLClassifier": {
        "random start": {"encoder": BagEncoder((256,), dropout=0.7, start="random")},
        "5 neighbours": {"n_neighbors": 5},
        "no votes": {"votes": False},
        "no teacher": {"teacher": False},
        "bottleneck of 512": {"bottleneck_dim": 512},
        "Adam at 0.0001, then lower": {"training": SLOW},
        "cut at 0.5": AT_HALF,
    },
}


def row(estimator, name, parameters):
    return Row(
        *(name, "reuters", "tfidf", estimator),
        parameters=parameters,
        variant={"of": estimator},
        groups=PAPERS_OF_REUTERS,
        seeds=3 if estimator in REPEATED else 1,
    )


ROWS = [
    row(estimator, name, parameters)
    for estimator, deviations in DEVIATIONS.items()
    for name, parameters in ({"all defaults": {}} | deviations).items()
]
