"""Words what mends labels that are none of the known classes: the map, with a class guessed for each.

Which labels those are is left to labels.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

MAX_SHOWN = 10
# So many classes are taken as they come. More are taken where they have two rows each, to learn and to test,
# and no fractions: data sets of intents have 150 classes, a column of texts has nearly one a row.
MAX_UNQUESTIONED = 20
NOT_CLASSES = (
    "label_bins makes ranges of numbers to classes, label_map joins labels, label_column takes another column"
)
CLASS_IDS = "Numbers are class ids only where they begin at 0 and the label map names no class for others. "


def map_advice(domain: str, unknown: Iterable[str], allowed: Sequence[str], *, look_like_ids: bool) -> str:
    """Word the label map that would mend unknown labels.

    Args:
        domain: `source` or `target`.
        unknown: the labels.
        allowed: the known classes.
        look_like_ids: the labels are numbers that classes have, and were not taken for class ids.
    """
    labels = sorted(unknown, key=numbers_first)
    shown = labels[:MAX_SHOWN]
    listing = ", ".join(f"{label}: {nearest(label, labels, allowed)}" for label in shown)
    more = "" if len(labels) == len(shown) else f" and {len(labels) - len(shown)} more"
    key = "data.label_map" if domain == "target" else f"data.{domain}.label_map"
    return (
        f"data.{domain}: the label(s) {', '.join(shown)}{more} are none of the known ones "
        f"({', '.join(allowed)}). {CLASS_IDS if look_like_ids else ''}Map them, with null for rows to leave "
        f"out, for example\n  {key}: {{{listing}{', ...' if more else ''}}}"
        + (f"\nSo many labels look like a number or a text: {NOT_CLASSES}" if more else "")
    )


def doubtful_classes(labels: Sequence[str], rows: int) -> str | None:
    """Say why labels look like a number or a text and not like classes; None where they do not.

    Args:
        labels: the different ones.
        rows: how many rows have them.
    """
    if len(labels) <= MAX_UNQUESTIONED:
        return None
    numbers = [_number(label) for label in labels]
    fractions = all(number is not None for number in numbers) and any(
        number % 1 for number in numbers if number
    )
    if not fractions and rows >= 2 * len(labels):
        return None
    kind = "a number" if None not in numbers else "a text"
    return (
        f"its label column has {len(labels):,} different values in {rows:,} rows ({', '.join(labels[:3])}, "
        f"...): it looks like {kind}, not like classes; {NOT_CLASSES}"
    )


def nearest(label: str, labels: Sequence[str], allowed: Sequence[str]) -> str:
    """Guess a class for an unknown label: by its beginning, or by its number's side of the middle of all."""
    for name in allowed:
        if name.lower().startswith(label.lower()[:3]):
            return name
    number = _number(label)
    if number is not None and {"negative", "positive"} <= set(allowed):
        numbers = [other for other in map(_number, labels) if other is not None]
        # One number alone has no middle; taken for stars, it is above or below three.
        middle = (min(numbers) + max(numbers)) / 2 if len(numbers) > 1 else 3
        return "null" if number == middle else "negative" if number < middle else "positive"
    return "|".join(["null", *allowed])


def numbers_first(label: str) -> tuple[int, float, str]:
    """Sort labels: numbers by their value, then words."""
    number = _number(label)
    return (1, 0.0, label) if number is None else (0, number, label)


def _number(label: str) -> float | None:
    try:
        number = float(label)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
