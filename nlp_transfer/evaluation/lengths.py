"""Scores by length of the source: where translations are good, and where they are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nlp_transfer.evaluation.intervals import bootstrap_weights, percentile_interval
from nlp_transfer.evaluation.translation_scores import chrf_of_counts, chrf_statistics

Array = npt.NDArray[np.float64]
# A corpus of fewer rows says little; then there are fewer bins.
MIN_ROWS_PER_BIN = 30


@dataclass(frozen=True)
class LengthBin:
    """The rows whose source has from `shortest` to `longest` characters, both included."""

    shortest: int
    longest: int
    n: int
    scores: dict[str, tuple[float, float, float]]
    """For each system chrF++ of these rows, and the ends of its 95% bootstrap interval."""


def chrf_by_length(
    translations: Mapping[str, Sequence[str]],
    references: Sequence[str],
    sources: Sequence[str],
    *,
    bins: int = 5,
    resamples: int = 1000,
) -> list[LengthBin]:
    """Score systems apart on short and long sources: bins of about equally many rows, from the shortest.

    Lengths are characters, which every script has.

    Args:
        translations: for each system one a row.
        references: one a row.
        sources: one a row.
        bins: how many at most; lengths that occur often and few rows leave fewer.
        resamples: of the bootstrap, over the rows of each bin.
    """
    lengths = np.asarray([len(source.strip()) for source in sources])
    counts = {name: chrf_statistics(texts, references) for name, texts in translations.items()}
    found = []
    for inside in _bins(lengths, bins):
        weights = bootstrap_weights(len(inside), resamples=resamples, seed=0)
        scores = {name: _with_interval(rows[inside], weights) for name, rows in counts.items()}
        within = lengths[inside]
        found.append(LengthBin(int(within.min()), int(within.max()), len(inside), scores))
    return found


def _bins(lengths: npt.NDArray[np.int64], bins: int) -> list[npt.NDArray[np.int64]]:
    """Divide the rows by length; equal lengths stay together."""
    bins = max(1, min(bins, len(lengths) // MIN_ROWS_PER_BIN))
    longest = np.unique(np.quantile(lengths, np.linspace(0, 1, bins + 1)[1:], method="inverted_cdf"))
    bin_of = np.searchsorted(longest, lengths)
    return [np.flatnonzero(bin_of == number) for number in range(len(longest))]


def _with_interval(counts: Array, weights: Array) -> tuple[float, float, float]:
    """Score rows by their counts, with the ends of the interval around it."""
    value = float(chrf_of_counts(counts.sum(axis=0)))
    low, high = percentile_interval(chrf_of_counts(weights @ counts))
    return value, min(low, value), max(high, value)
