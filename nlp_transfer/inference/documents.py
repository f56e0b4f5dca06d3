"""Predictions for files and streams: read rows, label them chunk by chunk, write them with their other
columns.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from nlp_transfer.data.labels import TEXT_COLUMNS
from nlp_transfer.data.tables import Row, format_of, read_source
from nlp_transfer.errors import ConfigError, DataError, did_you_mean

# Rows labelled at a time: memory does not grow with the input.
CHUNK_ROWS = 20_000
WRITTEN_FORMATS = ("csv", "tsv", "jsonl")


def predict_documents(
    model: str,
    *,
    texts: Sequence[str] | None,
    source: Path | None,
    output: Path | None,
    text_column: str | None,
    revision: str | None,
    as_json: bool,
) -> None:
    """Label texts from arguments, a file or stdin, and write them to a file or stdout.

    A csv, tsv or jsonl result keeps the input's columns and adds `label`, `score` and one
    `probability_<class>` a class (a taken name gets `predicted_` before it). A file is written whole or not
    at all.

    Raises:
        ConfigError: both texts and a file were given, or the output's format is unknown.
        DataError: the input cannot be read, a row has no text, or the output's format cannot hold a row.
    """
    if texts and source is not None:
        raise ConfigError("give texts or --input, not both")
    written = _output_format(output, source, as_json)
    rows = _input_rows(texts, source)
    first = next(rows, None)
    if first is None:
        raise DataError("there is no text to label")
    column = _text_column(first, text_column)
    from nlp_transfer.inference.load import load_adapted

    classifier = load_adapted(model, revision=revision)
    bar = "predict" if source is not None and sys.stderr.isatty() else None
    with _opened(output) as file:
        write = _writer(file, written)
        number = 0
        for chunk in _chunks(_chain(first, rows)):
            contents = [_text_of(row, column, number + place) for place, row in enumerate(chunk, start=1)]
            number += len(chunk)
            for row, result in zip(chunk, classifier.predict(contents, label=bar), strict=True):
                write(row, result)


def _input_rows(texts: Sequence[str] | None, source: Path | None) -> Iterator[Row]:
    if texts:
        return iter([{"text": _whole(text)} for text in texts])
    if source is not None:
        return read_source(str(source))
    if sys.stdin.isatty():
        raise ConfigError("nothing to label: give texts, --input FILE, or pipe one text a line")
    return ({"text": text} for text in _stdin_lines())


def _stdin_lines() -> Iterator[str]:
    """Yield the lines of stdin that are not blank; they are UTF-8 whatever the terminal's settings."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")
    try:
        yield from (line.rstrip("\r\n") for line in sys.stdin if line.strip())
    except UnicodeDecodeError as error:
        raise DataError(f"stdin is not UTF-8 text (byte 0x{error.object[error.start]:02x})") from error


def _output_format(output: Path | None, source: Path | None, as_json: bool) -> str:
    """Choose what is written: the output file's format, else the input's, else a plain listing."""
    if output is not None:
        if output.is_dir():
            raise ConfigError(f"{output} is a folder; name a file")
        written = format_of(output.name)
        if written not in WRITTEN_FORMATS:
            raise ConfigError(f"{output}: predictions are written as {', '.join(WRITTEN_FORMATS)}")
        return written
    if as_json:
        return "jsonl"
    if source is None or format_of(source.name) == "txt":
        return "plain"
    found = format_of(source.name)
    return found if found in WRITTEN_FORMATS else "jsonl"


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
    return _whole(text)


def _whole(text: str) -> str:
    """Replace half characters (lone surrogates, as JSON and command lines can hold): tokenizers fail on
    them.
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def _chain(first: Row, rest: Iterable[Row]) -> Iterator[Row]:
    yield first
    yield from rest


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, CHUNK_ROWS)):
        yield chunk


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """Open stdout, or a temporary file that takes the output's place when all is written."""
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        yield sys.stdout
        return
    try:
        handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="") as file:
            yield file
        Path(name).chmod(0o644)
        Path(name).replace(output)
    finally:
        Path(name).unlink(missing_ok=True)


def _writer(file: TextIO, written: str) -> Callable[[Row, dict[str, Any]], None]:
    """Return a function that writes one row with its result."""
    if written == "plain":
        return lambda row, result: print(
            f"{result['label']}\t{result['score']:.4f}\t{row['text']}", file=file
        )
    if written == "jsonl":
        return lambda row, result: print(_as_json(_merged(row, result)), file=file)
    return _TableWriter(file, tab=written == "tsv").write


def _as_json(value: dict[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if text == _whole(text) else json.dumps(value, default=str)


class _TableWriter:
    """Writes rows as csv or tsv, with the columns of the first one. As when read, a tsv has no quoting."""

    def __init__(self, file: TextIO, *, tab: bool) -> None:
        dialect: dict[str, Any] = (
            {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None} if tab else {}
        )
        self.table = csv.writer(file, lineterminator="\n", **dialect)
        self.columns: list[str] = []
        self.rows = 0

    def write(self, row: Row, result: dict[str, Any]) -> None:
        flat = {name: value for name, value in result.items() if name != "probabilities"}
        flat |= {f"probability_{name}": f"{score:.6f}" for name, score in result["probabilities"].items()}
        merged = _merged(row, flat)
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


def _merged(row: Row, result: dict[str, Any]) -> dict[str, Any]:
    """Put a result beside a row's own columns, which keep their names and values."""
    return {**row, **{_free(name, row): value for name, value in result.items()}}


def _free(name: str, row: Row) -> str:
    while name in row:
        name = f"predicted_{name}"
    return name
