"""Pairs out of gettext's PO and MO files, parsed by translate-toolkit.

What nobody vouches for is left out and counted: untranslated entries, fuzzy ones (PO), obsolete ones. A
plural entry gives two pairs: the singular with the form that the language uses for 1, the plural with its
form for 5, which is in no language the form of a special number; where both are one form, it goes with the
plural alone. An entry whose forms do not fit the header's Plural-Forms is left out. Zope's catalogues, whose
msgids are often names (`label_add`), carry the English text in a comment `#. Default: "..."`: that text is
the source.
"""

from __future__ import annotations

import gettext
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from nlp_transfer.data.languages import full_tag, matches
from nlp_transfer.data.raw_pairs import OtherLanguageError, RawPair
from nlp_transfer.errors import DataError

# The language of msgids, unless the header names another one.
MSGID_LANGUAGE = "en"
SPECIAL_FREE_NUMBER = 5
CHARSET = re.compile(r'^[^#\n]*Content-Type:[^\n]*?charset=[ \t]*([^\s"\\;]+)', re.IGNORECASE | re.MULTILINE)
HEADER_BYTES = 20_000
ZOPE_DEFAULT = re.compile(r'#\.\s*Default:\s*"(.*)"\s*')
# What translate-toolkit's parsers raise for files that are not what their names say.
MALFORMED = (
    ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, OverflowError,
    struct.error,
)  # fmt: skip
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
    from translate.storage.pypo import pofile

    content = _as_utf8(stream.read(), name, encoding)
    try:
        store = pofile()
        store.parse(content)
        header = next((str(unit.target) for unit in store.units if unit.isheader()), "")
        entries = [_po_entry(unit) for unit in store.units if not (unit.isheader() or unit.isblank())]
    except MALFORMED as error:
        raise DataError(
            f"{name} is not a PO file that can be read ({error}); `msgfmt --check` lists what is wrong in it"
        ) from error
    _check_header(header, name)
    _check_languages(header, name, src_lang=src_lang, tgt_lang=tgt_lang, assured=assured)
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
    from translate.storage.mo import mofile

    content = stream.read()
    try:
        _check_mo_sizes(content)
        store = mofile()
        store.parse(content)
    except MALFORMED as error:
        raise DataError(
            f"{name} is not an MO file that can be read ({error}); name the PO file instead"
        ) from error
    header = next((str(unit.target) for unit in store.units if not str(unit.source)), "")
    _check_languages(header, name, src_lang=src_lang, tgt_lang=tgt_lang, assured=assured)
    entries = [
        _Entry(_forms(unit.source), _forms(unit.target), "".join(unit.msgctxt), f"entry {number}")
        for number, unit in enumerate(store.units, start=1)
        if str(unit.source)
    ]
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


def _as_utf8(content: bytes, name: str, encoding: str) -> bytes:
    """Decode a PO file by its header's charset, strictly, and encode it anew for the parser."""
    declared = CHARSET.search(content[:HEADER_BYTES].decode("latin-1"))
    charset = declared[1] if declared and declared[1].upper() != "CHARSET" else encoding
    try:
        text = content.decode("utf-8-sig" if charset.lower().replace("-", "") == "utf8" else charset)
    except LookupError as error:
        raise DataError(
            f'{name}: its header names the charset {charset}, which does not exist; write "Content-Type: '
            'text/plain; charset=UTF-8\\n"'
        ) from error
    except UnicodeError as error:
        place, newline = getattr(error, "start", 0), b"\n"
        raise DataError(
            f"{name}, line {content.count(newline, 0, place) + 1}: byte "
            f"0x{content[place : place + 1].hex()} is not {charset} text; convert the file, or correct the "
            "charset in its header's Content-Type"
        ) from error
    # The parser would take a charset that is not UTF-8 at its word, and it does not decode all of them.
    declared = CHARSET.search(text[:HEADER_BYTES])
    if declared:
        text = text[: declared.start(1)] + "UTF-8" + text[declared.end(1) :]
    return text.encode("utf-8", "surrogatepass")


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


def _po_entry(unit: Any) -> _Entry:
    source, target = _forms(unit.source), _forms(unit.target)
    default = next(filter(None, map(ZOPE_DEFAULT.fullmatch, map(str.strip, unit.automaticcomments))), None)
    if default is not None and len(source) == 1:
        source = [re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), default[1])]
    flaw = "obsolete" if unit.isobsolete() else "fuzzy" if unit.isfuzzy() else ""
    return _Entry(source, target, str(unit.getcontext()), f"line {unit._line_number}", flaw)


def _forms(text: Any) -> list[str]:
    return [str(form) for form in getattr(text, "strings", [text])]


def _pairs(
    entries: Sequence[_Entry], rule: tuple[int, PluralRule] | None, name: str, dropped: Counter[str] | None
) -> Iterator[RawPair]:
    dropped = Counter() if dropped is None else dropped
    for entry in entries:
        if entry.flaw:
            # Obsolete entries are no part of the catalogue any more, so they are not counted as lost.
            dropped.update([entry.flaw] if entry.flaw != "obsolete" else [])
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


def _check_mo_sizes(content: bytes) -> None:
    """Refuse a file whose entries claim more text than it has: they would be unpacked over and over."""
    order = "<" if content[:4] == b"\xde\x12\x04\x95" else ">"
    count, *tables = struct.unpack(f"{order}3I", content[8:20])
    if 16 * count > len(content):
        raise ValueError(f"it claims {count} entries")
    numbers = [struct.unpack(f"{order}{2 * count}I", content[table : table + 8 * count]) for table in tables]
    lengths, places = ([number for row in numbers for number in row[start::2]] for start in (0, 1))
    if any(place + length > len(content) for place, length in zip(places, lengths, strict=True)):
        raise ValueError("it is cut")
    if sum(lengths) > len(content):
        raise ValueError("its entries overlap")
