"""What every training run shares, whatever it trains: selection, checkpoints, progress, costs.

The Trainer is built by fit.py and fit_translation.py; this module runs it and says what came of it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from nlp_transfer.evaluation.mixes import MixChoice
from nlp_transfer.models.loading import quiet_library
from nlp_transfer.training.callbacks import HistoryFile, LossGuard, ProgressBar, SavedSteps, TrainingClock
from nlp_transfer.training.checkpoints import newest_whole_checkpoint
from nlp_transfer.training.processes import computed_on_main
from nlp_transfer.training.selection import SELECTION, StopWhenWorse
from nlp_transfer.training.shards import copy_for_shards, whole_model
from nlp_transfer.training.stopping import LossSinceLog, StopAtStep

logger = logging.getLogger(__name__)

# Arguments that say nothing without dev rows; the library refuses some of them then.
SELECTING = (
    "eval_strategy",
    "eval_steps",
    "eval_delay",
    "eval_on_start",
    "load_best_model_at_end",
    "metric_for_best_model",
    "greater_is_better",
)

KEEP_BEST = {"load_best_model_at_end": True, "metric_for_best_model": SELECTION}


@dataclass(frozen=True)
class TrainingRun:
    """One training: what it is called, what starts it, and where it leaves what."""

    label: str
    """Names what is trained in the log."""
    folder: Path
    """For checkpoints; it resumes from the newest whole one there."""
    seed: int
    """Starts dropout and orders the rows."""
    history: Path | None = None
    """File for one line a logged step."""
    member: str = ""
    """Which of several trainings whose weights are averaged it is."""

    @property
    def title(self) -> str:
        """Names this one training, in the progress bar, the log and the history."""
        return f"{self.label}: {self.member}" if self.member else self.label

    def before(self, stage: str) -> TrainingRun:
        """Return the training of a stage that comes before this one, with checkpoints of its own."""
        folder = self.folder.with_name(f"{self.folder.name}-{stage}")
        return replace(self, label=f"{self.label}: {stage}", folder=folder)


@dataclass(frozen=True)
class FitResult:
    """What a training run took and where its best step lies."""

    model: Any
    """The trained model: the one that went in, or where that was trained in shards a whole copy of it."""
    steps: int
    best_step: int
    seconds: float
    """Optimisation alone, before a restart too."""
    selection_seconds: float
    """Dev evaluation, saving what it may choose, and loading what it chose."""
    tokens: int
    """Real (unpadded) tokens seen, all processes together."""
    history: list[dict[str, Any]]
    tokens_per_second: float = 0.0
    """Real tokens by seconds of optimisation, of what this process itself went through after a restart."""
    padding_share: float = 0.0
    """Share of the computed tokens that are padding."""
    target_ratio: float = 0.0
    """Translation: tokens that nearly all training targets have at most for each of their source's."""
    trainings: int = 1
    """Whose weights were averaged (soup.py); seconds and tokens are of all, the rest of the last one."""
    mix: MixChoice | None = None
    """Which mix with the weights before training was kept, where it is not all of the change unasked."""

    def with_mix(self, choice: MixChoice | None, *, seconds: float) -> FitResult:
        """Return the same with the choice of a mix, and the time that it took."""
        return replace(self, mix=choice, selection_seconds=self.selection_seconds + seconds)

    def with_costs_of(self, others: Sequence[FitResult]) -> FitResult:
        """Return the same with the seconds and tokens of other trainings that it took."""
        return replace(
            self,
            seconds=self.seconds + sum(each.seconds for each in others),
            selection_seconds=self.selection_seconds + sum(each.selection_seconds for each in others),
            tokens=self.tokens + sum(each.tokens for each in others),
        )


def run_trainer(
    trainer: Trainer, run: TrainingRun, *, tokens_an_epoch: int, early_stopping: int | None = None
) -> FitResult:
    """Train, from the newest whole checkpoint in the Trainer's folder where there is one.

    Args:
        trainer: with model, rows and arguments; its own progress bar and printer are taken off.
        run: which training this is.
        tokens_an_epoch: real tokens of all training rows.
        early_stopping: dev scorings in a row, clearly worse than the best, that end the training; None: it
            goes on to its end. Without dev rows there is nothing to stop by.

    Raises:
        RunError: the loss is not a number any more.
    """
    clock, bar = TrainingClock(), ProgressBar(run.title)
    losses = LossSinceLog(trainer)
    stop = StopAtStep(run.title, losses)
    # The log line of a planned checkpoint is decided before the checkpoint that a signal asks for; the guard
    # sees both.
    for watcher in (bar, clock, SavedSteps(), losses, stop, LossGuard(run.title, trainer)):
        trainer.add_callback(watcher)
    if early_stopping is not None and trainer.args.load_best_model_at_end:
        trainer.add_callback(StopWhenWorse(early_stopping))
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    if run.history is not None:
        trainer.add_callback(HistoryFile(run.history, run.title, seed=run.seed))
    checkpoint = computed_on_main(lambda: newest_whole_checkpoint(Path(trainer.args.output_dir)))
    if checkpoint is not None:
        logger.info("%s: going on from step %s", run.title, checkpoint.name.rpartition("-")[2])
    copy_to_fill = copy_for_shards(trainer)
    with quiet_library(), contextlib.closing(bar), stop.signals_held():
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    seconds, selection_seconds = clock.seconds, clock.selection_seconds
    tokens = int(tokens_an_epoch * (trainer.state.epoch or 0))
    done_before = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
    share_now = 1 - done_before / max(1, trainer.state.global_step)
    best = trainer.state.best_global_step if trainer.args.load_best_model_at_end else None
    return FitResult(
        model=whole_model(trainer, copy_to_fill),
        steps=trainer.state.global_step,
        best_step=best or trainer.state.global_step,
        seconds=seconds + clock.earlier["seconds"],
        selection_seconds=selection_seconds + clock.earlier["selection_seconds"],
        tokens=tokens,
        history=trainer.state.log_history,
        tokens_per_second=tokens * share_now / max(1e-9, seconds),
    )


def with_selection(
    arguments: Mapping[str, Any], *, dev: bool, evaluations: float, label: str
) -> dict[str, Any]:
    """Have the dev rows scored, and the best weights kept; without dev rows, neither.

    A recipe that sets when to evaluate, or that nothing is saved, is left to it. A run without dev rows is
    too short to be worth checkpoints: its stage starts again.

    Args:
        arguments: TrainingArguments of the recipe.
        dev: whether there are dev rows.
        evaluations: in the whole run; 1 evaluates after each epoch.
        label: names the run in the log.
    """
    if not dev:
        own = {name: value for name, value in arguments.items() if name not in SELECTING}
        if unused := [name for name in arguments if name in SELECTING]:
            logger.warning(
                "%s: no rows are held out to select on, so training's %s says nothing; give splits.dev, or "
                "more labelled rows",
                label,
                ", ".join(unused),
            )
        return {"save_strategy": "no", **own}
    if "eval_strategy" in arguments or arguments.get("save_strategy") == "no":
        # The library asks that what is scored is saved where the best is to be loaded.
        same = {
            f"save_{name}": arguments[f"eval_{name}"]
            for name in ("strategy", "steps")
            if arguments.get("load_best_model_at_end") and f"eval_{name}" in arguments
        }
        return {**same, **arguments}
    when = {"strategy": "epoch"} if evaluations == 1 else {"strategy": "steps", "steps": 1 / evaluations}
    if arguments.get("save_strategy") == "best":
        # It follows the scorings, and says nothing of when they are.
        return {**{f"eval_{name}": value for name, value in when.items()}, **KEEP_BEST, **arguments}
    if "save_strategy" in arguments:
        # The step that is kept is one that was saved: dev rows are scored whenever the recipe saves.
        often = {"steps": arguments["save_steps"]} if "save_steps" in arguments else {}
        moments = {
            f"eval_{name}": value for name, value in {"strategy": arguments["save_strategy"], **often}.items()
        }
        return {**moments, **KEEP_BEST, **arguments}
    moments = {f"{moment}_{name}": value for moment in ("eval", "save") for name, value in when.items()}
    return {**moments, **KEEP_BEST, **arguments}


def parameter_counts(model: torch.nn.Module) -> tuple[int, int]:
    """Return (trainable, all) parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def say_what_follows(trainer: Trainer, label: str, *, rows: int, batch: str, tokens_a_step: float) -> None:
    """Log once what was derived: rows, effective batch, precision, trainable share, tokens a step."""
    settings = trainer.args
    trainable, total = parameter_counts(trainer.model)
    precision = "bfloat16" if settings.bf16 else "float16" if settings.fp16 else "float32"
    logger.info(
        "%s: %s rows an epoch, %s on %d process(es), %s, %s of %s parameters train (%.0f%%), about %s tokens "
        "a step",
        label,
        f"{rows:,}",
        batch,
        settings.world_size,
        precision,
        f"{trainable:,}",
        f"{total:,}",
        100 * trainable / total,
        f"{tokens_a_step:,.0f}",
    )


def earlier_values(trainer: Trainer, name: str) -> Sequence[float]:
    """Return a dev score of the steps before, out of the history: a resumed run has it too."""
    return [record[name] for record in trainer.state.log_history if name in record]
