"""Rows with their results, written as csv, tsv, jsonl or plain lines, to stdout or to a file that is written
whole or not at all.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from nlp_transfer.data.tables import FORMATS, Row, format_of
from nlp_transfer.data.texts import whole_characters
from nlp_transfer.disk import PART, require_folder_of, write_failures_told
from nlp_transfer.errors import ConfigError, DataError

TABLE_FORMATS = ("csv", "tsv", "jsonl")
Result = dict[str, Any]
WriteRow = Callable[[Row, Result], None]


def output_format(
    output: Path | None, source: Path | None, *, as_json: bool, written: tuple[str, ...], what: str
) -> str:
    """Choose what is written: the output file's format, else the input's, else a plain listing.

    Args:
        output: the file to write; None is stdout.
        source: the file that is read, if any.
        as_json: JSON lines are wanted on stdout.
        written: the formats that a file can have, such as `TABLE_FORMATS`.
        what: names the results in messages, such as "predictions".

    Raises:
        ConfigError: the input or the output is a folder, or the output is of a format that is not written or
            cannot be in its place.
    """
    if source is not None and source.is_dir():
        raise ConfigError(f"{source} is a folder; name a file in it")
    if output is not None:
        if output.is_dir():
            raise ConfigError(f"{output} is a folder; name a file")
        require_folder_of(output)
        # By the last suffix alone: a compressed file (`.csv.gz`) is read, not written.
        chosen = FORMATS.get(output.suffix.lower())
        if chosen not in written:
            raise ConfigError(f"{output}: {what} are written as {', '.join(written)}")
        return chosen
    if as_json:
        return "jsonl"
    if source is None or format_of(source.name, in_recipe=False) == "txt":
        return "plain"
    found = format_of(source.name, in_recipe=False)
    return found if found in TABLE_FORMATS else "jsonl"


@contextmanager
def opened(output: Path | None) -> Iterator[TextIO]:
    """Open stdout, or a temporary file that takes the output's place when all is written.

    Raises:
        ConfigError: the file cannot be written.
        RunError: writing failed on the way.
    """
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # What is piped is UTF-8, as stdin is; a terminal knows its own encoding.
            sys.stdout.reconfigure(encoding=None if sys.stdout.isatty() else "utf-8", errors="replace")
        with write_failures_told("stdout cannot be written", "the rows before this stand there"):
            yield sys.stdout
            sys.stdout.flush()
        return
    with (
        replaced(output) as raw,
        io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="") as file,
    ):
        yield file


@contextmanager
def replaced(output: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the output's place when all is written; its permissions stay, and a
    link goes on pointing at it.

    Raises:
        ConfigError: the file cannot be written.
        RunError: writing it failed on the way.
    """
    try:
        target = output.resolve()
        mode = target.stat().st_mode & 0o777 if target.is_file() else 0o644
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=PART)
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error}") from error
    try:
        with write_failures_told(f"{output} cannot be written", "make room; nothing of it was written"):
            with os.fdopen(handle, "wb") as file:
                yield file
            Path(name).chmod(mode)
            Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def row_writer(
    file: TextIO,
    written: str,
    *,
    plain: Callable[[Row, Result], str],
    flat: Callable[[Result], Result] = lambda result: result,
) -> WriteRow:
    """Return a function that writes one row with its result.

    Args:
        file: where to.
        written: csv, tsv, jsonl, or plain and txt (one line a row).
        plain: makes the line of a plain listing.
        flat: makes the columns of a csv or tsv out of a result.
    """
    if written == "plain":
        return lambda row, result: print(plain(row, result), file=file)
    if written == "txt":
        return _LineWriter(file, plain).write
    if written == "jsonl":
        return lambda row, result: print(_as_json(_merged(row, result)), file=file)
    table = _TableWriter(file, tab=written == "tsv")
    return lambda row, result: table.write(row, flat(result))


def _as_json(value: dict[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if text == whole_characters(text) else json.dumps(value, default=str)


class _LineWriter:
    """Writes one line a row, so that the file has as many lines as the input has rows."""

    def __init__(self, file: TextIO, plain: Callable[[Row, Result], str]) -> None:
        self.file = file
        self.plain = plain
        self.rows = 0

    def write(self, row: Row, result: Result) -> None:
        line = self.plain(row, result)
        self.rows += 1
        if "\n" in line or "\r" in line:
            raise DataError(f"row {self.rows} of the input holds a line break; write it as csv or jsonl")
        print(line, file=self.file)


class _TableWriter:
    """Writes rows as csv or tsv, with the columns of the first one. As when read, a tsv has no quoting."""

    def __init__(self, file: TextIO, *, tab: bool) -> None:
        dialect: dict[str, Any] = (
            {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None} if tab else {}
        )
        self.table = csv.writer(file, lineterminator="\n", **dialect)
        self.columns: list[str] = []
        self.rows = 0

    def write(self, row: Row, result: Result) -> None:
        merged = _merged(row, result)
        self.rows += 1
        if not self.columns:
            self.columns = list(merged)
            self.table.writerow(self.columns)
        if other := set(merged) ^ set(self.columns):
            raise DataError(
                f"row {self.rows} of the input has other columns than the first "
                f"({', '.join(sorted(other))}); "
                "write it as jsonl"
            )
        try:
            self.table.writerow([merged[name] for name in self.columns])
        except csv.Error as error:
            raise DataError(
                f"row {self.rows} of the input holds a tab or a line break; write it as csv or jsonl"
            ) from error


def _merged(row: Row, result: Result) -> dict[str, Any]:
    """Put a result beside a row's own columns, which keep their names and values."""
    return {**row, **{_free(name, row): value for name, value in result.items()}}


def _free(name: str, row: Row) -> str:
    while name in row:
        name = f"predicted_{name}"
    return name
