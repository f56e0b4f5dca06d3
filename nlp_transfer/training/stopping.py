"""Ctrl-C and SIGTERM in training: a checkpoint is saved at the end of the step before they take effect.

So a stopped run goes on at the step where it stood. A second signal takes effect at once. Several processes
get a signal at different moments, or one of them alone: behind a step they tell each other, and all save and
stop behind the same one. What happens on a signal is left to whoever handled it before (commands/process.py).
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from nlp_transfer.training.processes import computed_on_main, is_main, num_processes

logger = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A launcher passes a signal on that its processes got already, from the terminal or from SLURM: what comes so
# soon after the first is no second one. torchrun waits half a minute before it kills.
ECHO_SECONDS = 5.0
# Steps between two looks at each other's signals on accelerators, which would wait for the device each time.
ACCELERATOR_STEPS = 10


class StopAtStep(TrainerCallback):  # type: ignore[misc]
    """Saves a checkpoint at the end of the step at which a signal came, then lets the signal take effect.

    Args:
        label: names the run.
        losses: of this run, which the checkpoint keeps.
    """

    def __init__(self, label: str, losses: LossSinceLog) -> None:
        self.label = label
        self._losses = losses
        self._handlers: dict[int, Callable[..., object]] = {}
        self._noted: int | None = None
        self._noted_at = 0.0
        self._agreed: int | None = None

    @contextmanager
    def signals_held(self) -> Iterator[None]:
        """Hold the signals that somebody handles, until the body ends; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        self._handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
        for number in self._handlers:
            signal.signal(number, self._note)
        try:
            yield
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
        # It came behind the last checkpoint.
        if self._noted is not None:
            self._take_effect(self._noted)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask for a checkpoint, unless the epoch's end is here, whose evaluation belongs before it."""
        self._agreed = self._noted if args.world_size == 1 else self._told(args, state.global_step)
        if self._agreed is not None:
            self._losses.level(args)
        if self._agreed is not None and not (args.save_strategy == "epoch" and _ends_epoch(state)):
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Let the signal take effect."""
        if args.world_size == 1:
            # It may have come while the checkpoint was written.
            self._agreed = self._noted
        if self._agreed is None:
            return
        # A process that ended would have the launcher end the others, which still write.
        computed_on_main(lambda: None)
        self._take_effect(self._agreed)

    def _told(self, args: TrainingArguments, step: int) -> int | None:
        """Return the signal that any process got, the same in all; None where none did."""
        if args.device.type != "cpu" and step % ACCELERATOR_STEPS:
            return None
        number = torch.tensor(self._noted or 0, device=args.device)
        torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX)
        return int(number) or None

    def _take_effect(self, number: int, frame: FrameType | None = None) -> None:
        self._noted = self._agreed = None
        if number in self._handlers:
            self._handlers[number](number, frame)
        else:
            signal.raise_signal(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._noted is None:
            self._noted, self._noted_at = number, now
            if is_main():
                logger.warning(
                    "%s: stopping behind this step, with a checkpoint; again stops at once", self.label
                )
        elif num_processes() == 1 or now - self._noted_at > ECHO_SECONDS:
            self._take_effect(number, frame)


class LossSinceLog(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Keeps the mean training loss that a log line states the same, whether or not the run was stopped.

    The Trainer adds losses up between two log lines and forgets the sum when it stops. A planned checkpoint
    therefore logs first; in one that a signal asked for the sum is written down.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the losses since the last log line, and that line's step."""
        return {
            "args": {},
            "attributes": {
                # Before training the Trainer has neither.
                "loss": float(getattr(self.trainer, "_tr_loss", 0.0)),
                "logged_step": getattr(self.trainer, "_globalstep_last_logged", 0),
            },
        }

    def level(self, args: TrainingArguments) -> None:
        """Give each process the mean of all sums, since one writes down its own for all of them."""
        if args.world_size > 1:
            mean = self.trainer._tr_loss.clone()
            torch.distributed.all_reduce(mean)
            self.trainer._tr_loss = mean / args.world_size

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Go on with the sum that the checkpoint had; `state` is the checkpoint's where there was one."""
        kept = (state.stateful_callbacks or {}).get(type(self).__name__)
        if state.global_step and isinstance(kept, dict):
            self.trainer._tr_loss = torch.tensor(kept["attributes"]["loss"], device=args.device)
            self.trainer._globalstep_last_logged = kept["attributes"]["logged_step"]

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Log where a planned checkpoint is saved."""
        control.should_log = control.should_log or control.should_save

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Log where a planned checkpoint is saved."""
        control.should_log = control.should_log or control.should_save


def _ends_epoch(state: TrainerState) -> bool:
    """Tell whether the step that ended is an epoch's last."""
    return bool(state.epoch is not None and abs(state.epoch - round(state.epoch)) < 1e-9)
