"""Runs the command and stands still behind a training step, in each process that accelerate started.

`python -m stopped_together FOLDER STAGE STEP train RECIPE` notes in FOLDER that a process stands, that it got
a signal, and the status that it ended with; it goes on when there is a file `go`. Started by test_signals.py.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    folder, stage, step = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    rank = os.environ["RANK"]
    (folder / f"{rank}.pid").write_text(str(os.getpid()))
    from nlp_transfer.cli import main as command
    from nlp_transfer.training.callbacks import ProgressBar
    from nlp_transfer.training.stopping import StopAtStep

    whole_step, note = ProgressBar.on_step_end, StopAtStep._note

    def standing(self: Any, args: Any, state: Any, control: Any, **other: Any) -> None:
        whole_step(self, args, state, control, **other)
        if self.label == stage and state.global_step == step and not (folder / f"{rank}.stands").exists():
            (folder / f"{rank}.stands").touch()
            while not (folder / "go").exists():
                time.sleep(0.02)

    def noted(self: Any, number: int, frame: Any) -> None:
        note(self, number, frame)
        (folder / f"{rank}.noted").touch()

    ProgressBar.on_step_end = standing  # type: ignore[method-assign]
    StopAtStep._note = noted  # type: ignore[method-assign]
    sys.argv = ["nlp-transfer", *sys.argv[4:]]
    try:
        command()
    except SystemExit as ended:
        (folder / f"{rank}.status").write_text(str(ended.code or 0))
        raise


if __name__ == "__main__":
    main()
