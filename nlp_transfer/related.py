"""How near a language is to what a model translates: which of its languages stands nearest to one that it
does not have (the one that translates best), and whether that is near at all.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nlp_transfer.data.pairs import Direction, Pairs
from nlp_transfer.errors import ModelError
from nlp_transfer.inference.translated_pairs import translate_pairs

if TYPE_CHECKING:
    from nlp_transfer.inference.translator import Translator

logger = logging.getLogger(__name__)
# Languages that translate the dev pairs, of a model that has more; and how many of them by their texts.
MAX_TRIED, MAX_ALIKE = 8, 5


def related_languages(
    translator: Translator, directions: Sequence[Direction], pairs: Pairs, *, chosen: str = "auto"
) -> dict[str, str]:
    """Return for each language that a model lacks its own code of the related one.

    Args:
        translator: the model.
        directions: of the target.
        pairs: pairs of the target that the model has not learnt, which the candidates translate; a language
            without any takes the nearest by name.
        chosen: `auto`, or the related language by name.

    Raises:
        ModelError: the chosen language is not the model's, or the model lacks a source language.
    """
    from nlp_transfer.data.languages import find_language, require_language

    known = translator.loaded.family.languages()
    if not known:
        return {}
    related = {}
    for src_lang, tgt_lang in directions:
        translator.loaded.src_lang(src_lang)
        if tgt_lang in related or find_language(tgt_lang, known) is not None:
            continue
        if chosen != "auto":
            related[tgt_lang] = require_language(chosen, known, model="adaptation.related_lang: the model")
            continue
        rows = [row for row, direction in enumerate(pairs.directions) if direction == (src_lang, tgt_lang)]
        dev = pairs.take(rows)
        related[tgt_lang] = _best(translator, dev, _candidates(tgt_lang, known, dev.targets))
    return related


def _candidates(wanted: str, known: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Return the languages that are tried.

    All of a few. Of many those that the dev texts look like, and the nearest by name: the names' distances
    are mere families (all that is Romance is alike), and an identifier does not know every language. Without
    texts the nearest by name alone.

    Raises:
        ModelError: none is near.
    """
    from nlp_transfer.data.identifying import look_alikes
    from nlp_transfer.data.languages import near_languages

    if texts and len(known) <= MAX_TRIED:
        return list(known)
    alike = look_alikes(texts, known, most=MAX_ALIKE)
    found = list(dict.fromkeys([*alike, *near_languages(wanted, known, most=MAX_TRIED)]))
    if not found:
        raise ModelError(
            f"the model has no language near {wanted!r}; name one in adaptation.related_lang: "
            f"{', '.join(known[:20])}"
        )
    return found[: MAX_TRIED if texts else 1]


def _best(translator: Translator, pairs: Pairs, candidates: Sequence[str]) -> str:
    if len(candidates) == 1:
        return candidates[0]
    tgt_lang = pairs.directions[0][1]
    scores = {
        candidate: _chrf(
            translate_pairs(translator, pairs, asked_as={tgt_lang: candidate}, num_beams=1), pairs.targets
        )
        for candidate in candidates
    }
    best = max(scores, key=lambda candidate: scores[candidate])
    listing = ", ".join(f"{candidate} {score:.1f}" for candidate, score in scores.items())
    logger.info("related language: %s (chrF++ on %d pairs: %s)", best, len(pairs), listing)
    return best


def gain_over_copy(translator: Translator, pairs: Pairs, *, asked_as: Mapping[str, str]) -> float:
    """Return how much better a model translates pairs than the source text itself would do, in chrF++.

    Args:
        translator: the model.
        pairs: some pairs of the target; greedy translations of them are scored.
        asked_as: for a language that the model lacks the one that is asked for instead.
    """
    written = translate_pairs(translator, pairs, asked_as=asked_as, num_beams=1)
    return _chrf(written, pairs.targets) - _chrf(pairs.sources, pairs.targets)


def _chrf(written: Sequence[str], references: Sequence[str]) -> float:
    """Return chrF++ of a corpus."""
    from nlp_transfer.evaluation.translation_scores import chrf_of_counts, chrf_statistics

    counts = chrf_statistics(written, references).sum(axis=0, keepdims=True)
    return float(chrf_of_counts(counts)[0])
