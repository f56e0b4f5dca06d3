"""Mean gap between confidence and accuracy over equal-width bins of confidence."""

import datasets
import evaluate

_DESCRIPTION = (
    "sum_b n_b / n * abs(accuracy_b - confidence_b) over equal-width bins of the highest probability."
)
_CITATION = "Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3."
_KWARGS = """
Args:
    predictions: probabilities, shape (rows, classes).
    references: class ids, shape (rows,).
Returns:
    expected_calibration_error: between 0 (calibrated) and 1.
"""


class ExpectedCalibrationError(evaluate.Metric):  # type: ignore[misc]
    """Mean gap between confidence and accuracy over equal-width bins of confidence."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS,
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Value("int64"),
                }
            ),
        )

    def _compute(
        self, predictions: list[list[float]], references: list[int], bins: int = 15
    ) -> dict[str, float]:
        import numpy as np

        probabilities = np.asarray(predictions, dtype=float)
        confidence = probabilities.max(axis=1)
        correct = probabilities.argmax(axis=1) == np.asarray(references)
        bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
        gaps = [
            abs(correct[bin_of == number].mean() - confidence[bin_of == number].mean())
            * (bin_of == number).mean()
            for number in np.unique(bin_of)
        ]
        return {"expected_calibration_error": float(sum(gaps))}
