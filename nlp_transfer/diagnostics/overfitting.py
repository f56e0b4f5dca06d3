"""Overfitting: the gap between learnt rows and unseen ones, and the best step against the last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nlp_transfer.diagnostics.estimates import Estimate, Integers, difference_of_shares, judged
from nlp_transfer.findings import Finding

Right = npt.NDArray[np.bool_]
# Ten points: small target sets are always learnt better than they generalise, by a few points.
MAX_GENERALISATION_GAP = 0.10
# Twenty points of chrF++: pairs that were seen many times come back better than new ones, by more than labels
# do.
MAX_CHRF_GAP = 20.0
# Dev pairs are selected on and not learnt: as with labels, ten points.
MAX_CHRF_DEV_GAP = 10.0
OVERFITTED = "label more target rows, train for fewer epochs, or use method: probe or lora"
SPECIALISED = (
    "the model knows the target better than the source: raise adaptation.replay if that still matters"
)
# In standard errors of the best dev score: the rule by which steps are selected (training/selection.py).
MAX_LAST_STEP_LOSS = 1.0


@dataclass(frozen=True)
class StepLoss:
    """The last evaluated step held against the best one, on dev rows."""

    best_step: int
    best: float
    last_step: int
    last: float
    standard_error: float
    """Of the best score."""
    dev_rows: int

    @property
    def standard_errors(self) -> float:
        """How many standard errors the last step is below the best."""
        return (self.best - self.last) / self.standard_error


def generalisation_gap(
    learnt: Right, unseen: Right, *, groups: tuple[Integers | None, Integers | None] = (None, None)
) -> Estimate:
    """Accuracy on learnt rows minus accuracy on unseen ones, with Newcombe's interval.

    For train against dev, dev against test, and the target's dev against the source's dev alike.

    Source: Goodfellow et al. 2016, Deep learning, section 5.2; interval: Newcombe 1998, method 10.

    Args:
        learnt: whether each row is right, shape (learnt rows,).
        unseen: whether each row is right, shape (unseen rows,).
        groups: group number of each row of either side, or None.
    """
    return difference_of_shares(learnt, unseen, groups=groups)


def last_step_loss(
    steps: Sequence[int],
    scores: Sequence[float],
    *,
    dev_rows: int,
    worth: float | None = None,
    standard_errors: Sequence[float] | None = None,
) -> StepLoss | None:
    """Hold the last evaluated step against the best one; None where fewer than two were evaluated.

    Args:
        steps: optimiser steps at which dev rows were scored, in order.
        scores: accuracy of each, or another score, shape (evaluations,).
        dev_rows: how many there are.
        worth: as how many independent rows they tell of an accuracy (`clusters.effective_rows`); None: all.
        standard_errors: of each score, above 0; None is for accuracies, sqrt(p (1 - p) / n).
    """
    if len(steps) < 2:
        return None
    best = int(np.argmax(scores))
    # As in training/selection.py: a score of 0 or 1 still has an error.
    if standard_errors is not None:
        error = standard_errors[best]
    else:
        error = math.sqrt(max(scores[best] * (1 - scores[best]), 1e-4) / max(1, worth or dev_rows))
    return StepLoss(steps[best], scores[best], steps[-1], scores[-1], error, dev_rows)


def generalisation_finding(
    gap: Estimate,
    *,
    sides: tuple[str, str] = ("train", "test"),
    threshold: float | None = MAX_GENERALISATION_GAP,
    score: str = "accuracy",
    factor: float = 100.0,
    unit: str = "points",
    advice: str = OVERFITTED,
) -> Finding:
    """Word the gap between two sets of rows; warn where it is surely above `threshold`.

    Args:
        gap: score of the first side minus that of the second.
        sides: their names.
        threshold: in the score's own unit; None where the two sides' scores are not of one scale, so that
            the gap informs.
        score: what it is a gap of.
        factor: from the score's own unit to the one that is written.
        unit: the one that is written.
        advice: where it warns.
    """
    return judged(
        f"generalisation_{sides[0]}_{sides[1]}".replace(" ", "_"),
        gap,
        threshold=threshold,
        bad=threshold is not None and gap.low is not None and gap.low > threshold,
        evidence=f"{score} on {sides[0]} rows is above that on {sides[1]} rows by "
        f"{gap.words('+.1f', factor=factor)}, in {unit}",
        advice=advice,
    )


def last_step_finding(
    loss: StepLoss | None, *, trainings: int = 1, threshold: float = MAX_LAST_STEP_LOSS
) -> Finding:
    """Word the best step against the last; warn where the last is more standard errors below it.

    Args:
        loss: of one training.
        trainings: whose weights were averaged; it is the first of them.
        threshold: in standard errors.
    """
    if loss is None:
        return Finding(
            "last_step",
            "info",
            None,
            threshold,
            "not measured: fewer than two steps were scored on dev rows",
            "",
        )
    bad = loss.standard_errors > threshold
    return Finding(
        "last_step",
        "warn" if bad else "info",
        loss.standard_errors,
        threshold,
        f"best at step {loss.best_step:,} ({loss.best:.3f}), last at step {loss.last_step:,} "
        f"({loss.last:.3f}): {loss.standard_errors:.1f} standard errors lower "
        f"(n = {loss.dev_rows:,} dev rows"
        + (f"; the first of {trainings} trainings)" if trainings > 1 else ")"),
        "train for fewer epochs, or with a lower learning rate" if bad else "",
    )
