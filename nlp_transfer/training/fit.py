"""Builds and runs the Hugging Face Trainer: one call trains one model on one set of rows.

The Trainer's loop, precision, sharding and checkpoints are used as they are. The one subclass decides only
where batches come from (samplers.py). What to train on, and what for, is left to the recipes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerBase, Trainer

from nlp_transfer.data.rows import Rows
from nlp_transfer.models.frozen_layers import STATES, FrozenLayers, StatesCollator
from nlp_transfer.models.sequences import Sequences
from nlp_transfer.models.token_cache import token_columns
from nlp_transfer.training.arguments import build_arguments
from nlp_transfer.training.class_weights import weighted_loss
from nlp_transfer.training.loop import (
    FitResult,
    TrainingRun,
    earlier_values,
    parameter_counts,
    run_trainer,
    say_what_follows,
    with_selection,
)
from nlp_transfer.training.mixed_batches import MixedClassifier, learn_unlabelled
from nlp_transfer.training.mixing import LEAST_ROWS, Mixing, mix_weights
from nlp_transfer.training.processes import num_processes
from nlp_transfer.training.samplers import LengthGroupedSampler, padding_share
from nlp_transfer.training.selection import RESAMPLED, dev_metrics
from nlp_transfer.training.shards import in_shards

__all__ = ["FitResult", "LengthGroupedTrainer", "TokenizedRows", "TrainingRun", "fit", "parameter_counts"]


class TokenizedRows(Dataset[dict[str, Any]]):
    """Texts as token ids beside their labels; `lengths` holds the tokens of each."""

    def __init__(self, rows: Rows, tokenizer: PreTrainedTokenizerBase, *, max_length_tokens: int) -> None:
        self.texts = rows.texts
        self.columns = token_columns(tokenizer, rows.texts, max_length_tokens=max_length_tokens)
        self.states: Sequences | None = None
        self.labels = rows.labels
        self.lengths: list[int] = self.columns["input_ids"].lengths.tolist()

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> dict[str, Any]:
        columns: dict[str, Any] = {name: values[row].tolist() for name, values in self.columns.items()}
        if self.states is not None:
            columns[STATES] = self.states[row]
        return {**columns, "labels": int(self.labels[row])}

    def take_states(self, frozen: FrozenLayers) -> None:
        """Hold beside each text what frozen layers make of it."""
        self.states = frozen.states(self.texts, self.columns)


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


def fit(
    model: PreTrainedModel | MixedClassifier,
    tokenizer: PreTrainedTokenizerBase,
    train: Rows,
    dev: Rows,
    *,
    run: TrainingRun,
    arguments: Mapping[str, Any],
    evaluations: int = 1,
    max_length_tokens: int,
    mixing: Mixing | None = None,
    class_weights: npt.NDArray[np.float64] | None = None,
    selection_metric: str = "accuracy",
    early_stopping: int | None = None,
    frozen_layers: int = 0,
    after_training: Callable[[nn.Module], None] | None = None,
) -> FitResult:
    """Train a sequence classifier in place; with dev rows, selection.py's step is kept, else the last.

    Args:
        model: with a classification head; parameters that do not require gradients stay as they are. A
            `MixedClassifier` learns from the rows without labels too.
        tokenizer: the model's.
        train: rows to learn from.
        dev: rows to select on; may be empty, then the last step's weights are kept.
        run: which training this is.
        arguments: TrainingArguments of the recipe's `training` blocks.
        evaluations: dev evaluations in the whole training; 1 evaluates after each epoch.
        max_length_tokens: longer texts are cut.
        mixing: which mix with the weights before training is kept; None keeps the trained ones.
        class_weights: of the classes in the loss, shape (classes,); None weighs all alike.
        selection_metric: `accuracy` or `macro_f1` of the dev rows decides which step is kept.
        early_stopping: see `run_trainer`.
        frozen_layers: first layers of the encoder that are not trained; they compute each text once.
        after_training: changes the trained model in place, before a mix is chosen (soup.py).

    Raises:
        ConfigError: rows without labels are to be learnt in shards.
        RunError: the loss is not a number any more.
    """

    def tokenized(rows: Rows | None) -> TokenizedRows | None:
        if rows is None or not len(rows):
            return None
        return TokenizedRows(_by_length(rows), tokenizer, max_length_tokens=max_length_tokens)

    train_set = TokenizedRows(train, tokenizer, max_length_tokens=max_length_tokens)
    dev_set, source_set = tokenized(dev), tokenized(None if mixing is None else mixing.source_dev)
    settings = build_arguments(
        with_selection(arguments, dev=len(dev) > 0, evaluations=evaluations, label=run.title),
        output_dir=run.folder,
        seed=run.seed,
    )
    began = time.perf_counter()
    frozen = None
    if frozen_layers and num_processes() == 1 and not in_shards():
        frozen = FrozenLayers(model, tokenizer, layers=frozen_layers, max_length_tokens=max_length_tokens)
        frozen = _with_states(frozen, [each for each in (train_set, dev_set, source_set) if each is not None])
    encoding_seconds = time.perf_counter() - began
    collate: Any = DataCollatorWithPadding(tokenizer)
    trainer = LengthGroupedTrainer(
        model=model,
        args=settings,
        train_dataset=train_set,
        eval_dataset=dev_set,
        data_collator=collate if frozen is None else StatesCollator(collate, tokenizer),
        processing_class=tokenizer,
    )
    trainer.compute_metrics = dev_metrics(
        lambda: earlier_values(trainer, f"eval_{selection_metric}"), metric=selection_metric
    )
    if isinstance(model, MixedClassifier):
        learn_unlabelled(trainer, model, class_weights)
    elif class_weights is not None:
        trainer.compute_loss_func = weighted_loss(class_weights)
    # Otherwise two processes, and accumulation, multiply a BERT classifier's loss (TRAPS: "logs twice the
    # loss").
    trainer.model_accepts_loss_kwargs = False
    batch = settings.train_batch_size * settings.world_size * settings.gradient_accumulation_steps
    tokens = sum(train_set.lengths)
    say_what_follows(
        trainer, run.title, rows=len(train_set), batch=f"batch {batch}",
        tokens_a_step=batch * tokens / max(1, len(train_set)),
    )  # fmt: skip
    with nullcontext() if frozen is None else frozen.standing_in():
        result = run_trainer(trainer, run, tokens_an_epoch=tokens, early_stopping=early_stopping)
        result = dataclasses.replace(result, seconds=result.seconds + encoding_seconds)
        order, size = list(trainer._get_train_sampler()), settings.train_batch_size
        batches = [order[first : first + size] for first in range(0, len(order), size)]
        result = dataclasses.replace(result, padding_share=padding_share(batches, train_set.lengths))
        if after_training is not None:
            after_training(result.model)
        if mixing is None:
            return result
        began = time.perf_counter()
        choice = mix_weights(
            trainer, mixing, source_dev=source_set,
            resampled=RESAMPLED[selection_metric], least_rows=LEAST_ROWS, label=run.label,
        )  # fmt: skip
    return result.with_mix(choice, seconds=time.perf_counter() - began)


def _with_states(frozen: FrozenLayers, sets: Sequence[TokenizedRows]) -> FrozenLayers | None:
    """Have sets of rows hold the states of frozen layers; None where those would be too large."""
    if not frozen.fit_in(sum(sum(each.lengths) for each in sets)):
        return None
    for each in sets:
        each.take_states(frozen)
    return frozen


def _by_length(rows: Rows) -> Rows:
    """Sort rows by length, so that an evaluation in order pads little; its averages do not depend on the
    order.
    """
    return rows.take(np.argsort([len(text) for text in rows.texts], kind="stable"))
