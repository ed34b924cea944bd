"""What neighbours add to a logit in TReaderXMLClassifier, before the learned factor."""

import matplotlib.pyplot as plt
import numpy as np

share = np.linspace(0, 1, 200)
figure, ax = plt.subplots(figsize=(6.5, 3.4))
for documents, color in ((5, "#0072B2"), (50, "#56B4E9"), (500, "#E69F00"), (5000, "#999999")):
    ax.plot(share, np.log1p(share / (4 * documents / 10_000)), color=color, label=f"{documents:,}")
ax.set(xlabel="Share of the neighbours with the label", ylabel="Added to the logit", xlim=(0, 1))
ax.set_ylim(bottom=0)
ax.spines[["top", "right"]].set_visible(False)
ax.legend(title="Its documents, of 10,000", frameon=False, ncols=2)
