"""What several commands take, and how they print a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nlp_transfer.reporting.report import TransferReport

Config = Annotated[
    Path,
    typer.Argument(
        help="A recipe's YAML file: `nlp-transfer recipes copy` puts one here, `recipes keys` explains it.",
        metavar="CONFIG.yaml",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="Values to change, such as data.target.train_size=256.", metavar="[KEY.SUB=VALUE]..."
    ),
]
ContinueFrom = Annotated[
    str | None,
    typer.Option(
        "--continue-from",
        help="Go on from an adapted model: a run folder, its model/, or a Hub id; its earlier test sets are "
        "scored again.",
        metavar="MODEL",
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(help="torch, onnx or ctranslate2; default: what the folder is for.", metavar="RUNTIME"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Model = Annotated[str, typer.Argument(help="A model folder, a run folder, or a Hub id.", metavar="MODEL")]
Texts = Annotated[
    list[str] | None,
    typer.Argument(help="Texts; without any, and without --input, stdin is read, a text a line."),
]
TextColumn = Annotated[str | None, typer.Option(help="Column with the text.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")]


def built_recipe(config: Path, overrides: list[str], continue_from: str | None = None) -> Any:
    """Build the recipe class that the YAML's task asks for."""
    from nlp_transfer.config import load_config
    from nlp_transfer.recipes_by_task import recipe_class

    loaded = load_config(config, overrides, continue_from=continue_from)
    return recipe_class(loaded.task)(loaded)


def print_json(value: Any) -> None:
    """Print plain values as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_report(report: TransferReport, *, as_json: bool) -> None:
    """Print a report: its ten lines, or all of it as JSON."""
    if as_json:
        print(json.dumps(report.content, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    from nlp_transfer.reporting.terminal import render_report

    render_report(report, Console())
