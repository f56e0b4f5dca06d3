"""Did transfer help: the harm of a source, the share of the gap to an oracle that was closed, what is left.

The gain itself is the verdict's (evaluation/compare.py). Scores come a row, of systems on the same test rows:
right or wrong as 1 or 0, or a sentence's score.
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
    too_few,
)
from nlp_transfer.evaluation.intervals import bootstrap_weights, percentile_interval
from nlp_transfer.findings import Finding

Scores = npt.NDArray[Any]
# Harm is told as soon as the interval lies above zero.
MAX_NEGATIVE_TRANSFER = 0.0
# What the source model's own answers score in any order.
MIN_SOURCE_WORTH = 0.0
MIN_GAP_CLOSED = 0.0
# What the systems without transfer lack, and what to do where they are better.
LACKING = {
    "target_only": ("which lacks the source", "leave this source out, or look at its labels: it harms here"),
    "scratch": (
        "which starts from random weights",
        "this pretrained model harms here: look for one of the target's language and kind of text",
    ),
}
# Ten points less on the target than on the source after adaptation: the target is not adapted to yet.
MAX_DOMAIN_GAP = 0.10


def source_harm(
    predicted: Integers, labels: Integers, *, groups: Integers | None = None, seed: int = 0
) -> Estimate:
    """Accuracy of the source model on the target, before adaptation, minus what its answers score by chance.

    Below 0 the source teaches the opposite of what the target asks for: exchanged labels, or a word that
    means something else there. Chance is the expected agreement of as many answers and labels of each class
    in any order, so that a source which expects other label shares than the target's is no suspect.

    Source: Cohen 1960, A coefficient of agreement for nominal scales (p_o - p_c, kappa's numerator); as
    source_trust.py asks it of training rows. Interval: bootstrap over rows or groups.

    Args:
        predicted: class ids that the source model answers, shape (rows,).
        labels: true class ids, shape (rows,).
        groups: group number of each row, or None.
        seed: of the bootstrap.
    """
    rows = len(labels)
    if rows < MIN_ROWS:
        return too_few(rows, MIN_ROWS)
    classes = int(max(predicted.max(), labels.max())) + 1
    weights = bootstrap_weights(rows, resamples=RESAMPLES, seed=seed, groups=groups)
    whole = np.concatenate([np.full((1, rows), 1 / rows), weights])
    answered, true = (whole @ np.eye(classes)[ids] for ids in (predicted, labels))
    # Rounded, so that a constant answer is at chance and not a hair's breadth below it.
    above_chance = np.round(whole @ (predicted == labels) - (answered * true).sum(axis=1), 12)
    value, (low, high) = float(above_chance[0]), percentile_interval(above_chance[1:])
    return Estimate(value, rows, min(low, value), max(high, value))


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


def domain_gap(
    source_right: npt.NDArray[np.bool_],
    target_right: npt.NDArray[np.bool_],
    *,
    groups: tuple[Integers | None, Integers | None] = (None, None),
) -> Estimate:
    """Accuracy on the source's test rows minus accuracy on the target's, with Newcombe's interval.

    Taken before adaptation (the source model) and after (the adapted one), it shows what adapting closed.

    Args:
        source_right: whether each source test row is right, shape (source rows,).
        target_right: whether each target test row is right, shape (target rows,).
        groups: group number of each row of either side, or None.
    """
    return difference_of_shares(source_right, target_right, groups=groups)


def negative_transfer_finding(
    gap: Estimate,
    *,
    against: str,
    noise: str = "row noise alone",
    threshold: float = MAX_NEGATIVE_TRANSFER,
    errors: str = "errors",
    factor: float = 100.0,
    unit: str = "points",
) -> Finding:
    """Word the harm of what was transferred; warn where it is surely above `threshold`.

    Source: Wang et al. 2019, Characterizing and avoiding negative transfer (negative transfer gap):
    err_T(source + target) - err_T(target only), of the same method.

    Args:
        gap: errors of `adapted` minus those of `against`.
        against: what the verdict was held against. `target_only` lacks the source; `scratch` the pretrained
            model too, where there is no source model.
        noise: what its interval holds.
        threshold: what its lower end is held against.
        errors: what counts as errors.
        factor: from the errors' own unit to the one that is written.
        unit: the one that is written.
    """
    lacks, advice = LACKING.get(against, LACKING["target_only"])
    return judged(
        "negative_transfer",
        gap,
        threshold=threshold,
        bad=gap.low is not None and gap.low > threshold,
        evidence=f"{errors} on the target of adapted minus those of {against}, {lacks}: "
        f"{gap.words('+.1f', factor=factor)}, in {unit}, {noise}",
        advice=advice,
    )


def source_harm_finding(harm: Estimate, *, threshold: float = MIN_SOURCE_WORTH) -> Finding:
    """Word what the source model was worth on the target; warn where it is surely worse than chance."""
    return judged(
        "source_harm",
        harm,
        threshold=threshold,
        bad=harm.high is not None and harm.high < threshold,
        evidence="the source model on the target, before adaptation, against its own answers in any order "
        f"(chance): {harm.words('+.1f', factor=100)}, in points of accuracy",
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


def domain_gap_finding(
    before: Estimate,
    after: Estimate,
    *,
    threshold: float | None = MAX_DOMAIN_GAP,
    score: str = "accuracy",
    factor: float = 100.0,
    unit: str = "points",
) -> Finding:
    """Word the source-to-target gap before and after adaptation; warn where what is left is surely above
    `threshold`.

    Args:
        before: the gap of the source model.
        after: that of the adapted one.
        threshold: of the gap that is left; None where the two domains' scores are not of one scale, so that
            the gap informs.
        score: what it is a gap of.
        factor: from the score's own unit to the one that is written.
        unit: the one that is written.
    """
    return judged(
        "domain_gap",
        after,
        threshold=threshold,
        bad=threshold is not None and after.low is not None and after.low > threshold,
        evidence=f"{score} on the source minus on the target, in {unit}: before adaptation "
        f"{before.words('+.1f', factor=factor)}, after {after.words('+.1f', factor=factor)}",
        advice="label more target rows: the model still knows the source better",
    )
