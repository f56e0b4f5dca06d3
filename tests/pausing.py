"""Real processes that run the command and stand still in the middle of training, to be ended from outside.

They come from a server process that has the libraries imported, so that each of them starts at once.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from phases import LIMIT_SECONDS, PRELOADED


@dataclass
class Paused:
    """A process that stands still, and where it writes."""

    process: BaseProcess
    log: Path
    flag: Path

    def end(self, number: int) -> int | None:
        """Send it a signal, let it go on; return its exit status, negative for the signal that killed it."""
        os.kill(int(self.process.pid or 0), number)
        self.flag.unlink()
        self.process.join(LIMIT_SECONDS)
        return self.process.exitcode


def paused_in_training(arguments: list[str], folder: Path, *, stage: str, step: int) -> Paused:
    """Start `nlp-transfer` with these arguments; return when it stands still behind a training step."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, "phases"])
    flag, log = folder / "stands", folder / "log.txt"
    flag.unlink(missing_ok=True)
    process = context.Process(target=_run, args=(arguments, flag, log, stage, step), daemon=True)
    process.start()
    until = time.monotonic() + LIMIT_SECONDS
    while not flag.exists():
        assert process.is_alive() and time.monotonic() < until, f"{process.exitcode}: {log.read_text()}"
        time.sleep(0.05)
    return Paused(process, log, flag)


def _run(arguments: list[str], flag: Path, log: Path, stage: str, step: int) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["nlp-transfer", *arguments]
    from nlp_transfer.cli import main
    from nlp_transfer.training.callbacks import ProgressBar

    whole_step = ProgressBar.on_step_end

    def standing(self: Any, args: Any, state: Any, control: Any, **other: Any) -> None:
        whole_step(self, args, state, control, **other)
        if self.label == stage and state.global_step == step:
            flag.touch()
            while flag.exists():
                time.sleep(0.02)

    ProgressBar.on_step_end = standing  # type: ignore[method-assign]
    main()
