"""A recipe's YAML is read strictly, its errors told at once, and the resolved one is the same recipe."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlp_transfer.config import (
    RecipeConfig,
    apply_override,
    as_dict,
    load_config,
    parse_config,
    read_yaml,
    write_yaml,
)
from nlp_transfer.errors import (
    ConfigError,
    DataError,
    ModelError,
    RunError,
    TransferError,
    did_you_mean,
)
from nlp_transfer.runs import RunFolder

MINIMAL: dict[str, Any] = {
    "task": "sentiment",
    "output_dir": "runs/a",
    "model": {"path": "some/encoder"},
    "data": {"target": {"path": "a.csv"}},
}


def with_keys(**values: Any) -> dict[str, Any]:
    """Return the minimal recipe with `section__key=value` set in it."""
    content = copy.deepcopy(MINIMAL)
    for path, value in values.items():
        *parents, last = path.split("__")
        node = content
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
    return content


def problems(**values: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(with_keys(**values))
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines()[1:]]


# What is accepted -------------------------------------------------------------------------------------------


def test_defaults_fill_what_a_recipe_leaves_out() -> None:
    config = parse_config(MINIMAL)
    assert (config.data.seed, config.data.source, config.hub.private) == (0, None, True)
    assert config.evaluation.baselines == ["majority", "tfidf", "zero_shot", "probe", "scratch"]
    with_source = parse_config(with_keys(data__source={"path": "movies.csv"}))
    assert with_source.evaluation.baselines == ["majority", "tfidf", "zero_shot", "probe", "target_only"]
    assert config.source_stage is not None
    assert parse_config(with_keys(source_stage=None)).source_stage is None


def test_a_config_does_not_change() -> None:
    with pytest.raises(AttributeError):
        parse_config(MINIMAL).data.seed = 1  # type: ignore[misc]


def test_two_recipes_do_not_share_their_lists() -> None:
    parse_config(MINIMAL).evaluation.baselines.append("target_only")
    assert "target_only" not in parse_config(MINIMAL).evaluation.baselines


def test_the_resolved_config_written_and_read_again_is_the_same(tmp_path: Path) -> None:
    config = parse_config(
        with_keys(
            data__label_map={1: "negative", 5: "positive", 3: None, "n/a": None, False: "negative"},
            data__target__label_bins={"negative": [-4, -0.5], "positive": [0.5, 4]},
            data__target__splits={"train": "a.csv", "test": "b.csv"},
            data__target__path=None,
            training={"learning_rate": 5e-5},
        )
    )
    path = tmp_path / "config.yaml"
    path.write_text(write_yaml(as_dict(config)), encoding="utf-8")
    assert load_config(path) == config
    assert write_yaml(as_dict(load_config(path))) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-5", 5e-5),
        ("no", "no"),
        ("yes", "yes"),
        ("null", None),
        ("0777", 777),
        ("1:30", "1:30"),
        ("2024-02-28", "2024-02-28"),
        ("2024-02-30", "2024-02-30"),
        ("true", True),
    ],
)
def test_yaml_is_version_1_2(text: str, value: object) -> None:
    read = read_yaml(text, where="here")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("override", "section", "value"),
    [
        ("output_dir=runs/b", "output_dir", "runs/b"),
        ("training.learning_rate=5e-5", "training", {"learning_rate": 5e-5}),
        ("data.label_map={1: negative}", "data", {"target": {"path": "a.csv"}, "label_map": {1: "negative"}}),
        ("data.target.path=b=c.csv", "data", {"target": {"path": "b=c.csv"}}),
        ("hub.repo_id=", "hub", {"repo_id": None}),
        ("evaluation.seeds=[0, 1]", "evaluation", {"seeds": [0, 1]}),
    ],
)
def test_an_override_sets_one_key(override: str, section: str, value: object) -> None:
    content = copy.deepcopy(MINIMAL)
    apply_override(content, override)
    assert content[section] == value
    assert {key: content[key] for key in MINIMAL if key != section} == {
        key: MINIMAL[key] for key in MINIMAL if key != section
    }


def test_an_override_opens_a_section_that_is_null() -> None:
    content = {**MINIMAL, "training": None}
    apply_override(content, "training.seed=1")
    assert content["training"] == {"seed": 1}


def test_a_file_with_overrides_is_one_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(write_yaml(MINIMAL))
    config = load_config(path, ["data.target.train_size=64", "data.seed=3"])
    assert isinstance(config, RecipeConfig)
    assert (config.data.target.train_size, config.data.seed) == (64, 3)


# What is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"modle": {}}, "modle: unknown key; did you mean model?"),
        ({"model__pth": "x"}, "model.pth: unknown key; did you mean path?"),
        ({"data__sede": 1}, "data.sede: unknown key; did you mean seed?"),
        (
            {"data__target__lable_column": "x"},
            "data.target.lable_column: unknown key; did you mean label_column",
        ),
        (
            {"data__source": {"card": "imdb", "trian_size": 1}},
            "data.source.trian_size: unknown key; did you mean train_size",
        ),
        ({"source_stage__methd": "full"}, "source_stage.methd: unknown key; did you mean method?"),
        (
            {"adaptation__freeze_layer": 1},
            "adaptation.freeze_layer: unknown key; did you mean freeze_layers?",
        ),
        ({"evaluation__baseline": []}, "evaluation.baseline: unknown key; did you mean baselines?"),
        ({"hub__repo": "x"}, "hub.repo: unknown key; did you mean repo_id?"),
        ({"model": {}}, "model: give path, or architecture to make a translation model anew"),
        (
            {"model": {"path": "some/encoder", "architecture": {}}},
            "model: give path, or architecture to make a translation model anew",
        ),
        (
            {"model": {"architecture": {"hidden_siz": 8}}},
            "model.architecture.hidden_siz: unknown key; did you mean hidden_size?",
        ),
        (
            {"model": {"architecture": {}}},
            "model.architecture: only translation models are made anew; give model.path",
        ),
        ({"data__target__tgt_lang": "gl"}, "data.target.tgt_lang: is not a key of sentiment recipes"),
        ({"evaluation__baselines": ["copy"]}, "evaluation.baselines: copy is no baseline of a sentiment"),
        (
            {"model": "some/encoder"},
            "model: must hold keys and values, got 'some/encoder'; a file or a model is named by {path: ",
        ),
        ({"data__target": "a.csv"}, "data.target: must hold keys and values, got 'a.csv'; a file or a model"),
        ({"adaptation": None}, "adaptation: must hold keys and values, got None; leave the key out where"),
        ({"task": "translaton"}, "task: cannot be 'translaton'; did you mean translation?"),
        (
            {"task": "classification"},
            "task: cannot be 'classification'; known: sentiment, translation (sentiment takes any one label",
        ),
        ({"adaptation__method": 3}, "adaptation.method: cannot be 3; one of full, lora, probe, lp_ft"),
        ({"evaluation__seeds": 3}, "evaluation.seeds: must be a list, such as [0, 1], got 3"),
        ({"data__target__train_size": "all"}, "data.target.train_size: must be a whole number, got 'all'"),
        *(
            ({"adaptation__mix": mix}, "adaptation.mix: cannot be " + shown)
            for mix, shown in [
                (2, "2; give best or balanced or number at least 0 and at most 1 or null"),
                ("bst", "'bst'; give best or balanced or number"),
            ]
        ),
        (
            {"adaptation__target_modules": []},
            "adaptation.target_modules: names no module, so nothing would get an adapter; name some, or set",
        ),
        (
            {"adaptation__target_modules": 3},
            "adaptation.target_modules: cannot be 3; give auto or all-linear or",
        ),
        (
            {"data__target__path": [1, "a.csv"]},
            "data.target.path: cannot be [1, 'a.csv']; give text or list of text or null",
        ),
        ({"adaptation__replay": "much"}, "adaptation.replay: must be a number, got 'much'"),
        (
            {"data__target__train_size": -1},
            "data.target.train_size: input should be greater than or equal to 0, got -1",
        ),
        ({"data__target__test_share": 1.0}, "data.target.test_share: input should be less than 1, got 1.0"),
        (
            {"data__target__label_names": [0, 1]},
            "data.target.label_names.0: must be text (put quotes around a number), got 0",
        ),
        (
            {"evaluation__baselines": ["tfdf"]},
            "evaluation.baselines.0: cannot be 'tfdf'; did you mean tfidf?",
        ),
        ({"evaluation__seeds": []}, "evaluation.seeds: list should have at least 1 item"),
        ({"evaluation__seeds": [0, 1, 0]}, "evaluation.seeds: each seed counts once, got [0, 1, 0]"),
        ({"hub__private": "maybe"}, "hub.private: input should be a valid boolean"),
        ({"training": [1]}, "training: must hold keys and values, got [1]"),
        (
            {"data__target__card": "imdb"},
            "data.target: give exactly one of card, path, splits (got card, path)",
        ),
        (
            {"data__source": {"text_column": "a"}},
            "data.source: give exactly one of card, path, splits (got none)",
        ),
        (
            {"adaptation__guard": {"max_dorp": 0.01}},
            "adaptation.guard.max_dorp: unknown key; did you mean max",
        ),
        ({"adaptation__guard": {}}, "adaptation.guard.max_drop: is missing"),
        ({"adaptation__guard": {"max_drop": -0.01}}, "adaptation.guard.max_drop: input should be greater"),
        ({"adaptation__guard": {"max_drop": "little"}}, "adaptation.guard.max_drop: must be a number"),
        ({"adaptation__guard": {"max_drop": float("nan")}}, "adaptation.guard.max_drop: input should be"),
        (
            {"adaptation__guard": {"max_drop": 1}},
            "adaptation.guard.max_drop: is 1, and accuracy is counted from 0 to 1: give 0.01 for one point",
        ),
        ({"continue_from": ""}, "continue_from: string should have at least 1 character"),
        ({"data__source": {"splits": {"train": "a", "tst": "b"}}}, "data.source.splits: unknown split tst"),
        ({"data__source": {"splits": {"train": "a", "tst": "b"}}}, "data.source.splits: test is missing"),
    ],
)
def test_a_wrong_key_or_value_is_told_with_its_path(keys: dict[str, Any], message: str) -> None:
    assert any(problem.startswith(message) for problem in problems(**keys)), problems(**keys)


def test_a_value_of_none_of_several_kinds_is_one_problem() -> None:
    assert len(problems(adaptation__mix=2)) == 1


PAIRS = {"path": "a", "src_lang": "en", "tgt_lang": "gl"}


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "parquet", "txt"])
def test_a_sentiment_recipe_reads_tables_and_plain_text(format: str) -> None:
    assert parse_config(with_keys(data__target__format=format)).data.target.format == format


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "parquet", "po", "mo", "xliff", "tmx"])
def test_a_translation_recipe_reads_tables_and_what_translators_keep(format: str) -> None:
    content = with_keys(task="translation", data__target={**PAIRS, "format": format})
    assert parse_config(content).data.target.format == format


@pytest.mark.parametrize("format", ["po", "mo", "xliff", "tmx"])
@pytest.mark.parametrize("domain", ["target", "source"])
def test_a_sentiment_recipe_refuses_formats_of_translations(format: str, domain: str) -> None:
    assert problems(**{f"data__{domain}": {"path": "a", "format": format}}) == [
        f"data.{domain}.format: {format} is no format of sentiment recipes; give one of csv, tsv, jsonl, "
        "parquet, txt, or leave it out to follow the file's name"
    ]


def test_a_translation_recipe_refuses_one_plain_text_file_and_names_the_keys_for_two() -> None:
    assert problems(task="translation", data__target={**PAIRS, "format": "txt"}) == [
        "data.target.format: txt is no format of translation recipes; give two plain text files by src_path "
        "and tgt_path instead of path and format"
    ]


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        (
            "training",
            "evaluation_strategy",
            "epoch",
            "transformers has no such argument any more; use eval_strategy",
        ),
        (
            "source_stage__training",
            "warmup_ratio",
            0.1,
            "transformers has no such argument any more; use warmup_steps",
        ),
        (
            "adaptation__training",
            "group_by_length",
            True,
            "transformers has no such argument any more; use train_sampling",
        ),
        (
            "training",
            "lerning_rate",
            1e-4,
            "TrainingArguments has no such argument; did you mean learning_rate",
        ),
        ("training", "output_dir", "x", "this package sets it; set the recipe's output_dir"),
        ("training", "hub_token", "x", "this package sets it; use the"),
        ("training", "num_train_epochs", "three", "input should be a valid number"),
    ],
)
def test_training_arguments_are_checked_against_the_installed_library(
    section: str, name: str, value: object, message: str
) -> None:
    path = section.replace("__", ".")
    assert problems(**{f"{section}__{name}": value})[0].startswith(f"{path}.{name}: {message}")


def test_all_problems_are_told_at_once() -> None:
    content = with_keys(modle=1, data__target__train_size=-1, training__no_cuda=True)
    with pytest.raises(ConfigError) as caught:
        parse_config(content, where="mine.yaml")
    assert str(caught.value).startswith("mine.yaml has 3 problem(s):\n")
    assert all(name in str(caught.value) for name in ("modle", "train_size", "training.no_cuda"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("output_dir", "override 'output_dir' must have the form key.sub=value"),
        ("=1", "override '=1' must have the form key.sub=value"),
        ("output_dir.sub=1", r"override 'output_dir\.sub=1': output_dir is a value, not a section"),
        ("data.target.path.x=1", r"data\.target\.path is a value, not a section"),
        ("data.seed=[1", r"the value of override 'data\.seed=\[1' is not valid YAML"),
    ],
)
def test_an_override_that_cannot_be_set_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply_override(copy.deepcopy(MINIMAL), override)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"task: [sentiment", r"recipe\.yaml is not valid YAML: "),
        (b"task: a\ntask: b\n", r"recipe\.yaml is not valid YAML: .*duplicate key"),
        (b"- a\n", r"recipe\.yaml must hold keys and values at its top level, not list"),
        (b"", r"recipe\.yaml must hold keys and values at its top level, not NoneType"),
        ("output_dir: café".encode("latin-1"), r"recipe\.yaml cannot be read as a UTF-8 text file"),
        (b"\x89PNG\r\n\x1a\n\0", r"recipe\.yaml cannot be read as a UTF-8 text file"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "recipe.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "recipe.yaml")


def test_a_recipe_that_does_not_exist_is_answered_with_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no recipe at .*none\.yaml; `nlp-transfer recipes list` shows"):
        load_config(tmp_path / "none.yaml")


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read as a UTF-8 text file"):
        load_config(tmp_path)


@pytest.mark.parametrize("name", ["a\0b", "a" * 5000])
def test_an_output_dir_that_cannot_be_named_is_refused(name: str, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"^output_dir .* cannot be written"),
        RunFolder(tmp_path / name, resolved_config=""),
    ):
        pass


def test_an_output_dir_that_is_a_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("mine")
    for output_dir, message in (
        (path, f"^output_dir {path} is a file; name a folder"),
        (
            path / "a" / "run",
            f"^output_dir {path}/a/run cannot be made: {path} is a file and no folder; name",
        ),
    ):
        with (
            pytest.raises(ConfigError, match=message),
            RunFolder(output_dir, resolved_config=""),
        ):
            pass
    assert path.read_text() == "mine"


def test_a_run_that_wrote_nothing_leaves_no_folder_that_was_not_there(tmp_path: Path) -> None:
    new, own = tmp_path / "new", tmp_path / "own"
    own.mkdir()
    for path in (new, own):
        with RunFolder(path, resolved_config="") as folder, pytest.raises(RunError, match="another run"):
            RunFolder(path, resolved_config="").hold()
        assert folder.path == path
    assert not new.exists()
    assert own.is_dir()
    with RunFolder(new, resolved_config=""):
        shutil.rmtree(new)  # whoever deletes the folder meanwhile gets no second error
    assert not new.exists()
    with RunFolder(new, resolved_config=""):
        (new / "report.json").write_text("{}")
    assert (new / "report.json").is_file()


@pytest.mark.parametrize("name", ["model", "report.md", "source_model"])
def test_a_folder_with_somebody_elses_files_is_no_output_dir(name: str, tmp_path: Path) -> None:
    """A run would write over them: the start itself may be in `model`."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "precious.txt").write_text("mine")
    with pytest.raises(
        ConfigError, match=rf"^output_dir .* holds no run but {name}, which a run would write"
    ):
        RunFolder(tmp_path, resolved_config="").hold()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (tmp_path / name).rename(tmp_path / "notes")
    with RunFolder(tmp_path, resolved_config=""):
        pass
    assert (tmp_path / "notes" / "precious.txt").read_text() == "mine"


def test_a_damaged_file_of_a_run_is_told_with_what_mends_it(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(RunError, match=r"state\.json is damaged or missing .* delete state\.json in its run"):
        RunFolder(tmp_path, resolved_config="").finished("adapted", inputs="")
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read: .* choose another output_dir"):
        RunFolder(tmp_path, resolved_config="").hold()


# Errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "known", "words"),
    [
        ("lable", ["label", "text"], "did you mean label?"),
        ("colum", ["column", "columns", "text"], "did you mean column or columns?"),
        ("xyz", ["b", "a"], "known: a, b"),
        ("xyz", [], "none is known"),
        (
            "xyz",
            [f"{number:03}" for number in range(25)],
            "known: " + ", ".join(f"{n:03}" for n in range(20)) + " and 5 more",
        ),
    ],
)
def test_near_matches_are_worded(name: str, known: list[str], words: str) -> None:
    assert did_you_mean(name, known) == words


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(TransferError, 2), (ConfigError, 2), (DataError, 2), (ModelError, 2), (RunError, 1)],
)
def test_bad_input_ends_with_2_and_a_failed_run_with_1(error: type[TransferError], exit_code: int) -> None:
    assert error("").exit_code == exit_code
    assert issubclass(error, TransferError)


def test_reading_a_recipe_imports_no_heavy_library() -> None:
    code = (
        "import sys, nlp_transfer.config as c, nlp_transfer.data.checks\n"
        f"c.parse_config({MINIMAL!r})\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'sklearn', 'unearth'} & set(sys.modules)))"
    )
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("stage", ["source_stage", "adaptation"])
def test_a_stage_has_no_seed_of_its_own(stage: str) -> None:
    content = {
        "task": "sentiment",
        "output_dir": "runs/x",
        "model": {"path": "m"},
        "data": {"target": {"path": "mine.csv"}},
        stage: {"training": {"seed": 3}},
    }
    with pytest.raises(ConfigError, match=f"{stage}.training.seed: .*set training.seed"):
        parse_config(content)


def test_many_problems_and_long_values_are_told_in_short() -> None:
    wrong = {**MINIMAL, "evaluation": {"baselines": ["x"] * 70}, "model": ["y" * 1000]}
    with pytest.raises(ConfigError) as raised:
        parse_config(wrong)
    lines = str(raised.value).splitlines()
    assert lines[-1] == "  and 21 more"
    assert len(lines) == 52
    assert max(map(len, lines)) < 300
