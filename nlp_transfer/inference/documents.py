"""Predictions for files and streams: read rows, label them chunk by chunk, write them with their other columns."""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
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

    A csv, tsv or jsonl result keeps the input's columns and adds `label`, `score` and one `probability_<class>` a
    class (a taken name gets `predicted_` before it).

    Raises:
        ConfigError: both texts and a file were given, or the output's format is unknown.
        DataError: the input cannot be read, or a row has no text.
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
            contents = [_text_of(row, column, number + offset) for offset, row in enumerate(chunk)]
            number += len(chunk)
            for row, result in zip(chunk, classifier.predict(contents, label=bar), strict=True):
                write(row, result)


def _input_rows(texts: Sequence[str] | None, source: Path | None) -> Iterator[Row]:
    if texts:
        return iter([{"text": text} for text in texts])
    if source is not None:
        return read_source(str(source))
    if sys.stdin.isatty():
        raise ConfigError("nothing to label: give texts, --input FILE, or pipe one text a line")
    return ({"text": line.rstrip("\r\n")} for line in sys.stdin if line.strip())


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
        raise DataError(f"row {number} of the input: column {column!r} holds {type(text).__name__}, expected a text")
    return text


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
        yield sys.stdout
        return
    try:
        handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        Path(name).chmod(0o644)
        Path(name).replace(output)
    finally:
        Path(name).unlink(missing_ok=True)


def _writer(file: TextIO, written: str) -> Any:
    """Return a function that writes one row with its result."""
    if written == "plain":
        return lambda row, result: print(f"{result['label']}\t{result['score']:.4f}\t{row['text']}", file=file)
    if written == "jsonl":
        return lambda row, result: print(json.dumps(_merged(row, result), ensure_ascii=False, default=str), file=file)
    table: list[Any] = []

    def write(row: Row, result: dict[str, Any]) -> None:
        flat = {name: value for name, value in result.items() if name != "probabilities"}
        flat |= {f"probability_{name}": f"{score:.6f}" for name, score in result["probabilities"].items()}
        merged = _merged(row, flat)
        if not table:
            table.append(csv.DictWriter(file, list(merged), delimiter="\t" if written == "tsv" else ","))
            table[0].writeheader()
        table[0].writerow(merged)

    return write


def _merged(row: Row, result: dict[str, Any]) -> dict[str, Any]:
    """Put a result beside a row's own columns, which keep their names and values."""
    return {**row, **{_free(name, row): value for name, value in result.items()}}


def _free(name: str, row: Row) -> str:
    return f"predicted_{name}" if name in row else name
