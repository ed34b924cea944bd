"""TransformerEncoder on tiny random transformers: values, training, estimators, storing."""

import copy
import pickle
import shutil

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmltc import (
    BalancedLossClassifier,
    HeadToTailClassifier,
    HybridSiameseClassifier,
    TReaderXMLClassifier,
)
from skmltc._networks import network_scores, seeded_torch
from skmltc.encoders import (
    Training,
    TransformerEncoder,
    build_network,
    head_of,
    parameter_parts,
    parts_of,
    start_head,
)
from skmltc.encoders._pretrained import Transformer
from skmltc.losses import BinaryCrossEntropyLoss
from skmltc.text import PretrainedTokenizer

transformers = pytest.importorskip("transformers")
QUICK = {"max_epochs": 1, "batch_size": 16, "early_stopping": False, "random_state": 0}
PLAIN = {"calibrate": False, "threshold": 0.5, "loss": "bce"}


@pytest.fixture(scope="module")
def tokens(transformer, documents):
    return PretrainedTokenizer(transformer, max_length=24).fit_transform(documents.texts[:80])


@pytest.fixture(scope="module")
def Y(documents):
    return documents.Y[:80].toarray()


def built(encoder):
    return encoder.build(encoder.n_embeddings(0))


def theirs(folder, token_ids):
    """Ids and mask as the library wants them, written out: 0 is padding, 1 unknown, then words."""
    ids = torch.tensor([[i - 2 if i > 1 else int(i) for i in row] for row in token_ids.tolist()])
    return {"input_ids": ids, "attention_mask": torch.from_numpy(np.asarray(token_ids) > 0).long()}


# ----------------------------------------------------------------------------------- the values


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_vectors_are_those_of_the_model_for_each_text_alone(transformer, tokens, pooling):
    module = built(TransformerEncoder(transformer, pooling=pooling)).eval()
    model = transformers.AutoModel.from_pretrained(transformer).eval()
    with torch.no_grad():
        vectors = module(torch.from_numpy(tokens[:5]))
        for row, vector in zip(tokens[:5], vectors, strict=True):
            output = model(**theirs(transformer, row[row > 0][None]))
            states = output.last_hidden_state[0]
            ways = {"cls": states[0], "mean": states.mean(dim=0), "pooler": output.pooler_output[0]}
            assert_allclose(vector, ways[pooling], atol=1e-5)
    assert vectors.shape == (5, module.output_dim) == (5, 32)


def test_padding_changes_nothing_beyond_rounding(transformer, tokens):
    module = built(TransformerEncoder(transformer)).eval()
    together = network_scores(module, tokens)
    wider = network_scores(module, np.pad(tokens, ((0, 0), (0, 30))))
    alone = np.vstack([network_scores(module, row[None, row > 0]) for row in tokens])
    assert_allclose(together, wider, atol=1e-5)
    assert_allclose(together, alone, atol=1e-5)
    assert together.std(axis=0).min() > 1e-3  # texts differ by more than that


@pytest.mark.parametrize("training", [True, False])
def test_states_of_tokens_come_with_their_mask(transformer, tokens, training):
    module = built(TransformerEncoder(transformer, dropout=0.0)).train(training)
    rows = tokens[(tokens > 0).sum(axis=1).argsort()[[0, 40]]]
    states, mask = module.encode_tokens(torch.from_numpy(rows))
    assert states.shape == (*mask.shape, module.token_dim)
    assert_array_equal(mask.sum(dim=1), (rows > 0).sum(axis=1))
    model = transformers.AutoModel.from_pretrained(transformer).eval()
    expected = model(**theirs(transformer, rows)).last_hidden_state.detach()
    assert_allclose(states[mask].detach(), expected[torch.from_numpy(rows > 0)], atol=1e-5)


def test_a_text_of_padding_alone_has_finite_states(transformer):
    module = built(TransformerEncoder(transformer, pooling="mean")).eval()
    assert module(torch.zeros(2, 5, dtype=torch.int32)).isfinite().all()


def test_an_unknown_word_and_padding_are_the_model_s(transformer):
    module = built(TransformerEncoder(transformer))
    assert module.model_ids[:4].tolist() == [0, 1, 0, 1]
    assert len(module.model_ids) == 202
    words = module.model.embeddings.word_embeddings.weight
    assert_array_equal(module.embedding.weight, words.detach()[module.model_ids])


@pytest.mark.parametrize("kind", ["DistilBert", "Roberta", "Electra", "MPNet"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_other_encoders_read_texts_of_any_length_that_fits(make_transformer, kind, pooling):
    sizes = {"DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}}
    special = {"Roberta": {"pad_token_id": 0}}
    options = sizes.get(kind, {}) | special.get(kind, {})
    if kind == "DistilBert":
        options |= {"hidden_size": 32}
    folder = make_transformer(kind, **options)
    module = built(TransformerEncoder(folder, pooling=pooling)).eval()
    longest = {"Roberta": 63, "MPNet": 62}.get(kind, 64)  # positions begin behind that of padding
    texts = torch.full((2, longest), 7)
    texts[1, 9:] = 0
    vectors = module(texts).detach()
    assert vectors.shape == (2, 32) and vectors.isfinite().all()
    assert_allclose(vectors[1], module(texts[1:, :9]).detach()[0], atol=1e-5)
    with pytest.raises(ValueError, match=f"X must be texts of at most {longest} tokens. Got 65"):
        module(torch.full((2, 65), 7))


def test_a_model_with_a_decoder_is_refused(make_transformer):
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    folder = make_transformer("T5", **sizes)
    with pytest.raises(ValueError, match="model must be an encoder. Got .* one with a decoder"):
        built(TransformerEncoder(folder))


# ------------------------------------------------------------------------------------- training


def test_a_forward_pass_and_a_step_are_those_of_the_library_s_classifier(transformer, tokens, Y):
    encoder = TransformerEncoder(transformer, pooling="pooler", dropout=0.0)
    training = Training(
        lr=1e-3, weight_decay=0.01, max_epochs=1, schedule="constant", head_start="normal"
    )
    with seeded_torch(0):
        start = build_network(encoder, encoder.n_embeddings(0), Y.shape[1])
        start_head(head_of(start), BinaryCrossEntropyLoss().build(Y), Y, "normal")
    bert = transformers.BertForSequenceClassification.from_pretrained(
        transformer,
        num_labels=Y.shape[1],
        problem_type="multi_label_classification",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    bert.classifier.load_state_dict(head_of(start).state_dict())
    inputs = theirs(transformer, tokens)
    targets = torch.from_numpy(Y).float()
    with torch.no_grad():
        logits = bert.eval()(**inputs).logits
        assert_allclose(start.eval()(torch.from_numpy(tokens)), logits, atol=1e-5)

    optimizer = torch.optim.AdamW(bert.parameters(), lr=1e-3, weight_decay=0.01)
    loss = bert.train()(**inputs, labels=targets).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(bert.parameters(), 5.0)
    optimizer.step()
    model = BalancedLossClassifier(encoder=encoder, training=training, **PLAIN)
    model.set_params(batch_size=len(tokens), early_stopping=False, random_state=0).fit(tokens, Y)
    assert_allclose(model.history_[0]["train_loss"], loss.item(), rtol=1e-5)
    after = bert.eval()(**inputs).logits.detach()
    assert (after - logits).abs().max() > 0.01  # the step is seen
    assert_allclose(model.decision_function(tokens), after, atol=1e-5)
    ours, library = model.module_[0].model.state_dict(), bert.bert.state_dict()
    assert ours.keys() == library.keys()
    for name, weights in library.items():
        assert_allclose(ours[name], weights, atol=1e-5, err_msg=name)


def trained_names(encoder):
    module = built(encoder)
    return {n for n, p in module.model.named_parameters() if p.requires_grad}, module


@pytest.mark.parametrize("trainable", [True, 1, 2, np.int64(2)])
def test_the_last_layers_and_the_pooler_are_trained(transformer, trainable):
    encoder = TransformerEncoder(transformer, pooling="pooler", trainable=trainable)
    names, module = trained_names(encoder)
    every = {name for name, _ in module.model.named_parameters()}
    if trainable is not True:
        layers = [f"encoder.layer.{k}." for k in range(2)][2 - trainable :]
        every = {name for name in every if name.startswith((*layers, "pooler."))}
    assert names == every
    assert not encoder.is_frozen


@pytest.mark.parametrize("trainable", [False, np.bool_(False)])
def test_a_frozen_model_has_nothing_to_train_and_no_dropout(transformer, trainable):
    encoder = TransformerEncoder(transformer, trainable=trainable, dropout=0.5)
    names, module = trained_names(encoder)
    assert names == set() and encoder.is_frozen
    assert not any(part.training for part in module.train().modules())


def test_dropout_is_that_of_all_layers(transformer):
    shares = {
        m.p
        for m in built(TransformerEncoder(transformer, dropout=0.25)).modules()
        if isinstance(m, torch.nn.Dropout)
    }
    assert shares == {0.25}


def test_checkpoints_save_memory_and_change_no_gradient(transformer, tokens):
    gradients = []
    for checkpointing in (False, True):
        encoder = TransformerEncoder(transformer, dropout=0.0, gradient_checkpointing=checkpointing)
        module = built(encoder).train()
        module(torch.from_numpy(tokens[:8])).pow(2).sum().backward()
        assert (
            any(getattr(m, "gradient_checkpointing", False) for m in module.modules())
            is checkpointing
        )
        gradients.append([p.grad for p in module.parameters()])
    for plain, again in zip(*gradients, strict=True):
        assert_allclose(plain, again, atol=1e-6)


def test_parts_have_rates_of_their_own(transformer):
    encoder = TransformerEncoder(transformer)
    network = build_network(encoder, encoder.n_embeddings(0), 3)
    parts = {part for part, _ in parameter_parts(parts_of(network))}
    assert parts == {"embedding", "encoder", "projection", "head"}
    assert set(encoder.training.lr_factors) == {"head", "head_scale"}


# ----------------------------------------------------------------------------------- estimators


@pytest.mark.parametrize("trainable", [True, 1, False])
@pytest.mark.parametrize(
    "estimator",
    [
        BalancedLossClassifier(**QUICK),
        HybridSiameseClassifier(n_triplets=60, n_phi=5, **QUICK),
        HeadToTailClassifier(n_tail=6, **QUICK),
        TReaderXMLClassifier(n_neighbors=3, n_heads=2, bottleneck_dim=8, **QUICK),
        TReaderXMLClassifier(n_neighbors=3, n_heads=2, retrieval="embedding", **QUICK),
    ],
    ids=["balanced_loss", "hybrid_siamese", "head_to_tail", "treader_xml", "embedding"],
)
def test_all_estimators_fit_store_and_load(transformer, documents, estimator, trainable):
    encoder = TransformerEncoder(transformer, trainable=trainable)
    model = clone(estimator).set_params(encoder=encoder, **PLAIN)
    if trainable is False and isinstance(model, BalancedLossClassifier):
        model.set_params(max_epochs="auto", batch_size=64, early_stopping="auto")
    pipeline = make_pipeline(PretrainedTokenizer(transformer, max_length=16), model)
    texts, Y = documents.texts[:60], documents.Y[:60]
    logits = pipeline.fit(texts, Y).decision_function(texts)
    assert logits.shape == Y.shape and np.isfinite(logits).all() and logits.std() > 0
    again = pickle.loads(pickle.dumps(pipeline))
    assert_array_equal(again.decision_function(texts), logits)


def test_a_fit_is_repeatable_and_trains_the_encoder(transformer, tokens, Y):
    model = BalancedLossClassifier(encoder=TransformerEncoder(transformer), **QUICK, **PLAIN)
    first, second = (clone(model).fit(tokens, Y) for _ in range(2))
    assert_array_equal(first.decision_function(tokens), second.decision_function(tokens))
    before = built(model.encoder).model.state_dict()
    moved = [
        name
        for name, w in first.module_[0].model.state_dict().items()
        if not torch.equal(w, before[name])
    ]
    assert "embeddings.word_embeddings.weight" in moved and len(moved) > 30


def test_frozen_is_a_linear_model_of_vectors_that_are_computed_once(
    transformer, tokens, Y, monkeypatch
):
    encoder = TransformerEncoder(transformer, trainable=False)
    vectors = network_scores(built(encoder).eval(), tokens)
    forward, rows = Transformer.forward, []
    monkeypatch.setattr(
        Transformer, "forward", lambda self, ids: (rows.append(len(ids)), forward(self, ids))[1]
    )
    for parameters in ({}, {"weight_decay": 0.1}):
        rows.clear()
        model = BalancedLossClassifier(encoder=encoder, random_state=0, **parameters)
        model.fit(tokens, Y)
        blocks = len(rows)
        rows.clear()
        network_scores(built(encoder).eval(), tokens)
        assert blocks == len(rows)  # folds and the choice of the weight decay share the vectors
        linear = BalancedLossClassifier(random_state=0, **parameters).fit(vectors, Y)
        assert_array_equal(model.coef_, linear.coef_)
        assert_array_equal(model.intercept_, linear.intercept_)
        assert_array_equal(model.threshold_, linear.threshold_)
        assert_array_equal(model.decision_function(tokens), linear.decision_function(vectors))
        assert model.weight_decay_ == linear.weight_decay_
        assert not hasattr(model, "module_")


def test_labels_are_added_to_a_linear_model_of_its_vectors(transformer, tokens, Y):
    encoder = TransformerEncoder(transformer, trainable=False)
    vectors = network_scores(built(encoder).eval(), tokens)
    how = {"weight_decay": 0.1, "random_state": 0}
    model = BalancedLossClassifier(encoder=encoder, **how).fit(tokens[:60], Y[:60, :10])
    linear = BalancedLossClassifier(**how).fit(vectors[:60], Y[:60, :10])
    before, new = model.decision_function(tokens), Y[40:, 10:]
    model.add_labels(tokens[40:], new, tokens[:60])
    linear.add_labels(vectors[40:], new, vectors[:60])
    assert_array_equal(model.decision_function(tokens), linear.decision_function(vectors))
    assert_array_equal(model.decision_function(tokens)[:, :10], before)
    assert model.n_labels_ == 12 and model.n_samples_fit_ == 80


def test_a_given_validation_part_is_encoded_too(transformer, tokens, Y):
    encoder = TransformerEncoder(transformer, trainable=False)
    vectors = network_scores(built(encoder).eval(), tokens)
    X_val, y_val = np.tile(tokens, (5, 1)), np.tile(Y, (5, 1))
    model = BalancedLossClassifier(encoder=encoder, random_state=0).fit(tokens, Y, X_val, y_val)
    assert y_val.sum() >= 500  # labels enough to decide by
    linear = BalancedLossClassifier(random_state=0)
    linear.fit(vectors, Y, np.tile(vectors, (5, 1)), y_val)
    assert_allclose(model.threshold_, linear.threshold_, rtol=1e-4)
    assert_allclose(model.decision_function(tokens), linear.decision_function(vectors), rtol=1e-3)


def test_mini_batches_train_a_head_on_a_frozen_model(transformer, tokens, Y):
    encoder = TransformerEncoder(transformer, trainable=False)
    model = BalancedLossClassifier(encoder=encoder, optimizer="adamw", **QUICK, **PLAIN)
    before = built(encoder).model.state_dict()
    after = model.fit(tokens, Y).module_[0].model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    with pytest.raises(ValueError, match="optimizer must be 'adamw', 'adam' or 'auto' for an enc"):
        clone(model).set_params(optimizer="newton", encoder__trainable=1).fit(tokens, Y)


def test_a_search_over_losses_on_texts(transformer, documents):
    encoder = TransformerEncoder(transformer, trainable=False)
    pipeline = make_pipeline(
        PretrainedTokenizer(transformer, max_length=16),
        BalancedLossClassifier(encoder=encoder, weight_decay=0.1, random_state=0),
    )
    grid = {
        "balancedlossclassifier__loss": ["bce", "focal"],
        "balancedlossclassifier__encoder__pooling": ["cls", "mean"],
    }
    search = GridSearchCV(pipeline, grid, cv=2, scoring="f1_micro", error_score="raise")
    frequent = documents.Y[:60].sum(axis=0).argsort()[-4:]
    search.fit(documents.texts[:60], documents.Y[:60, frequent])
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert search.predict(documents.texts[:3]).shape == (3, 4)


# -------------------------------------------------------------------------------------- storing


def test_weights_that_were_not_trained_are_stored_by_reference(make_transformer):
    folder = make_transformer(seed=1)
    sizes = {}
    for trainable in (True, 1, False):
        module = built(TransformerEncoder(folder, trainable=trainable)).eval()
        stored = pickle.dumps(module)
        sizes[trainable, type(trainable)] = len(stored)
        again = pickle.loads(stored)
        batch = torch.tensor([[4, 9, 1, 30, 5]])
        assert torch.equal(module(batch), again(batch))
        flags = [[p.requires_grad for p in m.model.parameters()] for m in (module, again)]
        assert flags[0] == flags[1] and not again.training
    every, some, none = sizes.values()
    assert none < 5_000 < some < every - 30_000


def test_storing_and_copying_draw_nothing(transformer):
    module = built(TransformerEncoder(transformer))
    before = torch.get_rng_state()
    twin = copy.deepcopy(pickle.loads(pickle.dumps(module)))
    assert torch.equal(torch.get_rng_state(), before)
    twin.model.embeddings.word_embeddings.weight.data += 1
    assert not torch.equal(*(m.model.embeddings.word_embeddings.weight for m in (module, twin)))


def test_other_weights_and_missing_ones_are_refused_on_loading(make_transformer, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(make_transformer(seed=1), folder)
    stored = {k: pickle.dumps(built(TransformerEncoder(folder, trainable=k))) for k in (2, True)}
    for name in ("model.safetensors", "config.json"):
        shutil.copy(make_transformer(seed=2) / name, folder / name)
    message = "that the stored encoder refers to must be where it was, with the weights that it had"
    with pytest.raises(ValueError, match=message + ". Got others at .*model' instead. Put the old"):
        pickle.loads(stored[2])
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match=message + ". Got none at .*model' instead. Put it back"):
        pickle.loads(stored[2])
    assert pickle.loads(stored[True]).output_dim == 32  # all was trained: nothing is referred to


def test_a_relative_folder_is_found_from_elsewhere(make_transformer, monkeypatch, tmp_path):
    folder = make_transformer()
    monkeypatch.chdir(folder.parent)
    stored = pickle.dumps(built(TransformerEncoder(folder.name, trainable=False)))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(stored).output_dim == 32


# --------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"pooling": "max"}, "pooling must be one of 'cls', 'mean', 'pooler'. Got 'max' instead"),
        ({"trainable": 0}, "trainable must be True, False or a number of layers from 1 up. Got 0"),
        ({"trainable": "last"}, "trainable must be True, False or a number .* Got 'last'"),
        ({"trainable": 3}, "trainable must be at most 2, the layers of the model, or True. Got 3"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\)"),
        ({"gradient_checkpointing": "yes"}, "gradient_checkpointing must be one of True, False"),
        ({"model": 5}, "model must be a folder with a tokenizer and a model, or the name .* Got 5"),
        ({"model": "./none/here"}, "Got './none/here', which is no folder instead"),
    ],
)
def test_parameters_are_checked(transformer, parameters, message):
    encoder = TransformerEncoder(transformer).set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        built(encoder)


def test_a_pooler_that_was_not_stored_is_trained_or_refused(make_transformer):
    folder = make_transformer()
    bare = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False)
    bare.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert built(TransformerEncoder(folder, pooling="pooler")).model.pooler is not None
    built(TransformerEncoder(folder, pooling="mean", trainable=False))
    with pytest.raises(ValueError, match="pooling must be 'cls' or 'mean' for a model stored with"):
        built(TransformerEncoder(folder, pooling="pooler", trainable=False))


def test_ids_of_another_tokenizer_are_refused(make_transformer, documents, transformer):
    texts, Y = documents.texts[:40], documents.Y[:40]
    other = PretrainedTokenizer(make_transformer(words=["x"]), max_length=8).fit_transform(texts)
    model = BalancedLossClassifier(encoder=TransformerEncoder(transformer, trainable=False))
    with pytest.raises(
        ValueError, match="X must be token ids of the words of the encoder. Got ids"
    ):
        model.fit(other, Y)
