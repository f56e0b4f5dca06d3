"""Documents: a translation beside each row, a line for each line, a catalogue filled, or one message."""

from __future__ import annotations

import csv
import io
import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_translator import FakeTranslator
from tiny import write_csv

from nlp_transfer.errors import ConfigError, DataError, ModelError, TransferError
from nlp_transfer.inference import load, texts_in
from nlp_transfer.inference.documents import predict_documents
from nlp_transfer.inference.translation_documents import translate_documents

Translate = Callable[..., FakeTranslator]
PO = (
    'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n"Language: gl\\n"\n\n'
    'msgid "Save"\nmsgstr ""\n\nmsgid "Open"\nmsgstr "Abrir"\n'
)
FILLED_PO = PO.replace('msgid "Save"\nmsgstr ""', '#, fuzzy\nmsgid "Save"\nmsgstr "«Save»"')


@pytest.fixture
def translate(monkeypatch: Any) -> Translate:
    """Translate with a fake model, which is returned."""

    def run(translator: FakeTranslator | None = None, **given: Any) -> FakeTranslator:
        model = translator or FakeTranslator()
        loaded: list[tuple[str, str | None]] = []

        def load_adapted(path: str, *, revision: str | None, runtime: str | None) -> FakeTranslator:
            loaded.append((path, revision))
            return model

        monkeypatch.setattr(load, "load_adapted", load_adapted)
        settings: dict[str, Any] = dict.fromkeys(
            ("texts", "source", "output", "text_column", "tgt_lang", "num_beams", "revision")
        )
        translate_documents("a/model", **{**settings, "as_json": False, **given})
        assert loaded == [("a/model", given.get("revision"))]
        return model

    return run


def stdin(monkeypatch: Any, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))


# Lines --------------------------------------------------------------------------------------------


def test_texts_from_arguments_are_answered_by_a_line_each(translate: Translate, capsys: Any) -> None:
    translator = translate(texts=["Save", "Open it"], tgt_lang="ast", num_beams=4, revision="v1")
    assert capsys.readouterr().out == "«Save»\n«Open it»\n"
    assert translator.settings == [("ast", 4, None)]


def test_json_has_the_text_beside_its_translation(translate: Translate, capsys: Any) -> None:
    translate(texts=["Café", "a\nb"], as_json=True)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"text": "Café", "translation": "«Café»"},
        {"text": "a\nb", "translation": "«a»\n«b»"},
    ]
    assert "Café" in lines[0]


def test_stdin_has_as_many_lines_as_the_result(translate: Translate, monkeypatch: Any, capsys: Any) -> None:
    stdin(monkeypatch, "\ufeff\nSave café\r\n  \n\n%s\nOpen".encode())
    translate()
    assert capsys.readouterr().out == "\n«Save café»\n  \n\n%s\n«Open»\n"


def test_a_text_file_has_as_many_lines_as_the_result(
    translate: Translate, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "in.txt").write_text("Save\n\n \nOpen\n\n")
    translate(source=tmp_path / "in.txt")
    assert capsys.readouterr().out == "«Save»\n\n \n«Open»\n\n"
    translate(source=tmp_path / "in.txt", output=tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "«Save»\n\n \n«Open»\n\n"


def test_half_characters_and_control_characters_stop_nothing(translate: Translate, capsys: Any) -> None:
    translator = translate(texts=["a \ud83d b", "c\x00\x1bd"])
    assert translator.asked == ["a ? b", "c\x00\x1bd"]
    assert capsys.readouterr().out == "«a ? b»\n«c\x00\x1bd»\n"


# Tables -------------------------------------------------------------------------------------------


def test_a_csv_keeps_its_columns(translate: Translate, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", ("id", "text", "note"), [(7, "One\nTwo", 'a "b"'), (8, "", "x")])
    translate(source=source, output=tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"id": "7", "text": "One\nTwo", "note": 'a "b"', "translation": "«One»\n«Two»"},
            {"id": "8", "text": "", "note": "x", "translation": ""},
        ]


def test_a_tsv_is_answered_with_a_tsv(translate: Translate, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "in.tsv").write_text('en\tn\nSave "it"\t1\n')
    translate(source=tmp_path / "in.tsv", text_column="en")
    assert capsys.readouterr().out == 'en\tn\ttranslation\nSave "it"\t1\t«Save "it"»\n'


def test_a_jsonl_keeps_values_that_are_no_texts(translate: Translate, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "Save", "n": 3, "tags": ["a"]}\n{"text": "Open"}\n')
    translate(source=tmp_path / "in.jsonl")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"text": "Save", "n": 3, "tags": ["a"], "translation": "«Save»"},
        {"text": "Open", "translation": "«Open»"},
    ]


def test_a_parquet_file_is_answered_with_jsonl(translate: Translate, tmp_path: Path, capsys: Any) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"text": ["Save"], "id": [7]}), tmp_path / "in.parquet")
    translate(source=tmp_path / "in.parquet")
    assert json.loads(capsys.readouterr().out) == {"text": "Save", "id": 7, "translation": "«Save»"}


def test_a_column_that_is_there_already_keeps_its_values(translate: Translate, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", ("text", "translation"), [("Save", "by a person")])
    translate(source=source, output=source)
    assert source.read_text() == "text,translation,predicted_translation\nSave,by a person,«Save»\n"


def test_chunks_keep_the_order(translate: Translate, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(texts_in, "CHUNK_ROWS", 2)
    (tmp_path / "in.txt").write_text("a\nb\nc\nd\ne\n")
    translator = translate(source=tmp_path / "in.txt")
    assert capsys.readouterr().out == "«a»\n«b»\n«c»\n«d»\n«e»\n"
    assert len(translator.settings) == 3


def test_a_file_has_a_progress_bar_in_a_terminal(
    translate: Translate, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    (tmp_path / "in.po").write_text(PO)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert translate(source=tmp_path / "in.txt").settings == [(None, None, "translate")]
    assert translate(source=tmp_path / "in.po").settings == [(None, None, "translate")]
    assert translate(texts=["a"]).settings == [(None, None, None)]


# Catalogues ---------------------------------------------------------------------------------------


def test_a_catalogue_goes_to_stdout(translate: Translate, tmp_path: Path, capfdbinary: Any) -> None:
    (tmp_path / "gl.po").write_text(PO)
    translate(source=tmp_path / "gl.po")
    assert capfdbinary.readouterr().out == FILLED_PO.encode()
    assert (tmp_path / "gl.po").read_text() == PO


def test_a_catalogue_is_printed_where_stdout_takes_text_alone(
    translate: Translate, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "gl.po").write_text(PO)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    translate(source=tmp_path / "gl.po")
    assert sys.stdout.getvalue() == FILLED_PO  # type: ignore[attr-defined]


def test_a_catalogue_may_be_filled_in_its_place(translate: Translate, tmp_path: Path) -> None:
    file = tmp_path / "gl.po"
    file.write_bytes(PO.replace("\n", "\r\n").encode())
    file.chmod(0o640)
    (tmp_path / "link.po").symlink_to(file)
    translate(source=tmp_path / "link.po", output=tmp_path / "link.po", tgt_lang="gl", num_beams=2)
    assert file.read_bytes() == FILLED_PO.replace("\n", "\r\n").encode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert (tmp_path / "link.po").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gl.po", "link.po"]


def test_a_template_is_filled_into_a_catalogue(translate: Translate, tmp_path: Path) -> None:
    (tmp_path / "x.pot").write_text(PO.replace("Language: gl", "Language: "))
    translate(source=tmp_path / "x.pot", output=tmp_path / "gl.po")
    assert (tmp_path / "gl.po").read_text() == FILLED_PO.replace("Language: gl", "Language: ")


# Refusals -----------------------------------------------------------------------------------------

LONG = "word " * 80
BAD_INPUTS: dict[str, tuple[dict[str, bytes], dict[str, Any], str]] = {
    "no such file": ({}, {"source": "in.csv"}, "no file at .*in.csv"),
    "an empty file": ({"in.txt": b""}, {"source": "in.txt"}, "there is no text to translate"),
    "no text column": (
        {"in.csv": b"a,b\n1,2\n"},
        {"source": "in.csv"},
        "set --text-column to one of the input's columns: a, b",
    ),
    "no text in a row": (
        {"in.jsonl": b'{"text": "a"}\n{"text": null}\n'},
        {"source": "in.jsonl"},
        "row 2 of the input: column 'text' holds NoneType, expected a text",
    ),
    "another encoding": ({"in.txt": "café\n".encode("latin-1")}, {"source": "in.txt"}, "is not utf-8 text"),
    "texts and a file": (
        {"in.txt": b"a\n"},
        {"source": "in.txt", "texts": ["a"]},
        "give texts or --input, not",
    ),
    "texts and a catalogue": (
        {"in.po": PO.encode()},
        {"source": "in.po", "texts": ["a"]},
        "give texts or --input, not both",
    ),
    "an unwritable format": (
        {"in.txt": b"a\n"},
        {"source": "in.txt", "output": "out.parquet"},
        "translations are written as csv, tsv, jsonl, txt",
    ),
    "a compressed file": (
        {"in.txt": b"a\n"},
        {"source": "in.txt", "output": "out.csv.gz"},
        "out.csv.gz: translations are written as csv",
    ),
    "a sentence that is too long": (
        {"in.txt": f"a\n\n{LONG}\n".encode()},
        {"source": "in.txt", "output": "out.txt"},
        "row 3 of the input: a sentence of 81 tokens is longer than the 64 that the model reads",
    ),
    "a line of 100,000 characters": (
        {"in.csv": f"text\n{'word ' * 20_000}\n".encode()},
        {"source": "in.csv", "output": "out.csv"},
        "row 1 of the input: a sentence of 20,001 tokens",
    ),
    "a line break in a txt": (
        {"in.csv": b'text\n"a\nb"\n'},
        {"source": "in.csv", "output": "out.txt"},
        "row 1 of the input holds a line break; write it as csv or jsonl",
    ),
    "a catalogue as csv": (
        {"in.po": PO.encode()},
        {"source": "in.po", "output": "out.csv"},
        "out.csv: a gettext catalogue is written to a .po file",
    ),
    "a catalogue within a file": (
        {"in.po": PO.encode()},
        {"source": "in.po", "output": "in.po/out.po"},
        "in.po is a file and no folder; name a file somewhere else",
    ),
    "rows as a catalogue": (
        {"in.txt": b"a\n"},
        {"source": "in.txt", "output": "out.po"},
        "out.po: translations are written as csv, tsv, jsonl, txt",
    ),
    "a column of a catalogue": (
        {"in.po": PO.encode()},
        {"source": "in.po", "text_column": "text"},
        "in.po: --text-column and --json are not for gettext catalogues",
    ),
    "a catalogue as json": (
        {"in.po": PO.encode()},
        {"source": "in.po", "as_json": True},
        "--json are not for",
    ),
    "no such catalogue": ({}, {"source": "in.po"}, "in.po cannot be read: No such file"),
    "a catalogue with a broken header": (
        {"in.po": PO.replace("charset=UTF-8", "charset=UTF-77").encode()},
        {"source": "in.po", "output": "in.po"},
        "its header names 'UTF-77'",
    ),
    "a catalogue that is no UTF-8": (
        {"in.po": PO.encode() + b'\nmsgid "x"\nmsgstr "\xe9"\n'},
        {"source": "in.po", "output": "in.po"},
        r"in.po, line 13: not utf-8 text \(byte 0xe9\)",
    ),
    "a catalogue of another language": (
        {"in.po": PO.replace("Language: gl", "Language: fr").encode()},
        {"source": "in.po", "output": "in.po"},
        "in the language 'fr' by its header, the model translates into 'gl'; .*--tgt-lang",
    ),
    "no folder to write in": (
        {"in.po": PO.encode()},
        {"source": "in.po", "output": "away/out.po"},
        "away/out.po cannot be written",
    ),
}


@pytest.mark.parametrize(("files", "given", "message"), BAD_INPUTS.values(), ids=list(BAD_INPUTS))
def test_bad_input_ends_with_one_message_and_nothing_written(
    files: dict[str, bytes],
    given: dict[str, Any],
    message: str,
    translate: Translate,
    tmp_path: Path,
    capfd: Any,
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    given = {key: tmp_path / value if key in ("source", "output") else value for key, value in given.items()}
    with pytest.raises(TransferError, match=message) as caught:
        translate(**given)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert capfd.readouterr().out == ""


def test_a_terminal_is_not_waited_for(translate: Translate, monkeypatch: Any) -> None:
    stdin(monkeypatch, b"")
    with pytest.raises(DataError, match="there is no text to translate"):
        translate()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    with pytest.raises(ConfigError, match="nothing to translate: give texts, --input FILE, or pipe one text"):
        translate()


def test_a_classifier_does_not_translate(tiny_model: Any, tmp_path: Path) -> None:
    model = tiny_model("bert", labels=["negative", "positive"])
    settings: dict[str, Any] = dict.fromkeys(
        ("source", "output", "text_column", "tgt_lang", "num_beams", "revision")
    )
    with pytest.raises(ModelError, match="is a classifier; use `nlp-transfer predict`"):
        translate_documents(str(model), texts=["a"], as_json=False, **settings)
    (tmp_path / "gl.po").write_text(PO)
    with pytest.raises(ModelError, match="is a classifier; use `nlp-transfer predict`"):
        translate_documents(
            str(model), texts=None, as_json=False, **{**settings, "source": tmp_path / "gl.po"}
        )


def test_a_translation_model_does_not_label(monkeypatch: Any) -> None:
    monkeypatch.setattr(load, "load_adapted", lambda path, *, revision, runtime: FakeTranslator())
    settings: dict[str, Any] = dict.fromkeys(("source", "output", "text_column", "revision"))
    with pytest.raises(ModelError, match="a/model is a translation model; use `nlp-transfer translate`"):
        predict_documents("a/model", texts=["a"], as_json=False, **settings)
