"""What watches a training run: a progress bar, a history file, the loss, and where the time went."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from nlp_transfer.errors import RunError
from nlp_transfer.training.checkpoints import note_saved
from nlp_transfer.whole_files import write_text

NEVER = 2**62  # a step that no run reaches


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

    A planned checkpoint logs first (stopping.py), so that the newest one is from before. The loss is looked
    at behind each step where that is free, on one process on a CPU. Elsewhere asking a GPU for a value would
    have it wait: the step is noted there, and read with the next log line.

    Args:
        label: names the run.
        trainer: adds up the losses since the last log line.
    """

    def __init__(self, label: str, trainer: Trainer) -> None:
        self.label = label
        self.trainer = trainer
        self._first_bad = torch.tensor(NEVER)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._first_bad = torch.tensor(NEVER, device=args.device)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        loss = self.trainer._tr_loss
        # Once it is no number the sum stays none. Nothing here waits for the device.
        noted = self._first_bad.clamp(max=state.global_step)
        self._first_bad = torch.where(torch.isfinite(loss), self._first_bad, noted)
        if self._looks_now(args, control) and not math.isfinite(value := float(loss)):
            raise self._loss_error(value, int(self._first_bad))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        logs = logs or {}
        loss = logs.get("loss", 0.0)  # the mean of all processes
        if not math.isfinite(loss):
            raise self._loss_error(loss, min(self._first_bad_of_all(), state.global_step))
        if "train_loss" in logs and (step := self._first_bad_of_all()) != NEVER:  # each process's own
            raise self._loss_error(logs["train_loss"], step)
        gradient = float(logs.get("grad_norm", 0.0))
        # In float16 an overflow is usual: the step is passed over and the loss scaled less.
        if not args.fp16 and not math.isfinite(gradient):
            raise RunError(
                f"{self.label}: the gradient's norm is {gradient} at step {state.global_step}; "
                "lower training.learning_rate or training.max_grad_norm"
            )

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: torch.nn.Module | None = None,
        **_: Any,
    ) -> None:
        """Look at the weights too: behind the last step there is no loss that would tell."""
        trained = [one.detach() for one in model.parameters() if one.requires_grad] if model else []
        # Of a weight that lies in shards, this process's own.
        own = [one.to_local() if hasattr(one, "to_local") else one for one in trained]
        bad = torch.tensor([not all(bool(one.isfinite().all()) for one in own)], device=args.device)
        if bool(self.trainer.accelerator.gather(bad).any()):
            raise RunError(
                f"{self.label}: weights are no numbers any more at step {state.global_step}; "
                "lower training.learning_rate or training.max_grad_norm"
            )

    def _looks_now(self, args: TrainingArguments, control: TrainerControl) -> bool:
        """Tell whether to look at the loss behind this step; one of several processes cannot stop alone."""
        return bool(args.world_size == 1 and (args.device.type == "cpu" or control.should_save))

    def _first_bad_of_all(self) -> int:
        """Return the first step at which any process's loss was no number; all of them ask."""
        return int(self.trainer.accelerator.gather(self._first_bad.reshape(1)).min())

    def _loss_error(self, loss: float, step: int) -> RunError:
        return RunError(f"{self.label}: the loss is {loss} at step {step}; lower training.learning_rate")


class SavedSteps(TrainerCallback):  # type: ignore[misc]
    """Notes the newest checkpoint, so that one that is lost later is missed."""

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            note_saved(Path(args.output_dir), state.global_step)


class TrainingClock(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Tells seconds of optimisation from those of selection: dev scoring, and saving and loading weights.

    A checkpoint keeps both, so that a training that was gone on with has the seconds of all its parts; what
    it spent behind its last checkpoint before it ended is not known.
    """

    def __init__(self) -> None:
        self.selection_seconds = 0.0
        self.earlier = {"seconds": 0.0, "selection_seconds": 0.0}
        """Of the parts before a restart."""
        self._began = self._since = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Return the optimisation's since this part began."""
        return time.perf_counter() - self._began - self.selection_seconds

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        spent = {"seconds": self.seconds, "selection_seconds": self.selection_seconds}
        return {"args": {}, "attributes": {name: spent[name] + self.earlier[name] for name in spent}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        kept = (state.stateful_callbacks or {}).get(type(self).__name__)
        if state.global_step and isinstance(kept, dict):
            self.earlier = {name: float(kept["attributes"][name]) for name in self.earlier}

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
        self._take()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._take()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Count the time in which the best step's weights were loaded."""
        if args.load_best_model_at_end:
            self._take()

    def _take(self) -> None:
        now = time.perf_counter()
        self.selection_seconds += now - self._since
        self._since = now
