"""Trust in probabilities: calibration error, accuracy against coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nlp_transfer.diagnostics.estimates import (
    RESAMPLES,
    Array,
    Estimate,
    Integers,
    judged,
    resampled,
    too_few,
)
from nlp_transfer.diagnostics.temperature import Temperature
from nlp_transfer.evaluation.intervals import bootstrap_weights, percentile_interval
from nlp_transfer.evaluation.scores import resampled_scores
from nlp_transfer.findings import Finding

# The calibration error of 15 bins is biased upwards: a perfectly calibrated model of two classes shows 5
# points with 100 rows, 4 with 200 and 1.5 with 1,400 (simulated).
MIN_BINNED_ROWS = 200
MAX_CALIBRATION_ERROR = 0.05
AREA_RESAMPLES = 200


@dataclass(frozen=True)
class Coverage:
    """Accuracy on the share of rows that the model is surest of."""

    coverage: Array
    """Shape (rows,), from 1 / rows to 1."""
    accuracy: Array
    """Shape (rows,), of the rows kept at each coverage; rows of equal confidence share theirs."""
    area: Estimate
    """Area under risk against coverage (AURC), the mean over all coverages of the error; 0 is best."""


def calibration_error(
    probabilities: Array, labels: Integers, *, groups: Integers | None = None, seed: int = 0
) -> Estimate:
    """Expected calibration error over 15 equal-width bins, with a bootstrap interval over rows.

    Source: Guo et al. 2017, equation 3; the same number as the report's expected_calibration_error.

    Args:
        probabilities: shape (rows, classes).
        labels: true class ids, shape (rows,).
        groups: group number of each row, or None; whole groups are drawn.
        seed: of the bootstrap.
    """
    rows = len(labels)
    if rows < MIN_BINNED_ROWS:
        return too_few(rows, MIN_BINNED_ROWS)
    weights = bootstrap_weights(rows, resamples=RESAMPLES, seed=seed, groups=groups)
    whole = np.full((1, rows), 1 / rows)
    errors = resampled_scores(probabilities, labels.tolist(), np.concatenate([whole, weights]))[
        "expected_calibration_error"
    ]
    value, (low, high) = float(errors[0]), percentile_interval(errors[1:])
    return Estimate(value, rows, min(low, value), max(high, value))


def accuracy_against_coverage(
    probabilities: Array, labels: Integers, *, groups: Integers | None = None, seed: int = 0
) -> Coverage:
    """Return the accuracy on the surest rows at each coverage, and the area under risk against coverage.

    Rows of equal confidence are taken in every order at once: their errors count evenly.

    Source: Geifman and El-Yaniv 2017, Selective classification for deep neural networks, section 2; the
    area: Geifman et al. 2019, Bias-reduced uncertainty estimation for deep neural classifiers.

    Args:
        probabilities: shape (rows, classes).
        labels: true class ids, shape (rows,).
        groups: group number of each row, or None; whole groups are drawn.
        seed: of the bootstrap over rows.
    """
    confidence, right = _confidence(probabilities, labels)
    rows = len(labels)
    accuracy = _selective_accuracy(confidence, right)
    if rows < MIN_BINNED_ROWS:
        area = too_few(rows, MIN_BINNED_ROWS)
    else:
        low, high = resampled(
            lambda drawn: float(1 - _selective_accuracy(confidence[drawn], right[drawn]).mean()),
            rows,
            resamples=AREA_RESAMPLES,
            seed=seed,
            groups=groups,
        )
        value = float(1 - accuracy.mean())
        area = Estimate(value, rows, min(low, value), max(high, value))
    return Coverage(np.arange(1, rows + 1) / rows, accuracy, area)


def calibration_finding(
    before: Estimate, after: Estimate, temperature: Temperature, *, threshold: float = MAX_CALIBRATION_ERROR
) -> Finding:
    """Word the calibration error on test rows before and after the temperature; warn where what is left is
    above `threshold`.
    """
    left, mended = before, f"no temperature: {temperature.temperature.reason}"
    more = "label more target rows, so that dev rows can fit a temperature"
    if after.value is not None:
        left = after
        mended = f"divided by the temperature {temperature.temperature.words('.2f')} {after.words()}"
        more = "its temperature does not mend them; more dev rows would fit it better"
    evidence = f"expected calibration error {before.words()}; {mended}"
    if left.value is None:
        return Finding("calibration", "info", None, threshold, evidence, "")
    return judged(
        "calibration",
        left,
        threshold=threshold,
        bad=left.value is not None and left.value > threshold,
        evidence=evidence,
        advice=f"do not read the probabilities as probabilities: {more}",
    )


def coverage_finding(coverage: Coverage, *, at: float = 0.8) -> Finding:
    """Word how much surer answers are righter; it informs."""
    if coverage.area.value is None:
        return Finding("coverage", "info", None, None, coverage.area.words(), "")
    kept = max(1, round(at * len(coverage.accuracy)))
    return Finding(
        "coverage",
        "info",
        coverage.area.value,
        None,
        f"accuracy {coverage.accuracy[-1]:.3f} on all rows, {coverage.accuracy[kept - 1]:.3f} on the surest "
        f"{at:.0%}; area under risk against coverage {coverage.area.words()}",
        "",
    )


def _confidence(probabilities: Array, labels: Integers) -> tuple[Array, npt.NDArray[np.bool_]]:
    confidence: Array = probabilities.max(axis=1)
    return confidence, probabilities.argmax(axis=1) == labels


def _selective_accuracy(confidence: Array, right: npt.NDArray[np.bool_]) -> Array:
    """Accuracy of the k surest rows for k = 1 ... rows, shape (rows,)."""
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(right[order])
    last_of_its_value = np.append(np.diff(confidence[order]) != 0, True)
    ends = np.flatnonzero(last_of_its_value) + 1
    kept = np.arange(1, len(right) + 1)
    accuracy: Array = np.interp(kept, np.append(0, ends), np.append(0, hits[ends - 1])) / kept
    return accuracy
