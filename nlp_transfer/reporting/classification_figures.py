"""The figures of classifications: confusion matrices, and reliability of the probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.evaluation.scores import CALIBRATION_BINS
from nlp_transfer.reporting.figures import BLUE, BOLD, GREY, INK, LIGHT, PLAIN, new_figure, short, tidy
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.wording import metric_of

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
# Above this many classes the cells are too small for numbers.
MAX_CLASSES_WITH_COUNTS = 12
# Fewer rows than this say little about a bin; it is drawn hollow.
FEW_ROWS = 20


def classification_figures(
    probabilities: Mapping[str, Array], references: Ids, *, label_names: Sequence[str]
) -> dict[str, Callable[[TransferReport], Any]]:
    """Name the figures of classifications with what draws them; none without rows.

    Args:
        probabilities: for each system its predictions on the target's test rows, shape (rows, classes);
            `adapted` among them.
        references: true class ids of these rows, shape (rows,).
        label_names: names of the classes.
    """
    if not len(references):
        return {}
    shown = {name: probabilities[name] for name in ("zero_shot", "adapted") if name in probabilities}
    return {
        "confusion": lambda report: confusion_figure(shown, references, label_names=label_names),
        "reliability": lambda report: reliability_figure(report, probabilities["adapted"], references),
    }


def confusion_figure(systems: Mapping[str, Array], references: Ids, *, label_names: Sequence[str]) -> Any:
    """Draw confusion matrices side by side.

    Args:
        systems: for each system its probabilities, shape (rows, classes).
        references: true class ids, shape (rows,).
        label_names: names of the classes; ids stand in for missing ones.
    """
    classes = next(iter(systems.values())).shape[1]
    labels = [short(label_names[each] if each < len(label_names) else each) for each in range(classes)]
    figure = new_figure(*_confusion_inches(labels, panels=len(systems)), layout="compressed")
    panels = figure.subplots(1, len(systems), sharey=True, squeeze=False)[0]
    image = None
    for panel, (name, probabilities) in zip(panels, systems.items(), strict=True):
        image = _confusion_panel(panel, _confusion(probabilities, references), labels)
        panel.set_title(short(name), fontsize=12, color=BLUE if name == "adapted" else INK, **BOLD, **PLAIN)
        panel.set_xlabel("predicted", fontsize=10.5, color=INK)
    panels[0].set_ylabel("true", fontsize=10.5, color=INK)
    if classes > MAX_CLASSES_WITH_COUNTS:
        figure.colorbar(image, ax=list(panels), aspect=30, pad=0.02, ticks=[0, 0.5, 1]).outline.set_visible(
            False
        )
    rows = "" if classes > MAX_CLASSES_WITH_COUNTS else ", and rows"
    title = f"target (n = {len(references):,}): share of each true class{rows}"
    figure.suptitle(title, fontsize=10.5, color=INK)
    return figure


def _confusion_inches(labels: Sequence[str], *, panels: int) -> tuple[float, float]:
    """Find the size that leaves the labels their room: 0.09 inches a letter at 10 points."""
    side = min(max(2.5, 0.72 * len(labels)), 6.5)
    letters = max(len(label) for label in labels)
    slanted_height = 0.06 * letters + 0.15 if _slanted(labels) else 0.0
    return 0.75 + 0.09 * letters + (side + 0.25) * panels, side + 1.4 + slanted_height


def _confusion(probabilities: Array, references: Ids) -> Ids:
    """Count rows by true and predicted class, shape (classes, classes)."""
    classes = probabilities.shape[1]
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (references, probabilities.argmax(axis=1)), 1)
    return counts


def _confusion_panel(panel: Any, counts: Ids, labels: Sequence[str]) -> Any:
    """Draw one matrix: colour is the share of the true class, cells hold the share and the count."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    slant: dict[str, Any] = (
        {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if _slanted(labels) else {}
    )
    panel.set_xticks(range(len(labels)), labels, fontsize=10, color=INK, **slant, **PLAIN)
    panel.set_yticks(range(len(labels)), labels, fontsize=10, color=INK, **PLAIN)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    if len(labels) <= MAX_CLASSES_WITH_COUNTS:
        for (true, predicted), share in np.ndenumerate(shares):
            panel.text(
                predicted, true, f"{share:.0%}\n{counts[true, predicted]:,}", ha="center", va="center",
                fontsize=11 if len(labels) <= 4 else 8.5, color="white" if share > 0.67 else INK,
            )  # fmt: skip
    return image


def _slanted(labels: Sequence[str]) -> bool:
    """Tell whether the labels are too long to stand side by side."""
    return len(labels) > 3 or max(len(label) for label in labels) > 14


def reliability_figure(report: TransferReport, probabilities: Array, references: Ids) -> Any:
    """Draw accuracy against confidence over equal-width bins, above a histogram of the confidences.

    The bins are those of the expected calibration error (Guo et al. 2017, figure 1), the bars Wilson's
    intervals of a share (1927).

    Args:
        report: for the calibration error in the title.
        probabilities: of `adapted`, shape (rows, classes).
        references: true class ids, shape (rows,).
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == references
    edges = np.linspace(0, 100, CALIBRATION_BINS + 1)
    lowest = float(edges[edges <= 100 / probabilities.shape[1] + 1e-9].max())
    figure = new_figure(5.8, 6.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    above.plot([0, 100], [0, 100], color=LIGHT, linewidth=1.4, linestyle=(0, (4, 3)), zorder=1)
    lowest_bar = _reliability_points(above, confidence, correct)
    below.hist(100 * confidence.clip(max=1), bins=list(edges), color=BLUE, edgecolor="white", linewidth=1)
    above.set(ylim=(10 * np.floor(min(lowest, lowest_bar) / 10), 102), xlim=(lowest, 100.5))
    above.set_ylabel("accuracy (%)", fontsize=10.5, color=INK)
    below.set_ylabel("rows", fontsize=10.5, color=INK)
    below.set_xlabel("confidence: the highest probability (%)", fontsize=10.5, color=INK)
    above.set_title(
        "dashed: as sure as it is right; below it: too sure\n"
        f"bars: 95% Wilson intervals; hollow: fewer than {FEW_ROWS} rows",
        loc="left", fontsize=9, color=GREY,
    )  # fmt: skip
    figure.suptitle(_reliability_title(report, len(references)), fontsize=11.5, color=INK, **BOLD)
    for panel in (above, below):
        tidy(panel, grid="y")
    return figure


def _reliability_points(panel: Any, confidence: Array, correct: npt.NDArray[np.bool_]) -> float:
    """Draw a point with its interval for each bin that holds rows; return the lowest end of them, in %."""
    from scipy import stats

    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    ends = []
    for number in np.unique(bins):
        inside = bins == number
        rows, hits = int(inside.sum()), int(correct[inside].sum())
        low, high = stats.binomtest(hits, rows).proportion_ci(method="wilson")
        at = 100 * float(confidence[inside].mean())
        fill = "white" if rows < FEW_ROWS else BLUE
        panel.plot([at, at], [100 * low, 100 * high], color=BLUE, linewidth=2, alpha=0.45, zorder=2)
        panel.plot(at, 100 * hits / rows, "o", markersize=7, color=BLUE, markerfacecolor=fill, zorder=3)
        ends.append(100 * float(low))
    return min(ends)


def _reliability_title(report: TransferReport, rows: int) -> str:
    """Name what is drawn, with the calibration error where the report has it."""
    title = f"adapted on target (n = {rows:,})"
    entry = report.score("adapted", "target", "expected_calibration_error")
    if entry is None:
        return title
    value, low, high = (
        metric_of("expected_calibration_error").text(entry[part]) for part in ("value", "low", "high")
    )
    return f"{title}: ECE {value}% ({low} to {high})"
