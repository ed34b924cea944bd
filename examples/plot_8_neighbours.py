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
from sklearn.pipeline import Pipeline, make_pipeline

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


@sklearn.config_context(enable_metadata_routing=True)
def fit_with_names(**parameters):
    reader = make_reader(label_parents=corpus.label_parents, **parameters)
    pipeline = Pipeline(
        [("tokens", make_tokens()), ("reader", reader.set_fit_request(label_tokens=True))],
        transform_input=["label_tokens"],
    )
    return pipeline.fit(texts_train, y_train, label_tokens=corpus.target_names)


def fit_without_names(**parameters):
    reader = make_reader(teacher=False, **parameters)
    return make_pipeline(make_tokens(), reader).fit(texts_train, y_train)


def make_tokens():
    return TokenSequenceVectorizer(max_length=40)


def make_reader(**parameters):
    encoder = WordEmbedding(embedding_dim=64)
    return TReaderXMLClassifier(encoder=encoder, random_state=0, **parameters)


models = {
    "text alone": fit_without_names(votes=False),
    "with votes": fit_without_names(),
    "with teacher and votes": fit_with_names(),
}

# %%
# What it brings
# --------------
#
# F1 and nDCG in per cent. Most comes of the votes, little of the teacher, which takes longest. So
# first see what ``teacher=False`` has.

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
