"""The command: exit status, one message for each mistake, results on stdout, and how it is stopped."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_translator import FakeTranslator
from looking import Call
from tiny import LABELS, easy_recipe, sentences, write_csv
from tiny_translation import build_tiny_translator

from nlp_transfer import cli
from nlp_transfer.config import write_yaml
from nlp_transfer.inference import load
from nlp_transfer.training import adapt, fit


@pytest.fixture
def recipe(tmp_path: Path, tiny_model: Any, domains: dict[str, Path]) -> Callable[..., Path]:
    """Write a small recipe's YAML whose run folder is `run` beside it."""

    def write(**changes: Any) -> Path:
        quick = {"evaluation__baselines": ["majority"], "training__max_steps": 4, **changes}
        path = tmp_path / "recipe.yaml"
        folder = Path(quick.pop("output_dir", tmp_path / "run"))
        path.write_text(write_yaml(easy_recipe(folder, tiny_model("bert"), domains, **quick)))
        return path

    return write


# Bad input ----------------------------------------------------------------------------------------


def one_class(folder: Path) -> dict[str, Any]:
    rows = [(text, "positive") for text, _ in sentences("products", 40, seed=0)]
    return {"data__target": {"path": str(write_csv(folder / "mine.csv", ("text", "label"), rows))}}


def own_file(content: bytes, name: str = "mine.csv", **keys: Any) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        (folder / name).write_bytes(content)
        return {"data__target": {"path": str(folder / name), **keys}}

    return write


def without_weights(folder: Path) -> dict[str, Any]:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text('{"model_type": "bert"}')
    return {"model__path": str(folder / "model")}


def folder_is_a_file(folder: Path) -> dict[str, Any]:
    (folder / "run").write_text("mine")
    return {}


def folder_in_a_file(folder: Path) -> dict[str, Any]:
    (folder / "mine").write_text("mine")
    return {"output_dir": str(folder / "mine" / "run")}


def folder_with_a_model(folder: Path) -> dict[str, Any]:
    (folder / "run" / "model").mkdir(parents=True)
    (folder / "run" / "model" / "notes.txt").write_text("mine")
    return {}


def damaged_download(folder: Path) -> dict[str, Any]:
    """An archive in the cache that is not what it should be, and no package index to fetch it again from."""
    file = Path(os.environ["NLP_TRANSFER_CACHE"]) / "downloads" / "nosuch-1.0" / "nosuch-1.0.zip"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"damaged")
    return {"data__target": {"path": "pypi://nosuch==1.0/nosuch-1.0.zip!rows.csv", "sha256": "0" * 64}}


def translation_model(family: str) -> Callable[[Path], dict[str, Any]]:
    def built(folder: Path) -> dict[str, Any]:
        build_tiny_translator(folder / family, family)
        return {"model__path": str(folder / family)}

    return built


GOOD = "text,label\n" + "".join(f"text number {row},{LABELS[row % 2]}\n" for row in range(40))
BAD_RECIPES: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "a missing file": (
        lambda folder: {"data__target": {"path": str(folder / "absent.csv")}},
        "no file at {folder}/absent.csv",
    ),
    "a misspelt file": (lambda _: {"data__source": {"path": "{movies}s"}}, "did you mean movies.csv"),
    "a missing column": (
        own_file(GOOD.encode(), text_column="review"),
        "has no column 'review' (text_column); known: label, text",
    ),
    "a label column that is not found": (
        own_file(GOOD.replace("label", "klass", 1).encode()),
        "set label_column to one of the columns",
    ),
    "an unknown card": (
        lambda _: {"data__target": {"card": "product_review"}},
        "no data card 'product_review'; did you mean product_reviews",
    ),
    "a misspelt key": (
        lambda _: {"adaptation__methd": "full"},
        "adaptation.methd: unknown key; did you mean method?",
    ),
    "a misspelt section": (lambda _: {"adaption": {}}, "adaption: unknown key; did you mean adaptation"),
    "a method that is none": (
        lambda _: {"adaptation__method": "magic"},
        "adaptation.method: cannot be 'magic'; known: full, lora, lp_ft, probe",
    ),
    "a removed argument": (
        lambda _: {"training__evaluation_strategy": "epoch"},
        "training.evaluation_strategy: transformers has no such argument any more; use eval_strategy",
    ),
    "an argument that is ours": (
        lambda _: {"adaptation__training": {"output_dir": "x"}},
        "adaptation.training.output_dir: this package sets it; set the recipe's output_dir",
    ),
    "an argument of another type": (
        lambda _: {"training__learning_rate": "5e-5x"},
        "training.learning_rate: input should be a valid number",
    ),
    "arguments that contradict each other": (
        lambda _: {"training__bf16": True, "training__fp16": True},
        "training: At most one of fp16 and bf16 can be True",
    ),
    "one class only": (one_class, "its train rows have only the class(es) positive"),
    "labels that do not map": (
        own_file(GOOD.replace("positive", "4").encode()),
        "data.label_map: {4: positive}",
    ),
    "a map that leads nowhere": (
        lambda _: {"data__label_map": {"negative": "bad"}},
        "the label map leads to bad, none of the known classes (negative, positive)",
    ),
    "empty rows": (
        own_file(b"text,label\n,positive\n ,negative\n"),
        "has no usable row ({'empty or non-string text': 2})",
    ),
    "an empty file": (own_file(b""), "is empty: a header line with column names was expected"),
    "another encoding": (
        own_file(GOOD.replace("text number", "café").encode("latin-1")),
        "is not utf-8 text (byte 0xe9); set encoding: cp1252",
    ),
    "a binary file": (own_file(bytes(range(256)) * 8), "binary file"),
    "a ragged line": (own_file(GOOD.encode() + b"a,b,c\n"), "line 42: 3 cells, expected 2 (text, label)"),
    "broken json": (own_file(b'{"text": "a", "label": "b"}\n{', "mine.jsonl"), "line 2: not JSON"),
    "a target smaller than asked for": (
        lambda _: {"data__target__train_size": 5000},
        "data.target.train_size is 5000 and only 96 training rows are left after 24 were held out",
    ),
    "a wrong hash": (
        own_file(GOOD.encode(), sha256="ab" * 32),
        f"expected {'ab' * 32}: the file is not the declared one",
    ),
    "a damaged download without an index": (
        damaged_download,
        "nosuch-1.0.zip of nosuch==1.0 could not be fetched from the package index",
    ),
    "a package that is not installed": (
        lambda _: {"model__path": "package://no_such_package/model"},
        "which is not installed",
    ),
    "an output folder that is a file": (folder_is_a_file, "output_dir {folder}/run is a file; name a folder"),
    "an output folder within a file": (
        folder_in_a_file,
        "output_dir {folder}/mine/run cannot be made: {folder}/mine is a file and no folder; name a folder",
    ),
    "an output folder with somebody else's model": (
        folder_with_a_model,
        "output_dir {folder}/run holds no run but model, which a run would write over; choose another",
    ),
    "a step chosen by what is not saved": (
        lambda _: {
            "adaptation__training": {
                "eval_strategy": "steps",
                "eval_steps": 7,
                "save_strategy": "epoch",
                "load_best_model_at_end": True,
            }
        },
        "training: load_best_model_at_end requires the save and eval strategy to match",
    ),
    "a model folder that is not there": (
        lambda folder: {"model__path": str(folder / "absent")},
        "there is no folder {folder}/absent",
    ),
    "a model folder without weights": (without_weights, "model has no weights (*.safetensors)"),
    "no network for a Hub id": (
        lambda _: {"model__path": "nobody/nothing"},
        "the model nobody/nothing cannot be loaded (",
    ),
    "two sources for one domain": (
        lambda _: {"data__target": {"path": "a.csv", "card": "imdb"}},
        "data.target: give exactly one of card, path, splits (got card, path)",
    ),
    "texts longer than the model reads": (
        lambda _: {"model__max_length_tokens": 500},
        "model.max_length_tokens is 500",
    ),
    "more frozen layers than there are": (
        lambda _: {"adaptation__freeze_layers": 9},
        "adaptation.freeze_layers is 9 and bert has 2 separate layer(s); lower it",
    ),
    "adapters on frozen layers alone": (
        lambda _: {"adaptation__method": "lora", "adaptation__freeze_layers": 2},
        "adaptation.freeze_layers leaves no module for an adapter",
    ),
    "adapters on modules that the model lacks": (
        lambda _: {"adaptation__method": "lora", "adaptation__target_modules": ["quary"]},
        "adaptation.target_modules: the model has no module 'quary'; did you mean query",
    ),
    "the same for the source model alone": (
        lambda _: {"source_stage__method": "lora", "adaptation__target_modules": ["quary"]},
        "adaptation.target_modules: the model has no module 'quary'; did you mean query",
    ),
    "a translation model": (
        translation_model("marian"),
        "{folder}/marian is no encoder that can classify but a MarianMTModel; set task: translation",
    ),
    "a translation model that has a head in the library": (
        translation_model("t5"),
        "{folder}/t5 is no encoder that can classify but a T5ForConditionalGeneration; set task: translation",
    ),
    "a misspelt task": (
        lambda _: {"task": "translaton"},
        "task: cannot be 'translaton'; did you mean translation?",
    ),
    "another task": (lambda _: {"task": "translation"}, "data.target: give src_lang and tgt_lang"),
}


NOT_OF_THE_DATA = [
    BAD_RECIPES[name][1]
    for name in (
        "arguments that contradict each other", "a step chosen by what is not saved",
        "an output folder that is a file", "an output folder within a file",
        "an output folder with somebody else's model",
    )
]  # fmt: skip


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(("spoil", "message"), BAD_RECIPES.values(), ids=list(BAD_RECIPES))
def test_a_bad_recipe_ends_with_status_2_and_one_message(
    spoil: Any,
    message: str,
    command: str,
    recipe: Any,
    call: Call,
    domains: dict[str, Path],
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    changes = json.loads(json.dumps(spoil(tmp_path)).replace("{movies}", str(domains["movies"])))
    ended = call("-q", command, recipe(**changes))
    assert ended.status == 2
    assert ended.err.count("nlp-transfer: ") == 1
    assert (
        ended.err.startswith("nlp-transfer: ") or spoil is damaged_download
    )  # which is told to be fetched again
    assert message.format(folder=tmp_path) in ended.err if "{folder}" in message else message in ended.err
    assert "Traceback" not in ended.err
    # What is said of the data is said all the same where a run would not begin.
    assert ended.out == "" or (command == "check" and message in NOT_OF_THE_DATA)
    if (folder := tmp_path / "run").is_dir():
        left = {path.name for path in folder.glob("**/*")}
        written = {".lock", "config.yaml", "environment.json", "data.json", "state.json"}
        assert {"config.yaml"} <= left <= written or left == {"model", "notes.txt"}


BAD_COMMANDS: dict[str, tuple[list[str], str]] = {
    "no such recipe": (
        ["run", "absent.yaml"],
        "no recipe at absent.yaml; `nlp-transfer recipes list` shows the shipped ones",
    ),
    "a recipe that is no YAML": (["run", "broken.yaml"], "broken.yaml is not valid YAML"),
    "a recipe that is a list": (
        ["check", "list.yaml"],
        "list.yaml must hold keys and values at its top level, not list",
    ),
    "a binary recipe": (["check", "binary.yaml"], "binary.yaml cannot be read as a UTF-8 text file"),
    "a folder as recipe": (["check", "."], "cannot be read as a UTF-8 text file"),
    "an override without a value": (
        ["check", "empty.yaml", "data.seed"],
        "override 'data.seed' must have the form key.sub=value",
    ),
    "an empty recipe": (["check", "empty.yaml"], "model: is missing"),
    "no such report": (
        ["report", "absent"],
        "there is no folder absent; name the output_dir of a finished run",
    ),
    "no such model": (
        ["predict", "./absent", "good"],
        "there is no folder ./absent",
    ),
    "a model without a name": (["predict", "", "good"], "the model's name is empty"),
    "a translation model without a name": (["translate", "  ", "good"], "the model's name is empty"),
    "a published model without a name": (["push", "", "ada/mine"], "the run's name is empty"),
    "no such run": (["evaluate", "absent.yaml"], "no recipe at absent.yaml"),
    "an output within a file": (
        ["predict", "./absent", "good", "--output", "list.yaml/x.csv"],
        "list.yaml/x.csv cannot be written: list.yaml is a file and no folder; name a file somewhere else",
    ),
    "an output folder within a file": (
        ["translate", "./absent", "good", "--output", "list.yaml/a/x.txt"],
        "list.yaml/a/x.txt cannot be written: list.yaml is a file and no folder",
    ),
    "no such input": (["predict", "./absent", "--input", "absent.csv"], "no file at absent.csv"),
    "texts and a file": (
        ["predict", "./absent", "good", "--input", "a.csv"],
        "give texts or --input, not both",
    ),
    "no such model to translate with": (
        ["translate", "./absent", "good"],
        "there is no folder ./absent",
    ),
    "no such catalogue": (["translate", "./absent", "--input", "absent.po"], "absent.po cannot be read"),
    "no such section": (
        ["recipes", "keys", "data.tarket"],
        "a recipe has no section 'data.tarket'; did you mean data.target",
    ),
    "no such card": (["cards", "show", "imbd"], "no data card 'imbd'; did you mean imdb"),
    "no such shipped recipe": (
        ["recipes", "copy", "sentiment_transfer/ful"],
        "no recipe 'sentiment_transfer/ful'; did you mean sentiment_transfer/full",
    ),
    "a copy over a file": (
        ["recipes", "copy", "sentiment_transfer/full", "--to", "list.yaml"],
        "list.yaml exists already; choose another name with --to",
    ),
    "a copy into no folder": (
        ["recipes", "copy", "sentiment_transfer/full", "--to", "absent/a.yaml"],
        "absent/a.yaml cannot be written",
    ),
    "no such demo": (["demo", "sentimental"], "no demo 'sentimental'; did you mean sentiment"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_COMMANDS.values(), ids=list(BAD_COMMANDS))
def test_a_bad_command_ends_with_status_2_and_one_message(
    arguments: list[str], message: str, call: Call, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "broken.yaml": b"a: [",
        "list.yaml": b"- a\n",
        "binary.yaml": b"\xff\xfe\x00",
        "empty.yaml": b"{}\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    ended = call(*arguments)
    assert ended.status == 2
    assert ended.err.startswith("nlp-transfer: ")
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["run"], ["predict"], ["check", "--no-such-option", "a.yaml"]]
)
def test_a_command_that_does_not_parse_ends_with_status_2(arguments: list[str], call: Call) -> None:
    ended = call(*arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("Usage: ")


def test_a_run_that_fails_ends_with_status_1(recipe: Any, call: Call, tmp_path: Path) -> None:
    path = recipe(training__learning_rate=1e30, training__max_grad_norm=0, training__warmup_steps=0)
    ended = call("-q", "run", path)
    assert ended.status == 1
    assert ended.err.splitlines()[-1].startswith("nlp-transfer: source model: the loss is nan at step ")
    assert not (tmp_path / "run" / "source_model").exists()
    assert not (tmp_path / "run" / "report.json").exists()


def test_debug_shows_where_an_error_came_from(call: Call, monkeypatch: Any) -> None:
    from nlp_transfer.errors import ConfigError

    monkeypatch.setattr(sys, "argv", ["nlp-transfer", "--debug", "run", "absent.yaml"])
    with pytest.raises(ConfigError, match=r"no recipe at absent\.yaml"):
        cli.main()
    assert call("run", "absent.yaml").status == 2  # and the next command is quiet again


# Results ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: Any, tiny_model: Any, domains: dict[str, Path]) -> Path:
    """A finished run's folder, its recipe beside it."""
    from nlp_transfer import SentimentTransfer

    folder = tmp_path_factory.mktemp("finished")
    content = easy_recipe(
        folder / "run", tiny_model("bert"), domains, evaluation__baselines=["majority", "zero_shot"]
    )
    (folder / "recipe.yaml").write_text(write_yaml(content))
    SentimentTransfer.from_config(folder / "recipe.yaml").run()
    return Path(folder)


def test_check_tells_counts_and_doubts(finished: Path, call: Call) -> None:
    ended = call("check", finished / "recipe.yaml")
    assert ended.status == 0
    lines = ended.out.splitlines()
    assert (
        lines[0]
        == "source: own file; 96 train, 0 dev, 24 test, 0 unused, 0 dropped; negative 50%, positive 50%"
    )
    assert (
        lines[1]
        == "target: own file; 32 train, 0 dev, 24 test, 64 unused, 0 dropped; negative 50%, positive 50%"
    )
    assert any(line.startswith("warn  small_test: target: 24 test rows") for line in lines)
    assert f"nothing stops a run: nlp-transfer run {finished / 'recipe.yaml'}" in ended.err


def test_check_looks_at_a_recipe_that_was_changed_since_its_run(finished: Path, call: Call) -> None:
    ended = call("check", finished / "recipe.yaml", "data.target.train_size=16")
    assert ended.status == 0
    assert "target: own file; 16 train" in ended.out
    assert f"a run would stop: {finished / 'run'} holds a run with another configuration" in ended.err
    assert "nothing stops a run" not in ended.err


def test_run_and_report_print_the_table_and_the_verdict(finished: Path, call: Call) -> None:
    ran = call("run", finished / "recipe.yaml")
    reported = call("report", finished / "run")
    assert ran.status == reported.status == 0
    assert ran.out == reported.out
    for word in ("majority", "zero_shot", "adapted", "n = 24"):
        assert word in ran.out
    assert "Whether transfer helped was not measured" in " ".join(ran.out.split())
    assert "adapted: finished before, not run again" in ran.err
    assert f"The report is in {finished / 'run'}/report.html" in ran.err


def test_an_override_changes_one_value(finished: Path, call: Call, tmp_path: Path) -> None:
    ended = call(
        "check", "--json", finished / "recipe.yaml", "data.target.train_size=16", f"output_dir={tmp_path}"
    )
    assert json.loads(ended.out)["domains"]["target"]["train"] == 16


@pytest.mark.parametrize(
    ("command", "part"),
    [(["check", "--json"], "domains"), (["run", "--json"], "systems"), (["evaluate", "--json"], "systems")],
    ids=["check", "run", "evaluate"],
)
def test_json_is_all_that_stdout_holds(command: list[str], part: str, finished: Path, call: Call) -> None:
    ended = call(*command, finished / "recipe.yaml")
    assert ended.status == 0
    assert part in json.loads(ended.out)


def test_a_report_is_printed_as_the_file_has_it(finished: Path, call: Call) -> None:
    assert json.loads(call("report", finished / "run", "--json").out) == json.loads(
        (finished / "run" / "report.json").read_text()
    )


def test_train_prints_where_the_model_is(recipe: Any, call: Call, tmp_path: Path) -> None:
    ended = call("train", recipe())
    assert ended.status == 0
    assert ended.out.splitlines() == [str(tmp_path / "run" / "model")]
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_predict_labels_texts_from_a_run_folder(finished: Path, call: Call, tmp_path: Path) -> None:
    listed = call("predict", finished / "run", "the phone is great", "an ugly lens")
    assert [line.split("\t")[0] for line in listed.out.splitlines()] == ["positive", "negative"]
    source = write_csv(tmp_path / "in.csv", ("id", "review"), [(7, "the phone is great")])
    ended = call("predict", finished / "run", "--input", source, "--output", tmp_path / "out.csv")
    assert (ended.status, ended.out) == (0, "")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "id,review,label,score,probability_negative,probability_positive"
    assert lines[1].startswith("7,the phone is great,positive,0.")
    as_json = call("predict", finished / "run", "--json", "an ugly lens")
    assert json.loads(as_json.out)["label"] == "negative"
    assert "blank" not in as_json.err
    blank = call("predict", finished / "run", "an ugly lens", "  ", "")
    assert len(blank.out.splitlines()) == 3
    assert "2 blank text(s) were labelled too" in blank.err


def test_translate_answers_lines_and_fills_catalogues(call: Call, tmp_path: Path, monkeypatch: Any) -> None:
    translator = FakeTranslator()
    monkeypatch.setattr(load, "load_adapted", lambda path, *, revision, runtime: translator)
    listed = call("translate", "a/model", "Save", "Open", "--tgt-lang", "ast", "--beams", "4")
    assert (listed.status, listed.out) == (0, "«Save»\n«Open»\n")
    assert translator.settings == [("ast", 4, None)]
    as_json = call("translate", "a/model", "--json", "Save")
    assert json.loads(as_json.out) == {"text": "Save", "translation": "«Save»"}
    source = write_csv(tmp_path / "in.csv", ("id", "en"), [(7, "Save")])
    ended = call("translate", "a/model", "-i", source, "--text-column", "en", "-o", tmp_path / "out.csv")
    assert (ended.status, ended.out) == (0, "")
    assert ended.err.endswith(f"1 rows translated: {tmp_path / 'out.csv'}\n")
    assert (tmp_path / "out.csv").read_text() == "id,en,translation\n7,Save,«Save»\n"
    header = 'msgid ""\nmsgstr ""\n"Language: gl\\n"\n\n'
    (tmp_path / "gl.po").write_text(f'{header}msgid "Save"\nmsgstr ""\n')
    ended = call("translate", "a/model", "-i", tmp_path / "gl.po", "-o", tmp_path / "gl.po")
    assert (ended.status, ended.out) == (0, "")
    assert ended.err.endswith("gl.po: 1 filled and marked fuzzy, 0 kept as they were\n")
    assert (tmp_path / "gl.po").read_text() == f'{header}#, fuzzy\nmsgid "Save"\nmsgstr "«Save»"\n'


def test_translate_says_what_it_left_empty_even_when_quiet(
    call: Call, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(
        load, "load_adapted", lambda path, *, revision, runtime: FakeTranslator(lambda _: "lost {0}")
    )
    content = 'msgid ""\nmsgstr ""\n"Language: gl\\n"\n\nmsgid "Save %s"\nmsgstr ""\n'
    (tmp_path / "gl.po").write_text(content)
    ended = call("-q", "translate", "a/model", "-i", tmp_path / "gl.po")
    assert (ended.status, ended.out) == (0, content)
    assert "1 left empty because the translation changed the placeholders (line 6)" in ended.err


def test_translate_with_a_classifier_names_the_command_for_it(finished: Path, call: Call) -> None:
    ended = call("translate", finished / "run", "Save")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == f"nlp-transfer: {finished / 'run'} is a classifier; use `nlp-transfer predict`\n"


def test_cards_are_listed_and_shown(call: Call) -> None:
    listed = call("cards", "list")
    assert [line.split()[0] for line in listed.out.splitlines()] == [
        "amazon_polarity",
        "imdb",
        "product_reviews",
        "rotten_tomatoes",
        "software_catalogues",
        "ted_talks",
    ]
    assert json.loads(call("cards", "list", "--json").out)["product_reviews"]["license"] == "mit"
    shown = call("cards", "show", "product_reviews")
    assert shown.status == 0
    assert "Licence: mit" in shown.out


def test_recipes_are_listed_and_copied(call: Call, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    listed = call("recipes", "list")
    names = [line.split()[0] for line in listed.out.splitlines()]
    assert {
        "sentiment_transfer/demo",
        "sentiment_transfer/full",
        "sentiment_transfer/lora",
        "sentiment_transfer/probe",
    } <= set(names)
    for name in names:
        ended = call("recipes", "copy", name)
        assert ended.status == 0
        assert "task: " in Path(ended.out.strip()).read_text()


def test_the_version_is_the_packages(call: Call) -> None:
    from nlp_transfer import __version__

    assert call("--version").out == f"{__version__}\n"


def test_help_imports_no_heavy_library() -> None:
    heavy = ("torch", "transformers", "numpy", "sklearn", "datasets", "matplotlib", "peft")
    script = (
        "import sys\nfrom nlp_transfer import cli\nsys.argv = ['nlp-transfer', *sys.argv[1:]]\n"
        "try:\n    cli.main()\nexcept SystemExit as ended:\n"
        f"    sys.exit(ended.code or ', '.join(name for name in {heavy} if name in sys.modules) or 0)\n"
    )
    for arguments in (["--help"], ["run", "--help"], ["recipes", "list"]):
        ended = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
        )
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
        assert "sentiment" in ended.stdout or "recipe" in ended.stdout


# Stopping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_the_command_that_goes_on(
    number: signal.Signals, status: int, recipe: Any, call: Call, tmp_path: Path, monkeypatch: Any
) -> None:
    path = recipe()
    arguments = ["run", str(path), "data.target.train_size=20"]

    def stopped(*given: Any, run: fit.TrainingRun, **settings: Any) -> Any:
        if run.label == "adapted":
            signal.raise_signal(number)
        return fit.fit(*given, run=run, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(adapt, "fit", stopped)
        ended = call(*arguments)
    assert ended.status == status
    assert "Traceback" not in ended.err
    assert ended.err.splitlines()[-2:] == [
        "nlp-transfer: stopped; the same command goes on from the last finished stage or checkpoint:",
        f"  {shlex.join(['nlp-transfer', *arguments])}",
    ]
    assert not (tmp_path / "run" / "model").exists()
    went_on = call(*arguments)
    assert went_on.status == 0
    assert "source_model: finished before, not run again" in went_on.err


# The script that accelerate starts ----------------------------------------------------------------


def test_the_recipes_script_runs_the_same_code(
    recipe: Any, call: Call, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", str(recipe()), "adaptation.rank=3"])
    with pytest.raises(SystemExit) as ended:
        cli.run_script("sentiment")
    assert not ended.value.code
    assert "adapted" in capsys.readouterr().out
    assert (
        json.loads((tmp_path / "run" / "report.json").read_text())["provenance"]["config"]["adaptation"][
            "rank"
        ]
        == 3
    )


def test_the_recipes_script_refuses_as_the_command_does(call: Call, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", "absent.yaml"])
    with pytest.raises(SystemExit) as ended:
        cli.run_script("sentiment")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("nlp-transfer: no recipe at absent.yaml")
