"""
New labels from a few documents
===============================

A collection is labelled, a model is trained, and then somebody needs one more label, with five
documents to show for it. :class:`~skmltc.HeadToTailClassifier` computes a label's classifier
from such a handful, without training again: the labels it knew keep their scores to the last bit.
"""

import time

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score

from skmltc import HeadToTailClassifier
from skmltc.datasets import make_long_tailed_corpus
from skmltc.model_selection import multilabel_train_test_split

corpus = make_long_tailed_corpus(random_state=0)
texts_train, texts_test, y_train, y_test = multilabel_train_test_split(
    corpus.data, corpus.target, test_size=0.5, random_state=0
)
vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2)
X_train, X_test = vectorizer.fit_transform(texts_train), vectorizer.transform(texts_test)

# %%
# Before
# ------
#
# Five labels of middling frequency are the ones nobody has thought of yet: the model is trained
# without their columns.

by_frequency = np.argsort(-y_train.sum(axis=0), kind="stable")
new, old = by_frequency[10:15], np.sort(np.delete(by_frequency, range(10, 15)))

start = time.perf_counter()
model = HeadToTailClassifier(random_state=0).fit(X_train, y_train[:, old])
print(f"{model.n_labels_} labels learned in {time.perf_counter() - start:.1f} s")
scores_before = model.decision_function(X_test)

# %%
# Five documents each
# -------------------
#
# ``add_labels`` takes documents and the new columns alone. These documents happen to come from the
# training part; others would do as well.

y_new = sparse.csr_array(y_train[:, new])
rows = np.unique(
    np.concatenate([np.flatnonzero(y_new[:, [column]].toarray())[:5] for column in range(5)])
)

start = time.perf_counter()
model.add_labels(X_train[rows], y_new[rows])
print(f"{model.n_labels_} labels, the new ones in {time.perf_counter() - start:.2f} s")

# %%
# The scores of the others are the same, bit by bit:

scores = model.decision_function(X_test)
np.array_equal(scores[:, : len(old)], scores_before)

# %%
# How well are they found?
# ------------------------
#
# Average precision is 1 where all documents of a label are ranked before all others. Beside it is
# what chance would give, and what comes of training again with all documents of the labels. The
# last columns count the documents for which a new label is predicted, and those that have it.

complete = HeadToTailClassifier(random_state=0).fit(X_train, y_train)
truth = y_test[:, new].toarray()
predicted = model.predict(X_test)[:, len(old) :].toarray()
table = pd.DataFrame(
    {
        "chance": truth.mean(axis=0),
        "added from 5 documents": [
            average_precision_score(truth[:, i], scores[:, len(old) + i]) for i in range(5)
        ],
        "trained on all its documents": [
            average_precision_score(truth[:, i], complete.decision_function(X_test)[:, label])
            for i, label in enumerate(new)
        ],
        "documents then": y_train.sum(axis=0)[new],
        "predicted": predicted.sum(axis=0),
        "predicted, true": (predicted * truth).sum(axis=0),
        "true": truth.sum(axis=0),
    },
    index=np.array(corpus.target_names)[new],
)
table.round(2)

# %%
# From five documents the labels are ranked well above chance, most of them far below what training
# with all documents reaches; and as labels that are predicted, some are found and some are not. So
# this is for a start: to propose the label to those who decide, until there are documents enough to
# train again.

# %%

ax = table.iloc[:, :3].plot.bar(rot=0, figsize=(8, 4), color=["0.7", "C0", "C1"])
ax.set(ylabel="Average precision", ylim=(0, 1))
ax.spines[["top", "right"]].set_visible(False)
