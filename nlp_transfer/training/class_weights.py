"""Class weights: a rare class counts as much as a common one in what is learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Array = npt.NDArray[np.float64]


def class_weights(labels: npt.NDArray[np.int64], classes: int, kind: str | None) -> Array | None:
    """Return the weights that a recipe asks for: `balanced`, or None for none."""
    return None if kind is None else balanced_weights(labels, classes)


def balanced_weights(labels: Sequence[int] | npt.NDArray[np.int64], classes: int) -> Array:
    """Return the inverse of each class's share, scaled so that the rows' weights are 1 on average.

    n / (k n_c), as scikit-learn's `class_weight="balanced"` (King and Zeng 2001). A class without rows gets
    weight 0, and k counts the others alone.

    >>> balanced_weights([0, 0, 0, 1], 2).round(3).tolist()
    [0.667, 2.0]
    """
    counts = np.bincount(np.asarray(labels, dtype=np.int64), minlength=classes)
    present = max(1, int((counts > 0).sum()))
    return np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 0.0)


def weighted_loss(weights: Array) -> Callable[..., torch.Tensor]:
    """Build the Trainer's `compute_loss_func`: each row's cross-entropy times the weight of its class.

    The sum is divided by the number of rows, not by their weights: a batch of common rows alone then counts
    less than one with a rare row in it, and accumulated batches are what one large batch is.
    """

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits = outputs["logits"]
        chosen = torch.as_tensor(weights, dtype=logits.dtype, device=logits.device)
        total = functional.cross_entropy(logits, labels, weight=chosen, reduction="sum")
        rows = len(labels) if num_items_in_batch is None else num_items_in_batch
        divided: torch.Tensor = total / rows
        return divided

    return loss
