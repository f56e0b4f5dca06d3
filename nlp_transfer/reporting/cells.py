"""What a table on a page is made of: what stands in a cell, what it is sorted by, what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nlp_transfer.reporting.plots import minus
from nlp_transfer.reporting.wording import Metric

SECONDS = ("seconds", "selection_seconds", "source_seconds")


@dataclass(frozen=True)
class Cell:
    """One cell."""

    text: str
    sort: float | str | None = None
    """What the column is sorted by instead of the text; empty for what comes last in both directions."""
    beside: str = ""
    narrow: str = ""
    """What stands beside it where there is little room; without it, `beside` does."""
    below: str = ""
    best: bool = False
    light: str = ""
    lane: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Column:
    """A column's heading, and whether it holds a `number`, `words` (a sentence), `prose` or a `name`."""

    heading: str
    kind: str = "name"


@dataclass(frozen=True)
class Row:
    """One row; `adapted` ones stand out."""

    cells: Sequence[Cell]
    adapted: bool = False


@dataclass(frozen=True)
class Table:
    """A table; a folded one becomes a list of cards on a narrow screen, the others scroll in their frame."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row] = field(default_factory=list)
    folded: bool = False


NONE = Cell("–", sort="")


def score_cell(metric: Metric, entry: Mapping[str, Any] | None, *, best: bool = False) -> Cell:
    """Write a score with its interval; a dash where it was not measured."""
    if entry is None:
        return NONE
    value, low, high = (minus(metric.text(entry[part])) for part in ("value", "low", "high"))
    reach = f"±{metric.text((entry['high'] - entry['low']) / 2)}"
    return Cell(value, sort=entry["value"], beside=f"{low} to {high}", narrow=reach, best=best)


def decimal_cell(value: float | None, *, digits: int = 1) -> Cell:
    """Write a number with separators and as many decimals."""
    return NONE if value is None else Cell(minus(f"{value:,.{digits}f}"), sort=value)


def p_cell(value: float | None) -> Cell:
    """Write a p value; below a thousandth only that it is."""
    return NONE if value is None else Cell("< 0.001" if value < 0.001 else f"{value:.3f}", sort=value)
