"""Files on a server: the same columns as the commands write, progress, refusals, and nothing left behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fake_translator import FakeTranslator
from fastapi.testclient import TestClient
from serving import FakeClassifier, api

from nlp_transfer.serving import jobs as jobs_module
from nlp_transfer.serving.jobs import FileJobs
from nlp_transfer.serving.limits import Limits
from nlp_transfer.serving.served import served_models

Serve = Callable[..., TestClient]
PO = (
    'msgid ""\nmsgstr ""\n"Language: gl\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    'msgid "Save"\nmsgstr ""\n\nmsgid "Open"\nmsgstr "Abrir"\n\nmsgid "Close %s"\nmsgstr ""\n'
)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts an API around models and returns a client of it."""
    with ExitStack() as stack:

        def started(models: dict[str, Any], limits: Limits | None = None) -> TestClient:
            return TestClient(stack.enter_context(api(models, limits)), base_url="http://localhost")

        yield started


def send(client: TestClient, name: str, content: str | bytes, **parameters: Any) -> Any:
    return client.post("/api/files", params={"name": name, **parameters}, content=content)


def finished(client: TestClient, response: Any) -> dict[str, Any]:
    assert response.status_code == 202, response.text
    state = response.json()
    until = time.monotonic() + 30
    while state["status"] in ("waiting", "running"):
        assert time.monotonic() < until
        time.sleep(0.01)
        state = client.get(f"/api/files/{state['id']}").json()
    return dict(state)


def result(client: TestClient, name: str, content: str, **parameters: Any) -> tuple[str, str]:
    """Send a file and fetch its result: (name, text)."""
    state = finished(client, send(client, name, content, **parameters))
    assert state["status"] == "done", state["message"]
    fetched = client.get(state["result"])
    assert f'filename="{state["result_name"]}"' in fetched.headers["Content-Disposition"]
    return state["result_name"], fetched.text


LABELLED = "short,0.9,0.900000,0.100000"


@pytest.mark.parametrize(
    ("name", "content", "written", "expected"),
    [
        (
            "a.csv",
            'n,review\n1,"x, 6789 0"\n',
            "a.labelled.csv",
            f'n,review,label,score,probability_short,probability_long\n1,"x, 6789 0",{LABELLED[:6]}'
            "0.91,0.910000,0.090000\n",
        ),
        (
            "a.txt",
            "0123456789\n",
            "a.labelled.csv",
            f"text,label,score,probability_short,probability_long\n0123456789,{LABELLED}\n",
        ),
        (
            "a.tsv",
            "text\tlabel\n0123456789\tx\n",
            "a.labelled.tsv",
            "text\tlabel\tpredicted_label\tscore\tprobability_short\tprobability_long\n0123456789\tx\t"
            + LABELLED.replace(",", "\t")
            + "\n",
        ),
    ],
)
def test_a_table_comes_back_with_its_columns_and_the_labels(
    serve: Serve, name: str, content: str, written: str, expected: str
) -> None:
    assert result(serve({"adapted": FakeClassifier()}), name, content) == (written, expected)


def test_several_models_stand_side_by_side(serve: Serve) -> None:
    client = serve({"base": FakeClassifier(), "adapted": FakeClassifier()})
    _, csv = result(client, "a.csv", "text\n0123456789\n", model=["adapted", "base"])
    assert csv.splitlines()[0] == ",".join(
        ["text"]
        + [
            f"{model}_{name}"
            for model in ("adapted", "base")
            for name in ("label", "score", "probability_short", "probability_long")
        ]
    )
    _, lines = result(client, "a.jsonl", '{"text": "0123456789", "n": 1}\n')
    assert json.loads(lines) == {
        "text": "0123456789",
        "n": 1,
        **{
            f"{model}_{name}": value
            for model in ("base", "adapted")
            for name, value in (
                ("label", "short"),
                ("score", 0.9),
                ("probabilities", {"short": 0.9, "long": 0.1}),
            )
        },
    }


def test_lines_are_translated_line_by_line_and_side_by_side_in_a_table(serve: Serve) -> None:
    client = serve({"a": FakeTranslator(), "b": FakeTranslator("<{}>".format)})
    assert result(client, "t.txt", "Save\n\nOpen\n", model="a") == ("t.translated.txt", "«Save»\n\n«Open»\n")
    assert result(client, "t.txt", "Save\n") == (
        "t.translated.csv",
        "text,a_translation,b_translation\nSave,«Save»,<Save>\n",
    )


def test_a_catalogue_is_filled_by_one_model_and_its_summary_told(serve: Serve) -> None:
    lossy = FakeTranslator(lambda text: "{0}" if text.startswith("Close") else text.upper())
    client = serve({"a": lossy, "b": FakeTranslator()})
    state = finished(client, send(client, "gl.po", PO, model="a"))
    assert state["message"] == (
        "1 filled and marked fuzzy, 1 left empty because the translation changed the placeholders (line 13), "
        "1 kept as they were"
    )
    filled = client.get(state["result"]).text
    assert 'msgid "Save"\nmsgstr "SAVE"\n' in filled
    assert 'msgid "Close %s"\nmsgstr ""\n' in filled
    refused = send(client, "gl.po", PO)
    assert refused.status_code == 422
    assert "filled by one model; choose one of a, b" in refused.json()["error"]["message"]


def test_a_file_is_answered_in_chunks_and_tells_how_far_it_is(serve: Serve) -> None:
    entered, gate = threading.Event(), threading.Event()

    def wait(texts: Any) -> None:
        if "row 40" in texts:
            entered.set()
            assert gate.wait(30)

    classifier = FakeClassifier(before=wait)
    client = serve({"adapted": classifier})
    sent = send(client, "a.csv", "text\n" + "".join(f"row {row}\n" for row in range(70)))
    assert entered.wait(30)
    path = f"/api/files/{sent.json()['id']}"
    state = client.get(path).json()
    assert (state["status"], state["rows_done"], state["rows"], state["result"]) == ("running", 32, 70, None)
    early = client.get(f"{path}/result")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "not_done")
    gate.set()
    state = finished(client, sent)
    assert (state["rows_done"], state["message"]) == (70, "70 rows answered")
    assert [len(texts) for texts in classifier.asked] == [32, 32, 6]


@pytest.mark.parametrize(
    ("name", "content", "parameters", "status", "words"),
    [
        ("a.csv", "x,n\na,1\n", {}, 422, "set text_column to one of the input's columns: x, n"),
        ("a.csv", "x,n\na,1\n", {"text_column": "m"}, 422, "the input has no column 'm'; known: n, x"),
        ("a.csv", "text,n\na\n", {}, 422, "a.csv, line 2: 1 cells, expected 2 (text, n)"),
        ("a.csv", "", {}, 422, "a.csv is empty"),
        ("a.csv", b"text\n\xff\xfe\n", {}, 422, "a.csv is not utf-8 text"),
        ("a.jsonl", '{"text": 3}\n', {}, 422, "row 1 of the input: column 'text' holds int"),
        ("a.csv", "text\n" + "a\n" * 4, {}, 422, "more than 3 rows"),
        ("a.csv", f"text\na\n{'b' * 101}\n", {}, 422, "row 2 has 101 characters, at most 100"),
        ("a.csv", "text\n" + "a" * 1000, {}, 413, "the file has more than"),
        ("../etc/passwd", "a", {}, 422, "passwd is not read here; files are .csv, .tsv"),
        ("a.csv.gz", "a", {}, 422, "a.csv.gz is not read here"),
        ("a.po", "a", {}, 422, "a.po is not read here"),
        ("a.csv", "text\na\n", {"tgt_lang": "gl"}, 422, "are for translation models"),
        ("a.csv", "text\na\n", {"model": "b"}, 422, "no model 'b'; known: adapted"),
        ("a.csv", "text\na\n", {"colour": "b"}, 422, "query.colour"),
    ],
)
def test_a_file_that_cannot_be_answered_is_refused_at_once(
    serve: Serve, name: str, content: Any, parameters: dict[str, str], status: int, words: str
) -> None:
    limits = Limits(file_rows=3, file_bytes=1000, text_characters=100)
    refused = send(serve({"adapted": FakeClassifier()}, limits), name, content, **parameters)
    assert refused.status_code == status
    assert words in refused.json()["error"]["message"]
    assert "/tmp" not in refused.text


def test_a_catalogue_has_no_columns_and_must_be_of_the_models_language(serve: Serve) -> None:
    client = serve({"a": FakeTranslator()})
    refused = send(client, "gl.po", PO, text_column="text")
    assert "text_column is not for gettext catalogues" in refused.json()["error"]["message"]
    state = finished(client, send(client, "fr.po", PO.replace("Language: gl", "Language: fr")))
    assert state["status"] == "failed"
    assert "give the language that is wanted with tgt_lang" in state["message"]


def test_a_sentence_that_is_too_long_fails_the_file_and_names_the_row(serve: Serve) -> None:
    client = serve({"a": FakeTranslator(max_length_tokens=3)})
    state = finished(client, send(client, "a.txt", "a b\n" * 40 + "a b c\n"))
    assert (state["status"], state["rows_done"], state["result"]) == ("failed", 32, None)
    assert state["message"].startswith("row 41: a sentence of 4 tokens is longer than the 3")


def test_a_model_that_fails_is_told_without_its_reasons(serve: Serve) -> None:
    def fail(_: Any) -> None:
        raise ValueError("/home/me/secret")

    client = serve({"a": FakeClassifier(before=fail)})
    state = finished(client, send(client, "a.csv", "text\na\n"))
    assert (state["status"], state["message"]) == ("failed", "the server failed; its log says why")


def test_too_many_files_are_told_to_come_back_and_work_can_be_stopped(serve: Serve) -> None:
    entered, gate = threading.Event(), threading.Event()

    def wait(_: Any) -> None:
        entered.set()
        assert gate.wait(30)

    client = serve({"a": FakeClassifier(before=wait)}, Limits(waiting_files=1))
    running = send(client, "a.csv", "text\n" + "a\n" * 64)
    assert entered.wait(30)
    waiting = send(client, "b.csv", "text\na\n")
    refused = send(client, "c.csv", "text\na\n")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    for sent in (running, waiting):
        assert client.delete(f"/api/files/{sent.json()['id']}").status_code == 204
    gate.set()
    assert [finished(client, sent)["status"] for sent in (running, waiting)] == ["cancelled", "cancelled"]


def test_old_results_are_forgotten_and_so_is_what_a_client_deletes(serve: Serve) -> None:
    client = serve({"a": FakeClassifier()}, Limits(kept_files=1))
    first = finished(client, send(client, "a.csv", "text\na\n"))
    second = finished(client, send(client, "b.csv", "text\na\n"))
    third = finished(client, send(client, "c.csv", "text\na\n"))
    assert client.get(f"/api/files/{first['id']}").status_code == 404
    assert client.delete(f"/api/files/{third['id']}").status_code == 204
    gone = client.get(f"/api/files/{third['id']}/result")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "no_such_file")
    assert second["status"] == "done"


def test_a_stopping_server_waits_for_files_and_for_who_fetches_them(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def answer(*_: Any, **__: Any) -> str:
        assert gate.wait(30)
        return "done"

    monkeypatch.setattr(jobs_module, "answer_file", answer)
    jobs = FileJobs(Limits())
    assert not jobs.hold_the_server()
    upload = jobs_module.Upload(jobs.new_folder() / "upload", "a.csv")
    [model] = served_models({"a": FakeClassifier()}, Limits())
    job = jobs.add(upload.path.parent, upload, [model], rows=1)
    jobs.stop_taking()
    assert jobs.hold_the_server()
    gate.set()
    while not job.is_over:
        time.sleep(0.01)
    assert (job.status, jobs.hold_the_server()) == ("done", True)
    job.fetched = True
    assert not jobs.hold_the_server()
    job.fetched, job.ended = False, job.ended - jobs_module.FETCH_SECONDS
    assert not jobs.hold_the_server()
    model.batcher.close()
    jobs.close()
    assert not jobs.folder.exists()
