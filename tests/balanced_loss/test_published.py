"""The rows of Huang et al.: losses and their gradients, and training step by step."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn.functional import binary_cross_entropy_with_logits

from skmltc import BalancedLossClassifier
from skmltc.datasets import make_long_tailed_corpus
from skmltc.encoders import TextCNN, build_network
from skmltc.labels import LabelStatistics
from skmltc.text import TokenSequenceVectorizer

ROWS = list(BalancedLossClassifier._published.rows)
STATISTICS = LabelStatistics([50, 20, 5, 2], 100)
Z = [[1.2, -0.3, 0.4, -2.0], [-0.5, 0.8, -1.1, 0.3], [2.5, -1.5, -0.2, -0.7]]
Y = [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0]]

# The loss, the factor that the released code has besides, and the gradient of the first document.
VECTORS = {
    "BCE": (0.36883976, 1, [-0.019290, 0.035463, -0.033443, 0.009934]),
    "FL": (0.04943683, 0.5, [-0.002840, 0.016034, -0.013630, 0.000406]),
    "CB": (0.01298425, 5, [-0.000286, 0.001825, -0.003328, 0.000214]),
    "R-FL": (0.02747171, 0.5, [-0.000285, 0.001623, -0.008488, 0.000447]),
    "NTR-FL, eq. 6": (0.03049814, 0.5, [-0.002840, 0.007420, -0.017264, 0.0]),
    "NTR-FL": (2 * 0.01758466, 0.5, None),
    "DB-0FL": (0.10553670, 0.5, [-0.001935, 0.002726, -0.022684, 0.001124]),
    "CB-NTR": (0.00988703, 5, [-0.000286, 0.000845, -0.004216, 0.0]),
    "DB": (0.01614483, 0.5, [-0.000285, 0.000751, -0.010750, 0.000001]),
}
RELEASED = {
    "BCE": 0.36883976, "FL": 0.02471842, "CB": 0.06492127, "R-FL": 0.01373586,
    "NTR-FL": 0.01758466, "DB-0FL": 0.05276835, "CB-NTR": 0.04943515, "DB": 0.00807241,
}  # fmt: skip

TINY = TextCNN(filter_sizes=(2, 3), n_filters=8, embedding_dim=6, hidden_dim=12)


def published(row, **changes):
    return BalancedLossClassifier.as_published(row, **{"encoder": TINY} | changes)


@pytest.mark.parametrize("row", ROWS)
def test_losses_and_gradients_have_the_papers_values(row):
    printed, factor, gradient = VECTORS[row]
    z = torch.tensor(Z, dtype=torch.float64, requires_grad=True)
    value = published(row).loss.build(STATISTICS)(z, torch.tensor(Y, dtype=torch.float64))
    assert value.item() == pytest.approx(printed, rel=1e-6)
    assert factor * value.item() == pytest.approx(RELEASED.get(row, factor * printed), rel=1e-6)
    value.backward()
    if gradient is not None:
        assert_allclose(z.grad[0], gradient, atol=6e-7)


def naive_loss(row, z, y, counts, n_samples):
    """Equations 1 to 8 of the paper, of float32 logits z and targets y (n_samples, n_labels)."""
    n = torch.tensor(counts, dtype=torch.float32)
    tolerant = "NTR" in row or "DB" in row
    if tolerant:
        z = z - 0.05 * torch.log(n_samples / n - 1)
    lam = 2.0 if tolerant else 1.0
    scale = 1.0 if row == "NTR-FL" else 1 / lam
    sign = 2 * y - 1
    z = torch.where(y > 0, z, lam * z)
    cross_entropy = binary_cross_entropy_with_logits(z, y, reduction="none")
    gamma = 0 if row in ("BCE", "DB-0FL") else 2
    cells = torch.sigmoid(-sign * z) ** gamma * cross_entropy
    cells = torch.where(y > 0, cells, scale * cells)
    if "CB" in row:
        cells = cells * (1 - 0.9) / (1 - 0.9**n)
    elif row in ("R-FL", "DB-0FL", "DB"):
        share = (1 / n) / (y / n).sum(dim=1, keepdim=True)
        share = torch.where(y.any(dim=1, keepdim=True), share, 0.0)
        cells = cells * (0.1 + torch.sigmoid(10 * (share - 0.9)))
    return cells.mean()


@pytest.fixture(scope="module")
def texts():
    """Token ids and labels of 160 documents with a label each, and of a validation part."""
    corpus = make_long_tailed_corpus(n_samples=260, n_labels=6, random_state=0)
    X = TokenSequenceVectorizer(max_length=15).fit_transform(corpus.data)
    Y = np.asarray(corpus.target.toarray(), dtype=np.int64)
    kept = np.flatnonzero(Y.any(axis=1))
    assert len(kept) >= 190
    return X[kept[:160]], Y[kept[:160]], X[kept[160:]], Y[kept[160:]]


@pytest.mark.filterwarnings("ignore:threshold=0.5 cuts logits that are no log-odds")
@pytest.mark.parametrize("row", ROWS)
def test_twenty_steps_equal_a_loop(row, texts):
    """Weights of the head and of the encoder, dropout included."""
    X, Y, *validation = texts
    model = published(row, random_state=3, threshold=0.5, max_epochs=4, training__keep="last")
    model.fit(X, Y, *validation)

    torch.manual_seed(3)
    network = build_network(TINY, int(X.max()) + 1, Y.shape[1], X)
    head = network[-1]
    torch.nn.init.normal_(head.weight, std=0.02)
    torch.nn.init.zeros_(head.bias)
    starts = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.01)
    for _ in range(4):
        network.train()
        for batch in torch.randperm(160).split(32):
            optimizer.zero_grad()
            longest = (X[batch] > 0).sum(axis=1).max()
            logits = network(torch.from_numpy(X[batch, :longest]))
            targets = torch.from_numpy(Y)[batch].float()
            naive_loss(row, logits, targets, Y.sum(axis=0), 160).backward()
            optimizer.step()
    assert len(model.history_) == 4
    pairs = zip(model.module_.parameters(), network.parameters(), starts, strict=True)
    for mine, naive, start in pairs:
        assert_allclose(mine.detach(), naive.detach(), atol=1e-5)
        assert (naive - start).abs().max() > 1e-3


def test_one_cut_off_is_the_best_of_the_validation_part(texts):
    """And the epoch that is kept is that of the best micro-F1 there."""
    X, Y, X_val, Y_val = (np.vstack([part] * 9) for part in texts)  # enough to decide by
    assert Y_val.sum() >= 500
    model = published("DB", random_state=0, max_epochs=3, training__lr=0.01)
    model.fit(X, Y, X_val, Y_val)
    logits, cuts = model.decision_function(X_val), model.threshold_
    assert len(set(cuts)) == 1
    reached = micro_f1(Y_val, logits > cuts)
    assert reached == pytest.approx(max(micro_f1(Y_val, logits >= cut) for cut in logits.flat))
    by_epoch = [row["valid_micro_f1"] for row in model.history_]
    assert reached == pytest.approx(max(by_epoch), abs=1e-3)
    assert max(by_epoch) - min(by_epoch) > 0.01


def micro_f1(truth, predicted):
    return 2 * (truth * predicted).sum() / (truth.sum() + predicted.sum())
