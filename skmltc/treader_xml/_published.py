"""The rows of Table 3 of Wang et al. (arXiv 2205.11973): what is left out of the system."""

from .._published import Published
from ..encoders import Training, WordEmbedding

_NEIGHBORS = {"n_neighbors": 5, "retrieval": "embedding", "description_length": 4}


def _taught(reading):
    return {**_NEIGHBORS, "teacher": True, "reading": reading}


PUBLISHED = Published(
    rows={
        "0": {"teacher": False, "reading": None},
        "1": _taught(None),
        "2": _taught("mmhsa+residual"),
        "3": _taught("mhsa+residual"),
        "4": _taught("mhsa+residual+mmhsa"),
        "5": _taught("mmhsa+mhsa"),
        "6": _taught("mmhsa+residual+mhsa"),
    },
    released={
        "votes": False,
        "n_heads": 4,
        "pooling": "mean",
        "bottleneck_dim": 512,
        "encoder": WordEmbedding(embedding_dim=300, embeddings="random", embedding_dropout=0.0),
        "loss": "bce",
        "training": Training(
            optimizer="adam",
            lr=1e-4,
            weight_decay=0.0,
            max_epochs=100,
            schedule="plateau",
            plateau=(0.1, 5, 2),
            clip=None,
            head_start="torch",
            head_bias=False,
            bucket=False,
        ),
        "batch_size": 40,
        "early_stopping": True,
        "calibrate": False,
        "threshold": 0.5,
    },
)
