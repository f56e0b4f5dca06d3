"""The kernel two-sample test: whether features of two domains come from one distribution."""

from __future__ import annotations

import numpy as np

from nlp_transfer.diagnostics.estimates import Array, Estimate, Features, Integers, too_few, unmeasured
from nlp_transfer.diagnostics.mismatch import (
    ALONE,
    MAX_TEST_P,
    MIN_DISTANCE_ROWS,
    Groups,
    TwoSampleTest,
    p_in_words,
    stacked,
)
from nlp_transfer.findings import Finding

MAX_KERNEL_ROWS = 500
PERMUTATIONS = 500


def maximum_mean_discrepancy(
    first: Features,
    second: Features,
    *,
    groups: Groups = ALONE,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> TwoSampleTest:
    """Measure MMD^2 = E k(s, s') + E k(t, t') - 2 E k(s, t), unbiased, and its p by permutation.

    k(x, y) = exp(-|x - y|^2 / (2 sigma^2)), sigma the median distance between rows. The unbiased value may
    be a little below 0.

    Source: Gretton et al. 2012, A kernel two-sample test, equation 3 and section 8.

    Args:
        first: features, shape (first rows, hidden); at most 500 rows are drawn.
        second: features, shape (second rows, hidden).
        groups: group number of each row of either side, or None; one row of each group is taken, so that the
            permuted rows can be exchanged.
        seed: draws rows and permutations.
        permutations: how many; p is at least 1 / (permutations + 1).
    """
    first, second = (
        _one_of_each(side, each, seed=seed) for side, each in zip((first, second), groups, strict=True)
    )
    rows = min(len(first), len(second), MAX_KERNEL_ROWS)
    if rows < MIN_DISTANCE_ROWS:
        return TwoSampleTest(too_few(rows, MIN_DISTANCE_ROWS, "rows a side"), None)
    features, domains, _ = stacked(first, second, rows, seed)
    kernel = _kernel_without_diagonal(features)
    generator = np.random.default_rng(seed)
    sides = np.stack([domains, *(generator.permutation(domains) for _ in range(permutations))], axis=1)
    values = _unbiased_mmd(kernel, sides.astype(np.float64), rows)
    # Rounding must not make a permutation that gives the observed value look smaller.
    at_least = int((values[1:] >= values[0] - 1e-12).sum())
    return TwoSampleTest(Estimate(float(values[0]), rows), (1 + at_least) / (permutations + 1))


def kernel_finding(test: TwoSampleTest, *, threshold: float = MAX_TEST_P) -> Finding:
    """Word the kernel test; like the classifier test it informs."""
    if test.statistic.value is None or test.p is None:
        return unmeasured("kernel_two_sample_test", test.statistic, threshold)
    return Finding(
        "kernel_two_sample_test", "info", test.p, threshold,
        f"MMD^2 = {test.statistic.value:.4f}, permutation p {p_in_words(test.p)} "
        f"({test.statistic.n:,} rows a side)",
        "",
    )  # fmt: skip


def _one_of_each(features: Features, groups: Integers | None, *, seed: int) -> Features:
    """Draw a row of each group; all rows where they stand alone."""
    if groups is None:
        return features
    order = np.random.default_rng(seed).permutation(len(features))
    return features[order[np.unique(groups[order], return_index=True)[1]]]


def _kernel_without_diagonal(features: Features) -> Array:
    from scipy.spatial.distance import pdist, squareform

    squared = pdist(features, "sqeuclidean")
    median = float(np.median(squared))
    kernel: Array = squareform(np.exp(-squared / (2 * (median or 1.0))))
    return kernel


def _unbiased_mmd(kernel: Array, sides: Array, rows: int) -> Array:
    """Return MMD^2 for each division; `sides` has shape (2 rows, divisions), 1 for the second sample.

    All rows' kernel sums follow from the second sample's: one matrix product serves all divisions.
    """
    second = (sides * (kernel @ sides)).sum(axis=0)
    cross = sides.T @ kernel.sum(axis=1) - second
    first = kernel.sum() - second - 2 * cross
    values: Array = (first + second) / (rows * (rows - 1)) - 2 * cross / rows**2
    return values
