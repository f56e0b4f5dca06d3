"""The tables of the report's page. The templates only draw them; numbers are worded as in the other forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nlp_transfer.reporting.cells import (
    NONE,
    SECONDS,
    Cell,
    Column,
    Row,
    Table,
    decimal_cell,
    p_cell,
    score_cell,
)
from nlp_transfer.reporting.lights import STATES, Light
from nlp_transfer.reporting.plots import difference_lane, minus
from nlp_transfer.reporting.report import UNTRAINED, TransferReport
from nlp_transfer.reporting.wording import METRICS, Metric, metric_of, printable

# A text longer than this is cut in the table of the worst errors; predictions/ has its id.
MAX_TEXT_LETTERS = 700


def metric_names(report: TransferReport) -> list[str]:
    """Return every metric that something was scored by: the primary first, then in the tables' order."""
    scored = {
        name
        for system in report.systems.values()
        for domain in report.domains
        for name in system.get(domain) or {}
    }
    order = [report.primary_metric, *METRICS, *sorted(scored)]
    return [name for name in dict.fromkeys(order) if name in scored]


def systems_table(report: TransferReport) -> Table:
    """Show each system's primary score with its interval on each domain, and what it cost."""
    metric = metric_of(report.primary_metric)
    best = {domain: _best(report, domain, metric) for domain in report.domains}
    rows = []
    for name, system in report.systems.items():
        scores = [
            score_cell(metric, report.score(name, domain, report.primary_metric), best=name in best[domain])
            for domain in report.domains
        ]
        cost = system.get("cost") or {}
        seconds = sum(cost.get(part) or 0.0 for part in SECONDS) if cost else None
        costs = [decimal_cell(seconds), decimal_cell(cost.get("peak_rss_mb"), digits=0)]
        cells = [Cell(name), *scores, *costs, Cell(report.learnt_from(name))]
        rows.append(Row(cells, adapted=name == "adapted"))
    columns = [Column("system")]
    columns += [Column(f"{metric.heading} on {domain}", "number") for domain in report.domains]
    columns += [Column("time, s", "number"), Column("peak memory, MB", "number"), Column("learnt from")]
    return Table("", columns, rows)


def _best(report: TransferReport, domain: str, metric: Metric) -> set[str]:
    """Return the trained systems with the best shown score, where two or more can be compared."""
    shown = {
        name: metric.rounded(entry["value"])
        for name in report.systems
        if name not in UNTRAINED and (entry := report.score(name, domain, report.primary_metric)) is not None
    }
    if len(shown) < 2:
        return set()
    best = min(shown.values()) if metric.lowest_is_best else max(shown.values())
    return {name for name, value in shown.items() if value == best}


def metrics_table(report: TransferReport, domain: str) -> Table:
    """Show every metric of every system on one domain."""
    names = [
        name
        for name in metric_names(report)
        if any(report.score(system, domain, name) for system in report.systems)
    ]
    rows = [
        Row(
            [
                Cell(system),
                *(score_cell(metric_of(name), report.score(system, domain, name)) for name in names),
            ],
            adapted=system == "adapted",
        )
        for system in report.systems
    ]
    columns = [Column("system"), *(Column(metric_of(name).heading, "number") for name in names)]
    return Table(f"On {domain} ({report.test_rows(domain)})", columns, rows)


def seeds_table(report: TransferReport) -> Table | None:
    """Show the primary metric at each seed, where there were several."""
    metric = metric_of(report.primary_metric)
    seeds = report.content["provenance"].get("seeds") or []
    rows = [
        Row(
            [
                Cell(system),
                Cell(domain),
                *(NONE if v is None else Cell(minus(metric.text(v)), sort=v) for v in values),
            ],
            adapted=system == "adapted",
        )
        for system, content in report.systems.items()
        for domain, values in (content.get("per_seed") or {}).items()
        if len(values) == len(seeds) > 1
    ]
    columns = [Column("system"), Column("domain"), *(Column(f"seed {seed}", "number") for seed in seeds)]
    return Table(f"{metric.heading} at each seed", columns, rows) if rows else None


def curves_table(points: Sequence[Mapping[str, Any]], metric: Metric) -> Table:
    """Show the numbers of the learning curves."""
    rows = [
        Row(
            [
                Cell(str(point["system"])),
                decimal_cell(point.get("size"), digits=0),
                score_cell(metric, point)
                if all(point.get(part) is not None for part in ("value", "low", "high"))
                else decimal_cell(None if point.get("value") is None else metric.rounded(point["value"])),
            ],
            adapted=point["system"] == "adapted",
        )
        for point in points
    ]
    columns = [Column("system"), Column("target labels", "number"), Column(metric.heading, "number")]
    return Table("", columns, rows)


def lights_table(lights: Sequence[Light]) -> Table:
    """Show each promise and risk with its light, the number behind it, evidence and advice."""
    rows = [
        Row(
            [
                Cell(light.said, below=_kind_and_check(light)),
                Cell("", sort=STATES.index(light.state), light=light.state),
                Cell(light.number, sort="" if light.value is None else light.value),
                Cell(light.held_against, sort="" if light.threshold is None else light.threshold),
                Cell(light.evidence),
                Cell(light.advice),
            ]
        )
        for light in lights
    ]
    columns = [
        Column("said of transfer", "said"), Column("light"), Column("number", "number"),
        Column("held against", "number"), Column("evidence", "words"), Column("advice", "words"),
    ]  # fmt: skip
    return Table("", columns, rows, folded=True)


def _kind_and_check(light: Light) -> str:
    """Write `risk · small test`; the check only where it says more than what is said of transfer."""
    check = light.check.replace("_", " ")
    return f"{light.kind} · {check}" if check and check != light.said.lower() else light.kind


def comparisons_table(comparisons: Sequence[Mapping[str, Any]]) -> Table:
    """Show paired differences with their intervals; those of one metric are drawn on one axis around zero."""
    reach: dict[str, float] = {}
    for each in comparisons:
        ends = [abs(each[part]) for part in ("low", "high", "difference") if each[part] is not None]
        reach[each["metric"]] = max([reach.get(each["metric"], 0.0), *ends])
    rows = [_comparison_row(each, reach=reach[each["metric"]]) for each in comparisons]
    columns = [
        Column("system"), Column("against"), Column("on"), Column("metric"), Column("difference", "number"),
        Column("around zero"), Column("p", "number"), Column("McNemar p", "number"), Column("test", "words"),
    ]  # fmt: skip
    if not any("mcnemar_p" in each for each in comparisons):
        columns.pop(-2)
        rows = [Row([*row.cells[:-2], row.cells[-1]]) for row in rows]
    return Table("", columns, rows)


def _comparison_row(comparison: Mapping[str, Any], *, reach: float) -> Row:
    metric = metric_of(comparison["metric"])
    value, low, high = (
        minus(metric.text(comparison[part], signed=True)) for part in ("difference", "low", "high")
    )
    lane: dict[str, Any] | None = difference_lane(comparison, reach=reach)
    if lane is not None:
        lane |= {"open": comparison["low"] <= 0 <= comparison["high"]}
    sort = "" if comparison["difference"] is None else comparison["difference"]
    return Row(
        [
            Cell(comparison["system"]),
            Cell(comparison["against"]),
            Cell(comparison["domain"]),
            Cell(metric.label, below=metric.difference_unit),
            Cell(value, sort=sort, beside=f"{low} to {high}"),
            Cell("", sort=sort, lane=lane),
            p_cell(comparison["p"]),
            p_cell(comparison.get("mcnemar_p")),
            Cell(comparison["test"]),
        ]
    )


def worst_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Show rows of any keys: numbers to the right, metrics as everywhere, long texts as prose."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    columns = [
        Column(
            METRICS[key].label if key in METRICS else key.replace("_", " "),
            _kind([row.get(key) for row in rows]),
        )
        for key in keys
    ]
    cells = [Row([_any_cell(row.get(key), METRICS.get(key)) for key in keys]) for row in rows]
    return Table("", columns, cells, folded=True)


def _kind(values: Iterable[object]) -> str:
    given = [value for value in values if value is not None]
    if given and all(isinstance(value, int | float) for value in given):
        return "number"
    return "prose" if max((len(str(value)) for value in given), default=0) > 24 else "name"


def _any_cell(value: object, metric: Metric | None) -> Cell:
    if value is None:
        return NONE
    if isinstance(value, float):
        return Cell(minus(metric.text(value) if metric else f"{value:.3g}"), sort=value)
    text = printable(value)
    cut = f"{text[: MAX_TEXT_LETTERS - 1].rstrip()}…" if len(text) > MAX_TEXT_LETTERS else text
    return Cell(cut, sort=value if isinstance(value, int) else None)


DATA_ROWS = {
    "card": "card", "revision": "revision", "train": "training rows", "dev": "dev rows", "test": "test rows",
    "unused": "left out by train_size", "dropped": "dropped, by reason",
    "fingerprint": "fingerprint of the test rows", "licence": "licence",
}  # fmt: skip


def data_table(data: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """Show what each domain's rows were: a column for each domain."""
    domains = {name: counts for name, counts in data.items() if counts}
    shown = [key for key in DATA_ROWS if any(counts.get(key) is not None for counts in domains.values())]
    rows = [
        Row([Cell(DATA_ROWS[key]), *(Cell(_words(counts.get(key))) for counts in domains.values())])
        for key in shown
    ]
    return Table("", [Column(""), *(Column(name, "words") for name in domains)], rows) if rows else None


def _words(value: object) -> str:
    """Write counts with separators, counts by name, and text as it is."""
    if value is None or value == {}:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_words(count)}" for name, count in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def cost_table(report: TransferReport) -> Table | None:
    """Show what making each system cost."""
    rows = []
    for name, system in report.systems.items():
        if not (cost := system.get("cost")):
            continue
        share = cost.get("trainable_share")
        cells = [decimal_cell(cost.get(part)) for part in SECONDS]
        cells += [decimal_cell(cost.get(part), digits=0) for part in ("peak_rss_mb", "trainable_parameters")]
        cells.append(NONE if share is None else Cell(f"{100 * share:.2f}%", sort=share))
        rows.append(Row([Cell(name), *cells], adapted=name == "adapted"))
    headings = (
        "training, s", "selection, s", "source model, s", "peak memory, MB", "trained weights",
        "share of weights",
    )  # fmt: skip
    columns = [Column("system"), *(Column(heading, "number") for heading in headings)]
    return Table("", columns, rows) if rows else None
