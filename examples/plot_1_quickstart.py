"""
Quick start: texts whose labels have a long tail
================================================

A few labels have most of the documents, and most labels have a few. This example trains
:class:`~skmltc.LongTailClassifier` on such texts, and compares it with one-vs-rest ``LinearSVC`` of
scikit-learn: as it is, and with C searched and cut-offs learned. It prints one table and draws one
picture.

From the command line it takes texts of your own as well, a folder with ``train.jsonl`` and
``test.jsonl`` (or ``.jsonl.gz``)::

    python examples/plot_1_quickstart.py --data FOLDER --output PICTURE

A line of these files reads ``{"text": "Keep milk fresh", "labels": ["milk", "storage"]}``.
"""

import argparse
import sys
import time

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from skmltc import LongTailClassifier
from skmltc.datasets import load_jsonl, make_long_tailed_corpus
from skmltc.decision import MultilabelThresholdClassifierCV
from skmltc.displays import GroupScoreDisplay
from skmltc.labels import inverse_propensities
from skmltc.metrics import long_tail_report
from skmltc.model_selection import MultilabelStratifiedKFold, multilabel_train_test_split

parser = argparse.ArgumentParser(description="LongTailClassifier compared with LinearSVC.")
parser.add_argument(
    "--data", metavar="FOLDER", help="train.jsonl and test.jsonl, made-up texts by default"
)
parser.add_argument("--output", metavar="PICTURE", help="file to write the picture to")
arguments = parser.parse_args()

# %%
# The texts
# ---------
#
# Without a folder they are made up: 2000 documents and 60 labels, whose frequencies follow
# Zipf's law. The split leaves every label at least one training document.

if arguments.data:
    train, test = (load_jsonl(arguments.data, subset=part) for part in ("train", "test"))
    texts_train, y_train = train.data, train.target
    texts_test, y_test = test.data, test.target
else:
    corpus = make_long_tailed_corpus(random_state=0)
    texts_train, texts_test, y_train, y_test = multilabel_train_test_split(
        corpus.data, corpus.target, random_state=0
    )

label_counts = y_train.sum(axis=0)
vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2, dtype=np.float32)
X_train = vectorizer.fit_transform(texts_train)
X_test = vectorizer.transform(texts_test)

# %%
# The classifiers
# ---------------
#
# Ours has all its defaults. While it fits, it chooses its weight decay, and learns how much each of
# its members says and where to cut, on documents that it has held out. ``LinearSVC`` cuts at 0.
# With its C searched, and cut-offs by the rule that suits it best, it is a strong rival.

svm = OneVsRestClassifier(LinearSVC(random_state=0))
search = GridSearchCV(
    MultilabelThresholdClassifierCV(svm, threshold="frequency", random_state=0),
    {"estimator__estimator__C": [0.2, 1, 5]},
    scoring="f1_micro",
    cv=MultilabelStratifiedKFold(3, random_state=0),
)
classifiers = {"LongTailClassifier": LongTailClassifier(random_state=0)}
classifiers |= {"LinearSVC": svm, "LinearSVC, tuned": search}
seconds = {}
for name, classifier in classifiers.items():
    print(f"fitting {name}", file=sys.stderr)
    start = time.perf_counter()
    classifier.fit(X_train, y_train)
    seconds[name] = time.perf_counter() - start

# %%
# The table
# ---------
#
# Micro-F1 counts label assignments, so the head decides it. Macro-F1 is the mean over labels.
# Head labels have more than 50 training documents, tail labels 10 or fewer. P@k is the share of
# true labels among the k with the best scores; in PSP@k a rare label is worth more.


def measure(classifier):
    """Return the rows of the table for a fitted classifier, in per cent."""
    report = long_tail_report(
        y_test,
        classifier.predict(X_test),
        label_counts,
        y_score=classifier.decision_function(X_test),
        inverse_propensities=inverse_propensities(label_counts, len(texts_train)),
        output_dict=True,
    )
    rows = {
        f"{average}-F1, {group} ({report[group]['n_labels']} labels)": report[group][average]
        for average in ("micro", "macro")
        for group in ("total", "head", "medium", "tail")
    }
    rows |= {name: report[name] for name in ("P@1", "P@5", "PSP@5")}
    return {name: 100 * score for name, score in rows.items()}


scores = {name: measure(classifier) for name, classifier in classifiers.items()}
for name in scores:
    scores[name]["seconds to fit"] = seconds[name]

print(f"{len(texts_train)} training and {len(texts_test)} test documents; scores in per cent\n")
print(f"{'':<30}" + "".join(f"{name:>24}" for name in scores))
for row in next(iter(scores.values())):
    print(f"{row:<30}" + "".join(f"{scores[name][row]:>24.1f}" for name in scores))

# %%
# The picture
# -----------
#
# Labels are put into bins by their training documents; the figures on top are the numbers of labels
# in each. Much of the difference between the two ``LinearSVC`` is the cut-off, which
# :class:`~skmltc.decision.MultilabelThresholdClassifierCV` learns for any classifier. What is left
# are the nearest documents and the other labels of a document: a linear model does not see them.

display = GroupScoreDisplay.from_estimators(classifiers, X_test, y_test, label_counts)
if arguments.output:
    display.figure_.savefig(arguments.output, dpi=150)
    print(f"\nF1 by label frequency: {arguments.output}")
