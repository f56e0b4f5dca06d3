"""Mean over classes of the harmonic mean of precision and recall."""

import datasets
import evaluate

_DESCRIPTION = (
    "Unweighted mean of the F1 of each class that is among the references or predictions; 0 where undefined."
)
_CITATION = "Pedregosa et al. 2011, scikit-learn, JMLR 12."
_KWARGS = """
Args:
    predictions: class ids, shape (rows,).
    references: class ids, shape (rows,).
Returns:
    macro_f1: between 0 and 1.
"""


class MacroF1(evaluate.Metric):  # type: ignore[misc]
    """Mean over classes of the harmonic mean of precision and recall."""

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
        from sklearn.metrics import f1_score

        score = f1_score(references, predictions, average="macro", zero_division=0)
        return {"macro_f1": float(score)}
