"""The `nlp-transfer` command: the commands under their names, and the way in and out.

Results go to stdout, progress and logs to stderr. Exit status: 0 done, 1 the run failed, 2 bad input. What a
command does stands in `commands/`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from nlp_transfer.commands import listings, recipes, studies, using
from nlp_transfer.commands.options import ContinueFrom, Overrides, built_recipe, print_report
from nlp_transfer.commands.process import DEBUG, exit_status, log_to_stderr

app = typer.Typer(
    name="nlp-transfer",
    help="Adapt a pretrained language model to your domain or your language, and get proof of whether it "
    "helped.\n\n"
    "Start with `nlp-transfer demo sentiment` or `nlp-transfer demo translation`, then "
    "`nlp-transfer recipes copy NAME` and put your own files in.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cards_app = typer.Typer(
    help="List and show data cards: where each data set comes from and what is known of it.",
    no_args_is_help=True,
)
recipes_app = typer.Typer(
    help="List the shipped recipes, copy one to change it, look up what its keys mean.", no_args_is_help=True
)
app.add_typer(cards_app, name="cards")
app.add_typer(recipes_app, name="recipes")

app.command()(recipes.demo)
app.command()(recipes.check)
app.command()(recipes.run)
app.command()(recipes.train)
app.command()(recipes.evaluate)
app.command()(recipes.report)
app.command()(studies.curve)
app.command()(studies.compare)
app.command()(using.predict)
app.command()(using.translate)
app.command()(using.export)
app.command()(using.push)
app.command()(using.serve)
cards_app.command("list")(listings.cards_list)
cards_app.command("show")(listings.cards_show)
cards_app.command("prepare")(listings.cards_prepare)
recipes_app.command("list")(listings.recipes_list)
recipes_app.command("copy")(listings.recipes_copy)
recipes_app.command("keys")(listings.recipes_keys)


def _print_version(asked: bool) -> None:
    if asked:
        from nlp_transfer import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def main_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings on stderr.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Set up what all commands share."""
    DEBUG["on"] = debug
    log_to_stderr(logging.WARNING if quiet else logging.INFO)


def main() -> None:
    """Run the command; every error that a user can cause ends with one message and its exit status."""
    with exit_status():
        app()


def run_script(task: str) -> int:
    """Run a recipe for its `train.py`: `--config FILE [key.sub=value ...] [--continue-from MODEL]`.

    Returns:
        The exit status.
    """
    script = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @script.command(help=f"Run a {task} recipe on the processes that accelerate started.")
    def _(
        config: Annotated[Path, typer.Option(help="A recipe's YAML file.")],
        overrides: Overrides = None,
        continue_from: ContinueFrom = None,
    ) -> None:
        from nlp_transfer.training.processes import is_main

        log_to_stderr(logging.INFO if is_main() else logging.WARNING)
        report = built_recipe(config, overrides or [], continue_from).run()
        if is_main():
            print_report(report, as_json=False)

    with exit_status():
        script()
    return 0


if __name__ == "__main__":
    main()
