"""Pairs out of gettext's PO and MO files.

What nobody vouches for is left out and counted: untranslated entries and fuzzy ones (PO); obsolete ones are
no part of a catalogue any more. A plural entry gives two pairs: the singular with the form that the language
uses for 1, the plural with its form for 5, which is in no language the form of a special number; where both
are one form, it goes with the plural alone. An entry whose forms do not fit the header's Plural-Forms is left
out. Zope's catalogues, whose msgids are often names (`label_add`), carry the English text in a comment
`#. Default: "..."`: that text is the source.

MO files are read here: polib opens files by their names alone, and these are streams out of archives; the
standard library's `gettext` forgets the plural msgids.
"""

from __future__ import annotations

import gettext
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from nlp_transfer.data.languages import full_tag, matches
from nlp_transfer.data.po_files import PoEntry, read_po_file
from nlp_transfer.data.raw_pairs import OtherLanguageError, RawPair
from nlp_transfer.errors import DataError

# The language of msgids, unless the header names another one.
MSGID_LANGUAGE = "en"
SPECIAL_FREE_NUMBER = 5
ZOPE_DEFAULT = re.compile(r'Default:\s*"(.*)"')
MO_MAGIC = {b"\xde\x12\x04\x95": "<", b"\x95\x04\x12\xde": ">"}
PluralRule = Callable[[int], int]


def read_po(
    stream: BinaryIO,
    *,
    name: str,
    src_lang: str,
    tgt_lang: str,
    assured: bool = False,
    encoding: str = "utf-8",
    dropped: Counter[str] | None = None,
) -> Iterator[RawPair]:
    """Yield the pairs of a PO file.

    Args:
        stream: the file.
        name: what messages call it.
        src_lang: must be the language of the msgids.
        tgt_lang: must be the header's Language, where it has one.
        assured: the file's path names its language, so the header's Language does not matter.
        encoding: for a file whose header names no charset.
        dropped: counts what was left out.

    Raises:
        DataError: the file is not a PO file, its header is broken, or its bytes are not of its charset.
        OtherLanguageError: it translates from or into another language.
    """
    catalogue = read_po_file(stream.read(), name=name, encoding=encoding)
    header = catalogue.header_text
    _check_header(header, name)
    _check_languages(header, name, src_lang=src_lang, tgt_lang=tgt_lang, assured=assured)
    entries = [_po_entry(entry) for entry in catalogue.entries if not entry.is_header]
    yield from _pairs(entries, _plural_rule(header), name, dropped)


def read_mo(
    stream: BinaryIO,
    *,
    name: str,
    src_lang: str,
    tgt_lang: str,
    assured: bool = False,
    dropped: Counter[str] | None = None,
) -> Iterator[RawPair]:
    """Yield the pairs of an MO file; the arguments are those of `read_po`.

    Raises:
        DataError: the file is not an MO file.
        OtherLanguageError: it translates from or into another language.
    """
    try:
        messages = _mo_messages(stream.read())
        header_bytes = next((target for source, target in messages if not source), b"")
        declared = re.search(rb"charset=([^\s]+)", header_bytes)
        charset = declared[1].decode("ascii", "replace") if declared else "utf-8"
        header = header_bytes.decode(charset)
        entries = [
            _mo_entry(source.decode(charset), target.decode(charset), number)
            for number, (source, target) in enumerate(messages, start=1)
            if source.rpartition(b"\x04")[2]
        ]
    except (ValueError, LookupError, struct.error) as error:
        raise DataError(
            f"{name} is not an MO file that can be read ({error}); name the PO file instead"
        ) from error
    _check_languages(header, name, src_lang=src_lang, tgt_lang=tgt_lang, assured=assured)
    yield from _pairs(entries, _plural_rule(header), name, dropped)


@dataclass(frozen=True)
class _Entry:
    """One entry of a catalogue."""

    source: list[str]
    """The singular, and the plural where there is one."""
    target: list[str]
    context: str
    place: str
    """Where it stands in the file, for messages."""
    flaw: str = ""
    """Why it is left out; empty: it is not."""


def _check_header(header: str, name: str) -> None:
    """Refuse a header that gettext could not read either; a file without any has none to be broken."""
    for line in header.splitlines():
        if line.strip() and ":" not in line:
            raise DataError(
                f"{name}: its header (the entry with the empty msgid) is broken at {line.strip()[:60]!r}; "
                'every line of it has the form "Name: value\\n"'
            )


def _check_languages(header: str, name: str, *, src_lang: str, tgt_lang: str, assured: bool) -> None:
    source = _header_value(header, "X-Source-Language")
    # Some write C there, which stands for the msgids as they are.
    source = source if full_tag(source)[1] else MSGID_LANGUAGE
    if not matches(source, src_lang):
        backwards = f" and tgt_lang: {src_lang} (the pair is given backwards)"
        raise OtherLanguageError(
            f"{name}: a PO or MO file translates from the language of its msgids, here {source}, but src_lang"
            f" is {src_lang}; set src_lang: {source}" + (backwards if matches(source, tgt_lang) else "")
        )
    found = _header_value(header, "Language")
    # A template's LANGUAGE and the like say nothing.
    if full_tag(found)[1] and not assured and not matches(tgt_lang, found):
        raise OtherLanguageError(
            f"{name} is in {found} by its header, expected {tgt_lang}; set tgt_lang: {found}, or correct the "
            "header's Language"
        )


def _header_value(header: str, key: str) -> str:
    found = re.search(rf"^{key}:[ \t]*(\S*)", header, re.IGNORECASE | re.MULTILINE)
    return found[1] if found else ""


def _plural_rule(header: str) -> tuple[int, PluralRule] | None:
    """Return a header's number of forms and its rule; None where it has none that can be evaluated."""
    found = re.search(
        r"^Plural-Forms:\s*nplurals\s*=\s*(\d{1,2})\s*;\s*plural\s*=([^;]*)", header, re.M | re.I
    )
    if found is None:
        return None
    try:
        return int(found[1]), gettext.c2py(found[2].strip())
    except (ValueError, RecursionError):
        return None


def _po_entry(entry: PoEntry) -> _Entry:
    source = [entry.source or "", *([] if entry.plural is None else [entry.plural])]
    default = next(filter(None, map(ZOPE_DEFAULT.fullmatch, entry.extracted)), None)
    if default is not None and entry.plural is None:
        source = [re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), default[1])]
    flaw = "fuzzy" if "fuzzy" in entry.flags else ""
    return _Entry(source, entry.forms, entry.context or "", f"line {entry.start + 1}", flaw)


def _mo_entry(source: str, target: str, number: int) -> _Entry:
    context, _, source = source.rpartition("\x04")
    return _Entry(source.split("\0"), target.split("\0"), context, f"entry {number}")


def _pairs(
    entries: Sequence[_Entry], rule: tuple[int, PluralRule] | None, name: str, dropped: Counter[str] | None
) -> Iterator[RawPair]:
    dropped = Counter() if dropped is None else dropped
    for entry in entries:
        if entry.flaw:
            dropped[entry.flaw] += 1
        elif not any(form.strip() for form in entry.target):
            dropped["untranslated"] += 1
        elif len(entry.source) == 1:
            yield RawPair(entry.source[0], entry.target[0], f"{name}, {entry.place}", entry.context)
        else:
            chosen = _plural_pairs(entry, rule)
            dropped.update(["plural forms"] if not chosen else [])
            for source, target in chosen:
                yield RawPair(source, target, f"{name}, {entry.place}", entry.context)


def _plural_pairs(entry: _Entry, rule: tuple[int, PluralRule] | None) -> list[tuple[str, str]]:
    """Pair singular and plural with the forms for 1 and 5; no pairs where the forms do not fit the rule."""
    count = len(entry.target)
    expected, form_of = rule or (min(count, 2), lambda number: int(number != 1 and count > 1))
    # More forms than the rule knows do no harm: some catalogues gained a form for millions before their
    # header did.
    if count < expected or (rule is None and count > expected):
        return []
    try:
        one, several = form_of(1), form_of(SPECIAL_FREE_NUMBER)
    except (ArithmeticError, RecursionError):
        return []
    if not (0 <= one < count and 0 <= several < count):
        return []
    pairs = [(entry.source[1], entry.target[several])]
    pairs = pairs if one == several else [(entry.source[0], entry.target[one]), *pairs]
    return pairs if all(target.strip() for _, target in pairs) else []


def _mo_messages(content: bytes) -> list[tuple[bytes, bytes]]:
    """List the texts of an MO file with their translations.

    One whose entries claim more text than it has is refused: they would be unpacked over and over.
    """
    order = MO_MAGIC.get(content[:4])
    if order is None:
        raise ValueError("it does not begin as one")
    version, count, *tables = struct.unpack(f"{order}4I", content[4:20])
    if version >> 16:
        raise ValueError(f"version {version >> 16}")
    if 16 * count > len(content):
        raise ValueError(f"it claims {count} entries")
    numbers = [struct.unpack(f"{order}{2 * count}I", content[table : table + 8 * count]) for table in tables]
    lengths, places = ([number for row in numbers for number in row[start::2]] for start in (0, 1))
    if any(place + length > len(content) for place, length in zip(places, lengths, strict=True)):
        raise ValueError("it is cut")
    if sum(lengths) > len(content):
        raise ValueError("its entries overlap")
    texts = [content[place : place + length] for place, length in zip(places, lengths, strict=True)]
    return list(zip(texts[:count], texts[count:], strict=True))
