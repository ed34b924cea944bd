"""
A loss in a torch loop of your own
==================================

The losses do not need the estimators. A loss object holds hyperparameters; ``build(y)`` counts the
labels and makes a torch module, ``loss(logits, targets)``. This example puts two of them into a
loop written by hand.
"""

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from skmltc.datasets import make_long_tailed_corpus
from skmltc.displays import GroupScoreDisplay
from skmltc.labels import inverse_propensities
from skmltc.losses import BinaryCrossEntropyLoss, DistributionBalancedLoss
from skmltc.metrics import f1_by_group, psp_at_k
from skmltc.model_selection import multilabel_train_test_split

corpus = make_long_tailed_corpus(random_state=0)
texts_train, texts_test, y_train, y_test = multilabel_train_test_split(
    corpus.data, corpus.target, random_state=0
)
vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
X_train = torch.from_numpy(vectorizer.fit_transform(texts_train).toarray())
X_test = torch.from_numpy(vectorizer.transform(texts_test).toarray())
targets = torch.from_numpy(y_train.toarray()).float()

# %%
# The loop
# --------
#
# Nothing here is special. Build the loss from the labels of the documents that are trained on,
# without those held out; ``build`` takes an array, a sparse matrix or a tensor. The module has
# buffers and no parameters, so ``.to(device)`` moves it.
#
# Take the plain logits to predict: what a loss shifts or scales it does inside.


def train(spec, n_epochs=12, batch_size=50):
    """Train a network with this loss and return the logits of the test documents."""
    torch.manual_seed(0)
    n_features, n_labels = X_train.shape[1], y_train.shape[1]
    network = torch.nn.Sequential(
        torch.nn.Linear(n_features, 128), torch.nn.Dropout(0.2), torch.nn.Linear(128, n_labels)
    )
    loss = spec.build(y_train)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(n_epochs):
        for rows in torch.randperm(len(X_train)).split(batch_size):
            optimizer.zero_grad()
            loss(network(X_train[rows]), targets[rows]).backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        return network(X_test).numpy()


specs = [BinaryCrossEntropyLoss(), DistributionBalancedLoss(), DistributionBalancedLoss(kappa=0.2)]
logits = {repr(spec): train(spec) for spec in specs}

# %%
# The table
# ---------
#
# In per cent, cut at a probability of 0.5, which is a logit of 0. ``kappa`` is how much the loss
# tolerates the negatives of rare labels: with more of it they are predicted more often.

label_counts = y_train.sum(axis=0)
weights = inverse_propensities(label_counts, len(texts_train))
rows = {}
for name, scores in logits.items():
    f1 = f1_by_group(y_test, scores > 0, label_counts)
    rows[name] = {"micro-F1": f1["total"]["micro"], "macro-F1": f1["total"]["macro"]}
    rows[name] |= {"macro-F1, tail": f1["tail"]["macro"]}
    rows[name] |= {"PSP@5": psp_at_k(y_test, scores, weights, k=5)}
(100 * pd.DataFrame(rows).T).round(1)

# %%
# The picture
# -----------

predictions = {name: scores > 0 for name, scores in logits.items()}
display = GroupScoreDisplay.from_predictions(y_test, predictions, label_counts)
