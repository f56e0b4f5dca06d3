"""What several unit tests share: files of rows, and one cache for what is really downloaded."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

WriteRows = Callable[..., Path]


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """Write (text, label, ...) rows as a csv file and return its path."""

    def write(
        rows: Sequence[Sequence[object]], *, name: str = "rows.csv", header: str = "text,label"
    ) -> Path:
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header.split(","))
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def real_data(downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package keep what it downloads in the tests' shared cache."""
    monkeypatch.setenv("NLP_TRANSFER_CACHE", str(downloads))
