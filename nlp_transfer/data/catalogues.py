"""Sentence pairs out of whatever translators keep: catalogues, translation memories, tables, plain files.

One string names a source, as in sources.py, and also a folder, a pattern or a whole archive (members.py):
`package://django/conf/locale/*/LC_MESSAGES/django.po`. Reading keeps every translated text as it is; what is
wrong with a pair is left to cleaning.py, and who may learn from it to the splits.
"""

from __future__ import annotations

import gzip
import io
import logging
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import PurePosixPath

from nlp_transfer.data.archives import unpacked_gzip, without_gz
from nlp_transfer.data.gettext_files import read_mo, read_po
from nlp_transfer.data.members import WILD, Member, open_members, short_name
from nlp_transfer.data.pair_rows import pairs_of_rows, read_table
from nlp_transfer.data.raw_pairs import OtherLanguageError, RawPair
from nlp_transfer.data.sources import open_source, split_hash
from nlp_transfer.data.tables import read_source
from nlp_transfer.data.text_encodings import text_encoding
from nlp_transfer.data.xml_files import read_tmx, read_xliff
from nlp_transfer.errors import DataError

__all__ = ["OtherLanguageError", "RawPair", "read_aligned", "read_pairs"]

logger = logging.getLogger(__name__)

FORMATS = {
    ".po": "po", ".mo": "mo", ".gmo": "mo", ".xlf": "xliff", ".xliff": "xliff", ".tmx": "tmx", ".tsv": "tsv",
    ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
}  # fmt: skip
# What a folder or an archive is searched for; tables in it are taken only where a pattern names them.
CATALOGUES = frozenset({"po", "mo", "xliff", "tmx"})
CUT_GZIP = (gzip.BadGzipFile, EOFError, zlib.error)


def read_pairs(
    uri: str | Sequence[str],
    *,
    src_lang: str,
    tgt_lang: str,
    format: str | None = None,
    src_column: str | None = None,
    tgt_column: str | None = None,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
    sha256: str | None = None,
    dropped: Counter[str] | None = None,
) -> Iterator[RawPair]:
    """Yield the pairs of a source, or of several, one after the other.

    Args:
        uri: a file, a folder, a pattern, `package://`, `pypi://`, `hub://owner/name@revision/[config/]split`;
            `{src_lang}` and `{tgt_lang}` in it stand for the codes. Of a list, a source without the target
            language is passed over with a warning, as long as another one has it.
        src_lang: code of the source language; for PO and MO that of the msgids.
        tgt_lang: code of the target language; files may spell it in another way (`pt_PT` for `pt`).
        format: po, mo, xliff, tmx, tsv, csv, jsonl or parquet; None follows the file's name.
        src_column: column with the source text of a table; None looks for it.
        tgt_column: column with the translation; None looks for it.
        columns: names of the columns of a csv or tsv without a header line.
        encoding: of a table, and of a PO file whose header names no charset.
        sha256: expected hash of the outermost file; `#sha256=` behind a uri does the same.
        dropped: counts what was left out: untranslated, empty, fuzzy, plural forms.

    Raises:
        DataError: a source cannot be found or read.
        OtherLanguageError: it is sound, but holds other languages.
    """
    reading = _Reading(
        src_lang=src_lang, tgt_lang=tgt_lang, format=format, src_column=src_column, tgt_column=tgt_column,
        columns=columns, encoding=encoding, dropped=Counter() if dropped is None else dropped,
    )  # fmt: skip
    uris = [uri] if isinstance(uri, str) else list(uri)
    missing: list[OtherLanguageError] = []
    for one in uris:
        try:
            yield from (reading.hub if one.startswith("hub://") else reading.files)(one, sha256)
        except OtherLanguageError as error:
            missing.append(error)
            if len(missing) < len(uris):
                logger.warning("%s has nothing in %s and is passed over", short_name(one), tgt_lang)
    if missing and len(missing) == len(uris):
        raise missing[0]


def read_aligned(src_uri: str, tgt_uri: str, *, encoding: str = "utf-8") -> Iterator[RawPair]:
    """Yield the pairs of two plain files, whose lines belong together; an empty line is an empty side.

    Raises:
        DataError: a file cannot be read, or one has more lines than the other (told at the end).
    """
    counts = [0, 0]
    with _open_text(src_uri, encoding) as sources, _open_text(tgt_uri, encoding) as targets:
        try:
            for number, (source, target) in enumerate(zip_longest(sources, targets), start=1):
                counts = [counts[0] + (source is not None), counts[1] + (target is not None)]
                if source is not None and target is not None:
                    yield RawPair(source.rstrip("\r\n"), target.rstrip("\r\n"), f"{src_uri}, line {number}")
        except UnicodeError as error:
            reason = error.reason if isinstance(error, UnicodeDecodeError) else error
            raise DataError(
                f"{src_uri} or {tgt_uri} is not {encoding} text near line {max(counts) + 1} "
                f"({reason}); set encoding"
            ) from error
        except CUT_GZIP as error:
            raise DataError(f"{src_uri} or {tgt_uri} is not a whole gzip file: {error}") from error
    if counts[0] != counts[1]:
        raise DataError(
            f"{src_uri} has {counts[0]} lines and {tgt_uri} has {counts[1]}: aligned files have the same "
            "number; one of "
            "them is cut, or a text holds a line break"
        )


@dataclass(frozen=True)
class _Reading:
    """How one call reads its sources."""

    src_lang: str
    tgt_lang: str
    format: str | None
    src_column: str | None
    tgt_column: str | None
    columns: Sequence[str] | None
    encoding: str
    dropped: Counter[str]

    def hub(self, uri: str, sha256: str | None) -> Iterator[RawPair]:
        """Yield the pairs of a Hub data set; other keys may be meant for files beside it."""
        filled = uri.replace("{src_lang}", self.src_lang).replace("{tgt_lang}", self.tgt_lang)
        return pairs_of_rows(
            read_source(filled, sha256=sha256), name=filled, src_lang=self.src_lang, tgt_lang=self.tgt_lang,
            src_column=self.src_column, tgt_column=self.tgt_column, dropped=self.dropped,
        )  # fmt: skip

    def files(self, uri: str, sha256: str | None) -> Iterator[RawPair]:
        """Yield the pairs of the files that a source names; of many, other languages' are passed over."""
        names_tables = WILD.search(uri) is not None
        read, passed_over = 0, None
        for member in open_members(
            uri, src_lang=self.src_lang, tgt_lang=self.tgt_lang, sha256=sha256,
            wanted=lambda path: self._is_wanted(path, names_tables),
        ):  # fmt: skip
            with member.stream:
                try:
                    yield from self.member(member)
                    read += 1
                except OtherLanguageError as error:
                    if member.alone or member.assured:
                        raise
                    passed_over = error
        if passed_over is not None and not read:
            raise passed_over

    def member(self, member: Member) -> Iterator[RawPair]:
        """Yield the pairs of one open file."""
        name = member.name
        format = self.format or format_of(name)
        bare = without_gz(name)
        stream = member.stream if bare == name else unpacked_gzip(member.stream, name)
        common = {"name": bare, "src_lang": self.src_lang, "tgt_lang": self.tgt_lang}
        try:
            if format == "po":
                yield from read_po(
                    stream, **common, assured=member.assured, encoding=self.encoding, dropped=self.dropped
                )
            elif format == "mo":
                yield from read_mo(stream, **common, assured=member.assured, dropped=self.dropped)
            elif format == "xliff":
                yield from read_xliff(stream, **common, assured=member.assured, dropped=self.dropped)
            elif format == "tmx":
                yield from read_tmx(stream, **common, dropped=self.dropped)
            else:
                yield from read_table(
                    stream, **common, format=format, src_column=self.src_column, tgt_column=self.tgt_column,
                    columns=self.columns, encoding=self.encoding, dropped=self.dropped,
                )  # fmt: skip
        except CUT_GZIP as error:
            raise DataError(f"{name} is not a whole gzip file: {error}") from error

    def _is_wanted(self, path: str, names_tables: bool) -> bool:
        if self.format is not None:
            return True
        found = FORMATS.get(_suffix(path))
        return found is not None and (names_tables or found in CATALOGUES)


def format_of(name: str) -> str:
    """Tell a format by a file's name.

    Raises:
        DataError: the suffix is none of the known ones.

    >>> format_of("po/gl.po.gz")
    'po'
    """
    suffix = _suffix(name)
    if suffix == ".pot":
        raise DataError(
            f"{name} is a template, in which nothing is translated; name the PO files made from it"
        )
    if suffix not in FORMATS:
        raise DataError(
            f"{name}: the format is not known by its name; set format to one of "
            f"{', '.join(sorted(set(FORMATS.values())))}; two plain files are read side by side"
        )
    return FORMATS[suffix]


def _suffix(name: str) -> str:
    return PurePosixPath(without_gz(name.rpartition("!")[2])).suffix.lower()


def _open_text(uri: str, encoding: str) -> io.TextIOWrapper:
    stream = open_source(uri)
    if (path := split_hash(uri)[0]) != without_gz(path):
        stream = unpacked_gzip(stream, uri)
    # Only a line feed ends a line: a translation may hold what Unicode or a Macintosh takes for one.
    return io.TextIOWrapper(stream, encoding=text_encoding(encoding, uri), newline="\n")
