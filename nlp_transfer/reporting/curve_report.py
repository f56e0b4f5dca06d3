"""A learning curve in the terminal, as Markdown and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from rich import box
from rich.console import Console
from rich.table import Table

from nlp_transfer.reporting.figures import BLUE, GREY, INK, new_figure, short, tidy
from nlp_transfer.reporting.markdown import escaped, table
from nlp_transfer.reporting.wording import metric_of, printable

# Lines that are told apart without colour too.
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)), (0, (8, 3)), (0, (3, 1)))
MARKERS = "osD^vPX"


class Curve(Protocol):
    """What is shown of a curve; `curve.LearningCurve` is one."""

    @property
    def primary_metric(self) -> str:
        """Name of the metric."""

    @property
    def points(self) -> list[dict[str, Any]]:
        """One of `{system, size, value, low, high, per_seed}` for each system and size."""

    @property
    def systems(self) -> list[str]:
        """The systems in order."""

    @property
    def sizes(self) -> list[int]:
        """The sizes in order."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""


def curve_rows(curve: Curve) -> list[list[str]]:
    """Write a row for each system: its score at each size, with the deviation over seeds, and its area."""
    metric = metric_of(curve.primary_metric)
    cells = {(point["system"], point["size"]): point for point in curve.points}
    areas = curve.as_dict()["areas"]
    rows = []
    for system in curve.systems:
        scores = [_cell(cells.get((system, size)), metric) for size in curve.sizes]
        rows.append([printable(system), *scores, metric.text(areas[system]["value"])])
    return rows


def _cell(point: dict[str, Any] | None, metric: Any) -> str:
    """Write a mean with half of its interval over rows, and over how many seeds it goes."""
    if point is None:
        return "-"
    reach = metric.text((point["high"] - point["low"]) / 2)
    return f"{metric.text(point['value'])} ±{reach} ({len(point['per_seed'])})"


def headings(curve: Curve) -> list[str]:
    """Name the columns of `curve_rows`."""
    return ["system", *(f"{size:,}" for size in curve.sizes), "area"]


def sentences(curve: Curve) -> list[str]:
    """Say what the numbers are, and what transfer saves."""
    metric = metric_of(curve.primary_metric)
    unit = f" in {metric.unit}" if metric.unit else ""
    notes = [
        f"{metric.label}{unit} on the target's test rows by target size; ± is half of the 95% interval over "
        "rows, in brackets the seeds; the area is the mean over log size."
    ]
    return notes + [finding["evidence"] for finding in curve.as_dict()["findings"]]


def curve_markdown(curve: Curve) -> str:
    """Render a curve with its table and its figure."""
    parts = [
        "# Learning curve",
        "![Scores of each system by the size of the target's training set](curve.png)",
        table(headings(curve), curve_rows(curve), numbers=len(curve.sizes) + 1),
        *(escaped(sentence) for sentence in sentences(curve)),
    ]
    return "\n\n".join(parts) + "\n"


def render_curve(curve: Curve, console: Console) -> None:
    """Print a curve's table and what it comes to."""
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place, heading in enumerate(headings(curve)):
        shown.add_column(heading, justify="left" if place == 0 else "right", no_wrap=True)
    for row in curve_rows(curve):
        shown.add_row(*row, style="bold" if row[0] == "adapted" else "")
    console.print(shown)
    for sentence in sentences(curve):
        console.print(printable(sentence), markup=False)


def curve_figure(curve: Curve) -> Any:
    """Draw each system's score over the size, with its interval over rows."""
    metric = metric_of(curve.primary_metric)
    figure = new_figure(8.6, 4.9)
    panel = figure.subplots()
    for place, system in enumerate(curve.systems):
        points = [point for point in curve.points if point["system"] == system]
        _line(panel, points, metric.factor, system, place)
    panel.set_xscale("log")
    panel.set_xticks(curve.sizes, [f"{size:,}" for size in curve.sizes], fontsize=10, color=INK)
    panel.minorticks_off()
    panel.set_xlabel("target rows that the run saw", fontsize=10.5, color=INK)
    panel.set_ylabel(f"{metric.label} {metric.unit}".strip(), fontsize=10.5, color=INK)
    panel.legend(frameon=False, fontsize=10, loc="center left", bbox_to_anchor=(1.0, 0.5))
    tidy(panel, grid="y")
    return figure


def _line(panel: Any, points: Sequence[dict[str, Any]], factor: float, system: str, place: int) -> None:
    sizes = [point["size"] for point in points]
    values, low, high = ([point[part] * factor for point in points] for part in ("value", "low", "high"))
    main = system == "adapted"
    panel.fill_between(sizes, low, high, color=BLUE if main else GREY, alpha=0.15, linewidth=0)
    dashes = "solid" if main else DASHES[place % len(DASHES)]
    panel.plot(
        sizes, values, color=BLUE if main else GREY, linestyle=dashes,
        marker=MARKERS[place % len(MARKERS)], linewidth=2.6 if main else 1.6, label=short(system),
        zorder=3 if main else 2,
    )  # fmt: skip
