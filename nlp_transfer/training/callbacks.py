"""What watches a training run: one progress bar, one history file, and the time that selection took."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from nlp_transfer.errors import RunError
from nlp_transfer.runs import write_text


class ProgressBar(TrainerCallback):  # type: ignore[misc]
    """One bar on stderr, on the main process only, with the last loss."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.bar: tqdm[Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            self.bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                desc=self.label,
                unit="step",
                file=sys.stderr,
            )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if self.bar is not None and logs and "loss" in logs:
            self.bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)

    def close(self) -> None:
        """End the bar's line, however the run ended."""
        if self.bar is not None:
            self.bar.close()


class HistoryFile(TrainerCallback):  # type: ignore[misc]
    """Appends each logged step to history.jsonl; a resumed run first drops what it will write again.

    `seconds` counts from the start of training, dev scoring included, and goes on where a resumed run's last
    kept line ends.

    Args:
        path: the file, which all stages of a run share.
        stage: names the run in progress.
        seed: its seed; a stage is repeated with other ones.
    """

    def __init__(self, path: Path, stage: str, *, seed: int) -> None:
        self.path = path
        self.run = {"stage": stage, "seed": seed}
        self._began = time.perf_counter()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._began = time.perf_counter()
        if state.is_world_process_zero and self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if self._stays(line, state.global_step)]
            write_text(self.path, "".join(f"{line}\n" for line in kept))
            self._began -= self._seconds_before(kept)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if state.is_world_process_zero and logs:
            values = {name: value if math.isfinite(value) else None for name, value in logs.items()}
            seconds = round(time.perf_counter() - self._began, 3)
            at = {"step": state.global_step, "epoch": state.epoch, "seconds": seconds}
            record = {**self.run, **at, **values}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def _seconds_before(self, kept: list[str]) -> float:
        """Return the seconds of this run's last kept line, 0 where it starts anew."""
        records = [json.loads(line) for line in kept]
        own = [record for record in records if {name: record.get(name) for name in self.run} == self.run]
        return float(own[-1].get("seconds", 0.0)) if own else 0.0

    def _stays(self, line: str, step: int) -> bool:
        """Keep other runs' lines and this one's up to the checkpoint, but neither its summary nor a torn
        line.
        """
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            return False
        if {name: record.get(name) for name in self.run} != self.run:
            return True
        return bool(record["step"] <= step and "train_runtime" not in record)


class LossGuard(TrainerCallback):  # type: ignore[misc]
    """Stops a run whose loss or gradient is not a number any more: nothing that follows could mend it.

    A planned checkpoint logs first (stopping.py), so that the newest one is from before.
    """

    def __init__(self, label: str) -> None:
        self.label = label

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        for name in ("loss", "train_loss"):
            value = (logs or {}).get(name, 0.0)
            if not math.isfinite(value):
                raise RunError(
                    f"{self.label}: the loss is {value} at step {state.global_step}; "
                    "lower training.learning_rate"
                )
        gradient = float((logs or {}).get("grad_norm", 0.0))
        # In float16 an overflow is usual: the step is passed over and the loss scaled less.
        if not args.fp16 and not math.isfinite(gradient):
            raise RunError(
                f"{self.label}: the gradient's norm is {gradient} at step {state.global_step}; "
                "lower training.learning_rate or training.max_grad_norm"
            )


class SelectionClock(TrainerCallback):  # type: ignore[misc]
    """Adds up the seconds between a training step's end and the end of the dev evaluation that follows it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since = 0.0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._since = time.perf_counter()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._since = time.perf_counter()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.seconds += time.perf_counter() - self._since
