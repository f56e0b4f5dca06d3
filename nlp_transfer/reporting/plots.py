"""Where things stand in the page's figures: percent of the width across, pixels down.

The templates draw them as SVG inside the page, whose style sheet gives colours and sizes: so they follow dark
and light, and their letters keep their size on a narrow screen. The PNG files are figures.py's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlp_transfer.reporting.wording import Metric, printable

ROW_PIXELS = 34
TOP_PIXELS = 26
AXIS_PIXELS = 24
# Shapes and dashes of macros.html.j2 and page.css beside the adapted model's: one for each system of a task.
OTHER_LOOKS = 6
CURVES_PIXELS = 300
MAX_TICKS = 6
# Names longer than this are cut in figures; the tables have them whole.
MAX_NAME_LETTERS = 16
Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Tick:
    """A value on an axis: where it stands in percent, and how it is written."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """One score with its interval, in percent of the width; `top` is its middle in pixels."""

    name: str
    text: str
    words: str
    low: float
    at: float
    high: float
    top: float
    adapted: bool


@dataclass(frozen=True)
class Panel:
    """Scores with intervals below each other, on one domain."""

    title: str
    count: str
    marks: list[Mark]
    ticks: list[Tick]
    reference: Tick | None
    height: float

    @property
    def description(self) -> str:
        """Say all numbers of the panel in words, for those who do not see it."""
        return "; ".join(mark.words for mark in self.marks)


@dataclass(frozen=True)
class Point:
    """One point of a curve: percent across, pixels down, with the ends of its interval."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """One system's scores over training sizes; `look` numbers its dashes and its shape."""

    name: str
    points: list[Point]
    look: int
    adapted: bool

    @property
    def steps(self) -> list[tuple[Point, Point]]:
        """Return the neighbours between which a line is drawn."""
        return list(zip(self.points, self.points[1:], strict=False))


@dataclass(frozen=True)
class Curves:
    """Scores over training sizes, these on a logarithmic axis."""

    curves: list[Curve]
    sizes: list[Tick]
    scores: list[Tick]
    height: float
    description: str


class Axis:
    """A linear axis that holds these shown values, with round numbers for ticks."""

    def __init__(self, values: Sequence[float]) -> None:
        low, high = min(values), max(values)
        room = 0.04 * (high - low) or max(abs(high), 1.0) * 0.05
        self.low, self.high = low - room, high + room

    def at(self, value: float) -> float:
        """Return where a value stands, in percent."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def ticks(self) -> list[Tick]:
        """Return at most `MAX_TICKS` round values.

        >>> [tick.text for tick in Axis([50.2, 84.0]).ticks()]
        ['50', '60', '70', '80']
        """
        step = _round_step((self.high - self.low) / MAX_TICKS)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [Tick(self.at(n * step), minus(f"{n * step:.{digits}f}")) for n in range(first, last + 1)]


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, ... that is not below."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def interval_panels(
    scored: Mapping[str, Mapping[str, Entry | None]],
    counts: Mapping[str, str],
    metric: Metric,
    *,
    adapted: Sequence[str],
    reference: str | None = None,
) -> list[Panel]:
    """Place scores with intervals: one panel for each domain, all on one axis.

    Args:
        scored: for each name its score on each domain, `{value, low, high}`, or None.
        counts: for each domain, in order, how many rows it was scored on, in words.
        metric: how values are written.
        adapted: names that stand out.
        reference: the name at whose value a line is drawn.

    Returns:
        The panels of the domains on which something was scored.
    """
    entries = [entry for scores in scored.values() for entry in scores.values() if entry is not None]
    if not entries:
        return []
    axis = Axis([entry[part] * metric.factor for entry in entries for part in ("low", "value", "high")])
    panels = []
    for domain, count in counts.items():
        marks = [
            _mark(name, entry, axis, metric, row=row, adapted=name in adapted)
            for row, (name, scores) in enumerate(scored.items())
            if (entry := scores.get(domain)) is not None
        ]
        against = next((mark for mark in marks if mark.name == short(reference)), None)
        line = Tick(against.at, against.name) if against is not None else None
        height = TOP_PIXELS + ROW_PIXELS * len(scored) + AXIS_PIXELS
        panels += [Panel(domain, count, marks, axis.ticks(), line, height)] if marks else []
    return panels


def _mark(name: str, entry: Entry, axis: Axis, metric: Metric, *, row: int, adapted: bool) -> Mark:
    """Place one score in its row."""
    low, value, high = (axis.at(entry[part] * metric.factor) for part in ("low", "value", "high"))
    texts = [minus(metric.text(entry[part])) for part in ("value", "low", "high")]
    words = f"{printable(name)} {texts[0]} ({texts[1]} to {texts[2]})"
    top = TOP_PIXELS + ROW_PIXELS * (row + 0.5)
    return Mark(short(name), texts[0], words, low, value, high, top, adapted)


def learning_curves(points: Sequence[Entry], metric: Metric) -> Curves | None:
    """Place learning curves.

    Args:
        points: `{system, size, value, low, high}` each; those without a value or a size are left out.
        metric: how values are written.

    Returns:
        The curves in the order in which their systems come first, or None where there is no point.
    """
    known = [p for p in points if p.get("value") is not None and (p.get("size") or 0) > 0]
    if not known:
        return None
    parts = ("low", "value", "high")
    axis = Axis([_end(p, part) * metric.factor for p in known for part in parts])
    sizes = sorted({int(p["size"]) for p in known})
    across = Axis([math.log(size) for size in sizes])
    systems = list(dict.fromkeys(str(p["system"]) for p in known))

    def point(given: Entry) -> Point:
        low, y, high = (_down(axis.at(_end(given, part) * metric.factor)) for part in parts)
        return Point(across.at(math.log(given["size"])), y, low, high)

    curves = [
        Curve(
            name,
            [point(p) for p in sorted(known, key=lambda p: p["size"]) if p["system"] == name],
            0 if name == "adapted" else 1 + [n for n in systems if n != "adapted"].index(name) % OTHER_LOOKS,
            name == "adapted",
        )
        for name in systems
    ]
    words = "; ".join(
        f"{printable(p['system'])} with {p['size']:,} labels: {minus(metric.text(p['value']))}" for p in known
    )
    return Curves(
        curves,
        [Tick(across.at(math.log(size)), f"{size:,}") for size in sizes],
        [Tick(_down(tick.at), tick.text) for tick in axis.ticks()],
        CURVES_PIXELS,
        words,
    )


def _end(point: Entry, part: str) -> float:
    """Return an end of a point's interval; the value itself where there is no interval."""
    return float(point["value"] if point.get(part) is None else point[part])


def _down(percent: float) -> float:
    """Turn percent upwards into pixels downwards."""
    return round(CURVES_PIXELS * (100 - percent) / 100, 2)


def difference_lane(difference: Entry, *, reach: float) -> dict[str, float] | None:
    """Place a difference with its interval on an axis from -`reach` to +`reach`, in percent."""
    if not reach or any(difference[part] is None for part in ("low", "difference", "high")):
        return None
    low, at, high = (round(50 + 50 * difference[part] / reach, 2) for part in ("low", "difference", "high"))
    return {"low": low, "at": at, "high": high}


def short(name: object) -> str:
    """Cut a long name from data."""
    text = printable(name)
    return text if len(text) <= MAX_NAME_LETTERS else f"{text[: MAX_NAME_LETTERS - 1]}…"


def minus(number: str) -> str:
    """Write a number's sign as a minus, which is as wide as a plus; `-` alone, for no number, as a dash.

    >>> minus("-0.5"), minus("-")
    ('−0.5', '–')
    """
    return "–" if number == "-" else number.replace("-", "−")
