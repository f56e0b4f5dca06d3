"""Builds and runs the Hugging Face Trainer: one call trains one model on one set of rows.

The Trainer's loop, precision, sharding and checkpoints are used as they are. The one subclass decides only
where batches come from (samplers.py). What to train on, and what for, is left to the recipes.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerBase, Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from nlp_transfer.data.rows import Rows
from nlp_transfer.models.loading import quiet_library
from nlp_transfer.training.arguments import build_arguments
from nlp_transfer.training.callbacks import HistoryFile, LossGuard, ProgressBar, SelectionClock
from nlp_transfer.training.samplers import LengthGroupedSampler
from nlp_transfer.training.selection import dev_metrics

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


class TokenizedRows(Dataset[dict[str, Any]]):
    """Texts as token ids beside their labels; `lengths` holds the tokens of each."""

    def __init__(self, rows: Rows, tokenizer: PreTrainedTokenizerBase, *, max_length_tokens: int) -> None:
        encoded = tokenizer(rows.texts, truncation=True, max_length=max_length_tokens)
        self.columns: dict[str, list[Any]] = dict(encoded)
        self.columns["labels"] = rows.labels.tolist()
        self.lengths = [len(ids) for ids in encoded["input_ids"]]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {name: values[row] for name, values in self.columns.items()}


class LengthGroupedTrainer(Trainer):  # type: ignore[misc]
    """The Trainer, with batches from our own seeded sampler and evaluation in the data's order."""

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[int]:
        dataset: Any = train_dataset if train_dataset is not None else self.train_dataset
        return LengthGroupedSampler(
            dataset.lengths,
            batch_size=self._train_batch_size * self.args.world_size * self.args.gradient_accumulation_steps,
            seed=self.args.data_seed if self.args.data_seed is not None else self.args.seed,
            grouped=self.args.train_sampling_strategy == "group_by_length",
        )

    def _get_eval_sampler(self, eval_dataset: Dataset[Any]) -> Sampler[int]:
        return SequentialSampler(eval_dataset)  # type: ignore[arg-type]


@dataclass(frozen=True)
class FitResult:
    """What a training run took and where its best step lies."""

    steps: int
    best_step: int
    seconds: float
    """Optimisation alone."""
    selection_seconds: float
    """Dev evaluation."""
    tokens: int
    """Real (unpadded) tokens seen, all processes together."""
    history: list[dict[str, Any]]


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Rows,
    dev: Rows,
    *,
    label: str,
    arguments: Mapping[str, Any],
    folder: Path,
    history: Path | None = None,
    evaluations: int = 1,
    seed: int,
    max_length_tokens: int,
) -> FitResult:
    """Train a sequence classifier in place; with dev rows, selection.py's step is kept, else the last.

    Args:
        model: with a classification head; parameters that do not require gradients stay as they are.
        tokenizer: the model's.
        train: rows to learn from.
        dev: rows to select on; may be empty, then the last step's weights are kept.
        label: names the run in the progress bar and the history.
        arguments: TrainingArguments of the recipe's `training` blocks.
        folder: for checkpoints; a run resumes from the newest one there.
        history: file for one line a logged step.
        evaluations: dev evaluations in an epoch.
        seed: starts dropout and orders the rows.
        max_length_tokens: longer texts are cut.

    Raises:
        RunError: the loss is not a number any more.
    """
    train_set = TokenizedRows(train, tokenizer, max_length_tokens=max_length_tokens)
    dev_set = (
        TokenizedRows(_by_length(dev), tokenizer, max_length_tokens=max_length_tokens) if len(dev) else None
    )
    settings = build_arguments(
        _with_selection(arguments, dev=len(dev) > 0, evaluations=evaluations), output_dir=folder, seed=seed
    )
    clock, bar = SelectionClock(), ProgressBar(label)
    trainer = LengthGroupedTrainer(
        model=model,
        args=settings,
        train_dataset=train_set,
        eval_dataset=dev_set,
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        callbacks=[bar, clock, LossGuard(label)],
    )
    trainer.compute_metrics = dev_metrics(lambda: _dev_accuracies(trainer))
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    if history is not None:
        trainer.add_callback(HistoryFile(history, label, seed=seed))
    # Otherwise two processes, and accumulation, multiply a BERT classifier's loss (TRAPS: "logs twice the
    # loss").
    trainer.model_accepts_loss_kwargs = False
    _say_what_follows(trainer, train_set, label)
    began = time.perf_counter()
    with quiet_library(), contextlib.closing(bar):
        trainer.train(resume_from_checkpoint=_newest_checkpoint(folder))
    seconds = time.perf_counter() - began
    # Takes the mixed-precision wrapper off, in place: from here on the model computes as `transformers` loads
    # it.
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    best = trainer.state.best_global_step if settings.load_best_model_at_end else None
    return FitResult(
        steps=trainer.state.global_step,
        best_step=best or trainer.state.global_step,
        seconds=seconds - clock.seconds,
        selection_seconds=clock.seconds,
        tokens=int(sum(train_set.lengths) * (trainer.state.epoch or 0)),
        history=trainer.state.log_history,
    )


def _with_selection(arguments: Mapping[str, Any], *, dev: bool, evaluations: int) -> dict[str, Any]:
    """Have the dev rows scored, and the best weights kept; without dev rows, neither.

    A recipe that sets when to evaluate or to save is left to it. A run without dev rows is too short to be
    worth checkpoints: its stage starts again.
    """
    if not dev:
        own = {name: value for name, value in arguments.items() if name not in SELECTING}
        return {"save_strategy": "no", **own}
    if {"eval_strategy", "save_strategy"} & set(arguments):
        return dict(arguments)
    when = {"strategy": "epoch"} if evaluations == 1 else {"strategy": "steps", "steps": 1 / evaluations}
    moments = {f"{moment}_{name}": value for moment in ("eval", "save") for name, value in when.items()}
    return {**moments, "load_best_model_at_end": True, "metric_for_best_model": "eval_selection", **arguments}


def parameter_counts(model: torch.nn.Module) -> tuple[int, int]:
    """Return (trainable, all) parameters."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def _dev_accuracies(trainer: Trainer) -> list[float]:
    return [record["eval_accuracy"] for record in trainer.state.log_history if "eval_accuracy" in record]


def _by_length(rows: Rows) -> Rows:
    """Sort rows by length, so that an evaluation in order pads little; its averages do not depend on the
    order.
    """
    return rows.take(np.argsort([len(text) for text in rows.texts], kind="stable"))


def _newest_checkpoint(folder: Path) -> str | None:
    from transformers.trainer_utils import get_last_checkpoint

    return get_last_checkpoint(str(folder)) if folder.is_dir() else None


def _say_what_follows(trainer: Trainer, train_set: TokenizedRows, label: str) -> None:
    """Log once what was derived: rows, effective batch, precision, trainable share, tokens a step."""
    settings = trainer.args
    batch = settings.train_batch_size * settings.world_size * settings.gradient_accumulation_steps
    trainable, total = parameter_counts(trainer.model)
    precision = "bfloat16" if settings.bf16 else "float16" if settings.fp16 else "float32"
    logger.info(
        "%s: %d rows, batch %d on %d process(es), %s, %s of %s parameters train (%.0f%%), "
        "about %d tokens a step",
        label,
        len(train_set),
        batch,
        settings.world_size,
        precision,
        f"{trainable:,}",
        f"{total:,}",
        100 * trainable / total,
        batch * _mean(train_set.lengths),
    )


def _mean(values: Sequence[int]) -> float:
    return sum(values) / max(1, len(values))
