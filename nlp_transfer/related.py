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
    from nlp_transfer.models.translation import LoadedTranslator

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
        ModelError: the chosen language is not the model's, or it has none that is near.
    """
    from nlp_transfer.data.languages import find_language, require_language

    known = translator.loaded.family.languages()
    related: dict[str, str] = {}
    for direction in directions:
        lacking = [
            language
            for language in lacking_languages(translator.loaded, direction)
            if language not in related
        ]
        if not lacking:
            continue
        if chosen != "auto":
            name = "adaptation.related_lang: the model"
            related |= dict.fromkeys(lacking, require_language(chosen, known, model=name))
            continue
        dev = pairs.take([row for row, each in enumerate(pairs.directions) if each == direction])
        # From a language into itself a model copies, which may look better than a translation.
        others = [code for code in known if code not in {find_language(each, known) for each in direction}]
        tried = {
            language: _candidates(language, others, dev.sources if language == direction[0] else dev.targets)
            for language in lacking
        }
        # Where both sides are new, the source is chosen with the likeliest target, and the target after it.
        asked_as = {**related, **{language: candidates[0] for language, candidates in tried.items()}}
        for language, candidates in tried.items():
            asked_as[language] = _best(translator, dev, language, candidates, asked_as=asked_as)
        related = asked_as
    return related


def lacking_languages(loaded: LoadedTranslator, direction: Direction) -> list[str]:
    """Return the languages of a direction that a model is told and does not have, the source's first."""
    from nlp_transfer.data.languages import find_language

    told = zip(direction, (loaded.source_languages(), loaded.family.languages()), strict=True)
    return [language for language, known in told if known and find_language(language, known) is None]


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


def _best(
    translator: Translator,
    pairs: Pairs,
    language: str,
    candidates: Sequence[str],
    *,
    asked_as: Mapping[str, str],
) -> str:
    """Return the candidate that translates best when it stands for the language."""
    if len(candidates) == 1:
        return candidates[0]
    scores = {
        candidate: _chrf(
            translate_pairs(translator, pairs, asked_as={**asked_as, language: candidate}, num_beams=1),
            pairs.targets,
        )
        for candidate in candidates
    }
    best = max(scores, key=lambda candidate: scores[candidate])
    listing = ", ".join(f"{candidate} {score:.1f}" for candidate, score in scores.items())
    logger.info("related to %s: %s (chrF++ on %d pairs: %s)", language, best, len(pairs), listing)
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
