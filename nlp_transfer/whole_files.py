"""Files and folders that are written whole or not at all: nothing half-written is ever taken for good."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from nlp_transfer.disk import PART, sync_files


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a temporary file to write, which takes the place of `path` when the body ends without an error.

    It reaches the disk first; what a killed run leaves of it is swept away by the next one.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode("utf-8", "surrogatepass"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill, which takes the place of `path` when the body ends without an
    error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART))
    part, before = room / "new", room / "before"
    try:
        part.mkdir(mode=0o755)
        yield part
        sync_files(part)
        if path.exists():
            path.replace(before)
        try:
            part.replace(path)
        except OSError:
            if before.exists():
                before.replace(path)
            raise
    finally:
        shutil.rmtree(room, ignore_errors=True)
