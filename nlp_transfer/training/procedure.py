"""How a classifier is made, and what of it follows from the number of labelled rows where a recipe is silent.

The rules for passes, source rows beside the target's, the share of the change that is kept and the trainings
that are averaged stand here, with what each was chosen by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlp_transfer.errors import ModelError
from nlp_transfer.evaluation.mixes import Rule
from nlp_transfer.training.passes import ends_by_steps
from nlp_transfer.training.shards import in_shards


@dataclass(frozen=True)
class Procedure:
    """How a classifier is made: plain values out of a recipe."""

    method: str
    label_names: list[str]
    max_length_tokens: int
    seed: int
    arguments: Mapping[str, Any]
    """TrainingArguments."""
    freeze_layers: int = 0
    rank: int = 16
    alpha: int = 32
    target_modules: str | Sequence[str] = "auto"
    replay: float | None = 0.0
    """Source rows beside each target row; None follows from the number of target rows."""
    mix: Rule | float | None = None
    """Which mix with the start's weights is kept (training/mixing.py); None keeps the trained ones."""
    soup: int | None = 1
    """Trainings whose weights are averaged (training/soup.py); None follows from the number of rows."""
    class_weights: str | None = None
    """`balanced`: each class counts alike in the loss; None: each row."""
    selection_metric: str = "accuracy"
    """Of the dev rows: `accuracy` or `macro_f1`."""
    early_stopping: int | None = None
    """Dev scorings in a row, clearly worse than the best, that end the training."""


# Adapters start at zero and need larger steps than the weights that they stand beside.
METHOD_ARGUMENTS: dict[str, dict[str, Any]] = {"lora": {"learning_rate": 1e-3}}
# Times that rows are seen: more often the fewer there are, once from about 6,000 on.
# benchmarks/results/defaults.json has the runs.
PASSES_AT_64, MIN_PASSES, MAX_PASSES = 12, 1, 24
# At equal learning rate a source row beside each target row helped with 16 labels on three targets and with
# 64 on one; with 1,024 a quarter of one did better than a whole one on three (by 0.4 to 2.7 points, one seed
# each).
REPLAY_IN_FULL_UP_TO = 64


# So few labels choose no mix, and what they teach holds for the domain in part only: with 16 labels three
# quarters of the change lost half as much where the whole change lost (movies, editorials), and were as good
# where it gained (products, tweets): +0.4 points over twelve cells (defaults.json, `mix_few_labels`).
FEW_ROWS, MIX_OF_FEW = 32, 0.75
# Trainings that are averaged where there are no more target rows. The mean of four was above their own scores
# on average by about a point, with 16 labels as with 1,024; six were no better than four, and where rows are
# many one training takes long (defaults.json, `soup`).
MEMBERS, SOUP_UP_TO = 4, 2_000


def mix_without_dev(rows: int) -> float:
    """Return which share of the change is kept after so many target rows, where no dev rows choose it.

    >>> mix_without_dev(16), mix_without_dev(64)
    (0.75, 1.0)
    """
    return MIX_OF_FEW if rows <= FEW_ROWS else 1.0


def soup_for(procedure: Procedure, rows: int) -> int:
    """Return how many trainings on so many target rows are averaged.

    Raises:
        ModelError: several are asked for, and the weights are in shards.
    """
    if procedure.soup is not None and procedure.soup > 1 and in_shards():
        raise ModelError("weights in shards (FSDP, DeepSpeed) are not averaged; leave adaptation.soup out")
    if procedure.soup is not None:
        return procedure.soup
    # A number of steps is that of one training.
    one = in_shards() or ends_by_steps(procedure.arguments)
    return 1 if one or rows > SOUP_UP_TO else MEMBERS


def training_arguments(rows: int, procedure: Procedure) -> dict[str, Any]:
    """Return the TrainingArguments of a training on so many target rows, with its number of passes."""
    arguments = {**METHOD_ARGUMENTS.get(procedure.method, {}), **procedure.arguments}
    if not ends_by_steps(arguments):
        arguments.setdefault("num_train_epochs", passes_for(rows))
    return arguments


def replay_for(rows: int) -> float:
    """Return how many source rows are learnt beside each of so many target rows by default."""
    return min(1.0, math.sqrt(REPLAY_IN_FULL_UP_TO / max(1, rows)))


def passes_for(rows: int) -> int:
    """Return how many times so many target rows are seen by default."""
    return int(np.clip(round(PASSES_AT_64 * math.sqrt(64 / max(1, rows))), MIN_PASSES, MAX_PASSES))
