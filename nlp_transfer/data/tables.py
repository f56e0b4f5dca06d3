"""Rows out of bytes: csv, tsv, json lines, parquet, plain text and Hub data sets, one dictionary a row.

Readers stream, count lines for their error messages, and guess nothing that changes a value: every cell of a
text format is a string. A tsv has no quoting; a csv has, and `;` separates it where its first line has no
comma. What the columns mean is left to classification.py.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from nlp_transfer.data.archives import unpacked_gzip, without_gz
from nlp_transfer.data.sources import open_source, split_hash
from nlp_transfer.data.text_encodings import BOMS_OF_UTF16, encoding_advice, text_encoding, utf16_without_mark
from nlp_transfer.errors import DataError, did_you_mean

logger = logging.getLogger(__name__)

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
    in_recipe: bool = True,
) -> Iterator[Row]:
    """Yield the rows of a source (see sources.py for its forms).

    Args:
        uri: the source; `hub://owner/name@revision/split` is read through `datasets`.
        format: csv, tsv, jsonl, parquet or txt; None follows the file's name.
        columns: names of the columns of a csv or tsv without a header line.
        encoding: of a text format; a byte-order mark is skipped.
        sha256: expected hash, see `open_source`.
        in_recipe: a recipe names the source, so that its keys mend what is wrong; for messages.

    Raises:
        DataError: the source cannot be found or read, and the message names the line; or what speaks of files
            is given for a Hub data set.
    """
    uri, sha256 = split_hash(uri, sha256)
    if uri.startswith("hub://"):
        keys = {"sha256": sha256, "format": format, "columns": columns, "encoding": encoding != "utf-8"}
        _refuse_file_keys(uri, [key for key, value in keys.items() if value])
        yield from _read_hub(uri)
        return
    with open_source(uri, sha256=sha256) as stream:
        yield from read_rows(
            stream, name=uri, format=format, columns=columns, encoding=encoding, in_recipe=in_recipe
        )


def read_rows(
    stream: BinaryIO,
    *,
    name: str,
    format: str | None = None,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
    in_recipe: bool = True,
) -> Iterator[Row]:
    """Yield the rows of an open binary stream; `name` chooses the format and stands in errors.

    Raises:
        DataError: the format is unknown or a row cannot be read.
    """
    format = format or format_of(name, in_recipe=in_recipe)
    if without_gz(name) != name:
        stream = unpacked_gzip(stream, name)
    try:
        if format == "parquet":
            yield from _read_parquet(stream, name)
            return
        text = io.TextIOWrapper(stream, encoding=text_encoding(encoding, name), newline="")
        first = text.readline()
        seen = first.encode("utf-8", "surrogatepass")
        # Most of UTF-16 is UTF-8 too, with a 0 behind each letter.
        if "\0" in first and (format in ("csv", "tsv") or utf16_without_mark(seen)):
            raise _not_text(seen, name, encoding, "", in_recipe=in_recipe)
        lines = chain([first] if first else [], text)
        if format == "jsonl":
            yield from _read_jsonl(lines, name)
        elif format == "txt":
            yield from ({"text": line.rstrip("\r\n")} for line in lines)
        else:
            tab = format == "tsv"
            if not tab and _is_tabbed(first, columns):
                mend = "set format: tsv" if in_recipe else "name it .tsv"
                raise DataError(f"{name}: its first line has tabs and no commas; {mend}")
            yield from _read_delimited(first, lines, name, columns, tab=tab)
    except UnicodeDecodeError as error:
        byte = f" (byte 0x{error.object[error.start]:02x})"
        if error.object.startswith(BOMS_OF_UTF16):
            byte = ""
        raise _not_text(error.object, name, encoding, byte, in_recipe=in_recipe) from error
    except UnicodeError as error:
        raise DataError(
            f"{name} is not {encoding} text ({error}); set encoding to the one it was written in"
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{name} is not a whole gzip file: {error}") from error


def format_of(name: str, *, in_recipe: bool = True) -> str:
    """Tell a format by a file's name; see `read_source`.

    Raises:
        DataError: the suffix is none of the known ones.
    """
    suffix = PurePosixPath(without_gz(name.rpartition("!")[2])).suffix.lower()
    if suffix in SPREADSHEETS:
        raise DataError(f"{name}: spreadsheets are not read; save the sheet as csv (UTF-8)")
    if suffix not in FORMATS:
        known = sorted(set(FORMATS.values())) if in_recipe else sorted(FORMATS)
        mend = "set format to one of" if in_recipe else "let the name end in one of"
        raise DataError(f"{name}: the format is not known by its name; {mend} {', '.join(known)}")
    return FORMATS[suffix]


def _not_text(content: bytes, name: str, encoding: str, byte: str, *, in_recipe: bool) -> DataError:
    """Word that a file is not in the encoding that it is read in, and what mends it."""
    advice = encoding_advice(content, name, in_recipe=in_recipe)
    if advice is None:
        return DataError(f"{name} is not {encoding} text (it looks like a binary file)")
    return DataError(f"{name} is not {encoding} text{byte}; {advice}")


def _is_tabbed(first: str, columns: Sequence[str] | None) -> bool:
    """Tell whether tabs and nothing else divide a first line, which is to have several columns."""
    return "\t" in first and not set(",;") & set(first) and (columns is None or len(columns) > 1)


def _read_delimited(
    first: str, lines: Iterator[str], name: str, columns: Sequence[str] | None, *, tab: bool
) -> Iterator[Row]:
    csv.field_size_limit(2**30)
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


def _read_jsonl(lines: Iterator[str], name: str) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
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


def _refuse_file_keys(uri: str, keys: Sequence[str]) -> None:
    """Raise where keys are given that say how a file is read or what is in it: a Hub data set is none."""
    if not keys:
        return
    raise DataError(
        f"{uri}: leave out {', '.join(keys)}, which is said of files; a Hub data set says itself how it is "
        "read, and its rows are pinned by a commit: hub://owner/name@COMMIT/split"
    )


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
    if not re.fullmatch("[0-9a-f]{40}", revision or ""):
        logger.warning(
            "%s names no commit: another day it may hold other rows; pin them as hub://%s@COMMIT/...",
            uri,
            repo,
        )
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
