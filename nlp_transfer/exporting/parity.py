"""What an export changes: the same rows by both models, and the bounds that it must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlp_transfer.evaluation.sacrebleu_metrics import score_and_signature
from nlp_transfer.exporting.samples import LabelledTexts, TranslatedTexts
from nlp_transfer.inference.translated_pairs import translate_pairs

# Of float32 logits, or of their own size where that is above 1: another order of additions.
MAX_LOGIT_DIFFERENCE = 1e-4
# Translations that may differ where a rounding tips a choice between two tokens.
MIN_EQUAL_TRANSLATIONS = 0.98
# What eight bits may cost.
MAX_ACCURACY_LOSS_POINTS, MAX_CHRF_LOSS = 0.5, 0.3
GREEDY_ROWS = 100


@dataclass(frozen=True)
class Parity:
    """What was measured, and what of it is out of bounds."""

    measured: dict[str, Any]
    problems: list[str]


def classification_parity(model: Any, exported: Any, sample: LabelledTexts, *, int8: bool) -> Parity:
    """Compare two classifiers; with labels by accuracy, without by the labels that they give.

    Args:
        model: the one that was exported.
        exported: what it became, loaded from its folder.
        sample: the rows.
        int8: bounds of eight bits apply, not those of float32.
    """
    before, after = model.logits(sample.texts), exported.logits(sample.texts)
    names = np.asarray(model.label_names)
    first, second = names[before.argmax(axis=1)], names[after.argmax(axis=1)]
    difference = float(np.abs(after - before).max())
    relative = float((np.abs(after - before) / np.maximum(1.0, np.abs(before))).max())
    measured: dict[str, Any] = {
        "rows": len(sample.texts),
        "rows_are": sample.what,
        "max_logit_difference": difference,
        "equal_labels": float((first == second).mean()),
    }
    problems = []
    if not int8 and not relative <= MAX_LOGIT_DIFFERENCE:
        problems.append(f"logits differ by {difference:.2g} (at most {MAX_LOGIT_DIFFERENCE:g})")
    if sample.labels is None:
        changed = 100 * (1 - measured["equal_labels"])
        if changed > MAX_ACCURACY_LOSS_POINTS:
            problems.append(
                f"{changed:.1f}% of the labels changed, and without labelled rows it is not known for better "
                f"or worse (at most {MAX_ACCURACY_LOSS_POINTS}%); name a recipe with test rows: --rows"
            )
        return Parity(measured, problems)
    truth = np.asarray(sample.labels)
    scores = [100 * float((each == truth).mean()) for each in (first, second)]
    measured["accuracy"] = {"model": scores[0], "exported": scores[1], "loss": scores[0] - scores[1]}
    if scores[0] - scores[1] > MAX_ACCURACY_LOSS_POINTS:
        problems.append(
            f"accuracy falls from {scores[0]:.1f} to {scores[1]:.1f} (by {MAX_ACCURACY_LOSS_POINTS} points "
            "at most)"
        )
    return Parity(measured, problems)


def translation_parity(model: Any, exported: Any, sample: TranslatedTexts, *, int8: bool) -> Parity:
    """Compare two translation models: chrF++ with their own beams, and greedy translations one by one.

    Args:
        model: the one that was exported.
        exported: what it became, loaded from its folder.
        sample: the rows; without references chrF++ is that of one model's output against the other's.
        int8: bounds of eight bits apply, not those of float32.
    """
    few = sample.pairs.take(range(min(GREEDY_ROWS, len(sample.pairs))))
    before, after = (_translated(each, sample.pairs) for each in (model, exported))
    greedy = [_translated(each, few, num_beams=1) for each in (model, exported)]
    measured: dict[str, Any] = {
        "rows": len(sample.pairs),
        "rows_are": sample.what,
        "num_beams": model.num_beams,
        "equal_translations": _equal(before, after),
        "greedy_rows": len(few),
        "equal_greedy_translations": _equal(*greedy),
    }
    if sample.has_references:
        found = [_chrf(each, sample.pairs.targets) for each in (before, after)]
        loss = found[0]["score"] - found[1]["score"]
        between = f"chrF++ falls from {found[0]['score']:.2f} to {found[1]['score']:.2f}"
    else:
        found = [_chrf(after, before)]
        loss = 100 - found[0]["score"]
        between = f"chrF++ of the exported model's output against the model's is {found[0]['score']:.2f}"
    measured["chrf++"] = {
        **({"model": found[0]["score"]} if sample.has_references else {}),
        "exported": found[-1]["score"],
        "loss": loss,
        "signature": found[-1]["signature"],
    }
    problems = []
    if loss > MAX_CHRF_LOSS:
        mend = "" if sample.has_references else "; name a recipe with test pairs: --rows"
        problems.append(f"{between} (by {MAX_CHRF_LOSS} at most){mend}")
    if not int8 and measured["equal_greedy_translations"] < MIN_EQUAL_TRANSLATIONS:
        share = 100 * float(measured["equal_greedy_translations"])
        problems.append(
            f"{share:.0f}% of the greedy translations are equal "
            f"(at least {100 * MIN_EQUAL_TRANSLATIONS:.0f}%)"
        )
    return Parity(measured, problems)


def _translated(translator: Any, pairs: Any, *, num_beams: int | None = None) -> list[str]:
    usual = translator.num_beams
    translator.num_beams = num_beams or usual
    try:
        return translate_pairs(translator, pairs, label="compare", asked_as={})
    finally:
        translator.num_beams = usual


def _equal(first: list[str], second: list[str]) -> float:
    return float(np.mean([one == other for one, other in zip(first, second, strict=True)]))


def _chrf(hypotheses: list[str], references: list[str]) -> dict[str, Any]:
    return score_and_signature("chrf++", hypotheses, references)
