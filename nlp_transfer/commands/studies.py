"""Commands over several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlp_transfer.commands.options import AsJson, Config, Overrides, print_json
from nlp_transfer.errors import ConfigError


def curve(
    config: Config,
    overrides: Overrides = None,
    sizes: Annotated[str, typer.Option(help="Target sizes, such as 16,64,256.")] = "16,64,256,1024",
    seeds: Annotated[
        int, typer.Option(min=1, help="How many seeds at each size; from 3 on there are intervals.")
    ] = 3,
    as_json: AsJson = False,
) -> None:
    """Run a recipe at several target sizes, and see how many labels transfer saves.

    Started again, it goes on where it stopped; each size is a run in a folder of its own.
    """
    from nlp_transfer.config import load_config
    from nlp_transfer.curve import run_curve
    from nlp_transfer.reporting.curve_report import render_curve

    found = run_curve(load_config(config, overrides or []), sizes=_whole_numbers(sizes), seeds=seeds)
    if as_json:
        print_json(found.as_dict())
        return
    from rich.console import Console

    render_curve(found, Console())


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.", metavar="RUN RUN...")],
    html: Annotated[Path | None, typer.Option(help="Write the comparison as a page to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put runs side by side on the same test rows, and test their adapted models against each other."""
    from nlp_transfer.reporting.side_by_side import render_side_by_side, save_page
    from nlp_transfer.studies import compare_runs

    found = compare_runs(runs)
    if html is not None:
        save_page(found, html)
    if as_json:
        print_json(found.as_dict())
        return
    from rich.console import Console

    render_side_by_side(found, Console())


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.replace(" ", "").split(",") if part]
    except ValueError as error:
        raise ConfigError(f"--sizes is {text!r}; expected whole numbers with commas: 16,64,256") from error
