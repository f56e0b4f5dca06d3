"""From predictions to the report's numbers: scores with intervals, paired comparisons, the verdict.

One mechanism for both tasks; what a prediction is and how it is scored comes as `Measures` (scorers.py has
both tasks'). Predictions come as one a seed, all on the same test rows; what does not depend on the seed (the
untranslated source, another program's output) comes once and stands for every seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from nlp_transfer.evaluation.intervals import (
    NoiseInterval,
    bootstrap_p,
    bootstrap_weights,
    interval_without_spread,
    noise_interval,
    percentile_interval,
)

Array = npt.NDArray[np.float64]
Prediction = TypeVar("Prediction")
# How the verdict words a difference of a primary metric: what it is multiplied by, and its unit.
DIFFERENCES = {"accuracy": (100.0, "points of accuracy"), "chrf++": (1.0, "chrF++")}


@dataclass(frozen=True)
class Scored:
    """One prediction's scores: each metric on the test rows, and under all resamples of them."""

    values: dict[str, float]
    resampled: dict[str, Array]
    """For each metric, shape (resamples,)."""


@dataclass(frozen=True)
class Measures(Generic[Prediction]):
    """How the predictions of one task are scored."""

    metrics: tuple[str, ...]
    compared: tuple[str, ...]
    """Metrics in which two systems are tested against each other."""
    primary: str
    """The one that the verdict is about."""
    score: Callable[[Prediction, Array], Scored]
    """Scores a prediction, under row weights of shape (resamples, rows) too."""
    further_tests: Callable[[Prediction, Prediction], dict[str, float]] | None = None
    """More tests of the primary metric on two predictions, by their names in the report."""


class Scorer(Generic[Prediction]):
    """Scores systems on one domain's test rows, all of them under the same resamples.

    Args:
        measures: how a prediction is scored.
        rows: how many test rows there are.
        groups: group number of each row, or None.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    def __init__(
        self,
        measures: Measures[Prediction],
        *,
        rows: int,
        groups: npt.NDArray[np.int64] | None,
        resamples: int,
        seed: int = 0,
    ) -> None:
        self.measures = measures
        self.rows = rows
        self.units = rows if groups is None else int(groups.max(initial=-1)) + 1
        self.weights = bootstrap_weights(rows, resamples=resamples, seed=seed, groups=groups)
        self._scored: dict[int, tuple[Prediction, Scored]] = {}

    def scores(self, per_seed: Sequence[Prediction]) -> dict[str, dict[str, float | int]]:
        """Score a system: for each metric the mean over seeds, its 95% interval over rows, and n."""
        found = {}
        for metric in self.measures.metrics:
            value = float(np.mean([self._value(each, metric) for each in per_seed]))
            low, high = percentile_interval(self._mean_resampled(per_seed, metric))
            if metric == "accuracy" and low == high and value in (0, 1):
                low, high = interval_without_spread(value, self.units)
            found[metric] = {
                "value": value,
                "low": min(low, value),
                "high": max(high, value),
                "n": self.rows,
            }
        return found

    def seed_values(self, per_seed: Sequence[Prediction]) -> list[float]:
        """Return a system's primary score at each seed."""
        return [self._value(each, self.measures.primary) for each in per_seed]

    def compare(
        self,
        first: Sequence[Prediction],
        second: Sequence[Prediction],
        *,
        names: tuple[str, str],
        domain: str,
    ) -> list[dict[str, Any]]:
        """Test two systems against each other on the same rows, as entries of the report's `comparisons`."""
        entries = []
        for metric in self.measures.compared:
            differences = self._mean_resampled(first, metric) - self._mean_resampled(second, metric)
            low, high = percentile_interval(differences)
            value = float(np.mean(self._differences(first, second, metric)))
            entry = {
                "system": names[0],
                "against": names[1],
                "domain": domain,
                "metric": metric,
                "difference": value,
                "low": min(low, value),
                "high": max(high, value),
                "p": bootstrap_p(differences),
                "test": "paired bootstrap",
            }
            if metric == self.measures.primary and self.measures.further_tests is not None:
                entry |= self.measures.further_tests(first[0], second[0])
            entries.append(entry)
        return entries

    def noise(
        self, first: Sequence[Prediction], second: Sequence[Prediction], *, assumed_seed_spread: float
    ) -> NoiseInterval:
        """Return the primary difference with row noise and seed noise together.

        Args:
            first: one system's predictions.
            second: another's.
            assumed_seed_spread: standard deviation over seeds that a system is believed to have; it counts
                the more, the fewer seeds there are.
        """
        primary = self.measures.primary
        per_seed = np.asarray(self._differences(first, second, primary))
        resampled = self._mean_resampled(first, primary) - self._mean_resampled(second, primary)
        return noise_interval(per_seed, float(resampled.std(ddof=1)), assumed_seed_spread=assumed_seed_spread)

    def _differences(
        self, first: Sequence[Prediction], second: Sequence[Prediction], metric: str
    ) -> list[float]:
        seeds = max(len(first), len(second))
        pairs = zip(_for_each_seed(first, seeds), _for_each_seed(second, seeds), strict=True)
        return [self._value(a, metric) - self._value(b, metric) for a, b in pairs]

    def _value(self, prediction: Prediction, metric: str) -> float:
        return self._score(prediction).values[metric]

    def _mean_resampled(self, per_seed: Sequence[Prediction], metric: str) -> Array:
        return np.asarray(np.mean([self._score(each).resampled[metric] for each in per_seed], axis=0))

    def _score(self, prediction: Prediction) -> Scored:
        """Score a prediction once; it is kept, so that its id stays its own."""
        key = id(prediction)
        if key not in self._scored:
            self._scored[key] = (prediction, self.measures.score(prediction, self.weights))
        return self._scored[key][1]


def _for_each_seed(predictions: Sequence[Prediction], seeds: int) -> list[Prediction]:
    """Repeat the one prediction of a system that has no seed."""
    return list(predictions) * (seeds if len(predictions) == 1 else 1)


def verdict(
    noise: NoiseInterval | None, *, metric: str, against: str, seeds: int, why_not: str = ""
) -> dict[str, Any]:
    """Say in one sentence whether the transfer helped.

    Args:
        noise: adapted minus `against` on the target, or None where `against` was not run.
        metric: the primary one, that the difference is of.
        against: the system without transfer.
        seeds: how many there were.
        why_not: why there is nothing to compare, for the sentence.
    """
    if noise is None:
        return {
            "transfer": "not_measured",
            "against": against,
            "sentence": f"Whether transfer helped was not measured: {why_not}.",
        }
    transfer = "helped" if noise.low > 0 else "harmed" if noise.high < 0 else "no_evidence"
    words = {
        "helped": "Transfer helped",
        "harmed": "Transfer harmed",
        "no_evidence": "No evidence that transfer helped or harmed",
    }[transfer]
    how = f"over {seeds} seeds" if seeds > 1 else "seed noise assumed: set evaluation.seeds to measure it"
    factor, unit = DIFFERENCES[metric]
    sentence = (
        f"{words}: adapted is {abs(noise.difference) * factor:.1f} {unit} "
        f"{'above' if noise.difference >= 0 else 'below'} {against} "
        f"(95% interval {noise.low * factor:+.1f} to {noise.high * factor:+.1f}, {how})."
    )
    return {
        "transfer": transfer,
        "against": against,
        "sentence": sentence,
        "difference": noise.difference,
        "low": noise.low,
        "high": noise.high,
        "seed_noise": noise.seed_noise,
    }


def number_groups(groups: Sequence[str] | None) -> npt.NDArray[np.int64] | None:
    """Number groups from 0 by first appearance; None stays None."""
    if groups is None:
        return None
    numbers: dict[str, int] = {}
    return np.asarray([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)
