"""Prediction: the labels that `transformers` gives, in the input's order, beside its other columns."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from tiny import LABELS, rows, write_csv
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from nlp_transfer import load_adapted
from nlp_transfer.errors import ConfigError, DataError, ModelError, TransferError
from nlp_transfer.inference import texts_in
from nlp_transfer.inference.documents import predict_documents
from nlp_transfer.inference.load import FullClassifier, ProbeClassifier
from nlp_transfer.models.adapters import add_adapter, merge, save_adapter
from nlp_transfer.models.loading import load_classifier
from nlp_transfer.training.probing import fit_frozen_probe, save_probe

TEXTS = [
    "good",
    "the battery was so broken that i told all of them",
    "an ugly phone",
    "",
    "the film is good and superb",
]


@pytest.fixture(scope="module")
def model(tiny_model: Any) -> Path:
    """A classifier with its two labels."""
    return Path(tiny_model("bert", labels=LABELS))


@pytest.fixture(scope="module")
def probe(tiny_model: Any, tmp_path_factory: Any) -> Path:
    """A probe's folder."""
    train = rows("movies", 60)
    fitted = fit_frozen_probe(
        str(tiny_model("bert")), train, train, label_names=LABELS, max_length_tokens=40, seed=0
    )
    folder = tmp_path_factory.mktemp("probe") / "model"
    save_probe(fitted, folder)
    return Path(folder)


def by_hand(folder: Path, texts: list[str]) -> np.ndarray:
    """Score texts one by one with `transformers` alone."""
    classifier, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    with torch.inference_mode():
        scores = [
            classifier(**tokenizer(text, truncation=True, return_tensors="pt")).logits[0] for text in texts
        ]
    return torch.stack(scores).softmax(-1).numpy()


# load_adapted -------------------------------------------------------------------------------------


def test_predictions_come_in_the_texts_order_with_transformers_scores(model: Path) -> None:
    texts = [" ".join(["good", "ugly", "phone"][: 1 + row % 3] * (1 + row % 7)) for row in range(50)]
    found = load_adapted(model).predict(texts)
    expected = by_hand(model, texts)
    assert np.allclose([list(each["probabilities"].values()) for each in found], expected, atol=1e-5)
    assert [each["label"] for each in found] == [LABELS[best] for best in expected.argmax(axis=1)]
    assert [each["score"] for each in found] == [max(each["probabilities"].values()) for each in found]
    assert list(found[0]["probabilities"]) == LABELS


def test_the_plain_pipeline_gives_the_same_labels_and_scores(model: Path) -> None:
    plain = pipeline("text-classification", str(model))(TEXTS)
    found = load_adapted(str(model)).predict(TEXTS)
    assert [each["label"] for each in found] == [each["label"] for each in plain]
    assert np.allclose([each["score"] for each in found], [each["score"] for each in plain], atol=1e-5)


def test_a_run_folder_stands_for_its_model(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "run" / "model")
    classifier = load_adapted(tmp_path / "run")
    assert isinstance(classifier, FullClassifier)
    assert np.array_equal(classifier.logits(TEXTS), load_adapted(model).logits(TEXTS))


def test_a_merged_lora_model_predicts_as_its_adapter_does(tiny_model: Any, tmp_path: Path) -> None:
    loaded = load_classifier(str(tiny_model("roberta")), label_names=LABELS)
    adapted = add_adapter(loaded.model, rank=4, alpha=8, targets="auto", fresh=loaded.fresh, seed=0)
    with torch.no_grad():
        for name, weights in adapted.named_parameters():
            if "lora_B" in name:
                weights.normal_(generator=torch.Generator().manual_seed(1))
    save_adapter(adapted, tmp_path / "adapter", base="me/base", label_names=LABELS)
    merge(adapted).save_pretrained(tmp_path / "model")
    loaded.tokenizer.save_pretrained(tmp_path / "model")

    base = AutoModelForSequenceClassification.from_pretrained(tiny_model("roberta"), num_labels=2)
    with_adapter = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    batch = loaded.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = with_adapter(**batch).logits.numpy()
    assert np.allclose(load_adapted(tmp_path).logits(TEXTS), expected, atol=1e-5)


def test_a_probe_is_opened_too_and_predicts_as_it_was_fitted(probe: Path, tiny_model: Any) -> None:
    classifier = load_adapted(probe)
    assert isinstance(classifier, ProbeClassifier)
    assert classifier.label_names == LABELS
    train, test = rows("movies", 60), rows("movies", 40, seed=3)
    fitted = fit_frozen_probe(
        str(tiny_model("bert")), train, train, label_names=LABELS, max_length_tokens=40, seed=0
    )
    assert np.allclose(classifier.logits(test.texts), fitted.logits(test.texts), atol=1e-5)
    predicted = [LABELS.index(each["label"]) for each in classifier.predict(test.texts)]
    assert np.mean(predicted == test.labels) > 0.9
    assert np.allclose(classifier.probabilities(test.texts).sum(axis=1), 1)


def test_a_classifier_whose_labels_have_no_names_keeps_its_head(tiny_model: Any) -> None:
    folder = tiny_model("bert", labels=["LABEL_0", "LABEL_1", "LABEL_2"])
    classifier = load_adapted(folder)
    assert classifier.label_names == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert np.allclose(classifier.probabilities(TEXTS), by_hand(folder, TEXTS), atol=1e-5)


def test_no_text_gives_no_prediction(model: Path, probe: Path) -> None:
    for folder in (model, probe):
        assert load_adapted(folder).predict([]) == []


@pytest.mark.parametrize("texts", ["one text", [1], [None], ["good", b"bad"]])
def test_what_is_no_list_of_texts_is_refused(texts: Any, model: Path) -> None:
    with pytest.raises(TypeError, match="predict takes a list of texts"):
        load_adapted(model).predict(texts)


def test_a_text_longer_than_the_model_reads_is_cut(tiny_model: Any) -> None:
    for family in ("bert", "roberta", "mpnet"):
        classifier = load_adapted(tiny_model(family, labels=LABELS))
        long = " ".join(["good"] * 300)
        assert np.allclose(classifier.logits([long]), classifier.logits([long + " ugly phone"]))


@pytest.mark.parametrize(
    ("family", "limit"),
    [("bert", 80), ("roberta", 78), ("mpnet", 78), ("modernbert", 80), ("deberta-v2", 512)],
)
def test_a_tokenizer_without_a_limit_leaves_it_to_the_model(
    family: str, limit: int, tiny_model: Any, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model(family, labels=LABELS), tmp_path / "model")
    path = tmp_path / "model" / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "model_max_length": 10**30}))
    classifier = load_adapted(tmp_path / "model")
    assert isinstance(classifier, FullClassifier)
    assert classifier.max_length_tokens == limit
    assert classifier.logits([" ".join(["good"] * 600)]).shape == (1, 2)


def test_an_encoder_without_a_head_is_no_classifier(tiny_model: Any) -> None:
    with pytest.raises(
        ModelError,
        match=r"is not an adapted classifier: it has no weights for classifier.bias, classifier.weight",
    ):
        load_adapted(tiny_model("bert"))


def test_a_damaged_probe_is_refused(probe: Path, tmp_path: Path) -> None:
    damages = {
        "probe.json": b"{",
        "probe.safetensors": b"\0" * 9,
        "model.safetensors": b"\0" * 9,
        "config.json": b"{",
        "tokenizer.json": b"{",
    }
    for name, content in damages.items():
        folder = Path(shutil.copytree(probe, tmp_path / name / "model"))
        (folder / name).write_bytes(content)
        with pytest.raises(
            ModelError, match=f"{folder} holds no whole probe|the model {folder} cannot be loaded"
        ):
            load_adapted(folder)


def test_transformers_finds_no_classifier_in_a_probe_and_its_readme_says_so(probe: Path) -> None:
    _, info = AutoModelForSequenceClassification.from_pretrained(probe, output_loading_info=True)
    assert {"classifier.weight", "classifier.bias"} <= set(info["missing_keys"])
    assert (
        "Only `nlp_transfer.load_adapted(folder)` opens it as a classifier"
        in (probe / "README.md").read_text()
    )


# Documents ----------------------------------------------------------------------------------------


def predict(model: Path, **given: Any) -> None:
    settings: dict[str, Any] = {
        "texts": None,
        "source": None,
        "output": None,
        "text_column": None,
        "revision": None,
        "as_json": False,
    }
    predict_documents(str(model), **{**settings, **given})


def labels_of(model: Path, texts: list[str]) -> list[str]:
    return [LABELS[best] for best in by_hand(model, texts).argmax(axis=1)]


def test_a_csv_keeps_its_columns_and_order(model: Path, tmp_path: Path) -> None:
    source = write_csv(
        tmp_path / "in.csv",
        ("id", "text", "note"),
        [(row, text, 'a "note", really\n') for row, text in enumerate(TEXTS)],
    )
    predict(model, source=source, output=tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == [
        "id",
        "text",
        "note",
        "label",
        "score",
        "probability_negative",
        "probability_positive",
    ]
    assert [row["id"] for row in found] == ["0", "1", "2", "3", "4"]
    assert [row["text"] for row in found] == TEXTS
    assert {row["note"] for row in found} == {'a "note", really\n'}
    assert [row["label"] for row in found] == labels_of(model, TEXTS)
    assert float(found[0]["probability_negative"]) + float(found[0]["probability_positive"]) == pytest.approx(
        1, abs=2e-6
    )


def test_a_tsv_is_read_and_written_without_quoting(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_text('text\tnote\na "good" phone\t"\n"ugly\tx\n')
    predict(model, source=tmp_path / "in.tsv", output=tmp_path / "out.tsv")
    lines = [line.split("\t")[:2] for line in (tmp_path / "out.tsv").read_text().splitlines()]
    assert lines == [["text", "note"], ['a "good" phone', '"'], ['"ugly', "x"]]


def test_a_jsonl_keeps_values_that_are_no_texts(model: Path, tmp_path: Path) -> None:
    lines = [{"review": "café good", "stars": 5, "tags": ["a"]}, {"review": "ugly", "extra": None}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    predict(model, source=tmp_path / "in.jsonl", output=tmp_path / "out.jsonl")
    text = (tmp_path / "out.jsonl").read_text()
    found = [json.loads(line) for line in text.splitlines()]
    assert "café" in text
    assert [{key: row[key] for key in line} for row, line in zip(found, lines, strict=True)] == lines
    assert set(found[0]["probabilities"]) == set(LABELS)
    assert [row["label"] for row in found] == labels_of(model, ["café good", "ugly"])


def test_a_parquet_file_is_answered_with_jsonl(model: Path, tmp_path: Path, capsys: Any) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(
        pyarrow.table({"text": ["good", "ugly"], "id": [7, 8]}), tmp_path / "in.parquet"
    )
    predict(model, source=tmp_path / "in.parquet")
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [7, 8]


def test_names_that_are_taken_are_left_to_the_input(model: Path, tmp_path: Path) -> None:
    header = ("text", "label", "score", "predicted_label")
    source = write_csv(tmp_path / "in.csv", header, [("good", "mine", "3", "hers")])
    predict(model, source=source, output=tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["label"], row["score"], row["predicted_label"]) == ("mine", "3", "hers")
    assert row["predicted_predicted_label"] == labels_of(model, ["good"])[0]
    assert 0.5 <= float(row["predicted_score"]) <= 1


def test_texts_from_arguments_are_listed(model: Path, capsys: Any) -> None:
    predict(model, texts=["good", "ugly phone"])
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [[line[0], line[2]] for line in lines] == [
        [label, text]
        for label, text in zip(labels_of(model, ["good", "ugly phone"]), ["good", "ugly phone"], strict=True)
    ]


def test_texts_from_arguments_are_written_as_json_where_asked_for(model: Path, capsys: Any) -> None:
    predict(model, texts=["good"], as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["text"], found["label"]) == ("good", labels_of(model, ["good"])[0])


def stdin(monkeypatch: Any, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))


def test_stdin_holds_a_text_a_line(model: Path, monkeypatch: Any, capsys: Any) -> None:
    stdin(monkeypatch, "\ufeffgood café\r\n\n  \nugly\n".encode())
    predict(model)
    assert [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()] == ["good café", "ugly"]


def test_a_half_character_does_not_stop_a_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "good \\ud83d", "note": "\\ud83d"}\n')
    predict(model, source=tmp_path / "in.jsonl", output=tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text())["note"] == "\ud83d"
    predict(model, source=tmp_path / "in.jsonl", output=tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("good ?,?,")


def test_the_result_may_replace_the_input(model: Path, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", ("text",), [("good",), ("ugly",)])
    predict(model, source=file, output=file)
    assert file.read_text().splitlines()[0] == "text,label,score,probability_negative,probability_positive"


BAD_INPUTS: dict[str, tuple[dict[str, bytes], dict[str, Any], str]] = {
    "no such file": ({}, {"source": "in.csv"}, "no file at .*in.csv"),
    "an empty file": (
        {"in.csv": b""},
        {"source": "in.csv"},
        "in.csv is empty: a header line with column names was expected",
    ),
    "a header alone": ({"in.csv": b"text\n"}, {"source": "in.csv"}, "there is no text to label"),
    "an empty jsonl": ({"in.jsonl": b"\n"}, {"source": "in.jsonl"}, "there is no text to label"),
    "no text column": (
        {"in.csv": b"a,b\n1,2\n"},
        {"source": "in.csv"},
        "set --text-column to one of the input's columns: a, b",
    ),
    "a misspelt column": (
        {"in.csv": b"a,review\n1,2\n"},
        {"source": "in.csv", "text_column": "revew"},
        "has no column 'revew'; did you mean review",
    ),
    "no text in a row": (
        {"in.jsonl": b'{"text": "a"}\n{"text": 3}\n'},
        {"source": "in.jsonl"},
        "row 2 of the input: column 'text' holds int, expected a text",
    ),
    "a missing text": (
        {"in.jsonl": b'{"text": "a"}\n{"id": 3}\n'},
        {"source": "in.jsonl"},
        "row 2 of the input: column 'text' holds NoneType",
    ),
    "a binary file": ({"in.csv": b"\x00\x01\x02"}, {"source": "in.csv"}, "binary file"),
    "another encoding": (
        {"in.csv": "text\ncafé\n".encode("latin-1")},
        {"source": "in.csv"},
        "is not utf-8 text",
    ),
    "an unknown format": ({"in.doc": b"text"}, {"source": "in.doc"}, "the format is not known by its name"),
    "an unwritable format": (
        {"in.csv": b"text\na\n"},
        {"source": "in.csv", "output": "out.parquet"},
        "predictions are written as csv, tsv, jsonl",
    ),
    "a folder to write": (
        {"in.csv": b"text\na\n"},
        {"source": "in.csv", "output": "."},
        "is a folder; name a file",
    ),
    "no folder to write in": (
        {"in.csv": b"text\na\n"},
        {"source": "in.csv", "output": "away/out.csv"},
        "away/out.csv cannot be written",
    ),
    "texts and a file": (
        {"in.csv": b"text\na\n"},
        {"source": "in.csv", "texts": ["a"]},
        "give texts or --input, not both",
    ),
    "ragged rows as csv": (
        {"in.jsonl": b'{"text": "a"}\n{"text": "b", "id": 3}\n'},
        {"source": "in.jsonl", "output": "out.csv"},
        r"row 2 of the input has other columns than the first \(id\); write it as jsonl",
    ),
    "a tab in a tsv": (
        {"in.jsonl": b'{"text": "a\\tb"}\n'},
        {"source": "in.jsonl", "output": "out.tsv"},
        "row 1 of the input holds a tab or a line break; write it as csv or jsonl",
    ),
}


@pytest.mark.parametrize(("files", "given", "message"), BAD_INPUTS.values(), ids=list(BAD_INPUTS))
def test_bad_input_ends_with_one_message_and_nothing_written(
    files: dict[str, bytes], given: dict[str, Any], message: str, model: Path, tmp_path: Path, capsys: Any
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    given = {key: tmp_path / value if key in ("source", "output") else value for key, value in given.items()}
    with pytest.raises(TransferError, match=message) as caught:
        predict(model, **given)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("first", "told"),
    [("id,text", True), ('{"text": "good"}', True), ("review\tstars", True), ("good, text", False)],
)
def test_a_table_on_stdin_is_told_to_be_given_as_a_file(
    first: str, told: bool, model: Path, monkeypatch: Any, capsys: Any, caplog: Any
) -> None:
    stdin(monkeypatch, f"{first}\ngood\n".encode())
    predict(model)
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert ("stdin is read as a text a line" in caplog.text) == told


def test_stdin_that_is_no_text_is_refused(model: Path, monkeypatch: Any) -> None:
    stdin(monkeypatch, b"good\n\xff\xfe\n")
    with pytest.raises(DataError, match="stdin is not UTF-8 text \\(byte 0xff\\)"):
        predict(model)
    stdin(monkeypatch, b"\n\n")
    with pytest.raises(DataError, match="there is no text to label"):
        predict(model)


def test_a_terminal_is_not_waited_for(model: Path, monkeypatch: Any) -> None:
    stdin(monkeypatch, b"")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    with pytest.raises(
        ConfigError, match="nothing to label: give texts, --input FILE, or pipe one text a line"
    ):
        predict(model)


def test_an_existing_result_stays_where_a_later_row_fails(
    model: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(texts_in, "CHUNK_ROWS", 2)
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n' * 5 + '{"text": null}\n')
    (tmp_path / "out.jsonl").write_text("before")
    with pytest.raises(DataError, match="row 6 of the input"):
        predict(model, source=tmp_path / "in.jsonl", output=tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_chunks_do_not_show_in_the_result(model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    source = write_csv(tmp_path / "in.csv", ("text",), [(text,) for text in TEXTS])
    monkeypatch.setattr(texts_in, "CHUNK_ROWS", 2)
    predict(model, source=source, output=tmp_path / "chunks.csv")
    monkeypatch.undo()
    predict(model, source=source, output=tmp_path / "whole.csv")
    assert [line.split(",")[1] for line in (tmp_path / "chunks.csv").read_text().splitlines()] == [
        line.split(",")[1] for line in (tmp_path / "whole.csv").read_text().splitlines()
    ]
