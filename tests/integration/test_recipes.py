"""Every shipped recipe is valid, and opens with the command that starts it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import easy_recipe

from nlp_transfer.config import load_config, read_yaml, write_yaml
from nlp_transfer.data.cards import list_cards
from nlp_transfer.models.loading import require_length
from nlp_transfer.models.resolving import resolve_model
from nlp_transfer.recipes_by_task import recipe_class
from nlp_transfer.resources import list_recipes, resource_dir

RECIPES = resource_dir("recipes")
HARDWARE = sorted((RECIPES / "accelerate").glob("*.yaml"))


@pytest.mark.parametrize("name", list_recipes())
def test_a_shipped_recipe_is_valid(name: str) -> None:
    config = load_config(RECIPES / f"{name}.yaml")
    assert config.output_dir.startswith("runs/")
    for domain in (config.data.source, config.data.target):
        assert domain is None or domain.card in list_cards()
    if config.model.path is not None:
        assert (Path(resolve_model(config.model.path)) / "config.json").is_file()
        require_length(config.model.path, config.model.max_length_tokens)
    assert recipe_class(config.task)(config).folder.name == Path(config.output_dir).name


@pytest.mark.parametrize("name", list_recipes())
def test_a_shipped_recipe_opens_with_what_it_does_and_how_it_is_started(name: str) -> None:
    lines = (RECIPES / f"{name}.yaml").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert lines[0].endswith(".")
    commands = [line.removeprefix("#   ") for line in lines[1:] if line.startswith("#   ")]
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert words[0] in ("nlp-transfer", "accelerate")
        files = [word for word in words if word.endswith((".yaml", ".py"))]
        assert all((RECIPES.parent / file).is_file() for file in files)
        assert words[1] == "demo" or f"recipes/{name}.yaml" in files


def test_two_recipes_never_share_a_run_folder() -> None:
    folders = [load_config(RECIPES / f"{name}.yaml").output_dir for name in list_recipes()]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("folder", ["sentiment_transfer", "low_resource_translation"])
def test_the_recipes_named_in_their_readme_are_there(folder: str) -> None:
    named = set(re.findall(r"\| `(\w+\.yaml)` \|", (RECIPES / folder / "README.md").read_text()))
    assert named == {path.name for path in (RECIPES / folder).glob("*.yaml")}


@pytest.mark.parametrize("path", HARDWARE, ids=lambda path: path.stem)
def test_a_hardware_file_speaks_of_hardware_alone(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    content = read_yaml(path.read_text(), where=str(path))
    assert content["num_processes"] >= 1
    assert not set(content) & {"task", "model", "data", "training", "output_dir"}
    loaded = load_config_from_file(str(path))
    assert loaded.num_processes == content["num_processes"]


def test_the_script_that_accelerate_starts_runs_a_recipe(
    tiny_model: Any, domains: dict[str, Path], tmp_path: Path
) -> None:
    """As a user starts it, in a process of its own."""
    content = easy_recipe(
        tmp_path / "run",
        tiny_model("bert"),
        domains,
        evaluation__baselines=["majority"],
        training__max_steps=2,
    )
    (tmp_path / "recipe.yaml").write_text(write_yaml(content))
    command = [
        sys.executable,
        str(RECIPES / "sentiment_transfer" / "train.py"),
        "--config",
        str(tmp_path / "recipe.yaml"),
        "data.target.train_size=20",
    ]
    path = os.pathsep.join([str(RECIPES.parent), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}
    )
    assert ended.returncode == 0, ended.stderr
    assert "adapted" in ended.stdout
    assert (tmp_path / "run" / "report.json").is_file()
