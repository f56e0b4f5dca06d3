"""Translations for files and streams: read rows, translate them chunk by chunk, write them with their other
columns; or fill a gettext catalogue.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nlp_transfer.data.po_files import read_po_file
from nlp_transfer.disk import require_folder_of
from nlp_transfer.errors import ConfigError, DataError, ModelError
from nlp_transfer.inference.catalogue import fill_catalogue
from nlp_transfer.inference.long_texts import CutText, TooLong, cut_texts, translate_cut_texts
from nlp_transfer.inference.results_out import TABLE_FORMATS, opened, output_format, replaced, row_writer
from nlp_transfer.inference.texts_in import read_texts

if TYPE_CHECKING:
    from nlp_transfer.inference.translator import Translator

CATALOGUE_SUFFIXES = (".po", ".pot")

logger = logging.getLogger(__name__)


def translate_documents(
    model: str,
    *,
    texts: Sequence[str] | None,
    source: Path | None,
    output: Path | None,
    text_column: str | None,
    tgt_lang: str | None,
    num_beams: int | None,
    revision: str | None,
    as_json: bool,
    runtime: str | None = None,
) -> None:
    """Translate texts from arguments, a file or stdin, and write them to a file or stdout.

    A csv, tsv or jsonl result keeps the input's columns and adds `translation` (`predicted_translation` where
    that name is taken); texts from lines, arguments and stdin are answered by one line each. In a .po file
    the untranslated entries are filled and marked fuzzy. A file is written whole or not at all.

    Args:
        model: a model folder, a run folder, or a Hub id.
        texts: from arguments.
        source: the file to read.
        output: the file to write; None is stdout.
        text_column: the column with the text.
        tgt_lang: the language to translate into; None is the model's own.
        num_beams: width of the beam search; None is the model's own.
        revision: Hub revision.
        as_json: write JSON lines where no output file is named.
        runtime: see `load_adapted`.

    Raises:
        ConfigError: options that do not go together, a format that is not written, or a catalogue in another
            language than the model's.
        DataError: the input cannot be read, a row has no text or a sentence that is too long, or the output's
            format cannot hold a row.
        ModelError: there is no such model, or it is a classifier.
    """
    if source is not None and source.suffix.lower() in CATALOGUE_SUFFIXES:
        if texts:
            raise ConfigError("give texts or --input, not both")
        if text_column is not None or as_json:
            raise ConfigError(f"{source}: --text-column and --json are not for gettext catalogues")
        _translate_catalogue(
            model,
            source,
            output,
            tgt_lang=tgt_lang,
            num_beams=num_beams,
            revision=revision,
            runtime=runtime,
        )
        return
    written = output_format(
        output, source, as_json=as_json, written=(*TABLE_FORMATS, "txt"), what="translations"
    )
    given = read_texts(texts, source, text_column=text_column, purpose="translate", blank_lines=True)
    translator = _load_translator(model, revision, runtime)
    bar = _bar(source)
    with opened(output) as file:
        write = row_writer(file, written, plain=lambda _, result: str(result["translation"]))
        done = 0
        for number, rows, contents in given.chunks():
            cut = _readable(cut_texts(translator, contents), number)
            results = translate_cut_texts(translator, cut, tgt_lang=tgt_lang, num_beams=num_beams, label=bar)
            for row, result in zip(rows, results, strict=True):
                write(row, {"translation": result})
            done += len(rows)
    if output is not None:
        logger.info("%s rows translated: %s", f"{done:,}", output)


def _translate_catalogue(
    model: str,
    source: Path,
    output: Path | None,
    *,
    tgt_lang: str | None,
    num_beams: int | None,
    revision: str | None,
    runtime: str | None,
) -> None:
    if output is not None and (output.is_dir() or output.suffix.lower() not in CATALOGUE_SUFFIXES):
        raise ConfigError(f"{output}: a gettext catalogue is written to a .po file")
    if output is not None:
        require_folder_of(output)
    try:
        content = source.read_bytes()
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}") from error
    catalogue = read_po_file(content, name=str(source), to_be_filled=True)
    filled = fill_catalogue(
        _load_translator(model, revision, runtime),
        catalogue,
        tgt_lang=tgt_lang,
        num_beams=num_beams,
        label=_bar(source),
    )
    if output is None:
        _print_bytes(filled, catalogue.charset)
        return
    with replaced(output) as file:
        file.write(filled)


def _print_bytes(content: bytes, charset: str) -> None:
    """Write a file to stdout as it is; where stdout takes text alone, as in a notebook, write its text."""
    sys.stdout.flush()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        sys.stdout.write(content.decode(charset))


def _load_translator(model: str, revision: str | None, runtime: str | None) -> Translator:
    from nlp_transfer.inference.load import load_adapted

    loaded: Any = load_adapted(model, revision=revision, runtime=runtime)
    if not hasattr(loaded, "translate"):
        raise ModelError(f"{model} is a classifier; use `nlp-transfer predict`")
    return cast("Translator", loaded)


def _readable(texts: Sequence[CutText | TooLong], first: int) -> list[CutText]:
    """Return texts that the model can read; `first` is the number of the first one in the input.

    Raises:
        DataError: a sentence in one of them is too long.
    """
    for number, text in enumerate(texts, start=first):
        if isinstance(text, TooLong):
            raise DataError(f"row {number} of the input: {text}")
    return [text for text in texts if isinstance(text, CutText)]


def _bar(source: Path | None) -> str | None:
    """Name the progress bar: a file that is read in a terminal has one."""
    return "translate" if source is not None and sys.stderr.isatty() else None
