"""How sure a score and a difference are: bootstrap over rows, paired tests, and noise over seeds.

Pure functions over arrays. Two systems are always compared on the same rows, resampled together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]


def bootstrap_weights(
    rows: int, *, resamples: int, seed: int, groups: npt.NDArray[np.int64] | None = None
) -> Array:
    """Draw row weights of bootstrap resamples (Efron and Tibshirani 1993, chapter 6).

    Args:
        rows: rows of the test set.
        resamples: how many.
        seed: decides the draws.
        groups: group number of each row; whole groups are drawn, since the rows of one review are not
            independent (the cluster bootstrap, Field and Welsh 2007).

    Returns:
        Weights of shape (resamples, rows); each line adds up to 1.
    """
    generator = np.random.default_rng(seed)
    units = rows if groups is None else int(groups.max()) + 1
    counts = generator.multinomial(units, np.full(units, 1 / units), size=resamples).astype(np.float64)
    drawn = counts if groups is None else counts[:, groups]
    weights: Array = drawn / drawn.sum(axis=1, keepdims=True)
    return weights


def percentile_interval(samples: Array, *, level: float = 0.95) -> tuple[float, float]:
    """Return the central interval of resampled scores (the percentile method).

    >>> percentile_interval(np.arange(101.0), level=0.5)
    (25.0, 75.0)
    """
    tail = (1 - level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def interval_without_spread(value: float, units: int) -> tuple[float, float]:
    """Return Wilson's 95% interval (1927) of a share of 0 or 1, which every resample of the units repeats.

    >>> [round(end, 2) for end in interval_without_spread(1.0, 8)]
    [0.68, 1.0]
    """
    found = stats.binomtest(round(value * units), units).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def bootstrap_p(differences: Array) -> float:
    """Two-sided p of a paired bootstrap: twice the smaller share of resamples on either side of zero.

    With B resamples it is at least 2 / (B + 1), never zero (Davison and Hinkley 1997, equation 4.11).

    Args:
        differences: shape (resamples,), one system's score minus the other's on the same rows.
    """
    below, above = (differences <= 0).sum(), (differences >= 0).sum()
    return float(min(1.0, 2 * (min(below, above) + 1) / (len(differences) + 1)))


def mcnemar_p(first_correct: npt.NDArray[np.bool_], second_correct: npt.NDArray[np.bool_]) -> float:
    """Exact two-sided McNemar test of two classifiers on the same rows (McNemar 1947; binomial form).

    >>> mcnemar_p(np.array([True] * 8 + [False] * 2), np.array([False] * 8 + [True] * 2)) < 0.2
    True
    """
    first_only = int((first_correct & ~second_correct).sum())
    second_only = int((~first_correct & second_correct).sum())
    if first_only + second_only == 0:
        return 1.0
    return float(stats.binomtest(first_only, first_only + second_only, 0.5).pvalue)


@dataclass(frozen=True)
class NoiseInterval:
    """A mean difference with the interval that row noise and seed noise together leave."""

    difference: float
    low: float
    high: float
    seed_noise: str
    """`measured` over several seeds, or `assumed`."""


def noise_interval(
    per_seed: Array, row_spread: float, *, assumed_seed_spread: float = 0.0, level: float = 0.95
) -> NoiseInterval:
    """Combine noise over test rows and over training seeds into one interval of a difference.

    The two variances add. Over S seeds the seeds' part has S - 1 degrees of freedom, the whole as many as
    Welch and Satterthwaite (1946) give. With one seed nothing is known of its noise: for each of the two
    systems it is taken to be as large as the row noise, or as `assumed_seed_spread` where that is larger.

    Args:
        per_seed: shape (seeds,), the difference of two systems at each seed.
        row_spread: standard deviation over resampled rows of the mean difference.
        assumed_seed_spread: standard deviation over seeds that one system is believed to have; it counts with
            one seed only.
        level: of the interval.
    """
    seeds = len(per_seed)
    mean = float(np.mean(per_seed))
    seed_variance = (
        2 * max(row_spread, assumed_seed_spread) ** 2
        if seeds == 1
        else float(np.var(per_seed, ddof=1)) / seeds
    )
    variance = row_spread**2 + seed_variance
    freedom = math.inf
    if seeds > 1 and seed_variance > 0:
        freedom = (seeds - 1) * variance**2 / seed_variance**2
    quantile = (
        stats.norm.ppf(0.5 + level / 2) if math.isinf(freedom) else stats.t.ppf(0.5 + level / 2, freedom)
    )
    reach = float(quantile) * math.sqrt(variance)
    return NoiseInterval(mean, mean - reach, mean + reach, "assumed" if seeds == 1 else "measured")
