"""Which mix of a model's weights before and after adaptation is kept, by its scores on dev rows.

Mixing weights and scoring mixed models is left to training/mixing.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nlp_transfer.runs import damage_told
from nlp_transfer.whole_files import write_json

Array = npt.NDArray[np.float64]
# In the run folder.
MIX_FILE = "mix.json"
# `best`: the highest target dev score. `balanced`: of those not clearly lower, the best on the source.
Rule = Literal["best", "balanced"]


@dataclass(frozen=True)
class MixPoint:
    """One mix (1 - alpha) theta_start + alpha theta_adapted, scored on dev rows."""

    alpha: float
    target: float
    source: float | None = None
    """None where there is no source domain."""


@dataclass(frozen=True)
class MixChoice:
    """The mix that is kept, and between which ones there was a choice."""

    alpha: float
    rule: Rule
    points: list[MixPoint]
    """By alpha; none where the dev rows were too few to choose on."""
    dev_rows: int
    """Of the target."""
    standard_error: float
    """Of the target score's difference between the kept mix and the best one, paired; 0 if they are one."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MixChoice:
        """Build it out of plain values."""
        return cls(**{**values, "points": [MixPoint(**point) for point in values["points"]]})


def choose_mix(
    alphas: Sequence[float],
    target: Array,
    source: Array | None = None,
    *,
    dev_rows: int,
    rule: Rule = "best",
) -> MixChoice:
    """Choose a mix by its dev scores.

    `best` takes the highest target score. `balanced` takes, of all mixes whose target score is within one
    standard error of the best one's, that with the best source score. Among equals the start is
    taken, for then nothing was gained, or else the one with most of the adapted weights: accuracies of a few
    dozen rows are often equal, and once half of a change cost 3.6 points on other rows (`mix_ties` in
    benchmarks/results/defaults.json).

    Source: Wortsman et al. 2022, Robust fine-tuning of zero-shot models (WiSE-FT), equation 1; the
    one-standard-error rule is that of Breiman et al. 1984, section 3.4.3, here of paired differences.

    Args:
        alphas: shares of the adapted weights, ascending.
        target: target dev scores, shape (mixes, 1 + resamples): the score, then its value in each resample of
            the rows, the same resamples for all mixes.
        source: source dev scores, shape (mixes,); None where there is no source.
        dev_rows: target dev rows behind the scores.
        rule: see above; without a source both are `best`.
    """
    scores = target[:, 0]
    best = _highest(scores, alphas)
    errors = (target[best, 1:] - target[:, 1:]).std(axis=1, ddof=1)
    chosen = best
    if rule == "balanced" and source is not None:
        near = np.where(scores >= scores[best] - errors, source, -np.inf)
        chosen = _highest(near, alphas)
    points = [
        MixPoint(float(alpha), float(scores[place]), None if source is None else float(source[place]))
        for place, alpha in enumerate(alphas)
    ]
    return MixChoice(float(alphas[chosen]), rule, points, dev_rows, float(errors[chosen]))


def _highest(scores: Array, alphas: Sequence[float]) -> int:
    """Return where the highest score stands; of equals the start's place, or else the last."""
    places = np.flatnonzero(scores == scores.max())
    return int(places[0] if alphas[places[0]] == 0 else places[-1])


def pareto_frontier(points: Sequence[MixPoint]) -> list[MixPoint]:
    """Return the points that no other one beats on one domain without losing on the other, by alpha.

    >>> mixes = [MixPoint(0, 0.7, 0.9), MixPoint(0.5, 0.6, 0.8), MixPoint(1, 0.8, 0.7)]
    >>> [point.alpha for point in pareto_frontier(mixes)]
    [0, 1]
    """
    kept = [point for point in points if not any(_dominates(other, point) for other in points)]
    return sorted(kept, key=lambda point: point.alpha)


def _dominates(first: MixPoint, second: MixPoint) -> bool:
    pairs = [(first.target, second.target), (first.source or 0.0, second.source or 0.0)]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def write_mix(folder: Path, choice: MixChoice | None) -> None:
    """Keep in `mix.json` which mix a run keeps, where it is not all of the change unasked."""
    if choice is not None:
        write_json(folder / MIX_FILE, choice.as_dict())


def read_mix(folder: Path) -> MixChoice | None:
    """Read a run's choice; None where there was none."""
    path = folder / MIX_FILE
    with damage_told(path):
        return MixChoice.from_dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
