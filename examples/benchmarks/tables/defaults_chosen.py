"""What decided defaults: training documents that were held out, no test ones.

The loss of `BalancedLossClassifier`, and how `HeadToTailClassifier` transfers. All else is the
default. A fifth of the training documents is predicted.
"""

from bench import Row
from bench.rows import PAPERS_OF_REUTERS

from skmltc.encoders import BagEncoder
from skmltc.losses import ClassBalancedNegativeTolerantLoss, NegativeTolerantFocalLoss

GROUPS = {"reuters": PAPERS_OF_REUTERS, "cooking": {}}
LOSSES = {
    "CB-NTR": ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4.0),
    "CB-NTR, milder": ClassBalancedNegativeTolerantLoss(kappa=0.1, neg_scale=2.0),
    "CB-NTR, mildest": ClassBalancedNegativeTolerantLoss(kappa=0.05, neg_scale=1.0),
    "NTR, without weights": NegativeTolerantFocalLoss(kappa=0.1, neg_scale=2.0, gamma=0.0),
    "bce": "bce",
    "focal": "focal",
}


# Encoders by what they read; "linear" and "hidden layer" are bags of weighted words.
ENCODERS = {
    "bilstm": ("tokens 128", "bilstm"),
    "cnn": ("tokens 128", "cnn"),
    "linear": ("tfidf", BagEncoder()),
    "hidden layer": ("tfidf", BagEncoder(hidden_dims=(256,))),
}
TRANSFERS = {
    "all defaults": {},
    "matrix W, the minimum": {"transfer": "ridge"},
    "tail not calibrated": {"calibrate_tail": False},
}


def fit(dataset, encoder, loss):
    kind, spec = ENCODERS[encoder]
    return Row(
        name=loss,
        dataset=f"{dataset} held out",
        input=kind,
        estimator="BalancedLossClassifier",
        parameters={"encoder": spec, "loss": LOSSES[loss]},
        variant={"encoder": encoder},
        groups=GROUPS[dataset],
    )


def transfer(dataset, name):
    return Row(
        *(name, f"{dataset} held out", "tfidf", "HeadToTailClassifier"),
        parameters=TRANSFERS[name],
        variant={"of": "HeadToTailClassifier"},
        groups=GROUPS[dataset],
    )


ROWS = [
    fit(dataset, encoder, loss) for dataset in GROUPS for encoder in ENCODERS for loss in LOSSES
]
ROWS += [transfer(dataset, name) for dataset in GROUPS for name in TRANSFERS]
