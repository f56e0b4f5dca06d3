"""A measured number with its interval and n, or the reason why there is none; and the intervals themselves.

All diagnostics return their numbers in this form, so that no value is told without how sure it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from nlp_transfer.diagnostics.clusters import effective_rows, row_drawer
from nlp_transfer.evaluation.intervals import bootstrap_weights, percentile_interval
from nlp_transfer.findings import Finding, Severity

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# Vectors of texts, as precise as the model that made them.
Features = npt.NDArray[np.floating[Any]]
RESAMPLES = 1_000
# A normal or a bootstrap interval of fewer rows is too narrow to be believed.
MIN_ROWS = 30


@dataclass(frozen=True)
class Estimate:
    """A number, its 95% interval and the n behind it; `value` is None where n is too small for one."""

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    reason: str = ""
    """Why there is no value, or no interval."""

    def words(self, form: str = ".3f", *, factor: float = 1.0) -> str:
        """Write value, interval and n, or why there is none.

        >>> Estimate(0.5, 200, 0.4, 0.6).words(".2f"), Estimate(None, 3, reason="too few rows").words()
        ('0.50 (95% interval 0.40 to 0.60, n = 200)', 'not measured: too few rows')
        """
        if self.value is None:
            return f"not measured: {self.reason}"
        value = format(self.value * factor, form)
        if self.low is None or self.high is None:
            return f"{value} (n = {self.n:,}{', ' + self.reason if self.reason else ''})"
        low, high = format(self.low * factor, form), format(self.high * factor, form)
        return f"{value} (95% interval {low} to {high}, n = {self.n:,})"


def missing(n: int, reason: str) -> Estimate:
    """Return an estimate without a value."""
    return Estimate(None, n, reason=reason)


def too_few(n: int, needed: int, what: str = "rows") -> Estimate:
    """Return an estimate that says how many rows there are and how many it takes.

    >>> too_few(12, 30).reason
    '12 rows, at least 30 are needed'
    """
    return missing(n, f"{n:,} {what}, at least {needed:,} are needed")


def unmeasured(check: str, estimate: Estimate, threshold: float | None) -> Finding:
    """Word a finding that has no value, with the reason."""
    return Finding(check, "info", None, threshold, estimate.words(), "")


def judged(
    check: str,
    estimate: Estimate,
    *,
    threshold: float | None,
    bad: bool,
    evidence: str,
    advice: str,
    severity: Severity = "warn",
) -> Finding:
    """Word a finding: with `severity` and its advice where `bad`, else `info`; without a value, why.

    Args:
        check: name of the finding.
        estimate: the number.
        threshold: what it is held against; None where it only informs.
        bad: whether it is on the wrong side.
        evidence: the number in words, with n.
        advice: what to do where it is bad.
        severity: of a bad one.
    """
    if estimate.value is None:
        return unmeasured(check, estimate, threshold)
    return Finding(
        check, severity if bad else "info", estimate.value, threshold, evidence, advice if bad else ""
    )


def paired_difference(
    first: npt.NDArray[Any],
    second: npt.NDArray[Any],
    *,
    groups: Integers | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean of `first` minus mean of `second` on the same rows, with a paired bootstrap interval.

    Source: Efron and Tibshirani 1993, chapter 6 (percentile method); groups: Field and Welsh 2007.

    Args:
        first: score of each row under one system, shape (rows,); right or wrong as 1 or 0.
        second: the same rows under the other.
        groups: group number of each row, or None; whole groups are drawn.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    rows = len(first)
    if rows < MIN_ROWS:
        return too_few(rows, MIN_ROWS)
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    weights = bootstrap_weights(rows, resamples=resamples, seed=seed, groups=groups)
    low, high = percentile_interval(weights @ differences)
    value = float(differences.mean())
    return Estimate(value, rows, min(low, value), max(high, value))


def share(hits: int, n: int) -> Estimate:
    """Share of n independent rows, with Wilson's interval (Wilson 1927).

    >>> share(9, 10).words(".2f")
    '0.90 (95% interval 0.60 to 0.98, n = 10)'
    """
    low, high = _wilson(hits / n, n)
    return Estimate(hits / n, n, low, high)


def share_of(hits: npt.NDArray[np.bool_], groups: Integers | None) -> Estimate:
    """Share of rows that belong together in groups, with Wilson's interval of as many as they are worth.

    Args:
        hits: shape (rows,).
        groups: group number of each row, or None.
    """
    value = float(np.mean(hits))
    low, high = _wilson(value, effective_rows(hits, groups))
    return Estimate(value, len(hits), low, high)


def difference_of_shares(
    first: npt.NDArray[np.bool_],
    second: npt.NDArray[np.bool_],
    *,
    groups: tuple[Integers | None, Integers | None] = (None, None),
) -> Estimate:
    """Share of `first` minus share of `second`, of different rows, with Newcombe's interval.

    It stays honest at shares of 0 and 1, where a bootstrap and a normal interval have no width. Rows that
    belong together count as many as they are worth.

    Source: Newcombe 1998, Statistics in Medicine 17, 873-890, method 10; groups: Rao and Scott 1992. n is the
    number of rows of the smaller side.

    Args:
        first: shape (first rows,).
        second: shape (second rows,).
        groups: group number of each row of either side, or None.
    """
    n = min(len(first), len(second))
    if n < MIN_ROWS:
        return too_few(n, MIN_ROWS)
    sides = [
        _wilson(float(np.mean(hits)), effective_rows(hits, each))
        for hits, each in zip((first, second), groups, strict=True)
    ]
    a, b = (float(np.mean(hits)) for hits in (first, second))
    low_a, high_a, low_b, high_b = (end for each in sides for end in each)
    value = a - b
    low, high = value - math.hypot(a - low_a, high_b - b), value + math.hypot(high_a - a, b - low_b)
    return Estimate(value, n, low, high)


def mean_over_seeds(values: Sequence[float]) -> Estimate:
    """Mean over seeds with Student's t interval; n is the number of seeds, and one seed has no interval."""
    array = np.asarray(values, dtype=np.float64)
    seeds, value = len(array), float(array.mean())
    if seeds < 2:
        return Estimate(value, seeds, reason="one seed, no interval")
    reach = float(stats.t.ppf(0.975, seeds - 1) * array.std(ddof=1) / math.sqrt(seeds))
    return Estimate(value, seeds, value - reach, value + reach)


def resampled(
    statistic: Callable[[Integers], float],
    rows: int,
    *,
    resamples: int,
    seed: int,
    groups: Integers | None = None,
) -> tuple[float, float]:
    """Return the 95% percentile interval of a statistic of drawn row numbers (Efron and Tibshirani 1993).

    Resamples for which the statistic is not finite are left out.

    Args:
        statistic: takes row numbers, drawn with replacement.
        rows: how many there are.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        groups: group number of each row, or None; whole groups are drawn.
    """
    draw = row_drawer(rows, groups, np.random.default_rng(seed))
    values = np.asarray([statistic(draw()) for _ in range(resamples)])
    return percentile_interval(values[np.isfinite(values)])


def _wilson(value: float, n: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of n rows, which may be a fraction: what grouped rows are worth."""
    z = float(stats.norm.ppf(0.975))
    centre, scale = value + z**2 / (2 * n), 1 + z**2 / n
    reach = z * math.sqrt(value * (1 - value) / n + z**2 / (4 * n**2))
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)
