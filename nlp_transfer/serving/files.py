"""Whole files on a server: looked through when they arrive, then answered chunk by chunk.

Reading, cutting and writing are those of the commands `predict` and `translate`; here they go through the
models' queues, so that a long file and other clients' texts take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nlp_transfer.data.po_files import PoFile, read_po_file
from nlp_transfer.data.tables import format_of, read_rows
from nlp_transfer.errors import ConfigError, DataError
from nlp_transfer.inference.catalogue import translate_entries
from nlp_transfer.inference.documents import prediction_columns
from nlp_transfer.inference.long_texts import TooLong
from nlp_transfer.inference.results_out import Result, opened, replaced, row_writer
from nlp_transfer.inference.texts_in import TextRows, text_rows
from nlp_transfer.inference.translation_documents import CATALOGUE_SUFFIXES
from nlp_transfer.serving.limits import Limits, Refused, require_length
from nlp_transfer.serving.served import USUAL, How, ServedModel, Task

# Rows that are answered at a time: another client's text waits for one such chunk at most.
CHUNK_ROWS = 32
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".txt")
NAME_CHARACTERS = 120
# Takes rows done and rows in all; raises to stop the work.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Upload:
    """A file that a client sent.

    Attributes:
        path: where its bytes are.
        name: what the client calls it, without folders; stands in errors.
        text_column: the column with the text; None takes the first of the usual names.
        how: for translations.
    """

    path: Path
    name: str
    text_column: str | None = None
    how: How = USUAL

    @property
    def is_catalogue(self) -> bool:
        return PurePosixPath(self.name).suffix.lower() in CATALOGUE_SUFFIXES


def suffixes(task: Task) -> tuple[str, ...]:
    """List the kinds of files that are answered."""
    return (*TABLE_SUFFIXES, *CATALOGUE_SUFFIXES) if task == "translation" else TABLE_SUFFIXES


def checked_name(name: str, task: Task) -> str:
    r"""Return a client's name for a file without folders and control characters.

    >>> checked_name("C:\\data\\reviews.csv", "classification")
    'reviews.csv'

    Raises:
        Refused: 422, it is no kind of file that is read.
    """
    base = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(character for character in base if character.isprintable())[-NAME_CHARACTERS:]
    if PurePosixPath(kept).suffix.lower() not in suffixes(task):
        raise Refused(
            422,
            "unknown_format",
            f"{kept or 'a file without a name'} is not read here; files are {', '.join(suffixes(task))}",
        )
    return kept


def require_fitting(upload: Upload, models: Sequence[ServedModel]) -> None:
    """Refuse parameters that do not go with a file: a catalogue has room for one translation, and no columns.

    Raises:
        ConfigError: there are several models for a catalogue, a column in one, or a language for labels.
    """
    if upload.is_catalogue and len(models) > 1:
        names = ", ".join(model.name for model in models)
        raise ConfigError(f"a gettext catalogue is filled by one model; choose one of {names}")
    if upload.is_catalogue and upload.text_column is not None:
        raise ConfigError(f"{upload.name}: text_column is not for gettext catalogues")
    if models[0].task == "classification" and upload.how != USUAL:
        raise ConfigError("tgt_lang and num_beams are for translation models; these give labels")


def rows_of(upload: Upload, limits: Limits) -> int:
    """Look through a whole file before work begins.

    Returns:
        How many rows are to be answered; of a catalogue, how many entries are empty.

    Raises:
        DataError: it cannot be read, or a row has no text.
        Refused: 422, it has too many rows or a text that is too long.
    """
    if upload.is_catalogue:
        empty = [entry for entry in _catalogue(upload).entries if entry.is_untranslated]
        _require_rows(len(empty), limits)
        return len(empty)
    with _opened(upload) as given:
        rows = 0
        for number, chunk, texts in given.chunks(CHUNK_ROWS):
            rows += len(chunk)
            _require_rows(rows, limits)
            for place, text in enumerate(texts, start=number):
                require_length(text, limits, place=f"row {place}")
    return rows


def answer_file(
    upload: Upload, models: Sequence[ServedModel], output: Path, *, rows: int, progress: Progress
) -> str:
    """Answer a file with one or several models and write the result.

    A table keeps its columns and gets those of `predict` or `translate`; several models have their names
    before them (`adapted_label`). In a catalogue the empty entries are filled, by one model.

    Args:
        upload: the file.
        models: in the order of their columns.
        output: the file to write.
        rows: from `rows_of`.
        progress: is called after each chunk.

    Returns:
        What was done, in a line.

    Raises:
        DataError: a sentence is too long, or the result's format cannot hold a row.
        ConfigError: a catalogue is in another language than the model's.
        ModelError: the model does not translate into `tgt_lang`.
    """
    if upload.is_catalogue:
        return _fill(upload, models[0], output, progress)
    with _opened(upload) as given, opened(output) as file:
        written = format_of(output.name)
        write = row_writer(file, written, plain=_line, flat=lambda result: result)
        for number, chunk, texts in given.chunks(CHUNK_ROWS):
            waiting = [model.batcher.submit(texts, upload.how, bounded=False) for model in models]
            answers = [_waited(future, number) for future in waiting]
            for row, *results in zip(chunk, *answers, strict=True):
                write(row, beside(models, results, flat=written != "jsonl"))
            progress(number + len(chunk) - 1, rows)
    return f"{rows:,} {'row' if rows == 1 else 'rows'} answered"


def result_name(upload: Upload, task: Task, models: int) -> str:
    """Name a result: of its upload's format, but a csv where lines of text cannot hold it.

    >>> result_name(Upload(Path("x"), "reviews.txt"), "classification", 1)
    'reviews.labelled.csv'
    """
    path = PurePosixPath(upload.name)
    as_it_came = path.suffix.lower() != ".txt" or (task == "translation" and models == 1)
    done = "translated" if task == "translation" else "labelled"
    return f"{path.stem}.{done}{path.suffix.lower() if as_it_came else '.csv'}"


def beside(models: Sequence[ServedModel], answers: Sequence[Any], *, flat: bool) -> Result:
    """Lay the answers of all models to one text out as columns; `flat` for tables, one column a class."""
    columns: Result = {}
    for model, answer in zip(models, answers, strict=True):
        result = {"translation": answer} if model.task == "translation" else answer
        named = prediction_columns(result) if flat and model.task == "classification" else result
        prefix = "" if len(models) == 1 else f"{model.name}_"
        columns |= {f"{prefix}{name}": value for name, value in named.items()}
    return columns


@contextmanager
def _opened(upload: Upload) -> Iterator[TextRows]:
    with upload.path.open("rb") as stream:
        yield text_rows(
            read_rows(stream, name=upload.name, in_recipe=False),
            text_column=upload.text_column,
            purpose="answer",
        )


def _catalogue(upload: Upload) -> PoFile:
    return read_po_file(upload.path.read_bytes(), name=upload.name, to_be_filled=True)


def _require_rows(rows: int, limits: Limits) -> None:
    if rows > limits.file_rows:
        raise Refused(422, "too_many_rows", f"the file has more than {limits.file_rows:,} rows; divide it")


def _waited(future: Future[list[Any]], first: int) -> list[Any]:
    """Wait for a chunk's answers; `first` is the number of its first row."""
    answers = future.result()
    for number, answer in enumerate(answers, start=first):
        if isinstance(answer, TooLong):
            raise DataError(f"row {number}: {answer}")
    return answers


def _line(_: dict[str, Any], result: Result) -> str:
    return str(result["translation"])


def _fill(upload: Upload, model: ServedModel, output: Path, progress: Progress) -> str:
    catalogue = _catalogue(upload)
    queued: Any = _Queued(model, progress)  # has what filling asks of a Translator
    filling = translate_entries(
        queued,
        catalogue,
        tgt_lang=upload.how.tgt_lang,
        num_beams=upload.how.num_beams,
    )
    with replaced(output) as file:
        file.write(catalogue.filled(filling.translations))
    return filling.summary()


class _Queued:
    """A translation model behind its queue, as the filling of a catalogue asks for one."""

    def __init__(self, model: ServedModel, progress: Progress) -> None:
        self._model = model
        self._progress = progress

    @property
    def src_lang(self) -> str:
        return str(self._model.model.src_lang)

    @property
    def tgt_lang(self) -> str:
        return str(self._model.model.tgt_lang)

    @property
    def max_length_tokens(self) -> int:
        return int(self._model.model.max_length_tokens)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [int(count) for count in self._in_chunks(texts, How(count_tokens=True))]

    def translate(
        self,
        texts: Sequence[str],
        *,
        tgt_lang: str | None = None,
        num_beams: int | None = None,
        label: str | None = None,
    ) -> list[str]:
        return [str(text) for text in self._in_chunks(texts, How(tgt_lang, num_beams), self._progress)]

    def _in_chunks(self, texts: Sequence[str], how: How, progress: Progress | None = None) -> list[Any]:
        answers: list[Any] = []
        for start in range(0, len(texts), CHUNK_ROWS):
            chunk = texts[start : start + CHUNK_ROWS]
            answers += self._model.batcher.submit(chunk, how, bounded=False).result()
            if progress is not None:
                progress(len(answers), len(texts))
        return answers
