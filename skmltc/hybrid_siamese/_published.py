"""The rows of HSCNN's Table 3 (Yang et al., EMNLP 2020) as settings."""

from .._published import Published
from ..encoders import TextCNN, Training

_ENCODER = TextCNN(
    filter_sizes=(3, 4, 5),
    n_filters=128,
    embedding_dim=300,
    embeddings="random",
    hidden_dim=1024,
    hidden_activation="identity",
    embedding_dropout=0.25,
    dropout=0.5,
)
_TRAINING = Training(
    optimizer="adam",
    lr=1e-3,
    weight_decay=0.0,
    max_epochs=100,
    schedule="constant",
    clip=None,
    head_start="torch",
    bucket=False,
)
_SINGLE = {
    "encoder": _ENCODER,
    "loss": "bce",
    "multi_task": "category",
    "training": _TRAINING,
    "batch_size": 100,
    "early_stopping": True,
    "validation_fraction": 0.25,
    "patience": 5,
    "calibrate": False,
    "threshold": 0.5,
}
_SIAMESE = {
    "n_phi": 100,
    "n_triplets": 150_000,
    "triplets_per_document": None,
    "siamese_epochs": 100,
    "n_support": 5,
    "match_priors": False,
}
_ONE_BY_ONE = {"category_similarity": False, "sampling": "pair"}

PUBLISHED = Published(
    rows={
        "Sing.": {"n_phi": 0, "multi_task": "labels"},  # that of the defaults: it has no effect
        "Naive": {**_SIAMESE, **_ONE_BY_ONE, "multi_task": None},
        "/CSS": {**_SIAMESE, **_ONE_BY_ONE},
        "/MT": {**_SIAMESE, "multi_task": None},
        "Our": _SIAMESE,
    },
    released=_SINGLE,
    printed={"multi_task": "labels", "encoder__hidden_activation": "relu"},
)
