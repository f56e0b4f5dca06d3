"""Keeps what the diagnostics of a translation run look at, so that its report needs no model again.

Translations of learnt pairs stand in `predictions/` beside those of test pairs, the drift of the weights in
`evidence/`. As evidence.py does for classifiers.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from nlp_transfer.diagnostics.forgetting import weight_drift
from nlp_transfer.evidence_files import sample, write_drift, write_related
from nlp_transfer.making.translators import TranslationMaker
from nlp_transfer.training.processes import computed_on_main
from nlp_transfer.translation_systems import translate_in_shares, write_pairs_translated

# Learnt pairs that are translated: enough to see pairs learnt by heart, and few beside the test pairs.
MAX_LEARNT_PAIRS = 200


def keep_translation_evidence(maker: TranslationMaker, predictions: Path) -> dict[str, Any]:
    """Keep the related languages, translations of learnt pairs and the drift of the weights; return the
    seconds that the last two took.

    Args:
        maker: of the first seed's models.
        predictions: the folder of that seed's predictions.
    """
    related = maker.related()
    computed_on_main(lambda: write_related(maker.folder, related))
    seconds = {}
    for name, keep in (("learnt rows", _keep_learnt), ("weights", _keep_drift)):
        if len(maker.data.target.train):
            began = time.perf_counter()
            keep(maker, predictions)
            seconds[name] = round(time.perf_counter() - began, 4)
    return {"seconds": seconds}


def _keep_learnt(maker: TranslationMaker, predictions: Path) -> None:
    from nlp_transfer.inference.translator import load_translation_model

    train = maker.data.target.train
    drawn = train.take(sample(len(train), MAX_LEARNT_PAIRS, seed=maker.seed))
    translator = load_translation_model(str(maker.model_folder))
    written = translate_in_shares(translator, drawn, label="score adapted on learnt pairs")
    path = predictions / "adapted.target_train.jsonl"
    computed_on_main(lambda: write_pairs_translated(path, drawn, written))


def _keep_drift(maker: TranslationMaker, _: Path) -> None:
    """Compare the adapted weights with those that adaptation started from, where they were trained before."""
    start, revision = maker.start()
    if isinstance(start, str):
        computed_on_main(lambda: _write_drift(maker, start, revision))


def _write_drift(maker: TranslationMaker, start: str, revision: str | None) -> None:
    from nlp_transfer.models.translation import load_translator

    before = load_translator(start, revision=revision).model
    after = load_translator(str(maker.model_folder)).model
    write_drift(maker.folder, weight_drift(dict(before.named_parameters()), dict(after.named_parameters())))
