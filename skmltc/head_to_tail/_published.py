"""Rows of the HTTN paper's tables (Xiao et al., AAAI 2021) as settings of the estimator."""

from .._published import Published
from ..encoders import BiLSTMAttention, Training
from ._adam import AdamTransfer

_TRAINING = Training(
    optimizer="adam",
    betas=(0.9, 0.99),
    lr=1e-3,
    weight_decay=0.0,
    max_epochs=15,
    schedule="constant",
    lr_factors={"projection": 10.0, "head": 10.0, "head_scale": 10.0},
    clip=None,
    head_start="torch",
    head_bias=False,
    monitor="micro_f1",
    bucket=False,
)
_ENCODER = BiLSTMAttention(embedding_dim=300, embeddings="random", embedding_dropout=0.0)
_ONE = {"transfer": AdamTransfer(), "calibrate_tail": False, "fine_tune": None}
_ATTENDING = {**_ONE, "transfer": AdamTransfer(lr=0.012), "attention": True}
_MEMBERS = {"transfer": AdamTransfer(lr=0.013), "n_prototypes": 60, "n_ensembles": 30}

HTTN = Published(
    rows={
        "Joint": {"n_tail": 0},
        "Imprinting": {**_ONE, "transfer": "identity"},
        "H-F-A": _ONE,
        "H-F": _ATTENDING,
        "H": {**_ATTENDING, "fine_tune": "paper"},
        "EH-F-A": {**_ONE, **_MEMBERS},
        "EH": {**_ATTENDING, **_MEMBERS, "fine_tune": "paper"},
    },
    released={
        "normalize": True,
        "train_unlabelled": False,
        "encoder": _ENCODER,
        "loss": "bce",
        "training": _TRAINING,
        "batch_size": 90,
        "early_stopping": True,
        "validation_fraction": 0.1,
        "patience": None,
        "calibrate": False,
        "threshold": 0.5,
    },
    printed={
        "normalize": False,
        "encoder__hidden_dim": 300,
        "encoder__normalize": False,
        "encoder__bias": False,
        "training__lr_factors": None,
    },
)
