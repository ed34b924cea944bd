"""How pretrained transformers are found and loaded, and what is told apart."""

import contextlib
import logging

import numpy as np
import pytest
import torch

from skmltc._pretrained import Source, from_model, hash_of, load_config, load_tokenizer, to_model

transformers = pytest.importorskip("transformers")


class Tokenizer:
    """Special ids alone."""

    def __init__(self, pad, unk):
        self.pad_token_id, self.unk_token_id = pad, unk


def test_ids_go_there_and_back():
    for pad, unk in [(0, 100), (1, 3), (5, 5), (None, None), (None, 2), (4, None)]:
        special = {pad, unk} - {None}
        table = to_model(Tokenizer(pad, unk), 200)
        ids = from_model(np.arange(200), Tokenizer(pad, unk))
        for own, ours in enumerate(ids):
            if own in special:  # in a text the word for padding is no padding
                assert ours == 1
            else:
                assert ours == own + 2 and table[ours] == own
        assert table[0] == (pad or 0) and table[1] == next(
            i for i in (unk, pad, 0) if i is not None
        )


def test_a_folder_is_found_from_everywhere_and_a_name_stays_a_name(tmp_path, monkeypatch):
    (tmp_path / "owner" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert Source.of("owner/model").name == str(tmp_path / "owner" / "model")
    assert Source.of("owner/other") == Source("owner/other", None)
    assert Source.of("bert-base-cased") == Source("bert-base-cased", None)
    for path in ("./owner/other", "~/model", "/owner", "owner/model/x", tmp_path / "other"):
        with pytest.raises(ValueError, match="model must be a folder .*, which is no folder inst"):
            Source.of(path)


@pytest.mark.parametrize("error", [OSError("No such model.\nMore of it."), ValueError("No such")])
def test_errors_of_the_library_name_the_parameter(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fail)
    with pytest.raises(
        ValueError, match="^model must be a folder .*Got 'owner/none' .* No such[^\n]*$"
    ):
        load_tokenizer(Source("owner/none"))


def test_loading_prints_nothing_and_leaves_the_library_as_it_was(transformer, capfd, monkeypatch):
    log = transformers.utils.logging
    load, seen = transformers.AutoConfig.from_pretrained, []

    def loud(*args, **options):
        log.get_logger("transformers.loud").warning("some weights are new")
        seen.append(log.is_progress_bar_enabled())
        return load(*args, **options)

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", loud)
    before = log.get_verbosity(), log.is_progress_bar_enabled()
    load_config(Source.of(transformer))
    assert (log.get_verbosity(), log.is_progress_bar_enabled()) == before
    assert capfd.readouterr().err == "" and seen == [False]
    with contextlib.suppress(ValueError):
        load_config(Source.of(transformer.parent))
    assert (log.get_verbosity(), log.is_progress_bar_enabled()) == before
    assert logging.getLogger().level == logging.WARNING


def test_dropout_is_set_where_a_configuration_has_some(transformer):
    plain, changed = (load_config(Source.of(transformer), share) for share in (None, 0.3))
    shares = plain.hidden_dropout_prob, plain.attention_probs_dropout_prob
    assert shares == (0.1, 0.1)
    assert (changed.hidden_dropout_prob, changed.attention_probs_dropout_prob) == (0.3, 0.3)
    assert changed.classifier_dropout is None and changed.hidden_size == 32


def test_weights_are_told_apart_by_names_and_numbers():
    first = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(())}
    turned = {name: first[name].clone() for name in ("b", "a")}
    assert hash_of(first) == hash_of(turned)
    assert hash_of({"a": first["a"].T.contiguous().T, "b": first["b"]}) == hash_of(first)
    for name, value in (("a", 1 + first["a"]), ("c", first["a"]), ("a", first["a"].double())):
        assert hash_of({"b": first["b"], name: value}) != hash_of(first)
