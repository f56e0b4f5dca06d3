"""F-score (beta 2) of character n-grams up to six and word n-grams up to two: chrF++."""

import datasets
import evaluate

_DESCRIPTION = "F-score (beta 2) of character n-grams up to six and word n-grams up to two: chrF++."
_CITATION = (
    "Popović 2015, chrF: character n-gram F-score for automatic MT evaluation; Popović 2017, chrF++: words "
    "helping character n-grams; Post 2018, A call for clarity in reporting BLEU scores."
)
_KWARGS = """
Args:
    predictions: translations, shape (rows,).
    references: one reference each, shape (rows,).
Returns:
    score: between 0 and 100.
    signature: sacrebleu's, which says how it was computed.
"""


class ChrF(evaluate.Metric):  # type: ignore[misc]
    """F-score (beta 2) of character n-grams up to six and word n-grams up to two: chrF++."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float | str]:
        from nlp_transfer.evaluation.sacrebleu_metrics import score_and_signature

        return score_and_signature("chrf++", predictions, references)
