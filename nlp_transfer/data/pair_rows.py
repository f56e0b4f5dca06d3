"""Pairs out of tables: tsv, csv, JSON lines, parquet and Hub data sets.

Which columns hold the two texts follows from what the recipe says, else from a `translation` column with one
text for each language, else from names: the languages' codes or names, or pairs such as source and target. A
tsv or csv of exactly two columns needs no header line: where its first line is not recognised as one, it is a
row.
"""

from __future__ import annotations

import csv
import gzip
import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, BinaryIO, cast

from nlp_transfer.data.languages import language_names, looks_like_locale, matches, normal_tag, spellings
from nlp_transfer.data.raw_pairs import OtherLanguageError, RawPair
from nlp_transfer.data.tables import Row, read_rows
from nlp_transfer.errors import DataError, did_you_mean

logger = logging.getLogger(__name__)

NESTED = "translation"
KNOWN_NAMES = (
    ("source", "target"), ("src", "tgt"), ("src", "trg"), ("source_text", "target_text"),
    ("source", "translation"),
    ("original", "translation"), ("english", "translation"), ("english", "non_english"), ("input", "output"),
    ("sentence1", "sentence2"),
)  # fmt: skip
HEADER_BYTES = 65_536
TWO_COLUMNS = ("source", "target")
Place = tuple[str, str | None]
"""A column, and the key in it where it holds a dictionary."""


def read_table(
    stream: BinaryIO,
    *,
    name: str,
    format: str,
    src_lang: str,
    tgt_lang: str,
    src_column: str | None = None,
    tgt_column: str | None = None,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
    dropped: Counter[str] | None = None,
) -> Iterator[RawPair]:
    """Yield the pairs of a table.

    Args:
        stream: the file, already unpacked.
        name: what messages call it.
        format: csv, tsv, jsonl or parquet.
        src_lang: language code, to find its column.
        tgt_lang: language code, to find its column.
        src_column: column with the texts.
        tgt_column: column with the translations.
        columns: names of the columns of a csv or tsv without a header line.
        encoding: of a text format.
        dropped: counts rows with an empty side.

    Raises:
        DataError: the columns cannot be told, or a row cannot be read.
    """
    first_row = 1
    if format in ("csv", "tsv"):
        buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(Any, stream))
        if columns is None and src_column is None and tgt_column is None:
            cells = _first_cells(buffered, format, encoding)
            columns = _columns_without_header(cells, name, src_lang=src_lang, tgt_lang=tgt_lang)
        first_row = 1 if columns is not None else 2
        stream = buffered
    rows = read_rows(stream, name=name, format=format, columns=columns, encoding=encoding)
    yield from pairs_of_rows(
        rows, name=name, first_row=first_row, src_lang=src_lang, tgt_lang=tgt_lang, src_column=src_column,
        tgt_column=tgt_column, dropped=dropped,
    )  # fmt: skip


def pairs_of_rows(
    rows: Iterator[Row],
    *,
    name: str,
    src_lang: str,
    tgt_lang: str,
    src_column: str | None = None,
    tgt_column: str | None = None,
    first_row: int = 1,
    dropped: Counter[str] | None = None,
) -> Iterator[RawPair]:
    """Yield the pairs of rows whose columns are named; the arguments are those of `read_table`.

    Raises:
        DataError: the columns cannot be told, or a cell holds no text.
    """
    dropped = Counter() if dropped is None else dropped
    first = next(rows, None)
    if first is None:
        return
    _refuse_backwards(name, src_column, tgt_column, src_lang=src_lang, tgt_lang=tgt_lang)
    source_at, target_at = _find_columns(
        first, name, src_lang=src_lang, tgt_lang=tgt_lang, src_column=src_column, tgt_column=tgt_column
    )
    for number, row in enumerate(chain([first], rows), start=first_row):
        source, target = _cell(row, source_at), _cell(row, target_at)
        if type(source) is str and type(target) is str:
            if target.strip():
                if source.strip():
                    yield RawPair(source, target, f"{name}, row {number}")
                    continue
                dropped["empty"] += 1
            else:
                dropped["untranslated"] += 1
        elif source is None or target is None:
            dropped["untranslated" if target is None else "empty"] += 1
        else:
            value = target if type(source) is str else source
            raise DataError(
                f"{name}, row {number}: expected a text, got {value!r:.60} ({type(value).__name__})"
            )


def _cell(row: Row, place: Place) -> Any:
    column, key = place
    value = row.get(column)
    return value if key is None or value is None else value.get(key) if isinstance(value, dict) else value


def _find_columns(
    row: Row, name: str, *, src_lang: str, tgt_lang: str, src_column: str | None, tgt_column: str | None
) -> tuple[Place, Place]:
    nested = row.get(NESTED)
    if src_column is None and tgt_column is None and isinstance(nested, dict):
        return (
            (NESTED, _named_for(list(nested), src_lang, name, "src_lang")),
            (NESTED, _named_for(list(nested), tgt_lang, name, "tgt_lang")),
        )
    for key, column in (("src_column", src_column), ("tgt_column", tgt_column)):
        if column is not None and column not in row:
            raise DataError(f"{name} has no column {column!r} ({key}); {did_you_mean(column, row)}")
    known = _known_columns(list(row), src_lang=src_lang, tgt_lang=tgt_lang)
    source = src_column or (known and known[0])
    target = tgt_column or (known and known[1])
    if source is None or target is None or source == target:
        raise DataError(
            f"{name}: which columns hold {src_lang} and {tgt_lang} cannot be told from "
            f"{', '.join(map(str, row))}; set "
            "src_column and tgt_column"
        )
    return (source, None), (target, None)


def _named_for(keys: list[str], code: str, name: str, option: str) -> str:
    found = _column_in(keys, code)
    if found is None:
        raise OtherLanguageError(
            f"{name} has translations in {', '.join(keys)}, none in {code}; set {option} to one of these"
        )
    return found


def _column_in(names: Sequence[str], code: str) -> str | None:
    """Return the column that is named for a language: its best spelling, its name, else any variant of it."""
    normal = {normal_tag(name): name for name in reversed(names)}
    exact = next((normal[tag] for tag in (*spellings(code), *language_names(code)) if tag in normal), None)
    return exact or next((name for name in names if looks_like_locale(name) and matches(code, name)), None)


def _known_columns(names: Sequence[str], *, src_lang: str, tgt_lang: str) -> tuple[str, str] | None:
    source, target = _column_in(names, src_lang), _column_in(names, tgt_lang)
    if source is not None and target is not None and source != target:
        return source, target
    lower = {name.strip().lower(): name for name in reversed(names)}
    for ours, theirs in KNOWN_NAMES:
        if ours in lower and theirs in lower and (ours != "english" or matches("en", src_lang)):
            return lower[ours], lower[theirs]
    return None


def _refuse_backwards(
    name: str, src_column: str | None, tgt_column: str | None, *, src_lang: str, tgt_lang: str
) -> None:
    """Refuse columns that are named for the other side's language."""
    if src_column is None or tgt_column is None:
        return
    own = _column_in([src_column], src_lang) or _column_in([tgt_column], tgt_lang)
    if own is None and _column_in([src_column], tgt_lang) and _column_in([tgt_column], src_lang):
        raise DataError(
            f"{name}: the pair is given backwards: src_lang is {src_lang} but src_column is "
            f"{src_column!r}, and tgt_lang "
            f"is {tgt_lang} but tgt_column is {tgt_column!r}; swap the columns or the languages"
        )


def _first_cells(stream: io.BufferedReader, format: str, encoding: str) -> list[str]:
    """Look at the first line without taking it; what cannot be decoded is left to the reader to refuse."""
    try:
        head = stream.peek(HEADER_BYTES)
    except (gzip.BadGzipFile, EOFError, OSError):
        return []
    try:
        line = next(iter(io.StringIO(head.decode(encoding, "replace").removeprefix("\ufeff"))), "").rstrip(
            "\r\n"
        )
    except (LookupError, ValueError):
        return []
    if format == "tsv":
        return line.split("\t")
    try:
        return next(csv.reader([line], delimiter=";" if ";" in line and "," not in line else ","), [])
    except csv.Error:
        return []


def _columns_without_header(
    cells: list[str], name: str, *, src_lang: str, tgt_lang: str
) -> tuple[str, str] | None:
    """Return names for two columns without a header line; None where the first line is a header.

    Raises:
        DataError: the header names other languages.
    """
    if len(cells) != 2 or _known_columns(cells, src_lang=src_lang, tgt_lang=tgt_lang) is not None:
        return None
    named = [code for code in cells if looks_like_locale(code)]
    if len(named) == 2 and (_column_in(named, src_lang) or _column_in(named, tgt_lang)):
        raise OtherLanguageError(
            f"{name}: its header names {cells[0]} and {cells[1]}, expected {src_lang} and {tgt_lang}; set "
            "src_lang and "
            "tgt_lang to what the file has, or src_column and tgt_column"
        )
    logger.info("%s has no header line: its columns are taken for %s and %s", name, src_lang, tgt_lang)
    return TWO_COLUMNS
