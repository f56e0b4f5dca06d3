"""Commands that use a finished model: texts, a local page, another runtime, the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nlp_transfer.commands.options import AsJson, Model, Revision, Runtime, TextColumn, Texts, print_json


def predict(
    model: Model,
    texts: Texts = None,
    input: Annotated[
        Path | None, typer.Option("--input", "-i", help="csv, tsv, jsonl, parquet or txt (a text a line).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="csv, tsv or jsonl; default: stdout.")
    ] = None,
    text_column: TextColumn = None,
    revision: Revision = None,
    runtime: Runtime = None,
    as_json: AsJson = False,
) -> None:
    """Label texts: a label and the classes' probabilities beside each; the input's other columns are kept.

    nlp-transfer predict runs/mine "Battery died after a week."
    nlp-transfer predict runs/mine --input reviews.csv --output labelled.csv
    """
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


def translate(
    model: Model,
    texts: Texts = None,
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
    text_column: TextColumn = None,
    tgt_lang: Annotated[
        str | None,
        typer.Option(help="Language to translate into, such as gl; default: the one it was adapted to."),
    ] = None,
    beams: Annotated[
        int | None,
        typer.Option(min=1, help="Width of the beam search: 1 is fastest, 4 often a little better."),
    ] = None,
    revision: Revision = None,
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


def export(
    model: Model,
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
    revision: Revision = None,
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
        print_json({"folder": str(exported.folder), **exported.description})
        return
    print(exported.summary())


def push(
    model: Annotated[str, typer.Argument(help="A run folder, or its model/.", metavar="MODEL")],
    repo_id: Annotated[str, typer.Argument(help="owner/name on the Hub.", metavar="REPO_ID")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List files, sizes, gates and the card; send nothing.")
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see a new repository; default: private.")
    ] = False,
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


def serve(
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
    from nlp_transfer.serving import server

    server.require_extra()
    from nlp_transfer.serving.limits import Limits

    limits = Limits(
        file_bytes=max_file_mb * 2**20, text_characters=max_text_characters, queued_texts=max_queued_texts
    )
    server.serve(models, host=host, port=port, limits=limits, runtime=runtime)
