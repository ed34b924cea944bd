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


@pytest.mark.parametrize("drawn_labels", [False, True])
def test_batches_hold_documents_and_their_labels(drawn_labels):
    X, Y = features(), sparse.csr_array(np.random.default_rng(0).random((30, 3)) < 0.5)
    data = TripletDocuments(X, Y.astype(np.float32), [triplets()], drawn_labels)
    inputs, (first, second, labels, same, truth) = data.batch(np.array([0]))
    assert len(data) == 1
    assert_allclose(inputs.to_dense(), X.toarray()[[4, 2, 7]])
    assert_array_equal(labels, triplets().labels[triplets().second])
    assert_array_equal(same, [1, 0, 0, 1])
    drawn = [[0, 1, 0], [1, 0, 0], [0, 0, 0]]  # the last was drawn for none
    assert_array_equal(truth.to_dense(), drawn if drawn_labels else Y.toarray()[[4, 2, 7]])


def test_the_loss_is_that_of_similarities_and_twice_that_of_labels():
    _, siamese = network()
    truth = torch.tensor([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    t = triplets()
    targets = [torch.from_numpy(a) for a in (t.first, t.second, t.labels[t.second])]
    targets += [torch.from_numpy(t.same).float(), truth]
    outputs = siamese(torch.from_numpy(features().toarray()[:3]))
    label_loss = BinaryCrossEntropyLoss().build(truth)
    loss = TripletLoss(siamese.similarity, label_loss)(outputs, targets)
    expected, vectors = 0.0, outputs[0]
    for i, j, c, same in zip(*targets[:4], strict=True):
        s = torch.sigmoid(siamese.similarity(vectors[i][None], vectors[j][None], c[None]))[0]
        expected -= torch.log(s if same else 1 - s) / len(t.same)
    p = torch.sigmoid(outputs[1])
    cells = -(truth * torch.log(p) + (1 - truth) * torch.log(1 - p))
    assert_allclose((expected + 2 * cells.mean()).item(), loss.item(), rtol=1e-5)


@pytest.mark.parametrize("multi_task", [True, False])
def test_without_the_second_task_the_head_learns_nothing(multi_task):
    _, siamese = network()
    truth, t = torch.eye(4)[:3], triplets()
    targets = [torch.from_numpy(a) for a in (t.first, t.second, t.labels[t.second])]
    label_loss = BinaryCrossEntropyLoss().build(truth) if multi_task else None
    loss = TripletLoss(siamese.similarity, label_loss)
    outputs = siamese(torch.from_numpy(features().toarray()[:3]))
    loss(outputs, [*targets, torch.from_numpy(t.same).float(), truth]).backward()
    assert (siamese[1].weight.grad is not None) == multi_task
    assert siamese[0][0].weight.grad.abs().sum() > 0
