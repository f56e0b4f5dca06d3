"""What a launcher was asked for is found out, and a run that is something else is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nlp_transfer.errors import ConfigError
from nlp_transfer.resources import resource_dir
from nlp_transfer.training import launching
from nlp_transfer.training.launching import asked_of_accelerate, require_asked_processes, this_command

CPU_2 = str(resource_dir("recipes") / "accelerate" / "cpu_2.yaml")
TRAIN = ["train.py", "--config", "a b"]
COMMANDS = [
    (["python", "/venv/bin/accelerate", "launch", "--cpu", "--num_processes", "2", *TRAIN], 2),
    (["python", "-m", "accelerate.commands.launch", "--num_processes", "3", *TRAIN], 3),
    (["/venv/bin/accelerate-launch", "--num_processes=1", *TRAIN], 1),
    (["accelerate", "launch", "--config_file", CPU_2, *TRAIN], 2),
    (["accelerate", "launch", "--config_file", CPU_2, "--num_processes", "5", *TRAIN], 5),
    (["accelerate", "launch", "--cpu", *TRAIN, "--num_processes", "7"], None),
    (["accelerate", "config"], None),
    (["bash", "-c", "accelerate launch train.py"], None),
    ([], None),
]


@pytest.mark.parametrize(("command", "asked"), COMMANDS)
def test_what_accelerate_was_asked_for_stands_in_its_command(command: list[str], asked: int | None) -> None:
    assert asked_of_accelerate(command) == asked


def start(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """Let this process look as if a command had started it."""
    monkeypatch.setattr(launching, "_parents_command", lambda: command)
    monkeypatch.setattr(sys, "argv", TRAIN)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def test_a_run_with_fewer_processes_is_refused_with_the_command_that_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start(monkeypatch, COMMANDS[0][0])
    with pytest.raises(ConfigError) as caught:
        require_asked_processes()
    assert str(caught.value).splitlines() == [
        "2 processes were asked for, and 1 started; this starts 2:",
        "  ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes 2 train.py --config 'a b'",
    ]


def test_processes_that_do_not_find_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    start(monkeypatch, [])
    monkeypatch.setattr(launching, "num_processes", lambda: 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match=r"^4 processes were asked for, and 1 started"):
        require_asked_processes()


@pytest.mark.parametrize("command", [[], ["bash"], COMMANDS[2][0], COMMANDS[5][0]])
def test_a_run_that_is_what_was_asked_for_goes_on(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start(monkeypatch, command)
    require_asked_processes()


def test_fsdp_on_a_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate leaves it out there, without a word: `AcceleratorState` asks for accelerators."""
    start(monkeypatch, [])
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match="on a CPU accelerate shards nothing"):
        require_asked_processes()


def test_the_command_that_goes_on_is_the_one_that_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    start(monkeypatch, ["python", "/venv/bin/accelerate", "launch", "--config_file", "cpu 2.yaml", *TRAIN])
    assert this_command() == "accelerate launch --config_file 'cpu 2.yaml' train.py --config 'a b'"
    start(monkeypatch, ["bash"])
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", "recipes/train.py", "--config", "a b"])
    assert this_command() == "python recipes/train.py --config 'a b'"
    monkeypatch.setattr(sys, "argv", [str(Path("/venv/bin/nlp-transfer")), "run", "a b"])
    assert this_command() == "nlp-transfer run 'a b'"
