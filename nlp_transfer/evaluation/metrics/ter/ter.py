"""Edits (shifts of phrases among them) that make a translation its reference, over its length."""

import datasets
import evaluate

_DESCRIPTION = "Edits (shifts of phrases among them) that make a translation its reference, over its length."
_CITATION = (
    "Snover et al. 2006, A study of translation edit rate with targeted human annotation; "
    "Post 2018, A call for clarity in reporting BLEU scores."
)
_KWARGS = """
Args:
    predictions: translations, shape (rows,).
    references: one reference each, shape (rows,).
Returns:
    score: percent of the reference words, from 0 (the same); may exceed 100.
    signature: sacrebleu's, which says how it was computed.
"""


class Ter(evaluate.Metric):  # type: ignore[misc]
    """Edits (shifts of phrases among them) that make a translation its reference, over its length."""

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

        return score_and_signature("ter", predictions, references)
