"""The rows of Table 2 of Huang et al. (EMNLP 2021), with the settings of their appendix."""

from .._published import Published
from ..encoders import Training
from ..losses import (
    BinaryCrossEntropyLoss,
    ClassBalancedLoss,
    ClassBalancedNegativeTolerantLoss,
    DistributionBalancedLoss,
    DistributionBalancedNoFocalLoss,
    FocalLoss,
    NegativeTolerantFocalLoss,
    RebalancedFocalLoss,
)

_MU = 0.9  # of Reuters; 0.05 of PubMed

_LOSSES = {
    "BCE": BinaryCrossEntropyLoss(),
    "FL": FocalLoss(),
    "CB": ClassBalancedLoss(),
    "R-FL": RebalancedFocalLoss(mu=_MU),
    "NTR-FL": NegativeTolerantFocalLoss(ntr_scale_negatives=False),
    "DB-0FL": DistributionBalancedNoFocalLoss(mu=_MU),
    "CB-NTR": ClassBalancedNegativeTolerantLoss(),
    "DB": DistributionBalancedLoss(mu=_MU),
    "NTR-FL, eq. 6": NegativeTolerantFocalLoss(),
}

PUBLISHED = Published(
    rows={row: {"loss": loss} for row, loss in _LOSSES.items()},
    released={
        "logit_adjustment": 0.0,
        "training": Training(
            optimizer="adamw",
            lr=1e-4,
            weight_decay=0.01,
            max_epochs=40,
            schedule="constant",
            clip=None,
            head_start="normal",
            monitor="micro_f1",
            bucket=False,
        ),
        "batch_size": 32,
        "early_stopping": True,
        "patience": 5,
        "calibrate": False,
        "threshold": "tuned",
    },
    wanted={
        "encoder": (
            "given, since the paper's is BERT with weights of the caller's",
            "Give encoder=TransformerEncoder(folder), say, of skmltc.encoders.",
        )
    },
)
