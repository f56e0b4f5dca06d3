"""Learning curves: the same recipe at several target sizes and seeds, and what transfer saves in labels.

Each size is a run of its own in `<output_dir>/size-<n>`, so that a curve that was stopped goes on where it
was; the source model and cached encodings are shared. How curves are summed up stands in
diagnostics/learning_curves.py.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlp_transfer.config import RecipeConfig
from nlp_transfer.diagnostics.estimates import Estimate
from nlp_transfer.diagnostics.learning_curves import (
    LabelsSaved,
    area_under_curve,
    labels_saved,
    labels_saved_finding,
)
from nlp_transfer.diagnostics.transfer import gap_closed, gap_closed_finding
from nlp_transfer.errors import ConfigError, DataError
from nlp_transfer.evaluation.predicted import predictions_folder, read_predicted
from nlp_transfer.findings import Finding
from nlp_transfer.recipes_by_task import recipe_class
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.whole_files import write_json, write_text

if TYPE_CHECKING:
    from nlp_transfer.recipe import TransferRecipe

logger = logging.getLogger(__name__)
# What a task's curve is held against: the system that learns from the target alone.
AGAINST = {"sentiment": ("target_only", "scratch"), "translation": ("scratch",)}


@dataclass(frozen=True)
class LearningCurve:
    """Scores of all systems at all sizes, and what they come to."""

    task: str
    primary_metric: str
    points: list[dict[str, Any]]
    """One of `{system, size, value, low, high, n, per_seed}` for each system and size."""
    areas: dict[str, Estimate]
    """For each system the area under its curve over log size."""
    saved: LabelsSaved | None
    """None where the system without transfer was not run."""
    closed: dict[int, Estimate] = field(default_factory=dict)
    """For each size but the largest the share of the gap that adaptation closed between the source model and
    the one that learnt from the target alone at the largest. Sentiment."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for curve.json."""
        return {
            "schema": 1,
            "task": self.task,
            "primary_metric": self.primary_metric,
            "curves": self.points,
            "areas": {system: dataclasses.asdict(area) for system, area in self.areas.items()},
            "findings": [finding.as_dict() for finding in self._findings()],
        }

    def _findings(self) -> Iterator[Finding]:
        if self.saved is not None:
            yield labels_saved_finding(self.saved)
        for size, closed in self.closed.items():
            yield gap_closed_finding(closed, sizes=(size, self.sizes[-1]))

    def curve_of(self, system: str) -> dict[int, list[float]]:
        """Return a system's scores by size, one a seed."""
        return {point["size"]: point["per_seed"] for point in self.points if point["system"] == system}

    @property
    def systems(self) -> list[str]:
        """The systems in the order of the reports."""
        return list(dict.fromkeys(point["system"] for point in self.points))

    @property
    def sizes(self) -> list[int]:
        """The target sizes, the smallest first."""
        return sorted({point["size"] for point in self.points})


def run_curve(config: RecipeConfig, *, sizes: Sequence[int], seeds: int) -> LearningCurve:
    """Run a recipe at each size and seed; write curve.json, curve.md, curve.png and, with the curves in the
    largest run's report, report.html into its output_dir.

    Args:
        config: the recipe; its own `train_size` and `evaluation.seeds` are replaced.
        sizes: of the target's training rows.
        seeds: how many, from 0.

    Raises:
        ConfigError: no size, or no seed; or a folder holds another run.
        DataError: the target has fewer training rows than the largest size, or cannot be used.
    """
    from nlp_transfer.reporting.curve_report import curve_figure, curve_markdown
    from nlp_transfer.reporting.figures import save_figure

    if not sizes or min(sizes) < 1 or seeds < 1:
        raise ConfigError("give sizes of 1 or more and at least one seed: --sizes 16,64,256 --seeds 3")
    folder = Path(config.output_dir).expanduser()
    ordered = sorted(set(sizes))
    runs = {size: recipe_class(config.task)(_at_size(config, size=size, seeds=seeds)) for size in ordered}
    _require_runnable(folder, runs)
    reports: dict[int, TransferReport] = {}
    for place, size in enumerate(ordered):
        began = time.perf_counter()
        logger.info("curve: size %s, %d of %d", f"{size:,}", place + 1, len(ordered))
        # Let go of once it is over: it holds its data.
        reports[size] = runs.pop(size).run()
        left = (time.perf_counter() - began) * (len(ordered) - place - 1)
        if left:
            logger.info("curve: at least %.0f minutes left, if larger sizes took no longer", left / 60)
    curve = summed_up(config.task, reports)
    if config.task == "sentiment":
        curve = dataclasses.replace(curve, closed=gaps_closed(folder, curve))
    write_json(folder / "curve.json", curve.as_dict())
    save_figure(curve_figure(curve), folder / "curve.png")
    write_text(folder / "curve.md", curve_markdown(curve))
    write_text(folder / "report.html", _page(curve, reports[ordered[-1]], _at(folder, ordered[-1])))
    logger.info("the report's page with the curves: %s", folder / "report.html")
    return curve


def _require_runnable(folder: Path, runs: Mapping[int, TransferRecipe]) -> None:
    """Look at all folders and at the largest size before the first one is trained."""
    from nlp_transfer.training.processes import computed_on_main

    computed_on_main(lambda: _require_no_run(folder))
    for run in runs.values():
        run.require_own_folder()
    largest = max(runs)
    try:
        runs[largest].check()
    except DataError as error:
        raise DataError(f"at size {largest:,}: {error}") from error


def _require_no_run(folder: Path) -> None:
    """Refuse a run's folder, whose report.html would be written over."""
    if any((folder / name).exists() for name in ("config.yaml", "report.json")):
        raise ConfigError(
            f"output_dir {folder} holds a run, whose report.html the curve's would replace; give the curve "
            f"one of its own: output_dir={folder}_curve"
        )


def _page(curve: LearningCurve, report: TransferReport, run: Path) -> str:
    """Render the largest run's report with the curves, and what they come to, in it."""
    from nlp_transfer.reporting.html import report_html

    drawn = curve.as_dict()
    findings = [*report.findings, *drawn["findings"]]
    worst = run / "worst_rows.json"
    return report_html(
        TransferReport({**report.content, "curves": drawn["curves"], "findings": findings}),
        figures=sorted((run / "figures").glob("*.png")),
        worst_rows=json.loads(worst.read_text(encoding="utf-8")) if worst.is_file() else (),
    )


def _at_size(config: RecipeConfig, *, size: int, seeds: int) -> RecipeConfig:
    """Return the recipe at one size, in a folder of its own."""
    target = dataclasses.replace(config.data.target, train_size=size)
    return dataclasses.replace(
        config,
        output_dir=str(_at(Path(config.output_dir), size)),
        data=dataclasses.replace(config.data, target=target),
        evaluation=dataclasses.replace(config.evaluation, seeds=list(range(seeds))),
    )


def gaps_closed(folder: Path, curve: LearningCurve) -> dict[int, Estimate]:
    """Measure the share of the gap that each size's adapted model closes, row by row, as means over seeds."""
    *smaller, largest = curve.sizes
    systems = {(point["system"], point["size"]): len(point["per_seed"]) for point in curve.points}
    oracle = ("target_only", largest)
    if oracle not in systems or ("zero_shot", largest) not in systems:
        return {}
    right = {
        key: _right(_at(folder, key[1]), key[0], seeds=seeds)
        for key, seeds in systems.items()
        if key in (oracle, ("zero_shot", largest)) or key[0] == "adapted"
    }
    groups = read_predicted(_at(folder, largest) / "predictions" / "adapted.target.jsonl").groups
    return {
        size: gap_closed(right["adapted", size], right["zero_shot", largest], right[oracle], groups=groups)
        for size in smaller
    }


def _right(run: Path, system: str, *, seeds: int) -> npt.NDArray[np.float64]:
    """Return how often each of the target's test rows was right over the seeds, shape (rows,)."""
    found = []
    for seed in range(seeds):
        place = predictions_folder(run, seed, first=0)
        predicted = read_predicted(place / f"{system}.target.jsonl")
        labels = np.asarray([predicted.label_names.index(label) for label in predicted.labels])
        found.append(predicted.probabilities.argmax(axis=1) == labels)
    return np.asarray(np.mean(found, axis=0))


def _at(folder: Path, size: int) -> Path:
    return folder / f"size-{size}"


def summed_up(task: str, reports: dict[int, TransferReport]) -> LearningCurve:
    """Gather the target scores of finished runs by size, and sum them up."""
    primary = next(iter(reports.values())).primary_metric
    points = []
    for size, report in sorted(reports.items()):
        for system, content in report.systems.items():
            score = report.score(system, "target", primary)
            if score is not None:
                per_seed = content.get("per_seed", {}).get("target") or [score["value"]]
                points.append({"system": system, "size": size, **score, "per_seed": per_seed})
    bare = LearningCurve(task, primary, points, {}, None)
    against = next((system for system in AGAINST[task] if system in bare.systems), AGAINST[task][0])
    saved = None
    if {"adapted", against} <= set(bare.systems) and len(bare.sizes) > 1:
        saved = labels_saved(bare.curve_of("adapted"), bare.curve_of(against))
    areas = {system: area_under_curve(bare.curve_of(system)) for system in bare.systems}
    return dataclasses.replace(bare, areas=areas, saved=saved)
