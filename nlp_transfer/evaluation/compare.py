"""From predictions to the report's numbers: scores with intervals, paired comparisons, the verdict.

Pure functions over arrays. Predictions come as one array of probabilities a seed, all on the same test rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.evaluation.intervals import (
    NoiseInterval,
    bootstrap_p,
    bootstrap_weights,
    mcnemar_p,
    noise_interval,
    percentile_interval,
)
from nlp_transfer.evaluation.scores import METRICS, classification_scores, resampled_scores

Array = npt.NDArray[np.float64]
PRIMARY = "accuracy"
COMPARED = ("accuracy", "macro_f1")
# A system's accuracy varies over draws of its n training rows by about this over sqrt(n): 5 points at 16
# rows, 0.6 at 1,024. It stands in where a run has one seed; benchmarks/results/quality_*.json has the spread
# over five.
SEED_SPREAD_AT_ONE_ROW = 0.2


class Scorer:
    """Scores systems on one domain's test rows, all of them under the same resamples.

    Args:
        references: true class ids, shape (rows,).
        groups: group number of each row, or None.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    def __init__(
        self,
        references: npt.NDArray[np.int64],
        *,
        groups: npt.NDArray[np.int64] | None,
        resamples: int,
        seed: int = 0,
    ) -> None:
        self.references = references
        self.weights = bootstrap_weights(len(references), resamples=resamples, seed=seed, groups=groups)
        self._resampled: dict[int, tuple[Array, dict[str, Array]]] = {}

    def scores(self, per_seed: Sequence[Array]) -> dict[str, dict[str, float | int]]:
        """Score a system: for each metric the mean over seeds, its 95% interval over rows, and n."""
        points = [
            classification_scores(probabilities, self.references.tolist()) for probabilities in per_seed
        ]
        found = {}
        for metric in METRICS:
            value = float(np.mean([point[metric] for point in points]))
            low, high = percentile_interval(self._mean_resampled(per_seed, metric))
            found[metric] = {
                "value": value,
                "low": min(low, value),
                "high": max(high, value),
                "n": len(self.references),
            }
        return found

    def seed_values(self, per_seed: Sequence[Array]) -> list[float]:
        """Return a system's primary score at each seed."""
        return [classification_scores(each, self.references.tolist())[PRIMARY] for each in per_seed]

    def compare(
        self, first: Sequence[Array], second: Sequence[Array], *, names: tuple[str, str], domain: str
    ) -> list[dict[str, Any]]:
        """Test two systems against each other on the same rows, as entries of the report's `comparisons`."""
        entries = []
        for metric in COMPARED:
            differences = self._mean_resampled(first, metric) - self._mean_resampled(second, metric)
            low, high = percentile_interval(differences)
            value = float(
                np.mean(
                    [
                        self._point(a, metric) - self._point(b, metric)
                        for a, b in zip(first, second, strict=True)
                    ]
                )
            )
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
            if metric == PRIMARY:
                right = [each[0].argmax(axis=1) == self.references for each in (first, second)]
                entry["mcnemar_p"] = mcnemar_p(right[0], right[1])
            entries.append(entry)
        return entries

    def noise(self, first: Sequence[Array], second: Sequence[Array], *, train_rows: int) -> NoiseInterval:
        """Return the primary difference with row noise and seed noise together; few training rows mean more
        of it.
        """
        per_seed = np.asarray(
            [self._point(a, PRIMARY) - self._point(b, PRIMARY) for a, b in zip(first, second, strict=True)]
        )
        resampled = self._mean_resampled(first, PRIMARY) - self._mean_resampled(second, PRIMARY)
        assumed = SEED_SPREAD_AT_ONE_ROW / max(1, train_rows) ** 0.5
        return noise_interval(per_seed, float(resampled.std(ddof=1)), assumed_seed_spread=assumed)

    def _point(self, probabilities: Array, metric: str) -> float:
        whole = np.full((1, len(self.references)), 1 / len(self.references))
        return float(resampled_scores(probabilities, self.references.tolist(), whole)[metric][0])

    def _mean_resampled(self, per_seed: Sequence[Array], metric: str) -> Array:
        samples = [self._resample(probabilities)[metric] for probabilities in per_seed]
        return np.asarray(np.mean(samples, axis=0))

    def _resample(self, probabilities: Array) -> dict[str, Array]:
        """Score one array under all resamples, once; the array is kept, so that its id stays its own."""
        key = id(probabilities)
        if key not in self._resampled:
            scores = resampled_scores(probabilities, self.references.tolist(), self.weights)
            self._resampled[key] = (probabilities, scores)
        return self._resampled[key][1]


def verdict(noise: NoiseInterval | None, *, against: str, seeds: int, why_not: str = "") -> dict[str, Any]:
    """Say in one sentence whether the transfer helped.

    Args:
        noise: adapted minus `against` on the target, or None where `against` was not run.
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
    sentence = (
        f"{words}: adapted is {abs(noise.difference) * 100:.1f} points of accuracy "
        f"{'above' if noise.difference >= 0 else 'below'} {against} "
        f"(95% interval {noise.low * 100:+.1f} to {noise.high * 100:+.1f}, {how})."
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
