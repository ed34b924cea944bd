"""F1 of the label groups of Reuters-21578, from the measured rows."""

import matplotlib.pyplot as plt
import numpy as np
import tables

SHOWN = {
    ("LinearSVC", "own"): ("LinearSVC, cut at 0", "#999999"),
    ("LinearSVC balanced", "own"): ("LinearSVC balanced, cut at 0", "#56B4E9"),
    ("LinearSVC", "frequency"): ("LinearSVC, our frequency rule", "#E69F00"),
    ("BalancedLossClassifier", "default"): ("BalancedLossClassifier()", "#0072B2"),
}

rows = tables.chosen(tables.rows_of("defaults"), {"dataset": "reuters", "input": "tfidf"})
measured = tables.variants(rows, ("name", "cut"))
figure, ax = plt.subplots(figsize=(7.5, 3.6))
for i, (variant, (name, color)) in enumerate(SHOWN.items()):
    names = [f"{group} macro" for group in tables.GROUPS]
    scores = [[tables.score(row, name) for name in names] for row in measured[variant]]
    places, spread = np.arange(4) + 0.2 * (i - 1.5), np.std(scores, axis=0, ddof=1)
    ax.bar(places, np.mean(scores, axis=0), 0.19, yerr=spread, color=color, label=name)
ax.set_xticks(
    range(4), ["all 90 labels", "head (35 and more)", "medium (9 to 34)", "tail (up to 8)"]
)
ax.set(ylabel="Macro-F1, per cent", ylim=(0, 100))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(ncols=2, loc="upper right", frameon=False)
