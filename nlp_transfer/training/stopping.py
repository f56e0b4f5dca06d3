"""Ctrl-C and SIGTERM in training: a checkpoint is saved at the end of the step before they take effect.

So a stopped run goes on at the step where it stood. A second signal takes effect at once. Several processes
get a signal at different steps and would wait for each other while saving: they stop at once, and go on from
the last checkpoint. What happens on a signal is left to whoever handled it before (commands/process.py).
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from nlp_transfer.training.processes import num_processes

logger = logging.getLogger(__name__)


class StopAtStep(TrainerCallback):  # type: ignore[misc]
    """Saves a checkpoint at the end of the step at which a signal came, then lets the signal take effect."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._take_effect: Callable[[], object] | None = None

    @contextmanager
    def signals_held(self) -> Iterator[None]:
        """Hold the signals that somebody handles, until the body ends; only the main thread can."""
        if threading.current_thread() is not threading.main_thread() or num_processes() > 1:
            yield
            return
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        held = {number: handler for number, handler in handlers.items() if callable(handler)}
        for number, handler in held.items():
            signal.signal(number, partial(self._note, handler))
        try:
            yield
        finally:
            for number, handler in held.items():
                signal.signal(number, handler)
        # It came behind the last checkpoint.
        self._stop()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask for a checkpoint, unless the epoch's end is here, whose evaluation belongs before it."""
        if self._take_effect is not None and not (args.save_strategy == "epoch" and _ends_epoch(state)):
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Let the signal take effect."""
        self._stop()

    def _stop(self) -> None:
        if self._take_effect is not None:
            take_effect, self._take_effect = self._take_effect, None
            take_effect()

    def _note(self, handler: Callable[..., object], number: int, frame: FrameType | None) -> None:
        if self._take_effect is not None:
            handler(number, frame)
        self._take_effect = partial(handler, number, frame)
        logger.warning("%s: stopping behind this step, with a checkpoint; again stops at once", self.label)


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
