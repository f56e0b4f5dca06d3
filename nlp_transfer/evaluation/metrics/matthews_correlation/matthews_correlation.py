"""Correlation of predicted and true classes (Gorodkin 2004 for more than two)."""

import datasets
import evaluate

_DESCRIPTION = "Correlation of predicted and true classes: 1 is perfect, 0 is chance; 0 where undefined."
_CITATION = "Gorodkin 2004, Comparing two K-category assignments by a K-category correlation coefficient."
_KWARGS = """
Args:
    predictions: class ids, shape (rows,).
    references: class ids, shape (rows,).
Returns:
    matthews_correlation: between -1 and 1.
"""


class MatthewsCorrelation(evaluate.Metric):  # type: ignore[misc]
    """Correlation of predicted and true classes (Gorodkin 2004 for more than two)."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS,
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        from sklearn.metrics import matthews_corrcoef

        return {"matthews_correlation": float(matthews_corrcoef(references, predictions))}
