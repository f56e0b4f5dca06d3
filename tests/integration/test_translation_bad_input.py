"""What a user of translation can get wrong: exit status 2, one message, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from looking import Call
from tiny import write_csv
from tiny_translation import english, translated, write_pairs

from nlp_transfer.config import write_yaml

Spoil = Callable[[Path], dict[str, Any]]


@pytest.fixture
def recipe(tmp_path: Path, tiny_translator: Any) -> Callable[..., Path]:
    """Write a small recipe's YAML on a tiny multilingual Marian (es, pt) whose run folder is `run`."""

    def write(**changes: Any) -> Path:
        pairs = write_pairs(tmp_path / "pairs.csv", 120, lang="gl")
        content: dict[str, Any] = {
            "task": "translation",
            "output_dir": str(tmp_path / "run"),
            "model": {"path": str(tiny_translator("marian")), "max_length_tokens": 48},
            "data": {"target": {"path": str(pairs), "src_lang": "en", "tgt_lang": "gl", "train_size": 24}},
            "adaptation": {"training": {"max_steps": 1}},
            "training": {"bf16": False},
            "evaluation": {"bootstrap": 100, "baselines": ["copy"], "num_beams": 1},
        }
        for path, value in changes.items():
            *parents, last = path.split("__")
            node = content
            for name in parents:
                node = node.setdefault(name, {})
            node[last] = value
        (tmp_path / "recipe.yaml").write_text(write_yaml(content))
        return tmp_path / "recipe.yaml"

    return write


def own_file(content: bytes, name: str = "mine.csv", **keys: Any) -> Spoil:
    def write(folder: Path) -> dict[str, Any]:
        (folder / name).write_bytes(content)
        return {"data__target": {"path": str(folder / name), "src_lang": "en", "tgt_lang": "gl", **keys}}

    return write


def of_two_lengths(folder: Path) -> dict[str, Any]:
    (folder / "a.en").write_text("".join(f"{text}\n" for text in english(30)))
    (folder / "a.gl").write_text("".join(f"{translated(text, 'gl')}\n" for text in english(29)))
    files = {"src_path": str(folder / "a.en"), "tgt_path": str(folder / "a.gl")}
    return {"data__target": {**files, "src_lang": "en", "tgt_lang": "gl"}}


def unspellable(folder: Path) -> dict[str, Any]:
    letters = {letter: chr(0x430 + number) for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    rows = [(text, "".join(letters.get(one, one) for one in text)) for text in english(120)]
    path = write_csv(folder / "uk.csv", ("en", "uk"), rows)
    return {"data__target": {"path": str(path), "src_lang": "en", "tgt_lang": "uk", "train_size": 24}}


def external(lines: int) -> Spoil:
    def write(folder: Path) -> dict[str, Any]:
        (folder / "other.txt").write_text("x\n" * lines)
        return {"evaluation__external": {"apertium": str(folder / "other.txt")}}

    return write


def parent(tgt_lang: str, **changes: Any) -> Spoil:
    def write(folder: Path) -> dict[str, Any]:
        path = write_csv(
            folder / "p.csv", ("en", tgt_lang), [(text, translated(text)) for text in english(120, seed=4)]
        )
        return {"data__source": {"path": str(path), "src_lang": "en", "tgt_lang": tgt_lang}, **changes}

    return write


BAD: dict[str, tuple[Spoil, str]] = {
    "a language of the parent that the model lacks": (
        parent("mwl", source_stage=None),
        "does not know the language 'mwl'; near: ",
    ),
    "the same before a source stage": (parent("mwl"), "does not know the language 'mwl'; near: "),
    "a related language that the model lacks": (
        lambda _: {"adaptation__related_lang": "fr"},
        "adaptation.related_lang: the model does not know the language 'fr'; near: es, pt",
    ),
    "sides of different length": (of_two_lengths, "a.gl"),
    "several languages on both sides": (
        lambda _: {"data__target__src_lang": ["en", "fr"], "data__target__tgt_lang": ["gl", "pt"]},
        "only one of them may name several languages",
    ),
    "a language by its name": (
        lambda _: {"data__target__tgt_lang": "galician"},
        "data.target.tgt_lang: 'galician' is no language code; did you mean gl?",
    ),
    "the same language on both sides": (
        lambda _: {"data__target__tgt_lang": "eng_Latn"},
        "data.target: src_lang en and tgt_lang eng_Latn are the same language",
    ),
    "two languages of the same columns": (
        lambda _: {
            "data__target__tgt_lang": ["gl", "pt"],
            "data__target__src_column": "en",
            "data__target__tgt_column": "gl",
        },
        "data.target: en-gl and en-pt read the same pairs",
    ),
    "no languages": (
        lambda folder: {"data__target": {"path": str(folder / "pairs.csv")}},
        "data.target: give src_lang and tgt_lang",
    ),
    "a length beyond the model's": (
        lambda _: {"model__max_length_tokens": 65},
        "model.max_length_tokens is 65 and ",
    ),
    "a method for classifiers": (
        lambda _: {"adaptation__method": "probe"},
        "adaptation.method is probe, which is for classifiers; translation models are trained by full or",
    ),
    "a source stage for classifiers": (
        parent("es", source_stage={"method": "lp_ft"}),
        "source_stage.method is lp_ft, which is for classifiers",
    ),
    "a baseline of the other task": (
        lambda _: {"evaluation__baselines": ["majority"]},
        "evaluation.baselines: majority is no baseline of a translation recipe; known: copy, ",
    ),
    "a key of the other task": (
        lambda _: {"data__target__label_column": "stars"},
        "data.target.label_column: is not a key of translation recipes",
    ),
    "a script that the vocabulary cannot spell": (unspellable, "its vocabulary cannot spell this script"),
    "an empty file": (own_file(b""), "is empty"),
    "a missing column": (own_file(b"en,es\nthe,lu\n"), "gl"),
    "a file that is not there": (
        lambda folder: {"data__target__path": str(folder / "absent.po")},
        "absent.po",
    ),
    "another encoding": (
        own_file("en,gl\nthe red file,o ficheiro é\n".encode("latin-1")),
        "is not utf-8 text (byte 0xe9)",
    ),
    "a broken catalogue": (own_file(b'msgid "a\nmsgstr', "gl.po"), "gl.po"),
    "a memory without the language": (
        own_file(
            b'<tmx version="1.4"><header/><body><tu><tuv xml:lang="en"><seg>the</seg></tuv>'
            b'<tuv xml:lang="es"><seg>lu</seg></tuv></tu></body></tmx>',
            "mine.tmx",
        ),
        "gl",
    ),
    "nothing but copies": (
        own_file(b"en,gl\n" + b"".join(b"%s,%s\n" % (t.encode(), t.encode()) for t in english(20))),
        "no pair of en-gl is left (dropped: ",
    ),
    "more pairs than there are": (
        lambda _: {"data__target__train_size": 500},
        "data.target.train_size is 500 and only ",
    ),
    "an output of another system with other lines": (
        external(3),
        "evaluation.external.apertium: ",
    ),
    "an output of another system that is not there": (
        lambda folder: {"evaluation__external": {"apertium": str(folder / "absent.txt")}},
        "evaluation.external.apertium: {folder}/absent.txt cannot be read",
    ),
    "more frozen layers than there are": (
        lambda _: {"adaptation__freeze_layers": 9},
        "adaptation.freeze_layers is 9 and marian has 1 separate layer(s); lower it",
    ),
    "more frozen layers than are to be made": (
        lambda _: {"model": {"architecture": {"encoder_layers": 3}}, "adaptation__freeze_layers": 4},
        "adaptation.freeze_layers is 4 and marian has 3 separate layer(s); lower it",
    ),
    "adapters on modules that the model lacks": (
        lambda _: {"adaptation__method": "lora", "adaptation__target_modules": ["q_prj"]},
        "adaptation.target_modules: the model has no module 'q_prj'; did you mean q_proj",
    ),
    "a classifier as the model": (lambda _: {"model__path": "{classifier}"}, "is no translation model but a"),
    "no model at all": (lambda _: {"model": {}}, "model: give path, or architecture"),
    "heads that do not divide the width": (
        lambda _: {"model": {"architecture": {"hidden_size": 30, "attention_heads": 4}}},
        "model.architecture.hidden_size: must be a multiple of attention_heads",
    ),
}


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=list(BAD))
def test_a_bad_recipe_ends_with_status_2_and_one_message(
    spoil: Spoil, message: str, command: str, recipe: Any, call: Call, tiny_model: Any, tmp_path: Path
) -> None:
    changes = spoil(tmp_path)
    if changes.get("model__path") == "{classifier}":
        changes["model__path"] = str(tiny_model("bert"))
    ended = call("-q", command, recipe(**changes))
    assert (ended.status, ended.out) == (2, ""), ended.err
    assert ended.err.count("nlp-transfer: ") == 1
    assert message.replace("{folder}", str(tmp_path)) in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "run" / "model").exists() and not (tmp_path / "run" / "checkpoints").exists()


def test_check_writes_the_test_sources_and_says_what_is_there(
    recipe: Any, call: Call, tmp_path: Path
) -> None:
    file = tmp_path / "test.txt"
    ended = call("-q", "check", recipe(), "--write-test", file)
    assert ended.status == 0
    assert "test" in ended.out
    lines = file.read_text().splitlines()
    assert lines and set(lines) <= set(english(120))
    ended = call("-q", "check", recipe(), "--write-test", tmp_path / "no" / "folder.txt")
    assert ended.status == 2 and "folder.txt cannot be written" in ended.err
    ended = call("-q", "check", recipe(), "--write-test", file / "x.csv")
    assert ended.status == 2 and f"x.csv cannot be written: {file} is a file and no folder" in ended.err


def test_a_recipe_is_run_and_its_model_translates(recipe: Any, call: Call, tmp_path: Path) -> None:
    ended = call("-q", "run", recipe())
    assert ended.status == 0, ended.err
    assert "chrF++" in ended.out and "adapted" in ended.out
    ended = call("-q", "translate", tmp_path / "run", "the red file", "a house")
    assert ended.status == 0
    assert len(ended.out.splitlines()) == 2
    ended = call("-q", "translate", tmp_path / "run", "the red file", "--tgt-lang", "fr")
    assert (ended.status, ended.out) == (2, "")
    assert "does not know the language 'fr'; near: " in ended.err
