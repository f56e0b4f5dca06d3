"""Predictions for files and streams: read rows, label them chunk by chunk, write them with their other
columns.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlp_transfer.errors import ModelError, for_terminal
from nlp_transfer.inference.results_out import TABLE_FORMATS, Result, opened, output_format, row_writer
from nlp_transfer.inference.texts_in import read_texts

logger = logging.getLogger(__name__)


def predict_documents(
    model: str,
    *,
    texts: Sequence[str] | None,
    source: Path | None,
    output: Path | None,
    text_column: str | None,
    revision: str | None,
    as_json: bool,
    runtime: str | None = None,
) -> None:
    """Label texts from arguments, a file or stdin, and write them to a file or stdout.

    A csv, tsv or jsonl result keeps the input's columns and adds `label`, `score` and one
    `probability_<class>` a class (a taken name gets `predicted_` before it). A file is written whole or not
    at all.

    Raises:
        ConfigError: both texts and a file were given, or the output's format is unknown.
        DataError: the input cannot be read, a row has no text, or the output's format cannot hold a row.
        ModelError: there is no such model, or it translates.
    """
    written = output_format(output, source, as_json=as_json, written=TABLE_FORMATS, what="predictions")
    given = read_texts(texts, source, text_column=text_column, purpose="label")
    from nlp_transfer.inference.load import load_adapted

    classifier: Any = load_adapted(model, revision=revision, runtime=runtime)
    if not hasattr(classifier, "predict"):
        raise ModelError(f"{model} is a translation model; use `nlp-transfer translate`")
    bar = "predict" if source is not None and sys.stderr.isatty() else None
    with opened(output) as file:
        write = row_writer(file, written, plain=_listed, flat=prediction_columns)
        done = blank = 0
        for _, rows, contents in given.chunks():
            for row, result in zip(rows, classifier.predict(contents, label=bar), strict=True):
                write(row, result)
            done += len(rows)
            blank += sum(not text.strip() for text in contents)
    if blank:
        logger.warning("%s blank text(s) were labelled too: what is said of them means nothing", f"{blank:,}")
    if output is not None:
        logger.info("%s rows labelled: %s", f"{done:,}", output)


def _listed(row: dict[str, Any], result: Result) -> str:
    line = f"{result['label']}\t{result['score']:.4f}\t{row['text']}"
    return for_terminal(line) if sys.stdout.isatty() else line


def prediction_columns(result: Result) -> Result:
    """Lay a prediction out in columns: one a class instead of a dictionary of probabilities."""
    columns = {name: value for name, value in result.items() if name != "probabilities"}
    return columns | {
        f"probability_{name}": f"{score:.6f}" for name, score in result["probabilities"].items()
    }
