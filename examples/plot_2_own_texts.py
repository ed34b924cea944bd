"""
Own texts: from a CSV file to label names
=========================================

A table with one row per document, its text in one column and its labels in another, separated by
semicolons: that is how many collections come. This example reads such a file with pandas, trains
:class:`~skmltc.LongTailClassifier` on it, and ends with the names of the predicted labels.
"""

import tempfile
from pathlib import Path

import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer

from skmltc import LongTailClassifier
from skmltc.datasets import make_long_tailed_corpus
from skmltc.displays import LabelFrequencyDisplay
from skmltc.metrics import long_tail_report
from skmltc.model_selection import multilabel_train_test_split

# %%
# A file to read
# --------------
#
# The texts of this file are made up. With a file of your own, start at the next section.

path = Path(tempfile.mkdtemp()) / "documents.csv"

corpus = make_long_tailed_corpus(random_state=0)
rows = zip(corpus.data, corpus.target.toarray().astype(bool), strict=True)
records = [(text, ";".join(pd.Series(corpus.target_names)[row])) for text, row in rows]
pd.DataFrame(records, columns=["text", "labels"]).to_csv(path, index=False)

# %%
# Texts and label sets
# --------------------
#
# An empty cell comes back as a missing value. A text without labels is fine, and is an empty list.

table = pd.read_csv(path).fillna("")
texts = table["text"].tolist()
labels = [names.split(";") if names else [] for names in table["labels"]]
table.head()

# %%
# ``MultiLabelBinarizer`` gives each label a column. Keep it sparse: with thousands of labels a
# dense matrix would fill the memory with zeros.

binarizer = MultiLabelBinarizer(sparse_output=True)
y = binarizer.fit_transform(labels)
display = LabelFrequencyDisplay.from_labels(y)

# %%
# Twenty-four of the sixty labels have ten documents or fewer: a long tail. The split leaves each of
# them a training document.

texts_train, texts_test, y_train, y_test = multilabel_train_test_split(texts, y, random_state=0)

# %%
# Train
# -----
#
# The classifier weighs a linear model and the nearest documents. How much each says, and where to
# cut, it learns on training documents that it holds out meanwhile.

model = make_pipeline(
    TfidfVectorizer(sublinear_tf=True, min_df=2), LongTailClassifier(random_state=0)
)
model.fit(texts_train, y_train)

# %%
# How good is it?
# ---------------

y_pred = model.predict(texts_test)
print(long_tail_report(y_test, y_pred, label_counts=y_train.sum(axis=0)))

# %%
# Label names
# -----------
#
# The binarizer turns columns back into names. A document may get no label at all;
# ``LongTailClassifier(min_labels=1)`` gives each one its best at least.


def names_of(indicators):
    return [";".join(sorted(names)) for names in binarizer.inverse_transform(indicators)]


pd.DataFrame(
    {
        "text": [text[:30] + " ..." for text in texts_test],
        "true": names_of(y_test),
        "predicted": names_of(y_pred),
    }
).head(10)

# %%
# The best five labels of a document, with their probabilities, above the cut-off or not:

best = model[-1].predict_topk(model[:-1].transform(texts_test[:1]), k=5)
pd.Series(best.data, index=binarizer.classes_[best.indices]).sort_values(ascending=False)
