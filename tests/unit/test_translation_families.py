"""Each family of translation models: its ids are the library's, and what is trained comes back and is
translated alike by this package and by plain transformers."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_translation import CODES, FAMILIES, easy_pairs, english, translated
from transformers import GenerationConfig

from nlp_transfer import load_adapted
from nlp_transfer.data.pairs import Pairs
from nlp_transfer.errors import DataError, ModelError
from nlp_transfer.inference.translator import Translator, load_translation_model
from nlp_transfer.models.generation import generate
from nlp_transfer.models.translation import LoadedTranslator, Use, describe, load_tokens, load_translator
from nlp_transfer.publishing.plain_code import plain_translation
from nlp_transfer.publishing.save_translation import save_translator
from nlp_transfer.training.adapt_translation import TranslationProcedure, train_translator

TinyTranslator = Callable[..., Path]
TEXTS = ["the red file opens", "a small house", "The  river, 12 horses: ¿qué?", "windowfinds", "x"]
# Texts that hold what stands for something else in one family or another.
TRICKY = ["</s>", "save </s> it", ">>pt<< the file", "the >>pt<< file", "__pt__ a", "por_Latn pt_XX", "<pad>"]
TRICKY += ["<s> <mask> <unk> <extra_id_0>"]
SIMPLE = {"learning_rate": 1e-3, "bf16": False, "max_steps": 2, "per_device_train_batch_size": 8}


def ids_by_the_library(
    tokenizer: Any, text: str, family: str, src: str, tgt: str
) -> tuple[list[int], list[int]]:
    """Encode a pair's two sides (here one text) as the library's documentation says for each family."""
    if family == "marian":
        return tokenizer(f">>{tgt}<<{text}").input_ids, tokenizer(text_target=text).input_ids
    if family == "marian_single":
        return tokenizer(text).input_ids, tokenizer(text_target=text).input_ids
    if family == "t5":
        return tokenizer(f"translate English to Spanish: {text}").input_ids, tokenizer(text).input_ids
    tokenizer.src_lang, tokenizer.tgt_lang = src, tgt
    both = tokenizer(text, text_target=text)
    return both.input_ids, both.labels


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_are_those_of_the_library(family: str, tiny_translator: TinyTranslator) -> None:
    loaded = load_tokens(str(tiny_translator(family)))
    src, tgt, _ = CODES[family]
    sources = loaded.family.encode_sources(TEXTS, src_lang=src, tgt_lang=tgt)
    targets = loaded.family.encode_targets(TEXTS, tgt_lang=tgt)
    for row, text in enumerate(TEXTS):
        expected = ids_by_the_library(loaded.tokenizer, text, family, src, tgt)
        assert (sources[row].tolist(), targets[row].tolist()) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_text_never_becomes_a_special_token(family: str, tiny_translator: TinyTranslator) -> None:
    loaded = load_tokens(str(tiny_translator(family)))
    src, tgt, _ = CODES[family]
    tokenizer = loaded.tokenizer
    special = {
        *tokenizer.all_special_ids,
        *(tokenizer.convert_tokens_to_ids(f">>{x}<<") for x in ("es", "pt")),
    }
    special -= {tokenizer.unk_token_id}
    plain = loaded.family.encode_sources(["a"], src_lang=src, tgt_lang=tgt)[0].tolist()
    target = loaded.family.encode_targets(["a"], tgt_lang=tgt)[0].tolist()
    expected = [[number for number in ids if number in special] for ids in (plain, target)]
    sources = loaded.family.encode_sources(TRICKY, src_lang=src, tgt_lang=tgt)
    targets = loaded.family.encode_targets(TRICKY, tgt_lang=tgt)
    for row in range(len(TRICKY)):
        found = [[n for n in ids[row].tolist() if n in special] for ids in (sources, targets)]
        assert found == expected, TRICKY[row]


@pytest.mark.parametrize(
    ("family", "wanted", "code", "prefix"),
    [
        ("marian", "es", "es", None),
        ("marian", "es_ES", "es", None),
        ("marian_single", "anything", "anything", None),
        ("m2m_100", "gl", "gl", "__gl__"),
        ("m2m_100", "glg", "gl", "__gl__"),
        ("nllb", "gl", "glg_Latn", "glg_Latn"),
        ("nllb", "ast", "ast_Latn", "ast_Latn"),
        ("nllb", "sr", "srp_Cyrl", "srp_Cyrl"),
        ("mbart", "gl", "gl_ES", "gl_ES"),
        ("mbart", "pt", "pt_XX", "pt_XX"),
        ("t5", "gl", "gl", None),
    ],
)
def test_a_users_code_finds_the_models_own(
    family: str, wanted: str, code: str, prefix: str | None, tiny_translator: TinyTranslator
) -> None:
    loaded = load_tokens(str(tiny_translator(family)))
    assert loaded.tgt_lang(wanted) == code
    tokens = loaded.tokenizer.convert_ids_to_tokens(loaded.family.decoder_prefix(code))
    assert tokens == ([] if prefix is None else [prefix])


@pytest.mark.parametrize("family", ["marian", "m2m_100", "nllb", "mbart"])
def test_a_language_that_a_model_lacks_is_refused_with_the_near_ones(
    family: str, tiny_translator: TinyTranslator
) -> None:
    loaded = load_tokens(str(tiny_translator(family)))
    # Mirandese, which is nearest to Portuguese or Asturian; `<unk>` would be the silent answer.
    with pytest.raises(ModelError, match=r"does not know the language 'mwl'; (near|did you mean|known)"):
        loaded.tgt_lang("mwl")
    if family != "marian":
        with pytest.raises(ModelError, match="does not know the language 'mwl'"):
            loaded.src_lang("mwl")


def test_every_language_of_a_family_is_there(tiny_translator: TinyTranslator) -> None:
    counts = {
        family: len(load_tokens(str(tiny_translator(family))).family.languages()) for family in FAMILIES
    }
    assert counts == {
        "marian": 2, "marian_single": 0, "m2m_100": 100, "nllb": 202, "mbart": 52, "t5": 0,
    }  # fmt: skip


# Trained, saved, reloaded, translated -------------------------------------------------------------


@dataclasses.dataclass
class Trained:
    """A model of a family after two steps, in memory and saved."""

    family: str
    loaded: LoadedTranslator
    folder: Path

    def translator(self) -> Translator:
        return Translator(
            self.loaded, directions=[("en", "es")], max_length_tokens=48, num_beams=1, target_ratio=9.0
        )


@pytest.fixture(scope="module", params=FAMILIES)
def trained(request: Any, tiny_translator: TinyTranslator, tmp_path_factory: Any) -> Trained:
    """A model of each family, trained for two steps on two directions at once, and saved."""
    family = request.param
    folder = tmp_path_factory.mktemp("trained")
    second = "es" if family == "marian_single" else "pt"
    pairs = easy_pairs(16).joined(easy_pairs(16, lang=second, seed=1))
    procedure = TranslationProcedure(method="full", max_length_tokens=48, seed=0, arguments=SIMPLE)
    made = train_translator(
        str(tiny_translator(family)), procedure, pairs, label="tiny", folder=folder / "checkpoints"
    )
    use = Use(directions=[("en", "es")], max_length_tokens=48, num_beams=1, target_ratio=9.0)
    save_translator(made.loaded, folder / "model", use=use, pairs=easy_pairs(3))
    return Trained(family, made.loaded, folder / "model")


def test_what_was_trained_comes_back(trained: Trained) -> None:
    texts = english(8, seed=3)
    reloaded = load_translation_model(str(trained.folder))
    assert reloaded.directions == [("en", "es")]
    assert (reloaded.max_length_tokens, reloaded.num_beams) == (48, 1)
    assert reloaded.translate(texts) == trained.translator().translate(texts)
    for name, weight in trained.loaded.model.state_dict().items():
        assert torch.equal(reloaded.loaded.model.state_dict()[name], weight), name


def test_two_steps_moved_the_weights(trained: Trained, tiny_translator: TinyTranslator) -> None:
    before = load_translator(str(tiny_translator(trained.family))).model.state_dict()
    after = trained.loaded.model.state_dict()
    assert sum(not torch.equal(before[name], after[name]) for name in before) > 0.8 * len(before) - 2


def plain_translations(
    trained: Trained, texts: list[str], *, beams: int, code: str | None = None
) -> list[str]:
    """Translate with transformers alone, row by row, as a model card tells a stranger to."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(trained.folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(trained.folder)
    before = {"marian": f">>{code or 'es'}<< ", "t5": "translate English to Spanish: "}.get(
        trained.family, ""
    )
    coded = trained.family in ("m2m_100", "nllb", "mbart")
    # The language token that is forced is one of the new tokens.
    settings: dict[str, Any] = {"max_new_tokens": 48 + coded, "num_beams": beams, "max_length": None}
    if coded and code is not None:
        settings["forced_bos_token_id"] = tokenizer.convert_tokens_to_ids(
            f"__{code}__" if trained.family == "m2m_100" else code
        )
    found = []
    for text in texts:
        inputs = tokenizer(before + text, return_tensors="pt")
        output = model.generate(**inputs, **settings, early_stopping=beams > 1)
        found.append(tokenizer.decode(output[0], skip_special_tokens=True))
    return found


@pytest.mark.parametrize("beams", [1, 3])
def test_the_code_in_a_card_translates_alike(trained: Trained, beams: int, tmp_path: Path) -> None:
    """As a stranger runs it: what it prints is what `load_adapted(...).translate` returns."""
    folder = tmp_path / "model"
    shutil.copytree(trained.folder, folder)
    if beams > 1:
        # A model of two steps may write padding, which only this package takes for an end.
        settings = GenerationConfig.from_pretrained(folder)
        settings.suppress_tokens = [trained.loaded.tokenizer.pad_token_id]
        settings.save_pretrained(folder)
    # The second direction is not what the files alone make `generate` write.
    second = CODES[trained.family][2]
    for target in dict.fromkeys(["es", second]):
        describe(folder, Use([("en", target)], max_length_tokens=48, num_beams=beams, target_ratio=1.25))
        for text in ["the red file", "an old house"]:
            code = plain_translation(folder).code(f'"{folder}"', text)
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code, {})
            assert ast.literal_eval(printed.getvalue()) == load_adapted(folder).translate([text])


@pytest.mark.parametrize("beams", [1, 3])
def test_plain_transformers_translates_alike(trained: Trained, beams: int) -> None:
    texts = english(3, seed=5)
    ours = load_translation_model(str(trained.folder)).translate(texts, num_beams=beams)
    assert ours == plain_translations(trained, texts, beams=beams)
    assert len(set(ours)) > 1


def test_the_other_language_is_asked_for_by_its_token(trained: Trained) -> None:
    if not trained.loaded.family.languages():
        return
    texts = english(4, seed=6)
    translator = load_translation_model(str(trained.folder))
    spanish, portuguese = translator.translate(texts), translator.translate(texts, tgt_lang="pt")
    assert spanish != portuguese
    assert portuguese == plain_translations(trained, texts, beams=1, code=CODES[trained.family][2])
    with pytest.raises(ModelError, match="does not know the language 'mwl'"):
        translator.translate(texts, tgt_lang="mwl")


def test_languages_of_one_batch_are_translated_as_one_by_one(trained: Trained) -> None:
    loaded, texts = trained.loaded, english(10, seed=8)
    src, *targets = CODES[trained.family]
    codes = [targets[row % 2] for row in range(len(texts))]
    sources = [
        loaded.family.encode_sources([text], src_lang=src, tgt_lang=code)[0]
        for text, code in zip(texts, codes, strict=True)
    ]
    prefixes = [loaded.family.decoder_prefix(code) for code in codes]
    together = generate(loaded.model, sources, prefixes, num_beams=1, most_tokens=20)
    alone = [
        generate(loaded.model, [source], [prefix], num_beams=1, most_tokens=20)[0]
        for source, prefix in zip(sources, prefixes, strict=True)
    ]
    assert together == alone


def test_a_batch_changes_no_translation(trained: Trained) -> None:
    """Texts of very different lengths in one batch, each with a limit of its own."""
    texts = ["the", "a red file opens a house", " ".join(["the"] * 6), "", "a old river", "  "]
    translator = trained.translator()
    together = translator.translate(texts)
    assert together == [translator.translate([text])[0] for text in texts]
    assert together[3] == "" and together[5] == "  "


# The translator ----------------------------------------------------------------------------------


@pytest.fixture
def translator(tiny_translator: TinyTranslator) -> Translator:
    return Translator(
        load_translator(str(tiny_translator("marian"))), directions=[("en", "es")], max_length_tokens=12
    )


def test_a_text_that_is_too_long_is_refused_and_not_cut(translator: Translator) -> None:
    with pytest.raises(DataError, match=r"text 3 has \d+ tokens and the model reads 12 at most; divide it"):
        translator.translate(["the", "", "the red file " * 9])


@pytest.mark.parametrize("texts", ["the red file", ["the", None], [1]])
def test_what_is_no_list_of_texts_is_refused(translator: Translator, texts: Any) -> None:
    with pytest.raises(TypeError, match="translate takes a list of texts"):
        translator.translate(texts)


def test_no_text_and_odd_texts(translator: Translator) -> None:
    assert translator.translate([]) == []
    assert len(translator.translate(["\ud800", "文", "\x00"])) == 3


def test_a_single_model_is_not_asked_for_another_language(tiny_translator: TinyTranslator) -> None:
    single = Translator(
        load_translator(str(tiny_translator("marian_single"))),
        directions=[("en", "es")],
        max_length_tokens=20,
    )
    assert single.translate(["the"], tgt_lang="es") == single.translate(["the"])
    with pytest.raises(ModelError, match="translates into es alone, not into 'de'"):
        single.translate(["the"], tgt_lang="de")


def test_a_model_of_anothers_says_its_languages_or_is_told(tiny_translator: TinyTranslator) -> None:
    told = load_translation_model(str(tiny_translator("m2m_100")), src_lang="en", tgt_lang="gl")
    assert told.directions == [("en", "gl")]
    stated = load_translation_model(str(tiny_translator("marian_single")))
    assert stated.directions == [("en", "es")]
    with pytest.raises(ModelError, match="does not say which languages it translates between; name them"):
        load_translation_model(str(tiny_translator("t5")))


def test_a_model_with_weights_missing_or_of_another_kind_is_refused(
    tiny_translator: TinyTranslator, tiny_model: Any, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    with pytest.raises(ModelError, match="is no translation model but a BertModel"):
        load_translator(str(tiny_model("bert")))
    shutil.copytree(tiny_translator("marian"), tmp_path / "part")
    weights = load_file(tmp_path / "part" / "model.safetensors")
    lost = next(name for name in weights if "fc1.weight" in name)
    del weights[lost]
    save_file(weights, tmp_path / "part" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"is not whole: it has no weights for .*fc1"):
        load_translator(str(tmp_path / "part"))


def test_a_bfloat16_checkpoint_is_computed_in_float32(
    tiny_translator: TinyTranslator, tmp_path: Path
) -> None:
    loaded = load_translator(str(tiny_translator("marian")))
    loaded.model.to(torch.bfloat16).save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    assert {weight.dtype for weight in load_translator(str(tmp_path)).model.parameters()} == {torch.float32}


def test_easy_languages_are_word_for_word() -> None:
    assert translated("the red file") == "lu mivo zibo"
    assert isinstance(easy_pairs(3), Pairs)
