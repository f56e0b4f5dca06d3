"""Did transfer help: its gain, the harm of a source, the share of the gap to an oracle that it closed.

Scores come a row, of systems on the same test rows: right or wrong as 1 or 0, or a sentence's score.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.diagnostics.estimates import (
    MIN_ROWS,
    RESAMPLES,
    Estimate,
    Integers,
    difference_of_shares,
    judged,
    missing,
    paired_difference,
    too_few,
)
from nlp_transfer.evaluation.intervals import bootstrap_weights, percentile_interval
from nlp_transfer.findings import Finding

Scores = npt.NDArray[Any]
# Harm is told as soon as the interval lies above zero.
MAX_NEGATIVE_TRANSFER = 0.0
# What a constant answer scores.
MIN_SOURCE_WORTH = 0.0
MIN_GAP_CLOSED = 0.0
# Ten points less on the target than on the source after adaptation: the target is not adapted to yet.
MAX_DOMAIN_GAP = 0.10


def transfer_gain(
    adapted: Scores, baseline: Scores, *, groups: Integers | None = None, seed: int = 0
) -> Estimate:
    """S_T(adapted) - S_T(baseline) on the same target rows; above 0 is help.

    Source: the negative-transfer gap of Wang et al. 2019 with its sign turned; interval: paired bootstrap.

    Args:
        adapted: score of each target row, shape (rows,).
        baseline: of `target_only` or `scratch`, with the same budget, shape (rows,).
        groups: group number of each row, or None.
        seed: of the bootstrap.
    """
    return paired_difference(adapted, baseline, groups=groups, seed=seed)


def negative_transfer_gap(
    with_source: Scores, target_only: Scores, *, groups: Integers | None = None, seed: int = 0
) -> Estimate:
    """err_T(source + target) - err_T(target only), of the same method; above 0 is harm.

    Source: Wang et al. 2019, Characterizing and avoiding negative transfer (negative transfer gap).

    Args:
        with_source: score of each target row when the source was used, between 0 and 1, shape (rows,).
        target_only: when it was not, shape (rows,).
        groups: group number of each row, or None.
        seed: of the bootstrap.
    """
    return paired_difference(target_only, with_source, groups=groups, seed=seed)


def source_harm(source_right: npt.NDArray[np.bool_], labels: Integers) -> Estimate:
    """Accuracy of the source model on the target, before adaptation, minus that of the most frequent class.

    Below 0 the source teaches the opposite of what the target asks for: exchanged labels, or a word that
    means something else there. Interval: paired bootstrap.

    Args:
        source_right: whether the source model is right on each target row, shape (rows,).
        labels: true class ids of these, shape (rows,).
    """
    return paired_difference(
        source_right.astype(np.float64), (labels == np.bincount(labels).argmax()).astype(np.float64)
    )


def gap_closed(
    adapted: Scores, zero_shot: Scores, oracle: Scores, *, groups: Integers | None = None, seed: int = 0
) -> Estimate:
    """(A_adapted - A_zero_shot) / (A_oracle - A_zero_shot): 0 nothing closed, 1 all of it.

    Not measured where the oracle is not surely above the zero-shot model: the ratio of two noises means
    nothing.

    Source: normalised gain as in Ganin and Lempitsky 2015, Unsupervised domain adaptation by
    backpropagation, table 1; interval: paired bootstrap of the ratio.

    Args:
        adapted: score of each target row, shape (rows,).
        zero_shot: of the source model, shape (rows,).
        oracle: of a model trained on all target labels there are, shape (rows,).
        groups: group number of each row, or None.
        seed: of the bootstrap.
    """
    rows = len(adapted)
    if rows < MIN_ROWS:
        return too_few(rows, MIN_ROWS)
    closed = np.asarray(adapted, dtype=np.float64) - zero_shot
    gap = np.asarray(oracle, dtype=np.float64) - zero_shot
    weights = bootstrap_weights(rows, resamples=RESAMPLES, seed=seed, groups=groups)
    gaps = weights @ gap
    if percentile_interval(gaps)[0] <= 0:
        return missing(
            rows, "the oracle is not surely better than the source model, there is no gap to close"
        )
    positive = gaps > 0
    low, high = percentile_interval((weights @ closed)[positive] / gaps[positive])
    value = float(closed.mean() / gap.mean())
    return Estimate(value, rows, min(low, value), max(high, value))


def domain_gap(source_right: npt.NDArray[np.bool_], target_right: npt.NDArray[np.bool_]) -> Estimate:
    """Accuracy on the source's test rows minus accuracy on the target's, with Newcombe's interval.

    Taken before adaptation (the source model) and after (the adapted one), it shows what adapting closed.

    Args:
        source_right: whether each source test row is right, shape (source rows,).
        target_right: whether each target test row is right, shape (target rows,).
    """
    return difference_of_shares(source_right, target_right)


def negative_transfer_finding(
    gap: Estimate, *, noise: str = "row noise alone", threshold: float = MAX_NEGATIVE_TRANSFER
) -> Finding:
    """Word the harm of the source; warn where it is surely above `threshold`.

    Args:
        gap: errors with the source minus without it.
        noise: what its interval holds.
        threshold: what its lower end is held against.
    """
    return judged(
        "negative_transfer",
        gap,
        threshold=threshold,
        bad=gap.low is not None and gap.low > threshold,
        evidence="errors on the target with the source minus without it: "
        f"{gap.words('+.1f', factor=100)}, in points, {noise}",
        advice="leave this source out, or look at its labels: it harms here",
    )


def source_harm_finding(harm: Estimate, *, threshold: float = MIN_SOURCE_WORTH) -> Finding:
    """Word what the source model was worth on the target; warn where it is surely worse than a constant."""
    return judged(
        "source_harm",
        harm,
        threshold=threshold,
        bad=harm.high is not None and harm.high < threshold,
        evidence="the source model on the target, before adaptation, against always answering the most "
        f"frequent class: {harm.words('+.1f', factor=100)}, in points of accuracy",
        advice="the source says the opposite here: compare the two domains' labels and the label map",
    )


def gap_closed_finding(
    closed: Estimate, *, sizes: tuple[int, int] | None = None, threshold: float = MIN_GAP_CLOSED
) -> Finding:
    """Word the share of the gap to the oracle that adaptation closed; warn where it surely widened.

    Args:
        closed: what was measured.
        sizes: target labels of the adapted model, and of the oracle.
        threshold: what the upper end is held against.
    """
    learnt = "" if sizes is None else f" with {sizes[0]:,} target labels, the oracle with {sizes[1]:,}"
    return judged(
        "gap_closed",
        closed,
        threshold=threshold,
        bad=closed.high is not None and closed.high < threshold,
        evidence=f"share of the gap between source model and oracle that adaptation closed{learnt}: "
        f"{closed.words('.2f')}",
        advice="the source model alone is better: use it as it is",
    )


def domain_gap_finding(before: Estimate, after: Estimate, *, threshold: float = MAX_DOMAIN_GAP) -> Finding:
    """Word the source-to-target gap before and after adaptation; warn where what is left is surely above
    `threshold`.
    """
    return judged(
        "domain_gap",
        after,
        threshold=threshold,
        bad=after.low is not None and after.low > threshold,
        evidence="accuracy on the source minus on the target, in points: before adaptation "
        f"{before.words('+.1f', factor=100)}, after {after.words('+.1f', factor=100)}",
        advice="label more target rows: the model still knows the source better",
    )
