"""Translation models converted for CTranslate2: every family writes what it wrote before."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_translation import CODES, FAMILIES, english

from nlp_transfer import load_adapted
from nlp_transfer.data.pairs import NO_PAIRS
from nlp_transfer.errors import ConfigError, DataError, ModelError, RunError
from nlp_transfer.exporting.export import export_model
from nlp_transfer.inference.devices import usable_cpus
from nlp_transfer.inference.long_texts import cut_texts, translate_cut_texts
from nlp_transfer.inference.translator import Translator
from nlp_transfer.models.translation import Use, add_language, describe, load_translator
from nlp_transfer.publishing.save_translation import save_translator

TinyTranslator = Callable[..., Path]
TEXTS = [*english(30, seed=3), "a", "the red file", ""]


@pytest.fixture(scope="module")
def exported(tiny_translator: TinyTranslator, tmp_path_factory: Any) -> Callable[[str], tuple[Path, Path]]:
    """Return a function that exports a tiny model of a family once: (the model, the exported folder)."""
    made: dict[str, tuple[Path, Path]] = {}

    def export(family: str) -> tuple[Path, Path]:
        if family not in made:
            # A copy: other tests' models have no description.
            model = tmp_path_factory.mktemp("described") / family
            shutil.copytree(tiny_translator(family), model)
            source, *targets = CODES[family]
            directions = [(source, target) for target in dict.fromkeys(targets)]
            describe(model, Use(directions, max_length_tokens=60, target_ratio=1.0))
            folder = tmp_path_factory.mktemp("exported") / family
            # Beams of a random model lie close together: of T5's, on processors with AVX-512, a rounding
            # tips one text's choice, and the gate closes. What it writes is compared below as strictly.
            override = "a random model" if family == "t5" else None
            export_model(str(model), runtime="ctranslate2", output=folder, override=override)
            made[family] = (model, folder)
        return made[family]

    return export


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_translates_as_before_in_each_of_its_languages(
    family: str, beams: int, exported: Any
) -> None:
    before, after = (load_adapted(folder) for folder in exported(family))
    assert isinstance(after, Translator)
    assert after.directions == before.directions
    assert (after.max_length_tokens, after.num_beams, after.target_ratio) == (60, 4, 1.0)
    assert after.count_tokens(TEXTS) == before.count_tokens(TEXTS)
    for _, tgt_lang in before.directions:
        written = after.translate(TEXTS, tgt_lang=tgt_lang, num_beams=beams)
        expected = before.translate(TEXTS, tgt_lang=tgt_lang, num_beams=beams)
        differing = sum(one != other for one, other in zip(written, expected, strict=True))
        # Beams of a random model are close enough to one another for a rounding to tip the choice.
        assert differing <= (0 if beams == 1 else 2)
        assert written[-1] == ""


def test_what_a_batch_holds_beside_a_text_does_not_change_its_translation(exported: Any) -> None:
    translator = load_adapted(exported("marian")[1])
    alone = [translator.translate([text], num_beams=1)[0] for text in TEXTS]
    assert translator.translate(TEXTS, num_beams=1) == alone


def test_long_texts_are_cut_and_too_long_ones_refused_as_before(exported: Any) -> None:
    before, after = (load_adapted(folder) for folder in exported("marian"))
    long = ". ".join(english(30, seed=5)) + ".\n\nthe red file"
    with pytest.raises(DataError, match="the model reads 60 at most"):
        after.translate([long])
    joined = [translate_cut_texts(each, cut_texts(each, [long])) for each in (before, after)]
    assert joined[0] == joined[1]
    assert joined[1][0].count("\n\n") == 1


def test_a_language_that_was_added_behind_the_padding_is_converted_too(
    tiny_translator: TinyTranslator, tmp_path: Path
) -> None:
    loaded = load_translator(str(tiny_translator("marian")))
    # Four more languages fill the table up to its last row.
    for language in ("mwl", "ast", "gl", "an"):
        add_language(loaded, language, like="pt")
    with torch.no_grad():
        # A tied output trains the padding's row, too, which converters take for zero.
        weight = loaded.model.get_input_embeddings().weight
        weight[loaded.model.config.pad_token_id] = weight[5]
        weight[-4:] += 0.5 * torch.randn(4, weight.shape[1], generator=torch.manual_seed(1))
    use = Use(
        [("en", "mwl"), ("en", "an"), ("en", "pt")], max_length_tokens=60, num_beams=1, target_ratio=1.0
    )
    save_translator(loaded, tmp_path / "model", use=use, pairs=NO_PAIRS)
    export_model(str(tmp_path / "model"), runtime="ctranslate2", output=tmp_path / "fast")
    before, after = load_adapted(tmp_path / "model"), load_adapted(tmp_path / "fast")
    for _, language in use.directions:
        assert after.translate(TEXTS, tgt_lang=language) == before.translate(TEXTS, tgt_lang=language)


def test_eight_bits_without_references_are_refused_unless_a_reason_is_given(
    exported: Any, tmp_path: Path
) -> None:
    model, _ = exported("marian")
    settings: dict[str, Any] = {"runtime": "ctranslate2", "int8": True, "output": tmp_path / "int8"}
    with pytest.raises(
        RunError, match=r"(?s)not exported.*without references.*--rows.*--override"
    ) as refused:
        export_model(str(model), **settings)
    assert refused.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []
    made = export_model(str(model), **settings, override="a demonstration")
    assert made.description["override"] == "a demonstration"
    assert made.description["parity"]["chrf++"]["loss"] > 0.3
    card = (tmp_path / "int8" / "README.md").read_text()
    assert "Out of bounds: chrF++" in card
    assert "Exported all the same: a demonstration" in card
    sizes = [
        (folder / "ctranslate2" / "model.bin").stat().st_size
        for folder in (exported("marian")[1], tmp_path / "int8")
    ]
    assert sizes[1] < 0.5 * sizes[0]
    assert len(load_adapted(tmp_path / "int8").translate(TEXTS)) == len(TEXTS)


def test_the_folder_says_what_it_is_and_holds_no_weights_of_transformers(exported: Any) -> None:
    _, folder = exported("marian")
    said = json.loads((folder / "export.json").read_text())
    assert [said[key] for key in ("schema", "runtime", "int8", "task")] == [
        1, "ctranslate2", False, "translation",
    ]  # fmt: skip
    assert said["parity"]["rows_are"] == "32 texts made of the model's own words, without references"
    assert said["parity"]["equal_greedy_translations"] == 1.0
    assert said["versions"]["ctranslate2"]
    assert "/" not in said["source"]["name"]
    assert not list(folder.glob("*.safetensors"))
    card = (folder / "README.md").read_text()
    assert "## Exported for a faster runtime" in card
    assert "100.0% of the greedy ones" in card


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_another_runtime_than_the_folder_s_is_refused(runtime: str, exported: Any) -> None:
    with pytest.raises(ModelError, match=f"exported for ctranslate2 and holds no weights for {runtime}"):
        load_adapted(exported("marian")[1], runtime=runtime)


def test_a_model_that_is_not_exported_is_answered_with_the_command(exported: Any) -> None:
    model, folder = exported("marian")
    with pytest.raises(ModelError, match=f"nlp-transfer export {model} --runtime ctranslate2"):
        load_adapted(model, runtime="ctranslate2")
    with pytest.raises(ConfigError, match="no runtime 'ctranslate'; did you mean ctranslate2"):
        load_adapted(model, runtime="ctranslate")
    with pytest.raises(ModelError, match="with --runtime ctranslate2, not onnx"):
        export_model(str(model), runtime="onnx", output=folder.parent / "none")
    with pytest.raises(ModelError, match="is an exported model itself"):
        export_model(str(folder), runtime="ctranslate2", output=folder.parent / "none")
    assert load_adapted(folder, runtime="ctranslate2").translate(["a"]) == load_adapted(model).translate(
        ["a"]
    )


def test_a_damaged_folder_is_refused(exported: Any, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(exported("marian")[1], folder)
    (folder / "ctranslate2" / "model.bin").write_bytes(b"none")
    with pytest.raises(ModelError, match=r"no whole CTranslate2 model.*export it again"):
        load_adapted(folder)
    (folder / "export.json").write_text('{"runtime": "tflite"}')
    with pytest.raises(ModelError, match="runtime 'tflite', which is not known"):
        load_adapted(folder)
    (folder / "export.json").write_text("{")
    with pytest.raises(ModelError, match="export the model again"):
        load_adapted(folder)


def test_a_second_model_gets_as_many_workers_and_torch_keeps_its_threads(
    exported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = exported("marian")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        workers = [load_adapted(folder).loaded.model.translator.num_translators for _ in range(2)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert workers == [3, 3]


@pytest.mark.parametrize(("stated", "cores"), [("3", 3), ("2,4", 2), ("", 5), ("many", 5), ("0", 5)])
def test_the_cores_are_what_openmp_is_told_or_what_the_process_is_given(
    stated: str, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)))
    assert usable_cpus() == cores
