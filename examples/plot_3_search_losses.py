"""
Which loss? A grid search
=========================

A loss is a parameter like any other: by name, as an object with its own parameters, or with a
nested parameter such as ``loss__kappa``. Here scikit-learn's ``GridSearchCV`` tries some of them
in a Pipeline, from raw texts.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skmltc import BalancedLossClassifier
from skmltc.datasets import make_long_tailed_corpus
from skmltc.losses import ClassBalancedNegativeTolerantLoss, DistributionBalancedLoss, FocalLoss
from skmltc.metrics import RankingScorer
from skmltc.model_selection import MultilabelStratifiedKFold

corpus = make_long_tailed_corpus(n_samples=1200, random_state=0)

# %%
# What is tried
# -------------
#
# The weight decay is a number here, not ``"auto"``, to save time. Calibration and cut-offs are
# learned in every fit, since the scores of losses differ in height and in scale.

model = Pipeline(
    [
        ("words", TfidfVectorizer(sublinear_tf=True, min_df=2)),
        ("classify", BalancedLossClassifier(weight_decay=0.03, random_state=0)),
    ]
)
grid = [
    {"classify__loss": ["bce", FocalLoss(gamma=1), DistributionBalancedLoss()]},
    {
        "classify__loss": [ClassBalancedNegativeTolerantLoss(neg_scale=4)],
        "classify__loss__kappa": [0.05, 0.2],
    },
]

# %%
# How it is measured
# ------------------
#
# The folds keep rare labels in training. PSP@5 looks at the ranking alone, and a rare label is
# worth more there; its weights come from the training part of each fold. It decides.

scoring = {
    "micro-F1": "f1_micro",
    "macro-F1": make_scorer(f1_score, average="macro", zero_division=0),
    "PSP@5": RankingScorer("psp", k=5),
}
folds = MultilabelStratifiedKFold(3, random_state=0)
search = GridSearchCV(model, grid, scoring=scoring, refit="PSP@5", cv=folds)
search.fit(corpus.data, corpus.target)

# %%
# The table
# ---------
#
# In per cent, with the standard deviation over the folds. With calibrated scores and learned
# cut-offs the losses differ little, compared with that deviation on so few documents.

results = search.cv_results_
table = pd.DataFrame(results["params"]).astype(object).fillna("")
table = table.rename(columns=lambda name: name.removeprefix("classify__"))
for name in scoring:
    scores = 100 * np.column_stack([results[f"mean_test_{name}"], results[f"std_test_{name}"]])
    table[name] = [f"{mean:.1f} ± {deviation:.1f}" for mean, deviation in scores]
table.sort_values("PSP@5", ascending=False)

# %%
# The picture
# -----------

names = [f"{row['loss']} {row['loss__kappa']}" for _, row in table.iterrows()]
figure, ax = plt.subplots(figsize=(8, 3), layout="constrained")
for offset, name in ((-0.2, "macro-F1"), (0.2, "PSP@5")):
    means, deviations = (100 * results[f"{value}_test_{name}"] for value in ("mean", "std"))
    places = np.arange(len(names)) + offset
    ax.errorbar(means, places, xerr=deviations, fmt="o", label=name)
ax.set_yticks(range(len(names)), names)
ax.set_xlabel("Per cent")
ax.legend()

# %%
# The best one is fitted on all documents, and predicts from raw texts:

print(search.best_params_)
for labels in search.predict(corpus.data[:3]):
    print([corpus.target_names[label] for label in labels.nonzero()[-1]])
