"""Texts to work on, row by row: from arguments, a file or stdin, with the other columns that a file has.

What is done with them is left to documents.py (predict) and translation_documents.py (translate).
"""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from nlp_transfer.data.labels import TEXT_COLUMNS
from nlp_transfer.data.tables import Row, read_source
from nlp_transfer.data.texts import whole_characters
from nlp_transfer.errors import ConfigError, DataError, did_you_mean

logger = logging.getLogger(__name__)

# Rows worked on at a time: memory does not grow with the input.
CHUNK_ROWS = 20_000


@dataclass(frozen=True)
class TextRows:
    """Rows and the column that holds their text."""

    rows: Iterator[Row]
    column: str

    def chunks(self, size: int | None = None) -> Iterator[tuple[int, list[Row], list[str]]]:
        """Yield (number of the first row, counted from 1; rows; their texts), chunk by chunk.

        Args:
            size: rows of a chunk; None is `CHUNK_ROWS`.

        Raises:
            DataError: a row has no text.
        """
        number = 1
        while chunk := list(islice(self.rows, size or CHUNK_ROWS)):
            texts = [_text_of(row, self.column, place) for place, row in enumerate(chunk, start=number)]
            yield number, chunk, texts
            number += len(chunk)


def read_texts(
    texts: Sequence[str] | None,
    source: Path | None,
    *,
    text_column: str | None,
    purpose: str,
    blank_lines: bool = False,
) -> TextRows:
    """Open the input; its first row is read at once, so that what cannot be read is told early.

    Args:
        texts: from arguments; None or empty: read the file, and without one stdin.
        source: the file.
        text_column: the column with the text; None takes the first of the usual names that the rows have.
        purpose: what is done with a text, such as "label"; for messages.
        blank_lines: keep the blank lines of stdin, so that the result has as many lines.

    Raises:
        ConfigError: both texts and a file were given, or neither and stdin is a terminal.
        DataError: the input cannot be read or is empty, or it has no such column.
    """
    if texts and source is not None:
        raise ConfigError("give texts or --input, not both")
    if texts:
        rows: Iterator[Row] = iter([{"text": whole_characters(text)} for text in texts])
    elif source is not None:
        rows = read_source(str(source), in_recipe=False)
    elif sys.stdin.isatty():
        raise ConfigError(f"nothing to {purpose}: give texts, --input FILE, or pipe one text a line")
    else:
        rows = ({"text": text} for text in _stdin_lines() if blank_lines or text.strip())
    return text_rows(rows, text_column=text_column, purpose=purpose)


def text_rows(rows: Iterator[Row], *, text_column: str | None, purpose: str) -> TextRows:
    """Find the column with the text in rows, of which the first is read; see `read_texts`.

    Raises:
        DataError: there is no row, or no such column.
    """
    first = next(rows, None)
    if first is None:
        raise DataError(f"there is no text to {purpose}; give texts, --input FILE, or a text a line on stdin")
    return TextRows(chain([first], rows), _text_column(first, text_column))


def _looks_like_a_table(line: str) -> bool:
    """Tell whether a line is one of JSON lines, or a header with a column that usually holds texts.

    >>> [_looks_like_a_table(line) for line in ("id,text", '{"text": 1}', "a text, too")]
    [True, True, False]
    """
    cells = {cell.strip('"\r\n') for cell in re.split(r"[,;\t]", line)}
    return bool(re.match(r'\s*\{\s*"', line) or (len(cells) > 1 and cells & set(TEXT_COLUMNS)))


def _stdin_lines() -> Iterator[str]:
    """Yield the lines of stdin; they are UTF-8 whatever the terminal's settings."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")
    try:
        for number, line in enumerate(sys.stdin):
            if number == 0 and _looks_like_a_table(line):
                logger.warning(
                    "stdin is read as a text a line, and its first line looks like that of a csv or of JSON "
                    "lines; for these give --input FILE"
                )
            yield line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"stdin is not UTF-8 text (byte 0x{error.object[error.start]:02x})") from error


def _text_column(row: Row, chosen: str | None) -> str:
    if chosen is not None and chosen not in row:
        raise DataError(f"the input has no column {chosen!r}; {did_you_mean(chosen, row)}")
    column = chosen or next((name for name in TEXT_COLUMNS if name in row), None)
    if column is None:
        raise DataError(f"set --text-column to one of the input's columns: {', '.join(row)}")
    return column


def _text_of(row: Row, column: str, number: int) -> str:
    text = row.get(column)
    if not isinstance(text, str):
        raise DataError(
            f"row {number} of the input: column {column!r} holds {type(text).__name__}, expected a text"
        )
    return whole_characters(text)
