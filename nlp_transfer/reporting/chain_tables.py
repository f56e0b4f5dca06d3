"""A chain of adaptations as every form of the report shows it: a sentence, and a row for each test set."""

from __future__ import annotations

from typing import Any

from nlp_transfer.reporting.cells import NONE, Cell, Column, Row, Table
from nlp_transfer.reporting.plots import minus
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.wording import Metric, metric_of

KEPT = {True: "yes", False: "no", None: "not scored"}


def chain_of(report: TransferReport) -> dict[str, Any] | None:
    """Return a report's chain, or None where the run continued from nothing and had no guard."""
    return report.content.get("chain") or None


def chain_sentences(report: TransferReport) -> list[str]:
    """Say what the run continued from, how many test sets are kept, and what the guard decided."""
    chain = chain_of(report)
    if chain is None:
        return []
    metric, sets = metric_of(chain["metric"]), chain["test_sets"]
    kept, scored = sum(each["kept"] is True for each in sets), [each for each in sets if each["now"]]
    start = chain["continued_from"]
    found = [f"Continued from {start}." if start else "The first step of a chain."]
    if sets:
        within = f"{metric.text(chain['kept_within'])} {metric.difference_unit} {metric.label}".replace(
            "  ", " "
        )
        found.append(f"Kept, within {within} of their best: {kept} of {len(sets)} earlier test sets.")
    if len(scored) < len(sets):
        names = ", ".join(each["name"] for each in sets if not each["now"])
        found.append(f"Could not be found, and are not counted as kept: {names}.")
    found += [f"{note[:1].upper()}{note[1:]}." for note in chain["notes"]]
    guard = chain["guard"]
    if guard is not None:
        word = "let the model pass" if guard["accepted"] else f"refused the model for {guard['worst']}"
        found.append(f"The guard {word}.")
    return found


def chain_headings(report: TransferReport) -> list[str]:
    """Return the headings of a chain's table: a column for the scores after each step."""
    chain = chain_of(report) or {"steps": []}
    return ["test set", "n", *(f"after {step}" for step in chain["steps"]), "95% interval", "change", "kept"]


def chain_rows(report: TransferReport) -> list[list[str]]:
    """Return a row for each test set of a chain, as texts under `chain_headings`."""
    chain = chain_of(report)
    if chain is None:
        return []
    metric = metric_of(chain["metric"])
    return [_row(each, metric) for each in chain["test_sets"]]


def _row(each: dict[str, Any], metric: Metric) -> list[str]:
    now, change = each["now"], each["change"]
    reach = "-" if now is None else f"{metric.text(now['low'])} to {metric.text(now['high'])}"
    lost = "-"
    if change is not None:
        ends = (metric.text(change[end], signed=True) for end in ("low", "high"))
        lost = f"{metric.text(change['difference'], signed=True)} ({' to '.join(ends)})"
    rows = "-" if now is None else f"{now['n']:,}"
    return [each["name"], rows, *map(metric.text, each["scores"]), reach, lost, KEPT[each["kept"]]]


def chain_table(report: TransferReport) -> Table | None:
    """Return the same as a table of the page; None without test sets."""
    rows = [
        Row([Cell(row[0]), *(NONE if text == "-" else Cell(minus(text)) for text in row[1:])])
        for row in chain_rows(report)
    ]
    headings = chain_headings(report)
    columns = [Column(headings[0]), *(Column(each, "number") for each in headings[1:-1]), Column("kept")]
    return Table("", columns, rows) if rows else None
