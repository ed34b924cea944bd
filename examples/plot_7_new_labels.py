"""
New labels from a few documents
===============================

A collection is labelled, a model is trained, and then somebody needs one more label, with five
documents to show for it. ``add_labels`` learns it without training again: the members of
:class:`~skmltc.LongTailClassifier` keep their scores of the labels that they know, to the last bit.
:class:`~skmltc.HeadToTailClassifier`, which computes a label's classifier from those of frequent
labels, can do it as well, and is compared with it.
"""

import time

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score

from skmltc import HeadToTailClassifier, LongTailClassifier
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
# Five labels of middling frequency are the ones nobody has thought of yet: the models are trained
# without them, and without the documents that have them.

by_frequency = np.argsort(-y_train.sum(axis=0), kind="stable")
new, old = by_frequency[10:15], np.sort(np.delete(by_frequency, range(10, 15)))
y_new = sparse.csr_array(y_train[:, new])
known = np.flatnonzero(y_new.sum(axis=1) == 0)

models = {"stack": LongTailClassifier(random_state=0), "HTTN": HeadToTailClassifier(random_state=0)}
for name, model in models.items():
    start = time.perf_counter()
    model.fit(X_train[known], y_train[known][:, old])
    print(f"{name}: {model.n_labels_} labels learned in {time.perf_counter() - start:.1f} s")
linear = models["stack"].members_.linear
scores_before = linear.decision_function(X_test)

# %%
# Five documents each
# -------------------
#
# ``add_labels`` takes documents and the new columns alone.

rows = np.unique(
    np.concatenate([np.flatnonzero(y_new[:, [column]].toarray())[:5] for column in range(5)])
)
for name, model in models.items():
    start = time.perf_counter()
    model.add_labels(X_train[rows], y_new[rows])
    print(f"{name}: {model.n_labels_} labels, the new ones in {time.perf_counter() - start:.2f} s")

# %%
# The linear member's scores of the others are the same, bit by bit:

linear = models["stack"].members_.linear
np.array_equal(linear.decision_function(X_test)[:, : len(old)], scores_before)

# %%
# How well are they found?
# ------------------------
#
# Average precision is 1 where all documents of a label are ranked before all others. Beside it is
# what chance would give, and what comes of training the stack again with all documents of the
# labels. The last columns count the documents for which the stack predicts a new label, and those
# that have it.

complete = LongTailClassifier(random_state=0).fit(X_train, y_train)
truth = y_test[:, new].toarray()
scores = {name: model.decision_function(X_test)[:, len(old) :] for name, model in models.items()}
scores["all documents"] = complete.decision_function(X_test)[:, new]
precision = {
    name: [average_precision_score(truth[:, i], of_new[:, i]) for i in range(5)]
    for name, of_new in scores.items()
}
predicted = models["stack"].predict(X_test)[:, len(old) :].toarray()
table = pd.DataFrame(
    {
        "chance": truth.mean(axis=0),
        "HTTN, 5 documents": precision["HTTN"],
        "stack, 5 documents": precision["stack"],
        "stack, all documents": precision["all documents"],
        "documents then": y_train.sum(axis=0)[new],
        "predicted": predicted.sum(axis=0),
        "predicted, true": (predicted * truth).sum(axis=0),
        "true": truth.sum(axis=0),
    },
    index=np.array(corpus.target_names)[new],
)
table.round(2)

# %%
# The vectors of :class:`~skmltc.HeadToTailClassifier` have learned what tells its head labels
# apart, and a new label is often a matter of other words; the stack still has them all. How much
# this is on real texts stands in :doc:`/estimators/head_to_tail`.

# %%

ax = table.iloc[:, :4].plot.bar(rot=0, figsize=(8, 4), color=["0.7", "C2", "C0", "C1"])
ax.set(ylabel="Average precision", ylim=(0, 1))
ax.spines[["top", "right"]].set_visible(False)
