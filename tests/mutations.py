"""Faults that the tests must catch: each is put into a copy of the package, and its tests run.

    python tests/mutations.py [--only PART_OF_A_NAME]

prints "caught" or "SURVIVED" for each, and how many survived. It is not part of the test run: it
takes about as long as the tests that it names. A mutation whose text no longer stands in its file
is an error, since it would test nothing.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Mutation(NamedTuple):
    """A fault: in a file, a text that stands there once becomes another; these tests must fail."""

    name: str
    path: str
    text: str
    fault: str
    tests: str


MUTATIONS = [
    Mutation(
        name="calibration: a slope may turn a ranking round",
        path="skmltc/decision/_calibration.py",
        text="return np.maximum(slopes, MIN_SLOPE).astype(np.float32), offsets",
        fault="return slopes.astype(np.float32), offsets",
        tests="tests/decision/test_calibration.py -k turns_round",
    ),
    Mutation(
        name="calibration: weights of pairs are ignored",
        path="skmltc/decision/_calibration.py",
        text="cls.fit(values, pairs.is_true, pairs.weights, prior={SCORE: 1.0}, least=least)",
        fault="cls.fit(values, pairs.is_true, None, prior={SCORE: 1.0}, least=least)",
        tests="tests/decision/test_calibration.py -k naive_twin",
    ),
    Mutation(
        name="calibration: no ridge",
        path="skmltc/decision/_calibration.py",
        text="_RIDGE = 10.0",
        fault="_RIDGE = 1e-6",
        tests="tests/decision/test_calibration.py -k few_pairs",
    ),
    Mutation(
        name="calibration: the product is left out",
        path="skmltc/decision/_calibration.py",
        text="PRODUCT: pairs.scores * against}",
        fault="PRODUCT: 0 * against}",
        tests="tests/decision/test_calibration.py -k drawn_is_found",
    ),
    Mutation(
        name="calibration: a label without documents becomes possible",
        path="skmltc/decision/_calibration.py",
        text="        logits[:, ~is_known] = NEVER_LOGIT\n",
        fault="",
        tests="tests/decision/test_calibration.py -k without_documents",
    ),
    Mutation(
        name="pairs: those that stand for the rest have no weight",
        path="skmltc/decision/_pairs.py",
        text="weights = np.where(is_sample, stands_for[labels], 1) * weights",
        fault="weights = weights",
        tests="tests/decision/test_pairs.py -k stand",
    ),
    Mutation(
        name="pairs: documents with a label that scores low are lost",
        path="skmltc/decision/_pairs.py",
        text="others = self.truth[rows][:, labels].toarray() > 0",
        fault="others = np.zeros(scores.shape, dtype=bool)",
        tests="tests/decision/test_pairs.py -k every_document_with",
    ),
    Mutation(
        name="a threshold changes the loss",
        path="skmltc/balanced_loss/_estimator.py",
        text="        if target.is_multilabel:\n            return ClassBalanced",
        fault=(
            "        if target.is_multilabel and isinstance(self.threshold, str):\n"
            "            return ClassBalanced"
        ),
        tests="tests/decision/test_calibration.py -k changes_neither",
    ),
    Mutation(
        name="inside a wrapper decisions are calibrated",
        path="skmltc/base.py",
        text="wanted = target.is_multilabel and not self._undecided",
        fault="wanted = target.is_multilabel",
        tests="tests/decision/test_threshold.py -k four_times",
    ),
    Mutation(
        name="with nothing to learn from the cut-off is 0",
        path="skmltc/base.py",
        text="cut_off = prior_cut_off(blocks, train.Y.nnz)",
        fault="cut_off = 0.0",
        tests="tests/decision/test_calibration.py -k prior_decides",
    ),
    Mutation(
        name="linear solver: columns that hardly vary are not centred",
        path="skmltc/_linear/products.py",
        text="_NEARLY_CONSTANT = 0.9",
        fault="_NEARLY_CONSTANT = 9.0",
        tests="tests/_linear/test_solver.py -k badly_scaled",
    ),
    Mutation(
        name="products are in bfloat16 when scores are made",
        path="skmltc/encoders/_precision.py",
        text="enabled = module.training and halves(",
        fault="enabled = halves(",
        tests="tests/encoders/test_precision.py",
    ),
    Mutation(
        name="documents take all of a GPU's memory",
        path="skmltc/_networks/placing.py",
        text="return int(SHARE_OF_FREE * (free + kept))",
        fault="return int(free + kept)",
        tests="tests/_networks/test_placing.py",
    ),
    Mutation(
        name="rows that are picked on a device begin where the batch does",
        path="skmltc/_networks/placing.py",
        text="places = torch.arange(total, device=device) + shift",
        fault="places = torch.arange(total, device=device)",
        tests="tests/_networks/test_placing.py",
    ),
    Mutation(
        name="a batch is made only when it is wanted",
        path="skmltc/_networks/placing.py",
        text="        for rows in [*batches[1:], None]:\n            if rows is not None:\n",
        fault="        for rows in batches:\n            if not waiting:\n",
        tests="tests/_networks/test_placing.py",
    ),
    Mutation(
        name="the time left is that of one training",
        path="skmltc/_progress.py",
        text="for other, _ in trainings[k:]]",
        fault="for other, _ in trainings[k : k + 1]]",
        tests="tests/test_progress.py",
    ),
    Mutation(
        name="a network is moved to where it is",
        path="skmltc/_networks/scoring.py",
        text="network if all(one.device == here for one in weights) else network.to(here)",
        fault="network.to(here)",
        tests="tests/_networks/test_scoring.py -k is_there",
    ),
    Mutation(
        name="a failed refit forgets the former model",
        path="skmltc/base.py",
        text="        self._check_parameters()\n        seed = draw_seed(self.random_state)\n",
        fault=(
            "        self._check_parameters()\n"
            '        for name in [name for name in vars(self) if name.endswith("_")]:\n'
            "            delattr(self, name)\n"
            "        seed = draw_seed(self.random_state)\n"
        ),
        tests="tests/test_base.py -k leaves_the_model_that_was_there",
    ),
    Mutation(
        name="500 -> 1 documents decide",
        path="skmltc/_stages.py",
        text="ENOUGH_TO_DECIDE = 500 ",
        fault="ENOUGH_TO_DECIDE = 1 ",
        tests="tests/test_base.py -k decides",
    ),
    Mutation(
        name="networks are trained on all folds",
        path="skmltc/_stages.py",
        text="enough=_ENOUGH_OUT_OF_FOLD if few else None",
        fault="enough=None",
        tests="tests/test_base.py -k trained_once_more",
    ),
    Mutation(
        name="linear models are solved on no more folds than networks are trained on",
        path="skmltc/_stages.py",
        text="few = is_network and threshold",
        fault="few = threshold",
        tests="tests/test_base.py -k trained_once_more",
    ),
    Mutation(
        name="labels of held-out documents count that no model of the others knows",
        path="skmltc/model_selection/_folds.py",
        text="is_known = by_fold < by_fold",
        fault="is_known = by_fold <= by_fold",
        tests="tests/model_selection/test_folds.py -k labels_enough",
    ),
    Mutation(
        name="an interrupted fit returns",
        path="skmltc/base.py",
        text="raise KeyboardInterrupt(trained.interrupted)",
        fault="warn(trained.interrupted)",
        tests="tests/test_base.py -k interrupt",
    ),
    Mutation(
        name="what is interrupted before the last stage is kept",
        path="skmltc/_networks/outcome.py",
        text="if net.interrupted_ and more_follows:",
        fault="if net.interrupted_ and not more_follows:",
        tests="tests/test_base.py -k interrupt",
    ),
    Mutation(
        name="a network that ends far worse than it began is a result",
        path="skmltc/_networks/outcome.py",
        text="if not after <= limit:",
        fault="if after > np.inf:",
        tests="tests/_networks/test_training.py -k worse",
    ),
    Mutation(
        name="a rate that is given has the recommended factors",
        path="skmltc/_networks/training.py",
        text='settings["lr_factors"] = None',
        fault='settings["lr_factors"] = settings["lr_factors"]',
        tests="tests/_networks/test_training.py -k given",
    ),
    Mutation(
        name="folds are trained three epochs longer",
        path="skmltc/_networks/training.py",
        text="return replace(self, max_epochs=n_epochs, callbacks=None)",
        fault="return replace(self, max_epochs=n_epochs + 3, callbacks=None)",
        tests="tests/balanced_loss/test_estimator.py -k a_fold_is_trained",
    ),
    Mutation(
        name="second derivatives of dense columns are without the penalty's",
        path="skmltc/_linear/conjugate_gradients.py",
        text="    diagonal += objective.decays[:, 0]\n",
        fault="",
        tests="tests/_linear/test_conjugate_gradients.py",
    ),
    Mutation(
        name="add_labels: a member takes what neighbours of other features keep",
        path="skmltc/long_tail/_views.py",
        text="        estimator = estimator[-1]\n    return _ids(steps)",
        fault="        estimator = None\n    return _ids(steps)",
        tests="tests/long_tail/test_growing.py -k nested_ones",
    ),
    Mutation(
        name="logit adjustment ignored",
        path="skmltc/balanced_loss/_estimator.py",
        text='return 0.0 if self.logit_adjustment == "auto" else float(self.logit_adjustment)',
        fault="return 0.0",
        tests="tests/balanced_loss/test_estimator.py -k logit_adjustment",
    ),
    Mutation(
        name="linear cut-off learned from 50 labels",
        path="skmltc/_linear/weight_decay.py",
        text="_DECISION_LABELS = 1000",
        fault="_DECISION_LABELS = 50",
        tests="tests/_linear/test_weight_decay.py",
    ),
    Mutation(
        name="weight decay searched on 50 labels",
        path="skmltc/_linear/weight_decay.py",
        text="_SEARCH_LABELS = 250",
        fault="_SEARCH_LABELS = 50",
        tests="tests/_linear/test_weight_decay.py",
    ),
    Mutation(
        name="a fold's weight decay is scaled",
        path="skmltc/_linear/scorers.py",
        text="decays = [self.solver.weight_decay]",
        fault="decays = [self.solver.weight_decay * 2 / 3]",
        tests="tests/_linear/test_scorers.py",
    ),
    Mutation(
        name="in the search a fold has the weight decay of all documents",
        path="skmltc/_linear/weight_decay.py",
        text="return [decay * fit.n_samples / n_samples for decay in decays]",
        fault="return list(decays)",
        tests="tests/_linear/test_weight_decay.py",
    ),
    Mutation(
        name="pairs kept 10 + n instead of 50 + 5 n",
        path="skmltc/decision/_pairs.py",
        text="_KEPT, _KEPT_PER_POSITIVE = 50, 5",
        fault="_KEPT, _KEPT_PER_POSITIVE = 10, 1",
        tests="tests/_linear/test_weight_decay.py",
    ),
    Mutation(
        name="a linear scorer's columns are summed as numpy keeps them",
        path="skmltc/_products.py",
        text="factor = factor.reshape(-1).view(factor.shape)",
        fault="factor = factor",
        tests="tests/test_products.py tests/_linear/test_scorers.py",
    ),
    Mutation(
        name="a new thread forgets that torch has one thread",
        path="skmltc/_linear/threads.py",
        text="n_threads = torch.get_num_threads()",
        fault="n_threads = 1 if _one_thread_users else torch.get_num_threads()",
        tests="tests/_linear/test_threads.py",
    ),
    Mutation(
        name="dense products in blocks of any shape",
        path="skmltc/_products.py",
        text="vectors = pad(vectors, (0, 0, 0, -n_rows % _ROWS))",
        fault="vectors = vectors",
        tests="tests/test_products.py",
    ),
    Mutation(
        name="vote smoothing 4 -> 1",
        path="skmltc/_votes.py",
        text="_SMOOTHING = 4.0",
        fault="_SMOOTHING = 1.0",
        tests="tests/test_votes.py",
    ),
    Mutation(
        name="the logistic fit leaves the offset out of its steps",
        path="skmltc/_logistic.py",
        text="p = expit(features @ w + offset)",
        fault="p = expit(features @ w)",
        tests="tests/test_logistic.py",
    ),
    Mutation(
        name="documents are drawn in their order",
        path="skmltc/_sampling.py",
        text="random_state.random_sample(len(labels))",
        fault="np.zeros(len(labels))",
        tests="tests/test_sampling.py",
    ),
    Mutation(
        name="a warning is of the line that calls warn",
        path="skmltc/_validation.py",
        text="frame, level = sys._getframe(1), 2",
        fault="frame, level = sys._getframe(1), 1",
        tests="tests/test_validation.py",
    ),
    Mutation(
        name="trainings of two threads draw from one generator",
        path="skmltc/_torch_random.py",
        text="    with _generator, torch.random.fork_rng(devices=devices):",
        fault="    with torch.random.fork_rng(devices=devices):",
        tests="tests/_networks/test_training.py",
    ),
    Mutation(
        name="stopped early by ten documents",
        path="skmltc/_networks/training.py",
        text="_FEWEST_TO_STOP = 100",
        fault="_FEWEST_TO_STOP = 10",
        tests="tests/_networks/test_training.py",
    ),
    Mutation(
        name="a fold's network has the callbacks of the estimator",
        path="skmltc/_networks/training.py",
        text="return replace(self, max_epochs=n_epochs, callbacks=None)",
        fault="return replace(self, max_epochs=n_epochs)",
        tests="tests/_networks/test_training.py",
    ),
    Mutation(
        name="batches of four times as many tokens",
        path="skmltc/_networks/batches.py",
        text="_TRAINED_AT_A_TIME = 2**18",
        fault="_TRAINED_AT_A_TIME = 2**20",
        tests="tests/_networks/test_batches.py",
    ),
    Mutation(
        name="a class that was not learned becomes another",
        path="skmltc/_targets.py",
        text="if unknown.any():",
        fault="if False:",
        tests="tests/test_targets.py",
    ),
    Mutation(
        name="new words keep ids beyond the table",
        path="skmltc/_inputs.py",
        text="token_ids < n_known, token_ids",
        fault="token_ids <= n_known, token_ids",
        tests="tests/test_inputs.py",
    ),
    Mutation(
        name="decision: pairs kept, 10 + n instead of 50 + 5 n",
        path="skmltc/decision/_pairs.py",
        text="_KEPT, _KEPT_PER_POSITIVE = 50, 5",
        fault="_KEPT, _KEPT_PER_POSITIVE = 10, 1",
        tests="tests/decision/test_pairs.py",
    ),
    Mutation(
        name="decision: ties to the higher row in a block",
        path="skmltc/decision/_pairs.py",
        text="(np.cumsum(level, axis=0, dtype=np.int32) <= n_level)",
        fault="(np.cumsum(level[::-1], axis=0, dtype=np.int32)[::-1] <= n_level)",
        tests="tests/decision/test_pairs.py",
    ),
    Mutation(
        name="decision: ties to the higher row where blocks are merged",
        path="skmltc/decision/_pairs.py",
        text="np.lexsort((rows, -scores, labels))",
        fault="np.lexsort((-rows, -scores, labels))",
        tests="tests/decision/test_pairs.py",
    ),
    Mutation(
        name="decision: labels without a training document are not missed",
        path="skmltc/decision/_pairs.py",
        text="np.where(among, count_labels(truth, weights), 0)",
        fault="np.where(among & (fitted > 0), count_labels(truth, weights), 0)",
        tests="tests/decision/test_pairs.py",
    ),
    Mutation(
        name="decision: slack .003 -> .03",
        path="skmltc/decision/_rules.py",
        text="_SLACK = 0.003",
        fault="_SLACK = 0.03",
        tests="tests/decision/test_rules.py",
    ),
    Mutation(
        name="decision: prior positives 10 -> 1",
        path="skmltc/decision/_rules.py",
        text="_PRIOR_POSITIVES = 10.0",
        fault="_PRIOR_POSITIVES = 1.0",
        tests="tests/decision/test_rules.py",
    ),
    Mutation(
        name="decision: the wrapper's folds are other folds",
        path="skmltc/decision/_threshold.py",
        text="list_folds(self.cv, given.X, given.y, self.random_state, every=False)",
        fault="list_folds(self.cv, given.X, given.y, every=False)",
        tests="tests/test_built_in_is_wrapped.py",
    ),
    Mutation(
        name="decision: an estimator in the wrapper learns a decision of its own",
        path="skmltc/decision/_threshold.py",
        text='vars(inner)["_undecided"] = True',
        fault="pass",
        tests="tests/decision/test_threshold.py -k holds_nothing_out",
    ),
    Mutation(
        name="decision: the labels of the validation part are all that a frozen estimator knows",
        path="skmltc/decision/_threshold.py",
        text="trained_on = training_counts(estimator, n_labels)",
        fault="trained_on = None",
        tests="tests/decision/test_threshold.py -k frozen",
    ),
    Mutation(
        name="decision: members vote without the cut-offs of their probabilities",
        path="skmltc/decision/_voting.py",
        text="cut_offs = None if cut_offs is None else _log_odds(cut_offs, _LEAST_PROBABILITY / 2)",
        fault="cut_offs = None",
        tests="tests/decision/test_voting.py",
    ),
    Mutation(
        name="cosine: rows are scaled by nothing",
        path="skmltc/_cosine.py",
        text="exponents = np.frexp(np.abs(X).max(axis=1))[1]",
        fault="exponents = np.zeros(len(X), int)",
        tests="tests/test_cosine.py -k scale",
    ),
    Mutation(
        name="HybridSiamese: category_similarity is ignored",
        path="skmltc/hybrid_siamese/_training.py",
        text="SiameseNetwork(single, n_labels, self.category_similarity, activation)",
        fault="SiameseNetwork(single, n_labels, True, activation)",
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_only_with_gates_the_similarity_of_two_documents_depends_on_the_label"
        ),
    ),
    Mutation(
        name="HybridSiamese: log-odds are fitted on training documents",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="np.float32(platt_scaling(similar))",
        fault=(
            "np.float32(platt_scaling(ScoredPairs.collect([(scorer, train.Y, train)], candidates)))"
        ),
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_similarities_become_log_odds_on_documents_held_out"
        ),
    ),
    Mutation(
        name="HybridSiamese: log-odds of a validation part are fitted on training documents",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="np.float32(platt_scaling(similar))",
        fault=(
            "np.float32(platt_scaling(ScoredPairs.collect([(scorer, train.Y, train)], candidates)))"
        ),
        tests="tests/hybrid_siamese/test_estimator.py::test_a_validation_part_decides",
    ),
    Mutation(
        name="HybridSiamese: priors are matched on a part of the documents",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="similar.matching_priors(documents, candidates, device)",
        fault="similar.matching_priors(documents[: len(documents) // 2], candidates, device)",
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_priors_are_matched_on_the_documents_trained_on"
        ),
    ),
    Mutation(
        name="HybridSiamese: similarities are scaled without calibration too",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="if similar is not None and self._calibrates(target):",
        fault="if similar is not None and True:",
        tests="tests/hybrid_siamese/test_estimator.py::test_without_calibration_nothing_is_fitted",
    ),
    Mutation(
        name="HybridSiamese: cut-offs are learned before the log-odds",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="            similar = scaled\n",
        fault="",
        tests="tests/hybrid_siamese/test_estimator.py::test_cut_offs_are_learned_for_either_part",
    ),
    Mutation(
        name="HybridSiamese: the parts have each other's cut-offs",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="for part in (below, ~below)",
        fault="for part in (~below, below)",
        tests="tests/hybrid_siamese/test_estimator.py::test_cut_offs_are_learned_for_either_part",
    ),
    Mutation(
        name="HybridSiamese: labels that a fold lacks are left out",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="ScoredPairs.collect([part], candidates, device)",
        fault="ScoredPairs.collect([part], part.scorer.below, device)",
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_documents_that_a_fold_cannot_reach_are_missed_ones"
        ),
    ),
    Mutation(
        name="HybridSiamese: labels of at most n_phi documents are compared",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="(label_counts > 0) & (label_counts < n_phi)",
        fault="(label_counts > 0) & (label_counts <= n_phi)",
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_labels_with_fewer_than_n_phi_documents_are_compared"
        ),
    ),
    Mutation(
        name="HybridSiamese: scores of n_phi='auto' are not cut",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="pairs.shifted(-np.where(counts > 0, decision.thresholds, 0))",
        fault="pairs",
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_n_phi_is_chosen_for_the_tail_from_cut_scores"
        ),
    ),
    Mutation(
        name="HybridSiamese: n_phi of the paper",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="_PAPER_N_PHI = 100",
        fault="_PAPER_N_PHI = 50",
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_where_nothing_is_learned_n_phi_is_that_of_the_paper"
        ),
    ),
    Mutation(
        name="HybridSiamese: fewer triplets by default",
        path="skmltc/hybrid_siamese/_training.py",
        text="_TRIPLETS, _TRIPLETS_PER_LABEL = 30_000, 30",
        fault="_TRIPLETS, _TRIPLETS_PER_LABEL = 30_000, 20",
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_by_default_there_are_thirty_triplets_per_label_and_at_least_30_000"
        ),
    ),
    Mutation(
        name="HybridSiamese: the copy learns as fast as the similarity",
        path="skmltc/hybrid_siamese/_training.py",
        text="_COPIED_LR_FACTOR = 0.3",
        fault="_COPIED_LR_FACTOR = 1.0",
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_the_second_network_begins_as_the_first_and_learns_more_slowly"
        ),
    ),
    Mutation(
        name="HybridSiamese: multi_task=None is ignored",
        path="skmltc/hybrid_siamese/_training.py",
        text="multi_task = self.multi_task if has_labels else None",
        fault='multi_task = (self.multi_task or "labels") if has_labels else None',
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_the_loss_is_that_of_the_triplets_and_of_the_second_task"
        ),
    ),
    Mutation(
        name="HybridSiamese: multi_task='category' is ignored",
        path="skmltc/hybrid_siamese/_training.py",
        text="multi_task = self.multi_task if has_labels else None",
        fault='multi_task = self.multi_task and "labels" if has_labels else None',
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_the_loss_is_that_of_the_triplets_and_of_the_second_task"
        ),
    ),
    Mutation(
        name="HybridSiamese: sampling is ignored",
        path="skmltc/hybrid_siamese/_training.py",
        text='"sampling": self.sampling,',
        fault='"sampling": "triplet",',
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_a_third_of_the_triplets_are_similar_and_of_pairs_half"
        ),
    ),
    Mutation(
        name="HybridSiamese: triplets_per_document is ignored",
        path="skmltc/hybrid_siamese/_training.py",
        text='"per_document": self.triplets_per_document}',
        fault='"per_document": 8}',
        tests="tests/hybrid_siamese/test_estimator.py::test_a_document_is_in_so_many_triplets",
    ),
    Mutation(
        name="HybridSiamese: support is ignored",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="settings = self.n_support, self.support,",
        fault='settings = self.n_support, "mean",',
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_rare_labels_have_the_similarity_with_their_supports"
        ),
    ),
    Mutation(
        name="HybridSiamese: n_support is ignored",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="settings = self.n_support, self.support,",
        fault="settings = 20, self.support,",
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_rare_labels_have_the_similarity_with_their_supports"
        ),
    ),
    Mutation(
        name="HybridSiamese: representation_activation is ignored",
        path="skmltc/hybrid_siamese/_training.py",
        text="n_labels, activation = documents.Y.shape[1], self.representation_activation",
        fault='n_labels, activation = documents.Y.shape[1], "sigmoid"',
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_vectors_are_activated_before_they_are_compared"
        ),
    ),
    Mutation(
        name="HybridSiamese: triplets have no seed",
        path="skmltc/hybrid_siamese/_training.py",
        text='"random_state": check_random_state(seed)}',
        fault='"random_state": check_random_state(None)}',
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_a_fold_is_trained_as_its_documents_would_be_alone"
        ),
    ),
    Mutation(
        name="HybridSiamese: the second network has no seed",
        path="skmltc/hybrid_siamese/_training.py",
        text="        with seeded_torch(seed):\n            network",
        fault="        if True:\n            network",
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_a_fold_is_trained_as_its_documents_would_be_alone"
        ),
    ),
    Mutation(
        name="HybridSiamese: the second task counts labels on half of the documents",
        path="skmltc/hybrid_siamese/_training.py",
        text='loss.build(documents.Y, reduction="none")',
        fault='loss.build(documents.Y[::2], reduction="none")',
        tests="tests/hybrid_siamese/test_estimator.py::test_a_fold_counts_its_own_documents",
    ),
    Mutation(
        name="HybridSiamese: a fold counts labels as if it were all documents",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="candidates = self._candidates(count_labels(documents.Y))",
        fault="candidates = self._candidates(count_labels(documents.Y) * 3 // 2)",
        tests="tests/hybrid_siamese/test_estimator.py::test_a_fold_counts_its_own_documents",
    ),
    Mutation(
        name="HybridScorer: scores are in the order of the labels' columns",
        path="skmltc/hybrid_siamese/_similarity.py",
        text="self.similar.scores(compared, labels[below])",
        fault="self.similar.scores(compared, np.sort(labels[below]))",
        tests=(
            "tests/hybrid_siamese/test_similarity.py"
            "::test_scores_are_the_same_to_the_bit_whatever_stands_beside_them"
        ),
    ),
    Mutation(
        name="HybridScorer: sums depend on how many labels are compared",
        path="skmltc/hybrid_siamese/_similarity.py",
        text="missing = (0, 0, 0, n_columns - n_labels)\n",
        fault="n_columns, missing = n_labels, (0, 0, 0, 0)\n",
        tests=(
            "tests/hybrid_siamese/test_similarity.py"
            "::test_scores_are_the_same_to_the_bit_whatever_stands_beside_them"
        ),
    ),
    Mutation(
        name="HybridScorer: frequent labels are compared too",
        path="skmltc/hybrid_siamese/_similarity.py",
        text="below = self.below[labels]",
        fault="below = np.full(len(labels), self.below.any())",
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_frequent_labels_have_the_scores_of_the_single_network_to_the_bit"
        ),
    ),
    Mutation(
        name="platt_scaling: the slope is of standardised scores",
        path="skmltc/hybrid_siamese/_similarity.py",
        text="(slope / spread, intercept) if slope > 0",
        fault="(slope, intercept) if slope > 0",
        tests=(
            "tests/hybrid_siamese/test_similarity.py"
            "::test_platt_scaling_finds_the_logistic_that_made_the_pairs"
        ),
    ),
    Mutation(
        name="platt_scaling: the intercept is shrunk",
        path="skmltc/hybrid_siamese/_similarity.py",
        text="ridge=[1.0, 0.0]",
        fault="ridge=[1.0, 1.0]",
        tests=(
            "tests/hybrid_siamese/test_similarity.py"
            "::test_platt_scaling_is_the_logistic_regression_of_scikit_learn"
        ),
    ),
    Mutation(
        name="platt_scaling: a negative slope turns rankings round",
        path="skmltc/hybrid_siamese/_similarity.py",
        text="if slope > 0 else (1.0, 0.0)",
        fault="if slope else (1.0, 0.0)",
        tests=(
            "tests/hybrid_siamese/test_similarity.py"
            "::test_scores_that_say_nothing_are_left_as_they_are"
        ),
    ),
    Mutation(
        name="matching_priors: the next document is let pass",
        path="skmltc/hybrid_siamese/_similarity.py",
        text="last = counts[block] - 1\n",
        fault="last = counts[block]\n",
        tests=(
            "tests/hybrid_siamese/test_similarity.py"
            "::test_matching_priors_lets_as_many_pass_as_have_the_label"
        ),
    ),
    Mutation(
        name="SimilarityScorer: half of the votes win",
        path="skmltc/hybrid_siamese/_similarity.py",
        text="torch.stack(compared).nanmedian(0).values",
        fault="-(-torch.stack(compared)).nanmedian(0).values",
        tests="tests/hybrid_siamese/test_similarity.py::test_a_vote_is_won_by_more_than_half",
    ),
    Mutation(
        name="SimilarityScorer: offsets are not scaled with the logits",
        path="skmltc/hybrid_siamese/_similarity.py",
        text="offsets = (slope * self.offsets + intercept).astype(np.float32)",
        fault="offsets = (self.offsets + intercept).astype(np.float32)",
        tests=(
            "tests/hybrid_siamese/test_similarity.py"
            "::test_offsets_and_scale_are_those_of_the_logits"
        ),
    ),
    Mutation(
        name="support_vectors: a mean over places, not documents",
        path="skmltc/hybrid_siamese/_similarity.py",
        text="np.count_nonzero(chosen >= 0, axis=1)[:, None, None]",
        fault="np.full((len(chosen), 1, 1), n_support)",
        tests=(
            "tests/hybrid_siamese/test_similarity.py"
            "::test_supports_are_vectors_of_documents_or_their_mean"
        ),
    ),
    Mutation(
        name="TripletLoss: the second task counts once",
        path="skmltc/hybrid_siamese/_similarity.py",
        text="of_documents[first].mean() + of_documents[second].mean()",
        fault="of_documents[first].mean()",
        tests="tests/hybrid_siamese/test_similarity.py::test_the_loss_is_a_mean_over_triplets",
    ),
    Mutation(
        name="TripletLoss: the second task is a mean over documents",
        path="skmltc/hybrid_siamese/_similarity.py",
        text="of_documents[first].mean() + of_documents[second].mean()",
        fault="2 * of_documents.mean()",
        tests="tests/hybrid_siamese/test_similarity.py::test_the_loss_is_a_mean_over_triplets",
    ),
    Mutation(
        name="HybridSiamese: supports are of the fitted part",
        path="skmltc/hybrid_siamese/_estimator.py",
        text="if trained.fitted_Y.shape[0] == len(train) or not candidates.any():",
        fault="if True:",
        tests=(
            "tests/hybrid_siamese/test_estimator.py::test_supports_are_of_all_training_documents"
        ),
    ),
    Mutation(
        name="HybridSiamese: as many triplets to stop by as to train on",
        path="skmltc/hybrid_siamese/_training.py",
        text="dataset = self.draw(unseen, n_triplets, seed, has_labels=False)",
        fault="dataset = self.draw(unseen, 4 * n_triplets, seed, has_labels=False)",
        tests=(
            "tests/hybrid_siamese/test_estimator.py"
            "::test_several_epochs_stop_by_triplets_of_the_held_out_part"
        ),
    ),
    # ---- transfer
    Mutation(
        name="HTTN: calibration on the prototypes' own documents",
        path="skmltc/head_to_tail/_transfer.py",
        text="np.flatnonzero(drawn.sum(axis=0) == 0)",
        fault="np.arange(drawn.shape[1])",
        tests="tests/head_to_tail/test_transfer.py",
    ),
    Mutation(
        name="HTTN: calibration by the first documents",
        path="skmltc/head_to_tail/_transfer.py",
        text="_draw(unseen, _CALIBRATION_DOCUMENTS, random_state)",
        fault="unseen[:_CALIBRATION_DOCUMENTS]",
        tests="tests/head_to_tail/test_transfer.py",
    ),
    Mutation(
        name="HTTN: calibration labels teach themselves",
        path="skmltc/head_to_tail/_transfer.py",
        text="self.leaving_out(chosen[fold]).transferred(prototypes[fold])",
        fault="self.transferred(prototypes[fold])",
        tests="tests/head_to_tail/test_transfer.py",
    ),
    Mutation(
        name="HTTN: leaving out leaves none out",
        path="skmltc/head_to_tail/_transfer.py",
        text="others = np.delete(np.arange(len(self.weights)), labels)",
        fault="others = np.arange(len(self.weights))",
        tests="tests/head_to_tail/test_transfer.py",
    ),
    Mutation(
        name="HTTN: a calibration without the log-odds of the prior",
        path="skmltc/head_to_tail/_transfer.py",
        text="offset = -np.broadcast_to(log_odds_against, scores.shape).ravel()",
        fault="offset = np.zeros(scores.size)",
        tests="tests/head_to_tail/test_transfer.py",
    ),
    Mutation(
        name="HTTN: the prior with the wrong sign in the heads",
        path="skmltc/head_to_tail/_transfer.py",
        text="intercept - prior * log_odds_against[:, None]",
        fault="intercept + prior * log_odds_against[:, None]",
        tests="tests/head_to_tail/test_transfer.py",
    ),
    Mutation(
        name="HTTN: heads without the calibration's slope",
        path="skmltc/head_to_tail/_transfer.py",
        text="slope * self.transferred(prototypes)",
        fault="self.transferred(prototypes)",
        tests="tests/head_to_tail/test_transfer.py",
    ),
    Mutation(
        name="HTTN: calibration by 10 labels for 100",
        path="skmltc/head_to_tail/_transfer.py",
        text="_CALIBRATION_LABELS, _CALIBRATION_DOCUMENTS = 100, 5000",
        fault="_CALIBRATION_LABELS, _CALIBRATION_DOCUMENTS = 10, 5000",
        tests="tests/head_to_tail/test_transfer.py",
    ),
    Mutation(
        name="HTTN: Adam with 1 pass for 8",
        path="skmltc/head_to_tail/_adam.py",
        text="for _ in range(self.passes):",
        fault="for _ in range(1):",
        tests="tests/head_to_tail/test_adam.py",
    ),
    Mutation(
        name="HTTN: the second beta of Adam is torch's",
        path="skmltc/head_to_tail/_adam.py",
        text="passes=8, betas=(0.9, 0.99)",
        fault="passes=8, betas=(0.9, 0.999)",
        tests="tests/head_to_tail/test_adam.py",
    ),
    # ---- heads
    Mutation(
        name="HTTN: the pull to the transferred weights is 3 for 0.3",
        path="skmltc/head_to_tail/_heads.py",
        text="_L2_TO_START = 0.3",
        fault="_L2_TO_START = 3.0",
        tests="tests/head_to_tail/test_heads.py",
    ),
    Mutation(
        name="HTTN: the pull is measured in weights, not in what they do",
        path="skmltc/head_to_tail/_heads.py",
        text="return whiten.astype(np.float32), unwhiten.astype(np.float32)",
        fault="return (np.eye(len(basis), dtype=np.float32),) * 2",
        tests="tests/head_to_tail/test_heads.py",
    ),
    Mutation(
        name="HTTN: tuning changes the weights that it was given",
        path="skmltc/head_to_tail/_heads.py",
        text="start, changes = heads.mean(axis=0), np.zeros",
        fault="start, changes = heads[0], np.zeros",
        tests="tests/head_to_tail/test_heads.py",
    ),
    Mutation(
        name="HTTN: scores depend on the labels beside them",
        path="skmltc/head_to_tail/_heads.py",
        text="dense_dot(vectors, weight[:, chosen])",
        fault="vectors @ weight[:, chosen]",
        tests="tests/head_to_tail/test_heads.py",
    ),
    Mutation(
        name="HTTN: scores in the order of the parts",
        path="skmltc/head_to_tail/_heads.py",
        text="return logits[:, np.argsort(self.labels)]",
        fault="return logits",
        tests="tests/head_to_tail/test_heads.py",
    ),
    # ---- the estimator
    Mutation(
        name="HTTN: the paper's tuning takes all documents",
        path="skmltc/head_to_tail/_tuning.py",
        text="return documents[np.concatenate([draw.indices for draw in draws])]",
        fault="return documents",
        tests="tests/head_to_tail/test_tuning.py",
    ),
    Mutation(
        name="HTTN: the paper's tuning takes documents of the head",
        path="skmltc/head_to_tail/_estimator.py",
        text="draw_for_tail(documents, labels.tail, *how)",
        fault="draw_for_tail(documents, labels.head, *how)",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: the paper's tuning at 1000 times its rate",
        path="skmltc/head_to_tail/_tuning.py",
        text='"lr": 1e-4',
        fault='"lr": 1e-1',
        tests="tests/head_to_tail/test_tuning.py",
    ),
    Mutation(
        name="HTTN: the paper's tuning takes three epochs",
        path="skmltc/head_to_tail/_tuning.py",
        text='_RELEASED = {"max_epochs": 2',
        fault='_RELEASED = {"max_epochs": 3',
        tests="tests/head_to_tail/test_tuning.py",
    ),
    Mutation(
        name="HTTN: the paper's tuning with the rates of the encoder",
        path="skmltc/head_to_tail/_tuning.py",
        text='"schedule": "constant", "warmup": 0.0',
        fault='"schedule": "linear", "warmup": 0.0',
        tests="tests/head_to_tail/test_tuning.py",
    ),
    Mutation(
        name="HTTN: documents without labels train the head where they shall not",
        path="skmltc/head_to_tail/_transfer.py",
        text="        if with_unlabelled:\n",
        fault="        if True:\n",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: the paper's tuning has the scale in the weights",
        path="skmltc/head_to_tail/_tuning.py",
        text="HeadsOfMembers(joined.parts, start.transfer.scale, scaled, trainer.head_bias)",
        fault="HeadsOfMembers(joined.parts, 1.0, scaled, trainer.head_bias)",
        tests="tests/head_to_tail/test_tuning.py",
    ),
    Mutation(
        name="HTTN: the paper's tuning learns biases where the head has none",
        path="skmltc/head_to_tail/_tuning.py",
        text="part.bias.requires_grad_(trains_bias)",
        fault="part.bias.requires_grad_(True)",
        tests="tests/head_to_tail/test_tuning.py",
    ),
    Mutation(
        name="HTTN: the rates of a plateau fall in the paper's tuning too",
        path="skmltc/head_to_tail/_tuning.py",
        text='"lr_factors": None, "falls": None}',
        fault='"lr_factors": None}',
        tests="tests/head_to_tail/test_tuning.py",
    ),
    Mutation(
        name="HTTN: the network is tuned again with the documents that decided",
        path="skmltc/head_to_tail/_estimator.py",
        text='if self.fine_tune != "tail" or trained.fitted_Y.shape == train.Y.shape:',
        fault="if trained.fitted_Y.shape == train.Y.shape:",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: the published head has torch's second beta",
        path="skmltc/head_to_tail/_published.py",
        text="betas=(0.9, 0.99)",
        fault="betas=(0.9, 0.999)",
        tests="tests/head_to_tail/test_published.py",
    ),
    Mutation(
        name="HTTN: the encoder is tuned for the tail too",
        path="skmltc/head_to_tail/_estimator.py",
        text='if self.fine_tune == "paper":',
        fault="if self.fine_tune:",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: the paper's tuning changes the first stage",
        path="skmltc/head_to_tail/_heads.py",
        text="split_head(copy_of(self.network))",
        fault="split_head(self.network)",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: the head is calibrated by the frequencies of other labels",
        path="skmltc/head_to_tail/_transfer.py",
        text="log_odds_against(count_labels(Y), len(vectors))[labels], Y[:, labels]",
        fault="log_odds_against(count_labels(Y), len(vectors))[: len(labels)], Y[:, labels]",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: an assembly draws as it likes",
        path="skmltc/head_to_tail/_estimator.py",
        text="random_state, Y = check_random_state(seed), documents.Y",
        fault="random_state, Y = check_random_state(None), documents.Y",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: an assembly goes on with torch's own generator",
        path="skmltc/head_to_tail/_estimator.py",
        text="with seeded_torch(seed):",
        fault="with __import__('contextlib').nullcontext():",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: a fold's head starts anywhere",
        path="skmltc/head_to_tail/_estimator.py",
        text="plan.trainer.train_encoder(plan.inputs, plan.loss, head, seed)",
        fault="plan.trainer.train_encoder(plan.inputs, plan.loss, head, draw_seed(None))",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: folds have the head and tail of all documents",
        path="skmltc/head_to_tail/_estimator.py",
        text="labels = self._split_labels(count_labels(documents.Y), in_fold=True)",
        fault="labels = plan.start.labels",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: documents are assembled twice where none was split off",
        path="skmltc/head_to_tail/_estimator.py",
        text='if self.fine_tune != "tail" or trained.fitted_Y.shape == train.Y.shape:',
        fault='if self.fine_tune != "tail":',
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: documents that decide are lost to the tail",
        path="skmltc/head_to_tail/_estimator.py",
        text='if self.fine_tune != "tail" or trained.fitted_Y.shape == train.Y.shape:',
        fault="if True:",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: documents that only stop are assembled apart",
        path="skmltc/head_to_tail/_estimator.py",
        text="documents = fit if net.interrupted_ or decides(unseen) else train",
        fault="documents = fit",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: documents decide that the scorer has seen",
        path="skmltc/head_to_tail/_estimator.py",
        text="documents = fit if net.interrupted_ or decides(unseen) else train",
        fault="documents = train",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: the head is trained on documents of the tail alone",
        path="skmltc/head_to_tail/_transfer.py",
        text="trains = np.diff(Y_head.indptr) > 0",
        fault="trains = np.diff(Y_head.indptr) >= 0",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: added labels change the old scorer",
        path="skmltc/head_to_tail/_estimator.py",
        text="parts = [*heads.parts, LabelHeads(labels, torch.from_numpy(of_new))]",
        fault="parts = heads.parts.append(LabelHeads(labels, torch.from_numpy(of_new)))",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: added labels change what was transferred to the tail",
        path="skmltc/head_to_tail/_estimator.py",
        text="        network = nn.Sequential(encoder, JoinedHeads(parts))",
        fault="        parts[1].weight.data *= 1.001\n"
        "        network = nn.Sequential(encoder, JoinedHeads(parts))",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: documents of an added label contradict themselves",
        path="skmltc/head_to_tail/_heads.py",
        text="return known[distances > _SAME * np.sqrt(known.shape[1])]",
        fault="return known",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="HTTN: added labels take their frequency among the new documents",
        path="skmltc/head_to_tail/_estimator.py",
        text="self.transfer_, vectors, Y, n_samples, random_state",
        fault="self.transfer_, vectors, Y, len(vectors) + 1, random_state",
        tests="tests/head_to_tail/test_estimator.py",
    ),
    Mutation(
        name="treader: votes are weighed on the training documents",
        path="skmltc/treader_xml/_estimator.py",
        text="fit_mixture(scorer, unseen, self._device())",
        fault="fit_mixture(scorer, fit, self._device())",
        tests="tests/treader_xml/test_estimator.py",
    ),
    Mutation(
        name="treader: a fold's votes are not weighed",
        path="skmltc/treader_xml/_estimator.py",
        text="return replace(scorer, mixture=plan.mixture)",
        fault="return scorer",
        tests="tests/treader_xml/test_estimator.py",
    ),
    Mutation(
        name="treader: the teacher is read with the weights of the text",
        path="skmltc/treader_xml/_network.py",
        text="self.read_teacher = Reading(dim, n_heads, reading) if reading else _identity",
        fault="self.read_teacher = self.read_text",
        tests="tests/treader_xml/test_network.py",
    ),
    Mutation(
        name="treader: votes are smoothed by the prior once",
        path="skmltc/_votes.py",
        text="_SMOOTHING = 4.0",
        fault="_SMOOTHING = 1.0",
        tests="tests/treader_xml/test_scopes.py",
    ),
    Mutation(
        name="treader: a score depends on the labels beside",
        path="skmltc/treader_xml/_network.py",
        text="read = head_scores(vectors, weights_of(self.network.head)[:, labels])",
        fault="""weights = weights_of(self.network.head)[:, labels]
        read = (vectors @ weights[:-1] + weights[-1]).numpy()""",
        tests="tests/treader_xml/test_network.py",
    ),
    Mutation(
        name="treader: a training draws its own seed",
        path="skmltc/treader_xml/_estimator.py",
        text="with seeded_torch(seed):",
        fault="with seeded_torch(np.random.randint(10**6)):",
        tests="tests/treader_xml/test_estimator.py",
    ),
    Mutation(
        name="treader: a fold is trained for all epochs, not to the best one",
        path="skmltc/treader_xml/_estimator.py",
        text="trainer.as_before(net)",
        fault="trainer.for_epochs(len(net.history))",
        tests="tests/treader_xml/test_estimator.py",
    ),
    Mutation(
        name="treader: documents of the validation part are neighbours",
        path="skmltc/treader_xml/_estimator.py",
        text="retriever, scopes = ScopeRetriever.fit(*retrieval, documents, plan.parents)",
        fault="""everyone = documents
            if stop_by:
                stack = sparse.vstack if sparse.issparse(X) else np.concatenate
                labels = sparse.csr_array(sparse.vstack([Y, stop_by.Y]))
                everyone = type(documents)(stack([X, stop_by.X]), labels)
            retriever, scopes = ScopeRetriever.fit(*retrieval, everyone, plan.parents)
            scopes = scopes[: len(documents)]""",
        tests="tests/treader_xml/test_estimator.py",
    ),
    Mutation(
        name="treader: a document is its own neighbour",
        path="skmltc/treader_xml/_scopes.py",
        text="cosines[indices == np.arange(len(indices))[:, None]] = 0",
        fault="pass",
        tests="tests/treader_xml/test_scopes.py",
    ),
    Mutation(
        name="treader: fit replaces new words in label_tokens",
        path="skmltc/treader_xml/_estimator.py",
        text="texts = check_token_ids(check_array(texts), type(self).__name__)",
        fault="""texts[texts >= problem.inputs.n_inputs] = 1
        texts = check_token_ids(check_array(texts), type(self).__name__)""",
        tests="tests/treader_xml/test_estimator.py",
    ),
    Mutation(
        name="treader: fit sorts the columns of label_tokens",
        path="skmltc/treader_xml/_estimator.py",
        text="return sparse.csr_array(problem.inputs.read(texts, checker))",
        fault="""texts.sort_indices()
            return sparse.csr_array(problem.inputs.read(texts, checker))""",
        tests="tests/treader_xml/test_estimator.py",
    ),
    Mutation(
        name="treader: the scale of a mixture is of standardised readings",
        path="skmltc/treader_xml/_network.py",
        text="Mixture(scale / spread, weight, offset)",
        fault="Mixture(scale, weight, offset)",
        tests="tests/treader_xml/test_network.py",
    ),
    Mutation(
        name="treader: a mixture has no offset",
        path="skmltc/treader_xml/_network.py",
        text="votes.ravel(), np.ones(read.size)])",
        fault="votes.ravel(), np.zeros(read.size)])",
        tests="tests/treader_xml/test_network.py",
    ),
    Mutation(
        name="treader: a mixture may count votes against a label",
        path="skmltc/treader_xml/_network.py",
        text="scale > 0 and weight >= 0",
        fault="scale > 0",
        tests="tests/treader_xml/test_network.py",
    ),
    Mutation(
        name="treader: attentions learn as fast as the rest",
        path="skmltc/treader_xml/_estimator.py",
        text="_ATTENTION_LR = 1e-3",
        fault="_ATTENTION_LR = 3e-3",
        tests="tests/treader_xml/test_estimator.py",
    ),
    Mutation(
        name="treader: what a document of features says goes through every tanh",
        path="skmltc/treader_xml/_network.py",
        text="return read + self.bottleneck(text[:, 0]) if self.reader.is_single else read",
        fault="return read",
        tests="tests/treader_xml/test_network.py",
    ),
    Mutation(
        name="treader: the maximum is that in front of the bottleneck",
        path="skmltc/treader_xml/_network.py",
        text='self.pools_last = pooling == "max"',
        fault="self.pools_last = False",
        tests="tests/treader_xml/test_network.py",
    ),
    Mutation(
        name="treader: a row has biases in its head",
        path="skmltc/treader_xml/_published.py",
        text="head_bias=False",
        fault="head_bias=True",
        tests="tests/treader_xml/test_published.py",
    ),
    Mutation(
        name="losses: a row is clipped",
        path="skmltc/balanced_loss/_published.py",
        text="clip=None",
        fault="clip=0.01",
        tests="tests/balanced_loss/test_published.py",
    ),
    Mutation(
        name="losses: the row of the code has the factor of the equation",
        path="skmltc/balanced_loss/_published.py",
        text="NegativeTolerantFocalLoss(ntr_scale_negatives=False)",
        fault="NegativeTolerantFocalLoss()",
        tests="tests/balanced_loss/test_published.py",
    ),
    Mutation(
        name="readers: numbers of too many digits are read all the same",
        path="skmltc/datasets/_xmc.py",
        text="if places.max() == 255 or lengths.max() > _DIGITS:",
        fault="if places.max() == 255:",
        tests="tests/datasets/test_xmc.py",
    ),
    Mutation(
        name="readers: parents that are no labels are dropped",
        path="skmltc/datasets/_readers.py",
        text="rows = [*rows, *bunch.other_parents]",
        fault="pass",
        tests="tests/datasets/test_readers.py",
    ),
    Mutation(
        name="metrics: R-precision looks at k labels of each document",
        path="skmltc/metrics/_ranking.py",
        text="n_true if k is None else np.minimum(n_true, k)",
        fault="n_true",
        tests="tests/metrics/test_ranking.py",
    ),
    Mutation(
        name="metrics: what is predicted rightly is confused",
        path="skmltc/metrics/_reports.py",
        text="sparse.csr_array(predicted - right)",
        fault="sparse.csr_array(predicted)",
        tests="tests/metrics/test_reports.py",
    ),
    Mutation(
        name="treader: the pooling of the setting is not used",
        path="skmltc/treader_xml/_network.py",
        text="self.pool = POOLINGS[pooling]",
        fault='self.pool = POOLINGS["mean"]',
        tests="tests/treader_xml/test_network.py",
    ),
    Mutation(
        name="treader: readings that are all equal overflow",
        path="skmltc/treader_xml/_network.py",
        text="spread = float(read.std()) or 1.0",
        fault="spread = max(float(read.std()), np.finfo(np.float32).tiny)",
        tests="tests/treader_xml/test_network.py",
    ),
    Mutation(
        name="idle: nothing is said of parameters without effect",
        path="skmltc/base.py",
        text="        warn_of_idle(changed, self._idle(problem, train, given))\n",
        fault="",
        tests="tests/test_idle.py -k in_one_warning",
    ),
    Mutation(
        name="idle: what is as by default is named too",
        path="skmltc/_idle.py",
        text=" and not _is_same(values[n], defaults[n])]",
        fault="]",
        tests="tests/test_idle.py -k has_an_effect_is_not_named",
    ),
    Mutation(
        name="idle: folds say it again",
        path="skmltc/decision/_threshold.py",
        text='warnings.filterwarnings("ignore", message=NO_EFFECT)',
        fault="pass",
        tests="tests/test_idle.py -k said_once",
    ),
    Mutation(
        name="idle: the line is that of a pipeline",
        path="skmltc/_validation.py",
        text='{"skmltc", "sklearn", "joblib"}',
        fault='{"skmltc"}',
        tests="tests/test_validation.py -k by_way_of_another_package",
    ),
    Mutation(
        name="idle: a tail in folds alone is none",
        path="skmltc/head_to_tail/_estimator.py",
        text="half = (counts + 1) // 2",
        fault="half = counts",
        tests="tests/test_idle.py -k tail_in_folds",
    ),
    Mutation(
        name="the linear solver does not ask joblib's context",
        path="skmltc/_linear/models.py",
        text="return 1 if on_gpu else effective_n_jobs(None)",
        fault="return 1",
        tests="tests/_linear/test_models.py -k context_of_joblib",
    ),
    # ---- the stack, neighbours, and the stack's rule
    Mutation(
        name="stack: a label that was not trained on is a candidate",
        path="skmltc/long_tail/_columns.py",
        text="return [part & (self.counts > 0) for part in (is_fitted, ~is_fitted)]",
        fault="return [is_fitted, ~is_fitted]",
        tests="tests/long_tail/test_columns.py -k candidates",
    ),
    Mutation(
        name="stack: margins of rare labels count from 0 on",
        path="skmltc/long_tail/_columns.py",
        text="MARGIN_KNEE = -0.6 ",
        fault="MARGIN_KNEE = 0.0 ",
        tests="tests/long_tail/test_columns.py -k evidence",
    ),
    Mutation(
        name="stack: a label occurs with itself",
        path="skmltc/long_tail/_columns.py",
        text="    together.data[rows == together.indices] = 0\n",
        fault="",
        tests="tests/long_tail/test_columns.py -k counted",
    ),
    Mutation(
        name="stack: a label is one of the others of its document",
        path="skmltc/long_tail/_columns.py",
        text="others = np.maximum(total[pairs.rows] - p, 0)",
        fault="others = total[pairs.rows]",
        tests="tests/long_tail/test_columns.py -k context_is",
    ),
    Mutation(
        name="stack: the best label competes with itself",
        path="skmltc/long_tail/_columns.py",
        text="np.where(rank == 0, second, ordered[best_at])",
        fault="ordered[best_at]",
        tests="tests/long_tail/test_columns.py -k one_candidate",
    ),
    Mutation(
        name="stack: a fold knows the counts of all documents",
        path="skmltc/long_tail/_scorer.py",
        text="known, unseen = Known.of(part.Y, part.weights), views.take(held)",
        fault="known, unseen = Known.of(given.Y, given.weights), views.take(held)",
        tests="tests/long_tail/test_scorer.py -k known_in_a_fold",
    ),
    Mutation(
        name="stack: those that stand for other pairs have no weight",
        path="skmltc/long_tail/_scorer.py",
        text="np.where(is_true[kept], 1.0, 1.0 / share)",
        fault="np.ones(len(kept))",
        tests="tests/long_tail/test_scorer.py -k stands_for",
    ),
    Mutation(
        name="stack: a number that is set later does not cut",
        path="skmltc/long_tail/_estimator.py",
        text="            decision = Decision.at_probability(self.threshold, self.label_counts_)\n",
        fault="            pass\n",
        tests="tests/long_tail/test_estimator.py -k a_number_cuts",
    ),
    Mutation(
        name="stack: with nothing to learn from log-odds stay as they are",
        path="skmltc/long_tail/_estimator.py",
        text="return scorer.raised(decision.thresholds.min() - cut_off), decision",
        fault="return scorer, decision",
        tests="tests/long_tail/test_estimator.py -k too_few_documents",
    ),
    Mutation(
        name="stack: members have shares by how frequent a label is",
        path="skmltc/long_tail/_explain.py",
        text="by = columns[AGAINST] if is_product else 1.0",
        fault="by = 1.0",
        tests="tests/long_tail/test_explain.py -k of_the_formula",
    ),
    Mutation(
        name="stack: words that speak against a label explain it",
        path="skmltc/long_tail/_explain.py",
        text="            if products[j] > 0:\n",
        fault="            if products[j] != 0:\n",
        tests="tests/long_tail/test_explain.py -k words_are_the_features",
    ),
    Mutation(
        name="neighbours: the prior counts as two of them",
        path="skmltc/neighbors/_scorer.py",
        text="np.log(votes + priors)",
        fault="np.log(votes + 2 * priors)",
        tests="tests/neighbors/test_classifier.py -k loops",
    ),
    Mutation(
        name="neighbours: a label of all documents is certain",
        path="skmltc/neighbors/_scorer.py",
        text="np.clip(counts, 0.5, n_samples - 0.5)",
        fault="np.maximum(counts, 0.5)",
        tests="tests/neighbors/test_classifier.py -k loops",
    ),
    Mutation(
        name="micro_macro: macro-F1 is forgotten",
        path="skmltc/decision/_rules.py",
        text="cut_offs = (micro + weights * f1) / (2 * (1 + weights))",
        fault="cut_offs = np.full_like(f1, micro / 2)",
        tests="tests/decision/test_rules.py -k no_other_rule",
    ),
    Mutation(
        name="micro_macro: calibrated pairs are calibrated once more",
        path="skmltc/decision/_rules.py",
        text="    if pairs.are_log_odds:\n",
        fault="    if False:\n",
        tests="tests/decision/test_rules.py -k no_other_rule",
    ),
    Mutation(
        name="micro_macro: weights of pairs are ignored",
        path="skmltc/decision/_rules.py",
        text="    weights = pairs.weights[order].astype(np.float64)\n    found",
        fault="    weights = np.ones(len(order))\n    found",
        tests="tests/decision/test_rules.py -k more_weight",
    ),
    Mutation(
        name="shortlists: torch takes threads of its own",
        path="skmltc/_linear/shortlists.py",
        text="        with one_torch_thread():\n",
        fault="        if True:\n",
        tests="tests/_linear/test_problems.py -k shortlists",
    ),
    Mutation(
        name="shortlists: no violators",
        path="skmltc/_linear/shortlists.py",
        text="_VIOLATORS, _VIOLATORS_PER_DOCUMENT = 300, 20",
        fault="_VIOLATORS, _VIOLATORS_PER_DOCUMENT = 0, 0",
        tests="tests/_linear/test_shortlists.py -k all_documents",
    ),
    Mutation(
        name="shortlists: documents left out do not count",
        path="skmltc/_linear/shortlists.py",
        text="n_far, weights = problem.X.shape[0] - len(signs), None",
        fault="n_far, weights = 0, None",
        tests="tests/_linear/test_shortlists.py -k all_documents",
    ),
    Mutation(
        name="shortlists: the documents near are left out of the second pass",
        path="skmltc/_linear/shortlists.py",
        text="others = np.concatenate([near, found[",
        fault="others = np.concatenate([near[:0], found[",
        tests="tests/_linear/test_shortlists.py -k rest_counts",
    ),
    Mutation(
        name="newton: far documents are at 0",
        path="skmltc/_linear/newton.py",
        text="return residuals, n_far_inside * (1 + b + self.level)",
        fault="return residuals, n_far_inside * (1 + b)",
        tests="tests/_linear/test_newton.py -k minimum",
    ),
    Mutation(
        name="smooth shortlists: the far document is not that of the steepest slopes",
        path="skmltc/_linear/smooth_shortlists.py",
        text="gradients = csr_dot(*self.turned, torch.from_numpy(slopes).T).numpy()",
        fault="gradients = self.means[:, None] * slopes.sum(axis=1)",
        tests="tests/_linear/test_smooth_shortlists.py -k gradient",
    ),
    Mutation(
        name="smooth shortlists: documents on the list are far, too",
        path="skmltc/_linear/smooth_shortlists.py",
        text="            of_label[rows] = 0\n",
        fault="            pass\n",
        tests="tests/_linear/test_smooth_shortlists.py -k gradient",
    ),
    Mutation(
        name="smooth shortlists: weights of documents are ignored far away",
        path="skmltc/_linear/smooth_shortlists.py",
        text="            slopes *= self.weights\n",
        fault="            pass\n",
        tests="tests/_linear/test_smooth_shortlists.py -k gradient",
    ),
    Mutation(
        name="shortlists: nothing makes up for dropped weights",
        path="skmltc/_linear/shortlists.py",
        text="intercept=found.intercept + lost)",
        fault="intercept=found.intercept)",
        tests="tests/_linear/test_shortlists.py tests/_linear/test_smooth_shortlists.py",
    ),
    Mutation(
        name="linear models: documents count alike where dropped weights are made up for",
        path="skmltc/_linear/models.py",
        text="scorer.without_small_weights(X, weights)",
        fault="scorer.without_small_weights(X)",
        tests="tests/_linear/test_models.py tests/_linear/test_scorers.py",
    ),
    Mutation(
        name="smooth shortlists: the mildest are taken for the steepest",
        path="skmltc/_linear/smooth_shortlists.py",
        text="np.argpartition(-slopes, n)",
        fault="np.argpartition(slopes, n)",
        tests="tests/_linear/test_smooth_shortlists.py -k steepest",
    ),
    Mutation(
        name="newton: the curvature of a smooth loss is that of the wrong side, too",
        path="skmltc/_linear/newton.py",
        text="curvatures.clamp_min_(0).mul_(0.5)",
        fault="curvatures.mul_(0.5)",
        tests="tests/_linear/test_newton.py -k loops",
    ),
    Mutation(
        name="losses: the curvature forgets what focusing bends",
        path="skmltc/losses/_kernel.py",
        text="bent = wrong * (1 + gamma * (2 - entropy)) + gamma**2 * right * entropy",
        fault="bent = wrong * (1 + gamma * (1 - entropy)) + gamma**2 * right * entropy",
        tests="tests/losses/test_specs.py -k change_of_the_slope",
    ),
    Mutation(
        name="a member that decides nothing scores labels to decide by",
        path="skmltc/_linear/weight_decay.py",
        text="if not decides or (searched",
        fault="if (searched",
        tests="tests/_linear/test_weight_decay.py -k 250_labels",
    ),
    # ---- benchmarks
    Mutation(
        name="benchmarks: rows of other code are not stale",
        path="examples/benchmarks/bench/rows.py",
        text="return any(measured.get(name) != value for",
        fault="return any(measured.get(name, value) != value and name != 'code' for",
        tests="tests/test_benchmarks.py -k stale_when",
    ),
    Mutation(
        name="benchmarks: a row that was cut off counts as kept",
        path="examples/benchmarks/run.py",
        text="wanted = [one is None or (",
        fault="wanted = [one is None and (",
        tests="tests/test_benchmarks.py -k keeps_continues",
    ),
    Mutation(
        name="benchmarks: validation documents are trained on too",
        path="examples/benchmarks/bench/data.py",
        text="X_train=_take(task.X_train, fit), Y_train=task.Y_train[fit], **parts",
        fault="**parts",
        tests="tests/test_benchmarks.py -k validation_documents",
    ),
    Mutation(
        name="benchmarks: the rival takes any C",
        path="examples/benchmarks/bench/models.py",
        text="return max(tried, key=lambda one: _joined(one[1])",
        fault="return min(tried, key=lambda one: _joined(one[1])",
        tests="tests/test_benchmarks.py -k best_out_of_fold",
    ),
    Mutation(
        name="benchmarks: a rule that shares a training has its seconds for nothing",
        path="examples/benchmarks/bench/models.py",
        text="        return _LAST[key]\n",
        fault="        return _LAST[key][0], 0.0\n",
        tests="tests/test_benchmarks.py -k share_a_training",
    ),
    Mutation(
        name="benchmarks: /CSS of HSCNN keeps the gates",
        path="examples/benchmarks/tables/hybrid_siamese.py",
        text='"/CSS": {"category_similarity": False, "sampling": "pair"},',
        fault='"/CSS": {"sampling": "pair"},',
        tests="tests/test_benchmarks.py -k hscnn",
    ),
    Mutation(
        name="added labels: known labels are calibrated by the new number of documents",
        path="skmltc/_stages.py",
        text="""        "log_odds_against_": np.append(model.log_odds_against_, against),\n""",
        fault="",
        tests="tests/test_stages.py tests/balanced_loss/test_linear_models.py -k added_labels",
    ),
    Mutation(
        name="added labels: known documents contradict those that come with a label",
        path="skmltc/_stages.py",
        text="others = known[~is_among(known, X)]",
        fault="others = known",
        tests="tests/balanced_loss/test_linear_models.py -k documents_of_the_training",
    ),
    Mutation(
        name="added labels: neighbours know documents twice",
        path="skmltc/neighbors/_scorer.py",
        text="is_other = ~is_among(self.vectors, vectors)",
        fault="is_other = np.ones(len(self.numbers), dtype=bool)",
        tests="tests/neighbors/test_classifier.py -k are_known",
    ),
    Mutation(
        name="added labels: the weight decay is that of all documents",
        path="skmltc/balanced_loss/_linear_models.py",
        text="decay = self.weight_decay_ * min(1.0, len(documents) / self.n_samples_fit_)",
        fault="decay = self.weight_decay_",
        tests="tests/balanced_loss/test_linear_models.py -k some_of_the_documents",
    ),
    Mutation(
        name="added labels: they come together with none of the known ones",
        path="skmltc/long_tail/_columns.py",
        text="cross = others.T @ Y",
        fault="cross = 0 * (others.T @ Y)",
        tests="tests/long_tail/test_columns.py",
    ),
    Mutation(
        name="added labels: they take candidates from those of the fit",
        path="skmltc/long_tail/_columns.py",
        text="for part in known.parts if part.any()]",
        fault="for part in [known.counts > 0]]",
        tests="tests/long_tail/test_columns.py -k candidates",
    ),
    Mutation(
        name="added labels: their context counts in full",
        path="skmltc/long_tail/_scorer.py",
        text="_of_mean((log_odds[added] + of_evidence)[:, None] / 2 + excess)",
        fault="_of_mean(log_odds[added][:, None] + excess)",
        tests="tests/long_tail/test_scorer.py",
    ),
    Mutation(
        name="added labels: their log-odds are a mean of log-odds",
        path="skmltc/long_tail/_scorer.py",
        text="return logsumexp(log_expit(log_odds), axis=1) - ",
        fault="return log_odds.mean(axis=1) - 0 * ",
        tests="tests/long_tail/test_scorer.py",
    ),
    Mutation(
        name="explanation: rows of neighbours forget documents of weight 0",
        path="skmltc/long_tail/_scorer.py",
        text='return number + np.searchsorted(before, number, side="right")',
        fault="return number",
        tests="tests/long_tail/test_explain.py -k rows_of_neighbours",
    ),
    Mutation(
        name="neighbours: rows without a common word come last to first",
        path="skmltc/_cosine.py",
        text="near[meets], near[~meets][:k]",
        fault="near[meets], near[~meets][-k:]",
        tests="tests/test_cosine.py",
    ),
    Mutation(
        name="added labels: a member's pipeline is changed in place",
        path="skmltc/_inner.py",
        text="copied, (name, last) = copy.copy(estimator), estimator.steps[-1]",
        fault="copied, (name, last) = estimator, estimator.steps[-1]",
        tests="tests/test_inner.py",
    ),
    Mutation(
        name="added labels: the member itself is changed",
        path="skmltc/long_tail/_members.py",
        text="copied = copy.copy(inner)",
        fault="copied = inner",
        tests="tests/long_tail/test_estimator.py -k stopped",
    ),
    Mutation(
        name="benchmarks: row 3 of TReaderXML is row 2",
        path="examples/benchmarks/tables/treader_xml.py",
        text='"3 MHSA+R": {**PAPERS, "reading": "mhsa+residual"}',
        fault='"3 MHSA+R": {**PAPERS, "reading": "mmhsa+residual"}',
        tests="tests/test_benchmarks.py -k treader",
    ),
    Mutation(
        name="benchmarks: a figure is of all rows that fit its name",
        path="docs/tables.py",
        text='    if len({kept.key_of(row | {"seed": None}) for row in found}) != 1:\n',
        fault="    if not found:\n",
        tests="tests/test_benchmarks.py -k figures_are_means",
    ),
    Mutation(
        name="engines: Dask gets the documents with every task",
        path="skmltc/_engines.py",
        text="        return _LARGE\n",
        fault="        return 100\n",
        tests="tests/test_engines.py -k sent_to_dask",
    ),
    Mutation(
        name="engines: loky maps the features anew for every 32 blocks",
        path="skmltc/_linear/models.py",
        text="                done = parallel(",
        fault="                done = Parallel(self.jobs())(",
        tests="tests/test_engines.py -k loky",
    ),
    Mutation(
        name="serving: requests get the answers of others",
        path="examples/serving/app.py",
        text="for texts, future in batch:\n            answer",
        fault="for texts, future in reversed(batch):\n            answer",
        tests="tests/test_serving.py -k together",
    ),
    Mutation(
        name="serving: every request is a prediction of its own",
        path="examples/serving/app.py",
        text="while not waiting.empty() and",
        fault="while False and",
        tests="tests/test_serving.py -k together",
    ),
]


def is_caught(mutation, folder):
    """Whether a test fails on the package with the fault in it."""
    built = shutil.ignore_patterns("__pycache__", "_build", "generated", "auto_examples")
    for part in ("skmltc", "tests", "examples", "docs"):
        shutil.copytree(ROOT / part, folder / part, ignore=built)
    shutil.copy(ROOT / "setup.cfg", folder)
    file = folder / mutation.path
    source = file.read_text(encoding="utf-8")
    if source.count(mutation.text) != 1:
        found = source.count(mutation.text)
        raise SystemExit(f"{mutation.name}: the text stands {found} times in {mutation.path}.")
    file.write_text(source.replace(mutation.text, mutation.fault), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    data = os.environ.get("SKMLTC_DATA", str(ROOT.parent / "shared" / "data"))
    environment = {**os.environ, "PYTHONPATH": str(folder), "SKMLTC_DATA": data}
    run = subprocess.run(
        [*command, *mutation.tests.split()], cwd=folder, env=environment, capture_output=True
    )
    if run.returncode not in (0, 1):
        raise SystemExit(f"{mutation.name}: the tests did not run.\n{run.stdout.decode()}")
    return run.returncode == 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="part of a name")
    chosen = [m for m in MUTATIONS if parser.parse_args().only in m.name]
    n_survived = 0
    for mutation in chosen:
        with tempfile.TemporaryDirectory() as folder:
            caught = is_caught(mutation, Path(folder))
        n_survived += not caught
        print(f"{'caught' if caught else 'SURVIVED':9} {mutation.name}", flush=True)
    print(f"{n_survived} of {len(chosen)} survived")
    return n_survived > 0


if __name__ == "__main__":
    sys.exit(main())
