"""gettext .po files, read with the place of each entry, so that filling one leaves every other byte as it is.

The one reader of them: pairs are taken out of its entries (gettext_files.py), and empty ones are filled.
Neither polib nor translate-toolkit serves both: of 200 catalogues out of Django, Plone, Wagtail and others
polib gave back none byte for byte (it wraps every entry anew) and translate-toolkit, which is GPL, 193; both
keep values and not places. polib also refuses `#comment` without a space. A .po file has few kinds of lines,
so they are read here and only the lines of a filled entry are replaced. The tests read the results with
polib.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nlp_transfer.data.po_strings import unescaped, written
from nlp_transfer.errors import DataError

CHARSET = re.compile(rb"^[^#\n]*Content-Type:[^\n]*?charset=[ \t]*([\w.:-]+)", re.IGNORECASE | re.MULTILINE)
# Where a header is looked for: with the longest list of translators before it.
HEADER_BYTES = 20_000
# A keyword with one or more quoted strings, or a continuation line.
MESSAGE_LINE = re.compile(
    r"(?:(?P<keyword>msgctxt|msgid_plural|msgid|msgstr)\s*(?:\[\s*(?P<form>\d{1,3})\s*\]\s*)?)?"
    r'(?P<quoted>"(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*)'
)
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
BLANK = " \t\r\n\f\v\ufeff"


@dataclass
class PoEntry:
    """An entry and the lines (counted from 0) that filling it changes.

    Attributes:
        start: its first line, comments included.
        extracted: what stands behind `#.` in its comments: notes out of the program.
        anchor: the first line of the message, or of the `#|` comments before it; a flag goes before it.
        flag_line: the line with the entry's flags, if it has one.
        first_form, last_form: the lines of all its `msgstr`.
    """

    start: int
    anchor: int
    extracted: list[str] = field(default_factory=list)
    flag_line: int | None = None
    flags: list[str] = field(default_factory=list)
    context: str | None = None
    source: str | None = None
    plural: str | None = None
    forms: list[str] = field(default_factory=list)
    first_form: int = -1
    last_form: int = -1

    @property
    def is_header(self) -> bool:
        return self.source == "" and self.context is None

    @property
    def is_untranslated(self) -> bool:
        return bool(self.source) and not any(self.forms)


@dataclass(frozen=True)
class PoFile:
    """The lines of a .po file, with their line ends, and the entries in them (obsolete ones left out)."""

    name: str
    charset: str
    lines: tuple[str, ...]
    entries: tuple[PoEntry, ...]

    @property
    def header_text(self) -> str:
        """The header as it is written; empty where there is none."""
        return next((entry.forms[0] for entry in self.entries if entry.is_header), "")

    @property
    def header(self) -> dict[str, str]:
        """The header's fields."""
        fields = (line.partition(":") for line in self.header_text.split("\n"))
        return {name.strip(): value.strip() for name, _, value in fields if name.strip()}

    def filled(self, translations: Mapping[int, Sequence[str]]) -> bytes:
        """Return the file with entries filled and marked fuzzy; all other lines are as they were.

        Args:
            translations: for an entry (its number in `entries`) its forms, one unless it has a plural.

        Raises:
            DataError: the file's encoding cannot hold a translation.
        """
        lines = list(self.lines)
        # From the end, so that the places of the entries before stay right.
        for number in sorted(translations, reverse=True):
            _fill(lines, self.entries[number], translations[number])
        try:
            return "".join(lines).encode(self.charset)
        except UnicodeEncodeError as error:
            raise DataError(
                f"{self.name} is {self.charset} text, which has no {error.object[error.start]!r} of a "
                "translation; convert it first: msgconv -t UTF-8"
            ) from error


def read_po_file(content: bytes, *, name: str, encoding: str = "utf-8", to_be_filled: bool = False) -> PoFile:
    """Read a .po or .pot file.

    Args:
        content: the file's bytes.
        name: stands in errors.
        encoding: for a file whose header names none, or still CHARSET.
        to_be_filled: it needs a header then, and an encoding that gives back each byte.

    Raises:
        DataError: its text is not in the header's encoding, a line is no .po line, or it cannot be filled.
    """
    charset, text = _decoded(content, name, encoding, exact=to_be_filled)
    lines = tuple(io.StringIO(text, newline=""))
    reader = _Reader(name)
    for place, line in enumerate(lines):
        reader.read(place, line.strip(BLANK))
    entries = reader.finish()
    if to_be_filled and not any(entry.is_header for entry in entries):
        raise DataError(
            f'{name} has no header (msgid "" with Content-Type, Language and Plural-Forms); '
            "`msginit` or `msgmerge` writes one"
        )
    return PoFile(name, charset, lines, entries)


def _decoded(content: bytes, name: str, encoding: str, *, exact: bool) -> tuple[str, str]:
    """Return a file's encoding and text.

    Raises:
        DataError: there is no such encoding, the file is not in it, or, where it is to be exact, the text
            cannot be written back as it was.
    """
    found = CHARSET.search(content[:HEADER_BYTES])
    stated = found[1].decode("ascii") if found else "CHARSET"
    stated = encoding if stated.upper() == "CHARSET" else stated
    try:
        charset = codecs.lookup(stated).name
        text = content.decode(charset)
        if exact and text.encode(charset, "replace") != content:
            raise LookupError(stated)
    except UnicodeError as error:
        place, newline = getattr(error, "start", 0), b"\n"
        raise DataError(
            f"{name}, line {content.count(newline, 0, place) + 1}: not {charset} text (byte "
            f"0x{content[place : place + 1].hex()}); convert the file, or mend the charset in its header"
        ) from error
    except (LookupError, ValueError) as error:
        raise DataError(
            f"{name}: its header names {stated!r}, which is no encoding for catalogues; write "
            '"Content-Type: text/plain; charset=UTF-8\\n" and save it as UTF-8'
        ) from error
    return charset, text


class _Reader:
    """Reads the lines of a .po file one after the other; `finish` returns the entries."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: list[PoEntry] = []
        self.current: PoEntry | None = None
        self.last = ""  # the keyword that a continuation line goes on with
        self.start: int | None = None
        self.anchor: int | None = None
        self.extracted: list[str] = []
        self.flag_line: int | None = None
        self.flags: list[str] = []

    def read(self, number: int, line: str) -> None:
        """Read a line without its blanks; `number` counts from 0."""
        if not line:
            return
        if line.startswith("#"):
            self._comment(number, line)
            return
        found = MESSAGE_LINE.fullmatch(line)
        if found is None:
            raise self._error(number, f"expected a keyword and a quoted text, got {line[:40]!r}")
        text = "".join(unescaped(part) for part in QUOTED.findall(found["quoted"]))
        self._message(number, found["keyword"], found["form"], text)

    def finish(self) -> tuple[PoEntry, ...]:
        """Return the entries; the last one must be whole."""
        self._end_entry(None)
        return tuple(self.entries)

    def _comment(self, number: int, line: str) -> None:
        self._end_entry(number)
        self.start = number if self.start is None else self.start
        if line.startswith("#~"):
            # What stood before an obsolete entry belongs to it.
            self._forget_comments()
        elif line.startswith("#,"):
            self.flag_line = self.flag_line if self.flags else number
            self.flags += [flag.strip() for flag in line[2:].split(",") if flag.strip()]
        elif line.startswith("#."):
            self.extracted.append(line[2:].strip())
        elif line.startswith("#|") and self.anchor is None:
            self.anchor = number

    def _message(self, number: int, keyword: str | None, form: str | None, text: str) -> None:
        if form is not None and keyword != "msgstr":
            raise self._error(number, f"{keyword} takes no number")
        if keyword in ("msgctxt", "msgid") and not (
            keyword == "msgid" and self.current is not None and self.current.source is None
        ):
            self._end_entry(number)
            self._start_entry(number)
        entry = self.current
        if entry is None:
            raise self._error(number, "expected msgid or msgctxt first")
        if keyword is None:
            self._go_on(entry, text)
        elif keyword == "msgctxt":
            entry.context = text
        elif keyword == "msgid":
            entry.source = text
        elif keyword == "msgid_plural":
            if entry.source is None or entry.plural is not None or entry.forms:
                raise self._error(number, "msgid_plural belongs between msgid and msgstr")
            entry.plural = text
        else:
            self._form(entry, number, form, text)
        self.last = keyword or self.last
        if self.last == "msgstr":
            entry.last_form = number

    def _form(self, entry: PoEntry, number: int, form: str | None, text: str) -> None:
        if entry.source is None:
            raise self._error(number, "msgstr without a msgid")
        expected = None if entry.plural is None else str(len(entry.forms))
        if (form and str(int(form))) != expected or (expected is None and entry.forms):
            wanted = "msgid or a comment" if expected is None and entry.forms else "msgstr"
            wanted += "" if expected is None else f"[{expected}]"
            raise self._error(number, f"expected {wanted}, got msgstr{f'[{form}]' if form else ''}")
        entry.forms.append(text)
        entry.first_form = number if entry.first_form < 0 else entry.first_form

    def _go_on(self, entry: PoEntry, text: str) -> None:
        if self.last == "msgctxt":
            entry.context = (entry.context or "") + text
        elif self.last == "msgid":
            entry.source = (entry.source or "") + text
        elif self.last == "msgid_plural":
            entry.plural = (entry.plural or "") + text
        else:
            entry.forms[-1] += text

    def _start_entry(self, number: int) -> None:
        anchor = number if self.anchor is None else self.anchor
        self.current = PoEntry(
            start=number if self.start is None else self.start,
            anchor=anchor,
            extracted=self.extracted,
            flag_line=self.flag_line,
            flags=self.flags,
        )
        self._forget_comments()

    def _end_entry(self, number: int | None) -> None:
        if self.current is None:
            return
        if not self.current.forms:
            raise self._error(number, "the entry before it has no msgstr")
        self.entries.append(self.current)
        self.current = None

    def _forget_comments(self) -> None:
        self.start = None
        self.anchor = None
        self.extracted = []
        self.flag_line = None
        self.flags = []

    def _error(self, number: int | None, what: str) -> DataError:
        place = "end of the file" if number is None else f"line {number + 1}"
        return DataError(f"{self.name}, {place}: {what}")


def _fill(lines: list[str], entry: PoEntry, forms: Sequence[str]) -> None:
    first, last = lines[entry.first_form], lines[entry.last_form]
    end = "\r\n" if first.endswith("\r\n") else "\n"
    keywords = ["msgstr"] if entry.plural is None else [f"msgstr[{number}]" for number in range(len(forms))]
    new = [line for keyword, text in zip(keywords, forms, strict=True) for line in written(keyword, text)]
    # The file's last line may have no end.
    ends = [end] * (len(new) - 1) + [last[len(last.rstrip("\r\n")) :]]
    lines[entry.first_form : entry.last_form + 1] = map("".join, zip(new, ends, strict=True))
    if "fuzzy" in entry.flags:
        return
    if entry.flag_line is None:
        lines.insert(entry.anchor, f"#, fuzzy{end}")
    else:
        flag = "#, fuzzy, " if entry.flags else "#, fuzzy"
        lines[entry.flag_line] = re.sub(r"#,[ \t]*", flag, lines[entry.flag_line], count=1)
