"""Accuracy and label shares where the target has no labels, from labelled rows of the source.

Both rest on an assumption that the rows cannot show: ATC that confidence keeps its meaning across domains,
BBSE that only the shares of the labels change (p(x | y) stays). The source rows must be unseen by the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from nlp_transfer.diagnostics.clusters import resampled_shares, row_drawer
from nlp_transfer.diagnostics.estimates import Array, Estimate, Integers, judged, missing, too_few
from nlp_transfer.evaluation.intervals import percentile_interval
from nlp_transfer.findings import Finding

Score = Literal["max_confidence", "negative_entropy"]
MIN_ATC_ROWS = 100
# Points of accuracy between the estimate and the labelled truth beyond which the estimate is not to be used.
MAX_ATC_ERROR = 0.05
# C^-1 multiplies the noise of q by up to this, as with two classes of which 55 in 100 rows are told rightly;
# a classifier that knows nothing has about the square root of its rows.
MAX_CONDITION = 10.0
MIN_ROWS_A_CLASS = 10
MAX_SHARE_CHANGE = 0.10
RESAMPLES = 500


@dataclass(frozen=True)
class EstimatedShift:
    """The target's label shares as estimated without target labels."""

    weights: Array | None
    """w[y] = P_target(y) / P_source(y), shape (classes,), not below 0; None where C is ill-conditioned."""
    shares: list[Estimate]
    """P_target(y) for each class."""
    change: Estimate
    """Total variation between the source's label shares and the estimated ones of the target."""
    condition: float
    """Condition number (2-norm) of P_src(predicted i | true j), that is of C without its label shares, which
    would make any rare class look ill-conditioned; infinite where it is singular."""


def confidence_scores(probabilities: Array, score: Score) -> Array:
    """Return how sure each row's prediction is, shape (rows,); higher is surer.

    >>> confidence_scores(np.array([[0.5, 0.5], [1.0, 0.0]]), "negative_entropy").round(3).tolist()
    [-0.693, 0.0]
    """
    if score == "max_confidence":
        highest: Array = probabilities.max(axis=1)
        return highest
    entropy: Array = special.entr(probabilities).sum(axis=1)
    return 0.0 - entropy


def average_thresholded_confidence(
    source_probabilities: Array,
    source_labels: Integers,
    target_probabilities: Array,
    *,
    score: Score = "negative_entropy",
    groups: tuple[Integers | None, Integers | None] = (None, None),
    seed: int = 0,
) -> Estimate:
    """Estimate the accuracy on unlabelled target rows: t with P_src(s < t) = err_src, then P_tgt(s >= t).

    Source: Garg et al. 2022, Leveraging unlabeled data to predict out-of-distribution performance,
    equations 1 and 2. The interval is a bootstrap over source and target rows; it does not hold the error of
    the assumption.

    Args:
        source_probabilities: of labelled source rows that the model did not learn, (source rows, classes).
        source_labels: true class ids, shape (source rows,).
        target_probabilities: shape (target rows, classes).
        score: which confidence s is.
        groups: group number of each row of source and target, or None; whole groups are drawn.
        seed: of the bootstrap.

    Returns:
        The accuracy; n is the number of rows of the smaller side.
    """
    n = min(len(source_labels), len(target_probabilities))
    if n < MIN_ATC_ROWS:
        return too_few(n, MIN_ATC_ROWS, "rows on the smaller side")
    wrong = source_probabilities.argmax(axis=1) != source_labels
    source = confidence_scores(source_probabilities, score)
    target = confidence_scores(target_probabilities, score)
    generator = np.random.default_rng(seed)
    draw_source, draw_target = (
        row_drawer(len(side), each, generator) for side, each in zip((source, target), groups, strict=True)
    )

    def resample() -> float:
        drawn, drawn_target = draw_source(), draw_target()
        return _above_threshold(source[drawn], wrong[drawn], target[drawn_target])

    low, high = percentile_interval(np.asarray([resample() for _ in range(RESAMPLES)]))
    value = _above_threshold(source, wrong, target)
    return Estimate(value, n, min(low, value), max(high, value))


def estimate_label_shift(
    source_predicted: Integers,
    source_labels: Integers,
    target_predicted: Integers,
    *,
    classes: int,
    groups: tuple[Integers | None, Integers | None] = (None, None),
    seed: int = 0,
) -> EstimatedShift:
    """Estimate the target's label shares by black box shift estimation: w = C^-1 q.

    C[i, j] = P_src(predicted i, true j), q[i] = P_tgt(predicted i); weights below 0 are set to 0.

    Source: Lipton et al. 2018, Detecting and correcting for label shift with black box predictors (BBSE).
    The interval is a bootstrap over source and target rows.

    Args:
        source_predicted: predicted class ids of labelled source rows that the model did not learn.
        source_labels: their true class ids, shape (source rows,).
        target_predicted: predicted class ids, shape (target rows,).
        classes: how many there are.
        groups: group number of each row of source and target, or None; whole groups are drawn.
        seed: of the bootstrap.
    """
    cells = source_predicted * classes + source_labels
    joint = np.bincount(cells, minlength=classes**2) / max(1, len(cells))
    predicted = np.bincount(target_predicted, minlength=classes) / max(1, len(target_predicted))
    matrix = joint.reshape(classes, classes)
    n = min(len(source_labels), len(target_predicted))
    fewest = min(n, int(np.bincount(source_labels, minlength=classes).min()))
    if fewest < MIN_ROWS_A_CLASS:
        return _no_shift(too_few(fewest, MIN_ROWS_A_CLASS, "rows of the rarest class"), math.inf, classes)
    condition = float(np.linalg.cond(matrix / matrix.sum(axis=0)))
    if not condition <= MAX_CONDITION:
        why = f"the confusion matrix is ill-conditioned ({condition:.0f} > {MAX_CONDITION:.0f})"
        return _no_shift(missing(n, why), condition, classes)
    weights, shares = _solved(matrix, predicted)
    source_shares = matrix.sum(axis=0)
    generator = np.random.default_rng(seed)
    drawn_joint, drawn_predicted = (
        resampled_shares(ids, each, classes=count, resamples=RESAMPLES, generator=generator)
        for ids, each, count in zip((cells, target_predicted), groups, (classes**2, classes), strict=True)
    )
    drawn = [
        (_solved(each, q)[1], each.sum(axis=0))
        for each, q in zip(drawn_joint.reshape(-1, classes, classes), drawn_predicted, strict=True)
        if np.linalg.cond(each) < 1e12
    ]
    drawn_shares = np.asarray([each for each, _ in drawn])
    changes = np.asarray([_total_variation(each, source) for each, source in drawn])
    return EstimatedShift(
        weights=weights,
        shares=[_around(float(shares[y]), drawn_shares[:, y], n) for y in range(classes)],
        change=_around(_total_variation(shares, source_shares), changes, n),
        condition=condition,
    )


def atc_finding(
    estimate: Estimate, *, system: str, truth: Estimate | None = None, threshold: float = MAX_ATC_ERROR
) -> Finding:
    """Word the accuracy that is expected without labels, beside the truth where it is known.

    With a truth the finding's value is estimate minus truth, and it warns beyond `threshold` either way;
    without one it is the estimate.
    """
    words = f"estimated without target labels, {system} has an accuracy of {estimate.words()}"
    if estimate.value is None or truth is None or truth.value is None:
        return Finding(
            "accuracy_without_labels", "info", estimate.value, None, words,
            "" if estimate.value is None else "label some target rows to check it",
        )  # fmt: skip
    error = estimate.value - truth.value
    bad = abs(error) > threshold
    return Finding(
        "accuracy_without_labels", "warn" if bad else "info", error, threshold,
        f"{words}; with labels it has {truth.words()}",
        "do not estimate accuracy without labels for this domain: confidence means something else in it"
        if bad
        else "",
    )  # fmt: skip


def estimated_shift_finding(
    shift: EstimatedShift, label_names: list[str], *, threshold: float = MAX_SHARE_CHANGE
) -> Finding:
    """Word the estimated label shares of the target; warn where they surely differ by more."""
    named = ", ".join(
        f"{name} {each.words('.2f')}" for name, each in zip(label_names, shift.shares, strict=True)
    )
    return judged(
        "estimated_label_shift",
        shift.change,
        threshold=threshold,
        bad=shift.change.low is not None and shift.change.low > threshold,
        evidence=f"label shares of the target, estimated without its labels: {named}; they differ from the "
        f"source's by {shift.change.words()} in total variation (condition number {shift.condition:.1f})",
        advice="label some target rows to check it; if it holds, balance or weight the source rows",
    )


def _above_threshold(source: Array, wrong: Array, target: Array) -> float:
    """Share of target scores at or above the source score below which as many rows lie as are wrong."""
    errors = int(wrong.sum())
    threshold = np.inf if errors == len(source) else np.partition(source, errors)[errors]
    return float((target >= threshold).mean())


def _solved(matrix: Array, predicted: Array) -> tuple[Array, Array]:
    """Return weights not below 0, and the label shares that they give, adding up to 1."""
    weights = np.linalg.solve(matrix, predicted).clip(0)
    shares = weights * matrix.sum(axis=0)
    return weights, shares / max(shares.sum(), 1e-12)


def _no_shift(why: Estimate, condition: float, classes: int) -> EstimatedShift:
    return EstimatedShift(None, [why] * classes, why, condition)


def _around(value: float, samples: Array, n: int) -> Estimate:
    low, high = percentile_interval(samples)
    return Estimate(value, n, min(low, value), max(high, value))


def _total_variation(first: Array, second: Array) -> float:
    return float(0.5 * np.abs(first - second).sum())
