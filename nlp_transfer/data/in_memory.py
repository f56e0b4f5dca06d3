"""Rows that a Python program holds, kept as a file in the cache: what reads files reads them too.

The file is named by the hash of its rows: the same rows are the same recipe, and a run that is started again
with them goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nlp_transfer.data.sources import cache_dir
from nlp_transfer.data.tables import named_classes
from nlp_transfer.disk import write_failures_told
from nlp_transfer.errors import DataError

# Names that splits have elsewhere, and ours.
SPLITS = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "test": "test"}


def kept_domain(name: str, rows: Any) -> dict[str, Any]:
    """Keep a domain's rows and return where a recipe finds them, as `path` or as `splits`.

    Args:
        name: `source` or `target`, for messages.
        rows: a `datasets.Dataset`, a `pandas.DataFrame` or an iterable of mappings; or a mapping of such by
            split (a `datasets.DatasetDict`).

    Raises:
        DataError: it is none of these, a split has another name, or a row is no mapping.
    """
    if not isinstance(rows, Mapping):
        return {"path": str(_kept_rows(name, rows))}
    if unknown := [split for split in rows if split not in SPLITS]:
        raise DataError(f"data.{name}: splits are {', '.join(SPLITS)}, not {', '.join(map(str, unknown))}")
    return {
        "splits": {SPLITS[split]: str(_kept_rows(f"{name}, {split}", each)) for split, each in rows.items()}
    }


def _kept_rows(name: str, rows: Any) -> Path:
    """Write rows as JSON lines into the cache, whole or not at all."""
    folder = cache_dir() / "rows"
    digest = hashlib.blake2b(digest_size=16)
    with write_failures_told(
        f"the rows of data.{name} cannot be kept in {folder}", "NLP_TRANSFER_CACHE names another folder"
    ):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=folder, suffix=".part", delete=False) as file:
            part = Path(file.name)
            try:
                for row in _mappings(name, rows):
                    line = json.dumps(row, default=str).encode() + b"\n"
                    digest.update(line)
                    file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return part.replace(folder / f"{digest.hexdigest()}.jsonl")


def _mappings(name: str, rows: Any) -> Iterator[Mapping[str, Any]]:
    """Yield each row with its columns by name, class ids of a data set replaced by their names."""
    found: Any
    # A table first: a column of it may be called `features`.
    if hasattr(rows, "to_dict") and hasattr(rows, "iloc"):
        found = rows.to_dict("records")
    elif hasattr(rows, "features"):
        found = named_classes(rows)
    elif isinstance(rows, Iterable) and not isinstance(rows, (str, bytes)):
        found = rows
    else:
        raise DataError(
            f"data.{name}: give a datasets.Dataset, a pandas.DataFrame or rows as dictionaries, not "
            f"{type(rows).__name__}; a file is named in the recipe, by path"
        )
    for number, row in enumerate(found):
        if not isinstance(row, Mapping):
            raise DataError(
                f"data.{name}: row {number} is a {type(row).__name__}, expected a dictionary with columns"
            )
        yield {str(column): value for column, value in row.items()}
