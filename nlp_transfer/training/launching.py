"""How this process was started: by which launcher, for how many processes, and what starts it again."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from nlp_transfer.errors import ConfigError
from nlp_transfer.training.processes import num_processes, on_cpu


def require_asked_processes() -> None:
    """Stop a run that got fewer processes, or less of its hardware file, than its launcher was asked for.

    `accelerate launch --cpu --num_processes 2` starts one process and says nothing.

    Raises:
        ConfigError: the run is not what was asked for; the message has the command that is.
    """
    asked, found = asked_processes(), num_processes()
    if asked is not None and asked != found:
        raise ConfigError(
            f"{asked} processes were asked for, and {found} started; this starts {asked}:\n"
            f"  {starting_command(asked, cpu=on_cpu())}"
        )
    if os.environ.get("ACCELERATE_USE_FSDP") == "true" and on_cpu():
        raise ConfigError(
            "FSDP was asked for, but on a CPU accelerate shards nothing: each process would hold the whole "
            "model; launch it with --config_file recipes/accelerate/cpu_2.yaml"
        )


def asked_processes() -> int | None:
    """Return how many processes the launcher was asked for; None where no launcher started this one.

    Launchers that start several tell each of them in `WORLD_SIZE`. Where accelerate starts a single one it
    leaves nothing in the environment that says how many it was asked for; its own command does.
    """
    if "WORLD_SIZE" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    return asked_of_accelerate(_parents_command())


def asked_of_accelerate(command: Sequence[str]) -> int | None:
    """Return how many processes a command asks accelerate for, itself or by its hardware file; else None."""
    arguments = launch_arguments(command)
    if arguments is None:
        return None
    from accelerate.commands.config.config_args import default_config_file, load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    asked, _ = launch_command_parser().parse_known_args(arguments)
    file = asked.config_file or (None if asked.cpu else default_config_file)
    if asked.num_processes is None and file is not None and Path(file).is_file():
        return int(load_config_from_file(str(file)).num_processes)
    return None if asked.num_processes is None else int(asked.num_processes)


def launch_arguments(command: Sequence[str]) -> list[str] | None:
    """Return what stands behind `accelerate launch` in a command, in any of its spellings.

    >>> launch_arguments(["python", "/venv/bin/accelerate", "launch", "--cpu", "train.py"])
    ['--cpu', 'train.py']
    """
    for place, word in enumerate(command):
        if Path(word).stem == "accelerate-launch" or word == "accelerate.commands.launch":
            return list(command[place + 1 :])
        if Path(word).stem == "accelerate" and command[place + 1 : place + 2] == ["launch"]:
            return list(command[place + 2 :])
    return None


def starting_command(processes: int, *, cpu: bool) -> str:
    """Word the command that runs this script in so many processes."""
    setting = "ACCELERATE_USE_CPU=true " if cpu else ""
    return f"{setting}accelerate launch --multi_gpu --num_processes {processes} {shlex.join(sys.argv)}"


def this_command() -> str:
    """Word the command that started this process, for a user to give again."""
    launched = launch_arguments(_parents_command())
    if launched is not None:
        return f"accelerate launch {shlex.join(launched)}"
    script = Path(sys.argv[0])
    words = ["python", *sys.orig_argv[1:]] if script.suffix == ".py" else [script.name, *sys.argv[1:]]
    return shlex.join(words)


def _parents_command() -> list[str]:
    """Return the words of the command that started this process; none where they cannot be read."""
    import psutil

    try:
        parent = psutil.Process().parent()
        return list(parent.cmdline()) if parent is not None else []
    except psutil.Error:
        return []
