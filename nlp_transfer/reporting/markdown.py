"""The report as Markdown: the verdict first, then what it rests on, then how to get it again.

Text from data stays text: markup, HTML and line breaks in it are escaped. The tables are GitHub's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nlp_transfer.config import write_yaml
from nlp_transfer.reporting.chain_tables import chain_headings, chain_rows, chain_sentences
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.wording import METRICS, metric_of, printable

DATA_COLUMNS = ("card", "revision", "train", "dev", "test", "unused", "dropped", "fingerprint", "licence")
ALTERNATIVE_TEXTS = {
    "mix": "Dev scores of each mix of the weights before and after adaptation, target against source",
    "systems": "Score of each system with its 95% interval, on target and source test rows",
    "confusion": "Confusion matrix of the adapted model on the target's test rows",
    "reliability": "Reliability of the adapted model's probabilities on the target's test rows",
    "lengths": "chrF++ of the systems by length of the source, on the target's test rows",
}
# A text longer than this is cut in the table of the worst rows; worst_rows.json has it whole.
MAX_TEXT_LETTERS = 300


def report_markdown(
    report: TransferReport,
    *,
    figures: Sequence[str] = (),
    worst_rows: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Render a report.

    Args:
        report: what to render.
        figures: links to the figures, relative to the page; the first stands below the verdict.
        worst_rows: rows that the adapted model got most wrong, with the columns to show; none: no section.
    """
    links = [f"![{ALTERNATIVE_TEXTS.get(_stem(figure), _stem(figure))}]({figure})" for figure in figures]
    parts = [
        f"# Transfer report: {escaped(report.content['task'])}",
        f"**{escaped(report.verdict['sentence'])}**",
        *links[:1],
        *_systems(report),
        *_comparisons(report),
        *links[1:],
        *_chain(report),
        *_findings(report),
        *_worst_rows(worst_rows),
        *_data(report),
        *_cost(report),
        *_provenance(report),
    ]
    return "\n\n".join(parts) + "\n"


def escaped(text: object) -> str:
    """Escape what Markdown or HTML would read as more than text.

    >>> escaped("a|b <i> *c*")
    'a\\\\|b &lt;i&gt; \\\\*c\\\\*'
    """
    words = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Inside a word an underscore is only an underscore: target_only stays readable in the file itself.
    return re.sub(r"[\\`*\[\]|~#$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", words)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: int = 0) -> str:
    """Render a table; the last `numbers` columns are set right."""
    rules = ["---"] * (len(headings) - numbers) + ["---:"] * numbers
    lines = [list(headings), rules, *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _systems(report: TransferReport) -> list[str]:
    """Render the scores: one table for each domain."""
    parts = ["## Systems", "Each score with its 95% bootstrap interval over the test rows."]
    for domain in report.domains:
        metrics = [
            name for name in METRICS if any(report.score(system, domain, name) for system in report.systems)
        ]
        headings = ["system", "learnt from", *(metric_of(name).heading for name in metrics)]
        rows = [
            [system, report.learnt_from(system), *(_score(report, system, domain, name) for name in metrics)]
            for system in report.systems
        ]
        parts += [
            f"### On {domain} ({report.test_rows(domain)})",
            table(headings, rows, numbers=len(metrics)),
        ]
    per_seed = _per_seed(report)
    return [*parts, *per_seed]


def _score(report: TransferReport, system: str, domain: str, name: str) -> str:
    """Write one score with its interval."""
    entry = report.score(system, domain, name)
    if entry is None:
        return "-"
    metric = metric_of(name)
    return f"{metric.text(entry['value'])} ({metric.text(entry['low'])} to {metric.text(entry['high'])})"


def _per_seed(report: TransferReport) -> list[str]:
    """Render the primary metric at each seed, where there were several."""
    metric = metric_of(report.primary_metric)
    seeds = report.content["provenance"].get("seeds") or []
    rows = [
        [system, domain, *(metric.text(value) for value in values)]
        for system, content in report.systems.items()
        for domain, values in (content.get("per_seed") or {}).items()
        if len(values) == len(seeds) > 1
    ]
    if not rows:
        return []
    headings = ["system", "domain", *(f"seed {seed}" for seed in seeds)]
    return [f"### At each seed: {metric.heading}", table(headings, rows, numbers=len(seeds))]


def _comparisons(report: TransferReport) -> list[str]:
    """Render the paired comparisons."""
    if not report.comparisons:
        return []
    note = (
        "Two systems on the same rows, resampled together. These intervals are about the rows alone. "
        "The p values are not corrected for their number."
    )
    with_mcnemar = any("mcnemar_p" in comparison for comparison in report.comparisons)
    if with_mcnemar:
        note += " McNemar's is exact."
    seed_noise = report.verdict.get("seed_noise")
    if seed_noise:
        note += (
            f" The verdict's interval is about rows and seeds together (seed noise {escaped(seed_noise)})."
        )
    headings = ["system", "against", "on", "metric", "difference", "95% interval", "p", "test"]
    rows = [_comparison(comparison) for comparison in report.comparisons]
    if with_mcnemar:
        headings.insert(-1, "McNemar p")
        for row, comparison in zip(rows, report.comparisons, strict=True):
            row.insert(-1, _p(comparison.get("mcnemar_p")))
    return ["## Paired comparisons", note, table(headings, rows)]


def _comparison(comparison: dict[str, Any]) -> list[str]:
    """Write one comparison as the cells of a row."""
    metric = metric_of(comparison["metric"])
    low, high = (metric.text(comparison[end], signed=True) for end in ("low", "high"))
    return [
        comparison["system"],
        comparison["against"],
        comparison["domain"],
        metric.label,
        f"{metric.text(comparison['difference'], signed=True)} {metric.difference_unit}".strip(),
        f"{low} to {high}",
        _p(comparison["p"]),
        comparison["test"],
    ]


def _chain(report: TransferReport) -> list[str]:
    """Render what the run continued from, and what of it was kept."""
    rows, headings = chain_rows(report), chain_headings(report)
    parts = [escaped(" ".join(chain_sentences(report)))]
    if rows:
        metric = metric_of(report.primary_metric).heading
        note = f"Scores are {escaped(metric)}; the change is against the step before, on the same rows."
        parts += [note, table([*map(escaped, headings)], rows)]
    return ["## The chain", *parts] if parts[0] else []


def _findings(report: TransferReport) -> list[str]:
    """Render what the checks found, the gravest first."""
    if not report.findings:
        return []
    headings = ["severity", "check", "value", "threshold", "evidence", "advice"]
    rows = [
        [
            finding["severity"],
            finding["check"],
            _number(finding["value"]),
            _number(finding["threshold"]),
            finding["evidence"],
            finding["advice"],
        ]
        for finding in report.findings
    ]
    return ["## Findings", table(headings, rows)]


def _worst_rows(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Render rows for a person to read."""
    if not rows:
        return []
    headings = list(rows[0])
    cells = [[_worst_cell(heading, row.get(heading)) for heading in headings] for row in rows]
    note = "What the adapted model got most wrong among the target's test rows, the worst first."
    return [
        "## Worst rows",
        note,
        table([METRICS[name].label if name in METRICS else escaped(name) for name in headings], cells),
    ]


def _worst_cell(heading: str, value: object) -> str:
    """Write a score as its metric is written, and text as far as it can be read in a table."""
    if isinstance(value, float):
        return METRICS[heading].text(value) if heading in METRICS else f"{value:.3f}"
    text = printable("-" if value is None else value)
    return text if len(text) <= MAX_TEXT_LETTERS else f"{text[: MAX_TEXT_LETTERS - 1]}…"


def _data(report: TransferReport) -> list[str]:
    """Render what each domain's rows were."""
    data = {name: counts for name, counts in report.content["provenance"].get("data", {}).items() if counts}
    if not data:
        return []
    columns = [column for column in DATA_COLUMNS if any(column in counts for counts in data.values())]
    rows = [[name, *(_number(counts.get(column)) for column in columns)] for name, counts in data.items()]
    note = "Rows of each split. Unused: left out by `train_size`; dropped: unusable or not wanted, by reason."
    return ["## Data", note, table(["domain", *columns], rows)]


def _cost(report: TransferReport) -> list[str]:
    """Render what each system cost."""
    headings = [
        "system",
        "training s",
        "selection s",
        "source model s",
        "peak memory MB",
        "trained weights",
        "share",
    ]
    rows = [
        [
            name,
            *(_decimal(cost.get(part)) for part in ("seconds", "selection_seconds", "source_seconds")),
            _number(None if cost.get("peak_rss_mb") is None else round(cost["peak_rss_mb"])),
            _number(cost.get("trainable_parameters")),
            "-" if cost.get("trainable_share") is None else f"{cost['trainable_share'] * 100:.2f}%",
        ]
        for name, system in report.systems.items()
        if (cost := system.get("cost"))
    ]
    note = (
        "Memory is the process's highest resident size in the system's own span, libraries and data included."
    )
    return ["## Cost", note, table(headings, rows, numbers=6)] if rows else []


def _provenance(report: TransferReport) -> list[str]:
    """Render versions, seeds, signatures and the configuration."""
    provenance = report.content["provenance"]
    parts = ["## Provenance"]
    lines = [
        f"- {name}: {escaped(words)}"
        for name, words in (
            ("seeds", ", ".join(str(seed) for seed in provenance.get("seeds", []))),
            ("processes", provenance.get("num_processes", "")),
            (
                "versions",
                ", ".join(f"{name} {version}" for name, version in provenance.get("versions", {}).items()),
            ),
        )
        if words != ""
    ]
    lines += [
        f"- {escaped(metric)}: {escaped(signature)}"
        for metric, signature in provenance.get("metric_signatures", {}).items()
    ]
    parts += ["\n".join(lines)] if lines else []
    if provenance.get("config"):
        parts += ["The whole configuration:", _fenced(write_yaml(provenance["config"]))]
    return parts


def _fenced(text: str) -> str:
    """Put text into a fence longer than any that it holds."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}yaml\n{text.rstrip()}\n{fence}"


def _stem(figure: str) -> str:
    return figure.rsplit("/", 1)[-1].removesuffix(".png")


def _p(value: float | None) -> str:
    """Write a p value; below a thousandth only that it is."""
    if value is None:
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: object) -> str:
    """Write a count with separators, other numbers with three decimals, counts by name, and text as it is."""
    if value is None or value == {}:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_number(count)}" for name, count in value.items())
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
