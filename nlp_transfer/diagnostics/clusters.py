"""Rows that belong together (the sentences of one review) count for less than so many independent rows.

A bootstrap draws whole groups; an interval or a test of counts takes as many rows as they are worth. Without
groups, which is None everywhere here, each row stands alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# Multiplicities that are held at once: 40 MB.
AT_ONCE = 5_000_000


def effective_rows(hits: npt.NDArray[np.bool_], groups: Integers | None) -> float:
    """Return as how many independent rows these tell of their share: rows over the design effect.

    The design effect is the share's variance between groups over that of independent rows, at least 1. A
    share of 0 or 1 shows no variance; each group counts as one row there.

    Source: Rao and Scott 1992, A simple method for the analysis of clustered binary data.

    Args:
        hits: shape (rows,).
        groups: group number of each row, or None.
    """
    rows = len(hits)
    if groups is None:
        return float(rows)
    _, number = np.unique(groups, return_inverse=True)
    units, value = int(number.max(initial=-1)) + 1, float(np.mean(hits))
    if units < 2 or value in (0.0, 1.0):
        return float(units)
    residuals = np.bincount(number, weights=hits - value, minlength=units)
    between = units / (units - 1) * float((residuals**2).sum()) / rows**2
    return rows / max(1.0, between / (value * (1 - value) / rows))


def design_effect(ids: Integers, groups: Integers | None, *, classes: int) -> float:
    """Return the mean design effect of the shares of classes: what their counts are divided by for a test.

    Source: Rao and Scott 1981, The analysis of categorical data from complex sample surveys (the first-order
    correction): each class weighs 1 - its share.

    Args:
        ids: class ids, shape (rows,).
        groups: group number of each row, or None.
        classes: how many there are.
    """
    weights = 1 - np.bincount(ids, minlength=classes) / len(ids)
    effects = [len(ids) / effective_rows(ids == each, groups) for each in range(classes)]
    # A class that no row or every row has says nothing of how its rows hang together.
    inner = (weights > 0) & (weights < 1)
    return float(np.average(np.asarray(effects)[inner], weights=weights[inner])) if inner.any() else 1.0


def mean_variance(values: Array, groups: Integers | None) -> tuple[float, int]:
    """Return the variance of a mean of rows, or of rows in groups, and how many of these there are.

    Source: the linearised variance of a ratio mean, Cochran 1977, Sampling techniques, section 9A.

    Args:
        values: of each row, shape (rows,).
        groups: group number of each row, or None.
    """
    if groups is None:
        return float(values.var(ddof=1) / len(values)), len(values)
    _, number = np.unique(groups, return_inverse=True)
    sums = np.bincount(number, weights=values - values.mean())
    units = len(sums)
    return units / max(1, units - 1) * float((sums**2).sum()) / len(values) ** 2, units


def in_random_order(rows: int, groups: Integers | None, *, seed: int) -> Integers:
    """Return row numbers in a random order, the rows of a group one after the other.

    Args:
        rows: how many there are.
        groups: group number of each row, or None.
        seed: of the order.
    """
    generator = np.random.default_rng(seed)
    if groups is None:
        return generator.permutation(rows)
    _, number = np.unique(groups, return_inverse=True)
    places = generator.permutation(int(number.max(initial=-1)) + 1)[number]
    order: Integers = np.argsort(places, kind="stable")
    return order


def random_halves(rows: int, groups: Integers | None, *, seed: int) -> tuple[Integers, Integers]:
    """Return row numbers of two random halves; no group stands in both, so that they may differ in size.

    Args:
        rows: how many there are.
        groups: group number of each row, or None.
        seed: draws the halves.
    """
    first, second = np.array_split(in_random_order(rows, groups, seed=seed), 2)
    if groups is not None:
        second = second[~np.isin(groups[second], groups[first])]
    return first, second


def row_drawer(rows: int, groups: Integers | None, generator: np.random.Generator) -> Callable[[], Integers]:
    """Return what draws row numbers with replacement: rows, or all rows of as many groups as there are.

    Source: Efron and Tibshirani 1993, chapter 6; groups: Field and Welsh 2007, Bootstrapping clustered data.

    Args:
        rows: how many there are.
        groups: group number of each row, or None.
        generator: of the draws.
    """
    if groups is None:
        return lambda: generator.integers(rows, size=rows)
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order, firsts = np.argsort(number, kind="stable"), np.cumsum(sizes) - sizes

    def draw() -> Integers:
        drawn = generator.integers(len(sizes), size=len(sizes))
        lengths = sizes[drawn]
        ends = np.cumsum(lengths)
        places = np.repeat(firsts[drawn] - (ends - lengths), lengths) + np.arange(ends[-1])
        found: Integers = order[places]
        return found

    return draw


def resampled_shares(
    ids: Integers, groups: Integers | None, *, classes: int, resamples: int, generator: np.random.Generator
) -> Array:
    """Return the shares of classes in bootstrap resamples of rows, or of whole groups.

    Args:
        ids: class ids, shape (rows,).
        groups: group number of each row, or None.
        classes: how many there are.
        resamples: how many.
        generator: of the draws.

    Returns:
        Shape (resamples, classes).
    """
    rows = len(ids)
    if groups is None:
        shares = np.bincount(ids, minlength=classes) / rows
        drawn: Array = generator.multinomial(rows, shares, size=resamples) / rows
        return drawn
    _, number = np.unique(groups, return_inverse=True)
    units = int(number.max()) + 1
    table = np.bincount(number * classes + ids, minlength=units * classes).reshape(units, classes)
    even, found = np.full(units, 1 / units), []
    for first in range(0, resamples, step := max(1, AT_ONCE // units)):
        size = min(step, resamples - first)
        found.append(generator.multinomial(units, even, size=size) @ table)
    counts = np.concatenate(found).astype(np.float64)
    drawn = counts / counts.sum(axis=1, keepdims=True)
    return drawn
