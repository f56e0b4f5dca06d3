"""Loss of specifics: what adaptation cost on the source, how far weights moved, which mix was kept.

Weights come as state dicts of NumPy or torch tensors; averaging and scoring mixed models is left to others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.diagnostics.estimates import RESAMPLES, Estimate, Integers, judged, paired_difference
from nlp_transfer.evaluation.mixes import MixChoice
from nlp_transfer.findings import Finding

# Two points of accuracy on the source are more than its test rows' noise in a full run.
MIN_BACKWARD_TRANSFER = -0.02
# Beyond this loss of chrF++ on the parent's pairs a user would notice it.
MIN_CHRF_BACKWARD_TRANSFER = -1.0


@dataclass(frozen=True)
class Drift:
    """How far weights moved from where they started, relative to their size."""

    by_layer: dict[str, float]
    """Layer to |theta - theta0| / |theta0|; layers that started at zero are left out."""
    overall: float | None
    """The same of all compared weights together; None where there are none."""
    compared: int
    """Number of weights."""
    unmatched: list[str]
    """Tensors that only one side has, or that changed their shape: a new head, new tokens."""


def backward_transfer(
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    *,
    groups: Integers | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Source score after adaptation minus before, on the same source test rows; below 0 is forgetting.

    Source: Lopez-Paz and Ranzato 2017, Gradient episodic memory, equation 3, with one task before.

    Args:
        before: score of each row under the source model, shape (rows,); right or wrong as 1 or 0.
        after: the same rows under the adapted model.
        groups: group number of each row, or None.
        resamples: of the paired bootstrap.
        seed: of the bootstrap.
    """
    return paired_difference(after, before, groups=groups, resamples=resamples, seed=seed)


def weight_drift(before: Mapping[str, Any], after: Mapping[str, Any]) -> Drift:
    """Measure |theta - theta0| / |theta0| of each layer and of all weights (Euclidean norms).

    Source: the distance that Li et al. 2018, Explicit inductive bias for transfer learning with
    convolutional networks, penalise (L2-SP), divided by the norm of the start.

    Args:
        before: state dict of the model that adaptation started from; NumPy or torch tensors.
        after: state dict of the adapted model (for LoRA: merged).
    """
    moved: dict[str, float] = {}
    start: dict[str, float] = {}
    unmatched = sorted(set(before) ^ set(after))
    compared = 0
    for name in sorted(set(before) & set(after)):
        theta0, theta = _float_array(before[name]), _float_array(after[name])
        if theta0.shape != theta.shape:
            unmatched.append(name)
            continue
        layer = layer_of(name)
        moved[layer] = moved.get(layer, 0.0) + float(np.square(theta - theta0).sum())
        start[layer] = start.get(layer, 0.0) + float(np.square(theta0).sum())
        compared += theta0.size
    whole = sum(start.values())
    return Drift(
        by_layer={layer: math.sqrt(moved[layer] / start[layer]) for layer in moved if start[layer] > 0},
        overall=math.sqrt(sum(moved.values()) / whole) if whole > 0 else None,
        compared=compared,
        unmatched=sorted(unmatched),
    )


def layer_of(name: str) -> str:
    """Return the layer that a tensor belongs to: up to its first number, else without its last part.

    >>> layer_of("bert.encoder.layer.3.output.dense.weight"), layer_of("classifier.weight")
    ('bert.encoder.layer.3', 'classifier')
    """
    parts = name.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdecimal()]
    return ".".join(parts[: numbers[0] + 1] if numbers else parts[:-1] or parts)


def forgetting_finding(
    change: Estimate,
    *,
    threshold: float = MIN_BACKWARD_TRANSFER,
    score: str = "accuracy",
    factor: float = 100.0,
    unit: str = "points",
) -> Finding:
    """Word what adaptation changed on the source; warn below `threshold`.

    Args:
        change: source score after minus before.
        threshold: in the score's own unit.
        score: what it is a change of.
        factor: from the score's own unit to the one that is written.
        unit: the one that is written.
    """
    return judged(
        "forgetting",
        change,
        threshold=threshold,
        bad=change.value is not None and change.value < threshold,
        evidence=f"{score} on the source test rows changed by "
        f"{change.words('+.1f', factor=factor)}, in {unit}",
        advice="raise adaptation.replay, or keep a mix of source and adapted weights, if the source still "
        "matters",
    )


def drift_finding(drift: Drift, *, layers: int = 3) -> Finding:
    """Word how far the weights moved, with the layers that moved most; it informs."""
    most = sorted(drift.by_layer.items(), key=lambda item: -item[1])[:layers]
    named = ", ".join(f"{layer} {value:.1%}" for layer, value in most)
    if drift.overall is None:
        evidence = "not measured: the two models have no weights in common"
    else:
        evidence = (
            f"weights moved by {drift.overall:.1%} of their size (n = {drift.compared:,}); most: {named}"
        )
    if drift.unmatched:
        evidence += f"; {len(drift.unmatched)} tensors are new or were resized"
    return Finding("weight_drift", "info", drift.overall, None, evidence, "")


def mix_finding(choice: MixChoice, *, metric: str) -> Finding:
    """Word which mix of start and adapted weights is kept, and what chose it; it informs.

    Args:
        choice: the run's.
        metric: of the scores.
    """
    kept = f"{choice.alpha:g} of the change of the weights is kept"
    if not choice.points:
        few = f"{kept}: the labels are few, and {choice.dev_rows:,} dev rows choose no other share"
        return Finding("weight_mix", "info", choice.alpha, 0.0, few, "")
    scale = 1 if metric == "chrf++" else 100
    reach = "; ".join(
        f"{point.alpha:g}: {point.target * scale:.1f}"
        + ("" if point.source is None else f" and {point.source * scale:.1f} on the source")
        for point in choice.points
    )
    evidence = f"{kept}, chosen by {metric} on n = {choice.dev_rows:,} dev rows ({reach})"
    kept_start = "the dev rows show no gain from adapting: more target rows are needed, or other ones"
    return Finding(
        "weight_mix", "warn" if choice.alpha == 0 else "info", choice.alpha, 0.0, evidence,
        kept_start if choice.alpha == 0 else "",
    )  # fmt: skip


def _float_array(tensor: Any) -> npt.NDArray[np.float64]:
    """Return a NumPy or torch tensor, bfloat16 too, as a float64 array."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().double().cpu().numpy()
    return np.asarray(tensor, dtype=np.float64)
