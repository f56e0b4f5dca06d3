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
# So many seeds does the assumption about seed noise stand for. Simulated (tests/unit/test_scores.py): where
# nothing differs the verdict speaks in 5% of runs at most with 2, 3 or 5 seeds, up to twice the assumed
# spread. Without any (Welch's interval) it spoke in up to 13% with 2 seeds and 8% with 3; a weight of one
# seed is no more honest there, and with 2 seeds sees a third as much.
ASSUMED_SEEDS = 2


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


def mcnemar_p(
    first_correct: npt.NDArray[np.bool_],
    second_correct: npt.NDArray[np.bool_],
    *,
    groups: npt.NDArray[np.int64] | None = None,
) -> float:
    """Exact two-sided McNemar test of two classifiers on the same rows (McNemar 1947; binomial form).

    With groups it is the exact sign-flip test of whole groups: d is the rows of a group that the first alone
    has right minus those of the second alone, and p the share of all sign changes of the groups' d whose sum
    is as far from zero (Fisher's randomisation test, Good 2005, Permutation, parametric and bootstrap tests,
    section 3.2). Where each row is a group of its own, that is McNemar's test.

    Args:
        first_correct: whether each row is right under the first, shape (rows,).
        second_correct: under the second.
        groups: group number of each row, or None.

    >>> mcnemar_p(np.array([True] * 8 + [False] * 2), np.array([False] * 8 + [True] * 2)) < 0.2
    True
    """
    differences = first_correct.astype(np.int64) - second_correct.astype(np.int64)
    if groups is not None:
        differences = np.bincount(groups, weights=differences).round().astype(np.int64)
    # With coins b of 0 or 1 a flipped sum is 2 (sum of b |d|) - (sum of |d|): a binomial for the groups of
    # one |d|, and the distribution of all of these added up.
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spread = np.zeros(size * count + 1)
        spread[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, spread)
    sums = 2 * np.arange(len(chances)) - (len(chances) - 1)
    return float(min(1.0, chances[np.abs(sums) >= abs(int(differences.sum()))].sum()))


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

    What is assumed of the seeds: each of the two systems varies as much as the rows do, or by
    `assumed_seed_spread` where that is larger, so that sigma0^2 = 2 max(row, assumed)^2. With one seed that
    is all there is. S seeds have a variance s^2 of their own, but few of them may agree by luck, and then the
    rows' noise alone would speak; so the assumption goes on counting, as much as `ASSUMED_SEEDS` seeds:

        s^2 + sigma0^2 * ASSUMED_SEEDS / freedom, where freedom = ASSUMED_SEEDS + S - 1

    It is not averaged with s^2, as a scaled inverse chi-squared prior would be: seeds that vary more than was
    assumed would lose to it. The rows' reach and the seeds' are added as squares, each with its own quantile
    (Zou and Donner 2008, Construction of confidence limits about effect measures: a general approach).
    Welch's degrees of freedom would grow without bound where seeds agree by luck.

    Args:
        per_seed: shape (seeds,), the difference of two systems at each seed.
        row_spread: standard deviation over resampled rows of the mean difference.
        assumed_seed_spread: standard deviation over seeds that one system is believed to have.
        level: of the interval.
    """
    seeds, mean = len(per_seed), float(np.mean(per_seed))
    assumed = 2 * max(row_spread, assumed_seed_spread) ** 2
    freedom = ASSUMED_SEEDS + seeds - 1
    measured = float(np.var(per_seed, ddof=1)) if seeds > 1 else 0.0
    seed_spread = math.sqrt((measured + assumed * ASSUMED_SEEDS / freedom) / seeds)
    tail = 0.5 + level / 2
    normal = float(stats.norm.ppf(tail))
    # What is assumed of one seed is taken as known: there is nothing that it could be unsure by.
    quantile = normal if seeds == 1 else float(stats.t.ppf(tail, freedom))
    reach = math.hypot(normal * row_spread, quantile * seed_spread)
    return NoiseInterval(mean, mean - reach, mean + reach, "assumed" if seeds == 1 else "measured")
