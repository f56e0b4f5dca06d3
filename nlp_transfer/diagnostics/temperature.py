"""The temperature of a classifier: fitted on dev rows, carried where it helps rows left out of the fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special

from nlp_transfer.diagnostics.clusters import mean_variance
from nlp_transfer.diagnostics.estimates import Array, Estimate, Integers, missing, resampled, too_few

MIN_DEV_ROWS = 50
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
