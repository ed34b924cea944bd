"""What decided the default loss of networks: training documents that were held out, no test ones.

All that is not named is the default. A fifth of the training documents is predicted.
"""

from bench import Row
from bench.rows import PAPERS_OF_REUTERS

from skmltc.losses import ClassBalancedNegativeTolerantLoss

GROUPS = {"reuters": PAPERS_OF_REUTERS, "cooking": {}}
LOSSES = {
    "CB-NTR": ClassBalancedNegativeTolerantLoss(kappa=0.2, neg_scale=4.0),
    "bce": "bce",
    "focal": "focal",
}


def network(dataset, encoder, loss):
    return Row(
        name=loss,
        dataset=f"{dataset} held out",
        input="tokens 128",
        estimator="BalancedLossClassifier",
        parameters={"encoder": encoder, "loss": LOSSES[loss]},
        variant={"encoder": encoder},
        groups=GROUPS[dataset],
    )


ROWS = [
    network(dataset, encoder, loss)
    for dataset in GROUPS
    for encoder in ("bilstm", "cnn")
    for loss in LOSSES
]
