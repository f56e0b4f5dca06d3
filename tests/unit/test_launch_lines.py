"""Every line that a recipe or README tells a user to type can be typed: its files and options are there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from typer.core import TyperGroup

from nlp_transfer.cli import app
from nlp_transfer.config import load_config
from nlp_transfer.resources import resource_dir

RECIPES = resource_dir("recipes")
ROOT = RECIPES.parent
STARTS = ("accelerate launch ", "nlp-transfer ", "sbatch ")
# How a README names a file of the user's own, or a run that a line before it made.
USERS_OWN = ("mine.yaml", "galician.yaml", "mine.csv", "runs/")


def lines_of(path: Path) -> list[str]:
    """Return the commands in a file: in comments, docstrings and code blocks; continued lines as one."""
    text = re.sub(r"\\+\n\s*", "", path.read_text(encoding="utf-8"))
    found = (re.sub(r"^\s*#?\s*", "", line) for line in text.splitlines())
    return [re.sub(r"\s+(#|\[key).*$", "", line) for line in found if line.startswith(STARTS)]


def documents() -> list[Path]:
    return sorted(
        [ROOT / "README.md", *(p for p in RECIPES.rglob("*") if p.suffix in (".md", ".yaml", ".py", ".sh"))]
    )


COMMANDS = sorted({line for path in documents() for line in lines_of(path)})


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def require_recipe(words: list[str]) -> None:
    """Load the recipe that a script is given, with the values that the line changes."""
    assert words[0] == "--config"
    if not words[1].startswith(USERS_OWN):
        load_config(words[1], words[2:])


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("accelerate")])
def test_a_launch_line_can_be_typed(line: str) -> None:
    asked = launch_command_parser().parse_args(shlex.split(line)[2:])
    assert Path(asked.training_script).is_file()
    if asked.config_file is not None:
        hardware = load_config_from_file(asked.config_file)
        assert hardware.num_processes >= 2
        assert (hardware.num_machines > 1) == (asked.main_process_ip is not None)
    require_recipe(asked.training_script_args)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("nlp-transfer")])
def test_a_command_line_can_be_typed(line: str) -> None:
    command = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    context = command.make_context("nlp-transfer", words)
    while isinstance(command, TyperGroup):
        _, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(command.name, words, parent=context)
    config = context.params.get("config")
    if config is not None and not str(config).startswith(USERS_OWN):
        load_config(config, context.params["overrides"] or [])


def test_the_lines_of_a_slurm_job_can_be_typed() -> None:
    script = RECIPES / "accelerate" / "slurm.sh"
    (line,) = (line for line in COMMANDS if line.startswith("sbatch"))
    name, train, *words = shlex.split(line)[1:]
    assert Path(name).resolve() == script
    assert Path(train).is_file()
    require_recipe(words)
    (started,) = re.findall(r"'(accelerate launch .*) \"\$@\"'", script.read_text())
    values = {"SLURM_NNODES": "2", "PROCESSES": "16", "SLURM_NODEID": "1", "FIRST": "node1"}
    expanded = re.sub(r"\$(\w+)", lambda name: values[name[1]], started)
    asked = launch_command_parser().parse_args([*shlex.split(expanded)[2:], train, *words])
    assert (asked.num_machines, asked.num_processes, asked.machine_rank) == (2, 16, 1)
    assert asked.main_process_ip == "node1"
    assert load_config_from_file(asked.config_file).num_machines == 2
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize("folder", ["sentiment_transfer", "low_resource_translation", "accelerate"])
def test_a_recipe_folder_names_its_files_and_how_they_are_launched(folder: str) -> None:
    readme = (RECIPES / folder / "README.md").read_text()
    files = [path.name for path in (RECIPES / folder).iterdir() if path.suffix in (".yaml", ".sh")]
    assert [name for name in files if f"`{name}`" not in readme] == []
    assert any(line.startswith("accelerate launch") for line in lines_of(RECIPES / folder / "README.md"))


@pytest.mark.parametrize("path", sorted((RECIPES / "accelerate").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_hardware_file_opens_with_its_own_launch_line(path: Path) -> None:
    opening = path.read_text().splitlines()[:2]
    assert opening[0].startswith("# ")
    assert opening[1].startswith(f"#   accelerate launch --config_file recipes/accelerate/{path.name} ")
