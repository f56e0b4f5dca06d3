"""Translates the sources of sentence pairs, several directions at once, as scoring and choosing need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nlp_transfer.data.pairs import Direction, Pairs

if TYPE_CHECKING:
    from nlp_transfer.inference.translator import Translator


def translate_pairs(
    translator: Translator,
    pairs: Pairs,
    *,
    asked_as: Mapping[str, str],
    label: str | None = None,
    num_beams: int | None = None,
) -> list[str]:
    """Translate the sources of pairs, each direction by itself; sources too long to read stay empty.

    Args:
        translator: the model.
        pairs: what to translate.
        asked_as: the model's own code to ask for in place of a language it does not have.
        label: names the progress bar; None shows none.
        num_beams: hypotheses kept; None takes the translator's own number.
    """
    translations = [""] * len(pairs)
    rows_of: dict[Direction, list[int]] = {}
    for row, direction in enumerate(pairs.directions):
        rows_of.setdefault(direction, []).append(row)
    for (src_lang, tgt_lang), rows in rows_of.items():
        texts = [pairs.sources[row] for row in rows]
        asked = {
            "src_lang": asked_as.get(src_lang, src_lang),
            "tgt_lang": asked_as.get(tgt_lang, tgt_lang),
        }
        counts = translator.count_tokens(texts, **asked)
        readable = [
            row for row, count in zip(rows, counts, strict=True) if count <= translator.max_length_tokens
        ]
        texts = [pairs.sources[row] for row in readable]
        written = translator.translate(texts, **asked, num_beams=num_beams, label=label)
        for row, translation in zip(readable, written, strict=True):
            translations[row] = translation
    return translations
