"""Several runs side by side: in the terminal, as plain values, and as a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as TerminalTable
from rich.text import Text

from nlp_transfer.disk import require_folder_of
from nlp_transfer.errors import ConfigError
from nlp_transfer.reporting import cells, plots, tables
from nlp_transfer.reporting.cells import NONE, SECONDS, Cell, Column, Row, Table
from nlp_transfer.reporting.html import render
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.wording import metric_of, printable
from nlp_transfer.whole_files import write_text


@dataclass(frozen=True)
class SideBySide:
    """Runs on the same test rows, and how their adapted models differ.

    `differences` are entries of a report's `comparisons` between runs; those of the primary metric also hold
    `noise_low`, `noise_high` (over rows and seeds together) and `seed_noise`.
    """

    runs: dict[str, TransferReport]
    domains: list[str]
    differences: list[dict[str, Any]]
    settings: dict[str, list[Any]]
    """The settings that are not the same in all runs, with the value of each."""
    notes: list[str]

    @property
    def primary_metric(self) -> str:
        """Name of the metric that the runs are judged by."""
        return next(iter(self.runs.values())).primary_metric

    @property
    def judged(self) -> list[dict[str, Any]]:
        """The differences on the target by the primary metric, each two runs once."""
        return [
            each
            for each in self.differences
            if each["domain"] == "target" and each["metric"] == self.primary_metric
        ]

    @cached_property
    def best(self) -> str:
        """Name of the run with the best score on the target; the first of equals."""
        sign = -1 if metric_of(self.primary_metric).lowest_is_best else 1
        return max(
            self.runs, key=lambda name: sign * (self._score(name, "target") or {"value": -1e9})["value"]
        )

    @cached_property
    def sentence(self) -> str:
        """Say which run scores best and over which others that is more than noise."""
        metric, entry = metric_of(self.primary_metric), self._score(self.best, "target")
        if entry is None:
            return "No run has a score on the target."
        others: dict[bool, list[str]] = {True: [], False: []}
        for each in self.judged:
            if self.best in (each["system"], each["against"]):
                other = each["against"] if each["system"] == self.best else each["system"]
                others[judgement(each) == f"{self.best} is better"].append(other)
        parts = [
            f"beyond row noise and seed noise above {_listed(others[True])}" if others[True] else "",
            f"no evidence of a difference from {_listed(others[False])}" if others[False] else "",
        ]
        unit = "%" if metric.unit == "%" else ""
        return (
            f"{self.best} scores best: {metric.label} {metric.text(entry['value'])}{unit} on {entry['n']:,} "
            f"target test rows, {'; '.join(filter(None, parts))}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        scores = {name: {domain: self._score(name, domain) for domain in self.domains} for name in self.runs}
        return {
            "sentence": self.sentence,
            "primary_metric": self.primary_metric,
            "runs": scores,
            "differences": [each | {"judgement": judgement(each)} for each in self.differences],
            "settings": {
                key: dict(zip(self.runs, values, strict=True)) for key, values in self.settings.items()
            },
            "notes": self.notes,
        }

    def _score(self, name: str, domain: str) -> dict[str, Any] | None:
        return self.runs[name].score("adapted", domain, self.primary_metric)


def judgement(difference: dict[str, Any]) -> str:
    """Say which of two runs is better beyond noise; empty where the entry is not judged."""
    if "noise_low" not in difference:
        return ""
    sign = -1 if metric_of(difference["metric"]).lowest_is_best else 1
    if difference["noise_low"] <= 0 <= difference["noise_high"]:
        return "no evidence of a difference"
    return f"{difference['system' if sign * difference['difference'] > 0 else 'against']} is better"


def render_side_by_side(found: SideBySide, console: Console) -> None:
    """Print the runs, their differences and the settings that differ."""

    def text(words: object, style: str = "") -> Text:
        encoding = console.encoding
        return Text(printable(words).encode(encoding, "replace").decode(encoding), style=style)

    console.print(text(found.sentence, "bold"))
    console.print()
    for shown in (runs_table(found), judged_table(found), settings_table(found)):
        if not shown.rows:
            continue
        table = TerminalTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
        for column in shown.columns:
            lines = re.split(r" (?=on |labels|pairs|memory)", column.heading)
            heading = Text("\n").join(text(line) for line in lines)
            table.add_column(heading, justify="right" if column.kind == "number" else "left")
        for row in shown.rows:
            words = [_with_interval(cell) for cell in row.cells]
            table.add_row(*(text(_ascii_signs(each), "bold" if row.adapted else "") for each in words))
        console.print(table)
        console.print()
    for note in found.notes:
        console.print(text(note, "dim"))


def side_by_side_html(found: SideBySide) -> str:
    """Render the comparison as one page."""
    metric = metric_of(found.primary_metric)
    head, _, rest = found.sentence.partition(": ")
    first = next(iter(found.runs.values()))
    return render(
        "side_by_side.html.j2",
        title=f"{len(found.runs)} runs: {found.sentence}",
        eyebrow=[
            f"{first.content['task'].capitalize()} transfer",
            f"{len(found.runs)} runs on the same rows",
        ],
        headline={"large": head, "rest": rest, "long": True},
        metric=metric,
        panels=plots.interval_panels(
            {name: {domain: found._score(name, domain) for domain in found.domains} for name in found.runs},
            {domain: first.test_rows(domain) for domain in found.domains},
            metric,
            adapted=[found.best],
        ),
        runs=runs_table(found),
        judged=judged_table(found),
        settings=settings_table(found),
        systems=[systems_of_runs(found, domain) for domain in found.domains],
        differences=tables.comparisons_table(found.differences),
        notes=found.notes,
    )


def save_page(found: SideBySide, path: Path) -> None:
    """Write the comparison's page, whole or not at all.

    Raises:
        ConfigError: the file cannot be written there.
    """
    path = path.expanduser()
    require_folder_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, side_by_side_html(found))
    except OSError as error:
        raise ConfigError(f"the page cannot be written to {path}: {error}; name another file") from error


def runs_table(found: SideBySide) -> Table:
    """Show each run's adapted model: labels, scores, its own verdict and cost."""
    metric = metric_of(found.primary_metric)
    rows = []
    for name, report in found.runs.items():
        cost = (report.systems.get("adapted") or {}).get("cost") or {}
        seconds = sum(cost.get(part) or 0.0 for part in SECONDS) if cost else None
        scores = [cells.score_cell(metric, found._score(name, domain)) for domain in found.domains]
        rows.append(
            Row(
                [
                    Cell(name),
                    cells.decimal_cell(report.labels_seen("target"), digits=0),
                    *scores,
                    Cell(str(report.verdict["transfer"]).replace("_", " ")),
                    cells.decimal_cell(seconds),
                    cells.decimal_cell(cost.get("peak_rss_mb"), digits=0),
                ],
                adapted=name == found.best,
            )
        )
    first = next(iter(found.runs.values()))
    columns = [
        Column("run"),
        Column("target pairs" if first.content["task"] == "translation" else "target labels", "number"),
        *(Column(f"{metric.heading} on {domain}", "number") for domain in found.domains),
        Column("transfer"),
        Column("time, s", "number"),
        Column("peak memory, MB", "number"),
    ]
    return Table("", columns, rows)


def judged_table(found: SideBySide) -> Table:
    """Show the difference of each two runs on the target, with row noise and seed noise, and what follows."""
    metric = metric_of(found.primary_metric)
    rows = [
        Row(
            [
                Cell(each["system"]),
                Cell(each["against"]),
                Cell(
                    plots.minus(metric.text(each["difference"], signed=True)),
                    sort=each["difference"],
                    beside=" to ".join(
                        plots.minus(metric.text(each[end], signed=True))
                        for end in ("noise_low", "noise_high")
                    ),
                ),
                Cell(each["seed_noise"]),
                Cell(judgement(each)),
            ]
        )
        for each in found.judged
    ]
    columns = [
        Column("run"), Column("against"),
        Column(f"difference, {metric.difference_unit or metric.label}", "number"),
        Column("seed noise"), Column("so"),
    ]  # fmt: skip
    return Table("", columns, rows)


def settings_table(found: SideBySide) -> Table:
    """Show the settings that differ: a column for each run."""
    rows = [
        Row([Cell(key), *(NONE if value is None else Cell(str(value)) for value in values)])
        for key, values in found.settings.items()
    ]
    return Table("", [Column("setting"), *(Column(name, "words") for name in found.runs)], rows)


def systems_of_runs(found: SideBySide, domain: str) -> Table:
    """Show every system of every run on one domain: a column for each run."""
    metric = metric_of(found.primary_metric)
    systems = dict.fromkeys(name for report in found.runs.values() for name in report.systems)
    rows = [
        Row(
            [
                Cell(system),
                *(
                    cells.score_cell(metric, report.score(system, domain, found.primary_metric))
                    for report in found.runs.values()
                ),
            ],
            adapted=system == "adapted",
        )
        for system in systems
    ]
    caption = f"{metric.heading} on {domain}"
    return Table(caption, [Column("system"), *(Column(name, "number") for name in found.runs)], rows)


def _listed(names: Sequence[str]) -> str:
    """Join names as in a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _with_interval(cell: Cell) -> str:
    """Write a cell with what stands beside it, for a terminal."""
    beside = f"({cell.beside})" if cell.beside and not cell.narrow else cell.narrow
    return f"{cell.text} {beside}".rstrip()


def _ascii_signs(text: str) -> str:
    """Write signs as every terminal knows them."""
    return text.replace("−", "-").replace("–", "-").replace("±", "+-")
