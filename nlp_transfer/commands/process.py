"""What every command shares as a process: its log, what stops it, and the status that it ends with."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nlp_transfer.errors import TransferError, for_terminal

DEBUG = {"on": False}

# Processes come to the same error within a few seconds of each other; torchrun looks ten times a second.
MAIN_SPEAKS_SECONDS = 5.0


class Stopped(BaseException):
    """A signal asked the command to stop. No library's `except Exception` holds it up."""


@contextmanager
def exit_status() -> Iterator[None]:
    """End with one message and an exit status, whatever a user can cause: bad input, a failed run, a
    signal.
    """
    _on_signals(_stop)
    from nlp_transfer.disk import write_failures_told

    try:
        with write_failures_told("a file could not be written or read", "what was there before is as it was"):
            yield
    except TransferError as error:
        if DEBUG["on"]:
            raise
        _let_main_speak()
        print(for_terminal(f"nlp-transfer: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
    except Stopped as stopped:
        # A launcher ends the processes that are left as soon as one has ended.
        _on_signals(signal.SIG_IGN)
        if os.environ.get("RANK", "0") == "0":
            from nlp_transfer.training.launching import this_command

            print(
                "\nnlp-transfer: stopped; the same command goes on from the last finished stage or "
                f"checkpoint:\n  {this_command()}",
                file=sys.stderr,
            )
        sys.exit(128 + int(stopped.args[0]))


def _let_main_speak() -> None:
    """Leave it to the main process to tell what all of them found: the launcher ends the others then.

    What one of them alone found it tells after all.
    """
    if os.environ.get("RANK", "0") != "0":
        _on_signals(signal.SIG_DFL)
        time.sleep(MAIN_SPEAKS_SECONDS)


def _on_signals(handler: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _stop(number: int, _: object) -> None:
    raise Stopped(number)


class _Line(logging.Formatter):
    """A line of the log; text from data in it does not act on the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return for_terminal(super().format(record))


def log_to_stderr(level: int) -> None:
    """Send the package's log to stderr, and keep the libraries to what a user must know.

    The libraries are not imported yet: they read these settings when they are.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Line("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    package = logging.getLogger("nlp_transfer")
    package.handlers = [handler]
    package.setLevel(level)
    package.propagate = False
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Large tensors in large pages: a training step on a CPU otherwise spends a third of its time on page
    # faults.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
