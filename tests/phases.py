"""Real processes that run the command and tell in which phase of a run they are, to be ended from outside.

They come from a server process that has the libraries imported, so that each of them starts at once. A phase
is known by the functions that do it (`PHASES`); one phase may lie in another, as checkpointing does in
training. `pausing.py` is for tests that need one training step; this is for every phase.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# Long for a busy machine; a process that never comes so far ends the test here.
LIMIT_SECONDS = 240.0
PHASES: dict[str, tuple[str, ...]] = {
    "data": (
        "nlp_transfer.sentiment:SentimentTransfer._check_data",
        "nlp_transfer.translation:TranslationTransfer._check_data",
    ),
    "encoding": (
        "nlp_transfer.models.features:mean_pooled",
        "nlp_transfer.models.encodings:VectorStore.add",
    ),
    "training": ("transformers:Trainer.train", "sklearn.linear_model:LogisticRegression.fit"),
    "checkpoint": ("transformers:Trainer._save_checkpoint",),
    "save": (
        "nlp_transfer.publishing.save:save_trained",
        "nlp_transfer.publishing.save_translation:save_translator",
        "nlp_transfer.training.probing:save_probe",
        "nlp_transfer.runs:RunFolder.finish",
    ),
    "evaluation": ("nlp_transfer.recipe:TransferRecipe._evaluate_systems",),
    "report": ("nlp_transfer.recipe:TransferRecipe._report_and_card",),
}
PRELOADED = (
    "nlp_transfer.training.adapt",
    "nlp_transfer.training.adapt_translation",
    "nlp_transfer.sentiment",
    "nlp_transfer.translation",
    "nlp_transfer.sentiment_report",
    "nlp_transfer.translation_report",
    "nlp_transfer.publishing.model_card",
    "nlp_transfer.publishing.save_translation",
    "matplotlib.figure",
    "sklearn.linear_model",
    "evaluate",
    "py3langid",
)


@dataclass
class Started:
    """A process of the command, where it writes, and what it tells of its phases."""

    process: BaseProcess
    log: Path
    told: Connection
    seen: list[tuple[float, str]] = field(default_factory=list)
    """(moment, phase) of every change; an empty phase is none."""

    def next_phase(self) -> str | None:
        """Wait for the next change of phase; None at the process's end."""
        try:
            phase = str(self.told.recv())
        except (EOFError, OSError):
            return None
        self.seen.append((time.monotonic(), phase))
        return phase

    def wait_for(self, phase: str, *, visit: int = 1) -> bool:
        """Wait until a phase was entered so many times; False where the process ended before."""
        visits = 0
        while (now := self.next_phase()) is not None:
            visits += now == phase
            if visits == visit:
                return True
        return False

    def end(self, number: int) -> int | None:
        """Send it a signal; return its exit status, negative for the signal that killed it."""
        if self.process.is_alive():
            os.kill(int(self.process.pid or 0), number)
        self.go_on()
        return self.finish()

    def go_on(self) -> None:
        """Let a process that stands still go on."""
        with contextlib.suppress(OSError):
            self.told.send("go on")

    def finish(self) -> int | None:
        """Wait for its end; return its exit status."""
        while self.next_phase() is not None:
            pass
        self.process.join(LIMIT_SECONDS)
        return self.process.exitcode


def started(arguments: list[str], folder: Path, *, stop_at: str | None = None, **environment: str) -> Started:
    """Start `nlp-transfer` with these arguments.

    Args:
        arguments: of the command.
        folder: where its log is written.
        stop_at: a phase that it stands still in, for a test that ends it there.
        environment: variables for this process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, "phases"])
    told, tell = context.Pipe()
    log = folder / "log.txt"
    process = context.Process(
        target=_run, args=(arguments, log, tell, stop_at, environment, str(Path.cwd())), daemon=True
    )
    process.start()
    tell.close()
    return Started(process, log, told)


def _run(
    arguments: list[str],
    log: Path,
    tell: Connection,
    stop_at: str | None,
    environment: dict[str, str],
    cwd: str,
) -> None:
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(cwd)
    os.environ.update(environment)
    sys.argv = ["nlp-transfer", *arguments]
    within = [""]
    for phase, functions in PHASES.items():
        for name in functions:
            _watch(name, phase, within, tell, stop_at)
    from nlp_transfer.cli import main

    main()


def _watch(name: str, phase: str, within: list[str], tell: Connection, stop_at: str | None) -> None:
    """Wrap a function, so that its beginning and its end are told."""
    module, _, path = name.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, last = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    function: Callable[..., Any] = getattr(owner, last)

    @functools.wraps(function)
    def watched(*given: Any, **named: Any) -> Any:
        within.append(phase)
        tell.send(phase)
        try:
            if phase == stop_at:
                tell.poll(LIMIT_SECONDS)
            return function(*given, **named)
        finally:
            within.pop()
            tell.send(within[-1])

    setattr(owner, last, watched)
