"""The figure of translations: chrF++ by length of the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nlp_transfer.evaluation.lengths import LengthBin, chrf_by_length
from nlp_transfer.reporting.figures import BLUE, BOLD, GREY, INK, new_figure, tidy
from nlp_transfer.reporting.report import TransferReport

# From what is drawn first to what lies on top; Okabe and Ito's colours, with a marker each.
STYLES = {
    "copy": (GREY, "D"),
    "scratch": ("#D55E00", "s"),
    "zero_shot": ("#B8860B", "^"),
    "adapted": (BLUE, "o"),
}
# Points of one bin stand this far apart, in widths of a bin.
APART = 0.07
# The least distance of two names at the right, as a share of the height: a line of 10 points has 0.05.
LINE = 0.062


def translation_figures(
    translations: Mapping[str, Sequence[str]], references: Sequence[str], sources: Sequence[str]
) -> dict[str, Callable[[TransferReport], Any]]:
    """Name the figures of translations with what draws them.

    Args:
        translations: for each system its translations of the target's test rows; `copy`, `scratch`,
            `zero_shot` and `adapted` are drawn where they are given.
        references: of these rows.
        sources: of these rows.
    """
    shown = {name: translations[name] for name in STYLES if name in translations}
    if not shown or not len(references):
        return {}
    return {"lengths": lambda report: lengths_figure(chrf_by_length(shown, references, sources))}


def lengths_figure(bins: Sequence[LengthBin]) -> Any:
    """Draw each system's chrF++ over the bins, with intervals and the rows of each bin."""
    figure = new_figure(8.6, 4.9)
    panel = figure.subplots()
    systems = list(bins[0].scores)
    for place, system in enumerate(systems):
        _system_line(panel, bins, system, shift=APART * (place - (len(systems) - 1) / 2))
    top = max(high for each in bins for _, _, high in each.scores.values())
    panel.set(ylim=(0, min(102.0, 1.08 * top + 1)), xlim=(-0.45, len(bins) - 0.2))
    _name_lines(panel, bins)
    labels = [f"{_span(each)}\nn = {each.n:,}" for each in bins]
    panel.set_xticks(range(len(bins)), labels, fontsize=10, color=INK)
    panel.set_xlabel("length of the source, in characters", fontsize=10.5, color=INK, labelpad=8)
    panel.set_ylabel("chrF++", fontsize=10.5, color=INK)
    rows = sum(each.n for each in bins)
    panel.set_title(
        f"target (n = {rows:,}): chrF++ by length of the source", loc="left", fontsize=12, color=INK,
        pad=24, **BOLD,
    )  # fmt: skip
    panel.text(
        0, 1.02, "corpus chrF++ of the rows in each bin; bars: 95% bootstrap intervals over them",
        transform=panel.transAxes, va="bottom", fontsize=9, color=GREY,
    )  # fmt: skip
    tidy(panel, grid="y")
    panel.tick_params(axis="x", length=0)
    return figure


def _system_line(panel: Any, bins: Sequence[LengthBin], system: str, *, shift: float) -> None:
    """Draw one system: a line over the bins, a bar for each interval."""
    colour, marker = STYLES[system]
    at = np.arange(len(bins)) + shift
    values, low, high = np.asarray([each.scores[system] for each in bins]).T
    main = system == "adapted"
    panel.vlines(at, low, high, color=colour, linewidth=2, alpha=0.5, zorder=2)
    panel.plot(
        at, values, color=colour, marker=marker, markersize=7 if main else 6, markeredgecolor="white",
        linewidth=2.2 if main else 1.4, zorder=4 if main else 3,
    )  # fmt: skip


def _name_lines(panel: Any, bins: Sequence[LengthBin]) -> None:
    """Write each system's name behind its last point, where two would meet one above the other."""
    height = panel.get_ylim()[1]
    least = LINE * height
    last = sorted((value, name) for name, (value, _, _) in bins[-1].scores.items())
    at = -0.4 * least
    # From the lowest up, above the axis; what is still to come must fit under the top.
    for left, (value, name) in zip(range(len(last), 0, -1), last, strict=True):
        at = min(max(value, at + least), height - least * (left - 0.5))
        panel.text(
            len(bins) - 1 + 3 * APART, at, name, va="center", fontsize=10.5, color=STYLES[name][0],
            fontweight="bold" if name == "adapted" else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip


def _span(each: LengthBin) -> str:
    """Write the lengths of a bin."""
    return str(each.shortest) if each.shortest == each.longest else f"{each.shortest}–{each.longest}"
