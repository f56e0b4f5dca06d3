"""The report in the terminal: a table of the systems, and in ten lines the verdict and what to look at.

The whole report is the page's (html.py). Text from data is printed as text: it is never read as markup, and
control characters are taken out of it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nlp_transfer.reporting.chain_tables import chain_of, chain_rows, chain_sentences
from nlp_transfer.reporting.lights import lights_of, tally
from nlp_transfer.reporting.report import UNTRAINED, TransferReport
from nlp_transfer.reporting.wording import metric_of, printable

# Wide enough for an interval beside every score.
WIDE_COLUMNS = 100
SECONDS = ("seconds", "selection_seconds", "source_seconds")
SECONDARY = ("macro_f1", "expected_calibration_error", "bleu", "ter")
VERDICT_STYLES = {"helped": "bold green", "harmed": "bold red", "no_evidence": "bold yellow"}
# The gravest first.
SEVERITY_STYLES = {"block": "bold red", "warn": "yellow"}
# Below the table and its notes. What blocks is shown whatever it takes; of a finding so many lines at most.
CLOSING_LINES, FINDING_LINES, NAMED_CHECKS = 10, 2, 5
STATE_WORDS = {"stop": "stops", "look": "to look at", "ok": "ok", "not_measured": "not measured"}


@dataclass(frozen=True)
class _Column:
    """One column of numbers: what is shown for each system, and the shown value that is compared."""

    heading: str
    texts: list[str]
    values: list[float | None]
    lowest_is_best: bool = False

    def best_rows(self, competing: Sequence[bool]) -> set[int]:
        """Return the rows with the best value, ties included; none where nothing competes."""
        rows = [row for row, value in enumerate(self.values) if competing[row] and value is not None]
        known = [value for row in rows if (value := self.values[row]) is not None]
        if len(known) < 2:
            return set()
        best = min(known) if self.lowest_is_best else max(known)
        return {row for row in rows if self.values[row] == best}


def render_report(report: TransferReport, console: Console) -> None:
    """Print the systems, and in about ten lines the verdict, the gravest findings and how many there are.

    Args:
        report: what to print.
        console: where to; at 100 columns or more every score is printed with its interval.
    """
    console.print(_text(_headline(report), console, style="bold"))
    console.print(_systems_table(report, console))
    for note in _notes(report):
        console.print(_text(note, console, style="dim"))
    console.print()
    for text in _closing(report, console):
        console.print(text)


def _closing(report: TransferReport, console: Console) -> list[Text]:
    """Return the verdict, the chain, the gravest findings that there is room for, and where the rest is."""
    verdict = report.verdict
    style = VERDICT_STYLES.get(verdict["transfer"], "bold")
    shown = [_text(verdict["sentence"], console, style=style)]
    if sentences := chain_sentences(report):
        shown.append(_text(" ".join([*sentences, *_chain_scores(report)]), console))
    left = CLOSING_LINES - 1 - sum(len(text.wrap(console, console.width)) for text in shown)
    unshown = []
    for severity, style in SEVERITY_STYLES.items():
        for finding in (each for each in report.findings if each["severity"] == severity):
            lines = _finding_lines(finding, console, style=style)
            if len(lines) <= left or severity == "block":
                shown += lines
                left -= len(lines)
            else:
                unshown.append(str(finding["check"]))
    return [*shown, _text(_last_line(report, unshown), console, style="dim")]


def _finding_lines(finding: Mapping[str, Any], console: Console, *, style: str) -> list[Text]:
    """Write what was found and what to do, cut after `FINDING_LINES`."""
    label = _text(f"{finding['severity']} {finding['check']}:", console, style=style)
    words = "; ".join(filter(None, [finding["evidence"].rstrip("."), finding["advice"]]))
    lines = list(Text.assemble(label, " ", _text(words, console)).wrap(console, console.width))
    if len(lines) > FINDING_LINES:
        lines = lines[:FINDING_LINES]
        dots = "…" if _encodes_all(console) else "..."
        lines[-1].truncate(console.width - len(dots))
        lines[-1].rstrip()
        lines[-1].append(dots)
    return lines


def _last_line(report: TransferReport, unshown: Sequence[str]) -> str:
    """Count the promises and risks by what was found, and name the warnings that had no room."""
    counts = ", ".join(f"{count} {STATE_WORDS[state]}" for state, count in tally(lights_of(report)))
    names = list(dict.fromkeys(unshown))
    more = f" and {len(names) - NAMED_CHECKS} more" if len(names) > NAMED_CHECKS else ""
    also = f"Also to look at: {', '.join(names[:NAMED_CHECKS])}{more}. " if names else ""
    return f"{also}Promises and risks: {counts}; report.html has all of them."


def _chain_scores(report: TransferReport) -> list[str]:
    """Write each earlier test set's scores along the chain, such as `target of books: 91.2, 90.8`."""
    steps = len((chain_of(report) or {"steps": []})["steps"])
    lines = [(row[0], [each for each in row[2 : 2 + steps] if each != "-"]) for row in chain_rows(report)]
    return [f"{name}: {', '.join(scores)}." for name, scores in lines if scores]


def report_text(report: TransferReport, *, columns: int = 80) -> str:
    """Render what `render_report` prints as plain text, without colour."""
    console = Console(
        file=io.StringIO(), width=columns, color_system=None, force_terminal=False, legacy_windows=False
    )
    with console.capture() as captured:
        render_report(report, console)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _headline(report: TransferReport) -> str:
    """Say what was transferred from how many labels or pairs."""
    rows = [
        f"{count:,} {domain} {report.rows_called()}"
        for domain in report.domains
        if (count := report.labels_seen(domain)) is not None
    ]
    return ": ".join(filter(None, [f"{report.content['task'].capitalize()} transfer", ", ".join(rows)]))


def _systems_table(report: TransferReport, console: Console) -> Table:
    """Build the table: a row for each system, the best of each column emphasised."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    wide = console.width >= WIDE_COLUMNS
    table.add_column("\nsystem", no_wrap=True)
    table.add_column("\nlearnt from")
    columns = _columns(report, wide=wide)
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    competing = [name not in UNTRAINED for name in report.systems]
    best = [column.best_rows(competing) for column in columns]
    for row, name in enumerate(report.systems):
        style = "bold" if name == "adapted" else ""
        learnt_from = report.learnt_from(name)
        if not wide:
            learnt_from = learnt_from.replace(" + ", "+").replace(", then ", ", ")
        cells = [_text(name, console, style=style), _text(learnt_from, console)]
        for column, best_rows in zip(columns, best, strict=True):
            style, mark = ("bold green", "*") if row in best_rows else ("", " ")
            cells.append(_text(column.texts[row], console, style=style).append(mark))
        table.add_row(*cells)
    return table


def _columns(report: TransferReport, *, wide: bool) -> list[_Column]:
    """Build the columns of numbers: the primary metric on both domains, others on the target, the cost."""
    primary = report.primary_metric
    columns = [_score_column(report, domain, primary, interval=True) for domain in report.domains]
    shown = [
        metric for metric in SECONDARY if any(report.score(name, "target", metric) for name in report.systems)
    ]
    columns += [_score_column(report, "target", metric, interval=wide) for metric in shown]
    costs = [system.get("cost") or {} for system in report.systems.values()]
    seconds = [sum(cost.get(part) or 0.0 for part in SECONDS) if cost else None for cost in costs]
    peaks = [cost.get("peak_rss_mb") for cost in costs]
    return [*columns, _cost_column("time\ns", seconds), _cost_column("peak\nMB", peaks)]


def _score_column(report: TransferReport, domain: str, name: str, *, interval: bool) -> _Column:
    """Build the column of one metric on one domain."""
    metric = metric_of(name)
    entries = [report.score(system, domain, name) for system in report.systems]
    texts = []
    for entry in entries:
        text = metric.text(entry["value"] if entry else None)
        reach = f" ±{metric.text((entry['high'] - entry['low']) / 2)}" if entry and interval else ""
        texts.append(text + reach)
    values = [metric.rounded(entry["value"]) if entry else None for entry in entries]
    heading = f"{domain}\n{metric.heading}" if interval else metric.heading.replace("-", "\n")
    return _Column(heading, texts, values, metric.lowest_is_best)


def _cost_column(heading: str, values: Sequence[float | None]) -> _Column:
    """Build a column of seconds or megabytes: one decimal below a hundred, none above."""
    texts = ["-" if value is None else f"{value:,.{1 if value < 100 else 0}f}" for value in values]
    return _Column(heading, texts, [None if value is None else round(value, 1) for value in values], True)


def _notes(report: TransferReport) -> list[str]:
    """Say the units, what the intervals are, and over how many rows."""
    rows = " and ".join(f"{report.test_rows(domain)} {domain}" for domain in report.domains)
    unit = metric_of(report.primary_metric).unit
    scores = f"Scores in {unit}" if unit else "Scores"
    return [
        f"{scores} on {rows} test rows; ± is half of the 95% interval of a bootstrap over these rows.",
        "Time: training, selection, source model. * best of its column, untrained apart.",
    ]


def _text(text: object, console: Console, *, style: str = "") -> Text:
    """Make text of what may come from data: no markup, no control characters, only what can be encoded."""
    words = printable(text)
    if not _encodes_all(console):
        words = words.replace("±", "+-").encode(console.encoding, "replace").decode(console.encoding)
    return Text(words, style=style)


def _encodes_all(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")
