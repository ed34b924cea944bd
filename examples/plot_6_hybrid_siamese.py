"""
Rare labels by similarity
=========================

:class:`~skmltc.HybridSiameseClassifier` scores frequent labels by a network, and rare ones by how
similar a document is to a few that have the label. This example compares it with the network alone.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from skmltc import HybridSiameseClassifier
from skmltc.datasets import make_long_tailed_corpus
from skmltc.displays import GroupScoreDisplay
from skmltc.encoders import BagEncoder
from skmltc.metrics import f1_by_group, ndcg_at_k
from skmltc.model_selection import multilabel_train_test_split

corpus = make_long_tailed_corpus(random_state=0)
texts_train, texts_test, y_train, y_test = multilabel_train_test_split(
    corpus.data, corpus.target, random_state=0
)
vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
X_train, X_test = vectorizer.fit_transform(texts_train), vectorizer.transform(texts_test)
label_counts = y_train.sum(axis=0)

# %%
# Where the two networks merge
# ----------------------------
#
# Labels with fewer than ``n_phi`` training documents are scored by similarity: with 0 none is, and
# "auto" chooses the number on documents held out. The network begins at random here, as the paper's
# does. By default it begins as the linear models of the labels; the single network then knows the
# words of rare labels itself, and "auto" leaves them to it.

encoder = BagEncoder(hidden_dims=(128,), start="random")
classifiers = {
    f"n_phi = {n_phi}": HybridSiameseClassifier(
        encoder=encoder, n_phi=n_phi, max_epochs=12, random_state=0
    ).fit(X_train, y_train)
    for n_phi in (0, "auto")
}
learned = classifiers["n_phi = auto"]
print(f"learned: {learned.n_phi_}; {len(learned.siamese_labels_)} labels by similarity")

# %%
# F1 and nDCG in per cent. Rare labels gain. The frequent ones are scored by the single network in
# both and stay within a point. The ranking of all labels of a document (nDCG) loses: the scores of
# the two networks are not made for each other.

rows = {}
for name, classifier in classifiers.items():
    f1 = f1_by_group(y_test, classifier.predict(X_test), label_counts)
    rows[name] = {"micro-F1": f1["total"]["micro"], "macro-F1": f1["total"]["macro"]}
    rows[name] |= {f"macro-F1, {group}": f1[group]["macro"] for group in list(f1)[1:]}
    rows[name] |= {"nDCG@5": ndcg_at_k(y_test, classifier.predict_proba(X_test), k=5)}
(100 * pd.DataFrame(rows).T).round(1)

# %%
# One rare label
# --------------
#
# The similarity of the test documents with a label of less than 20 training documents, as a share
# of the documents without the label and of those with it. The dashed line is the cut-off that was
# learned.

rare = np.flatnonzero(label_counts < 20)
label = rare[y_test.sum(axis=0)[rare].argmax()]
logits, has_it = learned.decision_function(X_test)[:, label], y_test[:, [label]].toarray()[:, 0] > 0
figure, ax = plt.subplots(layout="constrained")
bins = np.linspace(logits.min(), logits.max(), 40)
for chosen, name in ((~has_it, "other documents"), (has_it, "documents with the label")):
    weights = np.full(chosen.sum(), 1 / chosen.sum())
    ax.hist(logits[chosen], bins, weights=weights, alpha=0.7, label=name)
ax.axvline(learned.threshold_[label], color="0.3", linestyle="--")
title = f"{corpus.target_names[label]}, {label_counts[label]} training documents"
ax.set(xlabel="Logit", ylabel="Share of the test documents", title=title)
ax.legend()

# %%
# The picture
# -----------

# sphinx_gallery_thumbnail_number = 2
display = GroupScoreDisplay.from_estimators(classifiers, X_test, y_test, label_counts)
