"""
Thresholds for any classifier
=============================

Where to cut the scores often decides F1 more than the classifier does.
:class:`~skmltc.decision.MultilabelThresholdClassifierCV` learns the cut-offs of any multi-label
classifier of scikit-learn on out-of-fold scores; here it is one-vs-rest ``LinearSVC``, which cuts
at 0 by itself.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from skmltc.datasets import make_long_tailed_corpus
from skmltc.decision import MultilabelThresholdClassifierCV
from skmltc.displays import GroupScoreDisplay
from skmltc.metrics import f1_by_group
from skmltc.model_selection import multilabel_train_test_split

corpus = make_long_tailed_corpus(random_state=0)
texts_train, texts_test, y_train, y_test = multilabel_train_test_split(
    corpus.data, corpus.target, random_state=0
)
vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2)
X_train, X_test = vectorizer.fit_transform(texts_train), vectorizer.transform(texts_test)
label_counts = y_train.sum(axis=0)

# %%
# Five rules
# ----------
#
# All of them learn from scores of three folds; the classifier itself stays as it is.
# :doc:`/guide/thresholds` says what each rule does.

svm = OneVsRestClassifier(LinearSVC())
classifiers = {"own cut": svm.fit(X_train, y_train)}
for rule in ("tuned", "tuned_low", "frequency", "per_group", "per_label"):
    tuned = MultilabelThresholdClassifierCV(svm, threshold=rule, random_state=0)
    classifiers[rule] = tuned.fit(X_train, y_train)

# %%
# F1 in per cent, of all labels and of the groups by training documents: head above 50, tail up to
# 10. A learned cut-off helps every group, and the rarer the labels, the more it does.

rows = {}
for name, classifier in classifiers.items():
    scores = f1_by_group(y_test, classifier.predict(X_test), label_counts)
    rows[name] = {"micro-F1": scores["total"]["micro"], "macro-F1": scores["total"]["macro"]}
    rows[name] |= {f"macro-F1, {group}": scores[group]["macro"] for group in list(scores)[1:]}
(100 * pd.DataFrame(rows).T).round(1)

# %%
# What was learned
# ----------------
#
# ``threshold_`` holds one cut-off per label, in the units of the scores. The lower it is, the lower
# the score with which the label is predicted.

figure, ax = plt.subplots(layout="constrained")
for rule in ("tuned", "tuned_low", "frequency", "per_label"):
    ax.plot(label_counts, classifiers[rule].threshold_, ".", label=rule)
ax.axhline(0, color="0.5", linewidth=1, label="own cut")
ax.set(xscale="log", xlabel="Training documents of the label", ylabel="Cut-off")
ax.legend()

# %%
# The picture
# -----------

# sphinx_gallery_thumbnail_number = 2
shown = {name: classifiers[name] for name in ("own cut", "tuned", "tuned_low", "frequency")}
display = GroupScoreDisplay.from_estimators(shown, X_test, y_test, label_counts)
