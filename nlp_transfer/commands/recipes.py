"""Commands that run a recipe, whole or a stage of it."""

from __future__ import annotations

import json
import logging
import shlex
from pathlib import Path
from typing import Annotated

import typer

from nlp_transfer.commands.options import AsJson, Config, ContinueFrom, Overrides, built_recipe, print_report
from nlp_transfer.demos import places_of
from nlp_transfer.errors import ConfigError, OtherRunError, for_terminal

logger = logging.getLogger(__name__)


def demo(
    task: Annotated[str, typer.Argument(help="sentiment or translation.", metavar="TASK")],
    output_dir: Annotated[str | None, typer.Option(help="The run folder; default: runs/TASK_demo.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the main job on real text, on this machine, in a few minutes."""
    from nlp_transfer.demos import DEMOS
    from nlp_transfer.errors import did_you_mean
    from nlp_transfer.resources import resource_dir

    if task not in DEMOS:
        raise ConfigError(f"no demo {task!r}; {did_you_mean(task, DEMOS)}")
    chosen = DEMOS[task]
    overrides = [f"output_dir={json.dumps(output_dir)}"] if output_dir else []
    recipe = built_recipe(resource_dir("recipes") / chosen.recipe / "demo.yaml", overrides)
    print_report(recipe.run(), as_json=as_json)
    if not as_json:
        print(chosen.closing_words(recipe.folder))


def check(
    config: Config,
    overrides: Overrides = None,
    as_json: AsJson = False,
    write_test: Annotated[
        Path | None,
        typer.Option(
            help="Translation: write the test sources to this file, a line each, for another system "
            "(evaluation.external)."
        ),
    ] = None,
    distance: Annotated[
        bool,
        typer.Option(
            "--distance",
            help="Also encode a sample of both domains with the model and tell how far apart they lie; takes "
            "the model's weights, and seconds to minutes.",
        ),
    ] = False,
    continue_from: ContinueFrom = None,
) -> None:
    """Look at a recipe's data and model before training: what cannot work, and what is doubtful.

    nlp-transfer check mine.yaml data.target.train_size=64
    """
    recipe = built_recipe(config, overrides or [], continue_from)
    report = recipe.check()
    if distance:
        found = recipe.distances()
        if not found:
            logger.info(
                "no distance: it takes a source domain, read in the target's language, and a trained model"
            )
        report = report.with_findings(found)
    if write_test is not None:
        recipe.write_test_sources(write_test)
    print(
        json.dumps(report.as_dict(), indent=2, ensure_ascii=False)
        if as_json
        else for_terminal(report.summary())
    )
    # What is said of the data is said all the same: it may be trained on another machine, or elsewhere.
    recipe.require_machine()
    try:
        recipe.require_own_folder()
    except OtherRunError as error:
        # A recipe that was run and changed since is checked like any other; the folder is chosen at the end.
        logger.warning("a run would stop: %s", error)
        return
    if not report.blocking:
        going_on = ["--continue-from", continue_from] if continue_from else []
        words = ["nlp-transfer", "run", str(config), *(overrides or []), *going_on]
        logger.info("nothing stops a run: %s", shlex.join(words))


def run(
    config: Config,
    overrides: Overrides = None,
    as_json: AsJson = False,
    continue_from: ContinueFrom = None,
) -> None:
    """Check, train, evaluate and report; started again, it goes on where it stopped.

    nlp-transfer run mine.yaml
    nlp-transfer run mine.yaml data.target.train_size=64 output_dir=runs/mine_64
    """
    recipe = built_recipe(config, overrides or [], continue_from)
    print_report(recipe.run(), as_json=as_json)
    logger.info(places_of(recipe.folder))


def train(config: Config, overrides: Overrides = None, continue_from: ContinueFrom = None) -> None:
    """Check the data, make the source model and adapt it."""
    recipe = built_recipe(config, overrides or [], continue_from)
    recipe.train()
    print(recipe.folder / "model")


def evaluate(
    config: Config,
    overrides: Overrides = None,
    as_json: AsJson = False,
    continue_from: ContinueFrom = None,
) -> None:
    """Score what `train` (or `run`) left in the output_dir beside its baselines, and write the report."""
    print_report(built_recipe(config, overrides or [], continue_from).evaluate(), as_json=as_json)


def report(
    run_folder: Annotated[Path, typer.Argument(help="A finished run's folder.", metavar="RUN")],
    as_json: AsJson = False,
    html: Annotated[bool, typer.Option("--html", help="Print where the report's page is.")] = False,
) -> None:
    """Print a finished run's report again."""
    from nlp_transfer.reporting.report import TransferReport, page_of

    if html:
        print(page_of(run_folder))
        return
    print_report(TransferReport.from_json(run_folder / "report.json"), as_json=as_json)
