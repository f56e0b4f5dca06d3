"""The report as one page: a file that holds its style, its script and its figures, and asks for nothing else.

Text from data stays text by construction: Jinja escapes whatever a template prints, after `printable` took
control characters out of it. The page's own policy allows its one style sheet and its one script by their
hashes, images inside the file, and nothing from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_transfer.config import write_yaml
from nlp_transfer.reporting import chain_tables, lights, plots, tables
from nlp_transfer.reporting.markdown import ALTERNATIVE_TEXTS
from nlp_transfer.reporting.report import TransferReport
from nlp_transfer.reporting.wording import metric_of, printable

if TYPE_CHECKING:
    from jinja2 import Environment

# The page draws this one itself.
DRAWN_IN_PAGE = "systems"
# A headline longer than this is set smaller.
MAX_HEADLINE_LETTERS = 48


def report_html(
    report: TransferReport,
    *,
    figures: Sequence[Path] = (),
    worst_rows: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Render a report as one page.

    Args:
        report: what to render; `curves` in its content, a list of `{system, size, value, low, high}`, are
            drawn.
        figures: the run's PNG files; they are put into the page.
        worst_rows: rows that the adapted model got most wrong, with the columns to show; none: no section.
    """
    metric = metric_of(report.primary_metric)
    scored = {
        name: {domain: report.score(name, domain, report.primary_metric) for domain in report.domains}
        for name in report.systems
    }
    verdict, all_lights = report.verdict, lights.lights_of(report)
    curves = report.content.get("curves") or []
    provenance = report.content["provenance"]
    return render(
        "report.html.j2",
        title=f"{_run_name(report)}: {verdict['sentence']}",
        eyebrow=[f"{report.content['task'].capitalize()} transfer", _run_name(report), *_labels(report)],
        headline=_headline(verdict["sentence"]),
        transfer=verdict["transfer"],
        seed_noise=verdict.get("seed_noise"),
        with_mcnemar=any("mcnemar_p" in each for each in report.comparisons),
        metric=metric,
        panels=plots.interval_panels(
            scored,
            {domain: report.test_rows(domain) for domain in report.domains},
            metric,
            adapted=["adapted"],
            reference=verdict["against"],
        ),
        systems=tables.systems_table(report),
        every_metric=[tables.metrics_table(report, domain) for domain in report.domains],
        seeds=tables.seeds_table(report),
        chain=" ".join(chain_tables.chain_sentences(report)),
        chain_table=chain_tables.chain_table(report),
        curves=plots.learning_curves(curves, metric),
        curves_table=tables.curves_table(curves, metric),
        tally=lights.tally(all_lights),
        lights=tables.lights_table(all_lights),
        worst=tables.worst_table(worst_rows) if worst_rows else None,
        pictures=[_picture(figure) for figure in figures if figure.stem != DRAWN_IN_PAGE],
        comparisons=tables.comparisons_table(report.comparisons) if report.comparisons else None,
        data=tables.data_table(provenance.get("data", {})),
        cost=tables.cost_table(report),
        provenance=_provenance(provenance),
        config=block(write_yaml(provenance["config"])) if provenance.get("config") else None,
    )


def render(template: str, **values: Any) -> str:
    """Render one of the page templates with the style, the script and the policy that allows these alone."""
    from markupsafe import Markup

    style, script = _asset("page.css"), _asset("page.js")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    page = _environment().get_template(template)
    return page.render(style=Markup(style), script=Markup(script), policy=policy, **values) + "\n"


def block(text: str) -> Any:
    """Escape text of several lines: they and its spaces are kept, control characters are not.

    >>> block("a:\\n  <b>" + chr(7))
    Markup('a:\\n  &lt;b&gt;')
    """
    from markupsafe import escape

    return escape("\n".join(" ".join(map(printable, line.split(" "))) for line in text.rstrip().split("\n")))


@cache
def _environment() -> Environment:
    """Make the templates' environment, in which every printed text is cleaned and escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def clean(value: Any) -> Any:
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    return Environment(
        loader=PackageLoader("nlp_transfer.reporting"),
        autoescape=True,
        finalize=clean,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _asset(name: str) -> str:
    """Read the style sheet or the script."""
    return (resources.files("nlp_transfer.reporting") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the hash by which a content security policy names an inline style or script."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _headline(sentence: str) -> dict[str, Any]:
    """Divide the verdict's sentence at its first colon: what is set large, and the rest."""
    text = printable(sentence)
    head, colon, rest = text.partition(": ")
    return {"large": head, "rest": rest if colon else "", "long": len(head) > MAX_HEADLINE_LETTERS}


def _run_name(report: TransferReport) -> str:
    """Return the last part of the run's folder."""
    config = report.content["provenance"].get("config") or {}
    return Path(str(config.get("output_dir") or report.content["task"])).name


def _labels(report: TransferReport) -> list[str]:
    """Say how many labels of each domain the run saw."""
    word = "labels" if report.content["task"] == "sentiment" else "pairs"
    seen = {domain: report.labels_seen(domain) for domain in report.domains}
    return [f"{count:,} {domain} {word}" for domain, count in seen.items() if count is not None]


def _picture(figure: Path) -> dict[str, Any]:
    """Put a PNG into the page, with its text alternative and its size in pixels, so that nothing jumps."""
    content = figure.read_bytes()
    return {
        "source": f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}",
        "alternative": ALTERNATIVE_TEXTS.get(figure.stem, figure.stem.replace("_", " ")),
        # The header of a PNG: width and height are big-endian at bytes 16 and 20.
        "width": int.from_bytes(content[16:20], "big"),
        "height": int.from_bytes(content[20:24], "big"),
    }


def _provenance(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name seeds, processes, versions and what the metrics mean."""
    versions = ", ".join(f"{name} {version}" for name, version in provenance.get("versions", {}).items())
    lines = [
        ("seeds", ", ".join(str(seed) for seed in provenance.get("seeds", []))),
        ("processes", str(provenance.get("num_processes", ""))),
        ("versions", versions),
        *(
            (metric_of(name).label, str(words))
            for name, words in provenance.get("metric_signatures", {}).items()
        ),
    ]
    return [(name, words) for name, words in lines if words]
