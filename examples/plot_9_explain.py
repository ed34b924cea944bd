"""
Why a document has its labels
=============================

:class:`~skmltc.LongTailClassifier` weighs what several members say by some ten numbers that it
learns, so it can be asked what it did: which member spoke for a label and how much, which words
the linear member knows it by, and which training documents have it.
"""

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from skmltc import LongTailClassifier
from skmltc.datasets import make_long_tailed_corpus
from skmltc.displays import ExplanationDisplay
from skmltc.model_selection import multilabel_train_test_split

corpus = make_long_tailed_corpus(random_state=0)
names = np.array(corpus.target_names)
texts_train, texts_test, y_train, y_test = multilabel_train_test_split(
    corpus.data, corpus.target, random_state=0
)
vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2)
X_train, X_test = vectorizer.fit_transform(texts_train), vectorizer.transform(texts_test)

model = LongTailClassifier(random_state=0).fit(X_train, y_train)

# %%
# What was learned
# ----------------
#
# ``weights_`` are log-odds per unit of a column, for all labels together. Columns depend on each
# other: read those of a member together.

pd.DataFrame(model.weights_).round(2)

# %%
# One document
# ------------
#
# Of the test documents for which two labels or more are found, the one with the rarest of them. A
# label is predicted where its log-odds are above its threshold. "documents" are those of the label
# in training.

hits = model.predict(X_test).multiply(y_test).toarray() > 0
rarest_hit = np.where(hits, model.label_counts_, np.inf).min(axis=1)
document = int(np.where(hits.sum(axis=1) > 1, rarest_hit, np.inf).argmin())
explanation = model.explain(X_test[[document]], feature_names=vectorizer)


def table_of(part):
    """Without the column of the document, with names for labels."""
    table = pd.DataFrame(part).drop(columns="document")
    return table.assign(label=names[table["label"]])


labels = table_of(explanation.labels)
columns = explanation.labels["label"]
labels.assign(
    documents=model.label_counts_[columns], true=y_test[[document]].toarray()[0, columns] > 0
).round(3)

# %%
# What each member adds
# ---------------------
#
# The shares of a label add up to its log-odds. "offset" is what a mean pair of document and label
# has, of those that were learned from; most of them are wrong, so it is low. The share of a member
# is how much more it says than that, for a label as frequent. "frequency" is how often the label
# is at all, and "context" what else the document is given.

shares = table_of(explanation.shares)
table = shares.pivot(index="label", columns="source", values="share")
table = table[shares["source"].unique()].loc[labels["label"]]
table.assign(total=table.sum(axis=1)).round(2)

# %%
# As a picture, beside it the words that raise the score of the linear member most:

ExplanationDisplay.from_estimator(
    model, X_test, document=document, feature_names=vectorizer, label_names=names
)

# %%
# Neighbours
# ----------
#
# The nearest training documents that have the label, by their rows in ``X_train``:

neighbors = table_of(explanation.neighbors)
neighbors.round(2)

# %%
# A label in general
# ------------------
#
# ``top_features`` are the words of the largest weights, whatever the document; here those of the
# rarest label above. Every linear model has them.

rarest = columns[model.label_counts_[columns].argmin()]
pd.DataFrame(model.top_features(rarest, vectorizer, k=6)).round(2)
