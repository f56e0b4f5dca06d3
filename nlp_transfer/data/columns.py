"""The columns of a file, and the rows that a recipe's `where` keeps.

What texts and labels stand in them is left to labels.py and unlabelled.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice

from nlp_transfer.config import Label
from nlp_transfer.data.tables import Row
from nlp_transfer.errors import did_you_mean

# A row of JSON lines may lack a column that others have: the first ones together tell which there are.
FIRST_ROWS = 100
# Values of a column that are remembered for a message, and how much of each.
MAX_VALUES, MAX_VALUE_CHARACTERS = 1_000, 40


def columns_of(rows: Iterator[Row]) -> tuple[list[str], Iterator[Row]]:
    """Return the columns of the first rows, and the rows with these before the others.

    >>> columns, rows = columns_of(iter([{"text": "a"}, {"text": "b", "label": 1}]))
    >>> columns, len(list(rows))
    (['text', 'label'], 2)
    """
    first = list(islice(rows, FIRST_ROWS))
    return list(dict.fromkeys(column for row in first for column in row)), chain(first, rows)


class Where:
    """Keeps the rows whose columns have the wanted values, and remembers which others there were.

    Args:
        wanted: each column's value; none keeps all rows.
    """

    def __init__(self, wanted: Mapping[str, Label] | None) -> None:
        self.wanted = {column: canonical(value) for column, value in (wanted or {}).items()}
        self.seen: dict[str, set[str]] = {column: set() for column in self.wanted}
        self.kept = 0

    def keeps(self, row: Row) -> bool:
        """Tell whether a row is kept."""
        kept = True
        for column, wanted in self.wanted.items():
            value = canonical(row.get(column))
            kept &= value == wanted
            if value == wanted or len(self.seen[column]) < MAX_VALUES:
                self.seen[column].add(value)
        self.kept += kept
        return kept

    def misses(self) -> str:
        """Word why no row was kept, with the values that there are; empty where one was, or none came."""
        if self.kept or not any(self.seen.values()):
            return ""
        for column, wanted in self.wanted.items():
            if wanted not in self.seen[column]:
                others = {value[:MAX_VALUE_CHARACTERS] for value in self.seen[column] if value}
                return f"where: no row has {wanted!r} in column {column!r}; {did_you_mean(wanted, others)}"
        return f"where: no row has all of {self.wanted} together"


def canonical(value: object) -> str:
    """Write a cell as text: 5, 5.0 and "5" are one label, True and "true" too; None and NaN are none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    return text[:-2] if re.fullmatch(r"-?\d+\.0", text) else text
