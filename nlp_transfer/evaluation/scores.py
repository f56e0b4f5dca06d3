"""Scores of classifications: the bundled `evaluate` modules for the values, sums over rows for resampling.

A bootstrap needs each score a thousand times. Accuracy, macro-F1 and Matthews correlation follow from the
confusion counts and the calibration error from per-bin sums, so one matrix product scores all resamples;
tests hold that both ways give the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
METRICS = ("accuracy", "macro_f1", "matthews_correlation", "expected_calibration_error")
PRIMARY = "accuracy"
COMPARED = ("accuracy", "macro_f1")
CALIBRATION_BINS = 15


@cache
def load_metric(name: str) -> Any:
    """Load a bundled `evaluate` module by its name."""
    import evaluate

    folder = resources.files("nlp_transfer") / "evaluation" / "metrics" / name
    return evaluate.load(str(folder / f"{name}.py"), keep_in_memory=True)


def classification_scores(probabilities: Array, references: Sequence[int]) -> dict[str, float]:
    """Score predicted probabilities with every bundled metric.

    Args:
        probabilities: shape (rows, classes).
        references: true class ids, shape (rows,).
    """
    predicted = probabilities.argmax(axis=1).tolist()
    found: dict[str, float] = {}
    for name in METRICS:
        predictions = probabilities.tolist() if name == "expected_calibration_error" else predicted
        found |= load_metric(name).compute(predictions=predictions, references=list(references))
    return found


def resampled_scores(probabilities: Array, references: Sequence[int], weights: Array) -> dict[str, Array]:
    """Score the same predictions under many weightings of the rows.

    Args:
        probabilities: shape (rows, classes).
        references: true class ids, shape (rows,).
        weights: shape (resamples, rows), each line adding up to 1.

    Returns:
        For each metric an array of shape (resamples,).
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    classes = probabilities.shape[1]
    truth, predicted = np.asarray(references), probabilities.argmax(axis=1)
    of_class = np.eye(classes)
    confusion = np.stack(
        [(weights[:, truth == each]) @ of_class[predicted[truth == each]] for each in range(classes)], axis=1
    )
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gap = (truth == predicted) - confidence
    per_bin = weights @ (np.eye(CALIBRATION_BINS)[bins] * gap[:, None])
    return {
        "accuracy": np.trace(confusion, axis1=1, axis2=2),
        "macro_f1": _macro_f1(confusion),
        "matthews_correlation": _matthews(confusion),
        "expected_calibration_error": np.abs(per_bin).sum(axis=1),
    }


def _macro_f1(confusion: Array) -> Array:
    """Mean F1 over the classes that occur, from confusion shares of shape (resamples, true, predicted)."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    occurs = confusion.sum(axis=1) + confusion.sum(axis=2)
    f1 = np.divide(2 * hits, occurs, out=np.zeros_like(hits), where=occurs > 0)
    mean: Array = f1.sum(axis=1) / (occurs > 0).sum(axis=1)
    return mean


def _matthews(confusion: Array) -> Array:
    """Gorodkin's R_K from confusion shares of shape (resamples, true, predicted); 0 where undefined."""
    truth, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    covariance = np.trace(confusion, axis1=1, axis2=2) - (truth * predicted).sum(axis=1)
    spread = np.sqrt((1 - (truth**2).sum(axis=1)).clip(0) * (1 - (predicted**2).sum(axis=1)).clip(0))
    correlation: Array = np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 1e-12)
    return correlation
