"""The API: answers of one and several models, and a refusal in words for all that cannot be answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fake_translator import FakeTranslator
from fastapi.testclient import TestClient
from serving import FakeClassifier, api, prediction

from nlp_transfer.errors import ConfigError, ModelError
from nlp_transfer.serving import server
from nlp_transfer.serving.guard import page_policy
from nlp_transfer.serving.limits import Limits
from nlp_transfer.serving.served import named_models, served_models

Serve = Callable[..., TestClient]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts an API around models and returns a client of it."""
    with ExitStack() as stack:

        def started(models: dict[str, Any], limits: Limits | None = None, **settings: Any) -> TestClient:
            guard = stack.enter_context(api(models, limits, **settings))
            return TestClient(guard, base_url="http://localhost", raise_server_exceptions=False)

        yield started


def error_of(response: Any) -> dict[str, Any]:
    body = response.json()
    assert list(body) == ["error"]
    assert body["error"]["status"] == response.status_code
    assert "Traceback" not in response.text
    return dict(body["error"])


def test_labels_come_from_every_model_in_the_order_of_the_texts(serve: Serve) -> None:
    client = serve({"base": FakeClassifier(), "adapted": FakeClassifier()})
    texts = ["a" * 20, "b" * 80, ""]
    answer = client.post("/api/predict", json={"texts": texts})
    assert answer.status_code == 200
    expected = [prediction(text) for text in texts]
    assert answer.json() == {"results": {"base": expected, "adapted": expected}}
    one = client.post("/api/predict", json={"texts": texts, "models": ["adapted"]})
    assert one.json() == {"results": {"adapted": expected}}


def test_translations_keep_lines_and_take_a_language(serve: Serve) -> None:
    translator = FakeTranslator()
    client = serve({"adapted": translator})
    asked = {"texts": ["Save\n\n  Open "], "tgt_lang": "ast", "num_beams": 1}
    answer = client.post("/api/translate", json=asked)
    assert answer.json() == {"results": {"adapted": ["«Save»\n\n  «Open» "]}}
    assert translator.settings == [("ast", 1, None)]


def test_the_server_says_what_it_serves(serve: Serve) -> None:
    client = serve({"adapted": FakeTranslator(), "parent": FakeTranslator()})
    found = client.get("/api/models").json()
    assert found["task"] == "translation"
    assert found["models"][0] == {"name": "adapted", "label_names": [], "directions": [["en", "gl"]]}
    assert ".po" in found["file_suffixes"]
    assert client.get("/health").json() == {
        "status": "ok",
        "task": "translation",
        "models": ["adapted", "parent"],
        "queued_texts": 0,
    }


def test_the_description_names_the_routes_of_the_task_and_their_refusals(serve: Serve) -> None:
    found = serve({"adapted": FakeClassifier()}).get("/openapi.json").json()
    assert sorted(found["paths"]) == [
        "/api/files",
        "/api/files/{id}",
        "/api/files/{id}/result",
        "/api/models",
        "/api/predict",
        "/health",
    ]
    assert {"200", "413", "422", "429", "503"} == set(found["paths"]["/api/predict"]["post"]["responses"])


LIMITS = Limits(body_bytes=2000, texts=2, text_characters=100, file_rows=3, file_bytes=1000)


@pytest.mark.parametrize(
    ("asked", "status", "code", "words"),
    [
        ({"texts": []}, 422, "no_texts", "there is no text"),
        ({"texts": ["a", "b", "c"]}, 422, "too_many_texts", "3 texts, at most 2"),
        ({"texts": ["a", "b" * 101]}, 422, "text_too_long", "text 2 has 101 characters, at most 100"),
        ({"texts": ["a"], "models": ["adaptd"]}, 422, "no_such_model", "did you mean adapted?"),
        ({"texts": "a"}, 422, "invalid", "body.texts: Input should be a valid list"),
        ({"texts": ["a", 3]}, 422, "invalid", "body.texts.1: Input should be a valid string"),
        ({"text": ["a"]}, 422, "invalid", "body.texts: Field required"),
        ({"texts": ["a"], "more": 1}, 422, "invalid", "body.more"),
        ({"texts": ["a" * 3000]}, 413, "too_large", "the request has more than"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(
    serve: Serve, asked: Any, status: int, code: str, words: str
) -> None:
    error = error_of(serve({"adapted": FakeClassifier()}, LIMITS).post("/api/predict", json=asked))
    assert (error["status"], error["code"]) == (status, code)
    assert words in error["message"]


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 422), (b"", 422), (b'{"texts": ["\\ud800", 3]}', 422), (b"[" * 1500, 400), (b"\xff\xfe", 400)],
)
def test_a_body_that_is_no_json_is_refused(serve: Serve, content: bytes, status: int) -> None:
    client = serve({"adapted": FakeClassifier()}, LIMITS)
    headers = {"Content-Type": "application/json"}
    assert error_of(client.post("/api/predict", content=content, headers=headers))["status"] in (status, 422)


def test_half_characters_are_answered(serve: Serve) -> None:
    headers = {"Content-Type": "application/json"}
    content = b'{"texts": ["\\ud800"]}'
    answer = serve({"adapted": FakeClassifier()}).post("/api/predict", content=content, headers=headers)
    assert answer.json()["results"]["adapted"] == [prediction("?")]


def test_a_body_of_unknown_length_is_counted_as_it_comes(serve: Serve) -> None:
    client = serve({"adapted": FakeClassifier()}, LIMITS)
    parts = (b"x" * 100 for _ in range(30))
    headers = {"Content-Type": "application/json"}
    assert error_of(client.post("/api/predict", content=parts, headers=headers))["code"] == "too_large"


def test_a_sentence_that_is_too_long_and_a_language_that_is_unknown_are_refused(serve: Serve) -> None:
    class Choosy(FakeTranslator):
        def translate(self, texts: Any, **settings: Any) -> list[str]:
            if settings["tgt_lang"] == "xx":
                raise ModelError("the model does not know the language 'xx'")
            return super().translate(texts, **settings)

    client = serve({"adapted": Choosy(max_length_tokens=4)})
    long = error_of(client.post("/api/translate", json={"texts": ["a b", "a b c d"]}))
    assert (long["code"], long["status"]) == ("sentence_too_long", 422)
    assert "text 2: a sentence of 5 tokens is longer than the 4" in long["message"]
    unknown = error_of(client.post("/api/translate", json={"texts": ["a"], "tgt_lang": "xx"}))
    assert (unknown["status"], unknown["message"]) == (422, "the model does not know the language 'xx'")


def test_a_model_that_fails_is_told_without_its_reasons(serve: Serve) -> None:
    def fail(_: Any) -> None:
        raise ValueError("/home/me/secret")

    error = error_of(
        serve({"adapted": FakeClassifier(before=fail)}).post("/api/predict", json={"texts": ["a"]})
    )
    assert (error["status"], error["code"]) == (500, "internal")
    assert "secret" not in error["message"]


def test_a_full_queue_tells_when_to_come_back(serve: Serve) -> None:
    entered, gate = threading.Event(), threading.Event()

    def wait(_: Any) -> None:
        entered.set()
        assert gate.wait(30)

    client = serve({"adapted": FakeClassifier(before=wait)}, Limits(queued_texts=2))
    ask = {"texts": ["a"]}
    clients = [threading.Thread(target=client.post, args=("/api/predict",), kwargs={"json": ask})]
    clients[0].start()
    assert entered.wait(30)
    refused = client.post("/api/predict", json={"texts": ["b"] * 3})
    assert error_of(refused)["code"] == "queue_full"
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    gate.set()
    clients[0].join()
    assert client.post("/api/predict", json=ask).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, "unknown_host"),
        ({"Host": "evil.example:8000"}, "unknown_host"),
        ({"Host": "[::1"}, "unknown_host"),
        ({"Host": "localhost:1", "Origin": "http://evil.example"}, "other_origin"),
        ({"Host": "localhost:1", "Origin": "null"}, "other_origin"),
    ],
)
def test_other_sites_are_not_answered(serve: Serve, headers: dict[str, str], code: str) -> None:
    client = serve({"adapted": FakeClassifier()})
    error = error_of(client.post("/api/predict", json={"texts": ["a"]}, headers=headers))
    assert (error["status"], error["code"]) == (403, code)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:80"])
def test_this_machine_is_answered_by_its_names(serve: Serve, host: str) -> None:
    client = serve({"adapted": FakeClassifier()})
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert client.post("/api/predict", json={"texts": ["a"]}, headers=headers).status_code == 200


def test_a_server_for_the_network_is_answered_by_any_name(serve: Serve) -> None:
    client = serve({"adapted": FakeClassifier()}, hosts=None)
    assert client.get("/health", headers={"Host": "box.example"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/health", "/nothing", "/api/files/none"])
def test_every_answer_has_the_headers_that_shut_others_out(serve: Serve, path: str) -> None:
    answer = serve({"adapted": FakeClassifier()}).get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/docs", 404), ("/api/predict", 405)])
def test_unknown_routes_are_told_where_the_routes_are(serve: Serve, path: str, status: int) -> None:
    error = error_of(serve({"adapted": FakeClassifier()}).get(path))
    assert (error["status"], error["message"].endswith("; see /openapi.json")) == (status, True)


def test_the_page_takes_nothing_from_elsewhere(serve: Serve) -> None:
    page = serve({"adapted": FakeClassifier()}).get("/").text
    assert "http" not in page.replace("xmlns='http://www.w3.org/2000/svg'", "")
    assert "innerHTML" not in page
    assert page_policy(page).count("sha256-") == 2


def test_a_server_that_stops_finishes_and_takes_no_more() -> None:
    with api({"adapted": FakeClassifier()}) as guard:
        client = TestClient(guard, base_url="http://localhost")
        guard.stopping = True
        refused = client.post("/api/predict", json={"texts": ["a"]})
        assert (error_of(refused)["code"], refused.headers["Retry-After"]) == ("stopping", "30")
        health = client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "stopping")


def test_a_client_that_goes_away_takes_its_texts_out_of_the_queue() -> None:
    """Speak ASGI directly: the test client cannot hang up."""
    entered, gate = threading.Event(), threading.Event()

    def wait(_: Any) -> None:
        entered.set()
        assert gate.wait(30)

    classifier = FakeClassifier(before=wait)

    async def ask(guard: Any, text: str, gone: asyncio.Event) -> int:
        body = [{"type": "http.request", "body": b'{"texts": ["%s"]}' % text.encode(), "more_body": False}]
        statuses = []

        async def receive() -> dict[str, Any]:
            if body:
                return body.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            statuses.append(message.get("status"))

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/api/predict", "headers": headers}
        await guard({**scope, "query_string": b"", "root_path": "", "scheme": "http"}, receive, send)
        return int(statuses[0])

    async def story(guard: Any) -> list[int]:
        stays, leaves = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(ask(guard, "first", stays))
        await asyncio.to_thread(entered.wait, 30)
        gone = asyncio.create_task(ask(guard, "gone", leaves))
        other = asyncio.create_task(ask(guard, "other", stays))
        leaves.set()
        statuses = [await gone]
        gate.set()
        return [*statuses, await first, await other]

    with api({"adapted": classifier}) as guard:
        assert asyncio.run(story(guard)) == [499, 200, 200]
    assert classifier.asked == [["first"], ["other"]]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["runs/products"], ["products"]),
        (["runs/products/model/"], ["products"]),
        (["me/minilm", "embedded://romance"], ["minilm", "romance"]),
        (["base=me/minilm", "runs/minilm"], ["base", "minilm"]),
    ],
)
def test_models_are_named_by_their_folders(arguments: list[str], names: list[str]) -> None:
    assert list(named_models(arguments)) == names


def test_models_without_a_name_of_their_own_or_of_two_tasks_are_refused() -> None:
    with pytest.raises(ConfigError, match="name a model to serve"):
        named_models([])
    with pytest.raises(ConfigError, match=r"two models are named 'a'.*a1=x/a a2=y/a"):
        named_models(["x/a", "y/a"])
    with pytest.raises(ConfigError, match=r"one task, got a \(classification\), b \(translation\)"):
        served_models({"a": FakeClassifier(), "b": FakeTranslator()}, Limits())


def test_a_missing_extra_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "NEEDED", ("no_such_module_at_all", "uvicorn"))
    with pytest.raises(ConfigError, match=r"pip install 'nlp-transfer\[serve\]'"):
        server.serve(["runs/products"])


def test_a_port_that_is_taken_or_an_unknown_address_is_told() -> None:
    with server.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be listened on .*--port"):
            server.listen("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"no-such-host\.invalid:1 cannot be listened on"):
        server.listen("no-such-host.invalid", 1)
