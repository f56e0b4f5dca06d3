"""Self-training: an averaged teacher guesses the labels of unlabelled rows, the student learns the sure ones.

The teacher is the exponential moving average of the student's weights (Tarvainen and Valpola 2017, Mean
teachers are better role models); only guesses above a threshold are learnt (Sohn et al. 2020, FixMatch), with
dropout as the student's noise.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from nlp_transfer.training.mixed_batches import Inputs
from nlp_transfer.training.mixing import set_mix, trained_weights


def confident(probabilities: torch.Tensor, threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the likeliest class of each row, and whether it is as likely as the threshold or more.

    >>> confident(torch.tensor([[0.25, 0.75], [0.95, 0.05]]), 0.9)
    (tensor([1, 0]), tensor([False,  True]))
    """
    highest, guessed = probabilities.max(dim=-1)
    return guessed, highest >= threshold


def kept_share(step: int, *, averaging: float) -> float:
    """Return how much of the teacher stays after a step: less in the first ones, when it knows little.

    >>> kept_share(1, averaging=0.99) < kept_share(100, averaging=0.99) < kept_share(10_000, averaging=0.99)
    True
    """
    return min(averaging, (1 + step) / (10 + step))


@torch.no_grad()
def average_into(teacher: nn.Module, student: nn.Module, *, kept: float) -> None:
    """Move each of the teacher's weights to `kept` of itself and the rest of the student's, in place."""
    for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
        if new.requires_grad:
            old.lerp_(new.to(old.dtype), 1 - kept)


class AveragedTeacher(nn.Module):
    """The part of a `MixedClassifier` that learns an averaged teacher's sure guesses.

    Args:
        student: the classifier; the teacher starts as its copy.
        threshold: guesses that are less likely are not learnt.
        averaging: share of the teacher that stays at each step, see `kept_share`.
        change_kept: share of what the training changes that the student keeps at its end.
    """

    def __init__(
        self, student: nn.Module, *, threshold: float, averaging: float, change_kept: float = 1.0
    ) -> None:
        super().__init__()
        self.change_kept = change_kept
        self._before = trained_weights(student) if change_kept < 1 else None
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        self.threshold, self.averaging = threshold, averaging
        self._seen: list[torch.Tensor] = []
        self.train(False)

    def train(self, mode: bool = True) -> AveragedTeacher:
        """Stay as for scoring: the teacher guesses without dropout."""
        super().train(False)
        return self

    @torch.no_grad()
    def prepare(self, inputs: Inputs, unlabelled: torch.Tensor) -> tuple[Inputs, Any]:
        """Let the teacher guess; see `UnlabelledPart`."""
        if not bool(unlabelled.any()):
            return inputs, None
        rows = {name: values[unlabelled] for name, values in inputs.items()}
        guessed, sure = confident(self.teacher(**rows).logits.float().softmax(dim=-1), self.threshold)
        self._seen.append(sure.float().mean())
        return inputs, (unlabelled, guessed, sure)

    def losses(self, logits: torch.Tensor, known: Any) -> torch.Tensor:
        """Return the cross-entropy of the sure guesses; see `UnlabelledPart`."""
        if known is None:
            return logits.sum() * 0
        unlabelled, guessed, sure = known
        each = functional.cross_entropy(logits[unlabelled].float(), guessed, reduction="none")
        total: torch.Tensor = (each * sure).sum()
        return total

    def after_step(self, classifier: nn.Module, step: int) -> None:
        """Move the teacher towards the student; see `UnlabelledPart`."""
        average_into(self.teacher, classifier, kept=kept_share(step, averaging=self.averaging))

    @torch.no_grad()
    def after_training(self, classifier: nn.Module) -> None:
        """Keep a share of the change; see `UnlabelledPart`."""
        if self._before is not None:
            set_mix(classifier, self._before, trained_weights(classifier), alpha=self.change_kept)

    def figures(self) -> dict[str, float]:
        """Return the share of unlabelled rows whose guess was sure; see `UnlabelledPart`."""
        seen, self._seen = self._seen, []
        return {"sure_share": float(torch.stack(seen).mean())} if seen else {}
