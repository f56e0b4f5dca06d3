"""Which evaluated step is kept: the last one that is not clearly worse than the best.

A few dozen dev rows cannot tell neighbouring steps apart, and a schedule that ends at learning rate zero is
usually best at its end: taking the highest dev score would take an early step by luck (one run on newspaper
sentences with 256 labels and replay 0.5: 82.3 against 84.8). So a later step replaces an earlier one unless
it is worse by more than one standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def selection_score(accuracy: float, earlier: Sequence[float], *, rows: int) -> int:
    """Score a step by the one-standard-error rule (Breiman et al. 1984, section 3.4.3), turned to the latest
    step.

    Args:
        accuracy: of this step on the dev rows.
        earlier: accuracies of the steps before it, in order.
        rows: dev rows.

    Returns:
        The step's place if it is kept for now, 0 if an earlier one is clearly better; the highest score wins.

    >>> selection_score(0.80, [0.82], rows=50), selection_score(0.60, [0.82], rows=50)
    (2, 0)
    """
    if not earlier:
        return 1
    best = max(earlier)
    standard_error = math.sqrt(max(best * (1 - best), 1e-4) / max(1, rows))
    return len(earlier) + 1 if accuracy >= best - standard_error else 0


def dev_metrics(earlier: Callable[[], Sequence[float]]) -> Callable[[Any], dict[str, float]]:
    """Build the Trainer's `compute_metrics`: accuracy, and the selection score beside it.

    Args:
        earlier: returns the dev accuracies of the steps before; they come from the Trainer's history, so that
            a
            resumed run selects as an uninterrupted one does.
    """

    def compute(prediction: Any) -> dict[str, float]:
        right = np.asarray(prediction.predictions).argmax(-1) == prediction.label_ids
        accuracy = float(right.mean())
        return {"accuracy": accuracy, "selection": selection_score(accuracy, earlier(), rows=len(right))}

    return compute
