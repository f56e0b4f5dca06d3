"""Share of rows whose predicted class is the true one."""

import datasets
import evaluate

_DESCRIPTION = "Share of rows whose predicted class is the true one."
_CITATION = "Pedregosa et al. 2011, scikit-learn, JMLR 12."
_KWARGS = """
Args:
    predictions: class ids, shape (rows,).
    references: class ids, shape (rows,).
Returns:
    accuracy: between 0 and 1.
"""


class Accuracy(evaluate.Metric):  # type: ignore[misc]
    """Share of rows whose predicted class is the true one."""

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
        from sklearn.metrics import accuracy_score

        return {"accuracy": float(accuracy_score(references, predictions))}
