"""How long a training is: passes over the target's rows, with other source rows beside them in each.

With replay one long epoch holds the target's rows as often as they are to be seen, so that each pass gets
other source rows: an epoch of the Trainer's would show the same ones again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def ends_by_steps(arguments: Mapping[str, Any]) -> bool:
    """Tell whether a number of steps ends the training; the library's own default of -1 is none.

    >>> ends_by_steps({"max_steps": 100}), ends_by_steps({"max_steps": -1}), ends_by_steps({})
    (True, False, False)
    """
    return int(arguments.get("max_steps", -1)) > 0


def passes_of(arguments: Mapping[str, Any]) -> int:
    """Return how often the rows are laid out one behind the other: once where steps end the training."""
    return 1 if ends_by_steps(arguments) else max(1, math.ceil(arguments["num_train_epochs"]))


@dataclass(frozen=True)
class Mixture:
    """The rows of one long epoch: which target row stands where, and how many source rows join them."""

    target: list[int]
    """Target row numbers, pass behind pass."""
    source: int
    """Source rows, all different."""
    passes: int
    arguments: dict[str, Any]
    """The training's, for the one epoch."""


def mixture(rows: int, source_rows: int, arguments: Mapping[str, Any], *, replay: float) -> Mixture | None:
    """Plan one long epoch of target rows with source rows beside them; None where there are none of these.

    Args:
        rows: of the target.
        source_rows: that there are to draw from.
        arguments: TrainingArguments; they say how many passes there are, or how many steps.
        replay: source rows beside each target row.
    """
    wanted = round(rows * replay)
    if not wanted or not source_rows:
        return None
    passes = passes_of(arguments)
    # A part of a pass is a part of the last one.
    share = 1 if ends_by_steps(arguments) else arguments["num_train_epochs"] / passes
    return Mixture(
        target=[row for _ in range(passes) for row in range(rows)],
        source=min(wanted * passes, source_rows),
        passes=passes,
        arguments={**arguments, "num_train_epochs": share},
    )
