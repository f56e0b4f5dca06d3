"""Words what mends labels that are none of the known classes: the map, with a class guessed for each.

Which labels those are is left to labels.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

MAX_SHOWN = 10
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
