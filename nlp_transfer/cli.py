"""The `nlp-transfer` command: parses, calls, prints; no logic of its own.

Results go to stdout, progress and logs to stderr. Exit status: 0 done, 1 the run failed, 2 bad input.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlp_transfer.errors import ConfigError, TransferError, for_terminal

if TYPE_CHECKING:
    from nlp_transfer.reporting.report import TransferReport

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
recipes_app = typer.Typer(help="List the shipped recipes and copy one to change it.", no_args_is_help=True)
app.add_typer(cards_app, name="cards")
app.add_typer(recipes_app, name="recipes")

Config = Annotated[Path, typer.Argument(help="A recipe's YAML file.", metavar="CONFIG.yaml")]
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
DEBUG = {"on": False}


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
    _log_to_stderr(logging.WARNING if quiet else logging.INFO)


@app.command()
def demo(
    task: Annotated[str, typer.Argument(help="Which demo: sentiment or translation.")],
    output_dir: Annotated[str | None, typer.Option(help="The run folder.")] = None,
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
    recipe = _recipe(resource_dir("recipes") / chosen.recipe / "demo.yaml", overrides)
    _print_report(recipe.run(), as_json)
    if not as_json:
        print(chosen.closing_words(recipe.folder))


@app.command()
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
    continue_from: ContinueFrom = None,
) -> None:
    """Look at a recipe's data and model before training: what cannot work, and what is doubtful."""
    recipe = _recipe(config, overrides or [], continue_from)
    report = recipe.check()
    if write_test is not None:
        recipe.write_test_sources(write_test)
    print(
        json.dumps(report.as_dict(), indent=2, ensure_ascii=False)
        if as_json
        else for_terminal(report.summary())
    )


@app.command()
def run(
    config: Config,
    overrides: Overrides = None,
    as_json: AsJson = False,
    continue_from: ContinueFrom = None,
) -> None:
    """Check, train, evaluate and report; started again, it goes on where it stopped."""
    recipe = _recipe(config, overrides or [], continue_from)
    _print_report(recipe.run(), as_json)


@app.command()
def train(config: Config, overrides: Overrides = None, continue_from: ContinueFrom = None) -> None:
    """Check the data, make the source model and adapt it."""
    recipe = _recipe(config, overrides or [], continue_from)
    recipe.train()
    print(recipe.folder / "model")


@app.command()
def evaluate(
    config: Config,
    overrides: Overrides = None,
    as_json: AsJson = False,
    continue_from: ContinueFrom = None,
) -> None:
    """Score a trained run beside its baselines and write the report."""
    _print_report(_recipe(config, overrides or [], continue_from).evaluate(), as_json)


@app.command()
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
    _print_report(TransferReport.from_json(run_folder / "report.json"), as_json)


@app.command()
def curve(
    config: Config,
    overrides: Overrides = None,
    sizes: Annotated[str, typer.Option(help="Target sizes, such as 16,64,256.")] = "16,64,256,1024",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds at each size; from 3 on there are intervals.")] = 3,
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
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    render_curve(found, Console())


@app.command()
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
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    render_side_by_side(found, Console())


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="A model folder, a run folder, or a Hub id.", metavar="MODEL")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any, and without --input, stdin is read.")
    ] = None,
    input: Annotated[
        Path | None, typer.Option("--input", "-i", help="csv, tsv, jsonl, parquet or txt (a text a line).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="csv, tsv or jsonl; default: stdout.")
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Column with the text.")] = None,
    revision: Annotated[str | None, typer.Option(help="Hub revision.")] = None,
    runtime: Runtime = None,
    as_json: AsJson = False,
) -> None:
    """Label texts; the input's other columns are kept."""
    from nlp_transfer.inference.documents import predict_documents

    predict_documents(
        model,
        texts=texts,
        source=input,
        output=output,
        text_column=text_column,
        revision=revision,
        runtime=runtime,
        as_json=as_json,
    )


@app.command()
def translate(
    model: Annotated[str, typer.Argument(help="A model folder, a run folder, or a Hub id.", metavar="MODEL")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any, and without --input, stdin is read.")
    ] = None,
    input: Annotated[
        Path | None,
        typer.Option(
            "--input", "-i", help="csv, tsv, jsonl, parquet, txt (a text a line) or po (a gettext catalogue)."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="csv, tsv, jsonl, txt, or po for a po; may be the input itself; default: stdout.",
        ),
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Column with the text.")] = None,
    tgt_lang: Annotated[
        str | None,
        typer.Option(help="Language to translate into, such as gl; default: the one it was adapted to."),
    ] = None,
    beams: Annotated[
        int | None,
        typer.Option(min=1, help="Width of the beam search: 1 is fastest, 4 often a little better."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Hub revision.")] = None,
    runtime: Runtime = None,
    as_json: AsJson = False,
) -> None:
    """Translate texts; the input's other columns are kept.

    One line comes out for each line that goes in, blank ones too.
    Long texts are translated sentence by sentence; nothing is cut.
    A .po file has its empty entries filled and marked fuzzy.
    What a person wrote stays; an entry that would lose a placeholder stays empty.

    nlp-transfer translate runs/galician "Save the file"
    nlp-transfer translate runs/galician --input gl.po --output gl.po
    """
    from nlp_transfer.inference.translation_documents import translate_documents

    translate_documents(
        model,
        texts=texts,
        source=input,
        output=output,
        text_column=text_column,
        tgt_lang=tgt_lang,
        num_beams=beams,
        revision=revision,
        runtime=runtime,
        as_json=as_json,
    )


@app.command("export")
def export_command(
    model: Annotated[str, typer.Argument(help="A model folder, a run folder, or a Hub id.", metavar="MODEL")],
    runtime: Annotated[
        str,
        typer.Option(help="onnx (classifiers, probes) or ctranslate2 (translation).", metavar="RUNTIME"),
    ],
    int8: Annotated[bool, typer.Option("--int8", help="Keep the weights in eight bits.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The new folder; default: exported/ in the run folder."),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(
            help="A recipe whose target test rows are compared on; default: the model's own run.",
            metavar="CONFIG.yaml",
        ),
    ] = None,
    override: Annotated[
        str | None,
        typer.Option(
            help="Why bounds that are not kept are passed over; the card says it.", metavar="REASON"
        ),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Hub revision.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a model ready for a faster runtime, and compare it with the model before it counts.

    With --int8 accuracy may fall by 0.5 points and chrF++ by 0.3 at most.
    What is not within its bounds is not written: status 1.

    nlp-transfer export runs/products --runtime onnx --int8
    """
    from nlp_transfer.exporting.export import export_model

    exported = export_model(
        model, runtime=runtime, int8=int8, output=output, rows=rows, override=override, revision=revision
    )
    if as_json:
        print(
            json.dumps({"folder": str(exported.folder), **exported.description}, indent=2, ensure_ascii=False)
        )
        return
    print(exported.summary())


@app.command()
def push(
    model: Annotated[str, typer.Argument(help="A run folder, or its model/.", metavar="MODEL")],
    repo_id: Annotated[str, typer.Argument(help="owner/name on the Hub.", metavar="REPO_ID")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List files, sizes, gates and the card; send nothing.")
    ] = False,
    public: Annotated[bool, typer.Option("--public", help="Not private.")] = False,
    merge: Annotated[
        bool, typer.Option("--merge", help="For LoRA: merged weights, not the adapter.")
    ] = False,
    override: Annotated[
        str | None, typer.Option(help="Why closed gates are passed over; the card says it.", metavar="REASON")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Name of this revision; default: v1, v2, ...")] = None,
    as_json: AsJson = False,
) -> None:
    """Publish a finished run's model with its card and report; the token is that of `hf auth login`."""
    from nlp_transfer.publishing.gates import require_passed
    from nlp_transfer.publishing.hub import push_model

    result = push_model(
        model, repo_id, private=not public, merge=merge, dry_run=dry_run, override=override, tag=tag
    )
    print(json.dumps(result.as_dict(), indent=2, ensure_ascii=False) if as_json else result.summary())
    require_passed(result.gates, override=override)


@app.command("serve")
def serve_models(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Model folders, run folders or Hub ids of one task; NAME=MODEL names one.",
            metavar="MODEL [MODEL]...",
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    max_file_mb: Annotated[int, typer.Option(min=1, help="Largest file, in MiB.")] = 32,
    max_text_characters: Annotated[int, typer.Option(min=1, help="Longest text.")] = 20_000,
    max_queued_texts: Annotated[
        int, typer.Option(min=1, help="Texts that may wait for a model; more are told to come back.")
    ] = 1024,
    runtime: Runtime = None,
) -> None:
    """Open a local page and a JSON API for models, side by side.

    Type or paste text, or drop a csv, tsv, jsonl, txt or po file.
    The API is described at /openapi.json; /health tells whether it runs.
    SIGTERM or Ctrl-C finishes what was taken and ends with status 0; a second one drops it: status 1.

    nlp-transfer serve base=runs/products/source_model adapted=runs/products
    """
    from nlp_transfer.serving.server import require_extra, serve

    require_extra()
    from nlp_transfer.serving.limits import Limits

    limits = Limits(
        file_bytes=max_file_mb * 2**20, text_characters=max_text_characters, queued_texts=max_queued_texts
    )
    serve(models, host=host, port=port, limits=limits, runtime=runtime)


@cards_app.command("list")
def cards_list(as_json: AsJson = False) -> None:
    """List the data cards."""
    from nlp_transfer.data.cards import list_cards, load_card

    cards = [load_card(name) for name in list_cards()]
    if as_json:
        print(json.dumps({card.name: card.metadata for card in cards}, indent=2, ensure_ascii=False))
        return
    for card in cards:
        rows = f"{card.spec.declared.rows:,} rows" if card.spec.declared else ""
        columns = (f"{card.name:<20}", f"{card.spec.task:<12}", f"{rows:>16} ", f"{card.licence:<12}")
        print(*columns, card.metadata["pretty_name"])


@cards_app.command("show")
def cards_show(name: Annotated[str, typer.Argument(help="A card's name.")]) -> None:
    """Print what a card says."""
    from nlp_transfer.data.cards import load_card

    card = load_card(name)
    print(card.body)
    print(f"\nLicence: {card.licence} ({card.spec.licence_evidence})")


@cards_app.command("prepare")
def cards_prepare(
    name: Annotated[str, typer.Argument(help="A card's name.")],
    src_lang: Annotated[str, typer.Option(help="Translation: language translated from.")] = "en",
    tgt_lang: Annotated[str | None, typer.Option(help="Translation: language translated into.")] = None,
) -> None:
    """Fetch a card's data into the cache and compare it with what the card declares."""
    from nlp_transfer.data.preparing import prepare_card

    print(prepare_card(name, src_lang=src_lang, tgt_lang=tgt_lang))


@recipes_app.command("list")
def recipes_list() -> None:
    """List the shipped recipes."""
    from nlp_transfer.resources import list_recipes

    for name, opening in list_recipes().items():
        print(f"{name:<32} {opening}")


@recipes_app.command("copy")
def recipes_copy(
    name: Annotated[str, typer.Argument(help="A recipe's name, such as sentiment_transfer/full.")],
    to: Annotated[Path | None, typer.Option(help="The new file; default: the recipe's name here.")] = None,
) -> None:
    """Copy a shipped recipe, to change it."""
    from nlp_transfer.resources import copy_recipe

    print(copy_recipe(name, to))


def main() -> None:
    """Run the command; every error that a user can cause ends with one message and its exit status."""
    with _exit_status():
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

        _log_to_stderr(logging.INFO if is_main() else logging.WARNING)
        report = _recipe(config, overrides or [], continue_from).run()
        if is_main():
            _print_report(report, as_json=False)

    with _exit_status():
        script()
    return 0


def _recipe(config: Path, overrides: list[str], continue_from: str | None = None) -> Any:
    """Build the recipe class that the YAML's task asks for."""
    from nlp_transfer.config import load_config
    from nlp_transfer.recipes_by_task import recipe_class

    loaded = load_config(config, overrides, continue_from=continue_from)
    return recipe_class(loaded.task)(loaded)


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.replace(" ", "").split(",") if part]
    except ValueError as error:
        raise ConfigError(f"--sizes is {text!r}; expected whole numbers with commas: 16,64,256") from error


def _print_report(report: TransferReport, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.content, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    from nlp_transfer.reporting.terminal import render_report

    render_report(report, Console())


class Stopped(BaseException):
    """A signal asked the command to stop. No library's `except Exception` holds it up."""


@contextmanager
def _exit_status() -> Iterator[None]:
    """End with one message and an exit status, whatever a user can cause: bad input, a failed run, a
    signal.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    from nlp_transfer.disk import write_failures_told

    try:
        with write_failures_told("a file could not be written or read", "what was there before is as it was"):
            yield
    except TransferError as error:
        if DEBUG["on"]:
            raise
        print(for_terminal(f"nlp-transfer: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
    except Stopped as stopped:
        if os.environ.get("RANK", "0") == "0":
            from nlp_transfer.training.launching import this_command

            print(
                "\nnlp-transfer: stopped; the same command goes on from the last finished stage or "
                f"checkpoint:\n  {this_command()}",
                file=sys.stderr,
            )
        sys.exit(128 + int(stopped.args[0]))


def _stop(number: int, _: object) -> None:
    raise Stopped(number)


class _Line(logging.Formatter):
    """A line of the log; text from data in it does not act on the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return for_terminal(super().format(record))


def _log_to_stderr(level: int) -> None:
    """Send the package's log to stderr, and keep the libraries to what a user must know.

    The libraries are not imported yet: they read these settings when they are.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Line("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    package = logging.getLogger("nlp_transfer")
    package.handlers = [handler]
    package.setLevel(level)
    package.propagate = False
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Large tensors in large pages: a training step on a CPU otherwise spends a third of its time on page
    # faults.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)


if __name__ == "__main__":
    main()
