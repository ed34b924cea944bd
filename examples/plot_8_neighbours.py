"""
The labels of similar documents
===============================

:class:`~skmltc.TReaderXMLClassifier` looks up the training documents most similar to a document,
and reads their labels' descriptions beside the text; and the neighbours vote. Here with label names
and a hierarchy, from raw texts in one pipeline.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.pipeline import Pipeline

from skmltc import TReaderXMLClassifier
from skmltc.datasets import make_long_tailed_corpus
from skmltc.encoders import WordEmbedding
from skmltc.metrics import f1_by_group, ndcg_at_k
from skmltc.model_selection import multilabel_train_test_split
from skmltc.text import TokenSequenceVectorizer

corpus = make_long_tailed_corpus(random_state=0)
texts_train, texts_test, y_train, y_test = multilabel_train_test_split(
    corpus.data, corpus.target, random_state=0
)
label_counts = y_train.sum(axis=0)

# %%
# Names and parents
# -----------------
#
# The names of the labels become token ids by the vectorizer that has seen the texts: a Pipeline
# does that where it is told to, by ``transform_input``. The hierarchy is a parameter, the column of
# each label's parent or -1.

sklearn.set_config(enable_metadata_routing=True)


def fit(**parameters):
    reader = TReaderXMLClassifier(
        encoder=WordEmbedding(embedding_dim=64),
        label_parents=corpus.label_parents,
        random_state=0,
        **parameters,
    )
    steps = [
        ("tokens", TokenSequenceVectorizer(max_length=40)),
        ("reader", reader.set_fit_request(label_tokens=True)),
    ]
    pipeline = Pipeline(steps, transform_input=["label_tokens"])
    return pipeline.fit(texts_train, y_train, label_tokens=corpus.target_names)


models = {
    "text alone": fit(teacher=False, votes=False),
    "with teacher and votes": fit(),
}

# %%
# What it brings
# --------------
#
# F1 and nDCG in per cent.

rows = {}
for name, model in models.items():
    f1 = f1_by_group(y_test, model.predict(texts_test), label_counts)
    rows[name] = {"micro-F1": f1["total"]["micro"], "macro-F1": f1["total"]["macro"]}
    rows[name] |= {f"macro-F1, {group}": f1[group]["macro"] for group in list(f1)[1:]}
    rows[name] |= {"nDCG@5": ndcg_at_k(y_test, model.predict_proba(texts_test), k=5)}
(100 * pd.DataFrame(rows).T).round(1)

# %%
# Where a prediction comes from
# -----------------------------
#
# The scope of one document: what its neighbours add to the logits, before the learned factor. The
# true labels are dark.

tokens, reader = models["with teacher and votes"]
scope = reader.scorer_.retriever.scopes(tokens.transform(texts_test[:1])).toarray()[0]
best = np.argsort(-scope)[:12][::-1]
colors = np.where(y_test[[0]].toarray()[0, best] > 0, "#0072B2", "#A6CEE3")
figure, ax = plt.subplots(layout="constrained")
ax.barh([f"{corpus.target_names[i]} ({label_counts[i]})" for i in best], scope[best], color=colors)
ax.set(xlabel="Evidence of the neighbours", ylabel="Label (training documents)")

# %%
# The picture
# -----------

# sphinx_gallery_thumbnail_number = 1
sklearn.set_config(enable_metadata_routing=False)
