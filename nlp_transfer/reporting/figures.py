"""The report's figures: the systems with their intervals, and what the figures of both tasks share.

What a task draws of its own stands in classification_figures.py and translation_figures.py. Drawn with
Matplotlib's objects alone, so nothing global is set or kept. The colours differ in lightness too, so that
colour-blind readers and grey prints keep them apart. Text from data is never read as a formula.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from nlp_transfer.disk import PART
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.wording import metric_of, printable

DPI = 160
WIDTH_INCHES = 9.6
BLUE, INK, GREY, LIGHT, BAND = "#0072B2", "#333333", "#6E6E6E", "#B5B5B5", "#EAF3F9"
PLAIN: dict[str, Any] = {"parse_math": False}
BOLD: dict[str, Any] = {"fontweight": "bold"}


def draw_figures(
    report: TransferReport, folder: Path, *, figures: Mapping[str, Callable[[TransferReport], Any]]
) -> list[Path]:
    """Draw systems.png and the figures that the task has of its own.

    Args:
        report: the scores.
        folder: where to; made where it does not exist.
        figures: for each file's stem what draws it.

    Returns:
        The written files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {**({"systems": systems_figure} if report.domains else {}), **figures}
    if report.content.get("mix", {}).get("points"):
        drawn["mix"] = mix_figure
    return [save_figure(draw(report), folder / f"{name}.png") for name, draw in drawn.items()]


def systems_figure(report: TransferReport) -> Any:
    """Draw the primary metric of each system with its interval: one panel for each domain."""
    names = list(report.systems)
    metric = metric_of(report.primary_metric)
    figure = new_figure(WIDTH_INCHES, 1.5 + 0.4 * len(names))
    panels = figure.subplots(1, len(report.domains), sharex=True, sharey=True, squeeze=False)[0]
    for panel, domain in zip(panels, report.domains, strict=True):
        _forest_panel(panel, report, domain)
    panels[0].set_yticks(range(len(names)), [short(name) for name in names], fontsize=11, color=INK, **PLAIN)
    for tick, name in zip(panels[0].get_yticklabels(), names, strict=True):
        if name == "adapted":
            tick.set(color=BLUE, fontweight="bold")
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    unit = f" ({metric.unit})" if metric.unit else ""
    figure.supxlabel(
        f"{metric.label}{unit} with 95% bootstrap interval over the test rows", fontsize=10.5, color=INK
    )
    return figure


def mix_figure(report: TransferReport) -> Any:
    """Draw what each mix of start and adapted weights scores on dev rows: target against source, or alone."""
    mix, metric = report.content["mix"], metric_of(report.primary_metric)
    figure = new_figure(WIDTH_INCHES * 0.62, 4.0)
    panel = figure.subplots()
    two = all(point["source"] is not None for point in mix["points"])
    along = [point["source"] * metric.factor if two else point["alpha"] for point in mix["points"]]
    target = [point["target"] * metric.factor for point in mix["points"]]
    panel.plot(along, target, color=LIGHT, linewidth=1.6, zorder=2)
    for point, x, y in zip(mix["points"], along, target, strict=True):
        kept = point["alpha"] == mix["alpha"]
        panel.plot(x, y, marker="o", markersize=9 if kept else 7, color=BLUE if kept else GREY, zorder=3,
                   markeredgecolor="white")  # fmt: skip
        panel.annotate(
            f"{point['alpha']:g}{' kept' if kept else ''}", (x, y), xytext=(7, 6), textcoords="offset points",
            fontsize=10, color=BLUE if kept else INK, fontweight="bold" if kept else "normal",
        )  # fmt: skip
    unit = f" ({metric.unit})" if metric.unit else ""
    panel.set_ylabel(f"target dev {metric.label}{unit}", fontsize=10.5, color=INK)
    panel.set_xlabel(
        f"source dev {metric.label}{unit}" if two else "share of the change of the weights", fontsize=10.5,
        color=INK,
    )  # fmt: skip
    tidy(panel, grid="both")
    panel.margins(0.14)
    return figure


def _forest_panel(panel: Any, report: TransferReport, domain: str) -> None:
    """Draw one domain: a row for each system, a light line at the system that the verdict compares with."""
    name, metric = report.primary_metric, metric_of(report.primary_metric)
    for row, system in enumerate(report.systems):
        entry = report.score(system, domain, name)
        if system == "adapted":
            panel.axhspan(row - 0.5, row + 0.5, color=BAND, zorder=0, linewidth=0)
        if entry is None:
            continue
        value, low, high = (entry[part] * metric.factor for part in ("value", "low", "high"))
        colour = BLUE if system == "adapted" else GREY
        panel.plot([low, high], [row, row], color=colour, linewidth=2.4, solid_capstyle="round", zorder=3)
        panel.plot(value, row, marker="o", markersize=7, color=colour, markeredgecolor="white", zorder=4)
        panel.text(
            1.02, row, metric.text(entry["value"]), transform=panel.get_yaxis_transform(), va="center",
            fontsize=10.5, color=colour if system == "adapted" else INK,
            fontweight="bold" if system == "adapted" else "normal",
        )  # fmt: skip
    against = report.verdict["against"]
    reference = report.score(against, domain, name)
    if reference is not None:
        at = reference["value"] * metric.factor
        panel.axvline(at, color=LIGHT, linewidth=1.4, linestyle=(0, (4, 3)), zorder=1)
        panel.text(
            at, 1.01, short(against), transform=panel.get_xaxis_transform(), ha="center", va="bottom",
            fontsize=9, color=GREY, **PLAIN,
        )  # fmt: skip
    panel.set_title(
        f"{domain} ({report.test_rows(domain)})", loc="left", fontsize=12, color=INK, pad=20, **BOLD
    )
    tidy(panel, grid="x")
    panel.tick_params(axis="y", length=0)
    panel.margins(x=0.06)


def new_figure(
    width: float, height: float, *, layout: Literal["constrained", "compressed"] = "constrained"
) -> Any:
    """Make an empty figure of this size in inches, drawn by Agg."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.12, h_pad=0.1)
    FigureCanvasAgg(figure)
    return figure


def tidy(panel: Any, *, grid: str) -> None:
    """Leave out frame lines that say nothing; a light grid along one axis."""
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.spines["bottom"].set_color(LIGHT)
    panel.grid(axis=grid, color="#E4E4E4", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=INK, labelsize=10)


def short(name: object, *, most: int = 18) -> str:
    """Cut a long name from data."""
    text = printable(name)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
    try:
        with os.fdopen(handle, "wb") as file:
            figure.savefig(file, format="png", dpi=DPI)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path
