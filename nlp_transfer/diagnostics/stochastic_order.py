"""Better over seeds: almost stochastic order of two systems' scores.

Our own forty lines, since the packaged implementation (deepsig) brings pandas, joblib and dill and sums over
a grid; its numbers stand in the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from nlp_transfer.diagnostics.estimates import Array, Estimate, too_few
from nlp_transfer.findings import Finding

MIN_SEEDS = 5
RESAMPLES = 1_000
# Ulmer et al. 2022 (deep-significance) advise 0.2: with few seeds one half claims too much.
MAX_VIOLATION = 0.2
CONFIDENCE = 0.95


@dataclass(frozen=True)
class StochasticOrder:
    """How far one system is from being better at every quantile."""

    violation: Estimate
    """epsilon_W2 between 0 (always better) and 1 (always worse); `high` is its upper confidence bound
    (epsilon_min), `low` is 0. n is the number of seeds of the smaller side."""


def almost_stochastic_order(first: Array, second: Array, *, seed: int = 0) -> StochasticOrder:
    """Bound how far `first` is from being stochastically larger than `second`.

    epsilon = integral over {t: F^-1(t) < G^-1(t)} of (F^-1 - G^-1)^2 / integral of (F^-1 - G^-1)^2, and
    epsilon_min = epsilon - sqrt((n + m) / (n m)) sigma Phi^-1(1 - 0.95), sigma by bootstrap.

    Source: del Barrio et al. 2018, An optimal transportation approach for assessing almost stochastic order;
    Dror et al. 2019, Deep dominance: how to properly compare deep neural models.

    Args:
        first: scores over seeds, higher is better, shape (seeds,).
        second: of the other system, shape (seeds of it,).
        seed: of the bootstrap.
    """
    n, m = len(first), len(second)
    if min(n, m) < MIN_SEEDS:
        return StochasticOrder(too_few(min(n, m), MIN_SEEDS, "seeds"))
    value = violation_ratio(first, second)
    generator = np.random.default_rng(seed)
    drawn = [
        violation_ratio(generator.choice(first, n), generator.choice(second, m)) for _ in range(RESAMPLES)
    ]
    scale = math.sqrt(n * m / (n + m))
    sigma = float(np.std(scale * (np.asarray(drawn) - value)))
    bound = value - sigma / scale * float(stats.norm.ppf(1 - CONFIDENCE))
    return StochasticOrder(Estimate(value, min(n, m), 0.0, min(1.0, max(0.0, bound))))


def violation_ratio(first: Array, second: Array) -> float:
    """Return epsilon_W2 of two samples, exactly: their quantile functions are steps.

    Equal samples have 0.5: no order is violated more than the other.

    >>> violation_ratio(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    0.0
    """
    n, m = len(first), len(second)
    edges = np.unique(np.concatenate([np.arange(n + 1) / n, np.arange(m + 1) / m]))
    widths, middles = np.diff(edges), (edges[1:] + edges[:-1]) / 2
    gaps = np.sort(second)[(middles * m).astype(int)] - np.sort(first)[(middles * n).astype(int)]
    whole = float((widths * gaps**2).sum())
    return 0.5 if whole == 0 else float((widths * gaps.clip(0) ** 2).sum()) / whole


def order_finding(
    order: StochasticOrder, *, systems: tuple[str, str], threshold: float = MAX_VIOLATION
) -> Finding:
    """Word whether the first system is better than the second over seeds; it informs.

    The value is the upper bound of the violation, which has to lie below `threshold`.
    """
    violation = order.violation
    check = f"stochastic_order_{systems[0]}_{systems[1]}"
    if violation.value is None or violation.high is None:
        return Finding(check, "info", None, threshold, violation.words(), "")
    shown = "is" if violation.high < threshold else "is not shown to be"
    return Finding(
        check, "info", violation.high, threshold,
        f"over {violation.n} seeds {systems[0]} {shown} almost stochastically better than {systems[1]}: "
        f"violation {violation.value:.2f}, at most {violation.high:.2f} with 95% confidence",
        "",
    )  # fmt: skip
