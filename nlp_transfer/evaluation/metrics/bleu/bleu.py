"""Geometric mean of the precision of word n-grams up to four, times a brevity penalty."""

import datasets
import evaluate

_DESCRIPTION = "Geometric mean of the precision of word n-grams up to four, times a brevity penalty."
_CITATION = (
    "Papineni et al. 2002, BLEU: a method for automatic evaluation of machine translation; "
    "Post 2018, A call for clarity in reporting BLEU scores."
)
_KWARGS = """
Args:
    predictions: translations, shape (rows,).
    references: one reference each, shape (rows,).
    tgt_lang: language of the translations, which decides how they are cut into words; None: 13a.
Returns:
    score: between 0 and 100.
    signature: sacrebleu's, which says how it was computed.
"""


class Bleu(evaluate.Metric):  # type: ignore[misc]
    """Geometric mean of the precision of word n-grams up to four, times a brevity penalty."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(
        self, predictions: list[str], references: list[str], tgt_lang: str | None = None
    ) -> dict[str, float | str]:
        from nlp_transfer.evaluation.sacrebleu_metrics import score_and_signature

        return score_and_signature("bleu", predictions, references, tgt_lang=tgt_lang)
