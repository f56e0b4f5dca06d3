"""The report of a run: the content of `report.json`, and how its names and numbers are worded.

`TransferReport` holds plain values in the format that DESIGN.md declares and hands them to terminal.py,
markdown.py and figures.py, which only draw. What the numbers are is decided before, in `evaluation`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlp_transfer.data.texts import whole_characters
from nlp_transfer.errors import DataError
from nlp_transfer.reporting.public import without_paths
from nlp_transfer.whole_files import write_json, write_text

SCHEMA = 1
PARTS = ("task", "primary_metric", "systems", "comparisons", "findings", "verdict", "provenance")
DOMAINS = ("target", "source")
SEVERITIES = ("block", "warn", "info")

# In the order of the tables: from what needs nothing to the point of the run.
LEARNT_FROM: dict[str, tuple[tuple[str, ...], str]] = {
    "majority": ((), ""),
    "copy": ((), ""),
    "tfidf": (("source", "target"), " + "),
    "scratch": (("target",), ""),
    "zero_shot": (("source",), ""),
    "probe": (("source", "target"), " + "),
    "target_only": (("target",), ""),
    "adapted": (("source", "target"), ", then "),
}
UNTRAINED = ("majority", "copy")
# What learns `adaptation.unlabelled` too.
LEARN_TEXTS = ("target_only", "adapted")
FROM_SOURCE_MODEL = ("zero_shot", "adapted")
# Another program's output, under whatever name it came.
LEARNT_ELSEWHERE = "not known (external)"
MAKE_AGAIN = "make it again with `nlp-transfer evaluate RUN/config.yaml`"
# What the rows of a task are called where they are counted.
ROWS_CALLED = {"sentiment": "labels", "translation": "pairs"}


@dataclass(frozen=True)
class TransferReport:
    """What a run found out.

    Args:
        content: the report in the format of `report.json`; kept as a copy of plain values, without NaN.

    Raises:
        DataError: parts are missing, or the content has another schema.
    """

    content: dict[str, Any]

    def __post_init__(self) -> None:
        if self.content.get("schema") != SCHEMA:
            raise DataError(
                f"expected a report of schema {SCHEMA}, got {self.content.get('schema')!r}; {MAKE_AGAIN}"
            )
        missing = [part for part in PARTS if part not in self.content]
        if missing:
            raise DataError(f"the report lacks {', '.join(missing)}; {MAKE_AGAIN}")
        object.__setattr__(self, "content", _plain(self.content))

    @classmethod
    def from_json(cls, path: str | Path) -> TransferReport:
        """Read a report.

        Args:
            path: a `report.json`, or the run folder that holds one.

        Raises:
            DataError: there is no report, or the file is not one.
        """
        path = Path(path).expanduser()
        path = path / "report.json" if path.is_dir() else path
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DataError(_no_report(path)) from error
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"{path} cannot be read as a JSON report: {error}") from error
        if not isinstance(content, dict):
            raise DataError(f"{path} must hold a JSON object, not {type(content).__name__}")
        try:
            return cls(content)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error

    @property
    def primary_metric(self) -> str:
        """Name of the metric that the verdict is about."""
        return str(self.content["primary_metric"])

    @property
    def systems(self) -> dict[str, dict[str, Any]]:
        """Everything that was scored, in the order of the tables."""
        order = list(LEARNT_FROM)
        scored = self.content["systems"]
        return {name: scored[name] for name in sorted(scored, key=lambda n: _position(n, order))}

    @property
    def comparisons(self) -> list[dict[str, Any]]:
        """Paired differences of two systems on the same rows."""
        return list(self.content["comparisons"])

    @property
    def findings(self) -> list[dict[str, Any]]:
        """What the checks found, the gravest first."""
        return sorted(self.content["findings"], key=lambda f: _position(f["severity"], SEVERITIES))

    @property
    def verdict(self) -> dict[str, Any]:
        """Whether transfer helped: `transfer`, `against`, `sentence`, and the difference where measured."""
        return dict(self.content["verdict"])

    @property
    def domains(self) -> list[str]:
        """The domains on which something was scored."""
        return [domain for domain in DOMAINS if any(system.get(domain) for system in self.systems.values())]

    def score(self, system: str, domain: str, metric: str) -> dict[str, Any] | None:
        """Return a score as `{value, low, high, n}`, or None where any of them was not measured."""
        entry = self.content["systems"].get(system, {}).get(domain, {}).get(metric) or {}
        return None if any(entry.get(part) is None for part in ("value", "low", "high", "n")) else entry

    def test_rows(self, domain: str) -> str:
        """Word how many test rows of a domain the scores come from: `n = 1,398`."""
        scores = (self.score(system, domain, self.primary_metric) for system in self.systems)
        counts = sorted({entry["n"] for entry in scores if entry is not None})
        return f"n = {' to '.join(f'{n:,}' for n in (counts[:1] + counts[1:][-1:])) or 0}"

    def labels_seen(self, domain: str) -> int | None:
        """Return how many labelled rows or pairs of a domain the run saw, selection included; None where it
        does not say.
        """
        counts = self.content["provenance"].get("data", {}).get(domain)
        return (counts.get("train") or 0) + (counts.get("dev") or 0) if counts else None

    def rows_called(self) -> str:
        """Return what the rows that a run learns from are called: labels, or pairs."""
        return ROWS_CALLED.get(self.content["task"], "rows")

    def learnt_from(self, system: str) -> str:
        """Say what a system was trained on, in a word or two: `source, then target`."""
        if system not in LEARNT_FROM:
            return LEARNT_ELSEWHERE
        domains, joint = LEARNT_FROM[system]
        config = self.content["provenance"].get("config") or {}
        learns_texts = system in LEARN_TEXTS and config.get("adaptation", {}).get("unlabelled")
        texts = "texts" if learns_texts else ""
        given = {"target": "target" if self.labels_seen("target") != 0 else texts}
        given["source"] = "source" if self.labels_seen("source") or "source" in self.domains else ""
        has_stage = bool(given["source"]) and config.get("source_stage", {}) is not None
        if system in FROM_SOURCE_MODEL and config.get("continue_from"):
            given["source"] = "earlier steps"
        elif system in FROM_SOURCE_MODEL and not has_stage:
            # A translation model has always seen some pairs before; an encoder has seen no labels.
            given["source"] = "parent" if self.content["task"] == "translation" else ""
        if system == "adapted" and self._set_aside():
            given["source"] = ""
        return joint.join(given[domain] for domain in domains if given[domain]) or "nothing"

    def _set_aside(self) -> bool:
        """Tell whether the source model was set aside (diagnostics/source_trust.py)."""
        return any(f["check"] == "source_trust" and f["severity"] == "warn" for f in self.content["findings"])

    def save(
        self,
        folder: str | Path,
        *,
        figures: Mapping[str, Callable[[TransferReport], Any]] | None = None,
        worst_rows: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write figures/*.png, worst_rows.json, report.md, report.html and, last, report.json; each whole or
        not at all.

        Args:
            folder: where to; made where it does not exist.
            figures: what to draw beside the systems' scores: for each file's stem what draws it.
            worst_rows: rows for a person to read. They hold text from the data, so that they go into
                worst_rows.json, report.md and report.html alone, never into report.json, which may be
                published.
        """
        from nlp_transfer.reporting.figures import draw_figures
        from nlp_transfer.reporting.html import report_html

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = draw_figures(self, folder / "figures", figures=figures or {})
        links = [figure.relative_to(folder).as_posix() for figure in written]
        if worst_rows:
            write_json(folder / "worst_rows.json", _plain(worst_rows))
        write_text(folder / "report.md", self.to_markdown(figures=links, worst_rows=worst_rows))
        write_text(folder / "report.html", report_html(self, figures=written, worst_rows=worst_rows))
        write_json(folder / "report.json", self.content)

    def to_markdown(
        self, *, figures: Sequence[str] = (), worst_rows: Sequence[Mapping[str, Any]] = ()
    ) -> str:
        """Render the report as Markdown; `figures` are links to the drawn ones."""
        from nlp_transfer.reporting.markdown import report_markdown

        return report_markdown(self, figures=figures, worst_rows=worst_rows)

    def __str__(self) -> str:
        """Render the report as the terminal shows it, 80 columns wide and without colour."""
        from nlp_transfer.reporting.terminal import report_text

        return report_text(self)

    def public(self) -> dict[str, Any]:
        """Return a copy of the content without local paths and the user's name, for publishing.

        Of a path its last part is left: `/home/ada/reviews/mine.csv` becomes `…/mine.csv`.
        """
        return without_paths(self.content)  # type: ignore[no-any-return]


def page_of(folder: Path) -> Path:
    """Return where a finished run's page is.

    Raises:
        DataError: there is none.
    """
    page = folder.expanduser() / "report.html"
    if not page.is_file():
        raise DataError(_no_report(page))
    return page


def _no_report(path: Path) -> str:
    """Say what a place without a report is: no folder, an unfinished run, or a folder of runs."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}; name the output_dir of a finished run"
    if (folder / "config.yaml").is_file():
        return f"{folder} is not finished; `nlp-transfer run {folder}/config.yaml` goes on with it"
    runs = sorted(each.parent.name for each in folder.glob("*/report.json"))
    within = f"; it holds the runs {', '.join(runs[:10])}" if runs else ""
    return f"{folder} is not a run folder: it has no {path.name}{within}"


def _position(name: str, order: Sequence[str]) -> int:
    """Return a name's place in an order; what is not in it comes last."""
    return order.index(name) if name in order else len(order)


def _plain(value: Any) -> Any:
    """Copy nested values as what JSON can hold: NumPy's as plain ones, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | Path):
        return whole_characters(str(value))
    return value
