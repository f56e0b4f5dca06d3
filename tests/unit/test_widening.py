"""A vocabulary gets what it lacks: characters, and pieces of a new script; nothing else changes, and what is
saved comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_translation import CODES, FAMILIES, easy_pairs, english, translated

from nlp_transfer.data.pairs import Pairs
from nlp_transfer.inference.translator import Translator
from nlp_transfer.models.piece_models import piece_model
from nlp_transfer.models.translation import Architecture, LoadedTranslator, load_translator, new_translator
from nlp_transfer.models.widening import NEW_SCRIPT_PIECES, lacking_pieces, widen
from nlp_transfer.training.adapt_translation import TranslationProcedure, train_translator

TinyTranslator = Callable[..., Path]
# M2M100's language tokens are numbered behind its vocabulary.
WIDENED = tuple(family for family in FAMILIES if family != "m2m_100")
# Unknown to the tiny vocabularies: a letter with a base that they hold, and one without.
MARKED = ["skål på båt", "båt på skål", "ødø"]
TO_CYRILLIC = str.maketrans("abcdefghijklmnoprstuvwxyz", "абцдефгхијклмнопрстувжьуз")
CYRILLIC = [translated(text).translate(TO_CYRILLIC) for text in english(80)]
SIMPLE = {"learning_rate": 1e-2, "bf16": False, "max_steps": 3, "per_device_train_batch_size": 8}


def table(loaded: LoadedTranslator) -> torch.Tensor:
    return loaded.model.get_input_embeddings().weight.detach()


def targets(loaded: LoadedTranslator, family: str, texts: list[str]) -> list[list[int]]:
    encoded = loaded.family.encode_targets(texts, tgt_lang=CODES[family][1])
    return [encoded[row].tolist() for row in range(len(texts))]


@pytest.fixture(params=WIDENED)
def family(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def loaded(family: str, tiny_translator: TinyTranslator) -> LoadedTranslator:
    return load_translator(str(tiny_translator(family)))


def test_characters_are_added_and_spell_text_without_unknowns(
    family: str, loaded: LoadedTranslator, tmp_path: Path
) -> None:
    known = [*english(5), translated(english(5)[0])]
    before = targets(loaded, family, known)
    unknown = loaded.tokenizer.unk_token_id
    assert any(unknown in ids for ids in targets(loaded, family, MARKED))
    ids = widen(loaded, MARKED, new_pieces=None)
    assert {"å", "ø"} <= set(loaded.tokenizer.convert_ids_to_tokens(ids))
    # Known text is cut as before, and new text has no unknown token left.
    assert targets(loaded, family, known) == before
    spelt = targets(loaded, family, MARKED)
    assert not any(unknown in row for row in spelt)
    assert [loaded.tokenizer.decode(row, skip_special_tokens=True).strip() for row in spelt] == MARKED
    # What is saved comes back, language tokens and all.
    loaded.model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    again = load_translator(str(tmp_path))
    assert targets(again, family, [*MARKED, *known]) == [*spelt, *before]
    assert again.family.languages() == loaded.family.languages()
    assert torch.equal(table(again), table(loaded))


def test_a_letter_starts_from_its_base_and_leaves_the_others(family: str, loaded: LoadedTranslator) -> None:
    before = table(loaded).clone()
    widen(loaded, MARKED, new_pieces=None)
    number = loaded.tokenizer.convert_tokens_to_ids
    after = table(loaded)
    assert torch.equal(after[: len(before)], before)
    assert torch.allclose(after[number("å")], before[number("a")])
    # `ø` does not decompose: it starts as a letter like any other.
    letters = [i for piece, i in loaded.tokenizer.get_vocab().items() if len(piece) == 1 and piece.isalpha()]
    held = [i for i in letters if i < len(before)]
    assert torch.allclose(after[number("ø")], before[held].mean(dim=0), atol=1e-6)
    model = loaded.model
    assert model.get_output_embeddings().weight.data_ptr() == after.data_ptr()


def test_pieces_of_a_new_script_make_its_texts_shorter(family: str, loaded: LoadedTranslator) -> None:
    ids = widen(loaded, CYRILLIC, new_pieces=None)
    pieces = loaded.tokenizer.convert_ids_to_tokens(ids)
    assert set("".join(CYRILLIC)) - {" "} <= set(pieces)
    [row] = targets(loaded, family, CYRILLIC[:1])
    assert loaded.tokenizer.unk_token_id not in row
    assert loaded.tokenizer.decode(row, skip_special_tokens=True).strip() == CYRILLIC[0]
    # Byte-pair encodings take letters alone.
    assert (len(row) < len(CYRILLIC[0])) == (family != "nllb")
    assert any(len(piece) > 2 for piece in pieces) == (family != "nllb")


def test_none_are_added_when_none_are_asked_for_or_lack(family: str, loaded: LoadedTranslator) -> None:
    before = len(table(loaded))
    assert widen(loaded, MARKED, new_pieces=0) == []
    assert widen(loaded, english(5), new_pieces=None) == []
    assert len(table(loaded)) == before


def test_the_number_of_pieces_is_a_limit(family: str, loaded: LoadedTranslator) -> None:
    assert len(widen(loaded, CYRILLIC, new_pieces=4)) == 4


def test_a_character_that_is_seen_once_is_not_added(loaded: LoadedTranslator) -> None:
    assert widen(loaded, ["skål", "the red file"], new_pieces=None) == []


def test_m2m100_is_left_as_it_is(tiny_translator: TinyTranslator) -> None:
    loaded = load_translator(str(tiny_translator("m2m_100")))
    assert piece_model(loaded.tokenizer) is None
    assert widen(loaded, MARKED, new_pieces=None) == []


def test_what_was_spelt_in_bytes_starts_as_their_mean() -> None:
    shape = Architecture(
        vocabulary_size=300, hidden_size=32, feed_forward_size=32, encoder_layers=1, decoder_layers=1,
        attention_heads=2, dropout=0.0, init_std=0.1,
    )  # fmt: skip
    loaded = new_translator(shape, english(80), languages=["es"], max_length_tokens=64)
    number = loaded.tokenizer.convert_tokens_to_ids
    before = table(loaded).clone()
    widen(loaded, MARKED, new_pieces=None)
    assert torch.allclose(
        table(loaded)[number("å")], before[[number("<0xC3>"), number("<0xA5>")]].mean(dim=0)
    )


def test_the_likeliest_pieces_come_first(tiny_translator: TinyTranslator) -> None:
    model = piece_model(load_translator(str(tiny_translator("marian"))).tokenizer)
    assert model is not None
    pieces = lacking_pieces(CYRILLIC, model, new_pieces=None)
    scores = [score for _, score in pieces]
    assert scores == sorted(scores, reverse=True) and len(pieces) <= NEW_SCRIPT_PIECES
    assert not {piece for piece, _ in pieces} & set(model.pieces())


@pytest.mark.parametrize("method", ["full", "lora"])
def test_training_teaches_the_new_rows_and_the_model_writes_them(
    method: str, tiny_translator: TinyTranslator, tmp_path: Path
) -> None:
    easy = easy_pairs(40)
    marked = Pairs(
        ids=easy.ids, sources=easy.sources, targets=[text.replace("u", "å") for text in easy.targets],
        directions=easy.directions,
    )  # fmt: skip
    start = str(tiny_translator("marian"))
    trained = train_translator(
        start, TranslationProcedure(method, 40, 0, SIMPLE), marked, label="adapted", folder=tmp_path
    )
    loaded, before = trained.loaded, load_translator(start)
    number = loaded.tokenizer.convert_tokens_to_ids
    assert number("å") >= len(table(before))
    assert not torch.allclose(table(loaded)[number("å")], table(before)[number("a")])
    if method == "lora":
        rows = len(table(before))
        assert torch.equal(table(loaded)[:rows], table(before))
    translator = Translator(loaded, directions=[("en", "es")], max_length_tokens=40, num_beams=1)
    assert len(translator.translate(["the red file"])) == 1
