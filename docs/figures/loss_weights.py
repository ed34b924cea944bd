"""How hard each loss pulls at a logit: the size of its derivative."""

import matplotlib.pyplot as plt
import numpy as np
import torch

from skmltc.labels import LabelStatistics
from skmltc.losses import (
    BinaryCrossEntropyLoss,
    ClassBalancedLoss,
    ClassBalancedNegativeTolerantLoss,
    DistributionBalancedLoss,
    FocalLoss,
    NegativeTolerantFocalLoss,
    RebalancedFocalLoss,
    WeightedBinaryCrossEntropyLoss,
)

N_SAMPLES, OTHER = 7000, 500
SPECS = {
    "BCE": BinaryCrossEntropyLoss(),
    "WCE": WeightedBinaryCrossEntropyLoss(),
    "FL": FocalLoss(),
    "CB": ClassBalancedLoss(),
    "R-FL": RebalancedFocalLoss(mu=0.9),
    "NTR-FL": NegativeTolerantFocalLoss(),
    "CB-NTR": ClassBalancedNegativeTolerantLoss(),
    "DB": DistributionBalancedLoss(mu=0.9),
}


def slopes(spec, counts, logits, positive):
    """Size of the derivative in the logit of a label with `counts` documents.

    The document also has another label, of 500 documents.
    """
    loss = spec.build(LabelStatistics(np.append(counts, OTHER), N_SAMPLES), reduction="sum")
    targets = torch.zeros(len(counts), len(counts) + 1)
    targets[:, -1] = 1
    targets.fill_diagonal_(float(positive))
    z = torch.zeros_like(targets)
    z.diagonal().copy_(torch.as_tensor(logits))
    z.requires_grad_(True)
    loss(z, targets).backward()
    return z.grad.diagonal().abs().numpy()


def draw(x, arguments, **settings):
    """One panel for positives and one for negatives."""
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 4), sharey=True)
    for ax, positive in zip(axes, (True, False), strict=True):
        for i, (name, spec) in enumerate(SPECS.items()):
            style = "--" if hasattr(spec, "kappa") else "-"  # with tolerance
            ax.plot(x, slopes(spec, *arguments, positive), style, color=f"C{i}", label=name)
        ax.set(yscale="log", title="positives" if positive else "negatives", **settings)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("Pull on the logit")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8)


def by_count():
    """At a logit of 0, against the label's documents."""
    counts = np.unique(np.geomspace(1, 3400, 80).astype(int))
    labels = {"xscale": "log", "xlabel": "Training documents of the label", "ylim": (8e-3, 8)}
    draw(counts, (counts, np.zeros(len(counts))), **labels)


def by_logit(n_documents=5):
    """Of a label with so many documents, against its logit."""
    logits = np.linspace(-6, 6, 80)
    labels = {"xlabel": f"Logit of a label with {n_documents} documents", "ylim": (1e-5, 8)}
    draw(logits, (np.full(len(logits), n_documents), logits), **labels)
