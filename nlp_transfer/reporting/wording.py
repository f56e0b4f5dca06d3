"""How metrics and text from data are written, wherever a report is shown."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_DIRECTION_MARKS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@dataclass(frozen=True)
class Metric:
    """How a metric is written."""

    label: str
    factor: float = 100.0
    """What the value in the report is multiplied by."""
    unit: str = "%"
    difference_unit: str = "points"
    digits: int = 1
    lowest_is_best: bool = False

    @property
    def heading(self) -> str:
        """The label with its unit, for the head of a column."""
        return f"{self.label} {self.unit}".strip()

    def rounded(self, value: float) -> float:
        """Return the value as it is shown."""
        return round(value * self.factor, self.digits)

    def text(self, value: float | None, *, signed: bool = False) -> str:
        """Write a value, or `-` where there is none.

        >>> METRICS["accuracy"].text(0.8125), METRICS["accuracy"].text(0.03, signed=True)
        ('81.2', '+3.0')
        """
        if value is None:
            return "-"
        return format(value * self.factor, f"{'+' if signed else ''}.{self.digits}f")


METRICS = {
    "accuracy": Metric("accuracy"),
    "macro_f1": Metric("macro-F1"),
    "matthews_correlation": Metric("Matthews", factor=1.0, unit="", difference_unit="", digits=3),
    "expected_calibration_error": Metric("ECE", lowest_is_best=True),
    "chrf++": Metric("chrF++", factor=1.0, unit=""),
    "bleu": Metric("BLEU", factor=1.0, unit=""),
    "ter": Metric("TER", factor=1.0, unit="", lowest_is_best=True),
}


def metric_of(name: str) -> Metric:
    """Return how a metric is written; one that is not known is written as it comes."""
    return METRICS.get(name, Metric(name, factor=1.0, unit="", difference_unit="", digits=3))


def printable(text: object) -> str:
    """Take control characters and terminal escapes out of text from data, and put it on one line.

    >>> printable("a\\x1b[31mred\\x1b[0m" + chr(10) + "b")
    'ared b'
    """
    without_escapes = re.sub(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)", "", str(text))
    one_line = " ".join(without_escapes.split())
    # Cc: control characters; Cs: halves of a character; the rest turn the reading direction of what follows.
    return "".join(
        letter
        for letter in one_line
        if unicodedata.category(letter) not in ("Cc", "Cs") and letter not in _DIRECTION_MARKS
    )
