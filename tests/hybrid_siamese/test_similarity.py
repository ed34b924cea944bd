"""The Siamese network: the specification's numbers, naive twins, supports, what is trained."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from skmltc._networks import HeadScorer
from skmltc.decision import Documents, ScoredPairs
from skmltc.encoders import BagEncoder, BiLSTMAttention, build_network
from skmltc.hybrid_siamese._similarity import (
    HybridScorer,
    IndependentTriplets,
    SiameseNetwork,
    Similarity,
    SimilarityScorer,
    TripletDocuments,
    TripletLoss,
    draw_supports,
    platt_scaling,
    support_vectors,
    weighted_differences,
)
from skmltc.hybrid_siamese._triplets import Triplets
from skmltc.losses import BinaryCrossEntropyLoss

X_I, X_J = torch.tensor([[0.2, 0.9, 0.5]]), torch.tensor([[0.6, 0.4, 0.5]])


def given_similarity():
    """The parameters of the specification's example."""
    similarity = Similarity(3, 2)
    with torch.no_grad():
        similarity.gate.copy_(torch.tensor([[0.3, -0.2], [-0.5, 0.4], [0.1, 0.7]]).T)
        similarity.gate_bias.copy_(torch.tensor([0.1, 0.2, -0.3]))
        similarity.output.weight.copy_(torch.tensor([[1.5, -2, 0.7]]))
        similarity.output.bias.fill_(0.25)
    return similarity


def network(n_labels=4, dim=6, **settings):
    torch.manual_seed(0)
    single = build_network(BagEncoder(hidden_dims=(dim,)), 10, n_labels)
    settings = {"gated": True, "activation": "sigmoid"} | settings
    return single.eval(), SiameseNetwork(single, n_labels, **settings).eval()


def scorer_of(siamese, supports):
    """A scorer without calibration."""
    return SimilarityScorer(siamese, supports, np.zeros(len(supports), dtype=np.float32))


def features(n_samples=30, seed=0):
    matrix = sparse.random_array((n_samples, 10), density=0.4, rng=seed, format="csr")
    return sparse.csr_array(matrix, dtype=np.float32)


def indicators(n_samples, n_labels, share):
    """Label indicators of random documents."""
    Y = np.random.default_rng(0).random((n_samples, n_labels)) < share
    return sparse.csr_array(Y, dtype=np.float32)


# ------------------------------------------------------------------------------- similarities


def test_numbers_of_the_specification():
    similarity = given_similarity()
    logits = similarity(X_I.repeat(2, 1), X_J.repeat(2, 1), torch.tensor([0, 1]))
    assert_allclose(expit(logits.detach().numpy()), [0.60341281, 0.45654390], atol=1e-6)
    gates = (similarity.weights(torch.tensor([0, 1])) / similarity.output.weight).detach()
    assert_allclose(gates, [[0.28284271, 0, 0], [0, 0.42426407, 0.28284271]], atol=1e-6)


def test_similarity_is_symmetric_and_that_of_equal_documents_the_bias():
    similarity, labels = given_similarity(), torch.tensor([0])
    assert torch.equal(similarity(X_I, X_J, labels), similarity(X_J, X_I, labels))
    for label in (0, 1):
        equal = similarity(X_I, X_I, torch.tensor([label]))
        assert_allclose(equal.detach(), 0.25, atol=1e-7)


def test_gates_start_half_open_and_learn():
    torch.manual_seed(0)
    similarity = Similarity(200, 50)
    opened = similarity.weights(torch.arange(50)) != 0
    assert 0.3 < opened.float().mean() < 0.7
    similarity(torch.rand(50, 200), torch.rand(50, 200), torch.arange(50)).sum().backward()
    assert (similarity.gate.grad.abs().sum(dim=1) > 0).all()


def test_without_gates_the_label_does_not_matter():
    similarity = Similarity(3, 2, gated=False)
    logits = similarity(X_I.repeat(2, 1), X_J.repeat(2, 1), torch.tensor([0, 1]))
    assert logits[0] == logits[1]
    assert {name for name, _ in similarity.named_parameters()} == {"output.weight", "output.bias"}


@given(st.integers(1, 150), st.integers(1, 40), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_weighted_differences_are_the_sums_of_loops(n_samples, n_labels, dim):
    rng = np.random.default_rng(0)
    x, m, w = (rng.normal(size=(n, dim)) for n in (n_samples, n_labels, n_labels))
    found = weighted_differences(*map(torch.from_numpy, (x, m, w)))
    expected = [
        [sum(w[c, k] * abs(x[i, k] - m[c, k]) for k in range(dim)) for c in range(n_labels)]
        for i in range(n_samples)
    ]
    assert_allclose(found, expected, atol=1e-9)


def hybrid_scorer(n_labels, n_comparisons, gated):
    """A scorer of random weights: of some labels by similarity, each with its own offset."""
    rng = np.random.default_rng(n_labels)
    single, siamese = network(n_labels, dim=64, gated=gated)
    supports = rng.random((n_labels, n_comparisons, 64), dtype=np.float32)
    supports[rng.random((n_labels, n_comparisons)) < 0.3] = np.nan
    supports[:, 0] = rng.random((n_labels, 64))
    offsets = rng.normal(size=n_labels).astype(np.float32)
    similar = SimilarityScorer(siamese, supports, offsets, scale=1.7)
    return HybridScorer(HeadScorer(single), similar, rng.random(n_labels) < 0.5)


@given(st.integers(1, 150), st.sampled_from([1, 3]), st.booleans(), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_scores_are_the_same_to_the_bit_whatever_stands_beside_them(n_labels, n_each, gated, seed):
    rng, scorer, X = np.random.default_rng(seed), hybrid_scorer(n_labels, n_each, gated), features()
    scores = scorer.scores(scorer.encode(X, "cpu"))
    assert scores.shape == (30, n_labels) and np.isfinite(scores).all()
    labels = rng.permutation(n_labels)[: rng.integers(n_labels + 1)]
    assert_array_equal(scorer.scores(scorer.encode(X, "cpu"), labels), scores[:, labels])
    rows = np.sort(rng.permutation(30)[: rng.integers(1, 31)])
    assert_array_equal(
        scorer.scores(scorer.encode(X[rows], "cpu"), labels), scores[rows][:, labels]
    )


def test_a_hybrid_scores_each_label_by_its_own_part():
    scorer, X = hybrid_scorer(40, 1, True), features()
    scores, below = scorer.scores(scorer.encode(X, "cpu")), scorer.below
    single, similar = scorer.single, scorer.similar
    assert 5 < below.sum() < 35
    assert_array_equal(scores[:, ~below], single.scores(single.encode(X, "cpu"))[:, ~below])
    by_similarity = similar.scores(similar.encode(X, "cpu"), np.arange(40))
    assert_array_equal(scores[:, below], by_similarity[:, below])
    assert scorer.network is single.network


def test_without_a_label_to_compare_a_hybrid_is_the_single_network():
    single, _ = network()
    scorer = HybridScorer(HeadScorer(single), None, np.zeros(4, dtype=bool))
    scores = scorer.scores(scorer.encode(features(), "cpu"))
    expected = single(torch.from_numpy(features().toarray())).detach()
    assert_allclose(scores, expected, atol=1e-6)


def test_offsets_and_scale_are_those_of_the_logits():
    _, siamese = network()
    supports = np.random.default_rng(0).random((4, 1, 6), dtype=np.float32)
    plain, encoded, labels = scorer_of(siamese, supports), torch.rand(7, 6), np.arange(4)
    offsets = np.array([0.5, -1, 2, 0], dtype=np.float32)
    moved = SimilarityScorer(siamese, supports, offsets, scale=3.0)
    expected = 3 * plain.scores(encoded, labels) + offsets
    assert_allclose(moved.scores(encoded, labels), expected, rtol=1e-6)
    again = moved.calibrated(-2.0, 0.25)
    assert_allclose(again.scores(encoded, labels), -2 * expected + 0.25, rtol=1e-5)
    assert_allclose(moved.scores(encoded, labels), expected, rtol=1e-6)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("support", ["mean", "vote"])
def test_scores_are_those_of_comparing_document_by_document(gated, support):
    _, siamese = network(gated=gated)
    X, Y = features(), indicators(30, 4, 0.4)
    rng = np.random.RandomState(0)
    scorer = scorer_of(siamese, support_vectors(siamese, X, Y, 5, support, rng, "cpu"))
    scores = scorer.scores(scorer.encode(X, "cpu"), np.arange(4))
    vectors = siamese(torch.from_numpy(X.toarray()))[0]
    chosen = draw_supports(Y, 5, np.random.RandomState(0))
    for i in range(30):
        for label in range(4):
            others = vectors[chosen[label]]
            others = others.mean(dim=0, keepdim=True) if support == "mean" else others
            logits = [
                siamese.similarity(vectors[[i]], other[None], torch.tensor([label])).item()
                for other in others
            ]
            assert_allclose(scores[i, label], np.median(logits), atol=1e-5)


def test_a_vote_is_won_by_more_than_half():
    similarity = Similarity(1, 1, gated=False)
    with torch.no_grad():
        similarity.output.weight.fill_(-1.0)
        similarity.output.bias.fill_(0.5)  # similar if less than 0.5 apart
    siamese = network()[1]
    siamese.similarity = similarity
    for n_near, n_all, won in [(1, 1, 1), (1, 2, 0), (2, 3, 1), (2, 4, 0), (3, 4, 1), (3, 5, 1)]:
        places = np.full((1, 5, 1), np.nan, dtype=np.float32)
        places[0, :n_all, 0] = [0.1] * n_near + [0.9] * (n_all - n_near)
        scorer = scorer_of(siamese, places)
        assert (scorer.scores(torch.zeros(1, 1), np.array([0])) > 0) == won


def test_votes_of_equal_supports_are_their_mean():
    _, siamese = network()
    one = np.random.default_rng(0).random((4, 1, 6)).astype(np.float32)
    encoded = torch.rand(7, 6)
    by_mean, by_vote = (
        scorer_of(siamese, supports).scores(encoded, np.arange(4))
        for supports in (one, one.repeat(5, axis=1))
    )
    assert_array_equal(by_mean, by_vote)


# ----------------------------------------------------------------------- supports and priors


def test_supports_have_the_label_and_are_all_there_is_of_a_rare_one():
    Y = sparse.csr_array(np.array([[1, 0, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0]], dtype=np.float32))
    chosen = draw_supports(Y, 3, np.random.RandomState(0))
    assert len(set(chosen[0])) == 3 and chosen[0].min() >= 0
    assert_array_equal(chosen[1:], [[1, -1, -1], [0, -1, -1]])
    assert_array_equal(draw_supports(Y, 3, np.random.RandomState(0)), chosen)
    drawn = {tuple(sorted(draw_supports(Y, 3, np.random.RandomState(s))[0])) for s in range(20)}
    assert len(drawn) == 4


def test_supports_are_vectors_of_documents_or_their_mean():
    _, siamese = network(n_labels=3)
    X = features(4)
    Y = sparse.csr_array(np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]], dtype=np.float32))
    each, mean = (
        support_vectors(siamese, X, Y, 3, support, np.random.RandomState(0), "cpu")
        for support in ("vote", "mean")
    )
    vectors = siamese.represent(X, "cpu")
    assert each.shape == (3, 3, 6) and mean.shape == (3, 1, 6)
    first = sorted(each[0, :2].tolist())
    assert_array_equal(first, sorted(vectors[:2].tolist()))
    assert_array_equal(each[1, 0], vectors[3])
    assert np.isnan(each[0, 2:]).all() and np.isnan(each[1, 1:]).all() and np.isnan(each[2]).all()
    assert_allclose(mean[:, 0], [vectors[:2].mean(axis=0), vectors[3], np.zeros(6)], rtol=1e-6)


def test_matching_priors_lets_as_many_pass_as_have_the_label():
    _, siamese = network(n_labels=5, gated=False)
    X, Y = features(200), indicators(200, 5, 0.2)
    supports = support_vectors(siamese, X, Y, 5, "mean", np.random.RandomState(0), "cpu")
    scorer, matched = scorer_of(siamese, supports), np.array([True, True, True, True, False])
    shifted = scorer.matching_priors(Documents(X, Y), matched, "cpu")
    encoded, labels = scorer.encode(X, "cpu"), np.arange(5)
    raw, scores = scorer.scores(encoded, labels), shifted.scores(encoded, labels)
    assert_array_equal((scores > 0).sum(axis=0)[:4], Y.sum(axis=0)[:4])
    assert ((raw > 0).sum(axis=0)[:4] != Y.sum(axis=0)[:4]).all()
    assert_array_equal(scores[:, 4], raw[:, 4])
    assert_allclose(np.diff(scores, axis=0), np.diff(raw, axis=0), atol=1e-6)
    for label in range(4):  # half-way between the last that passes and the first that does not
        falling = np.sort(raw[:, label])[::-1]
        n = int(Y[:, [label]].sum())
        assert_allclose(shifted.offsets[label], -(falling[n - 1] + falling[n]) / 2, rtol=1e-5)


def test_a_label_of_all_documents_passes_for_all():
    _, siamese = network(n_labels=1)
    X, Y = features(20), indicators(20, 1, 1.0)
    supports = support_vectors(siamese, X, Y, 5, "mean", np.random.RandomState(0), "cpu")
    scorer = scorer_of(siamese, supports).matching_priors(Documents(X, Y), np.array([True]), "cpu")
    scores = scorer.scores(scorer.encode(X, "cpu"), np.array([0]))
    assert (scores > -1e-6).all() and (scores > 1e-6).sum() == 19


# ------------------------------------------------------------------------- log-odds of scores


def scored_pairs(scores, is_true):
    labels, n_positives = np.zeros(len(scores), dtype=int), np.array([sum(is_true)])
    scores, is_true, ones = np.asarray(scores), np.asarray(is_true), np.ones(len(scores))
    return ScoredPairs(labels, scores, ones, is_true, ones, n_positives)


@pytest.mark.parametrize(
    "slope, intercept, spread",
    [(2.0, -3.0, 1.0), (0.4, -1.0, 1.0), (10.0, -2.0, 0.1), (0.02, -2.0, 50.0)],
)
def test_platt_scaling_finds_the_logistic_that_made_the_pairs(slope, intercept, spread):
    rng = np.random.default_rng(0)
    scores = spread * rng.normal(size=100_000)
    is_true = rng.random(100_000) < expit(slope * scores + intercept)
    found = platt_scaling(scored_pairs(scores, is_true))
    assert_allclose(found, [slope, intercept], rtol=0.04)


def test_platt_scaling_is_the_logistic_regression_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores = rng.normal(3, 0.5, size=300)
    is_true = rng.random(300) < expit(2 * scores - 7)
    slope, intercept = platt_scaling(scored_pairs(scores, is_true))
    scale = scores.std()  # the slope, in standard deviations, has a ridge of 1
    model = LogisticRegression(C=1.0, tol=1e-10).fit(scores[:, None] / scale, is_true)
    assert_allclose([slope, intercept], [model.coef_[0, 0] / scale, model.intercept_[0]], rtol=1e-4)
    assert_allclose(expit(slope * scores + intercept).sum(), is_true.sum(), rtol=1e-6)


@pytest.mark.parametrize(
    "scores, is_true",
    [
        ([0.1, 0.2, 0.3, 0.4], [True, True, False, False]),
        ([0.1, 0.2, 0.3], [False, False, False]),
        ([0.1, 0.2, 0.3], [True, True, True]),
        ([], []),
    ],
    ids=["higher scores are less likely", "none is true", "all are true", "no pairs"],
)
def test_scores_that_say_nothing_are_left_as_they_are(scores, is_true):
    assert platt_scaling(scored_pairs(scores, np.array(is_true, dtype=bool))) == (1.0, 0.0)


def test_separated_scores_have_a_finite_slope():
    slope, intercept = platt_scaling(scored_pairs([1.0, 2, 3, 4], [False, False, True, True]))
    assert 0 < slope < 10 and abs(slope * 2.5 + intercept) < 1e-6


# ---------------------------------------------------------------------------------- training


def test_the_network_begins_as_a_copy_of_the_single_one():
    single, siamese = network()
    batch = torch.from_numpy(features().toarray())
    assert torch.equal(siamese(batch)[1], single(batch))
    with torch.no_grad():
        siamese[0][0].weight.zero_()
    assert single[0][0].weight.abs().sum() > 0


@pytest.mark.parametrize(
    "activation, function",
    [("sigmoid", torch.sigmoid), ("relu", torch.relu), ("identity", lambda vectors: vectors)],
)
def test_vectors_are_activated(activation, function):
    single, siamese = network(activation=activation)
    X = features()
    vectors, _ = siamese(torch.from_numpy(X.toarray()))
    assert_allclose(
        vectors.detach(), function(single[0](torch.from_numpy(X.toarray()))).detach(), atol=1e-6
    )
    assert_allclose(siamese.represent(X, "cpu"), vectors.detach(), atol=1e-6)


def test_vectors_of_norm_one_are_scaled_as_the_head_does():
    single = build_network(BiLSTMAttention(hidden_dim=4, output_dim=6, embedding_dim=4), 20, 3)
    siamese = SiameseNetwork(single, 3, True, "sigmoid").eval()
    tokens = torch.randint(2, 20, (5, 8))
    vectors, logits = siamese(tokens)
    assert_allclose(vectors.detach(), torch.sigmoid(10 * single[0].eval()(tokens)).detach())
    assert siamese.representation.scale is siamese[1].scale


def triplets():
    return Triplets(
        documents=np.array([4, 2, 7]),
        labels=np.array([1, 0, 3]),
        first=np.array([0, 1, 2, 0]),
        second=np.array([1, 0, 1, 0]),
        same=np.array([True, False, False, True]),
    )


@pytest.mark.parametrize("multi_task", ["labels", "category", None])
def test_batches_hold_documents_and_their_labels(multi_task):
    X, Y = features(), sparse.csr_array(np.random.default_rng(0).random((30, 3)) < 0.5)
    data = TripletDocuments(X, Y.astype(np.float32), [triplets()], multi_task)
    inputs, (first, second, labels, same, *truth) = data.batch(np.array([0]))
    assert len(data) == 1 and data.lengths is None
    assert_allclose(inputs.to_dense(), X.toarray()[[4, 2, 7]])
    assert_array_equal(first, triplets().first), assert_array_equal(second, triplets().second)
    assert_array_equal(labels, triplets().labels[triplets().second])
    assert_array_equal(same, [1, 0, 0, 1]), assert_array_equal(data.same, same)
    drawn = [[0, 1, 0], [1, 0, 0], [0, 0, 0]]  # the last was drawn for none
    expected = {"labels": [Y.toarray()[[4, 2, 7]]], "category": [drawn], None: []}[multi_task]
    assert_array_equal([one.to_dense() for one in truth], expected)


@pytest.mark.parametrize("multi_task", ["labels", "category", None])
def test_independent_triplets_have_two_documents_each(multi_task):
    X, Y = features(), sparse.csr_array(np.random.default_rng(0).random((30, 3)) < 0.5)
    data = IndependentTriplets(X, Y.astype(np.float32), triplets(), multi_task)
    inputs, (first, second, labels, same, *truth) = data.batch(np.array([3, 1]))
    assert len(data) == 4 and data.lengths is None
    assert_array_equal(data.same, [True, False, False, True])
    assert_array_equal(first, [0, 1]), assert_array_equal(second, [2, 3])
    documents = [4, 2, 4, 4]  # the first of both, the second of both
    assert_allclose(inputs.to_dense(), X.toarray()[documents])
    assert_array_equal(labels, [1, 1]), assert_array_equal(same, [1, 0])
    drawn = np.eye(3)[[1, 0, 1, 1]]
    expected = {"labels": [Y.toarray()[documents]], "category": [drawn], None: []}[multi_task]
    assert_array_equal([one.to_dense() for one in truth], expected)


@pytest.mark.parametrize("kind", [TripletDocuments, IndependentTriplets])
def test_documents_of_triplets_are_picked_on_a_device_as_here(kind):
    X, Y = np.arange(1, 151, dtype=np.int32).reshape(30, 5), indicators(30, 3, 0.5)
    drawn = triplets() if kind is IndependentTriplets else [triplets()]
    data = kind(X, Y, drawn, "labels")
    there, rows = data.on(torch.device("cpu")), np.array([0])
    assert data.n_bytes == data.documents.n_bytes and there.documents is not data.documents
    (here, (*arrays, truth)), (inputs, (*same_arrays, same_truth)) = (
        one.batch(rows) for one in (data, there)
    )
    assert torch.equal(inputs, here) and torch.equal(same_truth.to_dense(), truth.to_dense())
    assert all(map(torch.equal, same_arrays, arrays))


def test_independent_triplets_of_texts_are_as_long_as_both_filled_up():
    tokens = np.zeros((30, 9), dtype=np.int32)
    for row, length in {4: 3, 2: 9, 7: 5}.items():
        tokens[row, :length] = 2
    Y = indicators(30, 3, 0.5)
    data = IndependentTriplets(tokens, Y, triplets(), None)
    assert_array_equal(data.lengths, [18, 18, 18, 6])
    inputs, _ = data.batch(np.array([3]))
    assert_array_equal(inputs, [[2, 2, 2]] * 2)


@pytest.mark.parametrize("multi_task", [True, False])
def test_without_the_second_task_the_head_learns_nothing(multi_task):
    _, siamese = network()
    truth, t = torch.eye(4)[:3], triplets()
    targets = [torch.from_numpy(a) for a in (t.first, t.second, t.labels[t.second])]
    label_loss = BinaryCrossEntropyLoss().build(truth, reduction="none")
    targets += [torch.from_numpy(t.same).float(), *([truth] if multi_task else [])]
    loss = TripletLoss(siamese.similarity, label_loss)
    outputs = siamese(torch.from_numpy(features().toarray()[:3]))
    loss(outputs, targets).backward()
    assert (siamese[1].weight.grad is not None) == multi_task
    assert siamese[0][0].weight.grad.abs().sum() > 0


# ------------------------------------------------------- numbers computed apart from the package


def arranged(n_rows, n_columns, offset):
    """Numbers between -0.3 and 0.3 that are easy to write down."""
    i, j = np.ogrid[:n_rows, :n_columns]
    return ((3 * i + 5 * j + offset) % 7 - 3) / 10


def arranged_similarity(output_bias=0.25):
    similarity = Similarity(3, 5).double()
    with torch.no_grad():
        similarity.gate.copy_(torch.from_numpy(arranged(5, 3, 3)))
        similarity.gate_bias.copy_(torch.tensor([0.1, 0.2, -0.1], dtype=torch.float64))
        similarity.output.weight.copy_(torch.tensor([[1.5, -2, 0.7]], dtype=torch.float64))
        similarity.output.bias.fill_(output_bias)
    return similarity


VECTORS = expit(3 * arranged(4, 3, 2))
LABELS = [[1, 1, 0, 0, 0], [1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1]]
FIRST, SECOND, CATEGORY = [0, 0, 2, 3, 1, 2], [1, 2, 0, 1, 2, 1], [0, 2, 1, 3, 2, 0]
OTHER_CATEGORY, SAME = [0, 1, 2, 3, 0, 2], [1.0, 0, 0, 1, 0, 0]
OF_SIMILARITY = [0.56162347, 0.82719332, 0.77413290, 0.57549524, 0.82981876, 0.84480884]
OF_FIRST = [0.62473922, 0.62473922, 0.79238269, 0.79071216, 0.47071216, 0.79238269]
OF_SECOND = [0.47071216, 0.79238269, 0.62473922, 0.47071216, 0.79238269, 0.47071216]


def arranged_batch():
    """Similarity, vectors and logits, and the targets without labels."""
    logits = torch.tensor(4 * arranged(4, 5, 1), requires_grad=True)
    targets = [torch.tensor(one) for one in (FIRST, SECOND, CATEGORY)]
    targets.append(torch.tensor(SAME, dtype=torch.float64))
    return arranged_similarity(), torch.from_numpy(VECTORS), logits, targets


def label_loss(reduction="none"):
    return BinaryCrossEntropyLoss().build(np.array(LABELS), reduction=reduction)


def test_similarities_of_triplets():
    similarity, vectors, _, (first, second, labels, _) = arranged_batch()
    assert_allclose(vectors[0], [0.42555748, 0.2890505, 0.64565631], atol=1e-8)
    logits = similarity(vectors[first], vectors[second], labels)
    expected = [0.28300373, 0.25222934, 0.15590128, 0.25101482, 0.25689018, 0.28332221]
    assert_allclose(logits.detach(), expected, atol=1e-8)


@pytest.mark.parametrize("triplet", range(6))
def test_the_losses_of_each_triplet(triplet):
    similarity, vectors, logits, targets = arranged_batch()
    targets = [one[[triplet]] for one in targets]
    alone = TripletLoss(similarity, label_loss())((vectors, logits), targets)
    assert_allclose(alone.item(), OF_SIMILARITY[triplet], atol=1e-8)
    both = TripletLoss(similarity, label_loss())(
        (vectors, logits), [*targets, torch.tensor(LABELS)]
    )
    of_labels = OF_FIRST[triplet] + OF_SECOND[triplet]
    assert_allclose(both.item() - alone.item(), of_labels, atol=2e-8)


@pytest.mark.parametrize(
    "weight, n_labels, expected", [(1.0, 1, 2.02173029), (0.5, 1, 1.37862119), (1.0, 5, 7.16660312)]
)
def test_the_loss_is_a_mean_over_triplets(weight, n_labels, expected):
    # a sum over labels, as printed, is a factor of their number
    similarity, vectors, logits, targets = arranged_batch()
    loss = TripletLoss(similarity, label_loss(), weight * n_labels)
    value = loss((vectors, logits), [*targets, torch.tensor(LABELS)])
    assert_allclose(value.item(), expected, atol=2e-8)


def test_without_labels_among_the_targets_the_loss_is_that_of_the_similarities():
    similarity, vectors, logits, targets = arranged_batch()
    value = TripletLoss(similarity, label_loss())((vectors, logits), targets)
    assert_allclose(value.item(), 0.73551209, atol=1e-8)


@pytest.mark.parametrize("independent", [True, False])
def test_the_loss_with_the_category_that_a_document_was_drawn_for(independent):
    similarity, vectors, logits, (first, second, *_) = arranged_batch()
    # each triplet has two documents of its own, which were drawn for a label each
    drawn = np.array([*zip(OTHER_CATEGORY, CATEGORY, strict=True)]).ravel()
    places = np.arange(12).reshape(6, 2).T
    rows = torch.stack([first, second], dim=1).ravel().numpy()
    same = np.array(SAME, dtype=bool)
    whole = Triplets(rows, drawn, places[0], places[1], same)
    X, Y = sparse.csr_array(np.eye(4, dtype=np.float32)), sparse.csr_array(np.array(LABELS))
    data = (
        IndependentTriplets(X, Y, whole, "category")
        if independent
        else TripletDocuments(X, Y, [whole], "category")
    )
    inputs, (*targets, same, truth) = data.batch(np.arange(6 if independent else 1))
    which = inputs.to_dense().argmax(dim=1)
    outputs, targets = (vectors[which], logits[which]), (*targets, same.double(), truth)
    value = TripletLoss(similarity, label_loss())(outputs, targets)
    assert_allclose(value.item(), 2.08839696, atol=1e-8)


def test_the_gradient_of_the_loss():
    similarity, vectors, logits, targets = arranged_batch()
    loss = TripletLoss(similarity, label_loss())
    loss((vectors, logits), [*targets, torch.tensor(LABELS)]).backward()
    close = {"atol": 1e-8, "rtol": 0}
    expected = [[0.00098086, 0.00459834, 0.00122901]]
    assert_allclose(similarity.output.weight.grad, expected, **close)
    assert_allclose(similarity.output.bias.grad, [0.22809377], **close)
    expected = [0.00880882, -0.02903696, 0.00858459]
    assert_allclose(similarity.gate_bias.grad, expected, **close)
    expected = [
        [0.00800209, 0, 0.00001845],
        [0.00429066, -0.03389282, 0],
        [0, 0, 0.00856615],
        [-0.00348394, 0.00485586, 0],
        [0, 0, 0],
    ]
    assert_allclose(similarity.gate.grad, expected, **close)
    expected = [
        [-0.06899745, -0.02314752, 0.05986877, 0.04013123, 0.02314752],
        [-0.05350831, 0.05350831, 0.03086336, -0.04133674, 0.06666667],
        [0.03086336, 0.0919966, -0.06666667, 0.04133674, 0.10246997],
        [0.01666667, 0.01033418, 0.02561749, -0.01337708, -0.01995626],
    ]
    assert_allclose(logits.grad, expected, **close)


def test_a_mean_of_supports_and_their_vote_may_disagree():
    siamese = network()[1]
    siamese.similarity = arranged_similarity(-0.0138)
    places = expit(2 * arranged(5, 3, 4))[None]
    encoded, label = torch.from_numpy(VECTORS[:1]), np.array([0])
    single = [scorer_of(siamese, places[:, [i]]).scores(encoded, label).item() for i in range(5)]
    assert sum(score > 0 for score in single) == 3
    by_mean = scorer_of(siamese, places.mean(axis=1, keepdims=True)).scores(encoded, label)
    by_vote = scorer_of(siamese, places).scores(encoded, label)
    assert_allclose([by_mean.item(), by_vote.item()], [-0.00029846, 0.00009669], atol=1e-8)
