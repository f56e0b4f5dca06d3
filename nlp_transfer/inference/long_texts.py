"""Texts cut into what a translation model reads at once, and put together again: nothing is lost between.

A model is trained on sentences and reads a limited number of tokens. So each line of a text is translated
for itself, a line that is too long sentence by sentence; line breaks, spaces at the edges and what holds no
word are copied. A sentence that is too long is refused, never cut.

Sentences are found by sentencex (Wikimedia, MIT): of the libraries looked at it is the one that is kept up,
knows some 300 languages, gives back every character, and takes milliseconds for 100,000 characters of
anything. pysbd (last release 2021, 23 languages) took 0.1 to 0.3 s for a tenth of that; syntok knows
three languages; blingfire has one model for all and no release since 2022.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nlp_transfer.data.languages import language_of
from nlp_transfer.data.placeholders import around_placeholders, without_placeholders

if TYPE_CHECKING:
    from nlp_transfer.inference.translator import Translator

# Whatever str.splitlines takes for the end of a line; a run of them stays as it is.
LINE_BREAKS = re.compile("([\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+)")
SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class TooLong:
    """A sentence that the model cannot read whole."""

    sentence: str
    tokens: int
    limit: int

    def __str__(self) -> str:
        opening = self.sentence[:SHOWN_CHARACTERS]
        return (
            f"a sentence of {self.tokens:,} tokens is longer than the {self.limit:,} that the model reads "
            f"({opening!r}...); break it into shorter sentences"
        )


@dataclass(frozen=True)
class CutText:
    """A text as parts that make it up when joined.

    Attributes:
        parts: what is translated and what stands between, in order.
        translated: which of the parts (their positions) are for the model.
    """

    parts: tuple[str, ...]
    translated: frozenset[int]


def cut_texts(translator: Translator, texts: Sequence[str]) -> list[CutText | TooLong]:
    """Cut texts into parts that the model can read.

    Args:
        translator: says what a text costs in tokens, and its source language.
        texts: without lone surrogates.

    Returns:
        For each text its parts, or the first sentence in it that is too long.
    """
    lines = [[part for piece in LINE_BREAKS.split(text) for part in _edges(piece)] for text in texts]
    costs = _costs(translator, (part for parts in lines for part in parts))
    limit = translator.max_length_tokens
    # What sentencex does not know, it takes for English.
    language = language_of(translator.src_lang)
    divided = [
        [
            piece
            for part in parts
            for piece in (_sentences(part, language) if costs.get(part, 0) > limit else [part])
        ]
        for parts in lines
    ]
    costs |= _costs(translator, (part for parts in divided for part in parts if part not in costs))
    return [_cut(parts, costs, limit) for parts in divided]


def cut_around_placeholders(translator: Translator, texts: Sequence[str]) -> list[CutText | TooLong]:
    """Cut texts at their placeholders, which stay as they are; what stands between is translated on its own.

    A translation in pieces knows less of its sentence, and loses no placeholder; see `cut_texts`.
    """
    lines = [
        [
            part
            for line in LINE_BREAKS.split(text)
            for piece in around_placeholders(line)
            for part in _edges(piece)
        ]
        for text in texts
    ]
    costs = _costs(translator, (part for parts in lines for part in parts))
    return [_cut(parts, costs, translator.max_length_tokens) for parts in lines]


def _cut(parts: list[str], costs: dict[str, int], limit: int) -> CutText | TooLong:
    too_long = next((part for part in parts if costs.get(part, 0) > limit), None)
    if too_long is not None:
        return TooLong(too_long, costs[too_long], limit)
    return CutText(tuple(parts), frozenset(place for place, part in enumerate(parts) if part in costs))


def _costs(translator: Translator, parts: Iterable[str]) -> dict[str, int]:
    """Count the tokens of each distinct part that holds a word; the others are not for the model."""
    words = [part for part in dict.fromkeys(parts) if holds_word(part)]
    return dict(zip(words, translator.count_tokens(words), strict=True)) if words else {}


def holds_word(text: str) -> bool:
    """Tell whether there is a letter outside of placeholders, something to translate.

    >>> holds_word("%s: 3.5 (100%%)"), holds_word("%d files")
    (False, True)
    """
    return any(character.isalpha() for character in without_placeholders(text))


def _edges(text: str) -> list[str]:
    """Split a text into the spaces before it, itself, and the spaces after it, leaving out what is empty."""
    core = text.strip()
    before, _, after = text.partition(core) if core else (text, "", "")
    return [part for part in (before, core, after) if part]


def _sentences(text: str, language: str) -> list[str]:
    import sentencex

    return [part for sentence in sentencex.segment(language, text) for part in _edges(sentence)]


def translate_cut_texts(
    translator: Translator,
    texts: Sequence[CutText],
    *,
    tgt_lang: str | None = None,
    num_beams: int | None = None,
    label: str | None = None,
) -> list[str]:
    """Translate the parts of cut texts, equal ones once, and join them with what stood between.

    Args:
        translator: the model.
        texts: from `cut_texts`.
        tgt_lang: the language to translate into; None is the model's own.
        num_beams: width of the beam search; None is the model's own.
        label: names a progress bar; None shows none.
    """
    parts = list(dict.fromkeys(text.parts[place] for text in texts for place in sorted(text.translated)))
    if not parts:
        return ["".join(text.parts) for text in texts]
    results = translator.translate(parts, tgt_lang=tgt_lang, num_beams=num_beams, label=label)
    # A part is one line: a model that breaks it would change how many lines a text has.
    known = {part: LINE_BREAKS.sub(" ", result).strip() for part, result in zip(parts, results, strict=True)}
    return [
        "".join(known[part] if place in text.translated else part for place, part in enumerate(text.parts))
        for text in texts
    ]
