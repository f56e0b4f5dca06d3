"""What a run keeps of a model's answers and of a domain's texts, for the diagnostics of either task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nlp_transfer.diagnostics.estimates import Array, Features, Integers
from nlp_transfer.diagnostics.privacy import row_losses

# Predictions are kept with six digits: what reads 0 there is less than this.
SMALLEST_PROBABILITY = 5e-7


@dataclass(frozen=True)
class Answers:
    """A model's answers to rows whose labels are known."""

    probabilities: Array
    """Shape (rows, classes)."""
    labels: Integers
    """True class ids, shape (rows,)."""
    groups: Integers | None = None
    """Group number of each row, shape (rows,), or None where rows stand alone."""

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether each is right, shape (rows,)."""
        right: npt.NDArray[np.bool_] = self.probabilities.argmax(axis=1) == self.labels
        return right

    @property
    def losses(self) -> Array:
        """Loss of each row in nats, shape (rows,)."""
        return row_losses(self.probabilities.clip(SMALLEST_PROBABILITY), self.labels)


@dataclass(frozen=True)
class TextSample:
    """A sample of one domain's texts, as a frozen pretrained encoder and its tokenizer see them."""

    ids: npt.NDArray[np.str_]
    """Of the rows that the texts are from, shape (texts,)."""
    features: Features
    """Shape (texts, hidden)."""
    token_counts: Integers
    """Tokens without special ones, shape (texts,)."""
    word_counts: Integers
    """Shape (texts,)."""
    groups: Integers | None = None
    """Group number of each text, shape (texts,), or None where texts stand alone."""
