"""Blocks of labels, and on which documents they are solved."""

import numpy as np
import pytest
import torch
from scipy import sparse

from skmltc import BalancedLossClassifier
from skmltc._linear import problems, shortlists
from skmltc._linear.models import Solver, fit_linear
from skmltc._linear.problems import LinearProblem, block_size, problem_of
from skmltc._linear.shortlists import Shortlists
from skmltc.encoders import BagEncoder
from skmltc.losses import BinaryCrossEntropyLoss, SquaredHingeLoss, WeightedBinaryCrossEntropyLoss


@pytest.mark.parametrize(
    "shape, size",
    [
        ((100, 30), 64),
        ((2**13, 10), 64),
        ((10, 2**13), 64),
        ((2**13 + 1, 10), 32),
        ((10, 2**14), 32),
        ((10, 2**17), 32),
        ((10, 2**17 + 1), 16),
        ((10**7, 10**6), 16),
        ((0, 0), 64),
    ],
)
def test_fewer_labels_of_more_documents_or_features_are_solved_together(shape, size):
    assert block_size(shape) == size


def test_models_are_solved_by_one_thread_and_leave_the_number_as_it_was(problem, three_threads):
    X, Y = problem
    seen = []
    solver = Solver(BinaryCrossEntropyLoss())
    problem = LinearProblem.of(X, Y, solver)
    dot = problem.features.dot
    problem.features.dot = lambda W: (seen.append(torch.get_num_threads()), dot(W))[1]
    problem.solve([0.1], solver, np.arange(7))
    assert set(seen) == {1} and torch.get_num_threads() == 3


@pytest.mark.parametrize("loss", [BinaryCrossEntropyLoss(), SquaredHingeLoss()])
def test_so_they_are_on_shortlists_of_either_kind(documents, few, three_threads, monkeypatch, loss):
    seen, dot = [], shortlists.csr_dot
    watched = lambda *factors: (seen.append(torch.get_num_threads()), dot(*factors))[1]  # noqa: E731
    monkeypatch.setattr(shortlists, "csr_dot", watched)
    solver = Solver(loss, 1.0)
    problem_of(documents.X, documents.Y, solver).solve([1.0], solver, np.array([0, 7]))
    assert set(seen) == {1} and torch.get_num_threads() == 3


@pytest.mark.parametrize(
    "change, is_short",
    [
        ({}, True),
        ({"X": sparse.csr_array.toarray}, False),
        ({"X": lambda X: 100 * X}, True),
        ({"n_dense": 300 * 24}, False),
    ],
)
def test_very_many_weights_of_sparse_rows_have_shortlists(
    documents, few, change, is_short, monkeypatch
):
    solver = Solver(SquaredHingeLoss(), 1.0)
    monkeypatch.setattr(problems, "_MOST_DENSE", change.get("n_dense", 300 * 24 - 1))
    X = change.get("X", lambda X: X)(documents.X)
    assert isinstance(problem_of(X, documents.Y, solver), Shortlists) == is_short


def test_dense_weights_of_gigabytes_are_told_and_sparse_ones_are_not(documents, few, monkeypatch):
    monkeypatch.setattr(problems, "_MOST_GIGABYTES", 4e-9 * 300 * 24 * 0.9)
    solver = Solver(BinaryCrossEntropyLoss(), 0.1)
    fit_linear(documents.X, documents.Y, solver)
    with pytest.warns(UserWarning, match=r"24 labels by 300 features take .* GB .*TfidfVectorizer"):
        fit_linear(documents.X.toarray(), documents.Y, solver)


@pytest.mark.filterwarnings("ignore:weighted_bce gives")
class TestALossWithoutMinimum:
    """As printed, labels on more than half of the documents have weights below 0."""

    LOSS = WeightedBinaryCrossEntropyLoss(clip=False)

    @pytest.fixture
    def Y(self, documents):
        frequent = np.arange(documents.X.shape[0]) % 3 > 0
        known = documents.Y.sum(axis=0) > 0
        return np.column_stack([documents.Y.toarray()[:, known], frequent])

    @pytest.mark.parametrize("encoder", ["bag", BagEncoder((32,))], ids=["linear", "hidden layer"])
    def test_is_refused_with_a_remedy(self, encoder, documents, Y):
        model = BalancedLossClassifier(encoder=encoder, loss=self.LOSS)
        with pytest.raises(ValueError, match=rf"columns \[{Y.shape[1] - 1}\].*start='random'"):
            model.fit(documents.X, Y)

    def test_trains_a_network_from_a_random_start(self, documents, Y):
        encoder = BagEncoder((8,), start="random")
        model = BalancedLossClassifier(encoder=encoder, loss=self.LOSS, max_epochs=1)
        assert np.isfinite(model.fit(documents.X, Y).predict_proba(documents.X)).all()

    def test_has_one_where_no_label_is_so_frequent(self, documents, Y):
        model = BalancedLossClassifier(loss=self.LOSS).fit(documents.X, Y[:, :-1])
        assert np.isfinite(model.predict_proba(documents.X)).all()
