"""Labelled and unlabelled rows in one training: the same batches, one loss for each kind, added.

A row without a label carries `NO_LABEL`. What such a row teaches is a part of its own: masked words
(masked.py) or an averaged teacher's guesses (self_training.py). Batches, checkpoints and resuming are those
of every other training: the Trainer gets one module that holds the classifier and that part.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional
from transformers import Trainer, TrainerCallback

from nlp_transfer.errors import ConfigError

# The class id of a row without a label; `cross_entropy` leaves it out.
NO_LABEL = -100
Inputs = dict[str, torch.Tensor]


class UnlabelledPart(Protocol):
    """What rows without labels teach: a module, since it may hold weights of its own."""

    def prepare(self, inputs: Inputs, unlabelled: torch.Tensor) -> tuple[Inputs, Any]:
        """Return the inputs that the classifier gets, and what `losses` needs to know.

        Args:
            inputs: of the whole batch, each of shape (rows, tokens).
            unlabelled: which rows have no label, shape (rows,).
        """

    def losses(self, logits: torch.Tensor, known: Any) -> torch.Tensor:
        """Return the sum of the unlabelled rows' losses, a scalar.

        Args:
            logits: of the whole batch, shape (rows, classes).
            known: what `prepare` returned.
        """

    def after_step(self, classifier: nn.Module, step: int) -> None:
        """Follow the classifier after so many optimizer steps."""

    def after_training(self, classifier: nn.Module) -> None:
        """Settle the classifier's weights, once the step to keep was chosen."""

    def figures(self) -> dict[str, float]:
        """Return what the history tells of the steps since it was last asked."""


class MixedClassifier(nn.Module):
    """A classifier whose training loss is that of labelled rows plus `weight` times that of unlabelled ones.

    The loss is a sum over rows divided by the rows of the batch, so that the few rows of one kind that a
    batch may hold count no more than others. While it is scored it is the classifier alone.

    Args:
        classifier: a sequence classifier, with or without adapters.
        part: what unlabelled rows teach.
        weight: of their loss.
    """

    def __init__(self, classifier: nn.Module, part: nn.Module, *, weight: float) -> None:
        super().__init__()
        self.classifier = classifier
        self.part: Any = part
        self.weight = weight
        self.class_weights: npt.NDArray[np.float64] | None = None

    def get_input_embeddings(self) -> nn.Module:
        """Return the classifier's; the Trainer asks for them."""
        return self.classifier.get_input_embeddings()  # type: ignore[operator, no-any-return]

    def forward(self, labels: torch.Tensor, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return `loss`, a scalar, and `logits` of shape (rows, classes)."""
        known = None
        if self.training:
            inputs, known = self.part.prepare(inputs, labels == NO_LABEL)
        logits = self.classifier(**inputs).logits
        loss = functional.cross_entropy(
            logits, labels, weight=self._weights_like(logits), ignore_index=NO_LABEL, reduction="sum"
        )
        if self.training:
            loss = loss + self.weight * self.part.losses(logits, known)
        return {"loss": loss / len(labels), "logits": logits}

    def _weights_like(self, logits: torch.Tensor) -> torch.Tensor | None:
        if self.class_weights is None:
            return None
        return torch.as_tensor(self.class_weights, dtype=logits.dtype, device=logits.device)


class _PartOfTraining(TrainerCallback):  # type: ignore[misc]
    """Lets the part of a `MixedClassifier` follow its classifier, and say how it does in the history."""

    def __init__(self, model: MixedClassifier) -> None:
        self.model = model

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.model.part.after_step(self.model.classifier, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.model.part.after_training(self.model.classifier)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "loss" in logs:
            logs.update(self.model.part.figures())


def learn_unlabelled(
    trainer: Trainer, model: MixedClassifier, class_weights: npt.NDArray[np.float64] | None
) -> None:
    """Make a Trainer ready for a `MixedClassifier`.

    Args:
        trainer: whose model it is.
        model: the same one, without what accelerate puts around it.
        class_weights: of the labelled rows' classes, shape (classes,); None weighs all alike.

    Raises:
        ConfigError: the run was launched to train in shards; the teacher would not be cut with the model.
    """
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        raise ConfigError(
            "adaptation.unlabelled does not train in shards; launch it with recipes/accelerate/multi_gpu.yaml"
        )
    model.class_weights = class_weights
    trainer.add_callback(_PartOfTraining(model))
