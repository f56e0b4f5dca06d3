"""A language that a model does not have: its token starts from a related one's, and under LoRA it alone
trains beside the adapter; what comes back is what was trained.
"""

from __future__ import annotations

import ast
import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny_translation import CODES, easy_pairs, english

from nlp_transfer.errors import ModelError
from nlp_transfer.inference.translator import Translator, load_translation_model
from nlp_transfer.models.adapters import add_translation_adapter, merge, save_adapter
from nlp_transfer.models.translation import (
    Architecture,
    LoadedTranslator,
    Use,
    add_language,
    load_translator,
    new_translator,
)
from nlp_transfer.models.vocabulary import learn_vocabulary, missing_characters, start_rows
from nlp_transfer.publishing.plain_code import plain_translation
from nlp_transfer.publishing.save_translation import save_translator
from nlp_transfer.training.adapt_translation import TranslationProcedure, train_translator

TinyTranslator = Callable[..., Path]
WITH_LANGUAGES = ("marian", "m2m_100", "nllb", "mbart")
# Mirandese: no family has it. The token that it gets in each.
TOKENS = {"marian": ">>mwl<<", "m2m_100": "__mwl__", "nllb": "mwl_Latn", "mbart": "mwl_XX"}
SIMPLE = {"learning_rate": 1e-2, "bf16": False, "max_steps": 3, "per_device_train_batch_size": 8}


def embedding(loaded: LoadedTranslator) -> torch.Tensor:
    return loaded.model.get_input_embeddings().weight.detach()


@pytest.fixture(params=WITH_LANGUAGES)
def family(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def loaded(family: str, tiny_translator: TinyTranslator) -> LoadedTranslator:
    return load_translator(str(tiny_translator(family)))


def test_a_new_language_starts_as_the_related_one(family: str, loaded: LoadedTranslator) -> None:
    before, known = embedding(loaded).clone(), loaded.family.languages()
    related = CODES[family][2]
    [new_id] = add_language(loaded, "mwl", like=related)
    assert loaded.tokenizer.convert_ids_to_tokens(new_id) == TOKENS[family]
    assert new_id not in {loaded.tokenizer.convert_tokens_to_ids(t) for t in ("<unk>", "<pad>", "</s>")}
    related_id = loaded.tokenizer.convert_tokens_to_ids(loaded.family.language_token(related))
    after = embedding(loaded)
    assert torch.equal(after[new_id], before[related_id])
    assert torch.equal(after[: len(before)], before) and new_id >= len(before)
    assert len(after) % 8 == 0
    # The other languages stay, and the new one is found by the user's code.
    code = loaded.tgt_lang("mwl")
    assert set(loaded.family.languages()) == {*known, code}
    model = loaded.model
    assert model.get_output_embeddings().weight.data_ptr() == after.data_ptr()
    assert model.get_decoder().embed_tokens.weight.data_ptr() == after.data_ptr()


def test_it_translates_as_the_related_one_until_it_learns(family: str, loaded: LoadedTranslator) -> None:
    related, texts = CODES[family][2], english(4)
    add_language(loaded, "mwl", like=related)
    translator = Translator(loaded, directions=[("en", "mwl")], max_length_tokens=40, num_beams=1)
    assert translator.translate(texts) == translator.translate(texts, tgt_lang=related)


def test_a_language_that_is_there_is_not_added(family: str, loaded: LoadedTranslator) -> None:
    before = len(embedding(loaded))
    assert add_language(loaded, "es", like=CODES[family][2]) == []
    assert len(embedding(loaded)) == before


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_trained_new_language_comes_back(
    family: str, method: str, tiny_translator: TinyTranslator, tmp_path: Path
) -> None:
    pairs = easy_pairs(16, lang="pt", tgt="mwl")
    procedure = TranslationProcedure(
        method=method, max_length_tokens=40, seed=0, arguments=SIMPLE, rank=4, alpha=8,
        related={"mwl": CODES[family][2]},
    )  # fmt: skip
    base = tiny_translator(family)
    trained = train_translator(
        str(base), procedure, pairs, label="new", folder=tmp_path / "checkpoints",
        adapter_folder=tmp_path / "adapter",
    )  # fmt: skip
    use = Use(directions=[("en", "mwl")], max_length_tokens=40, num_beams=1)
    save_translator(trained.loaded, tmp_path / "model", use=use, pairs=easy_pairs(4, tgt="mwl"))
    reloaded = load_translation_model(str(tmp_path / "model"))
    texts = english(5, seed=4)
    ours = Translator(trained.loaded, directions=[("en", "mwl")], max_length_tokens=40, num_beams=1)
    assert reloaded.translate(texts) == ours.translate(texts)
    assert reloaded.translate(texts, tgt_lang="es")
    assert trained.loaded.family.languages() == reloaded.loaded.family.languages()
    new_id = trained.loaded.tokenizer.convert_tokens_to_ids(TOKENS[family])
    assert reloaded.tokenizer.convert_tokens_to_ids(TOKENS[family]) == new_id
    before, after = embedding(load_translator(str(base))), embedding(reloaded.loaded)
    related_id = reloaded.tokenizer.convert_tokens_to_ids(
        reloaded.loaded.family.language_token(CODES[family][2])
    )
    assert not torch.equal(after[new_id], before[related_id])
    if method == "lora":
        assert torch.equal(after[: len(before)], before)
        assert trained.trainable < 0.3 * trained.total
        assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("family", ["m2m_100", "nllb", "mbart"])
def test_a_new_language_to_translate_from_comes_back(
    family: str, tiny_translator: TinyTranslator, tmp_path: Path
) -> None:
    pairs = easy_pairs(16, src="mwl")
    procedure = TranslationProcedure(
        method="full", max_length_tokens=40, seed=0, arguments=SIMPLE, related={"mwl": CODES[family][2]}
    )
    trained = train_translator(
        str(tiny_translator(family)), procedure, pairs, label="new", folder=tmp_path / "checkpoints"
    )
    use = Use(directions=[("mwl", "es")], max_length_tokens=40, num_beams=1)
    save_translator(trained.loaded, tmp_path / "model", use=use, pairs=easy_pairs(4, src="mwl"))
    reloaded, texts = load_translation_model(str(tmp_path / "model")), english(5, seed=4)
    ours = Translator(trained.loaded, directions=[("mwl", "es")], max_length_tokens=40, num_beams=1)
    assert reloaded.translate(texts) == ours.translate(texts)
    new_id = reloaded.tokenizer.convert_tokens_to_ids(TOKENS[family])
    read = reloaded.loaded.family.encode_sources(texts[:1], src_lang=ours.loaded.src_lang("mwl"), tgt_lang="")
    assert read[0].tolist()[0] == new_id
    # What the card tells users of plain transformers reads it with the same token.
    code = plain_translation(tmp_path / "model").code(f'"{tmp_path / "model"}"', texts[0])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names := {})
    assert names["inputs"]["input_ids"][0].tolist() == read[0].tolist()
    assert ast.literal_eval(printed.getvalue()) == reloaded.translate(texts[:1])


def test_under_lora_only_the_adapter_and_the_new_row_train(family: str, loaded: LoadedTranslator) -> None:
    [new_id] = add_language(loaded, "mwl", like=CODES[family][2])
    model = add_translation_adapter(loaded.model, rank=2, alpha=4, targets="auto", new_ids=[new_id], seed=0)
    trains = {name for name, weight in model.named_parameters() if weight.requires_grad}
    others = {name for name in trains if "lora_" not in name}
    assert others and all("trainable_tokens_delta" in name for name in others)
    sizes = {weight.numel() for name, weight in model.named_parameters() if name in others}
    assert sizes == {32}
    layers = {name.partition(".lora_")[0].rpartition(".")[2] for name in trains - others}
    assert layers == {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}


def test_merging_keeps_what_the_adapter_computes_and_the_tie(
    family: str, loaded: LoadedTranslator, tmp_path: Path
) -> None:
    [new_id] = add_language(loaded, "mwl", like=CODES[family][2])
    model = add_translation_adapter(loaded.model, rank=2, alpha=4, targets="auto", new_ids=[new_id], seed=0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name))) / 9)
    model.eval()
    ids = torch.tensor([[5, 6, new_id, 2]])
    with torch.no_grad():
        expected = model(input_ids=ids, decoder_input_ids=ids).logits
    save_adapter(model, tmp_path / "adapter", base="some/base", label_names=None)
    from safetensors import safe_open

    with safe_open(tmp_path / "adapter" / "adapter_model.safetensors", "pt") as stored:
        sizes = {name: stored.get_slice(name).get_shape() for name in stored.keys()}  # noqa: SIM118
    # The new rows alone, not the table.
    assert not [name for name, shape in sizes.items() if len(embedding(loaded)) in shape]
    merged = merge(model)
    with torch.no_grad():
        assert torch.allclose(merged(input_ids=ids, decoder_input_ids=ids).logits, expected, atol=1e-4)
    table = merged.get_input_embeddings().weight
    assert merged.get_output_embeddings().weight.data_ptr() == table.data_ptr()
    assert merged.get_decoder().embed_tokens.weight.data_ptr() == table.data_ptr()
    assert not isinstance(merged, PeftModel)


def test_t5_gets_an_adapter_too(tiny_translator: TinyTranslator) -> None:
    loaded = load_translator(str(tiny_translator("t5")))
    assert add_language(loaded, "mwl", like="pt") == []
    model = add_translation_adapter(loaded.model, rank=2, alpha=4, targets="auto", new_ids=[], seed=0)
    trains = {
        name.partition(".lora_")[0].rpartition(".")[2]
        for name, w in model.named_parameters()
        if w.requires_grad
    }
    assert trains == {"q", "k", "v", "o", "wi", "wo"}


def test_a_module_that_is_not_there_is_refused(tiny_translator: TinyTranslator) -> None:
    loaded = load_translator(str(tiny_translator("marian")))
    with pytest.raises(ModelError, match="the model has no module 'q_prj'; did you mean q_proj"):
        add_translation_adapter(loaded.model, rank=2, alpha=4, targets=["q_prj"], new_ids=[], seed=0)


def test_a_padded_row_is_started_by_its_id(tiny_translator: TinyTranslator) -> None:
    """A table with spare rows does not grow; the spare row would stay noise."""
    loaded = load_translator(str(tiny_translator("marian", vocab_size=96)))
    before = embedding(loaded).clone()
    [new_id] = add_language(loaded, "mwl", like="pt")
    related = loaded.tokenizer.convert_tokens_to_ids(">>pt<<")
    assert len(embedding(loaded)) == 96 and new_id < 96
    assert torch.equal(embedding(loaded)[new_id], before[related])
    assert not torch.equal(before[new_id], before[related])


def test_rows_start_as_the_mean_with_their_bias(tiny_translator: TinyTranslator) -> None:
    loaded = load_translator(str(tiny_translator("marian")))
    with torch.no_grad():
        loaded.model.final_logits_bias[0, :10] = torch.arange(10.0)
    before = embedding(loaded).clone()
    start_rows(loaded.model, [3, 4], [[5, 7], [9]])
    assert torch.allclose(embedding(loaded)[3], (before[5] + before[7]) / 2)
    assert torch.equal(embedding(loaded)[4], before[9])
    assert loaded.model.final_logits_bias[0, 3:5].tolist() == [6.0, 9.0]


def test_missing_characters_are_those_of_no_piece() -> None:
    texts = ["ñx ñ ñ ñ ñ", "éé ééé é a", "z"]
    missing = missing_characters(texts, ["▁a", "x", "tz"])
    assert missing.most_common() == [("é", 6), ("ñ", 5)]


def test_an_id_without_a_token_is_never_written(tiny_translator: TinyTranslator, tmp_path: Path) -> None:
    """A table of a multiple of eight rows has spare ones; Marian's tokenizer fails on their ids."""
    loaded = load_translator(str(tiny_translator("marian")))
    [new_id] = add_language(loaded, "mwl", like="pt")
    rows = len(embedding(loaded))
    assert loaded.model.generation_config.suppress_tokens == list(range(new_id + 1, rows))
    with torch.no_grad():
        loaded.model.final_logits_bias[:, new_id + 1 :] = 100.0
    texts = english(3)
    expected = Translator(loaded, directions=[("en", "mwl")], max_length_tokens=40, num_beams=1).translate(
        texts
    )
    use = Use(directions=[("en", "mwl")], max_length_tokens=40, num_beams=1)
    save_translator(loaded, tmp_path / "model", use=use, pairs=easy_pairs(2, tgt="mwl"))
    assert load_translation_model(str(tmp_path / "model")).translate(texts) == expected


def test_a_new_model_has_its_languages_and_writes_no_spare_row() -> None:
    shape = Architecture(
        vocabulary_size=400, hidden_size=16, feed_forward_size=16, encoder_layers=1, decoder_layers=1,
        attention_heads=2, dropout=0.0, init_std=0.5,
    )  # fmt: skip
    pairs = easy_pairs(50)
    made = new_translator(
        shape, [*pairs.sources, *pairs.targets], languages=["es", "pt_BR"], max_length_tokens=32
    )
    assert made.family.languages() == ["es", "pt_BR"]
    assert made.tgt_lang("pt") == "pt_BR"
    rows, used = len(embedding(made)), len(made.tokenizer)
    assert rows % 8 == 0 and 0 <= rows - used < 8
    assert made.model.generation_config.suppress_tokens == (list(range(used, rows)) or None)
    # Bytes spell what the training text did not hold.
    odd = "Ж 漢 ñ"
    ids = made.family.encode_targets([odd], tgt_lang="es")[0].tolist()
    assert made.tokenizer.unk_token_id not in ids
    assert made.tokenizer.decode(ids, skip_special_tokens=True) == odd


def test_too_little_text_for_a_vocabulary_is_told() -> None:
    with pytest.raises(ModelError, match=r"no vocabulary of 8000 pieces can be learnt from 0 texts"):
        learn_vocabulary([], size=8000, languages=["es"], max_length=32)
