"""Rows out of bytes: csv, tsv, json lines, parquet, plain text and Hub data sets, one dictionary a row.

Readers stream, count lines for their error messages, and guess nothing that changes a value: every cell of a
text format is a string. A tsv has no quoting; a csv has, and `;` separates it where its first line has no
comma. What the columns mean is left to classification.py.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from nlp_transfer.data.sources import open_source, split_hash, unpacked_gzip
from nlp_transfer.errors import DataError, did_you_mean

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "txt",
}
SPREADSHEETS = (".xlsx", ".xls", ".ods")
HUB = re.compile(r"hub://([^/@]+/[^/@]+)(?:@([^/]+))?/(?:([^/]+)/)?([^/]+)")
Row = dict[str, Any]


def read_source(
    uri: str,
    *,
    format: str | None = None,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
    sha256: str | None = None,
) -> Iterator[Row]:
    """Yield the rows of a source (see sources.py for its forms).

    Args:
        uri: the source; `hub://owner/name@revision/split` is read through `datasets`.
        format: csv, tsv, jsonl, parquet or txt; None follows the file's name.
        columns: names of the columns of a csv or tsv without a header line.
        encoding: of a text format; a byte-order mark is skipped.
        sha256: expected hash, see `open_source`.

    Raises:
        DataError: the source cannot be found or read; the message names the line.
    """
    if uri.startswith("hub://"):
        yield from _read_hub(uri)
        return
    uri, sha256 = split_hash(uri, sha256)
    with open_source(uri, sha256=sha256) as stream:
        yield from read_rows(stream, name=uri, format=format, columns=columns, encoding=encoding)


def read_rows(
    stream: BinaryIO,
    *,
    name: str,
    format: str | None = None,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
) -> Iterator[Row]:
    """Yield the rows of an open binary stream; `name` chooses the format and stands in errors.

    Raises:
        DataError: the format is unknown or a row cannot be read.
    """
    format = format or format_of(name)
    if name.endswith(".gz"):
        stream = unpacked_gzip(stream, name)
    try:
        if format == "parquet":
            yield from _read_parquet(stream, name)
            return
        text = io.TextIOWrapper(stream, encoding=text_encoding(encoding, name), newline="")
        if format == "jsonl":
            yield from _read_jsonl(text, name)
        elif format == "txt":
            yield from ({"text": line.rstrip("\r\n")} for line in text)
        else:
            yield from _read_delimited(text, name, columns, tab=format == "tsv")
    except UnicodeDecodeError as error:
        raise DataError(_encoding_advice(error, name, encoding)) from error
    except UnicodeError as error:
        raise DataError(
            f"{name} is not {encoding} text ({error}); set encoding to the one it was written in"
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{name} is not a whole gzip file: {error}") from error


def format_of(name: str) -> str:
    """Tell a format by a file's name.

    Raises:
        DataError: the suffix is none of the known ones.
    """
    suffix = PurePosixPath(name.rpartition("!")[2].removesuffix(".gz")).suffix.lower()
    if suffix in SPREADSHEETS:
        raise DataError(f"{name}: spreadsheets are not read; save the sheet as csv (UTF-8)")
    if suffix not in FORMATS:
        raise DataError(
            f"{name}: the format is not known by its name; set format to one of "
            f"{', '.join(sorted(set(FORMATS.values())))}"
        )
    return FORMATS[suffix]


def text_encoding(encoding: str, name: str) -> str:
    """Return what to open a file with; a byte-order mark of UTF-8 is skipped.

    Raises:
        DataError: there is no such encoding, or it makes no text out of bytes, as base64 and zip do not.
    """
    try:
        found = codecs.lookup(encoding).name
        "".encode(found)
    except (LookupError, ValueError) as error:
        raise DataError(f"{name}: there is no text encoding {encoding!r}") from error
    return "utf-8-sig" if found == "utf-8" else found


def _encoding_advice(error: UnicodeDecodeError, name: str, encoding: str) -> str:
    """Name the byte that failed, and the encoding that the file looks like."""
    import charset_normalizer

    if error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return f"{name} is not {encoding} text; set encoding: utf-16"
    if b"\0" in error.object[:4096]:
        return f"{name} is not {encoding} text (it looks like a binary file)"
    matches = charset_normalizer.from_bytes(error.object[:65536])
    best = matches.best()
    advice = "set encoding to the one it was written in"
    if best is not None:
        # Among equally good guesses the library names the alphabetically first; most such files are cp1252.
        equal = [match for match in matches if (match.chaos, match.coherence) == (best.chaos, best.coherence)]
        common = any("cp1252" in match.could_be_from_charset for match in equal)
        guess = "cp1252" if common else best.encoding
        advice = f"set encoding: {guess} in the recipe (a guess: look at the texts), or save it as UTF-8"
    return f"{name} is not {encoding} text (byte 0x{error.object[error.start]:02x}); {advice}"


def _read_delimited(
    text: io.TextIOWrapper, name: str, columns: Sequence[str] | None, *, tab: bool
) -> Iterator[Row]:
    csv.field_size_limit(2**30)
    first = text.readline()
    if "\0" in first:
        raise DataError(f"{name} is not text (it looks like a binary file)")
    lines = _chain(first, text)
    if tab:
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        rows = csv.reader(lines, delimiter=";" if ";" in first and "," not in first else ",", strict=True)
    try:
        header = list(columns) if columns is not None else next(rows, None)
        if not header:
            raise DataError(f"{name} is empty: a header line with column names was expected")
        if len(set(header)) < len(header):
            raise DataError(f"{name}: two columns have the same name in its header {header}")
        for cells in rows:
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{name}, line {rows.line_num}: {len(cells)} cells, expected {len(header)} "
                    f"({', '.join(header)})"
                )
            yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{name}, line {rows.line_num}: {error}") from error


def _chain(first: str, rest: io.TextIOWrapper) -> Iterator[str]:
    if first:
        yield first
    yield from rest


def _read_jsonl(text: io.TextIOWrapper, name: str) -> Iterator[Row]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        # Not JSON's own error alone: thousands of digits are a bare ValueError.
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise DataError(
                f"{name}, line {number}: expected an object with columns, got {type(row).__name__}"
            )
        yield row


def _read_parquet(stream: BinaryIO, name: str) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(stream if stream.seekable() else io.BytesIO(stream.read()))
        columns = file.schema_arrow.names
        if len(set(columns)) < len(columns):
            raise DataError(f"{name}: two columns have the same name among {columns}")
        for batch in file.iter_batches(batch_size=4096):
            values = [_plain_values(batch.column(column), column, name) for column in columns]
            # A file may have rows and no columns.
            yield from (dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{name} is not a parquet file: {error}") from error


def _plain_values(values: Any, column: str, name: str) -> list[Any]:
    """Return a parquet column's values as Python's own."""
    try:
        return list(values.to_pylist())
    except (OverflowError, ValueError) as error:  # a date past the year 9999, text that is not UTF-8
        raise DataError(
            f"{name}: column {column!r} ({values.type}) holds a value that cannot be read ({error}); leave "
            "the column out, or write it as text"
        ) from error


def _read_hub(uri: str) -> Iterator[Row]:
    """Yield the rows of a Hub data set, with class ids replaced by their names."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    found = HUB.fullmatch(uri)
    if found is None:
        raise DataError(
            f"{uri} must have the form hub://owner/name@revision/split, or .../config/split for one config"
        )
    repo, revision, config, split = found.groups()
    chosen = {} if config is None else {"name": config}
    try:
        rows = load_dataset(repo, **chosen, revision=revision, split=split)
    except ValueError as error:
        raise DataError(f"{uri}: {error}; {did_you_mean(split, ['train', 'validation', 'test'])}") from error
    except (DatasetsError, HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"{uri} cannot be read from the Hub ({reason}); is the network there and the name right?"
        ) from error
    yield from named_classes(rows)


def named_classes(rows: Any) -> Iterator[Row]:
    """Yield the rows of a `datasets.Dataset`, with class ids replaced by their names; -1 is no class."""
    from datasets import ClassLabel

    names = {
        column: feature.names
        for column, feature in (rows.features or {}).items()
        if isinstance(feature, ClassLabel)
    }
    for row in rows:
        yield {
            column: names[column][value] if column in names and value is not None and value >= 0 else value
            for column, value in row.items()
        }
