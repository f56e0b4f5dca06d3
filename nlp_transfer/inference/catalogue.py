"""A gettext catalogue's untranslated entries, filled by a model and marked fuzzy for a person to look at.

What a person wrote stays: an entry with any text in it, fuzzy or not, is not touched. A text whose
translation would change its placeholders is translated once more, in pieces between them. An entry that
still would, or that the model cannot read whole, is left empty, and its line is told. Accelerators (`_File`,
`&Save as`) are taken out before the model reads a text. One that stood before the first letter is put before
the first letter again; elsewhere it is left out, for a person to choose a letter that is free.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nlp_transfer.data.languages import language_of
from nlp_transfer.data.placeholders import placeholders
from nlp_transfer.data.po_files import PoEntry, PoFile
from nlp_transfer.errors import ConfigError
from nlp_transfer.inference.long_texts import (
    CutText,
    TooLong,
    cut_around_placeholders,
    cut_texts,
    translate_cut_texts,
)
from nlp_transfer.inference.plural_forms import read_plural_forms

if TYPE_CHECKING:
    from nlp_transfer.inference.translator import Translator

# At the start of a word; inside one too for & ("E&xit", but none of "R&D", "&amp;", "?a=b&c=d"). An
# underscore inside a word is more often a name's ("file_name") than an accelerator's.
ACCELERATOR = re.compile(r"(?<!\S)[_&](?=[^\W\d_])(?!\w+[;=])|(?<=[^\W\d_])&(?=[a-z])(?!\w+[;=])")
# Placeholders that are filled in the order in which they stand: %s, %5.2f, {}, {:d}.
UNNUMBERED = re.compile(r"%[-+#0']*(?:[1-9]\d*|\*)?(?:\.(?:\d+|\*))?[a-zA-Z@]{1,3}|\{ ?(?:[!:][^{}]*)?\}")
LISTED_LINES = 20

log = logging.getLogger(__name__)
Cutter = Callable[["Translator", Sequence[str]], list[CutText | TooLong]]


@dataclass
class Filling:
    """What became of a catalogue's entries.

    Attributes:
        kept: entries that a person translated.
        translations: new forms, by the entry's number.
        in_pieces: how many of these were translated in pieces between their placeholders.
        left_empty: why an entry was left empty, and the lines (from 1) of such entries.
    """

    kept: int = 0
    in_pieces: int = 0
    translations: dict[int, list[str]] = field(default_factory=dict)
    left_empty: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def summary(self) -> str:
        """Say in one line what was filled, left empty and kept."""
        pieces = f" ({self.in_pieces:,} in pieces between placeholders)" if self.in_pieces else ""
        parts = [f"{len(self.translations):,} filled and marked fuzzy{pieces}"]
        parts += [
            f"{len(lines):,} left empty because {reason} ({_listed(lines)})"
            for reason, lines in self.left_empty.items()
        ]
        return ", ".join([*parts, f"{self.kept:,} kept as they were"])


def fill_catalogue(
    translator: Translator,
    catalogue: PoFile,
    *,
    tgt_lang: str | None = None,
    num_beams: int | None = None,
    label: str | None = None,
) -> bytes:
    """Fill the untranslated entries of a catalogue; the log says how many, and which were left empty.

    Args:
        translator: the model.
        catalogue: from `read_po_file`.
        tgt_lang: the language to translate into, whatever the catalogue says of its language; None is the
            model's own, which the catalogue must not contradict.
        num_beams: width of the beam search; None is the model's own.
        label: names a progress bar; None shows none.

    Returns:
        The filled file.

    Raises:
        ConfigError: the catalogue is in another language.
        DataError: its plural forms are missing or broken, or its encoding cannot hold a translation.
    """
    filling = translate_entries(translator, catalogue, tgt_lang=tgt_lang, num_beams=num_beams, label=label)
    level = logging.WARNING if filling.left_empty else logging.INFO
    log.log(level, "%s: %s", catalogue.name, filling.summary())
    return catalogue.filled(filling.translations)


def translate_entries(
    translator: Translator,
    catalogue: PoFile,
    *,
    tgt_lang: str | None = None,
    num_beams: int | None = None,
    label: str | None = None,
) -> Filling:
    """Translate the untranslated entries of a catalogue, and say which were left empty; see `fill_catalogue`.

    Raises:
        ConfigError: the catalogue is in another language.
        DataError: its plural forms are missing or broken.
    """
    if tgt_lang is None:
        _require_same_language(catalogue, translator.tgt_lang)
    sources = _sources(catalogue)
    wanted = list(dict.fromkeys(text for forms in sources.values() for text in forms))

    def translate(texts: Sequence[str], cut: Cutter) -> dict[str, str | TooLong]:
        parts = cut(translator, [_without_accelerator(text) for text in texts])
        readable = [each for each in parts if isinstance(each, CutText)]
        results = iter(
            translate_cut_texts(translator, readable, tgt_lang=tgt_lang, num_beams=num_beams, label=label)
        )
        return {
            text: each if isinstance(each, TooLong) else _with_accelerator(text, next(results))
            for text, each in zip(texts, parts, strict=True)
        }

    translated = translate(wanted, cut_texts)
    spoilt = _spoilt(catalogue, sources, translated)
    translated |= translate(spoilt, cut_around_placeholders)
    return _checked(catalogue, sources, translated, in_pieces=frozenset(spoilt))


def _spoilt(
    catalogue: PoFile, sources: Mapping[int, Sequence[str]], translated: Mapping[str, str | TooLong]
) -> list[str]:
    """List the texts whose translation changed their placeholders."""
    found = [
        text
        for number, texts in sources.items()
        for text in texts
        if isinstance(result := translated[text], str)
        and not _same_placeholders(catalogue.entries[number], text, result)
    ]
    return list(dict.fromkeys(found))


def _sources(catalogue: PoFile) -> dict[int, list[str]]:
    """Return for each untranslated entry the texts that its forms are translated from."""
    empty = {number: entry for number, entry in enumerate(catalogue.entries) if entry.is_untranslated}
    if not any(entry.plural is not None for entry in empty.values()):
        return {number: [entry.source or ""] for number, entry in empty.items()}
    forms = read_plural_forms(catalogue.header.get("Plural-Forms"), name=catalogue.name)
    return {
        number: [entry.source or ""]
        if entry.plural is None
        else forms.sources(entry.source or "", entry.plural)
        for number, entry in empty.items()
    }


def _checked(
    catalogue: PoFile,
    sources: Mapping[int, Sequence[str]],
    translated: Mapping[str, str | TooLong],
    *,
    in_pieces: frozenset[str],
) -> Filling:
    """Sort translations into those that can stand and those that cannot."""
    filling = Filling()
    for number, entry in enumerate(catalogue.entries):
        if number not in sources:
            filling.kept += 0 if entry.is_header else 1
            continue
        pairs = [(source, translated[source]) for source in sources[number]]
        reason = next(filter(None, (_objection(entry, *pair) for pair in pairs)), None)
        if reason is None:
            filling.translations[number] = [str(result) for _, result in pairs]
            filling.in_pieces += not in_pieces.isdisjoint(sources[number])
        else:
            filling.left_empty[reason].append(entry.first_form + 1)
    return filling


def _objection(entry: PoEntry, source: str, result: str | TooLong) -> str | None:
    """Say why a translation cannot stand in a catalogue, or None where it can."""
    if isinstance(result, TooLong):
        return f"a sentence has more than the {result.limit:,} tokens that the model reads"
    if source.strip() and not result.strip():
        return "the model gave no translation"
    if not _same_placeholders(entry, source, result):
        return "the translation changed the placeholders"
    return None


def _same_placeholders(entry: PoEntry, source: str, result: str) -> bool:
    """Compare the placeholders; those without a name or number are filled in their order, so they keep it.

    In a format string every percent sign and brace counts, `%%` too.
    """
    before, after = placeholders(source), placeholders(result)
    if sorted(before) != sorted(after):
        return False
    if list(filter(UNNUMBERED.fullmatch, before)) != list(filter(UNNUMBERED.fullmatch, after)):
        return False
    formats = any(flag.endswith("-format") and not flag.startswith("no-") for flag in entry.flags)
    return not formats or all(source.count(sign) == result.count(sign) for sign in "%{}")


def _without_accelerator(text: str) -> str:
    """Take out an accelerator's mark; a text with several has none ("__init__", "Q & A & more").

    >>> _without_accelerator("Save _As"), _without_accelerator("E&xit"), _without_accelerator("R&D &amp;")
    ('Save As', 'Exit', 'R&D &amp;')
    """
    marks = list(ACCELERATOR.finditer(text))
    if len(marks) != 1:
        return text
    return text[: marks[0].start()] + text[marks[0].end() :]


def _with_accelerator(source: str, result: str) -> str:
    """Put a mark that stood before a source's first letter before the first letter of its translation."""
    marks = list(ACCELERATOR.finditer(source))
    letter = re.search(r"[^\W\d_]", result)
    if (
        len(marks) != 1
        or letter is None
        or any(character.isalnum() for character in source[: marks[0].start()])
    ):
        return result
    return result[: letter.start()] + marks[0].group() + result[letter.start() :]


def _require_same_language(catalogue: PoFile, tgt_lang: str) -> None:
    """Refuse a catalogue of another language; regions and scripts (`pt_BR`) are left to the user."""
    stated = catalogue.header.get("Language", "")
    if stated and language_of(stated) != language_of(tgt_lang):
        raise ConfigError(
            f"{catalogue.name} is in the language {stated!r} by its header, the model translates into "
            f"{tgt_lang!r}; give the language that is wanted with --tgt-lang, or mend the header"
        )


def _listed(lines: Sequence[int]) -> str:
    more = f" and {len(lines) - LISTED_LINES:,} more" if len(lines) > LISTED_LINES else ""
    numbers = ", ".join(map(str, lines[:LISTED_LINES]))
    return f"{'line' if len(lines) == 1 else 'lines'} {numbers}{more}"
