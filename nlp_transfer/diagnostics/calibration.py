"""Trust in probabilities: temperature fitted on dev rows, calibration error, accuracy against coverage."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from nlp_transfer.diagnostics.clusters import mean_variance
from nlp_transfer.diagnostics.estimates import (
    RESAMPLES,
    Array,
    Estimate,
    Integers,
    judged,
    missing,
    resampled,
    too_few,
)
from nlp_transfer.evaluation.intervals import bootstrap_weights, percentile_interval
from nlp_transfer.evaluation.scores import resampled_scores
from nlp_transfer.findings import Finding

MIN_DEV_ROWS = 50
# The calibration error of 15 bins is biased upwards: a perfectly calibrated model of two classes shows 5
# points with 100 rows, 4 with 200 and 1.5 with 1,400 (simulated).
MIN_BINNED_ROWS = 200
MAX_CALIBRATION_ERROR = 0.05
# Beyond these the likelihood has no optimum worth the name: every row is right, or the scores say nothing.
TEMPERATURES = (0.05, 20.0)
TEMPERATURE_RESAMPLES = 200
FOLDS = 5
# A temperature is carried where its gain on rows left out of the fit is above so many standard errors. Of
# calibrated models one in a hundred carries one then; with 0 it is one in five, and nearly all are worse for
# it. Of models whose logits are 1.6 times too large 38% carry one with 100 dev rows and 98% with 400; of 2.5
# times 94% and all (simulated).
MIN_GAIN_ERRORS = 1.0


@dataclass(frozen=True)
class Temperature:
    """The temperature that makes dev rows likeliest, and what it changes there."""

    temperature: Estimate
    """Logits are divided by it; above 1 the model was too sure."""
    nll_before: float | None
    """Mean negative log-likelihood a dev row, in nats."""
    nll_after: float | None
    gain: float | None = None
    """By how much it lowers the loss of dev rows that it is not fitted on, in nats a row (`held_out_gain`);
    None where nobody asked."""


@dataclass(frozen=True)
class Coverage:
    """Accuracy on the share of rows that the model is surest of."""

    coverage: Array
    """Shape (rows,), from 1 / rows to 1."""
    accuracy: Array
    """Shape (rows,), of the rows kept at each coverage; rows of equal confidence share theirs."""
    area: Estimate
    """Area under risk against coverage (AURC), the mean over all coverages of the error; 0 is best."""


def fit_temperature(
    logits: Array, labels: Integers, *, groups: Integers | None = None, seed: int = 0
) -> Temperature:
    """Fit the temperature T of softmax(logits / T) on dev rows by maximum likelihood.

    Source: Guo et al. 2017, On calibration of modern neural networks, section 4.2 (temperature scaling).

    Args:
        logits: shape (dev rows, classes); logarithms of probabilities serve as well.
        labels: true class ids, shape (dev rows,).
        groups: group number of each row, or None; whole groups are drawn.
        seed: of the bootstrap over dev rows.
    """
    rows = len(labels)
    if rows < MIN_DEV_ROWS:
        return Temperature(too_few(rows, MIN_DEV_ROWS, "dev rows"), None, None)
    value = _best_temperature(logits, labels)
    edge = 1.01
    if not TEMPERATURES[0] * edge < value < TEMPERATURES[1] / edge:
        why = "the likelihood has no optimum: all dev rows are right, or the scores do not follow the labels"
        return Temperature(missing(rows, why), None, None)
    low, high = resampled(
        lambda drawn: _best_temperature(logits[drawn], labels[drawn]),
        rows,
        resamples=TEMPERATURE_RESAMPLES,
        seed=seed,
        groups=groups,
    )
    estimate = Estimate(value, rows, min(low, value), max(high, value))
    return Temperature(estimate, _nll(logits, labels), _nll(logits / value, labels))


def carried_temperature(
    logits: Array, labels: Integers, *, groups: Integers | None = None, seed: int = 0
) -> Temperature:
    """Fit a temperature on dev rows, and leave it out where these do not show that it helps on other rows.

    Few dev rows fit a temperature by chance: one that is wrong makes a calibrated model worse.

    Args:
        logits: shape (dev rows, classes).
        labels: true class ids, shape (dev rows,).
        groups: group number of each row, or None.
        seed: of the folds, and of the bootstrap.

    Returns:
        The fit; without a value, and with the reason, where its gain is not above `MIN_GAIN_ERRORS` of its
        standard errors.
    """
    fitted = fit_temperature(logits, labels, groups=groups, seed=seed)
    value = fitted.temperature.value
    if value is None:
        return fitted
    gain, error = held_out_gain(logits, labels, groups=groups, seed=seed)
    if gain > MIN_GAIN_ERRORS * error:
        return replace(fitted, gain=gain)
    why = (
        f"{value:.2f} fits {fitted.temperature.n:,} dev rows best, and is not shown to help: on rows left "
        f"out of the fit it lowers the loss by {gain:.4f} nats, with a standard error of {error:.4f}"
    )
    return Temperature(missing(fitted.temperature.n, why), fitted.nll_before, None, gain)


def held_out_gain(
    logits: Array, labels: Integers, *, groups: Integers | None = None, seed: int = 0
) -> tuple[float, float]:
    """Return by how much a temperature lowers the negative log-likelihood of rows that it was not fitted on.

    Cross-validated over 5 folds and paired: of each row the loss at temperature 1 minus the one at the
    temperature that fits the other folds. Rows of one group are in one fold.

    Source: Stone 1974, Cross-validatory choice and assessment of statistical predictions; the loss is that of
    Guo et al. 2017, section 4.2.

    Args:
        logits: shape (rows, classes).
        labels: true class ids, shape (rows,).
        groups: group number of each row, or None.
        seed: of the folds.

    Returns:
        (gain in nats a row, its standard error); infinite errors for rows of a single group.
    """
    units = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(units.max()) + 1
    if count < 2:
        return 0.0, np.inf
    fold = (np.random.default_rng(seed).permutation(count) % FOLDS)[units]
    gains = np.zeros(len(labels))
    for each in np.unique(fold):
        held, kept = fold == each, fold != each
        temperature = _best_temperature(logits[kept], labels[kept])
        gains[held] = _row_nll(logits[held], labels[held]) - _row_nll(
            logits[held] / temperature, labels[held]
        )
    return float(gains.mean()), float(np.sqrt(mean_variance(gains, groups)[0]))


def scale(logits: Array, temperature: float) -> Array:
    """Return softmax(logits / temperature), shape (rows, classes).

    >>> scale(np.array([[2.0, 0.0]]), 2.0).round(3).tolist()
    [[0.731, 0.269]]
    """
    scaled: Array = special.softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=1)
    return scaled


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
            resamples=TEMPERATURE_RESAMPLES,
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


def _best_temperature(logits: Array, labels: Integers) -> float:
    found = optimize.minimize_scalar(
        lambda log_temperature: _nll(logits / np.exp(log_temperature), labels),
        bounds=np.log(TEMPERATURES),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(np.exp(found.x))


def _nll(logits: Array, labels: Integers) -> float:
    """Mean negative log-likelihood a row, in nats."""
    return float(_row_nll(logits, labels).mean())


def _row_nll(logits: Array, labels: Integers) -> Array:
    """Negative log-likelihood of each row, in nats, shape (rows,)."""
    losses: Array = -special.log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return losses


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
